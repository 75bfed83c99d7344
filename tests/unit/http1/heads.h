/* What the tests of the head parser share: input in a buffer that ends where its
 * memory ends, and one result to compare, whatever the addresses.
 */
#ifndef RINGWAY_TESTS_HTTP1_HEADS_H
#define RINGWAY_TESTS_HTTP1_HEADS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include <ringway/http1/parse.h>

#include "scan.h"

#define HEADS_FIELDS_MAX 32

static const struct h1_limits heads_limits = {
	.max_line_bytes = 1024, .max_head_bytes = 4096, .max_fields = HEADS_FIELDS_MAX};

struct heads_result {
	enum h1_parse parse;
	enum h1_error error;
	const char *detail;
	size_t used;
	struct http_head head; /* on DONE; points into input */
	struct http_field fields[HEADS_FIELDS_MAX];
	char *input;
	size_t gave_verdict_at; /* input bytes when the verdict came */
};

/* Gives the parser the input in steps; each time the bytes are somewhere else. */
static UNUSED void heads_parse(struct heads_result *r, struct span in, bool is_request,
			       enum http_method method, const struct h1_limits *limits, size_t step)
{
	struct h1_parser p;
	size_t len = 0;

	memset(r, 0, sizeof(*r));
	memset(&p, 0xa5, sizeof(p));
	h1_parser_init(&p, limits, r->fields);
	do {
		char *moved;

		len = min_u64(len + step, in.len);
		moved = malloc(len ? len : 1);
		memcpy(moved, in.ptr, len);
		r->parse = is_request
				   ? h1_parse_request(&p, span_of(moved, len), &r->head, &r->used)
				   : h1_parse_response(&p, span_of(moved, len), method, &r->head,
						       &r->used);
		/* Only now, so that the two never lie at the same address. */
		free(r->input);
		r->input = moved;
	} while (r->parse == H1_PARSE_MORE && len < in.len);
	r->gave_verdict_at = len;
	r->error = p.error;
	r->detail = p.detail;
}

static UNUSED void heads_free(struct heads_result *r)
{
	free(r->input);
}

static UNUSED bool heads_same_span(struct span a, const char *a_input, struct span b,
				   const char *b_input, size_t input_len)
{
	if (a.len != b.len || !a.ptr != !b.ptr)
		return false;
	if (!a.ptr)
		return true;
	/* Same place in the input, or outside and the same text. */
	if ((size_t)(a.ptr - a_input) <= input_len)
		return a.ptr - a_input == b.ptr - b_input;
	return span_eq(a, b);
}

static UNUSED bool heads_same(const struct heads_result *a, const struct heads_result *b)
{
	const struct http_head *x = &a->head, *y = &b->head;
#define SAME(field) heads_same_span(x->field, a->input, y->field, b->input, a->used)

	if (a->parse != b->parse || a->error != b->error)
		return false;
	if (a->parse == H1_PARSE_BAD)
		return strcmp(a->detail, b->detail) == 0;
	if (a->parse == H1_PARSE_MORE)
		return true;
	if (a->used != b->used || x->method != y->method || x->status != y->status ||
	    x->port != y->port || x->minor != y->minor || x->keep_alive != y->keep_alive ||
	    x->expects_continue != y->expects_continue || x->te_trailers != y->te_trailers ||
	    x->framing != y->framing || x->content_length != y->content_length ||
	    x->has_content_length != y->has_content_length || x->fields.len != y->fields.len ||
	    x->fields.present != y->fields.present)
		return false;
	if (!SAME(method_text) || !SAME(target) || !SAME(scheme) || !SAME(authority) ||
	    !SAME(host) || !SAME(path) || !SAME(query) || !SAME(reason) || !SAME(raw))
		return false;
	for (uint32_t i = 0; i < x->fields.len; i++)
		if (!SAME(fields.at[i].name) || !SAME(fields.at[i].value) ||
		    x->fields.at[i].id != y->fields.at[i].id)
			return false;
#undef SAME
	return true;
}

static UNUSED const struct h1_scan *const *heads_variants(size_t *ret_count)
{
	static const struct h1_scan *all[3];
	size_t count = 0;

	all[count++] = &h1_scan_scalar;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		all[count++] = &h1_scan_sse42;
	if (__builtin_cpu_supports("avx2"))
		all[count++] = &h1_scan_avx2;
#endif
	*ret_count = count;
	return all;
}

/* Whole and cut into every prefix, with each variant: one and the same result. Leaves
 * that of the whole input in *r. */
static UNUSED void heads_parse_every_way(struct heads_result *r, struct span in, bool is_request,
					 enum http_method method, const struct h1_limits *limits)
{
	const struct h1_scan *chosen = h1_scan;
	struct heads_result other;
	size_t count;
	const struct h1_scan *const *variants = heads_variants(&count);

	h1_scan = variants[0];
	heads_parse(r, in, is_request, method, limits, SIZE_MAX / 2);
	for (size_t v = 0; v < count; v++) {
		h1_scan = variants[v];
		for (size_t cut = 0; cut <= in.len; cut++) {
			/* cut 0: whole; then steps of 1, 2, ... bytes. */
			heads_parse(&other, in, is_request, method, limits,
				    cut ? cut : SIZE_MAX / 2);
			if (!heads_same(r, &other))
				fail_msg("%s in steps of %zu differs: %.*s", h1_scan->name, cut,
					 SPAN_FMT(in));
			heads_free(&other);
		}
	}
	h1_scan = chosen;
}

#endif
