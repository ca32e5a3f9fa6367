#include "broker/auth/login_lines.h"

void
login_lines_init(struct login_lines *l)
{
    list_init(&l->turns);
    l->count = 0;
    for (size_t i = 0; i < LOGIN_LINES; i++) {
        list_init(&l->lines[i].waiting);
        list_init(&l->lines[i].in_turns);
        l->lines[i].count = 0;
    }
}

static struct login *
remove_from(struct login_lines *l, struct login_line *line, struct list *link)
{
    list_unlink(link);
    line->count--;
    l->count--;
    if (line->count == 0)
        list_unlink(&line->in_turns);
    return LIST_CONTAINER(link, struct login, link);
}

static struct login_line *
longest(struct login_lines *l)
{
    struct login_line *found = &l->lines[0];
    for (size_t i = 1; i < LOGIN_LINES; i++)
        if (l->lines[i].count > found->count)
            found = &l->lines[i];
    return found;
}

struct login *
login_lines_add(struct login_lines *l, struct login *login)
{
    const uint64_t hash = bytes_hash(bytes_of_string(login->address));
    struct login_line *line = &l->lines[hash % LOGIN_LINES];
    if (line->count == 0)
        list_push(&l->turns, &line->in_turns);
    list_push(&line->waiting, &login->link);
    line->count++;
    l->count++;
    if (l->count <= LOGINS_WAITING_MAX)
        return NULL;
    struct login_line *last = longest(l);
    return remove_from(l, last, last->waiting.prev);
}

struct login *
login_lines_take(struct login_lines *l)
{
    if (list_is_empty(&l->turns))
        return NULL;
    struct login_line *line = LIST_CONTAINER(l->turns.next, struct login_line, in_turns);
    list_unlink(&line->in_turns);
    list_push(&l->turns, &line->in_turns);
    return remove_from(l, line, line->waiting.next);
}
