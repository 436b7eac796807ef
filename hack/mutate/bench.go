package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// testTimeout bounds one run of a named test; they take seconds. A run that
// does not end shows nothing.
const testTimeout = "2m"

// bench is where gates are taken out: copies of files in a directory of its
// own, laid over the module by the go command. The module is never changed.
type bench struct {
	root, scratch string
	// binaries are the test binaries with switchboards, by directory.
	binaries map[string]binary
}

// binary is a test binary of which the environment takes out a gate.
type binary struct {
	path string
	has  map[string]bool
}

func newBench(root string) (*bench, error) {
	absolute, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return nil, err
	}
	return &bench{root: absolute, scratch: scratch, binaries: map[string]binary{}}, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.scratch) } //nolint:errcheck // what is left is in the directory for such things

// verdict is what became of one gate.
type verdict struct {
	// word is for the list: caught, SURVIVED or BROKEN.
	word string
	// err says what to do; nil when the gate was caught.
	err error
}

// prepare demands, package by package, that the named tests exist and pass
// while all gates are in place, and builds the switchboards.
func (b *bench) prepare(ctx context.Context, gates []markedGate, out io.Writer) error {
	for from := 0; from < len(gates); {
		dir := gates[from].mark.dir
		to := from
		var tests []string
		for ; to < len(gates) && gates[to].mark.dir == dir; to++ {
			if !slices.Contains(tests, gates[to].Test) {
				tests = append(tests, gates[to].Test)
			}
		}
		say(out, "%s: %d gates; the tests named for them pass with every gate in place: ", dir, to-from)
		if err := b.checkTests(ctx, dir, tests); err != nil {
			say(out, "no\n")
			return err
		}
		say(out, "yes\n")
		if err := b.build(ctx, dir, gates[from:to]); err != nil {
			return err
		}
		if built, ok := b.binaries[dir]; ok {
			// The switchboard itself must not be what makes a test fail.
			output, err := b.runBinary(ctx, dir, built, strings.Join(tests, "|"), "")
			if err != nil {
				return fmt.Errorf("the tests of %s fail with a switchboard although every gate is in place: %w\n%s", dir, err, tail(output))
			}
		}
		from = to
	}
	return nil
}

// checkTests demands that tests exist and pass.
func (b *bench) checkTests(ctx context.Context, dir string, tests []string) error {
	output, err := b.goTest(ctx, dir, strings.Join(tests, "|"), "-v")
	if err != nil {
		return fmt.Errorf("the tests of %s fail although every gate is in place; mend that first: %w\n%s", dir, err, tail(output))
	}
	for _, test := range tests {
		if !strings.Contains(output, "\n--- PASS: "+test+" (") {
			return fmt.Errorf("there is no test %s in %s, or it did not run; correct hack/mutate/gates.go", test, dir)
		}
	}
	return nil
}

// build builds the test binary of a package with a switchboard for its gates.
func (b *bench) build(ctx context.Context, dir string, gates []markedGate) error {
	board := newSwitchboard(gates)
	if len(board.has) == 0 {
		return nil
	}
	board.files[filepath.Join(b.root, dir, "zz_mutate.go")] = fmt.Appendf(nil, helper, gates[0].mark.source.packageName)
	name := filepath.Join(b.scratch, strings.ReplaceAll(dir, "/", "-"))
	overlay, err := b.overlay(name, board.files)
	if err != nil {
		return err
	}
	command := b.goCommand(ctx, "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay="+overlay, "-o", name+".test", "./"+dir)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("the switchboard of %s does not build; is one of its gates no condition? %w\n%s", dir, err, tail(string(output)))
	}
	b.binaries[dir] = binary{path: name + ".test", has: board.has}
	return nil
}

// takeOut takes out every gate and prints a line for each, in their order.
func (b *bench) takeOut(ctx context.Context, gates []markedGate, jobs int, out io.Writer) []verdict {
	verdicts := make([]verdict, len(gates))
	done := make([]chan struct{}, len(gates))
	free := make(chan struct{}, max(jobs, 1))
	var running sync.WaitGroup
	for k := range gates {
		done[k] = make(chan struct{})
	}
	running.Go(func() {
		for k := range gates {
			free <- struct{}{}
			running.Go(func() {
				defer func() { <-free; close(done[k]) }()
				verdicts[k] = b.judge(ctx, &gates[k])
			})
		}
	})
	for k := range gates {
		<-done[k]
		say(out, "%-8s  %s  %-34s %s in %s\n", verdicts[k].word, gates[k].Rule, gates[k].Name, gates[k].Test, gates[k].mark.dir)
	}
	running.Wait()
	return verdicts
}

// judge takes one gate out and says what its test made of it.
func (b *bench) judge(ctx context.Context, gate *markedGate) verdict {
	broken := func(format string, values ...any) verdict {
		return verdict{"BROKEN", fmt.Errorf("gate %q (%s): %w", gate.Name, &gate.mark, fmt.Errorf(format, values...))}
	}
	output, err := b.runWithout(ctx, gate)
	var exit *exec.ExitError
	switch {
	case err == nil && strings.Contains(output, "no tests to run"):
		return broken("there is no %s", gate.Test)
	case err == nil:
		return verdict{"SURVIVED", fmt.Errorf("gate %q (%s) was taken out and %s still passes, so nothing keeps this from happening: %s.\n"+
			"Make that test fail without the gate, or name in hack/mutate/gates.go the one that does. Try it with: make mutate ARGS='-only ^%s$'",
			gate.Name, &gate.mark, gate.Test, gate.Prevents, gate.Name)}
	case !errors.As(err, &exit), ctx.Err() != nil:
		return broken("running its test: %w", err)
	case strings.Contains(output, "panic: test timed out"):
		return broken("without it %s does not end, which shows nothing; name a test that ends", gate.Test)
	case strings.Contains(output, "--- FAIL: "+gate.Test+" (") || strings.Contains(output, "--- FAIL: "+gate.Test+"/"):
		return verdict{"caught", nil}
	default:
		return broken("without it the package does not build, or fails before %s does:\n%s", gate.Test, tail(output))
	}
}

// runWithout runs a gate's test without the gate: by the switchboard, or with
// the one file changed when the gate is no condition.
func (b *bench) runWithout(ctx context.Context, gate *markedGate) (string, error) {
	if built := b.binaries[gate.mark.dir]; built.has[gate.Name] {
		return b.runBinary(ctx, gate.mark.dir, built, gate.Test, gate.Name)
	}
	text, err := mutated(&gate.mark, gate.Off)
	if err != nil {
		return "", err
	}
	overlay, err := b.overlay(filepath.Join(b.scratch, gate.Name), map[string][]byte{gate.mark.source.path: text})
	if err != nil {
		return "", err
	}
	return b.goTest(ctx, gate.mark.dir, gate.Test, "-overlay="+overlay)
}

// overlay writes files, and what the go command needs to take them for the real ones.
func (b *bench) overlay(name string, files map[string][]byte) (string, error) {
	replace := map[string]string{}
	number := 0
	for path, text := range files {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		number++
		replace[absolute] = fmt.Sprintf("%s-%d.go", name, number)
		if err := os.WriteFile(replace[absolute], text, 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	return name + ".json", os.WriteFile(name+".json", list, 0o600)
}

// runBinary runs tests of a binary with a switchboard, one gate taken out.
func (b *bench) runBinary(ctx context.Context, dir string, built binary, tests, off string) (string, error) {
	command := exec.CommandContext(ctx, built.path, "-test.run=^("+tests+")$", "-test.timeout="+testTimeout) //nolint:gosec // it was built a moment ago
	command.Dir = filepath.Join(b.root, dir)
	command.Env = append(os.Environ(), offVariable+"="+off)
	return capture(command)
}

// goTest runs tests of one package and returns what they printed. They run
// without the race detector and without vet: both would only cost time here.
func (b *bench) goTest(ctx context.Context, dir, tests string, more ...string) (string, error) {
	arguments := append([]string{"test", "-count=1", "-vet=off", "-timeout", testTimeout, "-ldflags=-s -w", "-run", "^(" + tests + ")$"}, more...)
	return capture(b.goCommand(ctx, append(arguments, "./"+dir)...))
}

func (b *bench) goCommand(ctx context.Context, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", arguments...) //nolint:gosec // the arguments come from the list in the code
	command.Dir = b.root
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	return command
}

// capture runs a command and returns all it prints, from a line of its own on.
func capture(command *exec.Cmd) (string, error) {
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	return "\n" + output.String(), err
}

// tail keeps the end of an output, without the tests that passed.
func tail(output string) string {
	const lines = 40
	all := slices.DeleteFunc(strings.Split(strings.TrimSpace(output), "\n"), func(line string) bool {
		line = strings.TrimSpace(line)
		return strings.HasPrefix(line, "=== RUN") || strings.HasPrefix(line, "--- PASS")
	})
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}
