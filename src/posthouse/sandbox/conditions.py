"""Conditions on a caught message, and the sentences about those that it does not meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypedDict

from posthouse.core import LocalError, path_text
from posthouse.sandbox.caught_message import CaughtMessage, recipients_text
from posthouse.sandbox.wildcards import Wanted, fits, wanted_text

__all__ = ["Conditions", "WantedMessage", "report"]

#: Messages that a report lists, and characters of a value that it shows.
_LISTED: Final = 20
_SHOWN: Final = 160


class WantedMessage(TypedDict, total=False):
    """What a message is to be; what is left out does not matter.

    Texts may have ``*`` for any characters and ``?`` for one; a regular expression (``re.compile``) is searched for.

    Keys:
        to: An address of RCPT, or several that must all be there.
        sender: The address of MAIL, or of From.
        subject: The whole subject.
        text: A part of the text; of a regular expression, a place in it.
        html: A part of the HTML.
        attachment: The file name of an attachment.
        headers: Names and values of header fields.
        match: A function that says whether a message is the one.
    """

    to: Wanted | Sequence[Wanted]
    sender: Wanted
    subject: Wanted
    text: Wanted
    html: Wanted
    attachment: Wanted
    headers: Mapping[str, Wanted]
    match: Callable[[CaughtMessage], object]


class Conditions:
    """Conditions that a message meets or misses."""

    def __init__(self, wanted: WantedMessage) -> None:
        unknown = sorted(set(wanted) - set(WantedMessage.__annotations__))
        if unknown:
            known = ", ".join(WantedMessage.__annotations__)
            raise LocalError(f"{unknown[0]}= is no condition on a message; the conditions are {known}")
        self._wanted = wanted
        to = wanted.get("to", ())
        self._to: tuple[Wanted, ...] = tuple(to) if isinstance(to, Sequence) and not isinstance(to, str) else (to,)

    @property
    def key(self) -> object:
        """A value that equal conditions share."""
        rest = {name: value for name, value in self._wanted.items() if name not in ("to", "headers")}
        headers = tuple(sorted(self._wanted.get("headers", {}).items(), key=lambda item: item[0]))
        return self._to, headers, tuple(sorted(rest.items(), key=lambda item: item[0]))

    def met_by(self, message: CaughtMessage) -> bool:
        """Whether the message is a wanted one."""
        return next(self.missed(message), None) is None

    def missed(self, message: CaughtMessage) -> Iterator[str]:
        """Sentences about the conditions that the message misses."""
        wanted = self._wanted
        addresses = [str(each) for each in message.recipients]
        for each in self._to:
            if not any(fits(each, address) for address in addresses):
                yield _not(f"to={wanted_text(each)}", recipients_text(message.recipients))
        if "sender" in wanted:
            senders = _senders(message)
            if not any(fits(wanted["sender"], each) for each in senders):
                yield _not(f"sender={wanted_text(wanted['sender'])}", " and ".join(senders) or "the null sender")
        if "subject" in wanted and not fits(wanted["subject"], message.subject, exact_case=True):
            yield _not(f"subject={wanted_text(wanted['subject'])}", _quoted(message.subject))
            if isinstance(wanted["subject"], str) and wanted["subject"] in message.subject:
                yield f"(for a part of a subject, write subject={'*' + wanted['subject'] + '*'!r})"
        for name, value in (("text", message.text), ("html", message.html or "")):
            part = wanted.get(name)
            if part is not None and not _holds(part, value):
                yield f"{name}={_wanted_shown(part)}: not found in {_quoted(value)}"
        if "attachment" in wanted:
            names = [each.filename for each in message.attachments]
            if not any(fits(wanted["attachment"], each) for each in names):
                yield _not(f"attachment={wanted_text(wanted['attachment'])}", ", ".join(names[:10]) or "none")
        for name, pattern in wanted.get("headers", {}).items():
            if not fits(pattern, message.header(name), exact_case=True):
                yield _not(f"{name}: {wanted_text(pattern)}", _quoted(message.header(name)))
        if "match" in wanted and not wanted["match"](message):
            yield "match=…: the function says no"

    def __str__(self) -> str:
        """The conditions as they were written, for a sentence."""
        parts = [f"to={wanted_text(each)}" for each in self._to]
        for name in ("sender", "subject", "text", "html", "attachment"):
            part = self._wanted.get(name)
            if part is not None:
                parts.append(f"{name}={_wanted_shown(part)}")
        parts += [f"{name}: {wanted_text(each)}" for name, each in self._wanted.get("headers", {}).items()]
        if "match" in self._wanted:
            parts.append("match=…")
        return " and ".join(parts)


def report(messages: Sequence[CaughtMessage], conditions: Conditions) -> str:
    """A list of messages, each with the conditions that it misses."""
    if not messages:
        return "No message came at all."
    count = len(messages)
    lines = ["1 message came:" if count == 1 else f"{count:,} messages came:"]
    first = max(0, count - _LISTED)
    if first:
        lines.append(f"  ({first:,} earlier ones are not shown)")
    for number, message in enumerate(messages[first:], first + 1):
        lines.append(f"  {number}. to {recipients_text(message.recipients)}, subject {_quoted(message.subject)}")
        lines += [f"       {sentence}" for sentence in conditions.missed(message)]
    return "\n".join(lines)


def _not(wanted: str, found: str) -> str:
    return f"{wanted}: it is {found}"


def _holds(part: object, value: str) -> bool:
    return part in value if isinstance(part, str) else fits(part, value)  # type: ignore[arg-type]


def _wanted_shown(part: object) -> str:
    return _quoted(part) if isinstance(part, str) else wanted_text(part)  # type: ignore[arg-type]


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _senders(message: CaughtMessage) -> list[str]:
    """The addresses of MAIL and of From, each once."""
    named = message.sender
    found = [path_text(message.envelope.sender)]
    if named is not None and named.address is not None:
        found.append(str(named.address))
    return list(dict.fromkeys(filter(None, found)))
