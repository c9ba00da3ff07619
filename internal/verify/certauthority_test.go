// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func TestAuthoritiesInTrustFiles(t *testing.T) {
	// trusted begins a repository whose trust file gives principals authorities
	// in the place of their keys, and protects what it says.
	trusted := func(w *inband, ca map[string]string, protected string) {
		text, rest, _ := strings.Cut(w.trust(1, ""), "protected:\n")
		_, rest, _ = strings.Cut(rest, "refs:")
		text += protected + "refs:" + rest
		for name, entry := range ca {
			text = strings.Replace(text, `"`+w.keys[name].line()+`"`, entry, 1)
		}
		w.base = w.base.with(files{trustYAML: text})
		w.root = w.commitOf(nil, w.base, "")
	}
	ca := ed25519Key()
	line := `"cert-authority ` + ca.line() + `"`
	named := func(w *inband, key, principal string) sign {
		cert := blank(w.keys[key].PublicKey())
		cert.ValidPrincipals = []string{principal}
		return under(ca.certify(cert), w.keys[key].sign)
	}
	runRules(t, []rule{
		{"certificate for another name than the principal's", gitops.UnknownSigner, func(w *inband, broken bool) offer {
			trusted(w, map[string]string{"dan": line}, "")
			head := w.commitOf(named(w, "dan", either(broken, "dan2", "dan")), w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"authority of a principal that expired", gitops.KeyExpired, func(w *inband, broken bool) offer {
			trusted(w, map[string]string{"dan": line + `], validBefore: "` + either(broken, "20260501", "20260701") + `", openpgp: [`}, "")
			head := w.commitOf(named(w, "dan", "dan"), w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: head}
		}},
		{"one authority for two who are counted", gitops.TrustFileRefused, func(w *inband, broken bool) offer {
			trusted(w, map[string]string{either(broken, "alice", "erin"): line, either(broken, "bob", "dan"): line}, "")
			head := w.commitOf(either(broken, w.keys["dan"].sign, named(w, "dan", "dan")), w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: either(broken, w.root, head)}
		}},
		{"one authority for two of whom two have to approve", gitops.TrustFileRefused, func(w *inband, broken bool) offer {
			trusted(w, map[string]string{"erin": line, "dan": line},
				"protected: [{paths: [rbac/], by: [developer, root], approvals: "+either(broken, "2", "1")+"}]\n")
			head := w.commitOf(named(w, "dan", "dan"), w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: either(broken, w.root, head)}
		}},
		{"one authority for two of a role whose approvals count, not of another", gitops.TrustFileRefused, func(w *inband, broken bool) offer {
			trusted(w, map[string]string{"erin": line, "dan": line}, "protected: [{paths: [rbac/], by: ["+either(broken, "developer", "root")+"], approvals: 2}]\n")
			head := w.commitOf(named(w, "dan", "dan"), w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: either(broken, w.root, head)}
		}},
		{"one authority for two roots who have to agree", gitops.TrustFileRefused, func(w *inband, broken bool) offer {
			trusted(w, map[string]string{"alice": line, "bob": line}, "")
			if !broken {
				w.base[trustYAML] = strings.Replace(w.base[trustYAML], "threshold: 2", "threshold: 1", 1)
				w.root = w.commitOf(nil, w.base, "")
			}
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: either(broken, w.root, head)}
		}},
		{"authority of one who is counted, and key of another", gitops.TrustFileRefused, func(w *inband, broken bool) offer {
			trusted(w, map[string]string{"alice": line, "bob": either(broken, `"`+ca.line()+`"`, `"`+w.keys["bob"].line()+`"`)}, "")
			head := w.commitOf(w.keys["dan"].sign, w.base, w.forMain(), w.root)
			return offer{commit: onMain(head), blamed: either(broken, w.root, head)}
		}},
		{"authority that the trust file revokes", gitops.KeyRevoked, func(w *inband, broken bool) offer {
			trusted(w, map[string]string{"dan": line}, "")
			head := w.commitOf(named(w, "dan", "dan"), w.base, w.forMain(), w.root)
			w.revoke(either(broken, ca, w.keys["erin"]).fingerprint(), "alice", "bob")
			return offer{commit: onMain(head), blamed: head}
		}},
	})
}

func TestRootsThatAreCounted(t *testing.T) {
	w := newWorld(t)
	ann, ben := w.ann.line(), w.ben.line()
	for name, c := range map[string]struct {
		lines string
		count int
		want  string // in the error, "" = accepted
	}{
		"an authority each":                  {"ann cert-authority " + ann + "\nben cert-authority " + ben, 2, ""},
		"one authority for any name":         {"*@example.com cert-authority " + ann + "\nben " + ben, 2, "line 1: a cert-authority for \"*@example.com\" could count as several"},
		"one authority for two names":        {"ann,cat cert-authority " + ann + "\nben " + ben, 2, "line 1: a cert-authority"},
		"one authority on two lines":         {"ann cert-authority " + ann + "\nben cert-authority " + ann, 2, "line 2: the key is listed for \"ann\""},
		"an authority that is a key, too":    {"ann cert-authority " + ann + "\nben " + ann, 2, "line 2: the key is listed for \"ann\""},
		"one authority where one is enough":  {"*@example.com cert-authority " + ann, 1, ""},
		"the same root on two lines of keys": {"ann " + ann + "\nann " + ann + "\nben " + ben, 2, ""},
		"fewer roots than have to agree":     {"ann " + ann + "\nann " + ben, 2, "needs 2 roots to agree, and " + w.dir + "/roots names 1"},
		"what is no list of roots":           {"ann " + ann[:30], 1, "read allowed signers from " + w.dir + "/roots: line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config()
			cfg.Roots, cfg.RootThreshold = w.file("roots", c.lines), c.count
			_, err := verify.New(cfg, w)
			if c.want == "" && err != nil || c.want != "" && (gitops.ReasonOf(err) != gitops.TrustMissing || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("New: %v, want %q", err, c.want)
			}
		})
	}
}
