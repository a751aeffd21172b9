/*
 * options - every setting of serverd, as one table.
 *
 * Purpose    The table makes flags, environment, configuration keys, defaults and help. It is also
 *            linked into the dispatcher, which tells the server's flags from the agent's by it.
 * Threads    main(), and reload under its lock.
 * Ownership  Settings own their strings: serverd_settings_free.
 */
#ifndef SERVERD_OPTIONS_H
#define SERVERD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/options.h"
#include "common/problems.h"

enum serverd_discovery { SERVERD_DISCOVERY_STATIC, SERVERD_DISCOVERY_DYNAMIC };
enum serverd_read { SERVERD_READ_OPEN, SERVERD_READ_TOKEN };
enum serverd_plain { SERVERD_PLAIN_ACCEPT, SERVERD_PLAIN_REFUSE };

struct serverd_settings {
    char *config;
    bool help, h, version;

    char *http_listen;
    char *metrics_listen; /* "": none of its own */
    char *rpc_listen;
    char *hint_listen; /* "": the host of rpc_listen, and its port + 2 */

    char *http_tokens; /* a file or a directory; "": none */
    int http_read;     /* enum serverd_read */
    struct option_list http_hosts, http_trusted_proxies;
    bool http_plain_tokens;
    uint64_t http_body_max, http_timeout_ns;
    int64_t http_connections_max, http_connections_per_client;

    int discovery; /* enum serverd_discovery */
    char *probe_file;
    bool probe_self;
    int64_t mesh_full_below;
    int64_t mesh_agents;
    int64_t mesh_targets;
    uint64_t mesh_rotate_ns;

    uint64_t aggregation_interval_ns;
    int64_t series_cache_ratio;
    int64_t ingest_threads;
    int64_t http_series_max; /* 0: no limit */

    int plain; /* enum serverd_plain */
    int64_t plain_agents_per_source;
    int64_t plain_agents_max;
    struct option_list plain_networks, plain_migrate;
    uint64_t agent_forget_ns;

    char *pki_ca, *pki_ca_key, *pki_certificate, *pki_key; /* files; "": the state directory's */

    char *state_dir;
    bool task;
    char *task_meta_dir; /* "": no files */
    uint64_t task_timeout_ns, task_expire_ns, task_keep_ns;
    uint64_t task_output_max, task_output_total;
    uint64_t task_files_max, task_files_age_ns; /* 0: no limit */

    char *log_dir;
    int64_t log_level;
    int log_format; /* enum log_format */
};

extern const struct option serverd_options[];
extern const size_t serverd_options_count;

/* Fills *settings (zeroed by the caller) from flags argv[argc] (without the program's name),
 * `environment` and the file that -config names, and checks what one option alone cannot tell.
 * Errors, with every fault in `problems`: PROBER_ERR_SYNTAX for what a source says, PROBER_ERR_STATE
 * for values that do not go together; PROBER_ERR_NOMEM. The settings must be freed all the same. */
enum prober_error serverd_settings_load(struct serverd_settings *settings, int argc,
                                        char *const *argv, char *const *environment,
                                        struct problems *problems);
void serverd_settings_free(struct serverd_settings *settings);

/* How long after its last call an agent still counts as alive: ratio x aggregation interval; with
 * a ratio of 0 or less, when series never expire, 5 intervals, since a dead agent is not alive; and
 * never less than 3 s, three times the shortest heartbeat. */
uint64_t serverd_alive_ns(const struct serverd_settings *settings);
/* How many URLs, over all source regions, that many series allow; 0: no limit. */
uint64_t serverd_urls_max(const struct serverd_settings *settings);
/* How often agents must call: 10 s, or a third of the above when that is less. */
uint64_t serverd_heartbeat_ns(const struct serverd_settings *settings);

#endif
