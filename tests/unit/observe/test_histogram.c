#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <ringway/observe/histogram.h>

static const struct histogram_shape shapes[] = {HISTOGRAM_TIMES, HISTOGRAM_SIZES};

static void check_value(struct histogram_shape shape, uint64_t value)
{
	unsigned i = histogram_index(shape, value);

	assert_in_range(i, 0, shape.buckets - 1U);
	assert_true(value <= histogram_bound(shape, i));
	if (i)
		assert_true(value > histogram_bound(shape, i - 1));
}

static void every_value_lies_between_the_bounds_of_its_bucket(void **state UNUSED)
{
	for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
		for (uint64_t v = 0; v < 100000; v++)
			check_value(shapes[s], v);
		for (unsigned bit = 16; bit < 64; bit++)
			for (uint64_t near = 0; near < 5; near++)
				check_value(shapes[s], ((uint64_t)1 << bit) - 2 + near);
		check_value(shapes[s], UINT64_MAX);
	}
}

static void bounds_rise_and_end_where_the_shape_says(void **state UNUSED)
{
	for (size_t s = 0; s < ARRAY_LEN(shapes); s++)
		for (unsigned i = 1; i < shapes[s].buckets; i++)
			assert_true(histogram_bound(shapes[s], i) > histogram_bound(shapes[s], i - 1));
	assert_int_equal(histogram_bound(HISTOGRAM_TIMES, 0), 16);
	assert_int_equal(histogram_bound(HISTOGRAM_TIMES, 1), 20);
	assert_int_equal(histogram_bound(HISTOGRAM_TIMES, HISTOGRAM_TIMES_BUCKETS - 2), 1 << 24);
	assert_int_equal(histogram_bound(HISTOGRAM_SIZES, 0), 64);
	assert_int_equal(histogram_bound(HISTOGRAM_SIZES, 1), 96);
	assert_true(histogram_bound(HISTOGRAM_SIZES, HISTOGRAM_SIZES_BUCKETS - 2) ==
		    (uint64_t)1 << 32);
	assert_true(histogram_bound(HISTOGRAM_SIZES, HISTOGRAM_SIZES_BUCKETS - 1) == UINT64_MAX);
}

static void what_goes_in_is_read_back_from_several_shards(void **state UNUSED)
{
	struct histogram_times *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	struct histogram_reading now, then;

	for (uint64_t us = 1; us <= 1000; us++)
		histogram_add_time(us % 2 ? a : b, us);
	histogram_reading_init(&then, HISTOGRAM_TIMES);
	histogram_read_times(&then, a);
	histogram_read_times(&then, b);
	assert_int_equal(then.count, 1000);
	assert_int_equal(then.sum, 500500);
	assert_int_equal(histogram_reading_up_to(&then, 512), 512);
	assert_int_equal(histogram_reading_up_to(&then, 15), 0);
	histogram_add_time(a, 40);
	histogram_add_time(b, UINT64_C(1) << 40);
	histogram_reading_init(&now, HISTOGRAM_TIMES);
	histogram_read_times(&now, a);
	histogram_read_times(&now, b);
	histogram_reading_subtract(&now, &then);
	assert_int_equal(now.count, 2);
	assert_true(now.sum == (UINT64_C(1) << 40) + 40);
	assert_int_equal(histogram_reading_up_to(&now, 40), 1);
	assert_int_equal(now.buckets[HISTOGRAM_TIMES_BUCKETS - 1], 1);
	free(a);
	free(b);
}

static void sizes_have_their_own_shape(void **state UNUSED)
{
	struct histogram_sizes *h = calloc(1, sizeof(*h));
	struct histogram_reading r;

	histogram_add_size(h, 0);
	histogram_add_size(h, 64);
	histogram_add_size(h, 65);
	histogram_add_size(h, 5 * GIB);
	histogram_reading_init(&r, HISTOGRAM_SIZES);
	histogram_read_sizes(&r, h);
	assert_int_equal(r.buckets[0], 2);
	assert_int_equal(r.buckets[1], 1);
	assert_int_equal(r.buckets[HISTOGRAM_SIZES_BUCKETS - 1], 1);
	assert_int_equal(r.count, 4);
	free(h);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void quantiles_are_within_a_bucket_of_the_true_ones(void **state UNUSED)
{
	enum { N = 20000 };
	static uint64_t values[N];
	static const double qs[] = {0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
	struct histogram_times *h = calloc(1, sizeof(*h));
	struct histogram_reading r;
	uint64_t random = 88172645463325252;

	histogram_reading_init(&r, HISTOGRAM_TIMES);
	assert_true(histogram_quantile(&r, 0.5) <= 0);
	for (int i = 0; i < N; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		values[i] = (random >> 40) >> (random % 12); /* up to 16 s, many octaves */
		histogram_add_time(h, values[i]);
	}
	qsort(values, N, sizeof(values[0]), compare);
	histogram_read_times(&r, h);
	for (size_t i = 0; i < ARRAY_LEN(qs); i++) {
		uint64_t rank = (uint64_t)(qs[i] * N), is = values[rank ? rank - 1 : 0];
		double said = histogram_quantile(&r, qs[i]);

		assert_true(said >= (double)is * 0.8 - 16);
		assert_true(said <= (double)is * 1.25 + 16);
	}
	free(h);
}

static void beyond_the_last_bound_only_its_lower_end_is_known(void **state UNUSED)
{
	struct histogram_times *h = calloc(1, sizeof(*h));
	struct histogram_reading r;

	histogram_add_time(h, UINT64_C(60) * 1000000);
	histogram_reading_init(&r, HISTOGRAM_TIMES);
	histogram_read_times(&r, h);
	assert_true(fabs(histogram_quantile(&r, 0.99) - (1 << 24)) < 1);
	free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value_lies_between_the_bounds_of_its_bucket),
		cmocka_unit_test(bounds_rise_and_end_where_the_shape_says),
		cmocka_unit_test(what_goes_in_is_read_back_from_several_shards),
		cmocka_unit_test(sizes_have_their_own_shape),
		cmocka_unit_test(quantiles_are_within_a_bucket_of_the_true_ones),
		cmocka_unit_test(beyond_the_last_bound_only_its_lower_end_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
