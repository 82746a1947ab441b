"""First paint of the inbox in a real browser, and what a list of another catcher (maildev) takes beside ours.

``scripts/bench console --only paint`` serves a spool with so many messages on loopback and loads the pages in Debian's
Chromium 15 times, each time in a new tab with an empty cache; the figure is the median of *first-contentful-paint* of
the browser's Performance API, counted from the start of the navigation.

The floor is a page of 200 static octets of the same server.  *New tab* asks for a page in the moment in which its tab
opens; *tab open before* in a tab that has been open for 0.5 s, as one has into which a person types an address.

``--only maildev`` (``npm install --prefix build/npm maildev@3``) sends maildev and ``posthouse run`` the same messages
by SMTP over four connections, and asks maildev, and this console over a spool with as many, for list, search and
message over HTTP, 30 times each; where maildev does not take so many within the time, the number that it took is
printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import smtplib
import socket
import statistics
import subprocess
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from itertools import product
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from posthouse.console.app import Console
from posthouse.console.http_server import HttpServer
from posthouse.console.operating import ContextRunner
from posthouse.service import Daemon
from posthouse.service.config.model import Config
from posthouse.spool import SqliteSpool

__all__ = ["MAILDEV", "asked", "beside_maildev", "paint", "served"]

#: The program that ``npm install --prefix build/npm maildev@3`` installs.
MAILDEV = Path(__file__).resolve().parents[1] / "build/npm/node_modules/.bin/maildev"
_PATIENCE = 120.0
_CLIENTS = 4
_OPEN_BEFORE = 500.0  # milliseconds


#: Where the same server answers a page of 200 static octets.
_FLOOR: Final = "/floor.html"
_FLOOR_PAGE: Final = b"<!doctype html><html lang=en><title>Floor</title><p>" + b"x" * 149 + b"\n"


def _with_floor(application: ASGIApp) -> ASGIApp:
    """The application with one more page, which costs the server nothing and asks for no other file."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == _FLOOR:
            await Response(_FLOOR_PAGE, media_type="text/html")(scope, receive, send)
        else:
            await application(scope, receive, send)

    return answer


@contextlib.contextmanager
def served(config: Config, fill: Callable[[SqliteSpool], Awaitable[object]]) -> Iterator[str]:
    """A console over a spool that ``fill`` fills, on loopback in a thread; gives its address."""
    ready: Future[tuple[asyncio.AbstractEventLoop, Callable[[], None], str]] = Future()

    async def serve() -> None:
        spool = SqliteSpool.ephemeral()
        await spool.open(time.time())
        await fill(spool)
        daemon = Daemon(config, spool=spool, log=lambda event, /, **fields: None)
        console = Console(ContextRunner(daemon.context))
        server = HttpServer(_with_floor(console.guarded))

        def stop() -> None:
            console.close()
            server.stop()

        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            ready.set_result((asyncio.get_running_loop(), stop, address))
            await server.serve(listening)
        await spool.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, stop, address = ready.result()
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(stop)
        thread.join(_PATIENCE)


# A promise, because the console's pages forbid the browser to evaluate text as a program again and again.
_PAINTED: Final = """new Promise(found => new PerformanceObserver((list, observer) => {
    for (const entry of list.getEntriesByName("first-contentful-paint")) {
        observer.disconnect();
        found(entry.startTime);
    }
}).observe({type: "paint", buffered: true}))"""
_ANSWERED: Final = "performance.getEntriesByType('navigation')[0].responseEnd"
_PAGES: Final = {
    "200 octets (the floor)": _FLOOR,
    "inbox": "/inbox",
    "inbox, searched": "/inbox?q=parcel",
    "message": "/message/7",
    "overview": "/overview",
    "queue": "/queue",
    "sessions": "/sessions",
}


def paint(address: str, rounds: int = 15) -> dict[str, float]:
    """Milliseconds to the first paint of pages, and to the end of the answer; medians.

    *New tab* is a new tab of a running browser that has no file of the console in its cache, *again* the same page in
    the same tab, and *tab open before* as *new tab*, but the tab has been open for 0.5 s (see the module's text).  The
    browser runs for 3 s before, because the parts of its own window load as pages do.
    """
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = browser.new_context()
        cache = context.new_cdp_session(context.new_page())
        time.sleep(3.0)
        for number in range(rounds + 1):
            for (name, path), uses in product(_PAGES.items(), (("new tab", "again"), ("tab open before",))):
                cache.send("Network.clearBrowserCache")
                page = context.new_page()
                if "new tab" not in uses:
                    page.wait_for_timeout(_OPEN_BEFORE)
                for which in uses:
                    page.goto(address + path, wait_until="load")
                    for what, script in (("first paint", _PAINTED), ("answer", _ANSWERED)):
                        took = float(page.evaluate(script))
                        if number:  # the first round warms up browser and server
                            found.setdefault(f"{name}, {which}: {what}", []).append(took)
                page.close()
        browser.close()
    return {name: statistics.median(values) for name, values in found.items()}


# Beside maildev -------------------------------------------------------------------------------------------------------


def _send(port: int, count: int, message: Callable[[int], bytes], seconds: float) -> tuple[int, float]:
    """Send messages over four connections until all are sent or the time is over; how many, and how long it took."""
    began = time.monotonic()
    waiting = iter(range(count))
    sent = []

    def client() -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=_PATIENCE) as connection:
            connection.ehlo("bench.test")
            while time.monotonic() - began < seconds and (number := next(waiting, None)) is not None:
                connection.sendmail("shop@x.test", [f"bob{number % 500}@here.test"], message(number))
                sent.append(number)

    clients = [threading.Thread(target=client) for _ in range(_CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return len(sent), time.monotonic() - began


def _ask(address: str) -> tuple[str, bytes]:
    """The median of 30 requests, or of as many as there are in 10 s, and the last answer."""
    times, body = [], b""
    while len(times) < 30 and sum(times) < 10_000:
        began = time.perf_counter()
        body = _ask_once(address)
        times.append((time.perf_counter() - began) * 1000)
    return f"{statistics.median(times):.1f} ms", body


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def _maildev(directory: str) -> Iterator[tuple[int, str]]:
    """A running maildev: its SMTP port, and the address of its API."""
    smtp, web = _free_port(), _free_port()
    command = ["node", str(MAILDEV), "-s", str(smtp), "--ip", "127.0.0.1", "-w", str(web), "--web-ip", "127.0.0.1"]
    process = subprocess.Popen([*command, "--silent", "--mail-directory", directory])
    try:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                for port in (smtp, web):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            time.sleep(0.1)
        yield smtp, f"http://127.0.0.1:{web}/api"
    finally:
        process.terminate()
        process.wait(60)


def beside_maildev(
    directory: str, port: int, count: int, message: Callable[[int], bytes], seconds: float
) -> Iterator[tuple[str, str]]:
    """Figures, as they are found: what maildev and the catcher on this SMTP port take in, and milliseconds of maildev's
    list, search and message."""
    with _maildev(directory) as (smtp, api):
        taken, took = _send(smtp, count, message, seconds)
        yield "maildev: messages", f"{taken:,} in {took:.1f} s"
        listed, body = _ask(f"{api}/email?limit=50&sort=-date")
        yield "maildev: list of 50", listed
        newest = json.loads(body)
        entries = newest if isinstance(newest, list) else next(v for v in newest.values() if isinstance(v, list))
        yield "maildev: search by subject", _ask(f"{api}/email?limit=50&subject=Your%20order-77x")[0]
        yield "maildev: message", _ask(f"{api}/email/{entries[0]['id']}")[0]
    taken, took = _send(port, taken, message, float("inf"))
    yield "Posthouse: messages", f"{taken:,} in {took:.1f} s"


def asked(address: str) -> Iterator[tuple[str, str]]:
    """The same of the console at this address: milliseconds of list, searches and message."""
    listed, body = _ask(f"{address}/inbox.json?limit=50")
    yield "Posthouse: list of 50", listed
    number = json.loads(body)["messages"][0]["number"]
    yield "Posthouse: search by subject", _ask(f"{address}/inbox.json?q=subject:order-77x")[0]
    yield "Posthouse: search in the text", _ask(f"{address}/inbox.json?q=parcel+77")[0]
    yield "Posthouse: message", _ask(f"{address}/message/{number}.json")[0]


def _ask_once(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=_PATIENCE) as answer:
        body: bytes = answer.read()
        return body
