/* A codec that is as small as can be and awkward where real ones are.
 *
 * A record is a kind, a length of two bytes and as many bytes, each changed by a constant.
 * Some carry nothing for the owner, some want an answer from the codec itself, and a record
 * is decoded only as a whole, so that bytes wait inside.
 */
#ifndef RINGWAY_SIM_TOY_CODEC_H
#define RINGWAY_SIM_TOY_CODEC_H

#include <ringway/net/conn.h>

#define TOY_RECORD_MOST 1500

enum toy_kind { TOY_DATA = 1, TOY_NOTHING, TOY_ASK, TOY_ANSWER, TOY_END, TOY_GARBAGE = 0xee };

struct toy {
	struct conn_codec codec;
	uint32_t random;
	uint8_t head[3];
	uint32_t head_len;
	uint8_t body[TOY_RECORD_MOST];
	uint32_t body_len; /* of the record that is coming */
	uint32_t plain_at, plain_end; /* of body: decoded, not handed out */
	unsigned fails_after; /* encodings until one fails; 0: none does */
	unsigned answers_due;
	unsigned ends_said, gone;
};

void toy_start(struct toy *t, struct conn *c, uint32_t random);
/* One record of the codec's own; false: no block for it. */
bool toy_say(struct toy *t, enum toy_kind kind);

#endif
