"""A series of messages over a pool, without I/O and colour: which are taken from the source, sent together, and given
as results; journal and progress.

Messages are taken in bursts and sent together (``burst``), then their results are given one by one.  The first burst
has one message, each further one twice as many, up to ``ahead`` more than one.  A source that takes its time (50 ms for
one message) ends the burst, so that nothing that was taken waits long for what is not there yet.  At the end of a burst
the connections have no work for a moment; where a burst is sent within 0.1 s this counts, so the next one is longer.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict

from posthouse.core import Address, Bytes, Envelope, LocalError, Outcome, Recipient, Reply, Result
from posthouse.sending.argument_types import check_path, wrong_type
from posthouse.sending.pool.burst import BurstItem, Failures
from posthouse.sending.pool.journal import Journal, results_of
from posthouse.sending.pool.pool_base import PoolCall
from posthouse.sending.pool.pool_limits import Duration, is_number, read_seconds
from posthouse.sending.pool.progress import ProgressLike, ProgressMeter
from posthouse.sending.results import SendResult

if TYPE_CHECKING:
    from posthouse.sending.messages.batches import EnvelopesLike
    from posthouse.sending.messages.message_forms import MessageLike

__all__ = ["SLOW", "SendMany", "SendManyOptions"]

#: Seconds after which a source counts as slow.
SLOW: Final = 0.05
#: Messages for each connection that are taken ahead of the one whose result is awaited, and how many if so many are
#: sent within ``_QUICK`` seconds.
_AHEAD: Final = 4
_QUICK_AHEAD: Final = 32
_QUICK: Final = 0.1
#: Octets of content with which a burst has enough, if it has as many messages as ``_AHEAD`` allows.
_ENOUGH: Final = 16_777_216
_MOST_AHEAD: Final = 10_000
_NO_RECIPIENT: Final = Recipient(Address("unknown", "invalid"))  # RFC 2606 §2


class SendManyOptions(TypedDict, total=False):
    """The options of ``send_many``.

    ``journal``: a file that keeps what was sent, so that the same call after a crash goes on where it ended: messages
    that are done are skipped, and those that may have been sent are given as *ambiguous* and not sent again.
    ``key``: the name of a message in the journal, as a function of it; without it, its place among ``messages``, which
    must be the same then in every run.
    ``ahead``: messages that are taken and sent before the result of the one before them is given; without it, 4 for
    each connection, and up to 32 if so many are sent within 0.1 s, there is no journal, and they have less than 16 MiB
    together.  0 for a source whose next message comes when the result of the last is known.
    ``progress``: a function that is called with a ``Progress`` after each message; or True for a line on standard
    error, if that is a terminal.
    ``timeout``: the time limit of each message.
    """

    journal: str | os.PathLike[str] | None
    key: Callable[[Any], str] | None
    ahead: int | None
    progress: ProgressLike
    timeout: Duration | None


class _CallMaker(Protocol):
    """The part of a pool that is needed here."""

    def calls_of(
        self, message: MessageLike, envelope: EnvelopesLike | None = None, timeout: Duration | None = None
    ) -> list[PoolCall]: ...


class _Member:
    """One message of the series: its place, what the source gave, and its item in a burst or its result."""

    __slots__ = ("earlier", "index", "item", "key", "message", "outcomes", "skipped")

    def __init__(self, index: int, message: object) -> None:
        self.index = index
        self.message = message
        self.key = str(index)
        self.item: BurstItem | None = None
        self.outcomes: tuple[Outcome, ...] = ()  # of a message that is not sent
        self.earlier: tuple[Outcome, ...] = ()  # of recipients who are not tried again
        self.skipped = False


class SendMany:
    """The state of one series; used with ``with``.  ``now`` gives seconds on the monotonic clock."""

    def __init__(
        self,
        pool: _CallMaker,
        size: int,
        options: SendManyOptions,
        total: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        unknown = set(options) - set(SendManyOptions.__annotations__)
        if unknown:
            raise TypeError(f"send_many() has no option {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {**options}
        ahead = values.get("ahead")  # anything, where no type checker has looked
        if ahead is not None and not (is_number(ahead) and 0 <= ahead <= _MOST_AHEAD):
            raise LocalError(f"ahead={ahead!r}: a number of messages, 0 to {_MOST_AHEAD:,}")
        path = options.get("journal")
        _check_types(values)
        self._pool = pool
        #: Connections that failed one after another, in all bursts of the series.
        self.failures = Failures()
        self._now = now
        self._most = self._usual = 1 + (_AHEAD * size if ahead is None else ahead)
        if ahead is None and path is None:  # what a crash leaves ambiguous shall be few messages
            self._most = 1 + _QUICK_AHEAD * size
        self._key = options.get("key")
        self._timeout = options.get("timeout")
        self._journal = None if path is None else Journal(path)
        self._keys: set[str] = set()
        self._meter = ProgressMeter(options.get("progress", False), total)
        self._taken: list[_Member] = []
        self._count = 0
        self._limit = 1  # of the burst that is gathered
        self._octets = 0  # of its content
        self._began = 0.0  # the burst, on the monotonic clock
        self._full = False
        self._over = False

    # -- taking --------------------------------------------------------------------------------------------------------

    @property
    def goes_on(self) -> bool:
        """Whether there may be another burst."""
        return not self._over

    @property
    def wants_more(self) -> bool:
        """Whether another message belongs to the burst that is gathered."""
        return not self._over and not self._full

    @property
    def has_some(self) -> bool:
        """Whether the burst that is gathered has messages."""
        return bool(self._taken)

    def source_ended(self) -> None:
        """There are no more messages."""
        self._over = True

    def gather(self, source: Iterator[Any]) -> None:
        """Take messages of a source that is not asynchronous until the burst has enough."""
        now = time.monotonic
        while not self._full:
            began = now()
            try:
                message = next(source)
            except StopIteration:
                self._over = True
                return
            self.take(message, now() - began)

    def take(self, message: Any, seconds: float) -> None:
        """Add a message, which the source has given after so many seconds."""
        taken = _Member(self._count, message)
        self._count += 1
        try:
            self._prepare(taken)
        except _SkipMessage:
            taken.skipped = True
        members = self._taken
        members.append(taken)
        count = len(members)
        if count >= self._limit or seconds > SLOW or (count >= self._usual and self._octets > _ENOUGH):
            self._full = True

    def gathered(self) -> None:
        """Nothing more is there yet: the burst is what was taken so far."""
        self._full = True

    def _prepare(self, taken: _Member) -> None:
        message: Any = taken.message
        envelope: Any = None
        if isinstance(message, tuple) and len(message) == 2:
            message, envelope = message
            taken.message = message
        try:
            calls = self._pool.calls_of(message, envelope, self._timeout)
            if len(calls) > 1:
                raise LocalError("a message of send_many has one envelope; give a pair for each")
            call = calls[0]
        except LocalError as error:
            reply = Reply(554, "5.6.0", f"not sent: {error}")
            taken.outcomes = (Outcome(_NO_RECIPIENT, Result.FAILED, reply, reply.text),)
            return
        if self._journal is not None:
            call = self._by_journal(self._journal, taken, call)
        content = call.message.content
        self._octets += len(content.data) if type(content) is Bytes else content.size
        taken.item = BurstItem(call)

    def _by_journal(self, journal: Journal, taken: _Member, call: PoolCall) -> PoolCall:
        """The call without the recipients that earlier runs have decided.  Raises ``_SkipMessage`` if none is left."""
        if self._key is not None:
            taken.key = str(self._key(taken.message))
            if taken.key in self._keys:
                raise LocalError(f"two messages have the key {taken.key!r}; the journal could not tell them apart")
        self._keys.add(taken.key)
        envelope = call.message.envelope
        journal.check(taken.key, envelope)
        left, ambiguous = journal.left(taken.key, envelope)
        taken.earlier = tuple(Outcome(each, Result.AMBIGUOUS, None, _CRASHED) for each in ambiguous)
        if not left:
            taken.outcomes = taken.earlier
            raise _SkipMessage
        return call._replace(message=call.message._replace(envelope=envelope._replace(recipients=left)))

    # -- sending -------------------------------------------------------------------------------------------------------

    def begin(self) -> list[BurstItem]:
        """The messages to send now.  Their intents are in the journal when this returns."""
        sent = [each for each in self._taken if each.item is not None]
        if self._journal is not None:
            self._journal.intend([(each.key, _envelope(each)) for each in sent])
        items = [each.item for each in sent if each.item is not None]
        for item in items:
            item.begun = True
        self._began = self._now()
        return items

    def results(self) -> Iterator[SendResult]:
        """The results of the burst, in order; their outcomes are in the journal before the first is given.  Raises the
        exception of a burst that found no connection, behind the results of what was tried."""
        taken, self._taken = self._taken, []
        quick = self._now() - self._began < _QUICK
        self._limit = min(2 * self._limit, self._most if quick else self._usual)
        self._octets = 0
        self._full = False
        failure: Exception | None = None
        untried: list[_Member] = []
        while taken and (item := taken[-1].item) is not None and item.error is not None and not item.tried:
            failure = item.error
            untried.append(taken.pop())
            self._over = True
        self._settle(taken, untried)
        meter = self._meter if self._meter.shows else None
        for each in taken:
            item = each.item
            delivered = None if item is None else item.delivered
            queue_id = ""
            if delivered is None or each.earlier:
                outcomes = _outcomes(each)
            else:
                outcomes, queue_id = delivered.outcomes, delivered.queue_id
            if meter is not None:
                meter.count(outcomes, skipped=each.skipped)
            if outcomes or not each.skipped:
                yield SendResult(outcomes, queue_id=queue_id, index=each.index, message=each.message)
        if failure is not None:
            raise failure

    def _settle(self, ended: list[_Member], untried: list[_Member]) -> None:
        if self._journal is not None:
            settled = [(each.key, results_of(_outcomes(each))) for each in ended if each.item is not None]
            self._journal.settle([*settled, *((each.key, {}) for each in untried)])

    # -- the end -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> SendMany:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._meter.close()
        if self._journal is not None:
            try:
                if error is not None:
                    self._interrupted()
            finally:
                self._journal.close()

    def _interrupted(self) -> None:
        """Write what is known of a burst that was interrupted; the rest stays ambiguous."""
        begun = [each for each in self._taken if each.item is not None and each.item.begun]
        for each in begun:
            item = each.item
            if item is not None and item.delivered is None and item.sending is not None and item.sending.done:
                with contextlib.suppress(Exception):
                    item.delivered = item.sending.end(0.0)
        ended = [each for each in begun if each.item is not None and each.item.delivered is not None]
        self._settle(ended, [each for each in begun if each.item is not None and not each.item.tried])


def _check_types(values: dict[str, Any]) -> None:
    """Check the options that are used later only.  Raises ``LocalError``."""
    journal, key, progress, timeout = (values.get(each) for each in ("journal", "key", "progress", "timeout"))
    if journal is not None:
        check_path("journal", journal)
    if key is not None and not callable(key):
        raise wrong_type("key", "a function that gives the name of a message", key)
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise wrong_type("progress", "True, or a function that is called after each message", progress)
    if timeout is not None:
        read_seconds(timeout, "timeout")


class _SkipMessage(Exception):
    """An earlier run has decided every recipient."""


_CRASHED: Final = (
    "an earlier run had begun to send this message and did not write what became of it; it may have arrived"
)


def _envelope(taken: _Member) -> Envelope:
    assert taken.item is not None, "a message that is sent"
    return taken.item.call.message.envelope


def _outcomes(taken: _Member) -> tuple[Outcome, ...]:
    """The outcomes of a message that has ended: those of earlier runs, and of this one."""
    item = taken.item
    if item is None:
        return taken.outcomes
    if item.delivered is not None:
        return (*taken.earlier, *item.delivered.outcomes) if taken.earlier else item.delivered.outcomes
    recipients = item.call.message.envelope.recipients
    if isinstance(item.error, LocalError):
        reply = Reply(554, "5.6.0", f"not sent: {item.error}")
        return (*taken.earlier, *(Outcome(each, Result.FAILED, reply, reply.text) for each in recipients))
    return (*taken.earlier, *(Outcome(each, Result.DEFERRED, None, f"not sent: {item.error}") for each in recipients))
