package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// startRuntime starts a containerd of our own beside whatever else the machine has.
func (n *Node) startRuntime(ctx context.Context) error {
	networks := n.path("cni")
	if err := os.MkdirAll(networks, 0o700); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	for path, text := range map[string]string{
		filepath.Join(networks, "10-e2e.conflist"): fmt.Sprintf(networkConfig, bridge, podRange, n.path("addresses")),
		n.path("containerd.toml"):                  fmt.Sprintf(runtimeConfig, n.path("containerd"), runtimeSocket, PauseImage, networks),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return fmt.Errorf("writing a configuration: %w", err)
		}
	}
	if err := n.run("containerd", "containerd", "--config="+n.path("containerd.toml")); err != nil {
		return err
	}
	const patience, period = 30 * time.Second, 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, err := n.ctr(ctx, "version")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for containerd: %w; its log is %s", err, n.Log("containerd"))
		case <-time.After(period):
		}
	}
}

// ctr runs containerd's own client.
func (n *Node) ctr(ctx context.Context, arguments ...string) (string, error) {
	return command(ctx, "ctr", append([]string{"--address", runtimeSocket, "--namespace", "k8s.io"}, arguments...)...)
}

func (n *Node) importImages(ctx context.Context) error {
	for _, archive := range n.settings.Images {
		if _, err := n.ctr(ctx, "images", "import", archive); err != nil {
			return err
		}
	}
	return nil
}

// runtimeConfig: root, socket, pause image and directory of networks.
// restrict_oom_score_adj lets sandboxes start where root lacks CAP_SYS_RESOURCE.
const runtimeConfig = `version = 2
root = "%s"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "%s"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "%s"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "%s"
`

// networkConfig: bridge, range of pods' addresses and directory of what is given out.
const networkConfig = `{
  "cniVersion": "0.4.0",
  "name": "warmpool-e2e",
  "plugins": [
    {
      "type": "bridge", "bridge": "%s", "isGateway": true, "hairpinMode": true,
      "ipam": {"type": "host-local", "ranges": [[{"subnet": "%s"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "%s"}
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`
