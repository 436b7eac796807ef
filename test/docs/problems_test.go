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

// problemsPage is the table of the hardest problems.
const problemsPage = "docs/explanation/money-safety.md"

// problemRow is one line of the table.
type problemRow struct {
	number           int
	rule, code, test string
}

// problemRows reads the table.
func problemRows(t *testing.T) []problemRow {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(problemsPage)))
	if err != nil {
		t.Fatal(err)
	}
	var rows []problemRow
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		const columns = 5
		if number, err := strconv.Atoi(strings.TrimSpace(cells[0])); err == nil && len(cells) == columns {
			rows = append(rows, problemRow{number: number, rule: cells[2], code: cells[3], test: cells[4]})
		}
	}
	return rows
}

// quoted lists what stands between backquotes.
func quoted(text string) []string {
	var found []string
	for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}

// testsByRoom collects the tests of the tree, as "package.TestName". A test
// package for a room from outside counts as that room.
func testsByRoom(t *testing.T) map[string]bool {
	t.Helper()
	tests := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "bin" || (strings.HasPrefix(entry.Name(), ".") && path != root)) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declared := range file.Decls {
			if function, ok := declared.(*ast.FuncDecl); ok && function.Recv == nil && strings.HasPrefix(function.Name.Name, "Test") {
				tests[strings.TrimSuffix(file.Name.Name, "_test")+"."+function.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

// functionsOf lists the functions and methods that a file declares.
func functionsOf(t *testing.T, path string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, filepath.FromSlash(path)), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	functions := map[string]bool{}
	for _, declared := range file.Decls {
		if function, ok := declared.(*ast.FuncDecl); ok {
			functions[function.Name.Name] = true
		}
	}
	return functions
}

// TestEveryProblemHasATest keeps the table of problems from rotting: twenty rows,
// each with a rule, with code that is there, and with tests that are there.
func TestEveryProblemHasATest(t *testing.T) {
	const problems = 20
	rows, tests := problemRows(t), testsByRoom(t)
	if len(rows) != problems {
		t.Fatalf("%s has %d rows, want %d", problemsPage, len(rows), problems)
	}
	for k, row := range rows {
		if row.number != k+1 {
			t.Errorf("row %d has the number %d", k+1, row.number)
		}
		named := quoted(row.test)
		if len(named) == 0 || strings.TrimSpace(row.rule) == "" {
			t.Errorf("problem %d has no rule or no test", row.number)
		}
		for _, name := range named {
			if !tests[name] {
				t.Errorf("problem %d names the test %s, which is not there", row.number, name)
			}
		}
		checkCode(t, &row)
	}
}

// checkCode wants each function to be in the file before it.
func checkCode(t *testing.T, row *problemRow) {
	t.Helper()
	var functions map[string]bool
	path := ""
	for _, name := range quoted(row.code) {
		if strings.HasSuffix(name, ".go") {
			path, functions = name, functionsOf(t, name)
			continue
		}
		if !functions[name] {
			t.Errorf("problem %d names the function %s, which is not in %q", row.number, name, path)
		}
	}
	if path == "" {
		t.Errorf("problem %d names no code", row.number)
	}
}

// TestEveryTestOfProblemsIsInTheTable: what is shown there is listed here.
func TestEveryTestOfProblemsIsInTheTable(t *testing.T) {
	listed := map[string]bool{}
	for _, row := range problemRows(t) {
		for _, name := range quoted(row.test) {
			listed[name] = true
		}
	}
	// These show no problem: one starts the room, one shows that it works.
	listed["problems.TestMain"], listed["problems.TestAQuietLifeOfAPool"] = true, true
	for name := range testsByRoom(t) {
		if strings.HasPrefix(name, "problems.") && !listed[name] {
			t.Errorf("%s is not in the table of %s", name, problemsPage)
		}
	}
}

var (
	testNamePattern = regexp.MustCompile(`^[a-z]+\.Test[A-Za-z0-9_]+$`)
	pathPattern     = regexp.MustCompile(`^(?:api|cmd|config|controllers|docs|hack|internal|test)/[A-Za-z0-9_./-]*[A-Za-z0-9_-]$`)
)

// TestWhatPagesNameIsThere: a test or a file of this repository that a page names
// in backquotes must exist. Decisions may name what was there when they were made.
func TestWhatPagesNameIsThere(t *testing.T) {
	tests, named := testsByRoom(t), 0
	for name, p := range pages(t) {
		if strings.HasPrefix(name, "docs/adr/") || name == "CHANGELOG.md" {
			continue
		}
		for k, line := range p.lines {
			for _, word := range quoted(line) {
				isTest, isPath := testNamePattern.MatchString(word), pathPattern.MatchString(word)
				if isTest || isPath {
					named++
				}
				// The pages explain the notation with this one.
				if isTest && !tests[word] && word != "room.TestName" {
					t.Errorf("%s:%d names the test %s, which is not there", name, k+1, word)
				}
				if !isPath {
					continue
				}
				if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(word))); err != nil {
					t.Errorf("%s:%d names %s, which is not there", name, k+1, word)
				}
			}
		}
	}
	if named < 100 {
		t.Errorf("%d tests and files were found: they are not recognised any more", named)
	}
}
