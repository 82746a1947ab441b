"""Submission of one message to the maildrop, as ``sendmail`` and a session of ``sendmail -bs`` do it.

The message is read into a temporary file (in memory up to 4 MiB), so that its size does not matter; lines that are
longer than a message may have, and NUL, get a transfer encoding where the message's structure allows one, and the
declaration of what is left as it is.
"""

from __future__ import annotations

import os
import pwd
import secrets
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

from posthouse.core import Address, Body, Content, Envelope, StorageError, StorageFull
from posthouse.message.dates import format_date
from posthouse.service.maildrop.maildrop import Left, Maildrop

__all__ = ["HeldMessage", "TooLarge", "User", "fresh_date", "fresh_message_id", "local_domain", "local_user", "submit"]

_IN_MEMORY: Final = 4 << 20
_MAILNAME: Final = "/etc/mailname"


class TooLarge(StorageError):
    """The message is larger than the daemon takes."""


class User(NamedTuple):
    """A user of this machine: the login name, and the full name or ""."""

    name: str
    full_name: str


def local_user() -> User:
    """The user of this process."""
    uid = os.getuid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return User(f"uid{uid}", "")
    full = entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())
    return User(entry.pw_name, full)


def local_domain(hostname: str = "") -> str:
    """The domain of addresses without one: the daemon's name, else that of /etc/mailname, else the machine's."""
    if hostname:
        return hostname
    try:
        with open(_MAILNAME, encoding="ascii") as file:
            named = file.readline(300).strip()
    except (OSError, ValueError):
        named = ""
    name = named or socket.gethostname().rstrip(".")
    from posthouse.protocol.grammar import GrammarError, domain_to_ascii

    try:
        return domain_to_ascii(name)
    except GrammarError:
        return "localhost"


def fresh_date(now: float) -> str:
    """The value of Date, in the machine's zone."""
    return format_date(now, time.localtime(now).tm_gmtoff // 60)


def fresh_message_id(now: float, domain: str) -> str:
    """A new Message-ID with its angle brackets."""
    return f"<{time.strftime('%Y%m%d%H%M%S', time.gmtime(now))}.{secrets.token_hex(8)}@{domain}>"


class HeldMessage:
    """A message that is read before it is stored: ``Content`` in a temporary file, to be closed."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by ``close``
        self._size = 0
        self._read_at = 0

    @property
    def size(self) -> int:
        """Length in octets."""
        return self._size

    def fill(self, pieces: Iterable[bytes], at_most: int = 0) -> None:
        """Take the octets; more than ``at_most`` (0: any number) raise ``TooLarge``, after all have been read.

        Raises ``StorageFull`` and ``StorageError`` where they cannot be kept.
        """
        fault: StorageError | None = None
        for piece in pieces:
            self._size += len(piece)
            if fault is not None:
                continue
            if at_most and self._size > at_most:
                fault = TooLarge(f"the message is larger than {at_most} octets, which is what the daemon takes at most")
                continue
            try:
                self._file.write(piece)
            except OSError as error:
                fault = StorageFull(f"the temporary directory cannot hold the message ({error.strerror or error})")
                fault.__cause__ = error
        if fault is not None:
            raise fault

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        """The octets in order."""
        self._file.seek(0)
        at = 0
        while chunk := self._file.read(at_most):
            at += len(chunk)
            yield chunk
            self._file.seek(at)

    def readline(self, limit: int = -1, /) -> bytes:
        """The next line, from the beginning at first; for a message that has been filled."""
        self._file.seek(self._read_at)
        line = self._file.readline(limit)
        self._read_at += len(line)
        return line

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def submit(
    maildrop: Maildrop, envelope: Envelope, content: Content, *, message_id: str, key: str = "", patience: float = 10.0
) -> Left:
    """Leave a message that is complete; its ``body`` and ``smtputf8`` are set by what it has in it.

    Raises what ``Maildrop.leave`` does.
    """
    from posthouse.message.mime import needs

    asks = needs(content.chunks(65_536))
    if asks.binary:
        from posthouse.message.conversion import Unconvertible, convert

        made = convert(content, to_7bit=False, raw_headers=True)
        if not isinstance(made, Unconvertible):
            content, asks = made, needs(made.chunks(65_536))
    body = Body.EIGHTBITMIME if asks.eightbit else Body.SEVENBIT
    if asks.binary and any(b"\0" in chunk for chunk in content.chunks(65_536)):
        body = Body.BINARYMIME
    people: list[Address] = [each.address for each in envelope.recipients]
    people += [envelope.sender] if envelope.sender is not None else []
    utf8 = envelope.smtputf8 or any(not each.local.isascii() for each in people)
    ready = envelope._replace(body=body, smtputf8=utf8, size=content.size)
    return maildrop.leave(ready, content.chunks(65_536), message_id=message_id, key=key, patience=patience)
