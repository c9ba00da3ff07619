// SPDX-License-Identifier: Apache-2.0

package gitsign_test

import (
	"testing"

	"github.com/edgeagent/edgeagent/internal/verify/gitsign"
	"github.com/edgeagent/edgeagent/test/sigstore"
)

// FuzzSignature shows that no bytes make the parser or the libraries behind it
// fall over, and that what holds is by the one certificate that was made.
func FuzzSignature(f *testing.F) {
	i := sigstore.New(f)
	root, err := gitsign.ParseRoot(i.TrustedRoot())
	if err != nil {
		f.Fatal(err)
	}
	der := i.Sign(ann(), payload())
	sound, err := gitsign.Parse(der, payload())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	online := ann()
	online.Online = true
	f.Add(i.Sign(online, payload()))
	f.Add([]byte("\x30\x80junk"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := gitsign.Parse(data, payload())
		if err == nil && root.Verify(s, s.Identity) == nil && (s.Certificate != sound.Certificate || s.Identity != sound.Identity) {
			t.Errorf("signed by %+v with %s", s.Identity, s.Certificate)
		}
	})
}
