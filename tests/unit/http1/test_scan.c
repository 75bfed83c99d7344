#include "heads.h"

/* Small and quick; only has to reach odd places. */
static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void same_by_all_variants(struct span in, bool is_request, size_t step)
{
	const struct h1_scan *chosen = h1_scan;
	struct heads_result reference, other;
	size_t count;
	const struct h1_scan *const *variants = heads_variants(&count);

	h1_scan = variants[0];
	heads_parse(&reference, in, is_request, HTTP_METHOD_GET, &heads_limits, step);
	for (size_t v = 1; v < count; v++) {
		h1_scan = variants[v];
		heads_parse(&other, in, is_request, HTTP_METHOD_GET, &heads_limits, step);
		if (!heads_same(&reference, &other))
			fail_msg("%s differs from scalar: %.*s", h1_scan->name, SPAN_FMT(in));
		heads_free(&other);
	}
	h1_scan = chosen;
	heads_free(&reference);
}

/* Every byte value at every place of heads of every length around the vector widths. */
static void each_byte_at_each_place_is_judged_alike(void **state UNUSED)
{
	for (size_t pad = 0; pad < 70; pad += 5) {
		char raw[200];
		int len = snprintf(
			raw, sizeof(raw), "GET /%.*s HTTP/1.1\r\nHost: a\r\nN%.*s: v%.*s\r\n\r\n",
			(int)pad / 5, "aaaaaaaaaaaaaaaa", (int)pad / 2,
			"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", (int)pad,
			"vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv");

		for (int at = 0; at < len; at++) {
			char kept = raw[at];

			for (int byte = 0; byte < 256; byte++) {
				raw[at] = (char)byte;
				same_by_all_variants(span_of(raw, (size_t)len), true, SIZE_MAX / 2);
			}
			raw[at] = kept;
		}
	}
}

/* All strings of up to five characters out of those that the grammar turns on, behind
 * a head that puts them in the request line, a name or a value. */
static void short_strings_are_judged_alike(void **state UNUSED)
{
	static const char alphabet[] = {'\r', '\n', ' ', '\t', ':', 'a', '\0', '\x80'};
	static const char *const before[] = {"", "GET ", "GET / HTTP/1.1\r\n",
					     "GET / HTTP/1.1\r\nHost: abcdefghijklmnop"};

	for (size_t b = 0; b < ARRAY_LEN(before); b++)
		for (unsigned n = 0; n < 1u << 15; n++) {
			char raw[64];
			size_t len = strlen(before[b]);

			memcpy(raw, before[b], len);
			for (unsigned i = 0; i < 5; i++)
				raw[len++] = alphabet[n >> (3 * i) & 7];
			same_by_all_variants(span_of(raw, len), true, SIZE_MAX / 2);
		}
}

static void mutated_heads_are_judged_alike(void **state UNUSED)
{
	static const char request[] =
		"POST /a/long/enough/path/to/cross/a/vector?with=a&query=too HTTP/1.1\r\n"
		"Host: example.org:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
		"Accept: */*\r\nCookie: a=b; c=d; e=f; g=h; i=j; k=l; m=n; o=p; q=r; s=t\r\n"
		"Content-Length: 5\r\nConnection: keep-alive\r\nX: \r\n\r\n";
	static const char response[] =
		"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n"
		"Content-Type: text/html; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";
	uint64_t seed = 0x9e3779b97f4a7c15;

	for (unsigned round = 0; round < 20000; round++) {
		bool is_request = round & 1;
		char raw[512];
		size_t len = is_request ? sizeof(request) - 1 : sizeof(response) - 1;

		memcpy(raw, is_request ? request : response, len);
		for (unsigned edits = next_random(&seed) % 4; edits; edits--)
			raw[next_random(&seed) % len] = (char)next_random(&seed);
		if (next_random(&seed) % 4 == 0)
			len = next_random(&seed) % len;
		same_by_all_variants(span_of(raw, len), is_request,
				     round % 3 ? SIZE_MAX / 2 : 1 + next_random(&seed) % 40);
	}
}

static void the_variant_in_use_has_a_name(void **state UNUSED)
{
	size_t count;
	const struct h1_scan *const *variants = heads_variants(&count);

	/* The widest that the CPU has. */
	assert_string_equal(h1_scan_name(), variants[count - 1]->name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_byte_at_each_place_is_judged_alike),
		cmocka_unit_test(short_strings_are_judged_alike),
		cmocka_unit_test(mutated_heads_are_judged_alike),
		cmocka_unit_test(the_variant_in_use_has_a_name),
	};

	return cmocka_run_group_tests_name("http1: scan", tests, NULL, NULL);
}
