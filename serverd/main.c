/*
 * serverd - the server: takes in what agents measured, and shows the mesh.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/process.h"
#include "common/version.h"
#include "serverd/agents_command.h"
#include "serverd/check_config.h"
#include "serverd/join_token_command.h"
#include "serverd/options.h"
#include "serverd/reload.h"
#include "serverd/server.h"

extern char **environ;

enum { EXIT_OK, EXIT_FAULT, EXIT_USAGE };

#define WAKE_MS 1000
#define STOP_SECONDS 4 /* the service manager is promised five */

static void give_up(int signal_number)
{
    static const char text[] = "serverd: stopping took too long, leaving\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

    (void)signal_number;
    (void)ignored;
    _exit(EXIT_OK);
}

/* Must come before any thread is made, so that all of them inherit it. */
static int take_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, alarm_action = {.sa_handler = give_up};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGALRM, &alarm_action, NULL);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int report(struct problems *problems, int status)
{
    for (size_t i = 0; i < problems_count(problems) && i < PROBLEMS_MAX; i++)
        log_fatal(problems_text(problems, i));
    return status;
}

static int wake_ms(void)
{
    uint64_t period_ms = notify_watchdog_period_ns() / CLOCK_NS_PER_MS;

    return period_ms && period_ms < WAKE_MS ? (int)period_ms : WAKE_MS;
}

static void run(struct server *server, int signals)
{
    struct signalfd_siginfo info;
    struct pollfd wait = {.fd = signals, .events = POLLIN};
    int timeout_ms = wake_ms();

    for (;;) {
        poll(&wait, 1, timeout_ms);
        while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
            if (info.ssi_signo != SIGHUP)
                return;
            notify_state("RELOADING=1");
            server_reload(server);
            notify_state("READY=1");
        }
        server_step(server);
        if (server_is_working(server, clock_monotonic_ns()))
            notify_state("WATCHDOG=1");
    }
}

static int serve(const struct serverd_settings *settings, int argc, char **argv, int signals,
                 struct problems *problems)
{
    const struct server_config config = {settings, argc, argv, environ};
    struct server *server;

    process_raise_fd_limit();
    if (server_start(&server, &config, problems))
        return report(problems, EXIT_FAULT);
    notify_state("READY=1");
    log_info("serving", LOG_S("version", PROBER_VERSION), LOG_S("rpc", settings->rpc_listen),
             LOG_S("http", settings->http_listen));
    run(server, signals);
    notify_state("STOPPING=1");
    alarm(STOP_SECONDS);
    server_stop(server);
    return EXIT_OK;
}

static int start(int argc, char **argv)
{
    struct serverd_settings settings = {.config = NULL};
    struct problems *problems = NULL;
    struct prober_failure why;
    int status = EXIT_FAULT, signals = take_signals();

    if (signals < 0 || problems_create(&problems))
        goto out;
    switch (serverd_settings_load(&settings, argc, argv, environ, problems)) {
    case PROBER_OK:
        break;
    case PROBER_ERR_STATE:
        status = report(problems, EXIT_FAULT);
        goto out;
    default:
        status = report(problems, EXIT_USAGE);
        fprintf(stderr, "serverd -h shows the usage\n");
        goto out;
    }
    if (settings.h || settings.help) {
        fputs("usage: serverd [flags]\n"
              "       serverd check-config FILE [-dump]\n"
              "       serverd join-token [-region NAME] [-ttl DURATION] [-uses N]\n"
              "       serverd agents [list | revoke ID | unrevoke ID]\n"
              "'serverd COMMAND -h' shows a command's flags.\n\n",
              stderr);
        options_help(serverd_options, serverd_options_count, stderr);
        status = EXIT_OK;
    } else if (settings.version) {
        fprintf(stderr, "level=info msg=version version=%s\n", PROBER_VERSION);
        status = EXIT_OK;
    } else if (reload_open_log(&settings, &why)) {
        log_fatal(why.text);
    } else {
        status = serve(&settings, argc, argv, signals, problems);
    }
out:
    log_close();
    problems_destroy(problems);
    serverd_settings_free(&settings);
    if (signals >= 0)
        close(signals);
    return status;
}

static int run_check_config(int argc, char *const *argv, char *const *environment)
{
    (void)environment;
    return check_config(argc, argv);
}

static const struct {
    const char *name;
    int (*run)(int argc, char *const *argv, char *const *environment);
} commands[] = {
    {"check-config", run_check_config},
    {"join-token", join_token_command},
    {"agents", agents_command},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2, environ);
    return start(argc - 1, argv + 1);
}
