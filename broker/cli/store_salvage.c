/* `railmq store salvage`: a new store of what can be read of a damaged one. */

#include "broker/base/mem.h"
#include "broker/cli/options.h"
#include "broker/cli/store_commands.h"
#include "broker/cli/store_place.h"
#include "broker/cli/store_source.h"
#include "broker/cli/store_view.h"
#include "broker/config/text.h"
#include "broker/core/definition.h"
#include "broker/core/vhosts.h"
#include "persistence/store_files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBLEM_SIZE (2 * SOURCE_PATH_MAX + 512)

/* Of the queue at the same place in the view. */
struct saved_queue {
    uint64_t kept;
    uint64_t lost;
    bool has_dues;
};

/* Each once. */
struct names {
    struct buf *items;
    size_t count;
};

struct salvaging {
    struct store_view view;
    struct saved_queue *queues;
    uint64_t kept;
    uint64_t lost;       /* With the orphans. */
    uint64_t orphans;    /* Messages whose queue is lost. */
    struct names vhosts; /* That something is kept of. */
    struct names noted;  /* Whose notes are kept. */
    uint64_t damaged_files;
    bool is_copied; /* A copy is looked at. */
    bool is_repaired;
};

static bool
names_have(const struct names *names, struct bytes name)
{
    for (size_t i = 0; i < names->count; i++)
        if (bytes_equal(buf_bytes(&names->items[i]), name))
            return true;
    return false;
}

static void
names_add(struct names *names, struct bytes name)
{
    if (names_have(names, name))
        return;
    names->items = mem_resize(names->items, (names->count + 1) * sizeof(*names->items));
    names->items[names->count] = (struct buf){ 0 };
    buf_append_bytes(&names->items[names->count++], name);
}

static void
names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        buf_fini(&names->items[i]);
    mem_free(names->items);
}

static uint64_t
damage_count(const struct salvaging *s)
{
    return s->view.facts.damaged + s->damaged_files;
}

/* What a start would not understand is left out: it refuses a store for it. Of a watermark the
 * newest may be what is lost. */
static bool
keeps(void *context, struct bytes key, struct bytes row)
{
    struct salvaging *s = context;
    struct definition d;
    struct bytes vhost;
    if (!definition_decode(key, row, &d))
        return false;
    const struct view_queue *q = store_view_queue(&s->view, d.log);
    switch (d.kind) {
    case DEFINITION_QUEUE:
        if (q == NULL || !bytes_equal(buf_bytes(&q->name), d.name))
            return false;
        names_add(&s->vhosts, d.vhost);
        return true;
    case DEFINITION_EXCHANGE:
        names_add(&s->vhosts, d.vhost);
        return true;
    case DEFINITION_NOTE:
        if (vhosts_is_note(d.name, &vhost))
            names_add(&s->noted, vhost);
        return true;
    case DEFINITION_WATERMARK:
        return q != NULL && damage_count(s) == 0;
    case DEFINITION_DUES:
        if (q != NULL)
            s->queues[q->number].has_dues = true;
        return q != NULL;
    case DEFINITION_DELIVERIES:
    case DEFINITION_SEGMENT:
        return q != NULL;
    case DEFINITION_BINDING:
        return true;
    }
    return false;
}

/* Whoever cannot tell what has been delivered says that it may have been, and so for what expires.
 */
static void
complete_queue(struct door *door, const struct view_queue *q, const struct saved_queue *saved)
{
    struct vhost *v = vhost_create(buf_bytes(&q->vhost), door);
    definition_keep_watermark(v, q->log, q->last);
    if (!saved->has_dues)
        definition_keep_dues(v, q->log);
    vhost_destroy(v);
}

/* A virtual host without a note would be deleted at the start. */
static void
complete(void *context, struct door *door)
{
    struct salvaging *s = context;
    for (size_t i = 0; i < s->vhosts.count; i++)
        if (!names_have(&s->noted, buf_bytes(&s->vhosts.items[i])))
            vhosts_keep_note(door, buf_bytes(&s->vhosts.items[i]));
    for (size_t i = 0; i < s->view.queue_count && damage_count(s) > 0; i++)
        if (s->view.queues[i]->records > 0)
            complete_queue(door, s->view.queues[i], &s->queues[i]);
}

static bool
has_queue(void *context, uint64_t log)
{
    const struct salvaging *s = context;
    return store_view_queue(&s->view, log) != NULL;
}

static void
saved(void *context, uint64_t log, uint64_t kept, uint64_t lost)
{
    struct salvaging *s = context;
    const struct view_queue *q = store_view_queue(&s->view, log);
    s->kept += kept;
    s->lost += lost;
    if (q == NULL) {
        s->orphans += lost;
        return;
    }
    s->queues[q->number].kept += kept;
    s->queues[q->number].lost += lost;
}

/* Columns are separated by tabs, as `info` has them. */
static void
print_queues(const struct salvaging *s)
{
    struct buf out = { 0 };
    if (s->kept + s->lost > s->orphans)
        buf_printf(&out, "vhost\tqueue\tsaved\tlost\n");
    for (size_t i = 0; i < s->view.queue_count; i++) {
        const struct view_queue *q = s->view.queues[i];
        if (s->queues[i].kept + s->queues[i].lost == 0)
            continue;
        text_plain(&out, buf_bytes(&q->vhost));
        buf_printf(&out, "\t");
        text_plain(&out, buf_bytes(&q->name));
        buf_printf(&out, "\t%" PRIu64 "\t%" PRIu64 "\n", s->queues[i].kept, s->queues[i].lost);
    }
    if (out.size > 0)
        fwrite(out.data, 1, out.size, stdout);
    buf_fini(&out);
}

static int
report(const struct salvaging *s, const char *to)
{
    const uint64_t damaged = damage_count(s);
    print_queues(s);
    if (s->orphans > 0)
        printf("%" PRIu64 " messages are lost with the queues they were in\n", s->orphans);
    printf("%" PRIu64 " messages are saved into %s, %" PRIu64 " that were found are lost\n",
           s->kept, to, s->lost);
    if (damaged == 0)
        return EXIT_FINE;
    printf("%" PRIu64 " place%s of the store %s damaged, see above: what rows there told is lost, "
           "too, and what they told to be acknowledged may come back\n",
           damaged, damaged == 1 ? "" : "s", damaged == 1 ? "is" : "are");
    return EXIT_FAILED;
}

/* `made` is where the new store is made before it gets its place. */
static int
write_new(struct salvaging *s, struct store *store, const char *to, const char *made)
{
    char problem[PROBLEM_SIZE];
    struct progress progress;
    progress_init(&progress, progress_terminal(), NULL);
    const struct store_salvage how = {
        .keeps = keeps,
        .record = store_view_record,
        .has_queue = has_queue,
        .complete = complete,
        .saved = saved,
        .context = s,
        .progress = &progress,
    };
    s->queues = mem_alloc_zeroed((s->view.queue_count + 1) * sizeof(*s->queues));
    if (!store_salvage(store, made, &how, problem, sizeof(problem)))
        return store_fail("salvage", "%s", problem);
    if (!store_is_sound(made, "what is saved"))
        return store_fail("salvage", "the new store is not what was written; is the disk sound?");
    if (!place_copy(to, made, problem, sizeof(problem)))
        return store_fail("salvage", "%s", problem);
    return report(s, to);
}

static void
damaged_file(void *context, const char *file, const char *what)
{
    struct salvaging *s = context;
    s->damaged_files++;
    printf("%s: %s\n", file, what);
    fflush(stdout);
}

/* NULL if RocksDB does not open it, or not all of it. */
static struct store *
open_told(const struct store_files_look *look, const char *directory)
{
    char problem[PROBLEM_SIZE];
    struct store *store = store_open_damaged(directory, problem, sizeof(problem));
    if (store == NULL)
        look->damage(look->context, "store", problem);
    if (store == NULL || store_tables_are_known(store, look))
        return store;
    store_close(store);
    return NULL;
}

static bool
make_copy(struct salvaging *s, const char *directory, const char *copy, char *problem,
          size_t problem_size)
{
    struct progress progress;
    if (s->is_copied)
        return true;
    s->is_copied = true;
    progress_init(&progress, progress_terminal(), NULL);
    progress_start(&progress, "copying the store", PROGRESS_OCTETS, 0);
    const bool ok = store_copy_mended(directory, copy, &progress, problem, problem_size);
    progress_end(&progress);
    return ok;
}

/* NULL with a line for people. */
static struct store *
open_repaired(struct salvaging *s, const char *directory, const char *copy)
{
    char problem[PROBLEM_SIZE];
    struct store *store = NULL;
    s->is_repaired = true;
    if (make_copy(s, directory, copy, problem, sizeof(problem)) &&
        store_repair(copy, problem, sizeof(problem)))
        store = store_open_damaged(copy, problem, sizeof(problem));
    if (store == NULL)
        store_fail("salvage", "%s", problem);
    return store;
}

/* `copy` is where a copy is mended if the store does not open as it is, or not all of it. */
static struct store *
open_damaged(struct salvaging *s, const char *directory, const char *copy)
{
    char problem[PROBLEM_SIZE];
    const struct store_files_look look = { damaged_file, s };
    const bool are_sound = store_logs_are_sound(directory, &look);
    if (!are_sound && !make_copy(s, directory, copy, problem, sizeof(problem))) {
        store_fail("salvage", "%s", problem);
        return NULL;
    }
    struct store *store = open_told(&look, are_sound ? directory : copy);
    return store != NULL ? store : open_repaired(s, directory, copy);
}

static void
read_view(struct salvaging *s, struct store *store)
{
    struct progress progress;
    progress_init(&progress, progress_terminal(), NULL);
    const struct store_viewing how = {
        .is_deep = true, .damage = store_print_damage, .context = &progress, .progress = &progress
    };
    store_view_read(&s->view, store, &how);
}

static void
close_view(struct salvaging *s, struct store *store)
{
    store_view_fini(&s->view);
    store_close(store);
}

/* A table of which nothing can be read keeps RocksDB from reading the others. Repaired, the store
 * is without it. */
static bool
has_only_damage(const struct salvaging *s)
{
    return !s->is_repaired && s->view.facts.damaged > 0 && s->view.facts.definitions == 0;
}

static int
salvage(const char *directory, const char *to, const char *made, const char *copy)
{
    struct salvaging s = { .kept = 0 };
    struct store *store = open_damaged(&s, directory, copy);
    if (store == NULL)
        return EXIT_FAILED;
    read_view(&s, store);
    if (has_only_damage(&s)) {
        s.damaged_files += s.view.facts.damaged;
        close_view(&s, store);
        if ((store = open_repaired(&s, directory, copy)) == NULL)
            return EXIT_FAILED;
        read_view(&s, store);
    }
    const int status = write_new(&s, store, to, made);
    close_view(&s, store);
    names_fini(&s.vhosts);
    names_fini(&s.noted);
    mem_free(s.queues);
    return status;
}

static bool
open_source(struct store_source *source, const char *data_dir, char *problem, size_t problem_size)
{
    const bool ok = store_source_open(source, data_dir, problem, problem_size);
    if (ok && source->is_running)
        snprintf(problem, problem_size, "a broker runs on %s; stop it first", data_dir);
    return ok && !source->is_running;
}

int
store_save(const char *data_dir, const char *to)
{
    char problem[PROBLEM_SIZE];
    char made[SOURCE_PATH_MAX];
    char copy[SOURCE_PATH_MAX];
    struct store_source source;
    int lock = -1;
    int status = EXIT_FAILED;
    snprintf(made, sizeof(made), "%s/" STORE_UNFINISHED_RESTORE "%ld", to, (long)getpid());
    snprintf(copy, sizeof(copy), "%s/" STORE_UNFINISHED_RESTORE "%ld-copy", to, (long)getpid());
    if (!open_source(&source, data_dir, problem, sizeof(problem)) ||
        !place_prepare(to, &lock, problem, sizeof(problem))) {
        store_fail("salvage", "%s", problem);
    } else if (mkdir(made, 0750) != 0) {
        store_fail("salvage", "cannot create %s: %s", made, strerror(errno));
    } else {
        status = salvage(source.directory, to, made, copy);
        store_files_remove(made);
        store_files_remove(copy);
    }
    store_source_close(&source);
    place_release(lock);
    return status;
}
