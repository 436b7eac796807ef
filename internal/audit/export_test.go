package audit

import (
	"os"
	"testing"
)

// SetSync replaces what makes files durable, before the first append.
func (l *Log) SetSync(sync func(*os.File) error) { l.writer.sync = sync }

// Waiting is how many entries wait for the disk.
func (l *Log) Waiting() int { return len(l.waiting) }

// WriteTo makes the next append write into another file, while nothing else appends.
func (l *Log) WriteTo(tb testing.TB, path string) {
	tb.Helper()
	other, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		tb.Fatal(err)
	}
	if err := l.writer.file.Close(); err != nil {
		tb.Fatal(err)
	}
	l.writer.file = other
}
