"""A message as a person reads it: header fields and text decoded, attachments listed.

The standard library's parser takes the content apart; whatever a message breaks (encodings, charsets, nesting), what
can be read is shown, and nothing raises.  Names of attachments are made safe, because the sender chose them: no
folders, no hidden files, no control characters.
"""

from __future__ import annotations

import contextlib
import email.errors
import email.header
import email.message
import email.parser
import email.policy
import re
import unicodedata
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from typing import Final, NamedTuple

__all__ = ["MessagePart", "MessageView", "decoded_field", "safe_name", "view"]

_MOST_PARTS: Final = 1000
_LONGEST_NAME: Final = 120  # characters of a file name
_LONGEST_FIELD: Final = 2000
_SUFFIXES: Final = {"text/plain": ".txt", "text/html": ".html", "message/rfc822": ".eml", "text/calendar": ".ics"}
#: Charsets that mail names for text in a larger one.
_CHARSETS: Final = {"gb2312": "gb18030", "gbk": "gb18030", "ks_c_5601-1987": "cp949", "iso-8859-8-i": "iso-8859-8"}


class _Utf8Fields(email.policy.Compat32):
    """Header fields as they stand in the message, their octets read as UTF-8 (RFC 6532)."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_POLICY: Final = _Utf8Fields()


class MessagePart(NamedTuple):
    """One part that is no multipart: ``number`` counts from 1, ``name`` is safe as a file name; ``shown`` if its text
    is in the view's ``text``."""

    number: int
    type: str
    name: str
    content: bytes
    shown: bool


class MessageView(NamedTuple):
    """``fields`` are From, To, Cc, Date and Subject as far as there are such, decoded; ``text`` is what people read."""

    fields: tuple[tuple[str, str], ...]
    text: str
    parts: tuple[MessagePart, ...]

    @property
    def attachments(self) -> list[MessagePart]:
        """The parts that the text does not have."""
        return [part for part in self.parts if not part.shown]

    def field(self, name: str) -> str:
        """The value of a header field, "" without one."""
        return next((value for each, value in self.fields if each == name), "")


def view(octets: bytes) -> MessageView:
    """The view of a whole message."""
    try:
        message: email.message.Message = email.parser.BytesParser(policy=_POLICY).parsebytes(octets)
        leaves = list(_leaves(message))
    # What the parser makes of strange nesting.
    except (RecursionError, ValueError, LookupError, AssertionError, email.errors.MessageError):
        text = octets.decode("utf-8", "replace").replace("\r\n", "\n")
        return MessageView((), text, ())
    fields = tuple(
        (name, decoded_field(str(value)))
        for name in ("From", "To", "Cc", "Date", "Subject")
        if (value := message.get(name)) is not None
    )
    shown = _shown(message)
    texts: list[str] = []
    parts: list[MessagePart] = []
    for number, leaf in enumerate(leaves, 1):
        content = _content(leaf)
        kind = leaf.get_content_type()
        is_text = any(leaf is each for each in shown)
        if is_text:
            text = _text(leaf, content)
            texts.append(_text_of_html(text) if kind == "text/html" else text)
        parts.append(MessagePart(number, kind, safe_name(_file_name(leaf), number, kind), content, is_text))
    body = "\n\n".join(text.strip("\n") for text in texts if text.strip())
    return MessageView(fields, body, tuple(parts))


def decoded_field(value: str) -> str:
    """The value of a header field for people: on one line, encoded words decoded."""
    value = re.sub(r"\r?\n[ \t]*", " ", value)
    with contextlib.suppress(email.errors.MessageError, LookupError, ValueError):
        value = str(email.header.make_header(email.header.decode_header(value)))
    return "".join(sign if sign.isprintable() else " " for sign in value).strip()[:_LONGEST_FIELD]


# Parts ----------------------------------------------------------------------------------------------------------------


def _leaves(message: email.message.Message) -> Iterator[email.message.Message]:
    """The parts that are no multipart, in their order; an enclosed message is one part."""
    waiting = [message]
    number = 0
    while waiting and number < _MOST_PARTS:
        part = waiting.pop()
        payload = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            waiting += [each for each in reversed(payload) if isinstance(each, email.message.Message)]
            continue
        number += 1
        yield part


def _shown(part: email.message.Message, depth: int = 0) -> list[email.message.Message]:
    """The parts whose text is read: of alternatives the plain text, else the HTML."""
    payload = part.get_payload()
    kind = part.get_content_type()
    if part.get_content_maintype() == "multipart" and isinstance(payload, list) and depth < 50:
        inner = [_shown(each, depth + 1) for each in payload[:_MOST_PARTS] if isinstance(each, email.message.Message)]
        inner = [each for each in inner if each]
        if kind == "multipart/alternative":
            plain = [each for each in inner if all(one.get_content_type() != "text/html" for one in each)]
            return (plain or inner or [[]])[0]
        if kind == "multipart/related":
            return (inner or [[]])[0]
        return [one for each in inner for one in each]
    if kind not in ("text/plain", "text/html") or part.get_content_disposition() == "attachment" or _file_name(part):
        return []
    return [part]


def _content(part: email.message.Message) -> bytes:
    """The octets of a part, its transfer encoding undone."""
    payload = part.get_payload()
    if isinstance(payload, list):  # an enclosed message
        with contextlib.suppress(ValueError, LookupError, AttributeError, RecursionError, email.errors.MessageError):
            return b"\n".join(bytes(each) for each in payload if isinstance(each, email.message.Message))
        return b""
    content: object = None
    with contextlib.suppress(ValueError, LookupError, AssertionError):
        content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else str(payload or "").encode("utf-8", "surrogateescape")


def _text(part: email.message.Message, content: bytes) -> str:
    """The text of a part in its charset; what it does not have is shown as U+FFFD."""
    charset = str(part.get_param("charset") or "utf-8").strip().lower()
    try:
        text = content.decode(_CHARSETS.get(charset, charset), "replace")
    except (LookupError, ValueError):
        text = content.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")


def _file_name(part: email.message.Message) -> str:
    name: object = None
    with contextlib.suppress(ValueError, LookupError, TypeError):
        name = part.get_filename()
    return decoded_field(str(name)) if name else ""


def safe_name(name: str, number: int, kind: str) -> str:
    """A file name from what the sender wrote: the last component, printable, not hidden, of bounded length."""
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    name = "".join(sign for sign in name if sign.isprintable() and sign not in '<>:"|?*\u202e')
    name = name.strip(" .")
    if not name:
        return f"part-{number}{_SUFFIXES.get(kind, '.bin')}"
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > 16:
        return name[:_LONGEST_NAME]
    return f"{stem[: _LONGEST_NAME - len(suffix) - 1]}.{suffix}"


# HTML -----------------------------------------------------------------------------------------------------------------

_SILENT: Final = frozenset({"head", "script", "style", "template", "title"})
_BLOCKS: Final = frozenset(
    {
        *("address", "article", "blockquote", "dd", "div", "dl", "dt", "footer", "form", "h1", "h2", "h3", "h4", "h5"),
        *("h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tr", "ul"),
    }
)


class _HtmlText(HTMLParser):
    """Reads HTML as lines of text: blocks begin lines, links keep their address, scripts and styles are silent."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag == "br" or tag in _BLOCKS:
            self.pieces.append("\n- " if tag == "li" else "\n")
        elif tag in ("td", "th"):
            self.pieces.append("  ")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.pieces)))
        elif tag == "img" and (words := dict(attrs).get("alt")):
            self.pieces.append(f"[{words}]")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in _BLOCKS:
            self.pieces.append("\n\n" if tag in ("p", "table", "ul", "ol") or tag.startswith("h") else "\n")
        elif tag == "a" and self._links:
            target, start = self._links.pop()
            words = "".join(self.pieces[start:]).strip()
            if target.startswith(("http:", "https:", "mailto:")) and target.removeprefix("mailto:") != words:
                self.pieces.append(f" <{target}>")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.pieces.append(re.sub(r"\s+", " ", data))


def _text_of_html(source: str) -> str:
    """The text of an HTML document."""
    reader = _HtmlText()
    with contextlib.suppress(AssertionError, ValueError):  # the parser raises them for some broken markup
        reader.feed(source)
        reader.close()
    lines = [re.sub(r"[ \t]+", " ", line).strip() for line in "".join(reader.pieces).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
