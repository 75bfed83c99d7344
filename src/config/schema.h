/* Which keys a mapping may have, and what reads each of them.
 *
 * The tables (keys.c) name every key of the documented configuration. One without a
 * reader is not built yet: it is refused by name, and what is below it is not looked
 * at. A key that is in no table is unknown.
 */
#ifndef RINGWAY_CONFIG_SCHEMA_H
#define RINGWAY_CONFIG_SCHEMA_H

#include "loader.h"

struct schema_key;

/* `field` is where the key's value goes; untouched after an error. */
typedef void schema_reader(struct loader *l, const struct schema_key *key,
			   const struct yaml_node *value, void *field);

/* One word that a value may be. */
struct schema_choice {
	const char *word;
	int value;
	bool not_built;
};

struct schema_key {
	const char *name;
	schema_reader *read;                 /* NULL: not supported yet */
	size_t offset;                       /* of the field in what the mapping fills */
	const struct schema_choice *choices; /* of read_choice, ended by a NULL word */
	const struct schema_key *keys;       /* of read_mapping */
	uint64_t min, max;                   /* of numbers, durations and sizes */
};

/* Reads a mapping by its table (ended by a NULL name) into `into`. Null is an empty
 * mapping: what is left when all keys are commented out. */
void schema_read(struct loader *l, const struct schema_key *keys, const struct yaml_node *mapping,
		 void *into);

/* As an operator would write it: in the biggest unit that divides it. */
const char *shown_duration(struct loader *l, uint64_t ns);

schema_reader read_mapping;     /* the same struct, by key->keys, from key->offset on */
schema_reader read_choice;      /* int; choices */
schema_reader read_bool;        /* bool: true or false */
schema_reader read_text;        /* const char *, kept with the config; not empty */
schema_reader read_u32;         /* uint32_t; min and max */
schema_reader read_duration;    /* uint64_t ns; min and max in ns */
schema_reader read_size32;      /* uint32_t bytes; min and max */
schema_reader read_size64;      /* uint64_t bytes; min and max */
schema_reader read_nothing;     /* someone else reads it */
schema_reader read_choice_only; /* no field: of the choices one is built */

#endif
