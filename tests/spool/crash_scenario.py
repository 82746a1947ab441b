"""Scenario for the crash tests: a spool is used in every way, and may be stopped after its n-th durable act.

    python crash_scenario.py DATA_DIR N           N < 0: never stopped
    python crash_scenario.py TEMPLATE PLACE all   once for each n, until it is not stopped any more: in a copy of
                                                  TEMPLATE at PLACE/n, with its output in PLACE/n.told

It prints a line for each operation.  The crash tests run it in a process of its own; the tests of a failing disk and of
failing power run it in theirs.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from posthouse.core import Address, Bytes, Envelope, Outcome, Recipient, Result, StorageError
from posthouse.spool import Condition, Durable, QueueAction, RecipientState, Report, Settlement, SqliteSpool, Stored

NOW = 1_700_000_000.0
SMALL = b"Subject: small\r\n\r\n.\r\n" * 10
LARGE = bytes(range(256)) * 1200  # in a file
LATER = NOW + 8 * 86_400  # stories are forgotten by then
ACTS = ("make_directory", "open_temp", "write", "sync", "rename", "sync_directory", "unlink", "commit")


def after_each_act(durable: Durable, then: Callable[[], None], before: Callable[[], None] = lambda: None) -> Durable:
    """The acts of ``durable``, with a call before and after each."""

    def around(act: Callable[..., object]) -> Callable[..., object]:
        def doing(*arguments: object) -> object:
            before()
            result = act(*arguments)
            then()
            return result

        return doing

    for name in ACTS:
        setattr(durable, name, around(getattr(durable, name)))
    return durable


def stopping(at: int) -> Durable:
    """Stops the process after its n-th act, as a crash would: nothing is tidied."""
    left = at

    def then() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os._exit(7)

    return after_each_act(Durable(), then)


def tell(*words: object) -> None:
    """One line, in one write, so that it is out before the next act."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def store(queue: SqliteSpool, content: bytes, *addresses: str, owner: str = "w") -> Stored:
    """Store one message; its first octets are known last."""
    receipt = queue.receive()
    prefix = content[:50]
    try:
        for start in range(50, len(content), 100_000):
            waiting = receipt.write(content[start : start + 100_000])
            if waiting is not None:
                await waiting
        envelope = Envelope(Address("a", "sohu.com"), tuple(Recipient(Address(*a.split("@"))) for a in addresses))
        places = [address.split("@")[1] for address in addresses]
        return await receipt.commit(
            envelope, places, received=NOW, due=NOW, prefix=prefix, owner=owner, until=NOW + 3600
        )
    finally:
        receipt.abort()


class Calendar:
    """The calendar of the spool."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """Calendar seconds."""
        return self.now

    def stopwatch(self) -> float:
        """The clock goes as the stopwatch does."""
        return self.now - NOW


def settlements(stored: Stored, state: RecipientState, due: float = NOW) -> list[Settlement]:
    """All recipients of its first work end so."""
    return [
        Settlement(w.key, state, due, Outcome(w.recipient, Result.DELIVERED, None, "so it goes"))
        for w in stored.leases[0].recipients
    ]


async def live(queue: SqliteSpool, tell: Callable[..., None], calendar: Calendar) -> None:
    """Accept small and large, deliver partly, defer, report, keep, abort, finish; then operators; then oblivion."""

    async def attempt(*words: object, act: Callable[[], object]) -> bool:
        """Tell what is begun and whether it was done; a disk that fails does not end the scenario."""
        tell("begun", *words)
        try:
            await act()  # type: ignore[misc]
        except StorageError as error:
            tell("refused", *words, type(error).__name__)
            return False
        tell("done", *words)
        return True

    async def accept(content: bytes, *addresses: str) -> Stored | None:
        try:
            stored = await store(queue, content, *addresses)
        except StorageError as error:
            tell("notstored", type(error).__name__)
            return None
        tell("promised", stored.message.id, hashlib.sha256(content).hexdigest(), addresses[0].split("@")[1])
        return stored

    small = await accept(SMALL, "b@x.test")
    large = await accept(LARGE, "b@x.test", "c@y.test")
    if small is not None:
        done = settlements(small, RecipientState.DELIVERED)
        await attempt("settle", small.message.id, act=lambda: queue.record(small.leases[0], done))
    other = await accept(SMALL, "d@z.test")
    if other is not None:
        report = Report(Envelope(None, (Recipient(Address("a", "sohu.com")),)), b"sorry\r\n", ("sohu.com",), NOW)
        failed = settlements(other, RecipientState.FAILED)
        await attempt("settle", other.message.id, act=lambda: queue.record(other.leases[0], failed, [report]))
    aborted = queue.receive()
    aborted.write(LARGE)
    aborted.abort()
    if large is not None:
        again = settlements(large, RecipientState.DELIVERED)
        await attempt("part", large.message.id, act=lambda: queue.record(large.leases[0], again))
        await attempt("keep", large.message.id, act=lambda: queue.keep("me", large.message, Bytes(LARGE)))
        rest = large._replace(leases=large.leases[1:])
        last = settlements(rest, RecipientState.DELIVERED)
        await attempt("settle", large.message.id, act=lambda: queue.record(rest.leases[0], last))
    await accept(LARGE, "e@x.test")
    late = await accept(SMALL, "f@x.test", "g@x.test")
    if late is not None:
        deferred = settlements(late, RecipientState.WAITING, NOW + 900)
        await attempt("defer", late.message.id, act=lambda: queue.record(late.leases[0], deferred))
    await operate(queue, accept, attempt)
    calendar.now = LATER
    await attempt("tidy", act=queue.tidy)


async def operate(queue: SqliteSpool, accept: Callable[..., object], attempt: Callable[..., object]) -> None:
    """Hold, release, reroute, retry; drop one of large and one of small content, with a report for each."""
    await accept(SMALL, "h@held.test", "i@held.test")  # type: ignore[misc]
    await accept(LARGE, "j@held.test")  # type: ignore[misc]
    everybody, one = [Condition("domain", "=", "held.test")], [Condition("to", "=", "h@held.test")]
    sorry = Report(Envelope(None, (Recipient(Address("a", "sohu.com")),)), b"dropped\r\n", ("sohu.com",), NOW)

    async def compose(*_: object) -> list[Report]:
        return [sorry]

    for act, who, target, report in (
        (QueueAction.HOLD, everybody, "", None),
        (QueueAction.RELEASE, one, "", None),
        (QueueAction.REROUTE, one, "smtp://other:25", None),
        (QueueAction.RETRY, one, "", None),
        (QueueAction.DROP, everybody, "", compose),
    ):
        await attempt(  # type: ignore[misc]
            "act",
            act.value,
            act=lambda act=act, who=who, target=target, report=report: queue.act(
                act, who, now=NOW, who="root", target=target, report=report
            ),
        )


async def main(directory: str, durable: Durable) -> None:
    """Run the scenario once."""
    calendar = Calendar()
    queue = SqliteSpool(directory, durable=durable, time=calendar, stopwatch=calendar.stopwatch)
    await queue.open(NOW)
    tell("open")
    await live(queue, tell, calendar)
    await queue.close()
    tell("closed")


def each(template: Path, place: Path) -> None:
    """Run the scenario once for each act, each time in a process of its own."""
    code, act = 7, 0
    while code == 7 and act < 300:
        act += 1
        shutil.copytree(template, place / str(act))
        child = os.fork()
        if child == 0:
            reported = os.open(place / f"{act}.told", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.dup2(reported, 1)
            asyncio.run(main(str(place / str(act)), stopping(act)))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.exit(code)


if __name__ == "__main__":
    if sys.argv[3:] == ["all"]:
        each(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        asyncio.run(main(sys.argv[1], stopping(int(sys.argv[2]))))
