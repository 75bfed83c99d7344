/* What a body passes on its way through: a list of stages, empty by default.
 *
 * A stage gets each piece and gives a piece (the same, changed or not). It must leave
 * the bytes in front of and behind the piece alone.
 */
#ifndef RINGWAY_PROXY_STAGE_H
#define RINGWAY_PROXY_STAGE_H

#include <ringway/shard/block.h>

struct stage {
	struct stage *next;
	struct block *(*pass)(struct stage *s, struct block *piece);
};

static inline struct block *stages_pass(struct stage *first, struct block *piece)
{
	for (struct stage *s = first; s && piece; s = s->next)
		piece = s->pass(s, piece);
	return piece;
}

/* Keeps a copy of a request body up to a limit, so that it can be sent again. Once the
 * body is longer nothing is held, and the request cannot be tried again. */
struct hold_stage {
	struct stage stage;
	struct block_pool *pool;
	struct block *held; /* NULL: nothing passed yet, or too much */
	uint32_t limit_bytes; /* at most BLOCK_DATA_BYTES */
	bool spilled;
};

void hold_init(struct hold_stage *h, struct block_pool *pool, uint32_t limit_bytes);
/* A copy of everything that has passed, the caller's; NULL when nothing has. False when
 * it cannot be had: too long, or no block is left. */
bool hold_replay(struct hold_stage *h, struct block **ret_piece);
void hold_fini(struct hold_stage *h);

#endif
