"""The result of sending one message: one ``Outcome`` for each recipient, and exceptions for those who prefer them.

A refused recipient is a value and not an exception, because the others may have got the message.  Such a value is
easily dropped, so a result with failures that is collected before its caller has looked at it emits
``UnseenFailureWarning``, as Python does for a coroutine that was never awaited.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NoReturn

from posthouse.core import Address, Outcome, PosthouseError, Result, path_text

__all__ = ["Ambiguous", "SendFailed", "SendResult", "UnseenFailureWarning"]

#: Recipients that the text of ``SendFailed`` names; the result has all of them.
_NAMED: Final = 3
#: An attribute of an enumeration costs ten times a global name, and this one is asked for each message.
_DELIVERED: Final = Result.DELIVERED


class UnseenFailureWarning(RuntimeWarning):
    """A ``SendResult`` with recipients who did not get the message was dropped before anything looked at it."""


class SendFailed(PosthouseError):
    """Not every recipient got the message; raised by ``SendResult.raise_for_failures``.  ``result`` says who did."""

    def __init__(self, message: str, result: SendResult) -> None:
        super().__init__(message)
        self.result = result
        self.transcript = result.transcript
        result.ok  # noqa: B018 - whoever has this exception has seen the failures

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.result)


class Ambiguous(SendFailed):
    """At least one recipient may or may not have got the message (RFC 5321 §4.5.4.1).  Sent again, it may arrive twice:
    keep its Message-ID, by which receivers can tell."""


class SendResult:
    """The outcomes of one message, in the order of its envelope.  Immutable, hashable and picklable.

    ``result["a@x.example"]`` is the outcome of one recipient, iteration gives all, and the truth of a result is ``ok``.
    All of these count as looking at the result, and so do ``raise_for_failures``, the four tuples, ``to_json``,
    ``repr`` and pickling.

    Args:
        outcomes: One for each recipient.
        queue_id: The identifier under which a queue holds the message (``spool:``), or where ``file:`` has stored it.
        transcript: The lines of the dialogue, ``S: `` sent and ``R: `` received, without the secrets of a login;
            empty unless it was asked for.
        index: The place of the message among those that were given to ``send_many``.
        message: The message that the result is about, as it was given to ``send_many``.
    """

    __slots__ = ("_outcomes", "_seen", "index", "message", "queue_id", "transcript")

    index: int
    message: object
    queue_id: str
    transcript: tuple[str, ...]
    _outcomes: tuple[Outcome, ...]
    _seen: bool

    def __init__(
        self,
        outcomes: Iterable[Outcome],
        *,
        queue_id: str = "",
        transcript: Iterable[str] = (),
        index: int = 0,
        message: object = None,
    ) -> None:
        put = object.__setattr__
        put(self, "_seen", True)  # until all is in place: an exception above leaves nothing to warn of
        put(self, "_outcomes", tuple(outcomes))
        put(self, "queue_id", queue_id)
        put(self, "transcript", tuple(transcript))
        put(self, "index", index)
        put(self, "message", message)
        put(self, "_seen", False)

    # -- what is asked of a result ------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether every recipient's message was handed over."""
        object.__setattr__(self, "_seen", True)
        outcomes = self._outcomes
        if len(outcomes) == 1:  # a generator costs more than the question
            return outcomes[0].result is _DELIVERED
        return all(each.result is _DELIVERED for each in outcomes)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes of all recipients."""
        super().__setattr__("_seen", True)
        return self._outcomes

    @property
    def delivered(self) -> tuple[Outcome, ...]:
        """Recipients for whom the server is responsible now."""
        return self._with(Result.DELIVERED)

    @property
    def deferred(self) -> tuple[Outcome, ...]:
        """Recipients who did not get the message, and for whom it may be accepted later."""
        return self._with(Result.DEFERRED)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Recipients who were refused for good."""
        return self._with(Result.FAILED)

    @property
    def ambiguous(self) -> tuple[Outcome, ...]:
        """Recipients of whom it is not known whether they got the message."""
        return self._with(Result.AMBIGUOUS)

    def raise_for_failures(self) -> SendResult:
        """Return this result if it is ``ok``.  Raises ``Ambiguous`` if an outcome is ambiguous, else ``SendFailed``."""
        outcomes = self._outcomes
        if (len(outcomes) == 1 and outcomes[0].result is _DELIVERED) or self.ok:
            return self
        bad = [each for each in self._outcomes if each.result is not Result.DELIVERED]
        said = "; ".join(f"{each.recipient.address} {each.result}: {each.reason}" for each in bad[:_NAMED])
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        text = f"{len(bad)} of {len(self._outcomes)} recipients did not get the message: {said}{more}"
        raise (Ambiguous if self.ambiguous else SendFailed)(text, self)

    def __bool__(self) -> bool:
        return self.ok

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)

    def __getitem__(self, address: str | Address) -> Outcome:
        """The outcome of a recipient, by its address; the domain's case and form (U-labels or A-labels) do not matter.
        Raises ``KeyError``."""
        wanted = _key(address)
        for each in self.outcomes:
            if _key(each.recipient.address) == wanted:
                return each
        raise KeyError(f"{address} is no recipient of this message")

    def __contains__(self, address: object) -> bool:
        return isinstance(address, str | Address) and any(
            _key(each.recipient.address) == _key(address) for each in self._outcomes
        )

    # -- as a value ---------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """One JSON object: ``ok``, ``queue_id``, ``outcomes`` (each with address, result, code, enhanced code, text,
        reason, peer, phase, elapsed in seconds), and ``transcript`` if there is one."""
        import json

        outcomes = [_as_object(each) for each in self.outcomes]
        found: dict[str, Any] = {"ok": self.ok, "queue_id": self.queue_id, "outcomes": outcomes}
        if self.transcript:
            found["transcript"] = list(self.transcript)
        return json.dumps(found, ensure_ascii=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SendResult):
            return NotImplemented
        return self._outcomes == other._outcomes and self.queue_id == other.queue_id

    def __hash__(self) -> int:
        return hash((self._outcomes, self.queue_id))

    def __reduce__(self) -> tuple[Any, ...]:
        values = (self.outcomes, self.queue_id, self.transcript, self.index, self.message)
        return _restored, values

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(found)} {result}" for result in Result if (found := self._with(result)))
        return f"<SendResult: {counts or 'no recipients'}>"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a SendResult cannot be changed ({name})")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a SendResult cannot be changed ({name})")

    def __del__(self) -> None:
        if self._seen:
            return
        outcomes = self._outcomes
        if len(outcomes) == 1 and outcomes[0].result is _DELIVERED:
            return
        if all(each.result is _DELIVERED for each in outcomes):
            return
        import warnings

        bad = [each for each in self._outcomes if each.result is not Result.DELIVERED]
        text = (
            f"{len(bad)} of {len(self._outcomes)} recipients did not get a message, and nothing looked at the result: "
            f"{bad[0].recipient.address} {bad[0].result}: {bad[0].reason}.  Look at result.ok, or call "
            "result.raise_for_failures()"
        )
        warnings.warn(text, UnseenFailureWarning, stacklevel=2, source=self)

    def _with(self, result: Result) -> tuple[Outcome, ...]:
        return tuple(each for each in self.outcomes if each.result is result)


def _restored(
    outcomes: tuple[Outcome, ...], queue_id: str, transcript: tuple[str, ...], index: int, message: object
) -> SendResult:
    """A result that was pickled."""
    return SendResult(outcomes, queue_id=queue_id, transcript=transcript, index=index, message=message)


def _as_object(outcome: Outcome) -> dict[str, Any]:
    reply = outcome.reply
    return {
        "address": path_text(outcome.recipient.address),
        "result": outcome.result.value,
        "code": None if reply is None else reply.code,
        "enhanced": "" if reply is None else reply.enhanced,
        "text": "" if reply is None else reply.text,
        "reason": outcome.reason,
        "peer": outcome.peer,
        "phase": str(outcome.phase),
        "elapsed": round(outcome.elapsed, 6),
    }


def _key(address: str | Address) -> str:
    """The form that all spellings of one recipient's address share."""
    text = str(address)
    local, at, domain = text.rpartition("@")
    if not domain.isascii():
        from posthouse.protocol.grammar import GrammarError, domain_to_ascii

        try:
            domain = domain_to_ascii(domain)
        except GrammarError:
            return text
    return f"{local}{at}{domain.lower()}"
