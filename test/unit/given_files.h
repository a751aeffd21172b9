/*
 * given_files - a directory of the test's own, that goes away with the test.
 */
#ifndef TEST_UNIT_GIVEN_FILES_H
#define TEST_UNIT_GIVEN_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

struct given_files {
    char dir[32];
};

static inline void given_dir(struct given_files *g)
{
    strcpy(g->dir, "/tmp/prober_test.XXXXXX");
    assert_non_null(mkdtemp(g->dir));
}

/* The path of `name` in it: one of the last four that were asked for. */
static inline const char *given_path(const struct given_files *g, const char *name)
{
    static char texts[4][256];
    static unsigned turn;
    char *text = texts[++turn % 4];

    snprintf(text, sizeof(texts[0]), "%s/%s", g->dir, name);
    return text;
}

static inline void given_file(const struct given_files *g, const char *name, const void *bytes,
                              size_t len)
{
    FILE *file = fopen(given_path(g, name), "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static inline void given_text(const struct given_files *g, const char *name, const char *text)
{
    given_file(g, name, text, strlen(text));
}

static inline void given_dir_ends(const struct given_files *g)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s", g->dir);
    assert_int_equal(system(command), 0);
}

#endif
