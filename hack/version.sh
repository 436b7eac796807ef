#!/usr/bin/env bash
# Prints what this source is, in one line: version, commit, time in seconds since
# 1970. Outside a clone the first two are "unknown" and the time is 0; VERSION,
# COMMIT and SOURCE_DATE_EPOCH override them.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=unknown commit=unknown seconds=0
if hash=$(git rev-parse HEAD 2>/dev/null); then
  commit=$hash
  seconds=$(git log -1 --format=%ct)
  version=$(git describe --tags --match 'v[0-9]*' --abbrev=12 2>/dev/null || echo "v0.0.0-${hash:0:12}")
  if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
    version=$version-dirty commit=$commit-dirty
  fi
fi
echo "${VERSION:-$version} ${COMMIT:-$commit} ${SOURCE_DATE_EPOCH:-$seconds}"
