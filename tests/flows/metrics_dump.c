/* Prints the public counters of an instance as JSON: sums over its shards, by the code that
 * every reader uses. For the flow tests; `metrics_dump INSTANCE`. */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <ringway/base/segment.h>
#include <ringway/observe/metrics.h>

/* Every counter of a block that is not an array, by its name. */
#define FIELDS(X) \
	X(turns) X(completions) X(busy_ns) X(turn_longest_ns) X(operations) X(in_flight) \
	X(starved) X(overflows) X(exhausted) X(blocks_in_use) X(blocks_lent) X(letters) \
	X(connections) X(accepted) X(refused_full) X(reclaimed) X(handshakes_now) \
	X(handshakes_full) X(handshakes_resumed) X(greetings_logged) X(requests_now) X(requests) \
	X(log_records) X(log_dropped) X(upstreams) X(upstreams_idle) \
	X(attempts) X(retries) X(connects) X(reused) X(limits_admitted) X(limits_refused) \
	X(limits_no_room)

static void add(json_t *to, const char *name, uint64_t n)
{
	json_int_t before = json_integer_value(json_object_get(to, name));

	if (n || !json_object_get(to, name))
		json_object_set_new(to, name, json_integer(before + (json_int_t)n));
}

static void add_causes(json_t *to, const struct counter *counters)
{
	for (unsigned i = 0; i < ACCESS_CAUSES; i++)
		if (counter_get(&counters[i]))
			add(to, access_cause_text((enum access_cause)i), counter_get(&counters[i]));
}

static json_t *blocks_json(const struct metrics_view *v)
{
	struct histogram_reading handshakes, connects, requests, responses;
	json_t *sum = json_object(), *failed = json_object(), *greetings = json_object();
	json_t *each = json_array();

	histogram_reading_init(&handshakes, HISTOGRAM_TIMES);
	histogram_reading_init(&connects, HISTOGRAM_TIMES);
	histogram_reading_init(&requests, HISTOGRAM_SIZES);
	histogram_reading_init(&responses, HISTOGRAM_SIZES);
	for (unsigned i = 0; i < v->size.shards; i++) {
		const struct metrics_block *b = metrics_block_of(v, i);

#define ADD(field) add(sum, #field, counter_get(&b->field));
		FIELDS(ADD)
#undef ADD
		add_causes(failed, b->failed);
		add_causes(greetings, b->greetings_failed);
		histogram_read_times(&handshakes, &b->handshake_us);
		histogram_read_times(&connects, &b->connect_us);
		histogram_read_sizes(&requests, &b->request_bytes);
		histogram_read_sizes(&responses, &b->response_bytes);
		json_array_append_new(each, json_pack("{s:I,s:I,s:I}", "requests",
						      (json_int_t)counter_get(&b->requests), "cpu",
						      (json_int_t)counter_get(&b->cpu) - 1, "thread",
						      (json_int_t)counter_get(&b->thread)));
	}
	add(sum, "handshakes_timed", handshakes.count);
	add(sum, "connects_timed", connects.count);
	add(sum, "bytes_in", requests.sum);
	add(sum, "bytes_out", responses.sum);
	add(sum, "requests_sized", requests.count);
	add(sum, "responses_sized", responses.count);
	json_object_set_new(sum, "failed", failed);
	json_object_set_new(sum, "greetings_failed", greetings);
	json_object_set_new(sum, "shards", each);
	return sum;
}

static json_t *route_json(const struct metrics_view *v, uint32_t number)
{
	struct histogram_reading durations, first_bytes;
	json_t *requests = json_object();
	struct metrics_name name;
	char label[32];

	histogram_reading_init(&durations, HISTOGRAM_TIMES);
	histogram_reading_init(&first_bytes, HISTOGRAM_TIMES);
	metrics_name_of(v->routes, number, &name);
	for (unsigned i = 0; i < v->size.shards; i++) {
		const struct metrics_route *r = metrics_route_of(v, i, number);

		for (unsigned m = 0; m < METRICS_METHODS; m++) {
			for (unsigned s = 0; s < METRICS_STATUSES; s++) {
				snprintf(label, sizeof(label), "%s %s", metrics_method_texts[m],
					 metrics_status_texts[s]);
				if (counter_get(&r->requests[m][s]))
					add(requests, label, counter_get(&r->requests[m][s]));
			}
		}
		histogram_read_times(&durations, &r->duration_us);
		histogram_read_times(&first_bytes, &r->first_byte_us);
	}
	return json_pack("{s:s,s:s,s:o,s:I,s:I}", "service", name.service, "route", name.name,
			 "requests", requests, "durations", (json_int_t)durations.count,
			 "first_bytes", (json_int_t)first_bytes.count);
}

static json_t *endpoint_json(const struct metrics_view *v, uint32_t number)
{
	json_t *sum = json_object();
	struct metrics_name name;

	metrics_name_of(v->endpoints, number, &name);
	for (unsigned i = 0; i < v->size.shards; i++) {
		const struct metrics_endpoint *e = metrics_endpoint_of(v, i, number);

#define ADD(field) add(sum, #field, counter_get(&e->field));
		ADD(attempts) ADD(attempts_now) ADD(connects) ADD(reused)
		ADD(failed) ADD(answers) ADD(answers_5xx)
#undef ADD
	}
	json_object_set_new(sum, "service", json_string(name.service));
	json_object_set_new(sum, "url", json_string(name.name));
	return sum;
}

int main(int argc, char **argv)
{
	json_t *all, *routes = json_array(), *endpoints = json_array();
	enum metrics_fault fault;
	struct metrics_view v;
	struct segment s;
	int err;

	if (argc != 2)
		return 2;
	err = segment_attach(argv[1], &s);
	if (err) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-err));
		return 1;
	}
	fault = metrics_attach(s.at, s.bytes, &v);
	if (fault != METRICS_READABLE) {
		fprintf(stderr, "%s: %s\n", argv[1], metrics_fault_text(fault));
		return 1;
	}
	for (uint32_t i = 0; i < metrics_routes_len(&v); i++)
		json_array_append_new(routes, route_json(&v, i));
	for (uint32_t i = 0; i < metrics_endpoints_len(&v); i++)
		json_array_append_new(endpoints, endpoint_json(&v, i));
	all = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o}", "pid", (json_int_t)v.head->pid,
			"bytes", (json_int_t)v.head->bytes, "generation",
			(json_int_t)counter_get(&v.process->generation), "reloads",
			(json_int_t)counter_get(&v.process->reloads), "reloads_failed",
			(json_int_t)counter_get(&v.process->reloads_failed), "log_written",
			(json_int_t)counter_get(&v.process->log_written), "sum", blocks_json(&v),
			"routes", routes, "endpoints", endpoints);
	json_dumpf(all, stdout, JSON_INDENT(1));
	json_decref(all);
	segment_fini(&s);
	return 0;
}
