#include <ringway/tls/peer.h>

#include <stdlib.h>

#include <wolfssl/options.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "x509.h"

struct tls_peer *tls_peer_create(uint32_t depth)
{
	struct tls_peer *p = calloc(1, sizeof(*p));

	if (p)
		p->depth = depth;
	return p;
}

void tls_peer_destroy(struct tls_peer *p)
{
	if (!p)
		return;
	free(p->memory);
	free(p);
}

/* ---- recording ---- */

static struct span keep(char **at, struct span s)
{
	struct span kept = span_of(*at, s.len);

	memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return kept;
}

static bool fingerprint(struct span der, char out[static 65])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t hash[WC_SHA256_DIGEST_SIZE];

	if (wc_Sha256Hash((const byte *)der.ptr, (word32)der.len, hash) != 0)
		return false;
	for (size_t i = 0; i < sizeof(hash); i++) {
		out[2 * i] = digits[hash[i] >> 4];
		out[2 * i + 1] = digits[hash[i] & 15];
	}
	out[64] = '\0';
	return true;
}

/* RFC 5280 section 4.2.1.6. Names of other kinds, and text with a zero byte in it, which
 * half of the world would read to its end only, are left out. */
static bool record_names(struct tls_peer *p, const struct x509 *leaf)
{
	static const struct span alternative = SPAN("\x55\x1d\x11"); /* 2.5.29.17 */
	struct span rest;
	struct der e;

	if (!x509_extension(leaf, alternative, &rest))
		return true;
	if (!der_take(&rest, DER_SEQUENCE, &e))
		return false;
	rest = e.value;
	while (p->names_len < TLS_PEER_NAMES_MAX && der_next(&rest, &e)) {
		struct tls_peer_name name = {.value = e.value};

		switch (e.tag) {
		case DER_CONTEXT(1): name.kind = TLS_PEER_EMAIL; break;
		case DER_CONTEXT(2): name.kind = TLS_PEER_DNS; break;
		case DER_CONTEXT(6): name.kind = TLS_PEER_URI; break;
		case DER_CONTEXT(7): name.kind = TLS_PEER_IP; break;
		default: continue;
		}
		if (name.kind == TLS_PEER_IP ? e.value.len != 4 && e.value.len != 16
					     : memchr(e.value.ptr, '\0', e.value.len) != NULL)
			continue;
		p->names[p->names_len++] = name;
	}
	return true;
}

/* Which of the others are between the client and the one that is trusted: a self-signed
 * one can only have been verified by being trusted itself. */
static size_t pick_between(const struct span *chain, size_t chain_len, struct span *ret_between)
{
	size_t len = 0;

	for (size_t i = 1; i < chain_len; i++) {
		struct x509 c;

		if (!x509_open(chain[i], &c))
			return SIZE_MAX;
		if (!span_eq(c.issuer, c.subject) && len < TLS_PEER_CHAIN_MAX)
			ret_between[len++] = chain[i];
	}
	return len;
}

static enum access_cause record(struct tls_peer *p, const struct span *chain, size_t chain_len)
{
	struct span between[TLS_PEER_CHAIN_MAX];
	size_t between_len, bytes, subject_len;
	struct x509 leaf;
	char *at;

	if (chain_len > TLS_PEER_CHAIN_MAX + 1 || !x509_open(chain[0], &leaf) ||
	    !x509_is_for_clients(&leaf) || !x509_chain_is_good(chain, chain_len, X509_FOR_CLIENTS))
		return ACCESS_TLS_CERTIFICATE_BAD;
	between_len = pick_between(chain, chain_len, between);
	if (between_len > p->depth)
		return ACCESS_TLS_CERTIFICATE_BAD;
	subject_len = x509_name_text(leaf.subject, NULL, 0);
	bytes = chain[0].len;
	for (size_t i = 0; i < between_len; i++)
		bytes += between[i].len;
	if (bytes > TLS_PEER_DER_MAX)
		return ACCESS_TLS_CERTIFICATE_BAD;
	at = p->memory = malloc(bytes + subject_len);
	if (!at)
		return ACCESS_OUT_OF_MEMORY;
	p->leaf_der = keep(&at, chain[0]);
	for (; p->chain_len < between_len; p->chain_len++)
		p->chain[p->chain_len] = keep(&at, between[p->chain_len]);
	must(x509_open(p->leaf_der, &leaf));
	p->subject = span_of(at, x509_name_text(leaf.subject, at, subject_len));
	if (!fingerprint(p->leaf_der, p->fingerprint) || !record_names(p, &leaf))
		return ACCESS_TLS_CERTIFICATE_BAD;
	return ACCESS_OK;
}

enum access_cause tls_peer_record(struct tls_peer *p, const struct span *chain, size_t chain_len)
{
	must(chain_len && !p->memory);
	p->cause = record(p, chain, chain_len);
	return p->cause;
}

/* ---- causes ---- */

enum fault { FAULT_NONE, FAULT_MISSING, FAULT_DATE, FAULT_ISSUER, FAULT_REVOKED, FAULT_NAME,
	     FAULT_BAD };

static enum fault fault_of(int error)
{
	switch (error) {
	case NO_PEER_CERT:
	case NO_PEER_VERIFY: return FAULT_MISSING;
	case ASN_BEFORE_DATE_E:
	case ASN_AFTER_DATE_E: return FAULT_DATE;
	/* A signature that its named issuer's key did not make: of another issuer with
	 * the same name. */
	case ASN_NO_SIGNER_E:
	case ASN_SELF_SIGNED_E:
	case ASN_SIG_CONFIRM_E: return FAULT_ISSUER;
	/* Where nothing in force says that it is not revoked, it counts as revoked. */
	case CRL_CERT_REVOKED:
	case CRL_MISSING:
	case CRL_CERT_DATE_ERR:
	case ASN_CRL_CONFIRM_E:
	case ASN_CRL_NO_SIGNER_E:
	case OCSP_CERT_REVOKED: return FAULT_REVOKED;
	case DOMAIN_NAME_MISMATCH:
	case IPADDR_MISMATCH: return FAULT_NAME;
	case VERIFY_CERT_ERROR:
	case MAX_CHAIN_ERROR:
	case NOT_CA_ERROR:
	case EXTKEYUSE_AUTH_E:
	case KEYUSE_SIGNATURE_E:
	case KEYUSE_ENCIPHER_E:
	case PEER_KEY_ERROR:
	case ECC_KEY_SIZE_E:
	case RSA_KEY_SIZE_E:
	case ASN_PARSE_E:
	case ASN_VERSION_E:
	case ASN_SIG_OID_E:
	case ASN_SIG_HASH_E:
	case ASN_SIG_KEY_E:
	case ASN_UNKNOWN_OID_E:
	case ASN_CRIT_EXT_E:
	case ASN_NAME_INVALID_E:
	case ASN_PATHLEN_SIZE_E:
	case ASN_PATHLEN_INV_E: return FAULT_BAD;
	default: return FAULT_NONE;
	}
}

enum access_cause tls_peer_cause(int wolfssl_error, const struct tls_peer *p)
{
	if (p && p->cause != ACCESS_OK)
		return p->cause;
	switch (fault_of(wolfssl_error)) {
	case FAULT_MISSING: return ACCESS_TLS_NO_CERTIFICATE;
	case FAULT_DATE: return ACCESS_TLS_CERTIFICATE_EXPIRED;
	case FAULT_ISSUER: return ACCESS_TLS_CERTIFICATE_UNTRUSTED;
	case FAULT_REVOKED: return ACCESS_TLS_CERTIFICATE_REVOKED;
	case FAULT_NAME:
	case FAULT_BAD: return ACCESS_TLS_CERTIFICATE_BAD;
	case FAULT_NONE: break;
	}
	return ACCESS_OK;
}

enum access_cause tls_peer_upstream_cause(int wolfssl_error)
{
	switch (fault_of(wolfssl_error)) {
	case FAULT_DATE: return ACCESS_UPSTREAM_CERTIFICATE_EXPIRED;
	case FAULT_MISSING:
	case FAULT_ISSUER:
	case FAULT_REVOKED:
	case FAULT_BAD: return ACCESS_UPSTREAM_CERTIFICATE_UNTRUSTED;
	case FAULT_NAME: return ACCESS_UPSTREAM_CERTIFICATE_NAME;
	case FAULT_NONE: break;
	}
	return ACCESS_OK;
}

/* ---- fields ---- */

static size_t field_bytes(struct span der)
{
	return (der.len + 2) / 3 * 4 + 2;
}

/* A byte sequence of RFC 8941 section 3.3.5: base64 (RFC 4648 section 4) between colons. */
static char *put_bytes(char *at, struct span der)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *from = (const uint8_t *)der.ptr;
	size_t left = der.len;

	*at++ = ':';
	for (; left >= 3; left -= 3, from += 3) {
		*at++ = digits[from[0] >> 2];
		*at++ = digits[(from[0] & 3) << 4 | from[1] >> 4];
		*at++ = digits[(from[1] & 15) << 2 | from[2] >> 6];
		*at++ = digits[from[2] & 63];
	}
	if (left) {
		*at++ = digits[from[0] >> 2];
		*at++ = digits[(from[0] & 3) << 4 | (left == 2 ? from[1] >> 4 : 0)];
		*at++ = left == 2 ? digits[(from[1] & 15) << 2] : '=';
		*at++ = '=';
	}
	*at++ = ':';
	return at;
}

bool tls_peer_client_cert_field(const struct tls_peer *p, char *out, size_t size, size_t *ret_len)
{
	*ret_len = field_bytes(p->leaf_der);
	if (*ret_len > size)
		return false;
	put_bytes(out, p->leaf_der);
	return true;
}

bool tls_peer_client_cert_chain_field(const struct tls_peer *p, char *out, size_t size,
				      size_t *ret_len)
{
	*ret_len = 0;
	for (size_t i = 0; i < p->chain_len; i++)
		*ret_len += field_bytes(p->chain[i]) + (i ? 2 : 0);
	if (*ret_len > size)
		return false;
	for (size_t i = 0; i < p->chain_len; i++) {
		if (i) {
			memcpy(out, ", ", 2);
			out += 2;
		}
		out = put_bytes(out, p->chain[i]);
	}
	return true;
}
