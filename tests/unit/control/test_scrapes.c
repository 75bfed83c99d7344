/* The small things around a scrape: which format, how uneven, what the kernel says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <ringway/http/field.h>

#include "imbalance.h"
#include "process_figures.h"
#include "scrapes.h"

static void openmetrics_is_for_those_who_ask_for_it_first(void **state UNUSED)
{
	static const struct {
		const char *accept; /* NULL: no field */
		enum exposition_format format;
	} cases[] = {
		{NULL, EXPOSITION_PROMETHEUS},
		{"", EXPOSITION_PROMETHEUS},
		{"*/*", EXPOSITION_PROMETHEUS},
		{"text/html, image/png;q=0.5", EXPOSITION_PROMETHEUS},
		{"application/*", EXPOSITION_PROMETHEUS},
		{"application/openmetrics-text", EXPOSITION_OPENMETRICS},
		{"Application/OpenMetrics-Text; Version=1.0.0", EXPOSITION_OPENMETRICS},
		/* What Prometheus 2.42 and a newer one send. */
		{"application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
		 "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		 EXPOSITION_OPENMETRICS},
		{"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
		 "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		 EXPOSITION_OPENMETRICS},
		{"application/openmetrics-text;version=0.0.1,text/plain", EXPOSITION_PROMETHEUS},
		{"application/openmetrics-text;version=2.0.0", EXPOSITION_PROMETHEUS},
		{"application/openmetrics-text;q=0", EXPOSITION_PROMETHEUS},
		{"application/openmetrics-text;q=0.000, */*", EXPOSITION_PROMETHEUS},
		{"application/openmetrics-text;q=0.4, text/plain;q=0.5", EXPOSITION_PROMETHEUS},
		{"text/plain, application/openmetrics-text;q=0.9", EXPOSITION_PROMETHEUS},
		{"text/plain;q=0.001, application/openmetrics-text;q=0.002",
		 EXPOSITION_OPENMETRICS},
		{"application/openmetrics-text;q=1.000", EXPOSITION_OPENMETRICS},
		{"application/openmetrics-text;q=nonsense", EXPOSITION_OPENMETRICS},
		{";;;=,;q=;,application/openmetrics-text;;;", EXPOSITION_OPENMETRICS},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_field at[2] = {{.name = SPAN("Host"), .value = SPAN("a")},
					   {.name = SPAN("aCCept")}};
		struct http_fields fields = {.at = at, .len = cases[i].accept ? 2 : 1, .cap = 2};

		at[1].value = span_str(cases[i].accept);
		if (scrape_format(&fields) != cases[i].format)
			fail_msg("wrong format for `%s`", cases[i].accept);
	}
}

static void several_accept_fields_are_one_list(void **state UNUSED)
{
	struct http_field at[] = {
		{.name = SPAN("Accept"), .value = SPAN("text/plain;q=0.5")},
		{.name = SPAN("Accept"), .value = SPAN("application/openmetrics-text")}};
	struct http_fields fields = {.at = at, .len = 2, .cap = 2};

	assert_int_equal(scrape_format(&fields), EXPOSITION_OPENMETRICS);
}

static void imbalance_is_of_the_last_seconds(void **state UNUSED)
{
	uint64_t cpu_ns[2] = {0};
	struct imbalance im;

	assert_int_equal(imbalance_init(&im, 2), 0);
	assert_int_equal(imbalance_milli(&im), 1000); /* nothing is known */
	imbalance_sample(&im, cpu_ns);
	assert_int_equal(imbalance_milli(&im), 1000);
	/* One does it all. */
	cpu_ns[0] += NS_PER_S / 2;
	imbalance_sample(&im, cpu_ns);
	assert_int_equal(imbalance_milli(&im), 2000);
	/* The other one as much: 0.5 s and 0.5 s. */
	cpu_ns[1] += NS_PER_S / 2;
	imbalance_sample(&im, cpu_ns);
	assert_int_equal(imbalance_milli(&im), 1000);
	/* Seven seconds later only what came in the last five counts: 3 to 1. */
	for (int i = 0; i < 7; i++) {
		cpu_ns[0] += 300 * NS_PER_MS;
		cpu_ns[1] += 100 * NS_PER_MS;
		imbalance_sample(&im, cpu_ns);
	}
	assert_int_equal(imbalance_milli(&im), 1500);
	imbalance_fini(&im);
}

static void nobody_is_uneven_at_rest(void **state UNUSED)
{
	uint64_t cpu_ns[2] = {0};
	struct imbalance im;

	assert_int_equal(imbalance_init(&im, 2), 0);
	imbalance_sample(&im, cpu_ns);
	cpu_ns[0] += NS_PER_S / 100 - 1;
	imbalance_sample(&im, cpu_ns);
	assert_int_equal(imbalance_milli(&im), 1000);
	imbalance_fini(&im);
}

static void the_kernel_tells_what_the_process_has(void **state UNUSED)
{
	struct process_figures before = {0}, after;
	int fd;

	process_figures_read(&before, 0, &before);
	assert_true(before.resident_bytes > 100000);
	assert_true(before.virtual_bytes >= before.resident_bytes);
	assert_true(before.descriptors_max >= before.descriptors);
	fd = dup(0);
	process_figures_read(&before, 0, &after);
	assert_int_equal(after.descriptors, before.descriptors + 1);
	assert_true(after.cpu_us >= before.cpu_us);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(openmetrics_is_for_those_who_ask_for_it_first),
		cmocka_unit_test(several_accept_fields_are_one_list),
		cmocka_unit_test(imbalance_is_of_the_last_seconds),
		cmocka_unit_test(nobody_is_uneven_at_rest),
		cmocka_unit_test(the_kernel_tells_what_the_process_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
