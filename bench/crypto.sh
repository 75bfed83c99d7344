#!/bin/sh
# What the linked wolfSSL makes of this CPU: see bench/README.md.
set -eu
case ${1:-} in
-h | --help)
	echo "usage: bench/crypto.sh [BUILD]"
	echo "Builds bench/crypto in BUILD (default: build) and runs it, about a second on one CPU."
	exit 0
	;;
esac
build=${1:-$(dirname -- "$0")/../build}
ninja -C "$build" bench/crypto > /dev/null || { echo "crypto.sh: no build in $build" >&2; exit 1; }
exec "$build/bench/crypto"
