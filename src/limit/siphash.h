/* SipHash-1-3 (Aumasson and Bernstein): a keyed hash of short inputs. Who does not know the
 * key can neither tell nor choose which inputs meet.
 */
#ifndef RINGWAY_LIMIT_SIPHASH_H
#define RINGWAY_LIMIT_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* Of the eight bytes of `first`, least one first, and then the `len` bytes. */
uint64_t siphash13(const uint64_t key[2], uint64_t first, const void *bytes, size_t len);

#endif
