#include "test/unit/given_pki.h"

#include <stdlib.h>

static struct given_pki pki;
static struct prober_failure why;

static struct pki_identity identity_of(const struct strbuf *certificate)
{
    struct pki_identity identity;

    assert_int_equal(pki_read_certificate(certificate->bytes, certificate->len, &identity, &why),
                     PROBER_OK);
    return identity;
}

static void an_authority_is_its_own_and_a_ca(void **state)
{
    struct pki_identity id = identity_of(&pki.ca_certificate);
    (void)state;

    assert_int_equal(id.role, PKI_ROLE_CA);
    assert_memory_equal(&id, pki_ca_identity(pki.ca), sizeof(id));
    assert_int_equal(id.not_before_s, GIVEN_NOW_S - PKI_BACKDATE_S);
    assert_int_equal(id.not_after_s, GIVEN_NOW_S + PKI_CA_LIFE_S);
}

static void a_server_has_its_role_and_no_region(void **state)
{
    struct pki_identity id = identity_of(&pki.server_certificate);
    (void)state;

    assert_int_equal(id.role, PKI_ROLE_SERVER);
    assert_true(prober_id_is_zero(&id.agent_id));
    assert_string_equal(id.region, "");
    assert_int_equal(id.not_after_s, GIVEN_NOW_S + PKI_SERVER_LIFE_S);
    assert_int_equal(pki_check_key(pki.server_certificate.bytes, pki.server_key.bytes, &why),
                     PROBER_OK);
}

static void an_agent_is_who_the_server_says(void **state)
{
    struct pki_identity id = identity_of(&pki.agent_certificate);
    (void)state;

    assert_int_equal(id.role, PKI_ROLE_AGENT);
    assert_true(prober_id_equal(&id.agent_id, &pki.agent_id));
    assert_string_equal(id.region, GIVEN_REGION);
    assert_int_equal(id.serial_len, 16);
    assert_int_equal(id.not_before_s, GIVEN_NOW_S - PKI_BACKDATE_S);
    assert_int_equal(id.not_after_s, GIVEN_NOW_S + PKI_AGENT_LIFE_S);
    assert_int_equal(pki_check_key(pki.agent_certificate.bytes, pki.agent_key.bytes, &why),
                     PROBER_OK);
}

static void every_certificate_has_its_own_serial_number(void **state)
{
    struct pki_identity ids[4];
    struct strbuf certificate = STRBUF_INIT;
    (void)state;

    for (size_t i = 0; i < 4; i++) {
        given_agent_certificate(pki.ca, &pki.agent_key, &pki.agent_id, "eu", GIVEN_NOW_S, 3600,
                                &certificate);
        ids[i] = identity_of(&certificate);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(ids[i].serial, ids[j].serial, 16);
            assert_memory_not_equal(ids[i].fingerprint, ids[j].fingerprint, DIGEST_SHA256_LEN);
        }
    }
    strbuf_free(&certificate);
}

static void any_region_can_be_certified(void **state)
{
    static const char *const regions[] = {
        "a",     "=,+<>#;\\\"", " lead",
        "../..", "a%2Fb",       "地区地区地区地区地区地区地区地区地区地区地区地区地区地区"};
    struct strbuf certificate = STRBUF_INIT;
    (void)state;

    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        given_agent_certificate(pki.ca, &pki.agent_key, &pki.agent_id, regions[i], GIVEN_NOW_S,
                                3600, &certificate);
        assert_string_equal(identity_of(&certificate).region, regions[i]);
    }
    strbuf_free(&certificate);
}

static void no_certificate_is_issued_for_what_is_no_region(void **state)
{
    struct strbuf request = STRBUF_INIT, certificate = STRBUF_INIT;
    char large[10240 + 1];
    const char *const regions[] = {"", "a\nb", "\xff", large};
    (void)state;

    memset(large, 'r', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_int_equal(pki_make_request(pki.agent_key.bytes, &request, &why), PROBER_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pki_ca_issue_agent(pki.ca, request.bytes, request.len, &pki.agent_id,
                                            regions[i], GIVEN_NOW_S, 3600, &certificate, &why),
                         PROBER_ERR_RANGE);
    strbuf_free(&request);
    strbuf_free(&certificate);
}

static enum prober_error issue_for(const struct strbuf *request)
{
    struct strbuf certificate = STRBUF_INIT;
    enum prober_error err = pki_ca_issue_agent(pki.ca, request->bytes, request->len, &pki.agent_id,
                                               "eu", GIVEN_NOW_S, 3600, &certificate, &why);

    assert_true(err == PROBER_OK || certificate.len == 0);
    strbuf_free(&certificate);
    return err;
}

static void a_request_without_proof_of_possession_gets_nothing(void **state)
{
    struct strbuf request = STRBUF_INIT;
    (void)state;

    assert_int_equal(pki_make_request(pki.agent_key.bytes, &request, &why), PROBER_OK);
    assert_int_equal(issue_for(&request), PROBER_OK);
    for (size_t i = 0; i < request.len; i++) {
        request.bytes[i] ^= 0x04;
        assert_int_not_equal(issue_for(&request), PROBER_OK);
        request.bytes[i] ^= 0x04;
    }
    request.bytes[request.len - 3] ^= 1;
    assert_int_equal(issue_for(&request), PROBER_ERR_DENIED);
    strbuf_free(&request);
}

static void a_request_cut_short_gets_nothing(void **state)
{
    struct strbuf request = STRBUF_INIT;
    size_t len;
    (void)state;

    assert_int_equal(pki_make_request(pki.agent_key.bytes, &request, &why), PROBER_OK);
    len = request.len;
    for (request.len = 0; request.len < len; request.len++)
        assert_int_not_equal(issue_for(&request), PROBER_OK);
    strbuf_free(&request);
}

static void who_asks_again_with_the_same_key_is_known_by_it(void **state)
{
    uint8_t first[DIGEST_SHA256_LEN], again[DIGEST_SHA256_LEN], other[DIGEST_SHA256_LEN];
    struct strbuf request = STRBUF_INIT;
    (void)state;

    assert_int_equal(pki_make_request(pki.agent_key.bytes, &request, &why), PROBER_OK);
    assert_int_equal(pki_check_request(request.bytes, request.len, first, &why), PROBER_OK);
    assert_int_equal(pki_make_request(pki.agent_key.bytes, &request, &why), PROBER_OK);
    assert_int_equal(pki_check_request(request.bytes, request.len, again, &why), PROBER_OK);
    assert_int_equal(pki_make_request(pki.server_key.bytes, &request, &why), PROBER_OK);
    assert_int_equal(pki_check_request(request.bytes, request.len, other, &why), PROBER_OK);
    assert_memory_equal(first, again, sizeof(first));
    assert_memory_not_equal(first, other, sizeof(first));
    strbuf_free(&request);
}

static void no_certificate_outlives_the_authority(void **state)
{
    struct strbuf certificate = STRBUF_INIT, request = STRBUF_INIT;
    int64_t late = GIVEN_NOW_S + PKI_CA_LIFE_S - 100;
    (void)state;

    given_agent_certificate(pki.ca, &pki.agent_key, &pki.agent_id, "eu", late, PKI_AGENT_LIFE_S,
                            &certificate);
    assert_int_equal(identity_of(&certificate).not_after_s, GIVEN_NOW_S + PKI_CA_LIFE_S);
    assert_int_equal(pki_make_request(pki.agent_key.bytes, &request, &why), PROBER_OK);
    assert_int_equal(pki_ca_issue_agent(pki.ca, request.bytes, request.len, &pki.agent_id, "eu",
                                        late + 200, 3600, &certificate, &why),
                     PROBER_ERR_STATE);
    assert_non_null(strstr(why.text, "expired on 20"));
    strbuf_free(&request);
    strbuf_free(&certificate);
}

static void a_life_out_of_range_is_refused(void **state)
{
    struct strbuf key = STRBUF_INIT, certificate = STRBUF_INIT;
    (void)state;

    assert_int_equal(pki_ca_issue_server(pki.ca, GIVEN_NOW_S, 0, &key, &certificate, &why),
                     PROBER_ERR_RANGE);
    assert_int_equal(pki_ca_issue_server(pki.ca, GIVEN_NOW_S, INT64_MAX, &key, &certificate, &why),
                     PROBER_ERR_RANGE);
    assert_int_equal(pki_ca_make(GIVEN_NOW_S, -1, &key, &certificate), PROBER_ERR_RANGE);
    pki_forget(&key);
    strbuf_free(&certificate);
}

static void an_authority_needs_its_own_key(void **state)
{
    struct pki_ca *ca = NULL;
    (void)state;

    assert_int_equal(pki_ca_open(&ca, pki.ca_certificate.bytes, pki.server_key.bytes, &why),
                     PROBER_ERR_STATE);
    assert_int_equal(pki_ca_open(&ca, pki.server_certificate.bytes, pki.server_key.bytes, &why),
                     PROBER_ERR_STATE);
    assert_int_equal(pki_ca_open(&ca, "nonsense", pki.ca_key.bytes, &why), PROBER_ERR_SYNTAX);
    assert_int_equal(pki_ca_open(&ca, pki.ca_certificate.bytes, "", &why), PROBER_ERR_SYNTAX);
    assert_null(ca);
    pki_ca_close(NULL);
}

static void a_certificate_in_one_file_with_its_key_is_read(void **state)
{
    struct strbuf both = STRBUF_INIT;
    struct pki_ca *ca = NULL;
    (void)state;

    strbuf_puts(&both, pki.ca_key.bytes);
    strbuf_puts(&both, pki.ca_certificate.bytes);
    assert_int_equal(pki_ca_open(&ca, both.bytes, both.bytes, &why), PROBER_OK);
    pki_ca_close(ca);
    pki_forget(&both);
}

static void what_is_no_certificate_is_refused(void **state)
{
    struct pki_identity id = {.role = PKI_ROLE_AGENT};
    char *large = calloc(1, PKI_BYTES_MAX + 1);
    (void)state;

    assert_int_equal(pki_read_certificate("", 0, &id, &why), PROBER_ERR_SYNTAX);
    assert_int_equal(pki_read_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n"
                                          "-----END CERTIFICATE-----\n",
                                          58, &id, &why),
                     PROBER_ERR_SYNTAX);
    assert_int_equal(pki_read_certificate(large, PKI_BYTES_MAX + 1, &id, &why), PROBER_ERR_RANGE);
    assert_int_equal(id.role, PKI_ROLE_AGENT);
    free(large);
}

static void one_bad_certificate_of_several_is_not_passed_over(void **state)
{
    struct strbuf all = STRBUF_INIT;
    struct pki_identity id;
    (void)state;

    strbuf_puts(&all, pki.ca_certificate.bytes);
    strbuf_puts(&all, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_int_equal(pki_read_certificate(all.bytes, all.len, &id, &why), PROBER_ERR_SYNTAX);
    strbuf_free(&all);
}

static void time_is_judged_with_a_date_for_people(void **state)
{
    const struct pki_identity id = {.not_before_s = 1000, .not_after_s = 2000};
    (void)state;

    assert_int_equal(pki_check_time(&id, 1000, &why), PROBER_OK);
    assert_int_equal(pki_check_time(&id, 2000, &why), PROBER_OK);
    assert_int_equal(pki_check_time(&id, 2001, &why), PROBER_ERR_STATE);
    assert_string_equal(why.text, "the certificate expired on 1970-01-01 00:33:20 UTC "
                                  "(it is now 1970-01-01 00:33:21 UTC)");
    assert_int_equal(pki_check_time(&id, 999, &why), PROBER_ERR_STATE);
    assert_non_null(strstr(why.text, "valid only from 1970-01-01 00:16:40"));
}

static void renewal_is_spread_before_two_thirds_of_life(void **state)
{
    const struct pki_identity id = {.not_before_s = 0, .not_after_s = 90 * PKI_DAY_S};
    (void)state;

    assert_int_equal(pki_renewal_s(&id, 0), 60 * PKI_DAY_S);
    assert_in_range(pki_renewal_s(&id, UINT32_MAX), 51 * PKI_DAY_S, 51 * PKI_DAY_S + 1);
    assert_in_range(pki_renewal_s(&id, UINT32_MAX / 2), 55 * PKI_DAY_S, 56 * PKI_DAY_S);
}

static void a_key_that_is_none_makes_no_request(void **state)
{
    struct strbuf request = STRBUF_INIT;
    (void)state;

    assert_int_equal(pki_make_request("no key", &request, &why), PROBER_ERR_SYNTAX);
    assert_int_equal(pki_make_request(pki.ca_certificate.bytes, &request, &why), PROBER_ERR_SYNTAX);
    assert_int_equal(pki_check_key(pki.agent_certificate.bytes, pki.server_key.bytes, &why),
                     PROBER_ERR_STATE);
    strbuf_free(&request);
}

static void an_authority_knows_what_it_issued(void **state)
{
    struct given_pki other;
    struct strbuf changed = STRBUF_INIT;
    (void)state;

    given_pki_make(&other);
    assert_int_equal(pki_check_issued(pki.ca_certificate.bytes, pki.server_certificate.bytes, &why),
                     PROBER_OK);
    assert_int_equal(pki_check_issued(pki.ca_certificate.bytes, pki.agent_certificate.bytes, &why),
                     PROBER_OK);
    assert_int_equal(
        pki_check_issued(pki.ca_certificate.bytes, other.server_certificate.bytes, &why),
        PROBER_ERR_STATE);
    strbuf_puts(&changed, pki.agent_certificate.bytes);
    changed.bytes[changed.len / 2] = changed.bytes[changed.len / 2] == 'A' ? 'B' : 'A';
    assert_int_not_equal(pki_check_issued(pki.ca_certificate.bytes, changed.bytes, &why),
                         PROBER_OK);
    strbuf_free(&changed);
    given_pki_free(&other);
}

static int set_up(void **state)
{
    (void)state;
    given_pki_make(&pki);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    given_pki_free(&pki);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_authority_is_its_own_and_a_ca),
        cmocka_unit_test(a_server_has_its_role_and_no_region),
        cmocka_unit_test(an_agent_is_who_the_server_says),
        cmocka_unit_test(every_certificate_has_its_own_serial_number),
        cmocka_unit_test(any_region_can_be_certified),
        cmocka_unit_test(no_certificate_is_issued_for_what_is_no_region),
        cmocka_unit_test(a_request_without_proof_of_possession_gets_nothing),
        cmocka_unit_test(a_request_cut_short_gets_nothing),
        cmocka_unit_test(who_asks_again_with_the_same_key_is_known_by_it),
        cmocka_unit_test(no_certificate_outlives_the_authority),
        cmocka_unit_test(a_life_out_of_range_is_refused),
        cmocka_unit_test(an_authority_needs_its_own_key),
        cmocka_unit_test(a_certificate_in_one_file_with_its_key_is_read),
        cmocka_unit_test(what_is_no_certificate_is_refused),
        cmocka_unit_test(one_bad_certificate_of_several_is_not_passed_over),
        cmocka_unit_test(time_is_judged_with_a_date_for_people),
        cmocka_unit_test(renewal_is_spread_before_two_thirds_of_life),
        cmocka_unit_test(a_key_that_is_none_makes_no_request),
        cmocka_unit_test(an_authority_knows_what_it_issued),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
