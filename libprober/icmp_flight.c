#include "libprober/icmp_flight.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"

#define CHUNK 1024u
#define NONE UINT32_MAX
#define FIRST_HEADS 1024u

static_assert(sizeof(struct icmp_flight) == 64, "a flight fills one cache line");

struct icmp_flights {
    struct icmp_flight **chunks; /* [max / CHUNK, rounded up], made as they are needed */
    uint32_t made, max, used;
    uint32_t free;       /* the first of the free ones, linked by `chain` */
    uint32_t *heads;     /* [head_count]: chains by address and sequence */
    uint32_t head_count; /* a power of two */
    uint16_t first_generation;
};

static struct icmp_flight *at(const struct icmp_flights *f, uint32_t slot)
{
    return &f->chunks[slot / CHUNK][slot % CHUNK];
}

struct icmp_flights *icmp_flights_create(uint32_t max)
{
    struct icmp_flights *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->max = max;
    f->free = NONE;
    f->head_count = FIRST_HEADS;
    f->chunks = calloc(max / CHUNK + 1, sizeof(struct icmp_flight *));
    f->heads = malloc(FIRST_HEADS * sizeof(*f->heads));
    if (!f->chunks || !f->heads) {
        icmp_flights_destroy(f);
        return NULL;
    }
    memset(f->heads, 0xff, FIRST_HEADS * sizeof(*f->heads));
    random_bytes(&f->first_generation, sizeof(f->first_generation));
    return f;
}

static uint32_t *head_of(const struct icmp_flights *f, const uint8_t address[16], uint16_t sequence)
{
    uint64_t a, b, mixed;

    memcpy(&a, address, 8);
    memcpy(&b, address + 8, 8);
    mixed = (a ^ sequence) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 32 ^ b) * UINT64_C(0xd6e8feb86659fd93);
    return &f->heads[(mixed >> 32) & (f->head_count - 1)];
}

static void link_flight(struct icmp_flights *f, struct icmp_flight *flight)
{
    uint32_t *head = head_of(f, flight->address, flight->sequence);

    flight->chain = *head;
    *head = flight->slot;
}

/* Longer chains are slower, not wrong: a failure to grow is none. */
static void grow_heads(struct icmp_flights *f)
{
    uint32_t *heads = malloc((size_t)f->head_count * 2 * sizeof(*heads)), *old = f->heads;
    uint32_t old_count = f->head_count;

    if (!heads)
        return;
    memset(heads, 0xff, (size_t)old_count * 2 * sizeof(*heads));
    f->heads = heads;
    f->head_count = old_count * 2;
    for (uint32_t i = 0; i < old_count; i++) {
        for (uint32_t slot = old[i]; slot != NONE;) {
            struct icmp_flight *flight = at(f, slot);

            slot = flight->chain;
            link_flight(f, flight);
        }
    }
    free(old);
}

/* Puts a further chunk on the list of free ones. */
static bool make_chunk(struct icmp_flights *f)
{
    struct icmp_flight *chunk;
    uint32_t count = f->max - f->made < CHUNK ? f->max - f->made : CHUNK;

    if (count == 0)
        return false;
    chunk = aligned_alloc(64, CHUNK * sizeof(*chunk));
    if (!chunk)
        return false;
    memset(chunk, 0, CHUNK * sizeof(*chunk));
    f->chunks[f->made / CHUNK] = chunk;
    for (uint32_t i = count; i-- > 0;) {
        chunk[i].slot = f->made + i;
        chunk[i].generation = f->first_generation;
        chunk[i].chain = f->free;
        f->free = chunk[i].slot;
    }
    f->made += count;
    return true;
}

struct icmp_flight *icmp_flights_acquire(struct icmp_flights *f, const struct prober_addr *to,
                                         uint16_t sequence)
{
    struct icmp_flight *flight;

    if (icmp_flights_find(f, to, sequence) || (f->free == NONE && !make_chunk(f)))
        return NULL;
    if (f->used >= f->head_count / 2)
        grow_heads(f);
    flight = at(f, f->free);
    f->free = flight->chain;
    f->used++;
    memcpy(flight->address, to->bytes, sizeof(flight->address));
    flight->sequence = sequence;
    flight->state = ICMP_FLIGHT_BOARDING;
    flight->cause = 0;
    flight->doubtful = 0;
    flight->family = to->family;
    link_flight(f, flight);
    return flight;
}

void icmp_flights_release(struct icmp_flights *f, struct icmp_flight *flight)
{
    uint32_t *link = head_of(f, flight->address, flight->sequence);

    while (*link != flight->slot)
        link = &at(f, *link)->chain;
    *link = flight->chain;
    flight->state = ICMP_FLIGHT_FREE;
    flight->generation++;
    flight->chain = f->free;
    f->free = flight->slot;
    f->used--;
}

struct icmp_flight *icmp_flights_get(const struct icmp_flights *f, uint32_t slot,
                                     uint16_t generation)
{
    struct icmp_flight *flight = slot < f->made ? at(f, slot) : NULL;

    return flight && flight->state != ICMP_FLIGHT_FREE && flight->generation == generation ? flight
                                                                                           : NULL;
}

struct icmp_flight *icmp_flights_find(const struct icmp_flights *f, const struct prober_addr *to,
                                      uint16_t sequence)
{
    for (uint32_t slot = *head_of(f, to->bytes, sequence); slot != NONE;) {
        struct icmp_flight *flight = at(f, slot);

        if (flight->sequence == sequence &&
            memcmp(flight->address, to->bytes, sizeof(flight->address)) == 0)
            return flight;
        slot = flight->chain;
    }
    return NULL;
}

void icmp_flights_prefetch(const struct icmp_flights *f, const uint8_t address[16],
                           uint16_t sequence)
{
    __builtin_prefetch(head_of(f, address, sequence), 1);
}

void icmp_flights_prefetch_slot(const struct icmp_flights *f, uint32_t slot)
{
    if (slot < f->made)
        __builtin_prefetch(at(f, slot), 1);
}

uint32_t icmp_flights_count(const struct icmp_flights *f)
{
    return f->used;
}

void icmp_flights_destroy(struct icmp_flights *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; f->chunks && i * CHUNK < f->made; i++)
        free(f->chunks[i]);
    free(f->chunks);
    free(f->heads);
    free(f);
}
