/*
 * probe_command - one-shot probes from the command line: `agentd probe KIND …`.
 *
 * Purpose    A table of kinds; each prints JSON on stdout and says what is wrong on stderr.
 * Threads    main() alone, before any other thread.
 */
#ifndef AGENTD_PROBE_COMMAND_H
#define AGENTD_PROBE_COMMAND_H

enum probe_exit {
    PROBE_EXIT_OK = 0,     /* every target answered */
    PROBE_EXIT_FAILED = 1, /* some did not */
    PROBE_EXIT_USAGE = 2   /* wrong command line, or this host cannot probe */
};

/* Runs `probe argv[0] argv[1] …` and returns the exit status of the process. */
int probe_command(int argc, char *const *argv);

#endif
