/*
 * fuzz_control - agents that mean ill say hello and sync: registry, plan and directory.
 *
 * The input is a row of requests: one byte for who sends it, two for the length (big-endian), the
 * encoded request. Whatever they are, every answer can be decoded, no address is probed that must
 * not be, nobody is told to probe itself, and only who is on the loopback is told secrets.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "serverd/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONNECTIONS 6
#define TRUSTED 4 /* the first connection whose callers proved who they are */

static const char *const peers[CONNECTIONS] = {"127.0.0.1", "10.0.0.1", "198.51.100.7",
                                               "fd00::1",   "10.0.0.2", "2001:db8::2"};

static const char probe_file[] =
    "prober_configs:\n"
    "- {prober_type: http, region: web, http: {bearer_token: hush}, targets: [a]}\n"
    "- {prober_type: http, region: web, source_regions: ['=~c.*'], targets: ['http://u:hush@b/']}\n"
    "- {prober_type: http, region: web, targets: [a, c]}\n";

struct scene {
    struct control *control;
    struct directory_board *board;
    struct session *sessions[CONNECTIONS];
    struct clock_reading now;
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void set_up(struct scene *s)
{
    struct control_config config = {.server_id = {{1}},
                                    .server_boot = {{2}},
                                    .heartbeat_ns = CLOCK_NS_PER_S,
                                    .aggregation_interval_ns = CLOCK_NS_PER_S};
    struct control_change change = {
        .registry = {.alive_ns = 3 * CLOCK_NS_PER_S,
                     .forget_ns = 9 * CLOCK_NS_PER_S,
                     .clone_ns = CLOCK_NS_PER_S,
                     .accept_plain = true,
                     .agents_max = 5,
                     .agents_per_source = 3},
        .plan = {.dynamic = true,
                 .probe_self = true,
                 .full_below = 3,
                 .agents_per_pair = 1,
                 .targets_per_pair = 1,
                 .rotate_ns = 60 * CLOCK_NS_PER_S},
    };
    struct log_config quiet = {.program = "fuzz", .level = LOG_PANIC};
    struct prober_failure why;
    struct problems *problems;

    must(log_open(&quiet, &why) == PROBER_OK);
    must(problems_create(&problems) == PROBER_OK);
    must(probe_spec_read_text(&change.spec, "p.yaml", probe_file, sizeof(probe_file) - 1,
                              problems) == PROBER_OK);
    problems_destroy(problems);
    s->now = (struct clock_reading){CLOCK_NS_PER_S, 1000 * CLOCK_NS_PER_S, CLOCK_NS_PER_S};
    must(directory_board_create(&s->board) == PROBER_OK);
    config.board = s->board;
    must(control_create(&s->control, &config, &change, &s->now) == PROBER_OK);
}

static void tear_down(struct scene *s)
{
    for (size_t i = 0; i < CONNECTIONS; i++)
        session_put(s->sessions[i]);
    control_destroy(s->control);
    directory_board_destroy(s->board);
}

static void check_addresses(struct scene *s)
{
    struct directory *d = directory_get(s->board);

    must(d->agent_count <= 10);
    for (size_t i = 0; i < d->agent_count; i++)
        for (size_t k = 0; k < d->agents[i].address_count; k++)
            switch (prober_addr_classify(&d->agents[i].addresses[k])) {
            case PROBER_ADDR_UNSPECIFIED:
            case PROBER_ADDR_MULTICAST:
            case PROBER_ADDR_BROADCAST:
            case PROBER_ADDR_LINK_LOCAL:
                abort();
            default:
                break;
            }
    directory_put(d);
}

/* `session` is who asks: none of its agent's addresses is in the plan. */
static void check_plan(struct scene *s, const struct session *session,
                       const struct wire_sync_reply *sync)
{
    struct directory *d = directory_get(s->board);
    char own[PROBER_ADDR_TEXT_MAX];

    for (size_t i = 0; i < d->agent_count; i++)
        for (size_t k = 0; k < d->agents[i].address_count; k++) {
            if (d->agents[i].number != session->agent_number)
                continue;
            prober_addr_format(&d->agents[i].addresses[k], own);
            for (size_t e = 0; e < sync->plan.entry_count; e++)
                for (size_t t = 0; t < sync->plan.entries[e].target_count; t++)
                    must(strcmp(sync->plan.entries[e].targets[t], own) != 0);
        }
    directory_put(d);
}

/* No plain agent is where others proved who they are. */
static void check_joined(struct scene *s)
{
    struct directory *d = directory_get(s->board);

    for (size_t i = 1; i < d->agent_count; i++) /* by region */
        must(strcmp(d->agents[i].region, d->agents[i - 1].region) != 0 ||
             d->agents[i].trusted == d->agents[i - 1].trusted);
    directory_put(d);
}

static void check_secrets(const struct wire_plan *plan, const struct control_call *call)
{
    for (size_t e = 0; e < plan->entry_count; e++) {
        bool secret = strstr(plan->entries[e].http.block, "hush") != NULL;

        for (size_t t = 0; t < plan->entries[e].target_count; t++)
            secret = secret || strstr(plan->entries[e].targets[t], "hush");
        must(!secret || call->trusted || prober_addr_classify(&call->peer) == PROBER_ADDR_LOOPBACK);
    }
}

static void ask(struct scene *s, size_t connection, const struct wire_request *request)
{
    struct control_call call = {
        .request = request, .session = s->sessions[connection], .trusted = connection >= TRUSTED};
    struct strbuf body = STRBUF_INIT;
    struct wire_reply reply;
    bool hint;

    must(prober_addr_parse(peers[connection], &call.peer) == PROBER_OK);
    must(control_answer(s->control, &call, &s->now, &body) == PROBER_OK);
    must(wire_reply_decode(body.bytes, body.len, &reply, NULL) == PROBER_OK);
    must((call.made != NULL) == (reply.call == WIRE_HELLO));
    if (call.made) {
        session_put(s->sessions[connection]);
        s->sessions[connection] = call.made;
    }
    s->now.mono_ns += CLOCK_NS_PER_S / 2;
    s->now.real_ns += CLOCK_NS_PER_S / 2;
    control_step(s->control, &s->now, &hint);
    check_addresses(s);
    check_joined(s);
    if (reply.call == WIRE_SYNC)
        check_plan(s, s->sessions[connection], &reply.as.sync);
    if (reply.call == WIRE_SYNC)
        check_secrets(&reply.as.sync.plan, &call);
    wire_reply_free(&reply);
    strbuf_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene = {.control = NULL};

    set_up(&scene);
    while (size >= 3) {
        size_t connection = data[0] % CONNECTIONS, len = (size_t)data[1] << 8 | data[2];
        struct wire_request request;

        data += 3;
        size -= 3;
        if (len > size)
            len = size;
        if (wire_request_decode(data, len, &request, NULL) == PROBER_OK) {
            if (request.call == WIRE_HELLO || request.call == WIRE_SYNC)
                ask(&scene, connection, &request);
            wire_request_free(&request);
        }
        data += len;
        size -= len;
    }
    tear_down(&scene);
    return 0;
}
