#!/bin/sh
# Makes client certificates of many kinds, and CRLs, in the current directory.
set -eu
exec 2>openssl.log

cat >ca.cnf <<'TEXT'
[ca]
default_ca = it
[it]
database = index.txt
new_certs_dir = .
rand_serial = yes
policy = any
default_md = sha256
unique_subject = no
copy_extensions = copy
x509_extensions = added
[any]
countryName = optional
organizationName = optional
organizationalUnitName = optional
commonName = optional
emailAddress = optional
[req]
distinguished_name = any
[added]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
TEXT

# issue NAME ISSUER SUBJECT [-addext EXTENSION]...: with a new key; ISSUER may be NAME
issue() {
	name=$1 issuer=$2 subject=$3
	shift 3
	if [ "${rsa:-}" ]; then
		openssl genrsa -out "$name.key" "$rsa"
	else
		openssl genpkey -out "$name.key" -algorithm EC -pkeyopt ec_paramgen_curve:P-256
	fi
	openssl req -utf8 -config ca.cnf -new -key "$name.key" -subj "$subject" -out csr.pem "$@"
	: >index.txt
	if [ "$name" = "$issuer" ]; then
		set -- -selfsign
	else
		set -- -cert "$issuer.pem"
	fi
	openssl ca -config ca.cnf -batch -notext -md "${md:-sha256}" "$@" -keyfile "$issuer.key" -in csr.pem \
		-out "$name.pem" -startdate "${from:-20200101000000Z}" -enddate "${to:-20980101000000Z}"
	cp index.txt "$name.index"
}
ca='basicConstraints=critical,CA:TRUE'
sign='keyUsage=critical,keyCertSign,cRLSign'
eku='extendedKeyUsage=clientAuth'

issue root root /CN=root -addext "$ca" -addext "$sign"
issue foreign foreign /CN=foreign -addext "$ca" -addext "$sign"
issue twin twin /CN=root -addext "$ca" -addext "$sign"
issue one root /CN=one -addext "$ca" -addext "$sign"
issue two one /CN=two -addext "$ca" -addext "$sign"
issue server root /CN=server -addext subjectAltName=DNS:server.test

issue good root '/C=DE/O=Ex\, Ample/OU= a#b /CN=caf'"$(printf '\303\251')"'/emailAddress=a@b.c' \
	-addext "$eku" -addext \
	subjectAltName=DNS:a.test,email:a@b.c,URI:spiffe://a.test/x,IP:192.0.2.7,IP:2001:db8::1,RID:1.2.3
issue plain root /CN=plain
issue any root /CN=any -addext extendedKeyUsage=anyExtendedKeyUsage
issue no-eku root /CN=no-eku -addext extendedKeyUsage=serverAuth
issue no-sign root /CN=no-sign -addext keyUsage=keyEncipherment
issue revoked root /CN=revoked -addext "$eku"
issue alien foreign /CN=alien -addext "$eku"
issue twins twin /CN=twins -addext "$eku"
issue self self /CN=self
issue below-one one /CN=below-one -addext "$eku"
issue of-servers root /CN=of-servers -addext "$ca" -addext "$sign" -addext extendedKeyUsage=serverAuth
issue below-of-servers of-servers /CN=below-of-servers -addext "$eku"
md=sha1 issue sha1 root /CN=sha1 -addext "$eku"
rsa=2048 issue rsa2048 root /CN=rsa2048 -addext "$eku"
rsa=1024 issue rsa1024 root /CN=rsa1024 -addext "$eku"
issue below-two two /CN=below-two -addext "$eku"
from=20200101000000Z to=20210101000000Z issue expired root /CN=expired -addext "$eku"
from=20970101000000Z issue early root /CN=early -addext "$eku"
# With a text that is larger than what is passed on.
openssl genpkey -out large.key -algorithm EC -pkeyopt ec_paramgen_curve:P-256
issue large root /CN=large -addext "$eku" \
	-addext "nsComment=$(head -c 13000 /dev/zero | tr '\0' x)"

# chain NAME PART...: what a client sends, and the key for it
chain() {
	name=$1 leaf=$2
	shift
	for part; do
		cat "$part.pem"
	done >"$name.pem"
	cp "$leaf.key" "$name.key"
}
chain with-root good root
chain with-one below-one one
chain with-two below-two two one
chain with-of-servers below-of-servers of-servers
chain with-all below-two two one root
chain without-one below-two two

# crl ISSUER NAME [OPTION]...: what it has revoked is in its index
crl() {
	issuer=$1 name=$2
	shift 2
	openssl ca -config ca.cnf -gencrl -keyfile "$issuer.key" -cert "$issuer.pem" \
		-out "$name.crl" "$@"
}
cp revoked.index index.txt
openssl ca -config ca.cnf -revoke revoked.pem -keyfile root.key -cert root.pem
crl root root -crldays 3650
crl root over -crl_lastupdate 20200101000000Z -crl_nextupdate 20210101000000Z
cp one.index index.txt
openssl ca -config ca.cnf -revoke one.pem -keyfile root.key -cert root.pem
crl root root-one -crldays 3650
: >index.txt
crl one one -crldays 3650
crl foreign foreign -crldays 3650
cat root.crl one.crl >both.crl
cat root-one.crl one.crl >one-revoked.crl
cat root.pem one.pem >root-and-one.pem

# answer NAME INDEX SIGNER CERTIFICATE [OPTION]...: of root about CERTIFICATE
answer() {
	name=$1 index=$2 signer=$3 certificate=$4
	shift 4
	openssl ocsp -index "$index" -CA root.pem -rsigner "$signer.pem" -rkey "$signer.key" \
		-issuer root.pem -cert "$certificate.pem" -respout "$name.ocsp" -noverify "$@" >&2
}
issue delegate root /CN=delegate -addext extendedKeyUsage=OCSPSigning
: >index.txt
cat server.pem root.pem >server-chain.pem
answer good server.index root server -ndays 7
answer delegated server.index delegate server -ndays 7
answer endless server.index root server
answer unknown index.txt root server -ndays 7
answer foreign server.index foreign server -ndays 7
answer undelegated server.index revoked server -ndays 7
answer other good.index root good -ndays 7
cp server.index index.txt
openssl ca -config ca.cnf -revoke server.pem -keyfile root.key -cert root.pem
answer revoked index.txt root server -ndays 7
answer revoked-foreign index.txt foreign server -ndays 7

# asking NAME ACCESS: a certificate with that authorityInfoAccess
asking() {
	issue "$1" root "/CN=$1" -addext "authorityInfoAccess=$2"
	cat "$1.pem" root.pem >"$1-chain.pem"
	openssl ocsp -issuer root.pem -cert "$1.pem" -no_nonce -reqout "$1.request"
}
asking asked0 'caIssuers;URI:http://ca.test/,OCSP;URI:http://127.0.0.1:80/'
asking asked1 'OCSP;URI:ldap://ocsp.test/a,OCSP;email:a@b.c,OCSP;URI:https://ocsp.test/b?c=d'
asking ldap 'OCSP;URI:ldap://ocsp.test/a'
asking issuers 'caIssuers;URI:http://ca.test/'
asking spaced 'OCSP;URI:http://ocsp.test/a b'
printf '0\003\012\001\003' >later.ocsp
head -c 17000 /dev/zero >large.ocsp
