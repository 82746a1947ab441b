"""A message that a sandbox has taken, and the session in which it came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from posthouse.core import Address, Envelope, Remark, path_text
from posthouse.message.reading import ReadMessage

__all__ = ["CaughtMessage", "SandboxSession", "end_of_transcript", "recipients_text"]

#: Lines of one session that are kept.
_LINES_MOST: Final = 2_000
#: Characters of dialogues that a report shows.
_SHOWN: Final = 20_000
#: Characters of a line that are kept.
_LINE_MOST: Final = 500


class SandboxSession:
    """A session with a sandbox, as far as it has come."""

    def __init__(self, number: int) -> None:
        #: Sessions are counted from 1.
        self.number = number
        #: The client's address and port.
        self.client: tuple[str, int] = ("", 0)
        #: The name that the client gave in EHLO, HELO or LHLO, "" before.
        self.helo = ""
        #: Version and cipher suite, "" in clear.
        self.tls = ""
        #: The account that has logged in, "" without.
        self.user = ""
        self._lines: list[str] = []
        self._more = 0

    def note(self, who: str, line: str) -> None:
        """Keep a line of the dialogue; ``who`` is S (the sending SMTP) or R (the sandbox)."""
        if len(self._lines) >= _LINES_MOST:
            self._more += 1
            return
        shown = line if len(line) <= _LINE_MOST else f"{line[:_LINE_MOST]}…"
        self._lines.append(f"{'C' if who == 'S' else 'S'}: {shown}")

    @property
    def lines(self) -> tuple[str, ...]:
        """The dialogue: ``C:`` before the client's lines, ``S:`` before the server's.  Content is a size, and passwords
        are left out."""
        lines = tuple(self._lines)
        return (*lines, f"({self._more:,} more lines)") if self._more else lines

    @property
    def transcript(self) -> str:
        """The dialogue as text."""
        return "\n".join(self.lines)

    def __repr__(self) -> str:
        return f"<session {self.number}: {len(self._lines)} lines>"


class CaughtMessage(ReadMessage):
    """A message that a sandbox has taken: all that ``posthouse.read`` tells of it, its envelope and its session.

    ``recipients`` are those that were answered 250; ``sender`` and ``to`` are those of the header.
    """

    def __init__(
        self, octets: bytes, envelope: Envelope, session: SandboxSession, remarks: tuple[Remark, ...] = ()
    ) -> None:
        super().__init__(octets, octets.find(b"\n") + 1 if octets.startswith(b"From ") else 0)
        #: MAIL and RCPT as the client sent them.
        self.envelope = envelope
        #: The session in which it came.
        self.session = session
        #: What a strict server would have refused.
        self.remarks = remarks

    @property
    def recipients(self) -> tuple[Address, ...]:
        """The addresses of RCPT."""
        return tuple(each.address for each in self.envelope.recipients)

    @property
    def link(self) -> str:
        """The only link of the message.  Raises ``AssertionError`` if it has none, or several."""
        return self._only("link", self.links)

    @property
    def code(self) -> str:
        """The likeliest one-time code of the message.  Raises ``AssertionError`` if it has none."""
        if not self.codes:
            raise AssertionError(f"there is no code in {self!r}; it says: {_beginning(self.text)}")
        return self.codes[0]

    def _only(self, what: str, found: Sequence[str]) -> str:
        if len(found) == 1:
            return found[0]
        if not found:
            raise AssertionError(f"there is no {what} in {self!r}; it says: {_beginning(self.text)}")
        raise AssertionError(f"there are {len(found)} {what}s in {self!r}: {', '.join(found[:10])}")

    def __repr__(self) -> str:
        return f"<message to {recipients_text(self.recipients)}, subject {self.subject!r}>"


def recipients_text(recipients: Sequence[Address]) -> str:
    """Recipients for a sentence: the first three, and how many more."""
    shown = ", ".join(path_text(each) for each in recipients[:3])
    return f"{shown} and {len(recipients) - 3:,} more" if len(recipients) > 3 else shown


def _beginning(text: str) -> str:
    shown = " ".join(text.split())
    return repr(shown if len(shown) <= 200 else f"{shown[:200]}…")


def end_of_transcript(transcript: str) -> str:
    """Dialogues for the report of a test that has failed: the end of them, if they are long."""
    text = transcript or "No client has connected."
    return text if len(text) <= _SHOWN else f"(beginning not shown)\n{text[-_SHOWN:]}"
