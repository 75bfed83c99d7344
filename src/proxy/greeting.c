#include "greeting.h"

#include <errno.h>

#include <ringway/net/proxy_header.h>
#include <ringway/tls/credentials.h>
#include <ringway/tls/hello.h>
#include <ringway/tls/session.h>

/* What a turn spends on handshakes: a step of one with ECDSA costs 100 to 200 us, one with
 * RSA half a millisecond to one; established connections wait no longer than that. */
#define SHAKES_PER_TURN 4
#define SHAKE_ECDSA 1
#define SHAKE_RSA 4

/* What a greeting has before it may be given up for a newer connection: some round trips
 * of a slow network. */
#define PATIENCE_NS (2 * NS_PER_S)

static const struct conn_events greeting_events;
static void run_shakes(struct runnable *r);

static struct client *client_of(struct conn *conn)
{
	return container_of(conn, struct client, h1.conn);
}

void greeting_init(struct front *f)
{
	list_init(&f->greetings);
	list_init(&f->shaking);
	runnable_init(&f->shake, run_shakes);
}

/* ---- ends ---- */

static void leave(struct client *c)
{
	struct front *f = c->front;

	if (c->greeting == GREETING_NONE)
		return;
	if (c->listener->rules.tls) {
		gate_leave(&f->shared->handshakes);
		counter_set(&f->metrics->block->handshakes_now, --f->greeting_stats.in_progress);
	}
	list_remove(&c->greeting_link);
	list_remove(&c->turn_link);
	c->greeting = GREETING_NONE;
}

/* The handshake's last use of its certificates is behind it. */
static void end_hello(struct client *c)
{
	if (c->hello_snapshot)
		front_end_use(c->front, c->hello_snapshot);
	c->hello_snapshot = NULL;
}

void greeting_end(struct client *c)
{
	leave(c);
	tls_session_destroy(c->handshake);
	c->handshake = NULL;
	end_hello(c);
}

static void count_failure(struct front *f, enum access_cause cause)
{
	counter_set(&f->metrics->block->greetings_failed[cause],
		    ++f->greeting_stats.failed[cause]);
}

/* Leaves a record without method and status: there was no request. */
static void log_refusal(struct client *c, enum access_cause cause)
{
	struct front *f = c->front;
	struct access_record r = {
		.client = span_of(c->ip, c->ip_len),
		.shard = f->shard->index,
		.http_minor = 1,
		.cause = cause,
		.bytes_in = c->h1.conn.bytes_in,
		.bytes_out = c->h1.conn.bytes_out,
		.total_us = (uint32_t)((f->shard->now_ns - c->greeted_ns) / NS_PER_US),
		.tls = c->handshake ? tls_session_facts(c->handshake) : NULL,
	};

	count_failure(f, cause);
	if (!f->shared->access_log)
		return;
	r.started_unix_us = shard_unix_us(f->shard) - r.total_us;
	counter_add(&f->metrics->block->greetings_logged, 1);
	counter_add(&f->metrics->block->log_records, 1);
	if (!access_log_put(f->shared->access_log, r.shard, &r))
		counter_add(&f->metrics->block->log_dropped, 1);
}

/* Whoever connects and goes without a word is no failure: probes of load balancers do. */
static void refuse(struct client *c, enum access_cause cause)
{
	struct conn *conn = &c->h1.conn;
	bool said_nothing = conn->bytes_in == 0 && cause == ACCESS_TLS_CLIENT_CLOSED;

	if (!said_nothing)
		log_refusal(c, cause);
	leave(c);
	conn_finish(conn, true);
}

static void start_requests(struct client *c)
{
	leave(c);
	list_remove(&c->idle_link);
	list_push_back(&c->front->idle_clients, &c->idle_link);
	h1_server_start(&c->h1);
}

/* ---- handshakes and their turns ---- */

static void note_success(struct client *c)
{
	struct greeting_stats *stats = &c->front->greeting_stats;
	struct metrics_block *b = c->front->metrics->block;
	uint64_t us = c->tls->handshake_us >> 6;
	unsigned bucket = us ? 64 - (unsigned)__builtin_clzll(us) : 0;

	if (c->tls->resumed)
		counter_set(&b->handshakes_resumed, ++stats->resumed);
	else
		counter_set(&b->handshakes_full, ++stats->full);
	histogram_add_time(&b->handshake_us, c->tls->handshake_us);
	stats->shake_us[bucket < GREETING_TIMES ? bucket : GREETING_TIMES - 1]++;
}

static void shake(struct client *c)
{
	struct tls_session *session = c->handshake;
	enum access_cause cause = ACCESS_TLS_FAILED;

	/* Closed, to make room say, while it waited for its turn. */
	if (c->h1.conn.state != CONN_OPEN)
		return;
	switch (tls_session_shake(session, &cause)) {
	case TLS_STEP_MORE: conn_recv(&c->h1.conn); return;
	case TLS_STEP_FAILED: refuse(c, cause); return;
	case TLS_STEP_DONE: break;
	}
	c->tls = tls_session_facts(session);
	c->peer = tls_session_peer(session);
	note_success(c);
	/* The connection's from here on. */
	c->handshake = NULL;
	tls_session_start(session);
	end_hello(c);
	start_requests(c);
}

static void refresh_turn(struct front *f)
{
	if (f->shake_turn == f->shard->turns)
		return;
	f->shake_turn = f->shard->turns;
	f->shakes_left = SHAKES_PER_TURN;
}

static void run_shakes(struct runnable *r)
{
	struct front *f = container_of(r, struct front, shake);
	struct list *link;

	refresh_turn(f);
	while (f->shakes_left > 0 && (link = list_pop_front(&f->shaking))) {
		struct client *c = list_entry(link, struct client, turn_link);

		f->shakes_left -= tls_session_signs_with_rsa(c->handshake) ? SHAKE_RSA
									   : SHAKE_ECDSA;
		shake(c);
	}
	if (!list_is_empty(&f->shaking))
		shard_mark_later(f->shard, &f->shake);
}

static void want_turn(struct client *c)
{
	struct front *f = c->front;

	if (list_is_alone(&c->turn_link))
		list_push_back(&f->shaking, &c->turn_link);
	refresh_turn(f);
	if (f->shakes_left > 0)
		shard_mark(f->shard, &f->shake);
	else
		shard_mark_later(f->shard, &f->shake);
}

struct client *greeting_give_up_one(struct front *f)
{
	struct client *c;

	if (list_is_empty(&f->greetings))
		return NULL;
	c = list_entry(f->greetings.next, struct client, greeting_link);
	if (f->shard->now_ns - c->greeted_ns < PATIENCE_NS)
		return NULL;
	log_refusal(c, ACCESS_TLS_TOO_MANY);
	leave(c);
	h1_server_close(&c->h1);
	return c;
}

/* ---- what comes first ---- */

static void read_hello(struct client *c)
{
	struct conn *conn = &c->h1.conn;
	struct front *f = c->front;
	const struct tls_acceptor *acceptor;
	enum access_cause cause;
	struct tls_hello hello;

	switch (tls_hello_read(block_span(conn->rx), &hello)) {
	case TLS_HELLO_MORE: conn_recv(conn); return;
	case TLS_HELLO_BAD:
		if (hello.cause == ACCESS_TLS_PLAIN_HTTP) {
			count_failure(f, hello.cause);
			leave(c);
			h1_server_refuse(&c->h1, 400, "plain HTTP was sent to a port that speaks TLS",
					 hello.cause);
			return;
		}
		tls_send_alert(conn, hello.alert);
		refuse(c, hello.cause);
		return;
	case TLS_HELLO_DONE: break;
	}
	conn->rx->end = conn->rx->begin +
			(uint32_t)tls_hello_join(block_begin(conn->rx), block_len(conn->rx));
	acceptor = tls_credentials_acceptor(f->snapshot->credentials, c->listener->index,
					    f->shard->index);
	c->handshake = tls_session_accept(acceptor, &hello, conn, &cause);
	if (!c->handshake) {
		refuse(c, cause);
		return;
	}
	c->hello_snapshot = front_use(f, f->snapshot);
	c->greeting = GREETING_SHAKING;
	want_turn(c);
}

static void after_proxy_header(struct client *c)
{
	if (!c->listener->rules.tls) {
		start_requests(c);
		return;
	}
	c->greeting = GREETING_HELLO;
	if (c->h1.conn.rx)
		read_hello(c);
	else
		conn_recv(&c->h1.conn);
}

static void read_proxy_header(struct client *c)
{
	struct conn *conn = &c->h1.conn;
	struct proxy_header header;
	const char *detail;
	size_t used;

	switch (proxy_header_read(block_span(conn->rx), c->listener->rules.proxy_header, &header,
				  &used, &detail)) {
	case PROXY_HEADER_MORE: conn_recv(conn); return;
	case PROXY_HEADER_BAD: refuse(c, ACCESS_PROXY_HEADER_BAD); return;
	case PROXY_HEADER_DONE: break;
	}
	conn_consume(conn, (uint32_t)used);
	if (!header.is_local && header.source.len)
		client_set_ip(c, &header.source);
	after_proxy_header(c);
}

static void read_on(struct client *c)
{
	switch (c->greeting) {
	case GREETING_PROXY_HEADER: read_proxy_header(c); break;
	case GREETING_HELLO: read_hello(c); break;
	case GREETING_SHAKING: want_turn(c); break;
	case GREETING_NONE: break;
	}
}

/* ---- news of the connection ---- */

static void on_recv(struct conn *conn, int res)
{
	struct client *c = client_of(conn);

	if (res > 0)
		read_on(c);
	else
		refuse(c, c->greeting == GREETING_PROXY_HEADER ? ACCESS_CLIENT_CLOSED
							       : ACCESS_TLS_CLIENT_CLOSED);
}

static void on_sent(struct conn *conn, int err)
{
	if (err)
		refuse(client_of(conn), err == -ETIMEDOUT ? ACCESS_TLS_TIMEOUT
							  : ACCESS_TLS_CLIENT_CLOSED);
}

static void on_deadline(struct conn *conn)
{
	struct client *c = client_of(conn);

	refuse(c, c->greeting == GREETING_PROXY_HEADER ? ACCESS_CLIENT_TIMEOUT
						       : ACCESS_TLS_TIMEOUT);
}

static void on_gone(struct conn *conn)
{
	struct client *c = client_of(conn);

	c->h1.events->on_gone(&c->h1);
}

static const struct conn_events greeting_events = {
	.on_recv = on_recv,
	.on_sent = on_sent,
	.on_deadline = on_deadline,
	.on_gone = on_gone,
};

/* ---- beginning ---- */

static bool enter_handshakes(struct front *f)
{
	if (!gate_enter(&f->shared->handshakes)) {
		/* The oldest has had the longest time to come to its end. */
		if (list_is_empty(&f->greetings))
			return false;
		refuse(list_entry(f->greetings.next, struct client, greeting_link),
		       ACCESS_TLS_TOO_MANY);
		if (!gate_enter(&f->shared->handshakes))
			return false;
	}
	counter_set(&f->metrics->block->handshakes_now, ++f->greeting_stats.in_progress);
	return true;
}

void greeting_begin(struct client *c)
{
	const struct greeting_rules *rules = &c->listener->rules;
	struct conn *conn = &c->h1.conn;
	struct front *f = c->front;

	if (!rules->proxy_header && !rules->tls) {
		h1_server_start(&c->h1);
		return;
	}
	conn->events = &greeting_events;
	c->greeted_ns = f->shard->now_ns;
	if (rules->tls && !enter_handshakes(f)) {
		log_refusal(c, ACCESS_TLS_TOO_MANY);
		conn_finish(conn, false);
		return;
	}
	/* Who owes us no more than a PROXY header holds no place among the handshakes, and goes
	 * for a newer one as the idle do. */
	if (rules->tls) {
		list_remove(&c->idle_link);
		list_push_back(&f->greetings, &c->greeting_link);
	}
	c->greeting = rules->proxy_header ? GREETING_PROXY_HEADER : GREETING_HELLO;
	if (rules->proxy_header && !client_is_trusted(c)) {
		refuse(c, ACCESS_PROXY_HEADER_UNTRUSTED);
		return;
	}
	conn_set_deadline(conn,
			  f->shard->now_ns + f->snapshot->config->client.handshake_time_ns);
	conn_recv(conn);
}
