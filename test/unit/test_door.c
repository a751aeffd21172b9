#include "test/unit/given_channels.h"

#include "serverd/door.h"

#define NOW_S GIVEN_NOW_S
#define SECOND CLOCK_NS_PER_S

static struct given_ends ends;
static struct handshakes *handshakes;
static struct door *door;
static struct guest *guest;
static struct channel *agent;
static struct door_entry entry;
static struct strbuf frame;
static bool revoked;
static struct clock_reading now;

static bool is_revoked(void *context, const struct pki_identity *identity)
{
    (void)context;
    assert_true(prober_id_equal(&identity->agent_id, &ends.pki.agent_id));
    return revoked;
}

static void open_door(struct channel_server *tls, bool plain)
{
    const struct door_config config = {
        .tls = tls, .handshakes = handshakes, .plain = plain, .is_revoked = is_revoked};

    guest_destroy(guest);
    door_destroy(door);
    assert_int_equal(door_create(&door, &config), PROBER_OK);
    guest = guest_create(door, 1, &(struct prober_addr){.family = PROBER_FAMILY_IPV4});
    assert_non_null(guest);
}

static enum door_outcome enter_as(struct guest *who, const struct strbuf *bytes)
{
    strbuf_free(&entry.answer);
    door_enter(who, bytes->bytes, bytes->len, &now, &entry);
    return entry.outcome;
}

static enum door_outcome enter(void)
{
    return enter_as(guest, &frame);
}

static void assert_handshake_needed(enum prober_error err)
{
    enum channel_kind kind;

    assert_int_equal(entry.outcome, DOOR_ANSWER);
    assert_int_equal(entry.err, err);
    assert_null(entry.body);
    assert_int_equal(channel_frame_kind(entry.answer.bytes, entry.answer.len, &kind), PROBER_OK);
    assert_int_equal(kind, CHANNEL_HANDSHAKE_NEEDED);
}

static void connect_by(struct channel_client *client)
{
    channel_destroy(agent);
    agent = NULL;
    assert_int_equal(channel_client_connect(client, &agent), PROBER_OK);
    assert_int_equal(channel_handshake(agent, NULL, 0, NOW_S, &frame, NULL), PROBER_OK);
    while (frame.len) {
        assert_true(door_is_handshake(frame.bytes, frame.len));
        assert_int_equal(enter(), DOOR_ANSWER);
        assert_int_equal(entry.err, PROBER_OK);
        assert_int_equal(
            channel_handshake(agent, entry.answer.bytes, entry.answer.len, NOW_S, &frame, NULL),
            PROBER_OK);
    }
    assert_true(channel_is_ready(agent));
}

static enum door_outcome call(const char *text)
{
    assert_int_equal(channel_seal(agent, text, strlen(text), &frame), PROBER_OK);
    return enter();
}

static void plain_frame(const char *text)
{
    struct channel *plain;

    assert_int_equal(channel_plain_create(&plain), PROBER_OK);
    assert_int_equal(channel_seal(plain, text, strlen(text), &frame), PROBER_OK);
    channel_destroy(plain);
}

static struct handshake_counts counts(void)
{
    struct handshake_counts c;

    handshakes_counts(handshakes, &c);
    return c;
}

static void an_agent_that_proved_itself_is_let_in(void **state)
{
    const void *body;
    size_t len;
    (void)state;

    connect_by(ends.client);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(call("sync"), DOOR_CALL);
        assert_int_equal(entry.body_len, 4);
        assert_memory_equal(entry.body, "sync", 4);
        assert_true(entry.is_secret);
        assert_true(prober_id_equal(&entry.identity->agent_id, &ends.pki.agent_id));
        assert_string_equal(entry.identity->region, GIVEN_REGION);
        assert_int_equal(door_answer(guest, "plan", 4, &frame), PROBER_OK);
        assert_int_equal(channel_open(agent, frame.bytes, frame.len, &body, &len), PROBER_OK);
    }
    assert_int_equal(counts().open, 0);
}

static void who_comes_to_join_is_secret_and_unknown(void **state)
{
    struct channel_client *joiner = given_joiner(pki_ca_identity(ends.pki.ca)->fingerprint);
    (void)state;

    connect_by(joiner);
    assert_int_equal(call("token"), DOOR_CALL);
    assert_true(entry.is_secret);
    assert_null(entry.identity);
    channel_client_close(joiner);
}

static void a_plain_call_is_let_in_where_plain_is_accepted(void **state)
{
    (void)state;
    plain_frame("hello");
    assert_false(door_is_handshake(frame.bytes, frame.len));
    assert_int_equal(enter(), DOOR_CALL);
    assert_memory_equal(entry.body, "hello", 5);
    assert_null(entry.identity);
    assert_false(entry.is_secret);
    assert_int_equal(door_answer(guest, "welcome", 7, &frame), PROBER_OK);
    assert_memory_equal(frame.bytes + CHANNEL_HEADER_LEN, "welcome", 7);
    plain_frame("hello");
    open_door(ends.server, false);
    enter();
    assert_handshake_needed(PROBER_ERR_DENIED);
}

static void a_connection_is_plain_or_trusted_for_good(void **state)
{
    struct channel *other;
    (void)state;

    connect_by(ends.client);
    plain_frame("hello");
    assert_int_equal(enter(), DOOR_DROP);
    assert_int_equal(entry.err, PROBER_ERR_PROTOCOL);
    open_door(ends.server, true);
    plain_frame("hello");
    assert_int_equal(enter(), DOOR_CALL);
    assert_int_equal(channel_client_connect(ends.client, &other), PROBER_OK);
    assert_int_equal(channel_handshake(other, NULL, 0, NOW_S, &frame, NULL), PROBER_OK);
    assert_int_equal(enter(), DOOR_DROP);
    channel_destroy(other);
    assert_int_equal(counts().open, 0);
}

static void a_sealed_call_without_a_session_needs_a_handshake(void **state)
{
    (void)state;
    connect_by(ends.client);
    assert_int_equal(channel_seal(agent, "sync", 4, &frame), PROBER_OK);
    open_door(ends.server, true); /* as after a restart of the server */
    enter();
    assert_handshake_needed(PROBER_ERR_STATE);
    connect_by(ends.client);
    assert_true(channel_was_resumed(agent));
    assert_int_equal(call("sync"), DOOR_CALL);
}

static void a_forged_call_ends_the_session_and_another_may_begin(void **state)
{
    (void)state;
    connect_by(ends.client);
    assert_int_equal(channel_seal(agent, "sync", 4, &frame), PROBER_OK);
    frame.bytes[frame.len - 1] ^= 1;
    frame.len -= CHANNEL_HEADER_LEN;
    memmove(frame.bytes, frame.bytes + CHANNEL_HEADER_LEN, frame.len);
    given_frame(&frame, CHANNEL_DATA);
    enter();
    assert_handshake_needed(PROBER_ERR_PROTOCOL);
    plain_frame("hello");
    assert_int_equal(enter(), DOOR_DROP);
    connect_by(ends.client);
    assert_int_equal(call("sync"), DOOR_CALL);
}

static void a_certificate_is_judged_on_each_call(void **state)
{
    (void)state;
    connect_by(ends.client);
    assert_int_equal(call("sync"), DOOR_CALL);
    assert_int_equal(door_answer(guest, "", 0, &frame), PROBER_OK);
    revoked = true;
    call("sync");
    assert_handshake_needed(PROBER_ERR_DENIED);
    revoked = false;
    connect_by(ends.client);
    now.real_ns += (uint64_t)(PKI_AGENT_LIFE_S + 1) * SECOND;
    call("sync");
    assert_handshake_needed(PROBER_ERR_STATE);
    assert_non_null(strstr(entry.why.text, "expired on"));
}

static void one_call_of_a_session_is_open_at_a_time(void **state)
{
    struct strbuf answer = STRBUF_INIT;
    (void)state;
    connect_by(ends.client);
    assert_int_equal(call("first"), DOOR_CALL);
    assert_int_equal(channel_seal(agent, "second", 6, &frame), PROBER_OK);
    assert_int_equal(enter(), DOOR_DROP);
    assert_int_equal(door_answer(guest, "", 0, &answer), PROBER_OK);
    assert_int_equal(door_answer(guest, "", 0, &answer), PROBER_ERR_STATE);
    strbuf_free(&answer);
    assert_int_equal(enter(), DOOR_CALL);
    assert_memory_equal(entry.body, "second", 6);
}

static void a_second_handshake_within_a_session_is_dropped(void **state)
{
    struct channel *other;
    (void)state;

    connect_by(ends.client);
    assert_int_equal(channel_client_connect(ends.client, &other), PROBER_OK);
    assert_int_equal(channel_handshake(other, NULL, 0, NOW_S, &frame, NULL), PROBER_OK);
    assert_int_equal(enter(), DOOR_DROP);
    channel_destroy(other);
}

static void who_is_refused_is_told_why(void **state)
{
    struct given_pki other;
    struct channel_client *stranger;
    struct prober_failure why;
    (void)state;

    given_pki_make(&other);
    stranger =
        given_client(ends.pki.ca_certificate.bytes, &other.agent_certificate, &other.agent_key);
    assert_int_equal(channel_client_connect(stranger, &agent), PROBER_OK);
    assert_int_equal(channel_handshake(agent, NULL, 0, NOW_S, &frame, NULL), PROBER_OK);
    assert_int_equal(enter(), DOOR_ANSWER);
    assert_int_equal(
        channel_handshake(agent, entry.answer.bytes, entry.answer.len, NOW_S, &frame, NULL),
        PROBER_OK);
    assert_int_equal(enter(), DOOR_ANSWER);
    assert_int_equal(entry.err, PROBER_ERR_DENIED);
    assert_int_equal(
        channel_handshake(agent, entry.answer.bytes, entry.answer.len, NOW_S, &frame, &why),
        PROBER_ERR_DENIED);
    assert_non_null(strstr(why.text, "another authority"));
    assert_int_equal(counts().open, 0);
    channel_client_close(stranger);
    given_pki_free(&other);
}

static void half_open_handshakes_have_bounds(void **state)
{
    struct guest *guests[HANDSHAKES_PER_PEER];
    (void)state;

    assert_int_equal(channel_client_connect(ends.client, &agent), PROBER_OK);
    assert_int_equal(channel_handshake(agent, NULL, 0, NOW_S, &frame, NULL), PROBER_OK);
    for (size_t i = 0; i < HANDSHAKES_PER_PEER; i++) {
        guests[i] =
            guest_create(door, 100 + i, &(struct prober_addr){.family = PROBER_FAMILY_IPV4});
        assert_int_equal(enter_as(guests[i], &frame), DOOR_ANSWER);
        assert_int_equal(entry.err, PROBER_OK);
    }
    enter();
    assert_handshake_needed(PROBER_ERR_FULL);
    guest_destroy(guests[0]);
    assert_int_equal(enter(), DOOR_ANSWER);
    assert_int_equal(entry.err, PROBER_OK);
    assert_int_equal(counts().open, HANDSHAKES_PER_PEER);
    now.mono_ns += HANDSHAKE_NS;
    handshakes_expire(handshakes, now.mono_ns);
    assert_int_equal(counts().open, 0);
    for (size_t i = 1; i < HANDSHAKES_PER_PEER; i++)
        guest_destroy(guests[i]);
}

static void garbage_is_dropped_and_leaves_nothing(void **state)
{
    static const char *const greetings[] = {"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x03"};
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        strbuf_clear(&frame);
        strbuf_puts(&frame, greetings[i]);
        assert_int_equal(enter(), DOOR_DROP);
        given_frame(&frame, CHANNEL_HANDSHAKE);
        enter();
        assert_int_not_equal(entry.err, PROBER_OK);
    }
    strbuf_clear(&frame);
    given_frame(&frame, CHANNEL_HANDSHAKE_NEEDED);
    assert_int_equal(enter(), DOOR_DROP);
    assert_int_equal(counts().open, 0);
}

static void without_certificates_there_are_no_trusted_connections(void **state)
{
    (void)state;
    open_door(NULL, true);
    assert_int_equal(channel_client_connect(ends.client, &agent), PROBER_OK);
    assert_int_equal(channel_handshake(agent, NULL, 0, NOW_S, &frame, NULL), PROBER_OK);
    assert_int_equal(enter(), DOOR_DROP);
    assert_int_equal(entry.err, PROBER_ERR_UNSUPPORTED);
    assert_int_equal(counts().open, 0);
    door_set_tls(door, ends.server);
    connect_by(ends.client);
}

static int set_up(void **state)
{
    (void)state;
    now = (struct clock_reading){.mono_ns = SECOND, .real_ns = (uint64_t)NOW_S * SECOND};
    revoked = false;
    channel_client_forget(ends.client);
    if (handshakes_create(&handshakes))
        return -1;
    open_door(ends.server, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_free(&entry.answer);
    strbuf_free(&frame);
    channel_destroy(agent);
    guest_destroy(guest);
    door_destroy(door);
    handshakes_destroy(handshakes);
    agent = NULL;
    guest = NULL;
    door = NULL;
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

static void the_door_can_be_shut_to_plain_calls_and_opened_again(void **state)
{
    (void)state;
    open_door(ends.server, true);
    door_set_plain(door, false);
    plain_frame("hello");
    enter();
    assert_handshake_needed(PROBER_ERR_DENIED);
    assert_int_equal(entry.fault, DOOR_FAULT_PLAIN);
    door_set_plain(door, true);
    assert_int_equal(enter(), DOOR_CALL);
}

static void handshakes_are_counted_by_what_came_of_them(void **state)
{
    struct door_counts c;

    (void)state;
    open_door(ends.server, false);
    connect_by(ends.client);
    guest_destroy(guest);
    guest = guest_create(door, 2, &(struct prober_addr){.family = PROBER_FAMILY_IPV4});
    connect_by(ends.client);
    guest_destroy(guest);
    guest = guest_create(door, 3, &(struct prober_addr){.family = PROBER_FAMILY_IPV4});
    channel_destroy(agent);
    assert_int_equal(channel_client_connect(ends.client, &agent), PROBER_OK);
    assert_int_equal(channel_handshake(agent, NULL, 0, NOW_S, &frame, NULL), PROBER_OK);
    frame.bytes[CHANNEL_HEADER_LEN]++;
    enter();
    assert_int_not_equal(entry.err, PROBER_OK);
    channel_frame_begin(&frame, 4);
    strbuf_put(&frame, "oops", 4);
    assert_int_equal(channel_frame_end(&frame, CHANNEL_HANDSHAKE), PROBER_OK);
    enter();
    assert_int_not_equal(entry.err, PROBER_OK);
    assert_int_equal(entry.fault, DOOR_FAULT_HANDSHAKE);
    door_counts(door, &c);
    assert_true(c.done + c.resumed == 2);
    assert_true(c.failed >= 1);
    assert_int_equal(c.refused, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_agent_that_proved_itself_is_let_in),
        TEST(who_comes_to_join_is_secret_and_unknown),
        TEST(a_plain_call_is_let_in_where_plain_is_accepted),
        TEST(a_connection_is_plain_or_trusted_for_good),
        TEST(the_door_can_be_shut_to_plain_calls_and_opened_again),
        TEST(handshakes_are_counted_by_what_came_of_them),
        TEST(a_sealed_call_without_a_session_needs_a_handshake),
        TEST(a_forged_call_ends_the_session_and_another_may_begin),
        TEST(a_certificate_is_judged_on_each_call),
        TEST(one_call_of_a_session_is_open_at_a_time),
        TEST(a_second_handshake_within_a_session_is_dropped),
        TEST(who_is_refused_is_told_why),
        TEST(half_open_handshakes_have_bounds),
        TEST(garbage_is_dropped_and_leaves_nothing),
        TEST(without_certificates_there_are_no_trusted_connections),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
