"""``file:``: messages are stored in files instead of being sent, for development and for programs that read a Maildir.

``file:out/last.eml`` is one file, which each message replaces; any other path is a Maildir, which is made if it does
not exist.  The file is on stable storage when ``deliver`` returns.  The result's ``queue_id`` is the path of the file.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from typing import Final

from posthouse.core import Content, Envelope, Outcome, Reply, Result, SettingError
from posthouse.delivery.maildir_files import MaildirFiles
from posthouse.sending.results import SendResult

__all__ = ["EmlTransport", "MaildirTransport", "file_transport"]

_STORED: Final = Reply(250, "2.0.0", "stored in a file")
_NOT_STORED: Final = Reply(451, "4.3.0", "not stored")


def file_transport(url: str) -> EmlTransport | MaildirTransport:
    """The transport of ``file:PATH`` or ``file:///PATH``.  Raises ``SettingError`` for a URL without a path."""
    from urllib.parse import unquote

    path = url.strip().partition(":")[2]
    if path.startswith("//"):
        host, slash, rest = path[2:].partition("/")
        if host not in ("", "localhost"):
            remedy = "write file:PATH, or file:///PATH with three slashes"
            raise SettingError(f"{host} would be another machine's name", where=url, remedy=remedy)
        path = slash + rest
    if "?" in path:  # of somebody who writes it like the URL of a server; it would become part of a name
        raise SettingError("file: has no parameters", where=url, remedy="write %3F for a ? in the path")
    path = unquote(path)
    if not path or "\0" in path:
        raise SettingError("there is no path", where=url, remedy="write file:out.eml, or file:DIRECTORY for a Maildir")
    return EmlTransport(path) if path.lower().endswith(".eml") else MaildirTransport(path)


class EmlTransport:
    """One file for the last message, with CRLF line ends; its directory must exist."""

    def __init__(self, path: str) -> None:
        self.path = path

    def deliver(self, envelope: Envelope, content: Content) -> SendResult:
        """Replace the file in one step: it is never half a message."""
        temporary = f"{self.path}.{secrets.token_hex(4)}.tmp"
        try:
            try:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with open(descriptor, "wb") as file:
                    file.writelines(content.chunks())
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self.path)
            except BaseException:
                if os.path.exists(temporary):
                    os.unlink(temporary)
                raise
        except OSError as error:
            return _failed(envelope, self.path, error)
        return _stored(envelope, self.path)


class MaildirTransport:
    """A Maildir.  Its files have LF line ends, as programs on Unix expect."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)

    def deliver(self, envelope: Envelope, content: Content) -> SendResult:
        """Store the message in ``new``, with Return-Path before it (RFC 5321 §4.4)."""
        name = f"{time.time():.6f}.{os.getpid()}_{secrets.token_hex(8)}.posthouse"
        try:
            MaildirFiles().store(self.path, name, _with_return_path(envelope, content), lambda: False)
        except OSError as error:
            return _failed(envelope, self.path, error)
        return _stored(envelope, os.path.join(self.path, "new", name))


def _with_return_path(envelope: Envelope, content: Content) -> Iterable[bytes]:
    from posthouse.message.trace_fields import return_path

    yield return_path(envelope.sender)
    yield from content.chunks()


def _stored(envelope: Envelope, path: str) -> SendResult:
    reason = f"stored as {path}"
    return SendResult(
        [Outcome(each, Result.DELIVERED, _STORED, reason, path) for each in envelope.recipients], queue_id=path
    )


def _failed(envelope: Envelope, path: str, error: OSError) -> SendResult:
    reason = f"not stored in {path}: {error.strerror or error}; correct the path, or its permissions"
    return SendResult([Outcome(each, Result.DEFERRED, _NOT_STORED, reason, path) for each in envelope.recipients])
