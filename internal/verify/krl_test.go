// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/edgeagent/edgeagent/internal/verify"
)

// suspects are keys and certificates in files, as ssh-keygen is asked about them.
type suspects struct {
	t     testing.TB
	dir   string
	names []string
	keys  map[string]ssh.PublicKey
	ca    sshKey // of all certificates but one
	other sshKey
	ann   sshKey
}

func newSuspects(t testing.TB) *suspects {
	s := &suspects{t: t, dir: t.TempDir(), keys: map[string]ssh.PublicKey{}, ca: ed25519Key(), other: ed25519Key(), ann: ed25519Key()}
	cert := func(by sshKey, serial uint64, id string) *ssh.Certificate {
		c := blank(ed25519Key().PublicKey())
		c.Serial, c.KeyId = serial, id
		return by.certify(c)
	}
	for _, serial := range []uint64{0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 1000, 1 << 40, 1<<64 - 1} {
		s.add(fmt.Sprintf("serial-%d", serial), cert(s.ca, serial, "some"))
	}
	s.add("by-other-7", cert(s.other, 7, "other"))
	s.add("laptop", cert(s.ca, 0, "laptop"))
	s.add("other-laptop", cert(s.other, 5000, "laptop"))
	s.add("of-ann", s.ca.certify(blank(s.ann.PublicKey())))
	s.add("ann", s.ann.PublicKey())
	s.add("ca", s.ca.PublicKey())
	s.add("other", s.other.PublicKey())
	return s
}

func (s *suspects) add(name string, key ssh.PublicKey) {
	s.names, s.keys[name] = append(s.names, name), key
	s.write(name, ssh.MarshalAuthorizedKey(key))
}

func (s *suspects) write(name string, data []byte) string {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// list has ssh-keygen make a revocation list.
func (s *suspects) list(spec string, args ...string) []byte {
	s.t.Helper()
	path := filepath.Join(s.dir, "list")
	args = append(append([]string{"-q", "-k", "-f", path}, args...), s.write("spec", []byte(spec)))
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		s.t.Fatalf("ssh-keygen -k: %v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// asked is what ssh-keygen says about all suspects; ok is false when it cannot
// read the list.
func (s *suspects) asked(list []byte) (revoked map[string]bool, ok bool) {
	args := []string{"-Q", "-f", s.write("asked", list)}
	for _, name := range s.names {
		args = append(args, filepath.Join(s.dir, name))
	}
	out, _ := exec.Command("ssh-keygen", args...).Output() // it fails when one is revoked
	revoked = map[string]bool{}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(s.names) {
		return nil, false
	}
	for i, line := range lines {
		revoked[s.names[i]] = strings.HasSuffix(line, ": REVOKED")
		if !revoked[s.names[i]] && !strings.HasSuffix(line, ": ok") {
			s.t.Fatalf("ssh-keygen -Q says %q", line)
		}
	}
	return revoked, true
}

// What ssh-keygen writes into a list is revoked, and nothing else.
func TestListsOfSSHKeygen(t *testing.T) {
	s := newSuspects(t)
	mine := []string{"-s", filepath.Join(s.dir, "ca")}
	var dense strings.Builder
	for serial := 1; serial < 200; serial += 2 {
		fmt.Fprintf(&dense, "serial: %d\n", serial)
	}
	for name, c := range map[string]struct {
		spec string
		args []string
		want int
	}{
		"empty":                          {"", nil, 0},
		"serial":                         {"serial: 7", mine, 2}, // and that of ann, which has the same
		"serials far apart":              {"serial: 2\nserial: 64\nserial: 1099511627776\nserial: 18446744073709551615", mine, 4},
		"range":                          {"serial: 3-64", mine, 7},
		"ranges that overlap":            {"serial: 1-8\nserial: 3-4\nserial: 8-9", mine, 7},
		"all serials":                    {"serial: 1-18446744073709551615", mine, 13},
		"serials that become a bitmap":   {dense.String(), mine, 7},
		"number and comment of the list": {"serial: 7", append([]string{"-z", "77", "-C", "a comment"}, mine...), 2},
		"serial of any authority":        {"serial: 7", []string{"-s", "none"}, 3},
		"id":                             {"id: laptop", mine, 1},
		"id of any authority":            {"id: laptop", []string{"-s", "none"}, 2},
		"key":                            {"key: " + s.ann.line(), nil, 2},
		"key by SHA-1":                   {"sha1: " + s.ann.line(), nil, 2},
		"key by SHA-256":                 {"sha256: " + s.ann.line(), nil, 2},
		"fingerprint":                    {"hash: " + s.ann.fingerprint(), nil, 2},
		"authority":                      {"key: " + s.ca.line(), nil, 16},
		"authority by SHA-1":             {"sha1: " + s.ca.line(), nil, 16},
		"authority by SHA-256":           {"sha256: " + s.ca.line(), nil, 16},
		"certificate":                    {string(ssh.MarshalAuthorizedKey(s.keys["serial-1000"])), nil, 1},
		"certificate without a serial":   {string(ssh.MarshalAuthorizedKey(s.keys["laptop"])), nil, 1},
		"everything":                     {"serial: 1-9\nid: laptop\nkey: " + s.other.line() + "\nsha1: " + s.ann.line(), mine, 12},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			list := s.list(c.spec, c.args...)
			theirs, ok := s.asked(list)
			if !ok {
				t.Fatal("ssh-keygen does not read its own list")
			}
			lines := []byte("# remembered\n" + strings.Join(verify.RevokedLines(list), "\n"))
			count := 0
			for _, suspect := range s.names {
				ours, err := verify.Revokes(list, s.keys[suspect])
				if err != nil {
					t.Fatal(err)
				}
				if ours != theirs[suspect] {
					t.Errorf("%s: revoked is %v, ssh-keygen says %v", suspect, ours, theirs[suspect])
				}
				if again, err := verify.Revokes(lines, s.keys[suspect]); err != nil || again != ours {
					t.Errorf("%s: revoked is %v when it is remembered as text, %v", suspect, again, err)
				}
				if ours {
					count++
				}
			}
			if count != c.want {
				t.Errorf("%d are revoked, want %d", count, c.want)
			}
		})
	}
}

// A certificate in a list of text is revoked as ssh-keygen -k revokes it.
func TestCertificatesInTextLists(t *testing.T) {
	s := newSuspects(t)
	for _, listed := range []string{"serial-7", "laptop", "other-laptop"} {
		text := ssh.MarshalAuthorizedKey(s.keys[listed])
		theirs, _ := s.asked(s.list(string(text)))
		for _, suspect := range s.names {
			if ours, err := verify.Revokes(text, s.keys[suspect]); err != nil || ours != theirs[suspect] {
				t.Errorf("%s: with %s listed, revoked is %v, %v; ssh-keygen says %v", suspect, listed, ours, err, theirs[suspect])
			}
		}
	}
}

// Building blocks of lists by hand.
func krlOf(sections ...[]byte) []byte {
	head := append([]byte("SSHKRL\n\x00\x00\x00\x00\x01"), make([]byte, 24+4+4)...)
	return append(head, bytes.Join(sections, nil)...)
}

func part(kind byte, content ...[]byte) []byte {
	return append([]byte{kind}, field(bytes.Join(content, nil))...)
}

func field(content []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...)
}

func serials(numbers ...uint64) (out []byte) {
	for _, n := range numbers {
		out = binary.BigEndian.AppendUint64(out, n)
	}
	return out
}

// Runs of serials may lie in each other, in any order.
func TestSerialsThatOverlap(t *testing.T) {
	s := newSuspects(t)
	of := func(parts ...[]byte) []byte {
		return krlOf(part(1, field(s.ca.PublicKey().Marshal()), field(nil), bytes.Join(parts, nil)))
	}
	for name, list := range map[string][]byte{
		"runs within a run":   of(part(0x21, serials(1, 100)), part(0x20, serials(2, 3, 4, 7, 8)), part(0x21, serials(7, 9))),
		"the widest one last": of(part(0x20, serials(9, 8, 7, 63)), part(0x21, serials(2, 64))),
		"runs that cross":     of(part(0x21, serials(8, 64)), part(0x21, serials(2, 9)), part(0x21, serials(64, 1000))),
		"bitmap within a run": of(part(0x22, serials(2), field([]byte{0x55, 0x55})), part(0x21, serials(3, 8))),
	} {
		theirs, ok := s.asked(list)
		if !ok {
			t.Fatalf("%s: ssh-keygen cannot read it", name)
		}
		for _, suspect := range s.names {
			if ours, err := verify.Revokes(list, s.keys[suspect]); err != nil || ours != theirs[suspect] {
				t.Errorf("%s, %s: revoked is %v, %v; ssh-keygen says %v", name, suspect, ours, err, theirs[suspect])
			}
		}
	}
}

func TestListsThatAreRefused(t *testing.T) {
	key := ed25519Key()
	blob := key.PublicKey().Marshal()
	cert := key.certify(blank(key.PublicKey())).Marshal()
	ofCA := func(parts ...[]byte) []byte {
		return krlOf(part(1, field(blob), field(nil), bytes.Join(parts, nil)))
	}
	extension := func(critical byte) []byte {
		return append(append(field([]byte("x@y")), critical), field([]byte("z"))...)
	}
	many := make([]byte, 0, 16<<20)
	for i := range uint64(1<<20 + 1) {
		many = binary.BigEndian.AppendUint64(many, 2*i+1)
	}
	for name, c := range map[string]struct {
		list []byte
		want string // in the error, "" = accepted
	}{
		"nothing but a head":               {krlOf(), ""},
		"head cut short":                   {krlOf()[:40], "cut short"},
		"name of the format alone":         {[]byte("SSHKRL"), "not a revocation list"},
		"another format":                   {append([]byte("SSHKRL\n\x00\x00\x00\x00\x02"), make([]byte, 32)...), "format 2"},
		"section cut short":                {krlOf(part(2, field(blob)))[:80], "cut short"},
		"section without a length":         {krlOf([]byte{2}), "cut short"},
		"section longer than the list":     {krlOf([]byte{2, 0xff, 0xff, 0xff, 0xff}), "cut short"},
		"key":                              {krlOf(part(2, field(blob))), ""},
		"key cut short":                    {krlOf(part(2, field(blob)[:20])), "cut short"},
		"key that is none":                 {krlOf(part(2, field([]byte("x")))), "a key does not parse"},
		"certificate in a key's place":     {krlOf(part(2, field(cert))), "certificate stands where a key"},
		"short SHA-1":                      {krlOf(part(3, field(make([]byte, 19)))), "19 bytes"},
		"long SHA-256":                     {krlOf(part(5, field(make([]byte, 33)))), "33 bytes"},
		"signed list":                      {krlOf(part(4, blob)), "signed"},
		"section that is not known":        {krlOf(part(6)), "section 6 of the revocation list: it is not known"},
		"extension that may be passed":     {krlOf(part(255, extension(0)), part(2, field(blob))), ""},
		"critical extension":               {krlOf(part(255, extension(1))), `critical extension "x@y"`},
		"extension cut short":              {krlOf(part(255, extension(0)[:7])), "cut short"},
		"bytes behind an extension":        {krlOf(part(255, extension(0), []byte{0})), "bytes follow"},
		"authority that is none":           {krlOf(part(1, field([]byte("x")), field(nil))), "authority does not parse"},
		"authority that is a certificate":  {krlOf(part(1, field(cert), field(nil))), "certificate stands where an authority"},
		"authority cut short":              {krlOf(part(1, field(blob))), "cut short"},
		"any authority":                    {krlOf(part(1, field(nil), field(nil), part(0x20, serials(1)))), ""},
		"part cut short":                   {ofCA(part(0x20, serials(1))[:6]), "cut short"},
		"part that is not known":           {ofCA(part(0x24)), "part 0x24: it is not known"},
		"serial cut short":                 {ofCA(part(0x20, serials(1, 2)[:12])), "cut short"},
		"serial zero":                      {ofCA(part(0x20, serials(1, 0))), "0 to 0 is not a range"},
		"range cut short":                  {ofCA(part(0x21, serials(1))), "cut short"},
		"range from zero":                  {ofCA(part(0x21, serials(0, 5))), "0 to 5 is not a range"},
		"range that ends before it begins": {ofCA(part(0x21, serials(5, 4))), "5 to 4 is not a range"},
		"bytes behind a range":             {ofCA(part(0x21, serials(1, 2, 3))), "bytes follow"},
		"bitmap":                           {ofCA(part(0x22, serials(1), field([]byte{0, 0x81}))), ""},
		"empty bitmap":                     {ofCA(part(0x22, serials(1), field(nil))), ""},
		"negative bitmap":                  {ofCA(part(0x22, serials(1), field([]byte{0x81}))), "negative"},
		"bitmap of serial zero":            {ofCA(part(0x22, serials(0), field([]byte{1}))), "0 to 0 is not a range"},
		"bitmap beyond the last serial":    {ofCA(part(0x22, serials(1<<64-2), field([]byte{4}))), "beyond the last serial"},
		"run beyond the last serial":       {ofCA(part(0x22, serials(1<<64-2), field([]byte{7}))), "beyond the last serial"},
		"bitmap to the last serial":        {ofCA(part(0x22, serials(1<<64-2), field([]byte{3}))), ""},
		"bytes behind a bitmap":            {ofCA(part(0x22, serials(1), field([]byte{1}), []byte{0})), "bytes follow"},
		"id cut short":                     {ofCA(part(0x23, field([]byte("laptop"))[:6])), "cut short"},
		"extension of an authority":        {ofCA(part(0x39, extension(0)), part(0x20, serials(1))), ""},
		"critical one of an authority":     {ofCA(part(0x39, extension(1))), "critical extension"},
		"a million serials":                {ofCA(part(0x20, many[:8<<20])), ""},
		"more than a million serials":      {ofCA(part(0x20, many)), "more than 1048576 separate serials"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify.ParseRevoked(c.list)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	for line, want := range map[string]string{"krl:x": "line 1: the list behind krl: is not base64", "krl:": "not a revocation list"} {
		if _, err := verify.ParseRevoked([]byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// A list that was damaged is refused, or revokes at least what ssh-keygen says
// that it does.
func TestSSHKeygenReadsTheSameLists(t *testing.T) {
	s := newSuspects(t)
	seeds := [][]byte{
		s.list("serial: 1-9\nserial: 63\nserial: 1000\nid: laptop\nkey: "+s.other.line()+"\nsha1: "+s.ann.line()+"\nsha256: "+s.ann.line(), "-s", filepath.Join(s.dir, "ca")),
		s.list("serial: 1\nserial: 3\nserial: 5\nserial: 6\nserial: 8\nserial: 9\nserial: 12\nserial: 64", "-s", "none"),
	}
	r := rand.New(rand.NewPCG(3, 4))
	accepted, refused := 0, 0
	for range 4000 {
		list := bytes.Clone(seeds[r.IntN(len(seeds))])
		for range 1 + r.IntN(2) {
			i := r.IntN(len(list))
			switch r.IntN(4) {
			case 0:
				list[i] ^= 1 << r.IntN(8)
			case 1:
				list[i] = byte(r.IntN(256))
			case 2:
				list = append(list[:i], list[min(len(list), i+1+r.IntN(4)):]...)
			default:
				list = append(list[:i], append([]byte{byte(r.IntN(256))}, list[i:]...)...)
			}
			if len(list) == 0 {
				break
			}
		}
		if !bytes.HasPrefix(list, []byte("SSHKRL")) {
			continue // text, of which ssh-keygen reads keys only
		}
		if _, err := verify.ParseRevoked(list); err != nil {
			refused++
			continue
		}
		if accepted++; accepted > 60 {
			break
		}
		theirs, ok := s.asked(list)
		if !ok {
			t.Fatalf("accepted, but ssh-keygen cannot read it: %x", list)
		}
		for _, name := range s.names {
			if ours, _ := verify.Revokes(list, s.keys[name]); ours != theirs[name] {
				t.Errorf("%s: revoked is %v, ssh-keygen says %v, in %x", name, ours, theirs[name], list)
			}
		}
	}
	if accepted < 60 || refused < 100 {
		t.Fatalf("%d lists are accepted and %d refused: the test shows too little", accepted, refused)
	}
}

// FuzzKRL shows that no bytes make the reader fall over, and that a list means
// the same as a file and as the lines that are remembered.
func FuzzKRL(f *testing.F) {
	s := newSuspects(f)
	f.Add(krlOf())
	f.Add(s.list("serial: 1-9\nserial: 63\nid: laptop\nkey: "+s.other.line()+"\nsha1: "+s.ann.line(), "-s", filepath.Join(s.dir, "ca")))
	f.Add(s.list("serial: 1\nserial: 3\nserial: 5\nserial: 6\nserial: 8\nserial: 12", "-s", "none"))
	f.Fuzz(func(t *testing.T, list []byte) {
		if !bytes.HasPrefix(list, []byte("SSHKRL")) {
			return
		}
		count, err := verify.ParseRevoked(list)
		if err != nil {
			return
		}
		lines := []byte(strings.Join(verify.RevokedLines(list), "\n"))
		again, errAgain := verify.ParseRevoked(lines)
		if count != again || errAgain != nil {
			t.Fatalf("%d keys; as lines %d, %v", count, again, errAgain)
		}
		for _, name := range s.names {
			a, _ := verify.Revokes(list, s.keys[name])
			if b, _ := verify.Revokes(lines, s.keys[name]); a != b {
				t.Fatalf("%s: revoked is %v, as lines %v", name, a, b)
			}
		}
	})
}
