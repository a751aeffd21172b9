#include "serverd/control.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/log.h"
#include "common/random.h"
#include "common/version.h"

#define TICK_MAX_NS CLOCK_NS_PER_S
#define TICK_MIN_NS (50 * CLOCK_NS_PER_MS)
#define TICKS_PER_LIFE 20
#define REFUSAL_LOG_NS (10 * CLOCK_NS_PER_S)

/* A reply to sync that every agent of a region gets, made when the first of them asks. */
struct common_reply {
    uint64_t revision;
    struct strbuf body; /* empty: not made */
    bool too_large;     /* it cannot be made */
};

struct control {
    struct control_config config;
    struct control_stats stats;
    struct registry *registry;
    struct prober_network *networks;
    char **migrate;
    struct registry_config limits;
    struct plan_config plan_config;
    struct siphash_key content_key;
    struct probe_spec *spec;
    struct target_book *lists;
    struct plan *plan;            /* a reference */
    uint64_t revision;            /* counts plans, from 1 */
    struct common_reply *replies; /* [2 * plan->region_count]: for links that are not private, then
                                     for those that are */
    uint64_t *told_withheld;      /* [told_count]: identities of entries that the log knows of */
    size_t told_count;
    uint64_t too_large; /* the last plan of which the log knows that it cannot be sent */
    bool directory_stale;
    uint64_t plan_due_ns; /* monotonic; UINT64_MAX: nothing changed */
    uint64_t tick_due_ns;
    uint64_t refusal_logged_ns;
    uint64_t revocations_seen; /* their version + 1; 0: not seen yet */
    bool plain_warned;
};

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; texts && i < count; i++)
        free(texts[i]);
    free(texts);
}

void control_change_free(struct control_change *change)
{
    free(change->networks);
    free_texts(change->migrate, change->registry.migrate_count);
    probe_spec_destroy(change->spec);
    target_book_put(change->lists);
    change->networks = NULL;
    change->migrate = NULL;
    change->spec = NULL;
    change->lists = NULL;
}

/* ---- plan and directory ---- */

static void drop_replies(struct control *c)
{
    for (size_t i = 0; c->replies && i < 2 * c->plan->region_count; i++)
        strbuf_free(&c->replies[i].body);
    free(c->replies);
    c->replies = NULL;
}

/* Of plain links those are private that stay within this host. */
static struct plan_agent plan_agent_of(const struct registry_agent *a, bool trusted,
                                       const struct prober_addr *peer)
{
    bool is_local = prober_addr_classify(peer) == PROBER_ADDR_LOOPBACK;

    return (struct plan_agent){.id = a->id,
                               .region = a->region,
                               .addresses = a->addresses,
                               .address_count = a->address_count,
                               .is_private = trusted || is_local};
}

static enum prober_error make_plan(struct control *c, uint64_t now_real_ns, struct plan **out)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    size_t count = 0;
    struct plan_agent *agents = calloc(registry_count(c->registry) + 1, sizeof(*agents));
    struct probe_spec *spec = NULL;

    if (!agents)
        goto out;
    err = c->spec ? probe_spec_extend(&spec, c->spec, c->lists) : PROBER_OK;
    if (err)
        goto out;
    for (size_t i = 0; i < registry_count(c->registry); i++) {
        const struct registry_agent *a = registry_at(c->registry, i);

        if (a->alive)
            agents[count++] = plan_agent_of(a, a->trusted, &a->observed);
    }
    err = plan_create(out, &c->plan_config, spec, agents, count, now_real_ns);
out:
    probe_spec_extended_free(spec);
    free(agents);
    return err;
}

static bool is_told(const struct control *c, uint64_t identity)
{
    for (size_t i = 0; i < c->told_count; i++)
        if (c->told_withheld[i] == identity)
            return true;
    return false;
}

static void tell_withheld_entry(const char *region, const struct plan_entry *e)
{
    log_warn(
        "an http entry that holds secrets or names files is not sent to agents whose links are "
        "plain: those that joined, and those on this host's loopback, probe it",
        LOG_S("region", region), LOG_S("name", e->name), LOG_U("line", (uint64_t)e->line),
        LOG_U("agents", e->withheld));
}

/* Tells of each entry once, for as long as the entry is the same. Without memory, more often. */
static void tell_withheld(struct control *c, const struct plan *plan)
{
    uint64_t *told = calloc(plan->withheld_entries + c->told_count + 1, sizeof(*told));
    size_t count = 0;

    for (size_t i = 0; i < plan->region_count; i++)
        for (size_t k = 0; k < plan->regions[i].entry_count; k++) {
            const struct plan_entry *e = &plan->regions[i].entries[k];
            bool known = e->confidential && is_told(c, e->identity);

            if (e->withheld && !known)
                tell_withheld_entry(plan->regions[i].name, e);
            if (told && (e->withheld || known))
                told[count++] = e->identity;
        }
    free(c->told_withheld);
    c->told_withheld = told;
    c->told_count = count;
}

static void tell_shadowed(const struct plan *plan, const struct plan *before)
{
    if (plan->shadowed && (!before || before->shadowed != plan->shadowed))
        log_warn("targets are in several entries of one region with different settings: each agent "
                 "probes them as the first of its entries says, for their results are one series",
                 LOG_U("targets", plan->shadowed), LOG_S("first", plan->shadowed_target),
                 LOG_U("line", (uint64_t)plan->shadowed_entry->line));
}

static void tell_refused(const struct plan *plan, const struct plan *before)
{
    for (size_t i = 0; plan->refused_count && i < plan->region_count; i++) {
        const struct plan_region *r = &plan->regions[i];
        const struct plan_region *was = before ? plan_region_find(before, r->name) : NULL;

        if (r->urls_refused && !(was && was->urls_refused))
            log_error(
                "agents of a region are given no URLs, for with those of the other regions they "
                "would make more series than -server.http.series.max allows",
                LOG_S("region", r->name), LOG_U("urls", r->url_count),
                LOG_U("urls_allowed_in_all", plan->config.urls_max));
    }
}

/* Makes the plan anew. True when it became another one. */
static bool replan(struct control *c, const struct clock_reading *now)
{
    struct plan *plan;
    struct common_reply *replies;

    if (make_plan(c, now->real_ns, &plan)) {
        atomic_fetch_add(&c->stats.failures, 1);
        c->plan_due_ns = now->mono_ns + CONTROL_SETTLE_NS;
        return false;
    }
    c->plan_due_ns = UINT64_MAX;
    if (c->plan && plan->digest == c->plan->digest) {
        plan_put(plan);
        return false;
    }
    replies = calloc(2 * plan->region_count + 1, sizeof(*replies));
    if (!replies) {
        atomic_fetch_add(&c->stats.failures, 1);
        c->plan_due_ns = now->mono_ns + CONTROL_SETTLE_NS;
        plan_put(plan);
        return false;
    }
    tell_withheld(c, plan);
    tell_shadowed(plan, c->plan);
    tell_refused(plan, c->plan);
    if (c->plan)
        drop_replies(c);
    plan_put(c->plan);
    c->plan = plan;
    c->replies = replies;
    c->revision++;
    c->directory_stale = true;
    atomic_store(&c->stats.plan_revision, c->revision);
    atomic_store(&c->stats.plan_targets, plan->target_count);
    atomic_store(&c->stats.plan_http_targets, plan->http_target_count);
    atomic_store(&c->stats.plan_regions, plan->region_count);
    atomic_store(&c->stats.plan_withheld, plan->withheld_entries);
    atomic_store(&c->stats.plan_shadowed, plan->shadowed);
    atomic_store(&c->stats.plan_refused, plan->refused_count);
    return true;
}

static struct directory_agent directory_agent_of(const struct registry_agent *a)
{
    return (struct directory_agent){
        .id = a->id,
        .number = a->number,
        .region = a->region,
        .version = a->version,
        .os = a->os,
        .architecture = a->architecture,
        .observed = a->observed,
        .addresses = a->addresses,
        .address_count = a->address_count,
        .trusted = a->trusted,
        .alive = a->alive,
        .first_seen_real_ns = a->first_seen_real_ns,
        .last_seen_real_ns = a->last_seen_real_ns,
        .probe_interval_ns = a->probe_interval_ns,
        .spool_reports = a->spool_reports,
        .spool_dropped = a->spool_dropped,
    };
}

/* pairs[region_count squared]. Returns how many there are. */
static size_t list_pairs(const struct plan *plan, struct directory_pair *pairs)
{
    size_t count = 0;

    for (size_t s = 0; s < plan->region_count; s++)
        for (size_t t = 0; plan->regions[s].agent_count && t < plan->region_count; t++)
            if (plan_covers(plan, &plan->regions[s], &plan->regions[t]))
                pairs[count++] =
                    (struct directory_pair){plan->regions[s].name, plan->regions[t].name};
    return count;
}

static size_t count_sources(const struct plan *plan)
{
    size_t count = 0;

    for (size_t i = 0; i < plan->region_count; i++)
        count += plan->regions[i].agent_count > 0;
    return count;
}

static void publish(struct control *c)
{
    size_t agents_count = registry_count(c->registry);
    struct directory_agent *agents = calloc(agents_count + 1, sizeof(*agents));
    struct directory_pair *pairs =
        calloc(count_sources(c->plan) * c->plan->region_count + 1, sizeof(*pairs));
    struct directory from = {.plan_revision = c->revision, .plan = c->plan};
    struct directory *directory;

    if (!agents || !pairs)
        goto out;
    for (size_t i = 0; i < agents_count; i++)
        agents[i] = directory_agent_of(registry_at(c->registry, i));
    from.agents = agents;
    from.agent_count = agents_count;
    from.pairs = pairs;
    from.pair_count = list_pairs(c->plan, pairs);
    if (directory_create(&directory, &from))
        goto out;
    directory_publish(c->config.board, directory);
    c->directory_stale = false;
    atomic_store(&c->stats.agents_known, agents_count);
    atomic_store(&c->stats.agents_alive, registry_alive(c->registry));
    atomic_store(&c->stats.agents_trusted, registry_trusted(c->registry));
out:
    free(agents);
    free(pairs);
}

/* ---- life ---- */

static void tell_agent(enum log_level level, const char *what, const struct registry_agent *a)
{
    char id[PROBER_ID_TEXT_MAX], address[PROBER_ADDR_TEXT_MAX];

    log_at(level, what, LOG_S("region", a->region),
           LOG_S("address", prober_addr_format(&a->addresses[0], address)),
           LOG_S("agent", prober_id_format(&a->id, id)));
}

/* The registry saves an agent that is not alive just when it finds that out. */
static void keep_agent(void *context, const struct registry_agent *a)
{
    struct control *c = context;

    if (!a->alive)
        tell_agent(LOG_WARN, "an agent is not heard from any more", a);
    if (c->config.store)
        store_save_agent(c->config.store, a);
}

static void forget_agent(void *context, const struct prober_id *id)
{
    struct control *c = context;

    if (c->config.store)
        store_forget_agent(c->config.store, id);
}

static void keep_joined(void *context, const struct joined_row *row)
{
    struct control *c = context;

    if (c->config.store)
        store_save_joined(c->config.store, row);
}

static void tell_excluded(void *context, const struct registry_agent *a, const char *why)
{
    struct control *c = context;
    char id[PROBER_ID_TEXT_MAX];

    atomic_fetch_add(&c->stats.excluded, 1);
    log_warn("an agent without proof of who it is had to leave", LOG_S("region", a->region),
             LOG_S("agent", prober_id_format(&a->id, id)), LOG_S("why", why));
}

static void take_change(struct control *c, struct control_change *change)
{
    free(c->networks);
    free_texts(c->migrate, c->limits.migrate_count);
    probe_spec_destroy(c->spec);
    target_book_put(c->lists);
    c->networks = change->networks;
    c->migrate = change->migrate;
    c->spec = change->spec;
    c->lists = change->lists;
    c->plan_config = change->plan;
    c->plan_config.content_key = c->content_key;
    c->limits = change->registry;
    c->limits.networks = c->networks;
    c->limits.migrate = c->migrate;
    c->limits.save_joined = keep_joined;
    c->limits.excluded = tell_excluded;
    c->limits.save = keep_agent;
    c->limits.forget = forget_agent;
    c->limits.context = c;
    change->networks = NULL;
    change->migrate = NULL;
    change->spec = NULL;
    change->lists = NULL;
}

struct loading {
    struct control *control;
    const struct clock_reading *now;
};

static void load_agent(void *context, const struct registry_agent *agent)
{
    struct loading *l = context;

    if (registry_load(l->control->registry, agent, l->now->mono_ns, l->now->real_ns))
        log_warn("an agent of the store could not be loaded", LOG_U("number", agent->number));
}

static void load_joined(void *context, const struct joined_row *row)
{
    struct loading *l = context;

    if (registry_load_joined(l->control->registry, row))
        log_warn("what joined could not be loaded in full: agents without proof may take its place",
                 LOG_S("key", row->key));
}

static bool is_revoked(const struct control *c, const struct prober_id *id)
{
    return c->config.revocations && revocations_has_id(c->config.revocations, id);
}

/* Also at the start: a kill may have come before the store forgot the agent. */
static void end_revoked(struct control *c)
{
    uint64_t version;

    if (!c->config.revocations)
        return;
    version = revocations_version(c->config.revocations) + 1;
    if (version == c->revocations_seen)
        return;
    c->revocations_seen = version;
    for (size_t i = registry_count(c->registry); i-- > 0;)
        if (is_revoked(c, &registry_at(c->registry, i)->id)) {
            tell_agent(LOG_WARN, "an agent was revoked and is out", registry_at(c->registry, i));
            registry_remove(c->registry, i);
        }
}

enum prober_error control_create(struct control **out, const struct control_config *config,
                                 struct control_change *change, const struct clock_reading *now)
{
    enum prober_error err = PROBER_ERR_NOMEM;
    struct control *c = calloc(1, sizeof(*c));
    struct loading loading = {c, now};

    if (!c) {
        control_change_free(change);
        goto out;
    }
    c->config = *config;
    random_bytes(&c->content_key, sizeof(c->content_key));
    take_change(c, change);
    err = registry_create(&c->registry, &c->limits);
    if (err)
        goto out;
    if (config->store) {
        store_load_joined(config->store, load_joined, &loading);
        store_load_agents(config->store, load_agent, &loading);
        registry_set_next_number(c->registry, store_next_number(config->store));
        registry_configure(c->registry, &c->limits); /* what was excluded while it stood still */
    }
    end_revoked(c);
    registry_take_changes(c->registry);
    c->tick_due_ns = now->mono_ns;
    if (!replan(c, now)) {
        err = PROBER_ERR_NOMEM;
        goto out;
    }
    publish(c);
    *out = c;
    c = NULL;
out:
    control_destroy(c);
    return err;
}

void control_apply(struct control *c, struct control_change *change,
                   const struct clock_reading *now)
{
    take_change(c, change);
    registry_configure(c->registry, &c->limits);
    c->plan_due_ns = now->mono_ns;
}

void control_set_lists(struct control *c, struct target_book *lists,
                       const struct clock_reading *now)
{
    target_book_put(c->lists);
    c->lists = lists;
    if (c->plan_due_ns == UINT64_MAX)
        c->plan_due_ns = now->mono_ns + CONTROL_SETTLE_NS;
}

static void note_changes(struct control *c, uint64_t now_ns)
{
    struct registry_changes changes = registry_take_changes(c->registry);

    c->directory_stale = c->directory_stale || changes.any;
    if (changes.plan && c->plan_due_ns == UINT64_MAX)
        c->plan_due_ns = now_ns + CONTROL_SETTLE_NS;
}

static uint64_t tick_ns(const struct control *c)
{
    uint64_t tick = c->limits.alive_ns / TICKS_PER_LIFE;

    if (tick > TICK_MAX_NS)
        return TICK_MAX_NS;
    return tick < TICK_MIN_NS ? TICK_MIN_NS : tick;
}

uint64_t control_step(struct control *c, const struct clock_reading *now, bool *hint)
{
    bool tick = now->mono_ns >= c->tick_due_ns;

    *hint = false;
    end_revoked(c);
    if (tick) {
        registry_tick(c->registry, now->mono_ns, now->real_ns);
        c->tick_due_ns = now->mono_ns + tick_ns(c);
        if (now->real_ns >= c->plan->rotates_at_real_ns && c->plan_due_ns == UINT64_MAX)
            c->plan_due_ns = now->mono_ns;
    }
    note_changes(c, now->mono_ns);
    if (now->mono_ns >= c->plan_due_ns)
        *hint = replan(c, now);
    if (c->directory_stale && (tick || *hint))
        publish(c);
    return c->plan_due_ns < c->tick_due_ns ? c->plan_due_ns : c->tick_due_ns;
}

void control_forgive(struct control *c, uint64_t ns)
{
    registry_forgive(c->registry, ns);
}

const struct control_stats *control_stats(const struct control *c)
{
    return &c->stats;
}

void control_destroy(struct control *c)
{
    if (!c)
        return;
    if (c->plan)
        drop_replies(c);
    plan_put(c->plan);
    registry_destroy(c->registry);
    probe_spec_destroy(c->spec);
    target_book_put(c->lists);
    free(c->told_withheld);
    free(c->networks);
    free_texts(c->migrate, c->limits.migrate_count);
    free(c);
}

/* ---- answers ---- */

static void begin(const struct control *c, struct wire_reply *reply, enum wire_status status,
                  const char *message)
{
    *reply = (struct wire_reply){
        .protocol = WIRE_PROTOCOL,
        .server_boot_id = c->config.server_boot,
        .status = status,
        .message = message,
    };
}

static enum prober_error answer_status(struct control *c, enum wire_status status,
                                       const char *message, struct strbuf *body)
{
    struct wire_reply reply;

    begin(c, &reply, status, message);
    return wire_reply_encode(&reply, body);
}

static enum prober_error refuse(struct control *c, const struct control_call *call,
                                enum registry_refusal refusal, const char *message, uint64_t now_ns,
                                struct strbuf *body)
{
    char peer[PROBER_ADDR_TEXT_MAX], id[PROBER_ID_TEXT_MAX];
    uint64_t refused = atomic_fetch_add(&c->stats.refused[refusal], 1) + 1;

    if (!c->refusal_logged_ns || now_ns >= c->refusal_logged_ns + REFUSAL_LOG_NS) {
        c->refusal_logged_ns = now_ns ? now_ns : 1;
        log_warn("refused an agent", LOG_S("reason", registry_refusal_text(refusal)),
                 LOG_S("peer", prober_addr_format(&call->peer, peer)),
                 LOG_S("agent", prober_id_format(&call->request->agent_id, id)),
                 LOG_S("region", call->request->as.hello.region), LOG_S("why", message),
                 LOG_U("refused_so", refused));
    }
    return answer_status(c, WIRE_REFUSED, message, body);
}

static void warn_plain(struct control *c)
{
    if (c->plain_warned)
        return;
    c->plain_warned = true;
    log_warn(
        "AGENTS ARE TAKEN WITHOUT PROOF OF WHO THEY ARE: their links are plain, neither secret "
        "nor authenticated. Use them on networks that you trust, or let them join (serverd "
        "join-token); -server.plain refuse ends it");
}

static enum prober_error answer_hello(struct control *c, struct control_call *call,
                                      const struct clock_reading *now, struct strbuf *body)
{
    const struct wire_request *request = call->request;
    const struct registry_caller caller = {request->agent_id, request->boot_id, call->peer,
                                           call->trusted};
    const struct registry_agent *agent;
    enum registry_refusal refusal;
    struct prober_failure why = {PROBER_OK, ""};
    char observed[PROBER_ADDR_TEXT_MAX], server[PROBER_ID_TEXT_MAX];
    struct wire_reply reply;
    enum prober_error err;

    if (is_revoked(c, &caller.id))
        return refuse(c, call, REGISTRY_REFUSED_REVOKED, "this agent was revoked", now->mono_ns,
                      body);
    err = registry_hello(c->registry, &caller, &request->as.hello, now->mono_ns, now->real_ns,
                         &call->made, &agent, &refusal, &why);
    if (err == PROBER_ERR_DENIED && refusal == REGISTRY_REFUSED_CLONED && call->may_wait)
        return PROBER_ERR_EXISTS;
    note_changes(c, now->mono_ns);
    if (err == PROBER_ERR_DENIED)
        return refuse(c, call, refusal, why.text, now->mono_ns, body);
    if (err)
        return err;
    if (!call->trusted)
        warn_plain(c);
    tell_agent(LOG_INFO, "an agent says hello", agent);
    atomic_fetch_add(&c->stats.hellos, 1);
    call->made->shard = c->config.ingest ? ingest_shard_of(c->config.ingest, agent->region) : 0;
    begin(c, &reply, WIRE_OK, "");
    reply.call = WIRE_HELLO;
    reply.as.hello = (struct wire_hello_reply){
        .server_id = prober_id_format(&c->config.server_id, server),
        .observed_address = prober_addr_format(&agent->observed, observed),
        .agent_number = agent->number,
        .hint_port = c->config.hint_port,
        .heartbeat_ns = c->config.heartbeat_ns,
        .aggregation_interval_ns = c->config.aggregation_interval_ns,
        .version = PROBER_VERSION,
    };
    return wire_reply_encode(&reply, body);
}

static enum prober_error encode_sync(struct control *c, uint64_t revision,
                                     const struct wire_plan *plan,
                                     const struct tasks_pending *tasks, struct strbuf *body)
{
    struct wire_reply reply;

    begin(c, &reply, WIRE_OK, "");
    reply.call = WIRE_SYNC;
    reply.as.sync.plan_revision = revision;
    if (plan) {
        reply.as.sync.has_plan = true;
        reply.as.sync.plan = *plan;
    }
    reply.as.sync.tasks = tasks->tasks;
    reply.as.sync.task_count = tasks->task_count;
    reply.as.sync.cancels = tasks->cancels;
    reply.as.sync.cancel_count = tasks->cancel_count;
    return wire_reply_encode(&reply, body);
}

/* An agent is better off with the plan that it has than without an answer. */
static enum prober_error answer_too_large(struct control *c, const struct plan_agent *agent,
                                          const struct plan_view *view, uint64_t known,
                                          const struct tasks_pending *tasks, struct strbuf *body)
{
    size_t targets = 0;

    atomic_fetch_add(&c->stats.failures, 1);
    for (size_t i = 0; i < view->wire.entry_count; i++)
        targets += view->wire.entries[i].target_count;
    if (c->too_large != c->revision)
        log_error("a plan is too large to be sent: agents that need it keep the one they have",
                  LOG_S("region", agent->region), LOG_U("entries", view->wire.entry_count),
                  LOG_U("targets", targets));
    c->too_large = c->revision;
    return encode_sync(c, known, NULL, tasks, body);
}

/* The agent's plan if it is another than `known`, else just the revision. `kept`, when not NULL, is
 * where the reply with the plan is kept for the agents that get the same. */
static enum prober_error answer_plan(struct control *c, const struct plan_agent *agent,
                                     uint64_t known, const struct tasks_pending *tasks,
                                     struct common_reply *kept, struct strbuf *body)
{
    struct plan_view view;
    struct strbuf own = STRBUF_INIT, *into = kept ? &kept->body : &own;
    enum prober_error err = plan_view_create(&view, c->plan, agent);

    if (err)
        return err;
    if (kept || view.revision != known)
        err = encode_sync(c, view.revision, &view.wire, tasks, into);
    if (!err && !strbuf_ok(into))
        err = PROBER_ERR_NOMEM;
    if (kept) {
        kept->revision = view.revision;
        kept->too_large = err == PROBER_ERR_RANGE;
    }
    if (err)
        strbuf_clear(into);
    if (err == PROBER_ERR_RANGE) {
        err = answer_too_large(c, agent, &view, known, tasks, body);
    } else if (!err && view.revision == known) {
        err = encode_sync(c, known, NULL, tasks, body);
    } else if (!err) {
        strbuf_put(body, into->bytes, into->len);
        atomic_fetch_add(&c->stats.plans_sent, 1);
    }
    plan_view_free(&view);
    strbuf_free(&own);
    return err;
}

/* The plan, from what is kept for all agents of a region if there is, and if the agent has no tasks. */
static enum prober_error answer_member(struct control *c, const struct plan_agent *agent,
                                       uint64_t known, const struct tasks_pending *tasks,
                                       struct strbuf *body)
{
    const struct plan_region *region = plan_region_find(c->plan, agent->region);
    struct common_reply *kept = NULL;

    if (tasks->task_count || tasks->cancel_count)
        return answer_plan(c, agent, known, tasks, NULL, body);
    if (region && plan_is_common(c->plan, agent))
        kept = &c->replies[2 * (region - c->plan->regions) + agent->is_private];
    if (!kept || (kept->body.len == 0 && !kept->too_large))
        return answer_plan(c, agent, known, tasks, kept, body);
    if (kept->too_large || kept->revision == known)
        return encode_sync(c, known, NULL, tasks, body);
    atomic_fetch_add(&c->stats.plans_sent, 1);
    strbuf_put(body, kept->body.bytes, kept->body.len);
    return PROBER_OK;
}

static enum prober_error answer_sync(struct control *c, struct control_call *call,
                                     const struct clock_reading *now, struct strbuf *body)
{
    const struct wire_sync *sync = &call->request->as.sync;
    struct registry_agent *a =
        call->session ? registry_call(c->registry, call->session, now->mono_ns, now->real_ns)
                      : NULL;
    struct tasks_pending tasks = {.memory = NULL};
    struct plan_agent agent;
    enum prober_error err;

    if (!a) {
        atomic_fetch_add(&c->stats.hello_needed, 1);
        return answer_status(c, WIRE_HELLO_NEEDED, "say hello first", body);
    }
    a->spool_reports = sync->spool_reports;
    a->spool_dropped = sync->spool_dropped;
    note_changes(c, now->mono_ns);
    atomic_fetch_add(&c->stats.syncs, 1);
    agent = plan_agent_of(a, call->trusted, &call->peer);
    if (call->trusted && c->config.tasks)
        tasks_pending(c->config.tasks, &a->id, now, &tasks);
    err = answer_member(c, &agent, sync->plan_revision, &tasks, body);
    tasks_pending_free(&tasks);
    return err;
}

static const struct answer {
    enum wire_call call;
    enum prober_error (*make)(struct control *c, struct control_call *call,
                              const struct clock_reading *now, struct strbuf *body);
} answers[] = {
    {WIRE_HELLO, answer_hello},
    {WIRE_SYNC, answer_sync},
};

enum prober_error control_answer(struct control *c, struct control_call *call,
                                 const struct clock_reading *now, struct strbuf *body)
{
    enum prober_error err = PROBER_ERR_RANGE;

    call->made = NULL;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        if (answers[i].call == call->request->call)
            err = answers[i].make(c, call, now, body);
    if (err == PROBER_ERR_RANGE) {
        atomic_fetch_add(&c->stats.failures, 1);
        return answer_status(c, WIRE_REFUSED, "the reply is too large to send", body);
    }
    if (err == PROBER_OK && !strbuf_ok(body))
        err = PROBER_ERR_NOMEM;
    if (err && err != PROBER_ERR_EXISTS) {
        atomic_fetch_add(&c->stats.failures, 1);
        session_put(call->made);
        call->made = NULL;
    }
    return err;
}
