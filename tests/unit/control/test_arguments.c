#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "arguments.h"

/* What a command would have: an operand that it needs, one that it does not, a flag, an
 * option with a value, one that is not built. */
static bool json;
static const char *file, *extra, *socket_path;
static char error[ARGUMENTS_ERROR_BYTES];

static const struct argument known[] = {
	{.name = "FILE", .text = &file, .required = true},
	{.name = "EXTRA", .text = &extra},
	{.name = "--json", .flag = &json},
	{.name = "--socket", .text = &socket_path},
	{.name = "--keep-state", .not_yet = true},
};

/* Words until NULL. */
static enum arguments_verdict read(const char *const *words)
{
	char *arguments[8];
	int len = 0;

	for (; words[len]; len++)
		arguments[len] = (char *)(uintptr_t)words[len];
	json = false;
	file = extra = socket_path = NULL;
	error[0] = '\0';
	return arguments_read(known, ARRAY_LEN(known), len, arguments, error);
}

#define READ(...) read((const char *const[]){__VA_ARGS__, NULL})

static void operands_come_in_their_order(void **state UNUSED)
{
	assert_int_equal(READ("a.yaml", "b"), ARGUMENTS_GOOD);
	assert_string_equal(file, "a.yaml");
	assert_string_equal(extra, "b");
	assert_false(json);
	assert_null(socket_path);
}

static void options_stand_before_and_behind_operands(void **state UNUSED)
{
	assert_int_equal(READ("--socket", "s", "a.yaml", "--json"), ARGUMENTS_GOOD);
	assert_string_equal(file, "a.yaml");
	assert_string_equal(socket_path, "s");
	assert_true(json);
	assert_null(extra);
}

static void a_value_may_stand_behind_an_equals_sign(void **state UNUSED)
{
	assert_int_equal(READ("--socket=a=b", "f"), ARGUMENTS_GOOD);
	assert_string_equal(socket_path, "a=b");
	assert_int_equal(READ("--socket", "--json", "f"), ARGUMENTS_GOOD);
	assert_string_equal(socket_path, "--json");
	assert_false(json);
}

static void everything_behind_two_dashes_is_an_operand(void **state UNUSED)
{
	assert_int_equal(READ("--json", "--", "--json", "--help"), ARGUMENTS_GOOD);
	assert_string_equal(file, "--json");
	assert_string_equal(extra, "--help");
	assert_true(json);
}

static void one_dash_is_an_operand(void **state UNUSED)
{
	assert_int_equal(READ("-"), ARGUMENTS_GOOD);
	assert_string_equal(file, "-");
}

static void help_needs_nothing_else(void **state UNUSED)
{
	assert_int_equal(READ("--help"), ARGUMENTS_HELP);
	assert_int_equal(READ("-h"), ARGUMENTS_HELP);
	assert_int_equal(READ("a", "--json", "--help"), ARGUMENTS_HELP);
}

static void what_is_wrong_is_said(void **state UNUSED)
{
	static const struct {
		const char *words[5];
		const char *error;
	} rows[] = {
		{{NULL}, "FILE is missing"},
		{{"--json"}, "FILE is missing"},
		{{"a", "b", "c"}, "`c` is one argument too many"},
		{{"a", ""}, "EXTRA is empty"},
		{{"a", "--jsno"}, "unknown option `--jsno`; did you mean `--json`?"},
		{{"a", "--hlep"}, "unknown option `--hlep`; did you mean `--help`?"},
		{{"a", "--verbose-output"}, "unknown option `--verbose-output`"},
		{{"a", "-j"}, "unknown option `-j`"},
		/* No abbreviations: what is unique today may not be tomorrow. */
		{{"a", "--sock", "x"}, "unknown option `--sock`; did you mean `--socket`?"},
		{{"a", "--json=yes"}, "`--json` takes no value"},
		{{"a", "--socket"}, "`--socket` wants a value"},
		{{"a", "--socket="}, "the value of `--socket` is empty"},
		{{"a", "--socket", ""}, "the value of `--socket` is empty"},
		{{"a", "--socket", "x", "--socket=y"}, "`--socket` is given twice"},
		{{"a", "--json", "--json"}, "`--json` is given twice"},
		{{"a", "--keep-state"}, "`--keep-state` is not supported yet"},
		{{"--keep-state", "a"}, "`--keep-state` is not supported yet"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(read(rows[i].words), ARGUMENTS_BAD);
		assert_string_equal(error, rows[i].error);
	}
}

static void a_long_word_is_cut_in_the_message(void **state UNUSED)
{
	char word[4096];

	memset(word, 'x', sizeof(word));
	word[0] = word[1] = '-';
	word[sizeof(word) - 1] = '\0';
	assert_int_equal(READ("a", word), ARGUMENTS_BAD);
	assert_true(strlen(error) < 120);
	assert_int_equal(READ("a", "b", word + 2), ARGUMENTS_BAD);
	assert_non_null(strstr(error, "` is one argument too many"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operands_come_in_their_order),
		cmocka_unit_test(options_stand_before_and_behind_operands),
		cmocka_unit_test(a_value_may_stand_behind_an_equals_sign),
		cmocka_unit_test(everything_behind_two_dashes_is_an_operand),
		cmocka_unit_test(one_dash_is_an_operand),
		cmocka_unit_test(help_needs_nothing_else),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(a_long_word_is_cut_in_the_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
