#include "libprober/http_tls.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "fakes/dns_server.h"
#include "fakes/tls_server.h"
#include "given_http_spec.h"
#include "libprober/http_engine.h"
#include "unit.h"

#define LONG_NS (20 * CLOCK_NS_PER_S)
#define SHORT_NS (150 * CLOCK_NS_PER_MS)

static const struct dns_record records[] = {
    {.name = "a.test", .a = "127.0.0.1"},
    {.name = "b.test", .a = "127.0.0.1"},
    {.name = "x.wild.test", .a = "127.0.0.1"},
    {.name = "y.x.wild.test", .a = "127.0.0.1"},
    {0},
};

struct fixture {
    struct tls_server *server;
    struct dns_server *dns;
    struct resolver *resolver;
    struct http_engine *engine;
    struct http_spec spec;
    struct http_means means;
    struct http_result result;
};

static int set_up(void **state)
{
    static struct fixture f;
    struct resolver_config config = {0};

    memset(&f, 0, sizeof(f));
    f.dns = dns_server_start(records);
    config.servers = dns_server_address(f.dns);
    f.spec = given_http_spec();
    *state = &f;
    return resolver_create(&f.resolver, &config, NULL) || http_engine_create(&f.engine, f.resolver);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    resolver_destroy(f->resolver);
    http_engine_destroy(f->engine);
    dns_server_stop(f->dns);
    tls_server_stop(f->server);
    return 0;
}

static void on_done(void *context, const struct http_result *result)
{
    *(struct http_result *)context = *result;
}

static void given_server(struct fixture *f, struct tls_server_config config)
{
    tls_server_stop(f->server);
    f->server = tls_server_start(&config);
    f->spec.tls.ca = tls_server_ca(f->server);
}

/* Returns the reason; the result is in the fixture. */
static const char *probe(struct fixture *f, const char *host, uint64_t timeout_ns)
{
    struct http_kind *kind = NULL;
    char url[256];

    snprintf(url, sizeof(url), "https://%s:%s/", host, tls_server_port(f->server));
    assert_int_equal(http_kind_create(&kind, &f->spec, &f->means, NULL), PROBER_OK);
    http_engine_start(f->engine, kind, url, timeout_ns, clock_monotonic_ns(), on_done, &f->result);
    while (http_engine_running(f->engine) > 0) {
        uint64_t now = clock_monotonic_ns(), next = http_engine_step(f->engine, now);
        struct pollfd fd = {http_engine_fd(f->engine), POLLIN, 0};

        if (http_engine_running(f->engine) > 0 && next > now)
            poll(&fd, 1, next == UINT64_MAX ? -1 : (int)((next - now) / CLOCK_NS_PER_MS + 1));
    }
    http_kind_destroy(kind);
    return f->result.reason ? http_reason_text(f->result.reason) : "success";
}

static const char *get(struct fixture *f, const char *host)
{
    return probe(f, host, LONG_NS);
}

static void a_trusted_server_has_version_phases_and_expiry(void **state)
{
    struct fixture *f = *state;

    given_server(f, (struct tls_server_config){.names = "DNS:a.test"});
    assert_string_equal(get(f, "a.test"), "success");
    assert_int_equal(f->result.status, 200);
    assert_string_equal(f->result.tls_version, "TLS 1.3");
    assert_string_equal(f->result.version, "HTTP/1.1");
    assert_true(f->result.phases_ns[HTTP_PHASE_CONNECT] > 0);
    assert_true(f->result.phases_ns[HTTP_PHASE_TLS] > 0);
    assert_true(f->result.phases_ns[HTTP_PHASE_PROCESSING] > 0);
    assert_int_equal(f->result.earliest_cert_expiry, tls_server_leaf_expiry(f->server));
    assert_int_equal(f->result.last_chain_expiry, tls_server_leaf_expiry(f->server));
    assert_string_equal(tls_server_asked_name(f->server), "a.test");
}

static void the_earliest_expiry_of_the_chain_counts(void **state)
{
    struct fixture *f = *state;

    given_server(f, (struct tls_server_config){.names = "DNS:a.test", .ca_days = 10});
    assert_string_equal(get(f, "a.test"), "success");
    assert_int_equal(f->result.earliest_cert_expiry, tls_server_ca_expiry(f->server));
}

static void each_failure_of_verification_has_its_reason_and_keeps_the_expiry(void **state)
{
    struct fixture *f = *state;

    given_server(f, (struct tls_server_config){.names = "DNS:a.test"});
    assert_string_equal(get(f, "b.test"), "tls_verify_hostname");
    assert_int_equal(f->result.earliest_cert_expiry, tls_server_leaf_expiry(f->server));
    assert_int_equal(f->result.last_chain_expiry, 0);
    assert_string_equal(f->result.tls_version, "TLS 1.3");
    assert_int_equal(f->result.status, 0);
    assert_true(f->result.phases_ns[HTTP_PHASE_CONNECT] > 0);
    assert_int_equal(f->result.phases_ns[HTTP_PHASE_TLS], 0);
    f->spec.tls.ca = NULL; /* the system knows no such authority */
    assert_string_equal(get(f, "a.test"), "tls_verify_untrusted");
    assert_int_equal(f->result.earliest_cert_expiry, tls_server_leaf_expiry(f->server));
    given_server(f, (struct tls_server_config){.names = "DNS:a.test", .leaf_days = -1});
    assert_string_equal(get(f, "a.test"), "tls_verify_expired");
    assert_int_equal(f->result.earliest_cert_expiry, tls_server_leaf_expiry(f->server));
    given_server(f, (struct tls_server_config){.names = "DNS:a.test", .is_premature = true});
    assert_string_equal(get(f, "a.test"), "tls_verify_expired");
}

static void without_verification_anything_will_do(void **state)
{
    struct fixture *f = *state;

    given_server(f, (struct tls_server_config){.leaf_days = -1});
    f->spec.tls.insecure_skip_verify = true;
    assert_string_equal(get(f, "a.test"), "success");
    assert_int_equal(f->result.earliest_cert_expiry, tls_server_leaf_expiry(f->server));
    assert_int_equal(f->result.last_chain_expiry, 0);
}

static void names_are_checked_as_go_does(void **state)
{
    struct fixture *f = *state;

    given_server(f, (struct tls_server_config){.names = "DNS:*.wild.test,IP:127.0.0.1"});
    assert_string_equal(get(f, "x.wild.test"), "success");
    assert_string_equal(get(f, "y.x.wild.test"), "tls_verify_hostname");
    assert_string_equal(get(f, "127.0.0.1"), "success");
    assert_string_equal(tls_server_asked_name(f->server), "");
    given_server(f, (struct tls_server_config){0}); /* its subject says localhost */
    f->spec.tls.server_name = "localhost";
    assert_string_equal(get(f, "127.0.0.1"), "tls_verify_hostname");
}

static void the_server_name_is_what_the_config_says(void **state)
{
    struct fixture *f = *state;
    struct http_header host = {"Host", "other.test:1", HTTP_VALUE_TEXT};

    given_server(f, (struct tls_server_config){.names = "DNS:other.test"});
    f->spec.tls.server_name = "other.test";
    assert_string_equal(get(f, "127.0.0.1"), "success");
    assert_string_equal(tls_server_asked_name(f->server), "other.test");
    f->spec.tls.server_name = NULL;
    f->spec.headers = (struct http_headers){&host, 1};
    assert_string_equal(get(f, "a.test"), "success");
    assert_string_equal(tls_server_asked_name(f->server), "other.test");
}

static void versions_are_bounded(void **state)
{
    struct fixture *f = *state;

    given_server(f, (struct tls_server_config){.names = "DNS:a.test", .newest = 2});
    assert_string_equal(get(f, "a.test"), "success");
    assert_string_equal(f->result.tls_version, "TLS 1.2");
    f->spec.tls.min_version = HTTP_TLS_1_3;
    assert_string_equal(get(f, "a.test"), "tls_handshake");
    f->spec.tls.min_version = HTTP_TLS_DEFAULT;
    given_server(f, (struct tls_server_config){.names = "DNS:a.test", .newest = 1});
    assert_string_equal(get(f, "a.test"), "tls_handshake");
    f->spec.tls.min_version = HTTP_TLS_1_0;
    assert_string_equal(get(f, "a.test"), "success");
    assert_string_equal(f->result.tls_version, "TLS 1.1");
}

static void a_handshake_that_fails_is_told_from_one_that_hangs(void **state)
{
    struct fixture *f = *state;

    given_server(f, (struct tls_server_config){.behaviour = TLS_HANGS_UP});
    assert_string_equal(get(f, "a.test"), "tls_handshake");
    assert_true(f->result.phases_ns[HTTP_PHASE_CONNECT] > 0);
    given_server(f, (struct tls_server_config){.behaviour = TLS_IS_SILENT});
    assert_string_equal(probe(f, "a.test", SHORT_NS), "timeout");
    assert_true(f->result.phases_ns[HTTP_PHASE_CONNECT] > 0);
    assert_int_equal(f->result.phases_ns[HTTP_PHASE_TLS], 0);
}

static void a_server_that_wants_a_client_certificate_refuses_us(void **state)
{
    struct fixture *f = *state;

    given_server(f, (struct tls_server_config){.names = "DNS:a.test", .asks_for_client = true});
    assert_string_equal(get(f, "a.test"), "tls_handshake");
    given_server(
        f, (struct tls_server_config){.names = "DNS:a.test", .newest = 2, .asks_for_client = true});
    assert_string_equal(get(f, "a.test"), "tls_handshake");
}

static void our_certificate_is_shown_to_a_server_that_asks(void **state)
{
    struct fixture *f = *state;
    struct tls_server *other = tls_server_start(&(struct tls_server_config){.names = "DNS:a.test"});

    given_server(f, (struct tls_server_config){.names = "DNS:a.test", .asks_for_client = true});
    f->spec.tls.cert = tls_server_cert(f->server);
    f->spec.tls.key.text = tls_server_key(f->server);
    assert_string_equal(get(f, "a.test"), "success");
    f->spec.tls.cert = tls_server_cert(other); /* of another authority */
    f->spec.tls.key.text = tls_server_key(other);
    assert_string_equal(get(f, "a.test"), "tls_handshake");
    f->spec.tls.cert = tls_server_cert(f->server); /* which the key does not fit: our own fault */
    assert_string_equal(get(f, "a.test"), "local_error");
    tls_server_stop(other);
}

static void tls_itself_may_be_the_fault(void **state)
{
    struct fixture *f = *state;

    given_server(f, (struct tls_server_config){.names = "DNS:a.test"});
    f->spec.fail_if_ssl = true;
    assert_string_equal(get(f, "a.test"), "ssl");
    f->spec.fail_if_ssl = false;
    f->spec.fail_if_not_ssl = true;
    assert_string_equal(get(f, "a.test"), "success");
}

static void a_ca_without_a_certificate_is_refused(void **state)
{
    struct http_tls_trust *trust = NULL;
    struct prober_failure why;

    (void)state;
    assert_int_equal(http_tls_trust_create(&trust, "no PEM", &why), PROBER_ERR_SYNTAX);
    assert_null(trust);
}

static void write_roots(const char *path, const char *pem)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(pem, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void the_systems_certificates_are_read_once_until_they_change(void **state)
{
    struct fixture *f = *state;
    struct http_tls_trust *first = NULL, *second = NULL, *third = NULL;
    char path[] = "/tmp/test_http_tls.XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    setenv("SSL_CERT_FILE", path, 1);
    given_server(f, (struct tls_server_config){.names = "DNS:a.test"});
    write_roots(path, tls_server_ca(f->server));
    f->spec.tls.ca = NULL;
    assert_int_equal(http_tls_roots_create(&f->means.roots), PROBER_OK);
    assert_int_equal(http_tls_roots_trust(f->means.roots, &first, NULL), PROBER_OK);
    assert_int_equal(http_tls_roots_trust(f->means.roots, &second, NULL), PROBER_OK);
    assert_ptr_equal(first, second);
    assert_string_equal(get(f, "a.test"), "success");

    write_roots(path, "");
    assert_int_equal(http_tls_roots_trust(f->means.roots, &third, NULL), PROBER_OK);
    assert_ptr_not_equal(first, third);
    assert_string_equal(get(f, "a.test"), "tls_verify_untrusted");

    http_tls_roots_destroy(f->means.roots);
    http_tls_trust_destroy(first);
    http_tls_trust_destroy(second);
    http_tls_trust_destroy(third);
    unsetenv("SSL_CERT_FILE");
    unlink(path);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_trusted_server_has_version_phases_and_expiry),
        TEST(the_earliest_expiry_of_the_chain_counts),
        TEST(each_failure_of_verification_has_its_reason_and_keeps_the_expiry),
        TEST(without_verification_anything_will_do),
        TEST(names_are_checked_as_go_does),
        TEST(the_server_name_is_what_the_config_says),
        TEST(versions_are_bounded),
        TEST(a_handshake_that_fails_is_told_from_one_that_hangs),
        TEST(a_server_that_wants_a_client_certificate_refuses_us),
        TEST(our_certificate_is_shown_to_a_server_that_asks),
        TEST(tls_itself_may_be_the_fault),
        TEST(a_ca_without_a_certificate_is_refused),
        TEST(the_systems_certificates_are_read_once_until_they_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
