package audit

import (
	"errors"
	"fmt"
	"os"
)

// expire deletes the files whose youngest record is older than the retention,
// oldest first and never the one that is written. It first records up to where:
// files that go without such a record were removed by somebody else. What cannot
// be deleted is tried again with the next file.
func (w *writer) expire() {
	if err := w.tryExpire(); err != nil {
		w.failed(fmt.Errorf("deleting old audit files: %w", err))
	}
}

func (w *writer) tryExpire() error {
	segments, err := listSegments(w.dir, w.component)
	if err != nil {
		return err
	}
	old := 0
	for old+1 < len(segments) {
		// The youngest record of a file is not younger than the next file's first.
		next, scanErr := firstRecord(segments[old+1].path)
		if scanErr != nil {
			err = scanErr
			break
		}
		if next == nil || w.clock.Now().Sub(next.Time) <= w.retention {
			break
		}
		old++
	}
	if old == 0 {
		return err
	}
	through := segments[old].first - 1
	record := w.own(ActionLogExpired, Details{"through": number(through), "files": Number(int64(old))})
	if putErr := w.put([]*Record{record}); putErr != nil {
		return errors.Join(err, putErr)
	}
	failures := []error{err}
	for _, gone := range segments[:old] {
		failures = append(failures, os.Remove(gone.path))
		if tornErr := os.Remove(gone.path + tornSuffix); !errors.Is(tornErr, os.ErrNotExist) {
			failures = append(failures, tornErr)
		}
	}
	return errors.Join(append(failures, syncDir(w.dir))...)
}

// firstRecord reads the first record of a file, nil when it has none yet.
func firstRecord(path string) (*Record, error) {
	file, err := os.Open(path) //nolint:gosec // a file of the configured directory
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() //nolint:errcheck // it was only read
	first, err := newLineReader(file).next()
	if err != nil {
		return nil, nil //nolint:nilnil // an empty file has no record yet
	}
	record, err := DecodeRecord(first.text)
	if err != nil {
		return nil, fmt.Errorf("the age of %s cannot be told: %w", path, err)
	}
	return &record, nil
}
