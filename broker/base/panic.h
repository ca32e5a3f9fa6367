#ifndef BROKER_BASE_PANIC_H
#define BROKER_BASE_PANIC_H

/*
 * Assertions and the end of the process.
 *
 * ASSERT is for bugs: something this program promised itself. It stays on in release builds. What
 * arrives from a peer, a disk or a configuration file is never asserted on; it gets an error.
 * ASSERT_SLOW walks structures and exists only in debug builds.
 */

#include <stdnoreturn.h>

/* Prints the message with its place and a backtrace to stderr, then aborts. Any thread. */
noreturn void panic(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define PANIC(...) panic(__FILE__, __LINE__, __VA_ARGS__)

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            PANIC("assertion failed: %s", #condition);                                             \
    } while (0)

#ifdef __OPTIMIZE__
#define ASSERT_SLOW(condition) ((void)sizeof(condition))
#else
#define ASSERT_SLOW(condition) ASSERT(condition)
#endif

#define UNREACHABLE() PANIC("unreachable")

#endif
