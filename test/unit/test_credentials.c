#include "test/unit/given_files.h"
#include "test/unit/given_pki.h"

#include "agentd/credentials.h"
#include "common/channel_tls.h"

#define NOW GIVEN_NOW_S

static struct given_pki pki;
static struct given_files files;
static struct credentials *credentials;
static struct prober_failure why;
static struct strbuf request, certificate;

static enum prober_error reopen(void)
{
    const struct credentials_config config = {.dir = given_path(&files, "pki")};

    credentials_close(credentials);
    credentials = NULL;
    return credentials_open(&credentials, &config, &why);
}

static void ask(void)
{
    assert_int_equal(credentials_request(credentials, &request, &why), PROBER_OK);
}

static void issue(const struct prober_id *id, const char *region, int64_t now_s)
{
    assert_int_equal(pki_ca_issue_agent(pki.ca, request.bytes, request.len, id, region, now_s,
                                        PKI_AGENT_LIFE_S, &certificate, &why),
                     PROBER_OK);
}

static enum prober_error join(void)
{
    ask();
    issue(&pki.agent_id, "eu", NOW);
    return credentials_accept(credentials, certificate.bytes, pki.ca_certificate.bytes, NOW, &why);
}

static bool exists(const char *name)
{
    return access(given_path(&files, name), F_OK) == 0;
}

static void an_agent_that_never_joined_has_none(void **state)
{
    (void)state;
    assert_null(credentials_identity(credentials));
    assert_null(credentials_ca(credentials));
    assert_null(credentials_certificate(credentials));
    assert_null(credentials_key(credentials));
    assert_false(credentials_are_due(credentials, NOW));
    assert_false(exists("pki"));
}

static void who_joined_is_known_after_a_restart(void **state)
{
    struct pki_identity identity;
    struct stat about;
    (void)state;

    assert_int_equal(join(), PROBER_OK);
    identity = *credentials_identity(credentials);
    assert_true(prober_id_equal(&identity.agent_id, &pki.agent_id));
    assert_false(exists("pki/next.key"));
    assert_int_equal(stat(given_path(&files, "pki/agent.pem"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(stat(given_path(&files, "pki"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    assert_int_equal(reopen(), PROBER_OK);
    assert_memory_equal(credentials_identity(credentials), &identity, sizeof(identity));
    assert_string_equal(credentials_ca(credentials), pki.ca_certificate.bytes);
}

static void what_is_read_makes_a_channel(void **state)
{
    struct channel_client *client = NULL;
    (void)state;

    assert_int_equal(join(), PROBER_OK);
    for (int i = 0; i < 2; i++) {
        const struct channel_client_config config = {.ca = credentials_ca(credentials),
                                                     .certificate =
                                                         credentials_certificate(credentials),
                                                     .key = credentials_key(credentials)};

        assert_int_equal(channel_client_open(&client, &config, &why), PROBER_OK);
        channel_client_close(client);
        assert_int_equal(reopen(), PROBER_OK);
    }
}

static void an_agent_that_was_killed_asks_with_the_same_key(void **state)
{
    uint8_t first[DIGEST_SHA256_LEN], again[DIGEST_SHA256_LEN], other[DIGEST_SHA256_LEN];
    (void)state;

    ask();
    assert_int_equal(pki_check_request(request.bytes, request.len, first, &why), PROBER_OK);
    assert_int_equal(reopen(), PROBER_OK);
    ask();
    assert_int_equal(pki_check_request(request.bytes, request.len, again, &why), PROBER_OK);
    assert_memory_equal(first, again, sizeof(first));
    issue(&pki.agent_id, "eu", NOW);
    assert_int_equal(
        credentials_accept(credentials, certificate.bytes, pki.ca_certificate.bytes, NOW, &why),
        PROBER_OK);
    ask();
    assert_int_equal(pki_check_request(request.bytes, request.len, other, &why), PROBER_OK);
    assert_memory_not_equal(first, other, sizeof(first));
}

static void renewal_is_due_at_two_thirds_and_keeps_the_name(void **state)
{
    int64_t due_s;
    (void)state;

    assert_int_equal(join(), PROBER_OK);
    due_s = pki_renewal_s(credentials_identity(credentials), 0);
    assert_false(credentials_are_due(credentials, due_s - 1));
    assert_true(credentials_are_due(credentials, due_s));
    ask();
    issue(&pki.agent_id, "eu", due_s);
    assert_int_equal(credentials_accept(credentials, certificate.bytes, NULL, due_s, &why),
                     PROBER_OK);
    assert_false(credentials_are_due(credentials, due_s));
    assert_int_equal(reopen(), PROBER_OK);
    assert_int_equal(credentials_identity(credentials)->not_after_s, due_s + PKI_AGENT_LIFE_S);
}

static void a_renewal_for_another_agent_or_region_is_refused(void **state)
{
    struct pki_identity before;
    struct prober_id other = prober_id_random();
    (void)state;

    assert_int_equal(join(), PROBER_OK);
    before = *credentials_identity(credentials);
    ask();
    issue(&other, "eu", NOW);
    assert_int_equal(credentials_accept(credentials, certificate.bytes, NULL, NOW, &why),
                     PROBER_ERR_STATE);
    issue(&pki.agent_id, "us", NOW);
    assert_int_equal(credentials_accept(credentials, certificate.bytes, NULL, NOW, &why),
                     PROBER_ERR_STATE);
    assert_int_equal(reopen(), PROBER_OK);
    assert_memory_equal(credentials_identity(credentials), &before, sizeof(before));
    /* Who joins anew may get another. */
    ask();
    issue(&other, "us", NOW);
    assert_int_equal(
        credentials_accept(credentials, certificate.bytes, pki.ca_certificate.bytes, NOW, &why),
        PROBER_OK);
}

static void what_is_no_answer_to_our_request_is_refused(void **state)
{
    struct given_pki other;
    (void)state;

    assert_int_equal(credentials_accept(credentials, pki.agent_certificate.bytes,
                                        pki.ca_certificate.bytes, NOW, &why),
                     PROBER_ERR_STATE); /* nothing was asked for */
    ask();
    assert_int_equal(credentials_accept(credentials, pki.agent_certificate.bytes,
                                        pki.ca_certificate.bytes, NOW, &why),
                     PROBER_ERR_STATE); /* of another key */
    assert_int_equal(credentials_accept(credentials, pki.server_certificate.bytes,
                                        pki.ca_certificate.bytes, NOW, &why),
                     PROBER_ERR_STATE);
    assert_int_equal(
        credentials_accept(credentials, "nonsense", pki.ca_certificate.bytes, NOW, &why),
        PROBER_ERR_SYNTAX);
    issue(&pki.agent_id, "eu", NOW);
    assert_int_equal(credentials_accept(credentials, certificate.bytes, NULL, NOW, &why),
                     PROBER_ERR_STATE); /* without an authority */
    assert_int_equal(credentials_accept(credentials, certificate.bytes, pki.ca_certificate.bytes,
                                        NOW + PKI_AGENT_LIFE_S + 1, &why),
                     PROBER_ERR_STATE);
    given_pki_make(&other);
    assert_int_equal(
        credentials_accept(credentials, certificate.bytes, other.ca_certificate.bytes, NOW, &why),
        PROBER_ERR_STATE);
    given_pki_free(&other);
    assert_null(credentials_identity(credentials));
    assert_false(exists("pki/agent.pem"));
}

static void damaged_files_are_told_and_left(void **state)
{
    static const char *const contents[] = {"", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n"};
    (void)state;

    assert_int_equal(join(), PROBER_OK);
    for (size_t i = 0; i < 3; i++) {
        given_text(&files, "pki/agent.pem", contents[i]);
        assert_int_equal(reopen(), PROBER_ERR_SYNTAX);
        assert_non_null(strstr(why.text, "agent.pem"));
    }
    assert_int_equal(chmod(given_path(&files, "pki/agent.pem"), 0644), 0);
    assert_int_equal(reopen(), PROBER_ERR_STATE);
    assert_non_null(strstr(why.text, "read by others"));
    assert_null(credentials);
}

static void a_damaged_key_that_was_to_be_used_is_replaced(void **state)
{
    (void)state;
    ask();
    given_text(&files, "pki/next.key", "nonsense");
    assert_int_equal(join(), PROBER_OK);
}

static void files_that_exist_are_used_and_not_renewed(void **state)
{
    char paths[3][256];
    const struct credentials_config config = {
        .dir = given_path(&files, "pki"), .ca = paths[0], .certificate = paths[1], .key = paths[2]};
    struct credentials_config part = config;
    (void)state;

    for (int i = 0; i < 3; i++)
        snprintf(paths[i], sizeof(paths[i]), "%s/%d", files.dir, i);
    given_text(&files, "0", pki.ca_certificate.bytes);
    given_text(&files, "1", pki.agent_certificate.bytes);
    given_text(&files, "2", pki.agent_key.bytes);
    credentials_close(credentials);
    assert_int_equal(credentials_open(&credentials, &config, &why), PROBER_OK);
    assert_true(prober_id_equal(&credentials_identity(credentials)->agent_id, &pki.agent_id));
    assert_false(credentials_are_due(credentials, NOW + PKI_AGENT_LIFE_S));
    assert_int_equal(credentials_request(credentials, &request, &why), PROBER_ERR_STATE);
    assert_false(exists("pki"));
    credentials_close(credentials);
    credentials = NULL;
    part.key = "";
    assert_int_equal(credentials_open(&credentials, &part, &why), PROBER_ERR_STATE);
    given_text(&files, "2", pki.server_key.bytes);
    assert_int_equal(credentials_open(&credentials, &config, &why), PROBER_ERR_STATE);
}

static int set_up(void **state)
{
    (void)state;
    given_dir(&files);
    return reopen() ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    credentials_close(credentials);
    credentials = NULL;
    strbuf_free(&request);
    strbuf_free(&certificate);
    given_dir_ends(&files);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    given_pki_make(&pki);
    return 0;
}

static int end(void **state)
{
    (void)state;
    given_pki_free(&pki);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_agent_that_never_joined_has_none),
        TEST(who_joined_is_known_after_a_restart),
        TEST(what_is_read_makes_a_channel),
        TEST(an_agent_that_was_killed_asks_with_the_same_key),
        TEST(renewal_is_due_at_two_thirds_and_keeps_the_name),
        TEST(a_renewal_for_another_agent_or_region_is_refused),
        TEST(what_is_no_answer_to_our_request_is_refused),
        TEST(damaged_files_are_told_and_left),
        TEST(a_damaged_key_that_was_to_be_used_is_replaced),
        TEST(files_that_exist_are_used_and_not_renewed),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
