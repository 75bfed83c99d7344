/* What is reserved once per client connection. */
#ifndef RINGWAY_PROXY_SLOTS_H
#define RINGWAY_PROXY_SLOTS_H

#include <ringway/proxy/front.h>

/* An exchange with the first chunk of its arena: room for two ordinary heads; larger ones
 * take a block. */
#define EXCHANGE_SLOT_BYTES (8 * KIB)

/* One for each client connection, so there is always one; and one more, since the next
 * request of a pipeline begins just before the slot of the last one is given back. */
static inline size_t exchange_slots(const struct front *f)
{
	return (size_t)f->clients_len + 1;
}

#endif
