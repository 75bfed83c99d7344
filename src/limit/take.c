/* Decisions on one key: taking, giving back, looking. */
#include "shared.h"

#include <string.h>

/* Whether the key in a cell may be forgotten, whosever it is. */
static bool is_idle(const void *asker, uint64_t key, uint64_t state)
{
	const struct taking *by = asker;
	const struct limiter *l = by->shard->limiter;
	unsigned lane = key & LANE_MASK;
	uint16_t limit;
	struct terms t;
	struct moment m;

	if (lane == by->terms.lane)
		return state_is_idle(&by->terms, &by->moment, state);
	limit = atomic_load_explicit(&l->shared->lane_limit[lane], memory_order_acquire);
	if (limit == LANE_RETIRED)
		return true;
	terms_read(&l->lines[limit], &t);
	if (t.lane != lane)
		return false; /* about to begin, or just retired */
	moment_init(&m, &l->lines[limit], &t, by->now_ns, wall_offset(l));
	return state_is_idle(&t, &m, state);
}

/* ---- keys for which there is no room ----
 *
 * A key that is counted in a cell that it shares must not have a cell of its own as well: it
 * could use up both. So who counts there looks afterwards for a cell of the key, takes
 * pending ones away, and begins again if one is live; and who inserts a key looks at the shared
 * cell between pending and live. Whoever comes second sees the other.
 */

static struct cell *coarse_cell(const struct taking *by)
{
	struct limiter *l = by->shard->limiter;

	return l->coarse + (size_t)(by->line - l->lines) * COARSE_CELLS +
	       by->key / FINGERPRINT_MIN % COARSE_CELLS;
}

/* What has been used in the shared cell; 0: nothing, in this life of the limit. */
static uint64_t coarse_used(const struct taking *by)
{
	const struct cell *c = coarse_cell(by);
	uint64_t state = cell_state(c);

	return cell_key(c) == coarse_mark(by) ? state : 0;
}

static bool give_cell(struct taking *by, struct cell *c, uint64_t key, uint64_t state);

static void give_coarse(struct taking *by)
{
	struct cell *c = coarse_cell(by);
	uint64_t mark = coarse_mark(by);

	while (cell_key(c) == mark && !give_cell(by, c, mark, cell_state(c)))
		count_up(&by->shard->retries, 1);
}

/* True, and refused: the limit began anew while this one slept. Others may count in the
 * shared cell by now, and this one would have to forget what they have. */
bool coarse_is_over(const struct taking *by, struct limit_verdict *verdict)
{
	if (likely(terms_lane(by->line) == by->terms.lane))
		return false;
	verdict->outcome = LIMIT_REFUSED;
	verdict->wait_ns = by->terms.algorithm == LIMIT_CONCURRENCY ? 0 : 1;
	return true;
}

static void take_coarse(struct taking *by, struct limit_verdict *verdict)
{
	struct cell *c = coarse_cell(by);
	uint64_t mark = coarse_mark(by), key, state, next;

	for (;;) {
		/* The key may have had a cell of its own until somebody forgot it, by a clock
		 * that is ahead of this one. */
		uint64_t used =
			unused_since_horizon(by->shard->limiter, by->line, &by->terms, by->now_ns);

		key = cell_key(c);
		state = cell_state(c);
		if (key == mark)
			used = max_u64(used, state);
		else if (coarse_is_over(by, verdict)) /* it is of the limit's next life */
			return;
		/* else of a former life, or of none */
		if (!state_take(&by->terms, &by->moment, used, by->cost, &next, verdict)) {
			if (cell_is(c, key, state))
				return;
		} else if (cell_cas(c, key, state, mark, next)) {
			verdict->counted = true;
			return;
		}
		count_up(&by->shard->retries, 1);
	}
}

/* False: the key has a cell of its own meanwhile. */
static bool no_room(struct taking *by, bool elsewhere, struct limit_verdict *verdict)
{
	count_up(&by->shard->no_room, 1);
	verdict->outcome = by->terms.on_full == LIMIT_FULL_OPEN ? LIMIT_ADMITTED : LIMIT_NO_ROOM;
	if (by->terms.on_full != LIMIT_FULL_COARSE && !elsewhere)
		return true;
	verdict->coarse = true;
	take_coarse(by, verdict);
	if (!verdict->counted || slots_clear(&by->shard->limiter->slots, by->key))
		return true;
	/* Tokens are left there rather than given back, since others may have taken meanwhile. */
	if (by->terms.algorithm == LIMIT_CONCURRENCY)
		give_coarse(by);
	verdict->counted = verdict->coarse = false;
	return false;
}

/* ---- */

/* What a key begins with. *ret_elsewhere: it has to go on where it is counted already. */
static uint64_t first_state(const struct taking *by, bool *ret_elsewhere)
{
	uint64_t unused =
		unused_since_horizon(by->shard->limiter, by->line, &by->terms, by->now_ns);
	/* Whatever `on_full` says now: it may have been changed. */
	uint64_t used = coarse_used(by);

	/* What is in flight will be given back there. */
	*ret_elsewhere = by->terms.algorithm == LIMIT_CONCURRENCY && used;
	/* Of the rest it may have used all: that fades in its own cell as it would there. */
	return max_u64(unused, used);
}

/* Inserts the key with the decision made. False: somebody else inserted it. */
static __attribute__((noinline)) bool insert(struct taking *by, struct limit_verdict *verdict)
{
	struct limiter *l = by->shard->limiter;
	struct slots_claim claim = {.is_idle = is_idle,
				    .asker = by,
				    .now_ns = by->now_ns,
				    .next_nonce = &by->shard->next_nonce};
	uint64_t state, first, next;
	struct cell *c;
	bool elsewhere;

	for (;;) {
		switch (slots_claim(&l->slots, by->key, &claim, &c, &state)) {
		case SLOTS_READY:
			first = first_state(by, &elsewhere);
			if (elsewhere) {
				cell_cas(c, by->key, state, 0, 0);
				return no_room(by, elsewhere, verdict);
			}
			/* Refused: the cell is there then, with what it begins with. */
			if (!state_take(&by->terms, &by->moment, first, by->cost, &next, verdict))
				next = first;
			if (!cell_cas(c, by->key, state, by->key, next))
				break;
			verdict->counted = verdict->outcome == LIMIT_ADMITTED;
			count_up(&by->shard->inserted, 1);
			return true;
		case SLOTS_FULL: return no_room(by, /* elsewhere */ false, verdict);
		case SLOTS_AGAIN: count_up(&by->shard->evicted, claim.evicted); continue;
		case SLOTS_LIVE: return false;
		}
		count_up(&by->shard->retries, 1);
	}
}

static inline void take_slot(struct taking *by, struct span bytes, struct limit_verdict *verdict)
{
	struct limiter *l = by->shard->limiter;
	uint64_t state, next;

	for (;;) {
		struct cell *c = slots_find(&l->slots, by->key, &state);

		if (unlikely(!c)) {
			if (insert(by, verdict))
				return;
			continue;
		}
		if (unlikely(state & SLOT_HOT)) {
			if (hot_take(by, state, verdict))
				return;
			continue;
		}
		if (!state_take(&by->terms, &by->moment, state, by->cost, &next, verdict)) {
			if (cell_is(c, by->key, state))
				return;
		} else if (likely(cell_cas(c, by->key, state, by->key, next))) {
			verdict->counted = true;
			if (by->terms.lease_max &&
			    unlikely(lease_is_wanted(&by->shard->leases, by->key, by->now_ns)))
				hot_promote(by, c, next, bytes);
			return;
		}
		count_up(&by->shard->retries, 1);
	}
}

void limiter_take(struct limiter_shard *s, uint32_t limit, uint64_t fingerprint, struct span bytes,
		  uint32_t cost, uint64_t now_ns, struct limit_verdict *verdict)
{
	struct limiter *l = s->limiter;
	struct taking by;

	if (lease_spend(&s->leases, fingerprint, cost, now_ns, verdict))
		return;
	by.shard = s;
	by.line = &l->lines[limit];
	terms_read(by.line, &by.terms);
	by.key = lane_key(&by.terms, fingerprint);
	by.now_ns = now_ns;
	by.cost = cost;
	verdict->counted = verdict->coarse = false;
	verdict->remaining = verdict->wait_ns = verdict->reset_ns = 0;
	moment_init(&by.moment, by.line, &by.terms, now_ns, wall_offset(l));
	if (unlikely(cost > by.terms.burst)) {
		verdict->outcome = LIMIT_REFUSED;
		verdict->wait_ns = UINT64_MAX;
		return;
	}
	if (unlikely(by.terms.algorithm == LIMIT_SLIDING_WINDOW))
		windows_take(&by, verdict);
	else
		take_slot(&by, bytes, verdict);
}

/* True: given, or there is nothing to give to. */
static bool give_cell(struct taking *by, struct cell *c, uint64_t key, uint64_t state)
{
	uint64_t next;

	if (state & SLOT_HOT)
		return hot_give(by, state);
	next = state_give(&by->terms, &by->moment, state, by->cost);
	return next == state || cell_cas(c, key, state, key, next);
}

/* False: the limit began anew since, and nothing is to be given. */
static bool giving(struct taking *by, struct limiter_shard *s, uint32_t limit, uint64_t fingerprint,
		   uint32_t cost, uint64_t now_ns)
{
	struct limiter *l = s->limiter;

	by->shard = s;
	by->line = &l->lines[limit];
	terms_read(by->line, &by->terms);
	by->key = fingerprint;
	by->now_ns = now_ns;
	by->cost = cost;
	moment_init(&by->moment, by->line, &by->terms, now_ns, wall_offset(l));
	return (fingerprint & LANE_MASK) == by->terms.lane;
}

void limiter_give(struct limiter_shard *s, uint32_t limit, uint64_t fingerprint, uint32_t cost,
		  uint64_t now_ns)
{
	struct taking by;
	struct cell *c;
	uint64_t state;

	if (!giving(&by, s, limit, fingerprint, cost, now_ns))
		return;
	if (by.terms.algorithm == LIMIT_SLIDING_WINDOW) {
		windows_give(&by, /* coarse */ false);
		return;
	}
	while ((c = slots_find(&s->limiter->slots, by.key, &state)) &&
	       !give_cell(&by, c, by.key, state))
		count_up(&s->retries, 1);
}

void limiter_give_coarse(struct limiter_shard *s, uint32_t limit, uint64_t fingerprint,
			 uint32_t cost, uint64_t now_ns)
{
	struct taking by;

	if (!giving(&by, s, limit, fingerprint, cost, now_ns))
		return;
	if (by.terms.algorithm == LIMIT_SLIDING_WINDOW)
		windows_give(&by, /* coarse */ true);
	else
		give_coarse(&by);
}

/* ---- looking on ---- */

/* Of a hot key, as if nothing were on lease but what may be. */
static uint64_t hot_tat(const struct limiter *l, const struct terms *t, const struct moment *m,
			uint64_t link)
{
	const struct cell *pair = &l->hot[hot_index(link)].pair;
	uint64_t meta = cell_state(pair);

	return max_u64(cell_key(pair), hot_floor(t, m->v, hot_out(meta)));
}

static void looking(struct taking *by, const struct limiter *l, uint32_t limit,
		    uint64_t fingerprint, uint64_t now_ns)
{
	by->shard = NULL;
	by->line = &l->lines[limit];
	terms_read(by->line, &by->terms);
	by->key = lane_key(&by->terms, fingerprint);
	by->now_ns = now_ns;
	by->cost = 0;
	moment_init(&by->moment, by->line, &by->terms, now_ns, wall_offset(l));
}

bool limiter_look(const struct limiter *l, uint32_t limit, uint64_t fingerprint, uint64_t now_ns,
		  struct limit_view *ret_view)
{
	struct limit_verdict verdict = {.reset_ns = 0};
	uint64_t state, next;
	struct taking by;

	looking(&by, l, limit, fingerprint, now_ns);
	if (by.terms.algorithm == LIMIT_SLIDING_WINDOW)
		return windows_look(&by, l, ret_view);
	if (!slots_find(&l->slots, by.key, &state) || state_is_idle(&by.terms, &by.moment, state))
		return false;
	ret_view->hot = state & SLOT_HOT;
	if (ret_view->hot)
		state = hot_tat(l, &by.terms, &by.moment, state);
	state_take(&by.terms, &by.moment, state, /* cost */ 0, &next, &verdict);
	ret_view->remaining = verdict.remaining;
	ret_view->reset_ns = verdict.reset_ns;
	return true;
}

static bool reset_cell(const struct limiter *l, struct cell *c, uint64_t key, uint64_t state,
		       const struct terms *t, const struct moment *m)
{
	struct cell *pair = &l->hot[hot_index(state)].pair;
	uint64_t meta, tat;

	if (!(state & SLOT_HOT))
		return cell_cas(c, key, state, key, state_unused(t, m));
	meta = cell_state(pair);
	tat = cell_key(pair);
	if (!hot_is_of(meta, state))
		return false;
	if (hot_state(meta) == HOT_FROZEN) {
		hot_thaw(l->hot, &l->slots, hot_index(state), key, tat, meta);
		return false;
	}
	return cell_cas(pair, tat, meta, hot_floor(t, m->v, hot_out(meta)), meta);
}

void limiter_reset(struct limiter *l, uint32_t limit, uint64_t fingerprint, uint64_t now_ns)
{
	struct taking by;
	struct cell *c;
	uint64_t state;

	looking(&by, l, limit, fingerprint, now_ns);
	if (by.terms.algorithm == LIMIT_CONCURRENCY)
		return;
	if (by.terms.algorithm == LIMIT_SLIDING_WINDOW) {
		windows_reset(&by, l);
		return;
	}
	while ((c = slots_find(&l->slots, by.key, &state)) &&
	       !reset_cell(l, c, by.key, state, &by.terms, &by.moment))
		;
}
