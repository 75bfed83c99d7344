/* Where conn.c hands over to a connection's codec: see conn.h. All but codec_gone() are for
 * connections that have one.
 */
#ifndef RINGWAY_SRC_NET_CODEC_H
#define RINGWAY_SRC_NET_CODEC_H

#include <ringway/net/conn.h>

/* The owner asks for bytes. */
void codec_recv(struct conn *c);
/* The socket has some, or came to its end. */
void codec_received(struct conn *c, int res, struct block *lent);
void codec_send(struct conn *c, struct block *b);
/* The owner hears nothing any more. */
void codec_stop(struct conn *c);
/* Our side ends in good order. False: it cannot, some of it could not be encoded. */
bool codec_finish(struct conn *c);
/* Whether decoding failed: the peer has not ended then, and may be sending. */
bool codec_has_failed(const struct conn *c);
void codec_gone(struct conn *c);

#endif
