#include "slots.h"

struct cell *slots_find_anywhere(const struct slots *t, uint64_t key, uint64_t *ret_state)
{
	struct slots_path path;

	slots_path(t, key, &path);
	for (unsigned i = 0; i < 2 * SLOTS_BUCKET; i++) {
		struct cell *c = slots_at(&path, i);

		if (cell_key(c) == key) {
			*ret_state = cell_state(c);
			if (likely(!(*ret_state & SLOT_PENDING)))
				return c;
		}
	}
	return NULL;
}

struct scan {
	struct cell *live, *lowest;
	uint64_t live_state, lowest_state;
	unsigned higher; /* pending ones behind the lowest */
	struct cell *higher_cell[2 * SLOTS_BUCKET];
	uint64_t higher_state[2 * SLOTS_BUCKET];
	unsigned vacant[2]; /* free cells by bucket, and the first of them */
	struct cell *vacant_cell[2];
};

static void note_pending(struct scan *s, struct cell *c, uint64_t state)
{
	if (!s->lowest) {
		s->lowest = c;
		s->lowest_state = state;
		return;
	}
	s->higher_cell[s->higher] = c;
	s->higher_state[s->higher++] = state;
}

static void scan_path(const struct slots_path *path, uint64_t key, struct scan *s)
{
	*s = (struct scan){.live = NULL};
	for (unsigned i = 0; i < 2 * SLOTS_BUCKET; i++) {
		struct cell *c = slots_at(path, i);
		uint64_t found = cell_key(c);

		if (found == key) {
			uint64_t state = cell_state(c);

			if (!(state & SLOT_PENDING)) {
				s->live = c;
				s->live_state = state;
				return;
			}
			note_pending(s, c, state);
		} else if (found == 0) {
			unsigned bucket = i / SLOTS_BUCKET;

			if (!s->vacant[bucket]++)
				s->vacant_cell[bucket] = c;
		}
	}
}

static uint64_t nonce(struct slots_claim *claim)
{
	return SLOT_PENDING | (*claim->next_nonce)++;
}

static void pended(struct slots_claim *claim, struct cell *c, uint64_t state)
{
	claim->cell = claim->mine = c;
	claim->state = claim->mine_state = state;
}

static void raise_horizon(struct slots *t, uint64_t now_ns)
{
	uint64_t was = atomic_load_explicit(t->horizon_ns, memory_order_acquire);

	while (was < now_ns && !atomic_compare_exchange_weak(t->horizon_ns, &was, now_ns))
		;
}

/* Overwrites the first idle one; false: there is none. */
static bool pend_idle(struct slots *t, const struct slots_path *path, uint64_t key,
		      struct slots_claim *claim)
{
	for (unsigned i = 0; i < 2 * SLOTS_BUCKET; i++) {
		struct cell *c = slots_at(path, i);
		uint64_t found = cell_key(c), state = cell_state(c), mine;

		if (found == 0) /* freed meanwhile: another scan will say so */
			return true;
		if (found == key || state & SLOT_PENDING ||
		    !claim->is_idle(claim->asker, found, state))
			continue;
		raise_horizon(t, claim->now_ns);
		mine = nonce(claim);
		if (cell_cas(c, found, state, key, mine)) {
			pended(claim, c, mine);
			claim->evicted = true;
		}
		return true;
	}
	return false;
}

static enum slots_step pend(struct slots *t, const struct slots_path *path, const struct scan *s,
			    uint64_t key, struct slots_claim *claim)
{
	unsigned bucket = s->vacant[0] < SLOTS_SPARE && s->vacant[1] > s->vacant[0];
	struct cell *c = s->vacant_cell[bucket];

	if (c) {
		uint64_t mine = nonce(claim);

		if (cell_cas(c, 0, 0, key, mine))
			pended(claim, c, mine);
		return SLOTS_AGAIN;
	}
	return pend_idle(t, path, key, claim) ? SLOTS_AGAIN : SLOTS_FULL;
}

enum slots_step slots_claim(struct slots *t, uint64_t key, struct slots_claim *claim,
			    struct cell **ret_cell, uint64_t *ret_state)
{
	struct slots_path path;
	struct scan s;

	claim->evicted = false;
	slots_path(t, key, &path);
	scan_path(&path, key, &s);
	if (s.live) {
		if (claim->mine)
			cell_cas(claim->mine, key, claim->mine_state, 0, 0);
		*ret_cell = s.live;
		*ret_state = s.live_state;
		return SLOTS_LIVE;
	}
	if (!s.lowest) {
		claim->cell = NULL;
		return pend(t, &path, &s, key, claim);
	}
	if (s.lowest != claim->cell || s.lowest_state != claim->state) {
		/* Pended perhaps after this scan had passed a place before it. */
		claim->cell = s.lowest;
		claim->state = s.lowest_state;
		return SLOTS_AGAIN;
	}
	for (unsigned i = 0; i < s.higher; i++) {
		if (!cell_cas(s.higher_cell[i], key, s.higher_state[i], 0, 0))
			return SLOTS_AGAIN;
	}
	*ret_cell = s.lowest;
	*ret_state = s.lowest_state;
	return SLOTS_READY;
}

bool slots_clear(struct slots *t, uint64_t key)
{
	struct slots_path path;
	struct scan s;

	slots_path(t, key, &path);
	for (;;) {
		scan_path(&path, key, &s);
		if (s.live || !s.lowest)
			return !s.live;
		cell_cas(s.lowest, key, s.lowest_state, 0, 0);
		for (unsigned i = 0; i < s.higher; i++)
			cell_cas(s.higher_cell[i], key, s.higher_state[i], 0, 0);
	}
}

uint32_t slots_buckets(uint32_t keys, unsigned percent)
{
	uint64_t cells = ((uint64_t)keys * 100 + percent - 1) / percent;

	return (uint32_t)max_u64((cells + SLOTS_BUCKET - 1) / SLOTS_BUCKET, 2);
}
