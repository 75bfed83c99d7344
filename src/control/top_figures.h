/* What happened between two samples: rates, shares and percentiles, ready to be shown.
 *
 * Figures that cannot be known are negative (NAN has no place in JSON): the CPU time of a
 * process that another container runs, percentiles of no requests, shares of nothing.
 */
#ifndef RINGWAY_CONTROL_TOP_FIGURES_H
#define RINGWAY_CONTROL_TOP_FIGURES_H

#include "top_sample.h"

#define TOP_UNKNOWN (-1.0)

/* Requests by what became of them. */
struct top_answers {
	uint64_t requests; /* in the interval */
	double per_s;
	double p50_us, p99_us;
	double share[METRICS_STATUSES]; /* of the requests, 0 to 1 */
	double in_per_s, out_per_s;     /* bytes */
};

struct top_shard_figures {
	int cpu;          /* -1: not pinned */
	double cpu_share; /* of one CPU, 0 to 1 */
	double busy_share;
	uint64_t requests;
	double per_s, p50_us, p99_us;
	uint64_t connections, in_flight;
	double accepts_per_s;
	double admitted_per_s, refused_per_s; /* by limits; a full table refuses, too */
	double lease_lag_us; /* since leases were last looked after; unknown: there are none */
	double completions_per_turn;
	uint64_t requests_total;
};

struct top_endpoint_figures {
	uint64_t attempts, attempts_now;
	double per_s, connects_per_s, failed_per_s, answers_5xx_per_s;
	double reused_share;  /* of the attempts that had a connection */
	double first_byte_us; /* mean */
};

struct top_limit_figures {
	uint64_t decisions;
	double per_s; /* decisions */
	double admitted_per_s, refused_per_s, no_room_per_s;
	double refused_share; /* with those for which there was no room */
	double coarse_share;
};

struct top_figures {
	double seconds; /* between the samples */
	char instance[108], version[32];
	uint32_t pid;
	double uptime_s;
	uint64_t generation;
	bool draining;
	struct top_answers all;
	double errors_per_s; /* answers 5xx, and requests that got none */
	uint64_t connections, connections_max, requests_now;
	uint64_t upstreams, upstreams_idle;
	uint64_t keys_in_use, keys_max, keys_leased, tokens_leased;
	uint64_t over_admitted; /* since the start */
	/* In the interval. */
	uint64_t log_dropped, refused_full, starved, overflows, exhausted;
	uint64_t names_refused[3];

	uint32_t shards_len, routes_len, endpoints_len, limits_len;
	struct top_shard_figures *shards;
	struct top_answers *routes;
	struct top_endpoint_figures *endpoints;
	struct top_limit_figures *limits;
	/* As in the segment: by number. */
	struct metrics_name *route_names, *endpoint_names, *limit_names;
	/* Numbers, the busiest first; those that are not shown (reserved and never used) are
	 * left out. */
	uint32_t *route_order, *endpoint_order, *limit_order;
	uint32_t route_order_len, endpoint_order_len, limit_order_len;

	uint32_t routes_room, endpoints_room, limits_room;
};

/* Begins with zeroes; the arrays are kept from one interval to the next. Reads nothing but
 * the samples. -ENOMEM. */
int top_figures_prepare(struct top_figures *f, const struct top_sample *now);
/* Names and texts of the head, from the mapping; allocates nothing. */
void top_figures_read_names(struct top_figures *f, const struct metrics_view *v);
/* `started_unix_us` is the head's. `ticks_per_s`: of top_shard_sample.ticks. */
void top_figures_compute(struct top_figures *f, const struct top_sample *then,
			 const struct top_sample *now, uint64_t started_unix_us,
			 double ticks_per_s);
void top_figures_fini(struct top_figures *f);

/* "service/route", "limit", in letters that a terminal does not obey. */
#define TOP_NAME_BYTES (METRICS_SERVICE_BYTES + METRICS_NAME_BYTES + 2)
void top_name(char out[static TOP_NAME_BYTES], const struct metrics_name *name, char between);

#endif
