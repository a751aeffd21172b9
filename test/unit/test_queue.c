#include "test/unit/unit.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>

#include "common/clock.h"
#include "common/queue.h"

static struct queue *given_queue(size_t capacity)
{
    struct queue *q = NULL;

    assert_int_equal(queue_create(&q, capacity), PROBER_OK);
    return q;
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static void items_come_out_in_the_order_they_went_in(void **state)
{
    struct queue *q = given_queue(3);
    int items[5];
    void *got[8];

    (void)state;
    for (int round = 0; round < 4; round++) {
        assert_int_equal(queue_push(q, &items[0]), PROBER_OK);
        assert_int_equal(queue_push(q, &items[1]), PROBER_OK);
        assert_int_equal(queue_depth(q), 2);
        assert_int_equal(queue_pop(q, got, 1, 0), 1);
        assert_ptr_equal(got[0], &items[0]);
        assert_int_equal(queue_push(q, &items[2]), PROBER_OK);
        assert_int_equal(queue_pop(q, got, 8, 0), 2);
        assert_ptr_equal(got[0], &items[1]);
        assert_ptr_equal(got[1], &items[2]);
    }
    queue_destroy(q);
}

static void a_full_queue_refuses_and_counts(void **state)
{
    struct queue *q = given_queue(1);
    int item;

    (void)state;
    assert_int_equal(queue_push(q, &item), PROBER_OK);
    assert_int_equal(queue_push(q, &item), PROBER_ERR_FULL);
    assert_int_equal(queue_push(q, &item), PROBER_ERR_FULL);
    assert_int_equal(queue_refused(q), 2);
    assert_int_equal(queue_depth(q), 1);
    queue_destroy(q);
}

static void an_absurd_capacity_is_refused(void **state)
{
    struct queue *q = NULL;

    (void)state;
    assert_int_equal(queue_create(&q, 0), PROBER_ERR_RANGE);
    assert_int_equal(queue_create(&q, (1u << 20) + 1), PROBER_ERR_RANGE);
    assert_null(q);
    queue_destroy(q);
}

static void a_closed_queue_refuses_pushes_and_gives_what_is_left(void **state)
{
    struct queue *q = given_queue(2);
    int item;
    void *got[2];

    (void)state;
    queue_push(q, &item);
    queue_close(q);
    queue_close(q);
    assert_int_equal(queue_push(q, &item), PROBER_ERR_CLOSED);
    assert_int_equal(queue_refused(q), 0);
    assert_int_equal(queue_pop(q, got, 2, UINT64_MAX), 1);
    assert_int_equal(queue_pop(q, got, 2, UINT64_MAX), 0);
    queue_destroy(q);
}

static void an_empty_queue_gives_nothing_after_the_timeout(void **state)
{
    struct queue *q = given_queue(2);
    void *got[2];
    uint64_t start_ns = clock_monotonic_ns();

    (void)state;
    assert_int_equal(queue_pop(q, got, 2, 0), 0);
    assert_int_equal(queue_pop(q, got, 2, 2 * CLOCK_NS_PER_MS), 0);
    assert_true(clock_monotonic_ns() - start_ns >= 2 * CLOCK_NS_PER_MS);
    queue_destroy(q);
}

static void its_descriptor_is_readable_while_items_wait_and_after_closing(void **state)
{
    struct queue *q = given_queue(4);
    int item, fd;
    void *got[4];

    (void)state;
    queue_push(q, &item);
    fd = queue_fd(q);
    assert_true(fd >= 0);
    assert_int_equal(queue_fd(q), fd);
    assert_true(is_readable(fd));
    queue_push(q, &item);
    queue_pop(q, got, 1, 0);
    assert_true(is_readable(fd));
    queue_pop(q, got, 1, 0);
    assert_false(is_readable(fd));
    queue_push(q, &item);
    assert_true(is_readable(fd));
    queue_close(q);
    queue_pop(q, got, 4, 0);
    assert_true(is_readable(fd));
    queue_destroy(q);
}

static void *wait_for_ever(void *argument)
{
    void *got[1];

    return queue_pop(argument, got, 1, UINT64_MAX) ? got[0] : NULL;
}

static void closing_wakes_every_waiter(void **state)
{
    struct queue *q = given_queue(4);
    pthread_t waiters[3];
    void *result;

    (void)state;
    for (int i = 0; i < 3; i++)
        pthread_create(&waiters[i], NULL, wait_for_ever, q);
    queue_close(q);
    for (int i = 0; i < 3; i++) {
        pthread_join(waiters[i], &result);
        assert_null(result);
    }
    queue_destroy(q);
}

#define PRODUCERS 3
#define CONSUMERS 2
#define ITEMS_EACH 5000

struct crowd {
    struct queue *q;
    uint64_t sums[CONSUMERS];
    unsigned next;
};

static void *produce(void *argument)
{
    struct crowd *crowd = argument;

    for (uintptr_t i = 1; i <= ITEMS_EACH;)
        if (queue_push(crowd->q, (void *)i) == PROBER_OK)
            i++;
        else
            sched_yield();
    return NULL;
}

static void *consume(void *argument)
{
    struct crowd *crowd = argument;
    unsigned self = __atomic_fetch_add(&crowd->next, 1, __ATOMIC_RELAXED);
    void *got[16];
    size_t count;

    while ((count = queue_pop(crowd->q, got, 16, UINT64_MAX)) > 0)
        for (size_t i = 0; i < count; i++)
            crowd->sums[self] += (uintptr_t)got[i];
    return NULL;
}

static void many_producers_and_consumers_lose_and_double_nothing(void **state)
{
    struct crowd crowd = {.q = given_queue(64)};
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    uint64_t sum = 0;

    (void)state;
    for (int i = 0; i < CONSUMERS; i++)
        pthread_create(&consumers[i], NULL, consume, &crowd);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_create(&producers[i], NULL, produce, &crowd);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i], NULL);
    queue_close(crowd.q);
    for (int i = 0; i < CONSUMERS; i++) {
        pthread_join(consumers[i], NULL);
        sum += crowd.sums[i];
    }
    assert_true(sum == (uint64_t)PRODUCERS * ITEMS_EACH * (ITEMS_EACH + 1) / 2);
    queue_destroy(crowd.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_the_order_they_went_in),
        cmocka_unit_test(a_full_queue_refuses_and_counts),
        cmocka_unit_test(an_absurd_capacity_is_refused),
        cmocka_unit_test(a_closed_queue_refuses_pushes_and_gives_what_is_left),
        cmocka_unit_test(an_empty_queue_gives_nothing_after_the_timeout),
        cmocka_unit_test(its_descriptor_is_readable_while_items_wait_and_after_closing),
        cmocka_unit_test(closing_wakes_every_waiter),
        cmocka_unit_test(many_producers_and_consumers_lose_and_double_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
