// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// signed is a world whose repository has a trust file: alice and bob are its
// roots, dan and erin develop. ConfigMaps need a root's approval when guarded.
type signed struct {
	*world
	keys  map[string]ssh.Signer
	start gitops.Hash
	// far keeps what is put from the store until it is asked for.
	far   bool
	more  string // at the end of the trust file
	clock func() time.Time
	floor time.Time
}

// inSignedWorld runs a test on a fresh node that believes a trust file.
func inSignedWorld(t *testing.T, more string, test func(w *signed)) {
	t.Helper()
	inWorld(t, func(plain *world) {
		w := &signed{world: plain, keys: map[string]ssh.Signer{}, clock: time.Now, more: more}
		for i, name := range []string{"alice", "bob", "dan", "erin"} {
			key, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32)))
			if err != nil {
				t.Fatal(err)
			}
			w.keys[name] = key
		}
		w.start = w.commitBy("alice", content{}, w.trust(1, more))
		if err := os.WriteFile(w.signers(), []byte("node "+w.line("alice")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.believe()
		test(w)
	})
}

func (w *signed) signers() string { return filepath.Join(w.dir, "signers") }

// believe starts a new agent that judges by the trust file.
func (w *signed) believe() {
	v, err := verify.New(verify.Config{
		Source: fleet, Mode: verify.ModeHistory, Introduction: string(w.start), AllowedSigners: w.signers(), Now: w.clock, Floor: w.floor,
		Carried: func(context.Context) (map[string]gitops.Hash, error) {
			w.remote.mu.Lock()
			defer w.remote.mu.Unlock()
			return maps.Clone(w.remote.refs), nil
		},
		Remembered: func(ctx context.Context) (verify.Remembered, error) {
			known, err := w.journal.Learned(ctx, fleet)
			return verify.Remembered{TrustVersion: known.TrustVersion, Revoked: known.Revoked, Floor: known.Floor, Heartbeat: known.Heartbeat}, err
		},
		Waived: func(ctx context.Context) (verify.Waived, error) {
			state, err := w.journal.State(ctx, fleet)
			if err != nil || state.Waiver == nil || !state.Waiver.Used.IsZero() {
				return verify.Waived{}, err
			}
			return verify.Waived{From: state.Waiver.From, To: state.Waiver.To}, nil
		},
	}, w.remote)
	if err != nil {
		w.t.Fatal(err)
	}
	w.cfg.Sources[0].Verifier = v
	w.restart()
}

func (w *signed) line(name string) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(w.keys[name].PublicKey())))
}

func (w *signed) fingerprint(name string) string {
	return ssh.FingerprintSHA256(w.keys[name].PublicKey())
}

func (w *signed) trust(version int, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: edgeagent.dev/v1alpha1\nkind: Trust\nversion: %d\nprincipals:\n", version)
	for _, name := range slices.Sorted(maps.Keys(w.keys)) {
		fmt.Fprintf(&b, "  %s: {ssh: [%q]}\n", name, w.line(name))
	}
	b.WriteString("roles:\n  root: {principals: [alice, bob], threshold: 2}\n  developer: {principals: [dan, erin]}\n")
	return b.String() + more
}

// guarded protects what every commit of a test changes.
const guarded = "protected:\n- {kinds: [ConfigMap], approvals: 1, by: [root]}\n"

func (w *signed) sign(name, text string) string {
	sig, err := sshsig.Sign(strings.NewReader(text), w.keys[name], sshsig.HashSHA512, "git")
	if err != nil {
		w.t.Fatal(err)
	}
	return string(sshsig.Armor(sig))
}

// commitBy puts a signed commit, and moves the branch there.
func (w *signed) commitBy(name string, want content, trust string, parents ...gitops.Hash) gitops.Hash {
	r := w.remote
	r.mu.Lock()
	defer r.mu.Unlock()
	blob := r.put(gitops.BlobObject, trust)
	dir := r.put(gitops.TreeObject, "100644 trust.yaml\x00"+rawID(blob))
	data := r.put(gitops.BlobObject, fmt.Sprint(want))
	root := r.put(gitops.TreeObject, "40000 .edgeagent\x00"+rawID(dir)+"100644 data\x00"+rawID(data))
	if w.far {
		r.far[blob], r.far[dir], r.far[root] = true, true, true
	}
	text := "tree " + string(root) + "\n"
	for _, p := range parents {
		text += "parent " + string(p) + "\n"
	}
	head := text + fmt.Sprintf("author A <a@example.com> %d +0000\ncommitter A <a@example.com> %[1]d +0000\n", 1_760_000_000+len(r.objects))
	body := "\nchange\n\n" + verify.RefTrailer(w.start, "refs/heads/main") + "\n"
	armor := strings.ReplaceAll(strings.TrimRight(w.sign(name, head+body), "\n"), "\n", "\n ")
	r.head = r.put(gitops.CommitObject, head+"gpgsig "+armor+"\n"+body)
	r.contents[r.head] = maps.Clone(want)
	return r.head
}

func rawID(id gitops.Hash) string {
	raw, _ := hex.DecodeString(string(id))
	return string(raw)
}

// pushBy commits on top of the branch.
func (w *signed) pushBy(name string, want content) gitops.Revision {
	return gitops.NewRevision("main", w.commitBy(name, want, w.trust(1, w.more), w.remote.head))
}

// statement puts a signed statement beside the head.
func (w *signed) statement(name, ref string, object gitops.Hash, kind gitops.ObjectKind, message string) {
	r := w.remote
	r.mu.Lock()
	defer r.mu.Unlock()
	text := fmt.Sprintf("object %s\ntype %s\ntag %s\ntagger A <a@example.com> 1760000000 +0000\n\n%s", object, kind, strings.TrimPrefix(ref, "refs/"), message)
	r.refs[ref] = r.put(gitops.TagObject, text+w.sign(name, text))
}

func (w *signed) approve(name string, commit, from gitops.Hash) {
	w.statement(name, verify.ApprovalRef(commit, name), commit, gitops.CommitObject, verify.ApprovalMessage(w.start, "refs/heads/main", from, commit))
}

func (w *signed) revoke(lines string, names ...string) {
	w.remote.mu.Lock()
	blob := w.remote.put(gitops.BlobObject, lines)
	w.remote.mu.Unlock()
	for _, name := range names {
		w.statement(name, verify.RevocationRef(1, name), blob, gitops.BlobObject, verify.RevocationMessage(w.start, 1, blob))
	}
}

func (w *signed) heartbeat(name string, commit gitops.Hash, sequence int64, at time.Time) {
	w.statement(name, verify.HeartbeatRef("refs/heads/main"), commit, gitops.CommitObject, verify.HeartbeatMessage(w.start, "refs/heads/main", commit, sequence, at))
}

func (w *signed) condition(kind, status string, reason gitops.Reason) gitops.Condition {
	w.t.Helper()
	c := w.status().Condition(kind)
	if c.Status != status || reason != "" && c.Reason != reason {
		w.t.Errorf("%s = %s, %s (%s); want %s, %s\n%s", kind, c.Status, c.Reason, c.Message, status, reason, w.log)
	}
	return c
}
