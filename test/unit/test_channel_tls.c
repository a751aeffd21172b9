#include "test/unit/given_channels.h"

#include <pthread.h>
#include <stdlib.h>

#define NOW GIVEN_NOW_S

static struct given_ends ends;
static struct given_pair pair;
static struct strbuf frame;
static const void *body;
static size_t body_len;

static void connected(void)
{
    given_connection(&pair, ends.server, ends.client, NOW);
}

static enum prober_error carry(struct channel *from, struct channel *to, const char *text)
{
    assert_int_equal(channel_seal(from, text, strlen(text), &frame), PROBER_OK);
    return channel_open(to, frame.bytes, frame.len, &body, &body_len);
}

static void assert_carries(struct channel *from, struct channel *to, const char *text)
{
    assert_int_equal(carry(from, to, text), PROBER_OK);
    assert_int_equal(body_len, strlen(text));
    assert_memory_equal(body, text, body_len);
}

static void assert_refused(const char *server_says, const char *client_says)
{
    assert_int_equal(pair.server_err, PROBER_ERR_DENIED);
    if (!strstr(pair.server_why.text, server_says))
        fail_msg("the server says: %s", pair.server_why.text);
    assert_int_equal(pair.client_err, PROBER_ERR_DENIED);
    if (!strstr(pair.client_why.text, client_says))
        fail_msg("the client says: %s", pair.client_why.text);
    assert_false(channel_is_ready(pair.server));
    assert_false(channel_is_authenticated(pair.server));
}

/* ---- what should be ---- */

static void both_ends_know_each_other_after_two_exchanges(void **state)
{
    const struct pki_identity *agent, *server;
    (void)state;

    connected();
    assert_int_equal(pair.exchanges, 2);
    agent = channel_peer(pair.server);
    server = channel_peer(pair.client);
    assert_true(channel_is_authenticated(pair.server) && channel_is_authenticated(pair.client));
    assert_true(channel_is_secret(pair.server) && channel_is_secret(pair.client));
    assert_int_equal(agent->role, PKI_ROLE_AGENT);
    assert_true(prober_id_equal(&agent->agent_id, &ends.pki.agent_id));
    assert_string_equal(agent->region, GIVEN_REGION);
    assert_int_equal(agent->not_after_s, NOW + PKI_AGENT_LIFE_S);
    assert_int_equal(server->role, PKI_ROLE_SERVER);
    assert_false(channel_was_resumed(pair.server) || channel_was_resumed(pair.client));
}

static void bodies_pass_in_both_directions(void **state)
{
    (void)state;
    connected();
    for (int i = 0; i < 3; i++) {
        assert_carries(pair.client, pair.server, "a report of the mesh");
        assert_null(strstr(frame.bytes + CHANNEL_HEADER_LEN, "report"));
        assert_carries(pair.server, pair.client, "applied");
        assert_carries(pair.client, pair.server, "");
    }
}

static void what_was_opened_can_be_sealed_again(void **state)
{
    (void)state;
    connected();
    assert_carries(pair.client, pair.server, "echo");
    assert_int_equal(channel_seal(pair.server, body, body_len, &frame), PROBER_OK);
    assert_int_equal(channel_open(pair.client, frame.bytes, frame.len, &body, &body_len),
                     PROBER_OK);
    assert_memory_equal(body, "echo", 4);
}

static void the_largest_body_passes_and_a_larger_one_does_not(void **state)
{
    char *large = malloc(CHANNEL_BODY_MAX + 1);
    (void)state;

    connected();
    memset(large, 'x', CHANNEL_BODY_MAX + 1);
    assert_int_equal(channel_seal(pair.client, large, CHANNEL_BODY_MAX + 1, &frame),
                     PROBER_ERR_RANGE);
    assert_int_equal(channel_seal(pair.client, large, CHANNEL_BODY_MAX, &frame), PROBER_OK);
    assert_int_equal(channel_open(pair.server, frame.bytes, frame.len, &body, &body_len),
                     PROBER_OK);
    assert_int_equal(body_len, CHANNEL_BODY_MAX);
    assert_memory_equal(body, large, body_len);
    free(large);
}

/* ---- resumption ---- */

static void a_session_is_resumed_with_the_identity_it_had(void **state)
{
    struct pki_identity first;
    (void)state;

    connected();
    first = *channel_peer(pair.server);
    given_pair_close(&pair);
    connected();
    assert_true(channel_was_resumed(pair.server) && channel_was_resumed(pair.client));
    assert_int_equal(pair.exchanges, 2);
    assert_memory_equal(channel_peer(pair.server), &first, sizeof(first));
    assert_int_equal(channel_peer(pair.client)->role, PKI_ROLE_SERVER);
    assert_carries(pair.client, pair.server, "again");
    assert_carries(pair.server, pair.client, "and back");
}

static void a_forgotten_session_is_not_resumed(void **state)
{
    (void)state;
    connected();
    given_pair_close(&pair);
    channel_client_forget(ends.client);
    connected();
    assert_false(channel_was_resumed(pair.server));
}

static void a_ticket_is_taken_for_a_day_at_most(void **state)
{
    (void)state;
    connected();
    given_pair_close(&pair);
    given_connection(&pair, ends.server, ends.client, NOW + 86399);
    assert_true(channel_was_resumed(pair.server));
    given_pair_close(&pair);
    given_connection(&pair, ends.server, ends.client, NOW + 86400);
    assert_false(channel_was_resumed(pair.server));
}

static void another_server_of_the_same_keys_resumes(void **state)
{
    struct channel_server *other =
        given_server(&ends.pki, ends.pki.ca_certificate.bytes, ends.tickets);
    (void)state;

    connected();
    given_pair_close(&pair);
    given_connection(&pair, other, ends.client, NOW);
    assert_true(channel_was_resumed(pair.server));
    channel_server_close(other);
}

static void a_server_of_other_keys_shakes_hands_anew(void **state)
{
    struct channel_server *other = given_server(&ends.pki, ends.pki.ca_certificate.bytes, NULL);
    (void)state;

    connected();
    given_pair_close(&pair);
    given_connection(&pair, other, ends.client, NOW);
    assert_false(channel_was_resumed(pair.server));
    assert_true(channel_is_authenticated(pair.server));
    channel_server_close(other);
}

static void a_ticket_ends_with_the_certificate(void **state)
{
    struct strbuf certificate = STRBUF_INIT;
    struct channel_client *client;
    (void)state;

    given_agent_certificate(ends.pki.ca, &ends.pki.agent_key, &ends.pki.agent_id, "eu", NOW, 3600,
                            &certificate);
    client = given_client(ends.pki.ca_certificate.bytes, &certificate, &ends.pki.agent_key);
    given_connection(&pair, ends.server, client, NOW);
    given_pair_close(&pair);
    given_connection(&pair, ends.server, client, NOW + 3599);
    assert_true(channel_was_resumed(pair.server));
    given_pair_close(&pair);
    given_pair_open(&pair, ends.server, client);
    assert_false(given_handshake(&pair, NOW + 3601));
    assert_refused("expired on", "expired");
    channel_client_close(client);
    strbuf_free(&certificate);
}

static void a_ticket_of_other_authorities_is_worth_nothing(void **state)
{
    struct strbuf both = STRBUF_INIT;
    struct given_pki other;
    struct channel_server *wider;
    (void)state;

    given_pki_make(&other);
    strbuf_puts(&both, ends.pki.ca_certificate.bytes);
    strbuf_puts(&both, other.ca_certificate.bytes);
    wider = given_server(&ends.pki, both.bytes, ends.tickets);
    connected();
    given_pair_close(&pair);
    given_connection(&pair, wider, ends.client, NOW);
    assert_false(channel_was_resumed(pair.server));
    channel_server_close(wider);
    given_pki_free(&other);
    strbuf_free(&both);
}

static void an_expired_server_is_not_resumed_by_the_agent(void **state)
{
    struct strbuf key = STRBUF_INIT, certificate = STRBUF_INIT;
    struct given_pki pki = ends.pki;
    struct channel_server *server;
    (void)state;

    assert_int_equal(pki_ca_issue_server(pki.ca, NOW, 3600, &key, &certificate, NULL), PROBER_OK);
    pki.server_key = key;
    pki.server_certificate = certificate;
    server = given_server(&pki, pki.ca_certificate.bytes, ends.tickets);
    given_connection(&pair, server, ends.client, NOW);
    given_pair_close(&pair);
    given_pair_open(&pair, server, ends.client);
    assert_false(given_handshake(&pair, NOW + 3601));
    assert_int_equal(pair.client_err, PROBER_ERR_DENIED);
    assert_non_null(strstr(pair.client_why.text, "expired on"));
    channel_server_close(server);
    pki_forget(&key);
    strbuf_free(&certificate);
}

/* ---- joining ---- */

static void who_joins_knows_the_server_by_its_fingerprint(void **state)
{
    struct channel_client *joiner = given_joiner(pki_ca_identity(ends.pki.ca)->fingerprint);
    struct strbuf ca = STRBUF_INIT;
    (void)state;

    given_connection(&pair, ends.server, joiner, NOW);
    assert_true(channel_is_secret(pair.server));
    assert_false(channel_is_authenticated(pair.server));
    assert_null(channel_peer(pair.server));
    assert_int_equal(channel_peer(pair.client)->role, PKI_ROLE_SERVER);
    assert_carries(pair.client, pair.server, "a token and a request");
    assert_carries(pair.server, pair.client, "a certificate");
    assert_int_equal(channel_shown_ca(pair.client, &ca), PROBER_OK);
    assert_string_equal(ca.bytes, ends.pki.ca_certificate.bytes);
    given_pair_close(&pair);
    given_connection(&pair, ends.server, joiner, NOW);
    assert_false(channel_was_resumed(pair.server));
    strbuf_free(&ca);
    channel_client_close(joiner);
}

static void who_joins_has_not_much_to_say(void **state)
{
    struct channel_client *joiner = given_joiner(pki_ca_identity(ends.pki.ca)->fingerprint);
    char *large = calloc(1, CHANNEL_JOIN_BODY_MAX + 1);
    (void)state;

    given_connection(&pair, ends.server, joiner, NOW);
    assert_int_equal(channel_seal(pair.client, large, CHANNEL_JOIN_BODY_MAX, &frame), PROBER_OK);
    assert_int_equal(channel_open(pair.server, frame.bytes, frame.len, &body, &body_len),
                     PROBER_OK);
    assert_int_equal(channel_seal(pair.client, large, CHANNEL_JOIN_BODY_MAX + 1, &frame),
                     PROBER_OK);
    assert_int_equal(channel_open(pair.server, frame.bytes, frame.len, &body, &body_len),
                     PROBER_ERR_PROTOCOL);
    channel_client_close(joiner);
    free(large);
}

static void who_joins_refuses_another_authority(void **state)
{
    uint8_t fingerprint[DIGEST_SHA256_LEN];
    struct channel_client *joiner;
    struct strbuf ca = STRBUF_INIT;
    (void)state;

    memcpy(fingerprint, pki_ca_identity(ends.pki.ca)->fingerprint, sizeof(fingerprint));
    fingerprint[31] ^= 1;
    joiner = given_joiner(fingerprint);
    given_pair_open(&pair, ends.server, joiner);
    assert_false(given_handshake(&pair, NOW));
    assert_int_equal(pair.client_err, PROBER_ERR_DENIED);
    assert_non_null(strstr(pair.client_why.text, "another authority"));
    assert_int_equal(channel_shown_ca(pair.client, &ca), PROBER_ERR_STATE);
    channel_client_close(joiner);
}

static void who_joins_refuses_a_server_that_only_shows_the_authority(void **state)
{
    struct given_pki other;
    struct channel_server *impostor;
    struct channel_client *joiner = given_joiner(pki_ca_identity(ends.pki.ca)->fingerprint);
    (void)state;

    /* Its own certificate is of another authority; the right one is sent along. */
    given_pki_make(&other);
    impostor = given_server(&other, ends.pki.ca_certificate.bytes, NULL);
    given_pair_open(&pair, impostor, joiner);
    assert_false(given_handshake(&pair, NOW));
    assert_int_equal(pair.client_err, PROBER_ERR_DENIED);
    assert_false(channel_is_ready(pair.client));
    channel_client_close(joiner);
    channel_server_close(impostor);
    given_pki_free(&other);
}

static void who_joins_refuses_an_agent_that_plays_the_server(void **state)
{
    const struct channel_server_config config = {.certificate = ends.pki.agent_certificate.bytes,
                                                 .key = ends.pki.agent_key.bytes,
                                                 .ca = ends.pki.ca_certificate.bytes};
    struct channel_server *server = NULL;
    struct prober_failure why;
    (void)state;

    assert_int_equal(channel_server_open(&server, &config, &why), PROBER_ERR_STATE);
    assert_non_null(strstr(why.text, "serverAuth"));
}

/* ---- who is refused ---- */

static void an_agent_of_another_authority_is_refused(void **state)
{
    struct given_pki other;
    struct channel_client *client;
    (void)state;

    given_pki_make(&other);
    client =
        given_client(ends.pki.ca_certificate.bytes, &other.agent_certificate, &other.agent_key);
    given_pair_open(&pair, ends.server, client);
    assert_false(given_handshake(&pair, NOW));
    assert_refused("another authority", "another authority");
    channel_client_close(client);
    given_pki_free(&other);
}

static void a_server_of_another_authority_is_refused(void **state)
{
    struct given_pki other;
    struct channel_server *server;
    (void)state;

    given_pki_make(&other);
    server = given_server(&other, other.ca_certificate.bytes, NULL);
    given_pair_open(&pair, server, ends.client);
    assert_false(given_handshake(&pair, NOW));
    assert_int_equal(pair.client_err, PROBER_ERR_DENIED);
    assert_non_null(strstr(pair.client_why.text, "another authority"));
    channel_server_close(server);
    given_pki_free(&other);
}

static void certificates_are_judged_by_the_time_that_is_given(void **state)
{
    (void)state;
    given_connection(&pair, ends.server, ends.client, NOW + PKI_AGENT_LIFE_S);
    channel_client_forget(ends.client);
    given_pair_close(&pair);
    given_pair_open(&pair, ends.server, ends.client);
    assert_false(given_handshake(&pair, NOW + PKI_AGENT_LIFE_S + 1));
    assert_refused("expired on", "expired");
    given_pair_close(&pair);
    given_pair_open(&pair, ends.server, ends.client);
    assert_false(given_handshake(&pair, NOW - PKI_BACKDATE_S - 1));
    assert_int_equal(pair.client_err, PROBER_ERR_DENIED);
    assert_non_null(strstr(pair.client_why.text, "valid only from"));
}

static void an_agent_whose_clock_is_right_is_told_of_its_expiry(void **state)
{
    (void)state;
    given_pair_open(&pair, ends.server, ends.client);
    assert_int_equal(given_client_turn(&pair, NOW), PROBER_OK);
    assert_int_equal(given_server_turn(&pair, NOW), PROBER_OK);
    assert_int_equal(given_client_turn(&pair, NOW), PROBER_OK);
    assert_int_equal(given_server_turn(&pair, NOW + PKI_AGENT_LIFE_S + 1), PROBER_ERR_DENIED);
    assert_int_equal(given_client_turn(&pair, NOW), PROBER_ERR_DENIED);
    assert_string_equal(pair.client_why.text,
                        "the server refused: our certificate has expired, or is not valid yet");
}

static void a_client_needs_an_agents_certificate(void **state)
{
    const struct channel_client_config config = {.ca = ends.pki.ca_certificate.bytes,
                                                 .certificate = ends.pki.server_certificate.bytes,
                                                 .key = ends.pki.server_key.bytes};
    struct channel_client *client = NULL;
    struct prober_failure why;
    (void)state;

    assert_int_equal(channel_client_open(&client, &config, &why), PROBER_ERR_STATE);
    assert_string_equal(why.text, "the certificate is not that of an agent");
}

static void keys_must_be_those_of_their_certificates(void **state)
{
    struct channel_server_config server_config = {.certificate = ends.pki.server_certificate.bytes,
                                                  .key = ends.pki.agent_key.bytes,
                                                  .ca = ends.pki.ca_certificate.bytes};
    struct channel_client_config client_config = {.certificate = ends.pki.agent_certificate.bytes,
                                                  .key = ends.pki.server_key.bytes,
                                                  .ca = ends.pki.ca_certificate.bytes};
    struct channel_server *server = NULL;
    struct channel_client *client = NULL;
    struct prober_failure why;
    (void)state;

    assert_int_equal(channel_server_open(&server, &server_config, &why), PROBER_ERR_STATE);
    assert_int_equal(channel_client_open(&client, &client_config, &why), PROBER_ERR_STATE);
    server_config.key = ends.pki.server_key.bytes;
    server_config.ca = ends.pki.agent_certificate.bytes;
    assert_int_equal(channel_server_open(&server, &server_config, &why), PROBER_ERR_STATE);
    client_config.key = "";
    assert_int_equal(channel_client_open(&client, &client_config, &why), PROBER_ERR_SYNTAX);
    assert_null(server);
    assert_null(client);
    channel_server_close(NULL);
    channel_client_close(NULL);
}

/* ---- what an attacker does to frames ---- */

static void a_changed_bit_anywhere_ends_the_channel(void **state)
{
    (void)state;
    for (size_t bit = 0;; bit += 7) {
        connected();
        assert_int_equal(channel_seal(pair.client, "pay me", 6, &frame), PROBER_OK);
        if (bit >= 8 * (frame.len - CHANNEL_HEADER_LEN))
            return;
        frame.bytes[CHANNEL_HEADER_LEN + bit / 8] ^= (char)(1 << bit % 8);
        frame.len -= CHANNEL_HEADER_LEN;
        memmove(frame.bytes, frame.bytes + CHANNEL_HEADER_LEN, frame.len);
        given_frame(&frame, CHANNEL_DATA);
        assert_int_not_equal(channel_open(pair.server, frame.bytes, frame.len, &body, &body_len),
                             PROBER_OK);
        assert_false(channel_is_authenticated(pair.server));
        assert_int_equal(channel_seal(pair.server, "x", 1, &frame), PROBER_ERR_STATE);
        given_pair_close(&pair);
    }
}

static void a_repeated_frame_is_refused(void **state)
{
    (void)state;
    connected();
    assert_carries(pair.client, pair.server, "once");
    assert_int_equal(channel_open(pair.server, frame.bytes, frame.len, &body, &body_len),
                     PROBER_ERR_PROTOCOL);
    assert_int_equal(carry(pair.client, pair.server, "after"), PROBER_ERR_STATE);
}

static void frames_in_another_order_are_refused(void **state)
{
    struct strbuf second = STRBUF_INIT;
    (void)state;

    connected();
    assert_int_equal(channel_seal(pair.client, "first", 5, &frame), PROBER_OK);
    assert_int_equal(channel_seal(pair.client, "second", 6, &second), PROBER_OK);
    assert_int_equal(channel_open(pair.server, second.bytes, second.len, &body, &body_len),
                     PROBER_ERR_PROTOCOL);
    strbuf_free(&second);
}

static void a_frame_of_another_connection_is_refused(void **state)
{
    struct given_pair other;
    (void)state;

    connected();
    given_connection(&other, ends.server, ends.client, NOW);
    assert_int_equal(carry(pair.client, other.server, "replayed"), PROBER_ERR_PROTOCOL);
    given_pair_close(&other);
}

static void a_frame_sent_back_to_its_sender_is_refused(void **state)
{
    (void)state;
    connected();
    assert_int_equal(carry(pair.client, pair.client, "mirror"), PROBER_ERR_PROTOCOL);
}

static size_t record_len(const char *record)
{
    const unsigned char *p = (const unsigned char *)record;

    return 5 + ((size_t)p[3] << 8 | p[4]);
}

static void a_body_cannot_be_cut_between_records(void **state)
{
    char *large = calloc(1, 40000);
    size_t cut;
    (void)state;

    /* Three records of content after that of the length: each prefix is a row of good records. */
    for (int records = 0; records < 4; records++) {
        struct strbuf part = STRBUF_INIT;

        connected();
        assert_int_equal(channel_seal(pair.client, large, 40000, &frame), PROBER_OK);
        cut = 0;
        for (int i = 0; i < records; i++)
            cut += record_len(frame.bytes + CHANNEL_HEADER_LEN + cut);
        strbuf_put(&part, frame.bytes + CHANNEL_HEADER_LEN, cut);
        given_frame(&part, CHANNEL_DATA);
        assert_int_equal(channel_open(pair.server, part.bytes, part.len, &body, &body_len),
                         PROBER_ERR_PROTOCOL);
        strbuf_free(&part);
        given_pair_close(&pair);
    }
    memset(&pair, 0, sizeof(pair));
    free(large);
}

static void two_bodies_cannot_be_joined_into_one_frame(void **state)
{
    struct strbuf joined = STRBUF_INIT;
    (void)state;

    connected();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(channel_seal(pair.client, "body", 4, &frame), PROBER_OK);
        strbuf_put(&joined, frame.bytes + CHANNEL_HEADER_LEN, frame.len - CHANNEL_HEADER_LEN);
    }
    given_frame(&joined, CHANNEL_DATA);
    assert_int_equal(channel_open(pair.server, joined.bytes, joined.len, &body, &body_len),
                     PROBER_ERR_PROTOCOL);
    strbuf_free(&joined);
}

static void a_frame_cut_short_is_refused(void **state)
{
    (void)state;
    for (size_t len = 0;; len += 5) {
        struct strbuf part = STRBUF_INIT;

        connected();
        assert_int_equal(channel_seal(pair.client, "hello", 5, &frame), PROBER_OK);
        if (len >= frame.len - CHANNEL_HEADER_LEN)
            return;
        strbuf_put(&part, frame.bytes + CHANNEL_HEADER_LEN, len);
        given_frame(&part, CHANNEL_DATA);
        assert_int_equal(channel_open(pair.server, part.bytes, part.len, &body, &body_len),
                         PROBER_ERR_PROTOCOL);
        strbuf_free(&part);
        given_pair_close(&pair);
    }
}

static void records_that_are_no_data_are_refused(void **state)
{
    static const char *const records[] = {
        "\x15\x03\x03\x00\x02\x01\x00",         /* an alert */
        "\x16\x03\x03\x00\x04\x00\x00\x00\x00", /* a hello request */
        "\x14\x03\x03\x00\x01\x01",             /* change of cipher */
        "\x17\x03\x01\x00\x02xx",               /* TLS 1.0 */
        "\x17\x03\x03\x00\x00",                 /* nothing */
        "\x17\x03\x03\xff\xff",                 /* more than there is */
    };
    static const size_t lens[] = {7, 9, 6, 7, 5, 5};
    (void)state;

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        connected();
        strbuf_clear(&frame);
        strbuf_put(&frame, records[i], lens[i]);
        given_frame(&frame, CHANNEL_DATA);
        assert_int_equal(channel_open(pair.server, frame.bytes, frame.len, &body, &body_len),
                         PROBER_ERR_PROTOCOL);
        given_pair_close(&pair);
    }
    memset(&pair, 0, sizeof(pair));
}

/* ---- no way down ---- */

static void a_plain_frame_is_not_taken_by_a_tls_channel(void **state)
{
    struct channel *plain;
    (void)state;

    connected();
    assert_int_equal(channel_plain_create(&plain), PROBER_OK);
    assert_int_equal(carry(plain, pair.server, "trust me"), PROBER_ERR_PROTOCOL);
    assert_int_equal(carry(plain, pair.client, "trust me"), PROBER_ERR_PROTOCOL);
    assert_false(channel_is_authenticated(pair.server));
    channel_destroy(plain);
}

static void a_sealed_frame_is_not_taken_by_a_plain_channel(void **state)
{
    struct channel *plain;
    (void)state;

    connected();
    assert_int_equal(channel_plain_create(&plain), PROBER_OK);
    assert_int_equal(carry(pair.client, plain, "secret"), PROBER_ERR_PROTOCOL);
    assert_int_equal(channel_handshake_needed(&frame), PROBER_OK);
    assert_int_equal(channel_open(plain, frame.bytes, frame.len, &body, &body_len),
                     PROBER_ERR_STATE);
    assert_false(channel_is_secret(plain));
    assert_false(channel_was_resumed(plain));
    channel_destroy(plain);
}

static void a_plain_answer_to_a_handshake_is_refused(void **state)
{
    struct channel *plain;
    (void)state;

    assert_int_equal(channel_plain_create(&plain), PROBER_OK);
    given_pair_open(&pair, ends.server, ends.client);
    assert_int_equal(given_client_turn(&pair, NOW), PROBER_OK);
    assert_int_equal(channel_seal(plain, "hello", 5, &pair.down), PROBER_OK);
    assert_int_equal(given_client_turn(&pair, NOW), PROBER_ERR_PROTOCOL);
    assert_int_equal(channel_seal(pair.client, "x", 1, &frame), PROBER_ERR_STATE);
    channel_destroy(plain);
}

static void nothing_passes_before_the_handshake_has_ended(void **state)
{
    (void)state;
    given_pair_open(&pair, ends.server, ends.client);
    assert_int_equal(given_client_turn(&pair, NOW), PROBER_OK);
    assert_int_equal(given_server_turn(&pair, NOW), PROBER_OK);
    assert_int_equal(channel_seal(pair.client, "x", 1, &frame), PROBER_ERR_STATE);
    assert_int_equal(channel_seal(pair.server, "x", 1, &frame), PROBER_ERR_STATE);
    assert_int_equal(channel_open(pair.server, pair.up.bytes, pair.up.len, &body, &body_len),
                     PROBER_ERR_STATE);
    assert_null(channel_peer(pair.server));
}

static void a_peer_that_lost_the_session_asks_for_a_handshake(void **state)
{
    (void)state;
    connected();
    assert_int_equal(channel_handshake_needed(&frame), PROBER_OK);
    assert_int_equal(channel_open(pair.client, frame.bytes, frame.len, &body, &body_len),
                     PROBER_ERR_STATE);
    given_pair_close(&pair);
    given_pair_open(&pair, ends.server, ends.client);
    assert_int_equal(given_client_turn(&pair, NOW), PROBER_OK);
    assert_int_equal(channel_handshake_needed(&pair.down), PROBER_OK);
    assert_int_equal(given_client_turn(&pair, NOW), PROBER_ERR_STATE);
}

/* ---- handshakes that are none ---- */

static void garbage_is_no_handshake(void **state)
{
    static const char *const greetings[] = {"",
                                            "GET / HTTP/1.1\r\n\r\n",
                                            "\x16\x03\x01",
                                            "\x16\x03\x01\x00\x05hello",
                                            "\x80\x2e\x01\x03\x01",
                                            "\x15\x03\x03"};
    (void)state;

    for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
        given_pair_open(&pair, ends.server, ends.client);
        strbuf_clear(&pair.up);
        strbuf_puts(&pair.up, greetings[i]);
        given_frame(&pair.up, CHANNEL_HANDSHAKE);
        assert_int_equal(given_server_turn(&pair, NOW), PROBER_ERR_PROTOCOL);
        assert_int_equal(given_server_turn(&pair, NOW), PROBER_ERR_STATE);
        given_pair_close(&pair);
    }
    memset(&pair, 0, sizeof(pair));
}

static void half_a_flight_is_no_handshake(void **state)
{
    (void)state;
    given_pair_open(&pair, ends.server, ends.client);
    assert_int_equal(given_client_turn(&pair, NOW), PROBER_OK);
    frame.len = 0;
    strbuf_put(&frame, pair.up.bytes + CHANNEL_HEADER_LEN, (pair.up.len - CHANNEL_HEADER_LEN) / 2);
    given_frame(&frame, CHANNEL_HANDSHAKE);
    assert_int_equal(
        channel_handshake(pair.server, frame.bytes, frame.len, NOW, &pair.down, &pair.server_why),
        PROBER_ERR_PROTOCOL);
    assert_int_equal(pair.down.len, 0);
}

static void a_flight_with_more_behind_it_is_refused(void **state)
{
    (void)state;
    given_pair_open(&pair, ends.server, ends.client);
    assert_int_equal(given_client_turn(&pair, NOW), PROBER_OK);
    frame.len = 0;
    strbuf_put(&frame, pair.up.bytes + CHANNEL_HEADER_LEN, pair.up.len - CHANNEL_HEADER_LEN);
    strbuf_put(&frame, pair.up.bytes + CHANNEL_HEADER_LEN, pair.up.len - CHANNEL_HEADER_LEN);
    given_frame(&frame, CHANNEL_HANDSHAKE);
    assert_int_not_equal(
        channel_handshake(pair.server, frame.bytes, frame.len, NOW, &pair.down, &pair.server_why),
        PROBER_OK);
    assert_false(channel_is_ready(pair.server));
}

static void a_flight_with_a_piece_of_a_record_behind_it_is_refused(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= 6; piece++) {
        given_pair_open(&pair, ends.server, ends.client);
        assert_int_equal(given_client_turn(&pair, NOW), PROBER_OK);
        frame.len = 0;
        strbuf_put(&frame, pair.up.bytes + CHANNEL_HEADER_LEN, pair.up.len - CHANNEL_HEADER_LEN);
        strbuf_put(&frame, "\x16\x03\x03\x00\x20\x0b", piece);
        given_frame(&frame, CHANNEL_HANDSHAKE);
        assert_int_equal(channel_handshake(pair.server, frame.bytes, frame.len, NOW, &pair.down,
                                           &pair.server_why),
                         PROBER_ERR_PROTOCOL);
        given_pair_close(&pair);
    }
    memset(&pair, 0, sizeof(pair));
}

static void a_finished_handshake_does_not_begin_again(void **state)
{
    (void)state;
    connected();
    assert_int_equal(given_server_turn(&pair, NOW), PROBER_ERR_STATE);
    assert_int_equal(channel_handshake(pair.client, NULL, 0, NOW, &pair.up, &pair.client_why),
                     PROBER_ERR_STATE);
    assert_carries(pair.client, pair.server, "goes on");
}

static void a_replayed_handshake_does_not_end(void **state)
{
    struct given_pair victim, thief;
    struct strbuf hello = STRBUF_INIT, finish = STRBUF_INIT;
    (void)state;

    given_pair_open(&victim, ends.server, ends.client);
    assert_int_equal(given_client_turn(&victim, NOW), PROBER_OK);
    strbuf_put(&hello, victim.up.bytes, victim.up.len);
    assert_int_equal(given_server_turn(&victim, NOW), PROBER_OK);
    assert_int_equal(given_client_turn(&victim, NOW), PROBER_OK);
    strbuf_put(&finish, victim.up.bytes, victim.up.len);

    given_pair_open(&thief, ends.server, ends.client);
    assert_int_equal(channel_handshake(thief.server, hello.bytes, hello.len, NOW, &thief.down,
                                       &thief.server_why),
                     PROBER_OK);
    assert_int_not_equal(channel_handshake(thief.server, finish.bytes, finish.len, NOW, &thief.down,
                                           &thief.server_why),
                         PROBER_OK);
    assert_null(channel_peer(thief.server));
    given_pair_close(&victim);
    given_pair_close(&thief);
    strbuf_free(&hello);
    strbuf_free(&finish);
}

static void a_changed_bit_in_a_handshake_is_noticed(void **state)
{
    (void)state;
    for (size_t bit = 3; bit < 8 * 3000; bit += 501) {
        given_pair_open(&pair, ends.server, ends.client);
        assert_int_equal(given_client_turn(&pair, NOW), PROBER_OK);
        frame.len = 0;
        strbuf_put(&frame, pair.up.bytes + CHANNEL_HEADER_LEN, pair.up.len - CHANNEL_HEADER_LEN);
        if (bit / 8 < frame.len)
            frame.bytes[bit / 8] ^= (char)(1 << bit % 8);
        given_frame(&frame, CHANNEL_HANDSHAKE);
        if (bit / 8 < frame.len - CHANNEL_HEADER_LEN) {
            strbuf_clear(&pair.up);
            strbuf_put(&pair.up, frame.bytes, frame.len);
            given_server_turn(&pair, NOW);
            if (pair.down.len)
                assert_false(given_handshake(&pair, NOW));
        }
        assert_false(channel_is_authenticated(pair.server));
        given_pair_close(&pair);
        channel_client_forget(ends.client);
    }
    memset(&pair, 0, sizeof(pair));
}

static void a_configuration_lives_as_long_as_its_channels(void **state)
{
    struct channel_server *server =
        given_server(&ends.pki, ends.pki.ca_certificate.bytes, ends.tickets);
    struct channel_client *client = given_client(ends.pki.ca_certificate.bytes,
                                                 &ends.pki.agent_certificate, &ends.pki.agent_key);
    (void)state;

    given_pair_open(&pair, server, client);
    channel_server_close(server);
    channel_client_close(client);
    assert_true(given_handshake(&pair, NOW));
    assert_carries(pair.client, pair.server, "still here");
}

#define THREADS 4
#define ROUNDS 6

static void *connects_again_and_again(void *context)
{
    bool *fine = context;

    *fine = true;
    for (int i = 0; i < ROUNDS && *fine; i++) {
        struct given_pair own;
        struct strbuf sealed = STRBUF_INIT;
        const void *opened;
        size_t len;

        given_pair_open(&own, ends.server, ends.client);
        *fine = given_handshake(&own, NOW) &&
                channel_seal(own.client, "hello", 5, &sealed) == PROBER_OK &&
                channel_open(own.server, sealed.bytes, sealed.len, &opened, &len) == PROBER_OK &&
                len == 5;
        given_pair_close(&own);
        strbuf_free(&sealed);
        if (i == ROUNDS / 2)
            channel_client_forget(ends.client);
    }
    return NULL;
}

static void threads_share_the_configurations(void **state)
{
    pthread_t threads[THREADS];
    bool fine[THREADS];
    (void)state;

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, connects_again_and_again, &fine[i]), 0);
    for (int64_t i = 0; i < 10; i++)
        assert_int_equal(ticket_keys_rotate(ends.tickets, NOW + i, NULL), PROBER_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_true(fine[i]);
}

static int set_up(void **state)
{
    (void)state;
    given_ends_make(&ends);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    given_ends_free(&ends);
    return 0;
}

static int each_begins(void **state)
{
    (void)state;
    memset(&pair, 0, sizeof(pair));
    channel_client_forget(ends.client);
    return 0;
}

static int each_ends(void **state)
{
    (void)state;
    given_pair_close(&pair);
    strbuf_free(&frame);
    return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, each_begins, each_ends)
    const struct CMUnitTest tests[] = {
        TEST(both_ends_know_each_other_after_two_exchanges),
        TEST(bodies_pass_in_both_directions),
        TEST(what_was_opened_can_be_sealed_again),
        TEST(the_largest_body_passes_and_a_larger_one_does_not),
        TEST(a_session_is_resumed_with_the_identity_it_had),
        TEST(a_forgotten_session_is_not_resumed),
        TEST(a_ticket_is_taken_for_a_day_at_most),
        TEST(another_server_of_the_same_keys_resumes),
        TEST(a_server_of_other_keys_shakes_hands_anew),
        TEST(a_ticket_ends_with_the_certificate),
        TEST(a_ticket_of_other_authorities_is_worth_nothing),
        TEST(an_expired_server_is_not_resumed_by_the_agent),
        TEST(who_joins_knows_the_server_by_its_fingerprint),
        TEST(who_joins_has_not_much_to_say),
        TEST(who_joins_refuses_another_authority),
        TEST(who_joins_refuses_a_server_that_only_shows_the_authority),
        TEST(who_joins_refuses_an_agent_that_plays_the_server),
        TEST(an_agent_of_another_authority_is_refused),
        TEST(a_server_of_another_authority_is_refused),
        TEST(certificates_are_judged_by_the_time_that_is_given),
        TEST(an_agent_whose_clock_is_right_is_told_of_its_expiry),
        TEST(a_client_needs_an_agents_certificate),
        TEST(keys_must_be_those_of_their_certificates),
        TEST(a_changed_bit_anywhere_ends_the_channel),
        TEST(a_repeated_frame_is_refused),
        TEST(frames_in_another_order_are_refused),
        TEST(a_frame_of_another_connection_is_refused),
        TEST(a_frame_sent_back_to_its_sender_is_refused),
        TEST(a_body_cannot_be_cut_between_records),
        TEST(two_bodies_cannot_be_joined_into_one_frame),
        TEST(a_frame_cut_short_is_refused),
        TEST(records_that_are_no_data_are_refused),
        TEST(a_plain_frame_is_not_taken_by_a_tls_channel),
        TEST(a_sealed_frame_is_not_taken_by_a_plain_channel),
        TEST(a_plain_answer_to_a_handshake_is_refused),
        TEST(nothing_passes_before_the_handshake_has_ended),
        TEST(a_peer_that_lost_the_session_asks_for_a_handshake),
        TEST(garbage_is_no_handshake),
        TEST(half_a_flight_is_no_handshake),
        TEST(a_flight_with_more_behind_it_is_refused),
        TEST(a_flight_with_a_piece_of_a_record_behind_it_is_refused),
        TEST(a_finished_handshake_does_not_begin_again),
        TEST(a_replayed_handshake_does_not_end),
        TEST(a_changed_bit_in_a_handshake_is_noticed),
        TEST(a_configuration_lives_as_long_as_its_channels),
        TEST(threads_share_the_configurations),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
