/* Text in which metrics are told: Prometheus text format 0.0.4 or OpenMetrics 1.0.0.
 *
 * Both are lines, and differ in little: OpenMetrics names a family without the "_total" or
 * "_info" of its samples, tells its unit, and ends with "# EOF". A family is its head and then
 * all of its samples; it stands in the text once.
 *
 * The text grows in memory of the heap. When there is no more, everything that follows is
 * dropped and `failed` stays set: whoever wrote looks at it once, at the end.
 */
#ifndef RINGWAY_SRC_CONTROL_EXPOSITION_TEXT_H
#define RINGWAY_SRC_CONTROL_EXPOSITION_TEXT_H

#include <ringway/base/span.h>
#include <ringway/observe/histogram.h>

enum exposition_format { EXPOSITION_PROMETHEUS, EXPOSITION_OPENMETRICS };

struct exposition_text {
	char *at; /* from malloc(), the owner's */
	size_t len;
	size_t cap;
	enum exposition_format format;
	bool failed;
};

enum exposition_type {
	EXPOSITION_COUNTER,
	EXPOSITION_GAUGE,
	EXPOSITION_HISTOGRAM,
	EXPOSITION_INFO
};

/* The name is that of the samples ("..._total", "..._info"), of a histogram without a suffix.
 * The base unit stands in it ("_seconds", "_bytes", "_ratio"). */
struct exposition_family {
	const char *name;
	enum exposition_type type;
	const char *help; /* one line without backslashes and quotes: it is not escaped */
};

/* A number that was counted in 10^-decimals of the unit: microseconds have 6. */
struct exposition_number {
	uint64_t value;
	uint8_t decimals;
};

/* `expected`: bytes that the text is likely to take. */
void exposition_text_init(struct exposition_text *t, enum exposition_format format,
                          size_t expected);
void exposition_text_fini(struct exposition_text *t);

/* HELP, TYPE and UNIT. */
void exposition_head(struct exposition_text *t, const struct exposition_family *f);
/* `labels` is what stands between the braces, escaped; empty: there are none. */
void exposition_sample(struct exposition_text *t, const char *name, struct span labels,
                       struct exposition_number number);
/* `bounds` are bounds of the reading's own buckets in rising order, so that what lies at or
 * below each is known exactly; a last one without bound is added. `decimals` is of the
 * reading's sum and of the bounds. */
void exposition_histogram(struct exposition_text *t, const char *name, struct span labels,
                          const struct histogram_reading *reading, const uint64_t *bounds,
                          size_t bounds_len, uint8_t decimals);
/* The end of the whole text. */
void exposition_end(struct exposition_text *t);

/* ---- labels ---- */

/* name="value", behind a comma unless it is the first of `labels`. The value is escaped; what
 * is no UTF-8 becomes U+FFFD. */
void exposition_label(struct exposition_text *labels, const char *name, const char *value);
void exposition_label_number(struct exposition_text *labels, const char *name, uint64_t value);

static inline struct span exposition_span(const struct exposition_text *t)
{
	return span_of(t->at, t->len);
}

#endif
