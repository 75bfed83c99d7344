#include <ringway/policy/policy.h>

static void on_timer(struct timer *t)
{
	struct policy_run *run = container_of(t, struct policy_run, timer);

	run->resume(run);
}

void policy_run_init(struct policy_run *run, struct shard *shard,
		     const struct attributes *attributes, struct arena *arena,
		     void (*resume)(struct policy_run *run))
{
	run->shard = shard;
	run->attributes = attributes;
	run->arena = arena;
	run->resume = resume;
	timer_init(&run->timer, on_timer);
	run->waiting = false;
	run->status = 0;
	run->detail = NULL;
}
