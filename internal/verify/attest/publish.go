// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

const (
	approvalRefs   = statementRefs + "approvals/"
	sealRefs       = statementRefs + "seals/"
	revocationRefs = statementRefs + "revocations/"
)

// aheadMost is how far another root's clock may be ahead of this one.
const aheadMost = 10 * time.Minute

// Published is a statement that was made for all nodes to see.
type Published struct {
	Kind         string      `json:"kind"` // heartbeat, seal, revocation
	Statement    string      `json:"statement"`
	Object       gitops.Hash `json:"object"`
	Introduction gitops.Hash `json:"introduction"`
	Ref          string      `json:"ref,omitempty"`
	Principal    string      `json:"principal"`
	Key          string      `json:"key"`
	Sequence     int64       `json:"sequence,omitempty"`
	Time         string      `json:"time,omitempty"`
	Revoked      []string    `json:"revoked,omitempty"`
	// Signed are those whose tags for the same statement are here; Need is how
	// many of the roots it takes, 0 where the trust file does not say it.
	Signed []string `json:"signed,omitempty"`
	Need   int      `json:"need,omitempty"`
	Push   string   `json:"push"`
	// Join is what the other roots type, until enough of them have signed.
	Join []string `json:"join,omitempty"`
}

// inForce is the trust file at the tip of the ref, the zero value without one.
func (r *Repository) inForce(ctx context.Context, o Options) (gitops.Commit, verify.TrustFile, error) {
	c, err := r.At(r.FullRef(o.Ref), "")
	if err != nil {
		return c, verify.TrustFile{}, err
	}
	f, err := r.TrustFile(ctx, c.Revision.Hash())
	return c, f, err
}

// Heartbeat signs that a ref is alive and what it names. The sequence goes on
// from the heartbeat that is here; first is the one to begin with.
func (r *Repository) Heartbeat(ctx context.Context, revision string, first int64, o Options) (Published, error) {
	_, f, err := r.inForce(ctx, o)
	if err != nil {
		return Published{}, fmt.Errorf("make a heartbeat: %v", err)
	}
	c, err := r.At(r.FullRef(o.Ref), revision)
	if err != nil {
		return Published{}, fmt.Errorf("make a heartbeat: %v", err)
	}
	out := Published{Kind: "heartbeat", Ref: c.FullRef, Object: c.Revision.Hash(), Statement: verify.HeartbeatRef(c.FullRef), Sequence: max(first, 1)}
	if out.Introduction, err = r.introduction(ctx, o, f); err != nil {
		return out, err
	}
	carried, err := r.Carried(ctx)
	if err != nil {
		return out, err
	}
	before := carried[out.Statement]
	if fields, _, ok := r.statement(ctx, out.Statement, before); ok {
		last, err := strconv.ParseInt(fields["Sequence"], 10, 64)
		if err != nil || last < 0 || last >= 1<<62 {
			return out, fmt.Errorf("the heartbeat %s that is here has the sequence %q; delete the ref, and begin anew with --sequence", out.Statement, fields["Sequence"])
		}
		out.Sequence = max(out.Sequence, last+1)
	}
	roles := []string{roleDeveloper, roleRoot}
	if f.Heartbeat != nil {
		roles = f.Heartbeat.By
	}
	if o.As == "" && f.Version == 0 {
		o.As = "heartbeat"
	}
	out.Time = o.Now.UTC().Format(time.RFC3339)
	message := verify.HeartbeatMessage(out.Introduction, c.FullRef, out.Object, out.Sequence, o.Now)
	err = r.publish(&out, o, f, roles, gitops.CommitObject, message, carried)
	out.Push = r.push("+" + out.Statement)
	return out, err
}

// Seal signs that the roots vouch for a commit and all that lies below it. Who
// seals a commit that another root has sealed signs the same words.
func (r *Repository) Seal(ctx context.Context, revision string, o Options) (Published, error) {
	id, err := r.Resolve(revision)
	if err != nil {
		return Published{}, fmt.Errorf("seal %s: %v", revision, err)
	}
	f, err := r.TrustFile(ctx, id)
	if err != nil {
		return Published{}, err
	}
	out := Published{Kind: "seal", Object: id, Need: f.Roles[roleRoot].Threshold}
	if out.Introduction, err = r.introduction(ctx, o, f); err != nil {
		return out, err
	}
	carried, err := r.Carried(ctx)
	if err != nil {
		return out, err
	}
	at := o.Now
	for _, ref := range slices.Sorted(maps.Keys(carried)) {
		if !strings.HasPrefix(ref, sealRefs+string(id)+"/") {
			continue
		}
		fields, _, ok := r.statement(ctx, ref, carried[ref])
		if !ok || fields["Introduction"] != string(out.Introduction) || fields["To"] != string(id) {
			continue
		}
		if t, err := time.Parse(time.RFC3339, fields["Time"]); err == nil && !t.After(o.Now.Add(aheadMost)) {
			at = t
			break
		}
	}
	out.Time = at.UTC().Format(time.RFC3339)
	err = r.publishBy(&out, o, f, gitops.CommitObject, verify.SealMessage(out.Introduction, id, at), carried,
		func(principal string) string { return verify.SealRef(id, principal) })
	out.Join = r.join(out, "edgeagent trust seal "+string(id))
	return out, err
}

// RevokeNow signs a list of revoked keys that holds wherever the statement is
// seen, before any commit says so. Where a list with these keys is here
// already, the same list is signed.
func (r *Repository) RevokeNow(ctx context.Context, keys []string, o Options) (Published, error) {
	_, f, err := r.inForce(ctx, o)
	if err != nil {
		return Published{}, fmt.Errorf("publish a revocation: %v", err)
	}
	out := Published{Kind: "revocation", Need: f.Roles[roleRoot].Threshold, Revoked: slices.Sorted(slices.Values(keys)), Sequence: 1}
	if out.Introduction, err = r.introduction(ctx, o, f); err != nil {
		return out, err
	}
	carried, err := r.Carried(ctx)
	if err != nil {
		return out, err
	}
	list := strings.Join(out.Revoked, "\n") + "\n"
	if out.Object, err = r.put(plumbing.BlobObject, []byte(list)); err != nil {
		return out, err
	}
	for ref, tag := range carried {
		fields, object, ok := r.statement(ctx, ref, tag)
		n, err := strconv.ParseInt(fields["Sequence"], 10, 64)
		if !ok || err != nil || n < 1 || n >= 1<<62 || !strings.HasPrefix(ref, revocationRefs) {
			continue
		}
		if object == out.Object && fields["Introduction"] == string(out.Introduction) {
			out.Sequence = n // sign it too
			break
		}
		out.Sequence = max(out.Sequence, n+1)
	}
	err = r.publishBy(&out, o, f, gitops.BlobObject, verify.RevocationMessage(out.Introduction, out.Sequence, out.Object), carried,
		func(principal string) string { return verify.RevocationRef(out.Sequence, principal) })
	var named []string
	for _, key := range out.Revoked {
		named = append(named, shellWord(key)) // whoever had the key may be gone from their trust file
	}
	out.Join = r.join(out, "edgeagent trust revoke "+strings.Join(named, " ")+" --now")
	return out, err
}

// join is what the others type to sign the same, where it takes more of them.
func (r *Repository) join(p Published, command string) []string {
	if len(p.Signed) >= p.Need {
		return nil
	}
	return []string{"git fetch " + r.remote() + " '+" + statementRefs + "*:" + statementRefs + "*'", command}
}

// publishBy publishes what the roots have to sign together, each under a ref of
// their own, and says who has.
func (r *Repository) publishBy(out *Published, o Options, f verify.TrustFile, kind gitops.ObjectKind, message string, carried map[string]gitops.Hash, refOf func(string) string) error {
	signer, principal, done, err := r.speaker(o, []verify.TrustFile{f}, roleRoot)
	if err != nil {
		return fmt.Errorf("sign the %s: %v", out.Kind, err)
	}
	defer done()
	out.Statement = refOf(principal)
	if err := r.write(out, o, signer, principal, kind, message, carried); err != nil {
		return err
	}
	prefix := out.Statement[:strings.LastIndexByte(out.Statement, '/')+1]
	out.Signed = []string{principal}
	for _, ref := range slices.Sorted(maps.Keys(carried)) {
		if who, ok := strings.CutPrefix(ref, prefix); ok && ref != out.Statement {
			out.Signed = append(out.Signed, who)
		}
	}
	out.Push = r.push(out.Statement)
	if carried[out.Statement] != "" {
		out.Push = r.push("+" + out.Statement)
	}
	return nil
}

func (r *Repository) publish(out *Published, o Options, f verify.TrustFile, roles []string, kind gitops.ObjectKind, message string, carried map[string]gitops.Hash) error {
	signer, principal, done, err := r.speaker(o, []verify.TrustFile{f}, roles...)
	if err != nil {
		return fmt.Errorf("sign the %s: %v", out.Kind, err)
	}
	defer done()
	o.Replace = true
	return r.write(out, o, signer, principal, kind, message, carried)
}

func (r *Repository) write(out *Published, o Options, signer ssh.Signer, principal string, kind gitops.ObjectKind, message string, carried map[string]gitops.Hash) error {
	before := carried[out.Statement]
	if before != "" && !o.Replace {
		return fmt.Errorf("%s is there already; --replace signs it again", out.Statement)
	}
	out.Principal, out.Key = principal, fingerprint(signer.PublicKey())
	tag, err := r.sign(statement{ref: out.Statement, object: out.Object, kind: kind, message: message}, signer, principal, o.Now)
	if err != nil {
		return err
	}
	return r.point(out.Statement, tag, before)
}

// statement reads what a ref below refs/edgeagent/ says, whoever signed it.
func (r *Repository) statement(ctx context.Context, ref string, tag gitops.Hash) (map[string]string, gitops.Hash, bool) {
	if tag == "" {
		return nil, "", false
	}
	kind, raw, err := r.Object(ctx, tag)
	if err != nil || kind != gitops.TagObject {
		return nil, "", false
	}
	fields, object, err := verify.ReadStatement(ref, raw)
	return fields, object, err == nil
}
