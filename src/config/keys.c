#include "readers.h"

#include <ringway/config/rate.h>

#include "units.h"

#define FIELD(type, member) offsetof(struct type, member)
#define BYTES_MAX           UINT64_MAX
#define DAY                 (86400 * NS_PER_S)
#define LONG                (DURATION_MAX_DAYS * DAY)

/* A key that is documented and not built. */
#define NOT_BUILT(key)                                                                             \
	{                                                                                          \
		.name = (key)                                                                      \
	}
#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}

/* The biggest head lives in one receive block of 64 KiB, beside what the relay adds. */
#define HEAD_MAX (60 * KIB)

static const struct schema_key keys_gateway[] = {
	{"host", read_gateway_host},
	{"port", read_gateway_port, .min = 1, .max = 65535},
	{"timeout", read_gateway_timeout, .max = LONG},
	{"max_connections", read_u32, FIELD(config, max_connections), .min = 1, .max = 1000000},
	{"forwarded", read_bool, FIELD(config, forwarded)},
	END,
};

static const struct schema_key keys_client[] = {
	{"head_time", read_duration, FIELD(config_client, head_time_ns), .min = NS_PER_MS,
	 .max = DAY},
	{"body_idle", read_duration, FIELD(config_client, body_idle_ns), .min = NS_PER_MS,
	 .max = DAY},
	{"write_idle", read_duration, FIELD(config_client, write_idle_ns), .min = NS_PER_MS,
	 .max = DAY},
	{"keepalive", read_duration, FIELD(config_client, keepalive_ns), .min = NS_PER_MS,
	 .max = DAY},
	{"max_request_line", read_size32, FIELD(config_client, max_request_line_bytes), .min = 256,
	 .max = HEAD_MAX},
	{"max_head", read_size32, FIELD(config_client, max_head_bytes), .min = 1024,
	 .max = HEAD_MAX},
	{"max_fields", read_u32, FIELD(config_client, max_fields), .min = 8, .max = 1000},
	{"handshake_time", read_duration, FIELD(config_client, handshake_time_ns),
	 .min = 100 * NS_PER_MS, .max = 300 * NS_PER_S},
	{"max_handshakes", read_u32, FIELD(config_client, max_handshakes), .min = 1,
	 .max = 1000000},
	END,
};

static const struct schema_choice choices_pin[] = {
	{"auto", CONFIG_PIN_AUTO}, {"true", CONFIG_PIN_YES}, {"false", CONFIG_PIN_NO}, {0}};

static const struct schema_key keys_runtime[] = {
	{"shards", read_shards, FIELD(config_runtime, shards), .max = 256},
	{"cpus", read_cpus, FIELD(config_runtime, cpus)},
	{"pin", read_choice, FIELD(config_runtime, pin), .choices = choices_pin},
	{"drain", read_duration, FIELD(config_runtime, drain_ns), .max = DAY},
	{"limit_keys", read_u32, FIELD(config_runtime, limit_keys), .min = 1024, .max = 100000000},
	{"limit_windows", read_u32, FIELD(config_runtime, limit_windows), .min = 1024,
	 .max = 10000000},
	{"metrics_memory", read_metrics_memory, FIELD(config_runtime, metrics_shared)},
	NOT_BUILT("steering"),
	NOT_BUILT("tune_plan"),
	END,
};

static const struct schema_key keys_resolver[] = {
	{"servers", read_resolver_servers},
	{"timeout", read_duration, FIELD(config_resolver, timeout_ns), .min = NS_PER_MS,
	 .max = 60 * NS_PER_S},
	{"max_ttl", read_duration, FIELD(config_resolver, max_ttl_ns), .min = NS_PER_S,
	 .max = 7 * DAY},
	END,
};

static const struct schema_choice choices_proxy_protocol[] = {{"off", CONFIG_PROXY_PROTOCOL_OFF},
							      {"v1", CONFIG_PROXY_PROTOCOL_V1},
							      {"v2", CONFIG_PROXY_PROTOCOL_V2},
							      {"any", CONFIG_PROXY_PROTOCOL_ANY},
							      {0}};

const struct schema_key keys_listener[] = {
	{"name", read_text, FIELD(config_listener, name)},
	{"address", read_listener_address, FIELD(config_listener, address)},
	{"proxy_protocol", read_choice, FIELD(config_listener, proxy_protocol),
	 .choices = choices_proxy_protocol},
	{"redirect_https", read_bool, FIELD(config_listener, redirect_https)},
	{"tls", read_tls, FIELD(config_listener, tls)},
	END,
};

static const struct schema_choice choices_client_auth[] = {{"none", CONFIG_CLIENT_AUTH_NONE},
							   {"request", CONFIG_CLIENT_AUTH_REQUEST},
							   {"require", CONFIG_CLIENT_AUTH_REQUIRE},
							   {0}};

/* A ticket lives at most a week (RFC 8446 section 4.6.1), a key no longer. */
static const struct schema_key keys_tickets[] = {
	{"lifetime", read_duration, FIELD(config_tls, ticket_lifetime_ns), .min = NS_PER_S,
	 .max = 7 * DAY},
	{"rotate", read_duration, FIELD(config_tls, ticket_rotate_ns), .min = NS_PER_S,
	 .max = 7 * DAY},
	END,
};

static const struct schema_key keys_ocsp[] = {
	{"file", read_file_name, FIELD(config_tls, ocsp)},
	{"fetch", read_bool, FIELD(config_tls, ocsp_fetch)},
	END,
};

const struct schema_key keys_certificate[] = {
	{"cert", read_file_name, FIELD(config_certificate, cert)},
	{"key", read_file_name, FIELD(config_certificate, key)},
	END,
};

const struct schema_key keys_tls[] = {
	{"certificates", read_certificates, FIELD(tls_draft, tls)},
	{"min_version", read_min_version, FIELD(tls_draft, min_version)},
	{"alpn", read_alpn, FIELD(tls_draft, tls)},
	{"client_auth", read_choice, FIELD(tls_draft, client_auth), .choices = choices_client_auth},
	{"client_ca", read_file_name, FIELD(tls_draft, tls.client_ca)},
	{"crl", read_file_name, FIELD(tls_draft, tls.crl)},
	/* wolfSSL takes nine certificates in all: between the ends there is room for so many. */
	{"verify_depth", read_u32, FIELD(tls_draft, tls.verify_depth), .max = 8},
	{"strict_sni", read_bool, FIELD(tls_draft, tls.strict_sni)},
	{"groups", read_groups, FIELD(tls_draft, tls)},
	{"suites", read_suites, FIELD(tls_draft, tls)},
	{"tickets", read_tickets, FIELD(tls_draft, tls), .keys = keys_tickets},
	{"ocsp", read_ocsp, FIELD(tls_draft, tls), .keys = keys_ocsp},
	END,
};

static const struct schema_choice choices_level[] = {{"debug", CONFIG_LOG_DEBUG},
						     {"info", CONFIG_LOG_INFO},
						     {"warn", CONFIG_LOG_WARN},
						     {"error", CONFIG_LOG_ERROR},
						     {0}};
static const struct schema_choice choices_format[] = {
	{"json", CONFIG_LOG_JSON}, {"text", CONFIG_LOG_TEXT}, {0}};

static const struct schema_key keys_logging[] = {
	{"level", read_choice, FIELD(config_logging, level), .choices = choices_level},
	{"format", read_choice, FIELD(config_logging, format), .choices = choices_format},
	{"output", read_log_output, FIELD(config_logging, output)},
	{"access", read_on_off, FIELD(config_logging, access)},
	{"fields", read_log_fields},
	END,
};

static const struct schema_key keys_monitoring[] = {
	{"metrics_port", read_metrics_port, .min = 1, .max = 65535},
	{"metrics_host", read_metrics_host},
	{"label_budget", read_label_budget, .min = 1, .max = 10000},
	{"logging", read_mapping, FIELD(config_monitoring, logging), .keys = keys_logging},
	NOT_BUILT("health_check_interval"),
	NOT_BUILT("circuit_breaker"),
	END,
};

static const struct schema_key keys_admin[] = {
	{"socket", read_admin_socket, FIELD(config_admin, socket)},
	NOT_BUILT("address"),
	END,
};

static const struct schema_choice choices_algorithm[] = {
	{"token_bucket", CONFIG_LIMIT_TOKEN_BUCKET},
	{"sliding_window", CONFIG_LIMIT_SLIDING_WINDOW},
	{"fixed_window", CONFIG_LIMIT_FIXED_WINDOW},
	{0}};
static const struct schema_choice choices_limit_headers[] = {
	{"ietf", CONFIG_LIMIT_HEADERS_IETF},
	{"x-ratelimit", CONFIG_LIMIT_HEADERS_X_RATELIMIT},
	{"both", CONFIG_LIMIT_HEADERS_BOTH},
	{"off", CONFIG_LIMIT_HEADERS_OFF},
	{0}};
static const struct schema_choice choices_on_full[] = {{"coarse", CONFIG_LIMIT_COARSE},
						       {"open", CONFIG_LIMIT_OPEN},
						       {"closed", CONFIG_LIMIT_CLOSED},
						       {0}};
static const struct schema_choice choices_scope[] = {{"node", 0}, {"cluster", 0, true}, {0}};

const struct schema_key keys_limit[] = {
	{"key", read_limit_key, FIELD(limit_draft, limit)},
	{"requests_per_second", read_requests_per_second, FIELD(limit_draft, limit)},
	{"rate", read_rate, FIELD(limit_draft, limit)},
	{"burst", read_u32, FIELD(limit_draft, burst), .min = 1, .max = CONFIG_LIMIT_TOKENS_MAX},
	{"algorithm", read_choice, FIELD(limit_draft, limit.algorithm),
	 .choices = choices_algorithm},
	{"headers", read_choice, FIELD(limit_draft, limit.headers),
	 .choices = choices_limit_headers},
	{"on_full", read_choice, FIELD(limit_draft, limit.on_full), .choices = choices_on_full},
	{"cost", read_u32, FIELD(limit_draft, limit.cost), .min = 1,
	 .max = CONFIG_LIMIT_TOKENS_MAX},
	{"concurrency", read_u32, FIELD(limit_draft, limit.concurrency), .min = 1,
	 .max = CONFIG_LIMIT_TOKENS_MAX},
	{"scope", read_choice_only, .choices = choices_scope},
	NOT_BUILT("on_failure"),
	END,
};

static const struct schema_key keys_rate_limit[] = {
	{"default", read_default_limit},
	NOT_BUILT("authenticated"),
	NOT_BUILT("admin"),
	END,
};

const struct schema_key keys_file[] = {
	{"version", read_version},
	{"instance", read_instance, FIELD(config, instance)},
	{"include", read_nothing}, /* load.c has read it before */
	{"gateway", read_mapping, .keys = keys_gateway},
	{"services", read_services},
	{"listeners", read_listeners},
	{"trusted", read_trusted},
	{"resolver", read_mapping, FIELD(config, resolver), .keys = keys_resolver},
	{"client", read_mapping, FIELD(config, client), .keys = keys_client},
	{"runtime", read_mapping, FIELD(config, runtime), .keys = keys_runtime},
	{"monitoring", read_mapping, FIELD(config, monitoring), .keys = keys_monitoring},
	{"admin", read_mapping, FIELD(config, admin), .keys = keys_admin},
	NOT_BUILT("auth"),
	{"rate_limit", read_mapping, .keys = keys_rate_limit},
	{"limits", read_limits},
	NOT_BUILT("consumers"),
	NOT_BUILT("ip"),
	NOT_BUILT("cors"),
	NOT_BUILT("security_headers"),
	NOT_BUILT("explain"),
	NOT_BUILT("cluster"),
	NOT_BUILT("store"),
	NOT_BUILT("tracing"),
	END,
};

const struct schema_key keys_target[] = {
	{"url", read_target_url},
	NOT_BUILT("weight"),
	NOT_BUILT("backup"),
	END,
};

static const struct schema_key keys_timeouts[] = {
	{"connect", read_duration, FIELD(config_timeouts, connect_ns), .max = LONG},
	{"first_byte", read_duration, FIELD(config_timeouts, first_byte_ns), .max = LONG},
	{"idle", read_duration, FIELD(config_timeouts, idle_ns), .max = LONG},
	{"total", read_duration, FIELD(config_timeouts, total_ns), .max = LONG},
	END,
};

static const struct schema_key keys_retry[] = {
	{"attempts", read_u32, FIELD(config_retry, attempts), .max = 10},
	{"on", read_retry_on},
	{"buffer", read_size32, FIELD(config_retry, buffer_bytes), .max = 64 * KIB},
	NOT_BUILT("budget"),
	NOT_BUILT("backoff"),
	END,
};

const struct schema_key keys_respond[] = {
	{"status", read_status, FIELD(config_respond, status), .min = 200, .max = 599},
	{"body", read_body, FIELD(config_respond, body)},
	{"headers", read_headers},
	END,
};

const struct schema_key keys_redirect[] = {
	{"to", read_redirect_to, FIELD(config_redirect, to)},
	{"status", read_redirect_status, FIELD(config_redirect, status)},
	END,
};

static const struct schema_choice choices_protocol[] = {{"http/1.1", 0}, {"h2", 0, true}, {0}};
static const struct schema_choice choices_policy[] = {
	{"round_robin", 0}, {"least_requests", 0, true}, {"random", 0, true},
	{"hash", 0, true},  {"maglev", 0, true},         {0}};

static const struct schema_key keys_load_balancing[] = {
	{"policy", read_choice_only, .choices = choices_policy},
	NOT_BUILT("on"),
	NOT_BUILT("bounded_load"),
	END,
};

static const struct schema_key keys_upstream_tls[] = {
	{"ca", read_file_name, FIELD(config_upstream_tls, ca)},
	{"server_name", read_server_name, FIELD(config_upstream_tls, server_name)},
	{"client_cert", read_file_name, FIELD(config_upstream_tls, client_cert)},
	{"client_key", read_file_name, FIELD(config_upstream_tls, client_key)},
	{"verify", read_bool, FIELD(config_upstream_tls, verify)},
	END,
};

const struct schema_key keys_service[] = {
	{"name", read_text, FIELD(config_service, name)},
	{"url", read_url},
	{"targets", read_targets},
	{"respond", read_respond, FIELD(config_service, respond)},
	{"redirect", read_redirect, FIELD(config_service, redirect)},
	{"timeout", read_duration, FIELD(config_service, timeouts.attempt_ns), .max = LONG},
	{"timeouts", read_mapping, FIELD(config_service, timeouts), .keys = keys_timeouts},
	{"retry", read_retry, FIELD(config_service, retry), .keys = keys_retry},
	{"protocol", read_choice_only, .choices = choices_protocol},
	{"load_balancing", read_mapping, .keys = keys_load_balancing},
	{"tls", read_upstream_tls, FIELD(config_service, tls), .keys = keys_upstream_tls},
	{"routes", read_routes},
	NOT_BUILT("health"),
	NOT_BUILT("retries"),
	NOT_BUILT("discovery"),
	NOT_BUILT("slow_start"),
	NOT_BUILT("panic"),
	NOT_BUILT("sticky"),
	NOT_BUILT("outlier"),
	NOT_BUILT("circuit_breaker"),
	NOT_BUILT("concurrency"),
	NOT_BUILT("ip"),
	NOT_BUILT("cors"),
	END,
};

const struct schema_key keys_route[] = {
	{"name", read_text, FIELD(route_draft, route.name)},
	{"host", read_hosts},
	{"path", read_path},
	{"service", read_route_service},
	{"methods", read_methods},
	{"max_body", read_size64, FIELD(route_draft, route.max_body_bytes), .max = BYTES_MAX},
	{"timeout", read_duration, FIELD(route_draft, total_ns), .max = LONG},
	{"delay", read_duration, FIELD(route_draft, route.delay_ns), .max = DAY},
	NOT_BUILT("auth"),
	{"rate_limit", read_route_rate_limit},
	{"limits", read_route_limits},
	NOT_BUILT("headers"),
	NOT_BUILT("query"),
	NOT_BUILT("cookies"),
	NOT_BUILT("version"),
	NOT_BUILT("upgrade"),
	NOT_BUILT("grpc_web"),
	NOT_BUILT("stream_idle"),
	NOT_BUILT("priority"),
	NOT_BUILT("rewrite"),
	NOT_BUILT("split"),
	NOT_BUILT("mirror"),
	NOT_BUILT("ip"),
	NOT_BUILT("cors"),
	NOT_BUILT("headers_out"),
	NOT_BUILT("cache"),
	NOT_BUILT("compress"),
	END,
};
