#include "proxy_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <ringway/config/load.h>

/* Whose requests leave records: one world at a time, as there is one ring. */
static struct world *current;

/* The linker turns the log's one function that a shard calls to here. */
bool __wrap_access_log_put(struct access_log *log, unsigned shard,
			   const struct access_record *record);
bool __wrap_access_log_put(struct access_log *log UNUSED, unsigned shard UNUSED,
			   const struct access_record *record)
{
	struct world *w = current;

	w->records_ever++;
	if (w->records_len < WORLD_RECORDS)
		w->records[w->records_len++] = (struct world_record){
			.status = record->status,
			.cause = record->cause,
			.attempts = record->attempts,
			.bytes_in = record->bytes_in,
			.bytes_out = record->bytes_out,
			.at_ns = w->shard.now_ns,
		};
	if (getenv("RINGWAY_SIM_LOG"))
		fprintf(stderr, "# %.6f %.*s %.*s: %u %s, in %llu, out %llu, attempts %u\n",
			(double)w->shard.now_ns / 1e9, SPAN_FMT(record->method),
			SPAN_FMT(record->path), record->status, access_cause_text(record->cause),
			(unsigned long long)record->bytes_in, (unsigned long long)record->bytes_out,
			record->attempts);
	return true;
}

struct fake_plan world_calm_plan(void)
{
	return (struct fake_plan){.seed = 1, .sockets = 4096, .window_most = 1};
}

struct snapshot *world_snapshot(struct world *w, const char *text)
{
	static uint64_t generation;
	struct config_report report;
	struct config *config = NULL;
	struct snapshot *s = NULL;

	if (config_load_text(NULL, span_str(text), &config, &report) != 0)
		config_report_print(&report, stderr, false);
	config_report_fini(&report);
	assert_non_null(config);
	assert_int_equal(snapshot_create(config, NULL, &w->common, ++generation, 1, &s), 0);
	return s;
}

static void on_unused(struct front *f, struct snapshot *s)
{
	struct world *w = f->owner;

	assert_in_range(w->unused_len, 0, ARRAY_LEN(w->unused) - 1);
	w->unused[w->unused_len++] = s;
}

static void on_drained(struct front *f)
{
	((struct world *)f->owner)->drained++;
}

void world_begin(struct world *w, const struct world_options *o)
{
	const struct metrics_size metrics_size = {.shards = 1, .routes = 16, .endpoints = 16};
	struct front_limits limits = o->limits;

	memset(w, 0, sizeof(*w));
	current = w;
	if (!limits.clients)
		limits.clients = 64;
	if (!limits.upstreams)
		limits.upstreams = 128;
	if (!limits.upstreams_idle)
		limits.upstreams_idle = 32;
	limits.listeners = 1;
	assert_int_equal(registry_init(&w->registry), 0);
	w->metrics_memory = aligned_alloc(METRICS_PAGE, metrics_bytes(&metrics_size));
	assert_non_null(w->metrics_memory);
	memset(w->metrics_memory, 0, metrics_bytes(&metrics_size));
	assert_int_equal(metrics_create(&metrics_size, w->metrics_memory, "sim", "", 1,
					&w->metrics), 0);
	w->shared.metrics = w->metrics;
	w->common = (struct snapshot_common){.registry = &w->registry, .metrics = w->metrics};
	assert_int_equal(shard_init(&w->shard, 0, o->blocks ? o->blocks : 1024, 1), 0);
	assert_int_equal(fake_ring_create(&w->shard.blocks, &o->plan, &w->ring), 0);
	shard_open(&w->shard, w->ring, fake_now(w->ring));
	w->snapshot = world_snapshot(w, o->config);
	gate_init(&w->shared.gate, w->snapshot->config->max_connections);
	w->shared.shards = 1;
	/* Not NULL, or nothing would be logged; see __wrap_access_log_put(). */
	w->shared.access_log = (struct access_log *)w;
	assert_int_equal(front_init(&w->front, &w->shard, &w->shared, &limits, w->snapshot), 0);
	w->front.owner = w;
	w->front.on_snapshot_unused = on_unused;
	w->front.on_drained = on_drained;
	for (uint32_t i = 0; i < w->registry.endpoints_len; i++)
		if (w->registry.endpoints[i].address.len)
			upstreams_set_addresses(&w->front.upstreams, i,
						&w->registry.endpoints[i].address, 1,
						w->registry.endpoints[i].port);
	w->blocks_at_start = w->shard.blocks.in_use;
	w->listen_fd = fake_listen(w->ring);
	assert_int_equal(front_listen(&w->front, w->listen_fd, &front_proxy_site, 0,
				      (struct greeting_rules){0}), 0);
}

static void turn(struct world *w, uint64_t until_ns)
{
	shard_turn(&w->shard, until_ns);
	assert_in_range(w->front.clients_open, 0, w->front.clients_len);
	assert_in_range(w->front.exchanges_open, 0, w->front.clients_open + w->front.clients_len);
	assert_in_range(w->front.upstreams.idle, 0, w->front.upstreams.open);
}

void world_until(struct world *w, bool (*holds)(void *arg), void *arg, uint64_t within_ns)
{
	uint64_t until_ns = w->shard.now_ns + within_ns;

	while (!holds(arg)) {
		if (w->shard.now_ns >= until_ns)
			fail_msg("what was waited for did not come: clients %u, exchanges %u, "
				 "upstreams %u of which idle %u, blocks %u",
				 w->front.clients_open, w->front.exchanges_open,
				 w->front.upstreams.open, w->front.upstreams.idle,
				 w->shard.blocks.in_use);
		turn(w, until_ns);
	}
}

void world_pass(struct world *w, uint64_t ns)
{
	uint64_t until_ns = w->shard.now_ns + ns;

	while (w->shard.now_ns < until_ns)
		turn(w, until_ns);
}

static bool is_quiet(void *arg)
{
	struct world *w = arg;

	return !w->front.clients_open && !w->front.exchanges_open && !w->front.upstreams.open;
}

static bool is_drained(void *arg)
{
	return ((struct world *)arg)->drained;
}

/* Everything has ended: what was counted adds up. */
static void check_counters(struct world *w)
{
	uint64_t requests = 0, attempts = 0, conns = 0, failed = 0;
	struct histogram_reading durations;
	const struct metrics_block *b;
	struct metrics_view view;

	metrics_view(w->metrics, &view);
	b = metrics_block_of(&view, 0);
	histogram_reading_init(&durations, HISTOGRAM_TIMES);
	for (uint32_t i = 0; i < metrics_routes_len(&view); i++) {
		const struct metrics_route *r = metrics_route_of(&view, 0, i);

		for (int m = 0; m < METRICS_METHODS; m++)
			for (int s = 0; s < METRICS_STATUSES; s++)
				requests += counter_get(&r->requests[m][s]);
		histogram_read_times(&durations, &r->duration_us);
	}
	for (uint32_t i = 0; i < metrics_endpoints_len(&view); i++) {
		const struct metrics_endpoint *e = metrics_endpoint_of(&view, 0, i);

		assert_int_equal(counter_get(&e->attempts_now), 0);
		attempts += counter_get(&e->attempts);
		conns += counter_get(&e->connects) + counter_get(&e->reused);
		failed += counter_get(&e->failed);
	}
	assert_int_equal(counter_get(&b->requests), w->records_ever);
	assert_int_equal(counter_get(&b->log_records), w->records_ever);
	assert_int_equal(requests, w->records_ever);
	assert_int_equal(durations.count, w->records_ever);
	assert_int_equal(counter_get(&b->attempts), attempts);
	assert_int_equal(counter_get(&b->connects) + counter_get(&b->reused), conns);
	assert_in_range(conns, 0, attempts);
	assert_in_range(failed, 0, attempts);
	assert_int_equal(counter_get(&b->requests_now), 0);
	assert_int_equal(counter_get(&b->connections), 0);
	assert_int_equal(counter_get(&b->upstreams), 0);
	assert_int_equal(counter_get(&b->upstreams_idle), 0);
	assert_int_equal(counter_get(&b->turns), w->shard.turns);
}

void world_finish(struct world *w)
{
	front_close_all(&w->front);
	world_until(w, is_quiet, w, 60 * NS_PER_S);
	assert_int_equal(w->front.upstreams.idle, 0);
	assert_int_equal(w->shard.blocks.in_use, w->blocks_at_start);
	front_drain(&w->front);
	/* Who was still to be accepted is served by a drain, too. */
	front_close_all(&w->front);
	world_until(w, is_drained, w, 200 * NS_PER_S);
	front_close_all(&w->front);
	world_until(w, is_quiet, w, 200 * NS_PER_S);
	assert_int_equal(w->drained, 1);
	assert_int_equal(fake_open(w->ring), 0);
	assert_int_equal(atomic_load(&w->shared.gate.inside), 0);
	assert_int_equal(w->shard.blocks.in_use, w->blocks_at_start);
	assert_int_equal(w->snapshot->refs[0].count, 0);
	check_counters(w);
	world_abandon(w);
}

void world_abandon(struct world *w)
{
	if (!w->ring)
		return;
	front_fini(&w->front);
	shard_fini(&w->shard);
	w->ring = NULL;
	for (unsigned i = 0; i < w->unused_len; i++)
		snapshot_destroy(w->unused[i]);
	snapshot_destroy(w->front.snapshot);
	registry_fini(&w->registry);
	metrics_destroy(w->metrics);
	free(w->metrics_memory);
}

/* ---- talks ---- */

static void on_talk_bytes(struct fake_peer *p, struct span bytes)
{
	struct talk *t = p->mine;

	if (!t->in)
		return;
	if (!t->in_len)
		t->first_ns = fake_now(t->w->ring);
	t->last_ns = fake_now(t->w->ring);
	assert_in_range(t->in_len + bytes.len, 0, TALK_BYTES - 1);
	memcpy(t->in + t->in_len, bytes.ptr, bytes.len);
	t->in_len += bytes.len;
	t->in[t->in_len] = '\0';
}

static void on_talk_end(struct fake_peer *p, int err)
{
	struct talk *t = p->mine;

	t->ended = true;
	t->end_error = err;
	t->ended_ns = fake_now(t->w->ring);
}

static void talk_begin(struct talk *t, struct world *w)
{
	*t = (struct talk){.w = w, .in = malloc(TALK_BYTES)};
	assert_non_null(t->in);
	t->in[0] = '\0';
}

void talk_dial(struct world *w, struct talk *t)
{
	static const struct fake_script script = {.on_bytes = on_talk_bytes, .on_end = on_talk_end};

	talk_begin(t, w);
	t->peer = fake_dial(w->ring, w->listen_fd, NULL, &script, t);
	fake_window(t->peer, 65536);
}

static int on_talk_connect(void *mine, uint64_t *ret_delay_ns)
{
	struct talk_origin *o = mine;

	o->asked++;
	*ret_delay_ns = o->delay_ns;
	return o->verdict;
}

static void on_talk_open(struct fake_peer *p)
{
	struct talk_origin *o = p->mine;
	struct talk *t = &o->talks[o->talks_len++];

	assert_in_range(o->talks_len, 1, TALKS);
	talk_begin(t, o->w);
	t->peer = p;
	p->mine = t;
	fake_window(p, 65536);
}

static void on_origin_talk_end(struct fake_peer *p, int err)
{
	/* A connect that failed has no talk. */
	if (err != -ECONNREFUSED)
		on_talk_end(p, err);
}

void talk_origin_open(struct world *w, const char *ip, uint16_t port, struct talk_origin *o)
{
	static const struct fake_script script = {
		.on_connect = on_talk_connect,
		.on_open = on_talk_open,
		.on_bytes = on_talk_bytes,
		.on_end = on_origin_talk_end,
	};
	struct address at;

	memset(o, 0, sizeof(*o));
	o->w = w;
	assert_true(address_from_ip(span_str(ip), port, &at));
	fake_origin(w->ring, &at, &script, o);
}

void talk_fini(struct talk *t)
{
	free(t->in);
	t->in = NULL;
}

void talk_origin_fini(struct talk_origin *o)
{
	for (unsigned i = 0; i < o->talks_len; i++)
		talk_fini(&o->talks[i]);
}

void talk_write(struct talk *t, const char *text)
{
	fake_write(t->peer, span_str(text));
}

unsigned talk_count(const struct talk *t, const char *text)
{
	unsigned count = 0;

	for (const char *at = strstr(t->in, text); at; at = strstr(at + 1, text))
		count++;
	return count;
}

struct awaited {
	const struct talk *talk;
	const char *text;
	const struct talk_origin *origin;
	unsigned talks;
};

static bool has_come(void *arg)
{
	const struct awaited *a = arg;

	return strstr(a->talk->in, a->text);
}

void talk_expect(struct talk *t, const char *text, uint64_t within_ns)
{
	struct awaited a = {.talk = t, .text = text};

	world_until(t->w, has_come, &a, within_ns);
}

static bool has_ended(void *arg)
{
	return ((struct talk *)arg)->ended;
}

void talk_expect_end(struct talk *t, uint64_t within_ns)
{
	world_until(t->w, has_ended, t, within_ns);
}

void talk_clear(struct talk *t)
{
	t->in_len = 0;
	t->in[0] = '\0';
}

static bool has_talks(void *arg)
{
	const struct awaited *a = arg;

	return a->origin->talks_len >= a->talks;
}

struct talk *talk_origin_expect(struct talk_origin *o, unsigned talks, uint64_t within_ns)
{
	struct awaited a = {.origin = o, .talks = talks};

	world_until(o->w, has_talks, &a, within_ns);
	return &o->talks[talks - 1];
}
