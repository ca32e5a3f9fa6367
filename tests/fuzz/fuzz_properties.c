/*
 * Basic properties: what decodes encodes to the same octets, but for the two flags that mean
 * nothing.
 */

#include "amqp/properties.h"
#include "tests/exact.h"
#include "tests/fuzz/fuzz.h"

static void
check_encoding(const struct properties *p, struct bytes original)
{
    const size_t size = properties_size(p);
    ASSERT(size == original.size);
    struct exact e = { .block = mem_alloc(size + 1) };
    e.bytes = bytes_of(e.block + 1, size);
    struct wire_writer w = wire_writer_of(e.block + 1, size);
    properties_encode(&w, p);
    ASSERT(w.at == w.end);
    ASSERT(load_be16(e.bytes.data) == (load_be16(original.data) & PROPERTIES_FLAGS_ALL));
    ASSERT(memcmp(e.bytes.data + 2, original.data + 2, size - 2) == 0);
    exact_free(&e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct exact e = exact_copy(bytes_of(data, size));
    struct properties p;
    if (properties_decode(e.bytes, &p) == WIRE_OK)
        check_encoding(&p, e.bytes);
    exact_free(&e);
    return 0;
}
