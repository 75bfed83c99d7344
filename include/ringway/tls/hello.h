/* Reads a ClientHello before the TLS library sees a byte: which name, versions, kinds of key
 * and protocols a client brings decides which certificate it gets, and bytes that are no
 * hello get the alert that they deserve.
 *
 * A pure function of bytes: nothing is allocated, consumed or remembered. A verdict comes
 * with the first byte that settles it and does not change when more bytes follow. It may be
 * asked again with each piece that arrives: until the message is whole, a call looks at the
 * records' headers only.
 *
 * RFC 8446 (TLS 1.3), RFC 5246 (1.2), RFC 6066 (server_name), RFC 7301 (ALPN).
 */
#ifndef RINGWAY_TLS_HELLO_H
#define RINGWAY_TLS_HELLO_H

#include <ringway/base/span.h>
#include <ringway/observe/access.h>

enum tls_hello_result { TLS_HELLO_DONE, TLS_HELLO_MORE, TLS_HELLO_BAD };

/* Groups that there are names for in the configuration, as bits of a set. */
enum { TLS_HELLO_X25519 = 1, TLS_HELLO_P256 = 2, TLS_HELLO_P384 = 4, TLS_HELLO_X25519MLKEM768 = 8 };

/* Bytes of the handshake message with its four of header: what one record holds (RFC 8446
 * section 5.1). Real ones have 200 to 600, with post-quantum keys and tickets up to 4,000. */
#define TLS_HELLO_MAX 16384
/* Records that one message may be cut into. Some clients cut it into dozens to get past
 * filters; one byte to a record, a common hello still fits. With both limits, all that is
 * ever read is 21 KiB, which fits a block, and its headers are walked in microseconds. */
#define TLS_HELLO_RECORDS_MAX 1024

struct tls_hello {
	/* Lower case, "" when none was sent. A host name by its form: labels of 1 to 63
	 * letters, digits, '-' and '_', no dot at the end, at most 253 bytes. RFC 6066
	 * section 3 forbids clients to send an IP address here, but asks no server to fail:
	 * some do whatever their URL says, and an address, bare or in brackets, is like no
	 * name. */
	char server_name[256];
	/* By supported_versions where it is there, else by legacy_version, which stands for
	 * one version only. All false: versions that do not exist yet. */
	bool offers_tls13;
	bool offers_tls12;
	bool offers_older; /* 1.0, 1.1 (and, in a list, SSL 3.0) */
	/* Whether an ECDSA or an RSA key could sign for this client, in any version and suite
	 * that we speak: TLS 1.3 by signature_algorithms, 1.2 by them and by its suites, by
	 * the suites alone when the extension is missing. SHA-1 does not count (RFC 9155);
	 * curves are not looked at. */
	bool accepts_ecdsa;
	bool accepts_rsa;
	bool has_groups;
	uint8_t groups; /* of supported_groups, TLS_HELLO_X25519 and so on */
	bool has_alpn;
	bool alpn_http11;
	bool alpn_h2;
	/* Wants to resume: a ticket of 1.2 that is not empty, or a key of 1.3. */
	bool has_ticket_or_psk;
	/* On BAD, else ACCESS_OK: ACCESS_TLS_GARBAGE, _PLAIN_HTTP, _BAD_HELLO or _VERSION
	 * (SSL 2.0, SSL 3.0). */
	enum access_cause cause;
	uint8_t alert; /* on BAD: to be sent (RFC 8446 section 6.2); 0: none, it is not TLS */
};

/* `bytes` are all that came since the connection began. *ret_hello is untouched on MORE; on
 * BAD it has only a cause and an alert. What follows the message's last record is not read. */
enum tls_hello_result tls_hello_read(struct span bytes, struct tls_hello *ret_hello);

/* The bit of a group by its number (RFC 8446 section 4.2.7); 0 for all others. */
uint8_t tls_hello_group(size_t number);

/* Makes one record of those that a hello came in, of bytes that were DONE. The TLS library
 * wants the message's header in one piece; what the records are is in no transcript. Returns
 * how many bytes there are now, with what follows. */
size_t tls_hello_join(char *bytes, size_t len);

/* The record of a fatal alert in the clear (RFC 8446 sections 5.1 and 6). */
void tls_alert_record(uint8_t alert, uint8_t out[static 7]);

#endif
