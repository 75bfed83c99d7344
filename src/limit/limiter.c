/* The tables' place in memory, and the limits by name. Deciding is in take.c. */
#include "shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "siphash.h"

struct layout {
	size_t lines, names, hot, coarse, slots, windows, history, end;
	uint32_t slot_buckets, window_buckets;
};

static size_t place(size_t *end, size_t count, size_t bytes)
{
	size_t at = *end;

	*end += (count * bytes + 4095) / 4096 * 4096;
	return at;
}

static struct layout layout_of(const struct limiter_size *size)
{
	struct layout at;
	size_t cells;

	at.end = 0;
	at.window_buckets = slots_buckets(size->windows, WINDOWS_PERCENT);
	at.slot_buckets = slots_buckets(size->keys, SLOTS_PERCENT);
	place(&at.end, 1, sizeof(struct shared));
	at.lines = place(&at.end, LIMITS_MAX, sizeof(struct terms_line));
	at.names = place(&at.end, LIMITS_MAX, sizeof(struct limit_name));
	at.hot = place(&at.end, LIMITER_HOT_MAX, sizeof(struct hot_record));
	at.coarse = place(&at.end, (size_t)LIMITS_MAX * COARSE_CELLS, sizeof(struct cell));
	at.slots = place(&at.end, (size_t)at.slot_buckets * SLOTS_BUCKET, sizeof(struct cell));
	cells = (size_t)at.window_buckets * SLOTS_BUCKET + (size_t)LIMITS_MAX * WINDOW_COARSE;
	at.windows = place(&at.end, cells, sizeof(struct cell));
	at.history = place(&at.end, cells, sizeof(struct window_history));
	return at;
}

size_t limiter_bytes(const struct limiter_size *size)
{
	return layout_of(size).end;
}

int limiter_create(const struct limiter_size *size, void *memory, const uint8_t seed[16],
		   int64_t wall_offset_ns, struct limiter **ret_limiter)
{
	const struct layout at = layout_of(size);
	char *base = memory;
	struct limiter *l;

	must(memory && seed);
	/* As many holders as a record can count. */
	if (size->shards == 0 || size->shards > HOT_HOLDERS_MAX || (uintptr_t)memory % 4096)
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->size = *size;
	l->shared = (void *)base;
	l->lines = (void *)(base + at.lines);
	l->names = (void *)(base + at.names);
	l->hot = (void *)(base + at.hot);
	l->coarse = (void *)(base + at.coarse);
	l->slots = (struct slots){.cells = (void *)(base + at.slots),
				  .buckets = at.slot_buckets,
				  .horizon_ns = &l->shared->horizon_ns};
	l->windows.slots = (struct slots){.cells = (void *)(base + at.windows),
					  .buckets = at.window_buckets,
					  .horizon_ns = &l->shared->horizon_ns};
	l->windows.history = (void *)(base + at.history);
	memcpy(l->shared->seed, seed, sizeof(l->shared->seed));
	for (unsigned i = 0; i < LANES; i++)
		l->shared->lane_limit[i] = LANE_RETIRED;
	limiter_set_wall_offset(l, wall_offset_ns);
	*ret_limiter = l;
	return 0;
}

void limiter_destroy(struct limiter *l)
{
	free(l);
}

void limiter_set_wall_offset(struct limiter *l, int64_t wall_offset_ns)
{
	atomic_store_explicit(&l->shared->wall_offset_ns, wall_offset_ns, memory_order_relaxed);
}

/* ---- limits ---- */

static void clear_lane(struct cell *cells, size_t count, uint32_t lane)
{
	for (size_t i = 0; i < count; i++) {
		struct cell *c = &cells[i];
		uint64_t key = cell_key(c);

		if (key && (key & LANE_MASK) == lane)
			cell_cas(c, key, cell_state(c), 0, 0);
	}
}

/* After all lanes were used, the oldest retired one: what is left of its keys goes first. */
static uint16_t lane_take(struct limiter *l, uint32_t limit)
{
	struct shared *s = l->shared;
	uint32_t lane;

	do
		lane = s->lanes++ % LANES;
	while (s->lane_limit[lane] != LANE_RETIRED);
	if (s->lanes > LANES) {
		size_t windows = (size_t)l->windows.slots.buckets * SLOTS_BUCKET;

		clear_lane(l->slots.cells, (size_t)l->slots.buckets * SLOTS_BUCKET, lane);
		clear_lane(l->coarse, (size_t)LIMITS_MAX * COARSE_CELLS, lane);
		clear_lane(l->windows.slots.cells, windows + (size_t)LIMITS_MAX * WINDOW_COARSE,
			   lane);
	}
	atomic_store_explicit(&s->lane_limit[lane], (uint16_t)limit, memory_order_release);
	return (uint16_t)lane;
}

int limiter_find(const struct limiter *l, const char *name, uint32_t *ret_limit)
{
	uint32_t n = limiter_limits(l);

	for (uint32_t i = 0; i < n; i++) {
		const struct limit_name *known = &l->names[i];

		if (atomic_load_explicit(&known->is_known, memory_order_acquire) &&
		    strcmp(known->text, name) == 0) {
			*ret_limit = i;
			return 0;
		}
	}
	return -ENOENT;
}

static uint32_t vacant_number(const struct limiter *l)
{
	uint32_t n = limiter_limits(l);

	for (uint32_t i = 0; i < n; i++)
		if (!atomic_load_explicit(&l->names[i].is_known, memory_order_relaxed))
			return i;
	return n;
}

int limiter_add(struct limiter *l, const char *name, const struct limit_terms *terms,
		uint32_t *ret_limit)
{
	uint32_t number;

	if (limiter_find(l, name, ret_limit) == 0)
		return 0;
	if (strlen(name) >= LIMIT_NAME_BYTES)
		return -ENAMETOOLONG;
	number = vacant_number(l);
	if (number == LIMITS_MAX)
		return -ENOSPC;
	strcpy(l->names[number].text, name);
	terms_write(&l->lines[number], terms, lane_take(l, number), l->size.shards, 0, true);
	atomic_store_explicit(&l->names[number].is_known, true, memory_order_release);
	if (number == limiter_limits(l))
		atomic_store_explicit(&l->shared->limits, number + 1, memory_order_release);
	*ret_limit = number;
	return 0;
}

void limiter_forget(struct limiter *l, uint32_t limit)
{
	must(limit < limiter_limits(l));
	atomic_store_explicit(&l->names[limit].is_known, false, memory_order_relaxed);
	/* Its keys are nobody's: whoever wants their cells takes them. */
	atomic_store_explicit(&l->shared->lane_limit[l->lines[limit].now.lane], LANE_RETIRED,
			      memory_order_release);
}

void limiter_set(struct limiter *l, uint32_t limit, const struct limit_terms *terms,
		 uint64_t now_ns)
{
	struct terms_line *line = &l->lines[limit];
	uint16_t lane = line->now.lane;

	must(limit < limiter_limits(l));
	if (terms_continue(line, terms)) {
		terms_write(line, terms, lane, l->size.shards, now_ns, false);
		return;
	}
	terms_write(line, terms, lane_take(l, limit), l->size.shards, now_ns, true);
	atomic_store_explicit(&l->shared->lane_limit[lane], LANE_RETIRED, memory_order_release);
}

uint32_t limiter_limits(const struct limiter *l)
{
	return atomic_load_explicit(&l->shared->limits, memory_order_acquire);
}

const char *limiter_name(const struct limiter *l, uint32_t limit)
{
	must(limit < limiter_limits(l));
	return l->names[limit].text;
}

void limiter_terms(const struct limiter *l, uint32_t limit, struct limit_terms *ret_terms)
{
	must(limit < limiter_limits(l));
	terms_public(&l->lines[limit], ret_terms);
}

uint64_t limiter_fingerprint(const struct limiter *l, uint32_t limit, const void *key, size_t len)
{
	struct terms t;

	must(limit < limiter_limits(l));
	/* That of the decision to come: what is counted under one is not given to another. */
	t.lane = terms_lane(&l->lines[limit]);
	return lane_key(&t, siphash13(l->shared->seed, limit, key, len));
}

/* ---- shards ---- */

int limiter_shard_create(struct limiter *l, unsigned shard, struct limiter_shard **ret_shard)
{
	struct limiter_shard *s;

	must(shard < l->size.shards);
	s = aligned_alloc(CACHE_LINE, (sizeof(*s) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	if (!s)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	s->limiter = l;
	s->number = shard;
	s->next_nonce = atomic_fetch_add(&l->shared->births, 1) << 42 & ~SLOT_PENDING;
	*ret_shard = s;
	return 0;
}

void limiter_shard_destroy(struct limiter_shard *s)
{
	if (s)
		leases_end(s);
	free(s);
}

static uint64_t now_of(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void limiter_shard_stats(const struct limiter_shard *s, struct limiter_stats *ret_stats)
{
	*ret_stats = (struct limiter_stats){
		.inserted = now_of(&s->inserted),
		.evicted = now_of(&s->evicted),
		.no_room = now_of(&s->no_room),
		.promoted = now_of(&s->leases.promoted),
		.demoted = now_of(&s->leases.demoted),
		.leased = now_of(&s->leases.leased),
		.unleased = now_of(&s->leases.unleased),
		.lease_hits = now_of(&s->leases.hits),
		.retries = now_of(&s->retries),
		.over_admitted = now_of(&s->leases.over_admitted),
		.out_on_lease = now_of(&s->leases.out),
		.upkeep_ns = now_of(&s->leases.upkeep_ns),
	};
}
