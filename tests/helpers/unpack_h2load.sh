#!/usr/bin/env bash
# Puts h2load, the load generator of the serving benchmark, into a folder, from Debian's packages: unpack_h2load.sh DEST
# Needs apt-get and dpkg-deb, no root; does nothing where h2load is installed or DEST has it.
set -euo pipefail

dest=${1:?usage: unpack_h2load.sh DEST}
if command -v h2load >/dev/null || [ -x "$dest/usr/bin/h2load" ]; then
  exit 0
fi
command -v apt-get >/dev/null || { echo "unpack_h2load.sh: no 'apt-get' in PATH; install nghttp2's h2load yourself" >&2; exit 1; }
mkdir -p "$dest"
scratch=$(mktemp -d "$dest.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
# the last two are the libraries that a small Debian lacks; the rest it needs is openssl, nghttp2 and C++
(cd "$scratch" && apt-get download -qq nghttp2-client libev4 libjemalloc2)
for package in "$scratch"/*.deb; do dpkg-deb -x "$package" "$dest"; done
libraries=$(dirname "$(find "$dest" -name libev.so.4)")
LD_LIBRARY_PATH=$libraries "$dest/usr/bin/h2load" --version
