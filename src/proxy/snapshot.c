#include <ringway/proxy/snapshot.h>

#include <errno.h>
#include <stdlib.h>

#include <ringway/config/load.h>
#include <ringway/observe/metrics.h>
#include <ringway/tls/credentials.h>

/* Limits first: who is refused does not wait. */
static int build_chain(struct arena *arena, const struct snapshot_common *common,
		       const struct config_route *config, struct policy_chain *ret_chain)
{
	struct policy *policies;
	uint32_t len = 0;
	int err = 0;

	*ret_chain = (struct policy_chain){NULL, 0};
	if (!config->delay_ns && !config->limits_len)
		return 0;
	policies = arena_alloc(arena, 2 * sizeof(*policies));
	if (!policies)
		return -ENOMEM;
	if (config->limits_len)
		err = policy_limits(config, common->limiter, common->metrics, arena,
				    &policies[len++]);
	if (config->delay_ns)
		policies[len++] = policy_delay(config->delay_ns);
	*ret_chain = (struct policy_chain){policies, len};
	return err;
}

static int build_routes(struct arena *arena, const struct snapshot_common *common,
			const struct config_service *config, struct snapshot_service *service)
{
	struct snapshot_route *routes = arena_alloc(arena, config->routes_len * sizeof(*routes));
	int err = 0;

	if (!routes)
		return config->routes_len ? -ENOMEM : 0;
	for (size_t i = 0; i < config->routes_len && !err; i++) {
		routes[i].config = &config->routes[i];
		routes[i].name = span_str(config->routes[i].name);
		routes[i].metric = metrics_route(common->metrics, config->id, routes[i].config->name);
		err = build_chain(arena, common, routes[i].config, &routes[i].chain);
	}
	service->routes = routes;
	return err;
}

static int build_targets(struct arena *arena, const struct snapshot_common *common,
			 const struct config_service *config, struct snapshot_service *service)
{
	struct snapshot_target *targets = arena_alloc(arena, config->targets_len * sizeof(*targets));
	int err = 0;

	if (!targets)
		return config->targets_len ? -ENOMEM : 0;
	for (size_t i = 0; i < config->targets_len && !err; i++) {
		const struct config_target *target = &config->targets[i];

		targets[i].url = span_str(target->url);
		targets[i].metric = metrics_endpoint(common->metrics, config->id, target->url);
		targets[i].server_name = NULL;
		if (target->tls)
			targets[i].server_name = config->tls.server_name ? config->tls.server_name
									 : target->host;
		err = registry_endpoint(common->registry, target, &config->tls, &targets[i].endpoint);
	}
	service->targets = targets;
	return err;
}

static int build_services(struct snapshot *s, const struct snapshot_common *common)
{
	const struct config *config = s->config;
	struct snapshot_service *services =
		arena_alloc(&s->arena, config->services_len * sizeof(*services));
	int err = 0;

	if (!services)
		return config->services_len ? -ENOMEM : 0;
	s->services = services;
	for (size_t i = 0; i < config->services_len && !err; i++) {
		struct snapshot_service *service = &services[i];

		*service = (struct snapshot_service){.config = &config->services[i]};
		service->id = span_str(service->config->id);
		err = registry_group(common->registry, service->config->id, &service->group);
		if (!err)
			err = build_targets(&s->arena, common, service->config, service);
		if (!err)
			err = build_routes(&s->arena, common, service->config, service);
	}
	return err;
}

int snapshot_create(struct config *config, struct tls_credentials *credentials,
		    const struct snapshot_common *common, uint64_t generation,
		    unsigned shards, struct snapshot **ret_snapshot)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	int err = -ENOMEM;

	if (!s)
		return err;
	arena_init(&s->arena, NULL, 0, &arena_malloc_source);
	s->generation = generation;
	s->config = config;
	s->credentials = credentials;
	s->settings = (struct h1_server_settings){
		.limits = {.max_line_bytes = config->client.max_request_line_bytes,
			   .max_head_bytes = config->client.max_head_bytes,
			   .max_fields = config->client.max_fields},
		.head_time_ns = config->client.head_time_ns,
		.body_idle_ns = config->client.body_idle_ns,
		.write_idle_ns = config->client.write_idle_ns,
		.keepalive_ns = config->client.keepalive_ns,
	};
	s->refs = aligned_alloc(CACHE_LINE, shards * sizeof(*s->refs));
	if (!s->refs)
		goto fail;
	memset(s->refs, 0, shards * sizeof(*s->refs));
	err = build_services(s, common);
	if (err)
		goto fail;
	err = route_table_create(config, &s->routes);
	if (err)
		goto fail;
	*ret_snapshot = s;
	return 0;
fail:
	s->config = NULL;
	s->credentials = NULL;
	snapshot_destroy(s);
	return err;
}

void snapshot_destroy(struct snapshot *s)
{
	if (!s)
		return;
	route_table_destroy(s->routes);
	free(s->refs);
	arena_reset(&s->arena);
	tls_credentials_destroy(s->credentials);
	config_destroy(s->config);
	free(s);
}
