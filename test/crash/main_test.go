package crash

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/warmpool-dev/warmpool/internal/operator"
	"github.com/warmpool-dev/warmpool/internal/options"
	"github.com/warmpool-dev/warmpool/internal/testkit"
)

var shared *testkit.ControlPlane

// The variables that make the test binary an operator. Its arguments are those
// of the manager.
const (
	// variableCluster is the address of the proxy before the API server.
	variableCluster = "WARMPOOL_CRASH_CLUSTER"
	// variableEpoch is the epoch of the scaled clock in Unix nanoseconds.
	variableEpoch = "WARMPOOL_CRASH_EPOCH"
	// variableSalt signs the audit logs of the operators that keep one.
	variableSalt = "AUDIT_SALT"
)

// factor is how much faster than the wall everything runs. With it the longest
// wait, for the end of an attempt that was never sent, takes ten seconds, and
// the client's timeout of half a minute is still a second.
const factor = 30

// atOnce is how many cases run at the same time: they mostly wait.
const atOnce = "4"

func TestMain(m *testing.M) {
	if cluster := os.Getenv(variableCluster); cluster != "" {
		if err := runOperator(ctrl.SetupSignalHandler(), cluster); err != nil {
			fmt.Fprintln(os.Stderr, "the operator ended:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// The default, for a command line that does not say otherwise.
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(testkit.Main(m, &shared))
}

// runOperator is cmd/manager on a scaled clock.
func runOperator(ctx context.Context, cluster string) error {
	epoch, err := strconv.ParseInt(os.Getenv(variableEpoch), 10, 64)
	if err != nil {
		return fmt.Errorf("reading the epoch: %w", err)
	}
	settings, err := options.ParseManager(os.Args[1:], func(name string) (string, bool) {
		return os.Getenv(name), name == variableSalt
	})
	if err != nil {
		return err
	}
	scaled := testkit.NewScaledClockFrom(time.Unix(0, epoch), factor)
	logger := funcr.New(func(prefix, args string) {
		fmt.Fprintf(os.Stderr, "%s %s %s\n", scaled.Now().Format("15:04:05.0"), prefix, args)
	}, funcr.Options{Verbosity: settings.LogLevel})
	ctrl.SetLogger(logger)
	return operator.Run(ctx, settings, operator.Environment{
		// As fast as in the other tests: the proxies stand before a server that is ours alone.
		RESTConfig: &rest.Config{Host: cluster, QPS: 1000, Burst: 2000}, Logger: logger, Clock: scaled,
	})
}
