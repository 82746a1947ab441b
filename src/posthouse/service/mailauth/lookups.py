"""DNS look-ups about one message: asked early, each once, side by side, and in a bounded time.

``MessageLookups.run`` drives a check (``mailauth.questions``).  While the answers are known, which they nearly always
are for the domains that send much mail, it runs to its end at once and nothing waits; at the first question that has to
be asked it becomes a task.  ``prefetch`` asks a question that a later check will have, so that its answer comes while
the content still arrives.

The bounds: ``MailResolver`` has at most so many questions on the wire, a tenth of them about one domain; a message has
``seconds`` from its first wait on and ``MOST_QUESTIONS`` questions.  What is not answered then is answered with
``Status.FAILED``, and the checks end with temporary errors.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, TypeVar
from weakref import WeakValueDictionary

from posthouse.core import Answer, Question, Status
from posthouse.mailauth.questions import Check
from posthouse.net import CachingResolver, Clock, Resolver, Timer

__all__ = ["KnowingResolver", "MOST_QUESTIONS", "MailResolver", "MessageLookups"]

#: Questions about one message that are asked in all; a check is bounded too, and a message has several.
MOST_QUESTIONS: Final = 400

_Result = TypeVar("_Result")


class KnowingResolver(Protocol):
    """A resolver that says what it knows already."""

    def known(self, question: Question) -> Answer | None:
        """The answer, without waiting; None if the question has to be asked."""
        ...

    async def ask(self, question: Question) -> Answer:
        """The answer; failures are answers too."""
        ...


class _Bounded:
    """Resolver that passes on so many questions at a time, and of them a tenth about one domain; the others wait in
    turn.  A domain that never answers, which a message may name a hundred times, keeps nobody else waiting."""

    def __init__(self, resolver: Resolver, most: int) -> None:
        self._resolver = resolver
        self._turnstile = asyncio.Semaphore(most)
        self._of_one = max(1, most // 10)
        self._domains: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def ask(self, question: Question) -> Answer:
        domain = _registered(question.name)
        turn = self._domains.get(domain)
        if turn is None:
            turn = self._domains[domain] = asyncio.Semaphore(self._of_one)
        async with turn, self._turnstile:
            return await self._resolver.ask(question)


def _registered(name: str) -> str:
    """The part of a name that somebody has registered, roughly: two labels, or three if the second is short (co.uk)."""
    labels = name.lower().removesuffix(".").split(".")
    return ".".join(labels[-3 if len(labels) > 2 and len(labels[-2]) <= 3 else -2 :])


class MailResolver:
    """The resolver of message authentication in one process: cached, without equal questions under way, and with at
    most ``questions`` on the wire.

    Its cache is its own, so that a flood of strange domains does not displace what the relay knows.
    """

    def __init__(self, resolver: Resolver, clock: Clock, *, questions: int) -> None:
        self._cache = CachingResolver(_Bounded(resolver, questions), clock)

    def known(self, question: Question) -> Answer | None:
        return self._cache.known(question)

    async def ask(self, question: Question) -> Answer:
        return await self._cache.ask(question)


class MessageLookups:
    """The look-ups about one message; ``close`` ends those that are under way."""

    __slots__ = ("_answers", "_asking", "_clock", "_late", "_resolver", "_seconds", "_tasks", "_timer")

    def __init__(self, resolver: KnowingResolver, clock: Clock, seconds: float) -> None:
        self._resolver = resolver
        self._clock = clock
        self._seconds = seconds
        self._answers: dict[Question, Answer] = {}
        self._asking: dict[Question, asyncio.Task[Answer]] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._late: asyncio.Future[None] | None = None  # done when the time is over
        self._timer: Timer | None = None

    @property
    def is_late(self) -> bool:
        """Whether the time is over."""
        return self._late is not None and self._late.done()

    def prefetch(self, question: Question) -> None:
        """Ask a question whose answer will be needed, unless it is known."""
        question = _plain(question)
        if self._known(question) is None and question not in self._asking and len(self._asking) < MOST_QUESTIONS:
            self._begin(question)

    def run(self, check: Check[_Result]) -> _Result | asyncio.Task[_Result]:
        """The result of a check that has not been started, or the task that will have it."""
        try:
            question = _plain(next(check))
            while True:
                answer = self._known(question)
                if answer is None:
                    task = asyncio.get_running_loop().create_task(self._go_on(check, question))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                    return task
                question = _plain(check.send(answer))
        except StopIteration as end:
            result: _Result = end.value
            return result

    def close(self) -> None:
        """End what is under way; tasks of ``run`` are cancelled."""
        for task in (*self._tasks, *self._asking.values()):
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def _known(self, question: Question) -> Answer | None:
        found = self._answers.get(question)
        return self._resolver.known(question) if found is None else found

    async def _go_on(self, check: Check[_Result], question: Question) -> _Result:
        """The result of a check that has asked ``question``."""
        try:
            while True:
                answer = self._known(question)
                if answer is None:
                    answer = await self._answer(question)
                question = _plain(check.send(answer))
        except StopIteration as end:
            result: _Result = end.value
            return result

    async def _answer(self, question: Question) -> Answer:
        asking = self._asking.get(question)
        if asking is None:
            if len(self._asking) >= MOST_QUESTIONS:
                return _failed(question, f"the message has led to {MOST_QUESTIONS} questions")
            asking = self._begin(question)
        late = self._late
        if late is None:
            late = self._late = asyncio.get_running_loop().create_future()
            self._timer = self._clock.call_later(self._seconds, self._expire)
        if not late.done():
            await asyncio.wait((asking, late), return_when=asyncio.FIRST_COMPLETED)
        if asking.done() and not asking.cancelled():
            return asking.result()
        answer = _failed(question, f"the look-ups about this message took more than {self._seconds:g} s")
        self._answers[question] = answer
        return answer

    def _begin(self, question: Question) -> asyncio.Task[Answer]:
        task = asyncio.get_running_loop().create_task(self._ask(question))
        self._asking[question] = task
        return task

    async def _ask(self, question: Question) -> Answer:
        try:
            answer = await self._resolver.ask(question)
        except Exception as error:  # a resolver that breaks its contract
            answer = _failed(question, f"{type(error).__name__}: {error}")
        return self._answers.setdefault(question, answer)

    def _expire(self) -> None:
        if self._late is not None and not self._late.done():
            self._late.set_result(None)


def _plain(question: Question) -> Question:
    """The question with its name in lower case and without the final dot."""
    name = question.name
    plain = name.lower().removesuffix(".")
    return question if plain == name else Question(plain, question.kind)


def _failed(question: Question, why: str) -> Answer:
    return Answer(Status.FAILED, reason=f"the {question.kind} record of {question.name} was not had: {why}")
