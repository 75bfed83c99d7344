/* Asks a running instance over its admin socket: HTTP/1.1, one request per connection,
 * blocking, for commands that end when they have their answer.
 */
#ifndef RINGWAY_CONTROL_ADMIN_CLIENT_H
#define RINGWAY_CONTROL_ADMIN_CLIENT_H

#include <jansson.h>

#include "command.h"

/* What is asked for. */
struct admin_request {
	const char *method;
	const char *path;
	unsigned timeout_s;
};

/* Reads the arguments that every such command has (--json, --instance, --socket) and asks.
 * An answer that is a JSON object, whatever its status; the caller's, for json_decref().
 * NULL: there is none, the reason was printed, *ret_exit is the exit code. */
json_t *admin_ask(const struct command *c, const struct admin_request *request, int len,
		  char **arguments, bool *ret_as_json, unsigned *ret_status, int *ret_exit);

void admin_print_json(const json_t *json);

#endif
