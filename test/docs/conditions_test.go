package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// reasonConstants are the constants whose values people see as reasons, by directory.
func reasonConstants() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"internal/planner": regexp.MustCompile(`^((Reason|PoolReason|ClaimReason|Health|Victim)[A-Z]|StageBusy$)`),
		"internal/fleet":   regexp.MustCompile(`^(Signal|Fault|Kind)[A-Z]`),
		"controllers":      regexp.MustCompile(`^reason[A-Z]`),
	}
}

// reasonArguments says which argument of a call is a reason, by the name of the
// function: what is written there as a text is a reason without a constant.
func reasonArguments() map[string]int {
	return map[string]int{"set": 2, "event": 2, "Eventf": 3, "refused": 0, "setPendingConditions": 2}
}

// reasonsIn collects every reason that the code of a directory can produce.
func reasonsIn(t *testing.T, directory string, names *regexp.Regexp) map[string]token.Position {
	t.Helper()
	found := map[string]token.Position{}
	paths, err := filepath.Glob(filepath.Join(root, directory, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		collect := func(expression ast.Expr) {
			literal, ok := expression.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return
			}
			if value, err := strconv.Unquote(literal.Value); err == nil && value != "" {
				found[value] = files.Position(literal.Pos())
			}
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.ValueSpec:
				for k, name := range node.Names {
					if names.MatchString(name.Name) && k < len(node.Values) {
						collect(node.Values[k])
					}
				}
			case *ast.CallExpr:
				if at, ok := reasonArguments()[calledName(node)]; ok && at < len(node.Args) {
					collect(node.Args[at])
				}
			case *ast.KeyValueExpr:
				if key, ok := node.Key.(*ast.Ident); ok && strings.EqualFold(key.Name, "reason") {
					collect(node.Value)
				}
			case *ast.CompositeLit:
				// condition{kind, ok, reason, message}
				if kind, ok := node.Type.(*ast.Ident); ok && kind.Name == "condition" && len(node.Elts) == 4 {
					collect(node.Elts[2])
				}
			}
			return true
		})
	}
	return found
}

func calledName(call *ast.CallExpr) string {
	switch function := call.Fun.(type) {
	case *ast.SelectorExpr:
		return function.Sel.Name
	case *ast.Ident:
		return function.Name
	default:
		return ""
	}
}

// notReasons are values that match a name above and that nobody ever sees as a reason.
func notReasons() []string {
	return []string{
		"Serving", // a probe that was answered: the reason is then Ready or Verifying
	}
}

func TestEveryReasonIsExplained(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "reference", "conditions.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for directory, names := range reasonConstants() {
		found := reasonsIn(t, directory, names)
		all += len(found)
		for _, reason := range slices.Sorted(maps.Keys(found)) {
			if !slices.Contains(notReasons(), reason) && !strings.Contains(string(page), "`"+reason+"`") {
				t.Errorf("%s: the reason %s is not in docs/reference/conditions.md", found[reason], reason)
			}
		}
	}
	// Fewer would mean that the names above match nothing any more.
	const atLeast = 130
	if all < atLeast {
		t.Errorf("%d reasons were found in the code, and at least %d were expected", all, atLeast)
	}
}

// TestNoReasonIsInvented finds reasons in the tables that the code does not have.
func TestNoReasonIsInvented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "reference", "conditions.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for directory, names := range reasonConstants() {
		for reason := range reasonsIn(t, directory, names) {
			known[reason] = true
		}
	}
	rows := regexp.MustCompile("(?m)^\\| (`[A-Z][A-Za-z]+`(?:, `[A-Z][A-Za-z]+`)*) \\| (?:True|False|Unknown|event|–)")
	reasons := regexp.MustCompile("`([A-Za-z]+)`")
	seen := 0
	for _, row := range rows.FindAllStringSubmatch(string(page), -1) {
		for _, reason := range reasons.FindAllStringSubmatch(row[1], -1) {
			seen++
			if !known[reason[1]] {
				t.Errorf("docs/reference/conditions.md explains the reason %s, which the code does not have", reason[1])
			}
		}
	}
	if seen == 0 {
		t.Error("no row of a table was recognised: the page has another form now")
	}
}

// conditionTypes are the constants of the API that name condition types.
var conditionTypes = regexp.MustCompile(`(?m)^\tCondition\w+ = "(\w+)"`)

func TestEveryConditionIsExplained(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "api", "v1alpha1", "conditions.go"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "reference", "conditions.md"))
	if err != nil {
		t.Fatal(err)
	}
	types := conditionTypes.FindAllStringSubmatch(string(source), -1)
	if len(types) == 0 {
		t.Fatal("no condition types were found")
	}
	for _, kind := range types {
		if !strings.Contains(string(page), "| `"+kind[1]+"` |") {
			t.Errorf("the condition %s is not in docs/reference/conditions.md", kind[1])
		}
	}
}
