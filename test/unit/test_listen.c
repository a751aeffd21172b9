#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <unistd.h>

#include "common/listen.h"

static struct listen_set set;
static struct prober_failure why;

static const char *address(size_t i)
{
    static char text[PROBER_ADDR_TEXT_MAX];

    return prober_addr_format(&set.addresses[i].addr, text);
}

static void localhost_is_both_loopbacks_of_which_one_may_lack(void **state)
{
    (void)state;
    assert_int_equal(listen_set_parse("localhost:6001", &set, &why), PROBER_OK);
    assert_int_equal(set.port, 6001);
    assert_int_equal(set.count, 2);
    assert_false(set.any);
    assert_string_equal(address(0), "127.0.0.1");
    assert_false(set.addresses[0].optional);
    assert_string_equal(address(1), "::1");
    assert_true(set.addresses[1].optional);
}

static void an_empty_host_is_every_address(void **state)
{
    (void)state;
    assert_int_equal(listen_set_parse(":0", &set, &why), PROBER_OK);
    assert_true(set.any);
    assert_int_equal(set.count, 2);
    assert_string_equal(address(0), "::");
    assert_true(set.addresses[0].optional);
    assert_string_equal(address(1), "0.0.0.0");
}

static void a_literal_is_itself(void **state)
{
    (void)state;
    assert_int_equal(listen_set_parse("[2001:db8::1]:80", &set, &why), PROBER_OK);
    assert_int_equal(set.count, 1);
    assert_string_equal(address(0), "2001:db8::1");
    assert_false(set.addresses[0].optional);
    assert_int_equal(listen_set_parse("0.0.0.0:80", &set, &why), PROBER_OK);
    assert_int_equal(set.count, 1);
    assert_false(set.any);
}

static void a_text_without_a_port_is_malformed(void **state)
{
    (void)state;
    assert_int_equal(listen_set_parse("localhost", &set, &why), PROBER_ERR_SYNTAX);
    assert_int_equal(listen_set_parse("", &set, &why), PROBER_ERR_SYNTAX);
    assert_int_equal(listen_set_parse("127.0.0.1:65536", &set, &why), PROBER_ERR_SYNTAX);
}

static void a_free_port_is_found(void **state)
{
    uint16_t port = 0;
    (void)state;

    assert_int_equal(listen_set_parse("127.0.0.1:0", &set, &why), PROBER_OK);
    assert_int_equal(listen_check(&set.addresses[0].addr, &port, &why), PROBER_OK);
    assert_int_not_equal(port, 0);
    assert_int_equal(listen_check(&set.addresses[0].addr, &port, &why), PROBER_OK);
}

static void a_port_in_use_and_a_foreign_address_are_told_apart(void **state)
{
    struct sockaddr_storage sa;
    socklen_t len;
    uint16_t port = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)state;

    assert_int_equal(listen_set_parse("127.0.0.1:0", &set, &why), PROBER_OK);
    len = prober_addr_to_sockaddr(&set.addresses[0].addr, 0, &sa);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    port = ntohs(((struct sockaddr_in *)&sa)->sin_port);
    assert_int_equal(listen_check(&set.addresses[0].addr, &port, &why), PROBER_ERR_IN_USE);
    assert_non_null(strstr(why.text, "cannot listen on 127.0.0.1 port"));
    close(fd);
    assert_int_equal(listen_set_parse("192.0.2.1:0", &set, &why), PROBER_OK);
    port = 0;
    assert_int_equal(listen_check(&set.addresses[0].addr, &port, &why), PROBER_ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(localhost_is_both_loopbacks_of_which_one_may_lack),
        cmocka_unit_test(an_empty_host_is_every_address),
        cmocka_unit_test(a_literal_is_itself),
        cmocka_unit_test(a_text_without_a_port_is_malformed),
        cmocka_unit_test(a_free_port_is_found),
        cmocka_unit_test(a_port_in_use_and_a_foreign_address_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
