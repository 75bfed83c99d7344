/* What is wrong with the certificates of an identity, as a list of rules.
 */
#ifndef RINGWAY_SRC_TLS_IDENTITY_CHECK_H
#define RINGWAY_SRC_TLS_IDENTITY_CHECK_H

#include "certificate.h"
#include "pem.h"

/* wolfSSL checks no more than nine of a peer's; no public chain has more than four. */
#define CHAIN_MAX 10

/* Below it a renewal that should have come by itself did not. */
#define EXPIRES_SOON_S ((int64_t)14 * 24 * 60 * 60)

struct chain {
	struct certificate certificates[CHAIN_MAX]; /* the leaf first */
	size_t len;
};

/* How a certificate of the file is named in a message: "the certificate" when it is alone,
 * "certificate 2 of the file". */
#define CERTIFICATE_TEXT_BYTES 40
const char *certificate_text(const struct chain *c, size_t index,
			     char out[static CERTIFICATE_TEXT_BYTES]);

void check_dates(struct voice *v, enum config_severity severity, const char *what,
		 const struct certificate *c, int64_t now_s);
void check_leaf(struct voice *v, const struct chain *c, bool is_server, int64_t now_s);
void check_chain(struct voice *v, const struct chain *c, int64_t now_s);
/* Can a peer find it by name? What is no host name is said and left out of *c. */
void check_names(struct voice *v, struct certificate *c);

#endif
