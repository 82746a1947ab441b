"""Webhooks: each message that arrives in an inbox is told to other programs by HTTP POST.

They are sent by the console's process, so mail waits for none of them.  Each webhook has a queue of at most 1,000
events and one request under way; one that fails is tried again after 1, 2, 4 … 60 s, 10 times in all, and a 4xx other
than 408 and 429 ends it at once.  The number of the last message that is settled stands in a file: a process that takes
over goes on behind it, so that an event may come twice (with the same id) and none is left out.

A request is signed: ``X-Posthouse-Signature: t=TIME,v1=HEX`` has the HMAC-SHA256 of ``TIME.BODY`` with the secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import http.client
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from posthouse.console.change_feed import PERIOD
from posthouse.console.operating import OperationRunner
from posthouse.core import PosthouseError, SettingError
from posthouse.service.config.console_settings import WebhookSettings

__all__ = ["Webhook", "WebhookFeed", "post", "secret_of", "signature"]

_QUEUE: Final = 1_000
_TRIES: Final = 10
_LONGEST_PAUSE: Final = 60.0
_PATIENCE: Final = 10.0
_AT_ONCE: Final = 1_000
_PASSING: Final = (408, 429)

#: Sends a body with headers to an address, and gives the status; raises ``OSError`` where there was no answer.
_Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]


def signature(secret: bytes, moment: int, body: bytes) -> str:
    """The value of ``X-Posthouse-Signature``."""
    digest = hmac.new(secret, b"%d." % moment + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def secret_of(settings: WebhookSettings) -> bytes:
    """The secret of a webhook; empty where it has none.  Raises ``SettingError``."""
    if settings.secret_file:
        try:
            with open(settings.secret_file, "rb") as file:
                return file.readline(4_096).strip()
        except OSError as error:
            raise SettingError(
                f"the file cannot be read ({error.strerror})", where=settings.secret_file, remedy="name another"
            ) from error
    return os.environ.get(settings.secret_env, "").encode() if settings.secret_env else b""


async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    """Send by HTTP/1.1 in a thread, within 10 s for each wait; redirects are not followed."""
    return await asyncio.to_thread(_post, url, headers, body)


def _post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_PATIENCE)
    try:
        connection.request(
            "POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, dict(headers)
        )
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer: {error}") from error
    finally:
        connection.close()


class Webhook:
    """One webhook: its queue, and the loop that sends; ``settled`` is the number of the last event that is done."""

    def __init__(
        self,
        settings: WebhookSettings,
        secret: bytes,
        *,
        settled: int,
        log: Callable[..., object],
        send: _Post = post,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._secret = settings.url, secret
        self._log, self._send, self._sleep, self._now = log, send, sleep, now
        self._queue: deque[tuple[int, bytes]] = deque()
        self._filled = asyncio.Event()
        self.settled = settled

    def offer(self, number: int, body: bytes) -> None:
        """Queue an event; the oldest one is given up if 1,000 wait."""
        if len(self._queue) >= _QUEUE:
            lost, _ = self._queue.popleft()
            self._log("console", reason=f"the webhook {self._url} is behind; message {lost} was not told to it")
        self._queue.append((number, body))
        self._filled.set()

    async def run(self) -> None:
        """Send what is queued, until cancelled."""
        while True:
            await self._filled.wait()
            while self._queue:
                number, body = self._queue.popleft()
                await self._deliver(number, body)
                self.settled = max(self.settled, number)
            self._filled.clear()

    async def _deliver(self, number: int, body: bytes) -> None:
        why = ""
        for attempt in range(_TRIES):
            if attempt:
                await self._sleep(min(_LONGEST_PAUSE, 2.0 ** (attempt - 1)))
            headers = {
                "content-type": "application/json",
                "user-agent": "Posthouse",
                "x-posthouse-delivery": f"message-{number}",
            }
            if self._secret:
                headers["x-posthouse-signature"] = signature(self._secret, int(self._now()), body)
            try:
                status = await self._send(self._url, headers, body)
            except OSError as error:
                why = f"{error}"
                continue
            if 200 <= status < 300:
                return
            why = f"status {status}"
            if 400 <= status < 500 and status not in _PASSING:
                break
        self._log("console", reason=f"the webhook {self._url} did not take message {number}: {why}")


class WebhookFeed:
    """Looks for new messages 4 times a second after a commit, and offers them to every webhook."""

    def __init__(self, runner: OperationRunner, hooks: Sequence[Webhook], path: str) -> None:
        self._runner = runner
        self._hooks = hooks
        self._path = path
        self._offered = min((each.settled for each in hooks), default=0)

    @staticmethod
    def settled_in(path: str) -> int | None:
        """The number in the file, None where there is none."""
        with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            return int(file.read(20))
        return None

    async def run(self) -> None:
        """Offer and send until cancelled."""
        async with asyncio.TaskGroup() as group:
            for each in self._hooks:
                group.create_task(each.run())
            before: object = None
            written = -1
            while True:
                token = self._runner.token()
                if token != before:
                    before = token
                    with contextlib.suppress(PosthouseError):  # the daemon is busy, or starts
                        await self.look()
                settled = min(each.settled for each in self._hooks)
                if settled != written:
                    await asyncio.to_thread(self._write, settled)
                    written = settled
                await asyncio.sleep(PERIOD)

    async def look(self) -> None:
        """Offer what has arrived since the last look."""
        given = {"after": self._offered, "limit": _AT_ONCE}
        entries: list[Any] = await self._runner.run("inbox list", given, "console")
        for entry in entries:
            if entry.number > self._offered:
                self._offered = entry.number
                event = {"event": "message", "id": f"message-{entry.number}", "message": entry}
                body = msgspec.json.encode(event)
                for each in self._hooks:
                    each.offer(entry.number, body)

    def _write(self, settled: int) -> None:
        beside = f"{self._path}.new"
        with contextlib.suppress(OSError):  # the next one is written again
            with open(beside, "w", encoding="ascii") as file:
                file.write(f"{settled}\n")
            os.replace(beside, self._path)
