#include "expect.h"

/* A service with one route that has these limits, and those below `limits`. */
#define WITH(route, limits)                                                                        \
	"gateway: {port: 80}\n"                                                                    \
	"services: {a: {respond: {}, routes: [{path: /, " route "}]}}\n"                           \
	"limits: {" limits "}\n"
#define ONE(keys) WITH("limits: x", "x: {" keys "}")

static void expect_terms(const struct config_limit *limit, uint64_t tokens, uint64_t period_ns,
			 uint64_t burst)
{
	assert_true(limit->tokens == tokens);
	assert_true(limit->period_ns == period_ns);
	assert_true(limit->burst == burst);
}

static void a_limit_is_read_with_its_defaults(void **state UNUSED)
{
	struct config *c = config_of(ONE("key: ip, requests_per_second: 50"));
	const struct config_limit *x = &c->limits[0];

	assert_int_equal(c->limits_len, 1);
	assert_string_equal(x->name, "x");
	assert_string_equal(x->shown_key, "ip");
	assert_int_equal(x->keys_len, 1);
	assert_int_equal(x->keys[0].part, CONFIG_LIMIT_IP);
	assert_int_equal(x->keys[0].prefix4, 32);
	assert_int_equal(x->keys[0].prefix6, 64);
	assert_int_equal(x->algorithm, CONFIG_LIMIT_TOKEN_BUCKET);
	assert_int_equal(x->headers, CONFIG_LIMIT_HEADERS_IETF);
	assert_int_equal(x->on_full, CONFIG_LIMIT_COARSE);
	assert_int_equal(x->cost, 1);
	assert_int_equal(x->concurrency, 0);
	assert_int_equal(x->place.line, 3);
	assert_int_equal(x->place.column, 10);
	expect_terms(x, 50, NS_PER_S, 50);
	config_destroy(c);
}

static void a_limit_is_read_with_all_its_keys(void **state UNUSED)
{
	struct config *c = config_of(
		ONE("key: [header:X-Api-Key, ip/24/56, route, service], rate: 1000/h, burst: 7,\n"
		    " algorithm: token_bucket, headers: both, on_full: closed, cost: 3,\n"
		    " concurrency: 5, scope: node"));
	const struct config_limit *x = &c->limits[0];

	assert_string_equal(x->shown_key, "header:X-Api-Key, ip/24/56, route, service");
	assert_int_equal(x->keys_len, 4);
	assert_int_equal(x->keys[0].part, CONFIG_LIMIT_HEADER);
	assert_string_equal(x->keys[0].header, "x-api-key");
	assert_int_equal(x->keys[1].part, CONFIG_LIMIT_IP);
	assert_int_equal(x->keys[1].prefix4, 24);
	assert_int_equal(x->keys[1].prefix6, 56);
	assert_int_equal(x->keys[2].part, CONFIG_LIMIT_ROUTE);
	assert_int_equal(x->keys[3].part, CONFIG_LIMIT_SERVICE);
	assert_int_equal(x->headers, CONFIG_LIMIT_HEADERS_BOTH);
	assert_int_equal(x->on_full, CONFIG_LIMIT_CLOSED);
	assert_int_equal(x->cost, 3);
	assert_int_equal(x->concurrency, 5);
	expect_terms(x, 1000, 3600 * NS_PER_S, 7);
	config_destroy(c);
}

static void rates_are_whole_tokens_in_a_time(void **state UNUSED)
{
	static const struct {
		const char *text;
		uint64_t tokens, period_ns, burst;
	} table[] = {
		{ONE("key: ip, requests_per_second: 1"), 1, NS_PER_S, 1},
		{ONE("key: ip, requests_per_second: 0.5"), 1, 2 * NS_PER_S, 1},
		{ONE("key: ip, requests_per_second: 0.001"), 1, 1000 * NS_PER_S, 1},
		{ONE("key: ip, requests_per_second: 0.125"), 1, 8 * NS_PER_S, 1},
		{ONE("key: ip, requests_per_second: 2.50"), 5, 2 * NS_PER_S, 3},
		{ONE("key: ip, requests_per_second: 1.0"), 1, NS_PER_S, 1},
		{ONE("key: ip, requests_per_second: 100.003"), 100003, 1000 * NS_PER_S, 101},
		{ONE("key: ip, requests_per_second: 1000000"), 1000000, NS_PER_S, 1000000},
		/* The limiter counts to a million: as many in a tenth of the time. */
		{ONE("key: ip, requests_per_second: 10000000"), 1000000, 100 * NS_PER_MS, 1000000},
		/* Rounded so that it is never faster. */
		{ONE("key: ip, rate: 3000000/s"), 1000000, 333333334, 1000000},
		{ONE("key: ip, rate: 100/s"), 100, NS_PER_S, 100},
		{ONE("key: ip, rate: 90/m"), 90, 60 * NS_PER_S, 2},
		{ONE("key: ip, rate: 1000/h"), 1000, 3600 * NS_PER_S, 1},
		{ONE("key: ip, rate: 1000/h, cost: 4"), 1000, 3600 * NS_PER_S, 4},
		{ONE("key: ip, rate: 1/d"), 1, 86400 * NS_PER_S, 1},
		{ONE("key: ip, rate: 1/366d"), 1, 366 * 86400 * NS_PER_S, 1},
		{ONE("key: ip, rate: 5000/15m"), 5000, 900 * NS_PER_S, 6},
		{ONE("key: ip, rate: 5/1m30s"), 5, 90 * NS_PER_S, 1},
		{ONE("key: ip, rate: 36000000/h"), 1000000, 100 * NS_PER_S, 10000},
		{ONE("key: ip, rate: 9/m, algorithm: fixed_window"), 9, 60 * NS_PER_S, 0},
		{ONE("key: ip, rate: 1000000/s, algorithm: sliding_window"), 1000000, NS_PER_S, 0},
		{ONE("key: ip, concurrency: 9"), 0, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct config *c = config_of(table[i].text);

		expect_terms(&c->limits[0], table[i].tokens, table[i].period_ns, table[i].burst);
		config_destroy(c);
	}
}

static void without_a_rate_there_are_no_fields(void **state UNUSED)
{
	struct config *c = config_of(ONE("key: global, concurrency: 9"));

	assert_int_equal(c->limits[0].headers, CONFIG_LIMIT_HEADERS_OFF);
	assert_int_equal(c->limits[0].concurrency, 9);
	config_destroy(c);
}

static void the_default_is_on_every_route(void **state UNUSED)
{
	struct config *c = config_of(
		"gateway: {port: 80}\n"
		"services:\n"
		"  a: {respond: {}, routes: [{path: /a}, {path: /b, rate_limit: {rate: 9/s}}]}\n"
		"  b: {url: 'http://x', routes: [{name: c, path: /c, service: a,\n"
		"      rate_limit: {requests_per_second: 5, burst: 2, concurrency: 3}}, {path: "
		"/d}]}\n"
		"rate_limit: {default: {requests_per_second: 100, burst: 200}}\n");
	const struct config_service *a = &c->services[0], *b = &c->services[1];

	assert_int_equal(c->limits_len, 3);
	assert_string_equal(c->limits[0].name, "default");
	assert_string_equal(c->limits[0].shown_key, "ip");
	assert_int_equal(c->limits[0].keys[0].prefix6, 64);
	assert_int_equal(c->limits[0].place.line, 6);
	expect_terms(&c->limits[0], 100, NS_PER_S, 200);
	assert_string_equal(c->limits[1].name, "route:a/a[1]");
	assert_string_equal(c->limits[1].shown_key, "route");
	assert_int_equal(c->limits[1].keys[0].part, CONFIG_LIMIT_ROUTE);
	/* Of the service that it goes to. */
	assert_string_equal(c->limits[2].name, "route:a/c");
	assert_int_equal(c->limits[2].concurrency, 3);
	expect_terms(&c->limits[2], 5, NS_PER_S, 2);
	assert_int_equal(a->routes[0].limits_len, 1);
	assert_ptr_equal(a->routes[0].limits[0], &c->limits[0]);
	assert_int_equal(a->routes[1].limits_len, 2);
	assert_ptr_equal(a->routes[1].limits[0], &c->limits[0]);
	assert_ptr_equal(a->routes[1].limits[1], &c->limits[1]);
	assert_ptr_equal(a->routes[2].limits[1], &c->limits[2]);
	assert_int_equal(b->routes[0].limits_len, 1);
	config_destroy(c);
}

/* Among so many limits some are never reached. */
static struct config *config_with_warnings(const char *text)
{
	struct config *config = NULL;
	struct config_report report;

	assert_int_equal(config_load_text("t.yaml", span_str(text), &config, &report), 0);
	config_report_fini(&report);
	return config;
}

static void limits_are_taken_narrowest_first_and_alike_on_all_routes(void **state UNUSED)
{
	static const char *const orders[] = {
		"[everyone, b-service, a-route, mine, z-ip, a-header, pair]",
		"[pair, a-header, z-ip, mine, a-route, b-service, everyone]",
		"[a-route, pair, everyone, z-ip, mine, b-service, a-header]",
	};
	static const char *const expected[] = {"mine",      "pair",      "a-header",
					       "default",   "z-ip",      "a-route",
					       "route:a/r", "b-service", "everyone"};

	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		char text[2000];
		struct config *c;

		snprintf(text, sizeof(text),
			 "gateway: {port: 80}\n"
			 "rate_limit: {default: {rate: 10/s}}\n"
			 "limits:\n"
			 "  everyone: {key: global, rate: 90/s}\n"
			 "  b-service: {key: service, rate: 80/s}\n"
			 "  a-route: {key: [route, service], rate: 71/s, algorithm: fixed_window}\n"
			 "  z-ip: {key: ip, rate: 60/s, burst: 1}\n"
			 "  a-header: {key: header:A, rate: 50/s}\n"
			 "  pair: {key: [route, ip], rate: 10/s, burst: 1}\n"
			 "  mine: {key: [header:B, ip, route], rate: 2/s}\n"
			 "services: {a: {respond: {}, routes: [{name: r, path: /, rate_limit: "
			 "{rate: 70/s}, limits: %s}]}}\n",
			 orders[i]);
		c = config_with_warnings(text);
		assert_int_equal(c->services[0].routes[0].limits_len, ARRAY_LEN(expected));
		for (size_t k = 0; k < ARRAY_LEN(expected); k++)
			assert_string_equal(c->services[0].routes[0].limits[k]->name, expected[k]);
		config_destroy(c);
	}
}

struct refusal {
	const char *text, *line;
};

static void expect_refusals(const struct refusal *table, size_t len)
{
	for (size_t i = 0; i < len; i++)
		expect_one(table[i].text, table[i].line);
}

static void limits_are_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		{ONE("rate: 1/s"),
		 "t.yaml:3:10: error: limits.x: `key` is missing: what is counted for itself"},
		{ONE("key: ip"),
		 "t.yaml:3:10: error: limits.x: one of `requests_per_second`, `rate` "
		 "and `concurrency` is missing"},
		{ONE("key: ip, rate: 1/s, requests_per_second: 1"),
		 "t.yaml:3:23: error: limits.x: `rate` and `requests_per_second` exclude each "
		 "other"},
		{ONE("key: ip, rate: 1/s, brust: 1"), "t.yaml:3:34: error: limits.x: unknown key "
						      "`brust`; did you mean `burst`?"},
		{ONE("key: ip, rate: 1/s, scope: cluster"),
		 "t.yaml:3:41: error: limits.x.scope: `cluster` is not supported yet"},
		{ONE("key: ip, rate: 1/s, on_failure: open"),
		 "t.yaml:3:34: error: limits.x: `on_failure` is not supported yet"},
		{ONE("key: ip, rate: 1/s, algorithm: leaky"),
		 "t.yaml:3:45: error: limits.x.algorithm: `leaky` is none of `token_bucket`, "
		 "`sliding_window` or `fixed_window`"},
		{ONE("key: ip, rate: 1/s, headers: on"),
		 "t.yaml:3:43: error: limits.x.headers: `on` is none of `ietf`, `x-ratelimit`, "
		 "`both` or `off`"},
		{ONE("key: ip, rate: 1/s, on_full: drop"),
		 "t.yaml:3:43: error: limits.x.on_full: `drop` is none of `coarse`, `open` or "
		 "`closed`"},
		{ONE("key: ip, rate: 1/s, burst: 0"),
		 "t.yaml:3:41: error: limits.x.burst: `0` is no "
		 "whole number from 1 to 1000000"},
		{ONE("key: ip, rate: 1/s, burst: 1000001"),
		 "t.yaml:3:41: error: limits.x.burst: `1000001` is no whole number from 1 to "
		 "1000000"},
		{ONE("key: ip, concurrency: 0"), "t.yaml:3:36: error: limits.x.concurrency: `0` is "
						 "no whole number from 1 to 1000000"},
		{ONE("key: ip, rate: 1/s, cost: 0"), "t.yaml:3:40: error: limits.x.cost: `0` is no "
						     "whole number from 1 to 1000000"},
		{ONE("key: ip, rate: 9/s, burst: 5, cost: 6"),
		 "t.yaml:3:50: error: limits.x: no request can pass: each costs 6, and `burst` is "
		 "5"},
		{ONE("key: ip, rate: 9/s, cost: 10, algorithm: fixed_window"),
		 "t.yaml:3:40: error: limits.x: no request can pass: each costs 10, and the window "
		 "has 9"},
		{ONE("key: ip, rate: 9/s, burst: 10, algorithm: sliding_window"),
		 "t.yaml:3:34: error: limits.x: `burst` has no meaning for a window: it admits all "
		 "of its requests at once"},
		{ONE("key: ip, rate: 1000001/s, algorithm: sliding_window"),
		 "t.yaml:3:10: error: limits.x: a window has at most 1000000 requests"},
		{ONE("key: ip, concurrency: 5, burst: 10"),
		 "t.yaml:3:39: error: limits.x: `burst` has no meaning without a rate"},
		{ONE("key: ip, concurrency: 5, headers: off"),
		 "t.yaml:3:39: error: limits.x: `headers` has no meaning without a rate"},
		{WITH("limits: x", "x: 5"),
		 "t.yaml:3:13: error: limits.x: must be a mapping of keys"},
		{WITH("limits: x", "x: {key: ip, rate: 1/s}, default: {key: ip, rate: 1/s}"),
		 "t.yaml:3:35: error: limits.default: `default` is the name of "
		 "`rate_limit.default`; choose another"},
	};

	expect_refusals(table, ARRAY_LEN(table));
	expect_one("gateway: {port: 80}\nlimits: [a]\n",
		   "t.yaml:2:9: error: limits: must be a mapping of names to limits");
	expect_one(
		"gateway: {port: 80}\nlimits: {a b: {key: ip, rate: 1/s}}\n"
		"services: {a: {respond: {}, routes: [{path: /, limits: 'a b'}]}}\n",
		"t.yaml:2:10: error: limits.a b: the name of a limit is 1 to 64 letters, digits, "
		"`_`, `.` and `-`");
}

#define RATE(value, message)                                                                       \
	{                                                                                          \
		ONE("key: ip, rate: " value),                                                      \
			"t.yaml:3:29: error: limits.x.rate: `" value "`" message                   \
	}
#define PER_SECOND(value)                                                                          \
	{                                                                                          \
		ONE("key: ip, requests_per_second: " value),                                       \
			"t.yaml:3:44: error: limits.x.requests_per_second: `" value                \
			"` is no number from 0.001 to 10000000, like 100 or 0.5"                   \
	}
#define NO_RATE " is no rate; write it like 100/s, 1000/h or 5000/15m"

static void rates_are_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		RATE("100", NO_RATE),
		RATE("100/", NO_RATE),
		RATE("/s", NO_RATE),
		RATE("1.5/s", NO_RATE),
		RATE("-1/s", NO_RATE),
		RATE("100/x", NO_RATE),
		RATE("100/15", NO_RATE),
		RATE("100/s/s", NO_RATE),
		RATE("100 / s", NO_RATE),
		RATE("99999999999999999999/s", NO_RATE),
		RATE("0/s", " lets no request pass; a rate begins at 1"),
		RATE("1/ms", " has a time that is none of 1s to 366d"),
		RATE("1/0s", " has a time that is none of 1s to 366d"),
		RATE("1/367d", " has a time that is none of 1s to 366d"),
		RATE("10000001/s", " is too much, at most 10000000/s"),
		RATE("18446744073709551615/366d", " is too much, at most 10000000/s"),
		PER_SECOND("0"),
		PER_SECOND("0.0"),
		PER_SECOND("0.0001"),
		PER_SECOND(".5"),
		PER_SECOND("5."),
		PER_SECOND("1e3"),
		PER_SECOND("1.x"),
		PER_SECOND("-1"),
		PER_SECOND("100/s"),
		PER_SECOND("10000000.001"),
		PER_SECOND("10000001"),
	};

	expect_refusals(table, ARRAY_LEN(table));
}

#define KEY(value, message)                                                                        \
	{                                                                                          \
		ONE("rate: 1/s, key: '" value "'"),                                                \
			"t.yaml:3:30: error: limits.x.key: `" value "`" message                    \
	}
#define BITS                                                                                       \
	": behind `ip/` stand the bits of IPv4, 1 to 32, and after one more slash those of IPv6, " \
	"1 to 128: ip/24, ip/32/56"

static void keys_are_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		KEY("ip/0", BITS),
		KEY("ip/33", BITS),
		KEY("ip/", BITS),
		KEY("ip/24/", BITS),
		KEY("ip/24/0", BITS),
		KEY("ip/24/129", BITS),
		KEY("ip/24/64/1", BITS),
		KEY("ip/x", BITS),
		KEY("header", ": write it like header:X-Api-Key"),
		KEY("header:", ": write it like header:X-Api-Key"),
		KEY("header:a b", ": write it like header:X-Api-Key"),
		KEY("route:x", ": nothing stands behind it"),
		KEY("consumer", " is not supported yet"),
		KEY("subject", " is not supported yet"),
		KEY("role", " is not supported yet"),
		{ONE("rate: 1/s, key: 'claim:sub'"),
		 "t.yaml:3:30: error: limits.x.key: `claim` is not supported yet"},
		KEY("rout", " is no key of a limit; did you mean `route`?"),
		KEY("heder:X-A", " is no key of a limit; did you mean `header:NAME`?"),
		KEY("ip:24", " is no key of a limit; did you mean `ip`?"),
		KEY("everything",
		    " is none of `ip`, `header:NAME`, `route`, `service` or `global`"),
		{ONE("rate: 1/s, key: [ip, ip/24]"),
		 "t.yaml:3:35: error: limits.x.key[1]: `ip/24`: `ip` stands twice"},
		{ONE("rate: 1/s, key: [header:A, header:a]"),
		 "t.yaml:3:41: error: limits.x.key[1]: `header:a`: `header` stands twice"},
		{ONE("rate: 1/s, key: [ip, global]"),
		 "t.yaml:3:30: error: limits.x.key: `global` stands alone: it tells no requests "
		 "apart"},
		{ONE("rate: 1/s, key: [ip, route, service, header:A, header:B]"),
		 "t.yaml:3:30: error: limits.x.key: has 5 parts, at most 4"},
		{ONE("rate: 1/s, key: []"), "t.yaml:3:30: error: limits.x.key: the list is empty"},
	};

	expect_refusals(table, ARRAY_LEN(table));
}

#define GOOD "x: {key: ip, rate: 1/s}"

static void limits_of_routes_are_checked(void **state UNUSED)
{
	static const struct refusal table[] = {
		{WITH("limits: [x, per-pi]", GOOD ", per-ip: {key: ip, rate: 9/s, burst: 1}"),
		 "t.yaml:2:60: error: services.a.routes[0].limits[1]: no limit `per-pi`; did you "
		 "mean "
		 "`per-ip`?"},
		{WITH("limits: [x, something]", GOOD),
		 "t.yaml:2:60: error: services.a.routes[0].limits[1]: no limit `something`"},
		{WITH("limits: [x, x]", GOOD),
		 "t.yaml:2:60: error: services.a.routes[0].limits[1]: `x`: it stands twice"},
		{WITH("limits: [x, default]", GOOD),
		 "t.yaml:2:60: error: services.a.routes[0].limits[1]: "
		 "`default` is on every route already"},
		{WITH("rate_limit: {burst: 5}", ""),
		 "t.yaml:2:48: error: services.a.routes[0].rate_limit: one of "
		 "`requests_per_second`, "
		 "`rate` and `concurrency` is missing"},
		{WITH("rate_limit: {rate: 1/s, key: ip}", ""),
		 "t.yaml:2:72: error: services.a.routes[0].rate_limit: unknown key `key`"},
		{WITH("rate_limit: 5", ""),
		 "t.yaml:2:60: error: services.a.routes[0].rate_limit: must be a mapping of keys"},
		{WITH("rate_limit: {rate: 1/s, brust: 200}", ""),
		 "t.yaml:2:72: error: services.a.routes[0].rate_limit: unknown key `brust`; did "
		 "you "
		 "mean `burst`?"},
		{"gateway: {port: 80}\nrate_limit: {authenticated: {requests_per_second: 1}}\n",
		 "t.yaml:2:14: error: rate_limit: `authenticated` is not supported yet"},
		{"gateway: {port: 80}\nrate_limit: {admin: {bypass: true}}\n",
		 "t.yaml:2:14: error: rate_limit: `admin` is not supported yet"},
		{"gateway: {port: 80}\nrate_limit: {default: {burst: 1}}\n",
		 "t.yaml:2:14: error: rate_limit.default: one of `requests_per_second`, `rate` and "
		 "`concurrency` is missing"},
		{"gateway: {port: 80}\nservices: {a: {respond: {}, routes: [{name: r, path: /a, "
		 "rate_limit: "
		 "&l {rate: 1/s}},\n {name: r, path: /b, rate_limit: *l}]}}\n",
		 "t.yaml:3:22: error: services.a.routes[1].rate_limit: route `r` of service `a` "
		 "has a "
		 "limit already (t.yaml:2); routes with limits have names of their own"},
	};

	expect_refusals(table, ARRAY_LEN(table));
}

static void limits_that_change_nothing_are_warned_of(void **state UNUSED)
{
	static const struct refusal table[] = {
		{WITH("name: r", GOOD), "t.yaml:3:10: warning: limits.x: no route has this limit"},
		/* The same key. */
		{WITH("limits: [x, y]", GOOD ", y: {key: ip, rate: 2/s, burst: 1}"),
		 "t.yaml:3:35: warning: limits.y: limit `y` can never be reached: `x` (t.yaml:3) "
		 "is "
		 "on the same routes and refuses first"},
		/* Two that are alike are one too many, not two. */
		{WITH("limits: [x, y]", GOOD ", y: {key: ip, rate: 60/m, burst: 1}"),
		 "t.yaml:3:35: warning: limits.y: limit `y` can never be reached: `x` (t.yaml:3) "
		 "is "
		 "on the same routes and refuses first"},
		/* All clients together get less than one may have. */
		{WITH("rate_limit: {rate: 1/s}, limits: [x]", "x: {key: ip, rate: 2/s}"),
		 "t.yaml:3:10: warning: limits.x: limit `x` can never be reached: `route:a/a[0]` "
		 "(t.yaml:2) is on the same routes and refuses first"},
		{WITH("limits: [x, y]",
		      "x: {key: ip/24, rate: 5/s}, y: {key: [ip, header:A], rate: "
		      "5/s}"),
		 "t.yaml:3:38: warning: limits.y: limit `y` can never be reached: `x` (t.yaml:3) "
		 "is "
		 "on the same routes and refuses first"},
		/* Ten at two each are five. */
		{WITH("limits: [x, y]",
		      "x: {key: ip, rate: 10/s, cost: 2}, y: {key: ip, rate: 5/s}"),
		 "t.yaml:3:45: warning: limits.y: limit `y` can never be reached: `x` (t.yaml:3) "
		 "is "
		 "on the same routes and refuses first"},
		{WITH("limits: [x, y]",
		      "x: {key: ip, concurrency: 5}, y: {key: ip, concurrency: 6}"),
		 "t.yaml:3:40: warning: limits.y: limit `y` can never be reached: `x` (t.yaml:3) "
		 "is "
		 "on the same routes and refuses first"},
		{WITH("limits: [x, y]",
		      "x: {key: route, rate: 5/m, algorithm: fixed_window},\n"
		      " y: {key: [route, ip], rate: 5/m, algorithm: fixed_window}"),
		 "t.yaml:4:2: warning: limits.y: limit `y` can never be reached: `x` (t.yaml:3) is "
		 "on the same routes and refuses first"},
	};

	expect_refusals(table, ARRAY_LEN(table));
}

static void limits_that_can_be_reached_are_not_warned_of(void **state UNUSED)
{
	static const char *const table[] = {
		WITH("limits: [x, y]",
		     "x: {key: ip, rate: 1/s, burst: 9}, y: {key: ip, rate: 2/s, burst: 3}"),
		WITH("limits: [x, y]", "x: {key: ip, rate: 1/s}, y: {key: global, rate: 5/s}"),
		WITH("limits: [x, y]",
		     "x: {key: header:A, rate: 1/s}, y: {key: header:B, rate: 5/s}"),
		WITH("limits: [x, y]", "x: {key: ip, rate: 1/s}, y: {key: ip/24, rate: 5/s}"),
		WITH("limits: [x, y]", "x: {key: ip, rate: 1/s}, y: {key: ip, concurrency: 5}"),
		WITH("limits: [x, y]",
		     "x: {key: ip, rate: 1/s}, y: {key: ip, rate: 5/s, concurrency: 5}"),
		WITH("limits: [x, y]",
		     "x: {key: ip, rate: 1/s}, y: {key: ip, rate: 5/s, algorithm: "
		     "fixed_window}"),
		WITH("limits: [x, y]",
		     "x: {key: ip, rate: 1/m, algorithm: fixed_window}, y: {key: ip, rate: "
		     "5/h, algorithm: fixed_window}"),
		/* The first lets pass what it has no room for. */
		WITH("limits: [x, y]", "x: {key: ip, rate: 1/s, on_full: open}, y: {key: ip, rate: 5/s}"),
		/* Not on all of its routes. */
		WITH("limits: [x, y]}, {path: /b, limits: y",
		     GOOD ", y: {key: ip, rate: 2/s, burst: 1}"),
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		config_destroy(config_of(table[i]));
}

static void what_can_be_many_is_bounded(void **state UNUSED)
{
	static const struct {
		const char *head, *piece, *end, *tail, *message;
		int often;
	} table[] = {
		{"limits: {", "l", ": {key: ip, rate: 1/s},", "}", "more than 1024 limits", 1025},
		{"limits: {", "l", ": {key: ip, rate: 1/s, concurrency: 1},", "}",
		 "limits.l512: more than 1024 limits; a rate with `concurrency` counts twice", 513},
		{"services: {a: {respond: {}, routes: [{path: /a}",
		 ", {rate_limit: {rate: 1/s}, path: /", "}", "]}}",
		 "services.a.routes[1025].rate_limit: more than 1024 limits", 1025},
		{"services: {a: {respond: {}, routes: [{path: /a, limits: [", "l", ",", "]}]}}",
		 "17 limits are too many, at most 16", 17},
		{"services: {"
		 "a123456789b123456789c123456789d123456789e123456789f123456789"
		 "g123456789h123456789i123456789j1",
		 "",
		 ": {respond: {}, routes: [{path: /, name: x, "
		 "rate_limit: {rate: 1/s}}]},",
		 "}", "", 1},
		{"services: {"
		 "a123456789b123456789c123456789d123456789e123456789f123456789"
		 "g123456789h123456789i123456789j12345",
		 "",
		 ": {respond: {}, routes: [{path: /, name: "
		 "more, rate_limit: {rate: 1/s}}]},",
		 "}", "", 1},
		{"services: {"
		 "a123456789b123456789c123456789d123456789e123456789f123456789"
		 "g123456789h123456789i123456789j123456789k",
		 "",
		 ": {respond: {}, routes: [{path: /, name: "
		 "more, rate_limit: {rate: 1/s}}]},",
		 "}", "the names of service and route have 106 bytes, with a limit at most 105", 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char *text = NULL, *printed;
		size_t len = 0;
		FILE *f = open_memstream(&text, &len);

		fprintf(f, "gateway: {port: 80}\n%s", table[i].head);
		for (int k = 0; k < table[i].often; k++)
			fprintf(f, "%s%d%s", table[i].piece, k, table[i].end);
		fputs(table[i].tail, f);
		fclose(f);
		printed = report_of_file("t.yaml", span_of(text, len));
		if (*table[i].message ? !strstr(printed, table[i].message) : *printed)
			fail_msg("`%s` is not in %.600s", table[i].message, printed);
		free(printed);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_limit_is_read_with_its_defaults),
		cmocka_unit_test(a_limit_is_read_with_all_its_keys),
		cmocka_unit_test(rates_are_whole_tokens_in_a_time),
		cmocka_unit_test(without_a_rate_there_are_no_fields),
		cmocka_unit_test(the_default_is_on_every_route),
		cmocka_unit_test(limits_are_taken_narrowest_first_and_alike_on_all_routes),
		cmocka_unit_test(limits_are_checked),
		cmocka_unit_test(rates_are_checked),
		cmocka_unit_test(keys_are_checked),
		cmocka_unit_test(limits_of_routes_are_checked),
		cmocka_unit_test(limits_that_change_nothing_are_warned_of),
		cmocka_unit_test(limits_that_can_be_reached_are_not_warned_of),
		cmocka_unit_test(what_can_be_many_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
