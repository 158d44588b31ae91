/* layer.h - the channel layer: named queues, reply addresses and groups.
 *
 * One contract with several implementations behind it, chosen by URL:
 * `memory:` (this process, one thread) and `ipc:` (this host, shared memory,
 * no broker). Programs hold one handle each, a *member* of the layer, which
 * has an inbox, may listen to channels and may own addresses and group
 * memberships.
 *
 * Promises: first in, first out per channel. A message is delivered to one
 * receiver at most once, unless its channel is at-least-once. A queue that is
 * full refuses, it never evicts: the sender is told. Whatever else is dropped
 * is counted under its channel with a reason. The death of any process, at
 * any instruction, neither wedges nor corrupts the layer.
 *
 * Leases. A message that carries a reply address, and every message of an
 * at-least-once channel, is *leased* to its receiver, which acknowledges it
 * with hr_layer_ack(). When the holder dies first, the message returns to its
 * reply address as a HR_DELIVERY_LEASE_LOST, whole, and that address's owner
 * decides; without a reply address an at-least-once channel delivers it
 * again, up to `attempts`, and then sends it to the dead letters.
 *
 * Threads: sending (hr_layer_send*, drafts, hr_layer_group_send) may be done
 *          from any thread. All else belongs to the thread that opened the
 *          handle. After fork() the child's handle re-attaches as a member of
 *          its own on first use; it inherits no address and no membership.
 * Memory:  a handle is freed by hr_layer_close(). What hr_layer_receive()
 *          lends lives until the next receive on that handle.
 * Time:    hr_time, nanoseconds. The layer reads CLOCK_MONOTONIC itself.
 */
#ifndef HEADRACE_LAYER_H
#define HEADRACE_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <headrace/error.h>
#include <headrace/message.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HR_NAME_MAX = 99, /* bytes in a channel or group name, without NUL */
    /* 16 MiB, and 64 KiB for what goes along: path, headers, state. At most an eighth of the arena.
     */
    HR_LAYER_MAX_MESSAGE = (16 << 20) + (64 << 10),
    HR_LAYER_MAX_LISTENS = 64, /* names and globs one member listens to */
    HR_RECORD_KEY_MAX = 63,    /* bytes in a record's key */
    HR_RECORD_MAX = 1976,      /* bytes in a record */
};

struct hr_layer;

/* Why something was refused or dropped: the words of logs, metrics and headers. */
enum hr_reason {
#define HR_REASON(name, text, meaning) HR_REASON_##name,
#include <headrace/reasons.def>
#undef HR_REASON
    HR_N_REASONS
};
HR_API const char *hr_reason_name(enum hr_reason reason); /* "queue_full" */

/* ---- addresses ------------------------------------------------------------------------------ */

/* Where a reply goes: one connection of one member. As text
 * `reply.<layer>.<slot>g<gen>!<conn>g<gen>`. Connection 0 of generation 0 is
 * the member's control address. A zeroed address is no address. */
struct hr_addr {
    uint64_t layer; /* random id of the layer */
    uint32_t slot;
    uint32_t slot_gen; /* never 0 in an address that is one */
    uint32_t conn;
    uint32_t conn_gen;
};

enum { HR_ADDR_TEXT_MAX = 80 }; /* bytes hr_addr_format() needs, NUL included */

static inline bool hr_addr_is_set(const struct hr_addr *addr)
{
    return addr->slot_gen != 0;
}

/* Writes the address as text with a NUL; returns its length without. */
HR_API size_t hr_addr_format(const struct hr_addr *addr, char out[HR_ADDR_TEXT_MAX]);

/* Reads an address; false when `text` is none. */
HR_API bool hr_addr_parse(struct hr_str text, struct hr_addr *out);

/* A channel name: 1 to HR_NAME_MAX of A-Z a-z 0-9 . _ - with at most one '!', which is neither
 * first nor last. */
HR_API bool hr_channel_name_ok(struct hr_str name);
/* The same without '!'. */
HR_API bool hr_group_name_ok(struct hr_str name);

/* ---- opening -------------------------------------------------------------------------------- */

enum hr_role {
    HR_ROLE_SERVER,   /* an interface server: large inbox, many connections */
    HR_ROLE_WORKER,   /* a worker */
    HR_ROLE_CLIENT,   /* anyone else: a supervisor, a shell, cron, a web process */
    HR_ROLE_OBSERVER, /* only reads, takes no slot, disturbs nobody; all else is HR_ERR_STATE */
};

/* How many members of a role there may be and how large each one's tables are. */
struct hr_geometry_row {
    uint32_t n_slots;
    uint32_t inbox;       /* messages, a power of two, at least 64 */
    uint32_t connections; /* addresses, the control address included; at least 2 */
    uint32_t interests;   /* groups told apart, a power of two */
};

/* The sizes of an arena; decided by its creator, read by everyone else from the arena. */
struct hr_geometry {
    uint64_t bytes;     /* of the whole arena when it is made */
    uint64_t max_bytes; /* to which it may grow when its blocks are used up; 0: it does not grow */
    uint32_t n_channels;
    struct hr_geometry_row role[3]; /* by enum hr_role */
};
HR_API extern const struct hr_geometry hr_geometry_default; /* DESIGN 3.1: 32 MiB */

struct hr_layer_options {
    enum hr_role role;
    bool create;                        /* make the layer if it is not there; else UNAVAILABLE */
    const struct hr_geometry *geometry; /* of a layer that is made; NULL: the default */
    const char *label; /* shown by status: "server.1", "web.3", "send"; at most 31 bytes */
};

/* Opens `url`: "memory:" or "memory:NAME" (one layer per name in this
 * process), "ipc:DIRECTORY". Gives *out.
 * Errors: HR_ERR_UNAVAILABLE (not there), HR_ERR_PERMISSION, HR_ERR_VERSION,
 * HR_ERR_CORRUPT, HR_ERR_NO_SLOT, HR_ERR_NOMEM, HR_ERR_SYS, HR_ERR_INVALID
 * (no such URL). hr_layer_open_error() then says it in words. */
HR_API HR_MUST_CHECK int hr_layer_open(const char *url, const struct hr_layer_options *options,
                                       struct hr_layer **out);

/* What the last failed hr_layer_open() of this thread tried, why it failed
 * and what to do; several lines perhaps. Lent until the next open. */
HR_API const char *hr_layer_open_error(void);

/* Detaches: owned addresses and memberships end, unread inbox messages are
 * counted as dropped, held leases are given back. NULL is allowed. */
HR_API void hr_layer_close(struct hr_layer *layer);

HR_API uint64_t hr_layer_id(const struct hr_layer *layer);
HR_API struct hr_addr
hr_layer_control_address(const struct hr_layer *layer);           /* this member's !0g0 */
HR_API size_t hr_layer_max_message(const struct hr_layer *layer); /* bytes */

/* ---- sending -------------------------------------------------------------------------------- */

enum hr_layer_outcome {
    HR_LAYER_FULL = 1, /* refused; hr_layer_full_reason() tells which limit */
    HR_LAYER_GONE,     /* the address is no longer anybody's */
    HR_LAYER_TOO_BIG,  /* larger than hr_layer_max_message() */
    HR_LAYER_PENDING,  /* under way; `done` will be called, once, from dispatch. Never on memory and
                          ipc */
    HR_LAYER_EMPTY,    /* receive: nothing there */
    HR_LAYER_LOST,     /* ack, nack: the lease was no longer ours */
};

enum hr_full_reason {
    HR_FULL_COUNT = 1,  /* the channel's or inbox's capacity in messages */
    HR_FULL_BYTES,      /* the channel's capacity in bytes */
    HR_FULL_MEMORY,     /* no block in the arena */
    HR_FULL_CHANNELS,   /* no further channel name can be registered */
    HR_FULL_CONNECTION, /* its owner has marked the connection full */
};

/* Looks into a leased message's fate; see hr_layer_ticket(). Private, copyable. */
struct hr_ticket {
    uint64_t word[2];
};

typedef void (*hr_send_done_fn)(void *arg, int outcome_or_error);

/* All optional; a zeroed struct means: no reply address, the channel's own expiry, now. */
struct hr_send_options {
    struct hr_addr reply;     /* makes the message leased */
    uint32_t seq;             /* travels with it, comes back with a lost lease */
    uint32_t attempts;        /* deliveries that were tried before this one */
    hr_time expires_in;       /* 0: the channel's default; HR_NEVER */
    hr_time delay;            /* deliver not before that; its age counts from then */
    bool is_control;          /* may use the reserve of blocks and inbox room */
    struct hr_ticket *ticket; /* receives the ticket of a leased send, may be NULL */
    hr_send_done_fn done;     /* after PENDING only */
    void *arg;
};

/* Sends `len` bytes (one encoded message, borrowed) to a channel name or an
 * address in text form. Returns 0, FULL, GONE, TOO_BIG, PENDING, or
 * HR_ERR_NAME, HR_ERR_UNAVAILABLE, HR_ERR_CORRUPT. `options` may be NULL. */
HR_API HR_MUST_CHECK int hr_layer_send(struct hr_layer *layer, struct hr_str channel,
                                       const void *data, size_t len,
                                       const struct hr_send_options *options);

/* The same to a binary address, without the detour over text. */
HR_API HR_MUST_CHECK int hr_layer_send_to(struct hr_layer *layer, const struct hr_addr *to,
                                          const void *data, size_t len,
                                          const struct hr_send_options *options);

/* Which limit made this thread's last send return FULL. */
HR_API enum hr_full_reason hr_layer_full_reason(void);

/* A message written straight into the memory that carries it:
 *   r = hr_layer_draft_to(layer, &to, size, &options, &draft);
 *   if (r == 0) { hr_pack_map(&draft.pack, 2); ...; r = hr_draft_send(&draft); }
 * `size` is the most that will be written; writing more makes hr_draft_send()
 * return HR_ERR_TOO_BIG. A draft is sent or cancelled, by the thread that
 * made it, before that thread starts another on the same handle.
 * Outcomes of draft and of send as for hr_layer_send(); a draft that was not
 * given needs no cancel. */
struct hr_draft {
    struct hr_pack pack;
    struct hr_layer *layer;
    struct hr_send_options options;
    uint64_t priv[6];
};
HR_API HR_MUST_CHECK int hr_layer_draft(struct hr_layer *layer, struct hr_str channel, size_t size,
                                        const struct hr_send_options *options,
                                        struct hr_draft *out);
HR_API HR_MUST_CHECK int hr_layer_draft_to(struct hr_layer *layer, const struct hr_addr *to,
                                           size_t size, const struct hr_send_options *options,
                                           struct hr_draft *out);
HR_API HR_MUST_CHECK int hr_draft_send(struct hr_draft *draft);
HR_API void hr_draft_cancel(struct hr_draft *draft);

enum hr_ticket_state {
    HR_TICKET_QUEUED, /* nobody has taken it */
    HR_TICKET_HELD,   /* taken, not yet acknowledged */
    HR_TICKET_GONE,   /* acknowledged, dropped, or back as a lost lease */
};
struct hr_ticket_info {
    enum hr_ticket_state state;
    uint32_t slot, slot_gen; /* HELD: the holder */
    hr_time since;           /* HELD: when it was taken, CLOCK_MONOTONIC */
};
HR_API struct hr_ticket_info hr_layer_ticket(struct hr_layer *layer,
                                             const struct hr_ticket *ticket);

/* ---- receiving ------------------------------------------------------------------------------ */

/* Adds a channel name or a glob (`*` any run, `?` one character, over
 * registered names) to what this member receives. HR_ERR_NAME; FULL when
 * HR_LAYER_MAX_LISTENS are there or no channel can be registered. */
HR_API HR_MUST_CHECK int hr_layer_listen(struct hr_layer *layer, struct hr_str pattern);
HR_API void hr_layer_unlisten(struct hr_layer *layer, struct hr_str pattern);

enum hr_delivery_kind {
    HR_DELIVERY_MESSAGE,
    HR_DELIVERY_GROUP, /* `group` is set; the receiver expands it over hr_layer_member_next() */
    HR_DELIVERY_LEASE_LOST, /* our own message came back: its holder died; `reason` is set */
};

/* A lease to acknowledge. Private, copyable; zeroed is no lease. */
struct hr_lease {
    uint64_t word[2];
};
static inline bool hr_lease_is_set(const struct hr_lease *lease)
{
    return lease->word[1] != 0;
}

struct hr_delivery {
    enum hr_delivery_kind kind;
    struct hr_str channel; /* a channel's name; for LEASE_LOST the one it had been sent to; empty
                              for an inbox message */
    struct hr_addr
        to; /* inbox messages: our address, its generation checked against what is open */
    struct hr_addr reply; /* where the answer goes, or not set */
    struct hr_str group;
    const uint8_t *data; /* the message; not validated */
    size_t len;
    struct hr_lease lease;
    uint32_t seq;
    uint32_t attempts; /* deliveries before this one */
    enum hr_reason reason;
    hr_time sent_at, taken_at; /* CLOCK_MONOTONIC */
};

enum hr_receive_from {
    HR_RECEIVE_INBOX = 1,
    HR_RECEIVE_CHANNELS = 2,
    HR_RECEIVE_ALL = 3,
};

/* Takes one message without waiting: fairly over the inbox and every channel
 * listened to, so that a busy one starves no other. What has expired or whose
 * reply address is gone is dropped and counted here. Everything in *out is
 * lent until the next receive. Returns 0 or EMPTY, or HR_ERR_UNAVAILABLE,
 * HR_ERR_CORRUPT, HR_ERR_NOMEM. */
HR_API HR_MUST_CHECK int hr_layer_receive(struct hr_layer *layer, enum hr_receive_from from,
                                          struct hr_delivery *out);

/* Waits up to `timeout` (HR_NEVER: for ever) until a receive may find
 * something. Returns 0 or EMPTY; HR_ERR_SYS with EINTR when a signal came. */
HR_API HR_MUST_CHECK int hr_layer_wait(struct hr_layer *layer, enum hr_receive_from from,
                                       hr_time timeout);

/* For event loops. Poll `fd` for reading. Before sleeping call prepare(): it
 * returns 1 when a receive would find something at once (do not sleep), else
 * 0, and from then on a sender will make fd readable. After waking, whatever
 * woke the loop, call dispatch(): it silences the fd, notices deaths of
 * members, runs `done` callbacks and the 50 ms housekeeping. Then receive
 * until EMPTY or until no more can be taken on. The loop's sleep must not
 * exceed hr_layer_poll_timeout() from prepare(). */
HR_API int hr_layer_fd(struct hr_layer *layer);
HR_API HR_MUST_CHECK int hr_layer_prepare(struct hr_layer *layer, enum hr_receive_from from);
HR_API void hr_layer_dispatch(struct hr_layer *layer);
HR_API hr_time hr_layer_poll_timeout(const struct hr_layer *layer);

/* Ends a lease. ack: done with it. nack: hand it back as if its holder had
 * died, for `reason`. What its channel delivers again then waits for `delay`;
 * with nack() as long as the channel's back-off says when the reason is
 * HR_REASON_APP, else not at all. Returns 0 or HR_LAYER_LOST. */
HR_API HR_MUST_CHECK int hr_layer_ack(struct hr_layer *layer, const struct hr_lease *lease);
HR_API HR_MUST_CHECK int hr_layer_nack(struct hr_layer *layer, const struct hr_lease *lease,
                                       enum hr_reason reason);
HR_API HR_MUST_CHECK int hr_layer_nack_after(struct hr_layer *layer, const struct hr_lease *lease,
                                             enum hr_reason reason, hr_time delay);

/* ---- addresses of this member ---------------------------------------------------------------- */

/* Takes a connection number. Returns 0, or FULL when all are in use. */
HR_API HR_MUST_CHECK int hr_layer_address_open(struct hr_layer *layer, struct hr_addr *out);
/* A new generation of the same connection: whatever was sent or will be sent
 * to the old one is GONE, whatever still waits in a queue with the old one as
 * its reply address is dropped there. Group memberships stay. */
HR_API void hr_layer_address_renew(struct hr_layer *layer, struct hr_addr *addr);
/* Gives the number back and leaves its groups; *addr is zeroed. */
HR_API void hr_layer_address_close(struct hr_layer *layer, struct hr_addr *addr);
/* While full, sends to it return FULL with HR_FULL_CONNECTION (control excepted). */
HR_API void hr_layer_address_set_full(struct hr_layer *layer, const struct hr_addr *addr,
                                      bool is_full);

/* Does this address, of any member, still stand? */
HR_API bool hr_layer_address_alive(struct hr_layer *layer, const struct hr_addr *addr);

/* ---- groups -----------------------------------------------------------------------------------
 */

/* Adds an address (of any member) or a plain channel name to a group.
 * Idempotent. A group_send that happens after this returned reaches it.
 * Returns 0, FULL, GONE or HR_ERR_NAME. */
HR_API HR_MUST_CHECK int hr_layer_group_add(struct hr_layer *layer, struct hr_str group,
                                            struct hr_str channel);
HR_API HR_MUST_CHECK int hr_layer_group_discard(struct hr_layer *layer, struct hr_str group,
                                                struct hr_str channel);
HR_API HR_MUST_CHECK int hr_layer_group_add_addr(struct hr_layer *layer, struct hr_str group,
                                                 const struct hr_addr *addr);
HR_API HR_MUST_CHECK int hr_layer_group_discard_addr(struct hr_layer *layer, struct hr_str group,
                                                     const struct hr_addr *addr);

/* One message to every member of the group: one copy per process that has
 * members, and one per plain channel. Never FULL: what a full queue refuses
 * is counted there, and *n_skipped (may be NULL) says how many refused.
 * Returns 0, TOO_BIG or HR_ERR_NAME. */
HR_API HR_MUST_CHECK int hr_layer_group_send(struct hr_layer *layer, struct hr_str group,
                                             const void *data, size_t len, uint32_t *n_skipped);

/* Members on this layer. *is_partial (may be NULL): some process tracks more
 * groups than it can tell apart. */
HR_API size_t hr_layer_group_count(struct hr_layer *layer, struct hr_str group, bool *is_partial);

/* Calls `fn` with each member known: this member's own addresses and the
 * plain channels; other processes' addresses only where the layer can list
 * them (then *is_partial is false). */
typedef void (*hr_name_fn)(void *arg, struct hr_str name);
HR_API void hr_layer_group_channels(struct hr_layer *layer, struct hr_str group, hr_name_fn fn,
                                    void *arg, bool *is_partial);

/* This member's own addresses in `group`, for expanding HR_DELIVERY_GROUP.
 * Start with a zeroed cursor; false at the end. Joins, leaves and closes are
 * allowed between calls: nobody is visited twice, who leaves before being
 * reached is not visited. */
struct hr_member_cursor {
    uint64_t word[4];
};
HR_API bool hr_layer_member_next(struct hr_layer *layer, struct hr_str group,
                                 struct hr_member_cursor *cursor, struct hr_addr *out);

/* ---- policy, housekeeping, statistics ----------------------------------------------------------
 */

enum hr_delivery_mode {
    HR_AT_MOST_ONCE,
    HR_AT_LEAST_ONCE,
};

/* What holds for channels whose name matches `pattern`; the first row that
 * matches decides. Zeroed fields take the defaults of DESIGN 3. */
struct hr_channel_policy {
    char pattern[HR_NAME_MAX + 1];
    uint32_t max_messages;
    uint64_t max_bytes;
    hr_time expiry; /* HR_NEVER: none */
    enum hr_delivery_mode delivery;
    hr_time lease;     /* at-least-once: how long a holder may take */
    uint32_t attempts; /* at-least-once: deliveries before the dead letters */
    hr_time backoff; /* at-least-once: a nacked message waits so long, doubled with each attempt */
    char dead_letter[HR_NAME_MAX + 1]; /* empty: "dead.<channel>" */
};
/* Sets the rows for the whole layer, for channels there are and for those to
 * come (a queue that exists keeps its room: capacity is cut to that).
 * Returns 0, TOO_BIG for more rows than a record holds, HR_ERR_INVALID. */
HR_API HR_MUST_CHECK int hr_layer_set_policies(struct hr_layer *layer,
                                               const struct hr_channel_policy *rows, size_t n_rows);

/* Drops every message of `channel` (counted), or of all channels and all
 * groups when it is empty. */
HR_API HR_MUST_CHECK int hr_layer_flush(struct hr_layer *layer, struct hr_str channel);

/* While a channel is paused it takes in what is sent, as far as its capacity
 * goes, and gives nothing out; what is held already is finished. Ages go on.
 * Holds until it is resumed, whoever comes and goes meanwhile. Returns 0,
 * HR_ERR_NOT_FOUND (no such channel) or HR_ERR_NAME. */
HR_API HR_MUST_CHECK int hr_layer_pause(struct hr_layer *layer, struct hr_str channel,
                                        bool is_paused);

/* Counts a loss that happened outside the layer under its channel. */
HR_API void hr_layer_count_drop(struct hr_layer *layer, struct hr_str channel,
                                enum hr_reason reason);

/* At rest n_sent == n_received + depth + what was dropped here: a redelivery
 * counts as sent again. Messages to addresses are counted under "reply". */
struct hr_channel_stats {
    char name[HR_NAME_MAX + 1];
    uint32_t depth, max_messages;
    uint64_t bytes, max_bytes;
    hr_time oldest;      /* age of the message at the head, 0 when empty */
    hr_time expiry;      /* of a message that says nothing else; HR_NEVER: none */
    hr_time paused_at;   /* CLOCK_MONOTONIC; 0: it is not paused */
    bool is_dead_letter; /* its messages are such as failed elsewhere */
    uint32_t n_listeners;
    uint64_t n_sent, n_received, n_full;
    uint64_t n_dropped[HR_N_REASONS];
};
/* Channels by number, 0 first; false past the last. */
HR_API bool hr_layer_channel_stats(struct hr_layer *layer, uint32_t index,
                                   struct hr_channel_stats *out);
HR_API bool hr_layer_channel_find(struct hr_layer *layer, struct hr_str name,
                                  struct hr_channel_stats *out);

struct hr_arena_stats {
    uint64_t bytes_total, bytes_used; /* of block memory */
    uint64_t bytes_limit;             /* to which bytes_total may grow */
    uint32_t n_slots, n_live, n_channels, max_channels;
    uint64_t n_recovered; /* members found dead and cleaned up after */
    hr_time created_at;   /* CLOCK_REALTIME */
};
HR_API void hr_layer_arena_stats(struct hr_layer *layer, struct hr_arena_stats *out);

/* ---- letters -----------------------------------------------------------------------------------
 *
 * The messages that wait in a channel, seen without taking them: for people who
 * look into dead letters and decide what becomes of each. */

struct hr_letter {
    uint32_t number; /* its own for as long as it waits; 0: was sent there, did not fail */
    char from[HR_NAME_MAX + 1]; /* the channel where it failed; empty when number is 0 */
    uint32_t attempts;          /* deliveries that failed */
    enum hr_reason reason;      /* of the last one */
    hr_time sent_at;            /* CLOCK_MONOTONIC */
    uint8_t *data;              /* in the caller's buffer; not validated. NULL: did not fit */
    size_t len;
};

/* Gives the messages of `channel`, oldest first; *cursor starts at 0. `buffer`
 * takes each one's bytes and may be NULL for `size` 0. What comes or goes meanwhile may
 * be missed. Observers may call it. False at the end. */
HR_API bool hr_layer_letter_next(struct hr_layer *layer, struct hr_str channel, uint64_t *cursor,
                                 void *buffer, size_t size, struct hr_letter *out);

enum hr_letter_fate {
    HR_LETTER_KEEP,  /* it stays where it is */
    HR_LETTER_RETRY, /* back into the channel where it failed, its attempts counted anew */
    HR_LETTER_DROP,  /* dropped and counted */
};
/* How many met which fate. */
struct hr_letter_fates {
    uint32_t n_retried, n_dropped;
    uint32_t n_full;     /* to be retried, but their channel has no room: they stay */
    uint32_t n_homeless; /* to be retried, but they did not fail anywhere: they stay */
};
/* Asks `decide` about each letter that waits in `channel` (without its data;
 * it must not call the layer) and does as it says. Our death at any instruction
 * loses none; it may put one back behind the others. Returns 0, HR_ERR_NOT_FOUND or
 * HR_ERR_UNAVAILABLE. */
typedef int (*hr_letter_fn)(void *arg, const struct hr_letter *letter); /* gives a fate */
HR_API HR_MUST_CHECK int hr_layer_letters_decide(struct hr_layer *layer, struct hr_str channel,
                                                 hr_letter_fn decide, void *arg,
                                                 struct hr_letter_fates *out);

/* ---- members -----------------------------------------------------------------------------------
 */

enum hr_member_flag {
    HR_MEMBER_READY = 1,  /* set by itself: takes work */
    HR_MEMBER_RETIRE = 2, /* set by others: finish what you hold, take nothing, exit */
};

struct hr_member {
    uint32_t slot, slot_gen;
    enum hr_role role;
    bool is_live; /* else the slot's last owner, gone */
    pid_t pid;
    bool is_foreign; /* of another pid namespace: here its pid is nobody's, or somebody else's */
    uint32_t flags;
    uint32_t inbox_depth;
    hr_time since; /* CLOCK_MONOTONIC */
    char label[32];
};
/* Slots by number, 0 first; false past the last. is_live false and pid 0: never used. */
HR_API bool hr_layer_member(struct hr_layer *layer, uint32_t slot, struct hr_member *out);
HR_API void hr_layer_set_ready(struct hr_layer *layer, bool is_ready);
/* Asks the member in `slot`, if it still is generation `slot_gen`, to retire. */
HR_API void hr_layer_retire(struct hr_layer *layer, uint32_t slot, uint32_t slot_gen);
HR_API bool hr_layer_is_retiring(const struct hr_layer *layer); /* was this member asked to? */

/* A slot's counters: an array of 64-bit words in the layer itself that only
 * the slot's owner adds to, anyone reads, and that outlives the owner, so
 * that sums over all slots only grow. Their meaning is the users' (metrics).
 * Servers have HR_COUNTERS_SERVER words, workers and clients HR_COUNTERS_OTHER. */
enum { HR_COUNTERS_SERVER = 2048, HR_COUNTERS_OTHER = 64 };
HR_API uint64_t *hr_layer_counters(struct hr_layer *layer, uint32_t slot, uint32_t *n_out);
HR_API uint32_t hr_layer_slot(const struct hr_layer *layer); /* our own */

/* ---- records -----------------------------------------------------------------------------------
 */

/* A small board that every member can read: pools, and whatever else must be
 * known to all. The newest put of a key wins; records outlive their writers.
 * 64 rows; FULL when there is no row left, TOO_BIG above HR_RECORD_MAX. */
HR_API HR_MUST_CHECK int hr_layer_record_put(struct hr_layer *layer, struct hr_str key,
                                             const void *data, size_t len);
HR_API void hr_layer_record_remove(struct hr_layer *layer, struct hr_str key);
struct hr_record {
    char key[HR_RECORD_KEY_MAX + 1];
    uint8_t data[HR_RECORD_MAX];
    size_t len;
};
/* Records by *cursor, which starts at 0; false past the last. A row that is
 * being written is skipped: the version will have changed. */
HR_API bool hr_layer_record_next(struct hr_layer *layer, uint32_t *cursor, struct hr_record *out);
/* Changes with every put and remove. Cheap. */
HR_API uint64_t hr_layer_records_version(const struct hr_layer *layer);

#ifdef __cplusplus
}
#endif

#endif /* HEADRACE_LAYER_H */
