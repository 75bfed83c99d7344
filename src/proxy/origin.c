#include <ringway/proxy/origin.h>

#include <ringway/proxy/answer.h>
#include "forward.h"

/* A terabyte at 100 Gbit/s takes a minute and a half: more is a slip of the keyboard. */
#define BYTES_MAX ((uint64_t)1 << 40)
/* A day: for drips and delays that outlast any timeout under test. */
#define WAIT_MAX_MS ((uint64_t)24 * 3600 * 1000)

/* One answer in the making; in the exchange's arena. */
struct origin {
	struct exchange *x;
	struct timer timer;
	uint64_t due_ns;   /* nothing (more) is sent before; 0: at once */
	uint64_t every_ns; /* between two pieces */
	uint64_t length;   /* of a body of our own */
	uint64_t sent;
	uint32_t step; /* bytes of one piece */
	bool chunked;
	bool continued;  /* 100 (Continue) was sent */
	uint16_t status; /* of a text or a problem */
	struct span text;
	const char *problem; /* instead of the text */
	struct block *held;  /* start of an echo */
};

static struct origin *origin_of(struct exchange *x)
{
	return x->source_data;
}

static void on_due(struct timer *t)
{
	exchange_news(container_of(t, struct origin, timer)->x);
}

static void wait_until(struct origin *o, uint64_t due_ns)
{
	o->due_ns = due_ns;
	timer_set(&o->x->front->shard->timers, &o->timer, due_ns);
}

static void nothing(struct exchange *x UNUSED)
{
}

static void origin_stop(struct exchange *x)
{
	struct origin *o = origin_of(x);

	timer_stop(&o->timer);
	if (o->held)
		block_give(o->held);
	o->held = NULL;
}

static void out_of_blocks(struct exchange *x)
{
	exchange_fail(x, 503, "the origin is out of memory", ACCESS_OUT_OF_MEMORY);
}

/* ---- the request's body ---- */

static void ask_for_body(struct exchange *x)
{
	struct origin *o = origin_of(x);

	/* RFC 9110 section 10.1.1: not to HTTP/1.0, and not when the body has begun anyway. */
	if (x->request.expects_continue && x->request.minor && !o->continued && !x->body_in) {
		struct http_head head = {.status = 100,
					 .reason = http_status_reason(100),
					 .minor = 1,
					 .keep_alive = true,
					 .framing = HTTP_FRAMING_NONE};

		o->continued = true;
		x->client->ops->send(x->client, &head, NULL, false, NULL);
	}
	x->client->ops->pull(x->client);
}

static struct block *take_piece(struct exchange *x)
{
	struct block *piece = http_stream_take_piece(x->client);

	if (piece)
		x->body_in += block_len(piece);
	return piece;
}

/* Drops what the request brings; true at its end. */
static bool has_read_request(struct exchange *x)
{
	struct block *piece = take_piece(x);

	if (piece)
		block_give(piece);
	if (!x->client->in_ended)
		ask_for_body(x);
	return x->client->in_ended;
}

/* ---- heads ---- */

/* With a body of that length, or one whose length is not told. */
static void send_head(struct exchange *x, struct span type, uint64_t length, bool chunked,
		      struct block *piece, bool last, const struct http_fields *trailers)
{
	bool is_head = x->request.method == HTTP_METHOD_HEAD;
	struct http_field fields[2];
	struct http_head head = {
		.status = 200,
		.reason = http_status_reason(200),
		.minor = 1,
		.framing = is_head   ? HTTP_FRAMING_NONE
			   : chunked ? HTTP_FRAMING_CHUNKED
				     : HTTP_FRAMING_LENGTH,
		.content_length = length,
		.has_content_length = !chunked,
		.fields = {.at = fields, .cap = ARRAY_LEN(fields)},
	};

	http_fields_add(&head.fields, HTTP_FIELD_DATE, SPAN("Date"), answer_date(x));
	http_fields_add(&head.fields, HTTP_FIELD_CONTENT_TYPE, SPAN("Content-Type"), type);
	exchange_send_head(x, &head, piece, last, trailers);
}

/* ---- bytes and drips ---- */

/* Letters, in a period that is prime: bytes that are lost or exchanged leave a trace at any
 * block size. */
#define PERIOD 251

static void fill(char *out, uint32_t len, uint64_t at)
{
	uint32_t done = (uint32_t)min_u64(len, PERIOD);

	for (uint32_t i = 0; i < done; i++)
		out[i] = (char)('a' + (at + i) % PERIOD % 26);
	/* What is there holds whole periods, so it goes on with its own start. */
	for (; done < len; done += (uint32_t)min_u64(done, len - done))
		memcpy(out + done, out, min_u64(done, len - done));
}

static struct block *next_bytes(struct origin *o)
{
	struct block *b = block_take(&o->x->front->shard->blocks);
	uint32_t len = (uint32_t)min_u64(o->length - o->sent, o->step);

	if (!b)
		return NULL;
	fill(block_begin(b), len, o->sent);
	b->end += len;
	o->sent += len;
	return b;
}

static void bytes_run(struct exchange *x)
{
	uint64_t now = x->front->shard->now_ns;
	struct origin *o = origin_of(x);
	struct block *piece = NULL;

	if (x->client->sending || x->client->out_ended)
		return;
	if (!x->answer_begun) {
		if (!has_read_request(x))
			return;
		if (o->every_ns)
			wait_until(o, now + o->every_ns);
		if (x->request.method == HTTP_METHOD_HEAD)
			o->sent = o->length;
	}
	if (o->sent < o->length && now >= o->due_ns) {
		piece = next_bytes(o);
		if (!piece) {
			out_of_blocks(x);
			return;
		}
		if (o->every_ns)
			wait_until(o, o->due_ns + o->every_ns);
	}
	if (!x->answer_begun)
		send_head(x, SPAN("application/octet-stream"), o->length, o->chunked, piece,
			  o->sent == o->length, NULL);
	else if (piece)
		x->client->ops->send(x->client, NULL, piece, o->sent == o->length, NULL);
}

static const struct source source_bytes = {nothing, bytes_run, origin_stop};

/* ---- echo ---- */

/* Collects the start of the body: false while more may come that fits the block. */
static bool has_start_of_echo(struct exchange *x)
{
	struct origin *o = origin_of(x);

	if (!o->held) {
		o->held = take_piece(x);
	} else if (x->client->piece && block_len(x->client->piece) <= block_room(o->held)) {
		struct block *piece = take_piece(x);

		block_append(o->held, block_begin(piece), block_len(piece));
		block_give(piece);
	}
	if (x->client->in_ended || x->client->piece)
		return true;
	ask_for_body(x);
	return false;
}

static void echo_run(struct exchange *x)
{
	const struct http_field *type =
		http_fields_find(&x->request.fields, HTTP_FIELD_CONTENT_TYPE);
	bool chunked = x->request.framing == HTTP_FRAMING_CHUNKED;
	struct origin *o = origin_of(x);
	struct block *piece;
	bool last;

	if (x->client->sending || x->client->out_ended)
		return;
	if (!x->answer_begun && !has_start_of_echo(x))
		return;
	piece = o->held;
	o->held = NULL;
	if (!piece)
		piece = take_piece(x);
	last = x->client->in_ended && !x->client->piece;
	if (last)
		forward_trailers(&x->client->trailers);
	if (!x->answer_begun)
		send_head(x, type ? type->value : SPAN("application/octet-stream"),
			  x->request.content_length, chunked, piece, last, &x->client->trailers);
	else if (piece || last)
		x->client->ops->send(x->client, NULL, piece, last, &x->client->trailers);
	if (!last)
		ask_for_body(x);
}

static const struct source source_echo = {nothing, echo_run, origin_stop};

/* ---- texts ---- */

static void text_run(struct exchange *x)
{
	static const struct http_field type = {.name = SPAN("Content-Type"),
					       .value = SPAN("text/plain")};
	struct origin *o = origin_of(x);

	if (x->answer_begun || x->client->sending || !has_read_request(x) ||
	    x->front->shard->now_ns < o->due_ns)
		return;
	if (o->problem)
		exchange_fail(x, o->status, o->problem, ACCESS_OK);
	else
		exchange_answer(x, o->status, &type, o->text.len ? 1 : 0, o->text);
}

static const struct source source_text = {nothing, text_run, origin_stop};

static char *put(char *at, struct span s)
{
	memcpy(at, s.ptr, s.len);
	return at + s.len;
}

/* The start line and the fields, as they would stand in HTTP/1.1; ptr NULL: no memory. */
static struct span describe(struct exchange *x)
{
	const struct http_head *r = &x->request;
	size_t room = r->method_text.len + r->target.len + sizeof(" \n");
	char *text, *at;

	for (uint32_t i = 0; i < r->fields.len; i++)
		room += r->fields.at[i].name.len + r->fields.at[i].value.len + sizeof(": \n");
	text = room <= BLOCK_DATA_BYTES ? arena_text(&x->arena, room) : NULL;
	if (!text)
		return SPAN_NONE;
	at = put(text, r->method_text);
	at = put(at, SPAN(" "));
	at = put(at, r->target);
	at = put(at, SPAN("\n"));
	for (uint32_t i = 0; i < r->fields.len; i++) {
		at = put(at, r->fields.at[i].name);
		at = put(at, SPAN(": "));
		at = put(at, r->fields.at[i].value);
		at = put(at, SPAN("\n"));
	}
	return span_of(text, (size_t)(at - text));
}

/* ---- an end without an answer ---- */

static void close_start(struct exchange *x)
{
	x->client->fault = ACCESS_CLIENT_CLOSED;
	exchange_news(x);
}

static const struct source source_close = {close_start, nothing, NULL};

/* ---- paths ---- */

static const struct source *refuse(struct origin *o, uint16_t status, const char *detail)
{
	timer_stop(&o->timer);
	o->due_ns = 0;
	o->status = status;
	o->problem = detail;
	return &source_text;
}

static const struct source *begin_echo(struct origin *o, const uint64_t *numbers UNUSED)
{
	const struct http_head *r = &o->x->request;

	if (r->framing != HTTP_FRAMING_NONE && r->method != HTTP_METHOD_HEAD)
		return &source_echo;
	o->text = describe(o->x);
	return o->text.ptr ? &source_text : refuse(o, 503, "the origin is out of memory");
}

static bool asks_for_chunks(struct span query)
{
	while (query.len) {
		const char *end = memchr(query.ptr, '&', query.len);
		size_t len = end ? (size_t)(end - query.ptr) : query.len;

		if (span_eq(span_of(query.ptr, len), SPAN("chunked=1")))
			return true;
		len += end ? 1 : 0;
		query = span_of(query.ptr + len, query.len - len);
	}
	return false;
}

static const struct source *begin_bytes(struct origin *o, const uint64_t *numbers)
{
	if (numbers[0] > BYTES_MAX)
		return NULL;
	o->length = numbers[0];
	o->step = BLOCK_DATA_BYTES;
	o->chunked = asks_for_chunks(o->x->request.query);
	return &source_bytes;
}

static const struct source *begin_drip(struct origin *o, const uint64_t *numbers)
{
	if (numbers[0] > BYTES_MAX || numbers[1] > WAIT_MAX_MS)
		return NULL;
	o->length = numbers[0];
	o->step = 1;
	o->every_ns = numbers[1] * NS_PER_MS;
	return &source_bytes;
}

static const struct source *begin_delay(struct origin *o, const uint64_t *numbers)
{
	if (numbers[0] > WAIT_MAX_MS)
		return NULL;
	wait_until(o, o->x->front->shard->now_ns + numbers[0] * NS_PER_MS);
	o->text = SPAN("waited\n");
	return &source_text;
}

static const struct source *begin_status(struct origin *o, const uint64_t *numbers)
{
	if (numbers[0] < 200 || numbers[0] > 599)
		return NULL;
	o->status = (uint16_t)numbers[0];
	/* These have no content (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5). */
	if (o->status != 204 && o->status != 205 && o->status != 304)
		o->text = arena_printf(&o->x->arena, "%u %.*s\n", o->status,
				       SPAN_FMT(http_status_reason(o->status)));
	return &source_text;
}

static const struct source *begin_close(struct origin *o UNUSED, const uint64_t *numbers UNUSED)
{
	return &source_close;
}

static const struct source *begin_help(struct origin *o, const uint64_t *numbers UNUSED)
{
	o->text = SPAN(ORIGIN_PATHS);
	return &source_text;
}

#define NUMBERS_MAX 2

static const struct page {
	const char *name;
	unsigned numbers;
	bool takes_rest; /* whatever stands behind it */
	/* NULL: a number that is out of range. */
	const struct source *(*begin)(struct origin *o, const uint64_t *numbers);
} pages[] = {
	{"bytes", 1, false, begin_bytes},   {"echo", 0, true, begin_echo},
	{"delay", 1, false, begin_delay},   {"drip", 2, false, begin_drip},
	{"status", 1, false, begin_status}, {"close", 0, false, begin_close},
	{"", 0, false, begin_help},
};

/* The next segment of a path; false when there is none. */
static bool next_segment(struct span *path, struct span *ret_segment)
{
	const char *end;
	size_t len;

	if (!path->len)
		return false;
	end = memchr(path->ptr + 1, '/', path->len - 1);
	len = end ? (size_t)(end - path->ptr) : path->len;
	*ret_segment = span_of(path->ptr + 1, len - 1);
	*path = span_of(path->ptr + len, path->len - len);
	return true;
}

static bool read_numbers(const struct page *page, struct span rest, uint64_t *numbers)
{
	struct span segment;

	for (unsigned i = 0; i < page->numbers; i++)
		if (!next_segment(&rest, &segment) || !span_to_u64(segment, &numbers[i]))
			return false;
	return page->takes_rest || !rest.len;
}

static const struct page *find_page(struct span name)
{
	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		if (span_eq(name, span_str(pages[i].name)))
			return &pages[i];
	return NULL;
}

static const struct source *choose(struct origin *o)
{
	const struct source *source = NULL;
	struct span rest = o->x->request.path;
	uint64_t numbers[NUMBERS_MAX];
	const struct page *page;
	struct span name;

	/* OPTIONS asks with "*" for the server as a whole (RFC 9110 section 9.3.7). */
	if (span_eq(rest, SPAN("*")))
		return begin_help(o, numbers);
	page = next_segment(&rest, &name) ? find_page(name) : NULL;
	if (page && read_numbers(page, rest, numbers))
		source = page->begin(o, numbers);
	if (source)
		return source;
	if (page && page->numbers)
		return refuse(o, 400,
			      "a number in the path is missing or out of range; "
			      "/ lists what there is");
	return refuse(o, 404, "the origin has no such path; / lists what there is");
}

static void begin_origin(const struct site *site UNUSED, struct exchange *x)
{
	struct origin *o = arena_alloc(&x->arena, sizeof(*o));

	if (!o) {
		out_of_blocks(x);
		return;
	}
	memset(o, 0, sizeof(*o));
	o->x = x;
	o->status = 200;
	timer_init(&o->timer, on_due);
	x->source_data = o;
	exchange_set_source(x, choose(o));
}

const struct site origin_site = {.begin = begin_origin, .is_public = true};
