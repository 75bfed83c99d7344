#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <ringway/shard/block.h>

#define PAGE ((size_t)4096)

static unsigned pages_of(struct block_pool *pool)
{
	unsigned char pages[256 * BLOCK_STRIDE / PAGE];
	size_t len = pool->capacity * BLOCK_STRIDE;
	unsigned there = 0;

	assert_true(len / PAGE <= sizeof(pages));
	assert_int_equal(mincore(pool->memory, len, pages), 0);
	for (size_t i = 0; i < len / PAGE; i++)
		there += pages[i] & 1;
	return there;
}

static void a_fresh_block_is_empty_with_room_on_both_sides(void **state UNUSED)
{
	struct block_pool pool;
	struct block *b;

	assert_int_equal(block_pool_init(&pool, 2), 0);
	b = block_take(&pool);
	assert_int_equal(block_len(b), 0);
	assert_int_equal(block_room(b), 64 * KIB);
	assert_int_equal(block_head_room(b), 2048 - sizeof(struct block));
	assert_int_equal(block_tail_room(b), 66 * KIB);
	assert_int_equal(block_begin(b) - (char *)b, 2048);

	/* A head in front, a chunk's end behind a data area that is full. */
	memset(block_begin(b), 'd', block_room(b));
	b->end += 64 * KIB;
	assert_int_equal(block_room(b), 0);
	block_append(b, "\r\n0\r\n\r\n", 7);
	assert_int_equal(block_room(b), 0);
	assert_int_equal(block_tail_room(b), 2 * KIB - 7);
	memcpy(block_prepend(b, 6), "10000\n", 6);
	assert_int_equal(block_len(b), 64 * KIB + 13);
	assert_memory_equal(block_begin(b), "10000\nd", 7);
	assert_memory_equal(block_end(b) - 8, "d\r\n0\r\n\r\n", 8);

	block_clear(b);
	memset(block_prepend(b, block_head_room(b)), 'h', 2048 - sizeof(struct block));
	assert_int_equal(block_head_room(b), 0);
	assert_ptr_equal(b->pool, &pool);
	block_give(b);
	block_pool_fini(&pool);
}

static void the_warmest_block_is_taken_first(void **state UNUSED)
{
	struct block_pool pool;
	struct block *a, *b, *c;

	assert_int_equal(block_pool_init(&pool, 3), 0);
	a = block_take(&pool);
	b = block_take(&pool);
	block_give(a);
	block_give(b);
	assert_ptr_equal(block_take(&pool), b);
	assert_ptr_equal(block_take(&pool), a);
	c = block_take(&pool);
	assert_ptr_not_equal(c, a);
	assert_ptr_not_equal(c, b);
	assert_int_equal(pool.in_use, 3);
	block_give(a);
	block_give(b);
	block_give(c);
	assert_int_equal(pool.in_use, 0);
	block_pool_fini(&pool);
}

static void all_in_use_means_none_until_one_comes_back(void **state UNUSED)
{
	struct block_pool pool;
	struct block *taken[5];

	assert_int_equal(block_pool_init(&pool, ARRAY_LEN(taken)), 0);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
			taken[i] = block_take(&pool);
			assert_non_null(taken[i]);
			for (size_t j = 0; j < i; j++)
				assert_ptr_not_equal(taken[i], taken[j]);
		}
		assert_null(block_take(&pool));
		block_give(taken[3]);
		taken[3] = block_take(&pool);
		assert_non_null(taken[3]);
		assert_null(block_take(&pool));
		for (size_t i = 0; i < ARRAY_LEN(taken); i++)
			block_give(taken[i]);
		block_pool_trim(&pool);
	}
	assert_int_equal(pool.in_use, 0);
	block_pool_fini(&pool);
}

static void a_pool_costs_only_what_was_touched(void **state UNUSED)
{
	struct block_pool pool;
	struct block *b;

	assert_int_equal(block_pool_init(&pool, 200), 0);
	assert_int_equal(pages_of(&pool), 0);
	b = block_take(&pool);
	assert_int_equal(pages_of(&pool), 1);
	block_append(b, "short", 5);
	assert_int_equal(pages_of(&pool), 1);
	block_give(b);
	block_pool_fini(&pool);
}

static void trim_gives_back_what_was_not_used(void **state UNUSED)
{
	struct block_pool pool;
	struct block *taken[100];

	assert_int_equal(block_pool_init(&pool, 100), 0);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		taken[i] = block_take(&pool);
		memset(block_begin(taken[i]), 'x', BLOCK_DATA_BYTES);
	}
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		block_give(taken[i]);
	assert_true(pages_of(&pool) > 100 * 16);

	/* They were used since the last call: this one only begins to watch. */
	block_pool_trim(&pool);
	assert_true(pages_of(&pool) > 100 * 16);
	/* Ten are used between the calls and stay; a call's work is bounded. */
	for (int call = 0; call < 3; call++) {
		for (size_t i = 0; i < 10; i++) {
			taken[i] = block_take(&pool);
			memset(block_begin(taken[i]), 'y', BLOCK_DATA_BYTES);
		}
		for (size_t i = 0; i < 10; i++)
			block_give(taken[i]);
		block_pool_trim(&pool);
	}
	assert_in_range(pages_of(&pool), 10 * 16, 10 * 17);

	/* What was given back to the system works again. */
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		taken[i] = block_take(&pool);
		assert_ptr_equal(taken[i]->pool, &pool);
		assert_int_equal(block_len(taken[i]), 0);
		memset(block_begin(taken[i]), 'z', BLOCK_DATA_BYTES);
	}
	assert_null(block_take(&pool));
	block_pool_trim(&pool);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		assert_int_equal(*block_begin(taken[i]), 'z');
		block_give(taken[i]);
	}
	block_pool_fini(&pool);
}

static void compacting_makes_room_behind(void **state UNUSED)
{
	struct block_pool pool;
	struct block *b;

	assert_int_equal(block_pool_init(&pool, 1), 0);
	b = block_take(&pool);
	memset(block_begin(b), 'x', BLOCK_DATA_BYTES);
	b->end += BLOCK_DATA_BYTES;
	memcpy(block_end(b) - 4, "GET ", 4);
	b->begin = b->end - 4;
	assert_int_equal(block_room(b), 0);
	block_compact(b);
	assert_int_equal(block_room(b), BLOCK_DATA_BYTES - 4);
	assert_int_equal(block_len(b), 4);
	assert_memory_equal(block_begin(b), "GET ", 4);
	block_give(b);
	block_pool_fini(&pool);
}

#ifdef __SANITIZE_ADDRESS__
int __asan_address_is_poisoned(void const volatile *addr);

static void the_sanitizer_knows_what_is_free(void **state UNUSED)
{
	struct block_pool pool;
	struct block *b;
	char *bytes;

	assert_int_equal(block_pool_init(&pool, 1), 0);
	b = block_take(&pool);
	bytes = block_begin(b);
	assert_false(__asan_address_is_poisoned(bytes));
	block_give(b);
	assert_true(__asan_address_is_poisoned(bytes));
	b = block_take(&pool);
	assert_false(__asan_address_is_poisoned(bytes));
	block_give(b);
	block_pool_fini(&pool);
	assert_false(__asan_address_is_poisoned(bytes));
}
#endif

static void a_pool_that_cannot_be_is_refused(void **state UNUSED)
{
	struct block_pool pool;

	/* 256 TiB of addresses. */
	assert_int_equal(block_pool_init(&pool, UINT32_MAX), -ENOMEM);
	assert_null(pool.memory);
	block_pool_fini(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_block_is_empty_with_room_on_both_sides),
		cmocka_unit_test(the_warmest_block_is_taken_first),
		cmocka_unit_test(all_in_use_means_none_until_one_comes_back),
		cmocka_unit_test(a_pool_costs_only_what_was_touched),
		cmocka_unit_test(trim_gives_back_what_was_not_used),
		cmocka_unit_test(compacting_makes_room_behind),
#ifdef __SANITIZE_ADDRESS__
		cmocka_unit_test(the_sanitizer_knows_what_is_free),
#endif
		cmocka_unit_test(a_pool_that_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
