/* Properties of the head parser that hold for any input, for requests and responses:
 * the result does not depend on how the input is cut nor on the scan variant, and
 * what is written from a head reads as the same head.
 */
#ifndef RINGWAY_TESTS_FUZZ_HEADS_H
#define RINGWAY_TESTS_FUZZ_HEADS_H

#include "fuzz.h"
#include "scan.h"

#include <ringway/http1/parse.h>
#include <ringway/http1/write.h>

#define FIELDS_MAX 16

static const struct h1_limits fuzz_limits = {
	.max_line_bytes = 200, .max_head_bytes = 1000, .max_fields = FIELDS_MAX};

struct outcome {
	enum h1_parse parse;
	enum h1_error error;
	size_t used;
	struct http_head head;
	struct http_field fields[FIELDS_MAX];
	char *input;
};

static UNUSED void outcome_of(struct outcome *o, struct span in, bool is_request,
			      enum http_method method, size_t step)
{
	struct h1_parser p;
	size_t len = 0;

	*o = (struct outcome){.parse = H1_PARSE_MORE};
	h1_parser_init(&p, &fuzz_limits, o->fields);
	do {
		char *moved;

		len = min_u64(len + step, in.len);
		moved = fuzz_copy(in.ptr, len);
		o->parse = is_request
				   ? h1_parse_request(&p, span_of(moved, len), &o->head, &o->used)
				   : h1_parse_response(&p, span_of(moved, len), method, &o->head,
						       &o->used);
		free(o->input);
		o->input = moved;
	} while (o->parse == H1_PARSE_MORE && len < in.len);
	o->error = p.error;
	must(o->parse != H1_PARSE_BAD || (p.error && p.detail));
	must(o->parse != H1_PARSE_DONE || (o->used && o->used <= len));
}

static UNUSED void must_mean_the_same(const struct http_head *a, const struct http_head *b)
{
	must(a->method == b->method && a->status == b->status && a->port == b->port);
	must(a->keep_alive == b->keep_alive && a->te_trailers == b->te_trailers);
	must(a->framing == b->framing && a->content_length == b->content_length);
	must(a->has_content_length == b->has_content_length);
	must(fuzz_same(a->method_text, b->method_text) && fuzz_same(a->path, b->path));
	must(fuzz_same(a->query, b->query) && fuzz_same(a->authority, b->authority));
	must(span_ieq(a->host, b->host) && fuzz_same(a->reason, b->reason));
}

static UNUSED void must_be_the_same(const struct outcome *a, const struct outcome *b)
{
	must(a->parse == b->parse && a->error == b->error);
	if (a->parse != H1_PARSE_DONE)
		return;
	must(a->used == b->used);
	must_mean_the_same(&a->head, &b->head);
	must(a->head.minor == b->head.minor);
	must(a->head.expects_continue == b->head.expects_continue);
	must(fuzz_same(a->head.target, b->head.target));
	must(fuzz_same(a->head.scheme, b->head.scheme));
	must(a->head.fields.len == b->head.fields.len);
	must(a->head.fields.present == b->head.fields.present);
	for (uint32_t i = 0; i < a->head.fields.len; i++) {
		const struct http_field *f = &a->head.fields.at[i], *g = &b->head.fields.at[i];

		must(f->id == g->id && fuzz_same(f->name, g->name) &&
		     fuzz_same(f->value, g->value));
	}
}

/* Parses every way; *ret has the outcome of the chosen variant over the whole. */
static UNUSED void outcome_every_way(struct outcome *ret, struct span in, bool is_request,
				     enum http_method method)
{
	const struct h1_scan *chosen = h1_scan;
	const struct h1_scan *variants[] = {
		&h1_scan_scalar,
#if defined(__x86_64__)
		&h1_scan_sse42,
		&h1_scan_avx2,
#endif
	};
	const size_t steps[] = {SIZE_MAX / 2, 1, 7, 33};
	struct outcome other;

	outcome_of(ret, in, is_request, method, SIZE_MAX / 2);
	for (size_t v = 0; v < ARRAY_LEN(variants); v++) {
		h1_scan = variants[v];
		outcome_of(&other, in, is_request, method, steps[v % ARRAY_LEN(steps)]);
		must_be_the_same(ret, &other);
		free(other.input);
	}
	h1_scan = chosen;
	for (size_t s = 1; s < ARRAY_LEN(steps); s++) {
		outcome_of(&other, in, is_request, method, steps[s]);
		must_be_the_same(ret, &other);
		free(other.input);
	}
}

/* Written and read again. The limits are wider: re-writing may add some bytes. */
static UNUSED void must_survive_the_round_trip(struct http_head *head, bool is_request,
					       enum http_method method)
{
	const struct h1_limits wide = {
		.max_line_bytes = 4000, .max_head_bytes = 8000, .max_fields = FIELDS_MAX + 3};
	struct http_field fields[FIELDS_MAX + 3];
	struct http_head again;
	struct h1_parser p;
	size_t bytes, used;
	enum h1_parse parse;
	char *text;

	h1_remove_hop_by_hop(&head->fields);
	/* What the exchange decides in between: an answer of ours says 1.1. */
	head->minor = 1;
	bytes = h1_head_bytes(head);
	text = malloc(bytes);
	must(text);
	must(h1_write_head(head, text) == bytes);
	h1_parser_init(&p, &wide, fields);
	parse = is_request ? h1_parse_request(&p, span_of(text, bytes), &again, &used)
			   : h1_parse_response(&p, span_of(text, bytes), method, &again, &used);
	must(parse == H1_PARSE_DONE && used == bytes);
	must_mean_the_same(head, &again);
	free(text);
}

#endif
