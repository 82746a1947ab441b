"""Webhooks: what arrives in an inbox, and what became of deliveries, is told to other programs by HTTP POST.

They are sent by the console's process, so mail waits for none of them.  Each webhook has a queue of at most 1,000
events and one request under way; one that fails is tried again after 1, 2, 4 … 60 s, 10 times in all, and a 4xx other
than 408 and 429 ends it at once.  The number of the last message that is settled stands in a file: a process that takes
over goes on behind it, so that an event may come twice (with the same id) and none is left out.  Deliveries come from
the journal of the worker processes (``service.monitor.delivery_journal``), which likewise remembers what is settled.

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
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from posthouse.console.api.delivery_feed import DeliveryLine
from posthouse.console.change_feed import PERIOD
from posthouse.console.operating import OperationRunner
from posthouse.core import PosthouseError, SettingError
from posthouse.service.config.console_settings import WebhookSettings

__all__ = ["DeliveryWebhook", "Webhook", "WebhookFeed", "post", "secret_of", "signature", "wanted_by"]

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
        self.wants = wanted_by(settings)
        self._queue: deque[tuple[int, str, bytes]] = deque()
        self._filled = asyncio.Event()
        self._sending = False
        self.settled = settled

    def has_room(self) -> bool:
        """Whether an event can be queued without giving up another."""
        return len(self._queue) < _QUEUE

    def offer(self, number: int, body: bytes, event_id: str = "") -> None:
        """Queue an event, by its own id or as that of a message; the oldest one is given up if 1,000 wait."""
        if len(self._queue) >= _QUEUE:
            _, lost, _ = self._queue.popleft()
            self._log("console", reason=f"the webhook {self._url} is behind; {lost} was not told to it")
        self._queue.append((number, event_id or f"message-{number}", body))
        self._filled.set()

    def skip(self, number: int) -> None:
        """Settle an event that this webhook does not want, once those before it are."""
        if not self._queue and not self._sending:
            self.settled = number
            return
        if self._queue and not self._queue[-1][1]:
            self._queue.pop()
        self._queue.append((number, "", b""))

    async def run(self) -> None:
        """Send what is queued, until cancelled."""
        while True:
            await self._filled.wait()
            while self._queue:
                number, event_id, body = self._queue.popleft()
                self._sending = True
                if event_id:
                    await self._deliver(event_id, body)
                self._sending = False
                self.settled = max(self.settled, number)
            self._filled.clear()

    async def _deliver(self, event_id: str, body: bytes) -> None:
        why = ""
        for attempt in range(_TRIES):
            if attempt:
                await self._sleep(min(_LONGEST_PAUSE, 2.0 ** (attempt - 1)))
            headers = {
                "content-type": "application/json",
                "user-agent": "Posthouse",
                "x-posthouse-delivery": event_id,
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
        self._log("console", reason=f"the webhook {self._url} did not take {event_id}: {why}")


class DeliveryWebhook:
    """The part of a webhook that is told of deliveries: those that its settings name, in a queue of their own."""

    def __init__(self, settings: WebhookSettings, hook: Webhook) -> None:
        self._events = frozenset(settings.events)
        self._wants = wanted_by(settings)
        self._hook = hook

    @property
    def settled(self) -> int:
        return self._hook.settled

    def has_room(self) -> bool:
        return self._hook.has_room()

    def take(self, line: DeliveryLine) -> None:
        if line.event not in self._events or not self._wants((str(line.facts.get("recipient", "")),)):
            self._hook.skip(line.number)
            return
        event_id = f"delivery-{line.id}"
        event = {"event": line.event, "id": event_id, "delivery": line.facts}
        self._hook.offer(line.number, msgspec.json.encode(event), event_id)

    async def run(self) -> None:
        """Send until cancelled."""
        await self._hook.run()


def wanted_by(settings: WebhookSettings) -> Callable[[Iterable[str]], bool]:
    """Whether a webhook is told of mail to any of these recipients."""
    patterns = settings.recipients
    if not patterns:
        return lambda recipients: True
    return lambda recipients: any(fnmatchcase(each.lower(), pattern) for each in recipients for pattern in patterns)


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
                    if each.wants((entry.inbox,)):
                        each.offer(entry.number, body)
                    else:
                        each.skip(entry.number)

    def _write(self, settled: int) -> None:
        beside = f"{self._path}.new"
        with contextlib.suppress(OSError):  # the next one is written again
            with open(beside, "w", encoding="ascii") as file:
                file.write(f"{settled}\n")
            os.replace(beside, self._path)
