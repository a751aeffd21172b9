#include "common/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "common/wire_check.h"
#include "common/wire_pb.h"

/* What a decode takes first: enough for most messages, so that one malloc serves them. */
#define FIRST_BLOCK(len) (4096 + 3 * ((len) < WIRE_BYTES_MAX ? (len) : 0))

/* What a decoded message may take, so that a small message of many empty parts stays small. */
#define REQUEST_MEMORY_MAX (32u << 20)
#define REPLY_MEMORY_MAX (96u << 20)

typedef Probermesh__Wire__Hello pb_hello;
typedef Probermesh__Wire__HelloReply pb_hello_reply;
typedef Probermesh__Wire__Sync pb_sync;
typedef Probermesh__Wire__Plan pb_plan;
typedef Probermesh__Wire__PlanEntry pb_plan_entry;
typedef Probermesh__Wire__IcmpSpec pb_icmp_spec;
typedef Probermesh__Wire__HttpSpec pb_http_spec;
typedef Probermesh__Wire__Report pb_report;
typedef Probermesh__Wire__TargetName pb_target_name;
typedef Probermesh__Wire__IcmpColumns pb_icmp_columns;
typedef Probermesh__Wire__HttpColumns pb_http_columns;
typedef Probermesh__Wire__Arrivals pb_arrivals;
typedef Probermesh__Wire__ReportReply pb_report_reply;

/* ---- encoding: protobuf-c's structs borrow what ours point to ---- */

static enum prober_error append_packed(const ProtobufCMessage *message, struct strbuf *out)
{
    size_t len = protobuf_c_message_get_packed_size(message);

    if (len > WIRE_BYTES_MAX)
        return PROBER_ERR_RANGE;
    strbuf_reserve(out, len);
    if (!strbuf_ok(out))
        return PROBER_ERR_NOMEM;
    out->len += protobuf_c_message_pack(message, (uint8_t *)out->bytes + out->len);
    out->bytes[out->len] = '\0';
    return PROBER_OK;
}

static void encode_icmp_columns(const struct wire_report *report, pb_icmp_columns *to)
{
    const struct wire_icmp_columns *from = &report->icmp;

#define LEND(field, count)                                                                         \
    if (from->field) {                                                                             \
        to->n_##field = (count);                                                                   \
        to->field = (void *)from->field;                                                           \
    }
#define LEND_COUNT(field, help) LEND(field, report->rows)
    ICMP_COUNTS(LEND_COUNT)
    LEND(rtt_sum_ns, report->rows)
    LEND(rtt_square_low, report->rows)
    LEND(rtt_square_high, report->rows)
    LEND(rtt_min_ns, report->rows)
    LEND(rtt_max_ns, report->rows)
    LEND(jitter_ns, report->rows)
    LEND(resolve_ns, report->rows)
    LEND(histogram_bins, report->rows)
    LEND(bin_step, from->bin_total)
    LEND(bin_count, from->bin_total)
#undef LEND_COUNT
#undef LEND
}

static void encode_http_columns(const struct wire_report *report, pb_http_columns *to)
{
    const struct wire_http_columns *from = &report->http;

#define LEND(type, field)                                                                          \
    if (from->field) {                                                                             \
        to->n_##field = report->rows;                                                              \
        to->field = (type *)from->field;                                                           \
    }
    WIRE_HTTP_COLUMNS(LEND)
#undef LEND
}

static enum prober_error encode_columns(const struct wire_report *from, pb_report *to,
                                        struct arena *arena)
{
    if (from->kind == WIRE_KIND_HTTP) {
        WIRE_PB_NEW(to->http, http_columns, arena);
        if (!to->http)
            return PROBER_ERR_NOMEM;
        encode_http_columns(from, to->http);
    } else {
        WIRE_PB_NEW(to->icmp, icmp_columns, arena);
        if (!to->icmp)
            return PROBER_ERR_NOMEM;
        encode_icmp_columns(from, to->icmp);
    }
    return PROBER_OK;
}

static enum prober_error encode_report(const struct wire_report *from, pb_request *request,
                                       struct arena *arena)
{
    pb_target_name *names = arena_array(arena, from->name_count, sizeof(*names));
    pb_report *to;

    WIRE_PB_NEW(to, report, arena);
    if (!to)
        return PROBER_ERR_NOMEM;
    request->report = to;
    to->names = arena_array(arena, from->name_count, sizeof(pb_target_name *));
    WIRE_PB_NEW(to->arrivals, arrivals, arena);
    if (!names || !to->names || !to->arrivals)
        return PROBER_ERR_NOMEM;
    to->n_names = from->name_count;
    for (size_t i = 0; i < from->name_count; i++) {
        probermesh__wire__target_name__init(&names[i]);
        names[i].number = from->names[i].number;
        names[i].kind = from->names[i].kind;
        names[i].region = wire_pb_text(from->names[i].region);
        names[i].target = wire_pb_text(from->names[i].target);
        names[i].control = from->names[i].control;
        to->names[i] = &names[i];
    }
    to->sequence = from->sequence;
    to->window = from->window;
    to->window_ns = from->window_ns;
    to->age_ns = from->age_ns;
    to->n_target = from->rows;
    to->target = (uint32_t *)from->target;
    to->kind = from->kind;
    to->arrivals->n_sender = to->arrivals->n_window = to->arrivals->n_count = from->arrivals.length;
    to->arrivals->sender = (uint32_t *)from->arrivals.sender;
    to->arrivals->window = (uint32_t *)from->arrivals.window;
    to->arrivals->count = (uint32_t *)from->arrivals.count;
    return encode_columns(from, to, arena);
}

static enum prober_error encode_hello(const struct wire_hello *from, pb_request *request,
                                      struct arena *arena)
{
    pb_hello *to;

    WIRE_PB_NEW(to, hello, arena);
    if (!to)
        return PROBER_ERR_NOMEM;
    request->hello = to;
    to->region = wire_pb_text(from->region);
    to->version = wire_pb_text(from->version);
    to->os = wire_pb_text(from->os);
    to->architecture = wire_pb_text(from->architecture);
    to->address_mode = from->address_mode;
    to->n_addresses = from->address_count;
    to->addresses = (char **)from->addresses;
    to->probe_interval_ns = from->probe_interval_ns;
    to->probe_timeout_ns = from->probe_timeout_ns;
    to->n_capabilities = from->capability_count;
    to->capabilities = (char **)from->capabilities;
    return PROBER_OK;
}

static enum prober_error encode_sync(const struct wire_sync *from, pb_request *request,
                                     struct arena *arena)
{
    pb_sync *to;

    WIRE_PB_NEW(to, sync, arena);
    if (!to)
        return PROBER_ERR_NOMEM;
    request->sync = to;
    to->plan_revision = from->plan_revision;
    to->spool_reports = from->spool_reports;
    to->spool_dropped = from->spool_dropped;
    return PROBER_OK;
}

static enum prober_error encode_request_body(const struct wire_request *from, pb_request *to,
                                             struct arena *arena)
{
    switch (from->call) {
    case WIRE_HELLO:
        return encode_hello(&from->as.hello, to, arena);
    case WIRE_SYNC:
        return encode_sync(&from->as.sync, to, arena);
    case WIRE_REPORT:
        return encode_report(&from->as.report, to, arena);
    case WIRE_JOIN:
        return wire_pb_put_join(&from->as.join, to, arena);
    case WIRE_RENEW:
        return wire_pb_put_renew(&from->as.renew, to, arena);
    case WIRE_TASK_REPORT:
        return wire_pb_put_task_report(&from->as.task_report, to, arena);
    default:
        return PROBER_OK;
    }
}

enum prober_error wire_request_encode(const struct wire_request *request, struct strbuf *out)
{
    struct wire_check c = {.code = PROBER_ERR_RANGE};
    struct arena *arena = arena_create(4096, SIZE_MAX);
    pb_request to = PROBERMESH__WIRE__REQUEST__INIT;
    enum prober_error err = arena ? PROBER_OK : PROBER_ERR_NOMEM;

    wire_check_request(&c, request);
    if (c.failed)
        err = PROBER_ERR_RANGE;
    if (err)
        goto out;
    to.protocol = request->protocol;
    to.agent_id = wire_pb_bytes(request->agent_id.bytes, PROBER_ID_LEN);
    to.boot_id = wire_pb_bytes(request->boot_id.bytes, PROBER_ID_LEN);
    err = encode_request_body(request, &to, arena);
    if (!err)
        err = append_packed(&to.base, out);
out:
    arena_destroy(arena);
    return err;
}

static enum prober_error encode_spec(const struct wire_plan_entry *from, pb_plan_entry *to,
                                     struct arena *arena)
{
    if (from->kind == WIRE_KIND_ICMP) {
        WIRE_PB_NEW(to->icmp, icmp_spec, arena);
        if (!to->icmp)
            return PROBER_ERR_NOMEM;
        to->icmp->payload_size = from->icmp.payload_size;
        to->icmp->packet_count = from->icmp.packet_count;
        to->icmp->interval_ns = from->icmp.interval_ns;
        to->icmp->timeout_ns = from->icmp.timeout_ns;
        to->icmp->family = from->icmp.family;
    } else if (from->kind == WIRE_KIND_HTTP) {
        WIRE_PB_NEW(to->http, http_spec, arena);
        if (!to->http)
            return PROBER_ERR_NOMEM;
        to->http->block = wire_pb_text(from->http.block);
        to->http->timeout_ns = from->http.timeout_ns;
    }
    return PROBER_OK;
}

static enum prober_error encode_plan(const struct wire_plan *from, pb_plan *to, struct arena *arena)
{
    pb_plan_entry *entries = arena_array(arena, from->entry_count, sizeof(*entries));
    enum prober_error err = PROBER_OK;

    to->entries = arena_array(arena, from->entry_count, sizeof(pb_plan_entry *));
    if (!entries || !to->entries)
        return PROBER_ERR_NOMEM;
    to->n_entries = from->entry_count;
    for (size_t i = 0; i < from->entry_count && !err; i++) {
        const struct wire_plan_entry *e = &from->entries[i];

        probermesh__wire__plan_entry__init(&entries[i]);
        entries[i].kind = e->kind;
        entries[i].region = wire_pb_text(e->region);
        entries[i].n_targets = e->target_count;
        entries[i].targets = (char **)e->targets;
        entries[i].control = e->control;
        to->entries[i] = &entries[i];
        err = encode_spec(e, &entries[i], arena);
    }
    return err;
}

static enum prober_error encode_hello_reply(const struct wire_hello_reply *from, pb_reply *reply,
                                            struct arena *arena)
{
    pb_hello_reply *to;

    WIRE_PB_NEW(to, hello_reply, arena);
    if (!to)
        return PROBER_ERR_NOMEM;
    reply->hello = to;
    to->server_id = wire_pb_text(from->server_id);
    to->observed_address = wire_pb_text(from->observed_address);
    to->agent_number = from->agent_number;
    to->hint_port = from->hint_port;
    to->heartbeat_ns = from->heartbeat_ns;
    to->aggregation_interval_ns = from->aggregation_interval_ns;
    to->version = wire_pb_text(from->version);
    return PROBER_OK;
}

static enum prober_error encode_sync_reply(const struct wire_sync_reply *from, pb_reply *reply,
                                           struct arena *arena)
{
    enum prober_error err = PROBER_OK;
    pb_sync_reply *to;

    WIRE_PB_NEW(to, sync_reply, arena);
    if (!to)
        return PROBER_ERR_NOMEM;
    reply->sync = to;
    to->plan_revision = from->plan_revision;
    if (from->has_plan) {
        WIRE_PB_NEW(to->plan, plan, arena);
        err = to->plan ? encode_plan(&from->plan, to->plan, arena) : PROBER_ERR_NOMEM;
    }
    return err ? err : wire_pb_put_tasks(from, to, arena);
}

static enum prober_error encode_report_reply(const struct wire_report_reply *from, pb_reply *reply,
                                             struct arena *arena)
{
    WIRE_PB_NEW(reply->report, report_reply, arena);
    if (!reply->report)
        return PROBER_ERR_NOMEM;
    reply->report->sequence = from->sequence;
    reply->report->outcome = from->outcome;
    return PROBER_OK;
}

static enum prober_error encode_reply_body(const struct wire_reply *from, pb_reply *to,
                                           struct arena *arena)
{
    switch (from->call) {
    case WIRE_HELLO:
        return encode_hello_reply(&from->as.hello, to, arena);
    case WIRE_SYNC:
        return encode_sync_reply(&from->as.sync, to, arena);
    case WIRE_REPORT:
        return encode_report_reply(&from->as.report, to, arena);
    case WIRE_JOIN:
        return wire_pb_put_join_reply(&from->as.join, to, arena);
    case WIRE_RENEW:
        return wire_pb_put_renew_reply(&from->as.renew, to, arena);
    case WIRE_TASK_REPORT:
        return wire_pb_put_task_report_reply(&from->as.task_report, to, arena);
    default:
        return PROBER_OK;
    }
}

enum prober_error wire_reply_encode(const struct wire_reply *reply, struct strbuf *out)
{
    struct wire_check c = {.code = PROBER_ERR_RANGE};
    const char *text = wire_pb_text(reply->message);
    char message[WIRE_MESSAGE_MAX + 1];
    struct arena *arena = arena_create(4096, SIZE_MAX);
    pb_reply to = PROBERMESH__WIRE__REPLY__INIT;
    enum prober_error err = arena ? PROBER_OK : PROBER_ERR_NOMEM;

    wire_check_reply(&c, reply);
    if (c.failed)
        err = PROBER_ERR_RANGE;
    if (err)
        goto out;
    snprintf(message, wire_valid_prefix(text, WIRE_MESSAGE_MAX) + 1, "%s", text);
    to.protocol = reply->protocol;
    to.server_boot_id = wire_pb_bytes(reply->server_boot_id.bytes, PROBER_ID_LEN);
    to.status = reply->status;
    to.message = message;
    err = encode_reply_body(reply, &to, arena);
    if (!err)
        err = append_packed(&to.base, out);
out:
    arena_destroy(arena);
    return err;
}

/* ---- decoding: protobuf-c's structs and ours live in one arena ---- */

static void *take_from_arena(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void leave_to_arena(void *arena, void *piece)
{
    (void)arena;
    (void)piece;
}

/* Unpacks a message into *out. A message that found no memory is not malformed: its sender would
 * give it up. */
static enum prober_error unpack(ProtobufCMessage **out, const ProtobufCMessageDescriptor *type,
                                const void *bytes, size_t len, struct arena *arena,
                                struct prober_failure *why)
{
    ProtobufCAllocator allocator = {take_from_arena, leave_to_arena, arena};

    if (len > WIRE_BYTES_MAX)
        return prober_fail(why, PROBER_ERR_PROTOCOL, "the message has %zu bytes, %u allowed", len,
                           WIRE_BYTES_MAX);
    *out = protobuf_c_message_unpack(type, &allocator, len, bytes);
    if (*out)
        return PROBER_OK;
    if (arena_is_over_limit(arena))
        return prober_fail(why, PROBER_ERR_PROTOCOL, "the message has too many parts");
    if (arena_is_out_of_memory(arena))
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    return prober_fail(why, PROBER_ERR_PROTOCOL, "the message is cut short or not protobuf");
}

static enum prober_error decode_id(const ProtobufCBinaryData *from, struct prober_id *to,
                                   const char *field, struct prober_failure *why)
{
    if (from->len != PROBER_ID_LEN)
        return prober_fail(why, PROBER_ERR_PROTOCOL, "%s: %zu bytes instead of %d", field,
                           from->len, PROBER_ID_LEN);
    memcpy(to->bytes, from->data, PROBER_ID_LEN);
    return PROBER_OK;
}

/* The bodies of a message: what a request and what a reply calls them is the same. */
#define BODIES(message)                                                                            \
    {                                                                                              \
        {WIRE_HELLO, (message)->hello}, {WIRE_SYNC, (message)->sync},                              \
            {WIRE_REPORT, (message)->report}, {WIRE_JOIN, (message)->join},                        \
            {WIRE_RENEW, (message)->renew},                                                        \
        {                                                                                          \
            WIRE_TASK_REPORT, (message)->task_report                                               \
        }                                                                                          \
    }

struct body {
    enum wire_call call;
    const void *content;
};

/* Which of the bodies is there. Errors: more than one. */
static enum prober_error decode_call(const struct body *bodies, size_t count, enum wire_call *call,
                                     struct prober_failure *why)
{
    *call = WIRE_CALL_NONE;
    for (size_t i = 0; i < count; i++) {
        if (!bodies[i].content)
            continue;
        if (*call != WIRE_CALL_NONE)
            return prober_fail(why, PROBER_ERR_PROTOCOL, "the message holds more than one call");
        *call = bodies[i].call;
    }
    return PROBER_OK;
}

static void decode_hello(const pb_hello *from, struct wire_hello *to)
{
    to->region = from->region;
    to->version = from->version;
    to->os = from->os;
    to->architecture = from->architecture;
    to->address_mode = (enum wire_address_mode)from->address_mode;
    to->addresses = (const char *const *)from->addresses;
    to->address_count = from->n_addresses;
    to->probe_interval_ns = from->probe_interval_ns;
    to->probe_timeout_ns = from->probe_timeout_ns;
    to->capabilities = (const char *const *)from->capabilities;
    to->capability_count = from->n_capabilities;
}

static enum prober_error decode_arrivals(const pb_arrivals *from, struct wire_arrivals *to,
                                         struct prober_failure *why)
{
    if (!from)
        return PROBER_OK;
    if (from->n_window != from->n_sender || from->n_count != from->n_sender)
        return prober_fail(why, PROBER_ERR_PROTOCOL,
                           "report.arrivals: columns of %zu, %zu and %zu values", from->n_sender,
                           from->n_window, from->n_count);
    *to = (struct wire_arrivals){from->sender, from->window, from->count, from->n_sender};
    return PROBER_OK;
}

static enum prober_error decode_icmp_columns(const pb_icmp_columns *from, size_t rows,
                                             struct wire_icmp_columns *to,
                                             struct prober_failure *why)
{
    uint64_t bins = 0;

    for (size_t i = 0; i < from->n_histogram_bins; i++)
        bins += from->histogram_bins[i];
#define TAKE(field, count)                                                                         \
    if (from->n_##field != 0 && from->n_##field != (count))                                        \
        return prober_fail(why, PROBER_ERR_PROTOCOL,                                               \
                           "report.icmp." #field ": %zu values instead of %" PRIu64,               \
                           from->n_##field, (uint64_t)(count));                                    \
    to->field = from->n_##field ? from->field : NULL;
#define TAKE_COUNT(field, help) TAKE(field, rows)
    ICMP_COUNTS(TAKE_COUNT)
    TAKE(rtt_sum_ns, rows)
    TAKE(rtt_square_low, rows)
    TAKE(rtt_square_high, rows)
    TAKE(rtt_min_ns, rows)
    TAKE(rtt_max_ns, rows)
    TAKE(jitter_ns, rows)
    TAKE(resolve_ns, rows)
    TAKE(histogram_bins, rows)
    TAKE(bin_step, bins)
    TAKE(bin_count, bins)
#undef TAKE_COUNT
#undef TAKE
    if (bins && (!to->bin_step || !to->bin_count))
        return prober_fail(why, PROBER_ERR_PROTOCOL, "report.icmp: %" PRIu64 " bins, but no values",
                           bins);
    to->bin_total = bins;
    return PROBER_OK;
}

static enum prober_error decode_http_columns(const pb_http_columns *from, size_t rows,
                                             struct wire_http_columns *to,
                                             struct prober_failure *why)
{
#define TAKE(type, field)                                                                          \
    if (from->n_##field != 0 && from->n_##field != rows)                                           \
        return prober_fail(why, PROBER_ERR_PROTOCOL,                                               \
                           "report.http." #field ": %zu values instead of %zu", from->n_##field,   \
                           rows);                                                                  \
    to->field = from->n_##field ? from->field : NULL;
    WIRE_HTTP_COLUMNS(TAKE)
#undef TAKE
    return PROBER_OK;
}

static enum prober_error decode_columns(const pb_report *from, struct wire_report *to,
                                        struct prober_failure *why)
{
    if ((from->icmp && to->kind != WIRE_KIND_ICMP) || (from->http && to->kind != WIRE_KIND_HTTP))
        return prober_fail(why, PROBER_ERR_PROTOCOL, "report.kind: columns of another kind than %u",
                           to->kind);
    if (from->icmp)
        return decode_icmp_columns(from->icmp, to->rows, &to->icmp, why);
    if (from->http)
        return decode_http_columns(from->http, to->rows, &to->http, why);
    return PROBER_OK;
}

static enum prober_error decode_report(const pb_report *from, struct wire_report *to,
                                       struct arena *arena, struct prober_failure *why)
{
    struct wire_target_name *names;
    enum prober_error err;

    if (from->n_target > WIRE_REPORT_ROWS_MAX || from->n_names > WIRE_NAMES_MAX)
        return prober_fail(why, PROBER_ERR_PROTOCOL, "report: %zu rows and %zu names, %d allowed",
                           from->n_target, from->n_names, WIRE_REPORT_ROWS_MAX);
    names = arena_array(arena, from->n_names, sizeof(*names));
    if (!names)
        return prober_fail(why, PROBER_ERR_NOMEM, "report.names: out of memory");
    for (size_t i = 0; i < from->n_names; i++) {
        const pb_target_name *name = from->names[i];

        names[i] = (struct wire_target_name){name->number, name->kind, name->region, name->target,
                                             name->control};
    }
    to->sequence = from->sequence;
    to->window = from->window;
    to->window_ns = from->window_ns;
    to->age_ns = from->age_ns;
    to->names = names;
    to->name_count = from->n_names;
    to->target = from->target;
    to->rows = from->n_target;
    to->kind = from->kind ? from->kind : WIRE_KIND_ICMP;
    err = decode_arrivals(from->arrivals, &to->arrivals, why);
    return err ? err : decode_columns(from, to, why);
}

static enum prober_error decode_request_body(const pb_request *from, struct wire_request *to,
                                             struct arena *arena, struct prober_failure *why)
{
    switch (to->call) {
    case WIRE_HELLO:
        decode_hello(from->hello, &to->as.hello);
        return PROBER_OK;
    case WIRE_SYNC:
        to->as.sync = (struct wire_sync){from->sync->plan_revision, from->sync->spool_reports,
                                         from->sync->spool_dropped};
        return PROBER_OK;
    case WIRE_REPORT:
        return decode_report(from->report, &to->as.report, arena, why);
    case WIRE_JOIN:
        return wire_pb_get_join(from->join, &to->as.join, why);
    case WIRE_RENEW:
        wire_pb_get_renew(from->renew, &to->as.renew);
        return PROBER_OK;
    case WIRE_TASK_REPORT:
        return wire_pb_get_task_report(from->task_report, &to->as.task_report, arena, why);
    default:
        return PROBER_OK;
    }
}

static enum prober_error decode_request(const pb_request *from, struct wire_request *to,
                                        struct arena *arena, struct prober_failure *why)
{
    const struct body bodies[] = BODIES(from);
    struct wire_check c = {.code = PROBER_ERR_PROTOCOL, .why = why};
    enum prober_error err = decode_id(&from->agent_id, &to->agent_id, "agent_id", why);

    if (!err)
        err = decode_id(&from->boot_id, &to->boot_id, "boot_id", why);
    if (!err)
        err = decode_call(bodies, ARRAY_LEN(bodies), &to->call, why);
    if (err)
        return err;
    to->protocol = from->protocol;
    err = decode_request_body(from, to, arena, why);
    if (err)
        return err;
    wire_check_request(&c, to);
    return c.failed ? c.code : PROBER_OK;
}

enum prober_error wire_request_decode(const void *bytes, size_t len, struct wire_request *out,
                                      struct prober_failure *why)
{
    struct arena *arena = arena_create(FIRST_BLOCK(len), REQUEST_MEMORY_MAX);
    struct wire_request request = {.memory = arena};
    enum prober_error err = PROBER_ERR_NOMEM;
    ProtobufCMessage *message;

    if (!arena)
        goto out;
    err = unpack(&message, &probermesh__wire__request__descriptor, bytes, len, arena, why);
    if (!err)
        err = decode_request((pb_request *)message, &request, arena, why);
    if (err)
        goto out;
    *out = request;
    arena = NULL;
out:
    arena_destroy(arena);
    return err;
}

static enum prober_error decode_plan(const pb_plan *from, struct wire_plan *to, struct arena *arena,
                                     struct prober_failure *why)
{
    struct wire_plan_entry *entries;

    if (from->n_entries > WIRE_PLAN_ENTRIES_MAX)
        return prober_fail(why, PROBER_ERR_PROTOCOL, "sync.plan: %zu entries, %d allowed",
                           from->n_entries, WIRE_PLAN_ENTRIES_MAX);
    entries = arena_array(arena, from->n_entries, sizeof(*entries));
    if (!entries)
        return prober_fail(why, PROBER_ERR_NOMEM, "sync.plan: out of memory");
    for (size_t i = 0; i < from->n_entries; i++) {
        const pb_plan_entry *e = from->entries[i];
        const pb_icmp_spec *icmp = e->icmp;

        entries[i] = (struct wire_plan_entry){.kind = e->kind,
                                              .region = e->region,
                                              .targets = (const char *const *)e->targets,
                                              .target_count = e->n_targets,
                                              .control = e->control,
                                              .http = {.block = ""}};
        if (icmp)
            entries[i].icmp =
                (struct wire_icmp_spec){icmp->payload_size, icmp->packet_count, icmp->interval_ns,
                                        icmp->timeout_ns, icmp->family};
        if (e->http)
            entries[i].http = (struct wire_http_spec){e->http->block, e->http->timeout_ns};
    }
    *to = (struct wire_plan){entries, from->n_entries};
    return PROBER_OK;
}

static void decode_hello_reply(const pb_hello_reply *from, struct wire_hello_reply *to)
{
    to->server_id = from->server_id;
    to->observed_address = from->observed_address;
    to->agent_number = from->agent_number;
    to->hint_port = (uint16_t)from->hint_port;
    to->heartbeat_ns = from->heartbeat_ns;
    to->aggregation_interval_ns = from->aggregation_interval_ns;
    to->version = from->version;
}

static enum prober_error decode_sync_reply(const pb_sync_reply *from, struct wire_sync_reply *to,
                                           struct arena *arena, struct prober_failure *why)
{
    enum prober_error err = PROBER_OK;

    to->plan_revision = from->plan_revision;
    to->has_plan = from->plan != NULL;
    if (from->plan)
        err = decode_plan(from->plan, &to->plan, arena, why);
    return err ? err : wire_pb_get_tasks(from, to, arena, why);
}

static enum prober_error decode_report_reply(const pb_report_reply *from,
                                             struct wire_report_reply *to,
                                             struct prober_failure *why)
{
    if (from->outcome > WIRE_INVALID)
        return prober_fail(why, PROBER_ERR_PROTOCOL, "report.outcome: %u is not known",
                           from->outcome);
    to->sequence = from->sequence;
    to->outcome = (enum wire_outcome)from->outcome;
    return PROBER_OK;
}

static enum prober_error decode_reply_body(const pb_reply *from, struct wire_reply *to,
                                           struct arena *arena, struct prober_failure *why)
{
    switch (to->call) {
    case WIRE_HELLO:
        if (from->hello->hint_port > UINT16_MAX)
            return prober_fail(why, PROBER_ERR_PROTOCOL, "hello.hint_port: %u is no port",
                               from->hello->hint_port);
        decode_hello_reply(from->hello, &to->as.hello);
        return PROBER_OK;
    case WIRE_SYNC:
        return decode_sync_reply(from->sync, &to->as.sync, arena, why);
    case WIRE_REPORT:
        return decode_report_reply(from->report, &to->as.report, why);
    case WIRE_JOIN:
        wire_pb_get_join_reply(from->join, &to->as.join);
        return PROBER_OK;
    case WIRE_RENEW:
        wire_pb_get_renew_reply(from->renew, &to->as.renew);
        return PROBER_OK;
    case WIRE_TASK_REPORT:
        return wire_pb_get_task_report_reply(from->task_report, &to->as.task_report, why);
    default:
        return PROBER_OK;
    }
}

static enum prober_error decode_reply(const pb_reply *from, struct wire_reply *to,
                                      struct arena *arena, struct prober_failure *why)
{
    const struct body bodies[] = BODIES(from);
    struct wire_check c = {.code = PROBER_ERR_PROTOCOL, .why = why};
    enum prober_error err =
        decode_id(&from->server_boot_id, &to->server_boot_id, "server_boot_id", why);

    if (!err)
        err = decode_call(bodies, ARRAY_LEN(bodies), &to->call, why);
    if (err)
        return err;
    to->protocol = from->protocol;
    to->status = from->status;
    to->message = from->message;
    if (from->message[wire_valid_prefix(from->message, WIRE_MESSAGE_MAX)] != '\0')
        from->message[wire_valid_prefix(from->message, WIRE_MESSAGE_MAX)] = '\0';
    err = decode_reply_body(from, to, arena, why);
    if (err)
        return err;
    wire_check_reply(&c, to);
    return c.failed ? c.code : PROBER_OK;
}

enum prober_error wire_reply_decode(const void *bytes, size_t len, struct wire_reply *out,
                                    struct prober_failure *why)
{
    struct arena *arena = arena_create(FIRST_BLOCK(len), REPLY_MEMORY_MAX);
    struct wire_reply reply = {.memory = arena};
    enum prober_error err = PROBER_ERR_NOMEM;
    ProtobufCMessage *message;

    if (!arena)
        goto out;
    err = unpack(&message, &probermesh__wire__reply__descriptor, bytes, len, arena, why);
    if (!err)
        err = decode_reply((pb_reply *)message, &reply, arena, why);
    if (err)
        goto out;
    *out = reply;
    arena = NULL;
out:
    arena_destroy(arena);
    return err;
}

void wire_request_free(struct wire_request *request)
{
    arena_destroy(request->memory);
    request->memory = NULL;
}

void wire_reply_free(struct wire_reply *reply)
{
    arena_destroy(reply->memory);
    reply->memory = NULL;
}
