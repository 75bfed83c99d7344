#include <ringway/tls/ticket_keys.h>

#include <endian.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/hmac.h>

#include <ringway/base/base.h>
#include <ringway/tls/random.h>

#define SECRET_BYTES 32
#define SECRET_WORDS (SECRET_BYTES / sizeof(uint64_t))
#define NONCE_BYTES  12
#define GCM_BYTES    16
#define TRIES        64 /* a slot is being turned for some 20 stores */

enum { CURRENT, PREVIOUS };

/* The secrets of one period. Any shard reads, and any shard may turn it: a sequence
 * lock. `sequence` is odd while one writes; it was taken from even to odd by a
 * compare-and-swap, so there is one writer, and a second one gives up.
 * - Each word is stored with release after `sequence` became odd, and loaded with acquire:
 *   who loads a new word therefore sees, in the second look at `sequence`, at least the
 *   odd value, and throws away what it read.
 * - The even value at the end is stored with release and loaded with acquire: who loads
 *   it sees all the words.
 * Fences would do the same, but the thread sanitizer does not see them. */
struct slot {
	_Atomic uint32_t sequence;
	_Atomic uint32_t rotate_s; /* 0: free */
	_Atomic uint64_t epoch;    /* of the current secret */
	_Atomic uint64_t secrets[2][SECRET_WORDS];
} __attribute__((aligned(CACHE_LINE)));

struct tls_ticket_keys {
	struct slot slots[TLS_TICKET_PERIODS_MAX];
};

/* A copy of what a slot held at one moment. On the stack, wiped after use. */
struct view {
	uint32_t sequence;
	uint32_t rotate_s;
	uint64_t epoch;
	uint64_t secrets[2][SECRET_WORDS];
};

size_t tls_ticket_keys_bytes(void)
{
	return sizeof(struct tls_ticket_keys);
}

struct tls_ticket_keys *tls_ticket_keys_init(void *memory)
{
	struct tls_ticket_keys *k = memory;

	/* Refused by old kernels and by small limits; the keys are as good without. */
	(void)madvise(k, sizeof(*k), MADV_DONTDUMP);
	(void)mlock(k, sizeof(*k));
	return k;
}

void tls_ticket_keys_fini(struct tls_ticket_keys *k)
{
	if (!k)
		return;
	explicit_bzero(k, sizeof(*k));
	(void)munlock(k, sizeof(*k));
}

static bool slot_read(const struct slot *slot, struct view *ret_view)
{
	struct view v;

	v.sequence = atomic_load_explicit(&slot->sequence, memory_order_acquire);
	v.rotate_s = atomic_load_explicit(&slot->rotate_s, memory_order_acquire);
	v.epoch = atomic_load_explicit(&slot->epoch, memory_order_acquire);
	for (size_t s = 0; s < ARRAY_LEN(v.secrets); s++)
		for (size_t i = 0; i < SECRET_WORDS; i++)
			v.secrets[s][i] =
				atomic_load_explicit(&slot->secrets[s][i], memory_order_acquire);
	if (v.sequence % 2 == 0 &&
	    atomic_load_explicit(&slot->sequence, memory_order_relaxed) == v.sequence) {
		*ret_view = v;
		explicit_bzero(&v, sizeof(v));
		return true;
	}
	explicit_bzero(&v, sizeof(v));
	return false;
}

/* Makes the slot what `v` says, if it still is what `v` was read from. */
static bool slot_write(struct slot *slot, struct view *v)
{
	uint32_t even = v->sequence;

	if (!atomic_compare_exchange_strong_explicit(&slot->sequence, &even, even + 1,
						     memory_order_acq_rel, memory_order_relaxed))
		return false;
	atomic_store_explicit(&slot->rotate_s, v->rotate_s, memory_order_release);
	atomic_store_explicit(&slot->epoch, v->epoch, memory_order_release);
	for (size_t s = 0; s < ARRAY_LEN(v->secrets); s++)
		for (size_t i = 0; i < SECRET_WORDS; i++)
			atomic_store_explicit(&slot->secrets[s][i], v->secrets[s][i],
					      memory_order_release);
	atomic_store_explicit(&slot->sequence, even + 2, memory_order_release);
	v->sequence = even + 2;
	return true;
}

/* A slot is free when its tickets open no more: nobody used it for two epochs. */
static bool slot_is_free(const struct slot *slot, uint64_t now_s)
{
	uint32_t rotate_s = atomic_load_explicit(&slot->rotate_s, memory_order_acquire);
	uint64_t epoch = atomic_load_explicit(&slot->epoch, memory_order_acquire);

	return rotate_s == 0 || now_s / rotate_s > epoch + 1;
}

/* The slot of this period, else a free one, else NULL. May be wrong by the time it is
 * read: the view says what it was. */
static struct slot *slot_find(struct tls_ticket_keys *k, uint32_t rotate_s, uint64_t now_s)
{
	struct slot *spare = NULL;

	for (size_t i = 0; i < ARRAY_LEN(k->slots); i++) {
		struct slot *slot = &k->slots[i];

		if (atomic_load_explicit(&slot->rotate_s, memory_order_relaxed) == rotate_s)
			return slot;
		if (!spare && slot_is_free(slot, now_s))
			spare = slot;
	}
	return spare;
}

/* Brings a view to `epoch`. A secret that is missed (the slot was idle or new, or the
 * clock was set back by more than an epoch) is replaced by one that sealed nothing. */
static bool view_turn(struct view *v, uint32_t rotate_s, uint64_t epoch)
{
	bool follows = v->rotate_s == rotate_s && v->epoch + 1 == epoch;

	if (follows)
		memcpy(v->secrets[PREVIOUS], v->secrets[CURRENT], SECRET_BYTES);
	else if (tls_random_bytes(v->secrets[PREVIOUS], SECRET_BYTES))
		return false;
	if (tls_random_bytes(v->secrets[CURRENT], SECRET_BYTES))
		return false;
	v->rotate_s = rotate_s;
	v->epoch = epoch;
	return true;
}

/* The secrets that hold now. The slot may be one epoch ahead of us: another shard reads
 * a younger clock, or the clock was set back a little; then its current secret serves.
 * Set back by more, the clock would leave one secret in use until it came there again,
 * so the slot is turned backwards, and the tickets of the future are lost. */
static bool secrets_of(struct tls_ticket_keys *k, uint32_t rotate_s, uint64_t now_s,
		       struct view *ret_view)
{
	uint64_t epoch = now_s / rotate_s;

	for (unsigned i = 0; i < TRIES; i++) {
		struct slot *slot = slot_find(k, rotate_s, now_s);

		if (!slot)
			return false;
		if (!slot_read(slot, ret_view))
			continue;
		if (ret_view->rotate_s == rotate_s &&
		    (ret_view->epoch == epoch || ret_view->epoch == epoch + 1))
			return true;
		/* Taken by another period since we found it free. */
		if (ret_view->rotate_s != rotate_s && ret_view->rotate_s != 0 &&
		    now_s / ret_view->rotate_s <= ret_view->epoch + 1)
			continue;
		if (!view_turn(ret_view, rotate_s, epoch))
			return false;
		if (slot_write(slot, ret_view))
			return true;
	}
	return false;
}

static bool derive(const uint64_t secret[SECRET_WORDS], const char *label,
		   const uint8_t binding[TLS_TICKET_BINDING_BYTES],
		   uint8_t ret_bytes[WC_SHA256_DIGEST_SIZE])
{
	Hmac hmac;
	bool ok;

	if (wc_HmacInit(&hmac, NULL, INVALID_DEVID))
		return false;
	ok = wc_HmacSetKey(&hmac, WC_SHA256, (const byte *)secret, SECRET_BYTES) == 0 &&
	     wc_HmacUpdate(&hmac, (const byte *)label, (word32)strlen(label)) == 0 &&
	     wc_HmacUpdate(&hmac, binding, TLS_TICKET_BINDING_BYTES) == 0 &&
	     wc_HmacFinal(&hmac, ret_bytes) == 0;
	wc_HmacFree(&hmac);
	explicit_bzero(&hmac, sizeof(hmac));
	return ok;
}

static bool derive_name(const uint64_t secret[SECRET_WORDS],
			const uint8_t binding[TLS_TICKET_BINDING_BYTES],
			uint8_t ret_name[TLS_TICKET_NAME_BYTES])
{
	uint8_t full[WC_SHA256_DIGEST_SIZE];

	if (!derive(secret, "ringway ticket name", binding, full))
		return false;
	memcpy(ret_name, full, TLS_TICKET_NAME_BYTES);
	return true;
}

enum direction { SEAL, UNSEAL };

static bool gcm(enum direction direction, const uint64_t secret[SECRET_WORDS],
		const uint8_t binding[TLS_TICKET_BINDING_BYTES],
		const uint8_t name[TLS_TICKET_NAME_BYTES], const uint8_t iv[TLS_TICKET_IV_BYTES],
		uint8_t tag[GCM_BYTES], uint8_t *ticket, uint32_t len)
{
	uint8_t bound[TLS_TICKET_NAME_BYTES + TLS_TICKET_IV_BYTES];
	uint8_t key[WC_SHA256_DIGEST_SIZE];
	bool ok = false;
	Aes aes;

	if (!derive(secret, "ringway ticket key", binding, key))
		return false;
	memcpy(bound, name, TLS_TICKET_NAME_BYTES);
	memcpy(bound + TLS_TICKET_NAME_BYTES, iv, TLS_TICKET_IV_BYTES);
	if (wc_AesInit(&aes, NULL, INVALID_DEVID) == 0) {
		if (wc_AesGcmSetKey(&aes, key, sizeof(key)) != 0)
			ok = false;
		else if (direction == SEAL)
			ok = wc_AesGcmEncrypt(&aes, ticket, ticket, len, iv, NONCE_BYTES, tag,
					      GCM_BYTES, bound, sizeof(bound)) == 0;
		else
			ok = wc_AesGcmDecrypt(&aes, ticket, ticket, len, iv, NONCE_BYTES, tag,
					      GCM_BYTES, bound, sizeof(bound)) == 0;
		wc_AesFree(&aes);
		explicit_bzero(&aes, sizeof(aes));
	}
	explicit_bzero(key, sizeof(key));
	return ok;
}

bool tls_ticket_seal(struct tls_ticket_keys *k, const uint8_t binding[TLS_TICKET_BINDING_BYTES],
		     uint64_t now_s, uint32_t rotate_s, uint8_t name[TLS_TICKET_NAME_BYTES],
		     uint8_t iv[TLS_TICKET_IV_BYTES], uint8_t tag[TLS_TICKET_TAG_BYTES],
		     uint8_t *ticket, uint32_t len)
{
	uint32_t issued = htobe32((uint32_t)now_s);
	struct view v;
	bool ok;

	must(rotate_s > 0);
	/* No ticket would do as well, but wolfSSL takes that for the end of the
	 * connection. */
	ok = secrets_of(k, rotate_s, now_s, &v) ||
	     tls_random_bytes(v.secrets[CURRENT], SECRET_BYTES) == 0;
	memcpy(iv + NONCE_BYTES, &issued, sizeof(issued));
	memset(tag, 0, TLS_TICKET_TAG_BYTES);
	ok = ok && tls_random_bytes(iv, NONCE_BYTES) == 0 &&
	     derive_name(v.secrets[CURRENT], binding, name) &&
	     gcm(SEAL, v.secrets[CURRENT], binding, name, iv, tag, ticket, len);
	explicit_bzero(&v, sizeof(v));
	return ok;
}

static bool is_in_time(const uint8_t iv[TLS_TICKET_IV_BYTES], uint64_t now_s, uint32_t lifetime_s)
{
	uint32_t issued;
	int64_t age_s;

	memcpy(&issued, iv + NONCE_BYTES, sizeof(issued));
	/* Seconds since 1970 outgrow 32 bits in 2106; their difference does not. */
	age_s = (int32_t)((uint32_t)now_s - be32toh(issued));
	return age_s >= -TLS_TICKET_SKEW_S && age_s <= (int64_t)lifetime_s;
}

/* Index of the secret that a ticket's name comes from, negative when it is none. What a
 * name is, everybody saw on the wire: comparing it takes no care. */
static int secret_by_name(const struct view *v, const uint8_t binding[TLS_TICKET_BINDING_BYTES],
			  const uint8_t name[TLS_TICKET_NAME_BYTES])
{
	for (int i = CURRENT; i <= PREVIOUS; i++) {
		uint8_t known[TLS_TICKET_NAME_BYTES];

		if (derive_name(v->secrets[i], binding, known) &&
		    memcmp(known, name, sizeof(known)) == 0)
			return i;
	}
	return -1;
}

enum tls_ticket_verdict
tls_ticket_open(struct tls_ticket_keys *k, const uint8_t binding[TLS_TICKET_BINDING_BYTES],
		uint64_t now_s, uint32_t rotate_s, uint32_t lifetime_s,
		const uint8_t name[TLS_TICKET_NAME_BYTES], const uint8_t iv[TLS_TICKET_IV_BYTES],
		const uint8_t tag[TLS_TICKET_TAG_BYTES], uint8_t *ticket, uint32_t len)
{
	static const uint8_t zeros[TLS_TICKET_TAG_BYTES - GCM_BYTES];
	enum tls_ticket_verdict verdict = TLS_TICKET_UNKNOWN;
	uint8_t gcm_tag[GCM_BYTES];
	struct view v;
	int which;

	must(rotate_s > 0);
	if (!is_in_time(iv, now_s, lifetime_s) ||
	    memcmp(tag + GCM_BYTES, zeros, sizeof(zeros)) != 0 ||
	    !secrets_of(k, rotate_s, now_s, &v))
		return TLS_TICKET_UNKNOWN;
	which = secret_by_name(&v, binding, name);
	memcpy(gcm_tag, tag, sizeof(gcm_tag));
	if (which >= 0 && gcm(UNSEAL, v.secrets[which], binding, name, iv, gcm_tag, ticket, len))
		verdict = which == CURRENT ? TLS_TICKET_OPEN : TLS_TICKET_OPEN_RENEW;
	explicit_bzero(&v, sizeof(v));
	return verdict;
}
