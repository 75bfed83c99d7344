/* How fast the linked wolfSSL is on this CPU: the algorithms that TLS spends its time
 * in, one at a time, on one thread, with their data in the first cache.
 *
 * AEADs seal one record in place, with the nonce and the additional bytes of TLS 1.3.
 * Signatures are over a SHA-256; ECDH and X25519 are the shared secret alone, without
 * making the key. RSA signs with PSS, as TLS 1.3 wants it.
 */
#ifndef RINGWAY_TLS_MEASURE_H
#define RINGWAY_TLS_MEASURE_H

#include <stddef.h>
#include <stdint.h>

struct tls_measure {
	const char *name;      /* "AES-128-GCM", "P-256 sign" */
	uint32_t record_bytes; /* sealed by one operation; 0: not an AEAD */
};

/* The entries of a table, in its order, and NULL behind the last; constants of the program. */
const struct tls_measure *tls_measure_entry(size_t i);

/* Operations per second of entry i: the best of so many runs of run_ns to 2 * run_ns
 * each. Keeps this thread busy that long and allocates; never on a shard.
 * -ENOTSUP: this wolfSSL was built without it; -EIO: wolfSSL failed; -ENOMEM. */
int tls_measure_run(size_t i, unsigned runs, uint64_t run_ns, double *ret_per_second);

#endif
