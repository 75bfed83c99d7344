#include "proxy_traffic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* A connection of an origin. */
struct origin_conn {
	struct origin_conn *next;
	struct traffic *t;
	struct fake_peer *peer;
	struct wire wire;
	struct ask *ask; /* NULL: between two requests */
	bool in_whole;   /* the request is */
	char *out;       /* its answer, NULL: not begun */
	size_t out_len, sent;
	bool step_due;
	bool ended;
};

static uint64_t below(struct traffic *t, uint64_t n)
{
	return fake_below(t->w->ring, n);
}

static bool happens(struct traffic *t, unsigned of_100)
{
	return below(t, 100) < of_100;
}

static uint64_t up_key(const struct ask *a)
{
	return a->id * 7919u + 1;
}

static uint64_t down_key(const struct ask *a)
{
	return a->id * 104729u + 5;
}

/* Not by far the smallest that the plan allows: a long body through a window of a byte
 * takes longer than any deadline. */
static void set_window(struct traffic *t, struct fake_peer *p)
{
	uint32_t most = t->options.window_most;

	fake_window(p, most / 4 + 1 + (uint32_t)below(t, most));
}

/* ---- messages ---- */

static size_t put_text(char *out, size_t at, const char *text)
{
	memcpy(out + at, text, strlen(text));
	return at + strlen(text);
}

static size_t put_bytes(char *out, size_t at, uint64_t key, uint64_t from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[at + i] = wire_byte(key, from + i);
	return at + len;
}

/* The body in its framing; chunks of random sizes. */
static size_t put_body(struct traffic *t, char *out, size_t at, uint64_t key, uint32_t len,
		       enum wire_framing framing, const char *trailers)
{
	uint32_t done = 0;

	if (framing != WIRE_CHUNKED)
		return framing == WIRE_NONE ? at : put_bytes(out, at, key, 0, len);
	while (done < len) {
		uint32_t chunk = 1 + (uint32_t)below(t, happens(t, 50) ? 20 : len);

		if (chunk > len - done)
			chunk = len - done;
		at += (size_t)sprintf(out + at, happens(t, 50) ? "%X\r\n" : "%x\r\n", chunk);
		at = put_bytes(out, at, key, done, chunk);
		at = put_text(out, at, "\r\n");
		done += chunk;
	}
	at = put_text(out, at, "0\r\n");
	at = put_text(out, at, trailers);
	return put_text(out, at, "\r\n");
}

/* More than a message with such a body can take: chunks of a byte cost six. */
static size_t message_room(uint32_t body_len)
{
	return 1024 + (size_t)body_len * 6;
}

static size_t put_request(struct ask *a, char *out, size_t at, size_t *ret_head_end)
{
	at += (size_t)sprintf(out + at, "%s /ask/%u HTTP/1.%d\r\nHost: sim\r\nX-Ask: %u\r\n",
			      a->method, a->id, !a->is_1_0, a->id);
	if (a->up_framing == WIRE_LENGTH)
		at += (size_t)sprintf(out + at, "Content-Length: %u\r\n", a->up_len);
	if (a->up_framing == WIRE_CHUNKED)
		at = put_text(out, at, "Transfer-Encoding: chunked\r\n");
	if (a->expects_continue)
		at = put_text(out, at, "Expect: 100-continue\r\n");
	if (a->asks_close)
		at = put_text(out, at, "Connection: close\r\n");
	else if (a->is_1_0)
		at = put_text(out, at, "Connection: keep-alive\r\n");
	at = put_text(out, at, "\r\n");
	*ret_head_end = at;
	return put_body(a->t, out, at, up_key(a), a->up_len, a->up_framing,
			a->up_trailers ? "X-Up: end\r\n" : "");
}

static bool is_bodiless(const struct ask *a)
{
	return strcmp(a->method, "HEAD") == 0 || a->status == 204 || a->status == 304;
}

static size_t put_answer(struct ask *a, char *out)
{
	size_t at = 0;

	if (a->interim && !a->expects_continue)
		at = put_text(out, at, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
	at += (size_t)sprintf(out + at, "HTTP/1.1 %u Whatever\r\nX-Ask: %u\r\n", a->status, a->id);
	if (a->status != 204 && a->down_framing == WIRE_LENGTH)
		at += (size_t)sprintf(out + at, "Content-Length: %u\r\n", a->down_len);
	if (a->status != 204 && a->status != 304 && a->down_framing == WIRE_CHUNKED)
		at = put_text(out, at, "Transfer-Encoding: chunked\r\n");
	if (a->closes)
		at = put_text(out, at, "Connection: close\r\n");
	at = put_text(out, at, "\r\n");
	if (is_bodiless(a))
		return at;
	return put_body(a->t, out, at, down_key(a), a->down_len, a->down_framing,
			a->down_trailers ? "X-Down: end\r\n" : "");
}

/* ---- origins ---- */

static void origin_break(struct origin_conn *c, enum break_off how)
{
	c->ended = true;
	if (how == BREAK_RESET)
		fake_reset(c->peer);
	else
		fake_close(c->peer);
}

static void origin_idle_close(void *arg)
{
	struct origin_conn *c = arg;

	if (!c->ask && !c->ended)
		origin_break(c, BREAK_CLOSE);
}

static void origin_step_later(struct origin_conn *c, uint64_t ns);

static void origin_done(struct origin_conn *c)
{
	struct traffic *t = c->t;
	bool closes = c->ask->closes;

	free(c->out);
	c->out = NULL;
	c->ask = NULL;
	if (closes)
		origin_break(c, BREAK_CLOSE);
	else if (t->options.origin_faults && happens(t, 20))
		fake_at(t->w->ring, fake_now(t->w->ring) + below(t, 50 * NS_PER_MS),
			origin_idle_close, c);
}

static void origin_step(void *arg)
{
	struct origin_conn *c = arg;
	struct ask *a = c->ask;
	size_t n, most;

	c->step_due = false;
	if (c->ended || !a || !c->out)
		return;
	most = c->out_len;
	if (a->breaks != BREAK_NONE && a->breaks_at < most)
		most = a->breaks_at;
	n = min_u64(most - c->sent, happens(c->t, 50) ? 1 + below(c->t, 200) : most);
	fake_write(c->peer, span_of(c->out + c->sent, n));
	c->sent += n;
	if (c->sent < most) {
		origin_step_later(c, below(c->t, 3 * NS_PER_MS));
		return;
	}
	if (most < c->out_len) {
		if (a->breaks == BREAK_GARBAGE)
			fake_write(c->peer, SPAN("\r\n\1\r\n:\r\n\r\n\r\n"));
		if (a->breaks == BREAK_GARBAGE || a->breaks == BREAK_HANG)
			return; /* and says no more */
		origin_break(c, a->breaks);
		return;
	}
	if (c->in_whole)
		origin_done(c);
}

static void origin_step_later(struct origin_conn *c, uint64_t ns)
{
	if (c->step_due)
		return;
	c->step_due = true;
	fake_at(c->t->w->ring, fake_now(c->t->w->ring) + ns, origin_step, c);
}

static void origin_answer(struct origin_conn *c)
{
	if (c->out)
		return;
	c->out = malloc(message_room(c->ask->down_len));
	assert_non_null(c->out);
	c->out_len = put_answer(c->ask, c->out);
	c->sent = 0;
	origin_step_later(c, c->ask->think_ns);
}

static bool on_request_head(struct wire *w)
{
	struct origin_conn *c = container_of(w, struct origin_conn, wire);
	struct traffic *t = c->t;
	struct span id = wire_field(w, "X-Ask");
	uint64_t number = 0;
	struct ask *a;

	/* One request at a time: the last one was answered and the proxy has seen it. */
	assert_null(c->ask);
	assert_true(span_to_u64(id, &number) && number < t->asks_made);
	a = t->asks[number];
	assert_memory_equal(w->head, a->method, strlen(a->method));
	assert_true(wire_field_is(w, "Host", "sim"));
	assert_non_null(wire_field(w, "Via").ptr);
	assert_non_null(wire_field(w, "X-Forwarded-For").ptr);
	/* What may be sent twice: what is idempotent, once. */
	a->heads_seen++;
	assert_in_range(a->heads_seen, 1, strcmp(a->method, "POST") == 0 ? 1 : 2);
	c->ask = a;
	c->in_whole = false;
	a->up_whole = false;
	if (a->expects_continue && !a->is_early)
		fake_write(c->peer, SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
	if (a->is_early)
		origin_answer(c);
	return false;
}

static void on_request_body(struct wire *w, struct span bytes)
{
	struct origin_conn *c = container_of(w, struct origin_conn, wire);

	assert_true(wire_bytes_match(up_key(c->ask), w->body_len, bytes));
}

static void on_request_end(struct wire *w)
{
	struct origin_conn *c = container_of(w, struct origin_conn, wire);
	struct ask *a = c->ask;

	assert_int_equal(w->body_len, a->up_framing == WIRE_NONE ? 0 : a->up_len);
	assert_int_equal(w->framing == WIRE_CHUNKED, a->up_framing == WIRE_CHUNKED);
	if (a->up_trailers)
		assert_non_null(strstr(w->trailers, "X-Up: end\r\n"));
	a->up_whole = true;
	c->in_whole = true;
	if (!c->out)
		origin_answer(c);
	else if (!c->step_due && c->sent == c->out_len)
		origin_done(c);
}

static void on_origin_bytes(struct fake_peer *p, struct span bytes)
{
	struct origin_conn *c = p->mine;

	if (!c->ended)
		assert_true(wire_feed(&c->wire, bytes));
}

static void on_origin_end(struct fake_peer *p, int err)
{
	struct origin_conn *c = p->mine;

	if (err == -ECONNREFUSED)
		return;
	if (!c->ended && err == 0)
		fake_close(p);
	c->ended = true;
}

static void on_origin_open(struct fake_peer *p)
{
	struct traffic_origin *o = p->mine;
	struct traffic *t = o->t;
	struct origin_conn *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->t = t;
	c->peer = p;
	c->next = t->conns;
	t->conns = c;
	t->conns_len++;
	c->wire.on_head = on_request_head;
	c->wire.on_body = on_request_body;
	c->wire.on_end = on_request_end;
	wire_init(&c->wire);
	p->mine = c;
	set_window(t, p);
	if (t->options.slow && happens(t, 20))
		fake_pace(p, 2000 + below(t, 20000));
}

static int on_origin_connect(void *mine, uint64_t *ret_delay_ns)
{
	struct traffic_origin *o = mine;
	struct traffic *t = o->t;

	*ret_delay_ns = below(t, 2 * NS_PER_MS);
	if (!t->options.origin_faults)
		return 0;
	if (happens(t, 10))
		return happens(t, 50) ? -ECONNREFUSED : -EHOSTUNREACH;
	return happens(t, 3) ? FAKE_HANG : 0;
}

static const struct fake_script origin_script = {
	.on_connect = on_origin_connect,
	.on_open = on_origin_open,
	.on_bytes = on_origin_bytes,
	.on_end = on_origin_end,
};

/* ---- clients ---- */

static void client_step(void *arg);

static void client_step_later(struct traffic_client *c, uint64_t ns)
{
	if (c->step_due || c->left)
		return;
	c->step_due = true;
	fake_at(c->t->w->ring, fake_now(c->t->w->ring) + ns, client_step, c);
}

static void client_leave(struct traffic_client *c, enum break_off how)
{
	c->left = true;
	c->ended = true;
	if (how == BREAK_RESET)
		fake_reset(c->peer);
	else
		fake_close(c->peer);
}

/* How far it may send by now. */
static size_t client_allowed(const struct traffic_client *c)
{
	unsigned at = c->answered < c->asks_len ? c->answered : c->asks_len - 1;

	if (c->pipelines)
		return c->out_len;
	if (c->asks[at].expects_continue && c->continued <= at)
		return c->head_ends[at];
	return c->ends[at];
}

static void client_step(void *arg)
{
	struct traffic_client *c = arg;
	size_t allowed = client_allowed(c);
	bool breaks = c->breaks != BREAK_NONE && c->breaks_at <= allowed;
	size_t n;

	c->step_due = false;
	if (c->left || c->ended || c->was_last)
		return;
	if (breaks)
		allowed = c->breaks_at;
	if (c->sent < allowed) {
		n = min_u64(allowed - c->sent, happens(c->t, 50) ? 1 + below(c->t, 300) : allowed);
		fake_write(c->peer, span_of(c->out + c->sent, n));
		c->sent += n;
	}
	if (c->sent < allowed) {
		client_step_later(c, below(c->t, 3 * NS_PER_MS));
		return;
	}
	if (!breaks)
		return;
	if (c->breaks == BREAK_SHUTDOWN)
		fake_shutdown(c->peer);
	else if (c->breaks != BREAK_HANG)
		client_leave(c, c->breaks);
}

/* Whether an answer may be missing or be one of ours. */
static bool can_fail(const struct traffic *t)
{
	return t->options.scarce || t->options.origin_faults || t->options.client_faults;
}

static bool on_answer_head(struct wire *w)
{
	struct traffic_client *c = container_of(w, struct traffic_client, wire);
	struct traffic *t = c->t;
	struct span id = wire_field(w, "X-Ask");
	unsigned status = (unsigned)atoi(w->head + 9);
	struct ask *a;

	/* There is an answer only to what was asked. */
	assert_in_range(c->answered, 0, c->asks_len - 1);
	a = &c->asks[c->answered];
	if (c->breaks == BREAK_NONE || c->answered)
		assert_in_range(c->sent, c->answered ? c->ends[c->answered - 1] : 1, c->out_len);
	if (status < 200) {
		assert_false(a->is_1_0);
		if (status == 100) {
			assert_true(a->expects_continue);
			c->continued = c->answered + 1;
			client_step_later(c, below(t, NS_PER_MS));
		} else {
			assert_int_equal(status, 103);
		}
		return true;
	}
	a->answer_status = (uint16_t)status;
	a->answer_is_ours = !id.ptr;
	if (wire_field_is(w, "Connection", "close") ||
	    (a->is_1_0 && !wire_field(w, "Connection").ptr))
		c->was_last = true;
	if (a->answer_is_ours) {
		/* Ours: only where something went wrong, and it says what. */
		if (!can_fail(t))
			fail_msg("not expected: %s", w->head);
		assert_true(wire_field_is(w, "Content-Type", "application/problem+json"));
		assert_true(status == 400 || status == 408 || (status >= 502 && status <= 504));
	} else {
		uint64_t number = 0;

		assert_true(span_to_u64(id, &number));
		assert_int_equal(number, a->id);
		assert_int_equal(status, a->status);
		assert_non_null(wire_field(w, "Date").ptr);
		assert_non_null(wire_field(w, "Via").ptr);
	}
	return strcmp(a->method, "HEAD") == 0 || status == 204 || status == 304;
}

static void on_answer_body(struct wire *w, struct span bytes)
{
	struct traffic_client *c = container_of(w, struct traffic_client, wire);
	struct ask *a = &c->asks[c->answered];

	if (a->answer_is_ours)
		return;
	assert_true(wire_bytes_match(down_key(a), w->body_len, bytes));
	assert_in_range(w->body_len + bytes.len, 0, a->down_len);
}

static void on_answer_end(struct wire *w)
{
	struct traffic_client *c = container_of(w, struct traffic_client, wire);
	struct traffic *t = c->t;
	struct ask *a = &c->asks[c->answered];
	bool has_body = !is_bodiless(a);

	if (a->answer_is_ours) {
		t->answered_by_us++;
	} else {
		t->answered_by_origin++;
		/* Where the connection's end is the body's, nobody can know that it came too
		 * early: on the origin's side, and on ours towards HTTP/1.0. */
		if (has_body && !(w->framing == WIRE_CLOSE && can_fail(t)) &&
		    !(a->down_framing == WIRE_CLOSE && a->breaks == BREAK_CLOSE))
			assert_int_equal(w->body_len, a->down_len);
		if (has_body && w->framing == WIRE_CHUNKED && a->down_trailers)
			assert_non_null(strstr(w->trailers, "X-Down: end\r\n"));
		/* An early answer need not wait for the request; any other one does. */
		if (!a->is_early)
			assert_true(a->up_whole);
	}
	a->answered = true;
	c->answered++;
	if (c->was_last || c->left)
		return;
	if (c->answered == c->asks_len) {
		if (!happens(t, 30))
			client_leave(c, BREAK_CLOSE);
		/* Else it stays until the proxy has enough of it. */
		return;
	}
	client_step_later(c, below(t, happens(t, 30) ? 300 * NS_PER_MS : NS_PER_MS));
}

static void on_client_bytes(struct fake_peer *p, struct span bytes)
{
	struct traffic_client *c = p->mine;

	if (!c->left)
		assert_true(wire_feed(&c->wire, bytes));
}

static void on_client_end(struct fake_peer *p, int err)
{
	struct traffic_client *c = p->mine;
	bool whole;

	if (c->left)
		return;
	whole = err == 0 && wire_end(&c->wire);
	c->left = true;
	if (!c->ended && err == 0)
		fake_close(p);
	c->ended = true;
	if (c->answered < c->asks_len && !c->was_last) {
		c->t->cut++;
		assert_true(can_fail(c->t));
	}
	/* Half an answer does not look like a whole one: the end is a reset, or the
	 * framing tells. */
	if (c->answered < c->asks_len && err == 0 && !whole)
		assert_true(wire_is_inside(&c->wire));
	if (c->was_last)
		assert_true(whole || can_fail(c->t));
}

static const struct fake_script client_script = {
	.on_bytes = on_client_bytes,
	.on_end = on_client_end,
};

/* ---- plans ---- */

static uint32_t random_length(struct traffic *t)
{
	uint32_t most = t->options.body_most;
	unsigned bits = 0;

	if (happens(t, 10))
		return 0;
	while (most >> bits)
		bits++;
	return (uint32_t)min_u64(most, below(t, (1u << (1 + below(t, bits)))));
}

static void plan_ask(struct traffic *t, struct ask *a, bool pipelines)
{
	static const char *const methods[] = {"GET", "GET",  "POST",  "POST",
					      "PUT", "HEAD", "DELETE"};
	static const uint16_t statuses[] = {200, 200, 200, 200, 404, 503, 204, 304};

	a->t = t;
	a->id = t->asks_made;
	t->asks = realloc(t->asks, (t->asks_made + 1) * sizeof(*t->asks));
	assert_non_null(t->asks);
	t->asks[t->asks_made++] = a;
	a->method = methods[below(t, ARRAY_LEN(methods))];
	a->is_1_0 = happens(t, 8);
	a->asks_close = happens(t, 5);
	if (a->method[0] == 'P') {
		a->up_framing = happens(t, 50) && !a->is_1_0 ? WIRE_CHUNKED : WIRE_LENGTH;
		a->up_len = random_length(t);
		a->up_trailers = a->up_framing == WIRE_CHUNKED && happens(t, 30);
		a->expects_continue = !pipelines && !a->is_1_0 && a->up_len && happens(t, 20);
	}
	a->status = statuses[below(t, ARRAY_LEN(statuses))];
	a->down_framing = happens(t, 45) ? WIRE_LENGTH : happens(t, 80) ? WIRE_CHUNKED : WIRE_CLOSE;
	a->down_len = random_length(t);
	a->down_trailers = a->down_framing == WIRE_CHUNKED && happens(t, 30);
	a->interim = happens(t, 20);
	a->closes = (a->down_framing == WIRE_CLOSE && !is_bodiless(a)) || happens(t, 10);
	a->think_ns = happens(t, 50) ? below(t, 5 * NS_PER_MS) : 0;
	if (t->options.origin_faults && happens(t, 10))
		a->is_early = true;
	if (t->options.origin_faults && happens(t, 25)) {
		static const enum break_off ways[] = {BREAK_RESET, BREAK_CLOSE, BREAK_HANG,
						      BREAK_GARBAGE};

		a->breaks = ways[below(t, ARRAY_LEN(ways))];
		a->breaks_at = (uint32_t)below(t, happens(t, 50) ? 150 : 150 + a->down_len);
		/* In the middle of a body garbage is a part of it. */
		if (a->breaks == BREAK_GARBAGE)
			a->breaks_at = 0;
	}
}

static void plan_client(struct traffic *t, struct traffic_client *c)
{
	size_t room = 0;

	c->t = t;
	c->asks_len = 1 + (unsigned)below(t, t->options.asks_most);
	c->pipelines = happens(t, 40);
	c->asks = calloc(c->asks_len, sizeof(*c->asks));
	c->ends = calloc(c->asks_len, sizeof(*c->ends));
	c->head_ends = calloc(c->asks_len, sizeof(*c->head_ends));
	assert_true(c->asks && c->ends && c->head_ends);
	for (unsigned i = 0; i < c->asks_len; i++) {
		plan_ask(t, &c->asks[i], c->pipelines);
		room += message_room(c->asks[i].up_len);
	}
	c->out = malloc(room);
	assert_non_null(c->out);
	for (unsigned i = 0; i < c->asks_len; i++) {
		c->out_len = put_request(&c->asks[i], c->out, c->out_len, &c->head_ends[i]);
		c->ends[i] = c->out_len;
	}
	if (t->options.client_faults && happens(t, 40)) {
		static const enum break_off ways[] = {BREAK_RESET, BREAK_CLOSE, BREAK_SHUTDOWN,
						      BREAK_HANG};

		c->breaks = ways[below(t, ARRAY_LEN(ways))];
		c->breaks_at = below(t, c->out_len + 1);
	}
	c->wire.on_head = on_answer_head;
	c->wire.on_body = on_answer_body;
	c->wire.on_end = on_answer_end;
	wire_init(&c->wire);
}

static void client_dial(void *arg)
{
	struct traffic_client *c = arg;
	struct traffic *t = c->t;

	c->peer = fake_dial(t->w->ring, t->w->listen_fd, NULL, &client_script, c);
	set_window(t, c->peer);
	if (t->options.slow && happens(t, 20))
		fake_pace(c->peer, 2000 + below(t, 20000));
	client_step_later(c, below(t, NS_PER_MS));
}

void traffic_begin(struct traffic *t, struct world *w, const struct traffic_options *o)
{
	memset(t, 0, sizeof(*t));
	t->w = w;
	t->options = *o;
	for (unsigned i = 0; i < TRAFFIC_ORIGINS; i++) {
		char ip[16];

		snprintf(ip, sizeof(ip), "10.0.0.%u", i + 1);
		t->origins[i].t = t;
		assert_true(address_from_ip(span_str(ip), 80, &t->origins[i].at));
		fake_origin(w->ring, &t->origins[i].at, &origin_script, &t->origins[i]);
	}
	t->clients = calloc(o->clients, sizeof(*t->clients));
	assert_non_null(t->clients);
	for (unsigned i = 0; i < o->clients; i++) {
		struct traffic_client *c = &t->clients[i];

		plan_client(t, c);
		t->asked += c->asks_len;
		fake_at(w->ring, fake_now(w->ring) + below(t, NS_PER_S), client_dial, c);
	}
}

static bool have_all_gone(void *arg)
{
	struct traffic *t = arg;

	for (unsigned i = 0; i < t->options.clients; i++)
		if (!t->clients[i].ended)
			return false;
	return !t->w->front.clients_open && !t->w->front.exchanges_open;
}

void traffic_run(struct traffic *t, uint64_t within_ns)
{
	world_until(t->w, have_all_gone, t, within_ns);
	for (unsigned i = 0; i < t->options.clients; i++) {
		const struct traffic_client *c = &t->clients[i];

		if (!can_fail(t))
			assert_true(c->was_last || c->answered == c->asks_len);
	}
}

void traffic_fini(struct traffic *t)
{
	for (unsigned i = 0; i < t->options.clients; i++) {
		free(t->clients[i].asks);
		free(t->clients[i].ends);
		free(t->clients[i].head_ends);
		free(t->clients[i].out);
	}
	free(t->clients);
	free(t->asks);
	t->options.clients = 0;
	t->clients = NULL;
	t->asks = NULL;
	while (t->conns) {
		struct origin_conn *c = t->conns;

		t->conns = c->next;
		free(c->out);
		free(c);
	}
}
