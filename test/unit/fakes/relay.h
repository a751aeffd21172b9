/*
 * relay - carries bytes both ways between two connections, for fakes that stand in between.
 */
#ifndef TEST_FAKES_RELAY_H
#define TEST_FAKES_RELAY_H

#include <stddef.h>

/* One end: reads and writes as recv and send do. */
struct relay_end {
    int fd;
    long (*read)(void *context, char *bytes, size_t len);
    long (*write)(void *context, const char *bytes, size_t len);
    void *context;
};

/* A connection to a port on loopback; -1 when nobody is there. */
int relay_connect(const char *port);
/* An end that is the socket itself. */
struct relay_end relay_socket(int *fd);
/* Carries until one end closes, or `stop` is readable. */
void relay_run(struct relay_end a, struct relay_end b, int stop);

#endif
