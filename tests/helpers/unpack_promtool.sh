#!/usr/bin/env bash
# Puts promtool, which checks and tries Prometheus' rules, into a folder, from Debian's package: unpack_promtool.sh DEST
# Needs apt-get and dpkg-deb, no root; does nothing where promtool is installed or DEST has it.
set -euo pipefail

dest=${1:?usage: unpack_promtool.sh DEST}
if command -v promtool >/dev/null || [ -x "$dest/promtool" ]; then
  exit 0
fi
command -v apt-get >/dev/null || { echo "unpack_promtool.sh: no 'apt-get' in PATH; install Prometheus' promtool yourself" >&2; exit 1; }
mkdir -p "$dest"
scratch=$(mktemp -d "$dest/promtool.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .)
install -m 755 "$scratch/usr/bin/promtool" "$dest/promtool"
"$dest/promtool" --version
