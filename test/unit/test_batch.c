#include "test/unit/unit.h"

#include <string.h>

#include "agentd/batch.h"

static struct batch *given_batch(const struct batch_column *columns, size_t count)
{
    struct target_name *names[] = {target_name_create("a", "192.0.2.1", false),
                                   target_name_create("b", "192.0.2.2", false)};
    struct batch *batch = NULL;

    assert_int_equal(batch_create(&batch, names, 2, columns, count), PROBER_OK);
    return batch;
}

#define COLUMN(column, data, keeps)                                                                \
    {                                                                                              \
        offsetof(struct batch, column), data, sizeof(data), keeps                                  \
    }

static void columns_are_copied_and_those_of_zeros_take_no_room(void **state)
{
    uint32_t sent[] = {1, 2}, zeros[] = {0, 0};
    uint64_t rtt[] = {UINT64_C(1) << 40, 3};
    const struct batch_column columns[] = {COLUMN(icmp.sent, sent, false),
                                           COLUMN(icmp.received, zeros, false),
                                           COLUMN(icmp.rtt_sum_ns, rtt, false)};
    struct batch *batch = given_batch(columns, 3), *less = given_batch(columns, 1);

    (void)state;
    sent[0] = 9;
    assert_int_equal(batch->icmp.sent[0], 1);
    assert_int_equal(batch->icmp.sent[1], 2);
    assert_null(batch->icmp.received);
    assert_int_equal(batch->icmp.rtt_sum_ns[0], UINT64_C(1) << 40);
    assert_int_equal(batch->bytes, less->bytes + sizeof(rtt));
    assert_string_equal(batch->names[1]->target, "192.0.2.2");
    batch_destroy(batch);
    batch_destroy(less);
}

static void zeros_are_kept_where_that_is_asked(void **state)
{
    uint32_t zeros[] = {0, 0};
    const struct batch_column columns[] = {COLUMN(icmp.bin_step, zeros, true)};
    struct batch *batch = given_batch(columns, 1);

    (void)state;
    assert_non_null(batch->icmp.bin_step);
    assert_int_equal(batch->icmp.bin_step[1], 0);
    batch_destroy(batch);
}

static void columns_of_64_bits_are_aligned_after_odd_ones(void **state)
{
    uint32_t three[] = {1, 2, 3};
    uint64_t wide[] = {7, 8};
    const struct batch_column columns[] = {COLUMN(icmp.bin_step, three, false),
                                           COLUMN(icmp.jitter_ns, wide, false)};
    struct batch *batch = given_batch(columns, 2);

    (void)state;
    assert_int_equal((uintptr_t)batch->icmp.jitter_ns % 8, 0);
    assert_int_equal(batch->icmp.jitter_ns[1], 8);
    assert_int_equal(batch->icmp.bin_step[2], 3);
    batch_destroy(batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_copied_and_those_of_zeros_take_no_room),
        cmocka_unit_test(zeros_are_kept_where_that_is_asked),
        cmocka_unit_test(columns_of_64_bits_are_aligned_after_odd_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
