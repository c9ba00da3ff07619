// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	// trustFileMost bounds a trust file: a thousand principals fit in.
	trustFileMost = 1 << 20

	roleRoot      = "root"
	roleDeveloper = "developer"
	roleMerger    = "merger"
)

// TrustFile is .edgeagent/trust.yaml: whom a repository trusts, for what. Its
// changes are signed by the roots of the version before.
type TrustFile struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Version rises with every change.
	Version int `json:"version"`
	// Introduction binds the file to one repository when it is set.
	Introduction gitops.Hash          `json:"introduction,omitempty"`
	Principals   map[string]Principal `json:"principals"`
	Roles        map[string]Role      `json:"roles"`
	// Refs says which roles may release to which ref. One that is not listed
	// may be released to by developers and roots.
	Refs      map[string][]string `json:"refs,omitempty"`
	Protected []Protection        `json:"protected,omitempty"`
	// RollbackFloor is the oldest commit that a node may go back to.
	RollbackFloor gitops.Hash `json:"rollbackFloor,omitempty"`
	// Revoked are keys that must not have signed anything, as in the node's
	// file of revoked keys.
	Revoked   []string   `json:"revoked,omitempty"`
	Heartbeat *Heartbeat `json:"heartbeat,omitempty"`
}

// Principal is a person or a machine, and the keys that are theirs.
type Principal struct {
	SSH         []string         `json:"ssh,omitempty"`      // "ssh-ed25519 AAAA…", or "cert-authority ssh-ed25519 AAAA…"
	OpenPGP     []string         `json:"openpgp,omitempty"`  // armored public keys
	Sigstore    []SigstoreSigner `json:"sigstore,omitempty"` // keyless identities
	ValidAfter  string           `json:"validAfter,omitempty"`
	ValidBefore string           `json:"validBefore,omitempty"`
}

// SigstoreSigner is an identity as an issuer of certificates vouches for it.
type SigstoreSigner struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// Role is who may act in it, and how many of them it takes together.
type Role struct {
	Principals []string `json:"principals"`
	Threshold  int      `json:"threshold,omitempty"`
}

// Protection names what a change of takes approvals.
type Protection struct {
	Paths      []string `json:"paths,omitempty"`      // "dir/", "file", or a pattern of path.Match
	Kinds      []string `json:"kinds,omitempty"`      // "ClusterRole.rbac.authorization.k8s.io", "*.example.com", "Secret"
	Namespaces []string `json:"namespaces,omitempty"` // of the objects; with kinds, both must match
	Approvals  int      `json:"approvals"`
	By         []string `json:"by,omitempty"` // roles whose approvals count, default root
}

// Heartbeat says whose heartbeats count.
type Heartbeat struct {
	By []string `json:"by"`
}

// ParseTrustFile reads a trust file. Its error names every problem.
func ParseTrustFile(data []byte) (TrustFile, error) {
	var f TrustFile
	if len(data) > trustFileMost {
		return f, fmt.Errorf("it has %d bytes, more than %d", len(data), trustFileMost)
	}
	if err := yaml.UnmarshalStrict(data, &f); err != nil {
		return f, fmt.Errorf("%s", printable(err.Error()))
	}
	return f, f.check()
}

func (f TrustFile) check() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if f.APIVersion != "edgeagent.dev/v1alpha1" || f.Kind != "Trust" {
		bad("it is %s %s, not edgeagent.dev/v1alpha1 Trust", quoted(f.APIVersion), quoted(f.Kind))
	}
	if f.Version < 1 {
		bad("version is %d; it begins at 1", f.Version)
	}
	for field, id := range map[string]gitops.Hash{"introduction": f.Introduction, "rollbackFloor": f.RollbackFloor} {
		if id != "" && !id.Valid() {
			bad("%s %s is not a full commit id", field, quoted(string(id)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Principals)) {
		if err := checkPrincipalName(name); err != nil {
			bad("principal %s: %w", quoted(name), err)
		}
	}
	problems = append(problems, f.checkRoles(), f.checkProtected())
	for ref, roles := range f.Refs {
		if ref == "" || len(roles) == 0 {
			bad("refs: %s needs a name and at least one role", quoted(ref))
		}
		problems = append(problems, f.knownRoles("refs "+quoted(ref), roles))
	}
	if f.Heartbeat != nil {
		if len(f.Heartbeat.By) == 0 {
			bad("heartbeat.by is empty")
		}
		problems = append(problems, f.knownRoles("heartbeat", f.Heartbeat.By))
	}
	return errors.Join(problems...)
}

// checkPrincipalName takes names that are shown as they are: whoever reads who
// signed must not take one for another.
func checkPrincipalName(name string) error {
	if name == "" || strings.ContainsAny(name, " \t\n,!*?\"") || printable(name) != name {
		return errors.New("a name has 1 to 120 printable characters, none of them a space, a comma or a quote, and no *, ! or ? among them")
	}
	return nil
}

func (f TrustFile) checkRoles() error {
	var problems []error
	if f.Roles[roleRoot].Threshold < 1 { // and so there are principals, or it is refused below
		problems = append(problems, errors.New("roles.root needs principals and a threshold: nobody could change the file any more"))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Roles)) {
		r := f.Roles[name]
		if r.Threshold < 0 || r.Threshold > len(r.Principals) {
			problems = append(problems, fmt.Errorf("roles.%s: a threshold of %d with %d principals", printable(name), r.Threshold, len(r.Principals)))
		}
		seen := map[string]bool{}
		for _, p := range r.Principals {
			if _, ok := f.Principals[p]; !ok || seen[p] {
				problems = append(problems, fmt.Errorf("roles.%s: principal %s is not defined, or is there twice", printable(name), quoted(p)))
			}
			seen[p] = true
		}
	}
	return errors.Join(problems...)
}

// insideRepository reports whether a pattern can match a path in a repository. It
// is matched element by element; one that never matches would protect nothing.
func insideRepository(pattern string) bool {
	trimmed := strings.TrimSuffix(pattern, "/")
	if path.Clean(trimmed) != trimmed || path.IsAbs(trimmed) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(trimmed, "/"), func(element string) bool {
		_, err := path.Match(element, "")
		return err != nil || element == "." || element == ".."
	})
}

func (f TrustFile) checkProtected() error {
	var problems []error
	for i, p := range f.Protected {
		at := fmt.Sprintf("protected[%d]", i)
		if p.Approvals < 1 || len(p.Paths)+len(p.Kinds)+len(p.Namespaces) == 0 {
			problems = append(problems, fmt.Errorf("%s needs approvals, and paths, kinds or namespaces", at))
		}
		for _, pattern := range p.Paths {
			if !insideRepository(pattern) {
				problems = append(problems, fmt.Errorf("%s: path %s is not a path or pattern inside the repository", at, quoted(pattern)))
			}
		}
		who := map[string]bool{}
		for _, role := range p.roles() {
			for _, name := range f.Roles[role].Principals {
				who[name] = true
			}
		}
		if p.Approvals > len(who) {
			problems = append(problems, fmt.Errorf("%s wants %d approvals, of %d principals", at, p.Approvals, len(who)))
		}
		problems = append(problems, f.knownRoles(at, p.By))
	}
	return errors.Join(problems...)
}

// roles are those whose approvals count.
func (p Protection) roles() []string {
	if len(p.By) == 0 {
		return []string{roleRoot}
	}
	return p.By
}

// counts reports whether it matters how many principals of a role agree.
func (f TrustFile) counts(role string) bool {
	return role == roleRoot && f.Roles[roleRoot].Threshold > 1 || slices.ContainsFunc(f.Protected, func(p Protection) bool {
		return p.Approvals > 1 && slices.Contains(p.roles(), role)
	})
}

func (f TrustFile) knownRoles(at string, roles []string) error {
	for _, r := range roles {
		if _, ok := f.Roles[r]; !ok {
			return fmt.Errorf("%s: role %s is not defined", at, quoted(r))
		}
	}
	return nil
}

// releasers are the roles that may release to a ref.
func (f TrustFile) releasers(fullRef string) []string {
	short := strings.TrimPrefix(strings.TrimPrefix(fullRef, "refs/heads/"), "refs/tags/")
	for _, name := range []string{fullRef, short} {
		if roles, ok := f.Refs[name]; ok {
			return roles
		}
	}
	return []string{roleDeveloper, roleRoot}
}

// sameRoots reports whether two versions name the same roots: names, keys and
// threshold.
func (f TrustFile) sameRoots(other TrustFile) bool {
	a, b := f.Roles[roleRoot], other.Roles[roleRoot]
	if a.Threshold != b.Threshold || !slices.Equal(sorted(a.Principals), sorted(b.Principals)) {
		return false
	}
	for _, name := range a.Principals {
		if !f.Principals[name].same(other.Principals[name]) {
			return false
		}
	}
	return true
}

func (p Principal) same(other Principal) bool {
	return slices.Equal(p.SSH, other.SSH) && slices.Equal(p.OpenPGP, other.OpenPGP) && slices.Equal(p.Sigstore, other.Sigstore) &&
		p.ValidAfter == other.ValidAfter && p.ValidBefore == other.ValidBefore
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }
