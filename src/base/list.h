/* list.h - intrusive doubly linked lists: a head is a node that points to itself. */
#ifndef HR_BASE_LIST_H
#define HR_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct hr_list {
    struct hr_list *next, *prev;
};

static inline void hr_list_init(struct hr_list *head)
{
    head->next = head->prev = head;
}
static inline bool hr_list_is_empty(const struct hr_list *head)
{
    return head->next == head;
}
static inline bool hr_list_is_linked(const struct hr_list *node)
{
    return node->next != NULL && node->next != node;
}
static inline void hr_list_push_back(struct hr_list *head, struct hr_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
/* Safe on zeroed and unlinked nodes. */
static inline void hr_list_remove(struct hr_list *node)
{
    if (!node->next)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = node;
}
#define hr_list_first(head, type, member) hr_container_of((head)->next, type, member)
/* The body may remove `node` itself, nothing else. */
#define hr_list_foreach(node, head)                                                                \
    for (struct hr_list *node = (head)->next, *node##_next = node->next; node != (head);           \
         node = node##_next, node##_next = node->next)

#endif /* HR_BASE_LIST_H */
