package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/warmpool-dev/warmpool/internal/localplane"
	"github.com/warmpool-dev/warmpool/internal/process"
)

const (
	// Name is the node's name.
	Name = "e2e"
	// PauseImage is the image of pods' sandboxes; it has to be imported.
	PauseImage = "warmpool.dev/pause:v1"
	// bridge joins the pods; its address is the node's.
	bridge        = "e2e0"
	address       = "10.88.0.1"
	podRange      = "10.88.0.0/16"
	servicesRange = "10.96.0.0/16"
	apiPort       = "6443"
	// runtimeSocket is in /run, which is this run's own: paths of sockets have to be short.
	runtimeSocket = "/run/containerd.sock"
	// stopTimeout bounds the end of one program.
	stopTimeout = 30 * time.Second
)

// Settings say where everything is.
type Settings struct {
	// Assets has the programs of Kubernetes and etcd.
	Assets string
	// Directory is the working directory, for this run alone.
	Directory string
	// Cgroup is the name below which all pods' control groups are made; see MakeCgroups.
	Cgroup string
	// Images are archives for "docker load" that the node knows from the start.
	Images []string
}

// Node is a running cluster.
type Node struct {
	settings Settings
	// plane is etcd and the API server.
	plane *localplane.Plane
	// programs run besides, in the order of their start.
	programs []*process.Process
}

// Start starts everything and waits until the node is Ready; it leaves nothing
// running when it fails. say tells a person how far it is.
func Start(ctx context.Context, settings Settings, say func(format string, values ...any)) (*Node, error) {
	n := &Node{settings: settings}
	if err := n.start(ctx, say); err != nil {
		return nil, errors.Join(err, n.Stop(ctx))
	}
	return n, nil
}

func (n *Node) start(ctx context.Context, say func(format string, values ...any)) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"a bridge for pods", makeNetwork},
		{"etcd and kube-apiserver", n.startPlane},
		{"kube-controller-manager and kube-scheduler", n.startControllers},
		{"containerd", n.startRuntime},
		{"images", n.importImages},
		{"kubelet and kube-proxy", n.startKubelet},
		{"the node to be Ready", n.waitReady},
	} {
		started := time.Now()
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("starting %s: %w", step.name, err)
		}
		say("%-44s %4.0f s", step.name, time.Since(started).Seconds())
	}
	return nil
}

// environment is that of all programs: they find iptables, runc and the like.
func environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
}

// Log names the log of a program.
func (n *Node) Log(name string) string { return n.path(name + ".log") }

// AuditLog is what the API server writes about requests of service accounts, a JSON object in a line.
func (n *Node) AuditLog() string { return n.path("requests.log") }

// Kubeconfig is the path of the administrator's.
func (n *Node) Kubeconfig() string { return n.path("kubeconfig") }

func (n *Node) path(name string) string { return filepath.Join(n.settings.Directory, name) }

// run starts a program that Stop will end.
func (n *Node) run(name, program string, arguments ...string) error {
	started, err := process.Start(&process.Spec{
		Name: name, Program: program, Arguments: arguments, Directory: n.settings.Directory, Environment: environment(), Log: n.Log(name),
	})
	if err != nil {
		return err
	}
	n.programs = append(n.programs, started)
	return nil
}

// command runs a program to its end and returns what it printed.
func command(ctx context.Context, program string, arguments ...string) (string, error) {
	one := exec.CommandContext(ctx, program, arguments...) //nolint:gosec // words of this package
	one.Env = environment()
	output, err := one.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("running %s %s: %w: %s", program, strings.Join(arguments, " "), err, strings.TrimSpace(string(output)))
	}
	return string(output), nil
}

// makeNetwork makes the bridge with the node's address before anybody wants to
// listen there, and lets packets through.
func makeNetwork(ctx context.Context) error {
	for _, line := range []string{
		"link set lo up", "link add " + bridge + " type bridge", "addr add " + address + "/16 dev " + bridge, "link set " + bridge + " up",
	} {
		if _, err := command(ctx, "ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	const mode = 0o600
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), mode)
}

func (n *Node) startPlane(ctx context.Context) (err error) {
	if err = os.WriteFile(n.path("audit-policy.yaml"), []byte(auditPolicy), 0o600); err != nil {
		return fmt.Errorf("writing the audit policy: %w", err)
	}
	n.plane, err = localplane.Start(ctx, localplane.Settings{
		Assets: n.settings.Assets, State: n.path("plane"), Environment: environment(), Log: n.Log, Address: address, Port: apiPort, Pods: true,
		APIArguments: []string{
			"--service-cluster-ip-range=" + servicesRange, "--kubelet-preferred-address-types=InternalIP",
			"--audit-policy-file=" + n.path("audit-policy.yaml"), "--audit-log-path=" + n.AuditLog(),
		},
	})
	if err != nil {
		return err
	}
	return n.plane.WriteKubeconfig(localplane.Administrator, "default", n.Kubeconfig())
}

// auditPolicy notes who asked what of service accounts: the rights that are used.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: None
`

func (n *Node) startControllers(context.Context) error {
	common := []string{"--kubeconfig=" + n.Kubeconfig(), "--leader-elect=false", "--bind-address=" + localplane.Loopback}
	if err := n.run("kube-controller-manager", filepath.Join(n.settings.Assets, "kube-controller-manager"), append(common,
		"--service-account-private-key-file="+n.path("plane/sa.key"), "--root-ca-file="+n.path("plane/certificates/apiserver.crt"),
		"--cert-dir="+n.path("controllers"))...); err != nil {
		return err
	}
	return n.run("kube-scheduler", filepath.Join(n.settings.Assets, "kube-scheduler"), append(common, "--cert-dir="+n.path("scheduler"))...)
}

// waitReady waits until the kubelet says that pods may come.
func (n *Node) waitReady(ctx context.Context) error {
	const patience, period = 2 * time.Minute, 500 * time.Millisecond
	clients, err := kubernetes.NewForConfig(n.plane.Config(localplane.Administrator))
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	last := "it has not registered"
	for {
		found, err := clients.CoreV1().Nodes().Get(ctx, Name, metav1.GetOptions{})
		if err == nil {
			ready, why := readiness(found)
			if ready {
				return nil
			}
			last = why
		}
		for _, program := range n.programs {
			if !program.IsRunning() {
				return program.Obituary()
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the node: %w: %s; its log is %s", context.Cause(ctx), last, n.Log("kubelet"))
		case <-time.After(period):
		}
	}
}

// readiness says whether a node is Ready, and why not.
func readiness(found *corev1.Node) (ready bool, why string) {
	for k := range found.Status.Conditions {
		if one := &found.Status.Conditions[k]; one.Type == corev1.NodeReady {
			return one.Status == corev1.ConditionTrue, one.Message
		}
	}
	return false, "it says nothing of being ready"
}

// Stop ends everything in an order in which nobody waits for one that is gone:
// the kubelet and the others first, containerd after them, the API server last.
func (n *Node) Stop(ctx context.Context) error {
	var failures []error
	for _, program := range slices.Backward(n.programs) {
		failures = append(failures, program.Stop(ctx, stopTimeout))
	}
	n.programs = nil
	if n.plane != nil {
		failures = append(failures, n.plane.Stop(ctx))
	}
	return errors.Join(failures...)
}
