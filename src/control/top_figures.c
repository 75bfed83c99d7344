#include "top_figures.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- room ---- */

static int grow(void *array, uint32_t room, uint32_t wanted, size_t item_bytes)
{
	char *old, *grown;

	memcpy(&old, array, sizeof(old));
	grown = realloc(old, wanted * item_bytes);
	if (!grown)
		return -ENOMEM;
	memset(grown + room * item_bytes, 0, (wanted - room) * item_bytes);
	memcpy(array, &grown, sizeof(grown));
	return 0;
}

static int grow_table(void *figures, size_t figures_bytes, struct metrics_name **names,
		      uint32_t **order, uint32_t *room, uint32_t wanted)
{
	int err;

	if (wanted <= *room)
		return 0;
	err = grow(figures, *room, wanted, figures_bytes);
	if (!err)
		err = grow(names, *room, wanted, sizeof(**names));
	if (!err)
		err = grow(order, *room, wanted, sizeof(**order));
	if (!err)
		*room = wanted;
	return err;
}

int top_figures_prepare(struct top_figures *f, const struct top_sample *now)
{
	int err;

	if (!f->shards) {
		f->shards = calloc(now->shards_len, sizeof(*f->shards));
		if (!f->shards)
			return -ENOMEM;
		f->shards_len = now->shards_len;
	}
	err = grow_table(&f->routes, sizeof(*f->routes), &f->route_names, &f->route_order,
			 &f->routes_room, now->routes_room);
	if (!err)
		err = grow_table(&f->endpoints, sizeof(*f->endpoints), &f->endpoint_names,
				 &f->endpoint_order, &f->endpoints_room, now->endpoints_room);
	if (!err)
		err = grow_table(&f->limits, sizeof(*f->limits), &f->limit_names, &f->limit_order,
				 &f->limits_room, now->limits_room);
	if (err)
		return err;
	f->routes_len = now->routes_len;
	f->endpoints_len = now->endpoints_len;
	f->limits_len = now->limits_len;
	return 0;
}

void top_figures_fini(struct top_figures *f)
{
	free(f->shards);
	free(f->routes);
	free(f->endpoints);
	free(f->limits);
	free(f->route_names);
	free(f->endpoint_names);
	free(f->limit_names);
	free(f->route_order);
	free(f->endpoint_order);
	free(f->limit_order);
	memset(f, 0, sizeof(*f));
}

/* ---- names ---- */

void top_figures_read_names(struct top_figures *f, const struct metrics_view *v)
{
	metrics_view_texts(v, f->instance, f->version);
	f->pid = v->head->pid;
	for (uint32_t i = 0; i < f->routes_len; i++)
		metrics_name_of(v->routes, i, &f->route_names[i]);
	for (uint32_t i = 0; i < f->endpoints_len; i++)
		metrics_name_of(v->endpoints, i, &f->endpoint_names[i]);
	for (uint32_t i = 0; i < f->limits_len; i++)
		metrics_name_of(v->limits, i, &f->limit_names[i]);
}

void top_name(char out[static TOP_NAME_BYTES], const struct metrics_name *name, char between)
{
	const char *service = name->service, *text = name->name;

	if (service[0] && text[0])
		snprintf(out, TOP_NAME_BYTES, "%s%c%s", service, between, text);
	else
		snprintf(out, TOP_NAME_BYTES, "%s%s", service, text);
	for (char *c = out; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

/* ---- figures ---- */

/* A counter never falls; a mapping that says so has been written to by somebody else. */
static uint64_t rise(uint64_t then, uint64_t now)
{
	return now > then ? now - then : 0;
}

static double share_of(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : TOP_UNKNOWN;
}

static void set_percentiles(const struct histogram_reading *then,
			    const struct histogram_reading *now, double *p50, double *p99)
{
	struct histogram_reading r = *now;

	/* Each bucket by itself: a reading that was torn by a request in the middle is still
	 * one of buckets that rise. */
	r.count = 0;
	for (unsigned i = 0; i < r.shape.buckets; i++) {
		r.buckets[i] = rise(then ? then->buckets[i] : 0, now->buckets[i]);
		r.count += r.buckets[i];
	}
	*p50 = r.count ? histogram_quantile(&r, 0.5) : TOP_UNKNOWN;
	*p99 = r.count ? histogram_quantile(&r, 0.99) : TOP_UNKNOWN;
}

static void compute_shard(struct top_shard_figures *f, const struct top_shard_sample *then,
			  const struct top_shard_sample *now, double seconds, uint64_t taken_ns,
			  double ticks_per_s)
{
	uint64_t turns = rise(then->turns, now->turns);
	uint64_t refused = rise(then->limits_refused, now->limits_refused) +
			   rise(then->limits_no_room, now->limits_no_room);

	*f = (struct top_shard_figures){
		.cpu = (int)(now->cpu & INT32_MAX) - 1,
		.cpu_share = TOP_UNKNOWN,
		.busy_share = (double)rise(then->busy_ns, now->busy_ns) / (seconds * NS_PER_S),
		.requests = rise(then->requests, now->requests),
		.connections = now->connections,
		.in_flight = now->in_flight,
		.accepts_per_s = (double)rise(then->accepted, now->accepted) / seconds,
		.admitted_per_s =
			(double)rise(then->limits_admitted, now->limits_admitted) / seconds,
		.refused_per_s = (double)refused / seconds,
		.lease_lag_us = TOP_UNKNOWN,
		.completions_per_turn = share_of(rise(then->completions, now->completions), turns),
		.requests_total = now->requests,
	};
	f->per_s = (double)f->requests / seconds;
	set_percentiles(&then->duration_us, &now->duration_us, &f->p50_us, &f->p99_us);
	if (then->has_ticks && now->has_ticks)
		f->cpu_share = (double)rise(then->ticks, now->ticks) / ticks_per_s / seconds;
	/* A turn that began before the sample may have been counted whole after it. */
	if (f->busy_share > 1)
		f->busy_share = 1;
	/* By our own clock: that of a shard that hangs stands still. */
	if (now->upkeep_ns)
		f->lease_lag_us =
			(double)rise(now->upkeep_ns, max_u64(taken_ns, now->now_ns)) / NS_PER_US;
}

static void compute_answers(struct top_answers *f, const struct top_route_sample *then,
			    const struct top_route_sample *now, double seconds)
{
	uint64_t statuses[METRICS_STATUSES];

	memset(f, 0, sizeof(*f));
	for (unsigned s = 0; s < METRICS_STATUSES; s++) {
		statuses[s] = rise(then->statuses[s], now->statuses[s]);
		f->requests += statuses[s];
	}
	for (unsigned s = 0; s < METRICS_STATUSES; s++)
		f->share[s] = share_of(statuses[s], f->requests);
	f->per_s = (double)f->requests / seconds;
	f->in_per_s = (double)rise(then->bytes_in, now->bytes_in) / seconds;
	f->out_per_s = (double)rise(then->bytes_out, now->bytes_out) / seconds;
	set_percentiles(&then->duration_us, &now->duration_us, &f->p50_us, &f->p99_us);
}

static void compute_endpoint(struct top_endpoint_figures *f, const struct top_endpoint_sample *then,
			     const struct top_endpoint_sample *now, double seconds)
{
	uint64_t attempts = rise(then->attempts, now->attempts);
	uint64_t connects = rise(then->connects, now->connects);
	uint64_t reused = rise(then->reused, now->reused);
	uint64_t answers = rise(then->answers, now->answers);

	*f = (struct top_endpoint_figures){
		.attempts = attempts,
		.attempts_now = now->attempts_now,
		.per_s = (double)attempts / seconds,
		.connects_per_s = (double)connects / seconds,
		.failed_per_s = (double)rise(then->failed, now->failed) / seconds,
		.answers_5xx_per_s = (double)rise(then->answers_5xx, now->answers_5xx) / seconds,
		.reused_share = share_of(reused, reused + connects),
		.first_byte_us = share_of(rise(then->first_byte_us, now->first_byte_us), answers),
	};
}

static void compute_limit(struct top_limit_figures *f, const struct top_limit_sample *then,
			  const struct top_limit_sample *now, double seconds)
{
	uint64_t admitted = rise(then->admitted, now->admitted);
	uint64_t refused = rise(then->refused, now->refused);
	uint64_t no_room = rise(then->no_room, now->no_room);

	*f = (struct top_limit_figures){
		.decisions = admitted + refused + no_room,
		.admitted_per_s = (double)admitted / seconds,
		.refused_per_s = (double)refused / seconds,
		.no_room_per_s = (double)no_room / seconds,
	};
	f->per_s = (double)f->decisions / seconds;
	f->refused_share = share_of(refused + no_room, f->decisions);
	f->coarse_share = share_of(rise(then->coarse, now->coarse), f->decisions);
}

/* ---- the whole ---- */

static void add_route(struct top_route_sample *to, const struct top_route_sample *r)
{
	for (unsigned s = 0; s < METRICS_STATUSES; s++)
		to->statuses[s] += r->statuses[s];
	to->bytes_in += r->bytes_in;
	to->bytes_out += r->bytes_out;
	for (unsigned i = 0; i < to->duration_us.shape.buckets; i++)
		to->duration_us.buckets[i] += r->duration_us.buckets[i];
}

static void sum_routes(const struct top_sample *s, struct top_route_sample *ret_all)
{
	memset(ret_all, 0, sizeof(*ret_all));
	histogram_reading_init(&ret_all->duration_us, HISTOGRAM_TIMES);
	for (uint32_t i = 0; i < s->routes_len; i++)
		add_route(ret_all, &s->routes[i]);
}

static void sum_shards(struct top_figures *f, const struct top_sample *then,
		       const struct top_sample *now)
{
	f->connections = f->requests_now = f->upstreams = f->upstreams_idle = 0;
	f->keys_in_use = now->keys_loaded;
	f->keys_leased = f->tokens_leased = f->over_admitted = 0;
	f->log_dropped = f->refused_full = f->starved = f->overflows = f->exhausted = 0;
	for (uint32_t i = 0; i < f->shards_len; i++) {
		const struct top_shard_sample *a = &then->shards[i], *b = &now->shards[i];

		f->connections += b->connections;
		f->requests_now += b->requests_now;
		f->upstreams += b->upstreams;
		f->upstreams_idle += b->upstreams_idle;
		/* May wrap: a key that one shard put in and another one evicted. */
		f->keys_in_use += b->inserted - b->evicted;
		f->keys_leased += rise(b->demoted, b->promoted);
		f->tokens_leased += b->out_on_lease;
		f->over_admitted += b->over_admitted;
		f->log_dropped += rise(a->log_dropped, b->log_dropped);
		f->refused_full += rise(a->refused_full, b->refused_full);
		f->starved += rise(a->starved, b->starved);
		f->overflows += rise(a->overflows, b->overflows);
		f->exhausted += rise(a->exhausted, b->exhausted);
	}
	/* Two shards that were read at different moments. */
	if (f->keys_in_use > (uint64_t)1 << 62)
		f->keys_in_use = 0;
}

/* ---- the order of tables ---- */

struct rank {
	double per_s;
	uint32_t number;
};

static int busier_first(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->per_s != y->per_s)
		return x->per_s > y->per_s ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

/* Without memory for the sorting the order is that of the numbers. */
static void sort(uint32_t *order, uint32_t len, const void *figures, size_t stride,
		 size_t per_s_offset)
{
	struct rank *ranks = calloc(len ? len : 1, sizeof(*ranks));

	if (!ranks)
		return;
	for (uint32_t i = 0; i < len; i++) {
		ranks[i].number = order[i];
		memcpy(&ranks[i].per_s, (const char *)figures + order[i] * stride + per_s_offset,
		       sizeof(double));
	}
	qsort(ranks, len, sizeof(*ranks), busier_first);
	for (uint32_t i = 0; i < len; i++)
		order[i] = ranks[i].number;
	free(ranks);
}

static void order_routes(struct top_figures *f, const struct top_sample *now)
{
	f->route_order_len = 0;
	for (uint32_t i = 0; i < f->routes_len; i++) {
		uint64_t ever = 0;

		for (unsigned s = 0; s < METRICS_STATUSES; s++)
			ever += now->routes[i].statuses[s];
		if (i > METRICS_NO_ROUTE || ever)
			f->route_order[f->route_order_len++] = i;
	}
	sort(f->route_order, f->route_order_len, f->routes, sizeof(*f->routes),
	     offsetof(struct top_answers, per_s));
}

static void order_endpoints(struct top_figures *f, const struct top_sample *now)
{
	f->endpoint_order_len = 0;
	for (uint32_t i = 0; i < f->endpoints_len; i++)
		if (i != METRICS_OVERFLOW || now->endpoints[i].attempts)
			f->endpoint_order[f->endpoint_order_len++] = i;
	sort(f->endpoint_order, f->endpoint_order_len, f->endpoints, sizeof(*f->endpoints),
	     offsetof(struct top_endpoint_figures, per_s));
}

/* By all decisions: a limit that refuses everything is the first to look at. */
static void order_limits(struct top_figures *f, const struct top_sample *now)
{
	f->limit_order_len = 0;
	for (uint32_t i = 0; i < f->limits_len; i++) {
		const struct top_limit_sample *l = &now->limits[i];

		if (i != METRICS_OVERFLOW || l->admitted + l->refused + l->no_room)
			f->limit_order[f->limit_order_len++] = i;
	}
	sort(f->limit_order, f->limit_order_len, f->limits, sizeof(*f->limits),
	     offsetof(struct top_limit_figures, per_s));
}

void top_figures_compute(struct top_figures *f, const struct top_sample *then,
			 const struct top_sample *now, uint64_t started_unix_us, double ticks_per_s)
{
	/* Names that are new since the other sample have counted from 0. */
	static const struct top_route_sample no_route = {.duration_us.count = 0};
	static const struct top_endpoint_sample no_endpoint;
	static const struct top_limit_sample no_limit;
	struct top_route_sample all_then, all_now;

	f->seconds = (double)rise(then->taken_ns, max_u64(now->taken_ns, then->taken_ns + 1)) /
		     (double)NS_PER_S;
	f->uptime_s = (double)rise(started_unix_us, now->taken_unix_us) / 1e6;
	f->generation = now->generation;
	f->draining = now->draining;
	f->connections_max = now->connections_max;
	f->keys_max = now->keys_max;
	for (unsigned i = 0; i < ARRAY_LEN(f->names_refused); i++)
		f->names_refused[i] = now->names_refused[i];
	sum_routes(then, &all_then);
	sum_routes(now, &all_now);
	compute_answers(&f->all, &all_then, &all_now, f->seconds);
	f->errors_per_s = f->all.requests ? f->all.per_s * (f->all.share[METRICS_STATUS_5XX] +
							    f->all.share[METRICS_STATUS_NONE])
					  : 0;
	sum_shards(f, then, now);
	for (uint32_t i = 0; i < f->shards_len; i++)
		compute_shard(&f->shards[i], &then->shards[i], &now->shards[i], f->seconds,
			      now->taken_ns, ticks_per_s);
	for (uint32_t i = 0; i < f->routes_len; i++)
		compute_answers(&f->routes[i], i < then->routes_len ? &then->routes[i] : &no_route,
				&now->routes[i], f->seconds);
	for (uint32_t i = 0; i < f->endpoints_len; i++)
		compute_endpoint(&f->endpoints[i],
				 i < then->endpoints_len ? &then->endpoints[i] : &no_endpoint,
				 &now->endpoints[i], f->seconds);
	for (uint32_t i = 0; i < f->limits_len; i++)
		compute_limit(&f->limits[i], i < then->limits_len ? &then->limits[i] : &no_limit,
			      &now->limits[i], f->seconds);
	order_routes(f, now);
	order_endpoints(f, now);
	order_limits(f, now);
}
