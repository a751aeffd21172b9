#include "libprober/trace_packet.h"

#include <string.h>

#include "common/array.h"
#include "unit.h"

#define ROOM 512

static struct prober_addr addr(const char *text)
{
    struct prober_addr a;

    assert_int_equal(prober_addr_parse(text, &a), PROBER_OK);
    return a;
}

static struct trace_flow given_flow(enum trace_protocol protocol, bool v6)
{
    return (struct trace_flow){
        .protocol = protocol,
        .source = addr(v6 ? "2001:db8::1" : "192.0.2.1"),
        .target = addr(v6 ? "2001:db8::9" : "198.51.100.9"),
        .identifier = 0x4711,
        .port = 33434,
        .checksum = 0x1234,
        .key = {1, 2},
    };
}

/* An ICMP message being built. */
struct message {
    uint8_t bytes[ROOM];
    size_t len;
    bool v6;
};

static void seal(struct message *m)
{
    uint16_t sum;

    m->bytes[2] = m->bytes[3] = 0;
    sum = (uint16_t)~icmp_sum(m->bytes, m->len);
    m->bytes[2] = (uint8_t)(sum >> 8);
    m->bytes[3] = (uint8_t)sum;
}

/* The error of a router that quotes `quoted` bytes of the probe beyond its IP header. */
static struct message given_error(const struct trace_flow *flow, uint16_t number, uint8_t type,
                                  uint8_t code, size_t quoted)
{
    struct message m = {.v6 = flow->target.family == PROBER_FAMILY_IPV6};
    uint8_t probe[TRACE_PACKET_SIZE], *ip = m.bytes + 8;
    size_t header = m.v6 ? 40 : 20;

    trace_write_probe(probe, flow, number);
    m.bytes[0] = type;
    m.bytes[1] = code;
    ip[0] = m.v6 ? 0x60 : 0x45;
    if (m.v6) {
        ip[6] = flow->protocol == TRACE_UDP ? 17 : 58;
        memcpy(ip + 8, flow->source.bytes, 16);
        memcpy(ip + 24, flow->target.bytes, 16);
    } else {
        ip[8] = 1;
        ip[9] = flow->protocol == TRACE_UDP ? 17 : 1;
        memcpy(ip + 12, flow->source.bytes, 4);
        memcpy(ip + 16, flow->target.bytes, 4);
    }
    memcpy(ip + header, probe, quoted);
    m.len = 8 + header + quoted;
    seal(&m);
    return m;
}

static struct message given_exceeded(const struct trace_flow *flow, uint16_t number, size_t quoted)
{
    return given_error(flow, number, flow->target.family == PROBER_FAMILY_IPV6 ? 3 : 11, 0, quoted);
}

static struct trace_answer read_message(const struct message *m)
{
    struct trace_answer answer;

    trace_read_answer(m->v6 ? PROBER_FAMILY_IPV6 : PROBER_FAMILY_IPV4, m->bytes, m->len, &answer);
    return answer;
}

static uint16_t match(const struct trace_flow *flow, const struct message *m)
{
    struct trace_answer answer = read_message(m);

    return trace_match(flow, &answer);
}

/* The parts that routers may choose a way by. */
static void all_probes_of_a_trace_are_one_flow(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        for (int protocol = TRACE_ICMP; protocol <= TRACE_UDP; protocol++) {
            struct trace_flow flow = given_flow((enum trace_protocol)protocol, v6);
            uint8_t first[TRACE_PACKET_SIZE], other[TRACE_PACKET_SIZE];
            size_t same = protocol == TRACE_UDP ? 6 : v6 ? 2 : 6;

            trace_write_probe(first, &flow, 1);
            for (uint16_t number = 2; number < 300; number++) {
                trace_write_probe(other, &flow, number);
                assert_memory_equal(first, other, same);
                if (protocol == TRACE_ICMP)
                    assert_int_equal(icmp_sum(first, sizeof(first)),
                                     icmp_sum(other, sizeof(other)));
            }
        }
    }
}

static void the_checksum_of_a_datagram_is_its_number_and_is_right(void **state)
{
    static const uint16_t numbers[] = {1, 2, 0x00ff, 0x1234, 0xff00, TRACE_NUMBER_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(numbers) * 2; i++) {
        struct trace_flow flow = given_flow(TRACE_UDP, i % 2);
        size_t size = i % 2 ? 16 : 4;
        uint8_t all[32 + 4 + TRACE_PACKET_SIZE] = {0};

        memcpy(all, flow.source.bytes, size);
        memcpy(all + size, flow.target.bytes, size);
        all[2 * size + 1] = 17;
        all[2 * size + 3] = TRACE_PACKET_SIZE;
        trace_write_probe(all + 2 * size + 4, &flow, numbers[i / 2]);
        assert_int_equal(icmp_sum(all, 2 * size + 4 + TRACE_PACKET_SIZE), 0xffff);
        assert_int_equal(all[2 * size + 10] << 8 | all[2 * size + 11], numbers[i / 2]);
    }
}

static void an_error_that_quotes_eight_bytes_or_more_names_its_probe(void **state)
{
    static const size_t quoted[] = {8, 9, 31, TRACE_PACKET_SIZE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(quoted) * 4; i++) {
        struct trace_flow flow = given_flow(i & 1 ? TRACE_UDP : TRACE_ICMP, i & 2);
        struct message m = given_exceeded(&flow, 77, quoted[i / 4]);
        struct trace_answer answer = read_message(&m);

        assert_int_equal(answer.message, TRACE_TTL_EXCEEDED);
        assert_int_equal(answer.is_marked, quoted[i / 4] == TRACE_PACKET_SIZE);
        assert_int_equal(trace_match(&flow, &answer), 77);
    }
}

static void a_shorter_quote_is_no_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < 8 * 4; i++) {
        struct trace_flow flow = given_flow(i & 1 ? TRACE_UDP : TRACE_ICMP, i & 2);
        struct message m = given_exceeded(&flow, 77, i / 4);

        assert_int_equal(read_message(&m).message, TRACE_NO_ANSWER);
    }
}

static void a_quote_of_another_flow_does_not_match(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * 4; i++) {
        struct trace_flow flow = given_flow(i & 1 ? TRACE_UDP : TRACE_ICMP, i & 2), other;
        size_t quoted = i & 4 ? TRACE_PACKET_SIZE : 8;
        struct message m = given_exceeded(&flow, 5, quoted);

        other = flow;
        other.identifier++;
        assert_int_equal(match(&other, &m), 0);
        other = flow;
        other.protocol = other.protocol == TRACE_UDP ? TRACE_ICMP : TRACE_UDP;
        assert_int_equal(match(&other, &m), 0);
        other = flow;
        other.target.bytes[3]++;
        assert_int_equal(match(&other, &m), 0);
        other = flow;
        other.key.k0++;
        assert_int_equal(match(&other, &m), quoted == 8 ? 5 : 0);
        if (quoted == 8 && !(i & 2)) {
            other = flow;
            other.checksum++;
            other.port++;
            assert_int_equal(match(&other, &m), 0);
        }
    }
}

static void a_changed_mark_does_not_match(void **state)
{
    struct trace_flow flow = given_flow(TRACE_ICMP, false);

    (void)state;
    for (size_t at = 12; at < TRACE_PACKET_SIZE; at++) {
        struct message m = given_exceeded(&flow, 5, TRACE_PACKET_SIZE);

        m.bytes[8 + 20 + at] ^= 1;
        seal(&m);
        assert_int_equal(match(&flow, &m), 0);
    }
}

static void a_port_changed_on_the_way_is_no_obstacle_to_a_token(void **state)
{
    struct trace_flow flow = given_flow(TRACE_UDP, false);
    struct message m = given_exceeded(&flow, 5, TRACE_PACKET_SIZE);

    (void)state;
    m.bytes[8 + 20 + 6] ^= 1; /* as a translator of addresses mends the checksum */
    seal(&m);
    assert_int_equal(match(&flow, &m), 5);
}

static void a_corrupt_message_is_no_answer(void **state)
{
    struct trace_flow flow = given_flow(TRACE_ICMP, false);
    struct message m = given_exceeded(&flow, 5, 8);

    (void)state;
    m.bytes[2] ^= 1;
    assert_int_equal(read_message(&m).message, TRACE_NO_ANSWER);
}

static void messages_of_no_concern_are_no_answers(void **state)
{
    static const struct {
        uint8_t type, code;
        bool v6;
    } list[] = {{8, 0, false}, {11, 1, false}, {5, 0, false},  {12, 0, false}, {0, 1, false},
                {2, 0, true},  {3, 1, true},   {128, 0, true}, {4, 1, true},   {129, 1, true}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        struct trace_flow flow = given_flow(TRACE_ICMP, list[i].v6);
        struct message m = given_error(&flow, 5, list[i].type, list[i].code, TRACE_PACKET_SIZE);

        assert_int_equal(read_message(&m).message, TRACE_NO_ANSWER);
    }
}

static void a_quoted_fragment_or_another_protocol_is_no_answer(void **state)
{
    struct trace_flow flow = given_flow(TRACE_ICMP, false);
    struct message m = given_exceeded(&flow, 5, TRACE_PACKET_SIZE);

    (void)state;
    m.bytes[8 + 7] = 1;
    seal(&m);
    assert_int_equal(read_message(&m).message, TRACE_NO_ANSWER);
    m.bytes[8 + 7] = 0;
    m.bytes[8 + 9] = 6;
    seal(&m);
    assert_int_equal(read_message(&m).message, TRACE_NO_ANSWER);
    m.bytes[8 + 9] = 1;
    m.bytes[8 + 20] = 0; /* an echo reply */
    seal(&m);
    assert_int_equal(read_message(&m).message, TRACE_NO_ANSWER);
}

static void an_echo_reply_matches_by_its_token_alone(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        struct trace_flow flow = given_flow(TRACE_ICMP, v6), other = flow;
        struct message m = {.len = TRACE_PACKET_SIZE, .v6 = v6};

        trace_write_probe(m.bytes, &flow, 9);
        m.bytes[0] = v6 ? 129 : 0;
        seal(&m);
        assert_int_equal(read_message(&m).message, TRACE_ECHO_REPLY);
        assert_int_equal(match(&flow, &m), 9);
        other.key.k1++;
        assert_int_equal(match(&other, &m), 0);
        m.len = TRACE_PACKET_SIZE - 1;
        seal(&m);
        assert_int_equal(match(&flow, &m), 0);
    }
}

/* Appends an extension with an object of that class and type behind a quote padded to 128 bytes. */
static void extend(struct message *m, bool is_told, uint8_t class, const uint8_t *entries,
                   size_t len)
{
    uint8_t *at = m->bytes + 8 + 128;
    uint16_t sum;

    m->len = 8 + 128 + 4 + 4 + len;
    memset(at, 0, 8);
    at[0] = 0x20;
    at[5] = (uint8_t)(4 + len);
    at[6] = class;
    at[7] = 1;
    memcpy(at + 8, entries, len);
    sum = (uint16_t)~icmp_sum(at, 8 + len);
    at[2] = (uint8_t)(sum >> 8);
    at[3] = (uint8_t)sum;
    if (is_told)
        m->bytes[m->v6 ? 4 : 5] = m->v6 ? 16 : 32;
    seal(m);
}

static const uint8_t two_labels[] = {0x12, 0x34, 0x5a, 1, 0x00, 0x01, 0x01, 255};

static void labels_of_mpls_are_read_from_extensions(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct trace_flow flow = given_flow(TRACE_UDP, i & 1);
        struct message m = given_exceeded(&flow, 5, TRACE_PACKET_SIZE);
        struct trace_answer a;

        extend(&m, i & 2, 1, two_labels, sizeof(two_labels));
        a = read_message(&m);
        assert_int_equal(trace_match(&flow, &a), 5);
        assert_int_equal(a.label_count, 2);
        assert_int_equal(a.labels[0].label, 0x12345);
        assert_int_equal(a.labels[0].class, 5);
        assert_int_equal(a.labels[0].ttl, 1);
        assert_false(a.labels[0].is_last);
        assert_int_equal(a.labels[1].label, 0x10);
        assert_true(a.labels[1].is_last);
        assert_int_equal(a.labels[1].ttl, 255);
    }
}

static void bad_extensions_are_left_aside(void **state)
{
    struct trace_flow flow = given_flow(TRACE_ICMP, false);
    uint8_t many[4 * (TRACE_LABELS_MAX + 3)] = {0};
    struct message good = given_exceeded(&flow, 5, TRACE_PACKET_SIZE), m;

    (void)state;
    extend(&good, true, 2, two_labels, sizeof(two_labels)); /* of another class */
    assert_int_equal(read_message(&good).label_count, 0);
    extend(&good, true, 1, many, sizeof(many));
    assert_int_equal(read_message(&good).label_count, TRACE_LABELS_MAX);
    extend(&good, true, 1, two_labels, sizeof(two_labels));
    for (size_t cut = 1; cut < 16; cut++) {
        m = good;
        m.len -= cut;
        seal(&m);
        assert_int_equal(read_message(&m).label_count, 0);
        assert_int_equal(match(&flow, &m), 5);
    }
    for (size_t at = 0; at < 8; at++) {
        m = good;
        m.bytes[8 + 128 + at] ^= 0x40;
        seal(&m);
        assert_int_equal(read_message(&m).label_count, 0);
        assert_int_equal(match(&flow, &m), 5);
    }
    m = good;
    m.bytes[5] = 255; /* more than there is */
    seal(&m);
    assert_int_equal(match(&flow, &m), 5);
    m.bytes[5] = 7; /* the quote ends after 8 bytes of the probe */
    seal(&m);
    assert_false(read_message(&m).is_marked);
    assert_int_equal(match(&flow, &m), 5);
}

static void every_code_has_words(void **state)
{
    (void)state;
    assert_string_equal(trace_unreachable_sign(PROBER_FAMILY_IPV4, 1), "!H");
    assert_string_equal(trace_unreachable_sign(PROBER_FAMILY_IPV4, 0), "!N");
    assert_string_equal(trace_unreachable_sign(PROBER_FAMILY_IPV4, 13), "!X");
    assert_string_equal(trace_unreachable_sign(PROBER_FAMILY_IPV6, 3), "!H");
    assert_string_equal(trace_unreachable_text(PROBER_FAMILY_IPV6, 1),
                        "administratively prohibited");
    for (int code = 0; code < 256; code++)
        assert_non_null(trace_unreachable_text(PROBER_FAMILY_IPV4, (uint8_t)code));
    assert_string_equal(trace_unreachable_sign(PROBER_FAMILY_IPV6, 255), "!?");
    assert_true(trace_is_port_unreachable(PROBER_FAMILY_IPV4, 3));
    assert_false(trace_is_port_unreachable(PROBER_FAMILY_IPV6, 3));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_probes_of_a_trace_are_one_flow),
        cmocka_unit_test(the_checksum_of_a_datagram_is_its_number_and_is_right),
        cmocka_unit_test(an_error_that_quotes_eight_bytes_or_more_names_its_probe),
        cmocka_unit_test(a_shorter_quote_is_no_answer),
        cmocka_unit_test(a_quote_of_another_flow_does_not_match),
        cmocka_unit_test(a_changed_mark_does_not_match),
        cmocka_unit_test(a_port_changed_on_the_way_is_no_obstacle_to_a_token),
        cmocka_unit_test(a_corrupt_message_is_no_answer),
        cmocka_unit_test(messages_of_no_concern_are_no_answers),
        cmocka_unit_test(a_quoted_fragment_or_another_protocol_is_no_answer),
        cmocka_unit_test(an_echo_reply_matches_by_its_token_alone),
        cmocka_unit_test(labels_of_mpls_are_read_from_extensions),
        cmocka_unit_test(bad_extensions_are_left_aside),
        cmocka_unit_test(every_code_has_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
