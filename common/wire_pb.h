/*
 * wire_pb - what the files of the wire adapter share: protobuf-c's types, and the bodies that have
 * a file of their own.
 *
 * Purpose    common/wire.c encodes and decodes messages; the bodies about certificates are left to
 *            wire_join.c, those about tasks to wire_task.c. Nothing else includes this.
 * Threads    Pure functions; a message belongs to one thread.
 * Ownership  To encode, protobuf-c's structs live in the arena and borrow what ours point to;
 *            decoded, ours live in the arena and point into protobuf-c's, which live there too.
 */
#ifndef COMMON_WIRE_PB_H
#define COMMON_WIRE_PB_H

#include <stdbool.h>

#include "common/arena.h"
#include "common/error.h"
#include "common/wire.h"
#include "probermesh.pb-c.h"

typedef Probermesh__Wire__Request pb_request;
typedef Probermesh__Wire__Reply pb_reply;
typedef Probermesh__Wire__SyncReply pb_sync_reply;

/* Takes a message of `type`, a name as protobuf-c writes it, from the arena into `pointer`, which
 * is NULL for lack of memory. */
#define WIRE_PB_NEW(pointer, type, arena)                                                          \
    do {                                                                                           \
        (pointer) = arena_alloc((arena), sizeof(*(pointer)));                                      \
        if (pointer)                                                                               \
            probermesh__wire__##type##__init(pointer);                                             \
    } while (0)

static inline char *wire_pb_text(const char *text)
{
    return text ? (char *)text : (char *)protobuf_c_empty_string;
}

static inline ProtobufCBinaryData wire_pb_bytes(const void *bytes, size_t len)
{
    return (ProtobufCBinaryData){len, (uint8_t *)bytes};
}

/* Fill the body of `to`, of a message that keeps its bounds. Errors: PROBER_ERR_NOMEM. */
enum prober_error wire_pb_put_join(const struct wire_join *from, pb_request *to,
                                   struct arena *arena);
enum prober_error wire_pb_put_join_reply(const struct wire_join_reply *from, pb_reply *to,
                                         struct arena *arena);
enum prober_error wire_pb_put_renew(const struct wire_renew *from, pb_request *to,
                                    struct arena *arena);
enum prober_error wire_pb_put_renew_reply(const struct wire_renew_reply *from, pb_reply *to,
                                          struct arena *arena);
enum prober_error wire_pb_put_task_report(const struct wire_task_report *from, pb_request *to,
                                          struct arena *arena);
enum prober_error wire_pb_put_task_report_reply(const struct wire_task_report_reply *from,
                                                pb_reply *to, struct arena *arena);
enum prober_error wire_pb_put_tasks(const struct wire_sync_reply *from, pb_sync_reply *to,
                                    struct arena *arena);

/* Read a body that is there. What wire_check says of the result is left to the caller.
 * Errors: PROBER_ERR_PROTOCOL, PROBER_ERR_NOMEM, with a sentence in *why. */
enum prober_error wire_pb_get_join(const Probermesh__Wire__Join *from, struct wire_join *to,
                                   struct prober_failure *why);
void wire_pb_get_join_reply(const Probermesh__Wire__JoinReply *from, struct wire_join_reply *to);
void wire_pb_get_renew(const Probermesh__Wire__Renew *from, struct wire_renew *to);
void wire_pb_get_renew_reply(const Probermesh__Wire__RenewReply *from, struct wire_renew_reply *to);
enum prober_error wire_pb_get_task_report(const Probermesh__Wire__TaskReport *from,
                                          struct wire_task_report *to, struct arena *arena,
                                          struct prober_failure *why);
enum prober_error wire_pb_get_task_report_reply(const Probermesh__Wire__TaskReportReply *from,
                                                struct wire_task_report_reply *to,
                                                struct prober_failure *why);
enum prober_error wire_pb_get_tasks(const pb_sync_reply *from, struct wire_sync_reply *to,
                                    struct arena *arena, struct prober_failure *why);

#endif
