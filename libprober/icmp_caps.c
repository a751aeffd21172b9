#include "libprober/icmp_caps.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/random.h"
#include "common/siphash.h"

#define FIRST_HEADS 256u

/* The generic cell rate algorithm: the burst is taken off the rate, so that the two together are
 * the cap. */
struct rate_limit {
    uint64_t gap_ns; /* between packets at the steady rate; 0: no cap */
    uint64_t slack_ns;
};

struct icmp_address_cap {
    struct icmp_address_cap *next;
    struct prober_addr address;
    uint32_t users;
    uint64_t next_ns; /* when the next packet is due at the steady rate */
};

struct icmp_caps {
    struct rate_limit all, each;
    uint64_t next_ns;
    struct icmp_address_cap **heads;
    uint32_t head_count, count;
    struct siphash_key key;
};

static struct rate_limit limit_of(uint64_t per_second)
{
    uint64_t burst = per_second >= 100 ? per_second / 50 : 1, gap_ns;

    if (per_second == 0)
        return (struct rate_limit){0};
    gap_ns = CLOCK_NS_PER_S / (per_second - burst + 1) + 1;
    if (burst == 1)
        gap_ns = (CLOCK_NS_PER_S + per_second - 1) / per_second;
    return (struct rate_limit){.gap_ns = gap_ns, .slack_ns = (burst - 1) * gap_ns};
}

struct icmp_caps *icmp_caps_create(uint64_t all, uint64_t each)
{
    struct icmp_caps *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->all = limit_of(all);
    c->each = limit_of(each);
    c->head_count = FIRST_HEADS;
    c->heads = calloc(c->head_count, sizeof(struct icmp_address_cap *));
    random_bytes(&c->key, sizeof(c->key));
    if (!c->heads) {
        icmp_caps_destroy(c);
        return NULL;
    }
    return c;
}

static struct icmp_address_cap **head_of(const struct icmp_caps *c, const struct prober_addr *a)
{
    return &c->heads[siphash24(&c->key, a->bytes, sizeof(a->bytes)) & (c->head_count - 1)];
}

/* Longer chains are slower, not wrong: a failure to grow is none. */
static void grow(struct icmp_caps *c)
{
    struct icmp_address_cap **old = c->heads;
    uint32_t old_count = c->head_count;

    c->heads = calloc((size_t)old_count * 2, sizeof(struct icmp_address_cap *));
    if (!c->heads) {
        c->heads = old;
        return;
    }
    c->head_count = old_count * 2;
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct icmp_address_cap *r = old[i], *next; r; r = next) {
            struct icmp_address_cap **head = head_of(c, &r->address);

            next = r->next;
            r->next = *head;
            *head = r;
        }
    }
    free(old);
}

struct icmp_address_cap *icmp_caps_join(struct icmp_caps *c, const struct prober_addr *address)
{
    struct icmp_address_cap *r, **head;

    if (c->each.gap_ns == 0 || address->family == PROBER_FAMILY_NONE)
        return NULL;
    for (r = *head_of(c, address); r; r = r->next) {
        if (prober_addr_equal(&r->address, address)) {
            r->users++;
            return r;
        }
    }
    r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    if (++c->count > c->head_count)
        grow(c);
    head = head_of(c, address);
    *r = (struct icmp_address_cap){.next = *head, .address = *address, .users = 1};
    *head = r;
    return r;
}

void icmp_caps_leave(struct icmp_caps *c, struct icmp_address_cap *record)
{
    struct icmp_address_cap **link;

    if (!record || --record->users > 0)
        return;
    for (link = head_of(c, &record->address); *link != record; link = &(*link)->next)
        ;
    *link = record->next;
    c->count--;
    free(record);
}

static bool may(const struct rate_limit *l, uint64_t next_ns, uint64_t now_ns)
{
    return l->gap_ns == 0 || next_ns <= now_ns + l->slack_ns;
}

static void count(const struct rate_limit *l, uint64_t *next_ns, uint64_t now_ns)
{
    *next_ns = (*next_ns > now_ns ? *next_ns : now_ns) + l->gap_ns;
}

bool icmp_caps_allow(struct icmp_caps *c, struct icmp_address_cap *record, uint64_t now_ns)
{
    if (!may(&c->all, c->next_ns, now_ns) || (record && !may(&c->each, record->next_ns, now_ns)))
        return false;
    count(&c->all, &c->next_ns, now_ns);
    if (record)
        count(&c->each, &record->next_ns, now_ns);
    return true;
}

void icmp_caps_destroy(struct icmp_caps *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; c->heads && i < c->head_count; i++) {
        for (struct icmp_address_cap *r = c->heads[i], *next; r; r = next) {
            next = r->next;
            free(r);
        }
    }
    free(c->heads);
    free(c);
}
