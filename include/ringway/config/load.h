/* From a file to a struct config, or to every error in it at once.
 */
#ifndef RINGWAY_CONFIG_LOAD_H
#define RINGWAY_CONFIG_LOAD_H

#include <stdio.h>

#include <ringway/config/config.h>

enum config_severity { CONFIG_ERROR, CONFIG_WARNING };

struct config_issue {
	enum config_severity severity;
	struct config_place place; /* line 0: the file as a whole */
	const char *path;        /* "services.api.routes[0].path", "" for the file itself */
	const char *message;     /* without place and path */
	const char *source_line; /* the line as it stands in the file; NULL when there is none */
	unsigned width;          /* columns to underline, at least 1 */
	unsigned file_order;     /* which file it is of those that were read */
};

/* What config_load() found, in the order of files and lines. */
struct config_report {
	struct arena arena;
	struct config_issue *issues;
	size_t issues_len;
	size_t errors;
	size_t warnings;
};

/* Reads the file and those that it includes. Looks at the environment and at the
 * files that substitutions name, opens no socket, resolves no name.
 * 0, -EINVAL when the report has errors (*ret_config stays untouched), -ENOMEM.
 * The report is initialised here in every case and ended by config_report_fini(). */
int config_load(const char *path, struct config **ret_config, struct config_report *ret_report);
/* The same from memory; `path` names it in errors and is where includes start. With
 * NULL no other file is read: `include` and ${file:} are errors. */
int config_load_text(const char *path, struct span text, struct config **ret_config,
                     struct config_report *ret_report);
/* One more config_destroy() is needed; from any thread. Returns the same. */
struct config *config_ref(struct config *c);
void config_destroy(struct config *c); /* takes NULL */
void config_report_fini(struct config_report *r);

/* 1 to 32 letters, digits, '-' and '_': it is part of file names. */
bool config_instance_is_valid(struct span name);

/* Where an instance without `admin.socket` listens: the first candidate whose
 * directory can be written. Who looks for it takes the first that exists, since
 * `ringway status` may be another user. 0 to CONFIG_ADMIN_SOCKETS - 1; NULL when out
 * of memory. */
#define CONFIG_ADMIN_SOCKETS 3
const char *config_admin_socket(struct arena *arena, const char *instance, unsigned candidate,
                                const char **ret_directory);

/* What is found after the load, in files that the configuration names; sorted in among the
 * rest. The place's line is read from its file again. Copies both texts. */
void config_report_add(struct config_report *r, enum config_severity severity,
                       struct config_place place, const char *path, const char *message);

/* As CONFIG's error format says: place, path, message, source line, caret. */
void config_report_print(const struct config_report *r, FILE *out, bool colour);
/* One JSON object: {"file","errors":n,"warnings":n,"issues":[...]}. */
void config_report_print_json(const struct config_report *r, const char *path, FILE *out);

#endif
