// SPDX-License-Identifier: Apache-2.0

package render

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	kustypes "sigs.k8s.io/kustomize/api/types"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// scan walks every kustomization that a bundle reaches before Kustomize sees
// one: it finds the closure and refuses by name what would leave the tree.
// Kustomize itself fetches URLs and clones repositories and has no option
// against it; here a path is used only when the tree has it.
type scan struct {
	r       *reader
	bundle  *bundle
	visited map[string]bool
}

// references is what one kustomization points at, relative to its directory.
type references struct {
	files   []string // have to be files
	either  []string // a file, or a directory with a kustomization
	dirs    []string
	raw     []string // files that are not YAML, such as a ConfigMap's content
	plugins []string // configurations of generators and transformers, or directories with them
}

func (b *bundle) gatherKustomize(r *reader) error {
	s := &scan{r: r, bundle: b, visited: map[string]bool{}}
	if err := s.dir(b.dir, ""); err != nil {
		return err
	}
	return b.gatherComponents(r)
}

// gatherComponents scans the components that the bundle file itself names.
func (b *bundle) gatherComponents(r *reader) error {
	s := &scan{r: r, bundle: b, visited: map[string]bool{}}
	for _, component := range b.kustomize.Components {
		dir, err := s.inside("bundle "+b.Name+": spec.kustomize.components", b.dir, component)
		if err != nil {
			return err
		}
		if err := s.dir(dir, ""); err != nil {
			return err
		}
	}
	return nil
}

// dir scans the kustomization of a directory. With a user, its resources are
// configurations of generators and transformers, which the kustomization in
// the user's directory runs, and what they name is relative to that.
func (s *scan) dir(dir, user string) error {
	if s.visited[dir+"\n"+user] {
		return nil
	}
	s.visited[dir+"\n"+user] = true
	file, err := s.find(dir)
	if err != nil || file == "" {
		return err
	}
	data, err := s.r.file(file, file)
	if err != nil || data == nil {
		return err
	}
	s.bundle.gathered.files[file] = data
	if err := guardFile(file, data); err != nil {
		return err
	}
	refs, err := kustomizationReferences(file, data)
	if err != nil {
		return err
	}
	if user == "" {
		return s.follow(file, dir, refs)
	}
	configurations := refs.either
	refs.either = nil
	if err := s.follow(file, dir, refs); err != nil {
		return err
	}
	dirs := map[string]string{}
	if err := s.followPlugins(file, dir, user, configurations, dirs); err != nil {
		return err
	}
	return s.dirs(dirs)
}

func (s *scan) find(dir string) (string, error) {
	if k, err := s.r.kind(dir); err != nil || k == isMissing {
		return "", err
	}
	var candidates []string
	for _, name := range kustomizations {
		candidates = append(candidates, path.Join(dir, name))
	}
	kinds, err := s.r.kinds(candidates...)
	if err != nil {
		return "", err
	}
	i := slices.Index(kinds, isFile)
	if i < 0 {
		return "", failure(gitops.PathMissing, "correct the path, or commit the directory",
			"render bundle %s: there is no kustomization in %s", s.bundle.Name, dir)
	}
	return candidates[i], nil
}

// follow reads what a kustomization points at, and scans the directories.
func (s *scan) follow(file, dir string, refs references) error {
	dirs := map[string]string{} // → the user of the plugins they hold
	text := map[string]bool{}   // → whether they are YAML
	var load []string
	for _, group := range []struct {
		refs                  []string
		mayFile, mayDir, yaml bool
	}{
		{refs.files, true, false, true},
		{refs.either, true, true, true},
		{refs.dirs, false, true, false},
		{refs.raw, true, false, false},
	} {
		for _, ref := range group.refs {
			p, k, err := s.locate(file, dir, ref, group.mayFile, group.mayDir)
			if err != nil {
				return err
			}
			switch k {
			case isDir:
				dirs[p] = ""
			case isFile:
				load = append(load, p)
				text[p] = text[p] || group.yaml
			}
		}
	}
	if err := s.followPlugins(file, dir, dir, refs.plugins, dirs); err != nil {
		return err
	}
	content, err := s.r.content(load)
	if err != nil {
		return err
	}
	for p, data := range content {
		if !text[p] {
			continue
		}
		if err := guardFile(p, data); err != nil {
			return err
		}
	}
	maps.Copy(s.bundle.gathered.files, content)
	return s.dirs(dirs)
}

func (s *scan) dirs(dirs map[string]string) error {
	for _, p := range slices.Sorted(maps.Keys(dirs)) {
		if err := s.dir(p, dirs[p]); err != nil {
			return err
		}
	}
	return nil
}

// locate resolves one reference and checks that the tree has it.
func (s *scan) locate(file, dir, ref string, mayFile, mayDir bool) (string, kind, error) {
	p, err := s.inside(file, dir, ref)
	if err != nil {
		return "", "", err
	}
	k, err := s.r.kind(p)
	switch {
	case err != nil:
		return "", "", err
	case k == isAbsent, k == isDir && !mayDir, k == isFile && !mayFile:
		return "", "", failure(gitops.PathMissing, "correct the path, or commit the file",
			"render bundle %s: %s names %s, which is not in the tree", s.bundle.Name, file, ref)
	case k == isFile && dir != "." && !strings.HasPrefix(p, dir+"/"):
		return "", "", failure(gitops.PathOutside, "move the file, or give its directory a kustomization of its own",
			"render bundle %s: %s names %s; Kustomize reads files only in and below the directory that names them", s.bundle.Name, file, ref)
	}
	return p, k, nil
}

// inside resolves a reference to a path of the repository.
func (s *scan) inside(what, dir, ref string) (string, error) {
	if remote(ref) {
		return "", failure(gitops.RemoteBase, "commit the files into the repository, or write ./ before the path",
			"render bundle %s: %s names the remote %s", s.bundle.Name, what, withoutUserinfo(ref))
	}
	return join(what, dir, ref)
}

var (
	remoteScheme = regexp.MustCompile(`(?i)^(git::|https?:|[a-z][a-z0-9+.-]*://|github\.com[/:])`)
	remoteUser   = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]*@`)
	userinfo     = regexp.MustCompile(`//[^/@]*@`)
)

// remote reports whether Kustomize would go to the network for a path.
func remote(p string) bool { return remoteScheme.MatchString(p) || remoteUser.MatchString(p) }

func withoutUserinfo(ref string) string { return userinfo.ReplaceAllString(ref, "//") }

// kustomizationReferences decodes a kustomization strictly and lists what it
// points at.
func kustomizationReferences(file string, data []byte) (references, error) {
	var k kustypes.Kustomization
	var refs references
	if err := k.Unmarshal(data); err != nil {
		return refs, failure(gitops.KustomizeFailed, "correct the kustomization", "read %s: %s", file, brief(err))
	}
	k.FixKustomization()
	if k.HelmCharts != nil || k.HelmGlobals != nil {
		return refs, failure(gitops.PluginRefused, "declare the chart as a bundle of its own in "+declarationFile,
			"read %s: helmCharts would run a helm program", file)
	}
	if len(k.OpenAPI) > 0 {
		return refs, failure(gitops.UnsupportedField, "remove the field", "read %s: openapi is not supported", file)
	}
	refs.either = k.Resources
	refs.dirs = k.Components
	refs.files = slices.Concat(k.Crds, k.Configurations)
	// Kustomize still builds the deprecated fields, so their paths are checked too.
	for _, p := range slices.Concat(k.Patches, k.PatchesJson6902) { //nolint:staticcheck // see above
		refs.files = appendPath(refs.files, p.Path)
	}
	for _, p := range k.PatchesStrategicMerge { //nolint:staticcheck // see above
		refs.files = appendPath(refs.files, unlessInline(string(p)))
	}
	for _, p := range k.Replacements {
		refs.files = appendPath(refs.files, p.Path)
	}
	for _, g := range k.ConfigMapGenerator {
		refs.raw = append(refs.raw, generatorFiles(g.KvPairSources)...)
	}
	for _, g := range k.SecretGenerator {
		refs.raw = append(refs.raw, generatorFiles(g.KvPairSources)...)
	}
	refs.plugins = slices.Concat(k.Generators, k.Transformers, k.Validators)
	return refs, nil
}

func appendPath(list []string, p string) []string {
	if p == "" {
		return list
	}
	return append(list, p)
}

// unlessInline is "" for what is a document and not a path.
func unlessInline(p string) string {
	if strings.ContainsAny(p, "\n{") {
		return ""
	}
	return p
}

// generatorFiles are the paths of "path" and "key=path".
func generatorFiles(g kustypes.KvPairSources) []string {
	out := slices.Clone(g.EnvSources)
	for _, f := range g.FileSources {
		out = append(out, withoutKey(f))
	}
	return out
}

func withoutKey(f string) string {
	if _, p, ok := strings.Cut(f, "="); ok {
		return p
	}
	return f
}
