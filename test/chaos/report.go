package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/simulator"
)

// verdict is what the run comes to.
type verdict struct {
	length  time.Duration
	planned int
	// faults counts the acts that were carried out, users' included; byKind
	// the same by group and kind; vain those that found nothing to act on.
	faults, vain int
	byKind       map[string]int
	byGroup      map[string]int
	// The four judgements, in seconds and in rentals.
	overCeiling                    float64
	doubles, unrecorded, wrongEnds int
	converged                      bool
	convergences                   []time.Duration
	failovers, resignations        int
	findings                       []finding
	excused                        []string
	ceilings                       []string
	endReasons                     map[string]int
	failures                       []string
	rentals, attempts, live        int
	costMicros, peakMicros         int64
}

// add judges the evidence.
func (v *verdict) add(e *evidence) {
	v.byKind, v.byGroup = map[string]int{}, map[string]int{}
	for k := range e.done {
		if e.done[k].failed != nil {
			v.vain++
			continue
		}
		v.faults++
		v.byKind[e.done[k].Group+" "+e.done[k].Kind]++
		v.byGroup[e.done[k].Group]++
	}
	for _, one := range e.groups() {
		result := e.judgeCeiling(&one)
		v.overCeiling += result.seconds
		v.findings = append(v.findings, result.found...)
		v.ceilings = append(v.ceilings, fmt.Sprintf("%s: peak $%s/h, highest ceiling $%s/h", one.name, result.peak, result.limit))
	}
	doubles, excused := findDouble(e)
	unrecorded := append(findUnrecorded(e), findReleased(e)...)
	wrong, reasons := findWrongEnds(e)
	v.doubles, v.unrecorded, v.wrongEnds, v.excused, v.endReasons = len(doubles), len(unrecorded), len(wrong), excused, reasons
	v.findings = slices.Concat(v.findings, doubles, unrecorded, wrong)
	meter := simulator.Meter{Now: e.now, Records: e.records}
	if labels := meter.DoubleRents(ours); len(labels) > 0 {
		v.doubles += len(labels)
		v.findings = append(v.findings, finding{"double rental", "rented more than once under one label: " + strings.Join(labels, ", ")})
	}
	summary := meter.Summary(ours)
	v.rentals, v.live, v.costMicros, v.peakMicros = summary.Rentals, len(meter.Live("")), summary.CostMicros, summary.PeakMicrosPerHour
	for _, states := range e.book.instances {
		v.attempts += len(states[len(states)-1].attempts)
	}
}

// String is the last line of a run.
func (v *verdict) String() string {
	return fmt.Sprintf("chaos faults=%d over_ceiling_seconds=%.0f double_rentals=%d unrecorded=%d wrong_ends=%d converged=%v",
		v.faults, v.ceilSeconds(), v.doubles, v.unrecorded, v.wrongEnds, v.converged)
}

// ceilSeconds never rounds a moment above the ceiling down to none.
func (v *verdict) ceilSeconds() float64 {
	if v.overCeiling > 0 {
		return max(v.overCeiling, 1)
	}
	return 0
}

// leastPerSecond is how many kills and cuts there are at least, or the run has
// proved too little: 300 in 20 minutes.
const leastPerSecond = 0.25

func (v *verdict) isGood() bool {
	enough := float64(v.byGroup[groupKill]+v.byGroup[groupCut]) >= leastPerSecond*v.length.Seconds()
	return v.converged && v.live == 0 && v.overCeiling == 0 && v.doubles+v.unrecorded+v.wrongEnds+len(v.failures) == 0 && enough
}

// write prints everything but the last line.
func (v *verdict) write(out io.Writer, e *evidence) error {
	longest := time.Duration(0)
	if len(v.convergences) > 0 {
		longest = slices.Max(v.convergences)
	}
	lines := []string{
		"",
		fmt.Sprintf("witness: %d rentals for %d attempts of %d instances, $%.4f, peak $%.2f/h, %d live at the end", v.rentals, v.attempts, len(e.book.instances), dollars(v.costMicros), dollars(v.peakMicros), v.live),
		fmt.Sprintf("kills %d, pauses %d, cuts %d, faults of Vast.ai %d, of rentals %d, users' acts %d; %d of %d acts found nothing to act on", v.byGroup[groupKill], v.byGroup[groupPause],
			v.byGroup[groupCut], v.byGroup[groupProvider], v.byGroup[groupRental], v.byGroup[groupUser], v.vain, v.planned),
		fmt.Sprintf("failovers %d, managers that ended themselves %d, longest convergence %s of %v", v.failovers, v.resignations, longest, v.convergences),
	}
	for _, kind := range slices.Sorted(maps.Keys(v.byKind)) {
		lines = append(lines, fmt.Sprintf("  %-36s %d", kind, v.byKind[kind]))
	}
	lines = append(lines, v.ceilings...)
	lines = append(lines, "rentals that were destroyed, and why:")
	for _, reason := range slices.Sorted(maps.Keys(v.endReasons)) {
		lines = append(lines, fmt.Sprintf("  %-36s %d", reason, v.endReasons[reason]))
	}
	for _, text := range v.excused {
		lines = append(lines, "late arrival of an abandoned attempt: "+text)
	}
	for k := range v.findings {
		lines = append(lines, "FOUND "+v.findings[k].String())
	}
	for _, text := range v.failures {
		lines = append(lines, "FAILED "+text)
	}
	if few := leastPerSecond * v.length.Seconds(); float64(v.byGroup[groupKill]+v.byGroup[groupCut]) < few {
		lines = append(lines, fmt.Sprintf("FAILED fewer than %.0f kills and cuts: the run proves too little", few))
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

func dollars(amount int64) float64 {
	const micros = 1e6
	return float64(amount) / micros
}

// printPlan shows the plan to people.
func printPlan(out io.Writer, plan []act) {
	for k := range plan {
		_, _ = fmt.Fprintln(out, plan[k].String()) //nolint:errcheck // a terminal
	}
}

// String is one act for people.
func (a *act) String() string {
	return fmt.Sprintf("round %d %7.1f s  %-9s %-26s %-24s %5.1f s", a.Round+1, a.At.Seconds(), a.Group, a.Kind, a.Target, a.Length.Seconds())
}

// writeDeeds writes what was done, beside the logs.
func writeDeeds(path string, done []deed) error {
	var text strings.Builder
	for k := range done {
		one := &done[k]
		fmt.Fprintf(&text, "%s to %s  %s", clockTime(one.began), clockTime(one.ended), one.String())
		if one.rental != 0 {
			fmt.Fprintf(&text, "  rental %d", one.rental)
		}
		fmt.Fprintf(&text, "  %s %s", one.uid, one.note)
		if one.failed != nil && !errors.Is(one.failed, errNothing) {
			fmt.Fprintf(&text, "  failed: %v", one.failed)
		}
		text.WriteString("\n")
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}
