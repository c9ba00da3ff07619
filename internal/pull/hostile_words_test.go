// SPDX-License-Identifier: Apache-2.0

package pull_test

import (
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	someTip   = gitops.Hash("2222222222222222222222222222222222222222")
	refsMedia = "application/x-git-upload-pack-advertisement"
	packMedia = "application/x-git-upload-pack-result"
)

// listing offers nothing but a list of refs.
func listing(refs http.HandlerFunc) v2Script {
	return v2Script{abilities: gitAbilities(), refs: refs, fetch: v2Status(500, "text/plain", "no fetch was expected")}
}

func everything(h http.HandlerFunc) v2Script { return v2Script{abilities: h, refs: h, fetch: h} }

// TestHostileStatus is what comes instead of Git: portals, proxies, forges that
// refuse.
func TestHostileStatus(t *testing.T) {
	w := newWorld(t)
	page := "<html>" + strings.Repeat("Please pay. ", 100)
	year := []string{"Retry-After", "31536000"}
	// Where a redirect leads, requests are noted.
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a request went to another host: %s %s", r.Method, r.URL)
	}))
	t.Cleanup(elsewhere.Close)
	w.run([]hostileCase{
		{name: "a web page with 200", serve: everything(v2Status(200, "text/html; charset=utf-8", page)), reasons: is(gitops.CaptivePortal)},
		{name: "a web page to the request for refs", serve: listing(v2Status(200, "text/html", page)), reasons: is(gitops.CaptivePortal)},
		{name: "a web page instead of the pack", serve: offering(someTip, v2Status(200, "text/html", page)), reasons: is(gitops.CaptivePortal)},
		{name: "a web page that calls itself refs", serve: everything(v2Status(200, refsMedia, page)), reasons: is(gitops.NotGit)},
		{name: "302 to another host", serve: everything(v2Status(302, "text/plain", "", "Location", elsewhere.URL+"/login")), reasons: is(gitops.RedirectRefused)},
		{name: "302 round and round", serve: everything(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"?"+r.URL.RawQuery+"&x", http.StatusFound)
		}), reasons: is(gitops.RedirectRefused)},
		{name: "307 to another host on POST", serve: listing(v2Status(307, "text/plain", "", "Location", elsewhere.URL+"/git-upload-pack")), reasons: is(gitops.RedirectRefused)},
		{name: "307 on the same host on POST", serve: listing(v2Status(307, "text/plain", "", "Location", "/r.git/x/git-upload-pack")), reasons: is(gitops.RedirectRefused)},
		{name: "a redirect to nowhere", serve: everything(v2Status(302, "text/plain", "")), reasons: is(gitops.ServerError)},
		{name: "a redirect with a password", serve: everything(v2Status(302, "text/plain", "", "Location", "http://u:canary@127.0.0.1:1/")), reasons: is(gitops.RedirectRefused), absent: "canary"},
		{name: "401", serve: everything(v2Status(401, "text/plain", "no", "WWW-Authenticate", `Basic realm="x"`)), reasons: is(gitops.Auth)},
		{name: "403", serve: everything(v2Status(403, "text/plain", "no")), reasons: is(gitops.Auth)},
		{name: "403 to the fetch only", serve: offering(someTip, v2Status(403, "text/plain", "no")), reasons: is(gitops.Auth)},
		{name: "404", serve: everything(v2Status(404, "text/html", page)), reasons: is(gitops.NotGit)},
		{name: "407", serve: everything(v2Status(407, "text/plain", "")), reasons: is(gitops.Auth), text: "proxy"},
		{name: "429, again in a year", serve: everything(v2Status(429, "text/plain", "slow down", year...)), reasons: is(gitops.ServerError)},
		{name: "503, again in a year", serve: everything(v2Status(503, "text/plain", "maintenance", year...)), reasons: is(gitops.ServerError)},
		{name: "500", serve: everything(v2Status(500, "text/plain", "oops \x1b[31m")), reasons: is(gitops.ServerError), text: "oops", absent: "\x1b"},
		{name: "511", serve: everything(v2Status(511, "text/html", page)), reasons: is(gitops.CaptivePortal)},
		{name: "an error without end", serve: everything(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			v2Endless("", "x")(w, r)
		}), reasons: is(gitops.NotGit)},
		{name: "headers without end", serve: everything(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 200<<10))
		}), reasons: is(gitops.Unreachable)},
		{name: "compressed nonsense", serve: everything(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", refsMedia)
			w.Header().Set("Content-Encoding", "gzip")
			zip := gzip.NewWriter(w)
			_, _ = zip.Write(make([]byte, 1<<20))
			_ = zip.Close()
		}), reasons: is(gitops.NotGit)},
		{name: "no answer", serve: everything(v2Stall("")), change: quick, reasons: is(gitops.Timeout)},
		{name: "a byte now and then", serve: everything(v2Drip("fff0", 20*time.Millisecond)), change: demanding, reasons: is(gitops.TooSlow)},
	})
}

// TestHostileAbilitiesAndRefs is what is wrong before a pack is asked for.
func TestHostileAbilitiesAndRefs(t *testing.T) {
	w := newWorld(t)
	ref := func(id, name string) string { return v2Line(id + " " + name + "\n") }
	tip, main := string(someTip), "refs/heads/main"
	able := func(h http.HandlerFunc) v2Script {
		return v2Script{abilities: h, refs: v2Main(someTip), fetch: v2Says("")}
	}
	service := "001e# service=git-upload-pack\n0000"
	w.run([]hostileCase{
		{name: "abilities without fetch", serve: able(v2Able("ls-refs", "object-format=sha1")), reasons: is(gitops.UnsupportedServer)},
		{name: "abilities without ls-refs", serve: able(v2Able("fetch=filter", "object-format=sha1")), reasons: is(gitops.UnsupportedServer)},
		{name: "SHA-256", serve: able(v2Able("ls-refs", "fetch", "object-format=sha256")), reasons: is(gitops.NotGit, gitops.UnsupportedServer), text: "SHA-256"},
		{name: "version 3", serve: able(v2Says(service, v2Line("version 3\n"), v2Flush)), reasons: is(gitops.UnsupportedServer)},
		{name: "abilities without end", serve: able(v2Endless(service+v2Line("version 2\n"), v2Line("x=y\n"))), reasons: is(gitops.TooLarge)},
		{name: "abilities cut", serve: able(v2Says(service, v2Line("version 2\n"), v2Line("ls-refs\n"))), reasons: is(gitops.Unreachable)},
		{name: "an ability of control characters", serve: able(v2Able("ls-refs", "fetch", "\x1b[2J")), reasons: is(gitops.NotGit), absent: "\x1b"},
		{name: "another service", serve: able(v2Says(v2Line("# service=git-receive-pack\n"), v2Flush)), reasons: is(gitops.NotGit)},
		{name: "refs without end", serve: listing(v2Endless(ref(tip, main), ref(tip, "refs/heads/mainly"))), change: tight, reasons: is(gitops.TooLarge, gitops.NotGit)},
		{name: "refs nobody asked for without end", serve: listing(v2Endless(ref(tip, main), ref(tip, "refs/pull/1/head"))), change: tight, reasons: is(gitops.TooLarge)},
		{name: "a ref twice", serve: listing(v2Says(ref(tip, main), ref(strings.Repeat("3", 40), main), v2Flush)), reasons: is(gitops.NotGit)},
		{name: "a ref named ..", serve: listing(v2Says(ref(tip, main+"/../x"), v2Flush)), reasons: is(gitops.NotGit)},
		{name: "a ref named by control characters", serve: listing(v2Says(ref(tip, main+"\x1b[2J"), v2Flush)), reasons: is(gitops.NotGit), absent: "\x1b"},
		{name: "a ref without an id", serve: listing(v2Says(ref("", main), v2Flush)), reasons: is(gitops.NotGit)},
		{name: "an id that is too short", serve: listing(v2Says(ref(tip[:39], main), v2Flush)), reasons: is(gitops.NotGit)},
		{name: "an id that is too long", serve: listing(v2Says(ref(tip+"2", main), v2Flush)), reasons: is(gitops.NotGit)},
		{name: "an id of SHA-256", serve: listing(v2Says(ref(strings.Repeat("a", 64), main), v2Flush)), reasons: is(gitops.NotGit, gitops.UnsupportedServer), text: "SHA-256"},
		{name: "an id in upper case", serve: listing(v2Says(ref(strings.Repeat("A", 40), main), v2Flush)), reasons: is(gitops.NotGit)},
		{name: "the id of nothing", serve: listing(v2Says(ref(strings.Repeat("0", 40), main), v2Flush)), reasons: is(gitops.NotGit, gitops.RefMissing)},
		{name: "a ref peeled twice", serve: listing(v2Says(v2Line(tip+" "+main+" peeled:"+tip+" peeled:"+tip+"\n"), v2Flush)), reasons: is(gitops.NotGit)},
		{name: "refs, then garbage", serve: listing(v2Says(ref(tip, main), "zzzz")), reasons: is(gitops.NotGit)},
		{name: "refs without an end", serve: listing(v2Says(ref(tip, main))), reasons: is(gitops.Unreachable)},
		{name: "refs cut in a line", serve: listing(v2Cut(ref(tip, main)[:20])), reasons: is(gitops.Unreachable)},
		{name: "refs that stall", serve: listing(v2Stall(ref(tip, main))), change: quick, reasons: is(gitops.Timeout)},
		{name: "refs that drip", serve: listing(v2Drip(ref(tip, main)+"fff0", 20*time.Millisecond)), change: demanding, reasons: is(gitops.TooSlow)},
		{name: "no refs", serve: listing(v2Says(v2Flush)), reasons: is(gitops.RefMissing)},
		{name: "other refs only", serve: listing(v2Says(ref(tip, "refs/heads/other"), v2Flush)), reasons: is(gitops.RefMissing)},
		{name: "a mark among the refs", serve: listing(v2Says(ref(tip, main), v2Delim)), reasons: is(gitops.NotGit)},
		{name: "an error among the refs", serve: listing(v2Says(v2Line("ERR access denied \x1b[2J"))), reasons: is(gitops.ServerError), text: "access denied", absent: "\x1b"},
		{name: "a line of 64 kB", serve: listing(v2Says("ffff" + strings.Repeat("x", 65_531))), reasons: is(gitops.NotGit)},
		{name: "a line of three bytes", serve: listing(v2Says("0003")), reasons: is(gitops.NotGit)},
		{name: "a length that is no number", serve: listing(v2Says("00g5x")), reasons: is(gitops.NotGit)},
	})
}

// TestHostileAnswers is what is wrong around a pack.
func TestHostileAnswers(t *testing.T) {
	w := newWorld(t)
	s := w.scene
	fetched := func(answer string) v2Script { return offering(s.commitID, v2Says(answer)) }
	pack := s.pack()
	header := v2Line("packfile\n")
	ended := v2Pack(pack)
	w.run([]hostileCase{
		{name: "nothing", serve: fetched(""), reasons: is(gitops.Unreachable)},
		{name: "a flush", serve: fetched(v2Flush), reasons: is(gitops.ServerError)},
		{name: "an unknown section", serve: fetched(v2Line("surprise\n") + v2Line("x\n") + v2Delim + ended), reasons: is(gitops.ServerError)},
		{name: "a section twice", serve: fetched(v2Line("acknowledgments\n") + v2Line("NAK\n") + v2Delim + v2Line("acknowledgments\n") + v2Line("NAK\n") + v2Delim + ended), reasons: is(gitops.ServerError)},
		{name: "packfile URIs", serve: fetched(v2Line("packfile-uris\n") + v2Line("0123456789012345678901234567890123456789 http://127.0.0.1:1/p\n") + v2Delim + ended), reasons: is(gitops.UnsupportedServer)},
		{name: "a shallow line of nonsense", serve: fetched(v2Line("shallow-info\n") + v2Line("shallow x\n") + v2Delim + ended), reasons: is(gitops.ServerError)},
		{name: "acknowledgements without end", serve: offering(s.commitID, v2Endless(v2Line("acknowledgments\n"), v2Line("NAK\n"))), reasons: is(gitops.TooLarge)},
		{name: "progress without end", serve: offering(s.commitID, v2Endless(header, v2Line("\x02counting\r"))), reasons: is(gitops.TooLarge)},
		{name: "keepalives without end", serve: offering(s.commitID, v2Endless(header, v2Line("\x02"))), reasons: is(gitops.TooLarge)},
		{name: "empty packets of the pack without end", serve: offering(s.commitID, v2Endless(header, v2Line("\x01"))), reasons: is(gitops.TooLarge)},
		{name: "a pack without end", serve: offering(s.commitID, v2Endless(header+v2Line("\x01"+string(packSaying(1 << 31))[:12]), v2Line("\x01"+string(object(blobEntry, []byte("x")))))), change: tight, reasons: is(gitops.TooLarge)},
		{name: "an unknown channel", serve: fetched(header + v2Line("\x09x")), reasons: is(gitops.ServerError)},
		{name: "a line without a channel", serve: fetched(header + "0004"), reasons: is(gitops.ServerError)},
		{name: "a message on the third channel", serve: fetched(header + v2Line("\x01PACK") + v2Line("\x03out of memory \x07")), reasons: is(gitops.ServerError), text: "out of memory", absent: "\x07"},
		{name: "an error line in the pack", serve: fetched(header + v2Line("\x01PACK") + v2Line("ERR gone")), reasons: is(gitops.ServerError), text: "gone"},
		{name: "not our ref", serve: fetched(v2Line("ERR upload-pack: not our ref " + string(s.commitID))), reasons: is(gitops.RefMissing)},
		{name: "no pack in its section", serve: fetched(header + v2Flush), reasons: is(gitops.ServerError)},
		{name: "garbage after the section", serve: fetched(header + "qqqq"), reasons: is(gitops.ServerError)},
		{name: "a stall in the pack", serve: offering(s.commitID, v2Stall(header+v2Line("\x01"+string(pack[:20])))), change: quick, reasons: is(gitops.Timeout, gitops.ObjectExceedsLink)},
		{name: "a pack that drips", serve: offering(s.commitID, v2Drip(header+"fff0\x01", 20*time.Millisecond)), change: demanding, reasons: is(gitops.TooSlow, gitops.Corrupt)},
		{name: "a cut in the header", serve: offering(s.commitID, v2Cut(header+v2Line("\x01"+string(pack[:7])))), reasons: is(gitops.Unreachable, gitops.ObjectExceedsLink)},
		{name: "an end in the pack, told as its end", serve: fetched(header + v2Line("\x01"+string(pack[:40])) + v2Flush), reasons: is(gitops.Corrupt)},
	})
}
