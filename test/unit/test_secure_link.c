#include "test/unit/given_channels.h"

#include "agentd/secure_link.h"
#include "test/unit/fakes/fake_tls_link.h"

#define NOW GIVEN_NOW_S

static struct given_ends ends;
static struct link_client link_;
static struct secure_link *secure;
static struct strbuf reply;
static struct prober_failure why;

static enum prober_error call_at(const char *text, int64_t now_s)
{
    const struct secure_call call = {text, strlen(text), 1000, now_s};

    link_.now_s = now_s;
    return secure_link_call(secure, &call, &reply, &why);
}

static void assert_echoes(const char *text)
{
    if (call_at(text, NOW))
        fail_msg("%s: %s", text, why.text);
    assert_int_equal(reply.len, strlen(text));
    assert_memory_equal(reply.bytes, text, reply.len);
}

/* What is wrong, and what to do. */
static void assert_told(const char *wrong, const char *remedy)
{
    if (!strstr(why.text, wrong) || !strstr(why.text, remedy))
        fail_msg("told: %s", why.text);
}

static struct secure_link_counts counts(void)
{
    struct secure_link_counts c;

    secure_link_counts(secure, &c);
    return c;
}

/* An agent that has a certificate, in front of a server that takes such alone. */
static void trusted(void)
{
    link_.server = ends.server;
    secure_link_trust(secure, given_client(ends.pki.ca_certificate.bytes,
                                           &ends.pki.agent_certificate, &ends.pki.agent_key));
}

/* ---- plain ---- */

static void without_a_certificate_calls_are_plain(void **state)
{
    (void)state;
    assert_false(secure_link_is_trusted(secure));
    assert_echoes("hello");
    assert_echoes("sync");
    assert_int_equal(link_.calls, 2);
    assert_int_equal(counts().handshakes, 0);
}

static void a_plain_agent_is_told_to_join_where_only_members_are_taken(void **state)
{
    (void)state;
    link_.server = ends.server;
    assert_int_equal(call_at("hello", NOW), PROBER_ERR_STATE);
    assert_non_null(strstr(why.text, "serverd join-token"));
    assert_int_equal(call_at("hello", NOW), PROBER_ERR_STATE);
    assert_int_equal(link_.handshakes, 0);
}

/* ---- trusted ---- */

static void the_first_call_shakes_hands_and_the_next_do_not(void **state)
{
    (void)state;
    trusted();
    assert_echoes("hello");
    assert_int_equal(link_.calls, 3);
    assert_echoes("sync");
    assert_int_equal(link_.calls, 4);
    assert_int_equal(counts().handshakes, 1);
    assert_int_equal(counts().failed, 0);
}

static void the_session_that_answered_is_the_present_one(void **state)
{
    (void)state;
    assert_echoes("hello"); /* plain, and the first */
    assert_int_equal(secure_link_answered(secure), secure_link_sessions(secure));
    trusted();
    assert_true(secure_link_answered(secure) != secure_link_sessions(secure));
    assert_echoes("hello");
    assert_int_equal(secure_link_answered(secure), secure_link_sessions(secure));
    link_.connections++;
    fake_tls_link_forget(&link_);
    assert_true(secure_link_answered(secure) != secure_link_sessions(secure));
    assert_echoes("hello");
    assert_int_equal(secure_link_answered(secure), secure_link_sessions(secure));
}

static void a_new_connection_resumes_the_session(void **state)
{
    uint64_t sessions;

    (void)state;
    trusted();
    assert_echoes("hello");
    sessions = secure_link_sessions(secure);
    link_.connections++;
    fake_tls_link_forget(&link_);
    assert_true(secure_link_sessions(secure) != sessions);
    assert_echoes("hello");
    assert_int_equal(counts().handshakes, 2);
    assert_int_equal(counts().resumed, 1);
}

static void a_connection_that_changes_unseen_costs_one_call(void **state)
{
    uint64_t sessions;

    (void)state;
    trusted();
    assert_echoes("hello");
    sessions = secure_link_sessions(secure);
    link_.reconnects = true;
    assert_int_equal(call_at("sync", NOW), PROBER_ERR_STATE);
    assert_true(secure_link_sessions(secure) != sessions);
    assert_echoes("hello");
    assert_echoes("sync");
    assert_int_equal(counts().resumed, 1);
}

static void a_server_that_forgot_the_session_gets_another_on_the_same_connection(void **state)
{
    uint64_t sessions;

    (void)state;
    trusted();
    assert_echoes("hello");
    sessions = secure_link_sessions(secure);
    fake_tls_link_forget(&link_);
    assert_int_equal(call_at("sync", NOW), PROBER_ERR_STATE);
    assert_true(secure_link_sessions(secure) != sessions);
    assert_echoes("hello");
    assert_int_equal(link_.connections, 1);
}

static void a_call_that_got_no_answer_is_followed_by_another_session(void **state)
{
    (void)state;
    trusted();
    assert_echoes("hello");
    link_.fail = PROBER_ERR_TIMEOUT;
    assert_int_equal(call_at("report", NOW), PROBER_ERR_TIMEOUT);
    assert_echoes("report");
    assert_int_equal(counts().handshakes, 2);
    assert_int_equal(counts().resumed, 1);
}

static void a_connection_lost_in_the_midst_of_a_handshake_leaves_nothing(void **state)
{
    (void)state;
    trusted();
    link_.fail = PROBER_ERR_UNREACHABLE;
    assert_int_equal(call_at("hello", NOW), PROBER_ERR_UNREACHABLE);
    assert_int_equal(counts().failed, 1);
    assert_echoes("hello");
}

/* ---- who is not trusted ---- */

static void a_server_of_another_authority_is_refused_and_never_called_plain(void **state)
{
    struct given_pki other;

    (void)state;
    given_pki_make(&other);
    link_.server = ends.server;
    secure_link_trust(secure, given_client(other.ca_certificate.bytes, &other.agent_certificate,
                                           &other.agent_key));
    assert_int_equal(call_at("secret words", NOW), PROBER_ERR_DENIED);
    assert_told("issued by another authority", "is -agent.rpc.report.addr the server");
    link_.server = NULL; /* one that would take anything */
    assert_true(call_at("secret words", NOW) != PROBER_OK);
    assert_int_equal(reply.len, 0);
    given_pki_free(&other);
}

static void an_expired_certificate_is_told(void **state)
{
    (void)state;
    trusted();
    assert_int_equal(call_at("hello", NOW + PKI_AGENT_LIFE_S + 1), PROBER_ERR_DENIED);
    assert_told("our certificate has expired", "join with a new token");
}

static void a_server_whose_certificate_is_of_another_time_is_told(void **state)
{
    (void)state;
    trusted();
    assert_int_equal(call_at("hello", NOW + PKI_SERVER_LIFE_S + 1), PROBER_ERR_DENIED);
    assert_told("the certificate expired on", "check the clocks");
    assert_int_equal(call_at("hello", NOW - 2 * PKI_BACKDATE_S), PROBER_ERR_DENIED);
    assert_told("is valid only from", "check the clocks");
}

static void a_certificate_that_no_call_is_taken_of_may_be_revoked(void **state)
{
    (void)state;
    trusted();
    link_.takes_none = true;
    assert_int_equal(call_at("hello", NOW), PROBER_ERR_STATE);
    assert_told("takes no call of this agent's certificate", "serverd agents");
    assert_int_equal(call_at("hello", NOW), PROBER_ERR_STATE);
    link_.takes_none = false;
    assert_echoes("hello");
}

static void who_joins_sees_the_authority_that_the_token_named(void **state)
{
    struct pki_identity ca;
    struct strbuf shown = STRBUF_INIT;

    (void)state;
    link_.server = ends.server;
    assert_int_equal(secure_link_shown_ca(secure, &shown), PROBER_ERR_STATE);
    assert_int_equal(
        pki_read_certificate(ends.pki.ca_certificate.bytes, ends.pki.ca_certificate.len, &ca, NULL),
        PROBER_OK);
    secure_link_trust(secure, given_joiner(ca.fingerprint));
    assert_echoes("join");
    assert_int_equal(secure_link_shown_ca(secure, &shown), PROBER_OK);
    assert_int_equal(pki_read_certificate(shown.bytes, shown.len, &ca, NULL), PROBER_OK);
    assert_int_equal(ca.role, PKI_ROLE_CA);
    strbuf_free(&shown);
}

static void a_renewed_certificate_is_used_from_the_next_call_on(void **state)
{
    uint64_t sessions;

    (void)state;
    trusted();
    assert_echoes("renew");
    sessions = secure_link_sessions(secure);
    trusted();
    assert_true(secure_link_sessions(secure) != sessions);
    assert_echoes("hello");
    assert_int_equal(counts().handshakes, 2);
    assert_int_equal(link_.connections, 2); /* the server shakes hands on each once */
}

static void an_interruption_reaches_the_link(void **state)
{
    (void)state;
    secure_link_interrupt(secure);
    assert_true(link_.is_interrupted);
}

/* ---- the rest ---- */

static int set_up(void **state)
{
    (void)state;
    link_ = (struct link_client){.now_s = NOW};
    assert_int_equal(secure_link_create(&secure, &link_), PROBER_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    secure_link_destroy(secure);
    fake_tls_link_forget(&link_);
    strbuf_free(&reply);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    given_ends_make(&ends);
    return 0;
}

static int end(void **state)
{
    (void)state;
    given_ends_free(&ends);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_a_certificate_calls_are_plain),
        TEST(a_plain_agent_is_told_to_join_where_only_members_are_taken),
        TEST(the_first_call_shakes_hands_and_the_next_do_not),
        TEST(the_session_that_answered_is_the_present_one),
        TEST(a_new_connection_resumes_the_session),
        TEST(a_connection_that_changes_unseen_costs_one_call),
        TEST(a_server_that_forgot_the_session_gets_another_on_the_same_connection),
        TEST(a_call_that_got_no_answer_is_followed_by_another_session),
        TEST(a_connection_lost_in_the_midst_of_a_handshake_leaves_nothing),
        TEST(a_server_of_another_authority_is_refused_and_never_called_plain),
        TEST(an_expired_certificate_is_told),
        TEST(a_server_whose_certificate_is_of_another_time_is_told),
        TEST(a_certificate_that_no_call_is_taken_of_may_be_revoked),
        TEST(who_joins_sees_the_authority_that_the_token_named),
        TEST(a_renewed_certificate_is_used_from_the_next_call_on),
        TEST(an_interruption_reaches_the_link),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
