/* The access log: shard -> ring -> writer thread -> file.
 *
 * Each shard has one ring of fixed size with itself as the only writer; the writer
 * thread is the only reader. Putting a record never blocks and never wakes anyone
 * by a system call more often than the writer asks for: a full ring drops the
 * record and counts it.
 */
#ifndef RINGWAY_OBSERVE_ACCESS_LOG_H
#define RINGWAY_OBSERVE_ACCESS_LOG_H

#include <ringway/config/config.h>
#include <ringway/observe/access.h>

struct access_log;

struct access_log_stats {
	uint64_t written;
	uint64_t dropped;
	uint64_t write_errors;
};

/* Opens the output and starts the writer thread ("ringway-log"). `shards` rings of
 * `ring_bytes` each (a power of two). -errno when the file cannot be opened. */
int access_log_create(const struct config_logging *logging, unsigned shards, size_t ring_bytes,
                      struct access_log **ret_log);
/* Writes what is in the rings, stops the thread, closes the file. NULL is taken. */
void access_log_destroy(struct access_log *log);

/* On the shard's thread only. Copies everything; false when it was dropped. */
bool access_log_put(struct access_log *log, unsigned shard, const struct access_record *record);

/* Asks the writer to close and open its file again (log rotation); any thread, also
 * from a signal handler. A file that cannot be opened leaves the old one in use. */
void access_log_reopen(struct access_log *log);
/* Another output or format from the next record on; keeps the old on error. */
int access_log_switch(struct access_log *log, const struct config_logging *logging);
void access_log_stats(const struct access_log *log, struct access_log_stats *ret_stats);

#endif
