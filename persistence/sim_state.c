#include "persistence/sim_state.h"

#include "broker/base/endian.h"
#include "broker/base/mem.h"
#include "broker/base/panic.h"
#include "persistence/rows.h"

/* What is dead is forgotten when there is so much of it beyond what is alive. */
#define DEAD_SLACK 1024u

static void
rule(bool is_kept, const char *what, const struct effect *e)
{
    if (!is_kept)
        PANIC("a rule of the door is broken: %s (log %llx, sequence %llx, count %u)", what,
              (unsigned long long)e->log, (unsigned long long)e->sequence, e->count);
}

static bool
id_matches(const struct map_node *node, const void *key)
{
    (void)node; /* The hash is the id. */
    (void)key;
    return true;
}

struct sim_log *
sim_state_log(const struct sim_state *s, uint64_t id)
{
    struct map_node *node = map_find(&s->logs, id, id_matches, NULL);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct sim_log, by_id);
}

static struct sim_log *
find_or_add_log(struct sim_state *s, uint64_t id)
{
    struct sim_log *log = sim_state_log(s, id);
    if (log != NULL)
        return log;
    log = mem_alloc_zeroed(sizeof(*log));
    log->id = id;
    log->ended = SIM_NEVER;
    map_insert(&s->logs, &log->by_id, id);
    return log;
}

static bool
key_matches(const struct map_node *node, const void *key)
{
    const struct sim_row *row =
        (const struct sim_row *)((const char *)node - offsetof(struct sim_row, by_key));
    return bytes_equal(row->key, *(const struct bytes *)key);
}

static struct sim_row *
find_row(const struct sim_state *s, struct bytes key)
{
    struct map_node *node = map_find(&s->rows, bytes_hash(key), key_matches, &key);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct sim_row, by_key);
}

static struct sim_row *
find_or_add_row(struct sim_state *s, struct bytes key)
{
    struct sim_row *row = find_row(s, key);
    if (row != NULL)
        return row;
    row = mem_alloc_zeroed(sizeof(*row));
    row->key = bytes_copy(key);
    map_insert(&s->rows, &row->by_key, bytes_hash(key));
    return row;
}

bool
sim_state_row(const struct sim_state *s, struct bytes key, struct bytes *out)
{
    const struct sim_row *row = find_row(s, key);
    if (row == NULL || row->count == 0 || !row->values[row->count - 1].is_there)
        return false;
    *out = row->values[row->count - 1].octets;
    return true;
}

size_t
sim_log_place(const struct sim_log *log, uint64_t sequence)
{
    size_t low = 0;
    size_t high = log->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (log->records[middle].sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct log_summary
sim_log_summary(const struct sim_log *log)
{
    struct log_summary summary = { .log = log->id };
    for (size_t i = 0; i < log->count; i++) {
        const struct sim_record *r = &log->records[i];
        if (r->died != SIM_NEVER)
            continue;
        if (summary.count++ == 0)
            summary.first = r->sequence;
        summary.last = r->sequence;
        summary.weight += r->weight;
    }
    return summary;
}

static void
add_record(struct sim_state *s, struct sim_log *log, const struct sim_record *r)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 16 : log->capacity * 2;
        log->records = mem_resize(log->records, log->capacity * sizeof(*log->records));
    }
    log->records[log->count++] = *r;
    log->highest = r->sequence > log->highest ? r->sequence : log->highest;
    s->alive++;
}

static void
apply_records(struct sim_state *s, struct sim_log *log, const struct effect *e)
{
    struct buf all = { 0 };
    struct record record;
    uint32_t count = 0;
    buf_append_bytes(&all, buf_bytes(&e->payload));
    buf_append_bytes(&all, e->tail.octets);
    struct bytes rest = buf_bytes(&all);
    rule(payload_is_sound(rest, &count), "records that are not sound", e);
    rule(count > 0 && count == e->count, "a wrong number of records", e);
    rule(e->sequence > log->highest, "a sequence that is used again, or out of order", e);
    rule(e->sequence >= s->sequence_from, "a sequence of an earlier run", e);
    while (payload_next(&rest, &record))
        add_record(s, log,
                   &(const struct sim_record){
                       .sequence = e->sequence + record.offset,
                       .born = s->now,
                       .died = SIM_NEVER,
                       .weight = record.weight,
                       .octets = bytes_copy(record.octets),
                   });
    buf_fini(&all);
}

static void
bury(struct sim_state *s, struct sim_record *r)
{
    r->died = s->now;
    s->alive--;
    s->dead++;
}

static void
apply_settle(struct sim_state *s, struct sim_log *log, const struct effect *e)
{
    struct bytes payload = buf_bytes(&e->payload);
    struct settled_run run;
    uint32_t count = 0;
    for (; settled_run_next(&payload, &run); count++) {
        rule(run.count > 0, "a settlement of nothing", e);
        size_t place = sim_log_place(log, run.first);
        for (uint32_t i = 0; i < run.count; i++, place++) {
            struct sim_record *r = place < log->count ? &log->records[place] : NULL;
            rule(r != NULL && r->sequence == run.first + i,
                 "a settlement of a record that is not there", e);
            if (r == NULL)
                return; /* The rule does not return then, which not every compiler sees. */
            rule(r->died == SIM_NEVER, "a settlement of what was settled before", e);
            rule(r->weight == run.weight, "a settlement with another weight than the record's", e);
            bury(s, r);
        }
    }
    rule(payload.size == 0 && count == e->count && count > 0, "a settlement that is not sound", e);
}

static void
apply_purge(struct sim_state *s, struct sim_log *log, const struct effect *e)
{
    rule(e->payload.size == 8, "a purge that is not sound", e);
    const uint64_t last = load_be64(e->payload.data);
    rule(last >= e->sequence, "a purge of nothing", e);
    for (size_t i = sim_log_place(log, e->sequence);
         i < log->count && log->records[i].sequence <= last; i++)
        if (log->records[i].died == SIM_NEVER) {
            rule(log->records[i].born <= s->round_from, "a purge of what is not committed", e);
            bury(s, &log->records[i]);
        }
}

static void
end_log(struct sim_state *s, struct sim_log *log)
{
    for (size_t i = 0; i < log->count; i++)
        if (log->records[i].died == SIM_NEVER)
            bury(s, &log->records[i]);
    log->ended = s->now;
}

static void
set_row(struct sim_state *s, struct sim_row *row, const struct bytes *octets)
{
    if (row->count == row->capacity) {
        row->capacity = row->capacity == 0 ? 2 : row->capacity * 2;
        row->values = mem_resize(row->values, row->capacity * sizeof(*row->values));
    }
    s->rows_there -= row->count > 0 && row->values[row->count - 1].is_there;
    s->rows_there += octets != NULL;
    row->values[row->count++] = (struct sim_value){
        .born = s->now,
        .is_there = octets != NULL,
        .octets = octets == NULL ? BYTES_NONE : bytes_copy(*octets),
    };
    s->values++;
}

static void
apply_definition(struct sim_state *s, const struct effect *e)
{
    const struct bytes octets = buf_bytes(&e->payload);
    rule(e->key.size > 0, "a definition without a key", e);
    rule(e->tail.octets.size == 0, "a definition in pieces", e);
    rule(e->kind == EFFECT_PUT || octets.size == 0, "a deletion with octets", e);
    set_row(s, find_or_add_row(s, buf_bytes(&e->key)), e->kind == EFFECT_PUT ? &octets : NULL);
}

void
sim_state_apply(struct sim_state *s, const struct effect *e)
{
    s->now++;
    if (e->kind == EFFECT_PUT || e->kind == EFFECT_DELETE) {
        apply_definition(s, e);
        return;
    }
    rule(e->log != 0 && e->key.size == 0, "an effect on no log", e);
    struct sim_log *log = find_or_add_log(s, e->log);
    rule(log->ended == SIM_NEVER, "an effect on a log that has ended", e);
    switch (e->kind) {
    case EFFECT_RECORDS:
        apply_records(s, log, e);
        return;
    case EFFECT_SETTLE:
        apply_settle(s, log, e);
        return;
    case EFFECT_PURGE:
        apply_purge(s, log, e);
        return;
    case EFFECT_LOG_END:
        end_log(s, log);
        return;
    case EFFECT_PUT:
    case EFFECT_DELETE:
        break;
    }
    rule(false, "an effect of no kind", e);
}

static void
log_go_back(struct sim_state *s, struct sim_log *log, uint64_t moment)
{
    size_t kept = 0;
    for (size_t i = 0; i < log->count; i++) {
        struct sim_record r = log->records[i];
        s->alive -= r.died == SIM_NEVER;
        s->dead -= r.died != SIM_NEVER;
        if (r.born > moment) {
            mem_free_const(r.octets.data);
            continue;
        }
        if (r.died > moment)
            r.died = SIM_NEVER;
        s->alive += r.died == SIM_NEVER;
        s->dead += r.died != SIM_NEVER;
        log->records[kept++] = r;
    }
    log->count = kept;
    if (log->ended > moment)
        log->ended = SIM_NEVER;
}

void
sim_state_go_back(struct sim_state *s, uint64_t moment)
{
    ASSERT(moment >= s->kept_from && moment <= s->now);
    for (struct map_node *n = map_next(&s->logs, NULL); n != NULL; n = map_next(&s->logs, n))
        log_go_back(s, MAP_CONTAINER(n, struct sim_log, by_id), moment);
    s->rows_there = 0;
    for (struct map_node *n = map_next(&s->rows, NULL); n != NULL; n = map_next(&s->rows, n)) {
        struct sim_row *row = MAP_CONTAINER(n, struct sim_row, by_key);
        for (; row->count > 0 && row->values[row->count - 1].born > moment; s->values--)
            mem_free_const(row->values[--row->count].octets.data);
        s->rows_there += row->count > 0 && row->values[row->count - 1].is_there;
    }
    s->now = moment;
}

void
sim_state_restart(struct sim_state *s)
{
    for (struct map_node *n = map_next(&s->logs, NULL); n != NULL; n = map_next(&s->logs, n))
        MAP_CONTAINER(n, struct sim_log, by_id)->ended = SIM_NEVER;
}

static void
log_forget_dead(struct sim_state *s, struct sim_log *log, uint64_t moment)
{
    size_t kept = 0;
    for (size_t i = 0; i < log->count; i++) {
        if (log->records[i].died > moment) {
            log->records[kept++] = log->records[i];
            continue;
        }
        mem_free_const(log->records[i].octets.data);
        s->dead--;
    }
    log->count = kept;
}

/* Keeps the last value that was there at the moment, and what came later. */
static void
row_forget_old(struct sim_state *s, struct sim_row *row, uint64_t moment)
{
    size_t old = 0;
    while (old + 1 < row->count && row->values[old + 1].born <= moment)
        mem_free_const(row->values[old++].octets.data);
    if (row->count == old + 1 && !row->values[old].is_there && row->values[old].born <= moment)
        old++;
    row->count -= old;
    s->values -= old;
    if (old > 0 && row->count > 0)
        memmove(row->values, row->values + old, row->count * sizeof(*row->values));
}

static void
row_free(struct sim_row *row)
{
    for (size_t i = 0; i < row->count; i++)
        mem_free_const(row->values[i].octets.data);
    mem_free(row->values);
    mem_free_const(row->key.data);
    mem_free(row);
}

static void
forget_rows(struct sim_state *s, uint64_t moment)
{
    struct map kept = { 0 };
    struct map_node *node;
    while ((node = map_any(&s->rows)) != NULL) {
        struct sim_row *row = MAP_CONTAINER(node, struct sim_row, by_key);
        map_remove(&s->rows, node);
        row_forget_old(s, row, moment);
        if (row->count > 0)
            map_insert(&kept, node, node->hash);
        else
            row_free(row);
    }
    map_fini(&s->rows);
    s->rows = kept;
}

void
sim_state_keep(struct sim_state *s, uint64_t moment)
{
    s->kept_from = moment;
    if (s->dead > s->alive + DEAD_SLACK)
        for (struct map_node *n = map_next(&s->logs, NULL); n != NULL; n = map_next(&s->logs, n))
            log_forget_dead(s, MAP_CONTAINER(n, struct sim_log, by_id), moment);
    if (s->values > 2 * s->rows_there + DEAD_SLACK)
        forget_rows(s, moment);
}

void
sim_state_copy(struct sim_state *to, const struct sim_state *from)
{
    to->sequence_from = from->sequence_from;
    for (struct map_node *n = map_next(&from->logs, NULL); n != NULL;
         n = map_next(&from->logs, n)) {
        const struct sim_log *log = MAP_CONTAINER(n, struct sim_log, by_id);
        struct sim_log *copy = find_or_add_log(to, log->id);
        copy->ended = log->ended == SIM_NEVER ? SIM_NEVER : 0;
        for (size_t i = 0; i < log->count; i++) {
            struct sim_record r = log->records[i];
            if (r.died != SIM_NEVER)
                continue;
            r.born = 0;
            r.octets = bytes_copy(r.octets);
            add_record(to, copy, &r);
        }
        copy->highest = log->highest;
    }
    for (struct map_node *n = map_next(&from->rows, NULL); n != NULL;
         n = map_next(&from->rows, n)) {
        const struct sim_row *row = MAP_CONTAINER(n, struct sim_row, by_key);
        const struct sim_value *value = row->count == 0 ? NULL : &row->values[row->count - 1];
        if (value != NULL && value->is_there)
            set_row(to, find_or_add_row(to, row->key), &value->octets);
    }
}

void
sim_state_fini(struct sim_state *s)
{
    struct map_node *node;
    while ((node = map_any(&s->logs)) != NULL) {
        struct sim_log *log = MAP_CONTAINER(node, struct sim_log, by_id);
        map_remove(&s->logs, node);
        for (size_t i = 0; i < log->count; i++)
            mem_free_const(log->records[i].octets.data);
        mem_free(log->records);
        mem_free(log);
    }
    while ((node = map_any(&s->rows)) != NULL) {
        map_remove(&s->rows, node);
        row_free(MAP_CONTAINER(node, struct sim_row, by_key));
    }
    map_fini(&s->logs);
    map_fini(&s->rows);
    *s = (struct sim_state){ 0 };
}
