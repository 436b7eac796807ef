package audit

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/utils/clock"
)

// writer owns the files of a log. Only one goroutine uses it.
type writer struct {
	dir, component    string
	maxBytes          int64
	maxAge, retention time.Duration
	clock             clock.PassiveClock
	seal              *sealer
	// sync makes a file durable; tests put something slow or broken here.
	sync func(*os.File) error
	// failed and recorded tell the observer.
	failed   func(error)
	recorded func(*Record)

	lock *os.File
	// file is the one that is written, nil while there is none: then the next
	// write looks for the end of the log again.
	file *os.File
	// size is how much of it is durable, firstAt the time of its first record.
	size    int64
	firstAt time.Time
	log     string
	head    Head
	// opening begins a log or a chain, owed are other records about the log; they
	// are still to be written.
	opening *Record
	owed    []*Record
	buffer  []byte
}

func newWriter(options *Options, key signingKey) *writer {
	w := &writer{
		dir: options.Dir, component: options.Component, maxBytes: options.MaxBytes, maxAge: options.MaxAge,
		retention: options.Retention, clock: options.Clock, seal: newSealer(key), sync: (*os.File).Sync,
	}
	if w.clock == nil {
		w.clock = clock.RealClock{}
	}
	if w.maxBytes == 0 {
		w.maxBytes = DefaultMaxBytes
	}
	if w.maxAge == 0 {
		w.maxAge = DefaultMaxAge
	}
	if w.retention == 0 {
		w.retention = DefaultRetention
	}
	return w
}

// write makes records durable, in their order, or none of those that it can take back.
func (w *writer) write(records []*Record) error {
	if err := w.ready(); err != nil {
		return err
	}
	if w.isDue() {
		if err := w.rotate(); err != nil {
			// The old file is as good as a new one.
			w.failed(err)
		} else {
			w.expire()
		}
	}
	return w.put(records)
}

var errFileGone = errors.New("somebody else replaced or changed the audit file that was being written")

// ready finds the end of the log and opens its last file, unless that was done.
func (w *writer) ready() error {
	if w.file != nil && !w.isInPlace() {
		w.failed(errFileGone)
		w.letGo()
	}
	if w.file != nil {
		return nil
	}
	if err := os.MkdirAll(w.dir, directoryMode); err != nil {
		return fmt.Errorf("making the audit directory: %w", err)
	}
	if w.lock == nil {
		lock, err := lockFile(filepath.Join(w.dir, filePrefix+w.component+lockSuffix))
		if err != nil {
			return err
		}
		w.lock = lock
	}
	if err := w.resume(); err != nil {
		w.letGo()
		return err
	}
	if err := w.putOwn(); err != nil {
		w.letGo()
		return err
	}
	w.expire()
	return nil
}

// putOwn writes what the log has to say about itself.
func (w *writer) putOwn() error {
	var records []*Record
	if w.opening != nil {
		records = append(records, w.opening)
	}
	if records = append(records, w.owed...); len(records) == 0 {
		return nil
	}
	if err := w.put(records); err != nil {
		return err
	}
	w.opening, w.owed = nil, nil
	return nil
}

// isInPlace is false when the file was deleted or replaced under its name, or has
// another size than we left it with.
func (w *writer) isInPlace() bool {
	open, err := w.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(w.file.Name())
	return err == nil && os.SameFile(open, named) && open.Size() == w.size
}

// tail is where a log goes on.
type tail struct {
	path string
	scan scan
}

// resume opens the file behind the last record, or starts a file or a log.
func (w *writer) resume() error {
	w.opening = nil
	end, err := w.findTail()
	if err != nil {
		return err
	}
	switch {
	case end == nil && w.head.IsZero():
		return w.start()
	case end == nil || end.scan.last.Sequence < w.head.Sequence:
		// Records that were durable are gone. The chain goes on from what we
		// know, so that the verification shows the gap.
		w.failed(fmt.Errorf("%w: records up to %d were written", errRecordsGone, w.head.Sequence))
		return w.create()
	}
	last := end.scan.last
	w.log, w.head = last.Log, last.head()
	if last.Key != w.seal.key.id {
		w.opening = w.own(ActionLogSaltChanged, Details{"oldChain": Text(last.Key), "oldHead": Text(last.Hash), "oldSequence": number(last.Sequence)})
		return w.create()
	}
	file, err := os.OpenFile(end.path, os.O_WRONLY|os.O_APPEND, fileMode)
	if err != nil {
		return fmt.Errorf("opening the audit file: %w", err)
	}
	// What an earlier process wrote may not have been synced.
	if err = file.Sync(); err != nil {
		_ = file.Close() //nolint:errcheck // it failed already
		return fmt.Errorf("making the audit file durable: %w", err)
	}
	w.file, w.size, w.firstAt = file, end.scan.good, end.scan.first.Time
	return nil
}

var errRecordsGone = errors.New("the end of the audit log is gone")

// findTail looks for the last record, newest file first, and sets aside what was
// torn behind it. It returns nil for a log without records.
func (w *writer) findTail() (*tail, error) {
	segments, err := listSegments(w.dir, w.component)
	if err != nil {
		return nil, err
	}
	for _, each := range slices.Backward(segments) {
		path := each.path
		found, scanErr := scanSegment(path, w.seal)
		if scanErr != nil {
			return nil, scanErr
		}
		if found.size > found.good {
			count, tornErr := setAside(path, found.good)
			if tornErr != nil {
				return nil, tornErr
			}
			w.owed = append(w.owed, w.own(ActionLogRecovered, Details{"file": Text(filepath.Base(path) + tornSuffix), "bytes": Number(count)}))
		}
		if found.last != nil {
			return &tail{path: path, scan: found}, nil
		}
		if err = os.Remove(path); err != nil {
			return nil, fmt.Errorf("removing an audit file without records: %w", err)
		}
	}
	return nil, nil //nolint:nilnil // a log without records is no error
}

// start begins a new log.
func (w *writer) start() error {
	var name [idDigits / 2]byte
	_, _ = rand.Read(name[:])
	w.log = hex.EncodeToString(name[:])
	w.opening = w.own(ActionLogStarted, Details{"component": Text(w.component)})
	return w.create()
}

// create makes the file of the next record.
func (w *writer) create() error {
	path := filepath.Join(w.dir, segmentName(w.component, w.head.Sequence+1))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, fileMode) //nolint:gosec // a file of the configured directory
	if err != nil {
		return fmt.Errorf("making an audit file: %w", err)
	}
	if err = syncDir(w.dir); err != nil {
		return errors.Join(err, file.Close(), os.Remove(path))
	}
	if w.file != nil {
		_ = w.file.Close() //nolint:errcheck // everything in it is durable
	}
	w.file, w.size, w.firstAt = file, 0, time.Time{}
	return nil
}

// isDue is true when the file is large or old enough to be followed by another.
func (w *writer) isDue() bool {
	return w.size >= w.maxBytes || (w.size > 0 && w.clock.Now().Sub(w.firstAt) >= w.maxAge)
}

// rotate goes on in a new file. The chain goes on with it.
func (w *writer) rotate() error { return w.create() }

// own is a record about the log itself.
func (w *writer) own(action string, details Details) *Record {
	return &Record{Action: action, Outcome: OutcomeOK, Details: details}
}

// put appends records behind the head and returns when they are durable.
func (w *writer) put(records []*Record) error {
	head, firstAt := w.head, w.firstAt
	w.buffer = w.buffer[:0]
	for _, record := range records {
		record.Log, record.Sequence, record.Previous = w.log, head.Sequence+1, head.Hash
		if head.IsZero() {
			record.Previous = firstPrevious()
		}
		record.Time = w.clock.Now().UTC().Truncate(time.Millisecond)
		if record.Time.Before(head.Time) {
			record.Time = head.Time
		}
		var err error
		if w.buffer, err = w.seal.seal(w.buffer, record); err != nil {
			return err
		}
		head = record.head()
		if firstAt.IsZero() {
			firstAt = record.Time
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.size, w.head, w.firstAt = w.size+int64(len(w.buffer)), head, firstAt
	for _, record := range records {
		w.recorded(record)
	}
	return nil
}

// flush writes and syncs the buffer. When that fails it takes back what it wrote:
// no caller was told that it is durable.
func (w *writer) flush() error {
	_, err := w.file.Write(w.buffer)
	if err != nil {
		if undoErr := w.file.Truncate(w.size); undoErr != nil {
			w.letGo()
		}
		return fmt.Errorf("writing the audit log: %w", err)
	}
	//warmpool:gate audit-synced-before-the-answer
	if err = w.sync(w.file); err != nil {
		// After a failed sync nothing is known about what is on the disk: the
		// next write reads it again.
		w.letGo()
		return fmt.Errorf("making the audit log durable: %w", err)
	}
	return nil
}

// letGo closes the file; the next write looks for the end of the log again.
func (w *writer) letGo() {
	if w.file != nil {
		_ = w.file.Close() //nolint:errcheck // what counts was synced
		w.file = nil
	}
}

// close ends the writing, and the lock.
func (w *writer) close() {
	w.letGo()
	if w.lock != nil {
		_ = w.lock.Close() //nolint:errcheck // nothing was written
		w.lock = nil
	}
}

// number is a sequence as a detail.
func number(sequence uint64) Value { return Number(int64(sequence)) } //nolint:gosec // far below the limit
