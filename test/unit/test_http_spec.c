#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "libprober/http_spec.h"

static struct problems *problems;
static struct http_spec *spec;

static int begin(void **state)
{
    (void)state;
    spec = NULL;
    return problems_create(&problems);
}

static int end(void **state)
{
    (void)state;
    http_spec_destroy(spec);
    problems_destroy(problems);
    return 0;
}

/* Reads an http block. */
static const struct http_spec *given_bytes(const char *text, size_t len)
{
    end(NULL);
    begin(NULL);
    if (http_spec_read_text(&spec, "h", text, len, problems))
        fail_msg("%s\nwas refused: %s", text, problems_text(problems, 0));
    assert_int_equal(problems_count(problems), 0);
    return spec;
}

static const struct http_spec *given(const char *text)
{
    return given_bytes(text, strlen(text));
}

/* The block has exactly one fault, and its text is `told`. */
static void expect_fault(const char *text, const char *told)
{
    end(NULL);
    begin(NULL);
    if (http_spec_read_text(&spec, "h", text, strlen(text), problems) != PROBER_ERR_SYNTAX)
        fail_msg("%s\nwas taken", text);
    assert_null(spec);
    if (strcmp(problems_text(problems, 0), told) != 0 || problems_count(problems) != 1)
        fail_msg("%s\nwas told (%zu): %s", text, problems_count(problems),
                 problems_text(problems, 0));
}

/* As http_spec_put writes the block, and as it reads its own writing with secrets. */
static void expect_put(const char *text, const char *masked)
{
    struct strbuf first = STRBUF_INIT, second = STRBUF_INIT;

    given(text);
    http_spec_put(&first, spec, false);
    assert_string_equal(first.bytes, masked);
    strbuf_clear(&first);
    http_spec_put(&first, spec, true);
    given_bytes(first.bytes, first.len);
    http_spec_put(&second, spec, true);
    assert_string_equal(first.bytes, second.bytes);
    strbuf_free(&first);
    strbuf_free(&second);
}

static void an_empty_block_has_the_defaults(void **state)
{
    (void)state;
    given("");
    assert_string_equal(spec->method, "GET");
    assert_int_equal(spec->preferred_family, PROBER_FAMILY_IPV6);
    assert_true(spec->ip_protocol_fallback && spec->follow_redirects && spec->enable_http2);
    assert_false(spec->skip_resolve_phase_with_proxy || spec->fail_if_ssl ||
                 spec->fail_if_not_ssl || spec->proxy.from_environment ||
                 spec->tls.insecure_skip_verify);
    assert_int_equal(spec->valid_status_codes.count + spec->valid_http_versions.count, 0);
    assert_int_equal(spec->compression, HTTP_COMPRESSION_NONE);
    assert_true(spec->body_size_limit == 0);
    assert_null(spec->body);
    assert_null(spec->body_file);
    assert_null(spec->proxy.url);
    assert_null(spec->basic_auth);
    assert_null(spec->authorization);
    assert_null(spec->oauth2);
    assert_false(http_spec_is_confidential(spec));
    expect_put("", "{}");
}

static void a_key_without_a_value_keeps_its_default(void **state)
{
    (void)state;
    given("method:\nheaders: ~\ntls_config: null\nvalid_status_codes:\nbody:\nhttp_client_config:\n"
          "follow_redirects:\nfail_if_body_matches_regexp:\nbasic_auth:\nenable_http3:\n"
          "fail_if_body_json_matches_cel:\nno_follow_redirects:\n");
    assert_string_equal(spec->method, "GET");
    assert_null(spec->basic_auth);
    assert_true(spec->follow_redirects);
    assert_string_equal(given("method: ''")->method, "GET");
}

static void status_codes_are_whole_numbers(void **state)
{
    (void)state;
    given("valid_status_codes: [200, 404, 0]");
    assert_int_equal(spec->valid_status_codes.count, 3);
    assert_int_equal(spec->valid_status_codes.items[1], 404);
    assert_int_equal(given("valid_status_codes: []")->valid_status_codes.count, 0);
    expect_fault("valid_status_codes: 200",
                 "h:1:valid_status_codes: expected a list of status codes");
    expect_fault("valid_status_codes:\n- 200\n- 2xx",
                 "h:3:valid_status_codes[1]: expected a status code");
    expect_fault("valid_status_codes: ['200']",
                 "h:1:valid_status_codes[0]: expected a status code");
    expect_fault("valid_status_codes: [99999999999]",
                 "h:1:valid_status_codes[0]: expected a status code");
}

static void http_versions_are_texts_of_which_one_must_be_possible(void **state)
{
    (void)state;
    given("valid_http_versions: [HTTP/1.1, HTTP/2.0, HTTP/2]");
    assert_int_equal(spec->valid_http_versions.count, 3);
    assert_string_equal(spec->valid_http_versions.items[1], "HTTP/2.0");
    expect_fault("valid_http_versions: [HTTP/2]",
                 "h:1:valid_http_versions: no answer has such a version: they are HTTP/1.0, "
                 "HTTP/1.1 and HTTP/2.0");
    expect_fault("valid_http_versions: [HTTP/1.1, HTTP/2.0, HTTP/3.0]",
                 "h:1:valid_http_versions: not supported: probes speak HTTP/1.1 and HTTP/2");
    expect_fault("valid_http_versions: HTTP/1.1",
                 "h:1:valid_http_versions: expected a list of texts");
}

static void http3_and_cel_are_not_supported(void **state)
{
    (void)state;
    given("enable_http3: false");
    expect_fault("enable_http3: true",
                 "h:1:enable_http3: not supported: probes speak HTTP/1.1 and HTTP/2");
    expect_fault("enable_http3: 3", "h:1:enable_http3: expected true or false");
    expect_fault("fail_if_body_json_matches_cel: \"body.foo == 'bar'\"",
                 "h:1:fail_if_body_json_matches_cel: not supported: conditions in CEL are not "
                 "evaluated");
    expect_fault("fail_if_body_json_not_matches_cel: ''",
                 "h:1:fail_if_body_json_not_matches_cel: not supported: conditions in CEL are not "
                 "evaluated");
}

static void a_method_is_one_word(void **state)
{
    (void)state;
    assert_string_equal(given("method: PROPFIND")->method, "PROPFIND");
    assert_string_equal(given("method: get")->method, "get");
    expect_fault("method: GET /",
                 "h:1:method: expected one word of letters, digits and !#$%&'*+-.^_`|~");
    expect_fault("method: [GET]", "h:1:method: expected a text");
}

static void headers_are_names_with_texts(void **state)
{
    (void)state;
    given("headers:\n  Host: example.org\n  X-Empty: ''\n  X-Null:\n  X-Number: 42\n"
          "  X-Bool: true\n  Cookie: a=b");
    assert_int_equal(spec->headers.count, 6);
    assert_string_equal(spec->headers.items[0].name, "Host");
    assert_string_equal(spec->headers.items[0].value, "example.org");
    assert_int_equal(spec->headers.items[0].source, HTTP_VALUE_TEXT);
    assert_string_equal(spec->headers.items[1].value, "");
    assert_string_equal(spec->headers.items[2].value, "");
    assert_string_equal(spec->headers.items[3].value, "42");
    assert_string_equal(spec->headers.items[4].value, "true");
    assert_int_equal(spec->headers.items[5].source, HTTP_VALUE_SECRET);
    expect_fault("headers: {A: b, a: c}", "h:1:headers.a: the same header twice");
    expect_fault("headers: {A: [b]}", "h:1:headers.A: expected a text");
    expect_fault("headers: [a]", "h:1:headers: expected header names with their values");
    expect_fault("headers: {'a b': c}", "h:1:headers.a b: not the name of a header");
    expect_fault("headers: {A: \"b\\r\\nC: d\"}",
                 "h:1:headers.A: a header line has no line breaks and no control characters");
}

static void http_headers_are_lines_in_order_of_values_secrets_and_files(void **state)
{
    (void)state;
    given("http_headers:\n  X-A: {files: [f], values: [one, two], secrets: [three]}\n  X-B: {}\n"
          "  X-C: {values: ['']}");
    assert_int_equal(spec->http_headers.count, 5);
    assert_string_equal(spec->http_headers.items[1].value, "two");
    assert_int_equal(spec->http_headers.items[1].source, HTTP_VALUE_TEXT);
    assert_string_equal(spec->http_headers.items[2].value, "three");
    assert_int_equal(spec->http_headers.items[2].source, HTTP_VALUE_SECRET);
    assert_string_equal(spec->http_headers.items[3].value, "f");
    assert_int_equal(spec->http_headers.items[3].source, HTTP_VALUE_FILE);
    assert_string_equal(spec->http_headers.items[4].name, "X-C");
    expect_fault("http_headers: {X-A: a}",
                 "h:1:http_headers.X-A: expected the keys values, secrets or files");
    expect_fault("http_headers: {X-A: {values: a}}",
                 "h:1:http_headers.X-A.values: expected a list of texts");
    expect_fault("http_headers: {X-A: {value: [a]}}",
                 "h:1:http_headers.X-A.value: unknown key; known are values, secrets and files");
    expect_fault("http_headers: {X-A: {files: ['']}}",
                 "h:1:http_headers.X-A.files[0]: expected the path of a file");
}

static void http_headers_with_reserved_names_are_refused(void **state)
{
    static const char *const names[] = {
        "authorization",
        "Host",
        "Content-Encoding",
        "Content-Length",
        "Content-Type",
        "User-Agent",
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Www-Authenticate",
        "Accept-Encoding",
        "X-Prometheus-Remote-Write-Version",
        "X-Prometheus-Remote-Read-Version",
        "X-Prometheus-Scrape-Timeout-Seconds",
        "X-Amz-Date",
        "X-Amz-Security-Token",
        "X-Amz-Content-Sha256",
    };
    char text[128], told[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(text, sizeof(text), "http_headers: {%s: {values: [a]}}", names[i]);
        snprintf(told, sizeof(told), "h:1:http_headers.%s: this header cannot be set here",
                 names[i]);
        expect_fault(text, told);
    }
}

static void a_body_is_bytes_or_a_file(void **state)
{
    (void)state;
    given("body: \"a\\0b\"");
    assert_int_equal(spec->body_len, 3);
    assert_memory_equal(spec->body, "a\0b", 3);
    assert_string_equal(given("body_file: b.txt")->body_file, "b.txt");
    assert_null(given("body: ''\nbody_file: b")->body);
    expect_fault("body: a\nbody_file: b", "h:2:body_file: either body or body_file, not both");
    expect_fault("body: {a: b}", "h:1:body: expected a text");
    expect_fault("body_file: \"a\\0b\"",
                 "h:1:body_file: a text without NUL characters is expected");
}

static void redirects_are_followed_unless_told_otherwise_the_old_way_first(void **state)
{
    (void)state;
    assert_false(given("follow_redirects: false")->follow_redirects);
    assert_false(given("no_follow_redirects: true")->follow_redirects);
    assert_true(given("follow_redirects: false\nno_follow_redirects: false")->follow_redirects);
    assert_false(given("no_follow_redirects: true\nfollow_redirects: true")->follow_redirects);
    expect_fault("follow_redirects: maybe", "h:1:follow_redirects: expected true or false");
    expect_fault("no_follow_redirects: maybe", "h:1:no_follow_redirects: expected true or false");
}

static void truth_values_are_read(void **state)
{
    (void)state;
    assert_true(given("fail_if_ssl: true")->fail_if_ssl);
    assert_true(given("fail_if_not_ssl: true")->fail_if_not_ssl);
    assert_false(given("ip_protocol_fallback: false")->ip_protocol_fallback);
    assert_true(given("skip_resolve_phase_with_proxy: true")->skip_resolve_phase_with_proxy);
    assert_false(given("enable_http2: false")->enable_http2);
    expect_fault("fail_if_ssl: []", "h:1:fail_if_ssl: expected true or false");
}

static void the_address_family_is_ip4_or_ip6(void **state)
{
    (void)state;
    assert_int_equal(given("preferred_ip_protocol: ip4")->preferred_family, PROBER_FAMILY_IPV4);
    assert_int_equal(given("preferred_ip_protocol: ip6")->preferred_family, PROBER_FAMILY_IPV6);
    assert_int_equal(given("preferred_ip_protocol: ''")->preferred_family, PROBER_FAMILY_IPV6);
    expect_fault("preferred_ip_protocol: ipv4", "h:1:preferred_ip_protocol: expected ip4 or ip6");
}

static void body_regexps_are_a_list_or_a_single_one(void **state)
{
    (void)state;
    given("fail_if_body_matches_regexp: text.*\n"
          "fail_if_body_not_matches_regexp: [a, 'b+']");
    assert_int_equal(spec->fail_if_body_matches_regexp.count, 1);
    assert_string_equal(spec->fail_if_body_matches_regexp.items[0], "text.*");
    assert_int_equal(spec->fail_if_body_not_matches_regexp.count, 2);
    assert_string_equal(spec->fail_if_body_not_matches_regexp.items[1], "b+");
    expect_fault("fail_if_body_matches_regexp: [a, ~]",
                 "h:1:fail_if_body_matches_regexp[1]: expected a text");
    expect_fault("fail_if_body_matches_regexp: {a: b}",
                 "h:1:fail_if_body_matches_regexp: expected a list of texts");
}

static void a_regexp_that_does_not_compile_is_refused(void **state)
{
    static const char *const patterns[] = {"(?=a)", "(a)\\1", "a++",   "a{1001}",  "a\\Z",
                                           "(?x)a", "(?>a)",  "[z-a]", "\\p{Nope}"};
    char text[128];

    (void)state;
    expect_fault("fail_if_body_matches_regexp:\n- a\n- ':['",
                 "h:3:fail_if_body_matches_regexp[1]: not a regular expression: missing ]: [");
    expect_fault("fail_if_body_not_matches_regexp: ':['",
                 "h:1:fail_if_body_not_matches_regexp: not a regular expression: missing ]: [");
    expect_fault("fail_if_header_matches:\n- header: A\n  regexp: ':['",
                 "h:3:fail_if_header_matches[0].regexp: not a regular expression: missing ]: [");
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        snprintf(text, sizeof(text), "fail_if_body_matches_regexp: ['%s']", patterns[i]);
        end(NULL);
        begin(NULL);
        assert_int_equal(http_spec_read_text(&spec, "h", text, strlen(text), problems),
                         PROBER_ERR_SYNTAX);
    }
}

static void header_conditions_need_a_header_and_a_regexp(void **state)
{
    (void)state;
    given("fail_if_header_matches:\n- {header: Set-Cookie, regexp: .*}\n"
          "fail_if_header_not_matches:\n- {header: b, regexp: c, allow_missing: true}");
    assert_int_equal(spec->fail_if_header_matches.count, 1);
    assert_string_equal(spec->fail_if_header_matches.items[0].header, "Set-Cookie");
    assert_string_equal(spec->fail_if_header_matches.items[0].regexp, ".*");
    assert_false(spec->fail_if_header_matches.items[0].allow_missing);
    assert_true(spec->fail_if_header_not_matches.items[0].allow_missing);
    expect_fault("fail_if_header_matches: [{header: a}]",
                 "h:1:fail_if_header_matches[0].regexp: a regular expression is missing");
    expect_fault("fail_if_header_not_matches: [{header: a, regexp: ''}]",
                 "h:1:fail_if_header_not_matches[0].regexp: a regular expression is missing");
    expect_fault("fail_if_header_not_matches: [{regexp: a}]",
                 "h:1:fail_if_header_not_matches[0].header: the name of a header is missing");
    expect_fault("fail_if_header_matches: [a]",
                 "h:1:fail_if_header_matches[0]: expected the keys header, regexp and "
                 "allow_missing");
    expect_fault("fail_if_header_matches: {header: a}",
                 "h:1:fail_if_header_matches: expected a list of header, regexp and allow_missing");
    expect_fault("fail_if_header_matches: [{header: a, regexp: b, allow: true}]",
                 "h:1:fail_if_header_matches[0].allow: unknown key");
}

static void compressions_are_known_ones_in_any_case(void **state)
{
    (void)state;
    assert_int_equal(given("compression: GZip")->compression, HTTP_COMPRESSION_GZIP);
    assert_int_equal(given("compression: deflate")->compression, HTTP_COMPRESSION_DEFLATE);
    assert_int_equal(given("compression: br")->compression, HTTP_COMPRESSION_BR);
    assert_int_equal(given("compression: identity")->compression, HTTP_COMPRESSION_IDENTITY);
    assert_int_equal(given("compression: ''")->compression, HTTP_COMPRESSION_NONE);
    expect_fault("compression: zstd", "h:1:compression: expected gzip, deflate, br or identity");
}

static void compression_and_accept_encoding_must_agree(void **state)
{
    static const struct {
        const char *compression, *accepted;
        bool fine;
    } rows[] = {
        {"''", "gzip", true},
        {"gzip", "gzip", true},
        {"gzip", "gzip;q=1.0", true},
        {"gzip", "gzip, compress", true},
        {"gzip", "compress, gzip", true},
        {"gzip", "deflate", false},
        {"gzip", "*;q=0.0", false},
        {"gzip", "*", true},
        {"gzip", "", true},
        {"br", "gzip, compress", false},
        {"br", "gzip, compress, *", true},
        {"br", "gzip, compress, *;q=0.1", true},
        {"br", "gzip, compress, br;q=0.0", false},
        {"br", "gzip, compress, *;q=0.0", false},
        {"br", "gzip;q=1.0, compress;q=0.5, br;q=0.1, *;q=0.0", true},
        {"br", "*;q=0.0, compress;q=0.5, br;q=0.1, gzip;q=1.0", true},
        {"br", "*;q=0.0, compress; q=0.5, br ; q=0.1 , gzip;q=1.0 ", true},
        {"br", "br;q=0.0001", false},
        {"br", "br;q=x", false},
    };
    char text[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof(text), "compression: %s\nheaders: {accEpt-enCoding: '%s'}",
                 rows[i].compression, rows[i].accepted);
        end(NULL);
        begin(NULL);
        if (!http_spec_read_text(&spec, "h", text, strlen(text), problems) != rows[i].fine)
            fail_msg("%s: %zu", text, problems_count(problems));
    }
    expect_fault("headers:\n  Accept-Encoding: deflate\ncompression: gzip",
                 "h:3:compression: the header Accept-Encoding does not accept gzip");
}

static void body_size_limits_have_units_of_1024(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {
        {"128B", 128},
        {"1KB", 1024},
        {"1KiB", 1024},
        {"1MB", 1 << 20},
        {"10MB", 10 << 20},
        {"1.5MB", 3 << 19},
        {"1GB512MB", 3 << 29},
        {"0", 0},
        {"-1MB", 0},
        {"+2KB", 2048},
        {"0B", 0},
        {".5KB", 512},
        {"1TB", 1ull << 40},
        {"1PiB", 1ull << 50},
        {"1EB", 1ull << 60},
    };
    static const char *const faults[] = {"128",  "1kB",  "1K",  "MB",   "''", "1 MB",      "1.2.3B",
                                         "0x1B", "1e3B", "'-'", "1MBx", "[]", "\"1MB\\0\""};
    char text[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        snprintf(text, sizeof(text), "body_size_limit: %s", sizes[i].text);
        if (given(text)->body_size_limit != sizes[i].bytes)
            fail_msg("%s: %llu", text, (unsigned long long)spec->body_size_limit);
    }
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        snprintf(text, sizeof(text), "body_size_limit: %s", faults[i]);
        expect_fault(text, "h:1:body_size_limit: expected bytes with a unit, such as 512B, 64KB or "
                           "10MB");
    }
    expect_fault("body_size_limit: 8EB", "h:1:body_size_limit: value out of range");
}

static void tls_settings_are_read(void **state)
{
    (void)state;
    given("tls_config:\n  ca_file: ca\n  cert_file: cert\n  key_file: key\n  server_name: s\n"
          "  insecure_skip_verify: true\n  min_version: TLS12\n  max_version: TLS13");
    assert_string_equal(spec->tls.ca_file, "ca");
    assert_string_equal(spec->tls.cert_file, "cert");
    assert_string_equal(spec->tls.key.file, "key");
    assert_string_equal(spec->tls.server_name, "s");
    assert_true(spec->tls.insecure_skip_verify);
    assert_int_equal(spec->tls.min_version, HTTP_TLS_1_2);
    assert_int_equal(spec->tls.max_version, HTTP_TLS_1_3);
    given("tls_config: {ca: C, cert: D, key: E, min_version: TLS10, max_version: TLS11}");
    assert_string_equal(spec->tls.ca, "C");
    assert_string_equal(spec->tls.cert, "D");
    assert_string_equal(spec->tls.key.text, "E");
    assert_int_equal(spec->tls.min_version, HTTP_TLS_1_0);
    assert_int_equal(spec->tls.max_version, HTTP_TLS_1_1);
}

static void tls_settings_that_contradict_are_refused(void **state)
{
    (void)state;
    expect_fault("tls_config: {ca: a, ca_file: b}",
                 "h:1:tls_config.ca_file: either ca or ca_file, not both");
    expect_fault("tls_config: {cert: a, cert_file: b, key: c}",
                 "h:1:tls_config.cert_file: either cert or cert_file, not both");
    expect_fault("tls_config: {cert: a, key: b, key_file: c}",
                 "h:1:tls_config.key_file: either key or key_file, not both");
    expect_fault("tls_config: {cert_file: a}",
                 "h:1:tls_config.cert_file: a certificate without its key");
    expect_fault("tls_config: {key: a}", "h:1:tls_config.key: a key without its certificate");
    expect_fault("tls_config: {min_version: TLS14}",
                 "h:1:tls_config.min_version: expected TLS10, TLS11, TLS12 or TLS13");
    expect_fault("tls_config: {max_version: 1.2}",
                 "h:1:tls_config.max_version: expected TLS10, TLS11, TLS12 or TLS13");
    expect_fault("tls_config: {min_version: TLS13, max_version: TLS12}",
                 "h:1:tls_config.max_version: less than min_version, which is given");
    expect_fault("tls_config: {max_version: TLS11}",
                 "h:1:tls_config.max_version: less than min_version, which is TLS12 unless given");
    expect_fault("tls_config: {ca_ref: a}",
                 "h:1:tls_config.ca_ref: not supported: there is no store of secrets that it could "
                 "refer to");
    expect_fault("tls_config: yes", "h:1:tls_config: expected a mapping of settings");
    expect_fault("tls_config: {ca_files: a}", "h:1:tls_config.ca_files: unknown key");
}

static void basic_auth_is_read(void **state)
{
    (void)state;
    given("basic_auth: {username: u, password: p}");
    assert_string_equal(spec->basic_auth->username, "u");
    assert_string_equal(spec->basic_auth->password.text, "p");
    given("basic_auth: {username_file: u, password_file: p}");
    assert_string_equal(spec->basic_auth->username_file, "u");
    assert_string_equal(spec->basic_auth->password.file, "p");
    assert_non_null(given("basic_auth: {}")->basic_auth);
    expect_fault("basic_auth: {username: u, username_file: v}",
                 "h:1:basic_auth.username_file: either username or username_file, not both");
    expect_fault("basic_auth: {username: u, password: v, password_file: w}",
                 "h:1:basic_auth.password_file: either password or password_file, not both");
}

static void authorization_is_bearer_unless_told_and_never_basic(void **state)
{
    (void)state;
    given("authorization: {credentials: c}");
    assert_string_equal(spec->authorization->type, "Bearer");
    assert_string_equal(spec->authorization->credentials.text, "c");
    given("authorization: {type: Token, credentials_file: f}");
    assert_string_equal(spec->authorization->type, "Token");
    assert_string_equal(spec->authorization->credentials.file, "f");
    expect_fault("authorization: {type: BASIC, credentials: c}",
                 "h:1:authorization.type: for Basic there is basic_auth");
    expect_fault("authorization: {credentials: c, credentials_file: f}",
                 "h:1:authorization.credentials_file: either credentials or credentials_file, not "
                 "both");
    expect_fault("authorization: {credentials: \"secret\\nline\"}",
                 "h:1:authorization.credentials: a header line has no line breaks and no control "
                 "characters");
}

static void a_bearer_token_becomes_an_authorization(void **state)
{
    (void)state;
    given("bearer_token: t");
    assert_string_equal(spec->authorization->type, "Bearer");
    assert_string_equal(spec->authorization->credentials.text, "t");
    assert_string_equal(given("bearer_token_file: f")->authorization->credentials.file, "f");
    expect_fault("bearer_token: t\nbearer_token_file: f",
                 "h:2:bearer_token_file: either bearer_token or bearer_token_file, not both");
}

static void oauth2_is_read(void **state)
{
    (void)state;
    given("oauth2:\n  client_id: i\n  client_secret: s\n  scopes: [a, b]\n"
          "  token_url: https://t.test/x\n  endpoint_params: {audience: c}\n"
          "  grant_type: client_credentials\n  tls_config: {server_name: n}\n"
          "  proxy_url: http://p:1");
    assert_string_equal(spec->oauth2->client_id, "i");
    assert_string_equal(spec->oauth2->client_secret.text, "s");
    assert_string_equal(spec->oauth2->scopes.items[1], "b");
    assert_string_equal(spec->oauth2->token_url, "https://t.test/x");
    assert_string_equal(spec->oauth2->endpoint_params.items[0].name, "audience");
    assert_string_equal(spec->oauth2->endpoint_params.items[0].value, "c");
    assert_string_equal(spec->oauth2->tls.server_name, "n");
    assert_string_equal(spec->oauth2->proxy.url, "http://p:1");
}

static void oauth2_that_cannot_work_is_refused(void **state)
{
    static const char *const jwt[] = {"client_certificate_key_id",
                                      "client_certificate_key",
                                      "client_certificate_key_file",
                                      "signature_algorithm",
                                      "iss",
                                      "audience",
                                      "claims"};
    char text[128], told[160];

    (void)state;
    expect_fault("oauth2: {token_url: 'http://t'}", "h:1:oauth2.client_id: missing");
    expect_fault("oauth2: {client_id: i}", "h:1:oauth2.token_url: missing");
    expect_fault("oauth2: {client_id: i, token_url: t}",
                 "h:1:oauth2.token_url: expected a URL that begins with http:// or https://");
    expect_fault("oauth2: {client_id: i, token_url: 'http://t', client_secret: a, "
                 "client_secret_file: b}",
                 "h:1:oauth2.client_secret_file: either client_secret or client_secret_file, not "
                 "both");
    expect_fault("oauth2: {client_id: i, token_url: 'http://t', scopes: [a], "
                 "endpoint_params: {scope: b}}",
                 "h:1:oauth2.endpoint_params: holds a scope, which scopes do too");
    expect_fault("oauth2: {client_id: i, token_url: 'http://t', no_proxy: a}",
                 "h:1:oauth2.no_proxy: needs proxy_url");
    for (size_t i = 0; i < ARRAY_LEN(jwt); i++) {
        snprintf(text, sizeof(text), "oauth2: {client_id: i, token_url: 'http://t', %s: a}",
                 jwt[i]);
        snprintf(told, sizeof(told),
                 "h:1:oauth2.%s: not supported: only the grant type client_credentials is", jwt[i]);
        expect_fault(text, told);
    }
    expect_fault("oauth2: {client_id: i, token_url: 'http://t', grant_type: password}",
                 "h:1:oauth2.grant_type: not supported: only the grant type client_credentials is");
}

static void two_kinds_of_credentials_are_refused(void **state)
{
    (void)state;
    expect_fault("basic_auth: {}\nbearer_token: t",
                 "h:2:bearer_token: either basic_auth or bearer_token, not both");
    expect_fault("basic_auth: {}\nbearer_token_file: t",
                 "h:2:bearer_token_file: either basic_auth or bearer_token_file, not both");
    expect_fault("basic_auth: {}\nauthorization: {}",
                 "h:2:authorization: either basic_auth or authorization, not both");
    expect_fault("basic_auth: {}\noauth2: {client_id: i, token_url: 'http://t'}",
                 "h:2:oauth2: either basic_auth or oauth2, not both");
    expect_fault("authorization: {}\nbearer_token: t",
                 "h:2:bearer_token: either authorization or bearer_token, not both");
    expect_fault("authorization: {}\noauth2: {client_id: i, token_url: 'http://t'}",
                 "h:2:oauth2: either authorization or oauth2, not both");
    expect_fault("oauth2: {client_id: i, token_url: 'http://t'}\nbearer_token: t",
                 "h:2:bearer_token: either oauth2 or bearer_token, not both");
}

static void proxies_are_read(void **state)
{
    (void)state;
    given("proxy_url: http://user:pass@proxy.test:3128\nno_proxy: a,b\n"
          "proxy_connect_header: {X-A: [one, two]}");
    assert_string_equal(spec->proxy.url, "http://user:pass@proxy.test:3128");
    assert_string_equal(spec->proxy.no_proxy, "a,b");
    assert_int_equal(spec->proxy.connect_headers.count, 2);
    assert_string_equal(spec->proxy.connect_headers.items[1].value, "two");
    assert_int_equal(spec->proxy.connect_headers.items[1].source, HTTP_VALUE_SECRET);
    given("proxy_from_environment: true\nproxy_connect_header: {X-A: [one]}");
    assert_true(spec->proxy.from_environment);
    assert_string_equal(given("proxy_url: socks5://[::1]:1080")->proxy.url, "socks5://[::1]:1080");
}

static void proxy_settings_that_contradict_are_refused(void **state)
{
    (void)state;
    expect_fault("no_proxy: a", "h:1:no_proxy: needs proxy_url");
    expect_fault("proxy_connect_header: {X-A: [b]}",
                 "h:1:proxy_connect_header: needs proxy_url or proxy_from_environment");
    expect_fault("proxy_url: http://p\nproxy_from_environment: true",
                 "h:2:proxy_from_environment: excludes proxy_url");
    expect_fault("no_proxy: a\nproxy_from_environment: true",
                 "h:2:proxy_from_environment: excludes no_proxy");
    expect_fault("proxy_url: proxy.test:3128",
                 "h:1:proxy_url: expected a URL that begins with http://, https://, socks5:// or "
                 "socks5h://");
    expect_fault("proxy_url: http://", "h:1:proxy_url: not a URL: the URL has no host");
    expect_fault("proxy_url: http://p\nproxy_connect_header: {X-A: b}",
                 "h:2:proxy_connect_header.X-A: expected a list of texts");
}

static void the_clients_keys_may_stand_under_http_client_config(void **state)
{
    (void)state;
    given("method: POST\nhttp_client_config:\n  follow_redirects: false\n  enable_http2: false\n"
          "  basic_auth: {username: u}\n  tls_config: {server_name: s}\n  proxy_url: http://p\n"
          "  http_headers: {X-A: {values: [b]}}\nfail_if_ssl: true");
    assert_false(spec->follow_redirects || spec->enable_http2);
    assert_string_equal(spec->basic_auth->username, "u");
    assert_string_equal(spec->tls.server_name, "s");
    assert_string_equal(spec->proxy.url, "http://p");
    assert_int_equal(spec->http_headers.count, 1);
    assert_string_equal(spec->method, "POST");
    expect_fault("http_client_config: {bearer_token: a, bearer_token_file: b}",
                 "h:1:http_client_config.bearer_token_file: either bearer_token or "
                 "bearer_token_file, not both");
    expect_fault("http_client_config: []",
                 "h:1:http_client_config: expected a mapping of settings");
}

static void the_clients_keys_do_not_stand_at_both_places(void **state)
{
    (void)state;
    expect_fault("enable_http2: true\nhttp_client_config:\n  enable_http2: true",
                 "h:1:enable_http2: stands beside http_client_config; the client's keys belong all "
                 "there, or all here");
    expect_fault("http_client_config: {method: GET}", "h:1:http_client_config.method: unknown key");
}

static void every_fault_is_told_at_once_and_secrets_never(void **state)
{
    static const char text[] = "methods: a\nbody_size_limit: 1kB\nbearer_token: \"hush\\n\"\n"
                               "basic_auth:\n  password: [hush]\n  user: u\n"
                               "headers: {Cookie: [hush]}\nproxy_url: http://hush:hush@\n";
    static const char *const told[] = {
        "h:1:methods: unknown key",         "h:2:body_size_limit: expected",
        "h:3:bearer_token: a header line",  "h:5:basic_auth.password: expected a text",
        "h:6:basic_auth.user: unknown key", "h:7:headers.Cookie: expected a text",
        "h:8:proxy_url: not a URL",
    };

    (void)state;
    assert_int_equal(http_spec_read_text(&spec, "h", text, strlen(text), problems),
                     PROBER_ERR_SYNTAX);
    assert_int_equal(problems_count(problems), ARRAY_LEN(told));
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        assert_ptr_equal(strstr(problems_text(problems, i), told[i]), problems_text(problems, i));
        assert_null(strstr(problems_text(problems, i), "hush"));
    }
    expect_fault("[a]", "h:1: expected a mapping of settings");
}

static void secrets_are_masked_when_a_spec_is_written(void **state)
{
    (void)state;
    expect_put("basic_auth: {username: u, password: p}",
               "{\"basic_auth\":{\"username\":\"u\",\"password\":\"<secret>\"}}");
    expect_put("bearer_token: t",
               "{\"authorization\":{\"type\":\"Bearer\",\"credentials\":\"<secret>\"}}");
    expect_put("tls_config: {cert: c, key: k}",
               "{\"tls_config\":{\"cert\":\"c\",\"key\":\"<secret>\"}}");
    expect_put("headers: {cookie: a, X-B: c}",
               "{\"headers\":{\"cookie\":\"<secret>\",\"X-B\":\"c\"}}");
    expect_put("http_headers: {A: {values: [b, c], secrets: [d], files: [e]}, B: {files: [f, g]}}",
               "{\"http_headers\":{\"A\":{\"values\":[\"b\",\"c\"],\"secrets\":[\"<secret>\"],"
               "\"files\":[\"e\"]},\"B\":{\"files\":[\"f\",\"g\"]}}}");
    expect_put("http_headers: {Cookie: {values: [a], secrets: [b]}}",
               "{\"http_headers\":{\"Cookie\":{\"secrets\":[\"<secret>\",\"<secret>\"]}}}");
    expect_put("proxy_url: http://u:p@host:1/x\nproxy_connect_header: {A: [b, c], B: [d]}",
               "{\"proxy_url\":\"http://<secret>@host:1/x\",\"proxy_connect_header\":{\"A\":["
               "\"<secret>\",\"<secret>\"],\"B\":[\"<secret>\"]}}");
    expect_put("oauth2: {client_id: i, client_secret: s, token_url: 'http://t', "
               "endpoint_params: {a: b}}",
               "{\"oauth2\":{\"client_id\":\"i\",\"client_secret\":\"<secret>\",\"token_url\":"
               "\"http://t\",\"endpoint_params\":{\"a\":\"<secret>\"}}}");
}

static void what_is_written_is_read_back_alike(void **state)
{
    (void)state;
    expect_put("valid_status_codes: [200, -1]\nvalid_http_versions: [HTTP/1.1]\n"
               "preferred_ip_protocol: ip4\nip_protocol_fallback: false\nno_follow_redirects: true",
               "{\"valid_status_codes\":[200,-1],\"valid_http_versions\":[\"HTTP/1.1\"],"
               "\"preferred_ip_protocol\":\"ip4\",\"ip_protocol_fallback\":false,"
               "\"follow_redirects\":false}");
    expect_put(
        "body: \"a\\0\\\"\\\\\\x7f\\u2028\\ufeff\\U0001F600\\n \"\nmethod: POST\n"
        "compression: BR\nbody_size_limit: 1KB",
        "{\"method\":\"POST\",\"body\":\"a\\u0000\\\"\\\\\\u007f\\u2028\\ufeff\xf0\x9f\x98\x80"
        "\\u000a \",\"compression\":\"br\",\"body_size_limit\":\"1024B\"}");
    expect_put("fail_if_body_matches_regexp: 'a\\.b'\n"
               "fail_if_header_matches: [{header: h, regexp: r, allow_missing: true}]\n"
               "tls_config: {insecure_skip_verify: true, min_version: TLS13}\nenable_http2: false",
               "{\"fail_if_body_matches_regexp\":[\"a\\\\.b\"],\"fail_if_header_matches\":[{"
               "\"header\":\"h\",\"regexp\":\"r\",\"allow_missing\":true}],\"enable_http2\":false,"
               "\"tls_config\":{\"insecure_skip_verify\":true,\"min_version\":\"TLS13\"}}");
    expect_put("basic_auth: {}", "{\"basic_auth\":{}}");
    expect_put("tls_config: {}", "{}");
}

static void a_spec_with_secrets_or_file_names_is_confidential(void **state)
{
    static const char *const open[] = {
        "method: POST\nbody: a",
        "headers: {X-A: b}",
        "http_headers: {X-A: {values: [b]}}",
        "proxy_url: http://p:1",
        "tls_config: {ca: a}",
        "proxy_from_environment: true",
        "tls_config: {insecure_skip_verify: true}",
    };
    static const char *const confidential[] = {
        "basic_auth: {username: u}",
        "authorization: {credentials: c}",
        "bearer_token_file: f",
        "oauth2: {client_id: i, token_url: 'http://t'}",
        "headers: {authorization: a}",
        "headers: {Proxy-Authorization: a}",
        "headers: {cookie: a}",
        "http_headers: {Cookie: {values: [a]}}",
        "http_headers: {X-A: {secrets: [a]}}",
        "http_headers: {X-A: {files: [a]}}",
        "proxy_url: http://u@p:1",
        "proxy_url: http://p:1\nproxy_connect_header: {X-A: [b]}",
        "body_file: f",
        "tls_config: {ca_file: f}",
        "tls_config: {cert: c, key: k}",
        "tls_config: {cert_file: c, key_file: k}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        if (http_spec_is_confidential(given(open[i])))
            fail_msg("%s", open[i]);
    for (size_t i = 0; i < ARRAY_LEN(confidential); i++)
        if (!http_spec_is_confidential(given(confidential[i])))
            fail_msg("%s", confidential[i]);
}

static void texts_and_lists_of_absurd_size_are_refused(void **state)
{
    struct strbuf text = STRBUF_INIT;

    (void)state;
    strbuf_puts(&text, "body_file: ");
    for (int i = 0; i < 65537; i++)
        strbuf_putc(&text, 'a');
    expect_fault(text.bytes, "h:1:body_file: longer than 65536 bytes");
    strbuf_clear(&text);
    strbuf_puts(&text, "valid_status_codes: [1");
    for (int i = 0; i < 1000; i++)
        strbuf_puts(&text, ",1");
    strbuf_putc(&text, ']');
    expect_fault(text.bytes, "h:1:valid_status_codes: more than 1000 elements");
    strbuf_free(&text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_block_has_the_defaults),
        TEST(a_key_without_a_value_keeps_its_default),
        TEST(status_codes_are_whole_numbers),
        TEST(http_versions_are_texts_of_which_one_must_be_possible),
        TEST(http3_and_cel_are_not_supported),
        TEST(a_method_is_one_word),
        TEST(headers_are_names_with_texts),
        TEST(http_headers_are_lines_in_order_of_values_secrets_and_files),
        TEST(http_headers_with_reserved_names_are_refused),
        TEST(a_body_is_bytes_or_a_file),
        TEST(redirects_are_followed_unless_told_otherwise_the_old_way_first),
        TEST(truth_values_are_read),
        TEST(the_address_family_is_ip4_or_ip6),
        TEST(body_regexps_are_a_list_or_a_single_one),
        TEST(a_regexp_that_does_not_compile_is_refused),
        TEST(header_conditions_need_a_header_and_a_regexp),
        TEST(compressions_are_known_ones_in_any_case),
        TEST(compression_and_accept_encoding_must_agree),
        TEST(body_size_limits_have_units_of_1024),
        TEST(tls_settings_are_read),
        TEST(tls_settings_that_contradict_are_refused),
        TEST(basic_auth_is_read),
        TEST(authorization_is_bearer_unless_told_and_never_basic),
        TEST(a_bearer_token_becomes_an_authorization),
        TEST(oauth2_is_read),
        TEST(oauth2_that_cannot_work_is_refused),
        TEST(two_kinds_of_credentials_are_refused),
        TEST(proxies_are_read),
        TEST(proxy_settings_that_contradict_are_refused),
        TEST(the_clients_keys_may_stand_under_http_client_config),
        TEST(the_clients_keys_do_not_stand_at_both_places),
        TEST(every_fault_is_told_at_once_and_secrets_never),
        TEST(secrets_are_masked_when_a_spec_is_written),
        TEST(what_is_written_is_read_back_alike),
        TEST(a_spec_with_secrets_or_file_names_is_confidential),
        TEST(texts_and_lists_of_absurd_size_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
