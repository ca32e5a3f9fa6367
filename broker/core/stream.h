#ifndef BROKER_CORE_STREAM_H
#define BROKER_CORE_STREAM_H

/*
 * A stream: a queue that keeps what has been read. All its messages are records of its log, and a
 * record's sequence is the offset that clients know: 0, 1, 2 and so on, also across restarts. Each
 * consumer has a cursor of its own; settling only gives credit back. What is old goes by retention
 * (x-max-length-bytes, x-max-age), a segment at a time, never the last one.
 *
 * Nobody is sent what is not committed: an offset that a crash takes back may be given again. The
 * newest messages are in memory while there are consumers; a cursor that is behind has its messages
 * read by the pager. Segments are rows behind the door (definition.h), so that neither retention
 * nor looking for a moment has to read records.
 *
 * All of it is guarded by the queue's lock.
 */

#include "broker/core/entries.h"
#include "broker/core/queue.h"
#include "broker/core/stream_spec.h"

/* Messages from `first` to the next segment's. */
struct stream_segment {
    uint64_t first;
    uint64_t wall_ms;       /* Not after any of them. */
    uint64_t octets_before; /* Of the bodies of all messages before `first`, kept or not. */
};

/* One of the newest messages. */
struct stream_item {
    struct message *message; /* A reference. */
    uint64_t ticket;
    uint64_t wall_us;
};

struct stream {
    uint64_t first;    /* The lowest offset that is kept; q->next_sequence if there is none. */
    uint64_t octets;   /* Of the bodies of all messages that ever were. */
    uint64_t readable; /* What is below is committed. */

    struct stream_segment *segments; /* In order. None: nothing was ever in it. */
    size_t segment_count;
    size_t segment_capacity;

    struct stream_item *recent; /* A ring: the messages from `recent_first` on. */
    size_t recent_capacity;     /* A power of two. */
    uint64_t recent_first;      /* At most `readable`. */
    uint64_t recent_octets;     /* What holding them costs. */

    struct list wanting; /* Of struct stream_cursor: they wait for the pager. */
    bool is_awaited;     /* The pager looks at it again when something is committed. */
};

/* Where a consumer is. It has two owners at most, the consumer and the pager that reads for it. */
struct stream_cursor {
    _Atomic uint32_t refs;
    struct stream_spec spec; /* Its filter is a copy. */
    uint64_t position;       /* The next offset to look at, behind what is in `ahead`. */
    uint64_t not_before_us;  /* Until the first that is not older: 0 from then on. */
    struct entries ahead;    /* What the pager has read, from `ahead_next` on. */
    size_t ahead_next;
    struct list in_wanting;
    bool is_read;   /* The pager is reading for it, and nobody else shall. */
    bool is_over;   /* The consumer has left. */
    bool is_broken; /* What comes next cannot be read. */
};

/* For a queue of that type. */
struct stream *stream_create(void);

/* Its messages have gone: see stream_end. */
void stream_destroy(struct stream *s);

/* queue_append for streams. The message's delivery mode does not matter. Any thread, no lock. */
uint64_t stream_append(struct queue *q, struct append *items, size_t count);

/* Start-up, in this order: segments, in any order, and what is alive of the log. */
void stream_restore_segment(struct queue *q, const struct stream_segment *segment);
void stream_restore(struct queue *q, const struct log_summary *summary);

/* Lets go of what limits do not allow any more. */
void stream_retain(struct queue *q);

/* Drops what is in memory, and forgets the segments unless `keeps_rows`. The queue ends. */
void stream_end(struct queue *q, bool keeps_rows, struct leaving *leaving);

/* With one reference; copies the filter. No lock. */
struct stream_cursor *stream_cursor_create(const struct stream_spec *spec);
void stream_cursor_unref(struct stream_cursor *c);

/* The consumer comes, and its cursor gets its place; it goes. */
void stream_join(struct queue *q, struct stream_cursor *c);
void stream_leave(struct stream_cursor *c);

/* queue_pump for streams: gives waiting consumers what is there for them. */
void stream_pump(struct queue *q);

/* queue_page for streams. */
uint64_t stream_page(struct queue *q);

/* For the files stream*.c: what is committed by now; lets go of recent messages that can be read
 * from the log as well, but for some. */
void stream_note_committed(struct queue *q);
void stream_trim_recent(struct queue *q);

static inline const struct stream_item *
stream_item_at(const struct stream *s, uint64_t offset)
{
    return &s->recent[offset & (s->recent_capacity - 1)];
}

#endif
