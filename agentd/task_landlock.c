#include "agentd/task_landlock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agentd/task_program.h"
#include "common/array.h"

/* The headers that this is built with may be older than the kernel that it runs on. */
#define ACCESS_REFER (UINT64_C(1) << 13)
#define ACCESS_TRUNCATE (UINT64_C(1) << 14)
#define ACCESS_IOCTL_DEV (UINT64_C(1) << 15)
#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

struct ruleset {
    uint64_t fs, net, scoped; /* struct landlock_ruleset_attr */
};

#define READ_FILE (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE)
#define READ_TREE (READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

static const char *const trees[] = {"/usr",   "/bin",   "/sbin", "/lib",
                                    "/lib32", "/lib64", "/proc", "/sys"};
static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full"};
static const char *const sources[] = {"/dev/random", "/dev/urandom"};
/* What tools that look names up and print addresses read. */
static const char *const settings[] = {
    "/etc/resolv.conf",   "/etc/hosts",         "/etc/host.conf",
    "/etc/nsswitch.conf", "/etc/gai.conf",      "/etc/services",
    "/etc/protocols",     "/etc/networks",      "/etc/passwd",
    "/etc/group",         "/etc/iproute2",      "/etc/ld.so.cache",
    "/etc/localtime",     "/etc/alternatives",  "/etc/ssl/openssl.cnf",
    "/etc/ssl/certs",     "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted"};
/* What a shell has no business with, even where the agent could read it. */
static const char *const secrets[] = {
    "shadow", "shadow-",     "gshadow",    "gshadow-", "sudoers",   "sudoers.d",  "ssh",
    "ssl",    "krb5.keytab", "probermesh", "ppp",      "wireguard", "kubernetes", "docker"};

static void allow(int ruleset, const char *path, uint64_t file, uint64_t tree)
{
    struct landlock_path_beneath_attr rule = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
    struct stat st;

    if (rule.parent_fd < 0)
        return; /* not on this host */
    if (fstat(rule.parent_fd, &st) == 0) {
        rule.allowed_access = S_ISDIR(st.st_mode) ? tree : file;
        if (rule.allowed_access)
            syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    }
    close(rule.parent_fd);
}

static void allow_all(int ruleset, const char *const *paths, size_t count, uint64_t file,
                      uint64_t tree)
{
    for (size_t i = 0; i < count; i++)
        allow(ruleset, paths[i], file, tree);
}

static bool is_secret(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        if (strcmp(name, secrets[i]) == 0)
            return true;
    return false;
}

static void allow_settings(int ruleset)
{
    DIR *dir = opendir("/etc");

    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[sizeof("/etc/") + sizeof(entry->d_name)];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            is_secret(entry->d_name))
            continue;
        snprintf(path, sizeof(path), "/etc/%s", entry->d_name);
        allow(ruleset, path, LANDLOCK_ACCESS_FS_READ_FILE,
              LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
    }
    closedir(dir);
    allow(ruleset, "/var/log", 0, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
}

/* All that the kernel can take away, by the version of its interface. */
static struct ruleset everything(long version)
{
    struct ruleset all = {.fs = ACCESS_REFER - 1};

    if (version >= 2)
        all.fs |= ACCESS_REFER;
    if (version >= 3)
        all.fs |= ACCESS_TRUNCATE;
    if (version >= 5)
        all.fs |= ACCESS_IOCTL_DEV;
    if (version >= 6)
        all.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
    return all;
}

enum prober_error task_landlock_apply(bool wide, bool own, struct prober_failure *why)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct ruleset all;
    enum prober_error err = PROBER_OK;
    int ruleset;

    if (version < 1)
        return prober_fail(why, PROBER_ERR_UNSUPPORTED,
                           errno == EPERM ? "a filter of system calls forbids Landlock"
                                          : "this kernel has no Landlock, or it is switched off");
    all = everything(version);
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
    if (ruleset < 0)
        return prober_fail(why, PROBER_ERR_IO, "cannot make a Landlock ruleset: %s",
                           strerror(errno));
    allow_all(ruleset, trees, ARRAY_LEN(trees), READ_FILE, READ_TREE);
    allow_all(ruleset, devices, ARRAY_LEN(devices),
              LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE, 0);
    allow_all(ruleset, sources, ARRAY_LEN(sources), LANDLOCK_ACCESS_FS_READ_FILE, 0);
    allow_all(ruleset, settings, ARRAY_LEN(settings), LANDLOCK_ACCESS_FS_READ_FILE,
              LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
    if (wide)
        allow_settings(ruleset);
    if (own)
        allow(ruleset, TASK_PROGRAM_OWN, READ_FILE, 0);
    if (syscall(SYS_landlock_restrict_self, ruleset, 0))
        err = prober_fail(why, PROBER_ERR_IO, "cannot apply Landlock: %s", strerror(errno));
    close(ruleset);
    return err;
}
