/*
 * local_socket - the address of the server's Unix socket, and asking there.
 *
 * Purpose    A directory may have a path longer than a socket's address can be: the socket is
 *            addressed through the open directory.
 * Threads    Pure functions; any thread.
 */
#ifndef SERVERD_LOCAL_SOCKET_H
#define SERVERD_LOCAL_SOCKET_H

#include <stdint.h>
#include <sys/un.h>

#include "common/error.h"
#include "common/strbuf.h"

#define LOCAL_ANSWER_MAX (64u << 20)

/* Fills *out with the address of LOCAL_SOCKET_FILE in `dir`, valid while the descriptor that is
 * returned is open: the directory, or -1 (errno). */
int local_socket_address(const char *dir, struct sockaddr_un *out);
/* Sends line[len] to the server whose state directory is `dir`, and appends its answer, a line without
 * its end, to *answer; waits timeout_ns at most for it to go on. Errors: PROBER_ERR_NOT_FOUND (nobody
 * listens), _DENIED, _TIMEOUT, _PROTOCOL (no whole answer), _IO, _NOMEM with a sentence in *why that
 * says what to do. */
enum prober_error local_socket_ask(const char *dir, const char *line, size_t len,
                                   uint64_t timeout_ns, struct strbuf *answer,
                                   struct prober_failure *why);

#endif
