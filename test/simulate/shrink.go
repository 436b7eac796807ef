package simulate

import "slices"

// Shrink looks for a smaller case that still breaks the same invariant: it takes
// injections away, many at first and then fewer, until each that is left is
// needed (delta debugging). It asks at most budget times. The run function runs
// one case in a bubble.
func Shrink(failing *Result, budget int, run func(*Case) Result) Result {
	best := *failing
	ids := injectionIDs(failing)
	for pieces := 2; len(ids) > 0 && budget > 0; {
		size := (len(ids) + pieces - 1) / pieces
		smaller := false
		for start := 0; start < len(ids) && budget > 0; start += size {
			rest := make([]string, 0, len(ids))
			rest = append(append(rest, ids[:start]...), ids[min(start+size, len(ids)):]...)
			budget--
			if result := run(&Case{Seed: failing.Case.Seed, Allowed: rest}); breaksSame(&result, failing) {
				best, ids, smaller = result, injectionIDs(&result), true
				break
			}
		}
		switch {
		case smaller:
			pieces = max(pieces-1, 2)
		case size == 1:
			return kept(&best, ids)
		default:
			pieces = min(2*pieces, len(ids))
		}
	}
	return kept(&best, ids)
}

// kept makes a case that can be stored: with its plan, and of that only the acts
// that take place.
func kept(best *Result, ids []string) Result {
	plan := *best.Plan
	plan.Acts = slices.DeleteFunc(slices.Clone(plan.Acts), func(act Act) bool { return !slices.Contains(ids, act.ID) })
	best.Case.Allowed, best.Case.Plan = ids, &plan
	return *best
}

// injectionIDs are those that really took place; never nil.
func injectionIDs(result *Result) []string {
	ids := make([]string, 0, len(result.Injected))
	for k := range result.Injected {
		ids = append(ids, result.Injected[k].ID)
	}
	return ids
}

// breaksSame is true when both break the same invariant first.
func breaksSame(result, failing *Result) bool {
	return len(result.Failures) > 0 && result.Failures[0].Invariant == failing.Failures[0].Invariant
}
