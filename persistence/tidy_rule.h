#ifndef PERSISTENCE_TIDY_RULE_H
#define PERSISTENCE_TIDY_RULE_H

/*
 * When the files of a store are merged to give space back: when most of what they hold is dead, not
 * all the time, and not again where it did not help. Plain values without a clock; engine_tidy.c
 * looks and merges.
 */

#include <stdbool.h>
#include <stdint.h>

/* What is seen in one look. */
struct tidy_view {
    uint64_t now_ms;
    uint64_t bytes; /* Of all files, */
    uint64_t alive; /* and what of it is alive. */
    bool is_idle;   /* Nothing was written since the look before. */
};

/* Zeroed at the start. */
struct tidy_rule {
    uint64_t rest_until_ms;
    uint64_t futile_bytes; /* The last merge did not get below that, */
    uint64_t futile_alive; /* when so much was alive. */
};

bool tidy_rule_is_due(const struct tidy_rule *r, const struct tidy_view *v);

/* A merge that began with that view has left so much. */
void tidy_rule_note_merged(struct tidy_rule *r, const struct tidy_view *v, uint64_t bytes_left,
                           uint64_t now_ms);

#endif
