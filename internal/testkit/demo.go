package testkit

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
)

// DemoPatience is how long one step of the programs of make run may take on a
// machine that does much else.
const DemoPatience = 3 * time.Minute

// Demo is what "make run" starts, as programs and in a directory of its own: an
// API server, a simulated Vast.ai, the manager, the sidecar and the pool sdxl.
type Demo struct {
	// URL is where the sidecar is, such as http://localhost:41234.
	URL string
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

// StartDemo builds the programs as make does, and starts them with what arguments
// say beside the defaults. They end with the test, which fails when they do not
// end in order or leave something running.
func StartDemo(tb testing.TB, arguments ...string) *Demo {
	tb.Helper()
	root, err := repositoryRoot()
	if err != nil {
		tb.Fatal(err)
	}
	assets, err := assetsDirectory(root, os.Getenv(assetsVariable))
	if err != nil {
		tb.Fatal(err)
	}
	binaries := filepath.Join(root, "bin")
	// Not with the test's context: what is compiled is of use to the next one.
	build := exec.CommandContext(context.WithoutCancel(tb.Context()), "go", "build", "-trimpath", "-o", binaries+string(filepath.Separator), "./hack/dev", "./cmd/...") //nolint:gosec // the go command
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if output, buildErr := build.CombinedOutput(); buildErr != nil {
		tb.Fatalf("building the programs of make run: %v\n%s", buildErr, output)
	}
	// A port of the sidecar's own: 3000 may be that of somebody's make run.
	d := &Demo{tb: tb, assets: assets, Directory: tb.TempDir(), Namespace: "default"}
	d.running, err = process.Start(&process.Spec{
		Name: "make run", Program: filepath.Join(binaries, "dev"), Directory: root, Log: filepath.Join(d.Directory, "dev.log"),
		Environment: demoEnvironment(os.Environ(), assets),
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
func (d *Demo) freePort() string {
	d.tb.Helper()
	ports, err := localplane.FreePorts(d.tb.Context(), 1)
	if err != nil {
		d.tb.Fatal(err)
	}
	return ports[0]
}

// demoEnvironment takes out what would change the run unseen.
func demoEnvironment(environ []string, assets string) []string {
	kept := slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return strings.HasPrefix(name, "WARMPOOL_") || name == "AUDIT_SALT" || name == "VASTAI_API_KEY" || name == assetsVariable
	})
	return append(kept, assetsVariable+"="+assets, "TERM=dumb")
}

// welcome is what make run says when everything is up.
var welcome = regexp.MustCompile(`open (http://localhost:[0-9]+)/admin/warm-pool`)

// await waits until everything is up.
func (d *Demo) await() {
	d.tb.Helper()
	const poll = 100 * time.Millisecond
	deadline := time.Now().Add(DemoPatience)
	for {
		text, err := os.ReadFile(d.running.Log)
		if found := welcome.FindSubmatch(text); found != nil {
			d.URL = string(found[1])
			break
		}
		if !d.running.IsRunning() {
			d.tb.Fatal(d.running.Obituary())
		}
		if time.Now().After(deadline) {
			d.tb.Fatalf("make run is not up after %s: %v\n%s", DemoPatience, err, text)
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

func (d *Demo) kubeconfig() string { return filepath.Join(d.Directory, "kubeconfig") }

// Shell runs a line of bash as a person would type it beside make run, and
// returns what it printed on its standard output.
func (d *Demo) Shell(line string) string {
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
func (d *Demo) Log(program string) string {
	d.tb.Helper()
	text, err := os.ReadFile(filepath.Join(d.Directory, program+".log"))
	if err != nil {
		d.tb.Fatal(err)
	}
	return string(text)
}

// end stops everything as Ctrl-C does, and looks whether all of it has gone.
func (d *Demo) end() {
	if !d.running.IsRunning() {
		d.tb.Error(d.running.Obituary())
		return
	}
	if err := d.running.Stop(context.WithoutCancel(d.tb.Context()), DemoPatience); err != nil {
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
