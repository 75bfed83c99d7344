/* Events of the process (start, reload, errors that an operator must see), one line
 * each on standard error: time, level, words. Not for single requests.
 *
 * Any thread; a line is one write. Below the level nothing happens. When standard error
 * is a pipe that nobody reads, events are lost rather than waited for.
 */
#ifndef RINGWAY_OBSERVE_EVENT_H
#define RINGWAY_OBSERVE_EVENT_H

#include <ringway/base/base.h>
#include <ringway/observe/log.h>

void event_set_level(enum log_level level);
void event_set_format(enum log_format format);
void event_log(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

#define event_debug(...) event_log(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define event_info(...) event_log(LOG_LEVEL_INFO, __VA_ARGS__)
#define event_warn(...) event_log(LOG_LEVEL_WARN, __VA_ARGS__)
#define event_error(...) event_log(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
