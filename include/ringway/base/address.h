/* Network addresses as values: IPv4, IPv6, unix paths; and CIDR ranges.
 */
#ifndef RINGWAY_BASE_ADDRESS_H
#define RINGWAY_BASE_ADDRESS_H

#include <netinet/in.h>
#include <sys/un.h>

#include <ringway/base/span.h>

struct address {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len; /* 0: none */
};

/* Room for any address as text with its port, and a NUL. */
#define ADDRESS_TEXT_BYTES 128

/* "192.0.2.1", "::1" or "[::1]", no port. False when it is no IP literal. */
bool address_from_ip(struct span text, uint16_t port, struct address *ret_address);
/* "0.0.0.0:80", "[::1]:80", ":80" (every IPv4 address), "unix:/path" (absolute, at
 * most 107 bytes). Port 0 is taken: the kernel picks one. False when it is none of
 * these. */
bool address_from_text(struct span text, struct address *ret_address);
bool address_eq(const struct address *a, const struct address *b);
uint16_t address_port(const struct address *a);
void address_set_port(struct address *a, uint16_t port);
/* "192.0.2.1", "2001:db8::1" (no brackets), "unix"; returns the length. An
 * IPv4-mapped IPv6 address is written as IPv4, so that a client has one name on
 * whatever listener it comes in. */
size_t address_ip_text(const struct address *a, char out[static ADDRESS_TEXT_BYTES]);
/* "192.0.2.1:80", "[::1]:80", "unix:/path", "" for none; returns the length. What
 * address_from_text() reads back as the same address. */
size_t address_text(const struct address *a, char out[static ADDRESS_TEXT_BYTES]);

/* The 16 bytes of the IPv6 form; of an IPv4 address the mapped one (RFC 4291 section
 * 2.5.5.2). False for what is no IP address. */
bool address_mapped_bytes(const struct address *a, uint8_t ret_bytes[16]);
bool address_is_mapped(const uint8_t bytes[16]);

/* A range of IP addresses. IPv4-mapped IPv6 addresses are compared as IPv4, and an
 * IPv6 range that reaches beyond them ("::/0") holds none of them. */
struct cidr {
	uint8_t bytes[16]; /* IPv4 in mapped form */
	uint8_t bits;      /* 0..128 of the mapped form */
};

/* "10.0.0.0/8", "2001:db8::/32" or a single address. False on bits set behind the
 * prefix as well: "10.0.0.1/8" is nearly always a slip. */
bool cidr_from_text(struct span text, struct cidr *ret_cidr);
bool cidr_contains(const struct cidr *c, const struct address *a);

#endif
