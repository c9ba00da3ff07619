// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// CheckTrustFile reads a trust file as a node would, its keys included.
func CheckTrustFile(data []byte) (TrustFile, error) {
	f, err := ParseTrustFile(data)
	if err != nil {
		return f, err
	}
	_, err = newPolicy(f, "")
	return f, err
}

// Requirement is something that nodes ask of a commit, and who stands for it.
type Requirement struct {
	What    string   `json:"what"`
	Need    int      `json:"need"`
	By      []string `json:"by,omitempty"`
	Missing []string `json:"missing,omitempty"` // who else could
	// Unproven are in whose name gitsign signed or approved it, which nobody can
	// judge here without a trusted root.
	Unproven []string `json:"unproven,omitempty"`
	// Rendered marks what is asked only if the rendered objects change so:
	// that shows when a node plans.
	Rendered bool `json:"rendered,omitempty"`
}

// Met reports whether enough stand for it.
func (r Requirement) Met() bool { return len(r.By) >= r.Need }

// Require says what the trust files of a repository ask of a commit. It knows
// nothing of a node's own files: it is for people who sign and approve, and a
// node asks all of it again. Approved are the principals of these trust files
// whose approval of the commit holds. Of cfg it takes Introduction, Carried, Now
// and the trusted root of Sigstore.
func Require(ctx context.Context, cfg Config, objects Objects, c gitops.Commit) (approved []string, asked []Requirement, err error) {
	cfg.Mode = ModeHistory
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxCommits <= 0 {
		cfg.MaxCommits = defaultMaxCommits
	}
	v := &Verifier{cfg: cfg, objects: objects, start: gitops.Hash(cfg.Introduction)}
	keyless, err := loadSigstore(SigstoreConfig{TrustedRoot: cfg.Sigstore.TrustedRoot})
	if err != nil {
		return nil, nil, err
	}
	v.trust.Store(&trust{developers: ring{keyless: keyless}})
	id := c.Revision.Hash()
	raw, err := parseIn(ctx, objects, id)
	if err != nil {
		return nil, nil, err
	}
	x, err := v.begin(ctx, c, first(raw.parents))
	if err != nil {
		return nil, nil, err
	}
	under, before, err := x.authorities(ctx, id, raw)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range under {
		if !p.inBand() {
			continue
		}
		more, err := x.require(ctx, raw, before, p)
		if err != nil {
			return nil, nil, err
		}
		asked = append(asked, more...)
	}
	after, err := x.policyIn(ctx, raw.tree, id)
	if err != nil {
		return nil, nil, err
	}
	roots, err := x.requireRoots(ctx, raw, newestOf(x.node, before), after)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range append(under, after) {
		names, err := x.approvals(ctx, p, id, first(raw.parents), slices.Sorted(maps.Keys(p.rings))...)
		if err != nil {
			return nil, nil, err
		}
		approved = append(approved, names...)
	}
	slices.Sort(approved)
	return slices.Compact(approved), append(asked, roots...), nil
}

// require is what one trust file asks of the head.
func (x *examination) require(ctx context.Context, raw rawCommit, before []compared, p *policy) ([]Requirement, error) {
	id := x.head()
	signature := Requirement{What: "a signature by a developer or a root", Need: 1, Missing: p.members([]string{roleDeveloper, roleRoot}, nil)}
	if who, err := x.signerUnder(ctx, id, raw, p); err == nil {
		signature.By, signature.Missing = []string{who.name}, nil
	} else if signature.Unproven = x.claims(p, id, []signed{own(id, raw)}, roleDeveloper, roleRoot, roleMerger); !refused(err) && len(signature.Unproven) == 0 {
		return nil, err
	}
	roles := p.file.releasers(x.commit.FullRef)
	release := Requirement{What: "a release to " + x.commit.FullRef, Need: 1, Missing: p.members(roles, nil)}
	if how, err := x.bindsUnder(ctx, raw, signer{}, p); err == nil {
		release.By, release.Missing = []string{how}, nil
	} else if !refused(err) {
		return nil, err
	}
	out := []Requirement{signature}
	out, err := x.ask(ctx, out, release, p, raw, roles...)
	if err != nil {
		return nil, err
	}
	for _, g := range p.guards() {
		r := Requirement{Need: g.Approvals, What: "a change of " + strings.Join(append(slices.Clone(g.Kinds), g.Namespaces...), ", "), Rendered: true}
		if len(g.Paths) > 0 {
			changed, err := x.touches(ctx, id, raw, before, g)
			if err != nil {
				return nil, err
			}
			if changed == trustPath {
				continue // the roots are asked about it below
			}
			if changed != "" {
				r.What, r.Rendered = "a change of "+quoted(changed), false
			}
		}
		if r.Rendered && len(g.Kinds)+len(g.Namespaces) == 0 {
			continue
		}
		if r.By, err = x.standFor(ctx, id, raw, p, g.roles()...); err != nil {
			return nil, err
		}
		r.Missing = p.members(g.roles(), r.By)
		if out, err = x.ask(ctx, out, r, p, raw, g.roles()...); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ask adds what is asked of the head, and where it is not met, who might stand
// for it whom nobody can judge here.
func (x *examination) ask(ctx context.Context, out []Requirement, r Requirement, p *policy, raw rawCommit, roles ...string) ([]Requirement, error) {
	var err error
	if !r.Met() {
		r.Unproven, err = x.unproven(ctx, p, x.head(), raw, roles...)
	}
	return append(out, r), err
}

// requireRoots is what a change of the trust file takes.
func (x *examination) requireRoots(ctx context.Context, raw rawCommit, before, after *policy) ([]Requirement, error) {
	if before.blob == after.blob {
		return nil, nil
	}
	var out []Requirement
	for _, p := range []*policy{before, after} {
		if !p.inBand() || p == after && before.inBand() && before.file.sameRoots(after.file) {
			continue
		}
		names, err := x.standFor(ctx, x.head(), raw, p, roleRoot)
		if err != nil {
			return nil, err
		}
		r := Requirement{
			What: "a change of " + trustPath + ", by the roots of its version " + strings.TrimPrefix(p.name, "trust file version "),
			Need: p.threshold(), By: names, Missing: p.members([]string{roleRoot}, names),
		}
		if out, err = x.ask(ctx, out, r, p, raw, roleRoot); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// TrustPath is where a repository keeps its trust file.
const TrustPath = trustPath

// Protects reports whether a change of a file takes approvals.
func (f TrustFile) Protects(path string) bool {
	return path == TrustPath || slices.ContainsFunc(f.Protected, func(p Protection) bool { return p.covers(path) })
}

// ReadStatement reads the tag below refs/edgeagent/ that a ref names: what it
// says, and of which object. Who signed it is not looked at.
func ReadStatement(ref string, raw []byte) (fields map[string]string, object gitops.Hash, err error) {
	s, err := parseStatement(ref, raw)
	return s.fields, s.raw.object, err
}
