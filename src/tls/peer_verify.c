#include "peer_verify.h"

#include <errno.h>
#include <stdlib.h>

#include "certificate.h"
#include "file.h"
#include "pem.h"
#include "x509.h"

/* ---- files ---- */

/* Gives each PEM block of that label to `load`. -ENOENT: the file has none; -EINVAL: some
 * were not taken, of *ret_taken that were. */
static int each_block(const char *path, struct span label,
		      bool (*load)(WOLFSSL_CTX *ctx, const struct pem_block *block),
		      WOLFSSL_CTX *ctx, size_t *ret_taken)
{
	struct pem_cursor cursor;
	struct pem_block block;
	bool any = false;
	char *text = NULL;
	size_t len = 0;
	int err;

	err = file_read(path, PEM_BUNDLE_MAX, &text, &len);
	if (err)
		return err == -ENOENT ? -EACCES : err;
	cursor = pem_begin(span_of(text, len));
	*ret_taken = 0;
	while (pem_next(&cursor, &block)) {
		if (!span_eq(block.label, label))
			continue;
		any = true;
		if (load(ctx, &block))
			++*ret_taken;
		else
			err = -EINVAL;
	}
	free(text);
	return err ? err : any ? 0 : -ENOENT;
}

/* One that is malformed, over, or no authority's does not keep the others out;
 * tls_check_ca_file() tells of it. */
static bool load_ca(WOLFSSL_CTX *ctx, const struct pem_block *block)
{
	return certificate_is_authority(block) &&
	       wolfSSL_CTX_load_verify_buffer(ctx, (const byte *)block->text.ptr,
					      (long)block->text.len,
					      WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS;
}

static bool load_crl(WOLFSSL_CTX *ctx, const struct pem_block *block)
{
	return wolfSSL_CTX_LoadCRLBuffer(ctx, (const byte *)block->text.ptr,
					 (long)block->text.len,
					 WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS;
}

/* ---- verdicts ---- */

/* Intermediates first, the client's own certificate last; where all is well, for that one
 * only (WOLFSSL_ALWAYS_VERIFY_CB). Also when a client that is merely asked shows none. */
static int on_verdict(int good, WOLFSSL_X509_STORE_CTX *store)
{
	struct tls_peer *p = store->userCtx;
	struct span chain[TLS_PEER_CHAIN_MAX + 1];
	int len = store->totalCerts;

	must(p);
	if (!good) {
		if (p->cause == ACCESS_OK)
			p->cause = tls_peer_cause(store->error, NULL);
		if (p->cause == ACCESS_OK)
			p->cause = ACCESS_TLS_CERTIFICATE_BAD;
		return 0;
	}
	if (p->cause != ACCESS_OK)
		return 0;
	if (store->error_depth != 0 || len < 1)
		return 1;
	if (p->memory || len > (int)ARRAY_LEN(chain)) {
		p->cause = ACCESS_TLS_CERTIFICATE_BAD;
		return 0;
	}
	for (int i = 0; i < len; i++)
		chain[i] = span_of((const char *)store->certs[i].buffer, store->certs[i].length);
	return tls_peer_record(p, chain, (size_t)len) == ACCESS_OK;
}

int tls_peer_setup(WOLFSSL_CTX *ctx, const struct config_tls *config,
		   const struct config_file **ret_file, const char **ret_detail)
{
	int mode = WOLFSSL_VERIFY_PEER;
	size_t taken;
	int err;

	must(config->client_auth != CONFIG_CLIENT_AUTH_NONE && config->client_ca.path);
	if (config->client_auth == CONFIG_CLIENT_AUTH_REQUIRE)
		mode |= WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	wolfSSL_CTX_set_verify(ctx, mode, on_verdict);

	*ret_file = &config->client_ca;
	err = each_block(config->client_ca.path, SPAN("CERTIFICATE"), load_ca, ctx, &taken);
	switch (err) {
	case 0: break;
	case -ENOENT: *ret_detail = "client_ca has no certificate in PEM"; return -EINVAL;
	case -EINVAL:
		if (taken)
			break;
		*ret_detail = "client_ca has no certificate of an authority that can be used";
		return err;
	case -EFBIG: *ret_detail = "client_ca is larger than 4 MiB"; return err;
	case -ENOMEM: *ret_detail = "out of memory"; return err;
	default: *ret_detail = "client_ca cannot be read"; return err;
	}
	/* From here on: how long the key of a root may be is for who trusts it to decide. */
	if (wolfSSL_CTX_SetMinRsaKey_Sz(ctx, X509_RSA_LEAST) != WOLFSSL_SUCCESS) {
		*ret_detail = "the TLS library refuses the settings";
		return -EINVAL;
	}
	if (!config->crl.path)
		return 0;
	*ret_file = &config->crl;
	if (wolfSSL_CTX_EnableCRL(ctx, WOLFSSL_CRL_CHECKALL) != WOLFSSL_SUCCESS) {
		*ret_detail = "the TLS library does not check CRLs";
		return -ENOTSUP;
	}
	err = each_block(config->crl.path, SPAN("X509 CRL"), load_crl, ctx, &taken);
	switch (err) {
	case 0: return 0;
	case -ENOENT: *ret_detail = "crl has no CRL in PEM"; return -EINVAL;
	case -EINVAL:
		*ret_detail = "crl has a CRL that is malformed, over, or not signed by a "
			      "certificate in client_ca that may sign CRLs";
		return err;
	case -EFBIG: *ret_detail = "crl is larger than 4 MiB"; return err;
	case -ENOMEM: *ret_detail = "out of memory"; return err;
	default: *ret_detail = "crl cannot be read"; return err;
	}
}

int tls_peer_attach(WOLFSSL *ssl, uint32_t depth, struct tls_peer **ret_peer)
{
	struct tls_peer *p = tls_peer_create(depth);

	if (!p)
		return -ENOMEM;
	wolfSSL_SetCertCbCtx(ssl, p);
	/* wolfSSL keeps every intermediate that it has verified in the context, where the
	 * next client could leave it out and so have a longer chain than it shows. 5.5 has
	 * no way to let go of them; there, and only until the certificates are loaded
	 * anew, a client's chain may lack what an earlier client has shown. */
#if LIBWOLFSSL_VERSION_HEX >= 0x05007002
	wolfSSL_CertManagerUnloadIntermediateCerts(
		wolfSSL_CTX_GetCertManager(wolfSSL_get_SSL_CTX(ssl)));
#endif
	*ret_peer = p;
	return 0;
}
