#!/usr/bin/env bash
# Puts promtool and prometheus into a directory: those of the PATH when both are
# there, else those of Debian's package, which is unpacked and not installed, so
# that no service starts.
#
#   hack/prometheus.sh [DIRECTORY]      (bin/prometheus by default)
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
directory=${1:-bin/prometheus}
programs=(promtool prometheus)

has_all() {
  local program
  for program in "${programs[@]}"; do
    [ -x "$directory/$program" ] || return 1
  done
}

! has_all || exit 0
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
  for program in "${programs[@]}"; do
    ln -sf "$(command -v "$program")" "$directory/$program"
  done
  exit 0
fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  echo "promtool and prometheus are not on the PATH, and this is not Debian: install Prometheus 2.42 or later." >&2
  exit 1
fi
echo "Fetching Debian's package of Prometheus (20 MB, once)." >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# apt-get downloads as a user of its own, who must be able to write here.
chmod 0755 "$work"
fetch() { (cd "$work" && apt-get download -qq prometheus) >"$work/log" 2>&1; }
if ! fetch; then
  # The package lists of a fresh machine are missing or old.
  sudo=
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update -qq >"$work/log" 2>&1 && fetch || {
    echo "Fetching the package did not succeed. apt-get said:" >&2
    tail -n 20 "$work/log" >&2
    exit 1
  }
fi
dpkg-deb --extract "$work"/prometheus_*.deb "$work/unpacked"
for program in "${programs[@]}"; do
  # Renaming is atomic: nobody ever runs half a program.
  mv -f "$work/unpacked/usr/bin/$program" "$directory/$program.next.$$"
  mv -f "$directory/$program.next.$$" "$directory/$program"
done
