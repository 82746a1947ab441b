"""Pools among threads, tasks, event loops and processes: shared, cancelled, forked, forgotten."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import os
import re
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
import trustme

from posthouse.core import LocalError, Result
from posthouse.sending import UnseenFailureWarning
from posthouse.sending.pool import AsyncPool, Pool
from posthouse.sending.pool.anyio_pool import AnyioPool

from .pool_colours import Colour, arrived, every_colour, idle_for
from .scripted_server import LONG, MESSAGE, NOTIFY, ScriptedServer, transactions


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as made:
        yield made


# -- shared ------------------------------------------------------------------------------------------------------------


def test_threads_share_one_connection_and_each_gets_its_own_replies(server: ScriptedServer) -> None:
    failures: list[BaseException] = []
    with Pool(server.url, size=1) as pool:

        def work(number: int) -> None:
            try:
                for each in range(5):
                    recipient = f"r{number}-{each}@sina.com"
                    result = pool.send(MESSAGE, envelope=("a@sohu.com", [recipient]))
                    assert result.ok
                    assert recipient in result
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(LONG)
    assert not failures
    assert server.dialogues == [transactions(30)]


def test_threads_open_no_more_than_size_connections(server: ScriptedServer) -> None:
    barrier = threading.Barrier(8)
    with Pool(server.url, size=3) as pool:

        def work() -> None:
            barrier.wait(LONG)
            for _ in range(4):
                assert pool.send(MESSAGE).ok

        threads = [threading.Thread(target=work) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(LONG)
    assert len(server.messages) == 32
    assert server.most_at_once <= 3


def test_tasks_open_no_more_than_size_connections(server: ScriptedServer) -> None:
    async def main() -> None:
        async with AsyncPool(server.url, size=3) as pool:
            results = await asyncio.gather(*[pool.send(MESSAGE) for _ in range(32)])
            assert all(each.ok for each in results)

    asyncio.run(main())
    assert server.most_at_once <= 3


def test_async_with_a_pool_gives_its_twin(server: ScriptedServer) -> None:
    async def main() -> None:
        async with Pool(server.url, size=2) as pool:
            assert isinstance(pool, AsyncPool)
            assert (await pool.send(MESSAGE)).ok

    asyncio.run(main())
    assert server.dialogues == [transactions(1)]


@pytest.mark.parametrize("other", [AsyncPool, AnyioPool])
@pytest.mark.parametrize("name", ["__init__", "send", "send_many", "close"])
def test_all_colours_have_the_same_arguments(other: type, name: str) -> None:
    ours, theirs = (inspect.signature(getattr(each, name)).parameters for each in (Pool, other))
    assert list(ours) == list(theirs)
    for each in ours:
        assert ours[each].default == theirs[each].default
        assert ours[each].kind == theirs[each].kind
        if each != "messages":  # the sources: an asynchronous pool takes both kinds
            assert ours[each].annotation == theirs[each].annotation


# -- close -------------------------------------------------------------------------------------------------------------


def test_a_caller_that_waits_is_told_when_the_pool_is_closed() -> None:
    goes_on = threading.Event()
    with ScriptedServer({(0, "RCPT", 1): goes_on}) as server:
        pool = Pool(server.url, size=1)
        found: list[Any] = []

        def send() -> None:
            try:
                found.append(pool.send(MESSAGE))
            except LocalError as error:
                found.append(error)

        first, second = threading.Thread(target=send), threading.Thread(target=send)
        first.start()
        server.wait_until(lambda: server.dialogues[:1] == [["EHLO", "MAIL", "RCPT"]])
        second.start()
        while not pool.status.waiting:
            threading.Event().wait(0.001)
        pool.close(grace=0)
        second.join(LONG)
        assert "closed" in str(found[0])
        goes_on.set()
        first.join(LONG)
        assert found[1].ok, "what was under way has ended by itself"
        server.wait_until(lambda: not server.open_now)
    assert server.dialogues == [transactions(1)]


def test_close_waits_for_what_is_under_way() -> None:
    goes_on = threading.Event()
    with ScriptedServer({(0, ".", 1): goes_on}) as server:

        async def main() -> None:
            pool = AsyncPool(server.url)
            under_way = asyncio.create_task(pool.send(MESSAGE))
            await asyncio.to_thread(server.wait_until, lambda: bool(server.messages))
            closing = asyncio.create_task(pool.close(grace=LONG))
            await asyncio.sleep(0)
            goes_on.set()
            await closing
            assert pool.status.in_use == 0
            assert (await under_way).ok

        asyncio.run(main())
    assert server.dialogues == [transactions(1)]


@pytest.mark.parametrize("colour", [Pool, AsyncPool])
def test_a_pool_that_is_forgotten_warns_and_says_where_it_was_made(colour: type, server: ScriptedServer) -> None:
    async def main() -> None:
        pool = colour(server.url)
        result = pool.send(MESSAGE)
        if inspect.isawaitable(result):
            result = await result
        assert result.ok
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del pool
            gc.collect()
        said = [str(each.message) for each in caught if each.category is ResourceWarning]
        assert re.search(r"made at .*test_pool_lives\.py:\d+ was not closed", said[0])
        server.wait_until(lambda: not server.open_now)

    asyncio.run(main())
    assert server.dialogues == [transactions(1)[:-1]]


# -- cancelled ---------------------------------------------------------------------------------------------------------


def steps_of(scenario: Callable[[], Any], stop_at: int) -> bool:
    """Run a coroutine and cancel it at its step ``stop_at``; whether it got so far."""
    reached = False

    async def main() -> None:
        nonlocal reached
        task = asyncio.ensure_future(scenario())
        count = 0
        while not task.done():
            waiting_on = getattr(task, "_fut_waiter", None)
            if waiting_on is None:
                await asyncio.sleep(0)
                continue
            count += 1
            if count == stop_at:
                reached = True
                task.cancel()
                break
            done = asyncio.Event()
            waiting_on.add_done_callback(lambda _, done=done: done.set())
            async with asyncio.timeout(LONG):
                await done.wait()
            await asyncio.sleep(0)
        async with asyncio.timeout(LONG):
            try:
                await task
            except asyncio.CancelledError:
                assert reached
        await check()

    async def check() -> None:
        async with asyncio.timeout(LONG):
            result = await pool.send(MESSAGE)
        assert result.ok
        assert pool.status[:3] == (0, 1, 0)
        await pool.close()

    pool = scenario.pool  # type: ignore[attr-defined]
    asyncio.run(main())
    return reached


class _Sends:
    """Sends two messages over a pool of one connection."""

    def __init__(self, url: str, many: bool) -> None:
        self.pool = AsyncPool(url, size=1)
        self._many = many

    async def __call__(self) -> None:
        if self._many:
            async for each in self.pool.send_many([MESSAGE, MESSAGE]):
                assert each.ok
        else:
            for _ in range(2):
                assert (await self.pool.send(MESSAGE)).ok


@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
def test_cancelled_at_any_step_a_pool_of_one_still_sends(many: bool) -> None:
    """httpcore#830: each cancelled call kept a place, until none was left."""
    with ScriptedServer() as server:
        step = 1
        while steps_of(_Sends(server.url, many), step):
            step += 1
            assert step < 100
        assert step > 3, "the connection, its opening, the messages"
        for dialogue in server.dialogues:
            for before, after in itertools.pairwise(dialogue):
                assert (before, after) != ("MAIL", "MAIL"), "nothing follows a message that was half sent"


def test_cancelled_while_it_waits_a_call_takes_nothing_with_it() -> None:
    goes_on = threading.Event()
    with ScriptedServer({(0, "RCPT", 1): goes_on}) as server:

        async def main() -> None:
            async with AsyncPool(server.url, size=1) as pool:
                first = asyncio.create_task(pool.send(MESSAGE))
                await asyncio.to_thread(server.wait_until, lambda: server.dialogues[:1] == [["EHLO", "MAIL", "RCPT"]])
                waiting = [asyncio.create_task(pool.send(MESSAGE)) for _ in range(3)]
                while pool.status.waiting < 3:
                    await asyncio.sleep(0)
                waiting[0].cancel()
                waiting[1].cancel()
                await asyncio.wait(waiting[:2])
                assert pool.status[:3] == (1, 0, 1)
                goes_on.set()
                assert (await first).ok
                assert (await waiting[2]).ok

        asyncio.run(main())
    assert server.dialogues == [transactions(2)]


@pytest.mark.parametrize(("colour", "backend"), [(AsyncPool, "asyncio"), (AnyioPool, "asyncio"), (AnyioPool, "trio")])
@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "RCPT", "."])
def test_cancelled_in_each_phase_a_pool_of_one_still_sends(colour: type, backend: str, verb: str) -> None:
    never = threading.Event()
    with ScriptedServer({(0, verb, 1): never}) as server:
        try:

            async def main() -> None:
                async with colour(server.url, size=1) as pool:
                    async with anyio.create_task_group() as group:
                        group.start_soon(pool.send, MESSAGE)
                        said = {"CONNECT": [], "EHLO": ["EHLO"], "RCPT": ["EHLO", "MAIL", "RCPT"]}
                        wanted = said.get(verb, ["EHLO", "MAIL", "RCPT", "DATA", "."])
                        while server.dialogues[:1] != [wanted]:
                            await anyio.sleep(0.001)
                        group.cancel_scope.cancel()
                    assert pool.status[:3] == (0, 0, 0)
                    assert (await pool.send(MESSAGE)).ok

            anyio.run(main, backend=backend)
        finally:
            never.set()
    assert server.dialogues[1] == transactions(1)


def test_interrupted_a_blocking_call_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer() as server, Pool(server.url, size=1) as pool:
        assert pool.send(MESSAGE).ok

        def interrupt(who: str, line: str) -> None:
            if line.startswith("RCPT"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pool.send(MESSAGE, transcript=interrupt)
        assert pool.status[:3] == (0, 0, 0)
        assert pool.send(MESSAGE).ok
    assert server.dialogues[1] == transactions(1)


# -- event loops and processes -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
def test_a_pool_outlives_its_event_loop_and_starts_empty_in_the_next(server: ScriptedServer) -> None:
    """httpx#2473: asyncio.run twice over one pool."""
    pool = AsyncPool(server.url)

    async def main() -> None:
        assert (await pool.send(MESSAGE)).ok

    asyncio.run(main())
    asyncio.run(main())
    server.wait_until(lambda: not server.is_open(0))

    async def end() -> None:
        await main()
        await pool.close()

    asyncio.run(end())
    gc.collect()
    assert server.dialogues == [transactions(1)[:-1], transactions(1)[:-1], transactions(1)]


def test_two_event_loops_at_one_time_are_an_error_that_names_both(server: ScriptedServer) -> None:
    pool = AsyncPool(server.url)
    caught: list[BaseException] = []

    async def other() -> None:
        with pytest.raises(LocalError) as error:
            await pool.send(MESSAGE)
        caught.append(error.value)
        assert repr(asyncio.get_running_loop()) in str(error.value)

    async def main() -> None:
        assert (await pool.send(MESSAGE)).ok
        await asyncio.to_thread(asyncio.run, other())
        assert repr(asyncio.get_running_loop()) in str(caught[0])
        assert (await pool.send(MESSAGE)).ok
        await pool.close()

    asyncio.run(main())
    assert server.dialogues == [transactions(2)]


def certificate() -> tuple[ssl.SSLContext, trustme.CA]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, authority


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
def test_after_fork_the_child_starts_empty_and_the_parent_goes_on(secure: bool, tmp_path: Any) -> None:
    """redis-py#234: two processes on one socket."""
    context, authority = certificate() if secure else (None, None)
    with ScriptedServer(context=context) as server:
        url, options = server.url, {}
        if authority is not None:
            authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
            url, options = f"smtps://127.0.0.1:{server.port}", {"ca": str(tmp_path / "ca.pem")}
        with Pool(url, size=1, **options) as pool:
            assert pool.send(MESSAGE).ok
            child = os.fork()
            if not child:
                code = 1
                try:
                    if pool.status[:3] == (0, 0, 0) and pool.send(MESSAGE).ok:
                        pool.close()
                        code = 0
                finally:
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            assert pool.send(MESSAGE).ok
    assert server.dialogues == [transactions(2), transactions(1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_fork_in_an_event_loop_the_parent_goes_on(server: ScriptedServer) -> None:
    async def main() -> None:
        async with AsyncPool(server.url) as pool:
            assert (await pool.send(MESSAGE)).ok
            child = os.fork()
            if not child:
                os._exit(0 if pool.status[:3] == (0, 0, 0) else 1)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            assert (await pool.send(MESSAGE)).ok

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork in a process with threads, from Python 3.12 on
        asyncio.run(main())
    assert server.dialogues == [transactions(2)]


# -- octets ------------------------------------------------------------------------------------------------------------


@every_colour
def test_a_server_may_send_one_octet_at_a_time(run: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer() as server:
        server.slowly = True

        async def scenario(make: Any) -> None:
            async with make(server.url, size=2) as pool:
                assert (await pool.send(MESSAGE)).ok
                assert [each.ok async for each in pool.send_many([MESSAGE] * 3)] == [True] * 3

        run(scenario)
    assert len(server.messages) == 4


@every_colour
def test_a_close_notify_of_an_idle_connection_is_noticed(run: Colour, tmp_path: Any) -> None:
    context, authority = certificate()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with ScriptedServer({(0, ".", 2): NOTIFY}, context=context) as server:
        url = f"smtps://127.0.0.1:{server.port}?ca={tmp_path / 'ca.pem'}"

        async def scenario(make: Any) -> None:
            async with make(url) as pool:
                assert (await pool.send(MESSAGE)).ok
                assert (await pool.send(MESSAGE)).ok
                server.wait_until(lambda: server.notified)
                arrived(pool)
                idle_for(pool, 2.0)
                result = await pool.send(MESSAGE, transcript=True)
                assert result.ok
                assert " ".join(result.transcript).count("MAIL FROM") == 1, "nothing was sent to the dead one"

        run(scenario)
    assert server.dialogues[:2] == [transactions(2)[:-1], transactions(1)]


def test_the_result_of_a_refused_message_is_not_looked_at_by_the_pool(server: ScriptedServer) -> None:
    """``UnseenFailureWarning`` is for the caller: the pool's own look does not count."""
    server.script[0, ".", 1] = "554 5.7.1 spam"
    with Pool(server.url) as pool:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pool.send(MESSAGE)
            gc.collect()
        assert UnseenFailureWarning in [each.category for each in caught]
        assert pool.send(MESSAGE).outcomes[0].result is Result.DELIVERED
