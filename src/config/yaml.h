/* YAML text as a tree that knows where everything stands.
 *
 * libfyaml scans and parses; the tree is ours, because three things must hold that
 * a generic one does not give: every node has its bytes in the file, duplicate keys
 * are all found, and what aliases may blow up is counted before anything walks it.
 * A node lives as long as the arena. An alias is the anchored node itself, so a
 * tree may share nodes; it has no cycles, since an anchor is known only after its
 * node has ended.
 */
#ifndef RINGWAY_CONFIG_YAML_H
#define RINGWAY_CONFIG_YAML_H

#include "report.h"

struct fy_diag;
struct fy_event;
struct fy_parser;

/* Deeper than any sensible file; the schema itself needs eight. */
#define YAML_DEPTH_MAX 32
/* Aliases count as what they stand for. 100,000 is some 10,000 routes. */
#define YAML_NODES_MAX 100000
/* Text of all values, counted alike: what an alias may blow up in memory. */
#define YAML_TEXT_MAX (8 * MIB)
/* Anchors are looked up one by one. */
#define YAML_ANCHORS_MAX 1000
/* libfyaml's time grows with the square of empty lines in a row. */
#define YAML_EMPTY_LINES_MAX 100

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAPPING };

struct yaml_entry {
	struct yaml_entry *next;
	const struct yaml_node *key; /* a scalar; NULL in a list */
	const struct yaml_node *value;
};

struct yaml_node {
	enum yaml_kind kind;
	bool plain;             /* a scalar without quotes */
	struct source_range at; /* quotes included */
	struct span text;       /* of a scalar, decoded */
	struct yaml_entry *first;
	size_t entries; /* how many are directly below */
	/* Expanded, this node included. */
	unsigned nodes;
	size_t text_bytes;
	unsigned depth;
};

/* What libfyaml holds during a parse. The caller's, because an arena without memory
 * leaves yaml_parse() by a jump (load.c). */
struct yaml_library {
	struct fy_diag *diag;
	struct fy_parser *parser;
	struct fy_event *event;
};

void yaml_library_fini(struct yaml_library *lib); /* takes a zeroed one too */
/* NULL when there are errors; they are in the report. An empty file is an empty
 * mapping. The source must outlive the tree. */
const struct yaml_node *yaml_parse(struct arena *arena, const struct source *source,
				   struct config_report *report, struct yaml_library *lib);

/* Nothing, `~` or `null`. */
bool yaml_is_null(const struct yaml_node *n);
/* NULL when the mapping has no such key. */
const struct yaml_entry *yaml_find(const struct yaml_node *mapping, const char *key);

#endif
