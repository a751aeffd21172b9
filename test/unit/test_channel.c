#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/channel.h"

static struct channel *channel;
static struct strbuf frame;
static const void *body;
static size_t body_len;

static int given_a_sealed_frame(void **state)
{
    (void)state;
    return channel_plain_create(&channel) || channel_seal(channel, "hello, mesh", 11, &frame) ? -1
                                                                                              : 0;
}

static int tear_down(void **state)
{
    (void)state;
    channel_destroy(channel);
    strbuf_free(&frame);
    return 0;
}

static enum prober_error open_frame(void)
{
    return channel_open(channel, frame.bytes, frame.len, &body, &body_len);
}

static void what_was_sealed_is_opened_in_place(void **state)
{
    (void)state;
    assert_int_equal(frame.len, CHANNEL_HEADER_LEN + 11);
    assert_int_equal(open_frame(), PROBER_OK);
    assert_int_equal(body_len, 11);
    assert_ptr_equal(body, frame.bytes + CHANNEL_HEADER_LEN);
    assert_memory_equal(body, "hello, mesh", 11);
}

static void the_frame_is_what_the_header_says(void **state)
{
    static const unsigned char expected[] = {'P', 'M', 'S', 'H',  1,    0,    0,    0,   0,
                                             0,   0,   9,   0xe3, 0x06, 0x92, 0x83, '1', '2',
                                             '3', '4', '5', '6',  '7',  '8',  '9'};
    (void)state;

    assert_int_equal(channel_seal(channel, "123456789", 9, &frame), PROBER_OK);
    assert_int_equal(frame.len, sizeof(expected));
    assert_memory_equal(frame.bytes, expected, sizeof(expected));
}

static void an_empty_body_passes(void **state)
{
    (void)state;
    assert_int_equal(channel_seal(channel, NULL, 0, &frame), PROBER_OK);
    assert_int_equal(open_frame(), PROBER_OK);
    assert_int_equal(body_len, 0);
}

static void a_flipped_bit_anywhere_is_noticed(void **state)
{
    (void)state;
    for (size_t i = 0; i < 8 * frame.len; i++) {
        frame.bytes[i / 8] ^= (char)(1 << i % 8);
        assert_int_not_equal(open_frame(), PROBER_OK);
        frame.bytes[i / 8] ^= (char)(1 << i % 8);
    }
    assert_int_equal(open_frame(), PROBER_OK);
}

static void a_frame_cut_short_or_too_long_is_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len < frame.len; len++) {
        char *copy = malloc(len ? len : 1); /* so that a read past the end is seen */

        memcpy(copy, frame.bytes, len);
        assert_int_equal(channel_open(channel, copy, len, &body, &body_len), PROBER_ERR_PROTOCOL);
        free(copy);
    }
    strbuf_putc(&frame, 'x');
    assert_int_equal(open_frame(), PROBER_ERR_PROTOCOL);
}

static void a_later_frame_version_is_told_apart_from_garbage(void **state)
{
    (void)state;
    frame.bytes[4] = 2;
    assert_int_equal(open_frame(), PROBER_ERR_VERSION);
    assert_int_equal(channel_open(channel, frame.bytes, 5, &body, &body_len), PROBER_ERR_VERSION);
    frame.bytes[4] = 0;
    assert_int_equal(open_frame(), PROBER_ERR_PROTOCOL);
}

static void a_body_over_the_bound_is_not_sealed(void **state)
{
    char *large = calloc(1, CHANNEL_BODY_MAX + 1);
    (void)state;

    assert_int_equal(channel_seal(channel, large, CHANNEL_BODY_MAX + 1, &frame), PROBER_ERR_RANGE);
    assert_int_equal(channel_seal(channel, large, CHANNEL_BODY_MAX, &frame), PROBER_OK);
    assert_int_equal(open_frame(), PROBER_OK);
    assert_int_equal(body_len, CHANNEL_BODY_MAX);
    free(large);
}

static void a_plain_channel_proves_no_identity(void **state)
{
    (void)state;
    assert_false(channel_is_authenticated(channel));
    channel_destroy(NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, given_a_sealed_frame, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_was_sealed_is_opened_in_place),
        TEST(the_frame_is_what_the_header_says),
        TEST(an_empty_body_passes),
        TEST(a_flipped_bit_anywhere_is_noticed),
        TEST(a_frame_cut_short_or_too_long_is_refused),
        TEST(a_later_frame_version_is_told_apart_from_garbage),
        TEST(a_body_over_the_bound_is_not_sealed),
        TEST(a_plain_channel_proves_no_identity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
