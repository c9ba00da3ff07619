// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// InitOptions are the people that a new trust file names.
type InitOptions struct {
	Options
	Roots, Developers, Mergers []Member
	Threshold                  int    // 0 is two, or one where there is one root
	Files                      string // directory for the node's files
	// Installed is where the node's files will lie on nodes.
	Installed string
}

// Member is a principal and a key.
type Member struct {
	Name string
	Key  PublicKey
}

// ReadMember takes NAME=KEY.
func ReadMember(text string) (Member, error) {
	name, key, ok := strings.Cut(text, "=")
	if !ok || name == "" || key == "" {
		return Member{}, fmt.Errorf("%q is not NAME=KEY, as in ann@example.com=ann.pub", text)
	}
	public, err := ReadPublicKey(key)
	if err != nil {
		return Member{}, fmt.Errorf("%s: %v", name, err)
	}
	if err := public.check(); err != nil {
		return Member{}, fmt.Errorf("%s: %v", name, err)
	}
	return Member{Name: name, Key: public}, nil
}

// Init writes the first trust file of a repository and the files of its nodes.
// The introduction is a commit that is here already, HEAD unless another is
// named: what nodes trust by its id.
func (r *Repository) Init(ctx context.Context, o InitOptions) (Changed, error) {
	path, err := r.trustPath()
	if err != nil {
		return Changed{}, err
	}
	if _, err := os.Lstat(path); err == nil {
		return Changed{}, fmt.Errorf("%s is there already; change it with edgeagent trust add, revoke and rotate", path)
	}
	start := o.Introduction
	if start == "" {
		start = "HEAD"
	}
	introduction, err := r.Resolve(start)
	if err != nil {
		return Changed{}, fmt.Errorf("find the introduction, the commit where trust begins: %v; make a first commit if there is none", err)
	}
	if there, err := r.TrustFile(ctx, introduction); err != nil || there.Version > 0 {
		return Changed{}, errors.Join(err, fmt.Errorf("commit %s has a trust file; check it out instead of beginning anew", introduction.Short()))
	}
	if o.Threshold == 0 {
		o.Threshold = min(2, len(distinct(o.Roots)))
	}
	if i := slices.IndexFunc(o.Roots, func(m Member) bool { return m.Key.SSH == "" || strings.HasPrefix(m.Key.SSH, authorityPrefix) }); i >= 0 {
		return Changed{}, fmt.Errorf("root %s: nodes know the first roots by plain SSH keys; begin with one, and add others with edgeagent trust add", o.Roots[i].Name)
	}
	text := first(o, introduction)
	f, err := verify.CheckTrustFile([]byte(text))
	if err != nil {
		return Changed{}, fmt.Errorf("the trust file would not be valid, and is not written: %v", err)
	}
	for name, content := range r.nodeFiles(o, introduction) {
		if err := replace(filepath.Join(o.Files, name), []byte(content), map[bool]os.FileMode{true: 0o755, false: 0o644}[name == hookFile]); err != nil {
			return Changed{}, err
		}
	}
	if err := replace(path, []byte(text), 0o644); err != nil {
		return Changed{}, err
	}
	if err := r.remember(string(introduction), r.FullRef(o.Ref)); err != nil {
		return Changed{}, err
	}
	out := Changed{File: path, Version: 1, Need: needs(verify.TrustFile{}, f)}
	out.Done = append(out.Done, fmt.Sprintf("trust begins with commit %s, for %s", introduction.Short(), r.FullRef(o.Ref)), "the files of a node are in "+o.Files)
	out.Next, err = r.next(o.Options, f, out.Need)
	out.Next = append([]string{"cp " + shellWord(filepath.Join(o.Files, hookFile)) + " \"$(" + r.typed("rev-parse", "--path-format=absolute", "--git-path", "hooks") + ")/\"   # everybody, once: commits then say which ref they are for"}, out.Next...)
	files := []string{signersFile, rootsFile, revokedFile}
	if o.keyless() {
		files = append(files, "and Sigstore's "+trustedRootFile)
	}
	out.Next = append(out.Next, "copy "+strings.Join(files, ", ")+" to "+o.Installed+" on every node, and what "+configFile+" says into its source")
	return out, err
}

const (
	signersFile = "allowed_signers"
	rootsFile   = "roots"
	revokedFile = "revoked"
	hookFile    = "commit-msg"
	configFile  = "source.yaml"
	// trustedRootFile is where Sigstore is told from anybody else. It comes from
	// there, not from here.
	trustedRootFile = "trusted_root.json"
)

// keyless reports whether somebody signs with gitsign.
func (o InitOptions) keyless() bool {
	return slices.ContainsFunc(slices.Concat(o.Developers, o.Mergers), func(m Member) bool { return m.Key.keyless() })
}

func distinct(members []Member) []string {
	var names []string
	for _, m := range members {
		if !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	return names
}

// first is the text of the first trust file, made for people to go on with.
func first(o InitOptions, introduction gitops.Hash) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Whom nodes believe. Every change needs the roots: edgeagent trust --help.\n")
	fmt.Fprintf(&b, "apiVersion: edgeagent.dev/v1alpha1\nkind: Trust\nversion: 1\nintroduction: %s\nprincipals:\n", introduction)
	all := slices.Concat(o.Roots, o.Developers, o.Mergers)
	for _, name := range distinct(all) {
		fmt.Fprintf(&b, "  %q:\n", name)
		for _, kind := range []struct {
			key  string
			text func(PublicKey) string
		}{
			{"ssh", func(k PublicKey) string { return quote(k.SSH) }},
			{"openpgp", func(k PublicKey) string { return quote(k.OpenPGP) }},
			{"sigstore", func(k PublicKey) string {
				if !k.keyless() {
					return ""
				}
				return fmt.Sprintf("{issuer: %q, subject: %q}", k.Sigstore.Issuer, k.Sigstore.Subject)
			}},
		} {
			var lines []string
			for _, m := range all {
				if line := kind.text(m.Key); m.Name == name && line != "" && !slices.Contains(lines, line) {
					lines = append(lines, line)
				}
			}
			if len(lines) > 0 {
				fmt.Fprintf(&b, "    %s:\n      - %s\n", kind.key, strings.Join(lines, "\n      - "))
			}
		}
	}
	b.WriteString("roles:\n")
	fmt.Fprintf(&b, "  root: {principals: [%s], threshold: %d}\n", list(o.Roots), o.Threshold)
	releasers := []string{roleRoot}
	if len(o.Developers) > 0 {
		fmt.Fprintf(&b, "  developer: {principals: [%s]}\n", list(o.Developers))
		releasers = append(releasers, roleDeveloper)
	}
	if len(o.Mergers) > 0 {
		fmt.Fprintf(&b, "  merger: {principals: [%s]}\n", list(o.Mergers))
	}
	ref := o.Ref
	if ref == "" {
		ref = defaultRef
	}
	fmt.Fprintf(&b, "# Who may release to a branch. Others may commit, and are released by them.\nrefs:\n  %q: [%s]\n", ref, strings.Join(releasers, ", "))
	fmt.Fprintf(&b, `# What takes approvals besides a signature. Kinds are judged on what is rendered.
protected:
  - {paths: [".edgeagent/"], approvals: %d}
  - {kinds: ["*.rbac.authorization.k8s.io", "*.admissionregistration.k8s.io"], approvals: 1}
  - {namespaces: [kube-system], approvals: 1}
`, o.Threshold)
	return b.String()
}

func quote(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("%q", s)
}

func list(members []Member) string {
	var names []string
	for _, name := range distinct(members) {
		names = append(names, fmt.Sprintf("%q", name))
	}
	return strings.Join(names, ", ")
}

// nodeFiles are what a node has on its own: version 0 of the trust file, which
// lets the first one in.
func (r *Repository) nodeFiles(o InitOptions, introduction gitops.Hash) map[string]string {
	lines := func(members []Member) string {
		var b strings.Builder
		for _, m := range members {
			if text, authority := strings.CutPrefix(m.Key.SSH, authorityPrefix); text != "" && !authority {
				fmt.Fprintf(&b, "%s namespaces=\"git\" %s\n", m.Name, text)
			}
		}
		return b.String()
	}
	at := func(name string) string { return filepath.Join(o.Installed, name) }
	sigstore := ""
	if o.keyless() {
		sigstore = fmt.Sprintf("  sigstore: {trustedRoot: %s}\n", at(trustedRootFile))
	}
	return map[string]string{
		signersFile: "# Who may sign while the repository has no trust file.\n" + lines(slices.Concat(o.Roots, o.Developers)),
		rootsFile:   "# Whose agreement the first trust file needs.\n" + lines(o.Roots),
		revokedFile: "# Keys that must not have signed anything, one a line: SHA256:…, an SSH public key, an OpenPGP fingerprint, or sigstore:ISSUER SUBJECT.\n",
		configFile: fmt.Sprintf(`trust:
  mode: history
  introduction: %s
  allowedSigners: %s
  revoked: %s
  threshold: {roots: %s, count: %d}
%s`, introduction, at(signersFile), at(revokedFile), at(rootsFile), o.Threshold, sigstore),
		hookFile: fmt.Sprintf(`#!/bin/sh
# Says in every commit which ref it is for. Commits for other refs are made
# with git commit --no-verify.
exec git interpret-trailers --in-place --if-exists replace --trailer '%s' "$1"
`, verify.RefTrailer(introduction, r.FullRef(o.Ref))),
	}
}
