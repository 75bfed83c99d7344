#include <ringway/shard/timer.h>

#define GRAIN_NS NS_PER_MS
#define SLOT_BITS 6

void timers_init(struct timers *ts, uint64_t now_ns)
{
	ts->tick = now_ns / GRAIN_NS;
	for (int level = 0; level < TIMER_LEVELS; level++) {
		ts->occupied[level] = 0;
		for (int slot = 0; slot < TIMER_SLOTS; slot++)
			list_init(&ts->slots[level][slot]);
	}
}

void timer_init(struct timer *t, void (*on_due)(struct timer *t))
{
	list_init(&t->link);
	t->due_ns = 0;
	t->queued_tick = 0;
	t->on_due = on_due;
}

/* Rounded up, so that nothing fires early; any time is taken, UINT64_MAX too. */
static uint64_t tick_of(uint64_t ns)
{
	return ns / GRAIN_NS + (ns % GRAIN_NS != 0);
}

static void enqueue(struct timers *ts, struct timer *t)
{
	uint64_t tick = tick_of(t->due_ns);
	uint64_t away;
	int level = 0;

	if (tick <= ts->tick)
		tick = ts->tick + 1;
	away = tick - ts->tick;
	/* Beyond the last level it lies in the farthest slot and is put in again. */
	if (away >= (uint64_t)1 << (SLOT_BITS * TIMER_LEVELS)) {
		away = ((uint64_t)1 << (SLOT_BITS * TIMER_LEVELS)) - 1;
		tick = ts->tick + away;
	}
	while (away >> (SLOT_BITS * (level + 1)))
		level++;
	t->queued_tick = tick;
	unsigned slot = (tick >> (SLOT_BITS * level)) & (TIMER_SLOTS - 1);
	list_push_back(&ts->slots[level][slot], &t->link);
	ts->occupied[level] |= (uint64_t)1 << slot;
}

void timer_set(struct timers *ts, struct timer *t, uint64_t due_ns)
{
	t->due_ns = due_ns;
	if (!due_ns)
		return;
	if (!list_is_alone(&t->link)) {
		if (tick_of(due_ns) >= t->queued_tick)
			return;
		list_remove(&t->link);
	}
	enqueue(ts, t);
}

void timer_stop(struct timer *t)
{
	t->due_ns = 0;
	list_remove(&t->link);
}

/* Everything in the slot is due, or belongs into a finer level by now. */
static void empty_slot(struct timers *ts, int level, unsigned slot, uint64_t now_ns)
{
	struct list todo;
	struct list *link;

	ts->occupied[level] &= ~((uint64_t)1 << slot);
	list_init(&todo);
	while ((link = list_pop_front(&ts->slots[level][slot])))
		list_push_back(&todo, link);
	while ((link = list_pop_front(&todo))) {
		struct timer *t = list_entry(link, struct timer, link);

		if (!t->due_ns)
			continue;
		if (t->due_ns > now_ns) {
			enqueue(ts, t);
			continue;
		}
		t->due_ns = 0;
		t->on_due(t);
	}
}

void timers_run(struct timers *ts, uint64_t now_ns)
{
	uint64_t now_tick = now_ns / GRAIN_NS;

	while (ts->tick < now_tick) {
		uint64_t next = timers_next_ns(ts);

		/* Nothing lies in between: no need to visit each tick. */
		if (next == UINT64_MAX || next / GRAIN_NS > now_tick) {
			ts->tick = now_tick;
			return;
		}
		ts->tick = max_u64(ts->tick + 1, next / GRAIN_NS);
		for (int level = TIMER_LEVELS - 1; level > 0; level--) {
			uint64_t below = ((uint64_t)1 << (SLOT_BITS * level)) - 1;

			if ((ts->tick & below) == 0)
				empty_slot(ts, level,
					   (ts->tick >> (SLOT_BITS * level)) & (TIMER_SLOTS - 1),
					   now_ns);
		}
		empty_slot(ts, 0, ts->tick & (TIMER_SLOTS - 1), now_ns);
	}
}

uint64_t timers_next_ns(const struct timers *ts)
{
	uint64_t best = UINT64_MAX;

	for (int level = 0; level < TIMER_LEVELS; level++) {
		unsigned shift = (unsigned)(SLOT_BITS * level);
		uint64_t here = ts->tick >> shift;
		unsigned from = (unsigned)(here + 1) & (TIMER_SLOTS - 1);
		uint64_t turned = ts->occupied[level];

		if (!turned)
			continue;
		/* Bit 0 of `turned` is the next slot to come. */
		turned = from ? turned >> from | turned << (TIMER_SLOTS - from) : turned;
		uint64_t tick = (here + 1 + (unsigned)__builtin_ctzll(turned)) << shift;
		if (tick < best)
			best = tick;
	}
	return best == UINT64_MAX ? best : best * GRAIN_NS;
}
