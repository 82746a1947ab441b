"""``Client`` and ``AsyncClient``: one connection, one user, and what happens when the server ends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.sending.scripted_peer import CLOSE, HANG, ScriptedPeer

import posthouse
from posthouse import ClientBusy, LocalError, SendResult
from posthouse.core import Result

MESSAGE = b"From: ann@a.example\nTo: b@b.example\nSubject: hi\n\nhello\n"
STALE = "451 4.4.2 Timeout waiting for data from client"

Run = Callable[..., list[SendResult]]


def blocking(url: str, calls: Sequence[dict[str, Any]], **options: Any) -> list[SendResult]:
    with posthouse.Client(url, **options) as client:
        return [client.send(MESSAGE, **call) for call in calls]


def awaiting(url: str, calls: Sequence[dict[str, Any]], **options: Any) -> list[SendResult]:
    async def run() -> list[SendResult]:
        async with posthouse.Client(url, **options) as client:
            assert isinstance(client, posthouse.AsyncClient)
            return [await client.send(MESSAGE, **call) for call in calls]

    return asyncio.run(run())


@pytest.fixture(params=[blocking, awaiting])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


def test_messages_share_a_connection(run: Run) -> None:
    with ScriptedPeer({}) as peer:
        results = run(peer.url, [{}, {}, {}], transcript=True)
    assert all(result.ok for result in results)
    (lines,) = peer.dialogues
    verbs = [line.split()[0] for line in lines if "\r" not in line]
    assert verbs == ["EHLO", *["MAIL", "RCPT", "DATA"] * 3, "QUIT"]
    assert results[0].transcript[0].startswith("R: 220")
    assert results[1].transcript[0].startswith("S: MAIL")


@pytest.mark.parametrize("reply", [f"{STALE} {CLOSE}", f"421 4.4.2 idle {CLOSE}", CLOSE])
def test_a_reused_connection_that_has_ended_is_replaced_once(run: Run, reply: str) -> None:
    """Case 19: the first MAIL of the connection succeeds, the second is refused for its age."""
    with ScriptedPeer({"MAIL FROM:<second": reply}, {}) as peer:
        results = run(peer.url, [{}, {"envelope": ("second@a.example", "b@b.example")}])
    assert [result.ok for result in results] == [True, True]
    assert len(peer.dialogues) == 2


def test_the_same_reply_on_a_fresh_connection_is_a_deferral(run: Run) -> None:
    with ScriptedPeer({"MAIL": f"{STALE} {CLOSE}"}) as peer:
        (result,) = run(peer.url, [{}])
    assert [each.result for each in result] == [Result.DEFERRED]
    assert result.outcomes[0].temporary
    assert len(peer.dialogues) == 1


def test_a_connection_that_ends_between_two_messages_is_noticed(run: Run) -> None:
    with ScriptedPeer({"the end of the content": f"250 ok {CLOSE}"}) as peer:
        results = run(peer.url, [{}, {}, {}])
    assert [result.ok for result in results] == [True, True, True]
    assert len(peer.dialogues) == 3


def test_after_a_time_limit_the_next_message_has_its_own_replies(run: Run) -> None:
    """Case 18, on one client."""
    with ScriptedPeer({"RCPT": HANG}, {"the end of the content": "250 2.0.0 the second"}) as peer:
        first, second = run(peer.url, [{"timeout": 0.2}, {}])
        assert [(each.result, str(each.phase)) for each in first] == [(Result.DEFERRED, "RCPT")]
        assert [str(each.reply) for each in second] == ["250 2.0.0 the second"]
    assert len(peer.dialogues) == 2


def test_a_second_user_is_told_that_the_client_is_busy() -> None:
    with ScriptedPeer({"MAIL": HANG}) as peer:
        client = posthouse.Client(peer.url, timeout=30)
        results: list[SendResult] = []
        thread = threading.Thread(target=lambda: results.append(client.send(MESSAGE)))
        thread.start()
        while not any(line.startswith("MAIL") for lines in peer.dialogues for line in lines):
            assert thread.is_alive()
            threading.Event().wait(0.01)
        with pytest.raises(ClientBusy, match="use one for each, or a Pool"):
            client.send(MESSAGE)
        peer.over.set()
        thread.join(30)
    assert [each.result for each in results[0]] == [Result.DEFERRED]
    client.close()


def test_a_second_task_is_told_that_the_client_is_busy() -> None:
    async def run(url: str) -> None:
        async with posthouse.AsyncClient(url) as client:
            first = asyncio.ensure_future(client.send(MESSAGE))
            await asyncio.sleep(0)
            with pytest.raises(ClientBusy):
                await client.send(MESSAGE)
            assert (await first).ok

    with ScriptedPeer({}) as peer:
        asyncio.run(run(peer.url))


def test_a_client_begins_anew_when_its_event_loop_is_closed() -> None:
    async def close() -> None:
        await client.close()

    with ScriptedPeer({}) as peer:
        client = posthouse.AsyncClient(peer.url)
        for _ in range(2):
            assert asyncio.run(client.send(MESSAGE)).ok
        asyncio.run(client.send(MESSAGE)).raise_for_failures()
        asyncio.run(close())
    assert [len([line for line in lines if line == "DATA"]) for lines in peer.dialogues] == [1, 1, 1]


def test_a_client_of_one_loop_is_not_used_in_another_that_runs() -> None:
    with ScriptedPeer({}) as peer:
        client = posthouse.AsyncClient(peer.url)
        with asyncio.Runner() as first, asyncio.Runner() as second:
            assert first.run(client.send(MESSAGE)).ok
            with pytest.raises(LocalError, match="open in another event loop"):
                second.run(client.send(MESSAGE))
            first.run(client.close())
    assert len(peer.dialogues) == 1


def test_another_process_leaves_the_connection_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fork nothing may be sent on a connection that two processes share."""
    with ScriptedPeer({}) as peer, posthouse.Client(peer.url) as client:
        assert client.send(MESSAGE).ok
        monkeypatch.setattr("os.getpid", lambda: 1)
        assert client.send(MESSAGE).ok
    assert [lines[-1] == "QUIT" for lines in peer.dialogues] == [False, True]


def test_a_client_that_was_not_closed_is_warned_of_with_its_place() -> None:
    with ScriptedPeer({}) as peer:
        client = posthouse.Client(peer.url)
        assert client.send(MESSAGE).ok
        clients = [client]
        del client
        with pytest.warns(ResourceWarning, match=r"was not closed; it was made at .*test_client\.py:\d+"):
            clients.clear()


def test_an_exception_in_the_block_still_says_quit() -> None:
    def run(url: str) -> None:
        with posthouse.Client(url) as client:
            client.send(MESSAGE).raise_for_failures()
            raise ZeroDivisionError

    with ScriptedPeer({}) as peer, pytest.raises(ZeroDivisionError):
        run(peer.url)
    assert peer.dialogues[0][-1] == "QUIT"


def test_a_server_that_does_not_answer_quit_delays_the_end_by_a_second_at_most(run: Run) -> None:
    with ScriptedPeer({"QUIT": HANG}) as peer:
        (result,) = run(peer.url, [{}])
    assert result.ok


def test_a_client_needs_a_server() -> None:
    class Double:
        def deliver(self, envelope: object, content: object) -> SendResult:
            raise AssertionError

    with pytest.raises(LocalError, match="a Client is for a server"):
        posthouse.Client(Double())
