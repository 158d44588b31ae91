/* harness.c - the world: a loop, a layer, a server; see harness.h. */
#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the world */

static bool is_on_ipc;

void worlds_on_ipc(void)
{
    is_on_ipc = true;
}

static void remove_arena(const char *path)
{
    char name[sizeof((struct dirent *)NULL)->d_name + 64];
    DIR *dir = path[0] ? opendir(path) : NULL;
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        unlink(name);
    }
    closedir(dir);
    rmdir(path);
}

static int listen_on_loopback(uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

/* An abstract name that the kernel chooses. */
static int listen_on_unix(struct sockaddr_un *address, socklen_t *len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *len = sizeof *address;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, len), 0);
    return fd;
}

struct hr_layer *world_attach(struct world *w, enum hr_role role, const char *label)
{
    struct hr_layer_options options = {.role = role, .create = true, .label = label};
    struct hr_layer *layer = NULL;
    assert_int_equal(hr_layer_open(w->url, &options, &layer), 0);
    return layer;
}

static struct world *world_make(const struct hr_server_config *config, bool is_unix)
{
    static int number;
    struct world *w = calloc(1, sizeof *w);
    snprintf(w->url, sizeof w->url, "memory:server-test-%d", number++);
    if (is_on_ipc) {
        snprintf(w->dir, sizeof w->dir, "/dev/shm/headrace-test-XXXXXX");
        assert_non_null(mkdtemp(w->dir));
        snprintf(w->url, sizeof w->url, "ipc:%s", w->dir);
    }
    assert_int_equal(hr_loop_new(&w->loop), 0);
    w->layer = world_attach(w, HR_ROLE_SERVER, "server.1");
    if (config)
        w->config = *config;
    int fd = is_unix ? listen_on_unix(&w->path, &w->path_len) : listen_on_loopback(&w->port);
    w->listener = (struct hr_listener_config){.fd = fd, .name = "test"};
    w->admin = (struct hr_listener_config){.fd = listen_on_loopback(&w->admin_port), .name = "adm"};
    w->config.listeners = &w->listener;
    w->config.n_listeners = 1;
    w->config.admin = &w->admin;
    assert_int_equal(hr_server_open(w->loop, w->layer, &w->config, &w->server), 0);
    return w;
}

struct world *world_new_empty(const struct hr_server_config *config)
{
    return world_make(config, false);
}

static struct world *with_worker(struct world *w)
{
    w->worker = worker_new(w, "web.1");
    worker_put_pool(w->worker, &(struct pool_spec){.name = "web"});
    return w;
}

struct world *world_new(const struct hr_server_config *config)
{
    return with_worker(world_make(config, false));
}

struct world *world_new_unix(void)
{
    return with_worker(world_make(NULL, true));
}

void world_free(struct world *w)
{
    for (int i = 0; i < w->n_clients; i++)
        client_close(&w->clients[i]);
    hr_server_close(w->server);
    hr_layer_close(w->layer);
    hr_layer_close(w->worker);
    hr_loop_free(w->loop);
    close(w->listener.fd);
    close(w->admin.fd);
    remove_arena(w->dir);
    free(w);
}

void world_turn(struct world *w)
{
    struct pollfd events = {.fd = uv_backend_fd(hr_loop_uv(w->loop)), .events = POLLIN};
    if (w->n_idle++ >= 3) /* what a turn has begun the next one or two will end */
        poll(&events, 1, 2);
    hr_loop_turn(w->loop, false);
    for (int i = 0; i < w->n_clients; i++)
        if (client_move(&w->clients[i]))
            w->n_idle = 0;
}

void world_settle(struct world *w)
{
    for (int i = 0; i < 10; i++)
        world_turn(w);
}
