"""Content checks: what may judge a message between the end of its content and its commit.

DKIM, DMARC, ARC, a virus scanner or a milter are content checks.  A check sees the content as it streams, so that
hashes need no second pass, and gives a ``CheckResult`` at the end: header fields to put in front, a refusal, or a
quarantine. A check that knows its result at once returns it; one that must ask (the DNS, another process) returns an
awaitable.

Several checks are asked in the order of their factories.  A refusal ends the round; a quarantine does not.  A check
that raises, or that takes too long, makes the message wait at the sender with 451, and the exception goes to
``on_error``: a message that was not checked is never accepted.

The fields of a later check stand above those of an earlier one, and all of them above the Received field of this hop.
RFC 5321 §4.4 has trace fields prepended, the latest on top, and a check comes after the receipt.  RFC 8601 §4 wants the
same of Authentication-Results: below our Received field everything was there when the message came in, above it
everything is ours.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from posthouse.core import Envelope, LocalError, MethodVerdict, Reply, Verdict
from posthouse.net import Clock
from posthouse.protocol.commands import Greet
from posthouse.server.policy import Peer

__all__ = ["CHECK_SECONDS", "CheckFactory", "CheckResult", "CheckedMessage", "ContentCheck", "ContentChecks"]

#: Seconds that the checks of one message may take in all, once its content has ended, and that one may let the client
#: wait in between.  RFC 5321 §4.5.3.2.6: a client waits 10 min for the reply; some give up much earlier.
CHECK_SECONDS: Final = 60.0

_UNCHECKED: Final = Reply(451, "4.3.0", "Cannot check this message now; try again later")
# RFC 5322 §2.2: fields, folded at will; no empty line, which would end the header section, and no bare CR or LF.
_FIELDS: Final = re.compile(rb"(?:[!-9;-~]+:[^\r\n\x00]*\r\n(?:[ \t]+[^\r\n\x00]*[^\r\n\x00 \t][^\r\n\x00]*\r\n)*)+")


class CheckedMessage(NamedTuple):
    """What is known of a message before its content: the peer, its greeting, the envelope with all recipients, the
    queue id that the message will have, and our host name (the authserv-id of RFC 8601)."""

    peer: Peer
    greet: Greet
    envelope: Envelope
    queue_id: str
    hostname: str


class CheckResult(NamedTuple):
    """The result of one check, or of all checks of a message.

    ``fields`` are whole header fields, each with its CRLF.  ``refusal`` has a 4xx or 5xx reply and the reason for the
    log.  ``quarantine`` is a reason: the message is accepted, and held until an operator decides.  ``verdicts`` are
    those of message authentication, for the history.
    """

    fields: bytes = b""
    refusal: Verdict | None = None
    quarantine: str = ""
    verdicts: tuple[MethodVerdict, ...] = ()


_PASS: Final = CheckResult()


class ContentCheck(Protocol):
    """The check of one message.  ``write`` is called for each piece, then exactly one of ``finish`` and ``abort``."""

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """Take the next octets (CRLF line ends, dot-stuffing undone); an awaitable means back-pressure."""
        ...

    def finish(self, size: int, fields: bytes) -> CheckResult | Awaitable[CheckResult]:
        """The content is complete: ``size`` octets.  ``fields`` are those that earlier checks put in front."""
        ...

    def abort(self) -> None:
        """There will be no result: the client vanished, or the message is refused for another reason."""
        ...


class CheckFactory(Protocol):
    """Makes the check of one message."""

    def __call__(self, message: CheckedMessage) -> ContentCheck | None:
        """The check, or None if this message needs none."""
        ...


class ContentChecks:
    """The checks of one message, asked one after the other."""

    def __init__(
        self,
        factories: Sequence[CheckFactory],
        message: CheckedMessage,
        *,
        clock: Clock,
        on_error: Callable[[BaseException], None],
        seconds: float = CHECK_SECONDS,
    ) -> None:
        self._clock = clock
        self._on_error = on_error
        self._seconds = seconds
        self._checks: list[ContentCheck] = []  # that still owe a result
        self._asked = ""  # the name of the check that is asked now
        self._failure: CheckResult | None = None
        for factory in factories:
            try:
                check = factory(message)
            except Exception as error:
                self._failed(getattr(factory, "__name__", type(factory).__name__), error)
                return
            if check is not None:
                self._checks.append(check)

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """Give the next octets to all checks."""
        waits: list[Awaitable[None]] = []
        for check in self._checks:
            try:
                pressure = check.write(chunk)
            except Exception as error:
                self._failed(type(check).__name__, error)
                break
            if pressure is not None:
                waits.append(pressure)
        return self._drained(waits) if waits else None

    async def _drained(self, waits: Sequence[Awaitable[None]]) -> None:
        try:
            await self._bounded(asyncio.gather(*waits))
        except Exception as error:
            self._failed("a check", error)

    def finish(self, size: int) -> CheckResult | Awaitable[CheckResult]:
        """The result of all checks for a content of ``size`` octets: at once, if each check knows its own at once."""
        return self._failure or self._next(size, _PASS)

    def _next(self, size: int, result: CheckResult) -> CheckResult | Awaitable[CheckResult]:
        """Ask the checks that are left; ``result`` is that of those before."""
        while self._checks:
            check = self._checks.pop(0)
            self._asked = type(check).__name__
            try:
                answer = check.finish(size, result.fields)
                if not isinstance(answer, CheckResult):
                    return self._later(size, result, answer)
                result = _joined(result, answer)
            except Exception as error:
                return self._failed(self._asked, error)
            if result.refusal is not None:
                self.abort()
        return result

    async def _later(self, size: int, result: CheckResult, answer: Awaitable[CheckResult]) -> CheckResult:
        """The result of all checks, where the one asked now has to be waited for."""
        try:
            whole: CheckResult = await self._bounded(self._rest(size, result, answer))
            return whole
        except Exception as error:
            return self._failed(self._asked, error)

    async def _rest(self, size: int, result: CheckResult, answer: Awaitable[CheckResult]) -> CheckResult:
        result = _joined(result, await answer)
        if result.refusal is not None:
            self.abort()
            return result
        following = self._next(size, result)
        return following if isinstance(following, CheckResult) else await following

    async def _bounded(self, awaitable: Awaitable[Any]) -> Any:
        """The result of ``awaitable``; raises ``TimeoutError`` after the seconds that checks may take, even if what
        is awaited resists its cancellation."""
        future = asyncio.ensure_future(awaitable)
        over = asyncio.get_running_loop().create_future()

        def end(_: object = None) -> None:
            if not over.done():
                over.set_result(None)

        future.add_done_callback(end)
        timer = self._clock.call_later(self._seconds, end)
        try:
            await over
            if not future.done():
                raise TimeoutError(f"no result within {self._seconds:g} s")
            if future.cancelled():
                raise RuntimeError("what was waited for has been cancelled")
            return future.result()
        finally:
            timer.cancel()
            if not future.done():
                future.add_done_callback(_retrieved)  # what it may still raise is of no use
                future.cancel()

    def _failed(self, name: str, error: BaseException) -> CheckResult:
        """Remember that there can be no result, tell of the exception, and end the checks that are left."""
        self._on_error(error)
        reason = f"content check {name}: {type(error).__name__}: {error}"
        self._failure = CheckResult(refusal=Verdict(_UNCHECKED, reason))
        self.abort()
        return self._failure

    def abort(self) -> None:
        """End the checks that are left without a result."""
        checks, self._checks = self._checks, []
        for check in checks:
            try:
                check.abort()
            except Exception as error:
                self._on_error(error)


def _retrieved(future: asyncio.Future[Any]) -> None:
    """Take a future's exception, so that the event loop does not report it."""
    if not future.cancelled():
        future.exception()


def _joined(before: CheckResult, result: CheckResult) -> CheckResult:
    """The result of all checks so far.  Raises ``LocalError`` for a result that cannot be used."""
    fields, refusal, quarantine, verdicts = result
    if fields and _FIELDS.fullmatch(fields) is None:
        raise LocalError("these are not whole header fields, each ended by CRLF")
    if refusal is not None and refusal.reply.code < 400:
        raise LocalError(f"{refusal.reply.code} is not a refusal")
    quarantines = [each for each in (before.quarantine, quarantine) if each]
    return CheckResult(fields + before.fields, refusal, "; ".join(quarantines), before.verdicts + verdicts)
