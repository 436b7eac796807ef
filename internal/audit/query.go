package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Query selects records of a log.
type Query struct {
	// Since keeps records whose time, as "2006-01-02T15:04:05.000Z", is not
	// before this text, compared as text, as the legacy system did; empty for all.
	Since string
	// Action keeps records of this action; empty for all.
	Action string
	// Limit and Offset cut a page out of what is left, youngest first.
	Limit, Offset int
}

// Page is a part of a log, youngest record first. It is not verified.
type Page struct {
	// Total is how many records the query selects, whatever the page.
	Total int
	// Records are those of the page.
	Records []Record
}

// TimeText is the time of a record as the legacy system wrote it, which is also
// how it is in the file.
func (r *Record) TimeText() string { return r.Time.Format(timeLayout) }

// Query reads a page of this log from its files, without the log's records about
// itself. It reads all files, which takes about a second for 200,000 records, and
// holds no more than Offset+Limit records.
func (l *Log) Query(ctx context.Context, query Query) (Page, error) {
	segments, err := listSegments(l.writer.dir, l.writer.component)
	if err != nil {
		return Page{}, err
	}
	want := max(query.Offset, 0) + max(query.Limit, 0)
	page := Page{}
	var youngest []Record
	for _, each := range segments {
		err := eachRecord(ctx, each.path, func(record *Record) {
			if !query.selects(record) {
				return
			}
			page.Total++
			if want == 0 {
				return
			}
			if len(youngest) >= 2*want {
				youngest = append(youngest[:0], youngest[len(youngest)-want:]...)
			}
			youngest = append(youngest, *record)
		})
		// Retention may delete a file meanwhile.
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return Page{}, err
		}
	}
	for k := len(youngest) - 1 - max(query.Offset, 0); k >= 0 && len(page.Records) < query.Limit; k-- {
		page.Records = append(page.Records, youngest[k])
	}
	return page, nil
}

// selects is true for a record that the query is after.
func (q *Query) selects(record *Record) bool {
	return !strings.HasPrefix(record.Action, internalPrefix) &&
		(q.Action == "" || q.Action == record.Action) &&
		(q.Since == "" || record.TimeText() >= q.Since)
}

// eachRecord calls back for every line of a file that has the form of a record.
func eachRecord(ctx context.Context, path string, call func(*Record)) error {
	file, err := os.Open(path) //nolint:gosec // a file of the configured directory
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	defer func() { _ = file.Close() }() //nolint:errcheck // it was only read
	for lines := newLineReader(file); ; {
		next, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("reading the audit log: %w", err)
		}
		if record, err := DecodeRecord(next.text); err == nil && next.whole {
			call(&record)
		}
	}
}
