#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exposition.h"

#define TEXT_ROOM 64 /* small, so that it has to grow */

static struct span text_of(const struct exposition_text *t)
{
	assert_false(t->failed);
	return exposition_span(t);
}

static void assert_text(struct exposition_text *t, const char *expected)
{
	struct span s = text_of(t);
	char *copy = strndup(s.ptr, s.len);

	assert_string_equal(copy, expected);
	free(copy);
}

/* ---- heads ---- */

static void a_family_begins_with_its_name_type_and_unit(void **state UNUSED)
{
	static const struct {
		struct exposition_family family;
		const char *prometheus, *openmetrics;
	} cases[] = {
		{{"a_total", EXPOSITION_COUNTER, "Help."},
		 "# HELP a_total Help.\n# TYPE a_total counter\n",
		 "# HELP a Help.\n# TYPE a counter\n"},
		{{"a_seconds_total", EXPOSITION_COUNTER, "Help."},
		 "# HELP a_seconds_total Help.\n# TYPE a_seconds_total counter\n",
		 "# HELP a_seconds Help.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n"},
		{{"a_bytes", EXPOSITION_HISTOGRAM, "Help."},
		 "# HELP a_bytes Help.\n# TYPE a_bytes histogram\n",
		 "# HELP a_bytes Help.\n# TYPE a_bytes histogram\n# UNIT a_bytes bytes\n"},
		{{"a_ratio", EXPOSITION_GAUGE, "Help."},
		 "# HELP a_ratio Help.\n# TYPE a_ratio gauge\n",
		 "# HELP a_ratio Help.\n# TYPE a_ratio gauge\n# UNIT a_ratio ratio\n"},
		{{"a_info", EXPOSITION_INFO, "Help."},
		 "# HELP a_info Help.\n# TYPE a_info gauge\n",
		 "# HELP a Help.\n# TYPE a info\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int f = EXPOSITION_PROMETHEUS; f <= EXPOSITION_OPENMETRICS; f++) {
			struct exposition_text t;

			exposition_text_init(&t, (enum exposition_format)f, TEXT_ROOM);
			exposition_head(&t, &cases[i].family);
			assert_text(&t, f == EXPOSITION_PROMETHEUS ? cases[i].prometheus
								   : cases[i].openmetrics);
			exposition_text_fini(&t);
		}
}

static void only_openmetrics_says_where_it_ends(void **state UNUSED)
{
	struct exposition_text t;

	exposition_text_init(&t, EXPOSITION_OPENMETRICS, TEXT_ROOM);
	exposition_end(&t);
	assert_text(&t, "# EOF\n");
	exposition_text_fini(&t);
	exposition_text_init(&t, EXPOSITION_PROMETHEUS, TEXT_ROOM);
	exposition_end(&t);
	assert_int_equal(t.len, 0);
	exposition_text_fini(&t);
}

/* ---- numbers ---- */

static void numbers_are_exact(void **state UNUSED)
{
	static const struct {
		struct exposition_number number;
		const char *line;
	} cases[] = {
		{{0, 0}, "a 0\n"},
		{{18446744073709551615U, 0}, "a 18446744073709551615\n"},
		{{0, 9}, "a 0\n"},
		{{1, 9}, "a 0.000000001\n"},
		{{18446744073709551615U, 9}, "a 18446744073.709551615\n"},
		{{1500000, 6}, "a 1.5\n"},
		{{2000000, 6}, "a 2\n"},
		{{10000001, 6}, "a 10.000001\n"},
		{{1010, 3}, "a 1.01\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct exposition_text t;

		exposition_text_init(&t, EXPOSITION_PROMETHEUS, TEXT_ROOM);
		exposition_sample(&t, "a", SPAN_NONE, cases[i].number);
		assert_text(&t, cases[i].line);
		exposition_text_fini(&t);
	}
}

/* ---- labels ---- */

static void values_of_labels_are_escaped_and_utf8(void **state UNUSED)
{
	static const struct {
		const char *value, *label;
	} cases[] = {
		{"", "a=\"\""},
		{"plain /path{x}", "a=\"plain /path{x}\""},
		{"a\\b\"c\nd\re", "a=\"a\\\\b\\\"c\\nd\re\""},
		{"\"\"", "a=\"\\\"\\\"\""},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		 "a=\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"\xff", "a=\"\xef\xbf\xbd\""},
		{"x\xc3", "a=\"x\xef\xbf\xbd\""},                 /* cut */
		{"x\xe2\x82", "a=\"x\xef\xbf\xbd\xef\xbf\xbd\""}, /* cut */
		{"\xc0\xaf", "a=\"\xef\xbf\xbd\xef\xbf\xbd\""},   /* too long a form */
		{"\xe0\x80\xaf", "a=\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xed\xa0\x80", "a=\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
		{"\xf4\x90\x80\x80", "a=\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xc3\"", "a=\"\xef\xbf\xbd\\\"\""}, /* the quote is not swallowed */
		{"\xe2\x82\"x", "a=\"\xef\xbf\xbd\xef\xbf\xbd\\\"x\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct exposition_text t;

		exposition_text_init(&t, EXPOSITION_PROMETHEUS, TEXT_ROOM);
		exposition_label(&t, "a", cases[i].value);
		assert_text(&t, cases[i].label);
		exposition_text_fini(&t);
	}
}

static void labels_stand_between_braces_with_commas(void **state UNUSED)
{
	struct exposition_text t, labels;

	exposition_text_init(&t, EXPOSITION_PROMETHEUS, TEXT_ROOM);
	exposition_text_init(&labels, EXPOSITION_PROMETHEUS, TEXT_ROOM);
	exposition_label(&labels, "a", "x");
	exposition_label_number(&labels, "b", 12);
	exposition_sample(&t, "m", exposition_span(&labels), (struct exposition_number){3});
	assert_text(&t, "m{a=\"x\",b=\"12\"} 3\n");
	exposition_text_fini(&labels);
	exposition_text_fini(&t);
}

/* ---- histograms ---- */

static void buckets_are_cumulative_and_their_bounds_are_the_histograms_own(void **state UNUSED)
{
	static const uint64_t bounds[] = {96, 256};
	struct histogram_times h = {0};
	struct histogram_reading r;
	struct exposition_text t;

	/* On a bound, above it, far above all. */
	histogram_add_time(&h, 96);
	histogram_add_time(&h, 97);
	histogram_add_time(&h, 256);
	histogram_add_time(&h, 257);
	histogram_add_time(&h, 99 * 1000000UL);
	histogram_reading_init(&r, HISTOGRAM_TIMES);
	histogram_read_times(&r, &h);
	exposition_text_init(&t, EXPOSITION_PROMETHEUS, TEXT_ROOM);
	exposition_histogram(&t, "h", SPAN("a=\"b\""), &r, bounds, ARRAY_LEN(bounds), 6);
	assert_text(&t, "h_bucket{a=\"b\",le=\"0.000096\"} 1\n"
			"h_bucket{a=\"b\",le=\"0.000256\"} 3\n"
			"h_bucket{a=\"b\",le=\"+Inf\"} 5\n"
			"h_count{a=\"b\"} 5\n"
			"h_sum{a=\"b\"} 99.000706\n");
	exposition_text_fini(&t);
}

static void whole_bounds_have_a_point(void **state UNUSED)
{
	static const uint64_t bounds[] = {64};
	struct histogram_reading r;
	struct exposition_text t;

	histogram_reading_init(&r, HISTOGRAM_SIZES);
	exposition_text_init(&t, EXPOSITION_OPENMETRICS, TEXT_ROOM);
	exposition_histogram(&t, "h", SPAN_NONE, &r, bounds, ARRAY_LEN(bounds), 0);
	assert_text(&t, "h_bucket{le=\"64.0\"} 0\nh_bucket{le=\"+Inf\"} 0\nh_count 0\nh_sum 0\n");
	exposition_text_fini(&t);
}

/* ---- the whole ---- */

struct world {
	struct metrics_size size;
	void *memory;
	struct metrics *metrics;
	uint64_t *cpu_ns;
	struct exposition_sources from;
};

static void world_init(struct world *w, uint32_t shards, uint32_t routes)
{
	size_t bytes;

	*w = (struct world){
		.size = {.shards = shards, .routes = routes, .endpoints = 2, .limits = 2}};
	bytes = metrics_bytes(&w->size);
	w->memory = aligned_alloc(METRICS_PAGE, bytes);
	assert_non_null(w->memory);
	memset(w->memory, 0, bytes);
	assert_int_equal(
		metrics_create(&w->size, w->memory, "edge \"1\"", "0.1", 5000000, &w->metrics), 0);
	w->cpu_ns = calloc(shards + 1, sizeof(*w->cpu_ns));
	metrics_view(w->metrics, &w->from.view);
	w->from.wolfssl = "5.9";
	w->from.cpu_ns = w->cpu_ns;
	w->from.imbalance_milli = 1000;
	w->from.now_ns = 10 * NS_PER_S;
	w->from.now_unix_us = 7000000;
}

static void world_fini(struct world *w)
{
	metrics_destroy(w->metrics);
	free(w->memory);
	free(w->cpu_ns);
}

static char *tell(struct world *w, enum exposition_format format)
{
	struct exposition_text t;
	char *all;

	assert_int_equal(exposition_write(&w->from, format, TEXT_ROOM, &t), 0);
	assert_memory_equal(t.at + t.len - 1, "\n", 1);
	all = strndup(t.at, t.len);
	assert_int_equal(strlen(all), t.len);
	exposition_text_fini(&t);
	return all;
}

static void assert_line(const char *text, const char *line)
{
	size_t len = strlen(line);

	for (const char *at = text; (at = strstr(at, line)); at++)
		if ((at == text || at[-1] == '\n') && at[len] == '\n')
			return;
	fail_msg("no line `%s` in\n%s", line, text);
}

static void assert_no_line_with(const char *text, const char *part)
{
	const char *at = strstr(text, part);

	if (at)
		fail_msg("there is `%s`: %.80s", part, at);
}

static void what_shards_counted_is_added_up(void **state UNUSED)
{
	struct access_record ok = {
		.status = 204, .bytes_in = 100, .bytes_out = 1000, .first_byte_us = 90};
	struct access_record bad = {.status = 502, .cause = ACCESS_UPSTREAM_RESET};
	struct world w;
	uint32_t route;
	char *text;

	world_init(&w, 2, 4);
	route = metrics_route(w.metrics, "shop", "cart");
	metrics_count_request(metrics_shard(w.metrics, 0), route, METRICS_READ, &ok, 200, true);
	metrics_count_request(metrics_shard(w.metrics, 1), route, METRICS_READ, &ok, 300, true);
	metrics_count_request(metrics_shard(w.metrics, 1), route, METRICS_WRITE, &bad, 3000000,
			      false);
	counter_set(&metrics_shard(w.metrics, 2)->block->turns, 77);
	text = tell(&w, EXPOSITION_PROMETHEUS);
#define CART "service=\"shop\",route=\"cart\""
	assert_line(text, "ringway_requests_total{" CART
			  ",method_class=\"read\",status_class=\"2xx\"} 2");
	assert_line(text, "ringway_requests_total{" CART
			  ",method_class=\"write\",status_class=\"5xx\"} 1");
	assert_line(text, "ringway_request_duration_seconds_bucket{" CART ",le=\"0.000256\"} 1");
	assert_line(text, "ringway_request_duration_seconds_bucket{" CART ",le=\"0.000512\"} 2");
	assert_line(text, "ringway_request_duration_seconds_count{" CART "} 3");
	assert_line(text, "ringway_request_duration_seconds_sum{" CART "} 3.0005");
	assert_line(text, "ringway_upstream_first_byte_seconds_count{" CART "} 2");
	assert_line(text, "ringway_response_sent_bytes_total{" CART "} 2000");
	assert_line(text, "ringway_request_errors_total{cause=\"upstream_reset\"} 1");
	assert_line(text, "ringway_shard_requests_total{shard=\"1\"} 2");
	assert_line(text, "ringway_shard_turns_total{shard=\"control\"} 77");
	assert_line(text, "process_start_time_seconds 5");
	assert_line(text, "ringway_uptime_seconds 2");
	assert_line(text, "ringway_build_info{version=\"0.1\",wolfssl=\"5.9\","
			  "instance_name=\"edge \\\"1\\\"\"} 1");
	free(text);
	world_fini(&w);
}

static void a_route_without_requests_is_silent_and_one_too_many_is_overflow(void **state UNUSED)
{
	struct access_record ok = {.status = 200};
	struct world w;
	char *text;

	world_init(&w, 1, 1);
	metrics_route(w.metrics, "a", "first");
	metrics_count_request(metrics_shard(w.metrics, 0), metrics_route(w.metrics, "a", "second"),
			      METRICS_READ, &ok, 1, false);
	text = tell(&w, EXPOSITION_PROMETHEUS);
	assert_no_line_with(text, "route=\"first\"");
	assert_line(text, "ringway_requests_total{service=\"\",route=\"__overflow__\","
			  "method_class=\"read\",status_class=\"2xx\"} 1");
	assert_line(text, "ringway_label_overflow_total{label=\"route\"} 1");
	free(text);
	world_fini(&w);
}

static void tokens_are_stranded_when_their_shard_is_late(void **state UNUSED)
{
	struct world w;
	char *text;

	world_init(&w, 3, 0);
	for (unsigned i = 0; i < 3; i++)
		counter_set(&metrics_shard(w.metrics, i)->block->limiter.out_on_lease, 10 + i);
	/* In time, late, and without leases that would want upkeep. */
	counter_set(&metrics_shard(w.metrics, 0)->block->limiter.upkeep_ns,
		    w.from.now_ns - 100 * NS_PER_MS);
	counter_set(&metrics_shard(w.metrics, 1)->block->limiter.upkeep_ns,
		    w.from.now_ns - 100 * NS_PER_MS - 1);
	text = tell(&w, EXPOSITION_PROMETHEUS);
	assert_line(text, "ringway_limiter_tokens_on_lease{shard=\"2\"} 12");
	assert_line(text, "ringway_limiter_lease_lag_seconds{shard=\"0\"} 0.1");
	assert_line(text, "ringway_limiter_lease_lag_seconds{shard=\"2\"} 0");
	assert_line(text, "ringway_limiter_stranded_tokens 11");
	free(text);
	world_fini(&w);
}

static void limits_are_told_by_name(void **state UNUSED)
{
	struct metrics_shard *s;
	struct world w;
	char *text;

	world_init(&w, 1, 0);
	s = metrics_shard(w.metrics, 0);
	uint32_t limit = metrics_limit(w.metrics, "per client");
	metrics_count_limit(s, limit, METRICS_ADMITTED, false, 0);
	metrics_count_limit(s, limit, METRICS_REFUSED, true, 400 * NS_PER_US);
	text = tell(&w, EXPOSITION_PROMETHEUS);
	assert_line(text,
		    "ringway_limit_decisions_total{limit=\"per client\",outcome=\"admitted\"} 1");
	assert_line(text,
		    "ringway_limit_decisions_total{limit=\"per client\",outcome=\"refused\"} 1");
	assert_line(text,
		    "ringway_limit_decisions_total{limit=\"per client\",outcome=\"no_room\"} 0");
	assert_line(text, "ringway_limit_coarse_decisions_total{limit=\"per client\"} 1");
	assert_line(text, "ringway_limit_wait_seconds_bucket{le=\"0.000256\"} 0");
	assert_line(text, "ringway_limit_wait_seconds_bucket{le=\"0.000512\"} 1");
	assert_no_line_with(text, "__overflow__\",outcome");
	free(text);
	world_fini(&w);
}

static int count_lines(const char *text, const char *begin)
{
	int n = 0;

	for (const char *at = text; (at = strstr(at, begin)); at++)
		n += at == text || at[-1] == '\n';
	return n;
}

static void each_family_has_one_head_and_good_words(void **state UNUSED)
{
	struct world w;
	char *text, *line, *save;
	int heads = 0;

	world_init(&w, 2, 1);
	text = tell(&w, EXPOSITION_OPENMETRICS);
	assert_string_equal(text + strlen(text) - strlen("# EOF\n"), "# EOF\n");
	char *copy = strdup(text);
	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char head[256];
		size_t len;

		if (strncmp(line, "# HELP ", 7) != 0)
			continue;
		heads++;
		len = 7 + strcspn(line + 7, " ") + 1;
		snprintf(head, sizeof(head), "%.*s", (int)len, line);
		assert_int_equal(count_lines(text, head), 1);
		assert_null(strpbrk(line, "\\\""));
		assert_int_equal(line[strlen(line) - 1], '.');
	}
	assert_true(heads > 60);
	free(copy);
	free(text);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_family_begins_with_its_name_type_and_unit),
		cmocka_unit_test(only_openmetrics_says_where_it_ends),
		cmocka_unit_test(numbers_are_exact),
		cmocka_unit_test(values_of_labels_are_escaped_and_utf8),
		cmocka_unit_test(labels_stand_between_braces_with_commas),
		cmocka_unit_test(buckets_are_cumulative_and_their_bounds_are_the_histograms_own),
		cmocka_unit_test(whole_bounds_have_a_point),
		cmocka_unit_test(what_shards_counted_is_added_up),
		cmocka_unit_test(a_route_without_requests_is_silent_and_one_too_many_is_overflow),
		cmocka_unit_test(tokens_are_stranded_when_their_shard_is_late),
		cmocka_unit_test(limits_are_told_by_name),
		cmocka_unit_test(each_family_has_one_head_and_good_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
