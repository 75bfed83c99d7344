/* What access log and events have in common. */
#ifndef RINGWAY_OBSERVE_LOG_H
#define RINGWAY_OBSERVE_LOG_H

enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

/* Of events, in rising order of weight. */
enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

#endif
