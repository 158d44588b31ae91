"""Notes in a database, told to whoever has the page open once they are committed. See examples/notes."""

import json
import signal
import sqlite3
import subprocess
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect
from support.headrace import PATIENCE, Headrace, example, wait_until
from websockets.sync.client import connect

JSON = {"Content-Type": "application/json"}


def notes(tmp_path, *options, workers=2, env=None):
    return Headrace(tmp_path, example("notes"), "-w", workers, *options, env=env)


@pytest.fixture
def site(tmp_path):
    with notes(tmp_path) as site:
        yield site
        wait_until(site.is_at_rest, "every gauge back at zero")


def ask(site, method, path, body=None, **headers):
    """Status, headers and JSON of an answer. `if_match="*"` is the header If-Match."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, dict):
        body, sent = json.dumps(body).encode(), JSON | sent
    request = urllib.request.Request(site.url + path, body, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, content(answer)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers, content(answer)


def content(answer):
    text = answer.read()
    return json.loads(text) if text and answer.headers["Content-Type"] == "application/json" else None


def post(site, title, text="", **headers):
    status, _, note = ask(site, "POST", "/notes", {"title": title, "text": text}, **headers)
    assert status == 201
    return note


def put(site, note, title, text=""):
    return ask(site, "PUT", f"/notes/{note['id']}", {"title": title, "text": text}, if_match=f'"{note["version"]}"')


def listed(site):
    return ask(site, "GET", "/notes")[2]


@contextmanager
def dial(site):
    """A socket that has been told the version."""
    with connect(site.url.replace("http", "ws") + "/live") as client:
        assert hear(client).keys() == {"version"}
        yield client


def hear(client):
    return json.loads(client.recv(PATIENCE))


def database(site):
    return sqlite3.connect(site.directory / "notes.db", isolation_level=None, check_same_thread=False)


# ---- REST


def test_a_note_is_made_read_replaced_and_deleted(site):
    status, headers, note = ask(site, "POST", "/notes", {"title": " Sluice ", "text": "Opens at six.\n"})
    assert (status, headers["Location"], headers["ETag"]) == (201, "/notes/1", '"1"')
    assert (note["id"], note["version"], note["title"], note["text"]) == (1, 1, "Sluice", "Opens at six.\n")
    assert ask(site, "GET", "/notes/1")[::2] == (200, note)

    status, headers, later = put(site, note, "Sluice", 'Opens at "seven"')
    assert (status, headers["ETag"], later["version"], later["text"]) == (200, '"2"', 2, 'Opens at "seven"')
    assert listed(site) == {"version": 2, "notes": [later]}

    assert ask(site, "DELETE", "/notes/1", if_match='"2"')[::2] == (204, None)
    assert ask(site, "GET", "/notes/1")[0] == 404
    assert listed(site) == {"version": 3, "notes": []}
    assert post(site, "next")["id"] == 2, "a number is not given twice"


def test_who_knows_the_version_is_not_sent_it_again(site):
    post(site, "one")
    post(site, "two")
    for path, tag in ("/notes", '"2"'), ("/notes/1", '"1"'), ("/notes/2", 'W/"2"'):
        status, headers, _ = ask(site, "GET", path, if_none_match=tag)
        assert (status, headers["ETag"]) == (304, tag.removeprefix("W/"))
        assert ask(site, "GET", path, if_none_match='"7"')[0] == 200
    assert ask(site, "HEAD", "/notes")[0] == 200


def test_a_change_of_another_version_is_refused_and_shows_what_is_there(site):
    first = post(site, "first")
    second = put(site, first, "second")[2]
    for answer in put(site, first, "third"), ask(site, "DELETE", "/notes/1", if_match='"1"'):
        assert answer[0] == 409
        assert (answer[2]["note"], answer[1]["ETag"]) == (second, '"2"')
    assert listed(site) == {"version": 2, "notes": [second]}, "what was refused has no number"
    assert ask(site, "PUT", "/notes/1", {"title": "any", "text": ""}, if_match="*")[0] == 200
    assert ask(site, "DELETE", "/notes/1", if_match="*")[0] == 204


GOOD = {"title": "t", "text": ""}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/notes", b"", JSON, 400),
        ("POST", "/notes", b'{"title":', JSON, 400),
        ("POST", "/notes", b"[]", JSON, 400),
        ("POST", "/notes", {"title": "t"}, {}, 400),
        ("POST", "/notes", {"title": 5, "text": ""}, {}, 400),
        ("POST", "/notes", {"title": {"a": 1}, "text": ""}, {}, 400),
        ("POST", "/notes", {"title": " \n", "text": ""}, {}, 400),
        ("POST", "/notes", {"title": "é" * 101, "text": ""}, {}, 400),
        ("POST", "/notes", {"title": "t", "text": "x" * 4001}, {}, 400),
        ("POST", "/notes", GOOD, {"Idempotency-Key": "k" * 41}, 400),
        ("POST", "/notes", {"title": "t", "text": "x" * 40_000}, {}, 413),
        ("POST", "/notes", b'{"title":"t","text":""}', {"Content-Type": "text/plain"}, 415),
        ("PUT", "/notes/1", GOOD, {}, 428),
        ("PUT", "/notes/1", GOOD, {"If-Match": "1"}, 400),
        ("PUT", "/notes/1", GOOD, {"If-Match": '"1", "2"'}, 400),
        ("PUT", "/notes/1", {"title": ""}, {"If-Match": '"1"'}, 400),
        ("PUT", "/notes/9", GOOD, {"If-Match": "*"}, 404),
        ("DELETE", "/notes/1", None, {}, 428),
        ("DELETE", "/notes/9", None, {"If-Match": "*"}, 404),
        ("GET", "/notes/", None, {}, 404),
        ("GET", "/notes/0", None, {}, 404),
        ("GET", "/notes/1x", None, {}, 404),
        ("GET", "/notes/99999999999999999999", None, {}, 404),
        ("PATCH", "/notes", None, {}, 405),
        ("POST", "/notes/1", GOOD, {}, 405),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_changes_nothing(site, method, path, body, headers, status):
    note = post(site, "one")
    given, sent, answer = ask(site, method, path, body, **headers)
    assert given == status
    assert status == 413 or answer["error"]  # 413 is the runtime's own
    assert ("Allow" in sent) == (status == 405)
    assert listed(site) == {"version": 1, "notes": [note]}


def test_what_is_asked_again_is_done_once(site):
    first = post(site, "once", idempotency_key="k1")
    with dial(site) as client:
        again = ask(site, "POST", "/notes", {"title": "once", "text": ""}, idempotency_key="k1")
        assert again[::2] == (200, first)
        second = put(site, first, "twice")
        assert put(site, first, "twice")[::2] == second[::2]
        ask(site, "DELETE", "/notes/1", if_match="*")
        assert [hear(client)["version"] for _ in range(2)] == [2, 3], "nobody is told twice"


def test_text_that_is_no_unicode_is_told_as_text(site):
    with dial(site) as client:
        body = b'{"title":"a\\ud800b","text":"c\xffd\\ud83d\\ude00"}'
        status, _, note = ask(site, "POST", "/notes", body, **JSON)
        assert (status, note["title"], note["text"]) == (201, "a\ufffdb", "c\ufffdd\U0001f600")
        assert hear(client)["saved"] == note


def test_the_longest_notes_fit_and_there_is_a_most_of_them(site):
    note = post(site, "\x1f" * 199 + "t", "\x1e" * 4000)
    assert (len(note["title"]), len(note["text"])) == (200, 4000)
    with database(site) as db:
        db.execute("BEGIN IMMEDIATE")
        for version in range(2, 501):
            sql = "INSERT INTO notes (version, title, text, changed) SELECT ?, title, text, changed FROM notes WHERE id = 1"
            db.execute(sql, (version,))
        db.execute("UPDATE last_change SET version = 500")
        db.execute("COMMIT")
    assert ask(site, "POST", "/notes", GOOD)[0] == 507
    assert len(listed(site)["notes"]) == 500
    ask(site, "DELETE", "/notes/7", if_match="*")
    assert post(site, "room again")["version"] == 502


# ---- one database, several processes


def test_writers_of_several_processes_lose_nothing_and_number_it_all(tmp_path):
    with notes(tmp_path, workers=4) as site, ThreadPoolExecutor(16) as pool, dial(site) as client:
        made = list(pool.map(lambda i: post(site, f"note {i}"), range(200)))
        assert sorted(note["version"] for note in made) == list(range(1, 201))
        assert {note["title"] for note in made} == {f"note {i}" for i in range(200)}
        assert sorted(hear(client)["version"] for _ in made) == list(range(1, 201))


def test_while_another_program_writes_a_change_waits_and_its_worker_goes_on_reading(tmp_path):
    with notes(tmp_path, workers=1) as site, ThreadPoolExecutor(1) as pool, dial(site) as client:
        note = post(site, "before")
        assert hear(client)["saved"] == note
        with database(site) as db:
            db.execute("BEGIN IMMEDIATE")
            change = pool.submit(put, site, note, "after")
            wait_until(lambda: site.pool("web")["busy"] == 1, "the change to wait")
            for _ in range(20):
                assert listed(site)["notes"] == [note]
            assert not change.done()
            db.execute("ROLLBACK")
        assert change.result()[0] == 200
        assert hear(client)["saved"]["title"] == "after"


def test_while_another_program_reads_a_change_does_not_wait(site):
    post(site, "before")
    with database(site) as db:
        db.execute("BEGIN")
        seen = db.execute("SELECT count(*) FROM notes").fetchone()
        post(site, "after")
        assert db.execute("SELECT count(*) FROM notes").fetchone() == seen == (1,), "of one moment"
        db.execute("ROLLBACK")


def test_a_database_that_stays_busy_is_503_and_nobody_is_told(site):
    with database(site) as db, dial(site) as client:
        db.execute("BEGIN IMMEDIATE")
        status, headers, _ = ask(site, "POST", "/notes", GOOD)
        assert (status, headers["Retry-After"]) == (503, "1")
        db.execute("ROLLBACK")
        assert post(site, "later")["version"] == 1
        assert hear(client)["version"] == 1


def test_workers_that_start_wait_for_whoever_prepares_the_new_database(tmp_path):
    """SQLite does not by itself, when the journal's mode is to change: of workers that started together, some failed."""
    db = sqlite3.connect(tmp_path / "notes.db", isolation_level=None, check_same_thread=False)
    db.execute("BEGIN IMMEDIATE")
    release = threading.Timer(1.5, db.rollback)
    release.start()
    with notes(tmp_path) as site:
        assert release.finished.is_set()
        assert post(site, "first")["version"] == 1
    db.close()


def test_a_database_that_cannot_be_is_said_at_the_start(tmp_path):
    (tmp_path / "notes.db").write_text("this is no database, whatever its name is")
    with pytest.raises(AssertionError, match="headrace ended with 3"), notes(tmp_path):
        pass
    assert "notes: no database in notes.db: file is not a database" in (tmp_path / "headrace.log").read_text()


# ---- the page


@pytest.fixture
def open_page(site, window):
    def open_window(**options):
        page = window(**options)
        page.goto(site.url)
        expect(page.locator("body")).to_have_attribute("data-link", "open")
        return page

    return open_window


def write(page, title, text):
    page.get_by_role("button", name="New note").click()
    page.get_by_label("Title").fill(title)
    page.get_by_label("Text").fill(text)
    page.get_by_role("button", name="Save", exact=True).click()


def edit(page, title):
    page.locator("#notes button", has_text=title).click()


def expect_titles(page, *titles):
    """Exactly these notes, the last change first."""
    expect(page.locator("#notes strong")).to_have_text(list(titles))


def expect_never_reconnected(*pages):
    for page in pages:
        expect(page.locator("body")).to_have_attribute("data-link", "open")
        expect(page.locator("body")).to_have_attribute("data-connections", "1")


def test_a_note_saved_in_one_window_or_by_curl_appears_in_the_other(site, open_page):
    ada, grace = open_page(), open_page(width=390, height=760, color_scheme="dark")
    expect(grace.locator("#empty")).to_contain_text("No notes yet")
    write(ada, "Sluice", "Opens at six.")
    expect_titles(ada, "Sluice")
    expect_titles(grace, "Sluice")

    post(site, "From a shell")
    for page in ada, grace:
        expect_titles(page, "From a shell", "Sluice")
    edit(grace, "Sluice")
    grace.get_by_label("Text").fill("Opens at seven.")
    grace.keyboard.press("Control+Enter")
    expect(grace.get_by_role("dialog")).to_be_hidden()
    for page in ada, grace:
        expect_titles(page, "Sluice", "From a shell")
        expect(page.locator("#notes span").first).to_have_text("Opens at seven.")
    expect_never_reconnected(ada, grace)


def test_all_workers_killed_between_two_changes_and_nobody_notices(site, open_page, shot):
    for title, text in [
        ("Grease", "Two tins are left. Order six, and a brush."),
        ("Ice", "Two degrees below zero from Friday on. Keep the leat moving, lamps to the rack."),
        ("Visitors", "A school class on Thursday at ten, 24 children.\n\nShow them the eel ladder and the old stones."),
        ("Trash rack", "Full of leaves every morning until November. Rake before opening."),
        ("Second wheel", "Its bearing is warm after an hour.\n1. Clean the channel\n2. New felt\n3. Measure again"),
    ]:
        post(site, title, text)
    ada, grace = open_page(height=560), open_page()
    write(ada, "Sluice", "Opens at six, closes when the mill stops.")
    expect(grace.locator("#notes strong").first).to_have_text("Sluice")

    dead = site.kill_workers()
    assert len(dead) == 2
    write(grace, "Killed", "All workers, with -9, between two notes. Nobody noticed.")
    expect(ada.locator("#notes strong").first).to_have_text("Killed")
    post(site, "By curl", "curl --json @note.json http://127.0.0.1:8000/notes")
    for page in ada, grace:
        expect_titles(page, "By curl", "Killed", "Sluice", "Second wheel", "Trash rack", "Visitors", "Ice", "Grease")
    expect_never_reconnected(ada, grace)
    site.wait_for_workers("web", 2, without=dead)
    assert site.pool("web")["lost"] == 0
    shot(ada, "notes")


TRAP = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <sqlite3.h>

/* Of a commit: with a file `kill`, its process is gone right after it; with a file `fail`, it fails. Once each. */
int sqlite3_exec(sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **), void *arg, char **error)
{
    int (*real)(sqlite3 *, const char *, int (*)(void *, int, char **, char **), void *, char **);
    *(void **)&real = dlsym(RTLD_NEXT, "sqlite3_exec");
    if (strcmp(sql, "COMMIT") != 0)
        return real(db, sql, row, arg, error);
    if (unlink("fail") == 0)
        return SQLITE_FULL;
    int r = real(db, sql, row, arg, error);
    if (r == SQLITE_OK && unlink("kill") == 0)
        kill(getpid(), SIGKILL);
    return r;
}
"""


@pytest.fixture
def trapped_site(tmp_path):
    """site.trap("kill"): the next worker that commits dies before it tells anybody. site.trap("fail"): it cannot."""
    (tmp_path / "trap.c").write_text(TRAP)
    command = ["cc", "-shared", "-fPIC", "trap.c", "-o", "trap.so", "-Wl,--no-as-needed", "-lsqlite3"]
    subprocess.run(command, cwd=tmp_path, check=True)
    with notes(tmp_path, env={"LD_PRELOAD": str(tmp_path / "trap.so")}) as site:
        site.trap = lambda name: (tmp_path / name).touch()
        yield site
        assert not (tmp_path / "kill").exists() and not (tmp_path / "fail").exists()
        wait_until(site.is_at_rest, "every gauge back at zero")


def test_nobody_is_told_of_what_could_not_be_committed(trapped_site):
    site = trapped_site
    with dial(site) as client:
        site.trap("fail")
        assert ask(site, "POST", "/notes", GOOD)[0] == 500
        assert listed(site) == {"version": 0, "notes": []}
        post(site, "told")
        told = hear(client)
        assert (told["version"], told["saved"]["title"]) == (1, "told")


def test_a_worker_killed_between_commit_and_notification_loses_only_the_notification(trapped_site):
    site = trapped_site
    with dial(site) as client:
        site.trap("kill")
        assert ask(site, "POST", "/notes", GOOD)[0] == 502
        assert hear(client) == {"version": 1}, "the worker in its place says that something has changed"
        assert [note["title"] for note in listed(site)["notes"]] == ["t"]
    assert site.pool("web")["lost"] == 0


def test_pages_heal_when_a_worker_is_killed_between_commit_and_notification(trapped_site, window):
    site = trapped_site
    pages = [window(), window()]
    for page in pages:
        page.goto(site.url)
        expect(page.locator("body")).to_have_attribute("data-version", "0")
    site.trap("kill")
    write(pages[0], "Once", "Its writer asks again.")
    for page in pages:
        expect_titles(page, "Once")
    expect(pages[0].get_by_role("dialog")).to_be_hidden()

    site.trap("kill")
    edit(pages[1], "Once")
    pages[1].get_by_label("Title").fill("Twice")
    pages[1].get_by_role("button", name="Save", exact=True).click()
    for page in pages:
        expect_titles(page, "Twice")
    expect(pages[1].get_by_role("dialog")).to_be_hidden()

    site.trap("kill")
    edit(pages[0], "Twice")
    pages[0].get_by_role("button", name="Delete").click()
    for page in pages:
        expect_titles(page)
    expect_never_reconnected(*pages)
    assert listed(site) == {"version": 3, "notes": []}, "each change was made once"
    window.complaints.clear()  # the browser's own, about each 502


def change_in_silence(site, title):
    """By a program that tells nobody, so that pages miss a notification."""
    with database(site) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE last_change SET version = version + 1")
        db.execute("UPDATE notes SET title = ?, version = (SELECT version FROM last_change) WHERE id = 1", (title,))
        db.execute("COMMIT")


def test_a_page_that_missed_a_notification_sees_the_gap_and_reads_anew(site, open_page):
    post(site, "first")
    page = open_page()
    expect_titles(page, "first")
    change_in_silence(site, "changed in silence")
    post(site, "told")
    expect_titles(page, "told", "changed in silence")
    expect(page.locator("body")).to_have_attribute("data-version", "3")


def test_notifications_that_overtake_each_other_are_no_gap(site, open_page):
    post(site, "first")
    page = open_page()
    expect_titles(page, "first")
    reads = []
    page.on("request", lambda request: reads.append(request.url))
    note = '{id: %d, version: %d, title: "%s", text: "", changed: "2026-01-01T00:00:00.000Z"}'
    page.evaluate("heard({version: 3, saved: %s})" % (note % (3, 3, "third")))
    expect_titles(page, "first")
    page.evaluate("heard({version: 2, saved: %s})" % (note % (2, 2, "second")))
    page.evaluate("heard({version: 2, saved: %s})" % (note % (2, 2, "late")))
    expect_titles(page, "third", "second", "first")
    assert reads == []


def test_a_dead_interface_server_is_reconnected_to_and_what_was_missed_is_read(tmp_path, window):
    with notes(tmp_path, "--server-processes", "1") as site:
        post(site, "first")
        page = window()
        page.goto(site.url)
        expect_titles(page, "first")
        server = site.pids("server")[0]
        site.kill(server, signal.SIGSTOP)
        change_in_silence(site, "missed")
        site.kill(server)
        expect(page.locator("body")).to_have_attribute("data-connections", "2")
        expect_titles(page, "missed")
        window.complaints.clear()  # the browser's own, about the connection that failed


def test_two_who_edit_the_same_note_do_not_overwrite_each_other(site, window, open_page):
    post(site, "Sluice", "six")
    ada, grace = open_page(), open_page()
    for page in ada, grace:
        edit(page, "Sluice")
    ada.get_by_label("Text").fill("seven")
    ada.get_by_role("button", name="Save", exact=True).click()
    expect(grace.get_by_label("Text")).to_have_value("seven")  # had changed nothing herself

    edit(ada, "Sluice")
    for page, text in (grace, "eight"), (ada, "nine"):
        page.get_by_label("Text").fill(text)
    grace.get_by_role("button", name="Save", exact=True).click()
    expect(ada.locator("#ask")).to_contain_text("Somebody has changed this note meanwhile.")
    ada.get_by_role("button", name="Save", exact=True).click()
    expect(ada.get_by_label("Text")).to_have_value("nine")
    ada.get_by_role("button", name="Keep mine").click()
    ada.get_by_role("button", name="Save", exact=True).click()
    for page in ada, grace:
        expect(page.locator("#notes span")).to_have_text("nine")

    for page, text in (grace, "ten"), (ada, "eleven"):
        edit(page, "Sluice")
        page.get_by_label("Text").fill(text)
    grace.get_by_role("button", name="Save", exact=True).click()
    ada.get_by_role("button", name="Take theirs").click()
    expect(ada.get_by_label("Text")).to_have_value("ten")
    ada.keyboard.press("Escape")
    expect(ada.get_by_role("dialog")).to_be_hidden()
    window.complaints.clear()  # the browser's own, about the 409


def test_a_note_deleted_meanwhile_is_not_lost_for_who_edits_it(site, open_page):
    post(site, "Sluice", "six")
    ada, grace = open_page(), open_page()
    edit(ada, "Sluice")
    ada.get_by_label("Text").fill("seven")
    edit(grace, "Sluice")
    grace.get_by_role("button", name="Delete").click()
    expect_titles(grace)
    ada.get_by_role("button", name="Save it as a new one").click()
    for page in ada, grace:
        expect_titles(page, "Sluice")
        expect(page.locator("#notes span")).to_have_text("seven")


def test_a_deletion_can_be_undone(site, open_page):
    post(site, "Sluice", "six")
    page = open_page()
    edit(page, "Sluice")
    page.get_by_role("button", name="Delete").click()
    expect_titles(page)
    page.get_by_role("button", name="Undo").click()
    expect_titles(page, "Sluice")
    expect(page.locator("#notes span")).to_have_text("six")


def test_a_page_that_hears_no_answer_asks_again_and_nothing_is_done_twice(site, window, open_page):
    page = open_page()
    asked = []

    def lose_the_first_answer(route):
        asked.append(route.request.method)
        answer = route.fetch()
        if len(asked) == 1:
            route.abort()
        else:
            route.fulfill(response=answer)

    page.route("**/notes", lambda route: route.continue_() if route.request.method == "GET" else lose_the_first_answer(route))
    write(page, "Sluice", "six")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect_titles(page, "Sluice")
    assert asked == ["POST", "POST"]
    assert listed(site)["version"] == 1
    window.complaints.clear()  # the browser's own, about the answer that was lost


def test_nothing_that_is_written_becomes_markup(open_page):
    ada, grace = open_page(), open_page()
    evil = "<img src=x onerror=alert(1)>", '</span><script>alert(2)</script>"&lt;'
    write(ada, *evil)
    expect_titles(grace, evil[0])
    expect(grace.locator("#notes span")).to_have_text(evil[1])
    expect(grace.locator("#notes :is(img, script)")).to_have_count(0)


def test_the_page_works_with_the_keyboard_finds_and_warns(open_page):
    page = open_page()
    for title in "Sluice", "Grease":
        page.get_by_role("button", name="New note").focus()
        page.keyboard.press("Enter")
        page.keyboard.type(title)
        page.keyboard.press("Enter")
        page.keyboard.type("text of it")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_role("dialog")).to_be_hidden()
    expect_titles(page, "Grease", "Sluice")
    page.get_by_label("Search").fill("SLUI")
    expect_titles(page, "Sluice")
    page.get_by_label("Search").fill("nothing like it")
    expect(page.locator("#empty")).to_contain_text("Nothing found")
    page.get_by_label("Search").fill("")

    edit(page, "Grease")
    page.get_by_label("Text").fill("x" * 4001)
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()
    expect(page.locator("#told")).to_have_text("1 bytes too long")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keep writing").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
