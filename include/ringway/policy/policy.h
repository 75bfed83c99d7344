/* Policies: what a request has to pass before its source is asked.
 *
 * A chain is built once per route, when a snapshot is made, and never changes. Each
 * request goes along it: a policy answers NEXT, ANSWER or WAIT. WAIT suspends the
 * request, under its total deadline, until the policy calls resume; then the same
 * policy is asked again. A client that vanishes, or a deadline, cancels the wait.
 */
#ifndef RINGWAY_POLICY_POLICY_H
#define RINGWAY_POLICY_POLICY_H

#include <ringway/policy/attribute.h>
#include <ringway/shard/shard.h>

enum policy_verdict { POLICY_NEXT, POLICY_ANSWER, POLICY_WAIT };

struct policy;

/* One request on its way along a chain; embedded in the exchange. */
struct policy_run {
	struct shard *shard;
	const struct attributes *attributes;
	struct arena *arena;
	void (*resume)(struct policy_run *run); /* the exchange's: marks it runnable */
	struct timer timer; /* for the policy that waits */
	bool waiting;       /* the present policy has said WAIT before */

	/* Set by a policy that says ANSWER. */
	uint16_t status;
	const char *detail;
};

struct policy_ops {
	const char *name;
	enum policy_verdict (*on_request)(const struct policy *p, struct policy_run *run);
	/* Ends a wait that will not be resumed. */
	void (*cancel)(const struct policy *p, struct policy_run *run);
};

struct policy {
	const struct policy_ops *ops;
	union {
		uint64_t delay_ns; /* delay.c */
	};
};

struct policy_chain {
	const struct policy *policies;
	uint32_t len;
};

void policy_run_init(struct policy_run *run, struct shard *shard,
                     const struct attributes *attributes, struct arena *arena,
                     void (*resume)(struct policy_run *run));

/* `delay` of a route: holds each request back for so long. */
struct policy policy_delay(uint64_t delay_ns);

#endif
