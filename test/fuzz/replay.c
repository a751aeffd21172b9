/*
 * replay - gives a fuzz target the files of its corpus, one by one, without libFuzzer: so that what
 * was once found stays found with every compiler and sanitizer, in every `make check`.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Runs one file from memory of exactly its size, so that a read past the end is seen. */
static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat about;
    uint8_t *data = NULL;
    int failed = 1;

    if (!f || fstat(fileno(f), &about) != 0)
        goto out;
    data = malloc(about.st_size ? (size_t)about.st_size : 1);
    if (!data || fread(data, 1, (size_t)about.st_size, f) != (size_t)about.st_size)
        goto out;
    printf("%s\n", path);
    fflush(stdout); /* names the culprit when it crashes */
    LLVMFuzzerTestOneInput(data, (size_t)about.st_size);
    failed = 0;
out:
    if (failed)
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    if (f)
        fclose(f);
    free(data);
    return failed;
}

static int replay_directory(const char *path)
{
    DIR *dir = opendir(path);
    int failed = 0, files = 0;

    if (!dir) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        char file[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        failed += replay_file(file);
        files++;
    }
    closedir(dir);
    if (!files)
        fprintf(stderr, "replay: %s holds no files\n", path);
    return failed || !files;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;

    if (failed)
        fprintf(stderr, "usage: %s CORPUS-DIRECTORY...\n", argv[0]);
    for (int i = 1; i < argc; i++)
        failed |= replay_directory(argv[i]);
    return failed;
}
