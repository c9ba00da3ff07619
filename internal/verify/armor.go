// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// The kinds of armor that Git takes for signatures.
const (
	armorSSH     = "SSH SIGNATURE"
	armorOpenPGP = "PGP SIGNATURE"
	armorMessage = "PGP MESSAGE"
	armorX509    = "SIGNED MESSAGE"
)

func beginLine(kind string) string { return "-----BEGIN " + kind + "-----" }
func endLine(kind string) string   { return "-----END " + kind + "-----" }

// armorKind is what kind of signature a line begins, "" if none. Like Git it
// looks at the beginning of the line only.
func armorKind(line string) string {
	for _, kind := range []string{armorSSH, armorOpenPGP, armorMessage, armorX509} {
		if strings.HasPrefix(line, beginLine(kind)) {
			return kind
		}
	}
	return ""
}

// armors are the offsets of the lines that begin a signature.
func armors(text string) (starts []int) {
	at := 0
	for line := range strings.Lines(text) {
		if armorKind(line) != "" {
			starts = append(starts, at)
		}
		at += len(line)
	}
	return starts
}

// dearmor is the inside of text, which must be one armored block of this kind
// and nothing else but blank lines after it (GitHub writes one). The libraries'
// own decoders search for a block and ignore what stands around it.
func dearmor(text, kind string) ([]byte, error) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if lines[0] != beginLine(kind) || lines[len(lines)-1] != endLine(kind) {
		return nil, fmt.Errorf("it is not one %s block and nothing else", kind)
	}
	lines = lines[1 : len(lines)-1]
	if kind != armorSSH && kind != armorX509 {
		var err error
		if lines, err = openPGPBody(lines); err != nil {
			return nil, err
		}
	}
	for _, line := range lines {
		if line == "" || len(line) > 76 {
			return nil, errors.New("its armor has a line of the wrong length")
		}
	}
	data, err := base64.StdEncoding.Strict().DecodeString(strings.Join(lines, ""))
	if err != nil {
		return nil, fmt.Errorf("its armor is not base64: %w", err)
	}
	return data, nil
}

// openPGPBody cuts the armor's own headers and its checksum off. Neither is
// signed and neither is used (RFC 9580 §6.1 gives the checksum up).
func openPGPBody(lines []string) ([]string, error) {
	for i, line := range lines {
		if line == "" {
			lines = lines[i+1:]
			if n := len(lines); n > 0 && len(lines[n-1]) == 5 && lines[n-1][0] == '=' {
				lines = lines[:n-1]
			}
			return lines, nil
		}
		if !strings.Contains(line, ": ") {
			break
		}
	}
	return nil, errors.New("no blank line ends the headers of its armor")
}
