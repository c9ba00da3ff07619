// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

const (
	// differentialVariable says how many objects are compared; a nightly run
	// compares many more than differentialDefault.
	differentialVariable = "EDGEAGENT_DIFFERENTIAL"
	differentialDefault  = 5_000
	// differentialRound is how many objects are in one repository.
	differentialRound = 5_000
	// leastShare of the objects must be accepted by both: a fuzzer that makes
	// rubbish only would show that rubbish is refused.
	leastShare = 0.30
	// sampled is how often git verify-commit is asked, which starts ssh-keygen.
	sampled = 40
)

// differential compares what this package accepts with what git says of it.
type differential struct {
	*repo
	rand    *rand.Rand
	ann     sshKey
	allowed string
	trees   []gitops.Hash
	commits []gitops.Hash
	store   store
	tag     gitops.Hash // the commit that tags are of

	objects, accepted, byGit, verified, stricter int
}

// Objects are damaged, or changed as people would, and then signed again. What
// is accepted, git reads in the same way: the same tree, the same parents, a
// well-formed object with a good signature.
func TestGitAgreesAboutSignedObjects(t *testing.T) {
	t.Parallel()
	total := differentialDefault
	if text := os.Getenv(differentialVariable); text != "" {
		var err error
		if total, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	ann := ed25519Key()
	signers := filepath.Join(t.TempDir(), "allowed_signers")
	writeFile(t, signers, "ann@example.com "+ann.line()+"\n")
	var sum differential
	for round := 0; sum.objects < total; round++ {
		d := differential{repo: newRepo(t), rand: rand.New(rand.NewPCG(uint64(round), 11)), ann: ann, allowed: signers}
		d.prepare(t)
		d.compare(t, min(differentialRound, total-sum.objects))
		sum.objects, sum.accepted, sum.byGit = sum.objects+d.objects, sum.accepted+d.accepted, sum.byGit+d.byGit
		sum.verified, sum.stricter = sum.verified+d.verified, sum.stricter+d.stricter
	}
	share := float64(sum.accepted) / float64(sum.objects)
	t.Logf("%d objects: %d (%.0f %%) accepted by both, %d well-formed to git, %d of them refused here; git verified %d signatures",
		sum.objects, sum.accepted, 100*share, sum.byGit, sum.stricter, sum.verified)
	if share < leastShare {
		t.Errorf("%.0f %% of the objects are accepted by both, want %.0f %%: the test shows too little", 100*share, 100*leastShare)
	}
	if sum.byGit == sum.objects || sum.stricter == 0 || sum.verified == 0 {
		t.Error("nothing was malformed, or nothing was verified: the test shows nothing")
	}
}

// prepare makes trees and commits that the objects can name.
func (d *differential) prepare(t *testing.T) {
	d.store = store{}
	add := func(kind gitops.ObjectKind, raw []byte) gitops.Hash {
		id := d.put(kind, raw)
		d.store[id] = anything{kind, raw}
		return id
	}
	d.trees = []gitops.Hash{add(gitops.TreeObject, nil)}
	for i := range 5 {
		blob := d.put(gitops.BlobObject, []byte{byte(i)})
		raw, err := hex.DecodeString(string(blob))
		if err != nil {
			t.Fatal(err)
		}
		d.trees = append(d.trees, add(gitops.TreeObject, append([]byte("100644 file\x00"), raw...)))
	}
	for range 6 {
		d.commits = append(d.commits, add(gitops.CommitObject, []byte(d.unsigned())))
	}
	d.tag = d.commits[0]
}

var anyID = regexp.MustCompile("[0-9a-f]{40}")

// signedObject is one that was made for the comparison.
type signedObject struct {
	id   gitops.Hash
	kind gitops.ObjectKind
	raw  []byte
}

func (d *differential) compare(t *testing.T, n int) {
	objects := make([]signedObject, 0, n)
	for len(objects) < n {
		o := signedObject{kind: gitops.CommitObject, raw: d.commitText()}
		if d.rand.IntN(5) == 0 {
			o = signedObject{kind: gitops.TagObject, raw: d.tagText()}
		}
		o.id = hashOf(o.kind, o.raw)
		if _, known := d.store[o.id]; known {
			continue
		}
		d.store[o.id] = anything{o.kind, o.raw}
		objects = append(objects, o)
	}
	d.pack(t, objects)
	complaints := d.fsck(t)
	commits := map[gitops.Hash]string{}
	var tags []gitops.Hash
	var sample []signedObject
	for _, o := range objects {
		d.objects++
		wellFormed := complaints[o.id] == ""
		if wellFormed {
			d.byGit++
		}
		if !d.accepts(t, o) {
			if wellFormed {
				d.stricter++
			}
			continue
		}
		if !wellFormed {
			t.Errorf("accepted, and git fsck says %q of\n%q", complaints[o.id], o.raw)
			continue
		}
		d.accepted++
		if o.kind == gitops.TagObject {
			tags = append(tags, o.id)
		} else {
			tree, parents, _, err := verify.ReadCommit(o.raw)
			if err != nil {
				t.Fatal(err)
			}
			commits[o.id] = read(tree, parents)
		}
		if d.accepted%sampled == 0 {
			sample = append(sample, o)
		}
	}
	d.sameReading(t, commits, tags)
	d.sameSignatures(t, sample)
}

// accepts asks the whole of the decision, on a node that trusts ann alone.
func (d *differential) accepts(t *testing.T, o signedObject) bool {
	cfg := verify.Config{Source: "fleet", Mode: verify.ModeHead, Introduction: verify.FirstSeen, AllowedSigners: d.allowed}
	offered := onMain(o.id)
	if o.kind == gitops.TagObject {
		cfg.Mode = verify.ModeTag
		offered = onTag("v1", d.tag, o.id)
	}
	v, err := verify.New(cfg, d.store)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Verify(t.Context(), offered, "")
	return err == nil && got.Valid()
}

// sameReading compares trees, parents and the targets of tags.
func (d *differential) sameReading(t *testing.T, commits map[gitops.Hash]string, tags []gitops.Hash) {
	for id, theirs := range d.gitReads(commits) {
		if theirs != commits[id] {
			t.Errorf("git reads %q, we read %q, in\n%q", theirs, commits[id], d.store[id].raw)
		}
	}
	d.ask()
	for _, id := range tags { // by the git cat-file that runs all the time
		fmt.Fprintf(d.in, "%s^{}\n", id)
		line, err := d.out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(line)
		if len(fields) != 3 || gitops.Hash(fields[0]) != d.tag {
			t.Fatalf("git follows %s to %q, we to %s, in\n%q", id, line, d.tag, d.store[id].raw)
		}
		size, err := strconv.Atoi(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.out.Discard(size + 1); err != nil {
			t.Fatal(err)
		}
	}
}

// sameSignatures has git verify what was accepted.
func (d *differential) sameSignatures(t *testing.T, sample []signedObject) {
	for verb, kind := range map[string]gitops.ObjectKind{"verify-commit": gitops.CommitObject, "verify-tag": gitops.TagObject} {
		ids := []string{"-c", "gpg.ssh.allowedSignersFile=" + d.allowed, verb}
		for _, o := range sample {
			if o.kind == kind {
				ids = append(ids, string(o.id))
			}
		}
		if len(ids) > 3 {
			d.git(ids...)
			d.verified += len(ids) - 3
		}
	}
}

// fsck is what git says of malformed objects, by their ids.
func (d *differential) fsck(t *testing.T) map[gitops.Hash]string {
	cmd := d.command("fsck", "--full", "--no-dangling", "--no-reflogs", "--no-progress")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	_ = cmd.Run() // it fails when it complains
	out := map[gitops.Hash]string{}
	for line := range strings.Lines(stderr.String()) {
		if strings.HasPrefix(line, "notice: ") { // about HEAD
			continue
		}
		id := anyID.FindString(line)
		if id == "" || strings.HasPrefix(line, "fatal") {
			t.Fatalf("git fsck says %q", line)
		}
		out[gitops.Hash(id)] = strings.TrimSpace(line)
	}
	return out
}

// pack puts objects into the repository as they are, all at once.
func (d *differential) pack(t *testing.T, objects []signedObject) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("PACK")
	b.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 2), uint32(len(objects))))
	for _, o := range objects {
		kind := map[gitops.ObjectKind]byte{gitops.CommitObject: 1, gitops.TagObject: 4}[o.kind]
		size := len(o.raw)
		first := kind<<4 | byte(size&15)
		for size >>= 4; size > 0; size >>= 7 {
			b.WriteByte(first | 0x80)
			first = byte(size & 0x7f)
		}
		b.WriteByte(first)
		z, err := zlib.NewWriterLevel(&b, zlib.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		z.Write(o.raw)
		z.Close()
	}
	sum := sha1.Sum(b.Bytes())
	b.Write(sum[:])
	cmd := d.command("index-pack", "--stdin")
	cmd.Stdin = bufio.NewReader(&b)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git index-pack: %v\n%s", err, out)
	}
}

// hashOf is the id of an object.
func hashOf(kind gitops.ObjectKind, raw []byte) gitops.Hash {
	sum := sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", kind, len(raw), raw))
	return gitops.Hash(hex.EncodeToString(sum[:]))
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// commitText is a signed commit. Most are as people make them; some are damaged
// before they are signed, and a few after that.
func (d *differential) commitText() []byte {
	r := d.rand
	parents := slices.Clone(d.commits)
	r.Shuffle(len(parents), func(i, j int) { parents[i], parents[j] = parents[j], parents[i] })
	parents = parents[:one(r, 0, 1, 1, 1, 2, 2, 3)]
	text := strings.Replace(d.unsigned(parents...), string(emptyTree), string(one(r, d.trees...)), 1)
	for range r.IntN(3) {
		text = d.gentle(text, parents)
	}
	if r.IntN(2) == 0 {
		text = string(mutate(r, []byte(text)))
	}
	raw := []byte(signText(text, d.ann.sign))
	if r.IntN(12) == 0 {
		raw = mutate(r, raw)
	}
	return raw
}

// gentle is a change that leaves a commit well-formed.
func (d *differential) gentle(text string, parents []gitops.Hash) string {
	r := d.rand
	switch r.IntN(8) {
	case 0:
		return text + one(r, "more\n", "\n\n", "no newline", "-----BEGIN PGP SIGNATURE-----\n", "J\xfcrg\n", "tree "+string(emptyTree)+"\n", "\t\x1b[1m\n")
	case 1:
		return strings.Replace(text, "Ann Example", one(r, "Jörg", "J\xfcrg", "a", "A. B.", "", "a,b;c:d\"e'f", "Ann  Example"), 1)
	case 2:
		return strings.Replace(text, "ann@example.com", one(r, "", "x", "a b", "ann@[::1]"), 1)
	case 3:
		return strings.Replace(text, "+0100", one(r, "-0000", "+0545", "-1200", "+1400"), 1)
	case 4:
		return strings.ReplaceAll(text, " "+strconv.FormatInt(d.clock, 10)+" ", one(r, " 0 ", " 1 ", " 4102444800 ", " 253402300799 "))
	case 5:
		return strings.Replace(text, "\n\n", "\nencoding "+one(r, "UTF-8", "utf-8", "utf8")+"\n\n", 1)
	case 6:
		if len(parents) > 1 && !strings.Contains(text, "\nencoding") {
			return mergeTag(text, tagText(parents[1], gitops.CommitObject, "v"+strconv.Itoa(r.IntN(9))))
		}
	}
	return strings.Replace(text, "change ", one(r, "", "\n", "fix: ", strings.Repeat("x", 300)), 1)
}

// tagText is a signed tag.
func (d *differential) tagText() []byte {
	r := d.rand
	text := tagText(d.tag, gitops.CommitObject, "v1") + fmt.Sprintf("number %d\n", r.IntN(1<<30))
	switch r.IntN(4) {
	case 0:
		text = strings.Replace(text, "Ann Example", one(r, "J\xfcrg", "a", ""), 1)
	case 1:
		text += one(r, "\n\n", "tree x\n", "-----BEGIN\n", "no newline\n")
	}
	if r.IntN(2) == 0 {
		text = string(mutate(r, []byte(text)))
	}
	raw := []byte(text + d.ann.sign([]byte(text)))
	if r.IntN(12) == 0 {
		raw = mutate(r, raw)
	}
	return raw
}
