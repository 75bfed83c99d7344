/* One run of config_load(): what every reader of a key needs.
 *
 * Three kinds of memory: the config's arena (lives with the config), the report's,
 * and a scratch arena for trees, file texts and drafts that is gone at the end.
 * None of them answers NULL here: without memory they leave the load by one jump
 * (load.c), so readers have no branches for it.
 */
#ifndef RINGWAY_CONFIG_LOADER_H
#define RINGWAY_CONFIG_LOADER_H

#include "yaml.h"

/* A limit before it is given to its routes. */
struct limit_draft {
	struct config_limit limit;
	const struct yaml_node *node; /* the key that begins it */
	const struct yaml_node *value;
	const char *path;
	uint32_t burst;             /* 0: not given */
	bool used;                  /* one below `limits`, by a route */
	struct config_limit *built; /* in the config; NULL: it has errors of its own */
};

/* A limit that a route names. */
struct limit_use {
	struct span name;
	const struct yaml_node *node;
	const char *path;
};

/* A route before it is given to its service. */
struct route_draft {
	struct config_route route;
	const struct yaml_node *node;
	const char *path;    /* for errors */
	const char *service; /* as named; says something when service_node is there */
	const struct yaml_node *service_node;
	uint64_t total_ns;             /* NOT_GIVEN: the service's */
	bool has_path;                 /* a good one: others shadow nothing */
	size_t rank;                   /* among all, as written */
	struct limit_draft *own_limit; /* NULL: none */
	struct limit_use *limits;
	size_t limits_len;
	struct service_draft *owner; /* NULL: it names none that exists */
};

struct listener_draft {
	struct config_listener listener;
	const struct yaml_node *address;
	const char *path;
};

/* A listener's tls before its keys are held against each other. */
struct tls_draft {
	struct config_tls tls;
	int min_version; /* -1: no good one is given; the same below */
	int client_auth;
};

struct service_draft {
	struct config_service service;
	const struct yaml_node *key;
	const struct yaml_node *value;
	const char *path;
	struct route_draft *routes; /* written below it; the owner may be another one */
	size_t routes_len;
	size_t routes_owned;
	size_t routes_lost; /* those that name no service that exists */
};

#define NOT_GIVEN UINT64_MAX
/* Besides its own and the default. */
#define ROUTE_LIMITS_NAMED_MAX (CONFIG_ROUTE_LIMITS_MAX - 2)

struct loader {
	struct config *config;
	struct config_report *report;
	struct arena scratch;
	struct yaml_library yaml;
	const struct source *main;   /* the file that was asked for */
	const struct yaml_node *top; /* of all files together */
	bool unparsed;               /* some file is no YAML or no mapping */
	bool isolated;               /* neither includes nor ${file:} */
	struct span path;            /* of the mapping or value being read, in scratch */
	struct service_draft *services;
	size_t services_len;
	struct limit_draft *default_limit; /* NULL: none */
	struct limit_draft *limits;        /* of `limits:` */
	size_t limits_len;
	unsigned limit_counters; /* of those that are built */
	bool limits_are_too_many;
	/* gateway: */
	struct address gateway_ip;
	uint32_t gateway_port; /* 0: not given */
	uint64_t gateway_timeout_ns;
	const struct yaml_node *gateway_host_node;
	const struct yaml_node *gateway_port_node;
	/* monitoring: */
	struct address metrics_ip;
	const struct yaml_node *metrics_host_node;
	uint32_t metrics_port;
	const struct yaml_node *metrics_port_node;
	struct listener_draft *listeners; /* of `listeners:`, those that are good */
	size_t listeners_len;
};

/* About a node, under the current path. */
void say_error(struct loader *l, const struct yaml_node *at, const char *message, ...) PRINTF(3, 4);
/* About some bytes of a file, under a path of its own. */
void say(struct loader *l, enum config_severity severity, struct source_range at, const char *path,
	 const char *message, ...) PRINTF(5, 6);

/* The path grows by a key or an index and shrinks again:
 *   struct span saved = path_enter(l, "routes"); ... l->path = saved; */
struct span path_enter(struct loader *l, struct span key);
struct span path_enter_index(struct loader *l, size_t index);

/* The value of a scalar, substitutions put in, NUL-terminated in scratch. False
 * (and an error) for anything else, for null, and for a variable that is not set. */
bool scalar_text(struct loader *l, const struct yaml_node *n, struct span *ret_text);
/* As scalar_text(), but kept with the config. */
bool scalar_keep(struct loader *l, const struct yaml_node *n, const char **ret_text);
/* How a value is named in an error: as it was written, never with substitutions put
 * in, at most 48 bytes. Backquotes are around it. */
const char *shown(struct loader *l, const struct yaml_node *n);
struct config_place place_of(const struct yaml_node *n);

/* Walks over a list under the path of each element; where it is allowed, a single
 * value is a list of one. */
struct list_cursor {
	const struct yaml_node *single;
	const struct yaml_entry *entry;
	size_t index;
	struct span path;
};

/* How many elements; 0 (and an error) when there is none. */
size_t list_begin(struct loader *l, const struct yaml_node *n, bool single_allowed,
		  struct list_cursor *ret_cursor);
/* NULL at the end; the path is the list's again then. */
const struct yaml_node *list_next(struct loader *l, struct list_cursor *cursor);

#endif
