#include "access_ring.h"

#include <errno.h>
#include <sys/mman.h>

enum text {
	ID,
	CLIENT,
	METHOD,
	HOST,
	PATH,
	ROUTE,
	SERVICE,
	TARGET,
	LIMIT,
	PLAIN_TEXTS, /* these are all that a record without TLS has */
	TLS_VERSION = PLAIN_TEXTS,
	TLS_SUITE,
	TLS_GROUP,
	TLS_SERVER_NAME,
	TLS_ALPN,
	TLS_CLIENT_SUBJECT,
	TLS_CLIENT_FINGERPRINT,
	TEXTS
};

/* Longer ones are cut and the record says so. Path: what fits most browsers and
 * proxies; host: a name (253) or literal with port; subject: some ten attributes; the
 * rest are our own words. */
static const uint16_t text_limits[TEXTS] = {
	[ID] = 128,    [CLIENT] = 64, [METHOD] = 64,   [HOST] = 512,
	[PATH] = 4096, [ROUTE] = 256, [SERVICE] = 256, [TARGET] = 512,
	[LIMIT] = 128,

	[TLS_VERSION] = 16,  [TLS_SUITE] = 64,          [TLS_GROUP] = 32,
	[TLS_SERVER_NAME] = 256, [TLS_ALPN] = 256,      [TLS_CLIENT_SUBJECT] = 1024,
	[TLS_CLIENT_FINGERPRINT] = 64,
};
#define EXTRA_NAME_MAX  128
#define EXTRA_VALUE_MAX 2048

#define ALIGN_UP(n) (((n) + 7) & ~(size_t)7)

struct packed_extra {
	uint16_t name_len;
	uint16_t value_len;
};

struct packed {
	uint32_t bytes; /* all of it, a multiple of 8; GO_BACK: the next one lies at the start */
	uint16_t text_len[TEXTS];
	uint16_t status;
	uint16_t shard;
	uint8_t cause;
	uint8_t http_minor;
	uint8_t attempts;
	uint8_t clipped;
	uint8_t has_tls;
	uint8_t tls_resumed;
	uint32_t tls_handshake_us;
	uint32_t extras_len;
	uint32_t head_us;
	uint32_t policy_us;
	uint32_t connect_us;
	uint32_t first_byte_us;
	uint32_t total_us;
	uint64_t started_unix_us;
	uint64_t bytes_in;
	uint64_t bytes_out;
	struct packed_extra extras[]; /* then the texts, then names and values */
};
#define GO_BACK 0

_Static_assert(sizeof(struct packed) + 128 + 64 + 64 + 512 + 4096 + 256 + 256 + 512 + 128 + 16 + 64 +
			       32 + 256 + 256 + 1024 + 64 +
			       ACCESS_EXTRAS_MAX * sizeof(struct packed_extra) <=
		       ACCESS_RECORD_BYTES_MAX,
	       "texts and the table of extras fit");
_Static_assert(ACCESS_CAUSES <= UINT8_MAX, "causes fit");

int access_ring_init(struct access_ring *r, size_t size)
{
	void *bytes;

	/* An empty ring takes any record, wherever it stands. */
	must(size >= 2 * ACCESS_RECORD_BYTES_MAX && (size & (size - 1)) == 0);
	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return -ENOMEM;
	memset(r, 0, sizeof(*r));
	r->bytes = bytes;
	r->size = size;
	return 0;
}

void access_ring_fini(struct access_ring *r)
{
	if (r->bytes)
		munmap(r->bytes, r->size);
	r->bytes = NULL;
}

static int texts_of(const struct access_record *record)
{
	return record->tls ? TEXTS : PLAIN_TEXTS;
}

static void collect_texts(const struct access_record *record, struct span texts[TEXTS])
{
	texts[ID] = record->request_id;
	texts[CLIENT] = record->client;
	texts[METHOD] = record->method;
	texts[HOST] = record->host;
	texts[PATH] = record->path;
	texts[ROUTE] = record->route;
	texts[SERVICE] = record->service;
	texts[TARGET] = record->target;
	texts[LIMIT] = record->limit;
	if (!record->tls)
		return;
	texts[TLS_VERSION] = record->tls->version;
	texts[TLS_SUITE] = record->tls->suite;
	texts[TLS_GROUP] = record->tls->group;
	texts[TLS_SERVER_NAME] = record->tls->server_name;
	texts[TLS_ALPN] = record->tls->alpn;
	texts[TLS_CLIENT_SUBJECT] = record->tls->client_subject;
	texts[TLS_CLIENT_FINGERPRINT] = record->tls->client_fingerprint;
}

static uint16_t clip(struct span *s, size_t limit, uint8_t *clipped)
{
	if (s->len > limit) {
		s->len = limit;
		*clipped = true;
	}
	return (uint16_t)s->len;
}

/* How many extras fit beside the `bytes` that are taken, and the sum of it all. */
static size_t fit_extras(const struct access_record *record, size_t *bytes, uint8_t *clipped)
{
	size_t len = 0;

	for (; len < record->extras_len; len++) {
		struct access_extra extra = record->extras[len];
		size_t more = sizeof(struct packed_extra);

		more += clip(&extra.name, EXTRA_NAME_MAX, clipped);
		more += clip(&extra.value, EXTRA_VALUE_MAX, clipped);
		if (len == ACCESS_EXTRAS_MAX || *bytes + more > ACCESS_RECORD_BYTES_MAX - 8) {
			*clipped = true;
			break;
		}
		*bytes += more;
	}
	return len;
}

static char *append(char *at, struct span s)
{
	if (s.len)
		memcpy(at, s.ptr, s.len);
	return at + s.len;
}

/* Bytes from put_at to where a record of so many bytes can stand. */
static size_t gap_before(const struct access_ring *r, uint64_t put_at, size_t bytes)
{
	size_t to_end = r->size - (put_at & (r->size - 1));

	return bytes <= to_end ? 0 : to_end;
}

static bool has_room(struct access_ring *r, uint64_t put_at, size_t bytes)
{
	if (put_at + bytes - r->taken_seen <= r->size)
		return true;
	r->taken_seen = atomic_load_explicit(&r->taken_at, memory_order_acquire);
	return put_at + bytes - r->taken_seen <= r->size;
}

static void count_drop(struct access_ring *r)
{
	uint64_t dropped = atomic_load_explicit(&r->dropped, memory_order_relaxed);

	atomic_store_explicit(&r->dropped, dropped + 1, memory_order_relaxed);
}

bool access_ring_put(struct access_ring *r, const struct access_record *record)
{
	uint64_t put_at = atomic_load_explicit(&r->put_at, memory_order_relaxed);
	struct span texts[TEXTS];
	struct packed head = {
		.status = record->status,
		.shard = record->shard,
		.cause = (uint8_t)record->cause,
		.http_minor = record->http_minor,
		.attempts = record->attempts,
		.head_us = record->head_us,
		.policy_us = record->policy_us,
		.connect_us = record->connect_us,
		.first_byte_us = record->first_byte_us,
		.total_us = record->total_us,
		.started_unix_us = record->started_unix_us,
		.bytes_in = record->bytes_in,
		.bytes_out = record->bytes_out,
	};
	int texts_len = texts_of(record);
	size_t bytes = sizeof(head), gap;
	struct packed *packed;
	char *at;

	if (record->tls) {
		head.has_tls = true;
		head.tls_resumed = record->tls->resumed;
		head.tls_handshake_us = record->tls->handshake_us;
	}
	collect_texts(record, texts);
	for (int i = 0; i < texts_len; i++)
		bytes += head.text_len[i] = clip(&texts[i], text_limits[i], &head.clipped);
	head.extras_len = (uint32_t)fit_extras(record, &bytes, &head.clipped);
	bytes = ALIGN_UP(bytes);
	head.bytes = (uint32_t)bytes;

	gap = gap_before(r, put_at, bytes);
	if (!has_room(r, put_at, gap + bytes)) {
		count_drop(r);
		return false;
	}
	packed = (struct packed *)(r->bytes + (put_at & (r->size - 1)));
	if (gap) {
		packed->bytes = GO_BACK;
		packed = (struct packed *)r->bytes;
	}
	memcpy(packed, &head, sizeof(head));
	at = (char *)(packed->extras + head.extras_len);
	for (int i = 0; i < texts_len; i++)
		at = append(at, texts[i]);
	for (size_t i = 0; i < head.extras_len; i++) {
		struct access_extra extra = record->extras[i];

		packed->extras[i].name_len = clip(&extra.name, EXTRA_NAME_MAX, &head.clipped);
		packed->extras[i].value_len = clip(&extra.value, EXTRA_VALUE_MAX, &head.clipped);
		at = append(append(at, extra.name), extra.value);
	}
	atomic_store(&r->put_at, put_at + gap + bytes);
	return true;
}

bool access_ring_is_half_full(struct access_ring *r)
{
	return !has_room(r, atomic_load_explicit(&r->put_at, memory_order_relaxed), r->size / 2);
}

bool access_ring_is_empty(struct access_ring *r)
{
	return atomic_load(&r->put_at) == atomic_load_explicit(&r->taken_at, memory_order_relaxed);
}

static struct span cut(const char **at, size_t len)
{
	struct span s = span_of(*at, len);

	*at += len;
	return s;
}

static void cut_tls(const char **text, const struct packed *p, struct access_tls *ret_tls)
{
	ret_tls->version = cut(text, p->text_len[TLS_VERSION]);
	ret_tls->suite = cut(text, p->text_len[TLS_SUITE]);
	ret_tls->group = cut(text, p->text_len[TLS_GROUP]);
	ret_tls->server_name = cut(text, p->text_len[TLS_SERVER_NAME]);
	ret_tls->alpn = cut(text, p->text_len[TLS_ALPN]);
	ret_tls->client_subject = cut(text, p->text_len[TLS_CLIENT_SUBJECT]);
	ret_tls->client_fingerprint = cut(text, p->text_len[TLS_CLIENT_FINGERPRINT]);
	ret_tls->handshake_us = p->tls_handshake_us;
	ret_tls->resumed = p->tls_resumed;
}

bool access_ring_peek(struct access_ring *r, struct access_view *ret_view)
{
	uint64_t at = atomic_load_explicit(&r->taken_at, memory_order_relaxed);
	const struct packed *p;
	const char *text;

	if (access_ring_is_empty(r))
		return false;
	p = (const struct packed *)(r->bytes + (at & (r->size - 1)));
	if (p->bytes == GO_BACK) {
		at += r->size - (at & (r->size - 1));
		p = (const struct packed *)r->bytes;
	}
	text = (const char *)(p->extras + p->extras_len);
	ret_view->record = (struct access_record){
		.status = p->status,
		.shard = p->shard,
		.http_minor = p->http_minor,
		.attempts = p->attempts,
		.cause = p->cause,
		.started_unix_us = p->started_unix_us,
		.bytes_in = p->bytes_in,
		.bytes_out = p->bytes_out,
		.head_us = p->head_us,
		.policy_us = p->policy_us,
		.connect_us = p->connect_us,
		.first_byte_us = p->first_byte_us,
		.total_us = p->total_us,
		.extras = ret_view->extras,
		.extras_len = p->extras_len,
	};
	/* Not in the initializer, which promises no order. */
	ret_view->record.request_id = cut(&text, p->text_len[ID]);
	ret_view->record.client = cut(&text, p->text_len[CLIENT]);
	ret_view->record.method = cut(&text, p->text_len[METHOD]);
	ret_view->record.host = cut(&text, p->text_len[HOST]);
	ret_view->record.path = cut(&text, p->text_len[PATH]);
	ret_view->record.route = cut(&text, p->text_len[ROUTE]);
	ret_view->record.service = cut(&text, p->text_len[SERVICE]);
	ret_view->record.target = cut(&text, p->text_len[TARGET]);
	ret_view->record.limit = cut(&text, p->text_len[LIMIT]);
	if (p->has_tls) {
		cut_tls(&text, p, &ret_view->tls);
		ret_view->record.tls = &ret_view->tls;
	}
	for (size_t i = 0; i < p->extras_len; i++) {
		ret_view->extras[i].name = cut(&text, p->extras[i].name_len);
		ret_view->extras[i].value = cut(&text, p->extras[i].value_len);
	}
	ret_view->clipped = p->clipped;
	ret_view->next_at = at + p->bytes;
	return true;
}

void access_ring_take(struct access_ring *r, const struct access_view *view)
{
	atomic_store_explicit(&r->taken_at, view->next_at, memory_order_release);
}
