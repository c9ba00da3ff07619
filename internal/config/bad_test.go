// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// with is a file with one good source, its lines from "name" on replaced or added.
func with(lines ...string) string {
	source := []string{"name: fleet", "url: https://git.example.com/fleet.git", "trust: {introduction: " + commit + ", allowedSigners: DIR/signers}"}
	for _, line := range lines {
		key, _, _ := strings.Cut(line, ":")
		replaced := false
		for i := range source {
			if strings.HasPrefix(source[i], key+":") {
				source[i], replaced = line, true
			}
		}
		if !replaced {
			source = append(source, line)
		}
	}
	return head + "cluster: {kubeconfig: DIR/kubeconfig}\nsources:\n- " + strings.Join(source, "\n  ") + "\n"
}

func TestBadFiles(t *testing.T) {
	const sshFields = "set auth."
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{
			`config.yaml: apiVersion: "" is not the version of this file; write apiVersion: edgeagent.dev/v1alpha1`,
			`config.yaml: kind: "" is not the kind of this file; write kind: Config`,
		}},
		{"wrong version", "apiVersion: edgeagent.dev/v2\nkind: Confg\n", []string{
			`config.yaml:1: apiVersion: "edgeagent.dev/v2" is not the version of this file; write apiVersion: edgeagent.dev/v1alpha1`,
			`config.yaml:2: kind: "Confg" is not the kind of this file; write kind: Config`,
		}},
		{"not YAML", head + "node: {name: a\n", []string{
			"config.yaml:3: is not YAML: did not find expected ',' or '}'; correct the YAML; indentation is made of spaces",
		}},
		{"not YAML, later", head + "node:\n  name: a\n  - b\n", []string{
			"config.yaml:4: is not YAML: did not find expected key; correct the YAML; indentation is made of spaces",
		}},
		{"a tab", head + "node:\n\tname: a\n", []string{
			"config.yaml:4: is not YAML: found character that cannot start any token; correct the YAML; indentation is made of spaces",
		}},
		{"a list", "- a\n", []string{"config.yaml:1: is a list, where a mapping is needed; write its fields as key: value"}},
		{"two documents", head + "---\nkind: Config\n", []string{"config.yaml:3: there is a second document; put it into a file of its own in config.d"}},
		{"unknown field, near", head + "node: {lables: {a: b}}\n", []string{"config.yaml:3: node.lables: is not a field that this version knows; did you mean labels?"}},
		{"unknown field, far", head + "log: {colour: red}\n", []string{"config.yaml:3: log.colour: is not a field that this version knows; remove it; the fields here are format, level"}},
		{"duplicate key", head + "log: {level: info,\n  level: debug}\n", []string{"config.yaml:4: log.level: is written twice, first on line 3; remove one"}},
		{"duplicate label", head + "node:\n  labels:\n    a: b\n    a: c\n", []string{"config.yaml:6: node.labels.a: is written twice, first on line 5; remove one"}},
		{"anchor", head + "node: &n {labels: {}}\n", []string{"config.yaml:3: node: uses a YAML anchor; write the value out in every place"}},
		{"number for text", head + "node: {labels: {version: 1.10}}\n", []string{"config.yaml:3: node.labels.version: is a number, where a text is needed; put it in quotes"}},
		{"text for number", head + "cluster: {concurrency: \"4\"}\n", []string{"config.yaml:3: cluster.concurrency: is a text, where a whole number is needed; write a number, without quotes"}},
		{"text for bool", with("prune: maybe"), []string{"config.yaml:8: sources[0].prune: is a text, where true or false is needed; write true or false, without quotes"}},
		{"number for duration", with("interval: 60"), []string{"config.yaml:8: sources[0].interval: is a number, where a duration is needed; write a number with a unit, such as 60s, 5m or 1h30m"}},
		{"bad duration", with("interval: soon"), []string{`config.yaml:8: sources[0].interval: "soon" is not a duration; write a number with a unit, such as 60s, 5m or 1h30m`}},
		{"short interval", with("interval: 4s"), []string{"config.yaml:8: sources[0].interval: 4s is too short; write 5s or more; edgeagent sync polls at once"}},
		{"no time", with("timeout: 0s", "health: {timeout: -1m, stable: 0s}"), []string{
			"config.yaml:8: sources[0].timeout: 0s is no time at all; write a positive duration",
			"config.yaml:9: sources[0].health.timeout: -1m is no time at all; write a positive duration",
		}},
		{"stable too long", with("health: {timeout: 1m, stable: 60s}"), []string{"config.yaml:8: sources[0].health.stable: 60s does not fit into health.timeout; make it shorter than health.timeout"}},
		{"words", head + "log: {level: loud, format: xml}\ncluster: {concurrency: 0}\n", []string{
			`config.yaml:3: log.format: "xml" is not known; write one of text, json`,
			`config.yaml:3: log.level: "loud" is not known; write one of debug, info, warn, error`,
			"config.yaml:4: cluster.concurrency: 0 is out of range; write a number from 1 to 64",
		}},
		{"node", head + "node:\n  name: Store 42\n  labels: {ring: 'a b'}\n  variables: {my-var: x}\n", []string{
			`config.yaml:4: node.name: "Store 42" is not a node name; set node.name to lower-case letters, digits, dots and dashes`,
			"config.yaml:5: node.labels.ring: is not a Kubernetes label; use up to 63 letters, digits, dots, dashes and underscores",
			"config.yaml:6: node.variables.my-var: cannot be the name of a variable; use letters, digits and underscores, and begin with a letter",
		}},
		{"places", head + "stateDir: var\nsocket: /" + strings.Repeat("s", 107) + "\ncluster: {kubeconfig: k3s.yaml}\n", []string{
			`config.yaml:3: stateDir: "var" is not an absolute path; begin it with a slash`,
			"config.yaml:4: socket: has 108 bytes, and the kernel takes 107; choose a shorter path, such as /run/edgeagent/edgeagent.sock",
			`config.yaml:5: cluster.kubeconfig: "k3s.yaml" is not an absolute path; begin it with a slash`,
		}},
		{"source without anything", head + "sources:\n- {}\n", []string{
			`config.yaml:4: sources[0].name: "" is not a name; use 1 to 40 lower-case letters, digits and dashes`,
			"config.yaml:4: sources[0].trust: names no keys; set trust.allowedSigners, trust.openpgpKeys or trust.sigstore",
			"config.yaml:4: sources[0].trust.introduction: is missing; write the id of the commit at which trust begins, or first-seen to pin the first verified head",
			"config.yaml:4: sources[0].url: is missing; write the URL of the Git repository",
		}},
		{"name", with("name: Fleet_1"), []string{`config.yaml:5: sources[0].name: "Fleet_1" is not a name; use 1 to 40 lower-case letters, digits and dashes`}},
		{"long name", with("name: " + strings.Repeat("a", 41)), []string{`config.yaml:5: sources[0].name: "` + strings.Repeat("a", 41) + `" is not a name; use 1 to 40 lower-case letters, digits and dashes`}},
		{"password in the URL", with("url: https://bob:hunter2@git.example.com/a.git"), []string{
			"config.yaml:6: sources[0].url: holds credentials; take them out, and name files in auth.usernameFile and auth.passwordFile"}},
		{"token in the URL", with("url: https://ghp_hunter2@git.example.com/a.git"), []string{
			"config.yaml:6: sources[0].url: holds credentials; take them out, and name files in auth.usernameFile and auth.passwordFile"}},
		{"password in an unreadable URL", with("url: 'https://bob:hunter2@git.example.com:port/a.git'"), []string{
			"config.yaml:6: sources[0].url: is not a URL; write https://host/path.git or ssh://git@host/path.git"}},
		{"short form of ssh", with("url: git@git.example.com:fleet.git"), []string{
			"config.yaml:6: sources[0].url: is not a URL; write https://host/path.git or ssh://git@host/path.git"}},
		{"insecure schemes", with("url: http://git.example.com/a", "mirrors: [{url: 'file:///srv/a'}, {url: 'ext::sh'}, {url: 'git://h/a'}, {type: bundles, url: 'http://h/a'}, {type: bundles, url: 'ssh://h/a'}, {type: bundles}, {type: magic, url: 'https://h/a'}]"), []string{
			"config.yaml:6: sources[0].url: http is neither encrypted nor authenticated; use https or ssh, or set insecure: true",
			`config.yaml:8: sources[0].mirrors[0].url: file is neither encrypted nor authenticated; use https or ssh, or set insecure: true`,
			"config.yaml:8: sources[0].mirrors[1].url: is not a URL; write https://host/path.git or ssh://git@host/path.git",
			`config.yaml:8: sources[0].mirrors[2].url: the scheme "git" is not supported; use https or ssh`,
			"config.yaml:8: sources[0].mirrors[3].url: http is neither encrypted nor authenticated; use https or ssh, or set insecure: true",
			`config.yaml:8: sources[0].mirrors[4].url: bundles cannot be read over "ssh"; use https, or write type: git`,
			"config.yaml:8: sources[0].mirrors[5].url: is missing; write the URL of the mirror",
			`config.yaml:8: sources[0].mirrors[6].type: "magic" is not known; write one of git, bundles`,
		}},
		{"ssh", with("url: ssh://git@h/a.git"), []string{
			"config.yaml:6: sources[0].url: ssh needs a key; " + sshFields + "sshKeyFile",
			"config.yaml:6: sources[0].url: ssh needs the host's key; " + sshFields + "knownHostsFile",
		}},
		{"ssh password", with("url: ssh://git:hunter2@h/a.git", "auth: {sshKeyFile: DIR/key, knownHostsFile: DIR/known_hosts}"), []string{
			"config.yaml:6: sources[0].url: holds credentials; take them out, and name files in auth.usernameFile and auth.passwordFile"}},
		{"password in a list of bundles", with("mirrors: [{type: bundles, url: 'https://bob:hunter2@h/list'}]"), []string{
			"config.yaml:8: sources[0].mirrors[0].url: holds credentials; take them out, and name files in auth.usernameFile and auth.passwordFile"}},
		{"budget without its unit", with("link: {budgetPerDay: 50}"), []string{"config.yaml:8: sources[0].link.budgetPerDay: 50 is too little for a day; write 100kB or more, or 0 for no limit; is a unit missing?"}},
		{"budget in an unknown unit", with("link: {budgetPerDay: 50Mb}"), []string{`config.yaml:8: sources[0].link.budgetPerDay: "50Mb" is not an amount of data; write a whole number of bytes, or one with a unit, such as 50MB or 2GiB`}},
		{"budget in words", with("link: {budgetPerDay: [50MB]}"), []string{"config.yaml:8: sources[0].link.budgetPerDay: is a list, where an amount of data is needed; write a whole number of bytes, or one with a unit, such as 50MB or 2GiB"}},
		{"proxy", with("link: {proxy: 'http://bob:hunter2@h:1'}"), []string{"config.yaml:8: sources[0].link.proxy: holds credentials; use a proxy that knows the node by its address"}},
		{"proxy scheme", with("link: {proxy: 'ftp://h:1'}"), []string{"config.yaml:8: sources[0].link.proxy: is not the URL of a proxy; write http://host:port, https://host:port or socks5://host:port"}},
		{"proxy and ssh", with("mirrors: [{url: ssh://git@h/a, auth: {sshKeyFile: DIR/key}}]", "auth: {knownHostsFile: DIR/known_hosts}", "link: {proxy: 'http://h:1'}"), []string{
			"config.yaml:10: sources[0].link.proxy: cannot be used with ssh; use https, or remove it"}},
		{"two refs", with("ref: {branch: main, tag: v1}"), []string{"config.yaml:8: sources[0].ref: names 2 things to follow; set exactly one of branch, tag, semver and commit"}},
		{"long branch", with("ref: {branch: refs/heads/main}"), []string{`config.yaml:8: sources[0].ref.branch: "refs/heads/main" is not the short name of a branch; write it as git branch prints it`}},
		{"bad tag", with("ref: {tag: 'a..b'}"), []string{`config.yaml:8: sources[0].ref.tag: "a..b" is not the short name of a tag; write it as git tag prints it`}},
		{"bad range", with("ref: {semver: 'one.x'}"), []string{`config.yaml:8: sources[0].ref.semver: "one.x" is not a range of versions; write a range such as 1.4.x or >=1.4.0 <2.0.0`}},
		{"short commit", with("ref: {commit: 3f2a1bc}"), []string{`config.yaml:8: sources[0].ref.commit: "3f2a1bc" is not a commit; write all 40 lower-case digits, as git rev-parse prints them`}},
		{"path outside", with("path: a/../../b"), []string{`config.yaml:8: sources[0].path: "a/../../b" is not a folder of the repository; write it relative to the top, without leading slash and ..`}},
		{"absolute path", with("path: /a"), []string{`config.yaml:8: sources[0].path: "/a" is not a folder of the repository; write it relative to the top, without leading slash and ..`}},
		{"placeholders", with("path: ${node.nme}/${node.labels.ring}/$x"), []string{
			"config.yaml:8: sources[0].path: ${node.nme} is not known; use ${node.name} or ${node.labels.X}",
			`config.yaml:8: sources[0].path: the node has no label "ring"; add it to node.labels`,
			"config.yaml:8: sources[0].path: $ is not known; use ${node.name} or ${node.labels.X}",
		}},
		{"trust mode", with("trust: {mode: tofu, introduction: first-seen, allowedSigners: DIR/signers}"), []string{`config.yaml:7: sources[0].trust.mode: "tofu" is not known; write one of history, head, tag, none`}},
		{"clock", with("trust: {clock: ntp, introduction: first-seen, allowedSigners: DIR/signers}"), []string{`config.yaml:7: sources[0].trust.clock: "ntp" is not known; write one of any, synchronised`}},
		{"clock spelt otherwise", with("trust: {mode: none, clock: synchronized}", "insecure: true"), []string{`config.yaml:7: sources[0].trust.clock: "synchronized" is not known; write one of any, synchronised`}},
		{"no trust", with("trust: {mode: none}"), []string{"config.yaml:7: sources[0].trust.mode: none verifies nothing; use history, or set insecure: true for the source"}},
		{"trust in a tag", with("trust: {mode: tag, introduction: first-seen, allowedSigners: DIR/signers}"), []string{"config.yaml:7: sources[0].trust.mode: tag needs a tag to verify; set ref.tag or ref.semver"}},
		{"introduction", with("trust: {introduction: HEAD, openpgpKeys: DIR/signers}"), []string{`config.yaml:7: sources[0].trust.introduction: "HEAD" is not a commit; write all 40 lower-case digits, as git rev-parse prints them, or first-seen`}},
		{"missing file", with("trust: {introduction: first-seen, allowedSigners: DIR/nobody}"), []string{"config.yaml:7: sources[0].trust.allowedSigners: nobody does not exist; create it or correct the path"}},
		{"folder for a file", with("trust: {introduction: first-seen, allowedSigners: DIR/folder}"), []string{"config.yaml:7: sources[0].trust.allowedSigners: folder is not a regular file; name a file"}},
		{"open key", with("auth: {passwordFile: DIR/open, sshKeyFile: DIR/group}"), []string{
			"config.yaml:8: sources[0].auth.passwordFile: open is open to others (mode 0644); run chmod 600 open",
			"config.yaml:8: sources[0].auth.sshKeyFile: group is open to others (mode 0640); run chmod 600 group",
		}},
		{"writable signers", with("trust: {introduction: first-seen, allowedSigners: DIR/anybody}"), []string{
			"config.yaml:7: sources[0].trust.allowedSigners: anybody can be written by others (mode 0666), who could then add their own keys; run chmod go-w anybody"}},
		{"relative file", with("auth: {caFile: ca.pem}"), []string{`config.yaml:8: sources[0].auth.caFile: "ca.pem" is not an absolute path; begin it with a slash`}},
		{"half credentials", with("auth: {usernameFile: DIR/signers, clientCertFile: DIR/signers}"), []string{
			"config.yaml:8: sources[0].auth: has one of clientCertFile and clientKeyFile; set both or none",
			"config.yaml:8: sources[0].auth.usernameFile: signers is open to others (mode 0644); run chmod 600 signers",
		}},
		{"policies", with("onRemove: keep", "drift: fix", "rollback: {mode: no, max: 11}", "prunePolicy: {maxDeletes: -1, maxPercent: 101}"), []string{
			`config.yaml:8: sources[0].onRemove: "keep" is not known; write one of orphan, prune`,
			`config.yaml:9: sources[0].drift: "fix" is not known; write one of correct, strict, notify, off`,
			"config.yaml:10: sources[0].rollback.max: 11 is out of range; write a number from 0 to 10",
			`config.yaml:10: sources[0].rollback.mode: "no" is not known; write one of auto, manual`,
			"config.yaml:11: sources[0].prunePolicy.maxDeletes: -1 is out of range; write a number from 0 to 1000000",
			"config.yaml:11: sources[0].prunePolicy.maxPercent: 101 is out of range; write a number from 0 to 100",
		}},
		{"not in this version", strings.Replace(with("trust: {introduction: first-seen, allowedSigners: DIR/signers}", "prefetch: on",
			"windows: {download: [{schedule: '* * * * *'}], apply: [{duration: 1h}]}"), "cluster: {", "metrics: {listen: ':1'}\ncluster: {ha: true, ", 1), []string{
			"config.yaml:3: metrics.listen: is not supported by this version; remove it",
			"config.yaml:4: cluster.ha: is not supported by this version; remove it and run the agent on one server node of the cluster",
			"config.yaml:9: sources[0].prefetch: is not supported by this version; write auto",
			"config.yaml:10: sources[0].windows.apply: is not supported by this version; remove it; edgeagent suspend stops a source by hand",
			"config.yaml:10: sources[0].windows.download: is not supported by this version; remove it",
		}},
		{"half an identity", with("trust: {introduction: first-seen, sigstore: {issuer: x, trustedRoot: DIR/signers}}"), []string{
			"config.yaml:7: sources[0].trust: names no keys; set trust.allowedSigners, trust.openpgpKeys or trust.sigstore",
			"config.yaml:7: sources[0].trust.sigstore: has one of issuer and subject; set both: an issuer vouches for many"}},
		{"identity of nobody", with("trust: {introduction: first-seen, sigstore: {subject: x, trustedRoot: DIR/signers}}"), []string{
			"config.yaml:7: sources[0].trust.sigstore: has one of issuer and subject; set both: an issuer vouches for many"}},
		{"identity without a trusted root", with("trust: {introduction: first-seen, sigstore: {issuer: x, subject: y}}"), []string{
			"config.yaml:7: sources[0].trust.sigstore.trustedRoot: is missing; name Sigstore's trusted_root.json: what it says is checked without a network"}},
		{"trusted root alone", with("trust: {introduction: first-seen, sigstore: {trustedRoot: DIR/signers}}"), []string{
			"config.yaml:7: sources[0].trust: names no keys; set trust.allowedSigners, trust.openpgpKeys or trust.sigstore"}},
		{"trusted root that anybody may write", with("trust: {introduction: first-seen, sigstore: {issuer: x, subject: y, trustedRoot: DIR/anybody}}"), []string{
			"config.yaml:7: sources[0].trust.sigstore.trustedRoot: anybody can be written by others (mode 0666), who could then add their own keys; run chmod go-w anybody"}},
		{"threshold without roots", with("trust: {introduction: " + commit + ", allowedSigners: DIR/signers, threshold: {count: 2}}"), []string{
			"config.yaml:7: sources[0].trust.threshold.roots: is missing; name a file of allowed signers: the roots"}},
		{"threshold of none", with("trust: {introduction: " + commit + ", allowedSigners: DIR/signers, threshold: {roots: DIR/signers}}"), []string{
			"config.yaml:7: sources[0].trust.threshold.count: 0 roots would be enough; write how many of the roots must agree, 1 or more"}},
		{"roots that anybody may write", with("trust: {introduction: " + commit + ", allowedSigners: DIR/signers, threshold: {roots: DIR/anybody, count: 1}}"), []string{
			"config.yaml:7: sources[0].trust.threshold.roots: anybody can be written by others (mode 0666), who could then add their own keys; run chmod go-w anybody"}},
		{"unknown field of a threshold", with("trust: {introduction: " + commit + ", allowedSigners: DIR/signers, threshold: {n: 2}}"), []string{
			"config.yaml:7: sources[0].trust.threshold.n: is not a field that this version knows; remove it; the fields here are count, roots"}},
		{"staleness that is no time", with("maxStaleness: soon"), []string{
			`config.yaml:8: sources[0].maxStaleness: "soon" is not a duration; write a number with a unit, such as 72h`}},
		{"staleness of less than two polls", with("maxStaleness: 90s"), []string{
			"config.yaml:8: sources[0].maxStaleness: 90s is less than two intervals; write a longer time, such as 72h"}},
		{"mistyped and invalid at once", head + "log: {level: [a], format: xml}\nnod: {}\n", []string{
			`config.yaml:3: log.format: "xml" is not known; write one of text, json`,
			"config.yaml:3: log.level: is a list, where a text is needed; write one value",
			"config.yaml:4: nod: is not a field that this version knows; did you mean node?",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFolder(t)
			f.write("folder/x", "", 0o600)
			f.write("open", "", 0o644)
			f.write("group", "", 0o640)
			f.write("anybody", "", 0o666)
			got := f.problems(f.write("config.yaml", test.text, 0o644))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(strings.Join(got, ""), "hunter2") {
				t.Errorf("a password is printed: %s", got)
			}
		})
	}
}

func TestUnreadableFiles(t *testing.T) {
	f := newFolder(t)
	for _, test := range []struct {
		name, path, want string
	}{
		{"missing", f.dir + "/none.yaml", "none.yaml: cannot be read: no such file or directory; create it, or name another file with --config"},
		{"folder", f.dir, f.dir + ": is not a regular file; put the configuration there"},
		{"writable", f.write("w.yaml", head, 0o666), "w.yaml: can be written by everybody; run chmod o-w w.yaml"},
		{"large", f.write("l.yaml", strings.Repeat("#\n", 1<<19+1), 0o644), "l.yaml: is larger than 1 MiB; check that it is the right file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff([]string{test.want}, f.problems(test.path)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A file that may not be read is a problem of its own, not a missing one.
func TestForbiddenFile(t *testing.T) {
	f := newFolder(t)
	want := []string{"config.yaml: cannot be read: permission denied; run the command as root"}
	path := f.write("config.yaml", head, 0o000)
	if os.Geteuid() == 0 {
		// Root may read everything: look at files as nobody, on this thread only.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		unix.Setfsuid(65534)
		defer unix.Setfsuid(0)
	}
	if diff := cmp.Diff(want, f.problems(path)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
