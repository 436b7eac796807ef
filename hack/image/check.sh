#!/usr/bin/env bash
# Builds the image twice, the second time from a copy of the source in another
# place and without anything from Go's build cache, and compares what comes out.
#
#   hack/image/check.sh DIRECTORY
set -euo pipefail

if [ $# -ne 1 ]; then
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
first=$1
hack/image/build.sh "$first"

other=$(mktemp -d)
trap 'rm -rf "$other"' EXIT
read -r VERSION COMMIT SOURCE_DATE_EPOCH < <(hack/version.sh)
export VERSION COMMIT SOURCE_DATE_EPOCH
mkdir "$other/source"
# What is built and what git keeps is no source.
tar --exclude=./bin --exclude=./.git -cf - . | tar -xf - -C "$other/source"
GOCACHE=$other/cache "$other/source/hack/image/build.sh" "$other/out"

status=0
for file in "$first"/warmpool*; do
  if ! cmp "$file" "$other/out/$(basename "$file")"; then
    status=1
  fi
done
if [ "$status" -ne 0 ]; then
  echo "Two builds of one source differ: the image is not reproducible." >&2
  exit 1
fi
echo "image-check: two builds of $VERSION are the same, $(cat "$first/warmpool.digest")"
