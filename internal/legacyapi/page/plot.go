package page

import (
	"fmt"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/fleet"
)

// The plot's own coordinates: whole numbers. The page stretches them; lines keep
// their width.
const (
	plotWidth   = 7200
	plotHeight  = 2000
	plotColumns = 240
	// maxGap is how far two samples may lie apart and still be joined.
	maxGap = 3 * SamplePeriod
)

// plot is the cost over time, ready to be drawn.
type plot struct {
	// Committed, Area, Observed and Ceiling are path data of SVG.
	Committed, Area, Observed, Ceiling string
	// Top, Middle are the labels of the vertical axis; its lower end is $0.
	Top, Middle amount
	// Times are the labels of the horizontal axis, evenly spaced, oldest first.
	Times []string
	// Window is how much time it shows, in words, and Highest the most that was
	// committed in it.
	Window  string
	Highest amount
	// Rows are the same figures as a table, newest first.
	Rows []plotRow
}

// plotRow is a part of the window.
type plotRow struct {
	From                       moment
	Committed, Observed, Limit amount
}

// plotWindow is the shortest window that holds what is known.
func plotWindow(known time.Duration) (window time.Duration, words string) {
	switch {
	case known <= time.Hour:
		return time.Hour, "the last hour"
	case known <= 6*time.Hour:
		return 6 * time.Hour, "the last 6 hours"
	default:
		return 24 * time.Hour, "the last 24 hours"
	}
}

// plotOf draws samples, oldest first. It returns nil for fewer than two.
func plotOf(samples []Sample, now time.Time) *plot {
	if len(samples) < 2 {
		return nil
	}
	window, words := plotWindow(now.Sub(samples[0].Time))
	begin := now.Add(-window)
	for len(samples) > 0 && samples[0].Time.Before(begin) {
		samples = samples[1:]
	}
	columns := thin(samples, begin, window)
	highest, most := fleet.USDMicros(0), fleet.USDMicros(0)
	for i := range columns {
		highest = max(highest, columns[i].Committed)
		most = max(most, columns[i].Committed, columns[i].Ceiling, columns[i].Observed)
	}
	top := roundTop(most)
	drawing := drawing{begin: begin, window: window, top: top, gap: maxGap + window/plotColumns}
	p := &plot{
		Window: words, Highest: known(highest), Top: known(top), Middle: known(top / 2), //nolint:mnd // the middle
		Rows: plotRows(columns, window, now),
	}
	committed := func(s *Sample) fleet.USDMicros { return s.Committed }
	p.Committed, p.Area = drawing.line(columns, committed), drawing.area(columns, committed)
	p.Observed = drawing.line(columns, func(s *Sample) fleet.USDMicros { return s.Observed })
	p.Ceiling = drawing.line(columns, func(s *Sample) fleet.USDMicros { return s.Ceiling })
	const labels = 5
	for i := range labels {
		p.Times = append(p.Times, begin.Add(window*time.Duration(i)/(labels-1)).UTC().Format("15:04"))
	}
	return p
}

// thin leaves one sample for each column of the plot, with the largest figures
// of all that fall into it: a peak must not vanish.
func thin(samples []Sample, begin time.Time, window time.Duration) []Sample {
	kept := make([]Sample, 0, plotColumns)
	last := time.Duration(-1)
	for _, sample := range samples {
		column := sample.Time.Sub(begin) * plotColumns / window
		if column != last {
			kept = append(kept, sample)
			last = column
			continue
		}
		into := &kept[len(kept)-1]
		into.Committed = max(into.Committed, sample.Committed)
		into.Observed = max(into.Observed, sample.Observed)
		into.Ceiling = max(into.Ceiling, sample.Ceiling)
	}
	return kept
}

// roundTop is the upper end of the vertical axis: the first of 1, 2, 5, 10 …
// cents, with steps between, that leaves some air above the largest figure.
func roundTop(most fleet.USDMicros) fleet.USDMicros {
	const cent = 10_000
	wanted := most + most/10
	for scale := fleet.USDMicros(cent); ; scale *= 10 {
		for _, step := range []fleet.USDMicros{1, 2, 3, 4, 5, 6, 8} {
			if scale*step >= wanted && scale*step > 0 {
				return scale * step
			}
		}
	}
}

// drawing turns samples into path data.
type drawing struct {
	begin  time.Time
	window time.Duration
	top    fleet.USDMicros
	gap    time.Duration
}

func (d *drawing) x(t time.Time) int64 {
	return int64(t.Sub(d.begin) / (d.window / plotWidth))
}

func (d *drawing) y(value fleet.USDMicros) int64 {
	return plotHeight - int64(value.Times(plotHeight)/d.top)
}

// runs cuts the samples where there is a gap.
func (d *drawing) runs(samples []Sample) [][]Sample {
	var runs [][]Sample
	from := 0
	for i := 1; i <= len(samples); i++ {
		if i == len(samples) || samples[i].Time.Sub(samples[i-1].Time) > d.gap {
			runs = append(runs, samples[from:i])
			from = i
		}
	}
	return runs
}

// line draws steps: a price holds until the next sample.
func (d *drawing) line(samples []Sample, value func(*Sample) fleet.USDMicros) string {
	var path strings.Builder
	for _, run := range d.runs(samples) {
		fmt.Fprintf(&path, "M%d %d", d.x(run[0].Time), d.y(value(&run[0])))
		d.steps(&path, run, value)
	}
	return path.String()
}

func (d *drawing) steps(path *strings.Builder, run []Sample, value func(*Sample) fleet.USDMicros) {
	for i := range run {
		fmt.Fprintf(path, "H%d", d.x(run[i].Time))
		if i > 0 && value(&run[i]) == value(&run[i-1]) {
			continue
		}
		fmt.Fprintf(path, "V%d", d.y(value(&run[i])))
	}
}

// area is line, closed down to the axis.
func (d *drawing) area(samples []Sample, value func(*Sample) fleet.USDMicros) string {
	var path strings.Builder
	for _, run := range d.runs(samples) {
		fmt.Fprintf(&path, "M%d %d", d.x(run[0].Time), plotHeight)
		fmt.Fprintf(&path, "V%d", d.y(value(&run[0])))
		d.steps(&path, run, value)
		fmt.Fprintf(&path, "V%dZ", plotHeight)
	}
	return path.String()
}

// plotRows sums up the window in twelve parts, newest first, for those who do not
// see the plot.
func plotRows(columns []Sample, window time.Duration, now time.Time) []plotRow {
	const parts = 12
	part := window / parts
	var rows []plotRow
	for i := range parts {
		from := now.Add(-part * time.Duration(i+1))
		row := plotRow{From: momentOf(from, now)}
		for j := range columns {
			if columns[j].Time.Before(from) || !columns[j].Time.Before(from.Add(part)) {
				continue
			}
			row.Committed = known(max(row.Committed.value, columns[j].Committed))
			row.Observed = known(max(row.Observed.value, columns[j].Observed))
			row.Limit = known(max(row.Limit.value, columns[j].Ceiling))
		}
		if row.Committed.known {
			rows = append(rows, row)
		}
	}
	return rows
}
