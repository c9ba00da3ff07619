// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// DriftMode says what is done about an object that differs from Git.
type DriftMode string

// The drift modes of a source or bundle.
const (
	DriftCorrect DriftMode = "correct" // repair it
	DriftStrict  DriftMode = "strict"  // repair it, and remove what others added
	DriftNotify  DriftMode = "notify"  // report it, touch nothing
	DriftOff     DriftMode = "off"     // do not look
)

// Gate says whether a bundle's health decides about the revision.
type Gate string

// The gates, in greenboot's words.
const (
	GateRequired Gate = "required"
	GateWanted   Gate = "wanted"
)

// Bundle is one unit of rendering inside a source, with the rules that its
// objects follow. All bundles of a source move together.
type Bundle struct {
	Name      string        `json:"name"`
	DependsOn []string      `json:"dependsOn,omitempty"`
	Wait      bool          `json:"wait"`
	Gate      Gate          `json:"gate"`
	Timeout   time.Duration `json:"timeout,omitempty"` // 0 = the source's
	Prune     bool          `json:"prune"`
	Force     bool          `json:"force,omitempty"`
	Drift     DriftMode     `json:"drift,omitempty"` // "" = the source's
}

// Hook marks an object that Helm runs at a point of the release instead of
// keeping: it is applied in its wave, waited for, and not owned afterwards
// when its delete policy says so.
type Hook struct {
	// Event is "pre-install", "post-install", "pre-upgrade" or "post-upgrade".
	Events []string `json:"events"`
	// DeletePolicy holds Helm's words: before-hook-creation, hook-succeeded, hook-failed.
	DeletePolicy []string `json:"deletePolicy,omitempty"`
}

// Manifest is one object as Git wants it.
type Manifest struct {
	Ref ObjectRef `json:"ref"`
	// YAML is the canonical document: keys sorted, no comments, one trailing
	// newline. It carries no label or annotation of ours.
	YAML []byte `json:"-"`
	// Digest is "sha256:<hex>" of YAML.
	Digest string `json:"digest"`
	Bundle string `json:"bundle"`
	// Wave orders objects inside a bundle: lower first, 0 by default. Helm
	// hooks are rendered to waves below and above 0.
	Wave int   `json:"wave,omitempty"`
	Hook *Hook `json:"hook,omitempty"`
}

// Manifests is the desired state of a source at a revision: the same bytes are
// planned, journalled and compared in golden files.
type Manifests struct {
	Revision Revision `json:"revision"`
	// Digest is over the canonical bytes and the bundles' rules. Equal digests
	// mean that there is nothing to do.
	Digest  string     `json:"digest"`
	Bundles []Bundle   `json:"bundles"`
	Objects []Manifest `json:"objects"`
}

// Bytes is the canonical multi-document YAML of all objects, in order.
func (m Manifests) Bytes() []byte {
	var b bytes.Buffer
	for i, o := range m.Objects {
		if i > 0 {
			b.WriteString("---\n")
		}
		b.Write(o.YAML)
	}
	return b.Bytes()
}

// Find returns the manifest of an object.
func (m Manifests) Find(key ObjectKey) (Manifest, bool) {
	for _, o := range m.Objects {
		if o.Ref.Key() == key {
			return o, true
		}
	}
	return Manifest{}, false
}

// Bundle returns the rules of a bundle by name.
func (m Manifests) Bundle(name string) (Bundle, bool) {
	for _, b := range m.Bundles {
		if b.Name == name {
			return b, true
		}
	}
	return Bundle{}, false
}

// Digest is "sha256:<hex>" of b, the form in which digests are journalled and
// shown everywhere.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
