#include "test/unit/unit.h"

#include <pthread.h>
#include <stdio.h>

#include "common/array.h"
#include "serverd/ingest.h"
#include "test/unit/fakes/fake_reply.h"
#include "test/unit/given_http_report.h"

#define NOW (1000000 * SECOND)
#define AGENTS 24

static const uint64_t rtts[] = {1 * MSEC, 3 * MSEC};

static struct ingest_config config;
static struct ingest *ingest;
static struct mesh *mesh;
static char a_call; /* any address stands for a call */

static int set_up(void **state)
{
    (void)state;
    fake_reply_reset();
    config = (struct ingest_config){.shards = 3,
                                    .server_boot = {{7}},
                                    .aggregation_interval_ns = 15 * SECOND,
                                    .series_cache_ratio = 5};
    return ingest_create(&ingest, &config, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    mesh_put(mesh);
    mesh = NULL;
    ingest_destroy(ingest);
    ingest = NULL;
    return 0;
}

/* ---- givens ---- */

static struct session *session_of(uint32_t number, const char *region)
{
    struct session *session = given_session(number, 1, region);

    session->shard = ingest_shard_of(ingest, region);
    return session;
}

/* A report as it comes out of the decoder: it owns its memory. */
static struct wire_request decoded(const struct wire_report *report)
{
    struct wire_request request = {
        .protocol = WIRE_PROTOCOL, .agent_id = {{1}}, .boot_id = {{2}}, .call = WIRE_REPORT};
    struct wire_request out;
    struct strbuf bytes = STRBUF_INIT;

    request.as.report = *report;
    assert_int_equal(wire_request_encode(&request, &bytes), PROBER_OK);
    assert_int_equal(wire_request_decode(bytes.bytes, bytes.len, &out, NULL), PROBER_OK);
    strbuf_free(&bytes);
    return out;
}

static void submit(struct session *session, uint64_t sequence, const char *target, void *call)
{
    struct given given;
    struct wire_report *report = given_report(&given, sequence);
    struct wire_request request;

    given_name(&given, (uint32_t)target[0], target, "192.0.2.1", false);
    given_row(&given, (uint32_t)target[0], rtts, ARRAY_LEN(rtts), 1, 0);
    request = decoded(report);
    ingest_submit(ingest, session_get(session), call, &request, NOW);
}

/* One probe of a URL, which failed. */
static void submit_url(struct session *session, uint64_t sequence, const char *region,
                       const char *target)
{
    struct given_http given;
    struct wire_report *report = given_http_report(&given, sequence);
    struct wire_request request;

    given_url(&given, (uint32_t)target[0], region, target);
    given_failure(&given, (uint32_t)target[0], HTTP_FAILED_STATUS_CODE, 503);
    request = decoded(report);
    ingest_submit(ingest, session_get(session), NULL, &request, NOW);
}

static void collect_with(const struct directory *directory)
{
    mesh_put(mesh);
    mesh = NULL;
    assert_int_equal(ingest_collect(ingest, directory, NOW, 5 * NOW, &mesh), PROBER_OK);
}

static void collect(void)
{
    static const struct directory nobody;

    collect_with(&nobody);
}

/* ---- tests ---- */

static void what_is_queued_of_an_expelled_agent_is_not_applied(void **state)
{
    struct session *session = session_of(1, "a");

    (void)state;
    session_expel(session);
    submit(session, 1, "b", &a_call);
    collect();
    assert_int_equal(fake_reply_count(), 1);
    assert_int_equal(fake_reply_at(0).reply.status, WIRE_HELLO_NEEDED);
    assert_null(mesh_find(mesh, "a", "b"));
    session_put(session);
}

static void a_report_is_answered_after_it_was_applied(void **state)
{
    struct session *session = session_of(1, "a");
    struct fake_reply first, second;

    (void)state;
    submit(session, 9, "b", &a_call);
    submit(session, 9, "b", &a_call);
    collect();
    assert_int_equal(fake_reply_count(), 2);
    first = fake_reply_at(0);
    second = fake_reply_at(1);
    assert_ptr_equal(first.call, &a_call);
    assert_int_equal(first.reply.status, WIRE_OK);
    assert_int_equal(first.reply.call, WIRE_REPORT);
    assert_int_equal(first.reply.as.report.sequence, 9);
    assert_int_equal(first.reply.as.report.outcome, WIRE_APPLIED);
    assert_int_equal(first.reply.server_boot_id.bytes[0], 7);
    assert_int_equal(second.reply.as.report.outcome, WIRE_DUPLICATE);
    assert_int_equal(mesh_find(mesh, "a", "b")->total.received, 2);
    session_put(session);
}

static void every_shard_takes_part_in_the_mesh_and_rows_are_in_order(void **state)
{
    struct session *session;
    char region[32];

    (void)state;
    for (uint32_t i = 0; i < AGENTS; i++) {
        snprintf(region, sizeof(region), "r%02u", (unsigned)(AGENTS - 1 - i));
        session = session_of(i, region);
        submit(session, 1, "x", NULL);
        submit(session, 2, "b", NULL);
        session_put(session);
    }
    collect();
    assert_int_equal(mesh->pair_count, 2 * AGENTS);
    for (size_t i = 0; i < mesh->pair_count; i++) {
        snprintf(region, sizeof(region), "r%02zu", i / 2);
        assert_string_equal(mesh->pairs[i].source, region);
        assert_string_equal(mesh->pairs[i].target, i % 2 ? "x" : "b");
    }
    assert_int_equal(mesh->receive_points_icmp, 2 * AGENTS);
    assert_int_equal(mesh->reports_applied, 2 * AGENTS);
    assert_int_equal(mesh->agents, AGENTS);
    assert_int_equal(mesh->cells, 2 * AGENTS);
    assert_null(mesh_find(mesh, "r00", "c"));
    assert_null(mesh_find(mesh, "z", "x"));
}

static void urls_of_every_shard_are_in_order_and_have_their_names(void **state)
{
    static const char *const wanted[3][2] = {{"a", "y"}, {"web", "x"}, {"web", "z"}};
    struct session *session;
    struct mesh *kept;
    char region[32];

    (void)state;
    for (uint32_t i = 0; i < AGENTS; i++) {
        snprintf(region, sizeof(region), "r%02u", (unsigned)(AGENTS - 1 - i));
        session = session_of(i, region);
        submit_url(session, 1, "web", "z");
        submit_url(session, 2, "web", "x");
        submit_url(session, 3, "a", "y");
        submit(session, 4, "b", NULL);
        session_put(session);
    }
    collect();
    kept = mesh_get(mesh);
    ingest_destroy(ingest);
    ingest = NULL;
    assert_int_equal(kept->url_count, 3 * AGENTS);
    for (size_t i = 0; i < kept->url_count; i++) {
        snprintf(region, sizeof(region), "r%02zu", i / 3);
        assert_string_equal(kept->urls[i].source, region);
        assert_string_equal(kept->urls[i].region, wanted[i % 3][0]);
        assert_string_equal(kept->urls[i].target, wanted[i % 3][1]);
        assert_int_equal(kept->urls[i].window.status, 503);
        assert_int_equal(kept->urls[i].total_failed, 1);
    }
    assert_int_equal(kept->pair_count, AGENTS);
    assert_string_equal(kept->pairs[AGENTS - 1].target, "b");
    assert_int_equal(kept->receive_points_http, 3 * AGENTS);
    assert_int_equal(kept->receive_points_icmp, AGENTS);
    assert_int_equal(kept->cells, 4 * AGENTS);
    mesh_put(kept);
}

static void a_mesh_outlives_the_ingest_and_the_next_mesh(void **state)
{
    struct session *session = session_of(1, "a");
    struct mesh *kept;

    (void)state;
    submit(session, 1, "b", NULL);
    collect();
    kept = mesh_get(mesh);
    collect();
    assert_int_equal(mesh->number, 2);
    ingest_destroy(ingest);
    ingest = NULL;
    assert_int_equal(kept->number, 1);
    assert_int_equal(kept->made_mono_ns, NOW);
    assert_int_equal(kept->made_real_ns, 5 * NOW);
    assert_string_equal(kept->pairs[0].target, "b");
    mesh_put(kept);
    session_put(session);
}

static void planned_pairs_are_there_before_any_report(void **state)
{
    struct directory_pair pairs[] = {{"a", "b"}, {"a", "c"}, {"b", "a"}, {"c", "a"}};
    struct directory directory = {.pairs = pairs, .pair_count = ARRAY_LEN(pairs)};

    (void)state;
    collect_with(&directory);
    assert_int_equal(mesh->pair_count, ARRAY_LEN(pairs));
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        assert_non_null(mesh_find(mesh, pairs[i].source, pairs[i].target));
}

static void arrivals_reach_the_pair_of_their_sender_in_another_shard(void **state)
{
    struct directory_agent agents[AGENTS];
    struct directory_pair pairs[AGENTS];
    struct directory directory = {
        .agents = agents, .agent_count = AGENTS, .pairs = pairs, .pair_count = AGENTS};
    char regions[AGENTS][8];
    struct session *session = session_of(100, "target");
    struct given given;
    struct wire_report *report = given_report(&given, 1);
    struct wire_request request;

    (void)state;
    for (uint32_t i = 0; i < AGENTS; i++) {
        snprintf(regions[i], sizeof(regions[i]), "r%02u", (unsigned)i);
        agents[i] = given_agent(i, regions[i]);
        pairs[i] = (struct directory_pair){regions[i], "target"};
    }
    collect_with(&directory);
    for (uint32_t i = 0; i < GIVEN_ROWS - 1; i++)
        given_arrival(&given, i, i + 1);
    given_arrival(&given, 555, 10);
    request = decoded(report);
    ingest_submit(ingest, session_get(session), NULL, &request, NOW);
    collect_with(&directory);
    for (size_t i = 0; i < GIVEN_ROWS - 1; i++)
        assert_int_equal(mesh_find(mesh, regions[i], "target")->arrived, i + 1);
    assert_int_equal(mesh->arrivals_unknown, 10);
    session_put(session);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static unsigned told;

/* Runs on a shard's thread: as long as the test holds the gate, the shard takes nothing more. */
static void wait_at_the_gate(void *context, const struct ingest_outage *outage)
{
    (void)context;
    (void)outage;
    pthread_mutex_lock(&gate);
    told++;
    pthread_mutex_unlock(&gate);
}

static void when_the_queue_is_full_a_report_is_refused_and_can_be_sent_again(void **state)
{
    struct session *session;
    struct given given;
    struct wire_report *report = given_report(&given, 1000);
    struct wire_request request;
    size_t busy = 0;

    (void)state;
    ingest_destroy(ingest);
    config.queue_capacity = 2;
    config.outage = wait_at_the_gate;
    assert_int_equal(ingest_create(&ingest, &config, NULL), PROBER_OK);
    session = session_of(1, "a");
    pthread_mutex_lock(&gate);
    given_name(&given, 1, "b", "192.0.2.1", false);
    given_row(&given, 1, rtts, ARRAY_LEN(rtts), 0, 0);
    report->age_ns = 3600 * SECOND;
    request = decoded(report);
    ingest_submit(ingest, session_get(session), NULL, &request, NOW);
    for (uint64_t i = 1; i <= 10; i++)
        submit(session, i, "b", &a_call);
    for (size_t i = 0; i < fake_reply_count(); i++)
        busy += fake_reply_at(i).reply.status == WIRE_BUSY;
    pthread_mutex_unlock(&gate);
    collect();
    assert_int_equal(busy, 9);
    assert_int_equal(mesh->reports_busy, 9);
    assert_int_equal(mesh->reports_applied, 1);
    assert_int_equal(told, 1);
    submit(session, 5, "b", &a_call);
    collect();
    assert_int_equal(mesh->reports_applied, 2);
    session_put(session);
}

static void what_is_queued_at_the_end_is_applied_and_answered(void **state)
{
    struct session *session = session_of(1, "a");

    (void)state;
    for (uint64_t i = 1; i <= 50; i++)
        submit(session, i, "b", &a_call);
    ingest_destroy(ingest);
    ingest = NULL;
    assert_int_equal(fake_reply_count(), 50);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(fake_reply_at(i).reply.as.report.outcome, WIRE_APPLIED);
    session_put(session);
}

struct sender {
    pthread_t thread;
    struct session *session;
};

static void *send_many(void *context)
{
    struct sender *sender = context;

    for (uint64_t i = 1; i <= 50; i++) {
        submit(sender->session, i, "x", NULL);
        submit(sender->session, i, "x", NULL);
        submit_url(sender->session, 50 + i, "web", "u");
    }
    return NULL;
}

static void many_threads_submit_while_the_mesh_is_collected(void **state)
{
    struct sender senders[4];
    char region[8];

    (void)state;
    for (uint32_t i = 0; i < ARRAY_LEN(senders); i++) {
        snprintf(region, sizeof(region), "r%u", (unsigned)i);
        senders[i].session = session_of(i, region);
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    for (int i = 0; i < 20; i++)
        collect();
    for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
        pthread_join(senders[i].thread, NULL);
        session_put(senders[i].session);
    }
    collect();
    assert_int_equal(mesh->reports_applied, 100 * ARRAY_LEN(senders));
    assert_int_equal(mesh->reports_duplicate, 50 * ARRAY_LEN(senders));
    assert_int_equal(mesh_find(mesh, "r3", "x")->total.sent, 150);
    assert_int_equal(mesh->url_count, ARRAY_LEN(senders));
    assert_int_equal(mesh->urls[3].total_failed, 50);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_report_is_answered_after_it_was_applied),
        TEST(what_is_queued_of_an_expelled_agent_is_not_applied),
        TEST(every_shard_takes_part_in_the_mesh_and_rows_are_in_order),
        TEST(urls_of_every_shard_are_in_order_and_have_their_names),
        TEST(a_mesh_outlives_the_ingest_and_the_next_mesh),
        TEST(planned_pairs_are_there_before_any_report),
        TEST(arrivals_reach_the_pair_of_their_sender_in_another_shard),
        TEST(when_the_queue_is_full_a_report_is_refused_and_can_be_sent_again),
        TEST(what_is_queued_at_the_end_is_applied_and_answered),
        TEST(many_threads_submit_while_the_mesh_is_collected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
