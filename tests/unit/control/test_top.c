#include "top_json.h"
#include "top_source.h"
#include "top_text.h"
#include "top_view.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <setjmp.h>
#include <cmocka.h>

#define S NS_PER_S

/* A process that only counts, and one who looks at it. */
struct scene {
	void *memory;
	size_t bytes;
	struct metrics *metrics;
	struct metrics_view view;
	struct top_sample samples[2];
	unsigned newest;
	struct top_figures figures;
	struct top_notes notes;
	struct top_page page;
	uint64_t now_ns;
	uint32_t route, endpoint, limit;
};

#define STARTED_US 1000000000
#define TICKS      100

static void fill(struct metrics *m, struct scene *s)
{
	s->route = metrics_route(m, "shop", "orders");
	s->endpoint = metrics_endpoint(m, "shop", "http://10.0.0.1:9000");
	s->limit = metrics_limit(m, "per-client");
}

static struct scene *make(unsigned shards)
{
	const struct metrics_size size = {
		.shards = shards, .routes = 100, .endpoints = 100, .limits = 100};
	struct scene *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->bytes = metrics_bytes(&size);
	s->memory =
		mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(s->memory, MAP_FAILED);
	assert_int_equal(metrics_create(&size, s->memory, "edge", "0.1.0", STARTED_US, &s->metrics),
			 0);
	assert_int_equal(metrics_attach(s->memory, s->bytes, &s->view), METRICS_READABLE);
	fill(s->metrics, s);
	counter_set(&metrics_process(s->metrics)->connections_max, 10000);
	counter_set(&metrics_process(s->metrics)->generation, 4);
	for (unsigned i = 0; i < shards; i++) {
		counter_set(&metrics_shard(s->metrics, i)->block->cpu, i + 3);
		counter_set(&metrics_shard(s->metrics, i)->block->connections, 10);
	}
	s->now_ns = 100 * S;
	s->page.width = 80;
	return s;
}

static void drop(struct scene *s)
{
	top_page_fini(&s->page);
	top_figures_fini(&s->figures);
	top_sample_fini(&s->samples[0]);
	top_sample_fini(&s->samples[1]);
	metrics_destroy(s->metrics);
	munmap(s->memory, s->bytes);
	free(s);
}

static void take(struct scene *s)
{
	struct top_lengths lengths;

	top_lengths_read(&lengths, &s->view);
	assert_int_equal(top_sample_prepare(&s->samples[s->newest], &lengths), 0);
	assert_int_equal(top_figures_prepare(&s->figures, &s->samples[s->newest]), 0);
	top_sample_take(&s->samples[s->newest], &s->view, s->now_ns,
			STARTED_US + s->now_ns / NS_PER_US);
	top_figures_read_names(&s->figures, &s->view);
}

/* An interval is over. */
static void look(struct scene *s, uint64_t ns)
{
	s->newest = !s->newest;
	s->now_ns += ns;
	take(s);
	top_figures_compute(&s->figures, &s->samples[!s->newest], &s->samples[s->newest],
			    STARTED_US, TICKS);
	top_notes_update(&s->notes, &s->figures, TOP_UNEVEN_INTERVALS);
}

static void requests_to(struct scene *s, unsigned shard, uint32_t route, unsigned len,
			unsigned status, uint64_t us)
{
	const struct access_record record = {
		.status = (uint16_t)status, .bytes_in = 100, .bytes_out = 1000};

	for (unsigned i = 0; i < len; i++)
		metrics_count_request(metrics_shard(s->metrics, shard), route, METRICS_READ,
				      &record, us, false);
}

static void requests(struct scene *s, unsigned shard, unsigned len, unsigned status, uint64_t us)
{
	requests_to(s, shard, s->route, len, status, us);
}

static bool about(double is, double wanted)
{
	return is > wanted * 0.999 - 1e-9 && is < wanted * 1.001 + 1e-9;
}

static bool says(const struct scene *s, const char *words)
{
	for (unsigned i = 0; i < s->notes.len; i++)
		if (strstr(s->notes.texts[i], words))
			return true;
	return false;
}

/* ---- figures ---- */

static void figures_are_those_of_the_time_between_two_samples(void **state UNUSED)
{
	struct scene *s = make(2);
	const struct top_figures *f = &s->figures;
	const struct top_answers *a;

	requests(s, 0, 1000, 200, 5000000); /* long ago: must not show */
	take(s);
	requests(s, 0, 80, 200, 100);
	requests(s, 0, 10, 404, 100);
	requests(s, 1, 10, 503, 100000);
	look(s, 2 * S);
	assert_true(about(f->seconds, 2));
	assert_true(about(f->uptime_s, 102));
	assert_int_equal(f->all.requests, 100);
	assert_true(about(f->all.per_s, 50));
	assert_true(about(f->errors_per_s, 5));
	assert_true(f->all.p50_us > 50 && f->all.p50_us <= 112);
	assert_true(f->all.p99_us > 80000 && f->all.p99_us <= 114688);
	assert_int_equal(f->shards[0].requests, 90);
	assert_int_equal(f->shards[0].requests_total, 1090);
	assert_true(f->shards[0].p99_us <= 112);
	assert_true(f->shards[1].p50_us > 80000);
	assert_int_equal(f->shards[1].cpu, 3);
	assert_int_equal(f->connections, 20);
	assert_int_equal(f->connections_max, 10000);
	assert_int_equal(f->generation, 4);
	a = &f->routes[s->route];
	assert_true(about(a->share[METRICS_STATUS_2XX], 0.8));
	assert_true(about(a->share[METRICS_STATUS_4XX], 0.1));
	assert_true(about(a->share[METRICS_STATUS_5XX], 0.1));
	assert_true(about(a->out_per_s, 50000));
	assert_true(about(a->in_per_s, 5000));
	drop(s);
}

static void what_nobody_can_know_is_unknown(void **state UNUSED)
{
	struct scene *s = make(1);

	take(s);
	look(s, S);
	assert_true(s->figures.all.per_s == 0);
	assert_true(s->figures.all.p99_us < 0);
	assert_true(s->figures.shards[0].cpu_share < 0); /* nobody said what the thread used */
	assert_true(s->figures.shards[0].lease_lag_us < 0);
	assert_true(s->figures.endpoints[s->endpoint].reused_share < 0);
	assert_true(s->figures.limits[s->limit].refused_share < 0);
	drop(s);
}

static void shares_of_time_are_of_the_interval(void **state UNUSED)
{
	struct scene *s = make(1);
	struct metrics_block *b = metrics_shard(s->metrics, 0)->block;

	counter_set(&b->busy_ns, 7 * S);
	take(s);
	s->samples[s->newest].shards[0].has_ticks = true;
	s->samples[s->newest].shards[0].ticks = 1000;
	counter_add(&b->busy_ns, S / 2);
	s->newest = !s->newest;
	s->now_ns += 2 * S;
	take(s);
	s->samples[s->newest].shards[0].has_ticks = true;
	s->samples[s->newest].shards[0].ticks = 1120;
	top_figures_compute(&s->figures, &s->samples[!s->newest], &s->samples[s->newest],
			    STARTED_US, TICKS);
	assert_true(about(s->figures.shards[0].busy_share, 0.25));
	assert_true(about(s->figures.shards[0].cpu_share, 0.6));
	drop(s);
}

static void the_lease_lag_of_a_shard_that_hangs_grows(void **state UNUSED)
{
	struct scene *s = make(1);
	struct metrics_block *b = metrics_shard(s->metrics, 0)->block;

	counter_set(&b->limiter.upkeep_ns, s->now_ns - 5 * NS_PER_MS);
	counter_set(&b->now_ns, s->now_ns);
	take(s);
	look(s, S); /* its clock stands still */
	assert_true(about(s->figures.shards[0].lease_lag_us, 1005000));
	counter_set(&b->limiter.upkeep_ns, 0);
	look(s, S);
	assert_true(s->figures.shards[0].lease_lag_us < 0);
	drop(s);
}

static void a_route_that_a_reload_brought_counts_from_nothing(void **state UNUSED)
{
	struct scene *s = make(1);
	uint32_t route = 0;

	take(s);
	/* More than there was room for. */
	for (unsigned i = 0; i < 80; i++) {
		char name[16];

		snprintf(name, sizeof(name), "new-%u", i);
		route = metrics_route(s->metrics, "shop", name);
	}
	requests_to(s, 0, route, 30, 200, 100);
	look(s, S);
	assert_int_equal(s->figures.routes[route].requests, 30);
	assert_string_equal(s->figures.route_names[route].name, "new-79");
	assert_int_equal(s->figures.route_order[0], route);
	look(s, S);
	assert_int_equal(s->figures.routes[route].requests, 0);
	drop(s);
}

static void upstreams_and_limits(void **state UNUSED)
{
	struct scene *s = make(2);
	const struct top_endpoint_figures *e;
	const struct top_limit_figures *l;

	take(s);
	for (unsigned i = 0; i < 2; i++) {
		struct metrics_shard *m = metrics_shard(s->metrics, i);

		counter_add(&m->endpoints[s->endpoint].attempts, 50);
		counter_add(&m->endpoints[s->endpoint].connects, 10);
		counter_add(&m->endpoints[s->endpoint].reused, 30);
		counter_add(&m->endpoints[s->endpoint].failed, 2);
		counter_add(&m->endpoints[s->endpoint].answers, 40);
		counter_add(&m->endpoints[s->endpoint].first_byte_us, 40 * 250);
		counter_set(&m->block->upstreams, 7);
		counter_set(&m->block->upstreams_idle, 3);
		for (unsigned n = 0; n < 100; n++)
			metrics_count_limit(m, s->limit,
					    n < 75   ? METRICS_ADMITTED
					    : n < 95 ? METRICS_REFUSED
						     : METRICS_NO_ROOM,
					    false, NS_PER_MS);
		counter_set(&m->block->limiter.promoted, 5);
		counter_set(&m->block->limiter.demoted, 2);
		counter_set(&m->block->limiter.out_on_lease, 11);
	}
	/* One shard puts keys in that the other one evicts. */
	counter_set(&metrics_shard(s->metrics, 0)->block->limiter.inserted, 100);
	counter_set(&metrics_shard(s->metrics, 1)->block->limiter.evicted, 60);
	counter_set(&metrics_process(s->metrics)->limit_keys_max, 1000);
	counter_set(&metrics_process(s->metrics)->limit_windows_max, 200);
	look(s, S);
	e = &s->figures.endpoints[s->endpoint];
	assert_true(about(e->per_s, 100));
	assert_true(about(e->reused_share, 0.75));
	assert_true(about(e->failed_per_s, 4));
	assert_true(about(e->first_byte_us, 250));
	assert_int_equal(s->figures.upstreams, 14);
	assert_int_equal(s->figures.upstreams_idle, 6);
	l = &s->figures.limits[s->limit];
	assert_true(about(l->admitted_per_s, 150));
	assert_true(about(l->refused_per_s, 40));
	assert_true(about(l->no_room_per_s, 10));
	assert_true(about(l->refused_share, 0.25));
	assert_true(about(s->figures.shards[1].admitted_per_s, 75));
	assert_true(about(s->figures.shards[1].refused_per_s, 25));
	assert_int_equal(s->figures.keys_in_use, 40);
	assert_int_equal(s->figures.keys_max, 1200);
	assert_int_equal(s->figures.keys_leased, 6);
	assert_int_equal(s->figures.tokens_leased, 22);
	drop(s);
}

static void counters_that_fall_do_no_harm(void **state UNUSED)
{
	struct scene *s = make(2);

	requests(s, 0, 100, 200, 100);
	take(s);
	counter_set(&metrics_shard(s->metrics, 0)->block->requests, 3);
	counter_set(&metrics_shard(s->metrics, 0)->routes[s->route].requests[0][2], 1);
	look(s, S);
	assert_int_equal(s->figures.shards[0].requests, 0);
	assert_int_equal(s->figures.all.requests, 0);
	drop(s);
}

/* ---- notes ---- */

static void uneven(struct scene *s, unsigned first, unsigned second)
{
	requests(s, 0, first, 200, 100);
	requests(s, 1, second, 200, 100);
	look(s, S);
}

static void uneven_work_is_told_of_when_it_lasts(void **state UNUSED)
{
	struct scene *s = make(2);

	counter_set(&metrics_shard(s->metrics, 1)->block->connections, 40);
	take(s);
	uneven(s, 220, 780);
	uneven(s, 220, 780);
	assert_int_equal(s->notes.len, 0);
	assert_true(about(s->notes.max_over_mean, 1.56));
	uneven(s, 220, 780);
	assert_int_equal(s->notes.len, 1);
	assert_int_equal(s->notes.uneven_shard, 1);
	assert_true(says(s, "shard 1 does 78 % of the requests and holds 80 % of the connections"));
	/* The same requests on few connections are another reason. */
	counter_set(&metrics_shard(s->metrics, 1)->block->connections, 10);
	uneven(s, 220, 780);
	assert_true(says(s, "shard 1 does 78 % of the requests with 50 % of the connections"));
	uneven(s, 500, 500);
	assert_int_equal(s->notes.len, 0);
	uneven(s, 220, 780);
	assert_int_equal(s->notes.len, 0); /* counts from the beginning */
	drop(s);
}

static void a_handful_of_requests_is_not_uneven(void **state UNUSED)
{
	struct scene *s = make(2);

	take(s);
	for (unsigned i = 0; i < 10; i++)
		uneven(s, 0, 99);
	assert_int_equal(s->notes.len, 0);
	assert_true(s->notes.max_over_mean < 0);
	drop(s);
}

static void one_shard_is_never_uneven(void **state UNUSED)
{
	struct scene *s = make(1);

	take(s);
	for (unsigned i = 0; i < 5; i++) {
		requests(s, 0, 1000, 200, 100);
		look(s, S);
	}
	assert_int_equal(s->notes.len, 0);
	drop(s);
}

static void what_should_not_happen_is_told_while_it_happens(void **state UNUSED)
{
	struct scene *s = make(1);
	struct metrics_block *b = metrics_shard(s->metrics, 0)->block;

	take(s);
	counter_add(&b->log_dropped, 5);
	counter_add(&b->refused_full, 6);
	counter_add(&b->starved, 7);
	look(s, S);
	assert_true(says(s, "5 lines of the access log"));
	assert_true(says(s, "6 connections were closed because all 10000 were taken"));
	assert_true(says(s, "7 receives"));
	look(s, S);
	assert_int_equal(s->notes.len, 0);
	counter_add(&b->limiter.over_admitted, 1);
	look(s, S);
	look(s, S);
	assert_true(says(s, "1 tokens too many")); /* is told for ever */
	drop(s);
}

/* ---- lines ---- */

static void check_lines(const struct top_page *p, unsigned width)
{
	assert_false(p->short_of_memory);
	for (unsigned i = 0; i < p->len; i++) {
		const char *text = p->lines[i].text;

		assert_true(strlen(text) <= width);
		for (; *text; text++)
			assert_true(*text >= ' ' && *text <= '~');
	}
}

static void every_page_fits_the_screen(void **state UNUSED)
{
	static const unsigned shards[] = {1, 2, 64};
	static const unsigned widths[] = {20, 40, 79, 80, 132, 200};

	for (unsigned c = 0; c < ARRAY_LEN(shards) * ARRAY_LEN(widths); c++) {
		struct scene *s = make(shards[c / ARRAY_LEN(widths)]);

		take(s);
		requests(s, 0, 1000, 500, 17000000);
		look(s, S);
		for (unsigned v = 0; v < TOP_VIEWS; v++) {
			for (unsigned height = 1; height < 60; height++) {
				unsigned first = 0, rows;

				s->page.width = widths[c % ARRAY_LEN(widths)];
				top_page_fill_screen(&s->page, (enum top_view)v, &s->figures,
						     &s->notes, height, &first, &rows);
				check_lines(&s->page, s->page.width);
				if (height >= 12)
					assert_int_equal(s->page.len, height);
				assert_non_null(
					strstr(s->page.lines[s->page.len - 1].text, "s shards"));
			}
		}
		drop(s);
	}
}

/* A figure that is too wide for its column moves what is behind it. */
static void check_columns(const struct top_page *p)
{
	unsigned title = 0;

	while (p->lines[title].style != TOP_TITLE)
		title++;
	for (unsigned i = title + 1; i < p->len; i++)
		assert_int_equal(strlen(p->lines[i].text), strlen(p->lines[title].text));
}

/* Whatever is in the counters: a line is never wider, and columns stay where they are. */
static void no_figure_is_too_wide(void **state UNUSED)
{
	struct scene *s = make(2);

	metrics_route(s->metrics, "a service whose name is quite long, as the names of some are",
		      "and a route \033[2J\r\n\xc3\xa4\xff that nobody should call like this");
	metrics_endpoint(s->metrics, "service",
			 "https://an-upstream.of-a-long-name.example.com:8443");
	take(s);
	for (unsigned seed = 1; seed < 200; seed++) {
		uint64_t x = seed * 0x9e3779b97f4a7c15u;
		char *from = (char *)(uintptr_t)s->view.blocks;
		char *names = (char *)(uintptr_t)s->view.process;

		for (uint64_t *at = (uint64_t *)(void *)from;
		     (char *)at < (char *)s->memory + s->bytes; at++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			*at = seed == 1 ? UINT64_MAX : x >> (x % 64);
		}
		memset(names, (int)(seed * 37), sizeof(struct metrics_process));
		look(s, seed % 2 ? 1 : S);
		for (unsigned v = 0; v < TOP_VIEWS; v++) {
			json_t *json;
			char *text;

			s->page.width = 80;
			top_page_fill(&s->page, (enum top_view)v, &s->figures, &s->notes);
			check_lines(&s->page, 80);
			check_columns(&s->page);
			json = top_json(&s->figures, &s->notes);
			text = json_dumps(json, JSON_COMPACT);
			assert_non_null(text);
			free(text);
			json_decref(json);
		}
	}
	drop(s);
}

static void all_shards_are_on_some_page(void **state UNUSED)
{
	struct scene *s = make(64);
	bool seen[64] = {false};
	unsigned first = 0, rows, pages = 0;

	take(s);
	look(s, S);
	for (unsigned asked = 0; asked < 64; asked += rows, pages++) {
		first = asked;
		top_page_fill_screen(&s->page, TOP_SHARDS, &s->figures, &s->notes, 24, &first,
				     &rows);
		assert_int_equal(first, asked);
		for (unsigned i = 4; i + 1 < s->page.len; i++)
			if (s->page.lines[i].text[0])
				seen[atoi(s->page.lines[i].text)] = true;
	}
	for (unsigned i = 0; i < 64; i++)
		assert_true(seen[i]);
	assert_int_equal(pages, 4);
	assert_non_null(strstr(s->page.lines[23].text, "58-64 of 64"));
	/* Behind the last page is the last page. */
	first = 1000;
	top_page_fill_screen(&s->page, TOP_SHARDS, &s->figures, &s->notes, 24, &first, &rows);
	assert_int_equal(first, 57);
	drop(s);
}

static void two_shards_as_they_are_shown(void **state UNUSED)
{
	static const char *const wanted[] = {
		"edge  running, up 1 min 41 s, generation 4, 2 shards  ringway 0.1.0",
		"1.00k req/s   p50 104us   p99 112us   0 errors/s   50 of 10.0k connections",
		"",
		"SHARD  CPU  CPU%  REQ/S     P99  BUSY  CONNS  ACC/S  RING  LIM/S  REF/S     LAG",
		"   0     2     -    500   112us   25%     10      2    12      0      0       -",
		"   1     3     -    500   112us    0%     40      0     0      0      0       -",
	};
	struct scene *s = make(2);
	struct metrics_block *b = metrics_shard(s->metrics, 0)->block;

	counter_set(&metrics_shard(s->metrics, 1)->block->connections, 40);
	take(s);
	counter_set(&b->busy_ns, S / 4);
	counter_set(&b->accepted, 2);
	counter_set(&b->in_flight, 12);
	uneven(s, 500, 500);
	top_page_fill(&s->page, TOP_SHARDS, &s->figures, &s->notes);
	assert_int_equal(s->page.len, ARRAY_LEN(wanted));
	for (unsigned i = 0; i < s->page.len; i++)
		assert_string_equal(s->page.lines[i].text, wanted[i]);
	drop(s);
}

static void the_uneven_shard_is_marked_and_told_of(void **state UNUSED)
{
	struct scene *s = make(2);

	take(s);
	for (unsigned i = 0; i < TOP_UNEVEN_INTERVALS; i++)
		uneven(s, 10, 990);
	top_page_fill(&s->page, TOP_SHARDS, &s->figures, &s->notes);
	check_lines(&s->page, 80);
	assert_int_equal(s->page.lines[2].style, TOP_NOTE);
	assert_memory_equal(s->page.lines[2].text, "shard 1 does 99 %", 17);
	assert_int_equal(s->page.lines[3].style, TOP_NOTE); /* of two lines */
	assert_memory_equal(s->page.lines[s->page.len - 1].text, "   1*", 5);
	assert_memory_equal(s->page.lines[s->page.len - 2].text, "   0 ", 5);
	drop(s);
}

static void reserved_names_are_shown_when_they_count(void **state UNUSED)
{
	struct scene *s = make(1);

	take(s);
	look(s, S);
	assert_int_equal(s->figures.route_order_len, 1);
	assert_int_equal(s->figures.endpoint_order_len, 1);
	assert_int_equal(s->figures.limit_order_len, 1);
	requests_to(s, 0, METRICS_NO_ROUTE, 5, 404, 100);
	look(s, S);
	assert_int_equal(s->figures.route_order_len, 2);
	top_page_fill(&s->page, TOP_ROUTES, &s->figures, &s->notes);
	assert_memory_equal(s->page.lines[4].text, "(no route) ", 11);
	assert_memory_equal(s->page.lines[5].text, "shop/orders ", 12);
	drop(s);
}

static void numbers_have_three_digits(void **state UNUSED)
{
	static const struct {
		double n;
		const char *count, *time, *percent;
	} rows[] = {
		{-1, "-", "-", "-"},
		{0, "0", "0us", "0%"},
		{0.0004, "0", "0us", "<0.1%"},
		{0.004, "0", "0us", "0.4%"},
		{0.5, "0.5", "0us", "50%"},
		{1, "1", "1us", "100%"},
		{9.96, "10", "10us", "996%"},
		{412, "412", "412us", ">999%"},
		{999.4, "999", "999us", ">999%"},
		{999.6, "1.00k", "1.00ms", ">999%"},
		{1234, "1.23k", "1.23ms", ">999%"},
		{99960, "100k", "100ms", ">999%"},
		{999600, "1.00M", "1.00s", ">999%"},
		{12.3e6, "12.3M", "12.3s", ">999%"},
		{1e9, "1.00G", ">999s", ">999%"},
		{1.8e19, ">999P", ">999s", ">999%"},
	};
	char out[TOP_NUMBER_BYTES], uptime[32];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		top_count(out, rows[i].n);
		assert_string_equal(out, rows[i].count);
		top_time(out, rows[i].n);
		assert_string_equal(out, rows[i].time);
		top_percent(out, rows[i].n);
		assert_string_equal(out, rows[i].percent);
	}
	top_uptime(uptime, 11539);
	assert_string_equal(uptime, "3 h 12 min");
	top_uptime(uptime, 1e30);
	assert_true(strlen(uptime) < 20);
}

static void json_says_what_is_unknown(void **state UNUSED)
{
	struct scene *s = make(2);
	json_t *json, *shard;

	take(s);
	requests(s, 1, 10, 200, 100);
	look(s, S);
	json = top_json(&s->figures, &s->notes);
	assert_string_equal(json_string_value(json_object_get(json, "instance")), "edge");
	assert_int_equal(json_array_size(json_object_get(json, "shards")), 2);
	shard = json_array_get(json_object_get(json, "shards"), 0);
	assert_true(json_is_null(json_object_get(shard, "p99_us")));
	assert_true(json_is_null(json_object_get(shard, "cpu_share")));
	assert_int_equal(json_integer_value(json_object_get(shard, "cpu")), 2);
	shard = json_array_get(json_object_get(json, "shards"), 1);
	assert_int_equal(json_integer_value(json_object_get(shard, "requests")), 10);
	json_decref(json);
	drop(s);
}

/* ---- the file ---- */

/* A named segment with counters in it, as a process makes it. */
struct file {
	struct segment segment;
	struct metrics *metrics;
	char name[SEGMENT_NAME_BYTES], path[160];
};

static void create_file(struct file *f, const char *name)
{
	const struct metrics_size size = {.shards = 2, .routes = 4, .endpoints = 4, .limits = 4};

	snprintf(f->name, sizeof(f->name), "%s-%d", name, (int)getpid());
	snprintf(f->path, sizeof(f->path), SEGMENT_PATH "%s", f->name);
	assert_int_equal(segment_create_named(f->name, metrics_bytes(&size), &f->segment), 0);
	assert_int_equal(
		metrics_create(&size, f->segment.at, f->name, "0.1.0", STARTED_US, &f->metrics), 0);
	assert_int_equal(segment_publish(&f->segment), 0);
}

static void remove_file(struct file *f)
{
	metrics_destroy(f->metrics);
	segment_fini(&f->segment);
}

struct looker {
	struct top_source source;
	struct top_sample sample;
	struct top_figures figures;
	char error[TOP_ERROR_BYTES];
};

static enum top_reading read_file(struct looker *l)
{
	return top_source_read(&l->source, &l->sample, &l->figures);
}

static void close_looker(struct looker *l)
{
	top_source_close(&l->source);
	top_sample_fini(&l->sample);
	top_figures_fini(&l->figures);
}

static void a_process_is_read_until_it_ends(void **state UNUSED)
{
	struct looker l = {.error = ""};
	struct file f;

	create_file(&f, "test-top-life");
	counter_set(&metrics_shard(f.metrics, 1)->block->thread, (uint64_t)gettid());
	assert_true(top_source_open(&l.source, f.name, l.error));
	assert_int_equal(l.source.pid, getpid());
	counter_set(&metrics_shard(f.metrics, 1)->block->requests, 7);
	assert_int_equal(read_file(&l), TOP_READ);
	assert_int_equal(l.sample.shards[1].requests, 7);
	/* We are that process. */
	assert_false(l.sample.shards[0].has_ticks);
	assert_true(l.sample.shards[1].has_ticks);
	/* Without its name it is what it was. */
	assert_int_equal(unlink(f.path), 0);
	counter_set(&metrics_shard(f.metrics, 1)->block->requests, 8);
	assert_int_equal(read_file(&l), TOP_READ);
	assert_int_equal(l.sample.shards[1].requests, 8);
	remove_file(&f);
	assert_int_equal(read_file(&l), TOP_ENDED);
	close_looker(&l);
}

static void a_file_that_is_cut_ends_the_looking(void **state UNUSED)
{
	struct looker l = {.error = ""};
	struct file f;

	create_file(&f, "test-top-cut");
	assert_true(top_source_open(&l.source, f.name, l.error));
	assert_int_equal(read_file(&l), TOP_READ);
	for (off_t left = (off_t)f.segment.bytes - METRICS_PAGE; left >= 0; left -= METRICS_PAGE) {
		assert_int_equal(truncate(f.path, left), 0);
		assert_int_equal(read_file(&l), TOP_CUT);
	}
	close_looker(&l);
	/* And nobody begins to look at it. */
	assert_false(top_source_open(&l.source, f.name, l.error));
	assert_non_null(strstr(l.error, "not a whole one"));
	remove_file(&f);
}

static void another_layout_is_refused_politely(void **state UNUSED)
{
	struct looker l = {.error = ""};
	struct metrics_head *head;
	struct file f;

	create_file(&f, "test-top-layout");
	head = f.segment.at;
	head->layout++;
	assert_false(top_source_open(&l.source, f.name, l.error));
	assert_non_null(strstr(l.error, "was started by another version of ringway"));
	head->layout--;
	head->size.shards = 100000;
	assert_false(top_source_open(&l.source, f.name, l.error));
	assert_non_null(strstr(l.error, "do not fit together"));
	head->size.shards = 2;
	atomic_store(&head->magic, 1);
	assert_false(top_source_open(&l.source, f.name, l.error));
	assert_non_null(strstr(l.error, "not a segment of Ringway's"));
	remove_file(&f);
}

static void who_asks_for_nobody_is_told_who_runs(void **state UNUSED)
{
	struct looker l = {.error = ""};
	struct file f;

	create_file(&f, "test-top-here");
	assert_false(top_source_open(&l.source, "test-top-nobody", l.error));
	assert_non_null(strstr(l.error, "no instance `test-top-nobody` runs on this host"));
	assert_non_null(strstr(l.error, "runtime.metrics_memory"));
	assert_non_null(strstr(l.error, f.name));
	remove_file(&f);
	assert_false(top_source_open(&l.source, "test-top-nobody", l.error));
	assert_null(strstr(l.error, f.name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_are_those_of_the_time_between_two_samples),
		cmocka_unit_test(what_nobody_can_know_is_unknown),
		cmocka_unit_test(shares_of_time_are_of_the_interval),
		cmocka_unit_test(the_lease_lag_of_a_shard_that_hangs_grows),
		cmocka_unit_test(a_route_that_a_reload_brought_counts_from_nothing),
		cmocka_unit_test(upstreams_and_limits),
		cmocka_unit_test(counters_that_fall_do_no_harm),
		cmocka_unit_test(uneven_work_is_told_of_when_it_lasts),
		cmocka_unit_test(a_handful_of_requests_is_not_uneven),
		cmocka_unit_test(one_shard_is_never_uneven),
		cmocka_unit_test(what_should_not_happen_is_told_while_it_happens),
		cmocka_unit_test(every_page_fits_the_screen),
		cmocka_unit_test(no_figure_is_too_wide),
		cmocka_unit_test(all_shards_are_on_some_page),
		cmocka_unit_test(two_shards_as_they_are_shown),
		cmocka_unit_test(the_uneven_shard_is_marked_and_told_of),
		cmocka_unit_test(reserved_names_are_shown_when_they_count),
		cmocka_unit_test(numbers_have_three_digits),
		cmocka_unit_test(json_says_what_is_unknown),
		cmocka_unit_test(a_process_is_read_until_it_ends),
		cmocka_unit_test(a_file_that_is_cut_ends_the_looking),
		cmocka_unit_test(another_layout_is_refused_politely),
		cmocka_unit_test(who_asks_for_nobody_is_told_who_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
