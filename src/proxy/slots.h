/* Size of what is reserved once per client connection. */
#ifndef RINGWAY_PROXY_SLOTS_H
#define RINGWAY_PROXY_SLOTS_H

#include <ringway/base/base.h>

/* An exchange with the first chunk of its arena: room for two ordinary heads; larger ones
 * take a block. */
#define EXCHANGE_SLOT_BYTES (8 * KIB)

#endif
