#include "libprober/http_mask.h"

#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "given_http_spec.h"
#include "unit.h"

static struct http_header secret_headers[] = {{"X-Key", "", HTTP_VALUE_SECRET},
                                              {"X-File", "", HTTP_VALUE_FILE},
                                              {"X-Open", "", HTTP_VALUE_TEXT}};
static struct http_spec spec;
static struct http_mask *mask;
static struct strbuf out;

static int set_up(void **state)
{
    (void)state;
    spec = given_http_spec();
    spec.http_headers = (struct http_headers){secret_headers, 3};
    out = (struct strbuf)STRBUF_INIT;
    return http_mask_create(&mask, &spec);
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_free(&out);
    http_mask_destroy(mask);
    return 0;
}

static const char *line(const char *text)
{
    strbuf_clear(&out);
    http_mask_put_line(mask, &out, text, strlen(text));
    return out.len ? out.bytes : "";
}

static const char *text(const char *shown)
{
    strbuf_clear(&out);
    http_mask_put_text(mask, &out, shown, strlen(shown));
    return out.len ? out.bytes : "";
}

static void what_is_no_secret_stays_as_it_is(void **state)
{
    static const char *const lines[] = {
        "GET /a?b=c HTTP/1.1",
        "Host: a.test",
        "X-Open:  as it is ",
        "HTTP/1.1 200 OK",
        "",
        "what",
        "WWW-Authenticate: Basic realm=\"a\"",
        "Location: http://a.test/b@c",
        ": empty",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_string_equal(line(lines[i]), lines[i]);
}

static void secret_values_are_masked_and_known_schemes_are_not(void **state)
{
    static const struct {
        const char *line, *shown;
    } cases[] = {
        {"Authorization: Bearer abc", "Authorization: Bearer <secret>"},
        {"authorization: basic YTpi", "authorization: basic <secret>"},
        {"Authorization: my own way", "Authorization: <secret>"},
        {"Authorization: Bearer", "Authorization: <secret>"},
        {"Authorization:", "Authorization: <secret>"},
        {"Proxy-Authorization:Digest user=\"a\", b=c", "Proxy-Authorization: Digest <secret>"},
        {"Cookie: a=b; c=d", "Cookie: <secret>"},
        {"Set-Cookie: sid=abc; Path=/; Secure", "Set-Cookie: sid=<secret>; Path=/; Secure"},
        {"Set-Cookie: abc", "Set-Cookie: <secret>"},
        {"x-key: abc", "x-key: <secret>"},
        {"X-File: abc", "X-File: <secret>"},
        {" folded: abc", "<secret>"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(line(cases[i].line), cases[i].shown);
}

static void what_was_masked_once_is_masked_in_texts(void **state)
{
    (void)state;
    line("Authorization: Bearer token1");
    line("X-Key: token1234");
    line("Cookie: short=html; long=0123456789; whole0123456");
    assert_string_equal(text("<html>token1, token12345 0123456789 whole0123456"),
                        "<html><secret>, <secret>5 <secret> <secret>");
    assert_string_equal(line("X-Echo: Bearer token1"), "X-Echo: Bearer <secret>");
    assert_string_equal(line("GET /token1 HTTP/1.1"), "GET /<secret> HTTP/1.1");
}

static void a_password_is_masked_that_was_sent_in_base64(void **state)
{
    (void)state;
    line("Authorization: Basic dXNlcjpwYTpzc3dvcmQ="); /* user:pa:ssword */
    assert_string_equal(text("user has pa:ssword in dXNlcjpwYTpzc3dvcmQ="),
                        "user has <secret> in <secret>");
}

static void user_information_in_urls_is_masked(void **state)
{
    (void)state;
    assert_string_equal(text("see http://user:p@ss@a.test/x@y, or //b@c."),
                        "see http://<secret>@a.test/x@y, or //<secret>@c.");
    assert_string_equal(line("Location: https://u:p@a.test/"),
                        "Location: https://<secret>@a.test/");
    assert_string_equal(text("a@b // c@d"), "a@b // c@d");
}

static void bytes_of_any_kind_are_fine(void **state)
{
    (void)state;
    strbuf_clear(&out);
    http_mask_put_text(mask, &out, "a\0b\xff//", 6);
    assert_int_equal(out.len, 6);
    assert_memory_equal(out.bytes, "a\0b\xff//", 6);
}

static void nothing_is_shown_once_secrets_cannot_be_remembered(void **state)
{
    char secret[64];

    (void)state;
    for (unsigned i = 0; i < HTTP_MASK_SECRETS_MAX; i++) {
        snprintf(secret, sizeof(secret), "X-Key: key number %u", i);
        line(secret);
        line(secret);
    }
    assert_string_equal(text("open"), "open");
    line("X-Key: one more");
    assert_string_equal(text("open"), "<secret>");
    assert_string_equal(line("Host: a.test"), "<secret>");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_no_secret_stays_as_it_is),
        TEST(secret_values_are_masked_and_known_schemes_are_not),
        TEST(what_was_masked_once_is_masked_in_texts),
        TEST(a_password_is_masked_that_was_sent_in_base64),
        TEST(user_information_in_urls_is_masked),
        TEST(bytes_of_any_kind_are_fine),
        TEST(nothing_is_shown_once_secrets_cannot_be_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
