#ifndef PERSISTENCE_SIM_STATE_H
#define PERSISTENCE_SIM_STATE_H

/*
 * What the simulated disk of engine_sim.h holds, now and at every moment since it was last synced.
 * Time is the number of effects that have been applied; records and rows know when they came and
 * when they went, so that going back is forgetting what came later.
 *
 * Applying an effect that breaks a rule of the door panics. Guarded by the disk's lock.
 */

#include "broker/base/map.h"
#include "persistence/door.h"

#define SIM_NEVER UINT64_MAX

struct sim_record {
    uint64_t sequence;
    uint64_t born;
    uint64_t died; /* SIM_NEVER while it is alive. */
    uint32_t weight;
    struct bytes octets; /* Owned. */
};

struct sim_log {
    struct map_node by_id;
    uint64_t id;
    uint64_t ended;             /* When; SIM_NEVER: not. */
    uint64_t highest;           /* Of all sequences there ever were, whatever became of them. */
    struct sim_record *records; /* In order of sequence. */
    size_t count;
    size_t capacity;
};

/* What a row was from some moment on. */
struct sim_value {
    uint64_t born;
    bool is_there;
    struct bytes octets; /* Owned. */
};

struct sim_row {
    struct map_node by_key;
    struct bytes key;         /* Owned. */
    struct sim_value *values; /* The last is what it is now. */
    size_t count;
    size_t capacity;
};

/* A zeroed struct is empty. */
struct sim_state {
    struct map logs;
    struct map rows;
    uint64_t now;
    uint64_t round_from;    /* When the round began that is being applied. */
    uint64_t kept_from;     /* What was dead by then has been forgotten, and cannot come back. */
    uint64_t sequence_from; /* New records have sequences from here on. */
    size_t alive;           /* Records. */
    size_t dead;            /* That may come back, or wait to be forgotten. */
    size_t values;          /* Of rows, in all. */
    size_t rows_there;
};

/* Forgets everything. */
void sim_state_fini(struct sim_state *s);

/* Copies the octets. */
void sim_state_apply(struct sim_state *s, const struct effect *e);

/* As if nothing had been applied since that moment, which is not before the last sync. */
void sim_state_go_back(struct sim_state *s, uint64_t moment);

/* A new run begins. Logs that have ended may be used again: where a crash has cut the deletion of a
 * queue in two, its definition is still there, and goes on without what was in it. */
void sim_state_restart(struct sim_state *s);

/* Nothing will go back behind this moment. */
void sim_state_keep(struct sim_state *s, uint64_t moment);

/* Adds what is alive to an empty state. */
void sim_state_copy(struct sim_state *to, const struct sim_state *from);

/* NULL if nothing was ever said of it. */
struct sim_log *sim_state_log(const struct sim_state *s, uint64_t id);

/* The place of the first record that is not below. */
size_t sim_log_place(const struct sim_log *log, uint64_t sequence);

/* What is alive of it; the count may be 0. */
struct log_summary sim_log_summary(const struct sim_log *log);

/* What the row is now; false if it is not there. */
bool sim_state_row(const struct sim_state *s, struct bytes key, struct bytes *out);

#endif
