/*
 * local_server - the socket through which commands on the server's own host reach it.
 *
 * Purpose    A Unix socket of mode 0600, for root and the server's own user alone: the kernel says who
 *            is at the other end (SO_PEERCRED, unix(7)). A client sends one line and gets one line.
 *            Lines, clients and the time that one may take are bounded.
 * Threads    Its own: one, on which lines are handled one after another.
 * Ownership  Owns the socket and its file.
 */
#ifndef SERVERD_LOCAL_SERVER_H
#define SERVERD_LOCAL_SERVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/strbuf.h"

#define LOCAL_SOCKET_FILE "server.sock"
#define LOCAL_CLIENTS_MAX 8 /* further ones wait */

struct local_server;

struct local_server_config {
    const char *dir; /* where the socket is to be; exists */
    uint64_t timeout_ns; /* a line must have come within it, and the answer be taken */
    /* Appends the answer to line[len], which has no line's end, without one. */
    void (*handle)(void *context, uid_t uid, const char *line, size_t len, struct strbuf *answer);
    void *context;
};

/* Listens. A socket that a killed server left is replaced; one that is answered is not. Errors:
 * PROBER_ERR_IN_USE, _DENIED, _IO, _NOMEM with a sentence in *why. */
enum prober_error local_server_open(struct local_server **out,
                                    const struct local_server_config *config,
                                    struct prober_failure *why);
/* Ends what is under way, and removes the socket. NULL is fine. */
void local_server_close(struct local_server *server);

#endif
