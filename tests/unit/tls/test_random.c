#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/random.h>

#include <ringway/base/base.h>
#include <ringway/tls/random.h>

#define POOL TLS_RANDOM_POOL_BYTES

/* Stands in for getrandom(2): a counter of 8 bytes each, big enough never to repeat, so
 * that a byte given twice is seen at once. */
ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned flags);
ssize_t __real_getrandom(void *to, size_t bytes, unsigned flags);

static _Atomic uint64_t calls, words;
static enum { REAL, COUNTING, BROKEN, INTERRUPTED } kernel;
static _Thread_local uint8_t *pool_at; /* where the kernel was last told to write */

ssize_t __wrap_getrandom(void *to, size_t bytes, unsigned flags)
{
	uint64_t word;

	calls++;
	pool_at = to;
	if (kernel == REAL)
		return __real_getrandom(to, bytes, flags);
	if (kernel == BROKEN || (kernel == INTERRUPTED && calls % 2)) {
		errno = kernel == BROKEN ? ENOSYS : EINTR;
		return -1;
	}
	if (kernel == INTERRUPTED)
		bytes = min_u64(bytes, 256);
	for (size_t i = 0; i < bytes; i += sizeof(word)) {
		word = words++;
		memcpy((char *)to + i, &word, sizeof(word));
	}
	return (ssize_t)bytes;
}

/* A thread begins with an empty pool. */
static void on_a_new_thread(void *(*run)(void *))
{
	pthread_t thread;
	void *what;

	assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
	pthread_join(thread, &what);
	if (what)
		fail_msg("%s", (const char *)what);
}

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			return (void *)(uintptr_t) #x;                                             \
	} while (0)

static void *read_all_words(void *nothing UNUSED)
{
	uint64_t first = words, got[3 * POOL / 8];

	/* In odd pieces, across the ends of pools. */
	for (size_t at = 0, some = 1; at < sizeof(got); at += some, some = some % 61 + 1) {
		some = min_u64(some, sizeof(got) - at);
		CHECK(tls_random_bytes((char *)got + at, some) == 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(got); i++)
		CHECK(got[i] == first + i);
	return NULL;
}

static void each_byte_is_given_once_and_in_order(void **state UNUSED)
{
	kernel = COUNTING;
	on_a_new_thread(read_all_words);
}

static void a_pool_costs_one_call(void **state UNUSED)
{
	kernel = COUNTING;
	calls = 0;
	on_a_new_thread(read_all_words);
	assert_int_equal(calls, 3);
}

static void a_call_that_is_cut_short_goes_on(void **state UNUSED)
{
	kernel = INTERRUPTED;
	calls = 0;
	on_a_new_thread(read_all_words);
	assert_int_equal(calls, 3 * 2 * POOL / 256);
}

static void *fail_then_work(void *nothing UNUSED)
{
	char bytes[32];

	kernel = BROKEN;
	CHECK(tls_random_bytes(bytes, sizeof(bytes)) == -ENOSYS);
	kernel = COUNTING;
	CHECK(tls_random_bytes(bytes, sizeof(bytes)) == 0);
	return NULL;
}

static void a_kernel_that_gives_nothing_is_an_error(void **state UNUSED)
{
	on_a_new_thread(fail_then_work);
}

static void *look_at_the_pool(void *nothing UNUSED)
{
	static const uint8_t zeros[100];
	uint8_t given[100];

	CHECK(tls_random_bytes(given, 1) == 0);
	CHECK(tls_random_bytes(given, 99) == 0);
	CHECK(memcmp(pool_at, zeros, sizeof(zeros)) == 0);
	CHECK(memcmp(pool_at + sizeof(zeros), zeros, sizeof(zeros)) != 0);
	return NULL;
}

static void what_was_given_is_wiped(void **state UNUSED)
{
	kernel = COUNTING;
	on_a_new_thread(look_at_the_pool);
}

enum { SEEDS = 2000 };
static uint64_t seeds[2][SEEDS][4];

static void *draw_seeds(void *into)
{
	uint64_t(*mine)[4] = into;

	for (size_t i = 0; i < SEEDS; i++)
		must(tls_random_bytes(mine[i], sizeof(mine[i])) == 0);
	return NULL;
}

static int compare_words(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void threads_get_different_bytes(void **state UNUSED)
{
	pthread_t threads[2];
	uint64_t *all = seeds[0][0];
	size_t count = sizeof(seeds) / sizeof(*all);

	kernel = REAL;
	calls = 0;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, draw_seeds, seeds[i]), 0);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	qsort(all, count, sizeof(*all), compare_words);
	/* 16,000 random words of 64 bits are different. */
	for (size_t i = 1; i < count; i++)
		assert_true(all[i - 1] != all[i]);
	assert_int_equal(calls, 2 * ((sizeof(seeds[0]) + POOL - 1) / POOL));
}

static void *make_generators(void *nothing UNUSED)
{
	uint8_t a[32], b[32];
	uint64_t before;
	WC_RNG rng;

	CHECK(wc_InitRng(&rng) == 0);
	CHECK(wc_RNG_GenerateBlock(&rng, a, sizeof(a)) == 0);
	wc_FreeRng(&rng);
	before = calls;
	CHECK(before > 0);
	/* 52 bytes of seed each: many more come from what is there. */
	for (int i = 0; i < 40; i++) {
		CHECK(wc_InitRng(&rng) == 0);
		CHECK(wc_RNG_GenerateBlock(&rng, b, sizeof(b)) == 0);
		CHECK(memcmp(a, b, sizeof(a)) != 0);
		wc_FreeRng(&rng);
	}
	CHECK(calls == before);
	return NULL;
}

static void generators_take_their_seeds_from_the_pool(void **state UNUSED)
{
	kernel = REAL;
	calls = 0;
	assert_int_equal(wolfSSL_Init(), WOLFSSL_SUCCESS);
	assert_int_equal(tls_random_install(), 0);
	on_a_new_thread(make_generators);
	assert_int_equal(calls, 1);
	wolfSSL_Cleanup();
}

static void *make_a_generator(void *nothing UNUSED)
{
	WC_RNG rng;

	CHECK(wc_InitRng(&rng) != 0);
	wc_FreeRng(&rng);
	return NULL;
}

static void a_generator_without_seed_is_refused(void **state UNUSED)
{
	kernel = BROKEN;
	assert_int_equal(tls_random_install(), 0);
	on_a_new_thread(make_a_generator);
	kernel = REAL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_byte_is_given_once_and_in_order),
		cmocka_unit_test(a_pool_costs_one_call),
		cmocka_unit_test(a_call_that_is_cut_short_goes_on),
		cmocka_unit_test(a_kernel_that_gives_nothing_is_an_error),
		cmocka_unit_test(what_was_given_is_wiped),
		cmocka_unit_test(threads_get_different_bytes),
		cmocka_unit_test(generators_take_their_seeds_from_the_pool),
		cmocka_unit_test(a_generator_without_seed_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
