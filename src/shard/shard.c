#include <ringway/shard/shard.h>

#include <errno.h>
#include <stdlib.h>

#include <ringway/base/clock.h>

/* Completions taken before what they made runnable runs. */
#define BATCH 16
/* Batches of one turn: a bound, so that timers and letters keep their time. */
#define BATCHES 16

/* What nobody needs to see sooner than a second later. */
static void publish_slow(struct shard *s)
{
	struct metrics_block *b = s->metrics;

	counter_set(&b->starved, s->ring->starved);
	counter_set(&b->overflows, s->ring->overflows);
	counter_set(&b->blocks_lent, ring_lent(s->ring));
	counter_set(&b->blocks_max, s->blocks.capacity);
	counter_set(&b->turn_longest_ns, s->ring->busy_longest_ns);
	counter_set(&b->letter_lag_longest_ns, s->mailbox.lag_longest_ns);
	s->ring->busy_longest_ns = 0;
	s->mailbox.lag_longest_ns = 0;
}

static void publish_turn(struct shard *s)
{
	struct metrics_block *b = s->metrics;

	counter_set(&b->turns, s->turns);
	counter_set(&b->now_ns, s->now_ns);
	counter_set(&b->busy_ns, s->ring->busy_ns);
	counter_set(&b->operations, s->ring->asked);
	counter_set(&b->in_flight, s->ring->asked - s->ring->ended);
	counter_set(&b->blocks_in_use, s->blocks.in_use);
}

static void deliver_letters(struct shard *s)
{
	unsigned letters = mailbox_deliver(&s->mailbox);

	if (likely(!letters))
		return;
	counter_add(&s->metrics->letters, letters);
	counter_set(&s->metrics->letter_lag_ns, s->mailbox.lag_ns);
}

static void upkeep(struct timer *t)
{
	struct shard *s = container_of(t, struct shard, upkeep);

	s->unix_offset_us = clock_unix_us() - s->now_ns / NS_PER_US;
	block_pool_trim(&s->blocks);
	publish_slow(s);
	timer_set(&s->timers, t, s->now_ns + NS_PER_S);
}

int shard_init(struct shard *s, uint16_t index, uint32_t blocks, unsigned senders)
{
	return shard_init_in(s, index, blocks, senders, NULL);
}

int shard_init_in(struct shard *s, uint16_t index, uint32_t blocks, unsigned senders,
		  void *mailbox)
{
	int err;

	memset(s, 0, sizeof(*s));
	s->index = index;
	list_init(&s->runnables);
	list_init(&s->later);
	s->own_metrics = aligned_alloc(CACHE_LINE, sizeof(*s->own_metrics));
	if (!s->own_metrics)
		return -ENOMEM;
	memset(s->own_metrics, 0, sizeof(*s->own_metrics));
	s->metrics = s->own_metrics;
	err = block_pool_init(&s->blocks, blocks);
	if (err)
		goto fail;
	err = mailbox_init(&s->mailbox, senders, mailbox);
	if (!err)
		return 0;
	block_pool_fini(&s->blocks);
fail:
	free(s->own_metrics);
	return err;
}

void shard_open(struct shard *s, struct ring *ring, uint64_t now_ns)
{
	s->ring = ring;
	s->mailbox.wake = ring;
	s->now_ns = now_ns;
	s->unix_offset_us = clock_unix_us() - now_ns / NS_PER_US;
	timers_init(&s->timers, now_ns);
	timer_init(&s->upkeep, upkeep);
	timer_set(&s->timers, &s->upkeep, now_ns + NS_PER_S);
}

static void run_runnables(struct shard *s)
{
	struct list *link;

	while ((link = list_pop_front(&s->runnables))) {
		struct runnable *r = list_entry(link, struct runnable, link);

		r->run(r);
	}
}

void shard_turn(struct shard *s, uint64_t until_ns)
{
	uint64_t timer_ns = timers_next_ns(&s->timers);
	unsigned taken, completions = 0;
	struct list *link;

	if (timer_ns < until_ns)
		until_ns = timer_ns;
	/* What was marked outside a turn, such as before the first one. */
	if (!list_is_empty(&s->runnables))
		until_ns = 0;
	if (until_ns && !mailbox_sleep(&s->mailbox))
		until_ns = 0;
	s->now_ns = ring_wait(s->ring, until_ns);
	mailbox_awake(&s->mailbox);
	s->turns++;
	publish_turn(s);

	for (unsigned i = 0; i < BATCHES; i++) {
		taken = ring_drain(s->ring, BATCH);
		completions += taken;
		run_runnables(s);
		if (taken < BATCH)
			break;
		ring_flush(s->ring);
	}
	counter_add(&s->metrics->completions, completions);
	timers_run(&s->timers, s->now_ns);
	deliver_letters(s);
	run_runnables(s);
	while ((link = list_pop_front(&s->later)))
		list_push_back(&s->runnables, link);
}

void shard_run(struct shard *s)
{
	while (!s->stopped)
		shard_turn(s, UINT64_MAX);
}

void shard_stop(struct shard *s)
{
	s->stopped = true;
}

void shard_fini(struct shard *s)
{
	ring_destroy(s->ring);
	mailbox_fini(&s->mailbox);
	block_pool_fini(&s->blocks);
	free(s->own_metrics);
	s->own_metrics = NULL;
	s->metrics = NULL;
}
