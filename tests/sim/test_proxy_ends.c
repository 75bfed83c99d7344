/* A whole proxy on one shard, one scene at a time: deadlines to the millisecond, ends,
 * second attempts, and who gets in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy_world.h"

/* Timers have a grain of 1 ms, and what they begin takes some turns. */
#define GRAIN (3 * NS_PER_MS)

#define TARGETS  "targets: [{url: \"http://10.0.0.1:80\"}, {url: \"http://10.0.0.2:80\"}]"
#define TIMEOUTS "timeouts: {connect: 1s, first_byte: 2s, idle: 4s, total: 20s}"

static const char config[] =
	"gateway: {max_connections: 3}\n"
	"client: {head_time: 10s, body_idle: 3s, write_idle: 5s, keepalive: 7s, max_head: 2KiB,\n"
	"         max_request_line: 1KiB}\n"
	"services:\n"
	"  one:\n"
	"    url: \"http://10.0.0.1:80\"\n"
	"    " TIMEOUTS "\n"
	"    routes: [{path: /one/*}, {path: /quick, timeout: 1s}, {path: /small, max_body: 10},\n"
	"             {path: /long, timeout: 10m}]\n"
	"  two:\n"
	"    " TARGETS "\n"
	"    " TIMEOUTS "\n"
	"    retry: {attempts: 1, on: [connect-failure], buffer: 64KiB}\n"
	"    routes: [{path: /two}]\n";

static struct world w;
static struct talk_origin first, second;
static struct talk c, d, e;

static int begin_with(struct world_options *o)
{
	c = d = e = (struct talk){.w = NULL};
	o->config = config;
	world_begin(&w, o);
	talk_origin_open(&w, "10.0.0.1", 80, &first);
	talk_origin_open(&w, "10.0.0.2", 80, &second);
	return 0;
}

static int begin(void **state UNUSED)
{
	struct world_options o = {.plan = world_calm_plan()};

	return begin_with(&o);
}

static int end(void **state UNUSED)
{
	world_abandon(&w);
	talk_origin_fini(&first);
	talk_origin_fini(&second);
	talk_fini(&c);
	talk_fini(&d);
	talk_fini(&e);
	return 0;
}

static uint64_t now(void)
{
	return w.shard.now_ns;
}

#define assert_after(since, what_ns, takes_ns)                                                     \
	assert_in_range((what_ns) - (since), (takes_ns), (takes_ns) + GRAIN)

static struct world_record *last_record(void)
{
	assert_true(w.records_len > 0);
	return &w.records[w.records_len - 1];
}

/* A client, its request, and the origin's connection that has got it. */
static struct talk *ask(struct talk *client, const char *request)
{
	unsigned talks = first.talks_len;
	struct talk *o;

	if (!client->peer)
		talk_dial(&w, client);
	talk_write(client, request);
	o = talk_origin_expect(&first, talks + 1, NS_PER_S);
	talk_expect(o, "\r\n\r\n", NS_PER_S);
	return o;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: sim\r\n\r\n"
#define ANSWER    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* ---- deadlines ---- */

static void a_head_that_takes_too_long_is_answered_408(void **state UNUSED)
{
	uint64_t began;

	talk_dial(&w, &c);
	world_pass(&w, NS_PER_S);
	began = now();
	talk_write(&c, "GET /one/ HT");
	world_pass(&w, 9 * NS_PER_S);
	talk_write(&c, "TP/1.1\r\nHost: s");
	talk_expect(&c, "HTTP/1.1 408 ", 2 * NS_PER_S);
	assert_after(began, c.first_ns, 10 * NS_PER_S);
	assert_int_equal(talk_count(&c, "Connection: close\r\n"), 1);
	assert_int_equal(last_record()->cause, ACCESS_CLIENT_TIMEOUT);
	world_finish(&w);
}

static void a_body_that_stands_still_is_answered_408(void **state UNUSED)
{
	struct talk *o =
		ask(&c, "POST /one/ HTTP/1.1\r\nHost: sim\r\nContent-Length: 10\r\n\r\n123");
	uint64_t still;

	world_pass(&w, 2 * NS_PER_S);
	talk_write(&c, "45");
	talk_expect(o, "12345", NS_PER_S);
	still = o->last_ns;
	talk_expect(&c, "HTTP/1.1 408 ", 5 * NS_PER_S);
	assert_after(still, c.first_ns, 3 * NS_PER_S);
	talk_expect_end(o, NS_PER_S);
	assert_int_equal(last_record()->cause, ACCESS_CLIENT_TIMEOUT);
	world_finish(&w);
}

static void a_connection_without_requests_ends_silently(void **state UNUSED)
{
	talk_write(ask(&c, GET("/one/")), ANSWER);
	talk_expect(&c, "ok", NS_PER_S);
	talk_expect_end(&c, 20 * NS_PER_S);
	assert_after(c.last_ns, c.ended_ns, 7 * NS_PER_S);
	assert_int_equal(talk_count(&c, "HTTP/1.1 "), 1);
	world_finish(&w);
}

static void a_connect_without_an_answer_is_504(void **state UNUSED)
{
	uint64_t began;

	first.verdict = FAKE_HANG;
	talk_dial(&w, &c);
	world_pass(&w, NS_PER_S);
	began = now();
	talk_write(&c, GET("/one/"));
	talk_expect(&c, "HTTP/1.1 504 ", 2 * NS_PER_S);
	assert_after(began, c.first_ns, NS_PER_S);
	assert_int_equal(last_record()->cause, ACCESS_UPSTREAM_CONNECT_TIMEOUT);
	world_finish(&w);
}

static void an_origin_that_is_silent_is_504(void **state UNUSED)
{
	struct talk *o = ask(&c, GET("/one/"));
	uint64_t asked = o->first_ns;

	talk_expect(&c, "HTTP/1.1 504 ", 3 * NS_PER_S);
	assert_after(asked, c.first_ns, 2 * NS_PER_S);
	assert_int_equal(last_record()->cause, ACCESS_UPSTREAM_FIRST_BYTE_TIMEOUT);
	/* The client's connection is as good as before. */
	talk_clear(&c);
	talk_write(ask(&c, GET("/one/")), ANSWER);
	talk_expect(&c, "ok", NS_PER_S);
	world_finish(&w);
}

static void the_wait_for_an_answer_begins_behind_the_request(void **state UNUSED)
{
	struct talk *o =
		ask(&c, "POST /one/ HTTP/1.1\r\nHost: sim\r\nContent-Length: 10\r\n\r\n123");

	world_pass(&w, 2500 * NS_PER_MS);
	talk_write(&c, "4567890");
	talk_expect(o, "1234567890", NS_PER_S);
	talk_expect(&c, "HTTP/1.1 504 ", 3 * NS_PER_S);
	assert_after(o->last_ns, c.first_ns, 2 * NS_PER_S);
	world_finish(&w);
}

static void an_answer_that_stands_still_is_cut(void **state UNUSED)
{
	struct talk *o = ask(&c, GET("/one/"));

	talk_write(o, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n12345");
	talk_expect(&c, "12345", NS_PER_S);
	talk_expect_end(&c, 10 * NS_PER_S);
	assert_after(c.last_ns, c.ended_ns, 4 * NS_PER_S);
	assert_int_equal(c.end_error, -ECONNRESET);
	assert_int_equal(last_record()->cause, ACCESS_UPSTREAM_IDLE_TIMEOUT);
	world_finish(&w);
}

static void a_request_has_a_total_time(void **state UNUSED)
{
	uint64_t began;
	struct talk *o;

	talk_dial(&w, &c);
	world_pass(&w, NS_PER_S);
	began = now();
	ask(&c, GET("/quick"));
	talk_expect(&c, "HTTP/1.1 504 ", 2 * NS_PER_S);
	assert_after(began, c.first_ns, NS_PER_S);
	assert_int_equal(last_record()->cause, ACCESS_TOTAL_TIMEOUT);
	/* Also when the answer has begun: then all that can be done is to cut it. */
	talk_clear(&c);
	began = now();
	o = ask(&c, GET("/one/"));
	talk_write(o, "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n");
	for (int i = 0; i < 10; i++) {
		talk_write(o, ".");
		world_pass(&w, 1900 * NS_PER_MS);
	}
	assert_false(c.ended);
	talk_expect_end(&c, 2 * NS_PER_S);
	assert_after(began, c.ended_ns, 20 * NS_PER_S);
	assert_int_equal(c.end_error, -ECONNRESET);
	world_finish(&w);
}

/* An answer of 40,000 bytes for a client with a window of a few. */
static void answer_much(struct talk *client, const char *path)
{
	static char body[40000];
	char request[100];
	struct talk *o;

	memset(body, 'x', sizeof(body));
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: sim\r\n\r\n", path);
	talk_dial(&w, client);
	fake_window(client->peer, 1000);
	o = ask(client, request);
	talk_write(o, "HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n");
	fake_write(o->peer, span_of(body, sizeof(body)));
}

static void a_reader_that_stands_still_is_cut(void **state UNUSED)
{
	answer_much(&c, "/long");
	fake_pace(c.peer, 20000);
	world_pass(&w, 500 * NS_PER_MS);
	assert_in_range(c.in_len, 2000, 39000);
	fake_pause(c.peer, true);
	talk_expect_end(&c, 60 * NS_PER_S);
	assert_in_range(c.ended_ns - c.last_ns, 5 * NS_PER_S, 10 * NS_PER_S + 2 * GRAIN);
	assert_int_equal(c.end_error, -ECONNRESET);
	assert_int_equal(last_record()->cause, ACCESS_CLIENT_TIMEOUT);
	world_finish(&w);
}

static void a_reader_that_moves_slowly_is_not_cut(void **state UNUSED)
{
	answer_much(&c, "/long");
	fake_pace(c.peer, 300);
	talk_expect(&c, "xx", NS_PER_S);
	world_pass(&w, 60 * NS_PER_S);
	assert_false(c.ended);
	assert_in_range(c.in_len, 15000, 39000);
	fake_pace(c.peer, 0);
	world_pass(&w, 5 * NS_PER_S);
	assert_int_equal(talk_count(&c, "x"), 40000);
	assert_int_equal(last_record()->cause, ACCESS_OK);
	world_finish(&w);
}

/* ---- drain and snapshots ---- */

static void a_drain_answers_what_is_in_flight(void **state UNUSED)
{
	struct talk *o = ask(&c, GET("/one/"));

	talk_dial(&w, &d);
	world_pass(&w, NS_PER_MS);
	assert_int_equal(w.front.clients_open, 2);
	front_drain(&w.front);
	world_pass(&w, 100 * NS_PER_MS);
	talk_dial(&w, &e);
	talk_expect_end(&e, NS_PER_S);
	assert_int_equal(e.end_error, -ECONNREFUSED);
	assert_int_equal(w.drained, 0);
	/* The next request of a pipeline is not answered, and must not cost the answer. */
	talk_write(&c, GET("/one/2"));
	world_pass(&w, 100 * NS_PER_MS);
	talk_write(o, ANSWER);
	talk_expect(&c, "ok", NS_PER_S);
	talk_write(&c, GET("/one/3"));
	assert_int_equal(talk_count(&c, "Connection: close\r\n"), 1);
	/* A connection without a request still gets one. */
	talk_clear(o);
	talk_write(&d, GET("/one/"));
	talk_expect(o, "\r\n\r\n", NS_PER_S);
	talk_write(o, ANSWER);
	talk_expect(&d, "ok", NS_PER_S);
	assert_int_equal(talk_count(&d, "Connection: close\r\n"), 1);
	talk_expect_end(&c, 3 * NS_PER_S);
	assert_int_equal(talk_count(&c, "HTTP/1.1 "), 1);
	world_pass(&w, 3 * NS_PER_S);
	assert_int_equal(w.front.clients_open, 0);
	assert_int_equal(w.drained, 1);
	world_finish(&w);
}

/* What a client sends while the last answer is on its way must not turn the end into a
 * reset that eats the answer. */
static void an_end_of_ours_lingers(void **state UNUSED)
{
	struct talk *o;

	talk_dial(&w, &c);
	o = ask(&c, GET("/one/"));
	front_drain(&w.front);
	fake_pause(c.peer, true);
	talk_write(o, ANSWER);
	world_pass(&w, 10 * NS_PER_MS);
	talk_write(&c, GET("/one/2"));
	world_pass(&w, 10 * NS_PER_MS);
	fake_pause(c.peer, false);
	talk_expect(&c, "ok", NS_PER_S);
	talk_expect_end(&c, 3 * NS_PER_S);
	assert_int_equal(c.end_error, 0);
	world_finish(&w);
}

static void a_request_keeps_its_snapshot(void **state UNUSED)
{
	struct snapshot *old = w.snapshot;
	struct snapshot *new = world_snapshot(
		&w, "gateway: {}\n"
		    "services:\n"
		    "  fixed: {respond: {status: 200, body: new}, routes: [{path: /one/*}]}\n");
	struct talk *o = ask(&c, GET("/one/"));

	front_swap(&w.front, new);
	assert_int_equal(w.unused_len, 0);
	w.snapshot = new;
	talk_dial(&w, &d);
	talk_write(&d, GET("/one/"));
	talk_expect(&d, "new", NS_PER_S);
	assert_int_equal(w.unused_len, 0);
	talk_write(o, ANSWER);
	talk_expect(&c, "ok", NS_PER_S);
	assert_int_equal(w.unused_len, 1);
	assert_ptr_equal(w.unused[0], old);
	talk_clear(&c);
	talk_write(&c, GET("/one/"));
	talk_expect(&c, "new", NS_PER_S);
	assert_int_equal(w.unused_len, 1);
	world_finish(&w);
	assert_int_equal(w.unused_len, 1);
}

/* ---- who gets in ---- */

/* The origin's connection that got the request for /one/N. */
static struct talk *talk_of(unsigned n)
{
	char path[32];

	snprintf(path, sizeof(path), "GET /one/%u ", n);
	for (unsigned i = 0; i < first.talks_len; i++)
		if (talk_count(&first.talks[i], path))
			return &first.talks[i];
	return NULL;
}

static void who_waits_is_admitted_when_one_leaves(void **state UNUSED)
{
	static struct talk all[5];
	char request[64];

	for (unsigned i = 0; i < 5; i++) {
		talk_dial(&w, &all[i]);
		snprintf(request, sizeof(request), "GET /one/%u HTTP/1.1\r\nHost: sim\r\n\r\n", i);
		talk_write(&all[i], request);
		world_pass(&w, 100 * NS_PER_MS);
	}
	assert_int_equal(first.talks_len, 3);
	assert_int_equal(w.front.clients_open, 3);
	fake_reset(all[1].peer);
	world_pass(&w, 100 * NS_PER_MS);
	assert_non_null(talk_of(3));
	assert_null(talk_of(4));
	/* Nor does one that is idle keep its place. */
	talk_write(talk_of(0), ANSWER);
	world_pass(&w, 100 * NS_PER_MS);
	assert_int_equal(talk_count(&all[0], "ok"), 1);
	assert_true(all[0].ended);
	assert_int_equal(w.front.stats.reclaimed, 1);
	assert_int_equal(atomic_load(&w.shared.gate.inside), 3);
	for (unsigned i = 2; i < 5; i++) {
		talk_write(talk_of(i), ANSWER);
		talk_expect(&all[i], "ok", NS_PER_S);
	}
	world_finish(&w);
	for (unsigned i = 0; i < 5; i++)
		talk_fini(&all[i]);
}

/* ---- attempts ---- */

static void a_refused_connect_goes_to_the_next_target_with_the_body(void **state UNUSED)
{
	struct talk *o;

	first.verdict = -ECONNREFUSED;
	talk_dial(&w, &c);
	for (unsigned i = 1; i <= 4; i++) {
		talk_write(&c, "POST /two HTTP/1.1\r\nHost: sim\r\nContent-Length: 4\r\n\r\nbody");
		o = talk_origin_expect(&second, 1, NS_PER_S);
		talk_expect(o, "body", NS_PER_S);
		talk_clear(o);
		talk_write(o, ANSWER);
		talk_expect(&c, "ok", NS_PER_S);
		talk_clear(&c);
		assert_int_equal(last_record()->status, 200);
	}
	/* Each second request begins with the target that refuses. */
	assert_int_equal(first.asked, 2);
	assert_int_equal(second.talks_len, 1);
	world_finish(&w);
}

static void when_all_targets_refuse_it_is_502(void **state UNUSED)
{
	first.verdict = -ECONNREFUSED;
	second.verdict = -EHOSTUNREACH;
	talk_dial(&w, &c);
	talk_write(&c, GET("/two"));
	talk_expect(&c, "HTTP/1.1 502 ", NS_PER_S);
	assert_int_equal(last_record()->attempts, 2);
	world_finish(&w);
}

/* A connection that the client's first request leaves idle; then the next request goes
 * out on it and the origin resets it without a byte. */
static void go_stale(const char *request)
{
	struct talk *o = ask(&c, GET("/one/"));

	talk_write(o, ANSWER);
	talk_expect(&c, "ok", NS_PER_S);
	talk_clear(&c);
	talk_clear(o);
	talk_write(&c, request);
	talk_expect(o, "\r\n\r\n", NS_PER_S);
	assert_int_equal(first.talks_len, 1);
	fake_reset(o->peer);
}

static void a_stale_connection_costs_a_get_nothing(void **state UNUSED)
{
	go_stale(GET("/one/"));
	talk_expect(talk_origin_expect(&first, 2, NS_PER_S), "\r\n\r\n", NS_PER_S);
	/* Once: a fresh connection that fails, too, has a reason. */
	fake_reset(first.talks[1].peer);
	talk_expect(&c, "HTTP/1.1 502 ", NS_PER_S);
	assert_int_equal(first.talks_len, 2);
	assert_int_equal(last_record()->attempts, 2);
	assert_int_equal(last_record()->cause, ACCESS_UPSTREAM_RESET);
	world_finish(&w);
}

static void a_stale_connection_sends_the_body_of_a_put_again(void **state UNUSED)
{
	struct talk *o;

	go_stale("PUT /one/ HTTP/1.1\r\nHost: sim\r\nContent-Length: 4\r\n\r\nbody");
	o = talk_origin_expect(&first, 2, NS_PER_S);
	talk_expect(o, "body", NS_PER_S);
	assert_int_equal(talk_count(o, "body"), 1);
	talk_write(o, ANSWER);
	talk_expect(&c, "ok", NS_PER_S);
	world_finish(&w);
}

static void a_post_is_never_sent_twice(void **state UNUSED)
{
	go_stale("POST /one/ HTTP/1.1\r\nHost: sim\r\nContent-Length: 4\r\n\r\nbody");
	talk_expect(&c, "HTTP/1.1 502 ", NS_PER_S);
	assert_int_equal(first.talks_len, 1);
	world_finish(&w);
}

static void bytes_on_an_idle_connection_end_it(void **state UNUSED)
{
	struct talk *o = ask(&c, GET("/one/"));

	talk_write(o, ANSWER);
	talk_expect(&c, "ok", NS_PER_S);
	talk_clear(&c);
	talk_write(o, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	talk_expect_end(o, NS_PER_S);
	talk_write(ask(&c, GET("/one/")), ANSWER);
	talk_expect(&c, "ok", NS_PER_S);
	assert_int_equal(talk_count(&c, "evil"), 0);
	world_finish(&w);
}

/* ---- odd ends ---- */

static void half_a_head_and_its_end_is_400_at_once(void **state UNUSED)
{
	uint64_t began;

	talk_dial(&w, &c);
	world_pass(&w, NS_PER_S);
	began = now();
	talk_write(&c, "GET /one/ HT");
	fake_shutdown(c.peer);
	talk_expect(&c, "HTTP/1.1 400 ", NS_PER_S);
	assert_after(began, c.first_ns, 0);
	world_finish(&w);
}

static void half_a_head_behind_a_request_is_400_at_once(void **state UNUSED)
{
	struct talk *o = ask(&c, GET("/one/") "GET /one/ HT");

	fake_shutdown(c.peer);
	world_pass(&w, NS_PER_S);
	talk_write(o, ANSWER);
	talk_expect(&c, "HTTP/1.1 400 ", NS_PER_S);
	assert_int_equal(talk_count(&c, "HTTP/1.1 200 "), 1);
	talk_expect_end(&c, NS_PER_S);
	world_finish(&w);
}

static void a_client_may_end_its_side_behind_its_request(void **state UNUSED)
{
	struct talk *o = ask(&c, GET("/one/"));

	fake_shutdown(c.peer);
	world_pass(&w, NS_PER_S);
	talk_write(o, ANSWER);
	talk_expect(&c, "ok", NS_PER_S);
	talk_expect_end(&c, NS_PER_S);
	assert_int_equal(c.end_error, 0);
	world_finish(&w);
}

static void a_client_that_vanishes_takes_its_request_along(void **state UNUSED)
{
	struct talk *o = ask(&c, GET("/one/"));

	fake_reset(c.peer);
	talk_expect_end(o, NS_PER_S);
	assert_int_equal(last_record()->cause, ACCESS_CLIENT_CLOSED);
	assert_int_equal(last_record()->status, 0);
	world_finish(&w);
}

/* The origin refuses an upload: it answers, ends, and takes no more. */
static void an_early_answer_survives_the_end_of_the_upload(void **state UNUSED)
{
	static char body[60000];
	struct talk *o = ask(&c, "POST /one/ HTTP/1.1\r\nHost: sim\r\n"
				 "Content-Length: 1000000\r\n\r\n");

	talk_write(o, "HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nless");
	for (int i = 0; i < 4; i++)
		fake_write(c.peer, span_of(body, sizeof(body)));
	talk_expect(&c, "less", NS_PER_S);
	assert_int_equal(talk_count(&c, "HTTP/1.1 413 "), 1);
	assert_int_equal(talk_count(&c, "Connection: close\r\n"), 1);
	talk_expect_end(&c, 3 * NS_PER_S);
	assert_int_equal(c.end_error, 0);
	world_finish(&w);
}

/* The same when the rest of the answer waits for a slow client: the kernel keeps what came
 * before the reset, or does not. True if the answer came whole. */
static bool refuse_upload(uint64_t seed)
{
	static char body[5500], upload[3000];
	struct world_options o = {.plan = world_calm_plan()};
	struct talk *up;
	bool whole;

	o.plan.seed = seed;
	begin_with(&o);
	memset(body, 'x', sizeof(body));
	talk_dial(&w, &c);
	fake_window(c.peer, 1000);
	fake_pause(c.peer, true);
	up = ask(&c, "POST /one/ HTTP/1.1\r\nHost: sim\r\nContent-Length: 1000000\r\n\r\n");
	fake_window(up->peer, 2000);
	talk_write(up, "HTTP/1.1 413 Too Much\r\nContent-Length: 5500\r\n\r\n");
	fake_write(up->peer, span_of(body, sizeof(body)));
	fake_close(up->peer);
	world_pass(&w, 100 * NS_PER_MS);
	fake_write(c.peer, span_of(upload, sizeof(upload)));
	world_pass(&w, 100 * NS_PER_MS);
	fake_pause(c.peer, false);
	talk_expect_end(&c, 3 * NS_PER_S);
	whole = talk_count(&c, "x") == sizeof(body);
	assert_int_equal(c.end_error, whole ? 0 : -ECONNRESET);
	world_finish(&w);
	end(NULL);
	return whole;
}

static void a_refusal_is_read_to_its_end(void **state UNUSED)
{
	unsigned whole = 0;

	for (uint64_t seed = 1; seed <= 20; seed++)
		whole += refuse_upload(seed);
	assert_in_range(whole, 1, 19);
}

static void a_body_over_its_limit_is_413(void **state UNUSED)
{
	talk_dial(&w, &c);
	talk_write(&c, "POST /small HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n\r\n"
		       "8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n");
	talk_expect(&c, "HTTP/1.1 413 ", NS_PER_S);
	assert_int_equal(last_record()->cause, ACCESS_BODY_TOO_LARGE);
	world_finish(&w);
}

static void trailers_without_end_are_400(void **state UNUSED)
{
	struct talk *o = ask(&c, "POST /one/ HTTP/1.1\r\nHost: sim\r\n"
				 "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n");

	for (int i = 0; i < 4000 && !c.in_len; i++) {
		talk_write(&c, "X-Filler: 0123456789abcdef\r\n");
		world_pass(&w, 20 * NS_PER_US);
	}
	talk_expect(&c, "HTTP/1.1 400 ", NS_PER_S);
	talk_expect_end(o, NS_PER_S);
	world_finish(&w);
}

static void a_pipeline_longer_than_a_block_is_answered_whole(void **state UNUSED)
{
	static const char request[] =
		GET("/missing/with/a/path/of/some/length/so/that/fewer/of/them/fill/a/block/"
		    "0123456789012345678901234567890123456789012345678901234567890123456789");

	talk_dial(&w, &c);
	fake_window(c.peer, 1 << 18);
	for (int i = 0; i < 600; i++)
		talk_write(&c, request);
	talk_write(&c, "GET / HTTP/1.0\r\nHost: sim\r\n\r\n");
	talk_expect_end(&c, 5 * NS_PER_S);
	assert_int_equal(talk_count(&c, " 404 Not Found\r\n"), 601);
	world_finish(&w);
}

static void the_write_that_fails_is_in_the_log(void **state UNUSED)
{
	answer_much(&c, "/long");
	fake_pause(c.peer, true);
	world_pass(&w, 30 * NS_PER_S);
	assert_int_equal(w.front.clients_open, 0);
	assert_int_equal(last_record()->cause, ACCESS_CLIENT_TIMEOUT);
	world_finish(&w);
}

#define scene(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		scene(a_head_that_takes_too_long_is_answered_408),
		scene(a_body_that_stands_still_is_answered_408),
		scene(a_connection_without_requests_ends_silently),
		scene(a_connect_without_an_answer_is_504),
		scene(an_origin_that_is_silent_is_504),
		scene(the_wait_for_an_answer_begins_behind_the_request),
		scene(an_answer_that_stands_still_is_cut),
		scene(a_request_has_a_total_time),
		scene(a_reader_that_stands_still_is_cut),
		scene(a_reader_that_moves_slowly_is_not_cut),
		scene(a_drain_answers_what_is_in_flight),
		scene(an_end_of_ours_lingers),
		scene(a_request_keeps_its_snapshot),
		scene(who_waits_is_admitted_when_one_leaves),
		scene(a_refused_connect_goes_to_the_next_target_with_the_body),
		scene(when_all_targets_refuse_it_is_502),
		scene(a_stale_connection_costs_a_get_nothing),
		scene(a_stale_connection_sends_the_body_of_a_put_again),
		scene(a_post_is_never_sent_twice),
		scene(bytes_on_an_idle_connection_end_it),
		scene(half_a_head_and_its_end_is_400_at_once),
		scene(half_a_head_behind_a_request_is_400_at_once),
		scene(a_client_may_end_its_side_behind_its_request),
		scene(a_client_that_vanishes_takes_its_request_along),
		scene(an_early_answer_survives_the_end_of_the_upload),
		cmocka_unit_test_teardown(a_refusal_is_read_to_its_end, end),
		scene(a_body_over_its_limit_is_413),
		scene(trailers_without_end_are_400),
		scene(a_pipeline_longer_than_a_block_is_answered_whole),
		scene(the_write_that_fails_is_in_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
