/* A connection's codec: when it is asked for bytes, and when the owner hears of them.
 *
 *   socket --receive--> raw --decode--> rx --> owner --conn_send--> encode --> tx --> socket
 *
 * Decoded is only on the owner's demand, and received only when all of raw is used up and
 * the codec has nothing more by itself: that is the back-pressure. What the owner asked for
 * and what is there already meet in `news`, which runs later in the turn, so that nothing is
 * told inside a call.
 *
 *   wants    a receive is in flight or news is marked; ends with on_recv
 *   end      set by decode() once and for all, told after the last bytes; no decode after it
 *   failed   set by encode() once and for all, told once; no encode after it
 */
#include "codec.h"

#include <errno.h>

static void on_news(struct runnable *r);

void conn_set_codec(struct conn *c, struct conn_codec *k, const struct conn_codec_ops *ops)
{
	must(c->state == CONN_OPEN && !c->codec && !c->io.receiving);
	*k = (struct conn_codec){.ops = ops, .conn = c, .raw = c->rx};
	runnable_init(&k->news, on_news);
	c->rx = NULL;
	c->codec = k;
}

/* ---- in ---- */

static void tell_recv(struct conn *c, int res)
{
	c->codec->wants = false;
	if (res <= 0)
		c->at_end = true;
	c->events->on_recv(c, res);
}

static bool has_more(const struct conn_codec *k)
{
	return k->raw || k->end || k->ops->has_more(k);
}

static uint32_t decode_into_rx(struct conn *c)
{
	struct conn_codec *k = c->codec;
	uint32_t before = block_len(c->rx), made;

	k->end = k->ops->decode(k, k->raw, c->rx);
	made = block_len(c->rx) - before;
	/* Input left where there was room: the codec would wait for itself. */
	if (!k->end && !made && k->raw && block_len(k->raw))
		k->end = -EPROTO;
	if (k->raw && (k->end || !block_len(k->raw))) {
		block_give(k->raw);
		k->raw = NULL;
	}
	c->bytes_in += made;
	if (!block_len(c->rx)) {
		block_give(c->rx);
		c->rx = NULL;
	}
	return made;
}

/* The owner waits for bytes: makes some of what is there, or asks for more. */
static void serve(struct conn *c)
{
	struct conn_codec *k = c->codec;
	uint32_t made = 0;

	if (!k->end && has_more(k)) {
		if (!c->rx)
			c->rx = block_take(&c->shard->blocks);
		if (c->rx)
			made = decode_into_rx(c);
		else
			k->end = -ENOMEM;
	}
	if (made)
		tell_recv(c, (int)made);
	else if (k->end)
		tell_recv(c, k->end == -ENODATA ? 0 : k->end);
	else if (!c->io.receiving)
		ring_recv_lent(c->shard->ring, &c->io, c->more);
}

void codec_recv(struct conn *c)
{
	struct conn_codec *k = c->codec;

	if (k->wants)
		return;
	if (c->rx && !block_room(c->rx))
		block_compact(c->rx);
	if (c->rx && !block_room(c->rx))
		return;
	k->wants = true;
	if (has_more(k))
		shard_mark(c->shard, &k->news);
	else
		ring_recv_lent(c->shard->ring, &c->io, c->more);
}

void codec_received(struct conn *c, int res, struct block *lent)
{
	struct conn_codec *k = c->codec;

	must(k->wants && !k->raw);
	if (res <= 0) {
		c->cut = true;
		tell_recv(c, res);
		return;
	}
	k->raw = lent;
	serve(c);
}

/* ---- out ---- */

void codec_send(struct conn *c, struct block *b)
{
	struct conn_codec *k = c->codec;

	must(c->state == CONN_OPEN && block_len(b));
	/* Behind a gap: a codec that could go on would make a whole of what is none. */
	if (k->failed) {
		block_give(b);
		return;
	}
	c->bytes_out += block_len(b);
	k->failed = k->ops->encode(k, b);
	if (k->failed)
		shard_mark(c->shard, &k->news);
}

/* ---- news ---- */

static void on_news(struct runnable *r)
{
	struct conn_codec *k = container_of(r, struct conn_codec, news);
	struct conn *c = k->conn;

	if (k->failed && !k->failure_told) {
		k->failure_told = true;
		c->events->on_sent(c, k->failed);
	}
	/* The owner may have closed, or wait no more. */
	if (c->state == CONN_OPEN && k->wants && !c->io.receiving)
		serve(c);
}

/* ---- ends ---- */

void codec_stop(struct conn *c)
{
	runnable_stop(&c->codec->news);
	c->codec->wants = false;
}

bool codec_finish(struct conn *c)
{
	struct conn_codec *k = c->codec;

	codec_stop(c);
	if (k->failed)
		return false;
	/* A codec that does not understand its peer has said so. */
	if (!codec_has_failed(c))
		k->ops->end(k);
	return true;
}

bool codec_has_failed(const struct conn *c)
{
	return c->codec->end && c->codec->end != -ENODATA;
}

void codec_gone(struct conn *c)
{
	struct conn_codec *k = c->codec;

	if (!k)
		return;
	c->codec = NULL;
	if (k->raw)
		block_give(k->raw);
	k->ops->gone(k);
}
