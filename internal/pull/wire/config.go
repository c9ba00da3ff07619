// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/url"
	"time"
)

// Config is the way to one place.
type Config struct {
	Place Place
	// Own says that the credentials belong to this place's origin. Elsewhere only
	// CAFile and KnownHostsFile are used: they hold nothing secret.
	Own  bool
	Auth Auth
	// Proxy is for http and https; the environment's proxies are not used.
	Proxy  *url.URL
	Limits Limits
	// Timeout bounds one request with its answer, 0 = only Limits do.
	Timeout time.Duration
	// IdleConn is how long a connection waits for the next request: longer than
	// the time between two polls, so that a poll need not shake hands. 2 min.
	IdleConn time.Duration
	Meter    *Meter
	Agent    string // how this client calls itself
	Now      func() time.Time
	// Cache is the file that keeps what the server can do over restarts, "" = nowhere.
	Cache string
}

// Auth names the files that hold credentials. They are read at each use, so
// that a rotated one is taken up.
type Auth struct {
	UsernameFile, PasswordFile    string
	SSHKeyFile, KnownHostsFile    string
	CAFile                        string
	ClientCertFile, ClientKeyFile string
}

// Limits on what a server may do. A zero field takes its default.
type Limits struct {
	Connect    time.Duration // to connect, and for the TLS or SSH handshake: 10 s
	Idle       time.Duration // without a byte: 20 s
	RateWindow time.Duration // in which MinRate is measured: 30 s
	MinRate    int64         // bytes a second: 100
	RefBytes   int64         // of the list of refs: 8 MiB
	PackBytes  int64         // of the answer to one Fetch: 1 GiB
}

// WithDefaults fills the fields that are not set.
func (l Limits) WithDefaults() Limits {
	setDuration := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	setBytes := func(n *int64, to int64) {
		if *n <= 0 {
			*n = to
		}
	}
	setDuration(&l.Connect, 10*time.Second)
	setDuration(&l.Idle, 20*time.Second)
	setDuration(&l.RateWindow, 30*time.Second)
	setBytes(&l.MinRate, 100)
	setBytes(&l.RefBytes, 8<<20)
	setBytes(&l.PackBytes, 1<<30)
	return l
}

func (c Config) withDefaults() Config {
	if c.IdleConn <= 0 {
		c.IdleConn = 2 * time.Minute
	}
	if c.Meter == nil {
		c.Meter = NewMeter(nil)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Limits = c.Limits.WithDefaults()
	if !c.Own {
		c.Auth = Auth{CAFile: c.Auth.CAFile, KnownHostsFile: c.Auth.KnownHostsFile}
	}
	return c
}
