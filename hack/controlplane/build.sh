#!/usr/bin/env bash
# Builds Kubernetes from Go modules, at the versions that go.mod beside this file
# pins: the control plane that tests and make run use (etcd, kube-apiserver,
# kubectl), and what a node that runs pods needs besides (kube-controller-manager,
# kube-scheduler, kubelet, kube-proxy).
#
#   hack/controlplane/build.sh DIRECTORY [PROGRAM ...]
#
# Without names it builds the first three. Nothing is downloaded but Go modules.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -lt 1 ]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
directory=$1
shift
[ $# -gt 0 ] || set -- etcd kube-apiserver kubectl

# Clients read the version from the server and refuse one that they cannot parse,
# so the linker writes it as a release build would.
version=$(awk '$1 == "k8s.io/kubernetes" {print $2}' "$here/go.mod")
IFS=. read -r major minor _ <<<"${version#v}"
base=k8s.io/component-base/version
stamp="-X $base.gitVersion=$version -X $base.gitMajor=$major -X $base.gitMinor=$minor"

for program in "$@"; do
  case $program in
  etcd)
    "$here/../build-tool.sh" "$here" go.etcd.io/etcd/server/v3 "$directory/etcd" \
      "about 1 minute on two cores, once" ;;
  kube-apiserver)
    "$here/../build-tool.sh" "$here" k8s.io/kubernetes/cmd/kube-apiserver "$directory/kube-apiserver" \
      "about 8 minutes on two cores, once; later clones on this machine take seconds" "$stamp" ;;
  kubectl)
    "$here/../build-tool.sh" "$here" k8s.io/kubernetes/cmd/kubectl "$directory/kubectl" \
      "about 2 minutes on two cores, once" "$stamp" ;;
  kube-controller-manager)
    "$here/../build-tool.sh" "$here" "k8s.io/kubernetes/cmd/$program" "$directory/$program" \
      "about 3 minutes on two cores, once" "$stamp" ;;
  kube-scheduler | kubelet | kube-proxy)
    "$here/../build-tool.sh" "$here" "k8s.io/kubernetes/cmd/$program" "$directory/$program" \
      "about 1 minute on two cores, once" "$stamp" ;;
  *)
    echo "$program is no part of this; ask for etcd, kube-apiserver, kubectl, kube-controller-manager, kube-scheduler, kubelet or kube-proxy." >&2
    exit 2 ;;
  esac
done
