#include "serverd/registry.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/clock.h"

/* A quiet agent's record is written again after this much, so that forgetting works over restarts. */
#define SAVE_EVERY_NS (5 * 60 * CLOCK_NS_PER_S)

struct registry {
    struct registry_config config;
    struct registry_agent **agents; /* [count], by number */
    size_t count, room;
    size_t alive;
    struct joined *joined;
    uint32_t next_number;
    struct registry_changes changes;
};

#define REFUSAL_LABEL(name, label) [REGISTRY_REFUSED_##name] = (label),
static const char *const refusal_labels[REGISTRY_REFUSAL_COUNT] = {REGISTRY_REFUSALS(REFUSAL_LABEL)};
#undef REFUSAL_LABEL

const char *registry_refusal_text(enum registry_refusal refusal)
{
    return refusal > REGISTRY_TAKEN && refusal < REGISTRY_REFUSAL_COUNT ? refusal_labels[refusal]
                                                                        : "";
}

/* ---- the agents ---- */

static void agent_destroy(struct registry_agent *a)
{
    if (!a)
        return;
    session_put(a->session);
    free(a->region);
    free(a->version);
    free(a->os);
    free(a->architecture);
    free(a);
}

static enum prober_error set_text(char **at, const char *text)
{
    char *copy;

    if (*at && strcmp(*at, text ? text : "") == 0)
        return PROBER_OK;
    copy = strdup(text ? text : "");
    if (!copy)
        return PROBER_ERR_NOMEM;
    free(*at);
    *at = copy;
    return PROBER_OK;
}

static enum prober_error set_texts(struct registry_agent *a, const char *region,
                                   const char *version, const char *os, const char *architecture)
{
    if (set_text(&a->region, region) || set_text(&a->version, version) || set_text(&a->os, os) ||
        set_text(&a->architecture, architecture))
        return PROBER_ERR_NOMEM;
    return PROBER_OK;
}

static struct registry_agent *find_id(const struct registry *r, const struct prober_id *id)
{
    for (size_t i = 0; i < r->count; i++)
        if (prober_id_equal(&r->agents[i]->id, id))
            return r->agents[i];
    return NULL;
}

static int compare_number(const void *key, const void *element)
{
    uint32_t number = *(const uint32_t *)key;
    const struct registry_agent *a = *(struct registry_agent *const *)element;

    return (number > a->number) - (number < a->number);
}

static struct registry_agent *find_number(const struct registry *r, uint32_t number)
{
    struct registry_agent **at = NULL;

    if (r->count)
        at = bsearch(&number, r->agents, r->count, sizeof(*r->agents), compare_number);
    return at ? *at : NULL;
}

/* Puts the agent in its place by number; most often that is the end. */
static enum prober_error insert(struct registry *r, struct registry_agent *a)
{
    size_t at;

    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 64;
        struct registry_agent **agents = realloc(r->agents, room * sizeof(struct registry_agent *));

        if (!agents)
            return PROBER_ERR_NOMEM;
        r->agents = agents;
        r->room = room;
    }
    for (at = r->count; at > 0 && r->agents[at - 1]->number > a->number; at--)
        r->agents[at] = r->agents[at - 1];
    r->agents[at] = a;
    r->count++;
    return PROBER_OK;
}

static void forget(struct registry *r, size_t i)
{
    struct registry_agent *a = r->agents[i];

    memmove(&r->agents[i], &r->agents[i + 1], (r->count - i - 1) * sizeof(struct registry_agent *));
    r->count--;
    r->alive -= a->alive;
    r->changes.plan = r->changes.plan || a->alive;
    r->changes.any = true;
    if (r->config.forget)
        r->config.forget(r->config.context, &a->id);
    agent_destroy(a);
}

static void save(struct registry *r, struct registry_agent *a)
{
    a->saved_real_ns = a->last_seen_real_ns;
    if (r->config.save)
        r->config.save(r->config.context, a);
}

enum prober_error registry_create(struct registry **out, const struct registry_config *config)
{
    struct registry *r = calloc(1, sizeof(*r));

    if (!r || joined_create(&r->joined)) {
        free(r);
        return PROBER_ERR_NOMEM;
    }
    r->config = *config;
    r->next_number = 1;
    *out = r;
    return PROBER_OK;
}

/* ---- what joined ---- */

static bool is_excluded(const struct registry *r, const struct prober_id *id, const char *region,
                        const struct prober_addr *addresses, size_t count,
                        struct prober_failure *why)
{
    const struct joined_claim claim = {id, region, addresses, count};

    return joined_excludes(r->joined, &claim, r->config.migrate, r->config.migrate_count, why);
}

/* Agents without proof that claim what has joined since, or in a region that is spared no more. */
static void exclude(struct registry *r)
{
    struct prober_failure why;

    for (size_t i = r->count; i-- > 0;) {
        const struct registry_agent *a = r->agents[i];

        if (a->trusted ||
            !is_excluded(r, &a->id, a->region, a->addresses, a->address_count, &why))
            continue;
        if (r->config.excluded)
            r->config.excluded(r->config.context, a, why.text);
        registry_remove(r, i);
    }
}

void registry_configure(struct registry *r, const struct registry_config *config)
{
    r->config = *config;
    exclude(r);
}

enum prober_error registry_load_joined(struct registry *r, const struct joined_row *row)
{
    bool changed;

    return joined_add(r->joined, row, &changed);
}

static enum prober_error note_row(struct registry *r, enum joined_kind kind, const char *key,
                                  const char *region, bool *any)
{
    const struct joined_row row = {kind, key, region};
    bool changed;
    enum prober_error err = joined_add(r->joined, &row, &changed);

    if (err || !changed)
        return err;
    *any = true;
    if (r->config.save_joined)
        r->config.save_joined(r->config.context, &row);
    return PROBER_OK;
}

/* When there is no more room, the agent is taken all the same. */
static enum prober_error note_joined(struct registry *r, const struct registry_agent *a)
{
    char text[PROBER_ID_TEXT_MAX + PROBER_ADDR_TEXT_MAX];
    bool any = false;
    enum prober_error err =
        note_row(r, JOINED_AGENT, prober_id_format(&a->id, text), a->region, &any);

    if (!err)
        err = note_row(r, JOINED_REGION, a->region, a->region, &any);
    for (size_t i = 0; !err && i < a->address_count; i++)
        err = note_row(r, JOINED_ADDRESS, prober_addr_format(&a->addresses[i], text), a->region,
                       &any);
    if (any)
        exclude(r);
    return err == PROBER_ERR_FULL ? PROBER_OK : err;
}

/* ---- loading ---- */

enum prober_error registry_load(struct registry *r, const struct registry_agent *agent,
                                uint64_t now_ns, uint64_t now_real_ns)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct registry_agent *a = NULL;

    if (find_id(r, &agent->id) || find_number(r, agent->number))
        return PROBER_ERR_EXISTS;
    a = calloc(1, sizeof(*a));
    if (!a)
        goto out;
    *a = *agent;
    a->region = a->version = a->os = a->architecture = NULL;
    a->session = NULL;
    a->observed.family = PROBER_FAMILY_NONE;
    a->last_seen_ns = now_ns;
    a->saved_real_ns = a->last_seen_real_ns;
    a->silent_before_ns = 0;
    if (!a->alive && now_real_ns > a->last_seen_real_ns)
        a->silent_before_ns = now_real_ns - a->last_seen_real_ns;
    err = set_texts(a, agent->region, agent->version, agent->os, agent->architecture);
    if (!err)
        err = insert(r, a);
    if (err)
        goto out;
    r->alive += a->alive;
    r->changes = (struct registry_changes){true, true};
    if (a->number >= r->next_number)
        r->next_number = a->number + 1;
    a = NULL;
out:
    agent_destroy(a);
    return err;
}

void registry_set_next_number(struct registry *r, uint32_t next)
{
    if (next > r->next_number)
        r->next_number = next;
}

/* ---- hello ---- */

/* What an agent may register of each class of address, beside the one that the server sees. */
static const struct class_rule {
    bool always;      /* from anybody */
    bool if_seen;     /* when it is what the server sees */
    bool if_given;    /* from -agent.icmp.address, over a connection of the same class */
    const char *name;
} class_rules[] = {
    [PROBER_ADDR_UNSPECIFIED] = {false, false, false, "unspecified"},
    [PROBER_ADDR_LOOPBACK] = {false, false, true, "loopback"},
    [PROBER_ADDR_LINK_LOCAL] = {false, false, true, "link-local"},
    [PROBER_ADDR_MULTICAST] = {false, false, false, "multicast"},
    [PROBER_ADDR_BROADCAST] = {false, false, false, "broadcast"},
    [PROBER_ADDR_PRIVATE] = {true, true, false, "private"},
    [PROBER_ADDR_GLOBAL] = {false, true, false, "global"},
};

static bool may_register(const struct registry *r, const struct prober_addr *a,
                         const struct registry_caller *caller, enum wire_address_mode mode)
{
    struct prober_addr seen = prober_addr_unmap(&caller->peer), *peer = &seen;
    enum prober_addr_class class = prober_addr_classify(a);
    enum prober_addr_class peer_class = prober_addr_classify(peer);
    const struct class_rule *rule = &class_rules[class];

    if (rule->always || (rule->if_seen && prober_addr_equal(a, peer)))
        return true;
    if (rule->if_given && mode == WIRE_ADDRESS_GIVEN && class == peer_class)
        return true;
    if (class != PROBER_ADDR_GLOBAL)
        return false;
    /* An agent on the server's own host calls over loopback: what the server sees says nothing. */
    if (caller->trusted || peer_class == PROBER_ADDR_LOOPBACK)
        return true;
    for (size_t i = 0; i < r->config.network_count; i++)
        if (prober_network_holds(&r->config.networks[i], a))
            return true;
    return false;
}

struct chosen {
    struct prober_addr addresses[REGISTRY_ADDRESSES_MAX];
    size_t count;
};

static bool has_family(const struct chosen *c, uint8_t family)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->addresses[i].family == family)
            return true;
    return false;
}

/* Takes the first address of each family that may be registered. */
static enum prober_error choose_addresses(const struct registry *r, const struct wire_hello *hello,
                                          const struct registry_caller *caller, struct chosen *c,
                                          struct prober_failure *why)
{
    struct prober_addr seen = prober_addr_unmap(&caller->peer), a = seen;
    size_t offered = hello->address_count ? hello->address_count : 1;
    char bad[PROBER_ADDR_TEXT_MAX], from[PROBER_ADDR_TEXT_MAX];
    enum prober_addr_class class;

    c->count = 0;
    for (size_t i = 0; i < offered; i++) {
        if (hello->address_count && prober_addr_parse(hello->addresses[i], &a))
            return prober_fail(why, PROBER_ERR_DENIED, "'%.64s' is no address",
                               hello->addresses[i]);
        a = prober_addr_unmap(&a);
        if (!has_family(c, a.family) && c->count < REGISTRY_ADDRESSES_MAX &&
            may_register(r, &a, caller, hello->address_mode))
            c->addresses[c->count++] = a;
    }
    if (c->count)
        return PROBER_OK;
    class = prober_addr_classify(&a);
    prober_addr_format(&a, bad);
    prober_addr_format(&seen, from);
    if (class == PROBER_ADDR_GLOBAL)
        return prober_fail(why, PROBER_ERR_DENIED,
                           "address %s refused: the server sees this agent at %s, and an agent "
                           "without proof of identity may register only that or a private "
                           "address; the server's -server.plain.networks can allow more",
                           bad, from);
    return prober_fail(why, PROBER_ERR_DENIED,
                       "address %s refused: %s addresses are not probed%s", bad,
                       class_rules[class].name,
                       class_rules[class].if_given
                           ? ", unless -agent.icmp.address gives one and the agent reaches the "
                             "server over one; give -agent.icmp.address ADDRESS"
                           : "; give -agent.icmp.address ADDRESS");
}

/* Makes room for one more among the agents of the same kind of link for which `source` (NULL: any)
 * holds, if there are `limit`: the one that is dead for longest goes. False when all are alive. */
static bool make_room(struct registry *r, bool trusted, const struct prober_addr *source,
                      size_t limit)
{
    size_t held = 0, oldest = SIZE_MAX;

    for (size_t i = 0; i < r->count; i++) {
        const struct registry_agent *a = r->agents[i];

        if (a->trusted != trusted || (source && !prober_addr_equal(&a->observed, source)))
            continue;
        held++;
        if (!a->alive &&
            (oldest == SIZE_MAX || a->last_seen_real_ns < r->agents[oldest]->last_seen_real_ns))
            oldest = i;
    }
    if (held < limit)
        return true;
    if (oldest == SIZE_MAX)
        return false;
    forget(r, oldest);
    return true;
}

static bool is_cloned(const struct registry *r, const struct registry_agent *a,
                      const struct registry_caller *caller, uint64_t now_ns)
{
    uint64_t heard;

    if (!a || !a->session || prober_id_equal(&a->session->boot_id, &caller->boot) ||
        !atomic_load(&a->session->connected) || (caller->trusted && !a->trusted))
        return false;
    heard = atomic_load(&a->session->last_seen_ns);
    return now_ns < heard + r->config.clone_ns;
}

static enum prober_error refuse(enum registry_refusal *at, enum registry_refusal refusal)
{
    *at = refusal;
    return PROBER_ERR_DENIED;
}

/* An agent that is new must find room. */
static enum prober_error find_room(struct registry *r, const struct registry_caller *caller,
                                   enum registry_refusal *refusal, struct prober_failure *why)
{
    char text[PROBER_ADDR_TEXT_MAX];
    struct prober_addr source = prober_addr_unmap(&caller->peer);

    if (!caller->trusted && !make_room(r, false, &source, r->config.agents_per_source)) {
        prober_fail(why, PROBER_ERR_DENIED,
                    "%zu agents from %s are alive already: raise the server's "
                    "-server.plain.agents.per.source",
                    r->config.agents_per_source, prober_addr_format(&source, text));
        return refuse(refusal, REGISTRY_REFUSED_SOURCE_FULL);
    }
    if (!make_room(r, caller->trusted, NULL, r->config.agents_max)) {
        prober_fail(why, PROBER_ERR_DENIED,
                    "%zu agents are alive already: raise the server's -server.plain.agents.max",
                    r->config.agents_max);
        return refuse(refusal, REGISTRY_REFUSED_FULL);
    }
    return PROBER_OK;
}

static enum prober_error judge(struct registry *r, struct registry_agent *known,
                               const struct registry_caller *caller, const struct wire_hello *hello,
                               uint64_t now_ns, struct chosen *chosen,
                               enum registry_refusal *refusal, struct prober_failure *why)
{
    char text[PROBER_ADDR_TEXT_MAX], id[PROBER_ID_TEXT_MAX];

    if (!caller->trusted && !r->config.accept_plain) {
        prober_fail(why, PROBER_ERR_DENIED,
                    "this server takes no agents without proof of identity (-server.plain refuse): "
                    "let this one join ('serverd join-token' on the server's host, then agentd "
                    "-agent.join TOKEN)");
        return refuse(refusal, REGISTRY_REFUSED_PLAIN);
    }
    if (prober_id_is_zero(&caller->id) || prober_id_is_zero(&caller->boot) ||
        !wire_name_is_valid(hello->region, WIRE_REGION_MAX)) {
        prober_fail(why, PROBER_ERR_DENIED, "no valid agent id, boot id and region given");
        return refuse(refusal, REGISTRY_REFUSED_INVALID);
    }
    if (choose_addresses(r, hello, caller, chosen, why))
        return refuse(refusal, REGISTRY_REFUSED_ADDRESS);
    if (!caller->trusted && is_excluded(r, &caller->id, hello->region, chosen->addresses,
                                        chosen->count, why))
        return refuse(refusal, REGISTRY_REFUSED_JOINED);
    if (is_cloned(r, known, caller, now_ns)) {
        prober_fail(why, PROBER_ERR_DENIED,
                    "agent id %s is in use by another running agent at %s: was its state "
                    "directory copied? Remove the copy's, so that it makes an id of its own",
                    prober_id_format(&caller->id, id), prober_addr_format(&known->observed, text));
        return refuse(refusal, REGISTRY_REFUSED_CLONED);
    }
    if (known)
        return PROBER_OK;
    return find_room(r, caller, refusal, why);
}

static enum prober_error add(struct registry *r, const struct registry_caller *caller,
                             uint64_t now_real_ns, struct registry_agent **out)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct registry_agent *a = calloc(1, sizeof(*a));

    if (!a)
        goto out;
    a->id = caller->id;
    a->number = r->next_number;
    a->first_seen_real_ns = now_real_ns;
    err = set_texts(a, "", "", "", "");
    if (!err)
        err = insert(r, a);
    if (err)
        goto out;
    r->next_number++;
    *out = a;
    a = NULL;
out:
    agent_destroy(a);
    return err;
}

/* True when the agent was not alive before. */
static bool seen(struct registry *r, struct registry_agent *a, uint64_t now_ns,
                 uint64_t now_real_ns)
{
    bool revived = !a->alive;

    a->last_seen_ns = now_ns;
    a->last_seen_real_ns = now_real_ns;
    a->silent_before_ns = 0;
    r->changes.any = true;
    if (revived) {
        a->alive = true;
        r->alive++;
        r->changes.plan = true;
    }
    return revived;
}

static bool addresses_differ(const struct registry_agent *a, const struct chosen *c)
{
    if (a->address_count != c->count)
        return true;
    for (size_t i = 0; i < c->count; i++)
        if (!prober_addr_equal(&a->addresses[i], &c->addresses[i]))
            return true;
    return false;
}

static bool is_local(const struct prober_addr *peer)
{
    return prober_addr_classify(peer) == PROBER_ADDR_LOOPBACK;
}

static void update(struct registry *r, struct registry_agent *a,
                   const struct registry_caller *caller, const struct wire_hello *hello,
                   const struct chosen *chosen, bool moved)
{
    struct prober_addr peer = prober_addr_unmap(&caller->peer);

    if (moved || addresses_differ(a, chosen) || is_local(&peer) != is_local(&a->observed) ||
        a->trusted != caller->trusted)
        r->changes.plan = true;
    a->trusted = caller->trusted;
    a->observed = peer;
    a->address_count = chosen->count;
    for (size_t i = 0; i < chosen->count; i++)
        a->addresses[i] = chosen->addresses[i];
    a->probe_interval_ns = hello->probe_interval_ns;
}

static struct session *make_session(const struct registry_agent *a,
                                    const struct registry_caller *caller,
                                    const struct wire_hello *hello, uint64_t now_ns)
{
    struct session *s = session_create(&caller->id, &caller->boot, a->number, hello->region);

    if (!s)
        return NULL;
    s->trusted = caller->trusted;
    s->observed = prober_addr_unmap(&caller->peer);
    s->probe_interval_ns = hello->probe_interval_ns;
    s->probe_timeout_ns = hello->probe_timeout_ns;
    atomic_store(&s->last_seen_ns, now_ns);
    return s;
}

enum prober_error registry_hello(struct registry *r, const struct registry_caller *caller,
                                 const struct wire_hello *hello, uint64_t now_ns,
                                 uint64_t now_real_ns, struct session **session,
                                 const struct registry_agent **agent,
                                 enum registry_refusal *refusal, struct prober_failure *why)
{
    struct registry_agent *a = find_id(r, &caller->id);
    struct chosen chosen;
    struct session *s;
    enum prober_error err;
    bool moved;

    *refusal = REGISTRY_TAKEN;
    err = judge(r, a, caller, hello, now_ns, &chosen, refusal, why);
    if (err)
        return err;
    if (!a) {
        err = add(r, caller, now_real_ns, &a);
        if (err)
            return err;
    }
    s = make_session(a, caller, hello, now_ns);
    if (!s)
        return PROBER_ERR_NOMEM;
    moved = strcmp(a->region, hello->region) != 0;
    err = set_texts(a, hello->region, hello->version, hello->os, hello->architecture);
    if (err) {
        session_put(s);
        return err;
    }
    update(r, a, caller, hello, &chosen, moved);
    if (a->session && a->session->trusted != s->trusted)
        session_expel(a->session); /* who it was is not who it is */
    session_put(a->session);
    a->session = session_get(s);
    seen(r, a, now_ns, now_real_ns);
    save(r, a);
    if (a->trusted)
        err = note_joined(r, a);
    if (err) {
        session_put(s);
        return err;
    }
    *session = s;
    *agent = a;
    return PROBER_OK;
}

/* ---- life ---- */

struct registry_agent *registry_call(struct registry *r, struct session *session, uint64_t now_ns,
                                     uint64_t now_real_ns)
{
    struct registry_agent *a = find_number(r, session->agent_number);

    if (!a || a->session != session || !(session->trusted || r->config.accept_plain))
        return NULL;
    atomic_store(&session->last_seen_ns, now_ns);
    if (seen(r, a, now_ns, now_real_ns))
        save(r, a);
    return a;
}

static void notice_reports(struct registry *r, struct registry_agent *a, uint64_t now_ns,
                           uint64_t now_real_ns)
{
    uint64_t heard = a->session ? atomic_load(&a->session->last_seen_ns) : 0;

    if (heard > a->last_seen_ns && heard <= now_ns &&
        seen(r, a, heard, now_real_ns - (now_ns - heard)))
        save(r, a);
}

void registry_tick(struct registry *r, uint64_t now_ns, uint64_t now_real_ns)
{
    for (size_t i = r->count; i-- > 0;) {
        struct registry_agent *a = r->agents[i];
        uint64_t silent;

        notice_reports(r, a, now_ns, now_real_ns);
        silent = now_ns > a->last_seen_ns ? now_ns - a->last_seen_ns : 0;
        if (a->alive && silent > r->config.alive_ns) {
            a->alive = false;
            r->alive--;
            r->changes = (struct registry_changes){true, true};
            save(r, a);
        } else if (a->alive && a->last_seen_real_ns > a->saved_real_ns + SAVE_EVERY_NS) {
            save(r, a);
        }
        if (!a->alive && silent + a->silent_before_ns > r->config.forget_ns)
            forget(r, i);
    }
}

void registry_forgive(struct registry *r, uint64_t ns)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->agents[i]->alive)
            r->agents[i]->last_seen_ns += ns;
}

struct registry_changes registry_take_changes(struct registry *r)
{
    struct registry_changes changes = r->changes;

    r->changes = (struct registry_changes){false, false};
    return changes;
}

void registry_remove(struct registry *r, size_t i)
{
    struct session *session = r->agents[i]->session;

    if (session)
        session_expel(session);
    forget(r, i);
}

size_t registry_count(const struct registry *r)
{
    return r->count;
}

size_t registry_trusted(const struct registry *r)
{
    size_t count = 0;

    for (size_t i = 0; i < r->count; i++)
        count += r->agents[i]->alive && r->agents[i]->trusted;
    return count;
}

size_t registry_alive(const struct registry *r)
{
    return r->alive;
}

const struct registry_agent *registry_at(const struct registry *r, size_t i)
{
    return r->agents[i];
}

void registry_destroy(struct registry *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++)
        agent_destroy(r->agents[i]);
    free(r->agents);
    joined_destroy(r->joined);
    free(r);
}
