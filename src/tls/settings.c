#include "settings.h"

#include <stdio.h>

#include <ringway/base/base.h>
#include <ringway/tls/hello.h>

static const struct {
	uint16_t number;
	const char *name; /* the library's */
} suites[] = {
	{0x1301, "TLS13-AES128-GCM-SHA256"},
	{0x1302, "TLS13-AES256-GCM-SHA384"},
	{0x1303, "TLS13-CHACHA20-POLY1305-SHA256"},
	{0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256"},
	{0xc02f, "ECDHE-RSA-AES128-GCM-SHA256"},
	{0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{0xc030, "ECDHE-RSA-AES256-GCM-SHA384"},
	{0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305"},
	{0xcca8, "ECDHE-RSA-CHACHA20-POLY1305"},
};

bool tls_set_suites(WOLFSSL_CTX *ctx, const uint16_t *numbers, size_t numbers_len)
{
	size_t len = numbers_len ? numbers_len : ARRAY_LEN(suites);
	char list[512] = "";
	size_t at = 0;

	for (size_t i = 0; i < len; i++) {
		uint16_t number = numbers_len ? numbers[i] : suites[i].number;

		for (size_t k = 0; k < ARRAY_LEN(suites); k++)
			if (suites[k].number == number && at < sizeof(list))
				at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s",
						       at ? ":" : "", suites[k].name);
	}
	return wolfSSL_CTX_set_cipher_list(ctx, list) == WOLFSSL_SUCCESS;
}

static bool is_built_group(uint16_t group)
{
	switch (group) {
	case WOLFSSL_ECC_X25519:
	case WOLFSSL_ECC_SECP256R1: return true;
	case WOLFSSL_ECC_SECP384R1:
#ifdef HAVE_ECC384
		return true;
#else
		return false;
#endif
	case TLS_GROUP_X25519MLKEM768:
#if defined(WOLFSSL_HAVE_MLKEM) && defined(WOLFSSL_PQC_HYBRIDS)
		return true;
#else
		return false;
#endif
	default: return false;
	}
}

static int pick_groups(const uint16_t *numbers, size_t numbers_len,
		       int groups[WOLFSSL_MAX_GROUP_COUNT])
{
	static const uint16_t all[] = {TLS_GROUP_X25519MLKEM768, WOLFSSL_ECC_X25519,
				       WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1};
	const uint16_t *wanted = numbers_len ? numbers : all;
	size_t len = numbers_len ? numbers_len : ARRAY_LEN(all);
	int built = 0;

	for (size_t i = 0; i < len && built < WOLFSSL_MAX_GROUP_COUNT; i++)
		if (is_built_group(wanted[i]))
			groups[built++] = wanted[i];
	return built;
}

bool tls_set_groups(WOLFSSL_CTX *ctx, const uint16_t *numbers, size_t len)
{
	int groups[WOLFSSL_MAX_GROUP_COUNT];
	int built = pick_groups(numbers, len, groups);

	return built && wolfSSL_CTX_set_groups(ctx, groups, built) == WOLFSSL_SUCCESS;
}

uint8_t tls_group_bits(const uint16_t *numbers, size_t len)
{
	int groups[WOLFSSL_MAX_GROUP_COUNT];
	int built = pick_groups(numbers, len, groups);
	uint8_t bits = 0;

	for (int i = 0; i < built; i++)
		bits |= tls_hello_group((size_t)groups[i]);
	return bits;
}
