"""A catcher with its console in a thread: real SMTP and real HTTP on loopback, for client libraries."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from posthouse.console.app import Console
from posthouse.console.http_server import HttpServer
from posthouse.console.operating import ContextRunner
from posthouse.service import Daemon
from posthouse.service.config_file import default_config
from posthouse.service.operations.registry import OPERATIONS

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 60.0  # seconds; far above what anything here takes


class ServedCatcher:
    """The catcher: its ``url``, its ``smtp_port``, and ways to send to it and to ask it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ready: Future[tuple[int, int]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.faults: list[dict[str, Any]] = []

    def __enter__(self) -> ServedCatcher:
        self._thread.start()
        self.smtp_port, self.port = self._ready.result(PATIENCE)
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        try:
            await self._serve()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        config = default_config(str(self._directory / "data"), ["127.0.0.1:0"], tls="off")
        self._daemon = Daemon(config, log=lambda event, /, **fields: None)
        await self._daemon.start()
        console = Console(
            ContextRunner(self._daemon.context), log=lambda event, /, **fields: self.faults.append(fields)
        )
        server = HttpServer(console.guarded)

        def stop() -> None:
            console.close()
            server.stop()

        self._stop: Callable[[], None] = stop
        with socket.create_server(("127.0.0.1", 0)) as listening:
            (place,) = self._daemon.endpoints.values()
            self._ready.set_result((place.port, listening.getsockname()[1]))
            await server.serve(listening)
        await self._daemon.drain(2.0)

    def run(self, operation: str, **given: Any) -> Any:
        """The answer of an operation."""
        work = OPERATIONS[operation].run(self._daemon.context("test"), **given)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def send(self, message: EmailMessage | bytes, *to: str, sender: str = "app@example.org") -> str:
        """Send a message, and wait until it is in its inbox; its id, from the reply to its content."""
        last = self.run("inbox count").last
        octets = (
            message if isinstance(message, bytes) else message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
        )
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=PATIENCE) as client:
            client.ehlo("app.example.org")
            client.mail(sender)
            for each in to:
                client.rcpt(each)
            code, reply = client.data(octets)
        assert code == 250, reply
        awaited = self.run("inbox wait", after=last, timeout=60, count=1)
        assert awaited.met
        return reply.decode().rpartition("queued as ")[2].split()[0]

    def clear(self) -> None:
        """Delete all messages and switch all faults off."""
        self.run("inbox delete", all=True)
        self.run("fault off", all=True)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedCatcher]:
    with ServedCatcher(tmp_path_factory.mktemp("catcher")) as made:
        yield made


@pytest.fixture
def catcher(served: ServedCatcher) -> Iterator[ServedCatcher]:
    """The catcher, empty; nothing that a test did made a fault in it."""
    served.clear()
    yield served
    assert served.faults == []


def written(subject: str, *, to: str = "ann@a.example", text: str = "Your code is 482913.\n") -> EmailMessage:
    """A message with text, HTML and a file."""
    message = EmailMessage()
    message["From"] = "Shop <shop@example.org>"
    message["To"] = to
    message["Cc"] = "Copy <copy@a.example>"
    message["Subject"] = subject
    message["Date"] = "Sun, 29 Nov 2026 10:00:00 +0000"
    message["Message-ID"] = f"<{subject.replace(' ', '.')}@example.org>"
    message["Delivered-To"] = to
    message.set_content(text)
    message.add_alternative("<p>Your code is <b>482913</b>. <a href='https://shop.example/x'>Open</a></p>", "html")
    message.add_attachment(b"a,b\r\n1,2\r\n", maintype="text", subtype="csv", filename="numbers.csv")
    return message
