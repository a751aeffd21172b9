#include "libprober/http_token.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "unit.h"

static struct http_token token;
static struct prober_failure why;

static int tear_down(void **state)
{
    (void)state;
    free(token.authorization);
    memset(&token, 0, sizeof(token));
    memset(&why, 0, sizeof(why));
    return 0;
}

static enum prober_error read_answer(int status, const char *type, const char *body)
{
    struct http_fields fields = {STRBUF_INIT};
    struct http_reply reply = {
        .status = status, .fields = &fields, .body = body, .body_len = strlen(body)};
    enum prober_error err;

    tear_down(NULL);
    if (type)
        http_fields_add(&fields, "content-type", strlen("content-type"), type, strlen(type));
    err = http_token_read(&reply, &token, &why);
    strbuf_free(&fields.text);
    return err;
}

static void an_answer_gives_a_token_and_how_long_it_lives(void **state)
{
    static const struct {
        const char *type, *body, *authorization;
        uint64_t life_s; /* 0: for ever */
    } cases[] = {
        {"application/json", "{\"access_token\":\"t\",\"token_type\":\"bearer\",\"expires_in\":60}",
         "Bearer t", 60},
        {NULL, " {\"access_token\":\"t\",\"expires_in\":\"60\",\"x\":[1]}\n", "Bearer t", 60},
        {NULL, "{\"access_token\":\"t\",\"expires_in\":null}", "Bearer t", 0},
        {NULL, "{\"access_token\":\"t\",\"expires_in\":0}", "Bearer t", 0},
        {NULL, "{\"access_token\":\"t\",\"expires_in\":1e300}", "Bearer t", 0},
        {NULL, "{\"access_token\":\"t\",\"expires_in\":-5,\"token_type\":\"mac\"}", "MAC t", 0},
        {NULL, "{\"access_token\":\"t\",\"token_type\":\"DPoP\"}", "DPoP t", 0},
        {"application/x-www-form-urlencoded; charset=utf-8",
         "access_token=a%2Bb%3d&token_type=BASIC&expires_in=7&x", "Basic a+b=", 7},
        {"text/plain", "access_token=t\n", "Bearer t", 0},
        {"text/plain", "{\"access_token\":\"t\"}", "Bearer t", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(read_answer(200, cases[i].type, cases[i].body), PROBER_OK);
        assert_string_equal(token.authorization, cases[i].authorization);
        assert_true(token.life_ns ==
                    (cases[i].life_s ? cases[i].life_s * CLOCK_NS_PER_S : UINT64_MAX));
    }
}

static void what_gives_no_token_says_why_and_no_secret(void **state)
{
    static const struct {
        int status;
        const char *type, *body, *why;
    } cases[] = {
        {400, NULL, "{\"error\":\"invalid_client\",\"access_token\":\"SECRET\"}",
         "the token server answered 400 invalid_client"},
        {401, NULL, "SECRET", "the token server answered 401"},
        {200, NULL, "{\"error\":\"SECRET!\",\"access_token\":\"t\"}",
         "the token server answered 200"},
        {302, NULL, "", "the token server answered 302"},
        {200, NULL, "", "the token server's answer is no JSON"},
        {200, NULL, "access_token=SECRET", "the token server's answer is no JSON"},
        {200, NULL, "{\"access_token\":\"a\"} x", "the token server's answer is no JSON"},
        {200, NULL, "{\"access_token\":7}", "the token server's answer has no access_token"},
        {200, NULL, "[]", "the token server's answer has no access_token"},
        {200, NULL, "{\"access_token\":\"\"}", "the token server's answer has no access_token"},
        {200, NULL, "{\"access_token\":\"SECRET\\r\\nX: y\"}",
         "the token server's token cannot stand in a header"},
        {200, NULL, "{\"access_token\":\"a\",\"token_type\":\"SEC RET\"}",
         "the token server's token cannot stand in a header"},
        {200, "text/plain", "access_token=a%0ab",
         "the token server's token cannot stand in a header"},
        {200, NULL, "{\"access_token\":\"SECRET\",\"expires_in\":\"soon\"}",
         "the token server's expires_in is no number"},
        {200, NULL, "{\"access_token\":\"SECRET\",\"expires_in\":[]}",
         "the token server's expires_in is no number"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_not_equal(read_answer(cases[i].status, cases[i].type, cases[i].body), PROBER_OK);
        assert_string_equal(why.text, cases[i].why);
        assert_null(token.authorization);
    }
}

static void an_answer_that_was_cut_is_none(void **state)
{
    struct http_fields fields = {STRBUF_INIT};
    struct http_reply reply = {.status = 200,
                               .fields = &fields,
                               .body = "{\"access_token\":\"t\"}",
                               .body_len = 20,
                               .body_fault = HTTP_FAILED_TRUNCATED};

    (void)state;
    assert_int_equal(http_token_read(&reply, &token, &why), PROBER_ERR_SYNTAX);
    assert_string_equal(why.text, "the token server's answer was not read whole");
}

static const char *form(const struct http_oauth2 *oauth2, bool with_client)
{
    static char text[512];
    struct strbuf out = STRBUF_INIT;

    http_token_put_form(&out, oauth2, with_client);
    assert_true(out.len < sizeof(text));
    memcpy(text, out.bytes, out.len + 1);
    strbuf_free(&out);
    return text;
}

static void the_form_asks_for_client_credentials(void **state)
{
    const char *scopes[] = {"read", "write all"};
    struct http_header params[] = {{"audience", "https://a.test/?x", HTTP_VALUE_SECRET}};
    struct http_oauth2 o = {.client_id = "me&you", .client_secret.text = "s=\xc3\xa4"};

    (void)state;
    assert_string_equal(form(&o, false), "grant_type=client_credentials");
    assert_string_equal(form(&o, true), "grant_type=client_credentials&client_id=me%26you"
                                        "&client_secret=s%3D%C3%A4");
    o.scopes = (struct http_texts){scopes, 2};
    o.endpoint_params = (struct http_headers){params, 1};
    o.client_secret.text = NULL;
    assert_string_equal(form(&o, true),
                        "audience=https%3A%2F%2Fa.test%2F%3Fx&grant_type=client_credentials"
                        "&scope=read+write+all&client_id=me%26you");
    params[0] = (struct http_header){"grant_type", "other", HTTP_VALUE_SECRET};
    o.scopes.count = 0;
    assert_string_equal(form(&o, false), "grant_type=other");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_gives_a_token_and_how_long_it_lives),
        TEST(what_gives_no_token_says_why_and_no_secret),
        TEST(an_answer_that_was_cut_is_none),
        TEST(the_form_asks_for_client_credentials),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
