/* Numbers for targets and services that hold over reloads, so that what shards keep for
 * them (connections, addresses, turns) does, too.
 *
 * Belongs to the thread that builds snapshots.
 */
#ifndef RINGWAY_UPSTREAM_REGISTRY_H
#define RINGWAY_UPSTREAM_REGISTRY_H

#include <ringway/config/config.h>

struct registry_endpoint {
	const char *host;
	uint16_t port;
	struct address address; /* len 0: host is a name */
	const char *tls;        /* what its TLS is configured with, as one text; NULL: plain */
};

struct registry {
	struct arena arena;
	struct registry_endpoint *endpoints;
	uint32_t endpoints_len;
	const char **groups;
	uint32_t groups_len;
};

int registry_init(struct registry *r); /* -ENOMEM */
void registry_fini(struct registry *r);
/* The number of the target, a new one if it was never seen; with other settings of TLS it is
 * another one. The files' contents are no part of that, see tls/caller.h. -ENOSPC, -ENOMEM. */
int registry_endpoint(struct registry *r, const struct config_target *target,
                      const struct config_upstream_tls *tls, uint32_t *ret_number);
int registry_group(struct registry *r, const char *service_id, uint32_t *ret_number);

#endif
