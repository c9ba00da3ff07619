// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// generate puts into stage what nfpm.yaml takes from there.
func generate(spec packageSpec, maintainer, stage string) error {
	manual, err := os.ReadFile(filepath.Join(spec.root, "packaging/deb/edgeagent.1"))
	if err != nil {
		return err
	}
	news, err := os.ReadFile(filepath.Join(spec.root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	notices, err := licenses(spec.root, spec.binary)
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		"edgeagent.1.gz":             manual,
		"changelog.gz":               changelog(spec.version, maintainer, spec.when, string(news)),
		"third-party-licenses.gz":    notices,
		"completions/edgeagent.bash": nil,
		"completions/_edgeagent":     nil,
	} {
		if text != nil {
			if text, err = compress(text); err != nil {
				return err
			}
		} else if text, err = completion(spec.host, name); err != nil {
			return err
		}
		path := filepath.Join(stage, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// compress is gzip -9n: no name, no time.
func compress(text []byte) ([]byte, error) {
	var buf bytes.Buffer
	writer, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := writer.Write(text); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// completion asks the agent itself: the packages of other architectures take
// the same file, for it does not depend on the machine.
func completion(host, name string) ([]byte, error) {
	shell := "zsh"
	if strings.HasSuffix(name, ".bash") {
		shell = "bash"
	}
	command := exec.Command(host, "completion", shell)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s for its %s completion: %w", host, shell, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s completion %s prints nothing", host, shell)
	}
	return out, nil
}

// changelog is the newest section of CHANGELOG.md in the form that Debian's
// tools read.
func changelog(version, maintainer string, when time.Time, news string) []byte {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "edgeagent (%s) stable; urgency=medium\n\n", version)
	for _, line := range newestEntries(news) {
		fmt.Fprintf(&buf, "  %s\n", line)
	}
	fmt.Fprintf(&buf, "\n -- %s  %s\n", maintainer, when.Format(time.RFC1123Z))
	return buf.Bytes()
}

// newestEntries are the bullets below the first second-level heading, with the
// lines that continue them.
func newestEntries(news string) []string {
	_, section, _ := strings.Cut("\n"+news, "\n## ")
	section, _, _ = strings.Cut(section, "\n## ")
	var lines []string
	for _, line := range strings.Split(section, "\n")[1:] {
		switch {
		case strings.HasPrefix(line, "- "):
			lines = append(lines, "* "+strings.TrimPrefix(line, "- "))
		case strings.HasPrefix(line, "  ") && len(lines) > 0:
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return []string{"* No changes are recorded."}
	}
	return lines
}
