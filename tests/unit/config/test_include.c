#include "expect.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static int make_directory(void **state UNUSED)
{
	strcpy(dir, "/tmp/test_config_include.XXXXXX");
	return mkdtemp(dir) && chdir(dir) == 0 && mkdir("sub", 0700) == 0 ? 0 : -1;
}

static int remove_directory(void **state UNUSED)
{
	return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

/* A file, until drop(). */
static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int drop(void **state UNUSED)
{
	unlink("a.yaml");
	unlink("sub/b.yaml");
	unlink("sub/c.yaml");
	for (int i = 0; i < 10; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d.yaml", i);
		unlink(name);
	}
	rmdir("sub");
	mkdir("sub", 0700);
	return 0;
}

static int drop_all(void **state)
{
	drop(state);
	rmdir("sub");
	return remove_directory(state);
}

#define SERVICE "{respond: {}, routes: [{path: /"

static void services_of_all_files_are_put_together(void **state UNUSED)
{
	struct config *c;

	put("a.yaml", "services: {b: " SERVICE "b}]}}\nversion: 1\n");
	c = config_of("gateway: {port: 80}\ninclude: a.yaml\nservices: {a: " SERVICE "a}]}}\n");
	assert_int_equal(c->services_len, 2);
	assert_string_equal(c->services[0].id, "a");
	assert_string_equal(c->services[1].id, "b");
	assert_string_equal(c->services[1].place.file, "a.yaml");
	config_destroy(c);
}

static void paths_start_at_the_file_that_includes(void **state UNUSED)
{
	struct config *c;

	put("a.yaml", "include: [sub/b.yaml]\n");
	put("sub/b.yaml", "include: [c.yaml]\n");
	put("sub/c.yaml", "gateway: {port: 81}\nservices: {a: " SERVICE "a}]}}\n");
	c = config_of("include: [a.yaml]\n");
	assert_int_equal(c->listeners_len, 1);
	assert_int_equal(address_port(&c->listeners[0].address), 81);
	assert_string_equal(c->services[0].place.file, "sub/c.yaml");
	config_destroy(c);
}

static void a_name_that_stands_twice_is_told_with_both_places(void **state UNUSED)
{
	put("a.yaml", "services:\n  x: " SERVICE "b}]}\n");
	expect_report("gateway: {port: 80}\ninclude: [a.yaml]\nservices:\n  x: " SERVICE "a}]}\n",
		      "a.yaml:2:3: error: services: service `x` exists already, in t.yaml:4\n"
		      "    2 |   x: {respond: {}, routes: [{path: /b}]}\n"
		      "      |   ^\n");
	put("a.yaml", "gateway: {port: 81}\n");
	expect_report("gateway: {port: 80}\ninclude: [a.yaml]\n",
		      "a.yaml:1:1: error: `gateway` is given already, in t.yaml:1; only `services` "
		      "may be spread over files\n"
		      "    1 | gateway: {port: 81}\n"
		      "      | ^^^^^^^\n");
}

static void errors_of_all_files_come_in_the_order_in_which_they_were_read(void **state UNUSED)
{
	put("a.yaml", "trusted: []\n");
	expect_report("gateway: {port: 0}\ninclude: [a.yaml]\n",
		      "t.yaml:1:17: error: gateway.port: `0` is no whole number from 1 to 65535\n"
		      "    1 | gateway: {port: 0}\n"
		      "      |                 ^\n"
		      "a.yaml:1:10: error: trusted: the list is empty\n"
		      "    1 | trusted: []\n"
		      "      |          ^\n");
}

static void cycles_and_repetitions_end(void **state UNUSED)
{
	put("a.yaml", "include: [sub/b.yaml]\n");
	put("sub/b.yaml", "include: [../a.yaml]\n");
	expect_report("gateway: {port: 80}\ninclude: [a.yaml]\n",
		      "sub/b.yaml:1:11: error: include[0]: sub/../a.yaml includes itself\n"
		      "    1 | include: [../a.yaml]\n"
		      "      |           ^^^^^^^^^\n");
	put("sub/b.yaml", "version: 1\n");
	put("a.yaml", "trusted: 10.0.0.0/8\n");
	expect_one("gateway: {port: 80}\ninclude: [a.yaml, sub/b.yaml, ./a.yaml]\n",
		   "t.yaml:2:31: error: include[2]: ./a.yaml is included already");
}

static void includes_inside_each_other_end(void **state UNUSED)
{
	char name[16], text[32], *printed;

	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "%d.yaml", i);
		snprintf(text, sizeof(text), i < 9 ? "include: %d.yaml\n" : "version: 1\n", i + 1);
		put(name, text);
	}
	printed = report_of_file("t.yaml", SPAN("gateway: {port: 80}\ninclude: 0.yaml\n"));
	assert_non_null(strstr(printed, "7.yaml:1:10: error: include: more than 8 includes inside "
					"each other\n"));
	free(printed);
	/* One less is good. */
	put("7.yaml", "version: 1\n");
	config_destroy(config_of("gateway: {port: 80}\ninclude: 0.yaml\n"));
}

static void a_file_that_cannot_be_read_is_named_where_it_is_included(void **state UNUSED)
{
	expect_one(
		"gateway: {port: 80}\ninclude: [no.yaml]\n",
		"t.yaml:2:11: error: include[0]: cannot read no.yaml: No such file or directory");
	expect_one("gateway: {port: 80}\ninclude: sub\n",
		   "t.yaml:2:10: error: include: cannot read sub: Is a directory");
}

static void text_without_a_file_includes_nothing(void **state UNUSED)
{
	char *printed = report_of_file(NULL, SPAN("gateway: {port: 80}\ninclude: a.yaml\n"));

	assert_string_equal(printed, "<text>:2:10: error: include: a file cannot be read here\n"
				     "    2 | include: a.yaml\n"
				     "      |          ^^^^^^\n");
	free(printed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(services_of_all_files_are_put_together, drop),
		cmocka_unit_test_teardown(paths_start_at_the_file_that_includes, drop),
		cmocka_unit_test_teardown(a_name_that_stands_twice_is_told_with_both_places, drop),
		cmocka_unit_test_teardown(
			errors_of_all_files_come_in_the_order_in_which_they_were_read, drop),
		cmocka_unit_test_teardown(cycles_and_repetitions_end, drop),
		cmocka_unit_test_teardown(includes_inside_each_other_end, drop),
		cmocka_unit_test_teardown(a_file_that_cannot_be_read_is_named_where_it_is_included,
					  drop),
		cmocka_unit_test_teardown(text_without_a_file_includes_nothing, drop),
	};

	return cmocka_run_group_tests(tests, make_directory, drop_all);
}
