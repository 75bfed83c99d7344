#include "scrapes.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <ringway/base/clock.h>
#include <ringway/limit/limiter.h>
#include <ringway/proxy/answer.h>
#include <ringway/tls/library.h>

#include "exposition.h"
#include "imbalance.h"
#include "instance.h"

/* What a text of few series takes; the next one begins with the size of the last. */
#define EXPECTED_BYTES (64 * KIB)

struct scrapes {
	struct instance *in;
	unsigned now;
	uint64_t made, refused;
	uint64_t build_ns; /* of the last text */
	size_t expected;   /* bytes of the next one */
	struct process_figures process;
	struct imbalance imbalance;
	uint64_t *cpu_ns;  /* by shard, control's last */
	clockid_t *clocks; /* of the data shards' threads, which may end before control */
	struct timer every_second;
};

/* One in progress; in the exchange's arena. */
struct scrape {
	struct exchange *x;
	struct scrapes *all;
	struct exposition_text text;
	size_t sent;
	struct timer limit;
	bool too_long;
};

/* ---- CPU time ---- */

static uint64_t cpu_time_ns(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void read_cpu_times(struct scrapes *s)
{
	unsigned shards = s->in->shards_len;

	/* Of a thread that has ended there is none: it keeps what it had. */
	for (unsigned i = 0; i < shards; i++)
		s->cpu_ns[i] = max_u64(s->cpu_ns[i], cpu_time_ns(s->clocks[i]));
	s->cpu_ns[shards] = cpu_time_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void on_second(struct timer *t)
{
	struct scrapes *s = container_of(t, struct scrapes, every_second);
	struct shard *control = &s->in->control;

	read_cpu_times(s);
	imbalance_sample(&s->imbalance, s->cpu_ns);
	timer_set(&control->timers, t, control->now_ns + NS_PER_S);
}

int scrapes_create(struct instance *in, struct scrapes **ret_scrapes)
{
	struct scrapes *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->in = in;
	s->expected = EXPECTED_BYTES;
	s->cpu_ns = calloc(in->shards_len + 1, sizeof(*s->cpu_ns));
	s->clocks = calloc(in->shards_len, sizeof(*s->clocks));
	if (!s->cpu_ns || !s->clocks || imbalance_init(&s->imbalance, in->shards_len) != 0) {
		scrapes_destroy(s);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < in->shards_len; i++)
		must(pthread_getcpuclockid(in->shards[i].thread, &s->clocks[i]) == 0);
	timer_init(&s->every_second, on_second);
	timer_set(&in->control.timers, &s->every_second, in->control.now_ns + NS_PER_S);
	*ret_scrapes = s;
	return 0;
}

void scrapes_destroy(struct scrapes *s)
{
	if (!s)
		return;
	imbalance_fini(&s->imbalance);
	free(s->cpu_ns);
	free(s->clocks);
	free(s);
}

/* ---- the text ---- */

static uint32_t count_hot_keys(const struct limiter *l, uint64_t now_ns)
{
	struct limit_hot hot;
	uint32_t n = 0;

	for (unsigned i = 0; l && i < LIMITER_HOT_MAX; i++)
		n += limiter_hot(l, i, now_ns, &hot);
	return n;
}

static int write_text(struct scrapes *s, enum exposition_format format,
		      struct exposition_text *ret_text)
{
	struct instance *in = s->in;
	struct exposition_sources from = {
		.wolfssl = tls_library().version,
		.now_ns = clock_monotonic_ns(),
		.now_unix_us = clock_unix_us(),
		.cpu_ns = s->cpu_ns,
		.imbalance_milli = imbalance_milli(&s->imbalance),
		.scrapes = s->made,
		.scrapes_refused = s->refused,
		.build_ns = s->build_ns,
	};
	int err;

	read_cpu_times(s);
	process_figures_read(&s->process, from.now_ns, &s->process);
	from.process = s->process;
	from.hot_keys = count_hot_keys(in->limiter, from.now_ns);
	counters_refresh(in);
	metrics_view(in->metrics, &from.view);
	err = exposition_write(&from, format, s->expected, ret_text);
	if (err)
		return err;
	s->made++;
	s->build_ns = clock_monotonic_ns() - from.now_ns;
	s->expected = ret_text->len + ret_text->len / 8;
	return 0;
}

/* ---- the answer ---- */

static struct scrape *scrape_of(struct exchange *x)
{
	return x->source_data;
}

static void send_head(struct exchange *x, enum exposition_format format, uint64_t length,
		      struct block *piece, bool last)
{
	bool is_head = x->request.method == HTTP_METHOD_HEAD;
	struct http_field fields[3];
	struct http_head head = {
		.status = 200,
		.reason = http_status_reason(200),
		.minor = 1,
		.framing = is_head ? HTTP_FRAMING_NONE : HTTP_FRAMING_LENGTH,
		.content_length = length,
		/* A HEAD's answer may do without (RFC 9110 section 8.6): no text is made for it. */
		.has_content_length = !is_head,
		.fields = {.at = fields, .cap = ARRAY_LEN(fields)},
	};

	http_fields_add(&head.fields, HTTP_FIELD_DATE, SPAN("Date"), answer_date(x));
	http_fields_add(&head.fields, HTTP_FIELD_CONTENT_TYPE, SPAN("Content-Type"),
			format == EXPOSITION_OPENMETRICS
				? SPAN("application/openmetrics-text; version=1.0.0; charset=utf-8")
				: SPAN("text/plain; version=0.0.4; charset=utf-8"));
	http_fields_add(&head.fields, HTTP_FIELD_OTHER, SPAN("Vary"), SPAN("Accept"));
	exchange_send_head(x, &head, piece, last, NULL);
}

static struct block *next_piece(struct scrape *s)
{
	struct block *b = block_take(&s->x->front->shard->blocks);
	uint32_t len = (uint32_t)min_u64(s->text.len - s->sent, BLOCK_DATA_BYTES);

	if (!b)
		return NULL;
	block_append(b, s->text.at + s->sent, len);
	s->sent += len;
	return b;
}

static void run(struct exchange *x)
{
	struct scrape *s = scrape_of(x);
	struct block *piece;
	bool last;

	if (s->too_long) {
		exchange_fail(x, 503, "the scrape took too long", ACCESS_TOTAL_TIMEOUT);
		return;
	}
	if (x->client->sending || x->client->out_ended)
		return;
	piece = next_piece(s);
	if (!piece) {
		exchange_fail(x, 503, "there is no buffer for the metrics", ACCESS_OUT_OF_MEMORY);
		return;
	}
	last = s->sent == s->text.len;
	if (!x->answer_begun)
		send_head(x, s->text.format, s->text.len, piece, last);
	else
		x->client->ops->send(x->client, NULL, piece, last, NULL);
}

static void stop(struct exchange *x)
{
	struct scrape *s = scrape_of(x);

	timer_stop(&s->limit);
	exposition_text_fini(&s->text);
	s->all->now--;
}

static void nothing(struct exchange *x UNUSED)
{
}

static const struct source source_metrics = {.start = nothing, .run = run, .stop = stop};

static void on_limit(struct timer *t)
{
	struct scrape *s = container_of(t, struct scrape, limit);

	s->too_long = true;
	exchange_news(s->x);
}

static void refuse(struct exchange *x, const char *detail)
{
	struct http_field retry = {.name = SPAN("Retry-After"), .value = SPAN("1")};

	instance_of_control(x->front)->scrapes->refused++;
	answer_problem(x, 503, detail, &retry, 1);
}

void scrape_begin(struct exchange *x)
{
	struct scrapes *all = instance_of_control(x->front)->scrapes;
	enum exposition_format format = scrape_format(&x->request.fields);
	struct shard *shard = x->front->shard;
	struct scrape *s;

	if (x->request.method == HTTP_METHOD_HEAD) {
		x->step = EXCHANGE_SOURCE;
		send_head(x, format, 0, NULL, true);
		return;
	}
	if (all->now == SCRAPES_MAX) {
		refuse(x, "too many scrapes are in progress");
		return;
	}
	s = arena_alloc(&x->arena, sizeof(*s));
	if (!s || write_text(all, format, &s->text) != 0) {
		refuse(x, "there is no memory for the metrics");
		return;
	}
	all->now++;
	s->x = x;
	s->all = all;
	s->sent = 0;
	s->too_long = false;
	timer_init(&s->limit, on_limit);
	timer_set(&shard->timers, &s->limit, shard->now_ns + SCRAPE_NS);
	x->source_data = s;
	exchange_set_source(x, &source_metrics);
}
