/* The site of `ringway origin`: an origin for demos, tests and load.
 *
 * Every request is read to its end before the answer begins, so that the connection can go
 * on whatever was sent. Only an echo that does not fit a block is sent while it comes in, and
 * is then the last answer of its connection. Each answer takes one block at a time, however
 * long it is.
 */
#ifndef RINGWAY_PROXY_ORIGIN_H
#define RINGWAY_PROXY_ORIGIN_H

#include <ringway/proxy/front.h>

extern const struct site origin_site;

/* What its paths do, a line each: the answer to "/", and a part of `ringway origin --help`. */
#define ORIGIN_PATHS                                                                               \
	"  /echo[/...]    the request's body as it comes; without one: method, target, fields\n"   \
	"  /bytes/N       N bytes, at most 1 TiB; with ?chunked=1 without a Content-Length\n"      \
	"  /drip/N/MS     N bytes, one every MS milliseconds; the head comes at once\n"            \
	"  /delay/MS      200 after MS milliseconds, at most a day\n"                              \
	"  /status/CODE   an answer with this status, 200 to 599\n"                                \
	"  /close         the connection ends without an answer\n"

#endif
