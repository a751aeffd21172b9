#include "serverd/reply.h"

#include "serverd/peer.h"

void reply_send_body(struct link_call *call, const struct strbuf *body)
{
    struct strbuf frame = STRBUF_INIT;
    struct peer *peer = link_call_user(call);

    if (strbuf_ok(body) &&
        door_answer(peer_guest(peer), body->bytes, body->len, &frame) == PROBER_OK)
        link_call_reply(call, frame.bytes, frame.len);
    else
        link_call_drop(call);
    strbuf_free(&frame);
}

void reply_send(struct link_call *call, const struct wire_reply *reply)
{
    struct strbuf body = STRBUF_INIT;

    if (wire_reply_encode(reply, &body) == PROBER_OK)
        reply_send_body(call, &body);
    else
        link_call_drop(call);
    strbuf_free(&body);
}
