/* What a limiter admitted, and whether it was too much: exact, in integers of 128 bits.
 *
 * For a bucket: with times t and costs c in the order of their times, the sum of c from i to
 * j is at most burst + rate * (t_j - t_i), for all i <= j. That is the largest sum of a
 * stretch, so one pass with the lowest beginning so far looks at every window there is.
 */
#ifndef RINGWAY_SIM_LIMIT_LOG_H
#define RINGWAY_SIM_LIMIT_LOG_H

#include <ringway/base/base.h>
#include <ringway/limit/limiter.h>

enum limit_event {
	LIMIT_EVENT_ADMITTED,
	LIMIT_EVENT_RESET, /* of one key: its windows end and begin here */
	LIMIT_EVENT_SET,   /* of the limit: `cost` is the index of the terms from now on */
};

struct limit_entry {
	uint64_t clock_ns; /* of the shard that decided */
	uint64_t true_ns;
	uint64_t reset_ns; /* the verdict's */
	uint32_t key;
	uint32_t cost;
	uint16_t limit;
	uint16_t event;
};

/* In the order of decisions. */
struct limit_log {
	struct limit_entry *entries;
	size_t count, room;
};

void limit_log_add(struct limit_log *log, struct limit_entry entry);
void limit_log_fini(struct limit_log *log);

/* By which time, and how much longer each window may be taken to be. */
enum limit_clock { LIMIT_CLOCK_OWN, LIMIT_CLOCK_TRUE };

/* Each ends the test when an entry of this limit breaks it. `terms`: those from the
 * beginning, then those of each LIMIT_EVENT_SET; a log with such events or with resets must
 * be one whose clocks do not lag. */
void limit_log_check_bucket(struct limit_log *log, uint16_t limit, const struct limit_terms *terms,
			    unsigned terms_count, uint32_t keys, enum limit_clock clock,
			    uint64_t grace_ns);
/* At most `tokens` in any stretch shorter than the period. */
void limit_log_check_sliding(struct limit_log *log, uint16_t limit, const struct limit_terms *terms,
			     uint32_t keys, enum limit_clock clock, uint64_t grace_ns);
/* At most `tokens` in each window of the calendar. In which one an entry was counted is when
 * the client is told that the next one begins: its shard's clock's, or that of a clock which
 * was ahead; never one that has not begun. */
void limit_log_check_fixed(const struct limit_log *log, uint16_t limit,
			   const struct limit_terms *terms, uint32_t keys, int64_t wall_offset_ns);

uint64_t limit_log_admitted(const struct limit_log *log, uint16_t limit, uint64_t from_ns,
			    uint64_t until_ns);

/* One bucket in one place that nobody else asks: what could be admitted at best, if each is
 * decided when it comes. */
struct limit_ideal {
	unsigned __int128 used; /* tokens times period */
	uint64_t at_ns;
};
bool limit_ideal_take(struct limit_ideal *ideal, const struct limit_terms *terms, uint32_t cost,
		      uint64_t now_ns);

#endif
