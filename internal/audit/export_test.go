package audit

import "os"

// SetSync replaces what makes files durable, before the first append.
func (l *Log) SetSync(sync func(*os.File) error) { l.writer.sync = sync }

// Waiting is how many entries wait for the disk.
func (l *Log) Waiting() int { return len(l.waiting) }
