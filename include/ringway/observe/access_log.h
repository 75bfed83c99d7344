/* The access log: shard -> ring -> writer thread -> file.
 *
 * Each shard has one ring of fixed size with itself as the only writer; the writer
 * thread is the only reader. Putting a record never blocks and never wakes anyone
 * by a system call more often than the writer asks for: a full ring drops the
 * record and counts it.
 */
#ifndef RINGWAY_OBSERVE_ACCESS_LOG_H
#define RINGWAY_OBSERVE_ACCESS_LOG_H

#include <ringway/observe/log.h>
#include <ringway/observe/access.h>

struct access_log;

struct access_log_output {
	const char *output; /* "stdout", "stderr" or a path */
	enum log_format format;
	bool access; /* false: nothing is logged */
};

struct access_log_stats {
	uint64_t written;      /* records that are in the output */
	uint64_t dropped;      /* records that found their ring full */
	uint64_t write_errors; /* records lost to failing writes, and failed reopenings */
};

/* Opens the output and starts the writer thread ("ringway-log"). `shards` rings of
 * `ring_bytes` each (a power of two, ACCESS_LOG_RING_BYTES_MIN at least; a record
 * takes some 400 bytes). -errno when the file cannot be opened. With logging->access
 * off nothing is opened and access_log_put() does nothing. */
#define ACCESS_LOG_RING_BYTES_MIN (32 * KIB)
int access_log_create(const struct access_log_output *logging, unsigned shards, size_t ring_bytes,
                      struct access_log **ret_log);
/* Writes what is in the rings, stops the thread, closes the file. No shard may put
 * any more. NULL is taken. */
void access_log_destroy(struct access_log *log);

/* On the shard's thread only. Copies everything; texts longer than their limits
 * (path: 4096 bytes) are cut and the line says "clipped". False when it was dropped.
 * A system call only when the writer sleeps, or naps while the ring is half full. */
bool access_log_put(struct access_log *log, unsigned shard, const struct access_record *record);

/* Asks the writer to close and open its file again (log rotation); any thread, also
 * from a signal handler. A file that cannot be opened leaves the old one in use. */
void access_log_reopen(struct access_log *log);
/* Another output or format, or access logging on or off. What was put before goes
 * to the old one; keeps the old one on error. Not from two threads at once. */
int access_log_switch(struct access_log *log, const struct access_log_output *logging);
void access_log_stats(const struct access_log *log, struct access_log_stats *ret_stats);

#endif
