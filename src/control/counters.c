/* The mapping of the public counters: made at the start, before anything counts, and what
 * the control thread tells of the process in it.
 */
#include <errno.h>
#include <string.h>

#include <ringway/limit/limiter.h>
#include <ringway/observe/event.h>

#include "instance.h"

/* Targets with counters of their own: of the 4,096 that a process may ever know, those of
 * most. */
#define ENDPOINTS 1024

static int say_error(const char *instance, size_t bytes, int err)
{
	uint64_t room = segment_shm_free_bytes();

	switch (err) {
	case -ENOSPC:
		if (room >= bytes) {
			event_error("/dev/shm has room for the bytes of the counters, but for no "
				    "other file (nr_inodes= of its mount); remove some, or set "
				    "`runtime.metrics_memory: private`");
			break;
		}
		event_error("the counters need %zu bytes in /dev/shm, where %llu are free; make it "
			    "larger (containers: --shm-size), or set `runtime.metrics_memory: "
			    "private`: then `ringway top` does not see them",
			    bytes, (unsigned long long)room);
		break;
	case -ENOENT:
	case -EOPNOTSUPP:
		event_error("the counters need %zu bytes in /dev/shm, and there is no tmpfs there; "
			    "mount one, or set `runtime.metrics_memory: private`",
			    bytes);
		break;
	case -EBUSY:
		event_error("%s%s belongs to a process that lives; give this instance another "
			    "name with `instance:`",
			    SEGMENT_PATH, instance);
		break;
	case -EACCES:
		event_error("%s%s belongs to another user; give this instance another name with "
			    "`instance:`, or set `runtime.metrics_memory: private`",
			    SEGMENT_PATH, instance);
		break;
	case -EEXIST:
		event_error("%s%s is no segment, and is left alone; give this instance another name "
			    "with `instance:`",
			    SEGMENT_PATH, instance);
		break;
	default:
		event_error("the memory of the counters (%zu bytes) is not to be had: %s", bytes,
			    strerror(-err));
		break;
	}
	return err;
}

static int map(struct instance *in, const struct config *config, size_t bytes)
{
	if (!config->runtime.metrics_shared)
		return segment_create_private("ringway-counters", bytes, false, &in->counters);
	return segment_create_named(config->instance, bytes, &in->counters);
}

int counters_create(struct instance *in, const struct config *config)
{
	const struct metrics_size size = {
		.shards = in->shards_len,
		.routes = config->runtime.metric_routes,
		.endpoints = ENDPOINTS,
		.limits = LIMITS_MAX,
	};
	size_t bytes = metrics_bytes(&size);
	int err = bytes ? map(in, config, bytes) : -EINVAL;

	if (!err)
		err = metrics_create(&size, in->counters.at, config->instance, RINGWAY_VERSION,
				     in->began_unix_us, &in->metrics);
	if (!err && config->runtime.metrics_shared)
		err = segment_publish(&in->counters);
	if (err)
		return say_error(config->instance, bytes, err);
	in->shared.metrics = in->metrics;
	in->common.metrics = in->metrics;
	counter_set(&metrics_process(in->metrics)->reloaded_unix_us, in->began_unix_us);
	return 0;
}

void counters_destroy(struct instance *in)
{
	metrics_destroy(in->metrics);
	in->metrics = NULL;
	segment_fini(&in->counters);
}

void counters_refresh(struct instance *in)
{
	struct metrics_process *p = metrics_process(in->metrics);
	const struct config *config = in->snapshot->config;
	struct access_log_stats log = {0};

	if (in->access_log)
		access_log_stats(in->access_log, &log);
	counter_set(&p->generation, in->snapshot->generation);
	counter_set(&p->connections, (uint64_t)atomic_load(&in->shared.gate.inside));
	counter_set(&p->connections_max, config->max_connections);
	counter_set(&p->draining, in->draining);
	counter_set(&p->log_written, log.written);
	counter_set(&p->log_errors, log.write_errors);
	counter_set(&p->limit_keys_loaded, in->limit_keys_loaded);
	counter_set(&p->limit_keys_max, config->runtime.limit_keys);
	counter_set(&p->limit_windows_max, config->runtime.limit_windows);
}

void counters_on_reload(struct instance *in, bool ok)
{
	struct metrics_process *p = metrics_process(in->metrics);

	if (ok) {
		counter_add(&p->reloads, 1);
		counter_set(&p->reloaded_unix_us, shard_unix_us(&in->control));
		counters_refresh(in);
	} else {
		counter_add(&p->reloads_failed, 1);
	}
}
