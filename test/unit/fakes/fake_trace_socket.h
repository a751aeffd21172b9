/*
 * fake_trace_socket - sockets that send nothing, remember the probes they were given, and receive what
 *                     the test lays before them.
 */
#ifndef FAKE_TRACE_SOCKET_H
#define FAKE_TRACE_SOCKET_H

#include "libprober/trace_socket.h"

#define FAKE_PROBES_MAX 4096
#define FAKE_MESSAGE_MAX 256

struct fake_probe {
    struct trace_flow flow;
    uint8_t ttl;
    uint8_t packet[TRACE_PACKET_SIZE];
    uint64_t real_ns;
};

struct fake_hosts {
    struct fake_probe sent[FAKE_PROBES_MAX];
    size_t sent_count;
    uint64_t real_ns; /* the clock while sending; 0: the true one */
    int refuse_with;  /* errno of the next `refusals` probes */
    size_t refusals;
    uint32_t drops;
    size_t ears, mouths; /* open */
    uint16_t block;
    bool denied, no_route;
};

extern struct fake_hosts fake_hosts;

/* Forgets all. */
void fake_hosts_reset(void);

/* An ICMP message on its way in: to be changed at will, then sealed (IPv4) and delivered. */
struct fake_message {
    struct prober_addr from;
    uint64_t real_ns;
    uint8_t bytes[FAKE_MESSAGE_MAX];
    size_t len;
};

/* An error of that type and code that quotes `quoted` bytes of the probe beyond its IP header. */
struct fake_message fake_error(const struct fake_probe *probe, const char *from, uint8_t type,
                               uint8_t code, size_t quoted, uint64_t real_ns);
/* The echo reply of the target. */
struct fake_message fake_echo_reply(const struct fake_probe *probe, uint64_t real_ns);
void fake_seal(struct fake_message *m);
void fake_deliver_message(const struct fake_message *m);

#endif
