"""Delivery into Maildirs: one file per message, without locks.

A message is written under ``tmp``, synced, linked to its name in ``new``, and the directory is synced; only then is it
*delivered*.  A crash leaves a file in ``tmp``, which readers ignore, or a whole message in ``new``.  The message is
kept as it travelled, CRLF line ends included, behind a new Return-Path (RFC 5321 §4.4).

All of it happens in a thread, because a disk that hangs must not stop the event loop.  A cancelled delivery therefore
still ends, and its result is not seen; at worst that makes a second copy.

The path of a mailbox is the operator's template with an address filled in (``expand_path``).  Local parts come from
outside, so each value becomes one harmless name: lower case, everything but letters, digits and ``_ - + =`` and inner
dots percent-escaped.  Two addresses share a directory only if they are the same mailbox (``Address.key``).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from posthouse.core import Address, LocalError, Outcome, Reply, Result, SettingError
from posthouse.delivery.model import Deliverer, Delivery, all_of, lease_lost
from posthouse.message.headers import without
from posthouse.message.trace_fields import return_path
from posthouse.net.clock import Clock

__all__ = ["MaildirDeliverer", "expand_path"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LITERAL = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-+=.")
_NAME_OCTETS = 255  # what file systems take for one name
_FOLDERS = ("tmp", "new", "cur")
_NO_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV))
_NO_DIRECTORY_SYNC = frozenset((errno.EINVAL, errno.ENOTSUP, errno.EBADF))


def expand_path(template: str, address: Address) -> Path:
    """The path of a mailbox: ``{domain}`` and ``{local}`` in ``template`` replaced by the address's.

    The result is never outside the template's own directories: a value is one path component or a part of one, never
    ``..``, empty, or begun with a dot.  Raises ``LocalError`` if the address cannot be represented (empty domain,
    name over 255 octets), ``SettingError`` if the template is wrong.
    """
    if "\0" in template or not template:
        raise SettingError("a Maildir's path is empty or holds a NUL", remedy="write maildir:/path/{domain}/{local}")

    def value(match: re.Match[str]) -> str:
        if match[1] == "local":
            return _component(address.local.casefold(), address)
        if match[1] == "domain":
            return _component(address.domain.lower(), address)
        raise SettingError(
            f"a Maildir's path has the unknown placeholder {match[0]}", remedy="use {domain} and {local} only"
        )

    path = Path(_PLACEHOLDER.sub(value, template))
    long = next((part for part in path.parts if len(os.fsencode(part)) > _NAME_OCTETS), None)
    if long is not None:
        raise LocalError(f"the address {address} needs a directory name over {_NAME_OCTETS} octets: {long[:60]}…")
    return path


def _component(value: str, address: Address) -> str:
    if not value:
        raise LocalError(f"the address {address} has no domain or local part to name a directory by")
    try:
        octets = value.encode()
    except UnicodeEncodeError as error:
        raise LocalError(f"the address {str(address)!r} holds half a surrogate pair") from error
    escaped = "".join(chr(octet) if octet in _LITERAL else f"%{octet:02X}" for octet in octets)
    return "%2E" + escaped[1:] if escaped.startswith(".") else escaped


class MaildirDeliverer(Deliverer):
    """A deliverer into Maildirs; a target is the directory (``expand_path`` makes it).

    ``hostname`` and ``pid`` go into the file names, with a count and what ``random`` returns (text that differs each
    time), so that no two deliveries on any machine choose the same name.  Missing directories are made with mode 0700;
    files have mode 0600.
    """

    def __init__(self, clock: Clock, hostname: str, *, pid: int, random: Callable[[], str]) -> None:
        self._clock = clock
        self._host = hostname.replace("/", "\\057").replace(":", "\\072").replace("\0", "")[:128] or "localhost"
        self._pid = pid
        self._random = random
        self._numbers = count(1)

    async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
        """Write one copy into the Maildir ``target``, which all recipients of the delivery share.

        A full disk, a used-up quota, missing permission and other file system errors are *deferred*: an operator can
        mend them.  Raises only for a fault in this program, or of the spool from which the content is read.
        """
        head = return_path(delivery.envelope.sender)
        name = self._name()
        try:
            stored = await asyncio.to_thread(_store, target, name, head, delivery)
        except OSError as error:
            reply, reason = _trouble(error, target)
            return all_of(delivery.envelope.recipients, Result.DEFERRED, reason, reply, target)
        if not stored:
            return lease_lost(delivery, target)
        reply = Reply(250, "2.0.0", "delivered to the Maildir")
        return all_of(delivery.envelope.recipients, Result.DELIVERED, f"delivered as {name}", reply, target)

    def _name(self) -> str:
        now = self._clock.time()
        seconds = int(now // 1)
        random = re.sub(r"[^A-Za-z0-9]", "", self._random())[:64]
        return (
            f"{seconds}.M{int((now - seconds) * 1_000_000):06d}P{self._pid}Q{next(self._numbers)}R{random}.{self._host}"
        )


def _trouble(error: OSError, target: str) -> tuple[Reply, str]:
    """The reply and the reason for a file system error.  The reply, which the sender sees, has no path."""
    cause = os.strerror(error.errno) if error.errno else str(error)
    where = error.filename if isinstance(error.filename, str) else target
    if error.errno == errno.ENOSPC:
        return Reply(452, "4.3.1", "mail system full"), f"no space left on the device of {where}; free some"
    if error.errno == errno.EDQUOT:
        return Reply(452, "4.2.2", "mailbox full"), f"the quota of {where} is used up; raise it or remove mail"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Reply(
            451, "4.3.0", "mailbox not accessible"
        ), f"{where} cannot be written ({cause}); mend its permissions"
    return Reply(451, "4.3.0", "mailbox not accessible"), f"delivery to {where} failed: {cause}"


def _store(target: str, name: str, head: bytes, delivery: Delivery) -> bool:
    """Write, sync, publish, sync: when this returns, the message is on stable storage in ``new``.  False if the lease
    was lost before it was published; nothing is left of it then."""
    for folder in _FOLDERS:
        _make_directory(os.path.join(target, folder))
    temporary, final = os.path.join(target, "tmp", name), os.path.join(target, "new", name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(temporary, flags, 0o600)
    try:
        try:
            with open(descriptor, "wb", buffering=0) as file:
                _write(file.fileno(), head)
                for chunk in without(delivery.content, b"Return-Path").chunks():
                    _write(file.fileno(), chunk)
                os.fsync(file.fileno())
        except OSError as error:
            # Calls on a descriptor do not know the path, which the operator needs.
            raise OSError(error.errno, error.strerror, temporary) from error
        if delivery.lost:
            return False
        _publish(temporary, final)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    _sync_directory(os.path.dirname(final))
    return True


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _publish(temporary: str, final: str) -> None:
    """Give the file its final name; never over another file, where the file system has links."""
    try:
        os.link(temporary, final, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(temporary, final)


def _make_directory(path: str) -> None:
    """Make ``path`` and what is missing above it, mode 0700, each new name synced in its parent."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if not parent or parent == path:
            raise
        _make_directory(parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
    _sync_directory(os.path.dirname(path) or ".")


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(descriptor)
