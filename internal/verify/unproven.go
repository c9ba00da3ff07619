// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"slices"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// unproven names those in whose name gitsign signed or approved a commit, where
// the node has no trusted root to judge that. None of them counts: until it is
// judged, a name in a certificate is what anybody may write there. But whoever
// wonders why an approval does not count has to be told.
func (x *examination) unproven(ctx context.Context, p *policy, id gitops.Hash, raw rawCommit, roles ...string) ([]string, error) {
	all, err := x.statements(ctx, approvalRefs+string(id)+"/")
	if err != nil {
		return nil, err
	}
	claims := []signed{own(id, raw)}
	for _, s := range all {
		if x.approves(s, id, first(raw.parents)) {
			claims = append(claims, s.signed())
		}
	}
	return x.claims(p, id, claims, roles...), nil
}

// claims are the names under signatures that only a trusted root could prove.
func (x *examination) claims(p *policy, id gitops.Hash, all []signed, roles ...string) []string {
	var names []string
	for _, s := range all {
		if armorKind(s.armor) != armorX509 {
			continue
		}
		if _, err := p.check(s, x.moment(id), x.revoked, roles...); gitops.ReasonOf(err) != gitops.TrustMissing {
			continue
		}
		sig, err := parseSigstore(s)
		if name := show509(sig.Identity); err == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// own is a commit's own signature.
func own(id gitops.Hash, raw rawCommit) signed {
	return signed{what: "commit " + id.Short(), payload: raw.payload, armor: raw.signature}
}

// lacking adds to the refusal of a commit that too few stand for who might
// stand for it, were there a trusted root.
func (x *examination) lacking(ctx context.Context, e *gitops.Error, p *policy, id gitops.Hash, raw rawCommit, roles ...string) error {
	names, err := x.unproven(ctx, p, id, raw, roles...)
	if err != nil {
		return err
	}
	return withUnproven(e, names)
}

func withUnproven(e *gitops.Error, names []string) *gitops.Error {
	if len(names) == 0 {
		return e
	}
	e.Message += "; what gitsign signed in the name of " + strings.Join(names, ", ") + " cannot be judged, because the node has no trusted root"
	e.Remedy = rootRemedy + ", or " + e.Remedy
	return e
}
