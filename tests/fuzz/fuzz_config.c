#include "fuzz.h"

#include <jansson.h>

#include <ringway/config/load.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 loses some hundred bytes at a quoted scalar with many quotes in it
 * (pantoniou/libfyaml issue 233). Leaks of ours have other frames on top. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so\n";
}

/* What a value may name is the same everywhere, or a finding would hold here only. */
int LLVMFuzzerInitialize(int *argc UNUSED, char ***argv UNUSED)
{
	must(clearenv() == 0 && setenv("SET", "10.0.0.5:8000", 1) == 0);
	must(setenv("EMPTY", "", 1) == 0);
	return 0;
}

static void try_limit(const struct config_limit *l)
{
	must(*l->name && strlen(l->name) <= 112 && *l->shown_key);
	must(l->keys_len && l->keys_len <= CONFIG_LIMIT_KEYS_MAX);
	for (size_t i = 0; i < l->keys_len; i++) {
		const struct config_limit_key *k = &l->keys[i];

		must((k->part == CONFIG_LIMIT_HEADER) == (k->header != NULL));
		must(k->part != CONFIG_LIMIT_GLOBAL || l->keys_len == 1);
		must(k->prefix4 && k->prefix4 <= 32 && k->prefix6 && k->prefix6 <= 128);
	}
	must(l->tokens || l->concurrency);
	must(l->tokens <= 1000000 && l->burst <= 1000000 && l->concurrency <= 1000000);
	must(l->tokens || l->headers == CONFIG_LIMIT_HEADERS_OFF);
	if (!l->tokens)
		return;
	/* No faster than the limiter counts, and some request passes. */
	must(l->period_ns <= 366 * 86400 * NS_PER_S && l->period_ns / 100 >= l->tokens);
	if (l->algorithm == CONFIG_LIMIT_TOKEN_BUCKET)
		must(l->cost && l->cost <= l->burst);
	else
		must(l->cost && l->cost <= l->tokens && l->period_ns >= NS_PER_S && !l->burst);
}

static void try_route(const struct config_route *r)
{
	must(r->limits_len <= CONFIG_ROUTE_LIMITS_MAX);
	for (size_t i = 0; i < r->limits_len; i++)
		for (size_t k = 0; k < i; k++)
			must(r->limits[i] != r->limits[k]);
	must(r->name && r->path);
	must(r->path_kind == CONFIG_PATH_PREFIX ? !*r->path || *r->path == '/' : *r->path == '/');
	for (size_t i = 0; i < r->hosts_len; i++)
		must(*r->hosts[i].name && r->hosts[i].is_suffix == (*r->hosts[i].name == '.'));
	for (size_t i = 0; i < r->methods_len; i++)
		must(*r->methods[i]);
}

static void try_service(const struct config_service *s)
{
	must(*s->id && *s->name);
	must((s->source == CONFIG_SOURCE_UPSTREAM) == (s->targets_len > 0));
	for (size_t i = 0; i < s->targets_len; i++) {
		const struct config_target *t = &s->targets[i];

		must(*t->url && *t->host && *t->authority && t->port && t->weight);
	}
	must(!s->tls.client_cert.path == !s->tls.client_key.path);
	must(s->source != CONFIG_SOURCE_REDIRECT || s->redirect.to.parts_len);
	must(s->source != CONFIG_SOURCE_RESPOND || s->respond.status >= 200);
	must(s->respond.body.len <= 62 * KIB && s->retry.buffer_bytes <= 64 * KIB);
	for (size_t i = 0; i < s->routes_len; i++)
		try_route(&s->routes[i]);
}

static void try_listener(const struct config *c, const struct config_listener *l)
{
	const struct config_tls *t = l->tls;

	must(*l->name && address_port(&l->address) && !(t && l->redirect_https));
	must(l->proxy_protocol == CONFIG_PROXY_PROTOCOL_OFF || c->trusted_len);
	if (!t)
		return;
	must(t->certificates_len && t->alpn_len && t->groups_len <= 4 && t->suites_len <= 9);
	for (size_t i = 0; i < t->certificates_len; i++)
		must(*t->certificates[i].cert.path && *t->certificates[i].key.path);
	must(t->min_version == 0x0303 || t->min_version == 0x0304);
	must(t->client_auth == CONFIG_CLIENT_AUTH_NONE ||
	     (t->client_ca.path && !t->ticket_lifetime_ns));
	must(t->ticket_lifetime_ns <= t->ticket_rotate_ns && !(t->ocsp.path && t->ocsp_fetch));
}

/* What the layers above rely on. */
static void try_config(const struct config *c)
{
	must(config_instance_is_valid(span_str(c->instance)));
	must(c->max_connections && c->runtime.shards <= 256);
	must(c->client.max_fields <= 1000 && c->client.max_head_bytes <= 60 * KIB);
	must(c->client.max_request_line_bytes <= c->client.max_head_bytes);
	must(c->client.handshake_time_ns && c->client.max_handshakes);
	must(c->client.head_time_ns && c->client.keepalive_ns && c->client.write_idle_ns);
	must(c->monitoring.logging.fields_len <= 64 && *c->admin.socket == '/');
	for (size_t i = 0; i < c->limits_len; i++)
		try_limit(&c->limits[i]);
	for (size_t i = 0; i < c->listeners_len; i++)
		try_listener(c, &c->listeners[i]);
	for (size_t i = 0; i < c->services_len; i++)
		try_service(&c->services[i]);
}

static void try_report(const struct config_report *r)
{
	char *printed = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&printed, &len);
	json_t *json;

	must(out);
	config_report_print(r, out, /* colour */ false);
	must(fclose(out) == 0);
	/* What a file says must not steer the terminal. */
	for (size_t i = 0; i < len; i++)
		must((unsigned char)printed[i] >= 0x20 || printed[i] == '\n' || printed[i] == '\t');
	free(printed);
	out = open_memstream(&printed, &len);
	must(out);
	config_report_print_json(r, "fuzz", out);
	must(fclose(out) == 0);
	json = json_loads(printed, 0, NULL);
	must(json && json_array_size(json_object_get(json, "issues")) == r->issues_len);
	json_decref(json);
	free(printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy((const char *)data, size);
	struct config *config = NULL;
	struct config_report report;
	int err = config_load_text(NULL, span_of(text, size), &config, &report);

	/* The config has copies of all that it keeps. */
	free(text);
	must((err == 0) == (config != NULL) && (err != 0) == (report.errors > 0));
	if (config)
		try_config(config);
	try_report(&report);
	config_report_fini(&report);
	config_destroy(config);
	return 0;
}
