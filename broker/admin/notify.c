#include "broker/admin/notify.h"

#include "broker/base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int manager = -1;
static uint64_t watchdog_ms;

/* The watchdog may be meant for another process than this. */
static uint64_t
find_watchdog(void)
{
    const char *microseconds = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    if (microseconds == NULL || (pid != NULL && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    return strtoull(microseconds, NULL, 10) / 1000u;
}

void
notify_init(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *path = getenv("NOTIFY_SOCKET");
    const size_t size = path == NULL ? 0 : strlen(path);
    if (size < 2 || size >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, size);
    if (path[0] == '@')
        address.sun_path[0] = 0;
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    if (manager >= 0 && connect(manager, (const struct sockaddr *)&address, length) != 0) {
        close(manager);
        manager = -1;
    }
    watchdog_ms = manager < 0 ? 0 : find_watchdog();
}

void
notify(const char *format, ...)
{
    char text[512];
    va_list args;
    if (manager < 0)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* A manager that does not listen has nobody to be told about it. */
    const ssize_t sent = send(manager, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent;
}

void
notify_reloading(void)
{
    notify("RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=Reading the configuration again",
           (unsigned long long)(clock_monotonic_ns() / 1000u));
}

uint64_t
notify_watchdog_ms(void)
{
    return watchdog_ms;
}
