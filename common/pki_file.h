/*
 * pki_file - certificates and keys out of files.
 *
 * Purpose    What an agent's credentials and a server's authority read, and how they tell what is
 *            wrong with a file.
 * Threads    Any thread.
 * Ownership  A text that was read is the caller's, who frees it by pki_forget.
 */
#ifndef COMMON_PKI_FILE_H
#define COMMON_PKI_FILE_H

#include "common/error.h"
#include "common/strbuf.h"

/* Reads a text of at most PKI_BYTES_MAX bytes into *out, in place of what it held. Errors: as
 * file_read, with *out untouched; PROBER_ERR_SYNTAX for one with NUL bytes, held by *out then. */
enum prober_error pki_file_read(const char *path, struct strbuf *out, struct prober_failure *why);
/* The same, of a key of our own: when others can read it, it is a secret no more. Then
 * PROBER_ERR_STATE; `remedy` says what to do if somebody may have read it. */
enum prober_error pki_file_read_secret(const char *path, const char *remedy, struct strbuf *out,
                                       struct prober_failure *why);
/* Names the file in front of what is wrong with it, and returns `err`. why may be NULL. */
enum prober_error pki_file_fault(const char *path, enum prober_error err,
                                 struct prober_failure *why);

#endif
