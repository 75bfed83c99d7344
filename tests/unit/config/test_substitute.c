#include "expect.h"

#include <unistd.h>

#define AROUND(body) "gateway: {port: 80}\nservices: {a: {respond: {body: " body "}, routes: [{path: /}]}}\n"

static void expect_body(const char *text, struct span body)
{
	struct config *c = config_of(text);

	if (!span_eq(c->services[0].respond.body, body))
		fail_msg("body `%.*s` of %s", SPAN_FMT(c->services[0].respond.body), text);
	config_destroy(c);
}

static void variables_defaults_and_dollars_are_put_in(void **state UNUSED)
{
	setenv("RW_SET", "value", 1);
	setenv("RW_EMPTY", "", 1);
	unsetenv("RW_UNSET");
	expect_body(AROUND("'${RW_SET}'"), SPAN("value"));
	expect_body(AROUND("'a-${RW_SET}-b-${RW_SET}'"), SPAN("a-value-b-value"));
	expect_body(AROUND("'${RW_UNSET:-other}'"), SPAN("other"));
	expect_body(AROUND("'${RW_UNSET:-}'"), SPAN(""));
	expect_body(AROUND("'${RW_EMPTY:-other}'"), SPAN("other"));
	expect_body(AROUND("'${RW_EMPTY}'"), SPAN(""));
	expect_body(AROUND("'${RW_SET:-other}'"), SPAN("value"));
	expect_body(AROUND("'$${RW_SET} $$'"), SPAN("${RW_SET} $"));
}

static void a_value_is_not_looked_at_again(void **state UNUSED)
{
	setenv("RW_EVIL", "\"\nadmin: {socket: /x} # ${RW_SET} $$ [", 1);
	expect_body(AROUND("\"${RW_EVIL}\""), SPAN("\"\nadmin: {socket: /x} # ${RW_SET} $$ ["));
}

static void numbers_may_come_from_variables(void **state UNUSED)
{
	struct config *c;

	setenv("RW_PORT", "8123", 1);
	c = config_of("gateway: {port: \"${RW_PORT}\"}\n");
	assert_int_equal(address_port(&c->listeners[0].address), 8123);
	config_destroy(c);
}

static void keys_are_not_substituted(void **state UNUSED)
{
	setenv("RW_KEY", "port", 1);
	expect_one("gateway: {port: 80, \"${RW_KEY}\": 80}\n",
	           "t.yaml:1:21: error: gateway: unknown key `${RW_KEY}`");
}

static void each_mistake_has_its_own_place(void **state UNUSED)
{
	unsetenv("RW_UNSET");
	setenv("RW_SET", "value", 1);
	expect_report("gateway: {port: 80, host: \"${RW_SET}$${RW_UNSET}${9}${RW_SET\"}\n",
	              "t.yaml:1:49: error: gateway.host: write ${VAR}, ${VAR:-default} or "
	              "${file:/path}; $$ is a dollar\n"
	              "    1 | gateway: {port: 80, host: \"${RW_SET}$${RW_UNSET}${9}${RW_SET\"}\n"
	              "      |                                                 ^^^^\n"
	              "t.yaml:1:53: error: gateway.host: this ${ is not closed\n"
	              "    1 | gateway: {port: 80, host: \"${RW_SET}$${RW_UNSET}${9}${RW_SET\"}\n"
	              "      |                                                     ^^\n");
	expect_one("gateway:\n  port: 80\n  host: |\n    x\n    y ${RW_UNSET}\n",
	           "t.yaml:5:7: error: gateway.host: environment variable RW_UNSET is not set and has "
	           "no default");
	expect_one("gateway: {port: 80, host: a$b}\n",
	           "t.yaml:1:28: error: gateway.host: a dollar alone; write $$ for the dollar itself");
	/* An escape hides where the dollar stands: the value's place is right then. */
	expect_one("gateway: {port: 80, host: \"\\x24{RW_UNSET}\"}\n",
	           "t.yaml:1:27: error: gateway.host: environment variable RW_UNSET is not set and "
	           "has no default");
}

static void what_was_put_in_is_in_no_error(void **state UNUSED)
{
	char *printed;

	setenv("RW_HIDDEN", "hunter2", 1);
	printed = report_of_file(
		"t.yaml", SPAN("gateway: {port: '${RW_HIDDEN}', host: '${RW_HIDDEN}', timeout: "
	                       "'${RW_HIDDEN}'}\n"
	                       "client: {max_head: '${RW_HIDDEN}'}\n"
	                       "runtime: {pin: '${RW_HIDDEN}', cpus: '${RW_HIDDEN}', shards: "
	                       "'${RW_HIDDEN}'}\n"
	                       "trusted: ['${RW_HIDDEN}']\n"
	                       "services: {a: {url: '${RW_HIDDEN}', routes: [{path: '${RW_HIDDEN}', "
	                       "service: '${RW_HIDDEN}', methods: ['${RW_HIDDEN} '], host: "
	                       "'${RW_HIDDEN}:'}]}}\n"));
	assert_null(strstr(printed, "hunter2"));
	assert_non_null(strstr(printed, "`${RW_HIDDEN}` is no duration"));
	free(printed);
}

static void files_lose_one_newline(void **state UNUSED)
{
	char folder[] = "/tmp/ringway-test-XXXXXX", path[100], text[300];
	FILE *f;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/secret", folder);
	f = fopen(path, "w");
	fputs("two\nlines\n\n", f);
	fclose(f);
	snprintf(text, sizeof(text), AROUND("'<${file:%s}>'"), path);
	expect_body(text, SPAN("<two\nlines\n>"));
	unlink(path);
	rmdir(folder);
}

static void files_that_cannot_be_read_are_errors(void **state UNUSED)
{
	expect_one("gateway: {port: 80, host: '${file:/nonexistent/x}'}\n",
	           "t.yaml:1:28: error: gateway.host: cannot read /nonexistent/x: No such file or "
	           "directory");
	expect_one("gateway: {port: 80, host: '${file:/dev/zero}'}\n",
	           "t.yaml:1:28: error: gateway.host: the file is bigger than 64 KiB");
	expect_one("gateway: {port: 80, host: '${file:}'}\n",
	           "t.yaml:1:28: error: gateway.host: a path is missing: ${file:/path}");
}

static void text_without_a_path_reads_no_file(void **state UNUSED)
{
	char *printed = report_of_file(NULL, SPAN("gateway: {port: 80, host: '${file:/etc/passwd}'}\n"
	                                          "include: /etc/passwd\n"));

	assert_non_null(strstr(printed, "<text>:1:28: error: gateway.host: a file cannot be read here"));
	assert_non_null(strstr(printed, "<text>:2:10: error: include: a file cannot be read here"));
	free(printed);
}

static void a_zero_byte_is_no_value(void **state UNUSED)
{
	expect_one("gateway: {port: 80, host: \"a\\0b\"}\n",
	           "t.yaml:1:27: error: gateway.host: a zero byte cannot be part of a value");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(variables_defaults_and_dollars_are_put_in),
		cmocka_unit_test(a_value_is_not_looked_at_again),
		cmocka_unit_test(numbers_may_come_from_variables),
		cmocka_unit_test(keys_are_not_substituted),
		cmocka_unit_test(each_mistake_has_its_own_place),
		cmocka_unit_test(what_was_put_in_is_in_no_error),
		cmocka_unit_test(files_lose_one_newline),
		cmocka_unit_test(files_that_cannot_be_read_are_errors),
		cmocka_unit_test(text_without_a_path_reads_no_file),
		cmocka_unit_test(a_zero_byte_is_no_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
