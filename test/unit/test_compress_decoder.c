#include <stdlib.h>
#include <string.h>

#include "common/compress.h"
#include "common/strbuf.h"
#include "unit.h"

#define TEXT "a probe, a probe, a probe, a probe, a probe\n"

/* The text above, as raw deflate, and as brotli. */
#define DEFLATED "\x4b\x54\x28\x28\xca\x4f\x4a\xd5\x51\x48\x24\xc8\xe0\x02\x00"
#define BROTLI                                                                                     \
    "\x1b\x2b\x00\xf8\x1d\xa9\x53\x9f\xbb\x70\x0d\x12\x06\x27\x27\x15\x58\xc4\xaa\xec\xad"         \
    "\x14\xe9\x27\x18\x98\xd2\x17\x00"

struct stream {
    struct compress_decoder *decoder;
    struct strbuf out;
    size_t max; /* what the sink takes */
    void *packed;
    size_t packed_len;
};

static struct stream stream;

static int set_up(void **state)
{
    (void)state;
    memset(&stream, 0, sizeof(stream));
    stream.max = SIZE_MAX;
    return compress_gzip(TEXT, strlen(TEXT), 6, &stream.packed, &stream.packed_len) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    compress_decoder_destroy(stream.decoder);
    strbuf_free(&stream.out);
    free(stream.packed);
    return 0;
}

static enum prober_error keep(void *context, const void *bytes, size_t len)
{
    (void)context;
    assert_true(len > 0);
    if (stream.out.len + len > stream.max)
        return PROBER_ERR_RANGE;
    strbuf_put(&stream.out, bytes, len);
    return PROBER_OK;
}

static void given(enum compress_coding coding)
{
    compress_decoder_destroy(stream.decoder);
    strbuf_clear(&stream.out);
    assert_int_equal(compress_decoder_create(&stream.decoder, coding), PROBER_OK);
}

static enum prober_error feed(const void *bytes, size_t len)
{
    return compress_decoder_feed(stream.decoder, bytes, len, keep, NULL);
}

static enum prober_error whole(enum compress_coding coding, const void *bytes, size_t len,
                               size_t step)
{
    enum prober_error err = PROBER_OK;

    given(coding);
    for (size_t i = 0; i < len && !err; i += step)
        err = feed((const char *)bytes + i, step < len - i ? step : len - i);
    return err ? err : compress_decoder_end(stream.decoder);
}

static void assert_decoded(enum compress_coding coding, const void *bytes, size_t len)
{
    for (size_t step = 1; step <= len; step++) {
        assert_int_equal(whole(coding, bytes, len, step), PROBER_OK);
        assert_int_equal(stream.out.len, strlen(TEXT));
        assert_memory_equal(stream.out.bytes, TEXT, strlen(TEXT));
    }
}

static void each_coding_decodes_in_pieces_of_any_size(void **state)
{
    (void)state;
    assert_decoded(COMPRESS_IDENTITY, TEXT, strlen(TEXT));
    assert_decoded(COMPRESS_GZIP, stream.packed, stream.packed_len);
    assert_decoded(COMPRESS_DEFLATE, DEFLATED, sizeof(DEFLATED) - 1);
    assert_decoded(COMPRESS_BROTLI, BROTLI, sizeof(BROTLI) - 1);
}

static void a_stream_cut_short_anywhere_is_noticed(void **state)
{
    static const struct {
        enum compress_coding coding;
        const char *bytes;
        size_t len;
    } cases[] = {
        {COMPRESS_DEFLATE, DEFLATED, sizeof(DEFLATED) - 1},
        {COMPRESS_BROTLI, BROTLI, sizeof(BROTLI) - 1},
    };

    (void)state;
    for (size_t i = 0; i < stream.packed_len; i++)
        assert_int_equal(whole(COMPRESS_GZIP, stream.packed, i, 4), PROBER_ERR_SYNTAX);
    for (size_t c = 0; c < 2; c++)
        for (size_t i = 0; i < cases[c].len; i++)
            assert_int_equal(whole(cases[c].coding, cases[c].bytes, i, 4), PROBER_ERR_SYNTAX);
}

static void nothing_is_a_stream_only_uncoded(void **state)
{
    (void)state;
    assert_int_equal(whole(COMPRESS_IDENTITY, "", 0, 1), PROBER_OK);
    assert_int_equal(whole(COMPRESS_GZIP, "", 0, 1), PROBER_ERR_SYNTAX);
    assert_int_equal(whole(COMPRESS_DEFLATE, "", 0, 1), PROBER_ERR_SYNTAX);
    assert_int_equal(whole(COMPRESS_BROTLI, "", 0, 1), PROBER_ERR_SYNTAX);
}

static void gzip_may_have_several_members(void **state)
{
    struct strbuf two = STRBUF_INIT;

    (void)state;
    strbuf_put(&two, stream.packed, stream.packed_len);
    strbuf_put(&two, stream.packed, stream.packed_len);
    for (size_t step = 1; step <= two.len; step++) {
        assert_int_equal(whole(COMPRESS_GZIP, two.bytes, two.len, step), PROBER_OK);
        assert_string_equal(stream.out.bytes, TEXT TEXT);
    }
    for (size_t i = stream.packed_len + 1; i < two.len; i++)
        assert_int_equal(whole(COMPRESS_GZIP, two.bytes, i, two.len), PROBER_ERR_SYNTAX);
    strbuf_free(&two);
}

static void what_follows_a_stream_is_refused_but_after_deflate(void **state)
{
    (void)state;
    for (size_t len = 1; len < 4; len++) {
        assert_int_equal(whole(COMPRESS_GZIP, stream.packed, stream.packed_len, 99), PROBER_OK);
        feed("\0\0\0", len);
        assert_int_equal(compress_decoder_end(stream.decoder), PROBER_ERR_SYNTAX);
        assert_int_equal(whole(COMPRESS_BROTLI, BROTLI, sizeof(BROTLI) - 1, 99), PROBER_OK);
        assert_int_equal(feed("xxx", len), PROBER_ERR_SYNTAX);
    }
    assert_int_equal(whole(COMPRESS_BROTLI, BROTLI "x", sizeof(BROTLI), 99), PROBER_ERR_SYNTAX);
    assert_int_equal(whole(COMPRESS_DEFLATE, DEFLATED "x", sizeof(DEFLATED), 99), PROBER_OK);
    assert_int_equal(feed("xxx", 3), PROBER_OK);
    assert_string_equal(stream.out.bytes, TEXT);
}

static void damage_and_other_codings_are_refused(void **state)
{
    unsigned char *crc = (unsigned char *)stream.packed + stream.packed_len - 8;

    (void)state;
    assert_int_equal(whole(COMPRESS_GZIP, TEXT, strlen(TEXT), 99), PROBER_ERR_SYNTAX);
    assert_int_equal(whole(COMPRESS_DEFLATE, stream.packed, stream.packed_len, 99),
                     PROBER_ERR_SYNTAX);
    assert_int_equal(stream.out.len, 0);
    assert_int_equal(whole(COMPRESS_DEFLATE, "\x78\x9c" DEFLATED, sizeof(DEFLATED) + 1, 99),
                     PROBER_ERR_SYNTAX); /* zlib's wrapper */
    assert_int_equal(whole(COMPRESS_BROTLI, TEXT, strlen(TEXT), 99), PROBER_ERR_SYNTAX);
    crc[0] ^= 1;
    assert_int_equal(whole(COMPRESS_GZIP, stream.packed, stream.packed_len, 99), PROBER_ERR_SYNTAX);
}

static void an_error_stays(void **state)
{
    (void)state;
    stream.max = 4;
    given(COMPRESS_IDENTITY);
    assert_int_equal(feed("12345", 5), PROBER_ERR_RANGE);
    assert_int_equal(feed("1", 1), PROBER_ERR_RANGE);
    assert_int_equal(compress_decoder_end(stream.decoder), PROBER_ERR_RANGE);
    assert_int_equal(stream.out.len, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_coding_decodes_in_pieces_of_any_size),
        TEST(a_stream_cut_short_anywhere_is_noticed),
        TEST(nothing_is_a_stream_only_uncoded),
        TEST(gzip_may_have_several_members),
        TEST(what_follows_a_stream_is_refused_but_after_deflate),
        TEST(damage_and_other_codings_are_refused),
        TEST(an_error_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
