/* The site of `ringway origin`: an origin for demos, tests and load.
 *
 * Every request is read to its end before the answer begins, so that the connection can go
 * on whatever was sent; only an echo that is longer than a block is sent while it comes in.
 * Each answer takes one block at a time, however long it is.
 */
#ifndef RINGWAY_PROXY_ORIGIN_H
#define RINGWAY_PROXY_ORIGIN_H

#include <ringway/proxy/front.h>

extern const struct site origin_site;

/* What its paths do, a line each: the answer to "/", and a part of `ringway origin --help`. */
extern const char origin_paths[];

#endif
