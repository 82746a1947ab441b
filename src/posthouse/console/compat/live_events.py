"""Live events of Mailpit and MailHog: each message that arrives, and Mailpit's counts, over WebSocket; those of MailHog
also as server-sent events.

Each reader waits by the operation ``inbox wait`` with a cursor, so that nothing is missed and nothing polls.  At most
50 readers of one console are served; a further one is closed with 1013 (try again later), or answered 503.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from posthouse import __version__
from posthouse.console.change_feed import LIFETIME
from posthouse.console.compat.mailhog_shapes import item_of
from posthouse.console.compat.mailpit_shapes import summary_of
from posthouse.console.compat.stored_mail import StoredMail
from posthouse.console.problems import RequestRefused
from posthouse.core import PosthouseError
from posthouse.message.reading.read_message import read_octets

if TYPE_CHECKING:
    from posthouse.console.app import Console
    from posthouse.service.operations.inboxes.mail_answers import MailEntry

__all__ = ["EVENT_ROUTES"]

_READERS: Final = 50
#: Seconds of one wait; then the reader is looked after.
_WAIT: Final = 20
_AT_ONCE: Final = 100
_PAGES: Final = 100
#: Seconds between two frames of counts: four a second at most.
_PAUSE: Final = 0.25

_readers: WeakKeyDictionary[Console, set[object]] = WeakKeyDictionary()
_Frames = Callable[[StoredMail, "list[MailEntry]"], Awaitable["list[Any]"]]


def _endpoint(frames: _Frames) -> Callable[[WebSocket], Awaitable[None]]:
    """The endpoint that sends what ``frames`` makes of the messages that arrived; first of none."""

    async def serve(socket: WebSocket) -> None:
        console = socket.scope.get("posthouse.console")
        if console is None:
            await socket.close(1011)
            return
        readers = _readers.setdefault(console, set())
        if len(readers) >= _READERS:
            await socket.close(1013)
            return
        readers.add(socket)
        try:
            await _served(socket, _mail(socket, console), frames)
        finally:
            readers.discard(socket)

    return serve


async def _served(socket: WebSocket, mail: StoredMail, frames: _Frames) -> None:
    """Serve one reader until it goes."""
    try:
        last: int = (await mail.page.run("inbox search", limit=1)).last  # before the client can go on to send
    except PosthouseError:
        await socket.close(1011)
        return
    await socket.accept()
    sending = asyncio.ensure_future(_send(socket, mail, frames, last))
    try:
        while True:  # what a reader says is not looked at; that it leaves is noticed here
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                break
    except WebSocketDisconnect:
        pass
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def _mail(socket: WebSocket, console: Console) -> StoredMail:
    scope = {**socket.scope, "type": "http", "method": "GET"}
    return StoredMail(console.page_request(Request(scope)))


async def _send(socket: WebSocket, mail: StoredMail, frames: _Frames, last: int) -> None:
    """Send what arrives behind the cursor ``last``, until the reader goes or the daemon does not answer."""
    try:
        arrived: list[MailEntry] = []
        while True:
            for frame in await frames(mail, arrived):
                await socket.send_text(msgspec.json.encode(frame).decode())
            await asyncio.sleep(_PAUSE)
            arrived, last = await _arrived(mail, last)
    except (PosthouseError, WebSocketDisconnect, RuntimeError):
        with contextlib.suppress(RuntimeError):
            await socket.close(1011)


async def _stream(request: Request) -> Response:
    """MailHog's stream of version 1: the data of each event is a message."""
    console: Console = request.scope["posthouse.console"]
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    readers = _readers.setdefault(console, set())
    if len(readers) >= _READERS:
        raise RequestRefused(f"{_READERS} readers listen already", 503)
    mail, reader = StoredMail(console.page_request(request)), object()
    last: int = (await mail.page.run("inbox search", limit=1)).last

    async def events() -> AsyncIterator[bytes]:
        nonlocal last
        loop = asyncio.get_running_loop()
        end = loop.time() + LIFETIME
        readers.add(reader)  # here, because an answer that is never sent does not come to "finally" either
        try:
            while loop.time() < end:
                arrived, last = await _arrived(mail, last)
                for frame in await _mailhog(mail, arrived):
                    yield b"data: %s\n\n" % msgspec.json.encode(frame)
                if not arrived:
                    yield b": alive\n\n"
        except PosthouseError:  # the daemon has gone; the client comes back
            return
        finally:
            readers.discard(reader)

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(events(), headers=headers, media_type="text/event-stream")


async def _arrived(mail: StoredMail, last: int) -> tuple[list[MailEntry], int]:
    """What arrives behind a cursor within one wait, the oldest first; and the next cursor."""
    awaited = await mail.page.run("inbox wait", after=last, timeout=_WAIT)
    arrived: list[MailEntry] = []
    before = 0
    for _ in range(_PAGES if awaited.messages else 0):
        page = await mail.page.run("inbox search", after=last, before=before, limit=_AT_ONCE)
        arrived += page.messages
        before = page.before
        if not before:
            break
    arrived.reverse()
    return arrived, max([last, *(each.number for each in arrived)])


async def _mailpit(mail: StoredMail, arrived: list[MailEntry]) -> list[Any]:
    counts = await mail.page.run("inbox count")
    new = [{"Type": "new", "Data": summary_of(each, await mail.people(each))} for each in arrived]
    stats = {"Total": counts.messages, "Unread": counts.unread, "Version": f"posthouse {__version__}"}
    return [*new, {"Type": "stats", "Data": stats}]


async def _mailhog(mail: StoredMail, arrived: list[MailEntry]) -> list[Any]:
    items = []
    for each in arrived:
        octets = await mail.octets(each)
        items.append(item_of(each, read_octets(octets), octets))
    return items


#: The sockets of both, and the stream.
EVENT_ROUTES: Final[tuple[BaseRoute, ...]] = (
    WebSocketRoute("/api/events", _endpoint(_mailpit)),
    WebSocketRoute("/api/v2/websocket", _endpoint(_mailhog)),
    Route("/api/v1/events", _stream),
)
