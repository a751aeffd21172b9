/*
 * task_grammar - the tables of the commands that tasks may run; for task_command and its parts.
 *
 * Purpose    A tool is a program, its options, and a function that reads what stands beside them.
 *            To allow another option is one more row (and one in docs/tasks.md: a test compares).
 * Threads    Constant tables; a task_parse belongs to one thread.
 */
#ifndef AGENTD_TASK_GRAMMAR_H
#define AGENTD_TASK_GRAMMAR_H

#include "agentd/task_command.h"
#include "agentd/task_words.h"
#include "common/strbuf.h"

#define TASK_OPTIONS_MAX 48 /* of one tool */
#define TASK_VALUE_MAX 64   /* bytes of an option's value, with its end */
#define TASK_ARGV_MAX 160

enum task_value {
    TASK_VALUE_NONE,
    TASK_VALUE_SWITCH,    /* none, and "no" before its name turns it off: +short, +noshort */
    TASK_VALUE_WHOLE,     /* low..high */
    TASK_VALUE_DECIMAL,   /* low..high */
    TASK_VALUE_SECONDS,   /* low..high; with a unit too: 200ms. Written out as "0.2s" */
    TASK_VALUE_CHOICE,    /* one of the words in `among`, in either case */
    TASK_VALUE_LETTERS,   /* letters of `among` */
    TASK_VALUE_INTERFACE, /* a network interface */
    TASK_VALUE_SOURCE,    /* an interface, or a literal address of this host */
    TASK_VALUE_ADDRESS    /* a literal address; no packet is sent there */
};

enum task_role {
    TASK_ROLE_NONE,
    TASK_ROLE_IPV4,
    TASK_ROLE_IPV6,
    TASK_ROLE_COUNT,    /* how often; with the interval it has to end before the deadline */
    TASK_ROLE_INTERVAL, /* in seconds */
    TASK_ROLE_DEADLINE, /* in seconds; never later than the task's */
    TASK_ROLE_TIMEOUT,  /* in seconds, of the last answer: what it takes beyond count × interval */
    TASK_ROLE_IGNORED,  /* taken, and without effect, which a note tells */
    TASK_ROLE_REVERSE   /* a question without a name */
};

struct task_option {
    const char *spellings[4]; /* "-c", "--count"; written out as the first. Of one letter: they can
                                 be joined (-nr, -c20). NULL-terminated unless full */
    enum task_value value;
    enum task_role role;
    double low, high; /* of numbers */
    double low_user;  /* the least for who is not root; 0: the same */
    bool adjusted;    /* a number outside is moved to the nearest bound, with a note */
    const char *among;
    const char *fallback; /* written out when the option is not given; NULL: nothing is */
};

struct task_parse;

struct task_tool {
    const char *name;
    const char *kind; /* of a built-in: `agentd probe KIND`, which is another name of it; its
                                options of many letters stand behind one dash, their values behind
                                them or in the next word. NULL: an installed program */
    const struct task_option *options;
    size_t option_count;
    bool words;     /* options are words behind one dash (-br, -type=MX) and cannot be joined */
    bool needs_raw; /* task_command_needs_raw */
    bool judges;    /* it is given the networks, and looks names up itself */
    double spare_s; /* what it takes beyond count × interval */
    enum prober_error (*operands)(struct task_parse *p);
};

struct task_given {
    bool given;
    bool off; /* TASK_VALUE_SWITCH */
    double number;
    char text[TASK_VALUE_MAX];
};

struct task_parse {
    const struct task_tool *tool;
    const struct task_terms *terms;
    struct task_given given[TASK_OPTIONS_MAX];
    const char *operands[TASK_WORDS_MAX];
    size_t operand_count;
    struct task_command *command; /* in the making */
    struct prober_failure *why;
};

extern const struct task_tool task_tools[];
extern const size_t task_tools_count;

/* Types and classes of DNS records that may be asked for, blank-separated. */
extern const char task_dns_types[], task_dns_classes[];

/* Reading what stands beside the options, and writing it out. */
enum prober_error task_operands_host(struct task_parse *p);
enum prober_error task_operands_host_and_length(struct task_parse *p);
enum prober_error task_operands_dig(struct task_parse *p);
enum prober_error task_operands_name_and_server(struct task_parse *p);
enum prober_error task_operands_ss(struct task_parse *p);
enum prober_error task_operands_ip(struct task_parse *p);
enum prober_error task_operands_url(struct task_parse *p);

/* ---- what the readers are made of ---- */

/* The option of a role or spelling, if it was given; else NULL. */
const struct task_given *task_given_role(const struct task_parse *p, enum task_role role);
const struct task_given *task_given_option(const struct task_parse *p, const char *spelling);
/* Writes an argument, printf-formatted. Lack of memory shows when the command is finished. */
void task_emit(struct task_parse *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Writes the host that the command asks, as prefix and address. Errors: PROBER_ERR_SYNTAX. */
enum prober_error task_emit_host(struct task_parse *p, const char *prefix, const char *host);
/* Ends with "TOOL: sentence". */
enum prober_error task_refuse(struct task_parse *p, enum prober_error err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* True for one of the blank-separated words, in either case; *found (may be NULL; TASK_VALUE_MAX
 * bytes) gets it as the list has it. */
bool task_is_among(const char *word, const char *list, char *found);
bool task_is_interface(const char *word);
bool task_is_literal(const char *word);
/* "10.0.0.0/8", an address. */
bool task_is_network(const char *word);
/* A name that DNS can be asked for: labels of letters, digits, '-' and '_'; not "-x". */
bool task_is_name(const char *word);
/* Digits alone, low..high. */
bool task_is_whole(const char *word, long low, long high, long *out);

#endif
