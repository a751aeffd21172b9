#include "test/unit/unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/addr.h"
#include "common/array.h"

static struct prober_addr addr(const char *text)
{
    struct prober_addr a;

    if (prober_addr_parse(text, &a))
        fail_msg("%s does not parse", text);
    return a;
}

static void an_address_is_written_in_its_canonical_form(void **state)
{
    static const char *const cases[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"::", "::"},
        {"fe80::1%1", "fe80::1%lo"},
        {"fe80::1%lo", "fe80::1%lo"},
        {"fe80::1%99999", "fe80::1%99999"},
    };
    char text[PROBER_ADDR_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct prober_addr a = addr(cases[i][0]);

        assert_string_equal(prober_addr_format(&a, text), cases[i][1]);
    }
}

static void no_address_is_written_as_none(void **state)
{
    char text[PROBER_ADDR_TEXT_MAX];

    (void)state;
    assert_string_equal(prober_addr_format(&(struct prober_addr){0}, text), "none");
}

static void what_is_no_literal_address_is_refused(void **state)
{
    static const char *const cases[] = {
        "",
        " 192.0.2.1",
        "192.0.2.1 ",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.01",
        "192.0.2.1:80",
        "[::1]",
        "::1%lo",
        "2001:db8::1%lo",
        "fe80::1%",
        "fe80::1%nosuchif",
        "example.org",
        "1::2::3",
        "0x7f.1",
        "12345",
        "fe80::1%4294967297",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
    };
    struct prober_addr a = {.family = 99};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (prober_addr_parse(cases[i], &a) != PROBER_ERR_SYNTAX)
            fail_msg("'%s' was taken", cases[i]);
        assert_int_equal(a.family, 99);
    }
}

static void addresses_are_equal_when_family_bytes_and_scope_are(void **state)
{
    struct prober_addr a = addr("192.0.2.1"), b = addr("192.0.2.1"), c = addr("192.0.2.2"),
                       d = addr("::ffff:192.0.2.1"), e = addr("fe80::1%1"), f = addr("fe80::1%2");

    (void)state;
    assert_true(prober_addr_equal(&a, &b));
    assert_false(prober_addr_equal(&a, &c));
    assert_false(prober_addr_equal(&a, &d));
    assert_false(prober_addr_equal(&e, &f));
    d = prober_addr_unmap(&d);
    assert_true(prober_addr_equal(&a, &d));
}

static void an_address_is_of_the_class_of_its_network(void **state)
{
    static const struct {
        const char *text;
        enum prober_addr_class class;
    } cases[] = {
        {"0.0.0.0", PROBER_ADDR_UNSPECIFIED},
        {"0.1.2.3", PROBER_ADDR_UNSPECIFIED},
        {"::", PROBER_ADDR_UNSPECIFIED},
        {"127.0.0.1", PROBER_ADDR_LOOPBACK},
        {"127.255.1.1", PROBER_ADDR_LOOPBACK},
        {"::1", PROBER_ADDR_LOOPBACK},
        {"::ffff:127.0.0.1", PROBER_ADDR_LOOPBACK},
        {"169.254.1.1", PROBER_ADDR_LINK_LOCAL},
        {"fe80::1", PROBER_ADDR_LINK_LOCAL},
        {"febf::1", PROBER_ADDR_LINK_LOCAL},
        {"fec0::1", PROBER_ADDR_GLOBAL},
        {"224.0.0.1", PROBER_ADDR_MULTICAST},
        {"239.255.255.255", PROBER_ADDR_MULTICAST},
        {"ff02::1", PROBER_ADDR_MULTICAST},
        {"255.255.255.255", PROBER_ADDR_BROADCAST},
        {"240.0.0.1", PROBER_ADDR_BROADCAST},
        {"10.1.2.3", PROBER_ADDR_PRIVATE},
        {"11.0.0.0", PROBER_ADDR_GLOBAL},
        {"172.16.0.1", PROBER_ADDR_PRIVATE},
        {"172.31.255.255", PROBER_ADDR_PRIVATE},
        {"172.32.0.0", PROBER_ADDR_GLOBAL},
        {"192.168.0.1", PROBER_ADDR_PRIVATE},
        {"192.169.0.1", PROBER_ADDR_GLOBAL},
        {"100.64.0.1", PROBER_ADDR_PRIVATE},
        {"100.127.255.255", PROBER_ADDR_PRIVATE},
        {"100.128.0.0", PROBER_ADDR_GLOBAL},
        {"fc00::1", PROBER_ADDR_PRIVATE},
        {"fdff::1", PROBER_ADDR_PRIVATE},
        {"fe00::1", PROBER_ADDR_GLOBAL},
        {"2001:db8::1", PROBER_ADDR_GLOBAL},
        {"8.8.8.8", PROBER_ADDR_GLOBAL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct prober_addr a = addr(cases[i].text);

        if (prober_addr_classify(&a) != cases[i].class)
            fail_msg("%s is of class %d", cases[i].text, prober_addr_classify(&a));
    }
    assert_int_equal(prober_addr_classify(&(struct prober_addr){0}), PROBER_ADDR_UNSPECIFIED);
}

static void a_socket_address_and_back_is_the_same(void **state)
{
    static const char *const cases[] = {"192.0.2.1", "2001:db8::1", "fe80::1%lo"};
    struct sockaddr_storage ss;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct prober_addr a = addr(cases[i]), b;
        uint16_t port = 0;
        socklen_t len = prober_addr_to_sockaddr(&a, 6000, &ss);

        assert_int_equal(len, i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
        assert_int_equal(prober_addr_from_sockaddr((struct sockaddr *)&ss, &b, &port), PROBER_OK);
        assert_true(prober_addr_equal(&a, &b));
        assert_int_equal(port, 6000);
        assert_int_equal(prober_addr_from_sockaddr((struct sockaddr *)&ss, &b, NULL), PROBER_OK);
    }
}

static void a_socket_address_of_another_family_is_refused(void **state)
{
    struct sockaddr_storage ss = {.ss_family = AF_UNIX};
    struct prober_addr a = {.family = 99};

    (void)state;
    assert_int_equal(prober_addr_from_sockaddr((struct sockaddr *)&ss, &a, NULL),
                     PROBER_ERR_UNSUPPORTED);
    assert_int_equal(a.family, 99);
}

static void host_and_port_are_split(void **state)
{
    static const struct {
        const char *text;
        uint16_t fallback;
        const char *host;
        uint16_t port;
    } cases[] = {
        {"localhost:6000", 0, "localhost", 6000},
        {":6001", 0, "", 6001},
        {"[::1]:6001", 0, "::1", 6001},
        {"0.0.0.0:0", 0, "0.0.0.0", 0},
        {"example.org", 6000, "example.org", 6000},
        {"example.org:1", 6000, "example.org", 1},
        {"::1", 6000, "::1", 6000},
        {"[2001:db8::1]", 6000, "2001:db8::1", 6000},
        {"192.0.2.1:65535", 0, "192.0.2.1", 65535},
        {"[fe80::1%lo]:7", 0, "fe80::1%lo", 7},
    };
    char host[PROBER_HOST_MAX];
    uint16_t port;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct prober_failure why;

        if (prober_hostport_split(cases[i].text, cases[i].fallback, host, &port, &why))
            fail_msg("%s", why.text);
        assert_string_equal(host, cases[i].host);
        assert_int_equal(port, cases[i].port);
    }
}

static void what_is_no_host_and_port_is_refused_with_a_sentence(void **state)
{
    static const struct {
        const char *text;
        uint16_t fallback;
        const char *told;
    } cases[] = {
        {"", 0, "expected host:port"},
        {"localhost", 0, "expected host:port"},
        {"", 6000, "expected host:port"},
        {":", 0, "is no port"},
        {"localhost:", 0, "is no port"},
        {"localhost:http", 0, "'http' is no port"},
        {"localhost:65536", 0, "above 65535"},
        {"localhost:123456", 0, "is no port"},
        {"localhost:-1", 0, "is no port"},
        {"::1", 0, "expected host:port"},
        {"1:2:3", 6000, "is no IPv6"},
        {"[::1", 0, "expected [address]"},
        {"[::1]x:80", 0, "expected [address]"},
        {"[localhost]:80", 0, "is no IPv6"},
        {"[127.0.0.1]:80", 0, "is no IPv6"},
        {"[]:80", 0, "is no IPv6"},
        {"local host:80", 0, "character"},
        {"http://localhost:80", 0, "character"},
        {"a/b:80", 0, "character"},
    };
    char host[PROBER_HOST_MAX] = "untouched";
    uint16_t port = 9;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct prober_failure why = {0};

        if (prober_hostport_split(cases[i].text, cases[i].fallback, host, &port, &why) !=
            PROBER_ERR_SYNTAX)
            fail_msg("'%s' was taken", cases[i].text);
        if (!strstr(why.text, cases[i].told))
            fail_msg("'%s' was told: %s", cases[i].text, why.text);
        assert_string_equal(host, "untouched");
        assert_int_equal(port, 9);
    }
}

static void a_host_longer_than_any_name_is_refused(void **state)
{
    char text[400], host[PROBER_HOST_MAX];
    uint16_t port;
    struct prober_failure why;

    (void)state;
    memset(text, 'a', sizeof(text));
    strcpy(text + 256, ":80");
    assert_int_equal(prober_hostport_split(text, 0, host, &port, &why), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "over 255 bytes"));
    strcpy(text + 255, ":80");
    assert_int_equal(prober_hostport_split(text, 0, host, &port, &why), PROBER_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_written_in_its_canonical_form),
        cmocka_unit_test(no_address_is_written_as_none),
        cmocka_unit_test(what_is_no_literal_address_is_refused),
        cmocka_unit_test(addresses_are_equal_when_family_bytes_and_scope_are),
        cmocka_unit_test(an_address_is_of_the_class_of_its_network),
        cmocka_unit_test(a_socket_address_and_back_is_the_same),
        cmocka_unit_test(a_socket_address_of_another_family_is_refused),
        cmocka_unit_test(host_and_port_are_split),
        cmocka_unit_test(what_is_no_host_and_port_is_refused_with_a_sentence),
        cmocka_unit_test(a_host_longer_than_any_name_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
