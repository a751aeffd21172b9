#include "test/lab/path.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/duration.h"

#define CHANCE_ALWAYS (UINT64_C(1) << 32)
#define THROWS 3

static const struct path_settings defaults = {
    .reorder_by_ns = 10 * CLOCK_NS_PER_MS,
    .error_rate = 100,
    .error_quote = 8,
    .hops = 1,
    .mute = CHANCE_ALWAYS,
};

static const char *const scope_names[] = {"any", "icmp", "request", "reply", "rest"};

static enum prober_error parse_delay(const char *text, void *field)
{
    uint64_t ns;

    if (duration_parse(text, &ns) || ns > PATH_DELAY_MAX_NS)
        return PROBER_ERR_SYNTAX;
    *(uint64_t *)field = ns;
    return PROBER_OK;
}

static enum prober_error parse_chance(const char *text, void *field)
{
    char *end;
    double percent = strtod(text, &end);

    if (end == text || strcmp(end, "%") != 0 || !(percent >= 0 && percent <= 100))
        return PROBER_ERR_SYNTAX;
    *(path_chance *)field = (path_chance)(percent / 100 * (double)CHANCE_ALWAYS + 0.5);
    return PROBER_OK;
}

static enum prober_error parse_switch(const char *text, void *field)
{
    bool on = strcmp(text, "on") == 0;

    if (!on && strcmp(text, "off") != 0)
        return PROBER_ERR_SYNTAX;
    *(bool *)field = on;
    return PROBER_OK;
}

static enum prober_error parse_scope(const char *text, void *field)
{
    for (size_t i = 0; i < ARRAY_LEN(scope_names); i++) {
        if (strcmp(text, scope_names[i]) != 0)
            continue;
        *(int *)field = (int)i;
        return PROBER_OK;
    }
    return PROBER_ERR_SYNTAX;
}

static enum prober_error parse_number(const char *text, uint64_t min, uint64_t max, void *field)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end || value < min || value > max)
        return PROBER_ERR_SYNTAX;
    *(uint64_t *)field = value;
    return PROBER_OK;
}

static enum prober_error parse_rate(const char *text, void *field)
{
    return parse_number(text, 0, 1000000, field);
}

static enum prober_error parse_quote(const char *text, void *field)
{
    return parse_number(text, 8, PACKET_QUOTE_MAX, field);
}

static enum prober_error parse_hops(const char *text, void *field)
{
    return parse_number(text, 1, PATH_HOPS_MAX, field);
}

static enum prober_error parse_hop(const char *text, void *field)
{
    return parse_number(text, 0, PATH_HOPS_MAX, field);
}

static void print_delay(const void *field, struct strbuf *out)
{
    char text[DURATION_TEXT_MAX];

    strbuf_puts(out, duration_format(*(const uint64_t *)field, text));
}

static void print_chance(const void *field, struct strbuf *out)
{
    strbuf_printf(out, "%.6g%%", (double)*(const path_chance *)field * 100 / (double)CHANCE_ALWAYS);
}

static void print_switch(const void *field, struct strbuf *out)
{
    strbuf_puts(out, *(const bool *)field ? "on" : "off");
}

static void print_scope(const void *field, struct strbuf *out)
{
    strbuf_puts(out, scope_names[*(const int *)field]);
}

static void print_number(const void *field, struct strbuf *out)
{
    strbuf_put_u64(out, *(const uint64_t *)field);
}

static const struct setting {
    const char *key;
    const char *expected;
    enum prober_error (*parse)(const char *text, void *field);
    void (*print)(const void *field, struct strbuf *out);
    size_t offset;
} settings[] = {
#define SETTING(key, expected, parse, print, member)                                               \
    {                                                                                              \
        key, expected, parse, print, offsetof(struct path_settings, member)                        \
    }
    SETTING("delay", "a duration up to 60s, such as 80ms", parse_delay, print_delay, delay_ns),
    SETTING("jitter", "a duration up to 60s, such as 5ms", parse_delay, print_delay, jitter_ns),
    SETTING("loss", "a percentage such as 20%", parse_chance, print_chance, loss),
    SETTING("duplicate", "a percentage such as 1%", parse_chance, print_chance, duplicate),
    SETTING("reorder", "a percentage such as 5%", parse_chance, print_chance, reorder),
    SETTING("reorder-by", "a duration up to 60s, such as 10ms", parse_delay, print_delay,
            reorder_by_ns),
    SETTING("corrupt", "a percentage such as 1%", parse_chance, print_chance, corrupt),
    SETTING("damage", "a percentage such as 1%", parse_chance, print_chance, damage),
    SETTING("blackhole", "on or off", parse_switch, print_switch, blackhole),
    SETTING("unreachable", "on or off", parse_switch, print_switch, unreachable),
    SETTING("only", "any, icmp, request, reply or rest", parse_scope, print_scope, only),
    SETTING("error-rate", "errors a second, 0 to 1000000", parse_rate, print_number, error_rate),
    SETTING("error-quote", "bytes, 8 to 1232", parse_quote, print_number, error_quote),
    SETTING("hops", "1 to 30", parse_hops, print_number, hops),
    SETTING("loss-hop", "0 to 30", parse_hop, print_number, loss_hop),
    SETTING("mute-hop", "0 to 30", parse_hop, print_number, mute_hop),
    SETTING("mute", "a percentage such as 50%", parse_chance, print_chance, mute),
#undef SETTING
};

void path_settings_defaults(struct path_settings *s)
{
    *s = defaults;
}

enum prober_error path_settings_set(struct path_settings *s, const char *key, const char *value,
                                    struct prober_failure *why)
{
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        if (strcmp(key, settings[i].key) != 0)
            continue;
        if (settings[i].parse(value, (char *)s + settings[i].offset))
            return prober_fail(why, PROBER_ERR_SYNTAX, "%s: expected %s, got '%s'", key,
                               settings[i].expected, value);
        return PROBER_OK;
    }
    return prober_fail(why, PROBER_ERR_UNKNOWN_KEY, "'%s' is no setting of a path", key);
}

void path_settings_print(const struct path_settings *s, struct strbuf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        strbuf_printf(out, " %s ", settings[i].key);
        settings[i].print((const char *)s + settings[i].offset, out);
    }
}

void path_counters_print(const struct path *p, struct strbuf *out)
{
#define PATH_COUNTER_PRINT(name, help)                                                             \
    if (p->counters[i].name)                                                                       \
        strbuf_printf(out, " %s." #name "=%llu", packet_class_names[i],                            \
                      (unsigned long long)p->counters[i].name);
    for (size_t i = 0; i < PACKET_CLASS_COUNT; i++) {
        PATH_COUNTERS(PATH_COUNTER_PRINT)
    }
#undef PATH_COUNTER_PRINT
}

/* SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static uint64_t throw_dice(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t mix_text(uint64_t state, const char *text)
{
    for (; *text; text++)
        state = throw_dice(&state) ^ (uint8_t)*text;
    return throw_dice(&state);
}

void path_init(struct path *p, uint64_t seed, const char *source, const char *destination)
{
    *p = (struct path){.settings = defaults};
    seed = mix_text(mix_text(seed, source), destination);
    for (size_t i = 0; i < PACKET_CLASS_COUNT; i++)
        p->dice[i] = throw_dice(&seed);
    p->router_dice = throw_dice(&seed);
}

static bool is_hit(const struct path_settings *s, enum packet_class class)
{
    switch (s->only) {
    case PATH_ICMP:
        return class != PACKET_REST;
    case PATH_REQUEST:
        return class == PACKET_REQUEST;
    case PATH_REPLY:
        return class == PACKET_REPLY;
    case PATH_REST:
        return class == PACKET_REST;
    default:
        return true;
    }
}

static uint64_t delay_of(const struct path_settings *s, uint64_t dice)
{
    uint64_t swing = dice >> 40, delay = s->delay_ns + (swing * (2 * s->jitter_ns) >> 24);

    return delay > s->jitter_ns ? delay - s->jitter_ns : 0;
}

/* Both halves of each throw are used: six chances and the bit to invert come of three throws. */
static struct path_fate decide_delivery(struct path *p, struct path_counters *n,
                                        const uint64_t dice[THROWS], uint64_t now_ns, bool hit)
{
    const struct path_settings *s = &p->settings;
    struct path_fate fate = {.verdict = PATH_DELIVER, .dice = dice[2]};
    uint64_t depart = now_ns + delay_of(s, dice[1]);

    fate.duplicate = hit && (dice[0] >> 32) < s->duplicate;
    fate.corrupt = hit && (uint32_t)dice[1] < s->corrupt;
    fate.damage = hit && !fate.corrupt && (dice[2] >> 32) < s->damage;
    n->duplicated += fate.duplicate;
    if (hit && (uint32_t)(dice[2] * UINT64_C(0x9e3779b97f4a7c15) >> 32) < s->reorder) {
        fate.depart_ns = depart + s->reorder_by_ns;
        n->reordered++;
        return fate;
    }
    if (depart < p->last_depart_ns && s->jitter_ns)
        depart = p->last_depart_ns;
    p->last_depart_ns = depart;
    fate.depart_ns = depart;
    return fate;
}

struct path_fate path_decide(struct path *p, enum packet_class class, uint64_t now_ns)
{
    const struct path_settings *s = &p->settings;
    struct path_counters *n = &p->counters[class];
    bool hit = is_hit(s, class);
    struct path_fate drop = {.verdict = PATH_DROP, .depart_ns = now_ns + s->delay_ns};
    uint64_t dice[THROWS];

    for (size_t i = 0; i < THROWS; i++)
        dice[i] = throw_dice(&p->dice[class]);
    n->seen++;
    if (hit && s->blackhole) {
        n->blackholed++;
        return drop;
    }
    if (hit && s->unreachable) {
        n->unreachable++;
        drop.verdict = PATH_UNREACHABLE;
        return drop;
    }
    if (hit && (uint32_t)dice[0] < s->loss) {
        n->lost++;
        return drop;
    }
    return decide_delivery(p, n, dice, now_ns, hit);
}

bool path_loses_before(struct path *p, enum packet_class class, unsigned hop)
{
    const struct path_settings *s = &p->settings;

    if (s->loss_hop == 0 || hop < s->loss_hop || !is_hit(s, class) ||
        (uint32_t)throw_dice(&p->router_dice) >= s->loss)
        return false;
    p->counters[class].lost++;
    return true;
}

bool path_is_mute(struct path *p, unsigned hop)
{
    return hop == p->settings.mute_hop && (uint32_t)throw_dice(&p->router_dice) < p->settings.mute;
}

/* A bucket of one second's tokens, kept as the time at which it was empty. */
bool path_take_error(struct path *p, uint64_t now_ns)
{
    uint64_t rate = p->settings.error_rate, gap;

    if (!rate)
        return false;
    gap = CLOCK_NS_PER_S / rate;
    if (now_ns > CLOCK_NS_PER_S && p->error_tokens_ns < now_ns - CLOCK_NS_PER_S)
        p->error_tokens_ns = now_ns - CLOCK_NS_PER_S;
    if (p->error_tokens_ns + gap > now_ns)
        return false;
    p->error_tokens_ns += gap;
    return true;
}
