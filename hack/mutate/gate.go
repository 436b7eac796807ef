package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Gate is one entry of the list: a condition that stands between us and money
// or a wrong end, and the test that notices when it is gone.
type Gate struct {
	// Name is the mark in the code, in kebab case.
	Name string
	// Rule is what it upholds: I1 … I8 of docs/explanation/renting.md.
	Rule string
	// Prevents says what would happen without it, as the object of "prevents".
	Prevents string
	// Test is the test that must fail without it, a top-level test of the
	// package that holds the mark.
	Test string
	// Off takes the gate out.
	Off Mutation
}

// isWhole is true when nothing of the entry is missing.
func (g *Gate) isWhole() bool { return g.Rule != "" && g.Prevents != "" && g.Test != "" }

// Mutation is how one gate is taken out. The zero value makes its condition false.
type Mutation struct {
	kind     kind
	old, new string
}

// kind is the sort of a mutation.
type kind int

const (
	// kindNever makes the condition false: for gates that stop when it is true.
	kindNever kind = iota
	// kindAlways makes it true: for gates that stop when it is false.
	kindAlways
	// kindSkip leaves the statement or the list entry out.
	kindSkip
	// kindReplace changes a part of it.
	kindReplace
)

// never is the default: the condition is false, so that the gate stays open.
func never() Mutation { return Mutation{} }

// always makes the condition true.
func always() Mutation { return Mutation{kind: kindAlways} }

// skip leaves the marked statement or list entry out.
func skip() Mutation { return Mutation{kind: kindSkip} }

// without leaves a part of the marked code out, which must be there exactly once.
func without(part string) Mutation { return Mutation{kind: kindReplace, old: part} }

// instead puts other code in the place of a part, which must be there exactly once.
func instead(part, other string) Mutation {
	return Mutation{kind: kindReplace, old: part, new: other}
}

// errDisagree reports that marks and list do not agree.
var errDisagree = errors.New("the marks in the code and the list in hack/mutate/gates.go do not agree")

// markedGate is a gate with the place of its mark.
type markedGate struct {
	Gate

	mark mark
}

// join finds the mark of every gate. Its error lists all that is wrong, with
// what to do about it.
func join(listed []Gate, marks []mark) ([]markedGate, error) {
	byName := map[string]*mark{}
	var wrong []error
	complain := func(format string, values ...any) { wrong = append(wrong, fmt.Errorf(format, values...)) }
	for k := range marks {
		m := &marks[k]
		if other, twice := byName[m.name]; twice {
			complain("the mark %q is at %s and at %s: give one of them another name", m.name, other, m)
		}
		byName[m.name] = m
	}
	var joined []markedGate
	seen := map[string]bool{}
	for _, gate := range listed {
		m, found := byName[gate.Name]
		switch {
		case seen[gate.Name]:
			complain("gate %q is listed twice", gate.Name)
		case !found:
			complain("gate %q has no mark: put //warmpool:gate %s above its condition, or take it off the list", gate.Name, gate.Name)
		case !gate.isWhole():
			complain("gate %q needs a rule, a sentence and a test", gate.Name)
		default:
			joined = append(joined, markedGate{Gate: gate, mark: *m})
		}
		seen[gate.Name] = true
	}
	for k := range marks {
		if m := &marks[k]; !seen[m.name] {
			complain("the mark %q at %s is not on the list: add it, with the test that fails without it", m.name, m)
		}
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%w:\n%w", errDisagree, errors.Join(wrong...))
	}
	slices.SortFunc(joined, func(a, b markedGate) int {
		return cmp.Or(cmp.Compare(a.mark.dir, b.mark.dir), cmp.Compare(a.mark.file, b.mark.file), cmp.Compare(a.mark.line, b.mark.line))
	})
	return joined, nil
}
