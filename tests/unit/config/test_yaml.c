#include "expect.h"

#include "yaml.h"

static void syntax_errors_have_their_place(void **state UNUSED)
{
	static const struct {
		const char *text, *line;
	} table[] = {
		{"gateway:\n\tport: 80\n",
	         "t.yaml:2:1: error: YAML syntax: tab character may not be used as indentation"},
		{"trusted: [a\n", "t.yaml:2:1: error: YAML syntax: flow sequence without a closing bracket"},
		{"a: b: c\n", "t.yaml:1:5: error: YAML syntax: invalid nested block mapping on the same "
	                      "line"},
		{"a: @x\n", "t.yaml:1:4: error: YAML syntax: plain scalar cannot start with '@'"},
		{"a: {b: 1,, c}\n", "t.yaml:1:10: error: YAML syntax: did not find expected node content"},
		{"a: 1\n---\nb: 2\n",
	         "t.yaml:2:1: error: a second document begins here; a file holds one"},
		{"version: !!str 1\n", "t.yaml:1:16: error: tags are not supported: what a value is "
	                               "follows from its key"},
		{"- a\n", "t.yaml:1:1: error: the file must be a mapping of keys"},
		{"? [a]\n: b\n", "t.yaml:1:3: error: a key must be plain text"},
		{"version: *x\n",
	         "t.yaml:1:10: error: no value with the anchor `&x` ends before this"},
		{"trusted: &a [*a]\n",
	         "t.yaml:1:14: error: no value with the anchor `&a` ends before this"},
		{"a: \xff\n", "t.yaml:1:4: error: byte 0xff is not UTF-8"},
		{"a: \xc3(\n", "t.yaml:1:4: error: byte 0xc3 is not UTF-8"},
		{"a: \xed\xa0\x80\n", "t.yaml:1:4: error: byte 0xed is not UTF-8"},
		{"a: \x01\n", "t.yaml:1:4: error: control character 0x01 is not allowed in YAML"},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		expect_one(table[i].text, table[i].line);
}

static void a_zero_byte_does_not_end_the_file(void **state UNUSED)
{
	char *printed = report_of_file("t.yaml", SPAN("version: 1\n\0nonsense: 1\n"));

	assert_non_null(strstr(printed, "t.yaml:2:1: error: control character 0x00"));
	free(printed);
}

static void duplicate_keys_are_all_found(void **state UNUSED)
{
	expect_report("client: {max_fields: 9, max_fields: 10}\n"
	              "services:\n"
	              "  a: {url: 'http://x', routes: [{path: /x}, {path: /, path: /}]}\n"
	              "  a: {url: 'http://x', routes: [{path: /}]}\n",
	              "t.yaml:1:25: error: client: key `max_fields` stands twice, first in line 1\n"
	              "    1 | client: {max_fields: 9, max_fields: 10}\n"
	              "      |                         ^^^^^^^^^^\n"
	              "t.yaml:3:55: error: services.a.routes[1]: key `path` stands twice, first in line 3\n"
	              "    3 |   a: {url: 'http://x', routes: [{path: /x}, {path: /, path: /}]}\n"
	              "      |                                                       ^^^^\n"
	              "t.yaml:4:3: error: services: key `a` stands twice, first in line 3\n"
	              "    4 |   a: {url: 'http://x', routes: [{path: /}]}\n"
	              "      |   ^\n");
}

static void anchors_and_aliases_share_what_they_name(void **state UNUSED)
{
	struct config *c = config_of("gateway: {port: 80}\n"
	                             "services:\n"
	                             "  a: &a {url: 'http://x', routes: &r [{path: /a}]}\n"
	                             "  b: {url: 'http://y', routes: [{path: /b, methods: &m [GET]}]}\n"
	                             "  c: {url: 'http://z', routes: [{path: /c, methods: *m}]}\n");

	assert_int_equal(c->services_len, 3);
	assert_string_equal(c->services[2].routes[0].methods[0], "GET");
	config_destroy(c);
}

static void what_aliases_blow_up_is_counted(void **state UNUSED)
{
	char text[2000] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
	size_t len = strlen(text);

	for (int i = 1; i < 10; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		                        "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n",
		                        i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	expect_one(text, "t.yaml:5:9: error: more than 100000 values, aliases counted as what they "
	                 "stand for");
}

static void depth_is_bounded(void **state UNUSED)
{
	char text[200] = "a: ";

	memset(text + 3, '[', 40);
	memset(text + 43, ']', 40);
	expect_one(text, "t.yaml:1:35: error: nested deeper than 32 levels");
	/* Deep by an alias to something that is deep itself. */
	expect_one("a: &a [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]\n"
	           "b: [[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]\n",
	           "t.yaml:2:20: error: nested deeper than 32 levels");
}

static void yaml_1_2_knows_fewer_booleans(void **state UNUSED)
{
	expect_one("gateway: {port: 80, forwarded: yes}\n",
	           "t.yaml:1:32: error: gateway.forwarded: `yes` is none of `true` or `false`");
	expect_one("gateway: {port: 80, forwarded: on}\n",
	           "t.yaml:1:32: error: gateway.forwarded: `on` is none of `true` or `false`");
}

static void null_is_an_empty_mapping_but_no_value(void **state UNUSED)
{
	struct config *c = config_of("gateway: {port: 80}\nclient:\nservices: ~\nmonitoring: null\n");

	config_destroy(c);
	expect_one("gateway:\n  port:\n", "t.yaml:2:3: error: gateway.port: has no value");
}

static void a_byte_order_mark_is_taken(void **state UNUSED)
{
	struct config *c = config_of("\xef\xbb\xbfgateway: {port: 80}\n");

	assert_int_equal(address_port(&c->listeners[0].address), 80);
	config_destroy(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syntax_errors_have_their_place),
		cmocka_unit_test(a_zero_byte_does_not_end_the_file),
		cmocka_unit_test(duplicate_keys_are_all_found),
		cmocka_unit_test(anchors_and_aliases_share_what_they_name),
		cmocka_unit_test(what_aliases_blow_up_is_counted),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(yaml_1_2_knows_fewer_booleans),
		cmocka_unit_test(null_is_an_empty_mapping_but_no_value),
		cmocka_unit_test(a_byte_order_mark_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
