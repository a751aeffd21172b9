/*
 * channel_session - the TLS session of a channel, between channel.c and channel_tls.c.
 *
 * Threads    One at a time.
 * Ownership  A channel owns its session.
 */
#ifndef COMMON_CHANNEL_SESSION_H
#define COMMON_CHANNEL_SESSION_H

#include "common/channel.h"
#include "common/channel_tls.h"

struct channel_session;

/* Makes the channel that owns `session` (NULL: a plain one). Errors: PROBER_ERR_NOMEM, and the
 * session is still the caller's. */
enum prober_error channel_of_session(struct channel_session *session, struct channel **out);
/* NULL for a plain channel. */
struct channel_session *channel_session_of(const struct channel *c);

/* As the functions of channel.h of these names. */
enum prober_error channel_session_seal(struct channel_session *s, const void *body, size_t len,
                                       struct strbuf *frame);
enum prober_error channel_session_open(struct channel_session *s, const void *frame,
                                       size_t frame_len, const void **body, size_t *body_len);
const struct pki_identity *channel_session_peer(const struct channel_session *s);
void channel_session_destroy(struct channel_session *s); /* NULL is fine */

#endif
