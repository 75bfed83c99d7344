/* What one request leaves behind for the access log.
 *
 * A shard fills the record while the request runs and hands it over once at its
 * end. Spans point into the exchange and hold until access_log_put() returns.
 */
#ifndef RINGWAY_OBSERVE_ACCESS_H
#define RINGWAY_OBSERVE_ACCESS_H

#include <ringway/base/span.h>

/* Why a request did not go as its client wished; the words of the log are in
 * access_cause_text(). Documented in docs/log.md. */
enum access_cause {
	ACCESS_OK,
	ACCESS_CLIENT_CLOSED,
	ACCESS_CLIENT_TIMEOUT,
	ACCESS_CLIENT_BAD_REQUEST,
	ACCESS_BODY_TOO_LARGE,
	ACCESS_NO_ROUTE,
	ACCESS_METHOD_NOT_ALLOWED,
	ACCESS_UPSTREAM_NAME_UNRESOLVED,
	ACCESS_UPSTREAM_CONNECT_REFUSED,
	ACCESS_UPSTREAM_CONNECT_TIMEOUT,
	ACCESS_UPSTREAM_CONNECT_FAILED,
	ACCESS_UPSTREAM_CLOSED,
	ACCESS_UPSTREAM_RESET,
	ACCESS_UPSTREAM_BAD_RESPONSE,
	ACCESS_UPSTREAM_FIRST_BYTE_TIMEOUT,
	ACCESS_UPSTREAM_IDLE_TIMEOUT,
	ACCESS_ATTEMPT_TIMEOUT,
	ACCESS_TOTAL_TIMEOUT,
	ACCESS_OUT_OF_DESCRIPTORS,
	ACCESS_OUT_OF_CONNECTIONS,
	ACCESS_OUT_OF_MEMORY,
	ACCESS_RATE_LIMITED,
	ACCESS_CONCURRENCY_LIMITED,
	ACCESS_LIMIT_TABLE_FULL,
	/* Before a request: what came, or did not come, where a TLS handshake belongs. */
	ACCESS_TLS_GARBAGE,
	ACCESS_TLS_PLAIN_HTTP,
	ACCESS_TLS_BAD_HELLO,
	ACCESS_TLS_VERSION,
	ACCESS_TLS_NOTHING_SHARED,
	ACCESS_TLS_UNKNOWN_NAME,
	ACCESS_TLS_NO_ALPN,
	ACCESS_TLS_TIMEOUT,
	ACCESS_TLS_TOO_MANY,
	ACCESS_TLS_CLIENT_CLOSED,
	ACCESS_TLS_CLIENT_ALERT,
	ACCESS_TLS_FAILED,
	ACCESS_TLS_NO_CERTIFICATE,
	ACCESS_TLS_CERTIFICATE_EXPIRED,
	ACCESS_TLS_CERTIFICATE_UNTRUSTED,
	ACCESS_TLS_CERTIFICATE_REVOKED,
	ACCESS_TLS_CERTIFICATE_BAD,
	ACCESS_PROXY_HEADER_BAD,
	ACCESS_PROXY_HEADER_UNTRUSTED,
	/* The same towards an upstream. */
	ACCESS_UPSTREAM_TLS_FAILED,
	ACCESS_UPSTREAM_TLS_TIMEOUT,
	ACCESS_UPSTREAM_CERTIFICATE_EXPIRED,
	ACCESS_UPSTREAM_CERTIFICATE_UNTRUSTED,
	ACCESS_UPSTREAM_CERTIFICATE_NAME,
	ACCESS_CAUSES
};

const char *access_cause_text(enum access_cause cause); /* "" for ACCESS_OK */

/* A field that the operator asked for (monitoring.logging.fields). A record takes so
 * many; where more are given, the first ones are kept and the line says "clipped". */
#define ACCESS_EXTRAS_MAX 64
struct access_extra {
	struct span name;
	struct span value;
};

/* How the client's connection is protected. Text is the connection's, or a constant. */
struct access_tls {
	struct span version; /* "TLSv1.3" */
	struct span suite;   /* IANA name, "TLS_AES_128_GCM_SHA256" */
	struct span group;   /* "X25519"; empty when the handshake got not that far */
	struct span server_name;
	struct span alpn;
	struct span client_subject;     /* of a verified certificate, RFC 4514; else empty */
	struct span client_fingerprint; /* SHA-256 of it, hexadecimal */
	uint32_t handshake_us;
	bool resumed;
};

struct access_record {
	uint64_t started_unix_us; /* wall clock at the first byte of the head */
	struct span request_id;
	struct span client; /* IP address of the peer */
	struct span method;
	struct span host;
	struct span path;    /* as received, with query */
	struct span route;   /* name, empty when none matched */
	struct span service;
	struct span limit;  /* name of the one that refused, else empty */
	struct span target; /* as in the config, empty when none was tried */
	uint16_t status;    /* 0: none was sent */
	uint16_t shard;
	uint8_t http_minor; /* HTTP/1.x */
	uint8_t attempts;
	enum access_cause cause;
	uint64_t bytes_in;  /* request head and body as received */
	uint64_t bytes_out; /* answer as sent */
	/* Phases, microseconds: head read, policies, connect (0 on a reused
	 * connection), first byte of the answer's head, everything. */
	uint32_t head_us;
	uint32_t policy_us;
	uint32_t connect_us;
	uint32_t first_byte_us;
	uint32_t total_us;
	const struct access_tls *tls; /* NULL: plain */
	const struct access_extra *extras;
	size_t extras_len;
};

#endif
