/* What a configured limit is called by the limiter, and with which terms.
 */
#ifndef RINGWAY_POLICY_LIMIT_H
#define RINGWAY_POLICY_LIMIT_H

#include <ringway/config/config.h>
#include <ringway/limit/limiter.h>

/* A limit's cap on concurrency is known by the limit's name with this in front: a route may
 * be called anything, so that nothing behind the name would tell the two apart. */
#define POLICY_CONCURRENCY_PREFIX "concurrency:"

struct policy_limit_terms {
	char name[LIMIT_NAME_BYTES];
	struct limit_terms terms;
};

/* Its rate and its cap, as far as it has them; returns how many. */
unsigned policy_limit_terms(const struct config_limit *c, struct policy_limit_terms ret_terms[2]);

#endif
