/* `delay` of a route: each request waits before its source is asked. For tests of what
 * stands in front of the gateway, and for whoever wants to know how a slow route feels.
 */
#include <ringway/policy/policy.h>

static enum policy_verdict delay_on_request(const struct policy *p, struct policy_run *run)
{
	if (run->waiting)
		return POLICY_NEXT;
	timer_set(&run->at->shard->timers, &run->timer, run->at->shard->now_ns + p->delay_ns);
	return POLICY_WAIT;
}

static void delay_cancel(const struct policy *p UNUSED, struct policy_run *run)
{
	timer_stop(&run->timer);
}

static const struct policy_ops delay_ops = {
	.name = "delay",
	.on_request = delay_on_request,
	.cancel = delay_cancel,
};

struct policy policy_delay(uint64_t delay_ns)
{
	return (struct policy){.ops = &delay_ops, .delay_ns = delay_ns};
}
