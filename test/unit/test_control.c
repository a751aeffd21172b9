#include "test/unit/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "serverd/control.h"
#include "test/unit/fakes/fake_log.h"
#include "test/unit/fakes/fake_tasks.h"

#define MS(n) ((uint64_t)(n)*CLOCK_NS_PER_MS)
#define S(n) ((uint64_t)(n)*CLOCK_NS_PER_S)
#define START_NS S(1000)

static struct {
    struct directory_board *board;
    struct control *control;
    struct revocations *revocations;
    uint64_t now_ns;
    bool trusted; /* the link of what is asked */
} world;

static enum prober_error keep_revocation(void *context, const struct revocation *revocation,
                                         struct prober_failure *why)
{
    (void)context;
    (void)revocation;
    (void)why;
    return PROBER_OK;
}

static enum prober_error forget_revocation(void *context, const struct prober_id *id,
                                           struct prober_failure *why)
{
    (void)context;
    (void)id;
    (void)why;
    return PROBER_OK;
}

static struct clock_reading now(void)
{
    return (struct clock_reading){
        .mono_ns = world.now_ns, .real_ns = S(1700000000) + world.now_ns, .boot_ns = world.now_ns};
}

static struct control_change change(const char *yaml)
{
    struct problems *problems;
    struct control_change c = {
        .registry =
            {
                .alive_ns = S(75),
                .forget_ns = S(86400),
                .clone_ns = S(25),
                .accept_plain = true,
                .agents_max = 2000,
                .agents_per_source = 2000,
            },
        .plan =
            {
                .dynamic = true,
                .full_below = 3000,
                .agents_per_pair = 3,
                .targets_per_pair = 3,
            },
    };

    if (yaml) {
        assert_int_equal(problems_create(&problems), PROBER_OK);
        assert_int_equal(probe_spec_read_text(&c.spec, "p.yaml", yaml, strlen(yaml), problems),
                         PROBER_OK);
        problems_destroy(problems);
    }
    return c;
}

static int make_world(void **state)
{
    struct control_config config = {
        .server_id = {{7}},
        .server_boot = {{8}},
        .heartbeat_ns = S(10),
        .aggregation_interval_ns = S(15),
        .hint_port = 6002,
    };
    const struct revocation_store kept = {.save = keep_revocation, .forget = forget_revocation};
    struct control_change c = change(NULL);
    struct clock_reading at;

    (void)state;
    world.now_ns = START_NS;
    world.trusted = false;
    fake_log_count = 0;
    at = now();
    if (directory_board_create(&world.board) || revocations_create(&world.revocations, &kept))
        return -1;
    config.board = world.board;
    config.revocations = world.revocations;
    config.tasks = (struct tasks *)&world; /* the fake's */
    return control_create(&world.control, &config, &c, &at);
}

static int end_world(void **state)
{
    (void)state;
    control_destroy(world.control);
    revocations_destroy(world.revocations);
    directory_board_destroy(world.board);
    return 0;
}

static bool step(void)
{
    struct clock_reading at = now();
    bool hint;

    assert_true(control_step(world.control, &at, &hint) > world.now_ns);
    return hint;
}

/* Asks, decodes the answer into *reply, and returns the session that was made. */
static struct session *ask(const struct wire_request *request, const char *peer,
                           struct session *session, struct wire_reply *reply)
{
    struct control_call call = {.request = request, .session = session, .trusted = world.trusted};
    struct clock_reading at = now();
    struct strbuf body = STRBUF_INIT;
    struct prober_failure why;

    assert_int_equal(prober_addr_parse(peer, &call.peer), PROBER_OK);
    assert_int_equal(control_answer(world.control, &call, &at, &body), PROBER_OK);
    if (wire_reply_decode(body.bytes, body.len, reply, &why))
        fail_msg("%s", why.text);
    strbuf_free(&body);
    assert_int_equal(reply->server_boot_id.bytes[0], 8);
    return call.made;
}

static struct wire_request hello_request(unsigned agent, const char *region)
{
    struct wire_request request = {
        .protocol = WIRE_PROTOCOL,
        .call = WIRE_HELLO,
        .as.hello =
            {
                .region = region,
                .version = "1",
                .os = "linux",
                .architecture = "x86_64",
                .probe_interval_ns = S(15),
                .probe_timeout_ns = S(3),
            },
    };

    request.agent_id.bytes[0] = 1;
    request.agent_id.bytes[14] = (uint8_t)(agent >> 8);
    request.agent_id.bytes[15] = (uint8_t)agent;
    request.boot_id.bytes[0] = 9;
    return request;
}

static struct session *given_agent(unsigned agent, const char *region)
{
    struct wire_request request = hello_request(agent, region);
    struct wire_reply reply;
    char peer[32];
    struct session *s;

    snprintf(peer, sizeof(peer), "10.0.%u.%u", agent / 250, agent % 250 + 1);
    s = ask(&request, peer, NULL, &reply);
    assert_int_equal(reply.status, WIRE_OK);
    assert_non_null(s);
    wire_reply_free(&reply);
    return s;
}

static struct wire_reply sync_reply(struct session *session, uint64_t known)
{
    struct wire_request request = {.protocol = WIRE_PROTOCOL,
                                   .agent_id = session->agent_id,
                                   .boot_id = session->boot_id,
                                   .call = WIRE_SYNC,
                                   .as.sync = {.plan_revision = known, .spool_reports = 3}};
    struct wire_reply reply;

    assert_null(ask(&request, "10.0.0.1", session, &reply));
    return reply;
}

static size_t targets_of(struct session *session, uint64_t *revision)
{
    struct wire_reply reply = sync_reply(session, 0);
    size_t count = 0;

    assert_int_equal(reply.status, WIRE_OK);
    assert_true(reply.as.sync.has_plan);
    for (size_t i = 0; i < reply.as.sync.plan.entry_count; i++)
        count += reply.as.sync.plan.entries[i].target_count;
    if (revision)
        *revision = reply.as.sync.plan_revision;
    wire_reply_free(&reply);
    return count;
}

static void settle(void)
{
    world.now_ns += CONTROL_SETTLE_NS;
    step();
}

static void hello_tells_what_an_agent_has_to_know(void **state)
{
    struct wire_request request = hello_request(1, "cn-a");
    struct wire_reply reply;
    struct session *s = ask(&request, "10.0.0.1", NULL, &reply);

    (void)state;
    assert_int_equal(reply.call, WIRE_HELLO);
    assert_string_equal(reply.as.hello.observed_address, "10.0.0.1");
    assert_int_equal(reply.as.hello.agent_number, 1);
    assert_int_equal(reply.as.hello.hint_port, 6002);
    assert_int_equal(reply.as.hello.heartbeat_ns, S(10));
    assert_int_equal(reply.as.hello.aggregation_interval_ns, S(15));
    assert_int_equal(strlen(reply.as.hello.server_id), 32);
    assert_int_equal(s->probe_timeout_ns, S(3));
    wire_reply_free(&reply);
    session_put(s);
}

static void a_refused_agent_is_told_why(void **state)
{
    struct wire_request request = hello_request(1, "cn-a");
    struct wire_reply reply;

    (void)state;
    assert_null(ask(&request, "127.0.0.1", NULL, &reply));
    assert_int_equal(reply.status, WIRE_REFUSED);
    assert_non_null(strstr(reply.message, "loopback"));
    assert_int_equal(atomic_load(&control_stats(world.control)->refused[REGISTRY_REFUSED_ADDRESS]),
                     1);
    wire_reply_free(&reply);
}

static void a_call_without_hello_is_told_to_say_it(void **state)
{
    struct session *s = given_agent(1, "a"), *later = given_agent(1, "a");
    struct wire_request request = {.protocol = WIRE_PROTOCOL, .call = WIRE_SYNC};
    struct wire_reply reply;

    (void)state;
    ask(&request, "10.0.0.1", NULL, &reply);
    assert_int_equal(reply.status, WIRE_HELLO_NEEDED);
    wire_reply_free(&reply);
    reply = sync_reply(s, 0);
    assert_int_equal(reply.status, WIRE_HELLO_NEEDED);
    wire_reply_free(&reply);
    session_put(s);
    session_put(later);
}

static void a_new_agent_is_in_everybodys_plan_after_one_hint(void **state)
{
    struct session *a = given_agent(1, "a"), *b;
    uint64_t first, second;

    (void)state;
    assert_false(step());
    world.now_ns += CONTROL_SETTLE_NS;
    assert_true(step());
    assert_int_equal(targets_of(a, &first), 0);
    b = given_agent(2, "b");
    assert_int_equal(targets_of(b, NULL), 1);
    assert_false(step());
    world.now_ns += CONTROL_SETTLE_NS;
    assert_true(step());
    assert_int_equal(targets_of(a, &second), 1);
    assert_true(first != second);
    session_put(a);
    session_put(b);
}

static void a_revoked_agent_is_out_of_plan_and_directory_after_one_hint(void **state)
{
    struct session *a = given_agent(1, "a"), *b = given_agent(2, "b"), *c = given_agent(3, "b");
    struct directory *directory;

    (void)state;
    settle();
    assert_int_equal(targets_of(a, NULL), 2);
    assert_int_equal(revocations_add(world.revocations, &b->agent_id, 1, NULL), PROBER_OK);
    assert_false(step());
    assert_false(atomic_load(&b->connected));
    assert_true(atomic_load(&c->connected));
    world.now_ns += CONTROL_SETTLE_NS;
    assert_true(step());
    assert_int_equal(targets_of(a, NULL), 1);
    directory = directory_get(world.board);
    assert_int_equal(directory->agent_count, 2);
    directory_put(directory);
    session_put(a);
    session_put(b);
    session_put(c);
}

static void a_revoked_agent_is_not_taken_again_until_it_is_unrevoked(void **state)
{
    struct session *s = given_agent(1, "a");
    struct wire_request request = hello_request(1, "a");
    struct wire_reply reply;

    (void)state;
    assert_int_equal(revocations_add(world.revocations, &s->agent_id, 1, NULL), PROBER_OK);
    assert_null(ask(&request, "10.0.0.2", NULL, &reply)); /* before the step even */
    assert_int_equal(reply.status, WIRE_REFUSED);
    assert_string_equal(reply.message, "this agent was revoked");
    wire_reply_free(&reply);
    step();
    reply = sync_reply(s, 0);
    assert_int_equal(reply.status, WIRE_HELLO_NEEDED);
    wire_reply_free(&reply);
    session_put(s);
    assert_int_equal(revocations_remove(world.revocations, &request.agent_id, NULL), PROBER_OK);
    session_put(given_agent(1, "a"));
}

static void many_changes_at_once_make_one_plan(void **state)
{
    uint64_t revision = atomic_load(&control_stats(world.control)->plan_revision);

    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        session_put(given_agent(i, i % 2 ? "a" : "b"));
        world.now_ns += MS(2);
        assert_false(step());
    }
    world.now_ns += MS(100);
    assert_true(step());
    assert_int_equal(atomic_load(&control_stats(world.control)->plan_revision), revision + 1);
}

static void an_agent_that_has_its_plan_is_not_sent_it_again(void **state)
{
    struct session *a = given_agent(1, "a"), *b = given_agent(2, "b");
    struct wire_reply reply;
    uint64_t revision;

    (void)state;
    settle();
    assert_int_equal(targets_of(a, &revision), 1);
    reply = sync_reply(a, revision);
    assert_int_equal(reply.as.sync.plan_revision, revision);
    assert_false(reply.as.sync.has_plan);
    wire_reply_free(&reply);
    assert_int_equal(atomic_load(&control_stats(world.control)->plans_sent), 1);
    session_put(a);
    session_put(b);
}

static void the_directory_shows_agents_and_planned_pairs(void **state)
{
    struct session *a = given_agent(1, "a"), *b = given_agent(2, "b");
    struct directory *d;

    (void)state;
    settle();
    d = directory_get(world.board);
    assert_int_equal(d->agent_count, 2);
    assert_true(d->agents[0].alive);
    assert_string_equal(d->agents[0].region, "a");
    assert_int_equal(d->pair_count, 2);
    assert_string_equal(d->pairs[0].source, "a");
    assert_string_equal(d->pairs[0].target, "b");
    directory_put(d);
    targets_of(a, NULL); /* its sync says how full its spool is */
    world.now_ns += S(1);
    step();
    d = directory_get(world.board);
    assert_int_equal(d->agents[0].spool_reports, 3);
    assert_int_equal(d->agents[0].last_seen_real_ns, S(1700000000) + world.now_ns - S(1));
    directory_put(d);
    session_put(a);
    session_put(b);
}

static void a_region_whose_agents_are_gone_leaves_the_plan(void **state)
{
    struct session *a = given_agent(1, "a"), *b = given_agent(2, "b");
    struct directory *d;
    bool hint = false;

    (void)state;
    settle();
    for (int i = 0; i < 100; i++) {
        world.now_ns += S(1);
        atomic_store(&a->last_seen_ns, world.now_ns);
        hint = step() || hint;
    }
    assert_true(hint);
    assert_int_equal(targets_of(a, NULL), 0);
    d = directory_get(world.board);
    assert_int_equal(d->agent_count, 2);
    assert_false(d->agents[1].alive);
    assert_int_equal(d->pair_count, 0);
    assert_null(plan_region_find(d->plan, "b"));
    directory_put(d);
    session_put(a);
    session_put(b);
}

static void a_copy_may_be_asked_to_wait_before_it_is_refused(void **state)
{
    struct session *s = given_agent(1, "a");
    struct wire_request request = hello_request(1, "a");
    struct control_call call = {.request = &request, .may_wait = true};
    struct clock_reading at = now();
    struct strbuf body = STRBUF_INIT;
    struct wire_reply reply;

    (void)state;
    request.boot_id.bytes[0] = 10;
    assert_int_equal(prober_addr_parse("10.0.0.1", &call.peer), PROBER_OK);
    assert_int_equal(control_answer(world.control, &call, &at, &body), PROBER_ERR_EXISTS);
    assert_int_equal(body.len, 0);
    assert_null(ask(&request, "10.0.0.1", NULL, &reply));
    assert_int_equal(reply.status, WIRE_REFUSED);
    assert_non_null(strstr(reply.message, "state directory"));
    wire_reply_free(&reply);
    strbuf_free(&body);
    session_put(s);
}

static void a_reload_changes_the_targets(void **state)
{
    struct session *a = given_agent(1, "a");
    struct control_change c = change("prober_configs:\n- prober_type: icmp\n  region: dns\n"
                                     "  targets: [192.0.2.53, 192.0.2.54]\n");
    struct clock_reading at = now();

    (void)state;
    settle();
    control_apply(world.control, &c, &at);
    assert_true(step());
    assert_int_equal(targets_of(a, NULL), 2);
    session_put(a);
}

static void targets_without_a_region_are_handed_out(void **state)
{
    struct session *a = given_agent(1, "a");
    struct control_change c =
        change("prober_configs:\n- prober_type: icmp\n  targets: [192.0.2.53]\n");
    struct clock_reading at = now();
    struct wire_reply reply;

    (void)state;
    control_apply(world.control, &c, &at);
    step();
    reply = sync_reply(a, 0);
    assert_string_equal(reply.as.sync.plan.entries[0].region, "");
    wire_reply_free(&reply);
    session_put(a);
}

static void plain_links_refused_by_a_reload_end_for_those_that_are_there_too(void **state)
{
    struct session *a = given_agent(1, "a");
    struct control_change c = change(NULL);
    struct clock_reading at = now();
    struct wire_request request = hello_request(1, "a");
    struct wire_reply reply;

    (void)state;
    c.registry.accept_plain = false;
    control_apply(world.control, &c, &at);
    reply = sync_reply(a, 0);
    assert_int_equal(reply.status, WIRE_HELLO_NEEDED);
    wire_reply_free(&reply);
    assert_null(ask(&request, "10.0.0.2", NULL, &reply));
    assert_int_equal(reply.status, WIRE_REFUSED);
    wire_reply_free(&reply);
    session_put(a);
}

static void a_thousand_agents_and_targets_are_planned_and_synced(void **state)
{
    static struct session *sessions[1000];

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        char region[8];

        snprintf(region, sizeof(region), "r%u", i % 50);
        sessions[i] = given_agent(i, region);
    }
    settle();
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(targets_of(sessions[i], NULL), 980);
    for (unsigned i = 0; i < 1000; i++)
        session_put(sessions[i]);
}

static void apply_file(const char *yaml)
{
    struct control_change c = change(yaml);
    struct clock_reading at = now();

    control_apply(world.control, &c, &at);
    step();
}

/* An agent that reaches the server over the loopback of its host. */
static struct session *given_local_agent(unsigned agent, const char *region)
{
    static const char *const address = "127.0.0.5";
    struct wire_request request = hello_request(agent, region);
    struct wire_reply reply;
    struct session *s;

    request.as.hello.address_mode = WIRE_ADDRESS_GIVEN;
    request.as.hello.addresses = &address;
    request.as.hello.address_count = 1;
    s = ask(&request, "127.0.0.1", NULL, &reply);
    assert_int_equal(reply.status, WIRE_OK);
    wire_reply_free(&reply);
    return s;
}

/* The block of the first HTTP entry that an agent at `peer` gets, or "none". */
static const char *block_for(struct session *session, const char *peer)
{
    static char text[64];
    struct wire_request request = {.protocol = WIRE_PROTOCOL,
                                   .agent_id = session->agent_id,
                                   .boot_id = session->boot_id,
                                   .call = WIRE_SYNC};
    struct wire_reply reply;

    assert_null(ask(&request, peer, session, &reply));
    assert_int_equal(reply.status, WIRE_OK);
    snprintf(text, sizeof(text), "none");
    for (size_t i = 0; i < reply.as.sync.plan.entry_count; i++)
        if (reply.as.sync.plan.entries[i].kind == WIRE_KIND_HTTP)
            snprintf(text, sizeof(text), "%s", reply.as.sync.plan.entries[i].http.block);
    wire_reply_free(&reply);
    return text;
}

static size_t logged(const char *what)
{
    size_t count = 0;

    assert_true(fake_log_count < FAKE_LOG_MAX);
    for (size_t i = 0; i < fake_log_count; i++)
        count += strstr(fake_log_messages[i], what) != NULL;
    return count;
}

#define SECRET_FILE                                                                                \
    "prober_configs:\n- prober_type: http\n  region: web\n  http: {bearer_token: %s}\n"            \
    "  targets: [x]\n"

static void secrets_stay_on_the_servers_host(void **state)
{
    const struct control_stats *stats = control_stats(world.control);
    struct session *far = given_agent(1, "a"), *near = given_local_agent(2, "a");
    char text[256];

    (void)state;
    snprintf(text, sizeof(text), SECRET_FILE, "hush");
    apply_file(text);
    assert_string_equal(block_for(far, "10.0.0.1"), "none");
    assert_non_null(strstr(block_for(near, "127.0.0.1"), "hush"));
    assert_string_equal(block_for(far, "10.0.0.1"), "none");
    /* What counts is the link of this call, not what was said at hello. */
    assert_string_equal(block_for(near, "10.0.0.9"), "none");
    assert_int_equal(atomic_load(&stats->plan_withheld), 1);
    assert_int_equal(atomic_load(&stats->plan_http_targets), 1);
    assert_int_equal(logged("is not sent to agents whose links are plain"), 1);
    session_put(far);
    session_put(near);
}

static void an_entry_that_is_withheld_is_told_of_once_and_when_it_changes(void **state)
{
    const struct control_stats *stats = control_stats(world.control);
    struct session *near = given_local_agent(1, "a"), *far, *third;
    char text[256];

    (void)state;
    snprintf(text, sizeof(text), SECRET_FILE, "hush");
    apply_file(text);
    assert_int_equal(atomic_load(&stats->plan_withheld), 0);
    assert_int_equal(logged("is not sent to agents whose links are plain"), 0);
    far = given_agent(2, "a");
    third = given_agent(3, "b");
    settle();
    assert_int_equal(atomic_load(&stats->plan_withheld), 1);
    apply_file(text);
    assert_int_equal(logged("is not sent to agents whose links are plain"), 1);
    snprintf(text, sizeof(text), SECRET_FILE, "other");
    apply_file(text);
    assert_int_equal(logged("is not sent to agents whose links are plain"), 2);
    apply_file(NULL);
    assert_int_equal(atomic_load(&stats->plan_withheld), 0);
    session_put(near);
    session_put(far);
    session_put(third);
}

static void an_agent_that_moves_to_the_loopback_is_planned_anew(void **state)
{
    const struct control_stats *stats = control_stats(world.control);
    struct session *a = given_agent(1, "a"), *moved;
    char text[256];

    (void)state;
    snprintf(text, sizeof(text), SECRET_FILE, "hush");
    apply_file(text);
    assert_int_equal(atomic_load(&stats->plan_withheld), 1);
    atomic_store(&a->connected, false);
    moved = given_local_agent(1, "a");
    settle();
    assert_int_equal(atomic_load(&stats->plan_withheld), 0);
    session_put(a);
    session_put(moved);
}

static void secrets_go_over_trusted_links(void **state)
{
    const struct control_stats *stats = control_stats(world.control);
    struct session *plain = given_agent(1, "a"), *trusted;
    struct directory *d;
    char text[256];

    (void)state;
    world.trusted = true;
    trusted = given_agent(2, "b");
    snprintf(text, sizeof(text), SECRET_FILE, "hush");
    apply_file(text);
    assert_non_null(strstr(block_for(trusted, "10.0.0.2"), "hush"));
    world.trusted = false;
    assert_string_equal(block_for(plain, "10.0.0.1"), "none");
    assert_int_equal(atomic_load(&stats->plan_withheld), 1);
    world.now_ns += S(2);
    step();
    assert_int_equal(atomic_load(&stats->agents_trusted), 1);
    d = directory_get(world.board);
    assert_false(d->agents[0].trusted);
    assert_true(d->agents[1].trusted);
    directory_put(d);
    session_put(plain);
    session_put(trusted);
}

static void tasks_go_over_trusted_links_alone_and_with_the_plan(void **state)
{
    static const struct wire_task due = {.id = "t-1", .line = "ping a", .line_len = 6,
                                         .deadline_ns = S(30)};
    struct session *plain = given_agent(1, "a"), *trusted;
    struct wire_reply reply;
    uint64_t revision;

    (void)state;
    world.trusted = true;
    trusted = given_agent(2, "b");
    settle();
    fake_tasks_due = &due;
    fake_tasks_due_cancel = "t-0";
    reply = sync_reply(trusted, 0);
    assert_true(reply.as.sync.has_plan);
    assert_int_equal(reply.as.sync.task_count, 1);
    assert_string_equal(reply.as.sync.tasks[0].id, "t-1");
    assert_memory_equal(reply.as.sync.tasks[0].line, "ping a", 6);
    assert_int_equal(reply.as.sync.cancel_count, 1);
    revision = reply.as.sync.plan_revision;
    wire_reply_free(&reply);
    reply = sync_reply(trusted, revision);
    assert_false(reply.as.sync.has_plan);
    assert_int_equal(reply.as.sync.plan_revision, revision);
    assert_int_equal(reply.as.sync.task_count, 1);
    wire_reply_free(&reply);
    world.trusted = false;
    reply = sync_reply(plain, 0);
    assert_true(reply.as.sync.has_plan);
    assert_int_equal(reply.as.sync.task_count + reply.as.sync.cancel_count, 0);
    wire_reply_free(&reply);
    fake_tasks_due = NULL;
    fake_tasks_due_cancel = NULL;
    session_put(plain);
    session_put(trusted);
}

static void a_region_that_joined_takes_no_plain_agent_unless_it_migrates(void **state)
{
    const struct control_stats *stats = control_stats(world.control);
    struct wire_request request = hello_request(3, "a");
    struct control_change c = change(NULL);
    struct clock_reading at = now();
    struct session *plain = given_agent(1, "a"), *trusted;
    struct wire_reply reply;

    (void)state;
    world.trusted = true;
    trusted = given_agent(2, "a");
    world.trusted = false;
    assert_int_equal(atomic_load(&stats->excluded), 1);
    assert_int_equal(logged("had to leave"), 1);
    assert_null(ask(&request, "10.0.0.3", NULL, &reply));
    assert_int_equal(reply.status, WIRE_REFUSED);
    assert_non_null(strstr(reply.message, "-server.plain.migrate"));
    assert_int_equal(atomic_load(&stats->refused[REGISTRY_REFUSED_JOINED]), 1);
    wire_reply_free(&reply);
    c.migrate = calloc(1, sizeof(*c.migrate));
    c.migrate[0] = strdup("a");
    c.registry.migrate_count = 1;
    control_apply(world.control, &c, &at);
    session_put(ask(&request, "10.0.0.3", NULL, &reply));
    assert_int_equal(reply.status, WIRE_OK);
    wire_reply_free(&reply);
    session_put(plain);
    session_put(trusted);
}

static void agents_keep_their_plan_when_the_next_is_too_large_to_send(void **state)
{
    struct session *a = given_agent(1, "a"), *b = given_agent(2, "b");
    struct strbuf text = STRBUF_INIT;
    struct wire_reply reply;

    (void)state;
    strbuf_puts(&text, "prober_configs:\n- prober_type: http\n  region: web\n  targets:\n");
    for (unsigned i = 0; i < 4000; i++)
        strbuf_printf(&text, "  - http://%01100u.test/\n", i);
    apply_file(text.bytes);
    for (unsigned i = 0; i < 4; i++) {
        reply = sync_reply(i % 2 ? a : b, 77);
        assert_int_equal(reply.status, WIRE_OK);
        assert_int_equal(reply.as.sync.plan_revision, 77);
        assert_false(reply.as.sync.has_plan);
        wire_reply_free(&reply);
    }
    assert_int_equal(logged("too large to be sent"), 1);
    assert_int_equal(atomic_load(&control_stats(world.control)->failures), 2);
    strbuf_free(&text);
    session_put(a);
    session_put(b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(hello_tells_what_an_agent_has_to_know),
        TEST(a_refused_agent_is_told_why),
        TEST(a_call_without_hello_is_told_to_say_it),
        TEST(a_new_agent_is_in_everybodys_plan_after_one_hint),
        TEST(a_revoked_agent_is_out_of_plan_and_directory_after_one_hint),
        TEST(a_revoked_agent_is_not_taken_again_until_it_is_unrevoked),
        TEST(many_changes_at_once_make_one_plan),
        TEST(an_agent_that_has_its_plan_is_not_sent_it_again),
        TEST(the_directory_shows_agents_and_planned_pairs),
        TEST(a_region_whose_agents_are_gone_leaves_the_plan),
        TEST(a_copy_may_be_asked_to_wait_before_it_is_refused),
        TEST(a_reload_changes_the_targets),
        TEST(targets_without_a_region_are_handed_out),
        TEST(plain_links_refused_by_a_reload_end_for_those_that_are_there_too),
        TEST(secrets_stay_on_the_servers_host),
        TEST(an_entry_that_is_withheld_is_told_of_once_and_when_it_changes),
        TEST(an_agent_that_moves_to_the_loopback_is_planned_anew),
        TEST(secrets_go_over_trusted_links),
        TEST(tasks_go_over_trusted_links_alone_and_with_the_plan),
        TEST(a_region_that_joined_takes_no_plain_agent_unless_it_migrates),
        TEST(agents_keep_their_plan_when_the_next_is_too_large_to_send),
        TEST(a_thousand_agents_and_targets_are_planned_and_synced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
