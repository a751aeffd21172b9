#include "unit.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "libprober/trace_engine.h"

/* The engine on the sockets of this host. */

struct outcome {
    size_t done;
    enum trace_end end;
    struct trace_hop last;
    size_t hop_count;
    struct trace_flow flow;
};

static void on_done(void *context, void *user, const struct trace_report *r)
{
    struct outcome *o = context;

    (void)user;
    o->done++;
    o->end = r->end;
    o->hop_count = r->hop_count;
    o->flow = *r->flow;
    if (r->hop_count)
        o->last = r->hops[r->hop_count - 1];
}

static struct trace_engine *given_engine(struct outcome *o)
{
    const struct trace_sink sink = {on_done, o};
    const struct clock_reading now = clock_read();
    struct trace_engine *e = NULL;

    memset(o, 0, sizeof(*o));
    assert_int_equal(trace_engine_create(&e, 500, &sink, &now, NULL), PROBER_OK);
    return e;
}

/* Skips the test, and says why, where this host may not trace. */
static void add(struct trace_engine *e, const char *address, enum trace_protocol protocol)
{
    struct trace_target target = {
        .protocol = protocol,
        .port = TRACE_PORT_DEFAULT,
        .limits = {.count = 5, .max_hops = 5, .silent_max = 2, .timeout_ns = 5 * CLOCK_NS_PER_S},
        .interval_ns = CLOCK_NS_PER_MS,
    };
    const struct clock_reading now = clock_read();
    struct prober_failure why;
    enum prober_error err;

    assert_int_equal(prober_addr_parse(address, &target.address), PROBER_OK);
    err = trace_engine_add(e, &target, &now, &why);
    if (err == PROBER_ERR_DENIED || err == PROBER_ERR_UNSUPPORTED ||
        err == PROBER_ERR_UNREACHABLE) {
        print_message("%s\n", why.text);
        trace_engine_destroy(e);
        skip();
    }
    assert_int_equal(err, PROBER_OK);
}

static void run(struct trace_engine *e)
{
    while (trace_engine_running(e)) {
        const struct clock_reading now = clock_read();
        struct pollfd pfd = {.fd = trace_engine_fd(e), .events = POLLIN};
        uint64_t next_ns = trace_engine_step(e, &now);

        if (next_ns > now.mono_ns && trace_engine_running(e))
            poll(&pfd, 1, (int)((next_ns - now.mono_ns) / CLOCK_NS_PER_MS + 1));
    }
}

static void trace(const char *address, enum trace_protocol protocol)
{
    struct outcome o;
    struct trace_engine *e = given_engine(&o);
    struct trace_engine_counts counts;

    add(e, address, protocol);
    run(e);
    assert_int_equal(o.done, 1);
    assert_int_equal(o.end, TRACE_END_TARGET);
    assert_int_equal(o.hop_count, 1);
    assert_true(o.last.is_target);
    assert_true(o.last.received > 0);
    assert_true(o.last.rtt.min_ns > 0 && o.last.rtt.max_ns < 5 * CLOCK_NS_PER_S);
    assert_int_equal(o.flow.source.family, o.flow.target.family);
    trace_engine_counts(e, &counts);
    assert_int_equal(counts.drops, 0);
    trace_engine_destroy(e);
}

static void this_host_is_one_hop_away_by_icmp(void **state)
{
    (void)state;
    trace("127.0.0.1", TRACE_ICMP);
}

static void this_host_is_one_hop_away_by_icmpv6(void **state)
{
    (void)state;
    trace("::1", TRACE_ICMP);
}

/* The kernel limits the errors of a host to itself only where it is told to. */
static void this_host_is_one_hop_away_by_udp(void **state)
{
    (void)state;
    trace("127.0.0.1", TRACE_UDP);
}

static void this_host_is_one_hop_away_by_udp_over_ipv6(void **state)
{
    (void)state;
    trace("::1", TRACE_UDP);
}

static void a_source_port_is_free_again_after_its_trace(void **state)
{
    struct outcome o;
    struct trace_engine *e = given_engine(&o);
    struct sockaddr_storage name;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len;

    (void)state;
    add(e, "127.0.0.1", TRACE_UDP);
    trace_engine_stop(e);
    run(e);
    len = prober_addr_to_sockaddr(&o.flow.source, o.flow.identifier, &name);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, len), 0);
    close(fd);
    trace_engine_destroy(e);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_host_is_one_hop_away_by_icmp),
        cmocka_unit_test(this_host_is_one_hop_away_by_icmpv6),
        cmocka_unit_test(this_host_is_one_hop_away_by_udp),
        cmocka_unit_test(this_host_is_one_hop_away_by_udp_over_ipv6),
        cmocka_unit_test(a_source_port_is_free_again_after_its_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
