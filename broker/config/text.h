#ifndef BROKER_CONFIG_TEXT_H
#define BROKER_CONFIG_TEXT_H

/*
 * Text for people on a terminal: wrapped paragraphs, quoted foreign text and the nearest of several
 * names. Pure functions over struct buf. Any thread.
 */

#include "broker/base/buf.h"

#define TEXT_COLUMNS 80

/* Appends `text` in lines of at most TEXT_COLUMNS, each after `indent` spaces, and a line end. The
 * first line starts where the last line of `out` ends, and is filled up to the indent. */
void text_wrap(struct buf *out, const char *text, size_t indent);

/* Appends the text in double quotes: control characters escaped, long text cut with "...". */
void text_quote(struct buf *out, struct bytes text);

/* Appends the text without quotes, control characters escaped. */
void text_plain(struct buf *out, struct bytes text);

/* Appends a size as people read it: "640 B", "12.5 MiB". */
void text_size(struct buf *out, uint64_t octets);

/* Appends a JSON string. What is not UTF-8 becomes U+FFFD, octet for octet. */
void text_json(struct buf *out, struct bytes text);

/* The search for the name somebody meant. Start with { .text = what was written }. */
struct suggestion {
    struct bytes text;
    struct bytes best; /* Borrowed from the candidates; empty if none is near. */
    size_t distance;   /* Of the best. */
};

/* Keeps the candidate if it is near enough, and nearer than the best so far. */
void suggestion_offer(struct suggestion *s, struct bytes candidate);

#endif
