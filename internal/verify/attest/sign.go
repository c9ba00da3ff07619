// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// Options are what every statement is made with.
type Options struct {
	Ref          string // as a person writes it; "" is the repository's
	Introduction string // "" is what the trust file or git's configuration says
	As           string // the principal, where several keys or none would do
	Key          KeyOptions
	Now          time.Time
	// TrustedRoot is Sigstore's, to judge what others signed with gitsign.
	TrustedRoot string
	// Replace allows that a statement takes the place of another one.
	Replace bool
}

// statement is a tag below refs/edgeagent/ that is to be signed.
type statement struct {
	ref     string
	object  gitops.Hash
	kind    gitops.ObjectKind
	message string
}

// sign writes the tag, as git tag -s would. No ref names it yet.
func (r *Repository) sign(s statement, signer ssh.Signer, principal string, at time.Time) (gitops.Hash, error) {
	text := fmt.Sprintf("object %s\ntype %s\ntag %s\ntagger %s %d +0000\n\n%s",
		s.object, s.kind, strings.TrimPrefix(s.ref, "refs/"), r.tagger(principal), at.Unix(), s.message)
	signature, err := sshsig.Sign(strings.NewReader(text), signer, sshsig.HashSHA512, "git")
	if err != nil {
		return "", fmt.Errorf("sign with the key %s: %v", fingerprint(signer.PublicKey()), err)
	}
	return r.put(plumbing.TagObject, append([]byte(text), sshsig.Armor(signature)...))
}

// tagger is who git says that a person is. It decides nothing: the key does.
func (r *Repository) tagger(principal string) string {
	name, email := r.setting("user.name"), r.setting("user.email")
	if name == "" {
		name = principal
	}
	if email == "" {
		email = principal
	}
	clean := func(s string) string {
		return strings.TrimSpace(strings.Map(func(c rune) rune {
			if c < ' ' || c == '<' || c == '>' || c == 0x7f {
				return -1
			}
			return c
		}, s))
	}
	return clean(name) + " <" + clean(email) + ">"
}

// speaker finds the key to sign with and the principal that it belongs to in
// one of the trust files, with one of the roles; without roles, any. Where no
// file names principals, it is whoever the person says.
func (r *Repository) speaker(o Options, files []verify.TrustFile, roles ...string) (ssh.Signer, string, func(), error) {
	files = slices.DeleteFunc(slices.Clone(files), func(f verify.TrustFile) bool { return f.Version == 0 })
	signer, closeAgent, err := r.signerOf(o.Key, func(key ssh.PublicKey) bool {
		name := whose(files, key, roles)
		return len(files) == 0 || name != "" && (o.As == "" || o.As == name)
	})
	if err != nil {
		return nil, "", nil, err
	}
	fail := func(err error) (ssh.Signer, string, func(), error) {
		closeAgent()
		return nil, "", nil, err
	}
	print := fingerprint(signer.PublicKey())
	if len(files) == 0 {
		if o.As == "" {
			return fail(fmt.Errorf("the repository has no trust file that says whose key %s is; name yourself with --as, as the nodes' files do", print))
		}
		return signer, o.As, closeAgent, nil
	}
	name := whose(files, signer.PublicKey(), roles)
	switch {
	case name == "" && len(roles) > 0 && whose(files, signer.PublicKey(), nil) != "":
		return fail(fmt.Errorf("%s has none of the roles %s in the trust file: what it signs would not count; have somebody sign who has",
			whose(files, signer.PublicKey(), nil), strings.Join(roles, ", ")))
	case name == "":
		return fail(fmt.Errorf("the key %s belongs to no principal with a role in the trust file; sign with another one (--key), or have the roots add it with edgeagent trust add", print))
	case o.As != "" && o.As != name:
		return fail(fmt.Errorf("the key %s is %s's, not %s's; name another one with --key", print, name, o.As))
	}
	return signer, name, closeAgent, nil
}

// whose finds the principal that a key belongs to. A principal needs a role, or
// nothing that it signs counts.
func whose(files []verify.TrustFile, key ssh.PublicKey, roles []string) string {
	for _, f := range files {
		for name, p := range f.Principals {
			if holds(p, key) && hasRole(f, name, roles) {
				return name
			}
		}
	}
	return ""
}

func hasRole(f verify.TrustFile, name string, roles []string) bool {
	for role, r := range f.Roles {
		if slices.Contains(r.Principals, name) && (len(roles) == 0 || slices.Contains(roles, role)) {
			return true
		}
	}
	return false
}

// holds reports whether a principal has this key, or is the authority that
// certified it.
func holds(p verify.Principal, key ssh.PublicKey) bool {
	want := key.Marshal()
	certificate, certified := certificateOf(key)
	for _, line := range p.SSH {
		text, authority := strings.CutPrefix(line, "cert-authority ")
		listed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
		if err != nil {
			continue
		}
		if authority && certified && bytes.Equal(listed.Marshal(), certificate.SignatureKey.Marshal()) || !authority && bytes.Equal(listed.Marshal(), want) {
			return true
		}
	}
	return false
}

// certificateOf tells a certificate from a key. The agent's keys are neither:
// they have to be read again.
func certificateOf(key ssh.PublicKey) (*ssh.Certificate, bool) {
	read, err := ssh.ParsePublicKey(key.Marshal())
	if err != nil {
		return nil, false
	}
	certificate, ok := read.(*ssh.Certificate)
	return certificate, ok
}

// fingerprint is that of the key itself, whatever certifies it.
func fingerprint(key ssh.PublicKey) string {
	if certificate, ok := certificateOf(key); ok {
		key = certificate.Key
	}
	return ssh.FingerprintSHA256(key)
}

// introduction is the commit that names the repository in statements.
func (r *Repository) introduction(ctx context.Context, o Options, files ...verify.TrustFile) (gitops.Hash, error) {
	said := gitops.Hash("")
	for _, f := range files {
		if f.Introduction != "" {
			said = f.Introduction
		}
	}
	if said == "" {
		said = gitops.Hash(r.setting("edgeagent.introduction"))
	}
	given := gitops.Hash("")
	if o.Introduction != "" {
		id, err := r.Resolve(o.Introduction)
		if err != nil {
			return "", fmt.Errorf("the introduction %v", err)
		}
		given = id
	}
	switch {
	case said == "" && given == "":
		return "", fmt.Errorf("which commit is the introduction of this repository is not known; name the nodes' trust.introduction with --introduction, or set git config edgeagent.introduction")
	case given != "" && said != "" && given != said:
		return "", fmt.Errorf("the introduction is %s by --introduction, and %s by the trust file or git config edgeagent.introduction; nodes have only one", given.Short(), said.Short())
	case given != "":
		return given, nil
	case !said.Valid():
		return "", fmt.Errorf("git config edgeagent.introduction is %q, not a full commit id; correct it", said)
	}
	if _, _, err := r.Object(ctx, said); err != nil {
		return "", fmt.Errorf("the introduction %s: %v", said.Short(), err)
	}
	return said, nil
}

// push is what to type so that others see refs.
func (r *Repository) push(refs ...string) string {
	return r.typed("push", r.remote(), strings.Join(refs, " "))
}

func (r *Repository) remote() string {
	remote := "origin"
	if names := r.local.Remotes; len(names) == 1 {
		for name := range names {
			remote = name
		}
	}
	return remote
}

// typed is a git command that works where the person is, who may have named the
// repository from elsewhere.
func (r *Repository) typed(words ...string) string {
	git := "git "
	if r.at != "." {
		git += "-C " + shellWord(r.at) + " "
	}
	return git + strings.Join(words, " ")
}

// shellWord is a word as a shell takes it.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:@+,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
