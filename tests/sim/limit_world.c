#include "limit_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sys/mman.h>

#define TICK_NS (2 * NS_PER_MS)
/* Not 0: nothing may take that for "never yet". A real clock begins at the boot. */
#define BEGINNING_NS (1000 * NS_PER_S)

uint64_t limit_world_chance(struct limit_world *w, uint64_t below)
{
	uint64_t x = w->chance += 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return (x ^ (x >> 31)) % below;
}

void limit_world_open(struct limit_world *w, uint64_t seed, const struct limiter_size *size)
{
	uint8_t secret[16];

	*w = (struct limit_world){.shards = size->shards, .chance = seed * 0x2545f4914f6cdd1d};
	for (unsigned i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)limit_world_chance(w, 256);
	w->now_ns = BEGINNING_NS + limit_world_chance(w, NS_PER_S);
	w->next_tick_ns = w->now_ns;
	w->bytes = limiter_bytes(size);
	w->memory =
		mmap(NULL, w->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(w->memory != MAP_FAILED);
	assert_int_equal(limiter_create(size, w->memory, secret, 0, &w->limiter), 0);
	for (unsigned i = 0; i < w->shards; i++) {
		w->shard[i].clock_ns = w->now_ns;
		assert_int_equal(limiter_shard_create(w->limiter, i, &w->shard[i].shard), 0);
	}
}

struct limiter_stats limit_world_stats(const struct limit_world *w)
{
	struct limiter_stats sum = {0};

	for (unsigned i = 0; i < w->shards; i++) {
		struct limiter_stats s;

		limiter_shard_stats(w->shard[i].shard, &s);
		sum.inserted += s.inserted;
		sum.evicted += s.evicted;
		sum.no_room += s.no_room;
		sum.promoted += s.promoted;
		sum.demoted += s.demoted;
		sum.leased += s.leased;
		sum.unleased += s.unleased;
		sum.lease_hits += s.lease_hits;
		sum.retries += s.retries;
		sum.over_admitted += s.over_admitted;
		sum.out_on_lease += s.out_on_lease;
	}
	return sum;
}

uint64_t limit_world_lease_hits(const struct limit_world *w)
{
	return limit_world_stats(w).lease_hits;
}

void limit_world_close(struct limit_world *w)
{
	struct limiter_stats stats = limit_world_stats(w);
	struct limit_hot hot;

	assert_int_equal(stats.over_admitted, 0);
	for (unsigned i = 0; i < w->shards; i++)
		limiter_shard_destroy(w->shard[i].shard);
	for (unsigned i = 0; i < LIMITER_HOT_MAX; i++)
		assert_false(limiter_hot(w->limiter, i, w->now_ns, &hot) && hot.shards);
	limiter_destroy(w->limiter);
	munmap(w->memory, w->bytes);
	limit_log_fini(&w->log);
}

bool limit_world_stalls(const struct limit_world *w, unsigned shard)
{
	return w->now_ns < w->shard[shard].stalled_until_ns;
}

uint64_t limit_world_clock(struct limit_world *w, unsigned shard)
{
	uint64_t *clock = &w->shard[shard].clock_ns;

	if (!w->lag_most_ns)
		return *clock = w->now_ns;
	return *clock = max_u64(*clock, w->now_ns - limit_world_chance(w, w->lag_most_ns + 1));
}

static void upkeep(struct limit_world *w, unsigned i)
{
	struct limit_world_shard *s = &w->shard[i];

	if (limit_world_stalls(w, i) || w->now_ns < s->upkeep_at_ns)
		return;
	s->upkeep_at_ns = w->now_ns + LIMITER_UPKEEP_NS;
	if (w->upkeep != LIMIT_UPKEEP_ON_TIME)
		s->upkeep_at_ns += limit_world_chance(w, 250 * NS_PER_MS);
	if (w->upkeep == LIMIT_UPKEEP_MISSING && i % 2)
		return;
	if (limiter_shard_has_leases(s->shard))
		limiter_upkeep(s->shard, limit_world_clock(w, i));
}

void limit_world_pass(struct limit_world *w, uint64_t ns)
{
	uint64_t until = w->now_ns + ns;

	while (w->next_tick_ns <= until) {
		w->now_ns = w->next_tick_ns;
		w->next_tick_ns += TICK_NS;
		for (unsigned i = 0; i < w->shards; i++)
			upkeep(w, i);
	}
	w->now_ns = until;
}

/* Called for each decision: quicker than printf. */
static struct span text_of(uint32_t key, char text[16])
{
	for (unsigned i = 0; i < 8; i++)
		text[i] = "0123456789abcdef"[key >> (28 - 4 * i) & 15];
	return span_of(text, 8);
}

uint64_t limit_world_fingerprint(const struct limit_world *w, uint32_t limit, uint32_t key)
{
	char text[16];
	struct span s = text_of(key, text);

	return limiter_fingerprint(w->limiter, limit, s.ptr, s.len);
}

enum limit_outcome limit_world_take(struct limit_world *w, unsigned shard, uint32_t limit,
				    uint32_t key, uint32_t cost, struct limit_verdict *ret_verdict)
{
	struct limit_world_shard *s = &w->shard[shard];
	char text[16];
	struct span words = text_of(key, text);

	s->decisions++;
	limiter_take(s->shard, limit, limiter_fingerprint(w->limiter, limit, words.ptr, words.len),
		     words, cost, s->clock_ns, ret_verdict);
	if (ret_verdict->outcome == LIMIT_ADMITTED && ret_verdict->counted)
		limit_log_add(&w->log, (struct limit_entry){.clock_ns = s->clock_ns,
							    .true_ns = w->now_ns,
							    .key = key,
							    .reset_ns = ret_verdict->reset_ns,
							    .cost = cost,
							    .limit = (uint16_t)limit,
							    .event = LIMIT_EVENT_ADMITTED});
	return ret_verdict->outcome;
}

void limit_world_give(struct limit_world *w, unsigned shard, uint32_t limit, uint32_t key,
		      uint32_t cost)
{
	limiter_give(w->shard[shard].shard, limit, limit_world_fingerprint(w, limit, key), cost,
		     w->shard[shard].clock_ns);
}

void limit_world_reset(struct limit_world *w, uint32_t limit, uint32_t key)
{
	limiter_reset(w->limiter, limit, limit_world_fingerprint(w, limit, key), w->now_ns);
	limit_log_add(&w->log, (struct limit_entry){.clock_ns = w->now_ns,
						    .true_ns = w->now_ns,
						    .key = key,
						    .limit = (uint16_t)limit,
						    .event = LIMIT_EVENT_RESET});
}

void limit_world_set(struct limit_world *w, uint32_t limit, const struct limit_terms *terms,
		     unsigned index)
{
	limiter_set(w->limiter, limit, terms, w->now_ns);
	limit_log_add(&w->log, (struct limit_entry){.clock_ns = w->now_ns,
						    .true_ns = w->now_ns,
						    .cost = index,
						    .limit = (uint16_t)limit,
						    .event = LIMIT_EVENT_SET});
}

uint32_t limit_world_limit(struct limit_world *w, const char *name, const struct limit_terms *terms)
{
	uint32_t limit;

	assert_int_equal(limiter_add(w->limiter, name, terms, &limit), 0);
	return limit;
}
