package main

import (
	"fmt"
	"math"
	"text/tabwriter"
)

// figure is one result.
type figure struct {
	name  string
	value float64
	unit  string
	bound float64
	// isRate is true when more is better.
	isRate bool
}

// ratio is value over bound, and the other way round for a rate. Nothing of what
// must not be at all is 0, anything of it infinite.
func (f *figure) ratio() float64 {
	switch {
	case f.isRate:
		return f.bound / f.value
	case f.bound != 0:
		return f.value / f.bound
	case f.value == 0:
		return 0
	default:
		return math.Inf(1)
	}
}

// String is the line of a figure.
func (f *figure) String() string {
	return fmt.Sprintf("bench %s %.2f %s bound=%.2f ratio=%.3f", f.name, f.value, f.unit, f.bound, f.ratio())
}

// report prints a figure and keeps it for the table.
func (b *bench) report(name string, value float64, unit string, bound float64) error {
	return b.print(figure{name: name, value: value, unit: unit, bound: bound})
}

// reportRate is report for a figure that should reach its bound.
func (b *bench) reportRate(name string, value float64, unit string, bound float64) error {
	return b.print(figure{name: name, value: value, unit: unit, bound: bound, isRate: true})
}

func (b *bench) print(f figure) error {
	b.figures = append(b.figures, f)
	_, err := fmt.Fprintln(b.out, f.String())
	return err
}

// writeTable prints all figures once more, side by side.
func (b *bench) writeTable() error {
	table := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if _, err := fmt.Fprint(table, "\nfigure\tvalue\tunit\tbound\tratio\t\n"); err != nil {
		return err
	}
	const goal = 1.05
	for _, f := range b.figures {
		remark := ""
		if f.ratio() > goal {
			remark = "above"
		}
		if _, err := fmt.Fprintf(table, "%s\t%.2f\t%s\t%.2f\t%.3f\t%s\n", f.name, f.value, f.unit, f.bound, f.ratio(), remark); err != nil {
			return err
		}
	}
	return table.Flush()
}
