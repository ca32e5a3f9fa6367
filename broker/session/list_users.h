#ifndef BROKER_SESSION_LIST_USERS_H
#define BROKER_SESSION_LIST_USERS_H

/*
 * Listings of users and of what they may do. Passwords and their hashes are in none of them. Any
 * thread.
 */

#include "broker/admin/columns.h"
#include "broker/core/broker.h"

extern const struct column user_columns[];
extern const size_t user_column_count;
extern const struct column permission_columns[];
extern const size_t permission_column_count;
extern const struct column topic_permission_columns[];
extern const size_t topic_permission_column_count;

/* Append a row for each, by user. */
void list_users(struct broker *b, const struct selection *s, struct rows *r);
void list_permissions(struct broker *b, struct vhost *v, const struct selection *s, struct rows *r);
void list_topic_permissions(struct broker *b, struct vhost *v, const struct selection *s,
                            struct rows *r);

#endif
