/* What comes and goes, summed over the shards: errors by cause, sizes, TLS, upstreams. */
#include "exposition.h"

#define FIELD(name) offsetof(struct metrics_block, name)

static uint64_t sum(const struct exposition *e, size_t offset)
{
	const struct metrics_view *v = &e->from->view;
	uint64_t n = 0;

	for (unsigned i = 0; i < v->size.shards; i++)
		n += exposition_counter(metrics_block_of(v, i), offset);
	return n;
}

/* ---- errors ---- */

/* Causes that end a connection before its first request. */
static bool is_of_greeting(enum access_cause cause)
{
	return cause >= ACCESS_TLS_GARBAGE && cause <= ACCESS_PROXY_HEADER_UNTRUSTED;
}

/* All causes that belong here stand there from the start, so that the first error of a kind
 * is an increase that a rule can see; others only once they have come. */
static void put_causes(struct exposition *e, const struct exposition_family *f, size_t offset,
		       bool of_greetings)
{
	exposition_head(&e->text, f);
	for (unsigned cause = ACCESS_OK + 1; cause < ACCESS_CAUSES; cause++) {
		uint64_t n = sum(e, offset + cause * sizeof(struct counter));

		if (!n && is_of_greeting((enum access_cause)cause) != of_greetings)
			continue;
		e->labels.len = 0;
		exposition_label(&e->labels, "cause", access_cause_text((enum access_cause)cause));
		exposition_put(e, f, (struct exposition_number){n});
	}
}

static void put_errors(struct exposition *e)
{
	static const struct exposition_family
		requests = {"ringway_request_errors_total", EXPOSITION_COUNTER,
			    "Requests that did not go as their client wished, by cause."},
		connections = {"ringway_connection_errors_total", EXPOSITION_COUNTER,
			       "Connections that ended before their first request, by cause."};

	put_causes(e, &requests, FIELD(failed), false);
	put_causes(e, &connections, FIELD(greetings_failed), true);
}

/* ---- histograms ---- */

static void put_times(struct exposition *e, const struct exposition_family *f, size_t offset)
{
	const struct metrics_view *v = &e->from->view;
	struct histogram_reading reading;

	histogram_reading_init(&reading, HISTOGRAM_TIMES);
	for (unsigned i = 0; i < v->size.shards; i++) {
		const char *block = (const char *)metrics_block_of(v, i);

		histogram_read_times(&reading, (const void *)(block + offset));
	}
	exposition_head(&e->text, f);
	e->labels.len = 0;
	exposition_times(e, f, &reading);
}

static void put_sizes(struct exposition *e, const struct exposition_family *f, size_t offset)
{
	const struct metrics_view *v = &e->from->view;
	struct histogram_reading reading;

	histogram_reading_init(&reading, HISTOGRAM_SIZES);
	for (unsigned i = 0; i < v->size.shards; i++) {
		const char *block = (const char *)metrics_block_of(v, i);

		histogram_read_sizes(&reading, (const void *)(block + offset));
	}
	exposition_head(&e->text, f);
	e->labels.len = 0;
	exposition_sizes(e, f, &reading);
}

/* ---- what has one of a few labels ---- */

static void put_labelled(struct exposition *e, const struct exposition_family *f, const char *label,
			 const char *value, uint64_t n)
{
	e->labels.len = 0;
	exposition_label(&e->labels, label, value);
	exposition_put(e, f, (struct exposition_number){n});
}

static void put_handshakes(struct exposition *e)
{
	static const struct exposition_family
		handshakes = {"ringway_tls_handshakes_total", EXPOSITION_COUNTER,
			      "TLS handshakes with clients that succeeded."},
		now = {"ringway_tls_handshakes_in_progress", EXPOSITION_GAUGE,
		       "TLS handshakes with clients that are in progress."},
		time = {"ringway_tls_handshake_seconds", EXPOSITION_HISTOGRAM,
			"Time that TLS handshakes with clients took."};

	exposition_head(&e->text, &handshakes);
	put_labelled(e, &handshakes, "kind", "full", sum(e, FIELD(handshakes_full)));
	put_labelled(e, &handshakes, "kind", "resumed", sum(e, FIELD(handshakes_resumed)));
	exposition_single(e, &now, (struct exposition_number){sum(e, FIELD(handshakes_now))});
	put_times(e, &time, FIELD(handshake_us));
}

static void put_pool(struct exposition *e)
{
	static const struct exposition_family connections = {
		"ringway_upstream_connections", EXPOSITION_GAUGE,
		"Connections to upstreams now, in use or idle."};
	static const struct exposition_figure figures[] = {
		{{"ringway_upstream_attempts_total", EXPOSITION_COUNTER,
		  "Attempts to get an answer from an upstream."},
		 FIELD(attempts)},
		{{"ringway_upstream_retries_total", EXPOSITION_COUNTER,
		  "Attempts that were not the first of their request."},
		 FIELD(retries)},
		{{"ringway_upstream_connects_total", EXPOSITION_COUNTER,
		  "Attempts that opened a connection."},
		 FIELD(connects)},
		{{"ringway_upstream_reused_total", EXPOSITION_COUNTER,
		  "Attempts on a connection that was open already."},
		 FIELD(reused)},
	};
	static const struct exposition_family connect = {
		"ringway_upstream_connect_seconds", EXPOSITION_HISTOGRAM,
		"Time that connecting to upstreams took, with TLS."};
	uint64_t all = sum(e, FIELD(upstreams)), idle = sum(e, FIELD(upstreams_idle));

	exposition_head(&e->text, &connections);
	/* Two counters, not read in the same instant. */
	put_labelled(e, &connections, "state", "in_use", all > idle ? all - idle : 0);
	put_labelled(e, &connections, "state", "idle", idle);
	for (size_t i = 0; i < ARRAY_LEN(figures); i++)
		exposition_single(e, &figures[i].family,
				  (struct exposition_number){sum(e, figures[i].offset)});
	put_times(e, &connect, FIELD(connect_us));
}

void exposition_traffic(struct exposition *e)
{
	static const struct exposition_family
		request = {"ringway_request_size_bytes", EXPOSITION_HISTOGRAM,
			   "Bytes of requests, heads included, inside TLS."},
		response = {"ringway_response_size_bytes", EXPOSITION_HISTOGRAM,
			    "Bytes of answers, heads included, inside TLS."};

	put_errors(e);
	put_sizes(e, &request, FIELD(request_bytes));
	put_sizes(e, &response, FIELD(response_bytes));
	put_handshakes(e);
	put_pool(e);
}
