/* A limiter in memory of its own, as the tests of limits want it. */
#ifndef RINGWAY_TESTS_LIMITED_H
#define RINGWAY_TESTS_LIMITED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <ringway/base/base.h>
#include <ringway/limit/limiter.h>

#define SHARDS_MAX 8
/* Of a clock that has run for a while. */
#define BEGIN_NS (1000 * NS_PER_S)

struct limited {
	void *memory;
	struct limiter *limiter;
	struct limiter_shard *shard[SHARDS_MAX];
	unsigned shards;
	uint64_t random;
};

static UNUSED void limited_init(struct limited *l, unsigned shards, uint32_t keys, uint32_t windows)
{
	static const uint8_t seed[16] = "0123456789abcde";
	const struct limiter_size size = {.shards = shards, .keys = keys, .windows = windows};
	size_t bytes = limiter_bytes(&size);

	*l = (struct limited){.shards = shards, .random = 0x2545f4914f6cdd1d};
	l->memory = aligned_alloc(4096, bytes);
	assert_non_null(l->memory);
	memset(l->memory, 0, bytes);
	assert_int_equal(limiter_create(&size, l->memory, seed, 0, &l->limiter), 0);
	for (unsigned i = 0; i < shards; i++)
		assert_int_equal(limiter_shard_create(l->limiter, i, &l->shard[i]), 0);
}

static UNUSED void limited_end_shards(struct limited *l)
{
	for (unsigned i = 0; i < l->shards; i++) {
		limiter_shard_destroy(l->shard[i]);
		l->shard[i] = NULL;
	}
}

static UNUSED void limited_fini(struct limited *l)
{
	limited_end_shards(l);
	limiter_destroy(l->limiter);
	free(l->memory);
}

static UNUSED uint64_t limited_random(struct limited *l, uint64_t below)
{
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return l->random % below;
}

static UNUSED uint32_t limited_add(struct limited *l, const char *name, struct limit_terms terms)
{
	uint32_t limit;

	assert_int_equal(limiter_add(l->limiter, name, &terms, &limit), 0);
	return limit;
}

static UNUSED struct limit_terms bucket_terms(uint64_t tokens, uint64_t period_ns, uint64_t burst)
{
	return (struct limit_terms){.algorithm = LIMIT_TOKEN_BUCKET,
				    .tokens = tokens,
				    .period_ns = period_ns,
				    .burst = burst};
}

static UNUSED uint64_t key_of(struct limited *l, uint32_t limit, uint64_t number)
{
	return limiter_fingerprint(l->limiter, limit, &number, sizeof(number));
}

static UNUSED struct limit_verdict take(struct limited *l, unsigned shard, uint32_t limit,
					uint64_t number, uint32_t cost, uint64_t now_ns)
{
	struct limit_verdict v;

	limiter_take(l->shard[shard], limit, key_of(l, limit, number), SPAN("key"), cost, now_ns,
		     &v);
	return v;
}

static UNUSED bool admits(struct limited *l, unsigned shard, uint32_t limit, uint64_t number,
			  uint64_t now_ns)
{
	return take(l, shard, limit, number, 1, now_ns).outcome == LIMIT_ADMITTED;
}

/* How many of that many in a row are admitted. */
static UNUSED uint64_t admitted_of(struct limited *l, unsigned shard, uint32_t limit,
				   uint64_t number, uint64_t tries, uint64_t now_ns)
{
	uint64_t n = 0;

	while (tries--)
		n += admits(l, shard, limit, number, now_ns);
	return n;
}

#endif
