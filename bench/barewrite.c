/* barewrite.c - the least that can broadcast: a loop of write(2) over open WebSockets.
 *
 * Accepts N WebSockets and says "ready". Then each line "ROUNDS BYTES" on
 * standard input writes that many text messages to every socket, and the
 * processor time it took is printed in seconds. Sockets are blocking, input is
 * ignored.
 *
 * usage: barewrite PORT N
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "websocket/websocket.h"

enum { MAX_MESSAGE = 64 << 10 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 4096) < 0)
        die("listen");
    return fd;
}

/* The handshake, with a client that is taken to send it in one piece. */
static int accept_websocket(int listener)
{
    static const char field[] = "sec-websocket-key: ";
    char head[4096];
    int fd = accept(listener, NULL, NULL);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head - 1);
    if (n <= 0)
        die("accept");
    head[n] = '\0';
    const char *key = strcasestr(head, field);
    struct hr_buf answer = {0};
    if (!key)
        die("handshake");
    if (hr_ws_put_answer(&answer, (struct hr_str){key + sizeof field - 1, 24},
                         (struct hr_str){0}) ||
        hr_buf_append(&answer, "\r\n", 2) ||
        write(fd, hr_buf_ptr(&answer), hr_buf_len(&answer)) != (ssize_t)hr_buf_len(&answer))
        die("answer");
    hr_buf_fini(&answer);
    return fd;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void broadcast(const int *fds, size_t n, size_t rounds, size_t bytes)
{
    static uint8_t frame[HR_WS_MAX_HEADER + MAX_MESSAGE];
    size_t head = hr_ws_put_header(frame, HR_WS_TEXT, true, bytes, NULL);
    memset(frame + head, 'x', bytes);
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < n; i++)
            if (write(fds[i], frame, head + bytes) < 0)
                die("write");
}

int main(int argc, char **argv)
{
    size_t n = argc == 3 ? strtoul(argv[2], NULL, 10) : 0, rounds, bytes;
    int *fds = hr_calloc(n, sizeof *fds);
    if (n == 0 || !fds)
        return 2;
    int listener = listen_on((uint16_t)strtoul(argv[1], NULL, 10));
    printf("listening\n");
    fflush(stdout);
    for (size_t i = 0; i < n; i++)
        fds[i] = accept_websocket(listener);
    printf("ready\n");
    fflush(stdout);
    while (scanf("%zu %zu", &rounds, &bytes) == 2 && bytes <= MAX_MESSAGE) {
        double before = cpu_seconds();
        broadcast(fds, n, rounds, bytes);
        printf("%.6f\n", cpu_seconds() - before);
        fflush(stdout);
    }
    hr_free(fds);
    return 0;
}
