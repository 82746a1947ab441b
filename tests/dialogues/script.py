"""Parser of dialogue files: SMTP dialogues as ``C:`` and ``S:`` lines.

::

    # What it shows, and the section of the RFC.
    @listener max_recipients = 2        a setting of [[listener]]; also @relay, @spool, and @domain for sina.com
    @runs receiver daemon               what runs it; left out: receiver and daemon
    @client delivered failed            our client says the C: lines, and these are its outcomes ("refused": no session)
    @storage full                       storage has no room; or: failing
    @others 1                           so many connections are open already

    C: MAIL FROM:<langrui@sohu.com>     a line, with its CRLF; adjacent C: lines are sent in one write
    C| NOOP\\n                           octets, with \\r \\n and \\xNN; {3*ab} is ababab, in C: lines too
    S: 250 2.1.0 ...                    a reply; "..." at a line's end is any text, and if the reply is but one such
                                        line it may have more lines before
    S: (closed)                         the receiving SMTP closes the connection
    !: drain                            the daemon begins to shut down

At the end of a file without (closed) the runner sends QUIT, which shows that no reply was superfluous.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from posthouse.core import Reply

__all__ = ["Act", "Closed", "Dialogue", "Hear", "Say", "Step", "read"]

_TIMES = re.compile(r"\{([0-9]+)\*([^}]*)\}")
_ESCAPE = re.compile(rb"\\(?:(r)|(n)|x([0-9a-f]{2}))")
_REPLY_LINE = re.compile(r"([2-5][0-9][0-9])([ -]|$)(?:([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?(.*)")


class Say(NamedTuple):
    """Octets that the sending SMTP writes."""

    data: bytes


class Hear(NamedTuple):
    """The lines of one reply of the receiving SMTP."""

    lines: tuple[str, ...]

    @property
    def reply(self) -> Reply:
        """The reply as a value; "..." is kept as it is."""
        parts = [_REPLY_LINE.fullmatch(line) for line in self.lines]
        assert all(parts), self.lines
        texts = [part[4] for part in parts if part is not None]
        first = parts[0]
        assert first is not None
        return Reply(int(first[1]), first[3] or "", "\n".join(texts))

    def fits(self, lines: list[str]) -> bool:
        """True if ``lines`` are this reply."""
        if len(self.lines) == 1 and self.lines[0].endswith("..."):
            lines = lines[-1:]
        return len(lines) == len(self.lines) and all(map(_fits, self.lines, lines))


def _fits(expected: str, line: str) -> bool:
    return line.startswith(expected[:-3]) if expected.endswith("...") else line == expected


class Closed(NamedTuple):
    """The receiving SMTP closes the connection."""


class Act(NamedTuple):
    """An event at the daemon."""

    what: str


Step = Say | Hear | Closed | Act


class Dialogue(NamedTuple):
    """One dialogue file."""

    name: str
    about: str
    settings: dict[str, list[str]]
    runs: tuple[str, ...]
    outcomes: tuple[str, ...]
    storage: str
    others: int
    steps: tuple[Step, ...]

    @property
    def replies(self) -> list[Hear]:
        """All replies, in order."""
        return [each for each in self.steps if isinstance(each, Hear)]

    @property
    def closes(self) -> bool:
        """True if the receiving SMTP closes the connection."""
        return isinstance(self.steps[-1], Closed)

    def contents(self) -> list[bytes]:
        """The content sent after each 354, without dot stuffing (RFC 5321 §4.5.2) and without content with bare CR
        or LF."""
        found = []
        for before, step in zip(self.steps, self.steps[1:], strict=False):
            if isinstance(before, Hear) and before.reply.code == 354 and isinstance(step, Say):
                text = (b"\r\n" + step.data).partition(b"\r\n.\r\n")[0] + b"\r\n"
                if not re.search(rb"\r(?!\n)|(?<!\r)\n", text):
                    found.append(text.replace(b"\r\n.", b"\r\n")[2:])
        return found


def read(path: Path) -> Dialogue:
    """Read a dialogue file; an AssertionError names a line with a wrong syntax."""
    settings: dict[str, list[str]] = {"listener": [], "relay": [], "spool": [], "domain": []}
    about: list[str] = []
    single = {"runs": "", "client": "", "storage": "", "others": "0"}
    steps: list[Step] = []
    reply: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark, _, text = line.partition(" ")
        if not line:
            continue
        if mark == "#":
            about.append(text)
        elif mark.startswith("@"):
            if mark[1:] in settings:
                settings[mark[1:]].append(text)
            else:
                assert mark[1:] in single, f"{path.name}:{number}: {mark} means nothing"
                single[mark[1:]] = text
        elif mark in ("C:", "C|"):
            data = _octets(text) if mark == "C|" else _repeated(text).encode() + b"\r\n"
            if steps and isinstance(steps[-1], Say):
                data = steps.pop().data + data  # type: ignore[union-attr]
            steps.append(Say(data))
        elif line == "S: (closed)":
            steps.append(Closed())
        elif mark == "S:":
            assert _REPLY_LINE.fullmatch(text), f"{path.name}:{number}: this is no line of a reply"
            reply.append(text)
            if text[3:4] != "-":
                steps.append(Hear(tuple(reply)))
                reply = []
        else:
            assert mark == "!:", f"{path.name}:{number}: a line begins with C: C| S: !: @ or #"
            steps.append(Act(text))
    assert steps, f"{path.name}: there is no step"
    assert not reply, f"{path.name}: the last reply has no end"
    runs = single["runs"].split() or ["receiver", "daemon"]
    if single["client"] and "client" not in runs:
        runs.append("client")
    return Dialogue(
        path.stem,
        " ".join(about),
        settings,
        tuple(runs),
        tuple(single["client"].split()),
        single["storage"],
        int(single["others"]),
        tuple(steps),
    )


def _repeated(text: str) -> str:
    return _TIMES.sub(lambda match: match[2] * int(match[1]), text)


def _octets(text: str) -> bytes:
    return _ESCAPE.sub(
        lambda match: b"\r" if match[1] else b"\n" if match[2] else bytes.fromhex(match[3].decode()),
        _repeated(text).encode(),
    )
