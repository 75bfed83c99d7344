#include "staple.h"

#include <errno.h>
#include <time.h>

#include <ringway/tls/identity.h>

#include "pem.h"

/* ---- files ---- */

int tls_staple_choose(const struct config_file *file, const char *path,
		      struct tls_identity *const *identities, size_t identities_len,
		      int64_t now_s, struct tls_findings *f, struct tls_staple **ret_staple,
		      size_t *ret_index)
{
	struct voice v = {.findings = f, .file = file, .path = path};
	const char *lacking = NULL, *detail = NULL;
	struct pem_file response;
	int err = pem_file_read(&v, TLS_STAPLE_MAX, &response);

	if (err)
		return err;
	err = -ESRCH;
	for (size_t i = 0; i < identities_len && (err == -ESRCH || err == -ENOKEY); i++) {
		err = tls_staple_parse(response.text, identities[i]->chain_pem, now_s, ret_staple,
				       &detail);
		if (!err)
			*ret_index = i;
		if (err == -ENOKEY)
			lacking = identities[i]->config->cert.path;
	}
	pem_file_fini(&response);
	/* The last one may have been known, and another. */
	if (err == -ESRCH && !lacking)
		voice_say(&v, CONFIG_ERROR, "it is about no certificate of the listener");
	else if (err == -ESRCH || err == -ENOKEY)
		voice_say(&v, CONFIG_ERROR,
			  "it is about no certificate of the listener whose issuer is known: in "
			  "`%s` that one's certificate must stand behind the other",
			  lacking);
	else if (err)
		voice_say(&v, CONFIG_ERROR, "%s", detail);
	return err;
}

/* ---- handshakes ---- */

/* wolfSSL does not write to what it gets here. After the time of the staple it gets what
 * is no response: that leaves the handshake without one, while an error of ours would end
 * it. */
static int on_wanted(void *owner, const char *url UNUSED, int url_len UNUSED,
		     unsigned char *request UNUSED, int request_len UNUSED,
		     unsigned char **ret_response)
{
	static unsigned char nothing[1];
	const struct tls_staple *s = owner;

	if (time(NULL) > s->next_update_s) {
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
		     const struct tls_staple *staple, const char **ret_detail)
{
	struct staple_pair p;
	int err = 0;

	if (config->client_auth != CONFIG_CLIENT_AUTH_NONE) {
		*ret_detail = "nothing can be stapled on a listener with client_auth";
		return -ENOTSUP;
	}
	*ret_detail = staple_pair_read(chain_pem, &p);
	if (*ret_detail)
		return -EINVAL;
	/* A certificate without a responder's address is stapled to as well, so there is one
	 * that is never asked. The option for it comes with looking after clients'
	 * certificates only; there are none. Both calls set callbacks of their own, so ours
	 * come after them. */
	if (wolfSSL_CTX_EnableOCSPStapling(ctx) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_EnableOCSP(ctx, WOLFSSL_OCSP_URL_OVERRIDE) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_SetOCSP_OverrideURL(ctx, "http://staple.invalid/") != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_SetOCSP_Cb(ctx, on_wanted, on_done, (void *)(uintptr_t)staple) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_load_verify_buffer(ctx, p.issuer, (long)p.issuer_len,
					   WOLFSSL_FILETYPE_ASN1) != WOLFSSL_SUCCESS) {
		*ret_detail = "the TLS library refuses to staple";
		err = -ENOTSUP;
	}
	staple_pair_fini(&p);
	return err;
}
