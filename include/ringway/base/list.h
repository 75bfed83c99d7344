/* Doubly linked list whose links live in the members. The head is a link too, so
 * that a member leaves its list without knowing which one it is in.
 */
#ifndef RINGWAY_BASE_LIST_H
#define RINGWAY_BASE_LIST_H

#include <ringway/base/base.h>

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

/* A member that is in no list. */
static inline bool list_is_alone(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert_after(struct list *at, struct list *member)
{
	member->prev = at;
	member->next = at->next;
	at->next->prev = member;
	at->next = member;
}

static inline void list_push_front(struct list *head, struct list *member)
{
	list_insert_after(head, member);
}

static inline void list_push_back(struct list *head, struct list *member)
{
	list_insert_after(head->prev, member);
}

/* Leaves the member alone, so that removing it again does nothing. */
static inline void list_remove(struct list *member)
{
	member->prev->next = member->next;
	member->next->prev = member->prev;
	list_init(member);
}

/* NULL when empty. */
static inline struct list *list_pop_front(struct list *head)
{
	struct list *first = head->next;

	if (first == head)
		return NULL;
	list_remove(first);
	return first;
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
#define list_for_each_safe(it, head)                                                               \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                  \
	     it = it##_next, it##_next = it->next)

#endif
