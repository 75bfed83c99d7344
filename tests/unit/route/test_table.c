#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <ringway/route/table.h>

/* ---- configs and requests as they are written ---- */

/* As in a file: "a.example, *.b.example", "/items/" with a star behind, "GET, POST"; empty: all. */
struct written {
	const char *hosts;
	const char *path;
	const char *methods;
};

/* Routes go three to a service, so that both numbers of an answer are looked at. */
enum { ROUTES_PER_SERVICE = 3 };

struct fixture {
	struct arena arena;
	struct config config;
	struct route_table *table;
};

static size_t elements(const char *list)
{
	struct span rest = span_str(list), token;
	size_t n = 0;

	while (span_next_token(&rest, &token))
		n++;
	return n;
}

static void read_hosts(struct arena *arena, const char *list, struct config_route *route)
{
	struct span rest = span_str(list), token;
	struct config_host *hosts = arena_alloc(arena, elements(list) * sizeof(*hosts));

	while (span_next_token(&rest, &token)) {
		struct config_host *host = &hosts[route->hosts_len++];

		host->is_suffix = token.ptr[0] == '*';
		host->name = arena_str(
			arena, span_of(token.ptr + host->is_suffix, token.len - host->is_suffix));
	}
	route->hosts = hosts;
}

static void read_route(struct arena *arena, const struct written *w, struct config_route *route)
{
	struct span path = span_str(w->path), rest = span_str(w->methods), token;
	const char **methods = arena_alloc(arena, elements(w->methods) * sizeof(*methods));

	read_hosts(arena, w->hosts, route);
	route->path_kind = CONFIG_PATH_EXACT;
	if (span_ends_with(path, SPAN("/*"))) {
		route->path_kind = CONFIG_PATH_PREFIX;
		path.len -= 2;
	}
	route->path = arena_str(arena, path);
	while (span_next_token(&rest, &token))
		methods[route->methods_len++] = arena_str(arena, token);
	route->methods = methods;
}

static void fixture_init(struct fixture *f, const struct written *routes, size_t routes_len)
{
	size_t services_len = (routes_len + ROUTES_PER_SERVICE - 1) / ROUTES_PER_SERVICE;
	struct config_service *services;
	struct config_route *read;

	memset(f, 0, sizeof(*f));
	arena_init(&f->arena, NULL, 0, &arena_malloc_source);
	services = arena_alloc(&f->arena, services_len * sizeof(*services) + 1);
	read = arena_alloc(&f->arena, routes_len * sizeof(*read) + 1);
	assert_true(services && read);
	memset(services, 0, services_len * sizeof(*services));
	memset(read, 0, routes_len * sizeof(*read));
	for (size_t i = 0; i < routes_len; i++) {
		struct config_service *service = &services[i / ROUTES_PER_SERVICE];

		read_route(&f->arena, &routes[i], &read[i]);
		if (i % ROUTES_PER_SERVICE == 0)
			service->routes = &read[i];
		service->routes_len++;
	}
	f->config.services = services;
	f->config.services_len = services_len;
	assert_int_equal(route_table_create(&f->config, &f->table), 0);
}

static void fixture_fini(struct fixture *f)
{
	route_table_destroy(f->table);
	arena_reset(&f->arena);
}

static struct http_head request_of(const char *method, const char *host, const char *path)
{
	return (struct http_head){.method = http_method_of(span_str(method)),
				  .method_text = span_str(method),
				  .host = *host ? span_str(host) : SPAN_NONE,
				  .path = span_str(path)};
}

/* Which of the written routes was taken, in a form that says what went wrong. */
static const char *answer(const struct fixture *f, const char *method, const char *host,
			  const char *path, char text[static 256])
{
	struct http_head request = request_of(method, host, path);
	struct route_match match = {0};

	switch (route_table_match(f->table, &request, &match)) {
	case ROUTE_FOUND:
		snprintf(text, 256, "%u", match.service * ROUTES_PER_SERVICE + match.route);
		return text;
	case ROUTE_WRONG_METHOD:
		snprintf(text, 256, "allow %.*s", SPAN_FMT(match.allow));
		return text;
	case ROUTE_NONE: return "none";
	}
	return "?";
}

/* One request and the number of the route that takes it, "none", or "allow METHODS". */
struct expected {
	const char *method;
	const char *host;
	const char *path;
	const char *answer;
};

static void check(const struct written *routes, size_t routes_len, const struct expected *requests,
		  size_t requests_len)
{
	struct fixture f;
	char text[256];
	bool failed = false;

	fixture_init(&f, routes, routes_len);
	for (size_t i = 0; i < requests_len; i++) {
		const struct expected *e = &requests[i];
		const char *got = answer(&f, e->method, e->host, e->path, text);

		if (strcmp(got, e->answer) == 0)
			continue;
		print_error("%s %s%s: %s, not %s\n", e->method, e->host, e->path, got, e->answer);
		failed = true;
	}
	fixture_fini(&f);
	assert_false(failed);
}

#define CHECK(routes, requests) check(routes, ARRAY_LEN(routes), requests, ARRAY_LEN(requests))

/* ---- tables ---- */

static void a_prefix_ends_at_a_slash_or_at_the_end(void **state UNUSED)
{
	static const struct written routes[] = {{"", "/api/*", ""}, {"", "/a/b//*", ""}};
	static const struct expected requests[] = {
		{"GET", "h", "/api", "0"},      {"GET", "h", "/api/", "0"},
		{"GET", "h", "/api/x", "0"},    {"GET", "h", "/api/x/y/z", "0"},
		{"GET", "h", "/api//", "0"},    {"GET", "h", "/apix", "none"},
		{"GET", "h", "/ap", "none"},    {"GET", "h", "/API", "none"},
		{"GET", "h", "/", "none"},      {"GET", "h", "//api", "none"},
		{"GET", "h", "/x/api", "none"}, {"GET", "h", "/apix/api", "none"},
		{"GET", "h", "/a/b", "none"},   {"GET", "h", "/a/b/", "1"},
		{"GET", "h", "/a/b/c", "none"}, {"GET", "h", "/a/b//c", "1"},
	};

	CHECK(routes, requests);
}

static void the_most_specific_path_wins_whatever_the_order(void **state UNUSED)
{
	static const struct written routes[] = {
		{"", "/*", ""},    {"", "/a/*", ""}, {"", "/a/b/*", ""}, {"", "/a/b", ""},
		{"", "/a/b/", ""}, {"", "/", ""},    {"", "/a", ""},
	};
	static const struct expected requests[] = {
		{"GET", "h", "/", "5"},     {"GET", "h", "/x", "0"},      {"GET", "h", "/a", "6"},
		{"GET", "h", "/a/", "1"},   {"GET", "h", "/a/x", "1"},    {"GET", "h", "/a/b", "3"},
		{"GET", "h", "/a/b/", "4"}, {"GET", "h", "/a/b/c", "2"},  {"GET", "h", "/ab", "0"},
		{"GET", "h", "/a/bc", "1"}, {"GET", "h", "/a/b/c/", "2"}, {"GET", "h", "//", "0"},
		{"OPTIONS", "h", "*", "0"},
	};

	CHECK(routes, requests);
}

static void an_exact_path_is_that_path_alone(void **state UNUSED)
{
	static const struct written routes[] = {{"", "/hello", ""}};
	static const struct expected requests[] = {
		{"GET", "h", "/hello", "0"},      {"GET", "h", "/hello/", "none"},
		{"GET", "h", "/hello/x", "none"}, {"GET", "h", "/hellO", "none"},
		{"GET", "h", "/hell", "none"},    {"GET", "", "/hello", "0"},
	};

	CHECK(routes, requests);
}

static void the_asterisk_is_for_routes_of_everything(void **state UNUSED)
{
	static const struct written routes[] = {
		{"", "/api/*", ""},
		{"", "/", ""},
		{"a.example", "/*", "GET"},
		{"b.example", "/*", "OPTIONS"},
	};
	static const struct expected requests[] = {
		{"OPTIONS", "x.example", "*", "none"},
		{"OPTIONS", "a.example", "*", "allow GET, HEAD"},
		{"OPTIONS", "b.example", "*", "3"},
	};

	CHECK(routes, requests);
}

static void the_most_specific_host_wins_whatever_the_order(void **state UNUSED)
{
	static const struct written routes[] = {
		{"", "/*", ""},
		{"*.example.org", "/*", ""},
		{"*.a.example.org", "/*", ""},
		{"a.example.org", "/*", ""},
		{"b.a.example.org", "/*", ""},
		{"one.example, two.example, *.three.example", "/*", ""},
		{"[::1]", "/*", ""},
		{"127.0.0.1", "/*", ""},
	};
	static const struct expected requests[] = {
		{"GET", "example.org", "/", "0"},     {"GET", "x.example.org", "/", "1"},
		{"GET", "x.y.example.org", "/", "1"}, {"GET", "a.example.org", "/", "3"},
		{"GET", "x.a.example.org", "/", "2"}, {"GET", "x.b.a.example.org", "/", "2"},
		{"GET", "b.a.example.org", "/", "4"}, {"GET", "xa.example.org", "/", "1"},
		{"GET", "xexample.org", "/", "0"},    {"GET", "one.example", "/", "5"},
		{"GET", "two.example", "/", "5"},     {"GET", "three.example", "/", "0"},
		{"GET", "x.three.example", "/", "5"}, {"GET", "[::1]", "/", "6"},
		{"GET", "127.0.0.1", "/", "7"},       {"GET", "", "/", "0"},
	};

	CHECK(routes, requests);
}

/* Nobody's name begins with a dot; who sends one does not get in behind it. */
static void a_suffix_needs_something_in_front(void **state UNUSED)
{
	static const struct written routes[] = {{"*.example.org", "/*", ""}};
	static const struct expected requests[] = {
		{"GET", ".example.org", "/", "none"},  {"GET", "example.org", "/", "none"},
		{"GET", "x.example.org", "/", "0"},    {"GET", "x.example.org.evil", "/", "none"},
		{"GET", "x-example.org", "/", "none"},
	};

	CHECK(routes, requests);
}

static void the_root_dot_of_a_host_says_nothing(void **state UNUSED)
{
	static const struct written routes[] = {
		{"a.example", "/*", ""}, {"b.example.", "/*", ""}, {"*.c.example", "/*", ""}};
	static const struct expected requests[] = {
		{"GET", "a.example.", "/", "0"},     {"GET", "b.example", "/", "1"},
		{"GET", "b.example.", "/", "1"},     {"GET", "x.c.example.", "/", "2"},
		{"GET", "a.example..", "/", "none"}, {"GET", ".", "/", "none"},
	};

	CHECK(routes, requests);
}

static void what_a_host_lacks_is_taken_from_the_less_specific(void **state UNUSED)
{
	static const struct written routes[] = {
		{"", "/health", ""},
		{"*.example.org", "/shared/*", ""},
		{"api.example.org", "/items/*", ""},
		{"", "/shared/deeper/*", ""},
	};
	static const struct expected requests[] = {
		{"GET", "api.example.org", "/items/1", "2"},
		{"GET", "api.example.org", "/shared/1", "1"},
		{"GET", "api.example.org", "/health", "0"},
		{"GET", "api.example.org", "/other", "none"},
		{"GET", "www.example.org", "/items/1", "none"},
		/* The host comes before the length of the path. */
		{"GET", "www.example.org", "/shared/deeper/1", "1"},
		{"GET", "elsewhere.example", "/shared/deeper/1", "3"},
	};

	CHECK(routes, requests);
}

static void methods_choose_among_routes_of_one_path(void **state UNUSED)
{
	static const struct written routes[] = {
		{"", "/items/*", "GET"},      {"", "/items/*", "POST, PURGE"},
		{"", "/items/*", "GET, PUT"}, {"", "/only-head", "HEAD"},
		{"", "/any", "GET"},          {"", "/any", ""},
	};
	static const struct expected requests[] = {
		{"GET", "h", "/items/1", "0"},
		{"HEAD", "h", "/items/1", "0"},
		{"POST", "h", "/items/1", "1"},
		{"PURGE", "h", "/items/1", "1"},
		{"PUT", "h", "/items/1", "2"},
		{"DELETE", "h", "/items/1", "allow GET, HEAD, POST, PURGE, PUT"},
		{"LINK", "h", "/items/1", "allow GET, HEAD, POST, PURGE, PUT"},
		/* Case matters, and no method is the beginning of another. */
		{"get", "h", "/items/1", "allow GET, HEAD, POST, PURGE, PUT"},
		{"PURG", "h", "/items/1", "allow GET, HEAD, POST, PURGE, PUT"},
		{"PURGED", "h", "/items/1", "allow GET, HEAD, POST, PURGE, PUT"},
		{"GET", "h", "/only-head", "allow HEAD"},
		{"HEAD", "h", "/only-head", "3"},
		{"GET", "h", "/any", "4"},
		{"LINK", "h", "/any", "5"},
		{"DELETE", "h", "/any", "5"},
	};

	CHECK(routes, requests);
}

static void each_method_stands_in_allow_once(void **state UNUSED)
{
	static const struct written routes[] = {
		{"", "/a", "HEAD, GET, LINK"},
		{"", "/a", "LINK, PUT, GET"},
		{"", "/a", "UNLINK, PUT"},
		{"", "/b", "PUT, GET, HEAD"},
		{"", "/c", "GET"},
	};
	static const struct expected requests[] = {
		{"POST", "h", "/a", "allow HEAD, GET, LINK, PUT, UNLINK"},
		{"POST", "h", "/b", "allow PUT, GET, HEAD"},
		{"POST", "h", "/c", "allow GET, HEAD"},
	};

	CHECK(routes, requests);
}

static void a_wrong_method_does_not_hide_a_less_specific_route(void **state UNUSED)
{
	static const struct written routes[] = {
		{"", "/a/b", "GET"},  {"", "/a/b/*", "PUT"},          {"", "/a/*", "POST"},
		{"", "/*", "DELETE"}, {"a.example", "/a/*", "PATCH"},
	};
	static const struct expected requests[] = {
		{"GET", "h", "/a/b", "0"},
		{"PUT", "h", "/a/b", "1"},
		{"POST", "h", "/a/b", "2"},
		{"DELETE", "h", "/a/b", "3"},
		{"TRACE", "h", "/a/b", "allow GET, HEAD"},
		{"TRACE", "h", "/a/b/c", "allow PUT"},
		{"TRACE", "h", "/a/c", "allow POST"},
		{"TRACE", "h", "/b", "allow DELETE"},
		{"PATCH", "a.example", "/a/b", "4"},
		{"GET", "a.example", "/a/b", "0"},
		{"TRACE", "a.example", "/a/b", "allow PATCH"},
		{"TRACE", "a.example", "/b", "allow DELETE"},
	};

	CHECK(routes, requests);
}

static void without_routes_nothing_is_found(void **state UNUSED)
{
	static const struct expected requests[] = {{"GET", "h", "/", "none"},
						   {"GET", "", "/a/b", "none"},
						   {"OPTIONS", "h", "*", "none"}};

	check(NULL, 0, requests, ARRAY_LEN(requests));
	route_table_destroy(NULL);
}

static void what_is_not_answered_is_left_alone(void **state UNUSED)
{
	static const struct written routes[] = {{"", "/a", "GET"}};
	struct route_match match = {7, 8, SPAN("as before")};
	struct http_head request = request_of("GET", "h", "/b");
	struct fixture f;

	fixture_init(&f, routes, ARRAY_LEN(routes));
	assert_int_equal(route_table_match(f.table, &request, &match), ROUTE_NONE);
	assert_int_equal(match.service, 7);
	assert_int_equal(match.route, 8);
	assert_string_equal(match.allow.ptr, "as before");
	fixture_fini(&f);
}

static void paths_are_as_long_as_requests_may_be(void **state UNUSED)
{
	enum { LONG = 8000 };
	static char path[LONG + 3], slashes[LONG + 1];
	const struct written routes[] = {{"", "/*", ""}, {"", path, ""}};
	struct fixture f;
	char text[256];

	memset(path, 'x', LONG);
	path[0] = '/';
	memcpy(path + LONG, "/*", 3);
	memset(slashes, '/', LONG);
	fixture_init(&f, routes, ARRAY_LEN(routes));
	path[LONG + 1] = '\0';
	assert_string_equal(answer(&f, "GET", "h", path, text), "1");
	path[LONG] = '\0';
	assert_string_equal(answer(&f, "GET", "h", path, text), "1");
	path[LONG - 1] = '\0';
	assert_string_equal(answer(&f, "GET", "h", path, text), "0");
	assert_string_equal(answer(&f, "GET", "h", slashes, text), "0");
	fixture_fini(&f);
}

static void ten_thousand_routes_are_each_found(void **state UNUSED)
{
	enum { ROUTES = 10000 };
	struct written *routes = calloc(ROUTES, sizeof(*routes));
	char host[64], path[64], text[256], expected[16];
	struct arena arena;
	struct fixture f;

	assert_non_null(routes);
	arena_init(&arena, NULL, 0, &arena_malloc_source);
	/* Every tenth has a host of its own. */
	for (size_t i = 0; i < ROUTES; i++) {
		routes[i].hosts = i % 10 ? "" : arena_printf(&arena, "h%zu.example", i).ptr;
		routes[i].path =
			arena_printf(&arena, "/v%zu/items%zu%s", i % 7, i, i % 2 ? "/*" : "").ptr;
		routes[i].methods = i % 3 ? "" : "GET";
	}
	fixture_init(&f, routes, ROUTES);
	for (size_t i = 0; i < ROUTES; i++) {
		snprintf(host, sizeof(host), "h%zu.example", i);
		snprintf(path, sizeof(path), "/v%zu/items%zu%s", i % 7, i, i % 2 ? "/x/y" : "");
		snprintf(expected, sizeof(expected), "%zu", i);
		assert_string_equal(answer(&f, "GET", host, path, text), expected);
		assert_string_equal(answer(&f, "PUT", host, path, text),
				    i % 3 ? expected : "allow GET, HEAD");
		assert_string_equal(answer(&f, "GET", i % 10 ? host : "other.example", path, text),
				    i % 10 ? expected : "none");
		assert_string_equal(answer(&f, "GET", host, path + 1, text), "none");
	}
	fixture_fini(&f);
	arena_reset(&arena);
	free(routes);
}

/* ---- comparison with the plainest matcher there is ---- */

/* How specific the host of a request makes the route; -1 when it does not fit. */
static int host_rank(const struct config_route *route, struct span host)
{
	int best = route->hosts_len ? -1 : 0;

	for (size_t i = 0; i < route->hosts_len; i++) {
		struct span name = span_str(route->hosts[i].name);
		int rank = -1;

		if (!route->hosts[i].is_suffix)
			rank = span_eq(name, host) ? 1000000 : -1;
		else if (span_ends_with(host, name) && host.len > name.len)
			rank = (int)name.len;
		if (rank > best)
			best = rank;
	}
	return best;
}

static int path_rank(const struct config_route *route, struct span path)
{
	struct span own = span_str(route->path);

	if (route->path_kind == CONFIG_PATH_EXACT)
		return span_eq(own, path) ? 1000000 : -1;
	if (own.len == 0 || span_eq(own, path))
		return (int)own.len;
	return span_starts_with(path, own) && path.ptr[own.len] == '/' ? (int)own.len : -1;
}

static bool has_method(const struct config_route *route, const char *method)
{
	bool has = !route->methods_len;

	for (size_t i = 0; i < route->methods_len; i++)
		has |= strcmp(route->methods[i], method) == 0 ||
		       (strcmp(method, "HEAD") == 0 && strcmp(route->methods[i], "GET") == 0);
	return has;
}

static bool list_has(const char *list, struct span method)
{
	struct span rest = span_str(list), token;

	while (span_next_token(&rest, &token))
		if (span_eq(token, method))
			return true;
	return false;
}

static void list_add(char list[static 256], const char *method)
{
	size_t len = strlen(list);

	if (!list_has(list, span_str(method)))
		snprintf(list + len, 256 - len, "%s%s", len ? ", " : "", method);
	if (strcmp(method, "GET") == 0)
		list_add(list, "HEAD");
}

/* Of the candidates that the method lets through, or of all: the best one's rank. */
static int64_t best_rank(const struct config_route *routes, size_t len, const char *method,
			 const struct http_head *request, size_t *ret_first)
{
	int64_t best = -1;

	for (size_t i = 0; i < len; i++) {
		int host = host_rank(&routes[i], request->host);
		int path = path_rank(&routes[i], request->path);
		int64_t rank = host < 0 || path < 0 ? -1 : (int64_t)host << 32 | path;

		if (rank > best && (!method || has_method(&routes[i], method))) {
			best = rank;
			*ret_first = i;
		}
	}
	return best;
}

static const char *plain_answer(const struct config_route *routes, size_t len, const char *method,
				const char *host, const char *path, char text[static 256])
{
	struct http_head request = request_of(method, host, path);
	char list[256] = "";
	size_t first = 0;
	int64_t best;

	if (best_rank(routes, len, method, &request, &first) >= 0) {
		snprintf(text, 256, "%zu", first);
		return text;
	}
	best = best_rank(routes, len, NULL, &request, &first);
	if (best < 0)
		return "none";
	for (size_t i = 0; i < len; i++)
		if (best_rank(&routes[i], 1, NULL, &request, &first) == best)
			for (size_t m = 0; m < routes[i].methods_len; m++)
				list_add(list, routes[i].methods[m]);
	snprintf(text, 256, "allow %.240s", list);
	return text;
}

/* xorshift64: the same everywhere for a seed. */
static size_t below(uint64_t *seed, size_t limit)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (size_t)(*seed >> 11) % limit;
}

/* Few words, so that texts meet; one long, for lengths beyond a word of the set. */
static const char *random_path(struct arena *arena, uint64_t *seed)
{
	static const char *const segments[] = {
		"a", "b", "ab", "",
		"a-segment-that-is-alone-longer-than-sixty-four-bytes-for-the-next-word"};
	struct span path = SPAN("");
	size_t depth = below(seed, 5);

	for (size_t i = 0; i < depth; i++)
		path = arena_printf(arena, "%.*s/%s", SPAN_FMT(path),
				    segments[below(seed, ARRAY_LEN(segments))]);
	return path.ptr;
}

static const char *random_host(struct arena *arena, uint64_t *seed)
{
	struct span host = SPAN("");
	size_t labels = 1 + below(seed, 4);

	for (size_t i = 0; i < labels; i++)
		host = arena_printf(arena, "%s%s%.*s", below(seed, 2) ? "a" : "bb", i ? "." : "",
				    SPAN_FMT(host));
	return host.ptr;
}

static const char *const random_methods[] = {"GET",     "HEAD", "POST", "DELETE",
					     "OPTIONS", "LINK", "PURGE"};

static void random_route(struct arena *arena, uint64_t *seed, struct written *ret_route)
{
	struct span hosts = SPAN(""), methods = SPAN("");
	const char *path = random_path(arena, seed);

	for (size_t i = below(seed, 4); i > 0; i--)
		hosts = arena_printf(arena, "%.*s, %s%s", SPAN_FMT(hosts),
				     below(seed, 2) ? "*." : "", random_host(arena, seed));
	for (size_t i = below(seed, 4); i > 0; i--)
		methods = arena_printf(arena, "%.*s, %s", SPAN_FMT(methods),
				       random_methods[below(seed, ARRAY_LEN(random_methods))]);
	if (below(seed, 2))
		path = arena_printf(arena, "%s/*", path).ptr;
	else if (!*path)
		path = "/";
	*ret_route = (struct written){hosts.ptr, path, methods.ptr};
}

static void the_table_answers_as_a_plain_search_does(void **state UNUSED)
{
	enum { CONFIGS = 300, ROUTES = 60, REQUESTS = 400 };
	struct written routes[ROUTES];
	char text[256], expected_text[256];
	size_t found = 0, refused = 0, none = 0;
	uint64_t seed = 0x9e3779b97f4a7c15;
	struct arena arena;
	struct fixture f;

	arena_init(&arena, NULL, 0, &arena_malloc_source);
	for (size_t c = 0; c < CONFIGS; c++) {
		size_t routes_len = 1 + below(&seed, ROUTES);

		for (size_t i = 0; i < routes_len; i++)
			random_route(&arena, &seed, &routes[i]);
		fixture_init(&f, routes, routes_len);
		for (size_t i = 0; i < REQUESTS; i++) {
			const char *method =
				random_methods[below(&seed, ARRAY_LEN(random_methods))];
			const char *host = below(&seed, 20) ? random_host(&arena, &seed) : "";
			const char *path = random_path(&arena, &seed);
			const char *expected, *got;

			if (!*path)
				path = below(&seed, 2) ? "/" : "*";
			expected = plain_answer(f.config.services[0].routes, routes_len, method,
						host, path, expected_text);
			got = answer(&f, method, host, path, text);
			if (strcmp(got, expected) != 0)
				fail_msg("config %zu: %s %s%s: %s, not %s", c, method, host, path,
					 got, expected);
			found += *got >= '0' && *got <= '9';
			refused += *got == 'a';
			none += *got == 'n';
		}
		fixture_fini(&f);
		arena_reset(&arena);
	}
	/* Each kind of answer was compared, and not just a few times. */
	assert_true(found > 10000 && refused > 3000 && none > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_prefix_ends_at_a_slash_or_at_the_end),
		cmocka_unit_test(the_most_specific_path_wins_whatever_the_order),
		cmocka_unit_test(an_exact_path_is_that_path_alone),
		cmocka_unit_test(the_asterisk_is_for_routes_of_everything),
		cmocka_unit_test(the_most_specific_host_wins_whatever_the_order),
		cmocka_unit_test(a_suffix_needs_something_in_front),
		cmocka_unit_test(the_root_dot_of_a_host_says_nothing),
		cmocka_unit_test(what_a_host_lacks_is_taken_from_the_less_specific),
		cmocka_unit_test(methods_choose_among_routes_of_one_path),
		cmocka_unit_test(each_method_stands_in_allow_once),
		cmocka_unit_test(a_wrong_method_does_not_hide_a_less_specific_route),
		cmocka_unit_test(without_routes_nothing_is_found),
		cmocka_unit_test(what_is_not_answered_is_left_alone),
		cmocka_unit_test(paths_are_as_long_as_requests_may_be),
		cmocka_unit_test(ten_thousand_routes_are_each_found),
		cmocka_unit_test(the_table_answers_as_a_plain_search_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
