#include "common/wire_check.h"

#include <inttypes.h>
#include <string.h>

#include "common/array.h"
#include "common/join_token.h"
#include "common/pki.h"
#include "common/utf8.h"

_Static_assert(WIRE_JOIN_SECRET_LEN == JOIN_SECRET_LEN, "the secret of a token");
_Static_assert(WIRE_CERTIFICATE_REQUEST_MAX == PKI_REQUEST_MAX, "a request for a certificate");

#define PAYLOAD_MAX 65507 /* of an IPv4 echo request: 65535 - 20 - 8 */

static void check_that(struct wire_check *c, bool good, const char *field, const char *rule)
{
    if (good || c->failed)
        return;
    c->failed = true;
    prober_fail(c->why, c->code, "%s: %s", field, rule);
}

static void check_number(struct wire_check *c, const char *field, uint64_t value, uint64_t min,
                         uint64_t max)
{
    if (c->failed || (value >= min && value <= max))
        return;
    c->failed = true;
    prober_fail(c->why, c->code,
                "%s: %" PRIu64 " is out of range, %" PRIu64 " to %" PRIu64 " allowed", field, value,
                min, max);
}

/* The bytes of one UTF-8 character at p (RFC 3629), 0 when it is malformed or a control character.
 * It reads no further than the first malformed byte, so a NUL ends it. */
static size_t character_len(const unsigned char *p)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t min;
    } forms[] = {
        {0x80, 0x00, 0x20}, {0xe0, 0xc0, 0xa0}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

    for (size_t len = 1; len <= ARRAY_LEN(forms); len++) {
        uint32_t code = *p & (uint32_t)~forms[len - 1].mask;

        if ((*p & forms[len - 1].mask) != forms[len - 1].lead)
            continue;
        for (size_t i = 1; i < len; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (p[i] & 0x3f);
        }
        if (code < forms[len - 1].min || code == 0x7f || (code >= 0xd800 && code <= 0xdfff) ||
            code > 0x10ffff)
            return 0;
        return len;
    }
    return 0;
}

size_t wire_valid_prefix(const char *text, size_t max)
{
    size_t len = 0, step;

    while ((step = character_len((const unsigned char *)text + len)) && len + step <= max)
        len += step;
    return len;
}

static bool is_text(const char *text, size_t max)
{
    return !text || text[wire_valid_prefix(text, max)] == '\0';
}

/* Text with line ends in it. */
static bool is_lines(const char *text, size_t max)
{
    size_t len = 0, step;

    if (!text)
        return true;
    while (len <= max && text[len]) {
        step = text[len] == '\n' ? 1 : character_len((const unsigned char *)text + len);
        if (!step)
            return false;
        len += step;
    }
    return len <= max;
}

bool wire_name_is_valid(const char *text, size_t max)
{
    return text && *text && is_text(text, max);
}

bool wire_target_region_is_valid(const char *text)
{
    return text && is_text(text, WIRE_REGION_MAX);
}

static void check_text(struct wire_check *c, const char *field, const char *text)
{
    if (!c->failed && !is_text(text, WIRE_TEXT_MAX))
        check_that(c, false, field, "not valid text, or too long");
}

static void check_name(struct wire_check *c, const char *field, const char *text, size_t max)
{
    if (!c->failed && !wire_name_is_valid(text, max))
        check_that(c, false, field, "empty, too long, or not valid UTF-8 text");
}

static void check_target_region(struct wire_check *c, const char *field, const char *text)
{
    if (!c->failed && !wire_target_region_is_valid(text))
        check_that(c, false, field, "too long, or not valid UTF-8 text");
}

static void check_block(struct wire_check *c, const char *field, const char *block)
{
    size_t len = block ? strlen(block) : 0;

    check_that(c, len <= WIRE_HTTP_BLOCK_MAX, field, "too long");
    if (!c->failed && len)
        check_that(c, utf8_is_valid(block, len), field, "not valid UTF-8 text");
}

static void check_names(struct wire_check *c, const char *field, const char *const *texts,
                        size_t count, size_t max)
{
    check_number(c, field, count, 0, max);
    for (size_t i = 0; i < count && !c->failed; i++)
        check_name(c, field, texts[i], WIRE_TEXT_MAX);
}

static void check_hello(struct wire_check *c, const struct wire_hello *hello)
{
    check_name(c, "hello.region", hello->region, WIRE_REGION_MAX);
    check_text(c, "hello.version", hello->version);
    check_text(c, "hello.os", hello->os);
    check_text(c, "hello.architecture", hello->architecture);
    check_number(c, "hello.address_mode", hello->address_mode, 0, WIRE_ADDRESS_GIVEN);
    check_names(c, "hello.addresses", hello->addresses, hello->address_count, WIRE_ADDRESSES_MAX);
    check_number(c, "hello.probe_interval_ns", hello->probe_interval_ns, 1, WIRE_DURATION_MAX_NS);
    check_number(c, "hello.probe_timeout_ns", hello->probe_timeout_ns, 1, WIRE_DURATION_MAX_NS);
    check_names(c, "hello.capabilities", hello->capabilities, hello->capability_count,
                WIRE_CAPABILITIES_MAX);
}

static void check_report(struct wire_check *c, const struct wire_report *report)
{
    check_number(c, "report.sequence", report->sequence, 1, UINT64_MAX);
    check_number(c, "report.window_ns", report->window_ns, 1, WIRE_DURATION_MAX_NS);
    check_number(c, "report.age_ns", report->age_ns, 0, WIRE_DURATION_MAX_NS);
    check_number(c, "report.names", report->name_count, 0, WIRE_NAMES_MAX);
    for (size_t i = 0; i < report->name_count && !c->failed; i++) {
        check_target_region(c, "report.names.region", report->names[i].region);
        check_name(c, "report.names.target", report->names[i].target, WIRE_TARGET_MAX);
    }
    check_number(c, "report.target", report->rows, 0, WIRE_REPORT_ROWS_MAX);
    check_number(c, "report.icmp.bin_step", report->icmp.bin_total, 0, WIRE_REPORT_BINS_MAX);
    check_number(c, "report.arrivals", report->arrivals.length, 0, WIRE_ARRIVALS_MAX);
}

static void check_certificate_request(struct wire_check *c, const char *field, size_t len)
{
    check_number(c, field, len, 1, WIRE_CERTIFICATE_REQUEST_MAX);
}

static void check_join(struct wire_check *c, const struct wire_join *join)
{
    check_that(c, join->secret != NULL, "join.secret", "none");
    check_certificate_request(c, "join.request", join->request_len);
    if (!c->failed && !is_text(join->region, WIRE_REGION_MAX))
        check_that(c, false, "join.region", "too long, or not valid UTF-8 text");
    check_text(c, "join.version", join->version);
}

bool wire_task_id_is_valid(const char *id)
{
    static const char characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-_";
    size_t len = id ? strspn(id, characters) : 0;

    return len >= 1 && len <= WIRE_TASK_ID_MAX && id[len] == '\0';
}

static void check_task_id(struct wire_check *c, const char *field, const char *id)
{
    if (!c->failed && !wire_task_id_is_valid(id))
        check_that(c, false, field, "not 1 to 63 letters, digits, '-' or '_'");
}

static void check_chunks(struct wire_check *c, const struct wire_task_report *report)
{
    size_t bytes = 0;

    check_number(c, "task_report.chunks", report->chunk_count, 0, WIRE_TASK_CHUNKS_MAX);
    for (size_t i = 0; i < report->chunk_count && !c->failed; i++) {
        const struct wire_task_chunk *chunk = &report->chunks[i];

        check_number(c, "task_report.chunks.stream", chunk->stream, WIRE_TASK_STDOUT,
                     WIRE_TASK_STDERR);
        check_number(c, "task_report.chunks.bytes", chunk->len, 1,
                     WIRE_TASK_CHUNK_BYTES_MAX - bytes);
        if (!c->failed)
            check_number(c, "task_report.chunks.offset", chunk->offset, 0,
                         WIRE_TASK_STREAM_MAX - chunk->len);
        bytes += chunk->len;
    }
}

static void check_task_end(struct wire_check *c, const struct wire_task_end *end)
{
    check_number(c, "task_report.end.duration_ns", end->duration_ns, 0, WIRE_DURATION_MAX_NS);
    check_number(c, "task_report.end.stdout_length", end->stdout_length, 0, WIRE_TASK_STREAM_MAX);
    check_number(c, "task_report.end.stderr_length", end->stderr_length, 0, WIRE_TASK_STREAM_MAX);
    if (!c->failed && !is_text(end->text, WIRE_MESSAGE_MAX))
        check_that(c, false, "task_report.end.text", "not valid text, or too long");
    if (!c->failed && !is_lines(end->notes, WIRE_TASK_NOTES_MAX))
        check_that(c, false, "task_report.end.notes", "not valid text, or too long");
}

static void check_task_report(struct wire_check *c, const struct wire_task_report *report)
{
    check_task_id(c, "task_report.task", report->task);
    check_number(c, "task_report.state", report->state, WIRE_TASK_RUNNING, WIRE_TASK_RAN_BEFORE);
    check_chunks(c, report);
    check_that(c, report->has_end == (report->state != WIRE_TASK_RUNNING), "task_report.end",
               report->has_end ? "a running task has none" : "none");
    if (report->has_end)
        check_task_end(c, &report->end);
}

static void check_call(struct wire_check *c, enum wire_call call)
{
    check_that(c, call == WIRE_CALL_NONE || (call >= WIRE_HELLO && call <= WIRE_TASK_REPORT),
               "call", "not known");
}

void wire_check_request(struct wire_check *c, const struct wire_request *request)
{
    check_number(c, "protocol", request->protocol, 1, UINT32_MAX);
    check_call(c, request->call);
    if (request->call == WIRE_HELLO)
        check_hello(c, &request->as.hello);
    else if (request->call == WIRE_REPORT)
        check_report(c, &request->as.report);
    else if (request->call == WIRE_JOIN)
        check_join(c, &request->as.join);
    else if (request->call == WIRE_RENEW)
        check_certificate_request(c, "renew.request", request->as.renew.request_len);
    else if (request->call == WIRE_TASK_REPORT)
        check_task_report(c, &request->as.task_report);
}

static void check_plan_entry(struct wire_check *c, const struct wire_plan_entry *e)
{
    check_target_region(c, "sync.plan.region", e->region);
    for (size_t k = 0; k < e->target_count && !c->failed; k++)
        check_name(c, "sync.plan.targets", e->targets[k], WIRE_TARGET_MAX);
    check_number(c, "sync.plan.icmp.payload_size", e->icmp.payload_size, 0, PAYLOAD_MAX);
    check_number(c, "sync.plan.icmp.packet_count", e->icmp.packet_count, 0, UINT16_MAX);
    check_number(c, "sync.plan.icmp.interval_ns", e->icmp.interval_ns, 0, WIRE_DURATION_MAX_NS);
    check_number(c, "sync.plan.icmp.timeout_ns", e->icmp.timeout_ns, 0, WIRE_DURATION_MAX_NS);
    check_that(c, e->icmp.family == 0 || e->icmp.family == 4 || e->icmp.family == 6,
               "sync.plan.icmp.family", "not 0, 4 or 6");
    check_block(c, "sync.plan.http.block", e->http.block);
    check_number(c, "sync.plan.http.timeout_ns", e->http.timeout_ns, 0, WIRE_DURATION_MAX_NS);
}

static void check_plan(struct wire_check *c, const struct wire_plan *plan)
{
    size_t targets = 0;

    check_number(c, "sync.plan.entries", plan->entry_count, 0, WIRE_PLAN_ENTRIES_MAX);
    for (size_t i = 0; i < plan->entry_count && !c->failed; i++) {
        const struct wire_plan_entry *e = &plan->entries[i];

        check_number(c, "sync.plan.targets", e->target_count, 0, WIRE_PLAN_TARGETS_MAX - targets);
        targets += e->target_count;
        /* A kind that came later has rules of its own; whoever does not know it skips it. */
        if (e->kind <= WIRE_KIND_HTTP)
            check_plan_entry(c, e);
    }
}

static void check_hello_reply(struct wire_check *c, const struct wire_hello_reply *hello)
{
    check_text(c, "hello.server_id", hello->server_id);
    check_text(c, "hello.observed_address", hello->observed_address);
    check_number(c, "hello.heartbeat_ns", hello->heartbeat_ns, 0, WIRE_DURATION_MAX_NS);
    check_number(c, "hello.aggregation_interval_ns", hello->aggregation_interval_ns, 0,
                 WIRE_DURATION_MAX_NS);
    check_text(c, "hello.version", hello->version);
}

static void check_tasks(struct wire_check *c, const struct wire_sync_reply *sync)
{
    check_number(c, "sync.tasks", sync->task_count, 0, WIRE_TASKS_MAX);
    for (size_t i = 0; i < sync->task_count && !c->failed; i++) {
        const struct wire_task *task = &sync->tasks[i];

        check_task_id(c, "sync.tasks.id", task->id);
        check_number(c, "sync.tasks.line", task->line_len, 1, WIRE_TASK_LINE_MAX);
        if (!c->failed)
            check_that(c, !memchr(task->line, '\0', task->line_len), "sync.tasks.line",
                       "holds a NUL byte");
        check_number(c, "sync.tasks.deadline_ns", task->deadline_ns, 1, WIRE_TASK_DEADLINE_MAX_NS);
    }
    check_number(c, "sync.cancels", sync->cancel_count, 0, WIRE_CANCELS_MAX);
    for (size_t i = 0; i < sync->cancel_count && !c->failed; i++)
        check_task_id(c, "sync.cancels", sync->cancels[i]);
}

static void check_sync_reply(struct wire_check *c, const struct wire_sync_reply *sync)
{
    if (sync->has_plan)
        check_plan(c, &sync->plan);
    check_tasks(c, sync);
}

static void check_certificate(struct wire_check *c, const char *field, const char *pem)
{
    if (!c->failed && (!pem || !*pem || !is_lines(pem, WIRE_CERTIFICATE_MAX)))
        check_that(c, false, field, "empty, too long, or not valid text");
}

void wire_check_reply(struct wire_check *c, const struct wire_reply *reply)
{
    check_number(c, "protocol", reply->protocol, 1, UINT32_MAX);
    check_call(c, reply->call);
    if (reply->call == WIRE_HELLO)
        check_hello_reply(c, &reply->as.hello);
    else if (reply->call == WIRE_SYNC)
        check_sync_reply(c, &reply->as.sync);
    else if (reply->call == WIRE_JOIN)
        check_certificate(c, "join.certificate", reply->as.join.certificate);
    else if (reply->call == WIRE_RENEW)
        check_certificate(c, "renew.certificate", reply->as.renew.certificate);
    else if (reply->call == WIRE_TASK_REPORT)
        check_number(c, "task_report.outcome", reply->as.task_report.outcome, WIRE_TASK_TAKEN,
                     WIRE_TASK_AGAIN);
}
