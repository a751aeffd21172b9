#include "test/unit/unit.h"

#include "serverd/peer.h"
#include "serverd/session.h"

static struct session *given_session(uint32_t number)
{
    const struct prober_id agent = {{1}}, boot = {{2}};
    struct session *s = session_create(&agent, &boot, number, "cn-a");

    assert_non_null(s);
    return s;
}

static void a_session_lives_as_long_as_somebody_holds_it(void **state)
{
    struct session *s = given_session(7);

    (void)state;
    assert_int_equal(s->agent_number, 7);
    assert_string_equal(s->region, "cn-a");
    assert_true(atomic_load(&s->connected));
    assert_ptr_equal(session_get(s), s);
    session_put(s);
    assert_int_equal(s->boot_id.bytes[0], 2);
    session_put(s);
    session_put(NULL);
}

static void a_connection_without_hello_has_no_session(void **state)
{
    struct peer *peer = peer_create(NULL);

    (void)state;
    assert_non_null(peer);
    assert_null(peer_session(peer));
    peer_destroy(peer);
    peer_destroy(NULL);
}

static void the_end_of_a_connection_shows_at_its_session(void **state)
{
    struct peer *peer = peer_create(NULL);
    struct session *s = given_session(1), *held;

    (void)state;
    peer_set_session(peer, s);
    held = peer_session(peer);
    assert_ptr_equal(held, s);
    peer_destroy(peer);
    assert_false(atomic_load(&held->connected));
    session_put(held);
}

static void a_second_hello_replaces_the_session_without_pulling_it_away(void **state)
{
    struct peer *peer = peer_create(NULL);
    struct session *held, *next;

    (void)state;
    peer_set_session(peer, given_session(1));
    held = peer_session(peer);
    peer_set_session(peer, given_session(2));
    next = peer_session(peer);
    assert_false(atomic_load(&held->connected));
    assert_int_equal(held->agent_number, 1);
    assert_int_equal(next->agent_number, 2);
    session_put(held);
    session_put(next);
    peer_destroy(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_lives_as_long_as_somebody_holds_it),
        cmocka_unit_test(a_connection_without_hello_has_no_session),
        cmocka_unit_test(the_end_of_a_connection_shows_at_its_session),
        cmocka_unit_test(a_second_hello_replaces_the_session_without_pulling_it_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
