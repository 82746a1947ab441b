"""Webhooks: what is sent, signed and tried again, and where another process goes on."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import threading
from collections.abc import Awaitable, Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import pytest

from posthouse.console.api import webhooks
from posthouse.console.api.webhooks import Webhook, WebhookFeed, post, secret_of, signature
from posthouse.core import SettingError
from posthouse.service import Config, ConfigError, parse
from posthouse.service.config.console_settings import WebhookSettings

PATIENCE = 60.0
SETTINGS = WebhookSettings(url="https://hook.example/mail")


class Receiver:
    """A program that answers ``statuses`` in turn (an exception is raised), and then 200; it keeps what it was sent."""

    def __init__(self, *statuses: int | OSError) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[Mapping[str, str], Any]] = []
        self.pauses: list[float] = []
        self.said: list[str] = []
        self.enough = asyncio.Event()
        self.wanted = 1

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.got.append((headers, json.loads(body)))
        status = self.statuses.pop(0) if self.statuses else 200
        if len(self.got) >= self.wanted:
            self.enough.set()
        if isinstance(status, OSError):
            raise status
        return status

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def hook(self, secret: bytes = b"", settled: int = 0) -> Webhook:
        return Webhook(
            SETTINGS, secret, settled=settled, log=lambda event, *, reason: self.said.append(reason),
            send=self.send, sleep=self.sleep, now=lambda: 1_000.5,
        )  # fmt: skip


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await scenario()

    asyncio.run(bounded())


async def sent(hook: Webhook, receiver: Receiver, *numbers: int, wanted: int) -> None:
    """Run a webhook until its receiver has had so many requests and the queue is settled."""
    receiver.wanted = wanted
    for number in numbers:
        hook.offer(number, b'{"number": %d}' % number)
    task = asyncio.ensure_future(hook.run())
    await receiver.enough.wait()
    while hook.settled < numbers[-1]:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_request_is_signed_and_has_an_id() -> None:
    async def scenario() -> None:
        receiver = Receiver()
        await sent(receiver.hook(b"secret"), receiver, 7, wanted=1)
        ((headers, body),) = receiver.got
        assert body == {"number": 7}
        assert headers["x-posthouse-delivery"] == "message-7"
        assert headers["x-posthouse-signature"] == signature(b"secret", 1000, b'{"number": 7}')
        assert headers["x-posthouse-signature"].startswith("t=1000,v1=")

    run(scenario)


def test_what_fails_is_tried_again_with_growing_pauses_and_given_up_at_last() -> None:
    async def scenario() -> None:
        receiver = Receiver(500, OSError("refused"), 429)
        await sent(receiver.hook(), receiver, 1, wanted=4)
        assert receiver.pauses == [1.0, 2.0, 4.0]
        assert receiver.said == []
        stubborn = Receiver(*[503] * 10)
        await sent(stubborn.hook(), stubborn, 1, 2, wanted=11)
        assert stubborn.pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
        assert stubborn.said == ["the webhook https://hook.example/mail did not take message-1: status 503"]
        assert stubborn.got[-1][1] == {"number": 2}

    run(scenario)


def test_a_permanent_refusal_ends_it() -> None:
    async def scenario() -> None:
        receiver = Receiver(404)
        await sent(receiver.hook(), receiver, 1, wanted=1)
        assert receiver.pauses == []
        assert "status 404" in receiver.said[0]

    run(scenario)


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        receiver = Receiver()
        hook = receiver.hook()
        for number in (1, 2, 3):
            hook.offer(number, b"{}")
        assert receiver.said == ["the webhook https://hook.example/mail is behind; message-1 was not told to it"]

    monkeypatch.setattr(webhooks, "_QUEUE", 2)
    run(scenario)


class Inboxes:
    """The operation ``inbox list`` over a list of numbers."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    @property
    def config(self) -> Config:
        return parse("")

    def token(self) -> Hashable:
        return len(self.numbers)

    async def run(self, operation: str, given: Mapping[str, Any], who: str) -> Any:
        assert operation == "inbox list"
        return [Entry(number) for number in self.numbers if number > given["after"]]


class Entry(dict[str, int]):
    """An entry with a number."""

    def __init__(self, number: int) -> None:
        super().__init__(number=number)
        self.number = number
        self.inbox = "ann@here.test" if number != 2 else "bob@here.test"


def test_new_messages_are_told_and_the_next_process_goes_on_behind_them(tmp_path: Path) -> None:
    path = str(tmp_path / "settled")

    async def scenario() -> None:
        inboxes, receiver = Inboxes(), Receiver()
        inboxes.numbers = [1, 2, 3]
        receiver.wanted = 2
        feed = WebhookFeed(inboxes, [receiver.hook(settled=1)], path)
        task = asyncio.ensure_future(feed.run())
        await receiver.enough.wait()
        while WebhookFeed.settled_in(path) != 3:
            await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert [body["message"]["number"] for _, body in receiver.got] == [2, 3]
        assert receiver.got[0][1]["event"] == "message"

    run(scenario)
    assert WebhookFeed.settled_in(str(tmp_path / "none")) is None


def test_only_mail_to_chosen_recipients_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "settled")

    async def scenario() -> None:
        inboxes, receiver = Inboxes(), Receiver()
        inboxes.numbers = [1, 2, 3]
        receiver.wanted = 1
        settings = WebhookSettings(url="https://hook.example/mail", recipients=("bob@*",))
        hook = Webhook(settings, b"", settled=0, log=lambda event, *, reason: None, send=receiver.send)
        task = asyncio.ensure_future(WebhookFeed(inboxes, [hook], path).run())
        await receiver.enough.wait()
        while WebhookFeed.settled_in(path) != 3:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [body["message"]["number"] for _, body in receiver.got] == [2]

    run(scenario)


def test_it_is_sent_by_http() -> None:
    got: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(302)
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return None

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        status = asyncio.run(post(f"http://127.0.0.1:{server.server_port}/mail?a=b", {"x-a": "b"}, b"{}"))
        thread.join()
    assert (status, got) == (302, [("/mail?a=b", b"{}")])
    with pytest.raises(OSError, match=r"refused|Connection"):
        asyncio.run(post(f"http://127.0.0.1:{server.server_port}/", {}, b""))


def test_secrets_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("word\nmore\n")
    monkeypatch.setenv("HOOK", "other")
    assert secret_of(WebhookSettings(url="http://x.test", secret_file=str(tmp_path / "secret"))) == b"word"
    assert secret_of(WebhookSettings(url="http://x.test", secret_env="HOOK")) == b"other"
    assert secret_of(SETTINGS) == b""
    with pytest.raises(SettingError, match="cannot be read"):
        secret_of(WebhookSettings(url="http://x.test", secret_file=str(tmp_path / "none")))


@pytest.mark.parametrize(
    "url", ["ftp://x.test", "x.test", "https://", "https://a:b@x.test/", "http://x.test:99999/", "http://x y/"]
)
def test_an_address_is_one_of_a_web_server(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a web server"):
        parse(f'[[webhook]]\nurl = "{url}"')
