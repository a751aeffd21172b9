#include "test/unit/unit.h"

#include "common/array.h"
#include "serverd/laws.h"
#include "test/unit/given_report.h"

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

/* Each of these bends one number of the lawful report's first row. */
static void bend_sent(struct given *g) { g->sent[0]++; }
static void bend_received(struct given *g) { g->received[0]--; }
static void bend_doubtful(struct given *g) { g->doubtful[0] = 5; }
static void bend_late_sent(struct given *g) { g->late_sent[0] = 8; }
static void bend_wrap(struct given *g) { g->lost_ttl[0] = UINT32_MAX; g->sent[0]--; }
static void bend_huge(struct given *g) { g->sent[0] = g->lost_timeout[0] = 70000; }
static void bend_duplicates(struct given *g) { g->duplicates[0] = UINT32_MAX; }
static void bend_min(struct given *g) { g->min[0] = 10 * MSEC; }
static void bend_max(struct given *g) { g->max[0] = 3 * MSEC; }
static void bend_max_absurd(struct given *g) { g->max[0] = UINT64_MAX; }
static void bend_sum_low(struct given *g) { g->sum[0] = 3 * MSEC; }
static void bend_sum_high(struct given *g) { g->sum[0] = 37 * MSEC; }
static void bend_square_low(struct given *g) { g->low[0] /= 2; }
static void bend_square_high(struct given *g) { g->high[0] = 1; }
static void bend_lone_rtt(struct given *g) { g->sum[1] = 1; }
static void bend_lone_extreme(struct given *g) { g->max[1] = 1; }
static void bend_bin_count(struct given *g) { g->count[0]++; }
static void bend_bin_zero(struct given *g) { g->count[1] = 3; g->count[0] = 0; }
static void bend_bin_far(struct given *g) { g->step[2] = HISTOGRAM_BINS; }
static void bend_bin_wrap(struct given *g) { g->step[2] = UINT32_MAX; }
static void bend_bins_missing(struct given *g) { g->bins[0]--; }
static void bend_bins_more(struct given *g) { g->bins[1] = 1; }
static void bend_bin_total(struct given *g) { g->report.icmp.bin_total++; }
static void bend_jitter(struct given *g) { g->jitter[0] = UINT64_MAX; }
static void bend_resolve(struct given *g) { g->resolve[0] = UINT64_MAX; }
static void bend_sequence(struct given *g) { g->report.sequence = 0; }
static void bend_rows(struct given *g) { g->report.rows = WIRE_REPORT_ROWS_MAX + 1; }
static void bend_kind(struct given *g) { g->names[0].kind = WIRE_KIND_HTTP; }
static void bend_region(struct given *g) { g->names[0].region = "a\nb"; }
static void bend_target(struct given *g) { g->names[1].target = ""; }

static void each_bent_number_breaks_a_law(void **state)
{
    static void (*const bends[])(struct given *g) = {
        bend_sent,      bend_received,     bend_doubtful,    bend_late_sent,   bend_wrap,
        bend_huge,      bend_duplicates,   bend_min,         bend_max,         bend_max_absurd,
        bend_sum_low,   bend_sum_high,     bend_square_low,  bend_square_high, bend_lone_rtt,
        bend_lone_extreme, bend_bin_count, bend_bin_zero,    bend_bin_far,     bend_bin_wrap,
        bend_bins_missing, bend_bins_more, bend_bin_total,   bend_jitter,      bend_resolve,
        bend_sequence,  bend_rows,         bend_kind,        bend_region,      bend_target,
    };
    struct given g;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bends); i++) {
        given_lawful(&g);
        bends[i](&g);
        if (!laws_broken(&g.report))
            fail_msg("bend %zu broke no law", i);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lawful_report_breaks_nothing),
        cmocka_unit_test(an_empty_report_is_lawful),
        cmocka_unit_test(absent_columns_are_zeros),
        cmocka_unit_test(each_bent_number_breaks_a_law),
        cmocka_unit_test(equal_rtts_are_lawful_to_the_last_digit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
