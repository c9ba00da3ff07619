// SPDX-License-Identifier: Apache-2.0

// Command deb writes edgeagent's Debian packages, one for each ARCH=BINARY that
// it is given. It owns what goes into them besides the binary: it reads
// packaging/deb/nfpm.yaml and makes the compressed man page, the changelog, the
// licences of the linked modules and the completions. The same commit gives the
// same bytes: nothing that goes in depends on the clock or on the machine. It
// never compiles the agent.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "deb:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("deb", flag.ContinueOnError)
	root := flags.String("root", ".", "the repository")
	described := flags.String("version", "", "what git describe says")
	host := flags.String("host-binary", "", "the agent for this machine, which prints its completions")
	out := flags.String("out", "dist", "folder of the packages")
	if err := flags.Parse(args); err != nil {
		return err
	}
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH is not a number of seconds; set it to the time of the commit: %w", err)
	}
	when := time.Unix(epoch, 0).UTC()
	version, err := debianVersion(*described, when)
	if err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("no package to write; name at least one ARCH=BINARY")
	}
	for _, pair := range flags.Args() {
		arch, binary, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q is not ARCH=BINARY", pair)
		}
		file, err := build(packageSpec{
			root: *root, out: *out, arch: arch, binary: binary, host: *host, version: version, when: when,
		})
		if err != nil {
			return fmt.Errorf("package %s: %w", arch, err)
		}
		fmt.Println(file)
	}
	return nil
}

// packageSpec is one package to be written.
type packageSpec struct {
	root, out    string
	arch         string // Debian's name
	binary, host string
	version      string // Debian's form
	when         time.Time
}

// build writes one package and returns its path.
func build(spec packageSpec) (string, error) {
	stage, err := os.MkdirTemp("", "edgeagent-deb-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(stage) }()
	info, err := readConfig(filepath.Join(spec.root, "packaging/deb/nfpm.yaml"), map[string]string{
		"ROOT": spec.root, "STAGE": stage, "BINARY": spec.binary, "ARCH": spec.arch, "VERSION": spec.version,
	})
	if err != nil {
		return "", err
	}
	if err := generate(spec, info.Maintainer, stage); err != nil {
		return "", err
	}
	info.MTime = spec.when
	// nfpm expands variables in contents only.
	for _, script := range []*string{&info.Scripts.PostInstall, &info.Scripts.PreRemove, &info.Scripts.PostRemove} {
		*script = filepath.Join(spec.root, *script)
	}
	if err := os.MkdirAll(spec.out, 0o755); err != nil {
		return "", err
	}
	name := filepath.Join(spec.out, deb.Default.ConventionalFileName(info))
	// A package that was cut short must not lie where a whole one is expected.
	partial, err := os.CreateTemp(spec.out, ".partial-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(partial.Name()) }()
	if err := deb.Default.Package(info, partial); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	if err := partial.Chmod(0o644); err != nil {
		return "", err
	}
	if err := partial.Close(); err != nil {
		return "", err
	}
	return name, os.Rename(partial.Name(), name)
}

// readConfig reads nfpm.yaml. A variable that nobody set is an error: nfpm would
// take it for an empty string, and package the wrong file.
func readConfig(path string, variables map[string]string) (*nfpm.Info, error) {
	var unknown []string
	config, err := nfpm.ParseFileWithEnvMapping(path, func(name string) string {
		value, ok := variables[name]
		// nfpm asks for the passphrases of signing keys whether or not there are any.
		if !ok && !strings.HasPrefix(name, "NFPM_") {
			unknown = append(unknown, name)
		}
		return value
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("read %s: nothing sets %s", path, strings.Join(unknown, ", "))
	}
	info, err := config.Get("deb")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return nfpm.WithDefaults(info), nil
}
