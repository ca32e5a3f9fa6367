#ifndef BROKER_SESSION_SURVEY_H
#define BROKER_SESSION_SURVEY_H

/*
 * Asking the workers about what belongs to them: each gets mail, makes its rows on its own thread
 * between other work, and hands them over. One survey at a time; who asks waits for the answers,
 * but not for ever. Owner: the server.
 */

#include "broker/admin/columns.h"
#include "broker/base/lock.h"
#include "broker/net/loop.h"

struct server;
struct worker;

/* Appends rows about what the worker owns. On the worker's thread. */
typedef void survey_visit(struct worker *w, const struct selection *s, struct bytes vhost,
                          struct rows *r);

struct survey_question {
    survey_visit *visit;
    struct selection selection;
    uint8_t vhost[255]; /* Only what is in this one; all if it is empty. */
    size_t vhost_size;
};

struct survey {
    pthread_mutex_t turn; /* Of those who ask; held while they wait. */
    struct lock lock;
    pthread_cond_t answered;

    /* Guarded by lock. */
    uint64_t number; /* Of the survey; an answer to an older one is late and dropped. */
    struct survey_question question;
    unsigned waiting; /* Workers that have not answered. */
    bool is_open;
    bool is_over; /* The workers have ended: nobody will answer. */
    struct rows rows;
};

void survey_init(struct survey *s);
void survey_fini(struct survey *s);

/* Appends the rows of all workers. False if one did not answer within `timeout_ms`, or they have
 * ended. Any thread but a worker's. */
bool survey_ask(struct server *server, const struct survey_question *question, uint32_t timeout_ms,
                struct rows *out);

/* The workers have ended. Whoever waits is told. */
void survey_end(struct survey *s);

/* The mail of a worker. */
void survey_deliver(struct mail *mail);

#endif
