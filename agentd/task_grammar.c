#include "agentd/task_grammar.h"

#include "common/array.h"
#include "libprober/icmp_engine.h"

const char task_dns_types[] =
    "A AAAA ANY CAA CDNSKEY CDS CNAME DNAME DNSKEY DS HINFO HTTPS LOC MX NAPTR NS NSEC NSEC3PARAM "
    "PTR RP RRSIG SOA SPF SRV SSHFP SVCB TLSA TXT URI";
const char task_dns_classes[] = "IN CH HS";

/* clang-format off */

#define SPELLED(...) .spellings = {__VA_ARGS__}
#define FLAG(...) {SPELLED(__VA_ARGS__)}
#define SWITCH(name) {SPELLED(name), .value = TASK_VALUE_SWITCH}
#define IPV4(...) {SPELLED(__VA_ARGS__), .role = TASK_ROLE_IPV4}
#define IPV6(...) {SPELLED(__VA_ARGS__), .role = TASK_ROLE_IPV6}
#define WHOLE(from, to, ...) \
    {SPELLED(__VA_ARGS__), .value = TASK_VALUE_WHOLE, .low = (from), .high = (to)}
#define PORT(...) WHOLE(1, 65535, __VA_ARGS__)
#define CHOICE(words, ...) {SPELLED(__VA_ARGS__), .value = TASK_VALUE_CHOICE, .among = (words)}

static const struct task_option ping_options[] = {
    IPV4("-4"),
    IPV6("-6"),
    FLAG("-n"),
    FLAG("-q"),
    FLAG("-v"),
    FLAG("-D"),
    FLAG("-O"),
    {SPELLED("-c"), .value = TASK_VALUE_WHOLE, .role = TASK_ROLE_COUNT, .low = 1, .high = 1000,
     .adjusted = true, .fallback = "5"},
    {SPELLED("-i"), .value = TASK_VALUE_DECIMAL, .role = TASK_ROLE_INTERVAL, .low = 0.2, .high = 60,
     .adjusted = true, .fallback = "1"},
    {SPELLED("-w"), .value = TASK_VALUE_WHOLE, .role = TASK_ROLE_DEADLINE, .low = 1, .high = 3600,
     .adjusted = true, .fallback = "3600"},
    {SPELLED("-W"), .value = TASK_VALUE_DECIMAL, .low = 0.1, .high = 30, .adjusted = true},
    WHOLE(0, 9000, "-s"),
    WHOLE(1, 255, "-t"),
    WHOLE(0, 255, "-Q"),
    CHOICE("do dont want", "-M"),
    {SPELLED("-I"), .value = TASK_VALUE_SOURCE},
};

static const struct task_option mtr_options[] = {
    {SPELLED("-r", "--report"), .fallback = ""}, /* else it waits for keys; -j and -w follow it */
    FLAG("-w", "--report-wide"),
    FLAG("-j", "--json"),
    FLAG("-x", "--xml"),
    FLAG("-C", "--csv"),
    IPV4("-4"),
    IPV6("-6"),
    FLAG("-n", "--no-dns"),
    FLAG("-b", "--show-ips"),
    FLAG("-z", "--aslookup"),
    FLAG("-e", "--mpls"),
    FLAG("-u", "--udp"),
    FLAG("-T", "--tcp"),
    {SPELLED("-c", "--report-cycles"), .value = TASK_VALUE_WHOLE, .role = TASK_ROLE_COUNT, .low = 1,
     .high = 1000, .adjusted = true, .fallback = "10"},
    {SPELLED("-i", "--interval"), .value = TASK_VALUE_DECIMAL, .role = TASK_ROLE_INTERVAL,
     .low = 0.1, .low_user = 1, .high = 60, .adjusted = true, .fallback = "1"},
    WHOLE(1, 64, "-f", "--first-ttl"),
    WHOLE(1, 64, "-m", "--max-ttl"),
    WHOLE(1, 64, "-U", "--max-unknown"),
    PORT("-P", "--port"),
    WHOLE(28, 9000, "-s", "--psize"),
    WHOLE(0, 255, "-Q", "--tos"),
    WHOLE(0, 4, "-y", "--ipinfo"),
    {SPELLED("-o", "--order"), .value = TASK_VALUE_LETTERS, .among = "LDRSNBAWVGJMXI"},
    {SPELLED("-I", "--interface"), .value = TASK_VALUE_INTERFACE},
    {SPELLED("-a", "--address"), .value = TASK_VALUE_ADDRESS},
};

static const struct task_option traceroute_options[] = {
    IPV4("-4"),
    IPV6("-6"),
    FLAG("-F", "--dont-fragment"),
    FLAG("-I", "--icmp"),
    FLAG("-T", "--tcp"),
    FLAG("-U", "--udp"),
    FLAG("-n"),
    FLAG("-e", "--extensions"),
    FLAG("--mtu"),
    FLAG("--back"),
    WHOLE(1, 64, "-f", "--first"),
    {SPELLED("-m", "--max-hops"), .value = TASK_VALUE_WHOLE, .low = 1, .high = 64,
     .adjusted = true, .fallback = "30"},
    WHOLE(1, 16, "-N", "--sim-queries"),
    {SPELLED("-q", "--queries"), .value = TASK_VALUE_WHOLE, .low = 1, .high = 10,
     .adjusted = true, .fallback = "3"},
    {SPELLED("-w", "--wait"), .value = TASK_VALUE_DECIMAL, .low = 0.1, .high = 10,
     .adjusted = true, .fallback = "3"},
    PORT("-p", "--port"),
    WHOLE(0, 255, "-t", "--tos"),
    {SPELLED("-i", "--interface"), .value = TASK_VALUE_INTERFACE},
    {SPELLED("-s", "--source"), .value = TASK_VALUE_ADDRESS},
};

static const struct task_option tracepath_options[] = {
    IPV4("-4"),
    IPV6("-6"),
    FLAG("-n"),
    FLAG("-b"),
    WHOLE(48, 65535, "-l"),
    {SPELLED("-m"), .value = TASK_VALUE_WHOLE, .low = 1, .high = 64, .adjusted = true,
     .fallback = "30"},
    PORT("-p"),
};

static const struct task_option dig_options[] = {
    IPV4("-4"),
    IPV6("-6"),
    FLAG("-u"),
    CHOICE(task_dns_types, "-t"),
    CHOICE(task_dns_classes, "-c"),
    {SPELLED("-x"), .value = TASK_VALUE_ADDRESS, .role = TASK_ROLE_REVERSE},
    PORT("-p"),
    /* +noall +answer: what sets all comes first. */
    SWITCH("+all"),
    SWITCH("+short"),
    SWITCH("+answer"),
    SWITCH("+authority"),
    SWITCH("+additional"),
    SWITCH("+question"),
    SWITCH("+comments"),
    SWITCH("+cmd"),
    SWITCH("+stats"),
    SWITCH("+qr"),
    SWITCH("+identify"),
    SWITCH("+multiline"),
    SWITCH("+ttlid"),
    SWITCH("+ttlunits"),
    SWITCH("+class"),
    SWITCH("+crypto"),
    SWITCH("+recurse"),
    SWITCH("+rdflag"),
    SWITCH("+adflag"),
    SWITCH("+cdflag"),
    SWITCH("+aaflag"),
    SWITCH("+dnssec"),
    SWITCH("+nsid"),
    SWITCH("+cookie"),
    SWITCH("+search"),
    SWITCH("+tcp"),
    SWITCH("+ignore"),
    FLAG("+noedns"),
    WHOLE(0, 1, "+edns"),
    WHOLE(0, 4096, "+bufsize"),
    WHOLE(0, 15, "+ndots"),
    {SPELLED("+time", "+timeout"), .value = TASK_VALUE_WHOLE, .low = 1, .high = 30,
     .adjusted = true, .fallback = "5"},
    {SPELLED("+tries"), .value = TASK_VALUE_WHOLE, .low = 1, .high = 5, .adjusted = true,
     .fallback = "2"},
};

static const struct task_option host_options[] = {
    IPV4("-4"),
    IPV6("-6"),
    FLAG("-a"),
    FLAG("-v"),
    FLAG("-d"),
    FLAG("-r"),
    FLAG("-s"),
    FLAG("-T"),
    CHOICE(task_dns_types, "-t"),
    CHOICE(task_dns_classes, "-c"),
    WHOLE(0, 15, "-N"),
    {SPELLED("-R"), .value = TASK_VALUE_WHOLE, .low = 1, .high = 5, .adjusted = true,
     .fallback = "2"},
    {SPELLED("-W"), .value = TASK_VALUE_WHOLE, .low = 1, .high = 30, .adjusted = true,
     .fallback = "5"},
};

static const struct task_option nslookup_options[] = {
    CHOICE(task_dns_types, "-type", "-query", "-querytype", "-q"),
    CHOICE(task_dns_classes, "-class"),
    FLAG("-debug"),
    FLAG("-norecurse"),
    FLAG("-nosearch"),
    FLAG("-vc"),
    PORT("-port"),
    {SPELLED("-timeout"), .value = TASK_VALUE_WHOLE, .low = 1, .high = 30, .adjusted = true,
     .fallback = "5"},
    {SPELLED("-retry"), .value = TASK_VALUE_WHOLE, .low = 1, .high = 5, .adjusted = true,
     .fallback = "2"},
};

static const struct task_option ss_options[] = {
    IPV4("-4", "--ipv4"),
    IPV6("-6", "--ipv6"),
    FLAG("-0", "--packet"),
    FLAG("-n", "--numeric"),
    FLAG("-r", "--resolve"),
    FLAG("-a", "--all"),
    FLAG("-l", "--listening"),
    FLAG("-o", "--options"),
    FLAG("-e", "--extended"),
    FLAG("-m", "--memory"),
    FLAG("-p", "--processes"),
    FLAG("-i", "--info"),
    FLAG("-s", "--summary"),
    FLAG("-t", "--tcp"),
    FLAG("-u", "--udp"),
    FLAG("-w", "--raw"),
    FLAG("-x", "--unix"),
    FLAG("-d", "--dccp"),
    FLAG("-S", "--sctp"),
    FLAG("-M", "--mptcp"),
    FLAG("-H", "--no-header"),
    FLAG("-O", "--oneline"),
    FLAG("--tos"),
    FLAG("--cgroup"),
    FLAG("--inet-sockopt"),
    CHOICE("inet inet6 link unix netlink vsock", "-f", "--family"),
};

static const struct task_option ip_options[] = {
    IPV4("-4"),
    IPV6("-6"),
    FLAG("-0"),
    FLAG("-s", "-stats", "-statistics"),
    FLAG("-d", "-details"),
    FLAG("-o", "-oneline"),
    FLAG("-br", "-brief"),
    FLAG("-j", "-json"),
    FLAG("-p", "-pretty"),
    FLAG("-h", "-human", "-human-readable"),
    FLAG("-iec"),
    FLAG("-N", "-Numeric"),
};

#define IGNORED(name) {SPELLED(name), .role = TASK_ROLE_IGNORED}
/* The first spelling is that of `agentd probe`, the others are of the tools that people know. */
#define SECONDS_OF(what, from, to, usual, ...) \
    {SPELLED(__VA_ARGS__), .value = TASK_VALUE_SECONDS, .role = (what), .low = (from), \
     .high = (to), .adjusted = true, .fallback = (usual)}

static const struct task_option own_ping_options[] = {
    {SPELLED("-text"), .fallback = ""},
    FLAG("-json"),
    IPV4("-4"),
    IPV6("-6"),
    {SPELLED("-count", "-c"), .value = TASK_VALUE_WHOLE, .role = TASK_ROLE_COUNT, .low = 1,
     .high = 1000, .adjusted = true, .fallback = "5"},
    SECONDS_OF(TASK_ROLE_INTERVAL, 0.2, 60, "1", "-interval", "-i"),
    SECONDS_OF(TASK_ROLE_TIMEOUT, 0.1, 10, "1", "-timeout", "-W"),
    WHOLE(ICMP_PAYLOAD_MIN, 9000, "-size", "-s"),
    IGNORED("-n"),
    IGNORED("-q"),
    IGNORED("-v"),
    IGNORED("-D"),
    IGNORED("-O"),
    {SPELLED("-w"), .value = TASK_VALUE_WHOLE, .role = TASK_ROLE_IGNORED, .low = 1, .high = 3600},
};

static const struct task_option http_options[] = {
    {SPELLED("-text"), .fallback = ""},
    FLAG("-json"),
    IPV4("-4"),
    IPV6("-6"),
    CHOICE("GET HEAD OPTIONS", "-method"),
    WHOLE(100, 599, "-status"),
    FLAG("-no-redirects"),
    SECONDS_OF(TASK_ROLE_DEADLINE, 0.1, 60, "10", "-timeout"),
};

static const struct task_option trace_options[] = {
    FLAG("-json"),
    IPV4("-4"),
    IPV6("-6"),
    CHOICE("icmp udp", "-protocol"),
    {SPELLED("-count", "-c"), .value = TASK_VALUE_WHOLE, .role = TASK_ROLE_COUNT, .low = 1,
     .high = 1000, .adjusted = true, .fallback = "10"},
    SECONDS_OF(TASK_ROLE_INTERVAL, 0.2, 60, "1", "-interval", "-i"),
    SECONDS_OF(TASK_ROLE_TIMEOUT, 0.1, 10, "2", "-timeout"),
    {SPELLED("-max-hops", "-m"), .value = TASK_VALUE_WHOLE, .low = 1, .high = 64,
     .adjusted = true, .fallback = "30"},
    WHOLE(1, 64, "-silent", "-U"),
    PORT("-port", "-P"),
    /* What all hops need at the shortest interval, so that their number does not prolong it. */
    {SPELLED("-rate"), .value = TASK_VALUE_WHOLE, .low = 1, .high = 500, .fallback = "500"},
};

#define TOOL(tool) \
    .name = #tool, .options = tool##_options, .option_count = ARRAY_LEN(tool##_options)

#define OWN(tool, table, probe) \
    .name = #tool, .kind = (probe), .options = table##_options, \
    .option_count = ARRAY_LEN(table##_options)

const struct task_tool task_tools[] = {
    {TOOL(ping), .needs_raw = true, .spare_s = 2, .operands = task_operands_host},
    {TOOL(mtr), .needs_raw = true, .spare_s = 8, .operands = task_operands_host},
    {TOOL(traceroute), .needs_raw = true, .operands = task_operands_host_and_length},
    {TOOL(tracepath), .operands = task_operands_host},
    {TOOL(dig), .operands = task_operands_dig},
    {TOOL(host), .operands = task_operands_name_and_server},
    {TOOL(nslookup), .words = true, .operands = task_operands_name_and_server},
    {TOOL(ss), .operands = task_operands_ss},
    {TOOL(ip), .words = true, .operands = task_operands_ip},
    {OWN(ping, own_ping, "icmp"), .needs_raw = true, .spare_s = 2, .operands = task_operands_host},
    {OWN(http, http, "http"), .judges = true, .spare_s = 2, .operands = task_operands_url},
    {OWN(trace, trace, "trace"), .needs_raw = true, .spare_s = 3, .operands = task_operands_host},
};
const size_t task_tools_count = ARRAY_LEN(task_tools);

_Static_assert(ARRAY_LEN(dig_options) <= TASK_OPTIONS_MAX, "the tool of most options fits");
