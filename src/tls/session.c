#include <ringway/tls/session.h>

#include <errno.h>

#include <wolfssl/options.h>
#include <wolfssl/error-ssl.h>

#include "acceptor.h"
#include "caller.h"
#include "peer_verify.h"
#include "session_io.h"

/* Records while a transfer is young: about three segments, so that the first bytes can be
 * read when the second or third segment is there, not the twelfth. */
#define SMALL_RECORD (4 * KIB)
#define SMALL_UNTIL (32 * KIB)
#define LARGE_RECORD (16 * KIB) /* RFC 8446 section 5.1 */
/* After such a pause the congestion window is small again. */
#define PAUSE_NS NS_PER_S
/* Input that brings no bytes (KeyUpdates, empty records) since some came: above what any
 * client needs, and each KeyUpdate costs us a key. */
#define BARREN_BYTES (64 * KIB)
/* Answers of the library's own (KeyUpdates, warnings) behind a send that has not ended, each
 * in a block: nobody else holds back a peer that asks for them and does not read. */
#define ANSWERS_WAITING 16

/* Our side is the client. */
struct calling {
	struct tls_caller_check check;
	struct tls_saved *saved; /* where the session is kept for the next connection */
	uint8_t settings[TLS_SETTINGS_BYTES];
	bool verify;
	bool resuming; /* a saved session was offered */
	bool kept;
};

struct tls_session {
	struct conn_codec codec; /* first */
	WOLFSSL *ssl;
	struct conn *conn;
	struct block *in;  /* what the library reads from; NULL while it shakes: conn->rx */
	struct block *out; /* the flight so far */
	struct tls_peer *peer;
	struct calling *calling; /* NULL: our side is the server */
	uint64_t began_ns;
	uint64_t sent_ns; /* the last time that something was */
	uint32_t sent;    /* since the last pause */
	uint32_t barren;
	uint32_t answers; /* that may wait to be sent */
	uint8_t ticket_age;
	bool established;
	bool signs_with_rsa;
	bool send_failed;
	bool has_spoken; /* the library has sent something */
	char *name; /* of facts.server_name, NUL-terminated */
	struct access_tls facts;
};

static struct tls_session *session_of(struct conn_codec *k)
{
	return container_of(k, struct tls_session, codec);
}

/* ---- the library's bytes ---- */

static int on_library_recv(WOLFSSL *ssl UNUSED, char *into, int len, void *arg)
{
	struct tls_session *t = arg;
	struct block *b = t->established ? t->in : t->conn->rx;
	uint32_t n = b ? (uint32_t)min_u64(block_len(b), (uint64_t)len) : 0;

	if (!n)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	memcpy(into, block_begin(b), n);
	if (t->established)
		b->begin += n;
	else
		conn_consume(t->conn, n);
	return (int)n;
}

static void flush(struct tls_session *t)
{
	struct block *b = t->out;

	if (!b)
		return;
	t->out = NULL;
	if (t->conn->state == CONN_OPEN)
		conn_send_raw(t->conn, b);
	else
		block_give(b);
}

static int on_library_send(WOLFSSL *ssl UNUSED, char *from, int len, void *arg)
{
	struct tls_session *t = arg;
	uint32_t left = (uint32_t)len;

	t->has_spoken = true;
	while (left) {
		uint32_t n;

		if (t->out && !block_tail_room(t->out))
			flush(t);
		if (!t->out)
			t->out = block_take(&t->conn->shard->blocks);
		if (!t->out) {
			t->send_failed = true;
			return WOLFSSL_CBIO_ERR_GENERAL;
		}
		n = (uint32_t)min_u64(left, block_tail_room(t->out));
		block_append(t->out, from, n);
		from += n;
		left -= n;
	}
	return len;
}

uint8_t *tls_session_ticket_age(WOLFSSL *ssl)
{
	struct tls_session *t = wolfSSL_GetIOReadCtx(ssl);

	return &t->ticket_age;
}

void tls_session_set_io(WOLFSSL_CTX *ctx)
{
	wolfSSL_CTX_SetIORecv(ctx, on_library_recv);
	wolfSSL_CTX_SetIOSend(ctx, on_library_send);
}

/* ---- the handshake ---- */

void tls_send_alert(struct conn *c, uint8_t alert)
{
	struct block *b = alert ? block_take(&c->shard->blocks) : NULL;
	uint8_t record[7];

	if (!b)
		return;
	tls_alert_record(alert, record);
	block_append(b, record, sizeof(record));
	conn_send_raw(c, b);
}

static bool keep_name(struct tls_session *t, const char *name, size_t len)
{
	t->name = len ? XMALLOC(len + 1, NULL, DYNAMIC_TYPE_TMP_BUFFER) : NULL;
	if (!t->name)
		return false;
	memcpy(t->name, name, len);
	t->name[len] = '\0';
	t->facts.server_name = span_of(t->name, len);
	return true;
}

/* With memory of the shard's. NULL: there is none. */
static struct tls_session *create(WOLFSSL_CTX *ctx, struct conn *c)
{
	struct tls_session *t = XMALLOC(sizeof(*t), NULL, DYNAMIC_TYPE_TMP_BUFFER);

	if (!t)
		return NULL;
	memset(t, 0, sizeof(*t));
	t->conn = c;
	t->began_ns = c->shard->now_ns;
	t->ssl = wolfSSL_new(ctx);
	if (!t->ssl) {
		tls_session_destroy(t);
		return NULL;
	}
	wolfSSL_SetIOReadCtx(t->ssl, t);
	wolfSSL_SetIOWriteCtx(t->ssl, t);
	return t;
}

struct tls_session *tls_session_accept(const struct tls_acceptor *a, const struct tls_hello *hello,
				       struct conn *c, enum access_cause *ret_cause)
{
	const struct tls_door *door = tls_acceptor_choose(a, hello);
	char protocols[] = "http/1.1"; /* the library's signature wants it writable */
	struct tls_session *t;

	if (!door) {
		*ret_cause = ACCESS_TLS_UNKNOWN_NAME;
		tls_send_alert(c, 112); /* unrecognized_name, RFC 6066 section 3 */
		return NULL;
	}
	if (hello->has_alpn && !hello->alpn_http11) {
		*ret_cause = ACCESS_TLS_NO_ALPN;
		tls_send_alert(c, 120); /* no_application_protocol, RFC 7301 section 3.2 */
		return NULL;
	}
	if (!hello->offers_tls13 && (!hello->offers_tls12 || a->min_version > 0x0303)) {
		*ret_cause = ACCESS_TLS_VERSION;
		tls_send_alert(c, 70); /* protocol_version */
		return NULL;
	}
	/* The library would ask for a key of a group that the client has not named, where
	 * RFC 8446 section 4.1.1 wants an end. */
	if (hello->has_groups && !(hello->groups & a->groups)) {
		*ret_cause = ACCESS_TLS_NOTHING_SHARED;
		tls_send_alert(c, 40); /* handshake_failure */
		return NULL;
	}
	t = create(door->ctx, c);
	if (!t)
		goto fail;
	t->signs_with_rsa = door->identity->kind == TLS_KEY_RSA;
	if (hello->has_alpn && wolfSSL_UseALPN(t->ssl, protocols, sizeof(protocols) - 1,
					       WOLFSSL_ALPN_FAILED_ON_MISMATCH) != WOLFSSL_SUCCESS)
		goto fail;
	if (a->client_auth != CONFIG_CLIENT_AUTH_NONE &&
	    tls_peer_attach(t->ssl, a->verify_depth, &t->peer) != 0)
		goto fail;
	keep_name(t, hello->server_name, strlen(hello->server_name));
	if (hello->has_alpn)
		t->facts.alpn = SPAN("http/1.1");
	return t;
fail:
	*ret_cause = ACCESS_OUT_OF_MEMORY;
	tls_send_alert(c, 80); /* internal_error */
	tls_session_destroy(t);
	return NULL;
}

bool tls_session_signs_with_rsa(const struct tls_session *t)
{
	return t->signs_with_rsa;
}

/* ---- the handshake, as a client ---- */

void tls_saved_forget(struct tls_saved *s)
{
	if (s->session)
		wolfSSL_SESSION_free(s->session);
	s->session = NULL;
}

/* Before 5.7 the library keeps nothing to resume by without its cache, which all shards
 * would share; each handshake is a full one there. */
#if LIBWOLFSSL_VERSION_HEX >= 0x05007002

/* Copies go out and come in: a session of the library is changed by the connection that has
 * it (a new ticket, a new secret), so that two that share one would spoil it. */
static void offer_saved(struct tls_session *t)
{
	struct tls_saved *saved = t->calling->saved;
	WOLFSSL_SESSION *session;

	if (!saved->session)
		return;
	if (memcmp(saved->settings, t->calling->settings, TLS_SETTINGS_BYTES) != 0) {
		tls_saved_forget(saved);
		return;
	}
	session = wolfSSL_SESSION_dup(saved->session);
	if (!session)
		return;
	t->calling->resuming = wolfSSL_set_session(t->ssl, session) == WOLFSSL_SUCCESS;
	wolfSSL_SESSION_free(session);
	/* It is over its time, or it never was one: the server gave no ticket. */
	if (!t->calling->resuming)
		tls_saved_forget(saved);
}

void tls_session_keep(struct tls_session *t)
{
	struct calling *calling = t->calling;
	WOLFSSL_SESSION *session;

	if (calling->kept)
		return;
	calling->kept = true;
	/* Whoever offers a session of TLS 1.2 offers that version alone. It is not renewed,
	 * and not offered again where it was refused, so that a server that has learnt 1.3
	 * is found out. */
	if (calling->resuming && wolfSSL_version(t->ssl) < 0x0304) {
		if (!wolfSSL_session_reused(t->ssl))
			tls_saved_forget(calling->saved);
		return;
	}
	session = wolfSSL_get1_session(t->ssl);
	if (!session)
		return;
	tls_saved_forget(calling->saved);
	calling->saved->session = wolfSSL_SESSION_dup(session);
	memcpy(calling->saved->settings, calling->settings, TLS_SETTINGS_BYTES);
	wolfSSL_SESSION_free(session);
}

#else

static void offer_saved(struct tls_session *t UNUSED)
{
}

void tls_session_keep(struct tls_session *t UNUSED)
{
}

#endif

bool tls_session_is_resuming(const struct tls_session *t)
{
	return t->calling->resuming;
}

struct tls_session *tls_session_connect(const struct tls_caller *a, struct conn *c,
					const char *server_name, struct tls_saved *saved)
{
	struct tls_session *t = create(a->ctx, c);
	size_t len = strlen(server_name);

	if (!t)
		return NULL;
	t->calling = XMALLOC(sizeof(*t->calling), NULL, DYNAMIC_TYPE_TMP_BUFFER);
	if (!t->calling)
		goto fail;
	memset(t->calling, 0, sizeof(*t->calling));
	/* The root of the name system is in no certificate (RFC 6066 section 3). */
	if (len && server_name[len - 1] == '.')
		len--;
	if (!keep_name(t, server_name, len))
		goto fail;
	t->calling->check.name = t->name;
	t->calling->saved = saved;
	t->calling->verify = a->verify;
	memcpy(t->calling->settings, a->settings, TLS_SETTINGS_BYTES);
	if (!tls_caller_prepare(a, t->ssl, &t->calling->check))
		goto fail;
	offer_saved(t);
	return t;
fail:
	tls_session_destroy(t);
	return NULL;
}

static enum access_cause cause_of_call(const struct tls_session *t, int err)
{
	enum access_cause cause = t->calling->check.cause;

	if (t->send_failed || err == MEMORY_E || err == MEMORY_ERROR)
		return ACCESS_OUT_OF_MEMORY;
	if (cause == ACCESS_OK)
		cause = tls_peer_upstream_cause(err);
	return cause == ACCESS_OK ? ACCESS_UPSTREAM_TLS_FAILED : cause;
}

/* A server that has resumed shows no certificate: it was verified when the session began. */
static bool is_verified(const struct tls_session *t)
{
	return !t->calling->verify || t->calling->check.passed || wolfSSL_session_reused(t->ssl);
}

/* ---- both ---- */

static struct span version_text(WOLFSSL *ssl)
{
	switch (wolfSSL_version(ssl)) {
	case 0x0304: return SPAN("TLSv1.3");
	case 0x0303: return SPAN("TLSv1.2");
	default: return SPAN_NONE;
	}
}

/* The names that the configuration has for them. */
static struct span group_text(WOLFSSL *ssl)
{
	static const struct {
		const char *theirs;
		struct span ours;
	} names[] = {
		{"X25519", SPAN("X25519")},
		{"SECP256R1", SPAN("P-256")},
		{"SECP384R1", SPAN("P-384")},
		{"X25519MLKEM768", SPAN("X25519MLKEM768")},
	};
	const char *name = wolfSSL_get_curve_name(ssl);

	for (size_t i = 0; name && i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i].theirs) == 0)
			return names[i].ours;
	return name ? span_str(name) : SPAN_NONE;
}

static void note_facts(struct tls_session *t)
{
	const char *suite = wolfSSL_get_cipher(t->ssl);

	t->facts.version = version_text(t->ssl);
	t->facts.suite = suite ? span_str(suite) : SPAN_NONE;
	t->facts.group = group_text(t->ssl);
	t->facts.resumed = wolfSSL_session_reused(t->ssl);
	t->facts.handshake_us = (uint32_t)((t->conn->shard->now_ns - t->began_ns) / NS_PER_US);
	if (t->peer && tls_peer_is_verified(t->peer)) {
		t->facts.client_subject = t->peer->subject;
		t->facts.client_fingerprint = span_str(t->peer->fingerprint);
	}
}

static enum access_cause cause_of(struct tls_session *t, int err)
{
	WOLFSSL_ALERT_HISTORY alerts;
	enum access_cause cause;

	if (t->send_failed)
		return ACCESS_OUT_OF_MEMORY;
	/* PARSE_ERROR: with TLS 1.3 an alert in the clear, which a client sends that has no
	 * keys yet or does not use them (RFC 8446 section 6.2 lets it). */
	if ((err == FATAL_ERROR || err == PARSE_ERROR) &&
	    wolfSSL_get_alert_history(t->ssl, &alerts) == WOLFSSL_SUCCESS &&
	    alerts.last_rx.code >= 0)
		return ACCESS_TLS_CLIENT_ALERT;
	cause = t->peer ? tls_peer_cause(err, t->peer) : ACCESS_OK;
	if (cause != ACCESS_OK)
		return cause;
	switch (err) {
	case VERSION_ERROR: return ACCESS_TLS_VERSION;
	case MATCH_SUITE_ERROR:
	case KEY_SHARE_ERROR:
	case ECC_CURVE_ERROR: return ACCESS_TLS_NOTHING_SHARED;
	case MEMORY_E:
	case MEMORY_ERROR: return ACCESS_OUT_OF_MEMORY;
	/* No other message of a client can be as large. */
	case HANDSHAKE_SIZE_ERROR:
		return t->peer ? ACCESS_TLS_CERTIFICATE_BAD : ACCESS_TLS_FAILED;
	default: return ACCESS_TLS_FAILED;
	}
}

/* wolfSSL keeps the authorities between that a peer has shown, even of one that was refused
 * for them (see tls_peer_attach()), and handshakes that have begun could hold by them. */
static void forget_shown(const struct tls_session *t)
{
#if LIBWOLFSSL_VERSION_HEX >= 0x05007002
	if (t->calling || t->peer)
		wolfSSL_CertManagerUnloadIntermediateCerts(
			wolfSSL_CTX_GetCertManager(wolfSSL_get_SSL_CTX(t->ssl)));
#else
	(void)t;
#endif
}

/* Before 5.9 the library ends a handshake of TLS 1.2 without a word when the client has no
 * certificate. It is in the clear until ChangeCipherSpec, so ours can be said. */
static bool owes_an_alert(struct tls_session *t, enum access_cause cause)
{
	WOLFSSL_ALERT_HISTORY alerts;

	return cause == ACCESS_TLS_NO_CERTIFICATE && wolfSSL_version(t->ssl) == 0x0303 &&
	       wolfSSL_get_alert_history(t->ssl, &alerts) == WOLFSSL_SUCCESS &&
	       alerts.last_tx.code < 0;
}

enum tls_step tls_session_shake(struct tls_session *t, enum access_cause *ret_cause)
{
	int ret = t->calling ? wolfSSL_connect(t->ssl) : wolfSSL_accept(t->ssl);
	int err = ret == WOLFSSL_SUCCESS ? 0 : wolfSSL_get_error(t->ssl, ret);

	flush(t);
	if (err == WOLFSSL_ERROR_WANT_READ)
		return TLS_STEP_MORE;
	note_facts(t);
	if (!err && (!t->calling || is_verified(t)))
		return TLS_STEP_DONE;
	if (!err)
		*ret_cause = ACCESS_UPSTREAM_CERTIFICATE_UNTRUSTED;
	else
		*ret_cause = t->calling ? cause_of_call(t, err) : cause_of(t, err);
	forget_shown(t);
	if (t->calling && t->calling->resuming)
		tls_saved_forget(t->calling->saved);
	/* The library ends without a word over a key share that is no point of its curve. */
	if (!t->calling && !t->has_spoken)
		/* internal_error, illegal_parameter */
		tls_send_alert(t->conn, *ret_cause == ACCESS_OUT_OF_MEMORY ? 80 : 47);
	else if (!t->calling && owes_an_alert(t, *ret_cause))
		tls_send_alert(t->conn, 40); /* handshake_failure, RFC 5246 section 7.4.6 */
	return TLS_STEP_FAILED;
}

/* ---- the codec ---- */

static bool has_more(const struct conn_codec *k)
{
	return wolfSSL_pending(((const struct tls_session *)k)->ssl) > 0;
}

/* What the library had to say while it read: the answer to a KeyUpdate, or an alert. */
static void flush_answer(struct tls_session *t)
{
	if (!t->out)
		return;
	t->answers = conn_is_sending(t->conn) ? t->answers + 1 : 1;
	flush(t);
}

static int decode(struct conn_codec *k, struct block *raw, struct block *into)
{
	struct tls_session *t = session_of(k);
	uint32_t raw_before = raw ? block_len(raw) : 0;
	uint32_t into_before = block_len(into);
	int n, err = 0;

	t->in = raw;
	while (block_room(into)) {
		n = wolfSSL_read(t->ssl, block_end(into), (int)block_room(into));
		if (n <= 0) {
			err = wolfSSL_get_error(t->ssl, n);
			break;
		}
		into->end += (uint32_t)n;
		if ((!raw || !block_len(raw)) && !wolfSSL_pending(t->ssl))
			break;
	}
	t->in = NULL;
	flush_answer(t);
	if (err == WOLFSSL_ERROR_ZERO_RETURN)
		return -ENODATA;
	if (err && err != WOLFSSL_ERROR_WANT_READ)
		return -EPROTO;
	if (block_len(into) > into_before)
		t->barren = 0;
	else
		t->barren += raw_before;
	return t->barren > BARREN_BYTES || t->answers > ANSWERS_WAITING ? -EPROTO : 0;
}

static uint32_t record_bytes(struct tls_session *t)
{
	uint64_t now_ns = t->conn->shard->now_ns;

	if (now_ns - t->sent_ns > PAUSE_NS)
		t->sent = 0;
	t->sent_ns = now_ns;
	return t->sent < SMALL_UNTIL ? SMALL_RECORD : LARGE_RECORD;
}

static int encode(struct conn_codec *k, struct block *plain)
{
	struct tls_session *t = session_of(k);
	int err = 0;

	while (block_len(plain) && !err) {
		uint32_t n = (uint32_t)min_u64(block_len(plain), record_bytes(t));

		if (wolfSSL_write(t->ssl, block_begin(plain), (int)n) != (int)n)
			err = t->send_failed ? -ENOBUFS : -EPIPE;
		plain->begin += n;
		t->sent += n;
	}
	block_give(plain);
	flush(t);
	return err;
}

static void end(struct conn_codec *k)
{
	struct tls_session *t = session_of(k);

	if (!t->send_failed)
		wolfSSL_shutdown(t->ssl); /* close_notify */
	flush(t);
}

static void gone(struct conn_codec *k)
{
	tls_session_destroy(session_of(k));
}

static const struct conn_codec_ops session_codec_ops = {
	.decode = decode,
	.has_more = has_more,
	.encode = encode,
	.end = end,
	.gone = gone,
};

void tls_session_start(struct tls_session *t)
{
	t->established = true;
	conn_set_codec(t->conn, &t->codec, &session_codec_ops);
}

void tls_session_destroy(struct tls_session *t)
{
	if (!t)
		return;
	if (t->out)
		block_give(t->out);
	wolfSSL_free(t->ssl);
	tls_peer_destroy(t->peer);
	XFREE(t->name, NULL, DYNAMIC_TYPE_TMP_BUFFER);
	XFREE(t->calling, NULL, DYNAMIC_TYPE_TMP_BUFFER);
	XFREE(t, NULL, DYNAMIC_TYPE_TMP_BUFFER);
}

const struct access_tls *tls_session_facts(const struct tls_session *t)
{
	return &t->facts;
}

const struct tls_peer *tls_session_peer(const struct tls_session *t)
{
	return t->peer && tls_peer_is_verified(t->peer) ? t->peer : NULL;
}
