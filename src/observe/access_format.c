#include "access_format.h"

#include <time.h>

/* Macros, so that a member's name and what stands around it are one literal. */
#define json_text(l, name, value)                                                                  \
	do {                                                                                       \
		line_put_literal(l, ",\"" name "\":\"");                                           \
		line_put_escaped(l, value, LINE_JSON);                                             \
		line_put_literal(l, "\"");                                                         \
	} while (0)
#define json_u64(l, name, value)                                                                   \
	do {                                                                                       \
		line_put_literal(l, ",\"" name "\":");                                             \
		line_put_u64(l, value);                                                            \
	} while (0)
#define text_word(l, name, value)                                                                  \
	do {                                                                                       \
		line_put_literal(l, " " name "=");                                                 \
		put_word(l, value);                                                                \
	} while (0)
#define text_u64(l, name, value)                                                                   \
	do {                                                                                       \
		line_put_literal(l, " " name "=");                                                 \
		line_put_u64(l, value);                                                            \
	} while (0)

static void json_extras(struct line *l, const struct access_record *r)
{
	line_put_literal(l, ",\"fields\":{");
	for (size_t i = 0; i < r->extras_len; i++) {
		line_put(l, i ? SPAN(",\"") : SPAN("\""));
		line_put_escaped(l, r->extras[i].name, LINE_JSON);
		line_put_literal(l, "\":\"");
		line_put_escaped(l, r->extras[i].value, LINE_JSON);
		line_put_literal(l, "\"");
	}
	line_put_literal(l, "}");
}

/* As one object, so that a reader sees at once whether there was TLS. */
static void json_tls(struct line *l, const struct access_tls *tls)
{
	line_put_literal(l, ",\"tls\":{\"version\":\"");
	line_put_escaped(l, tls->version, LINE_JSON);
	line_put_literal(l, "\"");
	json_text(l, "suite", tls->suite);
	json_text(l, "group", tls->group);
	json_text(l, "server_name", tls->server_name);
	json_text(l, "alpn", tls->alpn);
	line_put(l, tls->resumed ? SPAN(",\"resumed\":true") : SPAN(",\"resumed\":false"));
	json_u64(l, "handshake_us", tls->handshake_us);
	if (tls->client_fingerprint.len) {
		json_text(l, "client_subject", tls->client_subject);
		json_text(l, "client_fingerprint", tls->client_fingerprint);
	}
	line_put_literal(l, "}");
}

static void put_protocol(struct line *l, const struct access_record *r)
{
	line_put_literal(l, "HTTP/1.");
	line_put_u64(l, r->http_minor);
}

void access_format_json(const struct access_view *view, struct line *l)
{
	const struct access_record *r = &view->record;

	line_put_literal(l, "{\"time\":\"");
	line_put_time(l, r->started_unix_us, true);
	line_put_literal(l, "\"");
	json_text(l, "id", r->request_id);
	json_text(l, "client", r->client);
	json_text(l, "method", r->method);
	json_text(l, "host", r->host);
	json_text(l, "path", r->path);
	json_text(l, "route", r->route);
	json_text(l, "service", r->service);
	json_text(l, "target", r->target);
	if (r->limit.len)
		json_text(l, "limit", r->limit);
	json_u64(l, "status", r->status);
	json_u64(l, "bytes_in", r->bytes_in);
	json_u64(l, "bytes_out", r->bytes_out);
	json_u64(l, "head_us", r->head_us);
	json_u64(l, "policy_us", r->policy_us);
	json_u64(l, "connect_us", r->connect_us);
	json_u64(l, "first_byte_us", r->first_byte_us);
	json_u64(l, "total_us", r->total_us);
	json_u64(l, "shard", r->shard);
	json_u64(l, "attempts", r->attempts);
	line_put_literal(l, ",\"protocol\":\"");
	put_protocol(l, r);
	line_put_literal(l, "\"");
	if (r->tls)
		json_tls(l, r->tls);
	if (r->cause != ACCESS_OK)
		json_text(l, "cause", span_str(access_cause_text(r->cause)));
	if (r->extras_len)
		json_extras(l, r);
	if (view->clipped)
		line_put_literal(l, ",\"clipped\":true");
	line_put_literal(l, "}\n");
}

/* The time of the common log format, which tools know: 21/Nov/2026:01:02:03 +0000. */
static void put_common_time(struct line *l, uint64_t unix_us)
{
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(unix_us / 1000000);
	struct tm tm;

	must(gmtime_r(&seconds, &tm));
	line_put_digits(l, (uint64_t)tm.tm_mday, 2);
	line_put_literal(l, "/");
	line_put(l, span_of(months[tm.tm_mon], 3));
	line_put_literal(l, "/");
	line_put_digits(l, (uint64_t)tm.tm_year + 1900, 4);
	line_put_literal(l, ":");
	line_put_digits(l, (uint64_t)tm.tm_hour, 2);
	line_put_literal(l, ":");
	line_put_digits(l, (uint64_t)tm.tm_min, 2);
	line_put_literal(l, ":");
	line_put_digits(l, (uint64_t)tm.tm_sec, 2);
	line_put_literal(l, " +0000");
}

static bool needs_quotes(struct span value)
{
	for (size_t i = 0; i < value.len; i++) {
		uint8_t byte = (uint8_t)value.ptr[i];

		if (byte <= ' ' || byte >= 0x7f || byte == '"' || byte == '\\')
			return true;
	}
	return false;
}

/* "-" for what is empty, quotes where a reader would stumble. */
static void put_word(struct line *l, struct span value)
{
	if (!value.len) {
		line_put_literal(l, "-");
	} else if (needs_quotes(value)) {
		line_put_literal(l, "\"");
		line_put_escaped(l, value, LINE_QUOTE);
		line_put_literal(l, "\"");
	} else {
		line_put(l, value);
	}
}

static void text_tls(struct line *l, const struct access_tls *tls)
{
	text_word(l, "tls_version", tls->version);
	text_word(l, "tls_suite", tls->suite);
	text_word(l, "tls_group", tls->group);
	text_word(l, "tls_server_name", tls->server_name);
	text_word(l, "tls_alpn", tls->alpn);
	line_put(l, tls->resumed ? SPAN(" tls_resumed=true") : SPAN(" tls_resumed=false"));
	text_u64(l, "tls_handshake_us", tls->handshake_us);
	if (tls->client_fingerprint.len) {
		text_word(l, "client_cert_subject", tls->client_subject);
		text_word(l, "client_cert_fingerprint", tls->client_fingerprint);
	}
}

static void text_extra(struct line *l, const struct access_extra *extra)
{
	line_put_literal(l, " ");
	put_word(l, extra->name);
	line_put_literal(l, "=");
	put_word(l, extra->value);
}

void access_format_text(const struct access_view *view, struct line *l)
{
	const struct access_record *r = &view->record;

	put_word(l, r->client);
	line_put_literal(l, " - - [");
	put_common_time(l, r->started_unix_us);
	line_put_literal(l, "] \"");
	line_put_escaped(l, r->method, LINE_QUOTE);
	line_put_literal(l, " ");
	line_put_escaped(l, r->path, LINE_QUOTE);
	line_put_literal(l, " ");
	put_protocol(l, r);
	line_put_literal(l, "\" ");
	line_put_u64(l, r->status);
	line_put_literal(l, " ");
	line_put_u64(l, r->bytes_out);
	text_word(l, "id", r->request_id);
	text_word(l, "host", r->host);
	text_word(l, "route", r->route);
	text_word(l, "service", r->service);
	text_word(l, "target", r->target);
	if (r->limit.len)
		text_word(l, "limit", r->limit);
	text_u64(l, "bytes_in", r->bytes_in);
	text_u64(l, "head_us", r->head_us);
	text_u64(l, "policy_us", r->policy_us);
	text_u64(l, "connect_us", r->connect_us);
	text_u64(l, "first_byte_us", r->first_byte_us);
	text_u64(l, "total_us", r->total_us);
	text_u64(l, "shard", r->shard);
	text_u64(l, "attempts", r->attempts);
	if (r->tls)
		text_tls(l, r->tls);
	if (r->cause != ACCESS_OK)
		text_word(l, "cause", span_str(access_cause_text(r->cause)));
	for (size_t i = 0; i < r->extras_len; i++)
		text_extra(l, &r->extras[i]);
	if (view->clipped)
		line_put_literal(l, " clipped=true");
	line_put_literal(l, "\n");
}
