#include "heads.h"

/* The first byte says whether the request was HEAD. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum http_method method;
	struct outcome o;

	if (!size)
		return 0;
	method = data[0] & 1 ? HTTP_METHOD_HEAD : HTTP_METHOD_GET;
	outcome_every_way(&o, span_of((const char *)data + 1, size - 1), false, method);
	if (o.parse == H1_PARSE_DONE) {
		must(o.head.status >= 100 && o.head.status <= 999);
		must(method != HTTP_METHOD_HEAD || o.head.framing == HTTP_FRAMING_NONE);
		must(o.head.framing != HTTP_FRAMING_CLOSE || !o.head.keep_alive);
		must_survive_the_round_trip(&o.head, false, method);
	}
	free(o.input);
	return 0;
}
