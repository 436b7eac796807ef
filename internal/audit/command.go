package audit

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// SaltVariable is the environment variable, and the key of the Secret, with the salt.
const SaltVariable = "AUDIT_SALT"

// ErrBroken is what VerifyCommand returns for a log that was tampered with or damaged.
var ErrBroken = errors.New("the audit log is broken")

// VerifyCommand is "audit verify": it verifies a log and writes for people what it
// found. The arguments are those after "verify"; lookup finds environment
// variables, as os.LookupEnv does. It returns nil for a log that is whole,
// ErrBroken for one that is not, and another error when it could not tell; a
// program exits with a code other than 0 for both. Help is written to out and is
// no error.
func VerifyCommand(ctx context.Context, out io.Writer, arguments []string, lookup func(string) (string, bool)) error {
	options, err := parseVerify(out, arguments, lookup)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	report, err := Verify(ctx, options)
	if err != nil {
		return err
	}
	if err := report.write(out, options.Head != nil); err != nil {
		return err
	}
	if report.Broken != nil {
		return ErrBroken
	}
	return nil
}

func parseVerify(out io.Writer, arguments []string, lookup func(string) (string, bool)) (VerifyOptions, error) {
	var options VerifyOptions
	var head string
	flags := flag.NewFlagSet("audit verify", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&options.Dir, "dir", "", "directory of the audit files")
	flags.StringVar(&options.Component, "component", "", "name of the log, such as manager; not needed when the directory holds only one")
	flags.StringVar(&head, "head", "", "published head, as JSON or as the path of a file: kubectl get configmap warmpool-audit-<component> -o jsonpath='{.data.head}'")
	flags.BoolVar(&options.AcceptUnknownSalts, "accept-unknown-salts", false, "accept records under an earlier salt when a later record vouches for them")
	if salt, found := lookup(SaltVariable); found {
		options.Salts = append(options.Salts, salt)
	}
	flags.Func("salt-file", "file with a salt, besides $"+SaltVariable+"; may be given for every salt there was", func(path string) error {
		salt, err := os.ReadFile(path) //nolint:gosec // the person's own choice
		if err != nil {
			return err
		}
		options.Salts = append(options.Salts, strings.TrimRight(string(salt), "\r\n"))
		return nil
	})
	if err := flags.Parse(arguments); err != nil {
		return options, err
	}
	if flags.NArg() > 0 {
		return options, fmt.Errorf("unexpected argument %q: see --help", flags.Arg(0))
	}
	if options.Dir == "" {
		return options, errors.New("--dir is missing: give the directory of the audit files")
	}
	if head != "" {
		parsed, err := readHead(head)
		if err != nil {
			return options, err
		}
		options.Head = &parsed
	}
	return options, nil
}

// readHead reads a head from JSON, or from the file of that name.
func readHead(given string) (Head, error) {
	text := []byte(given)
	if !strings.HasPrefix(strings.TrimSpace(given), "{") {
		var err error
		if text, err = os.ReadFile(given); err != nil { //nolint:gosec // the person's own choice
			return Head{}, fmt.Errorf("reading --head: %w", err)
		}
	}
	head, err := ParseHead(text)
	if err != nil {
		return Head{}, fmt.Errorf("reading --head: %w", err)
	}
	return head, nil
}

var errNoHead = errors.New(`a head is JSON such as {"log":"…","sequence":12,"hash":"…","time":"…"}`)

// ParseHead reads a published head from its JSON.
func ParseHead(text []byte) (Head, error) {
	var head Head
	if err := json.Unmarshal(text, &head); err != nil {
		return Head{}, fmt.Errorf("%w: %w", errNoHead, err)
	}
	if !isHex(head.Log, idDigits) || !isHex(head.Hash, fingerprintLength) || head.IsZero() {
		return Head{}, errNoHead
	}
	return head, nil
}

// write says for people what was found.
func (r *Report) write(out io.Writer, withHead bool) error {
	var text strings.Builder
	moment := func(at time.Time) string { return at.UTC().Format(time.RFC3339) }
	if r.Records > 0 {
		fmt.Fprintf(&text, "Log %s of %s: records %d to %d, %s to %s.\n", r.Log, r.Component, r.First, r.Last.Sequence, moment(r.FirstTime), moment(r.Last.Time))
		fmt.Fprintf(&text, "%d records in %d files and %d chains are whole.\n", r.Records, r.Files, r.Chains)
	} else {
		fmt.Fprintf(&text, "The log of %s has no whole record.\n", r.Component)
	}
	if r.First > 1 {
		fmt.Fprintf(&text, "Records before %d are not here any more.\n", r.First)
	}
	if r.UnknownSalts > 0 {
		fmt.Fprintf(&text, "%d records were signed under a salt that was not given; later records vouch for them by their hash.\n", r.UnknownSalts)
	}
	if r.TornBytes > 0 {
		fmt.Fprintf(&text, "The last line is unfinished (%d bytes): it is being written, or a crash left it. Nobody was told that it is durable.\n", r.TornBytes)
	}
	for _, file := range r.TornFiles {
		fmt.Fprintf(&text, "An unfinished end was set aside after a crash: %s\n", file)
	}
	switch {
	case r.Broken != nil:
		fmt.Fprintf(&text, "BROKEN (%s) at %s line %d, record %d: %s\n", r.Broken.Problem, r.Broken.File, r.Broken.Line, r.Broken.Sequence, r.Broken.Message)
	case r.HeadIsOlder:
		text.WriteString("The published head is older than the oldest record and could not be compared.\n")
	case withHead:
		text.WriteString("OK: the published head is in the log.\n")
	default:
		text.WriteString("OK. Without --head it cannot be told whether the end was cut off.\n")
	}
	_, err := io.WriteString(out, text.String())
	return err
}
