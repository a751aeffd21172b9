/*
 * bench_channel - what trusted links cost: CPU of handshakes and bodies, memory of sessions.
 *
 * Purpose    Both ends run in this process, without a link; the server's part is timed by itself.
 */
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/channel_tls.h"

#define NOW INT64_C(1800000000)
#define HANDSHAKES 100
#define RESUMPTIONS 1000
#define BODIES 2000
#define BODY_LEN 8192
#define SESSIONS 1000
/* A handshake costs 7 ms on the machine that these were set on, which is also measured under load. */
#define HANDSHAKE_MS_MAX 20.0
#define RESUMPTION_MS_MAX 0.5
#define SESSION_KB_MAX 45.0

struct cost {
    double server_ms, client_ms;
};

static struct channel_server *server;
static struct channel_client *client;

static void must(enum prober_error err)
{
    if (!err)
        return;
    fprintf(stderr, "bench_channel: %s\n", prober_error_text(err));
    exit(1);
}

static double cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void make_ends(void)
{
    struct strbuf ca_key = STRBUF_INIT, ca = STRBUF_INIT, key = STRBUF_INIT, own = STRBUF_INIT;
    struct strbuf agent_key = STRBUF_INIT, agent = STRBUF_INIT, request = STRBUF_INIT;
    const struct prober_id id = {{1}};
    struct channel_server_config for_server;
    struct channel_client_config for_client;
    struct ticket_keys *tickets;
    struct pki_ca *authority;

    must(pki_ca_make(NOW, PKI_CA_LIFE_S, &ca_key, &ca));
    must(pki_ca_open(&authority, ca.bytes, ca_key.bytes, NULL));
    must(pki_ca_issue_server(authority, NOW, PKI_SERVER_LIFE_S, &key, &own, NULL));
    must(pki_make_key(&agent_key));
    must(pki_make_request(agent_key.bytes, &request, NULL));
    must(pki_ca_issue_agent(authority, request.bytes, request.len, &id, "eu", NOW, PKI_AGENT_LIFE_S,
                            &agent, NULL));
    must(ticket_keys_open(&tickets, NULL, NOW, NULL));
    for_server = (struct channel_server_config){
        .certificate = own.bytes, .key = key.bytes, .ca = ca.bytes, .tickets = tickets};
    for_client = (struct channel_client_config){
        .ca = ca.bytes, .certificate = agent.bytes, .key = agent_key.bytes};
    must(channel_server_open(&server, &for_server, NULL));
    must(channel_client_open(&client, &for_client, NULL));
}

static void shake_hands(struct channel **at_server, struct channel **at_client, struct cost *cost)
{
    struct strbuf up = STRBUF_INIT, down = STRBUF_INIT;
    double begin = cpu_ms(), end;

    must(channel_server_accept(server, at_server));
    end = cpu_ms();
    cost->server_ms += end - begin;
    begin = end;
    must(channel_client_connect(client, at_client));
    must(channel_handshake(*at_client, NULL, 0, NOW, &up, NULL));
    while (up.len) {
        end = cpu_ms();
        cost->client_ms += end - begin;
        must(channel_handshake(*at_server, up.bytes, up.len, NOW, &down, NULL));
        begin = cpu_ms();
        cost->server_ms += begin - end;
        must(channel_handshake(*at_client, down.bytes, down.len, NOW, &up, NULL));
    }
    cost->client_ms += cpu_ms() - begin;
    strbuf_free(&up);
    strbuf_free(&down);
}

static struct cost measure_handshakes(int count, bool resume)
{
    struct cost cost = {0, 0};

    for (int i = 0; i < count; i++) {
        struct channel *at_server, *at_client;

        if (!resume)
            channel_client_forget(client);
        shake_hands(&at_server, &at_client, &cost);
        if (channel_was_resumed(at_server) != resume)
            must(PROBER_ERR_STATE);
        channel_destroy(at_server);
        channel_destroy(at_client);
    }
    cost.server_ms /= count;
    cost.client_ms /= count;
    return cost;
}

static void measure_bodies(void)
{
    static char body[BODY_LEN];
    struct channel *at_server, *at_client;
    struct strbuf frame = STRBUF_INIT;
    struct cost unused = {0, 0};
    const void *opened;
    double begin;
    size_t len;

    shake_hands(&at_server, &at_client, &unused);
    begin = cpu_ms();
    for (int i = 0; i < BODIES; i++) {
        must(channel_seal(at_client, body, sizeof(body), &frame));
        must(channel_open(at_server, frame.bytes, frame.len, &opened, &len));
    }
    printf("channel: %d bytes sealed and opened: %.1f us\n", BODY_LEN,
           (cpu_ms() - begin) * 1e3 / BODIES);
    channel_destroy(at_server);
    channel_destroy(at_client);
    strbuf_free(&frame);
}

/* What the allocator gave out for the server's half of connections that have said something. */
static double session_kb(void)
{
    static struct channel *sessions[SESSIONS];
    struct strbuf frame = STRBUF_INIT;
    struct cost unused = {0, 0};
    size_t before, after;

    before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (int i = 0; i < SESSIONS; i++) {
        struct channel *at_client;
        const void *opened;
        size_t len;

        shake_hands(&sessions[i], &at_client, &unused);
        must(channel_seal(at_client, "a call", 6, &frame));
        must(channel_open(sessions[i], frame.bytes, frame.len, &opened, &len));
        must(channel_seal(sessions[i], "its answer", 10, &frame));
        channel_destroy(at_client);
    }
    strbuf_free(&frame);
    after = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (int i = 0; i < SESSIONS; i++)
        channel_destroy(sessions[i]);
    return (double)(after - before) / 1024 / SESSIONS;
}

static void tell(const char *name, double value, double limit)
{
    printf("bench: channel_%s %.2f %g %s\n", name, value, limit, value <= limit ? "ok" : "FAIL");
}

int main(void)
{
    struct cost full, resumed;

    make_ends();
    full = measure_handshakes(HANDSHAKES, false);
    resumed = measure_handshakes(RESUMPTIONS, true);
    printf(
        "channel: CPU of a handshake: server %.2f ms, client %.2f ms; resumed: %.3f ms, %.3f ms\n",
        full.server_ms, full.client_ms, resumed.server_ms, resumed.client_ms);
    measure_bodies();
    tell("handshake_server_ms", full.server_ms, HANDSHAKE_MS_MAX);
    tell("resumption_server_ms", resumed.server_ms, RESUMPTION_MS_MAX);
    tell("session_kb", session_kb(), SESSION_KB_MAX);
    return 0;
}
