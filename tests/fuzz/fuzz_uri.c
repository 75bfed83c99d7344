#include "fuzz.h"

#include <ringway/http/charset.h>
#include <ringway/http/uri.h>

/* A path that is taken has a normal form that is its own and no longer than it, in
 * which no dot segment is left. */
static void try_path(struct span path)
{
	enum uri_path_verdict verdict = uri_path_check(path);
	char *out, *again;
	size_t len;

	if (verdict == URI_PATH_BAD)
		return;
	out = malloc(path.len);
	must(out);
	len = uri_path_normalise(path, out);
	must(len && len <= path.len && out[0] == '/');
	must((verdict == URI_PATH_CLEAN) == span_eq(path, span_of(out, len)));
	must(uri_path_check(span_of(out, len)) == URI_PATH_CLEAN);
	again = malloc(len);
	must(again);
	must(uri_path_normalise(span_of(out, len), again) == len && memcmp(out, again, len) == 0);
	must(!memmem(out, len, "/./", 3) && !memmem(out, len, "/../", 4));
	must(!span_ends_with(span_of(out, len), SPAN("/.")));
	must(!span_ends_with(span_of(out, len), SPAN("/..")));
	free(again);
	free(out);
}

static void try_authority(struct span authority)
{
	struct span host = SPAN_NONE, again;
	uint16_t port = 0, port_again;

	if (!uri_authority_parse(authority, &host, &port))
		return;
	must(host.len && host.ptr == authority.ptr && host.len <= authority.len);
	must(host.len == authority.len ? port == 0 : port != 0);
	must(uri_authority_parse(host, &again, &port_again) && span_eq(host, again) && !port_again);
}

static void try_absolute(struct span target)
{
	struct span scheme, authority, rest;

	if (!uri_absolute_parse(target, &scheme, &authority, &rest))
		return;
	must(span_eq(scheme, SPAN("http")) || span_eq(scheme, SPAN("https")));
	must(authority.ptr + authority.len == rest.ptr);
	must(rest.ptr + rest.len == target.ptr + target.len);
	must(!rest.len || *rest.ptr == '/' || *rest.ptr == '?');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy((const char *)data, size);
	struct span s = span_of(text, size);

	try_path(s);
	try_authority(s);
	try_absolute(s);
	if (uri_query_check(s))
		for (size_t i = 0; i < size; i++)
			must(charset_has(&charset_query, text[i]) || text[i] == '%');
	free(text);
	return 0;
}
