#include <ringway/shard/mailbox.h>

#include <errno.h>
#include <stdlib.h>

#include <ringway/shard/ring.h>

int mailbox_init(struct mailbox *m, unsigned senders)
{
	m->wake = NULL;
	m->senders = 0;
	atomic_init(&m->news, 0);
	atomic_init(&m->asleep, false);
	m->rings = aligned_alloc(CACHE_LINE, senders * sizeof(*m->rings));
	if (!m->rings)
		return -ENOMEM;
	for (; m->senders < senders; m->senders++) {
		int err = spsc_init(&m->rings[m->senders], sizeof(struct mail), MAILBOX_LETTERS);

		if (err) {
			mailbox_fini(m);
			return err;
		}
	}
	return 0;
}

void mailbox_fini(struct mailbox *m)
{
	for (unsigned i = 0; i < m->senders; i++)
		spsc_fini(&m->rings[i]);
	free(m->rings);
	m->rings = NULL;
	m->senders = 0;
}

bool mailbox_post(struct mailbox *m, unsigned sender, const struct mail *mail)
{
	must(sender < m->senders);
	if (!spsc_push(&m->rings[sender], mail))
		return false;
	atomic_fetch_or(&m->news, (uint64_t)1 << (sender % 64));
	if (atomic_load(&m->asleep))
		ring_wake(m->wake);
	return true;
}

unsigned mailbox_deliver(struct mailbox *m)
{
	uint64_t news, left = 0;
	unsigned delivered = 0;

	/* Plain read first: most turns have no news, and an exchange would take the
	 * line away from the senders. */
	if (likely(atomic_load_explicit(&m->news, memory_order_relaxed) == 0))
		return 0;
	news = atomic_exchange(&m->news, 0);
	for (unsigned i = 0; i < m->senders; i++) {
		struct mail mail;
		unsigned taken = 0;

		if (!(news & (uint64_t)1 << (i % 64)))
			continue;
		while (taken < MAILBOX_LETTERS && spsc_pop(&m->rings[i], &mail)) {
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
