package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// outcome is what became of one alert.
type outcome struct {
	alert string
	// scaled says what is different in the copy of its rule.
	scaled string
	// how says what raised it.
	how string
	// fired is true when it fired, after the time from the fault to that;
	// resolved is true when it ended, after the time from the remedy to that.
	fired, resolved           bool
	firedAfter, resolvedAfter time.Duration
	// commands of its page were run while it fired.
	commands int
}

// query is one query and whether it ever had data.
type query struct {
	place, expr string
	hasData     bool
	// trouble says that Prometheus refused it.
	trouble error
}

// report is what the run found.
type report struct {
	// partial is true when only some alerts were asked for: the queries that need
	// the others' faults then have no data.
	partial bool
	alerts  []*outcome
	queries []query
	// spans that the manager sent.
	spans int
	// failures are commands that did not work, and scenes that fell short.
	failures []string
}

// of finds the outcome of an alert; nil when it was not asked for.
func (r *report) of(alert string) *outcome {
	for _, one := range r.alerts {
		if one.alert == alert {
			return one
		}
	}
	return nil
}

// counts are the figures of the last line.
func (r *report) counts() (fired, resolved, withData, commands int) {
	for _, one := range r.alerts {
		if one.fired {
			fired++
		}
		if one.resolved {
			resolved++
		}
		commands += one.commands
	}
	for k := range r.queries {
		if r.queries[k].hasData {
			withData++
		}
	}
	return fired, resolved, withData, commands
}

// isGood is true when nothing fell short.
func (r *report) isGood() bool {
	fired, resolved, withData, _ := r.counts()
	return len(r.failures) == 0 && fired == len(r.alerts) && resolved == len(r.alerts) && (r.partial || withData == len(r.queries))
}

// print writes the table, what fell short, and the figures.
func (r *report) print(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, arguments ...any) {
		_, _ = fmt.Fprintf(table, format+"\n", arguments...) //nolint:errcheck // the terminal has gone away
	}
	line("\nALERT\tFIRED AFTER\tRESOLVED AFTER\tCOMMANDS\tRAISED BY\tSCALED")
	for _, one := range r.alerts {
		line("%s\t%s\t%s\t%d\t%s\t%s", one.alert, shown(one.fired, one.firedAfter), shown(one.resolved, one.resolvedAfter), one.commands, one.how, one.scaled)
	}
	_ = table.Flush() //nolint:errcheck // the terminal has gone away
	say := func(format string, arguments ...any) {
		_, _ = fmt.Fprintf(out, format+"\n", arguments...) //nolint:errcheck // the terminal has gone away
	}
	for _, failure := range r.failures {
		say("FAILED %s", failure)
	}
	for k := range r.queries {
		if q := &r.queries[k]; q.trouble != nil {
			say("REFUSED %s: %v", q.place, q.trouble)
		} else if !q.hasData && !r.partial {
			say("NO DATA %s: %s", q.place, q.expr)
		}
	}
	fired, resolved, withData, commands := r.counts()
	say("observability alerts=%d fired=%d resolved=%d queries=%d with_data=%d commands=%d spans=%d", len(r.alerts), fired, resolved, len(r.queries), withData, commands, r.spans)
}

func shown(happened bool, after time.Duration) string {
	if !happened {
		return "never"
	}
	return fmt.Sprintf("%.1f s", after.Seconds())
}
