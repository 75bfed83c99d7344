#include "check.h"

#include <ringway/config/suggest.h>

#include <stdlib.h>

/* Comparing routes for one that hides another ends after so many, about half a second:
 * its price grows with the square of routes that share a path. */
#define SHADOW_COMPARISONS_MAX 50000000

static bool is_wildcard(const struct address *a)
{
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return memcmp(&a->in6.sin6_addr, &in6addr_any, sizeof(in6addr_any)) == 0;
}

/* Whether the kernel would refuse the second of two. */
static bool collide(const struct address *a, const struct address *b)
{
	if (a->sa.sa_family != b->sa.sa_family || address_port(a) != address_port(b))
		return false;
	return is_wildcard(a) || is_wildcard(b) || address_eq(a, b);
}

/* Against the listeners so far; `node` is what the operator wrote. */
static void check_collisions(struct loader *l, const struct address *address,
			     const struct yaml_node *node, const char *path)
{
	for (size_t i = 0; i < l->config->listeners_len; i++) {
		const struct config_listener *other = &l->config->listeners[i];

		if (collide(address, &other->address)) {
			say(l, CONFIG_ERROR, node->at, path,
			    "%s is taken already, by listener `%s` (%s:%u)", shown(l, node),
			    other->name, other->place.file, other->place.line);
			return;
		}
	}
}

void finish_listeners(struct loader *l)
{
	struct config *c = l->config;
	struct config_listener *listeners =
		arena_alloc(&c->arena, (l->listeners_len + 1) * sizeof(*listeners));

	c->listeners = listeners;
	if (l->gateway_port) {
		listeners[c->listeners_len++] = (struct config_listener){
			place_of(l->gateway_port_node), "gateway", l->gateway_ip};
		address_set_port(&listeners[0].address, (uint16_t)l->gateway_port);
	} else if (l->gateway_host_node && !l->gateway_port_node) {
		say(l, CONFIG_WARNING, l->gateway_host_node->at, "gateway.host",
		    "opens no listener without `port`");
	}
	for (size_t i = 0; i < l->listeners_len; i++) {
		const struct listener_draft *draft = &l->listeners[i];

		check_collisions(l, &draft->listener.address, draft->address, draft->path);
		listeners[c->listeners_len++] = draft->listener;
	}
	if (l->metrics_port) {
		c->monitoring.enabled = true;
		c->monitoring.address = l->metrics_ip;
		address_set_port(&c->monitoring.address, (uint16_t)l->metrics_port);
		check_collisions(l, &c->monitoring.address, l->metrics_port_node,
				 "monitoring.metrics_port");
	} else if (l->metrics_host_node && !l->metrics_port_node) {
		say(l, CONFIG_WARNING, l->metrics_host_node->at, "monitoring.metrics_host",
		    "opens no listener without `metrics_port`");
	}
	if (!c->listeners_len && !l->gateway_port_node && !yaml_find(l->top, "listeners"))
		say(l, CONFIG_WARNING, (struct source_range){l->main, SIZE_MAX, SIZE_MAX}, "",
		    "no listener: neither `gateway.port` nor `listeners` is given");
}

void finish_client(struct loader *l)
{
	const struct yaml_entry *client = yaml_find(l->top, "client");
	const struct yaml_entry *e;

	if (l->config->client.max_request_line_bytes <= l->config->client.max_head_bytes)
		return;
	/* The request line is part of the head; one of both was given. */
	e = yaml_find(client->value, "max_request_line");
	if (!e)
		e = yaml_find(client->value, "max_head");
	say(l, CONFIG_ERROR, e->value->at, "client",
	    "`max_request_line` (%u bytes) is more than `max_head` (%u bytes)",
	    l->config->client.max_request_line_bytes, l->config->client.max_head_bytes);
}

/* The service that a route goes to, NULL (and an error) when it names none. */
static struct service_draft *service_of(struct loader *l, struct service_draft *home,
					const struct route_draft *r)
{
	struct suggestion near;

	if (!r->service_node || strcmp(r->service, home->service.id) == 0)
		return home;
	suggestion_init(&near, r->service_node->text);
	for (size_t i = 0; i < l->services_len; i++) {
		if (strcmp(r->service, l->services[i].service.id) == 0)
			return &l->services[i];
		suggestion_try(&near, l->services[i].service.id);
	}
	say(l, CONFIG_ERROR, r->service_node->at,
	    arena_printf(&l->scratch, "%s.service", r->path).ptr,
	    near.best ? "no service %s; did you mean `%s`?" : "no service %s",
	    shown(l, r->service_node), near.best);
	return NULL;
}

static void finish_timeouts(struct loader *l, struct service_draft *draft)
{
	struct config_timeouts *t = &draft->service.timeouts;
	const struct yaml_entry *timeout = yaml_find(draft->value, "timeout");

	if (t->total_ns == NOT_GIVEN)
		t->total_ns = l->gateway_timeout_ns;
	if (timeout && t->total_ns && t->attempt_ns > t->total_ns)
		say(l, CONFIG_WARNING, timeout->value->at,
		    arena_printf(&l->scratch, "%s.timeout", draft->path).ptr,
		    "an attempt may take longer than the whole request, which ends after %lu ms",
		    t->total_ns / NS_PER_MS);
}

static void find_owners(struct loader *l, struct service_draft *home)
{
	for (size_t k = 0; k < home->routes_len; k++) {
		struct route_draft *r = &home->routes[k];

		r->owner = service_of(l, home, r);
		if (r->owner)
			r->owner->routes_owned++;
		else
			home->routes_lost++;
	}
}

void finish_owners(struct loader *l)
{
	for (size_t i = 0; i < l->services_len; i++)
		find_owners(l, &l->services[i]);
}

void finish_services(struct loader *l)
{
	struct config *c = l->config;
	struct config_service *services =
		arena_alloc(&c->arena, l->services_len * sizeof(*services) + 1);

	for (size_t i = 0; i < l->services_len; i++) {
		struct service_draft *draft = &l->services[i];

		finish_timeouts(l, draft);
		/* Routes that are wrong are said already. */
		if (!draft->routes_owned && !draft->routes_lost &&
		    (draft->routes_len || !yaml_find(draft->value, "routes")))
			say(l, CONFIG_WARNING, draft->key->at, draft->path,
			    "no route leads to this service");
		services[i] = draft->service;
		services[i].routes = arena_alloc(
			&c->arena, draft->routes_owned * sizeof(struct config_route) + 1);
	}
	for (size_t i = 0; i < l->services_len; i++) {
		for (size_t k = 0; k < l->services[i].routes_len; k++) {
			struct route_draft *r = &l->services[i].routes[k];
			struct config_service *s =
				r->owner ? &services[r->owner - l->services] : NULL;
			struct config_route *route;

			if (!s)
				continue;
			/* Const is for those who come after. */
			route = (struct config_route *)(uintptr_t)&s->routes[s->routes_len++];
			*route = r->route;
			route->timeouts = s->timeouts;
			if (r->total_ns != NOT_GIVEN)
				route->timeouts.total_ns = r->total_ns;
		}
	}
	c->services = services;
	c->services_len = l->services_len;
}

static int compare_paths(const struct route_draft *a, const struct route_draft *b)
{
	if (a->route.path_kind != b->route.path_kind)
		return a->route.path_kind < b->route.path_kind ? -1 : 1;
	return strcmp(a->route.path, b->route.path);
}

/* Of two that match alike, the one that comes first in the config gets the request:
 * by service, then as written. */
static int compare_rank(const struct route_draft *a, const struct route_draft *b)
{
	if (a->owner != b->owner)
		return a->owner < b->owner ? -1 : 1;
	return a->rank < b->rank ? -1 : 1;
}

static int compare_drafts(const void *left, const void *right)
{
	const struct route_draft *a = *(struct route_draft *const *)left;
	const struct route_draft *b = *(struct route_draft *const *)right;
	int paths = compare_paths(a, b);

	return paths ? paths : compare_rank(a, b);
}

static bool has_method(const struct config_route *r, const char *method)
{
	if (!r->methods_len)
		return true;
	for (size_t i = 0; i < r->methods_len; i++)
		if (strcmp(r->methods[i], method) == 0 ||
		    (strcmp(method, "HEAD") == 0 && strcmp(r->methods[i], "GET") == 0))
			return true;
	return false;
}

static bool has_methods_of(const struct config_route *r, const struct config_route *other)
{
	for (size_t i = 0; i < other->methods_len; i++)
		if (!has_method(r, other->methods[i]))
			return false;
	return other->methods_len || !r->methods_len;
}

static bool has_host(const struct config_route *r, const struct config_host *host)
{
	if (!host)
		return !r->hosts_len;
	for (size_t i = 0; i < r->hosts_len; i++)
		if (r->hosts[i].is_suffix == host->is_suffix &&
		    strcmp(r->hosts[i].name, host->name) == 0)
			return true;
	return false;
}

/* The first of the earlier ones that takes everything of one host, NULL if none. */
static const struct config_route *taker(struct route_draft *const *earlier, size_t len,
					const struct config_route *r,
					const struct config_host *host, size_t *left)
{
	for (size_t i = 0; i < len; i++) {
		size_t price = 1 + earlier[i]->route.hosts_len;

		if (price > *left)
			return NULL;
		*left -= price;
		if (has_host(&earlier[i]->route, host) && has_methods_of(&earlier[i]->route, r))
			return &earlier[i]->route;
	}
	return NULL;
}

static void check_shadowed(struct loader *l, struct route_draft *const *earlier, size_t len,
			   const struct route_draft *draft, size_t *left)
{
	const struct config_route *r = &draft->route;
	const struct config_route *by =
		taker(earlier, len, r, r->hosts_len ? &r->hosts[0] : NULL, left);

	for (size_t i = 1; by && i < r->hosts_len; i++)
		by = taker(earlier, len, r, &r->hosts[i], left);
	if (by)
		say(l, CONFIG_WARNING, draft->node->at, draft->path,
		    "%s can never match: route `%s` (%s:%u) takes these requests",
		    shown(l, yaml_find(draft->node, "path")->value), by->name, by->place.file,
		    by->place.line);
}

void check_shadowed_routes(struct loader *l)
{
	struct route_draft **all;
	size_t len = 0, group = 0, left = SHADOW_COMPARISONS_MAX;

	for (size_t i = 0; i < l->services_len; i++)
		len += l->services[i].routes_len;
	all = arena_alloc(&l->scratch, len * sizeof(struct route_draft *) + 1);
	len = 0;
	for (size_t i = 0; i < l->services_len; i++) {
		for (size_t k = 0; k < l->services[i].routes_len; k++) {
			struct route_draft *r = &l->services[i].routes[k];

			r->rank = len;
			if (r->owner && r->has_path)
				all[len++] = r;
		}
	}
	qsort(all, len, sizeof(*all), compare_drafts);
	for (size_t i = 1; i < len; i++) {
		if (compare_paths(all[i - 1], all[i]) != 0)
			group = i;
		check_shadowed(l, &all[group], i - group, all[i], &left);
	}
}
