// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds one file: a mistake such as naming a log or an image must not
// fill the memory of a small node.
const maxFile = 1 << 20

// Load reads the file at path and config.d/*.yaml beside it, in the order of
// their names: later values win, maps merge, sources are appended. It is strict:
// its error is Problems and names every unknown, doubled or mistyped field. The
// Config holds what could be read even then, so that Check can go on.
func Load(path string) (Config, error) {
	c := Default()
	c.APIVersion, c.Kind = "", ""
	c.where = map[string]position{}
	var problems Problems

	paths, err := filepath.Glob(filepath.Join(globEscape(filepath.Dir(path)), "config.d", "*.yaml"))
	if err != nil {
		problems = append(problems, Problem{File: path, Message: "cannot look into config.d", Remedy: "check its name"})
	}
	slices.Sort(paths)
	for _, file := range append([]string{path}, paths...) {
		c.files = append(c.files, file)
		problems = append(problems, c.read(file)...)
	}
	problems = append(problems, c.complete()...)
	return c, problems.sorted(c.files).err()
}

// Check is Load and Validate together: every problem that can be known.
func Check(path string) (Config, error) {
	c, err := Load(path)
	var problems, more Problems
	errors.As(err, &problems)
	errors.As(c.Validate(), &more)
	// When the file itself could not be read, everything would be missing.
	if slices.ContainsFunc(problems, func(q Problem) bool { return q.File == path && q.Field == "" }) {
		return c, err
	}
	unread := slices.Clone(problems)
	for _, p := range more {
		// A field that could not be read keeps its default: only the first,
		// true problem with it is shown.
		known := func(q Problem) bool {
			return q.Field != "" && (q.Field == p.Field || strings.HasPrefix(p.Field, q.Field+"."))
		}
		if !slices.ContainsFunc(unread, known) {
			problems = append(problems, p)
		}
	}
	return c, problems.sorted(c.files).err()
}

func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// read merges one file into c.
func (c *Config) read(file string) Problems {
	data, problem := readFile(file)
	if problem != nil {
		return Problems{*problem}
	}
	documents := yaml.NewDecoder(bytes.NewReader(data))
	var root, second yaml.Node
	if err := documents.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // an empty piece; an empty main file lacks its apiVersion
		}
		return Problems{syntaxProblem(file, err)}
	}
	if err := documents.Decode(&second); err == nil {
		return Problems{{File: file, Line: second.Line, Message: "there is a second document", Remedy: "put it into a file of its own in config.d"}}
	} else if !errors.Is(err, io.EOF) {
		return Problems{syntaxProblem(file, err)}
	}
	d := &decoder{file: file, where: c.where}
	d.value(root.Content[0], reflect.ValueOf(c).Elem(), "")
	return d.problems
}

// complete fills in what depends on other things than the file.
func (c *Config) complete() Problems {
	for i := range c.Sources {
		if c.Sources[i].Ref == (Ref{}) {
			c.Sources[i].Ref.Branch = "main"
		}
		for j := range c.Sources[i].Mirrors {
			if m := &c.Sources[i].Mirrors[j]; m.Type == "" {
				m.Type = "git"
			}
		}
	}
	if c.Node.Name != "" {
		return nil
	}
	name, err := os.Hostname()
	if err != nil {
		return Problems{{File: c.files[0], Field: "node.name", Message: "is empty and the host name cannot be read", Remedy: "set node.name"}}
	}
	// k3s names its node by the host name in lower case.
	c.Node.Name = strings.ToLower(name)
	return nil
}

func readFile(file string) ([]byte, *Problem) {
	f, err := os.Open(file)
	if err != nil {
		return nil, &Problem{File: file, Message: "cannot be read: " + cause(err), Remedy: openRemedy(err)}
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, &Problem{File: file, Message: "cannot be read: " + cause(err), Remedy: "check the file system"}
	case !info.Mode().IsRegular():
		return nil, &Problem{File: file, Message: "is not a regular file", Remedy: "put the configuration there"}
	case info.Mode().Perm()&0o002 != 0:
		return nil, &Problem{File: file, Message: "can be written by everybody", Remedy: "run chmod o-w " + file}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, &Problem{File: file, Message: "cannot be read: " + cause(err), Remedy: "check the file system"}
	}
	if len(data) > maxFile {
		return nil, &Problem{File: file, Message: "is larger than 1 MiB", Remedy: "check that it is the right file"}
	}
	return data, nil
}

// cause is the error without the path, which the problem names already.
func cause(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}

func openRemedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "create it, or name another file with --config"
	case errors.Is(err, fs.ErrPermission):
		return "run the command as root"
	}
	return "check the file system"
}

var (
	yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	// yamlParser matches the messages in which the library counts lines from 0.
	yamlParser = regexp.MustCompile(`^did not find expected (',' or '[]}]'|node content|key|'-' indicator|<document start>)`)
)

// syntaxProblem takes the line out of the parser's message.
func syntaxProblem(file string, err error) Problem {
	p := Problem{File: file, Remedy: "correct the YAML; indentation is made of spaces"}
	m := yamlLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	if m == nil {
		p.Message = fmt.Sprintf("is not YAML: %v", err)
		return p
	}
	p.Line, _ = strconv.Atoi(m[1]) // 0, the whole file, when there is none
	if p.Line > 0 && yamlParser.MatchString(m[2]) {
		p.Line++
	}
	p.Message = "is not YAML: " + m[2]
	return p
}

// Files is every file that the configuration was read from or names, for
// watching. The directory config.d is among them, because pieces come and go.
func (c Config) Files() []string {
	files := slices.Clone(c.files)
	if len(c.files) > 0 {
		files = append(files, filepath.Join(filepath.Dir(c.files[0]), "config.d"))
	}
	files = append(files, c.Cluster.Kubeconfig)
	for _, s := range c.Sources {
		for _, f := range s.files() {
			files = append(files, f.path)
		}
	}
	slices.Sort(files)
	return slices.DeleteFunc(slices.Compact(files), func(f string) bool { return f == "" })
}
