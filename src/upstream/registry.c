#include <ringway/upstream/registry.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ringway/upstream/upstreams.h>

int registry_init(struct registry *r)
{
	memset(r, 0, sizeof(*r));
	arena_init(&r->arena, NULL, 0, &arena_malloc_source);
	r->endpoints = calloc(UPSTREAM_ENDPOINTS_MAX, sizeof(*r->endpoints));
	r->groups = calloc(UPSTREAM_GROUPS_MAX, sizeof(*r->groups));
	if (r->endpoints && r->groups)
		return 0;
	registry_fini(r);
	return -ENOMEM;
}

void registry_fini(struct registry *r)
{
	free(r->endpoints);
	free(r->groups);
	r->endpoints = NULL;
	r->groups = NULL;
	arena_reset(&r->arena);
}

/* NULL: out of memory. A file's path has no line end. */
static const char *tls_text(struct arena *arena, const struct config_target *target,
			    const struct config_upstream_tls *tls)
{
	return arena_printf(arena, "%d\n%s\n%s\n%s\n%s", tls->verify,
			    tls->server_name ? tls->server_name : target->host,
			    tls->ca.path ? tls->ca.path : "",
			    tls->client_cert.path ? tls->client_cert.path : "",
			    tls->client_key.path ? tls->client_key.path : "")
		.ptr;
}

static bool is_same(const struct registry_endpoint *e, const struct config_target *t,
		    const char *tls)
{
	if (!e->tls != !tls || (tls && strcmp(e->tls, tls) != 0))
		return false;
	if (e->address.len || t->address.len)
		return e->address.len && t->address.len && address_eq(&e->address, &t->address);
	return e->port == t->port && strcmp(e->host, t->host) == 0;
}

static int add(struct registry *r, const struct config_target *target, const char *tls,
	       uint32_t *ret_number)
{
	struct registry_endpoint *e = &r->endpoints[r->endpoints_len];

	if (r->endpoints_len == UPSTREAM_ENDPOINTS_MAX)
		return -ENOSPC;
	e->host = arena_str(&r->arena, span_str(target->host));
	e->tls = tls ? arena_str(&r->arena, span_str(tls)) : NULL;
	if (!e->host || (tls && !e->tls))
		return -ENOMEM;
	e->port = target->port;
	e->address = target->address;
	*ret_number = r->endpoints_len++;
	return 0;
}

/* Linear: a snapshot is built seldom, and the table is bounded. */
int registry_endpoint(struct registry *r, const struct config_target *target,
		      const struct config_upstream_tls *tls, uint32_t *ret_number)
{
	const char *text = NULL;
	struct arena scratch;
	uint32_t i = 0;
	int err = 0;

	arena_init(&scratch, NULL, 0, &arena_malloc_source);
	if (target->tls) {
		text = tls_text(&scratch, target, tls);
		err = text ? 0 : -ENOMEM;
	}
	while (i < r->endpoints_len && !is_same(&r->endpoints[i], target, text))
		i++;
	if (!err && i < r->endpoints_len)
		*ret_number = i;
	else if (!err)
		err = add(r, target, text, ret_number);
	arena_reset(&scratch);
	return err;
}

int registry_group(struct registry *r, const char *service_id, uint32_t *ret_number)
{
	for (uint32_t i = 0; i < r->groups_len; i++) {
		if (strcmp(r->groups[i], service_id) == 0) {
			*ret_number = i;
			return 0;
		}
	}
	if (r->groups_len == UPSTREAM_GROUPS_MAX)
		return -ENOSPC;
	r->groups[r->groups_len] = arena_str(&r->arena, span_str(service_id));
	if (!r->groups[r->groups_len])
		return -ENOMEM;
	*ret_number = r->groups_len++;
	return 0;
}
