/* GET /metrics: the text is made at once and then sent as fast as its reader takes it.
 *
 * Made in one go on the control thread, so that its figures belong to one moment, into memory
 * that the scrape holds until its end; so few may be in progress at a time, and each has only
 * so long. Everything here is the control thread's.
 */
#ifndef RINGWAY_SRC_CONTROL_SCRAPES_H
#define RINGWAY_SRC_CONTROL_SCRAPES_H

#include "exposition_text.h"

struct exchange;
struct http_fields;
struct instance;
struct scrapes;

/* At a time: two Prometheus servers, each with a slow one from before, and whoever looks by
 * hand. Each holds a text of at most some megabytes. */
#define SCRAPES_MAX 8
/* Prometheus itself gives up after 10 seconds, unless it is told otherwise. */
#define SCRAPE_NS (30 * NS_PER_S)

/* On the control thread. -ENOMEM. */
int scrapes_create(struct instance *in, struct scrapes **ret_scrapes);
/* After the last exchange; takes NULL. */
void scrapes_destroy(struct scrapes *s);

/* Answers the request. */
void scrape_begin(struct exchange *x);

/* ---- scrape_format.c ---- */

/* What the request wants to read, by its Accept fields (RFC 9110 section 12.5.1): OpenMetrics
 * where it is asked for by name and not after plain text, else the text format. */
enum exposition_format scrape_format(const struct http_fields *fields);

#endif
