#include "heads.h"

#include <ringway/base/arena.h>

struct row {
	const char *section; /* of RFC 9112, unless it says otherwise */
	struct span raw;
	enum h1_error error; /* NONE: taken */
};

#define OK(section, raw)                                                                           \
	{                                                                                          \
		section, SPAN(raw), H1_ERROR_NONE                                                  \
	}
#define NO(section, why, raw)                                                                      \
	{                                                                                          \
		section, SPAN(raw), H1_ERROR_##why                                                 \
	}
#define H   "Host: a\r\n"
#define END "\r\n"

static const struct row rows[] = {
	/* Request line. */
	OK("3", "GET / HTTP/1.1\r\n" H END),
	OK("3", "G / HTTP/1.1\r\n" H END),
	OK("3.1 any token is a method", "M-SEARCH!#$%&'*+.^_`|~09 / HTTP/1.1\r\n" H END),
	OK("3.1 case matters", "get / HTTP/1.1\r\n" H END),
	OK("2.2 one empty line before", "\r\nGET / HTTP/1.1\r\n" H END),
	NO("2.2 but not two", SYNTAX, "\r\n\r\nGET / HTTP/1.1\r\n" H END),
	NO("2.2 bare LF before", SYNTAX, "\nGET / HTTP/1.1\r\n" H END),
	NO("2.2 bare CR before", SYNTAX, "\rGET / HTTP/1.1\r\n" H END),
	NO("3 white space before", SYNTAX, " GET / HTTP/1.1\r\n" H END),
	NO("3 tab before", SYNTAX, "\tGET / HTTP/1.1\r\n" H END),
	NO("3 no method", SYNTAX, "/ HTTP/1.1\r\n" H END),
	NO("3.1 method is no token", SYNTAX, "GE(T / HTTP/1.1\r\n" H END),
	NO("3.1 method with NUL", SYNTAX, "GE\0T / HTTP/1.1\r\n" H END),
	NO("3.1 method with obs-text", SYNTAX, "G\xc3\x89T / HTTP/1.1\r\n" H END),
	NO("3 two spaces", SYNTAX, "GET  / HTTP/1.1\r\n" H END),
	NO("3 two spaces before the version", SYNTAX, "GET /  HTTP/1.1\r\n" H END),
	NO("3 tab as separator", SYNTAX, "GET\t/ HTTP/1.1\r\n" H END),
	NO("3 tab behind the target", TARGET, "GET /\tHTTP/1.1\r\n" H END),
	NO("3 space behind the version", SYNTAX, "GET / HTTP/1.1 \r\n" H END),
	NO("3 a fourth word", SYNTAX, "GET / x HTTP/1.1\r\n" H END),
	NO("2.2 bare LF ends the line", SYNTAX, "GET / HTTP/1.1\n" H END),
	NO("2.2 bare CR in the line", SYNTAX, "GET / HTTP/1.1\r" H END),
	NO("2.2 CR CR LF", SYNTAX, "GET / HTTP/1.1\r\r\n" H END),
	NO("3 only a method", SYNTAX, "GET\r\n" H END),
	/* Version. */
	OK("RFC 9110 2.5", "GET / HTTP/1.7\r\n" H END),
	OK("RFC 9110 2.5", "GET / HTTP/1.0\r\n" H END),
	NO("2.3 HTTP/0.9 has none", SYNTAX, "GET /\r\n"),
	NO("2.3", VERSION, "GET / HTTP/0.9\r\n" H END),
	NO("RFC 9110 15.6.6", VERSION, "GET / HTTP/2.0\r\n" H END),
	NO("RFC 9110 15.6.6", VERSION, "GET / HTTP/3\r\n" H END),
	NO("RFC 9113 3.4 preface", VERSION, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	NO("2.3 case matters", SYNTAX, "GET / http/1.1\r\n" H END),
	NO("2.3", SYNTAX, "GET / HTTP/1.\r\n" H END),
	NO("2.3", SYNTAX, "GET / HTTP/11.1\r\n" H END),
	NO("2.3", SYNTAX, "GET / HTTP/1.11\r\n" H END),
	NO("2.3", SYNTAX, "GET / HTTP/1,1\r\n" H END),
	NO("2.3", SYNTAX, "GET / HTTP/a.1\r\n" H END),
	NO("2.3", SYNTAX, "GET / HTTP/1.a\r\n" H END),
	NO("2.3", SYNTAX, "GET / HTTPS/1.1\r\n" H END),
	/* Target. */
	OK("3.2.1", "GET /a/b;c=1/d?x=1&y=[2] HTTP/1.1\r\n" H END),
	OK("3.2.1", "GET //a//b HTTP/1.1\r\n" H END),
	OK("3.2.1", "GET /? HTTP/1.1\r\n" H END),
	OK("3.2.1", "GET /a?b?c/d HTTP/1.1\r\n" H END),
	OK("3.2.1", "GET /%C3%a9%2F?%00=%7f HTTP/1.1\r\n" H END),
	NO("3.2 fragment", TARGET, "GET /a#b HTTP/1.1\r\n" H END),
	NO("3.2 obs-text", TARGET, "GET /\xc3\xa9 HTTP/1.1\r\n" H END),
	NO("3.2 DEL", TARGET, "GET /\x7f HTTP/1.1\r\n" H END),
	NO("3.2 NUL", TARGET, "GET /\0 HTTP/1.1\r\n" H END),
	NO("3.2 backslash", TARGET, "GET /a\\b HTTP/1.1\r\n" H END),
	NO("3.2 quotation mark", TARGET, "GET /\"a\" HTTP/1.1\r\n" H END),
	NO("3.2 angle bracket", TARGET, "GET /<a> HTTP/1.1\r\n" H END),
	NO("3.2 brace", TARGET, "GET /{a} HTTP/1.1\r\n" H END),
	NO("3.2 bar", TARGET, "GET /?a|b HTTP/1.1\r\n" H END),
	NO("3.2 caret", TARGET, "GET /^ HTTP/1.1\r\n" H END),
	NO("3.2 grave accent", TARGET, "GET /` HTTP/1.1\r\n" H END),
	NO("3.2 bracket in a path", TARGET, "GET /[a] HTTP/1.1\r\n" H END),
	NO("RFC 3986 2.1", TARGET, "GET /%4 HTTP/1.1\r\n" H END),
	NO("RFC 3986 2.1", TARGET, "GET /%4g HTTP/1.1\r\n" H END),
	NO("RFC 3986 2.1", TARGET, "GET /?a=% HTTP/1.1\r\n" H END),
	NO("encoded NUL", TARGET, "GET /a%00b HTTP/1.1\r\n" H END),
	NO("above the root", TARGET, "GET /../a HTTP/1.1\r\n" H END),
	NO("above the root", TARGET, "GET /a/%2e%2E/.%2e HTTP/1.1\r\n" H END),
	NO("3.2 relative", TARGET, "GET a HTTP/1.1\r\n" H END),
	NO("3.2 only a query", TARGET, "GET ?a HTTP/1.1\r\n" H END),
	OK("3.2.2", "GET http://a/b?c HTTP/1.1\r\n" H END),
	OK("3.2.2", "GET HTTP://A/b HTTP/1.1\r\n" H END),
	OK("3.2.2", "GET https://a HTTP/1.1\r\n" H END),
	OK("3.2.2", "GET http://a?b HTTP/1.1\r\n" H END),
	OK("3.2.2", "GET http://[::1]:80/ HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
	NO("3.2.2", TARGET, "GET ftp://a/ HTTP/1.1\r\n" H END),
	NO("3.2.2", TARGET, "GET http:/a HTTP/1.1\r\n" H END),
	NO("3.2.2", TARGET, "GET http:///a HTTP/1.1\r\n" H END),
	NO("3.2.2", TARGET, "GET http://a/[ HTTP/1.1\r\n" H END),
	NO("3.2.2", TARGET, "GET http://a/../.. HTTP/1.1\r\n" H END),
	NO("RFC 9110 4.2.4 userinfo", TARGET, "GET http://u@a/ HTTP/1.1\r\n" H END),
	NO("3.2.2 Host differs", HOST, "GET http://b/ HTTP/1.1\r\n" H END),
	NO("3.2.2 port differs", HOST, "GET http://a:80/ HTTP/1.1\r\n" H END),
	NO("3.2.2 Host still needed", HOST, "GET http://a/ HTTP/1.1\r\n\r\n"),
	OK("3.2.2 but not in 1.0", "GET http://a/ HTTP/1.0\r\n\r\n"),
	NO("3.2.3", METHOD, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
	NO("3.2.3", METHOD, "CONNECT / HTTP/1.1\r\n" H END),
	NO("3.2.3 authority-form", TARGET, "GET a:443 HTTP/1.1\r\n" H END),
	OK("3.2.4", "OPTIONS * HTTP/1.1\r\n" H END),
	OK("3.2.4", "OPTIONS http://a HTTP/1.1\r\n" H END),
	OK("3.2.4", "OPTIONS / HTTP/1.1\r\n" H END),
	NO("3.2.4", TARGET, "GET * HTTP/1.1\r\n" H END),
	NO("3.2.4", TARGET, "OPTIONS ** HTTP/1.1\r\n" H END),
	NO("3.2.4", TARGET, "OPTIONS *?a HTTP/1.1\r\n" H END),
	/* Host. */
	OK("RFC 9110 7.2", "GET / HTTP/1.1\r\nhOsT:EXAMPLE.com:8080\r\n\r\n"),
	OK("RFC 9110 7.2", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:1\r\n\r\n"),
	OK("RFC 9110 7.2", "GET / HTTP/1.1\r\nHost: a_b-c~d.:65535\r\n\r\n"),
	OK("RFC 9110 7.2", "GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
	NO("3.2", HOST, "GET / HTTP/1.1\r\n\r\n"),
	NO("3.2", HOST, "GET / HTTP/1.1\r\n" H H END),
	NO("3.2", HOST, "GET / HTTP/1.1\r\n" H "X: 1\r\nHOST: b\r\n\r\n"),
	NO("3.2", HOST, "GET / HTTP/1.0\r\n" H H END),
	NO("no host to route by", HOST, "GET / HTTP/1.0\r\n\r\n"),
	NO("RFC 9110 4.2.1 empty", HOST, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
	NO("RFC 9110 4.2.1 empty", HOST, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
	NO("3.2", HOST, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
	NO("3.2", HOST, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
	NO("3.2", HOST, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
	NO("3.2", HOST, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
	NO("3.2", HOST, "GET / HTTP/1.1\r\nHost: a%62\r\n\r\n"),
	NO("3.2", HOST, "GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"),
	NO("3.2", HOST, "GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n"),
	NO("3.2 port", HOST, "GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
	NO("3.2 port", HOST, "GET / HTTP/1.1\r\nHost: a:0\r\n\r\n"),
	NO("3.2 port", HOST, "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
	NO("3.2 port", HOST, "GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n"),
	NO("3.2 port", HOST, "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"),
	NO("RFC 3986 3.2.2", HOST, "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"),
	NO("RFC 3986 3.2.2", HOST, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
	NO("RFC 3986 3.2.2", HOST, "GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n"),
	NO("RFC 3986 3.2.2", HOST, "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"),
	NO("RFC 3986 3.2.2", HOST, "GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n"),
	NO("RFC 6874 zone", HOST, "GET / HTTP/1.1\r\nHost: [fe80::1%25a]\r\n\r\n"),
	/* Field lines. */
	OK("5", "GET / HTTP/1.1\r\n" H "X:\r\nY: \t \r\nZ:a\t \r\n\r\n"),
	OK("RFC 9110 5.5 obs-text and tab", "GET / HTTP/1.1\r\n" H "X: a\tb\x80\xff\r\n\r\n"),
	OK("RFC 9110 5.6.2", "GET / HTTP/1.1\r\n" H "!#$%&'*+-.^_`|~0aZ: x\r\n\r\n"),
	NO("5.1 space before colon", SYNTAX, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
	NO("5.1 tab before colon", SYNTAX, "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n"),
	NO("2.2 space before the first field", SYNTAX, "GET / HTTP/1.1\r\n " H END),
	NO("5.2 obs-fold", SYNTAX, "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n"),
	NO("5.2 obs-fold", SYNTAX, "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n"),
	NO("5.2 obs-fold of a length", SYNTAX,
	   "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\n 2\r\n\r\n"),
	NO("5 empty name", SYNTAX, "GET / HTTP/1.1\r\n" H ": a\r\n\r\n"),
	NO("5 no colon", SYNTAX, "GET / HTTP/1.1\r\n" H "X\r\n\r\n"),
	NO("5 name is no token", SYNTAX, "GET / HTTP/1.1\r\n" H "X(: a\r\n\r\n"),
	NO("5 name with space", SYNTAX, "GET / HTTP/1.1\r\n" H "X Y: a\r\n\r\n"),
	NO("5 name with NUL", SYNTAX, "GET / HTTP/1.1\r\n" H "X\0: a\r\n\r\n"),
	NO("5 name with obs-text", SYNTAX, "GET / HTTP/1.1\r\n" H "X\x80: a\r\n\r\n"),
	NO("RFC 9113 8.3 pseudo field", SYNTAX, "GET / HTTP/1.1\r\n" H ":path: /\r\n\r\n"),
	NO("RFC 9110 5.5 NUL", SYNTAX, "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n"),
	NO("RFC 9110 5.5 control", SYNTAX, "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n"),
	NO("RFC 9110 5.5 vertical tab", SYNTAX,
	   "GET / HTTP/1.1\r\n" H "X: \x0b"
	   "a\r\n\r\n"),
	NO("RFC 9110 5.5 DEL", SYNTAX, "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n"),
	NO("RFC 9110 5.5 escape", SYNTAX, "GET / HTTP/1.1\r\n" H "X: \x1b[0m\r\n\r\n"),
	NO("2.2 bare LF", SYNTAX, "GET / HTTP/1.1\r\n" H "X: a\nY: b\r\n\r\n"),
	NO("2.2 bare CR", SYNTAX, "GET / HTTP/1.1\r\n" H "X: a\rY: b\r\n\r\n"),
	NO("2.2 CR CR LF", SYNTAX, "GET / HTTP/1.1\r\n" H "X: a\r\r\n\r\n"),
	NO("2.2 bare LF ends the head", SYNTAX, "GET / HTTP/1.1\r\n" H "\n"),
	NO("2.2 bare CR ends the head", SYNTAX, "GET / HTTP/1.1\r\n" H "\rX"),
	NO("2.2 space in the empty line", SYNTAX, "GET / HTTP/1.1\r\n" H " \r\n\r\n"),
	/* Framing. */
	OK("6.2", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello"),
	OK("6.2", "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"),
	OK("6.2", "POST / HTTP/1.1\r\n" H "Content-Length:007 \r\n\r\n"),
	OK("6.2", "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775807\r\n\r\n"),
	NO("6.2", FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\n"),
	NO("6.2", FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551621\r\n\r\n"),
	NO("6.3", FRAMING,
	   "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
	NO("6.3 identical", FRAMING,
	   "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\ncontent-length: 5\r\n\r\n"),
	NO("6.3 list", FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n"),
	NO("6.3", FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"),
	NO("6.3", FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n"),
	NO("6.3", FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\n"),
	NO("6.3", FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n"),
	NO("6.3", FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\n"),
	NO("6.3", FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length: 5;\r\n\r\n"),
	NO("6.3", FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length: 5.0\r\n\r\n"),
	NO("6.3", FRAMING, "POST / HTTP/1.1\r\n" H "Content-Length: \"5\"\r\n\r\n"),
	OK("6.1", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"),
	OK("6.1", "POST / HTTP/1.1\r\n" H "transfer-ENCODING:\tCHUNKED\t\r\n\r\n"),
	NO("6.1 both", FRAMING,
	   "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
	NO("6.1 both", FRAMING,
	   "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
	NO("6.1 in 1.0", FRAMING, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"),
	NO("6.1 unknown", CODING,
	   "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n"),
	NO("6.1 unknown", CODING,
	   "POST / HTTP/1.1\r\n" H
	   "Transfer-Encoding: foo;a=b\r\nTransfer-Encoding: chunked\r\n\r\n"),
	NO("6.1 twice", FRAMING,
	   "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n"),
	NO("6.1 twice", FRAMING,
	   "POST / HTTP/1.1\r\n" H
	   "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
	NO("6.3 not last", FRAMING,
	   "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n"),
	NO("6.3 not last", FRAMING,
	   "POST / HTTP/1.1\r\n" H
	   "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
	NO("6.3 not last", FRAMING, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n"),
	NO("6.3 not last", FRAMING, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n"),
	NO("6.3 not last", FRAMING, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n"),
	NO("6.3 not last", FRAMING, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunke\r\n\r\n"),
	NO("7.1 parameter", FRAMING,
	   "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;a=b\r\n\r\n"),
	NO("6.1 empty", FRAMING, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n"),
	NO("6.1 empty element", FRAMING,
	   "POST / HTTP/1.1\r\n" H "Transfer-Encoding: ,chunked\r\n\r\n"),
	NO("6.1 empty element", FRAMING,
	   "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked,\r\n\r\n"),
	NO("6.1 quoted", FRAMING, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n"),
	NO("6.1 two words", FRAMING,
	   "POST / HTTP/1.1\r\n" H "Transfer-Encoding: x chunked\r\n\r\n"),
	NO("5.1 hidden framing", SYNTAX,
	   "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n"),
	NO("5.1 hidden framing", SYNTAX,
	   "POST / HTTP/1.1\r\n" H "X: y\rTransfer-Encoding: chunked\r\n\r\n"),
	/* Expect. */
	OK("RFC 9110 10.1.1", "POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\n\r\n"),
	OK("RFC 9110 10.1.1 ignored in 1.0", "POST / HTTP/1.0\r\n" H "Expect: x\r\n\r\n"),
	NO("RFC 9110 10.1.1", EXPECT, "POST / HTTP/1.1\r\n" H "Expect: x\r\n\r\n"),
	NO("RFC 9110 10.1.1", EXPECT, "POST / HTTP/1.1\r\n" H "Expect:\r\n\r\n"),
	NO("RFC 9110 10.1.1", EXPECT, "POST / HTTP/1.1\r\n" H "Expect: 100-continue, x\r\n\r\n"),
	NO("RFC 9110 10.1.1", EXPECT,
	   "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nExpect: x\r\n\r\n"),
	/* Connection. */
	OK("RFC 9110 7.6.1", "GET / HTTP/1.1\r\n" H "Connection: close, X-A, keep-alive\r\n\r\n"),
	OK("RFC 9110 7.6.1", "GET / HTTP/1.1\r\n" H "Connection:\r\n\r\n"),
	OK("RFC 9110 7.6.1", "GET / HTTP/1.1\r\n" H "Connection: TE, Upgrade, Trailer\r\n\r\n"),
	NO("RFC 9110 7.6.1", CONNECTION_OPTION, "GET / HTTP/1.1\r\n" H "Connection: host\r\n\r\n"),
	NO("RFC 9110 7.6.1", CONNECTION_OPTION,
	   "GET / HTTP/1.1\r\n" H "Connection: close, Content-Length\r\n\r\n"),
	NO("RFC 9110 7.6.1", CONNECTION_OPTION,
	   "GET / HTTP/1.1\r\n" H "Connection: x-forwarded-for\r\n\r\n"),
	NO("RFC 9110 7.6.1", CONNECTION_OPTION,
	   "GET / HTTP/1.1\r\n" H "Connection: X-Forwarded-Client-Cert\r\n\r\n"),
	NO("RFC 9110 7.6.1", CONNECTION_OPTION,
	   "GET / HTTP/1.1\r\n" H "Connection: a\r\nConnection: cookie\r\n\r\n"),
	NO("RFC 9110 7.6.1", CONNECTION_OPTION,
	   "GET / HTTP/1.1\r\n" H "Connection: authorization\r\n\r\n"),
	NO("RFC 9110 7.6.1 no token", CONNECTION_OPTION,
	   "GET / HTTP/1.1\r\n" H "Connection: close keep-alive\r\n\r\n"),
	NO("32 options", CONNECTION_OPTION,
	   "GET / HTTP/1.1\r\n" H "Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n"
	   "Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n\r\n"),
};

static void each_request_gets_the_verdict_of_its_section(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		struct heads_result r;

		heads_parse_every_way(&r, row->raw, true, HTTP_METHOD_OTHER, &heads_limits);
		if (r.parse != (row->error ? H1_PARSE_BAD : H1_PARSE_DONE) || r.error != row->error)
			fail_msg("%s: parse %d error %d (%s), not %d: %.*s", row->section, r.parse,
				 r.error, r.detail ? r.detail : "", row->error, SPAN_FMT(row->raw));
		assert_true(row->error == H1_ERROR_NONE || r.detail != NULL);
		heads_free(&r);
	}
}

static void garbage_is_refused_at_its_first_bad_byte(void **state UNUSED)
{
	static const struct {
		struct span raw;
		size_t bytes;
		enum h1_error error;
	} garbage[] = {
		{SPAN("\x16\x03\x01\x02\x00\x01\x00"), 1, H1_ERROR_SYNTAX},
		{SPAN("GET /\x80/rest"), 6, H1_ERROR_TARGET},
		{SPAN("GET / HTTX"), 10, H1_ERROR_SYNTAX},
		{SPAN("GET / HTTP/2.0"), 12, H1_ERROR_VERSION},
		{SPAN("GET / HTTP/1.1\r\n A: b"), 17, H1_ERROR_SYNTAX},
		{SPAN("GET / HTTP/1.1\r\nA : b"), 18, H1_ERROR_SYNTAX},
		{SPAN("GET / HTTP/1.1\r\nA: \x01 more"), 20, H1_ERROR_SYNTAX},
		{SPAN("GET / HTTP/1.1\r\nA: b\rc"), 22, H1_ERROR_SYNTAX},
	};

	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		struct heads_result r;

		heads_parse(&r, garbage[i].raw, true, HTTP_METHOD_OTHER, &heads_limits, 1);
		assert_int_equal(r.parse, H1_PARSE_BAD);
		assert_int_equal(r.error, garbage[i].error);
		assert_int_equal(r.gave_verdict_at, garbage[i].bytes);
		heads_free(&r);
	}
}

static void check_limit(const struct h1_limits *limits, struct span raw, enum h1_error error,
			size_t at)
{
	struct heads_result r;

	heads_parse_every_way(&r, raw, true, HTTP_METHOD_OTHER, limits);
	assert_int_equal(r.error, error);
	heads_free(&r);
	heads_parse(&r, raw, true, HTTP_METHOD_OTHER, limits, 1);
	assert_int_equal(r.error, error);
	assert_int_equal(r.gave_verdict_at, at);
	heads_free(&r);
}

static void limits_speak_as_soon_as_they_are_exceeded(void **state UNUSED)
{
	/* "GET /123 HTTP/1.1" is 17 bytes. */
	const struct h1_limits line = {
		.max_line_bytes = 17, .max_head_bytes = 100, .max_fields = 2};
	const struct h1_limits head = {.max_line_bytes = 50, .max_head_bytes = 30, .max_fields = 2};

	check_limit(&line, SPAN("GET /123 HTTP/1.1\r\n" H END), H1_ERROR_NONE, 30);
	check_limit(&line, SPAN("\r\nGET /123 HTTP/1.1\r\n" H END), H1_ERROR_NONE, 32);
	check_limit(&line, SPAN("GET /1234 HTTP/1.1\r\n" H END), H1_ERROR_LINE_TOO_LONG, 18);
	check_limit(&line, SPAN("GET /12345678901234567890"), H1_ERROR_LINE_TOO_LONG, 18);
	check_limit(&line, SPAN("GETTTTTTTTTTTTTTTTTTTTTTT"), H1_ERROR_LINE_TOO_LONG, 18);
	/* What lies behind the limit is never judged. */
	check_limit(&line, SPAN("GET /1234567890123\0"), H1_ERROR_LINE_TOO_LONG, 18);
	check_limit(&line, SPAN("GET /123 HTTP/1.1\r\n" H "A: 1\r\nB"), H1_ERROR_TOO_MANY_FIELDS,
		    35);
	check_limit(&line, SPAN("GET /123 HTTP/1.1\r\n" H "A: 1\r\n\r\n"), H1_ERROR_NONE, 36);
	check_limit(&head, SPAN("GET /123 HTTP/1.1\r\n" H END), H1_ERROR_NONE, 30);
	check_limit(&head, SPAN("GET /1234 HTTP/1.1\r\n" H END), H1_ERROR_HEAD_TOO_LARGE, 30);
	check_limit(&head, SPAN("GET /123 HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaa"),
		    H1_ERROR_HEAD_TOO_LARGE, 30);
}

static void parse(struct heads_result *r, struct span raw)
{
	heads_parse_every_way(r, raw, true, HTTP_METHOD_OTHER, &heads_limits);
	assert_int_equal(r->parse, H1_PARSE_DONE);
}

#define assert_span(s, text)                                                                       \
	do {                                                                                       \
		if (!span_eq(s, span_str(text)))                                                   \
			fail_msg("\"%.*s\", not \"%s\"", SPAN_FMT(s), text);                       \
	} while (0)

static void a_head_is_taken_apart(void **state UNUSED)
{
	struct heads_result r;

	parse(&r,
	      SPAN("PUT /a/B?c=%20 HTTP/1.1\r\nHost: Ex.org:81\r\nX-Y:  v w \r\n"
		   "Content-Length: 12\r\nTE: gzip, trailers\r\nExpect: 100-continue\r\n\r\nbody"));
	assert_int_equal(r.head.method, HTTP_METHOD_PUT);
	assert_span(r.head.method_text, "PUT");
	assert_span(r.head.target, "/a/B?c=%20");
	assert_span(r.head.path, "/a/B");
	assert_span(r.head.query, "c=%20");
	assert_null(r.head.scheme.ptr);
	assert_span(r.head.authority, "Ex.org:81");
	assert_span(r.head.host, "Ex.org");
	assert_int_equal(r.head.port, 81);
	assert_int_equal(r.head.minor, 1);
	assert_true(r.head.keep_alive);
	assert_true(r.head.expects_continue);
	assert_true(r.head.te_trailers);
	assert_int_equal(r.head.framing, HTTP_FRAMING_LENGTH);
	assert_int_equal(r.head.content_length, 12);
	assert_int_equal(r.head.fields.len, 5);
	assert_span(r.head.fields.at[1].name, "X-Y");
	assert_span(r.head.fields.at[1].value, "v w");
	assert_int_equal(r.head.fields.at[1].id, HTTP_FIELD_OTHER);
	assert_int_equal(r.head.fields.at[2].id, HTTP_FIELD_CONTENT_LENGTH);
	assert_int_equal(r.used, r.head.raw.len);
	assert_memory_equal(r.input + r.used - 4, "\r\n\r\n", 4);
	heads_free(&r);
}

/* It would be passed on in an HTTP/1.1 request, where it counts. */
static void an_expectation_of_http_1_0_is_dropped(void **state UNUSED)
{
	struct heads_result r;

	parse(&r, SPAN("POST / HTTP/1.0\r\nExpect: 100-continue\r\n" H END));
	assert_false(r.head.expects_continue);
	assert_int_equal(r.head.fields.len, 1);
	assert_false(http_fields_have(&r.head.fields, HTTP_FIELD_EXPECT));
	heads_free(&r);
}

static void absolute_targets_name_scheme_and_path(void **state UNUSED)
{
	struct heads_result r;

	parse(&r, SPAN("GET HTTPS://A:1?q HTTP/1.1\r\nHost: a:1\r\n\r\n"));
	assert_span(r.head.scheme, "https");
	assert_span(r.head.authority, "a:1");
	assert_span(r.head.host, "a");
	assert_span(r.head.path, "/");
	assert_span(r.head.query, "q");
	heads_free(&r);
	parse(&r, SPAN("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n"));
	assert_span(r.head.path, "*");
	heads_free(&r);
	parse(&r, SPAN("OPTIONS http://a? HTTP/1.1\r\nHost: a\r\n\r\n"));
	assert_span(r.head.path, "/");
	assert_non_null(r.head.query.ptr);
	heads_free(&r);
	parse(&r, SPAN("GET http://b/c HTTP/1.0\r\n\r\n"));
	assert_span(r.head.host, "b");
	assert_span(r.head.path, "/c");
	heads_free(&r);
}

static void connections_are_kept_as_version_and_options_say(void **state UNUSED)
{
	static const struct {
		struct span raw;
		bool keep_alive;
	} cases[] = {
		{SPAN("GET / HTTP/1.1\r\n" H END), true},
		{SPAN("GET / HTTP/1.1\r\n" H "Connection: Keep-Alive\r\n\r\n"), true},
		{SPAN("GET / HTTP/1.1\r\n" H "Connection: CLOSE\r\n\r\n"), false},
		{SPAN("GET / HTTP/1.1\r\n" H "Connection: x\r\nConnection: y ,close\r\n\r\n"),
		 false},
		{SPAN("GET / HTTP/1.1\r\n" H "Connection: keep-alive, close\r\n\r\n"), false},
		{SPAN("GET / HTTP/1.0\r\n" H END), false},
		{SPAN("GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n"), true},
		{SPAN("GET / HTTP/1.0\r\n" H "Connection: x, keep-alive\r\n\r\n"), true},
		{SPAN("GET / HTTP/1.0\r\n" H "Proxy-Connection: keep-alive\r\n\r\n"), false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct heads_result r;

		parse(&r, cases[i].raw);
		assert_int_equal(r.head.keep_alive, cases[i].keep_alive);
		heads_free(&r);
	}
}

static void finishing_lowers_the_host_and_normalises_the_path(void **state UNUSED)
{
	char mem[256];
	struct arena arena;
	struct heads_result r;

	arena_init(&arena, mem, sizeof(mem), NULL);
	parse(&r, SPAN("GET /a/./%7eb/../C%2f?%7e HTTP/1.1\r\nHost: EX.org\r\n\r\n"));
	assert_true(h1_request_finish(&r.head, &arena));
	assert_span(r.head.host, "ex.org");
	assert_span(r.head.authority, "EX.org");
	assert_span(r.head.path, "/a/C%2F");
	assert_span(r.head.query, "%7e");
	heads_free(&r);

	arena_init(&arena, mem, 0, NULL);
	parse(&r, SPAN("GET /plain HTTP/1.1\r\nHost: ex.org\r\n\r\n"));
	assert_true(h1_request_finish(&r.head, &arena));
	heads_free(&r);
	parse(&r, SPAN("GET /./ HTTP/1.1\r\nHost: ex.org\r\n\r\n"));
	assert_false(h1_request_finish(&r.head, &arena));
	heads_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_gets_the_verdict_of_its_section),
		cmocka_unit_test(garbage_is_refused_at_its_first_bad_byte),
		cmocka_unit_test(limits_speak_as_soon_as_they_are_exceeded),
		cmocka_unit_test(a_head_is_taken_apart),
		cmocka_unit_test(an_expectation_of_http_1_0_is_dropped),
		cmocka_unit_test(absolute_targets_name_scheme_and_path),
		cmocka_unit_test(connections_are_kept_as_version_and_options_say),
		cmocka_unit_test(finishing_lowers_the_host_and_normalises_the_path),
	};

	return cmocka_run_group_tests_name("http1: request", tests, NULL, NULL);
}
