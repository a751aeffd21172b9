#include "libprober/http_proxy.h"

#include <string.h>

#include "common/array.h"
#include "unit.h"

#define ENVIRONMENT(...) ((char *const *)(const char *[]){__VA_ARGS__, NULL})

static struct http_proxies *proxies;

static int tear_down(void **state)
{
    (void)state;
    http_proxies_destroy(proxies);
    proxies = NULL;
    return 0;
}

static void given(const struct http_proxy *proxy, char *const *environment)
{
    tear_down(NULL);
    assert_int_equal(http_proxies_create(&proxies, proxy, environment, NULL), PROBER_OK);
}

/* The host of the proxy for `target`, whose name has `address` (NULL: unknown). */
static const char *chosen_for(const char *target, const char *address)
{
    const struct http_proxy_server *server = NULL;
    struct prober_addr addr;
    struct http_url url;

    assert_int_equal(http_url_parse(target, &url, NULL), PROBER_OK);
    if (address)
        assert_int_equal(prober_addr_parse(address, &addr), PROBER_OK);
    switch (http_proxies_choose(proxies, &url, address ? &addr : NULL, &server)) {
    case HTTP_PROXY_USED:
        return server->host;
    case HTTP_PROXY_REFUSED:
        return "refused";
    default:
        return "none";
    }
}

static void a_proxy_has_scheme_host_port_and_user(void **state)
{
    static const struct {
        const char *text, *host;
        enum http_proxy_scheme scheme;
        uint16_t port;
    } cases[] = {
        {"http://p.test", "p.test", HTTP_PROXY_HTTP, 80},
        {"HTTPS://p.test/", "p.test", HTTP_PROXY_HTTPS, 443},
        {"socks5://127.0.0.1", "127.0.0.1", HTTP_PROXY_SOCKS5, 1080},
        {"socks5h://[::1]:1", "::1", HTTP_PROXY_SOCKS5, 1},
        {"http://p.test:3128", "p.test", HTTP_PROXY_HTTP, 3128},
    };
    struct http_proxy_server s;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(http_proxy_server_parse(cases[i].text, &s, NULL), PROBER_OK);
        assert_string_equal(s.host, cases[i].host);
        assert_int_equal(s.scheme, cases[i].scheme);
        assert_int_equal(s.port, cases[i].port);
        assert_false(s.has_user);
    }
    assert_int_equal(http_proxy_server_parse("http://me:p%40w@p.test", &s, NULL), PROBER_OK);
    assert_true(s.has_user);
    assert_string_equal(s.user, "me");
    assert_string_equal(s.password, "p@w");
}

static void what_is_no_proxy_is_refused_without_its_secrets(void **state)
{
    static const char *const texts[] = {
        "ftp://me:secret@p.test", "http://me:secret@p.test:0", "http://me:secret@", "p.test", "",
        "socks4://p.test"};
    struct http_proxy_server s;
    struct prober_failure why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_int_not_equal(http_proxy_server_parse(texts[i], &s, &why), PROBER_OK);
        assert_null(strstr(why.text, "secret"));
    }
}

static void without_a_proxy_none_is_chosen(void **state)
{
    (void)state;
    given(&(struct http_proxy){0}, ENVIRONMENT("HTTP_PROXY=p.test"));
    assert_null(proxies);
    assert_string_equal(chosen_for("http://a.test", NULL), "none");
}

static void proxy_url_serves_every_target(void **state)
{
    (void)state;
    given(&(struct http_proxy){.url = "http://p.test"}, ENVIRONMENT("NO_PROXY=*"));
    assert_string_equal(chosen_for("http://a.test", "127.0.0.1"), "p.test");
    assert_string_equal(chosen_for("https://localhost", NULL), "p.test");
    assert_string_equal(chosen_for("http://[::1]:5", NULL), "p.test");
}

static void no_proxy_has_the_grammar_of_go(void **state)
{
    static const struct {
        const char *rules, *target, *address, *chosen;
    } cases[] = {
        {"a.test", "http://a.test", NULL, "none"},
        {"a.test", "http://A.Test", NULL, "none"},
        {"a.test", "http://b.a.test", NULL, "none"},
        {"a.test", "http://ba.test", NULL, "p.test"},
        {"a.test", "http://a.test.b", NULL, "p.test"},
        {".a.test", "http://a.test", NULL, "p.test"},
        {".a.test", "http://b.a.test", NULL, "none"},
        {"*.a.test", "http://a.test", NULL, "p.test"},
        {"*.a.test", "http://c.b.a.test", NULL, "none"},
        {"a.test:8080", "http://a.test:8080", NULL, "none"},
        {"a.test:8080", "http://a.test", NULL, "p.test"},
        {"a.test:80", "http://a.test", NULL, "none"},
        {"a.test:443", "https://a.test", NULL, "none"},
        {"a.test:", "https://a.test", NULL, "none"},
        {"a.test:http", "http://a.test", NULL, "p.test"},
        {"a.test:0", "http://a.test", NULL, "p.test"},
        {" b.test , a.test ", "http://a.test", NULL, "none"},
        {",,a.test,", "http://a.test", NULL, "none"},
        {"*", "http://a.test", NULL, "none"},
        {"b.test,*", "http://10.0.0.1", NULL, "none"},
        {"10.0.0.1", "http://10.0.0.1", NULL, "none"},
        {"10.0.0.1", "http://10.0.0.2", NULL, "p.test"},
        {"10.0.0.1:81", "http://10.0.0.1:81", NULL, "none"},
        {"10.0.0.1:81", "http://10.0.0.1", NULL, "p.test"},
        {"10.9.9.9/8", "http://10.1.2.3", NULL, "none"},
        {"10.0.0.0/8", "http://11.1.2.3", NULL, "p.test"},
        {"2001:db8::/32", "http://[2001:db8::1]", NULL, "none"},
        {"2001:db8::1", "http://[2001:db8::1]", NULL, "none"},
        {"[2001:db8::1]:81", "http://[2001:db8::1]:81", NULL, "none"},
        {"[2001:db8::1]:81", "http://[2001:db8::1]", NULL, "p.test"},
        {"10.0.0.0/8", "http://a.test", "10.1.2.3", "none"},
        {"10.0.0.0/8", "http://a.test", "11.1.2.3", "p.test"},
        {"10.0.0.0/8", "http://a.test", NULL, "p.test"},
        {"a.test", "http://a.test", "10.1.2.3", "none"},
        {"1.test", "http://10.0.0.1", NULL, "p.test"},
        {"0.0.1", "http://10.0.0.1", NULL, "p.test"},
        {"x", "http://localhost", NULL, "none"},
        {"x", "http://127.8.9.1", NULL, "none"},
        {"x", "http://[::1]", NULL, "none"},
        {"x", "http://a.test", "127.0.0.1", "none"},
        {"10.0.0.0/99,:,.", "http://a.test", NULL, "p.test"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        given(&(struct http_proxy){.url = "http://p.test", .no_proxy = cases[i].rules}, NULL);
        if (strcmp(chosen_for(cases[i].target, cases[i].address), cases[i].chosen) != 0)
            fail_msg("%s and %s", cases[i].rules, cases[i].target);
    }
}

static void the_environment_is_read_as_go_does(void **state)
{
    static const struct http_proxy proxy = {.from_environment = true};

    (void)state;
    given(&proxy, NULL);
    assert_null(proxies);
    given(&proxy, ENVIRONMENT("http_proxy=http://low.test", "HTTPS_PROXY=socks5://s.test"));
    assert_string_equal(chosen_for("http://a.test", NULL), "low.test");
    assert_string_equal(chosen_for("https://a.test", NULL), "s.test");
    given(&proxy, ENVIRONMENT("http_proxy=low.test", "HTTP_PROXY=up.test:3128"));
    assert_string_equal(chosen_for("http://a.test", NULL), "up.test");
    assert_string_equal(chosen_for("https://a.test", NULL), "none");
    assert_string_equal(chosen_for("http://localhost", NULL), "none");
    given(&proxy, ENVIRONMENT("HTTP_PROXY=", "http_proxy=low.test", "no_proxy=b.test"));
    assert_string_equal(chosen_for("http://a.test", NULL), "low.test");
    assert_string_equal(chosen_for("http://b.test", NULL), "none");
    given(&proxy, ENVIRONMENT("ALL_PROXY=all.test", "HTTP_PROXYX=x"));
    assert_null(proxies);
}

static void a_script_s_environment_is_not_trusted(void **state)
{
    (void)state;
    given(&(struct http_proxy){.from_environment = true},
          ENVIRONMENT("HTTP_PROXY=p.test", "HTTPS_PROXY=s.test", "REQUEST_METHOD=GET"));
    assert_string_equal(chosen_for("http://a.test", NULL), "refused");
    assert_string_equal(chosen_for("https://a.test", NULL), "s.test");
}

static void a_variable_that_is_no_proxy_is_named(void **state)
{
    static const struct http_proxy proxy = {.from_environment = true};
    struct prober_failure why;

    (void)state;
    assert_int_not_equal(
        http_proxies_create(&proxies, &proxy, ENVIRONMENT("HTTPS_PROXY=ftp://secret@p"), &why),
        PROBER_OK);
    assert_null(proxies);
    assert_non_null(strstr(why.text, "HTTPS_PROXY"));
    assert_null(strstr(why.text, "secret"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_proxy_has_scheme_host_port_and_user),
        TEST(what_is_no_proxy_is_refused_without_its_secrets),
        TEST(without_a_proxy_none_is_chosen),
        TEST(proxy_url_serves_every_target),
        TEST(no_proxy_has_the_grammar_of_go),
        TEST(the_environment_is_read_as_go_does),
        TEST(a_script_s_environment_is_not_trusted),
        TEST(a_variable_that_is_no_proxy_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
