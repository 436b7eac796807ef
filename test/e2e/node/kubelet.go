package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/warmpool-dev/warmpool/internal/localplane"
)

func (n *Node) startKubelet(context.Context) error {
	config := fmt.Sprintf(kubeletConfig, address, n.settings.Cgroup, runtimeSocket, n.path("pod-logs"))
	if err := os.WriteFile(n.path("kubelet.yaml"), []byte(config), 0o600); err != nil {
		return fmt.Errorf("writing the kubelet's configuration: %w", err)
	}
	if err := n.run("kubelet", filepath.Join(n.settings.Assets, "kubelet"),
		"--config="+n.path("kubelet.yaml"), "--kubeconfig="+n.Kubeconfig(), "--root-dir="+n.path("kubelet"), "--cert-dir="+n.path("kubelet/pki"),
		"--hostname-override="+Name, "--node-ip="+address); err != nil {
		return err
	}
	// Masquerading makes answers of a pod come back through the node on machines
	// whose bridges do not pass the packet filter.
	return n.run("kube-proxy", filepath.Join(n.settings.Assets, "kube-proxy"),
		"--kubeconfig="+n.Kubeconfig(), "--hostname-override="+Name, "--proxy-mode=iptables", "--masquerade-all", "--conntrack-max-per-core=0",
		"--metrics-bind-address="+localplane.Loopback+":10249", "--healthz-bind-address="+localplane.Loopback+":10256")
}

// kubeletConfig: address, control group, containerd's socket and directory of
// logs. Its limits suit a machine that does other things besides.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %s
authentication:
  anonymous: {enabled: true}
  webhook: {enabled: false}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /%s
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
containerRuntimeEndpoint: unix://%s
podLogsDir: %s
resolvConf: ""
readOnlyPort: 0
evictionHard:
  memory.available: 50Mi
  nodefs.available: 1%%
  nodefs.inodesFree: 1%%
  imagefs.available: 1%%
`
