package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"unicode"
)

// mutated returns the file of the mark with the gate taken out. It still parses.
func mutated(m *mark, off Mutation) ([]byte, error) {
	text, err := apply(m, off)
	if err != nil {
		return nil, fmt.Errorf("taking out gate %q at %s: %w", m.name, m, err)
	}
	if bytes.Equal(text, m.source.text) {
		return nil, fmt.Errorf("taking out gate %q at %s changes nothing", m.name, m)
	}
	if _, err := parser.ParseFile(token.NewFileSet(), m.source.path, text, parser.SkipObjectResolution); err != nil {
		return nil, fmt.Errorf("taking out gate %q at %s: %w", m.name, m, err)
	}
	return text, nil
}

func apply(m *mark, off Mutation) ([]byte, error) {
	switch off.kind {
	case kindSkip:
		return m.blanked(), nil
	case kindReplace:
		return m.replaced(off.old, off.new)
	case kindAlways:
		return m.wrapped("true || (")
	case kindNever:
		return m.wrapped("false && (")
	default:
		return nil, fmt.Errorf("unknown kind of mutation %d", off.kind)
	}
}

// wrapped puts an operator in front of every condition of the marked code. What
// the condition uses stays used, so that the result compiles.
func (m *mark) wrapped(operator string) ([]byte, error) {
	conditions := conditionsOf(m.node)
	if len(conditions) == 0 {
		return nil, fmt.Errorf("there is no condition in it; say in hack/mutate/gates.go what to leave out or replace")
	}
	var text bytes.Buffer
	last := 0
	for _, condition := range conditions {
		from, to := m.source.offset(condition.Pos()), m.source.offset(condition.End())
		text.Write(m.source.text[last:from])
		text.WriteString(operator)
		text.Write(m.source.text[from:to])
		text.WriteString(")")
		last = to
	}
	text.Write(m.source.text[last:])
	return text.Bytes(), nil
}

// conditionsOf returns the conditions that a gate consists of. Of a function
// literal it is the value that it returns last.
func conditionsOf(node ast.Node) []ast.Expr {
	switch gate := node.(type) {
	case *ast.IfStmt:
		return []ast.Expr{gate.Cond}
	case *ast.CaseClause:
		return gate.List
	case *ast.ReturnStmt:
		return gate.Results
	case *ast.AssignStmt:
		return gate.Rhs
	case *ast.KeyValueExpr:
		return valueOf(gate.Value)
	case *ast.CompositeLit:
		for _, element := range gate.Elts {
			if function, ok := element.(*ast.FuncLit); ok {
				return valueOf(function)
			}
		}
	}
	return nil
}

// valueOf is the expression itself, or what a function literal returns last.
func valueOf(expression ast.Expr) []ast.Expr {
	function, ok := expression.(*ast.FuncLit)
	if !ok {
		return []ast.Expr{expression}
	}
	if statements := function.Body.List; len(statements) > 0 {
		if last, ok := statements[len(statements)-1].(*ast.ReturnStmt); ok {
			return last.Results
		}
	}
	return nil
}

// blanked puts spaces in the place of the marked code and of a comma behind it,
// so that all lines keep their numbers.
func (m *mark) blanked() []byte {
	text := bytes.Clone(m.source.text)
	from, to := m.source.offset(m.node.Pos()), m.source.offset(m.node.End())
	if rest := bytes.TrimLeftFunc(text[to:], unicode.IsSpace); len(rest) > 0 && rest[0] == ',' {
		to = len(text) - len(rest) + 1
	}
	for at := from; at < to; at++ {
		if text[at] != '\n' {
			text[at] = ' '
		}
	}
	return text
}

// replaced changes a part of the marked code; of a case, of its head only.
func (m *mark) replaced(old, with string) ([]byte, error) {
	from, to := m.source.offset(m.node.Pos()), m.source.offset(m.node.End())
	if clause, ok := m.node.(*ast.CaseClause); ok {
		to = m.source.offset(clause.Colon)
	}
	part := m.source.text[from:to]
	if count := bytes.Count(part, []byte(old)); count != 1 {
		return nil, fmt.Errorf("%q is there %d times and not once", old, count)
	}
	changed := bytes.Replace(part, []byte(old), []byte(with), 1)
	return bytes.Join([][]byte{m.source.text[:from], changed, m.source.text[to:]}, nil), nil
}
