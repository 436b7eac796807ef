#!/usr/bin/env bash
# Makes what the end-to-end test needs and prints the flags that name it.
#
#   test/e2e/prepare.sh [--kubeconfig=FILE ...]
#
# IMAGE names another repository. Without a kubeconfig what is made is everything of a node: Debian's packages of
# containerd and of the tools of networks, Kubernetes from Go modules, and images.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
read -r version commit seconds < <(hack/version.sh)
repository=${IMAGE:-ghcr.io/warmpool-dev/warmpool}
platform=$(go env GOARCH)
out=$PWD/bin/e2e-image

hack/build-tool.sh hack/tools helm.sh/helm/v4/cmd/helm bin/helm "about 3 minutes on two cores, once" >&2
case " $* " in
*" --kubeconfig"*)
  echo "--image=$repository:$version"
  exit 0 ;;
esac

missing=()
for pair in containerd:containerd runc:runc iptables:iptables conntrack:conntrack ip:iproute2 nsenter:util-linux; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
[ -x /usr/lib/cni/bridge ] || missing+=(containernetworking-plugins)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "A node needs root, and ${missing[*]}: run this as root, or name a cluster that you have with ARGS=--kubeconfig=FILE." >&2
    exit 1
  fi
  echo "Installing ${missing[*]} with apt-get." >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

hack/controlplane/build.sh bin/k8s etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy >&2
PLATFORMS=$platform IMAGE=$repository hack/image/build.sh "$out" >&2

mkdir -p "$out/pause/linux-$platform"
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$out/pause/linux-$platform/" ./test/e2e/pause
"$out/image" --binaries "$out/pause" --out "$out" --name warmpool.dev/pause --version v1 --commit "$commit" --created "$seconds" --entrypoint pause >&2

echo "--image=$repository:$version"
echo "--archives=$out/warmpool-$platform.docker.tar,$out/pause-$platform.docker.tar"
