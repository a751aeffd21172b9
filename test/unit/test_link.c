#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/link.h"
#include "common/listen.h"
#include "common/queue.h"

#define SECOND UINT64_C(1000000000)

static struct queue *calls, *released, *hints;
static struct link_server *server;
static struct link_client *client;
static struct prober_failure why;

/* ---- givens ---- */

static void queue_call(void *context, struct link_call *call)
{
    (void)context;
    if (queue_push(calls, call))
        link_call_drop(call);
}

static void echo_call(void *context, struct link_call *call)
{
    size_t len;
    const void *bytes = link_call_bytes(call, &len);
    char copy[64];
    (void)context;

    memcpy(copy, bytes, len < sizeof(copy) ? len : sizeof(copy));
    link_call_reply(call, copy, len);
}

static void note_release(void *context, void *user)
{
    (void)context;
    queue_push(released, user);
}

static int set_up(void **state)
{
    (void)state;
    server = NULL;
    client = NULL;
    memset(&why, 0, sizeof(why));
    return queue_create(&calls, 64) || queue_create(&released, 64) || queue_create(&hints, 64);
}

static int tear_down(void **state)
{
    (void)state;
    link_client_close(client);
    link_server_close(server);
    queue_destroy(calls);
    queue_destroy(released);
    queue_destroy(hints);
    return 0;
}

static void given_a_server(const char *listen, link_serve_fn serve)
{
    struct link_server_config config = {
        .listen = listen, .parallel = 8, .serve = serve, .release = note_release};

    assert_int_equal(link_server_open(&server, &config, &why), PROBER_OK);
}

static struct link_client *a_client_of(const char *host, uint16_t port)
{
    struct link_client *c;
    char address[64];

    snprintf(address, sizeof(address), "%s:%u", host, port);
    assert_int_equal(link_client_open(&c, address, &why), PROBER_OK);
    return c;
}

static void given_a_client(void)
{
    client = a_client_of("127.0.0.1", link_server_port(server));
}

static enum prober_error call_server(struct link_client *c, const char *text, uint64_t timeout_ns,
                                     char reply[64])
{
    void *bytes = NULL;
    size_t len = 0;
    enum prober_error err = link_client_call(c, text, strlen(text), timeout_ns, &bytes, &len);

    if (!err)
        snprintf(reply, 64, "%.*s", (int)len, (const char *)bytes);
    free(bytes);
    return err;
}

/* A call made by another thread, so that the test can play the server. */
struct call_thread {
    pthread_t thread;
    struct link_client *client;
    const char *text;
    uint64_t timeout_ns;
    enum prober_error err;
    char reply[64];
};

static void *run_call(void *arg)
{
    struct call_thread *t = arg;

    t->err = call_server(t->client, t->text, t->timeout_ns, t->reply);
    return NULL;
}

static struct call_thread *start_call(struct link_client *c, const char *text, uint64_t timeout_ns)
{
    struct call_thread *t = calloc(1, sizeof(*t));

    t->client = c;
    t->text = text;
    t->timeout_ns = timeout_ns;
    assert_int_equal(pthread_create(&t->thread, NULL, run_call, t), 0);
    return t;
}

static enum prober_error end_of_call(struct call_thread *t, char reply[64])
{
    enum prober_error err;

    pthread_join(t->thread, NULL);
    err = t->err;
    if (reply)
        memcpy(reply, t->reply, 64);
    free(t);
    return err;
}

static struct link_call *next_call(void)
{
    void *call = NULL;

    assert_int_equal(queue_pop(calls, &call, 1, 10 * SECOND), 1);
    return call;
}

static void *next_release(void)
{
    void *user = NULL;

    assert_int_equal(queue_pop(released, &user, 1, 10 * SECOND), 1);
    return user;
}

/* ---- calls ---- */

static void a_call_gets_its_reply(void **state)
{
    char reply[64];
    (void)state;

    given_a_server("127.0.0.1:0", echo_call);
    given_a_client();
    assert_int_equal(call_server(client, "ping", 10 * SECOND, reply), PROBER_OK);
    assert_string_equal(reply, "ping");
    assert_int_equal(call_server(client, "", 10 * SECOND, reply), PROBER_OK);
    assert_string_equal(reply, "");
    assert_true(link_client_is_connected(client));
    assert_int_equal(link_client_connections(client), 1);
}

static void both_ends_know_their_addresses(void **state)
{
    struct call_thread *t;
    struct prober_addr peer, local;
    char text[PROBER_ADDR_TEXT_MAX], reply[64];
    (void)state;

    given_a_server("127.0.0.1:0", queue_call);
    given_a_client();
    t = start_call(client, "x", 10 * SECOND);
    struct link_call *call = next_call();

    peer = link_call_peer(call);
    assert_string_equal(prober_addr_format(&peer, text), "127.0.0.1");
    local = link_client_local_addr(client);
    assert_string_equal(prober_addr_format(&local, text), "127.0.0.1");
    link_call_reply(call, "y", 1);
    assert_int_equal(end_of_call(t, reply), PROBER_OK);
    assert_string_equal(reply, "y");
}

static void localhost_and_every_address_take_both_families(void **state)
{
    static const char *const listens[] = {"localhost:0", ":0"};
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]"};
    struct prober_addr loopback6;
    uint16_t port = 0;
    size_t families;
    char reply[64];
    (void)state;

    prober_addr_parse("::1", &loopback6);
    families = listen_check(&loopback6, &port, NULL) ? 2 : 3; /* a host may have no IPv6 */
    for (size_t i = 0; i < ARRAY_LEN(listens); i++) {
        given_a_server(listens[i], echo_call);
        port = link_server_port(server);
        for (size_t k = 0; k < families; k++) {
            struct link_client *c = a_client_of(hosts[k], port);

            assert_int_equal(call_server(c, "ping", 10 * SECOND, reply), PROBER_OK);
            link_client_close(c);
        }
        link_server_close(server);
        server = NULL;
    }
}

static void a_connection_keeps_its_number_and_its_user(void **state)
{
    static int user, other;
    struct link_call *call;
    struct call_thread *t;
    uint64_t number;
    (void)state;

    given_a_server("127.0.0.1:0", queue_call);
    given_a_client();
    t = start_call(client, "1", 10 * SECOND);
    call = next_call();
    number = link_call_connection(call);
    assert_null(link_call_user(call));
    link_call_set_user(call, &user);
    link_call_reply(call, "", 0);
    assert_int_equal(end_of_call(t, NULL), PROBER_OK);
    t = start_call(client, "2", 10 * SECOND);
    call = next_call();
    assert_true(link_call_connection(call) == number);
    assert_ptr_equal(link_call_user(call), &user);
    link_call_set_user(call, &other);
    assert_ptr_equal(next_release(), &user);
    link_call_reply(call, "", 0);
    assert_int_equal(end_of_call(t, NULL), PROBER_OK);
    link_client_close(client);
    client = NULL;
    assert_ptr_equal(next_release(), &other);
}

static void a_connection_that_ended_lives_until_its_call_does(void **state)
{
    static int user;
    struct link_call *call;
    struct call_thread *t;
    void *none;
    (void)state;

    given_a_server("127.0.0.1:0", queue_call);
    given_a_client();
    t = start_call(client, "1", 10 * SECOND);
    call = next_call();
    link_call_set_user(call, &user);
    link_client_interrupt(client);
    assert_int_equal(end_of_call(t, NULL), PROBER_ERR_CLOSED);
    link_client_close(client);
    client = NULL;
    assert_int_equal(queue_pop(released, &none, 1, 0), 0);
    assert_ptr_equal(link_call_user(call), &user);
    link_call_reply(call, "late", 4);
    assert_ptr_equal(next_release(), &user);
}

static void a_dropped_peer_gets_no_reply_and_is_counted(void **state)
{
    struct link_server_counts counts;
    struct call_thread *t;
    (void)state;

    given_a_server("127.0.0.1:0", queue_call);
    given_a_client();
    t = start_call(client, "rubbish", 10 * SECOND);
    link_call_drop(next_call());
    assert_int_equal(end_of_call(t, NULL), PROBER_ERR_UNREACHABLE);
    link_server_counts(server, &counts);
    assert_int_equal(counts.dropped_total, 1);
    assert_int_equal(counts.requests_total, 1);
}

static void a_request_is_not_sent_again_after_a_loss(void **state)
{
    struct link_call *call;
    struct call_thread *t;
    size_t len;
    (void)state;

    given_a_server("127.0.0.1:0", queue_call);
    given_a_client();
    t = start_call(client, "first", 10 * SECOND);
    link_call_drop(next_call());
    assert_int_equal(end_of_call(t, NULL), PROBER_ERR_UNREACHABLE);
    t = start_call(client, "second", 10 * SECOND);
    call = next_call();
    assert_memory_equal(link_call_bytes(call, &len), "second", 6);
    link_call_reply(call, "", 0);
    assert_int_equal(end_of_call(t, NULL), PROBER_OK);
    assert_int_equal(link_client_connections(client), 2);
}

static void a_call_without_a_reply_times_out_and_a_late_reply_meets_no_other(void **state)
{
    struct link_call *late;
    struct call_thread *t;
    char reply[64];
    (void)state;

    given_a_server("127.0.0.1:0", queue_call);
    given_a_client();
    t = start_call(client, "slow", SECOND / 5);
    late = next_call();
    assert_int_equal(end_of_call(t, NULL), PROBER_ERR_TIMEOUT);
    t = start_call(client, "fast", 10 * SECOND);
    link_call_reply(late, "slow", 4);
    link_call_reply(next_call(), "fast", 4);
    assert_int_equal(end_of_call(t, reply), PROBER_OK);
    assert_string_equal(reply, "fast");
}

static void without_a_server_a_call_ends_as_unreachable(void **state)
{
    uint16_t port;
    char reply[64];
    (void)state;

    given_a_server("127.0.0.1:0", echo_call);
    port = link_server_port(server);
    link_server_close(server);
    server = NULL;
    client = a_client_of("127.0.0.1", port);
    assert_int_equal(call_server(client, "x", SECOND / 20, reply), PROBER_ERR_UNREACHABLE);
    assert_false(link_client_is_connected(client));
    assert_int_equal(link_client_local_addr(client).family, PROBER_FAMILY_NONE);
}

static void a_client_finds_a_server_that_comes_back(void **state)
{
    char listen[32], reply[64];
    (void)state;

    given_a_server("127.0.0.1:0", echo_call);
    given_a_client();
    assert_int_equal(call_server(client, "a", 10 * SECOND, reply), PROBER_OK);
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", link_server_port(server));
    link_server_close(server);
    given_a_server(listen, echo_call);
    while (call_server(client, "b", 10 * SECOND, reply) != PROBER_OK)
        continue; /* the loss may not have been noticed at once */
    assert_string_equal(reply, "b");
    assert_true(link_client_connections(client) >= 2); /* perhaps it met the old one's end */
}

static void after_a_disconnect_the_next_call_has_a_connection_of_its_own(void **state)
{
    char reply[64];
    uint64_t before;
    (void)state;

    given_a_server("127.0.0.1:0", echo_call);
    given_a_client();
    assert_int_equal(call_server(client, "1", 10 * SECOND, reply), PROBER_OK);
    before = link_client_connections(client);
    link_client_disconnect(client);
    link_client_disconnect(client); /* fine without a connection */
    assert_int_equal(call_server(client, "2", 10 * SECOND, reply), PROBER_OK);
    assert_int_equal(link_client_connections(client), before + 1);
}

static void an_interrupt_ends_running_and_later_calls(void **state)
{
    struct call_thread *t;
    struct link_call *call;
    char reply[64];
    (void)state;

    given_a_server("127.0.0.1:0", queue_call);
    given_a_client();
    t = start_call(client, "x", 60 * SECOND);
    call = next_call();
    link_client_interrupt(client);
    assert_int_equal(end_of_call(t, NULL), PROBER_ERR_CLOSED);
    assert_int_equal(call_server(client, "y", 60 * SECOND, reply), PROBER_ERR_CLOSED);
    link_call_drop(call);
}

static void an_interrupt_ends_the_wait_for_a_connection(void **state)
{
    struct call_thread *t;
    (void)state;

    client = a_client_of("127.0.0.1", 1);
    t = start_call(client, "x", 60 * SECOND);
    link_client_interrupt(client);
    assert_int_equal(end_of_call(t, NULL), PROBER_ERR_CLOSED);
}

static void a_message_of_the_largest_size_passes_and_a_larger_one_is_not_sent(void **state)
{
    char *large = calloc(1, LINK_MESSAGE_MAX + 1);
    struct call_thread *t;
    void *reply = NULL;
    size_t len;
    (void)state;

    given_a_server("127.0.0.1:0", queue_call);
    given_a_client();
    assert_int_equal(
        link_client_call(client, large, LINK_MESSAGE_MAX + 1, 10 * SECOND, &reply, &len),
        PROBER_ERR_RANGE);
    memset(large, 'a', LINK_MESSAGE_MAX);
    t = start_call(client, large, 20 * SECOND);
    struct link_call *call = next_call();

    link_call_bytes(call, &len);
    assert_int_equal(len, LINK_MESSAGE_MAX);
    link_call_reply(call, large, LINK_MESSAGE_MAX);
    assert_int_equal(end_of_call(t, NULL), PROBER_OK);
    free(large);
}

/* ---- misbehaviour ---- */

static int raw_connection(void)
{
    struct prober_addr loopback;
    struct sockaddr_storage sa;
    socklen_t len;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    prober_addr_parse("127.0.0.1", &loopback);
    len = prober_addr_to_sockaddr(&loopback, link_server_port(server), &sa);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    return fd;
}

/* True when the peer ends the connection without a further word than its greeting of 8 bytes. */
static bool is_disconnected(int fd)
{
    struct timeval patience = {10, 0};
    char bytes[64];
    ssize_t n, total = 0;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        total += n;
    return total <= 8 && (n == 0 || errno == ECONNRESET);
}

static void garbage_and_oversized_claims_are_disconnected_and_others_served(void **state)
{
    static const unsigned char greeting[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    static const unsigned char huge[] = {0, 0, 0, 0x10, 0, 0, 0, 0, 1, 2, 3, 4};
    char reply[64];
    int garbage, oversized, idle;
    (void)state;

    given_a_server("127.0.0.1:0", echo_call);
    idle = raw_connection();
    garbage = raw_connection();
    assert_int_equal(send(garbage, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    oversized = raw_connection();
    send(oversized, greeting, sizeof(greeting), MSG_NOSIGNAL);
    send(oversized, huge, sizeof(huge), MSG_NOSIGNAL);
    assert_true(is_disconnected(garbage));
    assert_true(is_disconnected(oversized));
    given_a_client();
    assert_int_equal(call_server(client, "still here", 10 * SECOND, reply), PROBER_OK);
    close(garbage);
    close(oversized);
    close(idle);
}

static void a_peer_with_too_many_calls_at_once_is_disconnected(void **state)
{
    static const unsigned char greeting[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    unsigned char request[] = {0, 0, 0, 0, 0, 0, 0, 5, 0x80, 0, 0, 0, 'x'};
    struct link_server_counts counts;
    int fd;
    (void)state;

    given_a_server("127.0.0.1:0", queue_call);
    fd = raw_connection();
    send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL);
    for (unsigned char i = 0; i <= LINK_CALLS_PER_CONNECTION; i++) {
        request[11] = i;
        send(fd, request, sizeof(request), MSG_NOSIGNAL);
    }
    assert_true(is_disconnected(fd));
    for (unsigned i = 0; i < LINK_CALLS_PER_CONNECTION; i++)
        link_call_reply(next_call(), "", 0);
    link_server_counts(server, &counts);
    assert_int_equal(counts.dropped_total, 1);
    close(fd);
}

static void drop_call(void *context, struct link_call *call)
{
    (void)context;
    link_call_set_user(call, call);
    link_call_drop(call);
}

/* The next request has come in part or as a whole when the connection is ended for the first. */
static void who_is_disconnected_while_it_sends_leaves_nothing_behind(void **state)
{
    enum { REQUESTS = 40, PEERS = 16 };
    static const unsigned char greeting[] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    static const unsigned char request[] = {0, 0, 0, 0, 0, 0, 0, 5, 0x80, 0, 0, 0, 'x'};
    unsigned char said[sizeof(greeting) + REQUESTS * sizeof(request)];
    struct link_server_counts counts;
    (void)state;

    memcpy(said, greeting, sizeof(greeting));
    for (size_t i = 0; i < REQUESTS; i++)
        memcpy(said + sizeof(greeting) + i * sizeof(request), request, sizeof(request));
    given_a_server("127.0.0.1:0", drop_call);
    for (size_t i = 0; i < PEERS; i++) {
        int fd = raw_connection();

        send(fd, said, sizeof(said) - i, MSG_NOSIGNAL);
        assert_true(is_disconnected(fd));
        assert_non_null(next_release());
        close(fd);
    }
    link_server_counts(server, &counts);
    assert_int_equal(counts.connections, 0);
    assert_int_equal(counts.dropped_total, PEERS);
}

static void one_address_cannot_take_all_connections(void **state)
{
    const struct link_server_config config = {
        .listen = "127.0.0.1:0", .connections_per_peer = 1, .serve = echo_call};
    struct link_server_counts counts;
    struct link_client *second;
    char reply[64];
    (void)state;

    assert_int_equal(link_server_open(&server, &config, &why), PROBER_OK);
    given_a_client();
    assert_int_equal(call_server(client, "a", 10 * SECOND, reply), PROBER_OK);
    second = a_client_of("127.0.0.1", link_server_port(server));
    assert_int_equal(call_server(second, "b", SECOND / 5, reply), PROBER_ERR_UNREACHABLE);
    link_server_counts(server, &counts);
    assert_true(counts.refused_total >= 1);
    link_server_bound(server, 0, 2);
    assert_int_equal(call_server(second, "b", 10 * SECOND, reply), PROBER_OK);
    link_client_close(second);
}

static void the_bound_of_connections_can_be_raised(void **state)
{
    const struct link_server_config config = {
        .listen = "127.0.0.1:0", .connections_max = 1, .serve = echo_call};
    struct link_client *second;
    char reply[64];
    (void)state;

    assert_int_equal(link_server_open(&server, &config, &why), PROBER_OK);
    given_a_client();
    assert_int_equal(call_server(client, "a", 10 * SECOND, reply), PROBER_OK);
    link_server_bound(server, 2, 0);
    second = a_client_of("127.0.0.1", link_server_port(server));
    assert_int_equal(call_server(second, "b", 10 * SECOND, reply), PROBER_OK);
    link_client_close(second);
}

static void connections_over_the_bound_are_refused_and_counted(void **state)
{
    struct link_server_config config = {
        .listen = "127.0.0.1:0", .connections_max = 1, .serve = echo_call};
    struct link_server_counts counts;
    struct link_client *second;
    char reply[64];
    (void)state;

    assert_int_equal(link_server_open(&server, &config, &why), PROBER_OK);
    given_a_client();
    assert_int_equal(call_server(client, "a", 10 * SECOND, reply), PROBER_OK);
    second = a_client_of("127.0.0.1", link_server_port(server));
    assert_int_equal(call_server(second, "b", SECOND / 5, reply), PROBER_ERR_UNREACHABLE);
    link_client_close(second);
    link_server_counts(server, &counts);
    assert_int_equal(counts.connections, 1);
    assert_int_equal(counts.accepted_total, 1);
    assert_true(counts.refused_total >= 1);
}

static void a_port_in_use_is_told(void **state)
{
    struct link_server_config config = {.serve = echo_call};
    struct link_server *second = NULL;
    char listen[32];
    (void)state;

    given_a_server("127.0.0.1:0", echo_call);
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", link_server_port(server));
    config.listen = listen;
    assert_int_equal(link_server_open(&second, &config, &why), PROBER_ERR_IN_USE);
    assert_non_null(strstr(why.text, "Address already in use"));
    assert_null(second);
    config.listen = "nonsense";
    assert_int_equal(link_server_open(&second, &config, &why), PROBER_ERR_SYNTAX);
    assert_int_equal(link_client_open(&client, "127.0.0.1", &why), PROBER_ERR_SYNTAX);
    assert_int_equal(link_client_open(&client, "127.0.0.1:0", &why), PROBER_ERR_SYNTAX);
}

/* ---- stopping, and many at once ---- */

static void after_stop_open_calls_are_answered_and_no_new_ones_taken(void **state)
{
    struct call_thread *t;
    struct link_call *call;
    char reply[64];
    void *none;
    (void)state;

    given_a_server("127.0.0.1:0", queue_call);
    given_a_client();
    t = start_call(client, "open", 10 * SECOND);
    call = next_call();
    link_server_stop(server);
    link_call_reply(call, "answered", 8);
    assert_int_equal(end_of_call(t, reply), PROBER_OK);
    assert_string_equal(reply, "answered");
    assert_int_equal(call_server(client, "new", SECOND / 10, reply), PROBER_ERR_TIMEOUT);
    assert_int_equal(queue_pop(calls, &none, 1, 0), 0);
    link_server_close(NULL);
    link_server_stop(NULL);
    link_client_close(NULL);
}

static void *make_calls(void *arg)
{
    struct link_client *c = arg;
    char text[16], reply[64];

    for (unsigned i = 0; i < 50; i++) {
        snprintf(text, sizeof(text), "%u", i);
        if (call_server(c, text, 20 * SECOND, reply) || strcmp(text, reply) != 0)
            return c;
    }
    return NULL;
}

static void many_clients_each_get_their_own_replies(void **state)
{
    struct link_client *clients[12];
    pthread_t threads[12];
    struct link_server_counts counts;
    void *failed;
    (void)state;

    given_a_server("127.0.0.1:0", echo_call);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        clients[i] = a_client_of("127.0.0.1", link_server_port(server));
        assert_int_equal(pthread_create(&threads[i], NULL, make_calls, clients[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
        link_client_close(clients[i]);
    }
    link_server_counts(server, &counts);
    assert_int_equal(counts.requests_total, 12 * 50);
    assert_int_equal(counts.accepted_total, 12);
}

/* ---- hints ---- */

static void note_hint(void *context, const void *bytes, size_t len)
{
    (void)context;
    if (len == 4 && memcmp(bytes, "plan", 4) == 0)
        queue_push(hints, hints);
}

static void a_hint_reaches_who_subscribed(void **state)
{
    struct link_publisher *publisher;
    struct link_subscriber *subscriber;
    char address[32];
    void *hint;
    (void)state;

    assert_int_equal(link_publisher_open(&publisher, "127.0.0.1:0", 0, &why), PROBER_OK);
    snprintf(address, sizeof(address), "127.0.0.1:%u", link_publisher_port(publisher));
    assert_int_equal(link_subscriber_open(&subscriber, address, note_hint, NULL, &why), PROBER_OK);
    do
        link_publisher_send(publisher, "plan", 4); /* lost until the subscriber has connected */
    while (!queue_pop(hints, &hint, 1, SECOND / 100));
    link_subscriber_close(subscriber);
    link_publisher_close(publisher);
    link_subscriber_close(NULL);
    link_publisher_close(NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_call_gets_its_reply),
        TEST(both_ends_know_their_addresses),
        TEST(localhost_and_every_address_take_both_families),
        TEST(a_connection_keeps_its_number_and_its_user),
        TEST(a_connection_that_ended_lives_until_its_call_does),
        TEST(a_dropped_peer_gets_no_reply_and_is_counted),
        TEST(a_request_is_not_sent_again_after_a_loss),
        TEST(a_call_without_a_reply_times_out_and_a_late_reply_meets_no_other),
        TEST(without_a_server_a_call_ends_as_unreachable),
        TEST(a_client_finds_a_server_that_comes_back),
        TEST(after_a_disconnect_the_next_call_has_a_connection_of_its_own),
        TEST(an_interrupt_ends_running_and_later_calls),
        TEST(an_interrupt_ends_the_wait_for_a_connection),
        TEST(a_message_of_the_largest_size_passes_and_a_larger_one_is_not_sent),
        TEST(garbage_and_oversized_claims_are_disconnected_and_others_served),
        TEST(a_peer_with_too_many_calls_at_once_is_disconnected),
        TEST(who_is_disconnected_while_it_sends_leaves_nothing_behind),
        TEST(connections_over_the_bound_are_refused_and_counted),
        TEST(the_bound_of_connections_can_be_raised),
        TEST(one_address_cannot_take_all_connections),
        TEST(a_port_in_use_is_told),
        TEST(after_stop_open_calls_are_answered_and_no_new_ones_taken),
        TEST(many_clients_each_get_their_own_replies),
        TEST(a_hint_reaches_who_subscribed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
