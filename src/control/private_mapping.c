#include "private_mapping.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <ringway/shard/mailbox.h>
#include <ringway/tls/ticket_keys.h>

#include "cgroup.h"

/* From here on huge pages save more of the processor's translations than they waste. */
#define HUGE_FROM_BYTES (4 * MIB)

/* Where each part begins; each at the beginning of a page, the limiter at a huge one's. */
struct layout {
	size_t ticket_keys;
	size_t seed; /* on the pages of the keys, which are locked */
	size_t mailboxes;
	size_t bytes;
};

static size_t to_page(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static struct layout layout_of(const struct private_sizes *s)
{
	struct layout l = {.ticket_keys = to_page(s->limiter_bytes)};

	l.seed = l.ticket_keys + tls_ticket_keys_bytes();
	l.mailboxes = to_page(l.seed + SEED_BYTES);
	l.bytes = to_page(l.mailboxes + mailbox_bytes(s->control_senders) +
			  s->shards * mailbox_bytes(s->shard_senders));
	return l;
}

size_t private_mapping_bytes(const struct private_sizes *sizes)
{
	return layout_of(sizes).bytes;
}

/* What the host can give without swapping, as far as it says. */
static uint64_t available_bytes(void)
{
	unsigned long long kib = UINT64_MAX / KIB;
	FILE *in = fopen("/proc/meminfo", "re");
	char line[128];

	while (in && fgets(line, sizeof(line), in))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	if (in)
		fclose(in);
	return min_u64(kib * KIB, cgroup_memory_max_bytes(""));
}

static int draw_seed(uint8_t *seed)
{
	size_t drawn = 0;

	while (drawn < SEED_BYTES) {
		ssize_t n = getrandom(seed + drawn, SEED_BYTES - drawn, 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		drawn += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int private_mapping_create(const struct private_sizes *sizes, struct private_mapping *ret_mapping,
			   uint64_t *ret_room)
{
	struct private_mapping p = {.sizes = *sizes};
	struct layout l = layout_of(sizes);
	uint64_t room = available_bytes();
	char *at;
	int err;

	/* Asked first: the kernel gives what it does not have, and then ends processes. */
	if (l.bytes > room) {
		*ret_room = room;
		return -ENOMEM;
	}
	err = segment_create_private("private", l.bytes, sizes->limiter_bytes >= HUGE_FROM_BYTES,
				     &p.segment);
	if (err)
		return err;
	at = p.segment.at;
	err = draw_seed((uint8_t *)at + l.seed);
	if (err) {
		segment_fini(&p.segment);
		return err;
	}
	(void)mlock(at + l.ticket_keys, l.mailboxes - l.ticket_keys);
	p.limiter = at;
	p.ticket_keys = at + l.ticket_keys;
	p.seed = (uint8_t *)at + l.seed;
	p.mailboxes = at + l.mailboxes;
	*ret_mapping = p;
	return 0;
}

void private_mapping_fini(struct private_mapping *p)
{
	if (!p->segment.at)
		return;
	explicit_bzero((char *)p->segment.at + layout_of(&p->sizes).seed, SEED_BYTES);
	segment_fini(&p->segment);
}

void *private_mapping_control_mailbox(const struct private_mapping *p)
{
	return p->mailboxes;
}

void *private_mapping_shard_mailbox(const struct private_mapping *p, unsigned shard)
{
	must(shard < p->sizes.shards);
	return p->mailboxes + mailbox_bytes(p->sizes.control_senders) +
	       shard * mailbox_bytes(p->sizes.shard_senders);
}
