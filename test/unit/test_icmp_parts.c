#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "libprober/clock_watch.h"
#include "libprober/icmp_caps.h"
#include "libprober/icmp_episodes.h"
#include "libprober/icmp_flight.h"
#include "libprober/icmp_packet.h"
#include "libprober/timer_wheel.h"

#define MS(n) ((uint64_t)(n) * CLOCK_NS_PER_MS)

static struct prober_addr address(const char *text)
{
    struct prober_addr a;

    assert_int_equal(prober_addr_parse(text, &a), PROBER_OK);
    return a;
}

/* ---- packets ---- */

static void the_checksum_is_that_of_rfc_1071(void **state)
{
    const uint8_t example[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    const uint8_t odd[] = {0x00, 0x01, 0xf2};

    (void)state;
    assert_int_equal(icmp_sum(example, sizeof(example)), 0xddf2);
    assert_int_equal(icmp_sum(odd, sizeof(odd)), 0xf201);
    assert_int_equal(icmp_sum(odd, 0), 0);
}

static void every_request_has_the_wanted_checksum_whatever_it_says(void **state)
{
    uint8_t packet[ICMP_HEAD_SIZE + 41];
    uint64_t seed = 3;

    (void)state;
    for (int i = 0; i < 5000; i++) {
        struct icmp_echo echo;

        for (size_t k = 0; k < sizeof(echo); k++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            ((uint8_t *)&echo)[k] = (uint8_t)(seed >> 40);
        }
        icmp_pattern_fill(packet + ICMP_HEAD_SIZE, 41);
        icmp_write_request(packet, PROBER_FAMILY_IPV4, &echo, 0xbeef, icmp_pattern_sum(41));
        assert_int_equal(packet[2] << 8 | packet[3], 0xbeef);
        assert_int_equal(icmp_sum(packet, sizeof(packet)), 0xffff);
    }
}

static void a_token_depends_on_all_that_it_covers(void **state)
{
    const struct siphash_key key = {1, 2}, other = {1, 3};
    const struct icmp_echo base = {.identifier = 1, .sequence = 2, .sender = 3, .slot = 4};
    struct prober_addr a = address("192.0.2.1"), b = address("192.0.2.2");
    uint64_t token = icmp_token(&key, &a, &base);
    struct icmp_echo e[6] = {base, base, base, base, base, base};

    (void)state;
    e[0].identifier++;
    e[1].sequence++;
    e[2].sender++;
    e[3].slot++;
    e[4].generation++;
    e[5].window++;
    for (size_t i = 0; i < ARRAY_LEN(e); i++)
        assert_true(icmp_token(&key, &a, &e[i]) != token);
    assert_true(icmp_token(&key, &b, &base) != token);
    assert_true(icmp_token(&other, &a, &base) != token);
}

static void icmp_errors_mean_the_same_in_both_families(void **state)
{
    (void)state;
    assert_int_equal(icmp_error_cause(PROBER_FAMILY_IPV4, 3), ICMP_CAUSE_UNREACHABLE);
    assert_int_equal(icmp_error_cause(PROBER_FAMILY_IPV4, 11), ICMP_CAUSE_TTL);
    assert_int_equal(icmp_error_cause(PROBER_FAMILY_IPV4, 5), ICMP_CAUSE_NONE);
    assert_int_equal(icmp_error_cause(PROBER_FAMILY_IPV6, 1), ICMP_CAUSE_UNREACHABLE);
    assert_int_equal(icmp_error_cause(PROBER_FAMILY_IPV6, 2), ICMP_CAUSE_UNREACHABLE);
    assert_int_equal(icmp_error_cause(PROBER_FAMILY_IPV6, 3), ICMP_CAUSE_TTL);
    assert_int_equal(icmp_error_cause(PROBER_FAMILY_IPV6, 4), ICMP_CAUSE_NONE);
}

/* ---- timers ---- */

static size_t count_timers(const struct timer *t)
{
    size_t n = 0;

    for (; t; t = t->next)
        n++;
    return n;
}

static void a_timer_is_never_early_and_at_most_a_tick_late(void **state)
{
    uint64_t now = MS(123456);
    struct timer_wheel *w = timer_wheel_create(now);

    (void)state;
    for (uint64_t delay = 1; delay < MS(200000); delay = delay * 7 / 4 + 1) {
        struct timer t = {.due_ns = now + delay};

        timer_wheel_add(w, &t);
        assert_null(timer_wheel_take(w, t.due_ns - 1));
        while (timer_wheel_next_ns(w) <= t.due_ns)
            assert_null(timer_wheel_take(w, timer_wheel_next_ns(w)));
        assert_ptr_equal(timer_wheel_take(w, t.due_ns + TIMER_TICK_NS), &t);
        now = t.due_ns + TIMER_TICK_NS;
        assert_true(timer_wheel_next_ns(w) == UINT64_MAX);
    }
    timer_wheel_destroy(w);
}

static void a_long_sleep_takes_all_that_is_due_and_nothing_else(void **state)
{
    struct timer_wheel *w = timer_wheel_create(0);
    struct timer timers[300];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
        timers[i].due_ns = MS(1000) * i;
        timer_wheel_add(w, &timers[i]);
    }
    assert_int_equal(count_timers(timer_wheel_take(w, MS(200500))), 201);
    assert_int_equal(count_timers(timer_wheel_take(w, MS(299500))), 99);
    timer_wheel_destroy(w);
}

static void a_timer_that_is_overdue_comes_with_the_next_tick(void **state)
{
    struct timer_wheel *w = timer_wheel_create(MS(5000));
    struct timer t = {.due_ns = MS(10)};

    (void)state;
    timer_wheel_add(w, &t);
    assert_ptr_equal(timer_wheel_take(w, MS(5000) + TIMER_TICK_NS), &t);
    timer_wheel_destroy(w);
}

static void timers_of_one_tick_are_taken_once_each_also_those_of_a_later_round(void **state)
{
    const uint64_t round_ns = UINT64_C(16384) * TIMER_TICK_NS;
    struct timer_wheel *w = timer_wheel_create(0);
    struct timer timers[1000];

    (void)state;
    for (int again = 0; again < 3; again++) {
        uint64_t now_ns = (uint64_t)again * 2 * round_ns;

        for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
            timers[i].due_ns = now_ns + MS(100) + i % 3 / 2 * round_ns;
            timer_wheel_add(w, &timers[i]);
        }
        assert_int_equal(count_timers(timer_wheel_take(w, now_ns + MS(200))), 667);
        assert_null(timer_wheel_take(w, now_ns + MS(300)));
        assert_int_equal(count_timers(timer_wheel_take(w, now_ns + MS(200) + round_ns)), 333);
        assert_true(timer_wheel_next_ns(w) == UINT64_MAX);
    }
    timer_wheel_destroy(w);
}

/* ---- flights ---- */

static void a_flight_is_found_by_slot_and_by_address_until_it_is_released(void **state)
{
    struct icmp_flights *f = icmp_flights_create(5000);
    struct prober_addr a = address("192.0.2.1"), b = address("2001:db8::1");
    struct icmp_flight *x = icmp_flights_acquire(f, &a, 7), *y = icmp_flights_acquire(f, &b, 7);
    uint16_t generation = x->generation;

    (void)state;
    assert_null(icmp_flights_acquire(f, &a, 7));
    assert_ptr_equal(icmp_flights_find(f, &a, 7), x);
    assert_ptr_equal(icmp_flights_find(f, &b, 7), y);
    assert_ptr_equal(icmp_flights_get(f, x->slot, generation), x);
    icmp_flights_release(f, x);
    assert_null(icmp_flights_find(f, &a, 7));
    assert_null(icmp_flights_get(f, x->slot, generation));
    assert_null(icmp_flights_get(f, 4999999, 0));
    x = icmp_flights_acquire(f, &a, 7);
    assert_null(icmp_flights_get(f, x->slot, generation));
    icmp_flights_destroy(f);
}

static void flights_are_bounded_and_all_found_when_there_are_many(void **state)
{
    struct icmp_flights *f = icmp_flights_create(5000);
    struct prober_addr a = address("192.0.2.1");

    (void)state;
    for (uint16_t i = 0; i < 5000; i++)
        assert_non_null(icmp_flights_acquire(f, &a, i));
    assert_null(icmp_flights_acquire(f, &a, 5000));
    assert_int_equal(icmp_flights_count(f), 5000);
    for (uint16_t i = 0; i < 5000; i++)
        assert_int_equal(icmp_flights_find(f, &a, i)->sequence, i);
    for (uint16_t i = 0; i < 5000; i += 2)
        icmp_flights_release(f, icmp_flights_find(f, &a, i));
    assert_int_equal(icmp_flights_count(f), 2500);
    icmp_flights_destroy(f);
}

/* ---- episodes ---- */

static void a_reply_window_is_judged_by_the_episodes_that_it_touches(void **state)
{
    struct icmp_episodes e = {0};

    (void)state;
    assert_false(icmp_episodes_touch(&e, 0, UINT64_MAX));
    icmp_episodes_note(&e, 100, 110);
    icmp_episodes_note(&e, 200, 210);
    assert_false(icmp_episodes_touch(&e, 0, 99));
    assert_true(icmp_episodes_touch(&e, 0, 100));
    assert_false(icmp_episodes_touch(&e, 111, 199));
    assert_true(icmp_episodes_touch(&e, 105, 106));
    assert_true(icmp_episodes_touch(&e, 90, 300));
    assert_false(icmp_episodes_touch(&e, 211, 300));
}

static void old_episodes_are_joined_and_never_forgotten(void **state)
{
    struct icmp_episodes e = {0};

    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        icmp_episodes_note(&e, 1000 * i, 1000 * i + 10);
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(icmp_episodes_touch(&e, 1000 * i, 1000 * i));
    assert_false(icmp_episodes_touch(&e, 998500, 998600));
}

/* ---- clocks ---- */

static void a_step_is_seen_once_and_a_suspend_is_no_step(void **state)
{
    struct clock_reading now = {MS(1000), MS(1700000000000), MS(2000)};
    struct clock_watch w;
    struct clock_changes c;

    (void)state;
    clock_watch_start(&w, &now);
    now.mono_ns += MS(10);
    now.real_ns += MS(10) + 300000;
    now.boot_ns += MS(10);
    c = clock_watch_see(&w, &now);
    assert_false(c.stepped || c.suspended);
    now.real_ns -= MS(5000);
    c = clock_watch_see(&w, &now);
    assert_true(c.stepped && !c.suspended);
    c = clock_watch_see(&w, &now);
    assert_false(c.stepped || c.suspended);
    now.real_ns += MS(70000);
    now.boot_ns += MS(70000);
    c = clock_watch_see(&w, &now);
    assert_true(c.suspended && !c.stepped);
}

static void stamps_of_either_side_of_a_step_become_the_same_monotonic_time(void **state)
{
    struct clock_reading now = {MS(1000), MS(1700000000000), MS(2000)};
    struct clock_watch w;

    (void)state;
    clock_watch_start(&w, &now);
    now = (struct clock_reading){MS(1010), MS(1700000000010) + MS(3000), MS(2010)};
    clock_watch_see(&w, &now);
    assert_true(clock_watch_to_mono(&w, MS(1700000000004), MS(1000), MS(1010)) == MS(1004));
    assert_true(clock_watch_to_mono(&w, MS(1700000003004), MS(1000), MS(1010)) == MS(1004));
    assert_true(clock_watch_to_mono(&w, MS(1700000003011), MS(1010), MS(1020)) == MS(1011));
}

/* ---- caps ---- */

static void in_no_second_does_more_go_out_than_the_cap(void **state)
{
    static const uint64_t caps[] = {1, 2, 7, 99, 100, 1000, 100000};
    static uint64_t sent[400000];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
        struct icmp_caps *c = icmp_caps_create(caps[i], 0);
        size_t n = 0, first = 0;

        for (uint64_t now = MS(1000); now < MS(4000); now += MS(3000) / 400000)
            if (n < ARRAY_LEN(sent) && icmp_caps_allow(c, NULL, now))
                sent[n++] = now;
        for (size_t k = 0; k < n; k++) {
            while (sent[k] - sent[first] >= MS(1000))
                first++;
            assert_true(k - first + 1 <= caps[i]);
        }
        assert_true(n * 10 >= caps[i] * 3 * 9);
        icmp_caps_destroy(c);
    }
}

static void a_record_of_an_address_goes_with_its_last_user(void **state)
{
    struct icmp_caps *c = icmp_caps_create(0, 1);
    struct prober_addr a = address("192.0.2.1"), b = address("192.0.2.2");
    struct icmp_address_cap *x = icmp_caps_join(c, &a), *y = icmp_caps_join(c, &a);

    (void)state;
    assert_ptr_equal(x, y);
    assert_true(icmp_caps_allow(c, x, MS(1000)));
    assert_false(icmp_caps_allow(c, y, MS(1100)));
    assert_true(icmp_caps_allow(c, icmp_caps_join(c, &b), MS(1100)));
    icmp_caps_leave(c, x);
    assert_false(icmp_caps_allow(c, y, MS(1200)));
    icmp_caps_leave(c, y);
    for (uint32_t i = 0; i < 2000; i++) {
        a.bytes[0] = (uint8_t)(i >> 8);
        a.bytes[1] = (uint8_t)i;
        assert_non_null(icmp_caps_join(c, &a));
    }
    icmp_caps_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_that_of_rfc_1071),
        cmocka_unit_test(every_request_has_the_wanted_checksum_whatever_it_says),
        cmocka_unit_test(a_token_depends_on_all_that_it_covers),
        cmocka_unit_test(icmp_errors_mean_the_same_in_both_families),
        cmocka_unit_test(a_timer_is_never_early_and_at_most_a_tick_late),
        cmocka_unit_test(a_long_sleep_takes_all_that_is_due_and_nothing_else),
        cmocka_unit_test(a_timer_that_is_overdue_comes_with_the_next_tick),
        cmocka_unit_test(timers_of_one_tick_are_taken_once_each_also_those_of_a_later_round),
        cmocka_unit_test(a_flight_is_found_by_slot_and_by_address_until_it_is_released),
        cmocka_unit_test(flights_are_bounded_and_all_found_when_there_are_many),
        cmocka_unit_test(a_reply_window_is_judged_by_the_episodes_that_it_touches),
        cmocka_unit_test(old_episodes_are_joined_and_never_forgotten),
        cmocka_unit_test(a_step_is_seen_once_and_a_suspend_is_no_step),
        cmocka_unit_test(stamps_of_either_side_of_a_step_become_the_same_monotonic_time),
        cmocka_unit_test(in_no_second_does_more_go_out_than_the_cap),
        cmocka_unit_test(a_record_of_an_address_goes_with_its_last_user),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
