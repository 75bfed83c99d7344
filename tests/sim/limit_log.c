#include "limit_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* The greatest sum of a stretch less what its length allows, as far as it has been read. */
struct stretch {
	__int128 sum, lowest;
	bool begun;
};

void limit_log_add(struct limit_log *log, struct limit_entry entry)
{
	if (log->count == log->room) {
		log->room = log->room ? 2 * log->room : 4096;
		log->entries = realloc(log->entries, log->room * sizeof(entry));
		must(log->entries);
	}
	log->entries[log->count++] = entry;
}

void limit_log_fini(struct limit_log *log)
{
	free(log->entries);
	*log = (struct limit_log){0};
}

/* ---- the order of times ---- */

static int by_clock(const void *a, const void *b)
{
	const struct limit_entry *x = a, *y = b;

	return (x->clock_ns > y->clock_ns) - (x->clock_ns < y->clock_ns);
}

static int by_true(const void *a, const void *b)
{
	const struct limit_entry *x = a, *y = b;

	return (x->true_ns > y->true_ns) - (x->true_ns < y->true_ns);
}

/* One that is in order already stays as it is: events of equal times keep theirs. */
static void sort(struct limit_log *log, enum limit_clock clock)
{
	int (*compare)(const void *, const void *) = clock == LIMIT_CLOCK_OWN ? by_clock : by_true;

	for (size_t i = 1; i < log->count; i++)
		if (compare(&log->entries[i - 1], &log->entries[i]) > 0) {
			for (size_t k = 0; k < log->count; k++)
				must(log->entries[k].event == LIMIT_EVENT_ADMITTED);
			qsort(log->entries, log->count, sizeof(*log->entries), compare);
			return;
		}
}

static uint64_t time_of(const struct limit_entry *e, enum limit_clock clock)
{
	return clock == LIMIT_CLOCK_OWN ? e->clock_ns : e->true_ns;
}

/* ---- buckets ---- */

/* By how many tokens times period the stretch that ends here is too much; 0 or less: not. */
static __int128 stretch_add(struct stretch *s, const struct limit_terms *terms, uint64_t now_ns,
			    uint64_t grace_ns, uint32_t cost)
{
	__int128 allowed = (__int128)terms->tokens * now_ns;
	__int128 before = s->sum * (__int128)terms->period_ns - allowed;

	if (!s->begun || before < s->lowest)
		s->lowest = before;
	s->begun = true;
	s->sum += cost;
	return s->sum * (__int128)terms->period_ns - allowed - s->lowest -
	       (__int128)terms->burst * terms->period_ns - (__int128)terms->tokens * grace_ns;
}

/* At least as generous as each of them. */
static struct limit_terms largest(const struct limit_terms *terms, unsigned count)
{
	struct limit_terms most = terms[0];

	for (unsigned i = 1; i < count; i++) {
		if ((__int128)terms[i].tokens * most.period_ns >
		    (__int128)most.tokens * terms[i].period_ns) {
			most.tokens = terms[i].tokens;
			most.period_ns = terms[i].period_ns;
		}
		most.burst = max_u64(most.burst, terms[i].burst);
	}
	return most;
}

static void too_much(const struct limit_entry *e, const struct limit_terms *terms, __int128 excess,
		     const char *where)
{
	fail_msg("limit %u key %u: %.9f tokens too many %s, at clock %llu (true %llu) cost %u; "
		 "%llu per %llu ns, burst %llu",
		 e->limit, e->key, (double)excess / (double)terms->period_ns, where,
		 (unsigned long long)e->clock_ns, (unsigned long long)e->true_ns, e->cost,
		 (unsigned long long)terms->tokens, (unsigned long long)terms->period_ns,
		 (unsigned long long)terms->burst);
}

void limit_log_check_bucket(struct limit_log *log, uint16_t limit, const struct limit_terms *terms,
			    unsigned terms_count, uint32_t keys, enum limit_clock clock,
			    uint64_t grace_ns)
{
	/* Between two changes each window obeys the terms in force; across changes, the
	 * largest of all. */
	struct stretch *within = calloc(keys, sizeof(*within));
	struct stretch *across = calloc(keys, sizeof(*across));
	struct limit_terms most = largest(terms, terms_count);
	unsigned in_force = 0;

	must(within && across);
	sort(log, clock);
	for (size_t i = 0; i < log->count; i++) {
		const struct limit_entry *e = &log->entries[i];
		__int128 excess;

		if (e->limit != limit)
			continue;
		switch ((enum limit_event)e->event) {
		case LIMIT_EVENT_SET:
			in_force = e->cost;
			must(in_force < terms_count);
			memset(within, 0, keys * sizeof(*within));
			continue;
		case LIMIT_EVENT_RESET:
			within[e->key] = across[e->key] = (struct stretch){0};
			continue;
		case LIMIT_EVENT_ADMITTED: break;
		}
		must(e->key < keys);
		excess = stretch_add(&within[e->key], &terms[in_force], time_of(e, clock), grace_ns,
				     e->cost);
		if (excess > 0)
			too_much(e, &terms[in_force], excess, "in one window");
		excess = stretch_add(&across[e->key], &most, time_of(e, clock), grace_ns, e->cost);
		if (excess > 0)
			too_much(e, &most, excess, "across a change");
	}
	free(within);
	free(across);
}

/* ---- windows ---- */

void limit_log_check_sliding(struct limit_log *log, uint16_t limit, const struct limit_terms *terms,
			     uint32_t keys, enum limit_clock clock, uint64_t grace_ns)
{
	uint64_t *sums = calloc(keys, sizeof(*sums));
	size_t first = 0;

	must(sums);
	sort(log, clock);
	for (size_t i = 0; i < log->count; i++) {
		const struct limit_entry *e = &log->entries[i];
		uint64_t now = time_of(e, clock);

		if (e->limit != limit)
			continue;
		for (; now - time_of(&log->entries[first], clock) + grace_ns >= terms->period_ns;
		     first++)
			if (log->entries[first].limit == limit)
				sums[log->entries[first].key] -= log->entries[first].cost;
		must(e->event == LIMIT_EVENT_ADMITTED && e->key < keys);
		sums[e->key] += e->cost;
		if (sums[e->key] > terms->tokens)
			fail_msg(
				"limit %u key %u: %llu in one window of %llu ns that ends at %llu, "
				"%llu allowed",
				limit, e->key, (unsigned long long)sums[e->key],
				(unsigned long long)terms->period_ns, (unsigned long long)now,
				(unsigned long long)terms->tokens);
	}
	free(sums);
}

static int by_key_and_clock(const void *a, const void *b)
{
	const struct limit_entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->clock_ns > y->clock_ns) - (x->clock_ns < y->clock_ns);
}

void limit_log_check_fixed(const struct limit_log *log, uint16_t limit,
			   const struct limit_terms *terms, uint32_t keys, int64_t wall_offset_ns)
{
	struct limit_entry *sorted = calloc(log->count + 1, sizeof(*sorted));
	uint64_t window = 0, sum = 0;
	size_t count = 0;

	must(sorted);
	/* By the window, in place of the clock. */
	for (size_t i = 0; i < log->count; i++) {
		struct limit_entry e = log->entries[i];
		uint64_t wall_ns = e.clock_ns + (uint64_t)wall_offset_ns;

		if (e.limit != limit)
			continue;
		must(e.event == LIMIT_EVENT_ADMITTED && e.key < keys);
		e.clock_ns = (wall_ns + e.reset_ns) / terms->period_ns - 1;
		assert_true(e.clock_ns >= wall_ns / terms->period_ns);
		assert_true(e.clock_ns <=
			    (e.true_ns + (uint64_t)wall_offset_ns) / terms->period_ns);
		sorted[count++] = e;
	}
	qsort(sorted, count, sizeof(*sorted), by_key_and_clock);
	for (size_t i = 0; i < count; i++) {
		const struct limit_entry *e = &sorted[i];

		if (i == 0 || sorted[i - 1].key != e->key || e->clock_ns != window)
			sum = 0;
		window = e->clock_ns;
		sum += e->cost;
		if (sum > terms->tokens)
			fail_msg("limit %u key %u: %llu in calendar window %llu, %llu allowed",
				 limit, e->key, (unsigned long long)sum, (unsigned long long)window,
				 (unsigned long long)terms->tokens);
	}
	free(sorted);
}

uint64_t limit_log_admitted(const struct limit_log *log, uint16_t limit, uint64_t from_ns,
			    uint64_t until_ns)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < log->count; i++) {
		const struct limit_entry *e = &log->entries[i];

		if (e->limit == limit && e->event == LIMIT_EVENT_ADMITTED &&
		    e->true_ns >= from_ns && e->true_ns < until_ns)
			sum += e->cost;
	}
	return sum;
}

/* ---- the best there is ---- */

bool limit_ideal_take(struct limit_ideal *ideal, const struct limit_terms *terms, uint32_t cost,
		      uint64_t now_ns)
{
	unsigned __int128 refilled = (unsigned __int128)terms->tokens * (now_ns - ideal->at_ns);
	unsigned __int128 wanted = (unsigned __int128)cost * terms->period_ns;

	ideal->used = ideal->used > refilled ? ideal->used - refilled : 0;
	ideal->at_ns = now_ns;
	if (ideal->used + wanted > (unsigned __int128)terms->burst * terms->period_ns)
		return false;
	ideal->used += wanted;
	return true;
}
