// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
	"github.com/edgeagent/edgeagent/test/sigstore"
)

// approveKeyless approves a commit as git tag -s does with gitsign.
func (w *inband) approveKeyless(i *sigstore.Instance, subject string, c, from gitops.Hash) {
	by := gitsign(i, sigstore.Signing{Issuer: accounts, Subject: subject})
	w.stateBy(by, verify.ApprovalRef(c, subject), c, gitops.CommitObject, verify.ApprovalMessage(w.root, mainRef, from, c))
}

// newKeylessInband is a repository whose root and developer zoe signs with gitsign.
func newKeylessInband(t *testing.T) *inband {
	w := newInband(t)
	w.base = w.base.with(files{trustYAML: keylessTrust(w, 1, "")})
	w.root = w.commitOf(nil, w.base, "")
	return w
}

// What zoe approved decides on each of these. A node that has no trusted root
// refuses, and says what it lacks; one that has it takes the commit.
func TestApprovalsThatNoTrustedRootProves(t *testing.T) {
	for name, c := range map[string]struct {
		reason gitops.Reason
		make   func(w *inband, approve func(c, from gitops.Hash)) gitops.Hash
	}{
		"protected path": {gitops.NotApproved, func(w *inband, approve func(c, from gitops.Hash)) gitops.Hash {
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), w.forMain(), w.root)
			w.approve("alice", head, w.root)
			approve(head, w.root)
			return head
		}},
		"trust file": {gitops.NotApproved, func(w *inband, approve func(c, from gitops.Hash)) gitops.Hash {
			head := w.commitOf(w.keys["alice"].sign, w.base.with(files{trustYAML: keylessTrust(w, 2, "")}), "", w.root)
			w.approve("dan", head, w.root)
			approve(head, w.root)
			return head
		}},
		"release": {gitops.RefUnbound, func(w *inband, approve func(c, from gitops.Hash)) gitops.Hash {
			head := w.commitOf(w.keys["dan"].sign, w.base, "", w.root)
			approve(head, w.root)
			return head
		}},
		"side of a merge": {gitops.NotApproved, func(w *inband, approve func(c, from gitops.Hash)) gitops.Hash {
			f := w.fork()
			approve(f.theirs, w.root)
			return w.commitOf(w.keys["forge"].sign, f.merged, w.forMain(), f.ours, f.theirs)
		}},
		"line of a merge": {gitops.NotApproved, func(w *inband, approve func(c, from gitops.Hash)) gitops.Hash {
			line := w.commitOf(w.keys["erin"].sign, w.base.with(files{"apps/web.yaml": "ours\n"}), "", w.root)
			side := w.commitOf(w.keys["dan"].sign, w.base.with(files{"clusters/n1/app.yaml": "theirs\n"}), "", w.root)
			approve(line, w.root)
			w.approve("dan", side, w.root)
			return w.commitOf(w.keys["forge"].sign, w.base.with(files{"apps/web.yaml": "ours\n", "clusters/n1/app.yaml": "theirs\n"}), w.forMain(), line, side)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, i := newKeylessInband(t), sigstore.New(t)
			head := c.make(w, func(c, from gitops.Hash) { w.approveKeyless(i, keyless, c, from) })
			if err := w.keylessVerdict(t, head, trusting(t, i)); err != nil {
				t.Errorf("with the trusted root: %v", err)
			}
			unproven(t, w.keylessVerdict(t, head, nil), c.reason, true)
			// Of somebody else nothing is said: no trusted root would help.
			other := newKeylessInband(t)
			head = c.make(other, func(c, from gitops.Hash) { other.approveKeyless(i, "mallory@example.com", c, from) })
			unproven(t, other.keylessVerdict(t, head, nil), c.reason, false)
			// Nor does a node say it that judged, and found it wrong.
			forged := newKeylessInband(t)
			head = c.make(forged, func(c, from gitops.Hash) { forged.approveKeyless(sigstore.New(t), keyless, c, from) })
			unproven(t, forged.keylessVerdict(t, head, trusting(t, i)), c.reason, false)
		})
	}
}

// keylessVerdict is what a node says whose keyless signers are the trust file's.
func (w *inband) keylessVerdict(t *testing.T, head gitops.Hash, change func(*verify.Config)) error {
	t.Helper()
	cfg := w.config()
	if change != nil {
		change(&cfg)
		cfg.Sigstore.Issuer, cfg.Sigstore.Subject = "", ""
	}
	v, err := verify.New(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(t.Context(), onMain(head), "")
	return err
}

func unproven(t *testing.T, err error, reason gitops.Reason, said bool) {
	t.Helper()
	e, ok := errors.AsType[*gitops.Error](err)
	if !ok || e.Reason != reason {
		t.Fatalf("%v, want %s", err, reason)
	}
	message := "; what gitsign signed in the name of " + keyless + " (" + accounts + ") cannot be judged, because the node has no trusted root"
	if strings.HasSuffix(e.Message, message) != said || strings.HasPrefix(e.Remedy, "name Sigstore's trusted_root.json as trust.sigstore.trustedRoot, or ") != said {
		t.Errorf("%s; %s: speaks of the trusted root: want %v", e.Message, e.Remedy, said)
	}
}

// On a laptop nobody needs a trusted root to see what is asked, and to approve.
func TestRequirementsThatNoTrustedRootProves(t *testing.T) {
	w, i := newKeylessInband(t), sigstore.New(t)
	me := gitsign(i, sigstore.Signing{Issuer: accounts, Subject: keyless})
	head := w.commitOf(me, w.base.with(files{"rbac/admin.yaml": "c: 2\n", trustYAML: keylessTrust(w, 2, "")}), w.forMain(), w.root)
	root := verify.Config{}
	trusting(t, i)(&root)
	for name, c := range map[string]struct {
		sigstore verify.SigstoreConfig
		by       string
	}{
		"with the trusted root": {root.Sigstore, "zoe"},
		"without":               {verify.SigstoreConfig{}, ""},
	} {
		cfg := w.config()
		cfg.Sigstore = c.sigstore
		_, asked, err := verify.Require(t.Context(), cfg, w, onMain(head))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(asked) != 5 {
			t.Errorf("%s: %d things are asked: %+v", name, len(asked), asked)
		}
		for _, r := range asked {
			said, proven := strings.Join(r.Unproven, ","), strings.Contains(strings.Join(r.By, ","), "zoe") || r.By != nil && r.By[0] == verify.BoundTrailer
			if want := keyless + " (" + accounts + ")"; proven != (c.by != "") || c.by == "" && said != want || c.by != "" && said != "" {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
	cfg := w.config()
	cfg.Sigstore.TrustedRoot = w.file("spoilt.json", "{}")
	if _, _, err := verify.Require(t.Context(), cfg, w, onMain(head)); gitops.ReasonOf(err) != gitops.TrustMissing {
		t.Errorf("a spoilt trusted root: %v", err)
	}
}

// An identity that no line of revoked keys can name could not be revoked.
func TestKeylessIdentitiesThatCannotBeRevoked(t *testing.T) {
	for name, id := range map[string][2]string{
		"space in the issuer":         {"https://a.example.com b", "ann"},
		"tab in the issuer":           {"https://a.example.com\tb", "ann"},
		"line in the issuer":          {"https://a.example.com\nb", "ann"},
		"space before the subject":    {accounts, " ann"},
		"space after the subject":     {accounts, "ann "},
		"line in the subject":         {accounts, "ann\nben"},
		"control mark in the subject": {accounts, "ann\x00ben"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newInband(t)
			text := keylessTrust(w, 1, "")
			text = strings.Replace(text, strconv.Quote(accounts), strconv.Quote(id[0]), 1)
			text = strings.Replace(text, strconv.Quote(keyless), strconv.Quote(id[1]), 1)
			if _, err := verify.CheckTrustFile([]byte(text)); err == nil || !strings.Contains(err.Error(), "no space in its issuer nor around its subject") {
				t.Errorf("the trust file: %v", err)
			}
		})
	}
	w := newInband(t)
	if _, err := verify.CheckTrustFile([]byte(strings.Replace(keylessTrust(w, 1, ""), keyless, "Ann of Example", 1))); err != nil {
		t.Errorf("a space inside the subject: %v", err)
	}
}
