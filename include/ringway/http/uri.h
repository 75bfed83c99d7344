/* Request targets and authorities (RFC 3986, RFC 9112 section 3.2).
 */
#ifndef RINGWAY_HTTP_URI_H
#define RINGWAY_HTTP_URI_H

#include <ringway/base/span.h>

/* An authority as Host may carry it: host[:port], no userinfo, port 1..65535 or
 * absent; "[v6]" in brackets, without zone. Of the characters that a name may have by
 * RFC 3986 only the unreserved ones: percent-encoding and sub-delimiters are in no
 * host that resolves, and only help to hide one. False on anything else, also on empty.
 * *ret_host has the bytes as sent, brackets included; *ret_port is 0 when absent. */
bool uri_authority_parse(struct span authority, struct span *ret_host, uint16_t *ret_port);

/* An absolute-form target: scheme "http" or "https" (*ret_scheme is static text, in
 * lower case), authority, path and query. *ret_rest is what follows the authority, maybe empty. */
bool uri_absolute_parse(struct span target, struct span *ret_scheme, struct span *ret_authority,
			struct span *ret_rest);

enum uri_path_verdict {
	URI_PATH_CLEAN, /* is its own normal form */
	URI_PATH_DIRTY, /* uri_path_normalise() changes it */
	URI_PATH_BAD    /* refused: bytes outside RFC 3986, bad percent-encoding, %00, above root */
};

/* Path without query, starts with '/'. One pass, vectorised for the clean case. */
enum uri_path_verdict uri_path_check(struct span path);
/* Of a dirty path: decodes percent-encoded unreserved characters, writes the other
 * encodings in upper case, removes dot segments, plain and encoded (RFC 3986
 * section 6.2.2). "%2F" stays data; double slashes stay. `out` has room for
 * path.len bytes. Returns the length; 0 when it would climb above the root. The path
 * starts with '/' and has no broken encoding: uri_path_check() said so. */
size_t uri_path_normalise(struct span path, char *out);
/* Query characters of RFC 3986 and whole percent-encodings; of those that browsers
 * send unencoded [ ] are taken, | ^ ` { } and the quotation mark are refused. */
bool uri_query_check(struct span query);

#endif
