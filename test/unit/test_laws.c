#include "test/unit/unit.h"

#include "common/array.h"
#include "serverd/laws.h"
#include "test/unit/given_http_report.h"

static const uint64_t rtts[] = {1 * MSEC, 2 * MSEC, 2 * MSEC, 9 * MSEC};

/* A lawful report of two rows: one with replies, losses and unknowns, one with losses alone. */
static struct wire_report *given_lawful(struct given *g)
{
    struct wire_report *report = given_report(g, 1);

    given_name(g, 1, "b", "192.0.2.1", false);
    given_name(g, 2, "b", "host.example", false);
    given_row(g, 1, rtts, ARRAY_LEN(rtts), 2, 1);
    given_row(g, 2, NULL, 0, 5, 0);
    return report;
}

static void a_lawful_report_breaks_nothing(void **state)
{
    struct given g;

    (void)state;
    assert_null(laws_broken(given_lawful(&g)));
}

static void an_empty_report_is_lawful(void **state)
{
    struct given g;

    (void)state;
    assert_null(laws_broken(given_report(&g, 1)));
}

static void absent_columns_are_zeros(void **state)
{
    struct wire_report report = {.sequence = 1, .rows = 1, .target = (uint32_t[]){1}};

    (void)state;
    assert_null(laws_broken(&report));
    report.icmp.received = (uint32_t[]){1};
    assert_non_null(laws_broken(&report));
}

/* Each of these bends one number of the lawful report. */
#define BENDS(X)                                                                                   \
    X(sent, g->sent[0]++)                                                                          \
    X(received, g->received[0]--)                                                                  \
    X(doubtful, g->doubtful[0] = 5)                                                                \
    X(late_sent, g->late_sent[0] = 8)                                                              \
    X(wrap, (g->lost_ttl[0] = UINT32_MAX, g->sent[0]--))                                           \
    X(huge, g->sent[0] = g->lost_timeout[0] = 70000)                                               \
    X(duplicates, g->duplicates[0] = UINT32_MAX)                                                   \
    X(min, g->min[0] = 10 * MSEC)                                                                  \
    X(max, g->max[0] = 3 * MSEC)                                                                   \
    X(max_absurd, g->max[0] = UINT64_MAX)                                                          \
    X(sum_low, g->sum[0] = 3 * MSEC)                                                               \
    X(sum_high, g->sum[0] = 37 * MSEC)                                                             \
    X(square_low, g->low[0] /= 2)                                                                  \
    X(square_high, g->high[0] = 1)                                                                 \
    X(lone_rtt, g->sum[1] = 1)                                                                     \
    X(lone_extreme, g->max[1] = 1)                                                                 \
    X(bin_count, g->count[0]++)                                                                    \
    X(bin_zero, (g->count[1] = 3, g->count[0] = 0))                                                \
    X(bin_far, g->step[2] = HISTOGRAM_BINS)                                                        \
    X(bin_wrap, g->step[2] = UINT32_MAX)                                                           \
    X(bins_missing, g->bins[0]--)                                                                  \
    X(bins_more, g->bins[1] = 1)                                                                   \
    X(bin_total, g->report.icmp.bin_total++)                                                       \
    X(jitter, g->jitter[0] = UINT64_MAX)                                                           \
    X(resolve, g->resolve[0] = UINT64_MAX)                                                         \
    X(sequence, g->report.sequence = 0)                                                            \
    X(rows, g->report.rows = WIRE_REPORT_ROWS_MAX + 1)                                             \
    X(kind, g->names[0].kind = WIRE_KIND_HTTP + 1)                                                 \
    X(rows_kind, g->report.kind = WIRE_KIND_HTTP + 1)                                              \
    X(region, g->names[0].region = "a\nb")                                                         \
    X(target, g->names[1].target = "")

#define BEND(name, expression)                                                                     \
    static void bend_##name(struct given *g)                                                       \
    {                                                                                              \
        expression;                                                                                \
    }
BENDS(BEND)
#undef BEND

static void each_bent_number_breaks_a_law(void **state)
{
#define BEND(name, expression) {#name, bend_##name},
    static const struct {
        const char *name;
        void (*bend)(struct given *g);
    } bends[] = {BENDS(BEND)};
#undef BEND
    struct given g;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bends); i++) {
        given_lawful(&g);
        bends[i].bend(&g);
        if (!laws_broken(&g.report))
            fail_msg("bending %s broke no law", bends[i].name);
    }
}

static void equal_rtts_are_lawful_to_the_last_digit(void **state)
{
    const uint64_t same[] = {274877906944, 274877906944, 274877906944};
    struct given g;

    (void)state;
    given_report(&g, 1);
    given_row(&g, 1, same, ARRAY_LEN(same), 0, 0);
    assert_null(laws_broken(&g.report));
    g.low[0]--;
    assert_non_null(laws_broken(&g.report));
}

/* ---- HTTP ---- */

static struct wire_report *given_lawful_http(struct given_http *g)
{
    struct wire_report *report = given_http_report(g, 1);

    given_url(g, 1, "b", "https://www.example.com/");
    given_url(g, 2, "", "192.0.2.1:8080");
    given_success(g, 1, 10);
    given_failure(g, 2, HTTP_FAILED_TIMEOUT, 0);
    return report;
}

static void a_lawful_report_of_urls_breaks_nothing(void **state)
{
    struct given_http g;

    (void)state;
    assert_null(laws_broken(given_lawful_http(&g)));
    g.reason[1] = UINT32_MAX; /* of a later agent */
    assert_null(laws_broken(&g.report));
}

static void what_a_probed_server_says_breaks_no_law(void **state)
{
    struct given_http g;

    (void)state;
    given_lawful_http(&g);
    g.content_length[0] = g.body_received[0] = g.body_decoded[0] = UINT64_MAX;
    g.earliest_cert_expiry[0] = g.last_chain_expiry[0] = UINT64_MAX;
    assert_null(laws_broken(&g.report));
}

#define HTTP_BENDS(X)                                                                              \
    X(answer, g->status[0] = 0)                                                                    \
    X(status, g->status[0] = 1000)                                                                 \
    X(version, g->version[0] = 100)                                                                \
    X(tls_version, g->tls_version[0] = UINT16_MAX + 1)                                             \
    X(redirects, g->redirects[1] = UINT32_MAX)                                                     \
    X(dns_answers, g->dns_answers[1] = UINT32_MAX)                                                 \
    X(unsent_late, g->unsent_late[1] = UINT32_MAX)                                                 \
    X(resolve, g->resolve_ns[0] = UINT64_MAX)                                                      \
    X(connect, g->connect_ns[0] = UINT64_MAX)                                                      \
    X(tls, g->tls_ns[0] = UINT64_MAX)                                                              \
    X(processing, g->processing_ns[0] = UINT64_MAX)                                                \
    X(transfer, g->transfer_ns[0] = UINT64_MAX)                                                    \
    X(duration, g->duration_ns[0] = LAWS_HTTP_MAX_NS + 1)                                          \
    X(age, g->age_ns[1] = UINT64_MAX)                                                              \
    X(url_control, g->names[0].control = true)                                                     \
    X(url_target, g->names[0].target = "a\x7f")

#define BEND(name, expression)                                                                     \
    static void bend_http_##name(struct given_http *g)                                             \
    {                                                                                              \
        expression;                                                                                \
    }
HTTP_BENDS(BEND)
#undef BEND

static void each_bent_number_of_a_url_breaks_a_law(void **state)
{
#define BEND(name, expression) {#name, bend_http_##name},
    static const struct {
        const char *name;
        void (*bend)(struct given_http *g);
    } bends[] = {HTTP_BENDS(BEND)};
#undef BEND
    struct given_http g;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bends); i++) {
        given_lawful_http(&g);
        bends[i].bend(&g);
        if (!laws_broken(&g.report))
            fail_msg("bending %s broke no law", bends[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lawful_report_breaks_nothing),
        cmocka_unit_test(an_empty_report_is_lawful),
        cmocka_unit_test(absent_columns_are_zeros),
        cmocka_unit_test(each_bent_number_breaks_a_law),
        cmocka_unit_test(equal_rtts_are_lawful_to_the_last_digit),
        cmocka_unit_test(a_lawful_report_of_urls_breaks_nothing),
        cmocka_unit_test(what_a_probed_server_says_breaks_no_law),
        cmocka_unit_test(each_bent_number_of_a_url_breaks_a_law),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
