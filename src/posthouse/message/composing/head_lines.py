"""Header section of a composed message: what may stand in it, and its lines in their order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from posthouse.core import LocalError
from posthouse.message.dates import format_date
from posthouse.message.mailboxes import Mailbox, check_text

__all__ = [
    "checked_date",
    "checked_fields",
    "checked_ids",
    "checked_message_id",
    "checked_text",
    "date_text",
    "foreign_address",
]

_FIELD_NAME = r"[!-9;-~]{1,60}"
_MESSAGE_ID = r"<?([^\s<>@\"()\[\],;:\\]+@(?:[^\s<>@\"()\[\],;:\\]+|\[[^\s<>@\"()\[\],\\]+\]))>?"
_ANY_ID = r"[^\x00-\x20<>\x7f-\xa0\ud800-\udfff]{1,900}"
# Written from the arguments, or by the hosts that the message passes; an error as extra headers.
_OURS = frozenset(
    ("from", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "return-path", "received")
)


def checked_fields(headers: Mapping[str, str] | Iterable[tuple[str, str]] | None) -> tuple[tuple[str, str], ...]:
    """Further header fields in order; None: there are none.

    Raises ``LocalError`` for a name that is none, a field that only Posthouse writes, and a value with a line end.
    """
    found = []
    for name, value in _pairs(headers):
        if not (isinstance(name, str) and isinstance(value, str)):
            raise LocalError(
                f"the header field {name!r} is not a name and a text, each a str; write {{'X-Note': 'hello'}}"
            )
        lowered = name.lower()
        if re.fullmatch(_FIELD_NAME, name) is None:
            raise LocalError(f"{name!r} is not a header field name; use letters, digits and hyphens, without the colon")
        if lowered == "resent-bcc":
            raise LocalError("the field Resent-Bcc would show blind copies to everybody; give those addresses in Bcc")
        if lowered in _OURS or lowered.startswith("content-"):
            raise LocalError(f"the field {name} is written from its own argument or by the mail system; leave it out")
        check_text(name, value)
        found.append((name, value))
    return tuple(found)


def _pairs(headers: object) -> Iterable[tuple[object, object]]:
    """The fields as pairs, whatever was given."""
    if headers is None:
        return ()
    if isinstance(headers, Mapping):
        return headers.items()
    found: list[tuple[object, object]] = []
    for each in headers if isinstance(headers, Iterable) and not isinstance(headers, str | bytes) else [headers]:
        if not isinstance(each, tuple | list) or len(each) != 2:
            raise LocalError(
                f"headers has a {type(each).__name__} in the place of a name and its text; write {{'X-Note': 'hello'}} "
                "or a list of pairs"
            )
        found.append((each[0], each[1]))
    return found


def checked_date(date: datetime) -> datetime:
    """The time in whole seconds.  Raises ``LocalError`` for another type, such as a ``date`` or a text."""
    if not isinstance(date, datetime):
        raise LocalError(
            f"date is a datetime with a time zone, such as datetime(2026, 11, 30, 9, 0, tzinfo=UTC), and not "
            f"{type(date).__name__}"
        )
    return date.replace(microsecond=0)


def checked_message_id(text: str, *, utf8: bool) -> str:
    """A Message-ID in angle brackets.  Raises ``LocalError`` if the text is none."""
    check_text("Message-ID", text)
    match = re.fullmatch(_MESSAGE_ID, text)
    if match is None or len(text.encode()) > 900 or not (utf8 or text.isascii()):
        raise LocalError(f"{text!r} is not a Message-ID; write <left@right> without spaces, in ASCII")
    return f"<{match.group(1)}>"


def checked_ids(given: str | Iterable[str] | None, what: str) -> tuple[str, ...]:
    """Message identifiers without angle brackets, also those that other programs wrote against RFC 5322 §3.6.4.

    Args:
        given: One text with any number of them, or each by itself; None: there are none.
        what: Names the field in errors.

    Raises:
        LocalError: One has white space, an angle bracket or a control character, or is longer than 900.
    """
    if not given:
        return ()
    if not isinstance(given, Iterable):
        raise LocalError(f"{what} is a Message-ID, or a list of them, and not {type(given).__name__}")
    words = re.sub(r">\s*<", "> <", given).split() if isinstance(given, str) else list(given)
    found = []
    for word in words:
        one = word.removeprefix("<").removesuffix(">") if isinstance(word, str) else ""
        if re.fullmatch(_ANY_ID, one) is None:
            raise LocalError(f"{what} has {word!r}, which is not a Message-ID; write <left@right> without spaces")
        found.append(one)
    return tuple(dict.fromkeys(found))


def checked_text(text: str | None, what: str) -> str | None:
    """The text.  Raises ``LocalError`` for what is no ``str``, and for an unpaired surrogate."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise LocalError(f"{what} is a str and not {type(text).__name__}; decode bytes, or call str() on an object")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise LocalError(f"{what} holds an unpaired surrogate at position {error.start + 1}; remove it") from error
    return text


def date_text(date: datetime | tuple[float, int]) -> str:
    """The value of Date: of an aware ``datetime``, or of seconds since 1970 and the zone's offset in minutes."""
    if isinstance(date, datetime):
        offset = date.utcoffset()
        if offset is None:
            raise LocalError("the date has no time zone; give an aware datetime, or seconds and an offset in minutes")
        return format_date(date.timestamp(), round(offset.total_seconds() / 60))
    return format_date(*date)


def foreign_address(*lists: Sequence[Mailbox]) -> str:
    """The first address whose local part is not ASCII, which needs SMTPUTF8 (RFC 6531); "" if there is none."""
    return next((str(one.address) for found in lists for one in found if not one.address.local.isascii()), "")
