/* own_main.c - a worker with a main() of its own, for test_life.c: tells the channel "said" what it
 * does. Called with "flood" it is a child for test_later.c, which leaves 300 000 bytes in its pipe.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <headrace/worker.h>

static int say(struct hr_layer *layer, const char *word)
{
    uint8_t room[64];
    struct hr_pack pack;
    hr_pack_init(&pack, room, sizeof room);
    hr_pack_map(&pack, 1);
    hr_pack_cstr(&pack, "word");
    hr_pack_cstr(&pack, word);
    int r = hr_pack_done(&pack);
    return r < 0 ? r : hr_layer_send(layer, HR_LIT("said"), room, hr_pack_len(&pack), NULL);
}

static int on_ask(struct hr_ctx *ctx, const struct hr_msg *msg)
{
    (void)msg;
    return say(hr_worker_layer(hr_ctx_worker(ctx)), "asked");
}

static int app(struct hr_worker *worker)
{
    static const struct hr_consumer consumers[] = {{.channel = "ask", .fn = on_ask}, {0}};
    int r = hr_worker_consume(worker, consumers);
    return r < 0 ? r : say(hr_worker_layer(worker), "ready");
}

static int flood(void)
{
    static char bytes[300000];
    bool has_room = fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 1 << 20) >= (int)sizeof bytes;
    return has_room && write(STDOUT_FILENO, bytes, sizeof bytes) == sizeof bytes ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "flood") == 0)
        return flood();
    return hr_worker_main(argc, argv, app);
}
