#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ringway/observe/metrics.h>

static const struct metrics_size small = {.shards = 2, .routes = 3, .endpoints = 2, .limits = 2};

struct segment_of_test {
	char *memory;
	size_t bytes;
	struct metrics *metrics;
	struct metrics_view view;
};

static void begin(struct segment_of_test *s, const struct metrics_size *size)
{
	s->bytes = metrics_bytes(size);
	assert_true(s->bytes > 0 && s->bytes % METRICS_PAGE == 0);
	/* With a page behind it that nobody may read. */
	s->memory = mmap(NULL, s->bytes + METRICS_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(s->memory, MAP_FAILED);
	assert_int_equal(mprotect(s->memory, s->bytes, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(metrics_create(size, s->memory, "blue", "1.2.3", 77, &s->metrics), 0);
	assert_int_equal(metrics_attach(s->memory, s->bytes, &s->view), METRICS_READABLE);
}

static void end(struct segment_of_test *s)
{
	metrics_destroy(s->metrics);
	munmap(s->memory, s->bytes + METRICS_PAGE);
}

static void a_reader_finds_what_the_writer_wrote(void **state UNUSED)
{
	const struct access_record ok = {.status = 201, .bytes_in = 100, .bytes_out = 3000,
					 .first_byte_us = 250};
	const struct access_record lost = {.status = 0, .bytes_in = 10,
					   .cause = ACCESS_CLIENT_CLOSED};
	char instance[108], version[32];
	const struct metrics_route *r;
	const struct metrics_block *b;
	struct segment_of_test s;
	struct metrics_name name;
	uint32_t route;

	begin(&s, &small);
	route = metrics_route(s.metrics, "shop", "items");
	metrics_count_request(metrics_shard(s.metrics, 1), route, METRICS_WRITE, &ok, 300, true);
	metrics_count_request(metrics_shard(s.metrics, 1), METRICS_NO_ROUTE, METRICS_OTHER_METHOD,
			      &lost, 9, false);
	metrics_count_limit(metrics_shard(s.metrics, 0), 1, METRICS_REFUSED, true, 5000000);

	assert_int_equal(s.view.head->pid, getpid());
	assert_true(s.view.head->pid_started > 0);
	assert_int_equal(s.view.head->started_unix_us, 77);
	metrics_view_texts(&s.view, instance, version);
	assert_string_equal(instance, "blue");
	assert_string_equal(version, "1.2.3");
	assert_int_equal(metrics_routes_len(&s.view), 3);
	metrics_name_of(s.view.routes, route, &name);
	assert_string_equal(name.service, "shop");
	assert_string_equal(name.name, "items");
	metrics_name_of(s.view.routes, METRICS_OVERFLOW, &name);
	assert_string_equal(name.name, METRICS_OVERFLOW_TEXT);
	metrics_name_of(s.view.routes, METRICS_NO_ROUTE, &name);
	assert_string_equal(name.name, "");

	b = metrics_block_of(&s.view, 1);
	assert_int_equal(counter_get(&b->requests), 2);
	assert_int_equal(counter_get(&b->request_bytes.sum), 110);
	assert_int_equal(counter_get(&b->failed[ACCESS_CLIENT_CLOSED]), 1);
	assert_int_equal(counter_get(&b->failed[ACCESS_OK]), 0);
	assert_int_equal(counter_get(&metrics_block_of(&s.view, 0)->requests), 0);
	r = metrics_route_of(&s.view, 1, route);
	assert_int_equal(counter_get(&r->requests[METRICS_WRITE][METRICS_STATUS_2XX]), 1);
	assert_int_equal(counter_get(&r->bytes_out), 3000);
	assert_int_equal(counter_get(&r->duration_us.sum), 300);
	assert_int_equal(counter_get(&r->first_byte_us.sum), 250);
	r = metrics_route_of(&s.view, 1, METRICS_NO_ROUTE);
	assert_int_equal(counter_get(&r->requests[METRICS_OTHER_METHOD][METRICS_STATUS_NONE]), 1);
	assert_int_equal(counter_get(&r->first_byte_us.sum), 0);
	assert_int_equal(counter_get(&metrics_limit_of(&s.view, 0, 1)->refused), 1);
	assert_int_equal(counter_get(&metrics_limit_of(&s.view, 0, 1)->coarse), 1);
	assert_int_equal(counter_get(&metrics_block_of(&s.view, 0)->limits_wait_us.sum), 5000);
	end(&s);
}

static void names_keep_their_numbers_and_the_rest_overflows(void **state UNUSED)
{
	char long_name[METRICS_NAME_BYTES + 50];
	struct segment_of_test s;
	uint32_t first;

	memset(long_name, 'x', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	begin(&s, &small);
	first = metrics_route(s.metrics, "a", "bc");
	assert_int_equal(first, METRICS_NO_ROUTE + 1);
	assert_int_equal(metrics_route(s.metrics, "ab", "c"), first + 1);
	assert_int_equal(metrics_route(s.metrics, "s", long_name), first + 2);
	long_name[METRICS_NAME_BYTES + 10] = '\0';
	assert_int_equal(metrics_route(s.metrics, "s", long_name), first + 2);
	assert_int_equal(metrics_route(s.metrics, "s", "one too many"), METRICS_OVERFLOW);
	assert_int_equal(metrics_route(s.metrics, "a", "bc"), first);
	assert_int_equal(metrics_route(s.metrics, "", ""), METRICS_NO_ROUTE);
	assert_int_equal(counter_get(&s.view.routes->refused), 1);
	assert_int_equal(metrics_routes_len(&s.view), 5);

	assert_int_equal(metrics_endpoint(s.metrics, "a", "http://x"), 1);
	assert_int_equal(metrics_endpoint(s.metrics, "b", "http://x"), 2);
	assert_int_equal(metrics_endpoint(s.metrics, "c", "http://x"), METRICS_OVERFLOW);
	assert_int_equal(metrics_limit(s.metrics, "one"), 1);
	assert_int_equal(metrics_limit(s.metrics, "two"), 2);
	assert_int_equal(metrics_limit(s.metrics, "three"), METRICS_OVERFLOW);
	assert_int_equal(metrics_limit(s.metrics, "one"), 1);
	end(&s);
}

static bool overlap(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return (const char *)a < (const char *)b + b_len && (const char *)b < (const char *)a + a_len;
}

static void no_two_shards_write_to_the_same_line(void **state UNUSED)
{
	const struct metrics_size odd = {.shards = 3, .routes = 1, .endpoints = 0, .limits = 0};
	struct segment_of_test s;

	begin(&s, &odd);
	for (unsigned i = 0; i <= odd.shards; i++) {
		const struct metrics_shard *a = metrics_shard(s.metrics, i);

		assert_int_equal((uintptr_t)a->block % CACHE_LINE, 0);
		assert_true((char *)(a->block + 1) <= s.memory + s.bytes);
		if (i == odd.shards) {
			assert_null(a->routes);
			break;
		}
		assert_int_equal((uintptr_t)a->routes % CACHE_LINE, 0);
		assert_int_equal((uintptr_t)a->endpoints % CACHE_LINE, 0);
		assert_int_equal((uintptr_t)a->limits % CACHE_LINE, 0);
		assert_true((char *)(a->limits + 1) <= s.memory + s.bytes);
		for (unsigned j = 0; j < i; j++) {
			const struct metrics_shard *b = metrics_shard(s.metrics, j);

			assert_false(overlap(a->block, sizeof(*a->block), b->block, sizeof(*b->block)));
			assert_false(overlap(a->routes, 3 * sizeof(*a->routes), b->routes,
					     3 * sizeof(*b->routes)));
			assert_false(overlap(a->limits, CACHE_LINE, b->limits, CACHE_LINE));
		}
	}
	end(&s);
}

static void two_shards_with_the_defaults_take_few_mebibytes(void **state UNUSED)
{
	const struct metrics_size usual = {
		.shards = 2, .routes = 256, .endpoints = 1024, .limits = 1024};
	const struct metrics_size none = {.routes = 1};
	struct metrics_size too_many = usual;

	assert_in_range(metrics_bytes(&usual), MIB, 4 * MIB);
	assert_int_equal(metrics_bytes(&none), 0);
	too_many.routes = METRICS_NAMES_MAX + 1;
	assert_int_equal(metrics_bytes(&too_many), 0);
	too_many.routes = 1;
	too_many.shards = METRICS_SHARDS_MAX + 1;
	assert_int_equal(metrics_bytes(&too_many), 0);
}

static void another_layout_is_refused_politely(void **state UNUSED)
{
	struct segment_of_test s;
	struct metrics_head *head;
	struct metrics_view view;

	begin(&s, &small);
	head = (struct metrics_head *)(void *)s.memory;
	head->layout++;
	assert_int_equal(metrics_attach(s.memory, s.bytes, &view), METRICS_OTHER_VERSION);
	assert_string_equal(metrics_fault_text(METRICS_OTHER_VERSION), "segment of another version");
	head->layout--;
	head->causes++;
	assert_int_equal(metrics_attach(s.memory, s.bytes, &view), METRICS_OTHER_VERSION);
	head->causes--;
	head->route_bytes += 64;
	assert_int_equal(metrics_attach(s.memory, s.bytes, &view), METRICS_OTHER_VERSION);
	head->route_bytes -= 64;
	assert_int_equal(metrics_attach(s.memory, s.bytes, &view), METRICS_READABLE);
	end(&s);
}

static void a_segment_that_is_cut_or_lies_is_refused(void **state UNUSED)
{
	struct segment_of_test s;
	struct metrics_head *head;
	struct metrics_view view;

	begin(&s, &small);
	head = (struct metrics_head *)(void *)s.memory;
	assert_int_equal(metrics_attach(s.memory, s.bytes - 1, &view), METRICS_DAMAGED);
	assert_int_equal(metrics_attach(s.memory, METRICS_PAGE, &view), METRICS_DAMAGED);
	assert_int_equal(metrics_attach(s.memory, METRICS_PAGE - 1, &view), METRICS_NOT_OURS);
	assert_int_equal(metrics_attach(s.memory, 0, &view), METRICS_NOT_OURS);
	head->size.shards = 1000;
	assert_int_equal(metrics_attach(s.memory, s.bytes, &view), METRICS_DAMAGED);
	head->size.shards = 0;
	assert_int_equal(metrics_attach(s.memory, s.bytes, &view), METRICS_DAMAGED);
	head->size.shards = 2;
	head->size.routes = UINT32_MAX;
	assert_int_equal(metrics_attach(s.memory, s.bytes, &view), METRICS_DAMAGED);
	head->size.routes = small.routes;
	head->bytes += METRICS_PAGE;
	assert_int_equal(metrics_attach(s.memory, s.bytes, &view), METRICS_DAMAGED);
	head->bytes -= METRICS_PAGE;
	atomic_store(&head->magic, 0);
	assert_int_equal(metrics_attach(s.memory, s.bytes, &view), METRICS_NOT_OURS);
	end(&s);
}

/* Whatever stands there, a reader comes back; the page behind and, under the address
 * sanitizer, everything else that is not its own would end the test. */
static void random_bytes_hurt_no_reader(void **state UNUSED)
{
	unsigned readable = 0, refused = 0;
	uint64_t random = 42;
	struct segment_of_test s;
	char *whole;

	begin(&s, &small);
	whole = malloc(s.bytes);
	assert_non_null(whole);
	memcpy(whole, s.memory, s.bytes);
	for (int round = 0; round < 20000; round++) {
		struct metrics_name name;
		struct metrics_view view;

		for (int i = 0; i < 3; i++) {
			random = random * 6364136223846793005 + 1442695040888963407;
			/* Half of them in the head, the rest in the names. */
			s.memory[(random >> 33) % (round % 2 ? sizeof(struct metrics_head)
							     : 5 * METRICS_PAGE)] = (char)(random >> 24);
		}
		if (metrics_attach(s.memory, s.bytes, &view) == METRICS_READABLE) {
			char instance[108], version[32];

			readable++;
			metrics_view_texts(&view, instance, version);
			assert_in_range(strlen(instance), 0, 107);
			for (uint32_t i = 0; i < metrics_routes_len(&view); i++) {
				metrics_name_of(view.routes, i, &name);
				assert_in_range(strlen(name.service), 0, sizeof(name.service) - 1);
				counter_get(&metrics_route_of(&view, 1, i)->bytes_in);
			}
			for (uint32_t i = 0; i < metrics_limits_len(&view); i++)
				counter_get(&metrics_limit_of(&view, 1, i)->admitted);
			for (uint32_t i = 0; i < metrics_endpoints_len(&view); i++)
				counter_get(&metrics_endpoint_of(&view, 1, i)->attempts);
		} else {
			refused++;
		}
		if (round % 8 == 7)
			memcpy(s.memory, whole, s.bytes);
	}
	assert_true(readable > 1000 && refused > 1000);
	free(whole);
	end(&s);
}

enum { COUNTS = 300000, NAMES = 200 };

static void *count_much(void *arg)
{
	const struct access_record record = {.status = 200, .bytes_out = 64};

	for (int i = 0; i < COUNTS; i++)
		metrics_count_request(arg, METRICS_NO_ROUTE, METRICS_READ, &record, 100, false);
	return NULL;
}

static void *add_names(void *arg)
{
	char text[32];

	for (int i = 0; i < NAMES; i++) {
		snprintf(text, sizeof(text), "route-%d", i);
		metrics_route(arg, "service", text);
	}
	return NULL;
}

/* For the thread sanitizer above all. */
static void writers_and_a_reader_need_no_lock(void **state UNUSED)
{
	const struct metrics_size size = {.shards = 2, .routes = NAMES, .endpoints = 1, .limits = 1};
	struct segment_of_test s;
	pthread_t threads[3];
	uint64_t seen = 0;

	begin(&s, &size);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, count_much, metrics_shard(s.metrics, i));
	pthread_create(&threads[2], NULL, add_names, s.metrics);
	for (uint32_t len = 0; len < NAMES + 2 || seen < 2 * COUNTS;) {
		struct metrics_name name;
		uint64_t now = 0;

		len = metrics_routes_len(&s.view);
		if (len > 2) {
			char text[32];

			metrics_name_of(s.view.routes, len - 1, &name);
			snprintf(text, sizeof(text), "route-%u", len - 3);
			assert_string_equal(name.name, text);
		}
		for (unsigned i = 0; i < 2; i++)
			now += counter_get(&metrics_block_of(&s.view, i)->requests);
		assert_true(now >= seen);
		seen = now;
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counter_get(&metrics_block_of(&s.view, 0)->response_bytes.sum),
			 64 * COUNTS);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reader_finds_what_the_writer_wrote),
		cmocka_unit_test(names_keep_their_numbers_and_the_rest_overflows),
		cmocka_unit_test(no_two_shards_write_to_the_same_line),
		cmocka_unit_test(two_shards_with_the_defaults_take_few_mebibytes),
		cmocka_unit_test(another_layout_is_refused_politely),
		cmocka_unit_test(a_segment_that_is_cut_or_lies_is_refused),
		cmocka_unit_test(random_bytes_hurt_no_reader),
		cmocka_unit_test(writers_and_a_reader_need_no_lock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
