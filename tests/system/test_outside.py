"""A user of the installed library: compiles outside the tree with what pkg-config says, and runs it."""

import os
import shutil
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest

from support.headrace import BUILD, PATIENCE, ROOT, free_port, wait_until


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Environment of a shell in which Headrace is installed."""
    root = tmp_path_factory.mktemp("installed")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root], check=True,
                   capture_output=True)
    (pc,) = root.rglob("headrace.pc")
    (library,) = root.rglob("libheadrace.so")
    (program,) = root.rglob("bin/headrace")
    return os.environ | {
        "PKG_CONFIG_PATH": str(pc.parent),
        "PKG_CONFIG_SYSROOT_DIR": str(root),
        "LD_LIBRARY_PATH": str(library.parent),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
    }


def shell(command, directory, env):
    done = subprocess.run(["sh", "-ec", command], cwd=directory, env=env, capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return answer.read().decode()
    except OSError:
        return None


def stop(process):
    process.terminate()
    assert process.wait(PATIENCE) == 0


def test_hello_compiles_outside_the_tree_as_its_comment_says_and_runs(installed, tmp_path):
    source = ROOT / "examples" / "hello" / "hello.c"
    shutil.copy(source, tmp_path)
    lines = [line.strip(" */") for line in source.read_text().split("*/")[0].splitlines()]
    (compile_command,) = [line for line in lines if line.startswith("cc ")]
    (run_command,) = [line for line in lines if line.startswith("headrace ")]
    shell(compile_command, tmp_path, installed)
    port = free_port()
    command = f"exec {run_command} --layer ipc:{tmp_path}/layer --port {port}"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(["sh", "-c", command], cwd=tmp_path, env=installed, stdout=log, stderr=log)
    try:
        assert wait_until(lambda: get(port, "/outside"), "hello to answer") == "Hello /outside\n"
    finally:
        stop(process)


def test_a_program_with_a_main_of_its_own_is_a_worker(installed, tmp_path):
    """`headrace serve` holds the sockets; the program brings the code."""
    shutil.copy(Path(__file__).parent / "apps" / "own_main.c", tmp_path)
    shell("cc own_main.c -o own $(pkg-config --cflags --libs headrace)", tmp_path, installed)
    assert "libheadrace.so.0" in shell("ldd ./own", tmp_path, installed)
    port = free_port()
    layer = ["--layer", f"ipc:{tmp_path}/layer"]
    log_path = tmp_path / "log"
    halves = []

    def start(*words):
        with log_path.open("ab") as log:
            halves.append(subprocess.Popen([*words, *layer], cwd=tmp_path, env=installed, stdout=log, stderr=log))
        return halves[-1]

    try:
        start("headrace", "serve", "--port", str(port))
        wait_until(lambda: '"start"' in log_path.read_text(), "the sockets' half")
        own = start("./own")
        assert get(port, "/me") == "main() greets /me\n"
        stop(own)
        halves.remove(own)
        waiting = threading.Timer(0.3, start, ["./own"])
        waiting.start()
        assert get(port, "/again") == "main() greets /again\n", "the request waited for it"
        waiting.join()
    finally:
        for half in reversed(halves):
            stop(half)


def test_the_headers_stand_alone_and_are_cplusplus(installed, tmp_path):
    for header in ("error", "layer", "message", "types", "version", "worker"):
        (tmp_path / "one.c").write_text(f"#include <headrace/{header}.h>\nint x;\n")
        shell("cc -std=c17 -Wall -Wextra -Wpedantic -Werror -fsyntax-only $(pkg-config --cflags headrace) one.c",
              tmp_path, installed)
        shell("c++ -x c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags headrace) one.c",
              tmp_path, installed)
