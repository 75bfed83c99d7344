#include "staples.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include <ringway/base/list.h>
#include <ringway/observe/event.h>
#include <ringway/tls/identity.h>

#include "instance.h"

/* Responders answer in milliseconds; what takes longer is not worth a descriptor. */
#define TRANSFER_S 10
/* A listener has up to 64 certificates, mostly of one authority: its responder is not to
 * be run over. */
#define TRANSFERS_MAX 8
#define RETRY_FIRST_S 60
#define RETRY_LAST_S  3600
/* Near the end of an answer that the responder does not renew, half of the rest is nothing. */
#define REFRESH_LEAST_S 10
/* The wall clock may be set meanwhile. */
#define POLL_MS 60000

/* One certificate. */
struct target {
	struct list link;
	char *name; /* of its file, for events */
	uint8_t fingerprint[32];
	struct span chain_pem; /* malloc */
	struct tls_staple_request request;
	struct tls_staple *staple; /* the last good one, may be over; with the lock */
	/* Of the thread. */
	int64_t due_s;          /* Unix time */
	int64_t retry_s;        /* the last wait after a failure; 0: the last answer was good */
	bool is_revoked; /* by the last answer */
	char said[256];         /* about the failure */
	CURL *transfer;         /* NULL: none runs */
	char *answer;           /* malloc, TLS_STAPLE_MAX; while a transfer runs */
	size_t answer_len;
	bool answer_is_too_long;
};

struct staples {
	struct tls_staples source;
	struct instance *instance;
	struct list wanted; /* of the thread that reads certificates */

	pthread_mutex_t lock; /* up to `multi` */
	struct list targets;  /* the thread alone changes the list */
	struct list incoming; /* what the list is to be */
	bool has_incoming;
	bool may_run;
	bool has_thread;
	pthread_t thread;
	_Atomic bool stopping;
	CURLM *multi; /* made before the thread; others only wake it up */
	struct curl_slist *fields;
	unsigned transfers; /* of the thread */
};

/* ---- targets ---- */

static void target_destroy(struct target *t)
{
	if (!t)
		return;
	free(t->name);
	free((char *)(uintptr_t)t->chain_pem.ptr);
	tls_staple_destroy(t->staple);
	free(t);
}

static struct target *target_create(const struct tls_identity *identity,
				    const struct tls_staple_request *request)
{
	struct target *t = calloc(1, sizeof(*t));
	char *pem = malloc(identity->chain_pem.len);

	must(t && pem);
	memcpy(pem, identity->chain_pem.ptr, identity->chain_pem.len);
	t->chain_pem = span_of(pem, identity->chain_pem.len);
	t->name = strdup(identity->config->cert.path);
	must(t->name);
	memcpy(t->fingerprint, identity->fingerprint, sizeof(t->fingerprint));
	t->request = *request;
	return t;
}

static struct target *find(struct list *list, const uint8_t fingerprint[32])
{
	list_for_each (link, list) {
		struct target *t = list_entry(link, struct target, link);

		if (memcmp(t->fingerprint, fingerprint, sizeof(t->fingerprint)) == 0)
			return t;
	}
	return NULL;
}

static void clear(struct list *list)
{
	struct list *link;

	while ((link = list_pop_front(list)))
		target_destroy(list_entry(link, struct target, link));
}

static void move_all(struct list *from, struct list *to)
{
	struct list *link;

	while ((link = list_pop_front(from)))
		list_push_back(to, link);
}

/* ---- events ---- */

static const char *when_text(int64_t unix_s, char out[static 32])
{
	time_t at = (time_t)unix_s;
	struct tm tm;

	strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&at, &tm));
	return out;
}

/* Control reads the certificates again, and with them our staples. */
static void tell(struct staples *s)
{
	struct mail mail = {.deliver = control_on_files_changed, .to = s->instance};

	/* A full mailbox means that such letters wait already. */
	mailbox_post(&s->instance->control.mailbox, CONTROL_FROM_OCSP, &mail);
}

static struct tls_staple *exchange_staple(struct staples *s, struct target *t,
					  struct tls_staple *staple)
{
	struct tls_staple *old;

	pthread_mutex_lock(&s->lock);
	old = t->staple;
	t->staple = staple;
	pthread_mutex_unlock(&s->lock);
	return old;
}

static void failed(struct staples *s, struct target *t, bool is_revoked, const char *why)
{
	int64_t now_s = (int64_t)time(NULL);
	char text[sizeof(t->said)], when[32], rest[96] = "nothing is stapled";

	if (is_revoked) {
		struct tls_staple *old = exchange_staple(s, t, NULL);

		if (old)
			tell(s);
		tls_staple_destroy(old);
	} else if (t->staple && now_s <= t->staple->next_update_s) {
		snprintf(rest, sizeof(rest), "an earlier one is stapled until %s",
			 when_text(t->staple->next_update_s, when));
	}
	t->is_revoked = is_revoked;
	t->retry_s = t->retry_s ? (int64_t)min_u64(2 * (uint64_t)t->retry_s, RETRY_LAST_S)
				: RETRY_FIRST_S;
	t->due_s = now_s + t->retry_s;
	snprintf(text, sizeof(text), "%s; %s", why, rest);
	if (strcmp(text, t->said) == 0)
		return;
	memcpy(t->said, text, sizeof(text));
	event_log(is_revoked ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN,
		  "ocsp: %s: no good response from %s: %s", t->name, t->request.url, text);
}

static void succeeded(struct staples *s, struct target *t, struct tls_staple *staple)
{
	int64_t now_s = (int64_t)time(NULL);
	int64_t half_s = (staple->next_update_s - now_s) / 2;
	struct tls_staple *old = exchange_staple(s, t, staple);
	bool is_new = !old || old->len != staple->len || memcmp(old->der, staple->der, old->len) != 0;
	char when[32];

	/* For answers that are good for two hours or more this leaves at least one hour to
	 * get over failures. */
	t->due_s = now_s + (half_s > REFRESH_LEAST_S ? half_s : REFRESH_LEAST_S);
	if (is_new || t->retry_s)
		event_info("ocsp: %s: %s response from %s, stapled until %s", t->name,
			   is_new ? "a new" : "the same", t->request.url,
			   when_text(staple->next_update_s, when));
	t->retry_s = 0;
	t->is_revoked = false;
	t->said[0] = 0;
	tls_staple_destroy(old);
	if (is_new)
		tell(s);
}

/* ---- transfers ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *to)
{
	struct target *t = to;
	size_t len = size * count;

	if (len > TLS_STAPLE_MAX - t->answer_len) {
		t->answer_is_too_long = true;
		return 0;
	}
	memcpy(t->answer + t->answer_len, bytes, len);
	t->answer_len += len;
	return len;
}

static bool set_up(struct staples *s, struct target *t)
{
	CURL *e = t->transfer;
	int bad = 0;

	bad |= curl_easy_setopt(e, CURLOPT_URL, t->request.url) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDS, (char *)t->request.der) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)t->request.len) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, s->fields) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_USERAGENT, "ringway/" RINGWAY_VERSION) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_TIMEOUT, (long)TRANSFER_S) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) != CURLE_OK;
	/* Variables of whoever has started us do not decide where we ask. */
	bad |= curl_easy_setopt(e, CURLOPT_PROXY, "") != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_MAXREDIRS, 2L) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_WRITEDATA, t) != CURLE_OK;
	bad |= curl_easy_setopt(e, CURLOPT_PRIVATE, t) != CURLE_OK;
	return !bad && curl_multi_add_handle(s->multi, e) == CURLM_OK;
}

static void end_transfer(struct staples *s, struct target *t)
{
	curl_multi_remove_handle(s->multi, t->transfer);
	curl_easy_cleanup(t->transfer);
	free(t->answer);
	t->transfer = NULL;
	t->answer = NULL;
	s->transfers--;
}

static void begin_transfer(struct staples *s, struct target *t)
{
	t->answer_len = 0;
	t->answer_is_too_long = false;
	t->answer = malloc(TLS_STAPLE_MAX);
	t->transfer = curl_easy_init();
	must(t->answer && t->transfer);
	s->transfers++;
	if (!set_up(s, t)) {
		failed(s, t, false, "libcurl does not ask");
		end_transfer(s, t);
	}
}

static void judge(struct staples *s, struct target *t, CURLcode code)
{
	struct tls_staple *staple;
	const char *detail;
	char text[64];
	long status = 0;
	int err;

	if (t->answer_is_too_long) {
		failed(s, t, false, "it is larger than 16 KiB");
		return;
	}
	if (code != CURLE_OK) {
		failed(s, t, false, curl_easy_strerror(code));
		return;
	}
	curl_easy_getinfo(t->transfer, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200) {
		snprintf(text, sizeof(text), "the status of the answer is %ld", status);
		failed(s, t, false, text);
		return;
	}
	err = tls_staple_parse(span_of(t->answer, t->answer_len), t->chain_pem, (int64_t)time(NULL),
			       &staple, &detail);
	if (err)
		failed(s, t, err == -EKEYREVOKED, detail);
	else
		succeeded(s, t, staple);
}

/* ---- the thread ---- */

/* Who was there keeps what it has, and is tried at once when it failed: whoever has
 * everything read again has maybe mended it. Not so what is revoked: it was us who had
 * everything read again, and the answer is an answer. */
static void take_incoming(struct staples *s)
{
	struct list gone, *link;

	pthread_mutex_lock(&s->lock);
	if (!s->has_incoming) {
		pthread_mutex_unlock(&s->lock);
		return;
	}
	list_init(&gone);
	move_all(&s->targets, &gone);
	while ((link = list_pop_front(&s->incoming))) {
		struct target *is = list_entry(link, struct target, link);
		struct target *was = find(&gone, is->fingerprint);

		if (was) {
			list_remove(&was->link);
			if (was->retry_s && !was->is_revoked)
				was->due_s = 0;
			target_destroy(is);
		}
		list_push_back(&s->targets, was ? &was->link : &is->link);
	}
	s->has_incoming = false;
	pthread_mutex_unlock(&s->lock);
	list_for_each (at, &gone)
		if (list_entry(at, struct target, link)->transfer)
			end_transfer(s, list_entry(at, struct target, link));
	clear(&gone);
}

/* Begins what is due and returns how long nothing will be. */
static int begin_due(struct staples *s)
{
	int64_t now_s = (int64_t)time(NULL), wait_ms = POLL_MS;

	list_for_each (link, &s->targets) {
		struct target *t = list_entry(link, struct target, link);

		/* The end of a transfer wakes us up in any case. */
		if (t->transfer || (t->due_s <= now_s && s->transfers == TRANSFERS_MAX))
			continue;
		if (t->due_s <= now_s)
			begin_transfer(s, t);
		else if ((t->due_s - now_s) * 1000 < wait_ms)
			wait_ms = (t->due_s - now_s) * 1000;
	}
	return (int)wait_ms;
}

/* True: some have made room for others. */
static bool end_done(struct staples *s)
{
	CURLMsg *message;
	bool any = false;
	int left;

	while ((message = curl_multi_info_read(s->multi, &left))) {
		CURLcode code = message->data.result;
		struct target *t;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		judge(s, t, code);
		end_transfer(s, t);
		any = true;
	}
	return any;
}

static void *run(void *arg)
{
	struct staples *s = arg;
	struct topology *topology = &s->instance->topology;
	int running;

	pthread_setname_np(pthread_self(), "ringway-ocsp");
	pthread_setaffinity_np(pthread_self(), sizeof(topology->others), &topology->others);
	while (!s->stopping) {
		int wait_ms;

		take_incoming(s);
		wait_ms = begin_due(s);
		curl_multi_perform(s->multi, &running);
		if (!end_done(s))
			curl_multi_poll(s->multi, NULL, 0, wait_ms, NULL);
	}
	list_for_each (link, &s->targets)
		if (list_entry(link, struct target, link)->transfer)
			end_transfer(s, list_entry(link, struct target, link));
	return NULL;
}

/* With the lock. A process that fetches nothing has no such thread. */
static int start_thread(struct staples *s)
{
	int err;

	if (!s->may_run || s->has_thread || list_is_empty(&s->incoming))
		return 0;
	if (!s->multi) {
		static const char *const fields[] = {"Content-Type: application/ocsp-request",
						     "Accept: application/ocsp-response"};

		if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
			return -ENOMEM;
		for (size_t i = 0; i < ARRAY_LEN(fields); i++)
			s->fields = curl_slist_append(s->fields, fields[i]);
		s->multi = curl_multi_init();
		if (!s->multi || !s->fields)
			return -ENOMEM;
	}
	err = -pthread_create(&s->thread, NULL, run, s);
	s->has_thread = !err;
	return err;
}

/* ---- others ---- */

static struct tls_staple *on_wanted(struct tls_staples *source, const struct tls_identity *identity,
				    const struct tls_staple_request *request)
{
	struct staples *s = container_of(source, struct staples, source);
	struct tls_staple *copy = NULL;
	struct target *t;

	if (!find(&s->wanted, identity->fingerprint))
		list_push_back(&s->wanted, &target_create(identity, request)->link);
	pthread_mutex_lock(&s->lock);
	t = find(&s->targets, identity->fingerprint);
	if (t && t->staple && (int64_t)time(NULL) <= t->staple->next_update_s)
		copy = tls_staple_copy(t->staple);
	pthread_mutex_unlock(&s->lock);
	return copy;
}

struct tls_staples *staples_begin(struct staples *s)
{
	clear(&s->wanted);
	return &s->source;
}

void staples_end(struct staples *s, bool good)
{
	int err;

	if (!good) {
		clear(&s->wanted);
		return;
	}
	pthread_mutex_lock(&s->lock);
	clear(&s->incoming);
	move_all(&s->wanted, &s->incoming);
	s->has_incoming = true;
	err = start_thread(s);
	if (s->has_thread)
		curl_multi_wakeup(s->multi);
	pthread_mutex_unlock(&s->lock);
	if (err)
		event_error("ocsp: nothing can be fetched: %s", strerror(-err));
}

int staples_start(struct staples *s)
{
	int err;

	pthread_mutex_lock(&s->lock);
	s->may_run = true;
	err = start_thread(s);
	pthread_mutex_unlock(&s->lock);
	return err;
}

void staples_stop(struct staples *s)
{
	bool has_thread;

	pthread_mutex_lock(&s->lock);
	s->may_run = false;
	s->stopping = true;
	has_thread = s->has_thread;
	s->has_thread = false;
	if (has_thread)
		curl_multi_wakeup(s->multi);
	pthread_mutex_unlock(&s->lock);
	if (has_thread)
		pthread_join(s->thread, NULL);
}

int staples_create(struct instance *in, struct staples **ret_staples)
{
	struct staples *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->source.on_wanted = on_wanted;
	s->instance = in;
	list_init(&s->wanted);
	list_init(&s->targets);
	list_init(&s->incoming);
	pthread_mutex_init(&s->lock, NULL);
	*ret_staples = s;
	return 0;
}

void staples_destroy(struct staples *s)
{
	if (!s)
		return;
	must(!s->has_thread);
	clear(&s->wanted);
	clear(&s->targets);
	clear(&s->incoming);
	if (s->multi) {
		curl_multi_cleanup(s->multi);
		curl_slist_free_all(s->fields);
		curl_global_cleanup();
	}
	pthread_mutex_destroy(&s->lock);
	free(s);
}
