#include "broker/base/map.h"

#include "broker/base/bytes.h"
#include "tests/unit/test_random.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { KEYS = 3000 };

struct item {
    uint32_t key;
    bool in; /* What the model thinks. */
    bool seen;
    struct map_node node;
};

/* How keys spread: as in life, all in one bucket, all with one hash, in few buckets. */
enum spread {
    SPREAD_WELL,
    SPREAD_ONE_BUCKET,
    SPREAD_ONE_HASH,
    SPREAD_FEW,
    SPREADS,
};

struct world {
    struct random random;
    enum spread spread;
    size_t key_count;
    size_t count;
    struct map map;
    struct item items[KEYS];
};

static struct world world;

static uint64_t
key_hash(enum spread spread, uint32_t key)
{
    switch (spread) {
    case SPREAD_WELL:
        return bytes_hash(bytes_of(&key, sizeof(key)));
    case SPREAD_ONE_BUCKET:
        return (uint64_t)key << 32;
    case SPREAD_ONE_HASH:
        return 7;
    case SPREAD_FEW:
        return key % 5;
    case SPREADS:
        break;
    }
    fail();
    return 0;
}

static uint32_t
key_of(const struct map_node *node)
{
    const char *at = (const char *)node - offsetof(struct item, node);
    return ((const struct item *)(const void *)at)->key;
}

static bool
item_has_key(const struct map_node *node, const void *key)
{
    return key_of(node) == *(const uint32_t *)key;
}

static struct item *
item_find(const struct world *w, uint32_t key)
{
    struct map_node *node = map_find(&w->map, key_hash(w->spread, key), item_has_key, &key);
    return node == NULL ? NULL : MAP_CONTAINER(node, struct item, node);
}

/* Iteration meets each element once, and finding agrees about all keys. */
static void
world_check(struct world *w)
{
    size_t met = 0;
    for (struct map_node *n = map_next(&w->map, NULL); n != NULL; n = map_next(&w->map, n)) {
        struct item *item = MAP_CONTAINER(n, struct item, node);
        assert_true(item->in);
        assert_false(item->seen);
        item->seen = true;
        met++;
    }
    assert_int_equal(met, w->count);
    for (uint32_t key = 0; key < w->key_count; key++) {
        assert_ptr_equal(item_find(w, key), w->items[key].in ? &w->items[key] : NULL);
        w->items[key].seen = false;
    }
}

static void
world_toggle(struct world *w, uint32_t key)
{
    struct item *item = &w->items[key];
    assert_ptr_equal(item_find(w, key), item->in ? item : NULL);
    if (item->in) {
        map_remove(&w->map, &item->node);
        w->count--;
    } else {
        map_insert(&w->map, &item->node, key_hash(w->spread, key));
        w->count++;
    }
    item->in = !item->in;
    assert_int_equal(w->map.count, w->count);
}

static void
world_reset(struct world *w, enum spread spread, size_t key_count)
{
    w->spread = spread;
    w->key_count = key_count;
    w->count = 0;
    w->map = (struct map){ 0 };
    for (uint32_t key = 0; key < KEYS; key++)
        w->items[key] = (struct item){ .key = key };
}

/* Grows and shrinks in turns: in a phase of growth elements in are mostly left alone. */
static void
world_run(struct world *w, size_t operations)
{
    bool growing = true;
    for (size_t i = 0; i < operations; i++) {
        const uint32_t key = (uint32_t)random_below(&w->random, w->key_count);
        if (random_below(&w->random, 8) == 0 || w->items[key].in != growing)
            world_toggle(w, key);
        if (random_below(&w->random, 4 * w->key_count) == 0)
            growing = !growing;
        if (i % (operations / 50) == 0)
            world_check(w);
    }
}

static void
world_empty(struct world *w)
{
    for (uint32_t key = 0; key < w->key_count; key++)
        if (w->items[key].in)
            world_toggle(w, key);
    world_check(w);
    assert_null(w->map.buckets);
    assert_int_equal(w->map.bucket_count, 0);
}

static void
test_random_operations(void **state)
{
    (void)state;
    world.random = random_start(__func__);
    for (int round = 0; round < 4; round++) {
        world_reset(&world, SPREAD_WELL, round % 2 == 0 ? KEYS : 20);
        world_run(&world, 100000);
        world_empty(&world);
    }
}

static void
test_random_operations_that_collide(void **state)
{
    (void)state;
    world.random = random_start(__func__);
    for (enum spread spread = SPREAD_ONE_BUCKET; spread < SPREADS; spread++) {
        world_reset(&world, spread, 100);
        world_run(&world, 100000);
        world_empty(&world);
    }
}

static void
test_empty(void **state)
{
    (void)state;
    struct map m = { 0 };
    const uint32_t key = 1;
    assert_null(map_find(&m, 1, item_has_key, &key));
    assert_null(map_next(&m, NULL));
    map_fini(&m);
    map_fini(&m);
}

static void
test_buckets_follow_the_count(void **state)
{
    (void)state;
    world_reset(&world, SPREAD_WELL, KEYS);
    for (uint32_t key = 0; key < KEYS; key++) {
        world_toggle(&world, key);
        assert_true(world.map.bucket_count >= world.count);
        assert_int_equal(world.map.bucket_count & (world.map.bucket_count - 1), 0);
    }
    for (uint32_t key = 0; key < KEYS - 1; key++) {
        world_toggle(&world, key);
        assert_true(world.map.bucket_count >= world.count);
        assert_true(world.map.bucket_count <= 8 || world.map.bucket_count <= world.count * 8);
    }
    world_empty(&world);
}

static void
test_fini_leaves_the_elements(void **state)
{
    (void)state;
    world_reset(&world, SPREAD_WELL, KEYS);
    for (uint32_t key = 0; key < 100; key++)
        world_toggle(&world, key);
    map_fini(&world.map);
    assert_null(item_find(&world, 5));
    world_reset(&world, SPREAD_WELL, KEYS);
    world_toggle(&world, 5);
    world_check(&world);
    world_empty(&world);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_random_operations_that_collide),
        cmocka_unit_test(test_buckets_follow_the_count),
        cmocka_unit_test(test_fini_leaves_the_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
