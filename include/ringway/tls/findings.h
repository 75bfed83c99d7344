/* What is wrong with a file that TLS is configured with, told to whoever asked.
 */
#ifndef RINGWAY_TLS_FINDINGS_H
#define RINGWAY_TLS_FINDINGS_H

#include <ringway/config/load.h>

struct tls_findings {
	/* `path` is where in the configuration: "listeners[0].tls.certificates[1].cert". The
	 * message is about `file` and does not name it. Both texts hold for the call only. */
	void (*say)(struct tls_findings *f, enum config_severity severity,
	            const struct config_file *file, const char *path, const char *message);
};

#endif
