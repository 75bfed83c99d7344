/* A loaded configuration as the shards use it: immutable, with a generation number.
 *
 * A request keeps the snapshot that it began with. Each shard counts its own requests
 * (refs, by shard, touched by that shard alone); a snapshot that is not a shard's current
 * one any more and whose count is 0 there is reported, and is destroyed when every
 * shard has reported.
 */
#ifndef RINGWAY_PROXY_SNAPSHOT_H
#define RINGWAY_PROXY_SNAPSHOT_H

#include <ringway/http1/server.h>
#include <ringway/policy/policy.h>
#include <ringway/route/table.h>
#include <ringway/upstream/registry.h>

struct snapshot_target {
	uint32_t endpoint;
	uint32_t metric; /* its number in observe/metrics.h */
	struct span url; /* for logs */
	const char *server_name; /* https://: whom its certificate is to be for; NULL: plain */
};

struct snapshot_route {
	const struct config_route *config;
	struct span name;
	uint32_t metric;
	struct policy_chain chain;
};

struct snapshot_service {
	const struct config_service *config;
	struct span id;
	uint32_t group;
	const struct snapshot_target *targets;
	const struct snapshot_route *routes;
};

struct limiter;
struct metrics;
struct snapshot;
struct tls_credentials;

struct snapshot_refs {
	_Alignas(CACHE_LINE) uint32_t count;
	struct snapshot *next_unused; /* of whoever is told that this one is unused here */
};

struct snapshot {
	struct arena arena;
	uint64_t generation;
	struct config *config; /* ours */
	struct tls_credentials *credentials; /* ours */
	struct route_table *routes;
	const struct snapshot_service *services;
	struct h1_server_settings settings;
	struct snapshot_refs *refs; /* by shard */
};

/* What all snapshots of a process refer to, and outlives them. Belongs to the thread that
 * builds snapshots. */
struct snapshot_common {
	struct registry *registry;
	struct limiter *limiter;
	struct metrics *metrics;
};

/* Config and credentials (NULL: no TLS) are the snapshot's on success only. -ENOSPC: more
 * targets, services or limits than a process can know; -ENOMEM. */
int snapshot_create(struct config *config, struct tls_credentials *credentials,
                    const struct snapshot_common *common, uint64_t generation,
                    unsigned shards, struct snapshot **ret_snapshot);
void snapshot_destroy(struct snapshot *s); /* takes NULL */

#endif
