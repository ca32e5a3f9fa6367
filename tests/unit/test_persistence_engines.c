/* The same rounds on the local engine and on the simulated one: whatever is published, settled,
 * purged, ended and defined, and however the run ends, both hold what the model says. */

#include "persistence/engine_sim.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/test_persistence_model.h"

enum { PROGRAMS = 4, GENERATIONS = 5, ROUNDS = 60, LOGS = 7 };

static struct driver driver;
static struct sim_disk *disk;
static struct engine *sim;
static uint64_t sim_rounds;

static void
sim_done(void *context, uint64_t round_number, enum round_outcome outcome)
{
    (void)context;
    assert_int_equal(round_number, driver.next_round);
    assert_int_equal(outcome, ROUND_COMMITTED);
    sim_rounds++;
}

static void
sim_open(void)
{
    sim = engine_sim_open(disk);
    sim->done = sim_done;
    engine_compare(sim, &driver.model, &driver.random);
    assert_int_equal(sim->first_round, driver.engine->engine.first_round);
    assert_int_equal(sim->first_log, driver.engine->engine.first_log);
}

static void
submit_to_both(bool sync)
{
    struct round round = {
        .number = driver.next_round,
        .effects = driver.effects,
        .effect_count = driver.effect_count,
        .sync = sync,
    };
    for (size_t i = 0; i < driver.effect_count; i++)
        round.bytes += driver.effects[i].key.size + effect_payload_size(&driver.effects[i]);
    const uint64_t before = sim_rounds;
    sim->ops->submit(sim, &round);
    assert_int_equal(sim_rounds, before + 1);
    driver_submit(&driver, sync);
}

static void
settle_some(struct model_log *m)
{
    const size_t count = 1 + random_below(&driver.random, m->count);
    struct effect *e = effect_add(&driver, EFFECT_SETTLE, m->id);
    for (size_t n = 0; n < count; n++)
        do_settle(m, e, random_below(&driver.random, m->count));
}

static void
purge_some(struct model_log *m)
{
    submit_to_both(false); /* What is purged has been committed. */
    const size_t from = random_below(&driver.random, m->count);
    do_purge(&driver, m, from, 1 + random_below(&driver.random, m->count - from));
}

static void
end_log(struct model_log *m)
{
    do_log_end(&driver, m);
    m->next = sim->first_log;
}

static void
random_effect(void)
{
    struct random *r = &driver.random;
    struct model_log *m = &driver.model.logs[random_below(r, LOGS)];
    const size_t choice = random_below(r, 100);
    if (choice < 50 || m->count == 0)
        do_records(&driver, m, 1 + (uint32_t)random_below(r, 30), (uint32_t)random_below(r, 600),
                   (uint32_t)random_below(r, 3));
    else if (choice < 85)
        settle_some(m);
    else if (choice < 90)
        purge_some(m);
    else if (choice < 92)
        end_log(m);
    else
        do_definition(&driver, random_below(r, MODEL_DEFINITIONS), random_below(r, 3) > 0);
}

static void
run_generation(void)
{
    struct random *r = &driver.random;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t n = random_below(r, 8); n > 0; n--)
            random_effect();
        submit_to_both(random_below(r, 3) == 0);
    }
    logs_compare(&driver.engine->engine, &driver.model, r);
    logs_compare(sim, &driver.model, r);
}

/* Stops both in order, or copies what the end of the process leaves. */
static void
restart(void)
{
    char copy[PATH_SIZE];
    const bool dies = random_below(&driver.random, 2) == 0;
    if (dies) {
        driver_copy(&driver, copy);
        sim_disk_crash(disk, SIM_CRASH_PROCESS);
    }
    engine_stop(driver.engine);
    sim->ops->destroy(sim);
    if (dies) {
        directory_remove(driver.directory);
        memcpy(driver.directory, copy, sizeof(copy));
    }
    driver_open(&driver);
    sim_open();
    for (size_t l = 0; l < LOGS; l++)
        driver.model.logs[l].next = driver.next_log;
}

static void
run_program(const char *test)
{
    driver_start(&driver, test, 0);
    disk = sim_disk_create(&(const struct sim_options){ .seed = driver.random.state });
    sim_open();
    driver.model.log_count = LOGS;
    for (size_t l = 0; l < LOGS; l++)
        driver.model.logs[l] =
            (struct model_log){ .id = driver.next_log++, .next = sim->first_log };
    for (int generation = 0; generation < GENERATIONS; generation++) {
        run_generation();
        restart();
    }
    sim->ops->destroy(sim);
    sim_disk_destroy(disk);
    driver_finish(&driver);
}

static void
test_both_engines_hold_the_same(void **state)
{
    (void)state;
    for (int program = 0; program < PROGRAMS; program++)
        run_program(__func__);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_engines_hold_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
