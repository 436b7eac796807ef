package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// The control sequences in use; every terminal of the last thirty years knows
// them, and those that do not know synchronized output ignore it.
const (
	hideCursor  = "\x1b[?25l"
	showCursor  = "\x1b[?25h"
	beginUpdate = "\x1b[?2026h"
	endUpdate   = "\x1b[?2026l"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// console writes lines for people, and on a terminal a picture below them that
// is drawn again in place. It may be used by several goroutines.
type console struct {
	out io.Writer
	// live is true on a terminal that can move its cursor.
	live bool
	// paint holds the colours, all empty when they are not wanted.
	paint palette
	// broken is called once when nobody reads any more.
	broken func()

	mu      sync.Mutex
	size    func() (width, height int)
	picture string
	// drawn are the lines of the picture on the screen, without colours.
	drawn  []string
	closed bool
}

// newConsole looks at what standard output is.
func newConsole(out *os.File, lookup func(string) (string, bool), broken func()) *console {
	kind, _ := lookup("TERM")
	descriptor := int(out.Fd())
	c := &console{out: out, broken: broken, live: term.IsTerminal(descriptor) && kind != "dumb" && kind != ""}
	c.size = func() (int, int) {
		width, height, err := term.GetSize(descriptor)
		if err != nil || width <= 0 || height <= 0 {
			return 80, 24
		}
		return width, height
	}
	// https://no-color.org: any value that is not empty.
	if value, _ := lookup("NO_COLOR"); c.live && value == "" {
		c.paint = coloured()
	}
	return c
}

// say writes a line above the picture.
func (c *console) say(format string, arguments ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf(format, arguments...)
	if !c.live {
		c.write(text + "\n")
		return
	}
	c.write(beginUpdate + c.back() + strings.ReplaceAll(text, "\n", clearLine+"\n") + clearLine + "\n" + clearBelow)
	c.drawn = nil
	c.redraw()
}

// draw replaces the picture by what render makes of the size of the screen.
func (c *console) draw(render func(width, height int) string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.live || c.closed {
		return
	}
	width, height := c.size()
	// One column and one row stay free: a full last column makes some terminals
	// wrap, and a full last row makes all of them scroll.
	c.picture = render(max(width-1, 1), max(height-1, 1))
	c.write(beginUpdate + hideCursor + c.back())
	c.redraw()
}

// leave ends the picture where it is: what follows is written below it.
func (c *console) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drawn, c.picture = nil, ""
	if c.live {
		c.write(showCursor)
	}
}

func (c *console) close() {
	c.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// back is how the cursor gets to the first line of the picture. A screen that
// became narrower has wrapped the lines that were there.
func (c *console) back() string {
	width, _ := c.size()
	rows := 0
	for _, line := range c.drawn {
		rows += max(1, (visibleLength(line)+width-1)/width)
	}
	if rows == 0 {
		return "\r"
	}
	return fmt.Sprintf("\x1b[%dA\r", rows)
}

// redraw writes the picture at the cursor and ends the update.
func (c *console) redraw() {
	var text strings.Builder
	c.drawn = nil
	if c.picture != "" {
		c.drawn = strings.Split(strings.TrimSuffix(c.picture, "\n"), "\n")
	}
	for _, line := range c.drawn {
		text.WriteString(line + clearLine + "\n")
	}
	c.write(text.String() + clearBelow + endUpdate)
}

func (c *console) write(text string) {
	if _, err := io.WriteString(c.out, text); err != nil && c.broken != nil {
		c.broken()
		c.broken = nil
	}
}
