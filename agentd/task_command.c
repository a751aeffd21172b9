#include "agentd/task_command.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentd/task_grammar.h"
#include "common/array.h"
#include "common/duration.h"

#define HOST_NONE SIZE_MAX

struct task_command {
    const struct task_tool *tool; /* NULL: the shell */
    char *argv[TASK_ARGV_MAX + 1];
    size_t argc;
    size_t host_at; /* in argv, or HOST_NONE */
    char host_prefix[4];
    char host[PROBER_HOST_MAX];
    enum prober_family family;
    bool settled, failed; /* failed: no memory, or no room in argv */
    struct strbuf notes;
};

/* ---- what the readers are made of ---- */

enum prober_error task_refuse(struct task_parse *p, enum prober_error err, const char *format, ...)
{
    char text[PROBER_FAILURE_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return prober_fail(p->why, err, "%s: %s", p->tool->name, text);
}

static void emit_text(struct task_command *c, char *text)
{
    if (!text || c->argc == TASK_ARGV_MAX) {
        free(text);
        c->failed = true;
        return;
    }
    c->argv[c->argc++] = text;
}

void task_emit(struct task_parse *p, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    emit_text(p->command, text);
}

enum prober_error task_emit_host(struct task_parse *p, const char *prefix, const char *host)
{
    struct task_command *c = p->command;
    struct prober_addr address;
    bool literal = prober_addr_parse(host, &address) == PROBER_OK;

    if (!literal && (!task_is_name(host) || strcmp(host, ".") == 0))
        return task_refuse(p, PROBER_ERR_SYNTAX, "'%.80s' is neither an address nor a host name",
                           host);
    if (literal && c->family && c->family != (enum prober_family)address.family)
        return task_refuse(p, PROBER_ERR_SYNTAX, "%s is no IPv%d address", host, (int)c->family);
    c->host_at = c->argc;
    snprintf(c->host, sizeof(c->host), "%s", host);
    snprintf(c->host_prefix, sizeof(c->host_prefix), "%s", prefix);
    task_emit(p, "%s%s", prefix, host);
    return PROBER_OK;
}

static bool spelled(const struct task_option *option, const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(option->spellings) && option->spellings[i]; i++)
        if (strncmp(option->spellings[i], name, len) == 0 && option->spellings[i][len] == '\0')
            return true;
    return false;
}

const struct task_given *task_given_role(const struct task_parse *p, enum task_role role)
{
    for (size_t i = 0; i < p->tool->option_count; i++)
        if (p->tool->options[i].role == role && p->given[i].given)
            return &p->given[i];
    return NULL;
}

const struct task_given *task_given_option(const struct task_parse *p, const char *spelling)
{
    for (size_t i = 0; i < p->tool->option_count; i++)
        if (spelled(&p->tool->options[i], spelling, strlen(spelling)) && p->given[i].given)
            return &p->given[i];
    return NULL;
}

/* ---- options ---- */

static enum prober_error refuse_option(struct task_parse *p, const char *name, size_t len)
{
    struct strbuf allowed = STRBUF_INIT;
    enum prober_error err;

    for (size_t i = 0; i < p->tool->option_count; i++)
        strbuf_printf(&allowed, " %s", p->tool->options[i].spellings[0]);
    err = task_refuse(p, PROBER_ERR_DENIED, "option '%.*s' is not allowed; allowed are%s",
                      (int)(len < 60 ? len : 60), name, allowed.bytes ? allowed.bytes : " some");
    strbuf_free(&allowed);
    return err;
}

/* Digits with at most one point between or before them. */
static bool read_number(const char *text, bool whole, double *out)
{
    size_t digits = strspn(text, "0123456789"), len = digits;

    if (!whole && text[len] == '.') {
        size_t more = strspn(text + len + 1, "0123456789");

        digits += more;
        len += 1 + more;
        if (more == 0)
            return false;
    }
    if (digits == 0 || len > 9 || text[len] != '\0')
        return false;
    *out = strtod(text, NULL);
    return true;
}

static bool read_duration(const char *text, double *out)
{
    uint64_t ns;

    if (duration_parse(text, &ns))
        return false;
    *out = (double)ns / 1e9;
    return true;
}

static enum prober_error take_number(struct task_parse *p, const struct task_option *option,
                                     struct task_given *given, const char *text)
{
    const char *name = option->spellings[0];
    bool whole = option->value == TASK_VALUE_WHOLE;
    bool for_root = !p->terms->root && option->low_user > option->low;
    double low = for_root ? option->low_user : option->low;

    if (!read_number(text, whole, &given->number) &&
        !(option->value == TASK_VALUE_SECONDS && read_duration(text, &given->number)))
        return task_refuse(p, PROBER_ERR_SYNTAX, "%s takes a %snumber, not '%.60s'", name,
                           whole ? "whole " : "", text);
    if (given->number >= low && given->number <= option->high)
        return PROBER_OK;
    if (!option->adjusted)
        return task_refuse(p, PROBER_ERR_RANGE, "%s takes %g to %g, not %s", name, low,
                           option->high, text);
    strbuf_printf(&p->command->notes, "%s: %s %s is %s: it was made %g\n", p->tool->name, name,
                  text,
                  given->number > option->high               ? "above what tasks may ask"
                  : for_root && given->number >= option->low ? "allowed to root only"
                                                             : "below what tasks may ask",
                  given->number > option->high ? option->high : low);
    given->number = given->number > option->high ? option->high : low;
    return PROBER_OK;
}

static bool is_letters(const char *text, const char *among)
{
    return text[0] && strlen(text) < 32 && strspn(text, among) == strlen(text);
}

static enum prober_error take_value(struct task_parse *p, const struct task_option *option,
                                    struct task_given *given, const char *text)
{
    bool good = false;

    switch (option->value) {
    case TASK_VALUE_NONE:
    case TASK_VALUE_SWITCH:
        return PROBER_OK;
    case TASK_VALUE_WHOLE:
    case TASK_VALUE_DECIMAL:
    case TASK_VALUE_SECONDS:
        return take_number(p, option, given, text);
    case TASK_VALUE_CHOICE:
        if (task_is_among(text, option->among, given->text))
            return PROBER_OK;
        return task_refuse(p, PROBER_ERR_SYNTAX, "%s takes one of %s, not '%.60s'",
                           option->spellings[0], option->among, text);
    case TASK_VALUE_LETTERS:
        good = is_letters(text, option->among);
        break;
    case TASK_VALUE_INTERFACE:
        good = task_is_interface(text);
        break;
    case TASK_VALUE_SOURCE:
        good = task_is_interface(text) || task_is_literal(text);
        break;
    case TASK_VALUE_ADDRESS:
        good = task_is_literal(text);
        break;
    }
    if (!good || strlen(text) >= TASK_VALUE_MAX)
        return task_refuse(p, PROBER_ERR_SYNTAX, "'%.60s' is no value of %s", text,
                           option->spellings[0]);
    strcpy(given->text, text);
    return PROBER_OK;
}

static bool takes_value(const struct task_option *option)
{
    return option->value != TASK_VALUE_NONE && option->value != TASK_VALUE_SWITCH;
}

static enum prober_error take_option(struct task_parse *p, size_t i, const char *value)
{
    const struct task_option *option = &p->tool->options[i];

    if (takes_value(option) && !value)
        return task_refuse(p, PROBER_ERR_SYNTAX, "%s needs a value", option->spellings[0]);
    p->given[i].given = true;
    p->given[i].off = false;
    return take_value(p, option, &p->given[i], value);
}

static size_t find_option(const struct task_parse *p, const char *name, size_t len)
{
    size_t i = 0;

    while (i < p->tool->option_count && !spelled(&p->tool->options[i], name, len))
        i++;
    return i;
}

/* A whole word that names one option: --report-cycles=20, +noall, -type=MX, -count 20. */
static enum prober_error take_word(struct task_parse *p, const struct task_words *words, size_t *at)
{
    const char *word = words->items[*at], *equals = strchr(word, '=');
    size_t len = equals ? (size_t)(equals - word) : strlen(word), i = find_option(p, word, len);
    bool separate = word[0] == '-' && (word[1] == '-' || p->tool->kind); /* its value may follow */

    if (i == p->tool->option_count && strncmp(word, "+no", 3) == 0 && !equals) {
        char name[TASK_VALUE_MAX];

        snprintf(name, sizeof(name), "+%s", word + 3);
        i = find_option(p, name, strlen(name));
        if (i < p->tool->option_count && p->tool->options[i].value == TASK_VALUE_SWITCH) {
            p->given[i] = (struct task_given){.given = true, .off = true};
            return PROBER_OK;
        }
        i = p->tool->option_count;
    }
    if (i == p->tool->option_count)
        return refuse_option(p, word, len);
    if (!takes_value(&p->tool->options[i]))
        return equals ? task_refuse(p, PROBER_ERR_SYNTAX, "%s takes no value",
                                    p->tool->options[i].spellings[0])
                      : take_option(p, i, NULL);
    if (!equals && separate && *at + 1 < words->count)
        return take_option(p, i, words->items[++*at]);
    return take_option(p, i, equals ? equals + 1 : NULL);
}

/* -n, -nr, -c20, -c 20, -nrc20. */
static enum prober_error take_letters(struct task_parse *p, const struct task_words *words,
                                      size_t *at)
{
    enum prober_error err = PROBER_OK;

    for (const char *letter = words->items[*at] + 1; *letter && !err; letter++) {
        const char name[] = {'-', *letter, '\0'};
        size_t i = find_option(p, name, 2);

        if (i == p->tool->option_count)
            return p->tool->kind ? refuse_option(p, words->items[*at], strlen(words->items[*at]))
                                 : refuse_option(p, name, 2);
        if (!takes_value(&p->tool->options[i])) {
            err = take_option(p, i, NULL);
            continue;
        }
        if (letter[1])
            return take_option(p, i, letter + 1);
        return take_option(p, i, *at + 1 < words->count ? words->items[++*at] : NULL);
    }
    return err;
}

/* Not letters, one of them an option each. `word` begins with a dash, or is one. */
static bool is_whole(const struct task_parse *p, const char *word)
{
    return p->tool->words || word[1] == '-' ||
           (p->tool->kind && word[2] &&
            find_option(p, word, strcspn(word, "=")) < p->tool->option_count);
}

/* What stands behind the command's own name, of `first` words. */
static enum prober_error take_words(struct task_parse *p, const struct task_words *words,
                                    size_t first)
{
    bool options = true;
    enum prober_error err = PROBER_OK;

    for (size_t at = first; at < words->count && !err; at++) {
        const char *word = words->items[at];
        bool dashed = word[0] == '-' && word[1];

        if (options && strcmp(word, "--") == 0)
            options = false;
        else if (options && (word[0] == '+' || (dashed && is_whole(p, word))))
            err = take_word(p, words, &at);
        else if (options && dashed)
            err = take_letters(p, words, &at);
        else
            p->operands[p->operand_count++] = word;
    }
    return err;
}

/* ---- counts and deadlines ---- */

static size_t option_of_role(const struct task_tool *tool, enum task_role role)
{
    size_t i = 0;

    while (i < tool->option_count && tool->options[i].role != role)
        i++;
    return i;
}

static void put_fallbacks(struct task_parse *p)
{
    for (size_t i = 0; i < p->tool->option_count; i++) {
        const struct task_option *option = &p->tool->options[i];

        if (p->given[i].given || !option->fallback)
            continue;
        p->given[i].given = true;
        p->given[i].number = strtod(option->fallback, NULL);
        if (option->role == TASK_ROLE_COUNT)
            strbuf_printf(&p->command->notes, "%s: %s %s was added\n", p->tool->name,
                          option->spellings[0], option->fallback);
    }
}

/* What would outlast the task would be killed, and often without having said anything. */
static void keep_deadline(struct task_parse *p)
{
    const struct task_tool *tool = p->tool;
    double left = floor((double)p->terms->deadline_ns / 1e9 - tool->spare_s);
    size_t count = option_of_role(tool, TASK_ROLE_COUNT);
    size_t interval = option_of_role(tool, TASK_ROLE_INTERVAL);
    size_t deadline = option_of_role(tool, TASK_ROLE_DEADLINE);
    size_t timeout = option_of_role(tool, TASK_ROLE_TIMEOUT);

    if (timeout < tool->option_count)
        left -= p->given[timeout].number;
    if (left < 1)
        left = 1;
    if (deadline < tool->option_count && p->given[deadline].number > left)
        p->given[deadline].number = left;
    if (count < tool->option_count && interval < tool->option_count) {
        double most = floor(left / p->given[interval].number + 1e-6);

        if (most < 1)
            most = 1;
        if (p->given[count].number <= most)
            return;
        strbuf_printf(&p->command->notes,
                      "%s: %s %g at %s %g would outlast the %g s of a task: it was made %g\n",
                      tool->name, tool->options[count].spellings[0], p->given[count].number,
                      tool->options[interval].spellings[0], p->given[interval].number,
                      (double)p->terms->deadline_ns / 1e9, most);
        p->given[count].number = most;
    }
}

static void emit_options(struct task_parse *p)
{
    for (size_t i = 0; i < p->tool->option_count; i++) {
        const struct task_option *option = &p->tool->options[i];
        const struct task_given *given = &p->given[i];
        const char *name = option->spellings[0];
        bool number = option->value == TASK_VALUE_WHOLE || option->value == TASK_VALUE_DECIMAL ||
                      option->value == TASK_VALUE_SECONDS;
        char digits[32];

        if (!given->given)
            continue;
        if (option->role == TASK_ROLE_IGNORED) {
            strbuf_printf(&p->command->notes, "%s: %s has no effect on the built-in %s\n",
                          p->tool->name, name, p->tool->name);
            continue;
        }
        snprintf(digits, sizeof(digits), "%.10g%s", given->number,
                 option->value == TASK_VALUE_SECONDS ? "s" : "");
        if (option->value == TASK_VALUE_SWITCH && given->off) {
            task_emit(p, "+no%s", name + 1);
        } else if (!takes_value(option)) {
            task_emit(p, "%s", name);
        } else if (name[0] == '-' && name[1] && !name[2]) {
            task_emit(p, "%s", name);
            task_emit(p, "%s", number ? digits : given->text);
        } else {
            task_emit(p, "%s=%s", name, number ? digits : given->text);
        }
    }
}

static enum prober_error settle_family(struct task_parse *p)
{
    const struct task_given *ipv4 = task_given_role(p, TASK_ROLE_IPV4);
    const struct task_given *ipv6 = task_given_role(p, TASK_ROLE_IPV6);

    if (ipv4 && ipv6)
        return task_refuse(p, PROBER_ERR_SYNTAX, "-4 and -6 exclude each other");
    p->command->family = ipv4 ? PROBER_FAMILY_IPV4 : ipv6 ? PROBER_FAMILY_IPV6 : PROBER_FAMILY_NONE;
    return PROBER_OK;
}

/* ---- the whole ---- */

/* Built-ins stand last: of one name, the installed tool comes first, and the built-in for want of
 * it. */
static const struct task_tool *find_tool(const char *name, bool own)
{
    const struct task_tool *found = NULL;

    for (size_t i = 0; i < task_tools_count && (own || !found); i++)
        if (strcmp(task_tools[i].name, name) == 0)
            found = &task_tools[i];
    return found;
}

static const struct task_tool *find_kind(const char *kind)
{
    for (size_t i = 0; i < task_tools_count; i++)
        if (task_tools[i].kind && strcmp(task_tools[i].kind, kind) == 0)
            return &task_tools[i];
    return NULL;
}

static enum prober_error refuse_command(const char *name, struct prober_failure *why)
{
    char allowed[160] = "";

    for (size_t i = 0; i < task_tools_count; i++) {
        if (find_tool(task_tools[i].name, false) != &task_tools[i])
            continue;
        strcat(allowed, " ");
        strcat(allowed, task_tools[i].name);
    }
    return prober_fail(why, PROBER_ERR_DENIED,
                       "'%.60s' is not a command that this agent runs; it runs%s", name, allowed);
}

static void emit_name(struct task_parse *p)
{
    if (p->tool->kind) {
        task_emit(p, "agentd");
        task_emit(p, "probe");
    }
    task_emit(p, "%s", p->tool->kind ? p->tool->kind : p->tool->name);
}

static enum prober_error parse_tool(struct task_command *c, const struct task_terms *terms,
                                    const struct task_words *words, struct prober_failure *why)
{
    struct task_parse p = {.terms = terms, .command = c, .why = why};
    bool by_kind = words->count > 1 && strcmp(words->items[0], "probe") == 0;
    enum prober_error err;

    p.tool = c->tool =
        by_kind ? find_kind(words->items[1]) : find_tool(words->items[0], terms->own_ping);
    if (!p.tool)
        return refuse_command(words->items[by_kind], why);
    err = take_words(&p, words, by_kind ? 2 : 1);
    if (!err)
        err = settle_family(&p);
    if (err)
        return err;
    put_fallbacks(&p);
    keep_deadline(&p);
    emit_name(&p);
    emit_options(&p);
    return p.tool->operands(&p);
}

static enum prober_error parse_shell(struct task_command *c, const char *line, size_t len,
                                     struct prober_failure *why)
{
    if (len > TASK_LINE_MAX)
        return prober_fail(why, PROBER_ERR_RANGE, "the command has %zu bytes, more than %d", len,
                           TASK_LINE_MAX);
    if (memchr(line, '\0', len))
        return prober_fail(why, PROBER_ERR_SYNTAX, "a NUL byte in the command");
    emit_text(c, strdup("bash"));
    emit_text(c, strdup("-c"));
    emit_text(c, strndup(line, len));
    if (!c->failed && strspn(c->argv[2], " \t\r\n") == len)
        return prober_fail(why, PROBER_ERR_SYNTAX, "the command is empty");
    return PROBER_OK;
}

enum prober_error task_command_parse(struct task_command **out, const struct task_terms *terms,
                                     const char *line, size_t len, struct prober_failure *why)
{
    enum prober_error err;
    struct task_words words;
    struct task_command *c = calloc(1, sizeof(*c));

    if (!c)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for the command");
    c->host_at = HOST_NONE;
    if (terms->policy == TASK_POLICY_OFF) {
        err = prober_fail(why, PROBER_ERR_DENIED, "this agent runs no tasks");
        goto out;
    }
    if (terms->policy == TASK_POLICY_SHELL) {
        err = parse_shell(c, line, len, why);
    } else {
        err = task_words_split(&words, line, len, why);
        if (!err)
            err = parse_tool(c, terms, &words, why);
    }
    if (!err && (c->failed || !strbuf_ok(&c->notes)))
        err = prober_fail(why, PROBER_ERR_NOMEM, "no memory for the command");
    if (err)
        goto out;
    c->settled = c->host_at == HOST_NONE && !(c->tool && c->tool->judges);
    *out = c;
    c = NULL;
out:
    task_command_destroy(c);
    return err;
}

/* ---- the host ---- */

const char *task_command_lookup(const struct task_command *command)
{
    return command->settled || command->host_at == HOST_NONE || task_is_literal(command->host)
               ? NULL
               : command->host;
}

enum prober_family task_command_family(const struct task_command *command)
{
    return command->family;
}

static bool may_be_asked(const struct prober_addr *address)
{
    struct prober_addr plain = prober_addr_unmap(address);

    switch (prober_addr_classify(&plain)) {
    case PROBER_ADDR_UNSPECIFIED:
    case PROBER_ADDR_MULTICAST:
    case PROBER_ADDR_BROADCAST:
        return false;
    default:
        return true;
    }
}

static enum prober_error put_address(struct task_command *c, const struct prober_addr *address,
                                     struct prober_failure *why)
{
    char text[PROBER_ADDR_TEXT_MAX], *word = NULL;

    prober_addr_format(address, text);
    if (asprintf(&word, "%s%s", c->host_prefix, text) < 0)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for the command");
    free(c->argv[c->host_at]);
    c->argv[c->host_at] = word;
    if (!task_is_literal(c->host))
        strbuf_printf(&c->notes, "%s: %s is %s\n", c->tool->name, c->host, text);
    if (!strbuf_ok(&c->notes))
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for the command");
    c->settled = true;
    return PROBER_OK;
}

static void emit_list(struct task_command *c, const char *option, const struct strbuf *list)
{
    char *text = NULL;

    if (!strbuf_ok(list) || asprintf(&text, "%s%s", option, list->bytes) < 0)
        text = NULL;
    emit_text(c, text);
}

/* What may_be_asked refuses, and what the policy does. */
static enum prober_error pass_networks(struct task_command *c, const struct policy *policy,
                                       struct prober_failure *why)
{
    struct strbuf allow = STRBUF_INIT, deny = STRBUF_INIT;

    if (c->settled)
        return prober_fail(why, PROBER_ERR_STATE, "%s has its networks already", c->tool->name);
    strbuf_puts(&deny, "0.0.0.0,224.0.0.0/4,240.0.0.0/4,::,ff00::/8");
    if (policy)
        policy_write(policy, &allow, &deny);
    emit_list(c, "-deny=", &deny);
    if (allow.len > 0 || !strbuf_ok(&allow))
        emit_list(c, "-allow=", &allow);
    strbuf_free(&deny);
    strbuf_free(&allow);
    if (c->failed)
        return prober_fail(why, PROBER_ERR_NOMEM, "no memory for the command");
    c->settled = true;
    return PROBER_OK;
}

enum prober_error task_command_settle(struct task_command *c, const struct prober_addr *addresses,
                                      size_t count, const struct policy *policy,
                                      struct prober_failure *why)
{
    struct prober_addr literal;
    size_t of_family = 0;

    if (c->tool && c->tool->judges)
        return pass_networks(c, policy, why);
    if (c->host_at == HOST_NONE)
        return PROBER_OK;
    if (c->settled)
        return prober_fail(why, PROBER_ERR_STATE, "%s has its address already", c->host);
    if (prober_addr_parse(c->host, &literal) == PROBER_OK) {
        addresses = &literal;
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        if (c->family && (enum prober_family)addresses[i].family != c->family)
            continue;
        of_family++;
        if (may_be_asked(&addresses[i]) && (!policy || policy_permits(policy, &addresses[i])))
            return put_address(c, &addresses[i], why);
    }
    if (of_family == 0)
        return prober_fail(why, PROBER_ERR_NOT_FOUND, "%s: %s has no %saddress", c->tool->name,
                           c->host,
                           c->family == PROBER_FAMILY_IPV4   ? "IPv4 "
                           : c->family == PROBER_FAMILY_IPV6 ? "IPv6 "
                                                             : "");
    return prober_fail(why, PROBER_ERR_DENIED,
                       "%s: this agent may not send to %s (agent.probe.allow, agent.probe.deny)",
                       c->tool->name, c->host);
}

const char *const *task_command_argv(const struct task_command *command)
{
    return command->settled ? (const char *const *)command->argv : NULL;
}

const char *task_command_notes(const struct task_command *command)
{
    return command->notes.bytes ? command->notes.bytes : "";
}

bool task_command_needs_raw(const struct task_command *command)
{
    return !command->tool || command->tool->needs_raw;
}

bool task_command_is_shell(const struct task_command *command)
{
    return !command->tool;
}

bool task_command_is_own(const struct task_command *command)
{
    return command->tool && command->tool->kind;
}

void task_command_destroy(struct task_command *command)
{
    if (!command)
        return;
    for (size_t i = 0; i < command->argc; i++)
        free(command->argv[i]);
    strbuf_free(&command->notes);
    free(command);
}
