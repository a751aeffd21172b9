#include "test/unit/unit.h"

#include <stdbool.h>

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/process.h"

static void usage_is_that_of_this_process(void **state)
{
    struct process_usage usage;
    double now = (double)clock_realtime_ns() / 1e9;

    (void)state;
    assert_int_equal(process_usage_read(&usage), PROBER_OK);
    assert_true(usage.resident_bytes > 100000);
    assert_true(usage.virtual_bytes >= usage.resident_bytes);
    assert_true(usage.cpu_seconds >= 0 && usage.cpu_seconds < 600);
    assert_int_equal(usage.threads, 1);
    assert_true(usage.start_time_seconds > now - 600 && usage.start_time_seconds < now + 2);
    assert_true(usage.max_fds >= usage.open_fds);
}

static void an_open_descriptor_is_counted(void **state)
{
    struct process_usage before, after;
    int fd;

    (void)state;
    process_usage_read(&before);
    fd = dup(0);
    process_usage_read(&after);
    close(fd);
    assert_int_equal(after.open_fds, before.open_fds + 1);
}

static void the_soft_limit_of_files_is_raised_to_the_hard_one(void **state)
{
    struct rlimit limit;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &limit);
    process_raise_fd_limit();
    getrlimit(RLIMIT_NOFILE, &limit);
    assert_true(limit.rlim_cur == limit.rlim_max);
    process_raise_fd_limit();
}

static void a_process_without_the_capability_knows_it(void **state)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2], less[2];
    bool had = process_has_net_raw();

    (void)state;
    assert_int_equal(syscall(SYS_capget, &header, data), 0);
    less[0] = data[0];
    less[1] = data[1];
    less[0].effective &= ~CAP_TO_MASK(CAP_NET_RAW);
    assert_int_equal(syscall(SYS_capset, &header, less), 0);
    assert_false(process_has_net_raw());
    assert_int_equal(syscall(SYS_capset, &header, data), 0);
    assert_int_equal(process_has_net_raw(), had);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_that_of_this_process),
        cmocka_unit_test(an_open_descriptor_is_counted),
        cmocka_unit_test(the_soft_limit_of_files_is_raised_to_the_hard_one),
        cmocka_unit_test(a_process_without_the_capability_knows_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
