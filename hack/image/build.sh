#!/usr/bin/env bash
# Builds the commands for each platform and wraps them into an image, without
# Docker. The same source gives the same bytes, wherever it lies.
#
#   [PLATFORMS="amd64 arm64"] [IMAGE=repository] hack/image/build.sh DIRECTORY
#
# DIRECTORY gets warmpool.oci.tar (all platforms), warmpool-<platform>.docker.tar
# (docker load, kind load image-archive, ctr images import), warmpool.spdx.json
# (what is inside) and warmpool.digest.
set -euo pipefail

if [ $# -ne 1 ]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p "$1"
out=$(cd "$1" && pwd)
read -r version commit seconds < <(hack/version.sh)

# Flags of the environment must not reach the programs.
export GOFLAGS="-mod=readonly -buildvcs=false" GOWORK=off CGO_ENABLED=0
package=github.com/warmpool-dev/warmpool/internal/version
rm -rf "$out/programs"
for platform in ${PLATFORMS:-amd64 arm64}; do
  echo "Building the commands $version for linux/$platform."
  mkdir -p "$out/programs/linux-$platform"
  GOOS=linux GOARCH=$platform GOAMD64=v1 GOARM64=v8.0 go build -trimpath \
    -ldflags "-s -w -buildid= -X $package.release=$version -X $package.commit=$commit" \
    -o "$out/programs/linux-$platform/" ./cmd/manager ./cmd/sidecar ./cmd/vastsim
done
go run ./hack/licenses -texts "$out/licenses"
(cd hack/image && go build -trimpath -o "$out/image" .)
"$out/image" --binaries "$out/programs" --licenses "$out/licenses" --out "$out" \
  --name "${IMAGE:-ghcr.io/warmpool-dev/warmpool}" --version "$version" --commit "$commit" --created "$seconds" --entrypoint manager
