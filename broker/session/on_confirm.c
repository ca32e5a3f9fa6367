/* Class confirm. */

#include "broker/session/arguments.h"
#include "broker/session/channel.h"

bool
on_confirm_select(struct channel *ch, const struct amqp_confirm_select *m,
                  struct amqp_exception *ex)
{
    if (ch->mode == CHANNEL_TX)
        return amqp_raise(ex, AMQP_PRECONDITION_FAILED, "cannot switch from tx to confirm mode");
    ch->mode = CHANNEL_CONFIRM;
    channel_reply_empty(ch, m->nowait, 0, AMQP_ID_confirm_select_ok);
    return true;
}
