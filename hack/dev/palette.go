package main

import (
	"strings"
	"unicode/utf8"
)

// tone is what a cell means; the palette says how that looks.
type tone int

const (
	plain tone = iota
	heading
	good
	waiting
	bad
	faint
)

// palette maps tones to control sequences. The zero palette has no colours.
type palette struct {
	codes map[tone]string
}

// coloured is a palette of the eight basic colours, which follow the theme of
// the terminal.
func coloured() palette {
	return palette{codes: map[tone]string{
		heading: "\x1b[1m", good: "\x1b[32m", waiting: "\x1b[33m", bad: "\x1b[31m", faint: "\x1b[2m",
	}}
}

// apply paints a text.
func (p palette) apply(text string, meaning tone) string {
	code := p.codes[meaning]
	if code == "" || text == "" {
		return text
	}
	return code + text + "\x1b[0m"
}

// visibleLength counts the columns of a line, without control sequences.
func visibleLength(line string) int {
	length := 0
	for rest := line; rest != ""; {
		if strings.HasPrefix(rest, "\x1b[") {
			end := strings.IndexByte(rest, 'm')
			if end < 0 {
				return length
			}
			rest = rest[end+1:]
			continue
		}
		_, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		length++
	}
	return length
}

// cut shortens a text to a number of columns and marks that it did.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	if width <= 1 {
		return string([]rune(text)[:max(width, 0)])
	}
	return string([]rune(text)[:width-1]) + "…"
}

// wrapped breaks a sentence into lines of at most width columns; a word that
// is longer is cut.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		word = cut(word, width)
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
