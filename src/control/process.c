/* Start, signals and end of the process.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ringway/base/clock.h>
#include <ringway/control/refusal.h>
#include <ringway/limit/limiter.h>
#include <ringway/observe/event.h>
#include <ringway/shard/uring.h>
#include <ringway/tls/credentials.h>

#include "instance.h"
#include "live_limits.h"
#include "scrapes.h"

#define CONTROL_BLOCKS 1024
/* Records of about 300 bytes: what a shard logs while the writer is busy for 50 ms. */
#define LOG_RING_BYTES (1 * MIB)

/* ---- logging: the words of the config in those of the log ---- */

static enum log_format format_of(const struct config_logging *logging)
{
	return logging->format == CONFIG_LOG_TEXT ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
}

struct access_log_output logging_output(const struct config_logging *logging)
{
	return (struct access_log_output){.output = logging->output,
					  .format = format_of(logging),
					  .access = logging->access};
}

void logging_apply(const struct config_logging *logging)
{
	static const enum log_level levels[] = {
		[CONFIG_LOG_DEBUG] = LOG_LEVEL_DEBUG,
		[CONFIG_LOG_INFO] = LOG_LEVEL_INFO,
		[CONFIG_LOG_WARN] = LOG_LEVEL_WARN,
		[CONFIG_LOG_ERROR] = LOG_LEVEL_ERROR,
	};

	event_set_level(levels[logging->level]);
	event_set_format(format_of(logging));
}

/* ---- what must be had before anything starts ---- */

/* A name in the abstract socket namespace: it is gone when the process is, however it
 * ended, and leaves no file behind. */
static int take_lock(struct instance *in, const struct config *config)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "ringway/%s",
			   config->instance);

	if (len >= (int)sizeof(name.sun_path) - 1) {
		event_error("instance `%s`: the name is too long", config->instance);
		return -ENAMETOOLONG;
	}
	in->lock_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (in->lock_fd < 0)
		return -errno;
	if (bind(in->lock_fd, (struct sockaddr *)&name,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) != 0) {
		event_error("instance `%s` runs already on this host; give this one another "
			    "name with `instance:`",
			    config->instance);
		return -EBUSY;
	}
	return 0;
}

static void raise_descriptors(uint64_t needed)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
		return;
	/* Only the privileged may raise the hard limit; others get what it allows. */
	struct rlimit wanted = {.rlim_cur = needed, .rlim_max = max_u64(limit.rlim_max, needed)};
	if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
		return;
	wanted = (struct rlimit){.rlim_cur = min_u64(needed, limit.rlim_max),
				 .rlim_max = limit.rlim_max};
	setrlimit(RLIMIT_NOFILE, &wanted);
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < needed)
		event_warn("RLIMIT_NOFILE is %llu, the limits need %llu: %llu are missing; raise it "
			   "(ulimit -n, LimitNOFILE=) or lower gateway.max_connections",
			   (unsigned long long)limit.rlim_cur, (unsigned long long)needed,
			   (unsigned long long)(needed - limit.rlim_cur));
}

/* What the operator can do about it, "" when the error says it all. */
static const char *listen_cure(int err)
{
	switch (err) {
	case -EADDRINUSE: return "; `ss -ltnp` shows who has it";
	case -EADDRNOTAVAIL: return "; `ip address` shows the addresses of this host";
	case -EACCES:
		return "; a port below 1024 needs CAP_NET_BIND_SERVICE, a path needs a directory "
		       "that this user may write to";
	case -ENOENT: return "; create its directory first";
	default: return "";
	}
}

static int say_listen_error(const char *name, const struct address *address, int err)
{
	char text[ADDRESS_TEXT_BYTES];

	address_text(address, text);
	event_error("cannot listen on %s (%s): %s%s", text, name, strerror(-err), listen_cure(err));
	return err;
}

/* Without SO_REUSEPORT first: with it a second start would quietly share the address. */
static int open_listener(struct instance *in, const struct config_listener *l, size_t index)
{
	int fd, err = listener_socket(&l->address, false, &fd);

	if (err)
		return say_listen_error(l->name, &l->address, err);
	close(fd);
	for (unsigned i = 0; i < in->shards_len && !err; i++)
		err = listener_socket(&l->address, true, &in->shards[i].listen_fds[index]);
	return err ? say_listen_error(l->name, &l->address, err) : 0;
}

/* A socket that nobody listens on is what a dead process left. Anything else at the path
 * is not ours to remove: a file, or the socket of another instance. */
static int clear_path_of_socket(const struct address *at)
{
	const char *path = at->un.sun_path, *what = NULL;
	struct stat st;
	int fd;

	if (lstat(path, &st) != 0)
		return 0; /* nothing there, or something that bind() will say */
	if (!S_ISSOCK(st.st_mode)) {
		what = "is no socket, and is left alone";
	} else {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			return -errno;
		if (connect(fd, &at->sa, at->len) == 0 || errno == EAGAIN)
			what = "is in use by another process";
		close(fd);
	}
	if (!what) {
		unlink(path);
		return 0;
	}
	event_error("admin.socket: %s %s; give this instance another path", path, what);
	return -EADDRINUSE;
}

static int open_control_listeners(struct instance *in, const struct config *config)
{
	struct address admin = {.un = {.sun_family = AF_UNIX}, .len = sizeof(admin.un)};
	mode_t mask;
	int err;

	if (config->monitoring.enabled) {
		err = listener_socket(&config->monitoring.address, false, &in->monitoring_fd);
		if (err)
			return say_listen_error("monitoring.metrics_port",
						&config->monitoring.address, err);
	}
	if (strlen(config->admin.socket) >= sizeof(admin.un.sun_path)) {
		event_error("admin.socket: the path is longer than %zu bytes",
			    sizeof(admin.un.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	strcpy(admin.un.sun_path, config->admin.socket);
	err = clear_path_of_socket(&admin);
	if (err)
		return err;
	mask = umask(0117);
	err = listener_socket(&admin, false, &in->admin_fd);
	umask(mask);
	return err ? say_listen_error("admin.socket", &admin, err) : 0;
}

static void make_directory_of(const char *path)
{
	char dir[512];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		mkdir(dir, 0750); /* whether that went well shows when the socket is made */
	}
}

static int open_listeners(struct instance *in, const struct config *config)
{
	int err = 0;

	for (unsigned i = 0; i < in->shards_len; i++) {
		in->shards[i].listen_fds = malloc((config->listeners_len + 1) * sizeof(int));
		if (!in->shards[i].listen_fds)
			return -ENOMEM;
		for (size_t l = 0; l < config->listeners_len; l++)
			in->shards[i].listen_fds[l] = -1;
	}
	for (size_t l = 0; l < config->listeners_len && !err; l++)
		err = open_listener(in, &config->listeners[l], l);
	return err ? err : open_control_listeners(in, config);
}

/* ---- start ---- */

static int plan(struct instance *in, const struct config *config)
{
	int err = topology_plan(&config->runtime, "", NULL, &in->topology);

	if (err) {
		event_error("%s", in->topology.why);
		return err;
	}
	in->shards_len = in->topology.shards;
	in->capacity = capacity_of(config, in->shards_len);
	in->shared.shards = in->shards_len;
	gate_init(&in->shared.gate, config->max_connections);
	gate_init(&in->shared.handshakes, config->client.max_handshakes);
	raise_descriptors(in->capacity.descriptors);
	err = uring_probe();
	if (err) {
		struct refusal_facts facts;
		char why[REFUSAL_TEXT_BYTES];

		refusal_read_facts("", -err, &facts);
		refusal_explain(&facts, why);
		event_error("%s", why);
	}
	return err;
}

/* What processes that were killed left behind takes room that this one may need. */
static void remove_stale_segments(void)
{
	unsigned removed = 0;

	/* No /dev/shm is no reason not to start: who needs it says so. */
	if (segment_remove_stale(&removed) == 0 && removed)
		event_info("removed %u segments of dead processes from /dev/shm", removed);
}

static int map_private(struct instance *in, const struct config *config)
{
	struct limiter_size keys = {
		.shards = in->shards_len,
		.keys = config->runtime.limit_keys,
		.windows = config->runtime.limit_windows,
	};
	struct private_sizes sizes = {
		.limiter_bytes = limiter_bytes(&keys),
		.shards = in->shards_len,
		.control_senders = CONTROL_FROM_SHARDS + in->shards_len,
		.shard_senders = SHARD_SENDERS,
	};
	unsigned long long needed = private_mapping_bytes(&sizes);
	uint64_t room = 0;
	int err = private_mapping_create(&sizes, &in->private, &room);

	if (err == -ENOMEM && room)
		event_error("the memory that the shards share takes %llu bytes, of which %llu are "
			    "missing; lower runtime.limit_keys or runtime.limit_windows",
			    needed, needed - (unsigned long long)room);
	else if (err)
		event_error("the memory that the shards share (%llu bytes) is not to be had: %s",
			    needed, strerror(-err));
	if (err)
		return err;
	in->wall_offset_ns = clock_wall_offset_ns();
	err = limiter_create(&keys, in->private.limiter, in->private.seed, in->wall_offset_ns,
			     &in->limiter);
	if (err)
		event_error("the limiter does not start: %s", strerror(-err));
	in->shared.limiter = in->limiter;
	in->common.limiter = in->limiter;
	return err;
}

static int read_certificates(struct instance *in, const struct config *config,
			     struct tls_credentials **ret_credentials)
{
	size_t errors = 0, warnings = 0, len = 0;
	char *report = NULL;
	FILE *out;
	int err = certificates_init(in);

	if (err) {
		event_error("the TLS library does not start: %s", strerror(-err));
		return err;
	}
	out = open_memstream(&report, &len);
	must(out);
	err = certificates_read(in, config, out, &errors, &warnings, ret_credentials);
	fclose(out);
	certificates_say(report, err != 0);
	if (err && !errors)
		event_error("certificates: %s", strerror(-err));
	free(report);
	return err;
}

static int start_workers(struct instance *in, const struct config *config)
{
	const struct config_logging *logging = &config->monitoring.logging;
	const struct access_log_output output = logging_output(logging);
	int err = access_log_create(&output, in->shards_len, LOG_RING_BYTES, &in->access_log);

	if (err) {
		event_error("cannot open the access log `%s`: %s", logging->output, strerror(-err));
		return err;
	}
	in->shared.access_log = in->access_log;
	err = resolver_create(&config->resolver, names_on_answer, in, &in->resolver);
	if (err) {
		event_error("cannot start the resolver: %s", strerror(-err));
		return err;
	}
	err = names_watch(in, 0);
	if (!err)
		resolver_settle(in->resolver, config->resolver.timeout_ns);
	in->endpoints_told = in->registry.endpoints_len;
	return err;
}

static int start_shards(struct instance *in)
{
	int err = 0;

	for (unsigned i = 0; i < in->shards_len && !err; i++) {
		err = data_shard_start(&in->shards[i], in, i);
		if (err)
			event_error("shard %u does not start: %s", i, strerror(-err));
	}
	if (err)
		return err;
	err = control_shard_start(in);
	if (err)
		event_error("the control shard does not start: %s", strerror(-err));
	return err;
}

static int prepare(struct instance *in)
{
	int err = -ENOMEM;

	in->lock_fd = -1;
	in->admin_fd = -1;
	in->monitoring_fd = -1;
	in->began_unix_us = clock_unix_us();
	list_init(&in->status_waiters);
	list_init(&in->limits_waiters);
	list_init(&in->retired);
	pthread_mutex_init(&in->names_lock, NULL);
	sem_init(&in->ended, 0, 0);
	in->names = calloc(UPSTREAM_ENDPOINTS_MAX, sizeof(*in->names));
	if (in->names)
		err = registry_init(&in->registry);
	in->common.registry = &in->registry;
	return err;
}

static int first_snapshot(struct instance *in, struct config *config,
			  struct tls_credentials *credentials)
{
	int err = snapshot_create(config, credentials, &in->common, 1, in->shards_len + 1,
				  &in->snapshot);

	if (err)
		event_error("the configuration does not come into force: %s", strerror(-err));
	return err;
}

/* The config becomes the snapshot's, or is destroyed. */
static int start(struct instance *in, struct config *config)
{
	struct tls_credentials *credentials = NULL;
	int err = plan(in, config);

	if (!err) {
		make_directory_of(config->admin.socket);
		err = take_lock(in, config);
	}
	if (!err) {
		remove_stale_segments();
		err = map_private(in, config);
	}
	if (!err)
		limits_file_load(in, config);
	if (!err)
		err = counters_create(in, config);
	if (!err) {
		in->shards = aligned_alloc(CACHE_LINE, in->shards_len * sizeof(*in->shards));
		err = in->shards ? 0 : -ENOMEM;
	}
	if (!err) {
		memset(in->shards, 0, in->shards_len * sizeof(*in->shards));
		err = open_listeners(in, config);
	}
	if (!err)
		err = shard_init_in(&in->control, (uint16_t)in->shards_len, CONTROL_BLOCKS,
				    CONTROL_FROM_SHARDS + in->shards_len,
				    private_mapping_control_mailbox(&in->private));
	if (!err)
		err = read_certificates(in, config, &credentials);
	if (!err)
		err = first_snapshot(in, config, credentials);
	if (err) {
		tls_credentials_destroy(credentials);
		config_destroy(config);
		return err;
	}
	/* What a file brought along has the terms that it was saved with. */
	json_decref(limits_follow_file(in, NULL));
	err = start_workers(in, config);
	if (!err)
		err = start_shards(in);
	if (!err)
		err = certificates_watch(in);
	if (!err)
		limits_file_remove(in);
	return err;
}

/* ---- end ---- */

static void stop_unstarted(struct instance *in)
{
	for (unsigned i = 0; i < in->shards_len && in->shards; i++)
		if (in->shards[i].has_thread && !in->shards[i].err)
			data_shard_post_stop(&in->shards[i]);
}

static void end(struct instance *in)
{
	for (unsigned i = 0; i < in->shards_len && in->shards; i++)
		if (in->shards[i].has_thread)
			pthread_join(in->shards[i].thread, NULL);
	if (in->has_control_thread)
		pthread_join(in->control_thread, NULL);
	certificates_stop_watching(in);
	/* Only now: a reload may have replaced the snapshot until here. */
	if (in->admin_fd >= 0 && in->snapshot)
		unlink(in->snapshot->config->admin.socket);
	resolver_destroy(in->resolver);
	reload_fini(in);
	access_log_destroy(in->access_log);
	/* Nobody writes letters any more: what they would wake may go. */
	front_fini(&in->control_front);
	scrapes_destroy(in->scrapes);
	shard_fini(&in->control);
	for (unsigned i = 0; i < in->shards_len && in->shards; i++)
		data_shard_fini(&in->shards[i]);
	/* The leases of all shards have gone back. A start that failed has nothing new to say. */
	if (in->draining)
		limits_file_save(in);
	snapshot_destroy(in->snapshot);
	certificates_fini(in);
	/* Contexts of TLS, which go with the snapshots, may have memory in the arenas. */
	for (unsigned i = 0; i < in->shards_len && in->shards; i++)
		tls_memory_fini(&in->shards[i].tls_memory);
	free(in->shards);
	registry_fini(&in->registry);
	free(in->names);
	counters_destroy(in);
	limiter_destroy(in->limiter);
	private_mapping_fini(&in->private);
	if (in->lock_fd >= 0)
		close(in->lock_fd);
}

/* ---- signals ---- */

static void post_control(struct instance *in,
			 void (*deliver)(void *to, const struct mail *mail))
{
	struct mail mail = {.deliver = deliver, .to = in};

	/* A full mailbox means that many signals wait already. */
	mailbox_post(&in->control.mailbox, CONTROL_FROM_MAIN, &mail);
}

/* Waits in short steps, since there is nothing that waits for a signal and a semaphore. */
static void serve(struct instance *in, const sigset_t *signals)
{
	const struct timespec step = {.tv_nsec = 50 * 1000 * 1000};
	bool ending = false;

	while (sem_trywait(&in->ended) != 0) {
		int signal = sigtimedwait(signals, NULL, &step);

		switch (signal) {
		case SIGTERM:
		case SIGINT:
			if (ending) {
				event_warn("second signal: ending at once");
				_exit(1);
			}
			ending = true;
			post_control(in, control_on_drain_signal);
			break;
		case SIGHUP: post_control(in, control_on_reload_signal); break;
		case SIGUSR1: access_log_reopen(in->access_log); break;
		default: break;
		}
	}
}

static void block_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGHUP);
	sigaddset(signals, SIGUSR1);
	/* Before any thread is made: they inherit it, and main alone takes them. */
	pthread_sigmask(SIG_BLOCK, signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int process_run(struct config *config, const struct process_options *options)
{
	struct instance *in = aligned_alloc(CACHE_LINE, (sizeof(*in) + CACHE_LINE - 1) /
								CACHE_LINE * CACHE_LINE);
	struct config *first = config_ref(config);
	sigset_t signals;
	int err;

	must(in);
	memset(in, 0, sizeof(*in));
	in->options = *options;
	logging_apply(&config->monitoring.logging);
	block_signals(&signals);
	err = prepare(in);
	must(!err);
	err = start(in, config);
	if (err) {
		stop_unstarted(in);
	} else {
		if (!options->quiet)
			banner_print(in, first);
		atomic_store(&in->ready, true);
		serve(in, &signals);
	}
	config_destroy(first);
	end(in);
	free(in);
	return err ? 1 : 0;
}
