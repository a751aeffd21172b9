#include "test/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/notify.h"

static int forget_environment(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return 0;
}

/* A manager's socket at `path`, abstract when it starts with '@', named in the environment. */
static int given_manager(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    strcpy(at.sun_path, path);
    if (*path == '@')
        at.sun_path[0] = '\0';
    assert_int_equal(bind(sock, (struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))),
                     0);
    setenv("NOTIFY_SOCKET", path, 1);
    return sock;
}

static void expect_states(int sock)
{
    char text[64] = "";

    notify_state("READY=1");
    notify_state("STOPPING=1");
    assert_int_equal(recv(sock, text, sizeof(text), 0), 7);
    assert_memory_equal(text, "READY=1", 7);
    assert_int_equal(recv(sock, text, sizeof(text), 0), 10);
    assert_memory_equal(text, "STOPPING=1", 10);
}

static void each_state_is_one_datagram_to_a_path(void **state)
{
    char path[64] = "/tmp/test_notify.XXXXXX";
    int sock;

    (void)state;
    assert_non_null(mkdtemp(path));
    strcat(path, "/s");
    sock = given_manager(path);
    expect_states(sock);
    close(sock);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}

static void each_state_is_one_datagram_to_an_abstract_name(void **state)
{
    char name[64];
    int sock;

    (void)state;
    snprintf(name, sizeof(name), "@test_notify.%d", (int)getpid());
    sock = given_manager(name);
    expect_states(sock);
    close(sock);
}

static void without_a_manager_nothing_happens(void **state)
{
    static char long_path[300];

    (void)state;
    notify_state("READY=1");
    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    notify_state("READY=1");
    setenv("NOTIFY_SOCKET", "relative", 1);
    notify_state("READY=1");
    memset(long_path, '/', sizeof(long_path) - 1);
    setenv("NOTIFY_SOCKET", long_path, 1);
    notify_state("READY=1");
}

static void a_manager_that_does_not_read_blocks_nobody(void **state)
{
    char name[64];
    int sock;

    (void)state;
    snprintf(name, sizeof(name), "@test_notify_full.%d", (int)getpid());
    sock = given_manager(name);
    for (int i = 0; i < 5000; i++)
        notify_state("WATCHDOG=1");
    close(sock);
}

static void the_watchdog_is_fed_twice_in_its_period(void **state)
{
    char pid[16];

    (void)state;
    assert_true(notify_watchdog_period_ns() == 0);
    setenv("WATCHDOG_USEC", "30000000", 1);
    assert_true(notify_watchdog_period_ns() == 15 * CLOCK_NS_PER_S);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    assert_true(notify_watchdog_period_ns() == 15 * CLOCK_NS_PER_S);
}

static void a_watchdog_of_another_process_or_without_sense_is_none(void **state)
{
    static const char *const cases[] = {"", "-5", "abc", "5s", "99999999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setenv("WATCHDOG_USEC", cases[i], 1);
        assert_true(notify_watchdog_period_ns() == 0);
    }
    setenv("WATCHDOG_USEC", "1000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    assert_true(notify_watchdog_period_ns() == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, forget_environment, forget_environment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_state_is_one_datagram_to_a_path),
        TEST(each_state_is_one_datagram_to_an_abstract_name),
        TEST(without_a_manager_nothing_happens),
        TEST(a_manager_that_does_not_read_blocks_nobody),
        TEST(the_watchdog_is_fed_twice_in_its_period),
        TEST(a_watchdog_of_another_process_or_without_sense_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
