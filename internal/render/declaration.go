// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	kustypes "sigs.k8s.io/kustomize/api/types"

	kjson "sigs.k8s.io/json"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

const (
	declarationFile = "edgeagent.yaml"
	apiVersion      = "edgeagent.dev/v1alpha1"
)

// declaration is one document of edgeagent.yaml.
type declaration struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec spec `json:"spec"`
}

// spec is what a bundle says about itself. Fields of later versions are named
// so that they are refused by name, not as a typing mistake.
type spec struct {
	Path            string            `json:"path"`
	Targets         *targets          `json:"targets"`
	DependsOn       []string          `json:"dependsOn"`
	TargetNamespace string            `json:"targetNamespace"`
	Wait            *bool             `json:"wait"`
	Gate            gitops.Gate       `json:"gate"`
	Timeout         string            `json:"timeout"`
	Prune           *bool             `json:"prune"`
	Force           bool              `json:"force"`
	Drift           gitops.DriftMode  `json:"drift"`
	Substitute      map[string]string `json:"substitute"`
	Helm            *helmSpec         `json:"helm"`
	Kustomize       *kustomizeSpec    `json:"kustomize"`

	SubstituteFrom   json.RawMessage `json:"substituteFrom"`
	HealthChecks     json.RawMessage `json:"healthChecks"`
	HealthCheckExprs json.RawMessage `json:"healthCheckExprs"`
	Ignore           json.RawMessage `json:"ignore"`
	ServiceAccount   json.RawMessage `json:"serviceAccount"`
	Decrypt          json.RawMessage `json:"decrypt"`
}

type helmSpec struct {
	ReleaseName string          `json:"releaseName"`
	Values      json.RawMessage `json:"values"`
	// ValuesFiles are relative to edgeagent.yaml; later ones win, Values wins over all.
	ValuesFiles []string `json:"valuesFiles"`
}

type kustomizeSpec struct {
	Images     []kustypes.Image `json:"images"`
	Patches    []kustypes.Patch `json:"patches"`
	Components []string         `json:"components"` // relative to the bundle's path
}

// bundle is one unit of rendering: its rules, and what it reads.
type bundle struct {
	gitops.Bundle
	dir             string // clean, relative to the repository
	home            string // where edgeagent.yaml lies
	targets         *targets
	targetNamespace string
	substitute      map[string]string // nil when the bundle does not ask for it
	helm            helmSpec
	kustomize       kustomizeSpec
	hasKustomize    bool
	gathered        gathered
}

// declarations reads edgeagent.yaml, which lies in dir.
func declarations(dir, file string, data []byte) ([]*bundle, error) {
	parts := split(data)
	if len(parts) > maxBundles {
		return nil, failure(gitops.TooLarge, "", "read %s: more than %d bundles", file, maxBundles)
	}
	var out []*bundle
	for i, part := range parts {
		place := fmt.Sprintf("%s, document %d", file, i+1)
		body, err := decode(place, part)
		if err != nil {
			return nil, asBundleError(err)
		}
		if body == nil {
			continue
		}
		d, err := declare(place, body)
		if err != nil {
			return nil, err
		}
		b, err := d.bundle(place, dir)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	if len(out) == 0 {
		return nil, failure(gitops.InvalidBundle, "declare a bundle, or remove the file", "read %s: it declares no bundle", file)
	}
	return out, nil
}

func asBundleError(err error) error {
	if e, ok := typed(err); ok && e.Reason == gitops.InvalidManifest {
		e.Reason = gitops.InvalidBundle
	}
	return err
}

// declare decodes one document strictly.
func declare(place string, body map[string]any) (*declaration, error) {
	if body["kind"] == "Bundle" && body["apiVersion"] != apiVersion {
		return nil, failure(gitops.UnsupportedField, "upgrade edgeagent, or use "+apiVersion,
			"read %s: apiVersion %v is not known to this version", place, body["apiVersion"])
	}
	if body["kind"] != "Bundle" {
		return nil, failure(gitops.InvalidBundle, "write kind: Bundle", "read %s: kind %v is no bundle", place, body["kind"])
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, failure(gitops.InvalidBundle, "", "read %s: %s", place, brief(err))
	}
	d := new(declaration)
	strict, err := kjson.UnmarshalStrict(data, d)
	if err != nil {
		return nil, failure(gitops.InvalidBundle, "", "read %s: %s", place, brief(err))
	}
	for _, problem := range strict {
		return nil, failure(gitops.UnsupportedField, "correct the field, or upgrade edgeagent",
			"read %s: %s", place, brief(problem))
	}
	for _, later := range []struct {
		name  string
		value json.RawMessage
	}{
		{"substituteFrom", d.Spec.SubstituteFrom}, {"healthChecks", d.Spec.HealthChecks},
		{"healthCheckExprs", d.Spec.HealthCheckExprs}, {"ignore", d.Spec.Ignore},
		{"serviceAccount", d.Spec.ServiceAccount}, {"decrypt", d.Spec.Decrypt},
	} {
		switch string(later.value) {
		case "", "null", "[]", "{}", `""`:
		default:
			return nil, failure(gitops.UnsupportedField, "remove the field, or upgrade edgeagent",
				"read %s: spec.%s is not supported by this version", place, later.name)
		}
	}
	return d, nil
}

var nameRule = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// bundle checks a declaration and fills in the defaults.
func (d *declaration) bundle(place, dir string) (*bundle, error) {
	invalid := func(format string, args ...any) error {
		return failure(gitops.InvalidBundle, "correct the field", "read %s: %s", place, fmt.Sprintf(format, args...))
	}
	s := d.Spec
	b := &bundle{
		Bundle: gitops.Bundle{
			Name: d.Metadata.Name, DependsOn: s.DependsOn, Wait: s.Wait == nil || *s.Wait,
			Gate: s.Gate, Prune: s.Prune == nil || *s.Prune, Force: s.Force, Drift: s.Drift,
		},
		home: dir, targets: s.Targets, targetNamespace: s.TargetNamespace, substitute: s.Substitute,
	}
	switch {
	case !nameRule.MatchString(b.Name):
		return nil, invalid("metadata.name %q is no name of lower-case letters, digits and dashes", b.Name)
	case s.TargetNamespace != "" && !nameRule.MatchString(s.TargetNamespace):
		return nil, invalid("spec.targetNamespace %q is no namespace", s.TargetNamespace)
	case s.Gate != "" && s.Gate != gitops.GateRequired && s.Gate != gitops.GateWanted:
		return nil, invalid("spec.gate is %q, neither required nor wanted", s.Gate)
	}
	switch s.Drift {
	case "", gitops.DriftCorrect, gitops.DriftStrict, gitops.DriftNotify, gitops.DriftOff:
	default:
		return nil, invalid("spec.drift is %q, none of correct, strict, notify and off", s.Drift)
	}
	if b.Gate == "" {
		b.Gate = gitops.GateRequired
	}
	if s.Timeout != "" {
		timeout, err := time.ParseDuration(s.Timeout)
		if err != nil || timeout <= 0 {
			return nil, invalid("spec.timeout is %q, no duration such as 5m", s.Timeout)
		}
		b.Timeout = timeout
	}
	if err := s.Targets.check(); err != nil {
		return nil, invalid("spec.targets: %s", err)
	}
	if s.Helm != nil {
		b.helm = *s.Helm
	}
	if s.Kustomize != nil {
		b.kustomize, b.hasKustomize = *s.Kustomize, true
	}
	for _, p := range b.kustomize.Patches {
		if p.Path != "" {
			return nil, failure(gitops.UnsupportedField, "write the patch inline, or into a kustomization.yaml",
				"read %s: spec.kustomize.patches with a path is not supported", place)
		}
	}
	if err := checkVariables(s.Substitute); err != nil {
		return nil, invalid("spec.substitute: %s", err)
	}
	var err error
	b.dir, err = join(place+": spec.path", dir, s.Path)
	return b, err
}

// join resolves a path of a file relative to the directory it lies in.
func join(what, dir, p string) (string, error) {
	if strings.HasPrefix(p, "/") || strings.ContainsAny(p, "\\\x00") {
		return "", failure(gitops.PathOutside, "use a path relative to the file, with slashes", "read %s: %q", what, p)
	}
	joined := path.Join(dir, p)
	if joined == ".." || strings.HasPrefix(joined, "../") {
		return "", failure(gitops.PathOutside, "keep to paths inside the repository", "read %s: %q leads out of the repository", what, p)
	}
	return joined, nil
}
