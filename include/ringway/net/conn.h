/* One stream connection: bytes in and out of one socket, under deadlines.
 *
 * Receiving: the bytes that nobody has read yet lie in `rx`, a block that is there only
 * while it has bytes. conn_recv() asks for more: into the room behind them, or, with no
 * block, into one that the ring lends when something comes; an idle connection holds no
 * memory but this struct.
 *
 * Sending: blocks are queued and leave one after the other, one send in flight.
 *
 * Ending: conn_close() at once; conn_finish() after what is queued has been sent, with
 * a linger when the peer may still be sending: our side is shut down and input is read
 * and dropped for a while, because a close with unread input becomes a reset, and the
 * reset destroys the answer on its way (RFC 9112 section 9.6).
 *
 *   OPEN --conn_finish--> DRAINING --all sent--> LINGERING --EOF or limit--> CLOSING
 *     \------------------------conn_close, failure while draining-----------/
 *
 * In OPEN alone news goes to the owner; after that only on_gone.
 *
 * A codec (TLS) stands between the socket's bytes and the owner's: with one, `rx`, the
 * blocks that are sent and the counters are the owner's bytes, all of this stays as it is.
 */
#ifndef RINGWAY_NET_CONN_H
#define RINGWAY_NET_CONN_H

#include <ringway/shard/shard.h>

struct conn;

struct conn_events {
	/* `res` more bytes are in conn->rx; 0: the peer has ended its side; -errno. */
	void (*on_recv)(struct conn *c, int res);
	void (*on_connect)(struct conn *c, int err);
	/* Everything that was queued has been taken by the kernel (0), or -errno;
	 * -ETIMEDOUT when the peer acknowledges nothing any more. */
	void (*on_sent)(struct conn *c, int err);
	/* The deadline of conn_set_deadline() has come. */
	void (*on_deadline)(struct conn *c);
	/* Last word; the memory is the owner's again. */
	void (*on_gone)(struct conn *c);
};

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_OPEN, CONN_DRAINING, CONN_LINGERING,
	          CONN_CLOSING };

struct conn_codec;

struct conn_codec_ops {
	/* Decodes `raw` from its beginning on, which moves behind what was used, and
	 * appends to `into`, until one of them has no more to give or to take. 0; -ENODATA
	 * when the peer has ended its side by the codec's own word; else -errno: the
	 * connection is of no use any more. May queue answers of its own. */
	int (*decode)(struct conn_codec *k, struct block *raw, struct block *into);
	/* Whether decode() would append something without new input. */
	bool (*has_more)(const struct conn_codec *k);
	/* Queues the block's bytes encoded, and gives it back. -errno: not all of them;
	 * nothing is sent any more. */
	int (*encode)(struct conn_codec *k, struct block *plain);
	/* Queues the codec's own word that our side has ended; not after a failure. */
	void (*end)(struct conn_codec *k);
	/* The connection is gone; the memory is the codec's. */
	void (*gone)(struct conn_codec *k);
};

/* Embedded in what encodes and decodes. */
struct conn_codec {
	const struct conn_codec_ops *ops;
	struct conn *conn;
	struct block *raw;    /* received, not decoded for want of room in rx */
	struct runnable news; /* what must not be told inside a call */
	int end;              /* what decode() said last: comes after the bytes before it */
	int failed;           /* what encode() said: on_sent tells it */
	bool failure_told;
	bool wants;           /* the owner has asked for bytes */
};

struct conn {
	struct io io;
	struct shard *shard;
	const struct conn_events *events;
	struct conn_codec *codec; /* NULL: the owner's bytes are the socket's */
	struct block *rx;
	struct block *tx_first; /* in flight when io.sending */
	struct block *tx_last;
	struct timer deadline;
	struct timer write_timer;
	uint64_t write_idle_ns; /* 0: no limit */
	uint64_t acknowledged;  /* at the last look of the write timer */
	uint64_t bytes_in;
	uint64_t bytes_out; /* taken by the kernel */
	uint32_t lingered; /* bytes dropped */
	bool linger;       /* once what is queued has been sent */
	enum conn_state state;
	bool more; /* the last receive said that bytes wait */
	bool at_end; /* the peer has ended its side */
	bool cut;    /* and not by its codec's word: something may be missing */
	bool reset;  /* the end is to be a reset */
};

void conn_init(struct conn *c, struct shard *s, const struct conn_events *events);
/* An accepted socket, which is the callee's from now on. -EMFILE when the ring has no room
 * for it: then it is still the caller's. */
int conn_open(struct conn *c, int fd, uint64_t write_idle_ns);
/* 0: on_connect follows. -errno at once: the connection stays closed. */
int conn_connect(struct conn *c, const struct address *to, uint64_t write_idle_ns);

/* From now on, with what is in rx as the first input. Before the owner's first bytes are
 * sent. The codec's memory stays until ops->gone(). */
void conn_set_codec(struct conn *c, struct conn_codec *k, const struct conn_codec_ops *ops);
/* For codecs: queues bytes of the socket. */
void conn_send_raw(struct conn *c, struct block *b);

/* Asks for more bytes; nothing when that was done already, when rx is full, or
 * after the end. */
void conn_recv(struct conn *c);
bool conn_is_receiving(const struct conn *c);
/* Takes the unread bytes away; NULL when there are none. */
struct block *conn_take_rx(struct conn *c);
/* The first `len` unread bytes are done with; an emptied block goes back. */
void conn_consume(struct conn *c, uint32_t len);

/* Queues the block, which is the connection's from now on. */
void conn_send(struct conn *c, struct block *b);
bool conn_is_sending(const struct conn *c);

/* One deadline; 0 switches it off. Absolute, shard clock. */
void conn_set_deadline(struct conn *c, uint64_t at_ns);

void conn_close(struct conn *c);
/* Ends with a reset, so that the peer cannot take what it has for the whole. */
void conn_reset(struct conn *c);
/* Sends what is queued, then ends; with linger see above. */
void conn_finish(struct conn *c, bool linger);

#endif
