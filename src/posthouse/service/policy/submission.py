"""Intake of a submitted message (RFC 6409): its header section is completed and checked, its body streams through.

The header section is kept until it has ended, at most ``max_header_size`` octets.  Then the authors are checked if the
listener says so, Date, From and Message-ID are put in front if they are missing, and Bcc is taken out.  A message that
needs no change passes as it came, without a copy.

What comes from a trusted network without a login and has a Received field was submitted elsewhere: it passes as it is.
Sizes are those of the message as the client sent it; ``with_room`` allows for what is added to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from posthouse.core import Address, Remark, Reply, Verdict
from posthouse.message.authors import Unreadable, authors
from posthouse.message.dates import date_of
from posthouse.message.headers import gap, received_in_lines, split
from posthouse.message.submitted import completed, is_complete
from posthouse.net.clock import Clock
from posthouse.protocol.grammar import lookup_domain
from posthouse.service.config.model import ListenerSettings
from posthouse.service.policy.header_scan import header_too_large
from posthouse.service.policy.intake import IntakeContext, SpoolIntake
from posthouse.service.policy.logins import may_send_as
from posthouse.service.policy.verdicts import TOO_LARGE

__all__ = ["SubmissionTerms", "SubmittedIntake", "submission_terms", "with_room"]

#: Octets that Date, From and Message-ID have at most.
_ROOM: Final = 2_048
_FIRST_LINE: Final = 1_000  # octets that show whether the first line is a field
_NOT_YOURS: Final = Reply(553, "5.7.1", "The account may not send as the author that the message names")


def with_room(context: IntakeContext) -> IntakeContext:
    """The context of intakes for messages that grow by what is added to them."""
    headers = context.headers._replace(octets=context.headers.octets + _ROOM)
    return context._replace(headers=headers, max_message_size=context.max_message_size + _ROOM)


class SubmissionTerms(NamedTuple):
    """What all submitted messages of one session have in common.

    ``user`` and ``identities`` are the account's, if the authors are to be checked; None: they are not.  ``original``:
    the message counts as submitted here even if it has a Received field.  ``completes``: what is missing is added, and
    Bcc is taken out.  ``hides_client``: the Received field of this host does not name the client.
    """

    hostname: str
    max_message_size: int
    max_header_size: int
    user: str
    identities: Sequence[str] | None
    original: bool
    completes: bool
    hides_client: bool


def submission_terms(
    hostname: str, listener: ListenerSettings, user: str = "", identities: Sequence[str] = ()
) -> SubmissionTerms:
    """The terms of a listener for what ``user`` submits, who may send as ``identities``; "" for one without a login."""
    checked = listener.check_from and user and "*" not in identities
    return SubmissionTerms(
        hostname,
        listener.max_message_size,
        listener.max_header_size,
        user,
        identities if checked else None,
        bool(user) or listener.kind == "submission",
        listener.complete_messages,
        listener.hide_client,
    )


class SubmittedIntake:
    """An ``Intake`` that gives the changed message to another."""

    __slots__ = ("_clock", "_head", "_inner", "_offset", "_passes", "_refused", "_sender", "_size", "_terms")

    def __init__(
        self,
        terms: SubmissionTerms,
        sender: Address | None,
        inner: SpoolIntake,
        clock: Clock,
        offset: Callable[[int], int],
    ) -> None:
        """``sender`` is the reverse-path that the client gave, ``offset`` as in ``IntakeContext``."""
        self._terms = terms
        self._sender = sender
        self._inner = inner
        self._clock = clock
        self._offset = offset
        self._head = bytearray()
        self._passes = False  # the header section has been given on
        self._refused = False
        self._size = 0

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """Take the next octets of the content."""
        if self._refused:
            return None
        self._size += len(chunk)
        if self._size > self._terms.max_message_size:
            self._refuse(TOO_LARGE)
            return None
        if self._passes:
            return self._inner.write(chunk)
        head = self._head
        if not head:
            end = 0 if chunk.startswith(b"\r\n") else chunk.find(b"\r\n\r\n")
            if end >= 0:  # the common case: the whole header section is in the first piece
                return self._give(chunk, end)
        start = max(0, len(head) - 3)
        head += chunk
        end = 0 if head.startswith(b"\r\n") else head.find(b"\r\n\r\n", start)
        if end >= 0:
            return self._give(bytes(head), end)
        if len(head) > self._terms.max_header_size or self._has_no_fields():
            return self._give(bytes(head), -1)
        return None

    def _has_no_fields(self) -> bool:
        """Whether the first line has come, and is no field."""
        first = bytes(self._head[:_FIRST_LINE])
        return (len(first) == _FIRST_LINE or b"\r\n" in first) and bool(gap(first))

    def _give(self, data: bytes, end: int) -> Awaitable[None] | None:
        """Give the first octets of the message on; ``end`` is where the line end before the empty line begins, 0 for a
        message that begins with an empty line, -1 for one in which there is none yet."""
        self._passes = True
        self._head = bytearray()
        terms = self._terms
        if end > terms.max_header_size:
            self._refuse(header_too_large(terms.max_header_size))
            return None
        section = data if end < 0 else data[:end]
        lowered = b"\r\n" + section.lower()
        if terms.identities is not None:
            refusal = self._judge(section, terms.identities)
            if refusal is not None:
                self._refuse(refusal)
                return None
        if not terms.original and received_in_lines(lowered):
            return self._inner.write(data, end, lowered)
        if terms.hides_client:
            self._inner.hide_client()
        has_fields = not gap(data[:_FIRST_LINE])
        if not terms.completes or (has_fields and is_complete(lowered)):
            return self._inner.write(data, end, lowered)
        date, name, sender = self._now(), self._message_id(), self._sender
        if end > 0 and has_fields:  # the common case
            return self._inner.write(completed(data[: end + 2], date, name, sender, lowered) + data[end + 2 :])
        headers = split(data, len(data)).headers
        rest = data[len(headers) :]
        between = b"" if headers else gap(rest)
        return self._inner.write(completed(headers, date, name, sender) + between + rest)

    def _judge(self, section: bytes, identities: Sequence[str]) -> Verdict | None:
        user = self._terms.user
        try:
            for author in authors(section):
                if not may_send_as(author, identities):
                    return Verdict(_NOT_YOURS, f"{author} in From or Sender is not an identity of {user}")
        except Unreadable as error:
            text = f"The author cannot be checked: {error}"
            return Verdict(Reply(553, "5.7.1", text), f"check_from: {error}")
        return None

    def _now(self) -> str:
        now = self._clock.time()
        return date_of(int(now // 1.0), self._offset(int(now // 60.0)))

    def _message_id(self) -> str:
        return f"<{self._inner.queue_id}@{lookup_domain(self._terms.hostname)}>"

    def _refuse(self, verdict: Verdict) -> None:
        self._refused = True
        self._head = bytearray()
        self._inner.fail(verdict)

    def remarked(self, remarks: tuple[Remark, ...]) -> None:
        """What was tolerated, for history and log."""
        self._inner.remarked(remarks)

    def commit(self) -> tuple[Verdict, ...] | Awaitable[tuple[Verdict, ...]]:
        """The content is complete, perhaps inside its header section."""
        if not self._passes and not self._refused:
            pressure = self._give(bytes(self._head), -1)
            if pressure is not None:
                return self._commit_later(pressure)
        return self._inner.commit()

    async def _commit_later(self, pressure: Awaitable[None]) -> tuple[Verdict, ...]:
        await pressure
        verdicts = self._inner.commit()
        return verdicts if isinstance(verdicts, tuple) else await verdicts

    def abort(self) -> None:
        """Forget the message."""
        self._head = bytearray()
        self._inner.abort()
