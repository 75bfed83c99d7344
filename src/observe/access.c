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
};

const char *access_cause_text(enum access_cause cause)
{
	must((unsigned)cause < ACCESS_CAUSES && texts[cause]);
	return texts[cause];
}
