"""The client of the control socket: asks a running daemon to run an operation."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from posthouse.core import PosthouseError, StorageBusy, StorageError
from posthouse.service.control.wire import (
    CONTROL_SOCKET,
    LONGEST_OPERATION,
    MOST_ANSWERED,
    PATIENCE,
    PING,
    ControlAnswer,
    error_of,
    peer_paths,
)
from posthouse.service.operations.base import Operation

__all__ = ["NoDaemon", "ask", "ask_peers"]

_CONNECT: Final = 5.0  # seconds
_PEER: Final = 1.0  # seconds for another worker process to answer
_LOOK: Final = 5.0  # seconds between two looks at whether the daemon lives, and for it to say so
_NOT_LISTENING: Final = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.EACCES, errno.EPERM, errno.ENOTDIR)


class NoDaemon(PosthouseError):
    """No daemon can be asked: none runs on the data directory, or its socket may not be opened."""


async def ask(
    data_dir: str,
    operation: Operation,
    given: Mapping[str, Any],
    *,
    slow: Callable[[], object] | None = None,
    who: str = "",
    views: Sequence[str] | None = None,
) -> Any:
    """The answer of the daemon that runs on ``data_dir``.

    An operation may take minutes.  While it does, the daemon is asked every 5 s whether it lives; one that does not say
    so within 5 s hangs, and is waited for no longer.  ``slow`` is called once if the answer takes longer than 5 s.
    ``who`` is whom another process of the daemon asks for, as the audit log has it; without it, the user of this one.
    ``views`` are those of the inboxes that this one may see, None for all.

    Raises:
        NoDaemon: no daemon listens; the caller may open the spool itself.
        StorageBusy: the daemon hangs, or ended before it answered.
        SettingError, ConfigError, StorageError: as the operation raised it in the daemon.
        PosthouseError: any other error of the daemon.
    """
    path = os.path.join(data_dir, CONTROL_SOCKET)
    request: dict[str, Any] = {"op": operation.name, "args": given}
    if who:
        request["who"] = who
    if views is not None:
        request["views"] = list(views)
    answered = asyncio.ensure_future(_asked(path, request))
    try:
        while not (await asyncio.wait({answered}, timeout=_LOOK))[0]:
            if not await _lives(path, answered):
                raise StorageBusy(
                    f"the daemon at {path} does not answer: it is stopped, or waits for its disk; look at its log, "
                    "and end it if it does not recover (mail that was answered 250 is safe)"
                )
            if slow is not None and not answered.done():
                slow()
                slow = None
        line = answered.result()
    finally:
        answered.cancel()
        await asyncio.gather(answered, return_exceptions=True)
    if not line.endswith(b"\n"):
        raise StorageBusy(
            f"the daemon at {path} ended before it answered; see `posthouse queue audit` for what was done"
        )
    answer = msgspec.json.decode(line, type=ControlAnswer)
    if answer.error:
        raise error_of(answer.kind, answer.error)
    return msgspec.json.decode(answer.ok, type=operation.answer)


async def ask_peers(path: str, operation: Operation, given: Mapping[str, Any]) -> list[Any]:
    """The answers of the other worker processes beside that at ``path``; without those that do not answer at once."""
    asked = {"op": operation.name, "args": given}
    waits = [asyncio.wait_for(_asked(each, asked), _PEER) for each in peer_paths(path)]
    found = []
    for line in await asyncio.gather(*waits, return_exceptions=True):
        if isinstance(line, bytes) and line.endswith(b"\n"):
            answer = msgspec.json.decode(line, type=ControlAnswer)
            if not answer.error:
                found.append(msgspec.json.decode(answer.ok, type=operation.answer))
    return found


async def _lives(path: str, answered: asyncio.Future[bytes]) -> bool:
    """Whether the daemon answers a request that takes it no time, or the other one meanwhile."""
    ping = asyncio.ensure_future(_asked(path, {"op": PING}))
    try:
        await asyncio.wait({ping, answered}, timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
        return ping.done() or answered.done()
    finally:
        ping.cancel()
        await asyncio.gather(ping, return_exceptions=True)


async def _asked(path: str, request: Mapping[str, Any]) -> bytes:
    """The line that answers one request."""
    try:
        async with asyncio.timeout(_CONNECT):
            reader, writer = await asyncio.open_unix_connection(path, limit=MOST_ANSWERED + 1)
    except TimeoutError as error:
        raise StorageBusy(f"the daemon at {path} does not answer; see whether it hangs") from error
    except OSError as error:
        if error.errno in _NOT_LISTENING or "too long" in str(error):
            raise NoDaemon(f"no daemon listens at {path}") from error
        raise
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        async with asyncio.timeout(LONGEST_OPERATION + PATIENCE):
            await writer.drain()
            return await reader.readline()
    except TimeoutError as error:
        raise StorageBusy(f"the daemon at {path} did not answer in time") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"the connection to the daemon at {path} broke: {error}") from error
    finally:
        writer.close()
