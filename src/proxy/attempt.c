/* The source that asks an upstream: one attempt after the other, as far as that is safe.
 *
 *   pick --> connect or reuse --> send head and body --> relay the answer
 *    ^            |                    |
 *    |            | failed             | a reused connection was closed under us, not one
 *    |            v                    v byte came back, the method is idempotent
 *    +--- another target       same target, fresh connection
 *
 * Request and answer are relayed at the same time, a piece at a time each: an upstream
 * may answer before it has read everything (RFC 9112 section 9.5).
 */
#include <errno.h>

#include <ringway/tls/credentials.h>

#include "forward.h"

/* How long an idle connection to an upstream is kept. Shorter than the 75 s at which
 * common servers close theirs, so that we close first and no request meets the close. */
#define UPSTREAM_KEEPALIVE_NS (60 * NS_PER_S)

static void attempt_next(struct exchange *x, bool fresh);

static struct attempt *attempt_of(struct exchange *x)
{
	return &x->attempt;
}

static void drop_replay(struct attempt *a)
{
	if (a->replay)
		block_give(a->replay);
	a->replay = NULL;
}

/* ---- counting ---- */

static void count_begin(struct exchange *x, struct attempt *a, uint32_t endpoint)
{
	struct metrics_shard *m = x->front->metrics;
	struct metrics_endpoint *e = &m->endpoints[endpoint];

	a->counted = e;
	counter_add(&e->attempts, 1);
	counter_add(&e->attempts_now, 1);
	counter_add(&m->block->attempts, 1);
	if (unlikely(a->made > 1))
		counter_add(&m->block->retries, 1);
}

static void count_conn(struct exchange *x, struct attempt *a)
{
	struct metrics_block *b = x->front->metrics->block;
	bool reused = a->conn->h1.reused;

	counter_add(reused ? &b->reused : &b->connects, 1);
	counter_add(reused ? &a->counted->reused : &a->counted->connects, 1);
}

static void count_answer(struct exchange *x, uint16_t status)
{
	struct metrics_endpoint *e = attempt_of(x)->counted;

	counter_add(&e->answers, 1);
	counter_add(&e->first_byte_us, x->record.first_byte_us);
	if (status >= 500)
		counter_add(&e->answers_5xx, 1);
}

static void count_end(struct attempt *a)
{
	if (a->counted)
		counter_sub(&a->counted->attempts_now, 1);
	a->counted = NULL;
}

static void let_go(struct exchange *x)
{
	struct attempt *a = attempt_of(x);

	count_end(a);
	if (a->up)
		a->up->ops->abort(a->up);
	a->up = NULL;
	a->conn = NULL;
}

static void upstream_stop(struct exchange *x)
{
	let_go(x);
	drop_replay(attempt_of(x));
	hold_fini(&attempt_of(x)->hold);
}

/* ---- failures ---- */

static void fail_with(struct exchange *x, enum access_cause cause)
{
	switch (cause) {
	case ACCESS_UPSTREAM_NAME_UNRESOLVED:
		exchange_fail(x, 503, "the name of the upstream does not resolve", cause);
		break;
	case ACCESS_OUT_OF_DESCRIPTORS:
	case ACCESS_OUT_OF_CONNECTIONS:
	case ACCESS_OUT_OF_MEMORY:
		exchange_fail(x, 503, "the gateway is out of resources", cause);
		break;
	case ACCESS_UPSTREAM_CONNECT_TIMEOUT:
	case ACCESS_UPSTREAM_TLS_TIMEOUT:
	case ACCESS_UPSTREAM_FIRST_BYTE_TIMEOUT:
	case ACCESS_UPSTREAM_IDLE_TIMEOUT:
		exchange_fail(x, 504, "the upstream did not answer in time", cause);
		break;
	case ACCESS_UPSTREAM_CONNECT_REFUSED:
	case ACCESS_UPSTREAM_CONNECT_FAILED:
		exchange_fail(x, 502, "no connection to the upstream", cause);
		break;
	case ACCESS_UPSTREAM_TLS_FAILED:
		exchange_fail(x, 502, "no TLS connection to the upstream", cause);
		break;
	case ACCESS_UPSTREAM_CERTIFICATE_EXPIRED:
	case ACCESS_UPSTREAM_CERTIFICATE_UNTRUSTED:
	case ACCESS_UPSTREAM_CERTIFICATE_NAME:
		exchange_fail(x, 502, "the upstream's certificate is not accepted", cause);
		break;
	case ACCESS_UPSTREAM_BAD_RESPONSE:
		exchange_fail(x, 502, "the upstream's answer is malformed", cause);
		break;
	default:
		exchange_fail(x, 502, "the upstream closed the connection before its answer was whole",
			      cause);
		break;
	}
}

/* Nothing of the request was sent. A certificate that is refused counts, too: one server of
 * many that has the wrong one is like one that is down. */
static bool is_connect_failure(const struct attempt *a, enum access_cause cause)
{
	switch (cause) {
	case ACCESS_UPSTREAM_CONNECT_REFUSED:
	case ACCESS_UPSTREAM_CONNECT_TIMEOUT:
	case ACCESS_UPSTREAM_CONNECT_FAILED:
	case ACCESS_UPSTREAM_NAME_UNRESOLVED:
	case ACCESS_UPSTREAM_TLS_TIMEOUT:
	case ACCESS_UPSTREAM_CERTIFICATE_EXPIRED:
	case ACCESS_UPSTREAM_CERTIFICATE_UNTRUSTED:
	case ACCESS_UPSTREAM_CERTIFICATE_NAME: return true;
	/* It may also end a connection that is in use. */
	case ACCESS_UPSTREAM_TLS_FAILED: return !a->head_sent;
	default: return false;
	}
}

/* A server that cannot resume goes on with a full handshake; some end it instead. The saved
 * session is forgotten by now. */
static bool failed_to_resume(const struct attempt *a, enum access_cause cause)
{
	return a->up && !a->conn->h1.connected && a->conn->h1.resuming &&
	       cause == ACCESS_UPSTREAM_TLS_FAILED;
}

/* Whether what was taken of the body can go out again. */
static bool rewind_body(struct exchange *x)
{
	struct attempt *a = attempt_of(x);

	drop_replay(a);
	return hold_replay(&a->hold, &a->replay);
}

static void on_fault(struct exchange *x, enum access_cause cause)
{
	struct attempt *a = attempt_of(x);
	bool stale = a->up && a->conn->h1.reused && !a->conn->h1.any_bytes &&
		     (cause == ACCESS_UPSTREAM_CLOSED || cause == ACCESS_UPSTREAM_RESET);

	counter_add(&a->counted->failed, 1);
	stale = stale && http_method_is_idempotent(x->request.method);
	if (!x->answer_begun && (stale || failed_to_resume(a, cause)) && !a->stale_retried &&
	    rewind_body(x)) {
		a->stale_retried = true;
		let_go(x);
		attempt_next(x, true);
		return;
	}
	if (!x->answer_begun && is_connect_failure(a, cause) &&
	    a->extra < x->service->config->retry.attempts && rewind_body(x)) {
		a->extra++;
		let_go(x);
		a->target = (a->target + 1) % (uint32_t)x->service->config->targets_len;
		attempt_next(x, false);
		/* The next target may have a connection that is open already. */
		exchange_news(x);
		return;
	}
	fail_with(x, cause);
}

/* ---- beginning ---- */

static enum access_cause cause_of_take(int err)
{
	switch (err) {
	case -EDESTADDRREQ: return ACCESS_UPSTREAM_NAME_UNRESOLVED;
	case -EMFILE:
	case -ENFILE: return ACCESS_OUT_OF_DESCRIPTORS;
	case -ENOBUFS: return ACCESS_OUT_OF_CONNECTIONS;
	default: return ACCESS_UPSTREAM_CONNECT_FAILED;
	}
}

static size_t service_number(const struct exchange *x)
{
	return (size_t)(x->service - x->snapshot->services);
}

static void attempt_next(struct exchange *x, bool fresh)
{
	const struct config_timeouts *t = &x->route->config->timeouts;
	const struct snapshot_target *target;
	struct attempt *a = attempt_of(x);
	struct h1_client_timeouts timeouts = {
		.connect_ns = t->connect_ns,
		.first_byte_ns = t->first_byte_ns,
		.idle_ns = t->idle_ns,
		.keepalive_ns = UPSTREAM_KEEPALIVE_NS,
	};
	struct h1_client_tls tls = {0};
	int err;

	target = &x->service->targets[a->target];
	a->made++;
	a->head_sent = false;
	a->began_ns = x->front->shard->now_ns;
	x->record.target = target->url;
	x->record.attempts = a->made;
	count_begin(x, a, target->metric);
	exchange_set_attempt_due(x, t->attempt_ns ? a->began_ns + t->attempt_ns : 0);

	if (target->server_name) {
		tls.caller = tls_credentials_caller(x->snapshot->credentials, service_number(x),
						    x->front->shard->index);
		tls.server_name = target->server_name;
	}
	err = upstreams_take(&x->front->upstreams, target->endpoint, tls.caller ? &tls : NULL,
			     fresh, &timeouts, &a->conn);
	if (err) {
		on_fault(x, cause_of_take(err));
		return;
	}
	count_conn(x, a);
	a->up = &a->conn->h1.stream;
	a->up->owner = x;
	a->up->on_news = exchange_news;
	a->up->arena = &x->arena;
}

static void upstream_start(struct exchange *x)
{
	const struct config_retry *retry = &x->service->config->retry;
	struct attempt *a = attempt_of(x);
	uint32_t limit = 0;

	/* Worth holding only what may be sent again. */
	if (retry->attempts)
		limit = retry->buffer_bytes;
	else if (http_method_is_idempotent(x->request.method))
		limit = BLOCK_DATA_BYTES;
	hold_init(&a->hold, &x->front->shard->blocks, limit);
	a->target = upstreams_turn(&x->front->upstreams, x->service->group,
				   (uint32_t)x->service->config->targets_len);
	attempt_next(x, false);
}

/* ---- the request on its way up ---- */

/* The next piece of the body, if there is one; *ret_last: nothing follows it. */
static struct block *next_piece(struct exchange *x, bool *ret_last)
{
	struct attempt *a = attempt_of(x);
	struct block *piece = a->replay;

	if (piece) {
		a->replay = NULL;
	} else if (x->client->piece) {
		piece = http_stream_take_piece(x->client);
		x->body_in += block_len(piece);
		piece = stages_pass(&a->hold.stage, piece);
	}
	*ret_last = x->client->in_ended && !x->client->piece;
	return piece;
}

static void relay_request(struct exchange *x)
{
	struct attempt *a = attempt_of(x);
	struct http_stream *up = a->up;
	struct http_head head;
	struct block *piece;
	bool last;

	if (up->sending || up->out_ended)
		return;
	piece = next_piece(x, &last);
	if (x->body_in > x->route->config->max_body_bytes) {
		if (piece)
			block_give(piece);
		exchange_fail(x, 413, "the request body is larger than this route allows",
			      ACCESS_BODY_TOO_LARGE);
		return;
	}
	if (last)
		forward_trailers(&x->client->trailers);
	if (!a->head_sent) {
		if (!forward_request(x, &head)) {
			if (piece)
				block_give(piece);
			fail_with(x, ACCESS_OUT_OF_MEMORY);
			return;
		}
		a->head_sent = true;
		x->record.connect_us = 0;
		if (!a->conn->h1.reused) {
			x->record.connect_us =
				(uint32_t)((x->front->shard->now_ns - a->began_ns) / NS_PER_US);
			histogram_add_time(&x->front->metrics->block->connect_us,
					   x->record.connect_us);
		}
		up->ops->send(up, &head, piece, last, last ? &x->client->trailers : NULL);
	} else if (piece || last) {
		up->ops->send(up, NULL, piece, last, last ? &x->client->trailers : NULL);
	}
	if (!last)
		x->client->ops->pull(x->client);
}

/* ---- the answer on its way down ---- */

static void relay_head(struct exchange *x)
{
	struct http_stream *up = attempt_of(x)->up;
	struct http_head *head = up->head;
	struct block *piece;
	bool last;

	up->head = NULL;
	if (!forward_response(x, head)) {
		fail_with(x, ACCESS_OUT_OF_MEMORY);
		return;
	}
	if (head->status < 200) {
		/* HTTP/1.0 has no interim answers (RFC 9110 section 15.2). */
		if (x->request.minor)
			x->client->ops->send(x->client, head, NULL, false, NULL);
		return;
	}
	x->record.first_byte_us =
		(uint32_t)((x->front->shard->now_ns - attempt_of(x)->began_ns) / NS_PER_US);
	attempt_of(x)->answered = true;
	count_answer(x, head->status);
	piece = http_stream_take_piece(up);
	last = up->in_ended;
	forward_trailers(&up->trailers);
	exchange_send_head(x, head, piece, last, &up->trailers);
}

static void relay_answer(struct exchange *x)
{
	struct attempt *a = attempt_of(x);
	struct http_stream *up = a->up;

	if (x->client->sending)
		return;
	if (up->head) {
		relay_head(x);
	} else if (x->answer_begun && !x->client->out_ended && (up->piece || up->in_ended)) {
		struct block *piece = http_stream_take_piece(up);

		forward_trailers(&up->trailers);
		x->client->ops->send(x->client, NULL, piece, up->in_ended, &up->trailers);
	}
	/* relay_head() may have ended everything. */
	if (a->up && !up->head && !up->piece && !up->in_ended)
		up->ops->pull(up);
}

/* The answer is whole, and its end was passed on, as far as the upstream is concerned: its
 * connection is free while the client still reads, for as long as it likes. */
static void release_if_done(struct exchange *x)
{
	struct attempt *a = attempt_of(x);
	struct http_stream *up = a->up;

	if (!x->answer_begun || !x->client->out_ended)
		return;
	exchange_set_attempt_due(x, 0);
	count_end(a);
	a->up = NULL;
	a->conn = NULL;
	up->ops->release(up);
}

static void upstream_run(struct exchange *x)
{
	struct attempt *a = attempt_of(x);

	if (!a->up)
		return;
	/* What came before the fault is passed on first, if it is an answer. */
	if (a->up->fault && !(a->up->head && a->up->head->status >= 200) && !a->up->piece) {
		on_fault(x, a->up->fault);
		return;
	}
	if (!a->conn->h1.connected)
		return;
	relay_request(x);
	if (a->up)
		relay_answer(x);
	if (a->up)
		release_if_done(x);
}

const struct source source_upstream = {
	.start = upstream_start,
	.run = upstream_run,
	.stop = upstream_stop,
};
