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

static struct prober_id an_id(uint8_t first)
{
    struct prober_id id;

    for (unsigned i = 0; i < PROBER_ID_LEN; i++)
        id.bytes[i] = (uint8_t)(first + i);
    return id;
}

static struct wire_request a_request(enum wire_call call)
{
    return (struct wire_request){
        .protocol = WIRE_PROTOCOL, .agent_id = an_id(1), .boot_id = an_id(0xf0), .call = call};
}

static struct wire_reply a_reply(enum wire_call call)
{
    return (struct wire_reply){
        .protocol = WIRE_PROTOCOL, .server_boot_id = an_id(7), .message = "", .call = call};
}

static struct wire_request a_hello(void)
{
    static const char *const addresses[] = {"192.0.2.7", "2001:db8::7"};
    static const char *const capabilities[] = {"icmp"};
    struct wire_request hello = a_request(WIRE_HELLO);

    hello.as.hello = (struct wire_hello){.region = "cn-shanghai",
                                         .version = "1.0.0",
                                         .os = "linux",
                                         .architecture = "amd64",
                                         .address_mode = WIRE_ADDRESS_PUBLIC,
                                         .addresses = addresses,
                                         .address_count = 2,
                                         .probe_interval_ns = 15000000000,
                                         .probe_timeout_ns = 3000000000,
                                         .capabilities = capabilities,
                                         .capability_count = 1};
    return hello;
}

static const uint32_t targets[] = {0, 300, 70000};

static struct wire_request a_report(void)
{
    struct wire_request report = a_request(WIRE_REPORT);

    report.as.report = (struct wire_report){.sequence = 9,
                                            .window = 3,
                                            .window_ns = 15000000000,
                                            .age_ns = 120,
                                            .target = targets,
                                            .rows = ARRAY_LEN(targets)};
    return report;
}

static void encode(const struct wire_request *from)
{
    strbuf_clear(&bytes);
    assert_int_equal(wire_request_encode(from, &bytes), PROBER_OK);
}

static void walk(const struct wire_request *from)
{
    encode(from);
    wire_request_free(&request);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why), PROBER_OK);
}

static void walk_reply(const struct wire_reply *from)
{
    strbuf_clear(&bytes);
    assert_int_equal(wire_reply_encode(from, &bytes), PROBER_OK);
    wire_reply_free(&reply);
    assert_int_equal(wire_reply_decode(bytes.bytes, bytes.len, &reply, &why), PROBER_OK);
}

static void refuse(const char *text)
{
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why),
                     PROBER_ERR_PROTOCOL);
    assert_string_equal(why.text, text);
    assert_null(request.memory);
}

/* Protobuf by hand: a varint, and a length-delimited field. */
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

static void put_number(struct strbuf *b, unsigned field, uint64_t value)
{
    put_varint(b, field << 3);
    put_varint(b, value);
}

static void given_a_bare_request(void)
{
    strbuf_clear(&bytes);
    put_number(&bytes, 1, WIRE_PROTOCOL);
    put_field(&bytes, 2, an_id(1).bytes, PROBER_ID_LEN);
    put_field(&bytes, 3, an_id(2).bytes, PROBER_ID_LEN);
}

/* ---- requests ---- */

static void a_hello_arrives_as_it_was_sent(void **state)
{
    struct wire_request hello = a_hello();
    (void)state;

    walk(&hello);
    assert_int_equal(request.protocol, WIRE_PROTOCOL);
    assert_memory_equal(&request.agent_id, &hello.agent_id, sizeof(hello.agent_id));
    assert_memory_equal(&request.boot_id, &hello.boot_id, sizeof(hello.boot_id));
    assert_int_equal(request.call, WIRE_HELLO);
    assert_string_equal(request.as.hello.region, "cn-shanghai");
    assert_string_equal(request.as.hello.version, "1.0.0");
    assert_string_equal(request.as.hello.os, "linux");
    assert_string_equal(request.as.hello.architecture, "amd64");
    assert_int_equal(request.as.hello.address_mode, WIRE_ADDRESS_PUBLIC);
    assert_int_equal(request.as.hello.address_count, 2);
    assert_string_equal(request.as.hello.addresses[1], "2001:db8::7");
    assert_int_equal(request.as.hello.probe_interval_ns, 15000000000);
    assert_int_equal(request.as.hello.probe_timeout_ns, 3000000000);
    assert_int_equal(request.as.hello.capability_count, 1);
    assert_string_equal(request.as.hello.capabilities[0], "icmp");
}

static void a_sync_arrives_as_it_was_sent(void **state)
{
    struct wire_request sync = a_request(WIRE_SYNC);
    (void)state;

    sync.as.sync = (struct wire_sync){UINT64_MAX, 2, 3};
    walk(&sync);
    assert_int_equal(request.call, WIRE_SYNC);
    assert_true(request.as.sync.plan_revision == UINT64_MAX);
    assert_int_equal(request.as.sync.spool_reports, 2);
    assert_int_equal(request.as.sync.spool_dropped, 3);
}

static void an_empty_sync_is_a_sync_all_the_same(void **state)
{
    struct wire_request sync = a_request(WIRE_SYNC);
    (void)state;

    walk(&sync);
    assert_int_equal(request.call, WIRE_SYNC);
}

static void every_column_of_a_report_arrives_in_its_place(void **state)
{
    static const uint32_t bins[] = {2, 0, 1}, steps[] = {608, 1, 12}, bin_counts[] = {60, 4, 65535};
    uint32_t counts[32][3];
    uint64_t wide[7][3];
    struct wire_request report = a_report();
    struct wire_icmp_columns *icmp = &report.as.report.icmp;
    size_t n = 0;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        for (size_t k = 0; k < 3; k++)
            counts[i][k] = (uint32_t)(1 + i + 1000 * k);
    for (size_t i = 0; i < ARRAY_LEN(wide); i++)
        for (size_t k = 0; k < 3; k++)
            wide[i][k] = (UINT64_C(1) << (8 * (i + 1))) - 1 - k;
#define GIVE(name, help) icmp->name = counts[n++];
    ICMP_COUNTS(GIVE)
#undef GIVE
    icmp->rtt_sum_ns = wide[0];
    icmp->rtt_square_low = wide[1];
    icmp->rtt_square_high = wide[2];
    icmp->rtt_min_ns = wide[3];
    icmp->rtt_max_ns = wide[4];
    icmp->jitter_ns = wide[5];
    icmp->resolve_ns = wide[6];
    icmp->histogram_bins = bins;
    icmp->bin_step = steps;
    icmp->bin_count = bin_counts;
    icmp->bin_total = 3;
    walk(&report);

    assert_int_equal(request.as.report.rows, 3);
    assert_memory_equal(request.as.report.target, targets, sizeof(targets));
#define SAME(name)                                                                                 \
    assert_memory_equal(request.as.report.icmp.name, icmp->name, 3 * sizeof(*icmp->name));
#define SAME_COUNT(name, help) SAME(name)
    ICMP_COUNTS(SAME_COUNT)
    SAME(rtt_sum_ns)
    SAME(rtt_square_low)
    SAME(rtt_square_high)
    SAME(rtt_min_ns)
    SAME(rtt_max_ns)
    SAME(jitter_ns)
    SAME(resolve_ns)
    SAME(histogram_bins)
    SAME(bin_step)
    SAME(bin_count)
#undef SAME_COUNT
#undef SAME
    assert_int_equal(request.as.report.icmp.bin_total, 3);
}

static void a_report_arrives_with_names_and_arrivals(void **state)
{
    static const struct wire_target_name names[] = {
        {0, WIRE_KIND_ICMP, "eu-west", "192.0.2.1", false},
        {70000, WIRE_KIND_ICMP, "华东1", "example.com", true}};
    static const uint32_t sender[] = {4, 5}, window[] = {65535, 0}, count[] = {64, 63};
    struct wire_request report = a_report();
    (void)state;

    report.as.report.names = names;
    report.as.report.name_count = 2;
    report.as.report.arrivals = (struct wire_arrivals){sender, window, count, 2};
    walk(&report);
    assert_int_equal(request.as.report.sequence, 9);
    assert_int_equal(request.as.report.window, 3);
    assert_int_equal(request.as.report.window_ns, 15000000000);
    assert_int_equal(request.as.report.age_ns, 120);
    assert_int_equal(request.as.report.name_count, 2);
    assert_int_equal(request.as.report.names[1].number, 70000);
    assert_int_equal(request.as.report.names[1].kind, WIRE_KIND_ICMP);
    assert_string_equal(request.as.report.names[1].region, "华东1");
    assert_string_equal(request.as.report.names[1].target, "example.com");
    assert_true(request.as.report.names[1].control);
    assert_int_equal(request.as.report.arrivals.length, 2);
    assert_memory_equal(request.as.report.arrivals.window, window, sizeof(window));
    assert_null(request.as.report.icmp.sent);
}

static void a_report_without_rows_is_fine(void **state)
{
    struct wire_request report = a_report();
    (void)state;

    report.as.report.target = NULL;
    report.as.report.rows = 0;
    walk(&report);
    assert_int_equal(request.as.report.rows, 0);
}

static void a_message_cut_short_anywhere_is_refused_or_lacks_its_call(void **state)
{
    struct wire_request hello = a_hello();
    (void)state;

    encode(&hello);
    for (size_t len = 0; len < bytes.len; len++) {
        char *copy = malloc(len ? len : 1); /* so that a read past the end is seen */
        enum prober_error err;

        memcpy(copy, bytes.bytes, len);
        err = wire_request_decode(copy, len, &request, &why);
        assert_true(err == PROBER_ERR_PROTOCOL || request.call == WIRE_CALL_NONE);
        wire_request_free(&request);
        free(copy);
    }
}

static void an_id_of_another_length_is_refused(void **state)
{
    (void)state;
    strbuf_clear(&bytes);
    put_number(&bytes, 1, 1);
    put_field(&bytes, 2, an_id(1).bytes, 15);
    put_field(&bytes, 3, an_id(1).bytes, 16);
    refuse("agent_id: 15 bytes instead of 16");
    strbuf_clear(&bytes);
    put_number(&bytes, 1, 1);
    put_field(&bytes, 2, an_id(1).bytes, 16);
    refuse("boot_id: 0 bytes instead of 16");
}

static void a_message_without_a_protocol_version_is_refused(void **state)
{
    (void)state;
    strbuf_clear(&bytes);
    put_field(&bytes, 2, an_id(1).bytes, 16);
    put_field(&bytes, 3, an_id(1).bytes, 16);
    refuse("protocol: 0 is out of range, 1 to 4294967295 allowed");
}

static void two_calls_in_one_message_are_refused(void **state)
{
    (void)state;
    given_a_bare_request();
    put_field(&bytes, 11, "", 0);
    put_field(&bytes, 12, "", 0);
    refuse("the message holds more than one call");
}

static void a_call_of_a_later_version_is_none_that_we_know(void **state)
{
    (void)state;
    given_a_bare_request();
    put_number(&bytes, 1, 2); /* the last protocol number counts */
    put_field(&bytes, 99, "\x08\x01", 2);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why), PROBER_OK);
    assert_int_equal(request.protocol, 2);
    assert_int_equal(request.call, WIRE_CALL_NONE);
}

static void fields_of_a_later_version_change_nothing(void **state)
{
    struct wire_request hello = a_hello();
    (void)state;

    encode(&hello);
    put_field(&bytes, 99, "later", 5);
    put_number(&bytes, 5000, 1);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why), PROBER_OK);
    assert_string_equal(request.as.hello.region, "cn-shanghai");
}

static void names_that_are_no_text_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "a\nb",
                                      "\x7f",
                                      "\xc0\x80",
                                      "\xed\xa0\x80",
                                      "\xff",
                                      "\xe5\x8d",
                                      "\xf4\x90\x80\x80",
                                      "\xc2\x85"};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct strbuf hello = STRBUF_INIT;

        put_field(&hello, 1, bad[i], strlen(bad[i]));
        given_a_bare_request();
        put_field(&bytes, 10, hello.bytes, hello.len);
        strbuf_free(&hello);
        refuse("hello.region: empty, too long, or not valid UTF-8 text");
    }
}

static void a_name_is_valid_up_to_its_bound(void **state)
{
    (void)state;
    assert_true(wire_name_is_valid("华东1", 7));
    assert_false(wire_name_is_valid("华东1", 6));
    assert_true(wire_name_is_valid("\xf4\x8f\xbf\xbf", 4));
    assert_true(wire_name_is_valid("\xc2\xa0", 2));
    assert_false(wire_name_is_valid("", 9));
    assert_false(wire_name_is_valid(NULL, 9));
    assert_false(wire_name_is_valid("tab\there", 99));
}

static void more_than_allowed_is_neither_sent_nor_taken(void **state)
{
    const char *addresses[WIRE_ADDRESSES_MAX + 1];
    struct wire_request hello = a_hello(), report = a_report();
    struct strbuf body = STRBUF_INIT;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        addresses[i] = "192.0.2.1";
        put_field(&body, 6, "192.0.2.1", 9);
    }
    put_field(&body, 1, "r", 1);
    put_number(&body, 7, 1);
    put_number(&body, 8, 1);
    given_a_bare_request();
    put_field(&bytes, 10, body.bytes, body.len);
    strbuf_free(&body);
    refuse("hello.addresses: 17 is out of range, 0 to 16 allowed");

    strbuf_clear(&bytes);
    hello.as.hello.addresses = addresses;
    hello.as.hello.address_count = ARRAY_LEN(addresses);
    assert_int_equal(wire_request_encode(&hello, &bytes), PROBER_ERR_RANGE);
    report.as.report.rows = WIRE_REPORT_ROWS_MAX + 1;
    assert_int_equal(wire_request_encode(&report, &bytes), PROBER_ERR_RANGE);
    report = a_report();
    report.as.report.age_ns = WIRE_DURATION_MAX_NS + 1;
    assert_int_equal(wire_request_encode(&report, &bytes), PROBER_ERR_RANGE);
    report = a_report();
    report.as.report.window_ns = 0;
    assert_int_equal(wire_request_encode(&report, &bytes), PROBER_ERR_RANGE);
    report = a_report();
    report.call = (enum wire_call)77;
    assert_int_equal(wire_request_encode(&report, &bytes), PROBER_ERR_RANGE);
    assert_int_equal(bytes.len, 0);
}

static void a_report_of_too_many_rows_is_refused(void **state)
{
    static uint8_t rows[WIRE_REPORT_ROWS_MAX + 1];
    struct strbuf body = STRBUF_INIT;
    (void)state;

    put_number(&body, 1, 1);
    put_field(&body, 6, rows, sizeof(rows));
    given_a_bare_request();
    put_field(&bytes, 12, body.bytes, body.len);
    strbuf_free(&body);
    refuse("report: 4097 rows and 0 names, 4096 allowed");
}

/* A report of three rows whose IcmpColumns are `columns`. */
static void given_columns(const char *columns, size_t len)
{
    struct strbuf body = STRBUF_INIT;

    put_number(&body, 1, 1);
    put_number(&body, 3, 1);
    put_field(&body, 6, "\x01\x02\x03", 3);
    put_field(&body, 10, columns, len);
    given_a_bare_request();
    put_field(&bytes, 12, body.bytes, body.len);
    strbuf_free(&body);
}

#define COLUMNS(text) text, sizeof(text) - 1

static void a_column_of_another_length_than_the_rows_is_refused(void **state)
{
    (void)state;
    given_columns(COLUMNS("\x1a\x02\x01\x01"));
    refuse("report.icmp.doubtful: 2 values instead of 3");
    given_columns(COLUMNS("\x1a\x04\x01\x01\x01\x01"));
    refuse("report.icmp.doubtful: 4 values instead of 3");
}

static void a_column_of_no_values_counts_as_zeros(void **state)
{
    (void)state;
    given_columns(COLUMNS("\x1a\x00"));
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why), PROBER_OK);
    assert_null(request.as.report.icmp.doubtful);
}

static void a_value_cut_short_is_refused(void **state)
{
    (void)state;
    given_columns(COLUMNS("\x1a\x03\x01\x01\x81"));
    refuse("the message is cut short or not protobuf");
}

static void bins_that_do_not_add_up_are_refused(void **state)
{
    (void)state;
    given_columns(COLUMNS("\xc2\x02\x03\x02\x00\x01\xca\x02\x02\x05\x06\xd2\x02\x02\x01\x01"));
    refuse("report.icmp.bin_step: 2 values instead of 3");
    given_columns(COLUMNS("\xc2\x02\x03\x02\x00\x00\xca\x02\x02\x05\x06\xd2\x02\x01\x01"));
    refuse("report.icmp.bin_count: 1 values instead of 2");
    given_columns(COLUMNS("\xc2\x02\x03\x02\x00\x00\xca\x02\x02\x05\x06"));
    refuse("report.icmp: 2 bins, but no values");
    given_columns(COLUMNS("\xca\x02\x02\x05\x06\xd2\x02\x02\x01\x01"));
    refuse("report.icmp.bin_step: 2 values instead of 0");
    given_columns(
        COLUMNS("\xc2\x02\x0f\xff\xff\xff\xff\x0f\xff\xff\xff\xff\x0f\xff\xff\xff\xff\x0f"));
    refuse("report.icmp: 12884901885 bins, but no values");
}

static void arrivals_of_unequal_columns_are_refused(void **state)
{
    struct strbuf body = STRBUF_INIT;
    (void)state;

    put_number(&body, 1, 1);
    put_number(&body, 3, 1);
    put_field(&body, 11, "\x0a\x02\x01\x02\x12\x02\x01\x02\x1a\x01\x01", 11);
    given_a_bare_request();
    put_field(&bytes, 12, body.bytes, body.len);
    strbuf_free(&body);
    refuse("report.arrivals: columns of 2, 2 and 1 values");
}

static void a_small_message_of_countless_parts_is_refused(void **state)
{
    struct strbuf body = STRBUF_INIT;
    (void)state;

    for (unsigned i = 0; i < 1000000; i++)
        put_field(&body, 5, "", 0);
    given_a_bare_request();
    put_field(&bytes, 12, body.bytes, body.len);
    strbuf_free(&body);
    refuse("the message has too many parts");
}

static void a_message_of_more_bytes_than_allowed_is_not_looked_at(void **state)
{
    (void)state;
    strbuf_reserve(&bytes, WIRE_BYTES_MAX + 1);
    memset(bytes.bytes, 0, WIRE_BYTES_MAX + 1);
    bytes.len = WIRE_BYTES_MAX + 1;
    refuse("the message has 4194305 bytes, 4194304 allowed");
}

static void of_a_call_given_twice_the_last_counts(void **state)
{
    (void)state;
    given_a_bare_request();
    put_field(&bytes, 11, "\x08\x01", 2);
    put_field(&bytes, 11, "\x10\x02", 2);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &request, &why), PROBER_OK);
    assert_int_equal(request.as.sync.spool_reports, 2);
}

/* ---- replies ---- */

static void a_reply_to_hello_arrives_as_it_was_sent(void **state)
{
    struct wire_reply hello = a_reply(WIRE_HELLO);
    (void)state;

    hello.as.hello = (struct wire_hello_reply){"0123456789abcdef0123456789abcdef",
                                               "192.0.2.9",
                                               17,
                                               65535,
                                               10000000000,
                                               15000000000,
                                               "1.0.0"};
    walk_reply(&hello);
    assert_memory_equal(&reply.server_boot_id, &hello.server_boot_id, PROBER_ID_LEN);
    assert_int_equal(reply.status, WIRE_OK);
    assert_string_equal(reply.message, "");
    assert_int_equal(reply.call, WIRE_HELLO);
    assert_string_equal(reply.as.hello.server_id, "0123456789abcdef0123456789abcdef");
    assert_string_equal(reply.as.hello.observed_address, "192.0.2.9");
    assert_int_equal(reply.as.hello.agent_number, 17);
    assert_int_equal(reply.as.hello.hint_port, 65535);
    assert_int_equal(reply.as.hello.heartbeat_ns, 10000000000);
    assert_int_equal(reply.as.hello.aggregation_interval_ns, 15000000000);
    assert_string_equal(reply.as.hello.version, "1.0.0");
}

static void a_plan_arrives_as_it_was_sent(void **state)
{
    static const char *const some[] = {"192.0.2.1", "example.com"};
    static const struct wire_plan_entry entries[] = {
        {.kind = WIRE_KIND_ICMP,
         .region = "eu-west",
         .targets = some,
         .target_count = 2,
         .icmp = {56, 64, 15000000, 3000000000, 6}},
        {.kind = WIRE_KIND_ICMP, .region = "r", .control = true}};
    struct wire_reply sync = a_reply(WIRE_SYNC);
    (void)state;

    sync.as.sync =
        (struct wire_sync_reply){.plan_revision = 42, .has_plan = true, .plan = {entries, 2}};
    walk_reply(&sync);
    assert_int_equal(reply.call, WIRE_SYNC);
    assert_int_equal(reply.as.sync.plan_revision, 42);
    assert_true(reply.as.sync.has_plan);
    assert_int_equal(reply.as.sync.plan.entry_count, 2);
    assert_string_equal(reply.as.sync.plan.entries[0].region, "eu-west");
    assert_int_equal(reply.as.sync.plan.entries[0].target_count, 2);
    assert_string_equal(reply.as.sync.plan.entries[0].targets[1], "example.com");
    assert_memory_equal(&reply.as.sync.plan.entries[0].icmp, &entries[0].icmp,
                        sizeof(entries[0].icmp));
    assert_false(reply.as.sync.plan.entries[0].control);
    assert_true(reply.as.sync.plan.entries[1].control);
    assert_int_equal(reply.as.sync.plan.entries[1].target_count, 0);
}

static void no_plan_and_an_empty_plan_are_two_things(void **state)
{
    struct wire_reply sync = a_reply(WIRE_SYNC);
    (void)state;

    walk_reply(&sync);
    assert_false(reply.as.sync.has_plan);
    sync.as.sync.has_plan = true;
    walk_reply(&sync);
    assert_true(reply.as.sync.has_plan);
    assert_int_equal(reply.as.sync.plan.entry_count, 0);
}

static void a_plan_entry_of_a_later_kind_is_left_to_the_caller(void **state)
{
    static const struct wire_plan_entry entry = {.kind = 77, .region = ""};
    struct wire_reply sync = a_reply(WIRE_SYNC);
    (void)state;

    sync.as.sync =
        (struct wire_sync_reply){.plan_revision = 1, .has_plan = true, .plan = {&entry, 1}};
    walk_reply(&sync);
    assert_int_equal(reply.as.sync.plan.entries[0].kind, 77);
}

static void the_largest_plan_passes(void **state)
{
    const size_t count = WIRE_PLAN_TARGETS_MAX;
    const char **many = calloc(count, sizeof(*many));
    struct wire_plan_entry entry = {.kind = WIRE_KIND_ICMP, .region = "r", .targets = many};
    struct wire_reply sync = a_reply(WIRE_SYNC);
    (void)state;

    for (size_t i = 0; i < count; i++)
        many[i] = "198.51.100.200";
    entry.target_count = count;
    sync.as.sync =
        (struct wire_sync_reply){.plan_revision = 1, .has_plan = true, .plan = {&entry, 1}};
    walk_reply(&sync);
    assert_int_equal(reply.as.sync.plan.entries[0].target_count, count);
    free(many);
}

static void an_icmp_spec_out_of_bounds_is_refused(void **state)
{
    struct wire_plan_entry entry = {.kind = WIRE_KIND_ICMP, .region = "r", .icmp = {.family = 5}};
    struct wire_reply sync = a_reply(WIRE_SYNC);
    (void)state;

    sync.as.sync =
        (struct wire_sync_reply){.plan_revision = 1, .has_plan = true, .plan = {&entry, 1}};
    assert_int_equal(wire_reply_encode(&sync, &bytes), PROBER_ERR_RANGE);
    entry.icmp = (struct wire_icmp_spec){.payload_size = 65508};
    assert_int_equal(wire_reply_encode(&sync, &bytes), PROBER_ERR_RANGE);
    entry.icmp = (struct wire_icmp_spec){.packet_count = 65536};
    assert_int_equal(wire_reply_encode(&sync, &bytes), PROBER_ERR_RANGE);
}

static void a_reply_to_a_report_arrives_as_it_was_sent(void **state)
{
    struct wire_reply report = a_reply(WIRE_REPORT);
    (void)state;

    report.as.report = (struct wire_report_reply){9, WIRE_BACKFILLED};
    walk_reply(&report);
    assert_int_equal(reply.call, WIRE_REPORT);
    assert_int_equal(reply.as.report.sequence, 9);
    assert_int_equal(reply.as.report.outcome, WIRE_BACKFILLED);
}

static void a_refusal_carries_its_reason(void **state)
{
    struct wire_reply refusal = a_reply(WIRE_CALL_NONE);
    (void)state;

    refusal.status = WIRE_REFUSED;
    refusal.message = "region 'x' takes no plain agents";
    walk_reply(&refusal);
    assert_int_equal(reply.status, WIRE_REFUSED);
    assert_string_equal(reply.message, "region 'x' takes no plain agents");
    assert_int_equal(reply.call, WIRE_CALL_NONE);
}

static void a_message_for_people_is_cut_where_it_is_not_valid(void **state)
{
    char longer[WIRE_MESSAGE_MAX + 10];
    struct wire_reply refusal = a_reply(WIRE_CALL_NONE);
    (void)state;

    refusal.message = "cut within a character: \xe5\x8d";
    walk_reply(&refusal);
    assert_string_equal(reply.message, "cut within a character: ");
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    refusal.message = longer;
    walk_reply(&refusal);
    assert_int_equal(strlen(reply.message), WIRE_MESSAGE_MAX);
    refusal.message = NULL;
    walk_reply(&refusal);
    assert_string_equal(reply.message, "");

    strbuf_clear(&bytes);
    put_number(&bytes, 1, 1);
    put_field(&bytes, 2, an_id(1).bytes, PROBER_ID_LEN);
    put_field(&bytes, 4, "two\nlines", 9);
    wire_reply_free(&reply);
    assert_int_equal(wire_reply_decode(bytes.bytes, bytes.len, &reply, &why), PROBER_OK);
    assert_string_equal(reply.message, "two");
}

static void a_reply_with_impossible_numbers_is_refused(void **state)
{
    static const struct {
        unsigned field;
        const char *body;
    } bad[] = {{10, "\x20\x80\x80\x04"}, /* hint_port 65536 */
               {12, "\x10\x05"}};        /* outcome 5 */
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        strbuf_clear(&bytes);
        put_number(&bytes, 1, 1);
        put_field(&bytes, 2, an_id(1).bytes, PROBER_ID_LEN);
        put_field(&bytes, bad[i].field, bad[i].body, strlen(bad[i].body));
        assert_int_equal(wire_reply_decode(bytes.bytes, bytes.len, &reply, &why),
                         PROBER_ERR_PROTOCOL);
        assert_null(reply.memory);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_hello_arrives_as_it_was_sent),
        TEST(a_sync_arrives_as_it_was_sent),
        TEST(an_empty_sync_is_a_sync_all_the_same),
        TEST(every_column_of_a_report_arrives_in_its_place),
        TEST(a_report_arrives_with_names_and_arrivals),
        TEST(a_report_without_rows_is_fine),
        TEST(a_message_cut_short_anywhere_is_refused_or_lacks_its_call),
        TEST(an_id_of_another_length_is_refused),
        TEST(a_message_without_a_protocol_version_is_refused),
        TEST(two_calls_in_one_message_are_refused),
        TEST(a_call_of_a_later_version_is_none_that_we_know),
        TEST(fields_of_a_later_version_change_nothing),
        TEST(names_that_are_no_text_are_refused),
        TEST(a_name_is_valid_up_to_its_bound),
        TEST(more_than_allowed_is_neither_sent_nor_taken),
        TEST(a_report_of_too_many_rows_is_refused),
        TEST(a_column_of_another_length_than_the_rows_is_refused),
        TEST(a_column_of_no_values_counts_as_zeros),
        TEST(a_value_cut_short_is_refused),
        TEST(bins_that_do_not_add_up_are_refused),
        TEST(arrivals_of_unequal_columns_are_refused),
        TEST(a_small_message_of_countless_parts_is_refused),
        TEST(a_message_of_more_bytes_than_allowed_is_not_looked_at),
        TEST(of_a_call_given_twice_the_last_counts),
        TEST(a_reply_to_hello_arrives_as_it_was_sent),
        TEST(a_plan_arrives_as_it_was_sent),
        TEST(no_plan_and_an_empty_plan_are_two_things),
        TEST(a_plan_entry_of_a_later_kind_is_left_to_the_caller),
        TEST(the_largest_plan_passes),
        TEST(an_icmp_spec_out_of_bounds_is_refused),
        TEST(a_reply_to_a_report_arrives_as_it_was_sent),
        TEST(a_refusal_carries_its_reason),
        TEST(a_message_for_people_is_cut_where_it_is_not_valid),
        TEST(a_reply_with_impossible_numbers_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
