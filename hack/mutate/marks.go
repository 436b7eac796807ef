package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// directive starts every mark.
const directive = "//warmpool:gate"

// mark is one marked place in the code.
type mark struct {
	name string
	// dir and file are relative to the root; line is that of the mark.
	dir, file string
	line      int
	source    *source
	node      ast.Node
	// tagged is true for a case of a switch over a value: its list holds values,
	// not conditions.
	tagged bool
}

// String is where the mark is.
func (m *mark) String() string { return fmt.Sprintf("%s:%d", m.file, m.line) }

// source is one parsed file.
type source struct {
	path string
	text []byte
	set  *token.FileSet
	// packageName is the name in its package clause.
	packageName string
}

// offset is where a position is in the text.
func (s *source) offset(at token.Pos) int { return s.set.Position(at).Offset }

// line is the line of a position.
func (s *source) line(at token.Pos) int { return s.set.Position(at).Line }

// findMarks finds the marks in all Go files below the root but tests.
func findMarks(root string) ([]mark, error) {
	var marks []mark
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if isOutside(root, path, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		found, err := marksOf(root, path)
		marks = append(marks, found...)
		return err
	})
	return marks, err
}

// isOutside is true for directories whose code does not ship.
func isOutside(root, path, name string) bool {
	if path == root {
		return false
	}
	return name == "testdata" || name == "bin" || name == "vendor" || strings.HasPrefix(name, ".") ||
		filepath.Dir(path) == root && (name == "hack" || name == "test")
}

// marksOf reads the marks of one file.
func marksOf(root, path string) ([]mark, error) {
	text, err := os.ReadFile(path) //nolint:gosec // a file of the module
	if err != nil || !bytes.Contains(text, []byte(directive)) {
		return nil, err
	}
	file := &source{path: path, text: text, set: token.NewFileSet()}
	tree, err := parser.ParseFile(file.set, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	file.packageName = tree.Name.Name
	relative, err := filepath.Rel(root, path)
	if err != nil {
		return nil, err
	}
	relative = filepath.ToSlash(relative)
	var marks []mark
	for _, group := range tree.Comments {
		for _, comment := range group.List {
			rest, isMark := strings.CutPrefix(comment.Text, directive)
			if !isMark {
				continue
			}
			m := mark{
				name: strings.TrimSpace(rest), dir: filepath.ToSlash(filepath.Dir(relative)), file: relative,
				line: file.line(comment.Pos()), source: file,
			}
			m.node, m.tagged = nodeAt(tree, file, file.line(group.End())+1)
			if !regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`).MatchString(m.name) {
				return nil, fmt.Errorf("%s: a mark reads %s name-in-kebab-case, not %q", &m, directive, comment.Text)
			}
			if m.node == nil {
				return nil, fmt.Errorf("%s: there is nothing below the mark %q that could be a gate: it stands directly above an if, a case, a return, a statement or a list entry", &m, m.name)
			}
			marks = append(marks, m)
		}
	}
	return marks, nil
}

// nodeAt returns the outermost statement or list entry that starts on a line,
// and whether it is a case of a switch over a value.
func nodeAt(tree *ast.File, file *source, line int) (found ast.Node, tagged bool) {
	overValue := false
	ast.Inspect(tree, func(node ast.Node) bool {
		if node == nil || found != nil {
			return false
		}
		switch node := node.(type) {
		case *ast.SwitchStmt:
			overValue = node.Tag != nil
		case *ast.TypeSwitchStmt:
			overValue = true
		case *ast.IfStmt, *ast.CaseClause, *ast.ReturnStmt, *ast.AssignStmt, *ast.ExprStmt, *ast.KeyValueExpr, *ast.CompositeLit:
			if file.line(node.Pos()) == line {
				_, isCase := node.(*ast.CaseClause)
				found, tagged = node, isCase && overValue
				return false
			}
		default:
		}
		return true
	})
	return found, tagged
}
