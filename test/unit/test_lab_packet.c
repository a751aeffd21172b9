#include "test/unit/unit.h"

#include <string.h>

#include "test/lab/packet.h"

/* An echo request 10.77.1.1 -> 10.77.2.1, TTL 64, 16 bytes of data; checksums are filled in. */
static size_t given_echo4(uint8_t *p)
{
    static const uint8_t header[28] = {0x45, 0, 0,  44, 0, 1, 0x40, 0, 64, 1, 0,    0,    10, 77,
                                       1,    1, 10, 77, 2, 1, 8,    0, 0,  0, 0x12, 0x34, 0,  1};

    memcpy(p, header, sizeof(header));
    for (int i = 0; i < 16; i++)
        p[28 + i] = (uint8_t)(i * 7);
    return 44;
}

static size_t given_echo6(uint8_t *p)
{
    static const uint8_t header[48] = {0x60, 0,        0,          0,    0,        24,
                                       58,   64,       [8] = 0xfd, 0x77, [23] = 1, [24] = 0xfd,
                                       0x77, [39] = 2, 128,        0,    0,        0,
                                       0x12, 0x34,     0,          1};

    memcpy(p, header, sizeof(header));
    for (int i = 0; i < 16; i++)
        p[48 + i] = (uint8_t)i;
    return 64;
}

static uint16_t checksum(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void fill_checksums4(uint8_t *p, size_t len)
{
    uint16_t ip = checksum(0, p, 20), icmp = checksum(0, p + 20, len - 20);

    memcpy(p + 10, (uint8_t[]){(uint8_t)(ip >> 8), (uint8_t)ip}, 2);
    memcpy(p + 22, (uint8_t[]){(uint8_t)(icmp >> 8), (uint8_t)icmp}, 2);
}

static void echoes_of_both_families_are_told_from_other_packets(void **state)
{
    uint8_t p[64];
    struct packet_view v;

    (void)state;
    assert_true(packet_parse(p, given_echo4(p), &v));
    assert_int_equal(v.class, PACKET_REQUEST);
    assert_int_equal(v.header_len, 20);
    assert_int_equal(v.destination.bytes[2], 2);
    p[20] = 0;
    assert_true(packet_parse(p, 44, &v));
    assert_int_equal(v.class, PACKET_REPLY);
    p[20] = 3;
    assert_true(packet_parse(p, 44, &v));
    assert_int_equal(v.class, PACKET_ICMP);
    p[9] = 6;
    assert_true(packet_parse(p, 44, &v));
    assert_int_equal(v.class, PACKET_REST);
    assert_true(packet_parse(p, given_echo6(p), &v));
    assert_int_equal(v.class, PACKET_REQUEST);
    assert_int_equal(v.destination.bytes[15], 2);
    p[40] = 129;
    assert_true(packet_parse(p, 64, &v));
    assert_int_equal(v.class, PACKET_REPLY);
}

static void a_later_fragment_is_no_echo(void **state)
{
    uint8_t p[64];
    struct packet_view v;
    size_t len = given_echo4(p);

    (void)state;
    p[7] = 5;
    assert_true(packet_parse(p, len, &v));
    assert_int_equal(v.class, PACKET_ICMP);
}

static void every_shortened_packet_is_refused(void **state)
{
    uint8_t p[64];
    struct packet_view v;

    (void)state;
    for (size_t len = given_echo4(p); len-- > 0;)
        assert_false(packet_parse(p, len, &v));
    for (size_t len = given_echo6(p); len-- > 0;)
        assert_false(packet_parse(p, len, &v));
    given_echo4(p);
    p[0] = 0x41; /* a header shorter than a header */
    assert_false(packet_parse(p, 44, &v));
    p[0] = 0x55;
    assert_false(packet_parse(p, 44, &v));
}

static void ageing_keeps_the_header_checksum_right(void **state)
{
    uint8_t p[64];
    size_t len = given_echo4(p);

    (void)state;
    fill_checksums4(p, len);
    packet_age(p, 5);
    assert_int_equal(p[8], 59);
    assert_int_equal(checksum(0, p, 20), 0);
    given_echo6(p);
    packet_age(p, 3);
    assert_int_equal(p[7], 61);
}

static int differing_bits(const uint8_t *a, const uint8_t *b, size_t len)
{
    int bits = 0;

    for (size_t i = 0; i < len; i++)
        bits += __builtin_popcount(a[i] ^ b[i]);
    return bits;
}

static void corruption_inverts_one_bit_behind_the_ip_header(void **state)
{
    uint8_t whole[64], p[64];
    struct packet_view v;
    size_t len = given_echo4(whole);

    (void)state;
    fill_checksums4(whole, len);
    for (uint64_t dice = 0; dice < 20000; dice += 37) {
        memcpy(p, whole, len);
        assert_true(packet_parse(p, len, &v));
        assert_true(packet_flip_bit(p, &v, dice, false));
        assert_int_equal(differing_bits(p, whole, 20), 0);
        assert_int_equal(differing_bits(p, whole, len), 1);
    }
}

static void damage_leaves_a_right_checksum_over_a_wrong_payload(void **state)
{
    uint8_t whole[64], p[64];
    struct packet_view v;
    size_t len = given_echo4(whole);

    (void)state;
    fill_checksums4(whole, len);
    for (uint64_t dice = 0; dice < 20000; dice += 37) {
        memcpy(p, whole, len);
        assert_true(packet_parse(p, len, &v));
        assert_true(packet_flip_bit(p, &v, dice, true));
        assert_int_equal(differing_bits(p, whole, 22), 0);
        assert_int_equal(differing_bits(p + 28, whole + 28, len - 28), 1);
        assert_int_equal(checksum(0, p + 20, len - 20), 0);
    }
}

static void a_packet_without_payload_cannot_be_corrupted(void **state)
{
    uint8_t p[64];
    struct packet_view v;

    (void)state;
    given_echo4(p);
    p[3] = 20;
    assert_true(packet_parse(p, 20, &v));
    assert_false(packet_flip_bit(p, &v, 12345, false));
    p[3] = 28;
    assert_true(packet_parse(p, 28, &v));
    assert_false(packet_flip_bit(p, &v, 12345, true));
}

static void an_ipv4_error_quotes_the_header_and_as_much_as_was_asked(void **state)
{
    static const struct packet_addr router = {4, {10, 78, 0, 1}};
    uint8_t p[64], error[PACKET_ERROR_MAX];
    struct packet_view v;
    size_t len = given_echo4(p);

    (void)state;
    assert_true(packet_parse(p, len, &v));
    assert_int_equal(packet_write_error(error, PACKET_HOST_UNREACHABLE, &router, p, &v, 8), 56);
    assert_int_equal(error[20], 3);
    assert_int_equal(error[21], 1);
    assert_memory_equal(error + 28, p, 28);
    assert_memory_equal(error + 12, router.bytes, 4);
    assert_memory_equal(error + 16, v.source.bytes, 4);
    assert_int_equal(checksum(0, error, 20), 0);
    assert_int_equal(checksum(0, error + 20, 36), 0);
    assert_int_equal(packet_write_error(error, PACKET_TIME_EXCEEDED, &router, p, &v, 500),
                     28 + len);
    assert_int_equal(error[20], 11);
    assert_int_equal(checksum(0, error + 20, len + 8), 0);
}

static void an_ipv6_error_has_the_checksum_with_the_pseudo_header(void **state)
{
    static const struct packet_addr router = {6, {0xfd, 0x78, [15] = 1}};
    uint8_t p[64], error[PACKET_ERROR_MAX];
    struct packet_view v;
    size_t len = given_echo6(p), written;

    (void)state;
    assert_true(packet_parse(p, len, &v));
    written = packet_write_error(error, PACKET_TIME_EXCEEDED, &router, p, &v, 8);
    assert_int_equal(written, 48 + len);
    assert_int_equal(error[40], 3);
    assert_memory_equal(error + 48, p, len);
    assert_int_equal(checksum((uint32_t)(written - 40) + 58 + (uint16_t)~checksum(0, error + 8, 32),
                              error + 40, written - 40),
                     0);
}

static void nobody_answers_an_icmp_error_with_an_icmp_error(void **state)
{
    static const struct packet_addr router = {4, {10, 78, 0, 1}}, router6 = {6, {0xfd, 0x78}};
    uint8_t p[64], error[PACKET_ERROR_MAX];
    struct packet_view v;
    size_t len = given_echo4(p);

    (void)state;
    assert_true(packet_parse(p, len, &v));
    assert_int_equal(packet_write_error(error, PACKET_TIME_EXCEEDED, &router6, p, &v, 8), 0);
    p[20] = 3;
    assert_true(packet_parse(p, len, &v));
    assert_int_equal(packet_write_error(error, PACKET_TIME_EXCEEDED, &router, p, &v, 8), 0);
    given_echo4(p);
    p[16] = 224;
    assert_true(packet_parse(p, len, &v));
    assert_int_equal(packet_write_error(error, PACKET_TIME_EXCEEDED, &router, p, &v, 8), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_of_both_families_are_told_from_other_packets),
        cmocka_unit_test(a_later_fragment_is_no_echo),
        cmocka_unit_test(every_shortened_packet_is_refused),
        cmocka_unit_test(ageing_keeps_the_header_checksum_right),
        cmocka_unit_test(corruption_inverts_one_bit_behind_the_ip_header),
        cmocka_unit_test(damage_leaves_a_right_checksum_over_a_wrong_payload),
        cmocka_unit_test(a_packet_without_payload_cannot_be_corrupted),
        cmocka_unit_test(an_ipv4_error_quotes_the_header_and_as_much_as_was_asked),
        cmocka_unit_test(an_ipv6_error_has_the_checksum_with_the_pseudo_header),
        cmocka_unit_test(nobody_answers_an_icmp_error_with_an_icmp_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
