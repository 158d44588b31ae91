/* bell.pml - who sleeps and who wakes them: bell.c, the end of send.c, receive.c's visits and recover.c's last step.
 *
 * Two workers listen to one channel; worker 0 has an inbox, too. One sender for the channel, one for the inbox. Rings are
 * counters here: that they neither lose nor double is ring.pml's matter. A worker that has a message may be at it for
 * ever, so that nobody can count on its coming back. Worker 0 sleeps in a futex, worker 1 in a poll on its FIFO.
 *
 * Shown, when nobody can move: no worker sleeps while a queue that it would take from holds a message. There are no
 * time-outs in this world; in the real one every sleep ends after a second, whatever happens.
 *
 *   MODES   worker 0 may at any time want nothing but its inbox for a while, as a worker does that is busy enough
 *   KILLS   that many of those in MORTAL (a bit each: workers 0 and 1, the senders, one of two who recover) are killed,
 *           between any two steps; what they leave is recovered, which ends with waking all
 */
#define N_WORKERS 2
#define INBOX 0 /* queues */
#define CHANNEL 1
#ifndef MESSAGES
#define MESSAGES 2 /* to the channel */
#endif
#ifndef LETTERS
#define LETTERS 1 /* to the inbox */
#endif
#ifndef KILLS
#define KILLS 0
#endif

#define AWAKE 0
#define ASLEEP_FUTEX 1
#define ASLEEP_POLL 2
#define HOW(s) ((s) == 0 -> ASLEEP_FUTEX : ASLEEP_POLL)

byte queued[2];
byte bell[N_WORKERS];      /* struct ipc_slot: bell */
bit is_waiter[N_WORKERS];  /* struct ipc_queue: waiters, of the channel */
bit is_in_futex[N_WORKERS]; /* the kernel's */
bit fifo[N_WORKERS];       /* there is a byte in bell.<slot>: more tell nobody more */
bit is_busy[N_WORKERS];    /* with a message, for ever */

/* Who may be killed: workers 0 and 1, the senders, one of those who recover. */
#define SENDER 2
#define RECOVERER 4
#if KILLS > 0
bit is_alive[6] = true;
byte n_dead, admin = 255;
byte kills = KILLS;
#define IS_ALIVE(who) is_alive[who]
#define MAY_DIE(who, forget) unless { atomic { !is_alive[who] -> forget } }
#else
#define IS_ALIVE(who) true
#define MAY_DIE(who, forget)
#endif

/* ---- ringing. `r` is the slot, `left` how many are still to be looked at, `at` the step. */

mtype = { idle, look, compare, wake };
#define RING_LOCALS byte r, left; mtype at = idle
#define RING_DONE r = 0; left = 0; at = idle; break
#define RING_NEXT if :: left > 1 -> left--; r = 1 - r; at = look :: else -> RING_DONE fi

/* The system call of ipc_ring_slot(). */
#define WAKE(s) if :: s == 0 -> is_in_futex[s] = false :: s == 1 -> fifo[s] = true fi

/* ipc_ring_sleeper() with ipc_ring_slot(): the inbox's owner, or once around the channel's waiters from any one on. */
#define RING_OWNER r = 0; left = 1; at = look
#define RING_CHANNEL if :: r = 0 :: r = 1 fi; left = 2; at = look
inline ring()
{
    do
    :: atomic { /* waiters, bell */
           at == look ->
           if
           :: (left == 1 || is_waiter[r]) && bell[r] != AWAKE -> at = compare
           :: else -> RING_NEXT
           fi
       }
    :: atomic { /* the compare-and-swap */
           at == compare ->
           if
           :: bell[r] != AWAKE -> bell[r] = AWAKE; at = wake
           :: else -> RING_NEXT
           fi
       }
    :: atomic { at == wake -> WAKE(r); RING_DONE }
    od
}

/* ---- the senders */

proctype channel_sender()
{
    RING_LOCALS;
    byte n;
    {
        do
#ifdef MUTANT_RINGS_BEFORE_COMMIT
        :: atomic { n < MESSAGES -> RING_CHANNEL };
           ring();
           atomic { queued[CHANNEL]++; n++ }
#else
        :: atomic { n < MESSAGES -> queued[CHANNEL]++; n++; RING_CHANNEL }; /* ipc_queue_put(): the commit */
           ring()
#endif
        :: atomic { n == MESSAGES -> n = 0; break }
        od
    } MAY_DIE(SENDER, n = 0; r = 0; left = 0; at = idle)
}

proctype inbox_sender()
{
    RING_LOCALS;
    {
        atomic { queued[INBOX] = LETTERS; RING_OWNER };
        ring()
    } MAY_DIE(SENDER + 1, r = 0; left = 0; at = idle)
}

/* ---- the workers */

/* pass_baton(): whoever may have been rung for another message than the one it took wakes one more. */
inline pass_baton()
{
    if
    :: atomic { queued[CHANNEL] > 0 -> RING_CHANNEL }; ring()
    :: queued[CHANNEL] == 0
    fi
}

proctype worker(bit me)
{
    RING_LOCALS;
    bit wants = true;     /* HR_RECEIVE_ALL, or HR_RECEIVE_INBOX for now */
    bit may_be_rung;      /* we told that we sleep since we last passed on the baton */
    {
        do
#ifdef MODES
        :: me == 0 -> wants = 1 - wants
#endif
        /* ipc_receive(): visits to the sources, from any one on */
        :: atomic {
               if
               :: me == 0 && queued[INBOX] > 0 -> queued[INBOX]--
               :: wants && queued[CHANNEL] > 0 ->
                    queued[CHANNEL]--;
#ifdef MUTANT_BATON_OF_ITS_OWN_QUEUE
                    at = look
#endif
               fi
           };
#ifdef MUTANT_KEEPS_BATON
           at = idle;
#else
#ifdef MUTANT_BATON_OF_ITS_OWN_QUEUE
           if
           :: at == look -> at = idle; pass_baton()
           :: at == idle
           fi;
#else
           if
           :: atomic { may_be_rung -> may_be_rung = false }; pass_baton()
           :: !may_be_rung
           fi;
#endif
#endif
           if
           :: true
           :: is_busy[me] = true;
end_busy:     false
           fi
        /* ready_to_sleep() */
        :: (me == 1 || queued[INBOX] == 0) && (!wants || queued[CHANNEL] == 0) ->
           if /* ipc_set_waiters() */
           :: is_waiter[me] && !wants ->
                is_waiter[me] = false;
#ifndef MUTANT_LEAVES_WITH_BATON
                pass_baton()
#endif
           :: !is_waiter[me] && wants -> is_waiter[me] = true
           :: is_waiter[me] == wants
           fi;
#ifdef MUTANT_LOOKS_BEFORE_BELL
           if
           :: (me == 0 && queued[INBOX] > 0) || (wants && queued[CHANNEL] > 0) -> at = look
           :: else
           fi;
           atomic { bell[me] = HOW(me); may_be_rung = true };
#else
           atomic { bell[me] = HOW(me); may_be_rung = true };
           atomic { if :: me == 0 && queued[INBOX] > 0 -> at = look :: else fi };    /* has_work() */
           atomic { if :: wants && queued[CHANNEL] > 0 -> at = look :: else fi };
#endif
           if
           :: atomic { at == look -> bell[me] = AWAKE; at = idle }
           :: atomic { at == idle && me == 0 -> is_in_futex[me] = (bell[me] == ASLEEP_FUTEX) }; /* FUTEX_WAIT: compares and sleeps */
end_futex:    atomic { !is_in_futex[me] -> bell[me] = AWAKE } /* ipc_wait() */
           :: at == idle && me == 1 ->
end_poll:     fifo[me]; /* epoll_wait() */
              bell[me] = AWAKE; /* ipc_dispatch() */
              fifo[me] = false  /* hear_bell() */
           fi
        od
    } MAY_DIE(me, r = 0; left = 0; at = idle; wants = false; may_be_rung = false)
}

/* ---- deaths */

#if KILLS > 0
/* ipc_recover_slot() as far as bells go. */
proctype recoverer(bit me)
{
    RING_LOCALS;
    byte s;
    {
end:    do
        :: atomic { n_dead > 0 && admin == 255 -> admin = me };
            atomic { if :: !is_alive[0] -> bell[0] = AWAKE; is_waiter[0] = false :: else fi }; /* ipc_clear_waiter() */
            atomic { if :: !is_alive[1] -> bell[1] = AWAKE; is_waiter[1] = false :: else fi };
            do
            :: s < N_WORKERS ->
#ifdef MUTANT_RECOVERY_RINGS_SLEEPERS_ONLY
                atomic { r = s; left = 1; at = look };
                ring();
                s++
#else
                bell[s] = AWAKE; /* ipc_wake_all() */
                atomic { WAKE(s); s++ }
#endif
            :: atomic { s == N_WORKERS -> s = 0; n_dead--; admin = 255; break }
            od
        od
    } MAY_DIE(RECOVERER + me, r = 0; left = 0; at = idle; s = 0)
}

inline kill(who)
{
    atomic {
        kills > 0 && is_alive[who] && ((MORTAL >> who) & 1) ->
        kills--; is_alive[who] = false; n_dead++;
        if
        :: who < N_WORKERS -> is_in_futex[who] = false; is_busy[who] = false
        :: who == RECOVERER && admin == 0 -> admin = 255
        :: else
        fi
    }
}

proctype killer()
{
end:do
    :: kill(0)
    :: kill(1)
    :: kill(SENDER)
    :: kill(SENDER + 1)
    :: kill(RECOVERER)
    od
}
#endif

/* ---- what must be true when nobody can move */

proctype judge()
{
    timeout ->
    d_step {
        assert(!IS_ALIVE(0) || is_busy[0] || (queued[INBOX] == 0 && !(is_waiter[0] && queued[CHANNEL] > 0)));
        assert(!IS_ALIVE(1) || is_busy[1] || !(is_waiter[1] && queued[CHANNEL] > 0));
#if KILLS > 0
        assert(n_dead == 0)
#endif
    }
}

init
{
    atomic {
        run worker(0);
        run worker(1);
        run channel_sender();
#if LETTERS > 0
        run inbox_sender();
#endif
#if KILLS > 0
        run recoverer(0);
#if MORTAL >= 16
        run recoverer(1);
#endif
        run killer();
#endif
        run judge()
    }
}
