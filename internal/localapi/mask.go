// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// masked stands for every value of a Secret. It is the same for all: nobody
// can learn from it which values are equal.
const masked = "********"

// lastApplied is where kubectl copies the whole object to, data included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Mask is the manifest as it may be shown: what a Secret holds is hidden, its
// keys are not.
func Mask(m gitops.Manifest) (string, error) {
	if m.Ref.Group != "" || m.Ref.Kind != "Secret" {
		return string(m.YAML), nil
	}
	var object map[string]any
	if err := yaml.Unmarshal(m.YAML, &object); err != nil {
		// The parser's message may quote what is to be hidden.
		return "", fmt.Errorf("hide the data of %s: its manifest is not YAML", m.Ref)
	}
	for _, field := range []string{"data", "stringData"} {
		values, ok := object[field].(map[string]any)
		if !ok && object[field] != nil {
			object[field] = masked
			continue
		}
		for key := range values {
			values[key] = masked
		}
	}
	if metadata, ok := object["metadata"].(map[string]any); ok {
		if annotations, ok := metadata["annotations"].(map[string]any); ok && annotations[lastApplied] != nil {
			annotations[lastApplied] = masked
		}
	}
	text, err := yaml.Marshal(object)
	if err != nil {
		return "", fmt.Errorf("hide the data of %s: it cannot be written again", m.Ref)
	}
	return string(text), nil
}
