"""Invitations: the iCalendar object, and where it stands in the message."""

from __future__ import annotations

import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

import posthouse
from posthouse import CalendarEvent, LocalError, Message

START = datetime(2026, 12, 1, 18, 0, tzinfo=timezone(timedelta(hours=8)))
STAMP = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)


def event(**changes: Any) -> CalendarEvent:
    return CalendarEvent(**{"summary": "Tea", "start": START, "uid": "1@x.example", "stamp": STAMP, **changes})


def lines(calendar: str) -> list[str]:
    """The content lines, unfolded."""
    return calendar.replace("\r\n ", "").split("\r\n")


def test_an_event_octet_for_octet() -> None:
    message = Message("Ann <ann@x.example>", ["Bob <bob@y.example>", "ann@x.example"], text="Tea?", calendar=event())
    assert lines(message.calendar) == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Posthouse//NONSGML Posthouse//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:REQUEST",
        "BEGIN:VEVENT",
        "UID:1@x.example",
        "SEQUENCE:0",
        "DTSTAMP:20261123T160000Z",
        "DTSTART:20261201T100000Z",
        "DTEND:20261201T110000Z",
        "SUMMARY:Tea",
        "STATUS:CONFIRMED",
        'ORGANIZER;CN="Ann":mailto:ann@x.example',
        'ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE;CN="Bob":mailto:bob@y.example',
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ]


def test_it_is_the_last_alternative_and_a_file_with_the_same_octets() -> None:
    message = Message(
        "ann@x.example", "bob@y.example", text="Tea?", html="<p>Tea?", calendar=event(), attachments={"a.pdf": b"x"}
    )
    read = posthouse.read(message.as_bytes())
    assert read.root.type == "multipart/mixed"
    alternative, pdf, file = read.root.parts
    assert [each.type for each in alternative.parts] == ["text/plain", "text/html", "text/calendar"]
    assert b"Content-Type: text/calendar; charset=UTF-8; method=REQUEST\r\n" in message.as_bytes()
    assert (pdf.type, file.type, file.filename_raw) == ("application/pdf", "application/ics", "invite.ics")
    assert file.content == alternative.parts[2].content == message.calendar.encode()


def test_times_and_texts() -> None:
    made = event(
        summary="Tee; “groß”,\\ na",
        description="one\ntwo\r\nthree",
        location="茶" * 60,
        url="https://x.example/",
        reminder=timedelta(minutes=15),
        organizer=('A "^" B', "o@x.example"),
        attendees=["jörg@bücher.example"],
        end=START + timedelta(minutes=30),
    )
    calendar = Message("a@x.example", calendar=made).calendar
    assert all(len(line.encode()) <= 75 for line in calendar.split("\r\n"))
    found = lines(calendar)
    for line in (
        r"SUMMARY:Tee\; “groß”\,\\ na",
        r"DESCRIPTION:one\ntwo\nthree",
        f"LOCATION:{'茶' * 60}",
        "URL:https://x.example/",
        "TRIGGER:-PT15M",
        "DTEND:20261201T103000Z",
        "ORGANIZER;CN=\"A ^'^^^' B\":mailto:o@x.example",
        "ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:j%C3%B6rg@xn--bcher-kva.example",
    ):
        assert line in found
    days = lines(Message("a@x.example", calendar=event(start=date(2026, 12, 24))).calendar)
    assert "DTSTART;VALUE=DATE:20261224" in days
    assert "DTEND;VALUE=DATE:20261225" in days


def test_a_cancellation_and_a_publication() -> None:
    first = event()
    cancelled = first.cancelled()
    assert (cancelled.uid, cancelled.sequence, cancelled.method) == (first.uid, 1, "CANCEL")
    message = Message("ann@x.example", "bob@y.example", calendar=cancelled)
    assert "STATUS:CANCELLED" in lines(message.calendar)
    assert b"method=CANCEL" in message.as_bytes()
    published = Message("ann@x.example", "bob@y.example", calendar=event(method="PUBLISH")).calendar
    assert "ATTENDEE" not in published


def test_it_is_drawn_once_and_pickled() -> None:
    drawn = CalendarEvent("Tea", START)
    assert drawn.uid != CalendarEvent("Tea", START).uid
    assert pickle.loads(pickle.dumps(drawn)) == drawn
    message = Message("a@x.example", "b@x.example", calendar=drawn)
    assert Message.from_json(message.to_json()) == message
    assert message.replace(subject="x").calendar == message.calendar


def test_a_text_of_another_library_is_taken() -> None:
    text = "BEGIN:VCALENDAR\nVERSION:2.0\nMETHOD:\n reply\nEND:VCALENDAR"
    message = Message("a@x.example", "b@x.example", calendar=text)
    assert message.calendar == "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:\r\n reply\r\nEND:VCALENDAR\r\n"
    assert b"method=REPLY" in message.as_bytes()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"start": datetime(2026, 1, 1)}, "no time zone"),
        ({"end": START}, "not behind its start"),
        ({"end": date(2026, 12, 2)}, "of one type"),
        ({"method": "REPLY"}, "write one of"),
        ({"sequence": -1}, "negative"),
        ({"summary": "a\0"}, "summary of the event"),
        ({"url": "https://x\r\nATTENDEE:y"}, "url of the event"),
        ({"uid": "1\nX:2"}, "uid of the event"),
        ({"attendees": "nobody"}, "attendees"),
        ({"organizer": ("a\r\nX:y", "a@x.example")}, "organizer"),
    ],
)
def test_what_is_no_event_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LocalError, match=sentence):
        event(**changes)


@pytest.mark.parametrize(
    "bad", ["x", "BEGIN:VCALENDAR\r\nEND:VCALENDAR", "BEGIN:VCALENDAR\nMETHOD:A\0\n", b"BEGIN:VCALENDAR\n"]
)
def test_what_is_no_invitation_is_refused(bad: Any) -> None:
    with pytest.raises(LocalError, match=r"calendar|METHOD"):
        Message("a@x.example", calendar=bad)
