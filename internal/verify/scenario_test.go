// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// now is the node's clock in the scenarios.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// world is a repository, keys, and the files in which a node trusts them.
type world struct {
	*repo
	dir     string
	ann     sshKey // may sign
	ben     sshKey // may sign, with another kind of key
	cat     sshKey // may sign, RSA
	mallory sshKey // may not
	gone    sshKey // may sign until 2026-01-01
	soon    sshKey // may sign from 2027-01-01 on
	files   sshKey // may sign files, not commits
	taken   sshKey // may sign, but revoked by its public key
	stolen  sshKey // may sign, but revoked by its fingerprint
	short   sshKey // may sign, RSA with 2048 bits
	ancient sshKey // may sign, DSA
	touch   securityKey
	tap     securityKey
	root    gitops.Hash // the introduction: a commit nobody signed
}

// slowKeys are the keys that take long to make: all worlds share them.
type slowKeys struct{ long, short, dsa sshKey }

var cheap = sync.OnceValue(func() slowKeys {
	return slowKeys{long: rsaKey(3072), short: rsaKey(2048), dsa: dsaKey()}
})

func newWorld(t *testing.T) *world {
	w := &world{
		repo: newRepo(t), dir: t.TempDir(),
		ann: ed25519Key(), ben: ecdsaKey(elliptic.P384()), cat: cheap().long, mallory: ed25519Key(),
		gone: ed25519Key(), soon: ed25519Key(), files: ed25519Key(), taken: ed25519Key(), stolen: ed25519Key(),
		short: cheap().short, ancient: cheap().dsa,
		touch: newSecurityKey(t, ssh.KeyAlgoSKED25519), tap: newSecurityKey(t, ssh.KeyAlgoSKECDSA256),
	}
	w.file("allowed_signers", strings.Join([]string{
		"# who may release",
		"ann@example.com,*@ann.example.com " + w.ann.line() + " ann's laptop",
		`ben@example.com namespaces="file,git" ` + w.ben.line(),
		"cat@example.com " + w.cat.line(),
		`gone@example.com valid-before="20260101" ` + w.gone.line(),
		`soon@example.com valid-after="20270101Z" ` + w.soon.line(),
		`files@example.com namespaces="file,!g*" ` + w.files.line(),
		"taken@example.com " + w.taken.line(),
		"stolen@example.com " + w.stolen.line(),
		"short@example.com " + w.short.line(),
		"ancient@example.com " + w.ancient.line(),
		"touch@example.com " + w.touch.line(),
		"tap@example.com " + w.tap.line(),
	}, "\n")+"\n")
	w.file("revoked", "# stolen in March\n"+w.taken.line()+" old laptop\n"+w.stolen.fingerprint()+"\n")
	w.root = w.commit(nil)
	return w
}

func (w *world) file(name, text string) string {
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) config() verify.Config {
	return verify.Config{
		Source: "fleet", Mode: verify.ModeHistory, Introduction: string(w.root),
		AllowedSigners: filepath.Join(w.dir, "allowed_signers"), Revoked: filepath.Join(w.dir, "revoked"),
		Now: func() time.Time { return now },
	}
}

func (w *world) verifier(change func(*verify.Config)) *verify.Verifier {
	w.t.Helper()
	cfg := w.config()
	if change != nil {
		change(&cfg)
	}
	v, err := verify.New(cfg, w)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// offer is what a scenario shows to the verifier.
type offer struct {
	commit   gitops.Commit
	accepted gitops.Hash
	blamed   gitops.Hash // the commit that breaks the rule
	config   func(*verify.Config)
}

// scenario is a thing that must be refused. Build makes it twice: sound, which
// must be accepted, and with the one thing broken that the name tells of.
type scenario struct {
	name   string
	reason gitops.Reason
	build  func(w *world, broken bool) offer
}

func runScenarios(t *testing.T, w *world, scenarios []scenario) {
	ctx := context.Background()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			w.t = t
			sound := s.build(w, false)
			got, err := w.verifier(sound.config).Verify(ctx, sound.commit, sound.accepted)
			if err != nil {
				t.Fatalf("the sound counterpart is refused: %v", err)
			}
			if !got.Valid() || got.Revision() != sound.commit.Revision || got.Tree() == "" {
				t.Errorf("the sound counterpart gives %+v", got)
			}

			broken := s.build(w, true)
			v := w.verifier(broken.config)
			got, err = v.Verify(ctx, broken.commit, broken.accepted)
			if got.Valid() {
				t.Errorf("a refused commit is valid: %+v", got)
			}
			var e *gitops.Error
			if !errors.As(err, &e) {
				t.Fatalf("Verify: %v, want a refusal", err)
			}
			if e.Reason != s.reason || e.Commit != broken.blamed {
				t.Errorf("refused with %s for %s, want %s for %s\n%v", e.Reason, e.Commit, s.reason, broken.blamed, err)
			}
			if strings.ContainsFunc(e.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("the refusal has control characters: %q", e.Error())
			}
			explained(t, v, broken, e)
		})
	}
	w.t = t
}

// explained checks that Explain tells the same as Verify.
func explained(t *testing.T, v *verify.Verifier, o offer, refusal *gitops.Error) {
	t.Helper()
	decisions, err := v.Explain(context.Background(), o.commit, o.accepted)
	if err != nil {
		t.Fatalf("Explain: %v", err)
	}
	for _, d := range decisions {
		if !d.Trusted && d.Reason == refusal.Reason && (d.Commit == refusal.Commit || d.Commit == o.commit.Revision.Hash()) {
			return
		}
	}
	t.Errorf("Explain does not tell of %s: %+v", refusal.Reason, decisions)
}

// oneCommit offers a single commit on top of the introduction.
func oneCommit(good, bad func(w *world) gitops.Hash) func(*world, bool) offer {
	return func(w *world, broken bool) offer {
		build := good
		if broken {
			build = bad
		}
		head := build(w)
		return offer{commit: onMain(head), blamed: head}
	}
}

// signedBy offers a commit that ann signed, and one that somebody else did.
func signedBy(other func(w *world) sign) func(*world, bool) offer {
	return oneCommit(
		func(w *world) gitops.Hash { return w.commit(w.ann.sign, w.root) },
		func(w *world) gitops.Hash { return w.commit(other(w), w.root) },
	)
}

// edited offers a commit that ann signed, and one whose text was changed after that.
func edited(old, new string) func(*world, bool) offer {
	return oneCommit(
		func(w *world) gitops.Hash { return w.commit(w.ann.sign, w.root) },
		func(w *world) gitops.Hash {
			text := signText(w.unsigned(w.root), w.ann.sign)
			changed := strings.Replace(text, old, new, 1)
			if changed == text {
				w.t.Fatalf("%q is not in the commit", old)
			}
			return w.put(gitops.CommitObject, []byte(changed))
		},
	)
}
