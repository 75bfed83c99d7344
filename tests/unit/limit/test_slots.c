/* The insertion of one key by several shards at once, each stopped before every access to a
 * cell, in schedules by seed. Actors are coroutines on one thread; buckets have four cells.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

static void pause_actor(void);
#define CELL_PAUSE() pause_actor()
#define SLOTS_BUCKET 4
#include "slots.c" /* with the pauses */

#define ACTORS      4 /* three insert, one overwrites what is there */
#define STACK_BYTES ((size_t)65536)
#define CELLS       8
#define KEY         0x123456789abcdef0
#define STRANGER    0xfedcba9876543210

struct actor {
	ucontext_t at;
	bool done;
	unsigned wins;
	char *stack;
};

static struct {
	struct actor actor[ACTORS];
	ucontext_t scheduler;
	int running; /* -1: the test itself */
	uint64_t random;
	struct cell cells[CELLS];
	_Atomic uint64_t horizon_ns;
	struct slots slots;
	uint64_t nonces;
} w = {.running = -1};

static void pause_actor(void)
{
	int me = w.running;

	if (me < 0)
		return;
	w.running = -1;
	swapcontext(&w.actor[me].at, &w.scheduler);
}

static uint64_t random_below(uint64_t below)
{
	w.random ^= w.random << 13;
	w.random ^= w.random >> 7;
	w.random ^= w.random << 17;
	return w.random % below;
}

static bool strangers_are_idle(const void *asker UNUSED, uint64_t key, uint64_t state UNUSED)
{
	return key != KEY;
}

static void insert_key(struct actor *me)
{
	struct slots_claim claim = {
		.is_idle = strangers_are_idle, .next_nonce = &w.nonces, .now_ns = 1};
	uint64_t state;
	struct cell *c;

	for (;;) {
		switch (slots_claim(&w.slots, KEY, &claim, &c, &state)) {
		case SLOTS_LIVE: return;
		case SLOTS_FULL: return;
		case SLOTS_AGAIN: break;
		case SLOTS_READY:
			if (cell_cas(c, KEY, state, KEY, 7)) {
				me->wins++;
				return;
			}
		}
	}
}

/* Frees and fills places, the key's own too if it is live: as eviction would. */
static void meddle(struct actor *me UNUSED)
{
	for (int i = 0; i < 16; i++) {
		struct cell *c = &w.cells[random_below(CELLS)];
		uint64_t key = cell_key(c), state = cell_state(c);

		if (state & SLOT_PENDING)
			continue;
		if (key == 0)
			cell_cas(c, 0, 0, STRANGER, 1);
		else
			cell_cas(c, key, state, 0, 0);
	}
}

static void actor_main(int number)
{
	struct actor *me = &w.actor[number];

	if (number == ACTORS - 1)
		meddle(me);
	else
		insert_key(me);
	me->done = true;
	w.running = -1;
	swapcontext(&me->at, &w.scheduler);
}

static unsigned live_cells(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CELLS; i++)
		n += w.cells[i].key == KEY && !(w.cells[i].state & SLOT_PENDING);
	return n;
}

static unsigned pending_cells(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CELLS; i++)
		n += w.cells[i].key == KEY && w.cells[i].state & SLOT_PENDING;
	return n;
}

static void begin(uint64_t seed, unsigned actors, bool with_meddler)
{
	w.random = seed * 0x9e3779b97f4a7c15 + 1;
	w.slots = (struct slots){.cells = w.cells, .buckets = 2, .horizon_ns = &w.horizon_ns};
	for (unsigned i = 0; i < CELLS; i++) {
		bool taken = random_below(4) != 0;

		w.cells[i] = (struct cell){taken ? STRANGER : 0, taken ? 1 : 0};
	}
	for (int i = 0; i < ACTORS; i++) {
		struct actor *a = &w.actor[i];

		a->wins = 0;
		a->done = i == ACTORS - 1 ? !with_meddler : i >= (int)actors;
		getcontext(&a->at);
		a->at.uc_stack.ss_sp = a->stack;
		a->at.uc_stack.ss_size = STACK_BYTES;
		a->at.uc_link = NULL;
		makecontext(&a->at, (void (*)(void))actor_main, 1, i);
	}
}

static unsigned still_at_work(void)
{
	unsigned n = 0;

	for (int i = 0; i < ACTORS; i++)
		n += !w.actor[i].done;
	return n;
}

/* A turn is a few steps of one actor, so that others sleep through many of its steps. */
static void run(uint64_t turn_max, int sleeper)
{
	uint64_t steps = 0;

	while (still_at_work() > (sleeper >= 0 && !w.actor[sleeper].done)) {
		int next = (int)random_below(ACTORS);
		uint64_t turn = 1 + random_below(turn_max);

		if (next == sleeper)
			continue;
		while (turn-- && !w.actor[next].done) {
			w.running = next;
			swapcontext(&w.scheduler, &w.actor[next].at);
			assert_in_range(live_cells(), 0, 1);
			assert_in_range(++steps, 0, 100000);
		}
	}
}

static void a_key_never_has_two_live_cells(void **state UNUSED)
{
	for (uint64_t seed = 1; seed <= 100000; seed++) {
		begin(seed, 2 + seed % 2, seed % 4 < 2);
		run(1 + seed % 40, -1);
		/* Without a meddler somebody inserted it, and everybody saw it. */
		if (seed % 4 >= 2) {
			assert_int_equal(live_cells(), 1);
			assert_int_equal(w.actor[0].wins + w.actor[1].wins + w.actor[2].wins, 1);
		}
	}
}

/* One stops for good anywhere on its way: the others finish, and what it left behind is no
 * obstacle to who comes later. */
static void nobody_waits_for_one_that_sleeps(void **state UNUSED)
{
	for (uint64_t seed = 1; seed <= 30000; seed++) {
		uint64_t head_start;

		begin(seed, 3, false);
		for (head_start = random_below(40); head_start && !w.actor[0].done; head_start--) {
			w.running = 0;
			swapcontext(&w.scheduler, &w.actor[0].at);
		}
		run(1 + seed % 40, 0);
		assert_true(w.actor[1].done && w.actor[2].done);
		assert_int_equal(live_cells(), 1);
		/* It wakes. */
		run(1, -1);
		assert_int_equal(live_cells(), 1);
		assert_int_equal(pending_cells(), 0);
	}
}

static int make_stacks(void **state UNUSED)
{
	for (int i = 0; i < ACTORS; i++) {
		w.actor[i].stack = malloc(STACK_BYTES);
		if (!w.actor[i].stack)
			return -1;
	}
	return 0;
}

static int free_stacks(void **state UNUSED)
{
	for (int i = 0; i < ACTORS; i++)
		free(w.actor[i].stack);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_never_has_two_live_cells),
		cmocka_unit_test(nobody_waits_for_one_that_sleeps),
	};
	return cmocka_run_group_tests(tests, make_stacks, free_stacks);
}
