#include "agentd/policy.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/network.h"

struct policy {
    atomic_uint references;
    struct prober_network *allow, *deny; /* immutable */
    size_t allow_count, deny_count;
};

static bool any_holds(const struct prober_network *networks, size_t count,
                      const struct prober_addr *address)
{
    for (size_t i = 0; i < count; i++)
        if (prober_network_holds(&networks[i], address))
            return true;
    return false;
}

static enum prober_error parse_list(const char *key, const struct option_list *list,
                                    struct prober_network **out, size_t *count,
                                    struct problems *problems)
{
    enum prober_error err = PROBER_OK;

    *out = calloc(list->count + 1, sizeof(**out));
    if (!*out)
        return PROBER_ERR_NOMEM;
    for (size_t i = 0; i < list->count; i++) {
        struct prober_failure why;

        if (prober_network_parse(list->items[i], &(*out)[i], &why) == PROBER_OK)
            continue;
        if (problems)
            problems_add(problems, NULL, 0, key, "%s", why.text);
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
    if (any_holds(policy->deny, policy->deny_count, address))
        return false;
    return policy->allow_count == 0 || any_holds(policy->allow, policy->allow_count, address);
}

static void write_list(struct strbuf *out, const struct prober_network *networks, size_t count)
{
    char text[PROBER_ADDR_TEXT_MAX];

    for (size_t i = 0; i < count; i++)
        strbuf_printf(out, "%s%s/%u", out->len ? "," : "",
                      prober_addr_format(&networks[i].address, text), networks[i].bits);
}

void policy_write(const struct policy *policy, struct strbuf *allow, struct strbuf *deny)
{
    write_list(allow, policy->allow, policy->allow_count);
    write_list(deny, policy->deny, policy->deny_count);
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
