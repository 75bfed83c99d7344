#include <ringway/policy/policy.h>

void policy_shard_init(struct policy_shard *ps, struct shard *shard)
{
	ps->shard = shard;
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
	for (uint32_t i = 0; i < run->fields_len; i++)
		if (f->id == run->fields[i].id && span_ieq(f->name, run->fields[i].name))
			return true;
	return false;
}

void policy_run_put_fields(const struct policy_run *run, struct http_fields *to)
{
	uint32_t len = 0;

	if (!run->fields_len)
		return;
	for (uint32_t i = 0; i < to->len; i++)
		if (!is_ours(run, &to->at[i]))
			to->at[len++] = to->at[i];
	to->len = len;
	for (uint32_t i = 0; i < run->fields_len; i++)
		http_fields_add(to, run->fields[i].id, run->fields[i].name,
				run->fields[i].value);
}
