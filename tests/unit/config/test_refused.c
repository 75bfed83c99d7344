#include "expect.h"

/* What goes behind "gateway: {port: 80}\n", and the only thing that is wrong with it. */
struct refusal {
	const char *text, *line;
};

static void expect_refusals(const struct refusal *table, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char text[2000];

		snprintf(text, sizeof(text), "gateway: {port: 80}\n%s\n", table[i].text);
		expect_one(text, table[i].line);
	}
}

static void the_gateway_is_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		{"version: 2", "t.yaml:2:10: error: version: `2` is no version that this build knows; it "
	                       "knows 1"},
		{"instance: a b",
	         "t.yaml:2:11: error: instance: an instance name is 1 to 32 letters, digits, `-` and `_`"},
		{"instance: ../x",
	         "t.yaml:2:11: error: instance: an instance name is 1 to 32 letters, digits, `-` and `_`"},
		{"admin: {socket: x.sock}",
	         "t.yaml:2:17: error: admin.socket: `x.sock` is no absolute path"},
		{"admin: {address: '127.0.0.1:1'}",
	         "t.yaml:2:9: error: admin: `address` is not supported yet"},
		{"trusted: 10.0.0.1/8", "t.yaml:2:10: error: trusted: `10.0.0.1/8` is no address range, like "
	                                "10.0.0.0/8 (no bits set behind the prefix) or 192.0.2.1"},
		{"trusted: []", "t.yaml:2:10: error: trusted: the list is empty"},
		{"trusted: {a: b}", "t.yaml:2:10: error: trusted: must be a list"},
		{"trusted: [[a]]",
	         "t.yaml:2:11: error: trusted[0]: must be a single value, not a list"},
		{"resolver: {servers: [localhost]}",
	         "t.yaml:2:22: error: resolver.servers[0]: `localhost` is no address of a DNS server, "
	         "like 127.0.0.1:53"},
		{"resolver: {timeout: 0}",
	         "t.yaml:2:21: error: resolver.timeout: `0` is too small, at least 1ms"},
		{"client: {head_time: 2d}",
	         "t.yaml:2:21: error: client.head_time: `2d` is too big, at most 1d"},
		{"client: {max_head: 64KiB}",
	         "t.yaml:2:20: error: client.max_head: `64KiB` is too big, at most 60KiB"},
		{"client: {max_head: 4KiB}", "t.yaml:2:20: error: client: `max_request_line` (8192 bytes) is "
	                                     "more than `max_head` (4096 bytes)"},
		{"client: {max_head: lots}", "t.yaml:2:20: error: client.max_head: `lots` is no size; write "
	                                     "it like 512, 64KiB or 10MB"},
		{"client: {max_fields: -1}", "t.yaml:2:22: error: client.max_fields: `-1` is no whole number "
	                                     "from 8 to 1000"},
		{"client: {handshake_time: 99ms}",
	         "t.yaml:2:26: error: client.handshake_time: `99ms` is too small, at least 100ms"},
		{"client: {handshake_time: 301s}",
	         "t.yaml:2:26: error: client.handshake_time: `301s` is too big, at most 5m"},
		{"client: {max_handshakes: 0}",
	         "t.yaml:2:26: error: client.max_handshakes: `0` is no whole number from 1 to 1000000"},
		{"client: 5", "t.yaml:2:9: error: client: must be a mapping of keys"},
		{"runtime: {shards: 257}", "t.yaml:2:19: error: runtime.shards: `257` is neither `auto` nor "
	                                   "a whole number up to 256"},
		{"runtime: {cpus: 7-2}",
	         "t.yaml:2:17: error: runtime.cpus: `7-2` is no list of CPUs, like 2-7,10"},
		{"runtime: {cpus: '1,x'}",
	         "t.yaml:2:17: error: runtime.cpus: `1,x` is no list of CPUs, like 2-7,10"},
		{"runtime: {pin: maybe}",
	         "t.yaml:2:16: error: runtime.pin: `maybe` is none of `auto`, `true` or `false`"},
		{"runtime: {limit_keys: 1023}", "t.yaml:2:23: error: runtime.limit_keys: `1023` is no "
	                                        "whole number from 1024 to 100000000"},
		{"runtime: {limit_windows: 10000001}",
	         "t.yaml:2:26: error: runtime.limit_windows: `10000001` is no whole number from 1024 "
	         "to 10000000"},
		{"runtime: {metrics_memory: file}",
	         "t.yaml:2:27: error: runtime.metrics_memory: `file` is none of `shm` or `private`"},
		{"monitoring: {label_budget: 0}", "t.yaml:2:28: error: monitoring.label_budget: `0` is "
	                                          "no whole number from 1 to 10000"},
		{"runtime: {steering: hash}",
	         "t.yaml:2:11: error: runtime: `steering` is not supported yet"},
		{"monitoring: {logging: {level: wran}}",
	         "t.yaml:2:31: error: monitoring.logging.level: `wran` is none of `debug`, `info`, "
	         "`warn` or `error`; did you mean `warn`?"},
		{"monitoring: {logging: {output: stdot}}",
	         "t.yaml:2:32: error: monitoring.logging.output: `stdot` is neither `stdout`, `stderr` "
	         "nor a path with a slash"},
		{"monitoring: {logging: {fields: {a b: x}}}",
	         "t.yaml:2:33: error: monitoring.logging.fields: a field name is 1 to 32 letters, "
	         "digits and `_`"},
		{"monitoring: {logging: {fields: {agent: 'x{hedaer:a}'}}}",
	         "t.yaml:2:40: error: monitoring.logging.fields.agent: at character 2: no such "
	         "attribute"},
		{"monitoring: {metrics_host: '::1'}", "t.yaml:2:28: warning: monitoring.metrics_host: opens "
	                                              "no listener without `metrics_port`"},
	};

	expect_refusals(table, ARRAY_LEN(table));
	expect_one("gateway: {port: 0}\n",
	           "t.yaml:1:17: error: gateway.port: `0` is no whole number from 1 to 65535");
	expect_one("gateway: {host: localhost, port: 80}\n", "t.yaml:1:17: error: gateway.host: "
	                                                     "`localhost` is no IP address, like "
	                                                     "0.0.0.0 or ::1");
	expect_one("gateway: {port: 80, max_connections: 1000001}\n",
	           "t.yaml:1:38: error: gateway.max_connections: `1000001` is no whole number from 1 to "
	           "1000000");
	expect_one("gateway: {host: '::1'}\nlisteners: [{address: ':80'}]\n",
	           "t.yaml:1:17: warning: gateway.host: opens no listener without `port`");
}

static void listeners_are_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		{"listeners: [{name: a}]", "t.yaml:2:13: error: listeners[0]: `address` is missing"},
		{"listeners: [{address: 'x:1'}]",
	         "t.yaml:2:23: error: listeners[0].address: `x:1` is no address with a port, like "
	         "0.0.0.0:8080 or [::]:8080"},
		{"listeners: [{address: '0.0.0.0:0'}]",
	         "t.yaml:2:23: error: listeners[0].address: `0.0.0.0:0` is no address with a port, "
	         "like 0.0.0.0:8080 or [::]:8080"},
		{"listeners: [{address: 'unix:/x'}]",
	         "t.yaml:2:23: error: listeners[0].address: unix sockets are not supported yet"},
		{"listeners: [{address: ':81', proxy_protocol: v3}]",
	         "t.yaml:2:46: error: listeners[0].proxy_protocol: `v3` is none of `off`, `v1`, `v2` or "
	         "`any`; did you mean `v1`?"},
		{"listeners: [{address: ':81', proxy_protocol: v2}]",
	         "t.yaml:2:30: error: listeners[0]: `proxy_protocol` needs `trusted`: the peers that "
	         "may send it"},
		{"listeners: [{address: ':81', redirect_https: yes}]",
	         "t.yaml:2:46: error: listeners[0].redirect_https: `yes` is none of `true` or `false`"},
		{"listeners: [{address: ':81', redirect_https: true, tls: {certificates: [{cert: a, key: "
	         "b}]}}]",
	         "t.yaml:2:30: error: listeners[0]: `redirect_https` and `tls` exclude each other: "
	         "whoever speaks TLS here is at https:// already"},
		{"listeners: {address: ':81'}", "t.yaml:2:12: error: listeners: must be a list"},
		{"listeners: [{address: '127.0.0.1:80'}]",
	         "t.yaml:2:23: error: listeners[0].address: `127.0.0.1:80` is taken already, by "
	         "listener `gateway` (t.yaml:1)"},
		{"listeners: [{name: a, address: '127.0.0.1:81'}, {address: '127.0.0.1:81'}]",
	         "t.yaml:2:59: error: listeners[1].address: `127.0.0.1:81` is taken already, by "
	         "listener `a` (t.yaml:2)"},
		{"monitoring: {metrics_port: 80}",
	         "t.yaml:2:28: error: monitoring.metrics_port: `80` is taken already, by listener "
	         "`gateway` (t.yaml:1)"},
	};

	expect_refusals(table, ARRAY_LEN(table));
}

#define SERVICE(keys) "services: {a: {" keys ", routes: [{path: /}]}}"

static void services_are_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		{"services: [a]", "t.yaml:2:11: error: services: must be a mapping of names to services"},
		{"services: {a: {url: 'http://x'}}",
	         "t.yaml:2:12: warning: services.a: no route leads to this service"},
		{"services: {a: {routes: [{path: /}]}}",
	         "t.yaml:2:12: error: services.a: one of `url`, `targets`, `respond` and `redirect` is "
	         "missing"},
		{SERVICE("url: 'http://x', respond: {body: x}"),
	         "t.yaml:2:33: error: services.a: `respond` and `url` exclude each other"},
		{SERVICE("respond: {body: x}, tls: {}"),
	         "t.yaml:2:36: error: services.a: `tls` has no meaning without an upstream"},
		{SERVICE("respond: {body: x}, retry: {}"),
	         "t.yaml:2:36: error: services.a: `retry` has no meaning without an upstream"},
		{SERVICE("url: 'https://x/y'"), "t.yaml:2:21: error: services.a.url: `https://x/y`: rewrite "
	                                        "is not supported yet; remove the path"},
		{SERVICE("url: 'https://unix:/x'"),
	         "t.yaml:2:21: error: services.a.url: `https://unix:/x`: TLS to a unix socket is not "
	         "possible"},
		{SERVICE("url: 'unix:/x'"), "t.yaml:2:21: error: services.a.url: `unix:/x`: unix: targets are "
	                                    "not supported yet"},
		{SERVICE("url: 'ftp://x'"),
	         "t.yaml:2:21: error: services.a.url: `ftp://x`: a url begins with http:// or "
	         "https://"},
		{SERVICE("url: 'http://x/y'"), "t.yaml:2:21: error: services.a.url: `http://x/y`: rewrite is "
	                                       "not supported yet; remove the path"},
		{SERVICE("url: 'http://x?y'"), "t.yaml:2:21: error: services.a.url: `http://x?y`: rewrite is "
	                                       "not supported yet; remove the path"},
		{SERVICE("url: 'http://'"), "t.yaml:2:21: error: services.a.url: `http://`: the host is "
	                                    "neither a name nor an IP address"},
		{SERVICE("url: 'http://x:'"),
	         "t.yaml:2:21: error: services.a.url: `http://x:`: write it like http://name:8000"},
		{SERVICE("url: 'http://x:0'"), "t.yaml:2:21: error: services.a.url: `http://x:0`: the port is "
	                                       "no number from 1 to 65535"},
		{SERVICE("url: 'http://10.0.0.256'"),
	         "t.yaml:2:21: error: services.a.url: `http://10.0.0.256`: the host is neither a name "
	         "nor an IP address"},
		{SERVICE("url: 'http://::1:80'"),
	         "t.yaml:2:21: error: services.a.url: `http://::1:80`: the port is no number from 1 to "
	         "65535"},
		{SERVICE("url: 'http://[10.0.0.1]'"),
	         "t.yaml:2:21: error: services.a.url: `http://[10.0.0.1]`: an IPv6 address stands in "
	         "brackets, and nothing else does"},
		{SERVICE("targets: [{}]"), "t.yaml:2:26: error: services.a.targets[0]: `url` is missing"},
		{SERVICE("targets: [{url: 'http://x', weight: 2}]"),
	         "t.yaml:2:44: error: services.a.targets[0]: `weight` is not supported yet"},
		{SERVICE("url: 'http://x', timeout: 1m"),
	         "t.yaml:2:42: warning: services.a.timeout: an attempt may take longer than the whole "
	         "request, which ends after 30000 ms"},
		{SERVICE("url: 'http://x', timeouts: {first: 1}"),
	         "t.yaml:2:44: error: services.a.timeouts: unknown key `first`"},
		{SERVICE("url: 'http://x', retry: {attempts: 11}"),
	         "t.yaml:2:51: error: services.a.retry.attempts: `11` is no whole number from 0 to 10"},
		{SERVICE("url: 'http://x', retry: {on: [502]}"),
	         "t.yaml:2:46: error: services.a.retry.on[0]: `502` is not supported yet"},
		{SERVICE("url: 'http://x', retry: {buffer: 65KiB}"),
	         "t.yaml:2:49: error: services.a.retry.buffer: `65KiB` is too big, at most 64KiB"},
		{SERVICE("url: 'http://x', retry: {backoff: 1ms}"),
	         "t.yaml:2:41: error: services.a.retry: `backoff` is not supported yet"},
		{SERVICE("url: 'http://x', load_balancing: {policy: hash}"),
	         "t.yaml:2:58: error: services.a.load_balancing.policy: `hash` is not supported yet"},
		{SERVICE("url: 'http://x', protocol: h2"),
	         "t.yaml:2:43: error: services.a.protocol: `h2` is not supported yet"},
		{SERVICE("url: 'http://x', circuit_breaker: {failure_threshold: x, nonsense: 1}"),
	         "t.yaml:2:33: error: services.a: `circuit_breaker` is not supported yet"},
	};

	expect_refusals(table, ARRAY_LEN(table));
}

static void answers_of_our_own_are_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		{SERVICE("respond: {status: 199}"), "t.yaml:2:34: error: services.a.respond.status: `199` is "
	                                            "no whole number from 200 to 599"},
		{SERVICE("respond: {status: 204, body: x}"),
	         "t.yaml:2:45: error: services.a.respond: an answer with status 204 has no body"},
		{SERVICE("respond: {headers: {'a b': c}}"),
	         "t.yaml:2:36: error: services.a.respond.headers.a b: `a b` is no name of a header "
	         "field"},
		{SERVICE("respond: {headers: {A: \"b\\r\\nc\"}}"),
	         "t.yaml:2:39: error: services.a.respond.headers.A: a field value has no control "
	         "characters and no spaces at its ends"},
		{SERVICE("respond: {headers: {Transfer-Encoding: chunked}}"),
	         "t.yaml:2:36: error: services.a.respond.headers.Transfer-Encoding: "
	         "`Transfer-Encoding` is set by the gateway itself"},
		{SERVICE("redirect: {status: 308}"),
	         "t.yaml:2:26: error: services.a.redirect: `to` is missing"},
		{SERVICE("redirect: {to: /x, status: 305}"),
	         "t.yaml:2:43: error: services.a.redirect.status: `305` is none of `301`, `302`, `303`, "
	         "`307` or `308`"},
		{SERVICE("redirect: {to: '{path}'}"), "t.yaml:2:31: error: services.a.redirect.to: begins "
	                                              "with https://, http://, {scheme}:// or /"},
		{SERVICE("redirect: {to: '/{path}'}"),
	         "t.yaml:2:31: error: services.a.redirect.to: would begin with //, which names another "
	         "host; {path} has its own slash"},
		{SERVICE("redirect: {to: 'https://x/a b'}"),
	         "t.yaml:2:31: error: services.a.redirect.to: spaces, control characters and bytes "
	         "outside ASCII are percent-encoded in a url"},
		{SERVICE("redirect: {to: ''}"),
	         "t.yaml:2:31: error: services.a.redirect.to: must not be empty"},
	};

	expect_refusals(table, ARRAY_LEN(table));
	/* Without quotes the place is the very brace. */
	expect_one("gateway: {port: 80}\nservices:\n  a:\n    routes: [{path: /}]\n    redirect:\n"
	           "      to: https://x{pth}\n",
	           "t.yaml:6:20: error: services.a.redirect.to: no such attribute");
}

#define ROUTE(keys) "services: {a: {respond: {}, routes: [{" keys "}]}}"

static void routes_are_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		{"services: {a: {respond: {}, routes: []}}",
	         "t.yaml:2:37: error: services.a.routes: the list is empty"},
		{ROUTE("name: x"), "t.yaml:2:38: error: services.a.routes[0]: `path` is missing"},
		{ROUTE("path: x"),
	         "t.yaml:2:45: error: services.a.routes[0].path: `x`: a path begins with a slash"},
		{ROUTE("path: '~^/v'"), "t.yaml:2:45: error: services.a.routes[0].path: `~^/v`: regular "
	                                "expressions are not supported yet"},
		{ROUTE("path: '/u/{id}'"), "t.yaml:2:45: error: services.a.routes[0].path: `/u/{id}`: path "
	                                   "parameters are not supported yet"},
		{ROUTE("path: '/a*'"), "t.yaml:2:45: error: services.a.routes[0].path: `/a*`: `*` stands at "
	                               "the end only, after a slash"},
		{ROUTE("path: '/a?b'"), "t.yaml:2:45: error: services.a.routes[0].path: `/a?b`: a path has "
	                                "neither query nor fragment"},
		{ROUTE("path: /a/../b"), "t.yaml:2:45: error: services.a.routes[0].path: `/a/../b`: `.` and "
	                                 "`..` are resolved before requests are matched"},
		{ROUTE("path: /a/."), "t.yaml:2:45: error: services.a.routes[0].path: `/a/.`: `.` and `..` "
	                              "are resolved before requests are matched"},
		{ROUTE("path: /%2f"), "t.yaml:2:45: error: services.a.routes[0].path: `/%2f`: a percent sign "
	                              "is followed by two digits, 0-9 and A-F"},
		{ROUTE("path: /%41"), "t.yaml:2:45: error: services.a.routes[0].path: `/%41`: letters, "
	                              "digits, `-`, `.`, `_` and `~` are not percent-encoded"},
		{ROUTE("path: /%00"), "t.yaml:2:45: error: services.a.routes[0].path: `/%00`: %00 is refused "
	                              "in every request"},
		{ROUTE("path: '/a b'"), "t.yaml:2:45: error: services.a.routes[0].path: `/a b`: this "
	                                "character is percent-encoded in a path"},
		{ROUTE("path: /\xc3\xb6"), "t.yaml:2:45: error: services.a.routes[0].path: `/\xc3\xb6`: this "
	                                   "character is percent-encoded in a path"},
		{ROUTE("path: /, host: ['*']"),
	         "t.yaml:2:55: error: services.a.routes[0].host[0]: leave `host` out to match every "
	         "host"},
		{ROUTE("path: /, host: 'a:80'"),
	         "t.yaml:2:54: error: services.a.routes[0].host: `a:80` is no host, like "
	         "api.example.com or *.example.org, without port"},
		{ROUTE("path: /, host: 'a.*.b'"),
	         "t.yaml:2:54: error: services.a.routes[0].host: `a.*.b` is no host, like "
	         "api.example.com or *.example.org, without port"},
		{ROUTE("path: /, methods: [get]"), "t.yaml:2:58: error: services.a.routes[0].methods[0]: "
	                                           "`get`: did you mean `GET`?"},
		{ROUTE("path: /, methods: ['G T']"),
	         "t.yaml:2:58: error: services.a.routes[0].methods[0]: `G T`: this is no method"},
		{ROUTE("path: /, methods: [GET, GET]"),
	         "t.yaml:2:63: error: services.a.routes[0].methods[1]: `GET`: it stands twice"},
		{ROUTE("path: /, methods: [CONNECT]"),
	         "t.yaml:2:58: error: services.a.routes[0].methods[0]: `CONNECT`: CONNECT is for "
	         "forward proxies"},
		{ROUTE("path: /, service: b"),
	         "t.yaml:2:57: error: services.a.routes[0].service: no service `b`"},
		{ROUTE("path: /, auth: true"),
	         "t.yaml:2:48: error: services.a.routes[0]: `auth` is not supported yet"},
		{ROUTE("path: /, max_body: 1T"),
	         "t.yaml:2:58: error: services.a.routes[0].max_body: `1T` is no size; write it like "
	         "512, 64KiB or 10MB"},
	};

	expect_refusals(table, ARRAY_LEN(table));
	expect_one("gateway: {port: 80}\n"
	           "services: {orders: {respond: {}, routes: [{path: /, service: ordres}]}}\n",
	           "t.yaml:2:62: error: services.orders.routes[0].service: no service `ordres`; did you "
	           "mean `orders`?");
}

static void routes_that_can_never_match_are_warned_of(void **state UNUSED)
{
	static const struct refusal table[] = {
		{"services: {a: {respond: {}, routes: [{path: /x}, {path: /x, methods: [GET]}]}}",
	         "t.yaml:2:50: warning: services.a.routes[1]: `/x` can never match: route `a[0]` "
	         "(t.yaml:2) takes these requests"},
		{"services: {a: {respond: {}, routes: [{name: one, path: /x/*, methods: [GET, PUT]}, "
	         "{path: /x/*, methods: [PUT, HEAD]}]}}",
	         "t.yaml:2:84: warning: services.a.routes[1]: `/x/*` can never match: route `one` "
	         "(t.yaml:2) takes these requests"},
		{"services: {a: {respond: {}, routes: [{path: /x, host: a.b}, {path: /x, host: [c.d]}, "
	         "{path: /x, host: [A.B, c.d]}]}}",
	         "t.yaml:2:86: warning: services.a.routes[2]: `/x` can never match: route `a[1]` "
	         "(t.yaml:2) takes these requests"},
	};

	expect_refusals(table, ARRAY_LEN(table));
}

static void routes_that_share_a_path_may_still_match(void **state UNUSED)
{
	static const char *const table[] = {
		"[{path: /x, methods: [GET]}, {path: /x}]",
		"[{path: /x, methods: [GET]}, {path: /x, methods: [GET, PUT]}]",
		"[{path: /x, host: a.b}, {path: /x}]",
		"[{path: /x}, {path: /x, host: a.b}]",
		"[{path: /x, host: a.b}, {path: /x, host: [a.b, c.d]}]",
		"[{path: /x, host: '*.a.b'}, {path: /x, host: [a.b]}]",
		"[{path: /x}, {path: /x/*}]",
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char text[300];

		snprintf(text, sizeof(text),
		         "gateway: {port: 80}\nservices: {a: {respond: {}, routes: %s}}\n", table[i]);
		config_destroy(config_of(text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_gateway_is_checked),
		cmocka_unit_test(listeners_are_checked),
		cmocka_unit_test(services_are_checked),
		cmocka_unit_test(answers_of_our_own_are_checked),
		cmocka_unit_test(routes_are_checked),
		cmocka_unit_test(routes_that_can_never_match_are_warned_of),
		cmocka_unit_test(routes_that_share_a_path_may_still_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
