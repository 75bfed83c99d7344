#include "certificate.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "pem.h"

/* A point of P-521 as it is exported; a modulus of 16384 bits is beyond all use. */
#define PUBLIC_KEY_MAX 2048

#define OUT_OF_MEMORY "cannot be read: out of memory"

/* ---- dates ---- */

static bool digits(const uint8_t **at, unsigned count, int *ret_value)
{
	int value = 0;

	for (; count; count--, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		value = value * 10 + (**at - '0');
	}
	*ret_value = value;
	return true;
}

bool certificate_time(struct span der, int64_t *ret_unix_s)
{
	const uint8_t *at = (const uint8_t *)der.ptr;
	bool is_utc = der.len == 15 && at[0] == ASN_UTC_TIME;
	bool is_generalized = der.len == 17 && at[0] == ASN_GENERALIZED_TIME;
	struct tm tm = {0}, normal;
	int year, month;
	time_t t;

	if ((!is_utc && !is_generalized) || at[1] != der.len - 2)
		return false;
	at += 2;
	if (!digits(&at, is_utc ? 2 : 4, &year) || !digits(&at, 2, &month) ||
	    !digits(&at, 2, &tm.tm_mday) || !digits(&at, 2, &tm.tm_hour) ||
	    !digits(&at, 2, &tm.tm_min) || !digits(&at, 2, &tm.tm_sec) || *at != 'Z')
		return false;
	/* RFC 5280 section 4.1.2.5.1: two digits are 1950 to 2049. */
	if (is_utc)
		year += year < 50 ? 2000 : 1900;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	normal = tm;
	t = timegm(&normal);
	/* A 31st of February comes back as another day. */
	if (normal.tm_year != tm.tm_year || normal.tm_mon != tm.tm_mon ||
	    normal.tm_mday != tm.tm_mday || normal.tm_hour != tm.tm_hour ||
	    normal.tm_min != tm.tm_min || normal.tm_sec != tm.tm_sec)
		return false;
	*ret_unix_s = t;
	return true;
}

/* ---- keys ---- */

/* The modulus or the point of a key, which is what two halves of a pair have in common. */
struct public_half {
	uint8_t bytes[PUBLIC_KEY_MAX];
	word32 len;
};

static bool rsa_half(RsaKey *key, struct public_half *ret)
{
	uint8_t exponent[PUBLIC_KEY_MAX];
	word32 exponent_len = sizeof(exponent);

	ret->len = sizeof(ret->bytes);
	return wc_RsaFlattenPublicKey(key, exponent, &exponent_len, ret->bytes, &ret->len) == 0;
}

static bool rsa_private(struct span der, struct public_half *ret)
{
	word32 at = 0;
	RsaKey key;
	bool good;

	if (wc_InitRsaKey(&key, NULL) != 0)
		return false;
	good = wc_RsaPrivateKeyDecode((const byte *)der.ptr, &at, &key, (word32)der.len) == 0 &&
	       rsa_half(&key, ret);
	wc_FreeRsaKey(&key);
	return good;
}

static bool rsa_public(struct span der, struct public_half *ret)
{
	const byte *modulus, *exponent;
	word32 at = 0, len, exponent_len;

	/* Without a key object, which would refuse the short ones that we want to name. */
	if (wc_RsaPublicKeyDecode_ex((const byte *)der.ptr, &at, (word32)der.len, &modulus, &len,
				     &exponent, &exponent_len) != 0)
		return false;
	while (len && !*modulus) {
		modulus++;
		len--;
	}
	if (!len || len > sizeof(ret->bytes))
		return false;
	memcpy(ret->bytes, modulus, len);
	ret->len = len;
	return true;
}

static bool ecc_half(ecc_key *key, struct public_half *ret)
{
	ret->len = sizeof(ret->bytes);
	return wc_ecc_export_x963(key, ret->bytes, &ret->len) == 0;
}

/* A key may come with its public half; that is computed nevertheless, since a half of
 * another pair would pass for this one. */
static bool ecc_private(struct span der, struct public_half *ret)
{
	word32 at = 0;
	ecc_key key;
	bool good;

	if (wc_ecc_init(&key) != 0)
		return false;
	good = wc_EccPrivateKeyDecode((const byte *)der.ptr, &at, &key, (word32)der.len) == 0 &&
	       wc_ecc_make_pub(&key, NULL) == 0 && ecc_half(&key, ret);
	wc_ecc_free(&key);
	return good;
}

static bool ecc_public(struct span der, struct public_half *ret)
{
	word32 at = 0;
	ecc_key key;
	bool good;

	if (wc_ecc_init(&key) != 0)
		return false;
	good = wc_EccPublicKeyDecode((const byte *)der.ptr, &at, &key, (word32)der.len) == 0 &&
	       ecc_half(&key, ret);
	wc_ecc_free(&key);
	return good;
}

static bool ed25519_private(struct span der, struct public_half *ret)
{
#ifdef HAVE_ED25519
	word32 at = 0;
	ed25519_key key;
	bool good;

	if (wc_ed25519_init(&key) != 0)
		return false;
	ret->len = ED25519_PUB_KEY_SIZE;
	good = wc_Ed25519PrivateKeyDecode((const byte *)der.ptr, &at, &key, (word32)der.len) == 0 &&
	       wc_ed25519_make_public(&key, ret->bytes, ret->len) == 0;
	wc_ed25519_free(&key);
	return good;
#else
	(void)der;
	(void)ret;
	return false;
#endif
}

static bool public_half(enum tls_key_kind kind, struct span der, struct public_half *ret)
{
	switch (kind) {
	case TLS_KEY_RSA: return rsa_public(der, ret);
	case TLS_KEY_ECDSA: return ecc_public(der, ret);
	case TLS_KEY_ED25519:
		if (der.len != 32)
			return false;
		memcpy(ret->bytes, der.ptr, 32);
		ret->len = 32;
		return true;
	}
	return false;
}

enum certificate_key certificate_check_key(const struct certificate *c, struct span der,
					   enum tls_key_kind *ret_kind)
{
	static bool (*const decode[])(struct span, struct public_half *) = {
		[TLS_KEY_ECDSA] = ecc_private,
		[TLS_KEY_RSA] = rsa_private,
		[TLS_KEY_ED25519] = ed25519_private,
	};
	/* RSA first: its form is the only one that no other decoder takes for its own. */
	static const enum tls_key_kind kinds[] = {TLS_KEY_RSA, TLS_KEY_ECDSA, TLS_KEY_ED25519};
	struct public_half ours, theirs;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!decode[kinds[i]](der, &ours))
			continue;
		*ret_kind = kinds[i];
		if (!c->key_is_known || c->kind != kinds[i] ||
		    !public_half(c->kind, c->public_key, &theirs) || ours.len != theirs.len ||
		    memcmp(ours.bytes, theirs.bytes, ours.len) != 0)
			return CERTIFICATE_KEY_OTHER;
		return CERTIFICATE_KEY_FITS;
	}
	return CERTIFICATE_KEY_BAD;
}

#define UNKNOWN_CURVE "has a key on a curve that is not supported: use P-256 or P-384"

static const char *read_ecc(const DecodedCert *d, struct certificate *c)
{
	c->kind = TLS_KEY_ECDSA;
	switch (d->pkCurveOID) {
	case ECC_SECP256R1_OID: c->key_bits = 256; return NULL;
#ifdef HAVE_ECC384
	case ECC_SECP384R1_OID: c->key_bits = 384; return NULL;
#endif
#ifdef HAVE_ECC521
	case ECC_SECP521R1_OID: c->key_bits = 521; return NULL;
#endif
	default: return UNKNOWN_CURVE;
	}
}

static const char *read_rsa(struct certificate *c)
{
	struct public_half half;

	c->kind = TLS_KEY_RSA;
	if (!rsa_public(c->public_key, &half))
		return "is malformed: its public key cannot be read";
	c->key_bits = half.len * 8 - (unsigned)__builtin_clz(half.bytes[0]) + 24;
	return NULL;
}

static const char *read_key(const DecodedCert *d, struct certificate *c)
{
	c->key_is_known = true;
	switch (d->keyOID) {
	case ECDSAk: return read_ecc(d, c);
	case RSAk: return read_rsa(c);
#ifdef HAVE_ED25519
	case ED25519k:
		c->kind = TLS_KEY_ED25519;
		c->key_bits = 256;
		return NULL;
#endif
	default: c->key_is_known = false; return NULL;
	}
}

/* ---- the rest ---- */

static const char *weak_signature(const DecodedCert *d)
{
	switch (d->signatureOID) {
	case CTC_SHAwRSA:
	case CTC_SHAwECDSA:
	case CTC_SHAwDSA: return "SHA-1";
	case CTC_MD5wRSA: return "MD5";
	case CTC_MD2wRSA: return "MD2";
	default: return NULL;
	}
}

static const char *lower(struct arena *arena, const char *text, size_t len)
{
	char *copy = arena_str(arena, span_of(text, len));

	for (size_t i = 0; copy && i < len; i++)
		/* A zero byte inside would make another name of it. */
		copy[i] = copy[i] ? ascii_lower(copy[i]) : '?';
	return copy;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool read_names(struct arena *arena, const DecodedCert *d, struct certificate *c)
{
	size_t len = 1;

	for (const DNS_entry *e = d->altNames; e; e = e->next)
		len++;
	c->names = arena_alloc(arena, len * sizeof(*c->names));
	if (!c->names)
		return false;
	for (const DNS_entry *e = d->altNames; e; e = e->next) {
		if (e->type != ASN_DNS_TYPE || e->len <= 0)
			continue;
		c->names[c->names_len] = lower(arena, e->name, (size_t)e->len);
		if (!c->names[c->names_len++])
			return false;
	}
	/* The list is in no order that can be relied on. */
	qsort(c->names, c->names_len, sizeof(*c->names), compare_names);
	/* Older versions leave addresses out of the list; something stands there, though. */
	c->has_other_names = d->extSubjAltNameSet && !c->names_len;
	/* RFC 9525 has done away with it; private CAs have not. */
	if (!d->extSubjAltNameSet && d->subjectCN && d->subjectCNLen > 0) {
		c->names[0] = lower(arena, d->subjectCN, (size_t)d->subjectCNLen);
		c->names_len = 1;
	}
	return c->names_len == 0 || c->names[0];
}

static const char *read_all(struct arena *arena, const DecodedCert *d, struct certificate *c)
{
	struct span before = span_of((const char *)d->beforeDate, (size_t)d->beforeDateLen);
	struct span after = span_of((const char *)d->afterDate, (size_t)d->afterDateLen);

	c->subject = arena_str(arena, span_str(d->subject));
	c->issuer = arena_str(arena, span_str(d->issuer));
	if (!c->subject || !c->issuer || !read_names(arena, d, c))
		return OUT_OF_MEMORY;
	memcpy(c->subject_hash, d->subjectHash, sizeof(c->subject_hash));
	memcpy(c->issuer_hash, d->issuerHash, sizeof(c->issuer_hash));
	memcpy(c->subject_key_id, d->extSubjKeyId, sizeof(c->subject_key_id));
	memcpy(c->authority_key_id, d->extAuthKeyId, sizeof(c->authority_key_id));
	c->has_subject_key_id = d->extSubjKeyIdSet;
	c->has_authority_key_id = d->extAuthKeyIdSet;
	c->is_self_issued = memcmp(c->subject_hash, c->issuer_hash, sizeof(c->subject_hash)) == 0;
	c->is_ca = d->isCA;
	c->is_for_servers = !d->extExtKeyUsageSet ||
			    (d->extExtKeyUsage & (EXTKEYUSE_SERVER_AUTH | EXTKEYUSE_ANY));
	c->is_for_clients = !d->extExtKeyUsageSet ||
			    (d->extExtKeyUsage & (EXTKEYUSE_CLIENT_AUTH | EXTKEYUSE_ANY));
	c->weak_signature = weak_signature(d);
	if (!d->beforeDate || !d->afterDate || !certificate_time(before, &c->not_before_s) ||
	    !certificate_time(after, &c->not_after_s))
		return "is malformed: its dates are not in the form of RFC 5280";
	c->public_key = arena_span(arena, span_of((const char *)d->publicKey, d->pubKeySize));
	if (!c->public_key.ptr)
		return OUT_OF_MEMORY;
	return read_key(d, c);
}

const char *certificate_parse(struct arena *arena, struct span der,
			      struct certificate *ret_certificate)
{
	struct certificate c = {.der = arena_span(arena, der)};
	const char *error;
	DecodedCert *d = malloc(sizeof(*d)); /* several KiB in some builds */
	int err;

	if (!c.der.ptr || !d) {
		free(d);
		return OUT_OF_MEMORY;
	}
	wc_InitDecodedCert(d, (const byte *)c.der.ptr, (word32)c.der.len, NULL);
	err = wc_ParseCert(d, CERT_TYPE, NO_VERIFY, NULL);
	if (err == ECC_CURVE_OID_E) {
		error = UNKNOWN_CURVE;
	} else if (err == ASN_UNKNOWN_OID_E) {
		error = "has an algorithm that is not supported: use ECDSA, RSA or Ed25519";
	} else if (err) {
		error = arena_printf(arena, "is malformed: %s", wc_GetErrorString(err)).ptr;
		if (!error)
			error = OUT_OF_MEMORY;
	} else {
		error = read_all(arena, d, &c);
	}
	wc_FreeDecodedCert(d);
	free(d);
	if (!error)
		*ret_certificate = c;
	return error;
}

bool certificate_is_authority(const struct pem_block *block)
{
	struct certificate c = {0};
	struct arena arena;
	size_t len;
	uint8_t *der = pem_decode(block, &len);
	bool is;

	arena_init(&arena, NULL, 0, &arena_malloc_source);
	is = der && !certificate_parse(&arena, span_of((const char *)der, len), &c) && c.is_ca;
	free(der);
	arena_reset(&arena);
	return is;
}
