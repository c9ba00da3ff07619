// SPDX-License-Identifier: Apache-2.0

package config

import (
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// Where the packages put things.
const (
	DefaultPath   = "/etc/edgeagent/config.yaml"
	DefaultSocket = "/run/edgeagent/edgeagent.sock"
)

// Kind is the kind of the node's file; its API version is gitops.APIVersion.
const Kind = "Config"

// FirstSeen is the introduction that pins the first verified head.
const FirstSeen = "first-seen"

// Config is the node's file with defaults filled in.
type Config struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Node       Node     `yaml:"node"`
	Cluster    Cluster  `yaml:"cluster"`
	StateDir   string   `yaml:"stateDir"`
	Socket     string   `yaml:"socket"`
	Metrics    Metrics  `yaml:"metrics"`
	Log        Log      `yaml:"log"`
	Sources    []Source `yaml:"sources"`

	// files are what Load read, in order.
	files []string
	// where says on which line each field stands, by its path.
	where map[string]position
}

// Node is who this node is. Bundles are targeted by its labels; its variables
// are for ${NAME} in manifests.
type Node struct {
	Name      string            `yaml:"name"`
	Labels    map[string]string `yaml:"labels"`
	Variables map[string]string `yaml:"variables"`
}

// Cluster is the cluster that this node keeps.
type Cluster struct {
	Kubeconfig  string `yaml:"kubeconfig"`
	Context     string `yaml:"context"`
	Concurrency int    `yaml:"concurrency"` // writes in flight
	HA          bool   `yaml:"ha"`
}

// Metrics is where metrics are served besides the socket.
type Metrics struct {
	Listen string `yaml:"listen"`
}

// Log is how the daemon logs.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json
}

// Source is a Git URL, a ref and a path that move together. Its name is its
// identity: renaming is removing and adding.
type Source struct {
	Name         string           `yaml:"name"`
	URL          string           `yaml:"url"`
	Insecure     bool             `yaml:"insecure"`
	Mirrors      []Mirror         `yaml:"mirrors"`
	Ref          Ref              `yaml:"ref"`
	Path         string           `yaml:"path"`
	Interval     time.Duration    `yaml:"interval"`
	Timeout      time.Duration    `yaml:"timeout"`
	Auth         Auth             `yaml:"auth"`
	Trust        Trust            `yaml:"trust"`
	Link         Link             `yaml:"link"`
	Prefetch     string           `yaml:"prefetch"` // auto, on, off
	Adopt        bool             `yaml:"adopt"`
	Prune        bool             `yaml:"prune"`
	OnRemove     string           `yaml:"onRemove"`     // orphan, prune
	MaxStaleness string           `yaml:"maxStaleness"` // a duration, "" for none
	Windows      Windows          `yaml:"windows"`
	Drift        gitops.DriftMode `yaml:"drift"`
	Rollback     Rollback         `yaml:"rollback"`
	Health       Health           `yaml:"health"`
	PrunePolicy  PrunePolicy      `yaml:"prunePolicy"`
}

// Mirror is another place of the same repository, tried when the URL fails.
type Mirror struct {
	URL string `yaml:"url"`
	// Type is git, or bundles: a list of bundles on a static server.
	Type string `yaml:"type"`
	// Auth is for this URL alone. Without it, the source's is used on the
	// source's own host, and nowhere else.
	Auth Auth `yaml:"auth"`
}

// Ref is what is followed. Exactly one field is set.
type Ref struct {
	Branch string `yaml:"branch"`
	Tag    string `yaml:"tag"`
	Semver string `yaml:"semver"` // a range over tags
	Commit string `yaml:"commit"`
}

// Auth names the files with credentials. The file itself never holds one.
type Auth struct {
	UsernameFile   string `yaml:"usernameFile"`
	PasswordFile   string `yaml:"passwordFile"`
	SSHKeyFile     string `yaml:"sshKeyFile"`
	KnownHostsFile string `yaml:"knownHostsFile"`
	CAFile         string `yaml:"caFile"`
	ClientCertFile string `yaml:"clientCertFile"`
	ClientKeyFile  string `yaml:"clientKeyFile"`
}

// The trust modes.
const (
	TrustHistory = "history" // every commit is signed
	TrustHead    = "head"    // the head is signed
	TrustTag     = "tag"     // the tag is signed
	TrustNone    = "none"    // nothing is checked
)

// What the node's clock must be for a new revision to be let through.
const (
	ClockAny          = "any"
	ClockSynchronised = "synchronised" // with others, as timesyncd says
)

// Trust is whom the node believes, and from where on.
type Trust struct {
	Mode           string    `yaml:"mode"`
	Introduction   string    `yaml:"introduction"`
	AllowedSigners string    `yaml:"allowedSigners"`
	OpenPGPKeys    string    `yaml:"openpgpKeys"`
	Sigstore       Sigstore  `yaml:"sigstore"`
	Revoked        string    `yaml:"revoked"`
	Threshold      Threshold `yaml:"threshold"`
	Clock          string    `yaml:"clock"` // any, synchronised
}

// Threshold is who may make the first trust file of the repository: so many of
// the allowed signers in a file. Without it nobody may.
type Threshold struct {
	Roots string `yaml:"roots"`
	Count int    `yaml:"count"`
}

// Sigstore is whose keyless signatures are believed: of one issuer and subject,
// and of those that the repository's trust file names.
type Sigstore struct {
	Issuer      string `yaml:"issuer"`
	Subject     string `yaml:"subject"`
	TrustedRoot string `yaml:"trustedRoot"`
}

// Link is what is known about the way to Git.
type Link struct {
	// BudgetPerDay is how much may go over the link in a day (UTC), both ways.
	BudgetPerDay Bytes  `yaml:"budgetPerDay"`
	Proxy        string `yaml:"proxy"`
}

// Windows are when a source may download and apply.
type Windows struct {
	Download []Window `yaml:"download"`
	Apply    []Window `yaml:"apply"`
}

// Window is a time span that comes again and again.
type Window struct {
	Schedule string        `yaml:"schedule"` // cron
	Duration time.Duration `yaml:"duration"`
	TimeZone string        `yaml:"timeZone"`
}

// Rollback says whether a revision that fails is undone, and how many older
// revisions are tried.
type Rollback struct {
	Mode string `yaml:"mode"` // auto, manual
	Max  int    `yaml:"max"`
}

// Health is how long a revision may take, and how long it must hold.
type Health struct {
	Timeout time.Duration `yaml:"timeout"`
	Stable  time.Duration `yaml:"stable"`
}

// PrunePolicy is the limit on deletions without a person's consent.
type PrunePolicy struct {
	MaxDeletes int `yaml:"maxDeletes"`
	MaxPercent int `yaml:"maxPercent"`
	Minimum    int `yaml:"minimum"`
}

// Default is the file in which nothing is written. It has no sources, which is
// legal: such a node waits for its configuration.
func Default() Config {
	return Config{
		APIVersion: gitops.APIVersion,
		Kind:       Kind,
		Node:       Node{Labels: map[string]string{}, Variables: map[string]string{}},
		Cluster:    Cluster{Kubeconfig: "/etc/rancher/k3s/k3s.yaml", Concurrency: 4},
		StateDir:   "/var/lib/edgeagent",
		Socket:     DefaultSocket,
		Log:        Log{Level: "info", Format: "text"},
	}
}

// DefaultSource is a source in which nothing is written. It is not valid: the
// name, the URL and the trust have no defaults.
func DefaultSource() Source {
	return Source{
		Path:        ".",
		Interval:    60 * time.Second,
		Timeout:     60 * time.Second,
		Trust:       Trust{Mode: TrustHistory, Clock: ClockAny},
		Prefetch:    "auto",
		Prune:       true,
		OnRemove:    "orphan",
		Drift:       gitops.DriftCorrect,
		Rollback:    Rollback{Mode: "auto", Max: 2},
		Health:      Health{Timeout: 5 * time.Minute, Stable: 15 * time.Second},
		PrunePolicy: PrunePolicy{MaxDeletes: 20, MaxPercent: 25, Minimum: 5},
	}
}

// Source returns the source of that name.
func (c Config) Source(name string) (Source, bool) {
	for _, s := range c.Sources {
		if s.Name == name {
			return s, true
		}
	}
	return Source{}, false
}

// Staleness is how old the newest sign of life may be, 0 for any age.
func (s Source) Staleness() time.Duration {
	d, err := time.ParseDuration(s.MaxStaleness)
	if err != nil {
		return 0 // "", or Validate has refused it
	}
	return d
}

// Guard is the limit as the plan takes it.
func (p PrunePolicy) Guard() gitops.PruneGuard {
	return gitops.PruneGuard{MaxDeletes: p.MaxDeletes, MaxPercent: p.MaxPercent, Minimum: p.Minimum}
}
