#include <ringway/proxy/answer.h>

#include <string.h>
#include <time.h>

/* Fields that are added to those that exchange_answer() is given: Date, and the policies'. */
#define OWN_FIELDS (1 + POLICY_FIELDS_MAX)

static void put(struct http_fields *fields, struct span name, struct span value)
{
	http_fields_add(fields, http_field_id(name), name, value);
}

struct span answer_date(const struct exchange *x)
{
	/* The same for every answer of a second; a shard is a thread. */
	static _Thread_local char text[32];
	static _Thread_local size_t len;
	static _Thread_local time_t second = -1;
	time_t now = (time_t)(shard_unix_us(x->front->shard) / 1000000);
	struct tm tm;

	if (now != second && gmtime_r(&now, &tm)) {
		len = strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		second = now;
	}
	return span_of(text, len);
}

/* No memory even for an error: the client learns it from the end of the connection. */
static void cut(struct exchange *x)
{
	x->record.cause = ACCESS_OUT_OF_MEMORY;
	x->client->fault = ACCESS_OUT_OF_MEMORY;
	exchange_news(x);
}

void exchange_answer(struct exchange *x, uint16_t status, const struct http_field *fields,
		     uint32_t fields_len, struct span body)
{
	bool bodiless = status == 204 || status == 304 || x->request.method == HTTP_METHOD_HEAD;
	struct http_head head = {
		.status = status,
		.reason = http_status_reason(status),
		.minor = 1,
		.framing = bodiless ? HTTP_FRAMING_NONE : HTTP_FRAMING_LENGTH,
		.content_length = body.len,
		.has_content_length = status != 204,
	};
	struct block *piece = NULL;

	head.fields.cap = fields_len + OWN_FIELDS;
	head.fields.at = arena_alloc(&x->arena, head.fields.cap * sizeof(*head.fields.at));
	if (!head.fields.at) {
		cut(x);
		return;
	}
	put(&head.fields, SPAN("Date"), answer_date(x));
	for (uint32_t i = 0; i < fields_len; i++)
		put(&head.fields, fields[i].name, fields[i].value);
	if (!bodiless && body.len) {
		must(body.len <= BLOCK_DATA_BYTES);
		piece = block_take(&x->front->shard->blocks);
		if (!piece) {
			cut(x);
			return;
		}
		block_append(piece, body.ptr, (uint32_t)body.len);
	}
	exchange_send_head(x, &head, piece, true, NULL);
}

void answer_with_problem(struct exchange *x, const struct problem *problem,
			 const struct http_field *fields, uint32_t fields_len)
{
	struct http_field all[4];
	struct span title = problem->title ? span_str(problem->title)
					   : http_status_reason(problem->status);
	struct span body = arena_printf(
		&x->arena,
		"{\"type\":\"%s\",\"title\":\"%.*s\",\"status\":%u,\"detail\":\"%s\","
		"%.*s%s\"request_id\":\"%.*s\"}\n",
		problem->type ? problem->type : "about:blank", SPAN_FMT(title), problem->status,
		problem->detail, SPAN_FMT(problem->members), problem->members.len ? "," : "",
		SPAN_FMT(x->attributes.request_id));
	uint32_t len = 0;

	must(fields_len <= 2);
	if (!body.ptr) {
		cut(x);
		return;
	}
	x->step = EXCHANGE_SOURCE;
	all[len++] = (struct http_field){.name = SPAN("Content-Type"),
					 .value = SPAN("application/problem+json")};
	all[len++] = (struct http_field){.name = SPAN("X-Request-Id"),
					 .value = x->attributes.request_id};
	for (uint32_t i = 0; i < fields_len; i++)
		all[len++] = fields[i];
	exchange_answer(x, problem->status, all, len, body);
}

void answer_problem(struct exchange *x, uint16_t status, const char *detail,
		    const struct http_field *fields, uint32_t fields_len)
{
	const struct problem problem = {.status = status, .detail = detail};

	answer_with_problem(x, &problem, fields, fields_len);
}

/* ---- services without upstream ---- */

static void respond_start(struct exchange *x)
{
	const struct config_respond *respond = &x->service->config->respond;
	struct http_field *fields =
		arena_alloc(&x->arena, (respond->headers_len + 1) * sizeof(*fields));

	if (!fields) {
		cut(x);
		return;
	}
	for (size_t i = 0; i < respond->headers_len; i++)
		fields[i] = (struct http_field){.name = span_str(respond->headers[i].name),
						.value = span_str(respond->headers[i].value)};
	exchange_answer(x, respond->status, fields, (uint32_t)respond->headers_len, respond->body);
}

static void redirect_start(struct exchange *x)
{
	const struct config_redirect *redirect = &x->service->config->redirect;
	struct http_field location = {.name = SPAN("Location")};

	location.value = attribute_expand(&x->attributes, &redirect->to, &x->arena);
	if (!location.value.ptr) {
		cut(x);
		return;
	}
	exchange_answer(x, redirect->status, &location, 1, SPAN(""));
}

static void nothing(struct exchange *x UNUSED)
{
}

const struct source source_respond = {.start = respond_start, .run = nothing};
const struct source source_redirect = {.start = redirect_start, .run = nothing};
