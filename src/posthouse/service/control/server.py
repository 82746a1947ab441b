"""The server of the control socket: a running daemon offers its operations to users who may open a file.

``data_dir/control.sock`` has mode 0600, so only the daemon's user and root can connect, and the kernel names the user
at the other end.  The console is a process of the daemon's own user, and names the account that asks.  A connection may
carry several requests, one after the other; ``control.wire`` has their form.
Sizes, times and the number of connections are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
import stat
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from posthouse.core import PosthouseError, SettingError
from posthouse.service.control.wire import (
    LONGEST_OPERATION,
    MOST_ANSWERED,
    MOST_ASKED,
    PATIENCE,
    PING,
    ControlRequest,
    kind_of,
)
from posthouse.service.operations.base import Context, Operation, user_name
from posthouse.service.operations.registry import OPERATIONS
from posthouse.spool.sqlite.storage.file_owner import leave_to_owner

if TYPE_CHECKING:
    from posthouse.core import EventSink

__all__ = ["ControlSocket"]

#: Commands that ask at one time.  Most are answered at once; `inbox wait` of tests that run in parallel stays.
_CONNECTIONS: Final = 100
#: Characters of a name for which the console asks.
_LONGEST_NAME: Final = 200


class ControlSocket:
    """The listening side.  ``context`` gives what operations work on, for the user whose name it is given."""

    def __init__(self, path: str, context: Callable[[str], Context], log: EventSink) -> None:
        self._path = path
        self._context = context
        self._log = log
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._identity: tuple[int, int] | None = None

    async def open(self) -> None:
        """Listen.  A socket that a dead process left is replaced; raises ``OSError``, also where one still listens."""
        listening = _listening(self._path)
        try:
            status = os.stat(self._path)
            self._identity = (status.st_dev, status.st_ino)
            self._server = await asyncio.start_unix_server(self._connected, sock=listening, limit=MOST_ASKED)
        except BaseException:
            listening.close()
            raise

    async def close(self) -> None:
        """Stop listening, and cancel the operations under way; each ends between two transactions."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        with contextlib.suppress(OSError):
            status = os.stat(self._path)
            if (status.st_dev, status.st_ino) == self._identity:  # no other daemon has put its own in the place
                os.unlink(self._path)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= _CONNECTIONS:
            writer.write(_encoded({"error": "too many ask at the same time; try again", "kind": "busy"}))
            writer.close()
            return
        self._connections.add(task)
        try:
            who, own = _who(writer)
            while True:
                try:
                    line = await asyncio.wait_for(reader.readline(), PATIENCE)
                except ValueError:  # longer than the limit
                    error = f"the request is longer than {MOST_ASKED} octets"
                    writer.write(_encoded({"error": error, "kind": "setting"}))
                    break
                if not line.endswith(b"\n"):
                    break
                writer.write(await self._answered(line, who, own))
                await asyncio.wait_for(writer.drain(), PATIENCE)
        except (TimeoutError, OSError):
            pass  # the client is slow, or has gone
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answered(self, line: bytes, who: str, own: bool) -> bytes:
        try:
            line.decode()  # msgspec's own error for this differs by its version
            request = msgspec.json.decode(line, type=ControlRequest)
            if request.op == PING:
                return _encoded({"ok": os.getpid()})
            operation, given = _requested(request)
            if request.views is not None and not operation.narrowed:
                raise SettingError(f"{request.op} is not for one who sees some inboxes only")
        except UnicodeDecodeError as error:
            return _encoded({"error": f"this is no request: octet {error.start} is not UTF-8", "kind": "setting"})
        except (msgspec.DecodeError, RecursionError) as error:
            return _encoded({"error": f"this is no request: {error}", "kind": "setting"})
        except SettingError as error:
            return _encoded({"error": str(error), "kind": "setting"})
        if own and request.who:
            who = request.who[:_LONGEST_NAME]
        context = self._context(who) if operation.needs_context else None
        if context is not None and request.views is not None:
            context = context._replace(views=tuple(request.views))
        try:
            async with asyncio.timeout(LONGEST_OPERATION):
                answer = await operation.run(context, **given)
        except TimeoutError:
            error_text = f"{request.op} took longer than {LONGEST_OPERATION:.0f} seconds; ask for less at one time"
            return _encoded({"error": error_text, "kind": "busy"})
        except PosthouseError as error:
            return _encoded({"error": str(error), "kind": kind_of(error)})
        except Exception as error:
            self._log("fault", reason=f"{request.op}: {type(error).__name__}: {error}", error=error)
            text = f"{request.op} failed by an error in Posthouse; the daemon's log has it"
            return _encoded({"error": text, "kind": "fault"})
        try:
            line = _encoded({"ok": answer})
        except Exception as error:  # a value that JSON cannot have
            self._log("fault", reason=f"{request.op}: {type(error).__name__}: {error}", error=error)
            text = f"the answer of {request.op} could not be written; the daemon's log has the reason"
            return _encoded({"error": text, "kind": "fault"})
        if len(line) > MOST_ANSWERED:
            return _encoded({"error": "the answer is too long; ask with a smaller limit", "kind": "setting"})
        return line


def _encoded(value: Mapping[str, Any]) -> bytes:
    """One line."""
    try:
        return msgspec.json.encode(value) + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, from an escape in the request
        return json.dumps(value, ensure_ascii=True, default=msgspec.to_builtins).encode("ascii") + b"\n"


def _listening(path: str) -> socket.socket:
    """A bound socket that only its owner may connect to; ``start_unix_server`` then makes it listen."""
    _remove_abandoned(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(path)
        leave_to_owner(path)
        os.chmod(path, 0o600)  # before it listens: until then no client can connect
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_abandoned(path: str) -> None:
    """Remove a socket whose listener has died; leave anything else for ``bind`` to complain of."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            if probe.connect_ex(path) == errno.ECONNREFUSED:
                os.unlink(path)


def _who(writer: asyncio.StreamWriter) -> tuple[str, bool]:
    """The name of the user at the other end, and whether that is this process's own."""
    sock = writer.get_extra_info("socket")
    if sock is None or not hasattr(socket, "SO_PEERCRED"):
        return "a local user", False
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", raw)
    return user_name(user), user == os.getuid()


def _requested(request: ControlRequest) -> tuple[Operation, Mapping[str, Any]]:
    """The operation and its parameters.  Raises ``SettingError``."""
    operation = OPERATIONS.get(request.op)
    if operation is None:
        raise SettingError(f'there is no operation "{request.op}"', remedy=f"there are {', '.join(OPERATIONS)}")
    known = {each.name: each for each in operation.parameters}
    for name, value in request.args.items():
        if name not in known:
            remedy = f"it has {', '.join(known) or 'none'}"
            raise SettingError(f'"{request.op}" has no parameter "{name}"', remedy=remedy)
        if type(value) is not known[name].kind:
            raise SettingError(f'the parameter "{name}" is not a {known[name].kind.__name__}', where=request.op)
    for name, each in known.items():
        if each.default is None and name not in request.args:
            raise SettingError(f'the parameter "{name}" is missing', where=request.op, remedy=each.help)
    return operation, request.args
