#include "agentd/usage.h"

#include "agentd/options.h"
#include "common/version.h"

static const char head[] =
    "agentd " PROBER_VERSION " - the ProberMesh agent\n"
    "\n"
    "usage: agentd [flags]                    run the agent\n"
    "       agentd probe icmp [flags] HOST…   probe once and print JSON (agentd probe icmp -h)\n"
    "       agentd probe http [flags] URL…    the same for URLs (agentd probe http -h)\n"
    "       agentd check-config [-dump] FILE  check a configuration file; or flags, for FILE\n"
    "\n"
    "The agent asks its server what to probe, pings those targets, and reports what\n"
    "came of it. It needs CAP_NET_RAW: run it as root, from its systemd unit, or after\n"
    "`setcap cap_net_raw+ep agentd`.\n"
    "\n"
    "A flag is written -x VALUE, -x=VALUE, or with two dashes; a switch is -x or\n"
    "-x=false. A setting comes from its flag, else from the environment\n"
    "(PROBERMESH_AGENT_PROBE_INTERVAL for -agent.probe.interval), else from the file\n"
    "that -config names, else its default holds. A duration is 15s, 1m30s or 500ms.\n"
    "\n";

static const char tail[] =
    "\n"
    "Signals: SIGHUP reads the settings anew, all or nothing; log.*, agent.sync.interval,\n"
    "agent.spool.size, agent.probe.allow and agent.probe.deny take effect at once, the\n"
    "others after a restart. SIGTERM and SIGINT stop the agent: what is spooled is\n"
    "delivered for up to 2 s, then it exits with 0.\n"
    "\n"
    "Exit status: 0 stopped by a signal; 1 could not start; 2 wrong flags or settings.\n";

void usage_print(FILE *out)
{
    fputs(head, out);
    options_help(agentd_options, agentd_options_count, out);
    fputs(tail, out);
}

void usage_complain(const struct problems *problems)
{
    size_t count = problems_count(problems);

    for (size_t i = 0; i < count && i < PROBLEMS_MAX; i++)
        fprintf(stderr, "agentd: %s\n", problems_text(problems, i));
    fputs("agentd: `agentd -h` lists the flags\n", stderr);
}
