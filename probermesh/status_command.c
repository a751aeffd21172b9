#include "probermesh/status_command.h"

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

static void put_heading(const struct client_options *options, const struct json *answer,
                        struct strbuf *page)
{
    char clock[32];
    time_t now = time(NULL);
    struct tm tm;
    size_t failed = 0;
    const struct json *pairs = json_get(answer, "pairs");

    for (size_t i = 0; i < json_count(pairs); i++) {
        bool is_failed = false;

        json_bool(json_get(json_at(pairs, i), "failed"), &is_failed);
        failed += is_failed;
    }
    localtime_r(&now, &tm);
    strftime(clock, sizeof(clock), "%Y-%m-%d %H:%M:%S", &tm);
    strbuf_printf(page, "%s  %s/metrics  %zu region pairs, %zu failed\n\n", clock, options->server,
                  json_count(pairs), failed);
}

static enum prober_error make_page(const struct client_options *options, const struct json *answer,
                                   const char *text, struct strbuf *page, struct prober_failure *why)
{
    struct view_style style = terminal_style((enum terminal_colour)options->colour);

    if (options->json) {
        strbuf_puts(page, text);
        strbuf_putc(page, '\n');
        return PROBER_OK;
    }
    if (options->watch)
        put_heading(options, answer, page);
    if (options->pairs)
        return view_pairs(answer, style, page, why);
    return view_matrix(answer, style, page, why);
}

static enum prober_error look(const struct client_options *options, struct strbuf *page,
                              struct prober_failure *why)
{
    struct json *answer = NULL;
    char *text = NULL;
    enum prober_error err;

    err = client_get(options->server, "/api/v1/mesh", options->timeout_ns, &answer, &text, why);
    if (!err)
        err = make_page(options, answer, text, page, why);
    json_free(answer);
    free(text);
    return err;
}

static void show(const struct strbuf *page, bool in_place)
{
    if (!in_place) {
        fputs(page->bytes, stdout);
        fflush(stdout);
        return;
    }
    fputs(SCREEN_HOME, stdout);
    for (const char *c = page->bytes; *c; c++)
        if (*c == '\n')
            fputs(SCREEN_ERASE_LINE, stdout);
        else
            putchar(*c);
    fputs(SCREEN_ERASE_BELOW, stdout);
    fflush(stdout);
}

/* Shows the mesh until a signal; a server that does not answer is told, and asked again. */
static void watch(const struct client_options *options)
{
    bool in_place = terminal_is_tty() && !options->json;
    struct strbuf page = STRBUF_INIT;

    terminal_watch_signals();
    if (in_place)
        fputs(SCREEN_CLEAR, stdout);
    do {
        struct prober_failure why;

        strbuf_clear(&page);
        if (look(options, &page, &why)) {
            strbuf_clear(&page);
            strbuf_printf(&page, "%s\n", why.text);
        }
        if (!options->json)
            strbuf_putc(&page, '\n');
        if (strbuf_ok(&page))
            show(&page, in_place);
    } while (terminal_wait(options->interval_ns));
    strbuf_free(&page);
}

int status_command(int argc, char *const *argv)
{
    struct client_options options;
    struct prober_failure why;
    struct strbuf page = STRBUF_INIT;
    int status;

    if (!client_options_read(&options, CLIENT_STATUS, argc, argv, &status))
        return status;
    status = 0;
    if (options.watch) {
        watch(&options);
    } else if (look(&options, &page, &why)) {
        fprintf(stderr, "probermesh: %s\n", why.text);
        status = 1;
    } else {
        show(&page, false);
    }
    strbuf_free(&page);
    client_options_free(&options, CLIENT_STATUS);
    return status;
}
