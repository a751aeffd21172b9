#include "test/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "agentd/icmp_rows.h"
#include "agentd/uplink.h"
#include "common/log.h"
#include "test/unit/fakes/fake_link.h"
#include "test/unit/fakes/fake_log.h"

#define S(n) ((uint64_t)(n)*CLOCK_NS_PER_S)

/* A server that keeps to the protocol, and to what a test sets. */
struct server {
    bool greeted; /* on this connection */
    enum wire_status refuse_hello, refuse_sync, refuse_report;
    enum wire_outcome outcome;
    enum prober_error fail; /* no answer at all */
    bool knows_names;
    uint64_t plan_revision;
    const char *const *plan_targets;
    size_t plan_target_count;
    const char *refusal; /* NULL: "not you" */
    unsigned hellos, syncs, reports;
    uint64_t last_sequence, last_age_ns, last_revision;
    size_t last_names;
    char last_address[PROBER_ADDR_TEXT_MAX];
    struct wire_plan_entry entry;
};

struct fixture {
    struct server server;
    struct link_client link;
    struct secure_link *secure_link;
    struct wakeup wakeup;
    struct spool *spool;
    struct agent_stats *stats;
    struct uplink *uplink;
    struct clock_reading now;
    const char *own_address;
    unsigned looks;          /* for own addresses */
    struct agent_plan *plan; /* the last one given */
    unsigned plans;
    uint32_t number;
    uint16_t hint_port;
    struct target_name *name;
};

static enum prober_error serve_hello(struct server *s, const struct wire_hello *hello,
                                     struct wire_reply *reply)
{
    s->hellos++;
    reply->status = s->refuse_hello;
    reply->message = !s->refuse_hello ? "" : s->refusal ? s->refusal : "not you";
    if (s->refuse_hello)
        return PROBER_OK;
    s->greeted = true;
    strcpy(s->last_address, hello->address_count ? hello->addresses[0] : "");
    reply->call = WIRE_HELLO;
    reply->as.hello = (struct wire_hello_reply){.server_id = "5e",
                                                .observed_address = "192.0.2.77",
                                                .agent_number = 12,
                                                .hint_port = 6002,
                                                .heartbeat_ns = S(10),
                                                .version = "1"};
    return PROBER_OK;
}

static enum prober_error serve_sync(struct server *s, const struct wire_sync *sync,
                                    struct wire_reply *reply)
{
    s->syncs++;
    s->last_revision = sync->plan_revision;
    reply->status = s->refuse_sync;
    if (s->refuse_sync)
        return PROBER_OK;
    reply->call = WIRE_SYNC;
    reply->as.sync.plan_revision = s->plan_revision;
    if (sync->plan_revision == s->plan_revision)
        return PROBER_OK;
    reply->as.sync.has_plan = true;
    s->entry = (struct wire_plan_entry){.kind = WIRE_KIND_ICMP,
                                        .region = "far",
                                        .targets = s->plan_targets,
                                        .target_count = s->plan_target_count};
    reply->as.sync.plan = (struct wire_plan){&s->entry, 1};
    return PROBER_OK;
}

static enum prober_error serve_report(struct server *s, const struct wire_report *report,
                                      struct wire_reply *reply)
{
    s->reports++;
    s->last_sequence = report->sequence;
    s->last_age_ns = report->age_ns;
    s->last_names = report->name_count;
    reply->status = s->refuse_report;
    if (s->refuse_report)
        return PROBER_OK;
    s->knows_names = s->knows_names || report->name_count > 0;
    reply->call = WIRE_REPORT;
    reply->as.report.sequence = report->sequence;
    reply->as.report.outcome = s->knows_names ? s->outcome : WIRE_UNKNOWN_TABLE;
    return PROBER_OK;
}

static enum prober_error serve(void *context, const struct wire_request *request,
                               struct wire_reply *reply)
{
    struct server *s = context;

    if (s->fail)
        return s->fail;
    if (request->call == WIRE_HELLO)
        return serve_hello(s, &request->as.hello, reply);
    if (!s->greeted) {
        reply->status = WIRE_HELLO_NEEDED;
        return PROBER_OK;
    }
    if (request->call == WIRE_SYNC)
        return serve_sync(s, &request->as.sync, reply);
    return serve_report(s, &request->as.report, reply);
}

static void on_presence(void *context, uint32_t number, const struct prober_addr *observed)
{
    struct fixture *f = context;
    char text[PROBER_ADDR_TEXT_MAX];

    f->number = number;
    assert_string_equal(prober_addr_format(observed, text), "192.0.2.77");
}

static void on_plan(void *context, struct agent_plan *plan)
{
    struct fixture *f = context;

    agent_plan_put(f->plan);
    f->plan = plan;
    f->plans++;
}

static void on_hints(void *context, uint16_t port)
{
    ((struct fixture *)context)->hint_port = port;
}

static void on_addresses(void *context, struct address_set *out)
{
    struct fixture *f = context;
    struct prober_failure why;

    f->looks++;
    assert_int_equal(address_parse_given(&f->own_address, 1, out, &why), PROBER_OK);
}

static int set_up(void **state)
{
    static const char *const targets[] = {"192.0.2.1"};
    struct fixture *f = calloc(1, sizeof(*f));
    struct prober_failure why;
    struct uplink_config config = {.agent_id = {{1}},
                                   .boot_id = {{2}},
                                   .region = "here",
                                   .probe_interval_ns = S(15),
                                   .probe_timeout_ns = S(3),
                                   .sync_interval_ns = S(60),
                                   .presence = on_presence,
                                   .plan = on_plan,
                                   .hints = on_hints,
                                   .addresses = on_addresses};

    f->server.plan_revision = 1;
    f->server.plan_targets = targets;
    f->server.plan_target_count = 1;
    f->link = (struct link_client){
        .serve = serve, .context = &f->server, .server_boot = {{9}}, .connections = 1};
    f->own_address = "10.0.0.1";
    f->now = (struct clock_reading){S(1000), S(5000), S(2000)};
    f->name = target_name_create("far", "192.0.2.1", false);
    assert_int_equal(wakeup_open(&f->wakeup, &why), PROBER_OK);
    assert_int_equal(spool_create(&f->spool, 1 << 20, NULL), PROBER_OK);
    assert_int_equal(agent_stats_create(&f->stats), PROBER_OK);
    config.spool = f->spool;
    config.stats = f->stats;
    assert_int_equal(secure_link_create(&f->secure_link, &f->link), PROBER_OK);
    config.link = f->secure_link;
    config.wakeup = &f->wakeup;
    config.context = f;
    assert_int_equal(uplink_create(&f->uplink, &config), PROBER_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    uplink_destroy(f->uplink);
    secure_link_destroy(f->secure_link);
    spool_destroy(f->spool);
    agent_stats_destroy(f->stats);
    wakeup_close(&f->wakeup);
    agent_plan_put(f->plan);
    target_name_put(f->name);
    free(f);
    return 0;
}

/* Turns for as long as something is due now; returns when the next thing is. */
static uint64_t settle(struct fixture *f)
{
    uint64_t next;
    unsigned turns = 0;

    do {
        next = uplink_turn(f->uplink, &f->now);
        assert_true(++turns < 50); /* else it spins */
    } while (next <= f->now.mono_ns);
    return next;
}

static void advance(struct fixture *f, uint64_t ns)
{
    f->now.mono_ns += ns;
    f->now.real_ns += ns;
    f->now.boot_ns += ns;
}

static void run_for(struct fixture *f, uint64_t ns)
{
    uint64_t end = f->now.mono_ns + ns;

    for (uint64_t next = settle(f); next < end; next = settle(f))
        advance(f, next - f->now.mono_ns);
    advance(f, end - f->now.mono_ns);
    settle(f);
}

static void push_report(struct fixture *f, uint32_t sent)
{
    struct icmp_rows *b = NULL;
    struct batch *batch = NULL;
    struct icmp_window w = {.number = 1, .counts = {.sent = sent, .lost_timeout = sent}};

    assert_int_equal(icmp_rows_create(&b), PROBER_OK);
    assert_int_equal(icmp_rows_add(b, f->name, &w, 0), PROBER_OK);
    assert_int_equal(icmp_rows_close(b, 1, S(15), f->now.boot_ns, &batch), PROBER_OK);
    spool_push(f->spool, batch);
    icmp_rows_destroy(b);
}

static struct agent_stats_copy stats_of(struct fixture *f)
{
    struct agent_stats_copy copy;

    agent_stats_read(f->stats, &copy);
    return copy;
}

static uint64_t waiting(struct fixture *f)
{
    struct spool_counts c;

    spool_counts(f->spool, &c);
    return c.reports;
}

static void it_says_hello_then_fetches_the_plan_then_reports(void **state)
{
    struct fixture *f = *state;

    push_report(f, 5);
    settle(f);
    assert_int_equal(f->server.hellos, 1);
    assert_string_equal(f->server.last_address, "10.0.0.1");
    assert_int_equal(f->number, 12);
    assert_int_equal(f->hint_port, 6002);
    assert_int_equal(f->plans, 1);
    assert_int_equal(f->plan->target_count, 1);
    assert_int_equal(f->server.reports, 1);
    assert_int_equal(f->server.last_names, 1);
    assert_int_equal(waiting(f), 0);
    assert_int_equal(stats_of(f).boots[0].acked.icmp.sent, 5);
    assert_int_equal(stats_of(f).boots[0].acked.icmp.lost_timeout, 5);
}

static void a_report_that_waited_is_as_old_as_it_is_when_sent(void **state)
{
    struct fixture *f = *state;

    f->server.fail = PROBER_ERR_TIMEOUT;
    push_report(f, 5);
    run_for(f, S(3600));
    f->server.fail = PROBER_OK;
    run_for(f, S(11));
    assert_in_range(f->server.last_age_ns, S(3600), S(3611));
    assert_int_equal(f->server.last_sequence, 1);
}

static void a_server_that_is_silent_is_tried_with_pauses_of_up_to_ten_seconds(void **state)
{
    struct fixture *f = *state;
    unsigned calls;

    f->server.fail = PROBER_ERR_TIMEOUT;
    run_for(f, S(60));
    calls = f->link.calls;
    assert_in_range(calls, 6, 25);
    run_for(f, S(600));
    assert_in_range(f->link.calls - calls, 60, 121);
    assert_int_equal(f->plans, 0);
    f->server.fail = PROBER_OK;
    run_for(f, S(11));
    assert_int_equal(f->plans, 1);
}

static void a_server_that_comes_back_is_greeted_within_a_second(void **state)
{
    struct fixture *f = *state;

    f->server.fail = PROBER_ERR_UNREACHABLE;
    run_for(f, S(600));
    f->server.fail = PROBER_OK;
    run_for(f, S(1));
    assert_int_equal(f->plans, 1);
}

static void it_is_heard_at_every_heartbeat(void **state)
{
    struct fixture *f = *state;

    run_for(f, S(100));
    assert_in_range(f->server.syncs, 10, 12);
    assert_int_equal(f->plans, 1);
    assert_int_equal(f->server.last_revision, 1);
    assert_int_equal(f->server.hellos, 1);
}

static void a_hint_brings_a_sync_within_a_second_but_never_two_in_one(void **state)
{
    struct fixture *f = *state;
    unsigned before;

    run_for(f, S(5));
    before = f->server.syncs;
    f->server.plan_revision = 2;
    uplink_hint(f->uplink);
    run_for(f, S(1));
    assert_int_equal(f->server.syncs, before + 1);
    assert_int_equal(f->plans, 2);
    before = f->server.syncs;
    for (unsigned i = 0; i < 100; i++) {
        uplink_hint(f->uplink);
        run_for(f, S(1) / 20);
    }
    assert_in_range(f->server.syncs - before, 3, 5);
}

static void a_connection_made_anew_is_greeted_first(void **state)
{
    struct fixture *f = *state;

    run_for(f, S(5));
    f->server.greeted = false;
    f->link.connections = 2;
    run_for(f, S(2));
    assert_int_equal(f->server.hellos, 2);
    assert_int_equal(f->plans, 1); /* the same server boot: the plan is still good */
}

static void hello_needed_is_answered_with_hello_and_the_report_is_sent_again(void **state)
{
    struct fixture *f = *state;

    run_for(f, S(5));
    f->server.greeted = false;
    push_report(f, 7);
    run_for(f, S(1));
    assert_int_equal(f->server.hellos, 2);
    assert_int_equal(waiting(f), 0);
    assert_int_equal(stats_of(f).boots[0].acked.icmp.sent, 7);
}

static void a_server_boot_gets_the_names_and_gives_the_plan_anew(void **state)
{
    struct fixture *f = *state;

    push_report(f, 5);
    run_for(f, S(5));
    f->link.server_boot.bytes[0] = 10;
    f->server.greeted = false;
    f->server.knows_names = false;
    push_report(f, 7);
    run_for(f, S(2));
    assert_int_equal(f->server.last_names, 1);
    assert_int_equal(f->server.reports, 2);
    assert_int_equal(f->plans, 2); /* the same number, but of another boot */
    assert_int_equal(stats_of(f).boot_count, 2);
    assert_int_equal(stats_of(f).boots[0].acked.icmp.sent, 5);
    assert_int_equal(stats_of(f).boots[1].acked.icmp.sent, 7);
}

static void names_go_out_once_and_again_for_an_unknown_table(void **state)
{
    struct fixture *f = *state;

    push_report(f, 1);
    run_for(f, S(1));
    assert_int_equal(f->server.last_names, 1);
    push_report(f, 1);
    run_for(f, S(1));
    assert_int_equal(f->server.last_names, 0);
    f->server.knows_names = false;
    push_report(f, 1);
    run_for(f, S(1));
    assert_int_equal(f->server.last_names, 1);
    assert_int_equal(f->server.reports, 4);
    assert_int_equal(waiting(f), 0);
    assert_int_equal(stats_of(f).boots[0].acked.icmp.sent, 3);
}

static void a_report_that_was_taken_before_counts_once(void **state)
{
    struct fixture *f = *state;

    run_for(f, S(1));
    f->server.knows_names = true;
    f->server.outcome = WIRE_DUPLICATE;
    push_report(f, 6);
    run_for(f, S(1));
    assert_int_equal(waiting(f), 0);
    assert_int_equal(stats_of(f).boots[0].acked.icmp.sent, 6);
}

static void a_backfilled_report_is_counted_apart(void **state)
{
    struct fixture *f = *state;

    f->server.outcome = WIRE_BACKFILLED;
    push_report(f, 6);
    run_for(f, S(1));
    assert_int_equal(stats_of(f).boots[0].acked.icmp.sent, 0);
    assert_int_equal(stats_of(f).boots[0].backfilled.icmp.sent, 6);
}

static void an_invalid_report_is_not_sent_again_and_not_counted(void **state)
{
    struct fixture *f = *state;

    f->server.outcome = WIRE_INVALID;
    push_report(f, 6);
    run_for(f, S(60));
    assert_int_equal(f->server.reports, 1);
    assert_int_equal(waiting(f), 0);
    assert_int_equal(stats_of(f).boot_count, 0);
}

static void a_malformed_report_does_not_block_those_behind_it(void **state)
{
    struct fixture *f = *state;

    f->server.refuse_report = WIRE_MALFORMED;
    push_report(f, 6);
    run_for(f, S(1));
    assert_int_equal(waiting(f), 0);
    f->server.refuse_report = WIRE_OK;
    push_report(f, 7);
    run_for(f, S(1));
    assert_int_equal(stats_of(f).boots[0].acked.icmp.sent, 7);
}

static void a_busy_server_is_given_time_while_the_sign_of_life_goes_on(void **state)
{
    struct fixture *f = *state;

    f->server.refuse_report = WIRE_BUSY;
    push_report(f, 6);
    run_for(f, S(100));
    assert_in_range(f->server.reports, 10, 30);
    assert_in_range(f->server.syncs, 9, 13);
    assert_int_equal(f->server.hellos, 1);
    assert_int_equal(waiting(f), 1);
    f->server.refuse_report = WIRE_OK;
    run_for(f, S(11));
    assert_int_equal(waiting(f), 0);
}

static void an_agent_that_is_refused_keeps_its_results_and_asks_again(void **state)
{
    struct fixture *f = *state;

    f->server.refuse_hello = WIRE_REFUSED;
    push_report(f, 6);
    run_for(f, S(600));
    assert_in_range(f->server.hellos, 10, 40);
    assert_int_equal(waiting(f), 1);
    f->server.refuse_hello = WIRE_OK;
    run_for(f, S(61));
    assert_int_equal(waiting(f), 0);
}

static void a_refusal_is_told_once_however_long_its_reason_is(void **state)
{
    struct fixture *f = *state;
    char reason[WIRE_MESSAGE_MAX + 1];

    memset(reason, 'x', WIRE_MESSAGE_MAX);
    reason[WIRE_MESSAGE_MAX] = '\0';
    f->server.refuse_hello = WIRE_REFUSED;
    f->server.refusal = reason;
    fake_log_count = 0;
    run_for(f, S(600));
    assert_int_equal(fake_log_count, 1);
}

static void another_address_is_told_within_the_sync_interval(void **state)
{
    struct fixture *f = *state;

    run_for(f, S(5));
    f->own_address = "10.0.0.2";
    run_for(f, S(61));
    assert_int_equal(f->server.hellos, 2);
    assert_string_equal(f->server.last_address, "10.0.0.2");
}

static void own_addresses_are_not_looked_for_at_every_call_of_a_server_that_is_away(void **state)
{
    struct fixture *f = *state;

    f->server.fail = PROBER_ERR_UNREACHABLE;
    run_for(f, S(300));
    assert_true(f->link.calls > 200);
    assert_in_range(f->looks, 4, 7);
}

static void junk_for_an_answer_changes_nothing(void **state)
{
    struct fixture *f = *state;

    push_report(f, 6);
    f->link.sends_junk = true;
    run_for(f, S(100));
    assert_in_range(f->link.calls, 5, 40);
    assert_int_equal(waiting(f), 1);
    f->link.sends_junk = false;
    run_for(f, S(11));
    assert_int_equal(waiting(f), 0);
}

static void draining_delivers_what_is_spooled_and_ends(void **state)
{
    struct fixture *f = *state;
    struct prober_failure why;

    run_for(f, S(1));
    push_report(f, 6);
    push_report(f, 7);
    assert_int_equal(uplink_start(f->uplink, &why), PROBER_OK);
    uplink_drain(f->uplink, S(5));
    assert_int_equal(waiting(f), 0);
    assert_int_equal(stats_of(f).boots[0].acked.icmp.sent, 13);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_says_hello_then_fetches_the_plan_then_reports),
        T(a_report_that_waited_is_as_old_as_it_is_when_sent),
        T(a_server_that_is_silent_is_tried_with_pauses_of_up_to_ten_seconds),
        T(a_server_that_comes_back_is_greeted_within_a_second),
        T(it_is_heard_at_every_heartbeat),
        T(a_hint_brings_a_sync_within_a_second_but_never_two_in_one),
        T(a_connection_made_anew_is_greeted_first),
        T(hello_needed_is_answered_with_hello_and_the_report_is_sent_again),
        T(a_server_boot_gets_the_names_and_gives_the_plan_anew),
        T(names_go_out_once_and_again_for_an_unknown_table),
        T(a_report_that_was_taken_before_counts_once),
        T(a_backfilled_report_is_counted_apart),
        T(an_invalid_report_is_not_sent_again_and_not_counted),
        T(a_malformed_report_does_not_block_those_behind_it),
        T(a_busy_server_is_given_time_while_the_sign_of_life_goes_on),
        T(an_agent_that_is_refused_keeps_its_results_and_asks_again),
        T(a_refusal_is_told_once_however_long_its_reason_is),
        T(another_address_is_told_within_the_sync_interval),
        T(own_addresses_are_not_looked_for_at_every_call_of_a_server_that_is_away),
        T(junk_for_an_answer_changes_nothing),
        T(draining_delivers_what_is_spooled_and_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
