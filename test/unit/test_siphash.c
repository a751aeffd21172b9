#include "test/unit/unit.h"

#include "common/siphash.h"

/* The key and messages of appendix A of the paper: bytes 0, 1, 2, … */
static const struct siphash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};

static void the_test_vectors_of_its_authors_hold(void **state)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } cases[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},
        {7, UINT64_C(0xab0200f58b01d137)},  {8, UINT64_C(0x93f5f5799a932462)},
        {15, UINT64_C(0xa129ca6149be45e5)},
    };
    uint8_t message[64];

    (void)state;
    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(siphash24(&key, message, cases[i].len) == cases[i].hash);
}

static void another_key_gives_another_hash(void **state)
{
    struct siphash_key other = {key.k0 ^ 1, key.k1};

    (void)state;
    assert_true(siphash24(&key, "probe", 5) != siphash24(&other, "probe", 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_test_vectors_of_its_authors_hold),
        cmocka_unit_test(another_key_gives_another_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
