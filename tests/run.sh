#!/usr/bin/env bash
# Sets the machine up, builds, runs every test and counts (see --help).
#
# What holds: a suite counts as failed when it cannot be built, when it breaks off and
# when it runs nothing; the last line is the sum over all suites, and the exit status
# says the same.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
SAYS=tests
# shellcheck source=tuning/common.sh
. tuning/common.sh

suites=(unit sim tree flows fuzz asan tsan)

usage() {
	cat <<'TEXT'
usage: tests/run.sh [--quick] [--only SUITE]... [--full] [--fuzz-seconds N] [--wolfssl VERSION]

Runs tuning/setup.sh, builds, runs the suites one after the other and ends with a line
"N passed, N failed". The exit status is 0 only when nothing failed.

  unit   unit tests of each folder                    in build/
  sim    whole shards on a fake ring                  in build/
  tree   layering, headers that compile alone         in build/
  flows  the real binary, its peers and raw sockets   in build/
  fuzz   each parser's fuzz target                    in build-fuzz/
  asan   unit, sim and flows under the address and undefined sanitizers, in build-asan/
  tsan   the same under the thread sanitizer, as far as threads meet, in build-tsan/

  --quick             only unit, sim, tree and flows
  --only SUITE        only this suite; may be given more than once
  --full              flows with the counts and sizes of the acceptance (slow)
  --fuzz-seconds N    for each target; 30 when CI=true, else 10
  --wolfssl VERSION   with this version of tuning/wolfssl.versions, in build directories
                      of its own
  --help              this text

CI=true turns warnings into errors.
TEXT
}

usage_die() {
	warn "$*; --help lists what there is"
	exit 2
}

wanted=()
full=
fuzz_seconds=10
werror=false
if [[ ${CI:-} == true ]]; then
	fuzz_seconds=30
	werror=true
fi
setup_args=()
build=build
while (($# > 0)); do
	case $1 in
	--quick) wanted+=(unit sim tree flows) ;;
	--full) full=1 ;;
	--only | --fuzz-seconds | --wolfssl)
		(($# > 1)) || usage_die "$1 wants a value"
		case $1 in
		--only)
			[[ " ${suites[*]} " == *" $2 "* ]] || usage_die "no suite '$2'"
			wanted+=("$2")
			;;
		--fuzz-seconds)
			[[ $2 =~ ^[1-9][0-9]*$ ]] || usage_die "--fuzz-seconds wants a number, not '$2'"
			fuzz_seconds=$2
			;;
		--wolfssl)
			setup_args=(--wolfssl "$2")
			build=build-$2
			;;
		esac
		shift
		;;
	-h | --help)
		usage
		exit 0
		;;
	*) usage_die "unknown argument '$1'" ;;
	esac
	shift
done
((${#wanted[@]} > 0)) || wanted=("${suites[@]}")

jobs=$(nproc)
passed_sum=0
failed_sum=0
LOG_LINES=100

# tally SUITE PASSED FAILED: takes one suite's figures into the sum.
tally() {
	local passed=$2 failed=$3
	if ((passed + failed == 0)); then
		warn "$1: ran nothing, which counts as a failure"
		failed=1
	fi
	say "$1: $passed passed, $failed failed"
	passed_sum=$((passed_sum + passed))
	failed_sum=$((failed_sum + failed))
}

# tally_file SUITE KIND FILE STATUS: the same from a result file. A runner that failed
# while every case of its file passed broke off, which is a failure too.
tally_file() {
	local counted passed failed
	counted=$(/usr/bin/python3 tests/count.py "$2" "$3")
	read -r passed failed <<<"${counted%%$'\n'*}"
	tail -n +2 <<<"$counted" | sed 's/^/    failed: /' >&2
	if (($4 != 0 && failed == 0)); then
		warn "$1: every case passed, yet the runner ended with status $4"
		failed=1
	fi
	tally "$1" "$passed" "$failed"
}

# built DIR OPTION...: configures and compiles DIR. Once for each DIR; the outcome is
# remembered, so that each suite in a tree that does not compile fails without a retry.
declare -A outcome_of=()
built() {
	local dir=$1
	shift
	if [[ -z ${outcome_of[$dir]:-} ]]; then
		mkdir -p "$dir"
		outcome_of[$dir]=bad
		if logged "configuring $dir" "$dir/.configure.log" \
			meson_configure "$dir" "$prefix" "$@" &&
			logged "compiling in $dir" "$dir/.compile.log" ninja -C "$dir" -j "$jobs"; then
			outcome_of[$dir]=good
		fi
	fi
	[[ ${outcome_of[$dir]} == good ]]
}

# meson_suite NAME DIR SUITE SLOWNESS [WRAPPER...]
meson_suite() {
	local name=$1 dir=$2 suite=$3 slowness=$4 status=0
	shift 4
	rm -f "$dir/meson-logs/run-$suite".*
	logged "$name: running" "$dir/.$suite.log" "$@" \
		meson test -C "$dir" --no-rebuild --suite "$suite" --logbase "run-$suite" \
		--timeout-multiplier "$slowness" --print-errorlogs || status=$?
	tally_file "$name" meson "$dir/meson-logs/run-$suite.json" "$status"
}

# What one shard does alone, and what is no shard at all: nothing for the thread sanitizer,
# under which it takes minutes.
unthreaded=()
for name in bench commands config examples limits man memory mtls origin proxy_protocol \
	routing service_unit strictness tls_bodies tls_clients tls_records; do
	unthreaded+=("--ignore=tests/flows/test_$name.py")
done

# flow_suite NAME DIR [WRAPPER...]
flow_suite() {
	local name=$1 dir=$2 status=0 ignored=()
	shift 2
	[[ $name != tsan* ]] || ignored=("${unthreaded[@]}")
	rm -f "$dir/flows.xml"
	logged "$name: running" "$dir/.flows.log" "$@" \
		env RINGWAY="$root/$dir/ringway" RINGWAY_FULL="$full" PYTHONDONTWRITEBYTECODE=1 \
		/usr/bin/python3 -m pytest -q -ra -p no:cacheprovider --durations=5 \
		--junitxml="$dir/flows.xml" "${ignored[@]}" tests/flows || status=$?
	tally_file "$name" pytest "$dir/flows.xml" "$status"
}

run_fuzz() {
	local dir=$build-fuzz target name log at status pids=() names=() targets=() passed=0 failed=0
	mkdir -p "$dir"
	if ! CC=clang logged "configuring $dir" "$dir/.configure.log" \
		meson_configure "$dir" "$prefix" -Dfuzz=true -Db_lundef=false; then
		tally fuzz 0 1
		return
	fi
	# Only what is fuzzed: the rest compiles in the other directories.
	mapfile -t targets < <(ninja -C "$dir" -t targets all |
		sed -n 's,^\(\(.*/\)\?fuzz_[^/:.]*\): c_LINKER.*,\1,p')
	if ((${#targets[@]} == 0)) || ! logged "compiling in $dir" "$dir/.compile.log" \
		ninja -C "$dir" -j "$jobs" "${targets[@]}"; then
		tally fuzz 0 1
		return
	fi
	say "fuzz: ${#targets[@]} targets, $fuzz_seconds s each, $jobs at a time"
	for ((at = 0; at < ${#targets[@]}; at += jobs)); do
		pids=() names=()
		for target in "${targets[@]:at:jobs}"; do
			name=${target##*/}
			mkdir -p "$dir/found/$name" "$dir/corpus/$name"
			names+=("$name")
			# What a run finds stays in the build directory; the corpus is read.
			"$dir/$target" -max_total_time="$fuzz_seconds" -timeout=10 -rss_limit_mb=2048 \
				-print_final_stats=1 -artifact_prefix="$dir/found/$name/" \
				"$dir/corpus/$name" "tests/fuzz/corpus/$name" \
				>"$dir/$name.log" 2>&1 </dev/null &
			pids+=($!)
		done
		for target in "${!pids[@]}"; do
			name=${names[target]} log=$dir/${names[target]}.log status=0
			wait "${pids[target]}" || status=$?
			if [[ ! -d tests/fuzz/corpus/$name ]]; then
				warn "fuzz: $name has no corpus in tests/fuzz/corpus/$name"
				failed=$((failed + 1))
			elif ((status == 0)) && grep -q '^stat::number_of_executed_units: *[1-9]' "$log"; then
				passed=$((passed + 1))
				say "  $name: $(awk '/number_of_executed_units/ { print $2 }' "$log") inputs"
			else
				failed=$((failed + 1))
				warn "fuzz: $name ended with status $status; its input is in $dir/found/$name:"
				tail -n "$LOG_LINES" "$log" | sed 's/^/    /' >&2
			fi
		done
	done
	tally fuzz "$passed" "$failed"
}

# sanitized NAME SANITIZERS SLOWNESS [WRAPPER...]
sanitized() {
	local name=$1 dir=$build-$1 sanitizers=$2 slowness=$3
	shift 3
	if ! built "$dir" -Db_sanitize="$sanitizers" -Db_lundef=false; then
		tally "$name" 0 1
		return
	fi
	meson_suite "$name unit" "$dir" unit "$slowness" "$@"
	meson_suite "$name sim" "$dir" sim "$slowness" "$@"
	full='' flow_suite "$name flows" "$dir" "$@"
}

# Warnings are errors in the plain build alone: what a sanitizer puts into the code makes
# compilers see null pointers that are none.
run_suite() {
	local wrapper=()
	case $1 in
	unit | sim | tree)
		if built "$build" -Dwerror="$werror"; then meson_suite "$1" "$build" "$1" 1; else tally "$1" 0 1; fi
		;;
	flows)
		if built "$build" -Dwerror="$werror"; then flow_suite flows "$build"; else tally flows 0 1; fi
		;;
	fuzz) run_fuzz ;;
	asan)
		UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
			sanitized asan address,undefined 3
		;;
	tsan)
		# Its runtime maps fixed addresses that a kernel with much randomness has
		# already given away; not every container lets us turn that off.
		! setarch -R true 2>/dev/null || wrapper=(setarch -R)
		TSAN_OPTIONS=second_deadlock_stack=1 sanitized tsan thread 6 "${wrapper[@]}"
		;;
	esac
}

# The sum is the last line whatever happens, a tree that cannot be set up included.
finish() {
	local status=$? pid
	trap - EXIT
	for pid in $(jobs -p); do # after a signal: fuzzers, or what logged waited for
		kill "$pid" 2>/dev/null || true
	done
	((status == 0)) || failed_sum=$((failed_sum + 1))
	say "took $((SECONDS / 60)) min $((SECONDS % 60)) s"
	printf '%d passed, %d failed\n' "$passed_sum" "$failed_sum"
	((failed_sum == 0)) || exit 1
	exit 0
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

RINGWAY_FULL="$full" bash tuning/setup.sh "${setup_args[@]}"
prefix=$(bash tuning/setup.sh --print-prefix "${setup_args[@]}")
for suite in "${suites[@]}"; do
	if [[ " ${wanted[*]} " == *" $suite "* ]]; then
		run_suite "$suite"
	fi
done
