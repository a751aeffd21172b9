/*
 * fuzz_options - command line, environment and file together. The input is lines: words of the
 * command line up to an empty line, variables up to the next one, and then the file.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/array.h"
#include "common/options.h"

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct settings {
    char *config, *text;
    bool flag, below;
    int64_t number, any;
    uint64_t duration_ns, bytes;
    int choice;
    struct option_list list;
};

static const char *const choices[] = {"static", "dynamic", NULL};

#define AT(member) offsetof(struct settings, member)
static const struct option table[] = {
    {.name = "config", .type = OPTION_STRING, .offset = AT(config), .flags = OPTION_NO_FILE},
    {.name = "a.text", .type = OPTION_STRING, .offset = AT(text), .fallback = "x"},
    {.name = "a.flag", .type = OPTION_BOOL, .offset = AT(flag)},
    {.name = "a.flag.below", .type = OPTION_BOOL, .offset = AT(below), .fallback = "true"},
    {.name = "number", .type = OPTION_INT, .offset = AT(number), .min = -5, .max = 5},
    {.name = "any", .type = OPTION_INT, .offset = AT(any)},
    {.name = "duration", .type = OPTION_DURATION, .offset = AT(duration_ns), .fallback = "15s"},
    {.name = "bytes", .type = OPTION_SIZE, .offset = AT(bytes), .fallback = "1MB"},
    {.name = "b-c", .type = OPTION_CHOICE, .offset = AT(choice), .choices = choices},
    {.name = "list", .type = OPTION_LIST, .offset = AT(list)},
};

/* The words that the fuzzer may not say: they would open files. */
static bool is_forbidden(const char *word)
{
    return strstr(word, "config") || strstr(word, "CONFIG");
}

/* Takes lines up to an empty one as words; returns what is behind it. */
static char *take_words(char *text, char **words, size_t *count)
{
    while (*text && *text != '\n') {
        size_t len = strcspn(text, "\n");
        bool ends = text[len] == '\0';

        text[len] = '\0';
        if (*count < WORDS_MAX && !is_forbidden(text))
            words[(*count)++] = text;
        text += len + !ends;
    }
    return text + (*text == '\n');
}

static char *dump(const struct settings *settings)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    options_dump(table, ARRAY_LEN(table), settings, out);
    fclose(out);
    return text;
}

/* Loads from these sources and the file with this content; a dump of the settings, or NULL. */
static char *load(char **words, size_t count, char **variables, const char *file)
{
    struct settings settings = {0};
    struct problems *problems = NULL;
    char path[64], *dumped = NULL, *all[WORDS_MAX + 2];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    size_t len = strlen(file);
    char option[] = "-config";

    if (fd < 0 || write(fd, file, len) != (ssize_t)len || problems_create(&problems))
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    all[0] = option;
    all[1] = path;
    if (count)
        memcpy(all + 2, words, count * sizeof(*words));
    if (options_load(&(struct options_source){table, ARRAY_LEN(table), &settings, (int)count + 2,
                                              all, variables, "config"},
                     problems) == PROBER_OK)
        dumped = dump(&settings);
    else if (problems_count(problems) == 0)
        abort();
    options_free(table, ARRAY_LEN(table), &settings);
    problems_destroy(problems);
    close(fd);
    return dumped;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size), *file, *first, *second = NULL, *third = NULL;
    char *words[WORDS_MAX + 1] = {NULL}, *variables[WORDS_MAX + 1] = {NULL};
    size_t word_count = 0, variable_count = 0;

    if (!text)
        return 0;
    file = take_words(take_words(text, words, &word_count), variables, &variable_count);
    first = load(words, word_count, variables, file);
    /* What is loaded can be written as a file and loaded; only what is not UTF-8 changes, once. */
    if (first)
        second = load(NULL, 0, NULL, first);
    if (second)
        third = load(NULL, 0, NULL, second);
    if (first && (!third || strcmp(second, third) != 0))
        abort();
    free(first);
    free(second);
    free(third);
    free(text);
    return 0;
}
