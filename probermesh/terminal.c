#include "probermesh/terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

bool terminal_is_tty(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

bool terminal_shows_progress(void)
{
    return isatty(STDERR_FILENO) == 1;
}

struct view_style terminal_style(enum terminal_colour colour)
{
    const char *no_colour = getenv("NO_COLOR");
    bool tty = terminal_is_tty();
    struct winsize size;
    struct view_style style = {
        .colour = colour == TERMINAL_ALWAYS ||
                  (colour == TERMINAL_AUTO && tty && (!no_colour || !*no_colour)),
    };

    if (tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        style.width = size.ws_col;
    return style;
}

static sigset_t stop_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

void terminal_watch_signals(void)
{
    sigset_t set = stop_signals();

    sigprocmask(SIG_BLOCK, &set, NULL);
}

int terminal_open_signals(void)
{
    sigset_t set = stop_signals();

    terminal_watch_signals();
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool terminal_wait(uint64_t ns)
{
    sigset_t set = stop_signals();
    struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

    return sigtimedwait(&set, NULL, &time) < 0;
}
