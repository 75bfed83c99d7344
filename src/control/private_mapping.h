/* What all shards share and nobody else may see: one memfd, reserved whole before anything
 * starts, left out of core dumps, passed on as a descriptor only.
 *
 *   limiter           slots of all keys; huge pages where they are to be had
 *   ticket keys       of TLS sessions
 *   seed              of the limiter's fingerprints
 *   mailboxes         rings of letters: control's, then one for each data shard
 *
 * Who writes and reads each part, and why its memory order suffices, stands with the part:
 * limit/limiter.h, tls/ticket_keys.h, shard/mailbox.h. The seed is written before any other
 * thread is made.
 */
#ifndef RINGWAY_CONTROL_PRIVATE_MAPPING_H
#define RINGWAY_CONTROL_PRIVATE_MAPPING_H

#include <ringway/base/segment.h>

#define SEED_BYTES 16

struct private_sizes {
	size_t limiter_bytes;
	unsigned shards;
	unsigned control_senders;
	unsigned shard_senders; /* to each data shard */
};

struct private_mapping {
	struct segment segment;
	void *limiter;
	void *ticket_keys;
	const uint8_t *seed;
	char *mailboxes;
	struct private_sizes sizes;
};

size_t private_mapping_bytes(const struct private_sizes *sizes);
/* The seed is drawn, the rest is zeros. -ENOMEM: the host has, or the control group allows,
 * *ret_room bytes only, and that is less than it takes. Other errors leave it alone. */
int private_mapping_create(const struct private_sizes *sizes, struct private_mapping *ret_mapping,
                           uint64_t *ret_room);
/* After everything that lies in it; takes what was zeroed. The seed is wiped. */
void private_mapping_fini(struct private_mapping *p);

void *private_mapping_control_mailbox(const struct private_mapping *p);
void *private_mapping_shard_mailbox(const struct private_mapping *p, unsigned shard);

#endif
