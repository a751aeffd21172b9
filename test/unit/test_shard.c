#include "test/unit/unit.h"

#include <math.h>
#include <stdio.h>

#include "common/array.h"
#include "serverd/shard.h"
#include "test/unit/given_report.h"

#define NOW (1000000 * SECOND)
#define EXPIRY (75 * SECOND)

static const uint64_t fast[] = {1 * MSEC, 1 * MSEC, 1 * MSEC};
static const uint64_t slow[] = {9 * MSEC};

static struct shard_budget budget;
static struct shard_config config;
static struct shard *shard;
static struct session *session;
static struct given given;
static struct directory directory;
static struct known *known;
static struct shard_merged merged;

static struct ingest_outage outages[8];
static char outage_targets[8][32];
static size_t outage_count;

static void note_outage(void *context, const struct ingest_outage *outage)
{
    (void)context;
    if (outage_count == ARRAY_LEN(outages))
        return;
    snprintf(outage_targets[outage_count], sizeof(outage_targets[0]), "%s>%s", outage->source,
             outage->target);
    outages[outage_count++] = *outage;
}

static int set_up(void **state)
{
    (void)state;
    budget = (struct shard_budget){.cells_max = 1000};
    config = (struct shard_config){.count = 1,
                                   .expiry_ns = EXPIRY,
                                   .backfill_ns = EXPIRY,
                                   .pairs_max = 100,
                                   .budget = &budget,
                                   .outage = note_outage};
    outage_count = 0;
    directory = (struct directory){0};
    session = given_session(1, 1, "a");
    return shard_create(&shard, &config);
}

static int tear_down(void **state)
{
    (void)state;
    free(merged.pairs);
    free(merged.urls);
    merged = (struct shard_merged){0};
    shard_destroy(shard);
    session_put(session);
    assert_int_equal(atomic_load(&budget.cells), 0);
    return 0;
}

/* ---- givens and looks ---- */

/* A report of one row to "b", with the names of the targets 1 and 2 of it and a control. */
static struct wire_report *given_one(uint64_t sequence, const uint64_t *rtts, size_t n,
                                     uint32_t lost)
{
    struct wire_report *report = given_report(&given, sequence);

    given_name(&given, 1, "b", "192.0.2.1", false);
    given_name(&given, 2, "b", "host.example", false);
    given_name(&given, 3, "a", "192.0.2.9", true);
    given_row(&given, 1, rtts, n, lost, 0);
    return report;
}

static enum wire_outcome apply_for(const struct session *s, const struct wire_report *report,
                                   uint64_t now_ns)
{
    enum wire_outcome outcome = WIRE_INVALID;

    assert_int_equal(shard_apply(shard, s, report, now_ns, &outcome), PROBER_OK);
    return outcome;
}

static enum wire_outcome apply(const struct wire_report *report, uint64_t now_ns)
{
    return apply_for(session, report, now_ns);
}

static void merge(uint64_t now_ns)
{
    free(merged.pairs);
    free(merged.urls);
    merged = (struct shard_merged){0};
    assert_int_equal(known_create(&known, &directory), PROBER_OK);
    assert_int_equal(shard_merge(shard, known, now_ns, &merged), PROBER_OK);
    known_destroy(known);
}

static const struct mesh_pair *pair_of(const char *source, const char *target)
{
    for (size_t i = 0; i < merged.count; i++)
        if (strcmp(merged.pairs[i].source, source) == 0 &&
            strcmp(merged.pairs[i].target, target) == 0)
            return &merged.pairs[i];
    return NULL;
}

static void plan(const struct directory_pair *pairs, size_t count)
{
    directory.pairs = pairs;
    directory.pair_count = count;
}

static const struct directory_pair a_to_b[] = {{"a", "b"}};

/* ---- exactly once ---- */

static void a_report_is_counted_once_however_often_it_comes(void **state)
{
    (void)state;
    assert_int_equal(apply(given_one(1, fast, 3, 1), NOW), WIRE_APPLIED);
    assert_int_equal(apply(given_one(1, fast, 3, 1), NOW), WIRE_DUPLICATE);
    merge(NOW);
    assert_int_equal(pair_of("a", "b")->total.sent, 4);
    assert_int_equal(shard_counts(shard)->applied, 1);
    assert_int_equal(shard_counts(shard)->duplicate, 1);
    assert_int_equal(shard_counts(shard)->points, 1);
}

static void reports_out_of_order_are_each_counted(void **state)
{
    static const uint64_t order[] = {3, 1, 5, 2, 4, 1, 3, 5};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        assert_int_equal(apply(given_one(order[i], fast, 3, 0), NOW),
                         i < 5 ? WIRE_APPLIED : WIRE_DUPLICATE);
    merge(NOW);
    assert_int_equal(pair_of("a", "b")->total.received, 15);
}

static void the_same_number_of_another_boot_or_agent_is_another_report(void **state)
{
    struct session *reboot = given_session(1, 2, "a"), *other = given_session(2, 1, "a");

    (void)state;
    assert_int_equal(apply(given_one(1, fast, 3, 0), NOW), WIRE_APPLIED);
    assert_int_equal(apply_for(reboot, given_one(1, fast, 3, 0), NOW), WIRE_APPLIED);
    assert_int_equal(apply_for(other, given_one(1, fast, 3, 0), NOW), WIRE_APPLIED);
    assert_int_equal(apply(given_one(1, fast, 3, 0), NOW), WIRE_DUPLICATE);
    merge(NOW);
    assert_int_equal(pair_of("a", "b")->total.received, 9);
    session_put(reboot);
    session_put(other);
}

static void of_many_boots_the_last_four_are_remembered(void **state)
{
    struct session *boots[6];

    (void)state;
    for (uint8_t i = 0; i < ARRAY_LEN(boots); i++) {
        boots[i] = given_session(1, (uint8_t)(10 + i), "a");
        assert_int_equal(apply_for(boots[i], given_one(1, fast, 3, 0), NOW), WIRE_APPLIED);
        merge(NOW);
    }
    for (size_t i = 2; i < ARRAY_LEN(boots); i++)
        assert_int_equal(apply_for(boots[i], given_one(1, fast, 3, 0), NOW), WIRE_DUPLICATE);
    for (size_t i = 0; i < ARRAY_LEN(boots); i++)
        session_put(boots[i]);
}

/* ---- names ---- */

static void a_number_without_a_name_is_an_unknown_table_and_nothing_is_counted(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    given_row(&given, 7, fast, 3, 0, 0);
    assert_int_equal(apply(report, NOW), WIRE_UNKNOWN_TABLE);
    given_name(&given, 7, "b", "192.0.2.7", false);
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    merge(NOW);
    assert_int_equal(pair_of("a", "b")->total.received, 6);
    assert_int_equal(shard_counts(shard)->unknown_table, 1);
}

static void names_hold_for_the_later_reports_of_their_boot_alone(void **state)
{
    struct session *reboot = given_session(1, 2, "a");
    struct wire_report *report;

    (void)state;
    assert_int_equal(apply(given_one(1, fast, 3, 0), NOW), WIRE_APPLIED);
    report = given_one(2, fast, 3, 0);
    report->name_count = 0;
    assert_int_equal(apply_for(reboot, report, NOW), WIRE_UNKNOWN_TABLE);
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    session_put(reboot);
}

static void a_number_that_is_named_anew_counts_for_its_new_pair(void **state)
{
    struct wire_report *report;

    (void)state;
    assert_int_equal(apply(given_one(1, fast, 3, 0), NOW), WIRE_APPLIED);
    report = given_one(2, slow, 1, 0);
    given.names[0].region = "c";
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    merge(NOW);
    assert_int_equal(pair_of("a", "c")->total.received, 1);
    assert_int_equal(pair_of("a", "c")->window.rtt.count, 1);
    assert_null(pair_of("a", "b"));
}

static void a_row_twice_in_a_report_is_invalid(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    given_row(&given, 1, fast, 3, 0, 0);
    assert_int_equal(apply(report, NOW), WIRE_INVALID);
    merge(NOW);
    assert_null(pair_of("a", "b"));
}

static void a_report_that_breaks_a_law_changes_nothing_and_can_be_sent_right(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    given_row(&given, 2, fast, 3, 0, 0);
    given.sent[1]++;
    assert_int_equal(apply(report, NOW), WIRE_INVALID);
    merge(NOW);
    assert_int_equal(merged.count, 0);
    assert_int_equal(shard_counts(shard)->invalid, 1);
    assert_int_equal(shard_agents(shard), 0);
    given.sent[1]--;
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
}

static void beyond_the_limit_of_cells_a_report_is_refused_whole(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    budget.cells_max = 2;
    assert_int_equal(apply(report, NOW), WIRE_INVALID);
    assert_int_equal(shard_counts(shard)->full, 1);
    plan(a_to_b, 1);
    merge(NOW);
    assert_int_equal(pair_of("a", "b")->total.sent, 0);
    budget.cells_max = 3;
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
}

static void agents_can_name_only_so_many_pairs_that_nobody_planned(void **state)
{
    struct directory_pair pairs[4] = {{"a", "p0"}, {"a", "p1"}, {"a", "p2"}, {"a", "b"}};
    struct wire_report *report;

    (void)state;
    shard_destroy(shard);
    config.pairs_max = 2;
    assert_int_equal(shard_create(&shard, &config), PROBER_OK);
    plan(pairs, ARRAY_LEN(pairs));
    merge(NOW);
    assert_int_equal(merged.count, ARRAY_LEN(pairs));
    for (uint64_t i = 0; i < 4; i++) {
        char region[8];

        snprintf(region, sizeof(region), "n%u", (unsigned)i);
        report = given_report(&given, i + 1);
        given_name(&given, (uint32_t)i, region, "192.0.2.1", false);
        given_row(&given, (uint32_t)i, fast, 3, 0, 0);
        assert_int_equal(apply(report, NOW), i < 2 ? WIRE_APPLIED : WIRE_INVALID);
        merge(NOW);
    }
    assert_int_equal(shard_counts(shard)->full, 2);
    assert_int_equal(apply(given_one(9, fast, 3, 0), NOW), WIRE_APPLIED);
}

/* ---- gauges ---- */

static void means_are_of_all_packets_and_not_of_means(void **state)
{
    struct session *other = given_session(2, 1, "a");
    const struct mesh_window *w;

    (void)state;
    apply(given_one(1, fast, 3, 0), NOW);
    apply_for(other, given_one(1, slow, 1, 0), NOW);
    merge(NOW);
    w = &pair_of("a", "b")->window;
    assert_int_equal(w->rtt.count, 4);
    assert_int_equal(w->rtt.sum_ns, 12 * MSEC);
    assert_int_equal(w->rtt.min_ns, 1 * MSEC);
    assert_int_equal(w->rtt.max_ns, 9 * MSEC);
    assert_true(fabs(moments_mean_ns(&w->rtt) - 3e6) < 1);
    assert_true(fabs(moments_stddev_ns(&w->rtt) - sqrt(12) * 1e6) < 1);
    assert_true(fabs(w->p50_ns - 1e6) < 5e4);
    assert_true(fabs(w->p99_ns - 9e6) < 5e5);
    assert_int_equal(w->cells, 2);
    session_put(other);
}

static void only_the_newest_window_of_a_cell_shows_and_all_are_counted(void **state)
{
    (void)state;
    apply(given_one(2, slow, 1, 0), NOW);
    apply(given_one(1, fast, 3, 0), NOW);
    merge(NOW);
    assert_int_equal(pair_of("a", "b")->window.rtt.count, 1);
    assert_int_equal(pair_of("a", "b")->total.received, 4);
}

static void window_numbers_may_wrap(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    report->window = UINT32_MAX;
    apply(report, NOW);
    report = given_one(2, slow, 1, 0);
    report->window = 0;
    apply(report, NOW);
    merge(NOW);
    assert_int_equal(pair_of("a", "b")->window.rtt.count, 1);
}

static void after_a_restart_only_the_new_boots_windows_show(void **state)
{
    struct session *reboot = given_session(1, 2, "a");

    (void)state;
    apply(given_one(1, NULL, 0, 5), NOW);
    merge(NOW);
    assert_int_equal(pair_of("a", "b")->window.failed_cells, 1);
    apply_for(reboot, given_one(1, fast, 3, 0), NOW + SECOND);
    merge(NOW + SECOND);
    assert_int_equal(pair_of("a", "b")->window.failed_cells, 0);
    assert_int_equal(pair_of("a", "b")->window.cells, 1);
    assert_int_equal(pair_of("a", "b")->total.sent, 8);
    session_put(reboot);
}

static void a_cell_without_a_reply_failed_and_has_no_rtt(void **state)
{
    const struct mesh_pair *pair;

    (void)state;
    apply(given_one(1, NULL, 0, 64), NOW);
    merge(NOW);
    pair = pair_of("a", "b");
    assert_int_equal(pair->window.failed_cells, 1);
    assert_int_equal(pair->window.rtt.count, 0);
    assert_true(icmp_totals_loss_ratio(&pair->window.counts) == 1.0);
}

static void a_target_whose_name_does_not_resolve_failed_without_loss(void **state)
{
    struct wire_report *report = given_report(&given, 1);

    (void)state;
    given_name(&given, 2, "b", "host.example", false);
    given.unsent_name[given_row(&given, 2, NULL, 0, 0, 0)] = 64;
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    merge(NOW);
    assert_int_equal(pair_of("a", "b")->window.failed_cells, 1);
    assert_true(icmp_totals_loss_ratio(&pair_of("a", "b")->window.counts) < 0);
    assert_int_equal(pair_of("a", "b")->total.unsent_name, 64);
}

static void an_unknown_window_is_neither_failed_nor_lost(void **state)
{
    struct wire_report *report = given_report(&given, 1);

    (void)state;
    given_name(&given, 1, "b", "192.0.2.1", false);
    given_row(&given, 1, NULL, 0, 0, 64);
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    merge(NOW);
    assert_int_equal(pair_of("a", "b")->window.failed_cells, 0);
    assert_true(icmp_totals_loss_ratio(&pair_of("a", "b")->window.counts) < 0);
}

static void the_resolve_phase_is_the_mean_of_the_targets_that_are_names(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    given.resolve[given_row(&given, 2, fast, 3, 0, 0)] = 4 * MSEC;
    apply(report, NOW);
    merge(NOW);
    assert_true(fabs(pair_of("a", "b")->window.resolve_ns - 4e6) < 1);
}

static void jitter_is_weighted_by_received(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    given.jitter[0] = 100;
    given.jitter[given_row(&given, 2, slow, 1, 0, 0)] = 500;
    apply(report, NOW);
    merge(NOW);
    assert_true(fabs(pair_of("a", "b")->window.jitter_ns - 200) < 0.001);
}

static void controls_stay_hidden(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    given_row(&given, 3, slow, 1, 0, 0);
    apply(report, NOW);
    merge(NOW);
    assert_int_equal(merged.count, 1);
    assert_int_equal(pair_of("a", "b")->total.received, 3);
}

/* ---- freshness and expiry ---- */

static void a_stale_window_does_not_mix_with_a_fresh_one(void **state)
{
    struct session *other = given_session(2, 1, "a");

    (void)state;
    apply(given_one(1, NULL, 0, 64), NOW);
    apply_for(other, given_one(1, fast, 3, 0), NOW + 34 * SECOND);
    merge(NOW + 33 * SECOND);
    assert_int_equal(pair_of("a", "b")->window.cells, 2);
    merge(NOW + 34 * SECOND);
    assert_int_equal(pair_of("a", "b")->window.cells, 1);
    assert_int_equal(pair_of("a", "b")->window.failed_cells, 0);
    session_put(other);
}

static void age_counts_from_the_end_of_the_window_at_the_agent(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    report->age_ns = 20 * SECOND;
    apply(report, NOW);
    merge(NOW + SECOND);
    assert_int_equal(pair_of("a", "b")->age_ns, 21 * SECOND);
    assert_int_equal(merged.lag_ns, 20 * SECOND);
    merge(NOW + SECOND);
    assert_int_equal(merged.lag_ns, 0);
}

/* The clock counts from the host's start, and the window is older. */
static void a_window_from_before_the_hosts_start_keeps_its_age(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    report->age_ns = 20 * SECOND;
    apply(report, SECOND);
    merge(SECOND);
    assert_int_equal(pair_of("a", "b")->age_ns, 20 * SECOND);
    merge(15 * SECOND);
    assert_int_equal(pair_of("a", "b")->age_ns, 34 * SECOND);
    report = given_one(2, slow, 1, 0);
    report->age_ns = 10 * SECOND;
    report->target = &(uint32_t){2};
    apply(report, 16 * SECOND);
    merge(16 * SECOND);
    assert_int_equal(pair_of("a", "b")->window.cells, 1);
    assert_int_equal(pair_of("a", "b")->age_ns, 10 * SECOND);
}

static void gauges_stay_until_the_pair_expires_and_counters_as_long_as_it_is_planned(void **state)
{
    (void)state;
    plan(a_to_b, 1);
    apply(given_one(1, fast, 3, 1), NOW);
    merge(NOW);
    merge(NOW + EXPIRY);
    assert_true(pair_of("a", "b")->has_gauges);
    assert_int_equal(pair_of("a", "b")->window.rtt.count, 3);
    assert_int_equal(pair_of("a", "b")->age_ns, EXPIRY);
    merge(NOW + EXPIRY + 1);
    assert_false(pair_of("a", "b")->has_gauges);
    assert_int_equal(pair_of("a", "b")->total.sent, 4);
}

static void without_an_expiry_gauges_stay(void **state)
{
    (void)state;
    shard_destroy(shard);
    config.expiry_ns = UINT64_MAX;
    assert_int_equal(shard_create(&shard, &config), PROBER_OK);
    apply(given_one(1, fast, 3, 0), NOW);
    merge(NOW);
    merge(NOW + 1000 * EXPIRY);
    assert_true(pair_of("a", "b")->has_gauges);
}

static void a_planned_pair_has_counters_at_zero_before_any_report(void **state)
{
    (void)state;
    plan(a_to_b, 1);
    merge(NOW);
    assert_non_null(pair_of("a", "b"));
    assert_true(pair_of("a", "b")->planned);
    assert_false(pair_of("a", "b")->has_gauges);
    assert_int_equal(pair_of("a", "b")->total.sent, 0);
    assert_int_equal(pair_of("a", "b")->total_buckets[HISTOGRAM_BUCKETS], 0);
}

static void a_pair_that_is_planned_no_more_goes_and_finds_its_counters_again(void **state)
{
    struct directory_agent agents[] = {given_agent(1, "a"), given_agent(2, "b")};

    (void)state;
    directory.agents = agents;
    directory.agent_count = ARRAY_LEN(agents);
    plan(a_to_b, 1);
    apply(given_one(1, fast, 3, 0), NOW);
    merge(NOW);
    plan(NULL, 0);
    merge(NOW + EXPIRY);
    assert_non_null(pair_of("a", "b"));
    merge(NOW + 3600 * SECOND);
    assert_null(pair_of("a", "b"));
    plan(a_to_b, 1);
    merge(NOW + 3601 * SECOND);
    assert_int_equal(pair_of("a", "b")->total.received, 3);
}

static void what_nobody_knows_any_more_is_forgotten(void **state)
{
    (void)state;
    apply(given_one(1, fast, 3, 0), NOW);
    merge(NOW);
    assert_int_equal(shard_agents(shard), 1);
    merge(NOW + 3600 * SECOND);
    assert_int_equal(shard_agents(shard), 0);
    assert_int_equal(atomic_load(&budget.cells), 0);
    plan(a_to_b, 1);
    merge(NOW + 3601 * SECOND);
    assert_int_equal(pair_of("a", "b")->total.received, 0);
}

static void a_registered_agents_sequence_numbers_outlive_its_silence(void **state)
{
    struct directory_agent agents[] = {given_agent(1, "a")};

    (void)state;
    directory.agents = agents;
    directory.agent_count = 1;
    apply(given_one(1, fast, 3, 0), NOW);
    merge(NOW + 7200 * SECOND);
    assert_int_equal(atomic_load(&budget.cells), 0);
    assert_int_equal(apply(given_one(1, fast, 3, 0), NOW + 7200 * SECOND), WIRE_DUPLICATE);
}

/* ---- backfill ---- */

static void a_report_older_than_the_expiry_counts_as_backfill_alone(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 2);
    const struct mesh_pair *pair;

    (void)state;
    plan(a_to_b, 1);
    report->age_ns = EXPIRY + 1;
    given_arrival(&given, 5, 9);
    assert_int_equal(apply(report, NOW), WIRE_BACKFILLED);
    merge(NOW);
    pair = pair_of("a", "b");
    assert_int_equal(pair->total.sent, 0);
    assert_int_equal(pair->total_buckets[HISTOGRAM_BUCKETS], 0);
    assert_false(pair->has_gauges);
    assert_int_equal(pair->backfilled.received, 3);
    assert_int_equal(pair->backfilled.lost_timeout, 2);
    assert_int_equal(shard_counts(shard)->points, 0);
    assert_int_equal(shard_counts(shard)->backfilled, 1);
}

/* Its agent must not believe that the counters took it in. */
static void a_copy_of_a_backfilled_report_is_told_to_be_backfilled(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 2);

    (void)state;
    plan(a_to_b, 1);
    report->age_ns = EXPIRY + 1;
    assert_int_equal(apply(report, NOW), WIRE_BACKFILLED);
    assert_int_equal(apply(given_one(2, fast, 3, 0), NOW), WIRE_APPLIED);
    report = given_one(1, fast, 3, 2);
    report->age_ns = EXPIRY + SECOND;
    assert_int_equal(apply(report, NOW + SECOND), WIRE_BACKFILLED);
    assert_int_equal(apply(given_one(2, fast, 3, 0), NOW + SECOND), WIRE_DUPLICATE);
    merge(NOW + SECOND);
    assert_int_equal(pair_of("a", "b")->backfilled.received, 3);
    assert_int_equal(shard_counts(shard)->backfilled, 1);
    assert_int_equal(shard_counts(shard)->duplicate, 2);
    assert_int_equal(outage_count, 1);
}

static void an_outage_is_told_once_for_each_pair_of_the_report(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    given_row(&given, 2, NULL, 0, 4, 0);
    given_row(&given, 3, fast, 3, 0, 0);
    given_name(&given, 4, "c", "192.0.2.4", false);
    given_row(&given, 4, slow, 1, 0, 0);
    report->age_ns = 2 * EXPIRY;
    apply(report, NOW);
    assert_int_equal(outage_count, 2);
    assert_string_equal(outage_targets[0], "a>b");
    assert_int_equal(outages[0].counts.received, 3);
    assert_int_equal(outages[0].counts.lost_timeout, 4);
    assert_int_equal(outages[0].age_ns, 2 * EXPIRY);
    assert_int_equal(outages[0].window_ns, 15 * SECOND);
    assert_string_equal(outage_targets[1], "a>c");
    assert_int_equal(outages[1].counts.received, 1);
}

static void a_window_that_is_fresh_still_counts_though_the_expiry_is_shorter(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    shard_destroy(shard);
    config.expiry_ns = config.backfill_ns = SECOND;
    assert_int_equal(shard_create(&shard, &config), PROBER_OK);
    report->age_ns = 33 * SECOND;
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    merge(NOW);
    assert_int_equal(pair_of("a", "b")->total.received, 3);
    assert_int_equal(pair_of("a", "b")->window.rtt.count, 3);
    report = given_one(2, fast, 3, 0);
    report->age_ns = 33 * SECOND + 1;
    assert_int_equal(apply(report, NOW), WIRE_BACKFILLED);
}

static void gauges_stay_while_a_window_is_fresh_though_the_expiry_is_shorter(void **state)
{
    (void)state;
    shard_destroy(shard);
    config.expiry_ns = SECOND;
    assert_int_equal(shard_create(&shard, &config), PROBER_OK);
    plan(a_to_b, 1);
    apply(given_one(1, fast, 3, 0), NOW);
    for (uint64_t age_ns = 0; age_ns <= 33 * SECOND; age_ns += SECOND) {
        merge(NOW + age_ns);
        assert_true(pair_of("a", "b")->has_gauges);
    }
    merge(NOW + 34 * SECOND);
    assert_false(pair_of("a", "b")->has_gauges);
}

static void a_report_as_old_as_the_expiry_still_counts(void **state)
{
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    report->age_ns = EXPIRY;
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
}

/* ---- arrivals ---- */

static void route_arrivals(void)
{
    struct shard_arrival *arrivals;
    size_t count;

    assert_int_equal(shard_take_arrivals(shard, &arrivals, &count), PROBER_OK);
    assert_int_equal(known_create(&known, &directory), PROBER_OK);
    shard_add_arrivals(shard, known, arrivals, count);
    known_destroy(known);
    free(arrivals);
}

static void arrivals_count_for_the_pair_of_their_sender(void **state)
{
    struct directory_agent agents[] = {given_agent(5, "b"), given_agent(1, "a")};
    struct directory_pair pairs[] = {{"a", "b"}, {"b", "a"}};
    struct wire_report *report = given_one(1, fast, 3, 0);

    (void)state;
    directory.agents = agents;
    directory.agent_count = ARRAY_LEN(agents);
    plan(pairs, ARRAY_LEN(pairs));
    merge(NOW);
    given_arrival(&given, 5, 60);
    given_arrival(&given, 5, 4);
    given_arrival(&given, 77, 9);
    given_arrival(&given, 1, 7);
    apply(report, NOW);
    route_arrivals();
    route_arrivals();
    merge(NOW);
    assert_int_equal(pair_of("b", "a")->arrived, 64);
    assert_int_equal(pair_of("a", "b")->arrived, 0);
}

/* ---- counters ---- */

static void buckets_are_cumulative_and_end_at_the_received(void **state)
{
    static const uint64_t spread[] = {50000, 50001, 100000, 20 * SECOND};
    const struct mesh_pair *pair;

    (void)state;
    apply(given_one(1, spread, ARRAY_LEN(spread), 0), NOW);
    merge(NOW);
    pair = pair_of("a", "b");
    assert_int_equal(pair->total_buckets[0], 1);
    assert_int_equal(pair->total_buckets[1], 3);
    assert_int_equal(pair->total_buckets[HISTOGRAM_BUCKETS - 1], 3);
    assert_int_equal(pair->total_buckets[HISTOGRAM_BUCKETS], 4);
    assert_int_equal(pair->total_rtt_ns, 200001 + 20 * SECOND);
}

/* Whatever comes, and however often: what was acknowledged as applied is what the counters hold. */
static void counters_are_the_sum_of_the_applied_reports(void **state)
{
    struct session *agents[3];
    struct icmp_totals expected = {0};
    uint64_t rtts[8], expected_rtt_ns = 0, reports = 0;

    (void)state;
    srand(11);
    plan(a_to_b, 1);
    for (uint32_t i = 0; i < ARRAY_LEN(agents); i++)
        agents[i] = given_session(i + 1, 1, "a");
    for (int i = 0; i < 3000; i++) {
        size_t n = (size_t)(rand() % 8);
        struct wire_report *report;
        struct icmp_counts counts;

        for (size_t k = 0; k < n; k++)
            rtts[k] = (uint64_t)rand() * 10;
        report = given_one(1 + (uint64_t)(rand() % 400), rtts, n, (uint32_t)(rand() % 5));
        report->age_ns = (uint64_t)(rand() % 80) * SECOND;
        given.sent[0] += rand() % 10 == 0;
        if (rand() % 10 == 0)
            given.target[0] = 99;
        counts = (struct icmp_counts){.sent = given.sent[0],
                                      .received = given.received[0],
                                      .lost_timeout = given.lost_timeout[0]};
        if (apply_for(agents[rand() % 3], report, NOW + (uint64_t)i * SECOND) == WIRE_APPLIED) {
            icmp_totals_add(&expected, &counts);
            expected_rtt_ns += given.sum[0];
            reports++;
        }
        if (i % 100 == 0)
            merge(NOW + (uint64_t)i * SECOND);
    }
    merge(NOW + 3000 * SECOND);
    assert_memory_equal(&pair_of("a", "b")->total, &expected, sizeof(expected));
    assert_int_equal(pair_of("a", "b")->total_rtt_ns, expected_rtt_ns);
    assert_int_equal(pair_of("a", "b")->total_buckets[HISTOGRAM_BUCKETS], expected.received);
    assert_true(icmp_totals_are_lawful(&pair_of("a", "b")->total));
    assert_int_equal(shard_counts(shard)->points, reports);
    for (size_t i = 0; i < ARRAY_LEN(agents); i++)
        session_put(agents[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_report_is_counted_once_however_often_it_comes),
        TEST(reports_out_of_order_are_each_counted),
        TEST(the_same_number_of_another_boot_or_agent_is_another_report),
        TEST(of_many_boots_the_last_four_are_remembered),
        TEST(a_number_without_a_name_is_an_unknown_table_and_nothing_is_counted),
        TEST(names_hold_for_the_later_reports_of_their_boot_alone),
        TEST(a_number_that_is_named_anew_counts_for_its_new_pair),
        TEST(a_row_twice_in_a_report_is_invalid),
        TEST(a_report_that_breaks_a_law_changes_nothing_and_can_be_sent_right),
        TEST(beyond_the_limit_of_cells_a_report_is_refused_whole),
        TEST(agents_can_name_only_so_many_pairs_that_nobody_planned),
        TEST(means_are_of_all_packets_and_not_of_means),
        TEST(only_the_newest_window_of_a_cell_shows_and_all_are_counted),
        TEST(window_numbers_may_wrap),
        TEST(after_a_restart_only_the_new_boots_windows_show),
        TEST(a_cell_without_a_reply_failed_and_has_no_rtt),
        TEST(a_target_whose_name_does_not_resolve_failed_without_loss),
        TEST(an_unknown_window_is_neither_failed_nor_lost),
        TEST(the_resolve_phase_is_the_mean_of_the_targets_that_are_names),
        TEST(jitter_is_weighted_by_received),
        TEST(controls_stay_hidden),
        TEST(a_stale_window_does_not_mix_with_a_fresh_one),
        TEST(age_counts_from_the_end_of_the_window_at_the_agent),
        TEST(a_window_from_before_the_hosts_start_keeps_its_age),
        TEST(gauges_stay_until_the_pair_expires_and_counters_as_long_as_it_is_planned),
        TEST(without_an_expiry_gauges_stay),
        TEST(a_planned_pair_has_counters_at_zero_before_any_report),
        TEST(a_pair_that_is_planned_no_more_goes_and_finds_its_counters_again),
        TEST(what_nobody_knows_any_more_is_forgotten),
        TEST(a_registered_agents_sequence_numbers_outlive_its_silence),
        TEST(a_report_older_than_the_expiry_counts_as_backfill_alone),
        TEST(a_copy_of_a_backfilled_report_is_told_to_be_backfilled),
        TEST(an_outage_is_told_once_for_each_pair_of_the_report),
        TEST(a_report_as_old_as_the_expiry_still_counts),
        TEST(a_window_that_is_fresh_still_counts_though_the_expiry_is_shorter),
        TEST(gauges_stay_while_a_window_is_fresh_though_the_expiry_is_shorter),
        TEST(arrivals_count_for_the_pair_of_their_sender),
        TEST(buckets_are_cumulative_and_end_at_the_received),
        TEST(counters_are_the_sum_of_the_applied_reports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
