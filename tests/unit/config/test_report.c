#include <jansson.h>
#include <unistd.h>

#include "expect.h"

#include "secret.h"

static void a_tab_in_the_line_does_not_move_the_caret(void **state UNUSED)
{
	expect_report("gateway: {port: 80,\thots: x}\n",
	              "t.yaml:1:21: error: gateway: unknown key `hots`; did you mean `host`?\n"
	              "    1 | gateway: {port: 80,\thots: x}\n"
	              "      |                    \t^^^^\n");
}

static void columns_are_characters(void **state UNUSED)
{
	expect_report("gateway: {\"gr\xc3\xb6\xc3\x9f" "e\": 1, port: 8\xc3\xb6}\n",
	              "t.yaml:1:11: error: gateway: unknown key `gr\xc3\xb6\xc3\x9f" "e`\n"
	              "    1 | gateway: {\"gr\xc3\xb6\xc3\x9f" "e\": 1, port: 8\xc3\xb6}\n"
	              "      |           ^^^^^^^\n"
	              "t.yaml:1:29: error: gateway.port: `8\xc3\xb6` is no whole number from 1 to 65535\n"
	              "    1 | gateway: {\"gr\xc3\xb6\xc3\x9f" "e\": 1, port: 8\xc3\xb6}\n"
	              "      |                             ^^\n");
}

static void a_windows_line_end_is_not_shown(void **state UNUSED)
{
	expect_report("gateway:\r\n  prt: 80\r\n  port: 80\r\n",
	              "t.yaml:2:3: error: gateway: unknown key `prt`; did you mean `port`?\n"
	              "    2 |   prt: 80\n"
	              "      |   ^^^\n");
}

static void of_a_long_line_the_part_around_is_shown(void **state UNUSED)
{
	char text[1000], *printed, *caret, *key;

	memset(text, ' ', sizeof(text));
	memcpy(text, "gateway: {port: 80, ", 20);
	strcpy(text + 500, "hots: x}\n");
	printed = report_of_file("t.yaml", span_str(text));
	assert_true(strlen(printed) < 400);
	key = strstr(printed, "hots: x");
	caret = strstr(printed, "^^^^\n");
	assert_non_null(key);
	assert_non_null(caret);
	/* The same distance from the starts of their lines. */
	assert_int_equal(key - strstr(printed, "    1 |"), caret - strstr(printed, "      |"));
	free(printed);
}

static void issues_are_sorted_by_line(void **state UNUSED)
{
	/* The listener's clash is found last and stands first. */
	expect_report("listeners: [{address: '127.0.0.1:80'}]\n"
	              "gateway: {port: 80}\n"
	              "zzzzzz: 1\n",
	              "t.yaml:1:23: error: listeners[0].address: `127.0.0.1:80` is taken already, by "
	              "listener `gateway` (t.yaml:2)\n"
	              "    1 | listeners: [{address: '127.0.0.1:80'}]\n"
	              "      |                       ^^^^^^^^^^^^^^\n"
	              "t.yaml:3:1: error: unknown key `zzzzzz`\n"
	              "    3 | zzzzzz: 1\n"
	              "      | ^^^^^^\n");
}

static void an_issue_of_the_file_has_no_line(void **state UNUSED)
{
	expect_report("version: 1\n", "t.yaml: warning: no listener: neither `gateway.port` nor "
	                              "`listeners` is given\n");
}

static void colour_is_only_there_when_asked_for(void **state UNUSED)
{
	struct config *config;
	struct config_report report;
	char *printed;
	size_t len;
	FILE *out = open_memstream(&printed, &len);

	config_load_text("t.yaml", SPAN("zzz: 1\n"), &config, &report);
	config_report_print(&report, out, /* colour */ true);
	fclose(out);
	assert_non_null(strstr(printed, "\033[1mt.yaml:1:1:\033[0m \033[1;31merror:\033[0m "));
	free(printed);
	printed = report_of_file("t.yaml", SPAN("zzz: 1\n"));
	assert_null(strchr(printed, '\033'));
	free(printed);
	config_report_fini(&report);
}

static void a_file_cannot_steer_the_terminal(void **state UNUSED)
{
	char *printed = report_of_file("t.yaml", SPAN("\"\\e[2J\\u009b\": 1\n"));

	assert_non_null(strstr(printed, "unknown key `?[2J??`"));
	assert_null(strchr(printed, '\033'));
	free(printed);
	printed = report_of_file("t.yaml", SPAN("a: \x1b[2J \xff\n"));
	assert_null(strchr(printed, '\033'));
	assert_null(strchr(printed, '\xff'));
	free(printed);
}

static void json_has_every_part(void **state UNUSED)
{
	struct config *config;
	struct config_report report;
	char *printed;
	size_t len;
	FILE *out = open_memstream(&printed, &len);
	json_t *root, *issue;

	config_load_text("t.yaml", SPAN("gateway: {prt: 1}\n"), &config, &report);
	config_report_print_json(&report, "t.yaml", out);
	fclose(out);
	config_report_fini(&report);
	root = json_loads(printed, 0, NULL);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "file")), "t.yaml");
	assert_int_equal(json_integer_value(json_object_get(root, "errors")), 1);
	assert_int_equal(json_integer_value(json_object_get(root, "warnings")), 1);
	/* The warning is about the file: no line. */
	issue = json_array_get(json_object_get(root, "issues"), 0);
	assert_null(json_object_get(issue, "line"));
	issue = json_array_get(json_object_get(root, "issues"), 1);
	assert_string_equal(json_string_value(json_object_get(issue, "severity")), "error");
	assert_string_equal(json_string_value(json_object_get(issue, "file")), "t.yaml");
	assert_int_equal(json_integer_value(json_object_get(issue, "line")), 1);
	assert_int_equal(json_integer_value(json_object_get(issue, "column")), 11);
	assert_int_equal(json_integer_value(json_object_get(issue, "width")), 3);
	assert_string_equal(json_string_value(json_object_get(issue, "path")), "gateway");
	assert_string_equal(json_string_value(json_object_get(issue, "message")),
	                    "unknown key `prt`; did you mean `port`?");
	assert_string_equal(json_string_value(json_object_get(issue, "source")),
	                    "gateway: {prt: 1}");
	json_decref(root);
	free(printed);
}

static void issues_beyond_the_limit_are_counted(void **state UNUSED)
{
	char *text = calloc(1, 20000), *printed;
	size_t len = 0;

	for (int i = 0; i < 600; i++)
		len += (size_t)sprintf(text + len, "unknown%d: 1\n", i);
	printed = report_of_file("t.yaml", span_str(text));
	assert_non_null(strstr(printed, "t.yaml:500:1: error"));
	assert_null(strstr(printed, "t.yaml:501:1: error"));
	assert_non_null(strstr(printed, "\n101 more are not shown\n"));
	free(printed);
	free(text);
}

static void secrets_in_a_line_are_masked(void **state UNUSED)
{
	static const struct {
		const char *line, *masked;
	} table[] = {
		{"  jwt_secret: abcdef", "  jwt_secret: ******"},
		{"  jwt_secret: \"ab\\\"cd\"  # x", "  jwt_secret: \"******\"  # x"},
		{"auth: {jwt_secret: 'ab', roles: [a]}", "auth: {jwt_secret: '**', roles: [a]}"},
		{"auth: {jwt_secret: ab, roles: [a]}", "auth: {jwt_secret: **, roles: [a]}"},
		{"explain: {\"token\" : 1}", "explain: {\"token\" : 1}"},
		{"explain: {\"token\": 1}", "explain: {\"token\": *}"},
		{"  secret: ${STICKY}", "  secret: ${STICKY}"},
		{"  secret: \"${file:/run/x}\"", "  secret: \"${file:/run/x}\""},
		{"  secret: \"${STICKY:-hello}\"", "  secret: \"****************\""},
		{"  secret: ${A}bc", "  secret: ******"},
		{"  secret: \"unclosed", "  secret: \"********"},
		{"redis: \"redis://user:pw@host\"", "redis: \"redis://user:**@host\""},
		{"token_expiry: 24h", "token_expiry: 24h"},
		{"my_secret: 24h", "my_secret: 24h"},
		{"secret:", "secret:"},
		{"url: http://host:80/", "url: http://host:80/"},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char line[100];

		strcpy(line, table[i].line);
		secret_mask(line, strlen(line));
		assert_string_equal(line, table[i].masked);
	}
}

static void a_password_in_a_url_is_in_no_error(void **state UNUSED)
{
	char *printed = report_of_file(
		"t.yaml", SPAN("services: {a: {url: 'http://me:hunter2@host', routes: [{path: /}]}}\n"));

	assert_non_null(strstr(printed, "user and password"));
	assert_null(strstr(printed, "hunter2"));
	free(printed);
}

/* Of a file with these lines, after config_load() said what it has to say. */
static char *report_with_later_issues(const char *text)
{
	static char *printed;
	static size_t len;
	char path[] = "/tmp/ringway-report-XXXXXX";
	FILE *file = fdopen(mkstemp(path), "w"), *out = open_memstream(&printed, &len);
	struct config_report report;
	struct config *config = NULL;
	size_t before;

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	config_load(path, &config, &report);
	before = report.errors;
	config_report_add(&report, CONFIG_ERROR, (struct config_place){path, 3, 10}, "c.d",
			  "a later\x1b one");
	config_report_add(&report, CONFIG_WARNING, (struct config_place){path, 2, 6}, "a", "quoted");
	config_report_add(&report, CONFIG_WARNING, (struct config_place){path, 2, 6}, "b", "same");
	config_report_add(&report, CONFIG_ERROR, (struct config_place){path, 9, 1}, "e", "no line");
	config_report_add(&report, CONFIG_ERROR, (struct config_place){"gone.yaml", 1, 1}, "f",
			  "no file");
	config_report_add(&report, CONFIG_ERROR, (struct config_place){NULL, 0, 0}, "g", "no place");
	assert_int_equal(report.errors, before + 4);
	unlink(path);
	config_report_print(&report, out, false);
	fclose(out);
	config_report_fini(&report);
	config_destroy(config);
	for (char *at; (at = strstr(printed, path));)
		memmove(at, at + strlen(path), strlen(at + strlen(path)) + 1);
	return printed;
}

static void what_is_found_later_is_sorted_in(void **state UNUSED)
{
	char *printed = report_with_later_issues("zzz: 1\n"
						 "  a: 'x y' # comment\n"
						 "  c: {d: \xc3\xb6\xc3\xa4, token: abcdef}\n");

	assert_non_null(strstr(printed, ":2:6: warning: a: quoted\n"
					"    2 |   a: 'x y' # comment\n"
					"      |      ^^^^^\n"
					":2:6: warning: b: same\n"
					"    2 |   a: 'x y' # comment\n"
					"      |      ^^^^^\n"
					":3:10: error: c.d: a later? one\n"
					"    3 |   c: {d: \xc3\xb6\xc3\xa4, token: ******}\n"
					"      |          ^^\n"
					":9:1: error: e: no line\n"
					"gone.yaml:1:1: error: f: no file\n"));
	assert_non_null(strstr(printed, "error: g: no place\n"));
	free(printed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tab_in_the_line_does_not_move_the_caret),
		cmocka_unit_test(columns_are_characters),
		cmocka_unit_test(a_windows_line_end_is_not_shown),
		cmocka_unit_test(of_a_long_line_the_part_around_is_shown),
		cmocka_unit_test(issues_are_sorted_by_line),
		cmocka_unit_test(an_issue_of_the_file_has_no_line),
		cmocka_unit_test(colour_is_only_there_when_asked_for),
		cmocka_unit_test(a_file_cannot_steer_the_terminal),
		cmocka_unit_test(json_has_every_part),
		cmocka_unit_test(issues_beyond_the_limit_are_counted),
		cmocka_unit_test(secrets_in_a_line_are_masked),
		cmocka_unit_test(a_password_in_a_url_is_in_no_error),
		cmocka_unit_test(what_is_found_later_is_sorted_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
