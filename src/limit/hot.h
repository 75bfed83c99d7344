/* Records of hot keys: token buckets of which shards hold leases.
 *
 * A hot key's cell says which record has its state instead. A record is a cell too: its
 * theoretical arrival time, how many shards hold a lease and how much is out on leases,
 * swapped together.
 *
 *         a shard           it is filled,           the last       the cell has the
 *         takes it          the cell points here    holder leaves  state again
 *   FREE ---------> SETUP ----------------> LIVE ------------> FROZEN -----------> FREE
 *
 * In SETUP the shard that took it writes, nobody else. From LIVE on any shard swaps. A
 * FROZEN one does not change; who meets it puts its state back into the key's cell and frees
 * it, so nobody waits for the holder that left. Each life has its own generation, which
 * stands in the key's cell as well: a swap by somebody who slept through a life fails.
 *
 * What is out: the tokens that holders have taken and of which they have not yet said that
 * they are spent. A holder says so with its next swap, so it is never less than what lies in
 * leases. A record refills only to the burst less that. So its tokens and those in leases
 * are at most the burst together, whenever they are looked at, and grow only by the rate.
 */
#ifndef RINGWAY_LIMIT_HOT_H
#define RINGWAY_LIMIT_HOT_H

#include "bucket.h"
#include "slots.h"

#define SLOT_HOT ((uint64_t)1 << 62)

enum hot_state { HOT_FREE, HOT_SETUP, HOT_LIVE, HOT_FROZEN };

/* `pair.key` is the arrival time, `pair.state` is
 * state | holders << 2 | out << 12 | generation << 36. A record that lives again 2^28 times
 * while somebody sleeps between two instructions would be taken for the old one. */
struct hot_record {
	_Alignas(2 * CACHE_LINE) struct cell pair;
	/* Written in SETUP, before the swap to LIVE; read by who found LIVE, and believed if it
	 * is the same life afterwards. */
	_Atomic uint64_t fingerprint;
	_Atomic uint64_t bytes[LIMITER_KEY_BYTES / 8]; /* the first ones of the key */
	_Atomic uint8_t len;
};

static inline enum hot_state hot_state(uint64_t meta)
{
	return (enum hot_state)(meta & 3);
}

#define HOT_HOLDERS_MAX 0x3ff

static inline unsigned hot_holders(uint64_t meta)
{
	return meta >> 2 & HOT_HOLDERS_MAX;
}

static inline uint32_t hot_out(uint64_t meta)
{
	return meta >> 12 & 0xffffff;
}

#define HOT_GENERATION_BITS 28

static inline uint64_t hot_generation(uint64_t meta)
{
	return meta >> 36;
}

static inline uint64_t hot_meta(enum hot_state state, unsigned holders, uint32_t out,
				uint64_t generation)
{
	return state | (uint64_t)holders << 2 | (uint64_t)out << 12 | generation << 36;
}

/* What a key's cell says while it is hot. */
static inline uint64_t hot_link(unsigned index, uint64_t meta)
{
	return SLOT_HOT | hot_generation(meta) << 16 | index;
}

static inline unsigned hot_index(uint64_t link)
{
	return link & 0xffff;
}

static inline bool hot_is_of(uint64_t meta, uint64_t link)
{
	return hot_generation(meta) == (link & ~SLOT_HOT) >> 16;
}

/* The arrival time below which a record may not refill. */
static inline uint64_t hot_floor(const struct terms *t, uint64_t v, uint32_t out)
{
	return v + (uint64_t)out * t->price;
}

/* A free record, now in SETUP and the caller's; false: all are in use. */
bool hot_record_take(struct hot_record *records, uint64_t key, struct span bytes,
		     unsigned *ret_index);
/* The caller's, which no cell points at. */
void hot_record_give(struct hot_record *r);
/* {tat, meta} was FROZEN: the key gets its state back, and the record is free. */
void hot_thaw(struct hot_record *records, const struct slots *t, unsigned index, uint64_t key,
	      uint64_t tat, uint64_t meta);
uint8_t hot_bytes(const struct hot_record *r, char ret_bytes[static LIMITER_KEY_BYTES]);

#endif
