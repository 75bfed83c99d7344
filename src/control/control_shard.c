/* The control shard: the same loop and the same HTTP on a thread that is no data core.
 * Serves the admin socket, /health, /ready and /metrics, and leads reload, drain and end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ringway/base/clock.h>
#include <ringway/limit/limiter.h>
#include <ringway/observe/event.h>
#include <ringway/shard/uring.h>

#include <ringway/proxy/answer.h>
#include "instance.h"
#include "live_limits.h"
#include "scrapes.h"

/* Admin and monitoring are for few: this is what they can hold at a time. */
#define CONTROL_CLIENTS 256
/* What whoever reaches the monitoring port leaves to the admin socket; and what is left
 * while the place of an idle connection is being given up. */
#define ADMIN_CLIENTS 64
#define CLIENT_SLACK  16
#define LETTERS_NS (5 * NS_PER_MS)
/* Reading two clocks one after the other is off by a little each time: what is less is no
 * change, so that the edges of calendar windows do not tremble. */
#define WALL_CHANGE_NS (1 * NS_PER_MS)

/* ---- sites ---- */

static void answer_text(struct exchange *x, uint16_t status, struct span text)
{
	struct http_field type = {.name = SPAN("Content-Type"), .value = SPAN("text/plain")};

	x->step = EXCHANGE_SOURCE;
	exchange_answer(x, status, &type, 1, text);
}

static bool is_reading(const struct exchange *x)
{
	return x->request.method == HTTP_METHOD_GET || x->request.method == HTTP_METHOD_HEAD;
}

static void wrong_method(struct exchange *x, const char *allowed)
{
	struct http_field allow = {.name = SPAN("Allow"), .value = span_str(allowed)};

	answer_problem(x, 405, "this path does not take the method", &allow, 1);
}

static void answer_health(struct exchange *x)
{
	answer_text(x, 200, SPAN("ok\n"));
}

static void answer_ready(struct exchange *x)
{
	struct instance *in = instance_of_control(x->front);

	if (in->ready)
		answer_text(x, 200, SPAN("ready\n"));
	else
		answer_text(x, 503, in->draining ? SPAN("draining\n") : SPAN("starting\n"));
}

static const struct {
	struct span path;
	void (*answer)(struct exchange *x);
} monitoring[] = {
	{SPAN("/metrics"), scrape_begin},
	{SPAN("/health"), answer_health},
	{SPAN("/ready"), answer_ready},
};

static void begin_monitoring(const struct site *site UNUSED, struct exchange *x)
{
	for (size_t i = 0; i < ARRAY_LEN(monitoring); i++) {
		if (!span_eq(x->request.path, monitoring[i].path))
			continue;
		if (is_reading(x))
			monitoring[i].answer(x);
		else
			wrong_method(x, "GET, HEAD");
		return;
	}
	answer_problem(x, 404, "there are /metrics, /health and /ready", NULL, 0);
}

static void nothing(struct exchange *x UNUSED)
{
}

static void stop_status(struct exchange *x)
{
	status_forget(instance_of_control(x->front), x);
}

static void stop_reload(struct exchange *x)
{
	reload_forget(instance_of_control(x->front), x);
}

static void start_status(struct exchange *x)
{
	status_begin(instance_of_control(x->front), x);
}

static void start_reload(struct exchange *x)
{
	if (!reload_begin(instance_of_control(x->front), x))
		answer_problem(x, 409, "a reload is in progress", NULL, 0);
}

static const struct source source_status = {
	.start = start_status, .run = nothing, .stop = stop_status};
static const struct source source_reload = {
	.start = start_reload, .run = nothing, .stop = stop_reload};

static void begin_admin(const struct site *site UNUSED, struct exchange *x)
{
	if (span_eq(x->request.path, SPAN("/status"))) {
		if (is_reading(x))
			exchange_set_source(x, &source_status);
		else
			wrong_method(x, "GET, HEAD");
	} else if (span_eq(x->request.path, SPAN("/reload"))) {
		if (x->request.method == HTTP_METHOD_POST)
			exchange_set_source(x, &source_reload);
		else
			wrong_method(x, "POST");
	} else if (limits_has_path(x->request.path)) {
		limits_begin(x);
	} else {
		answer_problem(x, 404, "there are /status, /reload and /limits", NULL, 0);
	}
}

const struct site control_monitoring_site = {.begin = begin_monitoring,
					     .leaves_free = ADMIN_CLIENTS};
const struct site control_admin_site = {.begin = begin_admin, .leaves_free = CLIENT_SLACK};

/* ---- drain and end ---- */

static void stop_all(struct instance *in)
{
	for (unsigned i = 0; i < in->shards_len; i++)
		data_shard_post_stop(&in->shards[i]);
	in->done = true;
	sem_post(&in->ended);
	if (in->letters_timer.due_ns == 0)
		shard_stop(&in->control);
}

static void on_drain_limit(struct timer *t)
{
	struct instance *in = container_of(t, struct instance, drain_timer);

	event_warn("the drain limit has come: closing what is still open");
	for (unsigned i = 0; i < in->shards_len; i++)
		data_shard_post_close_all(&in->shards[i]);
}

static void begin_drain(struct instance *in)
{
	uint64_t limit_ns = in->snapshot->config->runtime.drain_ns;

	if (in->draining)
		return;
	/* Whoever asks learns it before the first connection is refused. */
	in->ready = false;
	in->draining = true;
	event_info("draining: no new connections, what is in flight is answered");
	for (unsigned i = 0; i < in->shards_len; i++)
		data_shard_post_drain(&in->shards[i]);
	timer_set(&in->control.timers, &in->drain_timer, in->control.now_ns + limit_ns + 1);
}

void control_on_drain_signal(void *to, const struct mail *mail UNUSED)
{
	begin_drain(to);
}

void control_on_files_changed(void *to, const struct mail *mail UNUSED)
{
	reload_certificates(to);
}

void control_on_reload_signal(void *to, const struct mail *mail UNUSED)
{
	struct instance *in = to;

	/* The one in progress may have read the file before its last change. */
	if (!reload_begin(in, NULL))
		in->reload_again = true;
}

void control_on_drained(void *to, const struct mail *mail)
{
	struct instance *in = to;
	struct data_shard *ds = mail->ptr[0];

	must(!ds->drained);
	ds->drained = true;
	if (++in->shards_drained == in->shards_len)
		stop_all(in);
}

void control_on_swapped(void *to, const struct mail *mail UNUSED)
{
	struct instance *in = to;

	if (--in->swaps_pending == 0)
		reload_all_swapped(in);
}

void control_on_report(void *to, const struct mail *mail UNUSED)
{
	struct instance *in = to;

	if (--in->status_reports == 0)
		status_answer_all(in);
}

void control_on_unused(void *to, const struct mail *mail)
{
	struct data_shard *ds = mail->ptr[0];
	struct snapshot *s = atomic_exchange(&ds->unused, NULL);

	while (s) {
		struct snapshot *next = s->refs[ds->shard.index].next_unused;

		reload_snapshot_unused(to, s); /* it may be destroyed by this */
		s = next;
	}
}

static void on_control_unused(struct front *f, struct snapshot *s)
{
	reload_snapshot_unused(f->owner, s);
}

/* Letters that found a full mailbox are tried again until they are gone. */
static void on_letters(struct timer *t)
{
	struct instance *in = container_of(t, struct instance, letters_timer);
	bool left = false;

	for (unsigned i = 0; i < in->shards_len; i++)
		left |= !data_shard_flush_letters(&in->shards[i]);
	if (in->done && !left) {
		shard_stop(&in->control);
		return;
	}
	counters_refresh(in);
	timer_set(&in->control.timers, t, in->control.now_ns + LETTERS_NS * (left ? 1 : 20));
}

/* The wall clock is set and slewed; calendar windows follow within a second. */
static void on_wall(struct timer *t)
{
	struct instance *in = container_of(t, struct instance, wall_timer);
	int64_t offset_ns = clock_wall_offset_ns();

	if ((uint64_t)llabs(offset_ns - in->wall_offset_ns) >= WALL_CHANGE_NS) {
		in->wall_offset_ns = offset_ns;
		limiter_set_wall_offset(in->limiter, offset_ns);
	}
	timer_set(&in->control.timers, t, in->control.now_ns + NS_PER_S);
}

/* ---- the thread ---- */

static int open_control(struct instance *in)
{
	struct front_limits limits = {
		.clients = CONTROL_CLIENTS, .upstreams = 1, .upstreams_idle = 1, .listeners = 2};
	struct ring *ring;
	int err = uring_create(&in->control.blocks, CONTROL_CLIENTS + 8, &ring);

	if (err)
		return err;
	shard_open(&in->control, ring, clock_monotonic_ns());
	err = scrapes_create(in, &in->scrapes);
	if (err)
		return err;
	err = front_init(&in->control_front, &in->control, &in->shared, &limits, in->snapshot);
	if (err)
		return err;
	in->control_front.owner = in;
	in->control_front.on_snapshot_unused = on_control_unused;
	timer_init(&in->drain_timer, on_drain_limit);
	timer_init(&in->letters_timer, on_letters);
	timer_init(&in->wall_timer, on_wall);
	timer_set(&in->control.timers, &in->wall_timer, in->control.now_ns + NS_PER_S);
	timer_set(&in->control.timers, &in->letters_timer, in->control.now_ns + LETTERS_NS);
	if (in->admin_fd >= 0)
		err = front_listen(&in->control_front, in->admin_fd, &control_admin_site, 0,
				   (struct greeting_rules){0});
	if (!err && in->monitoring_fd >= 0)
		err = front_listen(&in->control_front, in->monitoring_fd, &control_monitoring_site, 0,
				   (struct greeting_rules){0});
	return err;
}

static void *run(void *arg)
{
	struct instance *in = arg;

	pthread_setname_np(pthread_self(), "ringway-control");
	pthread_setaffinity_np(pthread_self(), sizeof(in->topology.others), &in->topology.others);
	in->control_err = open_control(in);
	counter_set(&in->control.metrics->thread, (uint64_t)gettid());
	counters_refresh(in);
	sem_post(&in->control_started);
	if (!in->control_err)
		shard_run(&in->control);
	return NULL;
}

int control_shard_start(struct instance *in)
{
	int err;

	sem_init(&in->control_started, 0, 0);
	err = -pthread_create(&in->control_thread, NULL, run, in);
	if (err)
		return err;
	in->has_control_thread = true;
	while (sem_wait(&in->control_started) != 0)
		;
	return in->control_err;
}
