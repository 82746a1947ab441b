"""The shapes of Mailpit's version 1 answers: list entries, messages, parts, headers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from posthouse.message.message_view import text_within

if TYPE_CHECKING:
    from posthouse.console.compat.stored_mail import People
    from posthouse.message.reading.address_lists import ReadMailbox
    from posthouse.message.reading.read_message import ReadAttachment, ReadMessage
    from posthouse.service.operations.inboxes.mail_answers import MailEntry

__all__ = ["headers_of", "message_of", "rfc3339", "summary_of"]

_SNIPPET: Final = 250
_MOST_PARTS: Final = 1_000
_MOST_HTML: Final = 1 << 19  # characters of HTML that are made into text


def rfc3339(seconds: float) -> str:
    """A moment, to the millisecond, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _person(mailbox: ReadMailbox) -> Mapping[str, str]:
    return {"Name": mailbox.name, "Address": "" if mailbox.address is None else str(mailbox.address)}


def _persons(mailboxes: Iterable[ReadMailbox]) -> list[Mapping[str, str]]:
    return [_person(each) for each in mailboxes if each.address is not None or each.name]


def _bcc(people: People) -> list[Mapping[str, str]]:
    """Bcc of the header, and the recipients of the envelope whom the header does not name."""
    return [*_persons(people.bcc), *({"Name": "", "Address": each} for each in people.hidden)]


def summary_of(entry: MailEntry, people: People) -> Mapping[str, Any]:
    """An entry of a list."""
    return {
        "ID": entry.queue_id,
        "MessageID": entry.message_id,
        "Read": not entry.unread,
        "From": _person(people.sender) if people.sender is not None else {"Name": "", "Address": ""},
        "To": _persons(people.to),
        "Cc": _persons(people.cc),
        "Bcc": _bcc(people),
        "ReplyTo": _persons(people.reply_to),
        "Subject": entry.subject,
        "Created": rfc3339(entry.received),
        "Username": entry.login,
        "Tags": sorted(entry.tags),
        "Size": entry.size,
        "Attachments": entry.attachments,
        "Snippet": entry.preview[:_SNIPPET],
    }


def message_of(entry: MailEntry, people: People, message: ReadMessage) -> Mapping[str, Any]:
    """A whole message.  ``Read`` is what older clients want, and ``HTML`` is as its sender wrote it."""
    date = message.date
    attachments = message.attachments[:_MOST_PARTS]
    return {
        "ID": entry.queue_id,
        "MessageID": message.message_id,
        "Read": not entry.unread,
        "From": _person(people.sender) if people.sender is not None else {"Name": "", "Address": ""},
        "To": _persons(people.to),
        "Cc": _persons(people.cc),
        "Bcc": _bcc(people),
        "ReplyTo": _persons(people.reply_to),
        "ReturnPath": entry.sender,
        "Subject": message.subject,
        "ListUnsubscribe": _unsubscribe(message),
        "Date": date.isoformat().replace("+00:00", "Z") if date is not None else rfc3339(entry.received),
        "Tags": sorted(entry.tags),
        "Username": entry.login,
        "Text": text_within(message, _MOST_HTML),
        "HTML": message.html or "",
        "Size": entry.size,
        "Inline": [_part(each) for each in attachments if each.inline],
        "Attachments": [_part(each) for each in attachments if not each.inline],
    }


def _part(part: ReadAttachment) -> Mapping[str, Any]:
    content = part.content
    return {
        "PartID": part.number,
        "FileName": part.filename_raw or part.filename,
        "ContentType": part.type,
        "ContentID": part.content_id,
        "Size": len(content),
        "Checksums": {
            "MD5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "SHA1": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
            "SHA256": hashlib.sha256(content).hexdigest(),
        },
    }


def _unsubscribe(message: ReadMessage) -> Mapping[str, Any]:
    """List-Unsubscribe (RFC 2369) and List-Unsubscribe-Post (RFC 8058): as written, and its links."""
    header = message.header("list-unsubscribe")
    links = [each.strip().strip("<>").strip() for each in header.split(",") if each.strip().startswith("<")]
    links = [each for each in links if each.lower().startswith(("http://", "https://", "mailto:"))]
    errors = "no link stands in angle brackets" if header and not links else ""
    return {
        "Header": header,
        "HeaderPost": message.header("list-unsubscribe-post"),
        "Links": links,
        "Errors": errors,
    }


def headers_of(message: ReadMessage) -> Mapping[str, Sequence[str]]:
    """The header fields by name, unfolded and not decoded, sorted; names as Go's library spells them."""
    found: dict[str, list[str]] = {}
    for field in message.headers:
        value = field.raw.partition(b":")[2].decode("utf-8", "replace")
        found.setdefault(_canonical(field.name), []).append(
            " ".join(line.strip() for line in value.splitlines()).strip()
        )
    return dict(sorted(found.items()))


def _canonical(name: str) -> str:
    """``message-id`` → ``Message-Id``, ``MIME-Version`` → ``Mime-Version``."""
    return "-".join(word[:1].upper() + word[1:].lower() for word in name.split("-"))
