/* Timers of a shard: one hierarchical wheel with a grain of 1 ms.
 *
 * Deadlines of proxied traffic are nearly always put off before they come, so a
 * timer that moves to a later time stays where it is in the wheel; when its slot
 * comes up it is put in again at its true time. Moving it later, or off, is one store.
 * A timer never fires before its time and at most one grain after it, as far as the
 * loop turns.
 */
#ifndef RINGWAY_SHARD_TIMER_H
#define RINGWAY_SHARD_TIMER_H

#include <ringway/base/list.h>

#define TIMER_LEVELS 5
#define TIMER_SLOTS 64 /* per level: 64 ms, 4 s, 4.4 min, 4.7 h, 12 days */

struct timer {
	struct list link;
	uint64_t due_ns;      /* 0: off */
	uint64_t queued_tick; /* tick whose slot it lies in; says something when linked */
	void (*on_due)(struct timer *t);
};

struct timers {
	uint64_t tick; /* all before and at this one were run */
	uint64_t occupied[TIMER_LEVELS]; /* bit per slot that may hold timers */
	struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void timers_init(struct timers *ts, uint64_t now_ns);
/* Runs what is due; callbacks may set and stop any timer. */
void timers_run(struct timers *ts, uint64_t now_ns);
/* When timers_run() should be called again at the latest; UINT64_MAX: no timer. May be
 * early, never late. */
uint64_t timers_next_ns(const struct timers *ts);

void timer_init(struct timer *t, void (*on_due)(struct timer *t));
/* (Re)sets; due_ns 0 switches it off. */
void timer_set(struct timers *ts, struct timer *t, uint64_t due_ns);
/* Off and out of the wheel: before its memory goes. */
void timer_stop(struct timer *t);

#endif
