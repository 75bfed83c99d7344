#include <ringway/http1/body.h>

#include <ringway/http1/write.h>

void h1_body_begin(struct h1_body *b, const struct http_head *head)
{
	b->framing = head->framing;
	b->left = head->framing == HTTP_FRAMING_LENGTH ? head->content_length : 0;
	if (head->framing == HTTP_FRAMING_CHUNKED)
		chunked_decoder_init(&b->chunked);
}

bool h1_body_ends_with_connection(const struct h1_body *b)
{
	return b->framing == HTTP_FRAMING_CLOSE;
}

/* Cuts the first `len` bytes of rx off as the piece. What stands from `used` on belongs
 * to somebody else and must not share the block: a piece is written around in place. */
static bool cut_piece(struct conn *c, struct http_stream *s, uint32_t len, uint32_t used)
{
	struct block *rest = NULL;
	uint32_t rest_len = block_len(c->rx) - used;

	if (rest_len) {
		rest = block_take(c->shard->ring->blocks);
		if (!rest) {
			s->fault = ACCESS_OUT_OF_MEMORY;
			return false;
		}
		block_append(rest, block_begin(c->rx) + used, rest_len);
	}
	s->piece = conn_take_rx(c);
	s->piece->end = s->piece->begin + len;
	c->rx = rest;
	return true;
}

static bool take_length(struct h1_body *b, struct conn *c, struct http_stream *s)
{
	uint32_t len = (uint32_t)min_u64(b->left, block_len(c->rx));

	if (!cut_piece(c, s, len, len))
		return false;
	b->left -= len;
	s->in_ended = b->left == 0;
	return true;
}

static bool take_trailers(struct h1_body *b, struct conn *c, struct http_stream *s,
			  struct h1_parser *parser)
{
	struct http_fields trailers;
	size_t used;

	if (!c->rx)
		return true;
	h1_parser_init(parser, parser->limits, parser->fields);
	switch (h1_parse_trailers(parser, block_span(c->rx), &trailers, &used)) {
	case H1_PARSE_BAD: return false;
	case H1_PARSE_MORE:
		/* No room means that the section is longer than any limit allows. */
		return block_len(c->rx) < BLOCK_DATA_BYTES;
	case H1_PARSE_DONE: break;
	}
	if (trailers.len && s->arena) {
		struct http_head from = {.fields = trailers};
		struct http_head copy;

		if (!http_head_copy(&from, s->arena, 0, &copy)) {
			s->fault = ACCESS_OUT_OF_MEMORY;
			return false;
		}
		s->trailers = copy.fields;
	}
	conn_consume(c, (uint32_t)used);
	b->chunked.state = CHUNKED_DONE;
	s->in_ended = true;
	return true;
}

static bool take_chunked(struct h1_body *b, struct conn *c, struct http_stream *s,
			 struct h1_parser *parser)
{
	size_t data, used;

	if (b->chunked.state == CHUNKED_TRAILER)
		return take_trailers(b, c, s, parser);
	if (chunked_decode(&b->chunked, block_begin(c->rx), block_len(c->rx), &data, &used) ==
	    H1_PARSE_BAD)
		return false;
	/* [0, data) is data now, [used, len) the trailer section and beyond. */
	if (!data)
		conn_consume(c, (uint32_t)used);
	else if (!cut_piece(c, s, (uint32_t)data, (uint32_t)used))
		return false;
	if (b->chunked.state == CHUNKED_TRAILER)
		return take_trailers(b, c, s, parser);
	return true;
}

bool h1_body_take(struct h1_body *b, struct conn *c, struct http_stream *s,
		  struct h1_parser *trailer_parser)
{
	if (s->in_ended || s->piece)
		return true;
	if (b->framing == HTTP_FRAMING_NONE || (b->framing == HTTP_FRAMING_LENGTH && !b->left)) {
		s->in_ended = true;
		return true;
	}
	if (!c->rx)
		return true;
	switch (b->framing) {
	case HTTP_FRAMING_LENGTH: return take_length(b, c, s);
	case HTTP_FRAMING_CHUNKED: return take_chunked(b, c, s, trailer_parser);
	case HTTP_FRAMING_CLOSE: s->piece = conn_take_rx(c); return true;
	case HTTP_FRAMING_NONE: break;
	}
	return true;
}

/* ---- out ---- */

static const char last_chunk[] = "0\r\n";

static uint32_t trailers_bytes(const struct http_fields *trailers)
{
	uint32_t bytes = sizeof(last_chunk) - 1 + 2;

	for (uint32_t i = 0; trailers && i < trailers->len; i++)
		bytes += (uint32_t)(trailers->at[i].name.len + trailers->at[i].value.len + 4);
	return bytes;
}

static void append_end(struct block *b, const struct http_fields *trailers)
{
	block_append(b, last_chunk, sizeof(last_chunk) - 1);
	for (uint32_t i = 0; trailers && i < trailers->len; i++) {
		const struct http_field *f = &trailers->at[i];

		block_append(b, f->name.ptr, (uint32_t)f->name.len);
		block_append(b, ": ", 2);
		block_append(b, f->value.ptr, (uint32_t)f->value.len);
		block_append(b, "\r\n", 2);
	}
	block_append(b, "\r\n", 2);
}

static void frame_chunk(struct block *piece)
{
	char size[18];
	size_t len = chunked_write_size(size, block_len(piece));

	memcpy(block_prepend(piece, (uint32_t)len), size, len);
	block_append(piece, "\r\n", 2);
}

/* Writes the head in front of the piece, which has the room. */
static void prepend_head(struct block *piece, const struct http_head *head, size_t bound)
{
	char *at = block_prepend(piece, (uint32_t)bound);
	size_t len = h1_write_head(head, at);

	if (len < bound) {
		memmove(at + (bound - len), at, len);
		piece->begin += (uint32_t)(bound - len);
	}
}

bool h1_message_send(struct conn *c, const struct http_head *head, struct block *piece, bool last,
		     const struct http_fields *trailers, bool chunked)
{
	struct block_pool *pool = c->shard->ring->blocks;
	struct block *head_block = NULL;
	struct block *end_block = NULL;
	size_t head_bound = head ? h1_head_bytes(head) : 0;
	bool ends_chunked = last && chunked;
	uint32_t end_bytes = ends_chunked ? trailers_bytes(trailers) : 0;
	/* The size line is at most 7 bytes for a block, its end 2. */
	bool head_in_front = piece && head_bound + 18 <= block_head_room(piece);
	bool end_behind = piece && end_bytes + 2 <= block_tail_room(piece);

	if (head && !head_in_front) {
		head_block = block_take(pool);
		if (!head_block || head_bound > BLOCK_DATA_BYTES)
			goto fail;
	}
	if (ends_chunked && !end_behind) {
		if (!piece && head_block && end_bytes <= block_tail_room(head_block) - head_bound)
			end_block = head_block;
		else
			end_block = block_take(pool);
		if (!end_block || end_bytes > BLOCK_DATA_BYTES)
			goto fail;
	}

	if (piece && chunked)
		frame_chunk(piece);
	if (head_block)
		head_block->end += (uint32_t)h1_write_head(head, block_end(head_block));
	else if (head)
		prepend_head(piece, head, head_bound);
	if (ends_chunked)
		append_end(end_block ? end_block : piece, trailers);

	if (head_block)
		conn_send(c, head_block);
	if (piece)
		conn_send(c, piece);
	if (end_block && end_block != head_block)
		conn_send(c, end_block);
	return true;
fail:
	if (head_block)
		block_give(head_block);
	if (end_block && end_block != head_block)
		block_give(end_block);
	if (piece)
		block_give(piece);
	return false;
}
