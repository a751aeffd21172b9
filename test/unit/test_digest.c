#include "test/unit/unit.h"

#include <string.h>

#include "common/digest.h"

static void the_digest_is_that_of_the_standard(void **state)
{
    static const struct {
        const char *text, *digest;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t digest[DIGEST_SHA256_LEN];
        char text[DIGEST_SHA256_TEXT_MAX];

        digest_sha256(cases[i].text, strlen(cases[i].text), digest);
        assert_string_equal(digest_format(digest, text), cases[i].digest);
    }
}

static void only_64_hex_digits_are_read(void **state)
{
    char text[] = "00ff00FF00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00aB";
    uint8_t digest[DIGEST_SHA256_LEN];
    (void)state;

    assert_true(digest_parse(text, digest));
    assert_int_equal(digest[0], 0);
    assert_int_equal(digest[1], 255);
    assert_int_equal(digest[31], 0xab);
    text[5] = 'g';
    assert_false(digest_parse(text, digest));
    text[5] = '\0';
    assert_false(digest_parse(text, digest));
    assert_false(digest_parse("", digest));
}

static void any_byte_makes_a_difference(void **state)
{
    uint8_t a[40] = {1}, b[40] = {1};
    (void)state;

    assert_true(digest_equal(a, b, sizeof(a)));
    assert_true(digest_equal(a, b, 0));
    for (size_t i = 0; i < sizeof(a); i++) {
        b[i] ^= 0x80;
        assert_false(digest_equal(a, b, sizeof(a)));
        b[i] ^= 0x80;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_digest_is_that_of_the_standard),
        cmocka_unit_test(only_64_hex_digits_are_read),
        cmocka_unit_test(any_byte_makes_a_difference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
