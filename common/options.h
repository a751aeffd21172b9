/*
 * options - flags, environment and configuration file from one table.
 *
 * Purpose    A program describes its settings once, as a table; from it come the Go-style flags
 *            (-x v, -x=v, --x v, --x=v; a bool only -x or -x=BOOL), the environment
 *            (PROBERMESH_AGENT_PROBE_INTERVAL), the YAML keys (nested "agent: {probe: {interval:
 *            5s}}" or dotted "agent.probe.interval: 5s"), the defaults, and the help.
 *            Precedence: flag > environment > file (-config) > default. The last of a repeated flag
 *            wins. An unknown flag, a malformed value, a stray word, an unknown key are errors,
 *            also where another source goes before them. An empty variable, and a key without a
 *            value, are as if they were not there; variables of no option are ignored.
 * Threads    main() only.
 * Ownership  Strings in the settings are malloc'd and freed by options_free.
 */
#ifndef COMMON_OPTIONS_H
#define COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>

#include "common/error.h"
#include "common/problems.h"

#define OPTION_NAME_MAX 63

enum option_type {
    OPTION_BOOL,     /* bool */
    OPTION_INT,      /* int64_t; min..max; decimal, 0x, 0o, 0b */
    OPTION_STRING,   /* char *, never NULL */
    OPTION_SECRET,   /* char *; "@FILE" reads the file, "-" stdin; never shown by help or dumps */
    OPTION_DURATION, /* uint64_t nanoseconds; min..max in ns */
    OPTION_CHOICE,   /* int: index into `choices` */
    OPTION_SIZE,     /* uint64_t bytes: 10MB, 64KiB (both base 2), or a bare number */
    OPTION_LIST /* struct option_list: comma-separated in flags and variables, or a YAML list */
};

struct option_list {
    char **items;
    size_t count;
};

enum option_flags {
    OPTION_RELOADABLE = 1, /* a changed value takes effect on SIGHUP; others need a restart */
    OPTION_NO_FILE = 2,    /* not allowed in the file (config, help, version) */
    OPTION_READ_LATE = 4   /* a SECRET that stays as it was given, until options_read_secret */
};

/* Several options may share a member (-h and -help). */
struct option {
    const char *name; /* "agent.probe.interval"; at most OPTION_NAME_MAX bytes */
    enum option_type type;
    size_t offset;        /* of the member in the settings struct */
    const char *fallback; /* the default, as a user would write it; NULL: false, 0 or "", and of a
                             CHOICE the first */
    const char *group;    /* heading in the help; entries of a group stand together */
    const char *argument; /* what the help calls the value: "addr", "duration"; NULL: by type */
    const char *help;     /* one or more sentences; wrapped by the help */
    int64_t min, max;     /* for INT and DURATION; both 0: any value >= 0 (DURATION), any (INT) */
    const char *const *choices; /* for CHOICE: names, NULL at the end */
    unsigned flags;             /* enum option_flags */
};

struct options_source {
    const struct option *table;
    size_t count;
    void *settings; /* the struct that the offsets point into; zeroed by the caller */
    int argc;       /* without the program's own name and without sub-commands */
    char *const *argv;
    char *const *environment;  /* NULL-terminated, as environ; NULL: none */
    const char *config_option; /* the name of the option that names the file: "config" */
};

/* Fills the settings from all sources; every fault is added to `problems`, with its place
 * ("-agent.probe.interval", "PROBERMESH_…" or file:line:key).
 * Errors: PROBER_ERR_SYNTAX when there were problems (the settings may then be partly filled and
 * must still be freed), PROBER_ERR_NOMEM. */
enum prober_error options_load(const struct options_source *source, struct problems *problems);
/* Stores what a secret's value means, malloc'd: the content of the file of "@FILE", of standard input
 * for "-", else the value itself. For what is needed once, and may be gone when settings are read
 * again. Errors: as file_read; PROBER_ERR_SYNTAX (nothing in it, or no text), _NOMEM with a sentence
 * in *why that shows nothing of it. */
enum prober_error options_read_secret(const char *value, char **out, struct prober_failure *why);
/* Frees every string and list of the settings. */
void options_free(const struct option *table, size_t count, void *settings);
/* The option called `name` (without dashes), or NULL. */
const struct option *options_find(const struct option *table, size_t count, const char *name);
/* True when two structs of settings have different values of the option. */
bool options_differ(const struct option *option, const void *settings, const void *others);
/* Prints the grouped flags with their defaults to `out`, wrapped to 80 columns. */
void options_help(const struct option *table, size_t count, FILE *out);
/* Prints "key: value" of every option that a file may hold, as YAML that the program would read
 * back; a secret is only said to be set. */
void options_dump(const struct option *table, size_t count, const void *settings, FILE *out);

#endif
