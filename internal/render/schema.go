// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/json"
	"fmt"
	"strings"
)

// checkSchema refuses references that lead out of a values.schema.json: Helm's
// validator would fetch them, from the network or from the node's disk.
func checkSchema(data []byte) error {
	var schema any
	if err := json.Unmarshal(data, &schema); err != nil {
		return err
	}
	return checkReferences(schema, 0)
}

func checkReferences(value any, depth int) error {
	if depth > 10*maxDepth {
		return fmt.Errorf("nested too deeply")
	}
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			if err := checkReferences(item, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, inner := range value {
			text, isText := inner.(string)
			if isText && refersElsewhere(key, text) {
				return fmt.Errorf("%s %q leads out of the file", key, text)
			}
			if err := checkReferences(inner, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func refersElsewhere(key, target string) bool {
	switch key {
	case "$ref", "$dynamicRef", "$recursiveRef":
		return !strings.HasPrefix(target, "#")
	case "$schema": // the drafts are built in
		_, host, _ := strings.Cut(target, "://")
		return !strings.HasPrefix(host, "json-schema.org/")
	}
	return false
}
