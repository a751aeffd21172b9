#include "agentd/address.h"

#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "fakes/dns_server.h"
#include "fakes/fake_routes.h"
#include "fakes/http_server.h"
#include "unit.h"

static int set_up(void **state)
{
    (void)state;
    fake_routes_reset();
    return 0;
}

static const char *found(const struct address_query *query)
{
    static struct address_set set;
    struct prober_failure why = {0};

    if (address_find(query, &set, &why) != PROBER_OK) {
        assert_int_equal(why.code, PROBER_ERR_NOT_FOUND);
        assert_true(why.text[0] != 0);
        return "not found";
    }
    assert_int_equal(set.mode, query->mode);
    assert_true(set.count <= 1);
    return set.count ? set.texts[0] : "none";
}

static const char *found_toward(const char *server)
{
    struct address_query query = {.server = server};

    return found(&query);
}

static void the_source_of_the_route_to_the_server_is_taken(void **state)
{
    (void)state;
    fake_routes_add("198.51.100.7", "10.1.2.3");
    fake_routes_add("*4", "192.168.1.1");
    assert_string_equal(found_toward("198.51.100.7:6000"), "10.1.2.3");
}

static void a_server_of_ipv6_gives_an_ipv6_source(void **state)
{
    (void)state;
    fake_routes_add("2001:db8:5::7", "2001:db8:9::1");
    fake_routes_add("*4", "192.168.1.1");
    assert_string_equal(found_toward("[2001:db8:5::7]:6000"), "2001:db8:9::1");
}

static void a_loopback_source_gives_way_to_the_default_route(void **state)
{
    (void)state;
    fake_routes_add("127.0.0.1", "127.0.0.1");
    fake_routes_add("*4", "192.168.1.1");
    fake_routes_add_interface("10.0.0.1");
    assert_string_equal(found_toward("127.0.0.1:6000"), "192.168.1.1");
}

static void a_link_local_or_unspecified_source_gives_way_too(void **state)
{
    (void)state;
    fake_routes_add("198.51.100.7", "169.254.3.4");
    fake_routes_add("198.51.100.8", "0.0.0.0");
    fake_routes_add("*4", "fe80::1");
    fake_routes_add("*6", "2001:db8:9::1");
    assert_string_equal(found_toward("198.51.100.7:6000"), "2001:db8:9::1");
    assert_string_equal(found_toward("198.51.100.8:6000"), "2001:db8:9::1");
}

static void without_a_default_route_an_interface_is_taken(void **state)
{
    (void)state;
    fake_routes_add("127.0.0.1", "127.0.0.1");
    fake_routes_add_interface("fe80::7");
    fake_routes_add_interface("2001:db8:9::2");
    fake_routes_add_interface("169.254.9.9");
    fake_routes_add_interface("10.0.0.2");
    fake_routes_add_interface("10.0.0.3");
    assert_string_equal(found_toward("127.0.0.1:6000"), "10.0.0.2");
}

static void ipv6_of_an_interface_is_taken_when_there_is_no_ipv4(void **state)
{
    (void)state;
    fake_routes_add_interface("fe80::7");
    fake_routes_add_interface("2001:db8:9::2");
    assert_string_equal(found_toward("127.0.0.1:6000"), "2001:db8:9::2");
}

static void a_host_without_any_address_is_told_what_to_do(void **state)
{
    struct address_query query = {.server = "127.0.0.1:6000"};
    struct address_set set;
    struct prober_failure why = {0};

    (void)state;
    fake_routes_add("127.0.0.1", "127.0.0.1");
    assert_int_equal(address_find(&query, &set, &why), PROBER_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "-agent.icmp.address"));
    assert_string_equal(found_toward(NULL), "not found");
    assert_string_equal(found_toward("]["), "not found");
}

static void the_name_of_the_server_is_looked_up(void **state)
{
    static const struct dns_record zone[] = {{.name = "server.test", .a = "198.51.100.7"}, {0}};
    struct dns_server *dns = dns_server_start(zone);
    struct address_query query = {.server = "server.test:6000",
                                  .timeout_ns = 20 * CLOCK_NS_PER_S,
                                  .dns_servers = dns_server_address(dns)};

    (void)state;
    fake_routes_add("198.51.100.7", "10.1.2.3");
    fake_routes_add("*4", "192.168.1.1");
    assert_string_equal(found(&query), "10.1.2.3");
    query.server = "nowhere.test:6000";
    assert_string_equal(found(&query), "192.168.1.1");
    dns_server_stop(dns);
}

static void a_public_address_is_left_to_the_server_without_urls(void **state)
{
    struct address_query query = {.mode = WIRE_ADDRESS_PUBLIC, .server = "198.51.100.7:6000"};

    (void)state;
    fake_routes_add("*4", "192.168.1.1");
    assert_string_equal(found(&query), "none");
}

static void the_first_url_that_answers_with_an_address_decides(void **state)
{
    static const struct http_route routes[] = {
        {.method = "GET", .path = "/page", .body = "<html>203.0.113.1</html>"},
        {.method = "GET", .path = "/error", .status = 500, .body = "203.0.113.2"},
        {.method = "GET", .path = "/loopback", .body = "127.0.0.1"},
        {.method = "GET", .path = "/two", .body = "203.0.113.3 203.0.113.4"},
        {.method = "GET", .path = "/empty"},
        {.method = "GET", .path = "/long", .body = "1111111111", .repeat = 100},
        {.method = "GET", .path = "/good", .body = " 203.0.113.5\r\n"},
        {.method = "GET", .path = "/six", .body = "2001:db8::5"},
        {0},
    };
    struct http_server *http = http_server_start(routes);
    char texts[ARRAY_LEN(routes) - 1][128];
    const char *urls[ARRAY_LEN(routes) - 1];
    struct address_query query = {.mode = WIRE_ADDRESS_PUBLIC,
                                  .urls = urls,
                                  .url_count = ARRAY_LEN(urls),
                                  .timeout_ns = 20 * CLOCK_NS_PER_S};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        snprintf(texts[i], sizeof(texts[i]), "%s%s", http_server_url(http), routes[i].path);
        urls[i] = texts[i];
    }
    assert_string_equal(found(&query), "203.0.113.5");
    query.url_count = 6;
    assert_string_equal(found(&query), "none");
    http_server_stop(http);
}

static void given_addresses_are_taken_as_they_are(void **state)
{
    const char *texts[] = {"192.0.2.1", "2001:DB8::1", "127.0.0.1", "192.0.2.1",
                           "::ffff:192.0.2.1"};
    struct address_set set;

    (void)state;
    assert_int_equal(address_parse_given(texts, ARRAY_LEN(texts), &set, NULL), PROBER_OK);
    assert_int_equal(set.mode, WIRE_ADDRESS_GIVEN);
    assert_int_equal(set.count, 3);
    assert_string_equal(set.texts[1], "2001:db8::1");
    assert_string_equal(set.texts[2], "127.0.0.1");
}

static void what_is_no_address_of_a_host_is_refused_by_name(void **state)
{
    const char *bad[] = {"",   "host",      "192.0.2.1/24", "0.0.0.0",
                         "::", "224.0.0.1", "ff02::1",      "255.255.255.255"};
    struct address_set set;
    struct prober_failure why = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(address_parse_given(&bad[i], 1, &set, &why), PROBER_ERR_SYNTAX);
        assert_non_null(strstr(why.text, bad[i]));
    }
}

static void too_many_given_addresses_are_refused(void **state)
{
    char texts[WIRE_ADDRESSES_MAX + 1][PROBER_ADDR_TEXT_MAX];
    const char *list[WIRE_ADDRESSES_MAX + 1];
    struct address_set set;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(list); i++) {
        snprintf(texts[i], sizeof(texts[i]), "192.0.2.%u", i);
        list[i] = texts[i];
    }
    assert_int_equal(address_parse_given(list, WIRE_ADDRESSES_MAX, &set, NULL), PROBER_OK);
    assert_int_equal(address_parse_given(list, WIRE_ADDRESSES_MAX + 1, &set, NULL),
                     PROBER_ERR_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
        TEST(the_source_of_the_route_to_the_server_is_taken),
        TEST(a_server_of_ipv6_gives_an_ipv6_source),
        TEST(a_loopback_source_gives_way_to_the_default_route),
        TEST(a_link_local_or_unspecified_source_gives_way_too),
        TEST(without_a_default_route_an_interface_is_taken),
        TEST(ipv6_of_an_interface_is_taken_when_there_is_no_ipv4),
        TEST(a_host_without_any_address_is_told_what_to_do),
        TEST(the_name_of_the_server_is_looked_up),
        TEST(a_public_address_is_left_to_the_server_without_urls),
        TEST(the_first_url_that_answers_with_an_address_decides),
        TEST(given_addresses_are_taken_as_they_are),
        TEST(what_is_no_address_of_a_host_is_refused_by_name),
        TEST(too_many_given_addresses_are_refused),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
