"""The event log: one line of text or one JSON object for each event.

An event is a name and fields: which message, which peer, which reply, why.  Callers pass neither content nor
credentials.  Values are written so that nothing a peer sent can begin a line of its own.
"""

from __future__ import annotations

import datetime
import json
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from posthouse.core import EventSink
from posthouse.core.escapes import escaped
from posthouse.net.clock import Clock
from posthouse.service.daemon.log_output import LogOutput, LogRecord

__all__ = ["EventLog"]


class EventLog(EventSink):
    """Event lines.  ``write`` takes one line without its end; standard error unless given.  ``take`` is told of each
    event, its fields, and how many times it happened.

    Text: ``2026-11-23T08:46:22.120Z accepted id=… sender=…``; a value that is not plain is written as a JSON string.
    JSON: one object with ``time``, ``event`` and the fields.  An exception among the fields becomes its traceback, and
    ``again``, a moment in seconds since the epoch, a time like that of the line.
    """

    def __init__(
        self,
        clock: Clock,
        form: Literal["text", "json"] = "text",
        write: Callable[[str], None] | None = None,
        take: Callable[[str, Mapping[str, Any], int], object] | None = None,
        **always: Any,
    ) -> None:
        self._clock = clock
        self._form = form
        output = LogOutput(self._dropped, self._line_of) if write is None else None
        self._output = output
        self._write: Callable[[str], object] = write or output  # type: ignore[assignment]
        self._always = always
        self._take = take
        self._second = self._milli = -1
        self._to_the_second = self._to_the_milli = ""
        self._known: dict[str, str] = {}  # values that need quotes, or might have; with them

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Write an event.  Fields that are None or "" are left out."""
        if self._always:
            fields = self._always | fields
        if self._take is not None:
            self._take(event, fields, 1)
        if self._output is not None and _CONSTANT.issuperset(map(type, fields.values())):
            # Made into a line when it is written, so that a message does not wait for that.
            self._output.later((self._clock.time(), event, fields))
        else:  # an object may have changed by then: the traceback of an exception grows while it is raised further
            self._write(self._line(event, fields))

    def _line(self, event: str, fields: dict[str, Any]) -> str:
        return self._line_of((self._clock.time(), event, fields))

    def _line_of(self, record: LogRecord) -> str:
        at, event, fields = record
        if self._form == "json":
            facts = {name: _fact(name, value) for name, value in fields.items() if value is not None and value != ""}
            return _encoded({"time": self._stamp(at), "event": event, **facts})
        return f"{self._stamp(at)} {event}{self._text(fields)}"

    def flush(self) -> None:
        """Write the lines that are gathered, if they can be written now."""
        if self._output is not None:
            self._output.write()

    def _dropped(self, count: int) -> str:
        noun = "line was" if count == 1 else "lines were"
        text = f"{count:,} log {noun} dropped, because standard error could not be written"
        return self._line("log", {"dropped": count, "text": text})

    def each(self, event: str, name: str, values: Sequence[str], /, **fields: Any) -> None:
        """Write an event once for each value of the field ``name``; among ``fields``, None holds its place."""
        fields = self._always | fields
        if self._take is not None:
            self._take(event, fields, len(values))
        if self._form == "json":
            for value in values:
                self._write(self._line(event, fields | {name: value}))
            return
        names = list(fields)
        at = names.index(name) if name in fields else len(names)
        stamp = self._stamp(self._clock.time())
        before = f"{stamp} {event}{self._text({each: fields[each] for each in names[:at]})} {name}="
        after = self._text({each: fields[each] for each in names[at + 1 :]})
        if not all(values) or _PLAIN.fullmatch("".join(values)) is None:
            values = [self._quoted(value) for value in values]
        lines = [f"{before}{value}{after}" for value in values]
        if self._output is not None:
            self._output.all(lines)
        else:
            for line in lines:
                self._write(line)

    def _text(self, fields: dict[str, Any]) -> str:
        """Fields as the text form has them, each after a space."""
        known = self._known
        text = ""
        for name, value in fields.items():
            if type(value) is str:
                if value:
                    text += f" {name}={known.get(value) or self._quoted(value)}"
            elif type(value) is int:
                text += f" {name}={value}"
            elif value is not None:
                text += f" {name}={self._quoted(str(_fact(name, value)))}"
        return text

    def _stamp(self, at: float) -> str:
        """A time, in seconds since 1970, as lines have it."""
        now = int(at * 1000)
        if now != self._milli:
            self._milli = now
            seconds, milli = divmod(now, 1000)
            if seconds != self._second:
                self._second = seconds
                self._to_the_second = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()[:19]
            self._to_the_milli = f"{self._to_the_second}.{milli:03d}Z"
        return self._to_the_milli

    def _quoted(self, text: str) -> str:
        """A value as the text form has it.  Addresses, reasons and replies recur, so their written form is cached."""
        if text.isalnum() and text.isascii():  # a queue id or a number: a look-up would cost more than this test
            return text
        quoted = text if _PLAIN.fullmatch(text) else _encoded(text)
        if len(text) <= _REMEMBERED_LENGTH:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[text] = quoted
        return quoted


# Printable ASCII without space, quotation mark, equals sign and backslash.
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")
# Types whose values cannot change, and can always be written.
_CONSTANT = frozenset((str, int, float, bool, type(None)))
_ENCODER = msgspec.json.Encoder(enc_hook=str)
_MOMENTS = frozenset(("again",))  # fields that are moments of the calendar, in seconds since the epoch
_REMEMBERED = 4096  # values whose written form is remembered
_REMEMBERED_LENGTH = 400  # characters of one of them, at most


def _encoded(value: object) -> str:
    """A value as JSON, with nothing in it that steers a terminal or cannot be seen."""
    try:
        return escaped(_ENCODER.encode(value).decode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return escaped(json.dumps(value, ensure_ascii=True, default=str))


def _fact(name: str, value: object) -> object:
    """An exception becomes its traceback, bounded; a moment becomes a time like that of the line."""
    if isinstance(value, BaseException):
        return "".join(traceback.format_exception(value))[-4000:]
    if name in _MOMENTS and isinstance(value, float):
        try:
            return f"{datetime.datetime.fromtimestamp(value, datetime.UTC).isoformat(timespec='milliseconds')[:23]}Z"
        except (ValueError, OverflowError, OSError):  # beyond the calendar
            return value
    return value
