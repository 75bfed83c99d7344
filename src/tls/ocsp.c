#include <ringway/tls/ocsp.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "certificate.h"
#include "file.h"
#include "pem.h"
#include "staple.h"
#include "x509.h"

/* ---- the identity ---- */

struct pair {
	uint8_t *leaf, *issuer; /* malloc */
	size_t leaf_len, issuer_len;
};

static void pair_fini(struct pair *p)
{
	free(p->leaf);
	free(p->issuer);
}

static struct span leaf_of(const struct pair *p)
{
	return span_of((const char *)p->leaf, p->leaf_len);
}

static struct span issuer_of(const struct pair *p)
{
	return span_of((const char *)p->issuer, p->issuer_len);
}

static const char *pair_read(struct span chain_pem, struct pair *ret)
{
	struct pem_cursor cursor = pem_begin(chain_pem);
	struct pair p = {0};
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
		pair_fini(&p);
		return "the certificate's file lacks that of the issuer, behind it";
	}
	*ret = p;
	return NULL;
}

/* ---- the response ---- */

struct answer {
	struct span status; /* tag and length included */
	int64_t this_update_s;
	int64_t next_update_s;
};

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

static const char *malformed = "it is no OCSP response";

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

static const char *answer_read(struct span single, struct answer *ret)
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

static const char *answer_find(struct span der, const struct pair *p, struct answer *ret)
{
	struct x509 leaf, issuer;
	struct span answers;
	const char *wrong;
	struct der e, id;

	if (!x509_open(leaf_of(p), &leaf) || !x509_open(issuer_of(p), &issuer))
		return "the certificate or that of its issuer is malformed";
	wrong = answers_find(der, &answers);
	if (wrong)
		return wrong;
	while (der_take(&answers, DER_SEQUENCE, &e)) {
		if (!der_take(&e.value, DER_SEQUENCE, &id))
			return malformed;
		if (is_about(id.value, &leaf, &issuer))
			return answer_read(e.value, ret);
	}
	return "it is about another certificate";
}

static const char *answer_judge(const struct answer *a, int64_t now_s)
{
	switch ((uint8_t)a->status.ptr[0]) {
	case DER_CONTEXT(0): break;
	case DER_EXPLICIT(1): return "it says that the certificate is revoked";
	default: return "it says that the certificate is unknown";
	}
	if (now_s < a->this_update_s)
		return "its time has not begun (thisUpdate)";
	if (now_s > a->next_update_s)
		return "its time is over (nextUpdate)";
	return NULL;
}

/* Signed by the issuer, or by whom the issuer has entitled to (section 4.2.2.2). */
static const char *signature_judge(struct span der, const struct pair *p)
{
	WOLFSSL_CERT_MANAGER *manager = wolfSSL_CertManagerNew();
	CertStatus *status = calloc(1, sizeof(*status)); /* 5.5 writes to it in any case */
	byte *copy = malloc(der.len);
	const char *wrong = "out of memory";

	if (!manager || !status || !copy)
		goto out;
	memcpy(copy, der.ptr, der.len);
	wrong = "it is not signed for the issuer of the certificate";
	if (wolfSSL_CertManagerEnableOCSP(manager, 0) == WOLFSSL_SUCCESS &&
	    wolfSSL_CertManagerLoadCABuffer(manager, p->issuer, (long)p->issuer_len,
					    WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS &&
	    wolfSSL_CertManagerCheckOCSPResponse(manager, copy, (int)der.len, NULL, status, NULL,
						 NULL) == WOLFSSL_SUCCESS)
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
	struct tls_staple *s;
	struct answer a = {0};
	struct pair p;
	const char *wrong = der.len > TLS_STAPLE_MAX ? "it is larger than 16 KiB" : NULL;

	if (!wrong)
		wrong = pair_read(chain_pem, &p);
	if (wrong) {
		*ret_detail = wrong;
		return -EINVAL;
	}
	wrong = answer_find(der, &p, &a);
	if (!wrong)
		wrong = answer_judge(&a, now_s);
	if (!wrong)
		wrong = signature_judge(der, &p);
	pair_fini(&p);
	if (wrong) {
		*ret_detail = wrong;
		return -EINVAL;
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

int tls_staple_load(const char *path, struct span chain_pem, int64_t now_s,
		    struct tls_staple **ret_staple, const char **ret_detail)
{
	char *der;
	size_t len;
	int err;

	err = file_read(path, TLS_STAPLE_MAX, &der, &len);
	if (err) {
		*ret_detail = err == -EFBIG ? "it is larger than 16 KiB" : "it cannot be read";
		return err;
	}
	err = tls_staple_parse(span_of(der, len), chain_pem, now_s, ret_staple, ret_detail);
	free(der);
	return err;
}

void tls_staple_destroy(struct tls_staple *s)
{
	free(s);
}

/* ---- handshakes ---- */

/* wolfSSL does not write to what it gets here. Where there is nothing to staple it gets what
 * is no response: that leaves the handshake without one, while an error of ours would end
 * it. */
static int on_wanted(void *owner, const char *url UNUSED, int url_len UNUSED,
		     unsigned char *request UNUSED, int request_len UNUSED,
		     unsigned char **ret_response)
{
	static unsigned char nothing[1];
	const struct tls_staple *s = ((const struct tls_staple_slot *)owner)->current;

	if (!s || time(NULL) > s->next_update_s) {
		*ret_response = nothing;
		return sizeof(nothing);
	}
	*ret_response = (unsigned char *)(uintptr_t)s->der;
	return (int)s->len;
}

static void on_done(void *owner UNUSED, unsigned char *response UNUSED)
{
}

int tls_staple_apply(WOLFSSL_CTX *ctx, const struct config_tls *config, struct span chain_pem,
		     struct tls_staple_slot *slot, const char **ret_detail)
{
	struct pair p;
	int err = 0;

	if (config->client_auth != CONFIG_CLIENT_AUTH_NONE) {
		*ret_detail = "nothing can be stapled on a listener with client_auth";
		return -ENOTSUP;
	}
	*ret_detail = pair_read(chain_pem, &p);
	if (*ret_detail)
		return -EINVAL;
	/* A certificate without a responder's address is stapled to as well, so there is one
	 * that is never asked. The option for it comes with looking after clients'
	 * certificates only; there are none. Both calls set callbacks of their own, so ours
	 * come after them. */
	if (wolfSSL_CTX_EnableOCSPStapling(ctx) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_EnableOCSP(ctx, WOLFSSL_OCSP_URL_OVERRIDE) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_SetOCSP_OverrideURL(ctx, "http://staple.invalid/") != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_SetOCSP_Cb(ctx, on_wanted, on_done, slot) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_load_verify_buffer(ctx, p.issuer, (long)p.issuer_len,
					   WOLFSSL_FILETYPE_ASN1) != WOLFSSL_SUCCESS) {
		*ret_detail = "the TLS library refuses to staple";
		err = -ENOTSUP;
	}
	pair_fini(&p);
	return err;
}
