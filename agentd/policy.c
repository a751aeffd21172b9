#include "agentd/policy.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct network {
    struct prober_addr address;
    unsigned bits;
};

struct policy {
    atomic_uint references;
    struct network *allow, *deny; /* immutable */
    size_t allow_count, deny_count;
};

static bool parse_bits(const char *text, unsigned max, unsigned *bits)
{
    unsigned value = 0;

    if (!text[0] || strlen(text) > 3)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (unsigned)(*text - '0');
    }
    *bits = value;
    return value <= max;
}

static bool parse_network(const char *text, struct network *out)
{
    char head[PROBER_ADDR_TEXT_MAX];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    unsigned max;

    if (len >= sizeof(head))
        return false;
    memcpy(head, text, len);
    head[len] = '\0';
    if (prober_addr_parse(head, &out->address))
        return false;
    max = out->address.family == PROBER_FAMILY_IPV4 ? 32 : 128;
    out->bits = max;
    return !slash || parse_bits(slash + 1, max, &out->bits);
}

static bool network_holds(const struct network *n, const struct prober_addr *address)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    uint8_t mask = (uint8_t)(0xff00u >> rest);

    return n->address.family == address->family &&
           memcmp(n->address.bytes, address->bytes, whole) == 0 &&
           (rest == 0 || ((n->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0);
}

static bool any_holds(const struct network *networks, size_t count,
                      const struct prober_addr *address)
{
    for (size_t i = 0; i < count; i++)
        if (network_holds(&networks[i], address))
            return true;
    return false;
}

static enum prober_error parse_list(const char *key, const struct option_list *list,
                                    struct network **out, size_t *count, struct problems *problems)
{
    enum prober_error err = PROBER_OK;

    *out = calloc(list->count + 1, sizeof(**out));
    if (!*out)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < list->count; i++) {
        if (parse_network(list->items[i], &(*out)[i]))
            continue;
        problems_add(problems, NULL, 0, key, "'%s' is not a network such as 10.0.0.0/8",
                     list->items[i]);
        err = PROBER_ERR_SYNTAX;
    }
    *count = list->count;
    return err;
}

enum prober_error policy_create(struct policy **out, const struct option_list *allow,
                                const struct option_list *deny, struct problems *problems)
{
    struct policy *p = calloc(1, sizeof(*p));
    enum prober_error err = PROBER_ERR_NOMEM, err_deny;

    if (!p)
        goto out;
    atomic_init(&p->references, 1);
    err = parse_list("agent.probe.allow", allow, &p->allow, &p->allow_count, problems);
    err_deny = parse_list("agent.probe.deny", deny, &p->deny, &p->deny_count, problems);
    if (!err)
        err = err_deny;
    if (err)
        goto out;
    *out = p;
    p = NULL;
out:
    policy_put(p);
    return err;
}

bool policy_permits(const struct policy *policy, const struct prober_addr *address)
{
    struct prober_addr a = prober_addr_unmap(address);

    if (any_holds(policy->deny, policy->deny_count, &a))
        return false;
    return policy->allow_count == 0 || any_holds(policy->allow, policy->allow_count, &a);
}

struct policy *policy_get(struct policy *policy)
{
    atomic_fetch_add(&policy->references, 1);
    return policy;
}

void policy_put(struct policy *policy)
{
    if (!policy || atomic_fetch_sub(&policy->references, 1) != 1)
        return;
    free(policy->allow);
    free(policy->deny);
    free(policy);
}
