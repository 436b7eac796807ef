package plugin

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/internal/testkit"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testkit.Main(m, &plane))
}

// call is one call of the program against a client.
type call struct {
	env         *Environment
	cluster     *Cluster
	clock       *clocktesting.FakeClock
	in          bytes.Buffer
	mu          sync.Mutex
	out, errOut bytes.Buffer
	executed    [][]string
	ctx         context.Context //nolint:containedctx // the test's own
}

// newCall prepares a call. It has a fake clock until real is called.
func newCall(t *testing.T, reach client.Client, namespace string) *call {
	t.Helper()
	c := &call{
		clock:   clocktesting.NewFakeClock(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)),
		cluster: &Cluster{Client: reach, Config: &rest.Config{Host: "https://cluster.example"}, Namespace: namespace}, ctx: t.Context(),
	}
	c.env = &Environment{
		Streams: genericiooptions.IOStreams{In: &c.in, Out: locked{c, &c.out}, ErrOut: locked{c, &c.errOut}},
		Clock:   c.clock, Version: "v1.2.3", LookupEnv: func(string) (string, bool) { return "", false },
		Connect: func(*genericclioptions.ConfigFlags) (*Cluster, error) { return c.cluster, nil },
		Execute: func(_ context.Context, program string, arguments ...string) error {
			c.executed = append(c.executed, append([]string{program}, arguments...))
			if program == "xdg-open" {
				return errors.New("there is no such program")
			}
			return nil
		},
	}
	return c
}

// real makes the call use the clock of the wall.
func (c *call) real() *call {
	c.env.Clock = clock.RealClock{}
	return c
}

// answer is what a person types.
func (c *call) answer(text string) *call {
	c.env.Interactive = true
	c.in.WriteString(text + "\n")
	return c
}

// run carries out a line, whose words are parted by blanks.
func (c *call) run(line string) int { return Run(c.ctx, c.env, strings.Fields(line)) }

func (c *call) output() string { return c.text(&c.out) }
func (c *call) errors() string { return c.text(&c.errOut) }

func (c *call) text(buffer *bytes.Buffer) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return buffer.String()
}

// locked is a stream that a test may read while it is written.
type locked struct {
	call   *call
	buffer *bytes.Buffer
}

// Write implements io.Writer.
func (l locked) Write(text []byte) (int, error) {
	l.call.mu.Lock()
	defer l.call.mu.Unlock()
	return l.buffer.Write(text)
}

// waitUntil waits for what another goroutine brings about.
func waitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 600 {
		if holds() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s did not come about", what)
}
