#include "unit.h"

#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "libprober/icmp_engine.h"

struct outcome {
    struct icmp_totals totals;
    struct moments rtt;
    unsigned windows;
};

static void on_window(void *context, void *user, const struct icmp_window *w)
{
    struct outcome *o = context;

    (void)user;
    icmp_totals_add(&o->totals, &w->counts);
    moments_merge(&o->rtt, &w->rtt);
    o->windows++;
}

static void on_window_end(void *context, uint32_t number, const struct clock_reading *now)
{
    (void)context;
    (void)number;
    (void)now;
}

static void on_removed(void *context, void *user)
{
    (void)context;
    (void)user;
}

/* Makes an engine with the sockets of this host, or skips the test and says why. */
static struct icmp_engine *given_real_engine(struct outcome *o, enum icmp_timestamps timestamps,
                                             uint32_t identifier)
{
    const struct icmp_sink sink = {on_window, on_window_end, on_removed, o};
    struct icmp_engine_config config = {.window_ns = 200 * CLOCK_NS_PER_MS,
                                        .first_window = 1,
                                        .timestamps = timestamps,
                                        .identifier = identifier,
                                        .ipv4 = true,
                                        .ipv6 = true};
    struct clock_reading now = clock_read();
    struct prober_failure why;
    struct icmp_engine *e = NULL;

    if (icmp_engine_create(&e, &config, &sink, &now, &why) == PROBER_ERR_DENIED) {
        print_message("%s\n", why.text);
        skip();
    }
    assert_non_null(e);
    return e;
}

static void add(struct icmp_engine *e, const char *address, uint32_t count, uint32_t size)
{
    struct icmp_target t = {
        .payload_size = size, .count = count, .timeout_ns = 5 * CLOCK_NS_PER_S};
    struct clock_reading now = clock_read();
    icmp_target_id id;

    assert_int_equal(prober_addr_parse(address, &t.address), PROBER_OK);
    assert_int_equal(icmp_engine_add(e, &t, &now, &id), PROBER_OK);
}

/* Paces engines to their end. */
static void run(struct icmp_engine **engines, size_t n)
{
    bool finished = false;

    for (size_t i = 0; i < n; i++)
        icmp_engine_finish(engines[i]);
    while (!finished) {
        struct timespec pause = {.tv_nsec = (long)CLOCK_NS_PER_MS};

        finished = true;
        for (size_t i = 0; i < n; i++) {
            struct clock_reading now = clock_read();

            icmp_engine_step(engines[i], &now);
            finished &= icmp_engine_is_finished(engines[i]);
        }
        nanosleep(&pause, NULL);
    }
}

/* A busy machine may keep a few of them from being sent. */
static void expect_all_answered(const struct outcome *o, uint64_t probes)
{
    assert_int_equal(o->totals.sent + o->totals.unsent_late, probes);
    assert_true(o->totals.sent > probes / 2);
    assert_int_equal(o->totals.received, o->totals.sent);
    assert_int_equal(o->totals.duplicates + o->totals.bad_replies + o->totals.corrupt_replies, 0);
    assert_true(o->rtt.max_ns < CLOCK_NS_PER_S);
}

static void loopback_answers_every_probe_of_both_families_and_any_size(void **state)
{
    struct outcome o = {0};
    struct icmp_engine *e = given_real_engine(&o, ICMP_TIMESTAMPS_USER, 0);

    (void)state;
    add(e, "127.0.0.1", 20, ICMP_PAYLOAD_MIN);
    add(e, "127.9.8.7", 20, 64);
    add(e, "127.0.0.1", 5, ICMP_PAYLOAD_MAX);
    add(e, "::1", 20, 1000);
    run(&e, 1);
    expect_all_answered(&o, 65);
    assert_int_equal(o.windows, 4);
    icmp_engine_destroy(e);
}

static void transmit_timestamps_of_the_kernel_give_plausible_rtts(void **state)
{
    struct outcome o = {0};
    struct icmp_engine *e = given_real_engine(&o, ICMP_TIMESTAMPS_KERNEL, 0);

    (void)state;
    add(e, "127.0.0.1", 50, 64);
    add(e, "::1", 50, 64);
    run(&e, 1);
    expect_all_answered(&o, 100);
    assert_true(o.rtt.min_ns > 100); /* loopback takes a microsecond or two; no estimate, no clamp */
    icmp_engine_destroy(e);
}

static void two_engines_with_one_identifier_disturb_each_other_in_nothing(void **state)
{
    struct outcome o[2];
    struct icmp_engine *e[2] = {given_real_engine(&o[0], ICMP_TIMESTAMPS_AUTO, 4711),
                                given_real_engine(&o[1], ICMP_TIMESTAMPS_AUTO, 4711)};
    struct icmp_engine_counts counts;

    (void)state;
    memset(o, 0, sizeof(o));
    for (int i = 0; i < 2; i++) {
        add(e[i], "127.0.0.1", 100, 64);
        add(e[i], "127.0.0.2", 100, 64);
    }
    run(e, 2);
    for (int i = 0; i < 2; i++) {
        expect_all_answered(&o[i], 200);
        icmp_engine_counts(e[i], &counts);
        assert_int_equal(counts.identifier_changes, 0);
        icmp_engine_destroy(e[i]);
    }
}

static void what_the_kernel_does_not_permit_is_unsent(void **state)
{
    struct outcome o = {0};
    struct icmp_engine *e = given_real_engine(&o, ICMP_TIMESTAMPS_USER, 0);

    (void)state;
    add(e, "255.255.255.255", 3, 64); /* broadcast is not permitted to us */
    add(e, "127.0.0.1", 3, 64);
    run(&e, 1);
    assert_int_equal(o.totals.unsent_local, 3);
    assert_int_equal(o.totals.received, 3);
    icmp_engine_destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback_answers_every_probe_of_both_families_and_any_size),
        cmocka_unit_test(transmit_timestamps_of_the_kernel_give_plausible_rtts),
        cmocka_unit_test(two_engines_with_one_identifier_disturb_each_other_in_nothing),
        cmocka_unit_test(what_the_kernel_does_not_permit_is_unsent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
