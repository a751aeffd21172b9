#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "agentd/icmp_rows.h"
#include "agentd/uplink.h"
#include "common/log.h"
#include "fakes/fake_secure_link.h"
#include "fakes/fake_task_worker.h"
#include "given_files.h"

#define S(n) ((uint64_t)(n)*CLOCK_NS_PER_S)

/* A server that has a task for the agent until it hears of it. */
static struct {
    const char *task; /* NULL: none */
    enum wire_status refuse_task;
    enum wire_task_outcome outcome;
    enum prober_error fail; /* of reports of tasks: no answer */
    bool can_task;          /* the agent said so */
    uint64_t have;          /* of its output */
    struct strbuf story;    /* of what came in */
} server;

static struct given_files files;
static struct task_ledger *ledger;
static struct task_desk *desk;
static struct wakeup wakeup;
static struct spool *spool;
static struct agent_stats *stats;
static struct secure_link *peer;
static struct uplink *uplink;
static struct clock_reading now;

static void take_hello(const struct wire_hello *hello)
{
    server.can_task = false;
    for (size_t i = 0; i < hello->capability_count; i++)
        server.can_task |= strcmp(hello->capabilities[i], "task") == 0;
}

static void take_report(const struct wire_task_report *report, struct wire_reply *reply)
{
    strbuf_printf(&server.story, "%s %u", report->task, (unsigned)report->state);
    for (size_t i = 0; i < report->chunk_count; i++) {
        strbuf_printf(&server.story, " %.*s", (int)report->chunks[i].len, report->chunks[i].bytes);
        server.have = report->chunks[i].offset + report->chunks[i].len;
    }
    strbuf_puts(&server.story, ";");
    server.task = NULL;
    reply->status = server.refuse_task;
    if (server.refuse_task)
        return;
    reply->call = WIRE_TASK_REPORT;
    reply->as.task_report = (struct wire_task_report_reply){server.outcome, server.have, 0};
}

static enum prober_error serve(void *context, const struct wire_request *request,
                               struct wire_reply *reply)
{
    static struct wire_task task = {NULL, "ping ::1", 8, S(60)};
    (void)context;

    reply->call = request->call;
    switch (request->call) {
    case WIRE_HELLO:
        take_hello(&request->as.hello);
        reply->as.hello = (struct wire_hello_reply){.heartbeat_ns = S(10)};
        break;
    case WIRE_SYNC:
        task.id = server.task;
        reply->as.sync =
            (struct wire_sync_reply){.tasks = &task, .task_count = server.task != NULL};
        break;
    case WIRE_REPORT:
        strbuf_puts(&server.story, "probes;");
        reply->as.report.sequence = request->as.report.sequence;
        break;
    default:
        reply->call = WIRE_CALL_NONE;
        if (server.fail)
            return server.fail;
        take_report(&request->as.task_report, reply);
    }
    return PROBER_OK;
}

static void on_presence(void *context, uint32_t number, const struct prober_addr *observed)
{
    (void)context;
    (void)number;
    (void)observed;
}

static void on_addresses(void *context, struct address_set *out)
{
    (void)context;
    *out = (struct address_set){0};
}

static void given_uplink(void)
{
    const struct uplink_config config = {.region = "here",
                                         .probe_interval_ns = S(15),
                                         .probe_timeout_ns = S(3),
                                         .sync_interval_ns = S(60),
                                         .spool = spool,
                                         .stats = stats,
                                         .link = peer,
                                         .tasks = desk,
                                         .wakeup = &wakeup,
                                         .presence = on_presence,
                                         .addresses = on_addresses};

    assert_int_equal(uplink_create(&uplink, &config), PROBER_OK);
}

static int set_up(void **state)
{
    struct task_desk_config config = {
        .settings.terms.deadline_ns = S(600), .wakeup = &wakeup, .held_max = 1000};
    struct prober_failure why;

    (void)state;
    memset(&server, 0, sizeof(server));
    fake_task_worker_reset();
    given_dir(&files);
    now = (struct clock_reading){S(1000), S(5000), S(2000)};
    assert_int_equal(wakeup_open(&wakeup, &why), PROBER_OK);
    assert_int_equal(spool_create(&spool, 1 << 20, NULL), PROBER_OK);
    assert_int_equal(agent_stats_create(&stats), PROBER_OK);
    assert_int_equal(task_ledger_open(&ledger, given_path(&files, "tasks"), 10, 1, &why),
                     PROBER_OK);
    config.ledger = ledger;
    assert_int_equal(task_desk_create(&desk, &config, &why), PROBER_OK);
    assert_int_equal(secure_link_create(&peer, NULL), PROBER_OK);
    peer->serve = serve;
    peer->trusted = true;
    given_uplink();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    uplink_destroy(uplink);
    task_desk_destroy(desk);
    task_ledger_close(ledger);
    secure_link_destroy(peer);
    agent_stats_destroy(stats);
    spool_destroy(spool);
    wakeup_close(&wakeup);
    given_dir_ends(&files);
    strbuf_free(&server.story);
    fake_task_worker_reset();
    return 0;
}

/* ---- givens ---- */

/* Turns for as long as something is due now; returns when the next thing is. */
static uint64_t settle(void)
{
    uint64_t next;
    unsigned turns = 0;

    do {
        next = uplink_turn(uplink, &now);
        assert_true(++turns < 50); /* else it spins */
    } while (next <= now.mono_ns);
    return next;
}

static void advance_to(uint64_t ns)
{
    now.boot_ns += ns - now.mono_ns;
    now.mono_ns = ns;
}

static void begins(const char *id)
{
    fake_task_worker.listener.began(fake_task_worker.listener.context, id);
}

static void writes(const char *id, uint64_t offset, const char *text)
{
    fake_task_worker.listener.wrote(fake_task_worker.listener.context, id, TASK_STDOUT, offset,
                                    text, strlen(text));
}

static void is_refused(const char *id)
{
    const struct task_result result = {.id = id, .fate = TASK_REFUSED, .text = "no", .notes = ""};

    fake_task_worker.listener.done(fake_task_worker.listener.context, &result);
}

static void push_probes(void)
{
    struct target_name *name = target_name_create("far", "192.0.2.1", false);
    struct icmp_window w = {.number = 1, .counts = {.sent = 1, .lost_timeout = 1}};
    struct icmp_rows *rows = NULL;
    struct batch *batch = NULL;

    assert_int_equal(icmp_rows_create(&rows), PROBER_OK);
    assert_int_equal(icmp_rows_add(rows, name, &w, 0), PROBER_OK);
    assert_int_equal(icmp_rows_close(rows, 1, S(15), now.boot_ns, &batch), PROBER_OK);
    spool_push(spool, batch);
    icmp_rows_destroy(rows);
    target_name_put(name);
}

static void assert_told(const char *expected)
{
    assert_string_equal(server.story.len ? server.story.bytes : "", expected);
    strbuf_clear(&server.story);
}

static void assert_worker(const char *expected)
{
    assert_string_equal(fake_task_worker.story.len ? fake_task_worker.story.bytes : "", expected);
    strbuf_clear(&fake_task_worker.story);
}

/* ---- the tests ---- */

static void a_task_goes_to_the_worker_and_its_reports_to_the_server(void **state)
{
    uint64_t next;
    (void)state;

    server.task = "t";
    settle();
    assert_true(server.can_task);
    assert_worker("submit t 'ping ::1' 60;");
    assert_false(uplink_is_drained(uplink));
    begins("t");
    settle();
    assert_told("t 1;");
    writes("t", 0, "pong");
    next = settle();
    assert_told("");
    assert_true(next == now.mono_ns + TASK_DESK_FOLLOW_NS);
    advance_to(next);
    settle();
    assert_told("t 1 pong;");
    is_refused("t"); /* it ended */
    settle();
    assert_told("t 3;");
    assert_worker("told t;");
    assert_true(uplink_is_drained(uplink));
}

static void over_a_plain_link_no_task_is_taken_or_told_of(void **state)
{
    (void)state;
    peer->trusted = false;
    server.task = "t";
    settle();
    assert_false(server.can_task);
    assert_worker("");
    assert_true(uplink_is_drained(uplink));
}

static void an_agent_that_takes_none_says_so(void **state)
{
    (void)state;
    uplink_destroy(uplink);
    task_desk_destroy(desk);
    desk = NULL;
    given_uplink();
    server.task = "t";
    settle();
    assert_false(server.can_task);
    assert_true(uplink_is_drained(uplink));
}

static void a_report_without_an_answer_is_sent_again(void **state)
{
    uint64_t next;
    (void)state;

    server.task = "t";
    settle();
    is_refused("t");
    server.fail = PROBER_ERR_TIMEOUT;
    next = settle();
    assert_true(next > now.mono_ns);
    assert_told("");
    server.fail = PROBER_OK;
    advance_to(next);
    settle();
    assert_told("t 3;");
    assert_true(uplink_is_drained(uplink));
}

static void a_busy_server_gets_the_report_later(void **state)
{
    uint64_t next;
    (void)state;

    server.task = "t";
    settle();
    is_refused("t");
    server.refuse_task = WIRE_BUSY;
    next = settle();
    assert_told("t 3;");
    server.refuse_task = WIRE_OK;
    advance_to(next);
    settle();
    assert_told("t 3;");
    assert_true(uplink_is_drained(uplink));
}

static void a_server_that_cannot_read_a_report_does_not_get_it_again(void **state)
{
    (void)state;
    server.task = "t";
    settle();
    is_refused("t");
    server.refuse_task = WIRE_NOT_KNOWN;
    settle();
    assert_told("t 3;");
    assert_true(uplink_is_drained(uplink));
    server.task = "u";
    server.refuse_task = WIRE_MALFORMED;
    advance_to(now.mono_ns + S(10));
    settle();
    is_refused("u");
    settle();
    assert_told("u 3;");
    assert_true(uplink_is_drained(uplink));
}

static void reports_of_tasks_and_of_probes_take_turns(void **state)
{
    (void)state;
    settle();
    for (int i = 0; i < 3; i++) {
        server.task = (const char *[]){"a", "b", "c"}[i];
        advance_to(now.mono_ns + S(10));
        settle();
    }
    for (int i = 0; i < 3; i++)
        push_probes();
    is_refused("a");
    is_refused("b");
    is_refused("c");
    settle();
    assert_told("a 3;probes;b 3;probes;c 3;probes;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_task_goes_to_the_worker_and_its_reports_to_the_server),
        TEST(over_a_plain_link_no_task_is_taken_or_told_of),
        TEST(an_agent_that_takes_none_says_so),
        TEST(a_report_without_an_answer_is_sent_again),
        TEST(a_busy_server_gets_the_report_later),
        TEST(a_server_that_cannot_read_a_report_does_not_get_it_again),
        TEST(reports_of_tasks_and_of_probes_take_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
