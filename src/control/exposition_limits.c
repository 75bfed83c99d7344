/* Rate limits: decisions by limit, and the limiter that makes them. */
#include "exposition.h"

#define NS_DECIMALS 9

/* Upkeep comes every 20 ms where leases are out: tokens on a shard that is so late are said to
 * be stranded. */
#define STRANDED_NS (100 * NS_PER_MS)

/* ---- by limit ---- */

static uint64_t sum_of_limit(const struct metrics_view *v, uint32_t limit, size_t offset)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < v->size.shards; i++)
		n += exposition_counter(metrics_limit_of(v, i, limit), offset);
	return n;
}

static void set_limit(struct exposition *e, uint32_t limit)
{
	struct metrics_name name;

	metrics_name_of(e->from->view.limits, limit, &name);
	e->labels.len = 0;
	exposition_label(&e->labels, "limit", name.name);
}

/* The one that stands for all that found no number is there when it was needed. */
static bool has_limit(const struct metrics_view *v, uint32_t limit)
{
	return limit != METRICS_OVERFLOW || counter_get(&v->limits->refused);
}

static void put_decisions(struct exposition *e)
{
	static const struct exposition_family
		decisions = {"ringway_limit_decisions_total", EXPOSITION_COUNTER,
			     "Requests that a limit decided about; no_room: its table was full."},
		coarse = {"ringway_limit_coarse_decisions_total", EXPOSITION_COUNTER,
			  "Decisions for keys that shared a slot since the table was full."};
	static const struct {
		const char *outcome;
		size_t offset;
	} outcomes[] = {
		{"admitted", offsetof(struct metrics_limit, admitted)},
		{"refused", offsetof(struct metrics_limit, refused)},
		{"no_room", offsetof(struct metrics_limit, no_room)},
	};
	const struct metrics_view *v = &e->from->view;
	uint32_t len = metrics_limits_len(v);

	exposition_head(&e->text, &decisions);
	for (uint32_t i = 0; i < len; i++)
		for (size_t k = 0; has_limit(v, i) && k < ARRAY_LEN(outcomes); k++) {
			set_limit(e, i);
			exposition_label(&e->labels, "outcome", outcomes[k].outcome);
			exposition_put(
				e, &decisions,
				(struct exposition_number){sum_of_limit(v, i, outcomes[k].offset)});
		}
	exposition_head(&e->text, &coarse);
	for (uint32_t i = 0; i < len; i++) {
		if (!has_limit(v, i))
			continue;
		set_limit(e, i);
		exposition_put(e, &coarse,
			       (struct exposition_number){
				       sum_of_limit(v, i, offsetof(struct metrics_limit, coarse))});
	}
}

static void put_waits(struct exposition *e)
{
	static const struct exposition_family wait = {
		"ringway_limit_wait_seconds", EXPOSITION_HISTOGRAM,
		"How long refused clients were told to wait, before Retry-After is rounded up."};
	const struct metrics_view *v = &e->from->view;
	struct histogram_reading reading;

	histogram_reading_init(&reading, HISTOGRAM_TIMES);
	for (unsigned i = 0; i < v->size.shards; i++)
		histogram_read_times(&reading, &metrics_block_of(v, i)->limits_wait_us);
	exposition_head(&e->text, &wait);
	e->labels.len = 0;
	exposition_times(e, &wait, &reading);
}

/* ---- the limiter ---- */

#define FIELD(name) offsetof(struct metrics_limiter, name)

static const struct exposition_figure sums[] = {
	{{"ringway_limiter_inserted_keys_total", EXPOSITION_COUNTER,
	  "Keys that got a slot in the tables."},
	 FIELD(inserted)},
	{{"ringway_limiter_evicted_keys_total", EXPOSITION_COUNTER,
	  "Idle keys whose slot another key got; they were as good as new."},
	 FIELD(evicted)},
	{{"ringway_limiter_no_room_total", EXPOSITION_COUNTER,
	  "Decisions for keys that found no slot."},
	 FIELD(no_room)},
	{{"ringway_limiter_promotions_total", EXPOSITION_COUNTER,
	  "Leases begun: a key was taken often on one shard."},
	 FIELD(promoted)},
	{{"ringway_limiter_demotions_total", EXPOSITION_COUNTER, "Leases ended."}, FIELD(demoted)},
	{{"ringway_limiter_leased_tokens_total", EXPOSITION_COUNTER,
	  "Tokens that shards took ahead of need."},
	 FIELD(leased)},
	{{"ringway_limiter_returned_tokens_total", EXPOSITION_COUNTER,
	  "Tokens of leases that were given back unspent."},
	 FIELD(unleased)},
	{{"ringway_limiter_lease_hits_total", EXPOSITION_COUNTER,
	  "Decisions that a lease made, without the shared slot."},
	 FIELD(lease_hits)},
	{{"ringway_limiter_retries_total", EXPOSITION_COUNTER,
	  "Decisions on a shared slot that another shard was faster at, and that were made again."},
	 FIELD(retries)},
	{{"ringway_limiter_over_admitted_tokens_total", EXPOSITION_COUNTER,
	  "Tokens found above the bound that is promised: 0, or there is a bug."},
	 FIELD(over_admitted)},
};

static const struct metrics_limiter *limiter_of(const struct exposition *e, unsigned shard)
{
	return &metrics_block_of(&e->from->view, shard)->limiter;
}

static uint64_t sum(const struct exposition *e, size_t offset)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < e->from->view.size.shards; i++)
		n += exposition_counter(limiter_of(e, i), offset);
	return n;
}

/* Since the last upkeep; 0: nothing is due, there are no leases. */
static uint64_t lag_ns(const struct exposition *e, unsigned shard)
{
	uint64_t last = counter_get(&limiter_of(e, shard)->upkeep_ns);

	return last && e->from->now_ns > last ? e->from->now_ns - last : 0;
}

static void put_leases(struct exposition *e)
{
	static const struct exposition_family
		on_lease = {"ringway_limiter_tokens_on_lease", EXPOSITION_GAUGE,
			    "Tokens that the shard holds ahead of need."},
		lag = {"ringway_limiter_lease_lag_seconds", EXPOSITION_GAUGE,
		       "Time since the shard last gave idle leases back; 0 when it has none."},
		stranded = {"ringway_limiter_stranded_tokens", EXPOSITION_GAUGE,
			    "Tokens on lease to shards that should have looked at them more than "
			    "80 ms ago: nobody else can spend them."};
	unsigned shards = e->from->view.size.shards;
	uint64_t lost = 0;

	exposition_head(&e->text, &on_lease);
	for (unsigned i = 0; i < shards; i++) {
		uint64_t tokens = counter_get(&limiter_of(e, i)->out_on_lease);

		e->labels.len = 0;
		exposition_label_number(&e->labels, "shard", i);
		exposition_put(e, &on_lease, (struct exposition_number){tokens});
		lost += lag_ns(e, i) > STRANDED_NS ? tokens : 0;
	}
	exposition_head(&e->text, &lag);
	for (unsigned i = 0; i < shards; i++) {
		e->labels.len = 0;
		exposition_label_number(&e->labels, "shard", i);
		exposition_put(e, &lag, (struct exposition_number){lag_ns(e, i), NS_DECIMALS});
	}
	exposition_single(e, &stranded, (struct exposition_number){lost});
}

static void put_tables(struct exposition *e)
{
	static const struct exposition_family
		keys = {"ringway_limiter_keys", EXPOSITION_GAUGE,
			"Keys in the tables now; idle ones stay until their slot is wanted."},
		slots = {"ringway_limiter_slots", EXPOSITION_GAUGE,
			 "Keys that the tables can hold: buckets, fixed windows and caps, or "
			 "sliding "
			 "windows."},
		hot = {"ringway_limiter_hot_keys", EXPOSITION_GAUGE, "Keys with leases now."};
	const struct metrics_process *p = e->from->view.process;
	/* Evictions first: what is read later can only have grown, so this is never below 0. */
	uint64_t evicted = sum(e, FIELD(evicted));
	uint64_t ever = sum(e, FIELD(inserted)) + counter_get(&p->limit_keys_loaded);

	exposition_single(e, &keys,
			  (struct exposition_number){ever > evicted ? ever - evicted : 0});
	exposition_head(&e->text, &slots);
	e->labels.len = 0;
	exposition_label(&e->labels, "table", "keys");
	exposition_put(e, &slots, (struct exposition_number){counter_get(&p->limit_keys_max)});
	e->labels.len = 0;
	exposition_label(&e->labels, "table", "windows");
	exposition_put(e, &slots, (struct exposition_number){counter_get(&p->limit_windows_max)});
	exposition_single(e, &hot, (struct exposition_number){e->from->hot_keys});
}

void exposition_limits(struct exposition *e)
{
	put_decisions(e);
	put_waits(e);
	put_tables(e);
	for (size_t i = 0; i < ARRAY_LEN(sums); i++)
		exposition_single(e, &sums[i].family,
				  (struct exposition_number){sum(e, sums[i].offset)});
	put_leases(e);
}
