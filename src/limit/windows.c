#include "windows.h"

#include "shared.h"

#define TOKEN_BITS  20
#define TOKEN_MASK  ((1U << TOKEN_BITS) - 1)
#define NUMBER_BITS 39
#define TAG_MASK    0xfff

_Static_assert(LIMIT_TOKENS_MAX <= TOKEN_MASK, "a count fits");

/* A cell's state, taken apart. */
struct latest {
	int64_t number;
	uint32_t tokens;
	unsigned kept; /* counts before it; what is older is nothing */
};

static uint64_t pack(struct latest at)
{
	return (uint64_t)at.kept << (TOKEN_BITS + NUMBER_BITS) | (uint64_t)at.number << TOKEN_BITS |
	       at.tokens;
}

static struct latest unpack(uint64_t state)
{
	return (struct latest){
		.number = (int64_t)(state >> TOKEN_BITS & (((uint64_t)1 << NUMBER_BITS) - 1)),
		.tokens = state & TOKEN_MASK,
		.kept = state >> (TOKEN_BITS + NUMBER_BITS) & 0xf,
	};
}

static uint32_t word_of(int64_t number, uint32_t tokens)
{
	return ((uint32_t)number & TAG_MASK) << TOKEN_BITS | tokens;
}

static bool word_is_of(uint32_t word, int64_t number)
{
	return word >> TOKEN_BITS == ((uint32_t)number & TAG_MASK);
}

static struct window_history *history_of(const struct windows *w, const struct cell *c)
{
	return &w->history[c - w->slots.cells];
}

static int64_t number_at(const struct terms *t, uint64_t now_ns)
{
	return (int64_t)(now_ns / t->span_ns);
}

static bool is_idle(const void *asker, uint64_t key, uint64_t state)
{
	const struct taking *by = asker;
	const struct limiter *l = by->shard->limiter;
	uint16_t limit =
		atomic_load_explicit(&l->shared->lane_limit[key & LANE_MASK], memory_order_acquire);
	struct terms t;

	if (limit == LANE_RETIRED)
		return true;
	terms_read(&l->lines[limit], &t);
	if (t.lane != (key & LANE_MASK) || t.algorithm != LIMIT_SLIDING_WINDOW)
		return false;
	return unpack(state).number + WINDOW_KEPT < number_at(&t, by->now_ns);
}

/* ---- one look at a key ---- */

struct look {
	struct latest latest;
	int64_t number;                   /* of the decider's clock */
	bool torn;                        /* another shard was faster: look again */
	bool lags;                        /* the decider's clock, by more than is kept */
	uint32_t before[WINDOW_KEPT + 1]; /* by how much earlier than the latest */
	uint64_t sum;                     /* what the window has */
};

/* From the decider's own ninth sub-window up to the latest that anybody has seen. */
static void look(struct window_history *h, const struct cell *c, uint64_t key, uint64_t state,
		 int64_t number, struct look *ret)
{
	int64_t low = number - WINDOW_BACK;
	struct latest at = unpack(state);

	*ret = (struct look){.latest = at, .number = number};
	ret->before[0] = at.tokens;
	if (low < at.number - WINDOW_KEPT)
		ret->lags = true;
	if (at.number >= low)
		ret->sum = at.tokens;
	for (unsigned back = 1; back <= at.kept; back++) {
		int64_t j = at.number - back;
		uint32_t word;

		if (j < low)
			break;
		word = atomic_load_explicit(&h->count[j % WINDOW_KEPT], memory_order_acquire);
		if (!word_is_of(word, j)) {
			/* Overwritten on the way to a later sub-window: by a clock that is
			 * further ahead than is kept, or the cell has moved on. */
			ret->torn = !cell_is(c, key, state);
			ret->lags = true;
			return;
		}
		ret->before[back] = word & TOKEN_MASK;
		ret->sum += word & TOKEN_MASK;
	}
}

/* Until so many sub-windows have ended that the cost fits. */
static uint64_t wait_of(const struct look *at, const struct taking *by)
{
	uint64_t sum = at->sum;
	int64_t j;

	if (at->lags)
		return by->terms.span_ns;
	for (j = at->number - WINDOW_BACK; j <= at->latest.number; j++) {
		int64_t back = at->latest.number - j;

		if (back <= WINDOW_KEPT)
			sum -= at->before[back];
		if (sum + by->cost <= by->terms.burst)
			break;
	}
	return (uint64_t)(j + WINDOW_BACK + 1) * by->terms.span_ns - by->now_ns;
}

static void tell(const struct look *at, const struct taking *by, bool admitted,
		 struct limit_verdict *verdict)
{
	uint64_t sum = at->sum + (admitted ? by->cost : 0);
	int64_t last = admitted && at->number > at->latest.number ? at->number : at->latest.number;
	uint64_t end_ns = (uint64_t)(last + WINDOW_BACK + 1) * by->terms.span_ns;

	verdict->outcome = admitted ? LIMIT_ADMITTED : LIMIT_REFUSED;
	verdict->counted = admitted;
	verdict->remaining = sum < by->terms.burst ? by->terms.burst - sum : 0;
	verdict->wait_ns = admitted ? 0 : wait_of(at, by);
	verdict->reset_ns = sum && end_ns > by->now_ns ? end_ns - by->now_ns : 0;
}

/* ---- moving on ---- */

/* False: the cell has changed. */
static bool keep(struct window_history *h, const struct cell *c, uint64_t key, uint64_t state,
		 int64_t number, uint32_t tokens)
{
	_Atomic uint32_t *place = &h->count[number % WINDOW_KEPT];
	uint32_t word = atomic_load_explicit(place, memory_order_acquire);

	if (word_is_of(word, number) && (word & TOKEN_MASK) >= tokens)
		return true;
	return cell_is(c, key, state) &&
	       atomic_compare_exchange_strong(place, &word, word_of(number, tokens));
}

/* Writes down what the cell leaves behind on its way to `number`. */
static bool leave_behind(struct window_history *h, const struct cell *c, uint64_t key,
			 uint64_t state, int64_t number, struct latest *ret_next)
{
	struct latest at = unpack(state);
	int64_t steps = number - at.number;

	*ret_next = (struct latest){.number = number};
	if (steps > WINDOW_KEPT)
		return true;
	for (int64_t j = at.number; j < number; j++) {
		if (!keep(h, c, key, state, j, j == at.number ? at.tokens : 0))
			return false;
	}
	ret_next->kept = (unsigned)min_u64(at.kept + (uint64_t)steps, WINDOW_KEPT);
	return true;
}

/* False: another shard was faster. `mark` is what the cell is to be known by. */
static bool decide(struct taking *by, struct cell *c, uint64_t key, uint64_t state, uint64_t mark,
		   struct limit_verdict *verdict)
{
	struct window_history *h = history_of(&by->shard->limiter->windows, c);
	int64_t number = number_at(&by->terms, by->now_ns);
	struct latest next;
	struct look at;

	look(h, c, key, state, number, &at);
	if (at.torn)
		return false;
	if (at.lags || at.sum + by->cost > by->terms.burst) {
		tell(&at, by, false, verdict);
		return cell_is(c, key, state);
	}
	next = at.latest;
	if (number > next.number && !leave_behind(h, c, key, state, number, &next))
		return false;
	next.tokens += by->cost;
	tell(&at, by, true, verdict);
	return cell_cas(c, key, state, mark, pack(next));
}

/* What another key left there goes first: its tags could be taken for this one's. */
static bool clear(struct window_history *h, const struct cell *c, uint64_t key, uint64_t state)
{
	for (unsigned i = 0; i < WINDOW_KEPT; i++) {
		uint32_t word = atomic_load_explicit(&h->count[i], memory_order_acquire);

		if (word && (!cell_is(c, key, state) ||
			     !atomic_compare_exchange_strong(&h->count[i], &word, 0)))
			return false;
	}
	return true;
}

/* Nothing used, as of the latest clock by which any key was forgotten. */
static uint64_t unused(const struct taking *by)
{
	uint64_t horizon =
		atomic_load_explicit(&by->shard->limiter->shared->horizon_ns, memory_order_acquire);

	return pack((struct latest){.number = number_at(&by->terms, max_u64(horizon, by->now_ns))});
}

/* ---- */

static struct cell *coarse_cell(const struct taking *by, const struct limiter *l)
{
	return l->windows.slots.cells + (size_t)l->windows.slots.buckets * SLOTS_BUCKET +
	       (size_t)(by->line - l->lines) * WINDOW_COARSE +
	       by->key / FINGERPRINT_MIN % WINDOW_COARSE;
}

static void take_coarse(struct taking *by, struct limit_verdict *verdict)
{
	struct cell *c = coarse_cell(by, by->shard->limiter);
	uint64_t mark = coarse_mark(by);

	/* The key may have had a cell of its own until somebody forgot it, by a clock that is so
	 * far ahead that this one still has in its window what was forgotten. */
	if (unpack(unused(by)).number >
	    number_at(&by->terms, by->now_ns) + WINDOW_KEPT - WINDOW_BACK) {
		verdict->outcome = LIMIT_REFUSED;
		verdict->wait_ns = by->terms.span_ns;
		return;
	}
	for (;;) {
		uint64_t key = cell_key(c), state = cell_state(c);

		if (key != mark && coarse_is_over(by, verdict)) /* of its next life */
			return;
		if (key != mark) /* of nobody, or of the limit's former life */
			cell_cas(c, key, state, mark, unused(by));
		else if (decide(by, c, key, state, mark, verdict))
			return;
		else
			count_up(&by->shard->retries, 1);
	}
}

/* As in take.c. False: the key has a cell of its own meanwhile. */
static bool no_room(struct taking *by, bool elsewhere, struct limit_verdict *verdict)
{
	count_up(&by->shard->no_room, 1);
	verdict->outcome = by->terms.on_full == LIMIT_FULL_OPEN ? LIMIT_ADMITTED : LIMIT_NO_ROOM;
	if (by->terms.on_full != LIMIT_FULL_COARSE && !elsewhere)
		return true;
	verdict->coarse = true;
	take_coarse(by, verdict);
	if (!verdict->counted || slots_clear(&by->shard->limiter->windows.slots, by->key))
		return true;
	verdict->counted = verdict->coarse = false;
	return false;
}

/* Counts of eight sub-windows are not carried over from a cell that goes on counting: the key
 * stays where it is counted until nothing of it is left there. */
static bool is_elsewhere(const struct taking *by)
{
	const struct cell *c = coarse_cell(by, by->shard->limiter);
	uint64_t state = cell_state(c), mark = coarse_mark(by);

	/* Whatever `on_full` says now: it may have been changed. */
	return cell_key(c) == mark && !is_idle(by, mark, state);
}

/* True: the decision is made; else the key is there now, perhaps unused. */
static bool insert(struct taking *by, struct limit_verdict *verdict)
{
	struct windows *w = &by->shard->limiter->windows;
	struct slots_claim claim = {.is_idle = is_idle,
				    .asker = by,
				    .now_ns = by->now_ns,
				    .next_nonce = &by->shard->next_nonce};
	uint64_t state;
	struct cell *c;

	for (;;) {
		switch (slots_claim(&w->slots, by->key, &claim, &c, &state)) {
		case SLOTS_READY:
			if (is_elsewhere(by)) {
				cell_cas(c, by->key, state, 0, 0);
				return no_room(by, /* elsewhere */ true, verdict);
			}
			if (!clear(history_of(w, c), c, by->key, state) ||
			    !cell_cas(c, by->key, state, by->key, unused(by)))
				break;
			count_up(&by->shard->inserted, 1);
			return false;
		case SLOTS_FULL: return no_room(by, /* elsewhere */ false, verdict);
		case SLOTS_AGAIN: count_up(&by->shard->evicted, claim.evicted); continue;
		case SLOTS_LIVE: return false;
		}
		count_up(&by->shard->retries, 1);
	}
}

void windows_take(struct taking *by, struct limit_verdict *verdict)
{
	struct windows *w = &by->shard->limiter->windows;
	uint64_t state;

	for (;;) {
		struct cell *c = slots_find(&w->slots, by->key, &state);

		if (unlikely(!c)) {
			if (insert(by, verdict))
				return;
			continue;
		}
		if (decide(by, c, by->key, state, by->key, verdict))
			return;
		count_up(&by->shard->retries, 1);
	}
}

static bool give_one(const struct taking *by, struct cell *c, uint64_t key, uint64_t state)
{
	struct latest at = unpack(state);

	if (at.number != number_at(&by->terms, by->now_ns))
		return true;
	at.tokens -= (uint32_t)min_u64(at.tokens, by->cost);
	return cell_cas(c, key, state, key, pack(at));
}

void windows_give(struct taking *by, bool coarse)
{
	struct limiter *l = by->shard->limiter;
	uint64_t mark = coarse_mark(by), state;
	struct cell *c;

	if (coarse) {
		c = coarse_cell(by, l);
		while (cell_key(c) == mark && !give_one(by, c, mark, cell_state(c)))
			;
		return;
	}
	while ((c = slots_find(&l->windows.slots, by->key, &state)) &&
	       !give_one(by, c, by->key, state))
		;
}

bool windows_look(const struct taking *by, const struct limiter *l, struct limit_view *ret_view)
{
	struct limit_verdict verdict;
	uint64_t state;
	struct look at;
	struct cell *c;

	do {
		c = slots_find(&l->windows.slots, by->key, &state);
		if (!c)
			return false;
		look(history_of(&l->windows, c), c, by->key, state,
		     number_at(&by->terms, by->now_ns), &at);
	} while (at.torn);
	if (!at.sum)
		return false;
	tell(&at, by, false, &verdict);
	ret_view->remaining = verdict.remaining;
	ret_view->reset_ns = verdict.reset_ns;
	ret_view->hot = false;
	return true;
}

void windows_reset(const struct taking *by, const struct limiter *l)
{
	int64_t number = number_at(&by->terms, by->now_ns);
	uint64_t state;
	struct cell *c;

	while ((c = slots_find(&l->windows.slots, by->key, &state))) {
		struct latest at = unpack(state);

		at = (struct latest){.number = number > at.number ? number : at.number};
		if (cell_cas(c, by->key, state, by->key, pack(at)))
			return;
	}
}

void windows_state(const struct windows *w, const struct cell *c, struct window_state *ret_state)
{
	const struct window_history *h = history_of(w, c);
	struct latest at = unpack(cell_state(c));

	*ret_state = (struct window_state){.number = (uint64_t)at.number};
	ret_state->tokens[0] = at.tokens;
	for (unsigned back = 1; back <= at.kept; back++) {
		uint32_t word = h->count[(at.number - back) % WINDOW_KEPT];

		if (word_is_of(word, at.number - back))
			ret_state->tokens[back] = word & TOKEN_MASK;
	}
}

void windows_restore(const struct windows *w, struct cell *c, uint64_t key,
		     const struct window_state *state)
{
	struct window_history *h = history_of(w, c);
	struct latest at = {.number = (int64_t)state->number,
			    .tokens = state->tokens[0],
			    .kept = (unsigned)min_u64(state->number, WINDOW_KEPT)};

	for (unsigned back = 1; back <= WINDOW_KEPT; back++) {
		int64_t j = at.number - back;

		if (back <= at.kept)
			h->count[j % WINDOW_KEPT] = word_of(j, state->tokens[back]);
		else /* before this clock began: counted for longer than it need be */
			at.tokens = (uint32_t)min_u64(at.tokens + state->tokens[back],
						      LIMIT_TOKENS_MAX);
	}
	cell_cas(c, cell_key(c), cell_state(c), key, pack(at));
}
