#include <ringway/proxy/stage.h>

static struct block *hold_pass(struct stage *s, struct block *piece)
{
	struct hold_stage *h = container_of(s, struct hold_stage, stage);
	uint32_t len = block_len(piece);

	if (h->spilled)
		return piece;
	if (!h->held && len <= h->limit_bytes)
		h->held = block_take(h->pool);
	if (!h->held || block_len(h->held) + len > h->limit_bytes) {
		hold_fini(h);
		h->spilled = true;
		return piece;
	}
	block_append(h->held, block_begin(piece), len);
	return piece;
}

void hold_init(struct hold_stage *h, struct block_pool *pool, uint32_t limit_bytes)
{
	must(limit_bytes <= BLOCK_DATA_BYTES);
	h->stage = (struct stage){.next = NULL, .pass = hold_pass};
	h->pool = pool;
	h->held = NULL;
	h->limit_bytes = limit_bytes;
	h->spilled = false;
}

bool hold_replay(struct hold_stage *h, struct block **ret_piece)
{
	struct block *copy;

	if (h->spilled)
		return false;
	if (!h->held) {
		*ret_piece = NULL;
		return true;
	}
	copy = block_take(h->pool);
	if (!copy)
		return false;
	block_append(copy, block_begin(h->held), block_len(h->held));
	*ret_piece = copy;
	return true;
}

void hold_fini(struct hold_stage *h)
{
	if (h->held)
		block_give(h->held);
	h->held = NULL;
}
