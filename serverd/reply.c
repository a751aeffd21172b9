#include "serverd/reply.h"

void reply_send_body(struct link_call *call, struct channel *channel, const struct strbuf *body)
{
    struct strbuf frame = STRBUF_INIT;

    if (channel && strbuf_ok(body) &&
        channel_seal(channel, body->bytes, body->len, &frame) == PROBER_OK)
        link_call_reply(call, frame.bytes, frame.len);
    else
        link_call_drop(call);
    strbuf_free(&frame);
}

void reply_send(struct link_call *call, struct channel *channel, const struct wire_reply *reply)
{
    struct strbuf body = STRBUF_INIT;

    if (wire_reply_encode(reply, &body) == PROBER_OK)
        reply_send_body(call, channel, &body);
    else
        link_call_drop(call);
    strbuf_free(&body);
}
