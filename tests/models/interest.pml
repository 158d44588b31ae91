/* interest.pml - groups by interest: group.c.
 *
 * An interface server owns an inbox and the members behind it; joiners elsewhere put JOIN into the inbox and see to the
 * interest word; a sender looks for the word and puts its message behind the JOIN. The inbox is a queue as ring.pml
 * proves it. All groups share one window of CELLS cells. A joiner may leave again, or die at any step of joining.
 *
 * Shown, in every state: a broadcast that begins after a join returned reaches the member, unless it leaves meanwhile.
 * Shown at the end, two quiet collections after the last message: a group without members has no word, one with
 * members has a word (or the slot catches all), counts are exact, and nobody catches all who need not.
 *
 *   REUSE    the first cell holds a word of this group, 1 (the joiners') or 2, without members, so that the owner removes it
 *   COLLIDE  both groups have the same hash
 *   DEATH    the owner may be killed at any step; it is recovered, and another takes its slot
 */
#ifndef CELLS
#define CELLS 2
#endif
#ifndef SENDERS
#define SENDERS 1
#endif
#ifndef JOINERS
#define JOINERS 2
#endif
#define NONE 255

/* words.h: the interest word, hash:4 | epoch:4 */
#define FREE 0
#define REMOVED 1
#define WORD(hash, epoch) (((hash) << 4) | (epoch))
#define HASH(w) ((w) >> 4)
#define EPOCH(w) ((w) & 15)
#ifdef COLLIDE
#define HASH_OF(group) 1
#define GROUP_OF(j) (1 + (j)) /* of joiner j */
#else
#define HASH_OF(group) (group)
#define GROUP_OF(j) 1
#endif
#ifndef MORTAL /* joiners that may be killed */
#define MORTAL 0
#endif
#ifndef LEAVERS /* joiners that may leave */
#define LEAVERS 1
#endif

byte word[CELLS];
byte members[CELLS], joins_handled[CELLS], leaves[CELLS], leaves_handled[CELLS]; /* struct ipc_interest_count */
byte catch_all;
byte slot_gen = 1;
#ifdef DEATH
bit is_dead;
#endif

mtype = { JOIN, DISCARD, GROUP };
chan inbox = [5] of { mtype, byte, byte, bit }; /* kind, joiner or group, slot_gen, the broadcast must reach joiner 0 */

bit is_member[JOINERS]; /* the owner's private table */

/* What the joiners know. */
byte joined[JOINERS]; /* the owner's generation when the join returned, 0: it has not */
bit is_leaving[JOINERS];
byte n_done;
#define ALL_DONE (JOINERS + SENDERS)

mtype = { look, load, room, fresh, swap, none, found };
#define PROBE_LOCALS byte i, w; mtype at = look

/* find_interest(): cell `i` of `hash`, or NONE. */
inline find_interest(hash)
{
    do
    :: atomic {
           if
           :: word[i] == FREE -> i = NONE; break
           :: word[i] != FREE && HASH(word[i]) == hash -> break
           :: word[i] != FREE && HASH(word[i]) != hash && i < CELLS - 1 -> i++
           :: word[i] != FREE && HASH(word[i]) != hash && i == CELLS - 1 -> i = NONE; break
           fi
       }
    od
}

#ifdef MUTANT_KEEPS_EPOCH
#define BUMP 0
#else
#define BUMP 1
#endif
/* ensure_interest(): `joins` 1 from a joiner, 0 from the owner. `at` ends as found or none. */
inline ensure_interest(hash, joins)
{
    do
    :: atomic { /* find_interest() */
           at == look ->
           if
           :: word[i] == FREE -> i = 0; at = room
           :: word[i] != FREE && HASH(word[i]) == hash -> at = load
           :: word[i] != FREE && HASH(word[i]) != hash && i < CELLS - 1 -> i++
           :: word[i] != FREE && HASH(word[i]) != hash && i == CELLS - 1 -> i = 0; at = room
           fi
       }
    :: atomic {
           at == load ->
           w = word[i];
           if
           :: HASH(w) != hash -> i = 0; at = look
           :: HASH(w) == hash && joins == 0 -> i = 0; w = 0; at = found; break
           :: HASH(w) == hash && joins > 0 -> at = swap
           fi
       }
    :: atomic { /* find_room() */
           at == room ->
           if
           :: word[i] <= REMOVED -> at = fresh
           :: word[i] > REMOVED && i < CELLS - 1 -> i++
           :: word[i] > REMOVED && i == CELLS - 1 -> at = none
           fi
       }
    :: atomic {
           at == fresh ->
           w = word[i];
           if
           :: w <= REMOVED -> at = swap
           :: w > REMOVED -> i = 0; at = look
           fi
       }
    :: atomic {
           at == swap -> /* the compare-and-swap */
           if
           :: word[i] == w -> word[i] = (w <= REMOVED -> WORD(hash, joins) : w + BUMP); i = 0; w = 0; at = found; break
           :: word[i] != w -> i = 0; at = look
           fi
       }
    :: atomic { at == none -> catch_all++; i = 0; w = 0; break }
    od
}

/* ---- joiners */

#define LEAVE_COUNTED atomic { if :: i != NONE -> leaves[i]++ :: else fi; i = 0 } /* note_leave() */
proctype joiner(byte j)
{
    PROBE_LOCALS;
    byte gen;
    atomic { slot_gen & 1 -> gen = slot_gen }; /* ipc_addr_stands(): its address is of that generation, LIVE */
    /* ipc_group_add() */
#ifdef MUTANT_WORD_BEFORE_JOIN
    ensure_interest(HASH_OF(GROUP_OF(j)), 1);
    inbox!JOIN, j, gen, 0;
#else
    inbox!JOIN, j, gen, 0; /* ipc_post_kind() */
    if
    :: ensure_interest(HASH_OF(GROUP_OF(j)), 1)
    :: atomic { ((MORTAL >> j) & 1) -> goto gone } /* killed in between */
    fi;
#endif
    atomic { joined[j] = gen; at = look };
    if
    :: atomic { ((LEAVERS >> j) & 1) -> is_leaving[j] = true }; /* ipc_group_discard() */
        inbox!DISCARD, j, gen, 0;
        find_interest(HASH_OF(GROUP_OF(j)));
        LEAVE_COUNTED
    :: true
    fi;
gone:
    atomic { n_done++; gen = 0; at = look }
}

/* ---- a sender, to the group of joiner 0 */

proctype sender()
{
    byte i, gen;
    bit must, is_interested;
    atomic { gen = slot_gen; must = (joined[0] == gen && !is_leaving[0]) };
    /* is_interested() */
#ifdef MUTANT_ASKS_CATCH_ALL_LAST
    find_interest(HASH_OF(GROUP_OF(0)));
    is_interested = (i != NONE || catch_all > 0);
#else
    is_interested = (catch_all > 0);
    if
    :: !is_interested -> find_interest(HASH_OF(GROUP_OF(0))); atomic { is_interested = (i != NONE); i = 0 }
    :: is_interested
    fi;
#endif
    if
    :: is_interested -> inbox!GROUP, GROUP_OF(0), gen, must
    :: !is_interested -> assert(!must || is_leaving[0] || gen != slot_gen)
    fi;
    atomic { n_done++; i = 0; gen = 0; must = false; is_interested = false }
}

/* ---- the owner */

#define N_OF(group) N_OF_0(group) + N_OF_1(group)
#define N_OF_0(group) (GROUP_OF(0) == (group) && is_member[0])
#if JOINERS > 1
#define N_OF_1(group) (GROUP_OF(1) == (group) && is_member[1])
#else
#define N_OF_1(group) 0
#endif

/* publish_count(): `joins` more were handled. Cell by cell. */
inline publish_count(group, joins)
{
    atomic { i = 0; w = joins };
    do
    :: atomic {
           i < CELLS ->
           if
           :: word[i] == FREE -> i = CELLS
           :: word[i] != FREE && HASH(word[i]) == HASH_OF(group) ->
                members[i] = N_OF(group);
                joins_handled[i] = joins_handled[i] + w;
                w = 0;
#ifdef MUTANT_PUBLISHES_ONCE
                i = CELLS
#else
                i++
#endif
           :: else -> i++
           fi
       }
    :: atomic { i == CELLS -> i = 0; w = 0; break }
    od
}

/* keep_shared(): keeps the words of our groups, whoever shares their hash. Cell by cell. */
inline keep_shared(group)
{
    do
    :: atomic {
           if
           :: i < CELLS && N_OF(group) > 0 && word[i] != FREE ->
                idle[i] = (HASH(word[i]) == HASH_OF(group) -> 0 : idle[i]);
                i++
           :: else -> i = 0; break
           fi
       }
    od
}

/* leave_catch_all(), for one group */
inline ensure_own(group)
{
    if
    :: N_OF(group) > 0 ->
        ensure_interest(HASH_OF(group), 0);
        if
        :: atomic { at == found -> at = look }; publish_count(group, 0)
        :: atomic { at == none -> at = look; seen = 0 } /* no room: go on catching all */
        fi
    :: N_OF(group) == 0
    fi
}

/* ipc_group_collect() */
inline collect()
{
    seen = catch_all;
    if
    :: empty(inbox) -> /* ipc_queue_is_empty() */
        if
        :: seen > 0 ->
            ensure_own(1);
            ensure_own(2);
            atomic { if :: seen > 0 && catch_all == seen -> catch_all = 0 :: else fi } /* compare-and-swap */
        :: seen == 0
        fi;
#ifndef MUTANT_FORGETS_SHARED_HASH
        keep_shared(1);
        keep_shared(2);
#endif
        do
        :: atomic {
               w = word[k];
               was_idle = idle[k];
               idle[k] = 0;
               at = look;
               if
               :: w > REMOVED ->
                    leaves_handled[k] = leaves[k]; /* settle_leaves() */
                    joins_handled[k] = EPOCH(w);
                    if
#ifdef MUTANT_REMOVES_AT_ONCE
                    :: members[k] == 0 -> at = swap
#else
                    :: members[k] == 0 && was_idle != w -> idle[k] = w
                    :: members[k] == 0 && was_idle == w -> at = swap
#endif
                    :: members[k] != 0
                    fi
               :: w <= REMOVED
               fi
           };
           atomic { /* the compare-and-swap; joins_handled is 0 from just before it */
               if
               :: at == swap && word[k] == w -> word[k] = REMOVED; joins_handled[k] = 0
               :: else
               fi;
               w = 0; was_idle = 0; at = look; k++;
               if
               :: k == CELLS -> k = 0; break
               :: k < CELLS
               fi
           }
        od
    :: nempty(inbox)
    fi;
    seen = 0
}

/* What must be true in the end, of group g. */
#define COUNTED(k) (members[k] + EPOCH(word[k]) - joins_handled[k] - leaves[k] + leaves_handled[k])
inline judge_group(g)
{
    k = 0; w = 0; i = 0;
    do
    :: k < CELLS ->
        if
        :: word[k] > REMOVED && HASH(word[k]) == HASH_OF(g) ->
            w++;
            assert(EPOCH(word[k]) == joins_handled[k] && leaves[k] == leaves_handled[k]); /* nothing is on its way */
            i = (members[k] > i -> members[k] : i)
        :: else
        fi;
        k++
    :: else -> break
    od;
#ifndef COLLIDE /* who shares a hash shares a count */
    assert(catch_all > 0 || i == N_OF(g));
    assert(N_OF(g) > 0 || w == 0);
#endif
    assert(N_OF(g) == 0 || w > 0 || catch_all > 0)
}

proctype owner(byte my_gen)
{
    PROBE_LOCALS;
    byte j, gen, k, seen, was_idle, n;
    byte idle[CELLS];
    bit must;
    {
        do
        :: inbox?JOIN, j, gen, _ ->
            if
            :: gen == my_gen ->
                is_member[j] = true; /* join_own() */
#ifndef MUTANT_TRUSTS_JOINER
                ensure_interest(HASH_OF(GROUP_OF(j)), 0);
                at = look;
#endif
                publish_count(GROUP_OF(j), 1)
            :: gen != my_gen /* refusal(): STALE */
            fi;
            atomic { j = 0; gen = 0; at = look }
        :: inbox?DISCARD, j, gen, _ ->
            if
            :: gen == my_gen ->
                find_interest(HASH_OF(GROUP_OF(j))); /* note_leave() */
                atomic { if :: i != NONE -> leaves_handled[i]++ :: else fi; i = 0; at = look };
                is_member[j] = false; /* hr_members_leave() */
                publish_count(GROUP_OF(j), 0)
            :: gen != my_gen
            fi;
            atomic { j = 0; gen = 0 }
        :: inbox?GROUP, j, gen, must ->
            assert(!must || gen != my_gen || is_member[0] || is_leaving[0]);
            atomic { j = 0; gen = 0; must = 0 }
        :: empty(inbox) && n_done < ALL_DONE -> collect()
        :: atomic { empty(inbox) && n_done == ALL_DONE -> n = 0 };
            do
            :: n < 3 -> collect(); n++
            :: else -> break
            od;
            atomic { judge_group(1); judge_group(2); assert(catch_all == 0 || CELLS == 1) };
            break
        od
    }
#ifdef DEATH
    unless {
        is_dead && my_gen == 1
    };
    atomic { j = 0; gen = 0; k = 0; seen = 0; was_idle = 0; n = 0; must = 0; i = 0; w = 0; at = look; idle[0] = 0; idle[CELLS - 1] = 0 }
#endif
}

#ifdef DEATH
proctype killer()
{
    byte k;
    if
    :: atomic { is_dead = true }
    :: goto out
    fi;
    slot_gen = 2; /* ipc_recover_slot() */
    do /* ipc_drain() */
    :: inbox?_, _, _, _
    :: empty(inbox) -> break
    od;
    do /* ipc_interest_clear() */
    :: k < CELLS ->
        members[k] = 0;
        joins_handled[k] = 0;
        leaves_handled[k] = leaves[k];
        word[k] = FREE;
        k++
    :: else -> break
    od;
    catch_all = 0;
    atomic { k = 0; is_member[0] = false; is_member[JOINERS - 1] = false; slot_gen = 3; run owner(3) } /* publish_slot() */
out: skip
}
#endif

init
{
    byte j;
    atomic {
#ifdef REUSE
        word[0] = WORD(REUSE, 1);
        joins_handled[0] = 1;
#endif
        do
        :: j < JOINERS -> run joiner(j); j++
        :: else -> j = 0; break
        od;
#if SENDERS > 0
        run sender();
#endif
        run owner(1);
#ifdef DEATH
        run killer()
#endif
    }
}
