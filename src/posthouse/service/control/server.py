"""The control socket: a running house offers its operations to whoever may open a file of its data directory.

``data_dir/control.sock`` has mode 0600, so its user and root are let in, and who it is the kernel tells.  Each way goes
one JSON object on one line: ``{"op": "queue hold", "args": {"filter": "domain:example.org"}}`` there, and back
``{"ok": answer}``, or ``{"error": sentence, "kind": kind}`` with ``setting`` (what was asked cannot be meant),
``storage``, ``full``, ``busy`` or ``fault`` (a mistake of ours: the log has it).  A connection may ask again.

Sizes, times and the number of connections are bounded.  Where nobody listens, ``ask`` raises ``NobodyListens``, and the
caller reads the spool itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pwd
import socket
import stat
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from posthouse.core import PosthouseError, SettingError, StorageBusy, StorageError, StorageFull
from posthouse.service.operations.base import Context, Operation
from posthouse.service.operations.registry import OPERATIONS

if TYPE_CHECKING:
    from posthouse.core import EventSink

__all__ = ["ControlSocket", "NobodyListens", "ask", "socket_path", "user_name"]

_MOST_ASKED: Final = 65_536  # octets of a question
_MOST_ANSWERED: Final = 64 << 20  # octets of an answer
_PATIENCE: Final = 30.0  # seconds for the next question, and for an answer to be taken
_LONGEST: Final = 600.0  # seconds an operation may take
_CONNECTIONS: Final = 16
_CONNECT: Final = 5.0  # seconds
_REFUSED: Final = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.EACCES, errno.EPERM, errno.ENOTDIR)


class NobodyListens(PosthouseError):
    """No daemon can be asked: none runs, or its socket may not be opened."""


def socket_path(data_dir: str) -> str:
    """Where the socket of a data directory is."""
    return os.path.join(data_dir, "control.sock")


def user_name(number: int) -> str:
    """The name of a user of this machine, with the number: ``ann (uid 1000)``."""
    try:
        return f"{pwd.getpwuid(number).pw_name} (uid {number})"
    except KeyError:
        return f"uid {number}"


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    op: str
    args: dict[str, str | int | bool] = {}


class ControlSocket:
    """The listening side.  ``context`` is the house's; each question is asked with its own ``who``."""

    def __init__(self, path: str, context: Callable[[str], Context], log: EventSink) -> None:
        self._path = path
        self._context = context
        self._log = log
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._identity: tuple[int, int] | None = None

    async def open(self) -> None:
        """Listen.  A socket that a dead process left is replaced; raises ``OSError``, also where one still listens."""
        listening = _listening(self._path)
        try:
            status = os.stat(self._path)
            self._identity = (status.st_dev, status.st_ino)
            self._server = await asyncio.start_unix_server(self._connected, sock=listening, limit=_MOST_ASKED)
        except BaseException:
            listening.close()
            raise

    async def close(self) -> None:
        """Listen no more; what is being done is ended between two transactions."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        with contextlib.suppress(OSError):
            status = os.stat(self._path)
            if (status.st_dev, status.st_ino) == self._identity:  # nobody has put another in its place
                os.unlink(self._path)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._talks) >= _CONNECTIONS:
            writer.write(_encoded({"error": "too many ask at the same time; try again", "kind": "busy"}))
            writer.close()
            return
        self._talks.add(task)
        try:
            who = _who(writer)
            while True:
                try:
                    line = await asyncio.wait_for(reader.readline(), _PATIENCE)
                except ValueError:  # longer than the limit
                    error = f"the question is longer than {_MOST_ASKED} octets"
                    writer.write(_encoded({"error": error, "kind": "setting"}))
                    break
                if not line.endswith(b"\n"):
                    break
                writer.write(await self._answered(line, who))
                await asyncio.wait_for(writer.drain(), _PATIENCE)
        except (TimeoutError, OSError):
            pass  # whoever asked is slow, or has gone
        finally:
            self._talks.discard(task)
            writer.close()

    async def _answered(self, line: bytes, who: str) -> bytes:
        try:
            question = msgspec.json.decode(line, type=_Question)
            operation, given = _meant(question)
        except msgspec.DecodeError as error:
            return _encoded({"error": f"this is no question: {error}", "kind": "setting"})
        except SettingError as error:
            return _encoded({"error": str(error), "kind": "setting"})
        context = self._context(who) if operation.needs_context else None
        try:
            async with asyncio.timeout(_LONGEST):
                answer = await operation.run(context, **given)
        except TimeoutError:
            error_text = f"{question.op} took longer than {_LONGEST:.0f} seconds; ask for less at one time"
            return _encoded({"error": error_text, "kind": "busy"})
        except PosthouseError as error:
            return _encoded({"error": str(error), "kind": _kind(error)})
        except Exception as error:
            self._log("fault", reason=f"{question.op}: {type(error).__name__}: {error}", error=error)
            text = f"{question.op} failed by a mistake of ours; the daemon's log has it"
            return _encoded({"error": text, "kind": "fault"})
        encoded = _encoded({"ok": answer})
        if len(encoded) > _MOST_ANSWERED:
            return _encoded({"error": "the answer is too long; ask with a smaller limit", "kind": "setting"})
        return encoded


def _listening(path: str) -> socket.socket:
    """A bound socket that only its owner may connect to; it takes connections when ``start_unix_server`` has it."""
    _remove_abandoned(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(path)
        os.chmod(path, 0o600)  # before it listens: until then nobody can connect
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


def _who(writer: asyncio.StreamWriter) -> str:
    """The name of the user at the other end."""
    sock = writer.get_extra_info("socket")
    if sock is None or not hasattr(socket, "SO_PEERCRED"):
        return "a local user"
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", raw)
    return user_name(user)


def _meant(question: _Question) -> tuple[Operation, Mapping[str, Any]]:
    """The operation and its parameters.  Raises ``SettingError``."""
    operation = OPERATIONS.get(question.op)
    if operation is None:
        raise SettingError(f'there is no operation "{question.op}"', remedy=f"there are {', '.join(OPERATIONS)}")
    known = {each.name: each for each in operation.parameters}
    for name, value in question.args.items():
        if name not in known:
            raise SettingError(
                f'"{question.op}" has no parameter "{name}"', remedy=f"it has {', '.join(known) or 'none'}"
            )
        if type(value) is not known[name].kind:
            raise SettingError(f'the parameter "{name}" is not a {known[name].kind.__name__}', where=question.op)
    for name, each in known.items():
        if each.default is None and name not in question.args:
            raise SettingError(f'the parameter "{name}" is missing', where=question.op, remedy=each.help)
    return operation, question.args


def _encoded(value: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"


# A fault's kind on the wire, the most particular first.
_KINDS: Final[tuple[tuple[type[PosthouseError], str], ...]] = (
    (SettingError, "setting"),
    (StorageFull, "full"),
    (StorageBusy, "busy"),
    (StorageError, "storage"),
)


def _kind(error: PosthouseError) -> str:
    return next((kind for each, kind in _KINDS if isinstance(error, each)), "fault")


class _Answer(msgspec.Struct):
    ok: msgspec.Raw = msgspec.Raw(b"")
    error: str = ""
    kind: str = ""


async def ask(data_dir: str, operation: Operation, given: Mapping[str, Any]) -> Any:
    """The answer of the daemon that runs on ``data_dir``.

    Raises ``NobodyListens``; else what the operation raises, as far as it can be told: ``SettingError``,
    ``StorageError`` and those below it, ``PosthouseError`` for the rest.
    """
    path = socket_path(data_dir)
    try:
        async with asyncio.timeout(_CONNECT):
            reader, writer = await asyncio.open_unix_connection(path, limit=_MOST_ANSWERED + 1)
    except TimeoutError as error:
        raise StorageBusy(f"the daemon at {path} does not answer; see whether it hangs") from error
    except OSError as error:
        if error.errno in _REFUSED or "too long" in str(error):
            raise NobodyListens(f"nobody listens at {path}") from error
        raise
    try:
        writer.write(_encoded({"op": operation.name, "args": dict(given)}))
        async with asyncio.timeout(_LONGEST + _PATIENCE):
            await writer.drain()
            line = await reader.readline()
    except TimeoutError as error:
        raise StorageBusy(f"the daemon at {path} did not answer in time") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"the conversation with the daemon at {path} broke: {error}") from error
    finally:
        writer.close()
    if not line.endswith(b"\n"):
        raise StorageBusy(
            f"the daemon at {path} ended before it answered; see `posthouse queue audit` for what was done"
        )
    answer = msgspec.json.decode(line, type=_Answer)
    if answer.error:
        known = {kind: each for each, kind in _KINDS}
        raise known.get(answer.kind, PosthouseError)(answer.error)
    return msgspec.json.decode(answer.ok, type=operation.answer)
