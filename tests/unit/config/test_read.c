#include "expect.h"

/* Every key that is built, with a value that is not its default. */
static const char everything[] =
	"version: 1\n"
	"instance: blue_1\n"
	"gateway: {host: '::1', port: 8080, timeout: 7s, max_connections: 5000, forwarded: true}\n"
	"trusted: [10.0.0.0/8, 'fd00::/8']\n"
	"resolver: {servers: [127.0.0.1, '[::1]:5353'], timeout: 3s, max_ttl: 1h}\n"
	"client: {head_time: 1s, body_idle: 2s, write_idle: 3s, keepalive: 4s,\n"
	"         max_request_line: 1KiB, max_head: 60KiB, max_fields: 1000,\n"
	"         handshake_time: 5m, max_handshakes: 1000000}\n"
	"runtime: {shards: 3, cpus: '2-7,10', pin: false, drain: 0, limit_keys: 100000000,\n"
	"          limit_windows: 1024, metrics_memory: private}\n"
	"listeners: [{name: second, address: ':8081', proxy_protocol: off},\n"
	"            {address: ':8082', proxy_protocol: any, redirect_https: true},\n"
	"            {address: ':8083', proxy_protocol: v1}, {address: ':8084', proxy_protocol: "
	"v2}]\n"
	"admin: {socket: /x/y.sock}\n"
	"monitoring:\n"
	"  metrics_host: 127.0.0.2\n"
	"  metrics_port: 9090\n"
	"  label_budget: 10000\n"
	"  logging: {level: warn, format: text, output: /x/log, access: off, fields: {a: "
	"'b{host}'}}\n"
	"services:\n"
	"  one:\n"
	"    name: Number One\n"
	"    url: http://one.example\n"
	"    timeout: 1s\n"
	"    timeouts: {connect: 2s, first_byte: 3s, idle: 4s, total: 5s}\n"
	"    retry: {attempts: 10, on: [connect-failure], buffer: 1KiB}\n"
	"    protocol: http/1.1\n"
	"    load_balancing: {policy: round_robin}\n"
	"    routes:\n"
	"      - {name: r, host: [API.example, '*.example.org'], path: /a/*, methods: [GET, "
	"PURGE],\n"
	"         max_body: 10MiB, timeout: 6s, delay: 10ms}\n"
	"  two:\n"
	"    targets: [{url: 'http://10.0.0.5:8000/'}, {url: 'http://[::1]:81'}]\n"
	"    routes: [{path: /b, service: one}, {path: '/*'}]\n"
	"  three:\n"
	"    respond: {status: 503, body: \"later\\n\", headers: {Retry-After: 5}}\n"
	"    routes: [{path: /c}]\n"
	"  four:\n"
	"    redirect: {to: 'https://x{path}', status: 301}\n"
	"    routes: [{path: /d}]\n";

static void expect_address(const struct address *a, const char *text)
{
	char out[ADDRESS_TEXT_BYTES];

	address_text(a, out);
	assert_string_equal(out, text);
}

static void keys_of_the_process_are_read(void **state UNUSED)
{
	struct config *c = config_of(everything);
	const struct config_logging *l = &c->monitoring.logging;

	assert_string_equal(c->instance, "blue_1");
	assert_int_equal(c->listeners_len, 5);
	assert_string_equal(c->listeners[0].name, "gateway");
	expect_address(&c->listeners[0].address, "[::1]:8080");
	assert_string_equal(c->listeners[1].name, "second");
	expect_address(&c->listeners[1].address, "0.0.0.0:8081");
	assert_int_equal(c->listeners[1].proxy_protocol, CONFIG_PROXY_PROTOCOL_OFF);
	assert_false(c->listeners[1].redirect_https);
	assert_string_equal(c->listeners[2].name, "listeners[1]");
	assert_int_equal(c->listeners[2].proxy_protocol, CONFIG_PROXY_PROTOCOL_ANY);
	assert_true(c->listeners[2].redirect_https);
	assert_int_equal(c->listeners[3].proxy_protocol, CONFIG_PROXY_PROTOCOL_V1);
	assert_int_equal(c->listeners[4].proxy_protocol, CONFIG_PROXY_PROTOCOL_V2);
	assert_int_equal(c->max_connections, 5000);
	assert_true(c->forwarded);
	assert_int_equal(c->trusted_len, 2);
	assert_int_equal(c->resolver.servers_len, 2);
	expect_address(&c->resolver.servers[0], "127.0.0.1:53");
	expect_address(&c->resolver.servers[1], "[::1]:5353");
	assert_int_equal(c->resolver.timeout_ns, 3 * NS_PER_S);
	assert_int_equal(c->resolver.max_ttl_ns, 3600 * NS_PER_S);
	assert_int_equal(c->client.head_time_ns, 1 * NS_PER_S);
	assert_int_equal(c->client.body_idle_ns, 2 * NS_PER_S);
	assert_int_equal(c->client.write_idle_ns, 3 * NS_PER_S);
	assert_int_equal(c->client.keepalive_ns, 4 * NS_PER_S);
	assert_int_equal(c->client.max_request_line_bytes, 1024);
	assert_int_equal(c->client.max_head_bytes, 60 * 1024);
	assert_int_equal(c->client.max_fields, 1000);
	assert_int_equal(c->client.handshake_time_ns, 300 * NS_PER_S);
	assert_int_equal(c->client.max_handshakes, 1000000);
	assert_int_equal(c->runtime.shards, 3);
	assert_string_equal(c->runtime.cpus, "2-7,10");
	assert_int_equal(c->runtime.pin, CONFIG_PIN_NO);
	assert_int_equal(c->runtime.drain_ns, 0);
	assert_int_equal(c->runtime.limit_keys, 100000000);
	assert_int_equal(c->runtime.limit_windows, 1024);
	assert_false(c->runtime.metrics_shared);
	assert_int_equal(c->runtime.metric_routes, 10000);
	assert_string_equal(c->admin.socket, "/x/y.sock");
	assert_true(c->monitoring.enabled);
	expect_address(&c->monitoring.address, "127.0.0.2:9090");
	assert_int_equal(l->level, CONFIG_LOG_WARN);
	assert_int_equal(l->format, CONFIG_LOG_TEXT);
	assert_string_equal(l->output, "/x/log");
	assert_false(l->access);
	assert_int_equal(l->fields_len, 1);
	assert_string_equal(l->fields[0].name, "a");
	assert_int_equal(l->fields[0].value.parts_len, 2);
	config_destroy(c);
}

static void keys_of_services_are_read(void **state UNUSED)
{
	struct config *c = config_of(everything);
	const struct config_service *one = &c->services[0], *two = &c->services[1];
	const struct config_service *three = &c->services[2], *four = &c->services[3];

	assert_int_equal(c->services_len, 4);
	assert_string_equal(one->id, "one");
	assert_string_equal(one->name, "Number One");
	assert_int_equal(one->source, CONFIG_SOURCE_UPSTREAM);
	assert_int_equal(one->targets_len, 1);
	assert_string_equal(one->targets[0].host, "one.example");
	assert_int_equal(one->targets[0].port, 80);
	assert_string_equal(one->targets[0].authority, "one.example");
	assert_int_equal(one->targets[0].address.len, 0);
	assert_int_equal(one->timeouts.attempt_ns, 1 * NS_PER_S);
	assert_int_equal(one->timeouts.connect_ns, 2 * NS_PER_S);
	assert_int_equal(one->timeouts.first_byte_ns, 3 * NS_PER_S);
	assert_int_equal(one->timeouts.idle_ns, 4 * NS_PER_S);
	assert_int_equal(one->timeouts.total_ns, 5 * NS_PER_S);
	assert_int_equal(one->retry.attempts, 10);
	assert_int_equal(one->retry.buffer_bytes, 1024);
	assert_int_equal(two->targets_len, 2);
	expect_address(&two->targets[0].address, "10.0.0.5:8000");
	assert_string_equal(two->targets[1].authority, "[::1]:81");
	assert_int_equal(two->timeouts.total_ns, 7 * NS_PER_S);
	assert_int_equal(three->source, CONFIG_SOURCE_RESPOND);
	assert_int_equal(three->respond.status, 503);
	assert_true(span_eq(three->respond.body, SPAN("later\n")));
	assert_string_equal(three->respond.headers[0].name, "Retry-After");
	assert_string_equal(three->respond.headers[0].value, "5");
	assert_int_equal(four->source, CONFIG_SOURCE_REDIRECT);
	assert_int_equal(four->redirect.status, 301);
	assert_int_equal(four->redirect.to.parts_len, 2);
	config_destroy(c);
}

static void keys_of_routes_are_read(void **state UNUSED)
{
	struct config *c = config_of(everything);
	const struct config_route *r = &c->services[0].routes[0], *moved = r + 1;
	const struct config_route *all = &c->services[1].routes[0];

	assert_int_equal(c->services[0].routes_len, 2);
	assert_string_equal(r->name, "r");
	assert_int_equal(r->hosts_len, 2);
	assert_string_equal(r->hosts[0].name, "api.example");
	assert_false(r->hosts[0].is_suffix);
	assert_string_equal(r->hosts[1].name, ".example.org");
	assert_true(r->hosts[1].is_suffix);
	assert_int_equal(r->path_kind, CONFIG_PATH_PREFIX);
	assert_string_equal(r->path, "/a");
	assert_int_equal(r->methods_len, 2);
	assert_string_equal(r->methods[1], "PURGE");
	assert_int_equal(r->max_body_bytes, 10 * 1024 * 1024);
	assert_int_equal(r->timeouts.total_ns, 6 * NS_PER_S);
	assert_int_equal(r->timeouts.connect_ns, 2 * NS_PER_S);
	assert_int_equal(r->delay_ns, 10 * NS_PER_MS);
	/* Written below another service. */
	assert_string_equal(moved->name, "two[0]");
	assert_int_equal(moved->path_kind, CONFIG_PATH_EXACT);
	assert_int_equal(moved->timeouts.total_ns, 5 * NS_PER_S);
	assert_int_equal(c->services[1].routes_len, 1);
	assert_string_equal(all->path, "");
	assert_int_equal(all->path_kind, CONFIG_PATH_PREFIX);
	config_destroy(c);
}

static void defaults_are_as_documented(void **state UNUSED)
{
	struct config *c = config_of("gateway: {port: 80}\n"
				     "services:\n"
				     "  a: {url: 'http://x:1', routes: [{path: /}]}\n"
				     "  b: {url: 'http://x:1', retry:, routes: [{path: /b}]}\n"
				     "  c: {respond:, routes: [{path: /c}]}\n"
				     "  d: {redirect: {to: /x}, routes: [{path: /d}]}\n");
	const struct config_service *a = &c->services[0];
	const struct config_route *r = &a->routes[0];

	assert_string_equal(c->instance, "default");
	expect_address(&c->listeners[0].address, "0.0.0.0:80");
	assert_int_equal(c->max_connections, 1000);
	assert_false(c->forwarded || c->monitoring.enabled || c->trusted_len);
	assert_int_equal(c->client.head_time_ns, 10 * NS_PER_S);
	assert_int_equal(c->client.body_idle_ns, 30 * NS_PER_S);
	assert_int_equal(c->client.write_idle_ns, 30 * NS_PER_S);
	assert_int_equal(c->client.keepalive_ns, 75 * NS_PER_S);
	assert_int_equal(c->client.max_request_line_bytes, 8 * 1024);
	assert_int_equal(c->client.max_head_bytes, 32 * 1024);
	assert_int_equal(c->client.max_fields, 100);
	assert_int_equal(c->client.handshake_time_ns, 10 * NS_PER_S);
	assert_int_equal(c->client.max_handshakes, 1024);
	assert_int_equal(c->listeners[0].proxy_protocol, CONFIG_PROXY_PROTOCOL_OFF);
	assert_false(c->listeners[0].redirect_https);
	assert_null(c->listeners[0].tls);
	assert_int_equal(c->runtime.shards, 0);
	assert_null(c->runtime.cpus);
	assert_int_equal(c->runtime.pin, CONFIG_PIN_AUTO);
	assert_int_equal(c->runtime.drain_ns, 30 * NS_PER_S);
	assert_int_equal(c->runtime.limit_keys, 262144);
	assert_int_equal(c->runtime.limit_windows, 65536);
	assert_true(c->runtime.metrics_shared);
	assert_int_equal(c->runtime.metric_routes, 256);
	assert_int_equal(c->limits_len + r->limits_len, 0);
	assert_int_equal(c->resolver.timeout_ns, 2 * NS_PER_S);
	assert_int_equal(c->resolver.max_ttl_ns, 300 * NS_PER_S);
	assert_int_equal(c->monitoring.logging.level, CONFIG_LOG_INFO);
	assert_int_equal(c->monitoring.logging.format, CONFIG_LOG_JSON);
	assert_string_equal(c->monitoring.logging.output, "stdout");
	assert_true(c->monitoring.logging.access);
	assert_int_equal(c->admin.socket[0], '/');
	assert_string_equal(a->name, "a");
	assert_int_equal(a->timeouts.attempt_ns, 0);
	assert_int_equal(a->timeouts.connect_ns, NS_PER_S);
	assert_int_equal(a->timeouts.first_byte_ns, 0);
	assert_int_equal(a->timeouts.idle_ns, 60 * NS_PER_S);
	assert_int_equal(a->timeouts.total_ns, 30 * NS_PER_S);
	assert_int_equal(a->retry.attempts, 0);
	assert_true(a->tls.verify);
	assert_null(a->tls.ca.path);
	assert_false(a->targets[0].tls);
	assert_string_equal(r->name, "a[0]");
	assert_int_equal(r->hosts_len + r->methods_len + r->delay_ns, 0);
	assert_true(r->max_body_bytes == UINT64_MAX);
	assert_int_equal(c->services[1].retry.attempts, 3);
	assert_int_equal(c->services[1].retry.buffer_bytes, 64 * 1024);
	assert_int_equal(c->services[2].respond.status, 200);
	assert_int_equal(c->services[3].redirect.status, 308);
	config_destroy(c);
}

#define TEN(x)      x x x x x x x x x x
#define EMPTY_LINES TEN(TEN("\n")) "\n\n"

/* `head`, then so many pieces, each with its number in front of its end, then `tail`. */
static void expect_too_many(const char *head, const char *piece, const char *end, int often,
			    const char *tail, const char *message)
{
	size_t len = 0;
	char *text = NULL, *printed;
	FILE *f = open_memstream(&text, &len);

	fputs(head, f);
	for (int i = 0; i < often; i++)
		fprintf(f, "%s%d%s", piece, i, end);
	fputs(tail, f);
	fclose(f);
	printed = report_of_file("t.yaml", span_of(text, len));
	if (!strstr(printed, message))
		fail_msg("%s is not in %.600s", message, printed);
	free(printed);
	free(text);
}

static void what_can_be_many_is_bounded(void **state UNUSED)
{
	expect_too_many("monitoring: {logging: {fields: {", "a", ": b,", 65, "}}}",
			"65 fields are too many, at most 64");
	expect_too_many("listeners: [", "{address: ':", "'},", 65, "]", "more than 64 listeners");
	expect_too_many("listeners: [{address: ':1', tls: {certificates: [", "{key: k, cert: c",
			"},", 65, "]}}]", "more than 64 certificates");
	expect_too_many("services: {", "a", ": {},", 4097, "}", "more than 4096 services");
	expect_too_many("services: {a: {respond: {}, routes: [{path: /, host: [", "h", ",", 1001,
			"]}]}}", "more than 1000 hosts");
	expect_too_many("services: {a: {respond: {}, routes: [{path: /, methods: [", "M", ",", 65,
			"]}]}}", "more than 64 methods");
	expect_too_many("services: {a: {respond: {headers: {", "a", ": aaaaaaaaaaaa,", 1000, "}}}}",
			"at most 8 KiB");
	expect_too_many("services: {a: {redirect: {to: /", "", "", 4000, "}}}", "at most 4 KiB");
	expect_too_many("services: {a: {respond: {body: ", "0000", "", 12800, "}}}",
			"at most 62 KiB");
	expect_too_many("x: [", "&a", " b,", 1001, "]", "more than 1000 anchors");
	expect_too_many("x: |\n  ", "\n", "\n", 0, "a\n" EMPTY_LINES "b\n",
			"more than 100 empty lines in a row");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_of_the_process_are_read),
		cmocka_unit_test(keys_of_services_are_read),
		cmocka_unit_test(keys_of_routes_are_read),
		cmocka_unit_test(defaults_are_as_documented),
		cmocka_unit_test(what_can_be_many_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
