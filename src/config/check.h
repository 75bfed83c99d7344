/* What only shows when everything is read: references between parts, and the plain
 * arrays that the rest of the process sees.
 */
#ifndef RINGWAY_CONFIG_CHECK_H
#define RINGWAY_CONFIG_CHECK_H

#include "loader.h"

/* gateway.host and port, `listeners` and the metrics port, against each other. */
void finish_listeners(struct loader *l);
void finish_client(struct loader *l);
/* Routes go to the service that they name. */
void finish_owners(struct loader *l);
/* Routes get their limits, in the order in which they are taken. Needs their owners. */
void finish_limits(struct loader *l);
/* Services get their routes; timeouts get their defaults. */
void finish_services(struct loader *l);
/* Warns of routes that can never match. Needs the finished services. */
void check_shadowed_routes(struct loader *l);

#endif
