/* Requests of one other agent, number 7, have always just arrived. */
#include "libprober/icmp_arrivals.h"

static char nothing;

enum prober_error icmp_arrivals_create(struct icmp_arrivals **out, struct prober_failure *why)
{
    (void)why;
    *out = (struct icmp_arrivals *)&nothing;
    return PROBER_OK;
}

void icmp_arrivals_step(struct icmp_arrivals *a, uint64_t now_ns)
{
    (void)a;
    (void)now_ns;
}

size_t icmp_arrivals_take(struct icmp_arrivals *a, uint64_t now_ns, uint64_t quiet_ns,
                          struct icmp_arrival *out, size_t max)
{
    (void)a;
    (void)quiet_ns;
    if (max == 0)
        return 0;
    out[0] = (struct icmp_arrival){7, 3, 64, now_ns};
    return 1;
}

uint64_t icmp_arrivals_missed(const struct icmp_arrivals *a)
{
    (void)a;
    return 2;
}

void icmp_arrivals_destroy(struct icmp_arrivals *a)
{
    (void)a;
}
