package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// screen is a small terminal: it does what the control sequences in use ask for.
type screen struct {
	t        *testing.T
	lines    []string
	row      int
	column   int
	hidden   bool
	updating bool
}

// Write implements io.Writer.
func (s *screen) Write(text []byte) (int, error) {
	for rest := string(text); rest != ""; {
		var size int
		switch {
		case strings.HasPrefix(rest, "\x1b["):
			size = strings.IndexFunc(rest[2:], func(r rune) bool { return r >= 'A' && r <= 'z' }) + 3
			s.control(rest[2:size])
		case rest[0] == '\n':
			size, s.row, s.column = 1, s.row+1, 0
		case rest[0] == '\r':
			size, s.column = 1, 0
		default:
			r := []rune(rest)[0]
			size = len(string(r))
			s.put(r)
		}
		rest = rest[size:]
	}
	return len(text), nil
}

func (s *screen) put(r rune) {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, "")
	}
	line := []rune(s.lines[s.row])
	for len(line) <= s.column {
		line = append(line, ' ')
	}
	line[s.column] = r
	s.lines[s.row] = string(line)
	s.column++
}

func (s *screen) control(sequence string) {
	var up int
	switch sequence {
	case "K":
		if s.row < len(s.lines) {
			s.lines[s.row] = string([]rune(s.lines[s.row])[:min(s.column, len([]rune(s.lines[s.row])))])
		}
	case "J":
		s.lines = s.lines[:min(s.row, len(s.lines))]
	case "?25l", "?25h":
		s.hidden = sequence == "?25l"
	case "?2026h", "?2026l":
		s.updating = sequence == "?2026h"
	default:
		if _, err := fmt.Sscanf(sequence, "%dA", &up); err != nil || up == 0 || up > s.row {
			s.t.Fatalf("control sequence %q at row %d", sequence, s.row)
		}
		s.row -= up
	}
}

func (s *screen) text() []string { return s.lines }

func TestConsoleDrawsInPlaceAndSpeaksAbove(t *testing.T) {
	terminal := &screen{t: t}
	c := &console{out: terminal, live: true, size: func() (int, int) { return 80, 24 }}
	picture := func(lines ...string) func(int, int) string {
		return func(int, int) string { return strings.Join(lines, "\n") + "\n" }
	}
	c.say("hello")
	c.draw(picture("a long first line", "b", "c"))
	if !terminal.hidden {
		t.Error("the cursor jumps about")
	}
	c.draw(picture("short", "b2"))
	c.say("two\nlines")
	c.draw(picture("d", "e", "f", "g"))
	if diff := cmp.Diff([]string{"hello", "two", "lines", "d", "e", "f", "g"}, terminal.text()); diff != "" {
		t.Error(diff)
	}
	c.leave()
	c.say("bye")
	if diff := cmp.Diff([]string{"hello", "two", "lines", "d", "e", "f", "g", "bye"}, terminal.text()); diff != "" {
		t.Error(diff)
	}
	if terminal.hidden || terminal.updating {
		t.Error("the terminal is left without a cursor, or in an update")
	}
}

func TestConsoleCountsWrappedLinesOfANarrowerScreen(t *testing.T) {
	c := &console{live: true, size: func() (int, int) { return 10, 24 }, drawn: []string{"0123456789", "0123456789a", "", coloured().apply("0123456789", good)}}
	if got := c.back(); got != "\x1b[5A\r" {
		t.Errorf("got %q, want five rows up", got)
	}
}

func TestConsoleIntoAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := newConsole(file, environment(map[string]string{"TERM": "xterm"}), nil)
	c.say("plain %d", 1)
	c.draw(func(int, int) string { return "picture\n" })
	c.close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != "plain 1\n" || c.live || c.paint.codes != nil {
		t.Errorf("got %q, live %v", text, c.live)
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestConsoleEndsTheRunWhenNobodyReads(t *testing.T) {
	calls := 0
	c := &console{out: closedPipe{}, broken: func() { calls++ }}
	c.say("one")
	c.say("two")
	if calls != 1 {
		t.Errorf("asked %d times to end, want once", calls)
	}
}

func TestWrapped(t *testing.T) {
	for name, test := range map[string]struct {
		text  string
		width int
		want  []string
	}{
		"nothing":     {"", 5, nil},
		"fits":        {"a b", 5, []string{"a b"}},
		"breaks":      {"aa bb cc", 5, []string{"aa bb", "cc"}},
		"long word":   {"abcdefgh i", 5, []string{"abcd…", "i"}},
		"one column":  {"ab c", 1, []string{"a", "c"}},
		"many blanks": {"  a \n b ", 9, []string{"a b"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, wrapped(test.text, test.width)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
