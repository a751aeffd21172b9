#include "libprober/http_course.h"

#include <string.h>

#include "given_http_spec.h"
#include "unit.h"

static struct http_spec spec;
static struct http_course course;
static struct http_fields fields;

static int set_up(void **state)
{
    (void)state;
    spec = given_http_spec();
    fields = (struct http_fields){STRBUF_INIT};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_free(&fields.text);
    return 0;
}

static void begin(const char *target)
{
    assert_int_equal(http_course_begin(&course, &spec, target), PROBER_OK);
}

static void redirect(int status, const char *location)
{
    assert_int_equal(http_course_redirect(&course, status, location), PROBER_OK);
}

/* The value of a header of this hop; NULL: it is not sent. */
static const char *sent(const char *name)
{
    strbuf_clear(&fields.text);
    http_course_put_fields(&course, &fields);
    return http_fields_next(&fields, name, NULL);
}

static void redirects_turn_methods_into_get_unless_told_to_keep_them(void **state)
{
    static const int turning[] = {301, 302, 303}, keeping[] = {307, 308};

    (void)state;
    spec.method = "PUT";
    spec.body = "x";
    for (size_t i = 0; i < 3; i++) {
        begin("a.test");
        redirect(turning[i], "/b");
        assert_string_equal(course.method, "GET");
        assert_false(course.has_body);
    }
    for (size_t i = 0; i < 2; i++) {
        begin("a.test");
        redirect(keeping[i], "/b");
        assert_string_equal(course.method, "PUT");
        assert_true(course.has_body);
    }
    spec.method = "HEAD";
    begin("a.test");
    redirect(302, "/b");
    assert_string_equal(course.method, "HEAD");
}

static void the_host_header_is_kept_on_relative_redirects_alone(void **state)
{
    struct http_header host = {"hOST", "other.test", HTTP_VALUE_TEXT};

    (void)state;
    spec.headers = (struct http_headers){&host, 1};
    begin("http://a.test:8080/");
    assert_string_equal(course.host, "other.test");
    redirect(302, "/b");
    assert_string_equal(course.host, "other.test");
    redirect(302, "http://a.test:8080/c");
    assert_string_equal(course.host, "a.test:8080");
    redirect(302, "/d");
    assert_string_equal(course.host, "a.test:8080");
    assert_null(sent("Host"));
}

static void the_name_for_tls_holds_for_the_first_host_and_port_alone(void **state)
{
    struct http_header host = {"Host", "[::1]:8443", HTTP_VALUE_TEXT};

    (void)state;
    begin("https://a.test");
    assert_string_equal(course.tls_name, "a.test");
    spec.headers = (struct http_headers){&host, 1};
    begin("https://a.test");
    assert_string_equal(course.tls_name, "::1");
    spec.tls.server_name = "b.test";
    begin("https://a.test");
    assert_string_equal(course.tls_name, "b.test");
    redirect(302, "https://a.test/x");
    assert_string_equal(course.tls_name, "b.test");
    redirect(302, "https://a.test:8443/");
    assert_string_equal(course.tls_name, "a.test");
    redirect(302, "https://[fe80::1%25lo]/");
    assert_string_equal(course.tls_name, "fe80::1");
}

static void nothing_secret_reaches_another_host(void **state)
{
    struct http_header headers[] = {{"Cookie", "c", HTTP_VALUE_SECRET},
                                    {"X-Probe", "p", HTTP_VALUE_TEXT}};
    struct http_header more[] = {{"X-Key", "k", HTTP_VALUE_SECRET}};
    struct http_authorization bearer = {.type = "Bearer", .credentials.text = "token"};

    (void)state;
    spec.headers = (struct http_headers){headers, 2};
    spec.http_headers = (struct http_headers){more, 1};
    spec.authorization = &bearer;
    begin("a.test");
    assert_string_equal(sent("authorization"), "Bearer token");
    redirect(302, "http://www.a.test:81/"); /* below it, on any port */
    assert_string_equal(sent("Authorization"), "Bearer token");
    assert_string_equal(sent("Cookie"), "c");
    assert_string_equal(sent("X-Key"), "k");
    redirect(302, "http://b.test/");
    assert_null(sent("Authorization"));
    assert_null(sent("Cookie"));
    assert_null(sent("X-Key"));
    assert_string_equal(sent("X-Probe"), "p");
    redirect(302, "http://a.test/"); /* and stays withheld */
    assert_null(sent("Authorization"));
    assert_null(sent("X-Key"));
}

static void of_several_credentials_the_nearest_counts(void **state)
{
    struct http_header header = {"Authorization", "own", HTTP_VALUE_SECRET};
    struct http_basic_auth auth = {.username = "user", .password.text = "password"};

    (void)state;
    spec.basic_auth = &auth;
    begin("http://me:pw@a.test/");
    assert_string_equal(sent("Authorization"), "Basic bWU6cHc=");
    begin("http://a.test/");
    assert_string_equal(sent("Authorization"), "Basic dXNlcjpwYXNzd29yZA==");
    spec.headers = (struct http_headers){&header, 1};
    begin("http://me:pw@a.test/");
    assert_string_equal(sent("Authorization"), "own");
    assert_null(http_fields_next(&fields, "Authorization", sent("Authorization")));
}

static void a_redirect_that_leads_nowhere_changes_nothing(void **state)
{
    (void)state;
    begin("http://a.test/x");
    assert_int_equal(http_course_redirect(&course, 302, "ftp://b/"), PROBER_ERR_UNSUPPORTED);
    assert_string_equal(course.url.path, "/x");
    assert_false(course.has_left);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(redirects_turn_methods_into_get_unless_told_to_keep_them),
        TEST(the_host_header_is_kept_on_relative_redirects_alone),
        TEST(the_name_for_tls_holds_for_the_first_host_and_port_alone),
        TEST(nothing_secret_reaches_another_host),
        TEST(of_several_credentials_the_nearest_counts),
        TEST(a_redirect_that_leads_nowhere_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
