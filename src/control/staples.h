/* OCSP responses that are fetched from where the certificates say (ocsp.fetch).
 *
 * A thread of its own ("ringway-ocsp") asks the responders, keeps what they answered, and
 * asks again at half of the time that an answer is good for. A new one, and one that says
 * that a certificate is revoked, makes control read the certificates again: the next
 * snapshot staples what there is then. So neither shards nor control ever wait for a
 * responder, and nothing changes under a handshake.
 *
 * What fails is said each time that the reason changes, and tried again after a minute,
 * two, four, up to an hour.
 */
#ifndef RINGWAY_SRC_CONTROL_STAPLES_H
#define RINGWAY_SRC_CONTROL_STAPLES_H

#include <stdbool.h>

#include <ringway/tls/ocsp.h>

struct instance;
struct staples;

int staples_create(struct instance *in, struct staples **ret_staples);
void staples_destroy(struct staples *s); /* takes NULL */

/* Around tls_credentials_create(), on the thread that reads certificates: what it wants in
 * between is fetched from staples_end() on. With `good` false it is forgotten and the
 * fetching goes on as before. */
struct tls_staples *staples_begin(struct staples *s);
void staples_end(struct staples *s, bool good);

/* Nothing is fetched before and after: control must run to take the news. */
int staples_start(struct staples *s);
void staples_stop(struct staples *s);

#endif
