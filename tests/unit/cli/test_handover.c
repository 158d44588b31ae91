/* test_handover.c - listening sockets that go from a server to whoever asks for them. */
#include "test_cli.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/handover.h"

static int listening(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_return_code(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    assert_return_code(listen(fd, 1), 0);
    return fd;
}

static unsigned port_of(int fd)
{
    struct sockaddr_in in = {0};
    socklen_t len = sizeof in;
    return getsockname(fd, (struct sockaddr *)&in, &len) == 0 ? ntohs(in.sin_port) : 0;
}

/* Taking blocks, so the taker is a process of its own. Gives its exit code. */
static int take_beside(struct hr_loop *loop, int (*taker)(const void *arg), const void *arg)
{
    int status = 0;
    pid_t pid = fork();
    assert_return_code(pid, 0);
    if (pid == 0)
        _exit(taker(arg));
    while (waitpid(pid, &status, WNOHANG) == 0)
        hr_loop_turn(loop, false);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* 0 when all came where they belong; else says which did not. */
static int take_and_compare(const void *arg)
{
    const int *fds = arg;
    struct hr_sockets taken;
    if (hr_handover_take(".", "server.2", &taken) != 0)
        return 1;
    if (taken.n != 3)
        return 2;
    const struct hr_socket *shared = &taken.items[0], *spread = &taken.items[1],
                           *admin = &taken.items[2];
    if (shared->n_fds != 1 || port_of(shared->fds[0]) != port_of(fds[0]) || shared->is_admin)
        return 3;
    if (spread->n_fds != 3 || strcmp(spread->name, "http://127.0.0.1:8000") != 0)
        return 4;
    for (uint32_t i = 0; i < 3; i++)
        if (port_of(spread->fds[i]) != port_of(fds[1 + i]))
            return 5;
    if (!admin->is_admin || admin->n_fds != 1 || port_of(admin->fds[0]) != port_of(fds[4]))
        return 6;
    hr_sockets_close(&taken);
    return 0;
}

static void every_socket_comes_to_the_server_whose_it_is(void **state)
{
    static struct hr_handover handover;
    struct hr_loop *loop;
    int fds[5];
    (void)state;
    for (int i = 0; i < 5; i++)
        fds[i] = listening();
    assert_int_equal(hr_loop_new(&loop), 0);
    handover = (struct hr_handover){0};
    hr_handover_add(&handover, HR_LIT("server.2"), "unix:./up.sock", fds[0]);
    hr_handover_add(&handover, HR_LIT("server.2"), "http://127.0.0.1:8000", fds[2]);
    hr_handover_add(&handover, HR_LIT("admin"), "http://127.0.0.1:9091", fds[4]);
    hr_handover_add(&handover, HR_LIT("server.3"), "http://127.0.0.1:8000", fds[3]);
    hr_handover_add(&handover, HR_LIT("server.1"), "http://127.0.0.1:8000", fds[1]);
    assert_int_equal(hr_handover_open(&handover, loop, ".", "server.2"), 0);
    assert_int_equal(take_beside(loop, take_and_compare, fds), 0);
    assert_int_equal(take_beside(loop, take_and_compare, fds), 0); /* as often as asked */
    hr_handover_close(&handover);
    assert_int_equal(access("server.2.sockets", F_OK), -1);
    hr_loop_free(loop);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
}

static int take_many(const void *arg)
{
    struct hr_sockets taken;
    (void)arg;
    if (hr_handover_take(".", "server.1", &taken) != 0)
        return 1;
    return taken.n == 1 && taken.items[0].n_fds == HR_HANDOVER_MAX ? 0 : 2;
}

static void as_many_as_a_message_carries_go_at_once(void **state)
{
    static struct hr_handover handover;
    struct hr_loop *loop;
    int fd = listening();
    (void)state;
    handover = (struct hr_handover){0};
    for (int i = 0; i < HR_HANDOVER_MAX + 3; i++)
        hr_handover_add(&handover, HR_LIT("server.1"), "http://127.0.0.1:8000", fd);
    assert_int_equal(hr_loop_new(&loop), 0);
    assert_int_equal(hr_handover_open(&handover, loop, ".", "server.1"), 0);
    assert_int_equal(take_beside(loop, take_many, NULL), 0);
    hr_handover_close(&handover);
    hr_loop_free(loop);
    close(fd);
}

static void what_one_that_was_killed_left_behind_is_replaced(void **state)
{
    static struct hr_handover handover;
    struct hr_sockets taken;
    struct hr_loop *loop;
    (void)state;
    assert_int_equal(hr_handover_take(".", "server.1", &taken), HR_ERR_SYS); /* nobody is there */
    scratch_write("server.1.sockets", "");
    assert_int_equal(hr_handover_take(".", "server.1", &taken), HR_ERR_SYS);
    assert_int_equal(hr_loop_new(&loop), 0);
    handover = (struct hr_handover){0};
    assert_int_equal(hr_handover_open(&handover, loop, ".", "server.1"), 0);
    hr_handover_close(&handover);
    hr_loop_free(loop);
}

/* Somebody who answers with `text` and `n` descriptors. */
static void answer_with(int listener, const char *text, int n)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN((size_t)n * sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {.iov_len = strlen(text)};
    memcpy(&iov.iov_base, &text, sizeof text);
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    int zeroes[2] = {0, 0};
    memcpy(CMSG_DATA(&control.header), zeroes, (size_t)n * sizeof(int));
    if (n > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
    }
    int fd = accept(listener, NULL, NULL);
    sendmsg(fd, &msg, 0);
    close(fd);
}

static void answers_that_make_no_sense_are_refused(void **state)
{
    static char long_name[512] = "server.1=http://";
    memset(long_name + strlen(long_name), 'x', 400);
    long_name[strlen(long_name)] = '\n';
    const struct {
        const char *text;
        int n;
    } rows[] = {
        {long_name, 1},
        {"server.1=http://x\n", 0},
        {"server.1=http://x\n", 2},
        {"server.1=http://x\nserver.2=http://x\n", 1},
        {"nonsense\n", 1},
        {"\n", 1},
    };
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "server.1.sockets"};
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    (void)state;
    assert_return_code(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_return_code(listen(listener, 1), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            answer_with(listener, rows[i].text, rows[i].n);
            _exit(0);
        }
        struct hr_sockets taken;
        int r = hr_handover_take(".", "server.1", &taken);
        if (r != HR_ERR_MESSAGE)
            fail_msg("'%s' with %d descriptors gave %d", rows[i].text, rows[i].n, r);
        hr_sockets_close(&taken);
        waitpid(pid, &status, 0);
    }
    close(listener);
}

int test_handover(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_socket_comes_to_the_server_whose_it_is, scratch_enter,
                                        scratch_leave),
        cmocka_unit_test_setup_teardown(as_many_as_a_message_carries_go_at_once, scratch_enter,
                                        scratch_leave),
        cmocka_unit_test_setup_teardown(what_one_that_was_killed_left_behind_is_replaced,
                                        scratch_enter, scratch_leave),
        cmocka_unit_test_setup_teardown(answers_that_make_no_sense_are_refused, scratch_enter,
                                        scratch_leave),
    };
    return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
