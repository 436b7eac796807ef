package comfysim

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
)

// graph is a prompt in API format, in the order in which its nodes were written.
type graph struct {
	raw   json.RawMessage
	order []string
	nodes map[string]*graphNode
}

type graphNode struct {
	class    string
	hasClass bool
	title    string
	inputs   map[string]json.RawMessage
	hasInput bool
}

// link is an input that takes another node's output.
type link struct {
	node string
	slot int
}

// graphError is what Python would raise for a prompt that is not made of objects.
type graphError struct{}

// Error says so.
func (graphError) Error() string { return "reading a prompt: it is not an object of node objects" }

// parseGraph reads a prompt. Python would raise where this returns an error.
func parseGraph(raw json.RawMessage) (*graph, error) {
	var nodes map[string]json.RawMessage
	if err := json.Unmarshal(raw, &nodes); err != nil || nodes == nil {
		return nil, graphError{}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, fmt.Errorf("reading a prompt: %w", err)
	}
	order, err := keysInOrder(raw)
	if err != nil {
		return nil, err
	}
	g := &graph{raw: compact.Bytes(), order: order, nodes: make(map[string]*graphNode, len(nodes))}
	for id, body := range nodes {
		node, err := parseNode(body)
		if err != nil {
			return nil, err
		}
		g.nodes[id] = node
	}
	return g, nil
}

func parseNode(body json.RawMessage) (*graphNode, error) {
	var wire struct {
		Class  *string                    `json:"class_type"`
		Inputs map[string]json.RawMessage `json:"inputs"`
		Meta   struct {
			Title string `json:"title"`
		} `json:"_meta"`
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return nil, graphError{}
	}
	node := &graphNode{inputs: wire.Inputs, hasInput: wire.Inputs != nil, title: wire.Meta.Title}
	if wire.Class != nil {
		node.class, node.hasClass = *wire.Class, true
	}
	return node, nil
}

// keysInOrder lists an object's keys as they were written; Go's maps forget it, Python's do not.
func keysInOrder(raw json.RawMessage) ([]string, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("reading a prompt: %w", err)
	}
	var keys []string
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("reading a prompt: %w", err)
		}
		key, ok := token.(string)
		if !ok {
			return nil, graphError{}
		}
		var skip json.RawMessage
		if err := decoder.Decode(&skip); err != nil {
			return nil, fmt.Errorf("reading a prompt: %w", err)
		}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// asLink reads an input that is a link. A list that is none is reported as bad.
func asLink(raw json.RawMessage) (l link, isList, ok bool) {
	var list []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return link{}, false, false
	}
	if len(list) != 2 {
		return link{}, true, false
	}
	if json.Unmarshal(list[0], &l.node) != nil {
		l.node = string(list[0]) // a number: Python's lookup of it fails just as well
	}
	return l, true, json.Unmarshal(list[1], &l.slot) == nil
}

// links returns a node's links by input name, in order.
func (n *graphNode) links() []link {
	var out []link
	for _, name := range sortedKeys(n.inputs) {
		if l, _, ok := asLink(n.inputs[name]); ok {
			out = append(out, l)
		}
	}
	return out
}

func (n *graphNode) text(name string) string {
	var s string
	if json.Unmarshal(n.inputs[name], &s) != nil {
		return strings.TrimSpace(string(n.inputs[name]))
	}
	return s
}

func (n *graphNode) integer(name string) int64 {
	f, err := strconv.ParseFloat(n.text(name), 64)
	if err != nil {
		return 0
	}
	return int64(f)
}

// seed reads an unsigned 64-bit input, which neither int64 nor float64 can hold.
func (n *graphNode) seed(name string) uint64 {
	u, err := strconv.ParseUint(n.text(name), 10, 64)
	if err != nil {
		return uint64(n.integer(name)) //nolint:gosec // any number will do as a seed
	}
	return u
}

// signer computes signatures of a prompt's nodes, each once: graphs in which many nodes share inputs would take for ever otherwise.
type signer struct {
	graph *graph
	salt  func(*graphNode) string // what lies outside the prompt, as the content of an input file
	known map[string]string
}

// signature identifies what a node computes: its class, its own values, and the signatures of what it takes in.
func (s *signer) signature(id string) string {
	if known, ok := s.known[id]; ok {
		return known
	}
	s.known[id] = "cycle" // found again below only by a cycle, which validation refuses
	node := s.graph.nodes[id]
	if node == nil {
		return ""
	}
	hash := fnv.New128a()
	put := func(part string) { _, _ = hash.Write([]byte(part + "\x00")) }
	put(node.class)
	put(s.salt(node))
	for _, name := range sortedKeys(node.inputs) {
		put(name)
		if l, _, ok := asLink(node.inputs[name]); ok {
			put("link " + strconv.Itoa(l.slot) + " " + s.signature(l.node))
			continue
		}
		put(string(node.inputs[name]))
	}
	s.known[id] = hex.EncodeToString(hash.Sum(nil))
	return s.known[id]
}

// executionOrder is the nodes that the outputs need, each after what it takes in. Behind a node that is known already nothing is
// needed.
func (g *graph) executionOrder(outputs []string, known func(string) bool) []string {
	var order []string
	seen := map[string]bool{}
	var visit func(string)
	visit = func(id string) {
		if seen[id] || g.nodes[id] == nil {
			return
		}
		seen[id] = true
		if !known(id) {
			for _, l := range g.nodes[id].links() {
				visit(l.node)
			}
		}
		order = append(order, id)
	}
	for _, id := range outputs {
		visit(id)
	}
	return order
}
