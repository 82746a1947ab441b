"""Pools of all colours in the same situations: each test is a scenario that runs once with threads and once in asyncio.

The situations are those in which the pools of other libraries died (issue 12, proof 4).
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from posthouse.core import CannotConnect, LocalError, Outcome, Phase, Result, SettingError, TimedOut
from posthouse.sending import SendResult

from .pool_colours import Colour, arrived, engine_of, every_colour, idle_for
from .scripted_server import CLOSE, LONG, MESSAGE, Script, ScriptedServer, transactions

TO_THREE = b"From: langrui@sohu.com\r\nTo: a@sina.com, b@sina.com, c@sina.com\r\nSubject: hi\r\n\r\nhello\r\n"


def only(result: SendResult) -> Outcome:
    (outcome,) = result.outcomes
    return outcome


# -- connections are kept ----------------------------------------------------------------------------------------------


@every_colour
def test_messages_share_a_connection_and_the_end_says_quit(run: Colour) -> None:
    with ScriptedServer() as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                for _ in range(3):
                    assert (await pool.send(MESSAGE)).ok
                assert pool.status[:3] == (0, 1, 0)

        run(scenario)
        assert server.dialogues == [transactions(3)]
        assert server.messages == [MESSAGE] * 3


@every_colour
def test_a_connection_ends_after_its_messages(run: Colour) -> None:
    with ScriptedServer() as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, messages=2) as pool:
                for _ in range(5):
                    assert (await pool.send(MESSAGE)).ok

        run(scenario)
        assert server.dialogues == [transactions(2), transactions(2), transactions(1)]


@every_colour
def test_what_was_refused_leaves_nothing_behind_for_the_next_message(run: Colour) -> None:
    """Missing RSET: the transaction of a message whose recipients were all refused is still open."""
    with ScriptedServer({(0, "RCPT", 1): "550 5.1.1 unknown", (0, "DATA", 1): "503 no recipient"}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                first = only(await pool.send(MESSAGE))
                assert (first.result, first.phase, first.reply.code) == (Result.FAILED, Phase.RCPT, 550)
                assert (await pool.send(MESSAGE)).ok

        run(scenario)
        assert server.dialogues == [["EHLO", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA", ".", "QUIT"]]


@every_colour
def test_a_refused_message_is_no_failure_of_the_connection(run: Colour) -> None:
    """Failure miscounted: a 5xx about a message says nothing about the host."""
    script: Script = {(0, ".", each): "554 5.7.1 spam" for each in range(1, 9)}
    with ScriptedServer(script) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                for _ in range(8):
                    assert only(await pool.send(MESSAGE)).result is Result.FAILED
                assert pool.status == (0, 1, 0, 0, 0.0)

        run(scenario)
        assert server.dialogues == [transactions(8)]


@every_colour
def test_one_refused_recipient_among_three_takes_nobody_down(run: Colour) -> None:
    with ScriptedServer({(0, "RCPT", 2): "550 5.1.1 unknown"}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                result = await pool.send(TO_THREE)
                assert not result.ok
                assert [str(each.recipient.address) for each in result.delivered] == ["a@sina.com", "c@sina.com"]
                assert result["b@sina.com"].result is Result.FAILED

        run(scenario)
        assert server.dialogues == [["EHLO", "MAIL", "RCPT", "RCPT", "RCPT", "DATA", ".", "QUIT"]]


# -- connections that are dead -----------------------------------------------------------------------------------------


@every_colour
@pytest.mark.parametrize("farewell", ["", "421 4.4.2 idle for too long", "500 what is this"])
def test_a_connection_that_the_server_has_ended_is_noticed_before_it_is_used(run: Colour, farewell: str) -> None:
    """Stale idle socket: nothing is sent to it."""
    with ScriptedServer() as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                assert (await pool.send(MESSAGE)).ok
                server.hang_up(0, farewell)
                server.wait_until(lambda: not server.is_open(0))
                arrived(pool)
                idle_for(pool, 2.0)
                result = await pool.send(MESSAGE, transcript=True)
                assert result.ok
                assert " ".join(result.transcript).count("MAIL FROM") == 1, "nothing was sent to the dead one"

        run(scenario)
        assert server.dialogues == [transactions(1)[:-1], transactions(1)]


@every_colour
def test_after_30_seconds_the_server_is_asked_by_noop_and_not_before(run: Colour) -> None:
    with ScriptedServer() as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                for seconds in (0.0, 29.0, 31.0):
                    idle_for(pool, seconds)
                    assert (await pool.send(MESSAGE)).ok

        run(scenario)
        one = ["MAIL", "RCPT", "DATA", "."]
        assert server.dialogues == [["EHLO", *one, *one, "NOOP", *one, "QUIT"]]


@every_colour
@pytest.mark.parametrize("answer", [CLOSE, "421 4.4.2 too late", "502 what"])
def test_a_connection_that_does_not_answer_noop_is_replaced(run: Colour, answer: str) -> None:
    with ScriptedServer({(0, "NOOP", 1): answer}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                assert (await pool.send(MESSAGE)).ok
                idle_for(pool, 31.0)
                assert (await pool.send(MESSAGE)).ok

        run(scenario)
        assert server.dialogues == [[*transactions(1)[:-1], "NOOP"], transactions(1)]


@every_colour
@pytest.mark.parametrize(
    "answer",
    [CLOSE, "421 4.3.2 going down", "451 4.4.2 Timeout waiting for data from client"],
    ids=["end", "421", "451"],
)
def test_a_reused_connection_that_answers_mail_so_gets_one_retry_unseen(run: Colour, answer: str) -> None:
    """Case 19 of LIBRARY.md (symfony#36301)."""
    with ScriptedServer({(0, "MAIL", 2): answer}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=1) as pool:
                assert (await pool.send(MESSAGE)).ok
                assert (await pool.send(MESSAGE)).ok
                assert (await pool.send(MESSAGE)).ok

        run(scenario)
        assert server.messages == [MESSAGE] * 3
        assert server.dialogues[1] == transactions(2)


@every_colour
@pytest.mark.parametrize("answer", [CLOSE, "421 4.3.2 going down", "451 4.4.2 Timeout"], ids=["end", "421", "451"])
def test_a_fresh_connection_gets_no_retry(run: Colour, answer: str) -> None:
    with ScriptedServer({(0, "MAIL", 1): answer}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                outcome = only(await pool.send(MESSAGE))
                assert (outcome.result, outcome.phase) == (Result.DEFERRED, Phase.MAIL)

        run(scenario)
        assert len(server.dialogues) == 1


@every_colour
def test_the_retry_is_one(run: Colour) -> None:
    with ScriptedServer({(0, "MAIL", 2): "421 bye", (1, "MAIL", 1): "421 bye"}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                assert (await pool.send(MESSAGE)).ok
                assert only(await pool.send(MESSAGE)).result is Result.DEFERRED

        run(scenario)
        assert len(server.dialogues) == 2


@every_colour
@pytest.mark.parametrize(
    ("place", "answer", "result"),
    [
        ("MAIL", "451 4.3.0 try later", Result.DEFERRED),
        ("RCPT", "421 4.3.2 going down", Result.DEFERRED),
        ("RCPT", CLOSE, Result.DEFERRED),
        ("DATA", CLOSE, Result.DEFERRED),
        (".", CLOSE, Result.AMBIGUOUS),
        (".", "451 4.4.2 Timeout", Result.DEFERRED),
    ],
)
def test_what_the_server_has_begun_is_never_tried_again(run: Colour, place: str, answer: str, result: Result) -> None:
    with ScriptedServer({(0, place, 2): answer}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                assert (await pool.send(MESSAGE)).ok
                assert only(await pool.send(MESSAGE)).result is result

        run(scenario)
        assert len(server.dialogues) == 1


@every_colour
def test_421_to_one_more_connection_makes_the_pool_smaller(run: Colour) -> None:
    """421 ignored: a host that takes two sessions gets two, and no message is lost."""
    refused = {(each, "CONNECT", 1): "421 4.7.0 too many connections" for each in range(2, 40)}
    with ScriptedServer(refused) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=5) as pool:
                results = [each async for each in pool.send_many([MESSAGE] * 60)]
                assert all(each.ok for each in results)

        run(scenario)
        assert len(server.messages) == 60
        assert len(server.dialogues) <= 3


# -- failures and time -------------------------------------------------------------------------------------------------


@every_colour
def test_a_server_that_is_down_is_an_error_and_the_next_attempt_waits(run: Colour) -> None:
    with ScriptedServer() as server:
        url = server.url

    async def scenario(make: Any) -> None:
        async with make(url) as pool:
            with pytest.raises(CannotConnect, match="refused"):
                await pool.send(MESSAGE)
            assert pool.status.failures == 1
            assert 0 <= pool.status.delay <= 0.55
            engine_of(pool)._not_before = time.monotonic() + 1_000.0
            with pytest.raises(CannotConnect, match=r"not tried, because .* in \d+\.\d s") as caught:
                await pool.send(MESSAGE)
            assert isinstance(caught.value.__cause__, CannotConnect)
            assert pool.status.failures == 1

    run(scenario)


@every_colour
@pytest.mark.parametrize("answer", [CLOSE, "421 4.3.2 going down"], ids=["end", "421"])
def test_a_fresh_connection_that_ends_at_its_first_mail_makes_the_next_wait(run: Colour, answer: str) -> None:
    """A host that greets and takes no message gets no stream of connections."""
    script: Script = {(each, "MAIL", 1): answer for each in range(2)}
    with ScriptedServer(script) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                engine_of(pool).first_delay = 12.0  # more than one call waits for
                for failures in (1, 2):
                    assert only(await pool.send(MESSAGE)).result is Result.DEFERRED
                    assert pool.status[:4] == (0, 0, 0, failures)
                    assert 5.0 < pool.status.delay <= 13.2 * failures
                    with pytest.raises(CannotConnect, match=r"not tried, because .* in \d+\.\d s") as caught:
                        await pool.send(MESSAGE)
                    assert caught.value.phase == Phase.MAIL
                    assert "S: EHLO" in str(caught.value.transcript)
                    if answer != CLOSE:
                        assert caught.value.reply.code == 421  # type: ignore[attr-defined]
                    assert len(server.dialogues) == failures
                    engine_of(pool)._not_before = 0.0
                assert (await pool.send(MESSAGE)).ok
                assert pool.status[3:] == (0, 0.0)

        run(scenario)


@every_colour
def test_nothing_is_queued_beyond_the_callers_who_wait(run: Colour) -> None:
    """Unbounded re-queue: whatever fails is told to its caller, and the pool keeps nothing."""
    with ScriptedServer({(each, "CONNECT", 1): "421 4.3.2 down" for each in range(9)}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                for _ in range(3):
                    with pytest.raises(CannotConnect, match="421"):
                        await pool.send(MESSAGE)
                    engine_of(pool)._not_before = 0.0
                assert pool.status[:3] == (0, 0, 0)

        run(scenario)
        assert server.messages == []


@every_colour
def test_the_time_limit_of_a_call_holds_and_the_next_has_its_own_replies(run: Colour) -> None:
    """Case 18 of LIBRARY.md (symfony#54169): the late reply to the first RCPT is never read as one to the second."""
    late = threading.Event()
    with ScriptedServer({(0, "RCPT", 2): late}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=1) as pool:
                assert (await pool.send(MESSAGE)).ok
                outcome = only(await pool.send(MESSAGE, timeout=1.5))
                assert (outcome.result, outcome.phase) == (Result.DEFERRED, Phase.RCPT)
                assert "1.5" in outcome.reason
                late.set()
                assert (await pool.send(MESSAGE)).ok

        run(scenario)
        assert server.dialogues[0][:7] == ["EHLO", "MAIL", "RCPT", "DATA", ".", "MAIL", "RCPT"]
        assert server.dialogues[1] == transactions(1)
        assert server.messages == [MESSAGE, MESSAGE]


@every_colour
def test_a_greeting_that_does_not_come_is_a_time_out_that_names_the_phase(run: Colour) -> None:
    never = threading.Event()
    with ScriptedServer({(0, "CONNECT", 1): never}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                with pytest.raises(TimedOut) as caught:
                    await pool.send(MESSAGE, timeout=1.5)
                assert caught.value.phase == Phase.GREETING
                assert pool.status == (0, 0, 0, 0, 0.0), "a caller in a hurry says nothing about the server"

        try:
            run(scenario)
        finally:
            never.set()


@every_colour
def test_a_short_delay_after_a_failure_is_waited_for(run: Colour) -> None:
    with ScriptedServer({(0, "CONNECT", 1): "421 4.3.2 starting"}) as server:

        async def scenario(make: Any) -> None:
            async with make(server.url) as pool:
                with pytest.raises(CannotConnect, match="starting"):
                    await pool.send(MESSAGE)
                assert (await pool.send(MESSAGE)).ok
                assert pool.status[3:] == (0, 0.0)

        run(scenario)
        assert server.dialogues[1] == transactions(1)


@every_colour
def test_the_rate_is_kept_by_waiting(run: Colour) -> None:
    with ScriptedServer() as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=2, rate="2/100ms") as pool:
                for _ in range(3):
                    assert (await pool.send(MESSAGE)).ok
                sent = [(list(engine_of(pool)._sent), each.ok) async for each in pool.send_many([MESSAGE] * 6)]
                assert all(ok for _, ok in sent)
                assert all(len(times) <= 2 for times, _ in sent)

        run(scenario)
        assert len(server.messages) == 9


@every_colour
def test_a_call_does_not_wait_for_a_connection_beyond_its_time_limit(run: Colour) -> None:
    with ScriptedServer() as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, size=1) as pool:
                assert (await pool.send(MESSAGE)).ok
                engine = engine_of(pool)
                taken = engine.ask(time.monotonic())
                with pytest.raises(
                    TimedOut, match=r"no connection of the pool was free within 0\.2 s: 1 of 1 are in use"
                ):
                    await pool.send(MESSAGE, timeout=0.2)
                assert pool.status[:3] == (1, 0, 0)
                engine.give_back(taken, time.monotonic(), usable=True)
                assert (await pool.send(MESSAGE)).ok

        run(scenario)
        assert server.dialogues == [transactions(2)]


# -- values ------------------------------------------------------------------------------------------------------------


@every_colour
def test_results_and_exceptions_are_those_of_send(run: Colour) -> None:
    with ScriptedServer() as server:

        async def scenario(make: Any) -> None:
            async with make(server.url, timeout="1min") as pool:
                result = await pool.send(
                    MESSAGE, envelope=("a@sohu.com", ["x@sina.com", "y@sina.com"]), transcript=True
                )
                assert [str(each.recipient.address) for each in result] == ["x@sina.com", "y@sina.com"]
                assert result.transcript[0] == "R: 220 peer.test"
                assert all(0 < each.elapsed < LONG for each in result)
                second = await pool.send(MESSAGE, transcript=True)
                assert second.transcript[0] == "S: MAIL FROM:<langrui@sohu.com>", "its own part of the dialogue"
                assert second.ok
                with pytest.raises(LocalError, match="a text is no message"):
                    await pool.send("notes.txt")
                with pytest.raises(LocalError, match="timeout='soon'"):
                    await pool.send(MESSAGE, timeout="soon")

        run(scenario)


@every_colour
def test_a_closed_pool_says_so_and_where_it_was_made(run: Colour) -> None:
    with ScriptedServer() as server:

        async def scenario(make: Any) -> None:
            pool = make(server.url)
            assert (await pool.send(MESSAGE)).ok
            await pool.close()
            await pool.close()
            with pytest.raises(LocalError, match=r"made at .*\.py:\d+ is closed"):
                await pool.send(MESSAGE)

        run(scenario)
        assert server.dialogues == [transactions(1)]


@every_colour
def test_wrong_arguments_are_told_when_the_pool_is_made(run: Colour) -> None:
    async def scenario(make: Any) -> None:
        for options, names in (({"size": 0}, "size"), ({"rate": "x"}, "rate"), ({"idle": "x"}, "idle")):
            with pytest.raises(LocalError, match=names):
                make("smtp://127.0.0.1", **options)
        with pytest.raises(SettingError):
            make("gopher://127.0.0.1")

    run(scenario)


class Double:
    """A transport of the test's own."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def deliver(self, envelope: Any, content: Any) -> SendResult:
        self.seen.append(b"".join(content.chunks()))
        return SendResult([Outcome(each, Result.DELIVERED) for each in envelope.recipients], queue_id="7")


@every_colour
def test_a_double_takes_the_place_of_the_server(run: Colour) -> None:
    double = Double()

    async def scenario(make: Any) -> None:
        async with make(double) as pool:
            assert (await pool.send(MESSAGE)).queue_id == "7"
            results = [each async for each in pool.send_many([MESSAGE] * 9)]
            assert [each.ok for each in results] == [True] * 9

    run(scenario)
    assert double.seen == [MESSAGE] * 10
