#include "agentd/wakeup.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

enum prober_error wakeup_open(struct wakeup *w, struct prober_failure *why)
{
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->fd < 0)
        return prober_fail(why, PROBER_ERR_IO, "cannot make an eventfd: %s", strerror(errno));
    return PROBER_OK;
}

void wakeup_signal(struct wakeup *w)
{
    uint64_t one = 1;

    /* It fails only when 2^64-2 signals wait: then the sleeper is woken anyway. */
    if (write(w->fd, &one, sizeof(one)) < 0)
        return;
}

void wakeup_wait(struct wakeup *w, int other_fd, uint64_t timeout_ns)
{
    struct pollfd fds[2] = {{.fd = w->fd, .events = POLLIN}, {.fd = other_fd, .events = POLLIN}};
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / CLOCK_NS_PER_S),
                               .tv_nsec = (long)(timeout_ns % CLOCK_NS_PER_S)};
    uint64_t signals;

    if (ppoll(fds, 2, &timeout, NULL) > 0 && (fds[0].revents & POLLIN) &&
        read(w->fd, &signals, sizeof(signals)) < 0)
        return;
}

void wakeup_close(struct wakeup *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}
