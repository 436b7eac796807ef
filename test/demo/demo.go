// Package demo starts what make run starts, for tests that try it from outside.
// It may import everything of ours.
package demo

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/process"
	"github.com/warmpool-dev/warmpool/internal/testkit"
)

// Patience is how long one step of the programs of make run may take on a
// machine that does much else.
const Patience = 3 * time.Minute

// Stage is what "make run" starts, as programs and in a directory of its own: an
// API server, a simulated Vast.ai, the manager, the sidecar and the pool sdxl.
type Stage struct {
	// URL is where the sidecar is, such as http://localhost:41234; SimulatorURL is
	// the admin API of the simulator.
	URL, SimulatorURL string
	// Directory has the logs and the kubeconfig of the run.
	Directory string
	// Client acts as the administrator, without a cache.
	Client client.Client
	// Namespace is that of the pool sdxl and of all that belongs to it.
	Namespace string

	tb      testing.TB
	assets  string
	running *process.Process
}

// Start builds the programs as make does, and starts them with what arguments
// say beside the defaults. They end with the test, which fails when they do not
// end in order or leave something running.
func Start(tb testing.TB, arguments ...string) *Stage {
	tb.Helper()
	root, assets := testkit.Places(tb)
	binaries := filepath.Join(root, "bin")
	// Not with the test's context: what is compiled is of use to the next one.
	build := exec.CommandContext(context.WithoutCancel(tb.Context()), "go", "build", "-trimpath", "-o", binaries+string(filepath.Separator), "./hack/dev", "./cmd/...") //nolint:gosec // the go command
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if output, buildErr := build.CombinedOutput(); buildErr != nil {
		tb.Fatalf("building the programs of make run: %v\n%s", buildErr, output)
	}
	// A port of the sidecar's own: 3000 may be that of somebody's make run.
	d := &Stage{tb: tb, assets: assets, Directory: tb.TempDir(), Namespace: "default"}
	var err error
	d.running, err = process.Start(&process.Spec{
		Name: "make run", Program: filepath.Join(binaries, "dev"), Directory: root, Log: filepath.Join(d.Directory, "dev.log"),
		Environment: environment(os.Environ(), assets),
		Arguments:   append([]string{"--directory=" + d.Directory, "--sidecar-port=" + d.freePort()}, arguments...),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(d.end)
	d.await()
	return d
}

// freePort is a port that nobody uses now; make run takes another one when
// somebody was faster, and says which.
func (d *Stage) freePort() string {
	d.tb.Helper()
	ports, err := localplane.FreePorts(d.tb.Context(), 1)
	if err != nil {
		d.tb.Fatal(err)
	}
	return ports[0]
}

// environment takes out what would change the run unseen.
func environment(environ []string, assets string) []string {
	kept := slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return strings.HasPrefix(name, "WARMPOOL_") || name == "AUDIT_SALT" || name == "VASTAI_API_KEY" || name == "KUBEBUILDER_ASSETS"
	})
	return append(kept, "KUBEBUILDER_ASSETS="+assets, "TERM=dumb")
}

// What make run says when everything is up.
var (
	meterLine = regexp.MustCompile(`curl (http://[^ ]+)/meter`)
	pageLine  = regexp.MustCompile(`at (http://localhost:[0-9]+)/admin/warm-pool`)
)

// await waits until everything is up.
func (d *Stage) await() {
	d.tb.Helper()
	const poll = 100 * time.Millisecond
	deadline := time.Now().Add(Patience)
	for {
		text, err := os.ReadFile(d.running.Log)
		page, meter := pageLine.FindSubmatch(text), meterLine.FindSubmatch(text)
		if page != nil && meter != nil {
			d.URL, d.SimulatorURL = string(page[1]), string(meter[1])
			break
		}
		if !d.running.IsRunning() {
			d.tb.Fatal(d.running.Obituary())
		}
		if time.Now().After(deadline) {
			d.tb.Fatalf("make run is not up after %s: %v\n%s", Patience, err, text)
		}
		time.Sleep(poll)
	}
	config, err := clientcmd.BuildConfigFromFlags("", d.kubeconfig())
	if err != nil {
		d.tb.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err = clientgoscheme.AddToScheme(scheme); err == nil {
		err = v1alpha1.AddToScheme(scheme)
	}
	if err != nil {
		d.tb.Fatal(err)
	}
	if d.Client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		d.tb.Fatal(err)
	}
}

func (d *Stage) kubeconfig() string { return filepath.Join(d.Directory, "kubeconfig") }

// Shell runs a line of bash as a person would type it beside make run, and
// returns what it printed on its standard output.
func (d *Stage) Shell(line string) string {
	d.tb.Helper()
	command := exec.CommandContext(d.tb.Context(), "bash", "-euo", "pipefail", "-c", line) //nolint:gosec // a line of the documentation
	command.Env = append(os.Environ(), "KUBECONFIG="+d.kubeconfig(), "PATH="+d.assets+string(os.PathListSeparator)+os.Getenv("PATH"))
	complaints := &strings.Builder{}
	command.Stderr = complaints
	output, err := command.Output()
	if err != nil {
		d.tb.Fatalf("%s: %v\n%s%s", line, err, output, complaints)
	}
	return string(output)
}

// Log is what a program of the run has said, such as "sidecar".
func (d *Stage) Log(program string) string {
	d.tb.Helper()
	text, err := os.ReadFile(filepath.Join(d.Directory, program+".log")) //nolint:gosec // a log of the run
	if err != nil {
		d.tb.Fatal(err)
	}
	return string(text)
}

// end stops everything as Ctrl-C does, and looks whether all of it has gone.
func (d *Stage) end() {
	if !d.running.IsRunning() {
		d.tb.Error(d.running.Obituary())
		return
	}
	if err := d.running.Stop(context.WithoutCancel(d.tb.Context()), Patience); err != nil {
		d.tb.Error(err)
	}
	if manner := d.running.Manner(); manner != "exit status 0" {
		d.tb.Errorf("make run ended with %s:\n%s", manner, process.LastLines(d.running.Log, 30))
	}
	if left, err := filepath.Glob(filepath.Join(d.Directory, "state", "*")); err != nil || len(left) > 0 {
		d.tb.Errorf("make run left %v behind, %v", left, err)
	}
	if d.tb.Failed() {
		for _, program := range []string{"dev", "manager", "sidecar"} {
			d.tb.Logf("the end of %s.log:\n%s", program, process.LastLines(filepath.Join(d.Directory, program+".log"), 60))
		}
	}
}
