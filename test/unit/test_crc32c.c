#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/crc32c.h"

/* RFC 3720, appendix B.4 gives these as bytes in network order of the wire, so mirrored. */
static void the_examples_of_rfc_3720_hold(void **state)
{
    unsigned char bytes[32];
    (void)state;

    memset(bytes, 0, sizeof(bytes));
    assert_true(crc32c(0, bytes, sizeof(bytes)) == 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_true(crc32c(0, bytes, sizeof(bytes)) == 0x62a8ab43);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    assert_true(crc32c(0, bytes, sizeof(bytes)) == 0x46dd794e);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(31 - i);
    assert_true(crc32c(0, bytes, sizeof(bytes)) == 0x113fdb5c);
    assert_true(crc32c(0, "123456789", 9) == 0xe3069283);
}

static void nothing_has_crc_zero(void **state)
{
    (void)state;
    assert_true(crc32c(0, NULL, 0) == 0);
    assert_true(crc32c_portable(0, NULL, 0) == 0);
}

static void the_parts_of_a_buffer_give_the_crc_of_the_whole(void **state)
{
    unsigned char bytes[100];
    uint32_t whole;
    (void)state;

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 37);
    whole = crc32c(0, bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= sizeof(bytes); cut++)
        assert_true(crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof(bytes) - cut) == whole);
}

static void the_portable_way_agrees_at_every_length_and_alignment(void **state)
{
    unsigned char bytes[80];
    (void)state;

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 91 + 3);
    for (size_t from = 0; from < 8; from++)
        for (size_t len = 0; from + len <= sizeof(bytes); len++)
            assert_true(crc32c(5, bytes + from, len) == crc32c_portable(5, bytes + from, len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_rfc_3720_hold),
        cmocka_unit_test(nothing_has_crc_zero),
        cmocka_unit_test(the_parts_of_a_buffer_give_the_crc_of_the_whole),
        cmocka_unit_test(the_portable_way_agrees_at_every_length_and_alignment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
