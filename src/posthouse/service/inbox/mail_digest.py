"""Digest of a message for the mail index: the fields of lists, and the text of searches, each within a bound.

The message is read once; only header fields and text bodies are decoded.  Text of searches is folded
(``str.casefold``), so that case plays no part in any script.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from posthouse.message.reading.read_message import ReadMessage, read_octets
from posthouse.message.reading.read_part import ReadPart
from posthouse.message.reading.readable_text import text_of_html
from posthouse.service.inbox.inbox_rules import InboxRule, proper_tag
from posthouse.spool.history import Accepted, Event
from posthouse.spool.mail_index import UNNAMED, Digest, MailDigest
from posthouse.spool.model import InboxMessage

__all__ = ["digest_of"]

_LONGEST_FIELD: Final = 500  # characters that a list shows
_PREVIEW: Final = 200
_BODY: Final = 65_536  # characters of text that are searched
_HTML: Final = 65_536
_READ: Final = 1 << 20  # octets of a part that are made into text
_HEAD: Final = 32_768
_PEOPLE: Final = 16_384
_MAILBOXES: Final = 200  # of one field
_TAGS: Final = 20  # of one message
_SPACE: Final = re.compile(r"\s+")
_TAG_FIELDS: Final = ("x-tags", "x-tag", "keywords")


def digest_of(rules: Sequence[InboxRule] = ()) -> Digest:
    """The function that makes digests; ``rules`` say which inboxes and tags a message gets beside those that it brings
    along."""

    def digest(place: InboxMessage, octets: bytes, events: Sequence[Event]) -> MailDigest:
        return _digest(place, octets, events, rules)

    return digest


def _digest(place: InboxMessage, octets: bytes, events: Sequence[Event], rules: Sequence[InboxRule]) -> MailDigest:
    message = read_octets(octets, longest_text=_READ)
    accepted = next((each for each in events if isinstance(each, Accepted)), None)
    envelope = (place.inbox,) if accepted is None else accepted.recipients[:_MAILBOXES]
    author = message.sender
    address = "" if author is None or author.address is None else _shown(str(author.address))
    name = _shown(author.name) if author is not None else ""
    html = _html(message)
    body = _body(message, html)
    attachments = [each for each in message.attachments if not each.referenced]
    names = [each.filename_raw for each in message.attachments[:100] if each.filename_raw]
    subject = _shown(message.subject)
    date = message.date
    made = MailDigest(
        author=name or address,
        author_address=address,
        recipients=_shown(message.header("to")),
        subject=subject,
        preview=_SPACE.sub(" ", _printable(body[: 4 * _PREVIEW])).strip()[:_PREVIEW],
        message_id=message.message_id[:_LONGEST_FIELD],
        date=0.0 if date is None else date.timestamp(),
        attachments=len(attachments),
        html=bool(html),
        login="" if accepted is None else accepted.arrival.user[:_LONGEST_FIELD],
        source="" if accepted is None else accepted.source,
        envelope="\n".join(envelope),
        author_text=_lines([name, address, place.sender]),
        people_text=_people(message, (*envelope, place.inbox)),
        subject_text=_folded(subject, _LONGEST_FIELD),
        body_text=_folded("\n".join([body, *names]), _BODY),
        head_text=_head(message),
        html_text=_folded(html, _HTML),
    )
    labels = dict.fromkeys(f"tag:{each}" for each in _own_tags(message, (*envelope, place.inbox)))
    for rule in rules:
        if rule.meets(made, place):
            labels.update(dict.fromkeys(rule.labels))
    return made._replace(labels=tuple(labels))


def _html(message: ReadMessage) -> str:
    """The beginning of the HTML."""
    return (message.html or "")[:_HTML]


def _body(message: ReadMessage, html: str) -> str:
    """What people read, within the bound: the plain text, else the HTML as text."""
    texts: list[str] = []
    size = 0
    for part in message.text_parts:
        if size < _BODY:
            texts.append(_text_of(part, html)[: _BODY - size])
            size += len(texts[-1])
    return "\n".join(texts)


def _text_of(part: ReadPart, html: str) -> str:
    return text_of_html(part.text[:_HTML]) if part.type == "text/html" else part.text


def _people(message: ReadMessage, others: Sequence[str]) -> str:
    """The recipients by name and by address, each on a line, of the header and of the envelope."""
    lines: dict[str, None] = {}
    for field in ("to", "cc", "bcc", "reply-to"):
        for each in message.mailboxes(field)[:_MAILBOXES]:
            lines[each.name] = None
            if each.address is not None:
                lines[str(each.address)] = None
    named = _lines(list(lines))
    blind = _lines([each for each in dict.fromkeys(others) if each not in lines])
    return "\n".join(each for each in (named, UNNAMED, blind) if each)[:_PEOPLE]


def _head(message: ReadMessage) -> str:
    made, size = [], 0
    for field in message.headers:
        made.append(f"{field.name}: {field.value}")
        size += len(made[-1])
        if size > _HEAD:
            break
    return _folded("\n".join(made), _HEAD)


def _own_tags(message: ReadMessage, recipients: Sequence[str]) -> list[str]:
    """The tags that a message brings along: behind the ``+`` of a recipient's local part (RFC 5233), in X-Tags, and in
    Keywords (RFC 5322 §3.6.5)."""
    found: dict[str, None] = {}
    for each in recipients:
        _, plus, detail = each.rpartition("@")[0].partition("+")
        if plus:
            found[detail] = None
    for name in _TAG_FIELDS:
        found.update(dict.fromkeys(message.header(name).split(",")[:_TAGS]))
    return [tag for tag in dict.fromkeys(map(proper_tag, found)) if tag][:_TAGS]


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _shown(text: str) -> str:
    return _SPACE.sub(" ", _printable(text[: 4 * _LONGEST_FIELD])).strip()[:_LONGEST_FIELD]


def _folded(text: str, most: int) -> str:
    return text[:most].casefold().replace("\x00", " ").replace("\x01", " ")


def _lines(texts: Sequence[str]) -> str:
    return "\n".join(_folded(_shown(each), _LONGEST_FIELD) for each in texts if each)
