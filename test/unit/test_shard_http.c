#include "test/unit/unit.h"

#include <stdio.h>

#include "common/array.h"
#include "serverd/plan.h"
#include "serverd/shard.h"
#include "test/unit/given_http_report.h"

#define NOW (1000000 * SECOND)
#define EXPIRY (75 * SECOND)
#define URL "https://www.example.com/"

static struct shard_budget budget;
static struct shard_config config;
static struct shard *shard;
static struct session *session;
static struct given_http given;
static struct directory directory;
static struct plan *plan;
static struct known *known;
static struct shard_merged merged;

static int set_up(void **state)
{
    (void)state;
    budget = (struct shard_budget){.cells_max = 1000};
    config = (struct shard_config){.count = 1,
                                   .expiry_ns = EXPIRY,
                                   .backfill_ns = EXPIRY,
                                   .pairs_max = 100,
                                   .budget = &budget};
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
    plan_put(plan);
    plan = NULL;
    assert_int_equal(atomic_load(&budget.cells), 0);
    return 0;
}

/* ---- givens and looks ---- */

/* A report without rows that names the URLs 1 and 2. */
static struct wire_report *given_named(uint64_t sequence)
{
    struct wire_report *report = given_http_report(&given, sequence);

    given_url(&given, 1, "b", URL);
    given_url(&given, 2, "b", "plain.example.com:8080/x");
    return report;
}

static struct wire_report *given_ok(uint64_t sequence, uint64_t ms)
{
    struct wire_report *report = given_named(sequence);

    given_success(&given, 1, ms);
    return report;
}

static struct wire_report *given_failed(uint64_t sequence, uint32_t reason, uint32_t status)
{
    struct wire_report *report = given_named(sequence);

    given_failure(&given, 1, reason, status);
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

static const struct mesh_url *url_of(const char *source, const char *target)
{
    for (size_t i = 0; i < merged.url_count; i++)
        if (strcmp(merged.urls[i].source, source) == 0 &&
            strcmp(merged.urls[i].target, target) == 0)
            return &merged.urls[i];
    return NULL;
}

static const struct mesh_url *the_url(void)
{
    const struct mesh_url *url = url_of("a", URL);

    assert_non_null(url);
    return url;
}

/* Has a plan by the file for one agent each in the regions. */
static void given_plan(const char *yaml, const char *const *from, size_t count)
{
    static const struct prober_addr address = {.family = PROBER_FAMILY_IPV4, .bytes = {192, 0, 2}};
    const struct plan_config plan_config = {
        .dynamic = true, .full_below = 100, .agents_per_pair = 1, .targets_per_pair = 1};
    struct plan_agent agents[4] = {{.region = NULL}};
    struct problems *problems = NULL;
    struct probe_spec *spec = NULL;

    for (size_t i = 0; i < count; i++)
        agents[i] = (struct plan_agent){.id = {{(uint8_t)(i + 1)}},
                                        .region = from[i],
                                        .is_private = true,
                                        .addresses = &address,
                                        .address_count = 1};
    assert_int_equal(problems_create(&problems), PROBER_OK);
    assert_int_equal(probe_spec_read_text(&spec, "p", yaml, strlen(yaml), problems), PROBER_OK);
    plan_put(plan);
    assert_int_equal(plan_create(&plan, &plan_config, spec, agents, count, 1), PROBER_OK);
    probe_spec_destroy(spec);
    problems_destroy(problems);
    directory.plan = plan;
    directory.plan_revision++;
}

static const char file[] =
    "prober_configs:\n"
    "- {prober_type: http, region: b, targets: ['https://www.example.com/']}\n"
    "- {prober_type: http, region: c, source_regions: [b], targets: ['me:pw@x.example', y]}\n";
static const char *const regions[] = {"a", "b"};

/* What agents of one region saw, one after another: merged at NOW. */
static const struct mesh_url_window *seen_by(struct wire_report *(*given_of)(size_t agent),
                                             size_t agents)
{
    for (size_t i = 0; i < agents; i++) {
        struct session *agent = given_session((uint32_t)(10 + i), 1, "a");

        assert_int_equal(apply_for(agent, given_of(i), NOW), WIRE_APPLIED);
        session_put(agent);
    }
    merge(NOW);
    return &the_url()->window;
}

static void assert_laws(const struct mesh_url *url, uint64_t scheduled)
{
    assert_int_equal(http_totals_probed(&url->total) + http_totals_unsent(&url->total), scheduled);
    assert_int_equal(http_totals_succeeded(&url->total) + http_totals_failed(&url->total),
                     http_totals_probed(&url->total));
    assert_int_equal(url->total_failed, http_totals_failed(&url->total));
    assert_int_equal(url->total_buckets[MESH_URL_BUCKETS], http_totals_succeeded(&url->total));
}

/* ---- exactly once ---- */

static void a_report_of_urls_is_counted_once_however_often_it_comes(void **state)
{
    (void)state;
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_APPLIED);
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_DUPLICATE);
    merge(NOW);
    assert_int_equal(the_url()->total.ended[HTTP_SUCCEEDED], 1);
    assert_laws(the_url(), 1);
    assert_int_equal(shard_counts(shard)->points_http, 1);
    assert_int_equal(shard_counts(shard)->points, 0);
    assert_string_equal(the_url()->region, "b");
}

static void urls_and_hosts_share_the_sequence_numbers_of_their_boot(void **state)
{
    static const uint64_t rtts[] = {1 * MSEC};
    struct given icmp;
    struct wire_report *report = given_report(&icmp, 2);

    (void)state;
    given_name(&icmp, 1, "b", "192.0.2.1", false);
    given_row(&icmp, 1, rtts, 1, 0, 0);
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_APPLIED);
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    assert_int_equal(apply(given_ok(2, 10), NOW), WIRE_DUPLICATE);
    assert_int_equal(apply(given_ok(3, 10), NOW), WIRE_APPLIED);
    merge(NOW);
    assert_laws(the_url(), 2);
    assert_int_equal(merged.count, 1);
    assert_int_equal(merged.pairs[0].total.received, 1);
}

static void the_laws_hold_through_duplicates_and_any_order(void **state)
{
    static const uint64_t order[] = {4, 1, 3, 1, 2, 5, 4, 5};
    uint64_t scheduled = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        struct wire_report *report = given_ok(order[i], 10);

        given_failure(&given, 1, HTTP_FAILED_STATUS_CODE, 503);
        given_failure(&given, 1, HTTP_FAILED_LOCAL, 0);
        given_failure(&given, 1, 12345, 0);
        given.unsent_late[1] = (uint32_t)order[i];
        if (apply(report, NOW) == WIRE_APPLIED)
            scheduled += 4 + order[i];
    }
    merge(NOW);
    assert_int_equal(scheduled, 5 * 4 + 1 + 2 + 3 + 4 + 5);
    assert_laws(the_url(), scheduled);
    assert_int_equal(the_url()->total.ended[HTTP_FAILED_STATUS_CODE], 5);
    assert_int_equal(the_url()->total.ended[HTTP_REASON_UNKNOWN], 5);
    assert_int_equal(http_totals_unsent(&the_url()->total), 5 + 15);
    assert_int_equal(shard_counts(shard)->points_http, 20);
}

/* ---- names ---- */

static void a_url_without_a_name_is_an_unknown_table_and_nothing_is_counted(void **state)
{
    struct wire_report *report = given_ok(1, 10);

    (void)state;
    given_success(&given, 7, 10);
    assert_int_equal(apply(report, NOW), WIRE_UNKNOWN_TABLE);
    merge(NOW);
    assert_null(url_of("a", URL));
    given_url(&given, 7, "b", "other.example.com");
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    merge(NOW);
    assert_laws(the_url(), 1);
    assert_laws(url_of("a", "other.example.com"), 1);
}

static void a_host_and_a_url_may_have_one_number(void **state)
{
    static const uint64_t rtts[] = {1 * MSEC};
    struct given icmp;
    struct wire_report *report = given_report(&icmp, 2);

    (void)state;
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_APPLIED);
    given_row(&icmp, 1, rtts, 1, 0, 0);
    assert_int_equal(apply(report, NOW), WIRE_UNKNOWN_TABLE);
    given_name(&icmp, 1, "b", "192.0.2.1", false);
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    assert_int_equal(apply(given_ok(3, 10), NOW), WIRE_APPLIED);
    merge(NOW);
    assert_laws(the_url(), 2);
}

static void passwords_are_not_kept_and_do_not_tell_urls_apart(void **state)
{
    struct wire_report *report = given_http_report(&given, 1);

    (void)state;
    given_url(&given, 1, "b", "https://me:secret@www.example.com/");
    given_url(&given, 2, "b", "https://you:other@www.example.com/");
    given_success(&given, 1, 10);
    given_success(&given, 2, 10);
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    merge(NOW);
    assert_int_equal(merged.url_count, 1);
    assert_laws(the_url(), 2);
    assert_int_equal(the_url()->window.agents, 2);
}

static void a_number_that_is_named_anew_counts_for_its_new_url(void **state)
{
    struct wire_report *report;

    (void)state;
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_APPLIED);
    report = given_failed(2, HTTP_FAILED_TIMEOUT, 0);
    given.names[0].target = "new.example.com";
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    merge(NOW);
    assert_null(url_of("a", URL)); /* not planned, and nobody's any more */
    assert_laws(url_of("a", "new.example.com"), 1);
}

static void beyond_the_limit_of_cells_a_report_of_urls_is_refused_whole(void **state)
{
    (void)state;
    budget.cells_max = 1;
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_INVALID);
    assert_int_equal(shard_counts(shard)->full, 1);
    merge(NOW);
    assert_int_equal(shard_counts(shard)->points_http, 0);
}

static void urls_that_nobody_planned_are_bounded(void **state)
{
    struct wire_report *report;
    char targets[3][32];
    struct shard *small;
    enum wire_outcome outcome;

    (void)state;
    config.pairs_max = 2;
    assert_int_equal(shard_create(&small, &config), PROBER_OK);
    report = given_http_report(&given, 1);
    for (uint32_t i = 0; i < ARRAY_LEN(targets); i++) {
        snprintf(targets[i], sizeof(targets[i]), "%u.example.com", i);
        given_url(&given, i, "b", targets[i]);
    }
    assert_int_equal(shard_apply(small, session, report, NOW, &outcome), PROBER_OK);
    assert_int_equal(outcome, WIRE_INVALID);
    assert_int_equal(shard_counts(small)->full, 1);
    shard_destroy(small);
}

/* ---- what is shown ---- */

static void a_success_shows_its_phases(void **state)
{
    const struct mesh_url_window *w;

    (void)state;
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_APPLIED);
    merge(NOW + 2 * SECOND);
    w = &the_url()->window;
    assert_true(the_url()->has_gauges);
    assert_int_equal(the_url()->age_ns, 2 * SECOND);
    assert_int_equal(w->agents, 1);
    assert_int_equal(w->ended[HTTP_SUCCEEDED], 1);
    for (size_t i = 0; i < HTTP_PHASE_COUNT; i++)
        assert_true(w->phases_ns[i] == 2e6);
    assert_true(w->duration_ns == 10e6);
    assert_int_equal(w->status, 200);
    assert_int_equal(w->version, 20);
    assert_int_equal(w->tls_version, 0x0304);
    assert_int_equal(w->redirects, 1);
    assert_int_equal(w->content_length, 1001);
    assert_int_equal(w->body_length, 1001);
    assert_int_equal(w->dns_answers, 2);
    assert_int_equal(w->earliest_cert_expiry, 2000000000);
    assert_int_equal(w->earliest_tls_version, 0x0304);
    assert_int_equal(w->last_chain_expiry, 2000000000);
}

static struct wire_report *given_mixed(size_t agent)
{
    return agent == 1 ? given_failed(1, HTTP_FAILED_CONNECT_REFUSED, 0)
                      : given_ok(1, agent == 0 ? 10 : 30);
}

static void phases_are_means_over_the_agents_that_succeeded(void **state)
{
    const struct mesh_url_window *w = seen_by(given_mixed, 3);

    (void)state;
    assert_int_equal(w->agents, 3);
    assert_int_equal(w->ended[HTTP_SUCCEEDED], 2);
    assert_int_equal(w->ended[HTTP_FAILED_CONNECT_REFUSED], 1);
    assert_true(w->phases_ns[HTTP_PHASE_CONNECT] == 4e6);
    assert_true(w->duration_ns == 20e6);
}

static struct wire_report *given_most_503(size_t agent)
{
    return agent < 3 ? given_failed(1, HTTP_FAILED_STATUS_CODE, 503) : given_ok(1, 10);
}

static void the_status_code_is_what_most_agents_saw_and_never_a_mean(void **state)
{
    (void)state;
    assert_int_equal(seen_by(given_most_503, 5)->status, 503);
}

static struct wire_report *given_halves(size_t agent)
{
    return agent % 2 ? given_failed(1, HTTP_FAILED_STATUS_CODE, 404) : given_ok(1, 10);
}

static void of_status_codes_that_as_many_agents_saw_the_greatest_is_shown(void **state)
{
    (void)state;
    assert_int_equal(seen_by(given_halves, 4)->status, 404);
}

static struct wire_report *given_most_silent(size_t agent)
{
    return agent < 3 ? given_failed(1, HTTP_FAILED_TIMEOUT, 0) : given_ok(1, 10);
}

static void agents_without_an_answer_have_no_say_about_the_status_code(void **state)
{
    (void)state;
    assert_int_equal(seen_by(given_most_silent, 4)->status, 200);
}

static void without_any_answer_there_is_no_status_code(void **state)
{
    (void)state;
    assert_int_equal(apply(given_failed(1, HTTP_FAILED_TIMEOUT, 0), NOW), WIRE_APPLIED);
    merge(NOW);
    assert_int_equal(the_url()->window.status, 0);
    assert_int_equal(the_url()->window.version, 0);
    assert_int_equal(the_url()->window.redirects, 0);
    assert_int_equal(the_url()->window.body_length, 0);
}

static struct wire_report *given_expiries(size_t agent)
{
    struct wire_report *report = given_ok(1, 10);

    given.earliest_cert_expiry[0] = (const uint64_t[]){1900000000, 1800000000, 0}[agent];
    given.last_chain_expiry[0] = (const uint64_t[]){1900000000, 0, 1950000000}[agent];
    given.tls_version[0] = (const uint32_t[]){0x0304, 0x0303, 0}[agent];
    return report;
}

static void the_expiry_is_the_earliest_that_any_agent_saw(void **state)
{
    const struct mesh_url_window *w = seen_by(given_expiries, 3);

    (void)state;
    assert_int_equal(w->earliest_cert_expiry, 1800000000);
    assert_int_equal(w->earliest_tls_version, 0x0303);
    assert_int_equal(w->last_chain_expiry, 1900000000);
}

static struct wire_report *given_untrusted(size_t agent)
{
    struct wire_report *report = given_failed(1, HTTP_FAILED_TLS_VERIFY_EXPIRED, 0);

    given.earliest_cert_expiry[0] = 1700000000;
    given.tls_version[0] = agent == 0 ? 0x0304 : 0;
    return report;
}

static void the_expiry_is_shown_also_when_verification_failed(void **state)
{
    const struct mesh_url_window *w = seen_by(given_untrusted, 2);

    (void)state;
    assert_int_equal(w->earliest_cert_expiry, 1700000000);
    assert_int_equal(w->earliest_tls_version, 0x0304);
    assert_int_equal(w->last_chain_expiry, 0);
    assert_int_equal(w->ended[HTTP_FAILED_TLS_VERIFY_EXPIRED], 2);
}

static void nonsense_that_a_certificate_says_costs_nothing_but_itself(void **state)
{
    struct wire_report *report = given_ok(1, 10);

    (void)state;
    given.earliest_cert_expiry[0] = UINT64_MAX;
    given.content_length[0] = UINT64_MAX;
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    merge(NOW);
    assert_int_equal(the_url()->window.earliest_cert_expiry, 0);
    assert_laws(the_url(), 1);
}

static void a_reason_is_gone_with_the_next_probe(void **state)
{
    (void)state;
    assert_int_equal(apply(given_failed(1, HTTP_FAILED_TIMEOUT, 0), NOW), WIRE_APPLIED);
    assert_int_equal(apply(given_ok(2, 10), NOW + 15 * SECOND), WIRE_APPLIED);
    merge(NOW + 15 * SECOND);
    assert_int_equal(the_url()->window.ended[HTTP_FAILED_TIMEOUT], 0);
    assert_int_equal(the_url()->window.ended[HTTP_SUCCEEDED], 1);
    assert_laws(the_url(), 2);
}

static void an_older_report_that_comes_later_does_not_replace_the_newer(void **state)
{
    struct wire_report *old;

    (void)state;
    assert_int_equal(apply(given_ok(2, 10), NOW), WIRE_APPLIED);
    old = given_failed(1, HTTP_FAILED_TIMEOUT, 0);
    old->age_ns = 15 * SECOND;
    assert_int_equal(apply(old, NOW), WIRE_APPLIED);
    merge(NOW);
    assert_int_equal(the_url()->window.ended[HTTP_SUCCEEDED], 1);
    assert_int_equal(the_url()->window.agents, 1);
}

static void of_two_probes_in_one_report_the_later_one_is_shown(void **state)
{
    struct wire_report *report = given_ok(1, 10);

    (void)state;
    given_failure(&given, 1, HTTP_FAILED_TIMEOUT, 0);
    given.age_ns[1] = 5 * SECOND; /* before the success */
    report->age_ns = SECOND;
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
    merge(NOW);
    assert_int_equal(the_url()->window.ended[HTTP_SUCCEEDED], 1);
    assert_int_equal(the_url()->age_ns, SECOND);
    assert_laws(the_url(), 2);
}

static void a_probe_that_measured_nothing_leaves_what_was_seen(void **state)
{
    (void)state;
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_APPLIED);
    assert_int_equal(apply(given_failed(2, HTTP_FAILED_LOCAL, 0), NOW + SECOND), WIRE_APPLIED);
    merge(NOW + SECOND);
    assert_int_equal(the_url()->window.ended[HTTP_SUCCEEDED], 1);
    assert_int_equal(the_url()->window.ended[HTTP_FAILED_LOCAL], 0);
    assert_int_equal(http_totals_failed(&the_url()->total), 0);
    assert_int_equal(http_totals_unsent(&the_url()->total), 1);
    assert_laws(the_url(), 2);
}

/* ---- age ---- */

static void a_probe_is_fresh_for_two_intervals_and_a_timeout(void **state)
{
    struct session *other = given_session(2, 1, "a");

    (void)state;
    assert_int_equal(apply(given_failed(1, HTTP_FAILED_TIMEOUT, 0), NOW), WIRE_APPLIED);
    assert_int_equal(apply_for(other, given_ok(1, 10), NOW + SECOND), WIRE_APPLIED);
    merge(NOW + 33 * SECOND);
    assert_int_equal(the_url()->window.agents, 2);
    merge(NOW + 34 * SECOND);
    assert_int_equal(the_url()->window.agents, 1);
    assert_int_equal(the_url()->window.ended[HTTP_FAILED_TIMEOUT], 0);
    session_put(other);
}

static void a_probe_that_took_longer_than_the_timeout_is_fresh_for_longer(void **state)
{
    struct session *other = given_session(2, 1, "a");

    (void)state;
    assert_int_equal(apply(given_failed(1, HTTP_FAILED_TIMEOUT, 0), NOW), WIRE_APPLIED);
    given_failed(1, HTTP_FAILED_TIMEOUT, 0);
    given.duration_ns[0] = 13 * SECOND;
    assert_int_equal(apply_for(other, &given.report, NOW), WIRE_APPLIED);
    merge(NOW + 43 * SECOND);
    assert_int_equal(the_url()->window.agents, 1);
    assert_int_equal(the_url()->age_ns, 43 * SECOND);
    session_put(other);
}

static void gauges_stay_until_they_expire_and_counters_of_what_is_unknown_go_then(void **state)
{
    (void)state;
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_APPLIED);
    merge(NOW);
    merge(NOW + EXPIRY);
    assert_true(the_url()->has_gauges);
    assert_int_equal(the_url()->age_ns, EXPIRY);
    merge(NOW + EXPIRY + 1);
    assert_null(url_of("a", URL));
}

static void gauges_of_an_earlier_boot_go_when_the_next_has_results(void **state)
{
    struct session *reboot = given_session(1, 2, "a");

    (void)state;
    assert_int_equal(apply(given_failed(1, HTTP_FAILED_TIMEOUT, 0), NOW), WIRE_APPLIED);
    assert_int_equal(apply_for(reboot, given_ok(1, 10), NOW + SECOND), WIRE_APPLIED);
    merge(NOW + SECOND);
    assert_int_equal(the_url()->window.agents, 1);
    assert_int_equal(the_url()->window.ended[HTTP_SUCCEEDED], 1);
    assert_laws(the_url(), 2);
    session_put(reboot);
}

static void cells_of_urls_that_are_not_probed_any_more_are_given_back(void **state)
{
    (void)state;
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_APPLIED);
    assert_int_equal(atomic_load(&budget.cells), 2);
    merge(NOW + 601 * SECOND);
    assert_int_equal(atomic_load(&budget.cells), 0);
    assert_int_equal(apply(given_ok(2, 10), NOW + 601 * SECOND), WIRE_APPLIED);
    merge(NOW + 601 * SECOND);
    assert_laws(the_url(), 1);
}

static void what_comes_too_late_counts_apart(void **state)
{
    struct wire_report *late;

    (void)state;
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_APPLIED);
    late = given_failed(2, HTTP_FAILED_TIMEOUT, 0);
    given_success(&given, 1, 10);
    given_failure(&given, 1, HTTP_FAILED_LOCAL, 0);
    given.unsent_late[0] = 2;
    late->age_ns = EXPIRY + 1;
    assert_int_equal(apply(late, NOW), WIRE_BACKFILLED);
    assert_int_equal(apply(late, NOW), WIRE_BACKFILLED);
    merge(NOW);
    assert_laws(the_url(), 1);
    assert_int_equal(the_url()->window.ended[HTTP_SUCCEEDED], 1);
    assert_int_equal(the_url()->backfilled.succeeded, 1);
    assert_int_equal(the_url()->backfilled.failed, 1);
    assert_int_equal(the_url()->backfilled.unsent, 3);
    assert_int_equal(shard_counts(shard)->points_http, 1);
}

/* ---- the plan ---- */

static void planned_urls_have_counters_at_zero_from_the_first_merge(void **state)
{
    (void)state;
    given_plan(file, regions, ARRAY_LEN(regions));
    merge(NOW);
    assert_int_equal(merged.url_count, 3); /* b does not probe what is in b, a not what is in c */
    assert_true(the_url()->planned);
    assert_false(the_url()->has_gauges);
    assert_laws(the_url(), 0);
    assert_non_null(url_of("b", "y"));
    assert_non_null(url_of("b", "http://x.example/"));
}

static void a_url_keeps_its_counters_while_it_is_in_the_plan(void **state)
{
    static const char *const later[] = {"b"};
    struct directory_agent dead = given_agent(1, "a");

    (void)state;
    given_plan(file, regions, ARRAY_LEN(regions));
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_APPLIED);
    merge(NOW);
    directory.agents = &dead;
    directory.agent_count = 1;
    given_plan(file, later, ARRAY_LEN(later));
    merge(NOW + 602 * SECOND);
    assert_null(url_of("a", URL));
    given_plan(file, regions, ARRAY_LEN(regions));
    merge(NOW + 604 * SECOND);
    assert_laws(the_url(), 1);
}

static void a_url_that_left_the_plan_goes_with_its_gauges(void **state)
{
    (void)state;
    given_plan(file, regions, ARRAY_LEN(regions));
    assert_int_equal(apply(given_ok(1, 10), NOW), WIRE_APPLIED);
    merge(NOW);
    given_plan("prober_configs: []", regions, ARRAY_LEN(regions));
    merge(NOW + SECOND);
    assert_int_equal(merged.url_count, 1);
    assert_false(the_url()->planned);
    merge(NOW + 601 * SECOND);
    given_plan(file, regions, ARRAY_LEN(regions));
    merge(NOW + 602 * SECOND);
    assert_laws(the_url(), 0);
}

static void planned_urls_find_room_whatever_agents_named(void **state)
{
    struct wire_report *report = given_http_report(&given, 1);
    struct shard *small;
    enum wire_outcome outcome;

    (void)state;
    config.pairs_max = 1;
    assert_int_equal(shard_create(&small, &config), PROBER_OK);
    given_url(&given, 1, "b", "made.up.example");
    assert_int_equal(shard_apply(small, session, report, NOW, &outcome), PROBER_OK);
    assert_int_equal(outcome, WIRE_APPLIED);
    shard_destroy(shard);
    shard = small;
    given_plan(file, regions, ARRAY_LEN(regions));
    merge(NOW);
    assert_int_equal(merged.url_count, 3);
    assert_int_equal(apply(given_ok(2, 10), NOW), WIRE_INVALID); /* the second one is made up */
    report = given_http_report(&given, 3);
    given_url(&given, 2, "b", URL);
    given_success(&given, 2, 10);
    assert_int_equal(apply(report, NOW), WIRE_APPLIED);
}

/* ---- the histogram ---- */

static void durations_fall_into_buckets_whose_bounds_they_may_equal(void **state)
{
    static const uint64_t ms[] = {5, 6, 30000, 30001};
    const struct mesh_url *url;

    (void)state;
    for (uint64_t i = 0; i < ARRAY_LEN(ms); i++)
        assert_int_equal(apply(given_ok(i + 1, ms[i]), NOW), WIRE_APPLIED);
    merge(NOW);
    url = the_url();
    assert_int_equal(url->total_buckets[0], 1);
    assert_int_equal(url->total_buckets[1], 2);
    assert_int_equal(url->total_buckets[MESH_URL_BUCKETS - 2], 2);
    assert_int_equal(url->total_buckets[MESH_URL_BUCKETS - 1], 3);
    assert_int_equal(url->total_buckets[MESH_URL_BUCKETS], 4);
    assert_int_equal(url->total_duration_ns, (5 + 6 + 30000 + 30001) * MSEC);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_report_of_urls_is_counted_once_however_often_it_comes),
        TEST(urls_and_hosts_share_the_sequence_numbers_of_their_boot),
        TEST(the_laws_hold_through_duplicates_and_any_order),
        TEST(a_url_without_a_name_is_an_unknown_table_and_nothing_is_counted),
        TEST(a_host_and_a_url_may_have_one_number),
        TEST(passwords_are_not_kept_and_do_not_tell_urls_apart),
        TEST(a_number_that_is_named_anew_counts_for_its_new_url),
        TEST(beyond_the_limit_of_cells_a_report_of_urls_is_refused_whole),
        TEST(urls_that_nobody_planned_are_bounded),
        TEST(a_success_shows_its_phases),
        TEST(phases_are_means_over_the_agents_that_succeeded),
        TEST(the_status_code_is_what_most_agents_saw_and_never_a_mean),
        TEST(of_status_codes_that_as_many_agents_saw_the_greatest_is_shown),
        TEST(agents_without_an_answer_have_no_say_about_the_status_code),
        TEST(without_any_answer_there_is_no_status_code),
        TEST(the_expiry_is_the_earliest_that_any_agent_saw),
        TEST(the_expiry_is_shown_also_when_verification_failed),
        TEST(nonsense_that_a_certificate_says_costs_nothing_but_itself),
        TEST(a_reason_is_gone_with_the_next_probe),
        TEST(an_older_report_that_comes_later_does_not_replace_the_newer),
        TEST(of_two_probes_in_one_report_the_later_one_is_shown),
        TEST(a_probe_that_measured_nothing_leaves_what_was_seen),
        TEST(a_probe_is_fresh_for_two_intervals_and_a_timeout),
        TEST(a_probe_that_took_longer_than_the_timeout_is_fresh_for_longer),
        TEST(gauges_stay_until_they_expire_and_counters_of_what_is_unknown_go_then),
        TEST(gauges_of_an_earlier_boot_go_when_the_next_has_results),
        TEST(cells_of_urls_that_are_not_probed_any_more_are_given_back),
        TEST(what_comes_too_late_counts_apart),
        TEST(planned_urls_have_counters_at_zero_from_the_first_merge),
        TEST(a_url_keeps_its_counters_while_it_is_in_the_plan),
        TEST(a_url_that_left_the_plan_goes_with_its_gauges),
        TEST(planned_urls_find_room_whatever_agents_named),
        TEST(durations_fall_into_buckets_whose_bounds_they_may_equal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
