#include "acceptor.h"

#include <string.h>

/* How well a certificate fits a name: an exact entry beats a wildcard. */
static unsigned fit_of(const struct tls_identity *identity, const char *name)
{
	unsigned fit = 0;

	for (size_t i = 0; i < identity->names_len; i++) {
		const char *entry = identity->names[i];

		if (strcmp(entry, name) == 0)
			return 2;
		if (entry[0] == '*' && tls_name_matches(entry, name))
			fit = 1;
	}
	return fit;
}

/* Whether the client can check its signatures. */
static bool is_readable(const struct tls_identity *identity, const struct tls_hello *hello)
{
	return identity->kind == TLS_KEY_RSA ? hello->accepts_rsa : hello->accepts_ecdsa;
}

/* The better fit first, then what the client can read, then ECDSA, whose signature costs a
 * tenth; then the order of the file. */
static unsigned rank_of(const struct tls_identity *identity, unsigned fit,
			const struct tls_hello *hello)
{
	return fit << 2 | (unsigned)is_readable(identity, hello) << 1 |
	       (identity->kind != TLS_KEY_RSA);
}

/* Of the first certificate's names, for clients without a name or with a strange one: its
 * twin with the other kind of key serves them, too. */
static bool is_twin_of_default(const struct tls_acceptor *a, const struct tls_identity *identity)
{
	const struct tls_identity *first = a->doors[0].identity;

	return first->names_len && fit_of(identity, first->names[0]) == 2;
}

const struct tls_door *tls_acceptor_choose(const struct tls_acceptor *a,
					   const struct tls_hello *hello)
{
	const struct tls_door *best = NULL;
	unsigned best_rank = 0;

	for (size_t i = 0; i < a->doors_len && hello->server_name[0]; i++) {
		unsigned fit = fit_of(a->doors[i].identity, hello->server_name);
		unsigned rank = rank_of(a->doors[i].identity, fit, hello);

		if (fit && (!best || rank > best_rank)) {
			best = &a->doors[i];
			best_rank = rank;
		}
	}
	if (best || a->strict_sni)
		return best;
	for (size_t i = 0; i < a->doors_len; i++) {
		bool serves = i == 0 || is_twin_of_default(a, a->doors[i].identity);
		unsigned rank = rank_of(a->doors[i].identity, serves, hello);

		if (serves && (!best || rank > best_rank)) {
			best = &a->doors[i];
			best_rank = rank;
		}
	}
	return best;
}
