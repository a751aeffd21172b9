/*
 * ticket_keys - keys that seal what a client keeps for the server (adapter of mbedtls).
 *
 * Purpose    A ticket lets an agent resume its session without a server that remembers it: the
 *            session's secret, sealed (ChaCha20-Poly1305, RFC 8439) by a key that only the server
 *            has. Keys are rotated, so that a stolen one opens the tickets of hours, not of years;
 *            they are kept in a file of mode 0600, so that agents resume after a restart too. What a
 *            key sealed it opens for as long as a ticket may live.
 * Threads    Any; ticket_keys_open and _close are main()'s.
 * Ownership  Copies what it is given.
 */
#ifndef COMMON_TICKET_KEYS_H
#define COMMON_TICKET_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define TICKET_LIFE_MAX_S INT64_C(86400)
#define TICKET_ROTATION_S INT64_C(43200)
#define TICKET_OVERHEAD 52 /* bytes by which a ticket is longer than what it holds */

struct ticket_keys;

/* Reads the keys from the file `path`, or makes new ones and writes it; NULL: they are not kept.
 * Errors: PROBER_ERR_NOMEM. Nothing else fails: when the file cannot be read or written, is damaged,
 * or can be read by others, there are new keys, why->code is not PROBER_OK and why->text says what
 * is wrong. */
enum prober_error ticket_keys_open(struct ticket_keys **out, const char *path, int64_t now_s,
                                   struct prober_failure *why);
/* Makes a new key when it is time, drops those of which no ticket can be left, and writes the file.
 * To be called now and then. Errors: of writing the file; the keys are then used all the same. */
enum prober_error ticket_keys_rotate(struct ticket_keys *keys, int64_t now_s,
                                     struct prober_failure *why);
/* Seals plain[len] into ticket[room] until expires_s (or a day from now, if that is earlier).
 * context[context_len], at most 64 bytes, is not in the ticket, but must be the same to open it.
 * plain may lie within ticket.
 * Errors: PROBER_ERR_RANGE (room, or expires_s has passed), _IO. */
enum prober_error ticket_keys_seal(struct ticket_keys *keys, int64_t now_s, int64_t expires_s,
                                   const void *context, size_t context_len, const void *plain,
                                   size_t len, unsigned char *ticket, size_t room,
                                   size_t *ticket_len);
/* Opens ticket[len] in place. Errors: PROBER_ERR_NOT_FOUND (sealed by no key that we have),
 * _PROTOCOL (not as it was sealed, or in another context), _TIMEOUT (expired). */
enum prober_error ticket_keys_unseal(struct ticket_keys *keys, int64_t now_s, const void *context,
                                     size_t context_len, unsigned char *ticket, size_t len,
                                     unsigned char **plain, size_t *plain_len);
void ticket_keys_close(struct ticket_keys *keys); /* NULL is fine */

#endif
