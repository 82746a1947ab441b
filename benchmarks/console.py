"""Benchmark of the inboxes: lists, searches and opening with many messages, and intake while pages listen.

``scripts/bench console [--messages N] [--seconds N]``.  A spool with so many messages is made in a temporary directory
and indexed; then each question is asked of the console, in memory, 30 times, and its median is printed.  The second
part runs ``posthouse run`` with a console and loads it with ``posthouse bench``, in turn with nobody listening and with
ten readers of the event stream that ask for the list as the page does; it prints the ratio of the two rates.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from console_paint import MAILDEV, asked, beside_maildev, paint, served
from starlette.testclient import TestClient

from posthouse.console.app import Console
from posthouse.console.operating import ContextRunner
from posthouse.core import Address, Bytes, Envelope, Recipient
from posthouse.service import Daemon, parse
from posthouse.service.inbox.mail_digest import digest_of
from posthouse.spool import SqliteSpool
from posthouse.spool.interface import StoredMessage

_TEXT = "Dear customer, parcel %d of order %d is on its way and arrives tomorrow. " + "It weighs two kilograms. " * 30
_CONFIG = """
hostname = "mx.here.test"
[[domain]]
name = "here.test"
mailboxes = "any"
"""
_RUN = """
hostname = "mx.here.test"
data_dir = "{directory}/data"
workers = 1
[[listener]]
bind = "127.0.0.1:0"
strictness = "lenient"
[[domain]]
name = "*"
mailboxes = "any"
[console]
bind = "127.0.0.1:0"
"""
_PATHS = {
    "list": "/inbox.json",
    "list, page": "/inbox",
    "list of one mailbox of 200": "/inbox.json?view=bob77@here.test",
    "search, frequent word": "/inbox.json?q=parcel",
    "search, rare word": "/inbox.json?q=order-77777x",
    "search, address": "/inbox.json?q=to:bob123@here.test",
    "search, two ideographs": "/inbox.json?q=%E9%A9%BF%E7%AB%99",
    "search, one letter that nothing has": "/inbox.json?q=z",
    "search, two letters that nothing has": "/inbox.json?q=zq",
    "search, one ideograph": "/inbox.json?q=%E9%A9%BF",
    "search, nothing": "/inbox.json?q=nothinglikeit",
    "search, unread and size": "/inbox.json?q=is:unread+size%3E1M",
    "search, read": "/inbox.json?q=is:read",
    "search, with a file": "/inbox.json?q=has:attachment",
    "search, by Message-ID": "/inbox.json?q=message-id:77@x.test",
    "open": "/message/{last}.json",
    "open, page": "/message/{last}",
}


def _message(number: int) -> bytes:
    text = _TEXT % (number, number)
    return (
        f"From: Shop {number % 97} <shop{number % 97}@x.test>\r\nTo: bob{number % 500}@here.test\r\n"
        f"Subject: Your order-{number}x\r\nMessage-ID: <{number}@x.test>\r\n"
        f"Date: Sun, 29 Nov 2026 20:00:00 +0000\r\n\r\n{text}{'驿站的邮件' if number % 1000 == 0 else ''}\r\n"
    ).encode()


async def _fill(spool: SqliteSpool, messages: int) -> float:
    envelope = Envelope(Address("shop", "x.test"), (Recipient(Address("bob", "here.test")),))
    for number in range(messages):
        incoming = spool.receive()
        incoming.abort()
        octets = _message(number)
        stored = StoredMessage(incoming.id, envelope, 1_795_982_400.0 + number / 100, len(octets))
        await spool.keep(f"bob{number % 500}@here.test", stored, Bytes(octets))
    began = time.perf_counter()
    await spool.index.follow(digest_of(), limit=messages)
    return time.perf_counter() - began


def _questions(messages: int) -> dict[str, Any]:
    spool = SqliteSpool.ephemeral()
    daemon = Daemon(parse(_CONFIG), spool=spool, log=lambda event, /, **fields: None)
    console = Console(ContextRunner(daemon.context))
    found: dict[str, Any] = {}
    with TestClient(console.guarded, base_url="http://127.0.0.1:8025") as client:
        assert client.portal is not None
        client.portal.call(spool.open, time.time())
        took = client.portal.call(_fill, spool, messages)
        found["index"] = took / messages * 1000
        path = Path(spool._layout.mail_index)
        found["index_octets"] = path.stat().st_size / messages
        for name, where in _PATHS.items():
            address = where.format(last=messages)
            times = []
            for _ in range(30):
                began = time.perf_counter()
                response = client.get(address, headers={"accept": "text/html, application/json"})
                times.append((time.perf_counter() - began) * 1000)
                assert response.status_code == 200, (address, response.text[:300])
            found[name] = statistics.median(times)
        client.portal.call(spool.close)
    return found


# Intake ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _daemon() -> Iterator[tuple[str, str]]:
    """A running daemon: where it listens, and its console."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "posthouse.toml"
        config.write_text(_RUN.format(directory=directory))
        command = [sys.executable, "-m", "posthouse", "run", "--config", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            smtp = web = ""
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"listening on (\S+:\d+)", line):
                    smtp = smtp or found[1]
                if found := re.search(r"http://\S+:\d+", line):
                    web = found[0].rstrip("/.,;")
                if smtp and web:
                    break
            threading.Thread(target=lambda: [None for _ in process.stdout or ()], daemon=True).start()
            yield smtp, web
        finally:
            process.terminate()
            process.wait(60)


def _listen(web: str, stop: threading.Event) -> None:
    """One page: it reads the stream, and asks for the list at each change."""
    asked = 0.0
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{web}/events?topics=*", timeout=60) as stream:
        for line in stream:
            if stop.is_set():
                return
            if line.startswith(b"data") and time.monotonic() > asked + 0.5:  # as the page does
                asked = time.monotonic()
                with urllib.request.urlopen(f"{web}/inbox.json?limit=50", timeout=60) as answer:
                    answer.read()


def _load(smtp: str, seconds: float) -> float:
    command = [sys.executable, "-m", "posthouse", "bench", "--server", f"smtp://{smtp}", "--json"]
    command += ["--messages", str(int(seconds * 1000)), "--connections", "20", "--size", "4096"]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return float(next(result[name] for name in ("rate", "messages_per_second", "per_second") if name in result))


def _intake(seconds: float, rounds: int) -> dict[str, float]:
    rates: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for listening in (False, True):
            with _daemon() as (smtp, web):
                stop = threading.Event()
                readers = [threading.Thread(target=_listen, args=(web, stop), daemon=True) for _ in range(10)]
                for each in readers if listening else ():
                    each.start()
                rates[listening].append(_load(smtp, seconds))
                stop.set()
    quiet, loud = statistics.median(rates[False]), statistics.median(rates[True])
    return {"quiet": quiet, "ten pages listen": loud, "ratio": loud / quiet}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--maildev-for", type=float, default=120.0, help="seconds that maildev is filled for")
    parser.add_argument("--only", choices=["questions", "paint", "maildev", "intake"])
    given = parser.parse_args()
    if given.only in (None, "paint"):
        with served(parse(_CONFIG), lambda spool: _fill(spool, given.messages)) as address:
            for name, milliseconds in paint(address).items():
                print(f"{name:40} {milliseconds:8.1f} ms")
    if given.only == "maildev" or (given.only is None and MAILDEV.exists()):
        with _daemon() as (smtp, _), tempfile.TemporaryDirectory() as directory:
            port = int(smtp.rpartition(":")[2])
            for name, value in beside_maildev(directory, port, given.messages, _message, given.maildev_for):
                print(f"{name:30} {value}", flush=True)
        with served(parse(_CONFIG), lambda spool: _fill(spool, given.messages)) as address:
            for name, value in asked(address):
                print(f"{name:30} {value}", flush=True)
    if given.only in (None, "questions"):
        found = _questions(given.messages)
        each, octets = found.pop("index"), found.pop("index_octets")
        print(f"{given.messages:,} messages: {each:.2f} ms to index one, {octets:,.0f} octets of index")
        for name, milliseconds in found.items():
            print(f"{name:40} {milliseconds:8.1f} ms")
    if given.only in (None, "intake"):
        for name, value in _intake(given.seconds, given.rounds).items():
            print(f"{name:30} {value:8.2f}" + ("" if name == "ratio" else " messages/s"))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", os.pathsep.join(sys.path))
    main()
