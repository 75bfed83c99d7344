/* How a client learns where it stands: RateLimit and RateLimit-Policy
 * (draft-ietf-httpapi-ratelimit-headers-10), X-RateLimit-*, Retry-After (RFC 9110 section
 * 10.2.3).
 */
#ifndef RINGWAY_POLICY_LIMIT_FIELDS_H
#define RINGWAY_POLICY_LIMIT_FIELDS_H

#include <ringway/limit/limiter.h>
#include <ringway/config/config.h>
#include <ringway/policy/policy.h>

/* Text of one field; what does not fit any more is left out whole, so that what is there
 * can be read. */
struct limit_text {
	char at[512];
	size_t len;
};

struct limit_fields {
	struct limit_text policies, standing; /* lists of the IETF's */
	bool has_x;
	uint64_t x_limit, x_remaining, x_reset_s; /* of the limit that is nearest to its end */
};

/* What RateLimit-Policy says of a limit, ready made for the terms that it was configured with. */
struct limit_policy {
	struct limit_terms terms;
	struct span text;  /* the name in quotes, then quota and window */
	size_t name_bytes; /* of the name with its quotes */
};

/* The text is the arena's; false: it is exhausted. */
bool limit_policy_init(struct limit_policy *p, struct span quoted,
                       const struct limit_terms *terms, struct arena *arena);

void limit_fields_begin(struct limit_fields *f);
/* `terms` are those in force, which need not be those of the configuration any more. */
void limit_fields_add(struct limit_fields *f, enum config_limit_headers headers,
                      const struct limit_policy *policy, const struct limit_terms *terms,
                      const struct limit_verdict *verdict);
/* Into run->fields. Without memory nothing is told: the request goes on all the same. */
void limit_fields_end(const struct limit_fields *f, struct policy_run *run);
/* Whole seconds, rounded up, at least one; nothing for UINT64_MAX. */
void limit_fields_retry_after(struct policy_run *run, uint64_t wait_ns);

#endif
