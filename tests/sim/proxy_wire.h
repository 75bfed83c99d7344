/* HTTP/1 as the far ends of a simulated proxy read it: simple, strict about framing, and
 * none of the proxy's own code.
 */
#ifndef RINGWAY_SIM_PROXY_WIRE_H
#define RINGWAY_SIM_PROXY_WIRE_H

#include <stdbool.h>

#include <ringway/base/span.h>

enum wire_framing { WIRE_NONE, WIRE_LENGTH, WIRE_CHUNKED, WIRE_CLOSE };

enum wire_state { WIRE_HEAD, WIRE_BODY, WIRE_SIZE, WIRE_DATA, WIRE_DATA_END, WIRE_TRAILERS };

struct wire {
	/* A head is whole; true: whatever it says, no body follows. */
	bool (*on_head)(struct wire *w);
	/* Bytes of the body, behind `body_len` others. */
	void (*on_body)(struct wire *w, struct span bytes);
	void (*on_end)(struct wire *w);

	enum wire_state state;
	enum wire_framing framing;
	uint64_t left;
	uint64_t body_len;
	size_t line_at; /* where the present line of a chunked body begins in `trailers` */
	char head[16384]; /* NUL-terminated */
	size_t head_len;
	char trailers[4096]; /* size lines, then trailers, NUL-terminated */
	size_t trailers_len;
};

void wire_init(struct wire *w);
/* False: that is no HTTP. */
bool wire_feed(struct wire *w, struct span bytes);
/* The stream ended: true when that is no break in a message. */
bool wire_end(struct wire *w);
/* Whether it is in the middle of a message. */
bool wire_is_inside(const struct wire *w);
/* The value of a field of the head; ptr NULL when there is none. */
struct span wire_field(const struct wire *w, const char *name);
bool wire_field_is(const struct wire *w, const char *name, const char *value);

/* The byte at that place of the body with that key. */
static inline char wire_byte(uint64_t key, uint64_t at)
{
	return (char)(((key + at) * 2654435761u ^ at >> 9) >> 17);
}

bool wire_bytes_match(uint64_t key, uint64_t at, struct span bytes);

#endif
