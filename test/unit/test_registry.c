#include "test/unit/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "serverd/registry.h"

#define S(n) ((uint64_t)(n)*CLOCK_NS_PER_S)
#define EPOCH_NS S(1700000000)
#define ALIVE_NS S(75)
#define HOUR_NS S(3600)

/* What the store was told. */
static struct {
    unsigned saved, forgotten, joined, excluded;
    bool saved_alive;
    struct prober_id last_forgotten;
} told;

static void note_save(void *context, const struct registry_agent *agent)
{
    (void)context;
    told.saved++;
    told.saved_alive = agent->alive;
}

static void note_forget(void *context, const struct prober_id *id)
{
    (void)context;
    told.forgotten++;
    told.last_forgotten = *id;
}

static void note_joined(void *context, const struct joined_row *row)
{
    (void)context;
    (void)row;
    told.joined++;
}

static void note_excluded(void *context, const struct registry_agent *agent, const char *why)
{
    (void)context;
    assert_false(agent->trusted);
    assert_non_null(strstr(why, "-server.plain.migrate"));
    told.excluded++;
}

static struct registry_config config(void)
{
    return (struct registry_config){
        .alive_ns = ALIVE_NS,
        .forget_ns = 24 * HOUR_NS,
        .clone_ns = S(25),
        .accept_plain = true,
        .agents_max = 100,
        .agents_per_source = 10,
        .save = note_save,
        .forget = note_forget,
        .save_joined = note_joined,
        .excluded = note_excluded,
    };
}

static struct registry *given_registry(const struct registry_config *c)
{
    struct registry *r = NULL;

    memset(&told, 0, sizeof(told));
    assert_int_equal(registry_create(&r, c), PROBER_OK);
    return r;
}

static struct prober_id id_of(unsigned n)
{
    struct prober_id id = {{0}};

    id.bytes[0] = 1;
    id.bytes[14] = (uint8_t)(n >> 8);
    id.bytes[15] = (uint8_t)n;
    return id;
}

static struct prober_addr address(const char *text)
{
    struct prober_addr a = {0};

    assert_int_equal(prober_addr_parse(text, &a), PROBER_OK);
    return a;
}

struct attempt {
    unsigned agent, boot;
    const char *peer;
    const char *region;
    const char *addresses[4]; /* up to the first NULL */
    enum wire_address_mode mode;
    bool trusted;
};

struct outcome {
    enum prober_error err;
    enum registry_refusal refusal;
    struct prober_failure why;
    struct session *session;
    const struct registry_agent *agent;
};

static struct outcome hello(struct registry *r, struct attempt a, uint64_t now_ns)
{
    struct outcome o = {.err = PROBER_OK};
    struct registry_caller caller = {id_of(a.agent), id_of(1000 + a.boot), address(a.peer),
                                     a.trusted};
    struct wire_hello h = {
        .region = a.region ? a.region : "cn-a",
        .version = "1",
        .os = "linux",
        .architecture = "x86_64",
        .address_mode = a.mode,
        .addresses = a.addresses,
        .probe_interval_ns = S(15),
        .probe_timeout_ns = S(3),
    };

    while (h.address_count < ARRAY_LEN(a.addresses) && a.addresses[h.address_count])
        h.address_count++;
    o.err = registry_hello(r, &caller, &h, now_ns, EPOCH_NS + now_ns, &o.session, &o.agent,
                           &o.refusal, &o.why);
    return o;
}

/* An agent that is taken, and whose connection lasts. */
static struct session *taken(struct registry *r, struct attempt a, uint64_t now_ns)
{
    struct outcome o = hello(r, a, now_ns);

    assert_int_equal(o.err, PROBER_OK);
    return o.session;
}

static void assert_refused(struct outcome o, enum registry_refusal refusal, const char *says)
{
    assert_int_equal(o.err, PROBER_ERR_DENIED);
    assert_int_equal(o.refusal, refusal);
    if (!strstr(o.why.text, says))
        fail_msg("'%s' does not say '%s'", o.why.text, says);
}

static void an_agent_gets_a_number_and_keeps_it(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct session *first = taken(r, (struct attempt){.agent = 1, .peer = "10.0.0.1"}, S(1));
    struct session *other = taken(r, (struct attempt){.agent = 2, .peer = "10.0.0.2"}, S(2));
    struct session *again = taken(r, (struct attempt){.agent = 1, .peer = "10.0.0.1"}, S(3));

    (void)state;
    assert_int_equal(first->agent_number, 1);
    assert_int_equal(other->agent_number, 2);
    assert_int_equal(again->agent_number, 1);
    assert_int_equal(registry_count(r), 2);
    assert_int_equal(registry_alive(r), 2);
    session_put(first);
    session_put(other);
    session_put(again);
    registry_destroy(r);
}

static void without_addresses_the_one_that_the_server_sees_is_probed(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct outcome o = hello(r, (struct attempt){.agent = 1, .peer = "::ffff:198.51.100.7"}, S(1));
    struct prober_addr seen = address("198.51.100.7");

    (void)state;
    assert_int_equal(o.err, PROBER_OK);
    assert_int_equal(o.agent->address_count, 1);
    assert_true(prober_addr_equal(&o.agent->addresses[0], &seen));
    session_put(o.session);
    registry_destroy(r);
}

static void one_address_of_each_family_is_taken(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct outcome o = hello(r,
                             (struct attempt){.agent = 1,
                                              .peer = "198.51.100.7",
                                              .addresses = {"10.1.1.1", "10.1.1.2", "fd00::1"}},
                             S(1));
    struct prober_addr first = address("10.1.1.1"), second = address("fd00::1");

    (void)state;
    assert_int_equal(o.err, PROBER_OK);
    assert_int_equal(o.agent->address_count, 2);
    assert_true(prober_addr_equal(&o.agent->addresses[0], &first));
    assert_true(prober_addr_equal(&o.agent->addresses[1], &second));
    session_put(o.session);
    registry_destroy(r);
}

static void addresses_that_would_mislead_are_refused(void **state)
{
    static const struct {
        struct attempt attempt;
        const char *says;
    } cases[] = {
        {{.peer = "10.0.0.1", .addresses = {"127.0.0.1"}}, "loopback"},
        {{.peer = "127.0.0.1", .addresses = {"127.0.0.1"}}, "-agent.icmp.address"},
        {{.peer = "127.0.0.1"}, "loopback"},
        {{.peer = "10.0.0.1", .addresses = {"127.0.0.1"}, .mode = WIRE_ADDRESS_GIVEN}, "loopback"},
        {{.peer = "10.0.0.1", .addresses = {"169.254.1.1"}}, "link-local"},
        {{.peer = "10.0.0.1", .addresses = {"224.0.0.1"}, .mode = WIRE_ADDRESS_GIVEN}, "multicast"},
        {{.peer = "10.0.0.1", .addresses = {"255.255.255.255"}}, "broadcast"},
        {{.peer = "10.0.0.1", .addresses = {"0.0.0.0"}, .mode = WIRE_ADDRESS_GIVEN}, "unspecified"},
        {{.peer = "10.0.0.1", .addresses = {"::"}}, "unspecified"},
        {{.peer = "10.0.0.1", .addresses = {"::ffff:127.0.0.1"}}, "loopback"},
        {{.peer = "10.0.0.1", .addresses = {"8.8.8.8"}}, "plain.networks"},
        {{.peer = "10.0.0.1", .addresses = {"8.8.8.8"}, .mode = WIRE_ADDRESS_GIVEN}, "10.0.0.1"},
        {{.peer = "10.0.0.1", .addresses = {"not-an-address"}}, "no address"},
    };
    struct registry_config c = config();
    struct registry *r = given_registry(&c);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct attempt a = cases[i].attempt;

        a.agent = (unsigned)i + 1;
        assert_refused(hello(r, a, S(1)), REGISTRY_REFUSED_ADDRESS, cases[i].says);
    }
    assert_int_equal(registry_count(r), 0);
    assert_int_equal(told.saved, 0);
    registry_destroy(r);
}

static void a_loopback_address_is_taken_when_given_over_loopback(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct session *s = taken(r,
                              (struct attempt){.agent = 1,
                                               .peer = "127.0.0.1",
                                               .addresses = {"127.0.0.9"},
                                               .mode = WIRE_ADDRESS_GIVEN},
                              S(1));

    (void)state;
    session_put(s);
    registry_destroy(r);
}

static void an_agent_beside_the_server_may_register_its_global_address(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct attempt a = {.agent = 1, .peer = "127.0.0.1", .addresses = {"198.51.100.7"}};

    (void)state;
    session_put(taken(r, a, S(1)));
    registry_destroy(r);
}

static void an_allowed_network_opens_its_addresses(void **state)
{
    struct prober_network network;
    struct registry_config c = config();
    struct registry *r;

    (void)state;
    assert_int_equal(prober_network_parse("198.51.100.0/25", &network, NULL), PROBER_OK);
    c.networks = &network;
    c.network_count = 1;
    r = given_registry(&c);
    session_put(taken(
        r, (struct attempt){.agent = 1, .peer = "10.0.0.1", .addresses = {"198.51.100.127"}}, 1));
    assert_refused(
        hello(r, (struct attempt){.agent = 2, .peer = "10.0.0.1", .addresses = {"198.51.100.128"}},
              1),
        REGISTRY_REFUSED_ADDRESS, "198.51.100.128");
    registry_destroy(r);
}

static void plain_links_can_be_refused_altogether(void **state)
{
    struct registry_config c = config();
    struct registry *r;

    (void)state;
    c.accept_plain = false;
    r = given_registry(&c);
    assert_refused(hello(r, (struct attempt){.agent = 1, .peer = "10.0.0.1"}, 1),
                   REGISTRY_REFUSED_PLAIN, "-server.plain");
    registry_destroy(r);
}

static void who_proved_itself_is_taken_where_plain_links_are_refused(void **state)
{
    struct registry_config c = config();
    struct registry *r;
    struct session *s;

    (void)state;
    c.accept_plain = false;
    r = given_registry(&c);
    s = taken(r, (struct attempt){.agent = 1, .peer = "10.0.0.1", .trusted = true}, 1);
    assert_true(s->trusted);
    assert_non_null(registry_call(r, s, S(1), EPOCH_NS));
    assert_true(registry_at(r, 0)->trusted);
    assert_int_equal(registry_trusted(r), 1);
    session_put(s);
    registry_destroy(r);
}

static void who_proved_itself_says_its_addresses_but_none_that_nobody_can_have(void **state)
{
    static const char *const never[] = {"127.0.0.1", "169.254.1.1", "fe80::1",
                                        "224.0.0.1", "0.0.0.0",     "255.255.255.255"};
    struct registry_config c = config();
    struct registry *r = given_registry(&c);

    (void)state;
    session_put(taken(r,
                      (struct attempt){.agent = 1,
                                       .peer = "10.0.0.1",
                                       .addresses = {"198.51.100.7", "2001:db8::7"},
                                       .trusted = true},
                      1));
    assert_int_equal(registry_at(r, 0)->address_count, 2);
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        assert_refused(hello(r,
                             (struct attempt){.agent = 2,
                                              .peer = "10.0.0.2",
                                              .addresses = {never[i]},
                                              .mode = WIRE_ADDRESS_GIVEN,
                                              .trusted = true},
                             1),
                       REGISTRY_REFUSED_ADDRESS, never[i]);
    registry_destroy(r);
}

static void plain_agents_take_no_place_of_those_with_proof(void **state)
{
    struct registry_config c = config();
    struct registry *r;

    (void)state;
    c.agents_per_source = 2;
    c.agents_max = 3;
    r = given_registry(&c);
    for (unsigned i = 0; i < 3; i++)
        session_put(taken(r,
                          (struct attempt){.agent = 1 + i,
                                           .peer = i ? "10.0.0.1" : "10.0.0.2",
                                           .region = "plain"},
                          S(1)));
    for (unsigned i = 0; i < 3; i++)
        session_put(taken(r,
                          (struct attempt){.agent = 11 + i,
                                           .peer = "10.0.0.1",
                                           .addresses = {"10.9.0.1"},
                                           .region = "joined",
                                           .trusted = true},
                          S(1)));
    assert_refused(hello(r,
                         (struct attempt){.agent = 14,
                                          .peer = "10.0.0.1",
                                          .addresses = {"10.9.0.1"},
                                          .region = "joined",
                                          .trusted = true},
                         S(2)),
                   REGISTRY_REFUSED_FULL, "agents.max");
    assert_int_equal(registry_count(r), 6);
    registry_destroy(r);
}

/* What joined was `first`, in region eu at 10.0.0.1. */
static struct session *given_joined(struct registry *r)
{
    return taken(r,
                 (struct attempt){.agent = 1, .peer = "10.0.0.1", .region = "eu", .trusted = true},
                 S(1));
}

static void what_joined_takes_no_plain_agent(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);

    (void)state;
    session_put(given_joined(r));
    assert_int_equal(told.joined, 3);
    assert_refused(
        hello(r, (struct attempt){.agent = 1, .peer = "10.0.0.2", .region = "us"}, S(2)),
        REGISTRY_REFUSED_JOINED, "has joined");
    assert_refused(
        hello(r, (struct attempt){.agent = 2, .peer = "10.0.0.2", .region = "eu"}, S(2)),
        REGISTRY_REFUSED_JOINED, "region eu");
    assert_refused(hello(r,
                         (struct attempt){.agent = 2,
                                          .peer = "10.0.0.2",
                                          .region = "us",
                                          .addresses = {"10.0.0.1"}},
                         S(2)),
                   REGISTRY_REFUSED_JOINED, "address 10.0.0.1");
    session_put(taken(r, (struct attempt){.agent = 2, .peer = "10.0.0.2", .region = "us"}, S(2)));
    registry_destroy(r);
}

static void what_joined_is_known_after_the_agent_was_forgotten_and_from_the_store(void **state)
{
    const struct joined_row row = {JOINED_REGION, "asia", "asia"};
    struct registry_config c = config();
    struct registry *r = given_registry(&c);

    (void)state;
    session_put(given_joined(r));
    registry_remove(r, 0);
    assert_int_equal(registry_load_joined(r, &row), PROBER_OK);
    assert_refused(
        hello(r, (struct attempt){.agent = 2, .peer = "10.0.0.2", .region = "eu"}, S(2)),
        REGISTRY_REFUSED_JOINED, "region eu");
    assert_refused(
        hello(r, (struct attempt){.agent = 2, .peer = "10.0.0.2", .region = "asia"}, S(2)),
        REGISTRY_REFUSED_JOINED, "region asia");
    registry_destroy(r);
}

static void plain_agents_leave_when_their_region_joins(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct session *plain =
        taken(r, (struct attempt){.agent = 2, .peer = "10.0.0.2", .region = "eu"}, S(1));
    struct session *other =
        taken(r, (struct attempt){.agent = 3, .peer = "10.0.0.3", .region = "us"}, S(1));

    (void)state;
    session_put(given_joined(r));
    assert_int_equal(told.excluded, 1);
    assert_int_equal(registry_count(r), 2);
    assert_true(atomic_load(&plain->expelled));
    assert_null(registry_call(r, plain, S(2), EPOCH_NS));
    assert_false(atomic_load(&other->expelled));
    session_put(plain);
    session_put(other);
    registry_destroy(r);
}

static void regions_that_migrate_take_both(void **state)
{
    static char eu[] = "eu";
    char *const migrate[] = {eu};
    struct registry_config c = config();
    struct registry *r;

    (void)state;
    c.migrate = migrate;
    c.migrate_count = 1;
    r = given_registry(&c);
    session_put(given_joined(r));
    session_put(taken(r, (struct attempt){.agent = 2, .peer = "10.0.0.2", .region = "eu"}, S(2)));
    /* Whoever says that it is of such a region gets nothing of the others. */
    session_put(taken(r,
                      (struct attempt){
                          .agent = 5, .peer = "10.0.0.5", .region = "us", .trusted = true},
                      S(2)));
    assert_refused(
        hello(r, (struct attempt){.agent = 5, .peer = "10.0.0.6", .region = "eu"}, S(40)),
        REGISTRY_REFUSED_JOINED, "has joined");
    assert_refused(hello(r,
                         (struct attempt){.agent = 6,
                                          .peer = "10.0.0.6",
                                          .region = "eu",
                                          .addresses = {"10.0.0.5"}},
                         S(40)),
                   REGISTRY_REFUSED_JOINED, "address 10.0.0.5");
    c.migrate_count = 0;
    registry_configure(r, &c);
    assert_int_equal(told.excluded, 1);
    registry_destroy(r);
}

static void who_proves_an_id_ends_its_plain_session(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct session *plain =
        taken(r, (struct attempt){.agent = 1, .boot = 1, .peer = "10.0.0.9"}, S(1));

    (void)state;
    session_put(taken(
        r, (struct attempt){.agent = 1, .boot = 2, .peer = "10.0.0.1", .trusted = true}, S(2)));
    assert_true(atomic_load(&plain->expelled));
    assert_int_equal(registry_count(r), 1);
    session_put(plain);
    registry_destroy(r);
}

static void a_source_holds_only_so_many_living_agents(void **state)
{
    struct registry_config c = config();
    struct registry *r;

    (void)state;
    c.agents_per_source = 2;
    r = given_registry(&c);
    session_put(taken(r, (struct attempt){.agent = 1, .peer = "10.0.0.1"}, S(1)));
    session_put(taken(r, (struct attempt){.agent = 2, .peer = "10.0.0.1"}, S(50)));
    assert_refused(hello(r, (struct attempt){.agent = 3, .peer = "10.0.0.1"}, S(60)),
                   REGISTRY_REFUSED_SOURCE_FULL, "per.source");
    session_put(taken(r, (struct attempt){.agent = 4, .peer = "10.0.0.9"}, S(60)));
    /* The first dies: a newcomer takes its place. */
    registry_tick(r, S(77), EPOCH_NS + S(77));
    session_put(taken(r, (struct attempt){.agent = 3, .peer = "10.0.0.1"}, S(78)));
    assert_int_equal(told.forgotten, 1);
    assert_int_equal(told.last_forgotten.bytes[15], 1);
    registry_destroy(r);
}

static void a_full_registry_takes_no_more(void **state)
{
    struct registry_config c = config();
    struct registry *r;

    (void)state;
    c.agents_max = 1;
    r = given_registry(&c);
    session_put(taken(r, (struct attempt){.agent = 1, .peer = "10.0.0.1"}, S(1)));
    assert_refused(hello(r, (struct attempt){.agent = 2, .peer = "10.0.0.2"}, S(2)),
                   REGISTRY_REFUSED_FULL, "agents.max");
    session_put(taken(r, (struct attempt){.agent = 1, .peer = "10.0.0.1"}, S(3)));
    registry_destroy(r);
}

static void a_copied_identity_is_refused_while_the_other_lives(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct session *s =
        taken(r, (struct attempt){.agent = 1, .boot = 1, .peer = "10.0.0.1"}, S(1));
    struct attempt copy = {.agent = 1, .boot = 2, .peer = "10.0.0.2"};

    (void)state;
    assert_refused(hello(r, copy, S(2)), REGISTRY_REFUSED_CLONED, "10.0.0.1");
    assert_ptr_equal(registry_at(r, 0)->session, s);
    /* Reports alone keep the first one in its place. */
    atomic_store(&s->last_seen_ns, S(20));
    assert_refused(hello(r, copy, S(40)), REGISTRY_REFUSED_CLONED, "state directory");
    session_put(s);
    registry_destroy(r);
}

static void a_restarted_agent_is_taken_at_once(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct session *s =
        taken(r, (struct attempt){.agent = 1, .boot = 1, .peer = "10.0.0.1"}, S(1));
    struct session *next;

    (void)state;
    atomic_store(&s->connected, false);
    next = taken(r, (struct attempt){.agent = 1, .boot = 2, .peer = "10.0.0.1"}, S(2));
    assert_int_equal(next->agent_number, s->agent_number);
    assert_null(registry_call(r, s, S(3), EPOCH_NS + S(3)));
    assert_non_null(registry_call(r, next, S(3), EPOCH_NS + S(3)));
    session_put(s);
    session_put(next);
    registry_destroy(r);
}

static void a_host_that_vanished_and_returns_is_taken(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);

    (void)state;
    session_put(taken(r, (struct attempt){.agent = 1, .boot = 1, .peer = "10.0.0.1"}, S(1)));
    session_put(taken(r, (struct attempt){.agent = 1, .boot = 2, .peer = "10.0.0.1"}, S(27)));
    registry_destroy(r);
}

static void a_silent_agent_dies_and_lives_again_when_it_calls(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct session *s = taken(r, (struct attempt){.agent = 1, .peer = "10.0.0.1"}, S(1));

    (void)state;
    registry_take_changes(r);
    registry_tick(r, S(76), EPOCH_NS + S(76));
    assert_int_equal(registry_alive(r), 1);
    assert_false(registry_take_changes(r).plan);
    registry_tick(r, S(77), EPOCH_NS + S(77));
    assert_int_equal(registry_alive(r), 0);
    assert_true(registry_take_changes(r).plan);
    assert_false(told.saved_alive);
    assert_non_null(registry_call(r, s, S(80), EPOCH_NS + S(80)));
    assert_int_equal(registry_alive(r), 1);
    assert_true(registry_take_changes(r).plan);
    assert_true(told.saved_alive);
    session_put(s);
    registry_destroy(r);
}

static void reports_alone_keep_an_agent_alive(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct session *s = taken(r, (struct attempt){.agent = 1, .peer = "10.0.0.1"}, S(1));

    (void)state;
    atomic_store(&s->last_seen_ns, S(70));
    registry_tick(r, S(100), EPOCH_NS + S(100));
    assert_int_equal(registry_alive(r), 1);
    assert_int_equal(registry_at(r, 0)->last_seen_real_ns, EPOCH_NS + S(70));
    registry_tick(r, S(146), EPOCH_NS + S(146));
    assert_int_equal(registry_alive(r), 0);
    session_put(s);
    registry_destroy(r);
}

static void an_agent_does_not_die_of_a_time_in_which_the_server_stood_still(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);

    (void)state;
    session_put(taken(r, (struct attempt){.agent = 1, .peer = "10.0.0.1"}, S(1)));
    registry_tick(r, S(10), EPOCH_NS + S(10));
    registry_forgive(r, S(90));
    registry_tick(r, S(100), EPOCH_NS + S(100));
    assert_int_equal(registry_alive(r), 1);
    registry_tick(r, S(166), EPOCH_NS + S(166));
    assert_int_equal(registry_alive(r), 1);
    registry_tick(r, S(167), EPOCH_NS + S(167));
    assert_int_equal(registry_alive(r), 0);
    registry_destroy(r);
}

static void who_is_gone_for_long_is_forgotten_and_its_number_is_not_used_again(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct session *next;

    (void)state;
    session_put(taken(r, (struct attempt){.agent = 1, .peer = "10.0.0.1"}, S(1)));
    registry_tick(r, S(100), EPOCH_NS + S(100));
    registry_tick(r, S(1) + 24 * HOUR_NS, EPOCH_NS);
    assert_int_equal(registry_count(r), 1);
    registry_tick(r, S(2) + 24 * HOUR_NS, EPOCH_NS);
    assert_int_equal(registry_count(r), 0);
    assert_int_equal(told.forgotten, 1);
    next = taken(r, (struct attempt){.agent = 1, .peer = "10.0.0.1"}, S(3) + 24 * HOUR_NS);
    assert_int_equal(next->agent_number, 2);
    session_put(next);
    registry_destroy(r);
}

static struct registry_agent stored(unsigned n, bool alive, uint64_t last_seen_real_ns)
{
    static char region[] = "cn-a", empty[] = "";
    struct registry_agent a = {
        .id = id_of(n),
        .number = 10 * n,
        .region = region,
        .version = empty,
        .os = empty,
        .architecture = empty,
        .address_count = 1,
        .alive = alive,
        .last_seen_real_ns = last_seen_real_ns,
    };

    a.addresses[0] = address("10.0.0.1");
    return a;
}

static void after_a_restart_who_was_alive_has_time_to_call(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct registry_agent living = stored(1, true, EPOCH_NS - HOUR_NS);
    struct registry_agent dead = stored(2, false, EPOCH_NS - HOUR_NS);
    struct session *s;

    (void)state;
    assert_int_equal(registry_load(r, &living, S(5), EPOCH_NS), PROBER_OK);
    assert_int_equal(registry_load(r, &dead, S(5), EPOCH_NS), PROBER_OK);
    assert_int_equal(registry_load(r, &dead, S(5), EPOCH_NS), PROBER_ERR_EXISTS);
    assert_int_equal(registry_alive(r), 1);
    registry_tick(r, S(80), EPOCH_NS + S(75));
    assert_int_equal(registry_alive(r), 1);
    registry_tick(r, S(81), EPOCH_NS + S(76));
    assert_int_equal(registry_alive(r), 0);
    registry_set_next_number(r, 5);
    s = taken(r, (struct attempt){.agent = 3, .peer = "10.0.0.1"}, S(82));
    assert_int_equal(s->agent_number, 21);
    session_put(s);
    registry_destroy(r);
}

static void silence_before_a_restart_counts_towards_forgetting(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct registry_agent dead = stored(2, false, EPOCH_NS - 23 * HOUR_NS);

    (void)state;
    assert_int_equal(registry_load(r, &dead, S(5), EPOCH_NS), PROBER_OK);
    registry_tick(r, S(5) + HOUR_NS, EPOCH_NS + HOUR_NS);
    assert_int_equal(registry_count(r), 1);
    registry_tick(r, S(6) + HOUR_NS, EPOCH_NS + S(1) + HOUR_NS);
    assert_int_equal(registry_count(r), 0);
    registry_destroy(r);
}

static void a_move_to_another_region_or_address_changes_the_plan(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct attempt a = {.agent = 1, .boot = 1, .peer = "10.0.0.1", .region = "cn-a"};

    (void)state;
    session_put(taken(r, a, S(1)));
    assert_true(registry_take_changes(r).plan);
    session_put(taken(r, a, S(2)));
    assert_false(registry_take_changes(r).plan);
    a.region = "cn-b";
    session_put(taken(r, a, S(3)));
    assert_true(registry_take_changes(r).plan);
    a.peer = "10.0.0.2";
    session_put(taken(r, a, S(4)));
    assert_true(registry_take_changes(r).plan);
    assert_int_equal(registry_count(r), 1);
    registry_destroy(r);
}

static void a_name_or_id_that_is_none_is_refused(void **state)
{
    struct registry_config c = config();
    struct registry *r = given_registry(&c);
    struct registry_caller caller = {.boot = id_of(1), .peer = address("10.0.0.1")};
    struct wire_hello h = {.region = "cn-a"};
    struct outcome o;

    (void)state;
    o.err = registry_hello(r, &caller, &h, 1, EPOCH_NS, &o.session, &o.agent, &o.refusal, &o.why);
    assert_refused(o, REGISTRY_REFUSED_INVALID, "id");
    assert_refused(hello(r, (struct attempt){.agent = 1, .peer = "10.0.0.1", .region = "a\nb"}, 1),
                   REGISTRY_REFUSED_INVALID, "region");
    assert_string_equal(registry_refusal_text(REGISTRY_REFUSED_INVALID), "invalid");
    registry_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_agent_gets_a_number_and_keeps_it),
        cmocka_unit_test(without_addresses_the_one_that_the_server_sees_is_probed),
        cmocka_unit_test(one_address_of_each_family_is_taken),
        cmocka_unit_test(addresses_that_would_mislead_are_refused),
        cmocka_unit_test(a_loopback_address_is_taken_when_given_over_loopback),
        cmocka_unit_test(an_agent_beside_the_server_may_register_its_global_address),
        cmocka_unit_test(an_allowed_network_opens_its_addresses),
        cmocka_unit_test(plain_links_can_be_refused_altogether),
        cmocka_unit_test(who_proved_itself_is_taken_where_plain_links_are_refused),
        cmocka_unit_test(who_proved_itself_says_its_addresses_but_none_that_nobody_can_have),
        cmocka_unit_test(plain_agents_take_no_place_of_those_with_proof),
        cmocka_unit_test(what_joined_takes_no_plain_agent),
        cmocka_unit_test(what_joined_is_known_after_the_agent_was_forgotten_and_from_the_store),
        cmocka_unit_test(plain_agents_leave_when_their_region_joins),
        cmocka_unit_test(regions_that_migrate_take_both),
        cmocka_unit_test(who_proves_an_id_ends_its_plain_session),
        cmocka_unit_test(a_source_holds_only_so_many_living_agents),
        cmocka_unit_test(a_full_registry_takes_no_more),
        cmocka_unit_test(a_copied_identity_is_refused_while_the_other_lives),
        cmocka_unit_test(a_restarted_agent_is_taken_at_once),
        cmocka_unit_test(a_host_that_vanished_and_returns_is_taken),
        cmocka_unit_test(a_silent_agent_dies_and_lives_again_when_it_calls),
        cmocka_unit_test(reports_alone_keep_an_agent_alive),
        cmocka_unit_test(an_agent_does_not_die_of_a_time_in_which_the_server_stood_still),
        cmocka_unit_test(who_is_gone_for_long_is_forgotten_and_its_number_is_not_used_again),
        cmocka_unit_test(after_a_restart_who_was_alive_has_time_to_call),
        cmocka_unit_test(silence_before_a_restart_counts_towards_forgetting),
        cmocka_unit_test(a_move_to_another_region_or_address_changes_the_plan),
        cmocka_unit_test(a_name_or_id_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
