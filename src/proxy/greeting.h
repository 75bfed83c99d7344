/* What precedes the first request on a connection.
 *
 *   PROXY_HEADER --> HELLO --> SHAKING --> requests
 *        \             |         /
 *         +---- refused, with an alert or a 400 where there is one to read it
 *
 * As the listener's rules say; without any, requests begin at once. Each turn of the shard
 * goes on with a few handshakes only: the others wait, so that a flood of them costs
 * established connections little. All of it under one deadline; of those in progress
 * there is a limit for the process, and the oldest goes when it is reached.
 */
#ifndef RINGWAY_SRC_PROXY_GREETING_H
#define RINGWAY_SRC_PROXY_GREETING_H

#include <ringway/proxy/front.h>

void greeting_init(struct front *f);
/* The connection is open. */
void greeting_begin(struct client *c);
/* Closes the oldest one if it has had its time, to make room. NULL: none has; else its
 * memory stays until it is gone. */
struct client *greeting_give_up_one(struct front *f);
/* The connection is gone. */
void greeting_end(struct client *c);

#endif
