#include "test/unit/unit.h"

#include <stdlib.h>

#include "agentd/spool.h"

static struct batch *given_batch(size_t bytes, uint64_t sent)
{
    struct batch *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    b->bytes = bytes;
    b->totals.icmp.sent = sent;
    b->totals.http.by_reason[HTTP_FAILED_TIMEOUT] = 10 * sent;
    b->totals.http.unsent_late = sent;
    b->ended_boot_ns = 1000 + sent;
    return b;
}

static struct spool *given_spool(size_t bytes_max)
{
    struct spool *s = NULL;

    assert_int_equal(spool_create(&s, bytes_max, NULL), PROBER_OK);
    return s;
}

static void the_oldest_batch_comes_first_until_it_is_removed(void **state)
{
    struct spool *s = given_spool(1000);

    (void)state;
    spool_push(s, given_batch(10, 1));
    spool_push(s, given_batch(10, 2));
    assert_int_equal(spool_oldest(s)->sequence, 1);
    assert_int_equal(spool_oldest(s)->sequence, 1);
    spool_remove(s);
    assert_int_equal(spool_oldest(s)->sequence, 2);
    spool_remove(s);
    assert_null(spool_oldest(s));
    spool_remove(s);
    spool_destroy(s);
}

static void what_overflows_is_dropped_oldest_first_and_counted(void **state)
{
    struct spool *s = given_spool(35);
    struct spool_counts c;

    (void)state;
    for (uint64_t i = 1; i <= 5; i++)
        spool_push(s, given_batch(10, i));
    spool_counts(s, &c);
    assert_int_equal(c.reports, 3);
    assert_int_equal(c.bytes, 30);
    assert_int_equal(c.dropped_total, 2);
    assert_int_equal(c.dropped.icmp.sent, 1 + 2);
    assert_int_equal(http_totals_failed(&c.dropped.http), 10 + 20);
    assert_int_equal(http_totals_unsent(&c.dropped.http), 1 + 2);
    assert_int_equal(c.pushed_total, 5);
    assert_int_equal(c.oldest_boot_ns, 1003);
    assert_int_equal(spool_oldest(s)->sequence, 3);
    spool_destroy(s);
}

static void a_batch_that_is_being_sent_is_not_dropped(void **state)
{
    struct spool *s = given_spool(25);
    struct batch *lent;
    struct spool_counts c;

    (void)state;
    spool_push(s, given_batch(10, 1));
    lent = spool_oldest(s);
    for (uint64_t i = 2; i <= 6; i++)
        spool_push(s, given_batch(10, i));
    assert_ptr_equal(spool_oldest(s), lent);
    spool_remove(s);
    assert_int_equal(spool_oldest(s)->sequence, 6);
    spool_counts(s, &c);
    assert_int_equal(c.dropped_total, 4);
    assert_int_equal(c.dropped.icmp.sent, 2 + 3 + 4 + 5);
    spool_destroy(s);
}

static void a_limit_below_one_report_still_keeps_the_newest(void **state)
{
    struct spool *s = given_spool(1);
    struct spool_counts c;

    (void)state;
    spool_push(s, given_batch(10, 1));
    spool_push(s, given_batch(10, 2));
    spool_counts(s, &c);
    assert_int_equal(c.reports, 1);
    assert_int_equal(spool_oldest(s)->sequence, 2);
    spool_destroy(s);
}

static void a_lower_limit_holds_from_the_next_push(void **state)
{
    struct spool *s = given_spool(1000);
    struct spool_counts c;

    (void)state;
    for (uint64_t i = 1; i <= 10; i++)
        spool_push(s, given_batch(10, i));
    spool_set_limit(s, 20);
    spool_push(s, given_batch(10, 11));
    spool_counts(s, &c);
    assert_int_equal(c.reports, 2);
    assert_int_equal(c.dropped_total, 9);
    spool_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_batch_comes_first_until_it_is_removed),
        cmocka_unit_test(what_overflows_is_dropped_oldest_first_and_counted),
        cmocka_unit_test(a_batch_that_is_being_sent_is_not_dropped),
        cmocka_unit_test(a_limit_below_one_report_still_keeps_the_newest),
        cmocka_unit_test(a_lower_limit_holds_from_the_next_push),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
