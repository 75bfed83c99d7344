#!/bin/sh
# Makes certificates and keys, good ones and others, in the current directory. Those with
# dates of their own are valid in all of 2026; the test brings its own time.
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
organizationName = optional
commonName = optional
[req]
distinguished_name = any
[added]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
TEXT
: >index.txt

# issue NAME ISSUER SUBJECT [-addext EXTENSION]... : NAME.key makes NAME.pem; ISSUER may be NAME
issue() {
	name=$1 issuer=$2 subject=$3
	shift 3
	openssl req -config ca.cnf -new -key "$name.key" -subj "$subject" -out csr.pem "$@"
	self=
	if [ "$name" = "$issuer" ]; then
		self=-selfsign
		issuer_cert=
	else
		issuer_cert="-cert $issuer.pem"
	fi
	# shellcheck disable=SC2086
	openssl ca -config ca.cnf -batch -notext $self -keyfile "$issuer.key" \
		$issuer_cert -in csr.pem -out "$name.pem" -md "${md:-sha256}" \
		-startdate "${from:-20260101000000Z}" -enddate "${to:-20261231235959Z}"
}
key() {
	name=$1
	shift
	openssl genpkey -out "$name.key" "$@"
	chmod 600 "$name.key"
}
ec() {
	key "$1" -algorithm EC -pkeyopt "ec_paramgen_curve:$2"
}
san() {
	printf -- 'subjectAltName=%s' "$1"
}
is_ca=basicConstraints=critical,CA:TRUE

ec root P-256
issue root root "/O=Ringway Test/CN=Root" -addext "$is_ca"
ec middle P-256
issue middle root "/O=Ringway Test/CN=Middle" -addext "$is_ca"
# The same name with another key.
ec twin P-256
issue twin root "/O=Ringway Test/CN=Middle" -addext "$is_ca"

ec p256 P-256
issue p256 middle "/CN=not-a-name-then" \
	-addext "$(san 'DNS:Api.Example.org,DNS:*.example.org,IP:192.0.2.1')"
ec p384 P-384
issue p384 middle "/CN=p384.example.org" -addext "$(san DNS:p384.example.org)"
key rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
issue rsa middle "/CN=rsa.example.org" -addext "$(san DNS:rsa.example.org)"
key ed -algorithm ED25519
issue ed middle "/CN=ed.example.org" -addext "$(san DNS:ed.example.org)"
cp p256.key cn.key
issue cn middle "/CN=Cn.Example.org"
cp p256.key address.key
issue address middle "/CN=an address" -addext "$(san IP:192.0.2.1)"
cp p256.key nameless.key
issue nameless middle "/O=Ringway Test"
cp p256.key spaces.key
issue spaces middle "/CN=Acme Corporation"
cp p256.key odd.key
issue odd middle "/CN=odd" -addext "$(san 'DNS:good.example.org,DNS:f*.example.org')"
cp p256.key client.key
issue client middle "/CN=client" -addext extendedKeyUsage=clientAuth \
	-addext "$(san DNS:client.example.org)"
cp p256.key sha1.key
md=sha1 issue sha1 middle "/CN=sha1.example.org"
cp p256.key bare.key
issue bare bare "/CN=bare.example.org"
cp p256.key late.key
from=20500101000000Z to=20991231235959Z issue late middle "/CN=late.example.org"
key rsa1024 -algorithm RSA -pkeyopt rsa_keygen_bits:1024
issue rsa1024 middle "/CN=weak.example.org"
ec k1 secp256k1
issue k1 middle "/CN=k1.example.org"
key ed448 -algorithm ED448
issue ed448 middle "/CN=ed448.example.org"
key pss -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
issue pss middle "/CN=pss.example.org"
key rsa4096 -algorithm RSA -pkeyopt rsa_keygen_bits:4096
issue rsa4096 middle "/CN=long.example.org"
ec old P-256
to=20260602120000Z issue old root "/O=Ringway Test/CN=Old Middle" -addext "$is_ca"
cp p256.key byold.key
issue byold old "/CN=byold.example.org"

# Chains.
cat p256.pem middle.pem >chain.pem
cat p256.pem middle.pem root.pem >with_root.pem
cat p256.pem root.pem >gap.pem
cat p256.pem root.pem middle.pem >shuffled.pem
cat middle.pem p256.pem >reversed.pem
cat p256.pem twin.pem >twins.pem
cat bare.pem middle.pem >past_root.pem
cat byold.pem old.pem >old_chain.pem
for _ in 1 2 3 4 5 6 7 8 9 10 11; do cat root.pem; done >long.pem

# Keys in their other forms.
openssl ec -in p256.key -out sec1.key
{
	openssl ecparam -name prime256v1
	cat sec1.key
} >parameters.key
openssl rsa -in rsa.key -traditional -out pkcs1.key
openssl pkey -in p256.key -aes128 -passout pass:secret -out encrypted.key
openssl ec -in p256.key -aes128 -passout pass:secret -out encrypted_old.key
cat p256.key p384.key >two.key
cat p256.pem p256.key >both.pem
chmod 600 sec1.key parameters.key pkcs1.key encrypted.key encrypted_old.key two.key both.pem
cp p256.key open.key
chmod 644 open.key

# What is no certificate or no key.
openssl x509 -in p256.pem -outform der -out p256.der
: >empty.pem
mkdir directory.pem
mkfifo fifo.pem
echo 'nothing' >text.pem
sed '$d' p256.pem >cut.pem
sed '$d' p256.key >cut.key
chmod 600 cut.key
sed 's/^MII/M*I/' p256.pem >not_base64.pem
sed '2s/^MII/MAI/' p256.pem >damaged.pem
printf -- '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n' >damaged.key
chmod 600 damaged.key
head -c 300000 /dev/zero | tr '\0' 'x' >big.pem

# Other files.
openssl ca -config ca.cnf -gencrl -keyfile root.key -cert root.pem -crldays 30 -out crl.pem
cat root.pem p256.pem >with_leaf.pem
sed '2s/^MI/MA/' crl.pem >damaged_crl.pem
printf '\060\004\012\001\001' >cut.ocsp
