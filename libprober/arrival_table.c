#include "libprober/arrival_table.h"

#include <stdlib.h>
#include <string.h>

#include "common/random.h"
#include "common/siphash.h"

#define HEADS 16384u
#define NONE UINT16_MAX

struct entry {
    struct icmp_arrival arrival;
    uint16_t chain;
};

struct arrival_table {
    struct entry entries[ICMP_ARRIVALS_MAX]; /* the first `used` are taken */
    uint16_t heads[HEADS];
    uint16_t used;
    struct siphash_key key; /* senders are whatever the network says */
};

struct arrival_table *arrival_table_create(void)
{
    struct arrival_table *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    memset(t->heads, 0xff, sizeof(t->heads));
    random_bytes(&t->key, sizeof(t->key));
    return t;
}

static uint16_t *head_of(struct arrival_table *t, uint32_t sender, uint16_t window)
{
    uint64_t text = (uint64_t)sender << 16 | window;

    return &t->heads[siphash24(&t->key, &text, sizeof(text)) % HEADS];
}

bool arrival_table_count(struct arrival_table *t, uint32_t sender, uint16_t window, uint64_t now_ns)
{
    uint16_t *head = head_of(t, sender, window), i = *head;
    struct icmp_arrival *a;

    while (i != NONE &&
           (t->entries[i].arrival.sender != sender || t->entries[i].arrival.window != window))
        i = t->entries[i].chain;
    if (i == NONE) {
        if (t->used == ICMP_ARRIVALS_MAX)
            return false;
        i = t->used++;
        t->entries[i] = (struct entry){{.sender = sender, .window = window}, *head};
        *head = i;
    }
    a = &t->entries[i].arrival;
    a->count += a->count < UINT32_MAX;
    a->last_ns = now_ns;
    return true;
}

/* The link that points to entry i. */
static uint16_t *link_to(struct arrival_table *t, uint16_t i)
{
    const struct icmp_arrival *a = &t->entries[i].arrival;
    uint16_t *link = head_of(t, a->sender, a->window);

    while (*link != i)
        link = &t->entries[*link].chain;
    return link;
}

/* The last entry takes the place of the one that goes. */
static void drop(struct arrival_table *t, uint16_t i)
{
    uint16_t last = (uint16_t)(t->used - 1);

    *link_to(t, i) = t->entries[i].chain;
    if (i != last) {
        *link_to(t, last) = i;
        t->entries[i] = t->entries[last];
    }
    t->used--;
}

size_t arrival_table_take(struct arrival_table *t, uint64_t now_ns, uint64_t quiet_ns,
                          struct icmp_arrival *out, size_t max)
{
    size_t count = 0;

    for (uint16_t i = t->used; i-- > 0 && count < max;) {
        if (now_ns - t->entries[i].arrival.last_ns < quiet_ns)
            continue;
        out[count++] = t->entries[i].arrival;
        drop(t, i);
    }
    return count;
}

void arrival_table_destroy(struct arrival_table *t)
{
    free(t);
}
