/*
 * tokens - the tokens of the admin API, as files hold them.
 *
 * Purpose    A file has one token a line: NAME ROLE TOKEN [until=DATE]. TOKEN is the token itself
 *            (16 to 256 letters, digits and -._~+/=) or "sha256:" and the digest of it in hex; DATE is
 *            YYYY-MM-DD, or YYYY-MM-DDThh:mm:ssZ, in UTC. Blank lines and those that begin with #
 *            mean nothing. In memory there are digests alone.
 * Threads    A set is immutable; any thread.
 * Ownership  A set owns its names.
 */
#ifndef SERVERD_TOKENS_H
#define SERVERD_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/problems.h"
#include "serverd/role.h"

#define TOKENS_MAX 1024
#define TOKEN_NAME_MAX 64
#define TOKEN_TEXT_MIN 16
#define TOKEN_TEXT_MAX 256

struct token_set;

/* Reads a file, or every file of a directory whose name does not begin with a dot. "": an empty set.
 * Nobody but the owner, who is root or the user of this process, may be able to read or write a
 * file, or write the directory.
 * Errors, with every fault in `problems` and without a token's text: PROBER_ERR_SYNTAX, _DENIED,
 * _NOT_FOUND, _IO, _RANGE; PROBER_ERR_NOMEM. */
enum prober_error tokens_read(struct token_set **out, const char *path, struct problems *problems);
/* The same of a text; `name` stands for the file's in messages. The text is overwritten. */
enum prober_error tokens_read_text(struct token_set **out, const char *name, char *text, size_t len,
                                   struct problems *problems);
size_t tokens_count(const struct token_set *set);

enum token_verdict { TOKEN_UNKNOWN, TOKEN_EXPIRED, TOKEN_GOOD };

struct token_owner {
    const char *name; /* the set's */
    enum role role;
};

/* Whose the token text[len] is. The time it takes depends on len and the size of the set alone.
 * *owner is filled unless the token is unknown. */
enum token_verdict tokens_find(const struct token_set *set, const char *text, size_t len,
                               uint64_t now_real_ns, struct token_owner *owner);
/* NULL is fine. */
void tokens_free(struct token_set *set);

#endif
