/* One thread, one ring, one loop.
 *
 * A turn: hand operations to the kernel and wait; take completions in small batches,
 * each of which only stores its result and marks work runnable; run what is runnable;
 * then timers and letters. What a batch produced is handed over before the next one,
 * so that the first answer does not wait for the last.
 */
#ifndef RINGWAY_SHARD_SHARD_H
#define RINGWAY_SHARD_SHARD_H

#include <ringway/observe/metrics.h>
#include <ringway/shard/block.h>
#include <ringway/shard/mailbox.h>
#include <ringway/shard/ring.h>
#include <ringway/shard/timer.h>

/* Work that waits for its turn; in the queue once, however often it is marked. */
struct runnable {
	struct list link;
	void (*run)(struct runnable *r);
};

struct shard {
	struct ring *ring;
	struct block_pool blocks;
	struct timers timers;
	struct mailbox mailbox;
	struct metrics_block *metrics;     /* where it counts: own_metrics until it is told */
	struct metrics_block *own_metrics; /* seen by nobody */
	struct list runnables;
	struct list later; /* runnable in the next turn */
	uint64_t now_ns;         /* monotonic, read once a turn */
	uint64_t unix_offset_us; /* wall clock minus monotonic */
	uint16_t index;
	bool stopped;
	uint64_t turns;
	struct timer upkeep; /* once a second: trims blocks, sets the wall clock right */
};

/* Everything but the ring, which is made on the shard's own thread (shard_open). */
int shard_init(struct shard *s, uint16_t index, uint32_t blocks, unsigned senders);
/* The same with the mailbox in memory of the caller's, see mailbox_init(). */
int shard_init_in(struct shard *s, uint16_t index, uint32_t blocks, unsigned senders,
                  void *mailbox);
/* On the shard's thread; takes the ring. Its clock starts at now_ns. */
void shard_open(struct shard *s, struct ring *ring, uint64_t now_ns);
/* Turns until shard_stop(). */
void shard_run(struct shard *s);
/* One turn, waiting no longer than until_ns (0: not at all). */
void shard_turn(struct shard *s, uint64_t until_ns);
/* On the shard's own thread: the current turn is the last. */
void shard_stop(struct shard *s);
/* After the last turn: the ring goes, then the rest. */
void shard_fini(struct shard *s);

static inline void runnable_init(struct runnable *r, void (*run)(struct runnable *r))
{
	list_init(&r->link);
	r->run = run;
}

static inline void shard_mark(struct shard *s, struct runnable *r)
{
	if (list_is_alone(&r->link))
		list_push_back(&s->runnables, &r->link);
}

/* For work that is rationed by turns: what completions bring meanwhile comes first. */
static inline void shard_mark_later(struct shard *s, struct runnable *r)
{
	if (list_is_alone(&r->link))
		list_push_back(&s->later, &r->link);
}

static inline void runnable_stop(struct runnable *r)
{
	list_remove(&r->link);
}

static inline uint64_t shard_unix_us(const struct shard *s)
{
	return s->now_ns / NS_PER_US + s->unix_offset_us;
}

#endif
