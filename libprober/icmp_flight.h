/*
 * icmp_flight - probes in flight, found by slot and generation, or by address and sequence.
 *
 * Purpose    One cache line a probe. A probe stays a while after its end, so that a duplicate and a
 *            late reply are known for what they are. No two probes here have the same address and
 *            sequence.
 * Threads    None of its own; one thread owns it.
 * Ownership  Owns the flights; they stay where they are until released.
 */
#ifndef LIBPROBER_ICMP_FLIGHT_H
#define LIBPROBER_ICMP_FLIGHT_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "libprober/timer_wheel.h"

enum icmp_flight_state {
    ICMP_FLIGHT_FREE,
    ICMP_FLIGHT_BOARDING, /* not sent yet */
    ICMP_FLIGHT_OPEN,     /* no end yet */
    ICMP_FLIGHT_ANSWERED,
    ICMP_FLIGHT_EXPIRED
};

struct icmp_flight {
    struct timer
        timer; /* while open or answered: the deadline and a grace; then: when it is forgotten */
    uint64_t sent_ns;    /* on the monotonic clock */
    uint8_t address[16]; /* as in struct prober_addr */
    uint32_t target, window;
    uint32_t chain, slot; /* owned by icmp_flights */
    uint16_t generation, sequence;
    uint8_t state;    /* enum icmp_flight_state */
    uint8_t cause;    /* enum icmp_cause, of the ICMP error that named it */
    uint8_t doubtful; /* already counted so */
    uint8_t family;
};

struct icmp_flights;

/* At most `max` at once. NULL for lack of memory. */
struct icmp_flights *icmp_flights_create(uint32_t max);
/* A boarding flight to this address with this sequence, or NULL: no room, or the two are taken. */
struct icmp_flight *icmp_flights_acquire(struct icmp_flights *f, const struct prober_addr *to,
                                         uint16_t sequence);
void icmp_flights_release(struct icmp_flights *f, struct icmp_flight *flight);
/* NULL when that slot holds no flight of that generation. */
struct icmp_flight *icmp_flights_get(const struct icmp_flights *f, uint32_t slot,
                                     uint16_t generation);
struct icmp_flight *icmp_flights_find(const struct icmp_flights *f, const struct prober_addr *to,
                                      uint16_t sequence);
/* Has the memory fetched that finding, taking or releasing such a flight will need soon. */
void icmp_flights_prefetch(const struct icmp_flights *f, const uint8_t address[16],
                           uint16_t sequence);
/* Has the flight in that slot fetched, which need not be one. */
void icmp_flights_prefetch_slot(const struct icmp_flights *f, uint32_t slot);
/* How many there are, in any state but free. */
uint32_t icmp_flights_count(const struct icmp_flights *f);
/* NULL is fine. */
void icmp_flights_destroy(struct icmp_flights *f);

#endif
