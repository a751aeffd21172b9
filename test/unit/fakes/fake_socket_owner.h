/*
 * fake_socket_owner - says whose a socket is, as the test wants it.
 */
#ifndef FAKE_SOCKET_OWNER_H
#define FAKE_SOCKET_OWNER_H

#include <stdbool.h>
#include <sys/types.h>

extern bool fake_socket_owner_known; /* false: the socket is not this host's */
extern uid_t fake_socket_owner_uid;
extern bool fake_socket_owner_own_address;

#endif
