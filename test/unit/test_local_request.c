#include "test/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "serverd/local_request.h"

static struct local_request request;
static struct prober_failure why;

static enum prober_error read_text(const char *text)
{
    memset(&request, 0x5a, sizeof(request));
    memset(&why, 0, sizeof(why));
    return local_request_parse(text, strlen(text), &request, &why);
}

static void an_order_for_a_token_is_read(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"command\":\"join-token make\",\"region\":\"欧洲\",\"ttl_s\":60,"
                               "\"uses\":\"3\"}"),
                     PROBER_OK);
    assert_int_equal(request.command, LOCAL_TOKEN_MAKE);
    assert_string_equal(request.region, "欧洲");
    assert_int_equal(request.ttl_s, 60);
    assert_int_equal(request.uses, 3);
}

static void what_is_left_out_is_the_default(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"command\":\"join-token make\"}"), PROBER_OK);
    assert_string_equal(request.region, "");
    assert_int_equal(request.ttl_s, 0);
    assert_int_equal(request.uses, 0);
}

static void what_is_written_is_read_back(void **state)
{
    struct local_request requests[] = {
        {.command = LOCAL_TOKEN_MAKE, .region = "a \"b\"", .ttl_s = INT64_MAX, .uses = 7},
        {.command = LOCAL_TOKEN_LIST},
        {.command = LOCAL_TOKEN_REVOKE, .name = "0123456789abcdef"},
        {.command = LOCAL_AGENT_LIST},
        {.command = LOCAL_AGENT_REVOKE, .agent = {{1, 2, 3}}},
        {.command = LOCAL_AGENT_UNREVOKE, .agent = {{0xff}}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct strbuf text = STRBUF_INIT;

        local_request_put(&text, &requests[i]);
        assert_true(strbuf_ok(&text));
        assert_null(strchr(text.bytes, '\n'));
        assert_int_equal(read_text(text.bytes), PROBER_OK);
        assert_int_equal(request.command, requests[i].command);
        assert_string_equal(request.region, requests[i].region);
        assert_true(request.ttl_s == requests[i].ttl_s && request.uses == requests[i].uses);
        assert_string_equal(request.name, requests[i].name);
        assert_true(prober_id_equal(&request.agent, &requests[i].agent));
        assert_int_equal(local_request_is_change(request.command),
                         request.command != LOCAL_TOKEN_LIST &&
                             request.command != LOCAL_AGENT_LIST);
        strbuf_free(&text);
    }
}

static void anything_else_is_refused_with_a_sentence(void **state)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "line 1"},
        {"[]", "is an object"},
        {"{}", "no such command"},
        {"{\"command\":7}", "no such command"},
        {"{\"command\":\"format disk\"}", "no such command"},
        {"{\"command\":\"agents list\",\"agent\":\"x\"}", "'agent' does not belong"},
        {"{\"command\":\"agents revoke\"}", "the id of an agent is missing"},
        {"{\"command\":\"agents revoke\",\"agent\":\"../x\"}", "agent: expected the id"},
        {"{\"command\":\"agents revoke\",\"agent\":5}", "agent: expected the id"},
        {"{\"command\":\"join-token revoke\"}", "the name of a token is missing"},
        {"{\"command\":\"join-token revoke\",\"name\":\"0123456789abcdef0\"}", "name: expected"},
        {"{\"command\":\"join-token make\",\"name\":\"0\"}", "'name' does not belong"},
        {"{\"command\":\"join-token make\",\"uses\":-1}", "uses: expected"},
        {"{\"command\":\"join-token make\",\"ttl_s\":1.5}", "ttl_s: expected"},
        {"{\"command\":\"join-token make\",\"region\":null}", "region: expected"},
        {"{\"command\":\"join-token make\"} x", ""},
        {"{\"command\":\"join-token make\",\"uses\":1,\"uses\":2}", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(read_text(cases[i].text), PROBER_ERR_SYNTAX);
        if (!strstr(why.text, cases[i].sentence))
            fail_msg("%s: %s", cases[i].text, why.text);
    }
}

static void a_long_request_is_refused_unread(void **state)
{
    static char text[LOCAL_REQUEST_MAX + 2];

    (void)state;
    memset(text, ' ', sizeof(text) - 1);
    assert_int_equal(read_text(text), PROBER_ERR_SYNTAX);
    assert_non_null(strstr(why.text, "more than"));
}

static void a_region_of_the_greatest_length_is_taken_and_none_longer(void **state)
{
    char text[256], region[PKI_REGION_MAX + 2];

    (void)state;
    for (size_t over = 0; over < 2; over++) {
        memset(region, 'r', sizeof(region));
        region[PKI_REGION_MAX + over] = '\0';
        snprintf(text, sizeof(text), "{\"command\":\"join-token make\",\"region\":\"%s\"}", region);
        assert_int_equal(read_text(text), over ? PROBER_ERR_SYNTAX : PROBER_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_for_a_token_is_read),
        cmocka_unit_test(what_is_left_out_is_the_default),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(anything_else_is_refused_with_a_sentence),
        cmocka_unit_test(a_long_request_is_refused_unread),
        cmocka_unit_test(a_region_of_the_greatest_length_is_taken_and_none_longer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
