/* What a request must be, whatever its route: else it is answered here. */
#ifndef RINGWAY_PROXY_ADMISSION_H
#define RINGWAY_PROXY_ADMISSION_H

#include <ringway/proxy/exchange.h>

/* False: it has its answer. */
bool admission_check(struct exchange *x);
/* The value of Max-Forwards that goes on, from the request's; false: it has none that
 * counts (RFC 9110 section 7.6.2: it counts for OPTIONS and TRACE only). */
bool admission_max_forwards(const struct http_head *request, uint64_t *ret_value);

#endif
