/*
 * dns_server - a DNS server of the test's own, on loopback, that misbehaves when told to.
 *
 * Threads    Has one of its own; start and stop belong to the test.
 * Ownership  Borrows the records until stopped.
 */
#ifndef TEST_FAKES_DNS_SERVER_H
#define TEST_FAKES_DNS_SERVER_H

#include <stdbool.h>

enum dns_behaviour {
    DNS_ANSWERS,
    DNS_IS_SILENT,    /* no reply at all */
    DNS_FAILS,        /* SERVFAIL */
    DNS_REFUSES,      /* REFUSED */
    DNS_TRUNCATES,    /* over UDP; over TCP it answers */
    DNS_SENDS_GARBAGE /* a reply cut short after its header */
};

/* What is known of a name; a name without a record does not exist (NXDOMAIN). */
struct dns_record {
    const char *name;
    const char *a;    /* IPv4 addresses, separated by blanks; NULL: none */
    const char *aaaa; /* IPv6 addresses, likewise */
    enum dns_behaviour on_a, on_aaaa;
};

struct dns_server;

/* Starts answering from records[] (a record without a name ends them). Aborts when it cannot. */
struct dns_server *dns_server_start(const struct dns_record *records);
/* "127.0.0.1:PORT". */
const char *dns_server_address(const struct dns_server *s);
/* How many questions it got. */
unsigned dns_server_questions(const struct dns_server *s);
void dns_server_stop(struct dns_server *s);

#endif
