package main

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is one key of values.yaml.
type value struct {
	// path is its keys from the root.
	path []string
	// comment says what it is; empty for a group, whose values have their own.
	comment string
	// fallback is its default in YAML of one line; empty for a group.
	fallback string
	// node is the default.
	node *yaml.Node
	// children are the values of a group.
	children []*value
}

func (v *value) name() string { return strings.Join(v.path, ".") }

// parseValues reads values.yaml. A mapping is a group when its keys have comments;
// other mappings are values of their own. Every value has to have a comment.
func parseValues(text []byte) ([]*value, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("reading the values: %w", err)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("reading the values: the file is not one mapping")
	}
	return parseGroup(nil, document.Content[0])
}

func parseGroup(path []string, node *yaml.Node) ([]*value, error) {
	var values []*value
	for k := 0; k < len(node.Content); k += 2 {
		key, content := node.Content[k], node.Content[k+1]
		v := &value{path: append(append([]string(nil), path...), key.Value), comment: commentText(key.HeadComment), node: content}
		if isGroup(content) {
			children, err := parseGroup(v.path, content)
			if err != nil {
				return nil, err
			}
			v.children = children
		} else {
			if v.comment == "" {
				return nil, fmt.Errorf("values.yaml, line %d: %s has no comment", key.Line, v.name())
			}
			fallback, err := inOneLine(content)
			if err != nil {
				return nil, fmt.Errorf("values.yaml, line %d: %w", key.Line, err)
			}
			v.fallback = fallback
		}
		values = append(values, v)
	}
	return values, nil
}

// isGroup is true for a mapping of values that are documented one by one.
func isGroup(node *yaml.Node) bool {
	if node.Kind != yaml.MappingNode {
		return false
	}
	for k := 0; k < len(node.Content); k += 2 {
		if node.Content[k].HeadComment != "" || isGroup(node.Content[k+1]) {
			return true
		}
	}
	return false
}

// commentText is a comment without its marks, in one line. A blank line ends what
// belongs to the file and not to the value.
func commentText(comment string) string {
	blocks := strings.Split(comment, "\n\n")
	var words []string
	for line := range strings.SplitSeq(blocks[len(blocks)-1], "\n") {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(line, "#")))
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

// inOneLine writes a default as YAML in one line.
func inOneLine(node *yaml.Node) (string, error) {
	flat := *node
	flatten(&flat)
	text, err := yaml.Marshal(&flat)
	if err != nil {
		return "", fmt.Errorf("writing a default: %w", err)
	}
	return strings.Join(strings.Fields(string(text)), " "), nil
}

func flatten(node *yaml.Node) {
	node.Style |= yaml.FlowStyle
	node.HeadComment, node.LineComment, node.FootComment = "", "", ""
	children := make([]*yaml.Node, 0, len(node.Content))
	for _, child := range node.Content {
		inner := *child
		flatten(&inner)
		children = append(children, &inner)
	}
	node.Content = children
}
