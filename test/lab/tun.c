#include "test/lab/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static enum prober_error fail(struct prober_failure *why, const char *what, const char *name)
{
    int error = errno;
    enum prober_error code = PROBER_ERR_IO;

    if (error == ENOENT)
        code = PROBER_ERR_NOT_FOUND;
    else if (error == EPERM || error == EACCES)
        code = PROBER_ERR_DENIED;
    else if (error == EBUSY)
        code = PROBER_ERR_IN_USE;
    return prober_fail(why, code, "%s %s: %s", what, name, strerror(error));
}

static enum prober_error make_device(const char *name, int *out, struct prober_failure *why)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return fail(why, "cannot open", "/dev/net/tun");
    if (strlen(name) >= sizeof(request.ifr_name)) {
        close(fd);
        return prober_fail(why, PROBER_ERR_SYNTAX, "device name '%s' is too long", name);
    }
    strcpy(request.ifr_name, name);
    if (ioctl(fd, TUNSETIFF, &request) < 0) {
        enum prober_error err = fail(why, "cannot make device", name);

        close(fd);
        return err;
    }
    *out = fd;
    return PROBER_OK;
}

enum prober_error tun_open(const char *netns, const char *name, int *fd, struct prober_failure *why)
{
    char path[PATH_MAX];
    enum prober_error err;
    int home, away;

    if (strcmp(netns, "-") == 0)
        return make_device(name, fd, why);
    snprintf(path, sizeof(path), "/run/netns/%s", netns);
    home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    away = open(path, O_RDONLY | O_CLOEXEC);
    if (home < 0 || away < 0 || setns(away, CLONE_NEWNET) < 0) {
        err = fail(why, "cannot enter namespace", netns);
        goto out;
    }
    err = make_device(name, fd, why);
    if (setns(home, CLONE_NEWNET) < 0)
        abort(); /* every later device would land in a namespace where nobody looks for it */
out:
    if (home >= 0)
        close(home);
    if (away >= 0)
        close(away);
    return err;
}
