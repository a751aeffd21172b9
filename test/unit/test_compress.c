#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/compress.h"

#define LEN 100000

static char text[LEN];
static void *packed, *unpacked;
static size_t packed_len, unpacked_len;

static int given_a_packed_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN; i++)
        text[i] = (char)('a' + i * i % 17);
    packed = unpacked = NULL;
    return compress_gzip(text, LEN, 1, &packed, &packed_len) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(packed);
    free(unpacked);
    return 0;
}

static enum prober_error unpack(size_t len, size_t max)
{
    return compress_gunzip(packed, len, max, &unpacked, &unpacked_len);
}

static void what_was_packed_comes_out_the_same(void **state)
{
    (void)state;
    assert_true(packed_len < LEN / 10);
    assert_memory_equal(packed, "\x1f\x8b\x08", 3);
    assert_int_equal(unpack(packed_len, LEN), PROBER_OK);
    assert_int_equal(unpacked_len, LEN);
    assert_memory_equal(unpacked, text, LEN);
}

static void nothing_can_be_packed_too(void **state)
{
    (void)state;
    free(packed);
    assert_int_equal(compress_gzip("", 0, 9, &packed, &packed_len), PROBER_OK);
    assert_int_equal(unpack(packed_len, 0), PROBER_OK);
    assert_int_equal(unpacked_len, 0);
}

static void more_content_than_allowed_is_refused(void **state)
{
    (void)state;
    assert_int_equal(unpack(packed_len, LEN - 1), PROBER_ERR_RANGE);
    assert_int_equal(unpack(packed_len, 0), PROBER_ERR_RANGE);
    assert_int_equal(unpack(packed_len, 4096), PROBER_ERR_RANGE);
    assert_null(unpacked);
}

static void a_member_cut_short_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len < packed_len; len++)
        assert_int_equal(unpack(len, LEN), PROBER_ERR_SYNTAX);
}

static void damage_is_noticed(void **state)
{
    (void)state;
    ((unsigned char *)packed)[packed_len - 6] ^= 1; /* in the CRC */
    assert_int_equal(unpack(packed_len, LEN), PROBER_ERR_SYNTAX);
    assert_int_equal(compress_gunzip("no gzip", 7, LEN, &unpacked, &unpacked_len),
                     PROBER_ERR_SYNTAX);
}

static void what_follows_the_member_is_refused(void **state)
{
    (void)state;
    packed = realloc(packed, packed_len + 1);
    ((char *)packed)[packed_len] = 'x';
    assert_int_equal(unpack(packed_len + 1, LEN), PROBER_ERR_SYNTAX);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, given_a_packed_text, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_was_packed_comes_out_the_same),
        TEST(nothing_can_be_packed_too),
        TEST(more_content_than_allowed_is_refused),
        TEST(a_member_cut_short_anywhere_is_refused),
        TEST(damage_is_noticed),
        TEST(what_follows_the_member_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
