#include "top_sample.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* New names come with reloads: some at once, then none for days. */
#define ROOM_STEP 32

static int grow(void *array, uint32_t *room, uint32_t len, size_t item_bytes)
{
	uint32_t wanted = (len + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
	char *old, *grown;

	if (len <= *room)
		return 0;
	memcpy(&old, array, sizeof(old));
	grown = realloc(old, wanted * item_bytes);
	if (!grown)
		return -ENOMEM;
	memset(grown + *room * item_bytes, 0, (wanted - *room) * item_bytes);
	memcpy(array, &grown, sizeof(grown));
	*room = wanted;
	return 0;
}

void top_lengths_read(struct top_lengths *l, const struct metrics_view *v)
{
	l->shards = v->size.shards;
	l->routes = metrics_routes_len(v);
	l->endpoints = metrics_endpoints_len(v);
	l->limits = metrics_limits_len(v);
}

int top_sample_prepare(struct top_sample *s, const struct top_lengths *l)
{
	int err;

	if (!s->shards) {
		s->shards = calloc(l->shards, sizeof(*s->shards));
		if (!s->shards)
			return -ENOMEM;
		s->shards_len = l->shards;
	}
	err = grow(&s->routes, &s->routes_room, l->routes, sizeof(*s->routes));
	if (!err)
		err = grow(&s->endpoints, &s->endpoints_room, l->endpoints, sizeof(*s->endpoints));
	if (!err)
		err = grow(&s->limits, &s->limits_room, l->limits, sizeof(*s->limits));
	if (err)
		return err;
	s->routes_len = l->routes;
	s->endpoints_len = l->endpoints;
	s->limits_len = l->limits;
	return 0;
}

static void take_shard(struct top_shard_sample *s, const struct metrics_block *b)
{
	const struct metrics_limiter *l = &b->limiter;

	*s = (struct top_shard_sample){
		.cpu = (uint32_t)counter_get(&b->cpu),
		.busy_ns = counter_get(&b->busy_ns),
		.now_ns = counter_get(&b->now_ns),
		.turns = counter_get(&b->turns),
		.completions = counter_get(&b->completions),
		.connections = counter_get(&b->connections),
		.accepted = counter_get(&b->accepted),
		.refused_full = counter_get(&b->refused_full),
		.in_flight = counter_get(&b->in_flight),
		.starved = counter_get(&b->starved),
		.overflows = counter_get(&b->overflows),
		.exhausted = counter_get(&b->exhausted),
		.requests = counter_get(&b->requests),
		.requests_now = counter_get(&b->requests_now),
		.log_dropped = counter_get(&b->log_dropped),
		.upstreams = counter_get(&b->upstreams),
		.upstreams_idle = counter_get(&b->upstreams_idle),
		.limits_admitted = counter_get(&b->limits_admitted),
		.limits_refused = counter_get(&b->limits_refused),
		.limits_no_room = counter_get(&b->limits_no_room),
		.inserted = counter_get(&l->inserted),
		.evicted = counter_get(&l->evicted),
		.promoted = counter_get(&l->promoted),
		.demoted = counter_get(&l->demoted),
		.out_on_lease = counter_get(&l->out_on_lease),
		.over_admitted = counter_get(&l->over_admitted),
		.upkeep_ns = counter_get(&l->upkeep_ns),
	};
	histogram_reading_init(&s->duration_us, HISTOGRAM_TIMES);
}

/* Adds the share of one shard. */
static void take_route(struct top_route_sample *to, struct top_shard_sample *shard,
		       const struct metrics_route *r)
{
	uint64_t requests = 0;

	for (unsigned m = 0; m < METRICS_METHODS; m++) {
		for (unsigned s = 0; s < METRICS_STATUSES; s++) {
			uint64_t n = counter_get(&r->requests[m][s]);

			to->statuses[s] += n;
			requests += n;
		}
	}
	/* Most routes of most shards: thousands of empty buckets are not worth the reading. */
	if (!requests)
		return;
	to->bytes_in += counter_get(&r->bytes_in);
	to->bytes_out += counter_get(&r->bytes_out);
	histogram_read_times(&to->duration_us, &r->duration_us);
	histogram_read_times(&shard->duration_us, &r->duration_us);
}

static void take_endpoint(struct top_endpoint_sample *to, const struct metrics_endpoint *e)
{
	to->attempts += counter_get(&e->attempts);
	to->attempts_now += counter_get(&e->attempts_now);
	to->connects += counter_get(&e->connects);
	to->reused += counter_get(&e->reused);
	to->failed += counter_get(&e->failed);
	to->answers += counter_get(&e->answers);
	to->answers_5xx += counter_get(&e->answers_5xx);
	to->first_byte_us += counter_get(&e->first_byte_us);
}

static void take_limit(struct top_limit_sample *to, const struct metrics_limit *l)
{
	to->admitted += counter_get(&l->admitted);
	to->refused += counter_get(&l->refused);
	to->no_room += counter_get(&l->no_room);
	to->coarse += counter_get(&l->coarse);
}

static void clear(struct top_sample *s)
{
	memset(s->routes, 0, s->routes_room * sizeof(*s->routes));
	memset(s->endpoints, 0, s->endpoints_room * sizeof(*s->endpoints));
	memset(s->limits, 0, s->limits_room * sizeof(*s->limits));
	for (uint32_t r = 0; r < s->routes_room; r++)
		histogram_reading_init(&s->routes[r].duration_us, HISTOGRAM_TIMES);
}

void top_sample_take(struct top_sample *s, const struct metrics_view *v, uint64_t now_ns,
		     uint64_t unix_us)
{
	const struct metrics_process *p = v->process;

	clear(s);
	s->taken_ns = now_ns;
	s->taken_unix_us = unix_us;
	s->generation = counter_get(&p->generation);
	s->draining = counter_get(&p->draining);
	s->connections_max = counter_get(&p->connections_max);
	s->keys_loaded = counter_get(&p->limit_keys_loaded);
	s->keys_max = counter_get(&p->limit_keys_max) + counter_get(&p->limit_windows_max);
	s->names_refused[0] = counter_get(&v->routes->refused);
	s->names_refused[1] = counter_get(&v->endpoints->refused);
	s->names_refused[2] = counter_get(&v->limits->refused);
	for (uint32_t i = 0; i < s->shards_len; i++) {
		struct top_shard_sample *shard = &s->shards[i];

		take_shard(shard, metrics_block_of(v, i));
		for (uint32_t n = 0; n < s->routes_len; n++)
			take_route(&s->routes[n], shard, metrics_route_of(v, i, n));
		for (uint32_t n = 0; n < s->endpoints_len; n++)
			take_endpoint(&s->endpoints[n], metrics_endpoint_of(v, i, n));
		for (uint32_t n = 0; n < s->limits_len; n++)
			take_limit(&s->limits[n], metrics_limit_of(v, i, n));
	}
}

void top_sample_fini(struct top_sample *s)
{
	free(s->shards);
	free(s->routes);
	free(s->endpoints);
	free(s->limits);
	memset(s, 0, sizeof(*s));
}
