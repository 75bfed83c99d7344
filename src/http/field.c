#include <ringway/http/charset.h>
#include <ringway/http/field.h>

/* A known name and which bits of each of its bytes may differ: 0x20 at letters, none
 * at hyphens. So a comparison regardless of case is exact, eight bytes at a time. */
struct known {
	char name[24]; /* lower case */
	char mask[24];
	uint8_t len;
	uint8_t id;
};

/* One slot per hash value; the hash is perfect over these names, which the unit test
 * proves (factors found by trial). Rows are filled in once, before main(). */
static struct known table[128];

static const struct span spellings[HTTP_FIELD_IDS] = {
	[HTTP_FIELD_OTHER] = SPAN(""),
	[HTTP_FIELD_ACCEPT_ENCODING] = SPAN("Accept-Encoding"),
	[HTTP_FIELD_AUTHORIZATION] = SPAN("Authorization"),
	[HTTP_FIELD_CACHE_CONTROL] = SPAN("Cache-Control"),
	[HTTP_FIELD_CLIENT_CERT] = SPAN("Client-Cert"),
	[HTTP_FIELD_CLIENT_CERT_CHAIN] = SPAN("Client-Cert-Chain"),
	[HTTP_FIELD_CONNECTION] = SPAN("Connection"),
	[HTTP_FIELD_CONTENT_ENCODING] = SPAN("Content-Encoding"),
	[HTTP_FIELD_CONTENT_LENGTH] = SPAN("Content-Length"),
	[HTTP_FIELD_CONTENT_RANGE] = SPAN("Content-Range"),
	[HTTP_FIELD_CONTENT_TYPE] = SPAN("Content-Type"),
	[HTTP_FIELD_COOKIE] = SPAN("Cookie"),
	[HTTP_FIELD_DATE] = SPAN("Date"),
	[HTTP_FIELD_EXPECT] = SPAN("Expect"),
	[HTTP_FIELD_FORWARDED] = SPAN("Forwarded"),
	[HTTP_FIELD_HOST] = SPAN("Host"),
	[HTTP_FIELD_KEEP_ALIVE] = SPAN("Keep-Alive"),
	[HTTP_FIELD_LOCATION] = SPAN("Location"),
	[HTTP_FIELD_MAX_FORWARDS] = SPAN("Max-Forwards"),
	[HTTP_FIELD_PROXY_AUTHENTICATE] = SPAN("Proxy-Authenticate"),
	[HTTP_FIELD_PROXY_AUTHORIZATION] = SPAN("Proxy-Authorization"),
	[HTTP_FIELD_PROXY_CONNECTION] = SPAN("Proxy-Connection"),
	[HTTP_FIELD_SERVER] = SPAN("Server"),
	[HTTP_FIELD_SET_COOKIE] = SPAN("Set-Cookie"),
	[HTTP_FIELD_TE] = SPAN("TE"),
	[HTTP_FIELD_TRAILER] = SPAN("Trailer"),
	[HTTP_FIELD_TRANSFER_ENCODING] = SPAN("Transfer-Encoding"),
	[HTTP_FIELD_UPGRADE] = SPAN("Upgrade"),
	[HTTP_FIELD_USER_AGENT] = SPAN("User-Agent"),
	[HTTP_FIELD_VIA] = SPAN("Via"),
	[HTTP_FIELD_X_FORWARDED_FOR] = SPAN("X-Forwarded-For"),
	[HTTP_FIELD_X_FORWARDED_HOST] = SPAN("X-Forwarded-Host"),
	[HTTP_FIELD_X_FORWARDED_PORT] = SPAN("X-Forwarded-Port"),
	[HTTP_FIELD_X_FORWARDED_PROTO] = SPAN("X-Forwarded-Proto"),
	[HTTP_FIELD_X_REAL_IP] = SPAN("X-Real-IP"),
	[HTTP_FIELD_X_REQUEST_ID] = SPAN("X-Request-Id"),
};

#define NAME_BYTES_MAX 19 /* Proxy-Authorization */

static unsigned slot_of(const char *name, size_t len)
{
	return (9 * ((unsigned char)name[0] | 0x20) + 17 * ((unsigned char)name[len - 2] | 0x20) +
		11 * (unsigned)len) &
	       127;
}

__attribute__((constructor)) static void table_fill(void)
{
	for (unsigned id = 1; id < HTTP_FIELD_IDS; id++) {
		struct span name = spellings[id];
		struct known *k = &table[slot_of(name.ptr, name.len)];

		must(k->id == 0 && name.len <= NAME_BYTES_MAX);
		k->id = (uint8_t)id;
		k->len = (uint8_t)name.len;
		for (size_t i = 0; i < name.len; i++) {
			k->name[i] = ascii_lower(name.ptr[i]);
			k->mask[i] = name.ptr[i] == '-' ? 0 : 0x20;
		}
	}
}

static inline uint64_t load8(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t load4(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t differ8(const struct known *k, const char *name, size_t at)
{
	return (load8(name + at) ^ load8(k->name + at)) & ~load8(k->mask + at);
}

static inline uint32_t differ4(const struct known *k, const char *name, size_t at)
{
	return (load4(name + at) ^ load4(k->name + at)) & ~load4(k->mask + at);
}

/* Loads overlap at the end of the name so that none leaves it. */
static inline bool same_name(const struct known *k, const char *name, size_t len)
{
	if (len >= 16)
		return !(differ8(k, name, 0) | differ8(k, name, 8) | differ8(k, name, len - 8));
	if (len >= 8)
		return !(differ8(k, name, 0) | differ8(k, name, len - 8));
	if (len >= 4)
		return !(differ4(k, name, 0) | differ4(k, name, len - 4));
	return ascii_lower(name[0]) == k->name[0] && ascii_lower(name[1]) == k->name[1] &&
	       ascii_lower(name[len - 1]) == k->name[len - 1];
}

static inline enum http_field_id id_of(struct span name)
{
	const struct known *k;

	if (name.len < 2)
		return HTTP_FIELD_OTHER;
	k = &table[slot_of(name.ptr, name.len)];
	if (k->len != name.len || !same_name(k, name.ptr, name.len))
		return HTTP_FIELD_OTHER;
	return k->id;
}

enum http_field_id http_field_id(struct span name)
{
	return id_of(name);
}

void http_fields_identify(struct http_field *at, uint32_t len, http_field_set *present,
			  http_field_set *repeated)
{
	http_field_set seen = *present, again = *repeated;

	for (uint32_t i = 0; i < len; i++) {
		enum http_field_id id = id_of(at[i].name);

		at[i].id = id;
		again |= seen & HTTP_FIELD_BIT(id);
		seen |= HTTP_FIELD_BIT(id);
	}
	*present = seen;
	*repeated = again;
}

struct span http_field_name(enum http_field_id id)
{
	must(id < HTTP_FIELD_IDS);
	return spellings[id];
}

const struct http_field *http_fields_find(const struct http_fields *f, enum http_field_id id)
{
	if (!http_fields_have(f, id))
		return NULL;
	for (uint32_t i = 0; i < f->len; i++)
		if (f->at[i].id == id)
			return &f->at[i];
	return NULL;
}

const struct http_field *http_fields_find_name(const struct http_fields *f, struct span name)
{
	enum http_field_id id = http_field_id(name);

	if (id != HTTP_FIELD_OTHER)
		return http_fields_find(f, id);
	for (uint32_t i = 0; i < f->len; i++)
		if (f->at[i].id == HTTP_FIELD_OTHER && span_ieq(f->at[i].name, name))
			return &f->at[i];
	return NULL;
}

void http_fields_remove(struct http_fields *f, http_field_set ids)
{
	http_field_set present = 0;
	uint32_t kept = 0;

	if (!(f->present & ids))
		return;
	for (uint32_t i = 0; i < f->len; i++) {
		if (ids & HTTP_FIELD_BIT(f->at[i].id))
			continue;
		present |= HTTP_FIELD_BIT(f->at[i].id);
		if (kept != i)
			f->at[kept] = f->at[i];
		kept++;
	}
	f->len = kept;
	f->present = present;
}

bool http_is_token(struct span s)
{
	return s.len && charset_all(&charset_token, s);
}

/* Names without an id of their own that RFC 9110 bars from trailers by its kinds:
 * request modifiers and conditionals, authentication, content and its handling,
 * response control. */
static const char *const barred[] = {
	"accept-ranges",
	"age",
	"allow",
	"content-disposition",
	"content-language",
	"content-location",
	"expires",
	"if-match",
	"if-modified-since",
	"if-none-match",
	"if-range",
	"if-unmodified-since",
	"origin",
	"pragma",
	"range",
	"referer",
	"retry-after",
	"vary",
	"warning",
	"www-authenticate",
};

bool http_field_allowed_in_trailer(enum http_field_id id, struct span name)
{
	/* Of the fields we know, only these say nothing about how a message is read. */
	const http_field_set harmless =
		HTTP_FIELD_BIT(HTTP_FIELD_OTHER) | HTTP_FIELD_BIT(HTTP_FIELD_DATE) |
		HTTP_FIELD_BIT(HTTP_FIELD_SERVER) | HTTP_FIELD_BIT(HTTP_FIELD_X_REQUEST_ID);

	if (!(harmless & HTTP_FIELD_BIT(id)))
		return false;
	if (id != HTTP_FIELD_OTHER)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(barred); i++)
		if (span_ieq(name, span_str(barred[i])))
			return false;
	return true;
}
