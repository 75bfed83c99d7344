/* Rates of limits as an operator writes them, in the file and on the command line.
 */
#ifndef RINGWAY_CONFIG_RATE_H
#define RINGWAY_CONFIG_RATE_H

#include <ringway/base/span.h>

/* What a limiter's slot has room for (limit/limiter.h). */
#define CONFIG_LIMIT_TOKENS_MAX 1000000
#define CONFIG_LIMIT_RATE_MAX   10000000 /* per second */

/* "100/s", "1000/h", "5000/15m"; the time is 1s to 366d. NULL, or what is wrong, as the end
 * of a sentence that begins with what was written. */
const char *config_rate(struct span text, uint64_t *ret_tokens, uint64_t *ret_period_ns);
/* "100", "0.5": requests per second, 0.001 to CONFIG_LIMIT_RATE_MAX, with at most three
 * digits behind the point; 0.5 is one in 2 seconds. */
const char *config_requests_per_second(struct span text, uint64_t *ret_tokens,
                                       uint64_t *ret_period_ns);
/* More than CONFIG_LIMIT_TOKENS_MAX become as many in a shorter time, for a token bucket;
 * never faster than was asked for. */
void config_rate_fit_bucket(uint64_t *tokens, uint64_t *period_ns);

#endif
