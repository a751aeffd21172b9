#include "unit.h"

#include <errno.h>

#include "test/unit/given_engine.h"

static int tear_down(void **state)
{
    (void)state;
    given_end();
    assert_false(given.broken);
    assert_int_equal(fake_wire.opened, fake_wire.closed);
    return 0;
}

static const struct icmp_window *window(size_t i)
{
    assert_true(i < given.window_count);
    return &given.windows[i];
}

/* One target, one probe a window, answered by the test; the first probe is on its way. */
static icmp_target_id given_one_probe(uint64_t timeout_ms)
{
    struct icmp_target t = given_target("192.0.2.1", 1, MS(timeout_ms));
    icmp_target_id id;

    given_engine();
    id = given_add(&t);
    given_run(5);
    assert_int_equal(fake_wire.sent_count, 1);
    return id;
}

static void a_reply_in_time_is_received_with_its_rtt(void **state)
{
    (void)state;
    given_one_probe(500);
    given_reply(0, 7);
    given_run(20);
    assert_int_equal(window(0)->number, 1);
    assert_int_equal(window(0)->counts.sent, 1);
    assert_int_equal(window(0)->counts.received, 1);
    assert_int_equal(window(0)->rtt.sum_ns, MS(7));
}

static void no_reply_before_the_timeout_is_a_loss(void **state)
{
    (void)state;
    given_one_probe(100);
    given_run(90);
    assert_int_equal(given.window_count, 0);
    given_run(20);
    assert_int_equal(window(0)->counts.lost_timeout, 1);
    assert_int_equal(window(0)->rtt.count, 0);
}

static void a_reply_is_judged_by_the_time_of_the_kernel_and_not_by_when_it_is_read(void **state)
{
    (void)state;
    given_one_probe(100);
    given_advance(MS(500)); /* the engine was held up */
    given_reply(0, 99);
    given_step();
    given_run(5);
    assert_int_equal(window(0)->counts.received, 1);
    assert_int_equal(window(0)->rtt.sum_ns, MS(99));
}

static void a_reply_after_the_timeout_is_late_and_the_probe_lost(void **state)
{
    (void)state;
    given_one_probe(100);
    given_advance(MS(500));
    given_reply(0, 101);
    given_step();
    given_run(5);
    assert_int_equal(window(0)->counts.received, 0);
    assert_int_equal(window(0)->counts.lost_timeout, 1);
    assert_int_equal(window(0)->counts.late_replies, 1);
}

static void a_reply_after_the_loss_was_told_is_late_in_the_next_window(void **state)
{
    (void)state;
    given_one_probe(100);
    given_run(200);
    given_reply(0, 150);
    given_run(1000);
    assert_int_equal(window(1)->counts.late_replies, 1);
}

static void a_second_reply_is_a_duplicate(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 2, MS(300));

    (void)state;
    given_engine();
    given_add(&t);
    given_run(5);
    given_reply(0, 2);
    given_reply(0, 3);
    given_reply(0, 4);
    given_run(1000);
    assert_int_equal(window(0)->counts.received, 1);
    assert_int_equal(window(0)->counts.duplicates, 2);
    assert_int_equal(window(0)->counts.lost_timeout, 1);
}

static void a_reply_with_a_wrong_token_does_not_count(void **state)
{
    struct fake_reply r;

    (void)state;
    given_one_probe(100);
    r = fake_reply_to(&fake_wire.sent[0], given.now.real_ns);
    r.message[ICMP_HEADER_SIZE + 20] ^= 1;
    fake_reply_seal(&r);
    fake_deliver(&r);
    given_run(200);
    assert_int_equal(window(0)->counts.lost_timeout, 1);
    assert_int_equal(window(0)->counts.bad_replies, 1);
}

static void a_reply_with_a_wrong_checksum_does_not_count(void **state)
{
    struct fake_reply r;

    (void)state;
    given_one_probe(100);
    r = fake_reply_to(&fake_wire.sent[0], given.now.real_ns);
    r.message[40] ^= 1;
    fake_deliver(&r);
    given_run(200);
    assert_int_equal(window(0)->counts.lost_timeout, 1);
    assert_int_equal(window(0)->counts.corrupt_replies, 1);
}

static void a_reply_with_a_changed_or_shorter_payload_does_not_count(void **state)
{
    struct fake_reply r;

    (void)state;
    given_one_probe(100);
    r = fake_reply_to(&fake_wire.sent[0], given.now.real_ns);
    r.message[40] ^= 1;
    fake_reply_seal(&r);
    fake_deliver(&r);
    r.message[40] ^= 1;
    r.len -= 2;
    fake_reply_seal(&r);
    fake_deliver(&r);
    given_run(200);
    assert_int_equal(window(0)->counts.lost_timeout, 1);
    assert_int_equal(window(0)->counts.corrupt_replies, 2);
}

static void a_reply_from_another_address_does_not_count(void **state)
{
    struct fake_reply r;
    struct icmp_engine_counts counts;

    (void)state;
    given_one_probe(100);
    r = fake_reply_to(&fake_wire.sent[0], given.now.real_ns);
    prober_addr_parse("192.0.2.9", &r.from);
    fake_deliver(&r);
    given_run(200);
    icmp_engine_counts(given.engine, &counts);
    assert_int_equal(window(0)->counts.lost_timeout, 1);
    assert_int_equal(counts.foreign_replies, 1);
}

static void another_program_with_our_identifier_makes_us_take_another_one(void **state)
{
    uint16_t before;
    struct fake_reply r;
    struct icmp_engine_counts counts;

    (void)state;
    given_one_probe(500);
    before =
        (uint16_t)(fake_wire.sent[0].departure.head[4] << 8 | fake_wire.sent[0].departure.head[5]);
    r = fake_reply_to(&fake_wire.sent[0], given.now.real_ns);
    r.message[6] ^= 0x55; /* the sequence is of no probe of ours */
    r.message[8] = 0;     /* nor is the mark ours */
    fake_reply_seal(&r);
    fake_deliver(&r);
    given_step();
    assert_int_not_equal(fake_wire.identifier, before);
    assert_int_equal(fake_wire.previous, before);
    given_reply(0, 10); /* under the old identifier */
    fake_deliver(&r);
    given_run(1100);
    icmp_engine_counts(given.engine, &counts);
    assert_int_equal(window(0)->counts.received, 1);
    assert_int_equal(counts.identifier_changes, 1);
    assert_int_equal(counts.foreign_replies, 2);
    assert_int_equal(fake_wire.sent[1].departure.head[4] << 8 | fake_wire.sent[1].departure.head[5],
                     fake_wire.identifier);
}

static void a_forced_identifier_stays_whatever_others_send(void **state)
{
    struct icmp_engine_config config = given_config();
    struct icmp_target t = given_target("192.0.2.1", 1, MS(100));
    struct prober_failure why;
    struct fake_reply r;

    (void)state;
    fake_wire_reset();
    config.identifier = 4711;
    assert_int_equal(given_engine_with(&config, &why), PROBER_OK);
    given_add(&t);
    given_run(5);
    r = fake_reply_to(&fake_wire.sent[0], given.now.real_ns);
    r.message[6] ^= 0x55;
    r.message[20] ^= 0x55;
    fake_reply_seal(&r);
    fake_deliver(&r);
    given_reply(0, 3);
    given_run(20);
    assert_int_equal(fake_wire.identifier, 4711);
    assert_int_equal(window(0)->counts.received, 1);
    assert_int_equal(window(0)->counts.bad_replies, 0);
}

static void an_icmp_error_names_the_loss_and_does_not_end_the_probe(void **state)
{
    (void)state;
    given_one_probe(100);
    fake_deliver_error(&fake_wire.sent[0], 3, ICMP_HEAD_SIZE);
    given_run(50);
    assert_int_equal(given.window_count, 0);
    given_run(100);
    assert_int_equal(window(0)->counts.lost_unreachable, 1);
    assert_int_equal(window(0)->counts.lost_timeout, 0);
}

static void eight_quoted_bytes_are_enough_to_name_a_loss(void **state)
{
    (void)state;
    given_one_probe(100);
    fake_deliver_error(&fake_wire.sent[0], 11, 8);
    given_run(200);
    assert_int_equal(window(0)->counts.lost_ttl, 1);
}

static void a_reply_in_time_counts_after_an_icmp_error(void **state)
{
    (void)state;
    given_one_probe(100);
    fake_deliver_error(&fake_wire.sent[0], 3, 8);
    given_step();
    given_reply(0, 30);
    given_run(200);
    assert_int_equal(window(0)->counts.received, 1);
    assert_int_equal(window(0)->counts.lost_unreachable, 0);
}

static void an_icmp_error_about_another_programs_probe_is_foreign(void **state)
{
    struct fake_packet other;
    struct icmp_engine_counts counts;

    (void)state;
    given_one_probe(100);
    other = fake_wire.sent[0];
    other.departure.head[4] ^= 1; /* its identifier */
    fake_deliver_error(&other, 3, 8);
    other = fake_wire.sent[0];
    other.departure.head[ICMP_HEADER_SIZE + 20] ^= 1; /* its token */
    fake_deliver_error(&other, 3, ICMP_HEAD_SIZE);
    given_run(200);
    icmp_engine_counts(given.engine, &counts);
    assert_int_equal(counts.errors_foreign, 2);
    assert_int_equal(window(0)->counts.lost_timeout, 1);
}

static void no_reply_while_the_socket_dropped_packets_is_unknown(void **state)
{
    struct icmp_engine_counts counts;

    (void)state;
    given_one_probe(100);
    given_run(10);
    fake_wire.drops += 3;
    given_run(200);
    icmp_engine_counts(given.engine, &counts);
    assert_int_equal(window(0)->counts.unknown, 1);
    assert_int_equal(window(0)->counts.lost_timeout, 0);
    assert_int_equal(counts.receive_drops, 3);
}

static void drops_before_the_probe_was_sent_do_not_excuse_its_loss(void **state)
{
    (void)state;
    given_one_probe(100);
    given_reply(0, 1);
    given_run(400);
    fake_wire.drops += 3;
    given_run(1000);
    assert_int_equal(window(1)->counts.lost_timeout, 1);
    assert_int_equal(window(1)->counts.unknown, 0);
}

/* Of two probes around the drop one is answered and one is not: neither may tell a loss ratio. */
static void what_was_answered_while_packets_were_dropped_leaves_the_denominator(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 10, MS(150));
    struct icmp_totals totals = {0};

    (void)state;
    given_engine();
    given_add(&t);
    for (int i = 0; i < 1200; i++) {
        given_step();
        given_advance(MS(1));
        if (i == 550)
            fake_wire.drops++;
        for (size_t k = 0; k < fake_wire.sent_count; k++)
            if (k % 2 == 0 && fake_wire.sent[k].sent_real_ns + MS(3) == given.now.real_ns)
                given_reply(k, 3);
    }
    icmp_totals_add(&totals, &window(0)->counts);
    assert_int_equal(totals.sent, 10);
    assert_int_equal(totals.received, 5);
    assert_int_equal(totals.unknown + icmp_totals_lost(&totals), 5);
    assert_int_equal(totals.unknown, 1);
    assert_int_equal(totals.doubtful, 1);
}

static void a_step_of_the_wall_clock_makes_silence_unknown_and_spoils_no_rtt(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 2, MS(300));
    struct icmp_engine_counts counts;
    struct fake_reply r;

    (void)state;
    given_engine();
    given_add(&t);
    given_run(10);
    given.now.real_ns += MS(3600000);
    r = fake_reply_to(&fake_wire.sent[0], given.now.real_ns);
    fake_deliver(&r);
    given_step();
    given_run(1200);
    icmp_engine_counts(given.engine, &counts);
    assert_int_equal(counts.clock_steps, 1);
    assert_int_equal(window(0)->counts.received, 1);
    assert_int_equal(window(0)->counts.doubtful, 1);
    assert_in_range(window(0)->rtt.sum_ns, MS(5), MS(12));
    assert_int_equal(window(0)->counts.lost_timeout, 1); /* the second, sent long after */
}

static void a_step_while_a_probe_is_in_flight_makes_its_loss_unknown(void **state)
{
    (void)state;
    given_one_probe(300);
    given.now.real_ns -= MS(5000);
    given_run(500);
    assert_int_equal(window(0)->counts.unknown, 1);
}

static void a_suspend_makes_silence_unknown(void **state)
{
    struct icmp_engine_counts counts;

    (void)state;
    given_one_probe(300);
    given.now.real_ns += MS(60000);
    given.now.boot_ns += MS(60000);
    given_run(500);
    icmp_engine_counts(given.engine, &counts);
    assert_int_equal(window(0)->counts.unknown, 1);
    assert_int_equal(counts.suspends, 1);
    assert_int_equal(counts.clock_steps, 0);
}

static void what_the_kernel_refuses_is_unsent_by_reason(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 4, MS(100));

    (void)state;
    given_engine();
    given_add(&t);
    fake_wire.refuse_with = ENETUNREACH;
    fake_wire.refusals = 1;
    given_run(200);
    fake_wire.refuse_with = ENOBUFS;
    fake_wire.refusals = 1;
    given_run(1000);
    assert_int_equal(window(0)->counts.unsent_local, 1);
    assert_int_equal(window(0)->counts.unsent_queue, 1);
    assert_int_equal(window(0)->counts.sent, 2);
}

static void one_refused_packet_does_not_stop_the_others(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 1, MS(100));

    (void)state;
    given_engine();
    for (int i = 0; i < 10; i++) {
        t.address.bytes[3] = (uint8_t)(i + 1);
        given_add(&t);
    }
    fake_wire.refuse_with = EPERM;
    fake_wire.refusals = 1;
    given_run(1010);
    assert_int_equal(fake_wire.sent_count, 19); /* and the second window's ten */
    assert_int_equal(given.totals.unsent_local, 1);
}

static void a_name_that_did_not_resolve_is_unsent(void **state)
{
    struct icmp_target t = given_target(NULL, 3, MS(100));
    struct prober_addr a;
    icmp_target_id id;

    (void)state;
    given_engine();
    id = given_add(&t);
    given_run(500);
    prober_addr_parse("192.0.2.5", &a);
    icmp_engine_set_address(given.engine, id, &a);
    given_run(600);
    assert_int_equal(window(0)->counts.unsent_name, 2);
    assert_int_equal(window(0)->counts.sent, 1);
}

static void a_family_that_the_host_lacks_is_unsent_and_the_other_works(void **state)
{
    struct icmp_target t = given_target("2001:db8::1", 2, MS(100));
    struct icmp_engine_config config = given_config();
    struct prober_failure why;

    (void)state;
    fake_wire_reset();
    fake_wire.lacks_ipv6 = true;
    assert_int_equal(given_engine_with(&config, &why), PROBER_OK);
    given_add(&t);
    given_run(1100);
    assert_int_equal(window(0)->counts.unsent_local, 2);
}

static void an_engine_that_comes_late_by_less_than_an_interval_says_late_sent(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 2, MS(100));

    (void)state;
    given_engine();
    given_add(&t);
    given_step();
    given_advance(MS(300));
    given_run(1000);
    assert_int_equal(window(0)->counts.sent, 2);
    assert_int_equal(window(0)->counts.late_sent, 1);
}

static void an_engine_that_comes_late_by_more_than_an_interval_says_unsent(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 10, MS(100));

    (void)state;
    given_engine();
    given_add(&t);
    given_step();
    given_advance(MS(250));
    given_run(1100);
    assert_int_equal(window(0)->counts.unsent_late, 2); /* due at 0 and at 100 */
    assert_int_equal(window(0)->counts.late_sent, 1);   /* at 200 */
    assert_int_equal(window(0)->counts.sent, 8);
}

static void windows_that_were_slept_through_are_left_out(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 2, MS(100));

    (void)state;
    given_engine();
    given_add(&t);
    given_run(1200);
    given_advance(MS(10000));
    given_run(1200);
    assert_true(given.totals.unsent_late >= 1);
    assert_int_equal(given.ends[0], 1);
    assert_int_equal(given.ends[1], 2);
    assert_true(given.ends[2] >= 11 || given.ends[3] >= 11);
}

static void the_engines_cap_holds_and_the_rest_is_unsent(void **state)
{
    struct icmp_engine_config config = given_config();
    struct icmp_target t = given_target("192.0.2.1", 100, MS(100));
    struct prober_failure why;

    (void)state;
    fake_wire_reset();
    config.packets_per_second_max = 50;
    assert_int_equal(given_engine_with(&config, &why), PROBER_OK);
    given_add(&t);
    given_run(1200);
    assert_in_range(window(0)->counts.sent, 30, 50);
    assert_int_equal(window(0)->counts.sent + window(0)->counts.unsent_cap, 100);
}

static void targets_of_one_address_share_its_cap(void **state)
{
    struct icmp_engine_config config = given_config();
    struct icmp_target t = given_target("192.0.2.1", 20, MS(100));
    struct prober_failure why;

    (void)state;
    fake_wire_reset();
    config.target_packets_per_second_max = 20;
    assert_int_equal(given_engine_with(&config, &why), PROBER_OK);
    given_add(&t);
    given_add(&t);
    prober_addr_parse("192.0.2.2", &t.address);
    t.count = 15;
    given_add(&t);
    given_run(1200);
    for (size_t i = 0; i < 3; i++) {
        const struct icmp_counts *c = &window(i)->counts;

        if (c->sent + c->unsent_cap == 15)
            assert_int_equal(c->unsent_cap, 0);
    }
    assert_in_range(given.totals.unsent_cap, 20, 25);
}

static void probes_are_spread_over_the_window(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 4, MS(100));

    (void)state;
    given_engine();
    t.phase = UINT64_MAX / 2; /* the middle of each quarter */
    given_add(&t);
    given_run(999);
    assert_int_equal(fake_wire.sent_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_in_range(fake_wire.sent[i].sent_real_ns - MS(1700000000000), MS(125 + 250 * i),
                        MS(130 + 250 * i));
}

static void a_burst_keeps_its_gap_and_begins_at_its_phase(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 4, MS(100));

    (void)state;
    given_engine();
    t.gap_ns = MS(15);
    t.phase = UINT64_MAX / 2;
    given_add(&t);
    given_run(999);
    assert_int_equal(fake_wire.sent_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_in_range(fake_wire.sent[i].sent_real_ns - MS(1700000000000), MS(477 + 15 * i),
                        MS(483 + 15 * i));
}

static void identifier_and_checksum_are_the_same_for_all_probes_to_a_target(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 64, MS(100));

    (void)state;
    given_engine();
    given_add(&t);
    given_run(999);
    assert_int_equal(fake_wire.sent_count, 64);
    for (size_t i = 0; i < 64; i++) {
        const uint8_t *head = fake_wire.sent[i].departure.head;
        struct fake_reply r = fake_reply_to(&fake_wire.sent[i], 1);

        assert_memory_equal(head, fake_wire.sent[0].departure.head, 6);
        r.message[0] = ICMP4_ECHO_REQUEST;
        r.message[2] = head[2];
        r.message[3] = head[3];
        assert_int_equal(icmp_sum(r.message, r.len), 0xffff); /* and it is right */
    }
}

static void ipv6_probes_are_paired_too(void **state)
{
    struct icmp_target t = given_target("2001:db8::1", 1, MS(100));

    (void)state;
    given_engine();
    given_add(&t);
    given_run(5);
    given_reply(0, 2);
    given_run(10);
    assert_int_equal(window(0)->counts.received, 1);
}

static void a_window_is_open_until_its_last_probe_ended_while_the_next_runs(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 1, MS(800));

    (void)state;
    given_engine();
    t.phase = UINT64_MAX / 10 * 9; /* at 900 ms */
    given_add(&t);
    t.phase = 0;
    given_add(&t);
    given_run(1050);
    assert_int_equal(fake_wire.sent_count, 3);
    given_reply(2, 10); /* of the second window */
    given_run(600);
    assert_int_equal(given.end_count, 0);
    given_run(100);
    assert_int_equal(given.ends[0], 1);
    assert_int_equal(window(0)->number, 1);
    assert_int_equal(window(1)->number, 1);
    assert_int_equal(window(2)->number, 2);
    assert_int_equal(window(2)->counts.received, 1);
}

static void windows_end_in_order_also_without_targets(void **state)
{
    (void)state;
    given_engine();
    given_run(5500);
    assert_int_equal(given.end_count, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(given.ends[i], i + 1);
}

static void an_idle_engine_sleeps_until_its_window_ends(void **state)
{
    uint64_t next;

    (void)state;
    given_engine();
    next = icmp_engine_step(given.engine, &given.now);
    assert_int_equal(next, given.now.mono_ns + MS(1000));
}

static void an_engine_with_probes_in_flight_drains_within_ten_milliseconds(void **state)
{
    uint64_t next;

    (void)state;
    given_one_probe(500);
    next = icmp_engine_step(given.engine, &given.now);
    assert_true(next <= given.now.mono_ns + MS(10));
}

static void a_finished_engine_ends_as_soon_as_the_last_reply_is_there(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 3, MS(900));

    (void)state;
    given_engine();
    given_add(&t);
    icmp_engine_finish(given.engine);
    given_run(680);
    assert_int_equal(fake_wire.sent_count, 3);
    for (size_t i = 0; i < 3; i++)
        given_reply(i, 1);
    given_step();
    assert_int_equal(window(0)->counts.received, 3);
    assert_int_equal(given.ends[0], 1);
    assert_true(icmp_engine_is_finished(given.engine));
    given_run(1000);
    assert_int_equal(given.end_count, 1);
    assert_int_equal(fake_wire.sent_count, 3);
}

static void an_engine_finished_in_its_second_window_ends_with_that(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 2, MS(100));

    (void)state;
    given_engine();
    given_add(&t);
    given_run(1100);
    icmp_engine_finish(given.engine);
    given_run(700);
    assert_true(icmp_engine_is_finished(given.engine));
    assert_int_equal(given.end_count, 2);
    assert_int_equal(fake_wire.sent_count, 4);
}

static void a_finished_engine_takes_no_targets(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 2, MS(100));
    icmp_target_id id;

    (void)state;
    given_engine();
    icmp_engine_finish(given.engine);
    assert_int_equal(icmp_engine_add(given.engine, &t, &given.now, &id), PROBER_ERR_STATE);
}

static void a_removed_target_reports_its_last_window_before_it_goes(void **state)
{
    icmp_target_id id;

    (void)state;
    id = given_one_probe(300);
    icmp_engine_remove(given.engine, id);
    icmp_engine_remove(given.engine, id);
    given_run(100);
    assert_int_equal(given.removed_count, 0);
    given_run(300);
    assert_int_equal(window(0)->counts.lost_timeout, 1);
    assert_int_equal(given.removed_count, 1);
    given_run(3000);
    assert_int_equal(fake_wire.sent_count, 1);
    assert_int_equal(given.window_count, 1);
}

static void the_handle_of_a_removed_target_names_no_other(void **state)
{
    struct icmp_target t = given_target("192.0.2.2", 1, MS(100));
    struct prober_addr other;
    icmp_target_id first, second;

    (void)state;
    first = given_one_probe(100);
    icmp_engine_remove(given.engine, first);
    given_run(7000);
    second = given_add(&t);
    assert_int_not_equal(first, second);
    prober_addr_parse("192.0.2.3", &other);
    icmp_engine_set_address(given.engine, first, &other);
    icmp_engine_remove(given.engine, first);
    given_run(1500);
    assert_int_equal(given.removed_count, 1);
    assert_true(fake_wire.sent_count > 1);
    assert_int_equal(fake_wire.sent[fake_wire.sent_count - 1].departure.to.bytes[3], 2);
}

static void a_new_address_is_for_the_next_probe_and_the_old_may_still_answer(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 2, MS(900));
    struct prober_addr other;
    icmp_target_id id;

    (void)state;
    given_engine();
    id = given_add(&t);
    given_run(5);
    prober_addr_parse("2001:db8::7", &other);
    icmp_engine_set_address(given.engine, id, &other);
    given_run(510);
    given_reply(0, 100);
    given_step();
    given_reply(1, 5);
    given_run(600);
    assert_true(prober_addr_equal(&fake_wire.sent[1].departure.to, &other));
    assert_int_equal(window(0)->counts.received, 2);
}

static void a_target_added_in_a_running_window_gets_the_probes_that_are_left(void **state)
{
    struct icmp_target t = given_target("192.0.2.1", 10, MS(50));

    (void)state;
    given_engine();
    given_run(450);
    given_add(&t);
    given_run(1000);
    assert_int_equal(window(0)->counts.sent, 5);
    assert_int_equal(window(0)->counts.unsent_late, 0);
}

static void transmit_timestamps_of_the_kernel_replace_the_estimate(void **state)
{
    struct icmp_engine_config config = given_config();
    struct icmp_target t = given_target("192.0.2.1", 1, MS(100));
    struct prober_failure why;

    (void)state;
    fake_wire_reset();
    config.timestamps = ICMP_TIMESTAMPS_KERNEL;
    assert_int_equal(given_engine_with(&config, &why), PROBER_OK);
    given_add(&t);
    given_run(5);
    assert_true(fake_wire.stamps);
    fake_deliver_stamp(0, fake_wire.sent[0].sent_real_ns + 400000);
    fake_deliver_stamp(4711, fake_wire.sent[0].sent_real_ns + 500000);
    given_reply(0, 2);
    given_run(10);
    assert_int_equal(window(0)->rtt.sum_ns, MS(2) - 400000);
}

static void a_transmit_timestamp_counts_however_long_the_sender_was_preempted(void **state)
{
    struct icmp_engine_config config = given_config();
    struct icmp_target t = given_target("192.0.2.1", 1, MS(100));
    struct prober_failure why;

    (void)state;
    fake_wire_reset();
    fake_wire.preempted_ns = MS(6);
    config.timestamps = ICMP_TIMESTAMPS_KERNEL;
    assert_int_equal(given_engine_with(&config, &why), PROBER_OK);
    given_add(&t);
    given_run(5);
    fake_deliver_stamp(0, fake_wire.sent[0].sent_real_ns + 10000);
    given_reply(0, 8);
    given_run(10);
    assert_int_equal(window(0)->rtt.sum_ns, MS(8) - 10000);
}

static void settings_out_of_range_are_refused(void **state)
{
    const struct icmp_target good = given_target("192.0.2.1", 1, MS(100));
    struct icmp_target bad[6];
    icmp_target_id id;

    (void)state;
    given_engine();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = good;
    bad[0].count = 0;
    bad[1].count = 65536;
    bad[2].payload_size = ICMP_PAYLOAD_MIN - 1;
    bad[3].payload_size = ICMP_PAYLOAD_MAX + 1;
    bad[4].timeout_ns = MS(1) - 1;
    bad[5].timeout_ns = MS(60000) + 1;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(icmp_engine_add(given.engine, &bad[i], &given.now, &id), PROBER_ERR_RANGE);
}

static void without_permission_nothing_is_made_and_the_reason_told(void **state)
{
    struct icmp_engine_config config = given_config();
    struct prober_failure why = {0};

    (void)state;
    fake_wire_reset();
    fake_wire.denied = true;
    assert_int_equal(given_engine_with(&config, &why), PROBER_ERR_DENIED);
    assert_null(given.engine);
    assert_string_equal(why.text, "denied");
}

#define ENGINE_TEST(name) cmocka_unit_test_setup_teardown(name, NULL, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(a_reply_in_time_is_received_with_its_rtt),
        ENGINE_TEST(no_reply_before_the_timeout_is_a_loss),
        ENGINE_TEST(a_reply_is_judged_by_the_time_of_the_kernel_and_not_by_when_it_is_read),
        ENGINE_TEST(a_reply_after_the_timeout_is_late_and_the_probe_lost),
        ENGINE_TEST(a_reply_after_the_loss_was_told_is_late_in_the_next_window),
        ENGINE_TEST(a_second_reply_is_a_duplicate),
        ENGINE_TEST(a_reply_with_a_wrong_token_does_not_count),
        ENGINE_TEST(a_reply_with_a_wrong_checksum_does_not_count),
        ENGINE_TEST(a_reply_with_a_changed_or_shorter_payload_does_not_count),
        ENGINE_TEST(a_reply_from_another_address_does_not_count),
        ENGINE_TEST(another_program_with_our_identifier_makes_us_take_another_one),
        ENGINE_TEST(a_forced_identifier_stays_whatever_others_send),
        ENGINE_TEST(an_icmp_error_names_the_loss_and_does_not_end_the_probe),
        ENGINE_TEST(eight_quoted_bytes_are_enough_to_name_a_loss),
        ENGINE_TEST(a_reply_in_time_counts_after_an_icmp_error),
        ENGINE_TEST(an_icmp_error_about_another_programs_probe_is_foreign),
        ENGINE_TEST(no_reply_while_the_socket_dropped_packets_is_unknown),
        ENGINE_TEST(drops_before_the_probe_was_sent_do_not_excuse_its_loss),
        ENGINE_TEST(what_was_answered_while_packets_were_dropped_leaves_the_denominator),
        ENGINE_TEST(a_step_of_the_wall_clock_makes_silence_unknown_and_spoils_no_rtt),
        ENGINE_TEST(a_step_while_a_probe_is_in_flight_makes_its_loss_unknown),
        ENGINE_TEST(a_suspend_makes_silence_unknown),
        ENGINE_TEST(what_the_kernel_refuses_is_unsent_by_reason),
        ENGINE_TEST(one_refused_packet_does_not_stop_the_others),
        ENGINE_TEST(a_name_that_did_not_resolve_is_unsent),
        ENGINE_TEST(a_family_that_the_host_lacks_is_unsent_and_the_other_works),
        ENGINE_TEST(an_engine_that_comes_late_by_less_than_an_interval_says_late_sent),
        ENGINE_TEST(an_engine_that_comes_late_by_more_than_an_interval_says_unsent),
        ENGINE_TEST(windows_that_were_slept_through_are_left_out),
        ENGINE_TEST(the_engines_cap_holds_and_the_rest_is_unsent),
        ENGINE_TEST(targets_of_one_address_share_its_cap),
        ENGINE_TEST(probes_are_spread_over_the_window),
        ENGINE_TEST(a_burst_keeps_its_gap_and_begins_at_its_phase),
        ENGINE_TEST(identifier_and_checksum_are_the_same_for_all_probes_to_a_target),
        ENGINE_TEST(ipv6_probes_are_paired_too),
        ENGINE_TEST(a_window_is_open_until_its_last_probe_ended_while_the_next_runs),
        ENGINE_TEST(windows_end_in_order_also_without_targets),
        ENGINE_TEST(an_idle_engine_sleeps_until_its_window_ends),
        ENGINE_TEST(an_engine_with_probes_in_flight_drains_within_ten_milliseconds),
        ENGINE_TEST(a_finished_engine_ends_as_soon_as_the_last_reply_is_there),
        ENGINE_TEST(an_engine_finished_in_its_second_window_ends_with_that),
        ENGINE_TEST(a_finished_engine_takes_no_targets),
        ENGINE_TEST(a_removed_target_reports_its_last_window_before_it_goes),
        ENGINE_TEST(the_handle_of_a_removed_target_names_no_other),
        ENGINE_TEST(a_new_address_is_for_the_next_probe_and_the_old_may_still_answer),
        ENGINE_TEST(a_target_added_in_a_running_window_gets_the_probes_that_are_left),
        ENGINE_TEST(transmit_timestamps_of_the_kernel_replace_the_estimate),
        ENGINE_TEST(a_transmit_timestamp_counts_however_long_the_sender_was_preempted),
        ENGINE_TEST(settings_out_of_range_are_refused),
        ENGINE_TEST(without_permission_nothing_is_made_and_the_reason_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
