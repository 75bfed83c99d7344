#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <ringway/base/base.h>

#include "units.h"

static void durations_are_nanoseconds(void **state UNUSED)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} table[] = {
		{"0", 0},
		{"0s", 0},
		{"30", 30 * NS_PER_S},
		{"30s", 30 * NS_PER_S},
		{"250us", 250 * NS_PER_US},
		{"500ms", 500 * NS_PER_MS},
		{"5m", 300 * NS_PER_S},
		{"1h30m", 5400 * NS_PER_S},
		{"7d", 7 * 86400 * NS_PER_S},
		{"2w", 14 * 86400 * NS_PER_S},
		{"1w1d1h1m1s1ms1us", (694861 * NS_PER_S) + NS_PER_MS + NS_PER_US},
		{"36500d", (uint64_t)36500 * 86400 * NS_PER_S},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint64_t ns = 1;

		if (!duration_parse(span_str(table[i].text), &ns) || ns != table[i].ns)
			fail_msg("%s: %lu", table[i].text, ns);
	}
}

static void what_is_no_duration_is_refused(void **state UNUSED)
{
	static const char *const table[] = {
		"",     "s",     "-1s",   "1.5s", "1h30",   "30m1h", "1s1s",
		"1 s",  "1S",    "1month", "s1",   "36501d", "99999999999999999999s",
		"1e3s", "0x10s", "+5s",   " 5s",  "5s ",    "18446744073709551615w"};
	uint64_t ns = 42;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (duration_parse(span_str(table[i]), &ns))
			fail_msg("taken: \"%s\"", table[i]);
	assert_int_equal(ns, 42);
}

static void sizes_are_bytes(void **state UNUSED)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} table[] = {
		{"0", 0},          {"512", 512},     {"512B", 512},         {"8KiB", 8192},
		{"10MB", 10000000}, {"10MiB", 10 * MIB}, {"1KB", 1000},       {"2GiB", 2 * GIB},
		{"3GB", 3000000000}, {"18446744073709551615", UINT64_MAX},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint64_t bytes = 1;

		if (!size_parse(span_str(table[i].text), &bytes) || bytes != table[i].bytes)
			fail_msg("%s: %lu", table[i].text, bytes);
	}
}

static void what_is_no_size_is_refused(void **state UNUSED)
{
	static const char *const table[] = {"",     "KiB",  "-1",  "1.5KiB", "1kb",
	                                    "1 KB", "1K",   "1TiB", "lots",   "18446744073709551616",
	                                    "17179869184GiB"};
	uint64_t bytes = 42;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (size_parse(span_str(table[i]), &bytes))
			fail_msg("taken: \"%s\"", table[i]);
	assert_int_equal(bytes, 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_nanoseconds),
		cmocka_unit_test(what_is_no_duration_is_refused),
		cmocka_unit_test(sizes_are_bytes),
		cmocka_unit_test(what_is_no_size_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
