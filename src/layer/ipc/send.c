/* send.c - drafts and their commit, tickets. See layer.h and words.h.
 *
 * A draft is a block or a chain that names us as its owner while the caller
 * encodes into it. Sending writes the header and puts the head into a queue:
 * one CAS, the commit. Until then a death leaves a block that names the dead,
 * and recovery frees it; after it the message is the queue's.
 *
 * priv[0] queue, priv[1] head block, priv[2] the block being written,
 * priv[3] connection and its generation, priv[4] the inbox owner's generation.
 */
#include <string.h>

#include "layer/ipc/handle.h"

enum { QUEUE, HEAD, AT, CONN, SLOT_GEN };

/* ---- addresses */

bool ipc_addr_stands(const struct ipc_arena *a, const struct hr_addr *addr)
{
    if (addr->layer != a->layer_id || addr->slot >= a->n_slots)
        return false;
    struct ipc_slot *slot = &a->slots[addr->slot];
    /* acquire: pairs with attach's release of state; gen is written before it. */
    if (atomic_load_explicit(&slot->state, memory_order_acquire) != IPC_SLOT_LIVE ||
        atomic_load_explicit(&slot->gen, memory_order_relaxed) != addr->slot_gen)
        return false;
    if (addr->conn == 0)
        return addr->conn_gen == 0;
    struct ipc_slot_tables t = ipc_slot_tables(a, addr->slot);
    if (addr->conn >= a->geometry.role[t.role].connections)
        return false;
    uint64_t w =
        atomic_load_explicit(&a->connections[t.connections + addr->conn], memory_order_acquire);
    return ipc_conn_gen(w) == addr->conn_gen && !(w & IPC_CONN_CLOSED);
}

static bool is_marked_full(const struct ipc_arena *a, const struct hr_addr *addr)
{
    struct ipc_slot_tables t = ipc_slot_tables(a, addr->slot);
    return addr->conn != 0 &&
           atomic_load_explicit(&a->connections[t.connections + addr->conn], memory_order_relaxed) &
               IPC_CONN_FULL;
}

/* ---- drafts */

static int next_segment(struct hr_pack *pack)
{
    struct hr_draft *draft = pack->arg;
    struct ipc_layer *l = ipc_of(draft->layer);
    uint32_t next = ipc_block_next(&l->arena, (uint32_t)draft->priv[AT]);
    if (next == IPC_NO_BLOCK)
        return HR_ERR_TOO_BIG;
    draft->priv[AT] = next;
    pack->cur = ipc_block_data(ipc_block_at(&l->arena, next));
    pack->end = pack->cur + ipc_block_payload(&l->arena, next);
    return 0;
}

/* The queue under which something about `queue` is counted. */
static struct ipc_queue *counter_of(const struct ipc_layer *l, uint32_t queue)
{
    return &l->arena.queues[queue < l->arena.n_slots ? ipc_inbox_counter(&l->arena) : queue];
}

static int count_full(const struct ipc_layer *l, uint32_t queue, enum hr_full_reason reason)
{
    atomic_fetch_add_explicit(&counter_of(l, queue)->n_full, 1, memory_order_relaxed);
    return hr_layer_refuse(reason);
}

/* A block or a chain. Before small messages fill large blocks the arena grows, if it can. */
static uint32_t take_block(struct ipc_layer *l, size_t size, bool is_control)
{
    unsigned how = is_control ? IPC_ALLOC_CONTROL : 0;
    uint32_t head;
    do
        head = ipc_block_alloc(&l->arena, &l->finder, l->layer.slot, size, how);
    while (head == IPC_NO_BLOCK && ipc_grow(l));
    if (head != IPC_NO_BLOCK)
        return head;
    return ipc_block_alloc(&l->arena, &l->finder, l->layer.slot, size, how | IPC_ALLOC_ANY);
}

/* Takes the memory and prepares the writer. `size` counts from the first byte
 * even where a chain's blocks could hold more. */
static int draft_into(struct ipc_layer *l, uint32_t queue, size_t size, struct hr_draft *draft)
{
    uint32_t head = take_block(l, size, draft->options.is_control);
    if (head == IPC_NO_BLOCK)
        return count_full(l, queue, HR_FULL_MEMORY);
    draft->priv[QUEUE] = queue;
    draft->priv[HEAD] = draft->priv[AT] = head;

    size_t room = ipc_block_payload(&l->arena, head);
    uint8_t *data = ipc_block_data(ipc_block_at(&l->arena, head));
    draft->pack =
        (struct hr_pack){.cur = data, .end = data + (size < room ? size : room), .base = data};
    if (size > room) {
        draft->pack.more = next_segment;
        draft->pack.arg = draft;
    }
    return 0;
}

static int check_health(const struct ipc_layer *l)
{
    return ipc_is_poisoned(&l->arena) ? hr_raise(HR_ERR_CORRUPT) : 0;
}

int ipc_draft(struct hr_layer *layer, struct hr_str channel, size_t size, struct hr_draft *draft)
{
    struct ipc_layer *l = ipc_of(layer);
    int r = check_health(l);
    if (r)
        return hr_trace(r);
    uint32_t queue = ipc_channel_find(&l->arena, channel);
    if (queue == IPC_NO_QUEUE)
        return HR_LAYER_UNKNOWN;
    draft->priv[CONN] = draft->priv[SLOT_GEN] = 0;
    return draft_into(l, queue, size, draft);
}

int ipc_add_channel(struct hr_layer *layer, struct hr_str channel)
{
    uint32_t queue;
    return hr_trace(ipc_channel_get(ipc_of(layer), channel, &queue));
}

int ipc_draft_to(struct hr_layer *layer, const struct hr_addr *to, size_t size,
                 struct hr_draft *draft)
{
    struct ipc_layer *l = ipc_of(layer);
    int r = check_health(l);
    if (r)
        return hr_trace(r);
    if (!ipc_addr_stands(&l->arena, to))
        return HR_LAYER_GONE;
    if (!draft->options.is_control && is_marked_full(&l->arena, to))
        return count_full(l, to->slot, HR_FULL_CONNECTION);
    draft->priv[CONN] = (uint64_t)to->conn_gen << 32 | to->conn;
    draft->priv[SLOT_GEN] = to->slot_gen;
    return draft_into(l, to->slot, size, draft);
}

void ipc_draft_cancel(struct hr_draft *draft)
{
    struct ipc_layer *l = ipc_of(draft->layer);
    ipc_block_free(&l->arena, &l->finder, (uint32_t)draft->priv[HEAD]);
}

/* ---- committing */

static uint32_t expiry_ms(const struct ipc_queue *q, hr_time expires_in)
{
    if (expires_in == 0)
        return atomic_load_explicit(&q->expiry_ms, memory_order_relaxed);
    hr_time ms = expires_in / HR_MS + 1; /* rounded up: 0 would be never */
    return ms < UINT32_MAX ? (uint32_t)ms : 0;
}

static void fill_header(struct ipc_layer *l, const struct hr_draft *draft, struct ipc_block *block)
{
    const struct hr_send_options *o = &draft->options;
    const struct ipc_queue *q = &l->arena.queues[draft->priv[QUEUE]];
    const struct hr_pack *pack = &draft->pack;
    bool is_leased = hr_addr_is_set(&o->reply) ||
                     atomic_load_explicit(&q->flags, memory_order_relaxed) & IPC_QUEUE_LEASED;
    block->len = (uint32_t)(pack->n_before + (size_t)(pack->cur - pack->base));
    block->seq = o->seq;
    block->expires_ms = expiry_ms(q, o->expires_in);
    block->sent = hr_time_now_coarse();
    block->reply_slot = (uint16_t)o->reply.slot;
    block->reply_slot_gen = o->reply.slot_gen;
    block->reply_conn = o->reply.conn;
    block->reply_conn_gen = o->reply.conn_gen;
    block->slot_gen = (uint32_t)draft->priv[SLOT_GEN];
    block->conn = (uint32_t)draft->priv[CONN];
    block->conn_gen = (uint32_t)(draft->priv[CONN] >> 32);
    block->queue = (uint16_t)draft->priv[QUEUE];
    block->flags =
        (uint8_t)((is_leased ? IPC_BLOCK_LEASE : 0) | (o->is_control ? IPC_BLOCK_CONTROL : 0));
    block->attempts = (uint8_t)(o->attempts < UINT8_MAX ? o->attempts : UINT8_MAX);
    block->reason = HR_REASON_NONE;
}

/* The most messages the queue may hold for this sender: an eighth of an inbox
 * is kept for control messages. */
static uint32_t limit_of(const struct ipc_ring *ring, bool is_inbox, bool is_control)
{
    return is_inbox && !is_control ? ring->max_messages - ring->max_messages / 8
                                   : ring->max_messages;
}

/* Adds the bytes of a message to its channel's account. False when that would
 * exceed it. */
static bool charge(struct ipc_queue *q, uint32_t len)
{
    uint64_t most = atomic_load_explicit(&q->max_bytes, memory_order_relaxed);
    int64_t before = atomic_fetch_add_explicit(&q->bytes, len, memory_order_relaxed);
    if ((uint64_t)(before > 0 ? before : 0) + len <= most)
        return true;
    atomic_fetch_sub_explicit(&q->bytes, len, memory_order_relaxed);
    return false;
}

int ipc_post(struct ipc_layer *l, uint32_t queue, uint32_t block, uint32_t limit)
{
    struct ipc_ring ring;
    if (!ipc_ring_of(&l->arena, queue, &ring))
        return IPC_QUEUE_FULL;
    if (limit == 0)
        limit = UINT32_C(1) << ring.log2;
    int r = ipc_queue_put(&l->arena, &ring, l->layer.slot, block, limit);
    if (r == 0)
        ipc_ring(l, queue);
    return r;
}

/* Leaves a message with the layer until it is due. Storing the word is the commit. */
static void leave_delayed(struct ipc_layer *l, uint32_t queue, uint32_t head, hr_time by)
{
    struct ipc_block *block = ipc_block_at(&l->arena, head);
    struct ipc_word w = ipc_word_load(&l->arena, head);
    atomic_store_explicit(&block->taken, hr_time_add(hr_time_now(), by), memory_order_relaxed);
    ipc_word_store(
        &l->arena, head,
        (struct ipc_word){
            .gen = w.gen, .tries = w.tries, .flags = IPC_DELAYED, .owner = IPC_OWNER_LAYER});
    atomic_fetch_add_explicit(&l->arena.queues[queue].n_delayed, 1, memory_order_relaxed);
    atomic_store_explicit(&l->arena.header->has_limbo, 1, memory_order_release);
}

static int refuse(struct ipc_layer *l, const struct hr_draft *draft, enum hr_full_reason reason)
{
    ipc_block_free(&l->arena, &l->finder, (uint32_t)draft->priv[HEAD]);
    return count_full(l, (uint32_t)draft->priv[QUEUE], reason);
}

/* Delayed messages count towards the limit, and are kept out of the ring. */
static int delay(struct ipc_layer *l, const struct ipc_ring *ring, uint32_t queue, uint32_t head,
                 uint32_t limit, hr_time by)
{
    uint32_t n_delayed = atomic_load_explicit(&ring->queue->n_delayed, memory_order_relaxed);
    if (ipc_queue_depth(ring) + n_delayed >= limit)
        return IPC_QUEUE_FULL;
    leave_delayed(l, queue, head, by);
    return 0;
}

static int post(struct ipc_layer *l, const struct ipc_ring *ring, uint32_t queue, uint32_t head,
                uint32_t limit)
{
    uint32_t n_delayed = atomic_load_explicit(&ring->queue->n_delayed, memory_order_relaxed);
    limit -= n_delayed < limit ? n_delayed : limit;
    int r = ipc_queue_put(&l->arena, ring, l->layer.slot, head, limit);
    if (r == 0)
        ipc_ring(l, queue);
    return r;
}

int ipc_draft_send_kind(struct hr_draft *draft, enum ipc_kind kind)
{
    struct ipc_layer *l = ipc_of(draft->layer);
    uint32_t queue = (uint32_t)draft->priv[QUEUE], head = (uint32_t)draft->priv[HEAD];
    struct ipc_block *block = ipc_block_at(&l->arena, head);
    fill_header(l, draft, block);
    block->kind = (uint8_t)kind;
    uint32_t len = block->len; /* which is somebody else's once it is queued */

    struct ipc_ring ring;
    if (!ipc_ring_of(&l->arena, queue, &ring))
        return refuse(l, draft, HR_FULL_CHANNELS);
    bool is_inbox = queue < l->arena.n_slots;
    uint32_t limit = limit_of(&ring, is_inbox, draft->options.is_control);
    if (!is_inbox && !charge(ring.queue, len))
        return refuse(l, draft, HR_FULL_BYTES);
    if (draft->options.ticket)
        *draft->options.ticket =
            (struct hr_ticket){{head + 1, ipc_word_pack(ipc_word_load(&l->arena, head))}};
    if (draft->options.delay > 0 ? delay(l, &ring, queue, head, limit, draft->options.delay)
                                 : post(l, &ring, queue, head, limit)) {
        if (!is_inbox)
            atomic_fetch_sub_explicit(&ring.queue->bytes, len, memory_order_relaxed);
        return refuse(l, draft, HR_FULL_COUNT);
    }
    return 0;
}

int ipc_draft_send(struct hr_draft *draft)
{
    return ipc_draft_send_kind(draft, IPC_MESSAGE);
}

int ipc_post_kind(struct ipc_layer *l, enum ipc_kind kind, const struct hr_addr *to,
                  struct hr_str text)
{
    uint32_t head = take_block(l, text.len, true);
    if (head == IPC_NO_BLOCK)
        return hr_layer_refuse(HR_FULL_MEMORY);
    struct ipc_block *block = ipc_block_at(&l->arena, head);
    *block = (struct ipc_block){.len = (uint32_t)text.len,
                                .next = block->next,
                                .sent = hr_time_now_coarse(),
                                .slot_gen = to->slot_gen,
                                .conn = to->conn,
                                .conn_gen = to->conn_gen,
                                .queue = (uint16_t)to->slot,
                                .kind = (uint8_t)kind,
                                .flags = IPC_BLOCK_CONTROL};
    if (text.len)
        memcpy(ipc_block_data(block), text.ptr, text.len);
    if (ipc_post(l, to->slot, head, 0)) {
        ipc_block_free(&l->arena, &l->finder, head);
        return hr_layer_refuse(HR_FULL_COUNT);
    }
    return 0;
}

/* ---- tickets */

struct hr_ticket_info ipc_ticket(struct hr_layer *layer, const struct hr_ticket *ticket)
{
    struct ipc_layer *l = ipc_of(layer);
    struct hr_ticket_info info = {.state = HR_TICKET_GONE};
    uint64_t number = ticket->word[0];
    if (number == 0 || !ipc_block_exists(&l->arena, (uint32_t)number - 1))
        return info;
    uint32_t head = (uint32_t)number - 1;
    struct ipc_word sent = ipc_word_unpack(ticket->word[1]), now = ipc_word_load(&l->arena, head);
    if (now.gen != sent.gen || now.tries != sent.tries || now.owner == IPC_FREE)
        return info;
    if (!(now.flags & IPC_LEASED)) {
        info.state = HR_TICKET_QUEUED;
        return info;
    }
    if (now.owner - 1 >= l->arena.n_slots)
        return info;
    info.state = HR_TICKET_HELD;
    info.slot = now.owner - 1;
    info.slot_gen = atomic_load_explicit(&l->arena.slots[info.slot].gen, memory_order_relaxed);
    /* relaxed: written before the word that we acquired said LEASED. */
    info.since = atomic_load_explicit(&ipc_block_at(&l->arena, head)->taken, memory_order_relaxed);
    return info;
}
