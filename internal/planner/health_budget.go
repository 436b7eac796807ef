package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// BudgetInstance is one instance as the health budget sees it.
type BudgetInstance struct {
	// Name is for people.
	Name string
	// WasReady is true once it has ever been Ready; others are not counted, a
	// slow start says nothing about our own sight.
	WasReady bool
	// Healthy is true while it is Ready.
	Healthy bool
	// Deleting is true once it is being ended; such instances are not counted.
	Deleting bool
}

// BudgetVerdict says whether instances may be ended for their health.
type BudgetVerdict struct {
	// Suspended is true when none of those that have ever been Ready may be
	// ended. Instances that never became Ready are not concerned.
	Suspended bool
	// Counted and Failing are the figures.
	Counted, Failing int
	// Message says it in a sentence.
	Message string
}

// ComputeHealthBudget decides whether instances may be ended for their health.
// When more than maxUnhealthyPercent of those that have ever been Ready fail at
// once, none is: then the fault is probably between them and us. One alone may
// always be replaced, or a pool of one could never mend itself, unless the
// percentage is 0, which asks for no replacements at all.
func ComputeHealthBudget(instances []BudgetInstance, maxUnhealthyPercent int) BudgetVerdict {
	const hundred, namesShown = 100, 5
	var verdict BudgetVerdict
	var failing []string
	for k := range instances {
		if instance := &instances[k]; instance.WasReady && !instance.Deleting {
			verdict.Counted++
			if !instance.Healthy {
				failing = append(failing, instance.Name)
			}
		}
	}
	verdict.Failing = len(failing)
	allowed := verdict.Counted * max(maxUnhealthyPercent, 0) / hundred
	if maxUnhealthyPercent > 0 {
		allowed = max(allowed, 1)
	}
	//warmpool:gate health-max-unhealthy
	verdict.Suspended = verdict.Failing > allowed
	if !verdict.Suspended {
		verdict.Message = "No instance has been ready yet, so none of them can have failed."
		if verdict.Counted > 0 {
			verdict.Message = fmt.Sprintf("Failing now: %d of %s that became ready; up to %d may be replaced at once (spec.remediation.maxUnhealthy).",
				verdict.Failing, plural(verdict.Counted, "instance", "instances"), allowed)
		}
		return verdict
	}
	slices.SortFunc(failing, cmp.Compare)
	names := strings.Join(failing[:min(len(failing), namesShown)], ", ")
	if len(failing) > namesShown {
		names += ", …"
	}
	verdict.Message = fmt.Sprintf("%d of %d instances that became ready fail at once (%s), more than spec.remediation.maxUnhealthy allows (%d). "+
		"None of them is ended, for the fault is probably not theirs: check the network between the manager and the internet. "+
		"To replace one all the same, delete its WarmInstance.", verdict.Failing, verdict.Counted, names, allowed)
	return verdict
}
