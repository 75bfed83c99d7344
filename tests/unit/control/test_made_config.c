#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <ringway/config/load.h>

#include "made_config.h"

static struct arena arena;

static int make_arena(void **state UNUSED)
{
	arena_init(&arena, NULL, 0, &arena_malloc_source);
	return 0;
}

static int drop_arena(void **state UNUSED)
{
	arena_reset(&arena);
	return 0;
}

/* What a value means once the YAML is read, by way of a key that takes any text. */
static void assert_means(const char *text)
{
	const char *value = made_config_value(&arena, text);
	struct config_report report;
	struct config *config;

	assert_non_null(value);
	assert_int_equal(config_load_text(NULL,
					  arena_printf(&arena,
						       "services: {a: {name: %s, routes: "
						       "[{path: /a}], respond: {status: 200}}}\n",
						       value),
					  &config, &report),
			 0);
	assert_string_equal(config->services[0].name, text);
	config_destroy(config);
	config_report_fini(&report);
}

static void a_value_means_its_bytes(void **state UNUSED)
{
	setenv("TEST_MADE_CONFIG", "substituted", 1);
	assert_means("127.0.0.1:8080");
	assert_means("it's");
	assert_means("''");
	assert_means("x', evil: 'y");
	assert_means("x} # {");
	assert_means("${TEST_MADE_CONFIG}");
	assert_means("$$ $ ${");
	assert_means("\\n \"quoted\"");
	assert_means("no");
	assert_means("Größe");
}

static void control_characters_have_no_value(void **state UNUSED)
{
	assert_null(made_config_value(&arena, "a\nb: c"));
	assert_null(made_config_value(&arena, "a\tb"));
	assert_null(made_config_value(&arena, "\x7f"));
}

static void a_server_may_speak_tls(void **state UNUSED)
{
	struct config_report report;
	struct config *config;

	assert_int_equal(
		config_load_text(NULL,
				 arena_printf(&arena,
					      "services: {a: {url: %s, routes: [{path: "
					      "/a}]}}\n",
					      made_config_value(&arena, "https://api.test")),
				 &config, &report),
		0);
	assert_true(config->services[0].targets[0].tls && config->services[0].tls.verify);
	assert_int_equal(config->services[0].targets[0].port, 443);
	assert_string_equal(config->services[0].targets[0].authority, "api.test");
	config_destroy(config);
	config_report_fini(&report);
}

static void an_instance_is_named_by_its_port(void **state UNUSED)
{
	assert_string_equal(made_config_instance(&arena, "proxy", ":8080"), "proxy-8080");
	assert_string_equal(made_config_instance(&arena, "origin", "[::1]:9000"), "origin-9000");
	assert_string_equal(made_config_instance(&arena, "proxy", "nonsense"), "proxy");
	assert_string_equal(made_config_instance(&arena, "proxy", "unix:/x"), "proxy");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_means_its_bytes),
		cmocka_unit_test(control_characters_have_no_value),
		cmocka_unit_test(a_server_may_speak_tls),
		cmocka_unit_test(an_instance_is_named_by_its_port),
	};

	return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
