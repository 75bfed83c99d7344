/* The figures as one JSON object; its members are documented in docs/top.md.
 */
#ifndef RINGWAY_CONTROL_TOP_JSON_H
#define RINGWAY_CONTROL_TOP_JSON_H

#include <jansson.h>

#include "top_notes.h"

/* The caller's, for json_decref(). NULL: no memory. */
json_t *top_json(const struct top_figures *f, const struct top_notes *n);

#endif
