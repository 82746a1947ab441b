"""The log on a standard error that is not read, is full, or has lost its reader: nothing waits for it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE = 60.0
LINES = 20_000

#: Logs far more than a pipe and the buffer hold, says so on standard output, and stays until its input ends.
PROGRAM = f"""
import asyncio, builtins, os, sys
from posthouse.net import SystemClock
from posthouse.service.daemon.event_log import EventLog

if sys.argv[1] == "thread":
    from posthouse.service.daemon import log_output
    def refused(*given):
        raise PermissionError(13, "not permitted")
    log_output.os.open = refused

async def main():
    log = EventLog(SystemClock(), sys.argv[2])
    for number in range({LINES}):
        log("accepted", id=f"Q{{number}}", text="x" * 100)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    print("mail went on", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


@contextlib.contextmanager
def logging(stderr: int, kind: str = "", form: str = "text") -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, kind, form], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
    )
    assert child.stdin is not None
    assert child.stdout is not None
    timer = threading.Timer(PATIENCE, child.kill)
    timer.start()
    try:
        assert child.stdout.readline() == b"mail went on\n"
        yield child
        child.stdin.close()
        assert child.wait(PATIENCE) == 0
    finally:
        timer.cancel()
        child.kill()
        child.wait(PATIENCE)
        child.stdin.close()
        child.stdout.close()


def lines_until_the_count(descriptor: int) -> list[str]:
    """What is read until the line about dropped lines; bounded by the timer that kills the child."""
    octets = b""
    while b"log lines were dropped" not in octets[-400:] and (piece := os.read(descriptor, 65_536)):
        octets += piece
    return octets.decode().replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal", "thread"])
def test_a_log_that_nobody_reads_stops_nothing_and_the_dropped_lines_are_counted(kind: str) -> None:
    if kind == "socket":
        left, right = socket.socketpair()
        ours, theirs = left.detach(), right.detach()
    else:
        ours, theirs = os.openpty() if kind == "terminal" else os.pipe()
    try:
        with logging(theirs, kind):
            os.close(theirs)
            theirs = -1
            lines = lines_until_the_count(ours)
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
    written = [line for line in lines if " accepted " in line]
    (said,) = [line for line in lines if " log dropped=" in line]
    match = re.search(r'dropped=(\d+) text="([\d,]+) log lines were dropped, because', said)
    assert match is not None
    assert match[2] == f"{int(match[1]):,}"
    assert len(written) + int(match[1]) == LINES
    assert 0 < len(written) < LINES
    assert all(re.fullmatch(r"\S+Z accepted id=Q\d+ text=x{100}", line) for line in written)
    assert [int(re.findall(r"id=Q(\d+)", line)[0]) for line in written] == list(range(len(written)))


def test_the_count_has_the_form_of_the_log() -> None:
    ours, theirs = os.pipe()
    try:
        with logging(theirs, "pipe", "json"):
            os.close(theirs)
            found = [json.loads(line) for line in lines_until_the_count(ours)]
    finally:
        os.close(ours)
    (said,) = [each for each in found if each["event"] == "log"]
    assert said["dropped"] == LINES - sum(each["event"] == "accepted" for each in found)


def test_a_file_takes_every_line(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as opened, logging(opened.fileno()):
        pass
    assert len(file.read_text("utf-8").splitlines()) == LINES


@pytest.mark.parametrize("kind", ["full", "reader gone"])
def test_a_standard_error_that_takes_nothing_stops_nothing(kind: str) -> None:
    if kind == "full":
        theirs = os.open("/dev/full", os.O_WRONLY)
    else:
        ours, theirs = os.pipe()
        os.close(ours)
    try:
        with logging(theirs):
            pass
    finally:
        os.close(theirs)


def test_the_open_file_keeps_its_mode() -> None:
    """It is shared with the shell, which would find its own reads and writes not blocking."""
    ours, theirs = os.pipe()
    try:
        with logging(theirs):
            assert os.get_blocking(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_last_lines_are_written_although_the_event_loop_ends_at_once() -> None:
    program = """
import asyncio
from posthouse.net import SystemClock
from posthouse.service.daemon.event_log import EventLog

async def main():
    log = EventLog(SystemClock())
    log("ended", reason="first")
    log("ended", reason="second")

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert re.findall(r"ended reason=(\w+)", done.stderr) == ["first", "second"]
