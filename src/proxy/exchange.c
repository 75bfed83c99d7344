#include <ringway/proxy/exchange.h>

#include <string.h>

#include <ringway/proxy/answer.h>
#include "admission.h"
#include "slots.h"

static void exchange_run(struct runnable *r);
static void end(struct exchange *x, void (*let_go)(struct http_stream *client));
static void on_deadline(struct timer *t);
static void on_resume(struct policy_run *run);

size_t front_exchange_bytes(void)
{
	return EXCHANGE_SLOT_BYTES;
}

void exchange_news(void *exchange)
{
	struct exchange *x = exchange;

	shard_mark(x->front->shard, &x->runnable);
}

/* ---- slots ---- */

static struct exchange *take_exchange(struct front *f)
{
	struct exchange *x = f->free_exchange;

	_Static_assert(sizeof(*x) <= EXCHANGE_SLOT_BYTES / 3, "little room for the arena");
	if (x) {
		f->free_exchange = x->next_free;
	} else {
		must(f->exchanges_used_ever < exchange_slots(f));
		x = (struct exchange *)(f->exchanges + f->exchanges_used_ever++ * EXCHANGE_SLOT_BYTES);
	}
	memset(x, 0, sizeof(*x));
	arena_init(&x->arena, x + 1, EXCHANGE_SLOT_BYTES - sizeof(*x), &f->arena_source);
	counter_set(&f->metrics->block->requests_now, ++f->exchanges_open);
	return x;
}

static void give_exchange(struct exchange *x)
{
	struct front *f = x->front;
	struct snapshot *s = x->snapshot;

	runnable_stop(&x->runnable);
	timer_stop(&x->deadline);
	arena_reset(&x->arena);
	x->next_free = f->free_exchange;
	f->free_exchange = x;
	counter_set(&f->metrics->block->requests_now, --f->exchanges_open);
	front_end_use(f, s);
}

/* ---- deadlines ---- */

static void set_deadline(struct exchange *x)
{
	uint64_t due = x->total_due_ns;

	if (x->attempt_due_ns && (!due || x->attempt_due_ns < due))
		due = x->attempt_due_ns;
	timer_set(&x->front->shard->timers, &x->deadline, due);
}

void exchange_set_attempt_due(struct exchange *x, uint64_t due_ns)
{
	x->attempt_due_ns = due_ns;
	set_deadline(x);
}

static void on_deadline(struct timer *t)
{
	struct exchange *x = container_of(t, struct exchange, deadline);

	x->deadline_came = true;
	exchange_news(x);
}

/* ---- beginning ---- */

static bool is_valid_request_id(struct span id)
{
	if (!id.len || id.len > 128)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		char c = id.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr("._-+/=@:", c))))
			return false;
	}
	return true;
}

/* Some proxies write the client's port as well: 192.0.2.1:443, [2001:db8::1]:443. */
static bool read_forwarded(struct span text, struct address *ret_address)
{
	return address_from_ip(text, 0, ret_address) ||
	       (text.len && text.ptr[0] != ':' && address_from_text(text, ret_address) &&
		ret_address->sa.sa_family != AF_UNIX);
}

/* Behind trusted peers: the last address in X-Forwarded-For that is not one of theirs, since
 * whatever stands before it is only what that client says. With nothing but trusted ones
 * it is the first. */
static void set_counted_ip(struct exchange *x)
{
	const struct config *config = x->snapshot->config;
	const struct http_fields *fields = &x->request.fields;
	struct address last;
	bool found = false;

	if (!x->conn->is_trusted || !http_fields_have(fields, HTTP_FIELD_X_FORWARDED_FOR))
		return;
	for (uint32_t i = fields->len; i-- > 0;) {
		struct span list = fields->at[i].value;

		if (fields->at[i].id != HTTP_FIELD_X_FORWARDED_FOR)
			continue;
		while (list.len) {
			const char *comma = memrchr(list.ptr, ',', list.len);
			size_t before = comma ? (size_t)(comma - list.ptr) : 0;
			size_t skip = comma ? before + 1 : 0;
			struct span one = span_trim(span_of(list.ptr + skip, list.len - skip));
			struct address a;

			list.len = before;
			if (!one.len) /* says nothing (RFC 9110 section 5.6.1.2) */
				continue;
			/* Behind what is no address nobody can say whose the rest is. */
			if (!read_forwarded(one, &a))
				goto decided;
			last = a;
			found = true;
			if (!config_trusts(config, &a))
				goto decided;
		}
	}
decided:
	if (found && address_mapped_bytes(&last, x->forwarded_ip))
		x->attributes.counted_ip = x->forwarded_ip;
}

static void set_request_id(struct exchange *x)
{
	const struct http_field *f = NULL;

	if (x->conn->is_trusted)
		f = http_fields_find(&x->request.fields, HTTP_FIELD_X_REQUEST_ID);
	if (f && is_valid_request_id(f->value)) {
		x->attributes.request_id = f->value;
		return;
	}
	front_request_id(x->front, x->request_id);
	x->attributes.request_id = span_of(x->request_id, sizeof(x->request_id));
}

static struct exchange *begin(struct client *c)
{
	struct front *f = c->front;
	struct exchange *x = take_exchange(f);

	x->front = f;
	x->conn = c;
	x->client = &c->h1.stream;
	x->snapshot = front_use(f, f->snapshot);
	runnable_init(&x->runnable, exchange_run);
	timer_init(&x->deadline, on_deadline);
	policy_run_init(&x->policies, &f->policies, &x->attributes, &x->arena, on_resume);
	client_is_trusted(c);
	x->attributes.client = span_of(c->ip, c->ip_len);
	x->attributes.counted_ip = c->has_ip ? c->ip_bytes : NULL;
	x->attributes.tls = c->tls;
	x->began_ns = c->h1.head_began_ns;
	x->decided_ns = 0;
	x->record.head_us = (uint32_t)((f->shard->now_ns - x->began_ns) / NS_PER_US);
	x->client->owner = x;
	x->client->on_news = exchange_news;
	x->client->arena = &x->arena;
	f->stats.requests++;
	return x;
}

void exchange_begin_refused(struct client *client, uint16_t status, const char *detail,
			    enum access_cause cause)
{
	struct exchange *x = begin(client);

	set_request_id(x);
	x->step = EXCHANGE_SOURCE;
	exchange_fail(x, status, detail, cause);
	exchange_news(x);
}

void exchange_begin(struct client *client, const struct http_head *head)
{
	struct exchange *x = begin(client);

	x->step = EXCHANGE_BEGIN;
	if (!http_head_copy(head, &x->arena, 0, &x->request) ||
	    !h1_request_finish(&x->request, &x->arena)) {
		x->request = (struct http_head){.minor = 1};
		set_request_id(x);
		x->step = EXCHANGE_SOURCE;
		exchange_fail(x, 503, "the gateway is out of resources", ACCESS_OUT_OF_MEMORY);
	} else {
		x->attributes.request = &x->request;
		if (!x->request.scheme.len)
			x->request.scheme = client->tls ? SPAN("https") : SPAN("http");
		set_request_id(x);
		set_counted_ip(x);
	}
	exchange_news(x);
}

/* ---- policies ---- */

static void on_resume(struct policy_run *run)
{
	struct exchange *x = container_of(run, struct exchange, policies);

	x->step = EXCHANGE_POLICIES;
	exchange_news(x);
}

static const struct source *source_of(const struct config_service *service)
{
	switch (service->source) {
	case CONFIG_SOURCE_UPSTREAM: return &source_upstream;
	case CONFIG_SOURCE_RESPOND: return &source_respond;
	case CONFIG_SOURCE_REDIRECT: return &source_redirect;
	}
	return NULL;
}

static void refuse(struct exchange *x)
{
	const struct policy_answer *a = &x->policies.answer;
	const struct problem problem = {.status = a->status,
					.type = a->type,
					.title = a->title,
					.detail = a->detail,
					.members = a->members};

	x->record.cause = a->cause;
	answer_with_problem(x, &problem, NULL, 0);
}

static void step_policies(struct exchange *x)
{
	const struct policy_chain *chain = &x->route->chain;

	while (x->policy_at < chain->len) {
		const struct policy *p = &chain->policies[x->policy_at];

		switch (p->ops->on_request(p, &x->policies)) {
		case POLICY_NEXT:
			x->policies.waiting = false;
			x->policy_at++;
			break;
		case POLICY_WAIT:
			x->policies.waiting = true;
			x->step = EXCHANGE_WAITING;
			return;
		case POLICY_ANSWER:
			x->policies.waiting = false;
			refuse(x);
			return;
		}
	}
	exchange_set_source(x, source_of(x->service->config));
}

static void cancel_wait(struct exchange *x)
{
	const struct policy *p;

	if (!x->policies.waiting)
		return;
	p = &x->route->chain.policies[x->policy_at];
	p->ops->cancel(p, &x->policies);
	x->policies.waiting = false;
}

/* ---- the site of the data shards ---- */

static void begin_proxy(const struct site *site UNUSED, struct exchange *x)
{
	struct route_match match;
	struct http_field allow;

	if (!admission_check(x))
		return;
	switch (route_table_match(x->snapshot->routes, &x->request, &match)) {
	case ROUTE_NONE:
		exchange_fail(x, 404, "no route matches this host and path", ACCESS_NO_ROUTE);
		return;
	case ROUTE_WRONG_METHOD:
		allow = (struct http_field){.name = SPAN("Allow"), .value = match.allow};
		answer_problem(x, 405, "no route for this path takes the method", &allow, 1);
		x->record.cause = ACCESS_METHOD_NOT_ALLOWED;
		return;
	case ROUTE_FOUND: break;
	}
	x->service = &x->snapshot->services[match.service];
	x->route = &x->service->routes[match.route];
	x->attributes.service = x->service->id;
	x->attributes.route = x->route->name;
	if (x->route->config->timeouts.total_ns)
		x->total_due_ns = x->began_ns + x->route->config->timeouts.total_ns;
	set_deadline(x);
	if (x->request.framing == HTTP_FRAMING_LENGTH &&
	    x->request.content_length > x->route->config->max_body_bytes) {
		exchange_fail(x, 413, "the request body is larger than this route allows",
			      ACCESS_BODY_TOO_LARGE);
		return;
	}
	x->step = EXCHANGE_POLICIES;
	step_policies(x);
}

const struct site front_proxy_site = {.begin = begin_proxy, .is_public = true};

/* ---- sources and answers ---- */

void exchange_set_source(struct exchange *x, const struct source *source)
{
	x->decided_ns = x->front->shard->now_ns;
	x->step = EXCHANGE_SOURCE;
	x->source = source;
	source->start(x);
}

static void stop_source(struct exchange *x)
{
	const struct source *source = x->source;

	cancel_wait(x);
	x->source = NULL;
	x->attempt_due_ns = 0;
	if (source && source->stop)
		source->stop(x);
}

void exchange_send_head(struct exchange *x, struct http_head *head, struct block *piece, bool last,
			const struct http_fields *trailers)
{
	policy_run_put_fields(&x->policies, &head->fields);
	x->answer_begun = true;
	x->record.status = head->status;
	x->client->ops->send(x->client, head, piece, last, trailers);
}

void exchange_fail(struct exchange *x, uint16_t status, const char *detail,
		   enum access_cause cause)
{
	if (x->step == EXCHANGE_END)
		return;
	stop_source(x);
	if (!x->record.cause)
		x->record.cause = cause;
	if (x->answer_begun) {
		end(x, x->client->ops->abort);
		return;
	}
	answer_problem(x, status, detail, NULL, 0);
}

/* ---- running ---- */

/* The client's side has a fault: whether anything can still be said to it. */
static void step_client_fault(struct exchange *x)
{
	enum access_cause cause = x->client->fault;

	if (x->answer_begun && x->client->out_ended && !x->client->sending) {
		/* It has everything; only the rest of its own message is missing. */
		stop_source(x);
		end(x, x->client->ops->release);
	} else if (!x->answer_begun && cause == ACCESS_CLIENT_TIMEOUT) {
		exchange_fail(x, 408, "the request body took too long", cause);
	} else if (!x->answer_begun && cause == ACCESS_CLIENT_BAD_REQUEST) {
		exchange_fail(x, 400, "the request body is malformed", cause);
	} else if (!x->answer_begun || !x->client->out_ended || cause == ACCESS_CLIENT_CLOSED) {
		stop_source(x);
		x->record.cause = cause;
		end(x, x->client->ops->abort);
	}
	/* Else: a fixed answer is on its way; its end decides. */
}

static void step_deadline(struct exchange *x)
{
	bool total = x->total_due_ns && x->front->shard->now_ns >= x->total_due_ns;

	x->deadline_came = false;
	if (x->answer_begun && x->client->out_ended && !x->source) {
		/* Our answer is whole and on its way: the write timer watches it. */
		return;
	}
	x->total_due_ns = total ? 0 : x->total_due_ns;
	exchange_fail(x, 504,
		      total ? "the request took longer than its total time"
			    : "the attempt took longer than its time",
		      total ? ACCESS_TOTAL_TIMEOUT : ACCESS_ATTEMPT_TIMEOUT);
	if (x->step != EXCHANGE_END)
		set_deadline(x);
}

/* The slot first: releasing the stream begins the request that waits behind this one, if
 * there is one, and its exchange may be the last that fits. */
static void part(struct exchange *x)
{
	struct http_stream *client = x->client;
	void (*let_go)(struct http_stream *client) = x->let_go;

	give_exchange(x);
	let_go(client);
}

static void exchange_run(struct runnable *r)
{
	struct exchange *x = container_of(r, struct exchange, runnable);

	if (x->deadline_came)
		step_deadline(x);
	if (x->step != EXCHANGE_END && x->client->fault)
		step_client_fault(x);
	switch (x->step) {
	case EXCHANGE_BEGIN: x->conn->site->begin(x->conn->site, x); break;
	case EXCHANGE_POLICIES: step_policies(x); break;
	case EXCHANGE_SOURCE:
	case EXCHANGE_WAITING:
	case EXCHANGE_END: break;
	}
	/* Behind a start at once: what has come meanwhile (a connection that is open already,
	 * a body with its head) is news, too. */
	if (x->step == EXCHANGE_SOURCE && x->source)
		x->source->run(x);
	if (x->step != EXCHANGE_END && x->answer_begun && x->client->out_ended &&
	    !x->client->sending) {
		stop_source(x);
		end(x, x->client->ops->release);
	}
	if (x->step == EXCHANGE_END)
		part(x);
}

/* ---- the end ---- */

static const uint8_t method_classes[] = {
	[HTTP_METHOD_OTHER] = METRICS_OTHER_METHOD,
	[HTTP_METHOD_GET] = METRICS_READ,
	[HTTP_METHOD_HEAD] = METRICS_READ,
	[HTTP_METHOD_POST] = METRICS_WRITE,
	[HTTP_METHOD_PUT] = METRICS_WRITE,
	[HTTP_METHOD_DELETE] = METRICS_WRITE,
	[HTTP_METHOD_PATCH] = METRICS_WRITE,
	[HTTP_METHOD_OPTIONS] = METRICS_READ,
	[HTTP_METHOD_TRACE] = METRICS_OTHER_METHOD,
	[HTTP_METHOD_CONNECT] = METRICS_OTHER_METHOD,
};

/* Once for each, whether or not it is logged. */
static void count_request(struct exchange *x)
{
	struct access_record *r = &x->record;
	struct h1_server *h1 = &x->conn->h1;

	r->bytes_in = h1->conn.bytes_in - h1->bytes_in_before;
	if (h1->conn.rx)
		r->bytes_in -= block_len(h1->conn.rx);
	r->bytes_out = h1->conn.bytes_out - h1->bytes_out_before;
	metrics_count_request(x->front->metrics, x->route ? x->route->metric : METRICS_NO_ROUTE,
			      method_classes[x->request.method], r,
			      (x->front->shard->now_ns - x->began_ns) / NS_PER_US,
			      x->attempt.answered);
}

static void log_request(struct exchange *x)
{
	const struct config_logging *logging = &x->snapshot->config->monitoring.logging;
	struct metrics_block *b = x->front->metrics->block;
	uint64_t now = x->front->shard->now_ns;
	struct access_record *r = &x->record;

	if (!x->front->shared->access_log || !logging->access)
		return;
	r->started_unix_us = shard_unix_us(x->front->shard) - (now - x->began_ns) / NS_PER_US;
	r->request_id = x->attributes.request_id;
	r->client = x->attributes.client;
	r->tls = x->conn->tls;
	r->method = x->request.method_text;
	r->host = x->request.host;
	r->path = x->request.target;
	r->route = x->attributes.route;
	r->service = x->attributes.service;
	r->limit = x->policies.limit;
	r->shard = x->front->shard->index;
	r->http_minor = x->request.minor;
	if (x->decided_ns)
		r->policy_us = (uint32_t)((x->decided_ns - x->began_ns) / NS_PER_US) - r->head_us;
	r->total_us = (uint32_t)((now - x->began_ns) / NS_PER_US);
	if (logging->fields_len) {
		struct access_extra *extras =
			arena_alloc(&x->arena, logging->fields_len * sizeof(*extras));

		for (size_t i = 0; extras && i < logging->fields_len; i++) {
			extras[i].name = span_str(logging->fields[i].name);
			extras[i].value = attribute_expand(&x->attributes, &logging->fields[i].value,
							   &x->arena);
		}
		r->extras = extras;
		r->extras_len = extras ? logging->fields_len : 0;
	}
	counter_add(&b->log_records, 1);
	if (!access_log_put(x->front->shared->access_log, r->shard, r))
		counter_add(&b->log_dropped, 1);
}

/* Everything here is called from exchange_run(), which goes on with part(). */
static void end(struct exchange *x, void (*let_go)(struct http_stream *client))
{
	x->step = EXCHANGE_END;
	x->let_go = let_go;
	if (x->route)
		policy_run_finish(&x->policies, &x->route->chain, x->policy_at);
	if (!x->conn->site->is_public)
		return;
	count_request(x);
	log_request(x);
}
