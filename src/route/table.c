/* Hosts lead to paths, paths to routes:
 *
 *   names, suffixes, everywhere -> host: exact, prefixes -> spot: candidates
 *
 * A request takes the hosts that fit it from the most to the least specific, and in
 * each of them the paths that fit, until a candidate takes its method. The first spot
 * where none did is remembered: its methods are the answer if nothing else fits.
 *
 * Everything lies in one arena and does not change once the table is made, so any
 * number of threads may read it.
 */
#include <ringway/route/table.h>

#include <errno.h>
#include <stdlib.h>

#include "text_map.h"

/* One route at one spot. */
struct candidate {
	struct candidate *next;
	const struct config_route *config;
	uint32_t service;
	uint32_t route;
	uint32_t methods; /* bit n: enum http_method n; OTHER: some, config says which */
};

#define EVERY_METHOD UINT32_MAX

/* The routes of one host and path, in the order of the config. */
struct spot {
	struct candidate *first;
	struct candidate **end;
	struct span allow; /* empty when every method is taken */
	struct spot *next; /* any order, of the whole table */
};

struct host {
	struct text_map exact;    /* of struct spot */
	struct text_map prefixes; /* of struct spot; "" fits every path */
};

struct route_table {
	struct arena arena;
	struct text_map names;    /* of struct host */
	struct text_map suffixes; /* of struct host; each begins with a dot */
	struct host everywhere;
	struct spot *spots;
};

/* "example.org." is "example.org", said in full. */
static struct span without_root_dot(struct span host)
{
	if (host.len && host.ptr[host.len - 1] == '.')
		host.len--;
	return host;
}

static void *alloc_zeroed(struct arena *arena, size_t bytes)
{
	void *mem = arena_alloc(arena, bytes);

	return mem ? memset(mem, 0, bytes) : NULL;
}

static struct host *host_at(struct route_table *t, const struct config_host *config)
{
	struct text_map *map = config->is_suffix ? &t->suffixes : &t->names;
	void **place = text_map_add(map, &t->arena, without_root_dot(span_str(config->name)));

	if (place && !*place)
		*place = alloc_zeroed(&t->arena, sizeof(struct host));
	return place ? *place : NULL;
}

static struct spot *spot_at(struct route_table *t, struct host *host,
			    const struct config_route *config)
{
	bool is_exact = config->path_kind == CONFIG_PATH_EXACT;
	void **place = text_map_add(is_exact ? &host->exact : &host->prefixes, &t->arena,
				    span_str(config->path));
	struct spot *spot;

	if (!place || *place)
		return place ? *place : NULL;
	spot = alloc_zeroed(&t->arena, sizeof(*spot));
	if (!spot)
		return NULL;
	spot->end = &spot->first;
	spot->next = t->spots;
	t->spots = spot;
	*place = spot;
	return spot;
}

static uint32_t methods_of(const struct config_route *config)
{
	uint32_t methods = config->methods_len ? 0 : EVERY_METHOD;

	for (size_t i = 0; i < config->methods_len; i++)
		methods |= UINT32_C(1) << http_method_of(span_str(config->methods[i]));
	if (methods & UINT32_C(1) << HTTP_METHOD_GET)
		methods |= UINT32_C(1) << HTTP_METHOD_HEAD;
	return methods;
}

static bool add_candidate(struct route_table *t, struct host *host, const struct candidate *c)
{
	struct spot *spot = host ? spot_at(t, host, c->config) : NULL;
	struct candidate *copy = spot ? arena_alloc(&t->arena, sizeof(*copy)) : NULL;

	if (!copy)
		return false;
	*copy = *c;
	*spot->end = copy;
	spot->end = &copy->next;
	return true;
}

static bool add_route(struct route_table *t, const struct config_service *services,
		      uint32_t service, uint32_t route)
{
	const struct config_route *config = &services[service].routes[route];
	struct candidate c = {NULL, config, service, route, methods_of(config)};

	if (!config->hosts_len)
		return add_candidate(t, &t->everywhere, &c);
	for (size_t i = 0; i < config->hosts_len; i++)
		if (!add_candidate(t, host_at(t, &config->hosts[i]), &c))
			return false;
	return true;
}

/* The text of an Allow field as it grows; each method stands in it once. */
struct allow {
	struct arena *arena;
	struct span text;
	uint32_t known;        /* bit n: enum http_method n is in */
	struct text_map other; /* those that are HTTP_METHOD_OTHER */
};

static bool allow_add(struct allow *a, char *to, struct span method)
{
	enum http_method m = http_method_of(method);
	void **seen;

	if (m == HTTP_METHOD_OTHER) {
		seen = text_map_add(&a->other, a->arena, method);
		if (!seen)
			return false;
		if (*seen)
			return true;
		*seen = a;
	} else if (a->known & UINT32_C(1) << m) {
		return true;
	}
	a->known |= UINT32_C(1) << m;
	if (a->text.len) {
		memcpy(to + a->text.len, ", ", 2);
		a->text.len += 2;
	}
	memcpy(to + a->text.len, method.ptr, method.len);
	a->text.len += method.len;
	return m != HTTP_METHOD_GET || allow_add(a, to, SPAN("HEAD"));
}

static bool spot_allow(struct spot *spot, struct arena *arena)
{
	struct allow a = {.arena = arena};
	size_t room = sizeof(", HEAD");
	char *text;

	for (const struct candidate *c = spot->first; c; c = c->next) {
		if (c->methods == EVERY_METHOD)
			return true;
		for (size_t i = 0; i < c->config->methods_len; i++)
			room += strlen(c->config->methods[i]) + 2;
	}
	text = arena_text(arena, room);
	if (!text)
		return false;
	a.text.ptr = text;
	for (const struct candidate *c = spot->first; c; c = c->next)
		for (size_t i = 0; i < c->config->methods_len; i++)
			if (!allow_add(&a, text, span_str(c->config->methods[i])))
				return false;
	spot->allow = a.text;
	return true;
}

int route_table_create(const struct config *config, struct route_table **ret_table)
{
	struct route_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	arena_init(&t->arena, NULL, 0, &arena_malloc_source);
	for (uint32_t s = 0; s < config->services_len; s++)
		for (uint32_t r = 0; r < config->services[s].routes_len; r++)
			if (!add_route(t, config->services, s, r))
				goto fail;
	for (struct spot *spot = t->spots; spot; spot = spot->next)
		if (!spot_allow(spot, &t->arena))
			goto fail;
	*ret_table = t;
	return 0;
fail:
	route_table_destroy(t);
	return -ENOMEM;
}

void route_table_destroy(struct route_table *t)
{
	if (!t)
		return;
	arena_reset(&t->arena);
	free(t);
}

static bool lists_method(const struct config_route *config, struct span method)
{
	for (size_t i = 0; i < config->methods_len; i++)
		if (span_eq(span_str(config->methods[i]), method))
			return true;
	return false;
}

static inline bool candidate_takes(const struct candidate *c, const struct http_head *request)
{
	if (!(c->methods >> request->method & 1))
		return false;
	return likely(request->method != HTTP_METHOD_OTHER) || c->methods == EVERY_METHOD ||
	       lists_method(c->config, request->method_text);
}

/* *refusing is the first spot that fitted but for the method. */
static inline const struct candidate *
spot_pick(const struct spot *spot, const struct http_head *request, const struct spot **refusing)
{
	for (const struct candidate *c = spot->first; c; c = c->next)
		if (likely(candidate_takes(c, request)))
			return c;
	if (!*refusing)
		*refusing = spot;
	return NULL;
}

static const struct candidate *host_pick(const struct host *host, const struct http_head *request,
					 const struct spot **refusing)
{
	struct span path = request->path;
	const struct spot *spot = text_map_find(&host->exact, path);
	const struct candidate *c = spot ? spot_pick(spot, request, refusing) : NULL;
	size_t len = path.len + 1;

	while (!c && text_map_shorter(&host->prefixes, &len)) {
		/* The path "*" has no slash: just the prefix of everything fits it. */
		if (len && len < path.len && path.ptr[len] != '/')
			continue;
		spot = text_map_look_up(&host->prefixes, span_of(path.ptr, len));
		if (spot)
			c = spot_pick(spot, request, refusing);
	}
	return c;
}

static const struct candidate *pick(const struct route_table *t, const struct http_head *request,
				    const struct spot **refusing)
{
	struct span name = without_root_dot(request->host);
	const struct host *host = text_map_find(&t->names, name);
	const struct candidate *c = host ? host_pick(host, request, refusing) : NULL;
	size_t len = name.len; /* shorter ones only: something stands in front of the dot */

	while (!c && text_map_shorter(&t->suffixes, &len)) {
		const char *suffix = name.ptr + name.len - len;

		host = *suffix == '.' ? text_map_look_up(&t->suffixes, span_of(suffix, len)) : NULL;
		if (host)
			c = host_pick(host, request, refusing);
	}
	return c ? c : host_pick(&t->everywhere, request, refusing);
}

enum route_verdict route_table_match(const struct route_table *t, const struct http_head *request,
				     struct route_match *ret_match)
{
	const struct spot *refusing = NULL;
	const struct candidate *c = pick(t, request, &refusing);

	if (c) {
		ret_match->service = c->service;
		ret_match->route = c->route;
		return ROUTE_FOUND;
	}
	if (!refusing)
		return ROUTE_NONE;
	ret_match->allow = refusing->allow;
	return ROUTE_WRONG_METHOD;
}
