#include "test/unit/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/compress.h"
#include "serverd/aggregate.h"
#include "test/unit/given_report.h"

#define MAX (16u << 20)

static struct ingest *ingest;
static struct directory_board *board;
static struct aggregate *aggregate;
static struct aggregate_config config;

static int set_up(void **state)
{
    const struct ingest_config ingest_config = {
        .shards = 2, .aggregation_interval_ns = 15 * SECOND, .series_cache_ratio = 5};

    (void)state;
    assert_int_equal(ingest_create(&ingest, &ingest_config, NULL), PROBER_OK);
    assert_int_equal(directory_board_create(&board), PROBER_OK);
    config =
        (struct aggregate_config){.ingest = ingest, .board = board, .interval_ns = 3600 * SECOND};
    assert_int_equal(aggregate_create(&aggregate, &config, NULL), PROBER_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    aggregate_destroy(aggregate);
    directory_board_destroy(board);
    ingest_destroy(ingest);
    return 0;
}

/* ---- givens and looks ---- */

static void plan_a_to_b(void)
{
    const struct directory_pair pair = {"a", "b"};
    const struct directory from = {.pairs = &pair, .pair_count = 1};
    struct directory *directory;

    assert_int_equal(directory_create(&directory, &from), PROBER_OK);
    directory_publish(board, directory);
}

static void report_to_b(void)
{
    static const uint64_t rtts[] = {1 * MSEC, 2 * MSEC};
    struct session *session = given_session(1, 1, "a");
    struct given given;
    struct wire_request request = {.protocol = WIRE_PROTOCOL, .call = WIRE_REPORT}, decoded;
    struct strbuf bytes = STRBUF_INIT;

    session->shard = ingest_shard_of(ingest, "a");
    request.agent_id = session->agent_id;
    request.boot_id = session->boot_id;
    given_report(&given, 1);
    given_name(&given, 1, "b", "192.0.2.1", false);
    given_row(&given, 1, rtts, ARRAY_LEN(rtts), 0, 0);
    request.as.report = given.report;
    assert_int_equal(wire_request_encode(&request, &bytes), PROBER_OK);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &decoded, NULL), PROBER_OK);
    strbuf_free(&bytes);
    ingest_submit(ingest, session, NULL, &decoded, clock_monotonic_ns());
}

static bool scrape_has(const struct aggregate_scrape *scrape, const char *text)
{
    size_t len;
    const char *bytes = aggregate_scrape_bytes(scrape, &len);

    return memmem(bytes, len, text, strlen(text)) != NULL;
}

static bool newest_has(enum metrics_format format, const char *text)
{
    struct aggregate_scrape *scrape = aggregate_scrape(aggregate, format, false);
    bool has = scrape_has(scrape, text);

    aggregate_scrape_put(scrape);
    return has;
}

/* ---- tests ---- */

static void there_is_a_snapshot_from_the_start(void **state)
{
    struct mesh *mesh = aggregate_mesh(aggregate);

    (void)state;
    assert_int_equal(mesh->number, 1);
    assert_int_equal(mesh->pair_count, 0);
    mesh_put(mesh);
    assert_true(newest_has(METRICS_PROMETHEUS, "prober_server_task_enabled 0\n"));
    assert_true(newest_has(METRICS_OPENMETRICS, "# EOF\n"));
    assert_true(aggregate_progress_ns(aggregate) > 0);
    assert_int_equal(aggregate_failures(aggregate), 0);
}

static void a_refresh_shows_the_newest_plan_and_reports(void **state)
{
    struct mesh *mesh;

    (void)state;
    plan_a_to_b();
    aggregate_refresh(aggregate);
    assert_true(newest_has(METRICS_PROMETHEUS, "prober_icmp_packets_sent_total{"
                                               "source_region=\"a\",target_region=\"b\"} 0\n"));
    report_to_b();
    aggregate_refresh(aggregate);
    assert_true(newest_has(METRICS_OPENMETRICS, "prober_icmp_packets_sent_total{"
                                                "source_region=\"a\",target_region=\"b\"} 2\n"));
    mesh = aggregate_mesh(aggregate);
    assert_int_equal(mesh->number, 3);
    assert_int_equal(mesh_find(mesh, "a", "b")->window.rtt.count, 2);
    mesh_put(mesh);
}

static void all_scrapes_of_a_snapshot_are_the_same_bytes(void **state)
{
    struct aggregate_scrape *one, *two;

    (void)state;
    one = aggregate_scrape(aggregate, METRICS_PROMETHEUS, true);
    two = aggregate_scrape(aggregate, METRICS_PROMETHEUS, true);
    assert_ptr_equal(one, two);
    aggregate_scrape_put(one);
    aggregate_scrape_put(two);
}

static void gzip_holds_what_is_served_plain(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) { /* made on demand, then ahead */
        struct aggregate_scrape *plain = aggregate_scrape(aggregate, METRICS_OPENMETRICS, false);
        struct aggregate_scrape *gzip = aggregate_scrape(aggregate, METRICS_OPENMETRICS, true);
        size_t plain_len, gzip_len, len;
        const void *plain_bytes = aggregate_scrape_bytes(plain, &plain_len);
        const void *gzip_bytes = aggregate_scrape_bytes(gzip, &gzip_len);
        void *bytes;

        assert_false(aggregate_scrape_is_gzip(plain));
        assert_true(aggregate_scrape_is_gzip(gzip));
        assert_true(gzip_len < plain_len);
        assert_int_equal(compress_gunzip(gzip_bytes, gzip_len, MAX, &bytes, &len), PROBER_OK);
        assert_int_equal(len, plain_len);
        assert_memory_equal(bytes, plain_bytes, len);
        free(bytes);
        aggregate_scrape_put(plain);
        aggregate_scrape_put(gzip);
        aggregate_refresh(aggregate);
    }
}

static void a_scrape_outlives_its_snapshot_and_the_aggregate(void **state)
{
    struct aggregate_scrape *scrape = aggregate_scrape(aggregate, METRICS_PROMETHEUS, false);
    struct mesh *mesh = aggregate_mesh(aggregate);

    (void)state;
    aggregate_refresh(aggregate);
    aggregate_destroy(aggregate);
    aggregate = NULL;
    assert_true(scrape_has(scrape, "prober_server_aggregations_total 1\n"));
    assert_int_equal(mesh->number, 1);
    aggregate_scrape_put(scrape);
    mesh_put(mesh);
}

static void it_aggregates_by_itself_every_interval(void **state)
{
    uint64_t number = 0;

    (void)state;
    aggregate_destroy(aggregate);
    config.interval_ns = 1 * MSEC;
    assert_int_equal(aggregate_create(&aggregate, &config, NULL), PROBER_OK);
    while (number < 5) { /* as long as it takes: a thread that stands still hangs the test */
        struct mesh *mesh = aggregate_mesh(aggregate);

        number = mesh->number;
        mesh_put(mesh);
    }
}

static void an_interval_of_nothing_is_refused(void **state)
{
    struct aggregate *none = NULL;
    struct prober_failure why;

    (void)state;
    config.interval_ns = 0;
    assert_int_equal(aggregate_create(&none, &config, &why), PROBER_ERR_RANGE);
    assert_null(none);
}

static void *scrape_often(void *context)
{
    (void)context;
    for (int i = 0; i < 50; i++) {
        struct aggregate_scrape *scrape =
            aggregate_scrape(aggregate, (enum metrics_format)(i % 2), i % 3 == 0);
        struct mesh *mesh = aggregate_mesh(aggregate);

        if (i % 10 == 0)
            aggregate_refresh(aggregate);
        aggregate_scrape_put(scrape);
        mesh_put(mesh);
    }
    return NULL;
}

static void many_threads_scrape_while_it_aggregates(void **state)
{
    pthread_t threads[4];

    (void)state;
    plan_a_to_b();
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, scrape_often, NULL), 0);
    report_to_b();
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_true(
        newest_has(METRICS_PROMETHEUS, "prober_server_reports_total{outcome=\"applied\"} 1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(there_is_a_snapshot_from_the_start),
        TEST(a_refresh_shows_the_newest_plan_and_reports),
        TEST(all_scrapes_of_a_snapshot_are_the_same_bytes),
        TEST(gzip_holds_what_is_served_plain),
        TEST(a_scrape_outlives_its_snapshot_and_the_aggregate),
        TEST(it_aggregates_by_itself_every_interval),
        TEST(an_interval_of_nothing_is_refused),
        TEST(many_threads_scrape_while_it_aggregates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
