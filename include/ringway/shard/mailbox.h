/* How other threads speak to a shard: one SPSC ring per sender and a bitmap that says
 * which of them have news.
 *
 * A turn reads one bitmap, then only the rings that have news. A sender wakes the
 * shard by a system call only when it says that it sleeps. Both sides store first and
 * look afterwards, sequentially consistent: the shard says "asleep", then reads the
 * bitmap; the sender sets its bit, then reads "asleep". One of them sees the other, so
 * no wake-up is lost.
 */
#ifndef RINGWAY_SHARD_MAILBOX_H
#define RINGWAY_SHARD_MAILBOX_H

#include <ringway/base/spsc.h>

struct ring;

/* Delivered on the receiving shard's thread. */
struct mail {
	void (*deliver)(void *to, const struct mail *mail);
	void *to;
	uint64_t posted_ns; /* mailbox_post() sets it */
	union {
		uint64_t word[5];
		void *ptr[5];
	};
};

struct mailbox {
	struct ring *wake; /* the receiver's */
	unsigned senders;
	struct spsc *rings; /* by sender */
	void *own;          /* memory of theirs, unless it is the caller's */
	/* The receiver's: how long the oldest letter of the last delivery had lain there, and
	 * that of any since it was set back. */
	uint64_t lag_ns, lag_longest_ns;
	_Alignas(CACHE_LINE) _Atomic uint64_t news; /* bit per sender (modulo 64); all write */
	_Alignas(CACHE_LINE) _Atomic bool asleep;   /* the receiver writes */
};

/* Letters that may lie unread, per sender: a sender that meets a full ring keeps its
 * letter and tries again. */
#define MAILBOX_LETTERS 256

/* What the rings of so many senders take. */
size_t mailbox_bytes(unsigned senders);
/* `memory` is mailbox_bytes(), aligned to a cache line, and stays the caller's; NULL: the
 * heap's. -ENOMEM. */
int mailbox_init(struct mailbox *m, unsigned senders, void *memory);
void mailbox_fini(struct mailbox *m);

/* On the sender's thread. False when its ring is full. */
bool mailbox_post(struct mailbox *m, unsigned sender, const struct mail *mail);

/* On the receiver's thread: delivers what is there, at most MAILBOX_LETTERS of each
 * sender, so that a turn ends however fast they write; returns how much. */
unsigned mailbox_deliver(struct mailbox *m);
/* Before a wait; false when there is news and the wait must not block. */
bool mailbox_sleep(struct mailbox *m);
void mailbox_awake(struct mailbox *m);

#endif
