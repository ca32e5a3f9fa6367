#include "routing/header.h"

#include "broker/base/panic.h"

#define TWO_TO_63 9223372036854775808.0
#define TWO_TO_64 18446744073709551616.0

static bool
header_is_number(const struct header *h)
{
    return h->kind == HEADER_INTEGER || h->kind == HEADER_UNSIGNED || h->kind == HEADER_FLOAT;
}

/* The same number as an integer wherever there is one, so that equal values have equal kinds:
 * negative ones as HEADER_INTEGER, others as HEADER_UNSIGNED. */
static struct header
header_number_normalized(const struct header *h)
{
    struct header n = *h;
    if (h->kind == HEADER_INTEGER && h->value.integer >= 0) {
        n.kind = HEADER_UNSIGNED;
        n.value.unsigned_integer = (uint64_t)h->value.integer;
    }
    if (h->kind != HEADER_FLOAT)
        return n;
    const double d = h->value.floating;
    if (d >= 0 && d < TWO_TO_64 && (double)(uint64_t)d == d) {
        n.kind = HEADER_UNSIGNED;
        n.value.unsigned_integer = (uint64_t)d;
    } else if (d < 0 && d >= -TWO_TO_63 && (double)(int64_t)d == d) {
        n.kind = HEADER_INTEGER;
        n.value.integer = (int64_t)d;
    }
    return n;
}

static bool
header_numbers_equal(const struct header *a, const struct header *b)
{
    const struct header x = header_number_normalized(a);
    const struct header y = header_number_normalized(b);
    if (x.kind != y.kind)
        return false;
    if (x.kind == HEADER_FLOAT)
        return x.value.floating == y.value.floating;
    if (x.kind == HEADER_INTEGER)
        return x.value.integer == y.value.integer;
    return x.value.unsigned_integer == y.value.unsigned_integer;
}

bool
header_values_equal(const struct header *a, const struct header *b)
{
    if (header_is_number(a) && header_is_number(b))
        return header_numbers_equal(a, b);
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case HEADER_VOID:
        return true;
    case HEADER_BOOL:
        return a->value.boolean == b->value.boolean;
    case HEADER_STRING:
    case HEADER_OPAQUE:
        return bytes_equal(a->value.octets, b->value.octets);
    case HEADER_INTEGER:
    case HEADER_UNSIGNED:
    case HEADER_FLOAT:
        break;
    }
    UNREACHABLE();
}
