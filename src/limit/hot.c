#include "hot.h"

#include <string.h>

/* Records looked at for a free one: with nearly all in use a key goes on in its cell, which is
 * exact, too, rather than look at a thousand lines at each of its takes. */
#define HOT_PROBES 16

bool hot_record_take(struct hot_record *records, uint64_t key, struct span bytes,
		     unsigned *ret_index)
{
	union {
		char bytes[LIMITER_KEY_BYTES];
		uint64_t words[LIMITER_KEY_BYTES / 8];
	} copy = {.bytes = ""};
	uint8_t len = (uint8_t)min_u64(bytes.len, LIMITER_KEY_BYTES);

	if (len)
		memcpy(copy.bytes, bytes.ptr, len);
	for (unsigned i = 0; i < HOT_PROBES; i++) {
		unsigned index = ((unsigned)(key >> 13) + i) % LIMITER_HOT_MAX;
		struct hot_record *r = &records[index];
		uint64_t meta = cell_state(&r->pair), tat = cell_key(&r->pair);

		if (hot_state(meta) != HOT_FREE ||
		    !cell_cas(&r->pair, tat, meta, 0,
			      hot_meta(HOT_SETUP, 0, 0, hot_generation(meta))))
			continue;
		atomic_store_explicit(&r->fingerprint, key, memory_order_relaxed);
		for (unsigned w = 0; w < ARRAY_LEN(copy.words); w++)
			atomic_store_explicit(&r->bytes[w], copy.words[w], memory_order_relaxed);
		atomic_store_explicit(&r->len, len, memory_order_relaxed);
		*ret_index = index;
		return true;
	}
	return false;
}

static void free_from(struct hot_record *r, uint64_t tat, uint64_t meta)
{
	uint64_t next = (hot_generation(meta) + 1) & ((1U << HOT_GENERATION_BITS) - 1);

	/* Fails if somebody else did it. */
	cell_cas(&r->pair, tat, meta, 0, hot_meta(HOT_FREE, 0, 0, next));
}

void hot_record_give(struct hot_record *r)
{
	free_from(r, cell_key(&r->pair), cell_state(&r->pair));
}

void hot_thaw(struct hot_record *records, const struct slots *t, unsigned index, uint64_t key,
	      uint64_t tat, uint64_t meta)
{
	uint64_t link = hot_link(index, meta), state;
	struct cell *c = slots_find(t, key, &state);

	/* If it does not say so any more somebody was faster, or the limit began anew and the
	 * cell was overwritten: the record is free either way. */
	if (c && state == link)
		cell_cas(c, key, link, key, tat);
	free_from(&records[index], tat, meta);
}

uint8_t hot_bytes(const struct hot_record *r, char ret_bytes[static LIMITER_KEY_BYTES])
{
	for (unsigned w = 0; w < ARRAY_LEN(r->bytes); w++) {
		uint64_t word = atomic_load_explicit(&r->bytes[w], memory_order_relaxed);

		memcpy(ret_bytes + w * sizeof(word), &word, sizeof(word));
	}
	return atomic_load_explicit(&r->len, memory_order_relaxed);
}
