#ifndef BROKER_CONFIG_YAML_WRITE_H
#define BROKER_CONFIG_YAML_WRITE_H

/* Text as YAML that yaml_tree.h reads back as the same text. Pure; any thread. */

#include "broker/base/buf.h"

/* Whether YAML can carry it: it is UTF-8. */
bool yaml_can_write(struct bytes text);

/* Appends a key of a mapping: plain where that is safe, else in double quotes. */
void yaml_write_key(struct buf *out, struct bytes text);

/* Appends a value, which ${...} would be expanded in: $ is doubled. */
void yaml_write_text(struct buf *out, struct bytes text);

#endif
