#include "common/wire_pb.h"

enum prober_error wire_pb_put_join(const struct wire_join *from, pb_request *to,
                                   struct arena *arena)
{
    WIRE_PB_NEW(to->join, join, arena);
    if (!to->join)
        return PROBER_ERR_NOMEM;
    to->join->secret = wire_pb_bytes(from->secret, WIRE_JOIN_SECRET_LEN);
    to->join->request = wire_pb_bytes(from->request, from->request_len);
    to->join->region = wire_pb_text(from->region);
    to->join->version = wire_pb_text(from->version);
    return PROBER_OK;
}

enum prober_error wire_pb_put_join_reply(const struct wire_join_reply *from, pb_reply *to,
                                         struct arena *arena)
{
    WIRE_PB_NEW(to->join, join_reply, arena);
    if (!to->join)
        return PROBER_ERR_NOMEM;
    to->join->certificate = wire_pb_text(from->certificate);
    return PROBER_OK;
}

enum prober_error wire_pb_put_renew(const struct wire_renew *from, pb_request *to,
                                    struct arena *arena)
{
    WIRE_PB_NEW(to->renew, renew, arena);
    if (!to->renew)
        return PROBER_ERR_NOMEM;
    to->renew->request = wire_pb_bytes(from->request, from->request_len);
    return PROBER_OK;
}

enum prober_error wire_pb_put_renew_reply(const struct wire_renew_reply *from, pb_reply *to,
                                          struct arena *arena)
{
    WIRE_PB_NEW(to->renew, renew_reply, arena);
    if (!to->renew)
        return PROBER_ERR_NOMEM;
    to->renew->certificate = wire_pb_text(from->certificate);
    return PROBER_OK;
}

enum prober_error wire_pb_get_join(const Probermesh__Wire__Join *from, struct wire_join *to,
                                   struct prober_failure *why)
{
    if (from->secret.len != WIRE_JOIN_SECRET_LEN)
        return prober_fail(why, PROBER_ERR_PROTOCOL, "join.secret: %zu bytes instead of %d",
                           from->secret.len, WIRE_JOIN_SECRET_LEN);
    *to = (struct wire_join){.secret = from->secret.data,
                             .request = from->request.data,
                             .request_len = from->request.len,
                             .region = from->region,
                             .version = from->version};
    return PROBER_OK;
}

void wire_pb_get_join_reply(const Probermesh__Wire__JoinReply *from, struct wire_join_reply *to)
{
    to->certificate = from->certificate;
}

void wire_pb_get_renew(const Probermesh__Wire__Renew *from, struct wire_renew *to)
{
    to->request = from->request.data;
    to->request_len = from->request.len;
}

void wire_pb_get_renew_reply(const Probermesh__Wire__RenewReply *from, struct wire_renew_reply *to)
{
    to->certificate = from->certificate;
}
