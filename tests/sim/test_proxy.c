/* A whole proxy on one shard under random traffic, on networks of every kind and with
 * every fault. What holds in all of them: an answer is the right one and whole, or one of
 * ours that says what is wrong, or visibly cut; nobody waits for ever; nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "proxy_traffic.h"
#include "seeds.h"

static const char config[] =
	"gateway: {timeout: 300s}\n"
	"client: {head_time: 10s, body_idle: 20s, write_idle: 20s, keepalive: 75s}\n"
	"services:\n"
	"  sim:\n"
	"    targets: [{url: \"http://10.0.0.1:80\"}, {url: \"http://10.0.0.2:80\"},\n"
	"              {url: \"http://10.0.0.3:80\"}]\n"
	"    timeouts: {connect: 1s, first_byte: 70s, idle: 20s, total: 300s}\n"
	"    retry: {attempts: 2, on: [connect-failure], buffer: 64KiB}\n"
	"    routes: [{path: /*}]\n";

/* No run may take longer: the longest of the limits above, for each request that waits
 * for another one. */
#define LONGEST (4000 * NS_PER_S)

static struct world world;
static struct traffic traffic;
static uint64_t answered_by_origin, answered_by_us, cut, conns;

static void run(struct world_options *o, struct traffic_options *t)
{
	/* Small windows make many steps of few bytes. */
	uint32_t fit = o->plan.window_most * 40;

	o->config = config;
	t->window_most = o->plan.window_most;
	if (!t->clients)
		t->clients = 8;
	if (!t->asks_most)
		t->asks_most = 6;
	if (!t->body_most)
		t->body_most = 100000;
	if (t->body_most > fit)
		t->body_most = fit;
	world_begin(&world, o);
	traffic_begin(&traffic, &world, t);
	traffic_run(&traffic, LONGEST);
	answered_by_origin += traffic.answered_by_origin;
	answered_by_us += traffic.answered_by_us;
	cut += traffic.cut;
	conns += traffic.conns_len;
	world_finish(&world);
	traffic_fini(&traffic);
}

static void run_good(uint64_t seed)
{
	struct world_options o = {.plan = fake_plan_of(seed)};
	struct traffic_options t = {.slow = seed % 2};

	/* Who runs out of descriptors closes idle connections, of clients too. */
	o.plan.accept_fails = 0;

	run(&o, &t);
}

/* After a run that failed halfway. */
static int clean_up(void **state)
{
	world_abandon(&world);
	traffic_fini(&traffic);
	return seeds_report(state);
}

static int reset_counts(void **state UNUSED)
{
	answered_by_origin = 0;
	answered_by_us = 0;
	cut = 0;
	conns = 0;
	return 0;
}

static void every_byte_arrives_both_ways(void **state UNUSED)
{
	seeds_run(500, run_good);
	assert_int_equal(answered_by_us, 0);
	assert_int_equal(cut, 0);
	/* Connections to origins are used again. */
	assert_in_range(conns, 1, answered_by_origin * 3 / 4);
}

static void run_origin_faults(uint64_t seed)
{
	struct world_options o = {.plan = fake_plan_of(seed)};
	struct traffic_options t = {.origin_faults = true, .slow = seed % 2};

	o.plan.resets = seed % 3 ? 0 : 20;
	run(&o, &t);
}

static void origins_may_fail_in_every_way(void **state UNUSED)
{
	seeds_run(300, run_origin_faults);
	assert_true(answered_by_origin && answered_by_us && cut);
}

static void run_client_faults(uint64_t seed)
{
	struct world_options o = {.plan = fake_plan_of(seed)};
	struct traffic_options t = {.client_faults = true, .slow = seed % 2};

	run(&o, &t);
}

static void clients_may_leave_anywhere(void **state UNUSED)
{
	seeds_run(300, run_client_faults);
	assert_true(answered_by_origin && answered_by_us && cut);
}

static void run_scarce(uint64_t seed)
{
	struct world_options o = {.plan = fake_plan_of(seed)};
	struct traffic_options t = {
		.scarce = true,
		.origin_faults = seed % 3 == 0,
		.client_faults = seed % 4 == 0,
		.clients = 16,
	};

	switch (seed % 5) {
	case 0: o.blocks = 3 + (uint32_t)seed % 12; break;
	case 1:
		o.limits.upstreams = 1 + (uint32_t)seed % 4;
		o.limits.upstreams_idle = 1;
		break;
	case 2:
		o.plan.connect_fails = 300;
		o.plan.accept_fails = 300;
		break;
	case 3: o.plan.sockets = 4 + (uint32_t)seed % 12; break;
	case 4: o.limits.clients = 1 + (uint32_t)seed % 6; break;
	}
	run(&o, &t);
}

static void whatever_runs_out_the_rest_goes_on(void **state UNUSED)
{
	seeds_run(400, run_scarce);
	assert_true(answered_by_origin && answered_by_us && cut);
}

static void run_everything(uint64_t seed)
{
	struct world_options o = {.plan = fake_plan_of(seed)};
	struct traffic_options t = {
		.scarce = true, .origin_faults = true, .client_faults = true, .slow = true};

	o.blocks = 8 + (uint32_t)seed % 24;
	o.limits.upstreams = 2 + (uint32_t)seed % 6;
	o.plan.sockets = 10 + (uint32_t)seed % 10;
	o.plan.connect_fails = 100;
	o.plan.resets = 50;
	run(&o, &t);
}

static void all_of_it_together(void **state UNUSED)
{
	seeds_run(300, run_everything);
	assert_true(answered_by_origin && answered_by_us && cut);
}

#define seeded(test) cmocka_unit_test_setup_teardown(test, reset_counts, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		seeded(every_byte_arrives_both_ways), seeded(origins_may_fail_in_every_way),
		seeded(clients_may_leave_anywhere),   seeded(whatever_runs_out_the_rest_goes_on),
		seeded(all_of_it_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
