#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <ringway/base/base.h>

#include <ringway/config/suggest.h>

static const char *nearest(const char *written)
{
	static const char *const words[] = {"timeout", "timeouts", "burst", "path", "host",
	                                    "methods", "max_connections"};
	struct suggestion s;

	suggestion_init(&s, span_str(written));
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		suggestion_try(&s, words[i]);
	return s.best;
}

static void slips_of_the_fingers_are_understood(void **state UNUSED)
{
	assert_string_equal(nearest("brust"), "burst");
	assert_string_equal(nearest("timeot"), "timeout");
	assert_string_equal(nearest("timeoutt"), "timeout");
	assert_string_equal(nearest("tiemouts"), "timeouts");
	assert_string_equal(nearest("Host"), "host");
	assert_string_equal(nearest("maxconnections"), "max_connections");
	assert_string_equal(nearest("method"), "methods");
}

static void what_is_far_from_everything_gets_no_guess(void **state UNUSED)
{
	assert_null(nearest("zzzzzz"));
	assert_null(nearest("x"));
	assert_null(nearest(""));
	assert_null(nearest("a_word_that_is_longer_than_any_key_of_the_configuration_timeout"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slips_of_the_fingers_are_understood),
		cmocka_unit_test(what_is_far_from_everything_gets_no_guess),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
