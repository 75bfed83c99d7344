#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdlib.h>

#include <ringway/http/charset.h>

#define SUB_DELIMS "!$&'()*+,;="
#define UNRESERVED "-._~" /* and letters and digits */

/* The sets as the RFCs spell them. */
static const struct {
	const struct charset *set;
	const char *others; /* besides letters and digits */
} sets[] = {
	{&charset_token, "!#$%&'*+-.^_`|~"},
	{&charset_target, UNRESERVED SUB_DELIMS ":@/?[]%"},
	{&charset_path, UNRESERVED SUB_DELIMS ":@/"},
	{&charset_query, UNRESERVED SUB_DELIMS ":@/?[]"},
	{&charset_host, UNRESERVED},
};

static void sets_are_what_the_rfcs_say(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		for (int c = 0; c < 256; c++) {
			bool member = c < 0x80 && c && (isalnum(c) || strchr(sets[i].others, c));

			assert_int_equal(charset_has(sets[i].set, (char)c), member);
		}
	for (int c = 0; c < 256; c++)
		assert_int_equal(charset_has(&charset_ctl, (char)c),
				 (c < 0x20 && c != '\t') || c == 0x7f);
}

#if CHARSET_X86
CHARSET_SSE42 static const char *run_sse42(const struct charset *set, bool member,
					   const char *begin, const char *at, const char *end)
{
	return member ? charset_run_sse42(set, true, begin, at, end)
		      : charset_run_sse42(set, false, begin, at, end);
}

CHARSET_AVX2 static const char *run_avx2(const struct charset *set, bool member, const char *begin,
					 const char *at, const char *end)
{
	return member ? charset_run_avx2(set, true, begin, at, end)
		      : charset_run_avx2(set, false, begin, at, end);
}

static void compare(const char *begin, const char *at, const char *end)
{
	for (int member = 0; member < 2; member++) {
		const struct charset *set = member ? &charset_token : &charset_ctl;
		const char *expected = charset_run_scalar(set, member, begin, at, end);

		if (__builtin_cpu_supports("sse4.2"))
			assert_ptr_equal(run_sse42(set, member, begin, at, end), expected);
		if (__builtin_cpu_supports("avx2"))
			assert_ptr_equal(run_avx2(set, member, begin, at, end), expected);
	}
}
#endif

/* In memory that ends with the text, for the address sanitizer's eyes. */
static void variants_find_the_same_end_at_every_length_and_place(void **state UNUSED)
{
#if CHARSET_X86
	for (size_t len = 0; len <= 100; len++) {
		char *text = malloc(len ? len : 1);

		memset(text, 'a', len);
		for (size_t at = 0; at <= len; at++) {
			compare(text, text + at, text + len);
			for (size_t stop = 0; stop < len; stop++) {
				text[stop] = 0x7f;
				compare(text, text + at, text + len);
				text[stop] = 'a';
			}
		}
		free(text);
	}
	for (int c = 0; c < 256; c++) {
		char text[40];

		memset(text, 'a', sizeof(text));
		for (size_t at = 0; at < sizeof(text); at++) {
			text[at] = (char)c;
			compare(text, text, text + sizeof(text));
			text[at] = 'a';
		}
	}
#else
	skip();
#endif
}

static void a_whole_span_is_in_a_set_or_not(void **state UNUSED)
{
	char text[50];

	assert_true(charset_all(&charset_token, SPAN("")));
	memset(text, 'a', sizeof(text));
	for (size_t len = 1; len <= sizeof(text); len++) {
		assert_true(charset_all(&charset_token, span_of(text, len)));
		for (size_t at = 0; at < len; at++) {
			text[at] = ' ';
			assert_false(charset_all(&charset_token, span_of(text, len)));
			text[at] = 'a';
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_are_what_the_rfcs_say),
		cmocka_unit_test(variants_find_the_same_end_at_every_length_and_place),
		cmocka_unit_test(a_whole_span_is_in_a_set_or_not),
	};

	return cmocka_run_group_tests_name("http: charset", tests, NULL, NULL);
}
