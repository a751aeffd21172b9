#include "common/channel.h"

#include <stdlib.h>

#include "common/channel_frame.h"
#include "common/channel_session.h"

struct channel {
    struct channel_session *tls; /* NULL: plain */
};

enum prober_error channel_plain_create(struct channel **out)
{
    return channel_of_session(NULL, out);
}

enum prober_error channel_of_session(struct channel_session *session, struct channel **out)
{
    struct channel *c = calloc(1, sizeof(*c));

    if (!c)
        return PROBER_ERR_NOMEM;
    c->tls = session;
    *out = c;
    return PROBER_OK;
}

struct channel_session *channel_session_of(const struct channel *c)
{
    return c->tls;
}

enum prober_error channel_seal(struct channel *c, const void *body, size_t len,
                               struct strbuf *frame)
{
    if (len > CHANNEL_BODY_MAX)
        return PROBER_ERR_RANGE;
    if (c->tls)
        return channel_session_seal(c->tls, body, len, frame);
    channel_frame_begin(frame, len);
    strbuf_put(frame, body, len);
    return channel_frame_end(frame, CHANNEL_PLAIN);
}

enum prober_error channel_open(struct channel *c, const void *frame, size_t frame_len,
                               const void **body, size_t *body_len)
{
    enum channel_kind kind;
    const void *found;
    size_t len;
    enum prober_error err;

    if (c->tls)
        return channel_session_open(c->tls, frame, frame_len, body, body_len);
    err = channel_frame_parse(frame, frame_len, &kind, &found, &len);
    if (err)
        return err;
    if (kind == CHANNEL_HANDSHAKE_NEEDED)
        return PROBER_ERR_STATE;
    if (kind != CHANNEL_PLAIN)
        return PROBER_ERR_PROTOCOL;
    *body = found;
    *body_len = len;
    return PROBER_OK;
}

bool channel_is_authenticated(const struct channel *c)
{
    return channel_peer(c) != NULL;
}

bool channel_is_secret(const struct channel *c)
{
    return channel_is_ready(c);
}

const struct pki_identity *channel_peer(const struct channel *c)
{
    return c->tls ? channel_session_peer(c->tls) : NULL;
}

void channel_destroy(struct channel *c)
{
    if (!c)
        return;
    channel_session_destroy(c->tls);
    free(c);
}

enum prober_error channel_frame_kind(const void *frame, size_t frame_len, enum channel_kind *kind)
{
    const void *body;
    size_t len;

    return channel_frame_parse(frame, frame_len, kind, &body, &len);
}

enum prober_error channel_handshake_needed(struct strbuf *frame)
{
    channel_frame_begin(frame, 0);
    return channel_frame_end(frame, CHANNEL_HANDSHAKE_NEEDED);
}
