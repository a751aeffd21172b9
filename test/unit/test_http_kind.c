#include "libprober/http_kind.h"

#include "common/array.h"
#include "fakes/http_server.h"
#include "fakes/tls_server.h"
#include "given_files.h"
#include "given_http_engine.h"
#include "unit.h"

static const struct http_route routes[] = {
    {.method = "GET", .path = "/", .body = "good day"},
    {.method = "POST", .path = "/", .body = "posted"},
    {.method = "POST",
     .path = "/keep",
     .status = 307,
     .headers = "Location: /\r\n",
     .body = "stay"},
    {.method = "POST", .path = "/see", .status = 303, .headers = "Location: /\r\n"},
    {0},
};

static const struct dns_record records[] = {{.name = "a.test", .a = "127.0.0.1"}, {0}};

struct fixture {
    struct given_http_engine g;
    struct given_files files;
    struct http_server *server;
    struct http_authorization authorization;
};

static int set_up(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    given_engine(&f.g, records);
    given_dir(&f.files);
    f.server = http_server_start(routes);
    f.g.means.secrets_dir = f.files.dir;
    f.authorization = (struct http_authorization){.type = "Bearer", .credentials.file = "token"};
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    given_engine_ends(&f->g);
    http_server_stop(f->server);
    given_dir_ends(&f->files);
    return 0;
}

static const char *get(struct fixture *f, const char *path)
{
    char url[128];

    snprintf(url, sizeof(url), "%s%s", http_server_url(f->server), path);
    return given_probe(&f->g, url);
}

static bool was_sent(const struct fixture *f, const char *text)
{
    return strstr(http_server_last(f->server), text) != NULL;
}

static void a_secret_is_read_from_its_file(void **state)
{
    struct fixture *f = *state;

    f->g.spec.authorization = &f->authorization;
    given_text(&f->files, "token", "sesame\n");
    assert_string_equal(get(f, "/"), "success");
    assert_true(was_sent(f, "\r\nAuthorization: Bearer sesame\r\n"));
}

static void a_secret_that_is_swapped_holds_from_the_next_look_on(void **state)
{
    struct fixture *f = *state;

    f->g.spec.authorization = &f->authorization;
    given_text(&f->files, "token", "old");
    assert_string_equal(get(f, "/"), "success");
    given_text(&f->files, "token", "new");
    f->g.later_ns += HTTP_KIND_LOOK_NS;
    assert_string_equal(get(f, "/"), "success");
    assert_true(was_sent(f, "Bearer new\r\n"));
}

static void without_its_file_a_probe_is_not_made_and_says_why(void **state)
{
    struct fixture *f = *state;

    f->g.spec.authorization = &f->authorization;
    assert_string_equal(get(f, "/"), "local_error");
    assert_string_equal(f->g.trouble,
                        "credentials_file or bearer_token_file: 'token': there is no such file");
    assert_int_equal(http_server_requests(f->server), 0);
    given_text(&f->files, "token", "sesame");
    assert_string_equal(get(f, "/"), "local_error"); /* it was looked for just now */
    f->g.later_ns += HTTP_KIND_LOOK_NS;
    assert_string_equal(get(f, "/"), "success");
    assert_string_equal(f->g.trouble, "");
    assert_int_equal(unlink(given_path(&f->files, "token")), 0);
    f->g.later_ns += HTTP_KIND_LOOK_NS;
    assert_string_equal(get(f, "/"), "local_error");
}

static void without_a_directory_no_kind_that_needs_a_file_is_made(void **state)
{
    struct fixture *f = *state;
    struct http_kind *kind = NULL;
    struct prober_failure why;

    f->g.spec.authorization = &f->authorization;
    assert_int_equal(http_kind_create(&kind, &f->g.spec, NULL, &why), PROBER_ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "-agent.secrets.dir"));
    f->authorization.credentials.file = "/elsewhere/token";
    assert_int_equal(http_kind_create(&kind, &f->g.spec, &f->g.means, &why), PROBER_ERR_DENIED);
    assert_null(kind);
}

static void a_body_of_a_file_is_sent_as_a_stream(void **state)
{
    struct fixture *f = *state;

    f->g.spec.body_file = "body";
    f->g.spec.method = "POST";
    given_text(&f->files, "body", " k=v\n");
    assert_string_equal(get(f, "/"), "success");
    assert_true(was_sent(f, "\r\nTransfer-Encoding: chunked\r\n"));
    assert_true(was_sent(f, "\r\n\r\n5\r\n k=v\n\r\n0\r\n\r\n"));
    assert_false(was_sent(f, "Content-Length"));
    assert_string_equal(get(f, "/see"), "success");
    assert_false(was_sent(f, "chunked"));
}

static void an_empty_stream_is_a_body_where_methods_have_one(void **state)
{
    struct fixture *f = *state;

    f->g.spec.body_file = "body";
    given_text(&f->files, "body", "");
    assert_string_equal(get(f, "/"), "success");
    assert_false(was_sent(f, "chunked"));
    given_spec_changes(&f->g);
    f->g.spec.method = "POST";
    assert_string_equal(get(f, "/"), "success");
    assert_true(was_sent(f, "chunked"));
    assert_true(was_sent(f, "\r\n\r\n0\r\n\r\n"));
}

static void a_stream_is_not_sent_again(void **state)
{
    struct fixture *f = *state;
    int32_t codes[] = {307};
    const char *regexps[] = {"^stay$"};

    f->g.spec.body_file = "body";
    f->g.spec.method = "POST";
    given_text(&f->files, "body", "k=v");
    assert_string_equal(get(f, "/keep"), "status_code");
    assert_int_equal(f->g.result.redirects, 0);
    given_spec_changes(&f->g);
    f->g.spec.valid_status_codes = (struct http_codes){codes, 1};
    f->g.spec.fail_if_body_not_matches_regexp = (struct http_texts){regexps, 1};
    assert_string_equal(get(f, "/keep"), "success");
}

static void certificates_and_keys_are_read_from_files(void **state)
{
    struct fixture *f = *state;
    struct tls_server *server = tls_server_start(
        &(struct tls_server_config){.names = "DNS:a.test", .asks_for_client = true});
    char url[64];

    snprintf(url, sizeof(url), "https://a.test:%s/", tls_server_port(server));
    f->g.spec.tls =
        (struct http_tls){.ca_file = "ca.pem", .cert_file = "cert.pem", .key.file = "key.pem"};
    given_text(&f->files, "ca.pem", "no certificate");
    given_text(&f->files, "cert.pem", tls_server_cert(server));
    given_text(&f->files, "key.pem", tls_server_key(server));
    assert_string_equal(given_probe(&f->g, url), "local_error");
    assert_non_null(strstr(f->g.trouble, "tls_config.ca_file: there is no certificate"));
    given_text(&f->files, "ca.pem", tls_server_ca(server));
    f->g.later_ns += HTTP_KIND_LOOK_NS;
    assert_string_equal(given_probe(&f->g, url), "success");
    assert_int_equal(f->g.result.last_chain_expiry, tls_server_leaf_expiry(server));
    tls_server_stop(server);
}

static void a_kit_outlives_its_successor(void **state)
{
    struct fixture *f = *state;
    struct http_kind *kind = NULL;
    const struct http_kit *first, *same, *next;
    const char *trouble;

    f->g.spec.authorization = &f->authorization;
    given_text(&f->files, "token", "one");
    assert_int_equal(http_kind_create(&kind, &f->g.spec, &f->g.means, NULL), PROBER_OK);
    first = http_kind_hold(kind, 5, &trouble);
    same = http_kind_hold(kind, 5 + HTTP_KIND_LOOK_NS, &trouble);
    assert_ptr_equal(first, same);
    given_text(&f->files, "token", "two");
    assert_ptr_equal(http_kind_hold(kind, 4 + 2 * HTTP_KIND_LOOK_NS, &trouble), first);
    next = http_kind_hold(kind, 5 + 2 * HTTP_KIND_LOOK_NS, &trouble);
    assert_string_equal(next->spec->authorization->credentials.text, "two");
    assert_string_equal(first->spec->authorization->credentials.text, "one");
    for (int i = 0; i < 3; i++)
        http_kit_release(first);
    http_kit_release(next);
    http_kind_destroy(kind);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_secret_is_read_from_its_file),
        TEST(a_secret_that_is_swapped_holds_from_the_next_look_on),
        TEST(without_its_file_a_probe_is_not_made_and_says_why),
        TEST(without_a_directory_no_kind_that_needs_a_file_is_made),
        TEST(a_body_of_a_file_is_sent_as_a_stream),
        TEST(an_empty_stream_is_a_body_where_methods_have_one),
        TEST(a_stream_is_not_sent_again),
        TEST(certificates_and_keys_are_read_from_files),
        TEST(a_kit_outlives_its_successor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
