#include "fuzz.h"

#include "der.h"
#include "ocsp_pair.h"
#include "staple.h"

/* Every byte of a flat run of elements is in exactly one of them. */
static void elements_must_be_sound(struct span in, unsigned depth)
{
	struct span rest = in;
	struct der e;

	while (der_next(&rest, &e)) {
		must(e.whole.ptr + e.whole.len == rest.ptr);
		must(e.value.ptr + e.value.len == rest.ptr && e.value.ptr >= e.whole.ptr + 2);
		must(rest.ptr + rest.len == in.ptr + in.len);
		must((uint8_t)e.whole.ptr[0] == e.tag);
		if (depth)
			elements_must_be_sound(e.value, depth - 1);
	}
}

/* The verdict of what is verified cannot be better than that of what is read, and the times
 * are the ones that were read. */
static void must_agree(struct span in, const char *wrong, const struct staple_answer *a)
{
	struct tls_staple *staple = NULL;
	const char *detail = NULL;
	/* Whether the signature is looked at: in the time that the answer claims. */
	int64_t now_s = wrong ? 0 : a->this_update_s;
	int err = tls_staple_parse(in, span_str(ocsp_chain_pem), now_s, &staple, &detail);

	if (err) {
		must(detail && !staple);
		return;
	}
	must(!wrong && !detail && staple);
	must((uint8_t)a->status.ptr[0] == DER_CONTEXT(0));
	must(staple->this_update_s == a->this_update_s);
	must(staple->next_update_s == a->next_update_s);
	must(span_eq(span_of((const char *)staple->der, staple->len), in));
	tls_staple_destroy(staple);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* What is read is copied into memory that ends with it. */
	char *copy = fuzz_copy((const char *)data, size);
	static const struct staple_pair pair = {
		.leaf = (uint8_t *)(uintptr_t)ocsp_leaf,
		.issuer = (uint8_t *)(uintptr_t)ocsp_issuer,
		.leaf_len = sizeof(ocsp_leaf),
		.issuer_len = sizeof(ocsp_issuer),
	};
	struct span in = span_of(copy, size);
	struct staple_answer a = {0};
	const char *wrong = staple_answer_find(in, &pair, &a);
	unsigned sum = 0;

	elements_must_be_sound(in, 4);
	if (!wrong) {
		must(a.status.len && a.status.ptr >= copy);
		must(a.status.ptr + a.status.len <= copy + size);
	}
	/* Verifying costs what a hundred readings do: for some, always the same ones. */
	for (size_t i = 0; i < size; i++)
		sum += data[i];
	if (sum % 64 == 0)
		must_agree(in, wrong, &a);
	free(copy);
	return 0;
}
