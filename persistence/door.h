#ifndef PERSISTENCE_DOOR_H
#define PERSISTENCE_DOOR_H

/*
 * The door: everything durable goes through it. Any thread pushes effects; one committer thread
 * takes all that have come together as a round and hands it to the engine; when the engine says
 * that the round is committed, those who wait for it are told.
 *
 * A ticket is the number of the round that an effect went into. Pushing and the committer's taking
 * of number and list are each one step under one lock, so an effect can neither miss the round its
 * ticket names nor wait for one that never comes. Ticket 0 means: nothing to wait for.
 *
 * The door knows octets and log ids, not AMQP.
 */

#include "broker/base/buf.h"
#include "persistence/engine.h"
#include "persistence/space.h"

#include <stdatomic.h>

enum effect_kind {
    EFFECT_PUT,     /* Row `payload` at `key`: definitions. */
    EFFECT_DELETE,  /* Row at `key`. */
    EFFECT_RECORDS, /* `count` records of `log` in payload, framed as log_index.h says. */
    EFFECT_SETTLE,  /* Records of `log` are no longer needed: payload holds `count` runs of them,
                       as rows.h says. */
    EFFECT_PURGE,   /* All records of `log` from `sequence` to the 64-bit one in payload. */
    EFFECT_LOG_END, /* `log` and all of its records are gone; its id is never used again. */
};

/* Octets that somebody else owns and keeps until they are released, from any thread. */
struct effect_tail {
    struct bytes octets;
    void (*release)(void *owner); /* NULL: there are none. */
    void *owner;
};

/* Within a round the engine sees effects in the order in which they were pushed. */
struct effect {
    enum effect_kind kind;
    uint64_t log;
    uint64_t sequence;
    uint32_t count;
    struct buf key;
    struct buf payload;
    struct effect_tail tail; /* Goes on where the payload ends: large bodies are not copied. */
};

static inline size_t
effect_payload_size(const struct effect *e)
{
    return e->payload.size + e->tail.octets.size;
}

/* Releases what an effect owns that was not pushed. */
void effect_fini(struct effect *e);

struct door;

/* Called from the committer's or the engine's thread whenever door_committed or door_has_failed
 * may have changed. Must not block. */
typedef void door_notify(void *context);

/* Starts the committer. The door owns the engine. `bytes_max` bounds what waits for commit. */
struct door *door_create(struct engine *engine, uint64_t bytes_max, door_notify *notify,
                         void *context);

/* A door without a thread: whoever owns it commits, step by step. Nor has what works behind such a
 * door threads (the pager, the dead letters): a broker can be driven from one thread, so that what
 * it does follows from a seed. Space is not looked at. */
struct door *door_create_stepped(struct engine *engine, uint64_t bytes_max, door_notify *notify,
                                 void *context);
bool door_is_stepped(const struct door *door);

/* Commits what has been pushed as one round, on this thread, with `sync` in any case. False if
 * there was nothing to do. */
bool door_step(struct door *door, bool sync);

/* From now on rounds wait in front of the engine while the disk has no room for them. Before the
 * first push. The space stays the caller's, and must outlive the door. */
void door_set_space(struct door *door, struct space *space);

/* The disk has turned out to be full in the middle of a round, and the engine tries again when
 * there is room. From now on it does not: the door fails instead, and whoever reads what that round
 * was to write is let go. Before what reads is stopped. */
void door_give_up_waiting(struct door *door);

/* Commits what has been pushed, stops the committer, destroys the engine. No push may follow.
 * False if the disk had no room for all of it: that was never committed, and has been logged. */
bool door_destroy(struct door *door);

/* Takes over key, payload and tail of the effect and returns its ticket. Never blocks on the
 * engine. Any thread; typically called under a queue's lock, so that sequence order is push order.
 */
uint64_t door_push(struct door *door, const struct effect *effect);

/* Something that somebody waits for is going to be pushed within microseconds: wakes the committer
 * meanwhile, which takes as long. A hint; nothing depends on it. Any thread. */
void door_expect(struct door *door);

/* Where an effect lies that was pushed: for door_amend. Zeroed: nowhere. */
struct door_place {
    uint64_t round;
    size_t index; /* Within it. */
};

/* The same, for one that may have to be amended. */
uint64_t door_push_at(struct door *door, const struct effect *effect, struct door_place *place);

/* Gives an effect another payload of the same size, in the place it has, if its round has not been
 * taken yet; false if it has. What changes again and again takes no more room than once a round.
 * Any thread. */
bool door_amend(struct door *door, const struct door_place *place, struct bytes payload);

/* Somebody waits for settlements: those alone are otherwise committed at leisure, within 50 ms, and
 * synced within a second. Returns the ticket of a round that is synced at once and comes after
 * everything pushed so far. Any thread. */
uint64_t door_hurry(struct door *door);

/* The highest round that is committed together with all before it. Any thread. */
uint64_t door_committed(const struct door *door);

/* What committing has taken so far, since the start. Relaxed: they order nothing. */
#define DOOR_COMMIT_BOUNDS 15
struct door_counters {
    _Atomic uint64_t commits[DOOR_COMMIT_BOUNDS + 1]; /* Rounds, by the bound they stay below. */
    _Atomic uint64_t commit_ns;                       /* All of them together. */
    _Atomic uint64_t commit_bytes;
};
extern const double door_commit_bounds[DOOR_COMMIT_BOUNDS]; /* Seconds. */
const struct door_counters *door_counters(const struct door *door);

/* The ticket of whatever was pushed last: once that is committed, so is all of it. Any thread. */
uint64_t door_last_ticket(struct door *door);

/* Octets that have been pushed and are not committed. Any thread. */
uint64_t door_bytes_pending(const struct door *door);

/* True once a round's outcome is unknown: nothing is committed any more. Any thread. */
bool door_has_failed(const struct door *door);

/* True while more than bytes_max wait: publishers must pause until the next notify. Any thread. */
bool door_is_full(const struct door *door);

/* Whether records can be read back. */
bool door_can_read(const struct door *door);

/* Reads what is alive in a log, see engine.h. Only what has been committed is sure to be found. May
 * wait for the disk. Any thread but the committer. */
bool door_read(struct door *door, const struct log_reading *reading);

/* True while the disk has too little room: publishers must pause. It lifts itself. Any thread. */
bool door_is_short(const struct door *door);

/* Where sequences begin in this run: above those of all runs before, in every log. Any thread. */
uint64_t door_first_sequence(const struct door *door);

/* The first of `count` new ids for logs, never used before. Any thread. */
uint64_t door_new_logs(struct door *door, uint32_t count);

#endif
