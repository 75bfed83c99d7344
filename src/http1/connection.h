/* The Connection field (RFC 9110 section 7.6.1): what it says of reuse, and the fields
 * that it takes out of the message.
 */
#ifndef RINGWAY_HTTP1_CONNECTION_H
#define RINGWAY_HTTP1_CONNECTION_H

#include <ringway/http/field.h>

/* More options than this in one message are refused: each costs a walk through the
 * fields, and an honest message has three. */
#define H1_CONNECTION_OPTIONS_MAX 32

struct h1_connection {
	bool close;
	bool keep_alive;
	bool malformed;        /* an option that is no token, or too many of them */
	bool names_end_to_end; /* a field that must not be taken out of a message */
};

/* Reads one Connection value, to be called for each. *options counts over all. */
void h1_connection_read(struct h1_connection *c, struct span value, unsigned *options);

#endif
