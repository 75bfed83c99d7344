/* Names of upstreams, from the resolver's thread to the shards.
 */
#include <ringway/observe/event.h>

#include "instance.h"

static void set_answer(struct name_answer *to, const struct resolver_answer *from)
{
	to->len = from->len;
	for (unsigned i = 0; i < from->len; i++)
		to->addresses[i] = from->addresses[i];
	to->changed = true;
}

/* On the control thread. */
static void pass_on(void *to, const struct mail *mail UNUSED)
{
	struct instance *in = to;

	atomic_store(&in->names_changed, false);
	pthread_mutex_lock(&in->names_lock);
	for (uint32_t i = 0; i < UPSTREAM_ENDPOINTS_MAX; i++) {
		struct name_answer *n = &in->names[i];

		if (!n->changed)
			continue;
		n->changed = false;
		for (unsigned s = 0; s < in->shards_len; s++)
			data_shard_post_addresses(&in->shards[s], i, n,
						  in->registry.endpoints[i].port);
	}
	pthread_mutex_unlock(&in->names_lock);
}

void names_on_answer(void *arg, const struct resolver_answer *answer)
{
	struct instance *in = arg;
	struct mail mail = {.deliver = pass_on, .to = in};

	if (answer->error)
		event_warn("upstream `%s`: %s%s", in->registry.endpoints[answer->watch].host,
			   answer->error,
			   answer->len ? "; its last addresses stay in use" : "");
	pthread_mutex_lock(&in->names_lock);
	set_answer(&in->names[answer->watch], answer);
	pthread_mutex_unlock(&in->names_lock);
	/* One letter is enough, however many answers it stands for. */
	if (!atomic_exchange(&in->names_changed, true))
		mailbox_post(&in->control.mailbox, CONTROL_FROM_RESOLVER, &mail);
}

int names_watch(struct instance *in, uint32_t first)
{
	int err = 0;

	for (uint32_t i = first; i < in->registry.endpoints_len && !err; i++)
		if (!in->registry.endpoints[i].address.len)
			err = resolver_watch(in->resolver, i, in->registry.endpoints[i].host);
	return err;
}

void names_apply_all(struct instance *in, struct upstreams *u)
{
	pthread_mutex_lock(&in->names_lock);
	for (uint32_t i = 0; i < in->registry.endpoints_len; i++) {
		const struct registry_endpoint *e = &in->registry.endpoints[i];

		if (e->address.len)
			upstreams_set_addresses(u, i, &e->address, 1, e->port);
		else if (in->names[i].len)
			upstreams_set_addresses(u, i, in->names[i].addresses, in->names[i].len,
						e->port);
	}
	pthread_mutex_unlock(&in->names_lock);
}
