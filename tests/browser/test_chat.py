"""Two people chat while everything behind their sockets dies. See examples/chat."""

import os
import signal
from contextlib import contextmanager
from urllib.parse import quote_from_bytes

import pytest
from playwright.sync_api import expect
from support.headrace import Headrace, example, wait_until
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

RECEIVE = "websocket.receive.web"


@contextmanager
def chat(tmp_path, *options):
    history = tmp_path / "history"
    env = {"CHAT_HISTORY": str(history)}
    with Headrace(tmp_path, example("chat"), "-w", "2", *options, env=env) as site:
        site.history = history
        yield site


@pytest.fixture
def site(tmp_path):
    with chat(tmp_path) as site:
        yield site
        wait_until(site.is_at_rest, "every gauge back at zero")


@pytest.fixture
def enter(site, window):
    """`ada = enter("Ada")`: a window of somebody in a room."""

    def enter_room(nick, room="mill", **options):
        page = window(**options)
        page.goto(f"{site.url}/?room={room}")
        page.get_by_label("Name", exact=True).fill(nick)
        page.keyboard.press("Enter")
        expect(page.locator("body")).to_have_attribute("data-link", "open")
        return page

    return enter_room


def say(page, text):
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def expect_said(page, *texts):
    """Exactly these messages, once each and in this order, and none still on its way."""
    expect(page.locator("#log .text")).to_have_text(list(texts))
    expect(page.locator("#log .sending")).to_have_count(0)


def expect_never_reconnected(*pages):
    for page in pages:
        expect(page.locator("body")).to_have_attribute("data-link", "open")
        expect(page.locator("body")).to_have_attribute("data-connections", "1")


def message_in_hand(site, room, speak):
    """Has a worker take a message and not come back from it: its history file has become a pipe that nobody reads.

    Returns with the pipe gone again: only who opened it hangs."""
    log, aside = site.history / f"room.{room}", site.history / "aside"
    log.rename(aside)
    os.mkfifo(log)
    speak()
    hung = wait_until(lambda: [pid for pid in site.pids("worker") if is_opening(pid)], "a worker to take the message")
    aside.rename(log)
    return hung


def is_opening(pid):
    with open(f"/proc/{pid}/wchan", encoding="ascii") as wchan:
        return wchan.read() in ("fifo_open", "wait_for_partner")


def test_what_one_says_the_other_reads_and_both_know_who_is_there(enter):
    ada = enter("Ada")
    expect(ada.locator("#here")).to_have_text("Only you are here")
    grace = enter("Grace", width=390, height=760, color_scheme="dark")
    expect(ada.locator("#here")).to_have_text("2 here")
    expect(ada.locator(".notice").last).to_have_text("Grace joined")

    say(grace, "Good morning. Is the sluice open?")
    say(ada, "Since six. The wheel is turning nicely.")
    lines = ["Good morning. Is the sluice open?", "Since six. The wheel is turning nicely."]
    expect_said(ada, *lines)
    expect_said(grace, *lines)
    expect(ada.locator("li.mine .text")).to_have_text(lines[1:])
    expect(grace.locator("li.mine .text")).to_have_text(lines[:1])

    grace.close()
    expect(ada.locator("#here")).to_have_text("Only you are here")
    expect(ada.locator(".notice").last).to_have_text("Grace left")


def test_who_comes_later_reads_what_was_said_before(site, enter):
    ada = enter("Ada")
    for i in range(60):
        say(ada, f"line {i}")
    expect(ada.locator("#log .text")).to_have_count(60)
    grace = enter("Grace")
    expect_said(grace, *(f"line {i}" for i in range(10, 60)))
    expect(enter("Linus", room="other").locator("#log .text")).to_have_count(0)


def test_nothing_that_is_said_becomes_markup(enter):
    evil = ["<img src=x onerror=alert(1)>", "</p><script>alert(2)</script>", "a\tb", "&lt;", "javascript:alert(3)"]
    ada = enter("<i>Ada</i>")
    for text in evil:
        say(ada, text)
    grace = enter("Grace", room="mill")
    evil[2] = "a b"
    expect_said(grace, *evil)
    expect(grace.locator(".meta bdi").first).to_have_text("<i>Ada</i>")
    expect(grace.locator("#log :is(i, img, script, a)")).to_have_count(0)


def test_a_message_keeps_its_line_breaks_and_its_links(enter):
    ada, grace = enter("Ada"), enter("Grace")
    box = ada.get_by_label("Message", exact=True)
    box.fill("one")
    box.press("Shift+Enter")
    ada.keyboard.type("two https://example.org/a?b=c&d, three")
    ada.keyboard.press("Enter")
    expect(grace.locator("#log .text")).to_have_text("one\ntwo https://example.org/a?b=c&d, three", use_inner_text=True)
    expect(grace.locator("#log a")).to_have_attribute("href", "https://example.org/a?b=c&d")


def test_a_reader_of_old_lines_is_not_scrolled_away(enter):
    ada, grace = enter("Ada"), enter("Grace")
    for i in range(40):
        say(ada, f"line {i}")
    expect(grace.locator("#log .text")).to_have_count(40)
    grace.locator("#scroll").evaluate("box => { box.scrollTop = 0; }")
    say(ada, "news")
    expect(grace.locator("#newer")).to_have_text("↓ 1 new message")
    assert grace.locator("#scroll").evaluate("box => box.scrollTop") == 0
    grace.locator("#newer").click()
    expect(grace.get_by_text("news", exact=True)).to_be_in_viewport()
    expect(grace.locator("#newer")).to_be_hidden()


def test_all_workers_killed_between_two_messages_and_nobody_notices(site, enter, shot):
    ada, grace = enter("Ada"), enter("Grace")
    say(grace, "Good morning. Is the sluice open?")
    say(ada, "Since six. The wheel is turning nicely.")
    expect_said(grace, "Good morning. Is the sluice open?", "Since six. The wheel is turning nicely.")

    dead = site.kill_workers()
    assert len(dead) == 2
    say(ada, "I have just killed all workers. Did you notice?")
    say(grace, "Killed what?")

    lines = [
        "Good morning. Is the sluice open?",
        "Since six. The wheel is turning nicely.",
        "I have just killed all workers. Did you notice?",
        "Killed what?",
    ]
    expect_said(ada, *lines)
    expect_said(grace, *lines)
    expect_never_reconnected(ada, grace)
    site.wait_for_workers("web", 2, without=dead)
    wait_until(lambda: site.pool("web")["exits_1h"] == 2, "the supervisor's report of the exits")
    assert site.pool("web")["lost"] == 0
    assert {line["pid"] for line in site.events("worker_died")} == set(dead)
    shot(ada, "chat")


def test_a_message_in_hand_when_all_workers_are_killed_is_redelivered(site, enter):
    ada, grace = enter("Ada"), enter("Grace")
    say(ada, "before")
    expect_said(grace, "before")

    hung = message_in_hand(site, "mill", lambda: say(ada, "in hand"))
    expect(ada.locator(".sending .text")).to_have_text("in hand")
    dead = site.kill_workers()
    assert set(hung) <= set(dead)

    expect_said(ada, "before", "in hand")
    expect_said(grace, "before", "in hand")
    say(grace, "after")
    expect_said(ada, "before", "in hand", "after")
    expect_never_reconnected(ada, grace)
    site.wait_for_workers("web", 2, without=dead)
    assert site.pool("web")["lost"] == 0
    assert site.channel(RECEIVE)["dropped"] == {}
    wait_until(lambda: site.pool("web")["last_exit"].startswith("SIGKILL"), "the supervisor's report of the exits")


def test_a_message_lost_with_its_worker_is_counted_and_the_page_says_it_again(tmp_path, window):
    with chat(tmp_path, "--set", "pool.web.on_crash=count") as site:
        ada = window()
        ada.goto(f"{site.url}/?room=mill")
        ada.get_by_label("Name", exact=True).fill("Ada")
        ada.keyboard.press("Enter")
        expect(ada.locator("body")).to_have_attribute("data-link", "open")
        say(ada, "before")
        expect_said(ada, "before")

        message_in_hand(site, "mill", lambda: say(ada, "in hand"))
        site.kill_workers()
        wait_until(lambda: site.pool("web")["lost"] == 1, "the status to count the message")
        assert site.channel(RECEIVE)["dropped"] == {"worker_died": 1}
        expect_said(ada, "before", "in hand")
        expect_never_reconnected(ada)


def test_a_dead_interface_server_is_reconnected_to_and_nothing_is_lost_or_doubled(tmp_path, window):
    with chat(tmp_path, "--server-processes", "1") as site:
        ada = window()
        ada.goto(f"{site.url}/?room=mill")
        ada.get_by_label("Name", exact=True).fill("Ada")
        ada.keyboard.press("Enter")
        expect(ada.locator("body")).to_have_attribute("data-link", "open")
        say(ada, "before")
        expect_said(ada, "before")

        server = site.pids("server")[0]
        site.kill(server, signal.SIGSTOP)  # so that the next message stays unheard
        say(ada, "unheard")
        expect(ada.locator(".sending .text")).to_have_text("unheard")
        site.kill(server)

        expect(ada.locator("body")).to_have_attribute("data-connections", "2")
        expect_said(ada, "before", "unheard")
        window.complaints.clear()  # the browser's own, about the connection that failed


def test_the_page_works_with_the_keyboard_alone(site, window):
    page = window()
    page.goto(site.url)
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_have_attribute("data-link", "open")
    page.keyboard.type("typed at once")
    page.keyboard.press("Enter")
    expect_said(page, "typed at once")
    page.reload()
    expect(page.get_by_role("dialog")).to_be_hidden()  # the name is remembered
    expect_said(page, "typed at once")
    assert page.url.endswith("/?room=lobby")


def test_what_was_heard_is_not_said_again(site, window):
    page = window()
    page.clock.install()
    page.goto(site.url)
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    expect(page.locator("body")).to_have_attribute("data-link", "open")
    say(page, "once")
    expect_said(page, "once")
    page.clock.run_for(30_000)
    say(page, "after")
    expect_said(page, "once", "after")
    assert (site.history / "room.lobby").read_text().count("\n") == 2


def test_a_line_that_is_heard_late_stands_where_its_time_says(enter):
    ada = enter("Ada")
    say(ada, "now")
    expect_said(ada, "now")
    ada.evaluate("onLine('86400000\\tsaid\\tGrace\\tearlier\\tlong ago\\t')")
    expect_said(ada, "long ago", "now")
    expect(ada.locator("[data-day]")).to_have_count(2)


# What no page of ours would say, by a client that is no browser.


def dial(site, nick=b"Ada", room=b"mill"):
    query = f"nick={quote_from_bytes(nick)}&room={quote_from_bytes(room)}"
    return connect(f"{site.url.replace('http', 'ws')}/chat?{query}")


@pytest.mark.parametrize(
    ("nick", "room", "status"),
    [
        (b"", b"mill", 403),
        (b"x" * 33, b"mill", 403),
        (b"Ada", b"", 403),
        (b"Ada", b"r" * 65, 403),
        (b"\xff\xfe", b"mill", 400),
    ],
)
def test_a_name_that_cannot_be_one_is_denied(site, nick, room, status):
    with pytest.raises(InvalidStatus) as denied:
        dial(site, nick, room)
    assert denied.value.response.status_code == status


@pytest.mark.parametrize("message", ["no tab", "\tno id", "id\t", "i" * 41 + "\ttext", "id\t" + "x" * 1001, b"id\tbytes"])
def test_a_message_that_cannot_be_one_closes_only_its_own_socket(site, message):
    with dial(site) as good, dial(site) as bad:
        bad.send(message)
        with pytest.raises(ConnectionClosedError) as closed:
            while True:
                bad.recv()
        assert closed.value.rcvd.code == 1008
        good.send("id\tstill here")
        wait_until(lambda: "still here" in good.recv(), "the good one to be served")


def test_control_characters_cannot_make_fields_or_files(site):
    with dial(site, nick=b"A\td\na", room=b"../../\0/x\xff") as client:
        client.send("i\x00d\ta\tb\nc\x7f")
        said = next(line for line in client if "said" in line)
    assert said.split("\t")[1:] == ["said", "A d a", "i d", "a b c ", ""]
    assert [path.parent for path in site.history.iterdir()] == [site.history]


def test_the_history_stays_small_and_a_line_cut_short_by_a_kill_is_skipped(site):
    with dial(site) as client:
        for i in range(200):
            client.send(f"id{i}\t{'é' * 450}")
        assert next(line for line in client if "id199" in line)
    files = list(site.history.iterdir())
    assert {path.name for path in files} == {"room.mill", "room.mill.old"}
    assert sum(path.stat().st_size for path in files) < 140_000
    with (site.history / "room.mill").open("ab") as file:
        file.write("\n123\tsaid\tAda\tidcut\té".encode()[:-1])
    with dial(site) as client:
        client.send("last\tone")
        assert next(line for line in client if "last" in line)
    with dial(site) as client:
        lines = client.recv().strip("\n").split("\n")
    assert [line.split("\t")[3] for line in lines] == [f"id{i}" for i in range(152, 200)] + ["last"]
