#include "admission.h"

#include <ringway/proxy/answer.h>

bool admission_max_forwards(const struct http_head *request, uint64_t *ret_value)
{
	const struct http_field *f;

	if (request->method != HTTP_METHOD_OPTIONS && request->method != HTTP_METHOD_TRACE)
		return false;
	f = http_fields_find(&request->fields, HTTP_FIELD_MAX_FORWARDS);
	return f && span_to_u64(f->value, ret_value);
}

/* The last hop that the client allows is us: what a final recipient says. TRACE is
 * nothing that we do. */
static void answer_as_recipient(struct exchange *x)
{
	if (x->request.method == HTTP_METHOD_TRACE) {
		exchange_fail(x, 501, "the gateway does not answer TRACE itself", ACCESS_OK);
		return;
	}
	x->step = EXCHANGE_SOURCE;
	exchange_answer(x, 200, NULL, 0, SPAN(""));
}

/* HTTP/1.0 has no other way to say where a body ends, and these methods have one
 * (RFC 1945 section 8.3; 411 says what is missing, RFC 9110 section 15.5.12). */
static bool lacks_length(const struct http_head *request)
{
	return request->minor == 0 && request->framing == HTTP_FRAMING_NONE &&
	       !request->has_content_length &&
	       (request->method == HTTP_METHOD_POST || request->method == HTTP_METHOD_PUT ||
		request->method == HTTP_METHOD_PATCH);
}

bool admission_check(struct exchange *x)
{
	uint64_t hops;

	/* An absolute target may name a scheme that this listener does not speak: what it
	 * asks for is not here (RFC 9110 sections 7.4 and 15.5.20). */
	if (!span_eq(x->request.scheme, x->conn->tls ? SPAN("https") : SPAN("http"))) {
		exchange_fail(x, 421, "the target's scheme is not this listener's",
			      ACCESS_CLIENT_BAD_REQUEST);
		return false;
	}
	if (lacks_length(&x->request)) {
		exchange_fail(x, 411, "a request with this method needs a Content-Length",
			      ACCESS_CLIENT_BAD_REQUEST);
		return false;
	}
	if (admission_max_forwards(&x->request, &hops) && hops == 0) {
		answer_as_recipient(x);
		return false;
	}
	return true;
}
