#include "test/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "agentd/http_rows.h"
#include "agentd/icmp_rows.h"
#include "agentd/report.h"
#include "common/wire.h"

#define BOOT_NS(s) ((uint64_t)(s)*UINT64_C(1000000000))

static const struct prober_id agent = {{1, 2, 3}}, boot = {{4, 5, 6}};
static const struct histogram_pair pairs[] = {{3, 2}, {40, 1}};

static struct icmp_window given_window(uint32_t number)
{
    struct icmp_window w = {.number = number,
                            .counts = {.sent = 10,
                                       .received = 3,
                                       .lost_timeout = 5,
                                       .lost_unreachable = 1,
                                       .unknown = 1,
                                       .unsent_late = 2,
                                       .doubtful = 1},
                            .jitter_ns = 77,
                            .pairs = pairs,
                            .pair_count = 2};

    moments_add(&w.rtt, 5000);
    moments_add(&w.rtt, 6000);
    moments_add(&w.rtt, UINT64_C(5000000000));
    return w;
}

static struct icmp_rows *given_builder(void)
{
    struct icmp_rows *b = NULL;

    assert_int_equal(icmp_rows_create(&b), PROBER_OK);
    return b;
}

static struct batch *given_batch(struct target_name *const *names, size_t count)
{
    struct icmp_rows *b = given_builder();
    struct batch *batch = NULL;

    for (size_t i = 0; i < count; i++) {
        struct icmp_window w = given_window(7);

        assert_int_equal(icmp_rows_add(b, names[i], &w, 900 + i), PROBER_OK);
    }
    assert_int_equal(icmp_rows_close(b, 7, BOOT_NS(15), BOOT_NS(100), &batch), PROBER_OK);
    icmp_rows_destroy(b);
    batch->sequence = 42;
    return batch;
}

static void given_decoded(struct report_table *table, const struct batch *batch, uint64_t now_ns,
                          struct wire_request *out)
{
    struct strbuf bytes = STRBUF_INIT;
    struct prober_failure why = {0};

    memset(out, 0, sizeof(*out));
    assert_int_equal(report_encode(table, batch, &agent, &boot, now_ns, &bytes), PROBER_OK);
    if (wire_request_decode(bytes.bytes, bytes.len, out, &why))
        fail_msg("%s", why.text);
    strbuf_free(&bytes);
}

static void a_report_says_on_the_wire_what_the_engine_said(void **state)
{
    struct target_name *name = target_name_create("区域", "192.0.2.1", false);
    struct batch *batch = given_batch(&name, 1);
    struct report_table table;
    struct wire_request r;
    const struct wire_icmp_columns *c = &r.as.report.icmp;
    moments_square square;

    (void)state;
    report_table_init(&table);
    given_decoded(&table, batch, BOOT_NS(103), &r);
    assert_int_equal(r.call, WIRE_REPORT);
    assert_true(prober_id_equal(&r.agent_id, &agent));
    assert_true(prober_id_equal(&r.boot_id, &boot));
    assert_int_equal(r.as.report.sequence, 42);
    assert_int_equal(r.as.report.window, 7);
    assert_int_equal(r.as.report.window_ns, BOOT_NS(15));
    assert_int_equal(r.as.report.age_ns, BOOT_NS(3));
    assert_int_equal(r.as.report.rows, 1);
    assert_int_equal(r.as.report.name_count, 1);
    assert_string_equal(r.as.report.names[0].region, "区域");
    assert_string_equal(r.as.report.names[0].target, "192.0.2.1");
    assert_int_equal(r.as.report.names[0].number, r.as.report.target[0]);
    assert_int_equal(c->sent[0],
                     c->received[0] + c->lost_timeout[0] + c->lost_unreachable[0] + c->unknown[0]);
    assert_int_equal(c->unsent_late[0], 2);
    assert_null(c->duplicates);
    assert_int_equal(c->rtt_sum_ns[0], UINT64_C(5000011000));
    assert_int_equal(c->rtt_min_ns[0], 5000);
    assert_int_equal(c->rtt_max_ns[0], UINT64_C(5000000000));
    square = ((moments_square)c->rtt_square_high[0] << 64) | c->rtt_square_low[0];
    assert_true(square == (moments_square)25000000 + 36000000 +
                              (moments_square)UINT64_C(5000000000) * UINT64_C(5000000000));
    assert_int_equal(c->jitter_ns[0], 77);
    assert_int_equal(c->resolve_ns[0], 900);
    assert_int_equal(c->histogram_bins[0], 2);
    assert_int_equal(c->bin_step[0], 3);
    assert_int_equal(c->bin_step[1], 37);
    assert_int_equal(c->bin_count[0], 2);
    assert_int_equal(c->bin_count[1], 1);
    wire_request_free(&r);
    batch_destroy(batch);
    target_name_put(name);
}

static void a_name_is_sent_until_the_server_has_it_and_again_after_it_forgot(void **state)
{
    struct target_name *names[2] = {target_name_create("a", "192.0.2.1", false),
                                    target_name_create("b", "192.0.2.2", true)};
    struct batch *batch = given_batch(names, 2);
    struct report_table table;
    struct wire_request r;
    uint32_t number;

    (void)state;
    report_table_init(&table);
    given_decoded(&table, batch, BOOT_NS(100), &r);
    assert_int_equal(r.as.report.name_count, 2);
    assert_true(r.as.report.names[1].control);
    number = r.as.report.target[0];
    wire_request_free(&r);

    given_decoded(&table, batch, BOOT_NS(100), &r); /* no answer came: the same once more */
    assert_int_equal(r.as.report.name_count, 2);
    wire_request_free(&r);

    report_taken(&table, batch);
    given_decoded(&table, batch, BOOT_NS(100), &r);
    assert_int_equal(r.as.report.name_count, 0);
    assert_int_equal(r.as.report.target[0], number);
    wire_request_free(&r);

    report_table_forget(&table);
    given_decoded(&table, batch, BOOT_NS(100), &r);
    assert_int_equal(r.as.report.name_count, 2);
    assert_int_equal(r.as.report.target[0], number);
    wire_request_free(&r);
    batch_destroy(batch);
    target_name_put(names[0]);
    target_name_put(names[1]);
}

static void the_age_is_that_of_each_sending_and_never_negative(void **state)
{
    struct target_name *name = target_name_create("a", "192.0.2.1", false);
    struct batch *batch = given_batch(&name, 1);
    struct report_table table;
    struct wire_request r;

    (void)state;
    report_table_init(&table);
    given_decoded(&table, batch, BOOT_NS(3700), &r);
    assert_int_equal(r.as.report.age_ns, BOOT_NS(3600));
    wire_request_free(&r);
    given_decoded(&table, batch, BOOT_NS(99), &r);
    assert_int_equal(r.as.report.age_ns, 0);
    wire_request_free(&r);
    batch_destroy(batch);
    target_name_put(name);
}

static void a_batch_counts_no_controls_in_its_totals(void **state)
{
    struct target_name *names[2] = {target_name_create("a", "192.0.2.1", false),
                                    target_name_create("b", "192.0.2.2", true)};
    struct batch *batch = given_batch(names, 2);

    (void)state;
    assert_int_equal(batch->totals.icmp.sent, 10);
    assert_true(icmp_totals_are_lawful(&batch->totals.icmp));
    batch_destroy(batch);
    target_name_put(names[0]);
    target_name_put(names[1]);
}

static void a_builder_is_full_after_its_rows_or_bins_or_at_another_window(void **state)
{
    static struct histogram_pair many[HISTOGRAM_BINS];
    struct icmp_rows *b = given_builder();
    struct target_name *name = target_name_create("a", "192.0.2.1", false);
    struct icmp_window w = given_window(1);
    struct batch *batch = NULL;
    size_t rows = 0;

    (void)state;
    for (size_t i = 0; i < BATCH_ROWS_MAX; i++)
        assert_int_equal(icmp_rows_add(b, name, &w, 0), PROBER_OK);
    assert_int_equal(icmp_rows_add(b, name, &w, 0), PROBER_ERR_FULL);
    assert_int_equal(icmp_rows_close(b, 1, 1, 1, &batch), PROBER_OK);
    assert_int_equal(batch->rows, BATCH_ROWS_MAX);
    batch_destroy(batch);

    w.pairs = many;
    w.pair_count = HISTOGRAM_BINS;
    while (icmp_rows_add(b, name, &w, 0) == PROBER_OK)
        rows++;
    assert_int_equal(rows, ICMP_ROWS_BINS_MAX / HISTOGRAM_BINS);
    assert_int_equal(icmp_rows_close(b, 1, 1, 1, &batch), PROBER_OK);
    batch_destroy(batch);

    w = given_window(1);
    assert_int_equal(icmp_rows_add(b, name, &w, 0), PROBER_OK);
    w.number = 2;
    assert_int_equal(icmp_rows_add(b, name, &w, 0), PROBER_ERR_FULL);
    icmp_rows_destroy(b);
    target_name_put(name);
}

static void nothing_makes_no_batch_and_arrivals_alone_make_one(void **state)
{
    struct icmp_rows *b = given_builder();
    struct batch *batch = NULL;
    struct icmp_arrival *room;
    struct report_table table;
    struct wire_request r;
    size_t max;

    (void)state;
    assert_int_equal(icmp_rows_close(b, 9, 1, 1, &batch), PROBER_OK);
    assert_null(batch);
    room = icmp_rows_arrivals(b, &max);
    assert_true(max >= 2);
    room[0] = (struct icmp_arrival){.sender = 8, .window = 65535, .count = 64};
    room[1] = (struct icmp_arrival){.sender = 9, .window = 1, .count = 3};
    icmp_rows_add_arrivals(b, 2);
    assert_int_equal(icmp_rows_close(b, 9, 1, 1, &batch), PROBER_OK);
    batch->sequence = 1;
    report_table_init(&table);
    given_decoded(&table, batch, 1, &r);
    assert_int_equal(r.as.report.window, 9);
    assert_int_equal(r.as.report.rows, 0);
    assert_int_equal(r.as.report.arrivals.length, 2);
    assert_int_equal(r.as.report.arrivals.sender[0], 8);
    assert_int_equal(r.as.report.arrivals.window[0], 65535);
    assert_int_equal(r.as.report.arrivals.count[1], 3);
    wire_request_free(&r);
    batch_destroy(batch);
    icmp_rows_destroy(b);
}

static struct http_rows *given_http_rows(void)
{
    struct http_rows *r = NULL;

    assert_int_equal(http_rows_create(&r), PROBER_OK);
    return r;
}

static void http_probes_are_rows_with_all_that_was_measured(void **state)
{
    static const struct http_result result = {.reason = HTTP_FAILED_STATUS_CODE,
                                              .status = 503,
                                              .version = "HTTP/2.0",
                                              .tls_version = "TLS 1.3",
                                              .phases_ns = {1, 2, 3, 4, 5},
                                              .duration_ns = 16,
                                              .redirects = 1,
                                              .dns_answers = 2,
                                              .content_length = 0,
                                              .body_received = 10,
                                              .body_decoded = 20,
                                              .earliest_cert_expiry = 1700000000,
                                              .last_chain_expiry = 1800000000};
    struct target_name *name = target_name_create("b", "https://a.test/", false);
    struct http_rows *rows = given_http_rows();
    const struct wire_http_columns *c;
    struct report_table table;
    struct wire_request r;
    struct batch *batch;

    (void)state;
    assert_int_equal(http_rows_add(rows, name, &result, 3, BOOT_NS(100)), PROBER_OK);
    assert_int_equal(http_rows_close(rows, BOOT_NS(15), &batch), PROBER_OK);
    batch->sequence = 1;
    report_table_init(&table);
    given_decoded(&table, batch, BOOT_NS(101), &r);
    assert_int_equal(r.as.report.kind, WIRE_KIND_HTTP);
    assert_int_equal(r.as.report.names[0].kind, WIRE_KIND_HTTP);
    assert_int_equal(r.as.report.age_ns, BOOT_NS(1));
    assert_int_equal(r.as.report.window_ns, BOOT_NS(15));
    c = &r.as.report.http;
    assert_int_equal(c->reason[0], HTTP_FAILED_STATUS_CODE);
    assert_int_equal(c->status[0], 503);
    assert_int_equal(c->version[0], 20);
    assert_int_equal(c->tls_version[0], 0x0304);
    assert_int_equal(c->redirects[0], 1);
    assert_int_equal(c->dns_answers[0], 2);
    assert_int_equal(c->unsent_late[0], 3);
    assert_int_equal(c->resolve_ns[0], 1);
    assert_int_equal(c->connect_ns[0], 2);
    assert_int_equal(c->tls_ns[0], 3);
    assert_int_equal(c->processing_ns[0], 4);
    assert_int_equal(c->transfer_ns[0], 5);
    assert_int_equal(c->duration_ns[0], 16);
    assert_int_equal(c->content_length[0], 1);
    assert_int_equal(c->body_received[0], 10);
    assert_int_equal(c->body_decoded[0], 20);
    assert_int_equal(c->earliest_cert_expiry[0], 1700000000);
    assert_int_equal(c->last_chain_expiry[0], 1800000000);
    wire_request_free(&r);
    batch_destroy(batch);
    http_rows_destroy(rows);
    target_name_put(name);
}

static void each_http_row_has_its_age_and_its_place_in_the_sums(void **state)
{
    static const struct http_result good = {.status = 200, .content_length = -1},
                                    bad = {.reason = HTTP_FAILED_TIMEOUT, .content_length = -1},
                                    local = {.reason = HTTP_FAILED_LOCAL, .status = 302};
    struct target_name *name = target_name_create("b", "a.test", false);
    struct http_rows *rows = given_http_rows();
    struct batch *batch;

    (void)state;
    assert_int_equal(http_rows_add(rows, name, &good, 0, BOOT_NS(10)), PROBER_OK);
    assert_int_equal(http_rows_add(rows, name, &local, 4, BOOT_NS(12)), PROBER_OK);
    assert_int_equal(http_rows_add(rows, name, &bad, 0, BOOT_NS(11)), PROBER_OK);
    assert_int_equal(http_rows_close(rows, BOOT_NS(1), &batch), PROBER_OK);
    assert_int_equal(batch->ended_boot_ns, BOOT_NS(12));
    assert_int_equal(batch->http.age_ns[0], BOOT_NS(2));
    assert_int_equal(batch->http.age_ns[1], 0);
    assert_int_equal(batch->http.age_ns[2], BOOT_NS(1));
    assert_null(batch->http.content_length);
    assert_int_equal(batch->http.status[1], 0); /* nothing was measured */
    assert_int_equal(http_totals_scheduled(&batch->totals.http), 7);
    assert_int_equal(http_totals_probed(&batch->totals.http), 2);
    assert_int_equal(http_totals_failed(&batch->totals.http), 1);
    assert_int_equal(http_totals_unsent(&batch->totals.http), 5);
    batch_destroy(batch);
    assert_int_equal(http_rows_close(rows, BOOT_NS(1), &batch), PROBER_OK);
    assert_null(batch);
    http_rows_destroy(rows);
    target_name_put(name);
}

static void http_rows_of_long_names_fit_into_a_message(void **state)
{
    static const struct http_result result = {.status = 200};
    struct http_rows *rows = given_http_rows();
    struct report_table table;
    struct strbuf bytes = STRBUF_INIT;
    struct batch *batch = NULL;
    enum prober_error err = PROBER_OK;

    (void)state;
    for (size_t i = 0; !err; i++) {
        char text[WIRE_TARGET_MAX + 1];
        struct target_name *name;

        snprintf(text, sizeof(text), "%0*zu", WIRE_TARGET_MAX, i);
        name = target_name_create("a-region-of-a-long-name", text, false);
        err = http_rows_add(rows, name, &result, 0, 1);
        target_name_put(name);
    }
    assert_int_equal(err, PROBER_ERR_FULL);
    assert_true(http_rows_count(rows) < BATCH_ROWS_MAX);
    assert_int_equal(http_rows_close(rows, 1, &batch), PROBER_OK);
    batch->sequence = 1;
    report_table_init(&table);
    assert_int_equal(report_encode(&table, batch, &agent, &boot, 1, &bytes), PROBER_OK);
    strbuf_free(&bytes);
    batch_destroy(batch);
    http_rows_destroy(rows);
}

static void a_full_report_fits_into_a_message(void **state)
{
    static struct histogram_pair wide[64];
    struct icmp_rows *b = given_builder();
    struct icmp_window w = given_window(1);
    struct report_table table;
    struct strbuf bytes = STRBUF_INIT;
    struct batch *batch = NULL;

    (void)state;
    for (unsigned i = 0; i < 64; i++)
        wide[i] = (struct histogram_pair){(uint16_t)(i * 9), 1};
    w.pairs = wide;
    w.pair_count = 64;
    w.counts = (struct icmp_counts){.sent = 64, .received = 64};
    w.rtt = (struct moments){0};
    for (unsigned i = 0; i < 64; i++)
        moments_add(&w.rtt, UINT64_C(10000000000) + i);
    for (size_t i = 0; i < BATCH_ROWS_MAX; i++) {
        char text[300];
        struct target_name *name;

        snprintf(text, sizeof(text), "target-%0200zu", i);
        name = target_name_create("a-region-of-a-long-name", text, false);
        assert_int_equal(icmp_rows_add(b, name, &w, 123456789), PROBER_OK);
        target_name_put(name);
    }
    assert_int_equal(icmp_rows_close(b, 1, 1, 1, &batch), PROBER_OK);
    batch->sequence = 1;
    report_table_init(&table);
    assert_int_equal(report_encode(&table, batch, &agent, &boot, 1, &bytes), PROBER_OK);
    assert_true(bytes.len < (4u << 20));
    strbuf_free(&bytes);
    batch_destroy(batch);
    icmp_rows_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_says_on_the_wire_what_the_engine_said),
        cmocka_unit_test(a_name_is_sent_until_the_server_has_it_and_again_after_it_forgot),
        cmocka_unit_test(the_age_is_that_of_each_sending_and_never_negative),
        cmocka_unit_test(a_batch_counts_no_controls_in_its_totals),
        cmocka_unit_test(a_builder_is_full_after_its_rows_or_bins_or_at_another_window),
        cmocka_unit_test(nothing_makes_no_batch_and_arrivals_alone_make_one),
        cmocka_unit_test(http_probes_are_rows_with_all_that_was_measured),
        cmocka_unit_test(each_http_row_has_its_age_and_its_place_in_the_sums),
        cmocka_unit_test(http_rows_of_long_names_fit_into_a_message),
        cmocka_unit_test(a_full_report_fits_into_a_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
