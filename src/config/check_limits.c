#include "check.h"

#include <ringway/config/suggest.h>

#include <stdlib.h>

/* A limiter knows so many by name; a rate with a cap on concurrency is two. */
#define COUNTERS_MAX 1024
/* Of the limiter's 128, so that more can stand behind it. */
#define NAME_BYTES_MAX 112

static struct config_limit *limit_at(const struct loader *l, size_t index)
{
	/* Const is for those who come after. */
	return (struct config_limit *)(uintptr_t)&l->config->limits[index];
}

static void add_limit(struct loader *l, struct limit_draft *d)
{
	d->built = limit_at(l, l->config->limits_len++);
	*d->built = d->limit;
	l->limit_counters += (d->limit.tokens > 0) + (d->limit.concurrency > 0);
	if (l->limit_counters > COUNTERS_MAX && !l->limits_are_too_many) {
		say(l, CONFIG_ERROR, d->node->at, d->path,
		    "more than %d limits; a rate with `concurrency` counts twice", COUNTERS_MAX);
		l->limits_are_too_many = true;
	}
}

/* The name by which its state is found again after a reload. */
static bool name_own_limit(struct loader *l, struct route_draft *r)
{
	struct limit_draft *d = r->own_limit;
	struct span name =
		arena_printf(&l->config->arena, "route:%s/%s", r->owner->service.id, r->route.name);

	d->limit.name = name.ptr;
	if (name.len > NAME_BYTES_MAX) {
		say(l, CONFIG_ERROR, d->node->at, d->path,
		    "the names of service and route have %zu bytes, with a limit at most %zu",
		    name.len - strlen("route:/"), NAME_BYTES_MAX - strlen("route:/"));
		return false;
	}
	for (size_t i = 0; i < l->config->limits_len; i++) {
		const struct config_limit *other = &l->config->limits[i];

		if (strcmp(other->name, name.ptr) != 0)
			continue;
		say(l, CONFIG_ERROR, d->node->at, d->path,
		    "route `%s` of service `%s` has a limit already (%s:%u); routes with limits "
		    "have names of their own",
		    r->route.name, r->owner->service.id, other->place.file, other->place.line);
		return false;
	}
	return true;
}

/* The default, the routes' own and the named ones, in this order. */
static void gather_limits(struct loader *l)
{
	size_t len = 1 + l->limits_len;

	for (size_t i = 0; i < l->services_len; i++)
		len += l->services[i].routes_len;
	l->config->limits = arena_alloc(&l->config->arena, len * sizeof(struct config_limit));
	if (l->default_limit)
		add_limit(l, l->default_limit);
	for (size_t i = 0; i < l->services_len; i++) {
		for (size_t k = 0; k < l->services[i].routes_len; k++) {
			struct route_draft *r = &l->services[i].routes[k];

			if (r->own_limit && r->owner && !l->limits_are_too_many &&
			    name_own_limit(l, r))
				add_limit(l, r->own_limit);
		}
	}
	for (size_t i = 0; i < l->limits_len; i++)
		add_limit(l, &l->limits[i]);
}

static struct limit_draft *find_limit(struct loader *l, const struct limit_use *use)
{
	struct suggestion near;

	for (size_t i = 0; i < l->limits_len; i++)
		if (span_eq(use->name, span_str(l->limits[i].limit.name)))
			return &l->limits[i];
	suggestion_init(&near, use->node->text);
	/* Of more errors nobody reads the end, and guessing costs time. */
	for (size_t i = 0; i < l->limits_len && l->report->errors < REPORT_ISSUES_MAX; i++)
		suggestion_try(&near, l->limits[i].limit.name);
	say(l, CONFIG_ERROR, use->node->at, use->path,
	    near.best ? "no limit %s; did you mean `%s`?" : "no limit %s", shown(l, use->node),
	    near.best);
	return NULL;
}

static bool has_part(const struct config_limit *limit, enum config_limit_part part)
{
	for (size_t i = 0; i < limit->keys_len; i++)
		if (limit->keys[i].part == part)
			return true;
	return false;
}

/* Lower ones are narrower: of a client, the more parts the narrower; then a route's, a
 * service's and everybody's. */
static int rank(const struct config_limit *limit)
{
	if (has_part(limit, CONFIG_LIMIT_IP) || has_part(limit, CONFIG_LIMIT_HEADER))
		return CONFIG_LIMIT_KEYS_MAX - (int)limit->keys_len;
	if (has_part(limit, CONFIG_LIMIT_ROUTE))
		return CONFIG_LIMIT_KEYS_MAX;
	return CONFIG_LIMIT_KEYS_MAX + (has_part(limit, CONFIG_LIMIT_SERVICE) ? 1 : 2);
}

/* One order for all routes: two requests meet at the limits that they share in the same
 * turn. */
static int compare_limits(const struct config_limit *a, const struct config_limit *b)
{
	int ra = rank(a), rb = rank(b);

	return ra != rb ? ra - rb : strcmp(a->name, b->name);
}

static int compare_for_sort(const void *left, const void *right)
{
	return compare_limits(*(const struct config_limit *const *)left,
			      *(const struct config_limit *const *)right);
}

static void give_limits(struct loader *l, struct route_draft *r)
{
	const struct config_limit **limits =
		arena_alloc(&l->config->arena, (r->limits_len + 2) * sizeof(*limits));
	size_t len = 0;

	if (l->default_limit)
		limits[len++] = l->default_limit->built;
	if (r->own_limit && r->own_limit->built)
		limits[len++] = r->own_limit->built;
	for (size_t i = 0; i < r->limits_len; i++) {
		struct limit_draft *d = find_limit(l, &r->limits[i]);

		if (!d)
			continue;
		d->used = true;
		limits[len++] = d->built;
	}
	qsort(limits, len, sizeof(struct config_limit *), compare_for_sort);
	r->route.limits = limits;
	r->route.limits_len = len;
}

/* Where a limit stands, and the limits on all those routes that are ahead of it. */
struct reach {
	const struct config_limit *ahead[CONFIG_ROUTE_LIMITS_MAX];
	size_t ahead_len;
	size_t routes;
	const struct service_draft *service; /* of the first */
	bool many_services;
	bool begun;
};

/* Whether requests that the part tells apart are told apart by the key as well. */
static bool tells_apart(const struct config_limit *key, const struct reach *reach,
			const struct config_limit_key *part)
{
	if (part->part == CONFIG_LIMIT_GLOBAL ||
	    (part->part == CONFIG_LIMIT_ROUTE && reach->routes == 1) ||
	    (part->part == CONFIG_LIMIT_SERVICE && !reach->many_services))
		return true;
	for (size_t i = 0; i < key->keys_len; i++) {
		const struct config_limit_key *k = &key->keys[i];

		if (part->part == CONFIG_LIMIT_SERVICE && k->part == CONFIG_LIMIT_ROUTE)
			return true;
		if (k->part != part->part)
			continue;
		if (k->part == CONFIG_LIMIT_HEADER
			    ? strcmp(k->header, part->header) == 0
			    : k->prefix4 >= part->prefix4 && k->prefix6 >= part->prefix6)
			return true;
	}
	return false;
}

/* In requests: no more of them at once, and no more over time. */
static bool is_as_strict(const struct config_limit *a, const struct config_limit *b)
{
	unsigned __int128 many_a = (unsigned __int128)a->tokens * b->period_ns * b->cost;
	unsigned __int128 many_b = (unsigned __int128)b->tokens * a->period_ns * a->cost;

	if (!a->tokens || a->algorithm != b->algorithm || many_a > many_b)
		return false;
	if (a->algorithm == CONFIG_LIMIT_TOKEN_BUCKET)
		return a->burst * b->cost <= b->burst * a->cost;
	/* Windows of other lengths begin at other times. */
	return a->period_ns == b->period_ns;
}

/* Whether what `a` admits, `b` admits always: a key of `a` has all requests of some keys of
 * `b`, and is at least as strict. */
static bool is_ahead_of(const struct config_limit *a, const struct config_limit *b,
			const struct reach *reach_b)
{
	for (size_t i = 0; i < a->keys_len; i++)
		if (!tells_apart(b, reach_b, &a->keys[i]))
			return false;
	if (b->tokens && !is_as_strict(a, b))
		return false;
	/* What is too much for its table passes `a`. */
	if (a->on_full == CONFIG_LIMIT_OPEN && b->on_full != CONFIG_LIMIT_OPEN)
		return false;
	return !b->concurrency || (a->concurrency && a->concurrency <= b->concurrency);
}

static bool is_on(const struct config_route *r, const struct config_limit *limit)
{
	for (size_t i = 0; i < r->limits_len; i++)
		if (r->limits[i] == limit)
			return true;
	return false;
}

static void count_route(struct reach *reach, const struct route_draft *r)
{
	if (!reach->routes++)
		reach->service = r->owner;
	reach->many_services |= reach->service != r->owner;
}

static void keep_common(struct reach *reach, const struct config_limit *limit,
			const struct config_route *r)
{
	size_t len = 0;

	if (!reach->begun)
		for (size_t i = 0; i < r->limits_len; i++)
			if (r->limits[i] != limit && is_ahead_of(r->limits[i], limit, reach))
				reach->ahead[reach->ahead_len++] = r->limits[i];
	reach->begun = true;
	for (size_t i = 0; i < reach->ahead_len; i++)
		if (is_on(r, reach->ahead[i]))
			reach->ahead[len++] = reach->ahead[i];
	reach->ahead_len = len;
}

static bool is_behind(const struct reach *reach, const struct config_limit *limit)
{
	for (size_t i = 0; i < reach->ahead_len; i++)
		if (reach->ahead[i] == limit)
			return true;
	return false;
}

static void warn_of_unreached(struct loader *l, const struct limit_draft *d,
			      const struct reach *all)
{
	const struct config_limit *limits = l->config->limits;
	const struct reach *mine;

	if (!d || !d->built)
		return;
	mine = &all[d->built - limits];
	for (size_t i = 0; i < mine->ahead_len; i++) {
		const struct config_limit *a = mine->ahead[i];

		/* Two that are alike: one of them is enough. */
		if (is_behind(&all[a - limits], d->built) && compare_limits(d->built, a) < 0)
			continue;
		say(l, CONFIG_WARNING, d->node->at, d->path,
		    "limit `%s` can never be reached: `%s` (%s:%u) is on the same routes and "
		    "refuses first",
		    d->built->name, a->name, a->place.file, a->place.line);
		return;
	}
}

static void check_reach(struct loader *l)
{
	size_t len = l->config->limits_len * sizeof(struct reach);
	struct reach *all = memset(arena_alloc(&l->scratch, len + 1), 0, len);
	const struct config_limit *limits = l->config->limits;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < l->services_len; i++) {
			for (size_t k = 0; k < l->services[i].routes_len; k++) {
				const struct route_draft *r = &l->services[i].routes[k];

				for (size_t n = 0; n < r->route.limits_len; n++) {
					const struct config_limit *limit = r->route.limits[n];

					if (!pass)
						count_route(&all[limit - limits], r);
					else
						keep_common(&all[limit - limits], limit, &r->route);
				}
			}
		}
	}
	warn_of_unreached(l, l->default_limit, all);
	for (size_t i = 0; i < l->services_len; i++)
		for (size_t k = 0; k < l->services[i].routes_len; k++)
			warn_of_unreached(l, l->services[i].routes[k].own_limit, all);
	for (size_t i = 0; i < l->limits_len; i++)
		warn_of_unreached(l, &l->limits[i], all);
}

void finish_limits(struct loader *l)
{
	size_t errors = l->report->errors;

	gather_limits(l);
	for (size_t i = 0; i < l->services_len; i++)
		for (size_t k = 0; k < l->services[i].routes_len; k++)
			give_limits(l, &l->services[i].routes[k]);
	/* A name that is wrong was meant for one of them. */
	for (size_t i = 0; l->report->errors == errors && i < l->limits_len; i++)
		if (!l->limits[i].used)
			say(l, CONFIG_WARNING, l->limits[i].node->at, l->limits[i].path,
			    "no route has this limit");
	/* What is half read compares with nothing. */
	if (!l->report->errors)
		check_reach(l);
}
