#include "probermesh/task_follow.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/duration.h"
#include "common/utf8.h"
#include "probermesh/task_view.h"
#include "probermesh/terminal.h"

#define ID_MAX 64
#define PATH_ROOM 256
#define ANSWER_NS (10 * CLOCK_NS_PER_S)  /* for what the server answers at once */
#define NEWS_NS (20 * CLOCK_NS_PER_S)    /* that it may wait for news */
#define NEWS_EVERY_MS 100 /* it is asked at most; news may come much faster */
#define PAUSE_MS 1000                    /* before it is asked again, after no news or trouble */
#define TROUBLE_NS (60 * CLOCK_NS_PER_S) /* after which it is given up */
#define TOGETHER_NS (CLOCK_NS_PER_S * 7 / 10) /* results that come within it are shown together */
#define GROUP 32                              /* agents whose outputs are in memory at a time */
#define OUTPUT_JSON 65536                     /* bytes of each output in what -json prints */
#define CLEAR_LINE "\r\033[K"

struct follow {
    const struct client_options *options;
    struct client_target target;
    struct view_style style;
    bool progress;
    int signals; /* -1: none */
    char id[ID_MAX];
    struct json *task; /* the newest; NULL: none yet */
    uint64_t version;
    const struct json **rows; /* of the newest */
    bool *printed;
    size_t count;
    uint64_t ready_ns;   /* since when something could be printed; 0: nothing */
    uint64_t trouble_ns; /* since when the server does not answer; 0: it does */
    uint64_t until_ns;
    bool cancelled;
};

/* What goes on after a step: -1, else the exit status. */
enum { GO_ON = -1 };

static void say(const struct follow *f, const char *text)
{
    fprintf(stderr, "%sprobermesh: %s\n", f->progress ? CLEAR_LINE : "", text);
}

/* ---- asking ---- */

static enum prober_error ask(const struct follow *f, const struct client_request *request,
                             uint64_t timeout_ns, int stop_fd, struct client_answer *answer,
                             struct prober_failure *why)
{
    struct client_target target = f->target;

    target.timeout_ns = timeout_ns;
    return client_ask(&target, request, answer, 1, stop_fd, why);
}

static char *make_body(const struct client_options *options, const char *line)
{
    struct json *body = json_object();
    char timeout[DURATION_TEXT_MAX], *text;

    json_add_string(body, "region", options->region);
    json_add_string(body, "expr", client_exprs[options->expr]);
    json_add_string(body, "cmd", line);
    if (options->task_timeout_ns)
        json_add_string(body, "timeout", duration_format(options->task_timeout_ns, timeout));
    text = json_print(body, false);
    json_free(body);
    return text;
}

static enum prober_error take_order(struct follow *f, const struct client_answer *answer,
                                    struct prober_failure *why)
{
    struct json *said = NULL;
    const char *id = NULL;
    uint64_t agents = 0;

    if (answer->status != 200)
        return client_refused(answer, why);
    if (json_parse(&said, answer->bytes, answer->len, why) == PROBER_OK)
        id = json_string(json_get(said, "task"));
    if (!id || !client_is_name(id)) {
        json_free(said);
        return prober_fail(why, PROBER_ERR_PROTOCOL, "not the answer of a ProberMesh server");
    }
    snprintf(f->id, sizeof(f->id), "%s", id);
    json_u64(json_get(said, "agents"), &agents);
    fprintf(stderr, "probermesh: task %s goes to %llu agent%s\n", f->id, (unsigned long long)agents,
            agents == 1 ? "" : "s");
    json_free(said);
    return PROBER_OK;
}

/* -detach: all that there is to say. */
static void print_order(const struct follow *f, const struct client_answer *answer)
{
    if (f->options->json)
        printf("%s\n", answer->bytes);
    else
        printf("%s\n", f->id);
}

static enum prober_error give_order(struct follow *f, const char *line, struct prober_failure *why)
{
    char *body = make_body(f->options, line);
    const struct client_request request = {.path = "/-/task", .body = body};
    struct client_answer answer = {0};
    enum prober_error err = PROBER_ERR_NOMEM;

    if (body)
        err = ask(f, &request, ANSWER_NS, -1, &answer, why);
    else
        prober_fail(why, err, "out of memory");
    if (!err)
        err = take_order(f, &answer, why);
    if (!err && f->options->detach)
        print_order(f, &answer);
    client_answers_free(&answer, 1);
    free(body);
    return err;
}

/* ---- news ---- */

static enum prober_error take_rows(struct follow *f, struct prober_failure *why)
{
    const struct json *agents = json_get(f->task, "agents");
    size_t i = 0;

    if (!f->rows) {
        f->count = json_count(agents);
        f->rows = calloc(f->count + 1, sizeof(*f->rows));
        f->printed = calloc(f->count + 1, sizeof(*f->printed));
        if (!f->rows || !f->printed)
            return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
    }
    if (!json_is_array(agents) || json_count(agents) != f->count ||
        json_u64(json_get(f->task, "version"), &f->version))
        return prober_fail(why, PROBER_ERR_PROTOCOL, "not the answer of a ProberMesh server");
    for (const struct json *row = json_first(agents); row; row = json_next(row))
        f->rows[i++] = row;
    return PROBER_OK;
}

/* Asks for the task once it differs from what is known, or after a while. */
static enum prober_error ask_for_news(struct follow *f, uint64_t wait_ns,
                                      struct client_answer *answer, struct prober_failure *why)
{
    char path[PATH_ROOM];
    const struct client_request request = {.path = path};

    if (f->task)
        snprintf(path, sizeof(path), "/api/v1/tasks/%s?output=0&wait=%llums&seen=%llu", f->id,
                 (unsigned long long)(wait_ns / CLOCK_NS_PER_MS + 1),
                 (unsigned long long)f->version);
    else
        snprintf(path, sizeof(path), "/api/v1/tasks/%s?output=0", f->id);
    return ask(f, &request, wait_ns + ANSWER_NS, f->signals, answer, why);
}

static enum prober_error look(struct follow *f, uint64_t wait_ns, struct prober_failure *why)
{
    struct client_answer answer = {0};
    struct json *task = NULL;
    enum prober_error err = ask_for_news(f, wait_ns, &answer, why);

    if (!err && (answer.status >= 500 || answer.status == 429)) {
        client_refused(&answer, why);
        err = PROBER_ERR_UNREACHABLE; /* for now */
    } else if (!err && answer.status != 200) {
        client_refused(&answer, why);
        err = PROBER_ERR_DENIED;
    }
    if (!err)
        err = json_parse(&task, answer.bytes, answer.len, why);
    client_answers_free(&answer, 1);
    if (err)
        return err;
    json_free(f->task);
    f->task = task;
    return take_rows(f, why);
}

static bool all_ended(const struct follow *f)
{
    for (size_t i = 0; i < f->count; i++)
        if (!task_view_has_ended(f->rows[i]))
            return false;
    return f->task != NULL;
}

/* ---- results ---- */

static const char *text_of(const struct json *row, const char *key)
{
    const char *text = json_string(json_get(row, key));

    return text ? text : "";
}

/* Whether it is to be printed: its region is complete. */
static bool is_ready(const struct follow *f, size_t which)
{
    const char *region = text_of(f->rows[which], "region");

    for (size_t i = 0; i < f->count; i++)
        if (!task_view_has_ended(f->rows[i]) && strcmp(text_of(f->rows[i], "region"), region) == 0)
            return false;
    return !f->printed[which];
}

/* Fetches both outputs of panels[count], a few at a time; what cannot be had is left out. */
static enum prober_error fetch(const struct follow *f, const struct task_panel *panels,
                               size_t count, struct client_answer *answers,
                               struct prober_failure *why)
{
    static const char *const streams[] = {"stdout", "stderr"};
    enum prober_error err = PROBER_OK;

    for (size_t at = 0; at < 2 * count && !err; at += CLIENT_AT_ONCE) {
        struct client_request requests[CLIENT_AT_ONCE] = {0};
        char paths[CLIENT_AT_ONCE][PATH_ROOM];
        size_t n = 2 * count - at < CLIENT_AT_ONCE ? 2 * count - at : CLIENT_AT_ONCE;
        struct client_target target = f->target;

        for (size_t i = 0; i < n; i++) {
            snprintf(paths[i], PATH_ROOM, "/api/v1/tasks/%s/output/%.64s?stream=%s", f->id,
                     text_of(panels[(at + i) / 2].row, "agent"), streams[(at + i) % 2]);
            requests[i].path = paths[i];
        }
        target.timeout_ns = ANSWER_NS;
        err = client_ask(&target, requests, answers + at, n, -1, why);
    }
    return err;
}

/* Sorts panels by region, so that results of one stand together. */
static int compare_panels(const void *a, const void *b)
{
    const struct json *left = ((const struct task_panel *)a)->row;
    const struct json *right = ((const struct task_panel *)b)->row;
    int order = strcmp(text_of(left, "region"), text_of(right, "region"));

    return order ? order : strcmp(text_of(left, "address"), text_of(right, "address"));
}

static void print_panels(struct follow *f, struct task_panel *panels, size_t count)
{
    struct client_answer answers[2 * GROUP] = {0};
    struct strbuf text = STRBUF_INIT;
    struct prober_failure why;

    if (fetch(f, panels, count, answers, &why))
        say(f, why.text);
    for (size_t i = 0; i < count; i++) {
        const struct client_answer *out = &answers[2 * i], *err = &answers[2 * i + 1];

        panels[i].out = out->status == 200 ? out->bytes : NULL;
        panels[i].out_len = out->len;
        panels[i].err = err->status == 200 ? err->bytes : NULL;
        panels[i].err_len = err->len;
    }
    task_view_panels(panels, count, f->style, &text);
    if (f->progress)
        fputs(CLEAR_LINE, stderr);
    fwrite(text.bytes ? text.bytes : "", 1, text.len, stdout);
    fflush(stdout);
    strbuf_free(&text);
    client_answers_free(answers, 2 * count);
}

/* Prints what is ready. On a terminal a moment is waited for more, to stand beside it. */
static void print_ready(struct follow *f, uint64_t now_ns)
{
    struct task_panel *panels = calloc(f->count + 1, sizeof(*panels));
    size_t count = 0;
    bool print;

    for (size_t i = 0; panels && i < f->count; i++)
        if (is_ready(f, i))
            panels[count++].row = f->rows[i];
    if (count > 0 && f->ready_ns == 0)
        f->ready_ns = now_ns;
    print = f->style.width == 0 || all_ended(f) || now_ns - f->ready_ns >= TOGETHER_NS;
    if (count > 0 && print) {
        for (size_t i = 0; i < f->count; i++)
            f->printed[i] = f->printed[i] || is_ready(f, i);
        qsort(panels, count, sizeof(*panels), compare_panels);
        for (size_t at = 0; at < count; at += GROUP)
            print_panels(f, panels + at, count - at < GROUP ? count - at : GROUP);
        f->ready_ns = 0;
    }
    free(panels);
}

static void show_progress(const struct follow *f)
{
    struct strbuf text = STRBUF_INIT;

    task_view_progress(f->task, &text);
    if (f->progress && strbuf_ok(&text))
        fprintf(stderr, CLEAR_LINE "%s%s", text.bytes, f->cancelled ? ", cancelled" : "");
    strbuf_free(&text);
}

static int print_json(const struct follow *f)
{
    char path[PATH_ROOM];
    const struct client_request request = {.path = path};
    struct client_answer answer = {0};
    struct prober_failure why;
    int status = 0;

    snprintf(path, sizeof(path), "/api/v1/tasks/%s?output=%d", f->id, OUTPUT_JSON);
    if (ask(f, &request, ANSWER_NS, -1, &answer, &why) ||
        (answer.status != 200 && client_refused(&answer, &why))) {
        say(f, why.text);
        status = TASK_FOLLOW_TROUBLE;
    } else {
        printf("%s\n", answer.bytes);
    }
    client_answers_free(&answer, 1);
    return status;
}

/* ---- what interrupts ---- */

static int cancel(struct follow *f)
{
    char path[PATH_ROOM];
    const struct client_request request = {.path = path, .method = "DELETE"};
    struct client_answer answer = {0};
    struct signalfd_siginfo info;
    struct prober_failure why;

    while (read(f->signals, &info, sizeof(info)) > 0)
        ;
    if (f->cancelled) {
        say(f, "left while the task ends");
        return TASK_FOLLOW_INTERRUPTED;
    }
    f->cancelled = true;
    say(f, "cancelling the task; interrupt again to leave it");
    snprintf(path, sizeof(path), "/api/v1/tasks/%s", f->id);
    if (ask(f, &request, ANSWER_NS, -1, &answer, &why) ||
        (answer.status != 200 && client_refused(&answer, &why)))
        say(f, why.text);
    client_answers_free(&answer, 1);
    return GO_ON;
}

/* Bears a server that is away, for a while. */
static int bear(struct follow *f, enum prober_error err, const struct prober_failure *why)
{
    uint64_t now_ns = clock_monotonic_ns();
    bool passes = err == PROBER_ERR_UNREACHABLE || err == PROBER_ERR_TIMEOUT ||
                  err == PROBER_ERR_IO || err == PROBER_ERR_PROTOCOL;
    bool first = f->trouble_ns == 0;

    if (first)
        f->trouble_ns = now_ns;
    if (first || !passes)
        say(f, why->text);
    if (passes && now_ns - f->trouble_ns < TROUBLE_NS)
        return GO_ON;
    fprintf(stderr, "probermesh: 'probermesh task show %s' shows what comes of it\n", f->id);
    return TASK_FOLLOW_TROUBLE;
}

static void pause_for(const struct follow *f, int ms)
{
    struct pollfd signals = {.fd = f->signals, .events = POLLIN};

    poll(&signals, 1, ms);
}

/* One question, and what follows from the answer. */
static int step(struct follow *f)
{
    uint64_t asked_ns = clock_monotonic_ns(), version = f->version, now_ns;
    uint64_t left_ns = f->until_ns > asked_ns ? f->until_ns - asked_ns : 0;
    uint64_t most_ns = f->ready_ns ? TOGETHER_NS : NEWS_NS;
    bool knew = f->task != NULL;
    struct prober_failure why;
    enum prober_error err = look(f, left_ns < most_ns ? left_ns : most_ns, &why);
    int status = GO_ON;

    now_ns = clock_monotonic_ns();
    if (err == PROBER_ERR_CLOSED)
        return cancel(f);
    if (err) {
        status = bear(f, err, &why);
    } else {
        f->trouble_ns = 0;
        if (!f->options->json)
            print_ready(f, now_ns);
        if (!all_ended(f))
            show_progress(f);
    }
    if (status == GO_ON && !all_ended(f) && now_ns >= f->until_ns) {
        say(f, "the time to wait is up; the task goes on");
        return TASK_FOLLOW_TIME_IS_UP;
    }
    if (err || (knew && version == f->version && now_ns - asked_ns < CLOCK_NS_PER_S / 2))
        pause_for(f, PAUSE_MS);
    else if (!all_ended(f) && now_ns - asked_ns < NEWS_EVERY_MS * CLOCK_NS_PER_MS)
        pause_for(f, NEWS_EVERY_MS);
    return status;
}

static int follow(struct follow *f)
{
    int status = GO_ON, printed = 0;

    do
        status = step(f);
    while (status == GO_ON && !all_ended(f));
    if (f->progress)
        fputs(CLEAR_LINE, stderr);
    if (f->options->json && f->task)
        printed = print_json(f);
    if (status != GO_ON)
        return status;
    if (printed)
        return printed;
    return f->cancelled ? TASK_FOLLOW_INTERRUPTED : (int)task_view_verdict(f->task);
}

int task_follow(const struct client_options *options, const char *line)
{
    struct follow f = {
        .options = options,
        .target = client_options_target(options),
        .style = terminal_style((enum terminal_colour)options->colour),
        .progress = terminal_shows_progress(),
        .signals = terminal_open_signals(),
        .until_ns = clock_monotonic_ns() + options->wait_ns,
    };
    struct prober_failure why;
    int status = 0;

    if (give_order(&f, line, &why)) {
        say(&f, why.text);
        status = TASK_FOLLOW_TROUBLE;
    } else if (!options->detach) {
        status = follow(&f);
    }
    if (f.signals >= 0)
        close(f.signals);
    json_free(f.task);
    free(f.rows);
    free(f.printed);
    return status;
}
