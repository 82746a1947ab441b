"""The crash table: a process stops after each of its durable acts, and a disk fails at each of them."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import random
import runpy
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from posthouse.spool import Accepted, AttemptEvent, Condition, Durable, QueueEvent, RecipientState, SqliteSpool
from posthouse.spool.ids import number_of
from posthouse.spool.sqlite.rows import ACTION_EVENTS
from posthouse.testing.power_loss import PowerLoss
from posthouse.testing.queue_listing import unfinished

pytestmark = pytest.mark.leaves_open("spools that are given up as a crash does")
SCRIPT = Path(__file__).with_name("crash_scenario.py")
SCENARIO = runpy.run_path(str(SCRIPT))
NOW = SCENARIO["NOW"]


def digest(content) -> str:
    return hashlib.sha256(b"".join(content.chunks())).hexdigest()


def files_of(directory: Path) -> set[int]:
    return {number_of(path.name) or 0 for path in (directory / "spool" / "content").glob("*/*")}


async def check_table(directory: Path, lines: Sequence[str]) -> None:
    """What is left after a scenario that printed these lines is a state of the table."""
    queue = SqliteSpool(directory, time=lambda: NOW)
    said = await queue.open(NOW)
    assert not [sentence for sentence in said if "corrupt" in sentence]

    assert list((directory / "spool" / "tmp").iterdir()) == [], "S1 was not swept"
    with sqlite3.connect(directory / "spool" / "queue.sqlite3") as connection:
        promised_files = {number for (number,) in connection.execute("SELECT id FROM file")}
    connection.close()
    assert files_of(directory) == promised_files, "S2 was not swept, or promised content is gone"

    told = [line.split() for line in lines]
    begun = {words[2] for words in told if words[:2] == ["begun", "settle"]}
    done = {words[2] for words in told if words[:2] == ["done", "settle"]}
    refused = {words[2] for words in told if words[0] == "refused" and words[1] in ("settle", "part")}
    dropping = ["begun", "act", "drop"] in told
    for words in told:
        if words[0] != "promised":
            continue
        entry = await queue.queries.entry(words[1])
        if words[1] in done - refused:
            assert entry is None, "finished, and still there"
        elif (words[1] not in begun or words[1] in refused) and not (words[3] == "held.test" and dropping):
            assert entry is not None, "promised, and lost"
        if entry is not None:
            assert digest(await queue.open_content(entry.message)) == words[2]
            assert any(waiting.state in (RecipientState.WAITING, RecipientState.HELD) for waiting in entry.recipients)
            assert await queue.queries.history(words[1]), "it waits, and its story is lost"
    kept = [words[2] for words in told if words[:2] == ["done", "keep"]]
    assert set(kept) <= {message.queue_id for message in await queue.queries.inbox("me")}
    for message in await queue.queries.inbox():
        found = await queue.queries.kept(message.number)
        assert found is not None
        assert digest(found[1]) == hashlib.sha256(SCENARIO["LARGE"]).hexdigest()
    await check_stories(queue, told)

    # The dead owner's leases ended: everything that waits is due now, or when its attempt said.
    count = await queue.queries.count([Condition("state", "=", "waiting")])
    works = await queue.lease("next", NOW + 900, NOW + 960, limit=1000)
    assert sum(len(work.recipients) for work in works) == count
    for work in works:
        assert (await queue.open_content(work.message)).size == work.message.size
    await queue.close()


async def check_stories(queue: SqliteSpool, told: Sequence[Sequence[str]]) -> None:
    """What was done together is told together: attempts, reports, acts and the audit log."""
    tidied = ["begun", "tidy"] in told
    reported: set[str] = set()
    notes: dict[str, int] = {}
    for line in await queue.queries.find(limit=1000):
        events = await queue.queries.history(line.id)
        assert isinstance(events[0], Accepted)
        ended: set[int] = set()
        for event in events[1:]:
            if isinstance(event, AttemptEvent):
                ended |= {end.key for end in event.ends if end.state in ("delivered", "failed")}
            elif isinstance(event, QueueEvent):
                if event.kind == "dropped":
                    ended |= set(event.keys)
                if event.kind == "reported":
                    reported.add(event.text)
                notes[event.kind] = notes.get(event.kind, 0) + len(event.keys)
        assert line.waiting is (len(ended) < len(line.recipients)), "it went, and nobody tells how"
    waiting = {entry.message.id for entry in await unfinished(queue) if entry.message.envelope.sender is None}
    if tidied:
        assert reported <= waiting
    else:
        assert reported == waiting, "a report without its cause, or a cause without its report"
    audit = {line.act: line.changed for line in await queue.queries.audit()}
    done = {words[2] for words in told if words[:2] == ["done", "act"]}
    assert done <= set(audit)
    for act, name in ACTION_EVENTS.items():
        if act.value in audit and not tidied:  # the dropped ones' stories tell it
            assert notes.get(name, 0) == audit[act.value]
    if ["done", "tidy"] in told:
        assert {line.id for line in await queue.queries.find(limit=1000)} == {
            entry.message.id for entry in await unfinished(queue)
        }, "a story was not forgotten"


async def make_empty(directory: Path) -> None:
    queue = SqliteSpool(directory)
    await queue.open(NOW)
    await queue.close()


def test_stopped_after_each_act(tmp_path: Path) -> None:
    asyncio.run(make_empty(tmp_path / "template"))
    (tmp_path / "lives").mkdir()
    command = [sys.executable, str(SCRIPT), str(tmp_path / "template"), str(tmp_path / "lives"), "all"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    acts = len(list((tmp_path / "lives").glob("*.told")))
    for act in range(1, acts + 1):
        lines = (tmp_path / "lives" / f"{act}.told").read_text().splitlines()
        asyncio.run(check_table(tmp_path / "lives" / str(act), lines))
    assert lines[-1] == "closed"
    # Commits, and for five large files open, 2 or 3 writes, sync, rename, directory sync, and an unlink of most
    assert acts > 45


def run_until(directory: Path, act: int) -> list[str]:
    command = [sys.executable, str(SCRIPT), str(directory), str(act)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode in (0, 7), ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.parametrize("act", [1, 2, 5, 33, 34, 35, 36, 37, 38, 39, 40])
def test_stopped_while_it_was_made(tmp_path: Path, act: int) -> None:
    lines = run_until(tmp_path / "data", act)
    assert "promised" not in " ".join(lines) or act > 38
    asyncio.run(check_table(tmp_path / "data", lines))


def failing(at: int, error: int, lasting: int) -> Durable:
    """Fails at the n-th act and the next few; unlinking works on a full disk."""
    count = 0

    def before() -> None:
        nonlocal count
        count += 1
        if at <= count < at + lasting:
            raise OSError(error, "no such luck")

    durable = Durable()
    unlink = durable.unlink
    durable = SCENARIO["after_each_act"](durable, lambda: None, before)
    if error == errno.ENOSPC:
        durable.unlink = unlink  # type: ignore[method-assign]
    return durable


@pytest.mark.parametrize(("error", "lasting"), [(errno.ENOSPC, 3), (errno.EIO, 1)])
def test_disk_fails_at_each_act(tmp_path: Path, error: int, lasting: int) -> None:
    asyncio.run(make_empty(tmp_path / "template"))

    async def life(directory: Path, act: int) -> list[str]:
        lines: list[str] = []
        calendar = SCENARIO["Calendar"]()
        queue = SqliteSpool(directory, durable=Durable(), time=calendar, stopwatch=calendar.stopwatch)
        await queue.open(NOW)
        # The disk is well while the spool opens; the fake is in every act from here on.
        fake = failing(act, error, lasting)
        for name in SCENARIO["ACTS"]:
            setattr(queue._durable, name, getattr(fake, name))
        await SCENARIO["live"](queue, lambda *words: lines.append(" ".join(map(str, words))), calendar)
        await queue.close()
        return lines

    act, failures = 0, 0
    while True:
        act += 1
        directory = tmp_path / str(act)
        shutil.copytree(tmp_path / "template", directory)
        lines = asyncio.run(life(directory, act))
        asyncio.run(check_table(directory, lines))
        refusals = [line.split()[-1] for line in lines if line.startswith(("refused", "notstored"))]
        if error == errno.ENOSPC:
            assert set(refusals) <= {"StorageFull"}
        failures += bool(refusals)
        promised = sum(line.startswith("promised") for line in lines)
        assert promised >= 7 - lasting, "it did not recover"
        if promised == 7 and not refusals and act > 50:
            break
        assert act < 200
        shutil.rmtree(directory)
    assert failures > 30


# -- power ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nothing survives", "chance", "torn"])
def test_power_fails_at_each_act(tmp_path: Path, kind: str) -> None:
    """One scenario; after each of its acts, what a machine would find that lost its power there."""
    asyncio.run(make_empty(tmp_path / "template"))
    lines: list[str] = []
    told: dict[int, list[str]] = {}
    chance = random.Random(5)

    def fail(act: int) -> None:
        told[act] = list(lines)  # first: what is told from now on is promised by nobody
        durable.image(tmp_path / str(act) / "spool", chance if kind == "chance" else None)

    hooks = {"during_commit": fail} if kind == "torn" else {"after": fail}
    durable = PowerLoss(tmp_path / "template" / "spool", **hooks)

    async def life() -> None:
        calendar = SCENARIO["Calendar"]()
        queue = SqliteSpool(tmp_path / "template", durable=durable, time=calendar, stopwatch=calendar.stopwatch)
        await queue.open(NOW)
        await SCENARIO["live"](queue, lambda *words: lines.append(" ".join(map(str, words))), calendar)
        await queue.close()

    asyncio.run(life())
    assert sum(line.startswith("promised") for line in lines) == 7
    assert len(told) > (15 if kind == "torn" else 45)
    for act, known in told.items():
        asyncio.run(check_table(tmp_path / str(act), known))


def test_power_fails_while_it_is_made(tmp_path: Path) -> None:
    durable = PowerLoss(tmp_path / "data" / "spool", after=lambda act: durable.image(tmp_path / str(act) / "spool"))

    async def life() -> None:
        queue = SqliteSpool(tmp_path / "data", durable=durable)
        await queue.open(NOW)
        await queue.close()

    asyncio.run(life())
    assert durable.acts > 30
    for act in range(1, durable.acts + 1):
        asyncio.run(check_table(tmp_path / str(act), []))


def test_the_fake_finds_a_sync_that_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it not so, the tests above would prove nothing."""
    asyncio.run(make_empty(tmp_path / "template"))
    monkeypatch.setattr(PowerLoss, "sync", lambda self, descriptor: None)
    durable = PowerLoss(tmp_path / "template" / "spool")
    lines: list[str] = []

    async def life() -> None:
        queue = SqliteSpool(tmp_path / "template", durable=durable)
        await queue.open(NOW)
        stored = await SCENARIO["store"](queue, SCENARIO["LARGE"], "b@x.test")
        lines.append(f"promised {stored.message.id} {hashlib.sha256(SCENARIO['LARGE']).hexdigest()} x.test")
        durable.image(tmp_path / "image" / "spool")
        await queue.close()

    asyncio.run(life())
    with pytest.raises(AssertionError, match="corrupt"):
        asyncio.run(check_table(tmp_path / "image", lines))
