/* test_sockets.c - listening: shared ports, taken ports, unix sockets that are replaced safely. */
#include "test_cli.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/exit.h"
#include "cli/sockets.h"

struct site {
    struct hr_settings *settings;
    struct hr_sockets sockets;
    char why[512];
    int code;
};

static void open_site(struct site *site, const char *line)
{
    site->settings = scratch_settings(line);
    site->code =
        hr_sockets_open(&site->settings->server, &site->sockets, site->why, sizeof site->why);
}

static void close_site(struct site *site)
{
    hr_sockets_close(&site->sockets);
    hr_settings_unref(site->settings);
}

static bool is_answered(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bool is = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static void each_server_has_a_socket_on_the_same_port(void **state)
{
    struct site site = {0};
    (void)state;
    open_site(&site, "check --host 127.0.0.1 -p 0 --server-processes 3");
    assert_int_equal(site.code, 0);
    assert_int_equal(site.sockets.n, 1);
    assert_int_equal(site.sockets.items[0].n_fds, 3);
    uint16_t port = site.sockets.items[0].bind.port;
    assert_true(port != 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(port_of(site.sockets.items[0].fds[i]), port);
    close_site(&site);
}

/* SO_REUSEPORT alone would let a second site of the same user in, and share the clients out. */
static void a_port_of_another_site_is_taken(void **state)
{
    struct site first = {0}, second = {0};
    char line[64];
    (void)state;
    open_site(&first, "check -p 0");
    snprintf(line, sizeof line, "check -p %u", (unsigned)first.sockets.items[0].bind.port);
    open_site(&second, line);
    assert_int_equal(second.code, HR_EXIT_BIND);
    assert_holds(second.why, "the port is taken, by ");
    assert_holds(second.why, "(pid ");
    assert_holds(second.why, "--port ");
    close_site(&second);
    close_site(&first);
}

static void a_unix_socket_is_made_and_taken_away(void **state)
{
    struct site site = {0};
    (void)state;
    open_site(&site, "check -b unix:site.sock --server-processes 2");
    assert_int_equal(site.code, 0);
    assert_int_equal(site.sockets.items[0].n_fds, 1);
    assert_true(is_answered("site.sock"));
    close_site(&site);
    assert_int_equal(access("site.sock", F_OK), -1);
}

static void a_stale_unix_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    struct site first = {0}, second = {0};
    (void)state;
    open_site(&first, "check -b unix:site.sock");
    open_site(&second, "check -b unix:site.sock");
    assert_int_equal(second.code, HR_EXIT_BIND);
    assert_holds(second.why, "another process listens on it");
    close_site(&second);
    assert_true(is_answered("site.sock"));

    close(first.sockets.items[0].fds[0]); /* as if it had been killed */
    first.sockets.items[0].fds[0] = -1;
    open_site(&second, "check -b unix:site.sock");
    assert_int_equal(second.code, 0);
    assert_true(is_answered("site.sock"));
    close_site(&first); /* must leave alone what is no longer its own */
    assert_true(is_answered("site.sock"));
    close_site(&second);
}

static void a_file_in_the_way_is_left_alone(void **state)
{
    struct site site = {0};
    (void)state;
    scratch_write("site.sock", "precious");
    open_site(&site, "check -b unix:site.sock");
    assert_int_equal(site.code, HR_EXIT_BIND);
    assert_holds(site.why, "something is there that is no socket");
    close_site(&site);
    assert_int_equal(access("site.sock", F_OK), 0);
}

static void an_inherited_descriptor_must_be_a_listening_socket(void **state)
{
    struct site first = {0}, second = {0};
    char line[64];
    (void)state;
    open_site(&first, "check -b unix:site.sock");
    int fd = dup(first.sockets.items[0].fds[0]);
    snprintf(line, sizeof line, "check -b fd://%d", fd);
    open_site(&second, line);
    assert_int_equal(second.code, 0);
    close_site(&second);
    open_site(&second, line); /* closed by now */
    assert_int_equal(second.code, HR_EXIT_BIND);
    assert_holds(second.why, "no such descriptor was inherited");
    close_site(&second);

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(line, sizeof line, "check -b fd://%d", fd);
    open_site(&second, line);
    assert_int_equal(second.code, HR_EXIT_BIND);
    assert_holds(second.why, "is no listening socket");
    close_site(&second);
    close(fd);
    close_site(&first);
}

static void the_admin_listener_is_one_for_all(void **state)
{
    struct site site = {0};
    (void)state;
    open_site(&site, "check -p 0 --admin 127.0.0.1:0 --server-processes 2");
    assert_int_equal(site.code, 0);
    assert_int_equal(site.sockets.n, 2);
    assert_false(site.sockets.items[0].is_admin);
    assert_true(site.sockets.items[1].is_admin);
    assert_int_equal(site.sockets.items[1].n_fds, 1);
    close_site(&site);
}

int test_sockets(void)
{
#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_enter, scratch_leave)
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(each_server_has_a_socket_on_the_same_port),
        IN_SCRATCH(a_port_of_another_site_is_taken),
        IN_SCRATCH(a_unix_socket_is_made_and_taken_away),
        IN_SCRATCH(a_stale_unix_socket_is_replaced_and_a_live_one_is_not),
        IN_SCRATCH(a_file_in_the_way_is_left_alone),
        IN_SCRATCH(an_inherited_descriptor_must_be_a_listening_socket),
        IN_SCRATCH(the_admin_listener_is_one_for_all),
    };
    return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}
