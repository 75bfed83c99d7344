#include <ringway/tls/library.h>

#include <stddef.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/version.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

/* One word per thing that a configuration may ask for and that a version or a build
 * of wolfSSL may lack. */
static const char *const features[] = {
#ifdef WOLFSSL_TLS13
	"tls1.3",
#endif
#ifndef WOLFSSL_NO_TLS12
	"tls1.2",
#endif
#ifdef HAVE_SNI
	"sni",
#endif
#ifdef HAVE_ALPN
	"alpn",
#endif
#ifdef HAVE_SESSION_TICKET
	"tickets",
#endif
#ifdef HAVE_EXTENDED_MASTER
	"extended-master-secret",
#endif
#ifdef HAVE_AESGCM
	"aes-gcm",
#endif
#if defined(HAVE_CHACHA) && defined(HAVE_POLY1305)
	"chacha20-poly1305",
#endif
#ifdef HAVE_ECC
	"ecdsa",
	"p-256",
#endif
#ifdef HAVE_ECC384
	"p-384",
#endif
#ifdef HAVE_CURVE25519
	"x25519",
#endif
#ifdef HAVE_ED25519
	"ed25519",
#endif
#ifdef WC_RSA_PSS
	"rsa-pss",
#endif
/* The hybrid of the final ML-KEM; what 5.7 has is a draft with other code points. */
#if defined(WOLFSSL_HAVE_MLKEM) && defined(WOLFSSL_PQC_HYBRIDS)
	"x25519mlkem768",
#endif
#ifdef HAVE_OCSP
	"ocsp",
#endif
#ifdef HAVE_CERTIFICATE_STATUS_REQUEST
	"ocsp-stapling",
#endif
#ifdef HAVE_CRL
	"crl",
#endif
#ifdef HAVE_HKDF
	"hkdf",
#endif
#ifdef WC_RNG_SEED_CB
	"seed-callback",
#endif
#ifdef WOLFSSL_ALWAYS_VERIFY_CB
	"verify-callback",
#endif
	NULL,
};

static const char *const burdens[] = {
#if defined(OPENSSL_EXTRA) || defined(OPENSSL_ALL)
	"openssl-compatibility",
#endif
#ifdef SESSION_CERTS
	"session-certs",
#endif
#ifdef KEEP_PEER_CERT
	"keep-peer-cert",
#endif
	NULL,
};

static bool cpu_has_aes(void)
{
#if defined(__x86_64__)
	return __builtin_cpu_supports("aes");
#elif defined(__aarch64__)
	return getauxval(AT_HWCAP) & HWCAP_AES;
#else
	return false;
#endif
}

struct tls_library tls_library(void)
{
	struct tls_library library = {
		.version = wolfSSL_lib_version(),
		.header_version = LIBWOLFSSL_VERSION_STRING,
		.cpu_has_aes = cpu_has_aes(),
		.features = features,
		.burdens = burdens,
	};

#if defined(WOLFSSL_AESNI) || defined(WOLFSSL_ARMASM)
	library.has_aes_asm = true;
#endif
#if defined(USE_INTEL_SPEEDUP) || defined(WOLFSSL_ARMASM)
	library.has_hash_asm = true;
#endif
#ifdef WOLFSSL_SP_ASM
	library.has_key_asm = true;
#endif
	return library;
}
