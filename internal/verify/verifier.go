// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// The trust modes.
const (
	ModeHistory = "history" // every commit since the last accepted one is signed
	ModeHead    = "head"    // the head is signed
	ModeTag     = "tag"     // the annotated tag that names the head is signed
	ModeNone    = "none"    // nothing is signed
)

// FirstSeen is the introduction that begins trust with the first head that is
// properly signed.
const FirstSeen = "first-seen"

// defaultMaxCommits is how many commits may be new at once.
const defaultMaxCommits = 10_000

// Config says whom a source trusts, and from which commit on.
type Config struct {
	Source string
	Mode   string
	// Introduction is a commit id, or FirstSeen. Trust begins there: the commit
	// is trusted by its id, and every later one has to descend from it.
	Introduction string
	// Pinned says that Introduction is a first-seen head that was pinned
	// earlier: it is warned about for as long as it is in use.
	Pinned         bool
	AllowedSigners string // file, OpenSSH allowed_signers
	OpenPGPKeys    string // file, armored public keys
	Sigstore       SigstoreConfig
	Revoked        string // file, one revoked key a line
	// Roots is a file of allowed signers, RootThreshold of whom must sign the
	// first trust file of a repository. Without them it may not make one.
	Roots         string
	RootThreshold int
	// Carried names the signed statements that came with the source, by ref:
	// approvals, revocations, seals, heartbeats. nil = there are none.
	Carried func(ctx context.Context) (map[string]gitops.Hash, error)
	// Remembered is what was seen before and must not be unlearned. nil = nothing.
	Remembered func(ctx context.Context) (Remembered, error)
	// Waived is the one step that root lets the source make although the commit
	// does not descend from what was accepted. Everything else is judged as ever.
	// nil = there is none.
	Waived   func(ctx context.Context) (Waived, error)
	Insecure bool // allows ModeNone
	// Now is the node's clock, nil for the system's.
	Now func() time.Time
	// Synchronised reports whether the clock follows others. While it does not,
	// nothing new is let through, and what was accepted stands. nil = it does, or
	// the source does not ask for that.
	Synchronised func() bool
	// Floor is a time that has certainly passed, such as that of the build.
	// While the clock is behind it, keys are judged at the floor.
	Floor time.Time
	// MaxCommits is how many commits may be new at once, 0 for 10,000.
	MaxCommits int
	// TagOf returns the id of the tag object under which a revision's commit was
	// accepted. It is needed in ModeTag only, by Again: a revision does not
	// name the tag object.
	TagOf func(ctx context.Context, rev gitops.Revision) (gitops.Hash, error)
}

// Verifier makes the trust decision for one source. It may be used by several
// goroutines.
type Verifier struct {
	cfg     Config
	objects Objects
	start   gitops.Hash // the introduction, "" for first-seen and none
	trust   atomic.Pointer[trust]
	// anchor is a commit that is known to descend from the introduction, so
	// that the way down to it is walked once in the life of the process.
	anchor atomic.Pointer[gitops.Hash]
}

// New loads the keys.
func New(cfg Config, objects Objects) (*Verifier, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxCommits <= 0 {
		cfg.MaxCommits = defaultMaxCommits
	}
	v := &Verifier{cfg: cfg, objects: objects}
	if err := v.checkConfig(); err != nil {
		return nil, err
	}
	if err := v.Reload(); err != nil {
		return nil, err
	}
	return v, nil
}

func (v *Verifier) checkConfig() error {
	switch v.cfg.Mode {
	case ModeHistory, ModeHead, ModeTag:
	case ModeNone:
		if !v.cfg.Insecure {
			return refusal(gitops.TrustMissing, "set insecure: true on the source, or choose another mode",
				"source %s has trust mode none, which takes any commit", v.cfg.Source)
		}
	default:
		return refusal(gitops.TrustMissing, "use history, head, tag or none",
			"source %s has trust mode %q, which is not known", v.cfg.Source, v.cfg.Mode)
	}
	switch start := gitops.Hash(v.cfg.Introduction); {
	case start.Valid():
		v.start = start
	case start == FirstSeen, start == "" && v.cfg.Mode == ModeNone:
	default:
		return refusal(gitops.TrustMissing, "name the commit where trust begins by its full id, or write first-seen",
			"source %s has the introduction %s, which is no commit id of 40 lower-case digits", v.cfg.Source, quoted(v.cfg.Introduction))
	}
	return nil
}

// Reload reads the key files again. When the keys that may sign do not parse,
// the ones that were read before stay. When the revoked keys do not, nothing is
// let through until they do: a revocation that was not read must not be missed.
func (v *Verifier) Reload() error {
	if v.cfg.Mode == ModeNone {
		v.trust.Store(&trust{})
		return nil
	}
	revoked, revokedErr := loadRevoked(v.cfg.Revoked)
	developers, keysErr := loadKeys(v.cfg)
	roots, rootsErr := loadRoots(v.cfg)
	keysErr = errors.Join(keysErr, rootsErr)
	next := trust{developers: developers, roots: roots, revoked: revoked, broken: revokedErr}
	if before := v.trust.Load(); before != nil && keysErr != nil {
		next.developers, next.roots = before.developers, before.roots
	}
	v.trust.Store(&next)
	return errors.Join(keysErr, revokedErr)
}

// trusted is what the key files say now.
func (v *Verifier) trusted() (*trust, error) {
	now := v.trust.Load()
	return now, now.broken
}

// Warnings are what the operator chose and should not forget.
func (v *Verifier) Warnings() []string {
	var out []string
	if v.cfg.Mode == ModeNone {
		out = append(out, "trust mode none: any commit is taken, whoever made it; sign commits and set trust.mode to history")
	}
	if v.cfg.Introduction == FirstSeen || v.cfg.Pinned {
		out = append(out, "trust begins with the first commit that was seen (introduction: first-seen), not with one that was chosen; set trust.introduction to a commit id")
	}
	return out
}

func (v *Verifier) moment() moment {
	m := newMoment(v.cfg.Now(), v.cfg.Floor)
	m.loose = v.cfg.Synchronised != nil && !v.cfg.Synchronised()
	return m
}
