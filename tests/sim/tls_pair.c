#include "tls_pair.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/random.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ringway/net/conn.h>
#include <ringway/tls/credentials.h>
#include <ringway/tls/findings.h>
#include <ringway/tls/hello.h>
#include <ringway/tls/memory.h>
#include <ringway/tls/session.h>
#include <ringway/tls/ticket_keys.h>

#include "tls_pair_certificate.h"

/* Of virtual time: nothing waits for longer. */
#define LONGEST_NS (100000 * NS_PER_S)

static struct tls_memory memory;
static struct tls_credentials *credentials; /* listener 0 without, 1 with client_auth */
static WOLFSSL_CTX *client_ctx[2]; /* TLS 1.3, 1.2 */
static uint64_t seed_state;
static bool is_warm;

static struct pair {
	const struct tls_pair_plan *plan;
	struct shard shard;
	struct ring *ring;

	/* The server. */
	struct conn conn;
	struct tls_session *session; /* while it shakes */
	uint32_t received;
	uint32_t sent;
	bool is_established, has_ended, was_cut, failed, gone;

	/* The client. */
	struct fake_peer *peer;
	WOLFSSL *ssl;
	char *in;
	size_t in_at, in_end, in_room;
	bool is_connected, is_broken, said_end;
	uint32_t written, read;

	/* Between them. */
	size_t edits_done;
	uint32_t until_edit;
	uint32_t to_drop;
	bool is_silent;
} p;

static char byte_at(uint32_t at, bool is_servers)
{
	return (char)(at * 11 + (at >> 8) * 5 + (is_servers ? 77 : 3));
}

/* ---- between them ---- */

static void take_edit(const struct tls_edit *e)
{
	char bytes[256];

	switch (e->kind) {
	case TLS_EDIT_INSERT:
		memset(bytes, e->value, sizeof(bytes));
		fake_write(p.peer, span_of(bytes, e->value + 1U));
		break;
	case TLS_EDIT_DROP: p.to_drop = e->value + 1U; break;
	case TLS_EDIT_END:
		p.is_silent = true;
		fake_shutdown(p.peer);
		break;
	case TLS_EDIT_RESET:
		p.is_silent = true;
		fake_reset(p.peer);
		break;
	case TLS_EDIT_FLIP:
	case TLS_EDITS: break;
	}
}

static void pass_on(char *bytes, uint32_t len)
{
	while (len && !p.is_silent) {
		const struct tls_edit *e = p.edits_done < p.plan->edits_len
						   ? &p.plan->edits[p.edits_done]
						   : NULL;
		uint32_t n = len;

		if (e && p.until_edit == 0 && !p.to_drop) {
			p.edits_done++;
			if (p.edits_done < p.plan->edits_len)
				p.until_edit = p.plan->edits[p.edits_done].after;
			if (e->kind == TLS_EDIT_FLIP)
				*bytes ^= (char)(e->value ? e->value : 1);
			else
				take_edit(e);
			continue;
		}
		if (p.to_drop) {
			n = (uint32_t)min_u64(n, p.to_drop);
			p.to_drop -= n;
		} else {
			if (e) {
				n = (uint32_t)min_u64(n, p.until_edit);
				p.until_edit -= n;
			}
			fake_write(p.peer, span_of(bytes, n));
		}
		bytes += n;
		len -= n;
	}
}

/* ---- the client ---- */

static int client_send(WOLFSSL *ssl UNUSED, char *from, int len, void *arg UNUSED)
{
	char copy[20000];

	must((size_t)len <= sizeof(copy));
	memcpy(copy, from, (size_t)len);
	pass_on(copy, (uint32_t)len);
	return len;
}

static int client_recv(WOLFSSL *ssl UNUSED, char *into, int len, void *arg UNUSED)
{
	size_t n = min_u64((size_t)len, p.in_end - p.in_at);

	if (!n)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	memcpy(into, p.in + p.in_at, n);
	p.in_at += n;
	return (int)n;
}

static void client_write(void)
{
	while (p.written < p.plan->client_bytes) {
		char piece[6000];
		uint32_t n = (uint32_t)min_u64(sizeof(piece), p.plan->client_bytes - p.written);

		n = 1 + (uint32_t)fake_below(p.ring, n);
		for (uint32_t i = 0; i < n; i++)
			piece[i] = byte_at(p.written + i, false);
		if (wolfSSL_write(p.ssl, piece, (int)n) != (int)n) {
			p.is_broken = true;
			return;
		}
		p.written += n;
#ifdef WOLFSSL_TLS13
		if (!p.plan->tls12 && fake_below(p.ring, 8) == 0)
			wolfSSL_update_keys(p.ssl);
#endif
	}
}

static void client_read(void)
{
	char piece[3000];
	int n;

	while ((n = wolfSSL_read(p.ssl, piece, sizeof(piece))) > 0) {
		for (int i = 0; i < n; i++)
			must(piece[i] == byte_at(p.read + (uint32_t)i, true));
		p.read += (uint32_t)n;
	}
	if (wolfSSL_get_error(p.ssl, n) != WOLFSSL_ERROR_WANT_READ)
		p.is_broken = true;
}

static void client_go_on(void)
{
	int ret;

	if (p.is_broken)
		return;
	if (!p.is_connected) {
		ret = wolfSSL_connect(p.ssl);
		if (ret != WOLFSSL_SUCCESS) {
			p.is_broken = wolfSSL_get_error(p.ssl, ret) != WOLFSSL_ERROR_WANT_READ;
			if (p.is_broken)
				fake_shutdown(p.peer);
			return;
		}
		p.is_connected = true;
		client_write();
	}
	client_read();
	if (p.read == p.plan->server_bytes && !p.said_end && !p.is_broken) {
		p.said_end = true;
		wolfSSL_shutdown(p.ssl);
	}
	if (p.is_broken || p.said_end)
		fake_shutdown(p.peer);
}

static void on_open(struct fake_peer *peer)
{
	p.peer = peer;
	client_go_on();
}

static void on_bytes(struct fake_peer *peer UNUSED, struct span bytes)
{
	if (p.in_at == p.in_end)
		p.in_at = p.in_end = 0;
	if (p.in_room - p.in_end < bytes.len) {
		p.in_room = 2 * p.in_room + bytes.len;
		p.in = realloc(p.in, p.in_room);
		must(p.in);
	}
	memcpy(p.in + p.in_end, bytes.ptr, bytes.len);
	p.in_end += bytes.len;
	client_go_on();
}

static void on_end(struct fake_peer *peer, int err UNUSED)
{
	p.is_broken = true;
	fake_shutdown(peer);
}

static const struct fake_script far_end = {
	.on_open = on_open,
	.on_bytes = on_bytes,
	.on_end = on_end,
};

/* ---- the server ---- */

static void fail(void)
{
	p.failed = true;
	conn_finish(&p.conn, true);
}

static void send_some(void)
{
	struct block *b;
	uint32_t n;

	if (p.sent >= p.plan->server_bytes || conn_is_sending(&p.conn))
		return;
	b = block_take(&p.shard.blocks);
	must(b);
	n = 1 + (uint32_t)fake_below(p.ring, min_u64(BLOCK_DATA_BYTES,
						     p.plan->server_bytes - p.sent));
	for (uint32_t i = 0; i < n; i++) {
		char one = byte_at(p.sent + i, true);

		block_append(b, &one, 1);
	}
	p.sent += n;
	conn_send(&p.conn, b);
}

static void take(void)
{
	struct block *b = p.conn.rx;
	uint32_t n = 1 + (uint32_t)fake_below(p.ring, block_len(b));

	must(p.received + block_len(b) <= p.written);
	for (uint32_t i = 0; i < n; i++)
		must(block_begin(b)[i] == byte_at(p.received + i, false));
	p.received += n;
	conn_consume(&p.conn, n);
}

static void shake(void)
{
	enum access_cause cause = ACCESS_OK;

	switch (tls_session_shake(p.session, &cause)) {
	case TLS_STEP_MORE: conn_recv(&p.conn); return;
	case TLS_STEP_FAILED:
		must(cause != ACCESS_OK);
		fail();
		return;
	case TLS_STEP_DONE: break;
	}
	tls_session_start(p.session);
	p.session = NULL;
	p.is_established = true;
	send_some();
	conn_recv(&p.conn);
}

static void read_hello(void)
{
	enum access_cause cause = ACCESS_OK;
	struct tls_hello hello;

	switch (tls_hello_read(block_span(p.conn.rx), &hello)) {
	case TLS_HELLO_MORE: conn_recv(&p.conn); return;
	case TLS_HELLO_BAD:
		tls_send_alert(&p.conn, hello.alert);
		fail();
		return;
	case TLS_HELLO_DONE: break;
	}
	p.session = tls_session_accept(
		tls_credentials_acceptor(credentials, p.plan->client_auth, 0), &hello, &p.conn,
		&cause);
	if (p.session) {
		shake();
	} else {
		must(cause != ACCESS_OK);
		fail();
	}
}

static void on_connect(struct conn *c, int err)
{
	must(err == 0);
	conn_recv(c);
}

static void on_recv(struct conn *c, int res)
{
	must(!p.has_ended);
	if (res <= 0) {
		p.has_ended = res == 0 && p.is_established;
		p.was_cut = c->cut;
		while (c->rx && p.is_established)
			take();
		conn_finish(c, true);
	} else if (p.is_established) {
		take();
		conn_recv(c);
	} else if (p.session) {
		shake();
	} else {
		read_hello();
	}
}

static void on_sent(struct conn *c, int err)
{
	if (err)
		conn_close(c);
	else if (p.is_established)
		send_some();
}

static void on_deadline(struct conn *c)
{
	conn_close(c);
}

static void on_gone(struct conn *c UNUSED)
{
	tls_session_destroy(p.session);
	p.session = NULL;
	p.gone = true;
}

static const struct conn_events events = {
	.on_recv = on_recv,
	.on_connect = on_connect,
	.on_sent = on_sent,
	.on_deadline = on_deadline,
	.on_gone = on_gone,
};

/* ---- a run ---- */

static void check(void)
{
	must(p.received <= p.written);
	if (p.has_ended && !p.was_cut)
		must(p.received == p.plan->client_bytes && p.said_end);
	if (p.edits_done || p.is_silent)
		return;
	must(p.is_established && p.has_ended && !p.was_cut && !p.failed);
	must(p.received == p.plan->client_bytes && p.read == p.plan->server_bytes);
}

void tls_pair_run(const struct tls_pair_plan *plan)
{
	uint64_t in_use;
	struct address at;

	memset(&p, 0, sizeof(p));
	p.plan = plan;
	seed_state = plan->network.seed;
	if (plan->edits_len)
		p.until_edit = plan->edits[0].after;
	in_use = tls_memory_stats(&memory).in_use_bytes;
	must(shard_init(&p.shard, 0, 64, 1) == 0);
	must(fake_ring_create(&p.shard.blocks, &plan->network, &p.ring) == 0);
	shard_open(&p.shard, p.ring, fake_now(p.ring));
	p.ssl = wolfSSL_new(client_ctx[plan->tls12]);
	must(p.ssl);
	must(address_from_ip(SPAN("198.51.100.7"), 443, &at));
	fake_origin(p.ring, &at, &far_end, NULL);
	conn_init(&p.conn, &p.shard, &events);
	must(conn_connect(&p.conn, &at, 0) == 0);
	/* Dropped bytes may leave each waiting for the other. */
	conn_set_deadline(&p.conn, p.shard.now_ns + LONGEST_NS / 2);
	while (!p.gone) {
		must(p.shard.now_ns < LONGEST_NS);
		shard_turn(&p.shard, UINT64_MAX);
	}
	check();
	wolfSSL_free(p.ssl);
	free(p.in);
	must(p.shard.blocks.in_use == 0 && fake_open(p.ring) == 0);
	must(!is_warm || tls_memory_stats(&memory).in_use_bytes == in_use);
	shard_fini(&p.shard);
}

/* ---- the process ---- */

static int seed(OS_Seed *os UNUSED, byte *to, word32 len)
{
	for (word32 i = 0; i < len; i++) {
		seed_state = seed_state * 6364136223846793005U + 1442695040888963407U;
		to[i] = (byte)(seed_state >> 56);
	}
	return 0;
}

static void say(struct tls_findings *f UNUSED, enum config_severity severity,
		const struct config_file *file UNUSED, const char *path, const char *message)
{
	fprintf(stderr, "%s: %s\n", path, message);
	must(severity != CONFIG_ERROR);
}

static const char *file_of(const char *text, char path[static 64])
{
	int fd = memfd_create("pem", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	must(fchmod(fd, 0600) == 0);
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	return path;
}

static WOLFSSL_CTX *new_client(WOLFSSL_METHOD *method)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(method);

	must(ctx);
	wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
	wolfSSL_CTX_SetIOSend(ctx, client_send);
	wolfSSL_CTX_SetIORecv(ctx, client_recv);
	wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
	return ctx;
}

void tls_pair_init(void)
{
	static char cert[64], key[64];
	struct config_certificate pair = {{.path = file_of(certificate_pem, cert)},
					  {.path = file_of(key_pem, key)}};
	struct config_tls open = {.certificates = &pair, .certificates_len = 1,
				  .min_version = 0x0303, .ticket_lifetime_ns = NS_PER_S * 3600,
				  .ticket_rotate_ns = NS_PER_S * 3600, .verify_depth = 3};
	struct config_tls asking = open;
	struct config_listener listeners[] = {{.name = "open", .tls = &open},
					      {.name = "asking", .tls = &asking}};
	struct config config = {.listeners = listeners, .listeners_len = 2};
	struct tls_findings findings = {.say = say};
	struct tls_pair_plan first = {.network = fake_plan_of(1)};
	static _Alignas(4096) char keys_memory[16 * 1024];
	struct tls_ticket_keys *keys;

	asking.client_auth = CONFIG_CLIENT_AUTH_REQUEST;
	asking.client_ca.path = cert;
	must(tls_init() == 0);
	must(wc_SetSeed_Cb(seed) == 0);
	must(tls_memory_init(&memory, 256 * MIB) == 0);
	tls_memory_enter(&memory);
	must(tls_ticket_keys_bytes() <= sizeof(keys_memory));
	keys = tls_ticket_keys_init(keys_memory);
	must(tls_credentials_create(&config, 1, keys, NULL, &findings, &credentials) == 0);
	client_ctx[0] = new_client(wolfTLSv1_3_client_method());
	client_ctx[1] = new_client(wolfTLSv1_2_client_method());
	/* Contexts grow with their first session. */
	for (unsigned i = 0; i < 4; i++) {
		first.tls12 = i & 1;
		first.client_auth = i & 2;
		tls_pair_run(&first);
	}
	is_warm = true;
}
