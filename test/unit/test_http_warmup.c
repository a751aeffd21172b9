#include "libprober/http_warmup.h"

#include "unit.h"

static void the_handshake_is_completed_each_time(void **state)
{
    (void)state;
    assert_true(http_warm_up());
    assert_true(http_warm_up());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_handshake_is_completed_each_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
