#include <ringway/policy/policy.h>

#include <ringway/limit/limiter.h>
#include <ringway/observe/metrics.h>

static void publish(const struct policy_shard *ps)
{
	struct metrics_limiter *m = &ps->metrics->block->limiter;
	struct limiter_stats s;

	limiter_shard_stats(ps->limiter_shard, &s);
	counter_set(&m->inserted, s.inserted);
	counter_set(&m->evicted, s.evicted);
	counter_set(&m->no_room, s.no_room);
	counter_set(&m->promoted, s.promoted);
	counter_set(&m->demoted, s.demoted);
	counter_set(&m->leased, s.leased);
	counter_set(&m->unleased, s.unleased);
	counter_set(&m->lease_hits, s.lease_hits);
	counter_set(&m->retries, s.retries);
	counter_set(&m->over_admitted, s.over_admitted);
	counter_set(&m->out_on_lease, s.out_on_lease);
	counter_set(&m->upkeep_ns, s.upkeep_ns);
}

static void on_upkeep(struct timer *t)
{
	struct policy_shard *ps = container_of(t, struct policy_shard, upkeep);
	bool again = ps->decided;

	ps->decided = false;
	limiter_upkeep(ps->limiter_shard, ps->shard->now_ns);
	publish(ps);
	if (again || limiter_shard_has_leases(ps->limiter_shard))
		timer_set(&ps->shard->timers, t, ps->shard->now_ns + LIMITER_UPKEEP_NS);
}

void policy_shard_decided(struct policy_shard *ps)
{
	ps->decided = true;
	if (!ps->upkeep.due_ns)
		timer_set(&ps->shard->timers, &ps->upkeep, ps->shard->now_ns + LIMITER_UPKEEP_NS);
}

int policy_shard_init(struct policy_shard *ps, struct shard *shard, struct limiter *limiter,
		      struct metrics_shard *metrics)
{
	ps->shard = shard;
	ps->limiter = limiter;
	ps->limiter_shard = NULL;
	ps->metrics = metrics;
	ps->decided = false;
	timer_init(&ps->upkeep, on_upkeep);
	return limiter ? limiter_shard_create(limiter, shard->index, &ps->limiter_shard) : 0;
}

void policy_shard_fini(struct policy_shard *ps)
{
	limiter_shard_destroy(ps->limiter_shard);
	ps->limiter_shard = NULL;
}

static void on_timer(struct timer *t)
{
	struct policy_run *run = container_of(t, struct policy_run, timer);

	run->resume(run);
}

/* The exchange has cleared it. */
void policy_run_init(struct policy_run *run, struct policy_shard *at,
		     const struct attributes *attributes, struct arena *arena,
		     void (*resume)(struct policy_run *run))
{
	run->at = at;
	run->attributes = attributes;
	run->arena = arena;
	run->resume = resume;
	timer_init(&run->timer, on_timer);
}

void policy_run_finish(struct policy_run *run, const struct policy_chain *chain, uint32_t passed)
{
	for (uint32_t i = 0; i < passed; i++) {
		const struct policy *p = &chain->policies[i];

		if (p->ops->on_finish)
			p->ops->on_finish(p, run);
	}
}

static bool is_ours(const struct policy_run *run, const struct http_field *f)
{
	for (uint32_t i = 0; i < run->fields_len; i++) {
		const struct http_field *own = &run->fields[i];

		/* Most differ in length: every field of every answer comes by here. */
		if (f->name.len == own->name.len && f->id == own->id &&
		    span_ieq(f->name, own->name))
			return true;
	}
	return false;
}

void policy_run_put_fields(const struct policy_run *run, struct http_fields *to)
{
	uint32_t len = 0;

	if (!run->fields_len)
		return;
	for (uint32_t i = 0; i < to->len; i++) {
		if (is_ours(run, &to->at[i]))
			continue;
		if (len != i)
			to->at[len] = to->at[i];
		len++;
	}
	to->len = len;
	for (uint32_t i = 0; i < run->fields_len; i++)
		http_fields_add(to, run->fields[i].id, run->fields[i].name,
				run->fields[i].value);
}
