/*
 * command - what the commands that ask the running server have in common.
 *
 * Purpose    A command takes flags of its own, and those of the server, of which the state directory
 *            matters: it is found as the server itself finds it, in flags, environment and file.
 *            Exit statuses: 0 done, 1 not done, 2 wrong usage. What went wrong is on stderr.
 * Threads    main() only.
 */
#ifndef SERVERD_COMMAND_H
#define SERVERD_COMMAND_H

#include "common/json.h"
#include "common/options.h"
#include "serverd/local_request.h"

enum { COMMAND_OK, COMMAND_FAULT, COMMAND_USAGE };

struct command {
    const char *usage; /* "serverd agents [list] …", lines */
    const struct option *options; /* its own */
    size_t option_count;
    void *settings; /* zeroed; what the options' offsets point into */
    char *state_dir; /* out */
};

/* Reads argv[argc] and the environment. Returns a COMMAND_ status: go on only after COMMAND_OK.
 * command_free in any case. */
int command_load(struct command *command, int argc, char *const *argv, char *const *environment);
/* Prints the usage and the command's flags. */
void command_help(const struct command *command, FILE *out);
/* Asks the server. Returns a COMMAND_ status; *answer, an object, is the caller's after COMMAND_OK. */
int command_ask(const struct command *command, const struct local_request *request,
                struct json **answer);
void command_free(struct command *command);

/* Prints text with whatever could forge a line escaped. */
void command_print_text(FILE *out, const char *text);
/* Prints a moment, Unix seconds, as 2026-11-25T22:20:26Z. */
void command_print_time(FILE *out, int64_t seconds);
/* Prints a text as one word of a shell's command line. */
void command_print_word(FILE *out, const char *text);
/* Prints a member of the server's answer as JSON, and frees the answer. Returns a COMMAND_ status. */
int command_print_json(struct json *answer, const char *key);
/* A number of the server's answer; 0 when there is none. */
int64_t command_number(const struct json *object, const char *key);
/* A text of the server's answer; "" when there is none. */
const char *command_text(const struct json *object, const char *key);

#endif
