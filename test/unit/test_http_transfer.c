#include "libprober/http_transfer.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "given_http_engine.h"
#include "unit.h"

#define BODY_LEN (1 << 20)

struct fixture {
    struct given_http_engine g;
    int listener, connection;
    char url[64];
};

static int set_up(void **state)
{
    static const struct dns_record none[] = {{0}};
    static struct fixture f;
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);

    memset(&f, 0, sizeof(f));
    given_engine(&f.g, none);
    f.connection = -1;
    f.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f.listener, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(listen(f.listener, 1), 0);
    assert_int_equal(getsockname(f.listener, (struct sockaddr *)&sin, &len), 0);
    snprintf(f.url, sizeof(f.url), "http://127.0.0.1:%u/", ntohs(sin.sin_port));
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    given_engine_ends(&f->g);
    close(f->connection);
    close(f->listener);
    return 0;
}

/* Takes what has come of the request; true once all of it did. */
static bool take_request(struct fixture *f)
{
    static char bytes[1 << 16];
    static size_t taken;
    ssize_t n;

    if (f->connection < 0) {
        f->connection = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK);
        taken = 0;
    }
    while (f->connection >= 0 && (n = recv(f->connection, bytes, sizeof(bytes), 0)) > 0)
        taken += (size_t)n;
    return taken > BODY_LEN;
}

static void the_time_of_a_long_body_is_a_part_of_processing(void **state)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    struct fixture *f = *state;
    const uint64_t *phases = f->g.result.phases_ns;
    char *body = calloc(1, BODY_LEN);
    uint64_t begun_ns, taken_ns;

    f->g.spec.method = "POST";
    f->g.spec.body = body;
    f->g.spec.body_len = BODY_LEN;
    given_begin(&f->g, f->url, GIVEN_TIMEOUT_NS);
    begun_ns = clock_monotonic_ns();
    while (!take_request(f))
        http_engine_step(f->g.engine, clock_monotonic_ns());
    taken_ns = clock_monotonic_ns();
    assert_int_equal(send(f->connection, answer, sizeof(answer) - 1, 0), sizeof(answer) - 1);
    while (f->g.ended == 0)
        given_turn(&f->g);
    assert_int_equal(f->g.result.reason, HTTP_SUCCEEDED);
    assert_true(phases[HTTP_PHASE_CONNECT] + phases[HTTP_PHASE_PROCESSING] >= taken_ns - begun_ns);
    free(body);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_time_of_a_long_body_is_a_part_of_processing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
