package process

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
)

// shell is a child that runs a script.
func shell(directory, script string) *Spec {
	return &Spec{
		Name: "sh", Program: "/bin/sh", Directory: directory, Arguments: []string{"-c", script},
		Environment: []string{"PATH=/usr/bin:/bin"}, Log: filepath.Join(directory, "sh.log"),
	}
}

func sleeper(directory string) *Spec { return shell(directory, "exec sleep 600") }

func start(t *testing.T, spec *Spec) *Process {
	t.Helper()
	c, err := Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.IsRunning() {
			syscall.Kill(-c.PID, syscall.SIGKILL)
			<-c.Done
		}
	})
	return c
}

// waitForLine waits until the child has written a line into its log.
func waitForLine(t *testing.T, c *Process, line string) {
	t.Helper()
	g := gomega.NewWithT(t)
	g.Eventually(func() string { return LastLines(c.Log, 1) }, "10s", "5ms").Should(gomega.Equal(line))
}

func TestStopAsksFirst(t *testing.T) {
	c := start(t, shell(t.TempDir(), `trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.01; done`))
	waitForLine(t, c, "up")
	if err := c.Stop(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := LastLines(c.Log, 1); got != "asked" || c.IsRunning() {
		t.Errorf("the log ends with %q and IsRunning is %v, want that it was asked and is gone", got, c.IsRunning())
	}
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	for name, test := range map[string]struct {
		insisted bool
		want     string
	}{
		"when the time is up":  {false, "was killed"},
		"at once when told so": {true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			// The grandchild must go too, or its port would stay.
			c := start(t, shell(t.TempDir(), `trap '' TERM; sleep 600 & echo $!; wait; wait`))
			g := gomega.NewWithT(t)
			g.Eventually(func() string { return LastLines(c.Log, 1) }, "10s", "5ms").ShouldNot(gomega.BeEmpty())
			grandchild, err := strconv.Atoi(LastLines(c.Log, 1))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			grace := 50 * time.Millisecond
			if test.insisted {
				grace = time.Hour
				cancel()
			}
			err = c.Stop(ctx, grace)
			cancel()
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if c.IsRunning() {
				t.Error("it still runs")
			}
			g.Eventually(func() bool { return isAlive(grandchild) }, "10s", "5ms").Should(gomega.BeFalse())
		})
	}
}

func TestStopOfWhatIsGone(t *testing.T) {
	c := start(t, shell(t.TempDir(), "exit 3"))
	<-c.Done
	if err := c.Stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	var none *Process
	if err := none.Stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
}

func TestObituarySaysHowAndWhy(t *testing.T) {
	c := start(t, shell(t.TempDir(), "echo first; echo 'no such address' >&2; exit 3"))
	<-c.Done
	text := c.Obituary().Error()
	for _, want := range []string{"sh (pid ", "exit status 3", "  no such address"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}

func TestStartNamesWhatIsMissing(t *testing.T) {
	spec := sleeper(t.TempDir())
	spec.Program = "/nowhere/etcd"
	if _, err := Start(spec); err == nil || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nowhere/etcd") {
		t.Errorf("got %v", err)
	}
}

// A parent that is killed cannot end its children; the kernel has to.
func TestChildrenDieWithTheirParent(t *testing.T) {
	if childAttributes().Pdeathsig == 0 {
		t.Fatal("children are not tied to the life of this program")
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), executable, "-test.run=^$")
	parent.Env = append(os.Environ(), parentVariable+"="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the parent said %q", line)
	}
	if !isAlive(pid) {
		t.Fatal("the child does not run while its parent does")
	}
	if err = parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait()
	gomega.NewWithT(t).Eventually(func() bool { return isAlive(pid) }, "10s", "5ms").Should(gomega.BeFalse())
}

// isAlive is true for a process that runs; one that only waits for its parent
// to look at it is dead.
func isAlive(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	long := strings.Repeat("x", 1000) + "\n"
	if err := os.WriteFile(path, []byte(strings.Repeat(long, 200)+"one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := LastLines(path, 2); got != "two\nthree" {
		t.Errorf("got %q", got)
	}
	if got := LastLines(filepath.Join(t.TempDir(), "none"), 2); !strings.Contains(got, "no such file") {
		t.Errorf("got %q", got)
	}
}

func TestFirstLineHandsOnTheFirstLine(t *testing.T) {
	r := NewFirstLine()
	for _, part := range []string{`{"url":`, `"http://a"}`, "\nnoise\n", "more\n"} {
		if n, err := r.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if got := string(<-r.Line); got != `{"url":"http://a"}` {
		t.Errorf("got %q", got)
	}
}

func TestSignalStopsAndContinues(t *testing.T) {
	// It starts nothing: a shell that is stopped within vfork shows D.
	c := start(t, shell(t.TempDir(), `echo up; while :; do :; done`))
	waitForLine(t, c, "up")
	stat := func() string {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(c.PID), "stat"))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		return rest[:1]
	}
	g := gomega.NewWithT(t)
	if err := c.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	g.Eventually(stat, "10s", "5ms").Should(gomega.Equal("T"))
	if err := c.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	g.Eventually(stat, "10s", "5ms").ShouldNot(gomega.Equal("T"))
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-c.Done
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Errorf("a signal to what is gone: %v", err)
	}
}
