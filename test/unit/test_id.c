#include "test/unit/unit.h"

#include <string.h>

#include "common/id.h"
#include "common/random.h"

static void an_id_is_written_and_read_as_32_hex_digits(void **state)
{
    struct prober_id id = {{0x00, 0x01, 0xab, 0xff}}, back;
    char text[PROBER_ID_TEXT_MAX];

    (void)state;
    assert_string_equal(prober_id_format(&id, text), "0001abff000000000000000000000000");
    assert_int_equal(prober_id_parse(text, &back), PROBER_OK);
    assert_true(prober_id_equal(&id, &back));
    assert_int_equal(prober_id_parse("0001ABFF000000000000000000000000", &back), PROBER_OK);
    assert_true(prober_id_equal(&id, &back));
}

static void what_is_no_id_is_refused(void **state)
{
    static const char *const cases[] = {"",
                                        "0001abff",
                                        "0001abff00000000000000000000000",
                                        "0001abff0000000000000000000000000",
                                        "0001abff00000000000000000000000g",
                                        "0001abff-0000-0000-0000-0000000000"};
    struct prober_id id = {{1}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(prober_id_parse(cases[i], &id), PROBER_ERR_SYNTAX);
    assert_int_equal(id.bytes[0], 1);
}

static void random_ids_differ_and_are_not_zero(void **state)
{
    struct prober_id a = prober_id_random(), b = prober_id_random();

    (void)state;
    assert_false(prober_id_equal(&a, &b));
    assert_false(prober_id_is_zero(&a));
    assert_true(prober_id_is_zero(&(struct prober_id){0}));
}

static void random_bytes_fill_long_buffers_to_the_end(void **state)
{
    static uint8_t bytes[1 << 20], zeros[4096];

    (void)state;
    random_bytes(bytes, sizeof(bytes));
    assert_memory_not_equal(bytes + sizeof(bytes) - sizeof(zeros), zeros, sizeof(zeros));
    random_bytes(bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_written_and_read_as_32_hex_digits),
        cmocka_unit_test(what_is_no_id_is_refused),
        cmocka_unit_test(random_ids_differ_and_are_not_zero),
        cmocka_unit_test(random_bytes_fill_long_buffers_to_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
