#include "libprober/http_filled.h"

#include "given_files.h"
#include "given_http_spec.h"
#include "unit.h"

struct fixture {
    struct given_files files;
    struct http_spec spec;
    struct http_filled *filled;
    struct prober_failure why;
};

static int set_up(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    given_dir(&f.files);
    f.spec = given_http_spec();
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    http_filled_destroy(f->filled);
    given_dir_ends(&f->files);
    return 0;
}

static enum prober_error fill(struct fixture *f)
{
    http_filled_destroy(f->filled);
    f->filled = NULL;
    return http_filled_create(&f->filled, &f->spec, f->files.dir, &f->why);
}

static void every_file_becomes_a_text_and_the_rest_stays(void **state)
{
    struct fixture *f = *state;
    struct http_basic_auth basic = {.username_file = "user", .password.file = "password"};
    struct http_header headers[] = {{"X-Plain", "p", HTTP_VALUE_TEXT},
                                    {"X-File", "header", HTTP_VALUE_FILE}};
    const struct http_spec *s;

    given_text(&f->files, "user", "me");
    given_text(&f->files, "password", " open sesame\r\n");
    given_text(&f->files, "header", "\tvalue\n");
    given_text(&f->files, "ca", "CA\n");
    given_text(&f->files, "cert", "CERT\n");
    given_text(&f->files, "key", "KEY\n");
    f->spec.basic_auth = &basic;
    f->spec.http_headers = (struct http_headers){headers, 2};
    f->spec.tls = (struct http_tls){
        .ca_file = "ca", .cert_file = "cert", .key.file = "key", .server_name = "s"};
    assert_true(http_filled_is_needed(&f->spec));
    assert_int_equal(http_filled_check(&f->spec, f->files.dir, &f->why), PROBER_OK);
    assert_int_equal(fill(f), PROBER_OK);
    s = http_filled_spec(f->filled);
    assert_false(http_filled_is_needed(s));
    assert_string_equal(s->basic_auth->username, "me");
    assert_string_equal(s->basic_auth->password.text, "open sesame");
    assert_null(s->basic_auth->password.file);
    assert_string_equal(s->http_headers.items[0].value, "p");
    assert_string_equal(s->http_headers.items[1].value, "value");
    assert_int_equal(s->http_headers.items[1].source, HTTP_VALUE_SECRET);
    assert_string_equal(s->tls.ca, "CA\n");
    assert_string_equal(s->tls.cert, "CERT\n");
    assert_string_equal(s->tls.key.text, "KEY\n");
    assert_string_equal(s->tls.server_name, "s");
    assert_string_equal(f->spec.basic_auth->password.file, "password"); /* as it was */
    assert_string_equal(headers[1].value, "header");
}

static void tokens_and_oauth2_come_from_files_too(void **state)
{
    struct fixture *f = *state;
    struct http_authorization authorization = {.type = "Bearer", .credentials.file = "token"};
    struct http_oauth2 oauth2 = {
        .client_id = "id", .client_secret.file = "secret", .tls.ca_file = "ca"};

    given_text(&f->files, "token", "t\n");
    given_text(&f->files, "secret", "s\n");
    given_text(&f->files, "ca", "CA");
    f->spec.authorization = &authorization;
    f->spec.oauth2 = &oauth2;
    assert_int_equal(fill(f), PROBER_OK);
    assert_string_equal(http_filled_spec(f->filled)->authorization->credentials.text, "t");
    assert_string_equal(http_filled_spec(f->filled)->oauth2->client_secret.text, "s");
    assert_string_equal(http_filled_spec(f->filled)->oauth2->tls.ca, "CA");
    assert_string_equal(http_filled_spec(f->filled)->oauth2->client_id, "id");
}

static void a_body_is_taken_as_it_is(void **state)
{
    static const char body[] = " a\0b\n";
    struct fixture *f = *state;

    given_file(&f->files, "body", body, 5);
    f->spec.body_file = "body";
    assert_int_equal(fill(f), PROBER_OK);
    assert_int_equal(http_filled_spec(f->filled)->body_len, 5);
    assert_memory_equal(http_filled_spec(f->filled)->body, body, 5);
    assert_string_equal(http_filled_spec(f->filled)->body_file, "body");
    given_text(&f->files, "body", "");
    assert_int_equal(fill(f), PROBER_OK);
    assert_non_null(http_filled_spec(f->filled)->body);
    assert_int_equal(http_filled_spec(f->filled)->body_len, 0);
}

static void what_cannot_be_used_names_key_and_path_and_never_the_content(void **state)
{
    struct fixture *f = *state;
    struct http_header header = {"X-File", "header", HTTP_VALUE_FILE};
    struct http_basic_auth basic = {.password.file = "password"};

    f->spec.http_headers = (struct http_headers){&header, 1};
    assert_int_equal(fill(f), PROBER_ERR_NOT_FOUND);
    assert_string_equal(f->why.text, "http_headers.files: 'header': there is no such file");
    given_text(&f->files, "header", "secret\nX-Other: 1");
    assert_int_equal(fill(f), PROBER_ERR_SYNTAX);
    assert_string_equal(f->why.text,
                        "http_headers.files: 'header' holds a line break, which a header cannot");
    given_text(&f->files, "header", "fine");
    f->spec.basic_auth = &basic;
    given_file(&f->files, "password", "a\0b", 3);
    assert_int_equal(fill(f), PROBER_ERR_SYNTAX);
    assert_string_equal(f->why.text, "basic_auth.password_file: 'password' holds a NUL");
    given_file(&f->files, "password", "a\0", 2); /* it is no blank */
    assert_int_equal(fill(f), PROBER_ERR_SYNTAX);
    assert_null(f->filled);
}

static void names_alone_may_show_that_a_file_cannot_be_used(void **state)
{
    struct fixture *f = *state;

    assert_false(http_filled_is_needed(&f->spec));
    assert_int_equal(http_filled_check(&f->spec, NULL, &f->why), PROBER_OK);
    f->spec.tls.ca_file = "/etc/ssl/ca.pem";
    assert_int_equal(http_filled_check(&f->spec, "", &f->why), PROBER_ERR_UNSUPPORTED);
    assert_string_equal(f->why.text,
                        "tls_config.ca_file: no file is read without -agent.secrets.dir");
    assert_int_equal(http_filled_check(&f->spec, "/etc/secrets", &f->why), PROBER_ERR_DENIED);
    assert_string_equal(f->why.text,
                        "tls_config.ca_file: '/etc/ssl/ca.pem' is not beneath /etc/secrets");
    assert_int_equal(http_filled_check(&f->spec, "/etc/ssl", &f->why), PROBER_OK);
}

static void a_change_of_a_content_is_seen(void **state)
{
    struct fixture *f = *state;
    struct http_authorization authorization = {.type = "Bearer", .credentials.file = "token"};
    struct http_filled *first;

    f->spec.authorization = &authorization;
    given_text(&f->files, "token", "one");
    assert_int_equal(fill(f), PROBER_OK);
    first = f->filled;
    f->filled = NULL;
    given_text(&f->files, "token", "one\n");
    assert_int_equal(fill(f), PROBER_OK);
    assert_true(http_filled_equal(first, f->filled));
    given_text(&f->files, "token", "two");
    assert_int_equal(fill(f), PROBER_OK);
    assert_false(http_filled_equal(first, f->filled));
    http_filled_destroy(first);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_file_becomes_a_text_and_the_rest_stays),
        TEST(tokens_and_oauth2_come_from_files_too),
        TEST(a_body_is_taken_as_it_is),
        TEST(what_cannot_be_used_names_key_and_path_and_never_the_content),
        TEST(names_alone_may_show_that_a_file_cannot_be_used),
        TEST(a_change_of_a_content_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
