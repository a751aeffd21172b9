#include "libprober/icmp_rounds.h"

#include <stdlib.h>

static bool append(struct icmp_rounds *r, uint32_t number)
{
    struct icmp_round *round = calloc(1, sizeof(*round));

    if (!round)
        return false;
    round->number = number;
    round->done_tail = &round->done;
    if (r->last)
        r->last->next = round;
    else
        r->first = round;
    r->last = round;
    return true;
}

enum prober_error icmp_rounds_create(struct icmp_rounds *r, uint32_t first_number,
                                     uint64_t window_ns)
{
    r->first_number = r->current = first_number;
    r->window_ns = window_ns;
    r->pairs = malloc(UINT16_MAX * sizeof(*r->pairs));
    if (!r->pairs || !append(r, first_number) || !append(r, first_number + 1))
        return PROBER_ERR_NOMEM;
    return PROBER_OK;
}

void icmp_rounds_start(struct icmp_rounds *r, uint64_t now_ns)
{
    r->base_ns = now_ns;
    r->started = true;
}

uint64_t icmp_rounds_start_ns(const struct icmp_rounds *r, uint32_t number)
{
    return r->base_ns + (uint64_t)(number - r->first_number) * r->window_ns;
}

static bool is_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

void icmp_rounds_roll(struct icmp_rounds *r, uint64_t now_ns)
{
    uint32_t number = r->first_number + (uint32_t)((now_ns - r->base_ns) / r->window_ns);

    if (r->finishing || !is_before(r->current, number))
        return;
    while (is_before(r->last->number, number + 1))
        if (!append(r, is_before(r->last->number, number) ? number : number + 1))
            return;
    r->current = number;
}

void icmp_rounds_finish(struct icmp_rounds *r)
{
    r->finishing = true;
}

struct icmp_round *icmp_rounds_find(const struct icmp_rounds *r, uint32_t number)
{
    struct icmp_round *round = r->first;

    while (round && round->number != number)
        round = round->next;
    return round;
}

void icmp_round_take(struct icmp_round *round, struct icmp_target_window *w)
{
    w->next = NULL;
    *round->done_tail = w;
    round->done_tail = &w->next;
    round->open--;
}

static void hand_out_window(struct icmp_rounds *r, const struct icmp_sink *sink,
                            struct icmp_target_window *w)
{
    struct icmp_window out;

    icmp_target_window_report(w, r->pairs, &out);
    w->target->open--;
    sink->window(sink->context, w->target->user, &out);
    free(w);
}

static bool is_complete(const struct icmp_rounds *r, const struct icmp_round *round)
{
    return r->started && round->scheduled == 0 && round->open == 0 &&
           (is_before(round->number, r->current) || r->finishing);
}

void icmp_rounds_hand_out(struct icmp_rounds *r, const struct icmp_sink *sink,
                          const struct clock_reading *now)
{
    while (r->first) {
        struct icmp_round *round = r->first;
        uint32_t number = round->number;

        while (round->done) {
            struct icmp_target_window *w = round->done;

            round->done = w->next;
            if (!round->done)
                round->done_tail = &round->done;
            hand_out_window(r, sink, w);
        }
        if (!is_complete(r, round))
            return;
        r->first = round->next;
        if (!r->first)
            r->last = NULL;
        free(round);
        /* The round after the last is there for its own sake, and not told. */
        if (!is_before(r->current, number))
            sink->window_end(sink->context, number, now);
    }
}

void icmp_rounds_destroy(struct icmp_rounds *r)
{
    while (r->first) {
        struct icmp_round *round = r->first;

        r->first = round->next;
        while (round->done) {
            struct icmp_target_window *w = round->done;

            round->done = w->next;
            free(w);
        }
        free(round);
    }
    free(r->pairs);
}
