#include "made_config.h"

#include <string.h>

#include <ringway/config/load.h>

const char *made_config_value(struct arena *arena, const char *text)
{
	char *value = arena_text(arena, 2 * strlen(text) + 3);
	char *at = value;

	if (!value)
		return NULL;
	*at++ = '\'';
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return NULL;
		/* Both are escaped by being doubled: the quote for YAML, the dollar for us. */
		if (*text == '\'' || *text == '$')
			*at++ = *text;
		*at++ = *text;
	}
	*at++ = '\'';
	*at = '\0';
	return value;
}

const char *made_config_instance(struct arena *arena, const char *kind, const char *address)
{
	struct address a;

	if (!address_from_text(span_str(address), &a) || !address_port(&a))
		return kind;
	return arena_printf(arena, "%s-%u", kind, address_port(&a)).ptr;
}

/* The option that the issue is about, else the path itself. */
static const char *option_of(const char *path, const struct made_config_origin *origins, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (span_ends_with(span_str(path), span_str(origins[i].key)))
			return origins[i].option;
	return path;
}

struct config *made_config_load(const struct command *c, struct span yaml,
				const struct made_config_origin *origins, size_t origins_len)
{
	struct config_report report;
	struct config *config = NULL;
	int err = config_load_text(NULL, yaml, &config, &report);

	for (size_t i = 0; i < report.issues_len; i++)
		fprintf(stderr, "ringway %s: %s: %s\n", c->name,
			option_of(report.issues[i].path, origins, origins_len),
			report.issues[i].message);
	if (err && !report.errors)
		fprintf(stderr, "ringway %s: %s\n", c->name, strerror(-err));
	config_report_fini(&report);
	if (config)
		config->path = "(command line)"; /* for the banner and status */
	return config;
}
