#include "common/socket_owner.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/array.h"

#define ESTABLISHED 1 /* TCP_ESTABLISHED of linux/tcp_states.h, as the tables show it */

struct entry {
    char local[33];
    unsigned local_port, remote_port, state;
    unsigned long uid, inode;
};

/* "sl: local:port remote:port state tx:rx timer:when retransmits uid timeout inode …" */
static bool read_entry(const char *line, struct entry *e)
{
    return sscanf(line, " %*d: %32[0-9A-F]:%x %*32[0-9A-F]:%x %x %*s %*s %*s %lu %*u %lu", e->local,
                  &e->local_port, &e->remote_port, &e->state, &e->uid, &e->inode) == 6;
}

/* An address as the tables have it: 32 bits at a time, in this host's order of bytes. */
static bool read_address(const char *hex, struct prober_addr *out)
{
    size_t words = strlen(hex) / 8;
    uint32_t word;

    if (words != 1 && words != 4)
        return false;
    *out = (struct prober_addr){.family = words == 1 ? PROBER_FAMILY_IPV4 : PROBER_FAMILY_IPV6};
    for (size_t i = 0; i < words; i++) {
        if (sscanf(hex + 8 * i, "%8" SCNx32, &word) != 1)
            return false;
        memcpy(out->bytes + 4 * i, &word, sizeof(word));
    }
    *out = prober_addr_unmap(out);
    return true;
}

static bool find_in(const char *path, const struct prober_addr *peer, uint16_t peer_port,
                    uint16_t port, uid_t *uid)
{
    FILE *table = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    bool found = false;
    struct entry e;
    struct prober_addr local;

    while (table && !found && getline(&line, &room, table) > 0)
        found = read_entry(line, &e) && e.local_port == peer_port && e.remote_port == port &&
                e.state == ESTABLISHED && e.inode != 0 && read_address(e.local, &local) &&
                prober_addr_equal(&local, peer);
    if (found)
        *uid = (uid_t)e.uid;
    free(line);
    if (table)
        fclose(table);
    return found;
}

bool socket_owner(const struct prober_addr *peer, uint16_t peer_port, uint16_t port, uid_t *uid)
{
    static const char *const tables[] = {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"};
    struct prober_addr plain = prober_addr_unmap(peer);

    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        if (find_in(tables[i], &plain, peer_port, port, uid))
            return true;
    return false;
}

bool socket_is_own_address(const struct prober_addr *addr)
{
    struct prober_addr plain = prober_addr_unmap(addr), own = {.family = PROBER_FAMILY_NONE};
    struct sockaddr_storage sa;
    socklen_t len = prober_addr_to_sockaddr(&plain, 9, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    /* Connecting a datagram socket sends nothing, but chooses the address to send from. */
    if (connect(fd, (const struct sockaddr *)&sa, len) == 0) {
        len = sizeof(sa);
        if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
            prober_addr_from_sockaddr((const struct sockaddr *)&sa, &own, NULL);
    }
    close(fd);
    return prober_addr_equal(&own, &plain);
}
