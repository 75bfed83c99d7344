#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include <ringway/base/base.h>
#include <ringway/http/uri.h>

static void authorities_are_host_and_port(void **state UNUSED)
{
	static const struct {
		const char *text, *host; /* host NULL: refused */
		uint16_t port;
	} cases[] = {
		{"a", "a", 0},
		{"Ex-1.org", "Ex-1.org", 0},
		{"a_b~c.", "a_b~c.", 0},
		{"127.0.0.1:8080", "127.0.0.1", 8080},
		{"a:65535", "a", 65535},
		{"a:00080", "a", 80},
		{"[::1]", "[::1]", 0},
		{"[2001:DB8::1]:443", "[2001:DB8::1]", 443},
		{"[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", 0},
		{"", NULL, 0},
		{":80", NULL, 0},
		{"a:", NULL, 0},
		{"a:0", NULL, 0},
		{"a:65536", NULL, 0},
		{"a:000000080", NULL, 0},
		{"a:99999999", NULL, 0},
		{"a:8x", NULL, 0},
		{"a:+8", NULL, 0},
		{"a b", NULL, 0},
		{"a%41", NULL, 0},
		{"a,b", NULL, 0},
		{"u@a", NULL, 0},
		{"a/", NULL, 0},
		{"a\x80", NULL, 0},
		{"::1", NULL, 0},
		{"[::1", NULL, 0},
		{"[]", NULL, 0},
		{"[::1]x", NULL, 0},
		{"[::1]]", NULL, 0},
		{"[::1%eth0]", NULL, 0},
		{"[v1.a]", NULL, 0},
		{"[1:2:3:4:5:6:7:8:9]", NULL, 0},
		{"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]", NULL, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span host = SPAN_NONE;
		uint16_t port = 9;
		bool ok = uri_authority_parse(span_str(cases[i].text), &host, &port);

		if (ok != (cases[i].host != NULL))
			fail_msg("%s", cases[i].text);
		if (!ok)
			continue;
		assert_true(span_eq(host, span_str(cases[i].host)));
		assert_int_equal(port, cases[i].port);
	}
}

static void absolute_targets_are_http_and_have_an_authority(void **state UNUSED)
{
	static const struct {
		const char *text, *scheme, *authority, *rest; /* scheme NULL: refused */
	} cases[] = {
		{"http://a", "http", "a", ""},     {"HttpS://a:1/b?c", "https", "a:1", "/b?c"},
		{"http://a?b", "http", "a", "?b"}, {"http://[::1]/", "http", "[::1]", "/"},
		{"http:a", NULL, NULL, NULL},      {"http:/a", NULL, NULL, NULL},
		{"http://", NULL, NULL, NULL},     {"http:///", NULL, NULL, NULL},
		{"ws://a", NULL, NULL, NULL},      {"://a", NULL, NULL, NULL},
		{"httpx://a", NULL, NULL, NULL},   {"http://u@a/", NULL, NULL, NULL},
		{"a:443", NULL, NULL, NULL},       {"", NULL, NULL, NULL},
		{"http:", NULL, NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span scheme, authority, rest;
		bool ok = uri_absolute_parse(span_str(cases[i].text), &scheme, &authority, &rest);

		if (ok != (cases[i].scheme != NULL))
			fail_msg("%s", cases[i].text);
		if (!ok)
			continue;
		assert_true(span_eq(scheme, span_str(cases[i].scheme)));
		assert_true(span_eq(authority, span_str(cases[i].authority)));
		assert_true(span_eq(rest, span_str(cases[i].rest)));
	}
}

static void paths_have_one_normal_form(void **state UNUSED)
{
	static const struct {
		const char *path, *normal; /* normal NULL: refused */
	} cases[] = {
		{"/", "/"},
		{"/a/b", "/a/b"},
		{"//a//", "//a//"},
		{"/a;b=c,d/@:$&'()*+=!~-_", "/a;b=c,d/@:$&'()*+=!~-_"},
		{"/.a/..b/...", "/.a/..b/..."},
		{"/a./b..", "/a./b.."},
		{"/.", "/"},
		{"/./", "/"},
		{"/a/.", "/a/"},
		{"/a/./b", "/a/b"},
		{"/a/..", "/"},
		{"/a/../", "/"},
		{"/a/b/..", "/a/"},
		{"/a/b/../c", "/a/c"},
		{"/a/b/../../c", "/c"},
		{"/a//../b", "/a/b"},
		{"//..", "/"},
		{"//../..", NULL},
		{"/..", NULL},
		{"/../", NULL},
		{"/a/../..", NULL},
		{"/a/../../a", NULL},
		{"/./..", NULL},
		{"/%2e", "/"},
		{"/%2E/a", "/a"},
		{"/a/%2e%2e/b", "/b"},
		{"/a/.%2E/b", "/b"},
		{"/a/%2e./b", "/b"},
		{"/%2e%2e", NULL},
		{"/%2e%2e%2e", "/..."},
		{"/a/..%2f", "/a/..%2F"},
		{"/%2F..", "/%2F.."},
		{"/a%2f/..", "/"},
		{"/%7Euser%41%2d%5f%30", "/~userA-_0"},
		{"/%c3%a9", "/%C3%A9"},
		{"/%C3%A9", "/%C3%A9"},
		{"/%252e%252e", "/%252e%252e"},
		{"/%5c..%5C", "/%5C..%5C"},
		{"/%0d%0A", "/%0D%0A"},
		{"/a%00", NULL},
		{"/%", NULL},
		{"/%2", NULL},
		{"/%2g", NULL},
		{"/%g2", NULL},
		{"/a\\b", NULL},
		{"/a b", NULL},
		{"/a#b", NULL},
		{"/a?b", NULL},
		{"/[", NULL},
		{"/\x80", NULL},
		{"/\x7f", NULL},
		{"/abcdefghijklmnopqrstuvwxyz0123456789/./x",
		 "/abcdefghijklmnopqrstuvwxyz0123456789/x"},
		{"", NULL},
		{"a", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span path = span_str(cases[i].path);
		enum uri_path_verdict verdict = uri_path_check(path), expected = URI_PATH_DIRTY;
		char *out = malloc(path.len + 1);
		size_t len;

		if (!cases[i].normal)
			expected = URI_PATH_BAD;
		else if (strcmp(cases[i].path, cases[i].normal) == 0)
			expected = URI_PATH_CLEAN;
		if (verdict != expected)
			fail_msg("%s: %d, not %d", cases[i].path, verdict, expected);
		if (verdict != URI_PATH_BAD) {
			len = uri_path_normalise(path, out);
			if (!span_eq(span_of(out, len), span_str(cases[i].normal)))
				fail_msg("%s: %.*s", cases[i].path, (int)len, out);
			assert_int_equal(uri_path_check(span_of(out, len)), URI_PATH_CLEAN);
		}
		free(out);
	}
}

/* Each place in a path of each length, in memory that ends with it. */
static void odd_characters_are_seen_wherever_they_stand(void **state UNUSED)
{
	for (size_t len = 3; len <= 70; len++) {
		char *path = malloc(len);

		memset(path, 'a', len);
		path[0] = '/';
		assert_int_equal(uri_path_check(span_of(path, len)), URI_PATH_CLEAN);
		for (size_t at = 1; at < len; at++) {
			path[at] = '\\';
			assert_int_equal(uri_path_check(span_of(path, len)), URI_PATH_BAD);
			path[at] = '.';
			assert_int_equal(uri_path_check(span_of(path, len)), URI_PATH_CLEAN);
			if (at + 2 < len) {
				memcpy(path + at, "/./", 3);
				assert_int_equal(uri_path_check(span_of(path, len)),
						 URI_PATH_DIRTY);
			}
			memset(path + 1, 'a', len - 1);
		}
		memcpy(path + len - 2, "/.", 2);
		assert_int_equal(uri_path_check(span_of(path, len)), URI_PATH_DIRTY);
		free(path);
	}
}

static void queries_hold_the_characters_of_their_rfc(void **state UNUSED)
{
	static const char *const good[] = {"",
					   "a=b&c=d",
					   "?/:@-._~!$&'()*+,;=",
					   "a[]=1",
					   "%20%00%fF",
					   "abcdefghijklmnopqrstuvwxyz0123456789",
					   "abcdefghijklmnopqrstuvwxyz0123456789%20abc"};
	static const char *const bad[] = {"a b",
					  "a#b",
					  "a|b",
					  "^",
					  "`",
					  "{",
					  "}",
					  "\"",
					  "<",
					  ">",
					  "\\",
					  "\x80",
					  "\x7f",
					  "\x01",
					  "%",
					  "%1",
					  "%g0",
					  "%0g",
					  "abcdefghijklmnopqrstuvwxyz0123456789%2"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(uri_query_check(span_str(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (uri_query_check(span_str(bad[i])))
			fail_msg("%s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(authorities_are_host_and_port),
		cmocka_unit_test(absolute_targets_are_http_and_have_an_authority),
		cmocka_unit_test(paths_have_one_normal_form),
		cmocka_unit_test(odd_characters_are_seen_wherever_they_stand),
		cmocka_unit_test(queries_hold_the_characters_of_their_rfc),
	};

	return cmocka_run_group_tests_name("http: uri", tests, NULL, NULL);
}
