#include <ringway/shard/mailbox.h>

#include <errno.h>
#include <stdlib.h>

#include <ringway/base/clock.h>
#include <ringway/shard/ring.h>

#define LETTERS_BYTES (MAILBOX_LETTERS * sizeof(struct mail))

size_t mailbox_bytes(unsigned senders)
{
	size_t bytes = senders * (sizeof(struct spsc) + LETTERS_BYTES);

	return (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

int mailbox_init(struct mailbox *m, unsigned senders, void *memory)
{
	char *letters;

	m->own = NULL;
	if (!memory)
		memory = m->own = aligned_alloc(CACHE_LINE, mailbox_bytes(senders));
	if (!memory)
		return -ENOMEM;
	m->wake = NULL;
	m->senders = senders;
	m->lag_ns = 0;
	m->lag_longest_ns = 0;
	atomic_init(&m->news, 0);
	atomic_init(&m->asleep, false);
	m->rings = memory;
	letters = (char *)(m->rings + senders);
	for (unsigned i = 0; i < senders; i++)
		spsc_init(&m->rings[i], letters + i * LETTERS_BYTES, sizeof(struct mail),
			  MAILBOX_LETTERS);
	return 0;
}

void mailbox_fini(struct mailbox *m)
{
	free(m->own);
	m->own = NULL;
	m->rings = NULL;
	m->senders = 0;
}

bool mailbox_post(struct mailbox *m, unsigned sender, const struct mail *mail)
{
	struct mail stamped = *mail;

	must(sender < m->senders);
	stamped.posted_ns = clock_monotonic_ns();
	if (!spsc_push(&m->rings[sender], &stamped))
		return false;
	atomic_fetch_or(&m->news, (uint64_t)1 << (sender % 64));
	if (atomic_load(&m->asleep))
		ring_wake(m->wake);
	return true;
}

unsigned mailbox_deliver(struct mailbox *m)
{
	uint64_t news, now_ns, left = 0;
	unsigned delivered = 0;

	/* Plain read first: most turns have no news, and an exchange would take the
	 * line away from the senders. */
	if (likely(atomic_load_explicit(&m->news, memory_order_relaxed) == 0))
		return 0;
	news = atomic_exchange(&m->news, 0);
	now_ns = clock_monotonic_ns();
	m->lag_ns = 0;
	for (unsigned i = 0; i < m->senders; i++) {
		struct mail mail;
		unsigned taken = 0;

		if (!(news & (uint64_t)1 << (i % 64)))
			continue;
		while (taken < MAILBOX_LETTERS && spsc_pop(&m->rings[i], &mail)) {
			/* Letters that come meanwhile are younger than our clock. */
			if (mail.posted_ns < now_ns)
				m->lag_ns = max_u64(m->lag_ns, now_ns - mail.posted_ns);
			mail.deliver(mail.to, &mail);
			taken++;
		}
		/* There may be more by now; they have the next turn. */
		if (taken == MAILBOX_LETTERS)
			left |= (uint64_t)1 << (i % 64);
		delivered += taken;
	}
	if (left)
		atomic_fetch_or(&m->news, left);
	m->lag_longest_ns = max_u64(m->lag_longest_ns, m->lag_ns);
	return delivered;
}

bool mailbox_sleep(struct mailbox *m)
{
	atomic_store(&m->asleep, true);
	if (atomic_load(&m->news) == 0)
		return true;
	atomic_store_explicit(&m->asleep, false, memory_order_relaxed);
	return false;
}

void mailbox_awake(struct mailbox *m)
{
	atomic_store_explicit(&m->asleep, false, memory_order_relaxed);
}
