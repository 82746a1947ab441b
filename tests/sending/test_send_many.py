"""Series of messages over pools of all colours: order, laziness, progress, retries, journals, and crashes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from math import inf
from pathlib import Path
from typing import Any

import pytest

from posthouse.client.deadline import Deadline
from posthouse.core import Address, CannotConnect, LocalError, Outcome, Phase, Recipient, Result, TimedOut
from posthouse.net import SystemClock
from posthouse.sending.connection.dialogue_record import DialogueRecord
from posthouse.sending.messages.outgoing import outgoing
from posthouse.sending.pool import AsyncPool, Pool, Progress
from posthouse.sending.pool.burst import BurstItem, Line, ReplaceStep, TakeStep, WaitStep, burst
from posthouse.sending.pool.journal import Journal
from posthouse.sending.pool.pool_base import PoolCall
from posthouse.sending.pool.pool_request import Delivered, Kept, PoolRequest
from posthouse.sending.pool.send_many import SendMany

from .pool_colours import Colour, engine_of, every_colour
from .scripted_server import CLOSE, LONG, MESSAGE, Script, ScriptedServer, transactions


def numbered(number: int) -> bytes:
    return MESSAGE.replace(b"Subject: hi", b"Subject: %d" % number).replace(b"renping", b"r%d" % number)


def many(count: int) -> list[bytes]:
    return [numbered(each) for each in range(count)]


def subjects(server: ScriptedServer) -> list[int]:
    return sorted(int(each.split(b"Subject: ")[1].split(b"\r\n")[0]) for each in server.messages)


# -- order and laziness ------------------------------------------------------------------------------------------------


@every_colour
def test_there_is_a_result_for_each_message_in_order(run: Colour) -> None:
    with ScriptedServer() as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=3) as pool:
                results = [each async for each in pool.send_many(many(40))]
                assert [each.index for each in results] == list(range(40))
                for number, each in enumerate(results):
                    assert each.message == numbered(number)
                    assert each[f"r{number}@sina.com"].result is Result.DELIVERED
                assert pool.status.in_use == 0

        run(scenario)
        assert subjects(server) == list(range(40))
        assert server.most_at_once <= 3


@every_colour
def test_messages_are_taken_as_results_are_asked_for(run: Colour) -> None:
    with ScriptedServer() as server:
        taken: list[int] = []

        def source() -> Iterator[bytes]:
            for number in range(1_000):
                taken.append(number)
                yield numbered(number)

        async def scenario(make: Any) -> None:
            async with make(server.url, size=2) as pool, aclosing(pool.send_many(source(), ahead=5)) as results:
                assert taken == []
                count = 0
                async for _ in results:
                    count += 1
                    assert len(taken) <= count + 5
                    if count == 30:
                        break
            assert len(taken) < 40

        run(scenario)


@every_colour
def test_ahead_0_takes_the_next_message_when_the_result_of_the_last_is_known(run: Colour) -> None:
    with ScriptedServer() as server:
        known: list[int] = []

        def source() -> Iterator[bytes]:
            for number in range(5):
                assert known == list(range(number))
                yield numbered(number)

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                async for each in pool.send_many(source(), ahead=0):
                    known.append(each.index)  # noqa: PERF401 (the source looks at it)

        run(scenario)
        assert server.dialogues == [transactions(5)]


@every_colour
def test_a_source_that_is_slow_holds_no_connection(run: Colour) -> None:
    """emark#96: connected first, then rendered for a minute."""
    with ScriptedServer() as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:

                def source() -> Iterator[bytes]:
                    for number in range(20):
                        assert pool.status.in_use == 0
                        yield numbered(number)

                assert [each.ok async for each in pool.send_many(source())] == [True] * 20

        run(scenario)


@every_colour
def test_closed_early_the_source_is_closed_and_the_connections_are_given_back(run: Colour) -> None:
    with ScriptedServer() as server:
        closed: list[bool] = []

        def source() -> Iterator[bytes]:
            try:
                while True:
                    yield MESSAGE
            finally:
                closed.append(True)

        async def scenario(make: Any) -> None:
            async with make(server.url, size=2) as pool:
                async with aclosing(pool.send_many(source())) as results:
                    async for _ in results:
                        break
                assert closed == [True]
                assert pool.status[:3] == (0, 1, 0)
                assert (await pool.send(MESSAGE)).ok

        run(scenario)


@pytest.mark.parametrize("colour", ["asyncio", "anyio", "trio"])
def test_an_asynchronous_source(colour: str) -> None:
    from .pool_colours import COLOURS

    with ScriptedServer() as server:
        closed: list[bool] = []

        async def source() -> AsyncIterator[bytes]:
            try:
                for number in range(8):
                    yield numbered(number)
            finally:
                closed.append(True)

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                assert [each.index async for each in pool.send_many(source())] == list(range(8))
                async with aclosing(pool.send_many(source())) as results:
                    async for _ in results:
                        break
                assert closed == [True, True]

        COLOURS[colour](scenario)


def test_what_an_asynchronous_source_gave_is_sent_while_it_waits_for_more() -> None:
    with ScriptedServer() as server:

        async def main() -> None:
            first_is_known = asyncio.Event()

            async def source() -> AsyncIterator[bytes]:
                for number in range(4):
                    yield numbered(number)
                await first_is_known.wait()
                yield numbered(4)

            async with AsyncPool(server.url) as pool, asyncio.timeout(LONG):
                count = 0
                async for _ in pool.send_many(source()):
                    count += 1
                    if count == 4:
                        first_is_known.set()
                assert count == 5

        asyncio.run(main())


def test_a_source_of_the_wrong_colour_is_a_type_error_at_once() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield MESSAGE

    with Pool("smtp://127.0.0.1:1") as pool:
        with pytest.raises(TypeError, match="async with"):
            pool.send_many(source())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="cannot be iterated"):
            pool.send_many(7)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="no option aheda"):
            pool.send_many([], aheda=7)  # type: ignore[call-arg]
        with pytest.raises(LocalError, match="ahead=-1"):
            pool.send_many([], ahead=-1)


@every_colour
def test_a_series_gives_way_to_others(run: Colour) -> None:
    """Fair: a series does not keep the only connection while another call waits."""
    with ScriptedServer() as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=1) as pool, aclosing(pool.send_many(many(40))) as results:
                async for each in results:
                    if each.index == 3:
                        assert (await pool.send(MESSAGE)).ok

        run(scenario)
        assert len(server.messages) == 41


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@every_colour
def test_a_message_that_cannot_be_sent_stops_nobody_else(run: Colour) -> None:
    with ScriptedServer({(0, "RCPT", 1): "550 5.1.1 unknown"}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=1) as pool:
                messages = [
                    numbered(0),
                    b"no header at all",
                    (numbered(2), ("a@sohu.com", ["x@sina.com"])),
                    numbered(3),
                ]
                results = [each async for each in pool.send_many(messages)]
                assert [each.ok for each in results] == [False, False, True, True]
                assert results[0].outcomes[0].phase == Phase.RCPT
                assert "From" in results[1].outcomes[0].reason
                assert "x@sina.com" in results[2]

        run(scenario)


@every_colour
def test_a_host_that_ends_its_sessions_after_some_messages_loses_none(run: Colour) -> None:
    script: Script = {(each, "MAIL", 4): (CLOSE if each % 2 else "421 4.7.0 enough") for each in range(40)}
    with ScriptedServer(script) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=2) as pool:
                results = [each async for each in pool.send_many(many(25))]
                assert [each.outcomes[0].result for each in results] == [Result.DELIVERED] * 25

        run(scenario)
        assert subjects(server) == list(range(25)), "each once"


@every_colour
def test_a_connection_that_is_lost_behind_the_content_is_ambiguous_and_the_others_go_on(run: Colour) -> None:
    with ScriptedServer({(0, ".", 3): CLOSE}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=1) as pool:
                results = [each.outcomes[0].result async for each in pool.send_many(many(12))]
                assert results.count(Result.AMBIGUOUS) == 1
                assert results.count(Result.DELIVERED) == 11

        run(scenario)
        assert subjects(server) == list(range(12)), "none was sent twice"


@every_colour
def test_a_pool_that_is_closed_says_quit_on_all_its_connections_at_once(run: Colour) -> None:
    """A second is enough for a far server, however many connections there are: none waits for the reply of another."""
    goes_on = threading.Event()
    with ScriptedServer({(each, "QUIT", 1): goes_on for each in range(2)}) as server:

        async def scenario(make: Any) -> None:
            pool = make(server.url, size=2)
            results = [each async for each in pool.send_many(many(12))]
            assert all(each.ok for each in results)
            await pool.close(grace=0.1)

        run(scenario)
        goes_on.set()
        server.wait_until(lambda: not server.open_now)
        assert [each[-1] for each in server.dialogues] == ["QUIT", "QUIT"]


@every_colour
def test_a_server_that_is_down_is_tried_5_times_and_then_told(run: Colour) -> None:
    refused: Script = {(each, "CONNECT", 1): "421 4.3.2 down" for each in range(1, 30)}
    refused[0, "MAIL", 2] = CLOSE
    with ScriptedServer(refused) as server:
        taken: list[int] = []

        def source() -> Iterator[bytes]:
            for number in range(1_000):
                taken.append(number)
                yield numbered(number)

        async def scenario(make: Any) -> None:
            async with make(server.url, size=1) as pool:
                engine_of(pool).first_delay = 0.001
                results: list[Any] = []

                async def send() -> None:
                    async for each in pool.send_many(source()):
                        results.append(each)  # noqa: PERF401 (kept if it raises)

                with pytest.raises(CannotConnect, match="421"):
                    await send()
                assert results[0].ok
                assert [each.outcomes[0].result for each in results[1:]] == [Result.DEFERRED] * (len(results) - 1)
                assert engine_of(pool).status(0.0)[:3] == (0, 0, 0)

        run(scenario)
        assert len(taken) < 10
        assert len(server.dialogues) <= 8


@every_colour
@pytest.mark.parametrize("answer", [CLOSE, "421 4.3.2 down"], ids=["end", "421"])
@pytest.mark.parametrize("ahead", [None, 0])
def test_a_host_that_begins_no_message_is_tried_5_times_and_then_told(
    run: Colour, answer: str, ahead: int | None, tmp_path: Path
) -> None:
    journal = tmp_path / "run.jsonl"
    with ScriptedServer({(each, "MAIL", 1): answer for each in range(400)}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                engine_of(pool).first_delay = 0.001
                results: list[Any] = []

                async def send() -> None:
                    async for each in pool.send_many(many(200), ahead=ahead, journal=journal):
                        results.append(each)  # noqa: PERF401 (kept if it raises)

                with pytest.raises(CannotConnect) as caught:
                    await send()
                assert caught.value.phase == Phase.MAIL
                assert [each.index for each in results] == [0, 1, 2, 3, 4], "the others were not tried"
                assert {each.outcomes[0].result for each in results} == {Result.DEFERRED}
                assert pool.status[:4] == (0, 0, 0, 5)

        run(scenario)
        assert server.dialogues == [["EHLO", "MAIL", "RCPT", "DATA"][: len(each)] for each in server.dialogues]
        assert len(server.dialogues) == 5
    settled = [json.loads(each) for each in journal.read_text().splitlines()[1:]]
    assert [each["key"] for each in settled if each.get("outcomes")] == ["0", "1", "2", "3", "4"]


@every_colour
@pytest.mark.parametrize("answer", [CLOSE, "421 4.7.0 enough"], ids=["end", "421"])
def test_a_host_that_takes_one_message_in_a_session_is_not_made_to_wait_for(run: Colour, answer: str) -> None:
    with ScriptedServer({(each, "MAIL", 2): answer for each in range(40)}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=2) as pool:
                engine_of(pool).first_delay = 1_000.0
                async for each in pool.send_many(many(20), timeout=LONG):
                    assert each.ok
                    assert pool.status.failures == 0
                assert (await pool.send(MESSAGE, timeout=LONG)).ok

        run(scenario)


def test_a_message_does_not_pay_for_the_time_of_those_before_it() -> None:
    """Each message of a burst has the whole of its time limit when its own turn to take a connection comes."""
    clock = SystemClock()
    now = 1_000.0
    clock.monotonic = lambda: now
    calls = [PoolCall(outgoing(MESSAGE), Deadline(clock, 30.0), 0.0, DialogueRecord()) for _ in range(2)]

    class FakePool:
        def renewed(self, call: PoolCall) -> PoolCall:
            return call._replace(deadline=Deadline(clock, call.deadline.seconds), began=clock.monotonic())

    steps = burst(FakePool(), [BurstItem(each) for each in calls])  # type: ignore[arg-type]
    first = next(steps)
    assert isinstance(first, TakeStep)
    now += 100.0
    second = steps.throw(TimedOut("no connection was free"))
    assert isinstance(second, TakeStep)
    assert (first.call.deadline.left, second.call.deadline.left) == (0.0, 30.0)
    assert second.call.began == first.call.began + 100.0
    steps.close()


def test_a_message_that_ends_while_another_connection_is_replaced_has_ended_after_that() -> None:
    now = 0.0
    ends: list[tuple[object, float]] = []

    class Sending:
        done = False

        def __init__(self, call: object, result: Result) -> None:
            self.call, self.result = call, result

        def end(self, at: float) -> Delivered:
            ends.append((self.call, at))
            return Delivered((Outcome(Recipient(Address("a", "sina.com")), self.result, None, "", ""),), "", None)

    class FakeConnection:
        usable = True

        def __init__(self, result: Result) -> None:
            self.result = result

        def begin(self, call: object) -> Sending:
            return Sending(call, self.result)

    class FakePool:
        def another(self, line: object) -> float:
            return -1.0

        def renewed(self, call: object) -> object:
            return call

        def limit_of(self, call: object) -> None: ...
        def give_back(self, line: object) -> None: ...
        def give_up(self, request: object) -> None: ...

        def now(self) -> float:
            return now

    def line_to(result: Result) -> Any:
        request: PoolRequest[Any] = PoolRequest(inf, inf)
        request.kept = Kept(FakeConnection(result), 0.0, inf, 0)
        return Line(request)

    calls = [PoolCall(outgoing(MESSAGE), Deadline(SystemClock(), None), float(number)) for number in (1, 2)]
    first, second = map(BurstItem, calls)
    steps = burst(FakePool(), [first, second])  # type: ignore[arg-type]
    dead = line_to(Result.DEFERRED)
    assert isinstance(next(steps), TakeStep)
    assert isinstance(steps.send(dead), TakeStep)
    assert isinstance(steps.send(line_to(Result.DELIVERED)), WaitStep)
    now, first.sending.done = 10.0, True  # type: ignore[union-attr, misc]
    assert isinstance(steps.send(None), ReplaceStep)
    now, second.sending.done = 17.0, True  # type: ignore[union-attr, misc]
    dead.request = line_to(Result.DELIVERED).request
    steps.send(None)
    assert ends == [(calls[0], 10.0), (calls[1], 17.0)]
    steps.close()


# -- progress ----------------------------------------------------------------------------------------------------------


@every_colour
def test_progress_is_told_to_a_function(run: Colour) -> None:
    seen: list[Progress] = []
    with ScriptedServer({(0, ".", 2): "554 5.7.1 spam"}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=1) as pool:
                assert [each.ok async for each in pool.send_many(many(3), progress=seen.append)] == [True, False, True]

        run(scenario)
    assert [each[:5] for each in seen] == [(1, 3, 1, 0, 0), (2, 3, 1, 0, 1), (3, 3, 2, 0, 1)]
    assert str(seen[-1]._replace(seconds=0.0)) == "3 of 3 messages; 2 delivered, 1 failed"
    assert str(seen[-1]._replace(seconds=2.0)) == "3 of 3 messages, 2/s; 2 delivered, 1 failed"


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_on_a_terminal_only(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with ScriptedServer() as server, Pool(server.url) as pool:
        assert all(each.ok for each in pool.send_many(many(3), progress=True))
    assert ("3 of 3 messages" in screen.getvalue()) is terminal


# -- journal -----------------------------------------------------------------------------------------------------------


@every_colour
def test_a_second_run_skips_what_is_done_and_tries_what_was_deferred(run: Colour, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with ScriptedServer({(0, "RCPT", 2): "451 4.2.2 full", (0, "RCPT", 3): "550 5.1.1 unknown"}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=1) as pool:
                first = [each async for each in pool.send_many(many(4), journal=path)]
                results = [each.outcomes[0].result for each in first]
                assert results == [Result.DELIVERED, Result.DEFERRED, Result.FAILED, Result.DELIVERED]
                second = [each async for each in pool.send_many(many(5), journal=path)]
                assert [(each.index, each.ok) for each in second] == [(1, True), (4, True)]
                assert [each async for each in pool.send_many(many(5), journal=path)] == []

        run(scenario)
        assert subjects(server) == [0, 1, 3, 4]


def test_of_several_recipients_only_the_deferred_are_tried_again(tmp_path: Path) -> None:
    envelope = ("a@sohu.com", ["a@sina.com", "b@sina.com", "c@sina.com"])
    script: Script = {(0, "RCPT", 2): "451 4.2.2 full", (0, "RCPT", 3): "550 5.1.1 unknown"}
    with ScriptedServer(script) as server, Pool(server.url) as pool:
        (first,) = pool.send_many([(MESSAGE, envelope)], journal=tmp_path / "j")
        assert not first.ok
        (second,) = pool.send_many([(MESSAGE, envelope)], journal=tmp_path / "j")
        assert [str(each.recipient.address) for each in second] == ["b@sina.com"]
    assert server.dialogues == [
        ["EHLO", "MAIL", "RCPT", "RCPT", "RCPT", "DATA", ".", "MAIL", "RCPT", "DATA", ".", "QUIT"]
    ]


_PROGRAM = """
import sys, posthouse
url, path = sys.argv[1:]
from_ = b"From: langrui@sohu.com\\r\\n"
messages = [from_ + b"To: r%d@sina.com\\r\\nSubject: %d\\r\\n\\r\\nhello\\r\\n" % (n, n) for n in range(8)]
with posthouse.Pool(url, size=1) as pool:
    for result in pool.send_many(messages, journal=path):
        print(result.index, flush=True)
"""


def test_a_program_that_is_killed_goes_on_where_it_ended_and_sends_nothing_twice(tmp_path: Path) -> None:
    """Killed by SIGKILL while the server keeps the reply to a message back."""
    import threading

    goes_on = threading.Event()
    path = tmp_path / "run.jsonl"
    with ScriptedServer({(0, ".", 3): goes_on}) as server:
        program = subprocess.Popen([sys.executable, "-c", _PROGRAM, server.url, str(path)])
        try:
            server.wait_until(lambda: len(server.messages) == 3)
        finally:
            program.send_signal(signal.SIGKILL)
            program.wait(LONG)
            goes_on.set()
        messages = [
            MESSAGE.replace(b"Subject: hi", b"Subject: %d" % n).replace(b"renping", b"r%d" % n) for n in range(8)
        ]
        with Pool(server.url, size=1) as pool:
            results = list(pool.send_many(messages, journal=path))
        ambiguous = [each.index for each in results if each.ambiguous]
        assert 2 in ambiguous
        assert all(not each.ambiguous or "may have arrived" in each.outcomes[0].reason for each in results)
        sent_again = [each.index for each in results if each.ok]
        assert not set(sent_again) & {0, 1, 2}
        assert {0, 1, *ambiguous, *sent_again} == set(range(8))
        assert len(set(subjects(server))) == len(server.messages), "nothing twice"


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with ScriptedServer() as server, Pool(server.url) as pool:
        list(pool.send_many(many(2), journal=path))
        whole = path.read_bytes()
        for cut in range(len(whole) - 1, len(whole) - 30, -1):
            path.write_bytes(whole[:cut])
            assert [each.ok for each in pool.send_many(many(2), journal=path)] == [False], (
                "the last outcome is not known"
            )
            assert path.read_bytes() == whole[: whole[:cut].rindex(b"\n") + 1]
        path.write_bytes(whole[:5])
        assert [each.ok for each in pool.send_many(many(2), journal=path)] == [True, True], "torn while it was made"


def test_a_journal_of_other_messages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with ScriptedServer() as server, Pool(server.url) as pool:
        list(pool.send_many(many(2), journal=path))
        with pytest.raises(LocalError, match="has another message under 0"):
            list(pool.send_many(reversed(many(2)), journal=path))
        assert len(server.messages) == 2


def test_with_keys_the_order_may_change(tmp_path: Path) -> None:
    path = tmp_path / "j"

    def key(message: bytes) -> str:
        return message.split(b"Subject: ")[1].split(b"\r\n")[0].decode()

    with ScriptedServer() as server, Pool(server.url) as pool:
        list(pool.send_many(many(2), journal=path, key=key))
        (only,) = pool.send_many(reversed(many(3)), journal=path, key=key)
        assert only.message == numbered(2)
        with pytest.raises(LocalError, match="two messages have the key '7'"):
            list(pool.send_many([numbered(7), numbered(7)], journal=path, key=key))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"what": 1}\n', "no journal"),
        (b"hello\n", "line 1 .* is damaged"),
        (b'{"posthouse": "journal", "version": 1}\n{"key": "0"}\n', "line 2 .* is damaged"),
        (b'{"posthouse": "journal", "version": 1}\n{"key": "0", "outcomes": {}}\n', "line 2 .* is damaged"),
    ],
)
def test_a_file_that_is_no_journal_is_not_touched(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(LocalError, match=says):
        Journal(path)
    assert path.read_bytes() == content


@pytest.mark.skipif(sys.platform == "win32", reason="no flock")
def test_a_journal_is_used_by_one_run_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path / "j"), pytest.raises(LocalError, match="in use by another run"):
        Journal(tmp_path / "j")
    Journal(tmp_path / "j").close()


def test_intents_are_on_the_disk_before_anything_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "j"
    order: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        order.append(f"sync {len(path.read_bytes().splitlines())}")
        real(descriptor)

    with ScriptedServer() as server, Pool(server.url) as pool:
        monkeypatch.setattr(os, "fsync", fsync)

        def say(who: str, line: str) -> None:
            order.append(line)

        with closing(pool.send_many([MESSAGE], journal=path)) as results:
            assert next(results).ok
            assert len(server.messages) == 1
    assert order == ["sync 1", "sync 1", "sync 2", "sync 3"], "the header and its folder, the intent, the outcome"
    intent, outcome = (json.loads(each) for each in path.read_text().splitlines()[1:])
    assert intent["key"] == outcome["key"] == "0"
    assert outcome["outcomes"] == {"renping@sina.com": "delivered"}
    assert path.stat().st_mode & 0o077 == 0, "who got mail is nobody else's business"


class _Calls:
    """The part of a pool that a series needs: it makes calls, and sends nothing."""

    def __init__(self, octets: int = 0) -> None:
        self._content = outgoing(b"From: a@a.example\r\n\r\n" + b"x" * octets, ("a@a.example", "b@b.example"))

    def calls_of(self, message: Any, envelope: Any = None, timeout: Any = None) -> list[PoolCall]:
        return [PoolCall(self._content, Deadline(SystemClock(), None), 0.0)]


class _Time:
    """The clock of a series: each burst takes ``step`` seconds."""

    def __init__(self, step: float) -> None:
        self.step = step
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


@pytest.mark.parametrize(
    ("step", "octets", "options", "longest"),
    [
        (0.01, 0, {}, 1 + 32 * 2),
        (1.0, 0, {}, 1 + 4 * 2),
        (0.01, 4_194_304, {}, 1 + 4 * 2),
        (0.01, 0, {"ahead": 5}, 1 + 5),
        (0.01, 0, {"journal": "journal"}, 1 + 4 * 2),
    ],
    ids=["quick", "slow", "large", "as asked", "with a journal"],
)
def test_bursts_are_longer_only_where_they_are_quick_and_small(
    step: float,
    octets: int,
    options: dict[str, Any],
    longest: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    lengths: list[int] = []
    with SendMany(_Calls(octets), 2, options, None, _Time(step).monotonic) as series:  # type: ignore[arg-type]
        for _ in range(9):
            while series.wants_more:
                series.take(b"", 0.0)
            items = series.begin()
            lengths.append(len(items))
            for item in items:
                item.tried = True
                item.delivered = Delivered(())
            assert len([*series.results()]) == len(items)
    assert lengths[:3] == [1, 2, 4]
    assert max(lengths) == longest
