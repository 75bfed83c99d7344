#!/usr/bin/env bash
# From a clean clone to a running gateway (see --help).
#
# What holds: what this script started, it stops, however it ends; and the lines that it
# prints are the lines that --check tries.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
SAYS=quickstart
# shellcheck source=tuning/common.sh
. tuning/common.sh

usage() {
	cat <<'TEXT'
usage: configs/quickstart.sh [--check]

Sets the machine up (tuning/setup.sh), builds in build/, starts the built-in origin and
the gateway with configs/quickstart.yaml, prints the addresses and curl lines to try,
and stops both on Ctrl-C.

  --check  try the lines itself, stop, and exit with 0 when all went well, else 1
  --help   this text

It uses the ports 8080 (gateway), 9090 (metrics, health) and 9000 (origin) of 127.0.0.1.
TEXT
}

check=false
case ${1:-} in
'') ;;
--check) check=true ;;
-h | --help)
	usage
	exit 0
	;;
*)
	warn "unknown argument '$1'"
	usage >&2
	exit 2
	;;
esac

gateway=http://127.0.0.1:8080
metrics=http://127.0.0.1:9090
origin=127.0.0.1:9000

# status | text that the answer holds | what it shows | the line
tries=(
	"200|hello from ringway|an answer of the gateway itself|curl -i $gateway/hello"
	"200|some text|a request to the origin and back|curl -i -d 'some text' $gateway/echo"
	"200|Content-Length: 100|a body of 100 bytes|curl -i $gateway/bytes/100"
	"200||an answer that takes 0.3 s|curl -i $gateway/delay/300"
	"504|problem+json|one that takes longer than its route may|curl -i $gateway/delay/3000"
	"503||a status that the origin chose|curl -i $gateway/status/503"
	"405|Allow:|a method that the route does not take|curl -i -X DELETE $gateway/echo"
	"308|/hello?was=/old/page|a redirect|curl -i $gateway/old/page"
	"404|problem+json|a path that no route has|curl -i $gateway/nowhere"
	"200||is it alive|curl -i $metrics/health"
)

run_dir=$root/build/quickstart
pids=()

# What we started gets a session of its own: Ctrl-C in the terminal reaches only this
# script, which then asks once, since a second signal would cut the drain short.
start() {
	local name=$1
	shift
	setsid "$@" >"$run_dir/$name.log" 2>&1 </dev/null &
	pids+=($!)
}

# shellcheck disable=SC2317 # the EXIT trap calls it
stop_all() {
	local pid
	trap '' INT TERM
	for pid in "${pids[@]}"; do
		kill -TERM "$pid" 2>/dev/null || true
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || true
	done
	pids=()
}

port_free() {
	local port=$1 who
	! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
	who=$(ss -Hltnp "sport = :$port" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/ by \1 (pid \2)/p' | head -n 1)
	die "port $port of 127.0.0.1 is in use$who; free it and start again"
}

# answers NAME PID URL: waits until URL answers with a success.
answers() {
	local name=$1 pid=$2 url=$3 tick
	for ((tick = 0; tick < 100; tick++)); do
		curl -fs -o "$run_dir/answer" --max-time 2 "$url" && return
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	warn "the $name does not answer; what it said:"
	sed 's/^/    /' "$run_dir/$name.log" >&2
	exit 1
}

# Tries each line as it is printed; only where the answer goes is added.
try_all() {
	local try want text what line got bad=0
	for try in "${tries[@]}"; do
		IFS='|' read -r want text what line <<<"$try"
		got=$(eval "curl -sS --max-time 10 -o '$run_dir/answer' -w '%{http_code}' ${line#curl }") || got="${got:-}, curl failed"
		if [[ $got == "$want" ]] && grep -qiF -- "$text" "$run_dir/answer"; then
			say "good: $line ($got)"
		else
			warn "bad: $line gave $got; expected $want with '$text':"
			sed 's/^/    /' "$run_dir/answer" >&2
			bad=$((bad + 1))
		fi
		: >"$run_dir/answer"
	done
	if ((bad > 0)); then
		warn "the gateway said at last:"
		tail -n 20 "$run_dir/gateway.log" | sed 's/^/    /' >&2
		die "$bad of ${#tries[@]} lines went wrong"
	fi
	say "all ${#tries[@]} lines gave what they should"
}

print_all() {
	local try want text what line
	cat <<TEXT

Running, until Ctrl-C:
  gateway  $gateway    (configs/quickstart.yaml)
  health   $metrics    (/metrics, /health, /ready)
  origin   http://$origin
Logs are in build/quickstart/. Lines to try in another terminal:

TEXT
	for try in "${tries[@]}"; do
		IFS='|' read -r want text what line <<<"$try"
		printf '  %-58s # %s: %s\n' "$line" "$want" "$what"
	done
	echo
}

# Said now rather than after minutes of compiling.
for port in 9000 8080 9090; do
	port_free "$port"
done
bash tuning/setup.sh
prefix=$(bash tuning/setup.sh --print-prefix)
mkdir -p "$run_dir"
logged "configuring build/" build/.configure.log meson_configure build "$prefix"
logged "compiling in build/" build/.compile.log ninja -C build

trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
start origin build/ringway origin --listen "$origin"
answers origin "${pids[0]}" "http://$origin/echo"
start gateway build/ringway run configs/quickstart.yaml
answers gateway "${pids[1]}" "$metrics/ready"

if $check; then
	try_all
	exit 0
fi
print_all
# Ends with Ctrl-C, or when one of the two ends by itself, which must not go unseen.
status=0
wait -n "${pids[@]}" || status=$?
warn "the origin or the gateway ended with status $status; its log is in build/quickstart/"
exit 1
