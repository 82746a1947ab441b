"""Stretches of a message in conversion: the octets between two delimiters or header sections, treated together."""

from __future__ import annotations

from typing import Final, NamedTuple

from posthouse.message.encode import BodyEncoder
from posthouse.message.mime import Scanner

__all__ = [
    "EIGHTBIT",
    "ENCODE",
    "EncodedStretch",
    "FITS",
    "Impossible",
    "LeftOut",
    "NUL",
    "ScannedStretch",
    "Stretch",
    "Unconvertible",
]

# What a stretch of octets needs: nothing, or encoding; and what it holds then.
FITS: Final = 0
ENCODE: Final = 1
EIGHTBIT: Final = 2
NUL: Final = 4


class Unconvertible(NamedTuple):
    """Why a message cannot be converted: ``status`` (5.6.x of RFC 3463 and RFC 6531 §3.5) and ``reason`` in words."""

    status: str
    reason: str


class Impossible(Exception):
    """The message cannot be converted."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.answer = Unconvertible(status, reason)


class Stretch:
    """Octets between two delimiters or header sections, which are kept, encoded, or left out together."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """What is written for these octets; unchanged here."""
        return data

    def end(self, *, opened: bool) -> bytes:
        """What is written at the end; ``opened`` if it is the preamble of a multipart whose first delimiter follows."""
        return b""


class LeftOut(Stretch):
    """A preamble or epilogue that the host cannot take, and that readers must ignore (RFC 2046 §5.1.1)."""

    __slots__ = ("_instead",)

    def __init__(self, instead: bytes) -> None:
        self._instead = instead

    def feed(self, data: bytes) -> bytes:
        return b""

    def end(self, *, opened: bool) -> bytes:
        return self._instead


class EncodedStretch(Stretch):
    """A body that is encoded; ``last`` is written behind it if it does not end with CRLF."""

    __slots__ = ("_encoder", "_last", "_tail")

    def __init__(self, encoder: BodyEncoder, last: bytes) -> None:
        self._encoder = encoder
        self._last = last
        self._tail = b""

    def feed(self, data: bytes) -> bytes:
        made = self._encoder.feed(data)
        if made:
            self._tail = made[-2:] if len(made) > 1 else self._tail[-1:] + made
        return made

    def end(self, *, opened: bool) -> bytes:
        try:
            made = self._encoder.end()
        except ValueError as error:
            raise Impossible("5.6.5", "a part's base64 is broken") from error
        return made if (self._tail + made).endswith(b"\r\n") else made + self._last


class ScannedStretch(Stretch):
    """A stretch in the planning pass: nothing is written, and what it needs becomes the next entry of the plan.

    ``hindrance`` is raised if it needs something; ``skippable`` preambles need nothing of the kind once they are over.
    """

    __slots__ = ("_hindrance", "_nul", "_plan", "_scanner", "_skippable", "_to_7bit")

    def __init__(
        self, plan: list[int] | None, to_7bit: bool, hindrance: Impossible | None = None, *, skippable: bool = False
    ) -> None:
        self._plan = plan
        self._to_7bit = to_7bit
        self._hindrance = hindrance
        self._skippable = skippable
        self._scanner = Scanner(headers=False)
        self._nul = False

    def feed(self, data: bytes) -> bytes:
        self._scanner.feed(data)
        self._nul = self._nul or b"\0" in data
        return b""

    def end(self, *, opened: bool) -> bytes:
        found = self._scanner.result()
        need = FITS
        if found.binary or (self._to_7bit and found.eightbit):
            need = ENCODE | (EIGHTBIT if found.eightbit else 0) | (NUL if self._nul else 0)
        if need != FITS and self._hindrance is not None and not (self._skippable and opened):
            raise self._hindrance
        if self._plan is not None:
            self._plan.append(need)
        return b""
