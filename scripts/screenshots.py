"""Pictures of each page of the console: a catcher is started with some mail in it, and Chromium looks at its pages.

Nothing leaves the machine.  Each picture is made in both appearances and both languages; a run takes about a minute.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

import posthouse

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "images" / "console"
PAGES = {
    "inbox": "/inbox",
    "message": "/message/1",
    "compose": "/compose",
    "queue": "/queue",
    "overview": "/overview",
    "sessions": "/sessions",
    "speak": "/speak",
    "faults": "/faults",
    "configuration": "/configuration?q=relay",
    "check": "/check",
    "api": "/api",
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


def _pictures(browser: Browser, address: str, names: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names:
        for theme in ("light", "dark"):
            for language in ("en", "zh"):
                page = browser.new_page(viewport={"width": 1120, "height": 700}, color_scheme=theme)
                sign = "&" if "?" in PAGES[name] else "?"
                page.goto(f"{address}{PAGES[name]}{sign}theme={theme}&lang={language}", wait_until="load")
                page.screenshot(path=FOLDER / f"{name}-{theme}-{language}.jpg", type="jpeg", quality=65)
                page.close()
        print(name)


def main() -> None:
    """Make the pictures of the pages that are named on the command line, of all without a name."""
    names = sys.argv[1:] or list(PAGES)
    if unknown := [each for each in names if each not in PAGES]:
        raise SystemExit(f"there is no page {unknown[0]}; there are {', '.join(PAGES)}")
    smtp, http = _free_port(), _free_port()
    address = f"http://127.0.0.1:{http}"
    with tempfile.TemporaryDirectory() as directory:
        catcher = subprocess.Popen(
            [sys.executable, "-m", "posthouse", "run", "--bind", f"127.0.0.1:{smtp}", "--tls", "off",
             "--console", f"127.0.0.1:{http}", "--data-dir", directory],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _ready(address)
            _fill(f"smtp://127.0.0.1:{smtp}")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                _pictures(browser, address, names)
                browser.close()
        finally:
            catcher.terminate()
            catcher.wait(_PATIENCE)


if __name__ == "__main__":
    main()
