#include <ringway/tls/measure.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>

/* wolfSSL's own test keys: public, and nothing but a number to calculate with here. */
#define USE_CERT_BUFFERS_2048
#include <wolfssl/certs_test.h>

#include <ringway/base/base.h>
#include <ringway/base/clock.h>

enum {
	RECORD_BYTES_MOST = 16384,
	NONCE_BYTES = 12,
	TAG_BYTES = 16,
	/* Type, version and length of the record: RFC 8446 section 5.2. */
	ADDITIONAL_BYTES = 5,
	HASH_BYTES = 32,
	P256_BYTES = 32,
	X25519_BYTES = 32,
	SIGNATURE_BYTES_MOST = 256,
};

/* What one entry works on. A byte of the nonce changes with each record, so that
 * nothing is remembered from the one before. */
struct subject {
	WC_RNG rng;
	bool rng_is_made;
	uint32_t record_bytes;
	uint8_t key[32];
	uint8_t nonce[NONCE_BYTES];
	uint8_t additional[ADDITIONAL_BYTES];
	uint8_t tag[TAG_BYTES];
	uint8_t hash[HASH_BYTES];
	uint8_t signature[SIGNATURE_BYTES_MOST];
	word32 signature_len;
	uint8_t record[RECORD_BYTES_MOST];
#ifdef HAVE_AESGCM
	Aes aes;
#endif
#ifdef HAVE_ECC
	ecc_key p256, p256_peer;
#endif
#ifdef HAVE_CURVE25519
	curve25519_key x25519, x25519_peer;
#endif
	RsaKey rsa;
};

/* All return 0 or an error of wolfSSL. make() may leave things half made; end() takes
 * those too, since a subject starts as zeros and wolfSSL's frees bear that. */
struct algorithm {
	int (*make)(struct subject *s);
	int (*once)(struct subject *s);
	void (*end)(struct subject *s);
};

/* ---- records ---- */

#ifdef HAVE_AESGCM
static int aes_make(struct subject *s, word32 key_bytes)
{
	int err = wc_AesInit(&s->aes, NULL, INVALID_DEVID);

	return err ? err : wc_AesGcmSetKey(&s->aes, s->key, key_bytes);
}

static int aes128_make(struct subject *s)
{
	return aes_make(s, 16);
}

static int aes256_make(struct subject *s)
{
	return aes_make(s, 32);
}

static int aes_once(struct subject *s)
{
	s->nonce[0]++;
	return wc_AesGcmEncrypt(&s->aes, s->record, s->record, s->record_bytes, s->nonce,
				NONCE_BYTES, s->tag, TAG_BYTES, s->additional, ADDITIONAL_BYTES);
}

static void aes_end(struct subject *s)
{
	wc_AesFree(&s->aes);
}

static const struct algorithm aes128 = {aes128_make, aes_once, aes_end};
static const struct algorithm aes256 = {aes256_make, aes_once, aes_end};
#define AES128 &aes128
#define AES256 &aes256
#else
#define AES128 NULL
#define AES256 NULL
#endif

#if defined(HAVE_CHACHA) && defined(HAVE_POLY1305)
static int chacha_once(struct subject *s)
{
	s->nonce[0]++;
	return wc_ChaCha20Poly1305_Encrypt(s->key, s->nonce, s->additional, ADDITIONAL_BYTES,
					   s->record, s->record_bytes, s->record, s->tag);
}

static const struct algorithm chacha = {.once = chacha_once};
#define CHACHA &chacha
#else
#define CHACHA NULL
#endif

/* ---- keys ---- */

#ifdef HAVE_ECC
static int p256_make_one(struct subject *s, ecc_key *key)
{
	int err = wc_ecc_init(key);

	if (!err)
		err = wc_ecc_make_key_ex(&s->rng, P256_BYTES, key, ECC_SECP256R1);
#ifdef ECC_TIMING_RESISTANT
	if (!err)
		err = wc_ecc_set_rng(key, &s->rng);
#endif
	return err;
}

static int p256_sign(struct subject *s)
{
	s->signature_len = sizeof(s->signature);
	return wc_ecc_sign_hash(s->hash, HASH_BYTES, s->signature, &s->signature_len, &s->rng,
				&s->p256);
}

static int p256_make(struct subject *s)
{
	int err = p256_make_one(s, &s->p256);

	if (!err)
		err = p256_make_one(s, &s->p256_peer);
	return err ? err : p256_sign(s);
}

static int p256_verify(struct subject *s)
{
	int good = 0;
	int err = wc_ecc_verify_hash(s->signature, s->signature_len, s->hash, HASH_BYTES, &good,
				     &s->p256);

	return err ? err : good ? 0 : -1;
}

static int p256_ecdh(struct subject *s)
{
	word32 len = P256_BYTES;

	return wc_ecc_shared_secret(&s->p256, &s->p256_peer, s->record, &len);
}

static void p256_end(struct subject *s)
{
	wc_ecc_free(&s->p256);
	wc_ecc_free(&s->p256_peer);
}

static const struct algorithm p256_signs = {p256_make, p256_sign, p256_end};
static const struct algorithm p256_verifies = {p256_make, p256_verify, p256_end};
static const struct algorithm p256_agrees = {p256_make, p256_ecdh, p256_end};
#define P256_SIGN   &p256_signs
#define P256_VERIFY &p256_verifies
#define P256_ECDH   &p256_agrees
#else
#define P256_SIGN   NULL
#define P256_VERIFY NULL
#define P256_ECDH   NULL
#endif

#ifdef HAVE_CURVE25519
static int x25519_make_one(struct subject *s, curve25519_key *key)
{
	int err = wc_curve25519_init(key);

	if (!err)
		err = wc_curve25519_make_key(&s->rng, X25519_BYTES, key);
#ifdef WOLFSSL_CURVE25519_BLINDING
	if (!err)
		err = wc_curve25519_set_rng(key, &s->rng);
#endif
	return err;
}

static int x25519_make(struct subject *s)
{
	int err = x25519_make_one(s, &s->x25519);

	return err ? err : x25519_make_one(s, &s->x25519_peer);
}

static int x25519_once(struct subject *s)
{
	word32 len = X25519_BYTES;

	return wc_curve25519_shared_secret_ex(&s->x25519, &s->x25519_peer, s->record, &len,
					      EC25519_LITTLE_ENDIAN);
}

static void x25519_end(struct subject *s)
{
	wc_curve25519_free(&s->x25519);
	wc_curve25519_free(&s->x25519_peer);
}

static const struct algorithm x25519 = {x25519_make, x25519_once, x25519_end};
#define X25519 &x25519
#else
#define X25519 NULL
#endif

#ifdef WC_RSA_PSS
static int rsa_make(struct subject *s)
{
	word32 at = 0;
	int err = wc_InitRsaKey(&s->rsa, NULL);

	if (!err)
		err = wc_RsaPrivateKeyDecode(client_key_der_2048, &at, &s->rsa,
					     sizeof_client_key_der_2048);
#ifdef WC_RSA_BLINDING
	if (!err)
		err = wc_RsaSetRNG(&s->rsa, &s->rng);
#endif
	return err;
}

static int rsa_sign(struct subject *s)
{
	int len = wc_RsaPSS_Sign(s->hash, HASH_BYTES, s->signature, sizeof(s->signature),
				 WC_HASH_TYPE_SHA256, WC_MGF1SHA256, &s->rsa, &s->rng);

	return len < 0 ? len : 0;
}

static void rsa_end(struct subject *s)
{
	wc_FreeRsaKey(&s->rsa);
}

static const struct algorithm rsa = {rsa_make, rsa_sign, rsa_end};
#define RSA_SIGN &rsa
#else
#define RSA_SIGN NULL
#endif

/* ---- the table ---- */

/* No algorithm where this wolfSSL lacks it. */
static const struct entry {
	struct tls_measure measure;
	const struct algorithm *algorithm;
} entries[] = {
	{{"AES-128-GCM", 64}, AES128},
	{{"AES-128-GCM", 1024}, AES128},
	{{"AES-128-GCM", 16384}, AES128},
	{{"AES-256-GCM", 64}, AES256},
	{{"AES-256-GCM", 1024}, AES256},
	{{"AES-256-GCM", 16384}, AES256},
	{{"ChaCha20-Poly1305", 64}, CHACHA},
	{{"ChaCha20-Poly1305", 1024}, CHACHA},
	{{"ChaCha20-Poly1305", 16384}, CHACHA},
	{{"P-256 sign", 0}, P256_SIGN},
	{{"P-256 verify", 0}, P256_VERIFY},
	{{"P-256 ECDH", 0}, P256_ECDH},
	{{"X25519", 0}, X25519},
	{{"RSA-2048 sign", 0}, RSA_SIGN},
};

const struct tls_measure *tls_measure_entry(size_t i)
{
	return i < ARRAY_LEN(entries) ? &entries[i].measure : NULL;
}

static int subject_make(struct subject *s, const struct algorithm *a)
{
	memset(s->key, 0x5a, sizeof(s->key));
	memset(s->hash, 0xa5, sizeof(s->hash));
	if (wc_InitRng(&s->rng) != 0)
		return -EIO;
	s->rng_is_made = true;
	return a->make && a->make(s) != 0 ? -EIO : 0;
}

static void subject_end(struct subject *s, const struct algorithm *a)
{
	if (a->end)
		a->end(s);
	if (s->rng_is_made)
		wc_FreeRng(&s->rng);
}

/* The time of n operations. */
static int run(struct subject *s, const struct algorithm *a, uint64_t n, uint64_t *ret_ns)
{
	uint64_t start = clock_monotonic_ns();

	for (uint64_t i = 0; i < n; i++)
		if (a->once(s) != 0)
			return -EIO;
	*ret_ns = max_u64(clock_monotonic_ns() - start, 1);
	return 0;
}

static int best_of(struct subject *s, const struct algorithm *a, unsigned runs, uint64_t run_ns,
		   double *ret_per_second)
{
	uint64_t n = 1, ns, best_ns;
	int err = run(s, a, n, &best_ns);

	/* The clock is read around a run only: for a short record it would be seen. */
	while (!err && best_ns < run_ns) {
		n *= 2;
		err = run(s, a, n, &best_ns);
	}
	for (unsigned i = 1; !err && i < runs; i++) {
		err = run(s, a, n, &ns);
		if (!err)
			best_ns = min_u64(best_ns, ns);
	}
	if (!err)
		*ret_per_second = (double)n * (double)NS_PER_S / (double)best_ns;
	return err;
}

int tls_measure_run(size_t i, unsigned runs, uint64_t run_ns, double *ret_per_second)
{
	const struct algorithm *a;
	struct subject *s;
	int err;

	must(i < ARRAY_LEN(entries));
	a = entries[i].algorithm;
	if (!a)
		return -ENOTSUP;
	/* Counted by wolfSSL; picks the assembler for this CPU and the source of seeds. */
	if (wolfSSL_Init() != WOLFSSL_SUCCESS)
		return -EIO;
	err = -ENOMEM;
	/* The assembler wants its tables of powers aligned more than malloc aligns. */
	s = aligned_alloc(CACHE_LINE, (sizeof(*s) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	if (s) {
		memset(s, 0, sizeof(*s));
		s->record_bytes = entries[i].measure.record_bytes;
		err = subject_make(s, a);
		if (!err)
			err = best_of(s, a, runs, run_ns, ret_per_second);
		subject_end(s, a);
		free(s);
	}
	wolfSSL_Cleanup();
	return err;
}
