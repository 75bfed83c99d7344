/* Names to addresses, on a thread of its own ("ringway-dns"), with c-ares.
 *
 * The resolver watches names: it asks at once, and again when the answer's time to
 * live ends (bounded by max_ttl, at least 1 s) or, after a failure, with growing
 * pauses (1 s to 30 s). An answer that fails leaves the last good one in force.
 * A question goes to each server twice; config->timeout_ns is the patience with the
 * first try, the second has double. /etc/hosts (looked at every 10 s) and the search
 * list of /etc/resolv.conf (read once, at the start) are heeded.
 */
#ifndef RINGWAY_NET_RESOLVER_H
#define RINGWAY_NET_RESOLVER_H

#include <ringway/config/config.h>

struct resolver;

#define RESOLVER_ADDRESSES 16 /* of one name; what a name has more is left out */

struct resolver_answer {
	uint32_t watch;    /* the caller's number for the name */
	unsigned len;      /* 0: the name has not resolved yet */
	const char *error; /* words of the last failure (static), NULL when it went well;
			    * with len > 0 the addresses are those of the last success */
	/* Ports are 0; IPv4 before IPv6, and in a fixed order, so that servers that
	 * rotate their answers make no news. */
	struct address addresses[RESOLVER_ADDRESSES];
};

/* Called on the resolver's thread whenever an answer came that differs from the one
 * before, and for the first one in any case. May call resolver_watch() and
 * resolver_unwatch(). */
typedef void (*resolver_news_fn)(void *arg, const struct resolver_answer *answer);

/* -errno. Not from two threads at once, nor is resolver_destroy(). */
int resolver_create(const struct config_resolver *config, resolver_news_fn on_news, void *arg,
                    struct resolver **ret_resolver);
void resolver_destroy(struct resolver *r); /* no news after it returns; NULL is taken */

/* Any thread. A watch number that is in use already is replaced. News of the name
 * that went before may be under way still when these return. -ENOMEM. */
int resolver_watch(struct resolver *r, uint32_t watch, const char *name);
void resolver_unwatch(struct resolver *r, uint32_t watch);
/* Waits until every watch has had its first answer, at most so long. True if so. */
bool resolver_settle(struct resolver *r, uint64_t timeout_ns);

#endif
