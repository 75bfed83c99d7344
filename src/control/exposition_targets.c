/* Attempts by service and target, summed over the shards. A target appears with its first
 * attempt. */
#include "exposition.h"

#define FIELD(name) offsetof(struct metrics_endpoint, name)

static const struct exposition_figure figures[] = {
	{{"ringway_target_attempts_total", EXPOSITION_COUNTER, "Attempts at this target."},
	 FIELD(attempts)},
	{{"ringway_target_attempts_in_progress", EXPOSITION_GAUGE,
	  "Attempts that are in progress."},
	 FIELD(attempts_now)},
	{{"ringway_target_attempts_failed_total", EXPOSITION_COUNTER,
	  "Attempts that ended without a whole head of an answer."},
	 FIELD(failed)},
	{{"ringway_target_responses_total", EXPOSITION_COUNTER,
	  "Heads of answers that came from this target."},
	 FIELD(answers)},
	{{"ringway_target_responses_5xx_total", EXPOSITION_COUNTER,
	  "Heads of answers with a status of 500 to 599."},
	 FIELD(answers_5xx)},
	{{"ringway_target_first_byte_seconds_total", EXPOSITION_COUNTER,
	  "Sum of the times to the heads of answers; divided by the responses it is their mean."},
	 FIELD(first_byte_us),
	 6},
	{{"ringway_target_connects_total", EXPOSITION_COUNTER,
	  "Attempts that opened a connection."},
	 FIELD(connects)},
	{{"ringway_target_reused_total", EXPOSITION_COUNTER,
	  "Attempts on a connection that was open already."},
	 FIELD(reused)},
};

static uint64_t sum(const struct metrics_view *v, uint32_t endpoint, size_t offset)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < v->size.shards; i++)
		n += exposition_counter(metrics_endpoint_of(v, i, endpoint), offset);
	return n;
}

static void put(struct exposition *e, const struct exposition_figure *figure, uint32_t endpoint)
{
	struct metrics_name name;

	metrics_name_of(e->from->view.endpoints, endpoint, &name);
	e->labels.len = 0;
	exposition_label(&e->labels, "service", name.service);
	exposition_label(&e->labels, "target", name.name);
	exposition_put(e, &figure->family,
		       (struct exposition_number){sum(&e->from->view, endpoint, figure->offset),
						  figure->decimals});
}

void exposition_targets(struct exposition *e)
{
	const struct metrics_view *v = &e->from->view;

	for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
		exposition_head(&e->text, &figures[i].family);
		for (uint32_t n = 0; n < metrics_endpoints_len(v); n++)
			if (sum(v, n, FIELD(attempts)))
				put(e, &figures[i], n);
	}
}
