"""Replies and forwarded messages: to whom they go, which thread they belong to, and what they quote (RFC 5322 §3.6.4).

The original is a message that was read, or one of this library's.  What it breaks is left out and no error.
"""

from __future__ import annotations

import html as _html
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from posthouse.core import Bytes, LocalError
from posthouse.message.composing.attachment import Attachment
from posthouse.message.composing.given_mailboxes import Addressee, Addressees, given_mailboxes, one_mailbox
from posthouse.message.composing.head_lines import checked_ids
from posthouse.message.composing.inline_ids import shown_ids
from posthouse.message.mailboxes import Mailbox, with_a_labels
from posthouse.message.message import Message
from posthouse.message.reading.address_lists import ReadMailbox
from posthouse.message.reading.read_message import ReadAttachment, ReadMessage, read_octets
from posthouse.message.reading.readable_text import attributes_of

if TYPE_CHECKING:
    from typing import Unpack

    from posthouse.message.composing.message_changes import MessageOptions

__all__ = ["forward", "reply"]

#: Ids of References; of a longer thread the first one and the last are kept.
_REFERENCES = 100
# What mail programs write in front of the subject of a reply, and of a forwarded message.
_RE = re.compile(r"(?i)^(?:\s*(?:re|aw|antw|sv|vs|ref|rif|odp|回复|答复|回覆|答覆|返信)(?:\[\d{1,4}\])?\s*[:：])+\s*")
_FWD = re.compile(r"(?i)^(?:\s*(?:fwd|fw|wg|tr|vb|转发|轉寄|轉發)(?:\[\d{1,4}\])?\s*[:：])+\s*")
# Each is searched for once from a place on, so that many of them take no long time.
_HEAD, _END_OF_HEAD = re.compile(r"(?i)<head\b"), re.compile(r"(?i)</head\s{0,20}>")
_END_OF_BODY, _END_OF_STYLE = re.compile(r"(?i)</body\s{0,20}>"), re.compile(r"(?i)</style\s{0,20}>")
_OPENING = re.compile(r"(?i)<!--|<style\b|<body\b[^<>]{0,4096}+>")
_DOCUMENT = re.compile(r"(?i)<!doctype\b[^<>]{0,1000}+>|</?(?:html|body)\b[^<>]{0,4096}+>")


def reply(
    original: ReadMessage | Message,
    sender: Addressee,
    *,
    text: str = "",
    html: str | None = None,
    to: Addressees | None = None,
    everyone: bool = False,
    own: Addressees = (),
    quote: bool = True,
    attribution: str | None = None,
    **options: Unpack[MessageOptions],
) -> Message:
    """A reply, in the thread of the original.

    Args:
        original: The message that is answered: of ``posthouse.read``, or a ``Message``.
        sender: The author of the reply.
        text: What the author writes; the quoted original follows it.
        html: The same as HTML, quoted likewise; None for a reply in plain text.
        to: Who gets the reply; None for whom the original asks to answer.
        everyone: Answer To and Cc of the original too.
        own: Further addresses of the author, which the reply does not go to either.
        quote: Quote the text of the original.
        attribution: The line before what is quoted; None for "On DATE, NAME wrote:".
        options: Further arguments of ``Message``; they replace what the reply would have.

    The reply goes to Reply-To of the original, else to From.  Own addresses are left out, unless none would remain;
    the reply to a message of one's own goes to those that it went to.

    Raises:
        LocalError: The original has no address to answer, or an argument is wrong.
    """
    source = _read(original)
    author = one_mailbox(sender, "sender")
    mine = {_key(each) for each in (author, *given_mailboxes(own, "own"))}
    answered, copied = _answered(source, mine, everyone=everyone)
    if not answered and to is None:
        raise LocalError("the original has no address in Reply-To and From to answer; give to=…")
    line = _attribution(source) if attribution is None else attribution
    given: MessageOptions = {
        "cc": copied,
        "subject": _prefixed("Re: ", _RE, source.subject),
        "in_reply_to": _ids([source.message_id]),
        "references": _thread(source),
    }
    if html is not None and quote:
        html += f'<p>{_html.escape(line)}</p><blockquote type="cite">{_html_of(source)}</blockquote>'
        given["inline"] = _shown(source, html)
        given["check_inline"] = False  # the original may show what it has not
    written = _quoted(text, line, source.text) if quote else text
    given.update(options)
    return Message(author, answered if to is None else to, text=written, html=html, **given)


def forward(
    original: ReadMessage | Message,
    sender: Addressee,
    to: Addressees,
    *,
    text: str = "",
    html: str | None = None,
    as_attachment: bool = False,
    labels: Mapping[str, str] | None = None,
    **options: Unpack[MessageOptions],
) -> Message:
    """The original sent on to others, with its attachments.

    Args:
        original: The message: of ``posthouse.read``, or a ``Message``.
        sender: The author of the new message; ``to`` its recipients.
        text: What the author writes above; ``html`` the same as HTML.
        as_attachment: Attach the original as a message (message/rfc822), with all its header fields.  One that is not
            7-bit is encoded anew, or attached as a file if it cannot be.
        labels: Other words for "Forwarded message", "From", "Date", "Subject", "To" and "Cc" in the lines before the
            original, for readers of another language; those that are left out stay.
        options: Further arguments of ``Message``.

    Raises:
        LocalError: An argument is wrong.
    """
    source = _read(original)
    given: MessageOptions = {
        "subject": _prefixed("Fwd: ", _FWD, source.subject),
        "references": _thread(source),
    }
    if as_attachment:
        given["attachments"] = [_as_attachment(source)]
        given.update(options)
        return Message(sender, to, text=text, html=html, **given)
    lines = _forwarded_head(source, labels or {})
    written = f"{text}\n\n" * bool(text) + "\n".join(lines) + f"\n\n{source.text}"
    files = list(source.attachments)
    if html is not None or source.html is not None:
        if html is None:
            html = "".join(f"<p>{_html.escape(each)}</p>" for each in text.splitlines())
        html += f"<p>{'<br>'.join(map(_html.escape, lines))}</p>{_html_of(source, dressed=True)}"
        shown = _shown(source, html)
        given["inline"] = shown
        given["check_inline"] = False
        ids = {each.content_id for each in shown}
        files = [each for each in files if each.content_id not in ids]
    given["attachments"] = [_carried(each) for each in files]
    given.update(options)
    return Message(sender, to, text=written, html=html, **given)


def _read(original: ReadMessage | Message) -> ReadMessage:
    if isinstance(original, ReadMessage):
        return original
    if isinstance(original, Message):
        return read_octets(original.as_bytes())
    raise LocalError(
        "the original is what posthouse.read returned, or a Message; read octets with posthouse.read first"
    )


# To whom -------------------------------------------------------------------------------------------------------------


def _key(mailbox: Mailbox | ReadMailbox) -> str:
    return str(mailbox.address).lower()


def _usable(found: Iterable[ReadMailbox]) -> list[Mailbox]:
    """The mailboxes that a message can have, each address once."""
    kept: dict[str, Mailbox] = {}
    for each in found:
        try:
            mailbox = one_mailbox((_printable(each.name), each.address, ""), "the original")
            with_a_labels(mailbox.address)  # a domain that has none cannot be written to
            kept.setdefault(_key(each), mailbox)
        except LocalError:
            continue
    return list(kept.values())


def _printable(text: str) -> str:
    """The text without what cannot stand in a header field, on one line."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _answered(source: ReadMessage, mine: set[str], *, everyone: bool) -> tuple[list[Mailbox], list[Mailbox]]:
    """To and Cc of a reply."""
    first = _usable(source.reply_to) or _usable(source.mailboxes("from"))
    others = _usable((*source.to, *source.cc))
    own_message = bool(first) and all(_key(each) in mine for each in first)
    to = [each for each in first if _key(each) not in mine]
    if own_message:
        to = [each for each in _usable(source.to) if _key(each) not in mine] or first
    if not everyone:
        return to, []
    taken = mine | {_key(each) for each in to}
    return to, [each for each in others if _key(each) not in taken]


# Which thread --------------------------------------------------------------------------------------------------------


def _ids(found: Iterable[str]) -> list[str]:
    """The ids that a header field can hold."""
    kept: list[str] = []
    for each in found:
        try:
            kept += checked_ids([each], "the original") if each and each.isascii() else ()
        except LocalError:
            continue
    return kept


def _thread(source: ReadMessage) -> list[str]:
    """References of the next message: those of the parent, else its In-Reply-To if that is one id, and its own id."""
    before = _ids(source.references)
    if not before and len(source.in_reply_to) == 1:
        before = _ids(source.in_reply_to)
    found = [each for each in before if each != source.message_id] + _ids([source.message_id])
    return found if len(found) <= _REFERENCES else [found[0], *found[1 - _REFERENCES :]]


def _prefixed(prefix: str, known: re.Pattern[str], subject: str) -> str:
    """The subject with the prefix once, in place of those that it has."""
    return prefix + known.sub("", _printable(subject), count=1)


# What is quoted ------------------------------------------------------------------------------------------------------


def _attribution(source: ReadMessage) -> str:
    who = "" if source.sender is None else source.sender.name or str(source.sender)
    when = "" if source.date is None else f"On {source.date:%Y-%m-%d %H:%M %z}, "
    return f"{when}{' '.join(who.split()) or 'the sender'} wrote:"


def _quoted(text: str, line: str, original: str) -> str:
    quoted = "\n".join(f">{each}" if each.startswith(">") else f"> {each}".rstrip() for each in original.splitlines())
    return f"{text}\n\n" * bool(text) + f"{line}\n{quoted}\n"


def _html_of(source: ReadMessage, *, dressed: bool = False) -> str:
    """The HTML of the original without what belongs to a whole document, or its text as HTML.

    ``dressed`` keeps its looks: the style sheets of its head stay, in front, and what the tag of its body says of them
    is said by a ``div``.
    """
    if source.html is None:
        return "<br>\n".join(map(_html.escape, source.text.splitlines()))
    html = source.html
    styles, body = _styles_and_body(html, 0, len(html))
    if body is not None:
        end = _END_OF_BODY.search(html, body.end())
        html = html[body.end() : end.start() if end is not None else len(html)]
        named = attributes_of(body[0])
        ground = f"background-color:{named['bgcolor']};" if named.get("bgcolor") else ""
        if dressed and (looks := ground + named.get("style", "")):
            html = f'<div style="{_html.escape(looks)}">{_DOCUMENT.sub("", html)}</div>'
    elif (head := _HEAD.search(html)) is not None and (end := _END_OF_HEAD.search(html, head.end())) is not None:
        styles, _ = _styles_and_body(html, head.end(), end.start())
        html = html[: head.start()] + html[end.end() :]
    else:
        styles = ""  # they stay where they are
    return styles * dressed + _DOCUMENT.sub("", html)


def _styles_and_body(html: str, start: int, end: int) -> tuple[str, re.Match[str] | None]:
    """The style sheets in a stretch of HTML as far as its body, and the tag of the body.

    What stands in comments is left out: many newsletters have sheets, and a body, for Outlook alone there.
    """
    found: list[str] = []
    at, closing = start, _END_OF_STYLE.search(html, start, end)
    while (tag := _OPENING.search(html, at, end)) is not None:
        at = tag.end()
        if tag[0] == "<!--":
            close = html.find("-->", at - 2, end)  # "<!-->" is a whole one
            if close < 0:
                break
            at = close + 3
        elif tag[0][1:5].lower() == "body":
            return "".join(found), tag
        elif closing is not None and (closing := _END_OF_STYLE.search(html, at, end)) is not None:
            at = closing.end()
            found.append(html[tag.start() : at])
    return "".join(found), None


def _forwarded_head(source: ReadMessage, labels: Mapping[str, str]) -> list[str]:
    found = [("From", source.header("from")), ("Date", source.header("date")), ("Subject", source.subject)]
    found += [("To", source.header("to")), ("Cc", source.header("cc"))]
    title = labels.get("Forwarded message", "Forwarded message")
    lines = (f"{labels.get(name, name)}: {value}" for name, value in found if value)
    return [f"---------- {title} ----------", *lines]


def _shown(source: ReadMessage, html: str) -> list[Attachment]:
    """The pictures of the original that the HTML shows."""
    wanted = {each.lower() for each in shown_ids(html)}
    found: dict[str, Attachment] = {}
    for each in source.attachments:
        content_id = each.content_id
        if content_id.lower() in wanted and content_id not in found:
            try:
                found[content_id] = _carried(each).replace(content_id=content_id)
            except LocalError:  # an id that no field can hold
                continue
    return list(found.values())


def _carried(part: ReadAttachment) -> Attachment:
    """An attachment of the original as one of the new message."""
    label = next((each.value for each in part.headers if each.name.lower() == "content-type"), "")
    charset = re.search(r"(?i);\s*charset\s*=\s*\"?([a-z0-9_.:-]{1,40})", label)
    kind = f"{part.type}; charset={charset[1]}" if charset and part.type.startswith("text/") else part.type
    name = _printable(part.filename)
    try:
        return Attachment(part.content, name, kind)
    except LocalError:  # a type that is none
        return Attachment(part.content, name, "application/octet-stream")


def _as_attachment(source: ReadMessage) -> Attachment:
    """The original as a file of type message/rfc822, which is 7-bit."""
    from posthouse.message.composing.bodies import to_crlf
    from posthouse.message.conversion import Unconvertible, convert

    octets = to_crlf(source.as_bytes()[len(source.mbox_line) :])
    made = convert(Bytes(octets))
    if not isinstance(made, Unconvertible):
        octets = b"".join(made.chunks())
    name = re.sub(r'[\\/:*?"<>|]+', " ", _printable(source.subject)).strip()[:60]
    return Attachment(octets, f"{name or 'message'}.eml", "message/rfc822")
