// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/verify"
	"github.com/edgeagent/edgeagent/internal/verify/attest"
)

func (w *world) trustFile() string {
	w.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, verify.TrustPath))
	if err != nil {
		w.Fatal(err)
	}
	return string(data)
}

func (w *world) parsed() verify.TrustFile {
	w.Helper()
	f, err := verify.CheckTrustFile([]byte(w.trustFile()))
	if err != nil {
		w.Fatal(err)
	}
	return f
}

// change changes the trust file, and returns what a person is told.
func (w *world) change(f func(*attest.Draft) error) (attest.Changed, error) {
	w.Helper()
	d, err := w.open().Draft(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if err := f(d); err != nil {
		return attest.Changed{}, err
	}
	return d.Write(attest.Options{Now: now})
}

func TestChangesKeepWhatPeopleWrote(t *testing.T) {
	w := introduced(t)
	path := filepath.Join(w.dir, verify.TrustPath)
	text := strings.Replace(w.trustFile(), "roles:\n", "# who does what\nroles:\n", 1)
	text = strings.Replace(text, "threshold: 2}", "threshold: 2} # not fewer", 1)
	w.write(path, text)
	for _, change := range []func(*attest.Draft) error{
		func(d *attest.Draft) error {
			return d.Add("eve", []attest.PublicKey{w.public("eve")}, []string{"developer", "heartbeat"})
		},
		func(d *attest.Draft) error { return d.Rotate("dan", w.public("dan2")) },
		func(d *attest.Draft) error { return d.Add("eve", nil, []string{"root"}) },
	} {
		if _, err := w.change(change); err != nil {
			t.Fatal(err)
		}
	}
	after := w.trustFile()
	for _, want := range []string{"# who does what", "# not fewer", "# Whom nodes believe", "version: 2\n", "kube-system"} {
		if !strings.Contains(after, want) {
			t.Errorf("%q is not in\n%s", want, after)
		}
	}
	f := w.parsed()
	if f.Version != 2 || !slices.Equal(f.Principals["dan"].SSH, []string{w.public("dan2").SSH}) || !slices.Contains(f.Roles["root"].Principals, "eve") || !slices.Equal(f.Roles["heartbeat"].Principals, []string{"eve"}) {
		t.Errorf("the file says %+v", f)
	}
	w.commit("ann")
	if done, err := w.change(func(d *attest.Draft) error { return d.Add("dan", nil, []string{"heartbeat"}) }); err != nil || done.Version != 3 || len(done.Need) != 1 || done.Need[0].Need != 2 {
		t.Errorf("after a commit: %+v, %v", done, err)
	}
}

func TestChangesThatAreRefusedLeaveTheFile(t *testing.T) {
	w := introduced(t)
	before := w.trustFile()
	for name, test := range map[string]struct {
		change func(*attest.Draft) error
		want   string
	}{
		"a principal without a role": {func(d *attest.Draft) error { return d.Add("eve", []attest.PublicKey{w.public("eve")}, nil) }, "name a role"},
		"a principal without a key":  {func(d *attest.Draft) error { return d.Add("eve", nil, []string{"root"}) }, "name a key"},
		"a key twice":                {func(d *attest.Draft) error { return d.Add("dan", []attest.PublicKey{w.public("dan")}, nil) }, "already"},
		"a key of another": {func(d *attest.Draft) error {
			return d.Add("eve", []attest.PublicKey{w.public("dan")}, []string{"developer"})
		}, "they would count as two"},
		"a name with a space": {func(d *attest.Draft) error {
			return d.Add("eve x", []attest.PublicKey{w.public("eve")}, []string{"root"})
		}, "would not be valid"},
		"rotation to the same key":  {func(d *attest.Draft) error { return d.Rotate("dan", w.public("dan")) }, "rotate to a new one"},
		"rotation of nobody":        {func(d *attest.Draft) error { return d.Rotate("eve", w.public("eve")) }, "is no principal"},
		"more roots than there are": {func(d *attest.Draft) error { d.Threshold(4); return nil }, "a threshold of 4 with 3 principals"},
		"revocation of nobody":      {func(d *attest.Draft) error { _, err := d.Revoke("nobody"); return err }, "neither a principal"},
		"revocation of half a key":  {func(d *attest.Draft) error { _, err := d.Revoke("SHA256:abc"); return err }, "would not be valid"},
		"revocation of too many": {func(d *attest.Draft) error {
			if _, err := d.Revoke("ann"); err != nil {
				return err
			}
			_, err := d.Revoke("ben")
			return err
		}, "a threshold of 2 with 1 principals"},
	} {
		t.Run(name, func(t *testing.T) {
			w.T = t
			_, err := w.change(test.change)
			fails(t, err, test.want)
			if w.trustFile() != before {
				t.Error("the file was changed")
			}
		})
	}
}

func TestRevokeTakesKeysAway(t *testing.T) {
	w := introduced(t)
	if _, err := w.change(func(d *attest.Draft) error {
		return d.Add("dan", []attest.PublicKey{w.public("dan2")}, nil)
	}); err != nil {
		t.Fatal(err)
	}
	one := w.public("dan").Print
	if _, err := w.change(func(d *attest.Draft) error { _, err := d.Revoke(w.keyFile("dan")); return err }); err != nil {
		t.Fatal(err)
	}
	f := w.parsed()
	if !slices.Equal(f.Revoked, []string{one}) || !slices.Equal(f.Principals["dan"].SSH, []string{w.public("dan2").SSH}) {
		t.Errorf("one key of two: %+v", f)
	}
	_, err := w.change(func(d *attest.Draft) error { return d.Add("dan", []attest.PublicKey{w.public("dan")}, nil) })
	fails(t, err, "is revoked in this trust file")
	_, err = w.change(func(d *attest.Draft) error { return d.Rotate("dan", w.public("dan")) })
	fails(t, err, "is revoked in this trust file")
	if done, err := w.change(func(d *attest.Draft) error { _, err := d.Revoke(one); return err }); err != nil || len(done.Done) != 0 || done.Version != 2 {
		t.Errorf("the same again: %+v, %v", done, err)
	}
	if _, err := w.change(func(d *attest.Draft) error { _, err := d.Revoke("dan"); return err }); err != nil {
		t.Fatal(err)
	}
	f = w.parsed()
	if _, there := f.Principals["dan"]; there || len(f.Revoked) != 2 || len(f.Roles["developer"].Principals) != 0 {
		t.Errorf("all keys: %+v", f)
	}
}

func TestKeysOfEveryKind(t *testing.T) {
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not here")
	}
	w := introduced(t)
	home, err := os.MkdirTemp("", "gpg") // a socket's name may not be long
	if err != nil {
		t.Fatal(err)
	}
	gpg := func(args ...string) string {
		cmd := exec.Command("gpg", append([]string{"--homedir", home, "--batch", "--quiet", "--passphrase", ""}, args...)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %v: %v", args, err)
		}
		return string(out)
	}
	t.Cleanup(func() {
		exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run() //nolint:errcheck // it may be gone
		os.RemoveAll(home)
	})
	gpg("--quick-generate-key", "gil@example.com", "ed25519", "sign", "never")
	file := filepath.Join(w.files, "gil.asc")
	w.write(file, gpg("--armor", "--export", "gil@example.com"))
	pgp, err := attest.ReadPublicKey(file)
	if err != nil {
		t.Fatal(err)
	}
	keyless, err := attest.ReadPublicKey("sigstore:https://ci.example.com repo/fleet")
	if err != nil {
		t.Fatal(err)
	}
	authority, err := attest.ReadPublicKey("cert-authority " + w.public("ca").SSH)
	if err != nil {
		t.Fatal(err)
	}
	add := func() {
		t.Helper()
		if _, err := w.change(func(d *attest.Draft) error {
			return d.Add("gil", []attest.PublicKey{pgp, keyless, authority, w.public("gil")}, []string{"developer"})
		}); err != nil {
			t.Fatal(err)
		}
	}
	add()
	gil := w.parsed().Principals["gil"]
	if len(gil.OpenPGP) != 1 || len(gil.Sigstore) != 1 || len(gil.SSH) != 2 || !strings.Contains(w.trustFile(), "      - |\n") {
		t.Errorf("gil has %+v in\n%s", gil, w.trustFile())
	}
	if !strings.Contains(gpg("--with-colons", "--fingerprint", "gil@example.com"), pgp.Print) {
		t.Errorf("gpg knows no fingerprint %s", pgp.Print)
	}
	for _, key := range []attest.PublicKey{pgp, keyless, authority} {
		_, err := w.change(func(d *attest.Draft) error { return d.Add("gil", []attest.PublicKey{key}, nil) })
		fails(t, err, "already")
	}
	if _, err := w.change(func(d *attest.Draft) error { _, err := d.Revoke("gil"); return err }); err != nil {
		t.Fatal(err)
	}
	want := []string{authority.Print, w.public("gil").Print, pgp.Print, keyless.Print}
	if f := w.parsed(); !slices.Equal(f.Revoked, want) || len(f.Principals) != 4 {
		t.Errorf("revoked are %v, want %v", f.Revoked, want)
	}
}
