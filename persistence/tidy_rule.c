#include "persistence/tidy_rule.h"

/* What may be dead beyond as much as is alive: while the store is written to, when the log and the
 * write buffers come and go, and when it rests. */
#define DEAD_BYTES_BUSY (256u * 1024u * 1024u)
#define DEAD_BYTES_IDLE (40u * 1024u * 1024u)
/* After a merge nothing is merged for so many times as long as it took, and a moment. */
#define REST_FACTOR 4u
#define REST_MS 1000u

bool
tidy_rule_is_due(const struct tidy_rule *r, const struct tidy_view *v)
{
    const uint64_t dead_max = v->is_idle ? DEAD_BYTES_IDLE : DEAD_BYTES_BUSY;
    const bool is_futile = v->is_idle && v->bytes <= r->futile_bytes && v->alive >= r->futile_alive;
    return v->bytes > 2 * v->alive + dead_max && v->now_ms >= r->rest_until_ms && !is_futile;
}

void
tidy_rule_note_merged(struct tidy_rule *r, const struct tidy_view *v, uint64_t bytes_left,
                      uint64_t now_ms)
{
    *r = (struct tidy_rule){
        .rest_until_ms = now_ms + (now_ms - v->now_ms) * REST_FACTOR + REST_MS,
        .futile_bytes = bytes_left,
        .futile_alive = v->alive,
    };
}
