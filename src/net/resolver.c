/* The resolver's thread owns the c-ares channel and the watches. Other threads give
 * it orders through a locked list, which is all that the lock protects, with the
 * count of watches that have no answer yet.
 *
 * A watch is either asking (c-ares holds a pointer to it until its callback ran) or
 * due at a time. One that is given up while it asks is marked gone and freed by the
 * callback.
 */
#include <ringway/net/resolver.h>

/* Newer versions mark what 1.18 has no other way for. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <ringway/base/list.h>

#define TRIES        2
#define PAUSE_MIN_NS NS_PER_S
#define PAUSE_MAX_NS (30 * NS_PER_S)
/* How long an edit of /etc/hosts may go unnoticed: its names have no time to live. */
#define HOSTS_NS (10 * NS_PER_S)
/* Looked at before sorting and cutting to RESOLVER_ADDRESSES. What one UDP answer
 * with EDNS carries is fewer. */
#define CANDIDATES 256

struct watch {
	struct list link;
	struct resolver *resolver;
	char *name;
	bool asking;
	bool gone;
	bool answered;
	unsigned failures; /* in a row */
	uint64_t due_ns;   /* says something unless asking */
	struct resolver_answer answer;
};

struct order {
	struct list link;
	uint32_t watch;
	struct watch *begin; /* NULL: only end the one that there is */
};

struct resolver {
	resolver_news_fn on_news;
	void *arg;
	uint64_t max_ttl_ns;
	ares_channel channel;
	int epoll;
	int wake; /* eventfd */
	pthread_t thread;
	struct list watches; /* the thread's */

	pthread_mutex_t lock;
	pthread_cond_t settled;
	struct list orders;
	unsigned unanswered; /* watches, ordered ones included */
	bool stop;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void count_answered(struct resolver *r)
{
	pthread_mutex_lock(&r->lock);
	if (--r->unanswered == 0)
		pthread_cond_broadcast(&r->settled);
	pthread_mutex_unlock(&r->lock);
}

static void mark_answered(struct watch *w)
{
	if (w->answered)
		return;
	w->answered = true;
	count_answered(w->resolver);
}

static void watch_destroy(struct watch *w)
{
	free(w->name);
	free(w);
}

/* No news comes from it any more. */
static void give_up(struct watch *w)
{
	mark_answered(w);
	list_remove(&w->link);
	w->gone = true;
	if (!w->asking)
		watch_destroy(w);
}

static int compare_addresses(const void *left, const void *right)
{
	const struct address *a = left, *b = right;

	if (a->sa.sa_family != b->sa.sa_family)
		return a->sa.sa_family == AF_INET ? -1 : 1;
	if (a->sa.sa_family == AF_INET)
		return memcmp(&a->in.sin_addr, &b->in.sin_addr, sizeof(a->in.sin_addr));
	return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr));
}

static bool take_address(const struct ares_addrinfo_node *node, struct address *ret_address)
{
	memset(ret_address, 0, sizeof(*ret_address));
	if (node->ai_family != AF_INET && node->ai_family != AF_INET6)
		return false;
	if ((size_t)node->ai_addrlen > sizeof(ret_address->in6))
		return false;
	memcpy(&ret_address->in6, node->ai_addr, (size_t)node->ai_addrlen);
	ret_address->len = (socklen_t)node->ai_addrlen;
	address_set_port(ret_address, 0);
	return true;
}

/* Sorted, without doubles (a name may stand twice in /etc/hosts). */
static void take_addresses(const struct ares_addrinfo *found, struct resolver_answer *answer)
{
	struct address all[CANDIDATES];
	size_t len = 0;

	for (const struct ares_addrinfo_node *n = found->nodes; n && len < CANDIDATES;
	     n = n->ai_next)
		len += take_address(n, &all[len]);
	qsort(all, len, sizeof(all[0]), compare_addresses);
	answer->len = 0;
	for (size_t i = 0; i < len && answer->len < RESOLVER_ADDRESSES; i++)
		if (i == 0 || compare_addresses(&all[i - 1], &all[i]) != 0)
			answer->addresses[answer->len++] = all[i];
}

static uint64_t shortest_ttl_ns(const struct ares_addrinfo *found, uint64_t max_ns)
{
	uint64_t ttl_ns = max_ns;

	for (const struct ares_addrinfo_node *n = found->nodes; n; n = n->ai_next)
		ttl_ns = min_u64(ttl_ns, n->ai_ttl > 0 ? (uint64_t)n->ai_ttl * NS_PER_S : 0);
	for (const struct ares_addrinfo_cname *c = found->cnames; c; c = c->next)
		ttl_ns = min_u64(ttl_ns, c->ttl > 0 ? (uint64_t)c->ttl * NS_PER_S : 0);
	return max_u64(ttl_ns, PAUSE_MIN_NS);
}

static uint64_t pause_after_failure_ns(unsigned failures)
{
	return failures > 5 ? PAUSE_MAX_NS : min_u64(PAUSE_MIN_NS << (failures - 1), PAUSE_MAX_NS);
}

static bool same_answer(const struct resolver_answer *a, const struct resolver_answer *b)
{
	if (a->len != b->len || a->error != b->error)
		return false;
	for (unsigned i = 0; i < a->len; i++)
		if (!address_eq(&a->addresses[i], &b->addresses[i]))
			return false;
	return true;
}

static void on_answer(void *arg, int status, int timeouts UNUSED, struct ares_addrinfo *found)
{
	struct watch *w = arg;
	struct resolver_answer before = w->answer;
	bool is_first = !w->answered;

	w->asking = false;
	if (w->gone) {
		ares_freeaddrinfo(found);
		watch_destroy(w);
		return;
	}
	if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED) {
		ares_freeaddrinfo(found);
		return;
	}
	if (status == ARES_SUCCESS && (!found || !found->nodes))
		status = ARES_ENODATA;
	if (status == ARES_SUCCESS) {
		take_addresses(found, &w->answer);
		w->answer.error = NULL;
		w->failures = 0;
		w->due_ns = now_ns() + shortest_ttl_ns(found, w->resolver->max_ttl_ns);
	} else {
		w->answer.error = ares_strerror(status);
		w->failures++;
		w->due_ns = now_ns() + pause_after_failure_ns(w->failures);
	}
	ares_freeaddrinfo(found);
	if (is_first || !same_answer(&before, &w->answer))
		w->resolver->on_news(w->resolver->arg, &w->answer);
	/* After the news: whoever waits for the first answer shall find it delivered. */
	mark_answered(w);
}

static void ask(struct watch *w)
{
	/* Unsorted: c-ares would sort by opening a socket to each address. */
	struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};

	w->asking = true;
	ares_getaddrinfo(w->resolver->channel, w->name, NULL, &hints, on_answer, w);
	/* Answered at once: out of /etc/hosts, or it is an address. */
	if (!w->asking && !w->answer.error)
		w->due_ns = now_ns() + HOSTS_NS;
}

/* Asks what is due; until when the rest can wait. */
static uint64_t ask_due(struct resolver *r)
{
	uint64_t now = now_ns(), next_ns = now + PAUSE_MAX_NS;

	list_for_each (it, &r->watches) {
		struct watch *w = list_entry(it, struct watch, link);

		if (!w->asking && w->due_ns <= now)
			ask(w);
		if (!w->asking)
			next_ns = min_u64(next_ns, w->due_ns);
	}
	return next_ns;
}

static struct watch *find_watch(struct resolver *r, uint32_t number)
{
	list_for_each (it, &r->watches) {
		struct watch *w = list_entry(it, struct watch, link);

		if (w->answer.watch == number)
			return w;
	}
	return NULL;
}

static void obey(struct resolver *r, struct order *order)
{
	struct watch *w = find_watch(r, order->watch);

	if (w)
		give_up(w);
	if (order->begin)
		list_push_back(&r->watches, &order->begin->link);
	free(order);
}

static bool take_orders(struct resolver *r)
{
	bool stop;

	pthread_mutex_lock(&r->lock);
	while (!list_is_empty(&r->orders)) {
		struct order *order = list_entry(list_pop_front(&r->orders), struct order, link);

		pthread_mutex_unlock(&r->lock);
		obey(r, order);
		pthread_mutex_lock(&r->lock);
	}
	stop = r->stop;
	pthread_mutex_unlock(&r->lock);
	return !stop;
}

/* c-ares tells which of its sockets it wants watched. Not through ares_fds(), whose
 * sets end at descriptor 1023. */
static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = arg;
	struct epoll_event event = {
		.events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0),
		.data.fd = fd,
	};

	if (!event.events)
		epoll_ctl(r->epoll, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(r->epoll, EPOLL_CTL_MOD, fd, &event) < 0)
		epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int wait_ms(struct resolver *r, uint64_t until_ns)
{
	uint64_t now = now_ns();
	struct timeval most, left, *shortest;

	until_ns = until_ns > now ? until_ns - now : 0;
	most.tv_sec = (time_t)(until_ns / NS_PER_S);
	most.tv_usec = (suseconds_t)(until_ns % NS_PER_S / NS_PER_US);
	shortest = ares_timeout(r->channel, &most, &left);
	/* Rounded up, else it would spin for the last millisecond. */
	return (int)(shortest->tv_sec * 1000 + (shortest->tv_usec + 999) / 1000);
}

static void wait_and_process(struct resolver *r, uint64_t until_ns)
{
	struct epoll_event events[16];
	int n = epoll_wait(r->epoll, events, ARRAY_LEN(events), wait_ms(r, until_ns));
	uint64_t count;

	for (int i = 0; i < n; i++) {
		int fd = events[i].data.fd;
		bool in = events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP);
		bool out = events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP);

		if (fd != r->wake)
			ares_process_fd(r->channel, in ? fd : ARES_SOCKET_BAD,
					out ? fd : ARES_SOCKET_BAD);
		else if (read(fd, &count, sizeof(count)) < 0)
			must(errno == EAGAIN || errno == EINTR);
	}
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* timeouts */
}

static void *run(void *arg)
{
	struct resolver *r = arg;

	while (take_orders(r))
		wait_and_process(r, ask_due(r));
	return NULL;
}

static void wake(struct resolver *r)
{
	uint64_t one = 1;

	/* Only a counter at its very end refuses, and then the thread is awake. */
	while (write(r->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static int start_thread(struct resolver *r)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&r->thread, NULL, run, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		pthread_setname_np(r->thread, "ringway-dns");
	return -err;
}

static int set_servers(struct resolver *r, const struct config_resolver *config)
{
	char *list = NULL, text[ADDRESS_TEXT_BYTES];
	size_t room;
	FILE *out;
	int status;

	if (!config->servers_len)
		return 0;
	out = open_memstream(&list, &room);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < config->servers_len; i++) {
		address_text(&config->servers[i], text);
		fprintf(out, "%s%s", i ? "," : "", text);
	}
	status = fclose(out) ? ARES_ENOMEM : ares_set_servers_ports_csv(r->channel, list);
	free(list);
	return status == ARES_SUCCESS ? 0 : status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

static int open_channel(struct resolver *r, const struct config_resolver *config)
{
	struct ares_options options = {
		.timeout = (int)min_u64(max_u64(config->timeout_ns / NS_PER_MS, 1), INT32_MAX),
		.tries = TRIES,
		.sock_state_cb = on_socket,
		.sock_state_cb_data = r,
	};
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
	int status = ares_library_init(ARES_LIB_INIT_ALL);

	if (status != ARES_SUCCESS)
		return -ENOMEM;
	status = ares_init_options(&r->channel, &options, mask);
	if (status != ARES_SUCCESS) {
		r->channel = NULL;
		ares_library_cleanup();
		return status == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	return set_servers(r, config);
}

static int open_descriptors(struct resolver *r)
{
	struct epoll_event event = {.events = EPOLLIN};

	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll < 0)
		return -errno;
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake < 0)
		return -errno;
	event.data.fd = r->wake;
	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->wake, &event) < 0 ? -errno : 0;
}

/* The thread has ended or never was. */
static void release(struct resolver *r)
{
	while (!list_is_empty(&r->orders))
		obey(r, list_entry(list_pop_front(&r->orders), struct order, link));
	while (!list_is_empty(&r->watches))
		give_up(list_entry(r->watches.next, struct watch, link));
	if (r->channel) {
		ares_destroy(r->channel); /* runs the callbacks of those that ask */
		ares_library_cleanup();
	}
	if (r->wake >= 0)
		close(r->wake);
	if (r->epoll >= 0)
		close(r->epoll);
	pthread_cond_destroy(&r->settled);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

int resolver_create(const struct config_resolver *config, resolver_news_fn on_news, void *arg,
		    struct resolver **ret_resolver)
{
	struct resolver *r = calloc(1, sizeof(*r));
	pthread_condattr_t monotonic;
	int err;

	if (!r)
		return -ENOMEM;
	r->on_news = on_news;
	r->arg = arg;
	r->max_ttl_ns = config->max_ttl_ns;
	r->epoll = r->wake = -1;
	list_init(&r->watches);
	list_init(&r->orders);
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->settled, &monotonic);
	pthread_condattr_destroy(&monotonic);
	err = open_descriptors(r);
	if (!err)
		err = open_channel(r, config);
	if (!err)
		err = start_thread(r);
	if (err) {
		release(r);
		return err;
	}
	*ret_resolver = r;
	return 0;
}

void resolver_destroy(struct resolver *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_mutex_unlock(&r->lock);
	wake(r);
	pthread_join(r->thread, NULL);
	release(r);
}

static void give_order(struct resolver *r, struct order *order)
{
	pthread_mutex_lock(&r->lock);
	if (order->begin)
		r->unanswered++;
	list_push_back(&r->orders, &order->link);
	pthread_mutex_unlock(&r->lock);
	wake(r);
}

int resolver_watch(struct resolver *r, uint32_t watch, const char *name)
{
	struct order *order = calloc(1, sizeof(*order));
	struct watch *begin = calloc(1, sizeof(*begin));
	char *copy = strdup(name);

	if (!order || !begin || !copy) {
		free(order);
		free(begin);
		free(copy);
		return -ENOMEM;
	}
	begin->resolver = r;
	begin->name = copy;
	begin->answer.watch = watch;
	order->watch = watch;
	order->begin = begin;
	give_order(r, order);
	return 0;
}

void resolver_unwatch(struct resolver *r, uint32_t watch)
{
	struct order *order = calloc(1, sizeof(*order));

	/* Without memory the name goes on being asked for, and its news mean nothing
	 * to the caller any more: no reason to fail. */
	if (!order)
		return;
	order->watch = watch;
	give_order(r, order);
}

bool resolver_settle(struct resolver *r, uint64_t timeout_ns)
{
	uint64_t until_ns = now_ns() + timeout_ns;
	struct timespec until = {
		.tv_sec = (time_t)(until_ns / NS_PER_S),
		.tv_nsec = (long)(until_ns % NS_PER_S),
	};
	bool settled;

	pthread_mutex_lock(&r->lock);
	while (r->unanswered && pthread_cond_timedwait(&r->settled, &r->lock, &until) == 0)
		;
	settled = r->unanswered == 0;
	pthread_mutex_unlock(&r->lock);
	return settled;
}
