#ifndef AMQP_WIRE_H
#define AMQP_WIRE_H

/*
 * Reading and writing of AMQP's elementary types (protocol octets, network byte order).
 *
 * A reader walks borrowed octets. Its first error sticks: later reads return zeros and change
 * nothing, so a decoder reads all its fields and checks once. A writer appends to a buffer that the
 * caller has made large enough; it never allocates. Adjacent bits share octets, lowest bit first,
 * and any other field ends the run (AMQP 0-9-1, 4.2.5.2).
 */

#include "broker/base/bytes.h"
#include "broker/base/endian.h"
#include "broker/base/panic.h"

enum wire_error {
    WIRE_OK,
    WIRE_TRUNCATED, /* A field reaches beyond the end. */
    WIRE_TRAILING,  /* Octets are left after the last field. */
    WIRE_NOT_UTF8,  /* A short string that must be UTF-8 is not. */
    WIRE_BAD_TABLE, /* A field table with an unknown tag, a wrong length, or too deep. */
};

struct wire_reader {
    const uint8_t *at;
    const uint8_t *end;
    enum wire_error error;
    uint8_t bit_octet;
    uint8_t bits_left; /* Of bit_octet; 0 outside a run. */
};

static inline struct wire_reader
wire_reader_of(struct bytes b)
{
    return (struct wire_reader){ .at = b.data, .end = bytes_end(b) };
}

/* The next `size` octets, or NULL with the error set. Ends a run of bits. */
static inline const uint8_t *
wire_take(struct wire_reader *r, size_t size)
{
    r->bits_left = 0;
    if (__builtin_expect(r->error != WIRE_OK || (size_t)(r->end - r->at) < size, 0)) {
        if (r->error == WIRE_OK)
            r->error = WIRE_TRUNCATED;
        return NULL;
    }
    const uint8_t *octets = r->at;
    r->at += size;
    return octets;
}

static inline uint8_t
wire_read_octet(struct wire_reader *r)
{
    const uint8_t *p = wire_take(r, 1);
    return p == NULL ? 0 : *p;
}

static inline uint16_t
wire_read_short(struct wire_reader *r)
{
    const uint8_t *p = wire_take(r, 2);
    return p == NULL ? 0 : load_be16(p);
}

static inline uint32_t
wire_read_long(struct wire_reader *r)
{
    const uint8_t *p = wire_take(r, 4);
    return p == NULL ? 0 : load_be32(p);
}

static inline uint64_t
wire_read_longlong(struct wire_reader *r)
{
    const uint8_t *p = wire_take(r, 8);
    return p == NULL ? 0 : load_be64(p);
}

static inline struct bytes
wire_read_run(struct wire_reader *r, size_t size)
{
    const uint8_t *p = wire_take(r, size);
    return p == NULL ? BYTES_NONE : bytes_of(p, size);
}

/* A short string of any octets. */
static inline struct bytes
wire_read_shortstr_raw(struct wire_reader *r)
{
    return wire_read_run(r, wire_read_octet(r));
}

static inline struct bytes
wire_read_longstr(struct wire_reader *r)
{
    return wire_read_run(r, wire_read_long(r));
}

static inline bool
wire_read_bit(struct wire_reader *r)
{
    if (r->bits_left == 0) {
        r->bit_octet = wire_read_octet(r);
        r->bits_left = 8;
    }
    const bool bit = r->bit_octet & 1u;
    r->bit_octet >>= 1;
    r->bits_left--;
    return bit;
}

/* A short string that must be UTF-8, as all of non-content methods must in RabbitMQ. */
struct bytes wire_read_shortstr(struct wire_reader *r);

/* The octets of a field table without its length; checked through and through (table.h). */
struct bytes wire_read_table(struct wire_reader *r);

/* Sets WIRE_TRAILING if octets are left; returns the final verdict. */
enum wire_error wire_reader_finish(struct wire_reader *r);

struct wire_writer {
    uint8_t *at;
    uint8_t *end;
    uint8_t *bit_octet; /* Where the current run of bits goes; NULL outside a run. */
    uint8_t bit_index;
};

static inline struct wire_writer
wire_writer_of(uint8_t *out, size_t size)
{
    return (struct wire_writer){ .at = out, .end = out + size };
}

static inline uint8_t *
wire_put(struct wire_writer *w, size_t size)
{
    ASSERT((size_t)(w->end - w->at) >= size);
    w->bit_octet = NULL;
    uint8_t *p = w->at;
    w->at += size;
    return p;
}

static inline void
wire_write_octet(struct wire_writer *w, uint8_t v)
{
    *wire_put(w, 1) = v;
}

static inline void
wire_write_short(struct wire_writer *w, uint16_t v)
{
    store_be16(wire_put(w, 2), v);
}

static inline void
wire_write_long(struct wire_writer *w, uint32_t v)
{
    store_be32(wire_put(w, 4), v);
}

static inline void
wire_write_longlong(struct wire_writer *w, uint64_t v)
{
    store_be64(wire_put(w, 8), v);
}

static inline void
wire_write_run(struct wire_writer *w, struct bytes b)
{
    uint8_t *p = wire_put(w, b.size);
    if (b.size > 0)
        memcpy(p, b.data, b.size);
}

static inline void
wire_write_shortstr(struct wire_writer *w, struct bytes b)
{
    ASSERT(b.size <= 255);
    wire_write_octet(w, (uint8_t)b.size);
    wire_write_run(w, b);
}

/* Also writes a table, whose octets are given without the length. */
static inline void
wire_write_longstr(struct wire_writer *w, struct bytes b)
{
    wire_write_long(w, (uint32_t)b.size);
    wire_write_run(w, b);
}

static inline void
wire_write_bit(struct wire_writer *w, bool v)
{
    if (w->bit_octet == NULL || w->bit_index == 8) {
        uint8_t *octet = wire_put(w, 1);
        *octet = 0;
        w->bit_octet = octet;
        w->bit_index = 0;
    }
    *w->bit_octet = (uint8_t)(*w->bit_octet | (v ? 1u : 0u) << w->bit_index);
    w->bit_index++;
}

#endif
