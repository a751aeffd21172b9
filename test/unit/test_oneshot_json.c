#include "agentd/oneshot_json.h"

#include <string.h>

#include "unit.h"

static void assert_text(struct strbuf *out, const char *expected)
{
    assert_true(strbuf_ok(out));
    assert_string_equal(out->len ? out->bytes : "", expected);
    strbuf_free(out);
}

static void commas_stand_between_and_nowhere_else(void **state)
{
    struct strbuf out = STRBUF_INIT;

    (void)state;
    strbuf_putc(&out, '{');
    oneshot_json_add_count(&out, "a", 1);
    oneshot_json_add_string(&out, "b", NULL);
    oneshot_json_key(&out, "c");
    strbuf_putc(&out, '[');
    for (int i = 0; i < 2; i++) {
        oneshot_json_comma(&out);
        strbuf_putc(&out, '{');
        oneshot_json_add_seconds(&out, "s", 1500000000);
        strbuf_putc(&out, '}');
    }
    strbuf_puts(&out, "]}");
    assert_text(&out, "{\"a\":1,\"b\":null,\"c\":[{\"s\":1.5},{\"s\":1.5}]}");
}

static void a_text_is_valid_and_cannot_forge_a_line(void **state)
{
    struct strbuf out = STRBUF_INIT;
    const char text[] = "a\"\\\n\0\x1b\xff\xc3\xa4\xe2\x80\xae";

    (void)state;
    oneshot_json_put_text(&out, text, sizeof(text) - 1);
    assert_text(&out, "\"a\\\"\\\\\\u000a\\ufffd\\u001b\\ufffd\xc3\xa4\\u202e\"");
}

static void what_is_not_known_is_null(void **state)
{
    struct strbuf out = STRBUF_INIT;
    const struct prober_addr none = {0},
                             one = {.family = PROBER_FAMILY_IPV4, .bytes = {192, 0, 2, 1}};

    (void)state;
    oneshot_json_add_number(&out, "a", false, 7);
    oneshot_json_add_number(&out, "b", true, -7);
    oneshot_json_key(&out, "c");
    oneshot_json_put_address(&out, &none);
    oneshot_json_key(&out, "d");
    oneshot_json_put_address(&out, &one);
    oneshot_json_key(&out, "e");
    oneshot_json_put_bool(&out, true);
    assert_text(&out, "\"a\":null,\"b\":-7,\"c\":null,\"d\":\"192.0.2.1\",\"e\":true");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_stand_between_and_nowhere_else),
        cmocka_unit_test(a_text_is_valid_and_cannot_forge_a_line),
        cmocka_unit_test(what_is_not_known_is_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
