#include "broker/admin/columns.h"

#include "broker/config/text.h"

#include <stdio.h>

static const struct column *
column_find(const struct column *table, size_t table_size, struct bytes name)
{
    for (size_t i = 0; i < table_size; i++) {
        if (bytes_equal(name, bytes_of_string(table[i].name)))
            return &table[i];
    }
    return NULL;
}

static bool
fail_unknown(const struct column *table, size_t table_size, struct bytes name, char *problem,
             size_t problem_size)
{
    struct buf quoted = { 0 };
    struct suggestion s = { .text = name };
    for (size_t i = 0; i < table_size; i++)
        suggestion_offer(&s, bytes_of_string(table[i].name));
    text_quote(&quoted, name);
    if (s.best.size > 0)
        snprintf(problem, problem_size, "there is no column %.*s (did you mean %.*s?)",
                 BYTES_ARGS(buf_bytes(&quoted)), BYTES_ARGS(s.best));
    else
        snprintf(problem, problem_size, "there is no column %.*s; --help lists them",
                 BYTES_ARGS(buf_bytes(&quoted)));
    buf_fini(&quoted);
    return false;
}

static void
choose_defaults(struct selection *s, const struct column *table, size_t table_size)
{
    for (size_t i = 0; i < table_size && s->count < COLUMNS_MAX; i++) {
        if (table[i].is_default)
            s->columns[s->count++] = &table[i];
    }
}

bool
selection_parse(struct selection *s, const struct column *table, size_t table_size,
                struct bytes words, char *problem, size_t problem_size)
{
    struct buf scratch = { 0 };
    struct bytes word;
    bool is_fine = true;
    s->count = 0;
    while (is_fine && words_next(&words, &scratch, &word)) {
        const struct column *column = column_find(table, table_size, word);
        if (column == NULL) {
            is_fine = fail_unknown(table, table_size, word, problem, problem_size);
        } else if (s->count == COLUMNS_MAX) {
            snprintf(problem, problem_size, "more than %u columns are named", COLUMNS_MAX);
            is_fine = false;
        } else {
            s->columns[s->count++] = column;
        }
    }
    buf_fini(&scratch);
    if (is_fine && s->count == 0)
        choose_defaults(s, table, table_size);
    return is_fine;
}

void
selection_put_header(const struct selection *s, struct rows *r)
{
    for (size_t i = 0; i < s->count; i++)
        cell_put_string(r, s->columns[i]->name);
    rows_end(r);
}

void
selection_put(const struct selection *s, struct rows *r, const void *object)
{
    for (size_t i = 0; i < s->count; i++)
        s->columns[i]->put(r, object);
    rows_end(r);
}
