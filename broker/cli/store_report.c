/* `railmq store info` and `verify`. */

#include "broker/cli/options.h"
#include "broker/cli/store_commands.h"
#include "broker/cli/store_source.h"
#include "broker/cli/store_view.h"
#include "broker/config/text.h"
#include "persistence/store_files.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define LABEL_COLUMNS 18

int
store_fail(const char *command, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "railmq store %s: ", command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

static void
row_label(struct buf *out, const char *label)
{
    buf_printf(out, "  %-*s", LABEL_COLUMNS, label);
}

static void
row_files(struct buf *out, const char *label, uint64_t octets, uint64_t files)
{
    row_label(out, label);
    text_size(out, octets);
    buf_printf(out, " in %" PRIu64 " file%s\n", files, files == 1 ? "" : "s");
}

static void
summary_table(const struct store_view *v, const struct store_sizes *sizes, struct buf *out)
{
    const struct store_facts *f = &v->facts;
    row_label(out, "format");
    buf_printf(out, "%u\n", f->format);
    row_label(out, "epoch");
    buf_printf(out, "%" PRIu64 "\n", f->epoch);
    row_files(out, "tables", sizes->table_bytes, sizes->table_count);
    row_files(out, "write-ahead logs", sizes->wal_bytes, sizes->wal_count);
    row_label(out, "journal");
    buf_printf(out, "%" PRIu64 " rows, ", f->journal_rows);
    text_size(out, f->journal_bytes);
    buf_printf(out, "\n");
    row_label(out, "chunks");
    buf_printf(out, "%" PRIu64 "\n", f->chunks);
    row_label(out, "messages");
    buf_printf(out, "%" PRIu64 "\n", f->records);
    row_label(out, "definitions");
    buf_printf(out, "%" PRIu64 " exchanges, %zu queues, %" PRIu64 " bindings\n", v->exchanges,
               v->queue_count, v->bindings);
}

/* Columns are separated by tabs, so that names of any length and programs both get along. */
static void
queue_table(const struct store_view *v, struct buf *out)
{
    if (v->queue_count > 0)
        buf_printf(out, "\nvhost\tqueue\tmessages\toctets\n");
    for (size_t i = 0; i < v->queue_count; i++) {
        const struct view_queue *q = v->queues[i];
        text_plain(out, buf_bytes(&q->vhost));
        buf_printf(out, "\t");
        text_plain(out, buf_bytes(&q->name));
        buf_printf(out, "\t%" PRIu64 "\t%" PRIu64 "\n", q->records, q->octets);
    }
}

static void
info_as_text(const struct store_view *v, const struct store_source *source, const char *data_dir,
             const struct store_sizes *sizes, struct buf *out)
{
    buf_printf(out, "Store of %s (broker %s)\n", data_dir,
               source->is_running ? "running" : "stopped");
    summary_table(v, sizes, out);
    queue_table(v, out);
}

static void
queues_as_json(const struct store_view *v, struct buf *out)
{
    for (size_t i = 0; i < v->queue_count; i++) {
        const struct view_queue *q = v->queues[i];
        buf_printf(out, "%s\n    {\"vhost\": ", i == 0 ? "" : ",");
        text_json(out, buf_bytes(&q->vhost));
        buf_printf(out, ", \"name\": ");
        text_json(out, buf_bytes(&q->name));
        buf_printf(out, ", \"messages\": %" PRIu64 ", \"octets\": %" PRIu64 "}", q->records,
                   q->octets);
    }
}

static void
info_as_json(const struct store_view *v, const struct store_source *source, const char *data_dir,
             const struct store_sizes *sizes, struct buf *out)
{
    const struct store_facts *f = &v->facts;
    buf_printf(out, "{\n  \"data_dir\": ");
    text_json(out, bytes_of_string(data_dir));
    buf_printf(out, ",\n  \"running\": %s,\n", source->is_running ? "true" : "false");
    buf_printf(out, "  \"format\": %u,\n  \"epoch\": %" PRIu64 ",\n", f->format, f->epoch);
    buf_printf(out, "  \"damaged\": %" PRIu64 ",\n", f->damaged);
    buf_printf(out, "  \"tables\": {\"files\": %" PRIu64 ", \"octets\": %" PRIu64 "},\n",
               sizes->table_count, sizes->table_bytes);
    buf_printf(out, "  \"wal\": {\"files\": %" PRIu64 ", \"octets\": %" PRIu64 "},\n",
               sizes->wal_count, sizes->wal_bytes);
    buf_printf(out, "  \"journal\": {\"rows\": %" PRIu64 ", \"octets\": %" PRIu64 "},\n",
               f->journal_rows, f->journal_bytes);
    buf_printf(out, "  \"chunks\": %" PRIu64 ",\n  \"messages\": %" PRIu64 ",\n", f->chunks,
               f->records);
    buf_printf(out, "  \"exchanges\": %" PRIu64 ",\n  \"bindings\": %" PRIu64 ",\n", v->exchanges,
               v->bindings);
    buf_printf(out, "  \"queues\": [");
    queues_as_json(v, out);
    buf_printf(out, "]\n}\n");
}

static void
ignore_damage(void *context, const char *row, const char *what)
{
    (void)context; /* They are counted. */
    (void)row;
    (void)what;
}

/* A store that is damaged is told of as far as it can be read. */
static int
info_print(struct store *store, const struct store_source *source, const char *data_dir,
           bool as_json)
{
    struct progress progress;
    struct store_view view;
    struct store_sizes sizes;
    char path[SOURCE_PATH_MAX + 8];
    struct buf out = { 0 };
    progress_init(&progress, progress_terminal(), NULL);
    const struct store_viewing how = { .damage = ignore_damage, .progress = &progress };
    const bool is_sound = store_view_read(&view, store, &how);
    snprintf(path, sizeof(path), "%s/store", source->directory);
    store_files_size(path, &sizes);
    if (as_json)
        info_as_json(&view, source, data_dir, &sizes, &out);
    else
        info_as_text(&view, source, data_dir, &sizes, &out);
    fwrite(out.data, 1, out.size, stdout);
    buf_fini(&out);
    const uint64_t damaged = view.facts.damaged;
    store_view_fini(&view);
    if (is_sound)
        return EXIT_FINE;
    return store_fail("info",
                      "the store is damaged in %" PRIu64 " place%s, and the figures are of what "
                      "can be read; see railmq store verify",
                      damaged, damaged == 1 ? "" : "s");
}

int
store_info(const char *data_dir, bool as_json)
{
    char problem[SOURCE_PATH_MAX + 512];
    struct store_source source;
    struct store *store = NULL;
    int status = EXIT_FAILED;
    if (store_source_open(&source, data_dir, problem, sizeof(problem)))
        store = store_open(source.directory, problem, sizeof(problem));
    if (store == NULL) {
        store_fail("info", "%s", problem);
    } else {
        status = info_print(store, &source, data_dir, as_json);
        store_close(store);
    }
    store_source_close(&source);
    return status;
}

void
store_print_damage(void *context, const char *row, const char *what)
{
    progress_end(context);
    printf("%s: %s\n", row, what);
    fflush(stdout);
}

bool
store_is_sound(const char *directory, const char *name)
{
    char problem[SOURCE_PATH_MAX + 512];
    struct progress progress;
    struct store_view view;
    struct store *store = store_open(directory, problem, sizeof(problem));
    if (store == NULL) {
        printf("%s: %s\n", name, problem);
        return false;
    }
    progress_init(&progress, progress_terminal(), NULL);
    const struct store_viewing how = {
        .is_deep = true, .damage = store_print_damage, .context = &progress, .progress = &progress
    };
    const bool is_sound = store_view_read(&view, store, &how);
    const struct store_facts facts = view.facts;
    store_view_fini(&view);
    store_close(store);
    if (is_sound)
        printf("%s is sound: %" PRIu64 " rows, %" PRIu64 " definitions, %" PRIu64 " messages\n",
               name, facts.rows, facts.definitions, facts.records);
    else
        printf("%s is damaged: %" PRIu64 " finding%s in %" PRIu64
               " rows that could be read; restore a backup, or make a new store of what can be "
               "read with railmq store salvage\n",
               name, facts.damaged, facts.damaged == 1 ? "" : "s", facts.rows);
    fflush(stdout);
    return is_sound;
}

int
store_verify(const char *data_dir)
{
    char problem[SOURCE_PATH_MAX + 512];
    char name[SOURCE_PATH_MAX];
    struct store_source source;
    int status = EXIT_FAILED;
    snprintf(name, sizeof(name), "the store of %s", data_dir);
    if (!store_source_open(&source, data_dir, problem, sizeof(problem)))
        store_fail("verify", "%s", problem);
    else if (store_is_sound(source.directory, name))
        status = EXIT_FINE;
    store_source_close(&source);
    return status;
}
