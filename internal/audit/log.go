package audit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Defaults of Options.
const (
	// DefaultMaxBytes is the size from which a file is followed by a new one.
	DefaultMaxBytes = 16 << 20
	// DefaultMaxAge is the age from which a file is followed by a new one.
	DefaultMaxAge = 24 * time.Hour
	// DefaultRetention is how long records are kept: 90 days, as in the legacy system.
	DefaultRetention = 90 * 24 * time.Hour
)

// Options say where and how a log is kept.
type Options struct {
	// Dir is the directory of the files; it is made when it is missing. One
	// process at a time writes the log of a component in it.
	Dir string
	// Component is the name of the log in the directory: 1 to 32 lower-case
	// letters, digits and hyphens, such as "manager".
	Component string
	// Salt is the value of AUDIT_SALT.
	Salt string
	// MaxBytes and MaxAge rotate files, Retention deletes them. Zero is the default.
	MaxBytes          int64
	MaxAge, Retention time.Duration
	// Standby leaves the files alone until the first record, or Ready: for a
	// process that waits while another one writes them.
	Standby bool
	// Secrets are values that must never appear. RegisterSecrets adds more.
	Secrets []string
	// Clock tells the time of records; nil is the real one.
	Clock clock.PassiveClock
	// Observer is told what was written; nil for nobody.
	Observer Observer
}

// Observer counts records. It is called by the log's own goroutine and by those
// of Note's callers, and must not block, nor call the log.
type Observer interface {
	// Recorded is called for every record that is durable.
	Recorded(record *Record)
	// Failed is called for every entry that could not be recorded, and with
	// entry nil when something else failed, such as the deletion of an old file.
	Failed(entry *Entry, err error)
}

// Errors of Append and Note.
var (
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("the audit log is closed")
	// ErrBusy: Note found too many records waiting for the disk.
	ErrBusy = errors.New("too many audit records wait for the disk")
	// ErrInvalidEntry: the entry has no action or outcome, or an actor that is no fingerprint.
	ErrInvalidEntry = errors.New("this cannot be an audit record")
	// ErrLocked: another process writes this log.
	ErrLocked = errors.New("another process writes this audit log")
)

const (
	// maxWaiting bounds how many entries wait for the disk, and maxBatch how
	// many records one fsync makes durable.
	maxWaiting = 4096
	maxBatch   = 512
)

var errBadOption = errors.New("the audit log cannot be kept so")

// Log is an append-only audit log of one component. It is safe for concurrent use.
type Log struct {
	salt     string
	redactor *redactor
	observer Observer
	writer   *writer

	waiting chan *pendingEntry
	opening chan chan error
	quit    chan struct{}
	stopped chan struct{}
	closing sync.Once

	mu      sync.Mutex
	head    Head
	trouble error
}

// pendingEntry is one entry on its way to the disk.
type pendingEntry struct {
	entry  Entry
	record Record
	err    error
	// done is closed when record or err is set.
	done chan struct{}
}

// Open opens a log, or starts one, and a goroutine that writes it until Close.
// The error is about the options only, and wraps ErrWeakSalt for the salt: a
// directory that cannot be written now shows in Err and in every Append, which
// tries again, so that a full disk does not keep a program from starting.
func Open(options Options) (*Log, error) { //nolint:gocritic // options are read once
	if err := options.check(); err != nil {
		return nil, err
	}
	key, err := deriveKey(options.Salt)
	if err != nil {
		return nil, err
	}
	l := &Log{
		salt: options.Salt, redactor: newRedactor(), observer: options.Observer,
		writer:  newWriter(&options, key),
		waiting: make(chan *pendingEntry, maxWaiting), opening: make(chan chan error), quit: make(chan struct{}), stopped: make(chan struct{}),
	}
	l.redactor.register(append([]string{options.Salt}, options.Secrets...))
	l.writer.failed = func(err error) { l.failed(nil, err) }
	l.writer.recorded = l.recorded
	if !options.Standby {
		l.note(l.writer.ready())
	}
	go l.run()
	return l, nil
}

func (o *Options) check() error {
	if o.Dir == "" {
		return fmt.Errorf("%w: it has no directory", errBadOption)
	}
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`).MatchString(o.Component) {
		return fmt.Errorf("%w: component %q: use 1 to 32 lower-case letters, digits and hyphens", errBadOption, o.Component)
	}
	if o.MaxBytes < 0 || o.MaxAge < 0 || o.Retention < 0 {
		return fmt.Errorf("%w: sizes and ages must not be negative", errBadOption)
	}
	return CheckSalt(o.Salt)
}

// Ready opens the files of a log that stood by, or tries again to, and says
// whether it can be written. It blocks for that long.
func (l *Log) Ready(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case l.opening <- answer:
		return <-answer
	case <-l.stopped:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("opening the audit log: %w", ctx.Err())
	}
}

// Append records an entry and returns when the record is durable. It blocks for
// an fsync; appends that come meanwhile share the next one. When ctx ends first,
// the record may or may not be written later.
func (l *Log) Append(ctx context.Context, entry *Entry) (Record, error) {
	pending, err := l.prepare(entry)
	if err != nil {
		return Record{}, err
	}
	select {
	case l.waiting <- pending:
	case <-l.quit:
		return Record{}, ErrClosed
	case <-ctx.Done():
		return Record{}, fmt.Errorf("waiting to write the audit record: %w", ctx.Err())
	}
	select {
	case <-pending.done:
		return pending.record, pending.err
	case <-l.stopped:
	case <-ctx.Done():
		return Record{}, fmt.Errorf("waiting for the audit record to be durable: %w", ctx.Err())
	}
	select {
	case <-pending.done:
		return pending.record, pending.err
	default:
		return Record{}, ErrClosed
	}
}

// Note records an entry without waiting for it: for acts that must go on even
// when the log cannot be written. Only the observer learns of a later failure; an
// error here means that the entry is lost, and the observer is told as well.
func (l *Log) Note(entry *Entry) error {
	pending, err := l.prepare(entry)
	if err == nil {
		select {
		case <-l.quit:
			err = ErrClosed
		default:
			select {
			case l.waiting <- pending:
				return nil
			default:
				err = ErrBusy
			}
		}
	}
	if pending != nil {
		entry = &pending.entry
	}
	l.failed(entry, err)
	return err
}

// prepare checks, redacts and bounds an entry in the caller's own time.
func (l *Log) prepare(entry *Entry) (*pendingEntry, error) {
	if entry.Action == "" || entry.Outcome == "" {
		return nil, fmt.Errorf("%w: it needs an action and an outcome", ErrInvalidEntry)
	}
	if !entry.Actor.isValid() {
		return nil, fmt.Errorf("%w: its actor is not a fingerprint; use Log.Fingerprint", ErrInvalidEntry)
	}
	return &pendingEntry{entry: l.redactor.entry(entry), done: make(chan struct{})}, nil
}

// Fingerprint returns the fingerprint of a key as it was sent, empty for an empty one.
func (l *Log) Fingerprint(key string) Fingerprint { return FingerprintOf(l.salt, key) }

// RegisterSecrets adds values that must never appear in a record: when a key is
// learnt or changed. Values of fewer than 6 characters are ignored.
func (l *Log) RegisterSecrets(values ...string) { l.redactor.register(values) }

// Head returns the last durable record's head, zero before the first one.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Err says why the last record could not be written, nil when it could.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble
}

// Close writes what waits, closes the file and lets another process write. It
// returns what was in the way of the last record.
func (l *Log) Close() error {
	l.closing.Do(func() { close(l.quit) })
	<-l.stopped
	return l.Err()
}

// note remembers whether the log can be written.
func (l *Log) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble, l.head = err, l.writer.head
}

func (l *Log) failed(entry *Entry, err error) {
	if l.observer != nil {
		l.observer.Failed(entry, err)
	}
}

func (l *Log) recorded(record *Record) {
	if l.observer != nil {
		l.observer.Recorded(record)
	}
}

// run writes batches until the log is closed.
func (l *Log) run() {
	defer close(l.stopped)
	defer l.writer.close()
	for {
		select {
		case first := <-l.waiting:
			l.commit(first)
		case answer := <-l.opening:
			err := l.writer.ready()
			l.note(err)
			answer <- err
		case <-l.quit:
			for {
				select {
				case first := <-l.waiting:
					l.commit(first)
				default:
					return
				}
			}
		}
	}
}

// commit writes everything that waits, up to a bound, with one fsync, and
// answers the callers only then.
func (l *Log) commit(first *pendingEntry) {
	batch := []*pendingEntry{first}
gather:
	for len(batch) < maxBatch {
		select {
		case next := <-l.waiting:
			batch = append(batch, next)
		default:
			break gather
		}
	}
	records := make([]*Record, len(batch))
	for k, pending := range batch {
		e := &pending.entry
		pending.record = Record{Actor: e.Actor, Peer: e.Peer, Route: e.Route, Action: e.Action, Outcome: e.Outcome, Details: e.Details}
		records[k] = &pending.record
	}
	err := l.writer.write(records)
	l.note(err)
	for _, pending := range batch {
		if pending.err = err; err != nil {
			pending.record = Record{}
			l.failed(&pending.entry, err)
		}
		close(pending.done)
	}
}
