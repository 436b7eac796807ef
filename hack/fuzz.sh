#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME, one after the other, because
# "go test -fuzz" takes one target of one package at a time.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${FUZZTIME:=30s}"

count=0
while IFS=: read -r file function; do
  target=${function#func }
  target=${target%%(*}
  echo "fuzz $target in $(dirname "$file") for $FUZZTIME"
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME"
  count=$((count + 1))
done < <(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+\(' . | sed 's#^\./##')

if [ "$count" -eq 0 ]; then
  echo "There is no fuzz target in this module." >&2
  exit 1
fi
