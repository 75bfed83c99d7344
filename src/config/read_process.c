#include "readers.h"

#include <sys/un.h>

/* The name is part of file names: the segment, the lock, the admin socket. */
#define INSTANCE_MAX 32
/* What a config may name; the kernel's own limit is higher than any machine. */
#define CPU_MAX 1023
/* Each is a socket per shard. */
#define LISTENERS_MAX 64
/* As many as a record of the access log has room for. */
#define LOG_FIELDS_MAX 64

void read_version(struct loader *l, const struct schema_key *key UNUSED,
		  const struct yaml_node *value, void *field UNUSED)
{
	struct span text;

	if (scalar_text(l, value, &text) && !span_eq(text, SPAN("1")))
		say_error(l, value, "%s is no version that this build knows; it knows 1",
			  shown(l, value));
}

bool config_instance_is_valid(struct span name)
{
	if (!name.len || name.len > INSTANCE_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = ascii_lower(name.ptr[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return true;
}

void read_instance(struct loader *l, const struct schema_key *key UNUSED,
		   const struct yaml_node *value, void *field)
{
	struct span text;

	if (!scalar_text(l, value, &text))
		return;
	if (config_instance_is_valid(text))
		*(const char **)field = arena_str(&l->config->arena, text);
	else
		say_error(l, value, "an instance name is 1 to %d letters, digits, `-` and `_`",
			  INSTANCE_MAX);
}

static bool read_ip(struct loader *l, const struct yaml_node *value, struct address *ret_address)
{
	struct address a;
	struct span text;

	if (!scalar_text(l, value, &text))
		return false;
	if (!address_from_ip(text, 0, &a)) {
		say_error(l, value, "%s is no IP address, like 0.0.0.0 or ::1", shown(l, value));
		return false;
	}
	*ret_address = a;
	return true;
}

void read_gateway_host(struct loader *l, const struct schema_key *key UNUSED,
		       const struct yaml_node *value, void *field UNUSED)
{
	read_ip(l, value, &l->gateway_ip);
	l->gateway_host_node = value;
}

void read_gateway_port(struct loader *l, const struct schema_key *key,
		       const struct yaml_node *value, void *field UNUSED)
{
	read_u32(l, key, value, &l->gateway_port);
	l->gateway_port_node = value;
}

void read_gateway_timeout(struct loader *l, const struct schema_key *key,
			  const struct yaml_node *value, void *field UNUSED)
{
	read_duration(l, key, value, &l->gateway_timeout_ns);
}

void read_metrics_host(struct loader *l, const struct schema_key *key UNUSED,
		       const struct yaml_node *value, void *field UNUSED)
{
	read_ip(l, value, &l->metrics_ip);
	l->metrics_host_node = value;
}

void read_metrics_port(struct loader *l, const struct schema_key *key,
		       const struct yaml_node *value, void *field UNUSED)
{
	read_u32(l, key, value, &l->metrics_port);
	l->metrics_port_node = value;
}

void read_label_budget(struct loader *l, const struct schema_key *key,
		       const struct yaml_node *value, void *field UNUSED)
{
	read_u32(l, key, value, &l->config->runtime.metric_routes);
}

void read_listener_address(struct loader *l, const struct schema_key *key UNUSED,
			   const struct yaml_node *value, void *field)
{
	struct address a;
	struct span text;

	if (!scalar_text(l, value, &text))
		return;
	if (span_starts_with(text, SPAN("unix:")))
		say_error(l, value, "unix sockets are not supported yet");
	else if (!address_from_text(text, &a) || !address_port(&a))
		say_error(l, value, "%s is no address with a port, like 0.0.0.0:8080 or [::]:8080",
			  shown(l, value));
	else
		*(struct address *)field = a;
}

static void check_listener(struct loader *l, const struct yaml_node *n,
			   const struct config_listener *listener)
{
	/* Anyone could choose the address that the rest believes. A `trusted` that is wrong
	 * is said where it stands. */
	if (listener->proxy_protocol != CONFIG_PROXY_PROTOCOL_OFF && !yaml_find(l->top, "trusted"))
		say_error(l, yaml_find(n, "proxy_protocol")->key,
			  "`proxy_protocol` needs `trusted`: the peers that may send it");
	if (listener->redirect_https && yaml_find(n, "tls"))
		say_error(
			l, yaml_find(n, "redirect_https")->key,
			"`redirect_https` and `tls` exclude each other: whoever speaks TLS here is "
			"at https:// already");
}

void read_listeners(struct loader *l, const struct schema_key *key UNUSED,
		    const struct yaml_node *value, void *field UNUSED)
{
	struct list_cursor at;
	size_t len = list_begin(l, value, false, &at);
	const struct yaml_node *n;

	if (len > LISTENERS_MAX) {
		say_error(l, value, "more than %d listeners", LISTENERS_MAX);
		return;
	}
	l->listeners = arena_alloc(&l->scratch, len * sizeof(*l->listeners) + 1);
	while ((n = list_next(l, &at))) {
		struct listener_draft *draft = &l->listeners[l->listeners_len];
		struct config_listener *listener = &draft->listener;
		const struct yaml_entry *address = yaml_find(n, "address");

		*listener = (struct config_listener){.place = place_of(n)};
		schema_read(l, keys_listener, n, listener);
		if (!listener->name)
			listener->name = arena_str(&l->config->arena, l->path);
		if (!address)
			say_error(l, n, "`address` is missing");
		check_listener(l, n, listener);
		if (!listener->address.len)
			continue;
		draft->address = address->value;
		draft->path = arena_printf(&l->scratch, "%s.address", l->path.ptr).ptr;
		l->listeners_len++;
	}
}

void read_trusted(struct loader *l, const struct schema_key *key UNUSED,
		  const struct yaml_node *value, void *field UNUSED)
{
	struct list_cursor at;
	size_t len = list_begin(l, value, true, &at);
	struct cidr *ranges = arena_alloc(&l->config->arena, len * sizeof(*ranges) + 1);
	const struct yaml_node *n;
	struct span text;

	while ((n = list_next(l, &at))) {
		if (!scalar_text(l, n, &text))
			continue;
		if (cidr_from_text(text, &ranges[l->config->trusted_len]))
			l->config->trusted_len++;
		else
			say_error(l, n,
				  "%s is no address range, like 10.0.0.0/8 (no bits set behind the "
				  "prefix) or 192.0.2.1",
				  shown(l, n));
	}
	l->config->trusted = ranges;
}

void read_resolver_servers(struct loader *l, const struct schema_key *key UNUSED,
			   const struct yaml_node *value, void *field UNUSED)
{
	struct config_resolver *r = &l->config->resolver;
	struct list_cursor at;
	size_t len = list_begin(l, value, true, &at);
	struct address *servers = arena_alloc(&l->config->arena, len * sizeof(*servers) + 1);
	const struct yaml_node *n;
	struct span text;

	while ((n = list_next(l, &at))) {
		struct address a;

		if (!scalar_text(l, n, &text))
			continue;
		if (address_from_ip(text, 53, &a) ||
		    (address_from_text(text, &a) && a.sa.sa_family != AF_UNIX && address_port(&a)))
			servers[r->servers_len++] = a;
		else
			say_error(l, n, "%s is no address of a DNS server, like 127.0.0.1:53",
				  shown(l, n));
	}
	r->servers = servers;
}

void read_shards(struct loader *l, const struct schema_key *key, const struct yaml_node *value,
		 void *field)
{
	struct span text;
	uint64_t number;

	if (!scalar_text(l, value, &text))
		return;
	if (span_eq(text, SPAN("auto")))
		*(uint32_t *)field = 0;
	else if (span_to_u64(text, &number) && number <= key->max)
		*(uint32_t *)field = (uint32_t)number;
	else
		say_error(l, value, "%s is neither `auto` nor a whole number up to %lu",
			  shown(l, value), key->max);
}

/* "2-7,10". */
static bool is_cpu_list(struct span text)
{
	struct span range;
	bool any = false;

	while (span_next_token(&text, &range)) {
		const char *dash = memchr(range.ptr, '-', range.len);
		size_t len = dash ? (size_t)(dash - range.ptr) : range.len;
		uint64_t first, last;

		if (!span_to_u64(span_of(range.ptr, len), &first))
			return false;
		last = first;
		if (dash && !span_to_u64(span_of(dash + 1, range.len - len - 1), &last))
			return false;
		if (first > last || last > CPU_MAX)
			return false;
		any = true;
	}
	return any;
}

void read_cpus(struct loader *l, const struct schema_key *key UNUSED, const struct yaml_node *value,
	       void *field)
{
	struct span text;

	if (!scalar_text(l, value, &text))
		return;
	if (is_cpu_list(text))
		*(const char **)field = arena_str(&l->config->arena, text);
	else
		say_error(l, value, "%s is no list of CPUs, like 2-7,10", shown(l, value));
}

void read_on_off(struct loader *l, const struct schema_key *key UNUSED,
		 const struct yaml_node *value, void *field)
{
	static const struct schema_choice words[] = {
		{"on", true}, {"off", false}, {"true", true}, {"false", false}, {0}};
	const struct schema_key choice = {.choices = words};
	int chosen = *(bool *)field;

	read_choice(l, &choice, value, &chosen);
	*(bool *)field = chosen;
}

void read_metrics_memory(struct loader *l, const struct schema_key *key UNUSED,
			 const struct yaml_node *value, void *field)
{
	static const struct schema_choice words[] = {{"shm", true}, {"private", false}, {0}};
	const struct schema_key choice = {.choices = words};
	int chosen = *(bool *)field;

	read_choice(l, &choice, value, &chosen);
	*(bool *)field = chosen;
}

void read_log_output(struct loader *l, const struct schema_key *key UNUSED,
		     const struct yaml_node *value, void *field)
{
	struct span text;

	if (!scalar_text(l, value, &text))
		return;
	/* A bare word is a slip for one of the two streams far more often than a
	 * file in whatever directory the process was started. */
	if (!span_eq(text, SPAN("stdout")) && !span_eq(text, SPAN("stderr")) &&
	    !(text.len && memchr(text.ptr, '/', text.len)))
		say_error(l, value, "%s is neither `stdout`, `stderr` nor a path with a slash",
			  shown(l, value));
	else
		*(const char **)field = arena_str(&l->config->arena, text);
}

static bool is_field_name(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = ascii_lower(s.ptr[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return s.len > 0 && s.len <= 32;
}

void read_log_fields(struct loader *l, const struct schema_key *key UNUSED,
		     const struct yaml_node *value, void *field UNUSED)
{
	struct config_logging *logging = &l->config->monitoring.logging;
	struct config_log_field *fields;

	if (yaml_is_null(value))
		return;
	if (value->kind != YAML_MAPPING) {
		say_error(l, value, "must be a mapping of field names to templates");
		return;
	}
	if (value->entries > LOG_FIELDS_MAX) {
		say_error(l, value, "%zu fields are too many, at most %d", value->entries,
			  LOG_FIELDS_MAX);
		return;
	}
	fields = arena_alloc(&l->config->arena, value->entries * sizeof(*fields) + 1);
	for (const struct yaml_entry *e = value->first; e; e = e->next) {
		struct config_log_field *f = &fields[logging->fields_len];
		struct span saved;

		if (!is_field_name(e->key->text)) {
			say_error(l, e->key, "a field name is 1 to 32 letters, digits and `_`");
			continue;
		}
		saved = path_enter(l, e->key->text);
		if (read_template(l, e->value, &f->value)) {
			f->name = arena_str(&l->config->arena, e->key->text);
			logging->fields_len++;
		}
		l->path = saved;
	}
	logging->fields = fields;
}

void read_admin_socket(struct loader *l, const struct schema_key *key UNUSED,
		       const struct yaml_node *value, void *field)
{
	struct span text;

	if (!scalar_text(l, value, &text))
		return;
	if (!span_starts_with(text, SPAN("/")))
		say_error(l, value, "%s is no absolute path", shown(l, value));
	else if (text.len >= sizeof(((struct sockaddr_un *)0)->sun_path))
		say_error(l, value, "the path is longer than a unix socket's may be (%zu bytes)",
			  sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	else
		*(const char **)field = arena_str(&l->config->arena, text);
}

bool read_template(struct loader *l, const struct yaml_node *value, struct template *ret_template)
{
	struct span text;
	const char *error;
	size_t at;

	if (!scalar_text(l, value, &text))
		return false;
	if (template_parse(&l->config->arena, text, ret_template, &error, &at))
		return true;
	/* The byte of the value is the byte in the file only when nothing was put in
	 * and nothing unescaped; the value's own place is right always. */
	if (value->plain && text.len == value->at.end - value->at.at &&
	    memcmp(text.ptr, value->at.source->text.ptr + value->at.at, text.len) == 0) {
		struct source_range range = value->at;

		range.at += at;
		say(l, CONFIG_ERROR, range, l->path.ptr, "%s", error);
	} else {
		say_error(l, value, "at character %zu: %s", at + 1, error);
	}
	return false;
}
