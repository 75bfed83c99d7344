#include <ringway/tls/credentials.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <ringway/base/clock.h>
#include <ringway/tls/file_check.h>
#include <ringway/tls/memory.h>
#include <ringway/tls/random.h>
#include <ringway/tls/ticket_keys.h>

#include "acceptor.h"
#include "caller.h"
#include "file.h"
#include "pem.h"
#include "peer_verify.h"
#include "session_io.h"
#include "settings.h"
#include "staple.h"

struct tls_credentials {
	struct tls_identity ***identities; /* by listener, then certificate */
	size_t *identities_len;
	struct tls_staple ***staples; /* of the identities; NULL: none */
	struct tls_acceptor *acceptors; /* by listener and shard; those without doors are plain */
	size_t listeners;
	unsigned shards;
	struct tls_callers *callers;
};

int tls_init(void)
{
	int err = tls_memory_install();

	if (!err && wolfSSL_Init() != WOLFSSL_SUCCESS)
		err = -ENOMEM;
	/* After it, since it sets a source of seeds of its own. */
	return err ? err : tls_random_install();
}

/* ---- tickets ---- */

/* A ticket's nonce is one more than that of the ticket which was shown for it, in one byte;
 * from 5.9 on wolfSSL lets the handshake fail that would come to 256. So a byte of ours behind
 * the library's counts them, and after so many there is a full handshake. */
#define TICKETS_IN_A_ROW 250

static int on_ticket(WOLFSSL *ssl, unsigned char *name, unsigned char *iv,
		     unsigned char *tag, int seal, unsigned char *ticket, int len, int *ret_len,
		     void *arg)
{
	uint8_t *age = tls_session_ticket_age(ssl);
	const struct tls_door *door = arg;
	const struct tls_acceptor *a = door->acceptor;
	uint64_t now_s = clock_unix_us() / 1000000;
	enum tls_ticket_verdict opened;

	if (seal) {
		ticket[len] = *age; /* the library leaves room for as much as 32 bytes */
		*ret_len = len + 1;
		return tls_ticket_seal(a->keys, door->binding, now_s, a->ticket_rotate_s, name, iv,
				       tag, ticket, (uint32_t)len + 1)
			       ? WOLFSSL_TICKET_RET_OK
			       : WOLFSSL_TICKET_RET_REJECT;
	}
	opened = tls_ticket_open(a->keys, door->binding, now_s, a->ticket_rotate_s,
				 a->ticket_lifetime_s, name, iv, tag, ticket, (uint32_t)len);
	if (opened == TLS_TICKET_UNKNOWN || ticket[len - 1] >= TICKETS_IN_A_ROW)
		return WOLFSSL_TICKET_RET_REJECT;
	*age = ticket[len - 1] + 1;
	*ret_len = len - 1;
	switch (opened) {
	case TLS_TICKET_OPEN: return WOLFSSL_TICKET_RET_OK;
	case TLS_TICKET_OPEN_RENEW:
		/* With 1.3 every handshake brings a new ticket, and CREATE would be a refusal. */
		return wolfSSL_version(ssl) == 0x0304 ? WOLFSSL_TICKET_RET_OK
						      : WOLFSSL_TICKET_RET_CREATE;
	case TLS_TICKET_UNKNOWN: break;
	}
	return WOLFSSL_TICKET_RET_REJECT;
}

static bool set_tickets(struct tls_door *door)
{
	const struct tls_acceptor *a = door->acceptor;

	wolfSSL_CTX_set_session_cache_mode(door->ctx, WOLFSSL_SESS_CACHE_OFF);
	if (!a->ticket_lifetime_s)
		return wolfSSL_CTX_NoTicketTLSv12(door->ctx) == WOLFSSL_SUCCESS &&
		       wolfSSL_CTX_no_ticket_TLSv13(door->ctx) == 0;
	return wolfSSL_CTX_set_TicketEncCb(door->ctx, on_ticket) == WOLFSSL_SUCCESS &&
	       wolfSSL_CTX_set_TicketEncCtx(door->ctx, door) == WOLFSSL_SUCCESS &&
	       wolfSSL_CTX_set_TicketHint(door->ctx, (int)a->ticket_lifetime_s) == WOLFSSL_SUCCESS &&
	       wolfSSL_CTX_set_timeout(door->ctx, a->ticket_lifetime_s) == WOLFSSL_SUCCESS;
}

static void hash_text(wc_Sha256 *sha, const void *bytes, size_t len)
{
	uint32_t prefix = (uint32_t)len;

	wc_Sha256Update(sha, (const byte *)&prefix, sizeof(prefix));
	if (len)
		wc_Sha256Update(sha, bytes, (word32)len);
}

/* A ticket is good where everything that it stands for is the same. */
static bool bind_tickets(struct tls_door *door, const struct config_listener *listener,
			 const uint8_t client_ca[32])
{
	uint8_t auth = (uint8_t)listener->tls->client_auth;
	wc_Sha256 sha;

	if (wc_InitSha256(&sha) != 0)
		return false;
	hash_text(&sha, listener->name, strlen(listener->name));
	hash_text(&sha, &auth, 1);
	hash_text(&sha, client_ca, 32);
	hash_text(&sha, door->identity->fingerprint, sizeof(door->identity->fingerprint));
	return wc_Sha256Final(&sha, door->binding) == 0;
}

/* ---- contexts ---- */

/* What is wrong and with which file; NULL: nothing. */
static const char *set_up(struct tls_door *door, const struct config_tls *tls,
			  const struct config_file **ret_file)
{
	const struct tls_identity *id = door->identity;
	const char *detail = NULL;

	*ret_file = &id->config->cert;
	door->ctx = wolfSSL_CTX_new(wolfSSLv23_server_method());
	if (!door->ctx)
		return "out of memory";
	tls_session_set_io(door->ctx);
	wolfSSL_CTX_set_group_messages(door->ctx);
	if (wolfSSL_CTX_SetMinVersion(door->ctx, tls->min_version >= 0x0304 ? WOLFSSL_TLSV1_3
									     : WOLFSSL_TLSV1_2) !=
	    WOLFSSL_SUCCESS)
		return "the TLS library refuses min_version";
	if (wolfSSL_CTX_use_certificate_chain_buffer(door->ctx, (const byte *)id->chain_pem.ptr,
						     (long)id->chain_pem.len) != WOLFSSL_SUCCESS)
		return "the TLS library refuses the certificate";
	if (wolfSSL_CTX_use_PrivateKey_buffer(door->ctx, (const byte *)id->key_pem.ptr,
					      (long)id->key_pem.len,
					      WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
		return "the TLS library refuses the key";
	if (!tls_set_suites(door->ctx, tls->suites, tls->suites_len))
		return "the TLS library has none of the suites";
	if (!tls_set_groups(door->ctx, tls->groups, tls->groups_len))
		return "the TLS library has none of the groups";
	if (tls->client_auth != CONFIG_CLIENT_AUTH_NONE &&
	    tls_peer_setup(door->ctx, tls, ret_file, &detail) != 0)
		return detail;
	*ret_file = &id->config->cert;
	if (door->staple &&
	    tls_staple_apply(door->ctx, tls, id->chain_pem, door->staple, &detail) != 0)
		return detail;
	return set_tickets(door) ? NULL : "the TLS library refuses tickets";
}

static struct tls_acceptor *acceptor_at(const struct tls_credentials *c, size_t listener,
					unsigned shard)
{
	return &c->acceptors[listener * c->shards + shard];
}

static int open_doors(struct tls_credentials *c, size_t index, const struct config_listener *l,
		      struct tls_ticket_keys *keys, const uint8_t client_ca[32],
		      const struct config_file **ret_file, const char **ret_detail)
{
	const struct config_tls *tls = l->tls;

	for (unsigned shard = 0; shard < c->shards; shard++) {
		struct tls_acceptor *a = acceptor_at(c, index, shard);

		a->keys = keys;
		a->client_auth = tls->client_auth;
		a->verify_depth = tls->verify_depth;
		a->min_version = tls->min_version;
		a->groups = tls_group_bits(tls->groups, tls->groups_len);
		a->strict_sni = tls->strict_sni;
		a->ticket_rotate_s = (uint32_t)(tls->ticket_rotate_ns / NS_PER_S);
		/* A resumed session skips the certificate request. */
		if (tls->client_auth == CONFIG_CLIENT_AUTH_NONE)
			a->ticket_lifetime_s = (uint32_t)(tls->ticket_lifetime_ns / NS_PER_S);
		a->doors = calloc(c->identities_len[index], sizeof(*a->doors));
		if (!a->doors)
			return -ENOMEM;
		for (size_t i = 0; i < c->identities_len[index]; i++) {
			struct tls_door *door = &a->doors[a->doors_len++];

			door->identity = c->identities[index][i];
			door->staple = c->staples[index][i];
			door->acceptor = a;
			if (!bind_tickets(door, l, client_ca))
				return -ENOMEM;
			*ret_detail = set_up(door, tls, ret_file);
			if (*ret_detail)
				return -EINVAL;
		}
	}
	return 0;
}

/* ---- stapling ---- */

static void want_staple(const struct tls_identity *id, const char *path,
			struct tls_staples *staples, struct tls_findings *findings,
			struct tls_staple **ret_staple)
{
	struct tls_staple_request request;
	const char *detail;

	/* A warning, since an authority may cease to have a responder at any renewal. */
	if (tls_staple_request(id->chain_pem, &request, &detail) != 0)
		findings->say(findings, CONFIG_WARNING, &id->config->cert, path, detail);
	else if (staples)
		*ret_staple = staples->on_wanted(staples, id, &request);
}

static int load_staples(struct tls_credentials *c, size_t index, const struct config_listener *l,
			struct tls_staples *staples, struct tls_findings *findings, int64_t now_s)
{
	struct tls_identity *const *identities = c->identities[index];
	size_t len = c->identities_len[index], one;
	struct tls_staple *staple;
	char path[128];
	int err;

	c->staples[index] = calloc(len, sizeof(struct tls_staple *));
	if (!c->staples[index])
		return -ENOMEM;
	snprintf(path, sizeof(path), "listener `%s`, ocsp", l->name);
	for (size_t i = 0; i < len && l->tls->ocsp_fetch; i++)
		want_staple(identities[i], path, staples, findings, &c->staples[index][i]);
	if (!l->tls->ocsp.path)
		return 0;
	err = tls_staple_choose(&l->tls->ocsp, path, identities, len, now_s, findings, &staple,
				&one);
	if (!err)
		c->staples[index][one] = staple;
	return err;
}

/* ---- listeners ---- */

/* What its CAs are is part of what a ticket is bound to. One that cannot be read is
 * tls_peer_setup()'s to say. */
static void hash_file(const char *path, uint8_t hash[32])
{
	size_t len = 0;
	char *text;

	memset(hash, 0, 32);
	if (!path || file_read(path, PEM_BUNDLE_MAX, &text, &len) != 0)
		return;
	if (wc_Sha256Hash((const byte *)text, (word32)len, hash) != 0)
		memset(hash, 0, 32);
	free(text);
}

static int load_listener(struct tls_credentials *c, size_t index, const struct config_listener *l,
			 struct tls_ticket_keys *keys, struct tls_staples *staples,
			 struct tls_findings *findings, int64_t now_s)
{
	const struct config_tls *tls = l->tls;
	const struct config_file *file = NULL;
	const char *detail = NULL;
	uint8_t client_ca[32];
	char path[128];
	int err = 0;

	c->identities[index] = calloc(tls->certificates_len, sizeof(struct tls_identity *));
	if (!c->identities[index])
		return -ENOMEM;
	for (size_t i = 0; i < tls->certificates_len; i++) {
		snprintf(path, sizeof(path), "listener `%s`, certificates[%zu]", l->name, i);
		int one = tls_identity_load(&tls->certificates[i], path, now_s, findings,
					    &c->identities[index][c->identities_len[index]]);

		if (one)
			err = one;
		else
			c->identities_len[index]++;
	}
	if (!err)
		err = load_staples(c, index, l, staples, findings, now_s);
	if (err)
		return err;
	hash_file(tls->client_ca.path, client_ca);
	err = open_doors(c, index, l, keys, client_ca, &file, &detail);
	if (detail) {
		snprintf(path, sizeof(path), "listener `%s`, tls", l->name);
		findings->say(findings, CONFIG_ERROR, file, path, detail);
	} else if (!err && tls->client_ca.path) {
		/* What was left out of it. */
		snprintf(path, sizeof(path), "listener `%s`, tls.client_ca", l->name);
		tls_check_ca_file(&tls->client_ca, path, now_s, findings);
	}
	return err;
}

int tls_credentials_create(const struct config *config, unsigned shards,
			   struct tls_ticket_keys *keys, struct tls_staples *staples,
			   struct tls_findings *findings, struct tls_credentials **ret_credentials)
{
	struct tls_credentials *c = calloc(1, sizeof(*c));
	int64_t now_s = (int64_t)time(NULL);
	int err = -ENOMEM, callers_err;

	if (!c)
		return err;
	c->listeners = config->listeners_len;
	c->shards = shards;
	c->identities = calloc(c->listeners + 1, sizeof(*c->identities));
	c->identities_len = calloc(c->listeners + 1, sizeof(*c->identities_len));
	c->staples = calloc(c->listeners + 1, sizeof(*c->staples));
	c->acceptors = calloc((c->listeners + 1) * shards, sizeof(*c->acceptors));
	if (!c->identities || !c->identities_len || !c->staples || !c->acceptors)
		goto fail;
	err = 0;
	for (size_t i = 0; i < c->listeners; i++) {
		int one = 0;

		/* All of them, so that every error is told. */
		if (config->listeners[i].tls)
			one = load_listener(c, i, &config->listeners[i], keys, staples, findings,
					    now_s);
		if (one)
			err = one;
	}
	callers_err = tls_callers_create(config, shards, now_s, findings, &c->callers);
	if (callers_err)
		err = callers_err;
	if (err)
		goto fail;
	*ret_credentials = c;
	return 0;
fail:
	tls_credentials_destroy(c);
	return err;
}

void tls_credentials_destroy(struct tls_credentials *c)
{
	if (!c)
		return;
	for (size_t i = 0; c->acceptors && i < c->listeners * c->shards; i++) {
		struct tls_acceptor *a = &c->acceptors[i];

		for (size_t k = 0; k < a->doors_len; k++)
			wolfSSL_CTX_free(a->doors[k].ctx);
		free(a->doors);
	}
	for (size_t i = 0; c->identities && c->identities_len && i < c->listeners; i++) {
		for (size_t k = 0; k < c->identities_len[i]; k++) {
			tls_identity_destroy(c->identities[i][k]);
			if (c->staples && c->staples[i])
				tls_staple_destroy(c->staples[i][k]);
		}
		if (c->staples)
			free(c->staples[i]);
		free(c->identities[i]);
	}
	tls_callers_destroy(c->callers);
	free(c->acceptors);
	free(c->identities);
	free(c->identities_len);
	free(c->staples);
	free(c);
}

const struct tls_acceptor *tls_credentials_acceptor(const struct tls_credentials *c,
						    size_t listener, unsigned shard)
{
	struct tls_acceptor *a;

	if (!c || listener >= c->listeners)
		return NULL;
	a = acceptor_at(c, listener, shard);
	return a->doors_len ? a : NULL;
}

const struct tls_caller *tls_credentials_caller(const struct tls_credentials *c, size_t service,
						unsigned shard)
{
	return tls_callers_at(c->callers, service, shard);
}
