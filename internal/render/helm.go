// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// renderChart executes the chart's templates, twice: what differs from run to
// run would be drift for ever, and could not be rolled back to. Functions that
// are known to differ fail by name when they are called (see functions.go);
// this finds the rest, such as a printed address.
func (b *bundle) renderChart(j job) ([]document, error) {
	first, c, err := b.executeChart(j)
	if err != nil {
		return nil, err
	}
	second, _, err := b.executeChart(j)
	if err != nil {
		return nil, err
	}
	if !maps.Equal(first, second) {
		return nil, b.helmFailure("make the templates depend on their values alone", "the chart renders to something else every time")
	}
	docs, err := b.chartCRDs(c)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(first)) {
		if path.Base(name) == "NOTES.txt" {
			continue
		}
		if size += len(first[name]); size > maxOutput {
			return nil, failure(gitops.TooLarge, "render less", "render bundle %s: the chart's output exceeds %d MiB", b.Name, maxOutput>>20)
		}
		of, err := documents(path.Join(b.dir, "…", name), []byte(first[name]))
		if err != nil {
			return nil, err
		}
		docs = append(docs, of...)
	}
	return docs, nil
}

func (b *bundle) helmFailure(remedy, message string) error {
	return failure(gitops.HelmFailed, remedy, "render bundle %s: chart %s: %s", b.Name, b.dir, message)
}

// chartCRDs are the files of crds directories, which are no templates. A
// subchart that is used under two names brings them once.
func (b *bundle) chartCRDs(c *chart.Chart) ([]document, error) {
	var out []document
	seen := map[string]bool{}
	for _, crd := range c.CRDObjects() {
		if seen[string(crd.File.Data)] {
			continue
		}
		seen[string(crd.File.Data)] = true
		docs, err := documents(path.Join(b.dir, crd.Filename), crd.File.Data)
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	return out, nil
}

// executeChart is one run of the templates: file → text.
func (b *bundle) executeChart(j job) (map[string]string, *chart.Chart, error) {
	c, err := b.loadChart()
	if err != nil {
		return nil, nil, err
	}
	caps, err := b.capabilities(j.Capabilities)
	if err != nil {
		return nil, nil, err
	}
	if want := c.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, caps.KubeVersion.String()) {
		return nil, nil, b.helmFailure("upgrade the cluster or use another chart", "it needs Kubernetes "+want+" and the cluster is "+caps.KubeVersion.Version)
	}
	values, err := b.values()
	if err != nil {
		return nil, nil, err
	}
	if err := chartutil.ProcessDependencies(c, values); err != nil {
		return nil, nil, b.helmFailure("", brief(err))
	}
	release := common.ReleaseOptions{Name: b.helm.ReleaseName, Namespace: b.targetNamespace, Revision: 1, IsInstall: true}
	if release.Name == "" {
		release.Name = b.Name
	}
	if release.Namespace == "" {
		release.Namespace = "default"
	}
	if err := chartutil.ValidateReleaseName(release.Name); err != nil {
		return nil, nil, b.helmFailure("set spec.helm.releaseName", brief(err))
	}
	top, err := commonutil.ToRenderValues(c, values, release, caps)
	if err != nil {
		return nil, nil, b.helmFailure("correct the values", brief(err))
	}
	// The context is for lookup, which has no cluster here; what bounds the
	// templates is the worker's limits.
	out, err := engine.Engine{CustomTemplateFuncs: functions()}.RenderWithContext(context.Background(), c, top)
	if err != nil {
		return nil, nil, b.helmFailure("run helm template on the chart", brief(err))
	}
	return out, c, nil
}

// values are what the bundle sets over the chart's own: its files in order,
// then spec.helm.values. All go through the same decoder, as with helm -f.
func (b *bundle) values() (map[string]any, error) {
	all := slices.Clone(b.gathered.values)
	if len(b.helm.Values) > 0 {
		all = append(all, b.helm.Values)
	}
	out := map[string]any{}
	for _, data := range all {
		if len(data) > maxDocument {
			return nil, failure(gitops.TooLarge, "", "render bundle %s: a values file exceeds %d MiB", b.Name, maxDocument>>20)
		}
		values, err := loader.LoadValues(bytes.NewReader(data))
		if err != nil {
			return nil, b.helmFailure("correct the values", brief(err))
		}
		out = loader.MergeMaps(out, values)
	}
	return out, nil
}

// capabilities are the cluster's, in Helm's words.
func (b *bundle) capabilities(of gitops.Capabilities) (*common.Capabilities, error) {
	caps := common.DefaultCapabilities.Copy()
	if of.KubeVersion != "" {
		version, err := common.ParseKubeVersion(of.KubeVersion)
		if err != nil {
			return nil, b.helmFailure("", "the cluster's version "+strings.ToValidUTF8(of.KubeVersion, "?")+" cannot be read")
		}
		caps.KubeVersion = *version
	}
	if len(of.APIVersions) > 0 {
		caps.APIVersions = slices.Sorted(slices.Values(of.APIVersions))
	}
	return caps, nil
}
