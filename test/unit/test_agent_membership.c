#include "agentd/membership.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "test/unit/fakes/fake_joining.h"
#include "test/unit/given_files.h"

static struct given_pki pki;
static struct given_files files;
static struct agentd_settings settings;
static struct identity identity;
static struct membership membership;
static struct prober_failure why;

static enum prober_error opens_at(int64_t now_s)
{
    membership_close(&membership);
    identity.agent_id = (struct prober_id){{7}};
    why.text[0] = '\0';
    return membership_open(&membership, &settings, &identity, NULL, now_s, &why);
}

static enum prober_error opens(void)
{
    return opens_at(GIVEN_NOW_S);
}

static bool is_certified(void)
{
    return membership.credentials && prober_id_equal(&identity.agent_id, &pki.agent_id) &&
           strcmp(membership.region.name, GIVEN_REGION) == 0 &&
           membership.region.origin == REGION_FROM_CERTIFICATE;
}

static void given_token(void)
{
    settings.join_token = (char *)"a-token";
}

static void given_joined(void)
{
    given_token();
    assert_int_equal(opens(), PROBER_OK);
    settings.join_token = (char *)"";
    memset(&fake_joining, 0, sizeof(fake_joining));
    fake_joining.pki = &pki;
}

static void without_certificate_and_token_it_is_by_its_own_word(void **state)
{
    (void)state;
    settings.region = (char *)"eu";
    assert_int_equal(opens(), PROBER_OK);
    assert_null(membership.credentials);
    assert_string_equal(membership.region.name, "eu");
    assert_int_equal(identity.agent_id.bytes[0], 7);
    settings.region = (char *)"";
    assert_int_equal(opens(), PROBER_OK);
    assert_string_equal(membership.region.name, REGION_DEFAULT);
    setenv("PROBER_REGION", "us", 1);
    assert_int_equal(opens(), PROBER_OK);
    assert_string_equal(membership.region.name, "us");
    assert_int_equal(fake_joining.calls, 0);
}

static void with_a_token_it_joins_and_is_who_its_certificate_says(void **state)
{
    (void)state;
    given_token();
    assert_int_equal(opens(), PROBER_OK);
    assert_true(is_certified());
    assert_int_equal(fake_joining.calls, 1);
    assert_string_equal(fake_joining.server, "server:6000");
    assert_string_equal(fake_joining.token, "a-token");
    assert_string_equal(fake_joining.region, "");
}

static void the_region_that_it_wants_is_told_when_it_joins(void **state)
{
    (void)state;
    given_token();
    settings.region = (char *)GIVEN_REGION;
    assert_int_equal(opens(), PROBER_OK);
    assert_string_equal(fake_joining.region, GIVEN_REGION);
}

static void who_has_joined_needs_no_token_and_uses_none(void **state)
{
    (void)state;
    given_joined();
    assert_int_equal(opens(), PROBER_OK);
    assert_true(is_certified());
    given_token();
    assert_int_equal(opens(), PROBER_OK);
    assert_true(is_certified());
    assert_int_equal(fake_joining.calls, 0);
}

static void a_token_in_a_file_is_read_only_when_it_is_needed(void **state)
{
    char given[80];

    (void)state;
    given_text(&files, "token", "from a file\n");
    snprintf(given, sizeof(given), "@%s", given_path(&files, "token"));
    settings.join_token = given;
    assert_int_equal(opens(), PROBER_OK);
    assert_string_equal(fake_joining.token, "from a file");
    assert_int_equal(unlink(given + 1), 0);
    assert_int_equal(opens(), PROBER_OK);
    assert_true(is_certified());
    assert_int_equal(fake_joining.calls, 1);
}

static void a_token_file_that_is_needed_and_gone_is_told(void **state)
{
    (void)state;
    settings.join_token = (char *)"@/nonexistent/token";
    assert_int_equal(opens(), PROBER_ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "cannot join: agent.join: cannot open /nonexistent/token"));
    assert_null(membership.credentials);
}

static void who_was_away_until_its_certificate_expired_joins_anew_with_a_token_alone(void **state)
{
    const int64_t later_s = GIVEN_NOW_S + PKI_AGENT_LIFE_S + 1;

    (void)state;
    given_joined();
    assert_int_equal(opens_at(later_s), PROBER_OK);
    assert_true(is_certified()); /* its clock may be wrong; plain it is never */
    assert_int_equal(fake_joining.calls, 0);
    given_token();
    assert_int_equal(opens_at(later_s), PROBER_OK);
    assert_int_equal(fake_joining.calls, 1);
    fake_joining.err = PROBER_ERR_DENIED;
    assert_int_equal(opens_at(later_s), PROBER_ERR_DENIED);
    assert_null(membership.credentials);
}

static void a_certificate_of_another_region_than_the_settings_say_is_an_error(void **state)
{
    (void)state;
    given_joined();
    settings.region = (char *)"elsewhere";
    assert_int_equal(opens(), PROBER_ERR_STATE);
    assert_null(membership.credentials);
    assert_non_null(strstr(why.text, "for region '" GIVEN_REGION "', but its settings say"));
    assert_non_null(strstr(why.text, "/credentials and join again"));
    settings.region = (char *)"";
    setenv("PROBER_REGION", "elsewhere", 1);
    assert_int_equal(opens(), PROBER_ERR_STATE);
    setenv("PROBER_REGION", GIVEN_REGION, 1);
    assert_int_equal(opens(), PROBER_OK);
}

static void one_that_is_plain_by_its_settings_has_no_certificate(void **state)
{
    (void)state;
    given_joined();
    settings.plain = true;
    assert_int_equal(opens(), PROBER_OK);
    assert_null(membership.credentials);
    assert_string_equal(membership.region.name, REGION_DEFAULT);
}

static void a_refusal_to_join_says_where_and_is_no_start(void **state)
{
    (void)state;
    given_token();
    fake_joining.err = PROBER_ERR_DENIED;
    assert_int_equal(opens(), PROBER_ERR_DENIED);
    assert_string_equal(why.text, "cannot join at server:6000: as the test wants it");
    assert_null(membership.credentials);
    fake_joining.err = PROBER_ERR_CLOSED;
    assert_int_equal(opens(), PROBER_ERR_CLOSED);
    assert_null(membership.credentials);
    /* What it asked with is kept: the next start asks with the same key. */
    fake_joining.err = PROBER_OK;
    assert_int_equal(opens(), PROBER_OK);
    assert_true(is_certified());
}

static void given_secret(const char *name, const struct strbuf *text)
{
    given_file(&files, name, text->bytes, text->len);
    assert_int_equal(chmod(given_path(&files, name), 0600), 0);
}

static void certificates_that_exist_are_used_as_they_are(void **state)
{
    char ca[64], certificate[64], key[64];

    (void)state;
    given_secret("ca", &pki.ca_certificate);
    given_secret("certificate", &pki.agent_certificate);
    given_secret("key", &pki.agent_key);
    snprintf(ca, sizeof(ca), "%s", given_path(&files, "ca"));
    snprintf(certificate, sizeof(certificate), "%s", given_path(&files, "certificate"));
    snprintf(key, sizeof(key), "%s", given_path(&files, "key"));
    settings.pki_ca = ca;
    settings.pki_certificate = certificate;
    settings.pki_key = key;
    assert_int_equal(opens(), PROBER_OK);
    assert_true(is_certified());
    assert_int_equal(fake_joining.calls, 0);
    assert_int_equal(unlink(key), 0);
    assert_true(opens() != PROBER_OK);
    assert_non_null(strstr(why.text, key));
}

static void a_damaged_certificate_is_an_error_and_never_a_plain_link(void **state)
{
    (void)state;
    given_joined();
    given_text(&files, "credentials/agent.pem", "nonsense");
    assert_true(opens() != PROBER_OK);
    assert_null(membership.credentials);
    assert_non_null(strstr(why.text, "agent.pem"));
}

static void a_region_that_is_no_name_is_an_error(void **state)
{
    (void)state;
    setenv("PROBER_REGION", "a\nb", 1);
    assert_int_equal(opens(), PROBER_ERR_SYNTAX);
}

static int set_up(void **state)
{
    (void)state;
    given_dir(&files);
    unsetenv("PROBER_REGION");
    memset(&fake_joining, 0, sizeof(fake_joining));
    fake_joining.pki = &pki;
    settings = (struct agentd_settings){.region = (char *)"",
                                        .region_metadata = (char *)"",
                                        .state_dir = files.dir,
                                        .report_addr = (char *)"server:6000",
                                        .join_token = (char *)"",
                                        .pki_ca = (char *)"",
                                        .pki_certificate = (char *)"",
                                        .pki_key = (char *)""};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    membership_close(&membership);
    given_dir_ends(&files);
    return 0;
}

static int make_pki(void **state)
{
    (void)state;
    given_pki_make(&pki);
    return 0;
}

static int free_pki(void **state)
{
    (void)state;
    given_pki_free(&pki);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_certificate_and_token_it_is_by_its_own_word),
        TEST(with_a_token_it_joins_and_is_who_its_certificate_says),
        TEST(the_region_that_it_wants_is_told_when_it_joins),
        TEST(who_has_joined_needs_no_token_and_uses_none),
        TEST(a_token_in_a_file_is_read_only_when_it_is_needed),
        TEST(a_token_file_that_is_needed_and_gone_is_told),
        TEST(who_was_away_until_its_certificate_expired_joins_anew_with_a_token_alone),
        TEST(a_certificate_of_another_region_than_the_settings_say_is_an_error),
        TEST(one_that_is_plain_by_its_settings_has_no_certificate),
        TEST(a_refusal_to_join_says_where_and_is_no_start),
        TEST(certificates_that_exist_are_used_as_they_are),
        TEST(a_damaged_certificate_is_an_error_and_never_a_plain_link),
        TEST(a_region_that_is_no_name_is_an_error),
    };

    return cmocka_run_group_tests(tests, make_pki, free_pki);
}
