#include "fuzz.h"

#include <ringway/http1/chunked.h>

#define FIELDS_MAX 8

struct outcome {
	enum h1_parse parse;
	char *data;
	size_t data_len;
	size_t used;
};

/* Piece by piece, the way a body comes off a connection. */
static void decode(struct outcome *o, struct span in, size_t step)
{
	struct chunked_decoder d;

	*o = (struct outcome){.parse = H1_PARSE_MORE, .data = malloc(in.len + 1)};
	must(o->data);
	chunked_decoder_init(&d);
	while (o->parse == H1_PARSE_MORE && o->used < in.len) {
		size_t len = min_u64(step, in.len - o->used), data = 0, used = 0;
		char *piece = fuzz_copy(in.ptr + o->used, len);

		o->parse = chunked_decode(&d, piece, len, &data, &used);
		if (o->parse != H1_PARSE_BAD) {
			must(data <= used && used <= len);
			must(o->parse == H1_PARSE_DONE || used == len);
			memcpy(o->data + o->data_len, piece, data);
			o->data_len += data;
			o->used += used;
		}
		free(piece);
	}
}

/* The data, framed by us, decodes to itself. */
static void must_survive_the_round_trip(const struct outcome *o)
{
	char *body = malloc(18 + o->data_len + 2 + 3);
	struct chunked_decoder d;
	size_t len = 0, data, used;

	must(body);
	if (o->data_len) {
		len = chunked_write_size(body, o->data_len);
		memcpy(body + len, o->data, o->data_len);
		len += o->data_len;
		memcpy(body + len, "\r\n", 2);
		len += 2;
	}
	len += chunked_write_size(body + len, 0);
	chunked_decoder_init(&d);
	must(chunked_decode(&d, body, len, &data, &used) == H1_PARSE_DONE);
	must(used == len && data == o->data_len && memcmp(body, o->data, data) == 0);
	free(body);
}

static void trailers_in_any_pieces(struct span in)
{
	const struct h1_limits limits = {
		.max_line_bytes = 100, .max_head_bytes = 500, .max_fields = FIELDS_MAX};
	struct http_field fields[FIELDS_MAX], fields_again[FIELDS_MAX];
	struct http_fields whole, pieces;
	struct h1_parser p, q;
	size_t whole_used = 0, used = 0;
	enum h1_parse parse = H1_PARSE_MORE, again = H1_PARSE_MORE;
	char *copy = fuzz_copy(in.ptr, in.len), *grown = NULL;

	h1_parser_init(&p, &limits, fields);
	parse = h1_parse_trailers(&p, span_of(copy, in.len), &whole, &whole_used);
	h1_parser_init(&q, &limits, fields_again);
	for (size_t len = 1; again == H1_PARSE_MORE && len <= in.len; len++) {
		char *moved = fuzz_copy(in.ptr, len);

		again = h1_parse_trailers(&q, span_of(moved, len), &pieces, &used);
		free(grown);
		grown = moved;
	}
	must(parse == again && p.error == q.error);
	if (parse == H1_PARSE_DONE) {
		must(whole_used == used && whole.len == pieces.len);
		for (uint32_t i = 0; i < whole.len; i++) {
			must(fuzz_same(whole.at[i].name, pieces.at[i].name));
			must(fuzz_same(whole.at[i].value, pieces.at[i].value));
			must(http_field_allowed_in_trailer(whole.at[i].id, whole.at[i].name));
		}
	}
	free(copy);
	free(grown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span in = span_of((const char *)data, size);
	const size_t steps[] = {1, 3, 16, 1000};
	struct outcome whole, pieces;

	decode(&whole, in, SIZE_MAX / 2);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		decode(&pieces, in, steps[i]);
		must(whole.parse == pieces.parse);
		if (whole.parse != H1_PARSE_BAD) {
			must(whole.used == pieces.used && whole.data_len == pieces.data_len);
			must(memcmp(whole.data, pieces.data, whole.data_len) == 0);
		}
		free(pieces.data);
	}
	if (whole.parse == H1_PARSE_DONE) {
		must_survive_the_round_trip(&whole);
		trailers_in_any_pieces(span_of(in.ptr + whole.used, in.len - whole.used));
	}
	free(whole.data);
	return 0;
}
