/* Everything that a running process consists of, and which thread owns it.
 *
 *   main     waits for signals and passes them on
 *   control  one shard that is no data core: admin socket, /metrics, /health, /ready, reload,
 *            drain; it alone speaks to the data shards
 *   shard N  the data shards
 *   config   reads a new configuration, one at a time; lives as long as that takes
 *   files    looks whether certificate files have changed
 *   ocsp     fetches OCSP responses, if there are such to fetch
 *   and the threads of the resolver and of the access log, which belong to them
 *
 * Letters go from main, config, resolver, files, ocsp and the data shards to control, and from
 * control to the data shards; nowhere else.
 */
#ifndef RINGWAY_CONTROL_INSTANCE_H
#define RINGWAY_CONTROL_INSTANCE_H

#include <pthread.h>
#include <semaphore.h>

#include <ringway/config/load.h>
#include <ringway/control/process.h>
#include <ringway/control/topology.h>
#include <ringway/net/resolver.h>
#include <ringway/proxy/exchange.h>
#include <ringway/tls/memory.h>

#include "private_mapping.h"

/* Who writes into control's mailbox; data shard N is CONTROL_FROM_SHARDS + N. */
enum { CONTROL_FROM_MAIN, CONTROL_FROM_CONFIG, CONTROL_FROM_RESOLVER, CONTROL_FROM_FILES,
       CONTROL_FROM_OCSP, CONTROL_FROM_SHARDS };
/* And who writes into a data shard's: control alone. */
#define SHARD_SENDERS 1

struct letter; /* one that did not fit a mailbox yet */

/* What a shard tells of itself when it is asked. */
struct shard_report {
	uint32_t connections;
	uint32_t exchanges;
	uint32_t upstreams;
	uint32_t upstreams_idle;
	uint32_t blocks_in_use; /* those lent to the kernel not counted */
	uint64_t turns;
	uint64_t starved;
	uint64_t overflows;
	uint64_t exhausted;
	struct front_stats stats;
	struct greeting_stats greetings;
	struct tls_memory_stats tls_memory;
};

struct data_shard {
	struct shard shard;
	struct front front;
	struct tls_memory tls_memory; /* of the thread */
	struct timer tls_upkeep;
	struct instance *instance;
	pthread_t thread;
	bool has_thread;
	int cpu; /* -1: not pinned */
	int *listen_fds; /* by listener; the front's once it listens */
	int err;         /* of its start; control and main read it after `started` */
	sem_t started;
	/* Snapshots that have no request left here, by snapshot_refs.next_unused: the shard
	 * puts in front, control takes all. A letter for each could be more than its mailbox
	 * holds: at the drain limit the requests of a thousand reloads end in one turn. */
	_Atomic(struct snapshot *) unused;
	/* Control's side. */
	bool drained;
	struct letter *letters; /* oldest first */
	struct letter **letters_end;
	struct shard_report report;
};

/* Sizes that follow from the limits; the banner prints them. */
struct capacity {
	uint32_t clients;   /* per shard */
	uint32_t upstreams; /* per shard */
	uint32_t upstreams_idle;
	uint32_t sockets;   /* ring slots per shard */
	uint32_t blocks;    /* per shard */
	uint64_t descriptors; /* of the process */
	size_t idle_connection_bytes;
};

struct name_answer;
struct scrapes;

struct instance {
	struct process_options options;
	struct topology topology;
	struct capacity capacity;
	struct limiter *limiter;        /* its keys lie in the mapping */
	struct private_mapping private; /* mailboxes, ticket keys: outlives what lies in it */
	struct segment counters; /* in which `metrics` lies */
	struct metrics *metrics;
	struct front_shared shared;
	struct registry registry; /* of whoever builds a snapshot: main at start, config later */
	struct snapshot_common common; /* the same */
	struct resolver *resolver;
	struct access_log *access_log;
	struct certificates *certificates;
	int lock_fd;
	uint64_t began_unix_us;
	bool limits_file_is_loaded; /* and not removed yet */
	uint64_t limit_keys_loaded; /* from that file */

	struct data_shard *shards;
	unsigned shards_len;

	/* The control shard. */
	struct shard control;
	struct front control_front;
	pthread_t control_thread;
	bool has_control_thread;
	sem_t control_started;
	int control_err;
	int admin_fd;      /* -1: none */
	int monitoring_fd; /* -1: none */

	/* Of the control thread. */
	struct snapshot *snapshot; /* the newest one */
	struct reload *reload;     /* one in progress */
	bool reload_again;         /* a signal asked for another meanwhile */
	bool read_certificates_again;
	struct scrapes *scrapes;
	struct list limits_waiters; /* changes that wait for the end of a reload */
	struct list status_waiters;
	unsigned status_reports; /* still to come */
	unsigned swaps_pending;
	uint32_t endpoints_told; /* literal addresses below were given to the shards */
	struct list retired;     /* snapshots that still have users */
	struct timer drain_timer;
	struct timer letters_timer;
	struct timer wall_timer;
	int64_t wall_offset_ns; /* that the limiter has */
	unsigned shards_drained;
	_Atomic bool ready; /* main sets it, control clears it */
	bool draining;
	bool done; /* everything has drained: the control shard is the last to stop */
	sem_t ended;

	/* Last answers by endpoint: the resolver's thread writes, control reads. A lock of
	 * the control plane; no data shard ever takes it. */
	pthread_mutex_t names_lock;
	struct name_answer *names;
	_Atomic bool names_changed; /* a letter to control is on its way */
};

struct name_answer {
	struct address addresses[RESOLVER_ADDRESSES];
	unsigned len;
	bool changed; /* since control has passed it on */
};

extern const struct site control_monitoring_site;
extern const struct site control_admin_site;

static inline struct instance *instance_of_control(struct front *f)
{
	return f->owner;
}

/* ---- process.c ---- */
struct access_log_output logging_output(const struct config_logging *logging);
/* Level and format of events. */
void logging_apply(const struct config_logging *logging);

/* ---- certificates.c ---- */
int certificates_init(struct instance *in);
void certificates_fini(struct instance *in);
/* On main at the start, on the config thread later. What is wrong is printed and counted. */
int certificates_read(struct instance *in, const struct config *config, FILE *out,
                      size_t *errors, size_t *warnings, struct tls_credentials **ret_credentials);
/* Once the control shard runs; until it is told to stop. */
int certificates_watch(struct instance *in);
void certificates_stop_watching(struct instance *in);
/* A report as events, one for each line. */
void certificates_say(const char *report, bool is_error);

/* ---- data_shard.c ---- */
/* Starts the thread and waits until it serves; -errno of its start. */
int data_shard_start(struct data_shard *ds, struct instance *in, unsigned index);
/* After all threads have ended. */
void data_shard_fini(struct data_shard *ds);
/* On the control thread: to the data shard, in order; kept while its mailbox is full. */
void data_shard_post(struct data_shard *to, void (*deliver)(void *to, const struct mail *mail),
                     void *argument);
/* Sends what was kept; false when some is still left. */
bool data_shard_flush_letters(struct data_shard *ds);
void data_shard_post_swap(struct data_shard *to, struct snapshot *s);
void data_shard_post_drain(struct data_shard *to);
void data_shard_post_close_all(struct data_shard *to);
void data_shard_post_stop(struct data_shard *to);
void data_shard_post_report(struct data_shard *to);
void data_shard_post_addresses(struct data_shard *to, uint32_t endpoint,
                               const struct name_answer *answer, uint16_t port);

/* ---- control_shard.c: what the data shards' letters lead to; on the control thread ---- */
int control_shard_start(struct instance *in);
void control_on_swapped(void *to, const struct mail *mail);
void control_on_drained(void *to, const struct mail *mail);
void control_on_report(void *to, const struct mail *mail);
void control_on_unused(void *to, const struct mail *mail);
/* From main, as letters. */
void control_on_drain_signal(void *to, const struct mail *mail);
void control_on_reload_signal(void *to, const struct mail *mail);
void control_on_files_changed(void *to, const struct mail *mail);

/* ---- names.c ---- */
/* Resolver's thread. */
void names_on_answer(void *arg, const struct resolver_answer *answer);
/* Watches the names of the endpoints from `first` on. */
int names_watch(struct instance *in, uint32_t first);
/* On a data shard's thread, before it serves: everything that is known. */
void names_apply_all(struct instance *in, struct upstreams *u);

/* ---- reload.c ---- */
/* Begins a reload; the exchange, if there is one, is answered at its end. False: one is
 * in progress. */
bool reload_begin(struct instance *in, struct exchange *x);
/* Certificates alone, by the configuration in force. */
void reload_certificates(struct instance *in);
void reload_forget(struct instance *in, struct exchange *x);
/* A shard has no request left on the snapshot. */
void reload_snapshot_unused(struct instance *in, struct snapshot *s);
/* At the end: waits for the config thread. */
void reload_fini(struct instance *in);
/* Every data shard uses the new snapshot. */
void reload_all_swapped(struct instance *in);

/* ---- status.c ---- */
void status_begin(struct instance *in, struct exchange *x);
void status_forget(struct instance *in, struct exchange *x);
/* All shards have reported. */
void status_answer_all(struct instance *in);

/* ---- counters.c ---- */
/* Says what is wrong. */
int counters_create(struct instance *in, const struct config *config);
/* After all threads have ended. */
void counters_destroy(struct instance *in);
/* On the control thread: what it knows of the process. Ten times a second, and before a
 * scrape. */
void counters_refresh(struct instance *in);
void counters_on_reload(struct instance *in, bool ok);

/* ---- banner.c ---- */
void banner_print(const struct instance *in, const struct config *config);
struct capacity capacity_of(const struct config *config, unsigned shards);

#endif
