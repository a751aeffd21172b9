#include "test/unit/fakes/fake_socket_owner.h"

#include "common/socket_owner.h"

bool fake_socket_owner_known;
uid_t fake_socket_owner_uid;
bool fake_socket_owner_own_address;

bool socket_owner(const struct prober_addr *peer, uint16_t peer_port, uint16_t port, uid_t *uid)
{
    (void)peer;
    (void)peer_port;
    (void)port;
    *uid = fake_socket_owner_uid;
    return fake_socket_owner_known;
}

bool socket_is_own_address(const struct prober_addr *addr)
{
    (void)addr;
    return fake_socket_owner_own_address;
}
