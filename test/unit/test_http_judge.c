#include "libprober/http_judge.h"

#include <string.h>

#include "given_http_spec.h"
#include "unit.h"

static struct http_spec spec;
static struct http_fields fields;
static struct http_reply reply;
static struct http_check check;

static int set_up(void **state)
{
    (void)state;
    spec = given_http_spec();
    fields = (struct http_fields){STRBUF_INIT};
    check = (struct http_check){0};
    reply =
        (struct http_reply){.status = 200, .version = "HTTP/1.1", .fields = &fields, .body = ""};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_free(&fields.text);
    return 0;
}

static void field(const char *name, const char *value)
{
    http_fields_add(&fields, name, strlen(name), value, strlen(value));
}

static void body(const char *text)
{
    reply.body = text;
    reply.body_len = strlen(text);
}

static enum http_reason judged(void)
{
    struct http_judge *judge = NULL;
    enum http_reason reason;

    assert_int_equal(http_judge_create(&judge, &spec, NULL), PROBER_OK);
    reason = http_judge_reply(judge, &reply, &check);
    http_judge_destroy(judge);
    return reason;
}

static enum http_reason judged_status(int status)
{
    reply.status = status;
    return judged();
}

static void any_2xx_will_do_unless_codes_are_listed(void **state)
{
    int32_t codes[] = {404, 599};

    (void)state;
    assert_int_equal(judged_status(200), HTTP_SUCCEEDED);
    assert_int_equal(judged_status(299), HTTP_SUCCEEDED);
    assert_int_equal(judged_status(300), HTTP_FAILED_STATUS_CODE);
    assert_int_equal(judged_status(199), HTTP_FAILED_STATUS_CODE);
    spec.valid_status_codes = (struct http_codes){codes, 2};
    assert_int_equal(judged_status(404), HTTP_SUCCEEDED);
    assert_int_equal(judged_status(599), HTTP_SUCCEEDED);
    assert_int_equal(judged_status(200), HTTP_FAILED_STATUS_CODE);
}

static enum http_reason judged_header(bool fails_on_match, struct http_header_match match)
{
    struct http_header_matches list = {&match, 1};

    spec.fail_if_header_matches = fails_on_match ? list : (struct http_header_matches){0};
    spec.fail_if_header_not_matches = fails_on_match ? (struct http_header_matches){0} : list;
    return judged();
}

static void a_header_must_not_match(void **state)
{
    (void)state;
    field("content-type", "text/javascript");
    field("Set-Cookie", "a");
    field("Set-Cookie", "b; Domain=.example.com");
    field("X-Empty", "");
    assert_int_equal(
        judged_header(true, (struct http_header_match){"Content-Type", "script", false}),
        HTTP_FAILED_HEADER_REGEXP);
    assert_int_equal(judged_header(true, (struct http_header_match){"Content-Type", "html", false}),
                     HTTP_SUCCEEDED);
    assert_int_equal(
        judged_header(true, (struct http_header_match){"Set-Cookie", "\\.example\\.com", false}),
        HTTP_FAILED_HEADER_REGEXP);
    assert_int_equal(judged_header(true, (struct http_header_match){"X-Empty", ".*", true}),
                     HTTP_FAILED_HEADER_REGEXP);
    assert_int_equal(judged_header(true, (struct http_header_match){"X-None", ".*", false}),
                     HTTP_FAILED_HEADER_REGEXP);
    assert_int_equal(judged_header(true, (struct http_header_match){"X-None", ".*", true}),
                     HTTP_SUCCEEDED);
}

static void a_header_must_match(void **state)
{
    (void)state;
    field("Content-Type", "text/html");
    field("Set-Cookie", "a");
    field("Set-Cookie", "b");
    field("X-Empty", "");
    assert_int_equal(judged_header(false, (struct http_header_match){"Set-Cookie", "b", false}),
                     HTTP_SUCCEEDED);
    assert_int_equal(
        judged_header(false, (struct http_header_match){"Content-Type", "java", false}),
        HTTP_FAILED_HEADER_REGEXP);
    assert_int_equal(judged_header(false, (struct http_header_match){"X-Empty", ".*", false}),
                     HTTP_SUCCEEDED);
    assert_int_equal(judged_header(false, (struct http_header_match){"X-None", ".*", false}),
                     HTTP_FAILED_HEADER_REGEXP);
    assert_int_equal(judged_header(false, (struct http_header_match){"X-None", ".*", true}),
                     HTTP_SUCCEEDED);
}

static void a_body_must_match_all_or_none(void **state)
{
    const char *regexps[] = {"first", "second"};

    (void)state;
    spec.fail_if_body_matches_regexp = (struct http_texts){regexps, 2};
    body("the second phrase");
    assert_int_equal(judged(), HTTP_FAILED_BODY_REGEXP);
    body("neither");
    assert_int_equal(judged(), HTTP_SUCCEEDED);
    spec.fail_if_body_matches_regexp = (struct http_texts){0};
    spec.fail_if_body_not_matches_regexp = (struct http_texts){regexps, 2};
    assert_int_equal(judged(), HTTP_FAILED_BODY_REGEXP);
    body("the second phrase");
    assert_int_equal(judged(), HTTP_FAILED_BODY_REGEXP);
    body("first and second");
    assert_int_equal(judged(), HTTP_SUCCEEDED);
}

static void a_body_not_read_whole_fails_whatever_matches(void **state)
{
    const char *regexps[] = {"good"};

    (void)state;
    reply.body_fault = HTTP_FAILED_TRUNCATED;
    assert_int_equal(judged(), HTTP_FAILED_TRUNCATED);
    spec.fail_if_body_not_matches_regexp = (struct http_texts){regexps, 1};
    body("good");
    assert_int_equal(judged(), HTTP_FAILED_TRUNCATED);
    reply.body_fault = HTTP_SUCCEEDED;
    reply.is_unread_redirect = true;
    assert_int_equal(judged(), HTTP_FAILED_BODY_REGEXP);
}

static void the_first_fault_in_order_is_the_reason(void **state)
{
    const char *regexps[] = {"."}, *versions[] = {"HTTP/2.0"};
    struct http_header_match match = {"X-None", ".", false};

    (void)state;
    body("x");
    spec.fail_if_ssl = reply.tls = true;
    assert_int_equal(judged(), HTTP_FAILED_SSL);
    spec.valid_http_versions = (struct http_texts){versions, 1};
    assert_int_equal(judged(), HTTP_FAILED_HTTP_VERSION);
    reply.body_fault = HTTP_FAILED_BODY_TOO_LARGE;
    assert_int_equal(judged(), HTTP_FAILED_BODY_TOO_LARGE);
    reply.body_fault = HTTP_SUCCEEDED;
    spec.fail_if_body_matches_regexp = (struct http_texts){regexps, 1};
    assert_int_equal(judged(), HTTP_FAILED_BODY_REGEXP);
    spec.fail_if_header_matches = (struct http_header_matches){&match, 1};
    assert_int_equal(judged(), HTTP_FAILED_HEADER_REGEXP);
    assert_int_equal(judged_status(500), HTTP_FAILED_STATUS_CODE);
    reply.is_beyond_redirects = true;
    assert_int_equal(judged_status(302), HTTP_FAILED_TOO_MANY_REDIRECTS);
}

static void assert_check(const char *key, size_t index, const char *regexp, const char *header)
{
    assert_string_equal(check.key, key);
    assert_int_equal(check.index, index);
    assert_string_equal(check.regexp ? check.regexp : "", regexp);
    assert_string_equal(check.header ? check.header : "", header);
}

static void the_check_that_failed_is_told(void **state)
{
    const char *regexps[] = {"first", "second"}, *versions[] = {"HTTP/2.0"};
    struct http_header_match matches[] = {{"A", "b", true}, {"B", "b", false}};

    (void)state;
    spec.fail_if_body_matches_regexp = (struct http_texts){regexps, 2};
    body("the second");
    assert_int_equal(judged(), HTTP_FAILED_BODY_REGEXP);
    assert_check("fail_if_body_matches_regexp", 1, "second", "");
    spec.fail_if_body_matches_regexp = (struct http_texts){0};
    spec.fail_if_body_not_matches_regexp = (struct http_texts){regexps, 2};
    assert_int_equal(judged(), HTTP_FAILED_BODY_REGEXP);
    assert_check("fail_if_body_not_matches_regexp", 0, "first", "");
    spec.fail_if_header_not_matches = (struct http_header_matches){matches, 2};
    assert_int_equal(judged(), HTTP_FAILED_HEADER_REGEXP);
    assert_check("fail_if_header_not_matches", 1, "b", "B");
    assert_true(check.is_missing);
    field("A", "no");
    assert_int_equal(judged(), HTTP_FAILED_HEADER_REGEXP);
    assert_check("fail_if_header_not_matches", 0, "b", "A");
    assert_false(check.is_missing);
    assert_int_equal(judged_status(404), HTTP_FAILED_STATUS_CODE);
    assert_check("valid_status_codes", 0, "", "");
    spec = given_http_spec();
    spec.valid_http_versions = (struct http_texts){versions, 1};
    assert_int_equal(judged_status(200), HTTP_FAILED_HTTP_VERSION);
    assert_check("valid_http_versions", 0, "", "");
}

static void what_is_not_the_specs_doing_has_no_check(void **state)
{
    static const struct {
        enum http_reason fault;
        const char *key;
    } faults[] = {{HTTP_FAILED_TRUNCATED, NULL},
                  {HTTP_FAILED_BODY_TOO_LARGE, "body_size_limit"},
                  {HTTP_FAILED_BODY_ENCODING, "compression"}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        check = (struct http_check){.key = "none of them"};
        reply.body_fault = faults[i].fault;
        assert_int_equal(judged(), faults[i].fault);
        if (faults[i].key)
            assert_string_equal(check.key, faults[i].key);
        else
            assert_null(check.key);
    }
    reply.is_beyond_redirects = true;
    assert_int_equal(judged_status(302), HTTP_FAILED_TOO_MANY_REDIRECTS);
    assert_null(check.key);
}

static void plain_http_fails_where_tls_is_wanted(void **state)
{
    (void)state;
    spec.fail_if_not_ssl = true;
    assert_int_equal(judged(), HTTP_FAILED_NOT_SSL);
    reply.tls = true;
    assert_int_equal(judged(), HTTP_SUCCEEDED);
}

static void every_reason_has_a_text_of_its_own(void **state)
{
    (void)state;
    assert_null(http_reason_text(HTTP_SUCCEEDED));
    for (unsigned i = 1; i < HTTP_REASON_COUNT; i++) {
        assert_true(strspn(http_reason_text(i), "abcdefghijklmnopqrstuvwxyz_2") ==
                    strlen(http_reason_text(i)));
        for (unsigned k = 1; k < i; k++)
            assert_string_not_equal(http_reason_text(i), http_reason_text(k));
    }
}

static void a_regexp_that_does_not_compile_is_an_error(void **state)
{
    const char *regexps[] = {"fine", "(?=a)"};
    struct http_judge *judge = NULL;
    struct prober_failure why;

    (void)state;
    spec.fail_if_body_matches_regexp = (struct http_texts){regexps, 2};
    assert_int_equal(http_judge_create(&judge, &spec, &why), PROBER_ERR_SYNTAX);
    assert_null(judge);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(any_2xx_will_do_unless_codes_are_listed),
        TEST(a_header_must_not_match),
        TEST(a_header_must_match),
        TEST(a_body_must_match_all_or_none),
        TEST(a_body_not_read_whole_fails_whatever_matches),
        TEST(the_first_fault_in_order_is_the_reason),
        TEST(the_check_that_failed_is_told),
        TEST(what_is_not_the_specs_doing_has_no_check),
        TEST(plain_http_fails_where_tls_is_wanted),
        TEST(every_reason_has_a_text_of_its_own),
        TEST(a_regexp_that_does_not_compile_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
