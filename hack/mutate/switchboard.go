package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// offVariable names the gate that a test binary with a switchboard leaves out.
const offVariable = "WARMPOOL_GATE_OFF"

// helper is the file that a package with a switchboard gets in addition.
const helper = `package %s

import (
	"os"
	"slices"
)

var mutateOff = os.Getenv("` + offVariable + `")

func mutateIsOff(names ...string) bool { return slices.Contains(names, mutateOff) }
`

// edit puts text in the place of a part of a file.
type edit struct {
	from, to int
	text     string
}

// switchboard is a package of which a variable of the environment takes out one
// gate: it is built once and serves all of its gates, where a build for each
// takes seconds.
type switchboard struct {
	// files are the changed files by path, and the helper.
	files map[string][]byte
	// has holds the names of the gates that it can take out. The others are
	// taken out alone.
	has map[string]bool
}

// newSwitchboard makes the switchboard for the gates of one package.
func newSwitchboard(gates []markedGate) switchboard {
	board := switchboard{files: map[string][]byte{}, has: map[string]bool{}}
	byNode := map[ast.Node][]*markedGate{}
	edits := map[*source][]edit{}
	for k := range gates {
		byNode[gates[k].mark.node] = append(byNode[gates[k].mark.node], &gates[k])
	}
	for _, sharing := range byNode {
		file := sharing[0].mark.source
		made, ok := editsFor(sharing)
		if !ok || overlaps(edits[file], made) {
			continue
		}
		edits[file] = append(edits[file], made...)
		for _, gate := range sharing {
			board.has[gate.Name] = true
		}
	}
	for file, list := range edits {
		text := applyEdits(file.text, list)
		if _, err := parser.ParseFile(token.NewFileSet(), file.path, text, parser.SkipObjectResolution); err != nil {
			for k := range gates {
				if gates[k].mark.source == file {
					delete(board.has, gates[k].Name)
				}
			}
			continue
		}
		board.files[file.path] = text
	}
	return board
}

// editsFor puts switches into the code that some gates share. It returns false
// when they cannot be switched, because what they change is no condition.
func editsFor(gates []*markedGate) ([]edit, bool) {
	m := &gates[0].mark
	if len(gates) == 1 && gates[0].Off.kind == kindSkip {
		return skipSwitch(gates[0])
	}
	if m.tagged {
		return nil, false
	}
	var made []edit
	for _, condition := range conditionsOf(m.node) {
		from, to := m.source.offset(condition.Pos()), m.source.offset(condition.End())
		original := string(m.source.text[from:to])
		var switched []string
		var names []string
		for _, gate := range gates {
			changed, ok := conditionWithout(gate, condition)
			if !ok {
				return nil, false
			}
			names = append(names, fmt.Sprintf("%q", gate.Name))
			switched = append(switched, fmt.Sprintf("mutateIsOff(%q) && (%s)", gate.Name, changed))
		}
		made = append(made, edit{from, to, fmt.Sprintf("(%s || !mutateIsOff(%s) && (%s))",
			strings.Join(switched, " || "), strings.Join(names, ", "), original)})
	}
	return made, len(made) > 0
}

// conditionWithout is a condition with one gate taken out.
func conditionWithout(gate *markedGate, condition ast.Expr) (string, bool) {
	m := &gate.mark
	from, to := m.source.offset(condition.Pos()), m.source.offset(condition.End())
	text := string(m.source.text[from:to])
	switch gate.Off.kind {
	case kindNever:
		return "false && (" + text + ")", true
	case kindAlways:
		return "true || (" + text + ")", true
	case kindReplace:
		whole := m.source.text[m.source.offset(m.node.Pos()):m.source.offset(m.node.End())]
		_, isCase := m.node.(*ast.CaseClause)
		if !isCondition(m.node, condition) || len(conditionsOf(m.node)) > 1 ||
			strings.Count(text, gate.Off.old) != 1 || !isCase && bytes.Count(whole, []byte(gate.Off.old)) != 1 {
			return "", false
		}
		return strings.Replace(text, gate.Off.old, gate.Off.new, 1), true
	default:
		return "", false
	}
}

// isCondition is true for an expression that is certainly true or false.
func isCondition(node ast.Node, expression ast.Expr) bool {
	switch node.(type) {
	case *ast.IfStmt, *ast.CaseClause:
		return true
	default:
	}
	switch expression := ast.Unparen(expression).(type) {
	case *ast.UnaryExpr:
		return expression.Op == token.NOT
	case *ast.BinaryExpr:
		return slices.Contains([]token.Token{token.LAND, token.LOR, token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ}, expression.Op)
	default:
		return false
	}
}

// skipSwitch makes a statement one that can be left out.
func skipSwitch(gate *markedGate) ([]edit, bool) {
	m := &gate.mark
	switch statement := m.node.(type) {
	case *ast.ExprStmt:
	case *ast.AssignStmt:
		if statement.Tok == token.DEFINE {
			return nil, false
		}
	default:
		return nil, false
	}
	from, to := m.source.offset(m.node.Pos()), m.source.offset(m.node.End())
	text := fmt.Sprintf("if !mutateIsOff(%q) { %s }", gate.Name, m.source.text[from:to])
	return []edit{{from, to, text}}, true
}

// overlaps is true when two edits would change the same text.
func overlaps(existing, made []edit) bool {
	return slices.ContainsFunc(made, func(m edit) bool {
		return slices.ContainsFunc(existing, func(e edit) bool { return m.from < e.to && e.from < m.to })
	})
}

// applyEdits changes a text from its start to its end.
func applyEdits(text []byte, edits []edit) []byte {
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(a.from, b.from) })
	var changed bytes.Buffer
	last := 0
	for _, e := range edits {
		changed.Write(text[last:e.from])
		changed.WriteString(e.text)
		last = e.to
	}
	changed.Write(text[last:])
	return changed.Bytes()
}
