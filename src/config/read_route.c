#include "readers.h"

/* Nobody has more; every request to the route looks through them. */
#define METHODS_MAX 64
/* More names for one service are better served by a suffix. */
#define HOSTS_MAX 1000

void read_route_service(struct loader *l, const struct schema_key *key UNUSED,
			const struct yaml_node *value, void *field)
{
	struct route_draft *draft = field;

	/* Whether it exists shows when all services are read (check.c). */
	if (scalar_keep(l, value, &draft->service))
		draft->service_node = value;
}

/* Lower case, as it is compared. False when it is no pattern. */
static bool host_pattern(struct loader *l, struct span text, struct config_host *ret_host)
{
	bool is_suffix = span_starts_with(text, SPAN("*."));
	struct span name = is_suffix ? span_of(text.ptr + 2, text.len - 2) : text;
	struct address ip;
	char *lower;

	if (!is_host_name(name) &&
	    (is_suffix || !span_starts_with(name, SPAN("[")) || !address_from_ip(name, 0, &ip)))
		return false;
	lower = arena_str(&l->config->arena,
			  is_suffix ? span_of(text.ptr + 1, text.len - 1) : text);
	for (char *p = lower; *p; p++)
		*p = ascii_lower(*p);
	*ret_host = (struct config_host){lower, is_suffix};
	return true;
}

void read_hosts(struct loader *l, const struct schema_key *key UNUSED,
		const struct yaml_node *value, void *field)
{
	struct config_route *r = &((struct route_draft *)field)->route;
	struct list_cursor at;
	size_t len = list_begin(l, value, true, &at);
	struct config_host *hosts = arena_alloc(&l->config->arena, len * sizeof(*hosts) + 1);
	const struct yaml_node *n;
	struct span text;

	if (len > HOSTS_MAX) {
		say_error(l, value, "more than %d hosts", HOSTS_MAX);
		return;
	}
	while ((n = list_next(l, &at))) {
		if (!scalar_text(l, n, &text))
			continue;
		if (host_pattern(l, text, &hosts[r->hosts_len]))
			r->hosts_len++;
		else if (span_eq(text, SPAN("*")))
			say_error(l, n, "leave `host` out to match every host");
		else
			say_error(l, n,
				  "%s is no host, like api.example.com or *.example.org, without "
				  "port",
				  shown(l, n));
	}
	r->hosts = hosts;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3986 section 2.3. */
static bool is_unreserved(char c)
{
	char lower = ascii_lower(c);

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

/* Requests are matched by their path in normal form (RFC 3986 section 6.2.2); a path
 * that is not in it would never match. NULL, or what is wrong. */
static const char *path_error(struct span path)
{
	struct span segment = SPAN_NONE;

	for (size_t i = 0; i < path.len; i++) {
		char c = path.ptr[i];

		if (c == '%') {
			int high = i + 2 < path.len ? hex_digit(path.ptr[i + 1]) : -1;
			int low = i + 2 < path.len ? hex_digit(path.ptr[i + 2]) : -1;
			char byte = (char)(high * 16 + low);

			if (high < 0 || low < 0)
				return "a percent sign is followed by two digits, 0-9 and A-F";
			if (byte == '\0')
				return "%00 is refused in every request";
			if (is_unreserved(byte))
				return "letters, digits, `-`, `.`, `_` and `~` are not "
				       "percent-encoded";
		} else if (c <= 0x20 || c == 0x7f || strchr("\"<>\\^`|", c)) {
			return "this character is percent-encoded in a path";
		}
	}
	for (size_t i = 0; i <= path.len; i++) {
		if (i < path.len && path.ptr[i] != '/')
			continue;
		if (span_eq(segment, SPAN(".")) || span_eq(segment, SPAN("..")))
			return "`.` and `..` are resolved before requests are matched";
		segment = span_of(path.ptr + i + 1, 0);
		while (i + 1 + segment.len < path.len && path.ptr[i + 1 + segment.len] != '/')
			segment.len++;
	}
	return NULL;
}

/* NULL and the route filled, or what is wrong. */
static const char *route_path(struct loader *l, struct span path, struct config_route *r)
{
	if (span_starts_with(path, SPAN("~")))
		return "regular expressions are not supported yet";
	if (!span_starts_with(path, SPAN("/")))
		return "a path begins with a slash";
	r->path_kind = CONFIG_PATH_EXACT;
	if (span_ends_with(path, SPAN("/*"))) {
		r->path_kind = CONFIG_PATH_PREFIX;
		path.len -= 2;
	}
	if (memchr(path.ptr, '*', path.len))
		return "`*` stands at the end only, after a slash";
	if (memchr(path.ptr, '{', path.len) || memchr(path.ptr, '}', path.len))
		return "path parameters are not supported yet";
	if (memchr(path.ptr, '?', path.len) || memchr(path.ptr, '#', path.len))
		return "a path has neither query nor fragment";
	r->path = arena_str(&l->config->arena, path);
	return path_error(path);
}

void read_path(struct loader *l, const struct schema_key *key UNUSED, const struct yaml_node *value,
	       void *field)
{
	struct route_draft *draft = field;
	struct span text;
	const char *error;

	if (!scalar_text(l, value, &text))
		return;
	error = route_path(l, text, &draft->route);
	draft->has_path = !error;
	if (error)
		say_error(l, value, "%s: %s", shown(l, value), error);
}

/* NULL, or what is wrong. Any token is a method, but a name that differs from a known
 * one in its case only is a slip: methods are case-sensitive (RFC 9110 section 9.1). */
static const char *method_error(struct loader *l, struct span method, const struct config_route *r)
{
	static const char *const known[] = {"GET",    "HEAD",  "POST",    "PUT",
					    "DELETE", "PATCH", "OPTIONS", "TRACE"};

	if (!is_http_token(method) || method.len > 32)
		return "this is no method";
	if (span_eq(method, SPAN("CONNECT")))
		return "CONNECT is for forward proxies";
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!span_eq(method, span_str(known[i])) && span_ieq(method, span_str(known[i])))
			return arena_printf(&l->scratch, "did you mean `%s`?", known[i]).ptr;
	for (size_t i = 0; i < r->methods_len; i++)
		if (span_eq(method, span_str(r->methods[i])))
			return "it stands twice";
	return NULL;
}

void read_methods(struct loader *l, const struct schema_key *key UNUSED,
		  const struct yaml_node *value, void *field)
{
	struct config_route *r = &((struct route_draft *)field)->route;
	struct list_cursor at;
	size_t len = list_begin(l, value, true, &at);
	const char **methods = arena_alloc(&l->config->arena, len * sizeof(*methods) + 1);
	const struct yaml_node *n;
	struct span text;

	if (len > METHODS_MAX) {
		say_error(l, value, "more than %d methods", METHODS_MAX);
		return;
	}
	r->methods = methods;
	while ((n = list_next(l, &at))) {
		const char *error;

		if (!scalar_text(l, n, &text))
			continue;
		error = method_error(l, text, r);
		if (error)
			say_error(l, n, "%s: %s", shown(l, n), error);
		else
			methods[r->methods_len++] = arena_str(&l->config->arena, text);
	}
}

static void read_route(struct loader *l, struct service_draft *service, const struct yaml_node *n,
		       size_t index)
{
	struct route_draft *draft = &service->routes[index];

	*draft = (struct route_draft){.node = n,
				      .path = l->path.ptr,
				      .total_ns = NOT_GIVEN,
				      .route = {.max_body_bytes = UINT64_MAX, .path = ""}};
	draft->route.place = place_of(n);
	schema_read(l, keys_route, n, draft);
	if (!yaml_find(n, "path"))
		say_error(l, n, "`path` is missing");
	if (!draft->route.name)
		draft->route.name =
			arena_printf(&l->config->arena, "%s[%zu]", service->service.id, index).ptr;
}

void read_routes(struct loader *l, const struct schema_key *key UNUSED,
		 const struct yaml_node *value, void *field UNUSED)
{
	struct service_draft *service = &l->services[l->services_len];
	struct list_cursor at;
	size_t len = list_begin(l, value, false, &at);
	const struct yaml_node *n;

	service->routes = arena_alloc(&l->scratch, len * sizeof(*service->routes) + 1);
	while ((n = list_next(l, &at)))
		read_route(l, service, n, service->routes_len++);
}
