"""Every mistake a newcomer can make, and every place a layer cannot be put, has its words and its exit code."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from support.headrace import BUILD, FOREIGN, Headrace, example, free_port

HEADRACE = str(BUILD / "headrace")
HELLO = str(example("hello"))
NOBODY = 65534


def run(*words, cwd, env=None, prefix=(), program=HEADRACE):
    """The program to its end: exit code, and what it said on both outputs."""
    clean = {k: v for k, v in os.environ.items() if k not in FOREIGN and not k.startswith("HEADRACE_")}
    done = subprocess.run(
        [*prefix, str(program), *map(str, words)],
        cwd=cwd,
        env=clean | (env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout


def run_site(tmp_path, *words, layer=None, **options):
    place = ("--layer", layer or f"ipc:{tmp_path / 'layer'}", "--port", free_port())
    return run("run", *place, *words, cwd=tmp_path, **options)


# -- the application


def test_an_application_that_is_not_there(tmp_path):
    code, said = run_site(tmp_path, "./nothere.so")
    assert code == 4
    assert "no application at ./nothere.so: No such file or directory" in said


def test_nothing_to_run_says_what_was_looked_for(tmp_path):
    code, said = run_site(tmp_path)
    assert code == 4
    assert "nothing to run" in said
    for place in ("HEADRACE_APP", "headrace.ini", "manage.py", "headrace run ./app.so"):
        assert place in said


def test_a_library_that_is_no_application(tmp_path):
    library = next(Path("/usr/lib").glob("*/libz.so.1"), None) or next(Path("/usr/lib").glob("*/libc.so.6"))
    code, said = run_site(tmp_path, library)
    assert code == 4
    assert "has no hr_app()" in said and "int hr_app(struct hr_worker *worker)" in said


def test_a_file_that_is_no_library(tmp_path):
    (tmp_path / "app.so").write_text("not a library\n")
    code, said = run_site(tmp_path, "./app.so")
    assert code == 4
    assert "./app.so cannot be loaded" in said


@pytest.mark.parametrize("app, wrote", [("refusing", "the database is not there"), ("crashing", "the ledger is torn")])
def test_an_application_that_fails_at_boot_is_quoted(tmp_path, app, wrote):
    code, said = run_site(tmp_path, "-w", 1, BUILD / "tests" / "system" / f"{app}.so")
    assert code == 3
    assert "web.1 did not start: " in said
    assert f"\n  It wrote:\n    {wrote}\n" in said


@pytest.mark.parametrize("app", ["mysite.asgi:application", "mysite.settings"])
def test_a_python_application_is_recognised(tmp_path, app):
    code, said = run_site(tmp_path, app)
    assert code == 4
    assert "Python" in said


# -- the network


def test_a_port_that_is_taken_names_who_has_it(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = run("run", "--layer", f"ipc:{tmp_path / 'layer'}", "-p", port, HELLO, cwd=tmp_path)
    assert code == 5
    assert f"cannot listen on http://127.0.0.1:{port}: the port is taken" in said
    assert f"pid {os.getpid()}" in said


def test_a_privileged_port_is_refused_in_words(open_directory):
    os.chown(open_directory, NOBODY, NOBODY)
    start = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if int(start.read_text()) == 0:  # containers allow all ports: then there is nothing to refuse
        return
    drop = (*as_nobody(), "--inh-caps=-all", "--bounding-set=-all")
    layer = f"ipc:{open_directory}/layer"
    code, said = run("run", "--layer", layer, "-p", 1, open_directory / "hello.so", cwd=open_directory, prefix=drop,
                     program=open_directory / "headrace")
    assert code == 5
    assert "ports below 1024 are root's" in said


# -- flags and settings


@pytest.mark.parametrize(
    "words, code, said",
    [
        (("run", "--prot", "8000", "x.so"), 2, "unknown flag --prot; did you mean --port?"),
        (("run", "-p", "99999", "x.so"), 2, "port: must be from 0 to 65535, not 99999"),
        (("run", "-p", "abc", "x.so"), 2, "'abc' is no number"),
        (("sned", "x"), 2, "did you mean 'headrace send'?"),
        (("run", "--layer", "foo:bar", "x.so"), 2, "neither ipc:DIRECTORY nor memory:"),
        (("run", "--layer", "memory:", "-w", "2", HELLO), 2, "with --layer memory: there is one"),
        (("run", "--layer", "memory:", "--reload", HELLO), 2, "needs processes to exchange"),
        (("check", "-c", "nothere.ini"), 1, "cannot read nothere.ini: No such file or directory"),
    ],
)
def test_a_wrong_word_on_the_command_line(tmp_path, words, code, said):
    got, text = run(*words, cwd=tmp_path)
    assert (got, said in text) == (code, True), text


@pytest.mark.parametrize(
    "line, said",
    [
        ("max_boddy = 5MiB", "headrace.ini:2: [server] has no key 'max_boddy'; did you mean 'max_body'?"),
        ("max_body = lots", "headrace.ini:2: max_body: 'lots' is no size"),
        ("keep_alive = soon", "headrace.ini:2: keep_alive: 'soon' is no"),
    ],
)
def test_a_wrong_setting_is_shown_with_its_line(tmp_path, line, said):
    (tmp_path / "headrace.ini").write_text(f"[server]\n{line}\n")
    code, text = run("check", cwd=tmp_path)
    assert (code, said in text) == (1, True), text


def test_a_file_with_an_unknown_section(tmp_path):
    (tmp_path / "headrace.ini").write_text("[sever]\nport = 1\n")
    code, text = run("check", cwd=tmp_path)
    assert code == 1
    assert "headrace.ini:1" in text or "headrace.ini:2" in text
    assert "sever" in text


# -- the layer


def test_no_layer_says_where_it_looked_and_what_runs(tmp_path):
    with Headrace(tmp_path / "site", HELLO) as site:
        code, said = run("status", "--layer", site.layer, cwd=tmp_path)
        assert code == 0, said
    code, said = run("send", "--layer", f"ipc:{tmp_path / 'nowhere'}", "some.channel", "a=1", cwd=tmp_path)
    assert code == 6
    assert f"no channel layer at ipc:{tmp_path / 'nowhere'}" in said


def test_a_second_run_on_the_same_layer_names_the_first(tmp_path):
    with Headrace(tmp_path, HELLO) as site:
        code, said = run_site(tmp_path, HELLO, layer=site.layer)
        assert code == 6
        assert str(site.process.pid) in said


def test_a_layer_of_another_version_is_refused(tmp_path):
    layer = tmp_path / "layer"
    layer.mkdir(mode=0o700)
    (layer / "arena.v999").write_bytes(b"")
    code, said = run_site(tmp_path, HELLO)
    assert code == 6
    assert "another version" in said and "arena.v999" in said


def test_a_damaged_arena_is_refused(tmp_path):
    layer = tmp_path / "layer"
    with Headrace(tmp_path, HELLO):
        pass
    arena = next(layer.glob("arena.v*"))
    with arena.open("r+b") as file:
        file.write(b"garbage!" * 16)
    code, said = run_site(tmp_path, HELLO)
    assert code == 6
    assert "damaged" in said


def test_a_layer_directory_open_to_others_is_refused(tmp_path):
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer").chmod(0o755)
    code, said = run_site(tmp_path, HELLO)
    assert code == 6
    assert "chmod 700" in said


def as_nobody():
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@pytest.fixture
def open_directory():
    """A directory that another user can enter, which pytest's own are not."""
    path = Path("/tmp") / f"headrace-newcomer-{os.getpid()}"
    path.mkdir(mode=0o755)
    for file in (HEADRACE, HELLO):  # the checkout may lie where nobody else can go
        shutil.copy(file, path)
    yield path
    shutil.rmtree(path)


def test_another_users_layer_is_refused_with_his_name(open_directory):
    layer = open_directory / "layer"
    layer.mkdir(mode=0o700)
    os.chown(layer, 1, 1)  # daemon's
    code, said = run("status", "--layer", f"ipc:{layer}", cwd="/")
    assert code in (0, 6)  # root takes the owner's uid first, and then finds no arena
    assert "no channel layer" in said
    os.chown(layer, NOBODY, NOBODY)
    code, said = run("send", "--layer", f"ipc:{layer}", "x", "a=1", cwd="/",
                     prefix=("setpriv", "--reuid=1", "--clear-groups"), program=open_directory / "headrace")
    assert code == 6
    assert "Permission denied" in said or "belongs to" in said


def test_an_unreadable_place_is_refused(open_directory):
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    code, said = run("run", "--layer", f"ipc:{closed}/layer", "-p", free_port(), open_directory / "hello.so", cwd="/",
                     prefix=as_nobody(), program=open_directory / "headrace")
    assert code == 6
    assert f"ipc:{closed}/layer" in said and "Permission denied" in said


def in_mount_namespace(mount_options, path):
    """Runs what follows with a tmpfs of its own at `path`, which nobody else sees."""
    # unshare's own --propagation fails where / is no mount point, as in a chroot, which is private then.
    script = f"mount --make-rprivate / 2>/dev/null; mount -t tmpfs -o {mount_options} none {path} && exec \"$@\""
    return ("unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script, "sh")


def test_a_file_system_too_small_for_the_arena(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    code, said = run_site(
        tmp_path, HELLO, layer=f"ipc:{small}/layer", prefix=in_mount_namespace("size=1m,mode=0700", small)
    )
    assert code == 6
    assert "No space left on device" in said and "too small" in said


def test_a_read_only_file_system(tmp_path):
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    code, said = run_site(tmp_path, HELLO, layer=f"ipc:{frozen}/layer", prefix=in_mount_namespace("ro,mode=0700", frozen))
    assert code == 6
    assert "Read-only file system" in said


@pytest.mark.parametrize("limit", [16, 40, 63])
def test_too_few_descriptors_are_refused_before_anything_starts(tmp_path, limit):
    code, said = run_site(tmp_path, HELLO, prefix=("prlimit", f"--nofile={limit}:{limit}"))
    assert code == 1
    assert f"only {limit} open files are allowed" in said and "ulimit -n" in said
    assert not (tmp_path / "layer").exists()


def test_the_least_number_of_descriptors_is_enough(tmp_path):
    with Headrace(tmp_path, HELLO, "-w", "2") as site:
        for pid in (site.process.pid, *site.children()):
            limit = Path(f"/proc/{pid}/limits").read_text().split("Max open files")[1].split()
            assert limit[0] == limit[1], "the soft limit is raised to the hard one"
