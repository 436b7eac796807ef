package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// module is the root of this module, seen from here.
const module = "../.."

// TestMarksAndListAgree fails when a gate was marked and not listed, or listed
// and not marked, and when a named test is not there.
func TestMarksAndListAgree(t *testing.T) {
	marks, err := findMarks(module)
	if err != nil {
		t.Fatal(err)
	}
	all, err := join(gates(), marks)
	if err != nil {
		t.Fatal(err)
	}
	for k := range all {
		gate := &all[k]
		if _, err := mutated(&gate.mark, gate.Off); err != nil {
			t.Error(err)
		}
		if !regexp.MustCompile(`^I[1-8]$`).MatchString(gate.Rule) {
			t.Errorf("gate %q upholds %q, which is no rule", gate.Name, gate.Rule)
		}
		if !hasTest(t, gate.mark.dir, gate.Test) {
			t.Errorf("gate %q names %s, which is not in %s", gate.Name, gate.Test, gate.mark.dir)
		}
	}
}

// hasTest looks for a test in the files of a package.
func hasTest(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(module, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+test+"(t *testing.T)") {
			return true
		}
	}
	return false
}

// sample is the list for testdata/sample.
func sample() []Gate {
	return []Gate{
		{"till-locked", "I1", "paying out of a locked till", "TestPay", never()},
		{"till-balance", "I1", "paying more than there is", "TestPay", without("amount > t.Balance || ")},
		{"till-amount", "I1", "paying less than nothing", "TestPay", without(" || amount < 0")},
		{"till-books", "I1", "paying without writing it down", "TestPay", skip()},
		{"till-no-foreign-coin", "I1", "taking pennies", "TestKinds", skip()},
	}
}

func TestRunTellsCaughtFromSurviving(t *testing.T) {
	var out strings.Builder
	err := run(t.Context(), settings{root: "testdata/sample", jobs: 2}, sample(), &out)
	if !errors.Is(err, errSurvived) {
		t.Errorf("error %v, want that gates survived", err)
	}
	text := out.String()
	for _, want := range []string{
		"till: 5 gates; the tests named for them pass with every gate in place: yes\n",
		"SURVIVED  I1  till-locked ", "caught    I1  till-balance ", "SURVIVED  I1  till-amount ", "caught    I1  till-books ",
		"caught    I1  till-no-foreign-coin ",
		`gate "till-locked" (till/till.go:12) was taken out and TestPay still passes, so nothing keeps this from happening: paying out of a locked till.`,
		"make mutate ARGS='-only ^till-amount$'",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if !strings.HasSuffix(text, "\nmutate gates=5 caught=3\n") {
		t.Errorf("the last line is wrong")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestRunChoosesGates(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), settings{root: "testdata/sample", jobs: 1, only: "^till-balance$"}, sample(), &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if !strings.HasSuffix(out.String(), "\nmutate gates=1 caught=1\n") {
		t.Errorf("it says %s", out.String())
	}
}

// TestRunShowsNothingForAGateThatDoesNotBuild: a build error is no failed test.
func TestRunShowsNothingForAGateThatDoesNotBuild(t *testing.T) {
	listed := sample()
	listed[4].Off = instead(`"penny"`, "penny")
	var out strings.Builder
	err := run(t.Context(), settings{root: "testdata/sample", jobs: 1, only: "coin"}, listed, &out)
	if !errors.Is(err, errSurvived) || !strings.Contains(out.String(), "BROKEN    I1  till-no-foreign-coin ") || !strings.Contains(out.String(), "undefined: penny") {
		t.Errorf("error %v, output %s", err, out.String())
	}
}

func TestRunRefusesATestThatIsNotThere(t *testing.T) {
	listed := sample()
	listed[0].Test = "TestNothing"
	err := run(t.Context(), settings{root: "testdata/sample", jobs: 1, only: "locked"}, listed, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "there is no test TestNothing in till") {
		t.Errorf("error %v", err)
	}
}

func TestJoinComplains(t *testing.T) {
	marks, err := findMarks("testdata/sample")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		listed []Gate
		marks  []mark
		want   string
	}{
		"a mark that is not listed":    {sample()[1:], marks, `the mark "till-locked" at till/till.go:12 is not on the list`},
		"an entry without a mark":      {append(sample(), Gate{"till-alarm", "I1", "x", "TestPay", never()}), marks, `gate "till-alarm" has no mark`},
		"an entry that is there twice": {append(sample(), sample()[0]), marks, `gate "till-locked" is listed twice`},
		"a mark that is there twice":   {sample(), append(marks, marks[0]), `the mark "till-locked" is at`},
		"an entry without a sentence":  {append(sample()[1:], Gate{Name: "till-locked", Rule: "I1", Test: "TestPay"}), marks, `gate "till-locked" needs a rule`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := join(test.listed, test.marks); !errors.Is(err, errDisagree) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// TestMutated takes gates of every shape out of one file.
func TestMutated(t *testing.T) {
	for name, test := range map[string]struct {
		code, want string
		off        Mutation
	}{
		"an if":                        {"if a {\n\treturn 1\n}", "if false && (a) {", never()},
		"an if with a start":           {"if b := f(); b != nil {\n\treturn 1\n}", "if b := f(); false && (b != nil) {", never()},
		"an if that lets pass":         {"if a {\n\treturn 1\n}", "if true || (a) {", always()},
		"a return":                     {"return a && b", "return false && (a && b)", never()},
		"a part of a return":           {"return a && b", "return a", without(" && b")},
		"an assignment":                {"a = b", "a = false && (b)", never()},
		"a statement that is left out": {"f(a)", " x\n    \n}", skip()},
		"a case":                       {"switch {\n//warmpool:gate x\ncase a, b:\n}", "case false && (a), false && (b):", never()},
		"a value of a case":            {"switch a {\n//warmpool:gate x\ncase b:\n}", "case b, c:", instead("b", "b, c")},
		"an entry that is a function":  {"_ = []check{\n//warmpool:gate x\n{\"n\", func() bool { return a }},\n}", "{\"n\", func() bool { return true || (a) }},", always()},
		"a field that is a function":   {"_ = check{\n//warmpool:gate x\nblocked: func() bool { return a },\n}", "blocked: func() bool { return false && (a) },", never()},
		"an entry that is left out":    {"_ = []check{\n//warmpool:gate x\n{1},\n{2},\n}", "{2},", skip()},
	} {
		t.Run(name, func(t *testing.T) {
			code := test.code
			if !strings.Contains(code, directive) {
				code = directive + " x\n" + code
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte("package p\n\nfunc g() any {\n"+code+"\n}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			marks, err := findMarks(dir)
			if err != nil || len(marks) != 1 {
				t.Fatalf("%d marks, %v", len(marks), err)
			}
			text, err := mutated(&marks[0], test.off)
			if err != nil || !strings.Contains(string(text), test.want) {
				t.Errorf("%v, want %q in:\n%s", err, test.want, text)
			}
		})
	}
}

// TestMostGatesAreSwitched keeps the check fast: each gate that is taken out
// alone costs a build.
func TestMostGatesAreSwitched(t *testing.T) {
	marks, err := findMarks(module)
	if err != nil {
		t.Fatal(err)
	}
	all, err := join(gates(), marks)
	if err != nil {
		t.Fatal(err)
	}
	byDir := map[string][]markedGate{}
	for k := range all {
		byDir[all[k].mark.dir] = append(byDir[all[k].mark.dir], all[k])
	}
	alone := 0
	for _, ofPackage := range byDir {
		board := newSwitchboard(ofPackage)
		for k := range ofPackage {
			if !board.has[ofPackage[k].Name] {
				alone++
				t.Logf("%s is taken out alone", ofPackage[k].Name)
			}
		}
	}
	if alone*4 > len(all) {
		t.Errorf("%d of %d gates are taken out alone", alone, len(all))
	}
}

func TestMarksThatSayNothing(t *testing.T) {
	for name, code := range map[string]string{
		"above nothing":     "//warmpool:gate x\n",
		"above a loop":      "//warmpool:gate x\nfor {\n}",
		"not in kebab case": "//warmpool:gate NotThis\nif a {\n}",
		"without a name":    "//warmpool:gate\nif a {\n}",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte("package p\n\nfunc g() {\n"+code+"\n}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if marks, err := findMarks(dir); err == nil {
				t.Errorf("found %v", marks)
			}
		})
	}
}
