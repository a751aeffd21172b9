#include "libprober/http_body.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

static struct http_body *body;
static void *packed;
static size_t packed_len;

static int set_up(void **state)
{
    (void)state;
    body = NULL;
    packed = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_body_destroy(body);
    free(packed);
    return 0;
}

static void given(enum compress_coding coding, uint64_t limit, bool kept)
{
    const struct http_body_config config = {coding, limit, kept, 0};

    assert_int_equal(http_body_create(&body, &config), PROBER_OK);
}

static void given_packed_zeros(size_t len)
{
    void *zeros = calloc(1, len);

    assert_int_equal(compress_gzip(zeros, len, 1, &packed, &packed_len), PROBER_OK);
    free(zeros);
}

static void a_kept_body_is_there_to_be_searched(void **state)
{
    size_t len;

    (void)state;
    given(COMPRESS_IDENTITY, 0, true);
    assert_string_equal(http_body_text(body, &len), "");
    assert_int_equal(len, 0);
    http_body_feed(body, "good\0", 5);
    http_body_feed(body, "day", 3);
    assert_memory_equal(http_body_text(body, &len), "good\0day", 8);
    assert_int_equal(len, 8);
    assert_int_equal(http_body_end(body), PROBER_OK);
}

static void only_the_beginning_of_a_body_may_be_kept(void **state)
{
    const struct http_body_config config = {COMPRESS_IDENTITY, 0, false, 6};
    size_t len;

    (void)state;
    assert_int_equal(http_body_create(&body, &config), PROBER_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(http_body_feed(body, "abcd", 4), PROBER_OK);
    assert_memory_equal(http_body_text(body, &len), "abcdab", 6);
    assert_int_equal(len, 6);
    assert_int_equal(http_body_decoded(body), 12);
}

static void a_body_that_nobody_searches_is_only_counted(void **state)
{
    size_t len;

    (void)state;
    given(COMPRESS_IDENTITY, 0, false);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(http_body_feed(body, "0123456789", 10), PROBER_OK);
    assert_int_equal(http_body_decoded(body), 10000);
    assert_int_equal(http_body_received(body), 10000);
    http_body_text(body, &len);
    assert_int_equal(len, 0);
}

static void exactly_the_limit_is_fine_and_one_byte_more_is_not(void **state)
{
    size_t len;

    (void)state;
    given(COMPRESS_IDENTITY, 1024, true);
    for (int i = 0; i < 128; i++)
        assert_int_equal(http_body_feed(body, "01234567", 8), PROBER_OK);
    assert_int_equal(http_body_end(body), PROBER_OK);
    assert_int_equal(http_body_feed(body, "x", 1), PROBER_ERR_RANGE);
    assert_int_equal(http_body_end(body), PROBER_ERR_RANGE);
    assert_int_equal(http_body_decoded(body), 1024);
    http_body_text(body, &len);
    assert_int_equal(len, 1024);
}

static void the_limit_is_on_what_is_decoded(void **state)
{
    (void)state;
    given_packed_zeros(100000);
    given(COMPRESS_GZIP, 100000, false);
    assert_int_equal(http_body_feed(body, packed, packed_len), PROBER_OK);
    assert_int_equal(http_body_end(body), PROBER_OK);
    assert_int_equal(http_body_received(body), packed_len);
    http_body_destroy(body);
    given(COMPRESS_GZIP, 99999, false);
    assert_int_equal(http_body_feed(body, packed, packed_len), PROBER_ERR_RANGE);
    assert_int_equal(http_body_decoded(body), 99999);
}

static void a_bomb_is_unpacked_no_further_than_the_limit(void **state)
{
    size_t len;

    (void)state;
    given_packed_zeros(60 << 20);
    given(COMPRESS_GZIP, 1 << 20, true);
    assert_int_equal(http_body_feed(body, packed, packed_len), PROBER_ERR_RANGE);
    assert_int_equal(http_body_decoded(body), 1 << 20);
    http_body_text(body, &len);
    assert_int_equal(len, 1 << 20);
}

static void what_is_kept_is_bounded_without_a_limit_too(void **state)
{
    static const char chunk[1 << 16];

    (void)state;
    given(COMPRESS_IDENTITY, 0, true);
    for (size_t i = 0; i < HTTP_BODY_KEPT_MAX / sizeof(chunk); i++)
        assert_int_equal(http_body_feed(body, chunk, sizeof(chunk)), PROBER_OK);
    assert_int_equal(http_body_feed(body, chunk, 1), PROBER_ERR_RANGE);
}

static void a_body_cut_short_or_damaged_is_told_apart_from_a_large_one(void **state)
{
    (void)state;
    given_packed_zeros(1000);
    given(COMPRESS_GZIP, 1000, false);
    assert_int_equal(http_body_feed(body, packed, packed_len - 1), PROBER_OK);
    assert_int_equal(http_body_end(body), PROBER_ERR_SYNTAX);
    http_body_destroy(body);
    given(COMPRESS_GZIP, 1000, false);
    assert_int_equal(http_body_feed(body, "<html>", 6), PROBER_ERR_SYNTAX);
    assert_int_equal(http_body_decoded(body), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_kept_body_is_there_to_be_searched),
        TEST(only_the_beginning_of_a_body_may_be_kept),
        TEST(a_body_that_nobody_searches_is_only_counted),
        TEST(exactly_the_limit_is_fine_and_one_byte_more_is_not),
        TEST(the_limit_is_on_what_is_decoded),
        TEST(a_bomb_is_unpacked_no_further_than_the_limit),
        TEST(what_is_kept_is_bounded_without_a_limit_too),
        TEST(a_body_cut_short_or_damaged_is_told_apart_from_a_large_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
