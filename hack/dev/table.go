package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// gap is between two columns; least is the width below which a column that
	// may shrink is not worth its place.
	gap   = "  "
	least = 8
)

// cell is one value of a table.
type cell struct {
	text string
	tone tone
}

// column is the head of a column.
type column struct {
	title string
	// right aligns numbers by their last digit.
	right bool
	// optional columns are left out, the last first, when the screen is narrow.
	optional bool
	// shrinks says how readily the column is cut when leaving out was not
	// enough: 0 never, the highest first.
	shrinks int
}

// table is a head and rows of as many cells.
type table struct {
	columns []column
	rows    [][]cell
}

// lines renders the table for a width. Every line fits.
func (t *table) lines(paint palette, width int) []string {
	shown, widths := t.layout(width)
	lines := make([]string, 0, len(t.rows)+1)
	head := make([]cell, len(t.columns))
	for k, c := range t.columns {
		head[k] = cell{c.title, heading}
	}
	for _, row := range append([][]cell{head}, t.rows...) {
		lines = append(lines, t.line(row, shown, widths, paint, width))
	}
	return lines
}

// layout chooses the columns that are shown, and their widths.
func (t *table) layout(width int) (shown, widths []int) {
	widths = make([]int, len(t.columns))
	for k, c := range t.columns {
		widths[k] = utf8.RuneCountInString(c.title)
		for _, row := range t.rows {
			widths[k] = max(widths[k], utf8.RuneCountInString(row[k].text))
		}
		shown = append(shown, k)
	}
	total := func() int {
		sum := len(gap) * (len(shown) - 1)
		for _, k := range shown {
			sum += widths[k]
		}
		return sum
	}
	for k, c := range slices.Backward(t.columns) {
		if c.optional && total() > width {
			shown = slices.DeleteFunc(shown, func(other int) bool { return other == k })
		}
	}
	readily := slices.Clone(shown)
	slices.SortStableFunc(readily, func(a, b int) int { return cmp.Compare(t.columns[b].shrinks, t.columns[a].shrinks) })
	for _, k := range readily {
		if excess := total() - width; excess > 0 && t.columns[k].shrinks > 0 {
			widths[k] = max(widths[k]-excess, min(widths[k], least))
		}
	}
	return shown, widths
}

// line renders one row; what does not fit at its end is cut off.
func (t *table) line(row []cell, shown, widths []int, paint palette, width int) string {
	var text strings.Builder
	used := 0
	for position, k := range shown {
		value := cut(row[k].text, widths[k])
		padding := strings.Repeat(" ", widths[k]-utf8.RuneCountInString(value))
		before, after := "", padding
		if t.columns[k].right {
			before, after = padding, ""
		}
		if position > 0 {
			before = gap + before
		}
		if position == len(shown)-1 {
			after = ""
		}
		room := width - used - len(before)
		if room <= 0 {
			break
		}
		value = cut(value, room)
		used += len(before) + utf8.RuneCountInString(value) + len(after)
		text.WriteString(before + paint.apply(value, row[k].tone) + after)
	}
	return strings.TrimRight(text.String(), " ")
}

// bar draws how much of a whole is used.
func bar(part, whole int64, width int) string {
	filled := 0
	if whole > 0 && part > 0 {
		filled = int(min(part*int64(width)/whole, int64(width)))
		filled = max(filled, 1)
	}
	return strings.Repeat("█", filled) + strings.Repeat("░", width-filled)
}

// percent is a share in whole numbers, rounded up: nothing that costs shows as 0.
func percent(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	return fmt.Sprintf("%d %%", (part*100+whole-1)/whole)
}
