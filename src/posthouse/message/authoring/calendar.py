"""Invitations: iCalendar objects with a METHOD (RFC 5545, RFC 5546), as mail carries them (RFC 6047).

Times are written in UTC, so no time zone has to be described.  A repeated event needs one, because its hour follows the
zone's summer time: make its text with a calendar library, and give that text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from posthouse.core import LocalError
from posthouse.message.composing.drawn import date_now, unique_id
from posthouse.message.composing.frozen import FrozenValue
from posthouse.message.composing.given_mailboxes import Addressee, Addressees, given_mailboxes, one_mailbox
from posthouse.message.mailboxes import Mailbox, check_text, with_a_labels

__all__ = ["CalendarEvent", "calendar_text", "method_of"]

_LINE = 75  # octets of a line without CRLF (RFC 5545 §3.1)
_METHODS = ("PUBLISH", "REQUEST", "CANCEL")
_METHOD = re.compile(r"(?im)^METHOD(?:;[^:\r\n]*)?:([a-z-]{1,40})[ \t]*\r?$")
_BEGIN = re.compile(r"(?i)\ufeff?BEGIN:VCALENDAR[ \t]*\r?\n")
_FOLD = re.compile(r"\r?\n[ \t]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class CalendarEvent(FrozenValue):
    """An event to which a message invites.

    Args:
        summary: Its title.
        start: An aware ``datetime``, or a ``date`` for an event of whole days.
        end: Its end, of the type of ``start``: for whole days the day behind the last.  Left out: 1 hour, or 1 day.
        organizer: One mailbox; the sender of the message if it is left out.
        attendees: Mailboxes; To and Cc of the message if they are left out.
        location: Where it is; ``description`` more about it; ``url`` a page about it.
        reminder: How long before the start calendars remind; None for their own setting.
        uid: The event's identifier.  An update or a cancellation has that of the invitation; drawn if it is left out.
        sequence: 0 for the first invitation, one more for each change (RFC 5545 §3.8.7.4).
        method: "REQUEST" asks for answers, "CANCEL" cancels, "PUBLISH" wants no answer (RFC 5546 §3.2).
        stamp: When this was written; now if it is left out.

    Raises:
        LocalError: A time has no zone, the end is not behind the start, or a text cannot stand in a calendar.
    """

    __slots__ = (
        "attendees", "description", "end", "location", "method", "organizer", "reminder", "sequence", "stamp", "start",
        "summary", "uid", "url",
    )  # fmt: skip

    FIELDS = (
        "summary", "start", "end", "organizer", "attendees", "location", "description", "url", "reminder", "uid",
        "sequence", "method", "stamp",
    )  # fmt: skip

    summary: str
    start: date
    end: date
    organizer: Mailbox | None
    attendees: tuple[Mailbox, ...]
    location: str
    description: str
    url: str
    reminder: timedelta | None
    uid: str
    sequence: int
    method: str
    stamp: datetime

    def __init__(
        self,
        summary: str,
        start: date,
        end: date | None = None,
        *,
        organizer: Addressee | None = None,
        attendees: Addressees = (),
        location: str = "",
        description: str = "",
        url: str = "",
        reminder: timedelta | None = None,
        uid: str = "",
        sequence: int = 0,
        method: str = "REQUEST",
        stamp: datetime | None = None,
    ) -> None:
        whole_days = not isinstance(start, datetime)
        if end is None:
            end = start + (timedelta(days=1) if whole_days else timedelta(hours=1))
        if isinstance(end, datetime) is whole_days:
            raise LocalError("start and end of an event are of one type: two times, or two dates for whole days")
        for each in (start, end, stamp):
            if isinstance(each, datetime) and each.utcoffset() is None:
                raise LocalError("a time of an event has no time zone; give an aware datetime")
        if not end > start:
            raise LocalError(f"the event ends at {end}, which is not behind its start; give a later end")
        if method not in _METHODS:
            raise LocalError(f"the method {method!r} is not written for an event; write one of {', '.join(_METHODS)}")
        if sequence < 0 or (reminder is not None and reminder < timedelta()):
            raise LocalError("sequence and reminder of an event cannot be negative")
        for what, text in (("summary", summary), ("location", location), ("description", description)):
            if _NOT_IN_TEXT.search(text):
                raise LocalError(f"the {what} of the event holds a control character; remove it")
        for what, text in (("url", url), ("uid", uid)):
            check_text(f"the {what} of the event", text)
        self._set(
            summary=summary,
            start=start,
            end=end,
            organizer=None if organizer is None else one_mailbox(organizer, "organizer"),
            attendees=given_mailboxes(attendees, "attendees"),
            location=location,
            description=description,
            url=url,
            reminder=reminder,
            uid=uid or unique_id("posthouse.invalid"),
            sequence=sequence,
            method=method,
            stamp=date_now() if stamp is None else stamp,
        )

    def cancelled(self) -> CalendarEvent:
        """The cancellation of this event: the same UID, the next sequence number, written now."""
        given = self.__getstate__() | {"method": "CANCEL", "sequence": self.sequence + 1, "stamp": None}
        return CalendarEvent(**given)  # type: ignore[arg-type]

    def lines(self, organizer: Mailbox, attendees: Sequence[Mailbox]) -> list[str]:
        """The content lines of the iCalendar object, unfolded."""
        timed = [("DTSTART", self.start), ("DTEND", self.end)]
        organizer = self.organizer or organizer
        guests = self.attendees or [each for each in attendees if each.address != organizer.address]
        lines = [
            "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Posthouse//NONSGML Posthouse//EN", "CALSCALE:GREGORIAN",
            f"METHOD:{self.method}", "BEGIN:VEVENT", f"UID:{_escaped(self.uid)}", f"SEQUENCE:{self.sequence}",
            f"DTSTAMP:{_utc(self.stamp)}", *(f"{name}{_moment(at)}" for name, at in timed),
            f"SUMMARY:{_escaped(self.summary)}",
            f"STATUS:{'CANCELLED' if self.method == 'CANCEL' else 'CONFIRMED'}",
            f"ORGANIZER{_common_name(organizer)}:{_mailto(organizer)}",
        ]  # fmt: skip
        if self.method != "PUBLISH":  # RFC 5546 §3.2.1: a published event has no attendees
            terms = ";CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE"
            lines += [f"ATTENDEE{terms}{_common_name(guest)}:{_mailto(guest)}" for guest in guests]
        for name, text in (("LOCATION", self.location), ("DESCRIPTION", self.description)):
            if text:
                lines.append(f"{name}:{_escaped(text)}")
        if self.url:
            lines.append(f"URL:{self.url}")
        if self.reminder is not None:
            minutes = int(self.reminder.total_seconds() // 60)
            lines += ["BEGIN:VALARM", "ACTION:DISPLAY", f"DESCRIPTION:{_escaped(self.summary)}"]
            lines += [f"TRIGGER:-PT{minutes}M", "END:VALARM"]
        return [*lines, "END:VEVENT", "END:VCALENDAR"]


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _moment(at: date) -> str:
    return f":{_utc(at)}" if isinstance(at, datetime) else f";VALUE=DATE:{at:%Y%m%d}"


def _escaped(text: str) -> str:
    """A value of the type TEXT (RFC 5545 §3.3.11)."""
    return _LINE_END.sub(r"\\n", re.sub(r"([\\;,])", r"\\\1", text))


def _common_name(mailbox: Mailbox) -> str:
    """The parameter CN; quotes and carets in it as RFC 6868 writes them."""
    if not mailbox.name:
        return ""
    name = mailbox.name.replace("^", "^^").replace('"', "^'")
    return f';CN="{name}"'


def _mailto(mailbox: Mailbox) -> str:
    from urllib.parse import quote

    return f"mailto:{quote(str(with_a_labels(mailbox.address)), safe='@!$&*+/=?^_`{|}~.-:[]')}"


def _folded(line: str) -> str:
    """A content line in lines of at most 75 octets; no character is cut."""
    made: list[str] = []
    current, used = "", 0
    for character in line:
        octets = len(character.encode())
        if used + octets > _LINE:
            made.append(current)
            current, used = " ", 1
        current += character
        used += octets
    return "\r\n".join([*made, current])


def calendar_text(given: str | CalendarEvent, organizer: Mailbox, attendees: Sequence[Mailbox]) -> str:
    """An iCalendar object with CRLF line ends.

    Args:
        given: An event, or an object that is written already.
        organizer: That of an event without one; likewise ``attendees``.

    Raises:
        LocalError: The text is no iCalendar object, or has no METHOD.
    """
    if isinstance(given, CalendarEvent):
        return "".join(f"{_folded(line)}\r\n" for line in given.lines(organizer, attendees))
    if not isinstance(given, str):
        raise LocalError(f"calendar is a CalendarEvent or a text, and not {type(given).__name__}")
    text = _LINE_END.sub("\r\n", given.lstrip("\r\n").removeprefix("\ufeff"))
    if _BEGIN.match(text) is None:
        raise LocalError("calendar is no iCalendar text: it does not begin with BEGIN:VCALENDAR")
    if _NOT_IN_TEXT.search(text):
        raise LocalError("calendar holds a control character; remove it")
    method_of(text)
    return text if text.endswith("\r\n") else f"{text}\r\n"


def method_of(calendar: str) -> str:
    """The METHOD of an iCalendar object in capital letters.  Raises ``LocalError`` without one (RFC 6047 §2.4)."""
    match = _METHOD.search(_FOLD.sub("", calendar))
    if match is None:
        raise LocalError(
            "the iCalendar text has no METHOD, which an invitation needs; add METHOD:REQUEST behind VERSION"
        )
    return match[1].upper()
