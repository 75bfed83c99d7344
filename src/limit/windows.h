/* Sliding windows: at most `burst` tokens in every window, counted in eighths of it.
 *
 * Time is cut into sub-windows of an eighth (rounded up), numbered by the monotonic clock. A
 * window that ends in sub-window k reaches back into k - 8 at most, both edges included, so a
 * decision in k counts k - 8 to k, all of them whole.
 *
 * A key's cell has the number of its latest sub-window, what was taken in it, and for how
 * many before it the counts are kept; those counts lie beside the cell, each tagged with its
 * number. Only a swap of the cell decides. Before a swap moves the cell on to a later
 * sub-window, the count that it leaves behind is written to its place, and zeroes for those
 * skipped: from the value read before, after another look that the cell has not changed, so
 * anybody may do it, any number of times, and a sleeper's write fails. A count is only ever
 * raised: what was given back between may be counted once more, and admits less.
 *
 * Ten are kept, two more than one clock needs: a shard whose clock lags counts from its own
 * k - 8 up to the cell's latest. If it lags by more than two sub-windows it is refused.
 */
#ifndef RINGWAY_LIMIT_WINDOWS_H
#define RINGWAY_LIMIT_WINDOWS_H

#include "slots.h"

#define WINDOW_KEPT   10
#define WINDOW_BACK   8
#define WINDOW_COARSE 8 /* shared cells of each limit */
/* 16 bytes of cell and 40 of history: 62.3 for each key. */
#define WINDOWS_PERCENT 90

struct window_history {
	_Atomic uint32_t count[WINDOW_KEPT]; /* number mod 4096 << 20 | tokens */
};

struct windows {
	struct slots slots;
	struct window_history *history; /* of each cell, those of the limits behind */
};

struct limiter;
struct taking;
struct limit_verdict;
struct limit_view;

void windows_take(struct taking *by, struct limit_verdict *verdict);
void windows_give(struct taking *by, bool coarse);
/* False: it is fresh. */
bool windows_look(const struct taking *by, const struct limiter *l, struct limit_view *ret_view);
void windows_reset(const struct taking *by, const struct limiter *l);

/* ---- for saving ---- */

struct window_state {
	uint64_t number;
	uint32_t tokens[WINDOW_KEPT + 1]; /* the latest first */
};

/* Of a table in which nobody decides. */
void windows_state(const struct windows *w, const struct cell *c, struct window_state *ret_state);
void windows_restore(const struct windows *w, struct cell *c, uint64_t key,
		     const struct window_state *state);

#endif
