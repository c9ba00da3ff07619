// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([-.].*)?$`)

// licenses are the licence texts of every module that is linked into binary:
// most of them ask to be passed on with it. The list comes from the binary, so
// that it names what is shipped and nothing else.
func licenses(root, binary string) ([]byte, error) {
	built, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read which modules %s was built from: %w", binary, err)
	}
	folders, err := moduleFolders(root, built.Deps)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "edgeagent is linked with the following modules, and with Go's standard library.\n")
	if err := appendLicenses(&buf, "Go standard library", goRoot(), true); err != nil {
		return nil, err
	}
	for _, module := range built.Deps {
		folder, ok := folders[module.Path]
		if !ok {
			return nil, fmt.Errorf("module %s is linked into %s, but not in go.mod: build it from this commit", module.Path, binary)
		}
		if err := appendLicenses(&buf, module.Path+" "+module.Version, folder, false); err != nil {
			return nil, err
		}
	}
	return buf.Bytes(), nil
}

// goRoot is asked of the go command: the one that compiled this program may
// have trimmed it away.
func goRoot() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// moduleFolders says where the sources of the modules are.
func moduleFolders(root string, modules []*debug.Module) (map[string]string, error) {
	folders := map[string]string{}
	if len(modules) == 0 {
		return folders, nil
	}
	args := []string{"mod", "download", "-json"}
	for _, module := range modules {
		args = append(args, module.Path+"@"+module.Version)
	}
	command := exec.Command("go", args...)
	command.Dir, command.Stderr = root, os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("find the sources of the linked modules: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var module struct{ Path, Dir string }
		if err := decoder.Decode(&module); errors.Is(err, io.EOF) {
			return folders, nil
		} else if err != nil {
			return nil, err
		}
		folders[module.Path] = module.Dir
	}
}

// appendLicenses writes the licence files at the top of folder. A module
// without any must not be shipped. Debian's Go keeps Go's own elsewhere.
func appendLicenses(buf *bytes.Buffer, name, folder string, optional bool) error {
	entries, err := os.ReadDir(folder)
	if err != nil && !optional {
		return fmt.Errorf("read the licence of %s: %w", name, err)
	}
	var files []string
	for _, entry := range entries {
		if entry.Type().IsRegular() && licenseFile.MatchString(entry.Name()) {
			files = append(files, entry.Name())
		}
	}
	if len(files) == 0 && !optional {
		return fmt.Errorf("%s has no licence file in %s: do not ship it", name, folder)
	}
	slices.Sort(files)
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			return err
		}
		fmt.Fprintf(buf, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("=", 78), name, file, bytes.TrimSpace(text))
	}
	return nil
}
