/* Which route a request takes.
 *
 * The host decides first: an exact name, then the longest matching suffix, then routes
 * for every host. Within a host an exact path wins over prefixes and a longer prefix
 * over a shorter one; a prefix ends at a slash or at the path's end. Among routes for the
 * same host and path the first one whose methods fit wins. A host or a path does not hide
 * a less specific one: what fits nothing there, be it for its method only, goes on to the
 * next. When nothing fits but for the method, the answer is 405 with the methods of the
 * most specific such host and path.
 *
 * The table is immutable. A look-up hashes the host once and those of its suffixes and of
 * the path's prefixes, longest first, that are as long as one in the table; it does not
 * depend on the number of routes.
 */
#ifndef RINGWAY_ROUTE_TABLE_H
#define RINGWAY_ROUTE_TABLE_H

#include <ringway/config/config.h>
#include <ringway/http/head.h>

struct route_table;

enum route_verdict { ROUTE_FOUND, ROUTE_NONE, ROUTE_WRONG_METHOD };

struct route_match {
	/* FOUND: numbers into config->services and its routes. */
	uint32_t service;
	uint32_t route;
	/* WRONG_METHOD: for the Allow field; holds as long as the table. */
	struct span allow;
};

/* The config must outlive the table. -ENOMEM. */
int route_table_create(const struct config *config, struct route_table **ret_table);
void route_table_destroy(struct route_table *t); /* takes NULL */

/* Host in lower case without port, with or without the root's dot at its end; path
 * normalised. */
enum route_verdict route_table_match(const struct route_table *t, const struct http_head *request,
				     struct route_match *ret_match);

#endif
