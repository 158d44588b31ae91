/* ring.pml - messages through a ring, and what a death leaves: queue.c, block.c, send.c, receive.c and recover.c.
 *
 * A sender, a taker and two who bury the dead share one channel. Whoever stands in MORTAL may be killed between any two
 * steps, KILLS times altogether; a step is one atomic instruction of the code, or one store that others may see. The
 * comment at a line names the C function it stands for. Three worlds, of which each run has one:
 *
 *   CHAIN   at most once, every message a chain of two blocks, a memory that holds no two of them
 *   REPLY   leases with a reply address: the message goes back to the sender's inbox when its taker dies or refuses it
 *   AGAIN   an at-least-once channel: it is queued again, at most ATTEMPTS times, then goes to the dead letters; and a
 *           sweep takes leases away from a living taker (if SWEEPS)
 *
 * Shown, in every state: a message is taken in the order it was sent, a chain is read whole, nobody reads a word that
 * would poison the arena, an acked message is acked once and never handed back.
 * Shown at the end, when nobody can move: no entry is TAKEN, every block is free or belongs to exactly one entry, every
 * slot of a dead one is free again, and every committed message is where the promise of its world says, once.
 */

#ifdef CHAIN
#define N_QUEUES 1
#define N_BLOCKS 3
#ifndef MESSAGES
#define MESSAGES 2
#endif
#endif
#ifdef REPLY
#define N_QUEUES 2 /* the channel, the sender's inbox */
#define N_BLOCKS MESSAGES
#ifndef MESSAGES
#define MESSAGES 2
#endif
#endif
#ifdef AGAIN
#define N_QUEUES 2 /* the channel, its dead letters */
#define N_BLOCKS 1
#ifndef MESSAGES
#define MESSAGES 1
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 1
#endif
#endif
#define CHANNEL 0
#define OTHER 1

#ifndef KILLS
#define KILLS 1
#endif
#define N_RING 2 /* entries of a ring */
#define NOBODY 255
#define NO_BLOCK 255

/* Slots. */
#define SENDER 0
#define TAKER 1
#define BURIER 2 /* and 3, who is never killed */
#define N_SLOTS 4

/* ---- words.h: the entry, cycle:3 | tag:3 | state:2 | owner:2 | block:2 */
#define EMPTY 0
#define READY 1
#define TAKEN 2
#define ENTRY(cycle, tag, state, owner, block) ((((cycle) & 7) << 9) | (((tag) & 7) << 6) | ((state) << 4) | ((owner) << 2) | (block))
#define CYCLE(e) (((e) >> 9) & 7)
#define ENTRY_TAG(e) (((e) >> 6) & 7)
#define STATE(e) (((e) >> 4) & 3)
#define ENTRY_OWNER(e) (((e) >> 2) & 3)
#define BLOCK(e) ((e) & 3)

/* ---- words.h: the block word, gen:4 | tries:2 | flags:4 | owner:3 */
#define FREE 0
#define LAYER 6
#define TAIL 7 /* IPC_OWNER_CHAIN */
#define LEASED 1
#define IN_HAND 4
#define RETURNING 8
#define WORD(gen, tries, flags, owner) ((((gen) & 15) << 9) | (((tries) & 3) << 7) | ((flags) << 3) | (owner))
#define GEN(w) (((w) >> 9) & 15)
#define TRIES(w) (((w) >> 7) & 3)
#define FLAGS(w) (((w) >> 3) & 15)
#define OWNER(w) ((w) & 7)
#define WORD_TAG(w) ((GEN(w) + TRIES(w)) & 7)
#define LABELLED(w, flags, owner) WORD(GEN(w), TRIES(w), flags, owner)

/* ---- the arena */
byte head[N_QUEUES], tail[N_QUEUES];
short entry[N_QUEUES * N_RING];
short word[N_BLOCKS];
byte next[N_BLOCKS];     /* number + 1 */
byte head_of[N_BLOCKS];  /* a tail's: its head, and the generation of that */
byte head_gen[N_BLOCKS];
byte payload[N_BLOCKS];  /* message + 1 */
bit is_lost[N_BLOCKS];   /* kind LEASE_LOST: on its way to its sender */
bit is_buried[N_BLOCKS]; /* IPC_BLOCK_BURIED */
byte attempts[N_BLOCKS];
bit has_limbo;

/* ---- the kernel and the admin lock it frees */
bit is_alive[N_SLOTS] = true;
#define FREE_SLOT 0
#define LIVE 1
#define DEAD 2
byte slot_state[N_SLOTS] = LIVE;
byte admin = NOBODY;
byte kills = KILLS;
#ifdef SWEEPS
byte sweeps = SWEEPS; /* leases that may yet be taken from a living taker */
#endif

/* ---- what happened, told by whoever did it and read by nobody but the properties */
bit committed[MESSAGES], is_taken[MESSAGES], acked[MESSAGES], told[MESSAGES], is_counted[MESSAGES];
byte last_taken; /* message + 1 */

/* ---- queue.c: positions */
#define AT(q, p) ((q) * N_RING + (p) % N_RING)
#define LAP(p) (((p) / N_RING) & 7)
#define BEFORE(cycle) (((cycle) + 7) & 7)
#define AFTER(cycle) (((cycle) + 1) & 7)
#define HELP(cursor, from) if :: cursor == from -> cursor = from + 1 :: else fi /* help(), one step */
/* Its taker of the lap before is still at it. */
#define IS_LAGGING(e, p) (STATE(e) == TAKEN && CYCLE(e) == BEFORE(LAP(p)))
#define HEAD_ENTRY(q) entry[AT(q, head[q])]
#define IS_EMPTY(q) ((STATE(HEAD_ENTRY(q)) == EMPTY && CYCLE(HEAD_ENTRY(q)) == LAP(head[q])) || IS_LAGGING(HEAD_ENTRY(q), head[q]))

/* take(): the label that a block gets by its header */
#ifdef CHAIN
#define FLAG_OF(queue, block) IN_HAND
#else
#define FLAG_OF(queue, block) ((queue) == CHANNEL -> LEASED : IN_HAND)
#endif

/* What taking a message from the channel promises. */
inline was_taken(queue)
{
    if
    :: queue == CHANNEL ->
#ifndef AGAIN
        assert(payload[b] > last_taken);
        last_taken = payload[b];
#endif
        assert(committed[payload[b] - 1] && !acked[payload[b] - 1] && !told[payload[b] - 1]);
        is_taken[payload[b] - 1] = true
    :: else
    fi
}


#define LOCALS byte b, n, p, h, to; short w, v, e; bit ok; mtype at

mtype = { start, look, room, commit, move_on, behind, done }

/* ---- block.c */

#define NEXT_PLACE n++; if :: n == N_BLOCKS -> n = NO_BLOCK; w = 0; break :: else fi
/* take_from() with try_take(): finds a free block `n`, or NO_BLOCK. Hints only change where it looks first. */
inline take_from()
{
    atomic { n = 0; at = look };
    do
    :: atomic { /* ipc_word_raw() */
           at == look ->
           w = word[n];
           if
           :: OWNER(w) == FREE -> at = commit
           :: else -> NEXT_PLACE
           fi
       }
    :: atomic { /* the compare-and-swap of try_take() */
           at == commit ->
           if
           :: word[n] == w -> word[n] = WORD(GEN(w) + 1, 0, 0, me + 1); w = 0; break
           :: else -> at = look; NEXT_PLACE
           fi
       }
    od
}
/* ipc_block_free(): of block `number`, which is ours. */
inline block_free(number)
{
#ifdef CHAIN
    atomic { w = word[number]; n = next[number] }; /* ipc_word_load(), ipc_block_next() */
#ifdef MUTANT_FREES_HEAD_FIRST
    word[number] = WORD(GEN(w), 0, 0, FREE);
#endif
    atomic { /* is the next one this head's tail? */
        if
#ifdef MUTANT_TRUSTS_NEXT
        :: n != 0 -> v = word[n - 1]; ok = true
#else
        :: n != 0 -> v = word[n - 1]; ok = (OWNER(v) == TAIL && head_of[n - 1] == number && head_gen[n - 1] == GEN(w))
#endif
        :: else -> ok = false
        fi
    };
    atomic { if :: ok -> word[n - 1] = WORD(GEN(v), 0, 0, FREE) :: else fi }; /* give_back() */
#else
    w = word[number];
#endif
#ifndef MUTANT_FREES_HEAD_FIRST
    atomic { word[number] = WORD(GEN(w), 0, 0, FREE); w = 0; v = 0; n = 0; ok = false } /* give_back() */
#else
    atomic { w = 0; v = 0; n = 0; ok = false }
#endif
}

/* ---- queue.c */

/* ipc_queue_put() and ipc_queue_put_slowly(): block `number`; `ok` when it was not full. */
#define COMMIT \
    entry[AT(queue, p)] = ENTRY(LAP(p), WORD_TAG(w), READY, me, number); \
    committed[payload[number] - 1] = true
#define PUT_DONE p = 0; e = 0; h = 0; w = 0; at = 0; break
inline queue_put(queue, number)
{
    p = tail[queue];
    h = head[queue];
    atomic { w = word[number]; at = (p >= h && p - h < N_RING -> done : start) }; /* ipc_word_tag() */
    atomic { /* the commit */
        if
        :: at == done && entry[AT(queue, p)] == ENTRY(LAP(p), 0, EMPTY, 0, 0) -> COMMIT
        :: else -> at = start
        fi
    };
    do /* ipc_queue_put_slowly(), unless done */
    :: atomic { at == start -> p = tail[queue]; at = look }
    :: atomic {
           at == look ->
           e = entry[AT(queue, p)];
           at = (CYCLE(e) == LAP(p) && STATE(e) == EMPTY -> room
                 : (CYCLE(e) == LAP(p) || CYCLE(e) == AFTER(LAP(p)) -> move_on : behind))
       }
    :: atomic {
           at == room ->
           h = head[queue];
           if
           :: p < h -> at = start /* tail is old news */
           :: p >= h && p - h >= N_RING -> ok = false; PUT_DONE
           :: else -> at = commit
           fi
       }
    :: atomic {
           at == commit -> /* the commit */
           if
           :: entry[AT(queue, p)] == e -> COMMIT; at = done
           :: else -> at = start
           fi
       }
    :: atomic { at == done -> HELP(tail[queue], p); ok = true; PUT_DONE }
    :: atomic { at == move_on -> HELP(tail[queue], p); at = start }
    :: atomic {
           at == behind ->
           if
           :: tail[queue] != p -> at = start
           :: else ->
                assert(CYCLE(e) == BEFORE(LAP(p)) && STATE(e) != EMPTY); /* is_lagging() or is_full_lap(), else poison */
                ok = false;
                PUT_DONE
           fi
       }
    od
}

/* ipc_queue_take(), and take() of receive.c: block `b`, labelled with us; `ok` when there was one. */
inline take(queue)
{
    at = start;
    do
    :: atomic { at == start -> p = head[queue]; at = look }
    :: atomic {
           at == look ->
           e = entry[AT(queue, p)];
           if
           :: (CYCLE(e) == LAP(p) && STATE(e) == EMPTY) || IS_LAGGING(e, p) -> ok = false; p = 0; e = 0; at = 0; break
           :: CYCLE(e) == LAP(p) && STATE(e) == READY -> at = commit
           :: (CYCLE(e) == LAP(p) && STATE(e) == TAKEN) || CYCLE(e) == AFTER(LAP(p)) -> at = move_on
           :: else -> at = behind
           fi
       }
    :: atomic {
           at == commit -> /* taking */
           if
           :: entry[AT(queue, p)] == e ->
                entry[AT(queue, p)] = ENTRY(CYCLE(e), ENTRY_TAG(e), TAKEN, me, BLOCK(e));
                b = BLOCK(e);
                was_taken(queue);
                at = done
           :: else -> at = start
           fi
       }
    :: atomic { at == move_on -> HELP(head[queue], p); at = start }
    :: atomic { at == behind -> assert(head[queue] != p); at = start } /* else poison */
    :: atomic { at == done -> HELP(head[queue], p); ok = true; break }
    od;
    if
    :: atomic { /* ipc_queue_taken() */
           ok ->
           w = word[b];
           assert(WORD_TAG(w) == ENTRY_TAG(e) && OWNER(w) != FREE && OWNER(w) != TAIL); /* else poison */
           w = LABELLED(w, FLAG_OF(queue, b), me + 1)
       };
#ifdef MUTANT_RELEASES_FIRST
       entry[AT(queue, p)] = ENTRY(AFTER(CYCLE(e)), 0, EMPTY, 0, 0);
       atomic { word[b] = w; p = 0; e = 0; at = 0 }
#else
       word[b] = w; /* take() in receive.c: ipc_word_store_raw() */
       atomic { entry[AT(queue, p)] = ENTRY(AFTER(CYCLE(e)), 0, EMPTY, 0, 0); p = 0; e = 0; at = 0 } /* ipc_queue_release() */
#endif
    :: !ok
    fi
}

/* ---- recover.c: leases that came back */

#ifndef CHAIN
/* give_up(): block `number`. It says of what was lost that it was. */
inline give_up(number)
{
    atomic { word[number] = LABELLED(word[number], 0, me + 1); is_counted[payload[number] - 1] = true }; /* set_word() */
    block_free(number)
}

/* put_back(): RETURNING until it is in the queue. */
inline put_back(queue, number)
{
    queue_put(queue, number);
    if
    :: !ok -> /* leave_to_layer() */
        word[number] = LABELLED(word[number], RETURNING, LAYER); /* set_word() */
        has_limbo = true
    :: else
    fi
}

/* settle(): where a RETURNING message belongs follows from its header. */
inline settle(number)
{
#ifdef REPLY
    ok = (slot_state[SENDER] == LIVE); /* return_to_sender(): ipc_addr_stands() */
    if
    :: ok ->
        is_lost[number] = true; /* block->kind */
        put_back(OTHER, number)
    :: else -> give_up(number)
    fi
#else
    atomic {
        if
        :: is_buried[number] || attempts[number] >= ATTEMPTS -> is_buried[number] = true; to = OTHER /* bury_letter() */
        :: else -> to = CHANNEL
        fi
    };
    put_back(to, number)
#endif
}

/* ipc_return_lease(): this, then settle() */
inline was_leased(number)
{
#ifdef AGAIN
    attempts[number]++;
    is_buried[number] = false
#else
    skip
#endif
}
#endif

/* discard(), as drops do. */
inline discard(number)
{
    word[number] = LABELLED(word[number], 0, me + 1);
    block_free(number)
}

/* ---- recover.c: a death */

/* visit_entries(): start looks how far to go, look reads entry i of ring q; behind the last one we are at `behind`. */
#define VISIT_START c = (tail[q] + 1 < N_RING -> tail[q] + 1 : N_RING); i = 0; at = look
#define VISIT_NEXT \
    i++; \
    if \
    :: i < c -> at = look \
    :: i == c && q + 1 < N_QUEUES -> q++; at = start \
    :: i == c && q + 1 == N_QUEUES -> q = 0; i = 0; c = 0; e = 0; w = 0; at = 0; break \
    fi

/* finish_taking() over all rings */
inline finish_taking_all()
{
    atomic { q = 0; at = start };
    do
    :: atomic { at == start -> VISIT_START }
    :: atomic {
           at == look ->
           e = entry[q * N_RING + i];
           if
           :: STATE(e) == TAKEN && ENTRY_OWNER(e) == dead -> at = room
           :: else -> VISIT_NEXT
           fi
       }
    :: atomic {
           at == room ->
           w = word[BLOCK(e)];
#ifdef MUTANT_DOES_NOT_LABEL
           at = done
#else
           at = (WORD_TAG(w) == ENTRY_TAG(e) && OWNER(w) != FREE && !(FLAGS(w) & (LEASED | IN_HAND)) -> commit : done)
#endif
       }
    :: atomic { at == commit -> word[BLOCK(e)] = LABELLED(w, FLAG_OF(q, BLOCK(e)), dead + 1); at = done }
    :: atomic { at == done -> entry[q * N_RING + i] = ENTRY(AFTER(CYCLE(e)), 0, EMPTY, 0, 0); VISIT_NEXT } /* ipc_queue_release() */
    od
}

/* straighten_all(), ipc_queue_straighten() */
#define IS_PAST(e, p, least) ((CYCLE(e) == LAP(p) && STATE(e) >= least) || CYCLE(e) == AFTER(LAP(p)))
inline straighten_all()
{
    q = 0;
    do
    :: p = tail[q];
       e = entry[AT(q, p)];
       atomic { if :: IS_PAST(e, p, READY) -> HELP(tail[q], p) :: else fi };
       p = head[q];
       e = entry[AT(q, p)];
       atomic {
           if :: IS_PAST(e, p, TAKEN) -> HELP(head[q], p) :: else fi;
           q++; p = 0; e = 0;
           if :: q == N_QUEUES -> q = 0; break :: else fi
       }
    od
}

/* Step 3: which blocks name the dead one. */
inline list_blocks()
{
    do
    :: atomic {
           seen[i] = (OWNER(word[i]) == dead + 1 -> word[i] : 0);
           i++;
           if :: i == N_BLOCKS -> i = 0; break :: else fi
       }
    od
}

/* Step 4, mark(): which stand in a ring. */
inline mark_blocks()
{
    atomic { q = 0; at = start };
    do
    :: atomic { at == start -> VISIT_START }
    :: atomic {
           at == look ->
           e = entry[q * N_RING + i];
           if
           :: STATE(e) != EMPTY -> at = room
           :: else -> VISIT_NEXT
           fi
       }
    :: atomic {
           at == room ->
#ifdef MUTANT_MARKS_ANY_TAG
           is_marked[BLOCK(e)] = true;
#else
           is_marked[BLOCK(e)] = is_marked[BLOCK(e)] | (ENTRY_TAG(e) == WORD_TAG(word[BLOCK(e)]) -> 1 : 0);
#endif
           VISIT_NEXT
       }
    od
}

#define RECLAIMED(w) ((FLAGS(w) & LEASED) -> WORD(GEN(w), TRIES(w) + 1, RETURNING, me + 1) : LABELLED(w, FLAGS(w) & RETURNING, me + 1))
/* reclaim(): step 5 for block `i`, which still reads seen[i]. */
inline reclaim()
{
#ifdef MUTANT_CLAIMS_BLINDLY
    atomic { word[i] = RECLAIMED(seen[i]); ok = true };
#else
    atomic { /* ipc_word_cas() */
        if
        :: word[i] == seen[i] -> word[i] = RECLAIMED(seen[i]); ok = true
        :: else -> ok = false
        fi
    };
#endif
#ifdef CHAIN
    if
    :: ok -> block_free(i)
    :: else
    fi
#else
    if
    :: ok && (FLAGS(seen[i]) & (LEASED | RETURNING)) ->
        if
        :: FLAGS(seen[i]) & LEASED -> was_leased(i) /* ipc_return_lease() */
        :: else
        fi;
        settle(i)
    :: ok && !(FLAGS(seen[i]) & (LEASED | RETURNING)) ->
        atomic {
            if
            :: (FLAGS(seen[i]) & IN_HAND) && !told[payload[i] - 1] -> is_counted[payload[i] - 1] = true /* ipc_count_drop() */
            :: else
            fi
        };
        block_free(i)
    :: else
    fi
#endif
}

/* On to the next block that is to be claimed, if there is one. */
#ifdef MUTANT_DOES_NOT_MARK
#define IS_OURS(i) (seen[i] != 0)
#else
#define IS_OURS(i) (seen[i] != 0 && !is_marked[i])
#endif
#define SKIP_OTHERS \
    do \
    :: i < N_BLOCKS && !IS_OURS(i) -> seen[i] = 0; is_marked[i] = false; i++ \
    :: else -> break \
    od

inline reclaim_all()
{
    atomic { i = 0; SKIP_OTHERS };
    do
    :: i < N_BLOCKS -> reclaim(); atomic { seen[i] = 0; is_marked[i] = false; i++; SKIP_OTHERS }
    :: atomic { i == N_BLOCKS -> i = 0; break }
    od
}

/* free_orphans() */
inline free_orphans()
{
    do
    :: atomic { i < N_BLOCKS && w == 0 -> w = word[i]; if :: OWNER(w) != TAIL -> w = 0; i++ :: else -> at = look fi }
    :: atomic {
           at == look ->
           v = word[head_of[i]];
           if
           :: OWNER(v) == FREE || GEN(v) != head_gen[i] -> at = commit
           :: else -> w = 0; at = 0; i++
           fi
       }
    :: atomic { /* ipc_word_cas() */
           at == commit ->
           if
           :: word[i] == w -> word[i] = WORD(GEN(w), 0, 0, FREE)
           :: else
           fi;
           w = 0; at = 0; i++
       }
    :: atomic { i == N_BLOCKS -> i = 0; v = 0; break }
    od
}

/* ipc_recover_slot(): of slot `dead`. The admin lock is ours. */
inline recover_slot()
{
    slot_state[dead] = DEAD;
    finish_taking_all();
    straighten_all();
#ifdef MUTANT_MARKS_FIRST
    mark_blocks();
    list_blocks();
#else
    list_blocks();
    mark_blocks();
#endif
    reclaim_all();
#ifdef CHAIN
#ifndef MUTANT_KEEPS_ORPHANS
    free_orphans();
#endif
#endif
#ifdef REPLY
    do /* ipc_drain() of its inbox */
    :: dead == SENDER ->
        take(OTHER);
        if
        :: ok -> atomic { is_counted[payload[b] - 1] = true }; discard(b)
        :: else -> break
        fi
    :: dead != SENDER -> break
    od;
    b = 0;
#endif
    atomic { slot_state[dead] = FREE_SLOT; dead = 0 }
}

/* ---- the processes */

/* ipc_draft() and ipc_draft_send() of a message m */
inline alloc_and_send(m)
{
    take_from();
    if
    :: n != NO_BLOCK ->
        b = n;
        atomic { next[b] = 0; n = 0 };
#ifdef CHAIN
        take_from(); /* take_tails() */
        if
        :: n != NO_BLOCK ->
            head_of[n] = b;
            head_gen[n] = GEN(word[b]);
            next[n] = 0;
            word[n] = LABELLED(word[n], 0, TAIL); /* ipc_word_store() */
            next[b] = n + 1;
            atomic { payload[b] = m + 1; payload[n] = m + 1; n = 0 };
            queue_put(CHANNEL, b)
        :: else -> ok = false
        fi;
#else
        atomic { payload[b] = m + 1; is_lost[b] = false; is_buried[b] = false; attempts[b] = 0 }; /* fill_header() */
        queue_put(CHANNEL, b);
#endif
        if
        :: !ok -> block_free(b) /* refuse() */
        :: else
        fi
    :: else
    fi;
    atomic { b = 0; n = 0; ok = false }
}

#define FORGET atomic { b = 0; n = 0; p = 0; h = 0; to = 0; w = 0; v = 0; e = 0; ok = false; at = 0 }

proctype sender(byte me)
{
    LOCALS;
    byte m;
    {
        do
        :: alloc_and_send(m); atomic { m++; if :: m == MESSAGES -> break :: else fi }
        od;
#ifdef REPLY
end:    do
        :: !IS_EMPTY(OTHER) ->
            take(OTHER);
            if
            :: ok ->
                atomic {
                    assert(is_lost[b] && !told[payload[b] - 1] && !acked[payload[b] - 1] && !is_counted[payload[b] - 1]);
                    told[payload[b] - 1] = true
                };
                block_free(b) /* deliver() */
            :: else
            fi;
            atomic { b = 0; ok = false }
        od
#endif
    } unless {
        !is_alive[me]
    };
    FORGET;
    m = 0
}

#ifdef CHAIN
/* ipc_receive() in a loop: in_hand, if not NO_BLOCK, is freed by the next one. */
proctype taker(byte me)
{
    LOCALS;
    byte in_hand = NO_BLOCK;
    {
end:    do
        :: in_hand != NO_BLOCK -> block_free(in_hand); in_hand = NO_BLOCK /* ipc_let_go() */
        :: in_hand == NO_BLOCK && !IS_EMPTY(CHANNEL) ->
            take(CHANNEL);
            if
            :: ok ->
                in_hand = b;
                /* ipc_block_read() */
                assert(next[b] != 0 && OWNER(word[next[b] - 1]) == TAIL && payload[next[b] - 1] == payload[b])
            :: else
            fi;
            atomic { b = 0; ok = false }
        od
    } unless {
        !is_alive[me]
    };
    FORGET;
    in_hand = 0
}
#else
/* ipc_receive(), then ipc_ack() or ipc_nack() */
proctype taker(byte me)
{
    LOCALS;
    short lease;
    {
end:    do
        :: !IS_EMPTY(CHANNEL) ->
            take(CHANNEL);
            if
            :: ok ->
                atomic { lease = w; w = 0 };
                if
#ifdef REPLY
                :: slot_state[SENDER] != LIVE -> /* refusal() */
                    is_counted[payload[b] - 1] = true;
                    discard(b)
#endif
                :: true ->
                   atomic { /* end_lease() */
                       if
#ifdef MUTANT_ACKS_BLINDLY
                       :: true ->
#else
                       :: word[b] == lease ->
#endif
                            word[b] = LABELLED(lease, 0, me + 1);
                            assert(!acked[payload[b] - 1]);
                            acked[payload[b] - 1] = true;
                            ok = true
#ifndef MUTANT_ACKS_BLINDLY
                       :: else -> ok = false /* LOST */
#endif
                       fi
                   };
                   if
                   :: ok -> block_free(b)
                   :: else
                   fi
                :: true ->
                   atomic { /* end_lease() */
                       if
                       :: word[b] == lease -> word[b] = WORD(GEN(lease), TRIES(lease) + 1, RETURNING, me + 1); ok = true
                       :: else -> ok = false
                       fi
                   };
                   if
                   :: ok -> was_leased(b); settle(b)
                   :: else
                   fi
                fi
            :: else
            fi;
            atomic { b = 0; lease = 0; ok = false }
        od
    } unless {
        !is_alive[me]
    };
    FORGET;
    lease = 0
}
#endif

#define IS_TO_BURY(s) (!is_alive[s] && slot_state[s] != FREE_SLOT) /* looks_dead() */

proctype burier(byte me)
{
    LOCALS;
    byte c, i, q, dead;
    short seen[N_BLOCKS];
    bit is_marked[N_BLOCKS];
    {
end:    do
        :: atomic { /* ipc_bury(): ipc_lock_admin() */
               admin == NOBODY && (me == BURIER || !is_alive[BURIER]) &&
               (IS_TO_BURY(SENDER) || IS_TO_BURY(TAKER) || IS_TO_BURY(BURIER)) ->
               admin = me;
               if
               :: IS_TO_BURY(SENDER) -> dead = SENDER
               :: IS_TO_BURY(TAKER) -> dead = TAKER
               :: IS_TO_BURY(BURIER) -> dead = BURIER
               fi
           };
           recover_slot();
           admin = NOBODY /* ipc_unlock_admin() */
#ifndef CHAIN
        :: atomic { has_limbo -> has_limbo = false; i = 0; at = look }; /* sweep_limbo() */
sweep:      if
            :: at == look && i < N_BLOCKS -> seen[i] = word[i];
                atomic { /* take_up() */
                    if
                    :: OWNER(seen[i]) == LAYER && word[i] == seen[i] -> word[i] = LABELLED(seen[i], FLAGS(seen[i]), me + 1); at = done
                    :: else -> i++
                    fi
                };
                goto sweep
            :: at == look && i == N_BLOCKS
            :: at == done -> seen[i] = 0; settle(i); i++; at = look; goto sweep
#ifdef SWEEPS
            :: at == start -> /* sweep_leases() */
                atomic {
                    if
                    :: word[0] == seen[0] -> word[0] = WORD(GEN(seen[0]), TRIES(seen[0]) + 1, RETURNING, me + 1); at = done
                    :: else -> at = look; i = N_BLOCKS
                    fi
                };
                if
                :: at == done -> was_leased(0); i = 0
                :: else
                fi;
                seen[0] = 0;
                goto sweep
#endif
            fi;
            atomic { i = 0; at = 0 }
#ifdef SWEEPS
        :: atomic { sweeps > 0 && (FLAGS(word[0]) & LEASED) -> sweeps--; seen[0] = word[0]; at = start; goto sweep }
#endif
#endif
        od
    } unless {
        !is_alive[me]
    };
    FORGET;
    atomic { c = 0; q = 0; dead = 0; i = 0; do :: i < N_BLOCKS -> seen[i] = 0; is_marked[i] = false; i++ :: else -> i = 0; break od }
}

/* SIGKILL; the kernel frees the admin lock. */
inline kill(s)
{
    atomic {
        kills > 0 && is_alive[s] && ((MORTAL >> s) & 1) ->
        kills--;
        is_alive[s] = false;
        if
        :: admin == s -> admin = NOBODY
        :: else
        fi
    }
}
proctype killer()
{
end:do
    :: kill(SENDER)
    :: kill(TAKER)
    :: kill(BURIER)
    od
}

/* ---- what must be true when nobody can move */

inline count_entries() /* how many entries hold block i, or message i as seen from (queue) */
{
    k = 0;
    n = 0;
    do
    :: k < N_QUEUES * N_RING ->
        assert(STATE(entry[k]) != TAKEN);
        if
        :: STATE(entry[k]) == READY && BLOCK(entry[k]) == i -> n++; assert(ENTRY_TAG(entry[k]) == WORD_TAG(word[i]))
        :: else
        fi;
        k++
    :: else -> break
    od
}

proctype judge()
{
    byte i, k, n, m;
    byte found[MESSAGES];
    timeout ->
    d_step {
        do
        :: i < N_SLOTS -> assert(is_alive[i] || slot_state[i] == FREE_SLOT); i++
        :: else -> i = 0; break
        od;
        do
        :: i < N_QUEUES -> /* the cursors point at places that the next put and take can use */
            assert(CYCLE(HEAD_ENTRY(i)) == LAP(head[i]) && STATE(HEAD_ENTRY(i)) != TAKEN);
            assert((CYCLE(entry[AT(i, tail[i])]) == LAP(tail[i]) && STATE(entry[AT(i, tail[i])]) == EMPTY) ||
                   (CYCLE(entry[AT(i, tail[i])]) == BEFORE(LAP(tail[i])) && STATE(entry[AT(i, tail[i])]) == READY));
            i++
        :: else -> i = 0; break
        od;
        do
        :: i < N_BLOCKS ->
            count_entries();
            if
            :: OWNER(word[i]) == FREE -> assert(n == 0)
            :: OWNER(word[i]) == TAIL -> /* of a head that lives */
                assert(n == 0 && OWNER(word[head_of[i]]) != FREE && OWNER(word[head_of[i]]) != TAIL &&
                       GEN(word[head_of[i]]) == head_gen[i] && next[head_of[i]] == i + 1)
            :: else -> assert(n == 1); found[payload[i] - 1]++
            fi;
            i++
        :: else -> break
        od;
        do
        :: m < MESSAGES ->
#ifdef CHAIN
            assert(found[m] + is_taken[m] == committed[m]);
#else
            assert(found[m] + acked[m] + told[m] + is_counted[m] == committed[m]);
#endif
#ifdef REPLY
            assert(!is_counted[m] || !is_alive[SENDER]);
#endif
#ifdef AGAIN
            assert(!is_counted[m]);
#endif
            m++
        :: else -> break
        od
    }
}

init
{
    atomic {
        run sender(SENDER);
        run taker(TAKER);
        run burier(BURIER);
        run burier(BURIER + 1);
        run killer();
        run judge()
    }
}
