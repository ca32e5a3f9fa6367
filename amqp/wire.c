#include "amqp/wire.h"

#include "amqp/table.h"

struct bytes
wire_read_shortstr(struct wire_reader *r)
{
    const struct bytes text = wire_read_shortstr_raw(r);
    if (r->error == WIRE_OK && !bytes_are_utf8(text))
        r->error = WIRE_NOT_UTF8;
    return text;
}

struct bytes
wire_read_table(struct wire_reader *r)
{
    const struct bytes table = wire_read_longstr(r);
    if (r->error == WIRE_OK && !table_is_valid(table))
        r->error = WIRE_BAD_TABLE;
    return table;
}

enum wire_error
wire_reader_finish(struct wire_reader *r)
{
    if (r->error == WIRE_OK && r->at != r->end)
        r->error = WIRE_TRAILING;
    return r->error;
}
