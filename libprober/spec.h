/*
 * spec - what to probe and how: the probe file, and the settings of each kind of probe.
 *
 * Purpose    Reads the probe file (root key prober_configs). All faults are reported, each with
 *            file:line:key. Every entry is kept, also several of one region and kind.
 * Threads    A spec belongs to one thread while it is made, then is read by many.
 * Ownership  A probe_spec owns its entries and texts; it is reference-counted.
 */
#ifndef LIBPROBER_SPEC_H
#define LIBPROBER_SPEC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/error.h"
#include "common/problems.h"
#include "common/regex.h"
#include "common/strbuf.h"
#include "libprober/http_spec.h"
#include "libprober/target_source.h"

/* Kinds of probe; their names ("icmp", "http") and parsers are a table in spec.c. */
enum probe_kind { PROBE_ICMP, PROBE_HTTP, PROBE_KIND_COUNT };

const char *probe_kind_name(enum probe_kind kind);

#define PROBE_SPEC_TARGETS_MAX 200000 /* in all entries together */
#define PROBE_SPEC_TARGET_MAX 2048    /* bytes of a target */
#define PROBE_SPEC_REGION_MAX 128     /* bytes of a region's name, and of an entry's */
#define PROBE_SPEC_SOURCES_MAX 1000   /* in the source_regions of an entry */
#define PROBE_SPEC_LISTS_MAX 100      /* in the file_sd_configs, and in the http_sd_configs */
#define PROBE_SPEC_ALL_LISTS_MAX 1000 /* in all entries together */

#define ICMP_SPEC_PAYLOAD_DEFAULT 64
#define ICMP_SPEC_PAYLOAD_MIN 24
#define ICMP_SPEC_PAYLOAD_MAX 65000
#define ICMP_SPEC_COUNT_DEFAULT 64
#define ICMP_SPEC_COUNT_MAX 65535

struct icmp_spec {
    uint32_t payload_size; /* bytes after the ICMP header, 24..65000; <= 0 in the file: default */
    uint32_t packet_count; /* probes a window, 1..65535; <= 0 in the file: default */
    uint64_t interval_ns;  /* between probes of a burst, up to 1 h; 0: spread over the window */
    uint64_t timeout_ns;   /* up to 60 s; 0: the agent's, the smaller of 3 s and 0.8 x interval */
    enum prober_family family; /* preferred_ip_protocol: ip4 (default) or ip6 */
};

/* The settings of an ICMP entry without an icmp block. */
struct icmp_spec icmp_spec_default(void);

/* One of the regions whose agents probe an entry. */
struct probe_source {
    char *text;          /* as written: a region's name, or "=~" and a regexp */
    struct regex *regex; /* which matches the whole name; NULL: the text is the name */
};

struct probe_entry {
    enum probe_kind kind;
    char *name;     /* for one-shot probes; may be "" */
    char *region;   /* of the targets; may be "" */
    char **targets; /* [target_count], as written, each once; none only with lists */
    size_t target_count;
    struct target_source **lists; /* [list_count]: where further targets of the entry are told */
    size_t list_count;
    struct probe_source *sources; /* [source_count]; none: agents of any region */
    size_t source_count;
    struct icmp_spec icmp;  /* of PROBE_ICMP */
    struct http_spec *http; /* of PROBE_HTTP, never NULL then */
    uint64_t timeout_ns;    /* up to 1 h, of PROBE_ICMP 60 s; 0: the agent's. With PROBE_ICMP it
                                     is in `icmp` too, unless the block has its own */
    int line;
};

struct probe_spec {
    struct probe_entry *entries; /* [count], in the file's order */
    size_t count;
    atomic_uint references; /* private */
};

/* The spec has one reference.
 * Errors: PROBER_ERR_SYNTAX and others, with the faults in `problems`; *out untouched then. */
enum prober_error probe_spec_read_file(struct probe_spec **out, const char *path,
                                       struct problems *problems);
enum prober_error probe_spec_read_text(struct probe_spec **out, const char *name, const char *text,
                                       size_t len, struct problems *problems);
struct probe_spec *probe_spec_get(struct probe_spec *spec);
/* Gives a reference back, and frees with the last one. NULL is fine. */
void probe_spec_destroy(struct probe_spec *spec);

/* Appends the spec as a probe file for people: all settings, those that were left out too. What is
 * up to the agent, and secrets, are left out or masked. */
void probe_spec_put(struct strbuf *out, const struct probe_spec *spec);
/* Appends a target as it may be shown: as written, but without user information. */
void probe_target_put(struct strbuf *out, enum probe_kind kind, const char *target);

/* Why text[len] cannot be a target of this kind, or NULL: a constant, without the text. */
const char *probe_target_fault(enum probe_kind kind, const char *text, size_t len);
/* Why text[len] cannot be the name of a region or an entry, or NULL. */
const char *probe_name_fault(const char *text, size_t len);
/* True when source_regions lets agents of `region` probe the entry. */
bool probe_entry_takes_source(const struct probe_entry *entry, const char *region);
/* True when the target holds user information, or may hold it. */
bool probe_target_is_confidential(enum probe_kind kind, const char *target);
/* True when the entry must not pass over a link that others can read or forge: its http block is
 * confidential, or a target holds user information. */
bool probe_entry_is_confidential(const struct probe_entry *entry);

#endif
