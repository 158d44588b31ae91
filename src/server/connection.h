/* connection.h - one client's socket: reading, writing, time, and its end.
 *
 * What the bytes mean is its protocol's affair: HTTP until a handshake is
 * accepted, WebSocket from then on. The connection reads into one buffer that
 * all connections of the server share and offers what came to the protocol;
 * what that will not take now is kept, at most HR_CONN_MAX_INPUT, and then
 * reading stops until hr_conn_touch(). What is written is collected and goes
 * out once per turn of the loop, in one system call.
 *
 * Threads: the loop's.
 * Memory:  hr_conn_close() ends a connection at once; its struct lives until
 *          the loop has let go of it, a turn later.
 */
#ifndef HR_SERVER_CONNECTION_H
#define HR_SERVER_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "server/out.h"
#include "server/peer.h"

struct hr_conn;
struct hr_listener;
struct hr_server;

enum {
    /* Input kept for a protocol that cannot take it now: stops a client that sends ahead. */
    HR_CONN_MAX_INPUT = 64 << 10,
};

/* What a connection speaks. Every function may close the connection. */
struct hr_proto {
    /* Takes some of the input, which it may change; returns how many bytes. 0: not now. */
    size_t (*on_data)(struct hr_conn *conn, uint8_t *data, size_t len);
    /* The client has left, or can no longer be written to. Must close. */
    void (*on_gone)(struct hr_conn *conn);
    /* Of a client that sends no more: may it yet wait for an answer? NULL: never. */
    bool (*is_awaited)(const struct hr_conn *conn);
    /* Some of what waited has been written. */
    void (*on_sent)(struct hr_conn *conn);
    /* Does what is due and returns the time of the next thing, or HR_NEVER. */
    hr_time (*on_time)(struct hr_conn *conn, hr_time now);
    /* The server wants to end: leave at the next good moment. May come more than once. */
    void (*on_drain)(struct hr_conn *conn);
    /* The connection is being closed: let go of conn->part. */
    void (*on_close)(struct hr_conn *conn);
};

enum hr_conn_end {
    HR_CONN_STAYS,
    HR_CONN_ENDS,    /* closes when everything is written */
    HR_CONN_LINGERS, /* the same, then reads a little on: an answer is not lost to a reset */
};

struct hr_conn {
    uint32_t magic;
    int fd;
    struct hr_io io;
    struct hr_server *server;
    const struct hr_listener *listener;
    const struct hr_proto *proto;
    void *part; /* the protocol's own */
    struct hr_timer timer;
    struct hr_list node;    /* server->conns, oldest first */
    struct hr_list touched; /* server->touched */
    struct hr_out out;
    struct hr_buf in;    /* input the protocol has not taken */
    hr_time waits_since; /* output waits, or half of the client, and none of it went since then */
    struct hr_peer peer; /* of the socket; of a WebSocket the client that a proxy told of */
    uint8_t end;         /* enum hr_conn_end */
    bool is_blocked;     /* the socket takes no more for now */
    bool is_half;        /* the client has closed its half, and perhaps its other one */
    bool is_closed;      /* hr_conn_close() was called */
    bool is_shut;        /* lingering: our half is closed */
    bool is_websocket;   /* for counting */
};

/* Takes `fd`. Returns 0, HR_ERR_NOMEM or HR_ERR_SYS (then fd is closed). */
HR_MUST_CHECK int hr_conn_open(struct hr_server *server, const struct hr_listener *listener, int fd,
                               const struct hr_peer *peer);

/* Has its waiting input offered again and its output written before the loop sleeps. */
void hr_conn_touch(struct hr_conn *conn);
void hr_conn_run_touched(struct hr_server *server);

/* Appending output, as hr_out_begin() and its family; touches. `commit`
 * returns nothing: writing happens later, losses show as on_gone. */
struct hr_buf *hr_conn_begin(struct hr_conn *conn);
void hr_conn_commit(struct hr_conn *conn);
HR_MUST_CHECK int hr_conn_send_frame(struct hr_conn *conn, struct hr_frame *frame);
HR_MUST_CHECK int hr_conn_send_file(struct hr_conn *conn, int fd, off_t offset, uint64_t len);

/* May `n` more bytes be appended, by the client's window and the process's
 * budget? What waits is written first if that decides it. A single message is
 * never too large for a client that waits for nothing. */
enum hr_conn_room {
    HR_CONN_HAS_ROOM,
    HR_CONN_IS_SLOW,
    HR_CONN_IS_GONE, /* found out by writing: the connection is closed, its part gone */
};
enum hr_conn_room hr_conn_room(struct hr_conn *conn, size_t n);

/* Has the client sent anything that was not read yet? */
bool hr_conn_has_sent(const struct hr_conn *conn);

/* on_time will be called at `due` or earlier. */
void hr_conn_arm(struct hr_conn *conn, hr_time due);

/* Takes no further input and closes when what waits is written. */
void hr_conn_end(struct hr_conn *conn, enum hr_conn_end end);

/* Closes at once; what waits is lost. */
void hr_conn_close(struct hr_conn *conn);
/* The same with a reset, so that nobody takes what was cut short for whole. */
void hr_conn_abort(struct hr_conn *conn);

#endif /* HR_SERVER_CONNECTION_H */
