// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

var sourceName = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// minInterval keeps a typing error from hammering a Git server.
const minInterval = 5 * time.Second

// minBudget is what a node needs that polls every quarter of an hour.
const minBudget Bytes = 100e3

func (v *validator) source(i int, s Source) {
	at := func(field string) string { return fmt.Sprintf("sources[%d].%s", i, field) }
	if !sourceName.MatchString(s.Name) {
		v.add(at("name"), fmt.Sprintf("%q is not a name", s.Name), "use 1 to 40 lower-case letters, digits and dashes")
	}
	if s.URL == "" {
		v.add(at("url"), "is missing", "write the URL of the Git repository")
	} else {
		v.url(at("url"), s.URL, s)
	}
	for j, m := range s.Mirrors {
		v.mirror(at(fmt.Sprintf("mirrors[%d].", j)), m, s)
	}
	v.ref(at("ref"), s.Ref)
	v.path(at("path"), s.Path)
	if s.Interval < minInterval {
		v.add(at("interval"), fmt.Sprintf("%s is too short", printDuration(s.Interval)), "write 5s or more; edgeagent sync polls at once")
	}
	for field, d := range map[string]time.Duration{"timeout": s.Timeout, "health.timeout": s.Health.Timeout} {
		if d <= 0 {
			v.add(at(field), printDuration(d)+" is no time at all", "write a positive duration")
		}
	}
	if s.Health.Stable < 0 || s.Health.Stable >= max(s.Health.Timeout, 1) {
		v.add(at("health.stable"), printDuration(s.Health.Stable)+" does not fit into health.timeout", "make it shorter than health.timeout")
	}
	v.auth(at("auth"), s)
	v.trust(at("trust"), s)
	v.proxy(at("link.proxy"), s)
	if b := s.Link.BudgetPerDay; b != 0 && b < minBudget {
		v.add(at("link.budgetPerDay"), b.String()+" is too little for a day", "write "+minBudget.String()+" or more, or 0 for no limit; is a unit missing?")
	}
	v.staleness(at("maxStaleness"), s)
	v.oneOf(at("prefetch"), s.Prefetch, "auto", "on", "off")
	v.oneOf(at("onRemove"), s.OnRemove, "orphan", "prune")
	v.oneOf(at("drift"), string(s.Drift), "correct", "strict", "notify", "off")
	v.oneOf(at("rollback.mode"), s.Rollback.Mode, "auto", "manual")
	v.between(at("rollback.max"), s.Rollback.Max, 0, 10)
	v.between(at("prunePolicy.maxDeletes"), s.PrunePolicy.MaxDeletes, 0, 1_000_000)
	v.between(at("prunePolicy.maxPercent"), s.PrunePolicy.MaxPercent, 0, 100)
	v.between(at("prunePolicy.minimum"), s.PrunePolicy.Minimum, 0, 1_000_000)
	v.later(at, s)
}

// staleness must leave room for polls that fail and are tried again.
func (v *validator) staleness(field string, s Source) {
	if s.MaxStaleness == "" {
		return
	}
	switch d, err := time.ParseDuration(s.MaxStaleness); {
	case err != nil:
		v.add(field, fmt.Sprintf("%q is not a duration", s.MaxStaleness), "write a number with a unit, such as 72h")
	case d < 2*s.Interval:
		v.add(field, fmt.Sprintf("%s is less than two intervals", s.MaxStaleness), "write a longer time, such as 72h")
	}
}

// later refuses what the format promises and this version does not do.
func (v *validator) later(at func(string) string, s Source) {
	v.unsupported(s.Prefetch == "on", at("prefetch"), "write auto")
	v.unsupported(len(s.Windows.Download) > 0, at("windows.download"), "remove it")
	v.unsupported(len(s.Windows.Apply) > 0, at("windows.apply"), "remove it; edgeagent suspend stops a source by hand")
}

// url checks a remote. Its messages never repeat the URL, which may hold a
// password that somebody put there.
func (v *validator) url(field, raw string, s Source) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || (u.Host == "" && u.Scheme != "file") {
		v.add(field, "is not a URL", "write https://host/path.git or ssh://git@host/path.git")
		return
	}
	switch u.Scheme {
	case "https":
	case "ssh":
		if s.Auth.SSHKeyFile == "" {
			v.add(field, "ssh needs a key", "set auth.sshKeyFile")
		}
		if s.Auth.KnownHostsFile == "" {
			v.add(field, "ssh needs the host's key", "set auth.knownHostsFile")
		}
	case "http", "file":
		if !s.Insecure {
			v.add(field, u.Scheme+" is neither encrypted nor authenticated", "use https or ssh, or set insecure: true")
		}
	default:
		v.add(field, fmt.Sprintf("the scheme %q is not supported", u.Scheme), "use https or ssh")
	}
	if u.User == nil {
		return
	}
	if _, password := u.User.Password(); password || u.Scheme != "ssh" {
		v.add(field, "holds credentials", "take them out, and name files in auth.usernameFile and auth.passwordFile")
	}
}

func (v *validator) mirror(at string, m Mirror, s Source) {
	v.oneOf(at+"type", m.Type, "git", "bundles")
	if m.URL == "" {
		v.add(at+"url", "is missing", "write the URL of the mirror")
		return
	}
	if u, err := url.Parse(m.URL); m.Type == "bundles" && err == nil && !slices.Contains([]string{"", "https", "http"}, u.Scheme) {
		v.add(at+"url", fmt.Sprintf("bundles cannot be read over %q", u.Scheme), "use https, or write type: git")
		return
	}
	s.Auth = s.AuthOf(m)
	v.url(at+"url", m.URL, s)
}

func (v *validator) proxy(field string, s Source) {
	if s.Link.Proxy == "" {
		return
	}
	u, err := url.Parse(s.Link.Proxy)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		v.add(field, "is not the URL of a proxy", "write http://host:port, https://host:port or socks5://host:port")
		return
	}
	overSSH := func(m Mirror) bool { return strings.HasPrefix(m.URL, "ssh:") }
	if overSSH(Mirror{URL: s.URL}) || slices.ContainsFunc(s.Mirrors, overSSH) {
		v.add(field, "cannot be used with ssh", "use https, or remove it")
	}
	if u.User != nil {
		v.add(field, "holds credentials", "use a proxy that knows the node by its address")
	}
}

// refName is what Git takes as the short name of a branch or tag, less the
// letters that only make trouble.
var refName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./+@-]*$`)

func (v *validator) ref(field string, r Ref) {
	set := 0
	for _, value := range []string{r.Branch, r.Tag, r.Semver, r.Commit} {
		if value != "" {
			set++
		}
	}
	if set != 1 {
		v.add(field, fmt.Sprintf("names %d things to follow", set), "set exactly one of branch, tag, semver and commit")
		return
	}
	if name := r.Branch + r.Tag; name != "" {
		kind := "branch"
		if r.Tag != "" {
			kind = "tag"
		}
		bad := strings.HasPrefix(name, "refs/") || strings.Contains(name, "..") || strings.Contains(name, "//") ||
			strings.Contains(name, "@{") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, ".") || strings.HasSuffix(name, ".lock")
		if bad || !refName.MatchString(name) {
			v.add(field+"."+kind, fmt.Sprintf("%q is not the short name of a %s", name, kind), "write it as git "+kind+" prints it")
		}
	}
	if r.Semver != "" {
		if _, err := semver.NewConstraint(r.Semver); err != nil {
			v.add(field+".semver", fmt.Sprintf("%q is not a range of versions", r.Semver), "write a range such as 1.4.x or >=1.4.0 <2.0.0")
		}
	}
	if r.Commit != "" && !gitops.Hash(r.Commit).Valid() {
		v.add(field+".commit", fmt.Sprintf("%q is not a commit", r.Commit), "write all 40 lower-case digits, as git rev-parse prints them")
	}
}

var placeholder = regexp.MustCompile(`\$\{[^}]*\}|\$`)

// path checks the folder in the repository. Its placeholders are filled in when
// it is rendered; here it is made sure that all of them will be known.
func (v *validator) path(field, value string) {
	for _, p := range placeholder.FindAllString(value, -1) {
		name := strings.TrimSuffix(strings.TrimPrefix(p, "${"), "}")
		label, isLabel := strings.CutPrefix(name, "node.labels.")
		_, known := v.c.Node.Labels[label]
		switch {
		case name == "node.name" || isLabel && known:
		case isLabel:
			v.add(field, fmt.Sprintf("the node has no label %q", label), "add it to node.labels")
		default:
			v.add(field, p+" is not known", "use ${node.name} or ${node.labels.X}")
		}
	}
	plain := placeholder.ReplaceAllString(value, "x")
	clean := path.Clean(plain)
	if value == "" || path.IsAbs(plain) || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(plain, "\\\x00") {
		v.add(field, fmt.Sprintf("%q is not a folder of the repository", value), "write it relative to the top, without leading slash and ..")
	}
}
