package process

import "bytes"

// FirstLine is a writer that hands on the first line written to it.
type FirstLine struct {
	// Line gets the line, once.
	Line   chan []byte
	buffer []byte
	found  bool
}

// NewFirstLine returns one that waits for its line.
func NewFirstLine() *FirstLine { return &FirstLine{Line: make(chan []byte, 1)} }

// Write implements io.Writer.
func (r *FirstLine) Write(text []byte) (int, error) {
	if r.found {
		return len(text), nil
	}
	r.buffer = append(r.buffer, text...)
	if at := bytes.IndexByte(r.buffer, '\n'); at >= 0 {
		r.found = true
		r.Line <- r.buffer[:at]
	}
	return len(text), nil
}
