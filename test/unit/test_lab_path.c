#include "test/unit/unit.h"

#include <string.h>

#include "common/clock.h"
#include "test/lab/path.h"

#define MS(n) ((uint64_t)(n)*CLOCK_NS_PER_MS)
#define PACKETS 20000

static void set(struct path *p, const char *key, const char *value)
{
    assert_int_equal(path_settings_set(&p->settings, key, value, NULL), PROBER_OK);
}

static struct path given_path(const char *key, const char *value)
{
    struct path p;

    path_init(&p, 1, "a", "b");
    set(&p, key, value);
    return p;
}

static void a_path_without_settings_delivers_everything_at_once(void **state)
{
    struct path p;

    (void)state;
    path_init(&p, 1, "a", "b");
    for (int i = 0; i < PACKETS; i++) {
        struct path_fate fate = path_decide(&p, PACKET_REQUEST, MS(i));

        assert_int_equal(fate.verdict, PATH_DELIVER);
        assert_int_equal(fate.depart_ns, MS(i));
        assert_false(fate.duplicate || fate.corrupt || fate.damage);
    }
}

static void loss_takes_its_share_and_counts_it(void **state)
{
    struct path p = given_path("loss", "20%");
    uint64_t dropped = 0;

    (void)state;
    for (int i = 0; i < PACKETS; i++)
        dropped += path_decide(&p, PACKET_REPLY, MS(i)).verdict == PATH_DROP;
    assert_in_range(dropped, PACKETS * 19 / 100, PACKETS * 21 / 100);
    assert_int_equal(p.counters[PACKET_REPLY].lost, dropped);
    assert_int_equal(p.counters[PACKET_REPLY].seen, PACKETS);
    set(&p, "loss", "100%");
    for (int i = 0; i < PACKETS; i++)
        assert_int_equal(path_decide(&p, PACKET_REPLY, MS(i)).verdict, PATH_DROP);
}

static void the_fate_of_the_nth_echo_does_not_depend_on_other_packets_or_settings(void **state)
{
    struct path p = given_path("loss", "30%"), q = given_path("loss", "30%");

    (void)state;
    set(&q, "duplicate", "10%");
    set(&q, "jitter", "5ms");
    for (int i = 0; i < PACKETS; i++) {
        if (i % 3 == 0)
            path_decide(&q, PACKET_REST, MS(i));
        assert_int_equal(path_decide(&p, PACKET_REQUEST, MS(i)).verdict,
                         path_decide(&q, PACKET_REQUEST, MS(i)).verdict);
    }
}

static void the_two_directions_have_dice_of_their_own(void **state)
{
    struct path there = given_path("loss", "50%"), back;
    int same = 0;

    (void)state;
    path_init(&back, 1, "b", "a");
    set(&back, "loss", "50%");
    for (int i = 0; i < PACKETS; i++)
        same += path_decide(&there, PACKET_REQUEST, 0).verdict ==
                path_decide(&back, PACKET_REQUEST, 0).verdict;
    assert_in_range(same, PACKETS * 48 / 100, PACKETS * 52 / 100);
}

static void jitter_stays_within_its_bounds_and_keeps_the_order(void **state)
{
    struct path p = given_path("delay", "20ms");
    uint64_t last = 0, least = UINT64_MAX, most = 0;

    (void)state;
    set(&p, "jitter", "5ms");
    for (int i = 0; i < PACKETS; i++) {
        uint64_t sent = MS(i) * 20, depart = path_decide(&p, PACKET_REQUEST, sent).depart_ns;

        assert_in_range(depart - sent, MS(15), MS(25));
        assert_true(depart >= last);
        last = depart;
        least = depart - sent < least ? depart - sent : least;
        most = depart - sent > most ? depart - sent : most;
    }
    assert_true(least < MS(15) + MS(1) / 10 && most > MS(25) - MS(1) / 10);
}

static void a_reordered_packet_is_overtaken_by_the_next(void **state)
{
    struct path p = given_path("reorder", "100%");
    uint64_t held, next;

    (void)state;
    set(&p, "reorder-by", "8ms");
    held = path_decide(&p, PACKET_REQUEST, MS(1)).depart_ns;
    set(&p, "reorder", "0%");
    next = path_decide(&p, PACKET_REQUEST, MS(2)).depart_ns;
    assert_int_equal(held, MS(9));
    assert_int_equal(next, MS(2));
    assert_int_equal(p.counters[PACKET_REQUEST].reordered, 1);
}

static void faults_hit_only_the_packets_that_only_names(void **state)
{
    struct path p = given_path("blackhole", "on");

    (void)state;
    set(&p, "only", "icmp");
    assert_int_equal(path_decide(&p, PACKET_REQUEST, 0).verdict, PATH_DROP);
    assert_int_equal(path_decide(&p, PACKET_ICMP, 0).verdict, PATH_DROP);
    assert_int_equal(path_decide(&p, PACKET_REST, 0).verdict, PATH_DELIVER);
    set(&p, "only", "reply");
    assert_int_equal(path_decide(&p, PACKET_REQUEST, 0).verdict, PATH_DELIVER);
    assert_int_equal(path_decide(&p, PACKET_REPLY, 0).verdict, PATH_DROP);
    set(&p, "only", "rest");
    assert_int_equal(path_decide(&p, PACKET_REST, 0).verdict, PATH_DROP);
    assert_int_equal(p.counters[PACKET_REPLY].blackholed, 1);
}

static void icmp_errors_are_limited_to_their_rate(void **state)
{
    struct path p = given_path("error-rate", "10");
    int granted = 0;

    (void)state;
    for (int i = 0; i < 10000; i++)
        granted += path_take_error(&p, MS(100000) + MS(i));
    assert_in_range(granted, 109, 111); /* 10 s and the burst of one second */
    set(&p, "error-rate", "0");
    assert_false(path_take_error(&p, MS(900000)));
}

static void a_malformed_setting_is_refused_and_changes_nothing(void **state)
{
    static const char *const bad[][2] = {
        {"loss", "20"},       {"loss", "101%"},    {"loss", "-1%"},     {"loss", "nan%"},
        {"loss", "x"},        {"delay", "10"},     {"delay", "61s"},    {"delay", ""},
        {"blackhole", "yes"}, {"only", "tcp"},     {"hops", "0"},       {"hops", "31"},
        {"hops", "2x"},       {"error-rate", "-"}, {"error-quote", "7"}};
    struct path p = given_path("loss", "5%");
    struct path_settings before = p.settings;
    struct prober_failure why;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why = (struct prober_failure){0};
        assert_int_equal(path_settings_set(&p.settings, bad[i][0], bad[i][1], &why),
                         PROBER_ERR_SYNTAX);
        assert_non_null(strstr(why.text, "expected"));
    }
    assert_int_equal(path_settings_set(&p.settings, "colour", "1%", &why), PROBER_ERR_UNKNOWN_KEY);
    assert_memory_equal(&before, &p.settings, sizeof(before));
}

static void settings_are_printed_as_they_are_set(void **state)
{
    struct path p = given_path("delay", "80ms");
    struct strbuf text = STRBUF_INIT;

    (void)state;
    set(&p, "loss", "12.5%");
    set(&p, "only", "reply");
    path_settings_print(&p.settings, &text);
    assert_non_null(strstr(text.bytes, " delay 80ms "));
    assert_non_null(strstr(text.bytes, " loss 12.5% "));
    assert_non_null(strstr(text.bytes, " only reply "));
    strbuf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_without_settings_delivers_everything_at_once),
        cmocka_unit_test(loss_takes_its_share_and_counts_it),
        cmocka_unit_test(the_fate_of_the_nth_echo_does_not_depend_on_other_packets_or_settings),
        cmocka_unit_test(the_two_directions_have_dice_of_their_own),
        cmocka_unit_test(jitter_stays_within_its_bounds_and_keeps_the_order),
        cmocka_unit_test(a_reordered_packet_is_overtaken_by_the_next),
        cmocka_unit_test(faults_hit_only_the_packets_that_only_names),
        cmocka_unit_test(icmp_errors_are_limited_to_their_rate),
        cmocka_unit_test(a_malformed_setting_is_refused_and_changes_nothing),
        cmocka_unit_test(settings_are_printed_as_they_are_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
