#ifndef PERSISTENCE_ENGINE_SIM_H
#define PERSISTENCE_ENGINE_SIM_H

/*
 * The engine that keeps rounds in memory, on a disk that is simulated: what it does follows from a
 * seed, and it can be made to fail, to be slow, and to lose what a crash would lose. It behaves as
 * the local engine does, as far as the door and recovery can tell, and trusts nobody: an effect
 * that breaks a rule of the door (a settlement of what is not there, a sequence or a log that is
 * used again, a round out of order) ends the process with a line that names it.
 *
 * A disk outlives the engines that are opened on it, one after another: what one has left, the next
 * recovers. Owner of the disk: whoever runs the simulation. Any thread.
 */

#include "persistence/engine.h"

struct sim_disk;

struct sim_options {
    uint64_t seed;
    uint32_t failure_one_in; /* Of so many rounds one fails; 0: none. */
    uint32_t delay_min_ms;   /* Each round takes as long as the dice say. */
    uint32_t delay_max_ms;
};

struct sim_disk *sim_disk_create(const struct sim_options *options);

/* Its engine has been destroyed. */
void sim_disk_destroy(struct sim_disk *disk);

/* What a process that is killed now would leave: a disk of its own. */
struct sim_disk *sim_disk_copy(struct sim_disk *disk);

void sim_disk_set_failures(struct sim_disk *disk, uint32_t one_in);

/* While the disk is held, the engine waits. */
void sim_disk_hold(struct sim_disk *disk, bool held);

/* An engine on what the disk holds; the one before it has been destroyed. Its numbers begin above
 * all that were used before. */
struct engine *engine_sim_open(struct sim_disk *disk);

/* An engine on a disk of its own, which goes with it; each round takes so long. */
struct engine *engine_sim_create(uint32_t delay_ms);

enum sim_crash {
    SIM_CRASH_PROCESS, /* What was reported as committed stays. */
    SIM_CRASH_POWER,   /* What was synced, or reported before a sync, stays. */
};

/* The end of whatever runs: of the rounds that may be lost, those up to some effect are kept, as
 * the dice say, and the rest is gone. The engine that is open does nothing from now on but to
 * report its rounds as unknown. */
void sim_disk_crash(struct sim_disk *disk, enum sim_crash kind);

/* The last round that is safe whatever happens; 0: none. */
uint64_t sim_disk_synced(struct sim_disk *disk);

/* A record that is alive; false if there is none. The octets stay as long as it does. */
bool sim_disk_record(struct sim_disk *disk, uint64_t log, uint64_t sequence, struct bytes *octets);

/* The row of a definition; false if there is none. */
bool sim_disk_row(struct sim_disk *disk, struct bytes key, struct bytes *row);

/* What is alive of a log; count may be 0. */
struct log_summary sim_disk_summary(struct sim_disk *disk, uint64_t log);

/* Looks at each round when it is committed, on the thread that does it, with the disk locked. */
typedef void sim_watch(void *context, const struct round *round);
void sim_disk_watch(struct sim_disk *disk, sim_watch *watch, void *context);

#endif
