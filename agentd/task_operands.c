#include "agentd/task_grammar.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "common/network.h"
#include "libprober/http_url.h"

#define LABEL_MAX 63
#define NAME_MAX_DNS 253 /* RFC 1035, as text */

/* ---- kinds of words ---- */

bool task_is_among(const char *word, const char *list, char *found)
{
    size_t wanted = strlen(word);

    for (const char *at = list; *at;) {
        size_t len = strcspn(at, " ");

        if (len > 0 && len == wanted && strncasecmp(at, word, len) == 0) {
            if (found) {
                memcpy(found, at, len);
                found[len] = '\0';
            }
            return true;
        }
        at += len + (at[len] == ' ');
    }
    return false;
}

bool task_is_interface(const char *word)
{
    size_t len = strlen(word);

    if (len == 0 || len > 15 || !isalnum((unsigned char)word[0]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)word[i]) && !strchr("_.-@", word[i]))
            return false;
    return true;
}

bool task_is_literal(const char *word)
{
    struct prober_addr address;

    return prober_addr_parse(word, &address) == PROBER_OK;
}

bool task_is_network(const char *word)
{
    struct prober_network network;

    return prober_network_parse(word, &network, NULL) == PROBER_OK;
}

static bool is_label(const char *label, size_t len)
{
    if (len == 0 || len > LABEL_MAX || label[0] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_')
            return false;
    return true;
}

bool task_is_name(const char *word)
{
    const char *label = word;
    size_t len = strlen(word);

    if (strcmp(word, ".") == 0)
        return true;
    if (len == 0 || len > NAME_MAX_DNS)
        return false;
    for (;;) {
        size_t part = strcspn(label, ".");

        if (!is_label(label, part))
            return false;
        if (label[part] == '\0' || label[part + 1] == '\0')
            /* 127.1 and the like are addresses to some programs, and names to none. */
            return strspn(label, "0123456789") != part;
        label += part + 1;
    }
}

bool task_is_whole(const char *word, long low, long high, long *out)
{
    size_t len = strlen(word);

    if (len == 0 || len > 9 || strspn(word, "0123456789") != len)
        return false;
    *out = strtol(word, NULL, 10);
    return *out >= low && *out <= high;
}

/* ---- one host ---- */

static enum prober_error too_many(struct task_parse *p, size_t i)
{
    return task_refuse(p, PROBER_ERR_SYNTAX, "'%.80s' is one word too many", p->operands[i]);
}

enum prober_error task_operands_host(struct task_parse *p)
{
    if (p->operand_count == 0)
        return task_refuse(p, PROBER_ERR_SYNTAX, "it needs a host");
    return p->operand_count > 1 ? too_many(p, 1) : task_emit_host(p, "", p->operands[0]);
}

enum prober_error task_operands_host_and_length(struct task_parse *p)
{
    enum prober_error err;
    long length;

    if (p->operand_count < 2)
        return task_operands_host(p);
    if (p->operand_count > 2)
        return too_many(p, 2);
    if (!task_is_whole(p->operands[1], 28, 9000, &length))
        return task_refuse(p, PROBER_ERR_SYNTAX, "the length of packets is 28 to 9000, not '%.60s'",
                           p->operands[1]);
    err = task_emit_host(p, "", p->operands[0]);
    task_emit(p, "%ld", length);
    return err;
}

/* Written anew from what was understood. Credentials have no place in it: lines are kept. */
enum prober_error task_operands_url(struct task_parse *p)
{
    struct http_url url;
    struct strbuf text = STRBUF_INIT;
    struct prober_failure why;

    if (p->operand_count == 0)
        return task_refuse(p, PROBER_ERR_SYNTAX, "it needs a URL");
    if (p->operand_count > 1)
        return too_many(p, 1);
    if (http_url_parse(p->operands[0], &url, &why))
        return task_refuse(p, why.code, "%s", why.text);
    if (url.has_user)
        return task_refuse(p, PROBER_ERR_DENIED, "user information in a URL is not allowed");
    if (!task_is_literal(url.host) && !task_is_name(url.host))
        return task_refuse(p, PROBER_ERR_SYNTAX, "'%.80s' is neither an address nor a host name",
                           url.host);
    if (p->terms->servers)
        task_emit(p, "-dns=%s", p->terms->servers);
    http_url_put(&text, &url);
    task_emit(p, "%s", text.bytes ? text.bytes : "");
    strbuf_free(&text);
    return PROBER_OK;
}

/* ---- DNS ---- */

struct question {
    const char *name, *server;
    char type[TASK_VALUE_MAX], class[TASK_VALUE_MAX];
};

static enum prober_error check_name(struct task_parse *p, const char *name)
{
    if (task_is_name(name) || task_is_literal(name))
        return PROBER_OK;
    return task_refuse(p, PROBER_ERR_SYNTAX, "'%.80s' is no name to ask for", name);
}

/* As dig reads them: in any order, each at most once. */
static enum prober_error read_question(struct task_parse *p, struct question *q)
{
    for (size_t i = 0; i < p->operand_count; i++) {
        const char *word = p->operands[i];

        if (word[0] == '@' && !q->server)
            q->server = word + 1;
        else if (word[0] != '@' && !q->type[0] && task_is_among(word, task_dns_types, q->type))
            continue;
        else if (word[0] != '@' && !q->class[0] && task_is_among(word, task_dns_classes, q->class))
            continue;
        else if (word[0] != '@' && !q->name)
            q->name = word;
        else
            return too_many(p, i);
    }
    return PROBER_OK;
}

enum prober_error task_operands_dig(struct task_parse *p)
{
    struct question q = {NULL, NULL, "", ""};
    enum prober_error err = read_question(p, &q);

    if (err)
        return err;
    if (q.type[0] && task_given_option(p, "-t"))
        return task_refuse(p, PROBER_ERR_SYNTAX, "two types: -t and %s", q.type);
    if (q.class[0] && task_given_option(p, "-c"))
        return task_refuse(p, PROBER_ERR_SYNTAX, "two classes: -c and %s", q.class);
    if (!q.name == !task_given_role(p, TASK_ROLE_REVERSE))
        return task_refuse(p, PROBER_ERR_SYNTAX, "it needs a name, or an address behind -x");
    if (q.name) {
        err = check_name(p, q.name);
        if (err)
            return err;
        task_emit(p, "-q");
        task_emit(p, "%s", q.name);
    }
    if (q.type[0]) {
        task_emit(p, "-t");
        task_emit(p, "%s", q.type);
    }
    if (q.class[0]) {
        task_emit(p, "-c");
        task_emit(p, "%s", q.class);
    }
    return q.server ? task_emit_host(p, "@", q.server) : PROBER_OK;
}

enum prober_error task_operands_name_and_server(struct task_parse *p)
{
    enum prober_error err;

    if (p->operand_count == 0)
        return task_refuse(p, PROBER_ERR_SYNTAX, "it needs a name");
    if (p->operand_count > 2)
        return too_many(p, 2);
    err = check_name(p, p->operands[0]);
    if (err)
        return err;
    task_emit(p, "%s", p->operands[0]);
    return p->operand_count == 2 ? task_emit_host(p, "", p->operands[1]) : PROBER_OK;
}
