package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// literals collects every text in the Go code that is not of tests: the names of
// flags are among them.
func literals(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "bin" || (strings.HasPrefix(entry.Name(), ".") && path != root)) {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if value, err := strconv.Unquote(literal.Value); err == nil {
					found[value] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// flagPattern finds words that begin with a flag; those of other programs stand
// behind their names.
var flagPattern = regexp.MustCompile(`^--([a-z][a-z0-9-]+)`)

// elsewhere are flags of other programs that pages name alone.
func elsewhere() []string { return []string{"from-env-file", "cascade", "set-string", "set"} }

// TestFlagsThatPagesNameAreThere: a flag that was renamed must not live on in prose.
func TestFlagsThatPagesNameAreThere(t *testing.T) {
	known, named := literals(t), 0
	for _, name := range elsewhere() {
		known[name] = true
	}
	for name, p := range pages(t) {
		// What is written from the flags themselves holds those of libraries, too.
		if strings.HasPrefix(name, "docs/adr/") || name == "CHANGELOG.md" || p.isGenerated() {
			continue
		}
		for k, line := range p.lines {
			for _, word := range quoted(line) {
				match := flagPattern.FindStringSubmatch(word)
				if match == nil {
					continue
				}
				named++
				if !known[match[1]] {
					t.Errorf("%s:%d names the flag --%s, which no program has", name, k+1, match[1])
				}
			}
		}
	}
	if named < 30 {
		t.Errorf("%d flags were found: they are not recognised any more", named)
	}
}

// targetPattern finds make and its target at the beginning of a line of code or of
// a quoted word.
var targetPattern = regexp.MustCompile(`^(?:\$ )?(?:sudo )?make ([a-z][a-z0-9-]*)`)

// TestMakeTargetsThatPagesNameAreThere: so must a target of make.
func TestMakeTargetsThatPagesNameAreThere(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	known, named := map[string]bool{}, 0
	for _, match := range regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`).FindAllStringSubmatch(string(text), -1) {
		known[match[1]] = true
	}
	check := func(page string, line int, words string) {
		match := targetPattern.FindStringSubmatch(strings.TrimSpace(words))
		if match == nil {
			return
		}
		named++
		if !known[match[1]] {
			t.Errorf("%s:%d names make %s, which the Makefile does not have", page, line, match[1])
		}
	}
	for name, p := range pages(t) {
		if strings.HasPrefix(name, "docs/adr/") || name == "CHANGELOG.md" {
			continue
		}
		for k, line := range p.lines {
			for _, word := range quoted(line) {
				check(name, k+1, word)
			}
		}
	}
	for _, b := range blocks(t) {
		for line := range strings.Lines(b.text) {
			check(b.page, b.line, line)
		}
	}
	if named < 30 {
		t.Errorf("%d targets were found: they are not recognised any more", named)
	}
}
