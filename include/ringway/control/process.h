/* The running process: shards, workers, signals, reload and the end.
 */
#ifndef RINGWAY_CONTROL_PROCESS_H
#define RINGWAY_CONTROL_PROCESS_H

#include <ringway/config/config.h>

struct site;

struct process_options {
	/* The config is loaded again from config->path on reload; false for one that was
	 * made from command line arguments. */
	bool can_reload;
	/* What the listeners are for; NULL: the proxy. */
	const struct site *site;
	bool quiet; /* no banner */
	bool keep_state; /* of the limits, in a file from one process to the next */
};

/* Runs in the foreground until it is told to end. The config is the callee's. Returns the
 * exit code: 0 after a drain, 1 when it could not start (said on standard error). */
int process_run(struct config *config, const struct process_options *options);

#endif
