// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	revocationRefs = statementRefs + "revocations/"
	sealRefs       = statementRefs + "seals/"
	heartbeatRefs  = statementRefs + "heartbeat/"
	kindRevocation = "revocation"
	kindSeal       = "seal"
	kindHeartbeat  = "heartbeat"
	// heartbeatMost bounds a heartbeat's tag: it is kept in the journal.
	heartbeatMost = 32 << 10
)

// Remembered is what a node must not forget when a host stops showing it.
type Remembered struct {
	// TrustVersion is the highest version of the trust file that was accepted.
	TrustVersion int
	// Revoked are the keys that the roots revoked, one a line as in the node's
	// file of revoked keys. It only grows.
	Revoked []string
	// Floor is the newest time that the roots signed: it has passed.
	Floor time.Time
	// Heartbeat is the one with the highest sequence that was seen.
	Heartbeat *gitops.Heartbeat
	// Introduction is the commit that FirstSeen was pinned to: statements name it.
	Introduction gitops.Hash
}

// Published is what signed statements say, apart from any one commit.
type Published struct {
	Revoked   []string
	Floor     time.Time
	Heartbeat *gitops.Heartbeat
	// Void is the heartbeat that the node remembers, when it is to forget it.
	Void *gitops.Heartbeat
}

// Published reads the statements that came with c. It is judged under the
// policy of what was accepted before, because nothing of c is trusted yet.
func (v *Verifier) Published(ctx context.Context, c gitops.Commit, accepted gitops.Hash) (Published, error) {
	if v.cfg.Mode == ModeNone {
		return Published{}, nil
	}
	x, err := v.begin(ctx, c, accepted)
	if err != nil {
		return Published{}, err
	}
	out := Published{Revoked: x.published.Revoked, Floor: x.published.Floor}
	out.Heartbeat, out.Void, err = x.heartbeat(ctx)
	return out, err
}

// inForce is the policy under which statements are judged: that of what was
// accepted, of where trust begins, or of the node's files.
func (x *examination) inForce(ctx context.Context) (*policy, error) {
	if x.accepted != "" {
		return x.policyOf(ctx, x.accepted)
	}
	if x.v.start == "" {
		return x.node, nil
	}
	// An introduction that is not there is one of another repository: no head
	// descends from it, and that is what is said then.
	_, err := object(ctx, x.objects, x.v.start, gitops.CommitObject)
	if gitops.ReasonOf(err) == gitops.Incomplete {
		x.unread = err
		return x.node, nil
	}
	if err != nil {
		return nil, err
	}
	return x.policyOf(ctx, x.v.start)
}

// rootsAgree reports whether enough roots signed the same statement.
func (x *examination) rootsAgree(p *policy, same []statement) bool {
	var names []string
	for _, s := range same {
		who, err := p.check(s.signed(), x.at, x.revoked, roleRoot)
		if err == nil && !slices.Contains(names, who.name) {
			names = append(names, who.name)
		}
	}
	return p.threshold() > 0 && len(names) >= p.threshold()
}

// agreed groups statements that say the same about the same object, and keeps
// the groups that enough roots signed.
func (x *examination) agreed(ctx context.Context, p *policy, prefix, kind string) ([]statement, error) {
	all, err := x.statements(ctx, prefix)
	if err != nil {
		return nil, err
	}
	groups := map[string][]statement{}
	var order []string
	for _, s := range all {
		if s.fields[statementHeader] != kind || s.fields["Introduction"] != string(x.introduction()) {
			continue
		}
		key := string(s.raw.object) + "\x00" + s.raw.text
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], s)
	}
	var out []statement
	for _, key := range order {
		if x.rootsAgree(p, groups[key]) {
			out = append(out, groups[key][0])
		}
	}
	return out, nil
}

// readPublished adds the revocations that the roots published, and the times
// that they signed. It comes before anything is judged: a key that is revoked
// signs nothing any more, wherever its commits stand.
func (x *examination) readPublished(ctx context.Context) error {
	p, err := x.inForce(ctx)
	if refused(err) {
		return nil // what was accepted is judged where it stands
	}
	if err != nil {
		return err
	}
	lists, err := x.agreed(ctx, p, revocationRefs, kindRevocation)
	if err != nil {
		return err
	}
	for _, s := range lists {
		if err := x.addRevoked(ctx, s); err != nil {
			return err
		}
	}
	seals, err := x.agreed(ctx, p, sealRefs, kindSeal)
	if err != nil {
		return err
	}
	for _, s := range seals {
		at, err := time.Parse(time.RFC3339, s.fields["Time"])
		if err != nil || s.raw.kind != gitops.CommitObject || s.fields["To"] != string(s.raw.object) || len(s.fields) != 4 {
			continue
		}
		x.sealed = append(x.sealed, s.raw.object)
		if at.After(x.published.Floor) {
			x.published.Floor = at
		}
	}
	x.at = x.at.notBefore(x.published.Floor)
	return nil
}

// addRevoked takes one list over. The roots signed it, so one that cannot be
// read stops everything: a revocation that is passed over is a stolen key that
// still signs.
func (x *examination) addRevoked(ctx context.Context, s statement) error {
	name := printable(strings.TrimPrefix(s.ref, statementRefs))
	unreadable := func(err error) error {
		return refusal(gitops.TrustMissing, "have the roots publish a list that can be read", "the revocation %s: %v", name, err)
	}
	if s.raw.kind != gitops.BlobObject || s.fields["Blob"] != string(s.raw.object) || len(s.fields) != 4 {
		return unreadable(errors.New("it does not name its list"))
	}
	raw, err := object(ctx, x.objects, s.raw.object, gitops.BlobObject)
	if err != nil {
		return err
	}
	list, err := parseRevoked("the revocation "+name, raw)
	if err != nil {
		return unreadable(err)
	}
	x.revoked = append(x.revoked, list)
	x.publish(raw, list)
	return nil
}

// heartbeat is the newest sign of life of the ref by somebody who may give one,
// and the one that the node remembers when that counts for nothing any more.
func (x *examination) heartbeat(ctx context.Context) (shown, void *gitops.Heartbeat, err error) {
	p, err := x.inForce(ctx)
	if err != nil {
		return nil, nil, err
	}
	roles := []string{roleDeveloper, roleRoot}
	if p.file.Heartbeat != nil {
		roles = p.file.Heartbeat.By
	}
	ref := HeartbeatRef(x.commit.FullRef)
	all, err := x.statements(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range all {
		h, ok := x.beat(s)
		if s.ref != ref || !ok {
			continue
		}
		if who, err := p.check(s.signed(), x.at, x.revoked, roles...); err == nil {
			h.Signer, shown = who.name, h
		}
	}
	if known := x.remembered.Heartbeat; known != nil && x.isVoid(*known, shown != nil, p, roles) {
		void = known
	}
	return shown, void, nil
}

// beat is what a statement says as a heartbeat, whoever signed it.
func (x *examination) beat(s statement) (*gitops.Heartbeat, bool) {
	sequence, seqErr := strconv.ParseInt(s.fields["Sequence"], 10, 64)
	at, timeErr := time.Parse(time.RFC3339, s.fields["Time"])
	h := gitops.Heartbeat{Commit: s.raw.object, Sequence: sequence, At: at, Statement: slices.Concat(s.raw.payload, []byte(s.raw.signature))}
	return &h, seqErr == nil && timeErr == nil && len(h.Statement) <= heartbeatMost && s.raw.kind == gitops.CommitObject && s.says(map[string]string{
		statementHeader: kindHeartbeat, "Introduction": string(x.introduction()), "Ref": x.commit.FullRef,
		"Commit": string(s.raw.object), "Sequence": s.fields["Sequence"], "Time": s.fields["Time"],
	})
}

// isVoid reports whether a heartbeat that was taken before is to be forgotten:
// who stole a key may have written a sequence that nobody comes after. One whose
// key is revoked is as good as none. One that cannot be shown to be by somebody
// who may sign them goes when there is another: until then it tells of a host
// that shows nothing new. That a key expired since takes nothing back, nor does
// what a head revokes that nobody judged yet.
func (x *examination) isVoid(h gitops.Heartbeat, another bool, p *policy, roles []string) bool {
	s, _ := parseStatement(HeartbeatRef(x.commit.FullRef), h.Statement) // what is none is signed by nobody
	at := x.at
	at.again = true
	known := slices.DeleteFunc(slices.Clone(x.revoked), func(list revokedKeys) bool { return list.offered })
	_, err := p.check(s.signed(), at, known, roles...)
	return gitops.ReasonOf(err) == gitops.KeyRevoked || another && refused(err)
}

// RevocationMessage is the message of the tag that publishes a list of revoked
// keys, which is the blob that the tag names.
func RevocationMessage(introduction gitops.Hash, sequence int64, blob gitops.Hash) string {
	return message([][2]string{
		{statementHeader, kindRevocation}, {"Introduction", string(introduction)},
		{"Sequence", fmt.Sprint(sequence)}, {"Blob", string(blob)},
	})
}

// RevocationRef is where a principal's signature under a list is kept.
func RevocationRef(sequence int64, principal string) string {
	return fmt.Sprintf("%s%d/%s", revocationRefs, sequence, refName(principal))
}

// SealMessage is the message of the tag by which the roots vouch for a commit
// and all that lies below it.
func SealMessage(introduction, commit gitops.Hash, at time.Time) string {
	return message([][2]string{
		{statementHeader, kindSeal}, {"Introduction", string(introduction)}, {"To", string(commit)}, {"Time", show(at)},
	})
}

// SealRef is where a principal's seal of a commit is kept.
func SealRef(commit gitops.Hash, principal string) string {
	return sealRefs + string(commit) + "/" + refName(principal)
}

// HeartbeatMessage is the message of the tag that says that a ref is alive.
func HeartbeatMessage(introduction gitops.Hash, fullRef string, commit gitops.Hash, sequence int64, at time.Time) string {
	return message([][2]string{
		{statementHeader, kindHeartbeat}, {"Introduction", string(introduction)}, {"Ref", fullRef},
		{"Commit", string(commit)}, {"Sequence", fmt.Sprint(sequence)}, {"Time", show(at)},
	})
}

// HeartbeatRef is where a ref's heartbeat is kept.
func HeartbeatRef(fullRef string) string {
	return heartbeatRefs + strings.TrimPrefix(fullRef, "refs/")
}
