/* The header by which a load balancer in front of us says whose connection it passes on:
 * the PROXY protocol, version 1 (a line of text) and version 2 (binary).
 *
 * A pure function of bytes, like the other parsers: nothing is allocated or remembered, and
 * a verdict comes with the first byte that settles it. Whom to believe is the caller's to
 * decide: a listener either expects a header from every peer or from none, and never guesses.
 *
 * Sections are those of HAProxy's doc/proxy-protocol.txt.
 */
#ifndef RINGWAY_NET_PROXY_HEADER_H
#define RINGWAY_NET_PROXY_HEADER_H

#include <ringway/base/address.h>

enum proxy_header_result { PROXY_HEADER_DONE, PROXY_HEADER_MORE, PROXY_HEADER_BAD };

/* A line with its CRLF; section 2.1 shows that none is longer. */
#define PROXY_HEADER_V1_MAX 107
/* A whole binary header. Addresses take at most 216 bytes, and section 2.2 has it fit in one
 * segment; a client's certificate among the extras makes it a few KiB. Its length field
 * would let a peer hold 64. */
#define PROXY_HEADER_V2_MAX 4096

struct proxy_header {
	/* LOCAL, UNKNOWN or unspecified: the peer speaks for itself, or cannot say for whom;
	 * its own addresses hold. */
	bool is_local;
	/* len 0: not given. A unix socket without a name, as clients' are, is given: its
	 * address is no IP address, so nobody takes the peer's for it. */
	struct address source;
	struct address destination;
};

/* A mask. */
enum { PROXY_HEADER_V1 = 1, PROXY_HEADER_V2 = 2 };

/* `bytes` are all that came since the connection began; `versions` are those that may come,
 * at least one. On DONE *ret_used is the header's length, which is to be consumed; on BAD
 * *ret_detail has static words for the operator. Each is untouched otherwise. */
enum proxy_header_result proxy_header_read(struct span bytes, unsigned versions,
					   struct proxy_header *ret, size_t *ret_used,
					   const char **ret_detail);

#endif
