/* The site of listeners with redirect_https: where the same thing is found over TLS.
 */
#include <stdio.h>

#include <ringway/proxy/answer.h>

/* The first TLS listener's port; 443 where there is none here: something in front of us
 * has it then. */
static uint16_t tls_port(const struct config *config)
{
	for (size_t i = 0; i < config->listeners_len; i++)
		if (config->listeners[i].tls)
			return address_port(&config->listeners[i].address);
	return 443;
}

static void begin(const struct site *site UNUSED, struct exchange *x)
{
	struct http_field location = {.name = SPAN("Location")};
	uint16_t port = tls_port(x->snapshot->config);
	struct span host = x->request.host;
	char suffix[8] = "";

	if (!host.len) {
		exchange_fail(x, 400, "without a Host field there is no https:// address to go to",
			      ACCESS_CLIENT_BAD_REQUEST);
		return;
	}
	if (port != 443 && port)
		snprintf(suffix, sizeof(suffix), ":%u", port);
	location.value = arena_printf(&x->arena, "https://%.*s%s%.*s%s%.*s", SPAN_FMT(host), suffix,
				      SPAN_FMT(x->request.path), x->request.query.ptr ? "?" : "",
				      SPAN_FMT(x->request.query));
	x->step = EXCHANGE_SOURCE;
	if (!location.value.ptr)
		exchange_fail(x, 503, "the gateway is out of resources", ACCESS_OUT_OF_MEMORY);
	else
		exchange_answer(x, 308, &location, 1, SPAN(""));
}

const struct site front_redirect_https_site = {.begin = begin, .is_public = true};
