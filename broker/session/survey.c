#include "broker/session/survey.h"

#include "broker/base/clock.h"
#include "broker/session/server.h"

void
survey_init(struct survey *s)
{
    pthread_mutex_init(&s->turn, NULL);
    lock_init(&s->lock);
    cond_init(&s->answered);
}

void
survey_fini(struct survey *s)
{
    rows_fini(&s->rows);
    pthread_cond_destroy(&s->answered);
    lock_fini(&s->lock);
    pthread_mutex_destroy(&s->turn);
}

/* The rows are made without the lock, so that workers do not wait for each other. */
void
survey_deliver(struct mail *mail)
{
    struct worker *w = LIST_CONTAINER(mail, struct worker, survey_mail);
    struct survey *s = &w->server->survey;
    struct rows rows = { 0 };
    lock_acquire(&s->lock);
    const bool is_asked = s->is_open && w->survey_number != s->number;
    const uint64_t number = s->number;
    const struct survey_question question = s->question;
    w->survey_number = number;
    lock_release(&s->lock);
    if (!is_asked)
        return;
    question.visit(w, &question.selection, bytes_of(question.vhost, question.vhost_size), &rows);
    lock_acquire(&s->lock);
    if (s->is_open && s->number == number) {
        rows_join(&s->rows, &rows);
        s->waiting--;
        pthread_cond_signal(&s->answered);
    }
    lock_release(&s->lock);
    rows_fini(&rows);
}

static bool
wait_for_answers(struct survey *s, uint64_t deadline_ms) REQUIRES(s->lock)
{
    while (s->waiting > 0 && !s->is_over && clock_monotonic_ms() < deadline_ms)
        cond_wait_until_ms(&s->answered, &s->lock, deadline_ms);
    return s->waiting == 0;
}

bool
survey_ask(struct server *server, const struct survey_question *question, uint32_t timeout_ms,
           struct rows *out)
{
    struct survey *s = &server->survey;
    pthread_mutex_lock(&s->turn);
    lock_acquire(&s->lock);
    s->number++;
    s->question = *question;
    s->waiting = server->worker_count;
    s->is_open = true;
    lock_release(&s->lock);
    for (unsigned i = 0; i < server->worker_count; i++)
        loop_post(&server->workers[i].loop, &server->workers[i].survey_mail);
    lock_acquire(&s->lock);
    const bool is_complete = wait_for_answers(s, clock_monotonic_ms() + timeout_ms);
    s->is_open = false;
    if (is_complete)
        rows_join(out, &s->rows);
    else
        rows_fini(&s->rows);
    lock_release(&s->lock);
    pthread_mutex_unlock(&s->turn);
    return is_complete;
}

void
survey_end(struct survey *s)
{
    lock_acquire(&s->lock);
    s->is_over = true;
    pthread_cond_broadcast(&s->answered);
    lock_release(&s->lock);
}
