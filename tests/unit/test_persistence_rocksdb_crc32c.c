/* The checksum that RocksDB takes from us is the one it would have computed. */

#include "persistence/rocksdb_crc32c.h"

#include "persistence/engine.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_persistence.h"

uint32_t extend(uint32_t crc, const char *data,
                size_t size) __asm__("_ZN7rocksdb6crc32c6ExtendEjPKcm");

#define POLYNOMIAL 0x82f63b78u /* Castagnoli's, reflected. */

/* As the definition has it, a bit at a time. */
static uint32_t
extend_by_bits(uint32_t crc, const char *data, size_t size)
{
    uint32_t state = ~crc;
    for (size_t i = 0; i < size; i++) {
        state ^= (uint8_t)data[i];
        for (int bit = 0; bit < 8; bit++)
            state = state & 1 ? state >> 1 ^ POLYNOMIAL : state >> 1;
    }
    return ~state;
}

static void
test_rocksdb_uses_it(void **state)
{
    (void)state;
    char directory[PATH_SIZE];
    char problem[512];
    directory_make(directory);
    struct engine *engine = engine_local_open(directory, problem, sizeof(problem));
    assert_non_null(engine);
    assert_true(rocksdb_crc32c_is_ours());
    engine->ops->destroy(engine);
    directory_remove(directory);
}

static void
test_known_sum(void **state)
{
    (void)state;
    assert_int_equal(extend(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(extend(0, "", 0), 0);
}

static void
test_every_size_and_alignment(void **state)
{
    (void)state;
    struct random r = random_start("sums");
    char octets[4096 + 16];
    for (size_t i = 0; i < sizeof(octets); i++)
        octets[i] = (char)random_below(&r, 256);
    for (size_t size = 0; size < 600; size++) {
        const char *at = octets + size % 16;
        assert_int_equal(extend(0, at, size), extend_by_bits(0, at, size));
    }
    for (int i = 0; i < 200; i++) {
        const size_t size = random_below(&r, 4096);
        const uint32_t before = (uint32_t)random_next(&r);
        const char *at = octets + random_below(&r, 16);
        assert_int_equal(extend(before, at, size), extend_by_bits(before, at, size));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rocksdb_uses_it),
        cmocka_unit_test(test_known_sum),
        cmocka_unit_test(test_every_size_and_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
