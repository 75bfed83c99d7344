/* Readers of keys that no general one fits, and the table of the whole file.
 */
#ifndef RINGWAY_CONFIG_READERS_H
#define RINGWAY_CONFIG_READERS_H

#include "schema.h"

/* Filled into struct config. */
extern const struct schema_key keys_file[];
/* Filled into the struct that the name says. */
extern const struct schema_key keys_listener[];
extern const struct schema_key keys_tls[]; /* struct tls_draft */
extern const struct schema_key keys_certificate[];
extern const struct schema_key keys_service[];
extern const struct schema_key keys_target[];
extern const struct schema_key keys_respond[];
extern const struct schema_key keys_redirect[];
extern const struct schema_key keys_route[]; /* struct route_draft */
/* struct limit_draft; from the second on for a limit whose key is its place. */
extern const struct schema_key keys_limit[];
#define KEYS_LIMIT_OWN 1

/* read_process.c: what the process listens on, runs on and writes to. */
schema_reader read_version;
schema_reader read_instance;
schema_reader read_gateway_host;
schema_reader read_gateway_port;
schema_reader read_gateway_timeout;
schema_reader read_metrics_host;
schema_reader read_metrics_port;
schema_reader read_label_budget;
schema_reader read_listeners;
schema_reader read_listener_address; /* struct address */
schema_reader read_trusted;
schema_reader read_resolver_servers;
schema_reader read_shards; /* uint32_t */
schema_reader read_cpus;   /* const char * */
schema_reader read_on_off; /* bool; the same below */
schema_reader read_metrics_memory;
schema_reader read_log_output;
schema_reader read_log_fields;
schema_reader read_admin_socket;

/* read_service.c */
schema_reader read_services;
schema_reader read_url;        /* struct config_service: its only target */
schema_reader read_targets;    /* struct config_service */
schema_reader read_target_url; /* struct config_target */
schema_reader read_retry;      /* struct config_retry */
schema_reader read_retry_on;
schema_reader read_respond;     /* struct config_respond */
schema_reader read_status;      /* uint16_t; min and max */
schema_reader read_body;        /* struct span */
schema_reader read_headers;     /* struct config_respond */
schema_reader read_redirect;    /* struct config_redirect */
schema_reader read_redirect_to; /* struct template */
schema_reader read_redirect_status;

/* read_route.c */
schema_reader read_routes; /* fills l->services[l->services_len] */
schema_reader read_route_service;
schema_reader read_hosts;
schema_reader read_path;
schema_reader read_methods;

/* read_limit.c */
schema_reader read_default_limit;
schema_reader read_limits;
schema_reader read_limit_key; /* struct config_limit; the same below */
schema_reader read_requests_per_second;
schema_reader read_rate;
schema_reader read_route_rate_limit; /* struct route_draft; the same below */
schema_reader read_route_limits;

/* read_tls.c */
schema_reader read_tls;          /* const struct config_tls * */
schema_reader read_file_name;    /* struct config_file */
schema_reader read_certificates; /* struct config_tls */
schema_reader read_min_version;  /* int */
schema_reader read_alpn;         /* struct config_tls */
schema_reader read_groups;       /* struct config_tls */
schema_reader read_suites;       /* struct config_tls */
schema_reader read_tickets;      /* struct config_tls */
schema_reader read_ocsp;         /* struct config_tls */
schema_reader read_upstream_tls; /* struct config_upstream_tls */
schema_reader read_server_name;  /* const char * */

/* A template in a value; says what is wrong with it. */
bool read_template(struct loader *l, const struct yaml_node *value, struct template *ret_template);
/* Token characters of RFC 9110 section 5.6.2, at least one. */
bool is_http_token(struct span s);
/* Letters, digits, `-`, `_` and dots between labels, as in names and in Host. */
bool is_host_name(struct span s);
/* A name whose last label has only digits: an address mistyped. */
bool ends_in_digits(struct span host);

#endif
