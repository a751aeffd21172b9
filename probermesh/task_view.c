#include "probermesh/task_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "common/array.h"
#include "common/utf8.h"
#include "probermesh/table.h"

#define TAB 8
#define CELL_MAX 96
#define PANEL_GAP " │ "
#define PANEL_GAP_WIDTH 3

/* ---- what an answer says ---- */

static const char *text_of(const struct json *object, const char *key)
{
    const char *text = json_string(json_get(object, key));

    return text ? text : "";
}

static uint64_t count_of(const struct json *object, const char *key)
{
    uint64_t count = 0;

    json_u64(json_get(object, key), &count);
    return count;
}

static bool is_true(const struct json *object, const char *key)
{
    bool value = false;

    json_bool(json_get(object, key), &value);
    return value;
}

static bool number_of(const struct json *object, const char *key, double *out)
{
    return json_number(json_get(object, key), out) == PROBER_OK;
}

bool task_view_has_ended(const struct json *row)
{
    return is_true(row, "ended");
}

/* It ran to its end, however that was. */
static bool ran(const struct json *row)
{
    return strcmp(text_of(row, "state"), "done") == 0;
}

static bool is_well(const struct json *row)
{
    double code;

    return ran(row) && number_of(row, "exit_code", &code) && code == 0;
}

enum task_verdict task_view_verdict(const struct json *task)
{
    enum task_verdict verdict = TASK_ALL_WELL;

    for (const struct json *row = json_first(json_get(task, "agents")); row; row = json_next(row)) {
        if (!ran(row))
            return TASK_SOME_NOT_RUN;
        if (!is_well(row))
            verdict = TASK_SOME_FAILED;
    }
    return verdict;
}

void task_view_progress(const struct json *task, struct strbuf *out)
{
    const struct json *rows = json_get(task, "agents"), *counts = json_get(task, "counts");
    static const char *const open[] = {"running", "sent", "queued"};
    const char *before = " (";
    size_t ended = 0;

    for (const struct json *row = json_first(rows); row; row = json_next(row))
        ended += task_view_has_ended(row);
    strbuf_printf(out, "%zu of %zu have ended", ended, json_count(rows));
    for (size_t i = 0; i < ARRAY_LEN(open); i++) {
        uint64_t count = count_of(counts, open[i]);

        if (count == 0)
            continue;
        strbuf_printf(out, "%s%llu %s", before, (unsigned long long)count, open[i]);
        before = ", ";
    }
    if (*before == ',')
        strbuf_putc(out, ')');
}

static void put_safely(struct strbuf *out, const char *text)
{
    utf8_put_escaped(out, text, strlen(text));
}

void task_view_outcome(const struct json *row, struct strbuf *out)
{
    const char *text = text_of(row, "text");
    uint64_t left_behind = count_of(row, "left_behind");
    char seconds[VIEW_SECONDS_MAX];
    double value;

    if (ran(row) && number_of(row, "exit_code", &value))
        strbuf_printf(out, "exit %.0f", value);
    else if (ran(row) && number_of(row, "signal", &value))
        strbuf_printf(out, "signal %.0f", value);
    else
        put_safely(out, text_of(row, ran(row) && *text_of(row, "end") ? "end" : "state"));
    if (number_of(row, "duration", &value) && value >= 0)
        strbuf_printf(out, ", %s", view_seconds(value, seconds));
    if (left_behind)
        strbuf_printf(out, ", %llu left behind and killed", (unsigned long long)left_behind);
    if (*text) {
        strbuf_puts(out, ": ");
        put_safely(out, text);
    }
}

/* ---- tables ---- */

static enum prober_error no_memory(struct prober_failure *why)
{
    return prober_fail(why, PROBER_ERR_NOMEM, "out of memory");
}

static void add_time(struct table *table, const struct json *object, const char *key)
{
    char text[CELL_MAX] = "-";
    double value;
    struct tm tm;
    time_t at;

    if (number_of(object, key, &value) && value > 0 && value < 1e12) {
        at = (time_t)value;
        if (gmtime_r(&at, &tm))
            strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%SZ", &tm);
    }
    table_add(table, text, TABLE_PLAIN);
}

static void add_headings(struct table *table, const char *const *headings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        table_add(table, headings[i], TABLE_DIM);
}

static void add_task(struct table *table, const struct json *task)
{
    char state[CELL_MAX], region[CELL_MAX];
    uint64_t all = count_of(task, "agent_count"), ended = count_of(task, "ended_count");

    snprintf(state, sizeof(state), "%llu of %llu", (unsigned long long)ended,
             (unsigned long long)all);
    snprintf(region, sizeof(region), "%s %s", text_of(task, "expr"), text_of(task, "region"));
    table_add(table, text_of(task, "id"), TABLE_PLAIN);
    add_time(table, task, "made");
    table_add(table, text_of(task, "who"), TABLE_PLAIN);
    table_add(table, state, ended < all ? TABLE_YELLOW : TABLE_PLAIN);
    table_add(table, region, TABLE_PLAIN);
    table_add(table, text_of(task, "cmd"), TABLE_PLAIN);
}

static enum prober_error print_table(struct table *table, struct view_style style,
                                     struct strbuf *out, struct prober_failure *why)
{
    bool printed = table_print(table, 0, style.colour, out);

    table_destroy(table);
    return printed ? PROBER_OK : no_memory(why);
}

enum prober_error task_view_list(const struct json *answer, struct view_style style,
                                 struct strbuf *out, struct prober_failure *why)
{
    static const char *const headings[] = {"ID", "MADE", "WHO", "ENDED", "REGION", "COMMAND"};
    const struct json *tasks = json_get(answer, "tasks");
    struct table *table;

    if (!json_is_array(tasks))
        return prober_fail(why, PROBER_ERR_PROTOCOL,
                           "the answer has no tasks: is that a ProberMesh server?");
    if (json_count(tasks) == 0) {
        strbuf_puts(out, "no tasks\n");
        return PROBER_OK;
    }
    if (table_create(&table, ARRAY_LEN(headings), ARRAY_LEN(headings)))
        return no_memory(why);
    add_headings(table, headings, ARRAY_LEN(headings));
    for (const struct json *task = json_first(tasks); task; task = json_next(task))
        add_task(table, task);
    return print_table(table, style, out, why);
}

static void add_number(struct table *table, const struct json *row, const char *key)
{
    char text[CELL_MAX] = "-";
    double value;

    if (number_of(row, key, &value))
        snprintf(text, sizeof(text), "%.0f", value);
    table_add(table, text, TABLE_PLAIN);
}

static enum table_colour colour_of(const struct json *row)
{
    return !task_view_has_ended(row) ? TABLE_YELLOW : is_well(row) ? TABLE_GREEN : TABLE_RED;
}

static void add_row(struct table *table, const struct json *row)
{
    char seconds[VIEW_SECONDS_MAX] = "-";
    double value;

    if (number_of(row, "duration", &value) && value >= 0)
        view_seconds(value, seconds);
    table_add(table, text_of(row, "region"), TABLE_PLAIN);
    table_add(table, text_of(row, "address"), TABLE_PLAIN);
    table_add(table, text_of(row, "agent"), TABLE_PLAIN);
    table_add(table, text_of(row, "state"), colour_of(row));
    add_number(table, row, "exit_code");
    table_add(table, seconds, TABLE_PLAIN);
    add_number(table, row, "stdout_bytes");
    add_number(table, row, "stderr_bytes");
    table_add(table, text_of(row, "text"), TABLE_PLAIN);
}

enum prober_error task_view_show(const struct json *task, struct view_style style,
                                 struct strbuf *out, struct prober_failure *why)
{
    static const char *const headings[] = {"REGION",   "ADDRESS", "AGENT",  "STATE", "EXIT",
                                           "DURATION", "STDOUT",  "STDERR", "WHY"};
    static const struct {
        const char *key, *title;
    } lines[] = {{"cmd", "command"}, {"who", "by"}};
    const struct json *rows = json_get(task, "agents");
    struct table *table;

    if (!json_is_array(rows))
        return prober_fail(why, PROBER_ERR_PROTOCOL,
                           "the answer is no task: is that a ProberMesh server?");
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        strbuf_printf(out, "%-8s ", lines[i].title);
        put_safely(out, text_of(task, lines[i].key));
        strbuf_putc(out, '\n');
    }
    strbuf_puts(out, "agents   ");
    task_view_progress(task, out);
    strbuf_puts(out, "\n\n");
    if (table_create(&table, ARRAY_LEN(headings), 4))
        return no_memory(why);
    add_headings(table, headings, ARRAY_LEN(headings));
    for (const struct json *row = json_first(rows); row; row = json_next(row))
        add_row(table, row);
    return print_table(table, style, out, why);
}

/* ---- panels ---- */

void task_view_harmless(struct strbuf *out, const char *bytes, size_t len)
{
    size_t column = 0;

    for (size_t at = 0; at < len;) {
        uint32_t rune = 0;
        size_t used = utf8_decode(bytes + at, len - at, &rune), before = out->len;

        if (bytes[at] == '\n') {
            strbuf_putc(out, '\n');
            column = 0;
        } else if (bytes[at] == '\t') {
            do
                strbuf_putc(out, ' ');
            while (++column % TAB);
        } else if (bytes[at] == '\r' && at + 1 < len && bytes[at + 1] == '\n') {
            used = 1;
        } else if (used && utf8_is_shown_safely(rune)) {
            int width = wcwidth((wchar_t)rune);

            strbuf_put(out, bytes + at, used);
            column += width > 0 ? (size_t)width : 0;
        } else {
            utf8_put_escaped(out, bytes + at, used ? used : 1);
            column += out->len - before;
        }
        at += used ? used : 1;
    }
    if (column > 0)
        strbuf_putc(out, '\n');
}

static void put_raw(struct strbuf *out, const char *bytes, size_t len)
{
    strbuf_put(out, bytes, len);
    if (len > 0 && bytes[len - 1] != '\n')
        strbuf_putc(out, '\n');
}

static void put_title(struct strbuf *out, const struct json *row)
{
    put_safely(out, text_of(row, "region"));
    strbuf_puts(out, "  ");
    put_safely(out, text_of(row, "address"));
    strbuf_puts(out, "  ");
    task_view_outcome(row, out);
    strbuf_putc(out, '\n');
}

static void put_panel(struct strbuf *out, const struct task_panel *panel, bool terminal)
{
    void (*put)(struct strbuf *, const char *, size_t) = terminal ? task_view_harmless : put_raw;
    const char *notes = text_of(panel->row, "notes");

    put_title(out, panel->row);
    task_view_harmless(out, notes, strlen(notes));
    if (panel->out)
        put(out, panel->out, panel->out_len);
    if (panel->err && panel->err_len > 0) {
        strbuf_puts(out, "stderr:\n");
        put(out, panel->err, panel->err_len);
    }
}

/* A panel that is ready to be printed beside others. */
struct block {
    char *text; /* lines, each with its end */
    const char *next;
    size_t width;
    enum table_colour colour; /* of its first line */
};

static char *take_line(struct block *block)
{
    size_t len = strcspn(block->next, "\n");
    char *line = strndup(block->next, len);

    block->next += len + (block->next[len] == '\n');
    return line;
}

static void measure(struct block *block)
{
    block->next = block->text;
    while (*block->next) {
        char *line = take_line(block);
        size_t width = line ? table_text_width(line) : 0;

        if (width > block->width)
            block->width = width;
        free(line);
    }
    block->next = block->text;
}

static void put_line(struct strbuf *out, struct block *block, bool colour, bool last)
{
    bool first = block->next == block->text;
    char *line = take_line(block);
    size_t width = line ? table_text_width(line) : 0;

    if (line && first && colour)
        table_put_dyed(out, line, block->colour);
    else if (line)
        strbuf_puts(out, line);
    for (; !last && width < block->width; width++)
        strbuf_putc(out, ' ');
    strbuf_puts(out, last ? "\n" : PANEL_GAP);
    free(line);
}

static bool has_lines(const struct block *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (*blocks[i].next)
            return true;
    return false;
}

static void put_strip(struct strbuf *out, struct block *blocks, size_t count, bool colour)
{
    while (has_lines(blocks, count))
        for (size_t i = 0; i < count; i++)
            put_line(out, &blocks[i], colour, i + 1 == count);
    strbuf_putc(out, '\n');
}

/* How many of blocks[count] stand side by side in so many columns: one at least. */
static size_t fitting(const struct block *blocks, size_t count, size_t width)
{
    size_t n = 1, taken = blocks[0].width;

    while (n < count && taken + PANEL_GAP_WIDTH + blocks[n].width <= width)
        taken += PANEL_GAP_WIDTH + blocks[n++].width;
    return n;
}

void task_view_panels(const struct task_panel *panels, size_t count, struct view_style style,
                      struct strbuf *out)
{
    struct block *blocks = calloc(count + 1, sizeof(*blocks));
    size_t made = 0;

    for (; blocks && made < count && style.width > 0; made++) {
        struct strbuf text = STRBUF_INIT;

        put_panel(&text, &panels[made], true);
        blocks[made] =
            (struct block){.text = strbuf_take(&text, NULL), .colour = colour_of(panels[made].row)};
        if (!blocks[made].text)
            break;
        measure(&blocks[made]);
    }
    for (size_t i = 0, n; i < made; i += n) {
        n = fitting(&blocks[i], made - i, style.width);
        put_strip(out, &blocks[i], n, style.colour);
    }
    for (size_t i = made; i < count; i++) {
        put_panel(out, &panels[i], style.width > 0);
        strbuf_putc(out, '\n');
    }
    for (size_t i = 0; blocks && i < made; i++)
        free(blocks[i].text);
    free(blocks);
}
