#include "broker/cli/render.h"

#include "broker/admin/rows.h"
#include "broker/base/mem.h"
#include "broker/config/text.h"

#define RENDER_COLUMNS_MAX 64u
#define GAP 2u
#define INNER_INDENT 4u
/* Columns of a status: its names, and where values begin. */
#define NAME_INDENT 2u
#define VALUE_INDENT 28u

bool
render_format_find(const char *name, enum render_format *out)
{
    static const char *const names[] = {
        [RENDER_TABLE] = "table",
        [RENDER_TSV] = "tsv",
        [RENDER_CSV] = "csv",
        [RENDER_JSON] = "json",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum render_format)i;
            return true;
        }
    }
    return false;
}

/* Columns on a terminal, as far as that can be known: continuation octets take none. */
static size_t
width_of(struct bytes text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.size; i++)
        width += (text.data[i] & 0xC0) != 0x80;
    return width;
}

static void
put_spaces(struct buf *out, size_t count)
{
    for (; count > 0; count--)
        buf_append(out, " ", 1);
}

static void
put_csv(struct buf *out, struct bytes text)
{
    bool is_plain = true;
    for (size_t i = 0; i < text.size; i++)
        is_plain = is_plain && strchr(",\"\r\n", text.data[i]) == NULL && text.data[i] != 0;
    if (is_plain) {
        buf_append_bytes(out, text);
        return;
    }
    buf_append(out, "\"", 1);
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"')
            buf_append(out, "\"", 1);
        buf_append(out, text.data + i, 1);
    }
    buf_append(out, "\"", 1);
}

static void put_objects(struct bytes rows, const char *line_end, struct buf *out);

static void
put_json(struct buf *out, const struct cell *cell)
{
    switch (cell->kind) {
    case CELL_NUMBER:
    case CELL_BOOL:
    case CELL_JSON:
        buf_append_bytes(out, cell->text);
        break;
    case CELL_TEXT:
        text_json(out, cell->text);
        break;
    case CELL_ROWS:
        put_objects(cell->text, "", out);
        break;
    case CELL_NONE:
        buf_printf(out, "null");
        break;
    }
}

struct columns {
    size_t widths[RENDER_COLUMNS_MAX];
    bool is_text[RENDER_COLUMNS_MAX]; /* Or a number, which is set to the right. */
    bool is_rows[RENDER_COLUMNS_MAX]; /* It stands below the line. */
    struct columns *inner;            /* Of such rows. */
};

static void measure_inner(struct bytes rows, struct columns *columns);

static void
measure_row(struct bytes row, bool is_header, struct columns *columns, struct buf *scratch)
{
    struct cell cell;
    struct buf plain = { 0 };
    for (size_t i = 0; i < RENDER_COLUMNS_MAX && row_next(&row, scratch, &cell); i++) {
        if (cell.kind == CELL_ROWS && columns->inner != NULL) {
            columns->is_rows[i] = true;
            measure_inner(cell.text, columns->inner);
            continue;
        }
        plain.size = 0;
        text_plain(&plain, cell.text);
        const size_t width = width_of(buf_bytes(&plain));
        if (width > columns->widths[i])
            columns->widths[i] = width;
        if (!is_header && cell.kind != CELL_NUMBER && cell.kind != CELL_NONE)
            columns->is_text[i] = true;
    }
    buf_fini(&plain);
}

/* Without the names of the columns. */
static void
measure_inner(struct bytes rows, struct columns *columns)
{
    struct buf scratch = { 0 };
    struct bytes row;
    rows_next(&rows, &row);
    while (rows_next(&rows, &row))
        measure_row(row, false, columns, &scratch);
    buf_fini(&scratch);
}

static void
put_cells(struct bytes row, const struct columns *columns, struct buf *scratch, struct buf *out)
{
    struct cell cell;
    struct buf plain = { 0 };
    size_t owed = 0; /* Spaces, if anything follows. */
    for (size_t i = 0; i < RENDER_COLUMNS_MAX && row_next(&row, scratch, &cell); i++) {
        if (columns->is_rows[i])
            continue;
        plain.size = 0;
        text_plain(&plain, cell.text);
        const size_t missing = columns->widths[i] - width_of(buf_bytes(&plain));
        put_spaces(out, owed + (columns->is_text[i] ? 0 : missing));
        buf_append_bytes(out, buf_bytes(&plain));
        owed = GAP + (columns->is_text[i] ? missing : 0);
    }
    buf_fini(&plain);
}

static void
put_inner(struct bytes rows, const struct columns *columns, struct buf *out)
{
    struct buf scratch = { 0 };
    struct bytes row;
    rows_next(&rows, &row);
    while (rows_next(&rows, &row)) {
        put_spaces(out, INNER_INDENT);
        put_cells(row, columns, &scratch, out);
        while (out->data[out->size - 1] == ' ')
            out->size--;
        buf_append(out, "\n", 1);
    }
    buf_fini(&scratch);
}

static void
put_table_row(struct bytes row, const struct columns *columns, struct buf *scratch, struct buf *out)
{
    struct cell cell;
    put_cells(row, columns, scratch, out);
    buf_append(out, "\n", 1);
    while (row_next(&row, scratch, &cell))
        if (cell.kind == CELL_ROWS)
            put_inner(cell.text, columns->inner, out);
}

static void
render_table(struct bytes rows, bool has_header, struct buf *out)
{
    struct columns inner = { 0 };
    struct columns columns = { .inner = &inner };
    struct buf scratch = { 0 };
    struct bytes row;
    bool is_header = true;
    for (struct bytes rest = rows; rows_next(&rest, &row); is_header = false)
        if (!is_header || has_header)
            measure_row(row, is_header, &columns, &scratch);
    is_header = true;
    for (; rows_next(&rows, &row); is_header = false)
        if (!is_header || has_header)
            put_table_row(row, &columns, &scratch, out);
    buf_fini(&scratch);
}

/* Rows in a cell become JSON, so that they stay in it. */
static void
put_separated(const struct cell *cell, bool is_csv, struct buf *out)
{
    struct buf json = { 0 };
    if (cell->kind == CELL_ROWS)
        put_json(&json, cell);
    const struct bytes text = cell->kind == CELL_ROWS ? buf_bytes(&json) : cell->text;
    if (is_csv)
        put_csv(out, text);
    else
        text_plain(out, text);
    buf_fini(&json);
}

static void
render_separated(struct bytes rows, bool is_csv, bool has_header, struct buf *out)
{
    struct buf scratch = { 0 };
    struct bytes row;
    struct cell cell;
    for (bool is_header = true; rows_next(&rows, &row); is_header = false) {
        bool is_first = true;
        if (is_header && !has_header)
            continue;
        while (row_next(&row, &scratch, &cell)) {
            if (!is_first)
                buf_append(out, is_csv ? "," : "\t", 1);
            is_first = false;
            put_separated(&cell, is_csv, out);
        }
        buf_append(out, "\n", 1);
    }
    buf_fini(&scratch);
}

static void
put_object(struct bytes names, struct bytes row, struct buf *scratch, struct buf *out)
{
    struct cell name;
    struct cell value;
    struct buf name_scratch = { 0 };
    bool is_first = true;
    buf_append(out, "{", 1);
    while (row_next(&names, &name_scratch, &name) && row_next(&row, scratch, &value)) {
        if (!is_first)
            buf_append(out, ",", 1);
        is_first = false;
        text_json(out, name.text);
        buf_append(out, ":", 1);
        put_json(out, &value);
    }
    buf_append(out, "}", 1);
    buf_fini(&name_scratch);
}

static void
put_objects(struct bytes rows, const char *line_end, struct buf *out)
{
    struct buf scratch = { 0 };
    struct bytes names;
    struct bytes row;
    if (!rows_next(&rows, &names))
        names = BYTES_NONE;
    buf_append(out, "[", 1);
    for (bool is_first = true; rows_next(&rows, &row); is_first = false) {
        buf_printf(out, "%s%s", is_first ? "" : ",", line_end);
        put_object(names, row, &scratch, out);
    }
    buf_printf(out, "%s]", line_end);
    buf_fini(&scratch);
}

void
render_listing(struct bytes rows, enum render_format format, bool has_header, struct buf *out)
{
    switch (format) {
    case RENDER_TABLE:
        render_table(rows, has_header, out);
        break;
    case RENDER_TSV:
        render_separated(rows, false, has_header, out);
        break;
    case RENDER_CSV:
        render_separated(rows, true, has_header, out);
        break;
    case RENDER_JSON:
        put_objects(rows, "\n", out);
        buf_append(out, "\n", 1);
        break;
    }
}

struct fact {
    struct buf section;
    struct buf name;
    struct cell value;
    struct buf scratch;
    bool is_nothing; /* The section is empty. */
};

static bool
fact_next(struct bytes *rows, struct fact *fact)
{
    struct bytes row;
    struct cell cell;
    if (!rows_next(rows, &row))
        return false;
    fact->section.size = 0;
    fact->name.size = 0;
    fact->is_nothing = true;
    fact->value = (struct cell){ .kind = CELL_NONE };
    if (row_next(&row, &fact->scratch, &cell))
        buf_append_bytes(&fact->section, cell.text);
    if (row_next(&row, &fact->scratch, &cell)) {
        fact->is_nothing = cell.kind == CELL_NONE;
        buf_append_bytes(&fact->name, cell.text);
    }
    row_next(&row, &fact->scratch, &fact->value);
    return true;
}

static void
fact_fini(struct fact *fact)
{
    buf_fini(&fact->section);
    buf_fini(&fact->name);
    buf_fini(&fact->scratch);
}

static uint64_t
number_of(struct bytes text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.size && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    return number;
}

static void
put_duration(struct buf *out, uint64_t seconds)
{
    const unsigned long long days = seconds / 86400u;
    if (days > 0)
        buf_printf(out, "%llu d ", days);
    if (seconds >= 3600u)
        buf_printf(out, "%u h ", (unsigned)(seconds / 3600u % 24u));
    if (seconds >= 60u)
        buf_printf(out, "%u min ", (unsigned)(seconds / 60u % 60u));
    buf_printf(out, "%u s", (unsigned)(seconds % 60u));
}

/* Takes the unit off the name. */
static bool
has_unit(struct bytes *name, struct bytes unit)
{
    if (name->size <= unit.size ||
        !bytes_equal(bytes_of(name->data + name->size - unit.size, unit.size), unit))
        return false;
    name->size -= unit.size;
    return true;
}

static void
put_name_for_people(struct buf *out, struct bytes name)
{
    const size_t start = out->size;
    text_plain(out, name);
    for (size_t i = start; i < out->size; i++)
        out->data[i] = out->data[i] == '_' ? ' ' : out->data[i];
    const size_t width = NAME_INDENT + width_of(bytes_of(out->data + start, out->size - start));
    put_spaces(out, width < VALUE_INDENT ? VALUE_INDENT - width : 1);
}

static void
put_fact(const struct fact *fact, struct buf *out)
{
    struct bytes name = buf_bytes(&fact->name);
    const bool is_octets = has_unit(&name, BYTES_LITERAL("_bytes"));
    const bool is_time = !is_octets && has_unit(&name, BYTES_LITERAL("_seconds"));
    put_spaces(out, NAME_INDENT);
    put_name_for_people(out, name);
    if (is_octets)
        text_size(out, number_of(fact->value.text));
    else if (is_time)
        put_duration(out, number_of(fact->value.text));
    else
        text_plain(out, fact->value.text);
    buf_append(out, "\n", 1);
}

static void
render_for_people(struct bytes rows, struct buf *out)
{
    struct fact fact = { 0 };
    struct buf section = { 0 };
    while (fact_next(&rows, &fact)) {
        if (!bytes_equal(buf_bytes(&section), buf_bytes(&fact.section))) {
            buf_printf(out, section.size == 0 ? "" : "\n");
            text_plain(out, buf_bytes(&fact.section));
            buf_printf(out, fact.is_nothing ? ": none\n" : "\n");
            section.size = 0;
            buf_append_bytes(&section, buf_bytes(&fact.section));
        }
        if (!fact.is_nothing)
            put_fact(&fact, out);
    }
    buf_fini(&section);
    fact_fini(&fact);
}

static void
render_status_json(struct bytes rows, struct buf *out)
{
    struct fact fact = { 0 };
    struct buf section = { 0 };
    bool is_first = true;
    buf_append(out, "{", 1);
    while (fact_next(&rows, &fact)) {
        if (!bytes_equal(buf_bytes(&section), buf_bytes(&fact.section))) {
            buf_printf(out, section.size == 0 ? "\n" : "},\n");
            text_json(out, buf_bytes(&fact.section));
            buf_printf(out, ":{");
            section.size = 0;
            buf_append_bytes(&section, buf_bytes(&fact.section));
            is_first = true;
        }
        if (fact.is_nothing)
            continue;
        if (!is_first)
            buf_append(out, ",", 1);
        is_first = false;
        text_json(out, buf_bytes(&fact.name));
        buf_append(out, ":", 1);
        put_json(out, &fact.value);
    }
    buf_printf(out, section.size == 0 ? "}\n" : "}\n}\n");
    buf_fini(&section);
    fact_fini(&fact);
}

void
render_status(struct bytes rows, enum render_format format, bool has_header, struct buf *out)
{
    if (format == RENDER_TABLE) {
        render_for_people(rows, out);
        return;
    }
    if (format == RENDER_JSON) {
        render_status_json(rows, out);
        return;
    }
    struct rows all = { 0 };
    cell_put_string(&all, "section");
    cell_put_string(&all, "name");
    cell_put_string(&all, "value");
    rows_end(&all);
    buf_append_bytes(&all.text, rows);
    render_separated(buf_bytes(&all.text), format == RENDER_CSV, has_header, out);
    rows_fini(&all);
}
