// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/edgeagent/edgeagent/internal/verify"
)

// Write checks the file as a node would, raises its version and writes it.
func (d *Draft) Write(o Options) (Changed, error) {
	path, err := d.repo.trustPath()
	if err != nil {
		return Changed{}, err
	}
	out := Changed{File: path, Version: d.before.Version, Done: d.done}
	if len(d.done) == 0 {
		if d.before.Version > d.committed.Version { // it was said, and is still to be committed
			out.Need = needs(d.committed, d.before)
			out.Next, err = d.repo.next(o, d.before, out.Need)
		}
		return out, err
	}
	// Several changes may go into one commit: one version is enough for it.
	out.Version = max(d.before.Version, d.committed.Version+1)
	set(d.root(), "version", strconv.Itoa(out.Version))
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(&d.doc), encoder.Close()); err != nil {
		return out, fmt.Errorf("write %s: %v", path, err)
	}
	after, err := verify.CheckTrustFile(text.Bytes())
	if err != nil {
		return out, fmt.Errorf("the trust file would not be valid, and stays as it was: %v", err)
	}
	if err := replace(path, text.Bytes(), 0o644); err != nil {
		return out, err
	}
	out.Need = needs(d.committed, after)
	if out.Next, err = d.repo.next(o, after, out.Need); d.keyless {
		out.Next = append(out.Next, "name Sigstore's "+trustedRootFile+" as trust.sigstore.trustedRoot on every node: without it nothing that gitsign signed counts")
	}
	for _, role := range slices.Sorted(maps.Keys(after.Roles)) {
		if _, before := d.before.Roles[role]; !before && idle(after, role) {
			out.Next = append(out.Next, "name the role "+role+" under refs, protected or heartbeat in "+verify.TrustPath+": until then it lets nobody do anything")
		}
	}
	return out, err
}

// needs is who has to sign or approve the commit that brings a trust file.
func needs(before, after verify.TrustFile) []verify.Requirement {
	var out []verify.Requirement
	for _, f := range []verify.TrustFile{before, after} {
		root := f.Roles[roleRoot]
		if f.Version == 0 || len(out) > 0 && slices.Equal(out[0].Missing, sorted(root.Principals)) && out[0].Need == root.Threshold {
			continue
		}
		out = append(out, verify.Requirement{
			What: fmt.Sprintf("the roots of version %d", f.Version), Need: root.Threshold, Missing: sorted(root.Principals),
		})
	}
	return out
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

// pushApprovals brings approvals only: a heartbeat that is older here than at
// the host would have the host refuse everything.
const pushApprovals = "'" + approvalRefs + "*:" + approvalRefs + "*'"

// next is what to type to put a trust file in force.
func (r *Repository) next(o Options, f verify.TrustFile, need []verify.Requirement) ([]string, error) {
	ref := r.FullRef(o.Ref)
	introduction, err := r.introduction(context.Background(), o, f)
	if err != nil {
		return nil, err
	}
	next := []string{
		r.typed("add", ":/"+verify.TrustPath), // wherever in the work tree one is
		r.typed("commit", "-S", "-m", fmt.Sprintf("'trust: version %d'", f.Version), "--trailer", "'"+verify.RefTrailer(introduction, ref)+"'"),
	}
	if slices.ContainsFunc(need, func(n verify.Requirement) bool { return n.Need > 1 }) {
		approve := "edgeagent approve HEAD"
		if ref != branchRefs+defaultRef {
			approve += " --ref " + strings.TrimPrefix(ref, branchRefs) // what this clone noted, others did not
		}
		next = append(next, approve+"   # each of the others, on their machines, once it is on a branch for review")
	}
	return append(next, r.typed("push", "--atomic", r.remote(), "HEAD:"+ref, pushApprovals)), nil
}

// replace writes a file under another name first, so that a trust file is never
// half there.
func replace(path string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %v", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %v", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name()) //nolint:errcheck // the first error is the one that counts
		return fmt.Errorf("write %s: %v", path, err)
	}
	return nil
}
