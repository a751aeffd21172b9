/*
 * socket_owner - whether this host, and which of its users, holds the other end of a connection.
 *
 * Purpose    Looked up in the kernel's tables of sockets, proc(5), of the caller's network
 *            namespace. A connection whose other end is closed already has no owner: the kernel
 *            shows such sockets as root's.
 * Threads    Any.
 */
#ifndef COMMON_SOCKET_OWNER_H
#define COMMON_SOCKET_OWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/addr.h"

/* Stores the user of the established connection from `peer`:`peer_port` to our port `port`. False
 * when there is none, or its owner cannot be told. */
bool socket_owner(const struct prober_addr *peer, uint16_t peer_port, uint16_t port, uid_t *uid);
/* True when a connection from the address comes from this host: the kernel would answer it from the
 * same address. Cheap, whoever asks. */
bool socket_is_own_address(const struct prober_addr *addr);

#endif
