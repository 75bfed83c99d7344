#include <ringway/tls/ocsp.h>

#include <errno.h>
#include <stdlib.h>

#include <wolfssl/options.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "certificate.h"
#include "pem.h"
#include "staple.h"
#include "x509.h"

/* Those that callers tell apart. */
static const char issuer_lacks[] = "the certificate's file lacks that of the issuer, behind it";
static const char about_other[] = "it is about another certificate";
static const char is_revoked[] = "it says that the certificate is revoked";

static int error_of(const char *detail)
{
	return detail == issuer_lacks ? -ENOKEY
	       : detail == about_other ? -ESRCH
	       : detail == is_revoked  ? -EKEYREVOKED
				       : -EINVAL;
}

/* ---- the identity ---- */

const char *staple_pair_read(struct span chain_pem, struct staple_pair *ret)
{
	struct pem_cursor cursor = pem_begin(chain_pem);
	struct staple_pair p = {0};
	struct pem_block block;

	while (!p.issuer && pem_next(&cursor, &block)) {
		if (!span_eq(block.label, SPAN("CERTIFICATE")))
			continue;
		if (!p.leaf)
			p.leaf = pem_decode(&block, &p.leaf_len);
		else
			p.issuer = pem_decode(&block, &p.issuer_len);
	}
	if (!p.leaf || !p.issuer) {
		staple_pair_fini(&p);
		return issuer_lacks;
	}
	*ret = p;
	return NULL;
}

void staple_pair_fini(struct staple_pair *p)
{
	free(p->leaf);
	free(p->issuer);
}

static bool open_pair(const struct staple_pair *p, struct x509 *leaf, struct x509 *issuer)
{
	return x509_open(span_of((const char *)p->leaf, p->leaf_len), leaf) &&
	       x509_open(span_of((const char *)p->issuer, p->issuer_len), issuer);
}

static const char pair_is_bad[] = "the certificate or that of its issuer is malformed";

/* ---- the request ---- */

/* The first http(s) address of RFC 5280 section 4.2.2.1, accessMethod id-ad-ocsp. */
static const char *responder_find(const struct x509 *leaf, char url[static TLS_STAPLE_URL_MAX])
{
	static const struct span access = SPAN("\x2b\x06\x01\x05\x05\x07\x01\x01");
	static const struct span ocsp = SPAN("\x2b\x06\x01\x05\x05\x07\x30\x01");
	const char *wrong = "the certificate names no OCSP responder";
	struct der e, method, location;
	struct span value;

	if (!x509_extension(leaf, access, &value) || !der_take(&value, DER_SEQUENCE, &e))
		return wrong;
	for (value = e.value; der_take(&value, DER_SEQUENCE, &e);) {
		struct span text;
		bool good;

		if (!der_take(&e.value, DER_OID, &method) || !span_eq(method.value, ocsp) ||
		    !der_take(&e.value, DER_CONTEXT(6), &location))
			continue;
		text = location.value;
		wrong = "the address of its OCSP responder is none of http:// or https://";
		good = text.len < TLS_STAPLE_URL_MAX &&
		       ((text.len > 7 && span_ieq(span_of(text.ptr, 7), SPAN("http://"))) ||
			(text.len > 8 && span_ieq(span_of(text.ptr, 8), SPAN("https://"))));
		for (size_t i = 0; i < text.len && good; i++)
			good = text.ptr[i] > ' ' && text.ptr[i] < 0x7f;
		if (!good)
			continue;
		memcpy(url, text.ptr, text.len);
		url[text.len] = 0;
		return NULL;
	}
	return wrong;
}

static void put(struct tls_staple_request *r, unsigned tag, const void *value, size_t len)
{
	r->der[r->len++] = (uint8_t)tag;
	r->der[r->len++] = (uint8_t)len;
	memcpy(r->der + r->len, value, len);
	r->len += len;
}

/* What is there becomes the value of one element around it; it is shorter than 128 bytes. */
static void wrap(struct tls_staple_request *r)
{
	memmove(r->der + 2, r->der, r->len);
	r->der[0] = DER_SEQUENCE;
	r->der[1] = (uint8_t)r->len;
	r->len += 2;
}

/* RFC 6960 section 4.1.1, one certificate; without a nonce and with SHA-1, so that the
 * responder may answer with what it has signed before (RFC 5019 section 2.1). */
static const char *request_write(const struct x509 *leaf, const struct x509 *issuer,
				 struct tls_staple_request *r)
{
	static const char sha1[] = "\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
	uint8_t name[WC_SHA_DIGEST_SIZE], key[WC_SHA_DIGEST_SIZE];

	/* RFC 5280 section 4.1.2.2: twenty, and one that keeps it positive. */
	if (leaf->serial.len > 21)
		return "the serial number of the certificate is longer than 20 bytes";
	if (wc_ShaHash((const byte *)leaf->issuer.ptr, (word32)leaf->issuer.len, name) != 0 ||
	    wc_ShaHash((const byte *)issuer->key_bits.ptr, (word32)issuer->key_bits.len, key) != 0)
		return "out of memory";
	r->len = sizeof(sha1) - 1;
	memcpy(r->der, sha1, r->len);
	put(r, DER_OCTET_STRING, name, sizeof(name));
	put(r, DER_OCTET_STRING, key, sizeof(key));
	put(r, DER_INTEGER, leaf->serial.ptr, leaf->serial.len);
	wrap(r); /* CertID */
	wrap(r); /* Request */
	wrap(r); /* requestList */
	wrap(r); /* TBSRequest */
	wrap(r); /* OCSPRequest */
	return NULL;
}

int tls_staple_request(struct span chain_pem, struct tls_staple_request *ret,
		       const char **ret_detail)
{
	struct x509 leaf, issuer;
	struct staple_pair pair;
	const char *wrong = staple_pair_read(chain_pem, &pair);

	if (!wrong) {
		wrong = open_pair(&pair, &leaf, &issuer) ? responder_find(&leaf, ret->url)
							 : pair_is_bad;
		if (!wrong)
			wrong = request_write(&leaf, &issuer, ret);
		staple_pair_fini(&pair);
	}
	if (!wrong)
		return 0;
	*ret_detail = wrong;
	return error_of(wrong);
}

/* ---- the response ---- */

/* RFC 6960 section 4.1.1: the hashes are of the issuer's name and of its key's bits. */
static bool is_about(struct span id, const struct x509 *leaf, const struct x509 *issuer)
{
	static const struct span sha1 = SPAN("\x2b\x0e\x03\x02\x1a");
	static const struct span sha256 = SPAN("\x60\x86\x48\x01\x65\x03\x04\x02\x01");
	struct der algorithm, oid, name, key, serial;
	uint8_t name_hash[32], key_hash[32];
	size_t len;
	int err;

	if (!der_take(&id, DER_SEQUENCE, &algorithm) || !der_take(&id, DER_OCTET_STRING, &name) ||
	    !der_take(&id, DER_OCTET_STRING, &key) || !der_take(&id, DER_INTEGER, &serial) ||
	    !der_take(&algorithm.value, DER_OID, &oid))
		return false;
	if (span_eq(oid.value, sha1)) {
		len = 20;
		err = wc_ShaHash((const byte *)leaf->issuer.ptr, (word32)leaf->issuer.len,
				 name_hash);
		err |= wc_ShaHash((const byte *)issuer->key_bits.ptr,
				  (word32)issuer->key_bits.len, key_hash);
	} else if (span_eq(oid.value, sha256)) {
		len = 32;
		err = wc_Sha256Hash((const byte *)leaf->issuer.ptr, (word32)leaf->issuer.len,
				    name_hash);
		err |= wc_Sha256Hash((const byte *)issuer->key_bits.ptr,
				     (word32)issuer->key_bits.len, key_hash);
	} else {
		return false;
	}
	return !err && span_eq(name.value, span_of((const char *)name_hash, len)) &&
	       span_eq(key.value, span_of((const char *)key_hash, len)) &&
	       span_eq(serial.value, leaf->serial);
}

static const char malformed[] = "it is no OCSP response";

/* RFC 6960 section 4.2.1, down to the list of single answers. */
static const char *answers_find(struct span der, struct span *ret_answers)
{
	struct der e, skipped;
	struct span rest = der;

	if (!der_take(&rest, DER_SEQUENCE, &e) || rest.len)
		return malformed;
	rest = e.value;
	if (!der_take(&rest, DER_ENUMERATED, &e) || e.value.len != 1)
		return malformed;
	if (e.value.ptr[0] != 0)
		return "the responder refused to answer";
	if (!der_take(&rest, DER_EXPLICIT(0), &e) || !der_take(&e.value, DER_SEQUENCE, &e))
		return malformed;
	rest = e.value;
	if (!der_take(&rest, DER_OID, &e) ||
	    !span_eq(e.value, SPAN("\x2b\x06\x01\x05\x05\x07\x30\x01\x01")) ||
	    !der_take(&rest, DER_OCTET_STRING, &e))
		return malformed;
	rest = e.value;
	if (!der_take(&rest, DER_SEQUENCE, &e) || !der_take(&e.value, DER_SEQUENCE, &e))
		return malformed;
	rest = e.value;
	der_take(&rest, DER_EXPLICIT(0), &skipped);   /* version */
	if (!der_next(&rest, &skipped) ||             /* responder */
	    !der_take(&rest, DER_GENERALIZED_TIME, &skipped) || /* produced at */
	    !der_take(&rest, DER_SEQUENCE, &e))
		return malformed;
	*ret_answers = e.value;
	return NULL;
}

static const char *answer_read(struct span single, struct staple_answer *ret)
{
	struct der e;

	if (!der_next(&single, &e))
		return malformed;
	ret->status = e.whole;
	if (!der_take(&single, DER_GENERALIZED_TIME, &e) ||
	    !certificate_time(e.whole, &ret->this_update_s))
		return malformed;
	if (!der_take(&single, DER_EXPLICIT(0), &e))
		return "it has no end (nextUpdate), so nobody may keep it";
	if (!der_take(&e.value, DER_GENERALIZED_TIME, &e) ||
	    !certificate_time(e.whole, &ret->next_update_s))
		return malformed;
	return NULL;
}

const char *staple_answer_find(struct span der, const struct staple_pair *p,
			       struct staple_answer *ret)
{
	struct x509 leaf, issuer;
	struct span answers;
	const char *wrong;
	struct der e, id;

	if (!open_pair(p, &leaf, &issuer))
		return pair_is_bad;
	wrong = answers_find(der, &answers);
	if (wrong)
		return wrong;
	while (der_take(&answers, DER_SEQUENCE, &e)) {
		if (!der_take(&e.value, DER_SEQUENCE, &id))
			return malformed;
		if (is_about(id.value, &leaf, &issuer))
			return answer_read(e.value, ret);
	}
	return about_other;
}

static const char *times_judge(const struct staple_answer *a, int64_t now_s)
{
	if (now_s < a->this_update_s)
		return "its time has not begun (thisUpdate)";
	if (now_s > a->next_update_s)
		return "its time is over (nextUpdate)";
	return NULL;
}

/* "Unknown" changes nothing, so anybody may say it (and wolfSSL 5.5 does not tell whether it
 * was signed). "Revoked" takes a staple away: see tls_staple_parse(). */
static const char *status_judge(const struct staple_answer *a)
{
	switch ((uint8_t)a->status.ptr[0]) {
	case DER_CONTEXT(0):
	case DER_EXPLICIT(1): return NULL;
	default: return "it says that the certificate is unknown";
	}
}

/* Signed by the issuer, or by whom the issuer has entitled to (section 4.2.2.2). */
static const char *signature_judge(struct span der, const struct staple_pair *p)
{
	WOLFSSL_CERT_MANAGER *manager = wolfSSL_CertManagerNew();
	CertStatus *status = calloc(1, sizeof(*status)); /* 5.5 writes to it in any case */
	byte *copy = malloc(der.len);
	const char *wrong = "out of memory";
	int verdict;

	if (!manager || !status || !copy)
		goto out;
	memcpy(copy, der.ptr, der.len);
	wrong = "it is not signed for the issuer of the certificate";
	if (wolfSSL_CertManagerEnableOCSP(manager, 0) != WOLFSSL_SUCCESS ||
	    wolfSSL_CertManagerLoadCABuffer(manager, p->issuer, (long)p->issuer_len,
					    WOLFSSL_FILETYPE_ASN1) != WOLFSSL_SUCCESS)
		goto out;
	verdict = wolfSSL_CertManagerCheckOCSPResponse(manager, copy, (int)der.len, NULL, status,
						       NULL, NULL);
	/* Bad news are signed, too. */
	if (verdict == WOLFSSL_SUCCESS || verdict == OCSP_CERT_REVOKED)
		wrong = NULL;
out:
	free(copy);
	free(status);
	wolfSSL_CertManagerFree(manager);
	return wrong;
}

int tls_staple_parse(struct span der, struct span chain_pem, int64_t now_s,
		     struct tls_staple **ret_staple, const char **ret_detail)
{
	struct staple_answer a = {0};
	struct staple_pair p;
	struct tls_staple *s;
	const char *wrong = der.len > TLS_STAPLE_MAX ? "it is larger than 16 KiB" : NULL;

	if (!wrong)
		wrong = staple_pair_read(chain_pem, &p);
	if (wrong) {
		*ret_detail = wrong;
		return error_of(wrong);
	}
	wrong = staple_answer_find(der, &p, &a);
	if (!wrong)
		wrong = times_judge(&a, now_s);
	if (!wrong)
		wrong = status_judge(&a);
	if (!wrong)
		wrong = signature_judge(der, &p);
	/* Last, so that only whom we believe can say it. */
	if (!wrong && (uint8_t)a.status.ptr[0] == DER_EXPLICIT(1))
		wrong = is_revoked;
	staple_pair_fini(&p);
	if (wrong) {
		*ret_detail = wrong;
		return error_of(wrong);
	}
	s = malloc(sizeof(*s) + der.len);
	if (!s) {
		*ret_detail = "out of memory";
		return -ENOMEM;
	}
	*s = (struct tls_staple){a.this_update_s, a.next_update_s, der.len};
	memcpy(s->der, der.ptr, der.len);
	*ret_staple = s;
	return 0;
}

struct tls_staple *tls_staple_copy(const struct tls_staple *s)
{
	struct tls_staple *copy = malloc(sizeof(*s) + s->len);

	if (copy)
		memcpy(copy, s, sizeof(*s) + s->len);
	return copy;
}

void tls_staple_destroy(struct tls_staple *s)
{
	free(s);
}
