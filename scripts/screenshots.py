"""Pictures of the pages of the console: a catcher with some mail in it and a relay whose mail waits are started, and
Chromium looks at their pages.

Nothing leaves the machine.  Each picture is made in both appearances and both languages; a run takes about a minute.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

import posthouse

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "images" / "console"
#: The pages of a catcher, and those of a relay whose mail waits: "{history}" and "{session}" stand for one of its
#: messages and one of its sessions.
PAGES = {
    "inbox": "/inbox",
    "message": "/message/1",
    "compose": "/compose",
    "speak": "/speak",
    "codes": "/speak/codes",
    "faults": "/faults",
    "check": "/check",
    "check-message": "/check/message",
    "api": "/api",
    "api-map": "/api-map",
    "login": "/login",
}
RELAY_PAGES = {
    "overview": "/overview",
    "queue": "/queue",
    "audit": "/queue/audit",
    "history": "/history/{history}",
    "sessions": "/sessions",
    "session": "/sessions/{session}",
    "configuration": "/configuration?q=relay",
    "findings": "/configuration/findings",
    "accounts": "/configuration/accounts",
    "dkim": "/configuration/dkim",
}
_PATIENCE = 60.0

MAIL = [
    ("朗瑞 <langrui@sohu.com>", "任平 <renping@sina.com>", "第一封信", "任平：\n\n你好！这是第一封信。\n\n朗瑞"),
    ("Shop <orders@shop.example>", "ann@here.example", "Your order 4711", "Thank you. Your code is 482913.\n"),
    ("Accounts <no-reply@app.example>", "bob+signup@here.example", "Confirm your address",
     "Open https://app.example/confirm?token=abc to confirm.\n"),
    ("Monitor <alerts@ops.example>", "ops@here.example", "Disk of mx1 is 91 % full", "See https://ops.example/mx1\n"),
]  # fmt: skip
HTML = """<h1 style="color:#175d73">Welcome</h1><p>Hello Ann, <b>thank you</b> for joining.</p>
<p><a href="https://app.example/start">Begin here</a></p>"""


RELAY = """
hostname = "mx.here.example"
data_dir = "{data}"
[console]
bind = "127.0.0.1:{http}"
[[listener]]
bind = "127.0.0.1:{smtp}"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[route]]
to = "*"
via = "smtp://127.0.0.1:{catcher}"
"""
#: Recipients at the catcher, which refuses some of them for now.
WAITING = [
    "greylist@slow.example", "greylist+2@slow.example", "tempfail@slow.example", "mailbox-full@full.example",
    "reply-451@busy.example", "ann@fast.example", "bob@fast.example", "permfail@gone.example",
]  # fmt: skip


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _ready(address: str) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{address}/readyz", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the console did not start within 60 s")


def _fill(smtp: str) -> None:
    for sender, recipient, subject, text in MAIL:
        posthouse.send(posthouse.Message(sender, to=recipient, subject=subject, text=text), via=smtp)
    message = posthouse.Message(
        "App <hello@app.example>", to="ann@here.example", subject="Welcome to App", text="Welcome", html=HTML
    )
    posthouse.send(message, via=smtp)


def _asked(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=5) as answer:
        return json.load(answer)


def _fill_relay(smtp: str, address: str) -> dict[str, str]:
    """Send mail that waits after its first attempt; what the addresses of pages name."""
    for recipient in WAITING:
        message = posthouse.Message("ann@here.example", to=recipient, subject="Figures", text="See the figures.\n")
        posthouse.send(message, via=smtp)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        found = _asked(f"{address}/queue.json")["messages"]
        plotted = len(_asked(f"{address}/overview.json")["hour"]["times"]) > 2
        if plotted and found and all(each["attempts"] for each in found):
            sessions = _asked(f"{address}/sessions.json?show=out")["sessions"]
            session = next(each["id"] for each in sessions if each["queue_id"] == found[0]["id"])
            return {"history": found[0]["id"], "session": session}
        time.sleep(0.1)
    raise SystemExit("the relay made no attempts and no plot within 60 s")


def _pictures(browser: Browser, address: str, pages: dict[str, str], names: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in [each for each in pages if each in names]:
        for theme in ("light", "dark"):
            for language in ("en", "zh"):
                page = browser.new_page(viewport={"width": 1120, "height": 700}, color_scheme=theme)
                sign = "&" if "?" in pages[name] else "?"
                page.goto(f"{address}{pages[name]}{sign}theme={theme}&lang={language}", wait_until="load")
                page.screenshot(path=FOLDER / f"{name}-{theme}-{language}.jpg", type="jpeg", quality=65)
                page.close()
        print(name)


@contextmanager
def _running(http: int, *arguments: str) -> Iterator[str]:
    """A daemon whose console answers; gives the console's address."""
    command = [sys.executable, "-m", "posthouse", "run", *arguments]
    daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{http}"
        _ready(address)
        yield address
    finally:
        daemon.terminate()
        daemon.wait(_PATIENCE)


def main() -> None:
    """Make the pictures of the pages that are named on the command line, of all without a name."""
    every = [*PAGES, *RELAY_PAGES]
    names = sys.argv[1:] or every
    if unknown := [each for each in names if each not in every]:
        raise SystemExit(f"there is no page {unknown[0]}; there are {', '.join(every)}")
    smtp, http, relay_smtp, relay_http = (_free_port() for _ in range(4))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        stack.callback(browser.close)
        catcher = ["--bind", f"127.0.0.1:{smtp}", "--tls", "off", "--console", f"127.0.0.1:{http}"]
        address = stack.enter_context(_running(http, *catcher, "--data-dir", str(directory / "catcher")))
        _fill(f"smtp://127.0.0.1:{smtp}")
        _pictures(browser, address, PAGES, names)
        if RELAY_PAGES.keys() & names:
            config = directory / "relay.toml"
            config.write_text(RELAY.format(data=directory / "relay", http=relay_http, smtp=relay_smtp, catcher=smtp))
            address = stack.enter_context(_running(relay_http, "--config", str(config)))
            known = _fill_relay(f"smtp://127.0.0.1:{relay_smtp}", address)
            pages = {name: path.format(**known) for name, path in RELAY_PAGES.items()}
            _pictures(browser, address, pages, names)


if __name__ == "__main__":
    main()
