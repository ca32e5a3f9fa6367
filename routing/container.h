#ifndef ROUTING_CONTAINER_H
#define ROUTING_CONTAINER_H

/* LIST_CONTAINER for links that may only be read: the element may only be read, too. */

#include <stddef.h>

#define CONST_CONTAINER(link, type, member)                                                        \
    ((const type *)(const void *)((const char *)(link)-offsetof(type, member)))

#endif
