#include "common/crowd.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PEERS_MAX 4096 /* more connections than any web server serves at a time */

struct peers {
    struct prober_addr seen[PEERS_MAX];
    size_t count;
};

static bool comes_to(int fd, uint16_t port)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    struct prober_addr own;
    uint16_t own_port;

    return getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
           prober_addr_from_sockaddr((const struct sockaddr *)&sa, &own, &own_port) == PROBER_OK &&
           own_port == port;
}

static bool find_peer(int fd, struct prober_addr *peer)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    if (getpeername(fd, (struct sockaddr *)&sa, &len) ||
        prober_addr_from_sockaddr((const struct sockaddr *)&sa, peer, NULL))
        return false;
    *peer = prober_addr_unmap(peer);
    return true;
}

/* Notes one connection more of the peer, and tells whether that is one too many. */
static bool is_too_many(struct peers *peers, const struct prober_addr *peer, size_t most)
{
    size_t held = 0;

    for (size_t i = 0; i < peers->count; i++)
        held += prober_addr_equal(&peers->seen[i], peer);
    if (held >= most)
        return true;
    if (peers->count < PEERS_MAX)
        peers->seen[peers->count++] = *peer;
    return false;
}

size_t crowd_thin(uint16_t port, size_t most,
                  bool (*spared)(void *context, const struct prober_addr *peer), void *context)
{
    struct peers *peers = calloc(1, sizeof(*peers));
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    size_t ended = 0;

    while (peers && dir && (entry = readdir(dir))) {
        int fd = atoi(entry->d_name), held;
        struct prober_addr peer;

        if (entry->d_name[0] == '.' || !comes_to(fd, port))
            continue;
        held = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* the number may be another's by now: look again */
        if (held < 0)
            continue;
        if (comes_to(held, port) && find_peer(held, &peer) &&
            !(spared && spared(context, &peer)) && is_too_many(peers, &peer, most)) {
            shutdown(held, SHUT_RDWR);
            ended++;
        }
        close(held);
    }
    if (dir)
        closedir(dir);
    free(peers);
    return ended;
}
