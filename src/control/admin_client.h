/* Asks a running instance over its admin socket: HTTP/1.1, one request per connection,
 * blocking, for commands that end when they have their answer.
 */
#ifndef RINGWAY_CONTROL_ADMIN_CLIENT_H
#define RINGWAY_CONTROL_ADMIN_CLIENT_H

#include <jansson.h>

#include "command.h"

/* Where it listens: a path, or what follows from the instance's name. */
struct admin_where {
	const char *socket;   /* NULL: by name */
	const char *instance; /* NULL: "default" */
};

/* False: it contradicts itself, which was said. */
bool admin_where_is_good(const struct command *c, const struct admin_where *where);

/* An answer that is a JSON object, whatever its status; NULL: there is none, and the reason
 * was printed. The caller's, for json_decref(). */
json_t *admin_ask(const struct command *c, const struct admin_where *where, const char *method,
		  const char *path, unsigned timeout_s, unsigned *ret_status);

#endif
