#!/usr/bin/env bash
# Instructions of our own code per request, by function (see profile_request.c).
set -euo pipefail

usage() {
	cat <<'TEXT'
usage: bench/profile_request.sh [BUILD [REQUESTS [FUNCTIONS [HEADERS]]]]

Builds bench/profile_request in BUILD (default: build), runs REQUESTS (20000) requests
under valgrind's callgrind and prints instructions per request: the sum and the FUNCTIONS
(40) that cost most. No kernel is in it; the same code always gives the same figures.
With HEADERS (off, ietf, x-ratelimit or both) every request is counted against a limit with
such `headers`, which lets all pass: the difference is what one limit costs.
TEXT
}

case ${1:-} in
-h | --help) usage; exit 0 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${1:-$root/build}
requests=${2:-20000}
functions=${3:-40}
limit=("${@:4:1}")
for tool in valgrind callgrind_annotate; do
	command -v $tool > /dev/null || { echo "$0: $tool is not there" >&2; exit 1; }
done

ninja -C "$build" bench/profile_request > /dev/null
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
# Inside turns of the shard only: what starts it up is none of a request's.
valgrind -q --tool=callgrind --toggle-collect=shard_turn --callgrind-out-file="$counts" \
	"$build/bench/profile_request" "$requests" ${limit[@]+"${limit[@]}"}
callgrind_annotate --threshold=100 --show-percs=no "$counts" |
	awk -v requests="$requests" -v functions="$functions" '
	$1 ~ /^[0-9,]+$/ && $2 ~ /:/ {
		cost = $1
		gsub(",", "", cost)
		name = $2
		sub(".*:", "", name)
		if (name ~ /^loop_/)
			ring += cost
		else {
			sum += cost
			if (++n <= functions)
				line[n] = sprintf("%9.1f  %s", cost / requests, name)
		}
	}
	END {
		printf "%9.1f  instructions per request (and %.1f of the ring that stands in for " \
			"the kernel)\n", sum / requests, ring / requests
		for (i = 1; i <= n && i <= functions; i++)
			print line[i]
	}'
