/*
 * proxy_server - a proxy of the test's own, on loopback: CONNECT or SOCKS 5, whichever it is asked
 *                for.
 * Whatever host it is asked for, it goes to loopback.
 *
 * Threads    Has one of its own, which serves one connection after the other.
 */
#ifndef TEST_FAKES_PROXY_SERVER_H
#define TEST_FAKES_PROXY_SERVER_H

enum proxy_behaviour {
    PROXY_WORKS,
    PROXY_REFUSES,   /* with 403, or SOCKS' "not allowed" */
    PROXY_IS_SILENT, /* takes what is asked and says nothing */
    PROXY_HANGS_UP
};

struct proxy_server;

/* Aborts when it cannot. */
struct proxy_server *proxy_server_start(enum proxy_behaviour behaviour);
const char *proxy_server_port(const struct proxy_server *s);
/* What it was asked last: the head of CONNECT, or "socks user:password host:port". */
const char *proxy_server_last(const struct proxy_server *s);
/* NULL is fine. */
void proxy_server_stop(struct proxy_server *s);

#endif
