#ifndef BROKER_ADMIN_NOTIFY_H
#define BROKER_ADMIN_NOTIFY_H

/*
 * Tells the service manager how the broker is: sd_notify(3) without its library. Everything does
 * nothing where no manager listens, which is how it is on a terminal. notify_init comes first, from
 * one thread; then any thread.
 */

#include <stdint.h>

/* Finds the manager in the environment: NOTIFY_SOCKET, and the watchdog's WATCHDOG_USEC. */
void notify_init(void);

/* Lines of NAME=VALUE, as in "READY=1\nSTATUS=...". */
void notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* RELOADING=1 with the time that goes with it; READY=1 ends it. */
void notify_reloading(void);

/* How often the manager wants WATCHDOG=1 at least; 0: it does not. */
uint64_t notify_watchdog_ms(void);

#endif
