/*
 * What ss and ip show: filters and objects. Nothing here changes anything.
 */
#include <string.h>

#include "agentd/task_grammar.h"
#include "common/array.h"

/* ---- ss: [state NAME] [EXPRESSION] ---- */

static const char states[] =
    "all connected synchronized bucket big established syn-sent syn-recv fin-wait-1 fin-wait-2 "
    "time-wait closed close-wait last-ack listening closing";
static const char comparisons[] = "= == != eq ne lt gt le ge";
static const char joints[] = "and or not";

static bool is_port(const char *word)
{
    long port;

    return task_is_whole(word + (word[0] == ':'), 1, 65535, &port);
}

/* What follows `key` at operands[*at]; *at is then at the last word that was used. */
static enum prober_error take_comparison(struct task_parse *p, const char *key, size_t *at)
{
    bool ports = task_is_among(key, "sport dport", NULL);
    const char *word = *at + 1 < p->operand_count ? p->operands[++*at] : "";

    task_emit(p, "%s", key);
    if (task_is_among(word, comparisons, NULL)) {
        task_emit(p, "%s", word);
        word = *at + 1 < p->operand_count ? p->operands[++*at] : "";
    }
    if (ports ? !is_port(word) : !task_is_network(word))
        return task_refuse(p, PROBER_ERR_SYNTAX, "%s needs %s, not '%.60s'", key,
                           ports ? "a port, as in :443" : "an address or a network", word);
    task_emit(p, "%s%s", ports && word[0] != ':' ? ":" : "", word);
    return PROBER_OK;
}

enum prober_error task_operands_ss(struct task_parse *p)
{
    enum prober_error err = PROBER_OK;

    for (size_t at = 0; at < p->operand_count && !err; at++) {
        const char *word = p->operands[at];

        if (task_is_among(word, joints, NULL)) {
            task_emit(p, "%s", word);
        } else if (task_is_among(word, "state exclude", NULL)) {
            const char *state = at + 1 < p->operand_count ? p->operands[++at] : "";

            if (!task_is_among(state, states, NULL))
                return task_refuse(p, PROBER_ERR_SYNTAX, "%s needs one of %s, not '%.60s'", word,
                                   states, state);
            task_emit(p, "%s", word);
            task_emit(p, "%s", state);
        } else if (task_is_among(word, "sport dport src dst", NULL)) {
            err = take_comparison(p, word, &at);
        } else {
            return task_refuse(p, PROBER_ERR_SYNTAX,
                               "'%.60s' is no filter; those are state, exclude, sport, dport, src, "
                               "dst, and, or, not",
                               word);
        }
    }
    return err;
}

/* ---- ip: OBJECT [show|get] … ---- */

enum ip_value { IP_INTERFACE, IP_NETWORK, IP_ADDRESS, IP_WORD };

static const struct ip_key {
    const char *name;
    enum ip_value value;
    const char *among; /* of IP_WORD */
} ip_keys[] = {
    {"dev", IP_INTERFACE, NULL},
    {"oif", IP_INTERFACE, NULL},
    {"iif", IP_INTERFACE, NULL},
    {"to", IP_NETWORK, NULL},
    {"root", IP_NETWORK, NULL},
    {"match", IP_NETWORK, NULL},
    {"exact", IP_NETWORK, NULL},
    {"via", IP_ADDRESS, NULL},
    {"from", IP_ADDRESS, NULL},
    {"table", IP_WORD, "main local default all cache"},
    {"scope", IP_WORD, "global site link host"},
    {"proto", IP_WORD, "kernel boot static ra dhcp bird babel bgp ospf isis zebra"},
    {"nud", IP_WORD, "all permanent noarp stale reachable incomplete delay probe failed"},
    {"type", IP_WORD,
     "bond bridge dummy gre ipip ipvlan macvlan tun veth vlan vrf vxlan wireguard unicast local "
     "broadcast blackhole unreachable prohibit"},
};

struct ip_verb {
    const char *keys;  /* that may follow it */
    const char *alone; /* words that stand for themselves */
    int bare;          /* an enum ip_value that needs no key, or -1 */
    const char *bare_key;
};

static const struct ip_object {
    const char *name, *spellings;
    struct ip_verb show, get; /* get.keys NULL: there is none */
} ip_objects[] = {
    {"address", "a addr address", {"dev scope to type", "up", IP_INTERFACE, "dev"}, {.bare = -1}},
    {"link", "l link", {"dev type", "up", IP_INTERFACE, "dev"}, {.bare = -1}},
    {"route",
     "r ro route",
     {"dev table via proto scope type root match exact to", "default cached", IP_NETWORK, "to"},
     {"from oif iif", "", IP_ADDRESS, ""}},
    {"rule", "ru rule", {"from to iif oif table", "", -1, ""}, {.bare = -1}},
    {"neighbour",
     "n neigh neighbor neighbour",
     {"dev nud to", "proxy", IP_NETWORK, "to"},
     {.bare = -1}},
    {"maddress", "m maddr maddress", {"dev", "", IP_INTERFACE, "dev"}, {.bare = -1}},
    {"netconf", "netconf", {"dev", "", -1, ""}, {.bare = -1}},
    {"nexthop", "nexthop", {"dev", "", -1, ""}, {.bare = -1}},
    {"ntable", "ntable", {"dev", "", -1, ""}, {.bare = -1}},
    {"vrf", "vrf", {"", "", -1, ""}, {.bare = -1}},
};

static bool is_ip_value(const char *word, enum ip_value value, const char *among)
{
    long number;

    switch (value) {
    case IP_INTERFACE:
        return task_is_interface(word);
    case IP_NETWORK:
        return task_is_network(word) || strcmp(word, "default") == 0;
    case IP_ADDRESS:
        return task_is_literal(word);
    case IP_WORD:
        return task_is_among(word, among, NULL) || task_is_whole(word, 0, 999999999, &number);
    }
    return false;
}

static const struct ip_key *find_key(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(ip_keys); i++)
        if (strcmp(ip_keys[i].name, name) == 0)
            return &ip_keys[i];
    return NULL;
}

/* A key and its value; a value without a key is the verb's `bare` one. Each at most once. */
static enum prober_error take_key(struct task_parse *p, const struct ip_key *key, const char *value,
                                  unsigned *seen)
{
    unsigned bit = 1u << (key ? key - ip_keys : 31);

    if (key && !is_ip_value(value, key->value, key->among))
        return task_refuse(p, PROBER_ERR_SYNTAX, "'%.60s' is no value of %s", value, key->name);
    if (*seen & bit)
        return task_refuse(p, PROBER_ERR_SYNTAX, "%s is given twice",
                           key ? key->name : "the address");
    *seen |= bit;
    if (key)
        task_emit(p, "%s", key->name);
    task_emit(p, "%s", value);
    return PROBER_OK;
}

static enum prober_error take_verb(struct task_parse *p, const struct ip_verb *verb, size_t at)
{
    enum prober_error err = PROBER_OK;
    unsigned seen = 0;

    for (; at < p->operand_count && !err; at++) {
        const char *word = p->operands[at];
        char name[TASK_VALUE_MAX];

        if (task_is_among(word, verb->alone, name))
            task_emit(p, "%s", name);
        else if (task_is_among(word, verb->keys, name))
            err = take_key(p, find_key(name), at + 1 < p->operand_count ? p->operands[++at] : "",
                           &seen);
        else if (verb->bare >= 0 && is_ip_value(word, (enum ip_value)verb->bare, ""))
            err = take_key(p, find_key(verb->bare_key), word, &seen);
        else
            return task_refuse(p, PROBER_ERR_DENIED, "'%.60s' is not allowed here", word);
    }
    return err;
}

enum prober_error task_operands_ip(struct task_parse *p)
{
    const struct ip_object *object = NULL;
    const char *verb = p->operand_count > 1 ? p->operands[1] : "show";

    if (p->operand_count == 0)
        return task_refuse(p, PROBER_ERR_SYNTAX, "it needs an object, such as address or route");
    for (size_t i = 0; i < ARRAY_LEN(ip_objects); i++)
        if (task_is_among(p->operands[0], ip_objects[i].spellings, NULL))
            object = &ip_objects[i];
    if (!object)
        return task_refuse(p, PROBER_ERR_DENIED,
                           "'%.60s' is not allowed; objects are address, link, route, rule, "
                           "neighbour, maddress, netconf, nexthop, ntable, vrf",
                           p->operands[0]);
    task_emit(p, "%s", object->name);
    if (strcmp(verb, "get") == 0 && object->get.keys) {
        if (p->operand_count < 3)
            return task_refuse(p, PROBER_ERR_SYNTAX, "get needs an address");
        task_emit(p, "get");
        return take_verb(p, &object->get, 2);
    }
    if (!task_is_among(verb, "s sh show l ls lst list", NULL))
        return task_refuse(p, PROBER_ERR_DENIED,
                           "'%s %.60s' is not allowed: tasks show, and change nothing",
                           object->name, verb);
    task_emit(p, "show");
    return take_verb(p, &object->show, 2);
}
