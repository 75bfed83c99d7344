/* Each shard by itself: its loop, and how much of the load it has. */
#include "exposition.h"

#define FIELD(name) offsetof(struct metrics_block, name)
#define NS_DECIMALS 9

static void set_shard(struct exposition *e, unsigned shard)
{
	e->labels.len = 0;
	if (shard == e->from->view.size.shards)
		exposition_label(&e->labels, "shard", "control");
	else
		exposition_label_number(&e->labels, "shard", shard);
}

/* Every shard, control too. */
static const struct exposition_figure loop[] = {
	{{"ringway_shard_turns_total", EXPOSITION_COUNTER, "Turns of the loop."}, FIELD(turns)},
	{{"ringway_shard_completions_total", EXPOSITION_COUNTER,
	  "Completions that the ring brought; divided by the turns it is the batch."},
	 FIELD(completions)},
	{{"ringway_shard_busy_seconds_total", EXPOSITION_COUNTER,
	  "Time between two waits for the ring; work of the kernel inside a wait is not in it."},
	 FIELD(busy_ns),
	 NS_DECIMALS},
	{{"ringway_shard_longest_turn_seconds", EXPOSITION_GAUGE,
	  "The longest turn of the last second."},
	 FIELD(turn_longest_ns),
	 NS_DECIMALS},
	{{"ringway_shard_operations_total", EXPOSITION_COUNTER, "Operations asked of the ring."},
	 FIELD(operations)},
	{{"ringway_shard_ring_depth", EXPOSITION_GAUGE,
	  "Operations that the ring has and that have not ended yet."},
	 FIELD(in_flight)},
	{{"ringway_shard_starved_total", EXPOSITION_COUNTER,
	  "Receives that found no free buffer and waited for one."},
	 FIELD(starved)},
	{{"ringway_shard_overflows_total", EXPOSITION_COUNTER,
	  "Overflows of the completion queue: 0, or there is a bug."},
	 FIELD(overflows)},
	{{"ringway_shard_exhausted_total", EXPOSITION_COUNTER,
	  "Times that descriptors or slots had run out."},
	 FIELD(exhausted)},
	{{"ringway_shard_buffers_in_use", EXPOSITION_GAUGE,
	  "Buffers in use, those that lie with the kernel included."},
	 FIELD(blocks_in_use)},
	{{"ringway_shard_buffers_lent", EXPOSITION_GAUGE,
	  "Buffers that lie with the kernel for receives."},
	 FIELD(blocks_lent)},
	{{"ringway_shard_buffers_max", EXPOSITION_GAUGE, "Buffers that there are."},
	 FIELD(blocks_max)},
	{{"ringway_shard_letters_total", EXPOSITION_COUNTER,
	  "Letters from other threads that the shard has read."},
	 FIELD(letters)},
	{{"ringway_shard_letter_lag_seconds", EXPOSITION_GAUGE,
	  "How long the oldest letter of the last batch had lain in the mailbox."},
	 FIELD(letter_lag_ns),
	 NS_DECIMALS},
	{{"ringway_shard_longest_letter_lag_seconds", EXPOSITION_GAUGE,
	  "How long any letter of the last second had lain in the mailbox at most."},
	 FIELD(letter_lag_longest_ns),
	 NS_DECIMALS},
};

/* Data shards. */
static const struct exposition_figure load[] = {
	{{"ringway_connections", EXPOSITION_GAUGE, "Connections of clients now."},
	 FIELD(connections)},
	{{"ringway_connections_accepted_total", EXPOSITION_COUNTER,
	  "Connections of clients that were accepted."},
	 FIELD(accepted)},
	{{"ringway_connections_refused_total", EXPOSITION_COUNTER,
	  "Connections of clients that were closed at once since the process was full."},
	 FIELD(refused_full)},
	{{"ringway_connections_reclaimed_total", EXPOSITION_COUNTER,
	  "Idle connections of clients that were closed to make room."},
	 FIELD(reclaimed)},
	{{"ringway_shard_requests_total", EXPOSITION_COUNTER, "Requests that have ended."},
	 FIELD(requests)},
	{{"ringway_shard_requests_in_progress", EXPOSITION_GAUGE, "Requests that are in progress."},
	 FIELD(requests_now)},
};

static void put_figures(struct exposition *e, const struct exposition_figure *figures, size_t len,
			unsigned shards)
{
	for (size_t i = 0; i < len; i++) {
		exposition_head(&e->text, &figures[i].family);
		for (unsigned shard = 0; shard < shards; shard++) {
			const struct metrics_block *b = metrics_block_of(&e->from->view, shard);
			struct exposition_number n = {exposition_counter(b, figures[i].offset),
						      figures[i].decimals};

			set_shard(e, shard);
			exposition_put(e, &figures[i].family, n);
		}
	}
}

static void put_cpus(struct exposition *e, unsigned shards)
{
	static const struct exposition_family
		info = {"ringway_shard_info", EXPOSITION_INFO,
			"The CPU that the shard is pinned to, empty when it is to none; always 1."},
		time = {"ringway_shard_cpu_seconds_total", EXPOSITION_COUNTER,
			"CPU time of the shard's thread, user and system."};

	exposition_head(&e->text, &info);
	for (unsigned i = 0; i < shards; i++) {
		uint64_t cpu = counter_get(&metrics_block_of(&e->from->view, i)->cpu);

		set_shard(e, i);
		if (cpu)
			exposition_label_number(&e->labels, "cpu", cpu - 1);
		else
			exposition_label(&e->labels, "cpu", "");
		exposition_put(e, &info, (struct exposition_number){1});
	}
	exposition_head(&e->text, &time);
	for (unsigned i = 0; i < shards; i++) {
		set_shard(e, i);
		exposition_put(e, &time,
			       (struct exposition_number){e->from->cpu_ns[i], NS_DECIMALS});
	}
}

void exposition_shards(struct exposition *e)
{
	static const struct exposition_family imbalance = {
		"ringway_shard_imbalance_ratio", EXPOSITION_GAUGE,
		"CPU time of the busiest data shard over their mean, of the last 5 seconds; "
		"1 when all have the same, or when there is hardly any load."};
	unsigned shards = e->from->view.size.shards;

	put_cpus(e, shards + 1);
	put_figures(e, loop, ARRAY_LEN(loop), shards + 1);
	put_figures(e, load, ARRAY_LEN(load), shards);
	exposition_single(e, &imbalance, (struct exposition_number){e->from->imbalance_milli, 3});
}
