"""Servers of an application: their start and end, in a loop and in a thread, with TLS and logins; out of a queue."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import smtplib
import socket
import ssl
import struct
import threading
from pathlib import Path

import pytest
import trustme

from posthouse import Defer, Envelope, LocalError, ReadMessage, Recipient, Reject, SettingError
from posthouse.app import App, AppServer, MessageStream, SessionInfo
from posthouse.core import Address, Bytes, Result
from posthouse.delivery import Delivery
from posthouse.delivery.python import PythonDeliverer
from posthouse.net import SystemClock

from .app_harness import CONTENT, Client, run, with_server

ANN = Recipient(Address("ann", "example.com"))


def taking() -> tuple[App, list[str]]:
    app = App()
    seen: list[str] = []

    @app.message
    async def take(message: ReadMessage) -> None:
        seen.append(message.subject)

    return app, seen


def test_a_program_without_a_loop_runs_it_in_a_thread() -> None:
    app, seen = taking()
    with app.run_in_thread() as server:
        assert server.url == f"smtp://127.0.0.1:{server.port}"
        with smtplib.SMTP(server.host, server.port, timeout=30) as client:
            client.sendmail("a@sohu.com", ["ann@example.com"], CONTENT)
    assert seen == ["hello"]
    assert not [each for each in threading.enumerate() if each.name == "posthouse-app"]


def test_the_place_is_known_once_it_listens_and_a_server_starts_once() -> None:
    app, _ = taking()
    server = app.serve()
    with pytest.raises(LocalError, match="has not started"):
        _ = server.port

    async def use() -> None:
        async with server:
            assert server.port > 0
            with pytest.raises(LocalError, match="started already"):
                await server.start()

    run(use())
    thread = app.run_in_thread()
    with thread, pytest.raises(LocalError, match="started already"):
        thread.start()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_startup_and_shutdown_are_called_once_for_all_servers(kind: str) -> None:
    app, _ = taking()
    called: list[str] = []
    if kind == "sync":
        app.startup(lambda: called.append("up"))
    else:

        @app.startup
        async def up() -> None:
            called.append("up")

    app.shutdown(lambda: called.append("first registered"))
    app.shutdown(lambda: called.append("last registered"))

    async def main() -> None:
        async with app.serve():
            async with app.serve():
                assert called == ["up"]
            assert called == ["up"]

    run(main())
    assert called == ["up", "last registered", "first registered"]
    called.clear()
    run(main())
    assert called == ["up", "last registered", "first registered"], "a second life begins anew"


def test_a_startup_that_fails_is_told_to_the_caller_and_nothing_listens() -> None:
    app, _ = taking()
    fails = [True]

    @app.startup
    def up() -> None:
        if fails:
            raise OSError("no database")

    with pytest.raises(OSError, match="no database"), app.run_in_thread():
        pass
    fails.clear()
    with app.run_in_thread() as server:
        assert server.port


def test_every_shutdown_is_called_whatever_one_raises() -> None:
    app, _ = taking()
    called: list[str] = []
    app.shutdown(lambda: called.append("one"))

    @app.shutdown
    def fails() -> None:
        raise OSError("at the end")

    with pytest.raises(OSError, match="at the end"), app.run_in_thread():
        pass
    assert called == ["one"]


def test_a_port_in_use_is_told_with_a_remedy() -> None:
    app, _ = taking()
    ended: list[int] = []
    app.shutdown(lambda: ended.append(1))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host, port = taken.getsockname()
        with pytest.raises(SettingError, match="already listens there"), app.run_in_thread(host, port):
            pass
    assert ended == [1]


def test_a_unix_socket(tmp_path: Path) -> None:
    app, seen = taking()

    async def use(server: AppServer) -> None:
        assert server.url == f"lmtp+unix://{tmp_path}/app.sock"
        client = await Client.open(server)
        await client.say("LHLO c.example")
        await client.send("ann@example.com")
        await client.quit()

    with_server(app, use, host=f"{tmp_path}/app.sock", lmtp=True)
    assert seen == ["hello"]


def test_the_end_lets_a_message_finish_and_then_cancels_its_handler() -> None:
    app = App()
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @app.message
    async def hangs(message: ReadMessage) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def main() -> str:
        async with asyncio.timeout(30):
            async with app.serve(grace=0.01) as server:
                client = await Client.open(server)
                await client.say("EHLO c.example")
                sending = asyncio.ensure_future(client.send("ann@example.com"))
                await begun.wait()
            said = await sending
            client.close()
            return said[-1]

    assert run(main())[:3] == "421"
    assert cancelled.is_set()


def test_a_handler_that_has_begun_runs_to_its_end_without_its_client() -> None:
    app = App()
    begun, gone, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @app.message
    async def take(message: ReadMessage) -> None:
        begun.set()
        await gone.wait()
        ended.set()

    async def use(server: AppServer) -> bool:
        client = await Client.open(server)
        await client.say("EHLO c.example")
        sending = asyncio.ensure_future(client.send("ann@example.com"))
        await begun.wait()
        sending.cancel()
        reset = struct.pack("ii", 1, 0)  # linger for 0 s: the end of the connection is a reset
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        client.writer.transport.abort()
        while server.open_sessions:
            await asyncio.sleep(0)
        gone.set()
        return await ended.wait()

    assert with_server(app, use)


# TLS and logins -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[str, str], ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("pair")
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    made.private_key_pem.write_to_path(folder / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return (str(folder / "cert.pem"), str(folder / "key.pem")), context


def test_tls_and_logins_are_required_where_the_application_says_so(
    pair: tuple[tuple[str, str], ssl.SSLContext],
) -> None:
    files, context = pair
    app = App(tls=files, tls_required=True, login_required=True)
    seen: list[tuple[str, str]] = []

    @app.login
    def check(user: str, password: str) -> bool:
        return (user, password) == ("joe", "secret")

    @app.message
    async def take(session: SessionInfo) -> None:
        assert session.tls is not None
        seen.append((session.login, session.tls.version[:3]))

    with app.run_in_thread() as server, smtplib.SMTP(server.host, server.port, timeout=30) as client:
        client.ehlo("c.example")
        assert not client.has_extn("auth")
        assert client.mail("a@sohu.com") == (530, b"5.7.0 Must issue a STARTTLS command first")
        client.starttls(context=context)
        client.ehlo("c.example")
        assert client.mail("a@sohu.com") == (530, b"5.7.0 Authentication required")
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.auth("PLAIN", lambda challenge=None: "\0joe\0wrong")
        client.login("joe", "secret")
        client.sendmail("a@sohu.com", ["ann@example.com"], CONTENT)
    assert seen == [("joe", "TLS")]


def test_tls_from_the_first_octet(pair: tuple[tuple[str, str], ssl.SSLContext]) -> None:
    files, context = pair
    app, seen = App(tls=files), list[str]()
    app.message(lambda message: seen.append(message.subject))
    with app.run_in_thread(implicit_tls=True) as server:
        assert server.url == f"smtps://127.0.0.1:{server.port}"
        with smtplib.SMTP_SSL(server.host, server.port, context=context, timeout=30) as client:
            client.sendmail("a@sohu.com", ["ann@example.com"], CONTENT)
    assert seen == ["hello"]
    with pytest.raises(LocalError, match="needs a certificate"):
        taking()[0].serve(implicit_tls=True)


def test_a_login_function_that_fails_is_454_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    app, _ = taking()

    @app.login
    async def check(user: str, password: str) -> bool:
        raise OSError("no database")

    async def use(server: AppServer) -> str:
        client = await Client.open(server)
        assert "AUTH PLAIN LOGIN" in await client.say("EHLO c.example")
        said = await client.say(b"AUTH PLAIN " + base64.b64encode(b"\0joe\0secret"))
        await client.quit()
        return said

    assert with_server(app, use)[:3] == "454"
    assert "no database" in caplog.text
    assert "secret" not in caplog.text
    with pytest.raises(LocalError, match="already"):
        app.login(check)


# Out of a queue -------------------------------------------------------------------------------------------------------


def delivery(*addresses: str, content: bytes = CONTENT) -> Delivery:
    recipients = tuple(Recipient(Address(*each.split("@"))) for each in addresses)
    envelope = Envelope(Address("a", "sohu.com"), recipients)
    return Delivery(envelope, Bytes(content))


def test_the_queue_of_the_daemon_delivers_to_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App()
    seen: list[str] = []
    app.startup(lambda: seen.append("up"))

    @app.recipient("{name}@example.com")
    async def take(name: str, message: ReadMessage, stream_not: SessionInfo) -> None:
        seen.append(f"{name} {message.subject} {stream_not.protocol}")
        if name == "bob":
            raise Reject("bob has moved")
        if name == "eve":
            raise RuntimeError("a mistake")

    import sys
    from types import ModuleType

    module = ModuleType("a_shop")
    module.app = app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_shop", module)

    async def main() -> list[tuple[Result, str]]:
        deliverer = PythonDeliverer(SystemClock())
        asked = delivery("ann@example.com", "bob@example.com", "eve@example.com", "ann@elsewhere.example")
        outcomes = await deliverer.deliver(asked, "a_shop:app")
        return [(each.result, str(each.reply)) for each in outcomes]

    assert run(main()) == [
        (Result.DELIVERED, "250 2.0.0 delivered"),
        (Result.FAILED, "554 5.7.1 bob has moved"),
        (Result.DEFERRED, "451 4.3.0 Something went wrong here; try again later"),
        (Result.FAILED, "550 5.1.1 No such recipient here"),
    ]
    assert seen == ["up", "ann hello queue", "bob hello queue", "eve hello queue"]


def test_a_startup_that_fails_defers_and_is_tried_again() -> None:
    app, seen = taking()
    fails = [True]

    @app.startup
    def up() -> None:
        if fails:
            raise OSError("no database")

    async def main() -> None:
        envelope = Envelope(None, (ANN,))
        with contextlib.suppress(OSError):
            await app(envelope, Bytes(CONTENT))
        fails.clear()
        await app(envelope, Bytes(CONTENT))

    run(main())
    assert seen == ["hello"]


def test_a_stream_out_of_a_queue() -> None:
    app = App()
    seen: list[int] = []

    @app.message
    async def take(stream: MessageStream) -> None:
        seen.append(sum([len(each) async for each in stream]))
        if len(seen) > 1:
            raise Defer("later")

    async def main() -> None:
        content = Bytes(b"x" * 3_000_000)
        await app(Envelope(None, (ANN,)), content)
        with pytest.raises(Defer, match="later"):
            await app(Envelope(None, (ANN,)), content)

    run(main())
    assert seen == [3_000_000, 3_000_000]


def test_a_server_that_is_stopped_while_it_starts_runs_its_shutdown_functions_once_and_is_closed() -> None:
    events: list[str] = []
    app, gate = taking()[0], asyncio.Event()

    @app.startup
    async def begin() -> None:
        events.append("begin")
        await gate.wait()

    @app.shutdown
    async def end() -> None:
        events.append("end")

    async def scenario() -> None:
        server = app.serve("127.0.0.1", 0)
        await server.stop()
        starting = asyncio.ensure_future(server.start())
        while not events:
            await asyncio.sleep(0)
        stopping = asyncio.ensure_future(server.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        gate.set()
        await stopping
        with pytest.raises(LocalError, match="stopped while it started"):
            await starting
        await server.stop()
        assert events == ["begin", "end"]

    asyncio.run(scenario())


def test_a_server_whose_start_failed_can_be_stopped_and_its_shutdown_functions_run_once() -> None:
    app, _ = taking()
    events: list[str] = []
    app.shutdown(lambda: events.append("end"))

    async def scenario() -> None:
        async with app.serve("127.0.0.1", 0) as first:
            second = app.serve("127.0.0.1", first.port)
            with pytest.raises(SettingError):
                await second.start()
            await second.stop()
            assert not events
        assert events == ["end"]

    asyncio.run(scenario())
