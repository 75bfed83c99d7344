/* A configuration as plain data: what the file says, checked, with defaults put in.
 *
 * Everything hangs on one object and lives as long as it; nothing in it changes
 * after config_load(). Every pointer to text is NUL-terminated and never NULL
 * unless the comment says so. What a key means: docs/config.md.
 */
#ifndef RINGWAY_CONFIG_CONFIG_H
#define RINGWAY_CONFIG_CONFIG_H

#include <ringway/base/address.h>
#include <ringway/base/arena.h>
#include <ringway/config/template.h>

/* Where something stands, for errors that are found later. */
struct config_place {
	const char *file;
	unsigned line;   /* from 1 */
	unsigned column; /* from 1 */
};

/* A file that the configuration names; a relative path was made one from the directory of
 * the file that names it. */
struct config_file {
	struct config_place place;
	const char *path; /* NULL: not given */
};

struct config_certificate {
	struct config_file cert; /* PEM: the leaf first, then its chain */
	struct config_file key;
};

enum config_client_auth {
	CONFIG_CLIENT_AUTH_NONE,
	CONFIG_CLIENT_AUTH_REQUEST, /* asked for; who has none comes in all the same */
	CONFIG_CLIENT_AUTH_REQUIRE,
};

/* How a listener speaks TLS. Versions, groups and suites are the numbers of RFC 8446. */
struct config_tls {
	struct config_place place;
	const struct config_certificate *certificates; /* at least one; the first is the default */
	size_t certificates_len;
	uint16_t min_version; /* 0x0303 or 0x0304 */
	const char *const *alpn; /* in the order of our preference */
	size_t alpn_len;
	enum config_client_auth client_auth;
	struct config_file client_ca;
	struct config_file crl;
	uint32_t verify_depth; /* certificates between a client's and the trusted one */
	bool strict_sni;
	const uint16_t *groups; /* in the order of our preference; none: all that are built */
	size_t groups_len;
	const uint16_t *suites; /* none: the default */
	size_t suites_len;
	uint64_t ticket_lifetime_ns; /* 0: no tickets */
	uint64_t ticket_rotate_ns;
	struct config_file ocsp;
	bool ocsp_fetch;
};

enum config_proxy_protocol {
	CONFIG_PROXY_PROTOCOL_OFF,
	CONFIG_PROXY_PROTOCOL_V1,
	CONFIG_PROXY_PROTOCOL_V2,
	CONFIG_PROXY_PROTOCOL_ANY,
};

struct config_listener {
	struct config_place place;
	const char *name; /* "gateway" for gateway.host and port */
	struct address address;
	enum config_proxy_protocol proxy_protocol;
	bool redirect_https; /* every request is answered with its https:// twin */
	const struct config_tls *tls; /* NULL: plain */
};

/* How a service's https:// targets are spoken to. */
struct config_upstream_tls {
	struct config_place place;
	struct config_file ca; /* path NULL: the system's */
	const char *server_name; /* NULL: the host of the target */
	struct config_file client_cert;
	struct config_file client_key;
	bool verify;
};

/* The other end of proxying: one server of a service. */
struct config_target {
	struct config_place place;
	const char *url;  /* as written, for logs */
	const char *host; /* name or IP literal without brackets; "" for unix */
	const char *authority; /* host[:port] for the Host field when it is not kept */
	uint16_t port;
	struct address address; /* len 0: host is a name */
	uint32_t weight;        /* always 1 until weights are built */
	bool tls;               /* https:// */
};

/* How long each phase may take, nanoseconds; 0: no limit. */
struct config_timeouts {
	uint64_t connect_ns;
	uint64_t first_byte_ns;
	uint64_t idle_ns;    /* between two reads or writes of a body */
	uint64_t attempt_ns; /* one attempt, from its start to the end of its answer */
	uint64_t total_ns;   /* the request, from its head to the end of its answer */
};

struct config_retry {
	uint32_t attempts;     /* extra ones, after a failed connect only; 0: none */
	uint32_t buffer_bytes; /* request body held for another attempt */
};

struct config_header {
	const char *name;
	const char *value;
};

/* An answer of our own, without upstream. */
struct config_respond {
	uint16_t status;
	struct span body;
	const struct config_header *headers;
	size_t headers_len;
};

struct config_redirect {
	struct template to;
	uint16_t status; /* 301, 302, 303, 307, 308 */
};

enum config_source { CONFIG_SOURCE_UPSTREAM, CONFIG_SOURCE_RESPOND, CONFIG_SOURCE_REDIRECT };

/* One host pattern: exact, or everything below a suffix. */
struct config_host {
	const char *name; /* lower case; for "*.example.org" it is ".example.org" */
	bool is_suffix;
};

enum config_limit_algorithm {
	CONFIG_LIMIT_TOKEN_BUCKET,
	CONFIG_LIMIT_SLIDING_WINDOW,
	CONFIG_LIMIT_FIXED_WINDOW,
};
enum config_limit_headers {
	CONFIG_LIMIT_HEADERS_OFF,
	CONFIG_LIMIT_HEADERS_IETF,        /* RateLimit, RateLimit-Policy */
	CONFIG_LIMIT_HEADERS_X_RATELIMIT, /* X-RateLimit-Limit, -Remaining, -Reset */
	CONFIG_LIMIT_HEADERS_BOTH,
};
enum config_limit_on_full { CONFIG_LIMIT_COARSE, CONFIG_LIMIT_OPEN, CONFIG_LIMIT_CLOSED };

/* One part of what is counted for itself. */
enum config_limit_part {
	CONFIG_LIMIT_IP,      /* of the client, `prefix` bits of it */
	CONFIG_LIMIT_HEADER,  /* its value; absent counts as empty */
	CONFIG_LIMIT_ROUTE,
	CONFIG_LIMIT_SERVICE,
	CONFIG_LIMIT_GLOBAL,
};
struct config_limit_key {
	enum config_limit_part part;
	uint8_t prefix4;    /* IP: bits, 32 unless given */
	uint8_t prefix6;    /* IP: bits, 64 unless given */
	const char *header; /* HEADER: lower case */
};
#define CONFIG_LIMIT_KEYS_MAX 4
#define CONFIG_ROUTE_LIMITS_MAX 18 /* its own, the default's and 16 named ones */

/* A limit: its requests are counted by key, at a rate, or at the same time, or both. */
struct config_limit {
	struct config_place place;
	const char *name; /* below `limits`; "default" and "route:<service>/<route>" for those
			     that have no name of their own; at most 112 bytes */
	const char *shown_key; /* as written, "ip" or "ip, route" */
	struct config_limit_key keys[CONFIG_LIMIT_KEYS_MAX];
	size_t keys_len;
	enum config_limit_algorithm algorithm;
	enum config_limit_headers headers;
	enum config_limit_on_full on_full;
	uint64_t tokens;    /* 0: no rate; at most 1,000,000 */
	uint64_t period_ns; /* tokens in so much time */
	uint64_t burst;     /* token_bucket: at once */
	uint32_t cost;      /* tokens of one request */
	uint32_t concurrency; /* requests at the same time; 0: any number */
};

enum config_path { CONFIG_PATH_EXACT, CONFIG_PATH_PREFIX };

struct config_route {
	struct config_place place;
	const char *name; /* given, or "<service>[<index>]" */
	const struct config_host *hosts; /* none: every host */
	size_t hosts_len;
	enum config_path path_kind;
	const char *path; /* for a prefix without its slash and star: "" is everything */
	const char *const *methods; /* none: every method; GET includes HEAD */
	size_t methods_len;
	struct config_timeouts timeouts; /* the service's, with the route's `timeout` as total */
	uint64_t max_body_bytes;         /* UINT64_MAX: no limit */
	uint64_t delay_ns;               /* wait before the source is asked; 0: none */
	/* In the order in which they are taken, narrowest first: of a client (ip, header; the
	 * more parts the narrower), of a route, of a service, global; then by name. Own
	 * rate_limit, named ones and the default. */
	const struct config_limit *const *limits;
	size_t limits_len;
};

struct config_service {
	struct config_place place;
	const char *id;   /* the key below `services` */
	const char *name; /* display name, the id when none is given */
	enum config_source source;
	const struct config_target *targets; /* at least one for an upstream */
	size_t targets_len;
	struct config_respond respond;
	struct config_redirect redirect;
	struct config_retry retry;
	struct config_timeouts timeouts;
	struct config_upstream_tls tls; /* of its https:// targets */
	const struct config_route *routes;
	size_t routes_len;
};

/* What clients may do, the same on every listener. */
struct config_client {
	uint64_t handshake_time_ns; /* PROXY header and TLS handshake, from the connection on */
	uint32_t max_handshakes;    /* in progress at once, of the whole process */
	uint64_t head_time_ns;
	uint64_t body_idle_ns;
	uint64_t write_idle_ns;
	uint64_t keepalive_ns;
	uint32_t max_request_line_bytes;
	uint32_t max_head_bytes;
	uint32_t max_fields;
};

enum config_pin { CONFIG_PIN_AUTO, CONFIG_PIN_YES, CONFIG_PIN_NO };

struct config_runtime {
	uint32_t shards; /* 0: auto */
	const char *cpus; /* a list like "2-7,10"; NULL: all that are usable */
	enum config_pin pin;
	uint64_t drain_ns;
	uint32_t limit_keys;    /* keys of all token buckets, fixed windows and concurrency caps */
	uint32_t limit_windows; /* keys of all sliding windows */
	bool metrics_shared;    /* counters lie in /dev/shm, where `ringway top` sees them */
	uint32_t metric_routes; /* monitoring.label_budget: routes that have counters of their
				   own; those above share one */
};

struct config_resolver {
	const struct address *servers; /* none: the system's */
	size_t servers_len;
	uint64_t timeout_ns;
	uint64_t max_ttl_ns;
};

enum config_log_format { CONFIG_LOG_JSON, CONFIG_LOG_TEXT };
enum config_log_level { CONFIG_LOG_DEBUG, CONFIG_LOG_INFO, CONFIG_LOG_WARN, CONFIG_LOG_ERROR };

/* One more field of every access log record. */
struct config_log_field {
	const char *name;
	struct template value;
};

struct config_logging {
	enum config_log_level level;
	enum config_log_format format;
	const char *output; /* "stdout", "stderr" or a path */
	bool access;
	const struct config_log_field *fields;
	size_t fields_len;
};

struct config_monitoring {
	bool enabled;           /* metrics_port is given */
	struct address address; /* of /health and /ready */
	struct config_logging logging;
};

struct config_admin {
	const char *socket; /* path of the unix socket; default from the instance */
};

struct config {
	/* Snapshots of one file with other certificates share it: see config_ref(). Whoever
	 * lets go last must see what the others read: acquire and release. */
	_Atomic int more_uses; /* than one */
	struct arena arena; /* everything below */
	const char *path;   /* the file that was loaded */
	const char *instance;
	const struct config_listener *listeners;
	size_t listeners_len;
	uint32_t max_connections;
	struct config_client client;
	struct config_runtime runtime;
	struct config_resolver resolver;
	struct config_monitoring monitoring;
	struct config_admin admin;
	const struct cidr *trusted;
	size_t trusted_len;
	bool forwarded; /* the Forwarded field (RFC 7239) is sent upstream as well */
	const struct config_service *services;
	size_t services_len;
	/* All: the default's, the routes' own, and those below `limits`. Names are unique. */
	const struct config_limit *limits;
	size_t limits_len;
};

/* Whether what the peer says of others is believed. */
static inline bool config_trusts(const struct config *c, const struct address *peer)
{
	for (size_t i = 0; i < c->trusted_len; i++)
		if (cidr_contains(&c->trusted[i], peer))
			return true;
	return false;
}

#endif
