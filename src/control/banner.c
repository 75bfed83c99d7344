/* What runs where, and what the limits cost: printed at the start.
 */
#include <stdio.h>
#include <unistd.h>

#include <ringway/shard/uring.h>
#include <ringway/tls/session.h>

#include "instance.h"
#include "library_text.h"

/* Accepted connections whose place is being given up, see front.c. */
#define CLIENT_SLACK 64
#define UPSTREAMS_IDLE_MIN 64
#define UPSTREAMS_IDLE_MAX 1024
/* Blocks that one client connection can hold at worst: its request's piece, what waits
 * behind it, a body held for another attempt, the answer's piece, a long head; with TLS on
 * both sides what is not decoded yet, and what a piece outgrows its block by as records. */
#define BLOCKS_PER_CLIENT 9
#define BLOCKS_SPARE 512
/* Log, config, lock, rings, wake-ups, standard streams. */
#define OTHER_DESCRIPTORS 64

struct capacity capacity_of(const struct config *config, unsigned shards)
{
	uint32_t most = config->max_connections;
	uint32_t fair = most / shards + 1;
	struct capacity c;

	/* Any shard may get all connections: address space is reserved for that, memory
	 * is used as they come. */
	c.clients = most + CLIENT_SLACK;
	c.upstreams_idle = fair < UPSTREAMS_IDLE_MIN ? UPSTREAMS_IDLE_MIN : fair;
	if (c.upstreams_idle > UPSTREAMS_IDLE_MAX)
		c.upstreams_idle = UPSTREAMS_IDLE_MAX;
	c.upstreams = c.clients + c.upstreams_idle;
	c.sockets = c.clients + c.upstreams + (uint32_t)config->listeners_len + 16;
	c.blocks = c.clients * BLOCKS_PER_CLIENT + BLOCKS_SPARE;
	c.descriptors = 2 * (uint64_t)most +
			shards * ((uint64_t)c.upstreams_idle + CLIENT_SLACK + FRONT_WAITING +
				  config->listeners_len + 4) +
			OTHER_DESCRIPTORS;
	c.idle_connection_bytes = front_client_bytes() + uring_socket_bytes();
	return c;
}

static const char *size_text(char out[static 32], double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;

	while (bytes >= 1024 && unit + 1 < ARRAY_LEN(units)) {
		bytes /= 1024;
		unit++;
	}
	snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
	return out;
}

static const char *pages_text(enum segment_pages pages)
{
	static const char *const texts[] = {
		[SEGMENT_SMALL] = "no huge pages",
		[SEGMENT_TRANSPARENT] = "transparent huge pages",
		[SEGMENT_HUGETLB] = "huge pages that were set aside",
	};

	return texts[pages];
}

static bool speaks_tls(const struct config_service *s)
{
	for (size_t i = 0; i < s->targets_len; i++)
		if (s->targets[i].tls)
			return true;
	return false;
}

static bool has_tls_listener(const struct config *config)
{
	for (size_t i = 0; i < config->listeners_len; i++)
		if (config->listeners[i].tls)
			return true;
	return false;
}

static void print_tls(const struct config *config)
{
	struct tls_library library = tls_library();

	fprintf(stderr, "  wolfSSL    ");
	library_print(&library, stderr);
	fputc('\n', stderr);
	library_print_warnings(&library, "             ", stderr);
	for (size_t i = 0; i < config->services_len; i++)
		if (speaks_tls(&config->services[i]) && !config->services[i].tls.verify)
			fprintf(stderr,
				"  WARNING    service %s does not verify its targets' certificates: "
				"whoever stands between can read and change everything\n",
				config->services[i].id);
}

void banner_print(const struct instance *in, const struct config *config)
{
	const struct topology *t = &in->topology;
	const struct capacity *c = &in->capacity;
	char address[ADDRESS_TEXT_BYTES], cpus[256], a[32], b[32], d[32];

	fprintf(stderr, "ringway %s  instance %s  pid %d  config %s\n", RINGWAY_VERSION,
		config->instance, (int)getpid(), config->path ? config->path : "(command line)");
	fprintf(stderr, "  shards     %s%s\n", t->why, t->pinned ? ", pinned" : ", not pinned");
	for (unsigned i = 0; i < in->shards_len && t->pinned; i++)
		fprintf(stderr, "%s%u on cpu %d", i ? ", " : "             shard ", i,
			t->shard_cpus[i]);
	if (t->pinned)
		fprintf(stderr, "\n");
	topology_cpus_text(&t->others, cpus, sizeof(cpus));
	fprintf(stderr, "  control    and workers on cpus %s\n", cpus);
	fprintf(stderr, "  io_uring   %s\n", uring_features(in->shards[0].shard.ring));
	print_tls(config);
	for (size_t i = 0; i < config->listeners_len; i++) {
		address_text(&config->listeners[i].address, address);
		fprintf(stderr, "  listener   %s on %s\n", config->listeners[i].name, address);
	}
	if (in->monitoring_fd >= 0) {
		address_text(&config->monitoring.address, address);
		fprintf(stderr, "  monitoring http://%s/metrics, /health and /ready\n", address);
	}
	if (in->admin_fd >= 0)
		fprintf(stderr, "  admin      %s\n", config->admin.socket);
	fprintf(stderr,
		"  memory     %u connections: %s each while idle, %s in all; a request in progress "
		"%s, and up to %u blocks of %zu KiB while its bytes are on the way\n",
		config->max_connections, size_text(a, (double)c->idle_connection_bytes),
		size_text(b, (double)c->idle_connection_bytes * config->max_connections),
		size_text(d, (double)front_exchange_bytes()), BLOCKS_PER_CLIENT,
		BLOCK_STRIDE / KIB);
	if (has_tls_listener(config))
		fprintf(stderr, "             with TLS about %s more each while idle, %s in all\n",
			size_text(a, TLS_SESSION_IDLE_BYTES),
			size_text(b, (double)TLS_SESSION_IDLE_BYTES * config->max_connections));
	fprintf(stderr, "             shared by the shards: %s in a private mapping, %s\n",
		size_text(a, (double)in->private.segment.mapped_bytes),
		pages_text(in->private.segment.pages));
	fprintf(stderr, "  counters   %s in %s%s\n", size_text(a, (double)in->counters.bytes),
		config->runtime.metrics_shared ? SEGMENT_PATH : "private memory",
		config->runtime.metrics_shared ? config->instance : "");
	/* Control may have a newer one by now; in->snapshot is its own. */
	fprintf(stderr, "  ready      generation 1\n");
}
