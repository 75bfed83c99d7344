/* The ring on io_uring. */
#ifndef RINGWAY_SHARD_URING_H
#define RINGWAY_SHARD_URING_H

#include <ringway/shard/ring.h>

/* On the thread that will use it. `sockets`: most that can be attached at a time.
 * -errno of io_uring_setup; -EPERM, -ENOSYS: io_uring is refused here. */
int uring_create(struct block_pool *blocks, uint32_t sockets, struct ring **ret_ring);

/* What the kernel gave: "single_issuer defer_taskrun ...", for the banner. */
const char *uring_features(struct ring *ring);

/* What one attached socket costs, for the banner. */
size_t uring_socket_bytes(void);

/* Tries a ring and lets it go: 0 or -errno, without side effects. */
int uring_probe(void);

#endif
