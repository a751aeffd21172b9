#include "serverd/target_lists.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "serverd/saved_lists.h"
#include "serverd/target_set.h"

#define FETCH_TIMEOUT_NS (30 * CLOCK_NS_PER_S)
#define FETCHES_MAX 64 /* at once: each may bring TARGET_LIST_BYTES_MAX */
/* How long a list that was never loaded waits at most: its endpoint may just be starting too. */
#define FIRST_RETRY_NS (10 * CLOCK_NS_PER_S)
/* From a change in a directory to the reading: whoever writes several files is done by then. */
#define SETTLE_NS (100 * CLOCK_NS_PER_MS)
#define PUBLISH_RETRY_NS CLOCK_NS_PER_S
#define WATCHED                                                                                    \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |    \
     IN_ONLYDIR)

struct target_lists {
    struct target_lists_config config;
    char *state_dir; /* NULL: none */
    /* Held while publishing, so that what is published comes in order. Taken before `lock`. */
    pthread_mutex_t order;
    pthread_mutex_t lock;
    struct target_set *set;      /* a reference; guarded by lock, as are the next three */
    struct target_set *next_set; /* between begin and end */
    bool changing;               /* between begin and end */
    bool dirty;                  /* there is something to publish */
    pthread_t thread;
    bool started;
    atomic_bool stop;
    int wake; /* eventfd */

    /* the worker's */
    struct http_fetcher *fetcher;
    struct target_item *active; /* with a fetch under way, each with a reference */
    size_t active_count;
    int inotify;                      /* -1: none */
    bool save_failing, watch_failing; /* and told */
};

static struct target_set *current_set(struct target_lists *t)
{
    struct target_set *set;

    pthread_mutex_lock(&t->lock);
    set = target_set_get(t->set);
    pthread_mutex_unlock(&t->lock);
    return set;
}

/* ---- what came of a refresh ---- */

static void tell(const struct target_item *list, bool failing, size_t targets,
                 const struct prober_failure *why)
{
    const char *type = probe_kind_name(list->kind);

    if (!failing)
        log_warn("a list of targets can be refreshed again", LOG_S("list", list->source->shown),
                 LOG_S("prober_type", type), LOG_U("targets", targets));
    else if (list->success_real_ns == 0 && targets == 0)
        log_error("a list of targets cannot be loaded: it is empty until this is mended",
                  LOG_S("list", list->source->shown), LOG_S("prober_type", type),
                  LOG_S("why", why->text));
    else
        log_error("a list of targets cannot be refreshed: what it last listed stays until this is "
                  "mended",
                  LOG_S("list", list->source->shown), LOG_S("prober_type", type),
                  LOG_U("targets", targets), LOG_S("why", why->text));
}

static void save(struct target_lists *t, const struct target_item *list,
                 const struct target_list *content)
{
    struct prober_failure why;
    enum prober_error err;

    if (!t->state_dir || list->source->kind != TARGET_SOURCE_HTTP)
        return;
    err = saved_lists_write(t->state_dir, list->kind, list->source, content, &why);
    if (err && !t->save_failing)
        log_warn("lists of targets do not survive a restart: they cannot be written",
                 LOG_S("why", why.text));
    t->save_failing = err != PROBER_OK;
}

/* Whether a book of these pages can be planned.
 * Errors: PROBER_ERR_RANGE and others, with a sentence in *why. */
static enum prober_error check_pages(const struct target_lists *t, const struct target_set *set,
                                     const struct target_page *pages, struct prober_failure *why)
{
    struct target_book *book = NULL;
    struct probe_spec *spec = NULL;
    struct problems *problems = NULL;
    size_t targets = target_set_total(set, pages);
    enum prober_error err;

    if (targets > PROBE_SPEC_TARGETS_MAX)
        return prober_fail(why, PROBER_ERR_RANGE,
                           "there would be %zu targets in the probe file and all lists, at most %d "
                           "may be",
                           targets, PROBE_SPEC_TARGETS_MAX);
    if (!t->config.check || !set->spec)
        return PROBER_OK;
    err = problems_create(&problems);
    if (!err)
        err = target_book_create(&book, pages, set->count);
    if (!err)
        err = probe_spec_extend(&spec, set->spec, book);
    if (!err)
        err = t->config.check(t->config.context, spec, &set->plan, problems);
    if (err && (!problems || !problems_failure(problems, why)))
        prober_fail(why, err, "%s", prober_error_text(err));
    probe_spec_extended_free(spec);
    target_book_put(book);
    problems_destroy(problems);
    return err;
}

static struct target_page *pages_of(struct target_lists *t, const struct target_set *set)
{
    struct target_page *pages;

    pthread_mutex_lock(&t->lock);
    pages = target_set_pages(set);
    pthread_mutex_unlock(&t->lock);
    return pages;
}

/* Whether the list can become this. Errors: with a sentence in *why. */
static enum prober_error check_content(struct target_lists *t, const struct target_set *set,
                                       const struct target_item *list, struct target_list *content,
                                       struct prober_failure *why)
{
    struct target_page *pages = pages_of(t, set);
    enum prober_error err;

    if (!pages)
        return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < set->count; i++)
        if (set->slots[i].list == list) {
            target_list_put(pages[i].list);
            pages[i].list = target_list_get(content);
        }
    err = check_pages(t, set, pages, why);
    target_set_free_pages(set, pages);
    return err;
}

/* Notes what a refresh brought: content (taken over; NULL: nothing new) and, with why->code, what is
 * wrong. A list of files may bring both. set: that in force, in which it must fit; NULL: none yet. */
static void note_refresh(struct target_lists *t, const struct target_set *set,
                         struct target_item *list, struct target_list *content,
                         struct prober_failure *why)
{
    bool was_failing, changed;
    size_t targets;

    /* who calls is the only one to change what the list holds */
    changed = content && !target_list_equal(content, list->current);
    if (changed && set && check_content(t, set, list, content, why))
        changed = false;
    pthread_mutex_lock(&t->lock);
    was_failing = list->failing;
    list->failing = why->code != PROBER_OK;
    list->refreshes++;
    list->failures += list->failing;
    if (!list->failing)
        list->success_real_ns = clock_realtime_ns();
    if (changed) {
        target_list_put(list->current);
        list->current = target_list_get(content);
        t->dirty = true;
    }
    targets = list->current ? list->current->count : 0;
    pthread_mutex_unlock(&t->lock);
    if (was_failing != list->failing)
        tell(list, list->failing, targets, why);
    if (changed)
        save(t, list, content);
    target_list_put(content);
}

static void scan_files(struct target_lists *t, const struct target_set *set,
                       struct target_item *list)
{
    struct problems *problems = NULL;
    struct prober_failure why = {PROBER_OK, ""};
    struct target_list *content = NULL;
    enum prober_error err = problems_create(&problems);

    if (!err)
        err = target_files_scan(list->files, clock_realtime_ns(), problems);
    if (!err)
        err = target_files_list(list->files, &content);
    if (err == PROBER_ERR_RANGE)
        prober_fail(&why, err, "more targets or regions in all files than a list may have");
    else if (err)
        prober_fail(&why, err, "%s", prober_error_text(err));
    else
        problems_failure(problems, &why);
    if (content && content->count == 0 && why.code && !list->current) {
        target_list_put(content); /* nothing could be read: that is not an empty list */
        content = NULL;
    }
    note_refresh(t, set, list, content, &why);
    problems_destroy(problems);
}

/* ---- fetching ---- */

static uint64_t due_after(const struct target_item *list, uint64_t refresh_ns, uint64_t now_ns)
{
    if (!list->current && refresh_ns > FIRST_RETRY_NS)
        refresh_ns = FIRST_RETRY_NS;
    return now_ns + refresh_ns;
}

static void start_fetch(struct target_lists *t, const struct target_set *set,
                        const struct target_slot *slot, uint64_t now_ns)
{
    struct target_item *list = slot->list;
    struct prober_failure why = {PROBER_OK, ""};
    uint64_t timeout_ns = slot->refresh_ns < FETCH_TIMEOUT_NS ? slot->refresh_ns : FETCH_TIMEOUT_NS;

    if (target_fetch_start(&list->fetch, t->fetcher, list->source, slot->refresh_ns, timeout_ns,
                           &why)) {
        list->due_ns = due_after(list, slot->refresh_ns, now_ns);
        note_refresh(t, set, list, NULL, &why);
        return;
    }
    list->due_ns = UINT64_MAX;
    list->next_active = t->active;
    t->active = target_item_get(list);
    t->active_count++;
}

static void end_fetch(struct target_lists *t, const struct target_set *set,
                      struct target_item *list, uint64_t now_ns)
{
    const struct target_slot *slot = target_set_find(set, list->kind, list->source);
    struct prober_failure why = {PROBER_OK, ""};
    struct target_list *content = NULL;

    if (!target_fetch_read(list->fetch, list->kind, &content, &why))
        why.code = PROBER_OK;
    target_fetch_destroy(list->fetch);
    list->fetch = NULL;
    note_refresh(t, set, list, content, &why);
    list->due_ns = due_after(list, slot ? slot->refresh_ns : list->source->refresh_ns, now_ns);
}

static void take_answers(struct target_lists *t, const struct target_set *set)
{
    const struct http_answer *answer;

    while ((answer = http_fetcher_take(t->fetcher))) {
        struct target_item **at = &t->active, *list;

        while (target_fetch_answer((*at)->fetch) != answer)
            at = &(*at)->next_active;
        list = *at;
        *at = list->next_active;
        t->active_count--;
        end_fetch(t, set, list, clock_monotonic_ns());
        target_item_put(list);
    }
}

/* ---- watching ---- */

static void tell_unwatched(struct target_lists *t, const char *what)
{
    if (!t->watch_failing)
        log_warn("changes of some files with targets are seen at their refresh_interval only",
                 LOG_S("what", what), LOG_S("why", strerror(errno)));
    t->watch_failing = true;
}

/* A directory that is watched already keeps its number, one that is new under its name gets one. One
 * that is missing is a fault of the list. */
static void watch(struct target_lists *t, struct target_item *list)
{
    for (size_t i = 0; t->inotify >= 0 && i < list->source->file_count; i++) {
        char *dir = target_files_dir(list->files, i);

        list->watches[i] = dir ? inotify_add_watch(t->inotify, dir, WATCHED) : -1;
        if (dir && list->watches[i] < 0 && errno != ENOENT)
            tell_unwatched(t, dir);
        free(dir);
    }
}

static void begin_watching(struct target_lists *t)
{
    if (t->inotify >= 0)
        close(t->inotify);
    t->watch_failing = false;
    t->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (t->inotify < 0)
        tell_unwatched(t, "inotify");
}

static bool is_watched_by(const struct target_item *list, int number)
{
    for (size_t i = 0; i < list->source->file_count; i++)
        if (list->watches[i] == number)
            return true;
    return false;
}

static void note_event(const struct target_set *set, const struct inotify_event *event,
                       uint64_t now_ns)
{
    for (size_t i = 0; i < set->count; i++) {
        struct target_item *list = set->slots[i].list;

        if (list->files && list->due_ns > now_ns + SETTLE_NS &&
            ((event->mask & IN_Q_OVERFLOW) || is_watched_by(list, event->wd)))
            list->due_ns = now_ns + SETTLE_NS;
    }
}

static void take_events(struct target_lists *t, const struct target_set *set, uint64_t now_ns)
{
    _Alignas(struct inotify_event) char events[8192];
    ssize_t got;

    while (t->inotify >= 0 && (got = read(t->inotify, events, sizeof(events))) > 0)
        for (char *at = events; at < events + got;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;

            note_event(set, event, now_ns);
            at += sizeof(*event) + event->len;
        }
}

/* ---- the worker ---- */

/* Does what is due; returns when something is due next. */
static uint64_t refresh(struct target_lists *t, struct target_set *set, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    for (size_t i = 0; i < set->count; i++) {
        struct target_slot *slot = &set->slots[i];
        struct target_item *list = slot->list;

        if (now_ns >= list->due_ns && list->files) {
            list->due_ns = now_ns + slot->refresh_ns;
            watch(t, list); /* first, so that no change falls between */
            scan_files(t, set, list);
        } else if (now_ns >= list->due_ns) {
            if (t->active_count == FETCHES_MAX)
                continue; /* the end of another wakes us */
            start_fetch(t, set, slot, now_ns);
        }
        if (list->due_ns < next_ns)
            next_ns = list->due_ns;
    }
    return next_ns;
}

static void note_left_out(struct target_lists *t, struct target_item *list, bool left_out,
                          const struct prober_failure *why)
{
    bool before;

    pthread_mutex_lock(&t->lock);
    before = list->left_out;
    list->left_out = left_out;
    pthread_mutex_unlock(&t->lock);
    if (left_out && !before)
        log_error("a list of targets is left out: there is no room for it beside the rest",
                  LOG_S("list", list->source->shown),
                  LOG_S("prober_type", probe_kind_name(list->kind)), LOG_S("why", why->text));
}

/* Leaves out those lists that do not fit behind the ones before them: another probe file may have
 * made too much what was not. */
static void leave_out(struct target_lists *t, const struct target_set *set,
                      struct target_page *pages)
{
    struct target_page *fitting = calloc(set->count + 1, sizeof(*fitting));

    for (size_t i = 0; fitting && i < set->count; i++) {
        fitting[i] = pages[i];
        fitting[i].list = NULL;
    }
    for (size_t i = 0; fitting && i < set->count; i++) {
        struct prober_failure why = {PROBER_OK, ""};

        fitting[i].list = pages[i].list;
        if (check_pages(t, set, fitting, &why))
            fitting[i].list = NULL;
        note_left_out(t, set->slots[i].list, why.code != PROBER_OK, &why);
    }
    for (size_t i = 0; i < set->count; i++)
        if (!fitting || !fitting[i].list) {
            target_list_put(pages[i].list);
            pages[i].list = NULL;
        }
    free(fitting);
}

static enum prober_error make_book(struct target_lists *t, const struct target_set *set,
                                   struct target_book **out)
{
    struct target_page *pages = pages_of(t, set);
    struct prober_failure why = {PROBER_OK, ""};
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!pages)
        return err;
    if (check_pages(t, set, pages, &why))
        leave_out(t, set, pages);
    else
        for (size_t i = 0; i < set->count; i++)
            note_left_out(t, set->slots[i].list, false, &why);
    err = target_book_create(out, pages, set->count);
    target_set_free_pages(set, pages);
    return err;
}

/* True when all that there is to tell is told, or waits for the end of a change. */
static bool publish(struct target_lists *t)
{
    struct target_book *book = NULL;
    struct target_set *set = NULL;
    bool wanted, done = true;

    pthread_mutex_lock(&t->order);
    pthread_mutex_lock(&t->lock);
    wanted = t->dirty && !t->changing;
    if (wanted) {
        t->dirty = false;
        set = target_set_get(t->set);
    }
    pthread_mutex_unlock(&t->lock);
    if (wanted && (make_book(t, set, &book) || t->config.publish(t->config.context, book))) {
        target_book_put(book);
        done = false;
        pthread_mutex_lock(&t->lock);
        t->dirty = true;
        pthread_mutex_unlock(&t->lock);
    }
    pthread_mutex_unlock(&t->order);
    target_set_put(set);
    return done;
}

/* Another set is in force: new lists are due, and others by another interval perhaps. */
static void take_set(struct target_lists *t, struct target_set *set, uint64_t now_ns)
{
    begin_watching(t);
    for (size_t i = 0; i < set->count; i++) {
        struct target_slot *slot = &set->slots[i];

        if (slot->list->files)
            slot->list->due_ns = now_ns;
        else if (!slot->list->fetch && slot->list->due_ns > now_ns + slot->refresh_ns)
            slot->list->due_ns = now_ns + slot->refresh_ns;
    }
}

static void clear_wake(int fd)
{
    uint64_t count;
    ssize_t ignored = read(fd, &count, sizeof(count));

    (void)ignored;
}

static void *run(void *context)
{
    struct target_lists *t = context;
    struct target_set *taken = NULL;

    while (!atomic_load(&t->stop)) {
        struct pollfd fds[2] = {{.fd = t->wake}, {.fd = t->inotify}};
        struct target_set *set = current_set(t);
        uint64_t now_ns = clock_monotonic_ns(), next_ns;

        if (set != taken)
            take_set(t, set, now_ns);
        target_set_put(taken);
        taken = set;
        take_answers(t, set);
        take_events(t, set, now_ns);
        next_ns = refresh(t, set, now_ns);
        if (!publish(t) && next_ns > now_ns + PUBLISH_RETRY_NS)
            next_ns = now_ns + PUBLISH_RETRY_NS;
        fds[1].fd = t->inotify;
        now_ns = clock_monotonic_ns();
        http_fetcher_wait(t->fetcher, fds, t->inotify >= 0 ? 2 : 1,
                          next_ns > now_ns ? next_ns - now_ns : 0);
        if (fds[0].revents)
            clear_wake(t->wake);
    }
    target_set_put(taken);
    return NULL;
}

/* ---- another probe file ---- */

/* What a new list holds before it is first refreshed. */
static void load(struct target_lists *t, struct target_item *list)
{
    struct prober_failure why = {PROBER_OK, ""};
    uint64_t saved_real_ns = 0;
    enum prober_error err;

    if (list->files) {
        scan_files(t, NULL, list);
        return;
    }
    if (!t->state_dir)
        return;
    err = saved_lists_read(t->state_dir, list->kind, list->source, &list->current, &saved_real_ns,
                           &why);
    list->success_real_ns = err ? 0 : saved_real_ns;
    if (err && err != PROBER_ERR_NOT_FOUND)
        log_warn("a kept list of targets cannot be used", LOG_S("list", list->source->shown),
                 LOG_S("why", why.text));
}

enum prober_error target_lists_begin(struct target_lists *lists, struct probe_spec *spec,
                                     const struct plan_config *plan, struct target_book **book)
{
    struct target_set *set = NULL;
    enum prober_error err = target_set_create(&set, lists->set, spec, plan);

    for (size_t i = 0; !err && i < set->count; i++) {
        const struct target_slot *slot = &set->slots[i];

        if (!target_set_find(lists->set, slot->list->kind, slot->list->source))
            load(lists, slot->list);
    }
    if (err) {
        target_set_put(set);
        return err;
    }
    pthread_mutex_lock(&lists->order);
    pthread_mutex_lock(&lists->lock);
    lists->changing = true;
    lists->next_set = set;
    pthread_mutex_unlock(&lists->lock);
    pthread_mutex_unlock(&lists->order);
    err = make_book(lists, set, book);
    if (err)
        target_lists_end(lists, false);
    return err;
}

static void wake(struct target_lists *t)
{
    const uint64_t one = 1;
    ssize_t ignored = write(t->wake, &one, sizeof(one));

    (void)ignored;
}

static void prune_saved(struct target_lists *t, const struct target_set *set)
{
    struct target_page *pages = pages_of(t, set);

    if (t->state_dir && pages)
        saved_lists_prune(t->state_dir, pages, set->count);
    target_set_free_pages(set, pages);
}

void target_lists_end(struct target_lists *lists, bool in_force)
{
    struct target_set *gone;

    pthread_mutex_lock(&lists->lock);
    gone = in_force ? lists->set : lists->next_set;
    if (in_force)
        lists->set = lists->next_set;
    lists->next_set = NULL;
    lists->changing = false;
    lists->dirty = true;
    pthread_mutex_unlock(&lists->lock);
    target_set_put(gone);
    if (in_force)
        prune_saved(lists, lists->set);
    wake(lists);
}

/* ---- metrics ---- */

static double success_seconds(const struct target_item *list)
{
    return (double)list->success_real_ns / (double)CLOCK_NS_PER_S;
}

static double targets_of(const struct target_item *list)
{
    return list->current && !list->left_out ? (double)list->current->count : 0;
}

static double refreshes_of(const struct target_item *list)
{
    return (double)list->refreshes;
}

static double failures_of(const struct target_item *list)
{
    return (double)list->failures;
}

void target_lists_write_metrics(struct target_lists *lists, struct metrics_writer *w)
{
    static const struct {
        struct metric_family family;
        double (*value)(const struct target_item *list);
    } rows[] = {
        {{"prober_server_target_list_targets", METRIC_GAUGE, NULL,
          "Targets in the plan that the list names."},
         targets_of},
        {{"prober_server_target_list_refreshes_total", METRIC_COUNTER, NULL,
          "Times that the list was read, well or not."},
         refreshes_of},
        {{"prober_server_target_list_failures_total", METRIC_COUNTER, NULL,
          "Times that it could not be read; what it last listed stays then."},
         failures_of},
        {{"prober_server_target_list_last_success_timestamp_seconds", METRIC_GAUGE, "seconds",
          "When the list was last read well, Unix time; 0: never."},
         success_seconds},
    };
    struct target_set *set = current_set(lists);

    pthread_mutex_lock(&lists->lock);
    for (size_t i = 0; set->count && i < ARRAY_LEN(rows); i++) {
        metrics_family(w, &rows[i].family);
        for (size_t k = 0; k < set->count; k++) {
            const struct metric_label labels[] = {
                {"prober_type", probe_kind_name(set->slots[k].list->kind)},
                {"list", set->slots[k].label}};

            metrics_sample(w, labels, ARRAY_LEN(labels), rows[i].value(set->slots[k].list));
        }
    }
    pthread_mutex_unlock(&lists->lock);
    target_set_put(set);
}

/* ---- life ---- */

enum prober_error target_lists_create(struct target_lists **out,
                                      const struct target_lists_config *config)
{
    struct target_lists *t = calloc(1, sizeof(*t));
    enum prober_error err = PROBER_ERR_NOMEM;

    if (!t)
        return err;
    t->config = *config;
    t->wake = t->inotify = -1;
    pthread_mutex_init(&t->order, NULL);
    pthread_mutex_init(&t->lock, NULL);
    t->state_dir = config->state_dir ? strdup(config->state_dir) : NULL;
    if (config->state_dir && !t->state_dir)
        goto out;
    err = target_set_create(&t->set, NULL, NULL, &(struct plan_config){.dynamic = true});
    if (err)
        goto out;
    t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    err = t->wake < 0 ? PROBER_ERR_IO : http_fetcher_create(&t->fetcher);
    if (err)
        goto out;
    *out = t;
    t = NULL;
out:
    target_lists_destroy(t);
    return err;
}

enum prober_error target_lists_start(struct target_lists *lists)
{
    if (pthread_create(&lists->thread, NULL, run, lists) != 0)
        return PROBER_ERR_IO;
    lists->started = true;
    return PROBER_OK;
}

void target_lists_stop(struct target_lists *lists)
{
    if (!lists || !lists->started)
        return;
    atomic_store(&lists->stop, true);
    wake(lists);
    pthread_join(lists->thread, NULL);
    lists->started = false;
}

void target_lists_destroy(struct target_lists *lists)
{
    if (!lists)
        return;
    target_lists_stop(lists);
    http_fetcher_destroy(lists->fetcher);
    while (lists->active) {
        struct target_item *list = lists->active;

        lists->active = list->next_active;
        target_item_put(list);
    }
    target_set_put(lists->set);
    target_set_put(lists->next_set);
    if (lists->wake >= 0)
        close(lists->wake);
    if (lists->inotify >= 0)
        close(lists->inotify);
    pthread_mutex_destroy(&lists->lock);
    pthread_mutex_destroy(&lists->order);
    free(lists->state_dir);
    free(lists);
}
