"""Delivery into Maildirs: one file per message, without locks.

A message is written under ``tmp``, synced, linked to its name in ``new``, and the directory is synced; only then is it
*delivered* (``maildir_files``).  A crash leaves a file in ``tmp``, which readers ignore, or a whole message in ``new``.
Lines end with LF, as all other programs that write Maildirs have it, or with CRLF if so configured; all other octets
are kept as they travelled.  In front stand a new Return-Path (RFC 5321 §4.4), and for each recipient X-Original-To (the
address that RCPT had, such as an alias) and Delivered-To (the address that it became here).

All of it happens in a thread, because a disk that hangs must not stop the event loop.  A cancelled delivery therefore
still ends, and its result is not seen; at worst that makes a second copy.

The path of a mailbox is the operator's template with an address filled in (``expand_path``).  Local parts come from
outside, so each value becomes one harmless name: the form that all spellings of the mailbox share (lower case, NFC),
with letters and digits of all scripts and ``. + - _ = '`` as they are, which is where Dovecot's ``%n`` looks, and
everything else percent-escaped.  Two addresses share a directory only if they are the same mailbox (``Address.key``).
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

from posthouse.core import Address, LocalError, Outcome, Reply, Result, SettingError, local_key
from posthouse.delivery.maildir_files import MaildirFiles, OwnerFault
from posthouse.delivery.model import Deliverer, Delivery, all_of, lease_lost
from posthouse.message.headers import without
from posthouse.message.trace_fields import address_field, is_quarantined, return_path
from posthouse.net.clock import Clock

__all__ = ["MaildirDeliverer", "expand_path"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_MARKS = frozenset("_-+=.'")
_NAME_OCTETS = 255  # what file systems take for one name
_BATCH = 64  # recipients whose addresses stand in front of one copy
_OWNER = Reply(451, "4.3.5", "mail system incorrectly configured")


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
            return _component(local_key(address.local), address)
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
        escaped = "".join(map(_literal, value))
    except UnicodeEncodeError as error:
        raise LocalError(f"the address {str(address)!r} holds half a surrogate pair") from error
    return "%2E" + escaped[1:] if escaped.startswith(".") else escaped


def _literal(character: str) -> str:
    """A character of a local part or domain as it stands in a file name."""
    if character in _MARKS or character.isalnum() or (character > "\x7f" and character.isprintable()):
        return character
    return "".join(f"%{octet:02X}" for octet in character.encode())


class MaildirDeliverer(Deliverer):
    """A deliverer into Maildirs; a target is the directory (``expand_path`` makes it).

    ``hostname`` and ``pid`` go into the file names, with a count and what ``random`` returns (text that differs each
    time), so that no two deliveries on any machine choose the same name.  ``files`` says how files are written;
    ``writing`` makes a deliverer that writes otherwise.  ``quarantine`` is the folder for messages that were
    quarantined as they came in (``message.trace_fields``), "" for none: then they go where all others go.
    """

    def __init__(
        self,
        clock: Clock,
        hostname: str,
        *,
        pid: int,
        random: Callable[[], str],
        files: MaildirFiles | None = None,
        quarantine: str = "",
    ) -> None:
        self._clock = clock
        self._host = hostname.replace("/", "\\057").replace(":", "\\072").replace("\0", "")[:128] or "localhost"
        self._pid = pid
        self._random = random
        self._numbers = count(1)
        self._files = files or MaildirFiles()
        self._quarantine = quarantine

    def writing(self, files: MaildirFiles, quarantine: str = "") -> MaildirDeliverer:
        """A deliverer that writes files in this way, and whose file names are different from this one's."""
        made = MaildirDeliverer(self._clock, "", pid=self._pid, random=self._random, files=files, quarantine=quarantine)
        made._host, made._numbers = self._host, self._numbers
        return made

    async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
        """Write one copy into the Maildir ``target``, which all recipients of the delivery share.

        A full disk, a used-up quota, missing permission and other file system errors are *deferred*: an operator can
        mend them.  Raises only for a fault in this program, or of the spool from which the content is read.
        """
        name = self._name()
        try:
            stored, folder = await asyncio.to_thread(self._store, delivery, target, name)
        except OwnerFault as fault:
            return all_of(delivery.envelope.recipients, Result.DEFERRED, str(fault), _OWNER, target)
        except OSError as error:
            reply, reason = _trouble(error, target)
            return all_of(delivery.envelope.recipients, Result.DEFERRED, reason, reply, target)
        if not stored:
            return lease_lost(delivery, target)
        reply = Reply(250, "2.0.0", "delivered to the Maildir")
        reason = f"delivered as {name}" + (f" in the folder {folder}, because it is quarantined" if folder else "")
        return all_of(delivery.envelope.recipients, Result.DELIVERED, reason, reply, target)

    def _store(self, delivery: Delivery, target: str, name: str) -> tuple[bool, str]:
        """Whether the message was stored, and the folder if it is quarantined; reads and writes files."""
        folder = self._quarantine if self._quarantine and is_quarantined(delivery.content) else ""
        return self._files.store(target, name, _written(delivery), lambda: delivery.lost, folder), folder

    def _name(self) -> str:
        now = self._clock.time()
        seconds = int(now // 1)
        random = re.sub(r"[^A-Za-z0-9]", "", self._random())[:64]
        return (
            f"{seconds}.M{int((now - seconds) * 1_000_000):06d}P{self._pid}Q{next(self._numbers)}R{random}.{self._host}"
        )


def _written(delivery: Delivery) -> Iterator[bytes]:
    """The octets of a message as it is put into a Maildir, with CRLF line ends."""
    recipients = delivery.envelope.recipients[:_BATCH]
    yield return_path(delivery.envelope.sender) + b"".join(
        b"".join(address_field("X-Original-To", str(each)) for each in recipient.originals or (recipient.address,))
        + address_field("Delivered-To", str(recipient.address))
        for recipient in recipients
    )
    yield from without(delivery.content, b"Return-Path").chunks()


def _trouble(error: OSError, target: str) -> tuple[Reply, str]:
    """The reply and the reason for a file system error.  The reply, which the sender sees, has no path."""
    cause = os.strerror(error.errno) if error.errno else str(error)
    where = error.filename if isinstance(error.filename, str) else target
    if error.errno == errno.ENOSPC:
        return Reply(452, "4.3.1", "mail system full"), f"no space left on the device of {where}; free some"
    if error.errno == errno.EDQUOT:
        return Reply(452, "4.2.2", "mailbox full"), f"the quota of {where} is used up; raise it or remove mail"
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return Reply(451, "4.3.0", "mailbox not accessible"), (
            f"{where} is no directory, or a symbolic link where none is followed ({cause}); put a directory there"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Reply(
            451, "4.3.0", "mailbox not accessible"
        ), f"{where} cannot be written ({cause}); mend its permissions"
    return Reply(451, "4.3.0", "mailbox not accessible"), f"delivery to {where} failed: {cause}"
