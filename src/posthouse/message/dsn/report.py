"""Composes delivery status notifications (RFC 3464), called reports here.

A report is a multipart/report of three parts (RFC 6522): a text for human readers (``dsn.text``), the fields for
programs, and the original message or only its header section.  Date and Message-ID are arguments, so equal arguments
give equal octets.

**Returned content.**  The whole message is returned for a failure only, and only without RET=HDRS, without REQUIRETLS
(RFC 8689 §5), and up to ``limit`` octets; in all other cases its header section.

**Octets.**  A report is ASCII in lines of at most 998 octets: the returned content is converted (``mime.downgrade``) or
encoded, and an address beyond ASCII is written in the 7-bit form of RFC 6533 §3.  The exception is a report to an
address beyond ASCII, whose path must have SMTPUTF8: it has the media types of RFC 6533 in UTF-8.  A header section with
raw UTF-8 is returned as message/global-headers, which may be encoded (RFC 6532 §3.7, RFC 6533 §6).

**Loops.**  The reverse-path is null.  A report has ``Auto-Submitted: auto-replied``.  A *notice* goes to the postmaster
when a report cannot be delivered, and has ``auto-generated`` (RFC 3834 §5).  ``is_report`` tells the two apart: a
failed report causes one notice, and a failed notice causes nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from posthouse.core import Address, Body, Envelope, LocalError, Recipient, Ret
from posthouse.message.compose import Composed
from posthouse.message.conversion import Unconvertible, downgrade
from posthouse.message.dates import format_date
from posthouse.message.dsn.model import Action, OriginalMessage, RecipientStatus
from posthouse.message.dsn.text import report_text, subject, wants_chinese
from posthouse.message.encode import base64_body, encoded_words, fold_fields, quoted_printable
from posthouse.message.headers import fields, first, first_values, split
from posthouse.message.mailboxes import Mailbox, write_mailbox
from posthouse.message.mime import needs
from posthouse.message.structured import content_type, first_word

__all__ = ["LIMIT", "compose_report", "is_report"]

#: Largest message, in octets, that a report returns whole; of a larger one it returns the header section.
LIMIT = 65_536

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# The characters that the 7-bit form of a utf-8 address escapes: all but QCHAR (RFC 6533 §3).
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")
_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,480}>")
_Field = tuple[str, Sequence[str]]  # name and tokens
_FIRST_WORD = 67  # characters that fit behind "Subject: " in a line with an encoded word (RFC 2047 §2)
_WORD = 900  # octets of one token of a field, at most
_DIAGNOSTIC = 2_000  # characters of a quoted reply


def is_report(content: bytes) -> bool:
    """True if this beginning of a message is that of a delivery report, and not of a notice."""
    found = fields(split(content).headers)
    submitted = first(found, b"Auto-Submitted")
    if submitted is None or first_word(submitted.value) != b"auto-replied":
        return False
    kind = content_type(found)
    return kind.kind == "multipart/report" and kind.text("report-type").lower() in ("", "delivery-status")


def compose_report(
    original: OriginalMessage,
    statuses: Sequence[RecipientStatus],
    *,
    to: Sequence[Address],
    hostname: str,
    postmaster: Address,
    date: float,
    message_id: str,
    offset_minutes: int = 0,
    notice: bool = False,
    limit: int = LIMIT,
) -> Composed:
    """Compose a report: its envelope, with the null reverse-path, and its content.

    Args:
        to: The addresses that get the report.  Their domains should be A-labels, so that only a local part beyond ASCII
            makes the report need SMTPUTF8.
        hostname: The reporting host.
        postmaster: The address to which readers can write.
        date: Seconds since 1970; ``offset_minutes`` is local time minus UTC.
        message_id: Without ``<`` and ``>``.
        notice: Compose a notice to the postmaster instead of a report.
        limit: Largest message, in octets, that is returned whole.

    Raises:
        LocalError: ``statuses`` or ``to`` is empty.
    """
    if not statuses or not to:
        raise LocalError("a report needs at least one recipient status and one address to go to")
    writer = _ReportParts(original, statuses, utf8=any(not one.is_ascii for one in to), offset=offset_minutes)
    chinese = wants_chinese(headers := split(original.content).headers)
    returned, whole = writer.returned(headers, limit)
    until = max((status.until for status in statuses if status.until is not None), default=None)
    text = report_text(
        statuses,
        hostname=hostname,
        postmaster=postmaster,
        queue_id=original.id,
        sender=original.envelope.sender,
        arrived=writer.arrived,
        until="" if until is None else format_date(until, offset_minutes),
        whole=whole,
        notice=notice,
        chinese=chinese,
    )
    title = subject(statuses, notice=notice, chinese=chinese)
    header = [
        ("Date", (format_date(date, offset_minutes),)),
        ("From", write_mailbox(Mailbox("Mail Delivery System", postmaster), utf8=writer.utf8)),
        ("To", _addresses(to, writer.utf8)),
        ("Subject", _words(title)),
        ("Message-ID", (f"<{message_id}>",)),
        *_references(headers),
        ("Auto-Submitted", ("auto-generated" if notice else "auto-replied",)),
        ("MIME-Version", ("1.0",)),
    ]
    parts = [part for part in (_text(text), writer.status(hostname), returned) if part]
    content = _multipart(header, parts, message_id)
    return Composed(_envelope(original, to, content, utf8=writer.utf8), content)


def _envelope(original: OriginalMessage, to: Sequence[Address], content: bytes, *, utf8: bool) -> Envelope:
    return Envelope(
        sender=None,
        recipients=tuple(map(Recipient, to)),
        body=Body.SEVENBIT if content.isascii() else Body.EIGHTBITMIME,
        smtputf8=utf8,
        require_tls=original.envelope.require_tls,
    )


class _ReportParts:
    """Writes the second and the third part of one report."""

    def __init__(
        self, original: OriginalMessage, statuses: Sequence[RecipientStatus], *, utf8: bool, offset: int
    ) -> None:
        self.utf8 = utf8
        self._original = original
        self._statuses = statuses
        self._offset = offset
        #: When the original message arrived, as a date.
        self.arrived = self._date(original.arrived)

    # -- message/delivery-status -----------------------------------------------------------------------------------

    def status(self, hostname: str) -> bytes:
        """The second part (RFC 3464 §2, RFC 6533 §4.1)."""
        envelope = self._original.envelope
        fields = [_field("Reporting-MTA", f"{'dns' if _is_name(hostname) else 'x-local-hostname'};", hostname)]
        if envelope.envid is not None:
            fields.insert(0, _field("Original-Envelope-Id", *(envelope.envid.split(" ") or ("",))))
        fields.append(_field("Arrival-Date", self.arrived))
        groups = [fold_fields(fields), *[fold_fields(self._recipient(status)) for status in self._statuses]]
        body = b"\r\n".join(groups)
        if not self.utf8:
            body = body.decode().encode("ascii", "replace")
        if self.utf8:
            return _part("message/global-delivery-status", "7bit" if body.isascii() else "8bit", body)
        return _part("message/delivery-status", "7bit", body)

    def _recipient(self, status: RecipientStatus) -> list[_Field]:
        orcpt, address = status.recipient.orcpt, status.recipient.address
        found: list[_Field] = []
        if orcpt is not None:
            found.append(self._address("Original-Recipient", orcpt.kind, orcpt.address))
        final = status.final or address
        found.append(self._address("Final-Recipient", "rfc822" if final.is_ascii else "utf-8", str(final)))
        found.append(_field("Action", status.action.value))
        found.append(_field("Status", status.status))
        if status.remote:
            found.append(_field("Remote-MTA", "dns;", status.remote))
        if status.reply is not None and (status.remote or status.action in (Action.FAILED, Action.DELAYED)):
            # A reply that this host made up is not part of an SMTP dialogue (RFC 3461 §9.2).
            found.append(self._diagnostic("smtp;" if status.remote else "x-posthouse;", str(status.reply)))
        if status.attempted is not None:
            found.append(_field("Last-Attempt-Date", self._date(status.attempted)))
        if status.until is not None and status.action is Action.DELAYED:
            found.append(_field("Will-Retry-Until", self._date(status.until)))
        return found

    def _address(self, name: str, kind: str, address: str) -> _Field:
        if kind == "utf-8" and not self.utf8:
            address = _NOT_QCHAR.sub(lambda match: f"\\x{{{ord(match[0]):02X}}}", address)
        return _field(name, f"{kind};", address)

    def _diagnostic(self, kind: str, reply: str) -> _Field:
        words = _CONTROL.sub(" ", reply)[:_DIAGNOSTIC].split()
        odd = next((n for n, word in enumerate(words) if not word.isascii()), None)
        if not self.utf8 and odd is not None:
            # Codes and what else is ASCII in front stay readable; RFC 3464 §2.1.1 allows encoded words in text.
            words = [*words[:odd], *encoded_words(" ".join(words[odd:]))]
        return _field("Diagnostic-Code", kind, *words)

    def _date(self, seconds: float) -> str:
        return format_date(seconds, self._offset)

    # -- what is returned ------------------------------------------------------------------------------------------

    def returned(self, headers: bytes, limit: int) -> tuple[bytes, bool]:
        """The third part, b"" if there is nothing to return, and whether it holds the whole message; ``headers`` is the
        header section of the original message."""
        original = self._original
        whole = (
            original.whole
            and 0 < len(original.content) <= limit
            and original.envelope.ret is not Ret.HDRS
            and not original.envelope.require_tls
            and any(status.action is Action.FAILED for status in self._statuses)
        )
        if whole and (part := self._whole(original.content)):
            return part, True
        if len(headers) > limit:
            headers = headers[: headers.rfind(b"\r\n", 0, limit) + 2]
        return (self._headers(headers) if headers else b""), False

    def _whole(self, content: bytes) -> bytes:
        """The part with the message unchanged or converted; b"" if neither is possible."""
        asks = needs((content,))
        kind = "message/global" if asks.utf8_headers else "message/rfc822"
        if not asks.binary and (self.utf8 or not asks.eightbit):
            return _part(kind, "8bit" if asks.eightbit else "7bit", content)
        if asks.utf8_headers:
            return _part(kind, "base64", base64_body(content)) if _is_utf8(split(content).headers) else b""
        made = downgrade(content, to_7bit=not self.utf8)
        if isinstance(made, Unconvertible):
            return b""
        return _part(kind, "7bit" if made.isascii() else "8bit", made)

    def _headers(self, headers: bytes) -> bytes:
        asks = needs((headers,), headers=False)
        kind = "message/global-headers" if asks.eightbit and _is_utf8(headers) else "text/rfc822-headers"
        if asks.binary or (asks.eightbit and not (self.utf8 and kind == "message/global-headers")):
            return _part(kind, "quoted-printable", quoted_printable(headers))
        return _part(kind, "8bit" if asks.eightbit else "7bit", headers)


def _field(name: str, *tokens: str) -> _Field:
    clean = [_cut(_CONTROL.sub("?", token)) for token in tokens]
    return name, [token for token in clean if token] or ["?"]


def _part(kind: str, encoding: str, body: bytes) -> bytes:
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body


def _text(text: str) -> bytes:
    data = text.replace("\n", "\r\n").encode()
    if not any(needs((data,), headers=False)):
        return _part('text/plain; charset="us-ascii"', "7bit", data)
    quoted, encoded = quoted_printable(data), base64_body(data)
    encoding, body = ("quoted-printable", quoted) if len(quoted) <= len(encoded) else ("base64", encoded)
    return _part('text/plain; charset="utf-8"', encoding, body)


def _multipart(header: Sequence[_Field], parts: Sequence[bytes], seed: str) -> bytes:
    """The header section, with Content-Type, and the body, to the closing delimiter.

    No part contains the boundary; ``=_`` cannot occur in encoded text (RFC 2045 §6.7).
    """
    number, mark = 0, b""
    while not mark or any(mark in part for part in parts):
        mark = b"=_" + hashlib.sha256(f"{seed} {number}".encode()).hexdigest()[:24].encode()
        number += 1
    kind = ("multipart/report;", "report-type=delivery-status;", f'boundary="{mark.decode()}"')
    pieces = [fold_fields([*header, ("Content-Type", kind)]), b"\r\n"]
    for part in parts:
        pieces += (b"--", mark, b"\r\n", part, b"\r\n")
    return b"".join((*pieces, b"--", mark, b"--\r\n"))


def _references(headers: bytes) -> list[_Field]:
    """In-Reply-To and References, if the message has a Message-ID (RFC 5322 §3.6.4)."""
    match = _MESSAGE_ID.fullmatch(first_values(headers, (b"message-id",)).get(b"message-id", b"").strip())
    if match is None:
        return []
    return [(name, (match[0].decode("ascii"),)) for name in ("In-Reply-To", "References")]


def _addresses(to: Sequence[Address], utf8: bool) -> list[str]:
    tokens = [token for one in to for token in (*write_mailbox(Mailbox("", one), utf8=utf8)[:-1], f"<{one}>,")]
    return [*tokens[:-1], tokens[-1].removesuffix(",")]


def _words(text: str) -> list[str]:
    text = _CONTROL.sub("?", text)
    return text.split() if text.isascii() and "=?" not in text else encoded_words(text, _FIRST_WORD)


def _cut(token: str) -> str:
    return token if len(token) <= _WORD // 4 else token.encode("utf-8", "replace")[:_WORD].decode("utf-8", "ignore")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_name(hostname: str) -> bool:
    return "." in hostname and not hostname.startswith("[")
