#include "unit.h"

#include <errno.h>

#include "test/unit/given_engine.h"

#define SCRIPTS 60
#define TARGETS 6

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % below;
}

static void spoil(struct fake_reply *r)
{
    uint32_t at = draw((uint32_t)r->len);

    r->message[at] ^= (uint8_t)(1 + draw(255));
    if (draw(2))
        fake_reply_seal(r);
    if (draw(4) == 0)
        r->len = draw((uint32_t)r->len + 1);
}

/* What the network makes of one packet. */
static void answer(const struct fake_packet *p)
{
    struct fake_reply r = fake_reply_to(p, given.now.real_ns - draw(2000000));

    switch (draw(12)) {
    case 0:
        break;
    case 1:
        fake_deliver(&r);
        fake_deliver(&r);
        break;
    case 2:
        spoil(&r);
        fake_deliver(&r);
        break;
    case 3:
        fake_deliver_error(p, draw(2) ? 3 : 11, draw(2) ? 8 : ICMP_HEAD_SIZE);
        if (draw(3) == 0)
            fake_deliver(&r);
        break;
    case 4:
        r.real_ns = draw(2) ? 0 : r.real_ns - MS(draw(5000));
        fake_deliver(&r);
        break;
    default:
        fake_deliver(&r);
    }
}

/* What the host does to the engine between two steps. */
static void disturb(icmp_target_id ids[TARGETS])
{
    static const char *const addresses[] = {"192.0.2.1", "192.0.2.2", "2001:db8::1"};
    struct icmp_target t =
        given_target(draw(8) ? addresses[draw(3)] : NULL, 1 + draw(20), MS(1 + draw(900)));
    size_t i = draw(TARGETS);

    switch (draw(40)) {
    case 0:
        fake_wire.drops += draw(3);
        break;
    case 1:
        given.now.real_ns += MS(draw(10000));
        break;
    case 2:
        given.now.boot_ns += MS(50000);
        given.now.real_ns += MS(50000);
        break;
    case 3:
        given_advance(MS(draw(1500)));
        break;
    case 4:
        fake_wire.refuse_with = draw(2) ? ENOBUFS : EHOSTUNREACH;
        fake_wire.refusals = draw(5);
        break;
    case 5:
    case 6:
        icmp_engine_remove(given.engine, ids[i]);
        t.gap_ns = MS(draw(30));
        t.phase = (uint64_t)draw(1u << 31) << 33;
        ids[i] = given_add(&t);
        break;
    case 7:
        icmp_engine_set_address(given.engine, ids[i], &t.address);
        break;
    }
}

static void run_script(uint64_t number)
{
    struct icmp_engine_config config = given_config();
    struct prober_failure why;
    icmp_target_id ids[TARGETS] = {0};
    size_t answered = 0;

    seed = number * 7919 + 1;
    fake_wire_reset();
    config.packets_per_second_max = draw(3) ? 0 : 60;
    config.timestamps = (enum icmp_timestamps)draw(3);
    assert_int_equal(given_engine_with(&config, &why), PROBER_OK);
    for (int i = 0; i < 1500; i++) {
        disturb(ids);
        given_step();
        given_advance(MS(1 + draw(8)));
        for (; answered + draw(4) < fake_wire.sent_count; answered++)
            answer(&fake_wire.sent[answered]);
    }
    for (size_t i = 0; i < TARGETS; i++)
        icmp_engine_remove(given.engine, ids[i]);
    icmp_engine_finish(given.engine);
    given_run(1500);
    assert_true(icmp_engine_is_finished(given.engine));
    assert_false(given.broken);
    assert_int_equal(given.totals.sent, fake_wire.sent_count);
    assert_int_equal(given.pairs, given.totals.received);
    given_end();
}

/* Nothing of what is sent is forgotten, and both laws hold for each window, whatever comes. */
static void the_laws_hold_whatever_the_network_and_the_host_do(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < SCRIPTS; i++)
        run_script(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_laws_hold_whatever_the_network_and_the_host_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
