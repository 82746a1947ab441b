"""The writing side of the maildrop: a message is durable when ``Maildrop.leave`` returns.

A file is written under a name that the daemon ignores, synced, given its lasting name, and the directory is synced.
Then the daemon, if one runs, is told its name by a socket in the directory; the daemon answers with the queue id when
it has stored the message.  No answer within ``patience`` seconds, or no daemon, is no failure: the file stays, and is
taken later.

**Who may write.**  The directory belongs to the daemon's user.  Where only that user may write into it (0700, as the
daemon makes it), other users but root get an error that says so.  An operator opens it to all users with mode 3733,
and so owner and group posthouse: everybody may put files in, nobody may see the names of others or remove them, and
new files get the daemon's group, which reads them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from posthouse.core import Envelope, LocalError, StorageError, StorageFull
from posthouse.service.maildrop.form import ARRIVING, DROP_ID, SOCKET, TERMS, DroppedEnvelope, new_drop_id, write_head

__all__ = ["Left", "MAILDROP", "Maildrop", "Terms", "own_directory", "socket_path"]

#: The name of a daemon's own maildrop in its ``data_dir``.
MAILDROP: Final = "maildrop"

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
#: Octets of an answer, and of the file of terms.
_ANSWER_AT_MOST: Final = 4_096
#: Octets of a path that a unix socket's address has room for, with something to spare.
_LONGEST_PATH: Final = 100


class Left(NamedTuple):
    """A message that was left: ``queue_id`` is the daemon's, "" if it has not answered.  ``running``: a daemon listens
    and will take the message, if it has not already."""

    drop_id: str
    queue_id: str
    running: bool

    @property
    def id(self) -> str:
        """The queue id, else the drop id."""
        return self.queue_id or self.drop_id


class Terms(NamedTuple):
    """What the daemon says of itself: its name, and the octets of the largest message that it takes; 0: not known."""

    hostname: str = ""
    max_message_size: int = 0


class Maildrop:
    """A maildrop.  ``made``: it is made, for this user alone, where it is missing.  ``hostname`` is the daemon's, where
    it is known already."""

    def __init__(self, path: str, *, made: bool = False, hostname: str = "") -> None:
        self.path = os.path.abspath(path)
        self._made = made
        self._hostname = hostname

    def terms(self) -> Terms:
        """What the daemon has written about itself at its last start; if none has run here, what else is known."""
        unknown = Terms(self._hostname)
        try:
            descriptor = os.open(os.path.join(self.path, TERMS), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(descriptor).st_uid not in (os.stat(self.path).st_uid, 0):
                    return unknown  # another user has put it there
                facts = json.loads(os.read(descriptor, _ANSWER_AT_MOST))
            finally:
                os.close(descriptor)
            hostname, size = facts["hostname"], facts["max_message_size"]
        except (OSError, ValueError, KeyError, TypeError):
            return unknown
        return Terms(hostname, size) if isinstance(hostname, str) and isinstance(size, int) else unknown

    def leave(
        self,
        envelope: Envelope,
        chunks: Iterable[bytes],
        *,
        message_id: str = "",
        key: str = "",
        patience: float = 10.0,
    ) -> Left:
        """Leave a message; it is on stable storage when this returns.

        Args:
            chunks: The content.  Line ends may be of any kind; the daemon stores CRLF.
            message_id: The content's Message-ID with its angle brackets, by which a daemon that crashed in the middle
                knows what it has taken already.
            key: A message with a key that this user has used before is not sent again.  The daemon remembers a key for
                7 days.
            patience: Seconds to wait for the daemon's answer.

        Raises ``LocalError`` for an envelope that cannot be sent, ``StorageFull`` and ``StorageError``; then nothing is
        left.
        """
        head = write_head(DroppedEnvelope(envelope, message_id))
        drop_id = new_drop_id(key, os.geteuid())
        try:
            self._store(drop_id, head, chunks)
        except OSError as error:
            raise self._fault(error) from error
        return self._answer_to(drop_id, patience)

    def waiting(self) -> int:
        """The number of files that wait for the daemon.  Raises ``OSError`` where this user may not see them."""
        with os.scandir(self.path) as entries:
            return sum(1 for each in entries if DROP_ID.fullmatch(each.name))

    # -- the file ----------------------------------------------------------------------------------------------------

    def _store(self, drop_id: str, head: bytes, chunks: Iterable[bytes]) -> None:
        if self._made:
            own_directory(self.path)
        lasting = os.path.join(self.path, drop_id)
        arriving = os.path.join(self.path, f"{ARRIVING}{new_drop_id()}")
        descriptor = os.open(arriving, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                self._make_readable(descriptor)
                _write(descriptor, head)
                for chunk in chunks:
                    _write(descriptor, chunk)
                os.fsync(descriptor)
                os.rename(arriving, lasting)  # of the same key, the newer file replaces the older
                self._sync_directory(descriptor)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(arriving)
                raise
        finally:
            os.close(descriptor)

    def _make_readable(self, descriptor: int) -> None:
        """Give the daemon's group the right to read a file of another user."""
        place, file = os.stat(self.path), os.fstat(descriptor)
        if place.st_uid == file.st_uid:
            return
        if not os.geteuid():
            os.fchown(descriptor, -1, place.st_gid)
        elif file.st_gid != place.st_gid:
            raise LocalError(
                f"the daemon could not read what this user leaves in {self.path}, because new files do not get the "
                "directory's group; have its owner set mode 3733"
            )
        os.fchmod(descriptor, 0o640)

    def _sync_directory(self, descriptor: int) -> None:
        """Bring the new name to stable storage.  Where it may not be read, everything is synced."""
        try:
            directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError:
            os.fsync(descriptor)
            os.sync()
            return
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _fault(self, error: OSError) -> StorageError:
        why = error.strerror or str(error)
        if error.errno in _FULL:
            return StorageFull(f"{self.path}: the message could not be stored ({why}); make room on that disk")
        remedy = "start the daemon once, which makes the directory, or name another with --maildrop"
        if error.errno in (errno.EACCES, errno.EPERM):
            remedy = (
                "have its owner open it to all users (mode 3733), or send as the daemon's user; see docs/sendmail.md"
            )
        return StorageError(f"{self.path}: the message could not be stored ({why}); {remedy}")

    # -- the daemon --------------------------------------------------------------------------------------------------

    def _answer_to(self, drop_id: str, patience: float) -> Left:
        """Tell the daemon, and wait for its answer."""
        end = time.monotonic() + patience
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        running = False
        try:
            channel.settimeout(max(patience, 0.01))
            with socket_path(self.path) as path:
                channel.connect(path)
            running = True
            channel.sendall(drop_id.encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n") and len(answer) < _ANSWER_AT_MOST:
                channel.settimeout(max(end - time.monotonic(), 0.01))
                piece = channel.recv(_ANSWER_AT_MOST)
                if not piece:
                    break
                answer += piece
            facts = json.loads(answer)
            queue_id = facts.get("id", "") if isinstance(facts, dict) else ""
            return Left(drop_id, queue_id if isinstance(queue_id, str) and queue_id.isalnum() else "", True)
        except (OSError, ValueError):  # no daemon, one that is busy, or an answer that is none: the file is durable
            return Left(drop_id, "", running)
        finally:
            channel.close()


def own_directory(path: str) -> None:
    """Make a directory for this user alone, with those above it, if it is missing, and bring it to stable storage."""
    missing = []
    at = path
    while not os.path.isdir(at):
        missing.append(at)
        at = os.path.dirname(at)
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(each, 0o700)
        _sync(os.path.dirname(each))


@contextlib.contextmanager
def socket_path(directory: str) -> Iterator[str]:
    """The path of the daemon's socket, in a form that fits into a socket's address."""
    path = os.path.join(directory, SOCKET)
    if len(os.fsencode(path)) <= _LONGEST_PATH or not hasattr(os, "O_PATH"):
        yield path
        return
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
