// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
	"github.com/edgeagent/edgeagent/internal/verify"
)

func TestAllowedSignersFile(t *testing.T) {
	key, cert := ed25519Key().line(), ""
	cert = strings.Replace(key, "ssh-ed25519 ", "ssh-ed25519-cert-v01@openssh.com ", 1)
	for name, c := range map[string]struct {
		text string
		want string // in the error, "" = accepted
		keys int
	}{
		"empty":                         {"", "", 0},
		"comments and blank lines":      {"# a\n\n  \t\n  # b\na@x " + key + "\n", "", 1},
		"no newline at the end":         {"a@x " + key, "", 1},
		"carriage returns":              {"a@x " + key + "\r\n", "", 1},
		"tabs and a comment":            {"\ta@x,b@x\t" + key + "  Ann's key # 2\n", "", 1},
		"quoted principals":             {`"a@x,b c" ` + key, "", 1},
		"patterns and a negation":       {"*@x.com,!root@x.com,a?c " + key, "", 1},
		"all options":                   {`a@x namespaces="git,file",valid-after="20250101",VALID-BEFORE="202701011200Z" ` + key, "", 1},
		"seconds":                       {`a@x valid-after="20250101000000" ` + key, "", 1},
		"the same key on two lines":     {"a@x " + key + "\nb@x " + key, "", 2},
		"only negated principals":       {"!a@x " + key, "line 1: principals \"!a@x\" are all negated", 0},
		"empty principal":               {"a@x,,b@x " + key, "empty pattern", 0},
		"second line is bad":            {"a@x " + key + "\nb@x\n", "line 2: the line ends too early", 0},
		"key alone":                     {key, "line 1: ", 0},
		"quote that does not end":       {`"a@x ` + key, "not closed", 0},
		"cert-authority":                {"a@x cert-authority " + key, "", 1},
		"cert-authority among others":   {`a@x namespaces="git",CERT-authority ` + key, "", 1},
		"cert-authority with a value":   {`a@x cert-authority="yes" ` + key, "\"cert-authority\" is not known", 0},
		"cert-authority twice":          {"a@x cert-authority,cert-authority " + key, "twice", 0},
		"certificate":                   {"a@x " + cert, "is a certificate; list", 0},
		"unknown option":                {"a@x no-touch-required " + key, "\"no-touch-required\" is not known", 0},
		"option twice":                  {`a@x namespaces="git",namespaces="file" ` + key, "twice", 0},
		"namespaces without a value":    {"a@x namespaces " + key, "double quotes", 0},
		"namespaces without quotes":     {"a@x namespaces=git " + key, "double quotes", 0},
		"namespaces empty":              {`a@x namespaces="" ` + key, "namespaces is empty", 0},
		"quote inside a value":          {`a@x namespaces="g"i"t" ` + key, "double quotes", 0},
		"date that is none":             {`a@x valid-before="20261301" ` + key, "YYYYMMDD", 0},
		"date of the wrong length":      {`a@x valid-before="2026" ` + key, "YYYYMMDD", 0},
		"date with a zone":              {`a@x valid-after="20260101+0200" ` + key, "YYYYMMDD", 0},
		"never valid":                   {`a@x valid-after="20270101",valid-before="20260101" ` + key, "never valid", 0},
		"key that is not base64":        {"a@x ssh-ed25519 AAAA!", "not base64", 0},
		"key that is missing":           {"a@x ssh-ed25519", "not base64", 0},
		"key that is cut short":         {"a@x " + key[:len(key)-8], "does not parse", 0},
		"key of another type":           {"a@x " + strings.Replace(key, "ssh-ed25519", "ssh-rsa", 1), "says ssh-rsa", 0},
		"options without a key":         {`a@x namespaces="git"`, "ends too early", 0},
		"escape character in an option": {"a@x \x1b[2j " + key, `"\x1b[2j" is not known`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := verify.ParseSigners([]byte(c.text))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if got != c.keys {
				t.Errorf("%d keys, want %d", got, c.keys)
			}
		})
	}
}

func TestPatternLists(t *testing.T) {
	for _, c := range []struct {
		list, name string
		want       bool
	}{
		{"git", "git", true}, {"git", "gi", false}, {"git", "gits", false}, {"", "git", false}, {"*", "git", true},
		{"g*", "git", true}, {"*t", "git", true}, {"g?t", "git", true}, {"g?", "git", false}, {"?git", "git", false},
		{"file,git", "git", true}, {"!git", "git", false}, {"*,!git", "git", false}, {"!git,*", "git", false}, {"!file,git", "git", true},
		{"g*t*", "git", true}, {"*a*b*c", "aabbcc", true}, {"*a*b*c", "aabbccd", false}, {"**", "", true}, {"?", "", false},
		{strings.Repeat("*a", 500) + "b", strings.Repeat("a", 2000), false}, // in no time
	} {
		if got := verify.Match(c.list, c.name); got != c.want {
			t.Errorf("Match(%.40q, %.40q) = %v", c.list, c.name, got)
		}
	}
}

func TestRevokedFile(t *testing.T) {
	key := ed25519Key()
	for name, c := range map[string]struct {
		text string
		want string
		keys int
	}{
		"empty":                    {"", "", 0},
		"public key":               {"# x\n\n" + key.line() + " comment\n", "", 1},
		"fingerprint":              {key.fingerprint(), "", 1},
		"OpenPGP fingerprint":      {strings.Repeat("AB", 20), "", 1},
		"with spaces, lower case":  {strings.Repeat("abcd ", 10), "", 1},
		"OpenPGP v6 fingerprint":   {strings.Repeat("AB", 32), "", 1},
		"short OpenPGP id":         {strings.Repeat("AB", 8), "line 1: \"ABABABABABABABAB\" is not a full OpenPGP fingerprint", 0},
		"fingerprint cut short":    {key.fingerprint()[:40], "not the SHA256 fingerprint", 0},
		"fingerprint with a tail":  {key.fingerprint() + " ann", "not the SHA256 fingerprint", 0},
		"key that does not parse":  {"\nssh-ed25519 AAAA", "line 2: ", 0},
		"something else":           {"ann@example.com", "neither", 0},
		"MD5 fingerprint":          {"MD5:aa:bb", "neither", 0},
		"binary revocation list":   {"SSHKRL\n\x00\x00", "cut short", 0},
		"key called a certificate": {strings.Replace(key.line(), "ssh-ed25519 ", "ssh-ed25519-cert-v01@openssh.com ", 1), "is of type ssh-ed25519", 0},
		"allowed signers by error": {"ann@example.com " + key.line(), "neither", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := verify.ParseRevoked([]byte(c.text))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if err == nil && got != c.keys {
				t.Errorf("%d keys, want %d", got, c.keys)
			}
		})
	}
}

func TestOpenPGPKeyFile(t *testing.T) {
	text, err := os.ReadFile(gpgKeyFile(t))
	if err != nil {
		t.Fatal(err)
	}
	key := string(text)
	end := "-----END PGP PUBLIC KEY BLOCK-----\n"
	for name, c := range map[string]struct {
		text string
		want string
		keys int
	}{
		"empty":                   {"", "", 0},
		"text only":               {"nothing here\n", "", 0},
		"two blocks and comments": {"Ann:\n" + key + "\nBen:\n" + key, "", 2},
		"private key":             {strings.ReplaceAll(key, "PUBLIC", "PRIVATE"), "private key", 0},
		"block that does not end": {strings.TrimSuffix(key, end), "block 1 does not end", 0},
		"block inside a block":    {key + strings.TrimSuffix(key, end) + key, "block 2 does not end", 0},
		"block that is garbage":   {strings.Replace(key, "\nm", "\n!", 1), "block 1: its armor is not base64", 0},
		"block that is no key":    {"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nyA==\n" + end, "block 1: ", 0},
		"second block cut short":  {key + key[:strings.Index(key, "\n\n")+2] + "mDME\n" + end, "block 2: ", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := verify.ParseKeys([]byte(c.text))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if got != c.keys {
				t.Errorf("%d keys, want %d", got, c.keys)
			}
		})
	}
}

func TestNewRefusesTrustThatCannotWork(t *testing.T) {
	w := newWorld(t)
	pipe := filepath.Join(w.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	open := w.file("open", "a@x "+w.ann.line())
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	big := w.file("big", strings.Repeat("# comment\n", 500_000))
	for name, c := range map[string]struct {
		change func(*verify.Config)
		want   string
	}{
		"no mode":                    {func(c *verify.Config) { c.Mode = "" }, `trust mode ""`},
		"none without insecure":      {func(c *verify.Config) { c.Mode = verify.ModeNone }, "insecure"},
		"no introduction":            {func(c *verify.Config) { c.Introduction = "" }, "introduction"},
		"short introduction":         {func(c *verify.Config) { c.Introduction = "3f2a1bc" }, "introduction"},
		"introduction in upper case": {func(c *verify.Config) { c.Introduction = strings.Repeat("A", 40) }, "introduction"},
		"no key file":                {func(c *verify.Config) { c.AllowedSigners = "" }, "no key that may sign"},
		"file without a key":         {func(c *verify.Config) { c.AllowedSigners = w.file("none", "# nobody\n") }, "no key that may sign"},
		"missing key file":           {func(c *verify.Config) { c.AllowedSigners = w.dir + "/missing" }, w.dir + "/missing"},
		"malformed key file":         {func(c *verify.Config) { c.AllowedSigners = w.file("bad", "\nann\n") }, "bad: line 2"},
		"key file that is a pipe":    {func(c *verify.Config) { c.AllowedSigners = pipe }, "regular file"},
		"key file all may write":     {func(c *verify.Config) { c.AllowedSigners = open }, "chmod o-w"},
		"key file of 5 MB":           {func(c *verify.Config) { c.AllowedSigners = big }, "more than"},
		"malformed OpenPGP file":     {func(c *verify.Config) { c.OpenPGPKeys = w.file("bad.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n") }, "bad.asc: key block 1"},
		"missing OpenPGP file":       {func(c *verify.Config) { c.OpenPGPKeys = w.dir + "/missing" }, "OpenPGP keys"},
		"missing revoked file":       {func(c *verify.Config) { c.Revoked = w.dir + "/missing" }, "revoked keys"},
		"malformed revoked file":     {func(c *verify.Config) { c.Revoked = w.file("badrevoked", "ann\n") }, "badrevoked: line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config()
			c.change(&cfg)
			v, err := verify.New(cfg, w)
			if v != nil || gitops.ReasonOf(err) != gitops.TrustMissing || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New: %v, want TrustMissing with %q", err, c.want)
			}
		})
	}
}

// The lines of one key are alternatives; the reason that is told is the most
// telling one.
func TestKeyOnSeveralLines(t *testing.T) {
	w := newWorld(t)
	key := w.ann.line()
	head := w.commit(w.ann.sign, w.root)
	for name, c := range map[string]struct {
		lines  []string
		reason gitops.Reason
	}{
		"second line is valid":     {[]string{`a@x valid-before="20250101" ` + key, "b@x " + key}, ""},
		"first line is valid":      {[]string{"b@x " + key, `a@x valid-before="20250101" ` + key}, ""},
		"expired and for files":    {[]string{`a@x valid-before="20250101" ` + key, `a@x namespaces="file" ` + key}, gitops.KeyExpired},
		"for files and expired":    {[]string{`a@x namespaces="file" ` + key, `a@x valid-before="20250101" ` + key}, gitops.KeyExpired},
		"for files only":           {[]string{`a@x namespaces="file" ` + key}, gitops.UnknownSigner},
		"valid to this second":     {[]string{`b@x valid-before="20260601120000" ` + key}, ""},
		"valid from this second":   {[]string{`b@x valid-after="20260601120000Z" ` + key}, ""},
		"valid to the last second": {[]string{`b@x valid-before="20260601115959" ` + key}, gitops.KeyExpired},
		"valid from the next":      {[]string{`b@x valid-after="20260601120001" ` + key}, gitops.KeyNotYetValid},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			path := w.file("several", strings.Join(c.lines, "\n"))
			got, err := w.verifier(func(cfg *verify.Config) { cfg.AllowedSigners = path }).Verify(t.Context(), onMain(head), "")
			if gitops.ReasonOf(err) != c.reason || err == nil && got.Signer() != "b@x" {
				t.Errorf("%q, %v, want %q", got.Signer(), err, c.reason)
			}
		})
	}
}

// A clock that is behind the floor neither refuses a key as not valid yet nor
// makes an expired one good again.
func TestSlowClock(t *testing.T) {
	w := newWorld(t)
	slow := func(c *verify.Config) {
		c.Now = func() time.Time { return time.Unix(0, 0) }
		c.Floor = now
	}
	for name, c := range map[string]struct {
		sign   sign
		reason gitops.Reason
	}{
		"key that is valid later": {w.soon.sign, ""},
		"key that expired":        {w.gone.sign, gitops.KeyExpired},
		"key that was revoked":    {w.taken.sign, gitops.KeyRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			_, err := w.verifier(slow).Verify(t.Context(), onMain(w.commit(c.sign, w.root)), "")
			if gitops.ReasonOf(err) != c.reason {
				t.Errorf("%v, want %q", err, c.reason)
			}
		})
	}
}

func TestUntrustedFileKeepsItsCause(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.AllowedSigners = filepath.Join(w.dir, "missing")
	if _, err := verify.New(cfg, w); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("New: %v, want one that is os.ErrNotExist", err)
	}
}
