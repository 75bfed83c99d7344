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
	const char *path; /* with the query, percent-encoded */
	const char *form; /* body, percent-encoded; NULL: none */
	unsigned timeout_s;
};

/* Whom, and how the answer is wanted: what every such command can be told. */
struct admin_options {
	const char *socket;   /* NULL: by the instance's name */
	const char *instance; /* NULL: "default" */
	bool as_json;
};

/* Reads the arguments: those that every such command has (--json, --instance, --socket) and
 * the operands. False: there is nothing more to do, the reason was printed, *ret_exit is the
 * exit code. */
#define ADMIN_OPERANDS_MAX 8
bool admin_read_arguments(const struct command *c, const struct argument *operands,
			  size_t operands_len, int len, char **arguments,
			  struct admin_options *ret_options, int *ret_exit);
/* An answer that is a JSON object, whatever its status; the caller's, for json_decref().
 * NULL: there is none, the reason was printed. */
json_t *admin_send(const struct command *c, const struct admin_options *options,
		   const struct admin_request *request, unsigned *ret_status);
/* Both, for a command without operands. NULL: *ret_exit is the exit code. */
json_t *admin_ask(const struct command *c, const struct admin_request *request, int len,
		  char **arguments, bool *ret_as_json, unsigned *ret_status, int *ret_exit);

void admin_print_json(const json_t *json);

#endif
