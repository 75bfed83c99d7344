/* Requests by service and route, summed over the shards.
 *
 * A route appears with its first request, and its requests by method and status with the
 * first of that kind: 18 numbers for each route, most of them 0, would say nothing.
 */
#include "exposition.h"

static void set_labels(struct exposition *e, uint32_t number)
{
	struct metrics_name name;

	metrics_name_of(e->from->view.routes, number, &name);
	e->labels.len = 0;
	exposition_label(&e->labels, "service", name.service);
	exposition_label(&e->labels, "route", name.name);
}

static uint64_t sum_requests(const struct metrics_view *v, uint32_t route, unsigned method,
			     unsigned status)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < v->size.shards; i++)
		n += counter_get(&metrics_route_of(v, i, route)->requests[method][status]);
	return n;
}

static void put_requests_of(struct exposition *e, const struct exposition_family *f, uint32_t route)
{
	size_t len = 0;

	for (unsigned m = 0; m < METRICS_METHODS; m++)
		for (unsigned s = 0; s < METRICS_STATUSES; s++) {
			uint64_t n = sum_requests(&e->from->view, route, m, s);

			if (!n)
				continue;
			if (!len) {
				set_labels(e, route);
				len = e->labels.len;
			}
			e->labels.len = len;
			exposition_label(&e->labels, "method_class", metrics_method_texts[m]);
			exposition_label(&e->labels, "status_class", metrics_status_texts[s]);
			exposition_put(e, f, (struct exposition_number){n});
		}
}

static void put_requests(struct exposition *e)
{
	static const struct exposition_family requests = {
		"ringway_requests_total", EXPOSITION_COUNTER,
		"Requests that have ended, by the class of their method and status."};

	exposition_head(&e->text, &requests);
	for (uint32_t i = 0; i < metrics_routes_len(&e->from->view); i++)
		put_requests_of(e, &requests, i);
}

static void put_times(struct exposition *e, const struct exposition_family *f, size_t offset)
{
	const struct metrics_view *v = &e->from->view;

	exposition_head(&e->text, f);
	for (uint32_t route = 0; route < metrics_routes_len(v); route++) {
		struct histogram_reading reading;

		histogram_reading_init(&reading, HISTOGRAM_TIMES);
		for (unsigned i = 0; i < v->size.shards; i++) {
			const char *r = (const char *)metrics_route_of(v, i, route);

			histogram_read_times(&reading, (const void *)(r + offset));
		}
		if (!reading.count)
			continue;
		set_labels(e, route);
		exposition_times(e, f, &reading);
	}
}

static void put_bytes(struct exposition *e, const struct exposition_family *f, size_t offset)
{
	const struct metrics_view *v = &e->from->view;

	exposition_head(&e->text, f);
	for (uint32_t route = 0; route < metrics_routes_len(v); route++) {
		struct exposition_number n = {0};

		for (unsigned i = 0; i < v->size.shards; i++)
			n.value += exposition_counter(metrics_route_of(v, i, route), offset);
		if (!n.value)
			continue;
		set_labels(e, route);
		exposition_put(e, f, n);
	}
}

void exposition_routes(struct exposition *e)
{
	static const struct exposition_family
		duration = {"ringway_request_duration_seconds", EXPOSITION_HISTOGRAM,
			    "Time from the first byte of the request to the end of the answer."},
		first_byte = {"ringway_upstream_first_byte_seconds", EXPOSITION_HISTOGRAM,
			      "Time from the start of the last attempt to the head of the "
			      "upstream's answer."},
		received = {"ringway_request_received_bytes_total", EXPOSITION_COUNTER,
			    "Bytes of requests, heads included, inside TLS."},
		sent = {"ringway_response_sent_bytes_total", EXPOSITION_COUNTER,
			"Bytes of answers, heads included, inside TLS."};

	put_requests(e);
	put_times(e, &duration, offsetof(struct metrics_route, duration_us));
	put_times(e, &first_byte, offsetof(struct metrics_route, first_byte_us));
	put_bytes(e, &received, offsetof(struct metrics_route, bytes_in));
	put_bytes(e, &sent, offsetof(struct metrics_route, bytes_out));
}
