#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <ringway/base/base.h>
#include <ringway/tls/measure.h>

/* Short enough for any machine, and still more than one operation each. */
#define RUN_NS (100 * NS_PER_US)

static double per_second(const char *name, uint32_t record_bytes)
{
	const struct tls_measure *m;
	double got = 0;

	for (size_t i = 0; (m = tls_measure_entry(i)); i++) {
		if (strcmp(m->name, name) != 0 || m->record_bytes != record_bytes)
			continue;
		assert_int_equal(tls_measure_run(i, 3, RUN_NS, &got), 0);
		return got;
	}
	fail_msg("no entry %s of %u bytes", name, record_bytes);
	return 0;
}

static void every_entry_has_a_figure(void **state UNUSED)
{
	const struct tls_measure *m;
	size_t n;

	for (n = 0; (m = tls_measure_entry(n)); n++) {
		double got = 0;
		int err = tls_measure_run(n, 1, RUN_NS, &got);

		if (err || !(got > 0))
			fail_msg("%s, %u bytes: %d, %f per second", m->name, m->record_bytes, err,
				 got);
	}
	/* Three AEADs in three sizes and five operations with keys. */
	assert_int_equal(n, 14);
}

static void a_long_record_takes_longer_than_a_short_one(void **state UNUSED)
{
	assert_true(per_second("AES-128-GCM", 64) > 2 * per_second("AES-128-GCM", 16384));
	assert_true(per_second("ChaCha20-Poly1305", 64) >
		    2 * per_second("ChaCha20-Poly1305", 16384));
}

static void a_key_costs_more_than_a_record(void **state UNUSED)
{
	assert_true(per_second("AES-256-GCM", 64) > 10 * per_second("RSA-2048 sign", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_entry_has_a_figure),
		cmocka_unit_test(a_long_record_takes_longer_than_a_short_one),
		cmocka_unit_test(a_key_costs_more_than_a_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
