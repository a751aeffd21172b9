#include "test/unit/given_files.h"

#include "common/channel_tls.h"
#include "serverd/trust.h"

#define NOW INT64_C(1800000000)
#define DAY PKI_DAY_S

static struct given_files files;
static struct serverd_settings settings;
static struct trust *trust;
static struct prober_failure why;
static unsigned taken;

static char none[] = "";

static int make_world(void **state)
{
    (void)state;
    given_dir(&files);
    memset(&settings, 0, sizeof(settings));
    settings.state_dir = files.dir;
    settings.pki_ca = settings.pki_ca_key = settings.pki_certificate = settings.pki_key = none;
    settings.plain = SERVERD_PLAIN_ACCEPT;
    taken = 0;
    return 0;
}

static int end_world(void **state)
{
    (void)state;
    trust_close(trust);
    trust = NULL;
    given_dir_ends(&files);
    return 0;
}

static void given_trust(int64_t now_s)
{
    trust_close(trust);
    trust = NULL;
    if (trust_open(&trust, &settings, now_s, &why))
        fail_msg("%s", why.text);
}

static void take(void *context, struct channel_server *server)
{
    (void)context;
    assert_non_null(server);
    assert_ptr_not_equal(server, trust_server(trust));
    taken++;
}

static void authority_and_tickets_are_in_the_state_directory(void **state)
{
    struct stat about;
    uint8_t first[DIGEST_SHA256_LEN];

    (void)state;
    given_trust(NOW);
    memcpy(first, authority_ca_identity(trust_authority(trust))->fingerprint, sizeof(first));
    assert_int_equal(stat(given_path(&files, "pki/ca.key"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(stat(given_path(&files, "ticket_keys"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    given_trust(NOW + DAY);
    assert_memory_equal(first, authority_ca_identity(trust_authority(trust))->fingerprint,
                        sizeof(first));
}

static void handshakes_use_a_renewed_certificate_in_time(void **state)
{
    (void)state;
    given_trust(NOW);
    trust_step(trust, NOW + 200 * DAY, take, NULL);
    assert_int_equal(taken, 0);
    trust_step(trust, NOW + 300 * DAY, take, NULL);
    assert_int_equal(taken, 1);
    assert_true(channel_server_identity(trust_server(trust))->not_after_s > NOW + 600 * DAY);
    trust_step(trust, NOW + 300 * DAY + 60, take, NULL);
    assert_int_equal(taken, 1);
}

static void a_renewal_that_fails_leaves_the_certificate_and_is_tried_again(void **state)
{
    char gone[64];

    (void)state;
    given_trust(NOW);
    snprintf(gone, sizeof(gone), "%s/gone", files.dir);
    assert_int_equal(rename(given_path(&files, "pki"), gone), 0);
    trust_step(trust, NOW + 300 * DAY, take, NULL);
    assert_int_equal(taken, 0);
    assert_non_null(trust_server(trust));
    assert_int_equal(rename(gone, given_path(&files, "pki")), 0);
    trust_step(trust, NOW + 300 * DAY + 60, take, NULL);
    assert_int_equal(taken, 0); /* not yet: what fails is not tried every second */
    trust_step(trust, NOW + 300 * DAY + 3600, take, NULL);
    assert_int_equal(taken, 1);
}

static void damaged_ticket_keys_are_made_anew(void **state)
{
    (void)state;
    given_trust(NOW);
    given_text(&files, "ticket_keys", "nonsense");
    given_trust(NOW);
}

static void a_key_that_others_can_read_stops_the_server(void **state)
{
    (void)state;
    given_trust(NOW);
    trust_close(trust);
    trust = NULL;
    assert_int_equal(chmod(given_path(&files, "pki/ca.key"), 0644), 0);
    assert_int_equal(trust_open(&trust, &settings, NOW, &why), PROBER_ERR_STATE);
    assert_non_null(strstr(why.text, "ca.key"));
    assert_false(trust_may_do_without(&settings, false, PROBER_ERR_STATE));
}

static void only_a_server_that_cannot_write_and_takes_plain_links_goes_on(void **state)
{
    char given[] = "ca.pem";

    (void)state;
    assert_true(trust_may_do_without(&settings, false, PROBER_ERR_DENIED));
    assert_true(trust_may_do_without(&settings, false, PROBER_ERR_IO));
    assert_false(trust_may_do_without(&settings, true, PROBER_ERR_DENIED));
    settings.plain = SERVERD_PLAIN_REFUSE;
    assert_false(trust_may_do_without(&settings, false, PROBER_ERR_DENIED));
    settings.plain = SERVERD_PLAIN_ACCEPT;
    settings.pki_ca = given;
    assert_false(trust_may_do_without(&settings, false, PROBER_ERR_DENIED));
}

static void given_files_are_checked_and_nothing_is_made(void **state)
{
    char ca[64], key[64], certificate[64];
    struct stat about;

    (void)state;
    assert_int_equal(trust_check(&settings, NOW, &why), PROBER_OK);
    assert_int_not_equal(stat(given_path(&files, "pki"), &about), 0);
    given_trust(NOW);
    snprintf(ca, sizeof(ca), "%s/pki/ca.crt", files.dir);
    snprintf(key, sizeof(key), "%s/pki/ca.key", files.dir);
    snprintf(certificate, sizeof(certificate), "%s/pki/server.pem", files.dir);
    settings.state_dir = none;
    settings.pki_ca = ca;
    assert_int_equal(trust_check(&settings, NOW, &why), PROBER_ERR_STATE);
    settings.pki_ca_key = key;
    assert_int_equal(trust_check(&settings, NOW, &why), PROBER_OK);
    assert_int_not_equal(trust_check(&settings, NOW + 4000 * DAY, &why), PROBER_OK);
    settings.pki_certificate = certificate;
    settings.pki_key = key;
    assert_int_equal(trust_check(&settings, NOW, &why), PROBER_ERR_STATE); /* not its key */
    settings.pki_key = certificate;
    assert_int_equal(trust_check(&settings, NOW, &why), PROBER_OK);
}

static void when_certificates_expire_is_shown(void **state)
{
    struct strbuf text = STRBUF_INIT;
    struct metrics_writer writer = {.out = &text, .format = METRICS_PROMETHEUS};
    char line[128];

    (void)state;
    given_trust(NOW);
    trust_step(trust, NOW + 300 * DAY, take, NULL);
    trust_write_metrics(trust, &writer);
    snprintf(line, sizeof(line),
             "prober_server_certificate_expiry_timestamp_seconds{certificate=\"server\"} %lld\n",
             (long long)channel_server_identity(trust_server(trust))->not_after_s);
    assert_non_null(strstr(text.bytes, line));
    strbuf_free(&text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, end_world)
    const struct CMUnitTest tests[] = {
        TEST(authority_and_tickets_are_in_the_state_directory),
        TEST(handshakes_use_a_renewed_certificate_in_time),
        TEST(a_renewal_that_fails_leaves_the_certificate_and_is_tried_again),
        TEST(when_certificates_expire_is_shown),
        TEST(damaged_ticket_keys_are_made_anew),
        TEST(a_key_that_others_can_read_stops_the_server),
        TEST(only_a_server_that_cannot_write_and_takes_plain_links_goes_on),
        TEST(given_files_are_checked_and_nothing_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
