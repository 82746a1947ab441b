"""Handlers of an application, called by clients over loopback: what parameters get, and what answers become."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from posthouse import Defer, Envelope, LocalError, ReadMessage, Reject, Reply
from posthouse.app import App, AppServer, HandlerCall, SessionInfo
from posthouse.core import Address, Content, Recipient

from .app_harness import CONTENT, Client, sent, with_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from posthouse.core import Notify  # noqa: F401


def test_a_recipients_handler_gets_what_it_asks_for() -> None:
    app = App()
    seen: list[object] = []

    @app.recipient("orders+{tag}.{number}@example.com")
    async def order(
        number: int,
        tag: str,
        message: ReadMessage,
        envelope: Envelope,
        octets: bytes,
        content: Content,
        session: SessionInfo,
        address: Address,
        recipient: Recipient,
        times: int = 3,
    ) -> str:
        whole = b"".join([chunk async for chunk in content])  # type: ignore[attr-defined]
        seen.extend([tag, number, message.subject, str(envelope.sender), octets, whole, str(address)])
        seen.extend([session.helo, session.protocol, session.host, session.tls, recipient.address == address, times])
        return f"order {number}"

    assert sent(app, "Orders+Ink.17@example.com") == ["250 2.1.5 Recipient OK", "250 2.0.0 order 17"]
    assert seen == [
        "Ink", 17, "hello", "a@sohu.com", CONTENT, CONTENT, "Orders+Ink.17@example.com",
        "c.example", "ESMTP", "127.0.0.1", None, True, 3,
    ]  # fmt: skip


def test_parameters_without_annotations_are_known_by_their_names() -> None:
    app = App()
    seen: list[object] = []

    @app.message
    def keep(message, envelope, session):  # type: ignore[no-untyped-def]
        seen.extend([message.subject, len(envelope.recipients), session.helo])

    assert sent(app, "ann@example.com")[-1] == "250 2.0.0 OK"
    assert seen == ["hello", 1, "c.example"]


def test_an_annotation_for_type_checkers_only_is_known_by_its_name() -> None:
    app = App()
    seen: list[Any] = []

    def keep(message, envelope):  # type: ignore[no-untyped-def]
        seen.extend([message.subject, envelope.sender])

    keep.__annotations__ = {"message": "mail.ReadMessage", "envelope": "Envelope"}
    app.message(keep)
    sent(app, "ann@example.com")
    assert seen[0] == "hello"


def test_functions_run_in_threads_and_coroutines_in_the_loop() -> None:
    app = App()
    threads: list[threading.Thread] = []

    @app.recipient("one@example.com")
    def one(message: ReadMessage) -> None:
        threads.append(threading.current_thread())

    @app.recipient("two@example.com")
    async def two(message: ReadMessage) -> None:
        threads.append(threading.current_thread())

    sent(app, "one@example.com", "two@example.com")
    assert [each is threading.main_thread() for each in threads] == [False, True]


def test_an_unmatched_recipient_is_refused_and_costs_the_others_nothing() -> None:
    app = App()
    seen: list[str] = []

    @app.recipient("ann@example.com")
    async def ann(message: ReadMessage) -> None:
        seen.append("ann")

    said = sent(app, "bob@example.com", "ann@example.com")
    assert said == ["550 5.1.1 No such recipient here", "250 2.1.5 Recipient OK", "250 2.0.0 OK"]
    assert seen == ["ann"]


def test_a_part_of_another_type_does_not_match() -> None:
    app = App()

    @app.recipient("n{number}@example.com")
    async def numbered(number: int, message: ReadMessage) -> str:
        return f"number {number}"

    @app.recipient("n{name}@example.com")
    async def named(name: str, message: ReadMessage) -> str:
        return f"name {name}"

    assert sent(app, "n17@example.com")[-1] == "250 2.0.0 number 17"
    assert sent(app, "n17x@example.com")[-1] == "250 2.0.0 name 17x"


def test_of_overlapping_patterns_the_first_one_registered_is_called() -> None:
    app = App()
    called: list[str] = []

    @app.recipient("*@example.com")
    async def anyone(message: ReadMessage) -> None:
        called.append("anyone")

    @app.recipient("ann@example.com")
    async def ann(message: ReadMessage) -> None:
        called.append("ann")

    sent(app, "ann@example.com")
    assert called == ["anyone"]


def test_a_handler_without_content_answers_when_the_recipient_is_named() -> None:
    app = App()
    order: list[str] = []

    @app.recipient("orders+{tag}@example.com")
    def known(tag: str, envelope: Envelope) -> None:
        order.append(f"known {tag} of {len(envelope.recipients)}")
        if tag == "closed":
            raise Reject("this order is closed")
        if tag == "busy":
            raise Defer("busy", reply=Reply(450, "4.2.1", "try again"))

    @app.message
    async def keep(message: ReadMessage, envelope: Envelope) -> None:
        order.append(f"kept for {len(envelope.recipients)}")

    said = sent(app, "orders+1@example.com", "orders+closed@example.com", "orders+busy@example.com")
    assert said == [
        "250 2.1.5 Recipient OK",
        "554 5.7.1 this order is closed",
        "450 4.2.1 try again",
        "250 2.0.0 OK",
    ]
    assert order == ["known 1 of 1", "known closed of 2", "known busy of 2", "kept for 1"]


def test_message_handlers_come_first_and_the_first_refusal_ends_it() -> None:
    app = App()
    called: list[str] = []

    @app.recipient("*@example.com")
    async def take(message: ReadMessage) -> None:
        called.append("recipient")

    @app.message
    async def first(message: ReadMessage) -> None:
        called.append("first")

    @app.message
    async def second(message: ReadMessage) -> None:
        called.append("second")
        if message.subject == "spam":
            raise Reject("no, thank you")

    assert sent(app, "ann@example.com", content=b"Subject: spam\r\n\r\n")[-1] == "554 5.7.1 no, thank you"
    assert called == ["first", "second"]
    called.clear()
    assert sent(app, "ann@example.com", "bob@example.com")[-1] == "250 2.0.0 OK"
    assert called == ["first", "second", "recipient", "recipient"]


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (None, "250 2.0.0 OK"),
        ("queued as 17", "250 2.0.0 queued as 17"),
        ("250 queued", "250 2.0.0 queued"),
        ("451 4.2.0 later", "451 4.2.0 later"),
        ("550 no", "550 5.0.0 no"),
        ("452 5.1.1 x", "452 4.0.0 5.1.1 x"),
        ("5500 parcels", "250 2.0.0 5500 parcels"),
        (Reply(252, "2.5.0", "maybe"), "252 2.5.0 maybe"),
        (Reply(550, "5.7.1", "one\ntwo"), "550-5.7.1 one\n550 5.7.1 two"),
        (Reject("never"), "554 5.7.1 never"),
        (Defer("later"), "451 4.3.0 later"),
        ("a\r\n550 b", "250-2.0.0 a\n250 2.0.0 550 b"),
    ],
)
def test_an_answer_becomes_its_reply(answer: object, reply: str) -> None:
    app = App()

    @app.message
    async def returned(message: ReadMessage) -> object:
        return answer

    assert sent(app, "ann@example.com")[-1] == reply
    if isinstance(answer, Exception):
        raising = App()

        @raising.message
        def raised(message: ReadMessage) -> None:
            assert isinstance(answer, Exception)
            raise answer

        assert sent(raising, "ann@example.com")[-1] == reply


@pytest.mark.parametrize("wrong", [True, 250, Reply(354, "", "go on"), b"250 ok", ["x"]])
def test_a_value_that_is_no_answer_is_451_and_logged(wrong: object, caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.message
    async def returned(message: ReadMessage) -> object:
        return wrong

    assert sent(app, "ann@example.com")[-1] == "451 4.3.0 Something went wrong here; try again later"
    (record,) = [each for each in caplog.records if each.name == "posthouse.app" and each.levelno >= logging.ERROR]
    assert isinstance(record.exc_info, tuple)
    assert isinstance(record.exc_info[1], LocalError)


@pytest.mark.parametrize(
    "error", [RuntimeError("the disk is on fire"), TimeoutError("mine"), SystemExit(3), StopIteration()]
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_exception_is_451_and_logged_and_tells_the_client_nothing(
    error: BaseException, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    if kind == "sync":

        @app.message
        def one(message: ReadMessage) -> None:
            raise error
    else:
        if isinstance(error, StopIteration):  # becomes a RuntimeError by itself
            return

        @app.message
        async def two(message: ReadMessage) -> None:
            raise error

    assert sent(app, "ann@example.com")[-1] == "451 4.3.0 Something went wrong here; try again later"
    (record,) = [each for each in caplog.records if each.name == "posthouse.app" and each.levelno >= logging.ERROR]
    assert type(error).__name__ in caplog.text
    assert "a@sohu.com" in record.getMessage()


def test_a_handler_that_takes_too_long_is_451_and_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    app = App(handler_seconds=0.05)
    cancelled = threading.Event()

    @app.message
    async def slow(message: ReadMessage) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    assert sent(app, "ann@example.com")[-1] == "451 4.3.0 This takes too long now; try again later"
    assert cancelled.is_set()
    assert "longer than 0.05 s" in caplog.text


def test_calls_beyond_the_limit_wait_for_their_turn() -> None:
    app = App(concurrency=2)
    now, most = 0, 0
    go_on = asyncio.Event()

    @app.message
    async def counted(message: ReadMessage) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 2:
            go_on.set()
        await go_on.wait()
        now -= 1

    async def use(server: AppServer) -> list[str]:
        clients = [await Client.open(server) for _ in range(6)]
        for client in clients:
            await client.say("EHLO c.example")
        said = await asyncio.gather(*[client.send("ann@example.com") for client in clients])
        for client in clients:
            client.close()
        return [each[-1] for each in said]

    assert with_server(app, use) == ["250 2.0.0 OK"] * 6
    assert most == 2


def test_a_refusal_of_some_names_them() -> None:
    app = App()

    @app.recipient("{name}@example.com")
    async def take(name: str, message: ReadMessage) -> None:
        if name == "bob":
            raise Reject("bob has moved")
        if name == "eve":
            raise Defer("eve is asleep")

    good, bad = "ann@example.com", "bob@example.com"
    assert sent(app, good, good)[-1] == "250 2.0.0 OK"
    assert sent(app, bad, bad)[-1] == "554 5.7.1 bob has moved"
    assert sent(app, good, bad)[-1].splitlines() == [
        "554-5.7.1 bob@example.com: bob has moved",
        "554 5.7.1 Refused: 1 of 2 recipients; 1 have the message",
    ]
    assert sent(app, good, bad, "eve@example.com")[-1].splitlines() == [
        "451-4.3.0 bob@example.com: bob has moved",
        "451-4.3.0 eve@example.com: eve is asleep",
        "451 4.3.0 Refused: 2 of 3 recipients; 1 have the message",
    ]


def test_lmtp_has_a_reply_for_each_recipient() -> None:
    app = App()

    @app.recipient("{name}@example.com")
    async def take(name: str, message: ReadMessage, session: SessionInfo) -> str:
        if name == "bob":
            raise Reject("bob has moved")
        return f"for {name} by {session.protocol}"

    assert sent(app, "ann@example.com", "bob@example.com", "eve@example.com", lmtp=True) == [
        *["250 2.1.5 Recipient OK"] * 3,
        "250 2.0.0 for ann by LMTP",
        "554 5.7.1 bob has moved",
        "250 2.0.0 for eve by LMTP",
    ]


def test_middleware_is_around_every_call() -> None:
    app = App()
    seen: list[str] = []

    @app.middleware
    async def outer(call: HandlerCall, proceed: Callable[[], Awaitable[Reply]]) -> Reply:
        seen.append(f"outer {call.handler.rpartition('.')[2]}")
        reply = await proceed()
        seen.append(str(reply))
        return reply._replace(text="seen by outer")

    @app.middleware
    async def inner(call: HandlerCall, proceed: Callable[[], Awaitable[Reply]]) -> object:
        try:
            return await proceed()
        except KeyError as error:
            raise Reject(f"no {error}") from error

    @app.recipient("ann@example.com")
    def known() -> None:
        seen.append("known")

    @app.message
    async def take(message: ReadMessage) -> None:
        raise KeyError("x")

    assert sent(app, "ann@example.com") == ["250 2.0.0 seen by outer", "554 5.7.1 no 'x'"]
    assert seen == ["outer known", "known", "250 2.0.0 OK", "outer take"]


def test_a_message_that_is_too_large_reaches_no_handler() -> None:
    app = App(max_size=70_000)
    called: list[object] = []

    @app.message
    async def take(content: Content) -> None:
        called.append(content)

    async def use(server: AppServer) -> list[str]:
        client = await Client.open(server)
        assert "SIZE 70000" in await client.say("EHLO c.example")
        said = [await client.say("MAIL FROM:<a@sohu.com> SIZE=70001")]
        said += await client.send("ann@example.com", content=b"x" * 70_000 + b"\r\n")
        said += await client.send("ann@example.com")
        await client.quit()
        return said

    said = with_server(app, use)
    assert said[0] == said[2] == "552 5.3.4 Message too large"
    assert said[-1] == "250 2.0.0 OK"
    assert len(called) == 1


def test_large_content_is_kept_in_a_file_and_read_from_there() -> None:
    app = App()
    seen: list[object] = []

    @app.message
    async def take(message: ReadMessage, content: Content, octets: bytes) -> None:
        seen.extend([message.subject, content.size, sum(map(len, content.chunks())), octets, type(content).__name__])

    @app.message
    def take_in_thread(message: ReadMessage, content: Content) -> None:
        seen.extend([len(message.text), sum(map(len, content.chunks(1_000)))])

    content = b"Subject: large\r\n\r\n" + b"0123456789abcdef\r\n" * 200_000
    assert sent(app, "ann@example.com", content=content)[-1] == "250 2.0.0 OK"
    assert seen[:3] == ["large", len(content), len(content)]
    assert seen[3] == content
    assert seen[5:] == [17 * 200_000, len(content)]


def test_connections_beyond_the_limit_get_421() -> None:
    app = App(connections=1)
    app.message(lambda message: None)

    async def use(server: AppServer) -> str:
        first = await Client.open(server)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        said = (await reader.readline()).decode()
        writer.close()
        await first.quit()
        return said

    assert with_server(app, use) == "421 4.3.2 Too many connections; try again later\r\n"


@pytest.mark.parametrize(("strict", "code"), [(True, "5"), (False, "2")])
def test_bare_line_feeds_are_refused_unless_the_application_is_lenient(strict: bool, code: str) -> None:
    app = App(strict=strict)
    app.message(lambda message: None)

    async def use(server: AppServer) -> str:
        client = await Client.open(server)
        await client.say("EHLO c.example")
        said = await client.send("ann@example.com", content=b"Subject: x\n\ny\r\n")
        client.close()
        return said[-1]

    assert with_server(app, use)[0] == code


@pytest.mark.parametrize(
    ("register", "cause"),
    [
        (lambda app: app.message(lambda tag: None), "parameter tag .* is not known"),
        (lambda app: app.message(lambda address: None), "takes whole messages"),
        (lambda app: app.recipient("{a}@x.example")(lambda message: None), "has the parameter a"),
        (lambda app: app.message(int), "cannot be a handler"),
        (lambda app: app.message(_generator), "has a yield"),
        (lambda app: app.message(_two_ways), "ask for one of them"),
        (lambda app: app.recipient("{a}@x.example")(_wrong_type), "no part of an address can have"),
        (lambda app: app.middleware(_generator), "no coroutine function"),
        (lambda app: app.serve(), "no handler"),
        (lambda app: App(concurrency=0), "give a whole number from 1"),
        (lambda app: App(handler_seconds=0), "above 0"),
        (lambda app: App(tls_required=True), "needs a certificate"),
    ],
)
def test_a_mistake_is_told_at_the_start(register: Callable[[App], object], cause: str) -> None:
    with pytest.raises(LocalError, match=cause):
        register(App())


def _generator(message: ReadMessage) -> Any:
    yield message


def _two_ways(stream: Any, content: Content) -> None: ...


_two_ways.__annotations__["stream"] = "MessageStream"


def _wrong_type(a: bytes, message: ReadMessage) -> None: ...


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"max_size": "10MB"}, r"App\(max_size='10MB'\) takes no mail; give a whole number from 1"),
        ({"threads": 0}, "give a whole number from 1"),
        ({"handler_seconds": "1m"}, "lets no handler run"),
        ({"tls": "cert.pem"}, r"a pair of files, \(certificate, key\)"),
        ({"tls": ("cert.pem",)}, r"a pair of files, \(certificate, key\)"),
    ],
)
def test_a_setting_of_a_wrong_type_is_told_at_once(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LocalError, match=sentence):
        App(**given)


def test_a_handler_of_recipients_without_a_pattern_is_told_what_one_is() -> None:
    with pytest.raises(LocalError, match="needs a pattern"):
        App().recipient(lambda message: None)  # type: ignore[arg-type]
