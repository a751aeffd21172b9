#include "agentd/task_confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agentd/task_landlock.h"
#include "common/array.h"
#include "common/clock.h"
#include "common/process.h"

#define CAPABILITIES_MAX 63

/* Sanitizers, which a built-in then has too, reserve terabytes of addresses. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#define IS_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define IS_SANITIZED 0
#endif

static enum prober_error limit(const struct task_confinement *c, struct prober_failure *why)
{
    const struct {
        int what;
        uint64_t most;
    } limits[] = {
        {RLIMIT_CPU, (c->cpu_ns + CLOCK_NS_PER_S - 1) / CLOCK_NS_PER_S},
        {RLIMIT_AS, c->own && IS_SANITIZED ? RLIM_INFINITY : TASK_MEMORY_MAX},
        {RLIMIT_NOFILE, TASK_FILES_MAX},
        {RLIMIT_NPROC, TASK_PROCESSES_MAX},
        {RLIMIT_FSIZE, 0},
        {RLIMIT_CORE, 0},
        {RLIMIT_MSGQUEUE, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct rlimit now, then = {limits[i].most, limits[i].most};

        if (getrlimit((__rlimit_resource_t)limits[i].what, &now) == 0 &&
            now.rlim_max < then.rlim_max)
            then.rlim_cur = then.rlim_max = now.rlim_max;
        if (setrlimit((__rlimit_resource_t)limits[i].what, &then))
            return prober_fail(why, PROBER_ERR_IO, "cannot limit resources: %s", strerror(errno));
    }
    return PROBER_OK;
}

/* Leaves CAP_NET_RAW, or nothing. */
static enum prober_error drop_capabilities(bool keep_raw, struct prober_failure *why)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    uint32_t raw = keep_raw ? CAP_TO_MASK(CAP_NET_RAW) : 0;

    memset(data, 0, sizeof(data));
    data[CAP_TO_INDEX(CAP_NET_RAW)] = (struct __user_cap_data_struct){raw, raw, raw};
    /* Root gets all that is in the bounding set back when it executes. Who is not root may not
     * change it, and gains nothing from it. */
    for (int i = 0; i <= CAPABILITIES_MAX; i++)
        if (!(keep_raw && i == CAP_NET_RAW))
            prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, data))
        return prober_fail(why, PROBER_ERR_IO, "cannot drop capabilities: %s", strerror(errno));
    if (keep_raw && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0))
        return prober_fail(why, PROBER_ERR_IO, "cannot pass CAP_NET_RAW on: %s", strerror(errno));
    return PROBER_OK;
}

static enum prober_error drop_privileges(const struct task_confinement *c,
                                         struct prober_failure *why)
{
    bool have_raw = process_has_net_raw();
    enum prober_error err = drop_capabilities(c->raw && have_raw, why);

    /* Without it, a file that grants CAP_NET_RAW has to be left its way. */
    if (err || (c->raw && !have_raw && !c->shell && !c->own))
        return err;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return prober_fail(why, PROBER_ERR_IO, "cannot set no_new_privs: %s", strerror(errno));
    err = task_landlock_apply(c->shell, c->own, why);
    return err == PROBER_ERR_UNSUPPORTED && !c->shell ? PROBER_OK : err;
}

enum prober_error task_confine(const struct task_confinement *c, struct prober_failure *why)
{
    enum prober_error err = drop_privileges(c, why);

    return err ? err : limit(c, why);
}
