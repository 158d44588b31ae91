/* wsload.h - the parts of the WebSocket load generator.
 *
 * wsload.c holds the run: options, phases, counting. wsload_conn.c holds one
 * connection: socket, handshake, frames. A connection tells the run what
 * happens to it through load_on_*(); the run acts on connections through
 * conn_*(). wsload_report.c prints what came of it.
 *
 * Threads: none; one process, one loop.
 * Memory:  the connections are one array; the frame being built and the bytes
 *          being read have one buffer each for all of them. A connection
 *          allocates only while its handshake or an unsent rest is pending.
 */
#ifndef HR_BENCH_WSLOAD_H
#define HR_BENCH_WSLOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/str.h"
#include "histogram.h"
#include "websocket/websocket.h"

enum load_mode { LOAD_IDLE, LOAD_ECHO, LOAD_LISTEN };

/* OPENING until each connection is open or has failed; RUNNING what the mode
 * says; CLOSING until all are gone. */
enum load_phase { LOAD_OPENING, LOAD_RUNNING, LOAD_CLOSING };

/* Everything that may go wrong, each counted under its word. */
#define LOAD_ERRORS(ERROR)                                                                         \
    ERROR(SOCKET, "socket")       /* socket(2) or bind(2) failed: fds or ports are used up */      \
    ERROR(CONNECT, "connect")     /* no TCP connection */                                          \
    ERROR(REFUSED, "refused")     /* an HTTP status that is not 101 */                             \
    ERROR(HANDSHAKE, "handshake") /* a 101 that breaks RFC 6455, or the connection's end */        \
    ERROR(TIMEOUT, "timeout")     /* no handshake, no echo or no close in time */                  \
    ERROR(LOST, "lost")           /* the connection ended without a close frame */                 \
    ERROR(CLOSED, "closed")       /* the server closed it while it was wanted */                   \
    ERROR(PROTOCOL, "protocol")   /* a frame that breaks RFC 6455 */                               \
    ERROR(ECHO, "echo")           /* an echo that is not what was sent */                          \
    ERROR(MISSING, "missing")     /* messages that --messages promised and that never came */      \
    ERROR(MEMORY, "memory")

enum load_error {
#define LOAD_ERROR_ENUM(name, word) LOAD_ERR_##name,
    LOAD_ERRORS(LOAD_ERROR_ENUM)
#undef LOAD_ERROR_ENUM
        LOAD_N_ERRORS
};

enum {
    LOAD_READ_BYTES = 64 * 1024,
    LOAD_MAX_SIZE = 16 * 1024 * 1024,   /* bytes of an echo message */
    LOAD_MAX_CONNECTIONS = 1000 * 1000, /* bounds the array; fds end long before */
    LOAD_MAX_ROUNDS = 64 * 1024,        /* broadcasts that are told apart */
    LOAD_MAX_OPENING = 512,             /* handshakes under way at once; spares the backlog */
    LOAD_DETAIL = 96,
};

struct load_options {
    enum load_mode mode;
    const char *host, *port, *path;
    struct hr_buf headers; /* further request headers, each line with its CRLF */
    uint32_t from, n_from; /* source addresses, host order: from .. from + n_from - 1 */
    uint32_t n_connections;
    uint32_t ramp;       /* connections a second; 0: as fast as they open */
    uint32_t hold;       /* seconds */
    uint32_t size;       /* bytes of an echo message */
    uint32_t n_messages; /* listen: what each connection is to get; 0: no matter */
    uint32_t timeout;    /* seconds for a handshake, an echo, a close */
    bool is_json;
};

enum conn_state {
    CONN_NEW,
    CONN_CONNECTING,
    CONN_HANDSHAKE,
    CONN_OPEN,
    CONN_CLOSING,
    CONN_ENDING,
    CONN_GONE
};

struct load;
struct conn {
    struct hr_io io;
    struct hr_ws ws;
    struct hr_timer timer; /* of the handshake, the echo or the close that is waited for */
    struct load *load;
    struct hr_buf in;  /* the answer's head so far */
    struct hr_buf out; /* what the socket did not take */
    hr_time sent_at;   /* of the connect, then of the message in flight */
    uint64_t n_echo;   /* payload bytes of the echo so far */
    uint32_t n_sent, n_received;
    int fd;
    uint8_t state;
};

/* One broadcast as it reached the connections. */
struct load_round {
    hr_time first, last;
    uint32_t n;
};

struct load {
    struct load_options options;
    struct hr_loop *loop;
    struct hr_timer tick;
    struct hr_signal interrupt;
    bool is_interrupted;
    enum load_phase phase;
    struct sockaddr_storage address; /* of the server */
    socklen_t address_len;
    char host[300]; /* for the Host header */
    struct conn *conns;
    uint32_t n_started;             /* conns[0 .. n_started) were opened */
    uint32_t n_opening;             /* of those: on their way */
    uint32_t n_live;                /* open, closing or ending */
    uint32_t n_opened, n_alive_end; /* opened in all; open when RUNNING ended */
    uint32_t n_complete;            /* listen: those that got n_messages */
    hr_time started_at, opened_at, closing_at;
    uint64_t n_messages, n_bytes; /* received while RUNNING */
    struct histogram handshakes, latencies;
    struct load_round *rounds; /* LOAD_MAX_ROUNDS of them when listening */
    uint64_t errors[LOAD_N_ERRORS];
    char details[LOAD_N_ERRORS][LOAD_DETAIL]; /* of the first of each */
    uint8_t read[LOAD_READ_BYTES];
    uint8_t *frame; /* a header and a payload being built */
    uint64_t random;
};

/* ---- wsload_conn.c */

void conn_open(struct conn *conn);
/* Sends the next echo message. */
void conn_send_echo(struct conn *conn);
/* Begins the close handshake; a connection that is not open yet is given up. */
void conn_close(struct conn *conn);

/* ---- wsload.c */

extern const char *const load_mode_names[]; /* by enum load_mode, then NULL */

void load_on_open(struct conn *conn);
void load_on_message(struct conn *conn);
/* The connection ended in this state; it is GONE by now. */
void load_on_gone(struct conn *conn, enum conn_state ended);
void load_count_error(struct load *load, enum load_error error, const char *format, ...)
    HR_PRINTF(3, 4);

/* ---- wsload_report.c */

/* Prints the run; returns how many errors there were. */
uint64_t load_report(struct load *load);

#endif /* HR_BENCH_WSLOAD_H */
