/*
 * queue - a bounded queue of pointers between threads.
 *
 * Purpose    The only way that threads hand work to one another. What does not fit is refused, and
 *            the refusal counted, so a slow consumer never grows memory.
 * Threads    Any number of producers and consumers.
 * Ownership  The queue owns its ring, not what the pointers point to. After queue_close the rest
 *            can still be popped, so nothing leaks.
 */
#ifndef COMMON_QUEUE_H
#define COMMON_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct queue;

/* capacity: 1..2^20. Errors: PROBER_ERR_NOMEM, PROBER_ERR_RANGE. */
enum prober_error queue_create(struct queue **out, size_t capacity);
/* Never blocks. Errors: PROBER_ERR_FULL (counted), PROBER_ERR_CLOSED: the caller keeps the item. */
enum prober_error queue_push(struct queue *q, void *item);
/* Takes up to `max` items into items[max], oldest first, waiting up to timeout_ns (0: not at all;
 * UINT64_MAX: for ever) for the first. Returns how many; 0 after a timeout, or when the queue is
 * closed and empty. */
size_t queue_pop(struct queue *q, void **items, size_t max, uint64_t timeout_ns);
/* An eventfd that is readable while items wait and once the queue is closed, for consumers that
 * poll: they never read it, they pop. Made on the first call, owned by the queue. -1 when it cannot
 * be made. */
int queue_fd(struct queue *q);
size_t queue_depth(struct queue *q);
/* How many pushes were refused because it was full. */
uint64_t queue_refused(struct queue *q);
/* Refuses further pushes and wakes every waiter. */
void queue_close(struct queue *q);
/* Frees the queue when nobody uses it any more; items in it are forgotten. NULL is fine. */
void queue_destroy(struct queue *q);

#endif
