/* test_forwarded.c - whom a request comes from: what trusted proxies say, and what anybody can say.
 */
#include <stdio.h>

#include "harness.h"
#include "server/forwarded.h"
#include "suites.h"

enum { MAX_LINES = 6, MAX_TRUSTED = 4 };

struct row {
    const char *trusted; /* with spaces between */
    const char *peer;    /* "" for a unix socket */
    const char *lines[MAX_LINES];
    const char *wanted; /* "CLIENT PORT https HOST :PORT", without what is not known */
};

static size_t read_trusted(const char *text, struct hr_network out[MAX_TRUSTED])
{
    struct hr_str rest = hr_str_of(text), word;
    size_t n = 0;
    while (hr_str_next(&rest, ' ', &word))
        assert_true(hr_network_parse(word, &out[n++]));
    return n;
}

/* Nothing when it is not known. */
static void put_port(char out[8], const char *before, unsigned port)
{
    out[0] = '\0';
    if (port > 0)
        snprintf(out, 8, "%s%u", before, port);
}

static void check_row(const struct row *row)
{
    struct hr_network trusted[MAX_TRUSTED];
    struct hr_header headers[MAX_LINES];
    struct hr_http1_request request = {.headers = headers};
    struct hr_via via = {0};
    char ip[HR_PEER_TEXT_MAX], client_port[8], port[8], got[256];
    for (; row->lines[request.n_headers]; request.n_headers++) {
        struct hr_str value = hr_str_of(row->lines[request.n_headers]), name;
        hr_str_next(&value, ':', &name);
        headers[request.n_headers] = (struct hr_header){name, hr_str_trim(value)};
    }
    if (row->peer[0])
        assert_true(hr_peer_parse(hr_str_of(row->peer), &via.client));
    hr_forwarded_read(&request, trusted, read_trusted(row->trusted, trusted), &via);
    hr_peer_format(&via.client, ip);
    put_port(client_port, " ", via.client.port);
    put_port(port, " :", via.port);
    snprintf(got, sizeof got, "%s%s%s%s%.*s%s", ip, client_port, via.is_secure ? " https" : "",
             via.host.len ? " " : "", HR_STR(via.host), port);
    if (strcmp(got, row->wanted) != 0)
        fail_msg("%s, from '%s': '%s', not '%s'", row->lines[0], row->peer, got, row->wanted);
}

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_row(&rows[i]);
}
#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof *(rows))

static void only_trusted_peers_are_believed(void **state)
{
    static const struct row rows[] = {
        {"127.0.0.1", "127.0.0.1", {"x-forwarded-for: 6.6.6.6"}, "6.6.6.6"},
        {"127.0.0.1", "127.0.0.2", {"x-forwarded-for: 6.6.6.6"}, "127.0.0.2"},
        {"127.0.0.1", "127.0.0.2", {"forwarded: for=6.6.6.6;proto=https"}, "127.0.0.2"},
        {"127.0.0.1", "10.0.0.1:99", {"x-forwarded-proto: https"}, "10.0.0.1 99"},
        {"", "127.0.0.1", {"x-forwarded-for: 6.6.6.6"}, "127.0.0.1"},
        {"10.0.0.0/8", "10.255.0.1", {"x-forwarded-for: 6.6.6.6"}, "6.6.6.6"},
        {"10.0.0.0/8", "11.0.0.1", {"x-forwarded-for: 6.6.6.6"}, "11.0.0.1"},
        {"10.0.0.0/9", "10.128.0.1", {"x-forwarded-for: 6.6.6.6"}, "10.128.0.1"},
        {"10.0.0.0/9", "10.127.0.1", {"x-forwarded-for: 6.6.6.6"}, "6.6.6.6"},
        {"0.0.0.0/0", "1.2.3.4", {"x-forwarded-for: ::1"}, "::1"},
        {"::/0", "1.2.3.4", {"x-forwarded-for: 6.6.6.6"}, "1.2.3.4"},
        {"2001:db8::/33", "2001:db8:7fff::1", {"x-forwarded-for: 6.6.6.6"}, "6.6.6.6"},
        {"2001:db8::/33", "2001:db8:8000::1", {"x-forwarded-for: 6.6.6.6"}, "2001:db8:8000::1"},
        {"::ffff:10.0.0.0/104", "10.9.9.9", {"x-forwarded-for: 6.6.6.6"}, "6.6.6.6"},
        {"10.0.0.1", "::ffff:10.0.0.1", {"x-forwarded-for: 6.6.6.6"}, "6.6.6.6"},
        {"unix", "", {"x-forwarded-for: 6.6.6.6"}, "6.6.6.6"},
        {"127.0.0.1", "", {"x-forwarded-for: 6.6.6.6"}, ""},
        {"unix", "127.0.0.1", {"x-forwarded-for: 6.6.6.6"}, "127.0.0.1"},
        {"*", "", {"x-forwarded-for: 6.6.6.6"}, "6.6.6.6"},
    };
    (void)state;
    CHECK(rows);
}

static void the_right_most_that_is_not_trusted_is_the_client(void **state)
{
    static const struct row rows[] = {
        {"10.0.0.0/8", "10.0.0.1", {"x-forwarded-for: 6.6.6.6, 5.5.5.5"}, "5.5.5.5"},
        {"10.0.0.0/8", "10.0.0.1", {"x-forwarded-for: 6.6.6.6, 5.5.5.5, 10.0.0.2"}, "5.5.5.5"},
        {"10.0.0.0/8", "10.0.0.1", {"x-forwarded-for: 10.6.6.6,5.5.5.5,10.0.0.2"}, "5.5.5.5"},
        {"10.0.0.0/8", "10.0.0.1", {"x-forwarded-for: 10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
        {"10.0.0.0/8", "10.0.0.1", {"x-forwarded-for: 10.0.0.1"}, "10.0.0.1"},
        {"*", "9.9.9.9", {"x-forwarded-for: 6.6.6.6, 5.5.5.5, 10.0.0.2"}, "6.6.6.6"},
        {"10.0.0.0/8",
         "10.0.0.1",
         {"x-forwarded-for: 6.6.6.6", "host: h", "x-forwarded-for: 5.5.5.5",
          "x-forwarded-for: 10.0.0.2"},
         "5.5.5.5"},
        {"10.0.0.0/8", "10.0.0.1", {"x-forwarded-for: ,, 5.5.5.5 ,\t, 10.0.0.2,"}, "5.5.5.5"},
        {"10.0.0.0/8", "10.0.0.1", {"x-forwarded-for:"}, "10.0.0.1"},
        {"10.0.0.0/8", "10.0.0.1", {"x-forwarded-for: , ,"}, "10.0.0.1"},
        {"10.0.0.0/8",
         "10.0.0.1",
         {"forwarded: for=6.6.6.6", "forwarded: for=5.5.5.5;by=x, for=10.0.0.2"},
         "5.5.5.5"},
    };
    (void)state;
    CHECK(rows);
}

static void addresses_come_in_many_spellings(void **state)
{
    static const struct row rows[] = {
        {"*", "10.0.0.1", {"x-forwarded-for: 5.5.5.5:4711"}, "5.5.5.5 4711"},
        {"*", "10.0.0.1", {"x-forwarded-for: 2001:db8::7"}, "2001:db8::7"},
        {"*", "10.0.0.1", {"x-forwarded-for: [2001:db8::7]"}, "2001:db8::7"},
        {"*", "10.0.0.1", {"x-forwarded-for: [2001:DB8::7]:4711"}, "2001:db8::7 4711"},
        {"*", "10.0.0.1", {"x-forwarded-for: ::ffff:5.5.5.5"}, "5.5.5.5"},
        {"*", "10.0.0.1", {"forwarded: For=\"[2001:db8::7]:4711\""}, "2001:db8::7 4711"},
        {"*", "10.0.0.1", {"forwarded: for=\"5.5.5.5:4711\""}, "5.5.5.5 4711"},
        {"*", "10.0.0.1", {"forwarded: for=\"5.5.5.5:_hidden\""}, "5.5.5.5"},
        {"*", "10.0.0.1", {"forwarded: BY=x ; FOR=5.5.5.5 ;proto=HTTPS"}, "5.5.5.5 https"},
    };
    (void)state;
    CHECK(rows);
}

static void what_is_no_address_ends_the_search(void **state)
{
    static const char *const rubbish[] = {
        "unknown",    "_hidden",     "example.org", "5.5.5",       "5.5.5.5.5", "256.1.1.1",
        "05.5.5.5",   "[::1",        "::1]",        "[5.5.5.5]",   "[::1]x",    "fe80::1%lo",
        "::1::",      "\"5.5.5.5\"", ":80",         "5.5.5.5 6.6", "[",         "1:2:3:4",
        "0x7f.0.0.1", "-",           "5.5.5.5;",
    };
    (void)state;
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++) {
        char alone[128], behind[128], standard[128];
        snprintf(alone, sizeof alone, "x-forwarded-for: %s", rubbish[i]);
        snprintf(behind, sizeof behind, "x-forwarded-for: 6.6.6.6, %s, 10.0.0.2", rubbish[i]);
        snprintf(standard, sizeof standard, "forwarded: for=6.6.6.6, for=%s", rubbish[i]);
        check_row(&(struct row){"10.0.0.0/8", "10.0.0.1", {alone}, "10.0.0.1"});
        check_row(&(struct row){"10.0.0.0/8", "10.0.0.1", {behind}, "10.0.0.2"});
        /* Quoted it is right, and what stands behind a semicolon is no more of it. */
        bool is_right = strchr(rubbish[i], '"') || strchr(rubbish[i], ';');
        /* RFC 7239 6: brackets may be missing in practice, never around IPv4. */
        check_row(
            &(struct row){"10.0.0.0/8", "10.0.0.1", {standard}, is_right ? "5.5.5.5" : "10.0.0.1"});
    }
}

static void a_client_cannot_hide_behind_an_open_quote(void **state)
{
    static const struct row rows[] = {
        {"10.0.0.1", "10.0.0.1", {"forwarded: for=\", for=5.5.5.5"}, "5.5.5.5"},
        {"10.0.0.1", "10.0.0.1", {"forwarded: for=\", for=\"[::5]:1\""}, "::5 1"},
        {"10.0.0.1", "10.0.0.1", {"forwarded: for=\"\\\", for=\"[::5]:1\""}, "::5 1"},
        {"10.0.0.1",
         "10.0.0.1",
         {"forwarded: for=\"6.6.6.6, x=", "forwarded: for=5.5.5.5"},
         "5.5.5.5"},
        {"10.0.0.1", "10.0.0.1", {"forwarded: for=\"a,b\", for=5.5.5.5;x=\"c,\\\"d;\""}, "5.5.5.5"},
        {"10.0.0.1", "10.0.0.1", {"x-forwarded-for: \", 5.5.5.5"}, "5.5.5.5"},
        {"10.0.0.1", "10.0.0.1", {"x-forwarded-for: \"6.6.6.6, 5.5.5.5"}, "5.5.5.5"},
    };
    (void)state;
    CHECK(rows);
}

static void scheme_host_and_port_are_those_of_the_clients_hop(void **state)
{
    static const struct row rows[] = {
        {"10.0.0.1", "10.0.0.1", {"x-forwarded-proto: https"}, "10.0.0.1 https"},
        {"10.0.0.1", "10.0.0.1", {"x-forwarded-proto: WSS"}, "10.0.0.1 https"},
        {"10.0.0.1", "10.0.0.1", {"x-forwarded-proto: ftp"}, "10.0.0.1"},
        {"10.0.0.1", "10.0.0.1", {"x-forwarded-proto: https, http"}, "10.0.0.1"},
        /* One proxy that appends: what stands left of its word is the client's. */
        {"10.0.0.1",
         "10.0.0.1",
         {"x-forwarded-for: 6.6.6.6, 5.5.5.5", "x-forwarded-proto: https, http",
          "x-forwarded-host: evil.example, real.example", "x-forwarded-port: 1, 80"},
         "5.5.5.5 real.example :80"},
        /* Two that append. */
        {"10.0.0.0/8",
         "10.0.0.1",
         {"x-forwarded-for: 5.5.5.5, 10.0.0.2", "x-forwarded-proto: https, http",
          "x-forwarded-host: real.example:8443, inner"},
         "5.5.5.5 https real.example:8443"},
        /* Two, of which the first sets and the second lets through. */
        {"10.0.0.0/8",
         "10.0.0.1",
         {"x-forwarded-for: 5.5.5.5, 10.0.0.2", "x-forwarded-proto: https",
          "x-forwarded-port: 443"},
         "5.5.5.5 https :443"},
        {"10.0.0.1", "10.0.0.1", {"x-forwarded-host: a b"}, "10.0.0.1"},
        {"10.0.0.1", "10.0.0.1", {"x-forwarded-host: http://x/"}, "10.0.0.1"},
        {"10.0.0.1", "10.0.0.1", {"x-forwarded-host: [::1]:8000"}, "10.0.0.1 [::1]:8000"},
        {"10.0.0.1", "10.0.0.1", {"x-forwarded-port: 70000"}, "10.0.0.1"},
        {"10.0.0.1", "10.0.0.1", {"x-forwarded-port: -1"}, "10.0.0.1"},
        {"10.0.0.1",
         "10.0.0.1",
         {"forwarded: for=6.6.6.6;proto=https;host=evil, for=5.5.5.5;proto=http;host=real"},
         "5.5.5.5 real"},
        {"10.0.0.0/8",
         "10.0.0.1",
         {"forwarded: for=5.5.5.5;proto=https;host=\"real:8443\", for=10.0.0.2;host=inner"},
         "5.5.5.5 https real:8443"},
        {"10.0.0.1", "10.0.0.1", {"forwarded: proto=https"}, "10.0.0.1 https"},
        {"10.0.0.1", "10.0.0.1", {"forwarded: for=unknown;proto=https"}, "10.0.0.1 https"},
    };
    (void)state;
    CHECK(rows);
}

static void of_both_families_the_older_one_counts(void **state)
{
    static const struct row rows[] = {
        {"10.0.0.1",
         "10.0.0.1",
         {"forwarded: for=6.6.6.6;proto=https;host=evil", "x-forwarded-for: 5.5.5.5"},
         "5.5.5.5"},
        {"10.0.0.1",
         "10.0.0.1",
         {"x-forwarded-proto: http", "forwarded: for=6.6.6.6;proto=https"},
         "10.0.0.1"},
    };
    (void)state;
    CHECK(rows);
}

static void sets_of_peers_are_read_strictly(void **state)
{
    static const char *const wrong[] = {
        "",
        "localhost",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "::1/129",
        "10.0.0",
        "/8",
        "UNIX",
        "**",
        "10.0.0.1:80",
        "[::1]",
        "::ffff:10.0.0.0/95",
        "10.0.0.0/0x8",
        " 10.0.0.1",
    };
    struct hr_network network;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (hr_network_parse(hr_str_of(wrong[i]), &network))
            fail_msg("'%s' was taken for a network", wrong[i]);
}

/* ---- and what becomes of it */

static struct event event;
static struct answer answer;

static void assert_end(const char *key, const char *address, int port)
{
    struct hr_value list, item;
    assert_true(hr_msg_get(&event.msg, key, &list));
    assert_int_equal(list.type, HR_TYPE_LIST);
    struct hr_walk walk = hr_walk(&list);
    assert_true(hr_list_next(&walk, &item));
    if (!hr_str_eq(item.as.str, hr_str_of(address)))
        fail_msg("%s is %.*s, not %s", key, HR_STR(item.as.str), address);
    assert_true(hr_list_next(&walk, &item));
    assert_int_equal(item.as.integer, port);
}

static void applications_see_the_client_and_not_the_proxy(void **state)
{
    static struct hr_network everyone = {.is_everyone = true};
    struct world *w = world_new(&(struct hr_server_config){.trusted = &everyone, .n_trusted = 1});
    struct client *c = client_new(w);
    (void)state;
    client_say(c, "GET / HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 5.5.5.5\r\n"
                  "X-Forwarded-Proto: https\r\nX-Forwarded-Host: real.example\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "scheme", "https");
    assert_end("client", "5.5.5.5", 0);
    assert_end("server", "real.example", 443);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "one"), 0);
    client_answer(w, c, "GET", &answer);
    /* The next request of the connection may be another's, or the proxy's own. */
    client_say(c, "GET / HTTP/1.1\r\nHost: inner\r\nForwarded: for=\"[::5]:99\";host=\"[::1]:81\""
                  "\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_msg_str(&event, "scheme", "http");
    assert_end("client", "::5", 99);
    assert_end("server", "[::1]", 81);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "two"), 0);
    client_answer(w, c, "GET", &answer);
    client_say(c, "GET / HTTP/1.1\r\nHost: inner\r\nX-Forwarded-Port: 7\r\n\r\n");
    worker_take(w, w->worker, "http.request.web", &event);
    assert_end("server", "127.0.0.1", 7);
    assert_int_equal(reply_whole(w->worker, &event, 200, NULL, "three"), 0);
    client_answer(w, c, "GET", &answer);
    world_free(w);
}

static void the_origin_is_compared_with_the_host_that_the_client_asked_for(void **state)
{
    static struct hr_network everyone = {.is_everyone = true};
    struct world *w = world_new(&(struct hr_server_config){.trusted = &everyone, .n_trusted = 1});
    struct client *c = client_new(w);
    (void)state;
    ws_handshake(c, "/",
                 "Origin: https://real.example\r\nX-Forwarded-Host: real.example\r\n"
                 "X-Forwarded-Proto: https\r\n");
    worker_take(w, w->worker, "websocket.connect.web", &event);
    assert_msg_str(&event, "scheme", "wss");
    c = client_new(w);
    ws_handshake(c, "/", "Origin: https://real.example\r\n");
    client_answer(w, c, "GET", &answer);
    assert_int_equal(answer.status, 403);
    world_free(w);
}

int test_forwarded(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_trusted_peers_are_believed),
        cmocka_unit_test(the_right_most_that_is_not_trusted_is_the_client),
        cmocka_unit_test(addresses_come_in_many_spellings),
        cmocka_unit_test(what_is_no_address_ends_the_search),
        cmocka_unit_test(a_client_cannot_hide_behind_an_open_quote),
        cmocka_unit_test(scheme_host_and_port_are_those_of_the_clients_hop),
        cmocka_unit_test(of_both_families_the_older_one_counts),
        cmocka_unit_test(sets_of_peers_are_read_strictly),
        cmocka_unit_test(applications_see_the_client_and_not_the_proxy),
        cmocka_unit_test(the_origin_is_compared_with_the_host_that_the_client_asked_for),
    };
    return cmocka_run_group_tests_name("forwarded", tests, NULL, NULL);
}
