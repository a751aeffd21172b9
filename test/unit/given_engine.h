/*
 * given_engine - an ICMP engine on fake sockets, whose time is the test's.
 *
 * Threads    One engine at a time.
 */
#ifndef TEST_UNIT_GIVEN_ENGINE_H
#define TEST_UNIT_GIVEN_ENGINE_H

#include <string.h>

#include "common/array.h"
#include "libprober/icmp_engine.h"
#include "test/unit/fakes/fake_icmp_socket.h"

#define MS(n) ((uint64_t)(n)*CLOCK_NS_PER_MS)
#define WINDOWS_KEPT 4096

struct given {
    struct icmp_engine *engine;
    struct clock_reading now;
    struct icmp_window windows[WINDOWS_KEPT]; /* in the order of their coming; no pairs */
    size_t window_count;
    uint32_t ends[WINDOWS_KEPT];
    size_t end_count, removed_count;
    uint64_t pairs; /* RTTs in the bins of all windows */
    struct icmp_totals totals;
    bool broken; /* windows mixed, or a law does not hold */
};

static struct given given;

static void given_window(void *context, void *user, const struct icmp_window *w)
{
    struct icmp_totals one = {0};
    uint64_t pairs = 0;

    (void)context;
    (void)user;
    for (size_t i = 0; i < w->pair_count; i++)
        pairs += w->pairs[i].count;
    icmp_totals_add(&one, &w->counts);
    if (!icmp_totals_are_lawful(&one) || pairs != w->counts.received ||
        w->rtt.count != w->counts.received ||
        (given.end_count > 0 && w->number <= given.ends[given.end_count - 1]))
        given.broken = true;
    given.pairs += pairs;
    icmp_totals_merge(&given.totals, &one);
    given.windows[given.window_count++ % WINDOWS_KEPT] = *w;
}

static void given_window_end(void *context, uint32_t number, const struct clock_reading *now)
{
    (void)context;
    (void)now;
    if (given.end_count > 0 && number <= given.ends[given.end_count - 1])
        given.broken = true;
    given.ends[given.end_count++ % WINDOWS_KEPT] = number;
}

static void given_removed(void *context, void *user)
{
    (void)context;
    (void)user;
    given.removed_count++;
}

/* Windows of a second, from number 1 on. */
static inline struct icmp_engine_config given_config(void)
{
    return (struct icmp_engine_config){.window_ns = MS(1000),
                                       .first_window = 1,
                                       .timestamps = ICMP_TIMESTAMPS_USER,
                                       .ipv4 = true,
                                       .ipv6 = true};
}

static inline enum prober_error given_engine_with(const struct icmp_engine_config *config,
                                                  struct prober_failure *why)
{
    const struct icmp_sink sink = {given_window, given_window_end, given_removed, NULL};

    memset(&given, 0, sizeof(given));
    given.now = (struct clock_reading){
        .mono_ns = MS(5000000), .real_ns = MS(1700000000000), .boot_ns = MS(6000000)};
    return icmp_engine_create(&given.engine, config, &sink, &given.now, why);
}

static inline void given_engine(void)
{
    struct icmp_engine_config config = given_config();
    struct prober_failure why;

    fake_wire_reset();
    assert_int_equal(given_engine_with(&config, &why), PROBER_OK);
}

static inline struct icmp_target given_target(const char *address, uint32_t count,
                                              uint64_t timeout_ns)
{
    struct icmp_target t = {.payload_size = 64, .count = count, .timeout_ns = timeout_ns};

    if (address)
        prober_addr_parse(address, &t.address);
    return t;
}

static inline icmp_target_id given_add(const struct icmp_target *t)
{
    icmp_target_id id = 0;

    assert_int_equal(icmp_engine_add(given.engine, t, &given.now, &id), PROBER_OK);
    return id;
}

static inline void given_advance(uint64_t ns)
{
    given.now.mono_ns += ns;
    given.now.real_ns += ns;
    given.now.boot_ns += ns;
}

static inline void given_step(void)
{
    fake_wire.mono_ns = given.now.mono_ns;
    fake_wire.real_ns = given.now.real_ns;
    icmp_engine_step(given.engine, &given.now);
}

/* Steps every millisecond, for so many of them. */
static inline void given_run(uint64_t ms)
{
    for (; ms > 0; ms--) {
        given_step();
        given_advance(MS(1));
    }
    given_step();
}

static inline void given_end(void)
{
    icmp_engine_destroy(given.engine);
    given.engine = NULL;
}

/* Answers the i-th packet that was sent, as received rtt_ms after it. */
static inline void given_reply(size_t i, uint64_t rtt_ms)
{
    struct fake_reply r =
        fake_reply_to(&fake_wire.sent[i], fake_wire.sent[i].sent_real_ns + MS(rtt_ms));

    fake_deliver(&r);
}

#endif
