#include "test/lab/delay_queue.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct delay_queue {
    struct delayed_packet **heap;
    size_t len, room, max;
    uint64_t order;
};

enum prober_error delay_queue_create(struct delay_queue **out, size_t max)
{
    struct delay_queue *q = calloc(1, sizeof(*q));

    if (!q)
        return PROBER_ERR_NOMEM;
    q->max = max;
    *out = q;
    return PROBER_OK;
}

static bool is_before(const struct delayed_packet *a, const struct delayed_packet *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static enum prober_error grow(struct delay_queue *q)
{
    size_t room = q->room ? q->room * 2 : 1024;
    struct delayed_packet **heap = realloc(q->heap, room * sizeof(struct delayed_packet *));

    if (!heap)
        return PROBER_ERR_NOMEM;
    q->heap = heap;
    q->room = room;
    return PROBER_OK;
}

enum prober_error delay_queue_push(struct delay_queue *q, const struct delayed_packet *like,
                                   const uint8_t *data, size_t len)
{
    struct delayed_packet *packet;
    size_t at, parent;

    if (q->len == q->max)
        return PROBER_ERR_FULL;
    if (q->len == q->room && grow(q))
        return PROBER_ERR_NOMEM;
    packet = malloc(sizeof(*packet) + len);
    if (!packet)
        return PROBER_ERR_NOMEM;
    *packet = *like;
    packet->order = q->order++;
    packet->len = len;
    memcpy(packet->data, data, len);
    for (at = q->len++; at; at = parent) {
        parent = (at - 1) / 2;
        if (!is_before(packet, q->heap[parent]))
            break;
        q->heap[at] = q->heap[parent];
    }
    q->heap[at] = packet;
    return PROBER_OK;
}

struct delayed_packet *delay_queue_pop(struct delay_queue *q, uint64_t now_ns)
{
    struct delayed_packet *first, *last;
    size_t at = 0, child;

    if (!q->len || q->heap[0]->due_ns > now_ns)
        return NULL;
    first = q->heap[0];
    last = q->heap[--q->len];
    while ((child = 2 * at + 1) < q->len) {
        if (child + 1 < q->len && is_before(q->heap[child + 1], q->heap[child]))
            child++;
        if (!is_before(q->heap[child], last))
            break;
        q->heap[at] = q->heap[child];
        at = child;
    }
    q->heap[at] = last;
    return first;
}

uint64_t delay_queue_next(const struct delay_queue *q)
{
    return q->len ? q->heap[0]->due_ns : UINT64_MAX;
}

size_t delay_queue_len(const struct delay_queue *q)
{
    return q->len;
}

void delay_queue_destroy(struct delay_queue *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->len; i++)
        free(q->heap[i]);
    free(q->heap);
    free(q);
}
