// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	goyaml "go.yaml.in/yaml/v3"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/edgeagent/edgeagent/internal/gitops"
)

// document is one decoded YAML document and where it came from.
type document struct {
	place string // "apps/web/service.yaml, document 2"
	body  map[string]any
}

// documents decodes a file of manifests. Empty documents are dropped and Lists
// are taken apart.
func documents(file string, data []byte) ([]document, error) {
	var out []document
	for i, part := range split(data) {
		place := file
		if i > 0 || bytes.Contains(data, []byte("\n---")) {
			place = fmt.Sprintf("%s, document %d", file, i+1)
		}
		body, err := decode(place, part)
		if err != nil {
			return nil, err
		}
		if body == nil {
			continue
		}
		docs, err := expand(document{place, body})
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	return out, nil
}

// split cuts a file at its document markers. A line that begins with "---" and
// a blank is a marker wherever it stands, inside a block scalar too: that is
// YAML's own rule.
func split(data []byte) [][]byte {
	var parts [][]byte
	start, pos := 0, 0
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	for pos < len(data) {
		end := len(data)
		if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
			end = pos + i + 1
		}
		line := data[pos:end]
		if bytes.HasPrefix(line, []byte("---")) && (len(line) == 3 || strings.IndexByte(" \t\r\n", line[3]) >= 0) {
			parts = append(parts, data[start:pos])
			start = pos + 3
		}
		pos = end
	}
	parts = append(parts, data[start:])
	if len(parts) > 1 && blank(parts[0]) {
		parts = parts[1:] // the marker at the top of a file begins its first document
	}
	return parts
}

func blank(data []byte) bool {
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// decode reads one document as kubectl does, but strictly: no key twice, no
// anchors, bounded. It returns nil for an empty document.
func decode(place string, data []byte) (map[string]any, error) {
	if blank(data) {
		return nil, nil
	}
	data, err := guard(place, data)
	if err != nil {
		return nil, err
	}
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, failure(gitops.InvalidManifest, "fix the YAML", "decode %s: %s", place, brief(err))
	}
	var body any
	if err := utiljson.Unmarshal(asJSON, &body); err != nil {
		return nil, failure(gitops.InvalidManifest, "fix the YAML", "decode %s: %s", place, brief(err))
	}
	switch body := body.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return body, nil
	}
	return nil, failure(gitops.InvalidManifest, "make it a Kubernetes object, or move the file out of the bundle's path",
		"decode %s: the document is no mapping", place)
}

// guard refuses documents that are too large, too deep, or use anchors, before
// they are expanded. JSON comes back without white space: YAML knows no tabs.
func guard(place string, data []byte) ([]byte, error) {
	if len(data) > maxDocument {
		return nil, failure(gitops.TooLarge, "split it, or move the file out of the bundle's path",
			"decode %s: the document exceeds %d MiB", place, maxDocument>>20)
	}
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed) {
		var compact bytes.Buffer
		if err := json.Compact(&compact, trimmed); err != nil {
			return nil, failure(gitops.InvalidManifest, "fix the JSON", "decode %s: %s", place, brief(err))
		}
		data = compact.Bytes()
	}
	var node goyaml.Node
	decoder := goyaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
		return data, nil
	} else if err != nil {
		return nil, failure(gitops.InvalidManifest, "fix the YAML", "decode %s: %s", place, brief(err))
	}
	if err := decoder.Decode(new(goyaml.Node)); !errors.Is(err, io.EOF) {
		return nil, failure(gitops.InvalidManifest, "begin each document with a line ---",
			"decode %s: something follows the end of the document", place)
	}
	nodes := 0
	if problem := inspect(&node, 0, &nodes); problem != "" {
		reason := gitops.InvalidManifest
		if nodes > maxNodes {
			reason = gitops.TooLarge
		}
		return nil, failure(reason, "", "decode %s: %s", place, problem)
	}
	return data, nil
}

func inspect(n *goyaml.Node, depth int, nodes *int) string {
	*nodes++
	switch {
	case *nodes > maxNodes:
		return fmt.Sprintf("the document has more than %d nodes", maxNodes)
	case depth > maxDepth:
		return fmt.Sprintf("line %d: nested deeper than %d levels", n.Line, maxDepth)
	case n.Kind == goyaml.AliasNode || n.Anchor != "":
		return fmt.Sprintf("line %d: anchors and aliases are refused; write the value out", n.Line)
	}
	for _, child := range n.Content {
		if problem := inspect(child, depth+1, nodes); problem != "" {
			return problem
		}
	}
	return ""
}

// guardFile applies the limits to every document of a file that a library
// decodes, such as a Kustomize patch.
func guardFile(file string, data []byte) error {
	for i, part := range split(data) {
		if _, err := guard(fmt.Sprintf("%s, document %d", file, i+1), part); err != nil {
			return err
		}
	}
	return nil
}

// expand takes a List apart, as kubectl does.
func expand(d document) ([]document, error) {
	items, ok := d.body["items"].([]any)
	kind, _ := d.body["kind"].(string)
	if !ok || !strings.HasSuffix(kind, "List") {
		return []document{d}, nil
	}
	var out []document
	for i, item := range items {
		place := fmt.Sprintf("%s, item %d", d.place, i+1)
		body, ok := item.(map[string]any)
		if !ok {
			return nil, failure(gitops.InvalidManifest, "", "read %s: it is no mapping", place)
		}
		if inner, _ := body["kind"].(string); strings.HasSuffix(inner, "List") && body["items"] != nil {
			return nil, failure(gitops.InvalidManifest, "write the inner items out", "read %s: a List inside a List", place)
		}
		out = append(out, document{place, body})
	}
	return out, nil
}
