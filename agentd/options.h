/*
 * options - the settings of agentd, and the table that describes them.
 *
 * Purpose    One table gives flags, environment, configuration keys, defaults and help (see
 *            common/options.h). `probermesh` reads the table too, to pass on what is the agent's.
 * Threads    Filled by main(); immutable after that. A reload fills a second struct.
 * Ownership  The settings own their strings; agentd_settings_free releases them.
 */
#ifndef AGENTD_OPTIONS_H
#define AGENTD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/options.h"
#include "common/problems.h"

enum agentd_network { AGENTD_INTRANET, AGENTD_PUBLIC };

struct agentd_settings {
    bool help, version;
    char *config;
    /* log */
    char *log_dir; /* "": stderr alone */
    int64_t log_level;
    int log_format; /* enum log_format */
    /* who we are */
    char *region; /* "": look it up */
    bool region_lookup;
    char *region_metadata; /* "": each cloud's own service */
    char *state_dir;
    int network_type;               /* enum agentd_network */
    struct option_list addresses;   /* given outright; none: find out */
    struct option_list public_urls; /* that answer with our public address */
    /* link */
    char *report_addr;
    char *join_token;                         /* as given: TOKEN, "@FILE", "-"; "": none */
    char *pki_ca, *pki_certificate, *pki_key; /* files; "": none */
    bool plain;                               /* also with a certificate */
    uint64_t sync_interval_ns;
    uint64_t spool_bytes;
    /* probing */
    uint64_t probe_interval_ns;
    uint64_t icmp_timeout_ns; /* never 0 after agentd_settings_load: the default is worked out */
    int icmp_timestamps;      /* enum icmp_timestamps */
    int64_t icmp_max_pps, icmp_target_max_pps; /* 0: no cap */
    int64_t icmp_identifier;                   /* 0: random */
    bool icmp_arrivals;
    uint64_t http_timeout_ns; /* as icmp_timeout_ns */
    int64_t http_max_running;
    struct option_list allow, deny; /* networks: "10.0.0.0/8" */
    struct option_list dns_servers; /* none: the system's */
    char *secrets_dir;              /* "": none; else absolute */
    /* tasks */
    int task;                        /* enum task_policy */
    int64_t task_running, task_rate; /* at once; a minute */
    uint64_t task_output;            /* bytes kept of each stream */
    uint64_t task_deadline_ns;       /* the longest */
    /* local web */
    char *http_listen; /* "": none */
    /* accepted for the sake of old command lines; nothing is behind them yet */
    bool upgrade;
    uint64_t upgrade_interval_ns;
};

extern const struct option agentd_options[];
extern const size_t agentd_options_count;

/* Fills a zeroed *settings from argv[argc] (without the program's name), `environment` (NULL: none)
 * and the file that -config names, and checks what the table cannot. All faults go to `problems`.
 * With -h or -v nothing else is checked.
 * Errors: PROBER_ERR_SYNTAX when there are problems, PROBER_ERR_NOMEM; free *settings in any case.
 */
enum prober_error agentd_settings_load(struct agentd_settings *settings, int argc,
                                       char *const *argv, char *const *environment,
                                       struct problems *problems);
/* The names of options that differ between the two and need a restart, or of those that differ and
 * are reloadable: up to `max` into names[max]; returns how many there are. */
size_t agentd_settings_changed(const struct agentd_settings *before,
                               const struct agentd_settings *after, bool reloadable,
                               const char **names, size_t max);
void agentd_settings_free(struct agentd_settings *settings);

#endif
