#include "common/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"

/* Fills *to from NOTIFY_SOCKET and returns its length; 0 when there is no usable one. */
static socklen_t manager_address(struct sockaddr_un *to)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;

    if (len < 2 || len >= sizeof(to->sun_path) || (*path != '/' && *path != '@'))
        return 0;
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(to->sun_path, path, len);
    if (*path == '@')
        to->sun_path[0] = '\0'; /* the abstract namespace, unix(7) */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

void notify_state(const char *state)
{
    struct sockaddr_un to;
    socklen_t len = manager_address(&to);
    int sock;

    if (len == 0)
        return;
    sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock < 0)
        return;
    (void)!sendto(sock, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, len);
    close(sock);
}

static uint64_t number_in_environment(const char *name)
{
    const char *text = getenv(name);
    char *end;
    unsigned long long value;

    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    value = strtoull(text, &end, 10);
    return errno || *end ? 0 : value;
}

uint64_t notify_watchdog_period_ns(void)
{
    uint64_t usec = number_in_environment("WATCHDOG_USEC");

    if (getenv("WATCHDOG_PID") && number_in_environment("WATCHDOG_PID") != (uint64_t)getpid())
        return 0;
    if (usec > UINT64_MAX / CLOCK_NS_PER_US)
        return 0;
    return usec * CLOCK_NS_PER_US / 2;
}
