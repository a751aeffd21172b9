#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/array.h"
#include "common/strbuf.h"
#include "common/wire.h"

static struct strbuf bytes;
static struct prober_failure why;
static struct wire_request request;
static struct wire_reply reply;
static char big[WIRE_TASK_CHUNK_BYTES_MAX + 2];

static int set_up(void **state)
{
    (void)state;
    memset(&why, 0, sizeof(why));
    memset(&request, 0, sizeof(request));
    memset(&reply, 0, sizeof(reply));
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_free(&bytes);
    wire_request_free(&request);
    wire_reply_free(&reply);
    return 0;
}

/* ---- protobuf by hand ---- */

static void put_varint(struct strbuf *b, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        strbuf_putc(b, (char)(value | 0x80));
    strbuf_putc(b, (char)value);
}

static void put_field(struct strbuf *b, unsigned field, const void *content, size_t len)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, len);
    strbuf_put(b, content, len);
}

static void put_text(struct strbuf *b, unsigned field, const char *text)
{
    put_field(b, field, text, strlen(text));
}

static void put_number(struct strbuf *b, unsigned field, uint64_t value)
{
    put_varint(b, field << 3);
    put_varint(b, value);
}

static void put_body(struct strbuf *b, unsigned field, struct strbuf *body)
{
    put_field(b, field, body->bytes, body->len);
    strbuf_free(body);
}

/* A message whose body `field` is what `body` holds, and which takes that. */
static void given_request(unsigned field, struct strbuf *body)
{
    static const uint8_t id[PROBER_ID_LEN];

    strbuf_clear(&bytes);
    put_number(&bytes, 1, WIRE_PROTOCOL);
    put_field(&bytes, 2, id, sizeof(id));
    put_field(&bytes, 3, id, sizeof(id));
    put_body(&bytes, field, body);
}

static void given_reply(unsigned field, struct strbuf *body)
{
    static const uint8_t id[PROBER_ID_LEN];

    strbuf_clear(&bytes);
    put_number(&bytes, 1, WIRE_PROTOCOL);
    put_field(&bytes, 2, id, sizeof(id));
    put_body(&bytes, field, body);
}

static void refuse(const char *text)
{
    wire_request_free(&request);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why),
                     PROBER_ERR_PROTOCOL);
    assert_string_equal(why.text, text);
    assert_null(request.memory);
}

static void refuse_reply(const char *text)
{
    wire_reply_free(&reply);
    assert_int_equal(wire_reply_decode(bytes.bytes, bytes.len, &reply, &why), PROBER_ERR_PROTOCOL);
    assert_string_equal(why.text, text);
    assert_null(reply.memory);
}

/* ---- messages ---- */

static struct wire_request a_request(enum wire_call call)
{
    return (struct wire_request){.protocol = WIRE_PROTOCOL, .call = call};
}

static struct wire_reply a_reply(enum wire_call call)
{
    return (struct wire_reply){.protocol = WIRE_PROTOCOL, .message = "", .call = call};
}

static enum prober_error walk(const struct wire_request *from)
{
    enum prober_error err;

    strbuf_clear(&bytes);
    err = wire_request_encode(from, &bytes);
    if (err)
        return err;
    wire_request_free(&request);
    return wire_request_decode(bytes.bytes, bytes.len, &request, &why);
}

static enum prober_error walk_reply(const struct wire_reply *from)
{
    enum prober_error err;

    strbuf_clear(&bytes);
    err = wire_reply_encode(from, &bytes);
    if (err)
        return err;
    wire_reply_free(&reply);
    return wire_reply_decode(bytes.bytes, bytes.len, &reply, &why);
}

static const uint8_t secret[WIRE_JOIN_SECRET_LEN] = {0, 1, 2, 0, 0xff};

static struct wire_request a_join(void)
{
    struct wire_request join = a_request(WIRE_JOIN);

    join.as.join = (struct wire_join){secret, (const uint8_t *)"\0der\xff", 5, "欧洲-1", "1.0"};
    return join;
}

static struct wire_request a_report(uint32_t state)
{
    static const struct wire_task_chunk chunks[] = {{WIRE_TASK_STDOUT, 7, "out\0\xff", 5},
                                                    {WIRE_TASK_STDERR, 0, "err", 3}};
    struct wire_request report = a_request(WIRE_TASK_REPORT);

    report.as.task_report = (struct wire_task_report){.task = "t-1_A",
                                                      .state = state,
                                                      .chunks = chunks,
                                                      .chunk_count = ARRAY_LEN(chunks),
                                                      .has_end = state != WIRE_TASK_RUNNING};
    if (report.as.task_report.has_end)
        report.as.task_report.end = (struct wire_task_end){.end = 99,
                                                           .value = -7,
                                                           .duration_ns = 12345678901,
                                                           .left_behind = 2,
                                                           .stdout_length = 12,
                                                           .stderr_length = 3,
                                                           .stdout_total = UINT64_MAX,
                                                           .stderr_total = 3,
                                                           .text = "ended “well”",
                                                           .notes = "interval\nraised\n"};
    return report;
}

/* ---- joining ---- */

static void a_join_arrives_as_it_was_sent(void **state)
{
    struct wire_request join = a_join();
    (void)state;

    assert_int_equal(walk(&join), PROBER_OK);
    assert_int_equal(request.call, WIRE_JOIN);
    assert_memory_equal(request.as.join.secret, secret, sizeof(secret));
    assert_int_equal(request.as.join.request_len, 5);
    assert_memory_equal(request.as.join.request, "\0der\xff", 5);
    assert_string_equal(request.as.join.region, "欧洲-1");
    assert_string_equal(request.as.join.version, "1.0");
}

static void a_join_may_leave_the_region_to_its_token(void **state)
{
    struct wire_request join = a_join();
    (void)state;

    join.as.join.region = NULL;
    assert_int_equal(walk(&join), PROBER_OK);
    assert_string_equal(request.as.join.region, "");
}

static void a_join_out_of_bounds_is_neither_sent_nor_taken(void **state)
{
    struct wire_request join = a_join();
    struct strbuf body = STRBUF_INIT;
    (void)state;

    join.as.join.secret = NULL;
    assert_int_equal(walk(&join), PROBER_ERR_RANGE);
    put_field(&body, 1, secret, 15);
    given_request(WIRE_JOIN, &body);
    refuse("join.secret: 15 bytes instead of 16");

    put_field(&body, 1, secret, 16);
    given_request(WIRE_JOIN, &body);
    refuse("join.request: 0 is out of range, 1 to 4096 allowed");
    join = a_join();
    join.as.join.request = (const uint8_t *)big;
    join.as.join.request_len = WIRE_CERTIFICATE_REQUEST_MAX + 1;
    assert_int_equal(walk(&join), PROBER_ERR_RANGE);
    join.as.join.request_len--;
    assert_int_equal(walk(&join), PROBER_OK);

    put_field(&body, 1, secret, 16);
    put_text(&body, 2, "der");
    put_text(&body, 3, "a\nb");
    given_request(WIRE_JOIN, &body);
    refuse("join.region: too long, or not valid UTF-8 text");
    put_field(&body, 1, secret, 16);
    put_text(&body, 2, "der");
    put_field(&body, 4, big, WIRE_TEXT_MAX + 1);
    given_request(WIRE_JOIN, &body);
    refuse("join.version: not valid text, or too long");
}

static void a_renewal_arrives_as_it_was_sent(void **state)
{
    struct wire_request renew = a_request(WIRE_RENEW);
    struct strbuf body = STRBUF_INIT;
    (void)state;

    renew.as.renew = (struct wire_renew){(const uint8_t *)big, WIRE_CERTIFICATE_REQUEST_MAX};
    assert_int_equal(walk(&renew), PROBER_OK);
    assert_int_equal(request.call, WIRE_RENEW);
    assert_int_equal(request.as.renew.request_len, WIRE_CERTIFICATE_REQUEST_MAX);
    put_field(&body, 1, big, WIRE_CERTIFICATE_REQUEST_MAX + 1);
    given_request(WIRE_RENEW, &body);
    refuse("renew.request: 4097 is out of range, 1 to 4096 allowed");
}

static void certificates_arrive_with_their_line_ends(void **state)
{
    static const char pem[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    struct wire_reply answer = a_reply(WIRE_JOIN);
    (void)state;

    answer.as.join.certificate = pem;
    assert_int_equal(walk_reply(&answer), PROBER_OK);
    assert_int_equal(reply.call, WIRE_JOIN);
    assert_string_equal(reply.as.join.certificate, pem);
    answer = a_reply(WIRE_RENEW);
    answer.as.renew.certificate = pem;
    assert_int_equal(walk_reply(&answer), PROBER_OK);
    assert_int_equal(reply.call, WIRE_RENEW);
    assert_string_equal(reply.as.renew.certificate, pem);
}

static void a_certificate_out_of_bounds_is_neither_sent_nor_taken(void **state)
{
    struct wire_reply answer = a_reply(WIRE_JOIN);
    struct strbuf body = STRBUF_INIT;
    (void)state;

    assert_int_equal(walk_reply(&answer), PROBER_ERR_RANGE);
    answer.as.join.certificate = "tab\t";
    assert_int_equal(walk_reply(&answer), PROBER_ERR_RANGE);
    given_reply(WIRE_JOIN, &body);
    refuse_reply("join.certificate: empty, too long, or not valid text");
    put_field(&body, 1, big, WIRE_CERTIFICATE_MAX + 1);
    given_reply(WIRE_RENEW, &body);
    refuse_reply("renew.certificate: empty, too long, or not valid text");
    put_field(&body, 1, big, WIRE_CERTIFICATE_MAX);
    given_reply(WIRE_RENEW, &body);
    assert_int_equal(wire_reply_decode(bytes.bytes, bytes.len, &reply, &why), PROBER_OK);
}

/* ---- tasks of a sync ---- */

static void tasks_and_cancels_arrive_beside_a_plan(void **state)
{
    static const struct wire_task tasks[] = {{"t1", "ping -c 3 'a b'", 15, 60000000000},
                                             {"t_2-Z", "\xff", 1, 1}};
    static const char *const cancels[] = {"t0", "t9"};
    struct wire_reply sync = a_reply(WIRE_SYNC);
    (void)state;

    sync.as.sync = (struct wire_sync_reply){.plan_revision = 5,
                                            .has_plan = true,
                                            .tasks = tasks,
                                            .task_count = 2,
                                            .cancels = cancels,
                                            .cancel_count = 2};
    assert_int_equal(walk_reply(&sync), PROBER_OK);
    assert_true(reply.as.sync.has_plan);
    assert_int_equal(reply.as.sync.task_count, 2);
    assert_string_equal(reply.as.sync.tasks[0].id, "t1");
    assert_int_equal(reply.as.sync.tasks[0].line_len, 15);
    assert_memory_equal(reply.as.sync.tasks[0].line, "ping -c 3 'a b'", 15);
    assert_int_equal(reply.as.sync.tasks[0].deadline_ns, 60000000000);
    assert_string_equal(reply.as.sync.tasks[1].id, "t_2-Z");
    assert_int_equal(reply.as.sync.cancel_count, 2);
    assert_string_equal(reply.as.sync.cancels[1], "t9");
}

static void given_task(const char *id, const char *line, size_t len, uint64_t deadline_ns)
{
    struct strbuf task = STRBUF_INIT, body = STRBUF_INIT;

    put_text(&task, 1, id);
    put_field(&task, 2, line, len);
    put_number(&task, 3, deadline_ns);
    put_body(&body, 3, &task);
    given_reply(WIRE_SYNC, &body);
}

static void a_task_out_of_bounds_is_refused_by_its_field(void **state)
{
    (void)state;
    given_task("", "x", 1, 1);
    refuse_reply("sync.tasks.id: not 1 to 63 letters, digits, '-' or '_'");
    given_task("../x", "x", 1, 1);
    refuse_reply("sync.tasks.id: not 1 to 63 letters, digits, '-' or '_'");
    given_task("a", "", 0, 1);
    refuse_reply("sync.tasks.line: 0 is out of range, 1 to 4096 allowed");
    given_task("a", big, WIRE_TASK_LINE_MAX + 1, 1);
    refuse_reply("sync.tasks.line: 4097 is out of range, 1 to 4096 allowed");
    given_task("a", "x\0y", 3, 1);
    refuse_reply("sync.tasks.line: holds a NUL byte");
    given_task("a", "x", 1, 0);
    refuse_reply("sync.tasks.deadline_ns: 0 is out of range, 1 to 86400000000000 allowed");
    given_task("a", "x", 1, UINT64_MAX);
    refuse_reply("sync.tasks.deadline_ns: 18446744073709551615 is out of range, 1 to "
                 "86400000000000 allowed");
    given_task("a", big, WIRE_TASK_LINE_MAX, WIRE_TASK_DEADLINE_MAX_NS);
    assert_int_equal(wire_reply_decode(bytes.bytes, bytes.len, &reply, &why), PROBER_OK);
}

static void ids_of_tasks_are_short_words(void **state)
{
    char id[WIRE_TASK_ID_MAX + 2];
    (void)state;

    memset(id, 'a', sizeof(id));
    id[WIRE_TASK_ID_MAX] = '\0';
    assert_true(wire_task_id_is_valid(id));
    id[WIRE_TASK_ID_MAX] = 'a';
    id[WIRE_TASK_ID_MAX + 1] = '\0';
    assert_false(wire_task_id_is_valid(id));
    assert_true(wire_task_id_is_valid("-_09azAZ"));
    assert_false(wire_task_id_is_valid(NULL));
    assert_false(wire_task_id_is_valid(""));
    assert_false(wire_task_id_is_valid("a b"));
    assert_false(wire_task_id_is_valid("ä"));
    assert_false(wire_task_id_is_valid("a\n"));
}

static void more_tasks_or_cancels_than_allowed_are_refused(void **state)
{
    static struct wire_task tasks[WIRE_TASKS_MAX + 1];
    static const char *cancels[WIRE_CANCELS_MAX + 1];
    struct wire_reply sync = a_reply(WIRE_SYNC);
    struct strbuf body = STRBUF_INIT;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(tasks); i++)
        tasks[i] = (struct wire_task){"t", "x", 1, 1};
    for (size_t i = 0; i < ARRAY_LEN(cancels); i++)
        cancels[i] = "t";
    sync.as.sync = (struct wire_sync_reply){.tasks = tasks,
                                            .task_count = WIRE_TASKS_MAX,
                                            .cancels = cancels,
                                            .cancel_count = WIRE_CANCELS_MAX};
    assert_int_equal(walk_reply(&sync), PROBER_OK);
    sync.as.sync.task_count++;
    assert_int_equal(walk_reply(&sync), PROBER_ERR_RANGE);
    sync.as.sync.task_count = 0;
    sync.as.sync.cancel_count++;
    assert_int_equal(walk_reply(&sync), PROBER_ERR_RANGE);

    for (size_t i = 0; i <= WIRE_TASKS_MAX; i++)
        put_field(&body, 3, "", 0);
    given_reply(WIRE_SYNC, &body);
    refuse_reply("sync.tasks: 65 of them, 64 allowed");
    for (size_t i = 0; i <= WIRE_CANCELS_MAX; i++)
        put_text(&body, 4, "t");
    given_reply(WIRE_SYNC, &body);
    refuse_reply("sync.cancels: 257 is out of range, 0 to 256 allowed");
    put_text(&body, 4, "a/b");
    given_reply(WIRE_SYNC, &body);
    refuse_reply("sync.cancels: not 1 to 63 letters, digits, '-' or '_'");
}

/* ---- reports of tasks ---- */

static void what_a_task_wrote_arrives_as_it_was_sent(void **state)
{
    struct wire_request report = a_report(WIRE_TASK_RUNNING);
    const struct wire_task_report *got = &request.as.task_report;
    (void)state;

    assert_int_equal(walk(&report), PROBER_OK);
    assert_int_equal(request.call, WIRE_TASK_REPORT);
    assert_string_equal(got->task, "t-1_A");
    assert_int_equal(got->state, WIRE_TASK_RUNNING);
    assert_false(got->has_end);
    assert_int_equal(got->chunk_count, 2);
    assert_int_equal(got->chunks[0].stream, WIRE_TASK_STDOUT);
    assert_int_equal(got->chunks[0].offset, 7);
    assert_int_equal(got->chunks[0].len, 5);
    assert_memory_equal(got->chunks[0].bytes, "out\0\xff", 5);
    assert_int_equal(got->chunks[1].stream, WIRE_TASK_STDERR);
    assert_int_equal(got->chunks[1].offset, 0);
}

static void the_end_of_a_task_arrives_as_it_was_sent(void **state)
{
    struct wire_request report = a_report(WIRE_TASK_ENDED);
    const struct wire_task_end *end = &request.as.task_report.end;
    (void)state;

    assert_int_equal(walk(&report), PROBER_OK);
    assert_true(request.as.task_report.has_end);
    assert_int_equal(end->end, 99);
    assert_int_equal(end->value, -7);
    assert_int_equal(end->duration_ns, 12345678901);
    assert_int_equal(end->left_behind, 2);
    assert_int_equal(end->stdout_length, 12);
    assert_int_equal(end->stderr_length, 3);
    assert_true(end->stdout_total == UINT64_MAX);
    assert_int_equal(end->stderr_total, 3);
    assert_string_equal(end->text, "ended “well”");
    assert_string_equal(end->notes, "interval\nraised\n");
}

static void a_state_has_an_end_unless_the_task_runs(void **state)
{
    struct wire_request report = a_report(WIRE_TASK_RUNNING);
    struct strbuf body = STRBUF_INIT;
    (void)state;

    report.as.task_report.has_end = true;
    assert_int_equal(walk(&report), PROBER_ERR_RANGE);
    for (uint32_t s = WIRE_TASK_ENDED; s <= WIRE_TASK_RAN_BEFORE; s++) {
        report = a_report(s);
        assert_int_equal(walk(&report), PROBER_OK);
        report.as.task_report.has_end = false;
        assert_int_equal(walk(&report), PROBER_ERR_RANGE);
    }
    put_text(&body, 1, "t");
    put_number(&body, 2, WIRE_TASK_RUNNING);
    put_field(&body, 4, "", 0);
    given_request(WIRE_TASK_REPORT, &body);
    refuse("task_report.end: a running task has none");
    put_text(&body, 1, "t");
    put_number(&body, 2, WIRE_TASK_INTERRUPTED);
    given_request(WIRE_TASK_REPORT, &body);
    refuse("task_report.end: none");
}

static void given_chunk(uint64_t stream, uint64_t offset, size_t len)
{
    struct strbuf chunk = STRBUF_INIT, body = STRBUF_INIT;

    put_number(&chunk, 1, stream);
    put_number(&chunk, 2, offset);
    put_field(&chunk, 3, big, len);
    put_text(&body, 1, "t");
    put_number(&body, 2, WIRE_TASK_RUNNING);
    put_body(&body, 3, &chunk);
    given_request(WIRE_TASK_REPORT, &body);
}

static void a_chunk_out_of_bounds_is_refused_by_its_field(void **state)
{
    (void)state;
    given_chunk(0, 0, 1);
    refuse("task_report.chunks.stream: 0 is out of range, 1 to 2 allowed");
    given_chunk(3, 0, 1);
    refuse("task_report.chunks.stream: 3 is out of range, 1 to 2 allowed");
    given_chunk(1, 0, 0);
    refuse("task_report.chunks.bytes: 0 is out of range, 1 to 262144 allowed");
    given_chunk(1, 0, WIRE_TASK_CHUNK_BYTES_MAX + 1);
    refuse("task_report.chunks.bytes: 262145 is out of range, 1 to 262144 allowed");
    given_chunk(2, WIRE_TASK_STREAM_MAX, 1);
    refuse("task_report.chunks.offset: 67108864 is out of range, 0 to 67108863 allowed");
    given_chunk(2, UINT64_MAX, 1);
    refuse("task_report.chunks.offset: 18446744073709551615 is out of range, 0 to 67108863 "
           "allowed");
    given_chunk(2, WIRE_TASK_STREAM_MAX - 1, 1);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why), PROBER_OK);
}

static void the_bytes_of_all_chunks_are_bounded_together(void **state)
{
    struct wire_task_chunk chunks[WIRE_TASK_CHUNKS_MAX + 1];
    struct wire_request report = a_report(WIRE_TASK_RUNNING);
    struct strbuf body = STRBUF_INIT;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(chunks); i++)
        chunks[i] = (struct wire_task_chunk){WIRE_TASK_STDOUT, 0, big,
                                             WIRE_TASK_CHUNK_BYTES_MAX / WIRE_TASK_CHUNKS_MAX};
    report.as.task_report.chunks = chunks;
    report.as.task_report.chunk_count = WIRE_TASK_CHUNKS_MAX;
    assert_int_equal(walk(&report), PROBER_OK);
    assert_int_equal(request.as.task_report.chunk_count, WIRE_TASK_CHUNKS_MAX);
    chunks[0].len++;
    assert_int_equal(walk(&report), PROBER_ERR_RANGE);
    chunks[0].len = SIZE_MAX;
    assert_int_equal(walk(&report), PROBER_ERR_RANGE);
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++)
        chunks[i].len = 1;
    report.as.task_report.chunk_count++;
    assert_int_equal(walk(&report), PROBER_ERR_RANGE);

    put_text(&body, 1, "t");
    for (size_t i = 0; i <= WIRE_TASK_CHUNKS_MAX; i++)
        put_field(&body, 3, "", 0);
    given_request(WIRE_TASK_REPORT, &body);
    refuse("task_report.chunks: 17 of them, 16 allowed");
}

static void given_end(unsigned field, uint64_t value, const char *text, size_t len)
{
    struct strbuf end = STRBUF_INIT, body = STRBUF_INIT;

    if (text)
        put_field(&end, field, text, len);
    else
        put_number(&end, field, value);
    put_text(&body, 1, "t");
    put_number(&body, 2, WIRE_TASK_ENDED);
    put_body(&body, 4, &end);
    given_request(WIRE_TASK_REPORT, &body);
}

static void an_end_out_of_bounds_is_refused_by_its_field(void **state)
{
    (void)state;
    given_end(3, WIRE_DURATION_MAX_NS + 1, NULL, 0);
    refuse("task_report.end.duration_ns: 31622400000000001 is out of range, 0 to "
           "31622400000000000 allowed");
    given_end(5, WIRE_TASK_STREAM_MAX + 1, NULL, 0);
    refuse("task_report.end.stdout_length: 67108865 is out of range, 0 to 67108864 allowed");
    given_end(6, WIRE_TASK_STREAM_MAX + 1, NULL, 0);
    refuse("task_report.end.stderr_length: 67108865 is out of range, 0 to 67108864 allowed");
    given_end(9, 0, "two\nlines", 9);
    refuse("task_report.end.text: not valid text, or too long");
    given_end(9, 0, big, WIRE_MESSAGE_MAX + 1);
    refuse("task_report.end.text: not valid text, or too long");
    given_end(10, 0, "\x1b[31m", 5);
    refuse("task_report.end.notes: not valid text, or too long");
    given_end(10, 0, big, WIRE_TASK_NOTES_MAX + 1);
    refuse("task_report.end.notes: not valid text, or too long");
    given_end(10, 0, big, WIRE_TASK_NOTES_MAX);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why), PROBER_OK);
}

static void a_report_of_no_task_or_state_is_refused(void **state)
{
    struct wire_request report = a_report(WIRE_TASK_RUNNING);
    struct strbuf body = STRBUF_INIT;
    (void)state;

    given_request(WIRE_TASK_REPORT, &body);
    refuse("task_report.task: not 1 to 63 letters, digits, '-' or '_'");
    put_text(&body, 1, "t");
    given_request(WIRE_TASK_REPORT, &body);
    refuse("task_report.state: 0 is out of range, 1 to 5 allowed");
    report.as.task_report.state = 6;
    assert_int_equal(walk(&report), PROBER_ERR_RANGE);
    report = a_report(WIRE_TASK_RUNNING);
    report.as.task_report.task = NULL;
    assert_int_equal(walk(&report), PROBER_ERR_RANGE);
}

static void the_answer_to_a_report_tells_what_the_server_has(void **state)
{
    struct wire_reply answer = a_reply(WIRE_TASK_REPORT);
    struct strbuf body = STRBUF_INIT;
    (void)state;

    answer.as.task_report = (struct wire_task_report_reply){WIRE_TASK_AGAIN, 262144, 7};
    assert_int_equal(walk_reply(&answer), PROBER_OK);
    assert_int_equal(reply.call, WIRE_TASK_REPORT);
    assert_int_equal(reply.as.task_report.outcome, WIRE_TASK_AGAIN);
    assert_int_equal(reply.as.task_report.stdout_have, 262144);
    assert_int_equal(reply.as.task_report.stderr_have, 7);
    put_number(&body, 1, 3);
    given_reply(WIRE_TASK_REPORT, &body);
    refuse_reply("task_report.outcome: 3 is not known");
}

static void a_join_beside_another_call_is_refused(void **state)
{
    struct strbuf body = STRBUF_INIT;
    (void)state;

    given_request(WIRE_JOIN, &body);
    put_field(&bytes, WIRE_TASK_REPORT, "", 0);
    refuse("the message holds more than one call");
    given_reply(WIRE_HELLO, &body);
    put_field(&bytes, WIRE_RENEW, "", 0);
    refuse_reply("the message holds more than one call");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(a_join_arrives_as_it_was_sent),
        TEST(a_join_may_leave_the_region_to_its_token),
        TEST(a_join_out_of_bounds_is_neither_sent_nor_taken),
        TEST(a_renewal_arrives_as_it_was_sent),
        TEST(certificates_arrive_with_their_line_ends),
        TEST(a_certificate_out_of_bounds_is_neither_sent_nor_taken),
        TEST(tasks_and_cancels_arrive_beside_a_plan),
        TEST(a_task_out_of_bounds_is_refused_by_its_field),
        TEST(ids_of_tasks_are_short_words),
        TEST(more_tasks_or_cancels_than_allowed_are_refused),
        TEST(what_a_task_wrote_arrives_as_it_was_sent),
        TEST(the_end_of_a_task_arrives_as_it_was_sent),
        TEST(a_state_has_an_end_unless_the_task_runs),
        TEST(a_chunk_out_of_bounds_is_refused_by_its_field),
        TEST(the_bytes_of_all_chunks_are_bounded_together),
        TEST(an_end_out_of_bounds_is_refused_by_its_field),
        TEST(a_report_of_no_task_or_state_is_refused),
        TEST(the_answer_to_a_report_tells_what_the_server_has),
        TEST(a_join_beside_another_call_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
