#include "access_format.h"

#include <time.h>

static void json_text(struct line *l, struct span name, struct span value)
{
	line_put_literal(l, ",\"");
	line_put(l, name);
	line_put_literal(l, "\":\"");
	line_put_escaped(l, value, LINE_JSON);
	line_put_literal(l, "\"");
}

static void json_u64(struct line *l, struct span name, uint64_t value)
{
	line_put_literal(l, ",\"");
	line_put(l, name);
	line_put_literal(l, "\":");
	line_put_u64(l, value);
}

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
	json_text(l, SPAN("id"), r->request_id);
	json_text(l, SPAN("client"), r->client);
	json_text(l, SPAN("method"), r->method);
	json_text(l, SPAN("host"), r->host);
	json_text(l, SPAN("path"), r->path);
	json_text(l, SPAN("route"), r->route);
	json_text(l, SPAN("service"), r->service);
	json_text(l, SPAN("target"), r->target);
	json_u64(l, SPAN("status"), r->status);
	json_u64(l, SPAN("bytes_in"), r->bytes_in);
	json_u64(l, SPAN("bytes_out"), r->bytes_out);
	json_u64(l, SPAN("head_us"), r->head_us);
	json_u64(l, SPAN("policy_us"), r->policy_us);
	json_u64(l, SPAN("connect_us"), r->connect_us);
	json_u64(l, SPAN("first_byte_us"), r->first_byte_us);
	json_u64(l, SPAN("total_us"), r->total_us);
	json_u64(l, SPAN("shard"), r->shard);
	json_u64(l, SPAN("attempts"), r->attempts);
	line_put_literal(l, ",\"protocol\":\"");
	put_protocol(l, r);
	line_put_literal(l, "\"");
	if (r->cause != ACCESS_OK)
		json_text(l, SPAN("cause"), span_str(access_cause_text(r->cause)));
	if (r->extras_len)
		json_extras(l, r);
	if (view->clipped)
		line_put_literal(l, ",\"clipped\":true");
	line_put_literal(l, "}\n");
}

/* The time of the common log format, which tools know: [21/Nov/2026:01:02:03 +0000].
 * Not by strftime(), whose months follow the locale. */
static void put_common_time(struct line *l, uint64_t unix_us)
{
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(unix_us / 1000000);
	char text[sizeof("dd//YYYYYYYYYYYY:HH:MM:SS +0000")];
	struct tm tm;

	must(gmtime_r(&seconds, &tm));
	line_put(l, span_of(text, strftime(text, sizeof(text), "%d/", &tm)));
	line_put(l, span_str(months[tm.tm_mon]));
	line_put(l, span_of(text, strftime(text, sizeof(text), "/%Y:%H:%M:%S +0000", &tm)));
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

static void text_word(struct line *l, struct span name, struct span value)
{
	line_put_literal(l, " ");
	line_put(l, name);
	line_put_literal(l, "=");
	put_word(l, value);
}

static void text_u64(struct line *l, struct span name, uint64_t value)
{
	line_put_literal(l, " ");
	line_put(l, name);
	line_put_literal(l, "=");
	line_put_u64(l, value);
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
	text_word(l, SPAN("id"), r->request_id);
	text_word(l, SPAN("host"), r->host);
	text_word(l, SPAN("route"), r->route);
	text_word(l, SPAN("service"), r->service);
	text_word(l, SPAN("target"), r->target);
	text_u64(l, SPAN("bytes_in"), r->bytes_in);
	text_u64(l, SPAN("head_us"), r->head_us);
	text_u64(l, SPAN("policy_us"), r->policy_us);
	text_u64(l, SPAN("connect_us"), r->connect_us);
	text_u64(l, SPAN("first_byte_us"), r->first_byte_us);
	text_u64(l, SPAN("total_us"), r->total_us);
	text_u64(l, SPAN("shard"), r->shard);
	text_u64(l, SPAN("attempts"), r->attempts);
	if (r->cause != ACCESS_OK)
		text_word(l, SPAN("cause"), span_str(access_cause_text(r->cause)));
	for (size_t i = 0; i < r->extras_len; i++)
		text_extra(l, &r->extras[i]);
	if (view->clipped)
		line_put_literal(l, " clipped=true");
	line_put_literal(l, "\n");
}
