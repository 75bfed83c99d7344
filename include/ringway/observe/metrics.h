/* The public counters of one process: where they lie, who writes and who reads them.
 *
 *   | head | process | names: routes, endpoints, limits | blocks | routes | endpoints | limits |
 *            control   control                            shards   by shard, then by number
 *
 * One mapping, a file in /dev/shm or private memory. It is made and sized once, at the start;
 * every part begins at a page and every shard's share of a part at a cache line, so that no two
 * threads write to the same line.
 *
 * Writers: the head is written before anybody else sees it, its magic last. `process` is the
 * control thread's. A name is written by the thread that builds snapshots before any shard
 * uses its number, and the count of names after it (release; readers acquire): what is below
 * the count is whole and never changes. Everything else is counters (counter.h), each share
 * written by its shard alone, relaxed.
 *
 * A reader trusts nothing: metrics_attach() computes where all must lie from the capacities
 * alone, and compares. The size of a file is fixed before its magic is there and no process
 * of ours ever shrinks one. Its owner alone may (mode 0640): what is cut off faults whoever
 * touches it, by SIGBUS.
 */
#ifndef RINGWAY_OBSERVE_METRICS_H
#define RINGWAY_OBSERVE_METRICS_H

#include <ringway/observe/access.h>
#include <ringway/observe/histogram.h>

/* Goes up with every change of what is below. */
#define METRICS_LAYOUT 2
#define METRICS_MAGIC 0x00796177676e6952 /* "Ringway" and a NUL */
#define METRICS_PAGE 4096

#define METRICS_SHARDS_MAX 1024
#define METRICS_NAMES_MAX 65536

struct metrics_size {
	uint32_t shards;    /* data shards; control's block comes behind theirs */
	uint32_t routes;    /* that have counters of their own, beside the two below */
	uint32_t endpoints; /* the same */
	uint32_t limits;
};

/* In each table of names number 0 is for all that found no number of their own any more. */
#define METRICS_OVERFLOW 0
#define METRICS_OVERFLOW_TEXT "__overflow__"
/* Of routes: requests that came to none (404, heads that were refused); no text at all. */
#define METRICS_NO_ROUTE 1

struct metrics_head {
	_Atomic uint64_t magic; /* written last, released */
	uint32_t layout;
	uint32_t head_bytes; /* sizeof(struct metrics_head) */
	uint64_t bytes;      /* of everything */
	/* Sizes of the structs behind: another compiler's would be another layout. */
	uint32_t process_bytes, block_bytes, route_bytes, endpoint_bytes, limit_bytes, name_bytes;
	uint32_t causes; /* ACCESS_CAUSES */
	uint32_t pid;
	struct metrics_size size;
	uint64_t pid_started; /* field 22 of /proc/<pid>/stat: a number that was given again is
				 another process */
	uint64_t started_unix_us;
	char version[32];
	char instance[108];
};

/* Of the process; the control thread's. */
struct metrics_process {
	_Alignas(CACHE_LINE) struct counter generation; /* of the configuration in force */
	struct counter reloads, reloads_failed;
	struct counter reloaded_unix_us; /* the last one that took effect; the start counts */
	struct counter connections, connections_max;
	struct counter draining; /* 0 or 1 */
	struct counter log_written, log_errors; /* records */
	struct counter limit_keys_max, limit_windows_max; /* slots of the limiter's tables */
	struct counter limit_keys_loaded; /* at the start: no shard has inserted them */
};

/* ---- names ---- */

#define METRICS_SERVICE_BYTES 96
#define METRICS_NAME_BYTES 288
/* NUL-terminated. Longer ones are cut; those that are the same then share their counters. */
struct metrics_name {
	char service[METRICS_SERVICE_BYTES]; /* empty for limits */
	char name[METRICS_NAME_BYTES];       /* route, URL of a target, name of a limit */
};

struct metrics_names {
	_Alignas(CACHE_LINE) _Atomic uint32_t len;
	struct counter refused; /* asked for in vain: they count under METRICS_OVERFLOW */
	_Alignas(CACHE_LINE) struct metrics_name names[];
};

/* ---- what a shard counts ---- */

/* struct limiter_stats, as limit/limiter.h explains it; set by the shard. */
struct metrics_limiter {
	struct counter inserted, evicted, no_room, promoted, demoted, leased, unleased;
	struct counter lease_hits, retries, over_admitted, out_on_lease;
	struct counter upkeep_ns;
};

/* One shard. The last block is the control shard's, of which only what is said of the shard
 * and its connections means something. */
struct metrics_block {
	/* The shard. */
	_Alignas(CACHE_LINE) struct counter cpu; /* plus 1; 0: not pinned */
	struct counter thread;                   /* its number in /proc/<pid>/task; 0: none yet */
	struct counter turns, completions;
	struct counter busy_ns; /* between waits: what the kernel does inside a wait for the ring
				   is not in it, and is in the CPU time of the thread */
	struct counter turn_longest_ns; /* of the last second */
	struct counter now_ns;          /* the shard's clock at its last turn */
	struct counter operations;      /* asked of the ring */
	struct counter in_flight;       /* of these, not ended yet */
	struct counter starved, overflows, exhausted;
	struct counter blocks_in_use, blocks_lent, blocks_max;
	struct counter letters; /* that came */
	struct counter letter_lag_ns, letter_lag_longest_ns; /* how long the oldest of the last
				   batch, and of any batch of the last second, had lain there */

	/* Connections of clients. */
	struct counter connections, accepted, refused_full, reclaimed;
	struct counter handshakes_now, handshakes_full, handshakes_resumed;
	/* Before the first request, by cause: TLS, and PROXY headers. */
	struct counter greetings_failed[ACCESS_CAUSES];
	/* Lines in the access log that are no request: a connection that never got to one. */
	struct counter greetings_logged;
	struct histogram_times handshake_us;

	/* Requests: counted once each, at the end, where the access log takes its record. */
	struct counter requests_now;
	struct counter requests;
	struct counter failed[ACCESS_CAUSES];
	struct counter log_records, log_dropped; /* of requests and of greetings */
	struct histogram_sizes request_bytes, response_bytes; /* on the connection inside TLS */

	/* Upstreams. */
	struct counter upstreams, upstreams_idle; /* connections now */
	struct counter attempts, retries, connects, reused;
	struct histogram_times connect_us; /* with TLS, until a request could be sent */

	/* Limits. */
	struct counter limits_admitted, limits_refused, limits_no_room; /* decisions, not tokens */
	struct histogram_times limits_wait_us; /* what refused clients were told to wait */
	struct metrics_limiter limiter;
};

enum metrics_method {
	METRICS_READ,  /* GET, HEAD, OPTIONS */
	METRICS_WRITE, /* POST, PUT, PATCH, DELETE */
	METRICS_OTHER_METHOD,
	METRICS_METHODS
};
extern const char *const metrics_method_texts[METRICS_METHODS]; /* "read", ... */

enum metrics_status {
	METRICS_STATUS_NONE, /* no answer was sent */
	METRICS_STATUS_1XX,
	METRICS_STATUS_2XX,
	METRICS_STATUS_3XX,
	METRICS_STATUS_4XX,
	METRICS_STATUS_5XX,
	METRICS_STATUSES
};
extern const char *const metrics_status_texts[METRICS_STATUSES]; /* "none", "1xx", ... */

struct metrics_route {
	_Alignas(CACHE_LINE) struct counter requests[METRICS_METHODS][METRICS_STATUSES];
	struct counter bytes_in, bytes_out;
	struct histogram_times duration_us;   /* from the first byte of the head to the end */
	struct histogram_times first_byte_us; /* from the attempt's begin to the answer's head;
						 requests that no upstream answered are not in it */
};

struct metrics_endpoint {
	_Alignas(CACHE_LINE) struct counter attempts;
	struct counter attempts_now;
	struct counter connects, reused;
	struct counter failed;        /* attempts that ended without a whole answer's head */
	struct counter answers;       /* heads that came */
	struct counter answers_5xx;
	struct counter first_byte_us; /* sum over `answers` */
};

struct metrics_limit {
	struct counter admitted, refused, no_room; /* decisions */
	struct counter coarse; /* of `admitted` and `refused`: decided in a shared slot */
};

/* ---- the process's side ---- */

/* What a shard writes to; lives as long as its struct metrics. */
struct metrics_shard {
	struct metrics_block *block;
	struct metrics_route *routes;       /* by number; the control shard has none */
	struct metrics_endpoint *endpoints; /* the same */
	struct metrics_limit *limits;       /* the same */
};

struct metrics;

/* Whole pages; 0: more than is allowed. */
size_t metrics_bytes(const struct metrics_size *size);

/* Into metrics_bytes() zeroed bytes at a page's beginning, which stay the caller's. Readers
 * see it when this returns. -EINVAL, -ENOMEM. */
int metrics_create(const struct metrics_size *size, void *memory, const char *instance,
                   const char *version, uint64_t started_unix_us, struct metrics **ret_metrics);
/* After all shards; takes NULL. Does not touch the memory. */
void metrics_destroy(struct metrics *m);

/* `shard` up to size.shards, which is the control shard. */
struct metrics_shard *metrics_shard(struct metrics *m, unsigned shard);
struct metrics_process *metrics_process(struct metrics *m);

/* Numbers that hold as long as the process, over all reloads; a new one if the name was never
 * seen, METRICS_OVERFLOW when there is none left. One thread at a time: that which builds
 * snapshots. */
uint32_t metrics_route(struct metrics *m, const char *service, const char *route);
uint32_t metrics_endpoint(struct metrics *m, const char *service, const char *url);
uint32_t metrics_limit(struct metrics *m, const char *name);

/* One request, at its end, from the record of the access log (which need not be written).
 * Times are the caller's: the record's are cut to 32 bits. */
void metrics_count_request(struct metrics_shard *m, uint32_t route, enum metrics_method method,
                           const struct access_record *record, uint64_t duration_us,
                           bool has_first_byte);

/* What was decided by one limit for one request; `wait_ns` of those refused, UINT64_MAX: they
 * were told of no time. */
enum metrics_verdict { METRICS_ADMITTED, METRICS_REFUSED, METRICS_NO_ROOM };
void metrics_count_limit(struct metrics_shard *m, uint32_t limit, enum metrics_verdict verdict,
                         bool coarse, uint64_t wait_ns);

/* ---- the reader's side, any thread or process ---- */

enum metrics_fault {
	METRICS_READABLE,
	METRICS_NOT_OURS,      /* too short, or no magic */
	METRICS_OTHER_VERSION, /* of another layout: a newer or older process */
	METRICS_DAMAGED,       /* sizes that do not fit together */
};
const char *metrics_fault_text(enum metrics_fault fault); /* "segment of another version" */

/* Plain pointers into the mapping that was checked, and copies of what was checked. */
struct metrics_view {
	const struct metrics_head *head; /* texts in it may lack their NUL: see below */
	struct metrics_size size;
	const struct metrics_process *process;
	const struct metrics_names *routes, *endpoints, *limits;
	const char *blocks, *route_shares, *endpoint_shares, *limit_shares;
};

/* Never reads beyond `len`. The memory must be at a page's beginning. */
enum metrics_fault metrics_attach(const void *memory, size_t len, struct metrics_view *ret_view);
/* The process's own. */
void metrics_view(const struct metrics *m, struct metrics_view *ret_view);

/* Texts of the head, always terminated. */
void metrics_view_texts(const struct metrics_view *v, char instance[static 108],
                        char version[static 32]);

/* How many names there are, the reserved ones included: 1 (routes: 2) at least, and never
 * more than there is room for. */
uint32_t metrics_routes_len(const struct metrics_view *v);
uint32_t metrics_endpoints_len(const struct metrics_view *v);
uint32_t metrics_limits_len(const struct metrics_view *v);
/* Copied, always terminated. */
void metrics_name_of(const struct metrics_names *names, uint32_t number,
                     struct metrics_name *ret_name);

/* The share of one shard; `number` is below the length. The control shard's block has the
 * number size.shards. */
const struct metrics_block *metrics_block_of(const struct metrics_view *v, unsigned shard);
const struct metrics_route *metrics_route_of(const struct metrics_view *v, unsigned shard,
                                             uint32_t number);
const struct metrics_endpoint *metrics_endpoint_of(const struct metrics_view *v, unsigned shard,
                                                   uint32_t number);
const struct metrics_limit *metrics_limit_of(const struct metrics_view *v, unsigned shard,
                                             uint32_t number);

#endif
