#include "toy_codec.h"

#include <errno.h>

#define CHANGE 0x5a

static uint32_t below(struct toy *t, uint32_t n)
{
	t->random = t->random * 1664525 + 1013904223;
	return (t->random >> 8) % n;
}

static struct toy *toy_of(struct conn_codec *k)
{
	return container_of(k, struct toy, codec);
}

static bool put(struct toy *t, struct block **b, enum toy_kind kind, const char *bytes,
		uint32_t len)
{
	uint8_t head[3] = {(uint8_t)kind, (uint8_t)(len >> 8), (uint8_t)len};

	if (*b && block_tail_room(*b) < len + sizeof(head)) {
		conn_send_raw(t->codec.conn, *b);
		*b = NULL;
	}
	if (!*b)
		*b = block_take(&t->codec.conn->shard->blocks);
	if (!*b)
		return false;
	block_append(*b, head, sizeof(head));
	block_append(*b, bytes, len);
	for (uint32_t i = 0; i < len; i++)
		block_end(*b)[-1 - (int)i] ^= CHANGE;
	return true;
}

bool toy_say(struct toy *t, enum toy_kind kind)
{
	struct block *b = NULL;

	if (!put(t, &b, kind, "something", below(t, 9)))
		return false;
	conn_send_raw(t->codec.conn, b);
	if (kind == TOY_ASK)
		t->answers_due++;
	return true;
}

static int encode(struct conn_codec *k, struct block *plain)
{
	struct toy *t = toy_of(k);
	bool fails = t->fails_after && --t->fails_after == 0;
	struct block *b = NULL;
	int err = 0;

	while (block_len(plain) && !err) {
		uint32_t most = (uint32_t)min_u64(block_len(plain), TOY_RECORD_MOST);
		uint32_t n = 1 + below(t, most);

		/* A failure comes in the middle of it. */
		if (fails && below(t, 2))
			err = -ENOBUFS;
		else if (below(t, 20) == 0 && !put(t, &b, TOY_NOTHING, "", 0))
			err = -ENOBUFS;
		else if (!put(t, &b, TOY_DATA, block_begin(plain), n))
			err = -ENOBUFS;
		plain->begin += n;
	}
	block_give(plain);
	if (b)
		conn_send_raw(k->conn, b);
	return fails ? -ENOBUFS : err;
}

/* A record is there as a whole. */
static int take_record(struct toy *t)
{
	uint32_t len = t->body_len;

	t->head_len = 0;
	t->body_len = 0;
	switch ((enum toy_kind)t->head[0]) {
	case TOY_DATA:
		for (uint32_t i = 0; i < len; i++)
			t->body[i] ^= CHANGE;
		t->plain_at = 0;
		t->plain_end = len;
		return 0;
	case TOY_NOTHING: return 0;
	case TOY_ASK: return toy_say(t, TOY_ANSWER) ? 0 : -ENOBUFS;
	case TOY_ANSWER: t->answers_due--; return 0;
	case TOY_END: return -ENODATA;
	case TOY_GARBAGE: break;
	}
	return -EPROTO;
}

static uint32_t length_of(const struct toy *t)
{
	return (uint32_t)t->head[1] << 8 | t->head[2];
}

static void hand_out(struct toy *t, struct block *into)
{
	uint32_t n = (uint32_t)min_u64(t->plain_end - t->plain_at, block_room(into));

	block_append(into, t->body + t->plain_at, n);
	t->plain_at += n;
}

static void take_in(struct block *raw, uint8_t *into, uint32_t *len, uint32_t wanted)
{
	uint32_t n = (uint32_t)min_u64(wanted - *len, block_len(raw));

	memcpy(into + *len, block_begin(raw), n);
	*len += n;
	raw->begin += n;
}

static int decode(struct conn_codec *k, struct block *raw, struct block *into)
{
	struct toy *t = toy_of(k);
	int err = 0;

	while (!err) {
		hand_out(t, into);
		if (t->plain_at < t->plain_end || !raw || !block_len(raw))
			break;
		take_in(raw, t->head, &t->head_len, sizeof(t->head));
		if (t->head_len < sizeof(t->head))
			break;
		must(length_of(t) <= TOY_RECORD_MOST);
		take_in(raw, t->body, &t->body_len, length_of(t));
		if (t->body_len == length_of(t))
			err = take_record(t);
	}
	return err;
}

static bool has_more(const struct conn_codec *k)
{
	const struct toy *t = (const struct toy *)k;

	return t->plain_at < t->plain_end;
}

static void end(struct conn_codec *k)
{
	if (toy_say(toy_of(k), TOY_END))
		toy_of(k)->ends_said++;
}

static void gone(struct conn_codec *k)
{
	toy_of(k)->gone++;
}

static const struct conn_codec_ops toy_ops = {
	.decode = decode,
	.has_more = has_more,
	.encode = encode,
	.end = end,
	.gone = gone,
};

void toy_start(struct toy *t, struct conn *c, uint32_t random)
{
	memset(t, 0, sizeof(*t));
	t->random = random;
	conn_set_codec(c, &t->codec, &toy_ops);
}
