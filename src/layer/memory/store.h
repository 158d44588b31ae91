/* store.h - what stands behind `memory:`: one layer's state, on the heap.
 *
 *   store --- channel 0 "reply", 1, 2, ...   each a queue of blocks, a policy, counters
 *         --- slot 0, 1, ... ---- member      a handle: inbox, connections, groups, leases
 *         --- cell 0, 1, ... ---- block       the leased ones: what tickets and leases name
 *         --- record 0 .. 63
 *
 * A message is one *block* from draft to end. It is referenced by whoever has
 * it (a queue or a holder) and, besides, by the member that has lent it to its
 * program; moving it changes lists, never bytes.
 *
 * A store begins with the first handle that creates it and ends with its last.
 *
 * Threads: sends may come from any thread, so each call takes the store's
 *          lock (memory.c); every function below runs under it.
 * Time:    read once per call, in memory.c, and passed down.
 */
#ifndef HR_LAYER_MEMORY_STORE_H
#define HR_LAYER_MEMORY_STORE_H

#include <pthread.h>

#include "base/list.h"
#include "base/table.h"
#include "layer/layer_impl.h"
#include "layer/members.h"
#include "layer/memory/queue.h"
#include "layer/policy.h"

enum {
    HR_MEM_MAX_RECORDS = 64,
    HR_MEM_CONTROL_SHARE = 20,      /* one in 20 bytes of memory is kept for control messages */
    HR_MEM_INBOX_CONTROL_SHARE = 8, /* and one in 8 places of an inbox: DESIGN 2 */
};

struct hr_mem_store;
struct hr_mem_member;

struct hr_mem_channel {
    uint32_t index;
    struct hr_mem_queue queue;
    struct hr_policy policy;
    hr_time paused_at;  /* 0: it is not */
    uint32_t n_letters; /* numbers given to dead letters */
    uint64_t n_sent, n_received, n_full;
    uint64_t n_dropped[HR_N_REASONS];
    struct hr_str name; /* points into text */
    char text[HR_NAME_MAX + 1];
};

/* One message. Fields from `channel` on are what its sender gave. */
struct hr_mem_block {
    struct hr_list node; /* in a queue, or in its holder's `held` */
    struct hr_mem_store *store;
    uint32_t refs;
    uint32_t cell;                /* its cell's number + 1; 0: not leased */
    uint32_t n_taken;             /* times it was delivered: tells a late ack from a good one */
    struct hr_mem_member *holder; /* NULL while queued */
    enum hr_delivery_kind kind;
    enum hr_reason reason;
    hr_time sent_at, taken_at;
    hr_time due;        /* deliver not before */
    hr_time expires_at; /* HR_NEVER */
    hr_time lease_end;  /* while held; HR_NEVER */

    struct hr_mem_channel *counted; /* whose queue it is in or was taken from */

    struct hr_mem_channel *channel; /* NULL: sent to an address */
    struct hr_addr to;
    struct hr_addr reply;
    struct hr_str group; /* points behind the message */
    uint32_t seq, attempts;
    struct hr_mem_channel *failed_in; /* dead letters: where they come from, and ... */
    uint32_t letter;                  /* ... their number; else NULL and 0 */
    size_t len;                       /* bytes of the message */
    size_t cap;                       /* bytes of data[], which is what memory is charged with */
    uint8_t data[];
};

/* What a ticket or a lease points to; the generation tells when it has ended. */
struct hr_mem_cell {
    struct hr_mem_block *block; /* NULL while free */
    uint32_t gen;
    uint32_t next_free;
};

/* A connection number of a member. Number 0 is the control address: open
 * from the start, of generation 0, in no group. */
struct hr_mem_conn {
    uint32_t gen;
    uint32_t next_free;
    bool is_open;
    bool is_full;
};

/* A handle. */
struct hr_mem_member {
    struct hr_layer base;
    struct hr_mem_store *store;
    struct hr_list node;      /* in store->all */
    struct hr_mem_slot *slot; /* NULL: an observer */

    struct hr_mem_queue inbox;
    uint32_t max_inbox;
    struct hr_list held;       /* blocks this member must acknowledge */
    struct hr_mem_block *lent; /* of the last receive */
    struct hr_mem_conn *conns; /* n_conns of at most max_conns, grown by need */
    uint32_t n_conns, max_conns, free_conn;
    struct hr_members groups;

    struct hr_listen {
        char text[HR_NAME_MAX + 1];
        struct hr_str pattern; /* points into text of the same row */
    } listens[HR_LAYER_MAX_LISTENS];
    uint32_t n_listens;
    struct hr_mem_channel **channels; /* those that match, room for all there can be */
    uint32_t n_channels;
    uint32_t next_source; /* where the next receive begins: 0 the inbox, i channels[i - 1] */

    int fd;                          /* eventfd, rung at most once per sleep */
    enum hr_receive_from asleep_for; /* 0 while awake */
    bool is_rung;
};

/* A place for a member; what outlives it. */
struct hr_mem_slot {
    enum hr_role role;
    uint32_t number, gen;
    struct hr_mem_member *member; /* NULL when nobody lives here */
    pid_t pid;
    uint32_t flags;
    hr_time since;
    char label[HR_LABEL_MAX + 1];
    uint64_t *counters; /* owned; from the first member on */
};

struct hr_mem_record {
    char key[HR_RECORD_KEY_MAX + 1]; /* empty: free */
    uint8_t data[HR_RECORD_MAX];
    size_t len;
};

struct hr_mem_store {
    struct hr_list node; /* in store.c's list of all stores */
    pthread_mutex_t lock;
    struct hr_list all; /* every handle, observers too */
    char *name;
    uint64_t id;
    struct hr_geometry geometry;
    hr_time created_at;
    hr_time (*clock)(void *arg); /* tests; NULL: hr_time_now() */
    void *clock_arg;

    uint64_t max_bytes, bytes;        /* of blocks */
    struct hr_mem_channel **channels; /* by number, geometry.n_channels of room */
    uint32_t n_channels;
    struct hr_table by_name;
    struct hr_members plain; /* group members that are channels, by channel number */
    struct hr_channel_policy policies[HR_POLICY_MAX_ROWS];
    size_t n_policies;

    struct hr_mem_slot *slots;
    uint32_t n_slots;
    struct hr_mem_cell *cells;
    uint32_t n_cells, free_cell; /* number + 1; 0: none */
    hr_time next_lease_end;      /* no lease ends before; HR_NEVER */

    struct hr_mem_record *records[HR_MEM_MAX_RECORDS];
    uint64_t records_version;
};

/* ---- store.c: the store, its channels, slots and records */

/* Finds or makes the store `name` and gives a reference, held by membership in
 * `all`: the store goes when hr_mem_store_leave() takes the last handle out. */
HR_MUST_CHECK int hr_mem_store_join(struct hr_str name, const struct hr_layer_options *options,
                                    struct hr_mem_member *member);
void hr_mem_store_leave(struct hr_mem_member *member);

struct hr_mem_channel *hr_mem_channel_find(const struct hr_mem_store *store, struct hr_str name);
/* Finds or registers. Returns 0 or HR_LAYER_FULL. */
HR_MUST_CHECK int hr_mem_channel_get(struct hr_mem_store *store, struct hr_str name,
                                     struct hr_mem_channel **out);
/* The channel under which inbox messages are counted. */
static inline struct hr_mem_channel *hr_mem_inbox_channel(const struct hr_mem_store *store)
{
    return store->channels[0];
}
HR_MUST_CHECK int hr_mem_set_policies(struct hr_mem_store *store,
                                      const struct hr_channel_policy *rows, size_t n_rows);
void hr_mem_flush(struct hr_mem_store *store, struct hr_mem_channel *channel);
void hr_mem_channel_stats(const struct hr_mem_store *store, const struct hr_mem_channel *channel,
                          hr_time now, struct hr_channel_stats *out);

/* Ends a pause too: wakes who listens. */
void hr_mem_pause(struct hr_mem_store *store, struct hr_mem_channel *channel, bool is_paused,
                  hr_time now);

/* ---- record.c: the board */
HR_MUST_CHECK int hr_mem_record_put(struct hr_mem_store *store, struct hr_str key, const void *data,
                                    size_t len);
void hr_mem_record_remove(struct hr_mem_store *store, struct hr_str key);
bool hr_mem_record_next(const struct hr_mem_store *store, uint32_t *cursor, struct hr_record *out);

/* ---- member.c: slots, connections, what a handle listens to, its bell */
HR_MUST_CHECK int hr_mem_member_init(struct hr_mem_member *member,
                                     const struct hr_layer_options *options, hr_time now);
/* Gives back what it held and counts what it had not read. */
void hr_mem_member_fini(struct hr_mem_member *member, hr_time now);

/* The connection an address names, or NULL when it is nobody's any more. */
struct hr_mem_conn *hr_mem_conn_find(const struct hr_mem_store *store, const struct hr_addr *addr);
/* Whose address it is; only for one that hr_mem_conn_find() has found. */
struct hr_mem_member *hr_mem_conn_owner(const struct hr_mem_store *store,
                                        const struct hr_addr *addr);
HR_MUST_CHECK int hr_mem_conn_open(struct hr_mem_member *member, struct hr_addr *out);
void hr_mem_conn_renew(struct hr_mem_member *member, struct hr_addr *addr);
void hr_mem_conn_close(struct hr_mem_member *member, const struct hr_addr *addr);

HR_MUST_CHECK int hr_mem_listen(struct hr_mem_member *member, struct hr_str pattern);
void hr_mem_unlisten(struct hr_mem_member *member, struct hr_str pattern);
bool hr_mem_is_listening(const struct hr_mem_member *member, const struct hr_mem_channel *channel);
/* A channel was registered: adds it where a glob matches. */
void hr_mem_listen_new(struct hr_mem_store *store, struct hr_mem_channel *channel);

/* Wakes `member` if it sleeps for one of `from`. */
void hr_mem_ring(struct hr_mem_member *member, enum hr_receive_from from);
/* Wakes everybody who sleeps for the channel: one of them may be content with
 * another message when it wakes, and nobody would tell the next. */
void hr_mem_ring_listeners(const struct hr_mem_store *store, const struct hr_mem_channel *channel);
/* Awake: silences the fd. */
void hr_mem_silence(struct hr_mem_member *member);
/* After a fork: a bell that the parent does not hear, under the same number. */
void hr_mem_renew_bell(struct hr_mem_member *member);

/* ---- block.c: blocks, and the cells of leased ones */

/* Gives a block with room for `cap` bytes and one reference. 0 or FULL. */
HR_MUST_CHECK int hr_mem_block_new(struct hr_mem_store *store, size_t cap, bool is_control,
                                   bool is_leased, struct hr_mem_block **out);
/* Gives back room that was not needed; the block may move. */
struct hr_mem_block *hr_mem_block_trim(struct hr_mem_block *block);
void hr_mem_block_ref(struct hr_mem_block *block);
void hr_mem_block_unref(struct hr_mem_block *block);
/* Its lease is over for good: tickets and leases that name it end. */
void hr_mem_block_end_lease(struct hr_mem_block *block);
/* Makes it one that has a lease, if it is none; false when out of memory. */
bool hr_mem_block_lease(struct hr_mem_block *block);
/* The block a ticket or lease names, or NULL. */
struct hr_mem_block *hr_mem_block_of(const struct hr_mem_store *store, uint64_t word);
uint64_t hr_mem_block_word(const struct hr_mem_block *block);

/* ---- transfer.c: how blocks come, go and come back */

/* May a message of `len` bytes enter? 0 or FULL, counted. */
HR_MUST_CHECK int hr_mem_channel_admit(struct hr_mem_channel *channel, size_t len, hr_time now);
HR_MUST_CHECK int hr_mem_inbox_admit(struct hr_mem_member *member, bool is_control);
/* Put an admitted block there, with its reference, and wake who sleeps for it. */
void hr_mem_put_channel(struct hr_mem_channel *channel, struct hr_mem_block *block, hr_time now);
void hr_mem_put_inbox(struct hr_mem_member *member, struct hr_mem_block *block, hr_time now);
/* Ends a block that has left its queue undelivered. */
void hr_mem_drop(struct hr_mem_block *block, enum hr_reason reason);
/* Takes the next block of a queue that may still be delivered, dropping what
 * may not, or NULL. The caller has the queue's reference. */
struct hr_mem_block *hr_mem_take(struct hr_mem_queue *queue, hr_time now);
/* Makes `member` the holder of a leased block, with the reference. */
void hr_mem_hold(struct hr_mem_member *member, struct hr_mem_block *block, hr_time now);
/* The holder is done with it; the caller has its reference. */
void hr_mem_unhold(struct hr_mem_block *block);
/* A held block comes back: to its reply address, to its channel (not before `due`) or to the dead
 * letters. */
void hr_mem_give_back(struct hr_mem_block *block, enum hr_reason reason, hr_time now, hr_time due);
/* Gives back every lease whose time is over. */
void hr_mem_end_leases(struct hr_mem_store *store, hr_time now);

/* ---- letter.c: what waits, one by one */
bool hr_mem_letter_next(const struct hr_mem_channel *channel, uint64_t *cursor,
                        struct hr_letter *letter);
void hr_mem_letters_decide(struct hr_mem_channel *channel, hr_letter_fn decide, void *arg,
                           hr_time now, struct hr_letter_fates *out);

/* ---- send.c */
/* HR_LAYER_UNKNOWN when there is no such channel. */
HR_MUST_CHECK int hr_mem_draft(struct hr_mem_store *store, struct hr_str channel, size_t size,
                               struct hr_draft *draft);
HR_MUST_CHECK int hr_mem_draft_to(struct hr_mem_store *store, const struct hr_addr *to, size_t size,
                                  struct hr_draft *draft);
HR_MUST_CHECK int hr_mem_draft_send(struct hr_draft *draft, hr_time now);
void hr_mem_draft_cancel(struct hr_draft *draft);

/* ---- receive.c */
HR_MUST_CHECK int hr_mem_receive(struct hr_mem_member *member, enum hr_receive_from from,
                                 hr_time now, struct hr_delivery *out);
/* Would a receive find something? */
bool hr_mem_has_any(struct hr_mem_member *member, enum hr_receive_from from, hr_time now);
/* When something comes of itself: a delayed message, the end of a lease. */
hr_time hr_mem_next_due(const struct hr_mem_member *member);

/* ---- group.c */
HR_MUST_CHECK int hr_mem_group_add(struct hr_mem_store *store, struct hr_str group,
                                   const struct hr_addr *addr, struct hr_str name);
void hr_mem_group_discard(struct hr_mem_store *store, struct hr_str group,
                          const struct hr_addr *addr, struct hr_str name);
/* Gives how many queues refused their copy. */
uint32_t hr_mem_group_send(struct hr_mem_store *store, struct hr_str group, struct hr_str message,
                           hr_time now);
size_t hr_mem_group_count(const struct hr_mem_store *store, struct hr_str group);

/* The time of this call. */
hr_time hr_mem_now(const struct hr_mem_store *store);

#endif /* HR_LAYER_MEMORY_STORE_H */
