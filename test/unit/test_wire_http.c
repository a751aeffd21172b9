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

static int set_up(void **state)
{
    (void)state;
    memset(&why, 0, sizeof(why));
    memset(&request, 0, sizeof(request));
    memset(&reply, 0, sizeof(reply));
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

/* ---- givens ---- */

static const uint32_t targets[] = {0, 300, 70000};

static struct wire_request a_report(uint32_t kind)
{
    struct wire_request r = {.protocol = WIRE_PROTOCOL, .call = WIRE_REPORT};

    r.as.report = (struct wire_report){.sequence = 9,
                                       .window_ns = 1000000000,
                                       .age_ns = 120,
                                       .target = targets,
                                       .rows = ARRAY_LEN(targets),
                                       .kind = kind};
    return r;
}

static enum prober_error walk(const struct wire_request *from)
{
    strbuf_clear(&bytes);
    assert_int_equal(wire_request_encode(from, &bytes), PROBER_OK);
    wire_request_free(&request);
    return wire_request_decode(bytes.bytes, bytes.len, &request, &why);
}

static enum prober_error walk_plan(const struct wire_plan_entry *entries, size_t count)
{
    struct wire_reply sync = {.protocol = WIRE_PROTOCOL, .message = "", .call = WIRE_SYNC};
    enum prober_error err;

    sync.as.sync =
        (struct wire_sync_reply){.plan_revision = 1, .has_plan = true, .plan = {entries, count}};
    strbuf_clear(&bytes);
    err = wire_reply_encode(&sync, &bytes);
    if (err)
        return err;
    wire_reply_free(&reply);
    return wire_reply_decode(bytes.bytes, bytes.len, &reply, &why);
}

static char *a_block(size_t len)
{
    char *block = malloc(len + 1);

    memset(block, 'x', len);
    block[len] = '\0';
    return block;
}

static void put_field(struct strbuf *b, unsigned field, const void *content, size_t len)
{
    strbuf_putc(b, (char)(field << 3 | 2));
    strbuf_putc(b, (char)len);
    strbuf_put(b, content, len);
}

/* A report of three rows, of `kind`, whose field `columns` is content[len]. */
static void given_columns(char kind, unsigned columns, const char *content, size_t len)
{
    static const uint8_t id[PROBER_ID_LEN];
    struct strbuf body = STRBUF_INIT;

    strbuf_put(&body, "\x08\x01\x18\x01", 4); /* sequence and window_ns */
    put_field(&body, 6, "\x01\x02\x03", 3);
    put_field(&body, columns, content, len);
    strbuf_putc(&body, 13 << 3);
    strbuf_putc(&body, kind);
    strbuf_clear(&bytes);
    strbuf_put(&bytes, "\x08\x01", 2);
    put_field(&bytes, 2, id, sizeof(id));
    put_field(&bytes, 3, id, sizeof(id));
    put_field(&bytes, 12, body.bytes, body.len);
    strbuf_free(&body);
}

static void refuse(const char *text)
{
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why),
                     PROBER_ERR_PROTOCOL);
    assert_string_equal(why.text, text);
    assert_null(request.memory);
}

/* ---- reports ---- */

static void every_http_column_arrives_in_its_place(void **state)
{
    static uint32_t narrow[7][3];
    static uint64_t wide[12][3];
    struct wire_request report = a_report(WIRE_KIND_HTTP);
    struct wire_http_columns *http = &report.as.report.http;
    size_t n = 0, w = 0;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(narrow); i++)
        for (size_t k = 0; k < 3; k++)
            narrow[i][k] = (uint32_t)(1 + i + 1000 * k);
    for (size_t i = 0; i < ARRAY_LEN(wide); i++)
        for (size_t k = 0; k < 3; k++)
            wide[i][k] = UINT64_MAX - i - 1000 * k;
    http->reason = narrow[n++];
    http->status = narrow[n++];
    http->version = narrow[n++];
    http->tls_version = narrow[n++];
    http->redirects = narrow[n++];
    http->dns_answers = narrow[n++];
    http->unsent_late = narrow[n++];
    http->resolve_ns = wide[w++];
    http->connect_ns = wide[w++];
    http->tls_ns = wide[w++];
    http->processing_ns = wide[w++];
    http->transfer_ns = wide[w++];
    http->duration_ns = wide[w++];
    http->content_length = wide[w++];
    http->body_received = wide[w++];
    http->body_decoded = wide[w++];
    http->earliest_cert_expiry = wide[w++];
    http->last_chain_expiry = wide[w++];
    http->age_ns = wide[w++];
    assert_int_equal(w, ARRAY_LEN(wide));
    assert_int_equal(walk(&report), PROBER_OK);

    assert_int_equal(request.as.report.kind, WIRE_KIND_HTTP);
    assert_int_equal(request.as.report.rows, 3);
    assert_memory_equal(request.as.report.target, targets, sizeof(targets));
#define SAME(type, name)                                                                           \
    assert_memory_equal(request.as.report.http.name, http->name, 3 * sizeof(type));
    WIRE_HTTP_COLUMNS(SAME)
#undef SAME
}

static void http_columns_that_are_left_out_count_as_zeros(void **state)
{
    struct wire_request report = a_report(WIRE_KIND_HTTP);
    (void)state;

    assert_int_equal(walk(&report), PROBER_OK);
    assert_int_equal(request.as.report.kind, WIRE_KIND_HTTP);
    assert_int_equal(request.as.report.rows, 3);
    assert_null(request.as.report.http.reason);
    assert_null(request.as.report.http.age_ns);
}

static void a_report_that_names_no_kind_is_one_of_icmp(void **state)
{
    struct wire_request report = a_report(0);
    (void)state;

    assert_int_equal(walk(&report), PROBER_OK);
    assert_int_equal(request.as.report.kind, WIRE_KIND_ICMP);
}

static void only_the_columns_of_its_kind_are_sent(void **state)
{
    static const uint32_t counts[] = {1, 2, 3};
    struct wire_request report = a_report(WIRE_KIND_HTTP);
    (void)state;

    report.as.report.http.status = counts;
    report.as.report.icmp.sent = counts;
    assert_int_equal(walk(&report), PROBER_OK);
    assert_null(request.as.report.icmp.sent);
    assert_memory_equal(request.as.report.http.status, counts, sizeof(counts));
    report.as.report.kind = WIRE_KIND_ICMP;
    assert_int_equal(walk(&report), PROBER_OK);
    assert_null(request.as.report.http.status);
    assert_memory_equal(request.as.report.icmp.sent, counts, sizeof(counts));
}

static void columns_of_another_kind_are_refused(void **state)
{
    (void)state;
    given_columns(WIRE_KIND_HTTP, 10, "\x0a\x03\x01\x01\x01", 5);
    refuse("report.kind: columns of another kind than 2");
    given_columns(WIRE_KIND_ICMP, 12, "\x0a\x03\x01\x01\x01", 5);
    refuse("report.kind: columns of another kind than 1");
    given_columns(0, 12, "", 0);
    refuse("report.kind: columns of another kind than 1");
    given_columns(3, 12, "", 0);
    refuse("report.kind: columns of another kind than 3");
}

static void an_http_column_of_another_length_than_the_rows_is_refused(void **state)
{
    (void)state;
    given_columns(WIRE_KIND_HTTP, 12, "\x12\x02\x01\x01", 4);
    refuse("report.http.status: 2 values instead of 3");
    given_columns(WIRE_KIND_HTTP, 12, "\x12\x04\x01\x01\x01\x01", 6);
    refuse("report.http.status: 4 values instead of 3");
    given_columns(WIRE_KIND_HTTP, 12, "\x12\x00", 2);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why), PROBER_OK);
    assert_null(request.as.report.http.status);
}

static void a_report_of_a_later_kind_is_left_to_the_caller(void **state)
{
    (void)state;
    given_columns(3, 14, "later", 5);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why), PROBER_OK);
    assert_int_equal(request.as.report.kind, 3);
    assert_int_equal(request.as.report.rows, 3);
}

static void the_largest_http_report_passes(void **state)
{
    static uint32_t many[WIRE_REPORT_ROWS_MAX];
    static uint64_t wide[WIRE_REPORT_ROWS_MAX];
    struct wire_request report = a_report(WIRE_KIND_HTTP);
    struct wire_http_columns *http = &report.as.report.http;
    (void)state;

    memset(many, 0xff, sizeof(many));
    memset(wide, 0xff, sizeof(wide));
    report.as.report.target = many;
    report.as.report.rows = WIRE_REPORT_ROWS_MAX;
#define FILL_uint32_t many
#define FILL_uint64_t wide
#define FILL(type, name) http->name = FILL_##type;
    WIRE_HTTP_COLUMNS(FILL)
#undef FILL
    assert_int_equal(walk(&report), PROBER_OK);
    assert_int_equal(request.as.report.rows, WIRE_REPORT_ROWS_MAX);
}

/* ---- plans ---- */

static void an_http_entry_arrives_as_it_was_sent(void **state)
{
    static const char *const some[] = {"https://example.com/", "example.org"};
    static const struct wire_plan_entry entries[] = {
        {.kind = WIRE_KIND_HTTP,
         .region = "eu-west",
         .targets = some,
         .target_count = 2,
         .http = {"{\"method\":\"POST\",\"body\":\"\x7f 华东\"}", 5000000000}},
        {.kind = WIRE_KIND_ICMP, .region = "r", .icmp = {56, 64, 0, 0, 4}},
        {.kind = WIRE_KIND_HTTP, .region = "r"}};
    (void)state;

    assert_int_equal(walk_plan(entries, 3), PROBER_OK);
    assert_int_equal(reply.as.sync.plan.entries[0].kind, WIRE_KIND_HTTP);
    assert_string_equal(reply.as.sync.plan.entries[0].targets[1], "example.org");
    assert_string_equal(reply.as.sync.plan.entries[0].http.block, entries[0].http.block);
    assert_int_equal(reply.as.sync.plan.entries[0].http.timeout_ns, 5000000000);
    assert_int_equal(reply.as.sync.plan.entries[1].icmp.payload_size, 56);
    assert_string_equal(reply.as.sync.plan.entries[1].http.block, "");
    assert_string_equal(reply.as.sync.plan.entries[2].http.block, "");
    assert_int_equal(reply.as.sync.plan.entries[2].http.timeout_ns, 0);
}

static void a_block_passes_up_to_its_bound(void **state)
{
    char *block = a_block(WIRE_HTTP_BLOCK_MAX + 1);
    struct wire_plan_entry entry = {
        .kind = WIRE_KIND_HTTP, .region = "r", .http = {.block = block}};
    (void)state;

    assert_int_equal(walk_plan(&entry, 1), PROBER_ERR_RANGE);
    block[WIRE_HTTP_BLOCK_MAX] = '\0';
    assert_int_equal(walk_plan(&entry, 1), PROBER_OK);
    assert_int_equal(strlen(reply.as.sync.plan.entries[0].http.block), WIRE_HTTP_BLOCK_MAX);
    free(block);
}

static void a_block_that_is_no_text_is_not_sent(void **state)
{
    struct wire_plan_entry entry = {
        .kind = WIRE_KIND_HTTP, .region = "r", .http = {.block = "{\"body\":\"\xff\"}"}};
    (void)state;

    assert_int_equal(walk_plan(&entry, 1), PROBER_ERR_RANGE);
    entry.http = (struct wire_http_spec){"{}", WIRE_DURATION_MAX_NS + 1};
    assert_int_equal(walk_plan(&entry, 1), PROBER_ERR_RANGE);
}

static void blocks_that_are_too_much_together_are_not_sent(void **state)
{
    char *block = a_block(WIRE_HTTP_BLOCK_MAX);
    struct wire_plan_entry entries[17];
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(entries); i++)
        entries[i] = (struct wire_plan_entry){
            .kind = WIRE_KIND_HTTP, .region = "r", .http = {.block = block}};
    assert_int_equal(walk_plan(entries, 15), PROBER_OK);
    assert_int_equal(walk_plan(entries, 17), PROBER_ERR_RANGE);
    free(block);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_http_column_arrives_in_its_place),
        TEST(http_columns_that_are_left_out_count_as_zeros),
        TEST(a_report_that_names_no_kind_is_one_of_icmp),
        TEST(only_the_columns_of_its_kind_are_sent),
        TEST(columns_of_another_kind_are_refused),
        TEST(an_http_column_of_another_length_than_the_rows_is_refused),
        TEST(a_report_of_a_later_kind_is_left_to_the_caller),
        TEST(the_largest_http_report_passes),
        TEST(an_http_entry_arrives_as_it_was_sent),
        TEST(a_block_passes_up_to_its_bound),
        TEST(a_block_that_is_no_text_is_not_sent),
        TEST(blocks_that_are_too_much_together_are_not_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
