/* siblings.c - see siblings.h for the contract. */
#include "cli/siblings.h"

#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/str.h"

#define LOOK_EVERY (100 * HR_MS)

void hr_siblings_add(struct hr_siblings *siblings, const char *text, size_t listener)
{
    struct hr_str rest = hr_str_of(text), label;
    if (siblings->n == HR_SIBLINGS_MAX || !hr_str_next(&rest, '=', &label))
        return;
    hr_str_copy(siblings->items[siblings->n].label, HR_LABEL_SIZE, label);
    siblings->items[siblings->n++].listener = listener;
}

static bool is_there(struct hr_layer *layer, const char *label)
{
    struct hr_member member;
    for (uint32_t slot = 0; hr_layer_member(layer, slot, &member); slot++)
        if (member.role == HR_ROLE_SERVER && member.is_live && (member.flags & HR_MEMBER_READY) &&
            strcmp(member.label, label) == 0)
            return true;
    return false;
}

static void look(struct hr_siblings *siblings, uint32_t i)
{
    const char *label = siblings->items[i].label;
    bool is_adopted = !is_there(siblings->layer, label);
    if (is_adopted == siblings->items[i].is_adopted)
        return;
    siblings->items[i].is_adopted = is_adopted;
    hr_server_adopt(siblings->server, siblings->items[i].listener, is_adopted);
    hr_log(HR_EV_DEBUG, "server=%s text=\"%s\"", label,
           is_adopted ? "its sockets are accepted on here" : "accepts on its own sockets");
}

static void on_timer(struct hr_timer *timer)
{
    struct hr_siblings *siblings = hr_container_of(timer, struct hr_siblings, timer);
    for (uint32_t i = 0; i < siblings->n; i++)
        look(siblings, i);
    hr_loop_start_timer(siblings->loop, timer, LOOK_EVERY, on_timer);
}

void hr_siblings_watch(struct hr_siblings *siblings, struct hr_loop *loop, struct hr_layer *layer,
                       struct hr_server *server)
{
    siblings->loop = loop;
    siblings->layer = layer;
    siblings->server = server;
    if (siblings->n > 0)
        hr_loop_start_timer(loop, &siblings->timer, LOOK_EVERY, on_timer);
}

void hr_siblings_unwatch(struct hr_siblings *siblings)
{
    hr_loop_stop_timer(siblings->loop, &siblings->timer);
}
