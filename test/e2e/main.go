package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/warmpool-dev/warmpool/internal/process"
	"github.com/warmpool-dev/warmpool/test/e2e/node"
)

// insideVariable marks the process that runs inside the namespaces; its value
// is the directory of the run.
const insideVariable = "WARMPOOL_E2E_INSIDE"

// settings is what the flags say.
type settings struct {
	// kubeconfig is a cluster that is there; empty brings one up.
	kubeconfig string
	// image is the image to install, repository and tag.
	image string
	// archives are the images of the node, divided by commas.
	archives string
	// chart is the directory of the chart; assets and helm are programs.
	chart, assets, helm string
	// keep leaves the logs where they are.
	keep bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 when all was as asserted, 1 when something was
// not, 2 when the run cannot start.
func run(ctx context.Context, arguments []string) int {
	chosen, err := parseSettings(arguments)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return complain(err, 2)
	}
	// Libraries complain about a network that is cut: here it is meant.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	directory := os.Getenv(insideVariable)
	switch {
	case directory != "":
		return inside(ctx, &chosen, directory)
	case chosen.kubeconfig != "":
		return given(ctx, &chosen)
	default:
		return launch(ctx, arguments, &chosen)
	}
}

func parseSettings(arguments []string) (settings, error) {
	var chosen settings
	flags := flag.NewFlagSet("make e2e", flag.ContinueOnError)
	flags.StringVar(&chosen.kubeconfig, "kubeconfig", "", "use this cluster, which must have the image; by default a cluster of one node is brought up, as root")
	flags.StringVar(&chosen.image, "image", "", "image to install, with its tag")
	flags.StringVar(&chosen.archives, "archives", "", "archives of images that the node gets, divided by commas")
	flags.StringVar(&chosen.chart, "chart", "charts/warmpool", "directory of the chart")
	flags.StringVar(&chosen.assets, "assets", "bin/k8s", "directory with etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet and kube-proxy")
	flags.StringVar(&chosen.helm, "helm", "bin/helm", "program that installs the chart")
	flags.BoolVar(&chosen.keep, "keep", false, "keep the logs of the node, and say where; a run that fails keeps them anyway")
	if err := flags.Parse(arguments); err != nil {
		return chosen, err
	}
	if flags.NArg() > 0 {
		return chosen, fmt.Errorf("unexpected argument %q: every setting is a flag", flags.Arg(0))
	}
	if chosen.image == "" {
		return chosen, errors.New("--image is missing: name the image to install, with its tag")
	}
	for _, place := range []*string{&chosen.chart, &chosen.assets, &chosen.helm} {
		absolute, err := filepath.Abs(*place)
		if err != nil {
			return chosen, fmt.Errorf("finding %s: %w", *place, err)
		}
		*place = absolute
	}
	return chosen, nil
}

// complain prints an error and returns a code.
func complain(err error, code int) int {
	fmt.Fprintln(os.Stderr, "make e2e:", err)
	return code
}

// errNotRoot names what a node needs.
var errNotRoot = errors.New("a node needs root (sudo make e2e); or name a cluster that you have: make e2e ARGS=--kubeconfig=<file>")

// launch starts this program again, isolated: the node's bridge, packet filter,
// mounts and pods are gone when it has ended. What is left to remove is a
// directory and control groups.
func launch(ctx context.Context, arguments []string, chosen *settings) int {
	if os.Geteuid() != 0 {
		return complain(errNotRoot, 2)
	}
	directory, err := os.MkdirTemp("", "warmpool-e2e-")
	if err != nil {
		return complain(fmt.Errorf("making a directory: %w", err), 2)
	}
	cgroup := filepath.Base(directory)
	if err = node.MakeCgroups(cgroup); err != nil {
		return complain(errors.Join(err, node.RemoveCgroups(cgroup)), 2)
	}
	executable, err := os.Executable()
	if err != nil {
		return complain(err, 2)
	}
	again := exec.Command(executable, arguments...) //nolint:gosec,noctx // this program itself, ended in order by Isolated
	again.Env, again.Stdout, again.Stderr = append(os.Environ(), insideVariable+"="+directory), os.Stdout, os.Stderr
	const grace = 2 * time.Minute
	code, err := process.Isolated(ctx, again, grace)
	err = errors.Join(err, node.RemoveCgroups(cgroup))
	if err == nil && code == 0 && !chosen.keep {
		err = os.RemoveAll(directory)
	} else {
		fmt.Printf("The logs are kept in %s.\n", directory)
	}
	if err != nil {
		return complain(err, 1)
	}
	return code
}

// inside brings up the node and runs the test against it.
func inside(ctx context.Context, chosen *settings, directory string) (code int) {
	if err := process.OwnMounts(); err != nil {
		return complain(err, 2)
	}
	started := time.Now()
	fmt.Println("Bringing up a cluster of one node:")
	one, err := node.Start(ctx, node.Settings{
		Assets: chosen.assets, Directory: directory, Cgroup: filepath.Base(directory), Images: strings.Split(chosen.archives, ","),
	}, func(format string, values ...any) { fmt.Printf("  "+format+"\n", values...) })
	if err != nil {
		return complain(err, 2)
	}
	defer func() {
		if err := one.Stop(context.WithoutCancel(ctx)); err != nil {
			code = complain(err, 1)
		}
	}()
	fmt.Printf("The cluster is up after %s s.\n\n", strconv.Itoa(int(time.Since(started).Seconds())))
	return test(ctx, chosen, &cluster{kubeconfig: one.Kubeconfig(), node: one})
}

// given runs the test against a cluster that is there.
func given(ctx context.Context, chosen *settings) int {
	return test(ctx, chosen, &cluster{kubeconfig: chosen.kubeconfig})
}
