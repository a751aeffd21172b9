/*
 * delay_queue - packets under way, by the time at which they are due.
 *
 * Threads    One thread.
 * Ownership  Owns the packets in it; a popped packet is the caller's, to free().
 */
#ifndef LAB_DELAY_QUEUE_H
#define LAB_DELAY_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct delayed_packet {
    uint64_t due_ns;
    uint64_t order; /* of arrival: packets due at the same time leave in it */
    uint32_t to;    /* host */
    void *path;     /* whose counters it belongs to */
    uint8_t class;
    size_t len;
    uint8_t data[];
};

struct delay_queue;

/* A queue for at most `max` packets. Errors: PROBER_ERR_NOMEM. */
enum prober_error delay_queue_create(struct delay_queue **out, size_t max);
/* Takes a packet with due_ns, to, path and class of *like, and a copy of data[len].
 * Errors: PROBER_ERR_FULL, PROBER_ERR_NOMEM. */
enum prober_error delay_queue_push(struct delay_queue *q, const struct delayed_packet *like,
                                   const uint8_t *data, size_t len);
/* The first packet if it is due at now_ns, else NULL. */
struct delayed_packet *delay_queue_pop(struct delay_queue *q, uint64_t now_ns);
/* When the first packet is due; UINT64_MAX without any. */
uint64_t delay_queue_next(const struct delay_queue *q);
size_t delay_queue_len(const struct delay_queue *q);
void delay_queue_destroy(struct delay_queue *q);

#endif
