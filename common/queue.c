#include "common/queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define QUEUE_CAPACITY_MAX (1u << 20)

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    void **ring;     /* [capacity]; guarded by lock, as all below */
    size_t capacity; /* immutable */
    size_t head;     /* index of the oldest item */
    size_t depth;
    uint64_t refused;
    int fd; /* -1 until asked for; readable while depth > 0 or closed */
    bool closed;
};

enum prober_error queue_create(struct queue **out, size_t capacity)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    pthread_condattr_t attr;
    struct queue *q = NULL;

    if (capacity < 1 || capacity > QUEUE_CAPACITY_MAX)
        return PROBER_ERR_RANGE;
    if (pthread_condattr_init(&attr))
        return PROBER_ERR_NOMEM;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    q = calloc(1, sizeof(*q));
    if (!q)
        goto out;
    q->fd = -1;
    q->capacity = capacity;
    q->ring = calloc(capacity, sizeof(*q->ring));
    if (!q->ring || pthread_cond_init(&q->filled, &attr)) {
        free(q->ring);
        free(q);
        goto out;
    }
    pthread_mutex_init(&q->lock, NULL);
    *out = q;
    err = PROBER_OK;
out:
    pthread_condattr_destroy(&attr);
    return err;
}

static void set_readable(struct queue *q, bool readable)
{
    eventfd_t value;

    if (q->fd < 0)
        return;
    if (readable)
        eventfd_write(q->fd, 1);
    else
        eventfd_read(q->fd, &value);
}

enum prober_error queue_push(struct queue *q, void *item)
{
    enum prober_error err = PROBER_OK;

    pthread_mutex_lock(&q->lock);
    if (q->closed) {
        err = PROBER_ERR_CLOSED;
    } else if (q->depth == q->capacity) {
        q->refused++;
        err = PROBER_ERR_FULL;
    } else {
        q->ring[(q->head + q->depth) % q->capacity] = item;
        if (q->depth++ == 0)
            set_readable(q, true);
        pthread_cond_signal(&q->filled);
    }
    pthread_mutex_unlock(&q->lock);
    return err;
}

/* Waits, with the lock held, until there is an item, the queue is closed, or the time is over. */
static void wait_filled(struct queue *q, uint64_t timeout_ns)
{
    uint64_t now_ns = clock_monotonic_ns(), until_ns = now_ns + timeout_ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / CLOCK_NS_PER_S),
                             .tv_nsec = (long)(until_ns % CLOCK_NS_PER_S)};
    bool endless = until_ns < now_ns;

    while (q->depth == 0 && !q->closed) {
        if (endless)
            pthread_cond_wait(&q->filled, &q->lock);
        else if (pthread_cond_timedwait(&q->filled, &q->lock, &until))
            return;
    }
}

size_t queue_pop(struct queue *q, void **items, size_t max, uint64_t timeout_ns)
{
    size_t count = 0;

    pthread_mutex_lock(&q->lock);
    if (timeout_ns > 0 && max > 0)
        wait_filled(q, timeout_ns);
    while (count < max && q->depth > 0) {
        items[count++] = q->ring[q->head];
        q->head = (q->head + 1) % q->capacity;
        q->depth--;
    }
    if (count > 0 && q->depth == 0 && !q->closed)
        set_readable(q, false);
    pthread_mutex_unlock(&q->lock);
    return count;
}

int queue_fd(struct queue *q)
{
    int fd;

    pthread_mutex_lock(&q->lock);
    if (q->fd < 0) {
        q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (q->depth > 0 || q->closed)
            set_readable(q, true);
    }
    fd = q->fd;
    pthread_mutex_unlock(&q->lock);
    return fd;
}

size_t queue_depth(struct queue *q)
{
    size_t depth;

    pthread_mutex_lock(&q->lock);
    depth = q->depth;
    pthread_mutex_unlock(&q->lock);
    return depth;
}

uint64_t queue_refused(struct queue *q)
{
    uint64_t refused;

    pthread_mutex_lock(&q->lock);
    refused = q->refused;
    pthread_mutex_unlock(&q->lock);
    return refused;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    if (!q->closed) {
        q->closed = true;
        set_readable(q, true);
        pthread_cond_broadcast(&q->filled);
    }
    pthread_mutex_unlock(&q->lock);
}

void queue_destroy(struct queue *q)
{
    if (!q)
        return;
    if (q->fd >= 0)
        close(q->fd);
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q->ring);
    free(q);
}
