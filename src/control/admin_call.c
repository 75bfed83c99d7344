#include "admin_call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringway/proxy/answer.h>

#include "instance.h"

struct instance *admin_call_instance(const struct admin_call *c)
{
	return instance_of_control(c->x->front);
}

/* ---- answers ---- */

json_t *json_words(struct span s)
{
	json_t *text = json_stringn(s.ptr ? s.ptr : "", s.len);
	char *copy;

	if (text)
		return text;
	copy = malloc(s.len + 1);
	must(copy);
	for (size_t i = 0; i < s.len; i++)
		copy[i] = (unsigned char)s.ptr[i] < 0x80 ? s.ptr[i] : '?';
	text = json_stringn(copy, s.len);
	free(copy);
	return text;
}

void admin_call_answer(struct admin_call *c, uint16_t status, json_t *json)
{
	c->text = json_dumps(json, JSON_COMPACT);
	must(c->text);
	c->len = strlen(c->text);
	c->status = status;
	json_decref(json);
}

void admin_call_problem(struct admin_call *c, uint16_t status, const char *fmt, ...)
{
	struct span title = http_status_reason(status);
	json_t *json = json_object();
	char *detail = NULL;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vasprintf(&detail, fmt, args);
	va_end(args);
	must(len >= 0);
	json_object_set_new(json, "type", json_string("about:blank"));
	json_object_set_new(json, "title", json_stringn(title.ptr, title.len));
	json_object_set_new(json, "status", json_integer(status));
	json_object_set_new(json, "detail", json_words(span_of(detail, (size_t)len)));
	json_object_set_new(json, "request_id", json_words(c->x->attributes.request_id));
	free(detail);
	admin_call_answer(c, status, json);
}

void admin_call_wrong_method(struct admin_call *c, const char *allow)
{
	c->allow = allow;
	admin_call_problem(c, 405, "this path takes %s", allow);
}

/* ---- forms and queries ---- */

struct span admin_call_decode(struct admin_call *c, struct span s)
{
	char *text = arena_text(&c->x->arena, s.len + 1), *at = text;

	for (size_t i = 0; text && i < s.len; i++) {
		int high, low;

		if (s.ptr[i] != '%') {
			*at++ = s.ptr[i];
			continue;
		}
		high = i + 2 < s.len ? ascii_hex(s.ptr[i + 1]) : -1;
		low = i + 2 < s.len ? ascii_hex(s.ptr[i + 2]) : -1;
		if (high < 0 || low < 0 || high + low == 0)
			return SPAN_NONE;
		*at++ = (char)(high << 4 | low);
		i += 2;
	}
	if (!text)
		return SPAN_NONE;
	*at = '\0';
	return span_of(text, (size_t)(at - text));
}

bool admin_call_next_pair(struct admin_call *c, struct span *rest, struct form_pair *ret_pair)
{
	const char *end, *equals;
	size_t len;

	while (rest->len && *rest->ptr == '&')
		*rest = span_of(rest->ptr + 1, rest->len - 1);
	if (!rest->len)
		return false;
	end = memchr(rest->ptr, '&', rest->len);
	len = end ? (size_t)(end - rest->ptr) : rest->len;
	equals = memchr(rest->ptr, '=', len);
	ret_pair->name = span_of(rest->ptr, equals ? (size_t)(equals - rest->ptr) : len);
	ret_pair->value = SPAN("");
	if (equals)
		ret_pair->value = admin_call_decode(
			c, span_of(equals + 1, (size_t)(rest->ptr + len - equals) - 1));
	*rest = span_of(rest->ptr + len, rest->len - len);
	return true;
}

/* ---- the source ---- */

/* RFC 9110 section 10.1.1: not to HTTP/1.0, and not when the body has begun anyway. */
static void say_continue(struct admin_call *c)
{
	struct http_head head = {.status = 100,
				 .reason = http_status_reason(100),
				 .minor = 1,
				 .keep_alive = true,
				 .framing = HTTP_FRAMING_NONE};
	struct exchange *x = c->x;

	if (!x->request.expects_continue || !x->request.minor || c->continued || x->body_in)
		return;
	c->continued = true;
	x->client->ops->send(x->client, &head, NULL, false, NULL);
}

/* The whole body, of which little is expected; false while more may come. */
static bool has_body(struct admin_call *c)
{
	struct http_stream *client = c->x->client;
	struct block *piece = http_stream_take_piece(client);

	if (piece) {
		size_t len = block_len(piece);

		c->x->body_in += len;
		if (!c->body)
			c->body = arena_text(&c->x->arena, ADMIN_BODY_MAX);
		if (!c->body)
			admin_call_problem(c, 503, "the gateway is out of resources");
		else if (len > ADMIN_BODY_MAX - c->body_len)
			admin_call_problem(c, 413, "the body has more than %zu bytes",
					   (size_t)ADMIN_BODY_MAX);
		else
			memcpy(c->body + c->body_len, block_begin(piece), len);
		c->body_len += c->status ? 0 : len;
		block_give(piece);
	}
	if (c->status || client->in_ended)
		return true;
	say_continue(c);
	client->ops->pull(client);
	return client->in_ended && !client->piece;
}

static void send_head(struct admin_call *c, struct block *piece, bool last)
{
	bool is_head = c->x->request.method == HTTP_METHOD_HEAD;
	struct http_field fields[3];
	struct http_head head = {
		.status = c->status,
		.reason = http_status_reason(c->status),
		.minor = 1,
		.framing = is_head ? HTTP_FRAMING_NONE : HTTP_FRAMING_LENGTH,
		.content_length = c->len,
		.has_content_length = true,
		.fields = {.at = fields, .cap = ARRAY_LEN(fields)},
	};

	http_fields_add(&head.fields, HTTP_FIELD_DATE, SPAN("Date"), answer_date(c->x));
	http_fields_add(&head.fields, HTTP_FIELD_CONTENT_TYPE, SPAN("Content-Type"),
			c->status == 200 ? SPAN("application/json")
					 : SPAN("application/problem+json"));
	if (c->allow)
		http_fields_add(&head.fields, http_field_id(SPAN("Allow")), SPAN("Allow"),
				span_str(c->allow));
	exchange_send_head(c->x, &head, piece, last, NULL);
}

static void send_piece(struct admin_call *c)
{
	struct exchange *x = c->x;
	struct block *piece = NULL;
	size_t len = min_u64(c->len - c->sent, BLOCK_DATA_BYTES);
	bool last;

	if (x->request.method == HTTP_METHOD_HEAD)
		c->sent = c->len;
	if (c->sent < c->len) {
		piece = block_take(&x->front->shard->blocks);
		if (!piece) {
			exchange_fail(x, 503, "the gateway is out of resources",
				      ACCESS_OUT_OF_MEMORY);
			return;
		}
		block_append(piece, c->text + c->sent, (uint32_t)len);
		c->sent += len;
	}
	last = c->sent == c->len;
	if (!x->answer_begun)
		send_head(c, piece, last);
	else
		x->client->ops->send(x->client, NULL, piece, last, NULL);
}

static void run(struct exchange *x)
{
	struct admin_call *c = x->source_data;

	if (x->client->sending || x->client->out_ended)
		return;
	if (!c->status) {
		if (!has_body(c))
			return;
		if (!c->status)
			c->on_request(c);
		if (!c->status) {
			must(c->waits);
			return;
		}
	}
	send_piece(c);
}

static void start(struct exchange *x UNUSED)
{
}

static void stop(struct exchange *x)
{
	struct admin_call *c = x->source_data;

	if (!c)
		return;
	if (c->waits)
		list_remove(&c->link);
	c->waits = false;
	free(c->text);
	c->text = NULL;
	x->source_data = NULL;
}

static const struct source source_call = {.start = start, .run = run, .stop = stop};

void admin_call_begin(struct exchange *x, void (*on_request)(struct admin_call *c))
{
	struct admin_call *c = arena_alloc(&x->arena, sizeof(*c));

	if (!c) {
		exchange_fail(x, 503, "the gateway is out of resources", ACCESS_OUT_OF_MEMORY);
		return;
	}
	*c = (struct admin_call){.x = x, .on_request = on_request};
	x->source_data = c;
	exchange_set_source(x, &source_call);
}

void admin_call_wait(struct admin_call *c, struct list *waiters)
{
	if (!c->waits)
		list_push_back(waiters, &c->link);
	c->waits = true;
}

void admin_calls_resume(struct list *waiters)
{
	struct list *link;

	while ((link = list_pop_front(waiters))) {
		struct admin_call *c = list_entry(link, struct admin_call, link);

		c->waits = false;
		exchange_news(c->x);
	}
}
