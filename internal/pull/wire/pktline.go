// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxPacket is the longest packet of Git, its four digits of length included
// (gitprotocol-common, "pkt-line Format").
const maxPacket = 65520

// packet is what four digits of length announce: a line, or one of the marks
// that have no content (gitprotocol-v2, "Packet-Line Framing").
type packet int

const (
	line        packet = iota
	flush              // 0000, the end of a message
	delim              // 0001, between its sections
	responseEnd        // 0002, the end of an answer on a stateless connection
)

var (
	errNotALine = errors.New("not in Git's line format")
	errTooLong  = errors.New("more bytes than allowed")
)

// lines reads Git's packets, and holds one of them at most. Over go-git's
// reader it knows the marks of protocol v2, bounds what comes, and tells an end
// in the middle of a packet from a wrong packet. It never reads past the packet
// that it returns: on an SSH session the next answer follows.
type lines struct {
	r     io.Reader
	limit int64 // of bytes; one packet may begin below it and end above
	spent int64
	buf   []byte
}

// next returns a packet. Its content, without the newline that may end it, is
// valid until the next call. What the server says in an ERR line is an error.
func (l *lines) next() (packet, []byte, error) {
	kind, content, err := l.raw()
	if err != nil || kind != line {
		return kind, nil, err
	}
	if n := len(content); n > 0 && content[n-1] == '\n' {
		content = content[:n-1]
	}
	return line, content, nil
}

// raw is next for content whose last byte means something. Beside an error it
// returns as much of the content as came.
func (l *lines) raw() (packet, []byte, error) {
	if l.spent > l.limit {
		return 0, nil, errTooLong
	}
	var head [4]byte
	if err := l.read(head[:]); err != nil {
		return 0, nil, err
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 16)
	if err != nil || n == 3 || n > maxPacket {
		return 0, nil, errNotALine
	}
	l.spent += max(int64(n), int64(len(head)))
	switch n {
	case 0:
		return flush, nil, nil
	case 1:
		return delim, nil, nil
	case 2:
		return responseEnd, nil, nil
	}
	l.buf = slices.Grow(l.buf[:0], int(n)-4)[:n-4]
	if read, err := io.ReadFull(l.r, l.buf); err != nil {
		return 0, l.buf[:read], noEnd(err)
	}
	if said, ok := strings.CutPrefix(string(l.buf[:min(len(l.buf), maxSaid)]), "ERR "); ok {
		return 0, nil, serverSaid(said)
	}
	return line, l.buf, nil
}

func (l *lines) read(b []byte) error {
	_, err := io.ReadFull(l.r, b)
	return noEnd(err)
}

// noEnd is an end in the middle of an answer.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// refund takes bytes back that another limit counts.
func (l *lines) refund(n int) { l.spent -= int64(n) }

// appendLine adds a line. Every line of ours is far below maxPacket.
func appendLine(to []byte, format string, args ...any) []byte {
	content := fmt.Sprintf(format, args...)
	return fmt.Appendf(to, "%04x%s\n", len(content)+5, content)
}

func appendFlush(to []byte) []byte { return append(to, "0000"...) }
func appendDelim(to []byte) []byte { return append(to, "0001"...) }

// maxSaid is how much of an error that the server put into words is looked at.
const maxSaid = 1000

// The errors here say what is wrong with an answer. What was asked, and of
// whom, is put before that where it is known.

// serverSaid is an error that the server put into words.
func serverSaid(text string) error {
	text = printable(text, 200)
	if strings.Contains(text, "not our ref") || strings.HasPrefix(text, "unknown ref") {
		return failed(gitops.RefMissing, "check the ref; it may have moved just now", "the server says %q", text)
	}
	return failed(gitops.ServerError, "look at the server's log", "the server says %q", text)
}

// notGit is an answer to the first questions that no Git server gives.
func notGit(how string) error {
	return failed(gitops.NotGit, "check the URL: it must name a Git repository", "%s", how)
}

// sha256Repository is a repository whose ids this program cannot read.
func sha256Repository() error {
	return failed(gitops.UnsupportedServer, "use a repository with SHA-1 object ids", "the repository uses SHA-256")
}

// listFailed gives an error of lines its reason, where a list is read.
func listFailed(remedy string, err error, limit int64) error {
	switch {
	case errors.Is(err, errTooLong):
		return failed(gitops.TooLarge, remedy, "the answer has more than %d bytes", limit)
	case errors.Is(err, errNotALine):
		return notGit("the answer is " + errNotALine.Error())
	}
	return err
}
