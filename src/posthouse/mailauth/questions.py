"""DNS questions of a judgement: the generator protocol, its two drivers, and a zone that answers without a network.

A judgement (SPF, DKIM, DMARC, ARC) needs records of the DNS and does no I/O.  It is a ``Check``: a generator that
yields one ``Question`` at a time, is sent its ``Answer``, and returns its result.  The same code therefore runs in a
daemon, in a test and on the command line; only the driver differs:

    result = answer(check_spf("192.0.2.1", "ann@example.org", "mx.example.org"), {"example.org": {"TXT": [...]}})
    result = await ask(check_spf("192.0.2.1", "ann@example.org", "mx.example.org"), resolver)

Rules for the author of a check:

- It yields one ``Question``, never a group of them.  What is independent (two signatures, SPF and DKIM) is two checks,
  which a driver may run side by side; a caching resolver joins their equal questions.
- It may yield the same question twice: ``ask`` asks the DNS once for each question of one check.  Names are compared
  without regard to case and without the final dot.
- It is bounded: the number of its questions does not depend on what the answers contain beyond a fixed limit.
- NXDOMAIN and NODATA are facts.  FAILED is temporary; ``Answer.reason`` says what failed.  A driver that has no time
  left answers every further question with FAILED, so a check needs no clock of its own.
- Names are in A-labels.  A name that the DNS cannot carry (an empty label, a label above 63 octets) does not exist.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

from posthouse.core import Answer, Question, Status
from posthouse.mailauth.zone import Zone

__all__ = ["Check", "Resolver", "TIME_LIMIT", "answer", "ask"]

_Result = TypeVar("_Result")

Check: TypeAlias = Generator[Question, Answer, _Result]
"""A judgement under way: yields questions, is sent answers, returns its result."""

TIME_LIMIT = 20.0
"""Seconds that one check may take in all; RFC 7208 §4.6.4 wants 20 s at least."""


class Resolver(Protocol):
    """A DNS resolver, as the resolvers of ``posthouse.net`` and a ``Zone`` are."""

    async def ask(self, question: Question) -> Answer:
        """The answer; failures are answers too (``Status.FAILED``)."""
        ...


def answer(check: Check[_Result], zone: Mapping[str, object] | Zone) -> _Result:
    """The result of a check whose questions a zone answers; no I/O.

    Args:
        check: A check that has not been started.
        zone: A ``Zone``, or the mapping that ``Zone`` takes.

    Raises:
        SettingError: The mapping is no zone.
        TypeError: The zone is no mapping.
        ValueError: The check has been run before.
    """
    look_up = zone.look_up if isinstance(zone, Zone) else Zone(zone).look_up
    asked = False
    try:
        question = next(check)
        asked = True
        while True:  # without a memory: a zone answers an equal question alike, and as fast
            question = check.send(look_up(question))
    except StopIteration as end:
        result: _Result = end.value if asked else _value(end, asked)
        return result


async def ask(check: Check[_Result], resolver: Resolver, *, seconds: float = TIME_LIMIT) -> _Result:
    """The result of a check whose questions a resolver answers.

    Each question of the check is asked once.  A question that is not answered ``seconds`` after the call is given up,
    and it and all later ones are answered with ``Status.FAILED``; the check then ends with a temporary error, or with
    a result that does not need them.

    Args:
        check: A check that has not been started.
        resolver: Where to ask.  ``OSError`` from it counts as a failed question; other exceptions end the call.
        seconds: Time for the whole check.

    Raises:
        ValueError: The check has been run before.
    """
    from asyncio import get_running_loop  # of the judgements' package, only this function waits

    deadline = get_running_loop().time() + seconds
    known: dict[Question, Answer] = {}
    try:
        question = _plain(next(check))
        while True:
            found = known.get(question)
            if found is None:
                found = known[question] = await _in_time(resolver, question, deadline, seconds)
            question = _plain(check.send(found))
    except StopIteration as end:
        result: _Result = _value(end, bool(known))
        return result
    finally:
        check.close()


def _value(end: StopIteration, asked: bool) -> Any:
    """The result of a check that has ended.  Raises ``ValueError`` if it had ended before it was run."""
    if end.value is None and not asked:
        raise ValueError("the check has been run before; make a new one for each run") from None
    return end.value


async def _in_time(resolver: Resolver, question: Question, deadline: float, seconds: float) -> Answer:
    """The resolver's answer, or FAILED at the deadline (a time of the event loop)."""
    from asyncio import timeout_at

    try:
        async with timeout_at(deadline):
            return await resolver.ask(question)
    except TimeoutError:
        reason = f"the {question.kind} record of {question.name} was not had: the check took more than {seconds:g} s"
    except OSError as error:
        reason = f"the {question.kind} record of {question.name} was not had: {error}"
    return Answer(Status.FAILED, reason=reason)


def _plain(question: Question) -> Question:
    """The question with its name in lower case and without the final dot."""
    name = question.name
    plain = name.lower().removesuffix(".")
    return question if plain == name else Question(plain, question.kind)
