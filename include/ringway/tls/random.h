/* Random bytes without a system call each.
 *
 * wolfSSL makes a generator of its own for every connection and asks the operating
 * system for its seed (36 to 52 bytes). Here every thread keeps 4 KiB that it got from
 * getrandom(2) in one call and hands them out: each byte once, and wiped as it goes.
 * What wolfSSL does with a seed stays as it is: its health test of the generator and its
 * test of the seed run on these bytes as on any others, and the generator is seeded
 * again when it has given its share.
 *
 * A pool belongs to its thread, so nothing is shared and nothing locked. A fork copies
 * the pool of the thread that calls it, and both processes would give the same bytes:
 * Ringway does not fork without an exec at once, so nothing guards against that.
 */
#ifndef RINGWAY_TLS_RANDOM_H
#define RINGWAY_TLS_RANDOM_H

#include <stddef.h>

#define TLS_RANDOM_POOL_BYTES 4096 /* per thread; about 80 connections for one system call */

/* Makes wolfSSL take its seeds from here, in the whole process. wolfSSL_Init() puts its
 * own source back when it runs for the first time, so this comes after it, and before the
 * first thread that makes connections. -ENOTSUP: this build of wolfSSL cannot be told. */
int tls_random_install(void);

/* Fills `to`. A negative errno when the kernel gives nothing; what `to` holds then is no
 * secret and not random. */
int tls_random_bytes(void *to, size_t bytes);

#endif
