/*
 * wire_join - the messages by which an agent comes to its certificate; a part of common/wire.h.
 *
 * Purpose    `join` is the one call of a connection that came to join: it brings the secret of a
 *            token and a request for a certificate. `renew` brings a new request over a trusted
 *            link. Both are answered with the certificate.
 * Threads    Plain data.
 * Ownership  As in wire.h: a decoded message owns what these point to.
 */
#ifndef COMMON_WIRE_JOIN_H
#define COMMON_WIRE_JOIN_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_JOIN_SECRET_LEN 16
#define WIRE_CERTIFICATE_REQUEST_MAX 4096 /* bytes, DER */
#define WIRE_CERTIFICATE_MAX 16384        /* bytes, PEM */

/* Agent id and boot id of the request are the caller's own and mean nothing here. */
struct wire_join {
    const uint8_t *secret;  /* [WIRE_JOIN_SECRET_LEN] */
    const uint8_t *request; /* [request_len], 1..WIRE_CERTIFICATE_REQUEST_MAX; PKCS #10, DER */
    size_t request_len;
    const char *region; /* ""; or the one that the agent wants, where its token leaves that open */
    const char *version;
};

struct wire_join_reply {
    const char *certificate; /* PEM, 1..WIRE_CERTIFICATE_MAX bytes, its lines ended by '\n' */
};

struct wire_renew {
    const uint8_t *request; /* as in wire_join */
    size_t request_len;
};

struct wire_renew_reply {
    const char *certificate; /* as in wire_join_reply */
};

#endif
