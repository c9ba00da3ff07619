// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

// smallest is a trust file of two principals. Each line can be replaced.
const smallest = `apiVersion: edgeagent.dev/v1alpha1
kind: Trust
version: 1
principals:
  ann: {ssh: ["ANN"]}
  ben: {ssh: ["BEN"]}
roles:
  root: {principals: [ann, ben], threshold: 2}
  developer: {principals: [ben]}
protected:
- {paths: [rbac/], approvals: 2, by: [root]}
refs: {main: [developer]}
heartbeat: {by: [developer]}
`

func smallestWith(ann, ben sshKey, change ...string) string {
	text := strings.NewReplacer("ANN", ann.line(), "BEN", ben.line()).Replace(smallest)
	return strings.NewReplacer(change...).Replace(text)
}

func TestTrustFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	ann, ben := ed25519Key(), ed25519Key()
	e, other := newEntity(t, func(*openpgp.Entity) {}), newEntity(t, func(*openpgp.Entity) {})
	pgp := func(key string) string { return fmt.Sprintf("openpgp: [%q]", key) }
	for name, c := range map[string]struct {
		change []string
		want   string // in the error, "" = accepted
	}{
		"as it is":                         {nil, ""},
		"another API version":              {[]string{"v1alpha1", "v1beta9"}, "not edgeagent.dev/v1alpha1 Trust"},
		"another kind":                     {[]string{"kind: Trust", "kind: Thrust"}, "not edgeagent.dev/v1alpha1 Trust"},
		"field that is not known":          {[]string{"version: 1", "version: 1\nversions: 2"}, "unknown field"},
		"field that is there twice":        {[]string{"version: 1", "version: 1\nversion: 2"}, "already set"},
		"version 0":                        {[]string{"version: 1", "version: 0"}, "begins at 1"},
		"introduction that is no id":       {[]string{"version: 1", "version: 1\nintroduction: abc"}, "introduction \"abc\" is not a full commit id"},
		"introduction":                     {[]string{"version: 1", "version: 1\nintroduction: " + string(emptyTree)}, ""},
		"floor that is no id":              {[]string{"version: 1", "version: 1\nrollbackFloor: HEAD"}, "rollbackFloor \"HEAD\" is not a full commit id"},
		"principal without a name":         {[]string{"  ann: {", "  \"\": {"}, "1 to 120 printable"},
		"principal with a star":            {[]string{"ann", "a*n"}, "1 to 120 printable"},
		"principal with a long name":       {[]string{"ann", strings.Repeat("a", 121)}, "1 to 120 printable"},
		"principal with the longest name":  {[]string{"ann", strings.Repeat("a", 120)}, ""},
		"principal with a hidden mark":     {[]string{"  ann: {", "  \"a\\u202en\": {"}, "1 to 120 printable"},
		"no roots":                         {[]string{"root: {principals: [ann, ben], threshold: 2}", "roots: {principals: [ann]}"}, "roles.root needs"},
		"roots without a principal":        {[]string{"root: {principals: [ann, ben], threshold: 2}", "root: {principals: [], threshold: 0}"}, "roles.root needs"},
		"threshold of no roots":            {[]string{"root: {principals: [ann, ben], threshold: 2}", "root: {principals: [], threshold: 1}", "by: [root]", "by: [root, developer]", "approvals: 2", "approvals: 1"}, "a threshold of 1 with 0 principals"},
		"roots without a threshold":        {[]string{", threshold: 2}", "}"}, "roles.root needs"},
		"threshold beyond the roots":       {[]string{"threshold: 2", "threshold: 3"}, "a threshold of 3 with 2 principals"},
		"threshold below nothing":          {[]string{"developer: {principals: [ben]}", "developer: {principals: [ben], threshold: -1}"}, "a threshold of -1"},
		"role of somebody unknown":         {[]string{"developer: {principals: [ben]}", "developer: {principals: [cat]}"}, "\"cat\" is not defined, or is there twice"},
		"role that names somebody twice":   {[]string{"developer: {principals: [ben]}", "developer: {principals: [ben, ben]}"}, "\"ben\" is not defined, or is there twice"},
		"protection without approvals":     {[]string{"approvals: 2", "approvals: 0"}, "protected[0] needs approvals"},
		"protection of nothing":            {[]string{"paths: [rbac/], ", ""}, "protected[0] needs approvals"},
		"protection of a kind alone":       {[]string{"paths: [rbac/]", "kinds: [Secret]"}, ""},
		"protection of a namespace alone":  {[]string{"paths: [rbac/]", "namespaces: [kube-system]"}, ""},
		"protected path that is absolute":  {[]string{"rbac/", "/rbac/"}, "is not a path or pattern"},
		"protected path that leads out":    {[]string{"rbac/", "a/../../rbac/"}, "is not a path or pattern"},
		"protected path that is empty":     {[]string{"[rbac/]", "[\"\"]"}, "is not a path or pattern"},
		"protected path that is not clean": {[]string{"rbac/", "./rbac/"}, "is not a path or pattern"},
		"protected path with two slashes":  {[]string{"rbac/", "rbac//"}, "is not a path or pattern"},
		"protected path of the root":       {[]string{"[rbac/]", "[.]"}, "is not a path or pattern"},
		"protected path above":             {[]string{"[rbac/]", "[..]"}, "is not a path or pattern"},
		"protected path with half a class": {[]string{"rbac/", "\"[a/b]x\""}, "is not a path or pattern"},
		"protected path, escaped":          {[]string{"rbac/", "'a\\/'"}, "is not a path or pattern"},
		"protected path that is a bad one": {[]string{"rbac/", "\"rbac[\""}, "is not a path or pattern"},
		"more approvals than people":       {[]string{"approvals: 2", "approvals: 3"}, "wants 3 approvals, of 2"},
		"approvals by an unknown role":     {[]string{"by: [root]", "by: [root, boss]"}, "role \"boss\" is not defined"},
		"approvals by the roots, unsaid":   {[]string{", by: [root]", ""}, ""},
		"ref without a name":               {[]string{"{main: [developer]}", "{\"\": [developer]}"}, "needs a name and at least one role"},
		"ref without a role":               {[]string{"{main: [developer]}", "{main: []}"}, "needs a name and at least one role"},
		"ref of an unknown role":           {[]string{"{main: [developer]}", "{main: [boss]}"}, "refs \"main\": role \"boss\" is not defined"},
		"heartbeat by nobody":              {[]string{"heartbeat: {by: [developer]}", "heartbeat: {by: []}"}, "heartbeat.by is empty"},
		"heartbeat by an unknown role":     {[]string{"heartbeat: {by: [developer]}", "heartbeat: {by: [boss]}"}, "heartbeat: role \"boss\" is not defined"},
		"as large as may be":               {[]string{"kind: Trust", "kind: Trust\n# " + strings.Repeat("x", 1<<20-3-len(smallestWith(ann, ben)))}, ""},
		"a byte too large":                 {[]string{"kind: Trust", "kind: Trust\n# " + strings.Repeat("x", 1<<20-2-len(smallestWith(ann, ben)))}, "bytes, more than"},
		"too large":                        {[]string{"kind: Trust", "kind: Trust\n# " + strings.Repeat("x", 1<<20)}, "bytes, more than"},
		"principal without a key":          {[]string{"ann: {ssh: [\"" + ann.line() + "\"]}", "ann: {}"}, "principal \"ann\": it has no key"},
		"key that is none":                 {[]string{ann.line(), "ssh-ed25519 AAAA"}, "principal \"ann\""},
		"key on two lines":                 {[]string{ann.line(), ann.line() + "\\nssh-ed25519 AAAA"}, "an SSH key has several lines"},
		"one SSH key of two people":        {[]string{ben.line(), ann.line()}, "have the same SSH key"},
		"time that is none":                {[]string{"ben: {", "ben: {validBefore: tomorrow, "}, "validBefore: \"tomorrow\" is not"},
		"start that is none":               {[]string{"ben: {", "ben: {validAfter: tomorrow, "}, "validAfter: \"tomorrow\" is not"},
		"time that never is":               {[]string{"ben: {", "ben: {validAfter: \"20270101\", validBefore: \"20260101\", "}, "it is never valid"},
		"OpenPGP key":                      {[]string{"ssh: [\"" + ann.line() + "\"]", pgp(e.file())}, ""},
		"OpenPGP key beside an SSH key":    {[]string{"ann: {", "ann: {" + pgp(e.file()) + ", "}, ""},
		"OpenPGP key that is none":         {[]string{"ann: {", "ann: {" + pgp("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAA\n-----END PGP PUBLIC KEY BLOCK-----\n") + ", "}, "principal \"ann\": key block 1"},
		"OpenPGP entry without a key":      {[]string{"ann: {", "ann: {" + pgp("") + ", "}, "principal \"ann\": an OpenPGP entry holds no key"},
		"one OpenPGP key of two people":    {[]string{"ann: {", "ann: {" + pgp(e.file()) + ", ", "ben: {", "ben: {" + pgp(e.file()) + ", "}, "have the same OpenPGP key"},
		"two OpenPGP keys of two people":   {[]string{"ann: {", "ann: {" + pgp(e.file()) + ", ", "ben: {", "ben: {" + pgp(other.file()) + ", "}, ""},
		"revoked key that is none":         {[]string{"version: 1", "version: 1\nrevoked: [nothing]"}, "revoked: line 1"},
		"revoked key":                      {[]string{"version: 1", "version: 1\nrevoked: [\"" + ann.fingerprint() + "\"]"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify.CheckTrustFile([]byte(smallestWith(ann, ben, c.change...)))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// A principal's time is that of all its keys, and of the person's OpenPGP key too.
func TestPrincipalsWithOpenPGPKeys(t *testing.T) {
	e := newEntity(t, func(*openpgp.Entity) {})
	dated := func(broken, sound string) func(*inband, bool) offer {
		return func(w *inband, isBroken bool) offer {
			dan := fmt.Sprintf("  dan: {ssh: [%q]}\n", w.keys["dan"].line())
			with := fmt.Sprintf("  dan: {openpgp: [%q], %s}\n", e.file(), either(isBroken, broken, sound))
			w.base[trustYAML] = strings.Replace(w.trust(1, ""), dan, with, 1)
			w.root = w.commitOf(nil, w.base, "")
			head := w.commitOf(e.signWith(e.PrivateKey, true), w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}
	}
	runRules(t, []rule{
		{"OpenPGP key beyond its principal's time", gitops.KeyExpired, dated(`validBefore: "20260601"`, `validBefore: "20260602"`)},
		{"OpenPGP key before its principal's time", gitops.KeyNotYetValid, dated(`validAfter: "20260602"`, `validAfter: "20260601"`)},
		{"OpenPGP key of nobody", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			dan := fmt.Sprintf("  dan: {ssh: [%q]}\n", w.keys["dan"].line())
			w.base[trustYAML] = strings.Replace(w.trust(1, ""), dan, fmt.Sprintf("  dan: {ssh: [%q], openpgp: [%q]}\n", w.keys["dan"].line(), e.file()), 1)
			if broken {
				w.base[trustYAML] = w.trust(1, "")
			}
			w.root = w.commitOf(nil, w.base, "")
			head := w.commitOf(e.signWith(e.PrivateKey, true), w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
	})
}

// What a path of the trust file covers, and what it does not.
func TestProtectedPaths(t *testing.T) {
	t.Parallel()
	ann, ben := ed25519Key(), ed25519Key()
	for pattern, c := range map[string]struct{ covered, free []string }{
		"rbac/":          {[]string{"rbac", "rbac/a", "rbac/a/b"}, []string{"rbac2", "a/rbac/x", "RBAC/a"}},
		"rbac":           {[]string{"rbac", "rbac/a"}, []string{"rbac.yaml"}},
		"*/rbac":         {[]string{"x/rbac", "x/rbac/a"}, []string{"rbac", "x/y/rbac"}},
		"clusters/*/sys": {[]string{"clusters/n1/sys", "clusters/n1/sys/a"}, []string{"clusters/sys", "clusters/n1", "clusters/n1/n2/sys"}},
		"*.yaml":         {[]string{"a.yaml", "b.yaml/x"}, []string{"x/a.yaml"}},
	} {
		f, err := verify.CheckTrustFile([]byte(smallestWith(ann, ben, "[rbac/]", fmt.Sprintf("[%q]", pattern))))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range c.covered {
			if !f.Protects(path) {
				t.Errorf("%s does not cover %s", pattern, path)
			}
		}
		for _, path := range c.free {
			if f.Protects(path) {
				t.Errorf("%s covers %s", pattern, path)
			}
		}
	}
}

// Two trust files of one version, both signed by the roots: a merge keeps that of
// its first parent, or raises the version.
func TestTwoTrustFilesOfOneVersion(t *testing.T) {
	runRules(t, []rule{
		{"merge takes the other one", gitops.TrustRollback, func(w *inband, broken bool) offer {
			one, two := w.trust(2, "rollbackFloor: "+string(w.root)+"\n"), w.trust(2, "")
			ours := w.commitOf(w.keys["alice"].sign, w.base.with(files{trustYAML: one}), "", w.root)
			theirs := w.commitOf(w.keys["alice"].sign, w.base.with(files{trustYAML: two}), "", w.root)
			for _, c := range []gitops.Hash{ours, theirs} {
				w.approve("bob", c, w.root)
			}
			head := w.commitOf(w.keys["dan"].sign, w.base.with(files{trustYAML: either(broken, two, one)}), w.forMain(), ours, theirs)
			return offer{commit: onMain(head), blamed: head}
		}},
	})
}

// A refusal names who stands for a change in one order, whoever signed it.
func TestRefusalsNameWhoStands(t *testing.T) {
	w := newInband(t)
	w.base[trustYAML] = strings.Replace(w.trust(1, ""), "{paths: [rbac/], approvals: 2}", "{paths: [rbac/], approvals: 3}", 1)
	w.root = w.commitOf(nil, w.base, "")
	head := w.commitOf(w.keys["alice"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), w.forMain(), w.root)
	w.approve("bob", head, w.root)
	w.approve("erin", head, w.root)
	v, err := verify.New(w.config(), w)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(t.Context(), onMain(head), "")
	for _, want := range []string{`changes "rbac"`, "2 of 3 signed or approved it: alice, bob;", "by 1 more of: carol"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

// Protected paths that were not there before, and those that a pattern finds.
func TestChangesBelowProtectedPaths(t *testing.T) {
	change := func(pattern string, before, broken, sound files) func(*inband, bool) offer {
		return func(w *inband, isBroken bool) offer {
			w.base[trustYAML] = strings.Replace(w.trust(1, ""), "paths: [rbac/]", "paths: ["+pattern+"]", 1)
			w.base = w.base.with(before)
			w.root = w.commitOf(nil, w.base, "")
			head := w.commitOf(w.keys["dan"].sign, w.base.with(either(isBroken, broken, sound)), w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}
	}
	deep := files{"clusters/n1/sys/a": "1\n", "clusters/n2/sys": "a file\n"}
	runRules(t, []rule{
		{"protected directory that is new", gitops.NotApproved, change("fresh/", nil, files{"fresh/a": "1\n"}, files{"fresher/a": "1\n"})},
		{"protected file that is new", gitops.NotApproved, change("one.yaml", nil, files{"one.yaml": "1\n"}, files{"two.yaml": "1\n"})},
		{"protected file that is gone", gitops.NotApproved, change("apps/web.yaml", nil, files{"apps/web.yaml": ""}, files{"apps/web.yml": "1\n"})},
		{"deep pattern, changed", gitops.NotApproved, change("clusters/*/sys", deep, files{"clusters/n1/sys/a": "2\n"}, files{"clusters/n1/app.yaml": "2\n"})},
		{"deep pattern, new", gitops.NotApproved, change("clusters/*/sys", deep, files{"clusters/n3/sys/a": "1\n"}, files{"clusters/n3/system/a": "1\n"})},
		{"deep pattern, whole directory gone", gitops.NotApproved, change("clusters/*/sys", deep, files{"clusters/n2/sys": ""}, files{"apps/web.yaml": ""})},
		{"deep pattern beside a short one", gitops.NotApproved, change("rbac/, clusters/*/sys", deep, files{"clusters/n1/sys/a": "2\n"}, files{"clusters/n1/app.yaml": "2\n"})},
		{"deep pattern, files where a directory would be", gitops.NotApproved, change("clusters/*/sys", deep, files{"clusters/n3": "1\n", "clusters/n1/sys/a": "2\n"}, files{"clusters/n3": "1\n"})},
		{"deep pattern, directory in the place of a file", gitops.NotApproved, change("clusters/*/sys", deep, files{"clusters/n2/sys": "", "clusters/n2/sys/b": "1\n"}, nil)},
	})
}

// A refusal names each who could approve once, in one order.
func TestRefusalsNameWhoCould(t *testing.T) {
	w := newInband(t)
	text := strings.Replace(w.trust(1, ""), "{paths: [rbac/], approvals: 2}", "{paths: [rbac/], approvals: 3, by: [developer, root]}", 1)
	w.base[trustYAML] = strings.Replace(text, "developer: {principals: [dan, erin]}", "developer: {principals: [erin, dan, alice]}", 1)
	w.root = w.commitOf(nil, w.base, "")
	head := w.commitOf(w.keys["dan"].sign, w.base.with(files{"rbac/admin.yaml": "c: 2\n"}), w.forMain(), w.root)
	v, err := verify.New(w.config(), w)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(t.Context(), onMain(head), "")
	if want := "by 2 more of: alice, bob, carol, erin"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v, want %q at its end", err, want)
	}
}

// Whoever lost the role brings nothing back, however deep in the branch it lies.
func TestBranchesOfThoseWhoLeft(t *testing.T) {
	runRules(t, []rule{
		{"merge brings a commit of somebody who left, below another's", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			without := strings.Replace(w.trust(2, ""), "developer: {principals: [dan, erin]}", "developer: {principals: [dan]}", 1)
			next := w.base.with(files{trustYAML: without})
			ours := w.commitOf(w.keys["alice"].sign, next, "", w.root)
			w.approve("bob", ours, w.root)
			deep := w.commitOf(w.keys[either(broken, "erin", "dan")].sign, w.base, "", w.root)
			theirs := w.commitOf(w.keys["dan"].sign, w.base, "", deep)
			head := w.commitOf(w.keys["dan"].sign, next, w.forMain(), ours, theirs)
			return offer{commit: onMain(head), blamed: deep}
		}},
	})
}
