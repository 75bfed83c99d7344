# shellcheck shell=bash
# What setup.sh, tests/run.sh and configs/quickstart.sh share. Sourced, never run.

# Each script sets its own name, so that a line says who speaks.
SAYS=${SAYS:-ringway}

say() { printf '%s: %s\n' "$SAYS" "$*"; }
warn() { printf '%s: %s\n' "$SAYS" "$*" >&2; }
die() {
	warn "error: $*"
	exit 1
}

# logged WHAT LOG COMMAND... runs the command with its output in LOG and says once
# in a while that it still runs. A failure shows the last LOG_LINES of LOG and returns
# the command's status.
LOG_LINES=30
logged() {
	local what=$1 log=$2 started=$SECONDS told=$SECONDS status=0 pid
	shift 2
	say "$what"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if ((SECONDS - told >= 15)); then
			told=$SECONDS
			say "  still at it after $((SECONDS - started)) s"
		fi
	done
	wait "$pid" || status=$?
	if ((status != 0)); then
		warn "$what: failed with status $status after $((SECONDS - started)) s; the end of $log:"
		tail -n "$LOG_LINES" "$log" | sed 's/^/    /' >&2
	fi
	return "$status"
}

# meson_configure DIR PREFIX OPTION...: configures the build directory DIR with the
# wolfSSL of PREFIX. Meson keeps what a directory was configured with, so a change of
# library or option has to be told to it by name; without a change there is nothing
# to do, since ninja notices edited meson files itself.
meson_configure() {
	local dir=$1 prefix=$2 again=()
	shift 2
	local options=(-Dpkg_config_path="$prefix/lib/pkgconfig" "$@")
	if [[ -f $dir/build.ninja ]]; then
		[[ ! -f $dir/.options || $(<"$dir/.options") != "${options[*]}" ]] || return 0
		again=(--reconfigure)
	fi
	meson setup "${again[@]}" "$dir" "${options[@]}" || return
	printf '%s\n' "${options[*]}" >"$dir/.options"
}
