#include "broker/base/progress.h"

#include "broker/base/clock.h"
#include "broker/base/log.h"

#include <stdio.h>
#include <unistd.h>

#define LOG_EVERY_MS 5000u
#define TERMINAL_FIRST_MS 300u
#define TERMINAL_EVERY_MS 100u
#define TERMINAL_COLUMNS 79
#define MIB (1024.0 * 1024.0)

enum progress_sink
progress_terminal(void)
{
    return isatty(STDERR_FILENO) ? PROGRESS_TERMINAL : PROGRESS_SILENT;
}

void
progress_init(struct progress *p, enum progress_sink sink, const char *event)
{
    *p = (struct progress){ .sink = sink, .event = event, .what = "" };
}

void
progress_start(struct progress *p, const char *what, enum progress_unit unit, uint64_t total)
{
    if (p == NULL || p->sink == PROGRESS_SILENT)
        return;
    p->what = what;
    p->unit = unit;
    p->done = 0;
    p->total = total;
    if (p->due_ms == 0)
        p->due_ms =
            clock_monotonic_ms() + (p->sink == PROGRESS_LOG ? LOG_EVERY_MS : TERMINAL_FIRST_MS);
}

static progress_watcher *the_watcher;

void
progress_watch(progress_watcher *watcher)
{
    the_watcher = watcher;
}

static void
show_on_terminal(struct progress *p)
{
    char line[TERMINAL_COLUMNS + 1];
    const double scale = p->unit == PROGRESS_OCTETS ? MIB : 1;
    const int places = p->unit == PROGRESS_OCTETS ? 1 : 0;
    const char *unit = p->unit == PROGRESS_OCTETS ? " MiB" : "";
    int size;
    if (p->total > p->done)
        size = snprintf(line, sizeof(line), "%s: %.*f of %.*f%s", p->what, places,
                        (double)p->done / scale, places, (double)p->total / scale, unit);
    else
        size = snprintf(line, sizeof(line), "%s: %.*f%s", p->what, places, (double)p->done / scale,
                        unit);
    const size_t columns = size > TERMINAL_COLUMNS ? TERMINAL_COLUMNS : (size_t)size;
    const size_t longer = p->shown > columns ? p->shown - columns : 0;
    fprintf(stderr, "\r%s%*s", line, (int)longer, "");
    fflush(stderr);
    p->shown = columns;
}

static void
show(struct progress *p, uint64_t now_ms)
{
    if (p->sink == PROGRESS_TERMINAL) {
        show_on_terminal(p);
        p->due_ms = now_ms + TERMINAL_EVERY_MS;
        return;
    }
    log_info(p->event, "done=%llu total=%llu unit=%s msg=\"%s\"", (unsigned long long)p->done,
             (unsigned long long)p->total, p->unit == PROGRESS_OCTETS ? "octets" : "count",
             p->what);
    if (the_watcher != NULL)
        the_watcher(p->what, p->done, p->total);
    p->due_ms = now_ms + LOG_EVERY_MS;
}

void
progress_add(struct progress *p, uint64_t done)
{
    if (p == NULL || p->sink == PROGRESS_SILENT)
        return;
    p->done += done;
    const uint64_t now_ms = clock_monotonic_ms();
    if (now_ms >= p->due_ms)
        show(p, now_ms);
}

void
progress_end(struct progress *p)
{
    if (p == NULL || p->shown == 0)
        return;
    fprintf(stderr, "\r%*s\r", (int)p->shown, "");
    fflush(stderr);
    p->shown = 0;
}
