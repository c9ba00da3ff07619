// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"cmp"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/ignore"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// maxArchive bounds what a packed subchart may unpack to.
const maxArchive = 4 * maxInput

// gatherChart reads the chart's directory, except what its .helmignore names,
// and the values files.
func (b *bundle) gatherChart(r *reader) error {
	rules := ignore.Empty()
	ignoreFile := path.Join(b.dir, ignore.HelmIgnore)
	k, err := r.kind(ignoreFile)
	if err != nil {
		return err
	}
	if k == isFile {
		data, err := r.content([]string{ignoreFile})
		if err != nil {
			return err
		}
		if rules, err = ignore.Parse(bytes.NewReader(data[ignoreFile])); err != nil {
			return failure(gitops.HelmFailed, "correct the file", "read %s: %s", ignoreFile, brief(err))
		}
	}
	rules.AddDefaults()
	all, err := r.walk(b.dir, func(rel string) bool {
		name, isDir := strings.CutSuffix(rel, "/")
		return !rules.Ignore(name, chartFile{name, isDir})
	})
	if err != nil {
		return err
	}
	content, err := r.content(all)
	if err != nil {
		return err
	}
	maps.Copy(b.gathered.files, content)
	for _, ref := range b.helm.ValuesFiles {
		what := "bundle " + b.Name + ": spec.helm.valuesFiles"
		p, err := join(what, b.home, ref)
		if err != nil {
			return err
		}
		data, err := r.file(what, p)
		if err != nil {
			return err
		}
		b.gathered.values = append(b.gathered.values, data)
	}
	return nil
}

// chartFile is what the ignore rules want to know of a path.
type chartFile struct {
	name  string
	isDir bool
}

func (f chartFile) Name() string       { return path.Base(f.name) }
func (f chartFile) Size() int64        { return 0 }
func (f chartFile) ModTime() time.Time { return time.Time{} }
func (f chartFile) IsDir() bool        { return f.isDir }
func (f chartFile) Sys() any           { return nil }
func (f chartFile) Mode() fs.FileMode {
	if f.isDir {
		return fs.ModeDir
	}
	return 0
}

// loadChart makes a chart of the closure. It is loaded anew for each
// rendering: templates can change the values that they are given.
func (b *bundle) loadChart() (*chart.Chart, error) {
	var list []*archive.BufferedFile
	own := prefix(b.dir)
	for _, p := range slices.Sorted(maps.Keys(b.gathered.files)) {
		rel, ok := strings.CutPrefix(p, own)
		if !ok {
			continue
		}
		data := bytes.TrimPrefix(b.gathered.files[p], []byte("\xef\xbb\xbf"))
		list = append(list, &archive.BufferedFile{Name: rel, Data: data})
	}
	c, err := loader.LoadFiles(list)
	if err != nil {
		return nil, failure(gitops.HelmFailed, "run helm lint on the chart", "render bundle %s: load chart %s: %s", b.Name, b.dir, brief(err))
	}
	sortSubcharts(c)
	return c, b.checkChart(c)
}

// sortSubcharts: the loader leaves them in the order of a map.
func sortSubcharts(c *chart.Chart) {
	subcharts := slices.Clone(c.Dependencies())
	slices.SortFunc(subcharts, func(a, b *chart.Chart) int {
		return cmp.Or(cmp.Compare(a.Name(), b.Name()), cmp.Compare(a.Metadata.Version, b.Metadata.Version))
	})
	c.SetDependencies(subcharts...)
	for _, sub := range subcharts {
		sortSubcharts(sub)
	}
}

// checkChart refuses a chart whose dependencies are not in the tree, or whose
// schema lies elsewhere: both would need the network.
func (b *bundle) checkChart(c *chart.Chart) error {
	if c.Metadata.Type == "library" && c.IsRoot() {
		return failure(gitops.HelmFailed, "use it as a dependency of a chart", "render bundle %s: chart %s is a library", b.Name, c.Name())
	}
	for _, dep := range c.Metadata.Dependencies {
		if !slices.ContainsFunc(c.Dependencies(), func(sub *chart.Chart) bool { return sub.Name() == dep.Name }) {
			return failure(gitops.HelmFailed, "run helm dependency build and commit the charts directory",
				"render bundle %s: chart %s needs %s, which is not in its charts directory", b.Name, c.ChartFullPath(), dep.Name)
		}
	}
	if c.Schema != nil {
		if err := checkSchema(c.Schema); err != nil {
			return failure(gitops.HelmFailed, "write the schema out in values.schema.json",
				"render bundle %s: chart %s: values.schema.json: %s", b.Name, c.ChartFullPath(), brief(err))
		}
	}
	for _, sub := range c.Dependencies() {
		if err := b.checkChart(sub); err != nil {
			return err
		}
	}
	return nil
}
