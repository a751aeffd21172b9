#include "libprober/http_url.h"

#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "unit.h"

static struct prober_failure why;

static const char *shown(const struct http_url *u)
{
    static char text[HTTP_URL_MAX + 512];
    struct strbuf b = STRBUF_INIT;

    http_url_put(&b, u);
    snprintf(text, sizeof(text), "%s", b.bytes);
    strbuf_free(&b);
    return text;
}

static struct http_url parsed(const char *text)
{
    struct http_url u;

    assert_int_equal(http_url_parse(text, &u, &why), PROBER_OK);
    return u;
}

static enum prober_error refused(const char *text)
{
    struct http_url u;
    enum prober_error err = http_url_parse(text, &u, &why);

    if (err) {
        assert_int_equal(why.code, err);
        assert_true(why.text[0] != 0);
    }
    return err;
}

static void a_target_is_read_as_written(void **state)
{
    static const struct {
        const char *text, *url;
        unsigned port;
    } cases[] = {
        {"http://a.test/", "http://a.test/", 80},
        {"https://a.test", "https://a.test/", 443},
        {"HTTP://a.test", "http://a.test/", 80},
        {"HtTpS://A.test/x", "https://A.test/x", 443},
        {"a.test", "http://a.test/", 80},
        {"a.test:8080", "http://a.test:8080/", 8080},
        {"localhost:8080/x?y", "http://localhost:8080/x?y", 8080},
        {"127.0.0.1:1", "http://127.0.0.1:1/", 1},
        {"http://a.test:/x", "http://a.test/x", 80},
        {"http://a.test:80/x", "http://a.test:80/x", 80},
        {"http://[::1]:81/x", "http://[::1]:81/x", 81},
        {"[2001:db8::1]", "http://[2001:db8::1]/", 80},
        {"http://a/a/../b/./c/", "http://a/a/../b/./c/", 80},
        {"http://a/a%2Fb%41?a=1&b=%20x", "http://a/a%2Fb%41?a=1&b=%20x", 80},
        {"http://a/x#frag", "http://a/x", 80},
        {"http://a#frag", "http://a/", 80},
        {"http://a?x=1", "http://a/?x=1", 80},
        {"http://a/x?", "http://a/x?", 80},
        {"http://a/b c?d e", "http://a/b%20c?d%20e", 80},
        {"http://a/\"<>\\^`{|}!'()?\"{|}", "http://a/%22%3C%3E%5C%5E%60%7B%7C%7D!'()?\"{|}", 80},
        {"http://a/\xc3\xa4?\xc3\xa4", "http://a/%C3%A4?%C3%A4", 80},
        {"http://a/x?u=http://b/", "http://a/x?u=http://b/", 80},
        {"http://a/x?100%", "http://a/x?100%", 80},
        {"http://a//x", "http://a//x", 80},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_url u = parsed(cases[i].text);

        assert_string_equal(shown(&u), cases[i].url);
        assert_int_equal(u.port, cases[i].port);
        assert_false(u.has_user);
    }
}

static void user_information_is_decoded_and_never_shown(void **state)
{
    struct http_url u = parsed("https://me%40x:p%3Aw:d@a.test/x");

    (void)state;
    assert_true(u.has_user);
    assert_string_equal(u.user, "me@x");
    assert_string_equal(u.password, "p:w:d");
    assert_string_equal(shown(&u), "https://a.test/x");
    u = parsed("me@a.test");
    assert_string_equal(u.user, "me");
    assert_string_equal(u.password, "");
    u = parsed("me:pw@[::1]:8080/a@b");
    assert_string_equal(u.password, "pw");
    assert_string_equal(u.host, "::1");
    assert_string_equal(u.path, "/a@b");
}

static void a_failure_quotes_no_secret(void **state)
{
    (void)state;
    assert_int_equal(refused("http://me:geheim@a b/"), PROBER_ERR_SYNTAX);
    assert_null(strstr(why.text, "geheim"));
    assert_int_equal(refused("http://me:geheim%zz@a/"), PROBER_ERR_SYNTAX);
    assert_null(strstr(why.text, "geheim"));
}

static void what_cannot_be_probed_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "http://",
        "https:///x",
        "http://:80/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:99999999999/",
        "http://a:x/",
        "http://a:8 0/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[1.2.3.4]/",
        "http://[]/",
        "http://a b/",
        "http://a\\b/",
        "http://a%41/",
        "http://a/%zz",
        "http://a/%4",
        "http://a/\r\nX: y",
        "http://a\x7f/",
        "http://a<b>/",
        "http://u%00@a/",
        "http://u v@a/",
        "?x",
        "/x",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(refused(bad[i]), PROBER_ERR_SYNTAX);
}

static void other_schemes_and_raw_idn_are_not_supported(void **state)
{
    (void)state;
    assert_int_equal(refused("ftp://a/"), PROBER_ERR_UNSUPPORTED);
    assert_int_equal(refused("invalid://a"), PROBER_ERR_UNSUPPORTED);
    assert_int_equal(refused("http://b\xc3\xbc"
                             "cher.test/"),
                     PROBER_ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "xn--"));
}

static void lengths_are_bounded(void **state)
{
    static char text[3 * HTTP_URL_MAX];

    (void)state;
    snprintf(text, sizeof(text), "http://a/%0*d", HTTP_URL_MAX - 9, 0);
    parsed(text);
    snprintf(text, sizeof(text), "http://a/%0*d", HTTP_URL_MAX - 8, 0);
    assert_int_equal(refused(text), PROBER_ERR_RANGE);
    snprintf(text, sizeof(text), "http://%0*d/", PROBER_HOST_MAX - 1, 0);
    parsed(text);
    snprintf(text, sizeof(text), "http://%0*d/", PROBER_HOST_MAX, 0);
    assert_int_equal(refused(text), PROBER_ERR_RANGE);
    snprintf(text, sizeof(text), "http://%0*d@a/", HTTP_USER_MAX, 0);
    parsed(text);
    snprintf(text, sizeof(text), "http://u:%0*d@a/", HTTP_USER_MAX + 1, 0);
    assert_int_equal(refused(text), PROBER_ERR_RANGE);
    snprintf(text, sizeof(text), "http://a/%*s", HTTP_URL_MAX / 2, "");
    assert_int_equal(refused(text), PROBER_ERR_RANGE); /* once its blanks are encoded */
}

static void a_location_is_resolved_against_the_url_that_sent_it(void **state)
{
    static const struct {
        const char *base, *location, *url;
    } cases[] = {
        {"http://a/b/c/d?q", "next", "http://a/b/c/next"},
        {"http://a/b/c/d?q", "../next", "http://a/b/next"},
        {"http://a/b/c/d?q", "../../../next", "http://a/next"},
        {"http://a/b/c/d?q", "./next/.", "http://a/b/c/next/"},
        {"http://a/b/c/d?q", "..", "http://a/b/"},
        {"http://a/b/c/d?q", ".", "http://a/b/c/"},
        {"http://a/b/c/d?q", "?r", "http://a/b/c/d?r"},
        {"http://a/b/c/d?q", "?", "http://a/b/c/d?"},
        {"http://a/b/c/d?q", "#f", "http://a/b/c/d?q"},
        {"http://a/b/c/d?q/r", "x", "http://a/b/c/x"},
        {"http://a/b/c/d?q", "/x/../y", "http://a/y"},
        {"http://a/b/c/d?q", "//b:81/x", "http://b:81/x"},
        {"https://a/b", "//b", "https://b/"},
        {"https://a:8443/b", "http://a/../x?y/../z", "http://a/x?y/../z"},
        {"http://a/b", "HTTPS://c/x#f", "https://c/x"},
        {"http://a:8080/b", "x y", "http://a:8080/x%20y"},
        {"http://a/b", "x/y:z", "http://a/x/y:z"},
        {"http://a/b", "/a:b", "http://a/a:b"},
        {"http://a", "x", "http://a/x"},
        {"http://a/b/../c/d", "x", "http://a/c/x"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_url base = parsed(cases[i].base), u;

        assert_int_equal(http_url_resolve(&base, cases[i].location, &u, &why), PROBER_OK);
        assert_string_equal(shown(&u), cases[i].url);
    }
}

static void a_location_that_leads_nowhere_is_refused(void **state)
{
    static const struct {
        const char *location;
        enum prober_error err;
    } cases[] = {
        {"", PROBER_ERR_SYNTAX},
        {"ftp://b/", PROBER_ERR_UNSUPPORTED},
        {"file:///x", PROBER_ERR_UNSUPPORTED},
        {"javascript:x", PROBER_ERR_UNSUPPORTED},
        {"http:x", PROBER_ERR_SYNTAX},
        {"http:///x", PROBER_ERR_SYNTAX},
        {"://b", PROBER_ERR_SYNTAX},
        {"1a:b", PROBER_ERR_SYNTAX},
        {"http://[::1", PROBER_ERR_SYNTAX},
        {"x%zz", PROBER_ERR_SYNTAX},
        {"x\ty", PROBER_ERR_SYNTAX},
        {"https://", PROBER_ERR_SYNTAX},
    };
    struct http_url base = parsed("http://a/b"), u;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(http_url_resolve(&base, cases[i].location, &u, &why), cases[i].err);
}

static void a_joined_path_is_bounded_too(void **state)
{
    static char text[HTTP_URL_MAX + 1], location[HTTP_URL_MAX + 1];
    struct http_url base, u;

    (void)state;
    snprintf(text, sizeof(text), "http://a/%0*d/", HTTP_URL_MAX - 10, 0);
    base = parsed(text);
    snprintf(location, sizeof(location), "%0*d", HTTP_URL_MAX, 0);
    assert_int_equal(http_url_resolve(&base, location, &u, &why), PROBER_ERR_RANGE);
    assert_int_equal(http_url_resolve(&base, "x", &u, &why), PROBER_OK);
}

static void user_information_stays_on_its_authority(void **state)
{
    struct http_url base = parsed("http://me:pw@a/b"), u;

    (void)state;
    assert_int_equal(http_url_resolve(&base, "/c", &u, &why), PROBER_OK);
    assert_string_equal(u.password, "pw");
    assert_int_equal(http_url_resolve(&base, "//b/c", &u, &why), PROBER_OK);
    assert_false(u.has_user);
    assert_string_equal(u.password, "");
    assert_int_equal(http_url_resolve(&base, "http://you:x@b/c", &u, &why), PROBER_OK);
    assert_string_equal(u.user, "you");
}

static void the_host_header_has_brackets_and_no_zone(void **state)
{
    struct http_url u = parsed("http://[fe80::1%25lo]:8080/");
    char text[HTTP_AUTHORITY_MAX];

    (void)state;
    assert_string_equal(u.host, "fe80::1%lo");
    assert_string_equal(http_url_authority(&u, text), "[fe80::1]:8080");
    u = parsed("A.test");
    assert_string_equal(http_url_authority(&u, text), "A.test");
    u = parsed("https://a.test:443");
    assert_string_equal(http_url_authority(&u, text), "a.test:443");
}

static void credentials_may_go_to_the_host_and_below_it(void **state)
{
    (void)state;
    assert_true(http_url_host_is_within("a.test", "A.TEST"));
    assert_true(http_url_host_is_within("www.a.test", "a.test"));
    assert_false(http_url_host_is_within("wwwa.test", "a.test"));
    assert_false(http_url_host_is_within("a.test", "www.a.test"));
    assert_false(http_url_host_is_within("9.127.0.0.1", "127.0.0.1"));
    assert_false(http_url_host_is_within("localhost", "127.0.0.1"));
    assert_true(http_url_host_is_within("::1", "::1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_read_as_written),
        cmocka_unit_test(user_information_is_decoded_and_never_shown),
        cmocka_unit_test(a_failure_quotes_no_secret),
        cmocka_unit_test(what_cannot_be_probed_is_refused),
        cmocka_unit_test(other_schemes_and_raw_idn_are_not_supported),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(a_location_is_resolved_against_the_url_that_sent_it),
        cmocka_unit_test(a_location_that_leads_nowhere_is_refused),
        cmocka_unit_test(a_joined_path_is_bounded_too),
        cmocka_unit_test(user_information_stays_on_its_authority),
        cmocka_unit_test(the_host_header_has_brackets_and_no_zone),
        cmocka_unit_test(credentials_may_go_to_the_host_and_below_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
