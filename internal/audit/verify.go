package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// VerifyOptions say what is verified and against what.
type VerifyOptions struct {
	// Dir is the directory of the files.
	Dir string
	// Component names the log in it; empty when there is only one.
	Component string
	// Salts are the values that AUDIT_SALT has had, in any order.
	Salts []string
	// Head is a head that was published earlier, nil for none. Without it, nobody
	// can tell that the end was cut off.
	Head *Head
	// AcceptUnknownSalts lets records under a salt that is not given pass when a
	// later record under one that is given vouches for them by the chain of hashes.
	AcceptUnknownSalts bool
}

// Problem is what is wrong with a log.
type Problem string

// Problems.
const (
	// ProblemAltered: the line is not what was written.
	ProblemAltered Problem = "Altered"
	// ProblemRemoved: records are missing before this one.
	ProblemRemoved Problem = "Removed"
	// ProblemReordered: the record stands in the wrong place, or twice.
	ProblemReordered Problem = "Reordered"
	// ProblemChain: the record follows another one than the one before it.
	ProblemChain Problem = "ChainBroken"
	// ProblemUnknownSalt: the record was signed under a salt that was not given.
	ProblemUnknownSalt Problem = "UnknownSalt"
	// ProblemTailRemoved: the log ends before the published head.
	ProblemTailRemoved Problem = "TailRemoved"
	// ProblemHeadMismatch: the published record was another one.
	ProblemHeadMismatch Problem = "HeadMismatch"
)

// Broken is the first thing that is wrong.
type Broken struct {
	// File and Line say where, from 1. For a removed end it is where the log now ends.
	File string
	Line int
	// Sequence is that of the record that is wrong, as far as that is known.
	Sequence uint64
	// Problem is what is wrong, Message says it for people.
	Problem Problem
	Message string
}

// Report is what a verification found.
type Report struct {
	// Component and Log name the log.
	Component, Log string
	// Files, Records and Chains count what was verified. A chain is what was
	// written under one salt.
	Files, Records, Chains int
	// First is the sequence of the oldest record, written at FirstTime. What was
	// before it was let go by age.
	First     uint64
	FirstTime time.Time
	// Last is the youngest record that was verified.
	Last Head
	// UnknownSalts counts records that were accepted without their salt.
	UnknownSalts int
	// TornBytes is the size of an unfinished last line: a crash left it, or it is
	// being written. No caller was told that it is durable.
	TornBytes int64
	// TornFiles are those in which unfinished ends were set aside.
	TornFiles []string
	// HeadIsOlder is true when the published head was let go by age, so that it
	// could not be compared.
	HeadIsOlder bool
	// Broken is the first thing that is wrong; nil for nothing.
	Broken *Broken
}

// Errors of Verify.
var (
	// ErrNoLog: there is no log of that name.
	ErrNoLog = errors.New("there is no audit log to verify")
	// ErrNoSalt: without the salt nothing can be verified.
	ErrNoSalt = errors.New("the audit log cannot be verified without its salt")
)

// Verify reads a log from its oldest record to its end and stops at the first
// thing that is wrong, which the report names. An error means that the log could
// not be read. It holds one line at a time.
func Verify(ctx context.Context, options VerifyOptions) (Report, error) { //nolint:gocritic // options are read once
	v, segments, err := newVerifier(&options)
	if err != nil {
		return Report{}, err
	}
	source := &lineSource{segments: segments}
	defer source.close()
	for v.report.Broken == nil {
		next, err := source.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return v.report, err
		}
		if v.isTorn(source, &next) {
			break
		}
		if err := v.step(ctx, source, &next); err != nil {
			return v.report, err
		}
	}
	if v.report.Broken == nil {
		v.finish()
	}
	return v.report, nil
}

// verifier walks along a log.
type verifier struct {
	options *VerifyOptions
	seals   map[string]*sealer
	report  Report
	// before is the record before the present one, nil at the beginning; at is
	// where it is.
	before *Record
	at     place
	// firstAt is where the oldest record is.
	firstAt place
	// expired is up to where the log says that it let records go.
	expired uint64
	// unvouched is the first record under an unknown salt that nothing vouches for yet.
	unvouched *Broken
}

// place is where a line is.
type place struct {
	file string
	line int
}

func newVerifier(options *VerifyOptions) (*verifier, []segment, error) {
	component, err := componentOf(options)
	if err != nil {
		return nil, nil, err
	}
	segments, err := listSegments(options.Dir, component)
	if err != nil {
		return nil, nil, err
	}
	if len(segments) == 0 && options.Head == nil {
		return nil, nil, fmt.Errorf("%w: %s holds no files named %s%s-<number>%s", ErrNoLog, options.Dir, filePrefix, component, fileSuffix)
	}
	v := &verifier{options: options, report: Report{Component: component}}
	if v.seals, err = sealersOf(options.Salts); err != nil {
		return nil, nil, err
	}
	v.report.TornFiles, err = filepath.Glob(filepath.Join(options.Dir, filePrefix+component+"-*"+tornSuffix))
	return v, segments, err
}

// componentOf is the component that is asked for, or the only one.
func componentOf(options *VerifyOptions) (string, error) {
	if options.Component != "" {
		return options.Component, nil
	}
	components, err := listComponents(options.Dir)
	if err != nil {
		return "", err
	}
	switch len(components) {
	case 0:
		return "", fmt.Errorf("%w: %s holds no files named %s<component>-<number>%s", ErrNoLog, options.Dir, filePrefix, fileSuffix)
	case 1:
		return components[0], nil
	default:
		return "", fmt.Errorf("%w: %s holds those of %s: name one with --component", ErrNoLog, options.Dir, strings.Join(components, ", "))
	}
}

// sealersOf derives the keys of the salts, by their names.
func sealersOf(salts []string) (map[string]*sealer, error) {
	seals := map[string]*sealer{}
	for _, salt := range salts {
		if salt == "" {
			continue
		}
		key, err := deriveKey(salt)
		if err != nil {
			return nil, err
		}
		seals[key.id] = newSealer(key)
	}
	if len(seals) == 0 {
		return nil, fmt.Errorf("%w: set %s, or give --salt-file", ErrNoSalt, SaltVariable)
	}
	return seals, nil
}

// lineSource reads the lines of all files.
type lineSource struct {
	segments []segment
	// index is that of the file after the open one.
	index int
	file  *os.File
	lines *lineReader
}

// next returns the next line of the next file that has one, or io.EOF.
func (s *lineSource) next(ctx context.Context) (line, error) {
	if err := ctx.Err(); err != nil {
		return line{}, err
	}
	for {
		if s.file == nil {
			if s.index == len(s.segments) {
				return line{}, io.EOF
			}
			file, err := os.Open(s.segments[s.index].path)
			if err != nil {
				return line{}, fmt.Errorf("reading the audit log: %w", err)
			}
			s.index++
			s.file, s.lines = file, newLineReader(file)
		}
		next, err := s.lines.next()
		if err == nil {
			return next, nil
		}
		if !errors.Is(err, io.EOF) {
			return line{}, fmt.Errorf("reading the audit log: %w", err)
		}
		s.close()
	}
}

func (s *lineSource) close() {
	if s.file != nil {
		_ = s.file.Close() //nolint:errcheck // it was only read
		s.file = nil
	}
}

// segment is the open file's.
func (s *lineSource) segment() *segment { return &s.segments[s.index-1] }

func (s *lineSource) isLast() bool { return s.index == len(s.segments) }

// isTorn takes in an unfinished last line, which is no breakage.
func (v *verifier) isTorn(source *lineSource, next *line) bool {
	if next.whole || !source.isLast() {
		return false
	}
	v.report.TornBytes = next.end - next.start
	return true
}

// step verifies one line.
func (v *verifier) step(ctx context.Context, source *lineSource, next *line) error {
	at := place{file: source.segment().path, line: next.number}
	record, isSigned := readSigned(next.text, v.seals)
	isRecord := isSigned && next.whole
	if !isRecord {
		record, isRecord = v.decode(source, at, next)
	}
	if !isRecord {
		return nil
	}
	if broken := v.checkSignature(next.text, &record, isSigned); broken != nil {
		v.breaks(at, record.Sequence, broken.Problem, broken.Message)
		return nil
	}
	if record.Sequence != v.expected(source) {
		return v.misplaced(ctx, source, at, &record)
	}
	if broken := v.checkChain(&record); broken != nil {
		v.breaks(at, record.Sequence, broken.Problem, broken.Message)
		return nil
	}
	v.accept(at, &record)
	return nil
}

// decode reads a line, and says what is wrong with its form.
func (v *verifier) decode(source *lineSource, at place, next *line) (Record, bool) {
	record, err := DecodeRecord(next.text)
	switch {
	case err != nil:
		v.breaks(at, v.expected(source), ProblemAltered, "The line was altered: "+err.Error()+".")
	case !next.whole:
		v.breaks(at, record.Sequence, ProblemAltered, "The line feed at the end of the file was removed.")
	default:
		return record, true
	}
	return Record{}, false
}

// expected is the sequence that has to come next.
func (v *verifier) expected(source *lineSource) uint64 {
	if v.before == nil {
		return source.segment().first
	}
	return v.before.Sequence + 1
}

// checkSignature looks at the signature, under whichever salt it is, unless that
// was done.
func (v *verifier) checkSignature(text []byte, record *Record, isSigned bool) *Broken {
	opensChain := v.before == nil || record.Action == ActionLogSaltChanged
	if v.before != nil && record.Key != v.before.Key && !opensChain {
		return &Broken{Problem: ProblemAltered, Message: "The line names another signing key than the line before, without a record of the change: it was altered or put in."}
	}
	seal, known := v.seals[record.Key]
	switch {
	case !known && !v.options.AcceptUnknownSalts:
		return &Broken{Problem: ProblemUnknownSalt, Message: fmt.Sprintf("The record was signed under another AUDIT_SALT than those given (key %s). Give the earlier one with --salt-file, or accept what a later record vouches for with --accept-unknown-salts.", record.Key)}
	case known && !isSigned && !seal.isSigned(text):
		return &Broken{Problem: ProblemAltered, Message: "The line was altered: its signature does not fit."}
	default:
		return nil
	}
}

// misplaced tells a removed record from a moved one, by looking whether the
// missing one comes later.
func (v *verifier) misplaced(ctx context.Context, source *lineSource, at place, record *Record) error {
	want := v.expected(source)
	if record.Sequence < want {
		v.breaks(at, record.Sequence, ProblemReordered, fmt.Sprintf("Record %d stands where record %d belongs: it was moved or copied.", record.Sequence, want))
		return nil
	}
	for {
		later, err := source.next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if found, err := DecodeRecord(later.text); err == nil && found.Sequence == want {
			v.breaks(at, record.Sequence, ProblemReordered, fmt.Sprintf("Record %d stands before record %d: lines were swapped or moved.", record.Sequence, want))
			return nil
		}
	}
	missing := fmt.Sprintf("Record %d was", want)
	if record.Sequence > want+1 {
		missing = fmt.Sprintf("Records %d to %d were", want, record.Sequence-1)
	}
	v.breaks(at, record.Sequence, ProblemRemoved, missing+" removed before this line.")
	return nil
}

// checkChain looks whether the record follows the one before it, and whether it
// is the one that was published.
func (v *verifier) checkChain(record *Record) *Broken {
	switch {
	case v.before == nil && record.Sequence == 1 && record.Previous != firstPrevious():
		return &Broken{Problem: ProblemChain, Message: "The first record of a log follows none, but this one names another record before it."}
	case v.before != nil && (record.Previous != v.before.Hash || record.Log != v.before.Log):
		return &Broken{Problem: ProblemChain, Message: "The record follows another one than the line before: what was here was replaced by records with a good signature, as when an old copy is put back."}
	}
	if head := v.options.Head; head != nil && head.Log == record.Log && head.Sequence == record.Sequence && head.Hash != record.Hash {
		return &Broken{Problem: ProblemHeadMismatch, Message: fmt.Sprintf("Another record %d was published at %s: what was here was replaced.", head.Sequence, head.Time.UTC().Format(time.RFC3339))}
	}
	return nil
}

// accept takes a good record in.
func (v *verifier) accept(at place, record *Record) {
	r := &v.report
	if v.before == nil {
		r.First, r.FirstTime, r.Log, v.firstAt = record.Sequence, record.Time, record.Log, at
	}
	if v.before == nil || record.Key != v.before.Key {
		r.Chains++
	}
	if at.file != v.at.file {
		r.Files++
	}
	r.Records++
	r.Last = record.head()
	if _, known := v.seals[record.Key]; known {
		v.unvouched = nil
		if through, isNumber := record.Details["through"].Int(); record.Action == ActionLogExpired && isNumber && through > 0 {
			v.expired = max(v.expired, uint64(through))
		}
	} else {
		r.UnknownSalts++
		if v.unvouched == nil {
			v.unvouched = &Broken{
				File: at.file, Line: at.line, Sequence: record.Sequence, Problem: ProblemUnknownSalt,
				Message: "From here to its end the log was signed under an AUDIT_SALT that is not given, and no later record vouches for it.",
			}
		}
	}
	v.before, v.at = record, at
}

// finish looks at what only the whole log can show: its two ends.
func (v *verifier) finish() {
	r, head := &v.report, v.options.Head
	switch {
	case v.unvouched != nil:
		r.Broken = v.unvouched
	case r.First > 1 && v.expired < r.First-1:
		v.breaks(v.firstAt, r.First, ProblemRemoved, fmt.Sprintf("Records %d to %d were removed before this line, and no record says that they were let go by age.", v.expired+1, r.First-1))
	case head == nil:
	case r.Records > 0 && head.Log != r.Log:
		v.breaks(v.at, r.Last.Sequence, ProblemTailRemoved, fmt.Sprintf("The published head is that of another log, %s, up to record %d: that log is not here.", head.Log, head.Sequence))
	case head.Sequence > r.Last.Sequence:
		v.breaks(v.at, r.Last.Sequence, ProblemTailRemoved, fmt.Sprintf("The log ends here, but record %d was published at %s: the %d records after this line were removed.",
			head.Sequence, head.Time.UTC().Format(time.RFC3339), head.Sequence-r.Last.Sequence))
	case head.Sequence < r.First:
		r.HeadIsOlder = true
	}
}

func (v *verifier) breaks(at place, sequence uint64, problem Problem, message string) {
	v.report.Broken = &Broken{File: at.file, Line: at.line, Sequence: sequence, Problem: problem, Message: message}
}
