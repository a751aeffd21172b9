#include "libprober/trace_engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "fakes/fake_trace_socket.h"
#include "unit.h"

#define MS(n) ((uint64_t)(n)*CLOCK_NS_PER_MS)
#define START MS(1000000)
#define REAL_OFFSET (UINT64_C(1700000000) * CLOCK_NS_PER_S)
#define STEP MS(1)
#define REPORTS_MAX 8

/* What the scripted path does with a probe, by its TTL; all rounds alike unless `act` says more. */
struct script {
    uint8_t length;     /* TTL of the target */
    bool is_silent[16]; /* [ttl]: answers nothing */
    size_t quoted;
    uint64_t hop_rtt_ns; /* times TTL: the RTT */
    bool (*act)(const struct fake_probe *p,
                uint64_t answer_ns); /* true: it did what there is to do */
};

static struct script script;

static struct {
    struct trace_engine *engine;
    struct clock_reading now;
    size_t answered; /* of fake_hosts.sent */
    size_t done;
    struct trace_report reports[REPORTS_MAX];
    struct trace_hop hops[REPORTS_MAX][TRACE_HOPS_MAX];
    struct trace_flow flows[REPORTS_MAX];
    void *users[REPORTS_MAX];
} t;

static void on_done(void *context, void *user, const struct trace_report *r)
{
    (void)context;
    assert_true(t.done < REPORTS_MAX);
    memcpy(t.hops[t.done], r->hops, r->hop_count * sizeof(*r->hops));
    t.flows[t.done] = *r->flow;
    t.users[t.done] = user;
    t.reports[t.done] = *r;
    t.reports[t.done].hops = t.hops[t.done];
    t.reports[t.done].flow = &t.flows[t.done];
    t.done++;
    for (size_t i = 0; i < r->hop_count; i++)
        assert_int_equal(r->hops[i].sent,
                         r->hops[i].received + r->hops[i].lost + r->hops[i].unknown);
}

static void given_engine(uint32_t rate)
{
    const struct trace_sink sink = {.done = on_done};

    fake_hosts_reset();
    memset(&t, 0, sizeof(t));
    script = (struct script){.length = 4, .quoted = TRACE_PACKET_SIZE, .hop_rtt_ns = MS(10)};
    t.now = (struct clock_reading){START, START + REAL_OFFSET, START};
    assert_int_equal(trace_engine_create(&t.engine, rate, &sink, &t.now, NULL), PROBER_OK);
}

static struct trace_target given_target(const char *address, enum trace_protocol protocol)
{
    struct trace_target target = {
        .protocol = protocol,
        .port = TRACE_PORT_DEFAULT,
        .limits = {.count = 5, .max_hops = 12, .silent_max = 3, .timeout_ns = MS(500)},
        .interval_ns = MS(1000),
    };

    assert_int_equal(prober_addr_parse(address, &target.address), PROBER_OK);
    return target;
}

static void add(const struct trace_target *target)
{
    struct prober_failure why = {.text = ""};

    assert_int_equal(trace_engine_add(t.engine, target, &t.now, &why), PROBER_OK);
}

static const char *router(const struct fake_probe *p)
{
    static char text[32];

    snprintf(text, sizeof(text),
             p->flow.target.family == PROBER_FAMILY_IPV6 ? "fd00::%d" : "10.0.0.%d", p->ttl);
    return text;
}

static void answer_exceeded(const struct fake_probe *p, const char *from, uint64_t answer_ns)
{
    bool v6 = p->flow.target.family == PROBER_FAMILY_IPV6;
    struct fake_message m = fake_error(p, from, v6 ? 3 : 11, 0, script.quoted, answer_ns);

    fake_deliver_message(&m);
}

static void answer_target(const struct fake_probe *p, uint64_t answer_ns)
{
    bool v6 = p->flow.target.family == PROBER_FAMILY_IPV6;
    char text[PROBER_ADDR_TEXT_MAX];
    struct fake_message m = fake_echo_reply(p, answer_ns);

    if (p->flow.protocol == TRACE_UDP)
        m = fake_error(p, prober_addr_format(&p->flow.target, text), v6 ? 1 : 3, v6 ? 4 : 3,
                       script.quoted, answer_ns);
    fake_deliver_message(&m);
}

static void answer_probe(const struct fake_probe *p)
{
    uint8_t depth = p->ttl < script.length ? p->ttl : script.length;
    uint64_t answer_ns = p->real_ns + depth * script.hop_rtt_ns;

    if (script.act && script.act(p, answer_ns))
        return;
    if (depth < ARRAY_LEN(script.is_silent) && script.is_silent[depth])
        return;
    if (p->ttl < script.length)
        answer_exceeded(p, router(p), answer_ns);
    else
        answer_target(p, answer_ns);
}

static void tick(uint64_t ns)
{
    t.now.mono_ns += ns;
    t.now.real_ns += ns;
    t.now.boot_ns += ns;
    fake_hosts.real_ns = t.now.real_ns;
}

/* Steps the engine a millisecond at a time; each answer is laid before it once its time has come. */
static void run(size_t traces)
{
    for (int i = 0; i < 200000 && t.done < traces; i++) {
        tick(STEP);
        while (t.answered < fake_hosts.sent_count &&
               fake_hosts.sent[t.answered].real_ns + script.length * script.hop_rtt_ns <=
                   t.now.real_ns)
            answer_probe(&fake_hosts.sent[t.answered++]);
        trace_engine_step(t.engine, &t.now);
    }
    assert_int_equal(t.done, traces);
}

static int tear_down(void **state)
{
    (void)state;
    trace_engine_destroy(t.engine);
    assert_int_equal(fake_hosts.ears, 0);
    assert_int_equal(fake_hosts.mouths, 0);
    return 0;
}

static void each_hop_is_named_with_its_rtt(void **state)
{
    static const char *const targets[] = {"198.51.100.9", "2001:db8::9"};

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        struct trace_target target = given_target(targets[i & 1], i & 2 ? TRACE_UDP : TRACE_ICMP);
        char text[PROBER_ADDR_TEXT_MAX];

        given_engine(500);
        script.quoted = i & 4 ? 8 : TRACE_PACKET_SIZE;
        target.user = &target;
        add(&target);
        run(1);
        assert_int_equal(t.reports[0].end, TRACE_END_TARGET);
        assert_int_equal(t.reports[0].hop_count, 4);
        assert_ptr_equal(t.users[0], &target);
        for (uint8_t ttl = 1; ttl <= 4; ttl++) {
            const struct trace_hop *h = &t.hops[0][ttl - 1];
            struct fake_probe like = {.ttl = ttl, .flow.target = target.address};

            assert_int_equal(h->sent, 5);
            assert_int_equal(h->received, 5);
            assert_int_equal(h->responder_count, 1);
            assert_int_equal(h->responders[0].answers, 5);
            assert_string_equal(prober_addr_format(&h->responders[0].address, text),
                                ttl < 4 ? router(&like) : targets[i & 1]);
            assert_int_equal(h->rtt.min_ns, MS(10) * ttl);
            assert_int_equal(h->rtt.max_ns, MS(10) * ttl);
            assert_int_equal(h->rtt.p50_ns, MS(10) * ttl);
            assert_int_equal(h->is_target, ttl == 4);
            assert_int_equal(h->remark, TRACE_NO_REMARK);
        }
        trace_engine_destroy(t.engine);
        t.engine = NULL;
    }
}

static void few_probes_go_beyond_the_end(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(1000);
    add(&target);
    run(1);
    for (size_t i = 0; i < fake_hosts.sent_count; i++)
        assert_in_range(fake_hosts.sent[i].ttl, 1, 4 + 3);
    assert_in_range(fake_hosts.sent_count, 20, 23);
}

static void no_two_packets_are_closer_than_the_rate(void **state)
{
    struct trace_target a = given_target("198.51.100.9", TRACE_ICMP);
    struct trace_target b = given_target("198.51.100.10", TRACE_UDP);

    (void)state;
    given_engine(50);
    a.interval_ns = b.interval_ns = MS(1);
    add(&a);
    add(&b);
    run(2);
    assert_true(fake_hosts.sent_count >= 40);
    for (size_t i = 1; i < fake_hosts.sent_count; i++)
        assert_true(fake_hosts.sent[i].real_ns - fake_hosts.sent[i - 1].real_ns >= MS(20));
    /* neither waits for the other */
    assert_true(fake_hosts.sent[0].flow.protocol != fake_hosts.sent[1].flow.protocol);
}

static void a_silent_hop_does_not_end_the_trace(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    script.is_silent[2] = true;
    add(&target);
    run(1);
    assert_int_equal(t.reports[0].end, TRACE_END_TARGET);
    assert_int_equal(t.hops[0][1].lost, 5);
    assert_int_equal(t.hops[0][1].responder_count, 0);
    assert_int_equal(t.hops[0][1].remark, TRACE_NEVER_ANSWERS);
    assert_int_equal(t.hops[0][1].rtt.count, 0);
    assert_int_equal(t.hops[0][2].remark, TRACE_NO_REMARK);
}

static void a_trace_ends_after_so_many_silent_hops(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    for (size_t i = 3; i < ARRAY_LEN(script.is_silent); i++)
        script.is_silent[i] = true;
    add(&target);
    run(1);
    assert_int_equal(t.reports[0].end, TRACE_END_SILENT);
    assert_int_equal(t.reports[0].hop_count, 2 + 3);
    assert_int_equal(t.hops[0][4].lost, 5);
    assert_int_equal(t.hops[0][4].remark, TRACE_NO_REMARK);
}

static void a_path_longer_than_allowed_is_too_far(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    target.limits.max_hops = 3;
    add(&target);
    run(1);
    assert_int_equal(t.reports[0].end, TRACE_END_TOO_FAR);
    assert_int_equal(t.reports[0].hop_count, 3);
}

static bool lose_every_other_at_two(const struct fake_probe *p, uint64_t answer_ns)
{
    static unsigned n;

    (void)answer_ns;
    return p->ttl == 2 && n++ % 2;
}

static void a_router_that_limits_its_answers_is_told_from_a_lossy_path(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    target.limits.count = 40;
    target.interval_ns = MS(1);
    script.act = lose_every_other_at_two;
    add(&target);
    run(1);
    assert_int_equal(t.hops[0][1].lost, 20);
    assert_int_equal(t.hops[0][1].remark, TRACE_LIMITS_ANSWERS);
    assert_int_equal(t.hops[0][0].remark, TRACE_NO_REMARK);
}

static bool lose_every_other_from_two(const struct fake_probe *p, uint64_t answer_ns)
{
    static unsigned n[16];

    (void)answer_ns;
    return p->ttl >= 2 && n[p->ttl]++ % 2;
}

static void a_lossy_path_is_not_called_limited(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    target.limits.count = 40;
    target.interval_ns = MS(1);
    script.act = lose_every_other_from_two;
    add(&target);
    run(1);
    for (size_t i = 1; i < 4; i++) {
        assert_true(trace_hop_loss_ratio(&t.hops[0][i]) > 0.4);
        assert_int_equal(t.hops[0][i].remark, TRACE_NO_REMARK);
    }
}

static bool say_unreachable_at_three(const struct fake_probe *p, uint64_t answer_ns)
{
    struct fake_message m = fake_error(p, "10.0.0.3", 3, 1, 8, answer_ns);

    if (p->ttl < 3)
        return false;
    fake_deliver_message(&m);
    return true;
}

static void an_unreachable_ends_the_path_with_its_code(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_UDP);

    (void)state;
    given_engine(500);
    script.act = say_unreachable_at_three;
    add(&target);
    run(1);
    assert_int_equal(t.reports[0].end, TRACE_END_UNREACHABLE);
    assert_int_equal(t.reports[0].code, 1);
    assert_int_equal(t.reports[0].hop_count, 3);
    assert_true(t.hops[0][2].is_unreachable);
    assert_int_equal(t.hops[0][2].code, 1);
    assert_int_equal(t.hops[0][2].received, 5);
}

static bool say_port_unreachable_elsewhere(const struct fake_probe *p, uint64_t answer_ns)
{
    struct fake_message m = fake_error(p, "10.0.0.3", 3, 3, 8, answer_ns);

    if (p->ttl < 3)
        return false;
    fake_deliver_message(&m);
    return true;
}

static void only_the_target_itself_is_the_target(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_UDP);

    (void)state;
    given_engine(500);
    script.act = say_port_unreachable_elsewhere;
    add(&target);
    run(1);
    assert_int_equal(t.reports[0].end, TRACE_END_UNREACHABLE);
    assert_false(t.hops[0][2].is_target);
}

static bool answer_twice(const struct fake_probe *p, uint64_t answer_ns)
{
    if (p->ttl == 1) {
        answer_exceeded(p, "10.0.0.1", answer_ns);
        answer_exceeded(p, "10.0.0.1", answer_ns + MS(1));
    }
    return p->ttl == 1;
}

static void duplicates_count_once(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    script.act = answer_twice;
    add(&target);
    run(1);
    assert_int_equal(t.hops[0][0].received, 5);
    assert_int_equal(t.hops[0][0].duplicates, 5);
    assert_int_equal(t.hops[0][0].rtt.max_ns, MS(10));
}

static bool answer_late_at_two(const struct fake_probe *p, uint64_t answer_ns)
{
    if (p->ttl == 2)
        answer_exceeded(p, "10.0.0.2", answer_ns + MS(500));
    return p->ttl == 2;
}

static void an_answer_after_the_timeout_is_late_and_lost_but_names_its_router(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    script.act = answer_late_at_two;
    add(&target);
    run(1);
    assert_int_equal(t.hops[0][1].lost, 5);
    assert_int_equal(t.hops[0][1].late, 5);
    assert_int_equal(t.hops[0][1].responder_count, 1);
    assert_int_equal(t.hops[0][1].responders[0].answers, 0);
    assert_int_equal(t.hops[0][1].rtt.count, 0);
}

static bool answer_in_turn(const struct fake_probe *p, uint64_t answer_ns)
{
    static unsigned n;
    char text[32];

    snprintf(text, sizeof(text), "10.0.2.%u", n++ % 10);
    if (p->ttl == 2)
        answer_exceeded(p, text, answer_ns);
    return p->ttl == 2;
}

static void several_routers_of_a_hop_are_all_shown_within_bounds(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    target.limits.count = 20;
    target.interval_ns = MS(1);
    script.act = answer_in_turn;
    add(&target);
    run(1);
    assert_int_equal(t.hops[0][1].received, 20);
    assert_true(t.hops[0][1].responder_count > 1);
    assert_true(t.hops[0][1].has_more_responders ||
                t.hops[0][1].responder_count < TRACE_RESPONDERS_MAX);
}

/* What others might send: each must be taken for no answer. */
static bool send_rubbish(const struct fake_probe *p, uint64_t answer_ns)
{
    struct fake_message m;

    if (p->ttl != 1)
        return false;
    m = fake_error(p, "10.6.6.6", 11, 0, TRACE_PACKET_SIZE, answer_ns);
    m.bytes[8 + 20 + 30] ^= 1; /* a wrong token */
    fake_seal(&m);
    fake_deliver_message(&m);
    m = fake_error(p, "10.6.6.6", 11, 0, 7, answer_ns); /* too short */
    fake_deliver_message(&m);
    m = fake_error(p, "10.6.6.6", 11, 0, 8, answer_ns);
    m.bytes[8 + 19] ^= 1; /* to another address */
    fake_seal(&m);
    fake_deliver_message(&m);
    m = fake_error(p, "10.6.6.6", 11, 0, 8, answer_ns);
    m.bytes[8 + 20 + 6] = 0xf0; /* of a number that was not sent */
    fake_seal(&m);
    fake_deliver_message(&m);
    m = fake_echo_reply(p, answer_ns);
    m.from.bytes[3]++; /* of another host */
    fake_deliver_message(&m);
    return true;
}

static void what_quotes_no_probe_of_ours_disturbs_nothing(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);
    struct trace_engine_counts counts;

    (void)state;
    given_engine(500);
    script.act = send_rubbish;
    add(&target);
    run(1);
    trace_engine_counts(t.engine, &counts);
    assert_int_equal(counts.foreign, 5 * 5);
    assert_int_equal(t.hops[0][0].lost, 5);
    assert_int_equal(t.hops[0][0].responder_count, 0);
    assert_int_equal(t.reports[0].end, TRACE_END_TARGET);
    assert_int_equal(t.reports[0].hop_count, 4);
}

static bool hold_back(const struct fake_probe *p, uint64_t answer_ns)
{
    static struct fake_probe held;

    if (p->ttl == 1) {
        held = *p;
        return true;
    }
    if (p->ttl == 2) {
        answer_exceeded(p, "10.0.0.2", answer_ns);
        answer_exceeded(&held, "10.0.0.1", held.real_ns + MS(10));
        return true;
    }
    return false;
}

static void answers_out_of_order_find_their_probes(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    script.act = hold_back;
    add(&target);
    run(1);
    assert_int_equal(t.hops[0][0].received, 5);
    assert_int_equal(t.hops[0][0].rtt.max_ns, MS(10));
    assert_int_equal(t.hops[0][1].rtt.max_ns, MS(20));
}

/* A router that passes on what it should have dropped shows up one hop later, twice. */
static bool miscount(const struct fake_probe *p, uint64_t answer_ns)
{
    if (p->ttl == 2)
        answer_exceeded(p, "10.0.0.3", answer_ns);
    return p->ttl == 2;
}

static void a_router_that_miscounts_ttl_is_shown_where_it_answered(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    script.act = miscount;
    add(&target);
    run(1);
    assert_true(prober_addr_equal(&t.hops[0][1].responders[0].address,
                                  &t.hops[0][2].responders[0].address));
    assert_int_equal(t.reports[0].hop_count, 4);
}

static uint64_t turn_ns;

static bool grow_at_turn(const struct fake_probe *p, uint64_t answer_ns)
{
    if (p->real_ns < turn_ns || p->ttl < 4 || p->ttl >= 6)
        return false;
    answer_exceeded(p, router(p), answer_ns);
    return true;
}

static void a_path_that_grows_is_followed_to_its_new_end(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    turn_ns = t.now.real_ns + MS(2500);
    script.act = grow_at_turn;
    add(&target);
    run(1);
    assert_int_equal(t.reports[0].end, TRACE_END_TARGET);
    assert_int_equal(t.reports[0].hop_count, 6);
    assert_int_equal(t.hops[0][3].responder_count, 2);
    assert_true(t.hops[0][5].is_target);
}

static void a_target_nearer_than_thought_ends_the_path_earlier(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    target.limits.count = 3;
    add(&target);
    for (int i = 0; i < 900; i++) {
        tick(STEP);
        while (t.answered < fake_hosts.sent_count &&
               fake_hosts.sent[t.answered].real_ns + MS(40) <= t.now.real_ns)
            answer_probe(&fake_hosts.sent[t.answered++]);
        trace_engine_step(t.engine, &t.now);
    }
    script.length = 2;
    run(1);
    assert_int_equal(t.reports[0].end, TRACE_END_TARGET);
    assert_int_equal(t.reports[0].hop_count, 2);
    assert_int_equal(t.hops[0][1].responder_count, 2);
}

static void what_the_socket_dropped_makes_losses_unknown(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(1000);
    target.limits.count = 1;
    script.is_silent[2] = true;
    add(&target);
    tick(MS(1));
    trace_engine_step(t.engine, &t.now);
    fake_hosts.drops = 3;
    run(1);
    assert_int_equal(t.hops[0][0].received, 1);
    assert_int_equal(t.hops[0][0].doubtful, 1);
    assert_true(trace_hop_loss_ratio(&t.hops[0][0]) < 0);
}

static void a_step_of_the_clock_spoils_what_was_on_its_way(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(1000);
    target.limits.count = 1;
    script.is_silent[1] = true;
    add(&target);
    for (int i = 0; i < 4; i++) {
        tick(MS(1));
        trace_engine_step(t.engine, &t.now);
    }
    t.now.real_ns += CLOCK_NS_PER_S * 100;
    run(1);
    assert_int_equal(t.hops[0][0].unknown, 1);
    assert_int_equal(t.hops[0][0].lost, 0);
}

static void a_clock_set_while_sending_neither_hangs_the_trace_nor_blames_the_path(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(1000);
    target.limits.count = 1;
    for (size_t i = 0; i < ARRAY_LEN(script.is_silent); i++)
        script.is_silent[i] = true;
    add(&target);
    tick(MS(1));
    fake_hosts.real_ns += 3600 * CLOCK_NS_PER_S;
    trace_engine_step(t.engine, &t.now);
    t.answered = 1;
    run(1);
    assert_int_equal(t.hops[0][0].unknown, 1);
    assert_int_equal(t.hops[0][1].lost, 1);
}

static void what_the_host_refuses_to_send_is_unsent(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    given_engine(500);
    fake_hosts.refusals = 2;
    fake_hosts.refuse_with = ENOBUFS;
    add(&target);
    run(1);
    assert_int_equal(t.hops[0][0].unsent, 1);
    assert_int_equal(t.hops[0][0].sent, 4);
    assert_int_equal(t.reports[0].send_error, ENOBUFS);
    assert_int_equal(t.reports[0].end, TRACE_END_TARGET);

    trace_engine_destroy(t.engine);
    given_engine(500);
    fake_hosts.refusals = 1000;
    fake_hosts.refuse_with = ENETUNREACH;
    add(&target);
    run(1);
    assert_int_equal(t.reports[0].end, TRACE_END_UNSENT);
    assert_int_equal(t.hops[0][0].sent, 0);
    assert_true(trace_hop_loss_ratio(&t.hops[0][0]) < 0);
}

static void a_stopped_trace_waits_for_its_last_probe(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);
    size_t sent;

    (void)state;
    given_engine(500);
    add(&target);
    for (int i = 0; i < 5; i++) {
        tick(STEP);
        trace_engine_step(t.engine, &t.now);
    }
    sent = fake_hosts.sent_count;
    assert_in_range(sent, 1, 3);
    trace_engine_stop(t.engine);
    assert_int_equal(trace_engine_running(t.engine), 1);
    run(1);
    assert_int_equal(fake_hosts.sent_count, sent);
    assert_int_equal(t.hops[0][0].received, 1);
    assert_int_equal(trace_engine_running(t.engine), 0);
}

static void two_traces_of_one_target_do_not_take_each_others_answers(void **state)
{
    struct trace_target target = given_target("198.51.100.9", TRACE_ICMP);

    (void)state;
    for (int protocol = TRACE_ICMP; protocol <= TRACE_UDP; protocol++) {
        target.protocol = (enum trace_protocol)protocol;
        given_engine(500);
        script.quoted = 8;
        add(&target);
        add(&target);
        run(2);
        for (size_t i = 0; i < 2; i++)
            for (size_t hop = 0; hop < 4; hop++)
                assert_int_equal(t.hops[i][hop].received, 5);
        assert_int_not_equal(t.flows[0].identifier, t.flows[1].identifier);
        if (protocol == TRACE_ICMP)
            assert_int_equal(t.flows[0].identifier / TRACE_BLOCK * TRACE_BLOCK, fake_hosts.block);
        trace_engine_destroy(t.engine);
        t.engine = NULL;
    }
}

static void what_cannot_be_traced_is_refused(void **state)
{
    static const char *const addresses[] = {"224.0.0.1", "255.255.255.255", "0.0.0.0", "ff02::1",
                                            "::",        "::ffff:224.0.0.1"};
    struct trace_target target;
    struct prober_failure why;

    (void)state;
    given_engine(500);
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        target = given_target(addresses[i], TRACE_ICMP);
        assert_int_equal(trace_engine_add(t.engine, &target, &t.now, &why), PROBER_ERR_RANGE);
    }
    target = given_target("198.51.100.9", TRACE_UDP);
    target.port = 0;
    assert_int_equal(trace_engine_add(t.engine, &target, &t.now, &why), PROBER_ERR_RANGE);
    target = given_target("198.51.100.9", TRACE_ICMP);
    target.limits.count = TRACE_COUNT_MAX + 1;
    assert_int_equal(trace_engine_add(t.engine, &target, &t.now, &why), PROBER_ERR_RANGE);
    target = given_target("198.51.100.9", TRACE_ICMP);
    fake_hosts.no_route = true;
    assert_int_equal(trace_engine_add(t.engine, &target, &t.now, &why), PROBER_ERR_UNREACHABLE);
    fake_hosts.no_route = false;
    for (size_t i = 0; i < TRACE_TARGETS_MAX; i++)
        add(&target);
    assert_int_equal(trace_engine_add(t.engine, &target, &t.now, &why), PROBER_ERR_FULL);
    trace_engine_destroy(t.engine);
    given_engine(500);
    fake_hosts.denied = true;
    assert_int_equal(trace_engine_add(t.engine, &target, &t.now, &why), PROBER_ERR_DENIED);
    assert_int_equal(trace_engine_create(&t.engine, 0, &(struct trace_sink){0}, &t.now, &why),
                     PROBER_ERR_RANGE);
}

static void an_idle_engine_wants_nothing(void **state)
{
    (void)state;
    given_engine(500);
    assert_int_equal(trace_engine_step(t.engine, &t.now), UINT64_MAX);
    assert_true(trace_engine_fd(t.engine) >= 0);
    trace_engine_destroy(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
        TEST(each_hop_is_named_with_its_rtt),
        TEST(few_probes_go_beyond_the_end),
        TEST(no_two_packets_are_closer_than_the_rate),
        TEST(a_silent_hop_does_not_end_the_trace),
        TEST(a_trace_ends_after_so_many_silent_hops),
        TEST(a_path_longer_than_allowed_is_too_far),
        TEST(a_router_that_limits_its_answers_is_told_from_a_lossy_path),
        TEST(a_lossy_path_is_not_called_limited),
        TEST(an_unreachable_ends_the_path_with_its_code),
        TEST(only_the_target_itself_is_the_target),
        TEST(duplicates_count_once),
        TEST(an_answer_after_the_timeout_is_late_and_lost_but_names_its_router),
        TEST(several_routers_of_a_hop_are_all_shown_within_bounds),
        TEST(what_quotes_no_probe_of_ours_disturbs_nothing),
        TEST(answers_out_of_order_find_their_probes),
        TEST(a_router_that_miscounts_ttl_is_shown_where_it_answered),
        TEST(a_path_that_grows_is_followed_to_its_new_end),
        TEST(a_target_nearer_than_thought_ends_the_path_earlier),
        TEST(what_the_socket_dropped_makes_losses_unknown),
        TEST(a_step_of_the_clock_spoils_what_was_on_its_way),
        TEST(a_clock_set_while_sending_neither_hangs_the_trace_nor_blames_the_path),
        TEST(what_the_host_refuses_to_send_is_unsent),
        TEST(a_stopped_trace_waits_for_its_last_probe),
        TEST(two_traces_of_one_target_do_not_take_each_others_answers),
        TEST(what_cannot_be_traced_is_refused),
        TEST(an_idle_engine_wants_nothing),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
