#include "libprober/http_head.h"

#include <string.h>

#include "unit.h"

static struct http_head head;

static int set_up(void **state)
{
    (void)state;
    head = (struct http_head)HTTP_HEAD_INIT;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_head_clear(&head);
    return 0;
}

/* Gives the text line by line; false when one was refused. */
static bool take(const char *text)
{
    bool ok = true;

    while (*text && ok) {
        size_t len = strcspn(text, "\n") + 1;

        ok = http_head_take(&head, text, len);
        text += len;
    }
    return ok;
}

static const char *value(const char *name)
{
    return http_fields_next(&head.fields, name, NULL);
}

static void status_version_and_fields_are_read(void **state)
{
    (void)state;
    assert_true(take("HTTP/1.1 200 OK\r\nA: 1 \r\nB:2\r\na:\t3:4\r\nEmpty:\r\n"));
    assert_false(head.is_whole);
    assert_true(take("\r\n"));
    assert_true(head.is_whole);
    assert_int_equal(head.status, 200);
    assert_string_equal(head.version, "HTTP/1.1");
    assert_string_equal(value("A"), "1");
    assert_string_equal(http_fields_next(&head.fields, "A", value("A")), "3:4");
    assert_null(http_fields_next(&head.fields, "b", value("B")));
    assert_string_equal(value("empty"), "");
    assert_null(value("None"));
    assert_int_equal(head.content_length, -1);
}

static void http_2_has_a_minor_version_too(void **state)
{
    (void)state;
    assert_true(take("HTTP/2 404 \r\n\r\n"));
    assert_string_equal(head.version, "HTTP/2.0");
    assert_int_equal(head.status, 404);
}

static void interim_answers_are_skipped(void **state)
{
    (void)state;
    assert_true(take("HTTP/1.1 103 Early\r\nA: 1\r\nContent-Length: 7\r\n\r\n"));
    assert_false(head.is_whole);
    assert_true(take("HTTP/1.1 204 No\r\n\r\n"));
    assert_true(head.is_whole);
    assert_int_equal(head.status, 204);
    assert_null(value("A"));
    assert_int_equal(head.content_length, -1);
}

static void lines_after_the_head_are_ignored_but_bounded(void **state)
{
    size_t lines = 0;

    (void)state;
    assert_true(take("HTTP/1.1 200 OK\r\n\r\nTrailer: x\r\nno colon\r\n"));
    assert_null(value("Trailer"));
    while (take("Trailer: x\r\n") && lines < HTTP_HEAD_MAX)
        lines++;
    assert_int_equal(lines, (HTTP_HEAD_MAX - 19 - 12 - 10) / 12);
    assert_int_equal(head.fault, HTTP_SUCCEEDED);
}

static void versions_are_those_that_we_speak(void **state)
{
    static const char *const bad[] = {"http/1.1 200 OK\r\n", "HTTP/1.2 200 OK\r\n",
                                      "HTTP/2.0 200 OK\r\n", "HTTP/3 200\r\n",
                                      "ICY 200 OK\r\n",      "\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        http_head_clear(&head);
        assert_false(take(bad[i]));
        assert_int_equal(head.fault, HTTP_FAILED_BAD_RESPONSE);
    }
    http_head_clear(&head);
    assert_true(take("HTTP/1.0 200 OK\r\n"));
    http_head_clear(&head);
    head.is_plain = true;
    assert_false(take("HTTP/2 200 OK\r\n"));
}

static void the_only_transfer_coding_is_chunked(void **state)
{
    (void)state;
    assert_true(take("HTTP/1.1 200 OK\r\nTransfer-encoding: Chunked\r\n"));
    assert_false(take("Transfer-Encoding: chunked\r\n")); /* twice */
    http_head_clear(&head);
    assert_true(take("HTTP/1.1 200 OK\r\n"));
    assert_false(take("Transfer-Encoding: rot13\r\n"));
    assert_int_equal(head.fault, HTTP_FAILED_BAD_RESPONSE);
}

static void lengths_must_agree(void **state)
{
    (void)state;
    assert_true(take("HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n"));
    assert_int_equal(head.content_length, 5);
    assert_false(take("Content-Length: 6\r\n"));
    assert_int_equal(head.fault, HTTP_FAILED_BAD_RESPONSE);
    assert_false(take("\r\n")); /* the fault stays */
}

static void what_is_no_field_is_refused(void **state)
{
    static const char *const bad[] = {"what\r\n",
                                      ": x\r\n",
                                      "Content-Length: x\r\n",
                                      "Content-Length:\r\n",
                                      "Content-Length: -1\r\n",
                                      "Content-Length: 99999999999999999999\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        http_head_clear(&head);
        assert_true(take("HTTP/1.1 200 OK\r\n"));
        assert_false(take(bad[i]));
    }
    http_head_clear(&head);
    take("HTTP/1.1 200 OK\r\n");
    assert_false(http_head_take(&head, "A: \0\r\n", 6));
}

static void a_status_is_three_digits(void **state)
{
    static const char *const bad[] = {"HTTP/1.1 2x0 OK\r\n", "HTTP/1.1\r\n",
                                      "HTTP/1.1 200OK\r\n",  "HTTP/1.1 2000\r\n",
                                      "HTTP/1.1 099 A\r\n",  "HTTP/1.1 200\tOK\r\n"};
    static const char *const good[] = {"HTTP/1.1 200\r\n", "HTTP/1.1 200 \n",
                                       "HTTP/1.1  200 OK\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        http_head_clear(&head);
        assert_false(take(bad[i]));
        assert_int_equal(head.fault, HTTP_FAILED_BAD_RESPONSE);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        http_head_clear(&head);
        assert_true(take(good[i]));
        assert_int_equal(head.status, 200);
    }
}

static void a_folded_value_is_one_value(void **state)
{
    static const char *const bad[] = {"HTTP/1.1 200 OK\r\n",
                                      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
                                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"};

    (void)state;
    assert_true(take("HTTP/1.1 200 OK\r\nA: 1\r\n\t 2 \r\n 3\r\nB: 4\r\n\r\n"));
    assert_string_equal(value("A"), "1 2 3");
    assert_string_equal(value("B"), "4");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        http_head_clear(&head);
        assert_true(take(bad[i]));
        assert_false(take(" 6\r\n"));
    }
}

static void a_head_ends_with_an_empty_line_alone(void **state)
{
    (void)state;
    assert_true(take("HTTP/1.1 200 OK\nA: 1\n\n"));
    assert_true(head.is_whole);
    http_head_clear(&head);
    assert_true(take("HTTP/1.1 200 OK\r\n"));
    assert_false(take("\r\r\n"));
    http_head_clear(&head);
    assert_true(take("HTTP/1.1 200 OK\r\n"));
    assert_false(take("\rA: 1\r\n"));
}

static void a_head_is_bounded(void **state)
{
    size_t lines = 0;

    (void)state;
    assert_true(take("HTTP/1.1 200 OK\r\n"));
    while (take("A: 23456789abcd\r\n") && lines < HTTP_HEAD_MAX)
        lines++;
    assert_int_equal(lines, (HTTP_HEAD_MAX - 17) / 17);
    assert_int_equal(head.fault, HTTP_FAILED_BAD_RESPONSE);
}

static void only_a_redirect_with_a_location_leads_on(void **state)
{
    (void)state;
    take("HTTP/1.1 308 Moved\r\nlocation: /x\r\n\r\n");
    assert_string_equal(http_head_location(&head), "/x");
    http_head_clear(&head);
    take("HTTP/1.1 302 Moved\r\nLocation:\r\n\r\n");
    assert_null(http_head_location(&head));
    http_head_clear(&head);
    take("HTTP/1.1 201 Created\r\nLocation: /x\r\n\r\n");
    assert_null(http_head_location(&head));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(status_version_and_fields_are_read),
        TEST(http_2_has_a_minor_version_too),
        TEST(interim_answers_are_skipped),
        TEST(lines_after_the_head_are_ignored_but_bounded),
        TEST(versions_are_those_that_we_speak),
        TEST(the_only_transfer_coding_is_chunked),
        TEST(lengths_must_agree),
        TEST(what_is_no_field_is_refused),
        TEST(a_status_is_three_digits),
        TEST(a_folded_value_is_one_value),
        TEST(a_head_ends_with_an_empty_line_alone),
        TEST(a_head_is_bounded),
        TEST(only_a_redirect_with_a_location_leads_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
