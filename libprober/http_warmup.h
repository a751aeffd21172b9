/*
 * http_warmup - has the first probe over TLS measure no more than the later ones (adapter of OpenSSL).
 *
 * Purpose    The first handshake of a process takes some 5 ms more than the next, for all that OpenSSL
 *            looks up and loads then. Who measures only once makes one in memory before.
 * Threads    Any; once a process is enough.
 */
#ifndef LIBPROBER_HTTP_WARMUP_H
#define LIBPROBER_HTTP_WARMUP_H

#include <stdbool.h>

/* True when the handshake was completed. If not, the first probe only takes longer. */
bool http_warm_up(void);

#endif
