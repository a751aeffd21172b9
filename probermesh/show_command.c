#include "probermesh/show_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "probermesh/client.h"
#include "probermesh/client_options.h"
#include "probermesh/terminal.h"
#include "probermesh/view.h"

/* Redraws in place: home, then erase what is below, so nothing flickers. */
#define SCREEN_HOME "\033[H"
#define SCREEN_ERASE_LINE "\033[K\n"
#define SCREEN_ERASE_BELOW "\033[J"
#define SCREEN_CLEAR "\033[2J"

/* What a command asks for and how it shows that. */
struct page {
    enum client_command command;
    const char *path;
    const char *list, *what; /* of the answer, and what its heading calls its items */
    const char *fault;       /* what it calls those that are not well, which `is_well` says */
    bool (*is_well)(const struct json *item);
    enum prober_error (*view)(const struct json *answer, struct view_style style,
                              struct strbuf *out, struct prober_failure *why);
};

static bool pair_is_well(const struct json *pair)
{
    bool failed = false;

    json_bool(json_get(pair, "failed"), &failed);
    return !failed;
}

static bool agent_is_well(const struct json *agent)
{
    bool alive = false;

    json_bool(json_get(agent, "alive"), &alive);
    return alive;
}

static bool change_was_made(const struct json *change)
{
    uint64_t status = 0;

    json_u64(json_get(change, "status"), &status);
    return status >= 200 && status < 300;
}

static const struct page mesh_page = {CLIENT_STATUS, "/api/v1/mesh", "pairs",    "region pairs",
                                      "failed",      pair_is_well,   view_matrix};
static const struct page pairs_page = {CLIENT_STATUS, "/api/v1/mesh", "pairs",   "region pairs",
                                       "failed",      pair_is_well,   view_pairs};
static const struct page urls_page = {CLIENT_URLS, "/api/v1/http",    "urls",   "URLs",
                                      "failing",   view_url_succeeds, view_urls};
static const struct page agents_page = {CLIENT_AGENTS, "/api/v1/agents", "agents",   "agents",
                                        "gone",        agent_is_well,    view_agents};
static const struct page audit_page = {CLIENT_AUDIT, "/api/v1/audit", "records",  "changes",
                                       "not made",   change_was_made, view_audit};

static void put_heading(const struct page *page, const struct client_options *options,
                        const struct json *answer, struct strbuf *out)
{
    char clock[32];
    time_t now = time(NULL);
    struct tm tm;
    size_t faults = 0;
    const struct json *list = json_get(answer, page->list);

    for (const struct json *row = json_first(list); row; row = json_next(row))
        faults += !page->is_well(row);
    localtime_r(&now, &tm);
    strftime(clock, sizeof(clock), "%Y-%m-%d %H:%M:%S", &tm);
    strbuf_printf(out, "%s  %s/metrics  %zu %s, %zu %s\n\n", clock, options->server,
                  json_count(list), page->what, faults, page->fault);
}

static enum prober_error make_page(const struct page *page, const struct client_options *options,
                                   const struct json *answer, const char *text, struct strbuf *out,
                                   struct prober_failure *why)
{
    if (options->json) {
        strbuf_puts(out, text);
        strbuf_putc(out, '\n');
        return PROBER_OK;
    }
    if (options->watch)
        put_heading(page, options, answer, out);
    return page->view(answer, terminal_style((enum terminal_colour)options->colour), out, why);
}

static enum prober_error look(const struct page *page, const struct client_options *options,
                              struct strbuf *out, struct prober_failure *why)
{
    const struct client_target target = client_options_target(options);
    struct json *answer = NULL;
    char *text = NULL;
    enum prober_error err;

    err = client_get(&target, page->path, &answer, &text, why);
    if (!err)
        err = make_page(page, options, answer, text, out, why);
    json_free(answer);
    free(text);
    return err;
}

static void print(const struct strbuf *text, bool in_place)
{
    if (!in_place) {
        fputs(text->bytes, stdout);
        fflush(stdout);
        return;
    }
    fputs(SCREEN_HOME, stdout);
    for (const char *c = text->bytes; *c; c++)
        if (*c == '\n')
            fputs(SCREEN_ERASE_LINE, stdout);
        else
            putchar(*c);
    fputs(SCREEN_ERASE_BELOW, stdout);
    fflush(stdout);
}

/* Shows the page until a signal; a server that does not answer is told, and asked again. */
static void watch(const struct page *page, const struct client_options *options)
{
    bool in_place = terminal_is_tty() && !options->json;
    struct strbuf text = STRBUF_INIT;

    terminal_watch_signals();
    if (in_place)
        fputs(SCREEN_CLEAR, stdout);
    do {
        struct prober_failure why;

        strbuf_clear(&text);
        if (look(page, options, &text, &why)) {
            strbuf_clear(&text);
            strbuf_printf(&text, "%s\n", why.text);
        }
        if (!options->json)
            strbuf_putc(&text, '\n');
        if (strbuf_ok(&text))
            print(&text, in_place);
    } while (terminal_wait(options->interval_ns));
    strbuf_free(&text);
}

static int show(const struct page *page, const struct client_options *options)
{
    struct prober_failure why;
    struct strbuf text = STRBUF_INIT;
    int status = 0;

    if (options->watch) {
        watch(page, options);
    } else if (look(page, options, &text, &why)) {
        fprintf(stderr, "probermesh: %s\n", why.text);
        status = 1;
    } else {
        print(&text, false);
    }
    strbuf_free(&text);
    return status;
}

static int run(const struct page *page, const struct page *with_pairs, int argc, char *const *argv)
{
    struct client_options options;
    int status;

    if (!client_options_read(&options, page->command, argc, argv, &status))
        return status;
    status = show(options.pairs ? with_pairs : page, &options);
    client_options_free(&options, page->command);
    return status;
}

int status_command(int argc, char *const *argv)
{
    return run(&mesh_page, &pairs_page, argc, argv);
}

int urls_command(int argc, char *const *argv)
{
    return run(&urls_page, &urls_page, argc, argv);
}

int agents_command(int argc, char *const *argv)
{
    return run(&agents_page, &agents_page, argc, argv);
}

int audit_command(int argc, char *const *argv)
{
    return run(&audit_page, &audit_page, argc, argv);
}
