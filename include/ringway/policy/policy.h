/* Policies: what a request has to pass before its source is asked.
 *
 * A chain is built once per route, when a snapshot is made, and never changes. Each
 * request goes along it: a policy answers NEXT, ANSWER or WAIT. WAIT suspends the
 * request, under its total deadline, until the policy calls resume; then the same
 * policy is asked again. A client that vanishes, or a deadline, cancels the wait.
 * A policy that said NEXT may have something to do at the request's end.
 */
#ifndef RINGWAY_POLICY_POLICY_H
#define RINGWAY_POLICY_POLICY_H

#include <ringway/config/config.h>
#include <ringway/policy/attribute.h>
#include <ringway/shard/shard.h>

enum policy_verdict { POLICY_NEXT, POLICY_ANSWER, POLICY_WAIT };

struct limiter;
struct limiter_shard;
struct limits_use;
struct metrics;
struct metrics_shard;
struct policy;

/* What policies keep on one shard. */
struct policy_shard {
	struct shard *shard;
	struct limiter *limiter; /* NULL: no limits are decided here */
	struct limiter_shard *limiter_shard;
	struct metrics_shard *metrics;
	struct timer upkeep;     /* of leases and counters, while limits are decided */
	bool decided;            /* since its last time */
};

/* -ENOMEM. No limiter: none of the chains has limits. */
int policy_shard_init(struct policy_shard *ps, struct shard *shard, struct limiter *limiter,
                      struct metrics_shard *metrics);
void policy_shard_fini(struct policy_shard *ps);

/* What policies add to the answer, whoever makes it: at most so many fields. */
#define POLICY_FIELDS_MAX 6

/* What a policy that says ANSWER wants said, as a problem of RFC 9457. */
struct policy_answer {
	uint16_t status;
	enum access_cause cause;
	const char *type;    /* NULL: about:blank */
	const char *title;   /* NULL: the status says it */
	const char *detail;
	struct span members; /* more of JSON, without the comma in front; may be empty */
};

/* One request on its way along a chain; embedded in the exchange. */
struct policy_run {
	struct policy_shard *at;
	const struct attributes *attributes;
	struct arena *arena;
	void (*resume)(struct policy_run *run); /* the exchange's: marks it runnable */
	struct timer timer; /* for the policy that waits */
	bool waiting;       /* the present policy has said WAIT before */

	struct policy_answer answer; /* set by a policy that says ANSWER */
	struct http_field fields[POLICY_FIELDS_MAX]; /* of the answer */
	uint32_t fields_len;
	struct span limit;         /* the name of the limit that refused */
	struct limit_held *held;   /* limit.c: to be given back at the end */
	uint32_t held_len;
};

struct policy_ops {
	const char *name;
	enum policy_verdict (*on_request)(const struct policy *p, struct policy_run *run);
	/* Ends a wait that will not be resumed. NULL: it never waits. */
	void (*cancel)(const struct policy *p, struct policy_run *run);
	/* The request has ended, however; for policies that said NEXT. NULL: nothing to do. */
	void (*on_finish)(const struct policy *p, struct policy_run *run);
};

struct policy {
	const struct policy_ops *ops;
	union {
		uint64_t delay_ns;               /* delay.c */
		const struct limits_use *limits; /* limit.c */
	};
};

struct policy_chain {
	const struct policy *policies;
	uint32_t len;
};

void policy_run_init(struct policy_run *run, struct policy_shard *at,
                     const struct attributes *attributes, struct arena *arena,
                     void (*resume)(struct policy_run *run));
/* The first `passed` policies of the chain said NEXT. */
void policy_run_finish(struct policy_run *run, const struct policy_chain *chain,
                       uint32_t passed);
/* Puts the policies' fields where others of their names stood; there is room. */
void policy_run_put_fields(const struct policy_run *run, struct http_fields *to);

/* `delay` of a route: holds each request back for so long. */
struct policy policy_delay(uint64_t delay_ns);

/* The limits of a route, all or none. What it refers to is put into the arena; limiter and
 * metrics learn their names. -ENOMEM, -ENOSPC: see limiter_add(). */
int policy_limits(const struct config_route *route, struct limiter *limiter,
                  struct metrics *metrics, struct arena *arena, struct policy *ret_policy);
/* A limit was decided on the shard. */
void policy_shard_decided(struct policy_shard *ps);
#endif
