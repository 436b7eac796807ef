#!/usr/bin/env bash
# Builds one program out of a module that pins it, and only when the pin changed.
#
#   hack/build-tool.sh MODULE_DIR PACKAGE OUTPUT HINT [LDFLAGS]
#
# MODULE_DIR  directory whose go.mod and go.sum pin the program
# PACKAGE     import path of its main package
# OUTPUT      file to write
# HINT        how long a first build takes, in words for the person who waits
# LDFLAGS     extra linker flags
#
# A stamp beside OUTPUT holds a checksum of everything that decides the result,
# so that a fresh checkout with new file times does not build again, and a
# changed pin always does. The compiled packages stay in Go's build cache, so
# the second clone on one machine takes seconds.
set -euo pipefail

if [ $# -lt 4 ]; then
  sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
module=$1 package=$2 output=$3 hint=$4 ldflags="-s -w ${5:-}"
name=$(basename "$output")

command -v go >/dev/null || {
  echo "Go is not on the PATH, and $name is built from source: install Go, or add its bin directory to PATH." >&2
  exit 1
}

# Whatever GOFLAGS, go.work or cross-compilation the caller uses for the project
# must not reach a module that has nothing to do with it.
export GOFLAGS="-mod=readonly -buildvcs=false" GOWORK=off CGO_ENABLED=0
unset GOOS GOARCH

mkdir -p "$(dirname "$output")"
output=$(cd "$(dirname "$output")" && pwd)/$name
stamp=$(dirname "$output")/.$name.stamp

# Two builds of one program at once would do the same work twice.
if command -v flock >/dev/null; then
  exec 9>"$(dirname "$output")/.$name.lock"
  flock 9
fi

cd "$module"
wanted=$({ cat go.mod go.sum; go version; echo "$package $ldflags"; } | sha256sum | cut -d' ' -f1)
if [ -x "$output" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

next_output=$output.next.$$
log=$(mktemp)
trap 'rm -f "$log" "$next_output"' EXIT

# progress reads the narration of the go command and says every 20 seconds how
# far it is; what is no narration goes to the log, which is shown on failure.
progress() {
  local line status compiled=0 downloaded=0 last=$SECONDS
  while true; do
    status=0
    IFS= read -r -t 5 line || status=$?
    if [ "$status" -eq 0 ]; then
      case $line in
      "go: downloading "*) downloaded=$((downloaded + 1)) ;;
      "#"* | *:* | *" "*) printf '%s\n' "$line" >>"$log" ;;
      *) compiled=$((compiled + 1)) ;;
      esac
    elif [ "$status" -le 128 ]; then
      return 0
    fi
    if [ $((SECONDS - last)) -ge 20 ]; then
      last=$SECONDS
      echo "  $name: ${SECONDS} s, $downloaded modules downloaded, $compiled packages compiled" >&2
    fi
  done
}

echo "Building $name from source ($hint)." >&2
SECONDS=0
if ! go build -v -trimpath -ldflags "$ldflags" -o "$next_output" "$package" 2> >(progress); then
  wait || true
  echo "Building $name did not succeed. The go command said:" >&2
  tail -n 40 "$log" >&2
  exit 1
fi
wait || true

# Renaming is atomic: nobody ever runs half a program.
mv -f "$next_output" "$output"
echo "$wanted" >"$stamp"
echo "  $name is ready after $SECONDS s." >&2
