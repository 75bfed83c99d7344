#!/usr/bin/env bash
# Makes a Debian machine able to build and test Ringway: packages, and a wolfSSL
# that is built with assembler (see --help).
#
# What holds: nothing below /etc/apt changes; root is used for installing packages
# only; the wolfSSL prefix appears whole or not at all (it is built aside and moved
# into place), so a prefix with its .complete file can be trusted.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SAYS=setup
# shellcheck source=tuning/common.sh
. "$here/common.sh"

usage() {
	cat <<'TEXT'
usage: tuning/setup.sh [--newest | --wolfssl VERSION] [--print-prefix]

Installs what building and testing Ringway needs on Debian 12 and later, then
builds wolfSSL with assembler from the Debian archive's source. A second run finds
everything in place and ends at once. With RINGWAY_FULL=1 in the environment it also
installs what the full run of the tests wants besides: Chromium and testssl.sh.

  --newest           build the newest wolfSSL that the archive has, though it is
                     not on the list of tested versions (tuning/wolfssl.versions)
  --wolfssl VERSION  build this version of that list, not the first available one
  --print-prefix     do nothing, print where that wolfSSL lies (1 when nowhere)
  --help             this text

What it changes:
  - installs missing packages with apt-get, as root or through sudo; services that
    come with them (nginx, HAProxy, Prometheus) are neither started nor enabled
  - writes below ${RINGWAY_CACHE:-${XDG_CACHE_HOME:-~/.cache}/ringway}
It uses the archives, proxies and keys that apt on this machine is set up with, and
looks into other suites of the same archive without adding them to apt.
TEXT
}

mode=listed
version=
print_prefix=false
while (($# > 0)); do
	case $1 in
	--newest) mode=newest ;;
	--wolfssl)
		(($# > 1)) || die "--wolfssl wants a version; tuning/wolfssl.versions lists them"
		mode=one version=$2
		shift
		;;
	--print-prefix) print_prefix=true ;;
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
	shift
done

list=$here/wolfssl.versions
cache=${RINGWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway}

# Under sudo the library belongs to who called, whose builds must find it.
caller=
if ((EUID == 0)) && [[ -n ${SUDO_USER:-} && $SUDO_USER != root && -z ${RINGWAY_CACHE:-} ]]; then
	caller=$SUDO_USER
	cache=$(getent passwd "$caller" | cut -d: -f6)/.cache/ringway
fi

# ---- packages ---------------------------------------------------------------

# "a|b": either will do, the first that apt knows is installed.
packages_build=(
	gcc libc6-dev make meson ninja-build 'pkgconf|pkg-config'
	liburing-dev libxxhash-dev libjemalloc-dev libfyaml-dev libjansson-dev libc-ares-dev
	'libcurl4-gnutls-dev|libcurl4-openssl-dev'
	autoconf automake libtool
)
packages_test=(
	libcmocka-dev clang libclang-rt-dev python3 python3-pytest
	'nginx-light|nginx|nginx-core|nginx-full' haproxy wrk curl openssl libssl-dev gnutls-bin
	prometheus python3-prometheus-client
	'linux-perf|linux-perf-any' iproute2 procps mandoc
)
# What only the full run of the tests drives: a browser is 400 MB.
[[ ${RINGWAY_FULL:-} != 1 ]] || packages_test+=(chromium testssl.sh)
# Those that bring a service, by the names of their packages and units.
services=(nginx haproxy prometheus)

debian_check() {
	local id='' like='' release='' name='this system'
	if [[ -r /etc/os-release ]]; then
		# shellcheck disable=SC1091
		id=$(. /etc/os-release && printf '%s' "${ID:-}")
		# shellcheck disable=SC1091
		like=$(. /etc/os-release && printf '%s' "${ID_LIKE:-}")
		# shellcheck disable=SC1091
		release=$(. /etc/os-release && printf '%s' "${VERSION_ID:-}")
		# shellcheck disable=SC1091
		name=$(. /etc/os-release && printf '%s' "${PRETTY_NAME:-$ID}")
	fi
	# Testing and unstable have no VERSION_ID: newer than any release.
	if [[ $id == debian ]] && { [[ -z $release ]] || ((${release%%.*} >= 12)); }; then
		return
	fi
	warn "error: $name${like:+ (like $like)} is not Debian 12 or later, which is what this script knows."
	cat >&2 <<TEXT
Elsewhere, install by hand (the names are Debian's):
  to build: ${packages_build[*]}
  to test:  ${packages_test[*]}
then build wolfSSL (any of: $(listed_versions | tr '\n' ' ')) with
  ./autogen.sh && ./configure --prefix=PREFIX $(configure_flags | tr '\n' ' ')
and give meson -Dpkg_config_path=PREFIX/lib/pkgconfig. Linux 6.1 is the minimum.
TEXT
	exit 1
}

# Prints the names of those in "$@" that dpkg has installed.
installed_of() {
	{ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } |
		awk '$1 == "installed" { print $2 }'
}

# Sets the array `missing` to what of the package lists has no installed alternative.
find_missing() {
	local want one all=() found
	for want in "${packages_build[@]}" "${packages_test[@]}"; do
		IFS='|' read -ra one <<<"$want"
		all+=("${one[@]}")
	done
	found=$'\n'$(installed_of "${all[@]}")$'\n'
	missing=()
	for want in "${packages_build[@]}" "${packages_test[@]}"; do
		IFS='|' read -ra one <<<"$want"
		for name in "${one[@]}"; do
			[[ $found == *$'\n'"$name"$'\n'* ]] && continue 2
		done
		missing+=("$want")
	done
}

as_root() {
	if ((EUID == 0)); then
		"$@"
	else
		sudo "$@"
	fi
}

policy=/usr/sbin/policy-rc.d
policy_mark='made by tuning/setup.sh of Ringway, which removes it when it ends'
policy_is_ours=false

# invoke-rc.d asks this file before it starts a service. One that is there already
# is somebody's decision and stays; one with our mark was left by a killed run.
services_hold() {
	if [[ -e $policy ]] && ! grep -qF "$policy_mark" "$policy"; then
		return
	fi
	policy_is_ours=true
	printf '#!/bin/sh\n# %s\nexit 101\n' "$policy_mark" | as_root tee "$policy" >/dev/null
	as_root chmod 755 "$policy"
}

services_release() {
	if $policy_is_ours; then
		as_root rm -f "$policy"
		policy_is_ours=false
	fi
}

# policy-rc.d keeps a service from starting now, not at the next boot.
services_disable() {
	local unit
	for unit in "$@"; do
		if [[ -d /run/systemd/system ]]; then
			as_root systemctl disable --quiet "$unit" || warn "could not disable $unit"
		elif [[ -e /etc/init.d/$unit ]]; then
			as_root update-rc.d "$unit" disable || warn "could not disable $unit"
		fi
	done
}

apt_has() {
	[[ -n $(apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ && $2 != "(none)"') ]]
}

packages_install() {
	local log=$cache/log/packages.log want one name names=() before after unit fresh=()
	find_missing
	if ((${#missing[@]} == 0)); then
		say "packages: all installed"
		return
	fi
	if ((EUID != 0)) && ! command -v sudo >/dev/null; then
		die "these packages are missing and only root can install them (there is no sudo): ${missing[*]}"
	fi
	# A password prompt must not happen behind a log file.
	((EUID == 0)) || sudo -v || die "sudo refused; missing packages: ${missing[*]}"

	local apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
	logged "packages: ${#missing[@]} missing, reading apt's indexes" "$cache/log/update.log" \
		"${apt[@]}" update ||
		warn "going on with the indexes that are there"
	for want in "${missing[@]}"; do
		IFS='|' read -ra one <<<"$want"
		for name in "${one[@]}"; do
			if apt_has "$name"; then
				names+=("$name")
				continue 2
			fi
		done
		die "apt knows no package for '$want'; its sources must include Debian's main component"
	done
	before=$(installed_of "${services[@]}")
	services_hold
	logged "packages: installing ${names[*]}" "$log" \
		"${apt[@]}" install -y --no-install-recommends "${names[@]}" ||
		die "the packages could not be installed"
	services_release
	after=$(installed_of "${services[@]}")
	for unit in $after; do
		[[ $'\n'$before$'\n' == *$'\n'"$unit"$'\n'* ]] || fresh+=("$unit")
	done
	services_disable "${fresh[@]}" >>"$log" 2>&1
}

# ---- wolfSSL: which, and where it comes from ---------------------------------

listed_versions() { awk '!/^#/ && NF == 3 { print $1 }' "$list"; }
listed_hash() { awk -v v="$1" '!/^#/ && $1 == v { print $3 }' "$list"; }
listed_suites() { awk '!/^#/ && NF == 3 { print $2 }' "$list" | sort -u; }

# No OpenSSL compatibility, no SESSION_CERTS, no KEEP_PEER_CERT: together they
# triple the memory of a connection.
configure_flags() {
	case $(uname -m) in
	x86_64) printf '%s\n' --enable-intelasm ;;
	aarch64) printf '%s\n' --enable-armasm ;;
	esac
	printf '%s\n' \
		--enable-static --disable-shared --with-pic \
		--enable-sp=yes,asm --enable-sp-asm \
		--disable-opensslextra --disable-opensslall \
		--disable-oldtls --disable-examples --disable-crypttests --disable-benchmark \
		--enable-tls13 --enable-sni --enable-alpn --enable-session-ticket \
		--enable-supportedcurves --enable-extended-master \
		--enable-ecc --enable-curve25519 --enable-ed25519 --enable-rsapss \
		--enable-aesgcm --enable-aesctr --enable-chacha --enable-poly1305 \
		--enable-hkdf --enable-sha512 \
		--enable-ocsp --enable-ocspstapling --enable-ocspstapling2 --enable-crl
}

# -O2: the default of wolfSSL is -Os. The seed callback is what lets a shard seed
# the generators of its connections from its own pool, the verify callback that is
# always called is what hands out a peer's chain without keeping it. Alternate chains:
# many servers send a last certificate that nobody needs, a root signed by another one
# that the systems have dropped; what counts is that the leaf leads to a trusted one.
# We never fork, so no generator has to ask for its process's number each time.
cflags='-O2 -fPIC -DWC_RNG_SEED_CB -DWOLFSSL_ALWAYS_VERIFY_CB'
cflags+=' -DWOLFSSL_ALT_CERT_CHAINS -DWOLFSSL_NO_GETPID'

# Two trees that want different flags share a cache without rebuilding for each other.
flags_key() { { configure_flags; echo "$cflags"; uname -m; } | sha256sum | cut -c1-8; }

prefix_of() { printf '%s/wolfssl-%s-%s' "$cache" "$1" "$(flags_key)"; }
prefix_is_whole() { [[ -f $(prefix_of "$1")/.complete ]]; }

# Remembers the version that a plain run took, for this list and these flags: the
# next run must not ask the archive again whether a better one came up.
chosen_file() { printf '%s/chosen-%s-%s' "$cache" "$(sha256sum <"$list" | cut -c1-8)" "$(flags_key)"; }

# Prints one line "uri<TAB>options" for each archive of Debian itself in apt's
# sources, of both formats: options are what a source line of it needs in brackets.
# Entries of other origins and the security archive have no suites that we look for.
archives() {
	local list_name=/etc/apt/sources.list parts=/etc/apt/sources.list.d codename
	# shellcheck disable=SC1091
	codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
	eval "$(apt-config shell list_name Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
	local is_suite='
		function is_suite(s) {
			return s == codename ||
				s ~ /^(oldstable|stable|testing|unstable|sid|bookworm|trixie|forky|duke)$/
		}
		function unseen(u) { sub(/\/*$/, "/", u); return !seen[u]++ }'
	{
		local file
		for file in "$list_name" "$parts"/*.list; do
			[[ -r $file ]] || continue
			awk -v codename="$codename" "$is_suite"'
				{ sub(/#.*/, "") }
				$1 != "deb" && $1 != "deb-src" { next }
				{
					options = ""
					rest = $0
					if (match(rest, /\[[^]]*\]/)) {
						options = substr(rest, RSTART + 1, RLENGTH - 2)
						rest = substr(rest, 1, RSTART - 1) " " substr(rest, RSTART + RLENGTH)
					}
					n = split(rest, word, " ")
					for (i = 4; i <= n; i++)
						if (word[i] == "main" && is_suite(word[3]) && unseen(word[2]))
							print word[2] "\t" options
				}' "$file"
		done
		for file in "$parts"/*.sources; do
			[[ -r $file ]] || continue
			# Keys in the stanza itself (a block of lines) have no place in brackets:
			# such an archive gives up its files by hash, not its index.
			awk -v codename="$codename" "$is_suite"'
				function flush(   i, j, n, m, uri, suite) {
					if (tolower(field["enabled"]) != "no" && field["types"] ~ /deb/ &&
					    (" " field["components"] " ") ~ / main /) {
						options = ""
						if (field["signed-by"] ~ /^[ ]*\//) {
							gsub(/^ +| +$/, "", field["signed-by"])
							gsub(/ +/, ",", field["signed-by"])
							options = "signed-by=" field["signed-by"]
						}
						if (tolower(field["trusted"]) ~ /yes/)
							options = options " trusted=yes"
						n = split(field["uris"], uri, " ")
						m = split(field["suites"], suite, " ")
						for (i = 1; i <= n; i++)
							for (j = 1; j <= m; j++)
								if (is_suite(suite[j]) && unseen(uri[i]))
									print uri[i] "\t" options
					}
					split("", field)
				}
				/^#/ { next }
				/^[ \t]*$/ { flush(); next }
				/^[ \t]/ { field[name] = field[name] " " $0; next }
				{
					name = tolower($0)
					sub(/:.*/, "", name)
					value = $0
					sub(/^[^:]*:[ \t]*/, "", value)
					field[name] = value
				}
				END { flush() }' "$file"
		done
	} | awk -F '\t' '!seen[$1]++' | grep -v '^cdrom:' || true
}

# apt's own downloader, for its proxies, logins and transports. As root it would
# step down to a user that cannot write to the cache, and warn.
download() {
	/usr/lib/apt/apt-helper -q -o APT::Sandbox::User=root download-file "$@" >>"$cache/log/download.log" 2>&1
}

# The servers behind an archive: itself, or the lines of a mirror list.
servers() {
	case $1 in
	mirror+*)
		download "${1#mirror+}" "$cache/apt/mirrors" &&
			sed -e 's/#.*//' "$cache/apt/mirrors" | awk 'NF { print $1 }'
		;;
	*) printf '%s\n' "$1" ;;
	esac
}

# source_index URI OPTIONS: prints "version hash path" of each wolfSSL orig archive in
# the suites that we know. The indexes are read through a private twin of the archive.
source_index() {
	local dir suite name
	dir=$cache/apt/$(printf '%s' "$1" | sha256sum | cut -c1-8)
	if [[ ! -f $dir/read ]]; then
		mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/parts"
		for suite in $(listed_suites); do
			printf 'deb-src %s %s %s main\n' "${2:+[$2]}" "$1" "$suite"
		done >"$dir/sources.list"
	fi
	local private=(
		-o "Dir::Etc::sourcelist=$dir/sources.list" -o "Dir::Etc::sourceparts=$dir/parts"
		-o "Dir::State::lists=$dir/lists" -o "Dir::Cache=$dir/cache"
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root
		# The hooks of the machine's apt are about its own indexes.
		-o APT::Update::Post-Invoke-Success= -o APT::Update::Post-Invoke=
	)
	if [[ ! -f $dir/read ]]; then
		# A suite that this archive lacks fails alone; the others are read.
		apt-get -q "${private[@]}" update >>"$cache/log/download.log" 2>&1 || true
		touch "$dir/read"
	fi
	apt-cache "${private[@]}" showsrc --only-source wolfssl 2>/dev/null | awk '
		/^Package:/ { hashes = 0; file = "" }
		/^[A-Z]/ { hashes = ($1 == "Checksums-Sha256:") }
		hashes && NF == 3 && $3 ~ /\.orig\.tar\.[a-z0-9]+$/ { hash = $1; file = $3 }
		/^Directory:/ { directory = $2 }
		/^$/ && file != "" {
			version = file
			sub(/^[^_]*_/, "", version)
			sub(/\.orig\..*/, "", version)
			print version, hash, directory "/" file
		}'
}

# fetch_from URI HASH PATH FILE: 0 with the verified archive in FILE.
fetch_from() {
	local server
	while read -r server; do
		if download "${server%/}/$3" "$4.part" "SHA256:$2" &&
			printf '%s  %s\n' "$2" "$4.part" | sha256sum --status -c -; then
			mv "$4.part" "$4"
			return 0
		fi
	done < <(servers "$1")
	rm -f "$4.part" "$4.part.FAILED"
	return 1
}

# fetch VERSION HASH FILE. The file's place in the pool is the same on every mirror,
# so it is asked for outright; the indexes are read only when it is elsewhere.
fetch() {
	local uri options version hash path
	if [[ -f $3 ]] && printf '%s  %s\n' "$2" "$3" | sha256sum --status -c -; then
		return 0
	fi
	say "wolfSSL $1: fetching the source from the archive"
	while IFS=$'\t' read -r uri options; do
		fetch_from "$uri" "$2" "pool/main/w/wolfssl/wolfssl_$1.orig.tar.gz" "$3" && return 0
	done < <(archives)
	while IFS=$'\t' read -r uri options; do
		while read -r version hash path; do
			[[ $version == "$1" && $hash == "$2" ]] || continue
			fetch_from "$uri" "$2" "$path" "$3" && return 0
		done < <(source_index "$uri" "$options")
	done < <(archives)
	say "wolfSSL $1: not in the archive (${cache}/log/download.log has the details)"
	return 1
}

# Prints "version hash" of the newest release in the archives' signed indexes.
newest() {
	local uri options version hash path best='' best_hash=''
	while IFS=$'\t' read -r uri options; do
		while read -r version hash path; do
			if [[ -z $best ]] || dpkg --compare-versions "$version" gt "$best"; then
				best=$version best_hash=$hash
			fi
		done < <(source_index "$uri" "$options")
	done < <(archives)
	[[ -n $best ]] && printf '%s %s\n' "$best" "$best_hash"
}

# ---- wolfSSL: the build ------------------------------------------------------

# build VERSION FILE
build() {
	local prefix work source log=$cache/log/wolfssl-$1.log flags=()
	prefix=$(prefix_of "$1")
	work=$cache/build-$1
	rm -rf "$work"
	mkdir -p "$work/source"
	source=$work/source
	mapfile -t flags < <(configure_flags)
	say "wolfSSL $1: building with $(nproc) jobs, about a minute on two cores"
	tar -xf "$2" -C "$source" --strip-components=1 || return 1
	logged "wolfSSL $1: 1/3 preparing" "$log" env -C "$source" ./autogen.sh || return 1
	logged "wolfSSL $1: 2/3 configuring" "$log" env -C "$source" CFLAGS="$cflags" ./configure \
		--quiet --enable-silent-rules --prefix="$prefix" "${flags[@]}" || return 1
	logged "wolfSSL $1: 3/3 compiling" "$log" make -C "$source" -j"$(nproc)" || return 1
	make -C "$source" install DESTDIR="$work/staged" >>"$log" 2>&1 || {
		tail -n 30 "$log" >&2
		return 1
	}
	# The library that a later change of configure made slow or fat must not pass.
	options_check "$work/staged$prefix/include/wolfssl/options.h" || return 1
	touch "$work/staged$prefix/.complete" &&
		rm -rf "$prefix" &&
		mv "$work/staged$prefix" "$prefix" &&
		rm -rf "$work"
}

options_check() {
	local bad
	if bad=$(grep -E '^#define (OPENSSL_EXTRA|OPENSSL_ALL|SESSION_CERTS|KEEP_PEER_CERT)\b' "$1"); then
		warn "this wolfSSL was built with what costs memory for each connection: $bad"
		return 1
	fi
	if [[ $(uname -m) == x86_64 ]] &&
		! { grep -q '^#define WOLFSSL_AESNI\b' "$1" && grep -q '^#define WOLFSSL_SP_X86_64_ASM\b' "$1"; }; then
		warn "this wolfSSL came out without its assembler"
		return 1
	fi
}

# ensure VERSION HASH: 0 when that version is built, 1 when the archive lacks it.
ensure() {
	local file=$cache/source/wolfssl_$1.orig.tar
	if prefix_is_whole "$1"; then
		say "wolfSSL $1: built already"
		return 0
	fi
	fetch "$1" "$2" "$file" || return 1
	build "$1" "$file" || die "wolfSSL $1 could not be built"
	say "wolfSSL $1: ready in $(prefix_of "$1")"
}

chosen() {
	local file
	file=$(chosen_file)
	[[ -r $file ]] && version=$(<"$file") && prefix_is_whole "$version"
}

wolfssl_install() {
	local hash
	case $mode in
	one)
		hash=$(listed_hash "$version")
		[[ -n $hash ]] ||
			die "wolfSSL $version is not on the list: $(listed_versions | tr '\n' ' ')"
		ensure "$version" "$hash" || die "no archive of this machine has wolfSSL $version"
		;;
	newest)
		say "wolfSSL: looking for the newest in the archive's suites"
		read -r version hash < <(newest) || die "no archive of this machine has a source of wolfSSL"
		[[ $(listed_hash "$version") == "$hash" ]] ||
			warn "wolfSSL $version is not on the list of tested versions"
		ensure "$version" "$hash" || die "wolfSSL $version could not be fetched"
		printf '%s\n' "$version" >"$cache/newest-$(flags_key)"
		;;
	listed)
		if chosen; then
			say "wolfSSL $version: built already"
			return
		fi
		for version in $(listed_versions); do
			if ensure "$version" "$(listed_hash "$version")"; then
				printf '%s\n' "$version" >"$(chosen_file)"
				return
			fi
		done
		die "no archive of this machine has any of wolfSSL $(listed_versions | tr '\n' ' ')(--newest takes what there is)"
		;;
	esac
}

prefix_print() {
	case $mode in
	listed) chosen || die "wolfSSL is not built; run tuning/setup.sh" ;;
	newest)
		[[ -r $cache/newest-$(flags_key) ]] || die "wolfSSL is not built; run tuning/setup.sh --newest"
		version=$(<"$cache/newest-$(flags_key)")
		;;
	esac
	prefix_is_whole "$version" || die "wolfSSL $version is not built; run tuning/setup.sh --wolfssl $version"
	printf '%s\n' "$(prefix_of "$version")"
}

if $print_prefix; then
	prefix_print
	exit 0
fi

at_exit() {
	local pid
	for pid in $(jobs -p); do # after a signal: what logged waited for
		kill "$pid" 2>/dev/null || true
	done
	services_release
	rm -rf "$cache/apt" # unpacked indexes, 70 MB
	[[ -z $caller ]] || chown -R "$caller": "$cache"
}

debian_check
[[ -z $caller ]] || runuser -u "$caller" -- mkdir -p "$cache"
mkdir -p "$cache/log" "$cache/source" "$cache/apt"
# One at a time: two runs would build into one directory and share policy-rc.d.
exec 9>"$cache/lock"
if ! flock -n 9; then
	say "waiting for another run to end"
	flock 9
fi
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
packages_install
wolfssl_install
