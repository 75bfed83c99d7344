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
# in a while that it still runs. A failure shows the end of LOG and returns the
# command's status.
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
		tail -n 30 "$log" | sed 's/^/    /' >&2
	fi
	return "$status"
}

# Configures (or reconfigures) the build directory $1 with the options that follow
# and the wolfSSL of prefix $2. Meson keeps what a directory was configured with,
# so a change of library or option has to be told to it by name.
meson_configure() {
	local dir=$1 prefix=$2
	shift 2
	if [[ -f $dir/build.ninja ]]; then
		meson setup --reconfigure "$dir" -Dpkg_config_path="$prefix/lib/pkgconfig" "$@"
	else
		meson setup "$dir" -Dpkg_config_path="$prefix/lib/pkgconfig" "$@"
	fi
}
