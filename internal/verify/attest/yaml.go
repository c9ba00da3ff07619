// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// The trust file is changed as a tree of YAML nodes, so that the comments and
// the order that people gave it stay.

// child is the value of a key of a mapping, nil when it is not there.
func child(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// ensure is the value of a key, made where it is not there or is null.
func ensure(mapping *yaml.Node, key string, kind yaml.Kind) *yaml.Node {
	found := child(mapping, key)
	if found == nil {
		found = &yaml.Node{}
		mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, found)
	}
	if found.Kind != kind {
		*found = yaml.Node{Kind: kind, HeadComment: found.HeadComment, LineComment: found.LineComment}
	}
	return found
}

// drop takes a key out of a mapping.
func drop(mapping *yaml.Node, key string) {
	for i := 0; mapping != nil && i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
			return
		}
	}
}

// add appends a text to a list, unless it is there.
func add(list *yaml.Node, text string) bool {
	if slices.ContainsFunc(list.Content, func(n *yaml.Node) bool { return n.Value == text }) {
		return false
	}
	list.Content = append(list.Content, textNode(text))
	return true
}

func remove(list *yaml.Node, text string) {
	if list != nil {
		list.Content = slices.DeleteFunc(list.Content, func(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Value == text })
	}
}

func textNode(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}

// set makes a number the value of a key.
func set(mapping *yaml.Node, key, number string) {
	n := ensure(mapping, key, yaml.ScalarNode)
	n.Tag, n.Value, n.Style = "!!int", number, 0
}
