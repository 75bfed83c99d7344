#include <ringway/observe/access.h>

#include <ringway/base/base.h>

static const char *const texts[ACCESS_CAUSES] = {
	[ACCESS_OK] = "",
	[ACCESS_CLIENT_CLOSED] = "client_closed",
	[ACCESS_CLIENT_TIMEOUT] = "client_timeout",
	[ACCESS_CLIENT_BAD_REQUEST] = "client_bad_request",
	[ACCESS_BODY_TOO_LARGE] = "body_too_large",
	[ACCESS_NO_ROUTE] = "no_route",
	[ACCESS_METHOD_NOT_ALLOWED] = "method_not_allowed",
	[ACCESS_UPSTREAM_NAME_UNRESOLVED] = "upstream_name_unresolved",
	[ACCESS_UPSTREAM_CONNECT_REFUSED] = "upstream_connect_refused",
	[ACCESS_UPSTREAM_CONNECT_TIMEOUT] = "upstream_connect_timeout",
	[ACCESS_UPSTREAM_CONNECT_FAILED] = "upstream_connect_failed",
	[ACCESS_UPSTREAM_CLOSED] = "upstream_closed",
	[ACCESS_UPSTREAM_RESET] = "upstream_reset",
	[ACCESS_UPSTREAM_BAD_RESPONSE] = "upstream_bad_response",
	[ACCESS_UPSTREAM_FIRST_BYTE_TIMEOUT] = "upstream_first_byte_timeout",
	[ACCESS_UPSTREAM_IDLE_TIMEOUT] = "upstream_idle_timeout",
	[ACCESS_ATTEMPT_TIMEOUT] = "attempt_timeout",
	[ACCESS_TOTAL_TIMEOUT] = "total_timeout",
	[ACCESS_OUT_OF_DESCRIPTORS] = "out_of_descriptors",
	[ACCESS_OUT_OF_CONNECTIONS] = "out_of_connections",
	[ACCESS_OUT_OF_MEMORY] = "out_of_memory",
	[ACCESS_RATE_LIMITED] = "rate_limited",
	[ACCESS_CONCURRENCY_LIMITED] = "concurrency_limited",
	[ACCESS_LIMIT_TABLE_FULL] = "limit_table_full",
	[ACCESS_TLS_GARBAGE] = "tls_garbage",
	[ACCESS_TLS_PLAIN_HTTP] = "tls_plain_http",
	[ACCESS_TLS_BAD_HELLO] = "tls_bad_hello",
	[ACCESS_TLS_VERSION] = "tls_version",
	[ACCESS_TLS_NOTHING_SHARED] = "tls_nothing_shared",
	[ACCESS_TLS_UNKNOWN_NAME] = "tls_unknown_name",
	[ACCESS_TLS_NO_ALPN] = "tls_no_alpn",
	[ACCESS_TLS_TIMEOUT] = "tls_timeout",
	[ACCESS_TLS_TOO_MANY] = "tls_too_many",
	[ACCESS_TLS_CLIENT_CLOSED] = "tls_client_closed",
	[ACCESS_TLS_CLIENT_ALERT] = "tls_client_alert",
	[ACCESS_TLS_FAILED] = "tls_failed",
	[ACCESS_TLS_NO_CERTIFICATE] = "tls_no_certificate",
	[ACCESS_TLS_CERTIFICATE_EXPIRED] = "tls_certificate_expired",
	[ACCESS_TLS_CERTIFICATE_UNTRUSTED] = "tls_certificate_untrusted",
	[ACCESS_TLS_CERTIFICATE_REVOKED] = "tls_certificate_revoked",
	[ACCESS_TLS_CERTIFICATE_BAD] = "tls_certificate_bad",
	[ACCESS_PROXY_HEADER_BAD] = "proxy_header_bad",
	[ACCESS_PROXY_HEADER_UNTRUSTED] = "proxy_header_untrusted",
	[ACCESS_UPSTREAM_TLS_FAILED] = "upstream_tls_failed",
	[ACCESS_UPSTREAM_TLS_TIMEOUT] = "upstream_tls_timeout",
	[ACCESS_UPSTREAM_CERTIFICATE_EXPIRED] = "upstream_certificate_expired",
	[ACCESS_UPSTREAM_CERTIFICATE_UNTRUSTED] = "upstream_certificate_untrusted",
	[ACCESS_UPSTREAM_CERTIFICATE_NAME] = "upstream_certificate_name",
};

const char *access_cause_text(enum access_cause cause)
{
	must((unsigned)cause < ACCESS_CAUSES && texts[cause]);
	return texts[cause];
}
