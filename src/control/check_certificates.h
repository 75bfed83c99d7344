/* Whether the certificates, keys and lists that a configuration names are fit for it.
 */
#ifndef RINGWAY_SRC_CONTROL_CHECK_CERTIFICATES_H
#define RINGWAY_SRC_CONTROL_CHECK_CERTIFICATES_H

#include <ringway/config/load.h>

/* Reads every file that TLS needs, of listeners and of services, and adds what is wrong to
 * the report of the load. False: there was an error. */
bool check_certificates(const struct config *config, int64_t now_s, struct config_report *report);

#endif
