#include "libprober/resolver.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/array.h"
#include "common/clock.h"
#include "fakes/dns_server.h"

#define PATIENCE_NS (20 * CLOCK_NS_PER_S)

static const struct dns_record zone[] = {
    {.name = "both.test", .a = "192.0.2.1 192.0.2.2", .aaaa = "2001:db8::1"},
    {.name = "four.test", .a = "192.0.2.4"},
    {.name = "six.test", .aaaa = "2001:db8::6"},
    {.name = "empty.test"},
    {.name = "failing.test", .on_a = DNS_FAILS, .on_aaaa = DNS_FAILS},
    {.name = "refused.test", .on_a = DNS_REFUSES, .on_aaaa = DNS_REFUSES},
    {.name = "silent.test", .on_a = DNS_IS_SILENT, .on_aaaa = DNS_IS_SILENT},
    {.name = "halfsilent.test", .aaaa = "2001:db8::7", .on_a = DNS_IS_SILENT},
    {.name = "sixsilent.test", .a = "192.0.2.8", .on_aaaa = DNS_IS_SILENT},
    {.name = "large.test", .a = "192.0.2.9", .on_a = DNS_TRUNCATES, .on_aaaa = DNS_TRUNCATES},
    {.name = "garbage.test", .on_a = DNS_SENDS_GARBAGE, .on_aaaa = DNS_SENDS_GARBAGE},
    {0},
};

struct fixture {
    struct dns_server *server;
    struct resolver *resolver;
    struct resolver_answer answer;
    unsigned answers;
};

static int set_up(void **state)
{
    static struct fixture f;
    struct resolver_config config = {.timeout_ns = 10 * CLOCK_NS_PER_S};
    struct prober_failure why = {0};

    memset(&f, 0, sizeof(f));
    f.server = dns_server_start(zone);
    config.servers = dns_server_address(f.server);
    assert_int_equal(resolver_create(&f.resolver, &config, &why), PROBER_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    resolver_destroy(f->resolver);
    dns_server_stop(f->server);
    return 0;
}

static void on_answer(void *context, const struct resolver_answer *answer)
{
    struct fixture *f = context;

    f->answer = *answer;
    f->answers++;
}

static void run_until(struct fixture *f, unsigned answers)
{
    struct pollfd pfd = {.fd = resolver_fd(f->resolver), .events = POLLIN};
    uint64_t start = clock_monotonic_ns(), now = start, next;

    while (f->answers < answers && now < start + PATIENCE_NS) {
        next = resolver_step(f->resolver, now);
        if (f->answers < answers)
            poll(&pfd, 1, next <= now ? 0 : (int)((next - now) / CLOCK_NS_PER_MS) + 1);
        now = clock_monotonic_ns();
    }
    assert_int_equal(f->answers, answers);
}

static const char *lookup(struct fixture *f, const char *name, enum prober_family preferred,
                          bool strict)
{
    static char text[PROBER_ADDR_TEXT_MAX];

    f->answers = 0;
    resolver_lookup(f->resolver, name, preferred, strict, clock_monotonic_ns(), on_answer, f);
    run_until(f, 1);
    if (f->answer.status != RESOLVER_OK)
        return resolver_status_text(f->answer.status);
    return prober_addr_format(&f->answer.address, text);
}

static void a_literal_answers_at_once_in_no_time(void **state)
{
    struct fixture *f = *state;

    resolver_lookup(f->resolver, "192.0.2.7", PROBER_FAMILY_IPV4, false, 5, on_answer, f);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->answer.status, RESOLVER_OK);
    assert_int_equal(f->answer.elapsed_ns, 0);
    assert_int_equal(f->answer.count, 1);
    assert_true(prober_addr_equal(&f->answer.shown[0], &f->answer.address));
    assert_string_equal(lookup(f, "2001:db8::5", PROBER_FAMILY_IPV4, false), "2001:db8::5");
    assert_int_equal(dns_server_questions(f->server), 0);
}

static void a_literal_of_the_other_family_is_no_answer_when_strict(void **state)
{
    assert_string_equal(lookup(*state, "192.0.2.7", PROBER_FAMILY_IPV6, true), "nodata");
    assert_string_equal(lookup(*state, "::1", PROBER_FAMILY_IPV4, true), "nodata");
    assert_string_equal(lookup(*state, "::1", PROBER_FAMILY_IPV6, true), "::1");
}

static void the_preferred_family_is_taken_when_there_are_both(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(lookup(f, "both.test", PROBER_FAMILY_IPV4, false), "192.0.2.1");
    assert_int_equal(f->answer.count, 2);
    assert_true(prober_addr_equal(&f->answer.shown[0], &f->answer.address));
    assert_int_equal(f->answer.shown[1].family, PROBER_FAMILY_IPV4);
    assert_int_equal(f->answer.shown[2].family, PROBER_FAMILY_NONE);
    assert_string_equal(lookup(f, "both.test", PROBER_FAMILY_IPV6, false), "2001:db8::1");
    assert_string_equal(lookup(f, "BOTH.Test.", PROBER_FAMILY_NONE, false), "192.0.2.1");
}

static void the_other_family_is_taken_when_it_is_all_there_is(void **state)
{
    assert_string_equal(lookup(*state, "six.test", PROBER_FAMILY_IPV4, false), "2001:db8::6");
    assert_string_equal(lookup(*state, "four.test", PROBER_FAMILY_IPV6, false), "192.0.2.4");
}

static void the_other_family_is_never_taken_when_strict(void **state)
{
    assert_string_equal(lookup(*state, "six.test", PROBER_FAMILY_IPV4, true), "nodata");
    assert_string_equal(lookup(*state, "four.test", PROBER_FAMILY_IPV6, true), "nodata");
}

static void a_name_that_does_not_exist_is_nxdomain(void **state)
{
    assert_string_equal(lookup(*state, "nowhere.test", PROBER_FAMILY_IPV4, false), "nxdomain");
}

static void a_name_without_addresses_is_nodata(void **state)
{
    assert_string_equal(lookup(*state, "empty.test", PROBER_FAMILY_IPV4, false), "nodata");
}

static void a_failing_server_is_told_from_a_refusing_one(void **state)
{
    assert_string_equal(lookup(*state, "failing.test", PROBER_FAMILY_IPV4, false), "servfail");
    assert_string_equal(lookup(*state, "refused.test", PROBER_FAMILY_IPV4, false), "refused");
}

static void a_garbled_answer_is_a_failure_of_the_server(void **state)
{
    assert_string_equal(lookup(*state, "garbage.test", PROBER_FAMILY_IPV4, true), "servfail");
}

static void a_truncated_answer_is_asked_again_over_tcp(void **state)
{
    assert_string_equal(lookup(*state, "large.test", PROBER_FAMILY_IPV4, true), "192.0.2.9");
}

static void a_silent_server_ends_in_a_timeout_at_the_bound(void **state)
{
    struct fixture *f = *state;
    uint64_t start = clock_monotonic_ns(), bound = start + 10 * CLOCK_NS_PER_S;

    resolver_lookup(f->resolver, "silent.test", PROBER_FAMILY_IPV4, false, start, on_answer, f);
    resolver_step(f->resolver, bound - 1);
    assert_int_equal(f->answers, 0);
    resolver_step(f->resolver, bound);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->answer.status, RESOLVER_TIMEOUT);
    assert_int_equal(f->answer.elapsed_ns, 10 * CLOCK_NS_PER_S);
}

static void the_preferred_answer_does_not_wait_for_the_other_family(void **state)
{
    struct fixture *f = *state;
    uint64_t start = clock_monotonic_ns();

    assert_string_equal(lookup(f, "sixsilent.test", PROBER_FAMILY_IPV4, false), "192.0.2.8");
    assert_true(clock_monotonic_ns() - start < 3 * CLOCK_NS_PER_S);
}

static void the_other_family_counts_when_the_preferred_is_not_answered_in_time(void **state)
{
    struct fixture *f = *state;
    uint64_t start = clock_monotonic_ns();
    struct pollfd pfd = {.fd = resolver_fd(f->resolver), .events = POLLIN};

    resolver_lookup(f->resolver, "halfsilent.test", PROBER_FAMILY_IPV4, false, start, on_answer, f);
    assert_int_equal(poll(&pfd, 1, 10000), 1);
    resolver_step(f->resolver, start + 1);
    assert_int_equal(f->answers, 0);
    resolver_step(f->resolver, start + 10 * CLOCK_NS_PER_S);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->answer.status, RESOLVER_OK);
    assert_int_equal(f->answer.address.family, PROBER_FAMILY_IPV6);
}

static void what_cannot_be_a_name_is_not_asked(void **state)
{
    struct fixture *f = *state;
    char long_label[80], long_name[300];
    const char *bad[] = {"",
                         ".",
                         "..",
                         "a..test",
                         ".test",
                         "a b.test",
                         "b\xc3\xbc"
                         "cher.test",
                         "300.1.1.1",
                         "127.1",
                         "12345",
                         "host:80",
                         "[::1]",
                         "a/b",
                         long_label,
                         long_name};

    memset(long_label, 'a', sizeof(long_label));
    long_label[64] = 0;
    for (size_t i = 0; i < sizeof(long_name); i++)
        long_name[i] = i % 50 == 49 ? '.' : 'a';
    long_name[254] = 0;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_string_equal(lookup(f, bad[i], PROBER_FAMILY_IPV4, false), "bad_name");
    assert_int_equal(dns_server_questions(f->server), 0);
}

static void the_hosts_file_is_honoured(void **state)
{
    struct fixture *f = *state;
    char line[512];
    bool found = false;
    FILE *hosts = fopen("/etc/hosts", "r");

    while (hosts && !found && fgets(line, sizeof(line), hosts))
        found = line[0] != '#' && strstr(line, "127.0.0.1") && strstr(line, "localhost");
    if (hosts)
        fclose(hosts);
    if (!found)
        skip();
    assert_string_equal(lookup(f, "localhost", PROBER_FAMILY_IPV4, true), "127.0.0.1");
    assert_int_equal(dns_server_questions(f->server), 0);
}

static void more_lookups_than_may_fly_wait_for_their_turn(void **state)
{
    struct fixture *f = *state;
    unsigned n = RESOLVER_FLIGHTS_MAX + 100;

    for (unsigned i = 0; i < n; i++)
        resolver_lookup(f->resolver, "four.test", PROBER_FAMILY_IPV4, true, clock_monotonic_ns(),
                        on_answer, f);
    run_until(f, n);
    assert_int_equal(f->answer.status, RESOLVER_OK);
}

static void a_lookup_never_takes_less_than_no_time(void **state)
{
    struct fixture *f = *state;

    resolver_lookup(f->resolver, "four.test", PROBER_FAMILY_IPV4, true,
                    clock_monotonic_ns() + 3600 * CLOCK_NS_PER_S, on_answer, f);
    run_until(f, 1); /* by a clock that is behind */
    assert_int_equal(f->answer.status, RESOLVER_OK);
    assert_int_equal(f->answer.elapsed_ns, 0);
}

static void look_up_again(void *context, const struct resolver_answer *answer)
{
    struct fixture *f = context;

    on_answer(context, answer);
    resolver_lookup(f->resolver, "four.test", PROBER_FAMILY_IPV4, true, 0, on_answer, f);
}

static void destroying_cancels_what_is_open(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < RESOLVER_FLIGHTS_MAX + 1; i++)
        resolver_lookup(f->resolver, "silent.test", PROBER_FAMILY_IPV4, false, 0, on_answer, f);
    resolver_lookup(f->resolver, "silent.test", PROBER_FAMILY_IPV4, false, 0, look_up_again, f);
    resolver_destroy(f->resolver);
    f->resolver = NULL;
    assert_int_equal(f->answers, RESOLVER_FLIGHTS_MAX + 3);
    assert_int_equal(f->answer.status, RESOLVER_CANCELLED);
}

static void an_idle_resolver_asks_for_no_call(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(resolver_step(f->resolver, 1), UINT64_MAX);
    lookup(f, "four.test", PROBER_FAMILY_IPV4, true);
    assert_int_equal(resolver_step(f->resolver, clock_monotonic_ns()), UINT64_MAX);
}

static void malformed_servers_are_refused_with_a_reason(void **state)
{
    struct resolver_config config = {.servers = "not an address"};
    struct prober_failure why = {0};
    struct resolver *r = NULL;

    (void)state;
    assert_int_equal(resolver_create(&r, &config, &why), PROBER_ERR_SYNTAX);
    assert_null(r);
    assert_non_null(strstr(why.text, "not an address"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_literal_answers_at_once_in_no_time),
        TEST(a_literal_of_the_other_family_is_no_answer_when_strict),
        TEST(the_preferred_family_is_taken_when_there_are_both),
        TEST(the_other_family_is_taken_when_it_is_all_there_is),
        TEST(the_other_family_is_never_taken_when_strict),
        TEST(a_name_that_does_not_exist_is_nxdomain),
        TEST(a_name_without_addresses_is_nodata),
        TEST(a_failing_server_is_told_from_a_refusing_one),
        TEST(a_garbled_answer_is_a_failure_of_the_server),
        TEST(a_truncated_answer_is_asked_again_over_tcp),
        TEST(a_silent_server_ends_in_a_timeout_at_the_bound),
        TEST(the_preferred_answer_does_not_wait_for_the_other_family),
        TEST(the_other_family_counts_when_the_preferred_is_not_answered_in_time),
        TEST(what_cannot_be_a_name_is_not_asked),
        TEST(the_hosts_file_is_honoured),
        TEST(more_lookups_than_may_fly_wait_for_their_turn),
        TEST(a_lookup_never_takes_less_than_no_time),
        TEST(destroying_cancels_what_is_open),
        TEST(an_idle_resolver_asks_for_no_call),
#undef TEST
        cmocka_unit_test(malformed_servers_are_refused_with_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
