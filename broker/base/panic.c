#include "broker/base/panic.h"

#include "broker/base/log.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What has been logged is worth a moment: it leads up to this. */
#define FLUSH_MS 1000u

noreturn void
panic(const char *file, int line, const char *format, ...)
{
    va_list args;
    log_flush(FLUSH_MS);
    fprintf(stderr, "railmq: fatal: %s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(stderr);
    void *frames[64];
    const int count = backtrace(frames, 64);
    backtrace_symbols_fd(frames, count, STDERR_FILENO);
    abort();
}

#ifdef __SANITIZE_THREAD__
/* RocksDB is not instrumented: the sanitizer does not see how it synchronises. Races with one of
 * its frames in a stack are not told. */
const char *__tsan_default_suppressions(void);
const char *
__tsan_default_suppressions(void)
{
    return "race:librocksdb.so\n";
}
#endif
