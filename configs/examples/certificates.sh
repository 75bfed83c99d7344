#!/usr/bin/env bash
# An authority of one's own and the certificates that the examples with TLS name (see --help).
set -euo pipefail

usage() {
	cat <<'TEXT'
usage: configs/examples/certificates.sh [FOLDER]

Makes certificates for trying the examples, good for 30 days, with openssl. FOLDER is
certs/ beside this script when none is given, which is where the examples look; for
another one set CERTS when you run an example.

  ca.pem                            the authority: `curl --cacert`
  localhost.pem, localhost.key      ECDSA, for localhost and 127.0.0.1
  localhost-rsa.pem, ....key        RSA, for the same names
  shop.pem, shop.key                ECDSA, for shop.test and *.shop.test
  client.pem, client.key            ECDSA, for a client: `curl --cert`, `--key`

They are for trying only: whoever can read ca.key can make more of them.
TEXT
}

case ${1:-} in
-h | --help)
	usage
	exit 0
	;;
-*)
	usage >&2
	exit 2
	;;
esac

folder=${1:-$(dirname "${BASH_SOURCE[0]}")/certs}
umask 077
mkdir -p "$folder"
cd "$folder"

ecdsa=(-newkey ec -pkeyopt ec_paramgen_curve:P-256)

# make NAME SUBJECT OPTION...: a key and a certificate. Quiet unless it goes wrong.
make() {
	local name=$1 subject=$2 said
	shift 2
	said=$(openssl req -x509 -noenc -days 30 -subj "/CN=$subject" -keyout "$name.key" \
		-out "$name.pem" "$@" 2>&1) || {
		printf '%s\n' "$said" >&2
		exit 1
	}
}

# issue NAME SUBJECT USAGE OPTION...: one that the authority has signed.
issue() {
	local name=$1 subject=$2 use=$3
	shift 3
	make "$name" "$subject" -CA ca.pem -CAkey ca.key "$@" \
		-addext basicConstraints=critical,CA:FALSE \
		-addext keyUsage=critical,digitalSignature -addext "extendedKeyUsage=$use"
}

make ca 'authority of the examples' "${ecdsa[@]}" -addext keyUsage=critical,keyCertSign,cRLSign
issue localhost localhost serverAuth "${ecdsa[@]}" \
	-addext subjectAltName=DNS:localhost,IP:127.0.0.1
issue localhost-rsa localhost serverAuth -newkey rsa:2048 \
	-addext subjectAltName=DNS:localhost,IP:127.0.0.1
issue shop shop.test serverAuth "${ecdsa[@]}" -addext 'subjectAltName=DNS:shop.test,DNS:*.shop.test'
issue client alice clientAuth "${ecdsa[@]}"
printf 'certificates are in %s\n' "$PWD"
