#include "libprober/moments.h"

#include <math.h>

void moments_add(struct moments *m, uint64_t rtt_ns)
{
    if (rtt_ns > MOMENTS_RTT_MAX_NS)
        rtt_ns = MOMENTS_RTT_MAX_NS;
    if (m->count == 0 || rtt_ns < m->min_ns)
        m->min_ns = rtt_ns;
    if (m->count == 0 || rtt_ns > m->max_ns)
        m->max_ns = rtt_ns;
    m->count++;
    m->sum_ns += rtt_ns;
    m->square_ns2 += (moments_square)rtt_ns * rtt_ns;
}

void moments_merge(struct moments *m, const struct moments *other)
{
    if (other->count == 0)
        return;
    if (m->count == 0 || other->min_ns < m->min_ns)
        m->min_ns = other->min_ns;
    if (m->count == 0 || other->max_ns > m->max_ns)
        m->max_ns = other->max_ns;
    m->count += other->count;
    m->sum_ns += other->sum_ns;
    m->square_ns2 += other->square_ns2;
}

double moments_mean_ns(const struct moments *m)
{
    return m->count ? (double)m->sum_ns / (double)m->count : 0.0;
}

/* sum((x - mean)^2) = sum(x^2) - sum(x)^2 / n. The subtraction must be exact, for the two can agree
 * in all but their last digits: with sum = q*n + r, sum^2 / n = q*(sum + r) + r^2 / n, where only
 * the last term is not a whole number. */
double moments_stddev_ns(const struct moments *m)
{
    uint64_t q, r;
    moments_square whole;
    double deviation;

    if (m->count == 0)
        return 0.0;
    q = m->sum_ns / m->count;
    r = m->sum_ns % m->count;
    whole = (moments_square)q * ((moments_square)m->sum_ns + r);
    if (m->square_ns2 <= whole)
        return 0.0;
    deviation = (double)(m->square_ns2 - whole) - (double)r * ((double)r / (double)m->count);
    return deviation > 0.0 ? sqrt(deviation / (double)m->count) : 0.0;
}

void jitter_add(struct jitter *j, uint64_t rtt_ns)
{
    if (j->seen > 0) {
        uint64_t d = rtt_ns > j->last_ns ? rtt_ns - j->last_ns : j->last_ns - rtt_ns;

        j->scaled_ns += d - ((j->scaled_ns + 8) >> 4);
    }
    j->last_ns = rtt_ns;
    j->seen++;
}

uint64_t jitter_ns(const struct jitter *j)
{
    return j->scaled_ns >> 4;
}
