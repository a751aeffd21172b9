#include "test/unit/unit.h"

#include <string.h>

#include "common/pki_name.h"

static const struct prober_id id = {
    {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 1, 2, 3, 4, 5, 6, 7}};
#define ID "0123456789abcdef0001020304050607"

static enum prober_error parse(const char *text)
{
    struct prober_id read;
    char region[PKI_REGION_MAX + 1];

    return pki_name_parse(text, strlen(text), &read, region);
}

static void a_name_reads_back_as_what_was_named(void **state)
{
    static const char *const regions[] = {"cn-shanghai", "欧洲-1", "a b/c%d?e#f\"g\\",
                                          "~_.-",        "%41",    "\xf0\x9f\x8c\x8d"};
    char text[PKI_NAME_MAX + 1], region[PKI_REGION_MAX + 1];
    struct prober_id read;
    (void)state;

    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        assert_int_equal(pki_name_format(&id, regions[i], text), PROBER_OK);
        assert_int_equal(pki_name_parse(text, strlen(text), &read, region), PROBER_OK);
        assert_true(prober_id_equal(&read, &id));
        assert_string_equal(region, regions[i]);
    }
}

static void a_name_is_written_in_characters_of_a_uri(void **state)
{
    char text[PKI_NAME_MAX + 1];
    (void)state;

    assert_int_equal(pki_name_format(&id, "EU 1/欧", text), PROBER_OK);
    assert_string_equal(text, "probermesh:agent/" ID "/EU%201%2F%E6%AC%A7");
}

static void the_longest_region_fits(void **state)
{
    char text[PKI_NAME_MAX + 1], region[PKI_REGION_MAX + 2], read[PKI_REGION_MAX + 1];
    struct prober_id id_read;
    (void)state;

    memset(region, ' ', PKI_REGION_MAX);
    region[PKI_REGION_MAX] = '\0';
    assert_int_equal(pki_name_format(&id, region, text), PROBER_OK);
    assert_int_equal(strlen(text), PKI_NAME_MAX);
    assert_int_equal(pki_name_parse(text, strlen(text), &id_read, read), PROBER_OK);
    memset(region, 'a', PKI_REGION_MAX + 1);
    region[PKI_REGION_MAX + 1] = '\0';
    assert_int_equal(pki_name_format(&id, region, text), PROBER_ERR_SYNTAX);
}

static void a_region_that_is_none_gets_no_name(void **state)
{
    static const char *const regions[] = {"", "a\nb", "\x7f", "\xff", "\xe6\xac", "\xed\xa0\x80"};
    char text[PKI_NAME_MAX + 1];
    (void)state;

    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
        assert_int_equal(pki_name_format(&id, regions[i], text), PROBER_ERR_SYNTAX);
}

static void what_is_no_name_is_refused(void **state)
{
    static const char *const names[] = {
        "",
        "probermesh:agent/",
        "probermesh:agent/" ID,
        "probermesh:agent/" ID "/",
        "probermesh:server/" ID "/eu",
        "probermesh:agent/0123456789abcdef000102030405060/eu",
        "probermesh:agent/0123456789abcdeg0001020304050607/eu",
        "probermesh:agent/" ID "x/eu",
        "xprobermesh:agent/" ID "/eu",
        "probermesh:agent/" ID "/a b",
        "probermesh:agent/" ID "/a/b",
        "probermesh:agent/" ID "/a%",
        "probermesh:agent/" ID "/a%2",
        "probermesh:agent/" ID "/a%zz",
        "probermesh:agent/" ID "/a%0A",
        "probermesh:agent/" ID "/a%00b",
        "probermesh:agent/" ID "/%FF",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(parse(names[i]), PROBER_ERR_SYNTAX);
    assert_int_equal(parse("probermesh:agent/" ID "/eu"), PROBER_OK);
}

static void a_second_way_to_write_a_name_is_refused(void **state)
{
    (void)state;
    assert_int_equal(parse("probermesh:agent/" ID "/%61"), PROBER_ERR_SYNTAX);
    assert_int_equal(parse("probermesh:agent/" ID "/a%2f"), PROBER_ERR_SYNTAX);
    assert_int_equal(parse("probermesh:agent/0123456789ABCDEF0001020304050607/eu"),
                     PROBER_ERR_SYNTAX);
    assert_int_equal(parse("Probermesh:agent/" ID "/eu"), PROBER_ERR_SYNTAX);
}

static void a_zero_byte_within_a_name_is_refused(void **state)
{
    static const char name[] = "probermesh:agent/" ID "/eu\0x";
    struct prober_id read = {{9}};
    char region[PKI_REGION_MAX + 1] = "before";
    (void)state;

    assert_int_equal(pki_name_parse(name, sizeof(name) - 1, &read, region), PROBER_ERR_SYNTAX);
    assert_int_equal(read.bytes[0], 9);
    assert_string_equal(region, "before");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_reads_back_as_what_was_named),
        cmocka_unit_test(a_name_is_written_in_characters_of_a_uri),
        cmocka_unit_test(the_longest_region_fits),
        cmocka_unit_test(a_region_that_is_none_gets_no_name),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(a_second_way_to_write_a_name_is_refused),
        cmocka_unit_test(a_zero_byte_within_a_name_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
