/* The counters of one process at one moment, as plain numbers.
 *
 * Whatever the mapping holds, a sample takes it for numbers and texts and for nothing else:
 * lengths are those that the view was checked for. Other counters go on while it is taken, so
 * two of its numbers may be a few events apart.
 */
#ifndef RINGWAY_CONTROL_TOP_SAMPLE_H
#define RINGWAY_CONTROL_TOP_SAMPLE_H

#include <ringway/observe/metrics.h>

struct top_shard_sample {
	uint32_t cpu; /* plus 1; 0: not pinned */
	bool has_ticks;
	uint64_t ticks; /* CPU time of the thread, in units of sysconf(_SC_CLK_TCK) */
	uint64_t busy_ns, now_ns, turns, completions;
	uint64_t connections, accepted, refused_full;
	uint64_t in_flight, starved, overflows, exhausted;
	uint64_t requests, requests_now, log_dropped;
	uint64_t upstreams, upstreams_idle;
	uint64_t limits_admitted, limits_refused, limits_no_room;
	uint64_t inserted, evicted, promoted, demoted, out_on_lease, over_admitted;
	uint64_t upkeep_ns;
	struct histogram_reading duration_us; /* over its routes */
};

struct top_route_sample {
	uint64_t statuses[METRICS_STATUSES]; /* requests, over all methods */
	uint64_t bytes_in, bytes_out;
	struct histogram_reading duration_us; /* over the shards */
};

struct top_endpoint_sample {
	uint64_t attempts, attempts_now, connects, reused, failed;
	uint64_t answers, answers_5xx, first_byte_us;
};

struct top_limit_sample {
	uint64_t admitted, refused, no_room, coarse;
};

struct top_sample {
	uint64_t taken_ns; /* monotonic */
	uint64_t taken_unix_us;
	uint64_t generation, draining, connections_max;
	uint64_t keys_max;         /* of both tables of the limiter */
	uint64_t keys_loaded;      /* that were in them before the shards began */
	uint64_t names_refused[3]; /* routes, endpoints, limits */
	/* Lengths and arrays; what is behind a length is zeroed. */
	uint32_t shards_len, routes_len, endpoints_len, limits_len;
	uint32_t routes_room, endpoints_room, limits_room;
	struct top_shard_sample *shards;
	struct top_route_sample *routes;
	struct top_endpoint_sample *endpoints;
	struct top_limit_sample *limits;
};

/* How many of each the segment names by now. */
struct top_lengths {
	uint32_t shards, routes, endpoints, limits;
};
void top_lengths_read(struct top_lengths *l, const struct metrics_view *v);

/* Room for them; shards are always as many. Begins with zeroes. -ENOMEM; what was there
 * stays. Does not touch the mapping. */
int top_sample_prepare(struct top_sample *s, const struct top_lengths *l);
/* Allocates nothing, so that it may be left in the middle by a jump. The CPU time of threads
 * is not in the mapping and is the caller's to add. */
void top_sample_take(struct top_sample *s, const struct metrics_view *v, uint64_t now_ns,
		     uint64_t unix_us);
void top_sample_fini(struct top_sample *s);

#endif
