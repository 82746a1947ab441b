"""The event log: one line of text or one JSON object for each event.

An event is a name and fields: which message, which peer, which reply, why.  Callers pass neither content nor
credentials.  Values are written so that nothing a peer sent can begin a line of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from posthouse.core import EventSink
from posthouse.net.clock import Clock

__all__ = ["EventLog"]


class _StandardError:
    """Standard error: writes the lines of one turn of the event loop in one piece; outside a loop, at once."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __call__(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) == 1:
            self._begun()
        elif len(self._lines) >= _MOST_LINES:
            self._write()

    def all(self, lines: Sequence[str]) -> None:
        """Several lines."""
        before = len(self._lines)
        self._lines += lines
        if len(self._lines) >= _MOST_LINES:
            self._write()
        elif not before and lines:
            self._begun()

    def _begun(self) -> None:
        try:
            asyncio.get_running_loop().call_soon(self._write)
        except RuntimeError:
            self._write()

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        # The reader of standard error may have gone; mail is delivered all the same.
        with contextlib.suppress(OSError, ValueError):
            if lines:
                sys.stderr.write("\n".join(lines) + "\n")
                sys.stderr.flush()


class EventLog(EventSink):
    """Event lines.  ``write`` takes one line without its end; standard error unless given.

    Text: ``2026-11-23T08:46:22.120Z accepted id=… sender=…``; a value that is not plain is written as a JSON string.
    JSON: one object with ``time``, ``event`` and the fields.  An exception among the fields becomes its traceback.
    """

    def __init__(
        self,
        clock: Clock,
        form: Literal["text", "json"] = "text",
        write: Callable[[str], None] | None = None,
        **always: Any,
    ) -> None:
        self._clock = clock
        self._form = form
        standard = _StandardError()
        self._write = write or standard
        self._write_all = standard.all if write is None else None
        self._always = always
        self._second = self._milli = -1
        self._to_the_second = self._to_the_milli = ""
        self._known: dict[str, str] = {}  # values that need quotes, or might have; with them

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Write an event.  Fields that are None or "" are left out."""
        if self._always:
            fields = self._always | fields
        if self._form == "json":
            facts = {name: _fact(value) for name, value in fields.items() if value is not None and value != ""}
            self._write(_ENCODER.encode({"time": self._stamp(), "event": event, **facts}).decode())
            return
        self._write(f"{self._stamp()} {event}{self._text(fields)}")

    def each(self, event: str, name: str, values: Sequence[str], /, **fields: Any) -> None:
        """Write an event once for each value of the field ``name``; among ``fields``, None holds its place."""
        fields = self._always | fields
        if self._form == "json":
            for value in values:
                self(event, **(fields | {name: value}))
            return
        names = list(fields)
        at = names.index(name) if name in fields else len(names)
        before = f"{self._stamp()} {event}{self._text({each: fields[each] for each in names[:at]})} {name}="
        after = self._text({each: fields[each] for each in names[at + 1 :]})
        if not all(values) or _PLAIN.fullmatch("".join(values)) is None:
            values = [self._quoted(value) for value in values]
        lines = [f"{before}{value}{after}" for value in values]
        if self._write_all is not None:
            self._write_all(lines)
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
            elif value is not None:
                text += f" {name}={self._quoted(str(_fact(value)))}"
        return text

    def _stamp(self) -> str:
        now = int(self._clock.time() * 1000)
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
        quoted = text if _PLAIN.fullmatch(text) else _ENCODER.encode(text).decode()
        if len(text) <= _REMEMBERED_LENGTH:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[text] = quoted
        return quoted


# Printable ASCII without space, quotation mark, equals sign and backslash.
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")
_ENCODER = msgspec.json.Encoder(enc_hook=str)
_MOST_LINES = 1000  # that wait to be written
_REMEMBERED = 4096  # values whose written form is remembered
_REMEMBERED_LENGTH = 400  # characters of one of them, at most


def _fact(value: object) -> object:
    """An exception becomes its traceback, bounded."""
    if isinstance(value, BaseException):
        return "".join(traceback.format_exception(value))[-4000:]
    return value
