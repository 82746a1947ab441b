"""Standard input, output and error that are closed, full, or have lost their reader."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from .children import PATIENCE, POSTHOUSE, environment, finished, running


def shell(home: Path, script: str, *arguments: str, **more: object) -> subprocess.Popen[bytes]:
    """``script`` with ``"$@"`` as the command, as a shell that is replaced by it."""
    return subprocess.Popen(["sh", "-c", script, "sh", *POSTHOUSE, *arguments], env=environment(home), **more)  # type: ignore[call-overload]


def ended(child: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    try:
        out, err = child.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        raise
    return child.returncode, (out or b"").decode(), (err or b"").decode()


def greeted(path: Path, child: subprocess.Popen[bytes]) -> None:
    """Wait for the opening reply of a listener on a unix socket."""
    end = time.monotonic() + PATIENCE
    while True:
        assert child.poll() is None, "the daemon ended"
        assert time.monotonic() < end
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            try:
                sock.connect(str(path))
                if sock.recv(100).startswith(b"220 "):
                    return
            except OSError:
                time.sleep(0.02)


def config(home: Path, workers: int) -> list[str]:
    file = home / "posthouse.toml"
    file.write_text(
        f'hostname = "mx.sina.com"\ndata_dir = "{home / "data"}"\nworkers = {workers}\n'
        f'[[listener]]\nbind = "unix:{home / "s"}"\n[[domain]]\nname = "sina.com"\nmailboxes = "any"\n'
    )
    return ["run", "--config", str(file)]


@pytest.mark.parametrize(
    ("redirections", "workers"),
    [
        (">&-", 1),
        ("<&-", 1),
        ("2>&-", 1),
        ("<&- >&- 2>&-", 1),
        (">&- 2>&-", 2),
        ("<&- >&-", 2),
        (">/dev/full", 1),
        (">/dev/full 2>&1", 2),
        ("2>/dev/full", 1),
        ("1</dev/null", 1),
    ],
)
def test_the_daemon_runs_and_ends_in_order_whatever_its_streams_are(
    tmp_path: Path, redirections: str, workers: int
) -> None:
    child = shell(tmp_path, f'exec "$@" {redirections}', *config(tmp_path, workers))
    try:
        greeted(tmp_path / "s", child)
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0
    finally:
        child.kill()
        child.wait(PATIENCE)


def test_the_daemon_outlives_the_reader_of_its_output(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    child = shell(tmp_path, 'exec "$@" 2>&1', *config(tmp_path, 1), stdout=write)
    os.close(write)
    try:
        greeted(tmp_path / "s", child)
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 0
    finally:
        child.kill()
        child.wait(PATIENCE)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_daemon_runs_though_nobody_reads_its_full_output(tmp_path: Path, workers: int) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x" * 4096)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, b"x")
        os.set_blocking(write, True)
        child = shell(tmp_path, 'exec "$@" 2>&1', *config(tmp_path, workers), stdout=write)
        try:
            greeted(tmp_path / "s", child)
            child.send_signal(signal.SIGTERM)
            assert child.wait(PATIENCE) == 0
        finally:
            child.kill()
            child.wait(PATIENCE)
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize("arguments", [["explain", "550"], ["--help"], ["check", "config", "posthouse.toml"]])
def test_output_that_is_closed_or_full(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "posthouse.toml").write_text("")
    everything = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    assert ended(shell(tmp_path, 'exec "$@" <&- >&- 2>&-', *arguments, **everything)) == (0, "", "")
    code, _, err = ended(shell(tmp_path, 'exec "$@" >/dev/full', *arguments, **everything))
    assert code == 74
    assert err.startswith("posthouse: standard output cannot be written (No space left on device)")
    assert err.count("\n") == 1


def test_a_message_that_was_sent_is_not_reported_as_unsent(tmp_path: Path) -> None:
    """A script that sees a failure sends again, so the exit code is that of the sending."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(tmp_path, "sink", "--bind", "127.0.0.1:0", "--json") as sink:
        server = f"smtp://{sink.line_with('listening on').split()[2].rstrip(';')}"
        send = ["send", "--server", server, "--from", "a@b.test", "--to", "c@d.test", "--text", "hello"]
        for number, script in enumerate(('exec "$@" >/dev/full', 'exec "$@" >/dev/full'), 1):
            code, _, err = ended(shell(tmp_path, script, *send, *(["--transcript"] if number == 2 else []), **pipes))
            assert code == 0, err
            assert "standard output could not be written (No space left on device)" in err
        assert ended(shell(tmp_path, 'exec "$@" >&-', *send, **pipes)) == (0, "", "")
        read, write = os.pipe()
        os.close(read)
        code, _, err = ended(shell(tmp_path, 'exec "$@"', *send, stdout=write, stderr=subprocess.PIPE))
        os.close(write)
        assert (code, "Broken pipe" in err) == (0, True)
        assert ended(shell(tmp_path, 'exec "$@" 2>/dev/full', *send, **pipes))[0] == 0
        # Nothing was sent: the failure is told as ever.
        nobody = [*send[:2], "smtp://127.0.0.1:1", *send[3:]]
        assert ended(shell(tmp_path, 'exec "$@" >/dev/full', *nobody, **pipes))[0] in (69, 75)
        sink.tell(signal.SIGTERM)
        assert sink.ended() == 0
        assert json.loads("\n".join(sink.out))["messages"] == 5


def test_output_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    """Another program may have set the mode of a pipe that it shares with the command."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    child = shell(tmp_path, 'exec "$@"', "explain", "x.x.x", stdout=write)
    os.close(write)
    with os.fdopen(read, "rb") as reader:
        text = reader.read()
    assert child.wait(PATIENCE) == 0
    assert len(text.splitlines()) > 50


def test_ctrl_c_during_the_imports_prints_no_traceback(tmp_path: Path) -> None:
    """The interrupt comes with the first import of the command line, and then with that of the command."""
    for module in ("posthouse.cli", "click", "posthouse.cli.explain", "posthouse.service"):
        (tmp_path / "sitecustomize.py").write_text(
            "import os, signal, sys\n"
            "class Interrupting:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            f"        if name == {module!r}:\n"
            "            os.kill(os.getpid(), signal.SIGINT)\n"
            "sys.meta_path.insert(0, Interrupting())\n"
        )
        path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = finished(tmp_path, "explain", "550", PYTHONPATH=path)
        assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", ""), module  # click ends the line


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("ImportError('cannot import name x')", 70),
        ("SyntaxError('cut in\\n two')", 70),
        ("OSError(24, 'Too many open files')", 74),
        ("MemoryError()", 70),
    ],
)
def test_an_error_outside_of_the_command_line_has_a_sentence_and_a_code(tmp_path: Path, raised: str, code: int) -> None:
    """A module that cannot be imported, as while another version is installed."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Failing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'posthouse.cli':\n"
        f"            raise {raised}\n"
        "sys.meta_path.insert(0, Failing())\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = finished(tmp_path, "check", "address", "a@b.test", PYTHONPATH=path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("posthouse: it could not start or end (")
    assert done.stderr.count("\n") == 1
    closed = shell(tmp_path, f'PYTHONPATH="{path}" exec "$@" <&- >&- 2>&-', "check", "address", "a@b.test")
    assert ended(closed)[0] == code
