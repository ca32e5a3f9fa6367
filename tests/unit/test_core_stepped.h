#ifndef TESTS_UNIT_TEST_CORE_STEPPED_H
#define TESTS_UNIT_TEST_CORE_STEPPED_H

/*
 * One queue on one thread: a disk that is simulated, a door and a pager that are stepped. Include
 * after cmocka.h.
 */

#include "broker/core/pager.h"
#include "persistence/engine_sim.h"
#include "tests/unit/test_core.h"

#include <stdlib.h>

struct stepped {
    struct sim_disk *disk;
    struct door *door;
    struct pager *pager;
    struct vhost *vhost;
    struct queue *queue;
    char directory[64];
};

static inline struct sim_disk *
stepped_disk(void)
{
    return sim_disk_create(&(const struct sim_options){ .seed = 1 });
}

/* On a disk and an engine on it, which it takes over; the spec is the queue's. `committed` is told
 * of rounds. */
static inline void
stepped_open(struct stepped *s, struct sim_disk *disk, struct engine *engine,
             const struct queue_spec *spec, door_notify *committed)
{
    *s = (struct stepped){ .disk = disk, .directory = "/tmp/rail-test-stepped-XXXXXX" };
    assert_non_null(mkdtemp(s->directory));
    s->door = door_create_stepped(engine, UINT64_MAX, committed, s);
    s->pager = pager_create(s->door, s->directory, committed, s);
    s->vhost = vhost_create(BYTES_LITERAL("/"), s->door);
    s->vhost->pager = s->pager;
    s->queue = queue_create(s->vhost, s->door, spec);
}

static inline void
stepped_close(struct stepped *s)
{
    pager_stop(s->pager);
    end_queue(s->queue);
    vhost_destroy(s->vhost);
    door_destroy(s->door);
    pager_destroy(s->pager);
    sim_disk_destroy(s->disk);
}

static inline void
step_until_idle(struct stepped *s)
{
    do
        door_step(s->door, false);
    while (pager_step(s->pager));
}

#endif
