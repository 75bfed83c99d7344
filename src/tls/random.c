#include <ringway/tls/random.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/random.h>

#include <ringway/base/base.h>

/* Zeroed pages until the thread asks for the first time: threads that never do TLS pay
 * nothing for it. */
static _Thread_local struct {
	size_t left; /* the last `left` bytes are not given out; all before are zero */
	uint8_t bytes[TLS_RANDOM_POOL_BYTES];
} pool;

static int pool_fill(void)
{
	size_t have = 0;

	/* A signal may cut short what asks for more than 256 bytes. */
	while (have < sizeof(pool.bytes)) {
		ssize_t got = getrandom(pool.bytes + have, sizeof(pool.bytes) - have, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		have += (size_t)got;
	}
	pool.left = sizeof(pool.bytes);
	return 0;
}

int tls_random_bytes(void *to, size_t bytes)
{
	uint8_t *at = to;

	while (bytes > 0) {
		size_t some;
		uint8_t *from;

		if (pool.left == 0) {
			int err = pool_fill();

			if (err)
				return err;
		}
		some = min_u64(bytes, pool.left);
		from = pool.bytes + sizeof(pool.bytes) - pool.left;
		memcpy(at, from, some);
		explicit_bzero(from, some);
		pool.left -= some;
		at += some;
		bytes -= some;
	}
	return 0;
}

#ifdef WC_RNG_SEED_CB
static int give_seed(OS_Seed *os UNUSED, byte *seed, word32 bytes)
{
	return tls_random_bytes(seed, bytes);
}

int tls_random_install(void)
{
	return wc_SetSeed_Cb(give_seed) == 0 ? 0 : -EINVAL;
}
#else
int tls_random_install(void)
{
	return -ENOTSUP;
}
#endif
