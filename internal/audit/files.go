package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	filePrefix    = "audit-"
	fileSuffix    = ".jsonl"
	tornSuffix    = ".torn"
	lockSuffix    = ".lock"
	sequenceWidth = 20

	directoryMode = 0o700
	fileMode      = 0o600
)

// segment is one file of a log.
type segment struct {
	path string
	// first is the sequence of its first record, from its name.
	first uint64
}

func segmentName(component string, first uint64) string {
	return fmt.Sprintf("%s%s-%0*d%s", filePrefix, component, sequenceWidth, first, fileSuffix)
}

// parseSegment reads the component and the first sequence from a file's name.
func parseSegment(name string) (component string, first uint64, ok bool) {
	rest, isOurs := strings.CutSuffix(strings.TrimPrefix(name, filePrefix), fileSuffix)
	at := len(rest) - sequenceWidth
	if !isOurs || !strings.HasPrefix(name, filePrefix) || at < 2 || rest[at-1] != '-' {
		return "", 0, false
	}
	first, err := strconv.ParseUint(rest[at:], 10, 64)
	return rest[:at-1], first, err == nil && first > 0
}

// listSegments returns the files of a component in the order of their records.
func listSegments(dir, component string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing audit files: %w", err)
	}
	var segments []segment
	// ReadDir sorts by name, and the numbers have a fixed width.
	for _, entry := range entries {
		if of, first, ok := parseSegment(entry.Name()); ok && of == component {
			segments = append(segments, segment{path: filepath.Join(dir, entry.Name()), first: first})
		}
	}
	return segments, nil
}

// listComponents returns the components that have files in a directory.
func listComponents(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing audit files: %w", err)
	}
	var components []string
	for _, entry := range entries {
		of, _, ok := parseSegment(entry.Name())
		if ok && (len(components) == 0 || components[len(components)-1] != of) {
			components = append(components, of)
		}
	}
	return components, nil
}

// line is one line of a file.
type line struct {
	// text has no line feed. What is longer than a record can be is cut.
	text []byte
	// number counts from 1, start and end are the offsets of its first byte and of
	// the one behind the line feed.
	number     int
	start, end int64
	// whole is false for a last line without a line feed.
	whole bool
}

// lineReader reads a file line by line. The text of a line is good until the next one.
type lineReader struct {
	reader *bufio.Reader
	number int
	offset int64
}

func newLineReader(source io.Reader) *lineReader {
	return &lineReader{reader: bufio.NewReaderSize(source, maxLine+2)}
}

// next returns the next line, or io.EOF behind the last one.
func (r *lineReader) next() (line, error) {
	start := r.offset
	text, err := r.reader.ReadSlice('\n')
	r.offset += int64(len(text))
	if len(text) == 0 && err != nil {
		return line{}, err
	}
	r.number++
	if !errors.Is(err, bufio.ErrBufferFull) {
		if err != nil && !errors.Is(err, io.EOF) {
			return line{}, err
		}
		trimmed, whole := trimLineFeed(text)
		return line{text: trimmed, number: r.number, start: start, end: r.offset, whole: whole}, nil
	}
	long := line{text: append([]byte(nil), text...), number: r.number, start: start}
	for errors.Is(err, bufio.ErrBufferFull) {
		text, err = r.reader.ReadSlice('\n')
		r.offset += int64(len(text))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return line{}, err
	}
	long.end, long.whole = r.offset, err == nil
	return long, nil
}

func trimLineFeed(text []byte) ([]byte, bool) {
	if len(text) > 0 && text[len(text)-1] == '\n' {
		return text[:len(text)-1], true
	}
	return text, false
}

// scan is what a file turned out to hold.
type scan struct {
	first, last *Record
	// good is the offset behind the last record, size that of the whole file.
	good, size int64
}

// scanSegment looks for the last record of a file. A line is a record when it has
// the form of one and, if it names our key, our signature. Lines that are none
// between records are left to the verification.
func scanSegment(path string, seal *sealer) (scan, error) {
	file, err := os.Open(path) //nolint:gosec // a file of the configured directory
	if err != nil {
		return scan{}, fmt.Errorf("opening an audit file: %w", err)
	}
	defer func() { _ = file.Close() }() //nolint:errcheck // it was only read
	var found scan
	for lines := newLineReader(file); ; {
		next, err := lines.next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return scan{}, fmt.Errorf("reading an audit file: %w", err)
		}
		found.size = next.end
		record, err := DecodeRecord(next.text)
		if err != nil || !next.whole || (record.Key == seal.key.id && !seal.isSigned(next.text)) {
			continue
		}
		if found.first == nil {
			first := record
			found.first = &first
		}
		found.last, found.good = &record, next.end
	}
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	handle, err := os.Open(dir) //nolint:gosec // the configured directory
	if err != nil {
		return fmt.Errorf("opening the audit directory: %w", err)
	}
	err = handle.Sync()
	if closeErr := handle.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("making the audit directory durable: %w", err)
	}
	return nil
}

// setAside moves what follows the last record of a file into a .torn file beside
// it, durably and without overwriting what is there, and cuts it off the file.
func setAside(path string, from int64) (int64, error) {
	source, err := os.OpenFile(path, os.O_RDWR, fileMode) //nolint:gosec // a file of the configured directory
	if err != nil {
		return 0, fmt.Errorf("opening a torn audit file: %w", err)
	}
	defer func() { _ = source.Close() }()                                                      //nolint:errcheck // it was synced
	target, err := os.OpenFile(path+tornSuffix, os.O_CREATE|os.O_APPEND|os.O_WRONLY, fileMode) //nolint:gosec // beside it
	if err != nil {
		return 0, fmt.Errorf("setting a torn end aside: %w", err)
	}
	defer func() { _ = target.Close() }() //nolint:errcheck // it was synced
	if _, err = source.Seek(from, io.SeekStart); err != nil {
		return 0, fmt.Errorf("setting a torn end aside: %w", err)
	}
	count, err := io.Copy(target, source)
	if err == nil {
		err = target.Sync()
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err == nil {
		err = source.Truncate(from)
	}
	if err == nil {
		err = source.Sync()
	}
	if err != nil {
		return 0, fmt.Errorf("setting a torn end aside: %w", err)
	}
	return count, nil
}
