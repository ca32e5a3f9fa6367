#ifndef BROKER_SESSION_LIST_CONNECTIONS_H
#define BROKER_SESSION_LIST_CONNECTIONS_H

/*
 * Listings of what belongs to workers: connections, their channels, and consumers. The columns read
 * a connection on its worker's thread; see survey.h for how they come to be called there.
 */

#include "broker/session/survey.h"

extern const struct column connection_columns[];
extern const size_t connection_column_count;
extern const struct column channel_columns[];
extern const size_t channel_column_count;
extern const struct column consumer_columns[];
extern const size_t consumer_column_count;

survey_visit visit_connections;
survey_visit visit_channels;
survey_visit visit_consumers;

#endif
