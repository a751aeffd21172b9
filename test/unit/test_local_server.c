#include "test/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "serverd/local_request.h"
#include "serverd/local_server.h"
#include "serverd/local_socket.h"

#define LONG_NS (20 * CLOCK_NS_PER_S)
#define LARGE (2u << 20)

static struct {
    char base[64], dir[256];
    struct local_server *server;
    struct prober_failure why;
    struct strbuf answer;
    uid_t uid;
} world;

/* Answers a line with itself, and "large" with much. */
static void handle(void *context, uid_t uid, const char *line, size_t len, struct strbuf *answer)
{
    (void)context;
    world.uid = uid;
    strbuf_puts(answer, "got ");
    strbuf_put(answer, line, len);
    if (len == 5 && memcmp(line, "large", 5) == 0)
        for (size_t i = 0; i < LARGE; i++)
            strbuf_putc(answer, 'x');
}

static enum prober_error open_server(uint64_t timeout_ns, struct local_server **out)
{
    const struct local_server_config config = {
        .dir = world.dir, .timeout_ns = timeout_ns, .handle = handle};

    return local_server_open(out, &config, &world.why);
}

static int begin(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    strcpy(world.base, "/tmp/test_local.XXXXXX");
    if (!mkdtemp(world.base))
        return -1;
    strcpy(world.dir, world.base);
    return open_server(LONG_NS, &world.server);
}

static int end(void **state)
{
    char command[300];

    (void)state;
    local_server_close(world.server);
    strbuf_free(&world.answer);
    snprintf(command, sizeof(command), "rm -rf %s", world.base);
    return system(command);
}

static enum prober_error ask(const char *line)
{
    strbuf_clear(&world.answer);
    return local_socket_ask(world.dir, line, strlen(line), LONG_NS, &world.answer, &world.why);
}

static int connected(void)
{
    struct sockaddr_un address;
    int dir_fd = local_socket_address(world.dir, &address);
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(dir_fd >= 0 && sock >= 0);
    assert_int_equal(connect(sock, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(dir_fd);
    return sock;
}

static void path_of(char *out, size_t room)
{
    snprintf(out, room, "%s/" LOCAL_SOCKET_FILE, world.dir);
}

static void a_line_is_answered_with_a_line(void **state)
{
    (void)state;
    assert_int_equal(ask("{} 欧"), PROBER_OK);
    assert_string_equal(world.answer.bytes, "got {} 欧");
    assert_int_equal(world.uid, geteuid());
}

static void nobody_but_the_owner_may_open_the_socket(void **state)
{
    char path[300];
    struct stat about;

    (void)state;
    path_of(path, sizeof(path));
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void a_long_answer_comes_whole(void **state)
{
    (void)state;
    assert_int_equal(ask("large"), PROBER_OK);
    assert_int_equal(world.answer.len, 9 + LARGE);
}

static void a_line_without_an_end_is_refused(void **state)
{
    static char line[LOCAL_REQUEST_MAX + 100];

    (void)state;
    memset(line, 'a', sizeof(line) - 1);
    assert_int_equal(ask(line), PROBER_OK);
    assert_string_equal(world.answer.bytes, "{\"error\":\"the request is too long\"}");
}

static void many_silent_clients_end_at_their_time(void **state)
{
    int socks[LOCAL_CLIENTS_MAX];
    char byte;

    (void)state;
    local_server_close(world.server);
    assert_int_equal(open_server(50 * CLOCK_NS_PER_MS, &world.server), PROBER_OK);
    for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++)
        socks[i] = connected();
    assert_int_equal(ask("x"), PROBER_OK); /* waited for one of them to end */
    for (size_t i = 0; i < LOCAL_CLIENTS_MAX; i++) {
        assert_int_equal(recv(socks[i], &byte, 1, 0), 0);
        close(socks[i]);
    }
}

static void a_client_that_hangs_up_harms_nobody(void **state)
{
    int sock = connected();

    (void)state;
    assert_int_equal(send(sock, "large\n", 6, 0), 6);
    close(sock);
    assert_int_equal(ask("x"), PROBER_OK);
}

static void closing_ends_clients_and_removes_the_socket(void **state)
{
    int sock = connected();
    char path[300], byte;

    (void)state;
    local_server_close(world.server);
    world.server = NULL;
    assert_true(recv(sock, &byte, 1, 0) <= 0);
    close(sock);
    path_of(path, sizeof(path));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(ask("x"), PROBER_ERR_NOT_FOUND);
    assert_non_null(strstr(world.why.text, "is serverd running"));
}

/* What a kill leaves: a socket that nobody listens at. */
static void a_socket_of_a_killed_server_is_replaced(void **state)
{
    struct sockaddr_un address;
    int dir_fd, sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    local_server_close(world.server);
    world.server = NULL;
    dir_fd = local_socket_address(world.dir, &address);
    assert_int_equal(bind(sock, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(sock);
    close(dir_fd);
    assert_int_equal(ask("x"), PROBER_ERR_NOT_FOUND);
    assert_int_equal(open_server(LONG_NS, &world.server), PROBER_OK);
    assert_int_equal(ask("x"), PROBER_OK);
}

static void the_socket_of_a_running_server_is_not(void **state)
{
    struct local_server *second = NULL;

    (void)state;
    assert_int_equal(open_server(LONG_NS, &second), PROBER_ERR_IN_USE);
    assert_null(second);
    assert_int_equal(ask("x"), PROBER_OK);
}

static void a_file_in_its_place_is_left_alone(void **state)
{
    char path[300];
    FILE *file;

    (void)state;
    local_server_close(world.server);
    world.server = NULL;
    path_of(path, sizeof(path));
    file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(open_server(LONG_NS, &world.server), PROBER_ERR_IO);
    assert_non_null(strstr(world.why.text, "is no socket"));
    assert_int_equal(access(path, F_OK), 0);
}

static void a_directory_with_a_long_path_will_do(void **state)
{
    size_t len = strlen(world.dir);

    (void)state;
    local_server_close(world.server);
    world.server = NULL;
    memset(world.dir + len, 'd', 150);
    world.dir[len] = '/';
    world.dir[len + 150] = '\0';
    assert_int_equal(mkdir(world.dir, 0700), 0);
    assert_int_equal(open_server(LONG_NS, &world.server), PROBER_OK);
    assert_int_equal(ask("x"), PROBER_OK);
}

static void a_directory_that_is_not_there_is_told(void **state)
{
    struct local_server *none = NULL;

    (void)state;
    local_server_close(world.server);
    world.server = NULL;
    strcpy(world.dir, "/nowhere/at/all");
    assert_int_equal(open_server(LONG_NS, &none), PROBER_ERR_IO);
    assert_int_equal(ask("x"), PROBER_ERR_NOT_FOUND);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_line_is_answered_with_a_line),
        TEST(nobody_but_the_owner_may_open_the_socket),
        TEST(a_long_answer_comes_whole),
        TEST(a_line_without_an_end_is_refused),
        TEST(many_silent_clients_end_at_their_time),
        TEST(a_client_that_hangs_up_harms_nobody),
        TEST(closing_ends_clients_and_removes_the_socket),
        TEST(a_socket_of_a_killed_server_is_replaced),
        TEST(the_socket_of_a_running_server_is_not),
        TEST(a_file_in_its_place_is_left_alone),
        TEST(a_directory_with_a_long_path_will_do),
        TEST(a_directory_that_is_not_there_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
