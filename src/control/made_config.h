/* A configuration that is made from options, for `ringway proxy` and `ringway origin`: YAML
 * like any other, read by the same code, with its errors told of the options.
 */
#ifndef RINGWAY_CONTROL_MADE_CONFIG_H
#define RINGWAY_CONTROL_MADE_CONFIG_H

#include <ringway/config/config.h>

#include "command.h"

/* "'text'", as a YAML value that means exactly these bytes: nothing in it is a quote, a
 * substitution or a key. NULL: it holds what no value may (a line break, a control
 * character), or out of memory. */
const char *made_config_value(struct arena *arena, const char *text);

/* "proxy-8080": by the port of an address, so that several can run and each is found by
 * name. Just the kind when there is no port in it. */
const char *made_config_instance(struct arena *arena, const char *kind, const char *address);

/* Which option a key was made from. */
struct made_config_origin {
	const char *key;    /* end of the path in the report: "url" */
	const char *option; /* "--to" */
};

/* NULL: the errors were printed. */
struct config *made_config_load(const struct command *c, struct span yaml,
				const struct made_config_origin *origins, size_t origins_len);

#endif
