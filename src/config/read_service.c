#include "readers.h"

/* An answer of our own goes out of one 64 KiB block, its head included. */
#define RESPOND_BODY_MAX (62 * KIB)
/* What clients commonly take of all fields together. */
#define RESPOND_HEADERS_MAX (8 * KIB)
/* Of a redirect's template; browsers take URLs no longer than some KiB. */
#define REDIRECT_TO_MAX (4 * KIB)

bool is_http_token(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = ascii_lower(s.ptr[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    (!c || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.len > 0;
}

/* Visible characters, and spaces and tabs between them (RFC 9110 section 5.5). */
static bool is_field_value(struct span s)
{
	if (span_trim(s).len != s.len)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (((unsigned char)s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
			return false;
	return true;
}

bool is_host_name(struct span s)
{
	size_t label = 0;

	if (!s.len || s.len > 253)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = ascii_lower(s.ptr[i]);

		if (c == '.' && !label)
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > 63 || (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' &&
				   c != '_' && c != '.'))
			return false;
	}
	return true;
}

/* "10.0.0.256": a name whose last label has only digits is an address mistyped
 * (WHATWG URL and RFC 3696 agree that no top level domain is numeric). */
bool ends_in_digits(struct span host)
{
	size_t i = host.len;

	while (i && host.ptr[i - 1] >= '0' && host.ptr[i - 1] <= '9')
		i--;
	return i < host.len && (!i || host.ptr[i - 1] == '.');
}

/* "host", "host:port" or "[v6]:port" into its parts. False when it is none. */
static bool split_authority(struct span authority, struct span *ret_host, struct span *ret_port)
{
	const char *colon;
	size_t len;

	if (span_starts_with(authority, SPAN("["))) {
		const char *close = memchr(authority.ptr, ']', authority.len);

		if (!close)
			return false;
		len = (size_t)(close - authority.ptr) + 1;
		*ret_host = span_of(authority.ptr + 1, len - 2);
		if (len < authority.len && authority.ptr[len] != ':')
			return false;
	} else {
		colon = authority.len ? memchr(authority.ptr, ':', authority.len) : NULL;
		len = colon ? (size_t)(colon - authority.ptr) : authority.len;
		*ret_host = span_of(authority.ptr, len);
	}
	*ret_port = len < authority.len ? span_of(authority.ptr + len + 1, authority.len - len - 1)
					: SPAN_NONE;
	return len == authority.len || ret_port->len;
}

/* What is wrong with an authority, or NULL and the target filled. */
static const char *target_authority(struct loader *l, struct span authority, uint16_t scheme_port,
				    struct config_target *t)
{
	struct arena *arena = &l->config->arena;
	bool bracketed = span_starts_with(authority, SPAN("["));
	struct span host, port;
	uint64_t number = scheme_port;

	if (authority.len && memchr(authority.ptr, '@', authority.len))
		return "user and password in a url are not supported";
	if (!split_authority(authority, &host, &port))
		return "write it like http://name:8000";
	if (port.len && (!span_to_u64(port, &number) || !number || number > 65535))
		return "the port is no number from 1 to 65535";
	if (address_from_ip(host, (uint16_t)number, &t->address)) {
		if (bracketed != (t->address.sa.sa_family == AF_INET6))
			return "an IPv6 address stands in brackets, and nothing else does";
	} else if (bracketed || !is_host_name(host) || ends_in_digits(host)) {
		return "the host is neither a name nor an IP address";
	}
	t->port = (uint16_t)number;
	t->host = arena_str(arena, host);
	/* RFC 9110 section 7.2: the port of the scheme is left out of Host. */
	t->authority = arena_printf(arena, number == scheme_port ? "%s%s%s" : "%s%s%s:%u",
				    bracketed ? "[" : "", t->host, bracketed ? "]" : "", t->port)
			       .ptr;
	return NULL;
}

/* What is wrong with a url, or NULL and the target filled. */
static const char *target_url(struct loader *l, struct span url, struct config_target *t)
{
	bool tls = span_starts_with(url, SPAN("https://"));
	struct span scheme = tls ? SPAN("https://") : SPAN("http://");
	struct span authority;
	size_t len;

	if (span_starts_with(url, SPAN("https://unix:/")))
		return "TLS to a unix socket is not possible";
	if (span_starts_with(url, SPAN("unix:")))
		return "unix: targets are not supported yet";
	if (!span_starts_with(url, scheme))
		return "a url begins with http:// or https://";
	authority = span_of(url.ptr + scheme.len, url.len - scheme.len);
	for (len = 0; len < authority.len && !strchr("/?#", authority.ptr[len]);)
		len++;
	if (authority.len > len + (authority.ptr[len] == '/'))
		return "rewrite is not supported yet; remove the path";
	authority.len = len;
	t->weight = 1;
	t->tls = tls;
	t->url = arena_str(&l->config->arena, url);
	return target_authority(l, authority, tls ? 443 : 80, t);
}

void read_target_url(struct loader *l, const struct schema_key *key UNUSED,
		     const struct yaml_node *value, void *field)
{
	struct config_target target = {.place = place_of(value)};
	struct span text;
	const char *error;

	if (!scalar_text(l, value, &text))
		return;
	error = target_url(l, text, &target);
	if (error)
		say_error(l, value, "%s: %s", shown(l, value), error);
	else
		*(struct config_target *)field = target;
}

void read_url(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
	      void *field)
{
	struct config_service *s = field;
	struct config_target *target = arena_alloc(&l->config->arena, sizeof(*target));

	*target = (struct config_target){0};
	read_target_url(l, key, value, target);
	s->targets = target;
	s->targets_len = 1;
}

void read_targets(struct loader *l, const struct schema_key *key UNUSED,
		  const struct yaml_node *value, void *field)
{
	struct config_service *s = field;
	struct list_cursor at;
	size_t len = list_begin(l, value, false, &at);
	struct config_target *targets = arena_alloc(&l->config->arena, len * sizeof(*targets) + 1);
	const struct yaml_node *n;

	while ((n = list_next(l, &at))) {
		struct config_target *t = &targets[s->targets_len++];

		*t = (struct config_target){0};
		schema_read(l, keys_target, n, t);
		if (!yaml_find(n, "url"))
			say_error(l, n, "`url` is missing");
	}
	s->targets = targets;
}

void read_retry(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		void *field)
{
	struct config_retry *r = field;

	/* `retry:` alone asks for what its defaults say. */
	*r = (struct config_retry){.attempts = 3, .buffer_bytes = 64 * KIB};
	schema_read(l, key->keys, value, r);
}

void read_retry_on(struct loader *l, const struct schema_key *key UNUSED,
		   const struct yaml_node *value, void *field UNUSED)
{
	static const struct schema_choice causes[] = {{"connect-failure", 0}, {"502", 0, true},
						      {"503", 0, true},       {"504", 0, true},
						      {"reset", 0, true},     {0}};
	const struct schema_key choice = {.choices = causes};
	struct list_cursor at;
	const struct yaml_node *n;

	list_begin(l, value, true, &at);
	while ((n = list_next(l, &at)))
		read_choice_only(l, &choice, n, NULL);
}

void read_status(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		 void *field)
{
	uint32_t status = *(uint16_t *)field;

	read_u32(l, key, value, &status);
	*(uint16_t *)field = (uint16_t)status;
}

void read_body(struct loader *l, const struct schema_key *key UNUSED, const struct yaml_node *value,
	       void *field)
{
	struct span text;

	if (!scalar_text(l, value, &text))
		return;
	if (text.len > RESPOND_BODY_MAX)
		say_error(l, value, "the body has %zu bytes, at most %zu KiB", text.len,
			  RESPOND_BODY_MAX / KIB);
	else
		*(struct span *)field = span_of(arena_str(&l->config->arena, text), text.len);
}

/* Fields that say how the message is framed, or that the proxy writes itself. */
static bool is_own_field(struct span name)
{
	static const struct span own[] = {
		{"connection", 10}, {"content-length", 14},
		{"date", 4},        {"keep-alive", 10},
		{"te", 2},          {"trailer", 7},
		{"upgrade", 7},     {"transfer-encoding", 17},
	};

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (span_ieq(own[i], name))
			return true;
	return false;
}

void read_headers(struct loader *l, const struct schema_key *key UNUSED,
		  const struct yaml_node *value, void *field)
{
	struct config_respond *r = (struct config_respond *)field;
	struct config_header *headers;
	struct span text;
	size_t bytes = 0;

	if (yaml_is_null(value))
		return;
	if (value->kind != YAML_MAPPING) {
		say_error(l, value, "must be a mapping of field names to values");
		return;
	}
	headers = arena_alloc(&l->config->arena, value->entries * sizeof(*headers) + 1);
	for (const struct yaml_entry *e = value->first; e; e = e->next) {
		struct span saved = path_enter(l, e->key->text);

		if (!is_http_token(e->key->text))
			say_error(l, e->key, "%s is no name of a header field", shown(l, e->key));
		else if (is_own_field(e->key->text))
			say_error(l, e->key, "%s is set by the gateway itself", shown(l, e->key));
		else if (!scalar_text(l, e->value, &text))
			;
		else if (!is_field_value(text))
			say_error(l, e->value,
				  "a field value has no control characters and no spaces at its "
				  "ends");
		else {
			headers[r->headers_len++] =
				(struct config_header){arena_str(&l->config->arena, e->key->text),
						       arena_str(&l->config->arena, text)};
			bytes += e->key->text.len + text.len;
		}
		l->path = saved;
	}
	if (bytes > RESPOND_HEADERS_MAX)
		say_error(l, value, "the fields have %zu bytes, at most %zu KiB", bytes,
			  RESPOND_HEADERS_MAX / KIB);
	r->headers = headers;
}

void read_respond(struct loader *l, const struct schema_key *key UNUSED,
		  const struct yaml_node *value, void *field)
{
	struct config_respond *r = field;
	const struct yaml_entry *body = yaml_find(value, "body");

	*r = (struct config_respond){.status = 200, .body = SPAN(""), .headers = NULL};
	schema_read(l, keys_respond, value, r);
	/* RFC 9110 sections 15.3.5 and 15.4.5: they have no content. */
	if (r->body.len && (r->status == 204 || r->status == 304))
		say_error(l, body->value, "an answer with status %u has no body", r->status);
}

/* Redirecting to what a client wrote is an open redirect, so the place to go to must
 * be fixed up to its host. */
static const char *redirect_error(const struct template *to)
{
	const struct template_part *first = to->parts;
	struct span text = to->parts_len ? first->argument : SPAN("");

	if (!to->parts_len)
		return "must not be empty";
	for (size_t i = 0; i < to->parts_len; i++) {
		const struct template_part *part = &to->parts[i];

		for (size_t k = 0; part->attribute == ATTRIBUTE_LITERAL && k < part->argument.len;
		     k++)
			if ((unsigned char)part->argument.ptr[k] <= 0x20 ||
			    (unsigned char)part->argument.ptr[k] >= 0x7f)
				return "spaces, control characters and bytes outside ASCII are "
				       "percent-encoded in a url";
	}
	if (first->attribute == ATTRIBUTE_SCHEME)
		return NULL;
	if (first->attribute != ATTRIBUTE_LITERAL ||
	    !(span_starts_with(text, SPAN("https://")) || span_starts_with(text, SPAN("http://")) ||
	      span_starts_with(text, SPAN("/"))))
		return "begins with https://, http://, {scheme}:// or /";
	/* Browsers take "//host" for another host, and {path} begins with a slash. */
	if (span_starts_with(text, SPAN("//")) || (text.len == 1 && to->parts_len > 1))
		return "would begin with //, which names another host; {path} has its own slash";
	return NULL;
}

void read_redirect_to(struct loader *l, const struct schema_key *key UNUSED,
		      const struct yaml_node *value, void *field)
{
	struct template to;
	const char *error;

	if (value->text.len > REDIRECT_TO_MAX) {
		say_error(l, value, "has %zu bytes, at most %zu KiB", value->text.len,
			  REDIRECT_TO_MAX / KIB);
		return;
	}
	if (!read_template(l, value, &to))
		return;
	error = redirect_error(&to);
	if (error)
		say_error(l, value, "%s", error);
	else
		*(struct template *)field = to;
}

void read_redirect_status(struct loader *l, const struct schema_key *key UNUSED,
			  const struct yaml_node *value, void *field)
{
	static const struct schema_choice words[] = {{"301", 301}, {"302", 302}, {"303", 303},
						     {"307", 307}, {"308", 308}, {0}};
	const struct schema_key choice = {.choices = words};
	int status = *(uint16_t *)field;

	read_choice(l, &choice, value, &status);
	*(uint16_t *)field = (uint16_t)status;
}

void read_redirect(struct loader *l, const struct schema_key *key UNUSED,
		   const struct yaml_node *value, void *field)
{
	struct config_redirect *r = field;

	r->status = 308;
	schema_read(l, keys_redirect, value, r);
	if (!yaml_find(value, "to"))
		say_error(l, value, "`to` is missing");
}

static const char *const sources[] = {"url", "targets", "respond", "redirect"};

/* Exactly one of them says where answers come from. */
static void check_source(struct loader *l, const struct yaml_entry *e, struct config_service *s)
{
	const struct yaml_entry *first = NULL;

	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		const struct yaml_entry *found = yaml_find(e->value, sources[i]);

		if (!found)
			continue;
		if (first)
			say_error(l, found->key, "`%s` and `%.*s` exclude each other", sources[i],
				  SPAN_FMT(first->key->text));
		else
			first = found;
	}
	if (!first)
		say_error(l, e->key,
			  "one of `url`, `targets`, `respond` and `redirect` is missing");
	else if (span_eq(first->key->text, SPAN("respond")))
		s->source = CONFIG_SOURCE_RESPOND;
	else if (span_eq(first->key->text, SPAN("redirect")))
		s->source = CONFIG_SOURCE_REDIRECT;
}

/* Keys that only make sense with an upstream. */
static void check_upstream_keys(struct loader *l, const struct yaml_entry *e,
				const struct config_service *s)
{
	static const char *const keys[] = {"timeout",  "timeouts",       "retry",
					   "protocol", "load_balancing", "tls"};

	for (size_t i = 0; s->source != CONFIG_SOURCE_UPSTREAM && i < ARRAY_LEN(keys); i++) {
		const struct yaml_entry *found = yaml_find(e->value, keys[i]);

		if (found)
			say_error(l, found->key, "`%s` has no meaning without an upstream",
				  keys[i]);
	}
}

/* Whoever writes `tls` and http:// believes in a secrecy that is not there. */
static void check_upstream_tls(struct loader *l, const struct yaml_entry *e,
			       const struct config_service *s)
{
	const struct yaml_entry *tls = yaml_find(e->value, "tls");

	if (!tls || !s->targets_len)
		return;
	/* A target that is wrong, said already, may have been meant. */
	for (size_t i = 0; i < s->targets_len; i++)
		if (s->targets[i].tls || !s->targets[i].url)
			return;
	say_error(l, tls->key, "`tls` has no meaning: no target is https://");
}

static void read_service(struct loader *l, const struct yaml_entry *e)
{
	struct service_draft *draft = &l->services[l->services_len];
	struct config_service *s = &draft->service;

	*draft = (struct service_draft){.key = e->key, .value = e->value, .path = l->path.ptr};
	s->place = place_of(e->key);
	s->id = s->name = arena_str(&l->config->arena, e->key->text);
	s->timeouts = (struct config_timeouts){
		.connect_ns = NS_PER_S, .idle_ns = 60 * NS_PER_S, .total_ns = NOT_GIVEN};
	s->tls = (struct config_upstream_tls){.place = s->place, .verify = true};
	if (!e->key->text.len || memchr(e->key->text.ptr, '\0', e->key->text.len))
		say_error(l, e->key, "a service needs a name");
	schema_read(l, keys_service, e->value, s);
	check_source(l, e, s);
	check_upstream_keys(l, e, s);
	check_upstream_tls(l, e, s);
	l->services_len++;
}

void read_services(struct loader *l, const struct schema_key *key UNUSED,
		   const struct yaml_node *value, void *field UNUSED)
{
	if (yaml_is_null(value))
		return;
	if (value->kind != YAML_MAPPING) {
		say_error(l, value, "must be a mapping of names to services");
		return;
	}
	l->services = arena_alloc(&l->scratch, value->entries * sizeof(*l->services) + 1);
	for (const struct yaml_entry *e = value->first; e; e = e->next) {
		struct span saved = path_enter(l, e->key->text);

		read_service(l, e);
		l->path = saved;
	}
}
